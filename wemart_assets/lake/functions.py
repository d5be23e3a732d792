"""SQL functions that ibis lacks or gets wrong, with one name and one meaning on both engines.

They have the names of Spark's built-ins, and the DuckDB engine defines macros under these names (`DUCKDB_MACROS`).
Functions that Spark lacks as well are defined on both engines (`SPARK_FUNCTIONS`). Whatever ibis gets right on both
engines does not belong here.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import ibis
import ibis.expr.datatypes as types
import ibis.expr.types as ir

from wemart_assets.lake.days import Period

INSTANT = types.Timestamp(timezone="UTC", scale=6)
LOCAL_TIME = types.Timestamp(scale=6)
# The span in which the clock changes of a zone are looked up.
FIRST_CHANGE, LAST_CHANGE = dt.datetime(1970, 1, 1, tzinfo=dt.UTC), dt.datetime(2100, 1, 1, tzinfo=dt.UTC)

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


@dataclass(frozen=True)
class ClockChange:
    """At `at`, in local time before the change, the clocks are set forward by `ahead` (back if negative)."""

    at: dt.datetime
    ahead: dt.timedelta


@cache
def clock_changes(timezone: str) -> tuple[ClockChange, ...]:
    """All changes of a zone's clocks from 1970 to 2100, past and scheduled."""
    zone, changes, step = ZoneInfo(timezone), [], dt.timedelta(days=1)
    day = FIRST_CHANGE
    while day < LAST_CHANGE:
        before, after = _offset(day, zone), _offset(day + step, zone)
        if before != after:
            # Bisect to the second of the change.
            same, other = 0, int(step.total_seconds())
            while other - same > 1:
                middle = (same + other) // 2
                is_same = _offset(day + dt.timedelta(seconds=middle), zone) == before
                same, other = (middle, other) if is_same else (same, middle)
            at = (day + dt.timedelta(seconds=other)).replace(tzinfo=None) + before
            changes.append(ClockChange(at, after - before))
        day += step
    return tuple(changes)


def _offset(instant: dt.datetime, zone: ZoneInfo) -> dt.timedelta:
    offset = instant.astimezone(zone).utcoffset()
    assert offset is not None
    return offset


def first_disagreement(
    timezone: str, first_day: dt.date, shown: Callable[[Sequence[int]], Sequence[int]]
) -> dt.datetime | None:
    """The first instant from `first_day` on at which an engine and this machine disagree about local time.

    The machine's timezone data says when a partition begins, the engine's says which rows lie in it, and the two may
    be of different versions. `shown` maps seconds since the epoch to the engine's local times, also as seconds.
    """
    start = int(dt.datetime(first_day.year, first_day.month, first_day.day, tzinfo=dt.UTC).timestamp()) - 2 * 86_400
    # A change that only one side knows lasts for weeks; a change at another hour shows next to the known one.
    instants = set(range(start, int(LAST_CHANGE.timestamp()), 7 * 86_400))
    zone = ZoneInfo(timezone)
    before = _offset(FIRST_CHANGE, zone)
    for change in clock_changes(timezone):
        at = int((change.at - before).replace(tzinfo=dt.UTC).timestamp())
        before += change.ahead
        instants |= {at - 1, at} if at >= start else set()
    ordered = sorted(instants)
    for instant, local in zip(ordered, shown(ordered), strict=True):
        utc = dt.datetime.fromtimestamp(instant, dt.UTC)
        if local != instant + _offset(utc, zone).total_seconds():
            return utc
    return None


@dataclass(frozen=True)
class SteadyClock:
    """From `since`, in UTC, the clocks of a zone are always `ahead` of UTC (behind if negative)."""

    since: dt.datetime
    ahead: dt.timedelta


@cache
def steady_clock(timezone: str) -> SteadyClock | None:
    """When the clocks of a zone were last changed, and their offset since; None if they still change.

    Adding a fixed offset is several times as fast as a timezone lookup.
    """
    changes = clock_changes(timezone)
    ahead = _offset(LAST_CHANGE, ZoneInfo(timezone))
    if not changes:
        return SteadyClock(FIRST_CHANGE.replace(tzinfo=None), ahead)
    last = changes[-1]
    if last.at.year >= LAST_CHANGE.year - 1:
        return None
    return SteadyClock(last.at - (ahead - last.ahead), ahead)


@cache
def repeats(timezone: str) -> tuple[int, ...]:
    """The seconds by which the zone's clocks have ever been set back (3,600 for most zones with summer time)."""
    backs = {-change.ahead for change in clock_changes(timezone) if change.ahead < dt.timedelta(0)}
    return tuple(sorted(int(back.total_seconds()) for back in backs))


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
