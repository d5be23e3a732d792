"""The attribution reports: each rule, and random worlds against the reference, by day and over ranges."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wemart_assets.lake.inject import parameters
from wemart_assets.lake.mart import Mart
from wemart_assets.marts.attribution.active_user_by_campaign import active_user_by_campaign
from wemart_assets.marts.attribution.active_user_by_date import active_user_by_date
from wemart_assets.marts.attribution.active_user_by_event import active_user_by_event
from wemart_assets.marts.attribution.active_user_total_price_by_country_campaign import (
    active_user_total_price_by_country_campaign,
)
from wemart_assets.marts.attribution.first_open import first_open
from wemart_assets.marts.attribution.hard_funnel import hard_funnel
from wemart_assets.marts.attribution.hard_new_install_funnel_by_partner import hard_new_install_funnel_by_partner
from wemart_assets.marts.attribution.hard_retention_by_dates import hard_retention_by_dates
from wemart_assets.marts.attribution.total_price_active_user_by_campaign import total_price_active_user_by_campaign
from wemart_assets.marts.attribution.total_price_active_user_by_date import total_price_active_user_by_date
from wemart_assets.setting_values.app_events import AppEvents
from wemart_assets_tests.marts.attribution_reference import Reference, shift

Row = dict[str, Any]
Bench = Callable[..., list[Row]]
SEOUL = ZoneInfo("Asia/Seoul")
DAY, NEXT = "2024-01-15", "2024-01-16"
BY_DAY = {"day_columns": ("part_date",)}
ABX_PURCHASE = {"event_name": "abx:purchase"}

REPORTS = (
    active_user_by_date,
    total_price_active_user_by_date,
    active_user_by_event,
    active_user_by_campaign,
    total_price_active_user_by_campaign,
    active_user_total_price_by_country_campaign,
    hard_funnel,
    hard_new_install_funnel_by_partner,
    hard_retention_by_dates,
)
OF_THE_DAY = {"key_date", "cohort_date", "part_date", "run_timestamp"}


def event(user: str | None, name: str | None = "login", at: str = f"{DAY} 12:00:00", **other: Any) -> Row:
    """An event at a local time in Seoul."""
    local = dt.datetime.fromisoformat(at)
    return {
        "identity_adid": user,
        "event_name": name,
        "country": "KR",
        "server_datetime": local.replace(tzinfo=SEOUL).astimezone(dt.UTC),
        "price": None,
        "part_date": local.date().isoformat(),
        **other,
    }


def bought(user: str, price: str | None, **other: Any) -> Row:
    return event(user, "purchase", price=None if price is None else Decimal(price), **other)


def touch(user: str | None, campaign: str | None, day: str = DAY, type: int = 0, partner: str | None = "p") -> Row:
    return {
        "identity_adid": user,
        "campaign": campaign,
        "partner": partner,
        "attribution_type": type,
        "part_date": day,
    }


def report(
    bench: Bench, mart: Mart, day_columns: Sequence[str] = ("part_date",), days: int = 7, **inputs: Any
) -> set[Any]:
    """The report's own columns, with the day if the report is by day."""
    settings = {"funnel_days": days, "app_events": AppEvents()}
    asked = parameters(mart.function)
    used = {"day_columns": tuple(day_columns), **{name: value for name, value in settings.items() if name in asked}}
    rows = bench(mart, used, **{n: rows for n, rows in inputs.items() if n in mart.inputs})
    columns = [*day_columns, *(c.name for c in mart.table.columns if c.name not in OF_THE_DAY)]
    found = [tuple(row[c] for c in columns) for row in rows]
    assert len(set(found)) == len(found)
    return set(found)


def of_day(found: set[Any], day: str = DAY) -> set[Any]:
    return {row[1:] for row in found if row[0] == day}


# --- active_user_by_date, active_user_by_event ------------------------------------------------------------------------


def test_a_user_counts_once_per_day(bench: Bench) -> None:
    events = [event("u"), event("u"), event("u", "search", country="JP", model="x"), event("v")]
    assert report(bench, active_user_by_date, events=events) == {(DAY, 2)}


def test_a_user_active_on_two_days_counts_once_over_the_range(bench: Bench) -> None:
    events = [event("u"), event("u", at=f"{NEXT} 00:00:00"), event("v")]
    assert report(bench, active_user_by_date, events=events) == {(DAY, 2), (NEXT, 1)}
    assert report(bench, active_user_by_date, day_columns=(), events=events) == {(2,)}


@pytest.mark.parametrize("nobody", [None, ""])
def test_events_without_a_user_are_not_counted(bench: Bench, nobody: str | None) -> None:
    events = [event(nobody), bought("u", "1"), event(nobody, "purchase", price=Decimal("5"))]
    assert report(bench, active_user_by_date, events=events) == {(DAY, 1)}
    assert report(bench, total_price_active_user_by_date, events=events) == {(DAY, 1, Decimal(1))}


def test_events_without_a_name_have_their_own_row(bench: Bench) -> None:
    events = [event("u", None), event("v", None), event("u", "search"), event("u", "search")]
    assert report(bench, active_user_by_event, events=events) == {(DAY, None, 2), (DAY, "search", 1)}


# --- amounts ----------------------------------------------------------------------------------------------------------


def test_amounts_are_exact_to_the_last_decimal(bench: Bench) -> None:
    events = [bought("u", "0.1"), bought("u", "0.2"), bought("v", "0.0001"), bought("v", "99999999999999.9999")]
    total = Decimal("100000000000000.3000")
    assert report(bench, total_price_active_user_by_date, events=events) == {(DAY, 2, total)}


def test_equal_purchases_all_count(bench: Bench) -> None:
    events = [bought("u", "5"), bought("u", "5")]
    assert report(bench, total_price_active_user_by_date, events=events) == {(DAY, 1, Decimal(10))}


def test_prices_are_not_multiplied_by_the_quantity(bench: Bench) -> None:
    events = [bought("u", "5", quantity=3)]
    assert report(bench, total_price_active_user_by_date, events=events) == {(DAY, 1, Decimal(5))}


def test_a_purchase_without_a_price_still_counts_the_buyer(bench: Bench) -> None:
    assert report(bench, total_price_active_user_by_date, events=[bought("u", None)]) == {(DAY, 1, Decimal(0))}


def test_only_purchases_add_to_the_amount(bench: Bench) -> None:
    events = [event("u", "add_to_cart", price=Decimal(9)), bought("v", "1")]
    assert report(bench, total_price_active_user_by_date, events=events) == {(DAY, 1, Decimal(1))}
    found = report(bench, active_user_total_price_by_country_campaign, events=events)
    assert found == {(DAY, "KR", "(none)", 2, 1, Decimal(1))}


# --- campaigns --------------------------------------------------------------------------------------------------------


def test_a_user_touched_by_two_campaigns_counts_in_both(bench: Bench) -> None:
    attributions = [touch("u", "a"), touch("u", "b"), touch("u", "a"), touch("v", "a")]
    events = [bought("u", "5"), bought("v", "1"), event("u")]
    found = report(bench, active_user_by_campaign, events=events, attributions=attributions)
    assert found == {(DAY, "a", 2), (DAY, "b", 1)}
    found = report(bench, total_price_active_user_by_campaign, events=events, attributions=attributions)
    assert found == {(DAY, "a", 2, Decimal(6)), (DAY, "b", 1, Decimal(5))}


def test_a_touch_counts_from_the_start_of_its_day_onwards(bench: Bench) -> None:
    days = [shift(DAY, n) for n in (-1, 0, 1)]
    events = [event("u", at=f"{day} 00:00:00") for day in days]
    found = report(bench, active_user_by_campaign, events=events, attributions=[touch("u", "a", DAY)])
    assert found == {(days[0], "(none)", 1), (days[1], "a", 1), (days[2], "a", 1)}


def test_a_touch_of_unknown_time_counts_on_every_day(bench: Bench) -> None:
    events = [event("u", at=f"{day} 12:00:00") for day in ("2024-01-01", DAY)]
    unknown_time = [touch("u", "a", "unknown")]
    found = report(bench, active_user_by_campaign, events=events, unknown_time=unknown_time)
    assert found == {("2024-01-01", "a", 1), (DAY, "a", 1)}


@pytest.mark.parametrize("unnamed", [None, ""])
def test_users_without_a_named_campaign_count_under_none(bench: Bench, unnamed: str | None) -> None:
    attributions = [touch("u", unnamed), touch("v", unnamed), touch("v", "a"), touch(None, "a")]
    events = [event("u"), event("v"), event("w")]
    found = report(bench, active_user_by_campaign, events=events, attributions=attributions)
    assert found == {(DAY, "(none)", 2), (DAY, "a", 1)}


def test_over_a_range_a_user_counts_in_the_campaigns_of_all_days(bench: Bench) -> None:
    events = [event("u"), event("u", at=f"{NEXT} 12:00:00"), event("v", at=f"{NEXT} 12:00:00")]
    attributions = [touch("u", "a", NEXT), touch("v", "a", DAY)]
    found = report(bench, active_user_by_campaign, day_columns=(), events=events, attributions=attributions)
    assert found == {("(none)", 1), ("a", 2)}


def test_amounts_count_only_in_the_country_of_the_purchase(bench: Bench) -> None:
    events = [bought("u", "5", country="KR"), event("u", country="JP"), event("u", country=None)]
    found = report(bench, active_user_total_price_by_country_campaign, events=events, attributions=[touch("u", "a")])
    none = Decimal(0)
    assert found == {(DAY, "KR", "a", 1, 1, Decimal(5)), (DAY, "JP", "a", 1, 0, none), (DAY, None, "a", 1, 0, none)}


# --- hard_funnel ------------------------------------------------------------------------------------------------------


def steps(first: int, login: int, purchase: int, ordered: tuple[int, int, int]) -> set[Any]:
    users = zip((1, 2, 3), ("firstopen", "login", "purchase"), (first, login, purchase), ordered, strict=True)
    return set(users)


def test_users_are_counted_per_step_in_any_order(bench: Bench) -> None:
    events = [event("u", "purchase"), event("v", "login"), event("w", "firstopen"), event("w", "firstopen")]
    found = report(bench, hard_funnel, events=events, later=events)
    assert of_day(found) == steps(1, 1, 1, (1, 0, 0))


def test_steps_at_the_same_instant_are_in_order(bench: Bench) -> None:
    events = [event("u", name) for name in ("purchase", "firstopen", "login")]
    assert of_day(report(bench, hard_funnel, events=events, later=events)) == steps(1, 1, 1, (1, 1, 1))


def test_a_step_a_microsecond_too_early_is_not_in_order(bench: Bench) -> None:
    events = [event("u", "firstopen", f"{DAY} 12:00:00.000001"), event("u", "login", f"{DAY} 12:00:00")]
    assert of_day(report(bench, hard_funnel, events=events, later=events)) == steps(1, 1, 0, (1, 0, 0))


def test_a_purchase_before_the_login_must_be_repeated_to_be_in_order(bench: Bench) -> None:
    events = [
        event("u", "firstopen", f"{DAY} 09:00:00"),
        event("u", "purchase", f"{DAY} 10:00:00"),
        event("u", "login", f"{DAY} 11:00:00"),
    ]
    assert of_day(report(bench, hard_funnel, events=events, later=events)) == steps(1, 1, 1, (1, 1, 0))
    again = [*events, event("u", "purchase", f"{NEXT} 10:00:00")]
    assert of_day(report(bench, hard_funnel, events=events, later=again)) == steps(1, 1, 1, (1, 1, 1))


def test_the_window_ends_at_the_end_of_its_last_day(bench: Bench) -> None:
    opened = [event("u", "firstopen", f"{DAY} 23:59:59")]
    last = f"{shift(DAY, 2)} 23:59:59.999999"
    after = f"{shift(DAY, 3)} 00:00:00"
    for at, expected in ((last, (1, 1, 0)), (after, (1, 0, 0))):
        later = [*opened, event("u", "login", at)]
        assert of_day(report(bench, hard_funnel, days=2, events=opened, later=later)) == steps(1, 0, 0, expected)


def test_a_window_of_zero_days_is_the_day_itself(bench: Bench) -> None:
    opened = [event("u", "firstopen", f"{DAY} 23:59:59")]
    later = [*opened, event("u", "login", f"{NEXT} 00:00:00")]
    assert of_day(report(bench, hard_funnel, days=0, events=opened, later=later)) == steps(1, 0, 0, (1, 0, 0))


def test_any_firstopen_of_the_day_may_start_the_funnel(bench: Bench) -> None:
    events = [event("u", "login", f"{DAY} 10:00:00")]
    events += [event("u", "firstopen", f"{DAY} {hour}:00:00") for hour in ("09", "11")]
    assert of_day(report(bench, hard_funnel, events=events, later=events)) == steps(1, 1, 0, (1, 1, 0))


def test_a_day_without_any_step_has_no_funnel(bench: Bench) -> None:
    assert report(bench, hard_funnel, events=[event("u", "search")], later=[event("u", "search")]) == set()


def test_a_partner_counts_the_users_of_its_new_installs(bench: Bench) -> None:
    events = [event("u", "firstopen"), event("u", "login"), event("v", "firstopen"), event("w", "login")]
    attributions = [
        touch("u", None, partner="p"),
        touch("u", "a", partner="q", type=1),
        touch("v", "a", partner="p", day=NEXT),
        touch("w", "a", partner=None),
    ]
    found = report(bench, hard_new_install_funnel_by_partner, events=events, later=events, attributions=attributions)
    of_p = {("p", *row) for row in steps(1, 1, 0, (1, 1, 0))}
    of_none = {("(none)", *row) for row in steps(0, 1, 0, (0, 0, 0))}
    assert of_day(found) == of_p | of_none


# --- the names of the steps ------------------------------------------------------------------------------------------


def test_event_names_of_the_export_count_as_steps(bench: Bench) -> None:
    events = [event("u", f"abx:{name}") for name in ("firstopen", "login")] + [bought("u", "5") | ABX_PURCHASE]
    inputs = {"events": events, "later": events}
    assert of_day(report(bench, hard_funnel, **inputs)) == steps(1, 1, 1, (1, 1, 1))
    assert report(bench, total_price_active_user_by_date, **inputs) == {(DAY, 1, Decimal(5))}
    assert cohorts(bench, events) == {("u", DAY, events[0]["server_datetime"])}


def test_a_user_with_two_names_of_a_step_counts_once(bench: Bench) -> None:
    events = [event("u", "login"), event("u", "abx:login"), event("v", "abx:login"), event("w", "login")]
    assert of_day(report(bench, hard_funnel, events=events, later=events)) == steps(0, 3, 0, (0, 0, 0))
    by_name = {(DAY, "login", 2), (DAY, "abx:login", 2)}
    assert report(bench, active_user_by_event, events=events) == by_name


def test_event_names_that_are_not_configured_are_no_steps(bench: Bench) -> None:
    names = AppEvents(purchase=("order",))
    events = [bought("u", "5"), bought("v", "2") | {"event_name": "order"}]
    rows = bench(total_price_active_user_by_date, {**BY_DAY, "app_events": names}, events=events)
    assert [(row["purchase_users"], row["total_price"]) for row in rows] == [(1, Decimal(2))]


# --- cohorts and retention --------------------------------------------------------------------------------------------


def cohorts(bench: Bench, events: Sequence[Row], before: Sequence[Row] = ()) -> set[Any]:
    rows = bench(first_open, {"app_events": AppEvents()}, events=events, before=before)
    return {(row["identity_adid"], row["part_date"], row["server_datetime"]) for row in rows}


def test_a_user_belongs_only_to_the_cohort_of_the_first_firstopen(bench: Bench) -> None:
    late = event("u", "firstopen", f"{DAY} 23:00:00")
    early = event("u", "firstopen", f"{DAY} 01:00:00")
    events = [late, early, event("u", "firstopen", f"{NEXT} 00:00:00"), event("v", "login")]
    assert cohorts(bench, events) == {("u", DAY, early["server_datetime"])}


def test_a_user_of_an_earlier_cohort_joins_no_other(bench: Bench) -> None:
    known = {"identity_adid": "u", "part_date": "2024-01-02"}
    events = [event("u", "firstopen"), event("v", "firstopen")]
    assert cohorts(bench, events, [known]) == {("v", DAY, events[1]["server_datetime"])}


def test_retention_covers_cohorts_of_0_1_2_3_and_7_days_before(bench: Bench) -> None:
    opens = [{"identity_adid": f"u{n}", "part_date": shift(DAY, -n)} for n in range(8)]
    opens += [{"identity_adid": f"gone{n}", "part_date": shift(DAY, -n)} for n in range(1, 8)]
    events = [event(f"u{n}") for n in range(8)]
    rows = bench(hard_retention_by_dates, BY_DAY, events=events, first_opens=opens)
    found = {
        (r["part_date"], str(r["cohort_date"]), r["days_since"], r["cohort_users"], r["retained_users"]) for r in rows
    }
    assert found == {(DAY, shift(DAY, -n), n, 1 if n == 0 else 2, 1) for n in (0, 1, 2, 3, 7)}


def test_a_cohort_without_returning_users_has_a_row(bench: Bench) -> None:
    opens = [{"identity_adid": "u", "part_date": shift(DAY, -1)}]
    found = report(bench, hard_retention_by_dates, events=[event("v")], first_opens=opens)
    assert found == {(DAY, 1, 1, 0)}


# --- random worlds ----------------------------------------------------------------------------------------------------

DAYS = [shift("2024-01-10", n) for n in range(10)]
USERS = st.sampled_from(["u", "v", "w", "x", None, ""])
TIMES = st.sampled_from(["00:00:00", "09:00:00", "09:00:00.000001", "23:59:59.999999"])
EVENTS = st.builds(
    lambda user, name, day, time, country, price: event(user, name, f"{day} {time}", country=country, price=price),
    USERS,
    st.sampled_from(["firstopen", "login", "purchase", "abx:firstopen", "abx:login", "abx:purchase", "search", None]),
    st.sampled_from(DAYS),
    TIMES,
    st.sampled_from(["KR", "JP", None]),
    st.none() | st.decimals(0, 1000, places=4, allow_nan=False, allow_infinity=False),
)
TOUCHES = st.builds(
    touch,
    USERS,
    st.sampled_from(["a", "b", None, ""]),
    st.sampled_from(DAYS),
    st.sampled_from([0, 1]),
    st.sampled_from(["p", "q", None]),
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    events=st.lists(EVENTS, max_size=25),
    attributions=st.lists(TOUCHES, max_size=8),
    unknown_time=st.lists(TOUCHES, max_size=2),
    bounds=st.tuples(st.sampled_from(DAYS), st.sampled_from(DAYS)).map(sorted),
    window=st.sampled_from([0, 2, 7]),
)
def test_random_worlds_match_the_reference(
    bench: Bench, events: list[Row], attributions: list[Row], unknown_time: list[Row], bounds: list[str], window: int
) -> None:
    first, last = bounds
    days = [day for day in DAYS if first <= day <= last]
    reference = Reference(events, attributions, unknown_time, funnel_days=window)
    opens = [{"identity_adid": user, "part_date": day} for user, day in reference.cohorts().items()]
    inputs = {
        "events": [e for e in events if first <= e["part_date"] <= last],
        "later": [e for e in events if first <= e["part_date"] <= shift(last, window)],
        "attributions": [a for a in attributions if a["part_date"] <= last],
        "unknown_time": unknown_time,
        "first_opens": [o for o in opens if shift(first, -7) <= o["part_date"] <= last],
    }
    assert {(u, d) for u, d, _ in cohorts(bench, events)} == set(reference.cohorts().items())
    for mart in REPORTS:
        expected = getattr(reference, mart.table.name)
        by_day = {(day, *row) for day in days for row in expected([day])}
        assert report(bench, mart, days=window, **inputs) == by_day, mart.table.name
        over_all = report(bench, mart, day_columns=(), days=window, **inputs)
        # Over an empty range, a report without grouping columns has one row of zeros.
        empty = {row for row in over_all if not any(row)}
        assert over_all - empty == expected(days), mart.table.name
