"""`we_mart.stats_wv_d_user_sess`: number and length of user sessions by account and day."""

from __future__ import annotations

import ibis.expr.types as ir

from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import KEY_DATE, PART_DATE, RUN_TIMESTAMP, Table, TableCheck, at_least, column
from wemart_assets.lake.volume import volume_check
from wemart_assets.marts.sessions.rules import days_with_other_seconds
from wemart_assets.marts.sessions.wv_sess_daily import wv_sess_daily

TABLE = Table(
    database="we_mart",
    name="stats_wv_d_user_sess",
    description="One row per account and business day. User sessions without a known account are the NULL row.",
    grain=("key_date", "we_member_id"),
    columns=(
        KEY_DATE,
        column("we_member_id", "int", "account, NULL if unknown"),
        column("user_sess_cnt", "bigint", "user sessions", at_least(1), nullable=False),
        column("total_user_sess_dur", "bigint", "total seconds of these user sessions", at_least(1), nullable=False),
        PART_DATE,
        RUN_TIMESTAMP,
    ),
    table_checks=(
        TableCheck(
            "durations_add_up",
            "total_user_sess_dur adds up to the user sessions of wv_sess_daily, each counted once per account",
            lambda staged, sessions: days_with_other_seconds(
                staged, "total_user_sess_dur", sessions, "user_sess_id", "user_sess_dur"
            ),
        ),
        volume_check(),
    ),
)


@mart(TABLE, sessions=same_period(wv_sess_daily))
def stats_wv_d_user_sess(sessions: ir.Table) -> ir.Table:
    """Each user session counts once per account, although it has a row per community visited."""
    user_sessions_per_account = sessions.select(
        "key_date", "part_date", "we_member_id", "user_sess_id", "user_sess_dur"
    ).distinct()
    return user_sessions_per_account.group_by("key_date", "part_date", "we_member_id").aggregate(
        user_sess_cnt=user_sessions_per_account.user_sess_id.nunique(),
        total_user_sess_dur=user_sessions_per_account.user_sess_dur.sum(),
    )
