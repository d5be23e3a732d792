"""`we_mart.stats_wv_w_art_indi_comm_activity_art`: artist members in the communities of each artist, by week."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.days import Period
from wemart_assets.lake.functions import first_day_of
from wemart_assets.lake.inputs import same_period
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
from wemart_assets.marts.sessions.rules import seconds_once, totals, unequal
from wemart_assets.marts.sessions.wv_sess_daily import wv_sess_daily


def _artists_with_other_counts(staged: ir.Table, sessions: ir.Table) -> ir.Table:
    by = ["part_date", "we_art_id"]
    visits = sessions.mutate(part_date=first_day_of(sessions.key_date, Period.WEEK).cast("string"))
    visits = visits.filter((visits.art_indi_type == "ARTIST") & visits.we_art_id.notnull())
    seconds = seconds_once(visits, by)
    expected = ibis.union(
        totals(visits, by, "expected", days=visits.key_date.nunique(), sessions=visits.user_sess_id.nunique()),
        totals(seconds, by, "expected", seconds=seconds.seconds.sum()),
    )
    actual = totals(
        staged,
        by,
        "actual",
        days=staged.active_day_cnt.sum(),
        sessions=staged.user_sess_cnt.sum(),
        seconds=staged.total_user_sess_dur.sum(),
    )
    return unequal(actual, expected, [*by, "measure"])


TABLE = Table(
    database="we_mart",
    name="stats_wv_w_art_indi_comm_activity_art",
    description="One row per week and artist whose members visited one of the artist's communities. Members of other "
    "artists who visit do not count.",
    grain=("key_date", "we_art_id"),
    period=Period.WEEK,
    may_be_empty=True,
    columns=(
        key_date_of(Period.WEEK),
        column("we_art_id", "int", "artist of the communities", nullable=False),
        column(
            "art_indi_cnt",
            "bigint",
            "members of the artist who visited, each user once",
            at_least(1),
            nullable=False,
        ),
        column("active_day_cnt", "bigint", "days on which any of them visited", at_least(1), nullable=False),
        column("user_sess_cnt", "bigint", "their user sessions", at_least(1), nullable=False),
        column(
            "total_user_sess_dur",
            "bigint",
            "total seconds of these sessions, each counted once",
            at_least(1),
            nullable=False,
        ),
        part_date_of(Period.WEEK),
        RUN_TIMESTAMP,
    ),
    row_checks=(
        KEY_DATE_IS_PART_DATE,
        RowCheck(
            "sessions_on_days",
            "at most 7 days, each with a user session, each of which lasts a second or more; each member has one",
            lambda t: (
                (t.active_day_cnt <= 7)
                & (t.art_indi_cnt <= t.user_sess_cnt)
                & (t.active_day_cnt <= t.user_sess_cnt)
                & (t.user_sess_cnt <= t.total_user_sess_dur)
            ),
        ),
    ),
    table_checks=(
        TableCheck(
            "counts_add_up",
            "days, user sessions and seconds are those of the artist's members in wv_sess_daily",
            _artists_with_other_counts,
        ),
    ),
)


@mart(TABLE, sessions=same_period(wv_sess_daily))
def stats_wv_w_art_indi_comm_activity_art(sessions: ir.Table) -> ir.Table:
    """A user session counts once per artist, also if it visits several of the artist's communities."""
    by = ("key_date", "part_date", "we_art_id")
    is_member = sessions.art_indi_id.notnull() & (sessions.art_indi_type == "ARTIST")
    visits = sessions.filter(is_member & sessions.we_art_id.notnull())
    monday = first_day_of(visits.key_date, Period.WEEK)
    visits = visits.mutate(day=visits.key_date, key_date=monday, part_date=monday.cast("string"))
    members = visits.group_by(*by).aggregate(
        # The id is that of the community, a hyphen, and that of the user.
        art_indi_cnt=visits.art_indi_id.re_extract("-(.*)$", 1).nunique(),
        active_day_cnt=visits.day.nunique(),
    )
    once = visits.select(*by, "user_sess_id", "user_sess_dur").distinct()
    seconds = once.group_by(*by).aggregate(
        user_sess_cnt=once.user_sess_id.nunique(), total_user_sess_dur=once.user_sess_dur.sum()
    )
    return members.inner_join(seconds, by).select(
        *by, "art_indi_cnt", "active_day_cnt", "user_sess_cnt", "total_user_sess_dur"
    )
