"""`we_mart.wv_user_daily`: the day's sessions without the login columns and the session country."""

from __future__ import annotations

import ibis.expr.types as ir

from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import Table, TableCheck
from wemart_assets.lake.volume import volume_check
from wemart_assets.marts.sessions.wv_sess_daily import wv_sess_daily

LEFT_OUT = ("is_device_login", "sess_ctry", "is_sess_login")


def _unmatched_user_sessions(staged: ir.Table, sessions: ir.Table) -> ir.Table:
    keys = ["part_date", "user_sess_id"]
    published = staged.select(*keys).distinct()
    upstream = sessions.select(*keys).distinct()
    return published.anti_join(upstream, keys).union(upstream.anti_join(published, keys))


TABLE = Table(
    database="we_mart",
    name="wv_user_daily",
    description="One row per session, user and community visited: wv_sess_daily without three of its columns.",
    grain=("sess_id", "user_sess_id", "comm_id"),
    columns=tuple(c for c in wv_sess_daily.table.columns if c.name not in LEFT_OUT),
    table_checks=(
        TableCheck(
            "user_sessions_of_sess_daily",
            "the table has exactly the user sessions of wv_sess_daily",
            _unmatched_user_sessions,
        ),
        volume_check(),
    ),
)


@mart(TABLE, sessions=same_period(wv_sess_daily))
def wv_user_daily(sessions: ir.Table) -> ir.Table:
    """The distinct rows of wv_sess_daily without the columns left out."""
    return sessions.drop(*LEFT_OUT, "run_timestamp").distinct()
