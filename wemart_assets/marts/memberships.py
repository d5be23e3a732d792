"""Who holds a paid membership of an artist. One rule for all marts."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.functions import business_day


def held_memberships(memberships: ir.Table, timezone: str) -> ir.Table:
    """The rows of the membership history, a snapshot as of `part_date`, that are held on that day.

    Held on D: the order was paid, it is no cancellation by restore, and it runs on D, from `start_dt` (on or before D)
    to `end_dt` (open, or on D or after). Days are business days. What is unknown takes nothing away: an order without a
    status is taken for paid, one that does not say whether a restore cancelled it for one that none did.
    """
    paid = memberships.ord_status.isnull() | (memberships.ord_status != "PAYMENT_FAILED")
    begun = business_day(memberships.start_dt, timezone) <= memberships.part_date
    running = memberships.end_dt.isnull() | (business_day(memberships.end_dt, timezone) >= memberships.part_date)
    return memberships.filter(paid, memberships.is_cx_by_restore.fill_null(0) == 0, begun, running)


def membership_holders(memberships: ir.Table, timezone: str) -> ir.Table:
    """One row for each (part_date, we_art_id, we_member_id) that holds a membership that day; `is_fc` is 1."""
    held = held_memberships(memberships, timezone)
    return held.select("part_date", "we_art_id", "we_member_id").distinct().mutate(is_fc=ibis.literal(1, "int32"))
