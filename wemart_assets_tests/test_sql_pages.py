"""What the page on notebooks shows runs as it stands, and the page on SQL lists every command of the prompt.

Shell commands of pages run in `test_page_commands`, queries in `test_documents`.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import runpy
from pathlib import Path

import pytest
from click.testing import CliRunner

from wemart_assets.cli import main
from wemart_assets.lake.location import Location
from wemart_assets.sql.shell import COMMANDS
from wemart_assets_tests.small_lake import publish

PROJECT = Path(__file__).parents[1]
DAY = "2024-01-03"


SNIPPETS = re.findall(r"```python\n(.*?)```", (PROJECT / "docs" / "notebooks.md").read_text(), flags=re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a lake, and an export of it."""
    folder = tmp_path_factory.mktemp("pages")
    lake = Location.of(folder / ".wemart" / "lake")
    date = dt.date.fromisoformat(DAY)
    platforms: list[dict[str, object]] = [{"key_date": date, "platform": p, "sess_cnt": 7} for p in ("APP", None)]
    publish(lake, "we_mart.stats_wv_d_platform", DAY, *platforms)
    publish(lake, "we_mart.stats_wv_d_art_comm_time", DAY, {"we_art_id": 1, "engaged_sec": 7200, "member_cnt": 2})
    publish(lake, "we_mart.we_artist", DAY, {"we_art_id": 1, "we_art_name": "ARTIST"})
    publish(lake, "activation.activation_funnel_daily", DAY, {"step": 0, "users": 3, "first_visits": 4})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        result = CliRunner().invoke(main, ["export", "--duckdb", "mart.duckdb"])
    assert result.exit_code == 0, result.output
    return folder


@pytest.mark.parametrize("code", SNIPPETS)
def test_code_of_the_page_runs(
    code: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    exec(compile(code, "docs/notebooks.md", "exec"), {"__name__": "__main__"})
    assert re.search(r"14|APP|TV, APP", capsys.readouterr().out)


def test_the_notebook_runs_as_a_program(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    runpy.run_path(os.fspath(PROJECT / "examples" / "notebook" / "engagement.py"), run_name="__main__")
    out = capsys.readouterr().out
    for shown in ("unknown", "ARTIST", "0.75"):
        assert shown in out


def test_the_page_lists_every_command() -> None:
    page = (PROJECT / "docs" / "sql.md").read_text()
    listed = set(re.findall(r"`(\\[a-z?]+)", page))
    assert {command for command in COMMANDS if command != "\\dt"} <= listed
