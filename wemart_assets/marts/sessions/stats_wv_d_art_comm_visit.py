"""`we_mart.stats_wv_d_art_comm_visit`: visits to an artist's communities by kind of user and country."""

from __future__ import annotations

import ibis.expr.types as ir

from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import KEY_DATE, PART_DATE, RUN_TIMESTAMP, RowCheck, Table, TableCheck, at_least, column
from wemart_assets.lake.volume import volume_check
from wemart_assets.marts.sessions.rules import USER_TYPES, seconds_once, unequal, user_type, visitor
from wemart_assets.marts.sessions.wv_sess_daily import wv_sess_daily


def _artists_with_other_seconds(staged: ir.Table, sessions: ir.Table) -> ir.Table:
    visits = sessions.filter(sessions.we_art_id.notnull())
    visits = visits.mutate(user_type=user_type(visits))
    by = ["part_date", "we_art_id", "user_type"]
    expected = seconds_once(visits, [*by, "user_ctry"])
    expected = expected.group_by(*by).aggregate(expected=expected.seconds.sum())
    actual = staged.group_by(*by).aggregate(actual=staged.total_user_sess_dur.sum())
    return unequal(actual, expected, by)


TABLE = Table(
    database="we_mart",
    name="stats_wv_d_art_comm_visit",
    description="One row per business day, artist, kind of user and country. A visitor is an account, or a device "
    "without one. Visits outside of communities, and to communities without an artist, are left out.",
    grain=("key_date", "we_art_id", "user_type", "user_ctry"),
    columns=(
        KEY_DATE,
        column("we_art_id", "int", "artist of the community", nullable=False),
        column("user_type", "string", "membership, member or visitor, on that day", USER_TYPES, nullable=False),
        column("user_ctry", "string", "the visitor's last known country that day, NULL if unknown"),
        column("visitor_cnt", "bigint", "visitors", at_least(1), nullable=False),
        column("user_sess_cnt", "bigint", "user sessions", at_least(1), nullable=False),
        column("total_user_sess_dur", "bigint", "total seconds of these", at_least(1), nullable=False),
        PART_DATE,
        RUN_TIMESTAMP,
    ),
    row_checks=(
        RowCheck(
            "sessions_of_visitors",
            "each visitor has a user session, and each user session lasts a second or more",
            lambda t: (t.visitor_cnt <= t.user_sess_cnt) & (t.user_sess_cnt <= t.total_user_sess_dur),
        ),
    ),
    table_checks=(
        TableCheck(
            "durations_add_up",
            "total_user_sess_dur adds up, by artist and kind of user, to the user sessions of wv_sess_daily",
            _artists_with_other_seconds,
        ),
        volume_check(),
    ),
)


@mart(TABLE, sessions=same_period(wv_sess_daily))
def stats_wv_d_art_comm_visit(sessions: ir.Table) -> ir.Table:
    """A user session counts once per row, also if it visits several communities of the artist."""
    by = ("key_date", "part_date", "we_art_id", "user_type", "user_ctry")
    visits = sessions.filter(sessions.we_art_id.notnull())
    visits = visits.mutate(user_type=user_type(visits), visitor=visitor(visits))
    once = visits.select(*by, "visitor", "user_sess_id", "user_sess_dur").distinct()
    return once.group_by(*by).aggregate(
        visitor_cnt=once.visitor.nunique(),
        user_sess_cnt=once.user_sess_id.nunique(),
        total_user_sess_dur=once.user_sess_dur.sum(),
    )
