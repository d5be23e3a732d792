"""Visits by week and month, first visits, cohorts and retention (tables.md 2.4)."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import ibis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wemart_assets.catalog import marts
from wemart_assets.lake.mart import Mart
from wemart_assets.marts.sessions.stats_wv_d_art_indi_comm_activity import stats_wv_d_art_indi_comm_activity
from wemart_assets.marts.sessions.wv_art_first_vst import wv_art_first_vst
from wemart_assets_tests.engines import open_lake, rows_as, table_of
from wemart_assets_tests.examples import examples
from wemart_assets_tests.marts import visits_reference as reference
from wemart_assets_tests.marts.conftest import RUN
from wemart_assets_tests.marts.test_daily_stats import Bench, Row, counted, session

LONGER = ("week", "month")


def table(pattern: str, period: str) -> Mart:
    """The weekly or the monthly table of a pair."""
    return marts()["we_mart." + pattern.format(w=period[0], week=period)]


BASE, TOTAL, DURATION = "wv_visit_{week}ly_base", "wv_visit_{week}ly", "stats_wv_{w}_sess_duration"
DAYS, COHORT = "stats_wv_{w}_art_comm_vst_day", "stats_wv_{w}_art_cohort_vst"
RETENTION = "stats_wv_{w}_retention_visit_by_type_comm"


def visit(day: str, member: int | None = 1, artist: int | None = 10, name: str = "d", **columns: Any) -> Row:
    """A visit of a member to an artist's community, which has the artist's number, in a session of one second."""
    known = {"we_art_id": artist, "is_comm_user": None if artist is None else 0}
    if artist is not None:
        known["comm_id"] = str(artist)
    row = session(name, day, user=member, **{"we_member_id": member, **known, **columns})
    return row if member is not None else row | {"user_sess_id": row["sess_id"]}


# --- bases and totals -------------------------------------------------------------------------------------------------

COUNTS = ("visit_day_cnt", "user_sess_cnt", "total_user_sess_dur")


@pytest.mark.parametrize(
    ("period", "inside", "after", "starts"),
    [
        ("week", ("2024-01-15", "2024-01-21"), "2024-01-22", ("2024-01-15", "2024-01-22")),
        ("month", ("2024-02-01", "2024-02-29"), "2024-03-01", ("2024-02-01", "2024-03-01")),
    ],
)
def test_a_period_ends_with_its_last_day(
    bench: Bench, period: str, inside: tuple[str, str], after: str, starts: tuple[str, str]
) -> None:
    rows = [visit(day) for day in (*inside, after)]
    for pattern in (BASE, TOTAL):
        found = bench(table(pattern, period), {}, sessions=rows)
        assert counted(found, "part_date", *COUNTS) == {(starts[0], 2, 2, 2), (starts[1], 1, 1, 1)}


def test_a_session_in_two_communities_of_an_artist_counts_once_in_the_base(bench: Bench) -> None:
    rows = [visit("2024-01-15", comm_id=comm, user_sess_dur=60) for comm in ("11", "12")]
    found = bench(table(BASE, "week"), {}, sessions=rows)
    assert counted(found, "we_art_id", *COUNTS) == {(10, 1, 1, 60)}


def test_a_session_with_two_artists_counts_once_in_the_total(bench: Bench) -> None:
    rows = [visit("2024-01-15", artist=artist, user_sess_dur=60) for artist in (10, 11, None)]
    found = bench(table(BASE, "week"), {}, sessions=rows)
    assert counted(found, "we_art_id", *COUNTS) == {(10, 1, 1, 60), (11, 1, 1, 60), (None, 1, 1, 60)}
    assert counted(bench(table(TOTAL, "week"), {}, sessions=rows), "we_member_id", *COUNTS) == {(1, 1, 1, 60)}


def test_sessions_without_an_account_are_in_no_base(bench: Bench) -> None:
    for pattern in (BASE, TOTAL):
        assert bench(table(pattern, "week"), {}, sessions=[visit("2024-01-15", member=None)]) == []


@pytest.mark.parametrize(
    ("days", "kind"),
    [
        ([("2024-01-15", 1, 1), ("2024-01-16", 1, 0)], "member"),
        ([("2024-01-15", 1, 1), ("2024-01-16", 0, None)], "visitor"),
        ([("2024-01-16", 1, 1), ("2024-01-15", 0, 0)], "membership"),
        # The closest of the last day.
        ([("2024-01-16", 0, 0), ("2024-01-16", 1, 0), ("2024-01-15", 1, 1)], "member"),
    ],
)
def test_a_member_has_the_type_of_the_last_day(bench: Bench, days: list[tuple[str, int, int]], kind: str) -> None:
    rows = [
        visit(day, name=str(n), comm_id=str(n), is_comm_user=is_member, is_fc=is_fc)
        for n, (day, is_member, is_fc) in enumerate(days)
    ]
    assert counted(bench(table(BASE, "week"), {}, sessions=rows), "user_type") == {(kind,)}


# --- durations --------------------------------------------------------------------------------------------------------

QUANTILES = ("sess_cnt", "mean_sess_dur", "median_sess_dur", "p90_sess_dur", "p99_sess_dur")


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ([7], (1, 7.0, 7, 7, 7)),
        ([1, 2], (2, 1.5, 1, 2, 2)),
        (range(1, 11), (10, 5.5, 5, 9, 10)),
        (range(1, 12), (11, 6.0, 6, 10, 11)),
        (range(1, 101), (100, 50.5, 50, 90, 99)),
        (range(1, 102), (101, 51.0, 51, 91, 100)),
        ([5, 5, 5, 1, 9], (5, 5.0, 5, 9, 9)),
    ],
)
def test_quantiles_are_nearest_ranks(bench: Bench, seconds: Sequence[int], expected: tuple[float, ...]) -> None:
    rows = [visit("2024-01-15", name=str(n), sess_dur=length) for n, length in enumerate(seconds)]
    found = bench(table(DURATION, "week"), {}, sessions=rows)
    assert counted(found, *QUANTILES) == {expected}


def test_a_session_lasts_once_however_many_rows_it_has(bench: Bench) -> None:
    rows = [visit("2024-01-15", artist=artist, sess_dur=60) for artist in (10, 11, None)]
    rows += [visit("2024-01-16", name="other", sess_dur=30, platform="APP")]
    found = bench(table(DURATION, "week"), {}, sessions=rows)
    assert counted(found, "platform", "sess_cnt", "median_sess_dur") == {(None, 1, 60), ("APP", 1, 30)}


# --- visit days -------------------------------------------------------------------------------------------------------


def test_members_are_counted_by_their_days(bench: Bench) -> None:
    rows = [visit(day, member) for member in (1, 2) for day in ("2024-01-15", "2024-01-16")]
    rows += [visit("2024-01-15", 3), visit("2024-01-16", 4, artist=None)]
    base = reference.bases(every_column(rows), "week")
    found = bench(table(DAYS, "week"), {}, base=base)
    assert counted(found, "we_art_id", "visit_day_cnt", "member_cnt") == {(10, 2, 2), (10, 1, 1)}


# --- first visits, cohorts and retention ------------------------------------------------------------------------------


def test_a_member_visits_an_artist_first_once(bench: Bench) -> None:
    rows = [visit("2024-01-15", 1, 10), visit("2024-01-16", 1, 10), visit("2024-01-16", 1, 11), visit("2024-01-16", 2)]
    before = [{"we_member_id": 2, "we_art_id": 10, "part_date": "2024-01-14", "key_date": dt.date(2024, 1, 14)}]
    found = bench(wv_art_first_vst, {}, sessions=rows, before=before)
    assert counted(found, "part_date", "we_member_id", "we_art_id") == {("2024-01-15", 1, 10), ("2024-01-16", 1, 11)}


def test_visits_without_an_account_or_an_artist_are_no_first_visits(bench: Bench) -> None:
    rows = [visit("2024-01-15", member=None), visit("2024-01-15", artist=None)]
    assert bench(wv_art_first_vst, {}, sessions=rows) == []


COHORTS = ("part_date", "cohort", "age", "cohort_member_cnt", "member_cnt")


def cohorts_of(bench: Bench, period: str, *rows: Row) -> list[Row]:
    known = every_column(rows)
    firsts, base = reference.first_visits(known), reference.bases(known, period)
    starts = [row["key_date"] for row in base]
    run = tuple(day.isoformat() for day in starts_between(min(starts), max(starts), period))
    return bench(table(COHORT, period), {"days": run}, firsts=firsts, base=base)


def starts_between(first: dt.date, last: dt.date, period: str) -> list[dt.date]:
    starts = [first]
    while starts[-1] < last:
        starts.append(reference.next_start(starts[-1], period))
    return starts


def test_a_cohort_of_whom_nobody_visits_is_a_row(bench: Bench) -> None:
    rows = (visit("2024-01-15", 1), visit("2024-01-22", 2), visit("2024-01-29", 1))
    first, second = dt.date(2024, 1, 15), dt.date(2024, 1, 22)
    assert counted(cohorts_of(bench, "week", *rows), *COHORTS) == {
        ("2024-01-15", first, 0, 1, 1),
        ("2024-01-22", first, 1, 1, 0),
        ("2024-01-22", second, 0, 1, 1),
        ("2024-01-29", first, 2, 1, 1),
        ("2024-01-29", second, 1, 1, 0),
    }


def test_a_week_without_visits_has_its_cohorts(bench: Bench) -> None:
    found = cohorts_of(bench, "week", visit("2024-01-15", 1), visit("2024-01-29", 1))
    assert ("2024-01-22", dt.date(2024, 1, 15), 1, 1, 0) in counted(found, *COHORTS)


def test_ages_count_months_over_the_end_of_a_year(bench: Bench) -> None:
    rows = (visit("2023-11-30"), visit("2024-01-01"), visit("2024-02-29"), visit("2024-12-31"))
    found = cohorts_of(bench, "month", *rows)
    first = dt.date(2023, 11, 1)
    assert counted(found, *COHORTS[:3]) == {
        (start.isoformat(), first, age)
        for age, start in enumerate(starts_between(first, dt.date(2024, 12, 1), "month"))
    }


RETAINED = ("part_date", "user_type", "visitors", "back", "rate")


def retention_of(bench: Bench, period: str, *rows: Row) -> list[Row]:
    base = reference.bases(every_column(rows), period)
    starts = sorted({row["part_date"] for row in base})
    return bench(table(RETENTION, period), {}, now=base, before=[row for row in base if row["part_date"] < starts[-1]])


def test_visitors_have_the_type_of_the_period_before(bench: Bench) -> None:
    rows = (
        visit("2024-01-15", 1, is_comm_user=1, is_fc=1),
        visit("2024-01-22", 1, is_comm_user=1, is_fc=0),
        visit("2024-01-16", 2, is_comm_user=1, is_fc=1),
        visit("2024-01-22", 3, is_comm_user=1, is_fc=0),
    )
    assert counted(retention_of(bench, "week", *rows), *RETAINED) == {
        ("2024-01-22", "membership", 2, 1, 0.5),
        ("2024-01-22", "member", 0, 0, None),
        ("2024-01-22", "visitor", 0, 0, None),
    }


def test_a_visit_to_another_artist_is_no_return(bench: Bench) -> None:
    rows = (visit("2024-01-15", 1, 10), visit("2024-01-22", 1, 11))
    found = retention_of(bench, "week", *rows)
    assert counted([row for row in found if row["visitors"]], "we_art_id", *RETAINED) == {
        (10, "2024-01-22", "visitor", 1, 0, 0.0)
    }


@pytest.mark.parametrize(
    ("first", "second", "is_next"),
    [
        ("2024-01-31", "2024-02-01", True),
        ("2024-01-01", "2024-02-29", True),
        ("2024-01-31", "2024-03-01", False),
        ("2023-12-31", "2024-01-31", True),
        ("2024-01-30", "2024-02-29", True),
    ],
)
def test_the_month_after_a_month(bench: Bench, first: str, second: str, is_next: bool) -> None:
    found = retention_of(bench, "month", visit(first), visit(second))
    following = reference.next_start(reference.start_of(dt.date.fromisoformat(first), "month"), "month")
    assert counted([row for row in found if row["visitors"]], *RETAINED) == {
        (following.isoformat(), "visitor", 1, int(is_next), float(is_next))
    }


def test_a_member_of_the_artist_counts_once_and_guests_do_not(bench: Bench) -> None:
    rows = [
        visit("2024-01-15", 5, name=f"{comm}-{user}", comm_id=comm, art_indi_id=f"{comm}-{user}", art_indi_type=kind)
        for comm, user, kind in (("10", 5, "ARTIST"), ("11", 5, "ARTIST"), ("10", 9, "OTHER_COMMUNITY_ARTIST"))
    ]
    found = bench(marts()["we_mart.stats_wv_w_art_indi_comm_activity_art"], {}, sessions=rows)
    assert counted(found, "we_art_id", "art_indi_cnt", "active_day_cnt", "user_sess_cnt") == {(10, 1, 1, 2)}


# --- random visits ----------------------------------------------------------------------------------------------------

FIRST_DAY = dt.date(2024, 1, 25)


def random_visits(draw: random.Random, days: int) -> list[Row]:
    """Sessions of a few members and devices on days around two month ends, some of them with several communities."""
    rows: list[Row] = []
    for number in range(draw.randint(1, 60)):
        day = (FIRST_DAY + dt.timedelta(days=draw.randrange(days))).isoformat()
        member, seconds = draw.choice([None, 1, 2, 3, 4, 5]), draw.randint(1, 400)
        for comm, artist in draw.sample([(10, 1), (11, 1), (12, 2), (13, None), (None, None)], draw.randint(1, 3)):
            holds = None if artist is None or member is None else draw.choice([0, 1])
            is_member = None if comm is None else draw.choice([0, 1])
            rows.append(
                visit(
                    day,
                    member,
                    artist,
                    f"d{number}",
                    **{"comm_id": None if comm is None else str(comm)},
                    is_comm_user=is_member,
                    is_fc=holds,
                    **artist_member(comm, member),
                    sess_dur=seconds,
                    user_sess_dur=seconds,
                    platform=("APP", "PC", None)[number % 3],
                )
            )
    return rows


def artist_member(comm: int | None, member: int | None) -> Row:
    """Member 5 is an artist of communities 10 and 11, and a guest in the others; member 4 is a guest in all."""
    if comm is None or member not in (4, 5):
        return {}
    kind = "ARTIST" if member == 5 and comm in (10, 11) else "OTHER_COMMUNITY_ARTIST"
    return {"art_indi_id": f"{comm}-{member}", "art_indi_type": kind}


def every_column(rows: Sequence[Row]) -> list[Row]:
    """The rows with NULL for the columns of wv_sess_daily that they do not name."""
    names = [c.name for c in marts()["we_mart.wv_sess_daily"].table.columns]
    return [dict.fromkeys(names) | row for row in rows]


Run = Callable[..., list[Row]]


def differences(run: Run, sessions: Sequence[Row]) -> dict[str, Any]:
    """For each table, the rows that only it or only its reference implementation has."""
    found: dict[str, Any] = {}

    def compare(mart: Mart, expected: Sequence[Row], days: Sequence[str] = (), **inputs: Sequence[Row]) -> None:
        columns = [c.name for c in mart.table.columns if c.name != "run_timestamp"]
        as_tuples = lambda rows: sorted((tuple(row[c] for c in columns) for row in rows), key=repr)  # noqa: E731
        said = {"days": tuple(days)} if days else {}
        actual, wanted = as_tuples(run(mart, said, **inputs)), as_tuples(expected)
        if actual != wanted:
            found[mart.table.name] = {"actual": set(actual) - set(wanted), "expected": set(wanted) - set(actual)}

    known = every_column(sessions)
    firsts = reference.first_visits(known)
    compare(wv_art_first_vst, firsts, sessions=known)
    for period in LONGER:
        base = reference.bases(known, period)
        compare(table(BASE, period), base, sessions=known)
        compare(table(TOTAL, period), reference.totals(known, period), sessions=known)
        compare(table(DURATION, period), reference.durations(known, period), sessions=known)
        compare(table(DAYS, period), reference.visit_days(known, period), base=base)
        starts = starts_between(reference.start_of(FIRST_DAY, period), dt.date(2024, 4, 1), period)
        run_days = [start.isoformat() for start in starts]
        cohorts = reference.cohorts(known, period, starts)
        compare(table(COHORT, period), cohorts, run_days, firsts=firsts, base=base)
        compare(table(RETENTION, period), reference.retention(known, period), now=base, before=base)
    daily = run(stats_wv_d_art_indi_comm_activity, {}, sessions=known)
    weekly = marts()["we_mart.stats_wv_w_art_indi_comm_activity"]
    compare(weekly, reference.artist_members(known), activity=daily)
    of_artists = marts()["we_mart.stats_wv_w_art_indi_comm_activity_art"]
    compare(of_artists, reference.artists_of_members(known), sessions=known)
    return found


@settings(max_examples=examples(15, 60), deadline=None)
@given(seed=st.integers(0, 10**9), days=st.sampled_from([1, 8, 40, 75]))
def test_random_visits_match_plain_python(bench: Bench, seed: int, days: int) -> None:
    assert differences(bench, random_visits(random.Random(seed), days)) == {}


@pytest.fixture(scope="module")
def on_spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    lake: Path = tmp_path_factory.mktemp("visits_on_spark") / "lake"
    with open_lake("spark", lake).connect() as opened:
        spark: Any = opened

        def run(mart: Mart, said: dict[str, Any], **inputs: Sequence[Row]) -> list[Row]:
            tables = {n: table_of(spark, rows_as(of.table, inputs.get(n, []))) for n, of in mart.inputs.items()}
            rows = mart(**tables, **said).mutate(run_timestamp=ibis.literal(RUN, type="timestamp('UTC')"))
            found = spark.connection.ibis.to_pyarrow(mart.table.conform(rows)).cast(mart.table.arrow_schema)
            listed: list[Row] = found.to_pylist()
            return listed

        yield run


@pytest.mark.spark
def test_random_visits_match_plain_python_on_spark(on_spark: Run) -> None:
    """Several worlds at once: their members and artists differ."""
    rows = []
    for seed in range(20):
        for row in random_visits(random.Random(seed), 75):
            artist = None if row["we_art_id"] is None else row["we_art_id"] + 100 * seed
            member = None if row["we_member_id"] is None else row["we_member_id"] + 100 * seed
            ids = {name: f"{seed}-{row[name]}" for name in ("sess_id", "user_sess_id", "device_id")}
            comm = row["comm_id"] and f"{seed}{row['comm_id']}"
            rows.append(row | ids | {"we_art_id": artist, "we_member_id": member, "comm_id": comm})
    assert len(rows) > 500
    assert differences(on_spark, rows) == {}
