"""The jobs, the schedule, and the instance that they run on."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
import yaml

from wemart_assets import catalog
from wemart_assets.lake.days import Period

if TYPE_CHECKING:
    from wemart_assets_tests.environments import Environment, MakeEnvironment

ROOT = Path(__file__).parents[2]
SESSIONS_JOB = "analytics_we_mart_wv1_daily"
PRIORITY_JOB = "analytics_we_mart_priority_daily"
SESSION_MARTS = {
    "we_mart.wv_server_log_base",
    "we_mart.wv_sess_daily",
    "we_mart.wv_user_daily",
    "we_mart.stats_wv_d_session",
    "we_mart.stats_wv_d_user_sess",
    "we_mart.stats_wv_d_platform",
}
REPORT = "reports.engagement_report"
SESSION_SOURCES = {
    "service_log.weverse_server_log",
    "weverse2.community_content_post",
    "weverse2.community_content_common_notice",
    "we_mart.we_user",
    "we_mart.we_artist",
    "we_mart.ws_fc_user_history",
}


@pytest.fixture(scope="module")
def graph(make_environment: MakeEnvironment) -> Environment:
    """An environment of which only the graph is inspected."""
    return make_environment()


def _tables(environment: Environment, job: str) -> set[str]:
    return {".".join(key.path) for key in environment.defs.resolve_job_def(job).asset_layer.selected_asset_keys}


def test_the_sessions_job_contains_the_session_tables(graph: Environment) -> None:
    assert _tables(graph, SESSIONS_JOB) >= SESSION_MARTS


def test_the_sessions_job_contains_no_source(graph: Environment) -> None:
    assert not _tables(graph, SESSIONS_JOB) & SESSION_SOURCES


def test_the_priority_job_contains_the_session_tables_and_their_sources(graph: Environment) -> None:
    assert _tables(graph, PRIORITY_JOB) >= SESSION_MARTS | SESSION_SOURCES


@pytest.mark.parametrize("job", [SESSIONS_JOB, PRIORITY_JOB])
def test_a_job_is_partitioned_by_business_day(graph: Environment, job: str) -> None:
    partitions = graph.defs.resolve_job_def(job).partitions_def
    assert isinstance(partitions, dg.DailyPartitionsDefinition)
    assert (str(partitions.timezone), partitions.get_first_partition_key()) == ("Asia/Seoul", "2024-03-01")


def _schedule(environment: Environment) -> dg.ScheduleDefinition:
    return environment.defs.resolve_schedule_def(f"{PRIORITY_JOB}_schedule")


def test_the_schedule_runs_at_two_in_the_morning_in_the_business_timezone(graph: Environment) -> None:
    schedule = _schedule(graph)
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 2 * * *", "Asia/Seoul")


def test_the_schedule_runs_the_priority_job(graph: Environment) -> None:
    assert _schedule(graph).job_name == PRIORITY_JOB


def test_each_period_has_a_schedule(graph: Environment) -> None:
    schedules = {s.name: s.cron_schedule for s in graph.defs.get_repository_def().schedule_defs}
    assert schedules == {
        "analytics_we_mart_priority_daily_schedule": "0 2 * * *",
        "analytics_we_mart_weekly_schedule": "0 5 * * 1",
        "analytics_we_mart_monthly_schedule": "0 5 1 * *",
    }


@pytest.mark.parametrize(("job", "period"), [("weekly", Period.WEEK), ("monthly", Period.MONTH)])
def test_weekly_and_monthly_tables_have_their_own_jobs(graph: Environment, job: str, period: Period) -> None:
    of_period = {name for name, declared in catalog.marts().items() if declared.table.period is period}
    assert _tables(graph, f"analytics_we_mart_{job}") == of_period
    assert not _tables(graph, PRIORITY_JOB) & of_period


def test_each_table_belongs_to_the_sensor_job_of_exactly_one_period(graph: Environment) -> None:
    parts = [_tables(graph, f"requested_by_{period}") for period in Period]
    assert sorted(name for part in parts for name in part) == sorted([*catalog.tables(), REPORT])


def test_the_report_follows_the_daily_tables_in_the_scheduled_job(graph: Environment) -> None:
    assert REPORT in _tables(graph, PRIORITY_JOB)
    assert REPORT not in _tables(graph, SESSIONS_JOB)


def _requested(environment: Environment, at: dt.datetime) -> list[str | None]:
    context = dg.build_schedule_context(
        instance=environment.instance, scheduled_execution_time=at, repository_def=environment.defs.get_repository_def()
    )
    return [request.partition_key for request in _schedule(environment).evaluate_tick(context).run_requests or ()]


@pytest.mark.parametrize(
    ("at", "day"),
    [
        ("2024-03-06 02:00:00", "2024-03-05"),
        ("2024-03-02 02:00:00", "2024-03-01"),
        ("2025-01-01 02:00:00", "2024-12-31"),
    ],
)
def test_the_schedule_requests_the_previous_business_day(graph: Environment, at: str, day: str) -> None:
    assert _requested(graph, dt.datetime.fromisoformat(at).replace(tzinfo=ZoneInfo("Asia/Seoul"))) == [day]


def test_the_schedule_requests_nothing_before_the_first_day_is_over(graph: Environment) -> None:
    assert _requested(graph, dt.datetime(2024, 3, 1, 2, tzinfo=ZoneInfo("Asia/Seoul"))) == []


def test_after_the_last_day_the_schedule_requests_no_further_day(
    graph: Environment, make_environment: MakeEnvironment
) -> None:
    """The run key is the day, and the daemon never launches a second run with a key that it has seen."""
    environment = make_environment(last_day=dt.date(2024, 3, 5))
    for day in (6, 7, 30):
        assert _requested(environment, dt.datetime(2024, 3, day, 2, tzinfo=ZoneInfo("Asia/Seoul"))) == ["2024-03-05"]

    def expected(of: Environment) -> int:
        return sum(spec.freshness_policy is not None for spec in of.defs.resolve_all_asset_specs())

    assert (expected(environment), expected(graph) > 50) == (0, True)


@pytest.mark.parametrize(("at", "day"), [((2024, 3, 10, 2), "2024-03-09"), ((2024, 3, 11, 2), "2024-03-10")])
def test_the_schedule_follows_the_configured_timezone(
    make_environment: MakeEnvironment, at: tuple[int, int, int, int], day: str
) -> None:
    """In New York there is no 02:00 on 2024-03-10."""
    environment = make_environment(timezone="America/New_York")
    zone = ZoneInfo("America/New_York")
    assert _schedule(environment).execution_timezone == "America/New_York"
    assert _requested(environment, dt.datetime(*at, tzinfo=zone)) == [day]


def test_the_sensor_has_the_documented_name(graph: Environment) -> None:
    assert [sensor.name for sensor in graph.defs.sensors or ()] == ["landing_sensor"]


@pytest.mark.slow
@pytest.mark.parametrize("days", [("2024-03-01", "2024-03-01"), ("2024-03-01", "2024-03-02")], ids=["day", "range"])
def test_the_priority_job_runs(environment: Environment, days: tuple[str, str]) -> None:
    environment.land_lines("a.csv", "2024-03-01 12:00:00", "2024-03-02 12:00:00")
    one = days[0] == days[1]
    tags = {"dagster/asset_partition_range_start": days[0], "dagster/asset_partition_range_end": days[1]}
    result = environment.defs.resolve_job_def(PRIORITY_JOB).execute_in_process(
        instance=environment.instance, partition_key=days[0] if one else None, tags={} if one else tags
    )
    assert result.success
    assert sorted({row["part_date"] for row in environment.read("we_mart.wv_sess_daily")}) == sorted(set(days))


@pytest.fixture(scope="module")
def dagster_yaml() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "dagster.yaml").read_text())


def test_runs_are_launched_one_at_a_time(dagster_yaml: dict[str, Any]) -> None:
    assert dagster_yaml["run_coordinator"]["class"] == "QueuedRunCoordinator"
    assert dagster_yaml["run_coordinator"]["config"]["max_concurrent_runs"] == 1


def test_telemetry_is_off(dagster_yaml: dict[str, Any]) -> None:
    assert dagster_yaml["telemetry"] == {"enabled": False}


def test_dagster_accepts_the_instance_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(ROOT / "dagster.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.telemetry_enabled is False
        assert instance.get_concurrency_config().run_queue_config.max_concurrent_runs == 1


def test_the_workspace_loads_the_definitions() -> None:
    workspace = yaml.safe_load((ROOT / "workspace.yaml").read_text())
    assert workspace == {"load_from": [{"python_module": "wemart_assets.definitions"}]}
