"""Both engines as the tests open them: small, and on Spark one JVM for the whole pytest run."""

from __future__ import annotations

import datetime as dt
import os
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import ibis.expr.types as ir
import pyarrow as pa
import pytest

from wemart_assets.lake.duckdb_engine import DuckDBEngine
from wemart_assets.lake.engine import Staged
from wemart_assets.lake.folder_store import FolderStore
from wemart_assets.lake.location import Location
from wemart_assets.lake.session import Lake
from wemart_assets.lake.store import ExternalStore, ExternalTable
from wemart_assets.lake.table import Table

JAVA = 17
ENGINES = ("duckdb", pytest.param("spark", marks=pytest.mark.spark))
# A JVM that compiles little is faster for thousands of small queries than one that optimizes each, and one thread is
# enough to collect a small heap.
JAVA_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m -XX:+UseSerialGC -Xms768m -Xmn384m"
SPARK_CONF = {
    "spark.driver.memory": "2g",
    "spark.driver.extraJavaOptions": JAVA_OPTIONS,
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    # Nothing is learned from a stage of few rows; planning again after each took a tenth of a table's time.
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.shuffle.partitions": "1",
    "spark.default.parallelism": "1",
    "spark.databricks.delta.snapshotPartitions": "1",
}
# Another master needs another Spark.
MASTER = "local[2]"


@cache
def why_no_spark() -> str | None:
    """What to install for the tests on Spark, or None if everything is installed."""
    if find_spec("pyspark") is None or find_spec("delta") is None:
        return "pyspark and delta-spark are not installed: pip install -c constraints.txt -e '.[spark]'"
    home = os.environ.get("JAVA_HOME")
    java = f"{home}/bin/java" if home else shutil.which("java")
    if java is None:
        return f"there is no Java: install a JDK {JAVA} (and set JAVA_HOME)"
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', said)
    if found is None or int(found[1]) < JAVA:
        return f"Java is too old ({said.splitlines()[0] if said else java}): install a JDK {JAVA} or later"
    return None


def spark_lake(
    lake: Path,
    catalog: str | None = None,
    externals: Mapping[str, ExternalTable] | None = None,
    clocks: tuple[str, dt.date] | None = None,
    **further: str,
) -> Lake:
    """A lake that Spark reads and writes, in a folder or in a catalog."""
    from wemart_assets.lake.spark_engine import SparkEngine, session_conf
    from wemart_assets.lake.spark_store import CatalogStore, SparkFolderStore
    from wemart_assets.settings import SparkSettings

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    packages = SparkSettings.model_fields["packages"].default
    engine = SparkEngine(session_conf(MASTER, None, packages, {**SPARK_CONF, **further}), clocks)

    def store(connection: Any) -> Any:
        return CatalogStore(connection, catalog) if catalog else SparkFolderStore(lake)

    return Lake(engine, store, ExternalStore(externals))


def duckdb_lake(
    lake: Path | Location,
    spill: Path | None = None,
    memory_limit: str = "1GB",
    threads: int = 2,
    externals: Mapping[str, ExternalTable] | None = None,
) -> Lake:
    """A lake that DuckDB reads and writes, in a folder or in an object store."""
    place = Location.of(lake)
    spill = spill or (place.path.parent / "spill" if place.is_local else Path(tempfile.gettempdir(), "wemart_spill"))
    engine = DuckDBEngine(memory_limit, threads, spill, [place])
    return Lake(engine, lambda _: FolderStore(place), ExternalStore(externals))


def open_lake(name: str, lake: Path | Location) -> Lake:
    return spark_lake(Path(str(lake))) if name == "spark" else duckdb_lake(lake)


def publish_no_rows(store: FolderStore, table: Table, days: Sequence[str]) -> int:
    """Publishes days without rows, without an engine; returns the new version."""
    # A commit of files does not look at the rows.
    rows: Any = None
    return store.commit(Staged(table, tuple(days), rows, {}, store.baseline(table, days)))


def settings_of(name: str) -> dict[str, Any]:
    """The settings with which a whole graph runs on an engine."""
    if name == "spark":
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        return {"engine": "spark", "spark": {"master": MASTER, "conf": SPARK_CONF}}
    return {"engine": "duckdb", "threads": 2, "memory_limit": "1GB"}


def table_of(session: Any, arrow: pa.Table) -> ir.Table:
    """Returns rows as a table of the session."""
    name = f"given_{uuid.uuid4().hex}"
    if hasattr(session.connection, "spark"):
        return session.connection.view(session.connection.spark.createDataFrame(arrow))
    return session.connection.ibis.create_table(name, arrow, temp=True)


def rows_as(table: Table, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Returns rows with all columns of a table; columns that a row does not name are NULL."""
    full = [{c.name: row.get(c.name) for c in table.columns} for row in rows]
    return pa.Table.from_pylist(full, schema=table.arrow_schema)
