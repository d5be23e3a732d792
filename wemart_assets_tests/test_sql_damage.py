"""The error of a damaged table names table, day, file and the command to run; other tables are not affected."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from deltalake import DeltaTable

from wemart_assets import catalog
from wemart_assets.lake.delta import open_delta
from wemart_assets.lake.errors import UnreadableTable
from wemart_assets.lake.location import Location
from wemart_assets.sql import Analyst, analyst

TABLE, OTHER, DAY = "we_mart.wv_user_daily", "we_mart.wv_sess_daily", "2024-01-03"
COUNT = f"select count(*), max(device_id) from {TABLE}"


@pytest.fixture
def lake(world: Path, tmp_path: Path) -> Path:
    """A writable lake of three tables."""
    for table in (TABLE, OTHER, "igaworks.event"):
        path = table.replace(".", "/")
        shutil.copytree(world / "lake" / path, tmp_path / "lake" / path)
    return tmp_path / "lake"


def folder(lake: Path) -> Path:
    return lake / TABLE.replace(".", "/")


def file_of_the_day(lake: Path) -> Path:
    [path] = [Path(path) for path in DeltaTable(folder(lake)).file_uris() if f"={DAY}/" in path]
    return path


def run(lake: Path, query: str) -> int:
    with analyst(lake, catalog.tables(), catalog.views()) as session:
        return session.run(query).num_rows


def corrupt(path: Path) -> None:
    """Corrupts the middle of the file, where a column page is."""
    content = bytearray(path.read_bytes())
    for place in range(200, len(content) // 2):
        content[place] ^= 0x5A
    path.write_bytes(content)


def corrupt_the_end(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-200:-8] = bytes(192)
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "deleted": Path.unlink,
    "cut off": lambda path: os.truncate(path, path.stat().st_size // 2),
    "empty": lambda path: path.write_bytes(b""),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "corrupt": corrupt,
    "corrupt at its end": corrupt_the_end,
}


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_data_file_is_named_with_the_command_that_repairs_it(how: str, lake: Path) -> None:
    damaged = file_of_the_day(lake)
    DAMAGES[how](damaged)
    with pytest.raises(UnreadableTable) as told:
        run(lake, COUNT)
    for part in (TABLE, DAY, str(damaged), f"wemart run --from {DAY} --to {DAY} {TABLE.replace('.', '/')}"):
        assert part in str(told.value)


@pytest.mark.parametrize(
    "query", ["select 1", f"from {OTHER}", f"with wv_user_daily as (from {OTHER}) from wv_user_daily"]
)
def test_a_damaged_file_does_not_affect_other_tables(query: str, lake: Path) -> None:
    corrupt_the_end(file_of_the_day(lake))
    assert run(lake, query) > 0


def damaged_entries(lake: Path) -> list[tuple[Path, bytes]]:
    log = folder(lake) / "_delta_log"
    last = max(log.glob("*.json"))
    following = log / f"{int(last.stem) + 1:020}.json"
    whole = last.read_bytes()
    return [(last, b""), (following, b""), (last, b"\n"), (last, whole[:50]), (last, b"\0" * 200)]


@pytest.mark.parametrize("number", range(5))
def test_a_table_with_a_damaged_log_is_unreadable_not_empty(number: int, lake: Path) -> None:
    entry, content = damaged_entries(lake)[number]
    entry.write_bytes(content)
    with pytest.raises(UnreadableTable, match=f"{TABLE}.*_delta_log.*wemart run"):
        open_delta(Location.of(folder(lake)), TABLE)
    with pytest.raises(UnreadableTable, match=TABLE):
        run(lake, COUNT)
    assert run(lake, f"select 1 from {OTHER} limit 1") == 1


def test_a_damaged_entry_covered_by_a_checkpoint_is_ignored(lake: Path) -> None:
    log = DeltaTable(folder(lake))
    rows = log.to_pyarrow_table().num_rows
    log.create_checkpoint()
    (folder(lake) / "_delta_log" / f"{0:020}.json").write_bytes(b"")
    with analyst(lake, catalog.tables()) as session:
        assert session.run(f"select count(*) as n from {TABLE}").to_pylist() == [{"n": rows}]


def test_show_all_tables_lists_damaged_tables_too(lake: Path) -> None:
    file_of_the_day(lake).unlink()
    with analyst(lake, catalog.tables()) as session:
        listed = {row["name"]: row["column_names"] for row in session.run("show all tables").to_pylist()}
        assert listed["wv_user_daily"] == ["damaged"]
        assert "sess_id" in listed["wv_sess_daily"]
        assert DAY in session.unreadable[TABLE]
        with pytest.raises(UnreadableTable, match=DAY):
            session.run(COUNT)


def test_a_table_with_renamed_columns_is_refused_by_name(lake: Path) -> None:
    log = folder(lake) / "_delta_log" / f"{0:020}.json"
    log.write_text(
        re.sub(r'"configuration":\{[^}]*\}', '"configuration":{"delta.columnMapping.mode":"name"}', log.read_text())
    )
    with pytest.raises(UnreadableTable, match=f"{TABLE}.*columnMapping"):
        run(lake, COUNT)
    assert run(lake, f"from {OTHER}") > 0


def test_a_log_cannot_refer_to_a_file_in_another_folder(lake: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.parquet"
    shutil.copy(file_of_the_day(lake), secret)
    inside = file_of_the_day(lake)
    inside.unlink()
    inside.symlink_to(secret)
    with pytest.raises(UnreadableTable, match="not in its folder"):
        run(lake, COUNT)


@pytest.mark.parametrize("name", ["a*b", "[x]", "a?b", "it's", "é, ä"])
def test_the_lake_path_may_contain_pattern_characters(name: str, lake: Path, tmp_path: Path) -> None:
    def rows(session: Analyst) -> object:
        return session.run(f"select count(*), min(part_date), max(part_date) from {TABLE}").to_pylist()

    with analyst(lake, catalog.tables()) as session:
        expected = rows(session)
    lake.rename(tmp_path / name)
    with analyst(tmp_path / name, catalog.tables()) as session:
        assert rows(session) == expected
