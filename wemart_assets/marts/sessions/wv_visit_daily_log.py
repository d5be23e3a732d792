"""`we_mart.wv_visit_daily_log`: the visits of each account on a day."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import (
    KEY_DATE,
    PART_DATE,
    RUN_TIMESTAMP,
    Table,
    TableCheck,
    at_least,
    column,
)
from wemart_assets.lake.volume import volume_check
from wemart_assets.marts.sessions.rules import ROWS_WITHOUT_ACCOUNT, days_with_other_seconds
from wemart_assets.marts.sessions.wv_sess_daily import wv_sess_daily

TABLE = Table(
    database="we_mart",
    name="wv_visit_daily_log",
    description="One row per account and business day with a visit. Sessions without a known account are left out.",
    grain=("key_date", "we_member_id"),
    columns=(
        KEY_DATE,
        column("we_member_id", "int", "account", nullable=False),
        column("sess_ctry", "string", "country of the account's last session of the day, NULL if unknown"),
        column("user_sess_cnt", "bigint", "user sessions", at_least(1), nullable=False),
        column("total_sess_dur", "bigint", "total seconds of the sessions, each once", at_least(1), nullable=False),
        PART_DATE,
        RUN_TIMESTAMP,
    ),
    table_checks=(
        TableCheck(
            "durations_add_up",
            "total_sess_dur adds up to the sessions of known accounts in wv_sess_daily, each counted once per account",
            lambda staged, sessions: days_with_other_seconds(
                staged, "total_sess_dur", sessions.filter(sessions.we_member_id.notnull()), "sess_id", "sess_dur"
            ),
        ),
        volume_check(),
    ),
    measures=(ROWS_WITHOUT_ACCOUNT,),
)


@mart(TABLE, sessions=same_period(wv_sess_daily))
def wv_visit_daily_log(sessions: ir.Table) -> ir.Table:
    """Each session counts once per account. Of sessions that start at the same instant, the greatest id is the last."""
    by = ("key_date", "part_date", "we_member_id")
    known = sessions.filter(sessions.we_member_id.notnull())
    user_sessions = known.group_by(*by).aggregate(user_sess_cnt=known.user_sess_id.nunique())
    once = known.select(*by, "sess_id", "sess_start_dt", "sess_ctry", "sess_dur").distinct()
    newest = ibis.window(group_by=by, order_by=[once.sess_start_dt.desc(), once.sess_id.desc()])
    once = once.mutate(place=ibis.row_number().over(newest))
    sessions_of = once.group_by(*by).aggregate(
        sess_ctry=once.sess_ctry.max(where=once.place == 0), total_sess_dur=once.sess_dur.sum()
    )
    return user_sessions.inner_join(sessions_of, by).select(*by, "sess_ctry", "user_sess_cnt", "total_sess_dur")
