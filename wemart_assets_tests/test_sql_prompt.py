"""`wemart sql` without a query: the prompt, its commands, scripts on standard input, and how results fit a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import stat
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from deltalake import write_deltalake
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from wemart_assets import catalog
from wemart_assets.cli import main
from wemart_assets.lake.errors import UnreadableTable
from wemart_assets.lake.location import Location
from wemart_assets.sql import Analyst, analyst
from wemart_assets.sql.completion import Names
from wemart_assets.sql.prompt import run_prompt
from wemart_assets.sql.shell import Shell, statements
from wemart_assets.text import columns_of, fitted, visible
from wemart_assets_tests.small_lake import publish

PLATFORM, ARTIST = "we_mart.stats_wv_d_platform", "we_mart.we_artist"
WEMART = str(Path(sys.executable).with_name("wemart"))
# What the prompt sends when it begins to read (bracketed paste).
READY = b"\x1b[?2004h"
ESCAPE = "chr(27) || '[31m' || chr(155) || '2J' || chr(8238)"


@pytest.fixture(scope="module")
def first_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with a day of two tables, one of which is known by its newest rows."""
    lake = tmp_path_factory.mktemp("prompt") / "lake"
    publish(Location.of(lake), PLATFORM, "2024-03-01", {"platform": "APP"})
    publish(Location.of(lake), ARTIST, "2024-03-01", {"we_art_id": 1, "we_art_name": "아이유"})
    return lake


@pytest.fixture
def lake(first_lake: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WEMART_LAKE", str(first_lake))
    return first_lake


class Screen:
    """What a shell over the lake shows, without a terminal."""

    def __init__(self, session: Analyst, lake: Path, width: int | None) -> None:
        self.lines: list[str] = []
        self.shell = Shell(
            session,
            self.lines.append,
            self.lines.append,
            rows=40,
            form="table",
            width=lambda: width,
            places={"lake": Location.of(lake)},
        )

    def typed(self, keys: str, history: Path, names: Names | None = None) -> str:
        """What the messages are after the keys, which must end the prompt."""
        with create_pipe_input() as given, create_app_session(input=given, output=DummyOutput()):
            given.send_bytes(keys.encode(errors="surrogateescape"))
            run_prompt(self.shell, lambda: names or Names(), history, "welcome")
        return "\n".join(self.lines)


@contextmanager
def screen(lake: Path, width: int | None = 80) -> Iterator[Screen]:
    tables, views = catalog.TABLES_BY_NAME, catalog.VIEWS_BY_NAME
    with analyst(lake, tables, views) as session:
        yield Screen(session, lake, width)


def shown(lake: Path, text: str, width: int | None = 80) -> str:
    """The messages of one command."""
    with screen(lake, width) as on:
        on.shell.run(text)
        return "\n".join(on.lines)


def script(text: str | bytes, *options: str) -> Result:
    result = CliRunner().invoke(main, ["sql", *options], input=text)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


# Descriptions.


def test_describe_shows_the_descriptions_of_columns(lake: Path) -> None:
    with analyst(lake, catalog.TABLES_BY_NAME) as session:
        for query in (f"describe {PLATFORM}", f"desc wev_prod.{PLATFORM}", "show stats_wv_d_platform"):
            described = {row["column_name"]: row["description"] for row in session.run(query).to_pylist()}
            assert described == {column.name: column.description for column in catalog.tables()[PLATFORM].columns}
        artist = session.run("select comment from duckdb_columns() where table_name = 'we_artist' order by all")
        names = catalog.tables()[ARTIST].columns
        assert sorted(row["comment"] for row in artist.to_pylist()) == sorted(column.description for column in names)
        assert "description" not in session.run("describe select 1 as x").column_names
        assert session.run(f"explain describe {PLATFORM}").num_rows > 0


def test_a_shadow_has_no_descriptions(lake: Path) -> None:
    with analyst(lake, catalog.TABLES_BY_NAME) as session:
        session.run(f"describe {PLATFORM}")
        session.run(f"create table {PLATFORM} as select 1 as platform")
        session.run("create table we_mart.we_artist__daily as select 1 as we_art_id, '2024-03-01' as part_date")
        session.refresh()
        for name in (PLATFORM, f"{ARTIST}__daily", ARTIST):
            assert {row["description"] for row in session.run(f"describe {name}").to_pylist()} == {None}


def test_a_description_may_be_any_text(tmp_path: Path) -> None:
    hostile = "it's'; drop schema wev_prod.x; -- \0 \x1b[31m"
    field = pa.field('a"b', pa.int64(), metadata={"comment": hostile})
    write_deltalake(tmp_path / "x" / "odd", pa.table([[1]], pa.schema([field])))
    assert "drop schema wev_prod.x; --   \\x1b[31m" in shown(tmp_path, "\\d x.odd", None)
    with analyst(tmp_path, catalog.TABLES_BY_NAME) as session:
        assert session.run("show all tables").num_rows == 1
        assert session.run("describe odd").to_pylist()[0]["description"] == hostile.replace("\0", " ")


def test_descriptions_that_are_interrupted_leave_the_session_usable(
    lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with analyst(lake, catalog.TABLES_BY_NAME) as session:
        with monkeypatch.context() as patch:
            # Fails within the statements, where Ctrl-C could strike.
            patch.setattr("wemart_assets.sql.session.literal", lambda _text: "'x'; select error('stopped')")
            with pytest.raises(duckdb.Error, match="stopped"):
                session.describe("we_mart", "stats_wv_d_platform")
        described = session.describe("we_mart", "stats_wv_d_platform")
        assert described is not None
        assert all(description for _name, _kind, description in described.columns)
        session.run("create table mine as select 1 as x")


def test_backslash_d_describes_a_table(lake: Path) -> None:
    text = shown(lake, "\\d we_artist__daily")
    assert text.startswith("table we_mart.we_artist__daily\nOne row per artist")
    assert "Grain: we_art_id, part_date\nPublished with rows: 1 partition, 2024-03-01\n" in text
    assert "name of the artist" in text
    assert max(map(len, shown(lake, "\\d stats_wv_d_platform", 60).splitlines()[4:])) <= 60


def test_backslash_d_lists_names(lake: Path) -> None:
    lines = shown(lake, "\\d", None).splitlines()
    names = [line.split()[0] for line in lines[2:]]
    assert names == ["we_mart.stats_wv_d_platform", "we_mart.we_artist", "we_mart.we_artist__daily"]
    assert [line.split()[0] for line in shown(lake, "\\dt *platform").splitlines()[2:]] == [PLATFORM]


def test_the_catalog_may_be_named_in_any_case(lake: Path) -> None:
    for name in ("wev_prod.we_mart.we_artist", 'WEV_PROD."we_mart".We_Artist', "wev_prod.we_artist"):
        assert shown(lake, f"\\d {name};").startswith("newest rows of the table we_mart.we_artist\n")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("\\d platform", "no table platform; did you mean we_mart.stats_wv_d_platform?"),
        ("\\d a.b.c.d", "there is no table a.b.c.d"),
        ("\\d '; drop", "there is no table"),
        ("\\dtt", "no command"),
        ("\\d nothing*", "no name matches"),
        ("\\o /no/such/folder/x.csv", "there is no folder"),
        ("\\o {lake}/x.csv", "is in the lake folder"),
        ("\\o ~nobody.of.this.name/x.csv", "cannot be written: Could not determine home directory"),
        ("\\o a\0b.csv", "cannot be written: embedded null byte"),
        ("\\e", "only at the prompt"),
        ("drop table x", "read-only"),
        ("select '\udcff'", "not UTF-8"),
    ],
)
def test_a_wrong_command_says_what_to_do(command: str, message: str, lake: Path) -> None:
    with screen(lake) as on, pytest.raises(Exception, match=message):
        on.shell.run(command.format(lake=lake))


def test_a_damaged_table_is_named_with_its_remedy(tmp_path: Path) -> None:
    publish(Location.of(tmp_path), PLATFORM, "2024-03-01", {"platform": "APP"})
    next((tmp_path / "we_mart" / "stats_wv_d_platform").glob("*/*.parquet")).write_bytes(b"PAR1")
    with screen(tmp_path) as on:
        for text in ("\\d stats_wv_d_platform", "from stats_wv_d_platform;"):
            with pytest.raises(UnreadableTable, match="wemart run --from 2024-03-01"):
                on.shell.run(text)


def test_a_plan_is_shown_as_it_is_drawn(lake: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with screen(lake, 40) as on:
        on.shell.run("explain select 1 as x")
    assert "│         PROJECTION        │\n" in capfd.readouterr().out


# One session for many statements.


def test_a_statement_sees_what_was_published_since(tmp_path: Path) -> None:
    publish(Location.of(tmp_path), PLATFORM, "2024-03-01", {"platform": "APP"})
    with analyst(tmp_path, catalog.TABLES_BY_NAME) as session:
        query = f"select count(*) as n from {PLATFORM}"
        session.run("create table mine as select 7 as n")
        assert session.run(query).to_pylist() == [{"n": 1}]
        publish(Location.of(tmp_path), PLATFORM, "2024-03-02", {"platform": "APP"})
        publish(Location.of(tmp_path), "igaworks.first_open", "2024-03-02", {})
        assert session.run(query).to_pylist() == [{"n": 1}]
        session.refresh()
        assert session.run(query).to_pylist() == [{"n": 2}]
        # The table is in a database that the lake did not have.
        assert session.run("select count(*) as n from first_open").to_pylist() == [{"n": 1}]
        assert session.run("from mine").to_pylist() == [{"n": 7}]


# The prompt.


def test_statements_run_until_the_prompt_is_left(lake: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    keys = "select 41\r + 1 as answer;\rselect bad;\r\\timing\rselect 2 as n; select 3 as n\r;\r"
    keys += "create table t as select 1;\r\\q\r"
    with screen(lake) as on:
        messages = on.typed(keys, tmp_path / "state" / "history")
    out = capfd.readouterr().out
    assert [line.strip() for line in out.splitlines()[:4]] == ["answer", "------", "42", "(1 row)"]
    assert [line.strip() for line in out.splitlines() if line.strip() in ("2", "3")] == ["2", "3"]
    assert "Binder Error" in messages
    assert messages.count("Time: ") == 3
    history = (tmp_path / "state" / "history").read_text()
    assert "+select 41\n+ + 1 as answer;" in history
    assert stat.S_IMODE((tmp_path / "state" / "history").stat().st_mode) == 0o600


def test_the_history_outlives_the_prompt(lake: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with screen(lake) as on:
        on.typed("select 'before' as x;\r\x04", tmp_path / "history")
        capfd.readouterr()
        # The up arrow.
        on.typed("\x1b[A\r\x04", tmp_path / "history")
    assert "before" in capfd.readouterr().out


def test_a_history_that_cannot_be_kept_is_a_warning(
    lake: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    with screen(lake) as on:
        assert "is not kept: " in on.typed("select 5;\r\x04", tmp_path / "file" / "history")
    assert "5" in capfd.readouterr().out


def test_ctrl_c_discards_what_was_typed(lake: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with screen(lake) as on:
        on.typed("select 'half\r\x03select 6;\r\x04", tmp_path / "history")
    assert [line.strip() for line in capfd.readouterr().out.splitlines()][2] == "6"


def test_a_string_that_never_ends_can_be_run_with_an_empty_line(lake: Path, tmp_path: Path) -> None:
    with screen(lake) as on:
        assert "unterminated" in on.typed("select 'half;\r\r\x04", tmp_path / "history")


def test_odd_keys_do_not_end_the_prompt(lake: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with screen(lake) as on:
        keys = "\x1b[31mselect 8;\r\udcff\udcfe;\r\x1b[200~select\t9\x1b[0m;\x1b[201~\x15select 9;\r\x04"
        messages = on.typed(keys, tmp_path / "history")
    assert "not UTF-8" in messages
    assert [line.strip() for line in capfd.readouterr().out.splitlines() if line.strip() in ("8", "9")] == [*"8899"]


def test_a_statement_can_be_edited(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", "sed -i s/1/7/")
    with screen(lake) as on:
        on.typed("select 1 as x;\r\\e\r\r\\e;\r\r\x04", tmp_path / "history")
    numbers = [line.strip() for line in capfd.readouterr().out.splitlines()]
    assert [number for number in numbers if number.isdecimal()] == ["1", "7", "7"]


@pytest.mark.parametrize(
    ("editor", "before", "message"),
    [
        ("sed -i 's/1/\\xff/'", "select 1;", "the text is not UTF-8"),
        ("true", "select '\udcff';", "the text is not UTF-8"),
        ("false", "select 1;", "Editing failed"),
    ],
)
def test_an_editor_that_fails_does_not_end_the_prompt(
    editor: str, before: str, message: str, lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", editor)
    with screen(lake) as on:
        messages = on.typed(f"{before}\r\\e\r\\timing\r\x04", tmp_path / "history")
    assert message in messages
    assert messages.endswith("Timing is on.")


def test_tab_completes(lake: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    names = Names({("we_mart", "stats_wv_d_platform"): ["platform", "sess_cnt"]}, [], ["select", "from"])
    with screen(lake) as on:
        on.typed("sele\t 'x' as done fro\t stats_wv\t;\r\x04", tmp_path / "history", names)
    assert "done" in capfd.readouterr().out


NAMES = Names(
    {("we_mart", "wv_sess"): ["sess_id", "os"], ("we_mart", "we_user"): ["email"], ("core", "a b"): ["x"]},
    [("igaworks", "funnel_between")],
    ["select", "order", "sum"],
)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("se", "", ["select"]),
        ("select * from wv", "", ["wv_sess"]),
        ("select * from we_mart.w", "", ["wv_sess", "we_user"]),
        ("select * from wev_prod.we_mart.wv", "", ["wv_sess"]),
        ("select * from core.", "", ['"a b"']),
        ("from fun", "", ["funnel_between"]),
        ("select * from wv_sess, we", "", ["we_mart", "we_user"]),
        ("select se", " from wv_sess", ["sess_id", "select"]),
        ("select s.o", " from we_mart.wv_sess as s", ["os"]),
        ("select u.e", " from wv_sess s join we_user u using (x)", ["email"]),
        ("from wv_sess order by WE_USER.EM", "", ["email"]),
        ("select 1; select o", " from wv_sess", ["os", "order"]),
        ("select 'se", "", []),
        ("select 1 -- se", "", []),
        ("select 1 /* se", "", []),
        ("select 'it''s' || o", " from wv_sess", ["os", "order"]),
        ("select nothing", "", []),
    ],
)
def test_what_can_come_next(before: str, after: str, expected: list[str]) -> None:
    assert NAMES.complete(before, after)[0] == expected


class Terminal:
    """A terminal of 60 columns, and the process that runs on it."""

    def __init__(self, state: Path) -> None:
        self._terminal, own = pty.openpty()
        fcntl.ioctl(own, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
        self.process = subprocess.Popen(
            [WEMART, "sql", "--format", "csv"],
            stdin=own,
            stdout=own,
            stderr=own,
            env=os.environ | {"WEMART_STATE": str(state), "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"},
            start_new_session=True,
            # Makes it the terminal whose Ctrl-C interrupts the process.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(own)
        self._unread = b""

    def type(self, keys: bytes) -> None:
        os.write(self._terminal, keys)

    def read_until(self, text: bytes) -> bytes:
        """What is shown up to the text; fails if it does not come."""
        while text not in self._unread:
            ready, _, _ = select.select([self._terminal], [], [], 60)
            assert ready, self._unread[-2_000:]
            self._unread += os.read(self._terminal, 100_000)
        found, _, self._unread = self._unread.partition(text)
        return found + text


def test_ctrl_c_cancels_a_query_but_not_the_prompt(lake: Path, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    terminal.read_until(READY)
    terminal.type(b"describe stats_wv_d_plat\t;\r")
    terminal.read_until(b'"platform","VARCHAR"')
    terminal.read_until(READY)
    terminal.type(b"from range(50000000000);\r")
    terminal.read_until(b'"range"\r\n0\r\n')
    terminal.type(b"\x03")
    terminal.read_until(b"Cancelled.")
    terminal.read_until(READY)
    terminal.type(f"select 6 * 7 as answer, {ESCAPE} as x;\r".encode())
    terminal.read_until(b'"answer"')
    answer = terminal.read_until(b"\\u202e")
    assert b"\x1b" not in answer
    assert b'42,"\\x1b[31m\\x9b2J' in answer
    terminal.read_until(READY)
    terminal.type(b"\x04")
    assert terminal.process.wait(60) == 0


# Results.


def test_rows_can_be_shown_one_below_the_other(lake: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with screen(lake) as on:
        on.shell.run("\\x")
        on.shell.run(f"select 1 as x, '두 번' as 이름, {ESCAPE} as e union all select 2, null, ''")
        assert capfd.readouterr().out.splitlines() == [
            "-[ row 1 ]",
            "x    | 1",
            "이름 | 두 번",
            "e    | \\x1b[31m\\x9b2J\\u202e",
            "-[ row 2 ]",
            "x    | 2",
            "이름 | NULL",
            "e    | ",
            "(2 rows)",
        ]
        on.shell.run("\\x")
        on.shell.run("select 1 as x")
    assert capfd.readouterr().out == "x\n-\n1\n(1 row)\n"


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_a_result_fits_the_terminal(width: int, lake: Path, capfd: pytest.CaptureFixture[str]) -> None:
    columns = ", ".join(f"'{'한글' * number}' as c{number}" for number in range(1, 15))
    with screen(lake, width) as on:
        on.shell.run(f"select {columns}, 12345678901234 as n")
    *table, note = capfd.readouterr().out.splitlines()
    assert max(map(columns_of, table)) <= width
    assert ("14 of" in note or "of 15 columns; \\x shows all" in note) == (width < 200)
    assert "12345678901234" in "".join(table) or width == 20


def test_numbers_are_never_shortened() -> None:
    text, columns = fitted([["some long header", "note"], ["123456789012345", "x" * 50]], 30, right=[0])
    assert text.splitlines()[2] == "123456789012345  xxxxxxxxxxxx…"
    assert columns == 2


def test_a_result_can_go_to_a_file(lake: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with screen(lake) as on:
        for name in ("x.csv", "x.json", "x.parquet", "x.txt"):
            on.shell.run(f"\\o {tmp_path / name}")
            on.shell.run("select 1 as x")
        assert capfd.readouterr().out == ""
        on.shell.run("select 2 as x")
    assert "2" in capfd.readouterr().out
    assert (tmp_path / "x.csv").read_text() == '"x"\n1\n'
    assert (tmp_path / "x.txt").read_text() == "x\n-\n1\n(1 row)\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.csv", "x.json", "x.parquet", "x.txt"]


# Scripts.


def test_statements_of_standard_input_are_run(lake: Path) -> None:
    result = script(
        f"\ufeffcreate table t as\nselect ';' as x;\n\\d {PLATFORM}\nfrom t; select 2 as y", "--format", "csv"
    )
    assert result.exit_code == 0
    assert result.stdout.startswith('"rows"\n1\ntable we_mart.stats_wv_d_platform\n')
    assert result.stdout.endswith('"x"\n";"\n"y"\n2\n')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"select 1;\nselect bad;\nselect 3;", "statement 2 of standard input: Binder Error"),
        (b"select 1;\n\\e\nselect 3;", "statement 2 of standard input: \\e works only at the prompt"),
        (b"select 1;\nselect '\xff';", "line 2 of standard input is not UTF-8: byte 9 is 0xff"),
        (b"select 1;\ncopy (select 1) to 'x';", "statement 2 of standard input: COPY is not allowed"),
    ],
)
def test_a_script_stops_at_its_first_error(text: bytes, message: str, lake: Path) -> None:
    result = script(text)
    assert result.exit_code == 1
    assert message in result.stderr
    assert "1" in result.stdout
    assert "3" not in result.stdout


def test_a_script_can_be_left(lake: Path) -> None:
    assert "(1 row)" not in script("\\q\nselect 1;").stdout


def test_a_script_is_split_into_statements() -> None:
    lines = ["-- ; \n", "select 1;\n", "  \\x\n", "select\n", "';'\n", "; select 2;\n", "select 3"]
    assert [s.split() for s in statements(lines)] == [
        ["--", ";", "select", "1;"],
        ["\\x"],
        ["select", "';'", ";", "select", "2;"],
        ["select", "3"],
    ]


@pytest.mark.parametrize("options", [("--output", "x.csv"), ("--format", "parquet")])
def test_options_that_need_a_query_say_so(options: tuple[str, str], lake: Path) -> None:
    result = script("select 1", *options)
    assert result.exit_code == 2
    assert "needs a QUERY" in result.stderr


def test_messages_have_no_escape_sequences(lake: Path) -> None:
    result = script(f"select cast({ESCAPE} as int);")
    assert visible(result.stderr, keep="\n") == result.stderr
