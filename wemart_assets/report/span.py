"""The days that a report covers."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from wemart_assets.lake.days import days_between, shift

# Of a report, unless another number is given; and of the longest that is readable.
DAYS, MOST_DAYS = 28, 400


@dataclass(frozen=True)
class Span:
    """Up to `count` business days, the last of them `last`; none before `lake_first`, the first day of the lake."""

    last: str
    count: int
    lake_first: str

    @property
    def first(self) -> str:
        since = (dt.date.fromisoformat(self.last) - dt.date.fromisoformat(self.lake_first)).days
        return shift(self.last, -min(self.count - 1, max(since, 0)))

    @property
    def days(self) -> list[str]:
        return days_between(self.first, self.last)

    def in_query(self, sql: str) -> str:
        """Returns the query with the span's days in it."""
        return sql.format(first=self.first, last=self.last)
