"""Queries over stored tables, as text for those who run SQL on an engine: `wemart sql`, and any session of Spark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
from ibis.backends.sql.compilers.base import STAR
from ibis.backends.sql.compilers.duckdb import DuckDBCompiler
from ibis.backends.sql.compilers.pyspark import PySparkCompiler
from ibis.config import Config
from sqlglot import exp

from wemart_assets.lake.table import Table, data_type

# Where the rows of a table are.
Stored = Callable[[Table], ir.Table]


class SparkOptions(Config):  # type: ignore[misc]
    """What ibis asks when it writes for Spark, and says only where there is a session."""

    treat_nan_as_null: bool = False


ibis.options.pyspark = SparkOptions()


class SparkCompiler(PySparkCompiler):  # type: ignore[misc]
    """ibis' words for Spark, of which one is corrected."""

    __slots__ = ()

    def visit_CountStar(self, op: Any, *, arg: Any, where: Any) -> Any:
        # ibis adds up the condition, which is NULL, not 0, where it is nowhere known or where there are no rows.
        return self.f.count(STAR) if where is None else self.f.count_if(where)


COMPILERS = {"duckdb": DuckDBCompiler(), "spark": SparkCompiler()}


def query(rows: ir.Table, dialect: str) -> exp.Query:
    """The query of an expression over stored tables, in the dialect (sqlglot's name of it)."""
    found: exp.Query = COMPILERS[dialect].to_sqlglot(rows)
    return found


def in_catalog(catalog: str) -> Stored:
    """Tables are `<catalog>.<database>.<table>`."""
    return lambda table: ibis.table(_schema(table), name=table.name, catalog=catalog, database=table.database)


def in_folders(lake: Path) -> Stored:
    """Tables are the folders `<lake>/<database>/<table>`, as Spark names them."""
    return lambda table: ibis.table(_schema(table), name=str(lake / table.database / table.name), database="delta")


def newest(rows: ir.Table, table: Table) -> ir.Table:
    """What the table's name shows in SQL: all rows, or only the newest of each key."""
    if not table.newest_in_sql:
        return rows
    latest_first = ibis.window(group_by=table.grain, order_by=ibis.desc(table.day_column))
    return rows.mutate(nth=ibis.row_number().over(latest_first)).filter(ibis._.nth == 0).drop("nth")


def _schema(table: Table) -> ibis.Schema:
    # As engines read it: what must be known is said nowhere there.
    return ibis.schema({c.name: data_type(c.type) for c in table.columns})
