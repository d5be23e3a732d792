"""Writes the rows of a query as they arrive, as a text table, CSV, JSON or Parquet.

A value that the format cannot hold (lists in CSV, dates beyond the year 9999 in Python) is written as DuckDB's text for
it. JSON has neither NaN nor infinity, so they become the strings "NaN", "Infinity" and "-Infinity".
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections.abc import Iterator
from typing import IO, Any, Protocol

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from wemart_assets.sql.session import Rows
from wemart_assets.text import aligned, columns_of, fitted, visible

# Python's dates, from the year 1 to the year 9999, in days since 1970.
FIRST_DAY, LAST_DAY = dt.date.min.toordinal() - dt.date(1970, 1, 1).toordinal(), 2_932_896
PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000}
# A Parquet row group ends at whichever limit is reached first.
GROUP_ROWS, GROUP_BYTES = 100_000, 1 << 20
# In bytes. A dictionary of many distinct values takes memory and saves nothing.
DICTIONARY_LIMIT = 1 << 14
# JSON only requires characters below the space to be escaped, but terminals obey these, too.
CONTROLS = re.compile("[\x7f-\x9f]")
# The columns of the result of EXPLAIN.
EXPLAINED = ["explain_key", "explain_value"]
LINE_END = "\n"
MORE = "--rows, or --format csv"


class Sink(Protocol):
    """A destination for bytes."""

    def write(self, written: bytes, /) -> Any: ...


def write_table(
    rows: Rows, shown: int, sink: Sink, width: int | None = None, more: str = MORE, more_columns: str = ""
) -> None:
    """Writes the first `shown` rows and the number of all rows, no line wider than `width` if that is given.

    The result of EXPLAIN is written as it is, because it is a drawing of several lines.
    `more` says how to see the other rows, `more_columns` how to see the columns for which there is no room.
    """
    if rows.schema.names == EXPLAINED:
        for batch in rows:
            for plan in batch.column(1).to_pylist():
                sink.write(f"{visible(str(plan), keep=LINE_END)}\n".encode())
        return
    count, cells = 0, [[visible(name) for name in rows.schema.names]]
    for batch in rows:
        cells += _cells(batch.slice(0, max(shown - count, 0)))
        count += batch.num_rows
    numbers = [index for index, field in enumerate(rows.schema) if pa.types.is_integer(field.type)]
    note = ""
    if width is None:
        text = aligned(cells, right=numbers)
    else:
        text, columns = fitted(cells, width, right=numbers)
        note = f", {columns} of {len(cells[0])} columns{more_columns}" if columns < len(cells[0]) else ""
    sink.write(f"{text}\n({_rows(count)}{note}){_hidden(count - shown, more)}\n".encode())


def write_records(rows: Rows, shown: int, sink: Sink, more: str = MORE) -> None:
    """Writes the first `shown` rows one below the other, each value on its own line, and the number of all rows."""
    count, names = 0, [visible(name) for name in rows.schema.names]
    widest = max(map(columns_of, names), default=0)
    for batch in rows:
        for number, row in enumerate(_cells(batch.slice(0, max(shown - count, 0))), count + 1):
            head = f"-[ row {number:,} ]".ljust(widest + 3, "-")
            values = (f"{name}{' ' * (widest - columns_of(name))} | {v}" for name, v in zip(names, row, strict=True))
            sink.write("\n".join([head, *values, ""]).encode())
        count += batch.num_rows
    sink.write(f"({_rows(count)}){_hidden(count - shown, more)}\n".encode())


def _cells(batch: pa.RecordBatch) -> list[list[str]]:
    columns = [_values(column) for column in batch.columns]
    return [["NULL" if v is None else visible(str(v)) for v in row] for row in zip(*columns, strict=True)]


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _hidden(count: int, more: str) -> str:
    return f"\n… and {count:,} more row{'' if count == 1 else 's'} ({more})" if count > 0 else ""


def write_csv(rows: Rows, sink: Sink) -> None:
    header = ",".join('"' + name.replace('"', '""') + '"' for name in rows.schema.names)
    sink.write(f"{header}\n".encode())
    options = pyarrow.csv.WriteOptions(include_header=False)
    for batch in rows:
        plain = pa.table([_for_csv(column) for column in batch.columns], names=[*map(str, range(batch.num_columns))])
        written = pa.BufferOutputStream()
        pyarrow.csv.write_csv(plain, written, options)
        sink.write(written.getvalue())


def write_json(rows: Rows, sink: Sink) -> None:
    """Writes a list of objects, one per line. If columns share a name, the second becomes `name_1`."""
    names, has_begun = _distinct(rows.schema.names), False
    for batch in rows:
        columns = [_values(column) for column in batch.columns]
        lines = [_json(dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]
        if lines:
            sink.write((("[\n " if not has_begun else ",\n ") + ",\n ".join(lines)).encode())
            has_begun = True
    sink.write(b"\n]\n" if has_begun else b"[]\n")


def write_parquet(rows: Rows, sink: IO[bytes]) -> None:
    """Writes the rows with their Arrow types; types that Parquet lacks become text. Names are as in `write_json`."""
    schema = pa.schema(
        [
            (name, pa.string() if _is_foreign(field.type) else field.type)
            for name, field in zip(_distinct(rows.schema.names), rows.schema, strict=True)
        ]
    )
    with pyarrow.parquet.ParquetWriter(sink, schema, dictionary_pagesize_limit=DICTIONARY_LIMIT) as writer:
        for group in _groups(rows):
            columns = [_text(c) if _is_foreign(c.type) else c for c in group.columns]
            writer.write_table(pa.table(columns, schema=schema))


def _groups(rows: Rows) -> Iterator[pa.Table]:
    batches: list[pa.RecordBatch] = []
    for batch in rows:
        batches.append(batch)
        if sum(b.num_rows for b in batches) >= GROUP_ROWS or sum(b.nbytes for b in batches) >= GROUP_BYTES:
            yield pa.Table.from_batches(batches)
            batches = []
    if batches:
        yield pa.Table.from_batches(batches)


def _values(column: pa.Array) -> list[Any]:
    """Returns the values as Python objects, or as DuckDB's text if Python has no equivalent."""
    if _is_foreign(column.type) or pa.types.is_binary(column.type):
        values: list[Any] = _text(column).to_pylist()
        return values
    if pa.types.is_date(column.type) or pa.types.is_timestamp(column.type):
        within = _within(column)
        if not pc.all(within).as_py():
            texts = _text(column).to_pylist()
            pairs = zip(within.to_pylist(), texts, strict=True)
            return [column[index].as_py() if fits else text for index, (fits, text) in enumerate(pairs)]
    try:
        values = column.to_pylist()
    except (OverflowError, ValueError):
        # A list or a struct contains a date outside Python's range.
        values = _text(column).to_pylist()
    return values


def _for_csv(column: pa.Array) -> pa.Array:
    if pa.types.is_date(column.type) or pa.types.is_timestamp(column.type):
        within = _within(column)
        return column if pc.all(within).as_py() else pc.if_else(within, column.cast(pa.string()), _text(column))
    if _is_foreign(column.type) or pa.types.is_nested(column.type) or pa.types.is_binary(column.type):
        return _text(column)
    return column


def _within(column: pa.Array) -> pa.Array:
    """Returns, for each date or timestamp, whether Python can represent it; true for NULL."""
    first, last = FIRST_DAY, LAST_DAY
    if pa.types.is_timestamp(column.type):
        if column.type.unit not in PER_SECOND:
            # Python has no nanoseconds.
            return pc.is_null(column)
        per_day = 86_400 * PER_SECOND[column.type.unit]
        first, last = first * per_day, (last + 1) * per_day - 1
        numbers = column.cast(pa.int64())
    else:
        numbers = column.cast(pa.int32())
    return pc.fill_null(pc.and_(pc.greater_equal(numbers, first), pc.less_equal(numbers, last)), True)


def _is_foreign(kind: pa.DataType) -> bool:
    """Whether CSV, Parquet and JSON all lack such values."""
    if isinstance(kind, pa.BaseExtensionType) or pa.types.is_union(kind) or pa.types.is_interval(kind):
        return True
    return any(_is_foreign(kind.field(index).type) for index in range(kind.num_fields))


def _text(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Returns DuckDB's text for the values."""
    with duckdb.connect(config={"python_enable_replacements": False}) as connection:
        connection.execute("set timezone = 'UTC'")
        connection.register("column", pa.table({"value": column}))
        texts = connection.execute('select value::varchar as value from "column"').to_arrow_table()["value"]
    return pa.concat_arrays(texts.chunks) if texts.chunks else pa.array([], pa.string())


def _distinct(names: list[str]) -> list[str]:
    """Returns the names, with a number appended to each repeated one."""
    distinct: list[str] = []
    for name in names:
        number, candidate = 0, name
        while candidate in distinct or (number and candidate in names):
            number += 1
            candidate = f"{name}_{number}"
        distinct.append(candidate)
    return distinct


def _json(row: dict[str, Any]) -> str:
    try:
        text = JSON.encode(row)
    except ValueError:
        text = JSON.encode(_finite(row))
    return CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _as_json(value: object) -> object:
    return value.isoformat() if isinstance(value, dt.date | dt.datetime) else str(value)


JSON = json.JSONEncoder(default=_as_json, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
