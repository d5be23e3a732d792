"""The rules of activation that more than one table states."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.functions import business_date, from_utc_timestamp
from wemart_assets.lake.table import PART_DATE, RUN_TIMESTAMP, column
from wemart_assets.marts.activation.key_events import KNOWN, KeyEvent

USER_ID = column("user_id", "string", "account (we_member_id) of the user", nullable=False)
DAY_COLUMNS = (PART_DATE, RUN_TIMESTAMP)


def is_event(lines: ir.Table, event: KeyEvent) -> ir.BooleanValue:
    """Whether a line of `wv_server_log_base` tells of the event: it meets all of any of the event's conditions."""
    found: ir.BooleanValue = ibis.literal(False)
    for condition in event.log:
        met: ir.BooleanValue = ibis.literal(True)
        for name, value in condition.values().items():
            met = met & (lines[name].notnull() if value == KNOWN else lines[name].cast("string") == value)
        found = found | met.fill_null(False)
    return found


def hours_from(first: ir.TimestampValue, then: ir.TimestampValue, timezone: str) -> ir.IntegerValue:
    """Hours from one instant to a later one, each cut down to its hour of the business clock; the first is 1.

    What a clock on the wall counts: a day is 24 of them, also where the clocks are set forward or back in it. Within
    clocks that are set back by more than an hour, time stands still.
    """
    clock = from_utc_timestamp(then, timezone).hour() - from_utc_timestamp(first, timezone).hour()
    hours = 24 * (days_from(first, then, timezone) - 1) + clock
    return ibis.greatest(hours, 0).cast("int64") + 1


def days_from(first: ir.TimestampValue, then: ir.TimestampValue, timezone: str) -> ir.IntegerValue:
    """Business days from one instant to a later one; that of the first is 1."""
    days = business_date(then, timezone).delta(business_date(first, timezone), unit="day")
    return days.cast("int64") + 1
