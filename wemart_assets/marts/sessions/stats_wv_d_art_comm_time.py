"""`we_mart.stats_wv_d_art_comm_time`: how long members spent with each artist on a day."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import KEY_DATE, PART_DATE, RUN_TIMESTAMP, RowCheck, Table, TableCheck, at_least, column
from wemart_assets.marts.sessions.rules import (
    ROWS_WITHOUT_ACCOUNT,
    USER_TYPES,
    closeness,
    nearest_ranks,
    type_of,
    unequal,
)
from wemart_assets.marts.sessions.wv_comm_time_daily import wv_comm_time_daily
from wemart_assets.marts.sessions.wv_sess_daily import wv_sess_daily

QUANTILES = {"median_engaged_sec": 50, "p90_engaged_sec": 90}


def _with_artist(time: ir.Table, sessions: ir.Table) -> ir.Table:
    """The times in communities of artists, and their artist."""
    artists = sessions.filter(sessions.we_art_id.notnull()).select("part_date", "comm_id", "we_art_id").distinct()
    return time.inner_join(artists, ["part_date", "comm_id"])


def _artists_with_other_seconds(staged: ir.Table, time: ir.Table, sessions: ir.Table) -> ir.Table:
    by = ["part_date", "we_art_id"]
    visits = sessions.filter(sessions.we_art_id.notnull())
    artists = visits.group_by("part_date", "comm_id").aggregate(we_art_id=visits.we_art_id.max())
    times = time.inner_join(artists, ["part_date", "comm_id"])
    actual = staged.group_by(*by).aggregate(actual=staged.engaged_sec.sum())
    return unequal(actual, times.group_by(*by).aggregate(expected=times.engaged_sec.sum()), by)


def _artists_with_other_members(staged: ir.Table, sessions: ir.Table) -> ir.Table:
    by = ["part_date", "we_art_id"]
    members = sessions.filter(sessions.we_member_id.notnull() & sessions.we_art_id.notnull())
    actual = staged.group_by(*by).aggregate(actual=staged.member_cnt.sum())
    return unequal(actual, members.group_by(*by).aggregate(expected=members.we_member_id.nunique()), by)


TABLE = Table(
    database="we_mart",
    name="stats_wv_d_art_comm_time",
    description="One row per business day, artist and kind of user: the seconds that members were engaged in the "
    "artist's communities. Quantiles over members are nearest-rank values.",
    grain=("key_date", "we_art_id", "user_type"),
    columns=(
        KEY_DATE,
        column("we_art_id", "int", "artist of the communities", nullable=False),
        column(
            "user_type",
            "string",
            "membership, member or visitor: the closest user type among the member's visits to the artist that day",
            USER_TYPES,
            nullable=False,
        ),
        column("member_cnt", "bigint", "members who visited", at_least(1), nullable=False),
        column("engaged_sec", "bigint", "their engaged seconds", at_least(0), nullable=False),
        column("median_engaged_sec", "bigint", "median of a member's engaged seconds", at_least(0), nullable=False),
        column("p90_engaged_sec", "bigint", "90th percentile of a member's", at_least(0), nullable=False),
        PART_DATE,
        RUN_TIMESTAMP,
    ),
    row_checks=(
        # Half of the members are at or above the median, a tenth at or above the 90th percentile.
        RowCheck(
            "quantiles_of_the_sum",
            "the median is at most the 90th percentile, and the sum is large enough for both",
            lambda t: (
                (t.median_engaged_sec <= t.p90_engaged_sec)
                & (t.median_engaged_sec * t.member_cnt <= t.engaged_sec * 2)
                & (t.p90_engaged_sec * t.member_cnt <= t.engaged_sec * 10)
            ),
        ),
    ),
    table_checks=(
        TableCheck(
            "seconds_add_up",
            "an artist's engaged_sec adds up to wv_comm_time_daily",
            _artists_with_other_seconds,
        ),
        TableCheck("members_add_up", "an artist's members are those of wv_sess_daily", _artists_with_other_members),
    ),
    measures=(ROWS_WITHOUT_ACCOUNT,),
)


@mart(TABLE, time=same_period(wv_comm_time_daily), sessions=same_period(wv_sess_daily))
def stats_wv_d_art_comm_time(time: ir.Table, sessions: ir.Table) -> ir.Table:
    """Members of the day by artist and kind, and quantiles over the seconds of each in all the artist's communities."""
    by = ["part_date", "we_art_id", "we_member_id"]
    visits = sessions.filter(sessions.we_member_id.notnull() & sessions.we_art_id.notnull())
    members = visits.group_by(*by).aggregate(closeness=closeness(visits).max())
    times = _with_artist(time, sessions)
    times = times.group_by(*by).aggregate(engaged_sec=times.engaged_sec.sum())
    members = members.left_join(times, by)
    members = members.select(
        "part_date",
        "we_art_id",
        user_type=type_of(members.closeness),
        engaged_sec=ibis.coalesce(members.engaged_sec, 0),
    )
    rows = nearest_ranks(
        members,
        ["part_date", "we_art_id", "user_type"],
        "engaged_sec",
        QUANTILES,
        member_cnt=lambda t: t.n.sum(),
        # The sum has another name than the values that it sums.
        total_sec=lambda t: (t.engaged_sec * t.n).sum(),
    )
    return rows.mutate(key_date=rows.part_date.cast("date"), engaged_sec=rows.total_sec)
