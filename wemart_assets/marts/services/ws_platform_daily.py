"""`we_mart.ws_platform_daily`: the shop's visitors and orders by platform."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import KEY_DATE, PART_DATE, RUN_TIMESTAMP, RowCheck, Table, TableCheck, at_least, column
from wemart_assets.marts.services.rules import ORDER_COLUMNS, of_accounts, only_orders
from wemart_assets.marts.sessions.rules import totals, unequal
from wemart_assets.marts.sessions.wv_sess_daily import wv_sess_daily
from wemart_assets.sources.contracts.we_mart import ws_order, ws_user_daily

BY = ("key_date", "part_date", "platform")


def _platforms_with_other_orders(staged: ir.Table, orders: ir.Table) -> ir.Table:
    by = ["part_date", "platform"]
    sold = only_orders(orders)
    buyers = of_accounts(sold).select(*by, "we_member_id").distinct()
    expected = ibis.union(
        totals(sold, by, "expected", ord_cnt=sold.count(), ord_amount=sold.amount.sum()),
        totals(buyers, by, "expected", buyer_cnt=buyers.count()),
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


def _platforms_with_other_visitors(staged: ir.Table, visits: ir.Table, sessions: ir.Table) -> ir.Table:
    by = ["part_date", "platform"]
    visitors = of_accounts(visits).select(*by, "we_member_id").distinct()
    both = visitors.semi_join(sessions, ["part_date", "we_member_id"])
    expected = ibis.union(
        totals(visitors, by, "expected", visitor_cnt=visitors.count()),
        totals(both, by, "expected", wv_visitor_cnt=both.count()),
    )
    actual = totals(
        staged, by, "actual", visitor_cnt=staged.visitor_cnt.sum(), wv_visitor_cnt=staged.wv_visitor_cnt.sum()
    )
    return unequal(actual, expected, [*by, "measure"])


TABLE = Table(
    database="we_mart",
    name="ws_platform_daily",
    description="One row per business day and platform with a visit to the shop or an order. Visitors and buyers are "
    "known accounts; orders without one count as orders only.",
    grain=("key_date", "platform"),
    columns=(
        KEY_DATE,
        column("platform", "string", "APP, PC or MWEB, NULL if unknown"),
        column("visitor_cnt", "bigint", "accounts with a visit", at_least(0), nullable=False),
        column("buyer_cnt", "bigint", "accounts with an order", at_least(0), nullable=False),
        *ORDER_COLUMNS,
        column(
            "wv_visitor_cnt",
            "bigint",
            "of the visitors, those who also had a session on Weverse that day",
            at_least(0),
            nullable=False,
        ),
        PART_DATE,
        RUN_TIMESTAMP,
    ),
    row_checks=(
        RowCheck(
            "parts_of_the_whole",
            "each buyer has an order, and visitors with a session are visitors",
            lambda t: (t.buyer_cnt <= t.ord_cnt) & (t.wv_visitor_cnt <= t.visitor_cnt),
        ),
    ),
    table_checks=(
        TableCheck(
            "orders_add_up",
            "buyers, orders and amounts are those of ws_order by platform",
            _platforms_with_other_orders,
        ),
        TableCheck(
            "visitors_add_up",
            "visitors, and those with a session, are those of ws_user_daily by platform",
            _platforms_with_other_visitors,
        ),
    ),
)


@mart(TABLE, visits=same_period(ws_user_daily), orders=same_period(ws_order), sessions=same_period(wv_sess_daily))
def ws_platform_daily(visits: ir.Table, orders: ir.Table, sessions: ir.Table) -> ir.Table:
    """Visits and orders each have their own platform; a member counts once on each."""
    orders = only_orders(orders)
    rows = ibis.union(
        visits.select(*BY, "we_member_id", is_ord=ibis.literal(0, "int64"), amount=ibis.null("decimal(18, 4)")),
        orders.select(*BY, "we_member_id", is_ord=ibis.literal(1, "int64"), amount="amount"),
    )
    on_weverse = of_accounts(sessions).select(session_date="part_date", session_member="we_member_id").distinct()
    rows = rows.left_join(
        on_weverse, [rows.part_date == on_weverse.session_date, rows.we_member_id == on_weverse.session_member]
    )
    is_order = rows.is_ord == 1
    return rows.group_by(*BY).aggregate(
        visitor_cnt=rows.we_member_id.nunique(where=~is_order),
        buyer_cnt=rows.we_member_id.nunique(where=is_order),
        ord_cnt=rows.is_ord.sum(),
        ord_amount=rows.amount.sum().fill_null(0),
        wv_visitor_cnt=rows.we_member_id.nunique(where=~is_order & rows.session_member.notnull()),
    )
