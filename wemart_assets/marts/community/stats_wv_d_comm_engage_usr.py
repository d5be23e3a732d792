"""`we_mart.stats_wv_d_comm_engage_usr`: engaged members of a community by day."""

from __future__ import annotations

import ibis.expr.types as ir

from wemart_assets.lake.days import Period
from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.marts.community.engagement import engaged, engagement_table
from wemart_assets.marts.community.wv_comm_user import wv_comm_user
from wemart_assets.sources.contracts.we_mart import wv_media_reaction, wv_post_reaction, wv_post_view

TABLE = engagement_table("stats_wv_d_comm_engage_usr", Period.DAY)


@mart(
    TABLE,
    members=same_period(wv_comm_user),
    views=same_period(wv_post_view),
    reactions=same_period(wv_post_reaction),
    media=same_period(wv_media_reaction),
)
def stats_wv_d_comm_engage_usr(members: ir.Table, views: ir.Table, reactions: ir.Table, media: ir.Table) -> ir.Table:
    """Members of the day, and how many of them were active on it."""
    return engaged(members, views, reactions, media, Period.DAY)
