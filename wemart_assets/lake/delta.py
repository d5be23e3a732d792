"""The Delta log: which files make up a table, and the commit that replaces the partitions of a run.

delta-rs alone lets two first publications of one day both land and checks no added file against the overwritten
partitions. So each commit carries an application transaction for every day that it replaces, which makes two writers
of one day conflict, and what is committed is compared with the run's days here.
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
# An empty day is known by the commit that published it, so the log keeps its commits for longer than Delta's 30 days.
PROPERTIES = {"delta.logRetentionDuration": "interval 36500 days"}
COMMITS_LOOKED_AT = 1_000
# Any action is longer.
BLANK_BYTES = 16
# Features that change how a reader has to read data files; others only concern writers or the log.
UNREADABLE_FEATURES = {"columnMapping", "deletionVectors"}


def transaction_id(day: str) -> str:
    """Name of the application transaction that guards a day of a table."""
    return f"wemart/{day}"


def run_transaction(days: Sequence[str]) -> str:
    """Name of the application transaction of a commit of exactly these days; that of one day is the day's."""
    return transaction_id(days[0] if len(days) == 1 else f"{days[0]}/{days[-1]}")


def commit_words(days: Sequence[str], run: str) -> str:
    """What a commit says of itself, as Delta's user metadata: the days that it published, and which run it was."""
    return json.dumps({"wemart.days": list(days), "wemart.run": run})


def commit_said(user_metadata: object) -> tuple[set[str], str | None]:
    """Days and run of a commit by its user metadata; none where it was not made by `commit_words`."""
    try:
        said = json.loads(str(user_metadata))
        return set(said["wemart.days"]), str(said["wemart.run"])
    except (ValueError, TypeError, KeyError):
        return set(), None


def conflict(table: Table, days: Sequence[str]) -> PublishConflict:
    """The error of a run whose day another run published meanwhile."""
    return PublishConflict(
        f"{table.full_name}: another run published one of {_span(days)} while this run was computing it; "
        "nothing of this run was published. Run the partition again if its inputs are newer."
    )


def lost_races(table: Table, days: Sequence[str]) -> PublishConflict:
    """The error of a run that other writers of the table came before again and again."""
    return PublishConflict(
        f"{table.full_name}: {COMMIT_ATTEMPTS} commits of {_span(days)} lost the race against other writers; "
        "run it again when fewer runs publish this table."
    )


class DeltaLake:
    """The tables under one folder, `<lake>/<database>/<table>`."""

    def __init__(self, lake: Path) -> None:
        self.lake = lake

    def location(self, table: Table) -> Path:
        if re.search("%[0-9A-Fa-f]{2}", str(self.lake)):
            # delta-rs decodes a path more than once, and would look elsewhere.
            raise UnreadableTable(f"the lake {self.lake} has a % and two digits in its path; give it another name")
        return self.lake / table.database / table.name

    def folder(self, table: Table) -> Path:
        """The table's folder, which is there afterwards.

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
        """The table's log, or None where nothing was ever published.

        Raises:
            UnreadableTable: its data files cannot be read as they are.
        """
        return open_delta(self.location(table), table.full_name)

    def files(self, table: Table, days: Sequence[str] | None = None) -> list[DataFile]:
        """Active files of `days`, of all days if not given."""
        log = self.open(table)
        return [] if log is None else _files(log, table, days)

    def published(self, table: Table, days: Sequence[str]) -> set[str]:
        """Those of `days` that a commit has published: with rows, or empty.

        An empty day has no file; its application transaction tells that it was published. A commit of several days by
        Spark cannot carry one for each and only names its days in its metadata.
        """
        log = self.open(table)
        if log is None:
            return set()
        found = {f.partition[table.day_column] for f in _files(log, table, days)} & set(days)
        found |= {day for day in set(days) - found if log.transaction_version(transaction_id(day)) is not None}
        if set(days) - found:
            for commit in log.history():
                found |= commit_said(commit.get("userMetadata"))[0] & set(days)
        return {day for day in found if day is not None}

    def sizes(self, table: Table, days: Sequence[str]) -> dict[str, int]:
        """Bytes of each of `days`."""
        found = dict.fromkeys(days, 0)
        for file in self.files(table, days):
            found[str(file.partition[table.day_column])] += file.bytes
        return found

    def versions(self, table: Table) -> dict[str, int]:
        """For each day that one of the latest commits published, the version of the last that did."""
        log = self.open(table)
        found: dict[str, int] = {}
        for commit in [] if log is None else log.history(COMMITS_LOOKED_AT):
            for day in commit_said(commit.get("userMetadata"))[0]:
                found.setdefault(day, commit["version"])
        return found

    def baseline(self, table: Table, days: Sequence[str]) -> Baseline:
        """What the partitions are now, for `commit` to notice another writer."""
        log = self.open(table)
        return Baseline(frozenset(), (None,) * len(days)) if log is None else _baseline(log, table, days)

    def commit(self, table: Table, days: Sequence[str], files: Sequence[DataFile], baseline: Baseline) -> int:
        """Replace exactly the partitions of `days` by `files`; the new Delta version.

        A lost race against a writer of other days is repeated with the same files.

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
                # Another writer brings the same column; the next look at the log finds it.
                self._wait_after_lost_race(table, before, error)
                continue
            before = log.version()
            transactions = [
                Transaction(transaction_id(day), (version or 0) + 1)
                for day, version in zip(days, baseline.transactions, strict=True)
            ]
            if len(days) > 1:
                # The only one that a commit of the same days by Spark carries.
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
                        custom_metadata={"userMetadata": commit_words(days, uuid.uuid4().hex)},
                        app_transactions=transactions,
                    ),
                )
            except CommitFailedError as error:
                self._wait_after_lost_race(table, before, error)
                continue
            return DeltaTable(self.location(table)).version()
        raise lost_races(table, days)

    def prepare(self, table: Table) -> None:
        """Have the table there, with all declared columns, for a writer that commits by itself."""
        self._create(table)
        for _ in range(COMMIT_ATTEMPTS):
            log = DeltaTable(self.location(table))
            before = log.version()
            try:
                return evolve(log, table)
            except DeltaError as error:
                # Another writer brings the same column; the next look at the log finds it.
                self._wait_after_lost_race(table, before, error)
        raise lost_races(table, [])

    def _wait_after_lost_race(self, table: Table, before: int, error: DeltaError) -> None:
        """Waits a moment, where another commit has come since version `before`.

        Raises:
            UnreadableTable: none has, so that the commit fails however often it is repeated.
        """
        if DeltaTable(self.location(table)).version() == before:
            raise UnreadableTable(
                f"{table.full_name}: the Delta table at {self.location(table)} takes no commit of this run: {error}. "
                "Nothing was published."
            ) from error
        time.sleep(random.uniform(0.01, 0.1))

    def vacuum(self, table: Table, older_than_hours: int, dry_run: bool) -> list[str]:
        """Remove data files that no version of the last hours needs, those of runs that died included; their paths."""
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
            # Another first publication created it in between. If that is not so, opening it will say why.
            if not DeltaTable.is_deltatable(str(location)):
                raise


def open_delta(location: Path, name: str) -> DeltaTable | None:
    """The log at a folder, or None where there is no Delta table.

    Raises:
        UnreadableTable: the log is damaged; or rows are deleted by vectors or columns are renamed in it, which the
            native read of Parquet files would not see.
    """
    try:
        log = DeltaTable(location)
    except TableNotFoundError:
        return None
    except DeltaError as error:
        # A trace of Rust follows the first line.
        raise _damaged_log(location, name, f"cannot be read ({str(error).splitlines()[0]})") from error
    for entry in _entries(location, log.version()):
        if _is_blank(entry):
            raise _damaged_log(location, name, f"has an entry without content, {entry.name}")
    protocol = log.protocol()
    features = UNREADABLE_FEATURES & set(protocol.reader_features or ())
    if "deletionVectors" in features and pa.table(log.deletion_vectors()).num_rows == 0:
        features.remove("deletionVectors")
    if log.metadata().configuration.get("delta.columnMapping.mode", "none") != "none":
        features.add("columnMapping")
    if features:
        raise UnreadableTable(
            f"{name}: the Delta table at {location} uses {' and '.join(sorted(features))}, which is not read here. "
            "Rewrite it without (REORG TABLE ... APPLY (PURGE), or a copy) and run again."
        )
    return log


def _damaged_log(location: Path, name: str, what: str) -> UnreadableTable:
    return UnreadableTable(
        f"{name}: the log {location / '_delta_log'} {what}, so nobody can say what was published. Restore it, or move "
        f"{location} aside and make its days anew: wemart run --from FIRST_DAY --to LAST_DAY {name.replace('.', '/')}"
    )


def _entries(location: Path, version: int) -> list[Path]:
    """The log's entries since its last checkpoint, those that a reader goes by."""
    log = location / "_delta_log"
    try:
        first = int(json.loads((log / "_last_checkpoint").read_bytes())["version"]) + 1
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        # delta-rs looks through the whole log then, too.
        first = 0
    return [log / f"{number:020}.json" for number in range(first, version + 1)]


def _is_blank(entry: Path) -> bool:
    """Whether a commit was cut off before its first word, which delta-rs takes for one that changed nothing."""
    try:
        return entry.stat().st_size < BLANK_BYTES and not entry.read_bytes().strip()
    except FileNotFoundError:
        # Removed after a later checkpoint.
        return False


def partition_values(log: DeltaTable) -> list[tuple[str, dict[str, str | None], int, int]]:
    """(path, partition values as text, rows, bytes) of each active file."""
    columns = log.metadata().partition_columns
    found = []
    for action in pa.table(log.get_add_actions(flatten=True)).to_pylist():
        values = {c: action[f"partition.{c}"] for c in columns}
        found.append(
            (
                unquote(action["path"]),
                {c: None if v is None else str(v) for c, v in values.items()},
                action["num_records"] or 0,
                action["size_bytes"],
            )
        )
    return found


def evolve(log: DeltaTable, table: Table) -> None:
    """Add the columns that the table's declaration has and its log does not know yet; old rows have NULL there.

    Raises:
        UnreadableTable: a column's type differs from the declaration, or the storage partitions do.
    """
    stored = {f.name: f for f in log.schema().fields}
    declared = {f.name: f for f in Schema.from_arrow(table.arrow_schema).fields}
    changed = [
        f"{name} is {stored[name].type} and is declared {f.type}"
        for name, f in declared.items()
        if name in stored and stored[name].type != f.type
    ]
    if changed or tuple(log.metadata().partition_columns) != table.partition_by:
        raise UnreadableTable(
            f"{table.full_name}: the published table does not fit its declaration "
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


def _span(days: Sequence[str]) -> str:
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
