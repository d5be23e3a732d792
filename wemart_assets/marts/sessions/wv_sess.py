"""`we_mart.wv_sess`: user sessions, without the communities that they visited."""

from __future__ import annotations

import ibis.expr.types as ir

from wemart_assets.lake.table import RUN_TIMESTAMP, Table
from wemart_assets.lake.view import view
from wemart_assets.marts.sessions.wv_sess_daily import wv_sess_daily

OF_A_COMMUNITY = ("we_art_id", "we_art_name", "comm_id", "is_comm_user", "is_fc", "art_indi_id", "art_indi_type")

TABLE = Table(
    database="we_mart",
    name="wv_sess",
    description="One row per user session, so that sums over sessions count each once.",
    grain=("part_date", "user_sess_id"),
    columns=tuple(c for c in wv_sess_daily.table.columns if c.name not in (*OF_A_COMMUNITY, RUN_TIMESTAMP.name)),
)


@view(TABLE, sessions=wv_sess_daily)
def wv_sess(sessions: ir.Table) -> ir.Table:
    """The distinct rows of wv_sess_daily without the columns that depend on the community."""
    return sessions.select(*(c.name for c in TABLE.columns)).distinct()
