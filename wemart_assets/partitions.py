"""Dagster's partitions: the business days, weeks and months there are."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import dagster as dg

from wemart_assets.lake.days import Period

Partitions = Mapping[Period, dg.TimeWindowPartitionsDefinition]


def partitions_from(first_day: dt.date, timezone: str) -> Partitions:
    """Each business day, week (from Monday) and month that is over, from the first that lies after `first_day` whole.

    A partition key is the (first) day as `YYYY-MM-DD`.
    """
    start = first_day.isoformat()
    return {
        Period.DAY: dg.DailyPartitionsDefinition(start_date=start, timezone=timezone),
        Period.WEEK: dg.WeeklyPartitionsDefinition(start_date=start, timezone=timezone, day_offset=1),
        Period.MONTH: dg.MonthlyPartitionsDefinition(start_date=start, timezone=timezone),
    }
