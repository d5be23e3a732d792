"""`wemart check-source`: what people see of how files are read, and the exit code."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from deltalake import write_deltalake

from wemart_assets.cli import main
from wemart_assets.sources import check
from wemart_assets_tests.sources.ready_files import CASES

LOG, ARTISTS, TRACKS = "service_log.weverse_server_log", "we_mart.we_artist", "rudder.tracks"
PROJECT = Path(__file__).parents[1]
MILLIS = 1_709_348_400_000  # 2024-03-02 12:00 in Seoul


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with settings that lie in it."""
    monkeypatch.chdir(tmp_path)
    for name in ("LAKE", "LANDING", "STATE", "SPILL"):
        monkeypatch.setenv(f"WEMART_{name}", str(tmp_path / name.lower()))
    monkeypatch.setenv("WEMART_FIRST_DAY", "2024-03-01")
    monkeypatch.setenv("WEMART_MEMORY_LIMIT", "1GB")
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


def _check(*arguments: str) -> Result:
    result = CliRunner().invoke(main, ["check-source", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def _write(path: str, content: str | bytes, source: str = "") -> str:
    file = Path("landing", source, path) if source else Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(file)


def _map(entry: dict[str, Any], source: str = LOG) -> None:
    Path("sources.yaml").write_text(json.dumps({source: entry}))


def _words(output: str) -> list[list[str]]:
    return [line.split() for line in output.splitlines()]


def test_a_file_that_fits_shows_its_rows_and_days_and_exits_with_0() -> None:
    file = _write("a.csv", f"unix_log_timestamp,url\n{MILLIS},/home\n{MILLIS + 43_200_000},/next\n")
    _map({"columns": {"topic": None, "user_info_status": "nullif(url, url)"}})
    result = _check(LOG, file, "--sources", "sources.yaml")
    assert result.exit_code == 0, result.output
    assert f"{LOG}: 2 records of 1 file: 2 rows, 0 refused" in result.output
    assert ["2024-03-02", str(MILLIS), "/home"] in _words(result.output)
    assert ["2024-03-02", "1", "0"] in _words(result.output)
    assert ["2024-03-03", "1", "0"] in _words(result.output)
    assert "topic\n    set to NULL by the mapping" in result.output
    assert "the expression is NULL in every row: nullif(url, url)" in result.output
    assert "neither in the mapping nor in the files" in result.output


def test_refused_records_are_counted_by_reason_with_an_example() -> None:
    lines = [f"{MILLIS},1", f"{MILLIS},x", f"{MILLIS},y", f"{MILLIS},2,3", "soon,4"]
    file = _write("a.csv", "unix_log_timestamp,user_info_id\n" + "\n".join(lines) + "\n")
    _map({"columns": {"topic": None}})
    result = _check(LOG, file, "--sources", "sources.yaml")
    assert result.exit_code == 1
    assert "1 row, 4 refused" in result.output
    assert "2 records: user_info_id: a value is not a bigint" in result.output
    assert "1 record: unix_log_timestamp: 'soon' is not a bigint" in result.output
    assert "1 record: line 5: it has 3 fields for 2 columns" in result.output
    assert 'a.csv: {"unix_log_timestamp":"soon","user_info_id":"4"}' in result.output


def test_rows_with_one_key_are_told_as_a_run_tells_them() -> None:
    """Equal rows are kept once; of different ones all but the first are quarantined."""
    content = "id,timestamp,received_at,event,anonymous_id,user_id\n"
    content += "".join(f"e1,2024-03-02T03:00:00Z,2024-03-02T03:00:0{n}Z,x,,\n" for n in (1, 1, 2))
    result = _check(TRACKS, _write("tracks.csv", content))
    assert "3 records of 1 file: 1 row, 1 refused, 1 duplicate" in result.output
    assert "another row has the same id" in result.output


def test_an_expression_that_fails_is_told_once_with_column_expression_and_file() -> None:
    files = [_write(f"{name}.csv", "time\nsoon\n") for name in "abc"]
    _map({"columns": {"unix_log_timestamp": "cast(time as bigint) * 1000"}})
    result = _check(LOG, *files, "--sources", "sources.yaml")
    assert result.exit_code == 1
    assert result.output.count("cast(time as bigint) * 1000") == 1
    assert "landing file a.csv: the expression of unix_log_timestamp fails: " in result.output
    assert "All columns of text formats are text" in result.output
    assert "The same is wrong with b.csv, c.csv" in result.output


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("time * 1000", "No function matches the given name and argument types"),
        ("cast(tim as bigint)", "lacks the column tim (for unix_log_timestamp); it has time"),
    ],
)
def test_an_expression_that_does_not_fit_the_file_is_named(expression: str, problem: str) -> None:
    _map({"columns": {"unix_log_timestamp": expression}})
    result = _check(LOG, _write("a.csv", "time\n1\n"), "--sources", "sources.yaml")
    assert result.exit_code == 1
    assert problem in result.output
    assert "Candidate" not in result.output
    assert result.output.count("a.csv") == 1


def test_a_bad_value_of_a_column_that_the_index_does_not_read_spoils_only_its_file() -> None:
    _map({"columns": {"url": "cast(cast(page as int) as varchar)"}})
    good = _write("good.csv", f"unix_log_timestamp,page\n{MILLIS},1\n")
    bad = _write("bad.csv", f"unix_log_timestamp,page\n{MILLIS},one\n")
    result = _check(LOG, good, bad, "--sources", "sources.yaml")
    assert result.exit_code == 1
    assert "1 record of 1 file: 1 row, 0 refused" in result.output
    assert "landing file bad.csv: the expression of url fails" in result.output


def test_a_file_that_cannot_be_read_at_all_is_told() -> None:
    whole = gzip.compress(b"unix_log_timestamp\n" + b"1\n" * 1000)
    result = _check(LOG, _write("a.csv.gz", whole[:30]), _write("b.parquet", b"no parquet"), _write("c.xyz", "x"))
    assert result.exit_code == 1
    assert result.output.count("Cannot be read: ") == 3
    assert all(name in result.output for name in ("a.csv.gz", "b.parquet", "c.xyz has an unknown extension"))


def test_landed_files_are_read_without_naming_them_and_nothing_is_changed(folder: Path) -> None:
    for number in range(12):
        content = f"we_art_id,we_art_name,comm_id\n{number},x,10\n"
        _write(f"date=2024-03-{number + 1:02d}/a.csv", content, ARTISTS)
    before = sorted(folder.rglob("*"))
    result = _check(ARTISTS)
    assert result.exit_code == 0, result.output
    assert "10 records of 10 files" in result.output
    assert "Only the last 10 of 12 files were read" in result.output
    assert ["2024-03-12", "1", "0"] in _words(result.output)
    assert "12 records of 12 files" in _check(ARTISTS, "--all").output
    assert sorted(folder.rglob("*")) == before


def test_a_snapshot_outside_of_a_dated_folder_is_read_as_one_of_today() -> None:
    result = _check(ARTISTS, _write("artists.csv", "we_art_id,we_art_name,comm_id\n1,x,10\n"))
    assert result.exit_code == 0, result.output
    result = _check(ARTISTS, _write("date=2024-03-05/artists.csv", "we_art_id,we_art_name,comm_id\n1,x,10\n"))
    assert ["2024-03-05", "1", "0"] in _words(result.output)


def test_days_before_the_first_are_marked() -> None:
    result = _check(LOG, _write("a.jsonl", '{"unix_log_timestamp": 1}\n'))
    assert ["1970-01-01", "1", "0", "before", "WEMART_FIRST_DAY,", "left", "out"] in _words(result.output)


QUOTED = "".join(f'{MILLIS},"line {n}\nof, two"\n' for n in range(40))


@pytest.mark.parametrize(("ending", "size"), [*(("csv", size) for size in range(390, 420, 3)), ("csv.gz", 400)])
def test_a_large_file_is_cut_between_records(monkeypatch: pytest.MonkeyPatch, ending: str, size: int) -> None:
    """Wherever the limit falls: within quotes, after one, at a line end."""
    monkeypatch.setattr(check, "MOST_BYTES", size)
    content = f"unix_log_timestamp,url\n{QUOTED}".encode()
    _map({"columns": {"topic": None}})
    file = _write(f"a.{ending}", gzip.compress(content) if ending == "csv.gz" else content)
    result = _check(LOG, file, "--sources", "sources.yaml")
    assert result.exit_code == 0, result.output
    assert "the first 0.0 MB" in result.output
    assert re.search(r": 1[0-2] rows, 0 refused", result.output)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", f"unix_log_timestamp,url\n{MILLIS},{'x' * 90}\n"),
        ("a.csv", f'unix_log_timestamp,url\n{MILLIS},"{"x" * 90}"\n'),
        ("a.jsonl", json.dumps({"unix_log_timestamp": MILLIS, "url": "x" * 90}) + "\n"),
    ],
)
def test_a_record_that_is_longer_than_the_beginning_is_read_as_by_a_run(
    monkeypatch: pytest.MonkeyPatch, name: str, content: str
) -> None:
    monkeypatch.setattr(check, "MOST_BYTES", 60)
    _map({"columns": {"topic": None}})
    result = _check(LOG, _write(name, content), "--sources", "sources.yaml")
    assert result.exit_code == 0, result.output
    assert "1 record of 1 file: 1 row, 0 refused" in result.output


def test_a_damaged_file_is_not_blamed_on_an_expression() -> None:
    target = io.BytesIO()
    table = pa.table({"time": [MILLIS + 7**n % 10**9 for n in range(5000)]})
    pq.write_table(table, target, use_dictionary=False)
    damaged = bytearray(target.getvalue())
    damaged[500:2500] = b"\xff" * 2000
    _map({"columns": {"unix_log_timestamp": "time + 1"}})
    result = _check(LOG, _write("a.parquet", bytes(damaged)), "--sources", "sources.yaml")
    assert result.exit_code == 1
    assert "landing file a.parquet cannot be read" in result.output
    assert "expression" not in result.output


def test_the_beginning_of_a_large_parquet_file_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "MOST_ROWS", 15_000)
    target = io.BytesIO()
    columns = ("user_info_user_key", "user_info_device_id", "url", "topic", "params")
    table = pa.table({"unix_log_timestamp": pa.array([MILLIS] * 50_000), **dict.fromkeys(columns, ["x"] * 50_000)})
    pq.write_table(table, target)
    _map({"columns": {"url": "url"}})
    result = _check(LOG, _write("a.parquet", target.getvalue()), "--sources", "sources.yaml")
    assert "20,000 records of 1 file" in result.output
    assert "the first 20,000 rows" in result.output
    assert "50,000 records" in _check(LOG, "a.parquet", "--sources", "sources.yaml", "--all").output


def test_an_external_table_is_read_in_place(folder: Path) -> None:
    write_deltalake(folder / "theirs", pa.table({"id": pa.array([1, 2], pa.int32()), "of": ["2024-03-05"] * 2}))
    columns = {"we_art_id": "id", "we_art_name": None, "comm_id": "id"}
    _map({"table": "theirs", "day": "of", "columns": columns}, ARTISTS)
    result = _check(ARTISTS, "--sources", "sources.yaml")
    assert result.exit_code == 0, result.output
    assert "2 records of 1 file: 2 rows" in result.output
    assert ["2024-03-05", "2", "0"] in _words(result.output)
    _map({"table": "theirs", "day": "of", "columns": columns | {"we_art_id": "nullif(id, 2)"}}, ARTISTS)
    result = _check(ARTISTS, "--sources", "sources.yaml")
    assert "Refused (but marts read them as they are):\n\n  1 record: we_art_id is NULL" in result.output
    _map({"table": "theirs", "day": "of", "columns": columns | {"we_art_id": "nope"}}, ARTISTS)
    result = _check(ARTISTS, "--sources", "sources.yaml")
    assert result.exit_code == 1
    assert "nope" in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("service_log.nope", "a.csv"),
        (LOG, "not-there.csv"),
        (LOG, "."),
        (LOG, "a.csv", "--rows", "-1"),
        (LOG, "a.csv", "--sources", "not-there.yaml"),
    ],
)
def test_a_wrong_call_exits_with_2(arguments: Sequence[str]) -> None:
    _write("a.csv", "x\n")
    assert _check(*arguments).exit_code == 2


def test_a_file_that_is_named_twice_is_read_once() -> None:
    name = _write("a.jsonl", json.dumps({"unix_log_timestamp": MILLIS}) + "\n")
    assert "1 record of 1 file" in _check(LOG, name, f"./{name}", str(Path(name).absolute())).output


def test_files_with_the_same_path_below_their_dates_are_both_read_and_neither_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second one is cut: its beginning must not be written through the link to the first one."""
    monkeypatch.setattr(check, "MOST_BYTES", 60)
    header = "we_art_id,we_art_name,comm_id\n"
    contents = {
        "a/date=2024-03-05/x.csv": f"{header}1,x,10\n",
        "b/date=2024-03-05/x.csv": header + "".join(f"{n},y,{n}\n" for n in range(2, 30)),
    }
    files = [_write(name, content) for name, content in contents.items()]
    result = _check(ARTISTS, *files)
    assert result.exit_code == 0, result.output
    assert {name: Path(name).read_text() for name in contents} == contents
    assert re.search(r"[4-6] records of 2 files: [4-6] rows, 0 refused", result.output)
    assert re.search(r"date=2024-03-05/x.csv +1 +all of it", result.output)
    assert re.search(r"b/date=2024-03-05/x.csv +[3-5] +the first 0.0 MB", result.output)


def test_no_landed_file_is_told() -> None:
    result = _check(LOG)
    assert result.exit_code == 1
    assert "no file has landed in" in result.output


def test_values_that_a_terminal_would_obey_are_escaped() -> None:
    result = _check(LOG, _write("a.jsonl", json.dumps({"unix_log_timestamp": MILLIS, "url": "\x1b[2J\u202e"}) + "\n"))
    assert "\x1b" not in result.output
    assert r"\x1b[2J\u202e" in result.output


@pytest.mark.parametrize("width", ["40", "200"])
def test_the_table_fits_the_terminal(monkeypatch: pytest.MonkeyPatch, width: str) -> None:
    monkeypatch.setenv("COLUMNS", width)
    row = dict.fromkeys(("url", "params", "topic", "user_info_user_agent", "user_info_device_id"), "x" * 30)
    result = _check(LOG, _write("a.jsonl", json.dumps({"unix_log_timestamp": MILLIS, **row}) + "\n"))
    table = result.output.partition("The first 1 row:")[2].partition("By business day")[0]
    assert table.count("x" * 30) == 5
    assert max(map(len, table.splitlines())) <= max(int(width), 44)


def test_the_ready_mappings_are_listed_and_can_be_tried_without_a_settings_file() -> None:
    listed = _check("--list").output
    assert all(case.mapping in listed for case in CASES)
    assert LOG in listed
    [case] = [case for case in CASES if case.mapping == "nginx_combined"]
    result = _check(LOG, _write(case.file, case.content), "--use", case.mapping)
    assert result.exit_code == 1
    assert f"{sum(case.days.values())} rows, {sum(case.refused.values())} refused" in result.output
    for day, rows in case.days.items():
        assert [day, str(rows)] in [words[:2] for words in _words(result.output)]


def test_the_page_shows_what_the_command_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    page = (PROJECT / "docs" / "sources.md").read_text()
    [command] = re.findall(r"^(?:\.venv/bin/)?wemart check-source (.*)$", page, flags=re.MULTILINE)
    result = _check(*command.split())
    assert result.exit_code == 0, result.output
    _, _, after = page.partition(command)
    shown = [
        line.strip()
        for line in re.findall(r"^    (.*)$", after.partition("If you name no file")[0], flags=re.MULTILINE)
    ]
    assert len(shown) > 8
    assert [line for line in shown if line not in map(str.strip, result.output.splitlines())] == []


def test_dagster_is_not_loaded() -> None:
    _write("a.csv", f"unix_log_timestamp\n{MILLIS}\n")
    _map({"columns": {"topic": None}})
    code = (
        "import sys\nfrom click.testing import CliRunner\nfrom wemart_assets.check_source import check_source\n"
        f"result = CliRunner().invoke(check_source, ['{LOG}', 'a.csv', '--sources', 'sources.yaml'])\n"
        "print(result.exit_code, sorted({'dagster', 'pandera', 'pyspark'} & set(sys.modules)))"
    )
    path = {**os.environ, "PYTHONPATH": str(PROJECT)}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=path)
    assert run.stdout == "0 []\n", run.stderr
