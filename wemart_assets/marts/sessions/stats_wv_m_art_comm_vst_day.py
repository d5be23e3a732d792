"""`we_mart.stats_wv_m_art_comm_vst_day`: on how many days of the month members visited an artist."""

from __future__ import annotations

import ibis.expr.types as ir

from wemart_assets.lake.days import Period
from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.marts.sessions.visit_days import visit_days, visit_days_table
from wemart_assets.marts.sessions.wv_visit_monthly_base import wv_visit_monthly_base

TABLE = visit_days_table("stats_wv_m_art_comm_vst_day", Period.MONTH)


@mart(TABLE, base=same_period(wv_visit_monthly_base))
def stats_wv_m_art_comm_vst_day(base: ir.Table) -> ir.Table:
    """Members by artist and number of days with a visit."""
    return visit_days(base)
