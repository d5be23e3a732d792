"""The Delta log: opening it safely, and what its entries say.

It is read with delta-rs, wherever it is. What commits of ours carry besides files is defined here as well: their days
and the run in the metadata, and an application transaction for each day.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from wemart_assets.lake.errors import UnreadableTable
from wemart_assets.lake.faults import raise_fault

if TYPE_CHECKING:
    from wemart_assets.lake.location import Location

# A reader takes the last checkpoint and the commits after it, each of which is a request to an object store; delta-rs
# makes a checkpoint only every 100 commits. What the marts need of older commits (which run published a day last, and
# that an empty day was published) is in the transactions, which checkpoints keep.
PROPERTIES = {"delta.checkpointInterval": "10", "delta.logRetentionDuration": "interval 30 days"}
# Looking up a transaction reads the commits since the last checkpoint, again for each one.
LOOKED_UP_ONE_BY_ONE = 4
# Shorter than any action.
BLANK_BYTES = 16
# Features that change how data files must be read; all others concern only writers or the log.
UNREADABLE_FEATURES = {"columnMapping", "deletionVectors"}
# Delta's primitive types by their names in Spark SQL.
SPARK_TYPES = {
    "byte": "tinyint",
    "short": "smallint",
    "integer": "int",
    "long": "bigint",
    **{name: name for name in ("float", "double", "boolean", "string", "binary", "date", "timestamp", "timestamp_ntz")},
}


@dataclass(frozen=True)
class DataFile:
    """One Parquet file of a table; `path` is relative to the table's folder, `stats` are Delta's, as JSON."""

    path: str
    partition: Mapping[str, str | None]
    rows: int
    bytes: int
    stats: str = "{}"


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


def open_delta(location: Location, name: str) -> DeltaTable | None:
    """The Delta log at a location, or None if there is no Delta table.

    Raises:
        UnreadableTable: the log is damaged, or the table uses deletion vectors or column mapping, which a plain read
            of its Parquet files would ignore.
        MachineFault: the object store cannot be reached, or refuses access.
    """
    try:
        log = DeltaTable(location.uri, storage_options=location.options)
    except TableNotFoundError:
        return None
    except DeltaError as error:
        # The first line is followed by a Rust backtrace.
        raise _damaged_log(location, name, f"cannot be read ({str(error).splitlines()[0]})") from error
    except OSError as error:
        raise_fault(name, error)
        raise
    if location.is_local:
        # In an object store a commit appears whole.
        for entry in _entries(location.path, log.version()):
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


def _damaged_log(location: Location, name: str, what: str) -> UnreadableTable:
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


def day_versions(log: DeltaTable, location: Location, days: Sequence[str]) -> dict[str, int]:
    """For each of `days` the version of its application transaction, without the days that have none."""
    names = {transaction_id(day): day for day in days}
    numbers = None if len(names) <= LOOKED_UP_ONE_BY_ONE else _transactions(log, location / "_delta_log")
    if numbers is None:
        looked_up = {name: log.transaction_version(name) for name in names}
        numbers = {name: version for name, version in looked_up.items() if version is not None}
    return {day: numbers[name] for name, day in names.items() if name in numbers}


def _transactions(log: DeltaTable, entries: Location) -> dict[str, int] | None:
    """The version of each application transaction, read at once; None if the checkpoint has another form than usual."""
    numbers: dict[str, int] = {}
    first = 0
    try:
        last = json.loads(entries.read("_last_checkpoint"))
        if "parts" in last or "v2Checkpoint" in last:
            return None
        first = int(last["version"]) + 1
        with entries.open(f"{first - 1:020}.checkpoint.parquet") as checkpoint:
            kept = pq.ParquetFile(checkpoint).read(columns=["txn"]).column("txn").to_pylist()
        numbers = {txn["appId"]: txn["version"] for txn in kept if txn is not None}
    except FileNotFoundError:
        if first:
            return None
    except (ValueError, KeyError, TypeError, pa.ArrowException):
        return None
    for version in range(first, log.version() + 1):
        try:
            entry = entries.read(f"{version:020}.json")
        except FileNotFoundError:
            # Removed after a later checkpoint.
            return None
        for action in entry.splitlines():
            if action.startswith(b'{"txn"'):
                txn = json.loads(action)["txn"]
                numbers[txn["appId"]] = txn["version"]
    return numbers


def partition_values(log: DeltaTable) -> list[DataFile]:
    """The active files, with their partition values as text and without statistics."""
    columns = log.metadata().partition_columns
    # The statistics of every column lie beside; `pa.table` would import pandas to see whether this is a data frame.
    actions = log.get_add_actions(flatten=True)
    needed = ["path", "num_records", "size_bytes", *(f"partition.{c}" for c in columns)]
    files = []
    for action in pa.RecordBatchReader.from_stream(actions.select(needed)).read_all().to_pylist():
        values = {c: action[f"partition.{c}"] for c in columns}
        partition = {c: None if v is None else str(v) for c, v in values.items()}
        files.append(DataFile(unquote(action["path"]), partition, action["num_records"] or 0, action["size_bytes"]))
    return files


def spark_columns(log: DeltaTable) -> dict[str, str]:
    """A Delta table's columns with their types in Spark SQL; nested columns are left out."""
    columns = {}
    for field in log.schema().fields:
        kind = str(getattr(field.type, "type", ""))
        if kind.startswith("decimal") or kind in SPARK_TYPES:
            columns[field.name] = SPARK_TYPES.get(kind, kind)
    return columns
