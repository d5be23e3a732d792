"""Dagster's partitions: the business days there are."""

from __future__ import annotations

import datetime as dt

import dagster as dg


def daily(timezone: str, first_day: dt.date) -> dg.DailyPartitionsDefinition:
    """Each business day that is over, from the first; a partition key is the day as `YYYY-MM-DD`."""
    return dg.DailyPartitionsDefinition(start_date=first_day.isoformat(), timezone=timezone)
