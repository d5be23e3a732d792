"""The clock changes of a timezone, from this machine's timezone data. Needs no engine."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from zoneinfo import ZoneInfo

# The span in which the clock changes of a zone are looked up.
FIRST_CHANGE, LAST_CHANGE = dt.datetime(1970, 1, 1, tzinfo=dt.UTC), dt.datetime(2100, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class ClockChange:
    """At `at`, in local time before the change, the clocks are set forward by `ahead` (back if negative)."""

    at: dt.datetime
    ahead: dt.timedelta


@cache
def clock_changes(timezone: str) -> tuple[ClockChange, ...]:
    """All changes of a zone's clocks from 1970 to 2100, past and scheduled."""
    zone, changes, step = ZoneInfo(timezone), [], dt.timedelta(days=1)
    day, before = FIRST_CHANGE, _offset(FIRST_CHANGE, zone)
    while day < LAST_CHANGE:
        after = _offset(day + step, zone)
        if before != after:
            # Bisect to the second of the change.
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
