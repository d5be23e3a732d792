"""Which expressions `sources.yaml` may contain: values computed from the columns of one row, by listed functions.

An expression becomes part of a query. DuckDB and Spark have scalar functions that read the environment, write to the
log, sleep or call Java, so the allowed functions are listed; subqueries and anything that reads tables or files are
not allowed. DuckDB's own parser decides what an expression is, so that the check and the engine cannot disagree.
sqlglot translates expressions for other engines and must find the same columns in them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import duckdb
import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError
from sqlglot.tokens import Token, TokenType

DIALECT = "duckdb"
# How long an expression may become when fields are inserted: fields that contain fields grow fast.
MOST_CHARACTERS = 50_000

OPERATORS = "+ - * / // % ** ^ & | ~ << >> || ^@ ~~ !~~ ~~* !~~* ~~~ ->> like_escape not_like_escape ilike_escape"
TEXT = """
    ascii base64 bit_length chr char_length character_length concat concat_ws contains decode encode ends_with
    format from_base64 from_hex hex instr lcase left len length lower lpad ltrim md5 nfc_normalize octet_length ord
    position prefix printf regexp_extract regexp_full_match regexp_matches regexp_replace repeat replace reverse
    right rpad rtrim sha1 sha256 split_part starts_with strip_accents strlen strpos substr substring suffix to_base64
    to_hex translate trim ucase unhex unicode upper url_decode url_encode
"""
NUMBERS = """
    abs add cbrt ceil ceiling divide even exp fdiv floor fmod greatest isfinite isinf isnan least ln log log10 log2 mod
    multiply pi pow power round round_even sign sqrt subtract trunc xor
"""
TIMES = """
    century date_add date_diff date_part date_sub date_trunc datediff datepart datesub datetrunc day dayname dayofmonth
    dayofweek dayofyear decade epoch epoch_ms epoch_ns epoch_us era hour isodow isoyear julian last_day make_date
    make_time make_timestamp make_timestamp_ms make_timestamp_ns make_timestamptz microsecond millennium millisecond
    minute month monthname nanosecond quarter second strftime strptime time_bucket timezone timezone_hour
    timezone_minute to_centuries to_days to_decades to_hours to_microseconds to_millennia to_milliseconds to_minutes
    to_months to_quarters to_seconds to_timestamp to_weeks to_years try_strptime week weekday weekofyear year yearweek
"""
NESTED = """
    array_contains array_extract array_has array_length array_slice array_to_string cardinality element_at from_json
    json json_array_length json_contains json_exists json_extract json_extract_path json_extract_path_text
    json_extract_string json_keys json_type json_valid json_value list_contains list_element list_extract list_has
    list_slice list_value map map_contains map_extract map_extract_value map_keys map_values row split str_split
    string_split string_to_array struct_extract struct_extract_at struct_pack to_json
"""
CONDITIONS = "constant_or_null nullif switch typeof"
FUNCTIONS = frozenset(" ".join((OPERATORS, TEXT, NUMBERS, TIMES, NESTED, CONDITIONS)).split())
# Expression classes of DuckDB's parser. A LAMBDA here is a JSON arrow, since no higher-order function is listed.
NODES = frozenset(
    {
        "BETWEEN",
        "CASE",
        "CAST",
        "COLLATE",
        "COLUMN_REF",
        "COMPARISON",
        "CONJUNCTION",
        "CONSTANT",
        "FUNCTION",
        "LAMBDA",
        "OPERATOR",
    }
)
NODE_DESCRIPTIONS = {
    "SUBQUERY": "a subquery",
    "STAR": "a star (all columns)",
    "WINDOW": "a window function",
    "PARAMETER": "a parameter",
    "POSITIONAL_REFERENCE": "a column by position",
}


def referenced(expression: str) -> set[str]:
    """The names of the file's columns that an expression reads."""
    # `community.id` is a field of a struct; the column is its first part.
    return {node.parts[0].name for node in sqlglot.parse_one(expression, read=DIALECT).find_all(exp.Column)}


def with_fields(fields: Mapping[str, object], columns: Mapping[str, object]) -> dict[str, object]:
    """The expressions of `columns` with those of `fields` in place of the fields' names.

    A field may use those before it. Names are not case-sensitive, as in SQL; a quoted name is a column of the file.

    Raises:
        ValueError: a field's name cannot be told from SQL, or its expression is not a value computed from a row.
    """
    known: dict[str, str] = {}
    for name, given in fields.items():
        tokens = _tokens(str(name))
        if [token.token_type for token in tokens] != [TokenType.VAR]:
            raise ValueError(f"fields.{name}: '{name}' is a word of SQL, or not a name; choose another name")
        if not isinstance(given, str | int | float):
            raise ValueError(f"fields.{name}: expected an expression")
        sql = str(given)
        try:
            inserted = _inserted(sql, known)
            check_expression(inserted)
        except ValueError as error:
            raise ValueError(f"fields.{name}: {sql!r} cannot be used as an expression: {error}") from error
        known[str(name).lower()] = f"({inserted})"
    try:
        return {name: _inserted(sql, known) if isinstance(sql, str) else sql for name, sql in columns.items()}
    except ValueError as error:
        raise ValueError(f"columns: {error}") from error


def _inserted(sql: str, known: Mapping[str, str]) -> str:
    tokens = _tokens(sql)
    pieces, place = [], 0
    for before, token, after in zip([None, *tokens], tokens, [*tokens[1:], None], strict=False):
        is_part = before is not None and before.token_type is TokenType.DOT
        is_call = after is not None and after.token_type is TokenType.L_PAREN
        if token.token_type is TokenType.VAR and token.text.lower() in known and not (is_part or is_call):
            pieces += [sql[place : token.start], known[token.text.lower()]]
            place = token.end + 1
    pieces.append(sql[place:])
    if place and sum(map(len, pieces)) > MOST_CHARACTERS:
        raise ValueError(f"with its fields inserted it has more than {MOST_CHARACTERS:,} characters")
    return "".join(pieces)


def _tokens(sql: str) -> list[Token]:
    try:
        return sqlglot.tokenize(sql, read=DIALECT)
    except TokenError:
        # Whatever is wrong with it is found when the expression is checked.
        return []


def check_expression(expression: str) -> None:
    """Raise ValueError, saying why, if the expression is not a single value computed from the columns of a row."""
    try:
        _check(expression)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _check(expression: str) -> None:
    # The ways in which engines put it into a query: it must be a single value in each of them.
    select_lists = [
        _select_list(template.format(expression))
        for template in ('select {} as "x", 1', "select ({}), 1", "select cast({} as text), 1")
    ]
    if any(len(values) != 2 for values in select_lists):
        raise ValueError("it is more than one value")
    nodes = list(_nodes(select_lists[0][0]))
    for node in nodes:
        if node["class"] not in NODES:
            raise ValueError(f"it contains {NODE_DESCRIPTIONS.get(node['class'], node['class'].lower())}")
        if node["class"] != "FUNCTION":
            continue
        name = node["function_name"].lower()
        if name not in FUNCTIONS or node["catalog"] or node["schema"] not in ("", "main"):
            raise ValueError(
                f"it calls {node['function_name']}, which is not allowed here (wemart_assets/sources/expressions.py "
                "lists the allowed functions)"
            )
        if node.get("distinct") or node.get("filter") or node.get("order_bys", {}).get("orders"):
            raise ValueError(f"it calls {node['function_name']} like an aggregate function")
    try:
        columns = {name.lower() for name in referenced(expression)}
    except ParseError as error:
        # The text of the error contains terminal escape sequences.
        raise ValueError("; ".join(problem["description"] for problem in error.errors)) from error
    if not_columns := {node["column_names"][0].lower() for node in nodes if node["class"] == "COLUMN_REF"} - columns:
        raise ValueError(
            f"{', '.join(sorted(not_columns))} is a special value, such as the current time; quote it if it is a column"
        )


def _select_list(query: str) -> list[dict[str, Any]]:
    """The select list, as DuckDB's parser sees it, of a query that has nothing else."""
    [[serialized]] = _parser().cursor().execute("select json_serialize_sql(?)", [query]).fetchall()
    parsed = json.loads(serialized)
    if parsed["error"]:
        raise ValueError(parsed["error_message"])
    statements = [statement["node"] for statement in parsed["statements"]]
    if len(statements) != 1 or statements[0]["type"] != "SELECT_NODE":
        raise ValueError("it is a statement, not an expression")
    [node] = statements
    other_clauses = ("where_clause", "group_expressions", "group_sets", "having", "sample", "qualify", "modifiers")
    if node["from_table"]["type"] != "EMPTY" or node["cte_map"]["map"] or any(node[name] for name in other_clauses):
        raise ValueError("more follows the value, such as a FROM clause")
    values: list[dict[str, Any]] = node["select_list"]
    return values


def _nodes(parsed: Any) -> Iterator[dict[str, Any]]:
    if isinstance(parsed, dict):
        if "class" in parsed:
            yield parsed
        for child in parsed.values():
            yield from _nodes(child)
    elif isinstance(parsed, list):
        for child in parsed:
            yield from _nodes(child)


@cache
def _parser() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(":memory:")
