"""A session over the lake: tables are looked for when a query names them, and rows come as a stream."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb
import pyarrow as pa

from wemart_assets.lake.delta import open_delta, partition_values
from wemart_assets.lake.duckdb_sql import DUCKDB_MACROS, delta_columns, quoted, select_files
from wemart_assets.lake.errors import UnreadableTable, WemartError
from wemart_assets.sql.files import PROTOCOL, PublishedFile, PublishedFiles
from wemart_assets.sql.statements import READING_TABLE_FUNCTIONS, Named, Query, QueryRefused, Shadow, Wall

if TYPE_CHECKING:
    from wemart_assets.lake.between import Between
    from wemart_assets.lake.table import Table
    from wemart_assets.lake.view import View

CATALOG = "wev_prod"
DAILY = "__daily"
ROWS_OF_A_BATCH = 20_000
# Nothing can be loaded, written or kept; what a query needs stays in memory.
CLOSED = (
    "set enable_progress_bar = false",
    "set autoinstall_known_extensions = false",
    "set autoload_known_extensions = false",
    "set allow_community_extensions = false",
    "set allow_persistent_secrets = false",
    "set temp_directory = ''",
    # Files are cached by the operating system; a second copy would count as the query's memory.
    "set enable_external_file_cache = false",
    "set parquet_metadata_cache = true",
    f"set allowed_directories = ['{PROTOCOL}://']",
    "set enable_external_access = false",
    "set disabled_filesystems = 'LocalFileSystem'",
    "set lock_configuration = true",
)
# What DuckDB says where the query is at fault; anything else may be due to the bytes of a file.
OF_THE_QUERY = re.compile(
    r"(Binder|Catalog|Constraint|Conversion|Dependency|Interrupt|Invalid|Not implemented|Out of Range|Parser|Permission"
    r"|Syntax|TransactionContext)",
    re.IGNORECASE,
)
OUT_OF_MEMORY = "Out of Memory Error"

Place = tuple[str, str]
T = TypeVar("T")


@contextmanager
def analyst(
    lake: Path,
    known: Mapping[str, Table],
    views: Mapping[str, View] | None = None,
    functions: Iterable[Between] = (),
    memory_limit: str | None = None,
    threads: int | None = None,
) -> Iterator[Analyst]:
    """A session over all tables of the lake; `known` and `views` are the declared ones by full name.

    They are looked up when a query names them, `functions` are gone through when it names a function that is not
    DuckDB's. Views and functions are there where the tables that they read are.

    Raises:
        WemartError: there is no table yet.
    """
    config: dict[str, Any] = {"python_enable_replacements": False}
    config |= {} if memory_limit is None else {"memory_limit": memory_limit}
    config |= {} if threads is None else {"threads": threads}
    with duckdb.connect(":memory:", config=config) as connection, ThreadPoolExecutor(1) as worker:
        yield Analyst(connection, worker, lake.absolute(), known, {} if views is None else views, functions)


class Rows:
    """The rows of a query as they come: `schema`, and batches to be read once."""

    def __init__(self, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
        self.schema = schema
        self._batches = batches

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self._batches

    def read_all(self) -> pa.Table:
        return pa.Table.from_batches(self._batches, self.schema)


class Analyst:
    """A DuckDB that sees the lake's published rows, and nothing else; each table as of when it is first named."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        worker: Executor,
        lake: Path,
        known: Mapping[str, Table],
        views: Mapping[str, View],
        functions: Iterable[Between],
    ) -> None:
        self._connection = connection
        self._worker = worker
        self._known = known
        self._locations: dict[Place, Path] = {
            (log.parent.parent.name.lower(), log.parent.name.lower()): log.parent
            for log in sorted(lake.glob("*/*/_delta_log"))
        }
        if not self._locations:
            raise WemartError(f"the lake {lake} has no table yet; run some partitions, or `make demo`")
        # Of the tables that all were asked for, those that are damaged, and how.
        self.unreadable: dict[str, str] = {}
        self._files = PublishedFiles()
        # Statements so far: a result lasts until the next.
        self._turn = 0
        connection.register_filesystem(self._files)
        connection.execute("set timezone = 'UTC'")
        connection.execute(f"attach ':memory:' as {CATALOG}")
        databases = sorted({location.parent.name for location in self._locations.values()})
        self._databases = list(dict.fromkeys(database.lower() for database in databases))
        for database in databases:
            connection.execute(f"create schema if not exists {CATALOG}.{quoted(database)}")
        for macro in DUCKDB_MACROS:
            connection.execute(macro)
        self._views = views
        self._declared_functions = functions
        self._wall = Wall(connection, lambda name: name in self._functions or name in self._called)
        self._called: set[str] = set()
        self._defined: set[Place] = set()
        path = ",".join(f"{CATALOG}.{quoted(database)}" for database in databases)
        connection.execute(f"use {CATALOG}.{quoted(databases[0])}")
        connection.execute(f"set search_path = {_text(path)}")
        for setting in CLOSED:
            connection.execute(setting)

    @cached_property
    def _functions(self) -> dict[str, Between]:
        """Those that no query has called, by name in small letters."""
        return {f.name.lower(): f for f in self._declared_functions if self._has(f.inputs)}

    def _view(self, place: Place) -> View | None:
        view = self._views.get(".".join(place))
        return view if view is not None and self._has(view.inputs) else None

    def run(self, sql: str) -> pa.Table:
        """The rows of the last statement; those before it may shadow tables.

        Raises:
            QueryRefused: a statement is none that reads or shadows.
            UnreadableTable: a table that is named is damaged.
            WemartError: the memory of a session is not enough.
            duckdb.Error: the SQL is wrong.
        """
        return self.stream(sql).read_all()

    def stream(self, sql: str) -> Rows:
        """As `run`, but the rows come while they are read, before the next query. Each error may come then."""
        self._turn += 1
        statements = self._wall.statements(sql)
        if not statements:
            raise QueryRefused("there is no query")
        rows = Rows(pa.schema([]), iter(()))
        for statement in statements:
            for _batch in rows:
                pass
            rows = self._shadow(statement) if isinstance(statement, Shadow) else self._rows(statement)
        return rows

    def _rows(self, query: Query) -> Rows:
        self._files.forget()
        with self._told():
            self._define(query)
            reader = self._interruptibly(lambda: self._connection.execute(query.sql).to_arrow_reader(ROWS_OF_A_BATCH))
        self._turn += 1
        turn = self._turn

        def batches() -> Iterator[pa.RecordBatch]:
            while True:
                if self._turn != turn:
                    raise AssertionError("rows of one query are read after another began")
                with self._told():
                    try:
                        batch = self._interruptibly(reader.read_next_batch)
                    except StopIteration:
                        return
                yield batch

        return Rows(reader.schema, batches())

    def _interruptibly(self, call: Callable[[], T]) -> T:
        """What the call returns, made by another thread: DuckDB at work does not look out for Ctrl-C."""
        future = self._worker.submit(call)
        try:
            return future.result()
        except KeyboardInterrupt:
            self._connection.interrupt()
            wait([future])
            raise

    def _shadow(self, shadow: Shadow) -> Rows:
        query, sql = shadow.query, shadow.query.sql
        if shadow.columns:
            sql = f"select * from ({sql}\n) as shadow({', '.join(map(quoted, shadow.columns))})"
        database = shadow.database or self._connection.execute("select current_schema()").fetchall()[0][0]
        name = f"{CATALOG}.{quoted(database)}.{quoted(shadow.name)}"
        self._files.forget()
        with self._told():
            self._define(query)
            try:
                # It may be read by the very statement, so what is shadowed goes only when the rows are there.
                self._interruptibly(lambda: self._connection.execute(f"create or replace temp table shadow as {sql}"))
                self._replace(database, shadow.name, name)
            finally:
                self._connection.execute("drop table if exists temp.main.shadow")
        self._defined.add((database.lower(), shadow.name.lower()))
        counted = self._connection.execute(f"select count(*) as rows from {name}").to_arrow_table()
        return Rows(counted.schema, iter(counted.to_batches()))

    def _replace(self, database: str, name: str, full_name: str) -> None:
        """Have the rows of `shadow` under a name: all of it or nothing, as what is shadowed goes."""
        self._connection.execute("begin")
        try:
            self._connection.execute(f"create schema if not exists {CATALOG}.{quoted(database)}")
            for kind in self._kinds(database, name):
                self._connection.execute(f"drop {kind} {full_name}")
            self._connection.execute(f"create table {full_name} as select * from temp.main.shadow")
        except BaseException:
            self._connection.execute("rollback")
            raise
        self._connection.execute("commit")

    def _kinds(self, database: str, name: str) -> list[str]:
        found = self._connection.execute(
            "select table_type from information_schema.tables"
            " where table_catalog = ? and lower(table_schema) = lower(?) and lower(table_name) = lower(?)",
            [CATALOG, database, name],
        ).fetchall()
        return ["view" if kind == "VIEW" else "table" for (kind,) in found]

    def _define(self, query: Query) -> None:
        """Have what the query names there.

        Raises:
            UnreadableTable: a table that it names is damaged.
        """
        for named in query.tables:
            for place in self._places(named):
                if self._define_at(place):
                    break
        for named in query.functions:
            # To compile one takes a good part of a second.
            if named.name.lower() in READING_TABLE_FUNCTIONS:
                continue
            if (function := self._functions.get(named.name.lower())) is not None:
                for table in function.inputs.values():
                    self._define_at(_place(table))
                self._connection.execute(function.duckdb_macro(CATALOG))
                self._called.add(named.name.lower())
                del self._functions[named.name.lower()]
        if query.reads_catalog:
            self._define_all()

    def _places(self, named: Named) -> list[Place]:
        """Where a name may be, in the order in which DuckDB looks there."""
        name, database, catalog = named.name.lower(), named.database.lower(), named.catalog.lower()
        if catalog not in ("", CATALOG):
            return []
        if database in ("", CATALOG):
            return [(of, name) for of in self._databases]
        return [(database, name)]

    def _define_at(self, place: Place) -> bool:
        """Have the table or view there, if there is one.

        Raises:
            UnreadableTable: it is damaged, or a table that it reads is.
        """
        if place in self._defined:
            return True
        if (view := self._view(place)) is not None:
            for table in view.inputs.values():
                self._define_at(_place(table))
            statement = view.duckdb_view(CATALOG)
        elif (newest := self._newest(place)) is not None:
            database, daily = place[0], place[1] + DAILY
            self._define_at((database, daily))
            key = ", ".join(map(quoted, newest.grain))
            statement = (
                f"create view {self._shown(place)} as select * from {self._shown((database, daily))} qualify"
                f" row_number() over (partition by {key} order by {quoted(newest.day_column)} desc) = 1"
            )
        else:
            stored = (place[0], place[1].removesuffix(DAILY))
            query = self._query(place if self._newest(stored) is None else stored)
            if query is None:
                return False
            statement = f"create view {self._shown(place)} as {query}"
        # A table that was damaged when all were asked for has a view that says so.
        self._connection.execute(statement.replace("create view", "create or replace view", 1))
        self._defined.add(place)
        return True

    def _query(self, place: Place) -> str | None:
        """The query of a stored table's rows; None where there is none.

        Raises:
            UnreadableTable: its log is damaged, or lists a file outside the table's folder.
        """
        if (location := self._locations.get(place)) is None:
            return None
        name = f"{location.parent.name}.{location.name}"
        log = open_delta(location, name)
        if log is None:
            return None
        columns = delta_columns(log)
        partitions = {c: columns[c] for c in log.metadata().partition_columns}
        table, folder = self._known.get(name), location.resolve()
        day_column = None if table is None else table.day_column
        prefix = f"{PROTOCOL}://{location.parent.name}/{location.name}"
        files = []
        for path, values, _rows, size in partition_values(log):
            real = (folder / path).resolve()
            if not real.is_relative_to(folder):
                raise UnreadableTable(
                    f"{name}: its log lists {path}, which is not in its folder {location}. Only data files of a "
                    "table's own folder are read; copy the table as a whole."
                )
            day = None if day_column is None else values.get(day_column)
            self._files.publish(f"{prefix}/{path}", PublishedFile(real, size, name, day))
            files.append((path, values))
        return select_files(columns, partitions, prefix, files)

    def _shown(self, place: Place) -> str:
        """The full name, in the letters of the folder, to which DuckDB is indifferent."""
        database, name = place
        if (location := self._locations.get((database, name.removesuffix(DAILY)))) is not None:
            name = location.name + name[len(location.name) :]
            database = location.parent.name
        return f"{CATALOG}.{quoted(database)}.{quoted(name)}"

    def _newest(self, place: Place) -> Table | None:
        """The declared table there, if its name shows the newest row of each key."""
        location = self._locations.get(place)
        table = None if location is None else self._known.get(f"{location.parent.name}.{location.name}")
        return table if table is not None and table.newest_in_sql else None

    def _has(self, inputs: Mapping[str, Table]) -> bool:
        return all(_place(table) in self._locations for table in inputs.values())

    def _define_all(self) -> None:
        """Have all tables and views there; one that is damaged says so when it is read."""
        daily = [(database, name + DAILY) for database, name in self._locations if self._newest((database, name))]
        views = [_place(view.table) for view in self._views.values() if self._has(view.inputs)]
        for place in [*daily, *self._locations, *views]:
            try:
                self._define_at(place)
            except (duckdb.Error, UnreadableTable) as error:
                told = str(self._why(error))
                self.unreadable[".".join(place)] = told
                self._connection.execute(
                    f"create or replace view {self._shown(place)} as select error({_text(told)})::varchar as damaged"
                )
                self._files.forget()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Tells what DuckDB stumbles over by table, day and file, where it is that."""
        try:
            yield
        except (duckdb.Error, OSError) as error:
            why = self._why(error)
            if why is error:
                raise
            raise why from error

    def _why(self, error: Exception) -> Exception:
        """The error that a person can act on. While rows are read, DuckDB's come as OSError."""
        if not isinstance(error, duckdb.Error | OSError):
            return error
        said = str(error)
        if self._files.damaged:
            return self._damaged(*self._files.damaged[0])
        if isinstance(error, duckdb.OutOfMemoryException) or said.startswith(OUT_OF_MEMORY):
            return WemartError(
                "the query needs more memory than WEMART_MEMORY_LIMIT gives it; such sessions never write to disk. "
                "Give it more, fewer WEMART_THREADS, or ask for fewer days, columns or groups."
            )
        if isinstance(error, duckdb.PermissionException):
            return QueryRefused(f"queries read the lake's tables, and nothing else: {said.splitlines()[0]}")
        if (file := self._files.named_in(said)) is not None:
            return self._damaged(file, f"cannot be read: {said.splitlines()[0]}")
        if not OF_THE_QUERY.match(said) and (found := self._files.unreadable()) is not None:
            return self._damaged(*found)
        return error if isinstance(error, duckdb.Error) else duckdb.Error(said)

    def _damaged(self, file: PublishedFile, what: str) -> UnreadableTable:
        if file.table not in self._known or file.day is None:
            cure = "Restore it, or have the table written anew."
        else:
            again = f"wemart run --from {file.day} --to {file.day} {file.table.replace('.', '/')}"
            cure = f"Make the day anew: {again}"
        of_day = "" if file.day is None else f" of {file.day}"
        return UnreadableTable(f"{file.table}: the data file{of_day} {file.path} {what}. {cure}")


def _text(literal: str) -> str:
    return "'" + literal.replace("'", "''") + "'"


def _place(table: Table) -> Place:
    return table.database.lower(), table.name.lower()
