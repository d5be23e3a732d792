"""SQL text for DuckDB: quoting, the lake's functions as macros, and queries over the files of a Delta table.

The engine and `wemart sql` share it. It needs neither ibis nor a table's declaration.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import unquote

DUCKDB_TYPES = {"string": "VARCHAR", "binary": "BLOB", "timestamp": "TIMESTAMPTZ", "timestamp_ntz": "TIMESTAMP"}
# The functions of `lake/functions.py`, as DuckDB macros.
DUCKDB_MACROS = (
    "create or replace temp macro timestamp_millis(ms) as make_timestamptz(ms * 1000)",
    # A timezone lookup costs about 0.3 microseconds per row; UTC needs none.
    "create or replace temp macro from_utc_timestamp(ts, zone) as"
    " case when zone = 'UTC' then make_timestamp(epoch_us(ts)) else timezone(zone, ts) end",
    "create or replace temp macro to_utc_timestamp(ts, zone) as"
    " case when zone = 'UTC' then make_timestamptz(epoch_us(ts)) else timezone(zone, ts) end",
    # DuckDB also accepts trailing commas, NaN and Infinity. A document that may contain one of them is checked again
    # with its strings blanked.
    "create or replace temp macro has_lenient_json(text) as"
    r" regexp_matches(text, ',[ \t\r\n]*[}\]]|(?i:nan|inf)')",
    "create or replace temp macro is_json(doc) as json_valid(doc) and case when has_lenient_json(doc) then"
    r""" not has_lenient_json(regexp_replace(doc, '"([^"\\]|\\.)*"', '""', 'g')) else true end""",
    "create or replace temp macro strict_json(doc) as case when is_json(doc) then doc end",
    "create or replace temp macro get_json_object(doc, path) as json_extract_string(doc, path)",
    # Spark infers a struct from an example document; DuckDB uses the same document as the structure itself.
    "create or replace temp macro schema_of_json(example) as example",
    "create or replace temp macro from_json(doc, structure) as json_transform(doc, structure)",
)


def duckdb_type(name: str) -> str:
    """DuckDB's name for a Spark SQL type."""
    return DUCKDB_TYPES.get(name, name.upper())


def select_files(
    columns: Mapping[str, str],
    partitions: Mapping[str, str],
    location: str,
    files: Sequence[tuple[str, Mapping[str, str | None]]],
) -> str:
    """SQL that reads the Parquet files of a Delta table with DuckDB's own reader, with the given column types.

    `files` are paths relative to `location`, with the partition values of the log. DuckDB takes partition values from
    Hive-style paths and skips files by them; if any path disagrees with the log, each partition is read separately,
    with the log's values. A file that lacks a column was written before the column was added; its rows have NULL there.
    """
    typed = ", ".join(f"null::{kind} as {quoted(c)}" for c, kind in columns.items())
    parts = [f"select {typed} where false"]
    if files and _paths_match_log(columns, partitions, location, files):
        options = f"hive_partitioning = {bool(partitions)}"
        if partitions:
            hive = ", ".join(f"{quoted(c)}: {kind}" for c, kind in partitions.items())
            options += f", hive_types = {{{hive}}}, hive_types_autocast = false"
        parts.append(f"select * from {_parquet(location, [path for path, _ in files], options)}")
    else:
        by_values: dict[tuple[str | None, ...], list[str]] = {}
        for path, values in files:
            by_values.setdefault(tuple(values[c] for c in partitions), []).append(path)
        for partition, paths in by_values.items():
            typed_values = zip(partitions.items(), partition, strict=True)
            literals = [
                f"cast({'null' if v is None else literal(v)} as {kind}) as {quoted(c)}" for (c, kind), v in typed_values
            ]
            source = _parquet(location, paths, "hive_partitioning = false")
            parts.append(f"select {', '.join(['*', *literals])} from {source}")
    selected = ", ".join(f"cast({quoted(c)} as {kind}) as {quoted(c)}" for c, kind in columns.items())
    return f"select {selected} from ({' union all by name '.join(parts)})"


def _paths_match_log(
    columns: Mapping[str, str],
    partitions: Mapping[str, str],
    location: str,
    files: Sequence[tuple[str, Mapping[str, str | None]]],
) -> bool:
    """Whether the Hive-style folders of all files give exactly the log's partition values."""
    if partitions and any("=" in part and unquote(part.split("=")[0]) in columns for part in location.split("/")):
        return False
    for path, values in files:
        folders = [unquote(part) for part in path.split("/")[:-1]]
        if folders != [f"{c}={values[c]}" for c in partitions] or "%" in path:
            return False
        if any(v is None or not v or v.lower() == "null" or "=" in v for v in values.values()):
            return False
    return True


def _parquet(location: str, paths: Sequence[str], options: str) -> str:
    files = ", ".join(literal(exactly(f"{location}/{path}")) for path in paths)
    return f"read_parquet([{files}], union_by_name = true, {options})"


def exactly(path: str) -> str:
    """The path as a glob pattern that matches only this path."""
    return re.sub(r"([*?\[])", r"[\1]", path)


def quoted(identifier: str) -> str:
    """The identifier, quoted for DuckDB's SQL."""
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    """The text as a string literal of DuckDB's SQL."""
    return "'" + text.replace("'", "''") + "'"
