"""`we_mart.wv_visit_weekly_base`: visits of members to artists by week."""

from __future__ import annotations

import ibis.expr.types as ir

from wemart_assets.lake.days import Period
from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.marts.sessions.visit_bases import visit_base, visit_base_table
from wemart_assets.marts.sessions.wv_sess_daily import wv_sess_daily

TABLE = visit_base_table("wv_visit_weekly_base", Period.WEEK)


@mart(TABLE, sessions=same_period(wv_sess_daily))
def wv_visit_weekly_base(sessions: ir.Table) -> ir.Table:
    """Visits by member and artist, over the week."""
    return visit_base(sessions, Period.WEEK)
