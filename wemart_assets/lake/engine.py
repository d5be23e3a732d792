"""The engine's contract: read published tables and landing files, stage, publish.

A mart's function never sees an engine. What differs between DuckDB and Spark lives behind these two protocols, but for
the form in which sessions are found (`marts/sessions/sessionization.py`); what a commit is lives in `delta.py`.
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
    """How rows lie in a landing file."""

    PARQUET = "parquet"
    CSV = "csv"
    JSONL = "jsonl"


@dataclass(frozen=True)
class FileFormat:
    """How landing files of one kind are read.

    Attributes:
        names: the columns of a CSV, in their order; empty where its header says them and has not been read yet.
        has_header: whether the first record of a CSV is its header.
        is_copy: whether the files are copies of text files: Parquet of text, with `COPY_COLUMNS`.
    """

    kind: FileKind
    delimiter: str = ","
    null: str | None = None
    names: tuple[str, ...] = ()
    gzipped: bool = False
    has_header: bool = False
    is_copy: bool = False


# How names begin that only queries of landing files have.
RESERVED = "__wemart_"
# The columns of a copy beside the file's: what is wrong with a record, the record as JSON, the path of the file.
# `TEXT` is the one column of JSON lines.
COPY_COLUMNS = FAULT, RAW, PATH = "__wemart_fault", "__wemart_raw", "__wemart_path"
TEXT = "__wemart_text"


@dataclass(frozen=True)
class DataFile:
    """One Parquet file of a table: path below the table's folder, partition values, rows, bytes, Delta statistics."""

    path: str
    partition: Mapping[str, str | None]
    rows: int
    bytes: int
    stats: str = "{}"


@dataclass(frozen=True)
class Baseline:
    """What a table's partitions were when a run began to compute them: how another writer is noticed."""

    files: frozenset[str]
    transactions: tuple[int | None, ...]


@dataclass(frozen=True)
class Staged:
    """Computed rows of one run in storage that no reader sees; `rows` reads them for the audit.

    `counts` are the rows of each day that has any. `files` are the data files that a commit adds, where the engine has
    written them already.
    """

    table: Table
    days: tuple[str, ...]
    rows: ir.Table
    counts: Mapping[str, int]
    baseline: Baseline
    files: tuple[DataFile, ...] = ()

    def count(self, day: str) -> int:
        """Rows staged for the day."""
        return self.counts.get(day, 0)


@dataclass(frozen=True)
class ExternalTable:
    """A Delta table that someone else writes and that is read in place of one of ours.

    Attributes:
        location: its folder.
        day: its column of business days, None where there is none. Such a table cannot say of a day that it is not
            written yet, so each day counts as published, with the rows that there are of it.
        expressions: SQL over its columns by column of ours; others are read under their own names.
        derived_day: how the day follows from a row, where `day` is None; without either, rows are those of every day.
    """

    location: Path
    day: str | None = None
    expressions: Mapping[str, str] = field(default_factory=dict)
    derived_day: Callable[[ir.Table], ir.Value] | None = None


def foreign_days(table: Table, days: Sequence[str], foreign: str) -> WemartError:
    """The error of a function that returns rows of days that are not the run's."""
    return WemartError(
        f"{table.full_name}: the function returned rows of {foreign} in a run of {days[0]} to {days[-1]}; a run "
        "publishes its own days only. Filter the result to the run's days."
    )


def unknown_partition(table: Table, columns: Sequence[str]) -> WemartError:
    """The error of a function that returns rows that belong to no storage partition."""
    return WemartError(
        f"{table.full_name}: the function returned rows whose {', '.join(columns)} is NULL; what a table is "
        "partitioned by has to be known. Filter them out, or give them a value."
    )


class Session(Protocol):
    """One step's connection to an engine.

    `spill` is the folder of this machine for what does not fit in memory, None where the engine has its own.
    """

    spill: Path | None

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        """What the engine raises where the bytes of a file are not what they should be."""

    def published(self, table: Table, days: Sequence[str]) -> set[str]:
        """Those of `days` that have been published, empty ones included."""

    def versions(self, table: Table) -> Mapping[str, int]:
        """For each day that was published lately, the number of the last commit that did; later ones are greater."""

    def read(self, table: Table, days: Sequence[str] | None = None) -> ir.Table:
        """The published rows of `days` (of all days if not given), with the table's columns."""

    def file_columns(self, path: str, form: FileFormat) -> dict[str, bool]:
        """Names of the columns of a Parquet file or of JSON lines, and whether the file gives them a type.

        A column of Parquet in which all is NULL may have none.

        Raises:
            UnreadableFile: the file cannot be read; of JSON lines, a line is no object.
        """

    def scan(
        self, paths: Sequence[str], form: FileFormat, columns: Sequence[str], expressions: Mapping[str, str]
    ) -> ir.Table:
        """Rows of landing files: `expressions` (SQL over `columns`, which all files have) under their names.

        Beside them `_file` (the path), `_raw` (the row as it came, as JSON) and `_fault` (why a record of a copy has
        no values, else NULL). Text formats are text throughout. A CSV has the columns that `form` names.

        Raises:
            UnreadableFile: a file cannot be read.
            LandingError: an expression does not fit its columns.
        """

    def stage(self, table: Table, rows: ir.Table, days: Sequence[str], baseline: Baseline) -> Staged:
        """Compute `rows` once, into storage that no reader sees."""

    def baseline(self, table: Table, days: Sequence[str]) -> Baseline:
        """What the partitions are now; taken before a run reads its inputs."""

    def publish(self, staged: Staged) -> int:
        """Replace exactly the staged days in one commit; the published Delta version.

        Raises:
            PublishConflict: another run published one of the days since the baseline was taken.
        """

    def sizes(self, table: Table, days: Sequence[str]) -> Mapping[str, int]:
        """Bytes published of each of `days`."""

    def discard(self, staged: Staged) -> None:
        """Remove what was staged."""


class Engine(Protocol):
    """Opens sessions; a Dagster resource."""

    def connect(self) -> AbstractContextManager[Session]:
        """A session for one step."""
