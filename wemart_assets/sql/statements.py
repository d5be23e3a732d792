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
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import duckdb
import sqlglot
from duckdb import StatementType
from sqlglot import exp
from sqlglot.errors import SqlglotError

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
class Pivot:
    """A SELECT whose PIVOT finds its columns itself; `values` are asked when it runs."""

    sql: str


@dataclass(frozen=True)
class Shadow:
    """`create view` or `create table ... as`, which shadows a name for the session."""

    database: str
    name: str
    columns: tuple[str, ...]
    query: Query | Pivot


Statement = Query | Pivot | Shadow


class Wall:
    """Takes SQL apart into statements that only read.

    `functions` are the names of table functions that are ours and defined when a query names them.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, functions: Container[str]) -> None:
        self._connection = connection
        self._functions = functions

    def statements(self, sql: str) -> list[Statement]:
        """The statements of the text, all of them looked at.

        Raises:
            QueryRefused: one of them is none that only reads or shadows.
            duckdb.Error: one cannot be parsed.
        """
        return [self._statement(text) for text in _split(sql)]

    def query(self, text: str) -> Query | Pivot:
        """The one SELECT that the text is.

        Raises:
            QueryRefused: it is something else, or calls a function that does more than to read.
            duckdb.Error: it cannot be parsed.
        """
        statements = self._connection.extract_statements(text)
        if len(statements) == 2 and not any(statement.query for statement in statements):
            # DuckDB makes a type of the values first; nothing else is two statements.
            self.query(with_values(text, lambda _query: ["x"]))
            return Pivot(text)
        if len(statements) != 1:
            raise QueryRefused("a query is one statement here")
        [statement] = statements
        if statement.type != StatementType.SELECT:
            raise _refused(statement.type.name)
        return self._select(statement.query)

    def _statement(self, text: str) -> Statement:
        tokens = _tokens(text)
        match _word(text, tokens, 0):
            case "explain":
                after = text.encode()[tokens[0][0] + len("explain") :].decode()
                options = EXPLAIN.match(after)
                assert options is not None
                inner = self.query(after[options.end() :])
                if isinstance(inner, Pivot):
                    raise QueryRefused("EXPLAIN of a PIVOT needs its values: `pivot ... on column in (...)`")
                sql = f"explain {options[1] or ''} {inner.sql}"
                [explained] = self._connection.extract_statements(sql)
                if explained.type != StatementType.EXPLAIN:
                    raise _refused(explained.type.name)
                return Query(sql, inner.tables, inner.functions, inner.reads_catalog)
            case "create":
                return self._shadow(text, tokens)
            case _:
                return self.query(text)

    def _select(self, sql: str) -> Query:
        [(serialized,)] = self._connection.execute("select json_serialize_sql(?)", [sql]).fetchall()
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
            if name not in READING_TABLE_FUNCTIONS and name not in self._functions:
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
                " (select unnest(?::varchar[])) group by all",
                [names],
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
        only = "only `create table ... as` and `create view ... as` are for here, for this session"
        head, query = _around_as(text, tokens)
        if not query:
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


def with_values(sql: str, values: Callable[[str], list[str]]) -> str:
    """The query, with the values of each PIVOT that names none; `values` gives them for the query that finds them.

    Raises:
        QueryRefused: a PIVOT is written in a way that is not understood here.
    """
    not_understood = QueryRefused("this PIVOT needs its values here: `pivot ... on column in (...)`")
    try:
        parsed = sqlglot.parse_one(sql, read="duckdb")
    except SqlglotError as error:
        raise not_understood from error
    pivots = [node for node in parsed.find_all(exp.Pivot) if not node.args.get("unpivot")]
    if not pivots:
        raise not_understood
    # Innermost first: the values of an outer one are those of the inner one's columns.
    for pivot in sorted(pivots, key=lambda node: node.depth, reverse=True):
        if not isinstance(pivot.this, exp.Expression):
            continue
        found = []
        for on in pivot.expressions:
            if isinstance(on, (exp.In, exp.PivotAny)) or (isinstance(on, exp.Column) and on.args.get("fields")):
                found.append(on)
                continue
            source = pivot.this.copy()
            value = exp.cast(on.copy(), "varchar", dialect="duckdb")
            query = exp.select(value.as_("value")).distinct().from_(source).where(on.copy().is_(exp.null()).not_())
            query = exp.select("value").from_(query.subquery("found")).order_by("value")
            for ancestor in _withs(pivot):
                for shared in ancestor.expressions:
                    if pivot not in shared.find_all(exp.Pivot):
                        query = query.with_(shared.args["alias"].copy(), shared.this.copy(), copy=False)
            texts = values(query.sql(dialect="duckdb"))
            found.append(exp.In(this=on.copy(), expressions=[exp.Literal.string(text) for text in texts]))
        pivot.set("expressions", found)
    return parsed.sql(dialect="duckdb")


def _withs(node: exp.Expression) -> list[exp.With]:
    found = []
    ancestor: exp.Expression | None = node
    while ancestor is not None:
        with_ = ancestor.args.get("with_") or ancestor.args.get("with")
        if isinstance(with_, exp.With):
            found.append(with_)
        ancestor = ancestor.parent
    return found[::-1]


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
