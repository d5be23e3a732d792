"""`we_mart.stats_we_d_integ_v`: members by services used, with whether they used the apps and ordered."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.table import KEY_DATE, PART_DATE, Table, column
from wemart_assets.lake.view import view
from wemart_assets.marts.community.rules import matched
from wemart_assets.marts.services.rules import of_accounts, only_orders, service_sets
from wemart_assets.marts.services.we_user_visit import we_user_visit
from wemart_assets.marts.sessions.wv_sess_daily import wv_sess_daily
from wemart_assets.sources.contracts.we_mart import ws_order, ws_user_daily

APP = "APP"
FLAGS = ("is_ws_app", "is_wv_app", "is_ord")

TABLE = Table(
    database="we_mart",
    name="stats_we_d_integ_v",
    description="One row per business day, set of services used, and whether members used the apps and ordered. "
    "Members who ordered without visiting any service are left out.",
    grain=("key_date", "vst_type", *FLAGS),
    columns=(
        KEY_DATE,
        column("vst_type", "string", "exact set of services used: names in fixed order, joined by `+`", nullable=False),
        column("is_ws_app", "int", "1 if they visited the shop with its app", nullable=False),
        column("is_wv_app", "int", "1 if they visited Weverse with its app", nullable=False),
        column("is_ord", "int", "1 if they ordered", nullable=False),
        column("member_cnt", "bigint", "members", nullable=False),
        PART_DATE,
    ),
)


@view(TABLE, visits=we_user_visit, sessions=wv_sess_daily, shop=ws_user_daily, orders=ws_order)
def stats_we_d_integ_v(visits: ir.Table, sessions: ir.Table, shop: ir.Table, orders: ir.Table) -> ir.Table:
    """Each member of we_user_visit once."""
    members = service_sets(visits)
    with_flag = {
        "is_ws_app": shop.filter(shop.platform == APP),
        "is_wv_app": sessions.filter(sessions.platform == APP),
        "is_ord": only_orders(orders),
    }
    for flag, rows in with_flag.items():
        accounts = of_accounts(rows).select("part_date", "we_member_id").distinct()
        members = matched(members, accounts.mutate(**{flag: ibis.literal(1, "int32")}), ["part_date", "we_member_id"])
    members = members.mutate(**{flag: members[flag].fill_null(0) for flag in FLAGS})
    return members.group_by("key_date", "part_date", *FLAGS, vst_type=members.services).aggregate(
        member_cnt=members.count()
    )
