"""`we_mart.stats_wv_d_user_setting`: members by community and push notification turned on."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import KEY_DATE, PART_DATE, RUN_TIMESTAMP, RowCheck, Table, at_least, column
from wemart_assets.lake.volume import volume_check
from wemart_assets.marts.community.wv_comm_user import PUSH_FLAGS, wv_comm_user

COUNTS = {f"{flag.removesuffix('_enabled')}_cnt": flag for flag in PUSH_FLAGS}

TABLE = Table(
    database="we_mart",
    name="stats_wv_d_user_setting",
    description="One row per business day and community: members, and how many of them have each push notification on.",
    grain=("key_date", "comm_id"),
    columns=(
        KEY_DATE,
        column("comm_id", "bigint", "community", nullable=False),
        column("member_cnt", "bigint", "members", at_least(1), nullable=False),
        *(
            column(name, "bigint", f"of them, those with {flag} = 1", at_least(0), nullable=False)
            for name, flag in COUNTS.items()
        ),
        PART_DATE,
        RUN_TIMESTAMP,
    ),
    row_checks=(
        RowCheck(
            "settings_of_members",
            "no notification is on for more users than there are members",
            lambda t: ibis.and_(*(t[name] <= t.member_cnt for name in COUNTS)),
        ),
    ),
    table_checks=(volume_check(),),
)


@mart(TABLE, members=same_period(wv_comm_user))
def stats_wv_d_user_setting(members: ir.Table) -> ir.Table:
    """Members with each notification on, by community."""
    communities = members.group_by("key_date", "part_date", "comm_id")
    return communities.aggregate(
        member_cnt=members.count(), **{name: members.count(where=members[flag] == 1) for name, flag in COUNTS.items()}
    )
