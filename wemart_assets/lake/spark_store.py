"""Tables that Spark commits, in folders or in a catalog.

In folders the logs are read by delta-rs, as with DuckDB, and both engines can take turns writing one lake. With a
catalog (`WEMART_SPARK__CATALOG`) everything goes through Spark. A commit replaces the days of a run with one
`replaceWhere`. When two runs publish at the same time:

- If they publish the same day, or the same range, one is refused: by its baseline, by Delta's conflict detection, or
  because Delta skips a write whose application transaction is not newer (after a write, the log is searched for it).
- If their ranges share only some days, one is refused. In one case it is not: the other run commits in the instant
  (some tens of milliseconds) between the comparison with the baseline and the snapshot that Delta takes for the write.
  Then the later run replaces the shared days and fails with an error that says so. If the other engine is DuckDB (with
  delta-rs) and commits second within that instant, it does not see what Spark has just added; running those days again
  on DuckDB repairs them.
- A commit of several days can carry the transaction of the range only. In folders a second commit, without data, says
  for each day that it has been published. A run that dies between the two leaves the empty days of its range
  unpublished; they are run again.

In an object store Spark has no conditional put, so its commits are safe only while nothing else writes the lake.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ibis.backends.pyspark.datatypes import PySparkType
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession as Spark
from pyspark.sql import functions as f
from pyspark.sql import types as st

from wemart_assets.lake.delta import PROPERTIES, commit_metadata, parse_commit_metadata, run_transaction
from wemart_assets.lake.errors import PublishConflict, UnreadableTable
from wemart_assets.lake.folder_store import RECENT_COMMITS, FolderStore
from wemart_assets.lake.location import Location
from wemart_assets.lake.spark_landing import quoted
from wemart_assets.lake.store import COMMIT_ATTEMPTS, Baseline, LostRace, Snapshot, conflict, span
from wemart_assets.lake.stored import hadoop_path
from wemart_assets.lake.table import data_type

if TYPE_CHECKING:
    import pyarrow as pa

    from wemart_assets.lake.engine import Staged
    from wemart_assets.lake.spark_engine import SparkConnection
    from wemart_assets.lake.table import Table

# Delta's write conflicts, by error condition: their exception classes differ between classic Spark and Spark Connect.
CONFLICT = re.compile(r"\[DELTA_(CONCURRENT_\w+|METADATA_CHANGED|PROTOCOL_CHANGED)\]")


class SparkFolderStore(FolderStore):
    """Tables in folders, which Spark writes."""

    def commit(self, staged: Staged) -> int:
        table, days = staged.table, staged.days
        log = self.prepare(table)
        # Opened before the comparison, so that anything published after it makes the number outdated.
        before, name = log.version(), run_transaction(days)
        if self.baseline(table, days) != staged.baseline:
            raise conflict(table, days)
        number = max(before, log.transaction_version(name) or 0) + 1
        _write(staged, f"delta.{quoted(hadoop_path(self.location(table)))}", name, number)
        version = _own_commit(staged, before, self._newest(table).history(RECENT_COMMITS))
        if len(days) > 1:
            self._mark(staged, version)
        return version

    def _mark(self, staged: Staged, version: int) -> None:
        """Mark the days of a commit, which is a commit of its own.

        Raises:
            PublishConflict: every attempt lost the race against other writers.
        """
        lost: LostRace | None = None
        for _ in range(COMMIT_ATTEMPTS):
            try:
                return self.mark(staged.table, staged.days, version)
            except LostRace as error:
                lost = error
                time.sleep(random.uniform(0.01, 0.1))
        raise PublishConflict(
            f"{staged.table.full_name}: the rows of {span(staged.days)} are published, but {COMMIT_ATTEMPTS} attempts "
            f"to note that in the log lost the race against other writers, the last because of: {lost}. Run the days "
            "again when fewer runs publish this table."
        ) from lost


class CatalogStore:
    """Tables of a catalog that Spark knows, whose logs are read by Spark, wherever they are."""

    def __init__(self, connection: SparkConnection, catalog: str) -> None:
        self._connection = connection
        self.catalog = catalog

    @property
    def spark(self) -> Spark:
        return self._connection.spark

    def address(self, table: Table) -> str:
        return ".".join(map(quoted, (self.catalog, table.database, table.name)))

    def destination(self, _table: Table) -> Location | None:
        # The catalog decides what may be written, and raises its error at the commit.
        return None

    def snapshot(self, table: Table, days: Sequence[str] | None = None) -> Snapshot:
        version = self._history(table, 1)[0]["version"] if self._exists(table) else None
        columns = {c.name: c.type for c in table.columns}
        where = None if days is None else (table.day_column, days)
        return Snapshot(self.address(table), version, columns, table.partition_by, where=where)

    def published(self, table: Table, days: Sequence[str]) -> set[str]:
        if not self._exists(table):
            return set()
        committed = set(self.versions(table, days))
        missing = sorted(set(days) - committed)
        return committed | {row["day"] for row in (self._files(table, missing) if missing else [])}

    def versions(self, table: Table, days: Sequence[str]) -> dict[str, int]:
        versions: dict[str, int] = {}
        for commit in self._history(table) if self._exists(table) else []:
            for day in parse_commit_metadata(commit["userMetadata"])[0] & set(days):
                versions[day] = max(versions.get(day, 0), int(commit["version"]))
        return versions

    def baseline(self, table: Table, days: Sequence[str]) -> Baseline:
        if not self._exists(table):
            return Baseline(frozenset(), (None,) * len(days))
        files = frozenset(str(row["path"]) for row in self._files(table, days))
        versions = self.versions(table, days)
        return Baseline(files, tuple(versions.get(day) for day in days))

    def commit(self, staged: Staged) -> int:
        table, days = staged.table, staged.days
        self._prepare(table)
        # Read before the comparison, so that anything published after it makes this number outdated.
        before = int(self._history(table, 1)[0]["version"])
        number = max(self.versions(table, days).values(), default=0) + 1
        if self.baseline(table, days) != staged.baseline:
            raise conflict(table, days)
        _write(staged, self.address(table), run_transaction(days), number)
        return _own_commit(staged, before, self._history(table, RECENT_COMMITS))

    def committed(self, staged: Staged) -> int | None:
        return _commits_since(self._history(staged.table, RECENT_COMMITS), -1, staged.run)[0]

    def append(self, table: Table, rows: pa.Table, key: Mapping[str, str], replace: bool) -> None:
        self._prepare(table)
        written = self.spark.createDataFrame(rows.to_pylist(), _struct(table)).write.format("delta")
        if replace:
            predicate = " and ".join(f"{quoted(name)} = {_text(value)}" for name, value in key.items())
            written = written.mode("overwrite").option("replaceWhere", predicate)
        else:
            written = written.mode("append")
        try:
            written.saveAsTable(self.address(table))
        except (PySparkException, Py4JError) as error:
            if CONFLICT.search(str(error)):
                raise LostRace(str(error).splitlines()[0]) from error
            raise

    def sizes(self, table: Table, days: Sequence[str]) -> Mapping[str, int]:
        sizes = dict.fromkeys(days, 0)
        for row in self._files(table, days):
            sizes[row["day"]] += row["size"]
        return sizes

    def _prepare(self, table: Table) -> None:
        """Create the table if necessary, add missing columns, and describe columns as declared."""
        columns = {c.name: f"{quoted(c.name)} {c.type} comment {_text(c.description)}" for c in table.columns}
        # Other readers of the lake support neither deletion vectors nor column mapping.
        properties = PROPERTIES | {"delta.enableDeletionVectors": "false", "delta.columnMapping.mode": "none"}
        # Here only its commit shows that an empty day was published.
        properties["delta.logRetentionDuration"] = "interval 36500 days"
        self.spark.sql(f"create database if not exists {quoted(self.catalog)}.{quoted(table.database)}")
        self.spark.sql(
            f"create table if not exists {self.address(table)} ({', '.join(columns.values())}) using delta"
            f" partitioned by ({', '.join(map(quoted, table.partition_by))}) comment {_text(table.description)}"
            f" tblproperties ({', '.join(f'{_text(k)} = {_text(v)}' for k, v in properties.items())})"
        )
        fields = self.spark.table(self.address(table)).schema.fields
        stored = {field.name: field.dataType for field in fields}
        declared = {field.name: field.dataType for field in _struct(table).fields}
        changed = [
            f"{name} is stored as {stored[name].simpleString()} but declared as {kind.simpleString()}"
            for name, kind in declared.items()
            if name in stored and stored[name] != kind
        ]
        detail = self.spark.sql(f"describe detail {self.address(table)}").collect()[0]
        if changed or tuple(detail["partitionColumns"]) != table.partition_by:
            raise UnreadableTable(
                f"{table.full_name}: the published table does not match its declaration "
                f"({'; '.join(changed) or 'other partition columns'}). Rename {self.address(table)} and run its days "
                "again."
            )
        if added := [columns[name] for name in declared if name not in stored]:
            self.spark.sql(f"alter table {self.address(table)} add columns ({', '.join(added)})")
        comments = {field.name: field.metadata.get("comment") for field in fields}
        for c in table.columns:
            if comments.get(c.name, c.description) != c.description:
                self.spark.sql(
                    f"alter table {self.address(table)} alter column {quoted(c.name)} comment {_text(c.description)}"
                )

    def _exists(self, table: Table) -> bool:
        return self.spark.catalog.tableExists(self.address(table))

    def _history(self, table: Table, limit: int | None = None) -> list[dict[str, Any]]:
        history = self.spark.sql(
            f"describe history {self.address(table)}{'' if limit is None else f' limit {limit}'}"
        ).select("version", "userMetadata")
        return [row.asDict() for row in history.collect()]

    def _files(self, table: Table, days: Sequence[str]) -> list[dict[str, Any]]:
        rows = self.spark.table(self.address(table)).where(f.col(quoted(table.day_column)).isin(list(days)))
        files = rows.select(
            f.col(quoted(table.day_column)).alias("day"),
            f.col("_metadata.file_path").alias("path"),
            f.col("_metadata.file_size").alias("size"),
        )
        return [row.asDict() for row in files.distinct().collect()]


def _write(staged: Staged, address: str, transaction: str, number: int) -> None:
    assert staged.write is not None, "Spark stages lazily"
    options = {"userMetadata": commit_metadata(staged.days, staged.run)}
    try:
        staged.write(address, options | {"txnAppId": transaction, "txnVersion": str(number)})
    except (PySparkException, Py4JError) as error:
        if CONFLICT.search(str(error)):
            # The baseline is compared again: a conflict with a run of other days leaves ours unchanged.
            raise LostRace(str(error).splitlines()[0]) from error
        raise


def _own_commit(staged: Staged, before: int, latest_first: Sequence[Mapping[str, Any]]) -> int:
    """The version of the run's commit.

    Raises:
        PublishConflict: it made none, or replaced rows that another run had published since version `before`.
    """
    version, published = _commits_since(latest_first, before, staged.run)
    if version is None:
        raise conflict(staged.table, staged.days)
    if overwritten := sorted(published & set(staged.days)):
        raise PublishConflict(
            f"{staged.table.full_name}: another run published {', '.join(overwritten)} just before this one did, and "
            "its rows were replaced. Run these days again if its inputs were newer."
        )
    return version


def _commits_since(latest_first: Sequence[Mapping[str, Any]], version: int, run: str) -> tuple[int | None, set[str]]:
    own, days = None, set[str]()
    for commit in latest_first:
        published, commit_run = parse_commit_metadata(commit.get("userMetadata"))
        if commit_run == run:
            own, days = int(commit["version"]), set()
        elif int(commit["version"]) > version:
            days |= published
    return own, days


def _struct(table: Table) -> st.StructType:
    return st.StructType([st.StructField(c.name, PySparkType.from_ibis(data_type(c.type))) for c in table.columns])


def _text(literal: str) -> str:
    return "'" + literal.replace("\\", "\\\\").replace("'", "\\'") + "'"
