"""Business days: calendar days in the business timezone, as instants in milliseconds since the epoch (UTC)."""

import datetime
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np

from wemart_assets.simulator.columns import Ints

UTC_DAY_MS = 86_400_000
EPOCH = datetime.date(1970, 1, 1)


@dataclass(frozen=True)
class BusinessDays:
    """Consecutive business days, numbered from 0: day `d` begins at `midnights[d]` and ends before `midnights[d + 1]`.

    A day on which the clocks change has 23 or 25 hours.
    """

    dates: tuple[datetime.date, ...]
    midnights: Ints

    @classmethod
    def starting(cls, first_day: datetime.date, days: int, timezone: str) -> "BusinessDays":
        zone = ZoneInfo(timezone)
        dates = tuple(first_day + datetime.timedelta(days=day) for day in range(days + 1))
        midnights = [datetime.datetime.combine(date, datetime.time(), zone).timestamp() for date in dates]
        return cls(dates[:-1], np.array(midnights, dtype=np.int64) * 1000)

    def start(self, day: int) -> int:
        return int(self.midnights[day])

    def end(self, day: int) -> int:
        return int(self.midnights[day + 1])

    def name(self, day: int) -> str:
        return self.dates[day].isoformat()


def utc_day(instant_ms: int) -> int:
    """The number of the UTC day, counted from the epoch."""
    return instant_ms // UTC_DAY_MS


def utc_day_name(number: int) -> str:
    return (EPOCH + datetime.timedelta(days=number)).isoformat()
