"""Calendar arithmetic on business days and the weeks and months they lie in.

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


def day_start(day: str, timezone: str) -> dt.datetime:
    """UTC instant at which the business day begins."""
    return dt.datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(timezone)).astimezone(dt.UTC)


def shift(day: str, count: int, period: Period = Period.DAY) -> str:
    """The day (or the first day of the period) that many periods later, earlier where negative."""
    date = dt.date.fromisoformat(day)
    if period is Period.MONTH:
        months = date.year * 12 + date.month - 1 + count
        return date.replace(year=months // 12, month=months % 12 + 1).isoformat()
    return (date + dt.timedelta(days=count * (7 if period is Period.WEEK else 1))).isoformat()


def period_start(day: str, period: Period) -> str:
    """First day of the period that the day lies in."""
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


def ranges(keys: Iterable[str], longest: int, period: Period = Period.DAY) -> list[Sequence[str]]:
    """`keys` as runs of consecutive periods, none longer than `longest`, oldest first."""
    found: list[list[str]] = []
    for key in sorted(set(keys)):
        if found and shift(found[-1][-1], 1, period) == key and len(found[-1]) < longest:
            found[-1].append(key)
        else:
            found.append([key])
    return list(found)
