"""`we_mart.stats_wv_w_art_comm_vst_day`: on how many days of the week members visited an artist."""

from __future__ import annotations

import ibis.expr.types as ir

from wemart_assets.lake.days import Period
from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.marts.sessions.visit_days import visit_days, visit_days_table
from wemart_assets.marts.sessions.wv_visit_weekly_base import wv_visit_weekly_base

TABLE = visit_days_table("stats_wv_w_art_comm_vst_day", Period.WEEK)


@mart(TABLE, base=same_period(wv_visit_weekly_base))
def stats_wv_w_art_comm_vst_day(base: ir.Table) -> ir.Table:
    """Members by artist and number of days with a visit."""
    return visit_days(base)
