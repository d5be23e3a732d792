"""Where tables live: what is published, what changed since a run began, and the commit that publishes.

A store knows nothing about how rows are computed. `FolderStore` (`folder_store.py`) commits with delta-rs, to a folder
or an object store; the stores of `spark_store.py` let Spark commit. `ExternalStore` has the tables of someone else,
which are only read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import ibis

from wemart_assets.lake.delta import DataFile, open_delta, partition_values, spark_columns
from wemart_assets.lake.duckdb_sql import quoted
from wemart_assets.lake.errors import PublishConflict, UnreadableTable
from wemart_assets.lake.location import Location
from wemart_assets.lake.table import RUN_TIMESTAMP

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa

    from wemart_assets.lake.engine import Connection, Staged
    from wemart_assets.lake.table import Table


COMMIT_ATTEMPTS = 20


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
class Snapshot:
    """A table at one version: what an engine needs to read its rows.

    Attributes:
        address: the folder of the table, or its name in the SQL of Spark.
        version: its Delta version; None if nothing was ever published, and then there are no rows.
        columns: the columns to read with their types in Spark SQL; one that the stored files lack is NULL.
        partition_by: those of them that are partition columns.
        files: the data files with the rows; empty for a table of a catalog, whose files only Spark knows.
        where: a column and the values of the rows to read; None for all rows. `files` have no others if the column is a
            partition column.
    """

    address: Location | str
    version: int | None
    columns: Mapping[str, str]
    partition_by: Sequence[str]
    files: Sequence[DataFile] = ()
    where: tuple[str, Sequence[str]] | None = None


class LostRace(Exception):
    """Another writer of the table committed first. Nothing was published, and a further attempt may succeed.

    Its cause is the error by which the attempt failed.
    """


class Unanswered(Exception):
    """The connection was lost during a commit, so whether it was made is not known. The cause is the error."""


class Store(Protocol):
    """The published tables."""

    def destination(self, table: Table) -> Location | None:
        """Where an engine writes the files of a run before they are published; None if its commit writes them.

        Raises:
            WemartError: the table cannot be written.
        """

    def snapshot(self, table: Table, days: Sequence[str] | None = None) -> Snapshot:
        """The table as it is now, with the rows of `days`, or of all days if not given."""

    def published(self, table: Table, days: Sequence[str]) -> set[str]:
        """Those of `days` that a commit has published, including empty ones."""

    def versions(self, table: Table, days: Sequence[str]) -> Mapping[str, int]:
        """For each of `days` the version of the last commit that published it, as far as it is known."""

    def baseline(self, table: Table, days: Sequence[str]) -> Baseline:
        """The current state of the partitions, by which a commit notices another writer."""

    def sizes(self, table: Table, days: Sequence[str]) -> Mapping[str, int]:
        """Published bytes of each of `days`."""

    def commit(self, staged: Staged) -> int:
        """Attempt once to replace exactly the staged days by the staged rows, and return the new version.

        Raises:
            LostRace: another writer committed first.
            Unanswered: the connection was lost after the commit was sent, or while it was.
            PublishConflict: another writer published one of the days since the baseline was taken.
            UnreadableTable: the table cannot take these rows, however often it is tried.
        """

    def committed(self, staged: Staged) -> int | None:
        """The version of the run's commit if it is among the latest ones, otherwise None.

        A commit whose answer was lost on the network looks like one that failed.
        """

    def append(self, table: Table, rows: pa.Table, key: Mapping[str, str], replace: bool) -> None:
        """Attempt once to add rows that are recorded rather than computed by day.

        All of them have the values of `key`. With `replace`, rows with these values are replaced.

        Raises:
            LostRace: another writer committed first, which only happens if there is something to replace.
            Unanswered: the connection was lost after the commit was sent, or while it was.
        """


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

    location: Location
    day: str | None = None
    expressions: Mapping[str, str] = field(default_factory=dict)
    derived_day: Callable[[ir.Table], ir.Value] | None = None


class ExternalStore:
    """Tables of someone else by the full name of ours; they are only read."""

    def __init__(self, tables: Mapping[str, ExternalTable] | None = None) -> None:
        self.tables = tables or {}

    def __contains__(self, table: Table) -> bool:
        return table.full_name in self.tables

    def published(self, connection: Connection, table: Table, days: Sequence[str]) -> set[str]:
        """Those of `days` that have rows; all of them if the table has no column of days."""
        if self.tables[table.full_name].day is None:
            return set(days)
        with_rows = self.read(connection, table, days).select(table.day_column).distinct()
        return {row[table.day_column] for row in with_rows.to_pyarrow().to_pylist()}

    def read(self, connection: Connection, table: Table, days: Sequence[str] | None = None) -> ir.Table:
        """Its rows of `days` (of all days by default) as our columns.

        Raises:
            UnreadableTable: there is no Delta table, or it does not have the columns that its mapping needs.
        """
        external = self.tables[table.full_name]
        snapshot = snapshot_of(external.location, table.full_name, external.day, days)
        values = {}
        for c in table.columns:
            if c.name in (table.day_column, RUN_TIMESTAMP.name):
                continue
            values[c.name] = (external.expressions.get(c.name, quoted(c.name)), c.type)
            if c.name not in external.expressions and c.name not in snapshot.columns:
                raise UnreadableTable(
                    f"{table.full_name}: the Delta table at {external.location} lacks the column {c.name} ({c.type}); "
                    f"it has {', '.join(snapshot.columns)}. Map it in sources.yaml."
                )
        if external.day is not None:
            values[table.day_column] = (quoted(external.day), "string")
        try:
            rows = connection.select(connection.read(snapshot), values)
        except connection.mismatches as error:
            raise UnreadableTable(
                f"{table.full_name}: the Delta table at {external.location} does not match its entry in sources.yaml: "
                f"{str(error).splitlines()[0]}. It has {', '.join(snapshot.columns)}."
            ) from error
        if external.day is None and external.derived_day is not None:
            rows = rows.mutate(**{table.day_column: external.derived_day(rows)})
        elif external.day is None:
            rows = rows.mutate(**{table.day_column: ibis.array([ibis.literal(day) for day in days or []]).unnest()})
        if days is not None:
            rows = rows.filter(rows[table.day_column].isin(list(days)))
        return table.conform(rows.mutate(run_timestamp=ibis.null(table.schema["run_timestamp"](nullable=True))))


def snapshot_of(location: Location, name: str, day: str | None, days: Sequence[str] | None) -> Snapshot:
    """A Delta table of someone else with all its columns; files of other `days` are left out if `day` shows them.

    Raises:
        UnreadableTable: there is none.
    """
    log = open_delta(location, name)
    if log is None:
        raise UnreadableTable(
            f"{name}: sources.yaml maps it to a Delta table at {location}, where there is none. Correct the path, or "
            "write the table first."
        )
    partition_by = log.metadata().partition_columns
    files = partition_values(log)
    if days is not None and day in partition_by:
        wanted = set(days)
        files = [file for file in files if file.partition[day] in wanted]
    return Snapshot(location, log.version(), spark_columns(log), partition_by, files)


def conflict(table: Table, days: Sequence[str]) -> PublishConflict:
    """The error of a run one of whose days another run has published in the meantime."""
    one = days[0] if len(days) == 1 else f"one of the days {span(days)}"
    return PublishConflict(
        f"{table.full_name}: another run published {one} while this run was computing it; this run published nothing. "
        "Run the partition again if its inputs are newer."
    )


def span(days: Sequence[str]) -> str:
    """The days of a run, for a message."""
    return "" if not days else days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
