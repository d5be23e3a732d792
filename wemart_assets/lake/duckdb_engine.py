"""DuckDB as an engine: an in-memory database for each step, which writes Parquet by `COPY`."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import ibis
import ibis.expr.types as ir
from sqlglot import exp

from wemart_assets.lake.delta import DataFile
from wemart_assets.lake.duckdb_sql import (
    DUCKDB_MACROS,
    duckdb_type,
    exactly,
    literal,
    quoted,
    select_files,
)
from wemart_assets.lake.duckdb_storage import reach
from wemart_assets.lake.engine import (
    FAULT,
    PATH,
    RAW,
    TEXT,
    FileFormat,
    FileKind,
    Staged,
    foreign_days,
    unknown_partition,
)
from wemart_assets.lake.errors import LandingError, UnreadableFile
from wemart_assets.lake.faults import raise_fault
from wemart_assets.lake.location import Location
from wemart_assets.lake.store import Baseline, Snapshot
from wemart_assets.lake.table import Table

if TYPE_CHECKING:
    # It brings along ibis' compilers of all engines; a session loads it.
    from ibis.backends.duckdb import Backend

# Alias of a row in a query over landing files, which cannot clash with a column.
ROW = "__wemart_row"
# Raised for an expression of `sources.yaml` that does not fit the columns of a file.
EXPRESSION_ERRORS = (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException)
# NULL in the name of a Hive-style folder.
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
# Partitions that one run writes at the same time, for example communities times days.
OPEN_PARTITIONS = 1_000
# Longer strings cost more space in the log than skipping files by them saves.
LONGEST_STRING_STATISTIC = 64


class DuckDBEngine:
    """Opens an in-memory DuckDB for each step; steps share nothing but the lake.

    `memory_limit`, `threads` (all cores if None) and the `spill` folder apply to one step. `reaches` are the places
    that steps read and write; object stores among them are made accessible. With `offline` nothing is downloaded.
    """

    def __init__(
        self,
        memory_limit: str,
        threads: int | None,
        spill: Path,
        reaches: Sequence[Location] = (),
        offline: bool = False,
    ) -> None:
        config: dict[str, Any] = {
            "memory_limit": memory_limit,
            "temp_directory": str(spill.absolute()),
            # Rows of a table have no order, and preserving one costs memory in COPY.
            "preserve_insertion_order": False,
            # Extensions are loaded here on purpose, or not at all.
            "autoinstall_known_extensions": False,
        }
        # If too many partitions are open, DuckDB closes one and later continues it in a second file.
        config["partitioned_write_max_open_files"] = OPEN_PARTITIONS
        if threads is not None:
            config["threads"] = threads
        self._config = config
        self._reaches, self._offline = reaches, offline

    @contextmanager
    def connect(self) -> Iterator[DuckDBConnection]:
        # Loaded here, because it brings Dagster along, which commands that only read do without.
        from dagster_duckdb import DuckDBResource

        with DuckDBResource(database=":memory:", connection_config=self._config).get_connection() as connection:
            reach(connection, self._reaches, self._offline)
            yield DuckDBConnection(connection)

    @contextmanager
    def connect_without_dagster(self) -> Iterator[DuckDBConnection]:
        """The same connection for a command outside of Dagster."""
        with duckdb.connect(":memory:", config=self._config) as connection:
            reach(connection, self._reaches, self._offline)
            yield DuckDBConnection(connection)


class DuckDBConnection:
    """One connection, on which the lake's SQL functions are defined."""

    # For damaged Parquet DuckDB may raise the base class of its errors, or return text that is not valid UTF-8.
    failures: tuple[type[Exception], ...] = (duckdb.Error, UnicodeDecodeError)
    mismatches: tuple[type[Exception], ...] = (duckdb.Error,)

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.raw = connection
        self.raw.execute("set timezone = 'UTC'")
        [[spill]] = self.raw.execute("select current_setting('temp_directory')").fetchall()
        self.spill: Path | None = Path(spill)
        for macro in DUCKDB_MACROS:
            self.raw.execute(macro)
        self.ibis: Backend = ibis.duckdb.from_connection(connection)
        # Where the files of staged rows are, by the name of their view.
        self._staged: dict[str, Location] = {}

    def read(self, snapshot: Snapshot) -> ir.Table:
        # The snapshot's files are those of the days.
        assert isinstance(snapshot.address, Location)
        return self._view(snapshot.columns, snapshot.partition_by, snapshot.address, snapshot.files)

    def select(self, rows: ir.Table, values: Mapping[str, tuple[str, str]]) -> ir.Table:
        selected = [f"cast({sql} as {duckdb_type(kind)}) as {quoted(name)}" for name, (sql, kind) in values.items()]
        return self._named_view(f"select {', '.join(selected)} from ({self._streamed(rows)})")

    def file_columns(self, path: str, form: FileFormat) -> dict[str, bool]:
        reader = _reader([path], form)
        with _landing_errors(path):
            if form.kind is FileKind.JSONL:
                keys = f"select distinct unnest(json_keys(json)) from {reader}"
                is_object = "coalesce(is_json(json::varchar) and json_type(json) = 'OBJECT', false)"
                [(broken,)] = self.raw.execute(f"select count(*) from {reader} where not {is_object}").fetchall()
                if broken:
                    raise UnreadableFile(f"landing file {path} cannot be read: {broken} lines are not JSON objects")
                return {name: True for (name,) in sorted(self.raw.execute(keys).fetchall())}
            described = self.raw.execute(f"describe select * from {reader}").fetchall()
            schema = f"select name from parquet_schema({literal(exactly(path))}) where logical_type = 'NullType()'"
            untyped = {name for (name,) in self.raw.execute(schema).fetchall()}
        return {name: name not in untyped for name, *_ in described if name != PATH}

    def scan(
        self, paths: Sequence[str], form: FileFormat, columns: Sequence[str], expressions: Mapping[str, str]
    ) -> ir.Table:
        raw, fault = f"{ROW}.{RAW}" if form.is_copy else "json::varchar", "null::varchar"
        if form.kind is FileKind.JSONL:
            document = TEXT if form.is_copy else "json"
            fields = [f"json_extract_string({document}, {literal(_json_path(c))}) as {quoted(c)}" for c in columns]
        else:
            fields = [f"{ROW}.{quoted(c)}" for c in columns]
            if not form.is_copy:
                # The path is not part of the row: a row looks the same wherever its file lies.
                raw = f"""json_merge_patch(to_json({ROW}), '{{"{PATH}": null}}')::varchar"""
        if form.is_copy:
            fault = f"{ROW}.{FAULT}"
        fields += [f"{raw} as {RAW}", f"{fault} as {FAULT}", PATH]
        rows = f"select {', '.join(fields)} from {_reader(paths, form)} as {ROW}"
        values = [f"{sql} as {quoted(c)}" for c, sql in expressions.items()]
        values += [f"{RAW} as _raw", f"{FAULT} as _fault", f"{PATH} as _file"]
        with _landing_errors(", ".join(paths[:3])):
            return self._named_view(f"select {', '.join(values)} from ({rows})")

    def named(self, rows: ir.Table) -> ir.Table:
        return self._named_view(self._streamed(rows))

    def stage(
        self, table: Table, rows: ir.Table, days: Sequence[str], baseline: Baseline, destination: Location | None
    ) -> Staged:
        location = destination
        assert location is not None, "DuckDB writes files"
        # ibis types a sum of integers as an integer; in DuckDB it is a HUGEINT, which COPY writes as a double.
        typed = ", ".join(f"cast({quoted(c.name)} as {duckdb_type(c.type)}) as {quoted(c.name)}" for c in table.columns)
        query = f"select {typed} from ({self._streamed(table.conform(rows))})"
        written = self._write(table, query, days, location)
        files = tuple(
            DataFile(
                path=path.removeprefix(f"{location}/"),
                partition={c: keys[c] for c in table.partition_by},
                rows=count,
                bytes=size,
                stats=_statistics(table, count, statistics),
            )
            for path, count, size, _footer, statistics, keys in written
        )
        null_columns = [c for c in table.partition_by if any(f.partition[c] in (None, HIVE_NULL) for f in files)]
        foreign = sorted({str(f.partition[table.day_column]) for f in files} - set(days))
        if foreign or null_columns:
            location.delete(file.path for file in files)
            if foreign:
                raise foreign_days(table, days, ", ".join(foreign).replace(HIVE_NULL, "NULL"))
            raise unknown_partition(table, null_columns)
        counts = Counter[str]()
        for file in files:
            counts[str(file.partition[table.day_column])] += file.rows
        columns = {c.name: c.type for c in table.columns}
        view = self._view(columns, table.partition_by, location, files)
        self._staged[view.get_name()] = location
        return Staged(table, tuple(days), view, counts, baseline, files)

    def _streamed(self, rows: ir.Table) -> str:
        """The query of `rows`, with shared subqueries inlined unless they aggregate.

        ibis writes a subquery that is used twice as a CTE, and DuckDB materializes CTEs: rows as wide as a log line
        would be spilled and read back. Over 10 million lines that takes 334 s, inlined 197 s.
        """
        query = self.ibis.compiler.to_sqlglot(rows)
        for shared in query.find_all(exp.CTE):
            if not shared.this.args.get("group"):
                shared.set("materialized", False)
        return str(query.sql(dialect=self.ibis.dialect, copy=False))

    def _write(self, table: Table, query: str, days: Sequence[str], location: Location) -> list[Any]:
        """Write the query's rows to Parquet files: (path, rows, bytes, footer bytes, statistics, partition values)."""
        run = uuid.uuid4().hex
        # Level 1 takes three quarters of the time of level 3, the default, for files of the same size.
        options = "format parquet, compression zstd, compression_level 1, return_stats"
        if list(table.partition_by) != [table.day_column] or len(days) > 1:
            partitions = ", ".join(map(quoted, table.partition_by))
            try:
                return self.raw.execute(
                    f"copy ({query}) to {literal(location.url)} ({options}, partition_by ({partitions}),"
                    f" filename_pattern '{run}-{{i}}', overwrite_or_ignore)"
                ).fetchall()
            except BaseException:
                self._sweep(location, run)
                raise
        # For a single partition, a plain file takes two thirds of the time of a partitioned write and is smaller.
        day, folder = quoted(table.day_column), location / f"{table.day_column}={days[0]}"
        name = f"{run}-0.parquet"
        if folder.is_local:
            folder.path.mkdir(exist_ok=True)
        checked = f"case when {day} = {literal(days[0])} then true else error('{run} ' || coalesce({day}, 'NULL')) end"
        try:
            written = self.raw.execute(
                f"copy (select * exclude ({day}) from ({query}) where {checked})"
                f" to {literal(f'{folder}/{name}')} ({options})"
            ).fetchall()
        except BaseException as error:
            self._sweep(folder, run)
            _, is_foreign, foreign = str(error).partition(f"{run} ")
            if not is_foreign:
                raise
            raise foreign_days(table, days, foreign.strip()) from error
        if written[0][1] == 0:
            folder.delete([name])
            return []
        return [(*written[0][:5], {table.day_column: days[0]})]

    def discard(self, staged: Staged) -> None:
        location = self._staged.pop(staged.rows.get_name(), None)
        if location is not None:
            # The reason for it has to be told, even if the object store cannot be reached; `wemart vacuum` comes later.
            with suppress(OSError):
                location.delete(file.path for file in staged.files)

    def release(self, staged: Staged) -> None:
        self._staged.pop(staged.rows.get_name(), None)

    def _sweep(self, location: Location, run: str) -> None:
        """Remove what a failed COPY has left, as far as that is possible: the failure is what has to be told."""
        with suppress(OSError):
            location.delete(file.path for file in list(location.files()) if f"{run}-" in file.path)

    def _view(
        self, columns: Mapping[str, str], partition_by: Sequence[str], location: Location, files: Sequence[DataFile]
    ) -> ir.Table:
        types = {name: duckdb_type(kind) for name, kind in columns.items()}
        partitions = {name: types[name] for name in partition_by}
        paths = [(file.path, file.partition) for file in files]
        return self._named_view(select_files(types, partitions, location.url, paths))

    def _named_view(self, query: str) -> ir.Table:
        name = f"rows_{uuid.uuid4().hex}"
        self.raw.execute(f"create temp view {name} as {query}")
        return self.ibis.table(name, database=("temp", "main"))


def _reader(paths: Sequence[str], form: FileFormat) -> str:
    """SQL that reads landing files, with every option given so that DuckDB detects nothing by itself."""
    files = f"[{', '.join(literal(exactly(path)) for path in paths)}]"
    if form.is_copy:
        return f"read_parquet({files}, hive_partitioning = false)"
    if form.kind is FileKind.PARQUET:
        return f"read_parquet({files}, filename = '{PATH}', hive_partitioning = false, union_by_name = true)"
    options = (
        f"filename = '{PATH}', hive_partitioning = false, compression = '{'gzip' if form.gzipped else 'uncompressed'}'"
    )
    if form.kind is FileKind.JSONL:
        return f"read_ndjson_objects({files}, {options})"
    names = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in form.names)
    options += f", auto_detect = false, columns = {{{names}}}, header = {form.has_header}, skip = 0"
    quote = "" if form.kind is FileKind.TEXT else '"'
    options += f", delim = {literal(form.delimiter)}, quote = '{quote}', escape = '{quote}', comment = ''"
    options += ", strict_mode = true"
    options += ", null_padding = false, ignore_errors = false, encoding = 'utf-8', max_line_size = 4194304"
    options += f", nullstr = {literal(form.null or '')}, allow_quoted_nulls = true"
    return f"read_csv({files}, {options})"


@contextmanager
def _landing_errors(paths: str) -> Iterator[None]:
    try:
        yield
    except (duckdb.Error, UnicodeDecodeError) as error:
        raise_fault(f"reading {paths}", error)
        reason = " ".join(str(error).split("\n\n")[0].split())
        kind = LandingError if isinstance(error, EXPRESSION_ERRORS) else UnreadableFile
        raise kind(f"landing file {paths} cannot be read: {reason}") from error


def _statistics(table: Table, rows: int, by_column: dict[str, dict[str, str]]) -> str:
    """Delta's file statistics, for the types whose text form in DuckDB's statistics is unambiguous."""
    kinds = {c.name: c.type for c in table.columns}
    least: dict[str, Any] = {}
    greatest: dict[str, Any] = {}
    nulls: dict[str, int] = {}
    for quoted_name, stats in by_column.items():
        name = quoted_name.strip('"')
        if "null_count" in stats:
            nulls[name] = int(stats["null_count"])
        if "min" not in stats or "max" not in stats:
            continue
        low, high = _statistic(kinds[name], stats["min"], up=False), _statistic(kinds[name], stats["max"], up=True)
        if low is not None and high is not None:
            least[name], greatest[name] = low, high
    file_stats = {"numRecords": rows, "minValues": least, "maxValues": greatest, "nullCount": nulls}
    # delta-rs misreads JSON escapes of characters above U+FFFF.
    return json.dumps(file_stats, ensure_ascii=False)


def _statistic(kind: str, text: str, up: bool) -> str | int | None:
    if kind in ("tinyint", "int", "bigint"):
        return int(text)
    if kind == "date":
        return text if len(text) == 10 and text[:4].isdigit() else None
    if kind == "timestamp":
        # Delta statistics have milliseconds: round outwards, so that every row lies within them.
        try:
            instant = datetime.fromisoformat(text)
            remainder = instant.microsecond % 1000
            instant += timedelta(microseconds=(1000 - remainder) if up and remainder else -remainder)
        except (ValueError, OverflowError):
            # Outside of Python's years 1 to 9999: without a statistic, the file is never skipped by this column.
            return None
        if instant.year < 1000:
            return None
        return instant.strftime("%Y-%m-%dT%H:%M:%S.") + f"{instant.microsecond // 1000:03d}Z"
    if kind == "string" and len(text) <= LONGEST_STRING_STATISTIC:
        return text
    return None


def _json_path(column: str) -> str:
    return '$."' + column.replace('"', '\\"') + '"'
