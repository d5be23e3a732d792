"""What late visits request of the tables by week and month, and what they result in (tables.md 2.4)."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from wemart_assets.lake.days import days_between
from wemart_assets_tests.graph import upstream

if TYPE_CHECKING:
    from wemart_assets_tests.environments import Environment, MakeEnvironment, Tick

LOG = "service_log.weverse_server_log"
FIRST = "we_mart.wv_art_first_vst"
BASE, COHORT = "we_mart.wv_visit_weekly_base", "we_mart.stats_wv_w_art_cohort_vst"
RETENTION, DURATION = "we_mart.stats_wv_w_retention_visit_by_type_comm", "we_mart.stats_wv_w_sess_duration"
MONTHLY_BASE, MONTHLY_COHORT = "we_mart.wv_visit_monthly_base", "we_mart.stats_wv_m_art_cohort_vst"
MONTHLY_RETENTION = "we_mart.stats_wv_m_retention_visit_by_type_comm"
TABLES = (FIRST, BASE, COHORT, RETENTION, DURATION, MONTHLY_BASE, MONTHLY_COHORT, MONTHLY_RETENTION)
MADE_OF = frozenset().union(*map(upstream, TABLES))
# Business days are those of March and April.
NOW, LATEST = "2024-05-01 12:00:00", "2024-04-30"
FIRST_DAY = dt.date(2024, 3, 1)
ACCOUNT = dict.fromkeys(("wv_status", "wv_leave_dt", "wv_first_join_dt", "ctry_code", "vlive_id"))


def days_of(ticks: Sequence[Tick], table: str) -> list[str]:
    return sorted({day for tick in ticks for day in tick.days_of(table)})


def run_all(environment: Environment, cursor: str | None) -> tuple[str | None, list[Tick]]:
    """Runs what is requested of the tables here, tick by tick, until nothing more is."""
    ticks = []
    for _ in range(20):
        tick = environment.tick(cursor, NOW)
        cursor = tick.cursor
        ticks.append(tick)
        wanted = [replace(request, tables=request.tables & MADE_OF) for request in tick.requests]
        for request in wanted:
            if request.tables:
                environment.execute(request)
        if not any(request.tables for request in wanted):
            return cursor, ticks
    raise AssertionError("the sensor does not come to rest")


def visits(environment: Environment, *visits: tuple[str, int, int]) -> list[dict[str, Any]]:
    """Lines of the log: a day, a user and the community whose post they read."""
    return [
        environment.line(
            f"{day} 12:00:00", user_info_id=user, user_info_device_id=f"d{user}", url=f"/community-{comm}/post-1-{comm}"
        )
        for day, user, comm in visits
    ]


def prepared(make_environment: MakeEnvironment, **settings: Any) -> Environment:
    """Two communities with an artist each, and six accounts."""
    environment = make_environment(looks_at_users=True, first_day=FIRST_DAY, **settings)
    accounts = [{**ACCOUNT, "we_member_id": 100 + user, "wv_user_id": user} for user in range(1, 7)]
    environment.land("we_mart.we_user", "date=2024-03-01/a.csv", accounts)
    artists = [environment.artist(comm - 9, f"artist {comm}", comm) for comm in (10, 11)]
    environment.land("we_mart.we_artist", "date=2024-03-01/a.csv", artists)
    return environment


def rows(environment: Environment) -> dict[str, list[dict[str, Any]]]:
    return {table: environment.read(table) for table in TABLES}


@pytest.mark.slow
def test_visits_in_any_order_of_arrival_end_in_the_same_tables(make_environment: MakeEnvironment) -> None:
    chance, days = random.Random(7), days_between("2024-03-01", LATEST)
    made = [(chance.choice(days), chance.randint(1, 6), chance.choice([10, 11])) for _ in range(60)]
    # The last day is delivered first, so that every week and month is over.
    made = [(LATEST, 1, 10), *made]

    at_once = prepared(make_environment)
    at_once.land(LOG, "a.csv", visits(at_once, *made))
    run_all(at_once, None)
    expected = rows(at_once)
    assert all(expected.values()), {table: len(found) for table, found in expected.items()}

    in_parts = prepared(make_environment)
    cursor = None
    for number, part in enumerate((made[:40], made[40:])):
        in_parts.land(LOG, f"{number}.csv", visits(in_parts, *part))
        cursor, _ = run_all(in_parts, cursor)
    assert rows(in_parts) == expected


@pytest.mark.slow
def test_a_late_visit_requests_every_period_that_reads_it(make_environment: MakeEnvironment) -> None:
    environment = prepared(make_environment)
    environment.land(LOG, "a.csv", visits(environment, (LATEST, 1, 10), ("2024-03-01", 1, 10)))
    cursor, _ = run_all(environment, None)
    environment.land(LOG, "late.csv", visits(environment, ("2024-03-13", 2, 10)))
    _, ticks = run_all(environment, cursor)
    assert days_of(ticks, LOG) == ["2024-03-13"]
    assert days_of(ticks, FIRST) == days_between("2024-03-13", LATEST)
    assert days_of(ticks, BASE) == days_of(ticks, DURATION) == ["2024-03-11"]
    assert days_of(ticks, RETENTION) == ["2024-03-11", "2024-03-18"]
    assert days_of(ticks, COHORT) == days_between("2024-03-11", "2024-04-22")[::7]
    assert days_of(ticks, MONTHLY_BASE) == ["2024-03-01"]
    assert days_of(ticks, MONTHLY_RETENTION) == days_of(ticks, MONTHLY_COHORT) == ["2024-03-01", "2024-04-01"]


def test_a_visit_in_the_first_week_that_is_not_whole_requests_no_week(
    make_environment: MakeEnvironment,
) -> None:
    environment = prepared(make_environment)
    environment.land(LOG, "a.csv", visits(environment, ("2024-03-02", 1, 10)))
    requested = environment.ticks(at="2024-03-04 12:00:00")
    assert all(days_of(requested, table) == [] for table in (BASE, RETENTION, DURATION, COHORT))
