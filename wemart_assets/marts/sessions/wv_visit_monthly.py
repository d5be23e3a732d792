"""`we_mart.wv_visit_monthly`: visits of members by month."""

from __future__ import annotations

import ibis.expr.types as ir

from wemart_assets.lake.days import Period
from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.marts.sessions.visit_bases import visit_total, visit_total_table
from wemart_assets.marts.sessions.wv_sess_daily import wv_sess_daily

TABLE = visit_total_table("wv_visit_monthly", Period.MONTH)


@mart(TABLE, sessions=same_period(wv_sess_daily))
def wv_visit_monthly(sessions: ir.Table) -> ir.Table:
    """Visits by member, over the month."""
    return visit_total(sessions, Period.MONTH)
