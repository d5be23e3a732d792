"""Calendar arithmetic on business days, which are named `YYYY-MM-DD`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from zoneinfo import ZoneInfo


def day_start(day: str, timezone: str) -> dt.datetime:
    """UTC instant at which the business day begins."""
    return dt.datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(timezone)).astimezone(dt.UTC)


def shift(day: str, days: int) -> str:
    """The day that many calendar days later (earlier where negative)."""
    return (dt.date.fromisoformat(day) + dt.timedelta(days=days)).isoformat()


def days_between(first: str, last: str) -> list[str]:
    """All days from `first` to `last`, both included."""
    return [shift(first, n) for n in range((dt.date.fromisoformat(last) - dt.date.fromisoformat(first)).days + 1)]


def ranges(days: Iterable[str], longest: int) -> list[Sequence[str]]:
    """`days` as runs of consecutive days, none longer than `longest`, oldest first."""
    found: list[list[str]] = []
    for day in sorted(set(days)):
        if found and shift(found[-1][-1], 1) == day and len(found[-1]) < longest:
            found[-1].append(day)
        else:
            found.append([day])
    return list(found)
