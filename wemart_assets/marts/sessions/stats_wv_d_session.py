"""`we_mart.stats_wv_d_session`: how many sessions an account had on a day, and how long they were."""

from __future__ import annotations

import ibis.expr.types as ir

from wemart_assets.lake.inputs import same_day
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import KEY_DATE, PART_DATE, RUN_TIMESTAMP, Table, TableCheck, at_least, column
from wemart_assets.lake.volume import volume_check
from wemart_assets.marts.sessions.rules import days_with_other_seconds
from wemart_assets.marts.sessions.wv_sess_daily import wv_sess_daily

TABLE = Table(
    database="we_mart",
    name="stats_wv_d_session",
    description="One row per account and business day; visits by nobody known are the row without account.",
    grain=("key_date", "we_member_id"),
    columns=(
        KEY_DATE,
        column("we_member_id", "int", "account"),
        column("sess_cnt", "bigint", "sessions", at_least(1), nullable=False),
        column("total_sess_dur", "bigint", "seconds of these sessions", at_least(1), nullable=False),
        PART_DATE,
        RUN_TIMESTAMP,
    ),
    table_checks=(
        TableCheck(
            "durations_add_up",
            "the seconds are those of the sessions of wv_sess_daily, each counted once an account",
            lambda staged, sessions: days_with_other_seconds(staged, "total_sess_dur", sessions, "sess_id", "sess_dur"),
        ),
        volume_check(),
    ),
)


@mart(TABLE, sessions=same_day(wv_sess_daily))
def stats_wv_d_session(sessions: ir.Table) -> ir.Table:
    """Each session counts once an account, although it has a row for each community that was visited."""
    each = sessions.select("key_date", "part_date", "we_member_id", "sess_id", "sess_dur").distinct()
    return each.group_by("key_date", "part_date", "we_member_id").aggregate(
        sess_cnt=each.sess_id.nunique(), total_sess_dur=each.sess_dur.sum()
    )
