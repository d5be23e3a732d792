"""The command line, called as people call it."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from wemart_assets.cli import main

QUERY = "select part_date, count(distinct sess_id) as sessions from we_mart.wv_sess_daily group by all order by all"


def wemart(*arguments: str, environment: dict[str, str] | None = None, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, list(arguments), env=environment, input=stdin)


@pytest.fixture
def lake(world: Path) -> dict[str, str]:
    return {"WEMART_LAKE": str(world / "lake")}


@pytest.fixture(scope="module")
def made(world: Path) -> list[tuple[str, int]]:
    days = json.loads((world / "truth" / "counts.json").read_text())["days"]
    return [(day, counts["sessions"]) for day, counts in sorted(days.items())]


def test_sql_prints_a_table(lake: dict[str, str], made: list[tuple[str, int]]) -> None:
    result = wemart("sql", QUERY, environment=lake)
    lines = result.output.splitlines()
    assert lines[0].split() == ["part_date", "sessions"]
    assert [tuple(line.split()) for line in lines[2:-1]] == [(day, str(n)) for day, n in made]
    assert lines[-1] == "(5 rows)"


def test_sql_says_how_many_rows_it_does_not_show(lake: dict[str, str]) -> None:
    result = wemart("sql", QUERY, "--rows", "2", environment=lake)
    assert "3 more rows" in result.output


def test_sql_writes_csv_json_and_parquet(lake: dict[str, str], made: list[tuple[str, int]], tmp_path: Path) -> None:
    as_csv = wemart("sql", QUERY, "--format", "csv", environment=lake).output
    assert [(r["part_date"], int(r["sessions"])) for r in csv.DictReader(io.StringIO(as_csv))] == made
    as_json = json.loads(wemart("sql", QUERY, "--format", "json", environment=lake).output)
    assert [(r["part_date"], r["sessions"]) for r in as_json] == made
    target = tmp_path / "out.parquet"
    assert wemart("sql", QUERY, "--format", "parquet", "--output", str(target), environment=lake).exit_code == 0
    assert [(r["part_date"], r["sessions"]) for r in pq.read_table(target).to_pylist()] == made


def test_sql_reads_the_query_from_standard_input(lake: dict[str, str]) -> None:
    assert "(5 rows)" in wemart("sql", "-", environment=lake, stdin=QUERY).output


def test_a_wrong_query_is_one_message(lake: dict[str, str]) -> None:
    result = wemart("sql", "select * from we_mart.nothing", environment=lake)
    assert result.exit_code == 1
    assert "nothing does not exist" in result.output
    assert "Traceback" not in result.output


def test_a_wrong_setting_is_one_message_that_names_the_variable() -> None:
    result = wemart("sql", "select 1", environment={"WEMART_TIMEZONE": "Asia/Soul"})
    assert result.exit_code == 1
    assert "WEMART_TIMEZONE='Asia/Soul'" in result.output


def test_tables_lists_days_and_rows(lake: dict[str, str]) -> None:
    line = next(x for x in wemart("tables", environment=lake).output.splitlines() if "wv_sess_daily" in x)
    assert line.split()[1:4] == ["5", "2024-01-01", "2024-01-05"]


def test_simulate_writes_files_and_truth(tmp_path: Path) -> None:
    arguments = ["--landing", str(tmp_path / "landing"), "--truth", str(tmp_path / "truth")]
    result = wemart("simulate", *arguments, "--days", "1", "--lines", "600", "--users", "900", "--artists", "6")
    assert result.exit_code == 0
    config = json.loads((tmp_path / "truth" / "counts.json").read_text())["config"]
    assert (config["lines_per_day"], config["users"], config["artists"]) == (600, 900, 6)
    assert (tmp_path / "truth" / "sessions.parquet").exists()
    assert list((tmp_path / "landing" / "we_mart.we_user").rglob("*.parquet"))
    again = wemart("simulate", *arguments, "--days", "1", "--lines", "600")
    assert again.exit_code == 1
    assert "--landing" in again.output


def test_an_impossible_size_is_one_message(tmp_path: Path) -> None:
    result = wemart("simulate", "--landing", str(tmp_path / "landing"), "--users", "3")
    assert result.exit_code == 1
    assert result.output == "Error: users must be at least 500 here: 3\n"


def test_vacuum_removes_only_what_no_version_needs(tmp_path: Path, world: Path) -> None:
    lake = tmp_path / "lake"
    shutil.copytree(world / "lake" / "we_mart" / "wv_sess_daily", lake / "we_mart" / "wv_sess_daily")
    orphan = lake / "we_mart" / "wv_sess_daily" / "part_date=2024-01-01" / "orphan.parquet"
    orphan.write_bytes(b"left by a run that died")
    kept = set(lake.rglob("*.parquet")) - {orphan}
    environment = {"WEMART_LAKE": str(lake)}
    assert "would go" in wemart("vacuum", "--older-than", "0", "--dry-run", environment=environment).output
    assert orphan.exists()
    assert "1 files removed" in wemart("vacuum", "--older-than", "0", environment=environment).output
    assert set(lake.rglob("*.parquet")) == kept


@pytest.mark.parametrize("command", ["sql", "spark-sql", "simulate", "demo", "tables", "ui", "vacuum"])
def test_help_is_there(command: str) -> None:
    assert "Usage" in wemart(command, "--help").output
