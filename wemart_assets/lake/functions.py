"""SQL functions that ibis lacks or gets wrong, with one name and one meaning on both engines.

They have the names of Spark's built-ins, and DuckDB has macros under these names (`DUCKDB_MACROS`).
Functions that Spark lacks as well are defined on both engines (`SPARK_FUNCTIONS`). Whatever ibis gets right on both
engines does not belong here.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import ibis
import ibis.expr.datatypes as types
import ibis.expr.types as ir

from wemart_assets.lake.clocks import clock_changes, repeats, steady_clock
from wemart_assets.lake.days import Period

INSTANT = types.Timestamp(timezone="UTC", scale=6)
LOCAL_TIME = types.Timestamp(scale=6)

SPARK_FUNCTIONS = (
    # Spark accepts single quotes and NaN, and ignores whatever follows the document. Inside an array, only the next
    # element may follow it.
    "create or replace temporary function strict_json(doc string) returns string return"
    " case when size(from_json(concat('[', doc, ',0]'), 'array<string>',"
    " map('allowSingleQuotes', 'false', 'allowNonNumericNumbers', 'false'))) = 2 then doc end",
)


@ibis.udf.scalar.builtin(signature=((types.int64,), INSTANT))
def timestamp_millis(ms):  # type: ignore[no-untyped-def]
    """The instant that many milliseconds after the epoch."""


@ibis.udf.scalar.builtin(signature=((INSTANT,), types.int64))
def unix_micros(ts):  # type: ignore[no-untyped-def]
    """Microseconds since the epoch."""


@ibis.udf.scalar.builtin(name="from_utc_timestamp", signature=((INSTANT, types.string), LOCAL_TIME))
def _from_utc_timestamp(ts, zone):  # type: ignore[no-untyped-def]
    """Local time in `zone` at the instant."""


@ibis.udf.scalar.builtin(name="to_utc_timestamp", signature=((LOCAL_TIME, types.string), INSTANT))
def _to_utc_timestamp(ts, zone):  # type: ignore[no-untyped-def]
    """An instant at which the local time in `zone` is `ts`; if there are two, engines differ in which they choose."""


def from_utc_timestamp(instant: ir.TimestampValue, timezone: str) -> ir.TimestampValue:
    """Local time in `timezone` at the instant."""
    local = _from_utc_timestamp(instant, timezone)
    steady = steady_clock(timezone)
    if steady is None:
        return local
    utc = _from_utc_timestamp(instant, "UTC")
    return (utc >= _local(steady.since)).ifelse(utc + _interval(steady.ahead), local)


def unix_millis(instant: ir.TimestampValue) -> ir.IntegerValue:
    """Whole milliseconds since the epoch, rounded down."""
    return _floor_divided(unix_micros(instant), 1_000)


def unix_seconds(instant: ir.TimestampValue) -> ir.IntegerValue:
    """Whole seconds since the epoch, rounded down."""
    # sqlglot translates Spark's own functions to DuckDB's EPOCH_MS, which truncates towards zero, and to a cast of
    # EPOCH, which rounds.
    return _floor_divided(unix_micros(instant), 1_000_000)


def _floor_divided(number: ir.IntegerValue, by: int) -> ir.IntegerValue:
    # The remainder is never negative, so what is left divides exactly.
    remainder = (number % by + by) % by
    return ((number - remainder) / by).round().cast("int64")


@ibis.udf.scalar.builtin(signature=((types.string,), types.string))
def strict_json(doc):  # type: ignore[no-untyped-def]
    """The document, or NULL if it is not strictly valid JSON."""


@ibis.udf.scalar.builtin(name="get_json_object", signature=((types.string, types.string), types.string))
def _get_json_object(doc, path):  # type: ignore[no-untyped-def]
    """The value at `path` of a valid JSON document."""


def get_json_object(doc: ir.StringValue, path: str) -> ir.StringValue:
    """The value at `path` as text; NULL if the document is not valid JSON or has no such value."""
    return _get_json_object(strict_json(doc), path)


@ibis.udf.scalar.builtin(signature=((types.string,), types.string))
def schema_of_json(example):  # type: ignore[no-untyped-def]
    """The structure of an example document, in the form that `from_json` expects."""


@cache
def _json_reader(fields: tuple[Any, ...]) -> tuple[Any, str]:
    def structure(names: tuple[Any, ...]) -> tuple[types.Struct, dict[str, Any]]:
        field_types: dict[str, types.DataType] = {}
        example: dict[str, Any] = {}
        for item in names:
            if isinstance(item, str):
                field_types[item], example[item] = types.string, "VARCHAR"
            else:
                field_types[item[0]], example[item[0]] = structure(item[1])
        return types.Struct(field_types), example

    struct, example = structure(fields)
    reader = ibis.udf.scalar.builtin(lambda doc, like: None, name="from_json", signature=((types.string,) * 2, struct))
    return reader, json.dumps(example)


def json_fields(doc: ir.StringValue, fields: Sequence[str], nested: Mapping[str, Sequence[str]]) -> ir.StructValue:
    """The named fields of the document as text, in one parse; `nested` names the fields of sub-objects.

    Values that are not strings are returned as their JSON text. The struct is NULL if the document is not valid JSON.
    """
    reader, example = _json_reader((*fields, *((name, tuple(inner)) for name, inner in nested.items())))
    return reader(strict_json(doc), schema_of_json(ibis.literal(example)))


def business_date(instant: ir.TimestampValue, timezone: str) -> ir.DateValue:
    """The calendar day in `timezone` that contains the instant."""
    return from_utc_timestamp(instant, timezone).date()


def business_day(instant: ir.TimestampValue, timezone: str) -> ir.StringValue:
    """`business_date` as `YYYY-MM-DD`, which is how partitions are named."""
    return business_date(instant, timezone).cast("string")


def first_day_of(day: ir.DateValue, period: Period) -> ir.DateValue:
    """First day of the period that contains the day; weeks begin on Monday."""
    if period is Period.DAY:
        return day
    # A truncated date is a date to ibis and a timestamp to DuckDB.
    start = day.truncate({Period.WEEK: "W", Period.MONTH: "M"}[period])
    return start.strftime("%Y-%m-%d").cast("date")


def day_after(day: ir.StringValue, days: int = 1) -> ir.StringValue:
    """The calendar day `days` days after `day` (before it if negative), both as `YYYY-MM-DD`."""
    # A date plus an interval is a date to ibis and a timestamp to DuckDB.
    return (day.cast("date") + ibis.interval(days=days)).strftime("%Y-%m-%d")


def instant_of(local: ir.TimestampValue, timezone: str) -> ir.TimestampValue:
    """The first instant at which the clocks of `timezone` showed the local time.

    A local time that the clocks skipped is moved forward by as much as they skipped, which is what both engines do. For
    one that they showed twice the engines choose different instants, so the first is computed here.
    """
    instant = _to_utc_timestamp(local, timezone)
    for seconds in repeats(timezone):
        back = ibis.interval(seconds=seconds)
        shown_twice = [
            local.between(_local(change.at + change.ahead), _local(change.at - dt.timedelta(microseconds=1)))
            for change in clock_changes(timezone)
            if change.ahead == dt.timedelta(seconds=-seconds)
        ]
        # The clocks showed the time just before it only once.
        first = _to_utc_timestamp(local - back, timezone) + back
        instant = ibis.or_(*shown_twice).ifelse(first, instant)
    steady = steady_clock(timezone)
    if steady is None:
        return instant
    # After the last change no local time occurs twice, whichever way the clocks were set.
    most = max((abs(change.ahead) for change in clock_changes(timezone)), default=dt.timedelta(0))
    settled = steady.since + steady.ahead + most
    utc = _to_utc_timestamp(local - _interval(steady.ahead), "UTC")
    return (local >= _local(settled)).ifelse(utc, instant)


def _interval(span: dt.timedelta) -> Any:
    return ibis.interval(seconds=int(span.total_seconds()))


def day_of_local(local: ir.TimestampValue, timezone: str) -> ir.StringValue:
    """Business day of `instant_of(local, timezone)`, simply the local date in zones that never skipped a midnight."""
    for change in clock_changes(timezone):
        last_skipped = change.at + change.ahead - dt.timedelta(microseconds=1)
        if change.ahead > dt.timedelta(0) and (last_skipped + change.ahead).date() != change.at.date():
            return business_day(instant_of(local, timezone), timezone)
    return local.date().cast("string")


def _local(time: dt.datetime) -> ir.TimestampScalar:
    return ibis.literal(time, type=LOCAL_TIME)


def in_repeated_time(instant: ir.TimestampValue, timezone: str) -> ir.BooleanValue:
    """Whether the clocks of `timezone` have already shown the instant's local time once before.

    Compares local times at two instants, because engines differ in which instant they choose for a repeated one.
    """
    again: ir.BooleanValue = ibis.literal(False)
    for seconds in repeats(timezone):
        earlier = instant - ibis.interval(seconds=seconds)
        again = again | (from_utc_timestamp(earlier, timezone) == from_utc_timestamp(instant, timezone))
    return again
