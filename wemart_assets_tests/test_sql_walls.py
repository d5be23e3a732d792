"""Whatever is typed, no byte of the lake, the landing folder or other files changes, and the process survives."""

from __future__ import annotations

import multiprocessing
import shutil
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from wemart_assets_tests.hostile_statements import GROUPS
from wemart_assets_tests.sql_attack import STOPPED, Outcome, attack

STATEMENTS = [statement for group in GROUPS.values() for statement in group]
PROCESSES = 2


def attacked(world: Path, tmp_path: Path, statements: list[str]) -> list[Outcome]:
    """The outcomes of the statements, with a separate world per process."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, mp_context=spawn) as pool:
        found = [
            pool.submit(attack, *small_world(world, tmp_path / str(number), statements[number::PROCESSES]))
            for number in range(PROCESSES)
        ]
        return [outcome for future in found for outcome in future.result()]


def small_world(world: Path, folder: Path, statements: list[str]) -> tuple[Path, list[str]]:
    """A folder with a lake of one table, a landing folder and an outside folder; statements with their paths."""
    table = folder / "lake" / "we_mart" / "wv_user_daily"
    shutil.copytree(world / "lake" / "we_mart" / "wv_user_daily", table)
    for name in ("landing", "outside"):
        (folder / name).mkdir()
        (folder / name / "kept.csv").write_text("a,b\n1,2\n")
    file = next(iter(sorted(table.glob("*/*.parquet"))))
    places = {
        "file": file,
        "name": f"wemart://we_mart/wv_user_daily/{file.relative_to(table)}",
        "log": table / "_delta_log" / f"{0:020}.json",
        "table": table,
        "lake": folder / "lake",
        "landing": folder / "landing",
        "outside": folder / "outside",
    }
    return folder, [statement.format(**places) for statement in statements]


def check(outcomes: list[Outcome]) -> None:
    assert [o for o in outcomes if o.changed] == []
    assert [o for o in outcomes if o.end != STOPPED] == []


def test_there_are_enough_hostile_statements() -> None:
    assert len(set(STATEMENTS)) == len(STATEMENTS) >= 250


def test_a_sample_of_hostile_statements_changes_nothing(world: Path, tmp_path: Path) -> None:
    outcomes = attacked(world, tmp_path, STATEMENTS[::12])
    check(outcomes)
    assert len(outcomes) == len(STATEMENTS[::12])


@pytest.mark.slow
def test_no_hostile_statement_changes_anything(world: Path, tmp_path: Path) -> None:
    outcomes = attacked(world, tmp_path, STATEMENTS)
    check(outcomes)
    assert len(outcomes) == len(STATEMENTS)
