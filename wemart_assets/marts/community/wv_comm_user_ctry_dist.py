"""`we_mart.wv_comm_user_ctry_dist`: members of a community by country."""

from __future__ import annotations

import ibis.expr.types as ir

from wemart_assets.lake.table import PART_DATE, Table, column
from wemart_assets.lake.view import view
from wemart_assets.marts.community.wv_comm_user import wv_comm_user

TABLE = Table(
    database="we_mart",
    name="wv_comm_user_ctry_dist",
    description="One row per business day, community and country: the members' accounts.",
    grain=("part_date", "comm_id", "user_country"),
    columns=(
        column("comm_id", "bigint", "community", nullable=False),
        column("we_art_id", "int", "artist of the community"),
        column("we_art_name", "string", "name of the artist"),
        column("user_country", "string", "country of the members that day"),
        column("user_count", "bigint", "distinct accounts of the members", nullable=False),
        PART_DATE,
    ),
)


@view(TABLE, members=wv_comm_user)
def wv_comm_user_ctry_dist(members: ir.Table) -> ir.Table:
    """Members with an account, by community and country."""
    by_country = members.group_by("part_date", "comm_id", "we_art_id", "we_art_name", user_country=members.ip_ctry)
    return by_country.aggregate(user_count=members.we_member_id.nunique())
