"""Spark as the lake's engine: one lazy session for all steps of a process, staged on disk, committed by Delta Lake.

If the lake is a folder, its logs are read by delta-rs, as with DuckDB, and both engines can take turns writing one
lake. With a catalog (`WEMART_SPARK__CATALOG`) everything goes through Spark. A commit replaces the days of a run with
one `replaceWhere`. When two runs publish at the same time:

- If they publish the same day, or the same range, one is refused: by its baseline, by Delta's conflict detection, or
  because Delta skips a write whose application transaction is not newer (after a write, the log is searched for it).
- If their ranges share only some days, one is refused. In one case it is not: the other run commits in the instant
  (some tens of milliseconds) between the comparison with the baseline and the snapshot that Delta takes for the write.
  Then the later run replaces the shared days and fails with an error that says so. If the other engine is DuckDB (with
  delta-rs) and commits second within that instant, it does not see what Spark has just added; running those days again
  on DuckDB repairs them.
- An empty day of a range that was empty before leaves no trace except in the commit's metadata, so a run on either
  engine that began earlier may publish rows over it.
"""

from __future__ import annotations

import datetime as dt
import os
import random
import re
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Protocol

import ibis
import ibis.expr.types as ir
from dagster_pyspark import LazyPySparkResource
from deltalake import DeltaTable
from ibis.backends.pyspark import Backend
from ibis.backends.pyspark.datatypes import PySparkType
from py4j.protocol import Py4JError
from pyspark import SparkContext, StorageLevel
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import SparkSession as Spark
from pyspark.sql import functions as f
from pyspark.sql import types as st

from wemart_assets.lake.clocks import first_disagreement
from wemart_assets.lake.delta import (
    COMMIT_ATTEMPTS,
    PROPERTIES,
    DeltaLake,
    commit_metadata,
    conflict,
    lost_races,
    parse_commit_metadata,
    run_transaction,
)
from wemart_assets.lake.engine import Baseline, ExternalTable, FileFormat, Staged, foreign_days, unknown_partition
from wemart_assets.lake.errors import LandingError, PublishConflict, UnreadableFile, UnreadableTable, WemartError
from wemart_assets.lake.faults import raise_fault
from wemart_assets.lake.functions import SPARK_FUNCTIONS
from wemart_assets.lake.spark_landing import FAILURES, file_columns, jvm_errors, landed, quoted, spark_expression
from wemart_assets.lake.stored import SparkCompiler
from wemart_assets.lake.table import RUN_TIMESTAMP, Table, data_type

# Settings that affect rows or that other readers of the lake need. Set on every session, whoever started it.
RUNTIME = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.timestampType": "TIMESTAMP_LTZ",
    "spark.sql.legacy.timeParserPolicy": "CORRECTED",
    "spark.sql.sources.partitionOverwriteMode": "static",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    # Spark has no nanoseconds; landing files that have them are truncated to microseconds.
    "spark.sql.legacy.parquet.nanosAsLong": "true",
    # A commit without files publishes an empty day.
    "spark.databricks.delta.skipRecordingEmptyCommits": "false",
    # Days are already filtered. Either setting would plan each input of a join again for every join it takes part in:
    # 703 scans instead of 16 for wv_sess_daily.
    "spark.sql.optimizer.dynamicPartitionPruning.enabled": "false",
    "spark.sql.optimizer.runtime.bloomFilter.enabled": "false",
    # The JVM never compiles a method of more than 8,000 bytes of code. Spark makes one method of a whole stage, several
    # times that for a wide table; above this limit it makes one method per expression.
    "spark.sql.codegen.hugeMethodLimit": "8000",
    # A join or window by device, day and further columns reuses the shuffle by device and day.
    "spark.sql.requireAllClusterKeysForCoPartition": "false",
}
DELTA = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}
# For one machine: enough for a log of ten million lines, without splitting small tables into two hundred partitions.
LOCAL = {
    "spark.driver.memory": "4g",
    "spark.sql.shuffle.partitions": "32",
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}
RECENT_COMMITS = 100
# Delta's write conflicts, by error condition: their exception classes differ between classic Spark and Spark Connect.
CONFLICT = re.compile(r"\[DELTA_(CONCURRENT_\w+|METADATA_CHANGED|PROTOCOL_CHANGED)\]")

# Raised by a call to a Spark that is gone (ValueError: by a closed client of Spark Connect). What was to be cleaned up
# is gone with it, so these errors are suppressed there: they would hide what Spark died of.
SPARK_GONE = (Py4JError, PySparkException, OSError, ValueError)

# Returns the Spark of a session, starting it on first use; every call returns the same one.
GetSpark = Callable[[], Spark]


def session_conf(master: str, remote: str | None, packages: str, overrides: Mapping[str, str]) -> dict[str, str]:
    """The configuration of a Spark session that can read and write the lake; `overrides` win."""
    conf = {"spark.app.name": "wemart"}
    if remote:
        # The server has its own jars and sizes; a client may set only these.
        return {**conf, "spark.remote": remote, **overrides}
    conf |= {"spark.master": master, **DELTA}
    if packages:
        conf["spark.jars.packages"] = packages
    if master.startswith("local"):
        conf |= LOCAL
    return {**conf, **RUNTIME, **overrides}


class SparkEngine:
    """Opens sessions over one Spark, which starts when a step first needs it and then serves all steps.

    If it has died, or somebody has stopped it, the next step starts a new one.

    Tables are folders of `lake`, or `<catalog>.<database>.<table>` if a catalog is given. `clocks` are the business
    timezone and the first day: a Spark that disagrees with this machine about local time in that zone is refused.
    """

    def __init__(
        self,
        lake: Path,
        conf: Mapping[str, str],
        catalog: str | None = None,
        externals: Mapping[str, ExternalTable] | None = None,
        clocks: tuple[str, dt.date] | None = None,
    ) -> None:
        self.lake = DeltaLake(lake.absolute())
        self.clocks = clocks
        self.catalog = catalog
        self.externals = externals or {}
        self.conf = dict(conf)
        self._spark: Spark | None = None

    @contextmanager
    def connect(self) -> Iterator[SparkSession]:
        get_spark = cache(self._ready)
        tables = _CatalogTables(get_spark, self.catalog) if self.catalog else _FolderTables(get_spark, self.lake)
        session = SparkSession(get_spark, tables, self.externals)
        try:
            yield session
        finally:
            session.close()

    def _ready(self) -> Spark:
        """A running Spark with the settings and functions that rows depend on."""
        spark = self._start()
        for name, value in RUNTIME.items():
            spark.conf.set(name, self.conf.get(name, value))
        for function in SPARK_FUNCTIONS:
            spark.sql(function)
        return spark

    def _start(self) -> Spark:
        """The running Spark, or a new one if none is running."""
        if self._spark is not None and _is_alive(self._spark):
            return self._spark
        # The session that pyspark would reuse; not ours if another engine of this process has already replaced it.
        previous = Spark._instantiatedSession or self._spark
        if previous is not None and not _is_alive(previous):
            _forget(previous)
        try:
            spark: Spark = LazyPySparkResource(spark_config=self.conf).spark_session
        except PySparkException as error:
            if error.getCondition() != "JAVA_GATEWAY_EXITED":
                raise
            raise WemartError(
                f"Spark cannot be started: its JVM ended before it was ready ({_java()}). Install a JDK 17 or later "
                "and set JAVA_HOME to its folder, or set WEMART_ENGINE=duckdb. If you have such a JDK, see the JVM's "
                "output on stderr: perhaps the jars of WEMART_SPARK__PACKAGES could not be loaded."
            ) from error
        if self.clocks is not None:
            _check_clocks(spark, *self.clocks)
        self._spark = spark
        return spark


class SparkSession:
    """What one step reads and stages; its views and staged rows are removed when it closes.

    Spark starts when rows are first read or computed; reading only the logs of a lake in a folder does not need it.
    """

    spill: Path | None = None

    def __init__(self, get_spark: GetSpark, tables: _Tables, externals: Mapping[str, ExternalTable]) -> None:
        self._get_spark = get_spark
        self.tables = tables
        self.externals = externals
        self._views: list[str] = []
        self._staged: dict[str, DataFrame] = {}

    @property
    def spark(self) -> Spark:
        return self._get_spark()

    @cached_property
    def ibis(self) -> Backend:
        backend = _Backend().connect(self.spark)
        backend.register_options()
        return backend

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        return FAILURES

    def close(self) -> None:
        for frame in self._staged.values():
            _unpersist(frame)
        for view in self._views:
            with suppress(*SPARK_GONE):
                self.spark.catalog.dropTempView(view)

    def published(self, table: Table, days: Sequence[str]) -> set[str]:
        external = self.externals.get(table.full_name)
        if external is None:
            return self.tables.published(table, days)
        if external.day is None:
            return set(days)
        published_days = self._external(table, external, days).select(table.day_column).distinct()
        return {row[table.day_column] for row in published_days.to_pyarrow().to_pylist()}

    def versions(self, table: Table) -> Mapping[str, int]:
        return self.tables.versions(table)

    def baseline(self, table: Table, days: Sequence[str]) -> Baseline:
        return self.tables.baseline(table, days)

    def read(self, table: Table, days: Sequence[str] | None = None) -> ir.Table:
        if (external := self.externals.get(table.full_name)) is not None:
            return self._external(table, external, days)
        frame = self.tables.frame(table)
        if frame is None:
            frame = self.spark.createDataFrame([], _struct(table))
        if days is not None:
            frame = frame.where(f.col(quoted(table.day_column)).isin(list(days)))
        # A column that was declared after the table was written may be missing from it.
        typed = [
            (f.col(quoted(c.name)) if c.name in frame.columns else f.lit(None)).cast(c.type).alias(c.name)
            for c in table.columns
        ]
        return self.view(frame.select(*typed))

    def file_columns(self, path: str, form: FileFormat) -> dict[str, bool]:
        # Started outside of the block: a Spark that cannot start is not the file's fault.
        spark = self.spark
        with _landing_errors([path]):
            return file_columns(spark, path, form)

    def scan(
        self, paths: Sequence[str], form: FileFormat, columns: Sequence[str], expressions: Mapping[str, str]
    ) -> ir.Table:
        spark = self.spark
        with _landing_errors(paths):
            return self.view(landed(spark, paths, form, columns, expressions))

    def named(self, rows: ir.Table) -> ir.Table:
        return self.view(self.spark.sql(self.ibis.compile(rows)))

    def stage(self, table: Table, rows: ir.Table, days: Sequence[str], baseline: Baseline) -> Staged:
        self.tables.check(table)
        frame = self.spark.sql(self.ibis.compile(table.conform(rows)))
        frame = frame.select(*(f.col(quoted(c.name)).cast(c.type).alias(c.name) for c in table.columns))
        if len(days) > 1:
            # Otherwise each task would write a file for each day of which it has rows.
            frame = frame.hint("rebalance", *table.partition_by)
        frame = frame.persist(StorageLevel.DISK_ONLY)
        try:
            with jvm_errors():
                counted = frame.groupBy(*map(quoted, table.partition_by)).count().collect()
            counts = _checked_counts(table, days, [row.asDict() for row in counted])
        except BaseException:
            _unpersist(frame)
            raise
        view = self.view(frame)
        self._staged[view.get_name()] = frame
        return Staged(table, tuple(days), view, counts, baseline)

    def publish(self, staged: Staged) -> int:
        table, days = staged.table, staged.days
        frame = self._staged[staged.rows.get_name()]
        try:
            self.tables.prepare(table)
            for _ in range(COMMIT_ATTEMPTS):
                # Read before the comparison, so that anything published after it makes this number outdated.
                before = self.tables.version(table)
                transaction = self.tables.transaction(table, days)
                if self.tables.baseline(table, days) != staged.baseline:
                    raise conflict(table, days)
                run = uuid.uuid4().hex
                try:
                    self._replace(table, days, frame, transaction, run)
                except (PySparkException, Py4JError) as error:
                    if not CONFLICT.search(str(error)):
                        raise
                    # The baseline is compared again: a conflict with a run of other days leaves ours unchanged.
                    time.sleep(random.uniform(0.01, 0.1))
                    continue
                version, published = self.tables.commits_since(table, before, run)
                if version is None:
                    raise conflict(table, days)
                if overwritten := sorted(published & set(days)):
                    raise PublishConflict(
                        f"{table.full_name}: another run published {', '.join(overwritten)} just before this one did, "
                        "and its rows were replaced. Run these days again if its inputs were newer."
                    )
                return version
            raise lost_races(table, days)
        finally:
            self.discard(staged)

    def sizes(self, table: Table, days: Sequence[str]) -> Mapping[str, int]:
        return self.tables.sizes(table, days)

    def discard(self, staged: Staged) -> None:
        frame = self._staged.pop(staged.rows.get_name(), None)
        if frame is not None:
            _unpersist(frame)

    def view(self, frame: DataFrame) -> ir.Table:
        """The frame as a table, until the session closes."""
        name = f"rows_{uuid.uuid4().hex}"
        frame.createOrReplaceTempView(name)
        self._views.append(name)
        return self.ibis.table(name)

    def _replace(
        self, table: Table, days: Sequence[str], frame: DataFrame, transaction: tuple[str, int], run: str
    ) -> None:
        application, number = transaction
        writer = frame.writeTo(self.tables.address(table))
        writer = writer.option("userMetadata", commit_metadata(days, run))
        writer = writer.option("txnAppId", application).option("txnVersion", str(number))
        writer.overwrite(f.col(quoted(table.day_column)).isin(list(days)))

    def _external(self, table: Table, external: ExternalTable, days: Sequence[str] | None) -> ir.Table:
        if not DeltaTable.is_deltatable(str(external.location)):
            raise UnreadableTable(
                f"{table.full_name}: sources.yaml maps it to a Delta table at {external.location}, where there is "
                "none. Correct the path, or write the table first."
            )
        frame = self.spark.read.format("delta").load(str(external.location))
        values = {}
        for c in table.columns:
            if c.name in (table.day_column, RUN_TIMESTAMP.name):
                continue
            if c.name not in external.expressions and c.name not in frame.columns:
                raise UnreadableTable(
                    f"{table.full_name}: the Delta table at {external.location} lacks the column {c.name} ({c.type}); "
                    f"it has {', '.join(frame.columns)}. Map it in sources.yaml."
                )
            sql = external.expressions.get(c.name)
            values[c.name] = f.expr(spark_expression(sql)) if sql is not None else f.col(quoted(c.name))
        try:
            typed = {c.name: values[c.name].cast(c.type) for c in table.columns if c.name in values}
            if external.day is not None:
                typed[table.day_column] = f.col(quoted(external.day)).cast("string")
            rows = self.view(frame.select(*(value.alias(name) for name, value in typed.items())))
        except AnalysisException as error:
            raise UnreadableTable(
                f"{table.full_name}: the Delta table at {external.location} does not match its entry in sources.yaml: "
                f"{str(error).splitlines()[0]}. It has {', '.join(frame.columns)}."
            ) from error
        if external.day is None and external.derived_day is not None:
            rows = rows.mutate(**{table.day_column: external.derived_day(rows)})
        elif external.day is None:
            rows = rows.mutate(**{table.day_column: ibis.array([ibis.literal(day) for day in days or []]).unnest()})
        if days is not None:
            rows = rows.filter(rows[table.day_column].isin(list(days)))
        return table.conform(rows.mutate(run_timestamp=ibis.null(table.schema["run_timestamp"](nullable=True))))


class _Tables(Protocol):
    """Where the lake's tables are, and what their Delta logs contain."""

    def address(self, table: Table) -> str:
        """The table's name in SQL."""

    def check(self, table: Table) -> None:
        """Raise WemartError if the table cannot be written, before anything is computed for it."""

    def frame(self, table: Table) -> DataFrame | None:
        """The table at its current version, unaffected by later commits; None if nothing was ever published."""

    def published(self, table: Table, days: Sequence[str]) -> set[str]: ...

    def versions(self, table: Table) -> Mapping[str, int]: ...

    def baseline(self, table: Table, days: Sequence[str]) -> Baseline: ...

    def transaction(self, table: Table, days: Sequence[str]) -> tuple[str, int]:
        """Name and version of the application transaction of a commit of `days`; no two commits can have the same."""

    def sizes(self, table: Table, days: Sequence[str]) -> Mapping[str, int]: ...

    def prepare(self, table: Table) -> None:
        """Create the table if necessary and add missing columns."""

    def version(self, table: Table) -> int:
        """The table's current version."""

    def commits_since(self, table: Table, version: int, run: str) -> tuple[int | None, set[str]]:
        """The version of this run's commit (None if it made none), and the days that others published before it."""


class _FolderTables:
    """Tables at `<lake>/<database>/<table>`, whose logs are read by delta-rs."""

    def __init__(self, get_spark: GetSpark, lake: DeltaLake) -> None:
        self._get_spark = get_spark
        self.lake = lake
        self.published = lake.published
        self.versions = lake.versions
        self.baseline = lake.baseline
        self.sizes = lake.sizes
        self.prepare = lake.prepare

    def address(self, table: Table) -> str:
        return f"delta.{quoted(str(self.lake.location(table)))}"

    def check(self, table: Table) -> None:
        self.lake.folder(table)

    def frame(self, table: Table) -> DataFrame | None:
        log = self.lake.open(table)
        if log is None:
            return None
        reader = self._get_spark().read.format("delta").option("versionAsOf", log.version())
        return reader.load(str(self.lake.location(table)))

    def transaction(self, table: Table, days: Sequence[str]) -> tuple[str, int]:
        name = run_transaction(days)
        log = self.lake.open(table)
        return name, ((log and log.transaction_version(name)) or 0) + 1

    def version(self, table: Table) -> int:
        return DeltaTable(self.lake.location(table)).version()

    def commits_since(self, table: Table, version: int, run: str) -> tuple[int | None, set[str]]:
        return _commits_since(DeltaTable(self.lake.location(table)).history(RECENT_COMMITS), version, run)


class _CatalogTables:
    """Tables of a catalog that Spark knows, whose logs are read by Spark, wherever they are."""

    def __init__(self, get_spark: GetSpark, catalog: str) -> None:
        self._get_spark = get_spark
        self.catalog = catalog

    @property
    def spark(self) -> Spark:
        return self._get_spark()

    def address(self, table: Table) -> str:
        return ".".join(map(quoted, (self.catalog, table.database, table.name)))

    def check(self, table: Table) -> None:
        # The catalog decides what may be written, and raises its error at the commit.
        return

    def frame(self, table: Table) -> DataFrame | None:
        if not self._exists(table):
            return None
        version = self._history(table, 1)[0]["version"]
        return self.spark.sql(f"select * from {self.address(table)} version as of {version}")

    def published(self, table: Table, days: Sequence[str]) -> set[str]:
        if not self._exists(table):
            return set()
        committed = set(self.versions(table)) & set(days)
        missing = sorted(set(days) - committed)
        return committed | {row["day"] for row in (self._files(table, missing) if missing else [])}

    def versions(self, table: Table) -> dict[str, int]:
        versions: dict[str, int] = {}
        for commit in self._history(table) if self._exists(table) else []:
            for day in parse_commit_metadata(commit["userMetadata"])[0]:
                versions[day] = max(versions.get(day, 0), int(commit["version"]))
        return versions

    def baseline(self, table: Table, days: Sequence[str]) -> Baseline:
        if not self._exists(table):
            return Baseline(frozenset(), (None,) * len(days))
        files = frozenset(str(row["path"]) for row in self._files(table, days))
        versions = self.versions(table)
        return Baseline(files, tuple(versions.get(day) for day in days))

    def transaction(self, table: Table, days: Sequence[str]) -> tuple[str, int]:
        versions = self.versions(table)
        return run_transaction(days), max(versions.get(day, 0) for day in days) + 1

    def sizes(self, table: Table, days: Sequence[str]) -> Mapping[str, int]:
        sizes = dict.fromkeys(days, 0)
        for row in self._files(table, days):
            sizes[row["day"]] += row["size"]
        return sizes

    def prepare(self, table: Table) -> None:
        columns = ", ".join(f"{quoted(c.name)} {c.type}" for c in table.columns)
        # Other readers of the lake support neither deletion vectors nor column mapping.
        properties = PROPERTIES | {"delta.enableDeletionVectors": "false", "delta.columnMapping.mode": "none"}
        self.spark.sql(f"create database if not exists {quoted(self.catalog)}.{quoted(table.database)}")
        self.spark.sql(
            f"create table if not exists {self.address(table)} ({columns}) using delta"
            f" partitioned by ({', '.join(map(quoted, table.partition_by))}) comment {_text(table.description)}"
            f" tblproperties ({', '.join(f'{_text(k)} = {_text(v)}' for k, v in properties.items())})"
        )
        stored = {field.name: field.dataType for field in self.spark.table(self.address(table)).schema.fields}
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
        if added := [f"{quoted(name)} {kind.simpleString()}" for name, kind in declared.items() if name not in stored]:
            self.spark.sql(f"alter table {self.address(table)} add columns ({', '.join(added)})")

    def version(self, table: Table) -> int:
        return int(self._history(table, 1)[0]["version"])

    def commits_since(self, table: Table, version: int, run: str) -> tuple[int | None, set[str]]:
        return _commits_since(self._history(table, RECENT_COMMITS), version, run)

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


class _Backend(Backend):  # type: ignore[misc]
    """ibis on Spark, but with timestamps that have a timezone, and with results fetched as Arrow.

    ibis fetches results through pandas, where nullable integers become doubles and years end at 2262.
    """

    compiler = SparkCompiler()

    def get_schema(self, table_name: str, *, catalog: str | None = None, database: str | None = None) -> ibis.Schema:
        schema = super().get_schema(table_name, catalog=catalog, database=database)
        kinds = {field.name: field.dataType for field in self._session.table(table_name).schema.fields}
        instants = {n: data_type("timestamp") for n, kind in kinds.items() if isinstance(kind, st.TimestampType)}
        return ibis.schema({**schema, **instants})

    def to_pyarrow(self, expr: ir.Expr, /, *, params: Any = None, limit: Any = None, **kwargs: Any) -> Any:
        self._run_pre_execute_hooks(expr)
        table = expr.as_table()
        with jvm_errors():
            result = self._session.sql(self.compile(table, params=params, limit=limit)).toArrow()
        return expr.__pyarrow_result__(result.cast(table.schema().to_pyarrow()))


def _check_clocks(spark: Spark, timezone: str, first_day: dt.date) -> None:
    """Raise WemartError if Spark and this machine disagree about local time in the zone."""

    def shown(instants: Sequence[int]) -> list[int]:
        rows = spark.createDataFrame([(instant,) for instant in instants], "instant bigint").repartition(1)
        local = "unix_seconds(from_utc_timestamp(timestamp_seconds(instant), zone))"
        times = rows.withColumn("zone", f.lit(timezone)).select("instant", f.expr(local).alias("local")).collect()
        by_instant = {row["instant"]: row["local"] for row in times}
        return [by_instant[instant] for instant in instants]

    if since := first_disagreement(timezone, first_day, shown):
        raise WemartError(
            f"WEMART_TIMEZONE={timezone!r}: this machine and Spark's Java disagree about local time at "
            f"{since:%Y-%m-%d %H:%M} UTC, so a row could lie in another day than its partition. The timezone data of "
            "one of them is out of date: update the machine's (the system package tzdata) or Java, or choose a "
            "timezone in which both agree."
        )


def _java() -> str:
    """Where pyspark looks for Java, for an error message."""
    if home := os.environ.get("JAVA_HOME"):
        java = Path(home) / "bin" / "java"
        return f"JAVA_HOME={home}, which has {'a' if java.exists() else 'no'} bin/java"
    java_on_path = shutil.which("java")
    return f"JAVA_HOME is not set, and {f'Java is {java_on_path}' if java_on_path else 'there is no Java on the PATH'}"


def _is_alive(spark: Spark) -> bool:
    """Whether Spark has not been stopped and its JVM, or its server, still answers."""
    try:
        if isinstance(spark, Spark):
            context = spark.sparkContext._jsc
            return context is not None and not context.sc().isStopped()
        # Spark Connect: the server answers only if it knows the session.
        return bool(spark.conf.get("spark.sql.session.timeZone"))
    except SPARK_GONE:
        return False


def _forget(spark: Spark) -> None:
    """Make pyspark start a new Spark instead of reusing a dead one, in a new JVM if that is gone too."""
    try:
        spark.stop()
    except SPARK_GONE:
        # Without a JVM pyspark stops only halfway, and would keep calling the dead JVM.
        spark.sparkContext.stop()
        SparkContext._gateway = SparkContext._jvm = None
        Spark._instantiatedSession = Spark._activeSession = None


def _unpersist(frame: DataFrame) -> None:
    with suppress(*SPARK_GONE):
        frame.unpersist()


def _commits_since(latest_first: Sequence[Mapping[str, Any]], version: int, run: str) -> tuple[int | None, set[str]]:
    own, days = None, set[str]()
    for commit in latest_first:
        published, commit_run = parse_commit_metadata(commit.get("userMetadata"))
        if commit_run == run:
            own, days = int(commit["version"]), set()
        elif int(commit["version"]) > version:
            days |= published
    return own, days


def _checked_counts(table: Table, days: Sequence[str], counted: Sequence[Mapping[str, Any]]) -> Mapping[str, int]:
    counts = Counter[str]()
    null_columns = [c for c in table.partition_by if any(row[c] is None for row in counted)]
    for row in counted:
        counts[str(row[table.day_column]).replace("None", "NULL")] += row["count"]
    if foreign := sorted(set(counts) - set(days)):
        raise foreign_days(table, days, ", ".join(foreign))
    if null_columns:
        raise unknown_partition(table, null_columns)
    return counts


@contextmanager
def _landing_errors(paths: Sequence[str]) -> Iterator[None]:
    try:
        with jvm_errors():
            yield
    except FAILURES as error:
        raise_fault(f"reading {', '.join(paths[:3])}", error)
        reason = " ".join(str(error).split("JVM stacktrace")[0].split())
        kind = LandingError if isinstance(error, AnalysisException) else UnreadableFile
        raise kind(f"landing file {', '.join(paths[:3])} cannot be read: {reason}") from error


def _struct(table: Table) -> st.StructType:
    return st.StructType([st.StructField(c.name, PySparkType.from_ibis(data_type(c.type))) for c in table.columns])


def _text(literal: str) -> str:
    return "'" + literal.replace("\\", "\\\\").replace("'", "\\'") + "'"
