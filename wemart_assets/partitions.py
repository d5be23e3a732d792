"""Dagster's partitions: the business days, weeks and months there are."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import dagster as dg

from wemart_assets.lake.days import Period, period_start, shift

Partitions = Mapping[Period, dg.TimeWindowPartitionsDefinition]


def partitions_from(first_day: dt.date, timezone: str, last_day: dt.date | None = None) -> Partitions:
    """Each business day, week (from Monday) and month that is over and lies whole between the first and last day.

    A partition key is the (first) day as `YYYY-MM-DD`. Without a last day there is another with each day that passes.
    """
    start = first_day.isoformat()

    def end(period: Period) -> str | None:
        # The first key that there is no more. Dagster's own end would let in a week that only begins before it.
        return None if last_day is None else period_start(shift(last_day.isoformat(), 1), period)

    return {
        Period.DAY: dg.DailyPartitionsDefinition(start_date=start, end_date=end(Period.DAY), timezone=timezone),
        Period.WEEK: dg.WeeklyPartitionsDefinition(
            start_date=start, end_date=end(Period.WEEK), timezone=timezone, day_offset=1
        ),
        Period.MONTH: dg.MonthlyPartitionsDefinition(start_date=start, end_date=end(Period.MONTH), timezone=timezone),
    }
