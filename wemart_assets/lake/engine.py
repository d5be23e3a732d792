"""What an engine does: read published tables and landing files, stage rows, publish them.

A mart's function never sees an engine. All differences between DuckDB and Spark are behind these two protocols, except
how sessions are found (`marts/sessions/sessionization.py`). The Delta commit itself is in `delta.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from wemart_assets.lake.errors import WemartError

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from wemart_assets.lake.table import Table


class FileKind(StrEnum):
    """Format of a landing file."""

    PARQUET = "parquet"
    CSV = "csv"
    JSONL = "jsonl"


@dataclass(frozen=True)
class FileFormat:
    """How landing files of one kind are read.

    Attributes:
        null: the text that stands for NULL in a CSV.
        names: the columns of a CSV, in order; empty if a header names them and has not been read yet.
        has_header: whether the first record of a CSV is its header.
        is_copy: whether the files are rewritten text files: Parquet files of strings, with `COPY_COLUMNS`.
    """

    kind: FileKind
    delimiter: str = ","
    null: str | None = None
    names: tuple[str, ...] = ()
    gzipped: bool = False
    has_header: bool = False
    is_copy: bool = False


# Prefix of names that only queries over landing files use.
RESERVED = "__wemart_"
# Columns that a copy has in addition to the file's: what is wrong with a record, the record as JSON, the file's path.
# `TEXT` is the single column of JSON lines.
COPY_COLUMNS = FAULT, RAW, PATH = "__wemart_fault", "__wemart_raw", "__wemart_path"
TEXT = "__wemart_text"


@dataclass(frozen=True)
class DataFile:
    """One Parquet file of a table; `path` is relative to the table's folder, `stats` are Delta's, as JSON."""

    path: str
    partition: Mapping[str, str | None]
    rows: int
    bytes: int
    stats: str = "{}"


@dataclass(frozen=True)
class Baseline:
    """State of a table's partitions when a run began to compute them; if it has changed, another run has published.

    Attributes:
        files: paths of the active data files.
        transactions: for each day the version of its application transaction, None if it has none.
    """

    files: frozenset[str]
    transactions: tuple[int | None, ...]


@dataclass(frozen=True)
class Staged:
    """The computed rows of one run, in storage that no reader sees; `rows` reads them for the audit.

    `counts` has the number of rows of each day that has any. `files` are the data files that the commit will add, if
    the engine has already written them.
    """

    table: Table
    days: tuple[str, ...]
    rows: ir.Table
    counts: Mapping[str, int]
    baseline: Baseline
    files: tuple[DataFile, ...] = ()

    def count(self, day: str) -> int:
        """Number of rows staged for the day."""
        return self.counts.get(day, 0)


@dataclass(frozen=True)
class ExternalTable:
    """A Delta table written by someone else, which is read in place of one of ours.

    Attributes:
        location: its folder.
        day: its column of business days, or None. Without one, nothing shows whether a day has been written yet, so
            every day counts as published, with whatever rows there are.
        expressions: our columns as SQL over its columns; columns that are not listed are read under their own names.
        derived_day: computes the day of a row, if `day` is None. Without either, every day has all rows.
    """

    location: Path
    day: str | None = None
    expressions: Mapping[str, str] = field(default_factory=dict)
    derived_day: Callable[[ir.Table], ir.Value] | None = None


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


class Session(Protocol):
    """One step's connection to an engine.

    `spill` is the local folder for data that does not fit in memory, or None if the engine manages its own.
    """

    spill: Path | None

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        """The exceptions that the engine raises for a damaged file."""

    def published(self, table: Table, days: Sequence[str]) -> set[str]:
        """Those of `days` that have been published, including empty ones."""

    def versions(self, table: Table) -> Mapping[str, int]:
        """For each recently published day, the number of the last commit that published it; numbers only grow."""

    def read(self, table: Table, days: Sequence[str] | None = None) -> ir.Table:
        """The published rows of `days` (of all days by default), with the table's columns."""

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

    def stage(self, table: Table, rows: ir.Table, days: Sequence[str], baseline: Baseline) -> Staged:
        """Compute `rows` once and write them where no reader sees them."""

    def baseline(self, table: Table, days: Sequence[str]) -> Baseline:
        """The current state of the partitions; taken before a run reads its inputs."""

    def publish(self, staged: Staged) -> int:
        """Replace exactly the staged days in one commit and return the published Delta version.

        Raises:
            PublishConflict: another run published one of the days since the baseline was taken.
        """

    def sizes(self, table: Table, days: Sequence[str]) -> Mapping[str, int]:
        """Published bytes of each of `days`."""

    def discard(self, staged: Staged) -> None:
        """Remove the staged rows."""


class Engine(Protocol):
    """Opens sessions; a Dagster resource."""

    def connect(self) -> AbstractContextManager[Session]:
        """Open a session for one step."""
