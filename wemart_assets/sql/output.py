"""The rows of a query as a table for people, CSV, JSON or Parquet, written while they come.

What a format cannot hold (lists in CSV, dates beyond the year 9999 in Python) is written as DuckDB's text of it. JSON
has no NaN and no infinity, so they are the strings "NaN", "Infinity" and "-Infinity".
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
from wemart_assets.text import aligned, visible

# From the year 1 to the year 9999, as Python has them.
FIRST_DAY, LAST_DAY = dt.date.min.toordinal() - dt.date(1970, 1, 1).toordinal(), 2_932_896
PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000}
# Of a group of rows in Parquet, whichever comes first.
ROWS_OF_A_GROUP, BYTES_OF_A_GROUP = 100_000, 1 << 20
# A dictionary of many values is kept in memory and saves nothing.
DICTIONARY = 1 << 14
# JSON needs only those below the space to be escaped; terminals obey these, too.
CONTROLS = re.compile("[\x7f-\x9f]")


class Sink(Protocol):
    """Where bytes go."""

    def write(self, written: bytes, /) -> Any: ...


def write_table(rows: Rows, shown: int, sink: Sink) -> None:
    """The first `shown` rows, and how many there are."""
    count, cells = 0, [[visible(name) for name in rows.schema.names]]
    for batch in rows:
        columns = [_values(column) for column in batch.slice(0, max(shown - count, 0)).columns]
        cells += [["NULL" if v is None else visible(str(v)) for v in row] for row in zip(*columns, strict=True)]
        count += batch.num_rows
    left = count - shown
    more = f"\n… and {left:,} more rows (--rows, or --format csv)" if left > 0 else ""
    numbers = [place for place, field in enumerate(rows.schema) if pa.types.is_integer(field.type)]
    sink.write(f"{aligned(cells, right=numbers)}\n({count:,} rows){more}\n".encode())


def write_csv(rows: Rows, sink: Sink) -> None:
    head = ",".join('"' + name.replace('"', '""') + '"' for name in rows.schema.names)
    sink.write(f"{head}\n".encode())
    options = pyarrow.csv.WriteOptions(include_header=False)
    for batch in rows:
        plain = pa.table([_for_csv(column) for column in batch.columns], names=[*map(str, range(batch.num_columns))])
        written = pa.BufferOutputStream()
        pyarrow.csv.write_csv(plain, written, options)
        sink.write(written.getvalue())


def write_json(rows: Rows, sink: Sink) -> None:
    """A list of objects, one per line. Of columns that have one name, the second is `name_1`."""
    names, begun = _distinct(rows.schema.names), False
    for batch in rows:
        columns = [_values(column) for column in batch.columns]
        lines = [_json(dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]
        if lines:
            sink.write((("[\n " if not begun else ",\n ") + ",\n ".join(lines)).encode())
            begun = True
    sink.write(b"\n]\n" if begun else b"[]\n")


def write_parquet(rows: Rows, sink: IO[bytes]) -> None:
    """As Arrow has the rows; intervals and the like are text. Of columns that have one name, the second is `name_1`."""
    schema = pa.schema(
        [
            (name, pa.string() if _is_foreign(field.type) else field.type)
            for name, field in zip(_distinct(rows.schema.names), rows.schema, strict=True)
        ]
    )
    with pyarrow.parquet.ParquetWriter(sink, schema, dictionary_pagesize_limit=DICTIONARY) as writer:
        for group in _groups(rows):
            columns = [_text(c) if _is_foreign(c.type) else c for c in group.columns]
            writer.write_table(pa.table(columns, schema=schema))


def _groups(rows: Rows) -> Iterator[pa.Table]:
    waiting: list[pa.RecordBatch] = []
    for batch in rows:
        waiting.append(batch)
        if sum(b.num_rows for b in waiting) >= ROWS_OF_A_GROUP or sum(b.nbytes for b in waiting) >= BYTES_OF_A_GROUP:
            yield pa.Table.from_batches(waiting)
            waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting)


def _values(column: pa.Array) -> list[Any]:
    """What Python has for the values; DuckDB's text where it has nothing."""
    if _is_foreign(column.type) or pa.types.is_binary(column.type):
        values: list[Any] = _text(column).to_pylist()
        return values
    if pa.types.is_date(column.type) or pa.types.is_timestamp(column.type):
        within = _within(column)
        if not pc.all(within).as_py():
            texts = _text(column).to_pylist()
            pairs = zip(within.to_pylist(), texts, strict=True)
            return [column[at].as_py() if fits else text for at, (fits, text) in enumerate(pairs)]
    try:
        values = column.to_pylist()
    except (OverflowError, ValueError):
        # Such a date within a list or a struct.
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
    """Whether Python has the dates or instants; NULL is within."""
    first, last = FIRST_DAY, LAST_DAY
    if pa.types.is_timestamp(column.type):
        if column.type.unit not in PER_SECOND:
            # Nanoseconds end in the year 2262, and Python has none.
            return pc.is_null(column)
        per_day = 86_400 * PER_SECOND[column.type.unit]
        first, last = first * per_day, (last + 1) * per_day - 1
        numbers = column.cast(pa.int64())
    else:
        numbers = column.cast(pa.int32())
    return pc.fill_null(pc.and_(pc.greater_equal(numbers, first), pc.less_equal(numbers, last)), True)


def _is_foreign(kind: pa.DataType) -> bool:
    """Whether neither CSV nor Parquet nor JSON has such values."""
    if isinstance(kind, pa.BaseExtensionType) or pa.types.is_union(kind) or pa.types.is_interval(kind):
        return True
    return any(_is_foreign(kind.field(at).type) for at in range(kind.num_fields))


def _text(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """DuckDB's text of the values."""
    with duckdb.connect(config={"python_enable_replacements": False}) as connection:
        connection.execute("set timezone = 'UTC'")
        connection.register("column", pa.table({"value": column}))
        texts = connection.execute('select value::varchar as value from "column"').to_arrow_table()["value"]
    return pa.concat_arrays(texts.chunks) if texts.chunks else pa.array([], pa.string())


def _distinct(names: list[str]) -> list[str]:
    """The names, with a number behind those that came before."""
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
    return CONTROLS.sub(lambda sign: f"\\u{ord(sign[0]):04x}", text)


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
