"""`we_mart.stats_wv_d_pop_post`: the posts seen by most members of a community by day."""

from __future__ import annotations

import ibis.expr.types as ir

from wemart_assets.lake.days import Period
from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.marts.community.popularity import popular, popularity_table
from wemart_assets.marts.community.wv_comm_user import wv_comm_user
from wemart_assets.sources.contracts.we_mart import wv_post_reaction, wv_post_view

TABLE = popularity_table("stats_wv_d_pop_post", Period.DAY)


@mart(
    TABLE, members=same_period(wv_comm_user), views=same_period(wv_post_view), reactions=same_period(wv_post_reaction)
)
def stats_wv_d_pop_post(members: ir.Table, views: ir.Table, reactions: ir.Table) -> ir.Table:
    """Posts that most members saw on the day."""
    return popular(members, views, reactions, Period.DAY)
