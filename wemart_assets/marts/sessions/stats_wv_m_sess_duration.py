"""`we_mart.stats_wv_m_sess_duration`: how long sessions last, by month."""

from __future__ import annotations

import ibis.expr.types as ir

from wemart_assets.lake.days import Period
from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.marts.sessions.session_durations import session_durations, session_durations_table
from wemart_assets.marts.sessions.wv_sess_daily import wv_sess_daily

TABLE = session_durations_table("stats_wv_m_sess_duration", Period.MONTH)


@mart(TABLE, sessions=same_period(wv_sess_daily))
def stats_wv_m_sess_duration(sessions: ir.Table) -> ir.Table:
    """Mean and quantiles of the month's sessions, by platform."""
    return session_durations(sessions, Period.MONTH)
