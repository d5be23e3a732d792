"""The one clock: it stamps a run's rows and says what day it is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from zoneinfo import ZoneInfo

Clock = Callable[[], dt.datetime]


def utc_now() -> dt.datetime:
    """The default clock. Tables see a run's clock only as `run_timestamp`."""
    return dt.datetime.now(dt.UTC)


def business_today(timezone: str, clock: Clock = utc_now) -> dt.date:
    """The current business day."""
    return clock().astimezone(ZoneInfo(timezone)).date()
