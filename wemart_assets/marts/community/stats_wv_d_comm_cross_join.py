"""`we_mart.stats_wv_d_comm_cross_join`: members that pairs of communities share."""

from __future__ import annotations

import ibis.expr.types as ir

from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import KEY_DATE, PART_DATE, RUN_TIMESTAMP, RowCheck, Table, TableCheck, at_least, column
from wemart_assets.lake.volume import volume_check
from wemart_assets.marts.community.wv_comm_user import wv_comm_user


def _asymmetric_pairs(staged: ir.Table) -> ir.Table:
    reversed_pairs = staged.select(
        "part_date", comm_id="other_comm_id", other_comm_id="comm_id", member_cnt="member_cnt"
    )
    return staged.anti_join(reversed_pairs, ["part_date", "comm_id", "other_comm_id", "member_cnt"])


TABLE = Table(
    database="we_mart",
    name="stats_wv_d_comm_cross_join",
    description=(
        "One row per business day and ordered pair of communities that share members: each pair appears in both orders."
    ),
    grain=("key_date", "comm_id", "other_comm_id"),
    columns=(
        KEY_DATE,
        column("comm_id", "bigint", "community", nullable=False),
        column("other_comm_id", "bigint", "the other community", nullable=False),
        column("member_cnt", "bigint", "users who are members of both", at_least(1), nullable=False),
        PART_DATE,
        RUN_TIMESTAMP,
    ),
    row_checks=(
        RowCheck("two_communities", "no community is paired with itself", lambda t: t.comm_id != t.other_comm_id),
    ),
    table_checks=(
        TableCheck("same_both_ways_round", "both orders of a pair have the same count", _asymmetric_pairs),
        volume_check(),
    ),
)


@mart(TABLE, members=same_period(wv_comm_user))
def stats_wv_d_comm_cross_join(members: ir.Table) -> ir.Table:
    """Users who are members of two communities at once."""
    members = members.select("key_date", "part_date", "comm_id", "wv_user_id")
    other_members = members.select(day="part_date", other_user="wv_user_id", other_comm_id="comm_id")
    at = [
        members.part_date == other_members.day,
        members.wv_user_id == other_members.other_user,
        members.comm_id != other_members.other_comm_id,
    ]
    members_of_both = members.join(other_members, at)
    return members_of_both.group_by("key_date", "part_date", "comm_id", "other_comm_id").aggregate(
        member_cnt=members_of_both.count()
    )
