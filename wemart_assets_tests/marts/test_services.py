"""Members across all services: visits by day, week and month, and sets of services (tables.md 2.3 and 2.4)."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wemart_assets.catalog import views
from wemart_assets.lake.inputs import Input
from wemart_assets.lake.mart import Mart
from wemart_assets.marts.services.stats_we_d_integ_visit import stats_we_d_integ_visit
from wemart_assets.marts.services.we_user_visit import we_user_visit
from wemart_assets.marts.services.we_visit_monthly_base import we_visit_monthly_base
from wemart_assets.marts.services.we_visit_weekly_base import we_visit_weekly_base
from wemart_assets_tests.marts.services import (
    DAYS,
    RANDOM,
    Services,
    country,
    grouped,
    order,
    random_services,
    values,
    visit,
)
from wemart_assets_tests.marts.test_daily_stats import DAY, JANUARY_15, Bench, Row, session

SOURCES = ("sessions", "shop", "phoning", "album")
VISIT = ("key_date", "part_date", "we_member_id", "service", "visits", "seconds", "ctry")
SEEN = ("we_member_id", "service", "visits", "seconds", "ctry")


def as_mart(name: str) -> Mart:
    """A view as a mart that reads the day, so that the bench can run it."""
    view = views()[f"we_mart.{name}"]
    return Mart(view.table, {name: Input(table) for name, table in view.inputs.items()}, view.function)


# --- we_user_visit ----------------------------------------------------------------------------------------------------


def test_each_service_has_its_own_row(bench: Bench) -> None:
    found = bench(
        we_user_visit,
        {},
        sessions=[session("a", user=7, we_member_id=107, user_sess_dur=60, user_ctry="KR")],
        shop=[visit(ctry="US"), visit(ctry="US")],
        phoning=[visit()],
        album=[visit(108, ctry="JP")],
    )
    assert values(found, *VISIT) == {
        (JANUARY_15, DAY, 107, "weverse", 1, 60, "KR"): 1,
        (JANUARY_15, DAY, 107, "shop", 2, None, "US"): 1,
        (JANUARY_15, DAY, 107, "phoning", 1, None, None): 1,
        (JANUARY_15, DAY, 108, "album", 1, None, "JP"): 1,
    }


def test_a_user_session_in_two_communities_is_one_visit(bench: Bench) -> None:
    rows = [session("a", user=7, we_member_id=107, user_sess_dur=60, comm_id=comm) for comm in ("11", "12")]
    rows.append(session("b", user=7, we_member_id=107, user_sess_dur=60))
    assert values(bench(we_user_visit, {}, sessions=rows), *SEEN) == {(107, "weverse", 2, 120, None): 1}


@pytest.mark.parametrize(
    ("countries", "expected"),
    [
        (["US", "KR", "US"], "US"),
        (["US", "KR"], "KR"),
        ([None, None, "US"], "US"),
        ([None], None),
        (["b", "B"], "B"),
    ],
)
def test_the_country_is_that_of_most_rows(bench: Bench, countries: list[str | None], expected: str | None) -> None:
    found = bench(we_user_visit, {}, shop=[visit(ctry=ctry) for ctry in countries])
    assert [row["ctry"] for row in found] == [expected]


def test_visits_without_an_account_are_left_out(bench: Bench) -> None:
    assert bench(we_user_visit, {}, sessions=[session("a"), session("b", user=9)], shop=[visit(None)]) == []


def visits_reference(of: Services) -> list[Row]:
    rows = []
    for service, source in zip(("weverse", "shop", "phoning", "album"), SOURCES, strict=True):
        known = [row for row in getattr(of, source) if row["we_member_id"] is not None]
        for (day, member), its in grouped(known, lambda row: (row["part_date"], row["we_member_id"])).items():
            sessions = {row["user_sess_id"]: row["user_sess_dur"] for row in its} if service == "weverse" else {}
            named = Counter(row["user_ctry" if service == "weverse" else "ctry"] for row in its)
            del named[None]
            rows.append(
                {
                    "key_date": dt.date.fromisoformat(day),
                    "part_date": day,
                    "we_member_id": member,
                    "service": service,
                    "visits": len(sessions) or len(its),
                    "seconds": sum(sessions.values()) if sessions else None,
                    "ctry": min(named, key=lambda name: (-named[name], name), default=None),
                }
            )
    return rows


# --- we_visit_weekly_base, we_visit_monthly_base ----------------------------------------------------------------------

BASE = ("key_date", "part_date", "we_member_id", "service", "visit_days", "visits", "seconds")


def visited(day: str, member: int = 107, service: str = "shop", visits: int = 1, seconds: int | None = None) -> Row:
    return {
        "key_date": dt.date.fromisoformat(day),
        "part_date": day,
        "we_member_id": member,
        "service": service,
        "visits": visits,
        "seconds": seconds,
    }


def test_a_week_has_the_days_visits_and_seconds_of_its_days(bench: Bench) -> None:
    rows = [
        visited("2024-01-15", service="weverse", visits=2, seconds=60),
        visited("2024-01-21", service="weverse", visits=3, seconds=1),
        visited("2024-01-21", visits=4),
        visited("2024-01-22", visits=5),
    ]
    monday, next_monday = dt.date(2024, 1, 15), dt.date(2024, 1, 22)
    assert values(bench(we_visit_weekly_base, {}, visits=rows), *BASE) == {
        (monday, "2024-01-15", 107, "weverse", 2, 5, 61): 1,
        (monday, "2024-01-15", 107, "shop", 1, 4, None): 1,
        (next_monday, "2024-01-22", 107, "shop", 1, 5, None): 1,
    }


def test_a_month_ends_with_its_last_day(bench: Bench) -> None:
    rows = [visited(day) for day in ("2024-01-01", "2024-01-31", "2024-02-01", "2024-02-29")]
    assert values(bench(we_visit_monthly_base, {}, visits=rows), *BASE) == {
        (dt.date(2024, 1, 1), "2024-01-01", 107, "shop", 2, 2, None): 1,
        (dt.date(2024, 2, 1), "2024-02-01", 107, "shop", 2, 2, None): 1,
    }


VISITED = st.builds(
    visited,
    st.dates(dt.date(2023, 12, 28), dt.date(2024, 1, 16)).map(str),
    st.sampled_from([1, 2]),
    st.sampled_from(["weverse", "shop"]),
    st.integers(1, 3),
).map(lambda row: row | {"seconds": row["visits"] * 7 if row["service"] == "weverse" else None})
ONE_A_DAY = st.lists(VISITED, unique_by=lambda row: (row["part_date"], row["we_member_id"], row["service"]))


@RANDOM
@given(rows=ONE_A_DAY)
def test_random_weeks_and_months_match_plain_loops(bench: Bench, rows: list[Row]) -> None:
    def monday(day: dt.date) -> dt.date:
        return day - dt.timedelta(days=day.weekday())

    for mart, start in ((we_visit_weekly_base, monday), (we_visit_monthly_base, lambda day: day.replace(day=1))):
        totals: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0, 0, 0])
        for row in rows:
            total = totals[start(row["key_date"]), row["we_member_id"], row["service"]]
            for place, value in enumerate((1, row["visits"], row["seconds"] or 0)):
                total[place] += value
        expected = {
            (day, day.isoformat(), member, service, days, visits, seconds if service == "weverse" else None): 1
            for (day, member, service), (days, visits, seconds) in totals.items()
        }
        assert values(bench(mart, {}, visits=rows), *BASE) == expected


# --- stats_we_d_integ_visit -------------------------------------------------------------------------------------------

SETS = ("key_date", "part_date", "services", "member_cnt")


def test_members_are_counted_by_their_exact_set(bench: Bench) -> None:
    rows = [
        visited(DAY, 1, "weverse"),
        visited(DAY, 2, "album"),
        visited(DAY, 2, "weverse"),
        visited(DAY, 3, "weverse"),
        visited(DAY, 3, "album"),
        visited("2024-01-14", 3, "phoning"),
    ]
    sunday = (dt.date(2024, 1, 14), "2024-01-14")
    assert values(bench(stats_we_d_integ_visit, {}, visits=rows), *SETS) == {
        (JANUARY_15, DAY, "weverse", 1): 1,
        (JANUARY_15, DAY, "weverse+album", 2): 1,
        (JANUARY_15, DAY, "any", 3): 1,
        (*sunday, "phoning", 1): 1,
        (*sunday, "any", 1): 1,
    }


def test_services_are_named_in_a_fixed_order(bench: Bench) -> None:
    rows = [visited(DAY, 1, service) for service in ("album", "phoning", "weverse", "shop")]
    found = bench(stats_we_d_integ_visit, {}, visits=rows)
    assert {row["services"] for row in found} == {"weverse+shop+phoning+album", "any"}


# --- the views --------------------------------------------------------------------------------------------------------


def test_members_of_a_set_are_told_apart_by_apps_and_orders(bench: Bench) -> None:
    visits = [visited(DAY, member, service) for member in (1, 2, 3) for service in ("weverse", "shop")]
    found = bench(
        as_mart("stats_we_d_integ_v"),
        {},
        visits=visits,
        sessions=[
            session("a", user=1, we_member_id=1, platform="APP"),
            session("b", user=2, we_member_id=2, platform="PC"),
        ],
        shop=[visit(2, platform="APP"), visit(3, platform="app"), visit(3), visit(4, platform="APP")],
        orders=[order(1, 2), order(2, 3, is_ord=0), order(3, 4), order(4, None)],
    )
    assert values(found, "key_date", "vst_type", "is_ws_app", "is_wv_app", "is_ord", "member_cnt") == {
        (JANUARY_15, "weverse+shop", 0, 1, 0, 1): 1,
        (JANUARY_15, "weverse+shop", 1, 0, 1, 1): 1,
        (JANUARY_15, "weverse+shop", 0, 0, 0, 1): 1,
    }


def test_visits_of_all_services_are_counted_by_artist_and_region(bench: Bench) -> None:
    found = bench(
        as_mart("stats_we_d_visit_new"),
        {},
        sessions=[session("a", we_art_id=art, comm_id=comm) for art, comm in ((1, "1"), (1, "2"), (None, None))],
        shop=[visit(None, we_art_id=1, ctry="KR"), visit(we_art_id=1, ctry="KR"), visit(ctry="XX")],
        countries=[country("KR", "ASIA"), country("KR", "OTHER", "2024-01-14")],
    )
    assert values(found, "key_date", "part_date", "service", "we_art_id", "region", "visits") == {
        (JANUARY_15, DAY, "weverse", 1, None, 1): 1,
        (JANUARY_15, DAY, "weverse", None, None, 1): 1,
        (JANUARY_15, DAY, "shop", 1, "ASIA", 2): 1,
        (JANUARY_15, DAY, "shop", None, None, 1): 1,
    }


# --- random days ------------------------------------------------------------------------------------------------------


@RANDOM
@given(of=random_services())
def test_random_days_match_plain_loops(bench: Bench, of: Services) -> None:
    visits = visits_reference(of)
    assert values(bench(we_user_visit, {}, **of.of(*SOURCES)), *VISIT) == values(visits, *VISIT)

    order_of_services = ("weverse", "shop", "phoning", "album")
    used: dict[tuple[str, int], set[str]] = defaultdict(set)
    for row in visits:
        used[row["part_date"], row["we_member_id"]].add(row["service"])
    names = {key: "+".join(s for s in order_of_services if s in services) for key, services in used.items()}
    sets = Counter((day, name) for (day, _), name in names.items()) + Counter((day, "any") for day, _ in names)
    assert values(bench(stats_we_d_integ_visit, {}, visits=visits), "part_date", "services", "member_cnt") == {
        (*key, count): 1 for key, count in sets.items()
    }

    def did(rows: list[Row], day: str, member: int, **having: Any) -> int:
        wanted = {"part_date": day, "we_member_id": member, **having}
        return int(any(all(row[name] == value for name, value in wanted.items()) for row in rows))

    flags = Counter(
        (
            day,
            name,
            did(of.shop, day, member, platform="APP"),
            did(of.sessions, day, member, platform="APP"),
            did(of.orders, day, member, is_ord=1),
        )
        for (day, member), name in names.items()
    )
    found = bench(as_mart("stats_we_d_integ_v"), {}, visits=visits, **of.of("sessions", "shop", "orders"))
    columns = ("part_date", "vst_type", "is_ws_app", "is_wv_app", "is_ord", "member_cnt")
    assert values(found, *columns) == {(*key, count): 1 for key, count in flags.items()}

    region = {(row["part_date"], row["ctry_code"]): row["region_type"] for row in of.countries}
    every = {
        ("weverse", row["part_date"], row["we_art_id"], row["user_ctry"], row["user_sess_id"]) for row in of.sessions
    }
    by_region = Counter((day, s, art, region.get((day, ctry))) for s, day, art, ctry, _ in every)
    for service, source in zip(order_of_services[1:], SOURCES[1:], strict=True):
        for row in getattr(of, source):
            by_region[row["part_date"], service, row["we_art_id"], region.get((row["part_date"], row["ctry"]))] += 1
    found = bench(as_mart("stats_we_d_visit_new"), {}, **of.of(*SOURCES, "countries"))
    assert values(found, "part_date", "service", "we_art_id", "region", "visits") == {
        (*key, count): 1 for key, count in by_region.items()
    }


def test_days_are_apart(bench: Bench) -> None:
    rows = [visit(day=day) for day in DAYS]
    assert [row["visits"] for row in bench(we_user_visit, {}, shop=rows)] == [1, 1]
