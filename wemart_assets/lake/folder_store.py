"""Tables as folders `<lake>/<database>/<table>`, on this machine or in an object store, committed with delta-rs.

By itself, delta-rs lets two first publications of the same day both succeed, and does not check that added files
belong to the overwritten partitions. So each commit carries an application transaction for every day it replaces, which
makes two writers of one day conflict, and the committed files are checked against the run's days here. The number of a
transaction is the version of its commit, so the log says what published a day last however old that commit is.

In an object store, a commit is written on condition that no object of its name exists (`If-None-Match`).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from deltalake import CommitProperties, DeltaTable, Field, Schema, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, RemoveAction

from wemart_assets.lake.delta import (
    PROPERTIES,
    DataFile,
    commit_metadata,
    day_versions,
    open_delta,
    parse_commit_metadata,
    partition_values,
    run_transaction,
    transaction_id,
)
from wemart_assets.lake.duckdb_sql import literal, quoted
from wemart_assets.lake.errors import StoreUnavailable, UnreadableTable, WemartError
from wemart_assets.lake.faults import fault_of, raise_fault
from wemart_assets.lake.location import Location
from wemart_assets.lake.store import Baseline, LostRace, Snapshot, Unanswered, conflict
from wemart_assets.lake.store_faults import StoreFault

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from wemart_assets.lake.engine import Staged
    from wemart_assets.lake.table import Table

# Appended files are small, one per commit; so many of them are merged.
COMPACTED_EVERY = 50
# A run looks for its own commit among so many.
RECENT_COMMITS = 100
# An empty object at the top of the lake.
PROBE = "_wemart_conditional_write"


class FolderStore:
    """The tables below one location."""

    def __init__(self, lake: Location | Path | str) -> None:
        self.lake = Location.of(lake)

    def location(self, table: Table) -> Location:
        """The table's folder."""
        if re.search("%[0-9A-Fa-f]{2}", self.lake.url):
            # delta-rs decodes a path more than once and would look in another folder.
            raise UnreadableTable(f"the path of the lake, {self.lake}, contains % and two hex digits; rename it")
        return self.lake / table.database / table.name

    def destination(self, table: Table) -> Location:
        location = self.location(table)
        if location.is_local:
            try:
                location.path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise WemartError(
                    f"{table.full_name}: the lake folder {location} cannot be written ({error.strerror}). "
                    "Point WEMART_LAKE at a folder that this user can write."
                ) from error
        return location

    def open(self, table: Table) -> DeltaTable | None:
        """The table's log, or None if nothing was ever published.

        Raises:
            UnreadableTable: the log is damaged, or its data files need features that are not read here.
        """
        return open_delta(self.location(table), table.full_name)

    def files(self, table: Table, days: Sequence[str] | None = None) -> list[DataFile]:
        """Active files of `days`, or of all days if not given."""
        log = self.open(table)
        return [] if log is None else _files(log, table, days)

    def snapshot(self, table: Table, days: Sequence[str] | None = None) -> Snapshot:
        log = self.open(table)
        return Snapshot(
            self.location(table),
            None if log is None else log.version(),
            {c.name: c.type for c in table.columns},
            table.partition_by,
            () if log is None else _files(log, table, days),
            None if days is None else (table.day_column, days),
        )

    def published(self, table: Table, days: Sequence[str]) -> set[str]:
        # An empty day has no file, but its application transaction shows that it was published.
        log = self.open(table)
        if log is None:
            return set()
        with_rows = {str(f.partition[table.day_column]) for f in _files(log, table, days)} & set(days)
        return with_rows | set(day_versions(log, self.location(table), sorted(set(days) - with_rows)))

    def sizes(self, table: Table, days: Sequence[str]) -> dict[str, int]:
        sizes = dict.fromkeys(days, 0)
        for file in self.files(table, days):
            sizes[str(file.partition[table.day_column])] += file.bytes
        return sizes

    def versions(self, table: Table, days: Sequence[str]) -> dict[str, int]:
        log = self.open(table)
        return {} if log is None else day_versions(log, self.location(table), days)

    def baseline(self, table: Table, days: Sequence[str]) -> Baseline:
        log = self.open(table)
        return Baseline(frozenset(), (None,) * len(days)) if log is None else _baseline(log, table, days)

    def commit(self, staged: Staged) -> int:
        table, days = staged.table, staged.days
        if foreign := sorted({str(f.partition[table.day_column]) for f in staged.files} - set(days)):
            raise AssertionError(f"{table.full_name}: staged files of {foreign} in a run of {list(days)}")
        log = self.prepare(table)
        if _baseline(log, table, days) != staged.baseline:
            raise conflict(table, days)
        before = log.version()
        names = [transaction_id(day) for day in days]
        # For a range, also the only transaction that Spark's commit of the same days carries.
        names += [run_transaction(days)] if len(days) > 1 else []
        properties = CommitProperties(
            custom_metadata={"userMetadata": commit_metadata(days, staged.run)},
            app_transactions=[Transaction(name, before + 1) for name in names],
        )
        adds = [_add_action(file) for file in staged.files]
        try:
            self._write(log, table, adds, [(table.day_column, "in", list(days))], properties)
            version = self._own_commit(staged, before)
        except (OSError, DeltaError) as error:
            if fault_of(error) is StoreFault.NETWORK:
                raise Unanswered(str(error)) from error
            raise
        if version is None:
            raise UnreadableTable(
                f"{table.full_name}: {self.location(table)} was written, but the log does not show this run's commit. "
                "Another engine may have written the same table at the same time, which is not safe in an object "
                "store: let one engine write this lake, and run these days again."
            )
        return version

    def append(self, table: Table, rows: pa.Table, key: Mapping[str, str], replace: bool) -> None:
        log = self.prepare(table)
        before = log.version()
        try:
            if replace:
                predicate = " and ".join(f"{quoted(name)} = {literal(value)}" for name, value in key.items())
                write_deltalake(log, rows, mode="overwrite", predicate=predicate)
            else:
                write_deltalake(log, rows, mode="append")
        except (OSError, DeltaError) as error:
            if fault_of(error) is StoreFault.NETWORK:
                raise Unanswered(str(error)) from error
            if isinstance(error, CommitFailedError):
                raise self._failed(table, before, error) from error
            raise
        if log.version() % COMPACTED_EVERY == 0:
            # The rows are there. Another writer may be doing the same, and its files are as good.
            with suppress(DeltaError, OSError):
                log.optimize.compact()

    def mark(self, table: Table, days: Sequence[str], version: int) -> None:
        """Record that the commit `version` published `days`, for a commit that could not say so itself.

        Days that a later commit has published are left out.

        Raises:
            LostRace: another writer committed first.
        """
        log = self._newest(table)
        known = day_versions(log, self.location(table), days)
        transactions = [Transaction(transaction_id(day), version) for day in days if known.get(day, -1) < version]
        if transactions:
            self._write(log, table, [], None, CommitProperties(app_transactions=transactions))

    def committed(self, staged: Staged) -> int | None:
        return self._own_commit(staged, -1)

    def _own_commit(self, staged: Staged, since: int) -> int | None:
        """The version of the run's commit, looked for among the latest ones after version `since`."""
        entries = self.location(staged.table) / "_delta_log"
        latest = self._newest(staged.table).version()
        for version in range(latest, max(since, latest - RECENT_COMMITS), -1):
            if _run_of(entries.read(f"{version:020}.json")) == staged.run:
                return version
        return None

    def prepare(self, table: Table) -> DeltaTable:
        """Create the table if necessary, bring its schema up to the declaration, and return its log.

        A column that the stored table lacks is added; existing rows have NULL there. Descriptions of columns become
        those of the declaration.

        Raises:
            LostRace: another writer is changing the schema; the next attempt finds the change in the log.
            UnreadableTable: a column type or the partition columns differ from the declaration.
        """
        location = self.destination(table)
        if not DeltaTable.is_deltatable(location.url, location.options):
            self._create(table)
        log = self._newest(table)
        schema = _evolved(log, table)
        if schema != log.schema():
            # A commit that replaces no partition, and so changes the schema only.
            nothing = [(table.day_column, "in", [""])]
            self._write(log, table, [], nothing, CommitProperties(), schema)
            log.update_incremental()
        return log

    def vacuum(self, table: Table, older_than_hours: int, dry_run: bool) -> list[str]:
        """Remove data files that no recent version needs, including those of runs that died; return their paths."""
        log = self.open(table)
        if log is None:
            return []
        try:
            return log.vacuum(
                older_than_hours, dry_run=dry_run, enforce_retention_duration=older_than_hours >= 168, full=True
            )
        except (OSError, DeltaError) as error:
            raise_fault(table.full_name, error)
            raise

    def _newest(self, table: Table) -> DeltaTable:
        """The log of an existing table, as it is now."""
        location = self.location(table)
        return DeltaTable(location.uri, storage_options=location.options)

    def _create(self, table: Table) -> None:
        location = self.location(table)
        self._check_conditional_writes()
        try:
            DeltaTable.create(
                location.uri,
                table.arrow_schema,
                mode="ignore",
                partition_by=list(table.partition_by),
                name=table.full_name,
                description=table.description,
                configuration=PROPERTIES,
                storage_options=location.options,
            )
        except DeltaError:
            # Another first publication may have created it in the meantime.
            if not DeltaTable.is_deltatable(location.url, location.options):
                raise

    def _check_conditional_writes(self) -> None:
        """Tries whether the object store refuses to write an object twice: a commit must not overwrite another.

        The object that this leaves behind makes it a single request for every further table.

        Raises:
            StoreUnavailable: it does not.
        """
        if self.lake.is_local:
            return
        if self.lake.create(PROBE, b"") and self.lake.create(PROBE, b""):
            raise StoreUnavailable(
                f"{self.lake}: the object store overwrites objects despite `If-None-Match: *`, so of two commits at "
                "the same time one would be lost. Use a store, or a newer version of the server, that supports "
                "conditional writes."
            )

    def _write(
        self,
        log: DeltaTable,
        table: Table,
        adds: Sequence[AddAction],
        replaced: list[tuple[str, str, list[str]]] | None,
        properties: CommitProperties,
        schema: Schema | None = None,
    ) -> None:
        """Make one commit that adds files, in place of those in the partitions `replaced` if given.

        `schema` becomes the table's, if given.
        """
        before = log.version()
        actions: list[AddAction | RemoveAction] = [*adds]
        try:
            log.create_write_transaction(
                actions,
                mode="append" if replaced is None else "overwrite",
                schema=schema or log.schema(),
                partition_by=list(table.partition_by),
                partition_filters=replaced,
                commit_properties=properties,
            )
        except CommitFailedError as error:
            if fault_of(error) is StoreFault.NETWORK:
                raise
            raise self._failed(table, before, error) from error

    def _failed(self, table: Table, before: int, error: DeltaError) -> LostRace | UnreadableTable:
        """Why a commit on top of version `before` failed: for good, unless there has been another commit since."""
        raise_fault(table.full_name, error)
        if self._newest(table).version() > before:
            return LostRace(str(error).splitlines()[0])
        return UnreadableTable(
            f"{table.full_name}: the Delta table at {self.location(table)} rejects this run's commit: {error}. Nothing "
            "was published."
        )


def _evolved(log: DeltaTable, table: Table) -> Schema:
    """The stored schema with the declared columns that it lacks, and with the declared descriptions.

    Raises:
        UnreadableTable: a column type or the partition columns differ from the declaration.
    """
    stored = {f.name: f for f in log.schema().fields}
    declared = {f.name: f for f in Schema.from_arrow(table.arrow_schema).fields}
    changed = [
        f"{name} is stored as {stored[name].type} but declared as {f.type}"
        for name, f in declared.items()
        if name in stored and stored[name].type != f.type
    ]
    if changed or tuple(log.metadata().partition_columns) != table.partition_by:
        raise UnreadableTable(
            f"{table.full_name}: the published table does not match its declaration "
            f"({'; '.join(changed) or 'other partition columns'}). Move {log.table_uri} aside and run its days again."
        )
    described = {
        name: Field(name, f.type, nullable=f.nullable, metadata={**f.metadata, **declared[name].metadata})
        for name, f in stored.items()
        if name in declared
    }
    return Schema(list((stored | declared | described).values()))


def _run_of(entry: bytes) -> str | None:
    """The run that made a commit, by its entry in the log."""
    for action in entry.splitlines():
        if b'"commitInfo"' in action and "commitInfo" in (parsed := json.loads(action)):
            return parse_commit_metadata(parsed["commitInfo"].get("userMetadata"))[1]
    return None


def _files(log: DeltaTable, table: Table, days: Sequence[str] | None) -> list[DataFile]:
    wanted = None if days is None else set(days)
    return [file for file in partition_values(log) if wanted is None or file.partition[table.day_column] in wanted]


def _baseline(log: DeltaTable, table: Table, days: Sequence[str]) -> Baseline:
    return Baseline(
        frozenset(f.path for f in _files(log, table, days)),
        tuple(log.transaction_version(transaction_id(day)) for day in days),
    )


def _add_action(file: DataFile) -> AddAction:
    return AddAction(
        path=file.path,
        size=file.bytes,
        partition_values=file.partition,
        modification_time=int(time.time() * 1000),
        data_change=True,
        stats=file.stats,
    )
