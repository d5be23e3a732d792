"""Calendar arithmetic on business days, weeks and months.

A day is named `YYYY-MM-DD`, a week or month by its first day; weeks begin on Monday.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from enum import StrEnum
from zoneinfo import ZoneInfo


class Period(StrEnum):
    """How much time a partition of a table covers."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"

    @property
    def most_days(self) -> int:
        """The days of the longest of these periods."""
        return {Period.DAY: 1, Period.WEEK: 7, Period.MONTH: 31}[self]


def day_start(day: str, timezone: str) -> dt.datetime:
    """The instant, in UTC, at which the business day begins."""
    return dt.datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(timezone)).astimezone(dt.UTC)


def shift(day: str, count: int, period: Period = Period.DAY) -> str:
    """The day, or first day of a period, `count` periods later (earlier if negative)."""
    date = dt.date.fromisoformat(day)
    if period is Period.MONTH:
        months = date.year * 12 + date.month - 1 + count
        return date.replace(year=months // 12, month=months % 12 + 1).isoformat()
    return (date + dt.timedelta(days=count * (7 if period is Period.WEEK else 1))).isoformat()


def period_start(day: str, period: Period) -> str:
    """First day of the period that contains the day."""
    date = dt.date.fromisoformat(day)
    if period is Period.MONTH:
        return date.replace(day=1).isoformat()
    return shift(day, -date.weekday()) if period is Period.WEEK else day


def period_days(start: str, period: Period) -> list[str]:
    """All days of the period that begins on `start`."""
    return days_between(start, shift(shift(start, 1, period), -1))


def days_between(first: str, last: str) -> list[str]:
    """All days from `first` to `last`, both included."""
    return [shift(first, n) for n in range((dt.date.fromisoformat(last) - dt.date.fromisoformat(first)).days + 1)]


def periods_between(first: str, last: str, period: Period) -> list[str]:
    """The first days of all periods from that of `first` to that of `last`, both included."""
    starts = [period_start(first, period)]
    while (following := shift(starts[-1], 1, period)) <= last:
        starts.append(following)
    return starts if starts[0] <= last else []


def ranges(keys: Iterable[str], longest: int, period: Period = Period.DAY) -> list[Sequence[str]]:
    """Group `keys` into ranges of consecutive periods, at most `longest` each, oldest first."""
    grouped: list[list[str]] = []
    for key in sorted(set(keys)):
        if grouped and shift(grouped[-1][-1], 1, period) == key and len(grouped[-1]) < longest:
            grouped[-1].append(key)
        else:
            grouped.append([key])
    return list(grouped)
