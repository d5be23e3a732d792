"""`we_mart.stats_wv_d_platform`: sessions by platform and day."""

from __future__ import annotations

import ibis.expr.types as ir

from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import KEY_DATE, PART_DATE, RUN_TIMESTAMP, Table, TableCheck, at_least, column
from wemart_assets.marts.sessions.rules import unequal
from wemart_assets.marts.sessions.wv_sess_daily import wv_sess_daily


def _days_off_count(staged: ir.Table, sessions: ir.Table) -> ir.Table:
    actual = staged.group_by("part_date").aggregate(actual=staged.sess_cnt.sum())
    # A session has exactly one platform, so the platforms' counts add up to all sessions.
    expected = sessions.group_by("part_date").aggregate(expected=sessions.sess_id.nunique())
    return unequal(actual, expected, ["part_date"])


TABLE = Table(
    database="we_mart",
    name="stats_wv_d_platform",
    description="One row per platform and business day. Sessions without a known platform are the NULL row.",
    grain=("key_date", "platform"),
    columns=(
        KEY_DATE,
        column("platform", "string", "TV, APP, PC or MWEB; NULL if unknown"),
        column("sess_cnt", "bigint", "sessions", at_least(1), nullable=False),
        PART_DATE,
        RUN_TIMESTAMP,
    ),
    table_checks=(
        TableCheck("sessions_add_up", "sess_cnt adds up to the day's sessions in wv_sess_daily", _days_off_count),
    ),
)


@mart(TABLE, sessions=same_period(wv_sess_daily))
def stats_wv_d_platform(sessions: ir.Table) -> ir.Table:
    """Each session counts once, under its last known platform."""
    return sessions.group_by("key_date", "part_date", "platform").aggregate(sess_cnt=sessions.sess_id.nunique())
