"""`we_mart.stats_wv_d_art_indi_comm_activity`: the artists' own members in the communities."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import KEY_DATE, PART_DATE, RUN_TIMESTAMP, RowCheck, Table, TableCheck, at_least, column
from wemart_assets.marts.sessions.rules import seconds_once, totals, unequal
from wemart_assets.marts.sessions.wv_sess_daily import wv_sess_daily


def _communities_with_other_counts(staged: ir.Table, sessions: ir.Table) -> ir.Table:
    by = ["part_date", "comm_id", "art_indi_id"]
    visits = sessions.filter(sessions.art_indi_id.notnull())
    seconds = seconds_once(visits, by)
    expected = ibis.union(
        totals(visits, by, "expected", sessions=visits.user_sess_id.nunique()),
        totals(seconds, by, "expected", seconds=seconds.seconds.sum()),
    )
    actual = totals(staged, by, "actual", sessions=staged.user_sess_cnt.sum(), seconds=staged.total_user_sess_dur.sum())
    return unequal(actual, expected, [*by, "measure"])


TABLE = Table(
    database="we_mart",
    name="stats_wv_d_art_indi_comm_activity",
    description="One row per business day, community and artist member who visited it.",
    grain=("key_date", "comm_id", "art_indi_id"),
    may_be_empty=True,
    columns=(
        KEY_DATE,
        column("comm_id", "string", "community", nullable=False),
        column("art_indi_id", "string", "artist member", nullable=False),
        column("art_indi_type", "string", "kind of artist member"),
        column("we_art_id", "int", "artist of the community"),
        column("user_sess_cnt", "bigint", "user sessions", at_least(1), nullable=False),
        column("total_user_sess_dur", "bigint", "total seconds of these", at_least(1), nullable=False),
        column("first_dt", "timestamp", "start of the first of them (UTC)", nullable=False),
        column("last_dt", "timestamp", "end of the last of them (UTC)", nullable=False),
        PART_DATE,
        RUN_TIMESTAMP,
    ),
    row_checks=(RowCheck("in_order", "first_dt is not after last_dt", lambda t: t.first_dt <= t.last_dt),),
    table_checks=(
        TableCheck(
            "counts_add_up",
            "user sessions and seconds are those of the artist member in wv_sess_daily",
            _communities_with_other_counts,
        ),
    ),
)


@mart(TABLE, sessions=same_period(wv_sess_daily))
def stats_wv_d_art_indi_comm_activity(sessions: ir.Table) -> ir.Table:
    """A user session counts once per community."""
    by = ("key_date", "part_date", "comm_id", "art_indi_id")
    visits = sessions.filter(sessions.art_indi_id.notnull() & sessions.comm_id.notnull())
    times = ("user_sess_start_dt", "user_sess_end_dt", "user_sess_dur")
    once = visits.select(*by, "art_indi_type", "we_art_id", "user_sess_id", *times).distinct()
    return once.group_by(*by).aggregate(
        art_indi_type=once.art_indi_type.max(),
        we_art_id=once.we_art_id.max(),
        user_sess_cnt=once.user_sess_id.nunique(),
        total_user_sess_dur=once.user_sess_dur.sum(),
        first_dt=once.user_sess_start_dt.min(),
        last_dt=once.user_sess_end_dt.max(),
    )
