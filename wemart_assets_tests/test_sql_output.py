"""The output of `wemart sql`: every value in every format, streamed, and without terminal escape sequences."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from wemart_assets.cli import main
from wemart_assets.text import visible

COMMAND = [str(Path(sys.executable).with_name("wemart")), "sql"]
MEGABYTES = 300
# Values that one of the formats, or Python, cannot represent, with DuckDB's text for them.
ODD = {
    "[1, 2]": "[1, 2]",
    "{'a': 1, 'b': [date '290000-01-01']}": "{'a': 1, 'b': [290000-01-01]}",
    "map {'k': 'v'}": "{k=v}",
    "interval '3 months 1 day'": "3 months 1 day",
    "date '290000-01-01'": "290000-01-01",
    "'infinity'::date": "infinity",
    "date '0044-03-15 (BC)'": "0044-03-15 (BC)",
    "timestamp '290000-01-01 10:00:00'": "290000-01-01 10:00:00",
    "'infinity'::timestamptz": "infinity",
    "timestamp_ns '2024-01-01 00:00:00.123456789'": "2024-01-01 00:00:00.123456789",
    "'\\xAA\\x1B'::blob": "\\xAA\\x1B",
    "union_value(k := 1)": "1",
    "12345678901234567890123456789::hugeint": "12345678901234567890123456789",
    "1::bignum": "1",
    "'a'::enum ('a', 'b')": "a",
    "uuid '00000000-0000-0000-0000-000000000001'": "00000000-0000-0000-0000-000000000001",
    "null": "",
}
ESCAPE = "chr(27) || '[31m' || chr(155) || '2J' || chr(8238)"


@pytest.fixture(autouse=True)
def _lake(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEMART_LAKE", str(world / "lake"))


def wemart(*arguments: str, stdin: bytes | None = None) -> Result:
    result = CliRunner().invoke(main, ["sql", *arguments], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def as_csv(query: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(wemart(query, "--format", "csv").stdout)))


def as_json(query: str) -> list[dict[str, Any]]:
    def no_json(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    rows: list[dict[str, Any]] = json.loads(wemart(query, "--format", "json").stdout, parse_constant=no_json)
    return rows


def test_every_value_has_a_text_form_in_csv_and_in_the_table() -> None:
    query = "select " + ", ".join(f"{sql} as c{number}" for number, sql in enumerate(ODD))
    [_head, row] = as_csv(query)
    assert row == list(ODD.values())
    shown = wemart(query)
    assert shown.exit_code == 0
    for text in ("290000-01-01", "0044-03-15 (BC)", "3 months 1 day", "[1, 2]", "\\xAA\\x1B", "NULL"):
        assert text in shown.stdout


def test_every_value_can_be_written_to_json_and_parquet(tmp_path: Path) -> None:
    query = "select " + ", ".join(f"{sql} as c{number}" for number, sql in enumerate(ODD))
    [row] = as_json(query)
    assert row["c0"] == [1, 2]
    assert [row[f"c{number}"] for number in (3, 4, 5, 6, 7, 8)] == list(ODD.values())[3:9]
    assert wemart(query, "--format", "parquet", "--output", str(tmp_path / "x.parquet")).exit_code == 0
    assert pq.read_table(tmp_path / "x.parquet")["c3"].to_pylist() == ["3 months 1 day"]


def test_an_unrepresentable_date_does_not_affect_other_rows() -> None:
    query = "select unnest([timestamptz '2024-01-01', 'infinity'::timestamptz, null]) as t"
    assert [row["t"] for row in as_json(query)] == ["2024-01-01T00:00:00+00:00", "infinity", None]
    assert [row for [row] in as_csv(query)[1:3]] == ["2024-01-01 00:00:00.000000Z", "infinity"]


def test_nan_and_infinity_are_strings_in_json() -> None:
    query = "select 'nan'::double as a, 'inf'::float as b, ['-inf'::double] as c, {'x': 'nan'::double} as d, 1.5 as e"
    assert as_json(query) == [{"a": "NaN", "b": "Infinity", "c": ["-Infinity"], "d": {"x": "NaN"}, "e": "1.5"}]


def test_a_query_without_rows_gives_an_empty_result() -> None:
    assert as_json("select 1 as x where false") == []
    assert as_csv("select 1 as x where false") == [["x"]]
    assert wemart("select 1 as x where false").stdout.splitlines()[-1] == "(0 rows)"


def test_columns_with_the_same_name_are_all_written(tmp_path: Path) -> None:
    query = "select 1 as x, 2 as x, 3 as x_1, 4 as x"
    [row] = as_json(query)
    assert sorted(row.values()) == [1, 2, 3, 4]
    assert (row["x"], row["x_1"]) == (1, 3)
    assert as_csv(query) == [["x", "x", "x_1", "x"], ["1", "2", "3", "4"]]
    assert wemart(query).stdout.splitlines()[2].split() == ["1", "2", "3", "4"]
    assert wemart(query, "--format", "parquet", "--output", str(tmp_path / "x.parquet")).exit_code == 0
    assert list(pq.read_table(tmp_path / "x.parquet").to_pylist()[0].values()) == [1, 2, 3, 4]


def test_the_table_reports_how_many_rows_are_not_shown() -> None:
    lines = wemart("from range(1_000_000)", "--rows", "2").stdout.splitlines()
    assert [line.strip() for line in lines[2:4]] == ["0", "1"]
    assert lines[4:] == ["(1,000,000 rows)", "… and 999,998 more rows (--rows, or --format csv)"]


def test_a_table_shows_escape_sequences_as_text() -> None:
    shown = wemart(f"select {ESCAPE} as value, 1 as {json.dumps(chr(27))}, 'two' || chr(10) || 'lines' as text").stdout
    assert visible(shown, keep="\n") == shown
    assert "\\x1b[31m\\x9b2J\\u202e" in shown
    assert "two\\nlines" in shown


def test_an_error_shows_escape_sequences_as_text() -> None:
    told = wemart(f"select cast({ESCAPE} as int)").stderr
    assert visible(told, keep="\n") == told
    assert "\\x1b[31m" in told


@pytest.mark.parametrize("form", ["csv", "json"])
def test_a_terminal_gets_no_escape_sequences_and_a_file_the_exact_value(form: str, tmp_path: Path) -> None:
    query = f"select {ESCAPE} as value"
    reading, writing = pty.openpty()
    subprocess.run([*COMMAND, query, "--format", form], stdout=writing, check=True)
    os.close(writing)
    sent = os.read(reading, 100_000).decode()
    assert "\x1b" not in sent
    assert "\x9b" not in sent
    assert wemart(query, "--format", form, "--output", str(tmp_path / "x")).exit_code == 0
    text = (tmp_path / "x").read_text()
    value = json.loads(text)[0]["value"] if form == "json" else text.splitlines()[1].strip('"')
    assert value == "\x1b[31m\x9b2J\u202e"


@pytest.mark.parametrize("query", [b"select '\xff'", "select 'é'".encode("latin-1")])
def test_a_query_that_is_not_utf_8_is_one_message(query: bytes) -> None:
    told = wemart("-", stdin=query)
    assert told.exit_code == 1
    assert "not UTF-8: byte 9 is 0x" in told.stderr
    assert "byte 9" in wemart(os.fsdecode(query)).stderr


def test_a_byte_order_mark_is_not_part_of_the_query() -> None:
    assert "(1 row)" in wemart("-", stdin=b"\xef\xbb\xbfselect 1").stdout


def test_an_impossible_output_path_is_one_message(world: Path, tmp_path: Path) -> None:
    assert "there is no folder" in wemart("select 1", "--output", str(tmp_path / "no" / "x")).stderr
    before = sorted(map(str, world.rglob("*")))
    for inside in ("lake/x.csv", "lake/we_mart/wv_user_daily/_delta_log/00000000000000000000.json"):
        assert "never written" in wemart("select 1", "--output", str(world / inside)).stderr
    (tmp_path / "link").symlink_to(world / "lake")
    assert "never written" in wemart("select 1", "--output", str(tmp_path / "link" / "x.csv")).stderr
    assert sorted(map(str, world.rglob("*"))) == before


def test_an_output_file_is_complete_or_unchanged(tmp_path: Path) -> None:
    target = tmp_path / "x.csv"
    target.write_text("before\n")
    late = "select cast(if(range = 2_000_000, 'x', '1') as int) as n from range(2_000_001)"
    assert "Could not convert" in wemart(late, "--format", "csv", "--output", str(target)).stderr
    assert [(path, path.read_text()) for path in tmp_path.iterdir()] == [(target, "before\n")]
    assert wemart("select 1 as n", "--format", "csv", "--output", str(target)).exit_code == 0
    assert target.read_text() == '"n"\n1\n'


def test_a_full_disk_is_one_message() -> None:
    assert wemart("select 1", "--format", "csv", "--output", "/dev/full").stderr.count("No space left") == 1
    with open("/dev/full", "wb") as full:
        told = subprocess.run([*COMMAND, "select 1"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (told.returncode, told.stderr) == (1, "Error: standard output cannot be written: No space left on device\n")


def test_a_closed_pipe_causes_no_traceback() -> None:
    with subprocess.Popen(
        [*COMMAND, "from range(50_000_000)", "--format", "csv"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b'"range"\n'
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_ctrl_c_stops_a_query() -> None:
    query = "from range(50_000_000_000)"
    with subprocess.Popen(
        [*COMMAND, query, "--format", "csv"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job ignores SIGINT, and so would its children: the query would run forever, and its
        # output would be collected here.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == '"range"\n'
        process.send_signal(signal.SIGINT)
        _rest, told = process.communicate()
    assert (process.returncode, told.strip()) == (130, "Stopped; nothing was changed.")


# Linux includes the parent's memory in a child's peak, but not in this number.
MOST_MEMORY = """
import sys
from pathlib import Path
from wemart_assets.cli import main
try:
    main()
finally:
    print(next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM")), file=sys.stderr)
"""


@pytest.mark.slow
@pytest.mark.parametrize("form", ["table", "csv", "json", "parquet"])
def test_ten_million_rows_are_written_in_constant_memory(form: str, tmp_path: Path) -> None:
    query = "select range as n, md5(range::varchar) as h from range(10_000_000)"
    arguments = ["sql", query, "--format", form, "--output", str(tmp_path / "out")]
    told = subprocess.run(
        [sys.executable, "-c", MOST_MEMORY, *arguments], stderr=subprocess.PIPE, text=True, check=True
    )
    assert int(told.stderr.split()[1]) / 1024 < MEGABYTES
