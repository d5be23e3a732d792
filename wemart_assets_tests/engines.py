"""Both engines as the tests open them: small, and on Spark one JVM for the whole pytest run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
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
from wemart_assets.lake.engine import Engine, ExternalTable
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


def spark_engine(
    lake: Path, catalog: str | None = None, externals: Mapping[str, ExternalTable] | None = None, **further: str
) -> Engine:
    from wemart_assets.lake.spark_engine import SparkEngine, session_conf
    from wemart_assets.settings import SparkSettings

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    packages = SparkSettings.model_fields["packages"].default
    return SparkEngine(lake, session_conf(MASTER, None, packages, {**SPARK_CONF, **further}), catalog, externals)


def open_engine(name: str, lake: Path) -> Engine:
    if name == "spark":
        return spark_engine(lake)
    return DuckDBEngine(lake, memory_limit="1GB", threads=2, spill=lake.parent / "spill")


def settings_of(name: str) -> dict[str, Any]:
    """The settings with which a whole graph runs on an engine."""
    if name == "spark":
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        return {"engine": "spark", "spark": {"master": MASTER, "conf": SPARK_CONF}}
    return {"engine": "duckdb", "threads": 2, "memory_limit": "1GB"}


def table_of(session: Any, arrow: pa.Table) -> ir.Table:
    """Returns rows as a table of the session."""
    name = f"given_{uuid.uuid4().hex}"
    if hasattr(session, "spark"):
        return session.view(session.spark.createDataFrame(arrow))
    return session.ibis.create_table(name, arrow, temp=True)


def rows_as(table: Table, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Returns rows with all columns of a table; columns that a row does not name are NULL."""
    full = [{c.name: row.get(c.name) for c in table.columns} for row in rows]
    return pa.Table.from_pylist(full, schema=table.arrow_schema)
