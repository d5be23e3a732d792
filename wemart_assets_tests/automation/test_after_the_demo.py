"""What turning the sensor and the schedule on does to a platform whose days have all been run, such as the demo's."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from wemart_assets.lake.days import days_between

if TYPE_CHECKING:
    from pathlib import Path

    from wemart_assets_tests.environments import Environment, MakeEnvironment

DAYS = days_between("2024-01-01", "2024-01-05")


@pytest.fixture(scope="module")
def after(world: Path, make_environment: MakeEnvironment) -> Environment:
    """The graph over the simulated platform. Read-only."""
    environment = make_environment(looks_at_users=True, first_day=dt.date(2024, 1, 1))
    environment.overrides |= {"lake": world / "lake", "landing": world / "landing"}
    return environment


@pytest.mark.parametrize("at", ["2024-01-06 12:00:00", "2026-11-24 12:00:00"])
def test_the_first_tick_requests_each_delivered_day_once_and_no_later_day(after: Environment, at: str) -> None:
    requests = [request for tick in after.ticks(at=at) for request in tick.requests]
    assert {day for request in requests for day in request.days} == set(DAYS)
    made = Counter((table, day) for request in requests for table in request.tables for day in request.days)
    assert set(made.values()) == {1}
    assert len(requests) <= 3, "those without days, and all days in one run"


def test_the_schedule_continues_with_the_latest_complete_day(after: Environment) -> None:
    schedule = after.defs.resolve_schedule_def("analytics_we_mart_priority_daily_schedule")
    at = dt.datetime(2024, 1, 7, 2, tzinfo=ZoneInfo("Asia/Seoul"))
    context = dg.build_schedule_context(
        instance=after.instance, scheduled_execution_time=at, repository_def=after.defs.get_repository_def()
    )
    [request] = schedule.evaluate_tick(context).run_requests or ()
    assert request.partition_key == "2024-01-06"


@pytest.mark.slow
def test_a_scheduled_day_without_deliveries_runs(after: Environment, make_environment: MakeEnvironment) -> None:
    environment = make_environment(looks_at_users=True, first_day=dt.date(2024, 1, 1))
    environment.copy_of(after)
    result = environment.defs.resolve_job_def("analytics_we_mart_priority_daily").execute_in_process(
        instance=environment.instance,
        partition_key="2024-01-06",
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    assert result.success
    members = {row["part_date"] for row in environment.read("we_mart.wv_comm_user")}
    assert members == {*DAYS, "2024-01-06"}, "members are carried on"
