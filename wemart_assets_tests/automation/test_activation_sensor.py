"""What the landing sensor requests of users, their first events and the funnel, and where late data ends."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from wemart_assets.lake.days import days_between

if TYPE_CHECKING:
    from wemart_assets_tests.automation.conftest import House, MakeHouse, Tick

LOG, ACCOUNTS, ATTRIBUTION = "service_log.weverse_server_log", "we_mart.we_user", "igaworks.attribution"
EVENTS, USERS, TOUCHES = "core.fact__events", "core.dim__users", "core.first_touch"
FIRSTS, FUNNEL = "activation.fact__first_activation_events", "activation.activation_funnel_daily"
TABLES = (EVENTS, USERS, TOUCHES, FIRSTS, FUNNEL)
# The days that there are: the first to the eleventh of March.
NOW, LATEST = "2024-03-12 12:00:00", "2024-03-11"
JOIN = "/v1/community-10/join"


def days_of(ticks: list[Tick], table: str) -> list[str]:
    return sorted({day for tick in ticks for day in tick.days_of(table)})


@pytest.fixture
def watched(make_house: MakeHouse) -> House:
    return make_house(looks_at_users=True)


def test_a_day_of_the_log_requests_its_events_all_later_users_and_the_cohorts_of_the_windows(watched: House) -> None:
    watched.land_lines("a.csv", "2024-03-09 12:00:00")
    ticks = watched.ticks(at=NOW)
    assert days_of(ticks, EVENTS) == ["2024-03-09"]
    assert days_of(ticks, USERS) == days_of(ticks, FIRSTS) == days_between("2024-03-09", LATEST)
    assert days_of(ticks, FUNNEL) == days_between("2024-03-02", LATEST)


def test_a_touch_requests_the_touches_and_the_users_from_its_day_on(watched: House) -> None:
    watched.land(ATTRIBUTION, "part-00000", "p,a,2024-03-09 12:00:00.0,t,log,0,adid\n")
    ticks = watched.ticks(at=NOW)
    assert days_of(ticks, TOUCHES) == days_of(ticks, USERS) == days_between("2024-03-09", LATEST)
    assert days_of(ticks, EVENTS) == []


# --- whole runs -------------------------------------------------------------------------------------------------------

FEW_DAYS, FIRST = "2024-03-04 12:00:00", dt.date(2024, 3, 1)
ACCOUNT = dict.fromkeys(("wv_status", "wv_leave_dt", "wv_first_join_dt", "ctry_code", "vlive_id"))
ON_TIME = {
    # The user comes on the second and joins on the third.
    "a.csv": (("2024-03-02 12:00:00", "/home"), ("2024-03-03 12:00:00", JOIN)),
    # Two days later it is told that the user came, and joined, on the first already.
    "late.csv": (("2024-03-01 23:59:59", "/home"),),
    "later.csv": (("2024-03-02 00:00:00", JOIN),),
}


def land(house: House, path: str) -> None:
    house.land(LOG, path, [house.line(local, url, user_info_id=7) for local, url in ON_TIME[path]])


def run_all(house: House, cursor: str | None = None) -> str | None:
    for tick in house.ticks(cursor, FEW_DAYS):
        cursor = tick.cursor
        for request in tick.requests:
            house.execute(request)
    return cursor


@pytest.mark.slow
def test_late_data_ends_where_data_on_time_would_and_another_setting_is_a_backfill(make_house: MakeHouse) -> None:
    late, on_time = (make_house(looks_at_users=True, first_day=FIRST) for _ in range(2))
    for house in (late, on_time):
        house.land(ACCOUNTS, "date=2024-03-01/a.csv", [{**ACCOUNT, "we_member_id": 100, "wv_user_id": 7}])
    cursor = None
    for path in ON_TIME:
        land(late, path)
        cursor = run_all(late, cursor)
        land(on_time, path)
    run_all(on_time)
    for table in TABLES:
        assert late.read(table) == on_time.read(table), table
    firsts = {(r["part_date"], r["event_name"], r["days_from_first_visit"]) for r in late.read(FIRSTS)}
    assert firsts == {("2024-03-01", "first_visit", 1), ("2024-03-02", "key_event_1", 2)}
    assert steps(late) == {
        ("2024-03-01", "first_visit", 1),
        ("2024-03-01", "key_event_1", 0),
        ("2024-03-01", "key_event_2", 0),
    }

    late.set(key_events={"joined": {"log": [{"is_join": 1}]}}, key_event_days=[2])
    late.run("2024-03-01", "2024-03-03", {EVENTS, FIRSTS, FUNNEL})
    assert {row["event_name"] for row in late.read(FIRSTS)} == {"first_visit", "joined"}
    assert steps(late) == {("2024-03-01", "first_visit", 1), ("2024-03-01", "joined", 1)}


def steps(house: House) -> set[tuple[str, str, int]]:
    return {(row["part_date"], row["event_name"], row["users_in_order"]) for row in house.read(FUNNEL)}
