"""Visits of members over a week or month: one rule for the bases by artist, and for the totals over all artists.

All of them count user sessions of wv_sess_daily. A user session lies within a business day, so those of different days
are different ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.days import Period
from wemart_assets.lake.functions import first_day_of
from wemart_assets.lake.table import (
    KEY_DATE_IS_PART_DATE,
    RUN_TIMESTAMP,
    Column,
    RowCheck,
    Table,
    TableCheck,
    at_least,
    column,
    key_date_of,
    part_date_of,
)
from wemart_assets.marts.sessions.rules import (
    ROWS_WITHOUT_ACCOUNT,
    USER_TYPES,
    closeness,
    seconds_once,
    totals,
    type_of,
    unequal,
)


def _counts(period: Period) -> tuple[Column, ...]:
    return (
        column("visit_day_cnt", "bigint", f"days of the {period} with a visit", at_least(1), nullable=False),
        column("user_sess_cnt", "bigint", "user sessions", at_least(1), nullable=False),
        column(
            "total_user_sess_dur",
            "bigint",
            "total seconds of these sessions, each counted once",
            at_least(1),
            nullable=False,
        ),
    )


def _sessions_on_days(period: Period) -> RowCheck:
    return RowCheck(
        "sessions_on_days",
        f"at most {period.most_days} days, each with a user session, each of which lasts a second or more",
        lambda t: (
            (t.visit_day_cnt <= period.most_days)
            & (t.visit_day_cnt <= t.user_sess_cnt)
            & (t.user_sess_cnt <= t.total_user_sess_dur)
        ),
    )


def _with_other_counts(staged: ir.Table, sessions: ir.Table, by: Sequence[str], period: Period) -> ir.Table:
    """The keys `by` whose days, user sessions or seconds differ from those of the members in wv_sess_daily.

    A day counts once per member, and a user session, which has one member, once per key.
    """
    members = sessions.filter(sessions.we_member_id.notnull())
    members = members.mutate(day=members.part_date, part_date=first_day_of(members.key_date, period).cast("string"))
    member_days = members.we_member_id.cast("string") + "|" + members.day
    seconds = seconds_once(members, by)
    expected = ibis.union(
        totals(members, by, "expected", days=member_days.nunique(), sessions=members.user_sess_id.nunique()),
        totals(seconds, by, "expected", seconds=seconds.seconds.sum()),
    )
    actual = totals(
        staged,
        by,
        "actual",
        days=staged.visit_day_cnt.sum(),
        sessions=staged.user_sess_cnt.sum(),
        seconds=staged.total_user_sess_dur.sum(),
    )
    return unequal(actual, expected, [*by, "measure"])


def visit_base_table(name: str, period: Period) -> Table:
    """Declaration of the table of visits by member and artist."""

    def artists_with_other_counts(staged: ir.Table, sessions: ir.Table) -> ir.Table:
        return _with_other_counts(staged, sessions, ["part_date", "we_art_id"], period)

    return Table(
        database="we_mart",
        name=name,
        description=f"One row per {period}, member and artist whose communities they visited. Visits to no community, "
        "or to one without an artist, are the member's row without an artist. Sessions without a known account are "
        "left out.",
        grain=("key_date", "we_member_id", "we_art_id"),
        period=period,
        columns=(
            key_date_of(period),
            column("we_member_id", "int", "account", nullable=False),
            column("we_art_id", "int", "artist of the communities, NULL if none"),
            column(
                "user_type",
                "string",
                f"membership, member or visitor, on the member's last day with the artist in the {period} (the closest "
                "user type of that day); NULL without an artist",
                USER_TYPES,
            ),
            *_counts(period),
            part_date_of(period),
            RUN_TIMESTAMP,
        ),
        row_checks=(
            KEY_DATE_IS_PART_DATE,
            _sessions_on_days(period),
            RowCheck(
                "user_type_of_an_artist",
                "user_type is NULL if and only if there is no artist",
                lambda t: t.user_type.isnull() == t.we_art_id.isnull(),
            ),
        ),
        table_checks=(
            TableCheck(
                "counts_add_up",
                "days, user sessions and seconds add up, by artist, to those of members in wv_sess_daily",
                artists_with_other_counts,
            ),
        ),
        measures=(ROWS_WITHOUT_ACCOUNT,),
    )


def visit_base(sessions: ir.Table, period: Period) -> ir.Table:
    """Visits by member and artist; a user session counts once per artist, also if it visits several communities."""
    members = sessions.filter(sessions.we_member_id.notnull())
    user_sessions = members.group_by("key_date", "we_member_id", "we_art_id", "user_sess_id").aggregate(
        user_sess_dur=members.user_sess_dur.max(), closeness=closeness(members).max()
    )
    # Days, as text, come in order, and so do the types of one day.
    last_type = (user_sessions.key_date.cast("string") + user_sessions.closeness.cast("string")).max().right(1)
    rows = _over(user_sessions, ("we_member_id", "we_art_id"), period, last_type=last_type)
    kind = type_of(rows.last_type.cast("int32"))
    return rows.mutate(user_type=rows.we_art_id.notnull().ifelse(kind, ibis.null("string")))


def visit_total_table(name: str, period: Period) -> Table:
    """Declaration of the table of visits by member."""

    def members_with_other_counts(staged: ir.Table, sessions: ir.Table) -> ir.Table:
        return _with_other_counts(staged, sessions, ["part_date", "we_member_id"], period)

    return Table(
        database="we_mart",
        name=name,
        description=f"One row per {period} and member who visited: visits to all communities and to none. Sessions "
        "without a known account are left out.",
        grain=("key_date", "we_member_id"),
        period=period,
        columns=(
            key_date_of(period),
            column("we_member_id", "int", "account", nullable=False),
            *_counts(period),
            part_date_of(period),
            RUN_TIMESTAMP,
        ),
        row_checks=(KEY_DATE_IS_PART_DATE, _sessions_on_days(period)),
        table_checks=(
            TableCheck(
                "counts_add_up",
                "days, user sessions and seconds are those of the member in wv_sess_daily",
                members_with_other_counts,
            ),
        ),
        measures=(ROWS_WITHOUT_ACCOUNT,),
    )


def visit_total(sessions: ir.Table, period: Period) -> ir.Table:
    """Visits by member; a user session counts once, however many communities it visits."""
    members = sessions.filter(sessions.we_member_id.notnull())
    user_sessions = members.select("key_date", "we_member_id", "user_sess_id", "user_sess_dur").distinct()
    return _over(user_sessions, ("we_member_id",), period)


def _over(user_sessions: ir.Table, by: tuple[str, ...], period: Period, **more: ir.Scalar) -> ir.Table:
    """Days, sessions and seconds by period and `by`; each row is a user session."""
    rows = user_sessions.group_by(*by, key_date=first_day_of(user_sessions.key_date, period)).aggregate(
        visit_day_cnt=user_sessions.key_date.nunique(),
        user_sess_cnt=user_sessions.count(),
        total_user_sess_dur=user_sessions.user_sess_dur.sum(),
        **more,
    )
    return rows.mutate(part_date=rows.key_date.cast("string"))
