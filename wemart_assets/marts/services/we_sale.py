"""`we_mart.we_sale`: what each member ordered of each artist on a day."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import FLAG, KEY_DATE, PART_DATE, RUN_TIMESTAMP, RowCheck, Table, TableCheck, column
from wemart_assets.lake.volume import volume_check
from wemart_assets.marts.community.rules import matched
from wemart_assets.marts.community.wv_comm_user import wv_comm_user
from wemart_assets.marts.services.rules import (
    ORDER_COLUMNS,
    members_of_artists,
    only_orders,
    with_membership,
)
from wemart_assets.marts.sessions.rules import totals, unequal
from wemart_assets.sources.contracts.we_mart import we_artist, we_user, ws_fc_user_history, ws_order


def _artists_with_other_orders(staged: ir.Table, orders: ir.Table) -> ir.Table:
    by = ["part_date", "we_art_id"]
    sold = only_orders(orders)
    expected = totals(sold, by, "expected", ord_cnt=sold.count(), ord_amount=sold.amount.sum())
    actual = totals(staged, by, "actual", ord_cnt=staged.ord_cnt.sum(), ord_amount=staged.ord_amount.sum())
    return unequal(actual, expected, [*by, "measure"])


TABLE = Table(
    database="we_mart",
    name="we_sale",
    description="One row per business day, member and artist with an order in the shop. Orders without a known account "
    "or artist have rows as well.",
    grain=("key_date", "we_member_id", "we_art_id"),
    columns=(
        KEY_DATE,
        column("we_member_id", "int", "account, NULL if unknown"),
        column("we_art_id", "int", "artist, NULL if the orders concern no artist"),
        *ORDER_COLUMNS,
        column(
            "is_comm_user",
            "int",
            "1 if the account is a member of the artist's community, else 0; NULL if account or community is unknown",
            FLAG,
        ),
        column(
            "is_fc",
            "int",
            "1 if the account holds the artist's membership, else 0; NULL if account or artist is unknown",
            FLAG,
        ),
        PART_DATE,
        RUN_TIMESTAMP,
    ),
    row_checks=(
        RowCheck("has_orders", "every row has an order", lambda t: t.ord_cnt >= 1),
        RowCheck(
            "flags_of_somebody",
            "both flags are NULL if the account or the artist is NULL; "
            "is_comm_user is not NULL only where is_fc is not",
            lambda t: (
                (t.is_fc.isnull() | (t.we_member_id.notnull() & t.we_art_id.notnull()))
                & (t.is_comm_user.isnull() | t.is_fc.notnull())
            ),
        ),
    ),
    table_checks=(
        TableCheck(
            "amounts_add_up",
            "orders and amounts add up, by artist, to those of ws_order",
            _artists_with_other_orders,
        ),
        volume_check(),
    ),
)


@mart(
    TABLE,
    orders=same_period(ws_order),
    users=same_period(we_user),
    artists=same_period(we_artist),
    members=same_period(wv_comm_user),
    memberships=same_period(ws_fc_user_history),
)
def we_sale(
    orders: ir.Table, users: ir.Table, artists: ir.Table, members: ir.Table, memberships: ir.Table, timezone: str
) -> ir.Table:
    """Orders and their amount, with what the member is to the artist at the end of the day.

    An account or an artist is known if the day's snapshot has it. An artist's community is that of the snapshot.
    """
    orders = only_orders(orders)
    sales = orders.group_by("key_date", "part_date", "we_member_id", "we_art_id").aggregate(
        ord_cnt=orders.count(), ord_amount=orders.amount.sum().fill_null(0)
    )
    sales = with_membership(sales, users, artists, memberships, timezone)
    with_community = artists.filter(artists.comm_id.notnull())
    with_community = with_community.select("part_date", "we_art_id", has_community=ibis.literal(1, "int32"))
    sales = matched(sales, with_community, ["part_date", "we_art_id"])
    sales = matched(sales, members_of_artists(members), ["part_date", "we_art_id", "we_member_id"])
    is_decidable = sales.has_community.notnull() & sales.is_fc.notnull()
    is_member = sales.held.notnull().ifelse(ibis.literal(1, "int32"), ibis.literal(0, "int32"))
    return sales.mutate(is_comm_user=is_decidable.ifelse(is_member, ibis.null("int32")))
