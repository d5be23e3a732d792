"""What the landing sensor requests for users, their first events and the funnel, and what late data results in."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from wemart_assets.lake.days import days_between
from wemart_assets_tests.graph import upstream

if TYPE_CHECKING:
    from wemart_assets_tests.environments import Environment, MakeEnvironment, Tick

LOG, ACCOUNTS, ATTRIBUTION = "service_log.weverse_server_log", "we_mart.we_user", "igaworks.attribution"
EVENTS, USERS, TOUCHES = "core.fact__events", "core.dim__users", "core.first_touch"
FIRSTS, FUNNEL = "activation.fact__first_activation_events", "activation.activation_funnel_daily"
# The partitions that exist: 1 to 11 March.
NOW, LATEST = "2024-03-12 12:00:00", "2024-03-11"
JOIN = "/v1/community-10/join"


def days_of(ticks: list[Tick], table: str) -> list[str]:
    return sorted({day for tick in ticks for day in tick.days_of(table)})


@pytest.fixture
def watched(make_environment: MakeEnvironment) -> Environment:
    return make_environment(looks_at_users=True)


def test_a_log_day_requests_its_events_later_users_and_affected_cohorts(
    watched: Environment,
) -> None:
    watched.land_lines("a.csv", "2024-03-09 12:00:00")
    ticks = watched.ticks(at=NOW)
    assert days_of(ticks, EVENTS) == ["2024-03-09"]
    assert days_of(ticks, USERS) == days_of(ticks, FIRSTS) == days_between("2024-03-09", LATEST)
    # For the cohort of the 3rd, the 9th is day seven.
    assert days_of(ticks, FUNNEL) == days_between("2024-03-03", LATEST)


def test_a_touch_requests_touches_and_users_from_its_day_onwards(watched: Environment) -> None:
    watched.land(ATTRIBUTION, "part-00000", "p,a,2024-03-09 12:00:00.0,t,log,0,adid\n")
    ticks = watched.ticks(at=NOW)
    assert days_of(ticks, TOUCHES) == days_of(ticks, USERS) == days_between("2024-03-09", LATEST)
    assert days_of(ticks, EVENTS) == []


# --- whole runs -------------------------------------------------------------------------------------------------------

FEW_DAYS, FIRST = "2024-03-04 12:00:00", dt.date(2024, 3, 1)
ACCOUNT = dict.fromkeys(("wv_status", "wv_leave_dt", "wv_first_join_dt", "ctry_code", "vlive_id"))
MADE_OF = upstream(FUNNEL) | upstream(USERS)


def run_all(environment: Environment, cursor: str | None, *lines: tuple[str, str]) -> str | None:
    """Lands a file with lines of user 7 and runs the requested tables that users and the funnel depend on."""
    environment.land(
        LOG, f"{lines[0][0]}.csv", [environment.line(local, url=url, user_info_id=7) for local, url in lines]
    )
    for tick in environment.ticks(cursor, FEW_DAYS):
        cursor = tick.cursor
        for request in tick.requests:
            if tables := request.tables & MADE_OF:
                environment.execute(replace(request, tables=tables))
    return cursor


def firsts(environment: Environment) -> set[tuple[str, str, int]]:
    return {(row["part_date"], row["event_name"], row["days_from_first_visit"]) for row in environment.read(FIRSTS)}


def steps(environment: Environment) -> set[tuple[str, str, int, int]]:
    return {(r["part_date"], r["event_name"], r["users"], r["users_in_order"]) for r in environment.read(FUNNEL)}


@pytest.mark.slow
def test_late_data_matches_on_time_data_and_a_new_setting_is_a_backfill(
    make_environment: MakeEnvironment,
) -> None:
    environment = make_environment(looks_at_users=True, first_day=FIRST)
    environment.land(ACCOUNTS, "date=2024-03-01/a.csv", [{**ACCOUNT, "we_member_id": 100, "wv_user_id": 7}])
    cursor = run_all(environment, None, ("2024-03-02 12:00:00", "/home"), ("2024-03-03 12:00:00", JOIN))
    assert firsts(environment) == {("2024-03-02", "first_visit", 1), ("2024-03-03", "key_event_1", 2)}
    # Late lines: the user's first visit and join were earlier.
    cursor = run_all(environment, cursor, ("2024-03-02 00:00:00", JOIN))
    assert firsts(environment) == {("2024-03-02", "first_visit", 1), ("2024-03-02", "key_event_1", 1)}
    run_all(environment, cursor, ("2024-03-01 23:59:59", "/home"))
    assert firsts(environment) == {("2024-03-01", "first_visit", 1), ("2024-03-02", "key_event_1", 2)}
    users = {(row["part_date"], row["user_id"], str(row["first_date"])) for row in environment.read(USERS)}
    assert users == {(f"2024-03-0{day}", "100", "2024-03-01") for day in (1, 2, 3)}
    came = ("2024-03-01", "first_visit", 1, 1)
    assert steps(environment) == {came, ("2024-03-01", "key_event_1", 0, 0), ("2024-03-01", "key_event_2", 0, 0)}

    environment.overrides |= {"key_events": {"joined": {"log": [{"is_join": 1}]}}, "key_event_days": [2]}
    assert environment.run("2024-03-01", "2024-03-03", {EVENTS, FIRSTS, FUNNEL}).success
    assert firsts(environment) == {("2024-03-01", "first_visit", 1), ("2024-03-02", "joined", 2)}
    assert steps(environment) == {came, ("2024-03-01", "joined", 1, 1)}


@pytest.mark.slow
def test_a_late_event_counts_for_the_cohort_of_an_earlier_day(make_environment: MakeEnvironment) -> None:
    """The funnel of the 1st reads the events of the 2nd, so it must run after them."""
    environment = make_environment(looks_at_users=True, first_day=FIRST, key_event_days=[3, 7])
    environment.land(ACCOUNTS, "date=2024-03-01/a.csv", [{**ACCOUNT, "we_member_id": 100, "wv_user_id": 7}])
    cursor = run_all(environment, None, ("2024-03-01 12:00:00", "/home"), ("2024-03-03 12:00:00", "/home"))
    assert ("2024-03-01", "key_event_1", 0, 0) in steps(environment)
    run_all(environment, cursor, ("2024-03-02 12:00:00", JOIN))
    assert ("2024-03-01", "key_event_1", 1, 1) in steps(environment)
