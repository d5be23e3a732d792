"""The Delta log: which files make up a table, and the commit that replaces the partitions of a run.

By itself, delta-rs lets two first publications of the same day both succeed, and does not check that added files
belong to the overwritten partitions. So each commit carries an application transaction for every day it replaces, which
makes two writers of one day conflict, and the committed files are checked against the run's days here.
"""

from __future__ import annotations

import json
import os
import random
import re
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Schema, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction

from wemart_assets.lake.engine import Baseline, DataFile
from wemart_assets.lake.errors import PublishConflict, UnreadableTable, WemartError

if TYPE_CHECKING:
    from wemart_assets.lake.table import Table

COMMIT_ATTEMPTS = 20
# Only its commit shows that an empty day was published, so the log keeps commits for longer than Delta's 30 days.
PROPERTIES = {"delta.logRetentionDuration": "interval 36500 days"}
HISTORY_LIMIT = 1_000
# Shorter than any action.
BLANK_BYTES = 16
# Features that change how data files must be read; all others concern only writers or the log.
UNREADABLE_FEATURES = {"columnMapping", "deletionVectors"}


def transaction_id(day: str) -> str:
    """Name of the application transaction that guards a day of a table."""
    return f"wemart/{day}"


def run_transaction(days: Sequence[str]) -> str:
    """Name of the application transaction of a commit of exactly these days; for a single day, that day's."""
    return transaction_id(days[0] if len(days) == 1 else f"{days[0]}/{days[-1]}")


def commit_metadata(days: Sequence[str], run: str) -> str:
    """Delta user metadata of a commit: the days that it publishes, and the id of the run."""
    return json.dumps({"wemart.days": list(days), "wemart.run": run})


def parse_commit_metadata(user_metadata: object) -> tuple[set[str], str | None]:
    """Days and run of a commit; no days and None if `commit_metadata` did not write the metadata."""
    try:
        metadata = json.loads(str(user_metadata))
        return set(metadata["wemart.days"]), str(metadata["wemart.run"])
    except (ValueError, TypeError, KeyError):
        return set(), None


def conflict(table: Table, days: Sequence[str]) -> PublishConflict:
    """The error of a run one of whose days another run has published in the meantime."""
    return PublishConflict(
        f"{table.full_name}: another run published {_one_of(days)} while this run was computing it; this run published "
        "nothing. Run the partition again if its inputs are newer."
    )


def lost_races(table: Table, days: Sequence[str]) -> PublishConflict:
    """The error of a run whose commits all lost the race against other writers of the table."""
    return PublishConflict(
        f"{table.full_name}: {COMMIT_ATTEMPTS} attempts to commit {_span(days)} lost the race against other writers; "
        "run it again when fewer runs publish this table."
    )


class DeltaLake:
    """The tables under one folder, `<lake>/<database>/<table>`."""

    def __init__(self, lake: Path) -> None:
        self.lake = lake

    def location(self, table: Table) -> Path:
        if re.search("%[0-9A-Fa-f]{2}", str(self.lake)):
            # delta-rs decodes a path more than once and would look in another folder.
            raise UnreadableTable(f"the path of the lake, {self.lake}, contains % and two hex digits; rename it")
        return self.lake / table.database / table.name

    def folder(self, table: Table) -> Path:
        """The table's folder, created if necessary.

        Raises:
            WemartError: the lake cannot be written.
        """
        location = self.location(table)
        try:
            location.mkdir(parents=True, exist_ok=True)
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

    def published(self, table: Table, days: Sequence[str]) -> set[str]:
        """Those of `days` that a commit has published, including empty ones.

        An empty day has no file, but its application transaction shows that it was published. Spark's commit of several
        days cannot carry a transaction for each of them and only lists its days in its metadata.
        """
        log = self.open(table)
        if log is None:
            return set()
        published = {f.partition[table.day_column] for f in _files(log, table, days)} & set(days)
        published |= {day for day in set(days) - published if log.transaction_version(transaction_id(day)) is not None}
        if set(days) - published:
            for commit in log.history():
                published |= parse_commit_metadata(commit.get("userMetadata"))[0] & set(days)
        return {day for day in published if day is not None}

    def sizes(self, table: Table, days: Sequence[str]) -> dict[str, int]:
        """Published bytes of each of `days`."""
        sizes = dict.fromkeys(days, 0)
        for file in self.files(table, days):
            sizes[str(file.partition[table.day_column])] += file.bytes
        return sizes

    def versions(self, table: Table) -> dict[str, int]:
        """For each day published by one of the latest commits, the version of the last commit that published it."""
        log = self.open(table)
        versions: dict[str, int] = {}
        for commit in [] if log is None else log.history(HISTORY_LIMIT):
            for day in parse_commit_metadata(commit.get("userMetadata"))[0]:
                versions.setdefault(day, commit["version"])
        return versions

    def baseline(self, table: Table, days: Sequence[str]) -> Baseline:
        """The current state of the partitions, by which `commit` notices another writer."""
        log = self.open(table)
        return Baseline(frozenset(), (None,) * len(days)) if log is None else _baseline(log, table, days)

    def commit(self, table: Table, days: Sequence[str], files: Sequence[DataFile], baseline: Baseline) -> int:
        """Replace exactly the partitions of `days` with `files` and return the new Delta version.

        A commit that loses the race against a writer of other days is retried with the same files.

        Raises:
            PublishConflict: another writer published one of `days` since `baseline`.
        """
        foreign = sorted({str(f.partition[table.day_column]) for f in files} - set(days))
        if foreign:
            raise AssertionError(f"{table.full_name}: staged files of {foreign} in a run of {list(days)}")
        self._create(table)
        adds: list[AddAction | RemoveAction] = [_add_action(self.location(table), f) for f in files]
        for _ in range(COMMIT_ATTEMPTS):
            log = DeltaTable(self.location(table))
            if _baseline(log, table, days) != baseline:
                raise conflict(table, days)
            before = log.version()
            try:
                evolve(log, table)
            except DeltaError as error:
                # Another writer is adding the same column; the next attempt finds it in the log.
                self._wait_after_lost_race(table, before, error)
                continue
            before = log.version()
            transactions = [
                Transaction(transaction_id(day), (version or 0) + 1)
                for day, version in zip(days, baseline.transactions, strict=True)
            ]
            if len(days) > 1:
                # The only transaction that Spark's commit of the same days carries.
                name = run_transaction(days)
                transactions.append(Transaction(name, (log.transaction_version(name) or 0) + 1))
            try:
                log.create_write_transaction(
                    adds,
                    mode="overwrite",
                    schema=log.schema(),
                    partition_by=list(table.partition_by),
                    partition_filters=[(table.day_column, "in", list(days))],
                    commit_properties=CommitProperties(
                        custom_metadata={"userMetadata": commit_metadata(days, uuid.uuid4().hex)},
                        app_transactions=transactions,
                    ),
                )
            except CommitFailedError as error:
                self._wait_after_lost_race(table, before, error)
                continue
            return DeltaTable(self.location(table)).version()
        raise lost_races(table, days)

    def prepare(self, table: Table) -> None:
        """Create the table if necessary and add missing columns, for a writer that makes its own commits."""
        self._create(table)
        for _ in range(COMMIT_ATTEMPTS):
            log = DeltaTable(self.location(table))
            before = log.version()
            try:
                return evolve(log, table)
            except DeltaError as error:
                # Another writer is adding the same column; the next attempt finds it in the log.
                self._wait_after_lost_race(table, before, error)
        raise lost_races(table, [])

    def _wait_after_lost_race(self, table: Table, before: int, error: DeltaError) -> None:
        """Wait a moment before the next attempt, if another commit has been made since version `before`.

        Raises:
            UnreadableTable: there is no other commit, so retrying would never succeed.
        """
        if DeltaTable(self.location(table)).version() == before:
            raise UnreadableTable(
                f"{table.full_name}: the Delta table at {self.location(table)} rejects this run's commit: {error}. "
                "Nothing was published."
            ) from error
        time.sleep(random.uniform(0.01, 0.1))

    def vacuum(self, table: Table, older_than_hours: int, dry_run: bool) -> list[str]:
        """Remove data files that no recent version needs, including those of runs that died; return their paths."""
        log = self.open(table)
        if log is None:
            return []
        return log.vacuum(
            older_than_hours, dry_run=dry_run, enforce_retention_duration=older_than_hours >= 168, full=True
        )

    def _create(self, table: Table) -> None:
        location = self.folder(table)
        if DeltaTable.is_deltatable(str(location)):
            return
        try:
            DeltaTable.create(
                location,
                table.arrow_schema,
                mode="ignore",
                partition_by=list(table.partition_by),
                name=table.full_name,
                description=table.description,
                configuration=PROPERTIES,
            )
        except DeltaError:
            # Another first publication may have created it in the meantime.
            if not DeltaTable.is_deltatable(str(location)):
                raise


def open_delta(location: Path, name: str) -> DeltaTable | None:
    """The Delta log at a folder, or None if there is no Delta table.

    Raises:
        UnreadableTable: the log is damaged, or the table uses deletion vectors or column mapping, which a plain read
            of its Parquet files would ignore.
    """
    try:
        log = DeltaTable(location)
    except TableNotFoundError:
        return None
    except DeltaError as error:
        # The first line is followed by a Rust backtrace.
        raise _damaged_log(location, name, f"cannot be read ({str(error).splitlines()[0]})") from error
    for entry in _entries(location, log.version()):
        if _is_blank(entry):
            raise _damaged_log(location, name, f"has an empty entry, {entry.name}")
    protocol = log.protocol()
    features = UNREADABLE_FEATURES & set(protocol.reader_features or ())
    if "deletionVectors" in features and pa.table(log.deletion_vectors()).num_rows == 0:
        features.remove("deletionVectors")
    if log.metadata().configuration.get("delta.columnMapping.mode", "none") != "none":
        features.add("columnMapping")
    if features:
        raise UnreadableTable(
            f"{name}: the Delta table at {location} uses {' and '.join(sorted(features))}, which cannot be read here. "
            "Rewrite it without (REORG TABLE ... APPLY (PURGE), or a copy) and run again."
        )
    return log


def _damaged_log(location: Path, name: str, what: str) -> UnreadableTable:
    return UnreadableTable(
        f"{name}: the log {location / '_delta_log'} {what}, so the published rows are unknown. Restore it, or move "
        f"{location} aside and rebuild its days: wemart run --from FIRST_DAY --to LAST_DAY {name.replace('.', '/')}"
    )


def _entries(location: Path, version: int) -> list[Path]:
    """The log's entries since its last checkpoint, which are the ones that readers use."""
    log = location / "_delta_log"
    try:
        first = int(json.loads((log / "_last_checkpoint").read_bytes())["version"]) + 1
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        # Without a checkpoint delta-rs reads the whole log, too.
        first = 0
    return [log / f"{number:020}.json" for number in range(first, version + 1)]


def _is_blank(entry: Path) -> bool:
    """Whether a commit was cut off before its first byte; delta-rs would treat it as a commit without changes."""
    try:
        return entry.stat().st_size < BLANK_BYTES and not entry.read_bytes().strip()
    except FileNotFoundError:
        # Removed after a later checkpoint.
        return False


def partition_values(log: DeltaTable) -> list[tuple[str, dict[str, str | None], int, int]]:
    """(path, partition values as text, rows, bytes) of each active file."""
    columns = log.metadata().partition_columns
    # The statistics of every column lie beside; `pa.table` would import pandas to see whether this is a data frame.
    actions = log.get_add_actions(flatten=True)
    needed = ["path", "num_records", "size_bytes", *(f"partition.{c}" for c in columns)]
    files = []
    for action in pa.RecordBatchReader.from_stream(actions.select(needed)).read_all().to_pylist():
        values = {c: action[f"partition.{c}"] for c in columns}
        files.append(
            (
                unquote(action["path"]),
                {c: None if v is None else str(v) for c, v in values.items()},
                action["num_records"] or 0,
                action["size_bytes"],
            )
        )
    return files


def evolve(log: DeltaTable, table: Table) -> None:
    """Add declared columns that the stored table lacks; existing rows have NULL there.

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
    added = [f for name, f in declared.items() if name not in stored]
    if added:
        log.alter.add_columns(added)
        log.update_incremental()


def _files(log: DeltaTable, table: Table, days: Sequence[str] | None) -> list[DataFile]:
    wanted = None if days is None else set(days)
    return [
        DataFile(path, values, rows, size)
        for path, values, rows, size in partition_values(log)
        if wanted is None or values[table.day_column] in wanted
    ]


def _baseline(log: DeltaTable, table: Table, days: Sequence[str]) -> Baseline:
    return Baseline(
        frozenset(f.path for f in _files(log, table, days)),
        tuple(log.transaction_version(transaction_id(day)) for day in days),
    )


def _add_action(location: Path, file: DataFile) -> AddAction:
    return AddAction(
        path=file.path,
        size=file.bytes,
        partition_values=file.partition,
        modification_time=int(os.stat(location / file.path).st_mtime * 1000),
        data_change=True,
        stats=file.stats,
    )


def _one_of(days: Sequence[str]) -> str:
    return days[0] if len(days) == 1 else f"one of the days {_span(days)}"


def _span(days: Sequence[str]) -> str:
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
