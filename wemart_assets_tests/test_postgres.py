"""Dagster's history in PostgreSQL, as `deploy/dagster.yaml` configures it: runs and sensor ticks over a real server."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster_postgres import PostgresEventLogStorage

from wemart_assets import catalog
from wemart_assets_tests.environments import LOG, Environment
from wemart_assets_tests.postgres import postgres_server

DEPLOY = Path(__file__).parents[1] / "deploy"
DAY, NEXT_DAY = "2024-03-02", "2024-03-03 12:00:00"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """DAGSTER_HOME with the production configuration, and a server that it reaches."""
    folder = tmp_path_factory.mktemp("home")
    shutil.copy(DEPLOY / "dagster.yaml", folder)
    with postgres_server() as variables, pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        patch.setenv("DAGSTER_HOME", str(folder))
        patch.setenv("WEMART_STATE", str(folder / "state"))
        yield folder


@pytest.fixture
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.get() as instance:
        yield instance
        instance.wipe()


@pytest.fixture
def environment(tmp_path: Path, instance: dg.DagsterInstance) -> Environment:
    """On its first day, of which only the log is watched."""
    ignored = {*catalog.tables(), *catalog.views()} - {LOG}
    return Environment(tmp_path, instance, ignored, first_day=dt.date.fromisoformat(DAY))


def test_a_partition_and_its_checks_are_in_the_history(environment: Environment) -> None:
    environment.land_lines("a.csv", f"{DAY} 10:00:00")
    done = environment.run(DAY)
    assert done.success, {**done.failed, **done.crashed}
    key = dg.AssetKey(LOG.split("."))
    checks = {dg.AssetCheckKey(key, name) for name in done.checks[LOG]}
    with dg.DagsterInstance.get() as another:
        assert isinstance(another.event_log_storage, PostgresEventLogStorage)
        assert [run.status for run in another.get_runs()] == [dg.DagsterRunStatus.SUCCESS]
        assert another.get_materialized_partitions(key) == {DAY}
        assert set(another.event_log_storage.get_latest_asset_check_execution_by_key(list(checks))) == checks != set()


def test_a_tick_requests_what_has_landed_and_the_next_one_nothing(environment: Environment) -> None:
    environment.land_lines("a.csv", f"{DAY} 10:00:00")
    tick = environment.tick(at=NEXT_DAY)
    [request] = tick.requests
    assert request.days == (DAY,)
    environment.execute(request)
    assert environment.published(LOG, DAY) == {DAY}
    assert environment.tick(tick.cursor, NEXT_DAY).requests == []
