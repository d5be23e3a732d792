"""`we_mart.stats_wv_m_retention_visit_by_type_comm`: who of the month before came back."""

from __future__ import annotations

import ibis.expr.types as ir

from wemart_assets.lake.days import Period
from wemart_assets.lake.inputs import previous_period, same_period
from wemart_assets.lake.mart import mart
from wemart_assets.marts.sessions.retention import retention, retention_table
from wemart_assets.marts.sessions.wv_visit_monthly_base import wv_visit_monthly_base

TABLE = retention_table("stats_wv_m_retention_visit_by_type_comm", Period.MONTH)


@mart(TABLE, now=same_period(wv_visit_monthly_base), before=previous_period(wv_visit_monthly_base))
def stats_wv_m_retention_visit_by_type_comm(now: ir.Table, before: ir.Table) -> ir.Table:
    """Visitors of the month before by artist and kind, and how many of them visited the artist again."""
    return retention(now, before, Period.MONTH)
