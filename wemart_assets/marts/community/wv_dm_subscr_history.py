"""`we_mart.wv_dm_subscr_history`: every subscription to direct messages ever seen, carried from day to day."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.days import shift
from wemart_assets.lake.functions import day_after
from wemart_assets.lake.inputs import previous_period, same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import PART_DATE, RUN_TIMESTAMP, RowCheck, Table, TableCheck, column
from wemart_assets.sources.contracts.weverse2 import community_member_purchase

SUBSCRIPTION = ("wv_user_id", "dm_id", "start_dt")
# What the latest snapshot with the subscription says.
SAID = ("comm_id", "product_type", "end_dt", "last_seen_date")


def _delivered(purchases: ir.Table) -> ir.Table:
    """The purchases as rows of this table, on the day of their snapshot."""
    columns = purchases.mutate(comm_id=purchases.community_id, last_seen_date=purchases.part_date.cast("date"))
    return columns.select(*SUBSCRIPTION, *SAID, "part_date")


def _carried(staged: ir.Table, before: ir.Table, days: Sequence[str]) -> ir.Table:
    """Rows of each day's previous day, dated to the day."""
    columns = [*SUBSCRIPTION, *SAID, "part_date"]
    rows = ibis.union(before.select(*columns), staged.select(*columns))
    rows = rows.mutate(part_date=day_after(rows.part_date))
    return rows.filter(rows.part_date.isin(list(days)))


def _lost(staged: ir.Table, before: ir.Table, purchases: ir.Table, days: Sequence[str]) -> ir.Table:
    """Subscriptions of the day's snapshot or of the day before that the day lacks."""
    key = [*SUBSCRIPTION, "part_date"]
    known = ibis.union(_carried(staged, before, days).select(*key), purchases.select(*key))
    return known.anti_join(staged, key)


def _differing(staged: ir.Table, before: ir.Table, purchases: ir.Table, days: Sequence[str]) -> ir.Table:
    """Rows that differ from the day's snapshot or, if it lacks them, from the day before."""
    key = [*SUBSCRIPTION, "part_date"]
    delivered = _delivered(purchases)
    expected = ibis.union(delivered, _carried(staged, before, days).anti_join(delivered, key))
    columns = [*key, *SAID]
    return staged.anti_join(expected, [staged[name].identical_to(expected[name]) for name in columns]).select(*columns)


TABLE = Table(
    database="we_mart",
    name="wv_dm_subscr_history",
    description=(
        "One row per subscription to direct messages ever seen, even if no longer delivered, with what is known of it "
        "as of the business day."
    ),
    grain=SUBSCRIPTION,
    columns=(
        column("wv_user_id", "bigint", "Weverse user", nullable=False),
        column("comm_id", "bigint", "community", nullable=False),
        column("dm_id", "bigint", "direct message channel", nullable=False),
        column("product_type", "string", "product purchased"),
        column("start_dt", "timestamp", "start of the subscription (UTC)", nullable=False),
        column("end_dt", "timestamp", "end of the subscription (UTC), NULL if open-ended when last seen"),
        column(
            "last_seen_date",
            "date",
            "business day of the latest snapshot with the subscription; earlier than the row's day once the "
            "subscription has vanished",
            nullable=False,
        ),
        PART_DATE,
        RUN_TIMESTAMP,
    ),
    row_checks=(
        RowCheck(
            "seen_by_the_day",
            "last_seen_date is not after the day of the row",
            lambda t: t.last_seen_date.cast("string") <= t.part_date,
        ),
    ),
    table_checks=(
        TableCheck("nothing_is_lost", "no subscription of the day's snapshot or of the day before is missing", _lost),
        TableCheck(
            "as_last_seen",
            "every row is as in the day's snapshot or, if that lacks it, as on the day before",
            _differing,
        ),
    ),
)


@mart(TABLE, before=previous_period(TABLE), purchases=same_period(community_member_purchase))
def wv_dm_subscr_history(before: ir.Table, purchases: ir.Table, days: Sequence[str]) -> ir.Table:
    """Every subscription up to each day, as the latest snapshot that has it describes it.

    Subscriptions that have not started yet are included. A day without a delivery carries the snapshot of the day
    before forward, so its rows count as seen.
    """
    delivered = _delivered(purchases)
    delivered = delivered.rename(day="part_date")
    rows = ibis.union(before.select(*SUBSCRIPTION, *SAID, day=ibis.literal(shift(days[0], -1))), delivered)
    rows = rows.mutate(until=rows.day.lead().over(ibis.window(group_by=list(SUBSCRIPTION), order_by="day")))
    # A row holds from its day until the next snapshot that has the subscription.
    first, until = ibis.greatest(_place(rows.day, days), 0), _place(rows.until, days).fill_null(len(days))
    rows = rows.mutate(place=ibis.range(first, until).unnest())
    all_days = ibis.array([ibis.literal(day) for day in days])
    # Spark accepts no wider integer as an array index.
    return rows.select(*SUBSCRIPTION, *SAID, part_date=all_days[rows.place.cast("int32")])


def _place(day: ir.StringValue, days: Sequence[str]) -> ir.IntegerValue:
    """Index of a day among the run's consecutive days."""
    return day.cast("date").delta(ibis.literal(days[0]).cast("date"), unit="day")
