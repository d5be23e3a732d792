"""Functions that ibis lacks or gets wrong: one name and one meaning on both engines.

They carry Spark's own names, so Spark runs them as built-ins; the DuckDB engine defines macros of these names
(`DUCKDB_MACROS`). What Spark lacks as well, each engine defines (`SPARK_FUNCTIONS`). What ibis does well on both has
no place here.
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
# Between them the clock changes of zones are known.
FIRST_CHANGE, LAST_CHANGE = dt.datetime(1970, 1, 1, tzinfo=dt.UTC), dt.datetime(2100, 1, 1, tzinfo=dt.UTC)

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


@dataclass(frozen=True)
class ClockChange:
    """From `at`, a local time of the clock before, the clocks of a zone are `ahead` of it, or behind where negative."""

    at: dt.datetime
    ahead: dt.timedelta


@cache
def clock_changes(timezone: str) -> tuple[ClockChange, ...]:
    """When the clocks of a zone were or will be set forward or back, from 1970 to 2100."""
    zone, changes, step = ZoneInfo(timezone), [], dt.timedelta(days=1)
    day = FIRST_CHANGE
    while day < LAST_CHANGE:
        before, after = _offset(day, zone), _offset(day + step, zone)
        if before != after:
            # The second of the change, by halves.
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
    """The first instant from `first_day` on at which an engine's clocks show another time than this machine's.

    Partitions are days of the machine's clocks, and which second of a row lies in them is the engine's to say; each has
    rules of its own version. `shown` gives, for seconds since the epoch, what the engine's clocks show as such seconds.
    """
    start = int(dt.datetime(first_day.year, first_day.month, first_day.day, tzinfo=dt.UTC).timestamp()) - 2 * 86_400
    # What one of them changes and the other does not lasts for weeks; a change at another hour is seen beside it.
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
    """From `since`, a time of UTC, the clocks of a zone have been `ahead` of it (behind where negative)."""

    since: dt.datetime
    ahead: dt.timedelta


@cache
def steady_clock(timezone: str) -> SteadyClock | None:
    """Since when the clocks of a zone are not set any more; None where they still are.

    Then they are a sum, which is several times as fast as asking the calendar.
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
    """By how many seconds the zone's clocks have ever been set back (one hour for most that have summer time)."""
    backs = {-change.ahead for change in clock_changes(timezone) if change.ahead < dt.timedelta(0)}
    return tuple(sorted(int(back.total_seconds()) for back in backs))


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
