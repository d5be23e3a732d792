"""`we_mart.wv_comm_time_daily`: how long each member spent in each community on a day."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.functions import unix_millis
from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import KEY_DATE, PART_DATE, RUN_TIMESTAMP, Measure, Table, TableCheck, at_least, column
from wemart_assets.lake.volume import volume_check
from wemart_assets.marts.community.wv_comm_user import wv_comm_user
from wemart_assets.marts.sessions.rules import LINE_ORDER, duration_seconds
from wemart_assets.marts.sessions.visited_communities import (
    NAMES_SUBJECT,
    with_account,
    with_community,
    without_passing_through,
)
from wemart_assets.marts.sessions.wv_server_log_base import wv_server_log_base
from wemart_assets.sources.contracts.we_mart import we_user
from wemart_assets.sources.contracts.weverse2 import community_content_common_notice, community_content_post

MEMBER = ["part_date", "we_member_id"]


def _capped(milliseconds: ir.IntegerValue, engaged_gap_seconds: int) -> ir.IntegerValue:
    """The time between two lines as far as it counts; none at either end of the user session."""
    # The least of NULL and a number is the number on both engines.
    return ibis.least(milliseconds.fill_null(0), engaged_gap_seconds * 1000)


def _user_sessions(lines: ir.Table, users: ir.Table, engaged_gap_seconds: int) -> ir.Table:
    """The lines' user sessions of known accounts: user_sess_dur and engaged milliseconds.

    Each line looks back, and in no order among lines of the same instant, where the table itself looks ahead.
    """
    at = unix_millis(lines.log_dt)
    before = at.lag().over(ibis.window(group_by=lines.user_sess_id, order_by=lines.log_dt))
    gaps = lines.mutate(gap=_capped(at - before, engaged_gap_seconds))
    user_sessions = gaps.group_by("date_id", "user_sess_id", "user_id_fill").aggregate(
        user_sess_dur=duration_seconds(gaps.user_sess_start_dt.min(), gaps.user_sess_end_dt.max()),
        engaged=gaps.gap.sum(),
    )
    known = with_account(user_sessions, users)
    known = known.mutate(part_date=known.date_id)
    return known.filter(known.we_member_id.notnull())


def _members_with_other_seconds(
    staged: ir.Table, lines: ir.Table, users: ir.Table, engaged_gap_seconds: int
) -> ir.Table:
    user_sessions = _user_sessions(lines, users, engaged_gap_seconds)
    expected = user_sessions.group_by(*MEMBER).aggregate(milliseconds=user_sessions.engaged.sum())
    actual = staged.group_by(*MEMBER).aggregate(rows=staged.count(), milliseconds=staged.engaged_sec.sum() * 1000)
    members = actual.outer_join(expected, MEMBER)
    members = members.select(
        "rows",
        part_date=ibis.coalesce(members.part_date, members.part_date_right),
        we_member_id=ibis.coalesce(members.we_member_id, members.we_member_id_right),
        # Each row is rounded down, by less than a second.
        lost=members.milliseconds_right - members.milliseconds,
    )
    return members.filter(((members.lost < 0) | (members.lost >= members.rows * 1000)).fill_null(True))


def _engaged_beyond_the_session(lines: ir.Table, users: ir.Table, engaged_gap_seconds: int) -> ir.Table:
    user_sessions = _user_sessions(lines, users, engaged_gap_seconds)
    return user_sessions.filter(user_sessions.engaged > user_sessions.user_sess_dur * 1000)


def _lines_without_account(lines: ir.Table, users: ir.Table) -> ir.Scalar:
    accounts = with_account(lines.select("date_id", "user_id_fill"), users).we_member_id
    return accounts.isnull().sum()


TABLE = Table(
    database="we_mart",
    name="wv_comm_time_daily",
    description="One row per business day, member and community: the seconds that the member was engaged there. The "
    "time from a line to the next one of its user session counts for the line's community, up to a limit "
    "(WEMART_ENGAGED_GAP_SECONDS); the last line counts 0. Time outside communities, or merely passing through one, "
    "goes to the member's row with community NULL. Lines without a known account are left out.",
    grain=("key_date", "we_member_id", "comm_id"),
    columns=(
        KEY_DATE,
        column("we_member_id", "int", "account", nullable=False),
        column("comm_id", "string", "community, NULL if none"),
        column("engaged_sec", "bigint", "engaged seconds, rounded down", at_least(0), nullable=False),
        PART_DATE,
        RUN_TIMESTAMP,
    ),
    table_checks=(
        TableCheck(
            "seconds_add_up",
            "engaged_sec adds up, by member, to the capped gaps between the lines of their user sessions",
            _members_with_other_seconds,
        ),
        TableCheck(
            "engaged_within_the_session",
            "no user session has more engaged seconds than its duration",
            _engaged_beyond_the_session,
        ),
        volume_check(),
    ),
    measures=(Measure("lines without an account, left out", _lines_without_account),),
)


@mart(
    TABLE,
    lines=same_period(wv_server_log_base),
    posts=same_period(community_content_post),
    notices=same_period(community_content_common_notice),
    users=same_period(we_user),
    members=same_period(wv_comm_user),
)
def wv_comm_time_daily(
    lines: ir.Table,
    posts: ir.Table,
    notices: ir.Table,
    users: ir.Table,
    members: ir.Table,
    engaged_gap_seconds: int,
) -> ir.Table:
    """Milliseconds of the lines by member and community, summed and then rounded down to seconds."""
    lines = with_community(lines.filter(lines.user_id_fill.notnull()), posts, notices)
    at = unix_millis(lines.log_dt)
    order = [lines.log_dt, lines.user_info_id.try_cast("int64").asc(nulls_first=False)]
    order += [lines[c].asc(nulls_first=False) for c in LINE_ORDER]
    following = at.lead().over(ibis.window(group_by=lines.user_sess_id, order_by=order))
    lines = lines.mutate(milliseconds=_capped(following - at, engaged_gap_seconds))
    passages = lines.group_by("date_id", "user_id_fill", "comm_id", NAMES_SUBJECT).aggregate(
        milliseconds=lines.milliseconds.sum()
    )
    visits = with_account(without_passing_through(passages, members), users)
    visits = visits.filter(visits.we_member_id.notnull())
    rows = visits.group_by("we_member_id", "comm_id", part_date=visits.date_id).aggregate(
        milliseconds=visits.milliseconds.sum()
    )
    return rows.mutate(
        key_date=rows.part_date.cast("date"),
        engaged_sec=((rows.milliseconds - rows.milliseconds % 1000) / 1000).round().cast("int64"),
    )
