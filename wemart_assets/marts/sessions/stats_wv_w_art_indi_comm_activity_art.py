"""`we_mart.stats_wv_w_art_indi_comm_activity_art`: artist members in the communities of each artist, by week."""

from __future__ import annotations

import ibis.expr.types as ir

from wemart_assets.lake.days import Period
from wemart_assets.lake.functions import first_day_of
from wemart_assets.lake.inputs import days_of
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import (
    KEY_DATE_IS_PART_DATE,
    RUN_TIMESTAMP,
    RowCheck,
    Table,
    TableCheck,
    at_least,
    column,
    key_date_of,
    part_date_of,
)
from wemart_assets.marts.sessions.rules import seconds_once, unequal
from wemart_assets.marts.sessions.wv_sess_daily import wv_sess_daily


def _visits(sessions: ir.Table) -> ir.Table:
    """Visits of artist members to communities with an artist; key_date and part_date are the week's first day."""
    visits = sessions.filter(sessions.art_indi_id.notnull() & sessions.we_art_id.notnull())
    monday = first_day_of(visits.key_date, Period.WEEK)
    return visits.mutate(day=visits.key_date, key_date=monday, part_date=monday.cast("string"))


def _artists_with_other_seconds(staged: ir.Table, sessions: ir.Table) -> ir.Table:
    by = ["part_date", "we_art_id"]
    expected = seconds_once(_visits(sessions), by).rename(expected="seconds")
    return unequal(staged.select(*by, actual="total_user_sess_dur"), expected, by)


TABLE = Table(
    database="we_mart",
    name="stats_wv_w_art_indi_comm_activity_art",
    description="One row per week and artist whose communities an artist member visited, be it their own member or "
    "that of another artist.",
    grain=("key_date", "we_art_id"),
    period=Period.WEEK,
    may_be_empty=True,
    columns=(
        key_date_of(Period.WEEK),
        column("we_art_id", "int", "artist of the communities", nullable=False),
        column("art_indi_cnt", "bigint", "artist members who visited", at_least(1), nullable=False),
        column("active_day_cnt", "bigint", "days on which any of them visited", at_least(1), nullable=False),
        column("user_sess_cnt", "bigint", "their user sessions", at_least(1), nullable=False),
        column("total_user_sess_dur", "bigint", "total seconds of these, each once", at_least(1), nullable=False),
        part_date_of(Period.WEEK),
        RUN_TIMESTAMP,
    ),
    row_checks=(
        KEY_DATE_IS_PART_DATE,
        RowCheck(
            "sessions_on_days",
            "at most 7 days, each with a user session, each of which lasts a second or more",
            lambda t: (
                (t.active_day_cnt <= 7)
                & (t.active_day_cnt <= t.user_sess_cnt)
                & (t.user_sess_cnt <= t.total_user_sess_dur)
            ),
        ),
    ),
    table_checks=(
        TableCheck(
            "durations_add_up",
            "total_user_sess_dur is that of the artist members' user sessions in wv_sess_daily",
            _artists_with_other_seconds,
        ),
    ),
)


@mart(TABLE, sessions=days_of(wv_sess_daily))
def stats_wv_w_art_indi_comm_activity_art(sessions: ir.Table) -> ir.Table:
    """A user session counts once per artist, also if it visits several of the artist's communities."""
    by = ("key_date", "part_date", "we_art_id")
    visits = _visits(sessions)
    members = visits.group_by(*by).aggregate(
        art_indi_cnt=visits.art_indi_id.nunique(), active_day_cnt=visits.day.nunique()
    )
    once = visits.select(*by, "user_sess_id", "user_sess_dur").distinct()
    seconds = once.group_by(*by).aggregate(
        user_sess_cnt=once.user_sess_id.nunique(), total_user_sess_dur=once.user_sess_dur.sum()
    )
    return members.inner_join(seconds, by).select(
        *by, "art_indi_cnt", "active_day_cnt", "user_sess_cnt", "total_user_sess_dur"
    )
