"""`we_mart.stats_wv_d_comm_profile`: profiles and private profiles by community."""

from __future__ import annotations

import ibis.expr.types as ir

from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import KEY_DATE, PART_DATE, RUN_TIMESTAMP, RowCheck, Table, at_least, column
from wemart_assets.lake.volume import volume_check
from wemart_assets.marts.community.wv_comm_user import wv_comm_user

TABLE = Table(
    database="we_mart",
    name="stats_wv_d_comm_profile",
    description="One row per business day and community: profiles, and how many of them are private.",
    grain=("key_date", "comm_id"),
    columns=(
        KEY_DATE,
        column("comm_id", "bigint", "community", nullable=False),
        column("we_art_id", "int", "artist of the community"),
        column("we_art_name", "string", "name of the artist"),
        column("total_profile_created", "bigint", "members with a profile", at_least(0), nullable=False),
        column(
            "total_profile_private", "bigint", "of them, those whose profile is private", at_least(0), nullable=False
        ),
        PART_DATE,
        RUN_TIMESTAMP,
    ),
    row_checks=(
        RowCheck(
            "private_profiles_are_profiles",
            "there are at most as many private profiles as profiles",
            lambda t: t.total_profile_private <= t.total_profile_created,
        ),
    ),
    table_checks=(volume_check(),),
)


@mart(TABLE, members=same_period(wv_comm_user))
def stats_wv_d_comm_profile(members: ir.Table) -> ir.Table:
    """Members with a profile, and with a private one, by community."""
    communities = members.group_by("key_date", "part_date", "comm_id", "we_art_id", "we_art_name")
    return communities.aggregate(
        total_profile_created=members.count(where=members.is_profile_created == 1),
        total_profile_private=members.count(where=members.is_profile_private == 1),
    )
