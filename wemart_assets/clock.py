"""The one clock: what a run stamps on its rows, and what today is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from zoneinfo import ZoneInfo

Clock = Callable[[], dt.datetime]


def utc_now() -> dt.datetime:
    """The clock of a run; the only one that a table sees, as `run_timestamp`."""
    return dt.datetime.now(dt.UTC)


def business_today(timezone: str, clock: Clock = utc_now) -> dt.date:
    """The business day that is going on."""
    return clock().astimezone(ZoneInfo(timezone)).date()
