"""Runs statements against a lake, each in a separate process, and reports what happened to it and to the files.

The processes are forked from one that has imported everything and opened nothing.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

from wemart_assets import catalog
from wemart_assets.lake.errors import WemartError
from wemart_assets.lake.table import Table
from wemart_assets.sql import analyst

SECONDS = 60
STOPPED, RAN, FAILED = range(3)


@dataclass(frozen=True)
class Outcome:
    """How the process ended (expected: `STOPPED` by the first wall; a negative number is a signal)."""

    statement: str
    end: int
    changed: list[str]


def hashes(folder: Path) -> dict[str, str]:
    """The hash of each file below the folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files} | {
        str(path): "folder" for path in folder.rglob("*") if path.is_dir()
    }


def attack(world: Path, statements: list[str]) -> list[Outcome]:
    """Runs each statement through the analyst's session, and then again on the session's connection itself."""
    os.environ["HOME"] = str(world / "outside")
    os.chdir(world / "outside")
    outcomes, before = [], hashes(world)
    # What every child would otherwise import for itself, which takes ten times as long as a session.
    tables = catalog.tables()
    importlib.import_module("wemart_assets.lake.delta")
    for statement in statements:
        child = os.fork()
        if child == 0:
            signal.alarm(SECONDS)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os._exit(_end(world / "lake", tables, statement))
        end = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        after = hashes(world)
        changed = [path for path in before.keys() | after.keys() if before.get(path) != after.get(path)]
        outcomes.append(Outcome(statement, end, sorted(changed)))
        before = after
    return outcomes


def _end(lake: Path, tables: Mapping[str, Table], statement: str) -> int:
    with analyst(lake, tables, memory_limit="1GB", threads=1) as session:
        # Statements can then name its files.
        if session.run("select count(*) as n from we_mart.wv_user_daily").to_pylist()[0]["n"] == 0:
            return FAILED
        try:
            session.run(statement)
            return RAN
        except (WemartError, duckdb.Error):
            pass
        # Most fail here too; the others must have no effect beyond this session.
        with suppress(duckdb.Error, RuntimeError):
            session._connection.execute(statement).fetchall()
        # Anything that was turned on would act on the next query.
        with suppress(duckdb.Error, RuntimeError):
            session._connection.execute("select 42").fetchall()
    return STOPPED
