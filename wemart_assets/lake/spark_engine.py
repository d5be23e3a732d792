"""Spark as the lake's engine: one lazy session for all steps of a process, staged on disk, committed by Delta Lake.

Where the lake is a folder, its logs are read by delta-rs as beside DuckDB, and both engines may write one lake in
turns. With a catalog (`WEMART_SPARK__CATALOG`) everything goes through Spark. A commit replaces the days of a run by
one `replaceWhere`. What two runs that publish at the same time can do to each other:

- Of two that publish the same day, or the same range, one is refused: by its baseline, by Delta's conflict detection,
  or because Delta skips a write whose application transaction is not newer (after a write the log is searched for it).
- Of ranges that share only some days, one is refused, or where the other commits in the instant (some tens of
  milliseconds) between the comparison with the baseline and the snapshot that Delta takes for the write, the later one
  replaces the days and fails with words that say so. If the other engine is delta-rs and comes second, by as little, it
  does not see what Spark has just added; its own run of those days again mends that.
- An empty day of a range that was empty before leaves no trace but its commit's words: a run that began earlier, by
  either engine, may publish rows over it.
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
    commit_said,
    commit_words,
    conflict,
    lost_races,
    run_transaction,
)
from wemart_assets.lake.engine import Baseline, ExternalTable, FileFormat, Staged, foreign_days, unknown_partition
from wemart_assets.lake.errors import LandingError, PublishConflict, UnreadableFile, UnreadableTable, WemartError
from wemart_assets.lake.faults import raise_fault
from wemart_assets.lake.functions import SPARK_FUNCTIONS
from wemart_assets.lake.spark_landing import FAILURES, file_columns, in_words, landed, quoted, spark_expression
from wemart_assets.lake.stored import SparkCompiler
from wemart_assets.lake.table import RUN_TIMESTAMP, Table, data_type

# What rows depend on, and what other readers of the lake need. Set on every session, whoever started it.
RUNTIME = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.timestampType": "TIMESTAMP_LTZ",
    "spark.sql.legacy.timeParserPolicy": "CORRECTED",
    "spark.sql.sources.partitionOverwriteMode": "static",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    # Spark has no nanoseconds; what lands with them is cut to microseconds.
    "spark.sql.legacy.parquet.nanosAsLong": "true",
    # An empty day is published by a commit without files.
    "spark.databricks.delta.skipRecordingEmptyCommits": "false",
    # Days are filtered already. Both would plan each input of a join once more for every join that it takes part in:
    # 703 scans instead of 16 for wv_sess_daily.
    "spark.sql.optimizer.dynamicPartitionPruning.enabled": "false",
    "spark.sql.optimizer.runtime.bloomFilter.enabled": "false",
    # The JVM never compiles a method of more than 8,000 bytes of code, and Spark makes one of a whole stage, which is
    # several times that for a wide table. Above the limit it makes a method of each expression.
    "spark.sql.codegen.hugeMethodLimit": "8000",
    # A join or window by device, day and more reuses the shuffle by device and day.
    "spark.sql.requireAllClusterKeysForCoPartition": "false",
}
DELTA = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}
# For one machine: a log of ten million lines fits, and small tables are not cut into two hundred pieces.
LOCAL = {
    "spark.driver.memory": "4g",
    "spark.sql.shuffle.partitions": "32",
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}
RECENT_COMMITS = 100
# Delta's own conflicts, by the names of their conditions: as exceptions they have another class on each kind of Spark.
CONFLICT = re.compile(r"\[DELTA_(CONCURRENT_\w+|METADATA_CHANGED|PROTOCOL_CHANGED)\]")

# How a call says that there is no Spark any more (ValueError: of a client of Spark Connect that is closed). What was to
# be removed has gone with it then, and nothing is said of that: what Spark died of is to be seen.
DEAD = (Py4JError, PySparkException, OSError, ValueError)

# Gives a session its Spark, the same at each call, which the first may have to start.
Take = Callable[[], Spark]


def session_conf(master: str, remote: str | None, packages: str, further: Mapping[str, str]) -> dict[str, str]:
    """The configuration of a Spark session that can read and write the lake; `further` settings win."""
    conf = {"spark.app.name": "wemart"}
    if remote:
        # A server has its own jars and sizes; only what a client may say is said.
        return {**conf, "spark.remote": remote, **further}
    conf |= {"spark.master": master, **DELTA}
    if packages:
        conf["spark.jars.packages"] = packages
    if master.startswith("local"):
        conf |= LOCAL
    return {**conf, **RUNTIME, **further}


class SparkEngine:
    """Opens sessions over one Spark, which is started when a step first needs it and then serves all steps.

    One that has died, or that somebody stopped, is replaced by the next step.

    Tables are folders of `lake`, or `<catalog>.<database>.<table>` if a catalog is given. `clocks` are the business
    timezone and the first day: a Spark whose clocks of that zone show another time than this machine's is refused.
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
        take = cache(self._ready)
        tables = _CatalogTables(take, self.catalog) if self.catalog else _FolderTables(take, self.lake)
        session = SparkSession(take, tables, self.externals)
        try:
            yield session
        finally:
            session.close()

    def _ready(self) -> Spark:
        """Spark with all that rows depend on."""
        spark = self._start()
        for name, value in RUNTIME.items():
            spark.conf.set(name, self.conf.get(name, value))
        for function in SPARK_FUNCTIONS:
            spark.sql(function)
        return spark

    def _start(self) -> Spark:
        """Spark as it runs, or a new one where none does."""
        if self._spark is not None and _is_alive(self._spark):
            return self._spark
        # What pyspark would go on with; not ours where another engine of this process has replaced that already.
        last = Spark._instantiatedSession or self._spark
        if last is not None and not _is_alive(last):
            _forget(last)
        try:
            spark: Spark = LazyPySparkResource(spark_config=self.conf).spark_session
        except PySparkException as error:
            if error.getCondition() != "JAVA_GATEWAY_EXITED":
                raise
            raise WemartError(
                f"Spark cannot be started: its JVM ended before it was ready ({_java()}). Install a JDK 17 or later "
                "and set JAVA_HOME to its folder, or set WEMART_ENGINE=duckdb. If such a JDK is there, stderr has the "
                "words of the JVM: it may be that the jars of WEMART_SPARK__PACKAGES could not be loaded."
            ) from error
        if self.clocks is not None:
            _check_clocks(spark, *self.clocks)
        self._spark = spark
        return spark


class SparkSession:
    """What one step reads and stages; its views and what it staged go when it is over.

    Spark is taken when something is first read or computed: what the logs of a lake in a folder say needs none.
    """

    spill: Path | None = None

    def __init__(self, take: Take, tables: _Tables, externals: Mapping[str, ExternalTable]) -> None:
        self._take = take
        self.tables = tables
        self.externals = externals
        self._views: list[str] = []
        self._staged: dict[str, DataFrame] = {}

    @property
    def spark(self) -> Spark:
        return self._take()

    @cached_property
    def ibis(self) -> Backend:
        found = _Backend().connect(self.spark)
        found.register_options()
        return found

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        return FAILURES

    def close(self) -> None:
        for frame in self._staged.values():
            _unpersist(frame)
        for view in self._views:
            with suppress(*DEAD):
                self.spark.catalog.dropTempView(view)

    def published(self, table: Table, days: Sequence[str]) -> set[str]:
        external = self.externals.get(table.full_name)
        if external is None:
            return self.tables.published(table, days)
        if external.day is None:
            return set(days)
        found = self._external(table, external, days).select(table.day_column).distinct()
        return {row[table.day_column] for row in found.to_pyarrow().to_pylist()}

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
        # Before a column was declared, there was none.
        typed = [
            (f.col(quoted(c.name)) if c.name in frame.columns else f.lit(None)).cast(c.type).alias(c.name)
            for c in table.columns
        ]
        return self.view(frame.select(*typed))

    def file_columns(self, path: str, form: FileFormat) -> dict[str, bool]:
        # If there is no Spark, that is not the file's fault.
        spark = self.spark
        with _landing_errors([path]):
            return file_columns(spark, path, form)

    def scan(
        self, paths: Sequence[str], form: FileFormat, columns: Sequence[str], expressions: Mapping[str, str]
    ) -> ir.Table:
        spark = self.spark
        with _landing_errors(paths):
            return self.view(landed(spark, paths, form, columns, expressions))

    def stage(self, table: Table, rows: ir.Table, days: Sequence[str], baseline: Baseline) -> Staged:
        self.tables.check(table)
        frame = self.spark.sql(self.ibis.compile(table.conform(rows)))
        frame = frame.select(*(f.col(quoted(c.name)).cast(c.type).alias(c.name) for c in table.columns))
        if len(days) > 1:
            # Each task would write a file for each day that it has rows of.
            frame = frame.hint("rebalance", *table.partition_by)
        frame = frame.persist(StorageLevel.DISK_ONLY)
        try:
            with in_words():
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
                # Asked for before the comparison: what is published after it makes the number an old one.
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
                    # If it was one of other days, nothing of ours has changed.
                    time.sleep(random.uniform(0.01, 0.1))
                    continue
                version, meanwhile = self.tables.commits_since(table, before, run)
                if version is None:
                    raise conflict(table, days)
                if both := sorted(meanwhile & set(days)):
                    raise PublishConflict(
                        f"{table.full_name}: another run published {', '.join(both)} in the instant before this one "
                        "did, and its rows were replaced. Run these days again if its inputs were newer."
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
        """The frame as a table, until the session is over."""
        name = f"rows_{uuid.uuid4().hex}"
        frame.createOrReplaceTempView(name)
        self._views.append(name)
        return self.ibis.table(name)

    def _replace(
        self, table: Table, days: Sequence[str], frame: DataFrame, transaction: tuple[str, int], run: str
    ) -> None:
        application, number = transaction
        writer = frame.writeTo(self.tables.address(table))
        writer = writer.option("userMetadata", commit_words(days, run))
        writer = writer.option("txnAppId", application).option("txnVersion", str(number))
        writer.overwrite(f.col(quoted(table.day_column)).isin(list(days)))

    def _external(self, table: Table, external: ExternalTable, days: Sequence[str] | None) -> ir.Table:
        if not DeltaTable.is_deltatable(str(external.location)):
            raise UnreadableTable(
                f"{table.full_name}: sources.yaml says that it is the Delta table at {external.location}, where there "
                "is none. Correct the path, or have it written first."
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
                f"{table.full_name}: the Delta table at {external.location} does not fit its entry in sources.yaml: "
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
    """Where the lake's tables are, and what their logs say."""

    def address(self, table: Table) -> str:
        """How SQL names the table."""

    def check(self, table: Table) -> None:
        """Raises WemartError where the table cannot be written, before anything is computed for it."""

    def frame(self, table: Table) -> DataFrame | None:
        """The table as it is now, whatever is published later; None where nothing ever was."""

    def published(self, table: Table, days: Sequence[str]) -> set[str]: ...

    def versions(self, table: Table) -> Mapping[str, int]: ...

    def baseline(self, table: Table, days: Sequence[str]) -> Baseline: ...

    def transaction(self, table: Table, days: Sequence[str]) -> tuple[str, int]:
        """The application transaction of a commit of `days`, which no two commits of them can both have."""

    def sizes(self, table: Table, days: Sequence[str]) -> Mapping[str, int]: ...

    def prepare(self, table: Table) -> None:
        """Have the table there, with all declared columns."""

    def version(self, table: Table) -> int:
        """The version that the table has now."""

    def commits_since(self, table: Table, version: int, run: str) -> tuple[int | None, set[str]]:
        """The version that the commit of this run made, None where it made none, and the days of those before it."""


class _FolderTables:
    """Tables at `<lake>/<database>/<table>`; what their logs say is read by delta-rs."""

    def __init__(self, take: Take, lake: DeltaLake) -> None:
        self._take = take
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
        reader = self._take().read.format("delta").option("versionAsOf", log.version())
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
    """Tables of a catalog that Spark knows; their logs are read by Spark, wherever they are."""

    def __init__(self, take: Take, catalog: str) -> None:
        self._take = take
        self.catalog = catalog

    @property
    def spark(self) -> Spark:
        return self._take()

    def address(self, table: Table) -> str:
        return ".".join(map(quoted, (self.catalog, table.database, table.name)))

    def check(self, table: Table) -> None:
        # What may be written is the catalog's to say, and it says so at the commit.
        return

    def frame(self, table: Table) -> DataFrame | None:
        if not self._exists(table):
            return None
        version = self._history(table, 1)[0]["version"]
        return self.spark.sql(f"select * from {self.address(table)} version as of {version}")

    def published(self, table: Table, days: Sequence[str]) -> set[str]:
        if not self._exists(table):
            return set()
        found = set(self.versions(table)) & set(days)
        missing = sorted(set(days) - found)
        return found | {row["day"] for row in (self._files(table, missing) if missing else [])}

    def versions(self, table: Table) -> dict[str, int]:
        found: dict[str, int] = {}
        for commit in self._history(table) if self._exists(table) else []:
            for day in commit_said(commit["userMetadata"])[0]:
                found[day] = max(found.get(day, 0), int(commit["version"]))
        return found

    def baseline(self, table: Table, days: Sequence[str]) -> Baseline:
        if not self._exists(table):
            return Baseline(frozenset(), (None,) * len(days))
        files = frozenset(str(row["path"]) for row in self._files(table, days))
        last = self.versions(table)
        return Baseline(files, tuple(last.get(day) for day in days))

    def transaction(self, table: Table, days: Sequence[str]) -> tuple[str, int]:
        last = self.versions(table)
        return run_transaction(days), max(last.get(day, 0) for day in days) + 1

    def sizes(self, table: Table, days: Sequence[str]) -> Mapping[str, int]:
        found = dict.fromkeys(days, 0)
        for row in self._files(table, days):
            found[row["day"]] += row["size"]
        return found

    def prepare(self, table: Table) -> None:
        columns = ", ".join(f"{quoted(c.name)} {c.type}" for c in table.columns)
        # Other readers of the lake know neither deletion vectors nor renamed columns.
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
            f"{name} is {stored[name].simpleString()} and is declared {kind.simpleString()}"
            for name, kind in declared.items()
            if name in stored and stored[name] != kind
        ]
        detail = self.spark.sql(f"describe detail {self.address(table)}").collect()[0]
        if changed or tuple(detail["partitionColumns"]) != table.partition_by:
            raise UnreadableTable(
                f"{table.full_name}: the published table does not fit its declaration "
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
    """ibis on Spark, with instants that say that they are, and rows that come as Arrow.

    ibis brings rows through pandas, where a number that may be NULL is a double and the years end in 2262.
    """

    compiler = SparkCompiler()

    def get_schema(self, table_name: str, *, catalog: str | None = None, database: str | None = None) -> ibis.Schema:
        plain = super().get_schema(table_name, catalog=catalog, database=database)
        kinds = {field.name: field.dataType for field in self._session.table(table_name).schema.fields}
        instants = {n: data_type("timestamp") for n, kind in kinds.items() if isinstance(kind, st.TimestampType)}
        return ibis.schema({**plain, **instants})

    def to_pyarrow(self, expr: ir.Expr, /, *, params: Any = None, limit: Any = None, **kwargs: Any) -> Any:
        self._run_pre_execute_hooks(expr)
        table = expr.as_table()
        with in_words():
            found = self._session.sql(self.compile(table, params=params, limit=limit)).toArrow()
        return expr.__pyarrow_result__(found.cast(table.schema().to_pyarrow()))


def _check_clocks(spark: Spark, timezone: str, first_day: dt.date) -> None:
    """Raises WemartError where Spark's clocks of the zone show another time than this machine's."""

    def shown(instants: Sequence[int]) -> list[int]:
        rows = spark.createDataFrame([(instant,) for instant in instants], "instant bigint").repartition(1)
        local = "unix_seconds(from_utc_timestamp(timestamp_seconds(instant), zone))"
        found = rows.withColumn("zone", f.lit(timezone)).select("instant", f.expr(local).alias("local")).collect()
        by_instant = {row["instant"]: row["local"] for row in found}
        return [by_instant[instant] for instant in instants]

    if since := first_disagreement(timezone, first_day, shown):
        raise WemartError(
            f"WEMART_TIMEZONE={timezone!r}: the clocks of this machine and those of Spark's Java show different times "
            f"at {since:%Y-%m-%d %H:%M} UTC, so a row would lie in another day than its partition. One of them has "
            "rules that are out of date: update the machine's timezone data (the system package tzdata) or Java, or "
            "name a zone in which both agree."
        )


def _java() -> str:
    """Where pyspark looks for Java, in words."""
    if home := os.environ.get("JAVA_HOME"):
        java = Path(home) / "bin" / "java"
        return f"JAVA_HOME={home}, {'where Java is' if java.exists() else 'where there is no bin/java'}"
    return f"JAVA_HOME is not set, Java is {shutil.which('java') or 'not on the PATH'}"


def _is_alive(spark: Spark) -> bool:
    """Whether nobody has stopped it and its JVM, or its server, is there."""
    try:
        if isinstance(spark, Spark):
            context = spark.sparkContext._jsc
            return context is not None and not context.sc().isStopped()
        # Of Spark Connect: whether the server knows the session.
        return bool(spark.conf.get("spark.sql.session.timeZone"))
    except DEAD:
        return False


def _forget(spark: Spark) -> None:
    """Have pyspark start a new Spark in place of one that is dead, in a new JVM where that is gone too."""
    try:
        spark.stop()
    except DEAD:
        # pyspark gives up half-way where there is no JVM to tell, and would go on calling it.
        spark.sparkContext.stop()
        SparkContext._gateway = SparkContext._jvm = None
        Spark._instantiatedSession = Spark._activeSession = None


def _unpersist(frame: DataFrame) -> None:
    with suppress(*DEAD):
        frame.unpersist()


def _commits_since(latest_first: Sequence[Mapping[str, Any]], version: int, run: str) -> tuple[int | None, set[str]]:
    own, days = None, set[str]()
    for commit in latest_first:
        published, by = commit_said(commit.get("userMetadata"))
        if by == run:
            own, days = int(commit["version"]), set()
        elif int(commit["version"]) > version:
            days |= published
    return own, days


def _checked_counts(table: Table, days: Sequence[str], counted: Sequence[Mapping[str, Any]]) -> Mapping[str, int]:
    counts = Counter[str]()
    unplaced = [c for c in table.partition_by if any(row[c] is None for row in counted)]
    for row in counted:
        counts[str(row[table.day_column]).replace("None", "NULL")] += row["count"]
    if foreign := sorted(set(counts) - set(days)):
        raise foreign_days(table, days, ", ".join(foreign))
    if unplaced:
        raise unknown_partition(table, unplaced)
    return counts


@contextmanager
def _landing_errors(paths: Sequence[str]) -> Iterator[None]:
    try:
        with in_words():
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
