"""Spark as an engine: one lazy session for all steps of a process, which stages rows on its disks."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
from dagster_pyspark import LazyPySparkResource
from ibis.backends.pyspark import Backend
from py4j.protocol import Py4JError
from pyspark import SparkContext, StorageLevel
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import SparkSession as Spark
from pyspark.sql import functions as f
from pyspark.sql import types as st

from wemart_assets.lake.clocks import first_disagreement
from wemart_assets.lake.engine import FileFormat, Staged, foreign_days, unknown_partition
from wemart_assets.lake.errors import LandingError, UnreadableFile, WemartError
from wemart_assets.lake.faults import raise_fault
from wemart_assets.lake.functions import SPARK_FUNCTIONS
from wemart_assets.lake.location import Location
from wemart_assets.lake.spark_landing import FAILURES, file_columns, jvm_errors, landed, quoted, spark_expression
from wemart_assets.lake.store import Baseline, Snapshot
from wemart_assets.lake.stored import SparkCompiler, hadoop_path
from wemart_assets.lake.table import Table, data_type

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


def hadoop_conf(location: Location) -> dict[str, str]:
    """The settings with which Hadoop's jars (hadoop-aws) reach an S3 store; none for a folder."""
    if location.is_local:
        return {}
    options = location.storage.plain
    conf = {
        "endpoint": options.get("aws_endpoint_url"),
        "endpoint.region": options.get("aws_region"),
        "path.style.access": "true" if "aws_endpoint_url" in options else None,
        "access.key": options.get("aws_access_key_id"),
        "secret.key": options.get("aws_secret_access_key"),
    }
    return {f"spark.hadoop.fs.s3a.{name}": value for name, value in conf.items() if value is not None}


class SparkEngine:
    """Opens connections to one Spark, which starts when a step first needs it and then serves all steps.

    If it has died, or somebody has stopped it, the next step starts a new one. `clocks` are the business timezone and
    the first day: a Spark that disagrees with this machine about local time in that zone is refused.
    """

    def __init__(self, conf: Mapping[str, str], clocks: tuple[str, dt.date] | None = None) -> None:
        self.clocks = clocks
        self.conf = dict(conf)
        self._spark: Spark | None = None

    @contextmanager
    def connect(self) -> Iterator[SparkConnection]:
        connection = SparkConnection(cache(self._ready))
        try:
            yield connection
        finally:
            connection.close()

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


class SparkConnection:
    """What one step reads and stages; its views and staged rows are removed when it closes.

    Spark starts when rows are first read or computed; reading only the logs of a lake in a folder does not need it.
    """

    spill: Path | None = None
    failures: tuple[type[Exception], ...] = FAILURES
    mismatches: tuple[type[Exception], ...] = (AnalysisException,)

    def __init__(self, get_spark: GetSpark) -> None:
        self._get_spark = get_spark
        self._views: list[str] = []
        self._frames: dict[str, DataFrame] = {}

    @property
    def spark(self) -> Spark:
        return self._get_spark()

    @cached_property
    def ibis(self) -> Backend:
        backend = _Backend().connect(self.spark)
        backend.register_options()
        return backend

    def close(self) -> None:
        for view in [*self._frames]:
            self._unpersist(view)
        for view in self._views:
            with suppress(*SPARK_GONE):
                self.spark.catalog.dropTempView(view)

    def read(self, snapshot: Snapshot) -> ir.Table:
        if snapshot.version is None:
            columns = ", ".join(f"{quoted(name)} {kind}" for name, kind in snapshot.columns.items())
            frame = self.spark.createDataFrame([], columns)
        elif isinstance(snapshot.address, Location):
            reader = self.spark.read.format("delta").option("versionAsOf", snapshot.version)
            frame = reader.load(hadoop_path(snapshot.address))
        else:
            frame = self.spark.sql(f"select * from {snapshot.address} version as of {snapshot.version}")
        if snapshot.where is not None:
            column, values = snapshot.where
            frame = frame.where(f.col(quoted(column)).isin(list(values)))
        # A column that was declared after the table was written may be missing from it.
        typed = [
            (f.col(quoted(name)) if name in frame.columns else f.lit(None)).cast(kind).alias(name)
            for name, kind in snapshot.columns.items()
        ]
        return self.view(frame.select(*typed))

    def select(self, rows: ir.Table, values: Mapping[str, tuple[str, str]]) -> ir.Table:
        frame = self.spark.table(rows.get_name())
        selected = [f.expr(spark_expression(sql)).cast(kind).alias(name) for name, (sql, kind) in values.items()]
        return self.view(frame.select(*selected))

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

    def stage(
        self, table: Table, rows: ir.Table, days: Sequence[str], baseline: Baseline, _destination: Location | None
    ) -> Staged:
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
            with suppress(*SPARK_GONE):
                frame.unpersist()
            raise
        view = self.view(frame)
        self._frames[view.get_name()] = frame

        def write(address: str, options: Mapping[str, str]) -> None:
            writer = frame.writeTo(address)
            for name, value in options.items():
                writer = writer.option(name, value)
            writer.overwrite(f.col(quoted(table.day_column)).isin(list(days)))

        return Staged(table, tuple(days), view, counts, baseline, write=write)

    def discard(self, staged: Staged) -> None:
        self._unpersist(staged.rows.get_name())

    release = discard

    def _unpersist(self, view: str) -> None:
        if (frame := self._frames.pop(view, None)) is not None:
            with suppress(*SPARK_GONE):
                frame.unpersist()

    def view(self, frame: DataFrame) -> ir.Table:
        """The frame as a table, until the session closes."""
        name = f"rows_{uuid.uuid4().hex}"
        frame.createOrReplaceTempView(name)
        self._views.append(name)
        return self.ibis.table(name)


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
