"""The analyst's door: SQL over the lake, read-only, each table under the names that its documents use.

Reports that count users are also table functions over a range of days, `igaworks.hard_funnel_between(first, last)`.

A query sees `we_mart.wv_sess_daily`, `wev_prod.we_mart.wv_sess_daily` and plain `wv_sess_daily`. `create table ... as`
and `create view` shadow a name for that session only, in memory; the lake is never written, and no file is read but
the lake's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa
import sqlglot
from duckdb import StatementType
from sqlglot import exp

from wemart_assets.lake.between import Between
from wemart_assets.lake.delta import open_delta, partition_values
from wemart_assets.lake.duckdb_engine import delta_columns, quoted, select_files
from wemart_assets.lake.errors import UnreadableTable, WemartError
from wemart_assets.lake.functions import DUCKDB_MACROS
from wemart_assets.lake.table import Table
from wemart_assets.lake.view import View

CATALOG = "wev_prod"
READING = {StatementType.SELECT, StatementType.EXPLAIN, StatementType.RELATION, StatementType.PRAGMA}


class QueryRefused(WemartError):
    """A statement would write, or reach outside of the lake."""


@contextmanager
def analyst(
    lake: Path, known: Mapping[str, Table], views: Iterable[View] = (), functions: Iterable[Between] = ()
) -> Iterator[Analyst]:
    """A session over all tables of the lake; `known` are the declared ones by full name, `views` and `functions` are
    defined where the tables that they read are there.

    Raises:
        WemartError: there is no table yet.
    """
    with duckdb.connect(":memory:", config={"python_enable_replacements": False}) as connection:
        yield Analyst(connection, lake.absolute(), known, views, functions)


class Analyst:
    """A DuckDB that sees the lake's published rows as of its opening, and nothing else."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        lake: Path,
        known: Mapping[str, Table],
        views: Iterable[View],
        functions: Iterable[Between],
    ) -> None:
        self._connection = connection
        found = sorted(log.parent for log in lake.glob("*/*/_delta_log"))
        if not found:
            raise WemartError(f"the lake {lake} has no table yet; run some partitions, or `make demo`")
        connection.execute("set timezone = 'UTC'")
        connection.execute(f"attach ':memory:' as {CATALOG}")
        databases = sorted({location.parent.name for location in found})
        for database in databases:
            connection.execute(f'create schema {CATALOG}."{database}"')
        self.unreadable: dict[str, str] = {}
        with ThreadPoolExecutor() as pool:
            for location, query in zip(found, pool.map(self._query, found), strict=True):
                self._define(location, query, known)
        for macro in DUCKDB_MACROS:
            connection.execute(macro)
        there = {f"{location.parent.name}.{location.name}" for location in found} - self.unreadable.keys()
        for view in views:
            if {of.full_name for of in view.inputs.values()} <= there:
                connection.execute(view.duckdb_view(CATALOG))
        # Each is defined when a query names it: to compile one takes a good part of a second.
        self._functions = {f.name: f for f in functions if {of.full_name for of in f.inputs.values()} <= there}
        path = ",".join(f"{CATALOG}.{database}" for database in databases)
        connection.execute(f"use {CATALOG}.{databases[0]}")
        connection.execute(f"set search_path = '{path}'")
        allowed = str(lake).replace("'", "''") + "/"
        connection.execute(f"set allowed_directories = ['{allowed}']")
        connection.execute("set enable_external_access = false")
        connection.execute("set lock_configuration = true")

    def run(self, sql: str) -> pa.Table:
        """The rows of the last statement; those before it may shadow tables.

        Raises:
            QueryRefused: a statement is none that reads or shadows.
            duckdb.Error: the SQL is wrong.
        """
        rows = pa.table({})
        for name in [name for name in self._functions if name in sql.lower()]:
            self._connection.execute(self._functions.pop(name).duckdb_macro(CATALOG))
        for statement in self._connection.extract_statements(sql):
            if statement.type in READING:
                rows = self._connection.execute(statement).to_arrow_table()
            elif statement.type == StatementType.CREATE:
                rows = self._shadow(statement.query)
            else:
                raise QueryRefused(
                    f"{statement.type.name} is not for here: the lake is read-only. Queries, `create view` and "
                    "`create table ... as` (for this session) are."
                )
        return rows

    def _query(self, location: Path) -> str:
        name = f"{location.parent.name}.{location.name}"
        try:
            log = open_delta(location, name)
        except UnreadableTable as error:
            self.unreadable[name] = str(error)
            return ""
        if log is None:
            return ""
        columns = delta_columns(log)
        partitions = {c: columns[c] for c in log.metadata().partition_columns}
        files = [(path, values) for path, values, *_ in partition_values(log)]
        return select_files(columns, partitions, location, files)

    def _define(self, location: Path, query: str, known: Mapping[str, Table]) -> None:
        if not query:
            return
        database, name = location.parent.name, location.name
        table = known.get(f"{database}.{name}")
        if table is not None and table.newest_in_sql:
            self._connection.execute(f'create view {CATALOG}."{database}"."{name}__daily" as {query}')
            key = ", ".join(f'"{c}"' for c in table.grain)
            query = (
                f'select * from {CATALOG}."{database}"."{name}__daily"'
                f' qualify row_number() over (partition by {key} order by "{table.day_column}" desc) = 1'
            )
        self._connection.execute(f'create view {CATALOG}."{database}"."{name}" as {query}')

    def _shadow(self, statement: str) -> pa.Table:
        parsed = sqlglot.parse_one(statement, read="duckdb")
        if not isinstance(parsed, exp.Create) or parsed.kind not in ("TABLE", "VIEW") or parsed.expression is None:
            raise QueryRefused("only `create table ... as` and `create view ... as` are for here, for this session")
        target, columns = parsed.this, []
        if isinstance(target, exp.Schema):
            target, columns = target.this, target.expressions
        query = parsed.expression.sql(dialect="duckdb")
        if columns:
            query = f"select * from ({query}) as shadow({', '.join(quoted(column.name) for column in columns)})"
        database = target.db or self._connection.execute("select current_schema()").fetchall()[0][0]
        schema = f"{CATALOG}.{quoted(database)}"
        name = f"{schema}.{quoted(target.name)}"
        # All of it or nothing, as what is shadowed goes.
        self._connection.execute("begin")
        try:
            # It may be read by the very statement, so it goes only when the rows are there.
            self._connection.execute(f"create temp table shadow as {query}")
            self._connection.execute(f"create schema if not exists {schema}")
            for kind in self._kinds(database, target.name):
                self._connection.execute(f"drop {kind} {name}")
            self._connection.execute(f"create table {name} as select * from temp.main.shadow")
            self._connection.execute("drop table temp.main.shadow")
        except BaseException:
            self._connection.execute("rollback")
            raise
        self._connection.execute("commit")
        return self._connection.execute(f"select count(*) as rows from {name}").to_arrow_table()

    def _kinds(self, database: str, name: str) -> list[str]:
        found = self._connection.execute(
            "select table_type from information_schema.tables"
            " where table_catalog = ? and lower(table_schema) = lower(?) and lower(table_name) = lower(?)",
            [CATALOG, database, name],
        ).fetchall()
        return ["view" if kind == "VIEW" else "table" for (kind,) in found]
