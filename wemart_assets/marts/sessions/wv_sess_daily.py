"""`we_mart.wv_sess_daily`, the main mart: sessions, their users and the communities they visited."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.days import day_start, shift
from wemart_assets.lake.functions import business_date
from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import (
    FLAG,
    PART_DATE,
    RUN_TIMESTAMP,
    RowCheck,
    Severity,
    Table,
    TableCheck,
    at_least,
    column,
)
from wemart_assets.lake.volume import volume_check
from wemart_assets.marts.community.wv_comm_user import wv_comm_user
from wemart_assets.marts.memberships import membership_holders
from wemart_assets.marts.sessions.rules import duration_seconds, last_known, session_id
from wemart_assets.marts.sessions.visited_communities import (
    NAMES_SUBJECT,
    with_account,
    with_community,
    without_passing_through,
)
from wemart_assets.marts.sessions.wv_server_log_base import wv_server_log_base
from wemart_assets.sources.contracts.we_mart import we_artist, we_user, ws_fc_user_history
from wemart_assets.sources.contracts.weverse2 import community_content_common_notice, community_content_post

CLIENT = ("app_ver", "platform", "os")
UNKNOWN_ARTIST_SHARE = 0.05
SINGLE_LINE_SHARE = 0.5


def _inconsistent_user_sessions(staged: ir.Table) -> ir.Table:
    columns = ("sess_start_dt", "sess_end_dt", "sess_dur", "user_sess_start_dt", "user_sess_end_dt", "user_sess_dur")
    user_sessions = staged.group_by("part_date", "sess_id", "user_sess_id").aggregate(
        **{f"{c}_from": staged[c].min() for c in columns}, **{f"{c}_to": staged[c].max() for c in columns}
    )
    return user_sessions.filter(ibis.or_(*(user_sessions[f"{c}_from"] != user_sessions[f"{c}_to"] for c in columns)))


def _unmatched_sessions(staged: ir.Table, lines: ir.Table) -> ir.Table:
    published = staged.select("part_date", "sess_id", "user_sess_id").distinct()
    logged = lines.select("sess_id", "user_sess_id", part_date="date_id").distinct()
    keys = ["part_date", "sess_id", "user_sess_id"]
    invented = published.anti_join(logged, keys).mutate(only_in=ibis.literal("wv_sess_daily"))
    lost = logged.anti_join(published, keys).mutate(only_in=ibis.literal("wv_server_log_base"))
    return ibis.union(invented.select(*keys, "only_in"), lost.select(*keys, "only_in"))


def _days_with_unknown_artists(staged: ir.Table) -> ir.Table:
    visits = staged.filter(staged.comm_id.notnull())
    days = visits.group_by("part_date").aggregate(share=visits.we_art_id.isnull().cast("int64").mean())
    return days.filter(days.share > UNKNOWN_ARTIST_SHARE)


def _days_with_single_lines(staged: ir.Table) -> ir.Table:
    sessions = staged.select("part_date", "sess_id", "sess_start_dt", "sess_end_dt").distinct()
    single = (sessions.sess_start_dt == sessions.sess_end_dt).cast("int64").mean()
    days = sessions.group_by("part_date").aggregate(share=single)
    return days.filter(days.share > SINGLE_LINE_SHARE)


def _fits_in_day(t: ir.Table, days: Sequence[str], timezone: str) -> ir.BooleanValue:
    # A business day may last 23 to 25 hours. Python's calendar knows its length, so that engines cannot disagree on it.
    lengths = [
        (day, int((day_start(shift(day, 1), timezone) - day_start(day, timezone)).total_seconds())) for day in days
    ]
    longest = t.part_date.cases(*lengths, else_=0)
    return (t.sess_dur <= longest) & (t.user_sess_dur <= longest)


TABLE = Table(
    database="we_mart",
    name="wv_sess_daily",
    description="One row per session, user in it and community visited, on a business day.",
    grain=("sess_id", "user_sess_id", "comm_id"),
    tags={"tier": "primary"},
    columns=(
        column("key_date", "date", "business day of the visit", nullable=False),
        column("we_member_id", "int", "account of the user"),
        column("wv_user_id", "int", "Weverse user"),
        column(
            "user_ctry", "string", "the user's last known country that day; the device's if the session is anonymous"
        ),
        column("device_id", "string", "device (browser) id", nullable=False),
        column("is_device_login", "int", "1 if any session of the device that day has a user", FLAG, nullable=False),
        column("we_art_id", "int", "artist of the community"),
        column("we_art_name", "string", "name of the artist"),
        column("comm_id", "string", "community visited, NULL if none"),
        column("is_comm_user", "int", "1 for a member, 0 for a visitor, NULL without a community", FLAG),
        column(
            "is_fc",
            "int",
            "1 if the user holds the artist's membership, else 0; NULL if account or artist is unknown",
            FLAG,
        ),
        column("art_indi_id", "string", "artist member id, if the user is an artist"),
        column("art_indi_type", "string", "kind of artist member"),
        column("sess_id", "string", "start of the session as yyyyMMddHHmmssSSS, then | and the device", nullable=False),
        column("sess_ctry", "string", "last known country of the session"),
        column("sess_start_dt", "timestamp", "instant of the session's first line (UTC)", nullable=False),
        column("sess_end_dt", "timestamp", "instant of the session's last line (UTC)", nullable=False),
        column("sess_dur", "bigint", "seconds of the session, both ends included", at_least(1), nullable=False),
        column("user_sess_id", "string", "sess_id, followed by | and the user if known", nullable=False),
        column("is_sess_login", "int", "1 if the user of the user session is known", FLAG, nullable=False),
        column(
            "user_sess_start_dt", "timestamp", "instant of the user's first line in the session (UTC)", nullable=False
        ),
        column("user_sess_end_dt", "timestamp", "instant of the user's last line in the session (UTC)", nullable=False),
        column(
            "user_sess_dur", "bigint", "seconds of the user session, both ends included", at_least(1), nullable=False
        ),
        column("platform", "string", "last known platform of the session: TV, APP, PC or MWEB"),
        column("os", "string", "last known operating system of the session"),
        column("app_ver", "string", "last known app version of the session"),
        PART_DATE,
        RUN_TIMESTAMP,
    ),
    row_checks=(
        RowCheck(
            "key_date_is_the_sessions",
            "key_date is the business day of sess_start_dt and of sess_end_dt, and part_date is key_date",
            lambda t, timezone: (
                (t.key_date == business_date(t.sess_start_dt, timezone))
                & (t.key_date == business_date(t.sess_end_dt, timezone))
                & (t.part_date == t.key_date.cast("string"))
            ),
        ),
        RowCheck(
            "sess_id_formula",
            "sess_id is the start in the business timezone, then | and the device",
            lambda t, timezone: t.sess_id == session_id(t.sess_start_dt, t.device_id, timezone),
        ),
        RowCheck(
            "user_session_in_session",
            "no session ends before it starts, and a user session lies within its session",
            lambda t: (
                (t.sess_start_dt <= t.user_sess_start_dt)
                & (t.user_sess_start_dt <= t.user_sess_end_dt)
                & (t.user_sess_end_dt <= t.sess_end_dt)
            ),
        ),
        RowCheck(
            "durations",
            "sess_dur and user_sess_dur are the whole seconds from the first to the last line, both included",
            lambda t: (
                (t.sess_dur == duration_seconds(t.sess_start_dt, t.sess_end_dt))
                & (t.user_sess_dur == duration_seconds(t.user_sess_start_dt, t.user_sess_end_dt))
            ),
        ),
        RowCheck("durations_fit_in_the_day", "no session is longer than its business day", _fits_in_day),
        RowCheck(
            "comm_user_of_a_community",
            "is_comm_user is NULL if and only if there is no community",
            lambda t: t.is_comm_user.isnull() == t.comm_id.isnull(),
        ),
    ),
    table_checks=(
        TableCheck(
            "one_duration_a_user_session",
            "all rows of a user session have the same start, end and duration",
            _inconsistent_user_sessions,
        ),
        TableCheck(
            "sessions_of_the_log",
            "the table has exactly the sessions and user sessions of wv_server_log_base",
            _unmatched_sessions,
        ),
        TableCheck(
            "unknown_artists",
            f"at most {UNKNOWN_ARTIST_SHARE:.0%} of visits to communities have an unknown artist",
            _days_with_unknown_artists,
            Severity.WARN,
        ),
        TableCheck(
            "single_line_sessions",
            f"at most {SINGLE_LINE_SHARE:.0%} of sessions start and end at the same instant",
            _days_with_single_lines,
            Severity.WARN,
        ),
        volume_check(),
    ),
)


@mart(
    TABLE,
    lines=same_period(wv_server_log_base),
    posts=same_period(community_content_post),
    notices=same_period(community_content_common_notice),
    users=same_period(we_user),
    members=same_period(wv_comm_user),
    artists=same_period(we_artist),
    memberships=same_period(ws_fc_user_history),
)
def wv_sess_daily(
    lines: ir.Table,
    posts: ir.Table,
    notices: ir.Table,
    users: ir.Table,
    members: ir.Table,
    artists: ir.Table,
    memberships: ir.Table,
    timezone: str,
) -> ir.Table:
    """Sessions by user and community visited. Passing through a community is not a visit.

    A user passes through a community if they are not a member and none of their lines there names a post or notice.
    """
    lines = lines.mutate(country=lines.gcc.fill_null(lines.user_info_country))
    visits = _visits(with_community(lines, posts, notices), members)
    visits = visits.mutate(
        key_date=visits.date_id.cast("date"),
        part_date=visits.date_id,
        sess_dur=duration_seconds(visits.sess_start_dt, visits.sess_end_dt),
        user_sess_dur=duration_seconds(visits.user_sess_start_dt, visits.user_sess_end_dt),
        is_sess_login=visits.user_id_fill.notnull().cast("int32"),
    )
    visits = _with_device_login(_with_country(_with_client(visits, lines), lines))
    visits = with_account(visits, users)
    return _with_membership(_with_artist(visits, artists), memberships, timezone)


def _visits(lines: ir.Table, members: ir.Table) -> ir.Table:
    """One row per session, user and community visited; the community is NULL where none was."""
    user_session = ["date_id", "sess_id", "user_sess_id", "user_id_fill"]
    passages = lines.group_by(*user_session, "comm_id", NAMES_SUBJECT).aggregate(
        device_id=lines.user_info_device_id.min(),
        sess_start_dt=lines.sess_start_dt.min(),
        sess_end_dt=lines.sess_end_dt.max(),
        user_sess_start_dt=lines.user_sess_start_dt.min(),
        user_sess_end_dt=lines.user_sess_end_dt.max(),
    )
    return without_passing_through(passages, members).distinct()


def _with_client(visits: ir.Table, lines: ir.Table) -> ir.Table:
    clients = last_known(lines, ["sess_id"], [*CLIENT, "country"]).rename(client_sess="sess_id", sess_ctry="country")
    return visits.left_join(clients, visits.sess_id == clients.client_sess).drop("client_sess")


def _with_country(visits: ir.Table, lines: ir.Table) -> ir.Table:
    """Adds `user_ctry`: the user's last known country that day or, for anonymous sessions, the device's."""
    user_days = last_known(lines.filter(lines.user_id_fill.notnull()), ["date_id", "user_id_fill"], ["country"])
    user_days = user_days.rename(user_day="date_id", day_user="user_id_fill", user_country="country")
    visits = visits.left_join(
        user_days, [visits.date_id == user_days.user_day, visits.user_id_fill == user_days.day_user]
    ).drop("user_day", "day_user")
    # A device's sessions do not overlap, so the last session with a country has the last line with one.
    known_from = visits.sess_ctry.notnull().ifelse(visits.sess_start_dt, ibis.null(visits.sess_start_dt.type()))
    device_day = ibis.window(group_by=[visits.date_id, visits.device_id])
    device_country = visits.sess_ctry.argmax(known_from).over(device_day)
    return visits.mutate(user_ctry=visits.user_id_fill.notnull().ifelse(visits.user_country, device_country))


def _with_device_login(visits: ir.Table) -> ir.Table:
    device_day = ibis.window(group_by=[visits.date_id, visits.device_id])
    return visits.mutate(is_device_login=visits.is_sess_login.max().over(device_day))


def _with_artist(visits: ir.Table, artists: ir.Table) -> ir.Table:
    artists = artists.filter(artists.comm_id.notnull()).select(
        "we_art_id", "we_art_name", artist_day="part_date", artist_comm=artists.comm_id.cast("string")
    )
    at = [visits.date_id == artists.artist_day, visits.comm_id == artists.artist_comm]
    return visits.left_join(artists, at).drop("artist_day", "artist_comm")


def _with_membership(visits: ir.Table, memberships: ir.Table, timezone: str) -> ir.Table:
    holders = membership_holders(memberships, timezone).rename(
        fc_day="part_date", fc_artist="we_art_id", fc_member="we_member_id"
    )
    at = [
        visits.date_id == holders.fc_day,
        visits.we_art_id == holders.fc_artist,
        visits.we_member_id == holders.fc_member,
    ]
    visits = visits.left_join(holders, at).drop("fc_day", "fc_artist", "fc_member")
    is_decidable = visits.we_art_id.notnull() & visits.we_member_id.notnull()
    return visits.mutate(is_fc=is_decidable.ifelse(visits.is_fc.fill_null(0), ibis.null("int32")))
