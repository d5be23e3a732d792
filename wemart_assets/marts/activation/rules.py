"""Activation rules shared by several tables."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.functions import business_date, from_utc_timestamp
from wemart_assets.lake.table import PART_DATE, RUN_TIMESTAMP, column
from wemart_assets.setting_values.key_events import KNOWN, KeyEvent

USER_ID = column("user_id", "string", "account (we_member_id) of the user", nullable=False)
DAY_COLUMNS = (PART_DATE, RUN_TIMESTAMP)


def is_event(lines: ir.Table, event: KeyEvent) -> ir.BooleanValue:
    """Whether a line of `wv_server_log_base` meets at least one of the event's conditions on log lines."""
    matches: ir.BooleanValue = ibis.literal(False)
    for condition in event.log:
        met: ir.BooleanValue = ibis.literal(True)
        for name, value in condition.values().items():
            met = met & (lines[name].notnull() if value == KNOWN else lines[name].cast("string") == value)
        matches = matches | met.fill_null(False)
    return matches


def hours_from(first: ir.TimestampValue, then: ir.TimestampValue, timezone: str) -> ir.IntegerValue:
    """Clock hours from one instant to a later one in the business timezone, both truncated to the hour; the first is 1.

    Counted by the wall clock: every day has 24 hours, even when clocks change. While clocks that went back repeat
    earlier hours, the count does not go below 1.
    """
    clock = from_utc_timestamp(then, timezone).hour() - from_utc_timestamp(first, timezone).hour()
    hours = 24 * (days_from(first, then, timezone) - 1) + clock
    return ibis.greatest(hours, 0).cast("int64") + 1


def days_from(first: ir.TimestampValue, then: ir.TimestampValue, timezone: str) -> ir.IntegerValue:
    """Business days from one instant to a later one, where the day of the first is 1."""
    days = business_date(then, timezone).delta(business_date(first, timezone), unit="day")
    return days.cast("int64") + 1
