"""Compiles queries over stored tables to SQL text, for `wemart sql` and for any Spark session."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import ibis
import ibis.expr.types as ir
from ibis.backends.sql.compilers.base import STAR
from ibis.backends.sql.compilers.duckdb import DuckDBCompiler
from ibis.backends.sql.compilers.pyspark import PySparkCompiler
from ibis.config import Config
from sqlglot import exp

from wemart_assets.lake.location import Location
from wemart_assets.lake.table import Table, data_type

# Returns the stored rows of a table.
Stored = Callable[[Table], ir.Table]


class SparkOptions(Config):  # type: ignore[misc]
    """The option that ibis reads when it compiles for Spark, and that it registers only on connecting."""

    treat_nan_as_null: bool = False


ibis.options.pyspark = SparkOptions()


class SparkCompiler(PySparkCompiler):  # type: ignore[misc]
    """ibis's compiler for Spark, with one correction."""

    __slots__ = ()

    def visit_CountStar(self, op: Any, *, arg: Any, where: Any) -> Any:
        # ibis sums the condition, which gives NULL instead of 0 if there are no rows or the condition is always NULL.
        return self.f.count(STAR) if where is None else self.f.count_if(where)


COMPILERS = {"duckdb": DuckDBCompiler(), "spark": SparkCompiler()}


def query(rows: ir.Table, dialect: str) -> exp.Query:
    """The query of an expression over stored tables, in a dialect that sqlglot names."""
    compiled: exp.Query = COMPILERS[dialect].to_sqlglot(rows)
    return compiled


def in_catalog(catalog: str | None) -> Stored:
    """Tables as `<catalog>.<database>.<table>`, or as `<database>.<table>` if no catalog is given."""
    return lambda table: ibis.table(_schema(table), name=table.name, catalog=catalog, database=table.database)


def in_folders(lake: Location) -> Stored:
    """Tables as folders `<lake>/<database>/<table>`, in Spark's notation."""
    return lambda table: ibis.table(
        _schema(table), name=hadoop_path(lake / table.database / table.name), database="delta"
    )


def hadoop_path(location: Location) -> str:
    """The location under the name by which Spark knows its file system."""
    return re.sub("^s3:", "s3a:", location.url)


def newest(rows: ir.Table, table: Table) -> ir.Table:
    """The rows that SQL shows under the table's name: all, or only the newest of each key."""
    if not table.newest_in_sql:
        return rows
    latest_first = ibis.window(group_by=table.grain, order_by=ibis.desc(table.day_column))
    return rows.mutate(nth=ibis.row_number().over(latest_first)).filter(ibis._.nth == 0).drop("nth")


def _schema(table: Table) -> ibis.Schema:
    # All columns are nullable, as in the tables that engines read.
    return ibis.schema({c.name: data_type(c.type) for c in table.columns})
