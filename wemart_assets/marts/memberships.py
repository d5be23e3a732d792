"""Who holds a paid membership for an artist: one rule for all marts."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.functions import business_day


def held_memberships(memberships: ir.Table, timezone: str) -> ir.Table:
    """The memberships held on the day of the snapshot, `part_date`.

    A membership is held on business day D if its order was paid, no restore cancelled it, and it runs on D: `start_dt`
    falls on D or earlier, and `end_dt` is open or falls on D or later. A NULL gets the benefit of the doubt: an order
    without a status counts as paid, and one with an unknown `is_cx_by_restore` as not cancelled.
    """
    paid = memberships.ord_status.isnull() | (memberships.ord_status != "PAYMENT_FAILED")
    begun = business_day(memberships.start_dt, timezone) <= memberships.part_date
    running = memberships.end_dt.isnull() | (business_day(memberships.end_dt, timezone) >= memberships.part_date)
    return memberships.filter(paid, memberships.is_cx_by_restore.fill_null(0) == 0, begun, running)


def membership_holders(memberships: ir.Table, timezone: str) -> ir.Table:
    """One row per (part_date, we_art_id, we_member_id) with a membership held that day; `is_fc` is 1."""
    held = held_memberships(memberships, timezone)
    return held.select("part_date", "we_art_id", "we_member_id").distinct().mutate(is_fc=ibis.literal(1, "int32"))
