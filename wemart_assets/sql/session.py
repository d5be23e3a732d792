"""An SQL session over the lake. Tables are looked up when a query names them, and rows are streamed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb
import pyarrow as pa

from wemart_assets.lake.delta import open_delta, partition_values, spark_columns
from wemart_assets.lake.duckdb_sql import DUCKDB_MACROS, duckdb_type, literal, quoted, select_files
from wemart_assets.lake.errors import StoreUnavailable, UnreadableTable, WemartError
from wemart_assets.lake.location import Location
from wemart_assets.sql.files import PROTOCOL, PublishedFile, PublishedFiles
from wemart_assets.sql.statements import READING_TABLE_FUNCTIONS, Named, Query, QueryRefused, Shadow, Wall

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from wemart_assets.lake.between import Between
    from wemart_assets.lake.table import Table
    from wemart_assets.lake.view import View

CATALOG = "wev_prod"
DAILY = "__daily"
BATCH_ROWS = 20_000
# In an object store, each table of the lake is looked at by a request of its own.
LISTED_AT_ONCE = 16
# With these settings nothing can be loaded, written or kept; all that a query needs stays in memory.
CLOSED = (
    "set enable_progress_bar = false",
    "set autoinstall_known_extensions = false",
    "set autoload_known_extensions = false",
    "set allow_community_extensions = false",
    "set allow_persistent_secrets = false",
    "set temp_directory = ''",
    # The operating system caches files already; a second copy would count as the query's memory.
    "set enable_external_file_cache = false",
    "set parquet_metadata_cache = true",
    f"set allowed_directories = ['{PROTOCOL}://']",
    "set enable_external_access = false",
    "set disabled_filesystems = 'LocalFileSystem'",
    "set lock_configuration = true",
)
# DuckDB's errors that are the query's fault; any other may be caused by a damaged file.
QUERY_ERRORS = re.compile(
    r"(Binder|Catalog|Constraint|Conversion|Dependency|Interrupt|Invalid|Not implemented|Out of Range|Parser|Permission"
    r"|Syntax|TransactionContext)",
    re.IGNORECASE,
)
OUT_OF_MEMORY = "Out of Memory Error"
# DuckDB misses an interruption that arrives before it has begun, so it is repeated.
INTERRUPTED_EVERY = 0.1

Place = tuple[str, str]
T = TypeVar("T")


@contextmanager
def analyst(
    lake: Path | str | Location,
    tables: Mapping[str, Table],
    views: Mapping[str, View] | None = None,
    functions: Iterable[Between] = (),
    memory_limit: str | None = None,
    threads: int | None = None,
) -> Iterator[Analyst]:
    """Opens a session over all tables of the lake; `tables` and `views` are the declared ones by full name.

    They are looked up when a query names them; `functions` are gone through once a query names a function that is not
    DuckDB's. Views and functions exist if the tables that they read do.

    Raises:
        WemartError: the lake has no table yet.
    """
    config: dict[str, Any] = {"python_enable_replacements": False}
    config |= {} if memory_limit is None else {"memory_limit": memory_limit}
    config |= {} if threads is None else {"threads": threads}
    with duckdb.connect(":memory:", config=config) as connection, ThreadPoolExecutor(1) as worker:
        yield Analyst(connection, worker, Location.of(lake), tables, {} if views is None else views, functions)


@contextmanager
def ctrl_c_as_such() -> Iterator[None]:
    """Raises KeyboardInterrupt for what DuckDB makes of it in a statement that the main thread executes."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error.__cause__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise


class Rows:
    """The streamed rows of a query: their `schema`, and batches that can be read once."""

    def __init__(self, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
        self.schema = schema
        self._batches = batches

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self._batches

    def read_all(self) -> pa.Table:
        return pa.Table.from_batches(self._batches, self.schema)


class Kind(Enum):
    """What a name stands for."""

    TABLE = "table"
    NEWEST = "newest rows of the table"
    VIEW = "view"
    SHADOW = "table of this session"
    FUNCTION = "function"


@dataclass(frozen=True)
class Entry:
    """A name that a query can read: its database, its name, and what a row is (None if it is not declared)."""

    database: str
    name: str
    description: str | None
    kind: Kind

    @property
    def full_name(self) -> str:
        return f"{self.database}.{self.name}"


@dataclass(frozen=True)
class Described:
    """A table or view as a query sees it.

    Attributes:
        columns: name, type and description of each; the description is None if there is none.
        grain: the columns that identify a row; empty if there are none, or if the table is not declared.
        days: the partitions with rows, oldest first; None for a view, and for a table without days.
    """

    entry: Entry
    columns: tuple[tuple[str, str, str | None], ...]
    grain: tuple[str, ...]
    days: tuple[str, ...] | None


class Analyst:
    """A DuckDB that sees only the lake's published rows, each table as of the query that first names it.

    After `refresh`, each table is as of the next query that names it.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        worker: Executor,
        lake: Location,
        tables: Mapping[str, Table],
        views: Mapping[str, View],
        functions: Iterable[Between],
    ) -> None:
        self._connection = connection
        self._worker = worker
        self._lake = lake
        self._tables = tables
        # The damaged tables met by a query that reads the catalog, and how they are damaged.
        self.unreadable: dict[str, str] = {}
        self._files = PublishedFiles()
        # Counts the statements: a result lasts until the next one.
        self._turn = 0
        connection.register_filesystem(self._files)
        connection.execute("set timezone = 'UTC'")
        connection.execute(f"attach ':memory:' as {CATALOG}")
        for macro in DUCKDB_MACROS:
            connection.execute(macro)
        self._views = views
        self._declared_functions = functions
        self._wall = Wall(connection, lambda name: self._function(name) is not None)
        # The functions that have been defined.
        self._called: set[str] = set()
        self._shadows: dict[Place, tuple[str, ...]] = {}
        self._defined: set[Place] = set()
        # The descriptions of the defined tables' columns, and the places where they are not yet comments in DuckDB.
        self._descriptions: dict[Place, dict[str, str]] = {}
        self._undescribed: set[Place] = set()
        self._list()
        if not self._stored:
            raise WemartError(f"the lake {lake} has no table yet; run some partitions, or `wemart demo`")
        for setting in CLOSED:
            connection.execute(setting)

    @property
    def shadows(self) -> Mapping[Place, tuple[str, ...]]:
        """The columns of what shadows a name in this session, by database and name in lower case."""
        return self._shadows

    def refresh(self) -> None:
        """Lets the next query see what has been published since. What shadows a name stays."""
        # All views are the lake's: a shadow is a table, whatever it was created as.
        views = self._connection.execute(
            "select schema_name, view_name from duckdb_views() where database_name = ?", [CATALOG]
        ).fetchall()
        for database, name in views:
            self._connection.execute(f"drop view if exists {CATALOG}.{quoted(database)}.{quoted(name)}")
        self._defined = set(self._shadows)
        self._undescribed = set()
        self._files.withdraw()
        self.unreadable = {}
        self._is_listed = False

    def _list(self) -> None:
        """Lists the lake's tables, and puts their databases on the search path."""
        self._stored = {(table.database.lower(), table.name.lower()): table for table in _stored_tables(self._lake)}
        databases = sorted({table.database for table in self._stored.values()})
        self._databases = list(dict.fromkeys(database.lower() for database in databases))
        for database in databases:
            self._connection.execute(f"create schema if not exists {CATALOG}.{quoted(database)}")
        if databases:
            path = ",".join(f"{CATALOG}.{quoted(database)}" for database in databases)
            self._connection.execute(f"use {CATALOG}.{quoted(databases[0])}")
            self._connection.execute(f"set search_path = {literal(path)}")
        self._is_listed = True

    def _list_again(self) -> bool:
        """Lists the tables if that has not been done since `refresh`, and returns whether it did."""
        if self._is_listed:
            return False
        self._list()
        return True

    @cached_property
    def _functions(self) -> dict[str, Between]:
        """The declared functions by lower-case name."""
        return {function.name.lower(): function for function in self._declared_functions}

    def _function(self, name: str) -> Between | None:
        """Returns the function of that name, if the tables that it reads are there."""
        function = self._functions.get(name)
        if function is None or not (self._has(function.inputs) or (self._list_again() and self._has(function.inputs))):
            return None
        return function

    def _view(self, place: Place) -> View | None:
        view = self._views.get(".".join(place))
        return view if view is not None and self._has(view.inputs) else None

    def run(self, sql: str) -> pa.Table:
        """Returns the rows of the last statement; those before it may shadow tables.

        Raises:
            QueryRefused: a statement does more than read or shadow.
            UnreadableTable: a table that a statement names is damaged.
            WemartError: the session's memory is not enough.
            duckdb.Error: the SQL is wrong.
        """
        return self.stream(sql).read_all()

    def stream(self, sql: str) -> Rows:
        """Like `run`, but streams the rows, which must be read before the next query. Reading may raise the same."""
        self._turn += 1
        statements = self._wall.statements(sql)
        if not statements:
            raise QueryRefused("the query is empty")
        rows = Rows(pa.schema([]), iter(()))
        for statement in statements:
            for _batch in rows:
                pass
            rows = self._shadow(statement) if isinstance(statement, Shadow) else self._rows(statement)
        return rows

    def _rows(self, query: Query) -> Rows:
        self._files.forget()
        with self._explained():
            self._define(query)
            sql = query.sql if query.described is None else self._description(query.described) or query.sql
            reader = self._interruptibly(lambda: self._connection.execute(sql).to_arrow_reader(BATCH_ROWS))
        self._turn += 1
        turn = self._turn

        def batches() -> Iterator[pa.RecordBatch]:
            while True:
                if self._turn != turn:
                    raise AssertionError("rows of one query are read after another began")
                with self._explained():
                    try:
                        batch = self._interruptibly(reader.read_next_batch)
                    except StopIteration:
                        return
                yield batch

        return Rows(reader.schema, batches())

    def _interruptibly(self, call: Callable[[], T]) -> T:
        """Makes the call in another thread: DuckDB would not notice Ctrl-C while it works."""
        future = self._worker.submit(call)
        try:
            return future.result()
        except KeyboardInterrupt:
            while not future.done():
                self._connection.interrupt()
                wait([future], INTERRUPTED_EVERY)
            raise

    def _shadow(self, shadow: Shadow) -> Rows:
        query, sql = shadow.query, shadow.query.sql
        if shadow.columns:
            sql = f"select * from ({sql}\n) as shadow({', '.join(map(quoted, shadow.columns))})"
        database = shadow.database or self._connection.execute("select current_schema()").fetchall()[0][0]
        name = f"{CATALOG}.{quoted(database)}.{quoted(shadow.name)}"
        self._files.forget()
        with self._explained():
            self._define(query)
            try:
                # The statement may read what it shadows, so that is dropped only once the rows are complete.
                self._interruptibly(lambda: self._connection.execute(f"create or replace temp table shadow as {sql}"))
                self._replace(database, shadow.name, name)
            finally:
                self._connection.execute("drop table if exists temp.main.shadow")
        place = (database.lower(), shadow.name.lower())
        columns = self._connection.execute(f"select * from {name} limit 0").description
        self._shadows[place] = tuple(column for column, *_kind in columns)
        self._defined.add(place)
        self._descriptions[place] = {}
        counted = self._connection.execute(f"select count(*) as rows from {name}").to_arrow_table()
        return Rows(counted.schema, iter(counted.to_batches()))

    def _replace(self, database: str, name: str, full_name: str) -> None:
        """Replaces what has this name by the rows of the table `shadow`, completely or not at all."""
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
        rows = self._connection.execute(
            "select table_type from information_schema.tables"
            " where table_catalog = ? and lower(table_schema) = lower(?) and lower(table_name) = lower(?)",
            [CATALOG, database, name],
        ).fetchall()
        return ["view" if kind == "VIEW" else "table" for (kind,) in rows]

    def _define(self, query: Query) -> None:
        """Defines the tables, views and functions that the query names.

        Raises:
            UnreadableTable: a table that it names is damaged.
        """
        for named in query.tables:
            if self._define_named(named) is None and self._list_again():
                self._define_named(named)
        for named in query.functions:
            name = named.name.lower()
            # Ours are looked up last: preparing them takes a good part of a second.
            if name in READING_TABLE_FUNCTIONS or (function := self._function(name)) is None:
                continue
            for table in function.inputs.values():
                self._define_at(_place(table))
            if name not in self._called:
                self._connection.execute(function.duckdb_macro(CATALOG))
                self._called.add(name)
        if query.reads_catalog:
            self._list_again()
            self._define_all()
        if query.reads_catalog or query.described is not None:
            self._describe_columns()

    def _describe_columns(self) -> None:
        """Makes the descriptions of the defined tables' columns DuckDB's comments."""
        for place in self._undescribed:
            comments = "".join(
                f"comment on column {self._shown(place)}.{quoted(column)} is {literal(description)};"
                for column, description in self._descriptions[place].items()
            )
            try:
                self._connection.execute(f"begin;{comments}commit")
            except BaseException:
                # Ctrl-C may leave the transaction open, in which nothing more could be defined.
                with suppress(duckdb.TransactionException):
                    self._connection.execute("rollback")
                raise
        self._undescribed = set()

    def _description(self, described: Named) -> str | None:
        """Returns the query for what DESCRIBE shows, with descriptions; None if the catalog has no such name."""
        place = next((place for place in self._places(described) if place in self._defined), None)
        if place is None:
            return None
        database, name = map(literal, place)
        return (
            "select column_name, data_type as column_type, if(is_nullable, 'YES', 'NO') as \"null\","
            ' null::varchar as key, column_default as "default", null::varchar as extra, comment as description'
            " from duckdb_columns()"
            f" where database_name = '{CATALOG}' and lower(schema_name) = {database} and lower(table_name) = {name}"
            " order by column_index"
        )

    def _define_named(self, named: Named) -> Place | None:
        """Defines the table or view that a query names; returns its place, or None if there is none."""
        return next((place for place in self._places(named) if self._define_at(place)), None)

    def names(self) -> list[Entry]:
        """Returns everything that a query can read, by name, without opening a table."""
        self._list_again()
        places = {place for place in self._stored if place not in self._shadows} | {*self._shadows}
        places |= {(database, name + DAILY) for database, name in self._stored if self._newest((database, name))}
        places |= {_place(view.table) for view in self._views.values() if self._has(view.inputs)}
        return sorted(map(self._entry, places), key=lambda entry: (entry.database, entry.name))

    def _entry(self, place: Place) -> Entry:
        """Returns what is declared of the name at a place where there is one."""
        if place in self._shadows:
            return Entry(*place, None, Kind.SHADOW)
        if (view := self._view(place)) is not None:
            return Entry(view.table.database, view.table.name, view.table.description, Kind.VIEW)
        if (newest := self._newest(place)) is not None:
            return Entry(newest.database, newest.name, f"{newest.description} The newest row of each key.", Kind.NEWEST)
        stored = self._stored_at(place)
        table = self._tables.get(stored.full_name)
        name = stored.name + place[1][len(stored.name) :]
        return Entry(stored.database, name, None if table is None else table.description, Kind.TABLE)

    def _stored_at(self, place: Place) -> _Stored:
        """Returns the stored table of a place, or the one whose partitions it shows."""
        return self._stored[place] if place in self._stored else self._stored[place[0], place[1].removesuffix(DAILY)]

    def functions(self) -> list[Entry]:
        """Returns the table functions over a range of days, by name."""
        found = [
            Entry(of.mart.table.database, of.name, of.mart.table.description, Kind.FUNCTION)
            for name, of in self._functions.items()
            if self._function(name) is not None
        ]
        return sorted(found, key=lambda entry: (entry.database, entry.name))

    def describe(self, database: str, name: str) -> Described | None:
        """Returns what is known of a table or view; None if nothing has that name.

        Raises:
            UnreadableTable: the table is damaged, or one that the view reads is.
        """
        self._files.forget()
        with self._explained():
            return self._describe(database, name)

    def _describe(self, database: str, name: str) -> Described | None:
        named = Named(name, database)
        if (place := self._define_named(named)) is None and not (
            self._list_again() and (place := self._define_named(named)) is not None
        ):
            return None
        assert place is not None
        self._describe_columns()
        query = self._description(Named(place[1], place[0]))
        rows = self._connection.execute(f"select column_name, column_type, description from ({query})").fetchall()
        entry = self._entry(place)
        columns = tuple((column, kind.lower(), description) for column, kind, description in rows)
        if entry.kind is Kind.SHADOW:
            return Described(entry, columns, (), None)
        if (view := self._view(place)) is not None:
            return Described(entry, columns, view.table.grain, None)
        stored = self._stored_at(place)
        table, log = self._tables.get(stored.full_name), open_delta(stored.location, stored.full_name)
        if table is None or log is None:
            return Described(entry, columns, (), None)
        grain = (*table.grain, table.day_column) if table.newest_in_sql and entry.kind is Kind.TABLE else table.grain
        days = {file.partition.get(table.day_column) or "" for file in partition_values(log)}
        return Described(
            entry,
            columns,
            tuple(dict.fromkeys(grain)),
            None if table.only_partition is not None else tuple(sorted(days)),
        )

    def _places(self, named: Named) -> list[Place]:
        """Returns the places where a name may be, in the order in which DuckDB looks."""
        name, database, catalog = named.name.lower(), named.database.lower(), named.catalog.lower()
        if catalog not in ("", CATALOG):
            return []
        if database in ("", CATALOG):
            return [(place, name) for place in self._databases]
        return [(database, name)]

    def _define_at(self, place: Place) -> bool:
        """Defines the table or view at a place; returns whether there is one.

        Raises:
            UnreadableTable: it is damaged, or a table that it reads is.
        """
        if place in self._defined:
            return True
        if (view := self._view(place)) is not None:
            for table in view.inputs.values():
                self._define_at(_place(table))
            statement = view.duckdb_view(CATALOG)
            descriptions = {column.name: column.description for column in view.table.columns}
        elif (newest := self._newest(place)) is not None:
            database, daily = place[0], place[1] + DAILY
            self._define_at((database, daily))
            # None if a shadow has the name.
            descriptions = self._descriptions.get((database, daily), {})
            key = ", ".join(map(quoted, newest.grain))
            statement = (
                f"create view {self._shown(place)} as select * from {self._shown((database, daily))} qualify"
                f" row_number() over (partition by {key} order by {quoted(newest.day_column)} desc) = 1"
            )
        else:
            without_daily = (place[0], place[1].removesuffix(DAILY))
            place_of_log = place if self._newest(without_daily) is None else without_daily
            if (log := self._log(place_of_log)) is None:
                return False
            statement = f"create view {self._shown(place)} as {self._query(place_of_log, log)}"
            descriptions = self._described_in(log, self._stored[place_of_log].full_name)
        # A query of the catalog may have left a view that reports the table as damaged.
        self._connection.execute(statement.replace("create view", "create or replace view", 1))
        self._descriptions[place] = descriptions
        self._undescribed.add(place)
        self._defined.add(place)
        return True

    def _described_in(self, log: DeltaTable, name: str) -> dict[str, str]:
        """Returns the descriptions of the columns that are read: the log's, or those declared if it has none."""
        columns = spark_columns(log)
        described = {field.name: field.metadata.get("comment") for field in log.schema().fields}
        if not any(described.values()) and (table := self._tables.get(name)) is not None:
            described = {column.name: column.description for column in table.columns}
        # A NUL would end the statement that makes it a comment.
        return {column: str(text).replace("\0", " ") for column in columns if (text := described.get(column))}

    def _log(self, place: Place) -> DeltaTable | None:
        """Returns the log of the table stored at the place; None if there is none.

        Raises:
            UnreadableTable: it is damaged.
        """
        stored = self._stored.get(place)
        return None if stored is None else open_delta(stored.location, stored.full_name)

    def _query(self, place: Place, log: DeltaTable) -> str:
        """Returns the query for a stored table's rows.

        Raises:
            UnreadableTable: its log lists a file outside the table's folder.
        """
        stored = self._stored[place]
        location, name = stored.location, stored.full_name
        columns = {column: duckdb_type(kind) for column, kind in spark_columns(log).items()}
        partitions = {c: columns[c] for c in log.metadata().partition_columns}
        table = self._tables.get(name)
        day_column = None if table is None else table.day_column
        prefix = f"{PROTOCOL}://{name.replace('.', '/')}"
        files = []
        for file in partition_values(log):
            if not _is_inside(location, file.path):
                raise UnreadableTable(
                    f"{name}: its log lists {file.path}, which is not in its folder {location}. Only data files in a "
                    "table's own folder are read; copy the whole table there."
                )
            day = None if day_column is None else file.partition.get(day_column)
            self._files.publish(f"{prefix}/{file.path}", PublishedFile(location, file.path, file.bytes, name, day))
            files.append((file.path, file.partition))
        return select_files(columns, partitions, prefix, files)

    def _shown(self, place: Place) -> str:
        """Returns the full name in the letter case of the folder; DuckDB ignores case."""
        database, name = place
        if (stored := self._stored.get((database, name.removesuffix(DAILY)))) is not None:
            name = stored.name + name[len(stored.name) :]
            database = stored.database
        return f"{CATALOG}.{quoted(database)}.{quoted(name)}"

    def _newest(self, place: Place) -> Table | None:
        """Returns the declared table at a place if its name shows the newest row of each key."""
        stored = self._stored.get(place)
        table = None if stored is None else self._tables.get(stored.full_name)
        return table if table is not None and table.newest_in_sql else None

    def _has(self, inputs: Mapping[str, Table]) -> bool:
        return all(_place(table) in self._stored for table in inputs.values())

    def _define_all(self) -> None:
        """Defines all tables and views; a damaged one reports it when it is read."""
        daily = [(database, name + DAILY) for database, name in self._stored if self._newest((database, name))]
        views = [_place(view.table) for view in self._views.values() if self._has(view.inputs)]
        for place in [*daily, *self._stored, *views]:
            try:
                self._define_at(place)
            except (duckdb.Error, UnreadableTable) as error:
                reason = str(self._explain(error))
                self.unreadable[".".join(place)] = reason
                damaged = f"select error({literal(reason)})::varchar as damaged"
                self._connection.execute(f"create or replace view {self._shown(place)} as {damaged}")
                self._files.forget()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Raises DuckDB's errors as errors that name the table, day and file, if a file is the cause."""
        try:
            yield
        except (duckdb.Error, OSError) as error:
            explained = self._explain(error)
            if explained is error:
                raise
            raise explained from error

    def _explain(self, error: Exception) -> Exception:
        """Returns an error that the user can act on. DuckDB's errors arrive as OSError while rows are read."""
        if not isinstance(error, duckdb.Error | OSError) or isinstance(error, StoreUnavailable):
            return error
        if self._files.unavailable is not None:
            return self._files.unavailable
        message = str(error)
        if self._files.damaged:
            return self._damaged(*self._files.damaged[0])
        if isinstance(error, duckdb.OutOfMemoryException) or message.startswith(OUT_OF_MEMORY):
            return WemartError(
                "the query needs more memory than WEMART_MEMORY_LIMIT allows; SQL sessions never write to disk. "
                "Raise it, lower WEMART_THREADS, or query fewer days, columns or groups."
            )
        if isinstance(error, duckdb.PermissionException):
            return QueryRefused(f"queries can only read the lake's tables: {message.splitlines()[0]}")
        if (file := self._files.named_in(message)) is not None:
            return self._damaged(file, f"cannot be read: {message.splitlines()[0]}")
        if not QUERY_ERRORS.match(message) and (damage := self._files.unreadable()) is not None:
            return self._damaged(*damage)
        return error if isinstance(error, duckdb.Error) else duckdb.Error(message)

    def _damaged(self, file: PublishedFile, problem: str) -> UnreadableTable:
        if file.table not in self._tables or file.day is None:
            remedy = "Restore the file or rebuild the table."
        else:
            command = f"wemart run --from {file.day} --to {file.day} {file.table.replace('.', '/')}"
            remedy = f"Rebuild the day: {command}"
        day = "" if file.day is None else f" of {file.day}"
        return UnreadableTable(f"{file.table}: the data file{day} {file.location / file.path} {problem}. {remedy}")


@dataclass(frozen=True)
class _Stored:
    """A table of the lake, with its names in the letter case of its folders."""

    location: Location
    database: str
    name: str

    @property
    def full_name(self) -> str:
        return f"{self.database}.{self.name}"


def _stored_tables(lake: Location) -> list[_Stored]:
    """The folders `<database>/<table>` that have a log."""
    found = [
        _Stored(lake / database / name, database, name)
        for database in lake.folders()
        for name in (lake / database).folders()
    ]
    with ThreadPoolExecutor(LISTED_AT_ONCE) as pool:
        has_log = pool.map(lambda table: "_delta_log" in table.location.folders(), found)
        return [table for table, is_table in zip(found, has_log, strict=True) if is_table]


def _is_inside(location: Location, path: str) -> bool:
    """Whether a path of a log leads to a place in the table's own folder."""
    if location.is_local:
        folder = location.path.resolve()
        return (folder / path).resolve().is_relative_to(folder)
    return "://" not in path and not path.startswith("/") and ".." not in path.split("/")


def _place(table: Table) -> Place:
    return table.database.lower(), table.name.lower()
