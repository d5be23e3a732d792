"""The statements that are allowed: an allow-list over DuckDB's own parse tree.

A statement's type says little: `from enable_logging(...)` is a SELECT to DuckDB, and EXPLAIN ANALYZE runs whatever
follows it. So only SELECTs pass, as DuckDB's own parser understands them, with every function in them looked up.
Anything else that is allowed (EXPLAIN, `create view`, `create table ... as`, a PIVOT that finds its own columns) is
taken apart until only a SELECT is left, and put together again from what passed.
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
# Harmless functions that DuckDB marks as volatile, because each call returns another value or fails on purpose.
# fmt: off
READING_VOLATILE = frozenset({
    "current_connection_id", "current_query", "current_query_id", "current_transaction_id", "error",
    "gen_random_uuid", "random", "setseed", "stats", "uuid", "uuidv4", "uuidv7",
})
# fmt: on
# It plans SQL given as a string, which has not been checked.
REFUSED_FUNCTIONS = frozenset({"json_serialize_plan"})
# Functions that the binder knows but no catalog lists.
BINDER_FUNCTIONS = frozenset({"grouping", "grouping_id", "unlist", "unnest"})
SYSTEM_SCHEMAS = frozenset({"information_schema", "pg_catalog"})
SYSTEM_NAMES = re.compile(r"(duckdb|pragma|sqlite|pg)_", re.IGNORECASE)
EXPLAIN = re.compile(
    r"\s*(analyze\b|\(\s*analyze\s*\)|\(\s*(?:analyze\s*,\s*)?format\s+\w+\s*(?:,\s*analyze\s*)?\))?", re.IGNORECASE
)
DESCRIBE = re.compile(r"\s*(describe|desc|show)\b", re.IGNORECASE)
ON_TERMINATORS = frozenset({"using", "group", "order", "limit", "offset", "union", "intersect", "except"})
# DuckDB lets expressions nest 1,000 levels deep, each of which takes a few levels of JSON.
DEEPEST_PARSE = 20_000


class QueryRefused(WemartError):
    """A statement would write, or reach outside the lake."""


@dataclass(frozen=True)
class Named:
    """A table or table function as a query names it; the parts that the query omits are empty."""

    name: str
    database: str = ""
    catalog: str = ""


@dataclass(frozen=True)
class Query:
    """A SELECT that only reads, or EXPLAIN of one, with the tables and table functions that it names.

    `described` is the table, if the statement is a DESCRIBE of one.
    """

    sql: str
    tables: frozenset[Named]
    functions: frozenset[Named]
    reads_catalog: bool
    described: Named | None = None


@dataclass(frozen=True)
class Shadow:
    """`create view` or `create table ... as`, which shadows a name for the session."""

    database: str
    name: str
    columns: tuple[str, ...]
    query: Query


Statement = Query | Shadow


class Wall:
    """Splits SQL into statements and refuses it if any of them does more than read.

    `is_ours` tells whether a lower-case name is one of the lake's table functions, which are defined once a query names
    them.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, is_ours: Callable[[str], bool]) -> None:
        self._connection = connection
        self._is_ours = is_ours

    def statements(self, sql: str) -> list[Statement]:
        """Returns the statements of the text, all checked.

        Raises:
            QueryRefused: a statement does more than read or shadow.
            duckdb.Error: a statement cannot be parsed.
        """
        if "\0" in sql:
            # DuckDB's parser would stop there.
            raise QueryRefused("the query contains a NUL character")
        return [self._statement(text) for text in split(sql)]

    def query(self, text: str) -> Query:
        """Returns the single SELECT that the text contains.

        Raises:
            QueryRefused: it is another statement, or calls a function that does more than read.
            duckdb.Error: it cannot be parsed.
        """
        statements = self._connection.extract_statements(text)
        if len(statements) > 1 and not any(statement.query for statement in statements):
            # For a PIVOT that finds its own columns, DuckDB first creates types for them; only such a PIVOT gets here.
            statements = self._connection.extract_statements(_with_columns(text))
            if len(statements) != 1:
                raise QueryRefused("this PIVOT must name its values: `pivot ... on column in (...)`")
            return replace(self._select(statements[0]), sql=text)
        if len(statements) != 1:
            raise QueryRefused("a query must be a single statement here")
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
                    raise QueryRefused(
                        "this EXPLAIN is not allowed; to explain a PIVOT, name its values: `on column in (...)`"
                    )
                return replace(inner, sql=sql, described=None)
            case "create":
                return self._shadow(text, tokens)
            case _:
                return self.query(text)

    def _select(self, statement: duckdb.Statement) -> Query:
        if statement.type != StatementType.SELECT:
            raise _refused(statement.type.name)
        sql = statement.query
        # A literal and not a parameter, for which DuckDB's client would import pandas if it is installed.
        [(serialized,)] = self._connection.execute(f"select json_serialize_sql({literal(sql)})").fetchall()
        with _deep_recursion():
            parsed = json.loads(serialized)
        if parsed["error"] or len(parsed["statements"]) != 1:
            raise QueryRefused(f"this query is not allowed: {parsed.get('error_message', 'more than one statement')}")
        references = _References()
        references.collect(parsed["statements"])
        self._check_functions(references)
        return Query(
            sql,
            frozenset(references.tables),
            frozenset(references.table_functions),
            references.reads_catalog,
            _described(parsed["statements"][0]) if DESCRIBE.match(sql) else None,
        )

    def _check_functions(self, references: _References) -> None:
        for function in sorted(references.table_functions, key=lambda named: named.name):
            name = function.name.lower()
            if name not in READING_TABLE_FUNCTIONS and not self._is_ours(name):
                raise QueryRefused(
                    f"the table function {function.name} is not allowed: queries can only read the lake's tables"
                )
        names = sorted(references.functions - BINDER_FUNCTIONS)
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
            raise QueryRefused(self._why_refused(refused[0]))

    def _why_refused(self, name: str) -> str:
        rows = self._connection.execute(
            "select distinct function_name from duckdb_functions()"
            " where function_type in ('scalar', 'aggregate', 'macro')"
        ).fetchall()
        names = [function for (function,) in rows]
        if name in map(str.lower, names):
            return f"the function {name} is not allowed: it does more than read"
        similar = difflib.get_close_matches(name, names)
        return f"there is no function {name}" + (f"; did you mean {' or '.join(similar)}?" if similar else "")

    def _shadow(self, text: str, tokens: list[tuple[int, str]]) -> Shadow:
        # Imported here because nothing else needs it.
        import sqlglot
        from sqlglot import exp
        from sqlglot.errors import SqlglotError

        reason = "only `create table ... as` and `create view ... as` are allowed, for this session"
        head, query = _around_as(text, tokens)
        if not query or not {"table", "view"} & {_word(text, tokens, number) for number in range(1, 5)}:
            raise QueryRefused(reason)
        try:
            parsed = sqlglot.parse_one(f"{head} as select 1", read="duckdb")
        except SqlglotError as error:
            raise QueryRefused(reason) from error
        if not isinstance(parsed, exp.Create) or parsed.kind not in ("TABLE", "VIEW"):
            raise QueryRefused(reason)
        target, columns = parsed.this, ()
        if isinstance(target, exp.Schema):
            columns = tuple(column.name for column in target.expressions)
            target = target.this
        if not isinstance(target, exp.Table) or not target.name:
            raise QueryRefused(reason)
        return Shadow(target.db, target.name, columns, self.query(query))


def _described(parsed: Any) -> Named | None:
    """Returns the table that a DESCRIBE describes; None if it describes a query."""
    match parsed:
        case {
            "node": {
                "from_table": {
                    "show_type": "DESCRIBE",
                    "query": {"select_list": [{"type": "STAR"}], "from_table": {"type": "BASE_TABLE"} as table},
                }
            }
        }:
            return Named(table["table_name"], table["schema_name"], table["catalog_name"])
    return None


class _References:
    """The tables and functions named anywhere in a parse tree, given as DuckDB's JSON."""

    def __init__(self) -> None:
        self.tables: set[Named] = set()
        self.table_functions: set[Named] = set()
        self.functions: set[str] = set()
        self.reads_catalog = False

    def collect(self, parsed: Any) -> None:
        # An explicit stack, because parse trees nest deeper than Python's recursion limit.
        pending: list[tuple[Any, frozenset[str]]] = [(parsed, frozenset())]
        while pending:
            node, queries = pending.pop()
            if isinstance(node, list):
                pending += [(item, queries) for item in node]
            elif isinstance(node, dict):
                pending += self._children(node, queries)

    def _children(self, node: Mapping[str, Any], queries: frozenset[str]) -> Iterator[tuple[Any, frozenset[str]]]:
        """Records what the node names, and yields its parts, each with the names of the WITH queries visible to it."""
        rest = dict(node)
        for entry in rest.pop("cte_map", {}).get("map", []):
            is_recursive = entry["value"]["query"]["node"]["type"] == "RECURSIVE_CTE_NODE"
            yield entry["value"], queries | {entry["key"].lower()} if is_recursive else queries
            queries |= {entry["key"].lower()}
        match node.get("type"):
            case "BASE_TABLE":
                self._table(node, queries)
            case "SHOW_REF" if not node.get("query"):
                self.reads_catalog = True
            case "TABLE_FUNCTION":
                function = rest.pop("function")
                if function.get("type") != "FUNCTION":
                    raise QueryRefused("a table function must be called by its name here")
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
    """Returns the query with a value added to each PIVOT that names none, so that it can be checked, not run."""
    raw, tokens = text.encode(), _tokens(text)
    words = [_word(text, tokens, number) if kind == "keyword" else "" for number, (_at, kind) in enumerate(tokens)]
    signs = [raw[offset : offset + 1] if kind == "operator" else b"" for offset, kind in tokens]
    ends: list[int] = []
    # For each open bracket: whether a PIVOT waits for its ON, whether the tokens are within ON, and whether the column
    # there names its values.
    waits, within, named = [False], [False], [False]
    for number, (word, sign) in enumerate(zip(words, signs, strict=True)):
        if within[-1] and (word in ON_TERMINATORS or sign in (b",", b")", b";")):
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


def _refused(kind: str) -> QueryRefused:
    return QueryRefused(
        f"{kind} is not allowed: the lake is read-only. Queries, EXPLAIN of them, and for this session `create view` "
        "and `create table ... as` are."
    )


def _tokens(text: str) -> list[tuple[int, str]]:
    """Returns the tokens as DuckDB splits them: the offset in bytes and the kind of each."""
    return [(offset, str(kind).rpartition(".")[2]) for offset, kind in duckdb.tokenize(text)]


def _word(text: str, tokens: list[tuple[int, str]], number: int) -> str:
    """Returns the token as a lower-case word; empty if it is not a word."""
    if number >= len(tokens):
        return ""
    word = re.match(rb"\w+", text.encode()[tokens[number][0] :])
    return "" if word is None else word[0].decode(errors="replace").lower()


def split(sql: str) -> list[str]:
    """Returns the statements of the text, except empty ones."""
    raw, start, statements = sql.encode(), 0, []
    tokens = _tokens(sql)
    ends = [offset for offset, kind in tokens if kind == "operator" and raw[offset : offset + 1] == b";"]
    for end in [*ends, len(raw)]:
        if any(start <= offset < end for offset, _kind in tokens):
            statements.append(raw[start:end].decode())
        start = end + 1
    return statements


def is_complete(sql: str) -> bool:
    """Whether the text ends with a semicolon that ends a statement, and so is not in a string or a comment."""
    tokens = _tokens(sql)
    if not tokens:
        return False
    offset, kind = tokens[-1]
    return kind == "operator" and sql.encode()[offset : offset + 1] == b";"


def _around_as(text: str, tokens: list[tuple[int, str]]) -> tuple[str, str]:
    """Returns the text before and after the first AS outside brackets."""
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
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, DEEPEST_PARSE))
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)
