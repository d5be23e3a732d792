"""What a statement may be: an allow-list over DuckDB's own parse of it.

A statement's type says little: `from enable_logging(...)` is a SELECT to DuckDB, and EXPLAIN ANALYZE runs whatever
follows it. So only SELECTs pass, each as DuckDB's parser itself understands it, with every function in it looked up.
What else there is (EXPLAIN, `create view`, `create table ... as`, a PIVOT that finds its columns itself) is taken apart
until nothing but a SELECT is left, and is put together again from what passed.
"""

from __future__ import annotations

import difflib
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import duckdb
from duckdb import StatementType

from wemart_assets.lake.duckdb_sql import literal
from wemart_assets.lake.errors import WemartError

# fmt: off
READING_TABLE_FUNCTIONS = frozenset({
    "duckdb_columns", "duckdb_constraints", "duckdb_databases", "duckdb_dependencies", "duckdb_functions",
    "duckdb_indexes", "duckdb_keywords", "duckdb_memory", "duckdb_optimizers", "duckdb_schemas",
    "duckdb_sequences", "duckdb_settings", "duckdb_tables", "duckdb_types", "duckdb_variables", "duckdb_views",
    "generate_series", "histogram", "histogram_values", "icu_calendar_names", "json_each", "json_tree",
    "pg_timezone_names", "pragma_collations", "pragma_database_size", "pragma_platform", "pragma_show",
    "pragma_table_info", "pragma_user_agent", "pragma_version", "range", "repeat", "repeat_row", "summary",
    "test_all_types", "unnest",
})
# fmt: on
# Functions that DuckDB calls volatile, because each call is another or because it fails on purpose.
# fmt: off
READING_VOLATILE = frozenset({
    "current_connection_id", "current_query", "current_query_id", "current_transaction_id", "error",
    "gen_random_uuid", "random", "setseed", "stats", "uuid", "uuidv4", "uuidv7",
})
# fmt: on
# It plans the SQL in a text, which nobody has looked at.
REFUSED_FUNCTIONS = frozenset({"json_serialize_plan"})
# Functions that the binder knows and no catalog lists.
OF_THE_BINDER = frozenset({"grouping", "grouping_id", "unlist", "unnest"})
SYSTEM_SCHEMAS = frozenset({"information_schema", "pg_catalog"})
SYSTEM_NAMES = re.compile(r"(duckdb|pragma|sqlite|pg)_", re.IGNORECASE)
EXPLAIN = re.compile(
    r"\s*(analyze\b|\(\s*analyze\s*\)|\(\s*(?:analyze\s*,\s*)?format\s+\w+\s*(?:,\s*analyze\s*)?\))?", re.IGNORECASE
)
ENDS_OF_ON = frozenset({"using", "group", "order", "limit", "offset", "union", "intersect", "except"})
# As deep as DuckDB itself lets expressions nest (1,000), a few levels of JSON each.
DEEPEST_PARSE = 20_000


class QueryRefused(WemartError):
    """A statement would write, or reach outside of the lake."""


@dataclass(frozen=True)
class Named:
    """A table or table function as a query names it; what it does not say is empty."""

    name: str
    database: str = ""
    catalog: str = ""


@dataclass(frozen=True)
class Query:
    """A SELECT that only reads, with the tables and table functions in it, or EXPLAIN of one."""

    sql: str
    tables: frozenset[Named]
    functions: frozenset[Named]
    reads_catalog: bool


@dataclass(frozen=True)
class Shadow:
    """`create view` or `create table ... as`, which shadows a name for the session."""

    database: str
    name: str
    columns: tuple[str, ...]
    query: Query


Statement = Query | Shadow


class Wall:
    """Takes SQL apart into statements that only read.

    `is_ours` says of a name in small letters whether it is one of our table functions, which are defined when a query
    names them.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, is_ours: Callable[[str], bool]) -> None:
        self._connection = connection
        self._is_ours = is_ours

    def statements(self, sql: str) -> list[Statement]:
        """The statements of the text, all of them looked at.

        Raises:
            QueryRefused: one of them is none that only reads or shadows.
            duckdb.Error: one cannot be parsed.
        """
        if "\0" in sql:
            # DuckDB's parser sees no further.
            raise QueryRefused("the query has a NUL character in it")
        return [self._statement(text) for text in _split(sql)]

    def query(self, text: str) -> Query:
        """The one SELECT that the text is.

        Raises:
            QueryRefused: it is something else, or calls a function that does more than to read.
            duckdb.Error: it cannot be parsed.
        """
        statements = self._connection.extract_statements(text)
        if len(statements) > 1 and not any(statement.query for statement in statements):
            # For a PIVOT that finds its columns itself, DuckDB makes types of them first. Nothing else is like that.
            statements = self._connection.extract_statements(_with_columns(text))
            if len(statements) != 1:
                raise QueryRefused("this PIVOT needs its columns: `pivot ... on column in (...)`")
            return replace(self._select(statements[0]), sql=text)
        if len(statements) != 1:
            raise QueryRefused("a query is one statement here")
        return self._select(statements[0])

    def _statement(self, text: str) -> Statement:
        tokens = _tokens(text)
        match _word(text, tokens, 0):
            case "explain":
                after = text.encode()[tokens[0][0] + len("explain") :].decode()
                options = EXPLAIN.match(after)
                assert options is not None
                inner = self.query(after[options.end() :])
                sql = f"explain {options[1] or ''} {inner.sql}"
                if [s.type for s in self._connection.extract_statements(sql)] != [StatementType.EXPLAIN]:
                    raise QueryRefused("this EXPLAIN is not for here; that of a PIVOT needs its columns: `in (...)`")
                return replace(inner, sql=sql)
            case "create":
                return self._shadow(text, tokens)
            case _:
                return self.query(text)

    def _select(self, statement: duckdb.Statement) -> Query:
        if statement.type != StatementType.SELECT:
            raise _refused(statement.type.name)
        sql = statement.query
        # As a literal: for any parameter, DuckDB's client imports pandas where it is installed.
        [(serialized,)] = self._connection.execute(f"select json_serialize_sql({literal(sql)})").fetchall()
        with _deep_recursion():
            parsed = json.loads(serialized)
        if parsed["error"] or len(parsed["statements"]) != 1:
            raise QueryRefused(f"this query is not for here: {parsed.get('error_message', 'more than one statement')}")
        found = _Found()
        found.walk(parsed["statements"])
        self._check_functions(found)
        return Query(sql, frozenset(found.tables), frozenset(found.table_functions), found.reads_catalog)

    def _check_functions(self, found: _Found) -> None:
        for function in sorted(found.table_functions, key=lambda named: named.name):
            name = function.name.lower()
            if name not in READING_TABLE_FUNCTIONS and not self._is_ours(name):
                raise QueryRefused(
                    f"the table function {function.name} is not for here: queries read the lake's tables, and nothing "
                    "else"
                )
        names = sorted(found.functions - OF_THE_BINDER)
        allowed = {
            name
            for name, volatile in self._connection.execute(
                "select lower(function_name), bool_or(coalesce(has_side_effects, false)) from duckdb_functions()"
                " where function_type in ('scalar', 'aggregate', 'macro') and lower(function_name) in"
                f" (select unnest([{', '.join(map(literal, names))}]::varchar[])) group by all"
            ).fetchall()
            if (not volatile or name in READING_VOLATILE) and name not in REFUSED_FUNCTIONS
        }
        if refused := [name for name in names if name not in allowed]:
            raise QueryRefused(self._no_function(refused[0]))

    def _no_function(self, name: str) -> str:
        listed = self._connection.execute(
            "select distinct function_name from duckdb_functions()"
            " where function_type in ('scalar', 'aggregate', 'macro')"
        ).fetchall()
        names = [function for (function,) in listed]
        if name in map(str.lower, names):
            return f"the function {name} is not for here: it does more than to read"
        near = difflib.get_close_matches(name, names)
        return f"there is no function {name}" + (f"; did you mean {' or '.join(near)}?" if near else "")

    def _shadow(self, text: str, tokens: list[tuple[int, str]]) -> Shadow:
        # Nothing but a shadow needs it.
        import sqlglot
        from sqlglot import exp
        from sqlglot.errors import SqlglotError

        only = "only `create table ... as` and `create view ... as` are for here, for this session"
        head, query = _around_as(text, tokens)
        if not query or not {"table", "view"} & {_word(text, tokens, number) for number in range(1, 5)}:
            raise QueryRefused(only)
        try:
            parsed = sqlglot.parse_one(f"{head} as select 1", read="duckdb")
        except SqlglotError as error:
            raise QueryRefused(only) from error
        if not isinstance(parsed, exp.Create) or parsed.kind not in ("TABLE", "VIEW"):
            raise QueryRefused(only)
        target, columns = parsed.this, ()
        if isinstance(target, exp.Schema):
            columns = tuple(column.name for column in target.expressions)
            target = target.this
        if not isinstance(target, exp.Table) or not target.name:
            raise QueryRefused(only)
        return Shadow(target.db, target.name, columns, self.query(query))


class _Found:
    """What is named anywhere in a parse that DuckDB has written as JSON."""

    def __init__(self) -> None:
        self.tables: set[Named] = set()
        self.table_functions: set[Named] = set()
        self.functions: set[str] = set()
        self.reads_catalog = False

    def walk(self, parsed: Any) -> None:
        # By a stack of our own: parses nest deeper than Python's calls.
        waiting: list[tuple[Any, frozenset[str]]] = [(parsed, frozenset())]
        while waiting:
            node, queries = waiting.pop()
            if isinstance(node, list):
                waiting += [(item, queries) for item in node]
            elif isinstance(node, dict):
                waiting += self._children(node, queries)

    def _children(self, node: Mapping[str, Any], queries: frozenset[str]) -> Iterator[tuple[Any, frozenset[str]]]:
        """The parts of a node, each with the names of the WITH queries that it sees; notes what the node names."""
        rest = dict(node)
        for entry in rest.pop("cte_map", {}).get("map", []):
            itself = entry["value"]["query"]["node"]["type"] == "RECURSIVE_CTE_NODE"
            yield entry["value"], queries | {entry["key"].lower()} if itself else queries
            queries |= {entry["key"].lower()}
        match node.get("type"):
            case "BASE_TABLE":
                self._table(node, queries)
            case "SHOW_REF" if not node.get("query"):
                self.reads_catalog = True
            case "TABLE_FUNCTION":
                function = rest.pop("function")
                if function.get("type") != "FUNCTION":
                    raise QueryRefused("a table function is called by its name here")
                named = Named(function["function_name"], function.get("schema", ""), function.get("catalog", ""))
                self.table_functions.add(named)
                if SYSTEM_NAMES.match(named.name):
                    self.reads_catalog = True
                yield {key: value for key, value in function.items() if key != "function_name"}, queries
        if isinstance(name := rest.pop("function_name", None), str):
            self.functions.add(name.lower())
        yield from ((value, queries) for value in rest.values())

    def _table(self, node: Mapping[str, Any], queries: frozenset[str]) -> None:
        named = Named(node["table_name"], node.get("schema_name", ""), node.get("catalog_name", ""))
        if not named.database and named.name.lower() in queries:
            return
        if named.database.lower() in SYSTEM_SCHEMAS or SYSTEM_NAMES.match(named.name):
            self.reads_catalog = True
        self.tables.add(named)


def _with_columns(text: str) -> str:
    """The query with a column named in each PIVOT that names none, to be looked at, not run."""
    raw, tokens = text.encode(), _tokens(text)
    words = [_word(text, tokens, number) if kind == "keyword" else "" for number, (_at, kind) in enumerate(tokens)]
    signs = [raw[offset : offset + 1] if kind == "operator" else b"" for offset, kind in tokens]
    ends: list[int] = []
    # For each bracket that is open: whether a PIVOT waits for ON, whether it is within ON, and whether the column there
    # names its values.
    waits, within, named = [False], [False], [False]
    for number, (word, sign) in enumerate(zip(words, signs, strict=True)):
        if within[-1] and (word in ENDS_OF_ON or sign in (b",", b")", b";")):
            if not named[-1]:
                ends.append(tokens[number][0])
            within[-1], named[-1] = sign == b",", False
        if sign == b"(":
            waits, within, named = [*waits, False], [*within, False], [*named, False]
        elif sign == b")" and len(waits) > 1:
            waits, within, named = waits[:-1], within[:-1], named[:-1]
        elif word == "pivot":
            waits[-1] = True
        elif word == "on" and waits[-1]:
            waits[-1], within[-1], named[-1] = False, True, False
        elif word == "in":
            named[-1] = True
    if within[0] and not named[0]:
        ends.append(len(raw))
    for end in reversed(ends):
        raw = raw[:end] + b" in ('x') " + raw[end:]
    return raw.decode()


def _refused(what: str) -> QueryRefused:
    return QueryRefused(
        f"{what} is not for here: the lake is read-only. Queries, EXPLAIN of them, `create view` and "
        "`create table ... as` (for this session) are."
    )


def _tokens(text: str) -> list[tuple[int, str]]:
    """DuckDB's own tokens: offset in bytes, and kind."""
    return [(offset, str(kind).rpartition(".")[2]) for offset, kind in duckdb.tokenize(text)]


def _word(text: str, tokens: list[tuple[int, str]], number: int) -> str:
    """The word that a token is, in small letters; empty for what is none."""
    if number >= len(tokens):
        return ""
    word = re.match(rb"\w+", text.encode()[tokens[number][0] :])
    return "" if word is None else word[0].decode(errors="replace").lower()


def _split(sql: str) -> list[str]:
    """The statements of the text, without those that are empty."""
    raw, start, found = sql.encode(), 0, []
    tokens = _tokens(sql)
    ends = [offset for offset, kind in tokens if kind == "operator" and raw[offset : offset + 1] == b";"]
    for end in [*ends, len(raw)]:
        if any(start <= offset < end for offset, _kind in tokens):
            found.append(raw[start:end].decode())
        start = end + 1
    return found


def _around_as(text: str, tokens: list[tuple[int, str]]) -> tuple[str, str]:
    """What stands before and behind the first AS that is not in brackets."""
    raw, depth = text.encode(), 0
    for number, (offset, kind) in enumerate(tokens):
        sign = raw[offset : offset + 1]
        if kind == "operator" and sign in (b"(", b")"):
            depth += 1 if sign == b"(" else -1
        elif kind == "keyword" and depth == 0 and _word(text, tokens, number) == "as":
            return raw[:offset].decode(), raw[offset + len("as") :].decode()
    return text, ""


@contextmanager
def _deep_recursion() -> Iterator[None]:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, DEEPEST_PARSE))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
