"""Dagster's history as configured in `dagster.yaml`: in the state folder, one folder per lake, cheap to write."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

from wemart_assets.history import OPEN_DATABASES

PROJECT = Path(__file__).parents[1]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(PROJECT / "dagster.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("WEMART_STATE", str(tmp_path / "state"))
    return tmp_path


def test_everything_that_dagster_stores_is_in_the_state_folder(home: Path) -> None:
    with dg.DagsterInstance.get() as instance:
        instance.add_run(dg.DagsterRun("job", run_id="0" * 32))
        path = instance.compute_log_manager.get_captured_local_path(["run", "step"], "out")
        assert Path(path).is_relative_to(home / "state" / "dagster")
        assert Path(instance.storage_directory()).is_relative_to(home / "state" / "dagster")
    assert {path.name for path in home.iterdir()} == {"dagster.yaml", "state"}


def test_another_lake_does_not_see_the_first_lakes_failures(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = dg.DagsterRun("job", status=dg.DagsterRunStatus.FAILURE)
    with dg.DagsterInstance.get() as instance:
        instance.add_run(failed)
    monkeypatch.setenv("WEMART_LAKE", str(home / "another"))
    with dg.DagsterInstance.get() as instance:
        assert list(instance.get_runs()) == []
    monkeypatch.delenv("WEMART_LAKE")
    with dg.DagsterInstance.get() as instance:
        assert [run.run_id for run in instance.get_runs()] == [failed.run_id]


def test_processes_started_by_dagster_find_the_same_history(home: Path) -> None:
    with dg.DagsterInstance.get() as instance:
        run = dg.DagsterRun("job")
        instance.add_run(run)
        with dg.DagsterInstance.from_ref(instance.get_ref()) as again:
            assert [r.run_id for r in again.get_runs()] == [run.run_id]


CHECKS = [f"check_{n}" for n in range(10)]
DAYS = dg.DailyPartitionsDefinition("2024-03-01", end_date="2024-04-01")


@dg.asset(
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    check_specs=[dg.AssetCheckSpec(name, asset="checked") for name in CHECKS],
)
def checked() -> dg.MaterializeResult:  # type: ignore[type-arg]
    return dg.MaterializeResult(check_results=[dg.AssetCheckResult(check_name=name, passed=True) for name in CHECKS])


def _run(instance: dg.DagsterInstance) -> str:
    tags = {"dagster/asset_partition_range_start": "2024-03-01", "dagster/asset_partition_range_end": "2024-03-07"}
    result = dg.materialize([checked], instance=instance, tags=tags)
    assert result.success
    return result.run_id


def _line(run: str, text: str) -> EventLogEntry:
    return EventLogEntry(None, "info", text, run, timestamp=0.0)


def test_a_run_opens_few_databases_for_many_checks_and_days(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    connect = sqlite3.connect

    def counting(database: str, *args: Any, **kwargs: Any) -> sqlite3.Connection:
        opened.append(database)
        return connect(database, *args, **kwargs)

    with dg.DagsterInstance.get() as instance:
        _run(instance)
        monkeypatch.setattr(sqlite3.dbapi2, "connect", counting)
        run = _run(instance)
    events = [path for path in opened if "runs.db" not in path]
    assert sum(Path(path).name == f"{run}.db" for path in events) < 10
    assert sum(Path(path).name == "index.db" for path in events) < 10


def test_the_history_is_compatible_with_dagsters_own_storage(home: Path) -> None:
    folder = str(home / "state" / "dagster" / "history" / "runs")
    with dg.DagsterInstance.get() as instance:
        run = _run(instance)
        written = [entry.message for entry in instance.all_logs(run)]
        plain = SqliteEventLogStorage(folder)
        assert [record.event_log_entry.message for record in plain.get_records_for_run(run).records] == written
        plain.store_event(_line(run, "by another process"))
        assert instance.all_logs(run)[-1].user_message == "by another process"


def test_events_stored_by_a_killed_process_are_kept(home: Path) -> None:
    """The process dies with its databases open and nothing copied from the write-ahead log."""
    script = (
        "import os, dagster as dg\n"
        "instance = dg.DagsterInstance.get()\n"
        "instance.report_runless_asset_event(dg.AssetMaterialization('told'))\n"
        "os._exit(9)\n"
    )
    died = subprocess.run([sys.executable, "-c", script], cwd=home, check=False)
    assert died.returncode == 9
    with dg.DagsterInstance.get() as instance:
        assert instance.get_latest_materialization_event(dg.AssetKey("told")) is not None


def test_a_run_can_be_watched_while_its_database_is_open(home: Path) -> None:
    with dg.DagsterInstance.get() as writer, dg.DagsterInstance.get() as reader:
        run = _run(writer)
        seen = threading.Event()
        reader.watch_event_logs(run, None, lambda entry, _cursor: seen.set() if entry.user_message == "now" else None)
        writer.handle_new_event(_line(run, "now"))
        assert seen.wait(60)


def test_more_runs_than_open_databases_can_be_read(home: Path) -> None:
    with dg.DagsterInstance.get() as instance:
        runs = [_run(instance) for _ in range(OPEN_DATABASES + 2)]
        lengths = {len(instance.all_logs(run)) for run in runs}
        assert len(lengths) == 1


def test_a_wiped_history_is_empty_and_writable(home: Path) -> None:
    with dg.DagsterInstance.get() as instance:
        _run(instance)
        instance.wipe()
        assert instance.get_latest_materialization_event(checked.key) is None
        _run(instance)
        assert instance.get_latest_materialization_event(checked.key) is not None
