"""`we_mart.stats_wv_d_comm_cross_join`: how many members two communities share."""

from __future__ import annotations

import ibis.expr.types as ir

from wemart_assets.lake.inputs import same_day
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import KEY_DATE, PART_DATE, RUN_TIMESTAMP, RowCheck, Table, TableCheck, at_least, column
from wemart_assets.lake.volume import volume_check
from wemart_assets.marts.community.wv_comm_user import wv_comm_user


def _one_sided(staged: ir.Table) -> ir.Table:
    other = staged.select("part_date", comm_id="other_comm_id", other_comm_id="comm_id", member_cnt="member_cnt")
    return staged.anti_join(other, ["part_date", "comm_id", "other_comm_id", "member_cnt"])


TABLE = Table(
    database="we_mart",
    name="stats_wv_d_comm_cross_join",
    description=(
        "One row per business day and two communities that share members; each two communities appear both ways round."
    ),
    grain=("key_date", "comm_id", "other_comm_id"),
    columns=(
        KEY_DATE,
        column("comm_id", "bigint", "community", nullable=False),
        column("other_comm_id", "bigint", "the other community", nullable=False),
        column("member_cnt", "bigint", "members of both", at_least(1), nullable=False),
        PART_DATE,
        RUN_TIMESTAMP,
    ),
    row_checks=(
        RowCheck("two_communities", "a community is not its own other", lambda t: t.comm_id != t.other_comm_id),
    ),
    table_checks=(
        TableCheck("same_both_ways_round", "two communities share the same members both ways round", _one_sided),
        volume_check(),
    ),
)


@mart(TABLE, members=same_day(wv_comm_user))
def stats_wv_d_comm_cross_join(members: ir.Table) -> ir.Table:
    """Members of two communities at once."""
    members = members.select("key_date", "part_date", "comm_id", "wv_user_id")
    others = members.select(day="part_date", of_user="wv_user_id", other_comm_id="comm_id")
    at = [
        members.part_date == others.day,
        members.wv_user_id == others.of_user,
        members.comm_id != others.other_comm_id,
    ]
    both = members.join(others, at)
    return both.group_by("key_date", "part_date", "comm_id", "other_comm_id").aggregate(member_cnt=both.count())
