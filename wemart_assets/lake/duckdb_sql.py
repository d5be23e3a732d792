"""SQL text for DuckDB: names and literals, the lake's functions as macros, and the rows of a Delta table's files.

The engine and `wemart sql` share it; it needs neither ibis nor a declaration.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from deltalake import DeltaTable

DUCKDB_TYPES = {"string": "VARCHAR", "timestamp": "TIMESTAMPTZ", "double": "DOUBLE"}
DELTA_TYPES = {
    "byte": "TINYINT",
    "short": "SMALLINT",
    "integer": "INTEGER",
    "long": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "boolean": "BOOLEAN",
    "string": "VARCHAR",
    "binary": "BLOB",
    "date": "DATE",
    "timestamp": "TIMESTAMPTZ",
    "timestamp_ntz": "TIMESTAMP",
}
# What `lake/functions.py` declares, as DuckDB has it.
DUCKDB_MACROS = (
    "create or replace temp macro timestamp_millis(ms) as make_timestamptz(ms * 1000)",
    # Asking the calendar costs some 0.3 microseconds a row; of UTC it need not be asked.
    "create or replace temp macro from_utc_timestamp(ts, zone) as"
    " case when zone = 'UTC' then make_timestamp(epoch_us(ts)) else timezone(zone, ts) end",
    "create or replace temp macro to_utc_timestamp(ts, zone) as"
    " case when zone = 'UTC' then make_timestamptz(epoch_us(ts)) else timezone(zone, ts) end",
    # DuckDB also takes a comma before a closing bracket, NaN and Infinity for JSON. Where a document may have one of
    # them, it is looked at again without its strings.
    "create or replace temp macro has_lenient_json(text) as"
    r" regexp_matches(text, ',[ \t\r\n]*[}\]]|(?i:nan|inf)')",
    "create or replace temp macro is_json(doc) as json_valid(doc) and case when has_lenient_json(doc) then"
    r""" not has_lenient_json(regexp_replace(doc, '"([^"\\]|\\.)*"', '""', 'g')) else true end""",
    "create or replace temp macro strict_json(doc) as case when is_json(doc) then doc end",
    "create or replace temp macro get_json_object(doc, path) as json_extract_string(doc, path)",
    # Spark infers a struct from an example document; DuckDB takes the same document as the structure.
    "create or replace temp macro schema_of_json(example) as example",
    "create or replace temp macro from_json(doc, structure) as json_transform(doc, structure)",
)


def duckdb_type(name: str) -> str:
    """DuckDB's name of a Spark SQL type."""
    return DUCKDB_TYPES.get(name, name.upper())


def delta_columns(log: DeltaTable) -> dict[str, str]:
    """DuckDB's types of a Delta table's columns; nested ones are left out."""
    found = {}
    for field in log.schema().fields:
        kind = str(getattr(field.type, "type", ""))
        if kind.startswith("decimal") or kind in DELTA_TYPES:
            found[field.name] = DELTA_TYPES.get(kind, kind.upper())
    return found


def select_files(
    columns: Mapping[str, str],
    partitions: Mapping[str, str],
    location: Path | str,
    files: Sequence[tuple[str, Mapping[str, str | None]]],
) -> str:
    """SQL that reads the data files of a Delta table natively, columns typed as given.

    `files` are paths below `location` with the log's partition values. DuckDB takes such values from Hive-style paths,
    and skips files by them; where a path says anything else than the log, each partition is read by itself with the
    log's values. A file that lacks a column was written before the column was added and has NULL there.
    """
    typed = ", ".join(f"null::{kind} as {quoted(c)}" for c, kind in columns.items())
    parts = [f"select {typed} where false"]
    if files and _paths_say_the_same(columns, partitions, location, files):
        options = f"hive_partitioning = {bool(partitions)}"
        if partitions:
            hive = ", ".join(f"{quoted(c)}: {kind}" for c, kind in partitions.items())
            options += f", hive_types = {{{hive}}}, hive_types_autocast = false"
        parts.append(f"select * from {_parquet(location, [path for path, _ in files], options)}")
    else:
        by_values: dict[tuple[str | None, ...], list[str]] = {}
        for path, values in files:
            by_values.setdefault(tuple(values[c] for c in partitions), []).append(path)
        for known, paths in by_values.items():
            stated = zip(partitions.items(), known, strict=True)
            literals = [
                f"cast({'null' if v is None else literal(v)} as {kind}) as {quoted(c)}" for (c, kind), v in stated
            ]
            source = _parquet(location, paths, "hive_partitioning = false")
            parts.append(f"select {', '.join(['*', *literals])} from {source}")
    selected = ", ".join(f"cast({quoted(c)} as {kind}) as {quoted(c)}" for c, kind in columns.items())
    return f"select {selected} from ({' union all by name '.join(parts)})"


def _paths_say_the_same(
    columns: Mapping[str, str],
    partitions: Mapping[str, str],
    location: Path | str,
    files: Sequence[tuple[str, Mapping[str, str | None]]],
) -> bool:
    """Whether the Hive-style folders of all files are exactly the log's partition values."""
    if partitions and any("=" in part and unquote(part.split("=")[0]) in columns for part in str(location).split("/")):
        return False
    for path, values in files:
        folders = [unquote(part) for part in path.split("/")[:-1]]
        if folders != [f"{c}={values[c]}" for c in partitions] or "%" in path:
            return False
        if any(v is None or not v or v.lower() == "null" or "=" in v for v in values.values()):
            return False
    return True


def _parquet(location: Path | str, paths: Sequence[str], options: str) -> str:
    files = ", ".join(literal(exactly(os.path.join(location, path))) for path in paths)
    return f"read_parquet([{files}], union_by_name = true, {options})"


def exactly(path: str) -> str:
    """The path as a pattern that only itself matches."""
    return re.sub(r"([*?\[])", r"[\1]", path)


def quoted(identifier: str) -> str:
    """The identifier as it is written in DuckDB's SQL, whatever letters it has."""
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
