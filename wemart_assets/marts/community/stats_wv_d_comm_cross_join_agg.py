"""`we_mart.stats_wv_d_comm_cross_join_agg`: users by the number of communities they are members of."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import KEY_DATE, PART_DATE, RUN_TIMESTAMP, Table, TableCheck, at_least, column
from wemart_assets.lake.volume import volume_check
from wemart_assets.marts.community.wv_comm_user import wv_comm_user


def _days_off_count(staged: ir.Table, members: ir.Table) -> ir.Table:
    actual = staged.group_by("part_date").aggregate(actual=(staged.community_cnt * staged.member_cnt).sum())
    expected = members.group_by("part_date").aggregate(expected=ibis._.count())
    days = actual.outer_join(expected, "part_date")
    days = days.select("actual", "expected", part_date=ibis.coalesce(days.part_date, days.part_date_right))
    return days.filter((days.actual != days.expected).fill_null(True))


TABLE = Table(
    database="we_mart",
    name="stats_wv_d_comm_cross_join_agg",
    description="One row per business day and number of communities: the users who are members of exactly that many.",
    grain=("key_date", "community_cnt"),
    columns=(
        KEY_DATE,
        column("community_cnt", "bigint", "number of communities", at_least(1), nullable=False),
        column("member_cnt", "bigint", "users who are members of exactly that many", at_least(1), nullable=False),
        PART_DATE,
        RUN_TIMESTAMP,
    ),
    table_checks=(
        TableCheck(
            "members_add_up", "community_cnt times member_cnt adds up to the rows of wv_comm_user", _days_off_count
        ),
        volume_check(),
    ),
)


@mart(TABLE, members=same_period(wv_comm_user))
def stats_wv_d_comm_cross_join_agg(members: ir.Table) -> ir.Table:
    """Users by the number of communities they are members of."""
    users = members.group_by("key_date", "part_date", "wv_user_id").aggregate(community_cnt=members.count())
    return users.group_by("key_date", "part_date", "community_cnt").aggregate(member_cnt=users.count())
