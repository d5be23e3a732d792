"""`we_mart.stats_wv_d_comm_cross_join_agg`: how many users are members of how many communities."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.inputs import same_day
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import KEY_DATE, PART_DATE, RUN_TIMESTAMP, Table, TableCheck, at_least, column
from wemart_assets.lake.volume import volume_check
from wemart_assets.marts.community.wv_comm_user import wv_comm_user


def _days_with_other_members(staged: ir.Table, members: ir.Table) -> ir.Table:
    counted = staged.group_by("part_date").aggregate(counted=(staged.community_cnt * staged.member_cnt).sum())
    there = members.group_by("part_date").aggregate(there=ibis._.count())
    both = counted.outer_join(there, "part_date")
    both = both.select("counted", "there", part_date=ibis.coalesce(both.part_date, both.part_date_right))
    return both.filter((both.counted != both.there).fill_null(True))


TABLE = Table(
    database="we_mart",
    name="stats_wv_d_comm_cross_join_agg",
    description="One row per business day and number of communities: users who are members of that many.",
    grain=("key_date", "community_cnt"),
    columns=(
        KEY_DATE,
        column("community_cnt", "bigint", "number of communities", at_least(1), nullable=False),
        column("member_cnt", "bigint", "users who are members of that many", at_least(1), nullable=False),
        PART_DATE,
        RUN_TIMESTAMP,
    ),
    table_checks=(
        TableCheck("members_add_up", "users times communities are the rows of wv_comm_user", _days_with_other_members),
        volume_check(),
    ),
)


@mart(TABLE, members=same_day(wv_comm_user))
def stats_wv_d_comm_cross_join_agg(members: ir.Table) -> ir.Table:
    """Users by the number of their communities."""
    users = members.group_by("key_date", "part_date", "wv_user_id").aggregate(community_cnt=members.count())
    return users.group_by("key_date", "part_date", "community_cnt").aggregate(member_cnt=users.count())
