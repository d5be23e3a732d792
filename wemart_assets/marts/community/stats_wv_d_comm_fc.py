"""`we_mart.stats_wv_d_comm_fc`: members and membership holders by community."""

from __future__ import annotations

import ibis.expr.types as ir

from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import KEY_DATE, PART_DATE, RUN_TIMESTAMP, RowCheck, Table, at_least, column
from wemart_assets.lake.volume import volume_check
from wemart_assets.marts.community.wv_comm_user import wv_comm_user

TABLE = Table(
    database="we_mart",
    name="stats_wv_d_comm_fc",
    description="One row per business day and community: members, and how many of them hold a membership.",
    grain=("key_date", "comm_id"),
    columns=(
        KEY_DATE,
        column("comm_id", "bigint", "community", nullable=False),
        column("we_art_id", "int", "artist of the community"),
        column("we_art_name", "string", "name of the artist"),
        column("total_members", "bigint", "members, each counted once", at_least(1), nullable=False),
        column("fc_members", "bigint", "of them, those who hold a membership", at_least(0), nullable=False),
        PART_DATE,
        RUN_TIMESTAMP,
    ),
    row_checks=(
        RowCheck(
            "holders_are_members",
            "there are at most as many membership holders as members",
            lambda t: t.fc_members <= t.total_members,
        ),
    ),
    table_checks=(volume_check(),),
)


@mart(TABLE, members=same_period(wv_comm_user))
def stats_wv_d_comm_fc(members: ir.Table) -> ir.Table:
    """Each member counts once, however often a membership was renewed."""
    communities = members.group_by("key_date", "part_date", "comm_id", "we_art_id", "we_art_name")
    return communities.aggregate(
        total_members=members.wv_user_id.nunique(),
        fc_members=members.wv_user_id.nunique(where=members.is_fc == 1),
    )
