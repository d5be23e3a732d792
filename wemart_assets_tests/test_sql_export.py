"""`wemart export`: one DuckDB file with what SQL shows, replaced as a whole or not at all."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner, Result

from wemart_assets import catalog
from wemart_assets.cli import main
from wemart_assets.lake.location import Location
from wemart_assets.settings import Settings
from wemart_assets.sql import analyst
from wemart_assets.sql.session import ctrl_c_as_such
from wemart_assets_tests.s3_server import S3Server
from wemart_assets_tests.small_lake import publish

PLATFORM, ARTIST, WEEKLY = "we_mart.stats_wv_d_platform", "we_mart.we_artist", "we_mart.stats_wv_w_sess_duration"
EVENT, SESSIONS = "igaworks.event", "we_mart.wv_sess_daily"
LISTED = "select table_schema, table_name from information_schema.tables"
REPORT = "igaworks.active_user_by_event_between('2024-03-01', '2024-03-31')"


def fill(lake: Location) -> None:
    publish(lake, PLATFORM, "2024-03-01", {"platform": "APP"}, {"platform": None})
    publish(lake, PLATFORM, "2024-03-04", {"platform": "TV"})
    publish(lake, PLATFORM, "2024-03-05")
    publish(lake, ARTIST, "2024-03-01", {"we_art_id": 1, "we_art_name": "old"}, {"we_art_id": 2, "we_art_name": "gone"})
    publish(lake, ARTIST, "2024-03-05", {"we_art_id": 1, "we_art_name": "\x1b[31m아이유"})


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "lake"
    place = Location.of(folder)
    fill(place)
    publish(place, WEEKLY, "2024-02-26", {"platform": "APP"})
    publish(place, EVENT, "2024-03-01", {"event_name": "login", "identity_adid": "a"})
    publish(place, SESSIONS, "2024-03-01", {"sess_id": "s", "user_sess_id": "u", "comm_id": "1"})
    publish(place, f"{ARTIST}__quarantine", "2024-03-01")
    result = {"run": "r", "table_name": PLATFORM, "day": "2024-03-01", "check_name": "grain"}
    publish(place, "audit.results", "2024-03-06", result)
    return folder


@pytest.fixture(autouse=True)
def _settings(lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEMART_LAKE", str(lake))
    monkeypatch.setenv("WEMART_LANDING", str(tmp_path / "landing"))
    monkeypatch.chdir(tmp_path)


def export(*arguments: str) -> Result:
    result = CliRunner().invoke(main, ["export", "--duckdb", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def query(file: str | Path, sql: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(file), read_only=True) as connection:
        connection.execute("set timezone = 'UTC'")
        return connection.execute(sql).fetchall()


@pytest.fixture(scope="module")
def exported(lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("exported") / "mart.duckdb"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WEMART_LAKE", str(lake))
        result = export(str(file))
    assert result.exit_code == 0, result.output
    assert "Wrote" in result.output
    return file


def test_the_file_has_everything_that_sql_shows(exported: Path, lake: Path) -> None:
    functions = catalog.functions(Settings().for_tables())
    with analyst(lake, catalog.TABLES_BY_NAME, catalog.VIEWS_BY_NAME, functions) as session:
        names = [entry.full_name for entry in session.names() if not entry.name.endswith("__quarantine")]
        # The view is one of the names.
        assert "we_mart.wv_sess" in names
        assert {f"{schema}.{name}" for schema, name in query(exported, LISTED)} == {*names}
        for name in names:
            ours = session.run(f"describe {name}").to_pylist()
            theirs = query(exported, f"describe {name}")
            assert [row[:2] for row in theirs] == [(row["column_name"], row["column_type"]) for row in ours]
            # As text, because the same instant is another Python object through Arrow.
            as_text = f"select columns(*)::varchar from {name}"
            assert sorted(map(str, query(exported, as_text))) == sorted(
                str(tuple(row.values())) for row in session.run(as_text).to_pylist()
            )
        assert query(exported, f"from {REPORT}") == [("login", 1)]


def test_tables_and_columns_have_comments(exported: Path) -> None:
    table = catalog.TABLES_BY_NAME[PLATFORM]
    [(comment,)] = query(exported, "select comment from duckdb_tables() where table_name = 'stats_wv_d_platform'")
    assert comment == table.description
    for name in ("stats_wv_d_platform", "we_artist", "wv_sess"):
        comments = query(exported, f"select comment from duckdb_columns() where table_name = '{name}'")
        assert comments
        assert all(comment for (comment,) in comments)


def test_a_snapshot_is_a_table_of_its_newest_rows(exported: Path) -> None:
    assert query(exported, f"select we_art_id, we_art_name from {ARTIST} order by all") == [
        (1, "\x1b[31m아이유"),
        (2, "gone"),
    ]


def test_tables_and_days_can_be_chosen() -> None:
    assert export("x.duckdb", "stats_wv_d_platform", WEEKLY.replace(".", "/"), "--from", "2024-03-02").exit_code == 0
    assert query("x.duckdb", f"select platform from {PLATFORM}") == [("TV",)]
    # The week from February 26 contains March 2.
    assert query("x.duckdb", f"select platform from {WEEKLY}") == [("APP",)]
    assert len(query("x.duckdb", LISTED)) == 2
    assert export("x.duckdb", PLATFORM, "--to", "2024-03-01").exit_code == 0
    assert query("x.duckdb", f"select count(*) from {PLATFORM}") == [(2,)]
    # What audits found about these days was recorded later.
    assert export("x.duckdb", "audit.results", "--to", "2024-03-01").exit_code == 0
    assert query("x.duckdb", "select day from audit.results") == [("2024-03-01",)]


def test_what_a_chosen_name_is_computed_from_comes_along() -> None:
    assert export("x.duckdb", "wv_sess", "we_artist").exit_code == 0
    names = {name for _schema, name in query("x.duckdb", LISTED)}
    assert names == {"wv_sess", "wv_sess_daily", "we_artist", "we_artist__daily"}


def test_a_reader_of_the_old_file_is_not_disturbed() -> None:
    assert export("x.duckdb", PLATFORM).exit_code == 0
    with duckdb.connect("x.duckdb", read_only=True) as reader:
        assert export("x.duckdb", WEEKLY).exit_code == 0
        assert reader.execute(f"select count(*) from {PLATFORM}").fetchall() == [(3,)]
    assert len(query("x.duckdb", LISTED)) == 1


@pytest.mark.parametrize(
    ("file", "arguments", "message"),
    [
        ("{lake}/x.duckdb", (), "is in the lake folder"),
        ("landing/x.duckdb", (), "is in the landing folder"),
        ("no/x.duckdb", (), "there is no folder"),
        ("users.csv", (), "is not a DuckDB database"),
        ("/proc/self/mem", (), "cannot be read"),
        ("n" * 250, (), "cannot be written"),
        ("x.duckdb", ("we_artists",), "has no table we_artists; did you mean we_artist"),
        ("x.duckdb", ("zzz.\x1b[31m",), "has no table zzz.\\x1b[31m; `wemart tables` lists them"),
        ("x.duckdb", ("--from", "2024-03-02", "--to", "2024-03-01"), "is after"),
    ],
)
def test_what_cannot_be_done_says_why(file: str, arguments: tuple[str, ...], message: str, lake: Path) -> None:
    Path("landing").mkdir()
    Path("users.csv").write_text("a,b\n1,2\n")
    before = sorted(map(str, [*lake.rglob("*"), *Path.cwd().rglob("*")]))
    result = export(file.format(lake=lake), *arguments)
    assert result.exit_code != 0
    assert message in result.stderr
    assert sorted(map(str, [*lake.rglob("*"), *Path.cwd().rglob("*")])) == before


def test_a_file_that_a_program_has_written_to_is_not_replaced() -> None:
    assert export("x.duckdb", PLATFORM).exit_code == 0
    with duckdb.connect("x.duckdb") as writer:
        writer.execute("create table mine as select 1 as x")
        assert "still has it open" in export("x.duckdb", PLATFORM).stderr
    assert export("x.duckdb", PLATFORM).exit_code == 0


def test_no_log_of_changes_to_another_file_is_left_beside_the_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Path("x.duckdb.wal")
    log.write_bytes(b"changes")
    assert "x.duckdb.wal has changes to a file that is no longer there" in export("x.duckdb", PLATFORM).stderr
    assert not Path("x.duckdb").exists()
    log.unlink()
    assert export("x.duckdb", PLATFORM).exit_code == 0
    old = Path("x.duckdb").read_bytes()
    # Written by another program while the tables are copied.
    monkeypatch.setattr("wemart_assets.export_command.visible", lambda line, keep="": [line, log.write_bytes(b"x")][0])
    assert "still has it open" in export("x.duckdb", WEEKLY).stderr
    assert Path("x.duckdb").read_bytes() == old


def test_two_exports_of_one_file_exclude_each_other() -> None:
    held = "import duckdb, sys; c = duckdb.connect('.x.duckdb.0123abcd.part'); print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", held], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert "another export to" in export("x.duckdb", PLATFORM).stderr
        # An export to another file is not affected.
        assert export("x", PLATFORM).exit_code == 0
        Path("x").unlink()
        other.kill()
    # What the killed one left is no obstacle.
    assert export("x.duckdb", PLATFORM).exit_code == 0
    assert [path.name for path in Path.cwd().iterdir()] == ["x.duckdb"]


def test_a_damaged_table_is_named_and_the_old_file_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(Location.of(tmp_path / "lake"))
    monkeypatch.setenv("WEMART_LAKE", str(tmp_path / "lake"))
    assert export("x.duckdb").exit_code == 0
    old = Path("x.duckdb").read_bytes()
    next((tmp_path / "lake" / "we_mart" / "stats_wv_d_platform").glob("part_date=2024-03-04/*")).write_bytes(b"PAR1")
    result = export("x.duckdb")
    assert result.exit_code == 1
    assert "wemart run --from 2024-03-04 --to 2024-03-04 we_mart/stats_wv_d_platform" in result.stderr
    assert "x.duckdb is as it was before" in result.stderr
    assert Path("x.duckdb").read_bytes() == old
    assert not [*Path.cwd().glob(".x*")]


def test_ctrl_c_keeps_the_old_file(monkeypatch: pytest.MonkeyPatch) -> None:
    assert export("x.duckdb", PLATFORM).exit_code == 0
    old = Path("x.duckdb").read_bytes()

    def interrupt(_line: str) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("wemart_assets.export_command.visible", interrupt)
    result = export("x.duckdb")
    assert (result.exit_code, result.stderr.strip()) == (130, "Stopped; x.duckdb is as it was before.")
    assert Path("x.duckdb").read_bytes() == old
    assert not [*Path.cwd().glob(".x*")]


def test_ctrl_c_in_a_statement_is_ctrl_c() -> None:
    # As DuckDB raises it; a statement cannot be interrupted reliably.
    with pytest.raises(KeyboardInterrupt), ctrl_c_as_such():
        raise RuntimeError("Query interrupted") from KeyboardInterrupt()
    with pytest.raises(RuntimeError, match="another"), ctrl_c_as_such():
        raise RuntimeError("another")


def test_a_lake_in_an_object_store_can_be_exported(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    place = s3.location("lake")
    fill(place)
    for name, value in {"WEMART_LAKE": place.url, **s3.variables}.items():
        monkeypatch.setenv(name, value)
    result = export("x.duckdb")
    assert result.exit_code == 0, result.output
    assert query("x.duckdb", f"select count(*) from {PLATFORM}") == [(3,)]
