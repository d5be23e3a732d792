"""Dagster partition definitions: business days, weeks and months."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import dagster as dg

from wemart_assets.lake.days import Period, period_start, shift

Partitions = Mapping[Period, dg.TimeWindowPartitionsDefinition]


def partitions_from(first_day: dt.date, timezone: str, last_day: dt.date | None = None) -> Partitions:
    """Partition definitions by period: every business day, week (from Monday) and month between the first and last day.

    Only periods that are over and lie entirely in that range have a partition. Its key is the period's first day as
    `YYYY-MM-DD`. Without a last day, a new partition appears whenever a period ends.
    """
    start = first_day.isoformat()

    def end(period: Period) -> str | None:
        if last_day is None:
            return None
        # The first key past the range. Given the last day itself, Dagster would admit a week that only begins by then.
        past = period_start(shift(last_day.isoformat(), 1), period)
        # If no period lies entirely in the range, Dagster would admit the first that begins after its first day.
        is_none_whole = period_start(shift(past, -1), period) < start
        return start if is_none_whole else past

    return {
        Period.DAY: dg.DailyPartitionsDefinition(start_date=start, end_date=end(Period.DAY), timezone=timezone),
        Period.WEEK: dg.WeeklyPartitionsDefinition(
            start_date=start, end_date=end(Period.WEEK), timezone=timezone, day_offset=1
        ),
        Period.MONTH: dg.MonthlyPartitionsDefinition(start_date=start, end_date=end(Period.MONTH), timezone=timezone),
    }
