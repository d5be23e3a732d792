"""`we_mart.stats_wv_w_art_indi_comm_activity`: the artists' own members in the communities, by week."""

from __future__ import annotations

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
from wemart_assets.marts.sessions.rules import totals, unequal
from wemart_assets.marts.sessions.stats_wv_d_art_indi_comm_activity import stats_wv_d_art_indi_comm_activity


def _communities_with_other_counts(staged: ir.Table, activity: ir.Table) -> ir.Table:
    by = ["part_date", "comm_id"]
    weeks = activity.mutate(part_date=first_day_of(activity.key_date, Period.WEEK).cast("string"))
    expected = totals(
        weeks,
        by,
        "expected",
        days=(weeks.art_indi_id + "|" + weeks.key_date.cast("string")).nunique(),
        sessions=weeks.user_sess_cnt.sum(),
        seconds=weeks.total_user_sess_dur.sum(),
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
    name="stats_wv_w_art_indi_comm_activity",
    description="One row per week, community and artist member who visited it.",
    grain=("key_date", "comm_id", "art_indi_id"),
    period=Period.WEEK,
    may_be_empty=True,
    columns=(
        key_date_of(Period.WEEK),
        column("comm_id", "string", "community", nullable=False),
        column("art_indi_id", "string", "artist member", nullable=False),
        column("active_day_cnt", "bigint", "days with a visit", at_least(1), nullable=False),
        column("user_sess_cnt", "bigint", "user sessions", at_least(1), nullable=False),
        column("total_user_sess_dur", "bigint", "total seconds of these", at_least(1), nullable=False),
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
            "counts_add_up",
            "days, user sessions and seconds add up, by community, to stats_wv_d_art_indi_comm_activity",
            _communities_with_other_counts,
        ),
    ),
)


@mart(TABLE, activity=same_period(stats_wv_d_art_indi_comm_activity))
def stats_wv_w_art_indi_comm_activity(activity: ir.Table) -> ir.Table:
    """Sums over the days: a user session lies within one day."""
    by = ("key_date", "part_date", "comm_id", "art_indi_id")
    monday = first_day_of(activity.key_date, Period.WEEK)
    weeks = activity.mutate(key_date=monday, part_date=monday.cast("string"))
    return weeks.group_by(*by).aggregate(
        active_day_cnt=weeks.count(),
        user_sess_cnt=weeks.user_sess_cnt.sum(),
        total_user_sess_dur=weeks.total_user_sess_dur.sum(),
    )
