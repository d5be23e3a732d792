"""Functions that ibis lacks or gets wrong: one name and one meaning on both engines.

They carry Spark's own names, so Spark runs them as built-ins; the DuckDB engine defines macros of these names
(`duckdb_sql.DUCKDB_MACROS`). What Spark lacks as well, each engine defines (`SPARK_FUNCTIONS`). What ibis does well on
both has no place here.
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
    # Spark takes single quotes and NaN for JSON and reads no further than a document's end. Within an array nothing may
    # follow but the array's next element.
    "create or replace temporary function strict_json(doc string) returns string return"
    " case when size(from_json(concat('[', doc, ',0]'), 'array<string>',"
    " map('allowSingleQuotes', 'false', 'allowNonNumericNumbers', 'false'))) = 2 then doc end",
)


@ibis.udf.scalar.builtin(signature=((types.int64,), INSTANT))
def timestamp_millis(ms):  # type: ignore[no-untyped-def]
    """Instant of a number of milliseconds since the epoch."""


@ibis.udf.scalar.builtin(signature=((INSTANT,), types.int64))
def unix_micros(ts):  # type: ignore[no-untyped-def]
    """Microseconds since the epoch."""


@ibis.udf.scalar.builtin(name="from_utc_timestamp", signature=((INSTANT, types.string), LOCAL_TIME))
def _from_utc_timestamp(ts, zone):  # type: ignore[no-untyped-def]
    """What a clock on the wall shows in `zone` at the instant."""


@ibis.udf.scalar.builtin(name="to_utc_timestamp", signature=((LOCAL_TIME, types.string), INSTANT))
def _to_utc_timestamp(ts, zone):  # type: ignore[no-untyped-def]
    """An instant at which a clock on the wall shows `ts` in `zone`; engines differ in which, where there are two."""


def from_utc_timestamp(instant: ir.TimestampValue, timezone: str) -> ir.TimestampValue:
    """What a clock on the wall shows in `timezone` at the instant."""
    shown = _from_utc_timestamp(instant, timezone)
    steady = steady_clock(timezone)
    if steady is None:
        return shown
    of_utc = _from_utc_timestamp(instant, "UTC")
    return (of_utc >= _local(steady.since)).ifelse(of_utc + _interval(steady.ahead), shown)


def unix_millis(instant: ir.TimestampValue) -> ir.IntegerValue:
    """Whole milliseconds since the epoch, rounded down."""
    return _floor_divided(unix_micros(instant), 1_000)


def unix_seconds(instant: ir.TimestampValue) -> ir.IntegerValue:
    """Whole seconds since the epoch, rounded down."""
    # sqlglot takes Spark's own functions for DuckDB's EPOCH_MS, which truncates towards zero, and for a cast of EPOCH,
    # which rounds.
    return _floor_divided(unix_micros(instant), 1_000_000)


def _floor_divided(number: ir.IntegerValue, by: int) -> ir.IntegerValue:
    # The rest is never negative, so the division of what is left has none.
    rest = (number % by + by) % by
    return ((number - rest) / by).round().cast("int64")


@ibis.udf.scalar.builtin(signature=((types.string,), types.string))
def strict_json(doc):  # type: ignore[no-untyped-def]
    """The document, NULL where it is not JSON to the letter."""


@ibis.udf.scalar.builtin(name="get_json_object", signature=((types.string, types.string), types.string))
def _get_json_object(doc, path):  # type: ignore[no-untyped-def]
    """The value at `path` of what is JSON."""


def get_json_object(doc: ir.StringValue, path: str) -> ir.StringValue:
    """The value at `path` as text, NULL where the document is no JSON or has none."""
    return _get_json_object(strict_json(doc), path)


@ibis.udf.scalar.builtin(signature=((types.string,), types.string))
def schema_of_json(example):  # type: ignore[no-untyped-def]
    """The structure of an example document, as `from_json` takes it."""


@cache
def _json_reader(fields: tuple[Any, ...]) -> tuple[Any, str]:
    def structure(of: tuple[Any, ...]) -> tuple[types.Struct, dict[str, Any]]:
        kinds: dict[str, types.DataType] = {}
        example: dict[str, Any] = {}
        for item in of:
            if isinstance(item, str):
                kinds[item], example[item] = types.string, "VARCHAR"
            else:
                kinds[item[0]], example[item[0]] = structure(item[1])
        return types.Struct(kinds), example

    kind, example = structure(fields)
    reader = ibis.udf.scalar.builtin(lambda doc, like: None, name="from_json", signature=((types.string,) * 2, kind))
    return reader, json.dumps(example)


def json_fields(doc: ir.StringValue, fields: Sequence[str], nested: Mapping[str, Sequence[str]]) -> ir.StructValue:
    """The document's named fields as text, in one parse; `nested` names the fields of sub-objects.

    Values that are not strings appear as their JSON text. NULL where the document is no JSON.
    """
    reader, example = _json_reader((*fields, *((name, tuple(of)) for name, of in nested.items())))
    return reader(strict_json(doc), schema_of_json(ibis.literal(example)))


def business_date(instant: ir.TimestampValue, timezone: str) -> ir.DateValue:
    """The calendar day in `timezone` that the instant lies in."""
    return from_utc_timestamp(instant, timezone).date()


def business_day(instant: ir.TimestampValue, timezone: str) -> ir.StringValue:
    """`business_date` as `YYYY-MM-DD`, as partitions are named."""
    return business_date(instant, timezone).cast("string")


def first_day_of(day: ir.DateValue, period: Period) -> ir.DateValue:
    """First day of the period that the day lies in; weeks begin on Monday."""
    if period is Period.DAY:
        return day
    # A truncated date is a date for ibis and an instant for DuckDB.
    start = day.truncate({Period.WEEK: "W", Period.MONTH: "M"}[period])
    return start.strftime("%Y-%m-%d").cast("date")


def day_after(day: ir.StringValue, days: int = 1) -> ir.StringValue:
    """The calendar day that many days after (before where negative) a day that is named `YYYY-MM-DD`."""
    # A date and an interval are a date for ibis and an instant for DuckDB.
    return (day.cast("date") + ibis.interval(days=days)).strftime("%Y-%m-%d")


def instant_of(local: ir.TimestampValue, timezone: str) -> ir.TimestampValue:
    """The instant at which the clocks of `timezone` first showed a local time.

    One that they skipped is taken as much later as they were set forward, as both engines do. Of the two instants of a
    local time that they showed twice engines take different ones.
    """
    instant = _to_utc_timestamp(local, timezone)
    for seconds in repeats(timezone):
        back = ibis.interval(seconds=seconds)
        shown_twice = [
            local.between(_local(change.at + change.ahead), _local(change.at - dt.timedelta(microseconds=1)))
            for change in clock_changes(timezone)
            if change.ahead == dt.timedelta(seconds=-seconds)
        ]
        # What the clocks showed just before, they showed once.
        first = _to_utc_timestamp(local - back, timezone) + back
        instant = ibis.or_(*shown_twice).ifelse(first, instant)
    steady = steady_clock(timezone)
    if steady is None:
        return instant
    # Behind the last change nothing is shown twice, whichever way the clocks were set.
    most = max((abs(change.ahead) for change in clock_changes(timezone)), default=dt.timedelta(0))
    settled = steady.since + steady.ahead + most
    of_utc = _to_utc_timestamp(local - _interval(steady.ahead), "UTC")
    return (local >= _local(settled)).ifelse(of_utc, instant)


def _interval(span: dt.timedelta) -> Any:
    return ibis.interval(seconds=int(span.total_seconds()))


def day_of_local(local: ir.TimestampValue, timezone: str) -> ir.StringValue:
    """Business day of `instant_of(local, timezone)`, found without it in all zones that never skipped a midnight."""
    for change in clock_changes(timezone):
        last_skipped = change.at + change.ahead - dt.timedelta(microseconds=1)
        if change.ahead > dt.timedelta(0) and (last_skipped + change.ahead).date() != change.at.date():
            return business_day(instant_of(local, timezone), timezone)
    return local.date().cast("string")


def _local(time: dt.datetime) -> ir.TimestampScalar:
    return ibis.literal(time, type=LOCAL_TIME)


def in_repeated_time(instant: ir.TimestampValue, timezone: str) -> ir.BooleanValue:
    """Whether the clocks of `timezone` have shown the instant's local time once before.

    Asked of the clock itself, because engines differ in which of the two passes a local time is taken for.
    """
    again: ir.BooleanValue = ibis.literal(False)
    for seconds in repeats(timezone):
        earlier = instant - ibis.interval(seconds=seconds)
        again = again | (from_utc_timestamp(earlier, timezone) == from_utc_timestamp(instant, timezone))
    return again
