"""Copies the lake's tables into one DuckDB file, for BI tools and notebooks that do not read Delta.

The file has the names of an SQL session: databases become schemas; views and functions over a range of days are
included, and names that show the newest rows are tables. Rows are read through an SQL session and written as they
arrive, so the lake may be larger than memory.
"""

from __future__ import annotations

import difflib
import fcntl
import glob
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from wemart_assets.lake.audit_results import RESULTS
from wemart_assets.lake.days import period_start
from wemart_assets.lake.duckdb_sql import DUCKDB_MACROS, literal, quoted
from wemart_assets.lake.errors import MachineFault, WemartError
from wemart_assets.lake.location import Location
from wemart_assets.sql.destination import check_output
from wemart_assets.sql.session import CATALOG, DAILY, Analyst, Described, Entry, Kind

if TYPE_CHECKING:
    from wemart_assets.lake.between import Between
    from wemart_assets.lake.table import Table
    from wemart_assets.lake.view import View

# Tables that are left out while they are empty, as most of them always are.
USUALLY_EMPTY = ("__quarantine", "__rejected")
# Where a DuckDB file says that it is one.
MAGIC, MAGIC_AT = b"DUCK", 8
# About 200,000 rows.
BATCHES_PER_COMMIT = 10


@dataclass(frozen=True)
class Declared:
    """The declarations that an export needs, tables and views by full name."""

    tables: Mapping[str, Table]
    views: Mapping[str, View]
    functions: Sequence[Between]


@dataclass(frozen=True)
class Exported:
    """What a file contains."""

    tables: int
    views: int
    functions: int
    rows: int


def check_target(target: Path, places: Mapping[str, Location]) -> None:
    """Checks that an export may replace the file; `places` are the mart's own folders, by name.

    Raises:
        WemartError: the file is in one of the places, cannot be read or is no DuckDB file, or another program has
            written to it.
    """
    check_output(target, places)
    target = target.resolve()
    try:
        if target.exists() and (not target.is_file() or not _is_duckdb(target)):
            raise WemartError(f"{target} exists and is not a DuckDB database; name another file, or remove it first")
    except OSError as error:
        raise WemartError(f"{target} cannot be read: {error.strerror or error}; name another file") from error
    _check_unwritten(target)


def _check_unwritten(target: Path) -> None:
    """Checks that there is no log of another program's changes, which DuckDB would replay on the new file.

    Raises:
        WemartError: there is one.
    """
    log = target.with_name(f"{target.name}.wal")
    if not log.exists():
        return
    if not target.exists():
        raise WemartError(f"{log} has changes to a file that is no longer there; remove it, then export again")
    raise WemartError(
        f"another program has written to {target} and still has it open, or died ({log} exists). Close it, or open the "
        "file once, then export again; better, let programs open it read-only."
    )


def select(entries: Sequence[Entry], names: Sequence[str], declared: Declared) -> list[Entry]:
    """Returns the entries with these names, and those that they are computed from; all if no name is given.

    A name is `database.table`, `database/table` or `table`.

    Raises:
        WemartError: nothing has that name.
    """
    if not names:
        return [*entries]
    by_name = {entry.full_name.lower(): entry for entry in entries}
    chosen: dict[str, Entry] = {}
    pending = [name.lower().replace("/", ".") for name in names]
    while pending:
        name = pending.pop()
        full_names = [name] if "." in name else [full for full in by_name if full.partition(".")[2] == name]
        if not full_names or full_names[0] not in by_name:
            near = difflib.get_close_matches(name, [*by_name, *(full.partition(".")[2] for full in by_name)])
            meant = f"; did you mean {' or '.join(near)}?" if near else "; `wemart tables` lists them"
            raise WemartError(f"the lake has no table {name}{meant}")
        for full_name in full_names:
            entry = chosen[full_name] = by_name[full_name]
            if entry.kind is Kind.NEWEST:
                pending.append(full_name + DAILY)
            elif entry.kind is Kind.VIEW:
                pending += [table.full_name.lower() for table in declared.views[entry.full_name].inputs.values()]
    return [entry for entry in entries if entry.full_name.lower() in chosen]


def export(
    session: Analyst,
    declared: Declared,
    target: Path,
    entries: Sequence[Entry],
    days: tuple[str | None, str | None],
    memory_limit: str,
    done: Callable[[str], None],
) -> Exported:
    """Writes the entries of the session into the DuckDB file `target`, which is replaced once it is complete.

    Args:
        days: the first and the last business day whose partitions are copied; None for no limit. Weeks and months that
            contain one of the days are copied whole.
        done: called with a line for each table, once it is copied.

    Raises:
        WemartError: a table is damaged, a file cannot be written, or another export is writing the same file.
    """
    with _replaced(target) as part, _duckdb(part, memory_limit) as connection:
        tables = [entry for entry in entries if entry.kind is Kind.TABLE]
        newest = [entry for entry in entries if entry.kind is Kind.NEWEST]
        views = [entry for entry in entries if entry.kind is Kind.VIEW]
        for macro in DUCKDB_MACROS:
            connection.execute(macro.replace(" temp macro ", " macro "))
        copied: set[str] = set()
        rows = 0
        for entry in tables:
            described = session.describe(entry.database, entry.name)
            assert described is not None
            if described.days == () and entry.name.endswith(USUALLY_EMPTY):
                continue
            count = _copy(session, connection, described, _condition(declared, described, days))
            copied.add(entry.full_name)
            rows += count
            done(f"{entry.full_name}: {count:,} rows")
        for entry in newest:
            with _transaction(connection):
                count = _keep_newest(connection, declared.tables[entry.full_name])
                _comment(connection, "table", session.describe(entry.database, entry.name))
            done(f"{entry.full_name}: {count:,} rows")
        for entry in views:
            with _transaction(connection):
                connection.execute(f"create schema if not exists {quoted(entry.database)}")
                connection.execute(declared.views[entry.full_name].duckdb_view(None))
                _comment(connection, "view", session.describe(entry.database, entry.name))
            done(f"{entry.full_name}: a view")
        functions = [of for of in declared.functions if all(t.full_name in copied for t in of.inputs.values())]
        for function in functions:
            connection.execute(f"create schema if not exists {quoted(function.mart.table.database)}")
            connection.execute(function.duckdb_macro(None))
        return Exported(len(copied) + len(newest), len(views), len(functions), rows)


def _condition(declared: Declared, described: Described, days: tuple[str | None, str | None]) -> str:
    """Returns the condition for the partitions of the days."""
    table = declared.tables.get(described.entry.full_name.removesuffix(DAILY))
    # What audits found is stored by the day of the run, not by business day.
    if table is None or table.only_partition is not None or table is RESULTS:
        return "true"
    first, last = (None if day is None else literal(period_start(day, table.period)) for day in days)
    limits = [f"{quoted(table.day_column)} {sign} {day}" for sign, day in ((">=", first), ("<=", last)) if day]
    return " and ".join(limits) or "true"


def _copy(session: Analyst, connection: duckdb.DuckDBPyConnection, described: Described, condition: str) -> int:
    """Copies a table; returns how many rows it has."""
    name = f"{quoted(described.entry.database)}.{quoted(described.entry.name)}"
    columns = ", ".join(f"{quoted(column)} {kind}" for column, kind, _description in described.columns)
    with _transaction(connection):
        connection.execute(f"create schema if not exists {quoted(described.entry.database)}")
        connection.execute(f"create table {name} ({columns})")
        _comment(connection, "table", described)
    rows = 0
    batches = iter(session.stream(f"select * from {CATALOG}.{name} where {condition}"))
    # Each insert is a commit of its own: what a transaction has inserted stays in memory until its commit.
    while group := [*islice(batches, BATCHES_PER_COMMIT)]:
        connection.register("batches", pa.Table.from_batches(group))
        connection.execute(f"insert into {name} select * from batches")
        connection.unregister("batches")
        rows += sum(batch.num_rows for batch in group)
    return rows


def _keep_newest(connection: duckdb.DuckDBPyConnection, table: Table) -> int:
    """Makes the table of the newest row of each key; returns how many rows it has."""
    name, daily = (f"{quoted(table.database)}.{quoted(table.name + suffix)}" for suffix in ("", DAILY))
    key, day = ", ".join(map(quoted, table.grain)), quoted(table.day_column)
    [(rows,)] = connection.execute(
        f"create table {name} as select * from {daily}"
        f" qualify row_number() over (partition by {key} order by {day} desc) = 1"
    ).fetchall()
    return int(rows)


def _comment(connection: duckdb.DuckDBPyConnection, kind: str, described: Described | None) -> None:
    """Makes the descriptions of a table and its columns comments."""
    assert described is not None
    name = f"{quoted(described.entry.database)}.{quoted(described.entry.name)}"
    if described.entry.description is not None:
        connection.execute(f"comment on {kind} {name} is {literal(described.entry.description)}")
    for column, _kind, description in described.columns:
        if description is not None:
            connection.execute(f"comment on column {name}.{quoted(column)} is {literal(description)}")


def _is_duckdb(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(MAGIC_AT + len(MAGIC))[MAGIC_AT:] == MAGIC


@contextmanager
def _transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """One commit for many statements, each of which would wait for the disk. What fails ends the export."""
    connection.execute("begin")
    yield
    connection.execute("commit")


@contextmanager
def _replaced(target: Path) -> Iterator[Path]:
    """Yields a file beside the target, which takes its place if nothing fails.

    Raises:
        WemartError: another export is writing it, or another program has written to the target.
    """
    target = target.resolve()
    # A name of its own: no other export ever moves this file, or writes to it.
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    for other in target.parent.glob(f".{glob.escape(target.name)}.{'[0-9a-f]' * 8}.part"):
        _remove_left(other, target)
    try:
        yield part
        # A program may have written to the old file during the export.
        _check_unwritten(target)
        try:
            part.replace(target)
        except OSError as error:
            raise WemartError(f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        _remove(part)


def _remove_left(part: Path, target: Path) -> None:
    """Removes what an export that was killed has left.

    Raises:
        WemartError: that export is running.
    """
    try:
        # DuckDB locks a file that is in use, which a killed process does not.
        with part.open("r+b") as left:
            fcntl.lockf(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise WemartError(f"another export to {target} is running; wait for it, or stop it") from error
    except OSError:
        # Removed in the meantime, or another user's.
        return
    _remove(part)


def _remove(part: Path) -> None:
    """Removes the file as far as possible; what remains is in no one's way."""
    for suffix in ("", ".wal"):
        with suppress(OSError):
            part.with_name(part.name + suffix).unlink()
    shutil.rmtree(_spill(part), ignore_errors=True)


def _spill(part: Path) -> Path:
    """Where DuckDB puts what does not fit in memory."""
    return part.with_name(f"{part.name}.tmp")


@contextmanager
def _duckdb(file: Path, memory_limit: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """Opens a DuckDB file for writing; it is complete once it is closed.

    Raises:
        MachineFault: it cannot be written.
    """
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": memory_limit,
        "temp_directory": str(_spill(file)),
        "python_enable_replacements": False,
    }
    try:
        with duckdb.connect(str(file), config=config) as connection:
            connection.execute("set timezone = 'UTC'")
            connection.execute("set enable_progress_bar = false")
            yield connection
            connection.execute("checkpoint")
    except (duckdb.IOException, duckdb.FatalException, duckdb.TransactionException) as error:
        raise MachineFault(f"the export cannot be written: {str(error).splitlines()[0]}") from error
