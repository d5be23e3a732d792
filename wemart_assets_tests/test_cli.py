"""The command line, called as users call it."""

from __future__ import annotations

import contextlib
import csv
import datetime as dt
import io
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from wemart_assets import dagster_runs
from wemart_assets.cli import demo_first_day, main
from wemart_assets.lake.days import days_between
from wemart_assets.settings import load_settings

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


def test_sql_reports_how_many_rows_are_not_shown(lake: dict[str, str]) -> None:
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


def test_an_invalid_query_is_one_message(lake: dict[str, str]) -> None:
    result = wemart("sql", "select * from we_mart.nothing", environment=lake)
    assert result.exit_code == 1
    assert "nothing does not exist" in result.output
    assert "Traceback" not in result.output


def test_an_invalid_setting_is_one_message_that_names_the_variable() -> None:
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
    assert result.output == "Error: users must be at least 500 in this configuration: 3\n"


def test_vacuum_removes_only_files_that_no_version_needs(tmp_path: Path, world: Path) -> None:
    lake = tmp_path / "lake"
    shutil.copytree(world / "lake" / "we_mart" / "wv_sess_daily", lake / "we_mart" / "wv_sess_daily")
    orphan = lake / "we_mart" / "wv_sess_daily" / "part_date=2024-01-01" / "orphan.parquet"
    orphan.write_bytes(b"left by a run that died")
    kept = set(lake.rglob("*.parquet")) - {orphan}
    environment = {"WEMART_LAKE": str(lake)}
    assert "would be removed" in wemart("vacuum", "--older-than", "0", "--dry-run", environment=environment).output
    assert orphan.exists()
    assert "1 files removed" in wemart("vacuum", "--older-than", "0", environment=environment).output
    assert set(lake.rglob("*.parquet")) == kept


@pytest.mark.parametrize(("command", "shown"), [("tables", "we_mart.wv_user_daily  "), ("vacuum", "removed")])
def test_a_damaged_table_is_named_and_does_not_stop_the_others(
    command: str, shown: str, tmp_path: Path, world: Path
) -> None:
    lake = tmp_path / "lake" / "we_mart"
    for name in ("wv_sess_daily", "wv_user_daily"):
        shutil.copytree(world / "lake" / "we_mart" / name, lake / name)
    (lake / "wv_sess_daily" / "_delta_log" / f"{0:020}.json").write_text("{ no entry")
    (lake / "wv_user_daily" / "part_date=2024-01-01" / "orphan.parquet").write_bytes(b"left by a run that died")
    arguments = ["--older-than", "0"] if command == "vacuum" else []
    result = wemart(command, *arguments, environment={"WEMART_LAKE": str(tmp_path / "lake")})
    assert (result.exit_code, shown in result.output) == (1, True)
    assert "Error: we_mart.wv_sess_daily:" in result.output


# The days of the demo, without running them.


class Place:
    """The folder of a user without any settings, and what the demo runs in it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ran: list[tuple[str, list[str]]] = []
        monkeypatch.chdir(folder)
        monkeypatch.delenv("WEMART_STATE")
        monkeypatch.setattr("wemart_assets.cli.materialize", lambda select, days, *_: self.ran.append((select, days)))

    def demo(self, *arguments: str, at: str = "2026-11-24T18:00:00+00:00") -> Result:
        """Runs the demo, by default at 03:00 of the next day in Seoul."""
        now = dt.datetime.fromisoformat(at)
        return CliRunner().invoke(main, ["demo", "--lines", "600", *arguments], obj=lambda: now)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch)


def test_the_demo_has_the_last_two_whole_weeks_up_to_yesterday_for_all_commands(place: Place) -> None:
    assert place.demo().exit_code == 0
    assert place.ran == [
        ('tag:"period"="day"', days_between("2026-11-09", "2026-11-24")),
        ('tag:"period"="week"', ["2026-11-09", "2026-11-16"]),
    ]
    assert load_settings().first_day == dt.date(2026, 11, 9)


@pytest.mark.parametrize(
    ("today", "days", "first"),
    [
        # A Monday: exactly two weeks. A Sunday: the last week lacks a day.
        ("2026-11-23", 14, "2026-11-09"),
        ("2026-11-22", 14, "2026-11-02"),
        ("2026-11-24", 7, "2026-11-16"),
        # No week: any day of the week.
        ("2026-11-24", 6, "2026-11-18"),
        # The whole of October, whose first is a Thursday, and of February, of which March 30 is long past.
        ("2026-11-24", 35, "2026-09-28"),
        ("2026-03-31", 35, "2026-01-26"),
        ("2024-03-04", 35, "2024-01-29"),
        ("2024-03-04", 34, "2024-01-29"),
        ("2024-03-04", 100, "2023-11-20"),
    ],
)
def test_the_demo_begins_on_a_monday_and_with_35_days_has_a_whole_month(today: str, days: int, first: str) -> None:
    assert demo_first_day(dt.date.fromisoformat(today), days) == dt.date.fromisoformat(first)


@pytest.mark.parametrize("days", [7, 14, 35, 62])
def test_a_demo_on_any_day_has_what_it_promises(days: int) -> None:
    for number in range(800):
        today = dt.date(2024, 1, 1) + dt.timedelta(days=number)
        first, last = demo_first_day(today, days), today - dt.timedelta(days=1)
        assert first.weekday() == 0
        assert (last - first).days + 1 >= days
        months = {(day.year, day.month) for day in (first + dt.timedelta(days=n) for n in range((today - first).days))}
        whole = [m for m in months if dt.date(*m, 1) >= first and dt.date(m[0] + m[1] // 12, m[1] % 12 + 1, 1) <= today]
        assert whole or days < 35


def test_a_demo_of_a_whole_month_runs_the_monthly_tables(place: Place) -> None:
    place.demo("--first-day", "2024-01-29", "--days", "35")
    assert [(select, days[0], days[-1]) for select, days in place.ran] == [
        ('tag:"period"="day"', "2024-01-29", "2024-03-03"),
        ('tag:"period"="week"', "2024-01-29", "2024-02-26"),
        ('tag:"period"="month"', "2024-02-01", "2024-02-01"),
    ]


def test_repeating_the_demo_on_the_next_day_reuses_the_files(place: Place) -> None:
    place.demo("--days", "7")
    assert place.demo("--days", "7", at="2026-11-25T18:00:00+00:00").exit_code == 0
    assert place.ran[:2] == place.ran[2:]
    assert place.ran[0][1] == days_between("2026-11-16", "2026-11-24")


def test_a_demo_with_a_first_day_is_the_same_on_any_day(place: Place, tmp_path: Path) -> None:
    def truth() -> bytes:
        return (tmp_path / ".wemart/truth/sessions.parquet").read_bytes()

    place.demo("--days", "1", "--first-day", "2024-01-01")
    first = truth()
    shutil.rmtree(tmp_path / ".wemart")
    place.demo("--days", "1", "--first-day", "2024-01-01", at="2026-12-24T18:00:00+00:00")
    assert truth() == first
    assert place.ran == [('tag:"period"="day"', ["2024-01-01"])] * 2


def test_a_complete_week_of_the_demo_is_run_too(place: Place) -> None:
    place.demo("--first-day", "2024-01-01", "--days", "7")
    assert place.ran[1] == ('tag:"period"="week"', ["2024-01-01"])


def test_the_demo_uses_a_first_day_set_in_the_environment(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEMART_FIRST_DAY", "2024-02-01")
    place.demo("--days", "1")
    assert place.ran == [('tag:"period"="day"', ["2024-02-01"])]
    other = place.demo("--days", "1", "--first-day", "2024-03-01")
    assert (other.exit_code, "WEMART_FIRST_DAY is 2024-02-01" in other.output) == (1, True)


def test_a_first_day_that_differs_from_the_existing_files_is_refused(place: Place) -> None:
    place.demo("--days", "1")
    result = place.demo("--days", "1", "--first-day", "2024-01-01")
    assert (result.exit_code, "start on 2026-11-24" in result.output, len(place.ran)) == (1, True, 1)


# `wemart run`.


def dry_run(world: Path, *arguments: str) -> Result:
    environment = {"WEMART_LAKE": str(world / "lake")}
    now = dt.datetime(2024, 1, 6, 12, tzinfo=dt.UTC)
    return CliRunner().invoke(main, ["run", "--dry-run", *arguments], env=environment, obj=lambda: now)


def test_a_dry_run_lists_the_runs(world: Path) -> None:
    result = dry_run(world, "--from", "-3", "core/fact__events")
    assert (result.exit_code, result.output.splitlines()) == (
        0,
        ["Run 1 of 1: 1 table by day over 2024-01-03 to 2024-01-05", "  core.fact__events"],
    )


def test_running_an_unknown_table_is_one_message(world: Path) -> None:
    result = dry_run(world, "--from", "2024-01-03", "core/fact_events")
    assert (result.exit_code, "did you mean core/fact__events" in result.output) == (2, True)


def test_running_an_invalid_day_is_one_message(world: Path) -> None:
    result = dry_run(world, "--from", "someday", "core/fact__events")
    assert (result.exit_code, "-1 for yesterday" in result.output) == (2, True)


@pytest.mark.slow
def test_run_shows_each_table_and_a_failure_with_its_reason(
    tmp_path: Path, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(world / "lake", tmp_path / "lake")
    monkeypatch.setenv("WEMART_LAKE", str(tmp_path / "lake"))
    monkeypatch.setenv("WEMART_STATE", str(tmp_path / "state"))
    platforms = "we_mart/stats_wv_d_platform"
    made = wemart("run", "--from", "2024-01-04", platforms)
    assert (made.exit_code, made.output.count("we_mart.stats_wv_d_platform")) == (0, 1)
    failed = wemart("run", "--from", "2024-01-06", platforms)
    assert failed.exit_code == 1
    assert "wemart run --from 2024-01-06 --to 2024-01-06 we_mart/wv_sess_daily" in failed.output


@pytest.mark.slow
def test_stopping_a_run_stops_dagster_and_says_that_nothing_is_half_done(tmp_path: Path, world: Path) -> None:
    shutil.copytree(world / "lake", tmp_path / "lake")
    files = {"WEMART_LAKE": str(tmp_path / "lake"), "WEMART_STATE": str(tmp_path / "state")}
    command = [sys.executable, "-m", "wemart_assets.cli", "run", "--from", "2024-01-01", "--to", "2024-01-05"]
    with subprocess.Popen(
        [*command, "--downstream", "we_mart/wv_sess_daily"],
        cwd=tmp_path,
        env={**os.environ, **files, "PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A process in the background would ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Run 1 of")
        assert "we_mart.wv_sess_daily" in process.stdout.readline()
        # As the terminal does for Ctrl-C.
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=120)
    assert (process.returncode, said.strip()) == (
        130,
        "Stopped. Tables that were not finished are as they were before.",
    )
    assert "Execution of run" in (tmp_path / "state" / "run.log").read_text()
    with pytest.raises(ProcessLookupError):
        # No process of the group is left.
        os.killpg(process.pid, 0)


# Help, completion, progress


def each_command(command: click.Command, *path: str) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for name, member in command.commands.items():
            yield from each_command(member, *path, name)
    else:
        yield " ".join(path), command


COMMANDS = dict(each_command(main))


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_shows_how_it_is_called(path: str) -> None:
    command = COMMANDS[path]
    examples = (command.help or "").partition("Examples:")[2]
    assert f"  wemart {path}" in examples or f"$(wemart {path}" in examples


def test_an_empty_lake_is_told_in_a_sentence(tmp_path: Path) -> None:
    result = wemart("tables", environment={"WEMART_LAKE": str(tmp_path / "lake")})
    said = f"Nothing has been published in {tmp_path}/lake yet. Start with `wemart demo`, or with `wemart run`.\n"
    assert (result.exit_code, result.output) == (0, said)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_completes_tables_by_key_and_by_name(shell: str) -> None:
    assert "_WEMART_COMPLETE" in wemart("completion", shell).output
    words = {"_WEMART_COMPLETE": f"{shell}_complete", "COMP_CWORD": "2"}
    for begun, found in (("we_mart/wv_sess_d", "we_mart/wv_sess_daily"), ("dim__u", "core/dim__users")):
        asked = words | {"COMP_WORDS": f"wemart run {begun}"}
        if shell == "fish":
            # Its script passes the word instead of its number.
            asked["COMP_CWORD"] = begun
        result = CliRunner().invoke(main, [], env=asked, prog_name="wemart")
        assert found in result.output.replace(",", "\n").split()


def test_progress_is_a_bar_on_a_terminal_and_lines_elsewhere(tmp_path: Path) -> None:
    code = "from wemart_assets.progress import progress\nwith progress(2) as done: done('[b]one'); done('two')"
    command = [sys.executable, "-c", code]
    piped = subprocess.run(command, capture_output=True, text=True, check=True)
    assert piped.stdout == "[b]one\ntwo\n"
    terminal, shown = pty.openpty()
    with subprocess.Popen(command, stdout=shown, env={**os.environ, "TERM": "xterm"}) as process:
        os.close(shown)
        seen = b""
        with contextlib.suppress(OSError):
            # Linux reports the end of a terminal's output as an error.
            while part := os.read(terminal, 4096):
                seen += part
    os.close(terminal)
    assert process.returncode == 0
    assert b"[b]one\r\n" in seen
    assert b"2/2" in seen


def test_a_finished_table_is_shown_although_dagster_lost_its_last_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dagster = tmp_path / "dagster"
    dagster.write_text('#!/bin/sh\necho "x - a__b - STEP_SUCCESS - Finished execution of step \\"a__b\\" in 1.5s."\n')
    dagster.chmod(0o755)
    monkeypatch.setattr(dagster_runs, "dagster", lambda: str(dagster))
    shown: list[str] = []
    dagster_runs.materialize("*", [], ["a.b", "c.d"], tmp_path / "log", shown.append)
    assert [line.split() for line in shown] == [["a.b", "1.5", "s"], ["c.d", "done"]]
