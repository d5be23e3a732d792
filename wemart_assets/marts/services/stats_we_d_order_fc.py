"""`we_mart.stats_we_d_order_fc`: a day's orders of holders of the artist's membership and of others."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import (
    FLAG,
    KEY_DATE,
    PART_DATE,
    RUN_TIMESTAMP,
    RowCheck,
    Table,
    TableCheck,
    at_least,
    column,
)
from wemart_assets.lake.volume import volume_check
from wemart_assets.marts.community.rules import matched
from wemart_assets.marts.services.rules import ORDER_COLUMNS, of_accounts, only_orders
from wemart_assets.marts.services.we_sale import we_sale
from wemart_assets.marts.sessions.rules import totals, unequal
from wemart_assets.marts.sessions.wv_sess_daily import wv_sess_daily
from wemart_assets.sources.contracts.we_mart import ws_order


def _artists_with_other_orders(staged: ir.Table, orders: ir.Table) -> ir.Table:
    by = ["part_date", "we_art_id"]
    sold = only_orders(orders)
    expected = totals(
        sold,
        by,
        "expected",
        buyer_cnt=sold.we_member_id.nunique(),
        ord_cnt=sold.count(),
        ord_amount=sold.amount.sum(),
    )
    actual = totals(
        staged,
        by,
        "actual",
        buyer_cnt=staged.buyer_cnt.sum(),
        ord_cnt=staged.ord_cnt.sum(),
        ord_amount=staged.ord_amount.sum(),
    )
    return unequal(actual, expected, [*by, "measure"])


def _artists_with_other_visitors(staged: ir.Table, orders: ir.Table, sessions: ir.Table) -> ir.Table:
    """Artists whose buyers who visited are not those of ws_order whom wv_sess_daily has with the artist."""
    by = ["part_date", "we_art_id"]
    visitors = sessions.select("part_date", "we_art_id", "we_member_id")
    buyers = only_orders(orders).semi_join(visitors, ["part_date", "we_art_id", "we_member_id"])
    expected = totals(buyers, by, "expected", visitors=buyers.we_member_id.nunique())
    actual = totals(staged, by, "actual", visitors=staged.comm_visit_buyer_cnt.sum())
    return unequal(actual, expected, [*by, "measure"])


TABLE = Table(
    database="we_mart",
    name="stats_we_d_order_fc",
    description="One row per business day, artist and whether buyers hold the artist's membership. A buyer is a known "
    "account; orders without one count as orders only.",
    grain=("key_date", "we_art_id", "is_fc"),
    columns=(
        KEY_DATE,
        column("we_art_id", "int", "artist, NULL if the orders concern no artist"),
        column("is_fc", "int", "1 for holders of the artist's membership, 0 for others; NULL if unknown", FLAG),
        column("buyer_cnt", "bigint", "accounts with an order", at_least(0), nullable=False),
        *ORDER_COLUMNS,
        column(
            "comm_visit_buyer_cnt",
            "bigint",
            "of these accounts, those who visited the artist's community on the day",
            at_least(0),
            nullable=False,
        ),
        PART_DATE,
        RUN_TIMESTAMP,
    ),
    row_checks=(
        RowCheck(
            "buyers_have_orders",
            "each buyer has an order, and buyers who visited are buyers",
            lambda t: (t.comm_visit_buyer_cnt <= t.buyer_cnt) & (t.buyer_cnt <= t.ord_cnt) & (t.ord_cnt >= 1),
        ),
    ),
    table_checks=(
        TableCheck(
            "amounts_add_up",
            "buyers, orders and amounts add up, by artist, to those of ws_order",
            _artists_with_other_orders,
        ),
        TableCheck(
            "visitors_add_up",
            "buyers who visited add up, by artist, to the buyers of ws_order whom wv_sess_daily has",
            _artists_with_other_visitors,
        ),
        volume_check(),
    ),
)


@mart(TABLE, sales=same_period(we_sale), sessions=same_period(wv_sess_daily), orders=same_period(ws_order))
def stats_we_d_order_fc(sales: ir.Table, sessions: ir.Table) -> ir.Table:
    """A member has one `is_fc` per artist and day, and so is one buyer of the artist."""
    visits = of_accounts(sessions).filter(sessions.we_art_id.notnull())
    visits = visits.select("part_date", "we_member_id", "we_art_id").distinct()
    visits = visits.mutate(has_visited=ibis.literal(1, "int64"))
    sales = matched(sales, visits, ["part_date", "we_member_id", "we_art_id"])
    return sales.group_by("key_date", "part_date", "we_art_id", "is_fc").aggregate(
        buyer_cnt=sales.we_member_id.nunique(),
        ord_cnt=sales.ord_cnt.sum(),
        ord_amount=sales.ord_amount.sum(),
        comm_visit_buyer_cnt=sales.has_visited.sum().fill_null(0),
    )
