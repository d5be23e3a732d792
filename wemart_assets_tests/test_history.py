"""Dagster's history as `dagster.yaml` sets it up: below the state, apart for each lake."""

from __future__ import annotations

import shutil
from pathlib import Path

import dagster as dg
import pytest

PROJECT = Path(__file__).parents[1]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(PROJECT / "dagster.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("WEMART_STATE", str(tmp_path / "state"))
    return tmp_path


def test_all_that_dagster_keeps_lies_in_the_state(home: Path) -> None:
    with dg.DagsterInstance.get() as instance:
        instance.add_run(dg.DagsterRun("job", run_id="0" * 32))
        path = instance.compute_log_manager.get_captured_local_path(["run", "step"], "out")
        assert Path(path).is_relative_to(home / "state" / "dagster")
        assert Path(instance.storage_directory()).is_relative_to(home / "state" / "dagster")
    assert {path.name for path in home.iterdir()} == {"dagster.yaml", "state"}


def test_another_lake_does_not_see_what_failed_over_the_first(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = dg.DagsterRun("job", status=dg.DagsterRunStatus.FAILURE)
    with dg.DagsterInstance.get() as instance:
        instance.add_run(failed)
    monkeypatch.setenv("WEMART_LAKE", str(home / "another"))
    with dg.DagsterInstance.get() as instance:
        assert list(instance.get_runs()) == []
    monkeypatch.delenv("WEMART_LAKE")
    with dg.DagsterInstance.get() as instance:
        assert [run.run_id for run in instance.get_runs()] == [failed.run_id]


def test_processes_that_dagster_starts_find_the_same_history(home: Path) -> None:
    with dg.DagsterInstance.get() as instance:
        run = dg.DagsterRun("job")
        instance.add_run(run)
        with dg.DagsterInstance.from_ref(instance.get_ref()) as again:
            assert [r.run_id for r in again.get_runs()] == [run.run_id]
