"""`wemart doctor` finds what is wrong with an installation, says how to fix it, and changes nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from wemart_assets.cli import main
from wemart_assets_tests.engines import why_no_spark

LOG = "service_log.weverse_server_log"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as `wemart init` makes it, in which nothing has run."""
    for name in [name for name in os.environ if name.startswith(("WEMART_", "DAGSTER_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(main, ["init"]).exit_code == 0
    (tmp_path / ".env").write_text("")
    return tmp_path


def doctor(**settings: str) -> Result:
    given: Mapping[str, str] = {f"WEMART_{name}": value for name, value in settings.items()}
    return CliRunner().invoke(main, ["doctor"], env=given)


def files(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def test_an_installation_without_data_has_no_problem_and_stays_as_it_is(folder: Path) -> None:
    before = files(folder)
    result = doctor()
    assert result.exit_code == 0
    assert "problem" not in result.output
    assert "warning  tables: none is published\n" in result.output
    assert "Start with `wemart demo`" in result.output
    assert files(folder) == before


def test_sources_that_have_landed_are_counted_and_others_named(folder: Path) -> None:
    for name in (LOG, "rudder.tracks", "weverse_log"):
        (folder / ".wemart" / "landing" / name).mkdir(parents=True)
    result = doctor()
    assert "landing has folders of 2 sources" in result.output
    assert "landing has folders that no source reads: weverse_log\n" in result.output
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"TIMEZONE": "Asia/Soul"}, "settings: invalid settings: WEMART_TIMEZONE='Asia/Soul'"),
        ({"SOURCES": "missing.yaml"}, "landing: WEMART_SOURCES=missing.yaml cannot be read: No such file"),
        ({"LAKE": "taken/lake"}, "lake: {folder}/taken/lake cannot be written"),
        ({"SPILL": "taken"}, "spill: {folder}/taken cannot be written"),
        ({"STATE": "taken/state"}, "state: {folder}/taken/state cannot be written"),
    ],
    ids=["a setting", "sources.yaml", "the lake", "spill", "state"],
)
def test_a_problem_is_told_with_its_part(folder: Path, settings: dict[str, str], message: str) -> None:
    (folder / "taken").write_text("a file where a folder should be")
    result = doctor(**settings)
    assert f"problem  {message.format(folder=folder)}" in result.output
    assert result.exit_code == 1


def test_one_problem_does_not_hide_another(folder: Path) -> None:
    (folder / "taken").write_text("")
    result = doctor(LAKE="taken/lake", SOURCES="missing.yaml", SPILL="taken")
    assert result.output.count("problem  ") == 3


def test_a_damaged_table_is_named_with_the_others_counted(folder: Path) -> None:
    for name in ("wv_sess", "wv_sess_daily"):
        log = folder / ".wemart" / "lake" / "we_mart" / name / "_delta_log"
        log.mkdir(parents=True)
        (log / "00000000000000000000.json").write_text("{")
    result = doctor()
    assert "problem  tables: we_mart.wv_sess" in result.output
    assert "we_mart.wv_sess_daily" in result.output
    assert result.exit_code == 1


def test_a_folder_without_dagsters_configuration_is_a_warning(folder: Path) -> None:
    (folder / "dagster.yaml").unlink()
    result = doctor()
    assert "warning  dagster: DAGSTER_HOME is not set and there is no dagster.yaml here" in result.output
    assert result.exit_code == 0


@pytest.mark.parametrize("home", ["empty", "old"])
def test_spark_without_a_java_that_it_can_use_is_a_problem(
    folder: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    java = folder / "old" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(folder / home))
    result = doctor(ENGINE="spark")
    assert "problem  engine: Spark 4" in result.output
    assert ("there is no Java" if home == "empty" else "Java is version 11") in result.output
    assert "Install a JDK 17 or later" in result.output
    assert result.exit_code == 1


@pytest.mark.spark
def test_spark_with_java_is_good(folder: Path) -> None:
    assert why_no_spark() is None
    result = doctor(ENGINE="spark")
    assert "ok       engine: Spark 4" in result.output
    assert result.exit_code == 0
