"""`wemart init`: what it writes, what it leaves alone, and the settings of a folder."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from dagster._core.secrets.env_file import get_env_var_dict

from wemart_assets import catalog
from wemart_assets.cli import main
from wemart_assets.init_folder import FILES
from wemart_assets.sources.mapping import load_mappings
from wemart_assets_tests.checkouts import PROJECT


def init(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["init", *arguments])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A new folder, in a folder whose name has to be quoted."""
    path = tmp_path / "it's a #1 \\ folder" / "mart"
    result = init(str(path))
    assert result.exit_code == 0, result.output
    return path


def test_it_writes_its_files_and_nothing_else(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == set(FILES)


def test_it_writes_into_the_current_folder_unless_one_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert init().exit_code == 0
    assert {path.name for path in tmp_path.iterdir()} == set(FILES)
    assert get_env_var_dict(str(tmp_path))["DAGSTER_HOME"] == str(tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_it_overwrites_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    result = init(str(tmp_path))
    assert result.exit_code == 1
    assert name in result.output
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {name: "mine"}


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = init(str(tmp_path / "file" / "mart"))
    assert result.exit_code == 1
    assert "cannot be written" in result.output


@pytest.mark.parametrize("name", ["dagster.yaml", "workspace.yaml"])
def test_dagster_is_configured_as_in_a_checkout(folder: Path, name: str) -> None:
    assert (folder / name).read_text() == (PROJECT / name).read_text()


def test_dagster_finds_its_home_in_the_folder(folder: Path) -> None:
    assert get_env_var_dict(str(folder)) == {"DAGSTER_HOME": str(folder), "WEMART_SOURCES": "sources.yaml"}


def test_the_example_of_sources_is_a_valid_mapping_once_it_is_uncommented(folder: Path) -> None:
    path = folder / "sources.yaml"
    assert yaml.safe_load(path.read_text()) is None
    _, _, example = path.read_text().partition("as the platform's log:\n")
    lines = [line.removeprefix("#").removeprefix(" ") for line in example.splitlines()]
    path.write_text("\n".join(line for line in lines if not re.match("[A-Z]", line)))
    mappings = load_mappings(path, catalog.contracts().values())
    assert mappings["service_log.weverse_server_log"].delimiter == "\t"
    assert mappings["we_mart.we_user"].day == "snapshot_date"


def test_the_settings_of_the_folder_come_before_those_of_the_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEMART_LAKE", "of_the_shell")
    monkeypatch.delenv("WEMART_THREADS", raising=False)
    Path(".env").write_text("WEMART_LAKE=of_the_folder\nWEMART_THREADS=1\n")
    result = CliRunner().invoke(main, ["sql", "select 1 from we_mart.wv_sess_daily"])
    assert f"the lake {tmp_path / 'of_the_folder'} has no table yet" in result.output
    assert (os.environ["WEMART_LAKE"], os.environ.get("WEMART_THREADS")) == ("of_the_shell", None)


def test_settings_that_cannot_be_read_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".env").write_bytes(b"WEMART_LAKE=\xff\n")
    result = CliRunner().invoke(main, ["tables"])
    assert result.exit_code == 1
    assert ".env cannot be read" in result.output


@pytest.mark.parametrize("command", [["pages"], ["new", "table", "sessions", "stats_wv_d_country"]])
def test_what_needs_a_checkout_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 1
    assert "is not a checkout" in result.output
