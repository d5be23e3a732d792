"""What an engine does: read tables and landing files, and compute and stage rows.

A mart's function never sees an engine. All differences in how DuckDB and Spark compute are behind these protocols.
Where the tables are and how staged rows are published is the store's part (`store.py`).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from wemart_assets.lake.errors import WemartError

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from wemart_assets.lake.delta import DataFile
    from wemart_assets.lake.location import Location
    from wemart_assets.lake.store import Baseline, Snapshot
    from wemart_assets.lake.table import Table


class FileKind(StrEnum):
    """Format of a landing file."""

    PARQUET = "parquet"
    CSV = "csv"
    JSONL = "jsonl"
    TEXT = "text"


@dataclass(frozen=True)
class FileFormat:
    """How landing files of one kind are read.

    Attributes:
        null: the text that stands for NULL in a CSV.
        names: the columns of a CSV, in order; empty if a header names them and has not been read yet.
        has_header: whether the first record of a CSV is its header.
        is_copy: whether the files are rewritten text files: Parquet files of strings, with `COPY_COLUMNS`.

    `FileKind.TEXT` is read like a CSV of one column, without quotes and with a delimiter that no line has.
    """

    kind: FileKind
    delimiter: str = ","
    null: str | None = None
    names: tuple[str, ...] = ()
    gzipped: bool = False
    has_header: bool = False
    is_copy: bool = False


# The only column of `FileKind.TEXT`, and what its readers take for a delimiter: a file with one is read from a copy.
LINE, NO_DELIMITER = "line", "\x01"
# Prefix of names that only queries over landing files use.
RESERVED = "__wemart_"
# Columns that a copy has in addition to the file's: what is wrong with a record, the record as JSON, the file's path.
# `TEXT` is the single column of JSON lines.
COPY_COLUMNS = FAULT, RAW, PATH = "__wemart_fault", "__wemart_raw", "__wemart_path"
TEXT = "__wemart_text"


@dataclass(frozen=True)
class Staged:
    """The computed rows of one run, in storage that no reader sees; `rows` reads them for the audit.

    Attributes:
        counts: the number of rows of each day that has any.
        files: the data files that the commit adds, if the engine has written them.
        write: otherwise, replaces the days in a table with an address in Spark's SQL, in a commit with these options.
        run: the id by which the commit can be told from others.
    """

    table: Table
    days: tuple[str, ...]
    rows: ir.Table
    counts: Mapping[str, int]
    baseline: Baseline
    files: tuple[DataFile, ...] = ()
    write: Callable[[str, Mapping[str, str]], None] | None = None
    run: str = field(default_factory=lambda: uuid.uuid4().hex)

    def count(self, day: str) -> int:
        """Number of rows staged for the day."""
        return self.counts.get(day, 0)


def foreign_days(table: Table, days: Sequence[str], foreign: str) -> WemartError:
    """The error of a function that returns rows of other days than the run's."""
    return WemartError(
        f"{table.full_name}: the function returned rows of {foreign} in a run of {days[0]} to {days[-1]}; a run "
        "publishes only its own days. Filter the result to the run's days."
    )


def unknown_partition(table: Table, columns: Sequence[str]) -> WemartError:
    """The error of a function that returns rows without a value in a partition column."""
    return WemartError(
        f"{table.full_name}: the function returned rows whose {', '.join(columns)} is NULL; partition columns must not "
        "be null. Filter these rows out, or give them a value."
    )


class Connection(Protocol):
    """One step's connection to an engine. It knows how rows are computed, and nothing about where tables live.

    `spill` is the local folder for data that does not fit in memory, or None if the engine manages its own.
    """

    spill: Path | None

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        """The exceptions that the engine raises for a damaged file."""

    @property
    def mismatches(self) -> tuple[type[Exception], ...]:
        """The exceptions that the engine raises for an expression that does not fit the columns."""

    def read(self, snapshot: Snapshot) -> ir.Table:
        """The rows of a table at one version, with the snapshot's columns."""

    def select(self, rows: ir.Table, values: Mapping[str, tuple[str, str]]) -> ir.Table:
        """`values` of the rows: for each name an expression in DuckDB's SQL, and the type to cast it to."""

    def file_columns(self, path: str, form: FileFormat) -> dict[str, bool]:
        """The columns of a Parquet file or of JSON lines by name, and whether each has a type.

        A Parquet column that is entirely NULL may have no type.

        Raises:
            UnreadableFile: the file cannot be read, or a line of JSON lines is not an object.
        """

    def scan(
        self, paths: Sequence[str], form: FileFormat, columns: Sequence[str], expressions: Mapping[str, str]
    ) -> ir.Table:
        """Rows of landing files, with one column for each of `expressions` (SQL over `columns`, which all files have).

        Three more columns are `_file` (the path), `_raw` (the row as delivered, as JSON) and `_fault` (why a record
        of a copy has no values, otherwise NULL). All columns of text formats are strings. A CSV has the columns that
        `form` names.

        Raises:
            UnreadableFile: a file cannot be read.
            LandingError: an expression does not fit the columns.
        """

    def named(self, rows: ir.Table) -> ir.Table:
        """The same rows as a view, so that expressions built on them are compiled without what lies below."""

    def stage(
        self, table: Table, rows: ir.Table, days: Sequence[str], baseline: Baseline, destination: Location | None
    ) -> Staged:
        """Compute `rows` once and write them where no reader sees them; files, if any, to `destination`."""

    def discard(self, staged: Staged) -> None:
        """Remove the staged rows, which are in no table."""

    def release(self, staged: Staged) -> None:
        """Free what the engine keeps for staged rows that have been published."""


class Engine(Protocol):
    """Opens connections."""

    def connect(self) -> AbstractContextManager[Connection]:
        """Open a connection for one step."""
