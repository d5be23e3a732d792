"""When the clocks of a timezone are set, as this machine knows it. Needs no engine, so settings are checked quickly."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from zoneinfo import ZoneInfo

# Between them the clock changes of zones are known.
FIRST_CHANGE, LAST_CHANGE = dt.datetime(1970, 1, 1, tzinfo=dt.UTC), dt.datetime(2100, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class ClockChange:
    """From `at`, a local time of the clock before, the clocks of a zone are `ahead` of it, or behind where negative."""

    at: dt.datetime
    ahead: dt.timedelta


@cache
def clock_changes(timezone: str) -> tuple[ClockChange, ...]:
    """When the clocks of a zone were or will be set forward or back, from 1970 to 2100."""
    zone, changes, step = ZoneInfo(timezone), [], dt.timedelta(days=1)
    day, before = FIRST_CHANGE, _offset(FIRST_CHANGE, zone)
    while day < LAST_CHANGE:
        after = _offset(day + step, zone)
        if before != after:
            # The second of the change, by halves.
            same, other = 0, int(step.total_seconds())
            while other - same > 1:
                middle = (same + other) // 2
                is_same = _offset(day + dt.timedelta(seconds=middle), zone) == before
                same, other = (middle, other) if is_same else (same, middle)
            at = (day + dt.timedelta(seconds=other)).replace(tzinfo=None) + before
            changes.append(ClockChange(at, after - before))
        day, before = day + step, after
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
