"""`we_mart.wv_sess_daily`: the main mart. Sessions, the users in them, the communities that they visited."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.days import day_start, shift
from wemart_assets.lake.functions import business_date
from wemart_assets.lake.inputs import same_day
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
from wemart_assets.marts.sessions.wv_server_log_base import wv_server_log_base
from wemart_assets.sources.contracts.we_mart import we_artist, we_user, ws_fc_user_history
from wemart_assets.sources.contracts.weverse2 import community_content_common_notice, community_content_post

CLIENT = ("app_ver", "platform", "os")
UNKNOWN_ARTIST_SHARE = 0.05
SINGLE_LINE_SHARE = 0.5


def _user_sessions_that_differ(staged: ir.Table) -> ir.Table:
    same = ("sess_start_dt", "sess_end_dt", "sess_dur", "user_sess_start_dt", "user_sess_end_dt", "user_sess_dur")
    found = staged.group_by("part_date", "sess_id", "user_sess_id").aggregate(
        **{f"{c}_from": staged[c].min() for c in same}, **{f"{c}_to": staged[c].max() for c in same}
    )
    return found.filter(ibis.or_(*(found[f"{c}_from"] != found[f"{c}_to"] for c in same)))


def _sessions_on_one_side_only(staged: ir.Table, lines: ir.Table) -> ir.Table:
    published = staged.select("part_date", "sess_id", "user_sess_id").distinct()
    logged = lines.select("sess_id", "user_sess_id", part_date="date_id").distinct()
    keys = ["part_date", "sess_id", "user_sess_id"]
    invented = published.anti_join(logged, keys).mutate(only_in=ibis.literal("wv_sess_daily"))
    lost = logged.anti_join(published, keys).mutate(only_in=ibis.literal("wv_server_log_base"))
    return ibis.union(invented.select(*keys, "only_in"), lost.select(*keys, "only_in"))


def _days_of_unknown_artists(staged: ir.Table) -> ir.Table:
    visits = staged.filter(staged.comm_id.notnull())
    days = visits.group_by("part_date").aggregate(share=visits.we_art_id.isnull().cast("int64").mean())
    return days.filter(days.share > UNKNOWN_ARTIST_SHARE)


def _days_of_single_lines(staged: ir.Table) -> ir.Table:
    sessions = staged.select("part_date", "sess_id", "sess_start_dt", "sess_end_dt").distinct()
    single = (sessions.sess_start_dt == sessions.sess_end_dt).cast("int64").mean()
    days = sessions.group_by("part_date").aggregate(share=single)
    return days.filter(days.share > SINGLE_LINE_SHARE)


def _fits_in_day(t: ir.Table, days: Sequence[str], timezone: str) -> ir.BooleanValue:
    # A day of most zones has 23 to 25 hours; which it has is the calendar's to say, not an engine's.
    lengths = [
        (day, int((day_start(shift(day, 1), timezone) - day_start(day, timezone)).total_seconds())) for day in days
    ]
    longest = t.part_date.cases(*lengths, else_=0)
    return (t.sess_dur <= longest) & (t.user_sess_dur <= longest)


TABLE = Table(
    database="we_mart",
    name="wv_sess_daily",
    description="One row per session, a user in it and a community visited, on a business day.",
    grain=("sess_id", "user_sess_id", "comm_id"),
    tags={"tier": "primary"},
    columns=(
        column("key_date", "date", "business day of the visit", nullable=False),
        column("we_member_id", "int", "account of the user"),
        column("wv_user_id", "int", "Weverse user"),
        column("user_ctry", "string", "last country of the user that day; of the device where nobody is known"),
        column("device_id", "string", "device (browser) id", nullable=False),
        column("is_device_login", "int", "1 where any session of the device that day has a user", FLAG, nullable=False),
        column("we_art_id", "int", "artist of the community"),
        column("we_art_name", "string", "name of the artist"),
        column("comm_id", "string", "community visited"),
        column("is_comm_user", "int", "1 a member, 0 a visitor, NULL without community", FLAG),
        column("is_fc", "int", "1 holds a membership of the artist, 0 not, NULL if account or artist is unknown", FLAG),
        column("art_indi_id", "string", "id of the artist's member, where the user is one"),
        column("art_indi_type", "string", "kind of the artist's member"),
        column("sess_id", "string", "yyyyMMddHHmmssSSS of the session's start, |, device", nullable=False),
        column("sess_ctry", "string", "last country of the session"),
        column("sess_start_dt", "timestamp", "first line of the session (UTC)", nullable=False),
        column("sess_end_dt", "timestamp", "last line of the session (UTC)", nullable=False),
        column("sess_dur", "bigint", "seconds of the session, both ends counted", at_least(1), nullable=False),
        column("user_sess_id", "string", "sess_id, | and the user where one is known", nullable=False),
        column("is_sess_login", "int", "1 where the user of the user session is known", FLAG, nullable=False),
        column("user_sess_start_dt", "timestamp", "first line of the user in the session (UTC)", nullable=False),
        column("user_sess_end_dt", "timestamp", "last line of the user in the session (UTC)", nullable=False),
        column("user_sess_dur", "bigint", "seconds of the user session", at_least(1), nullable=False),
        column("platform", "string", "last known of the session: TV, APP, PC or MWEB"),
        column("os", "string", "last known operating system of the session"),
        column("app_ver", "string", "last known app version of the session"),
        PART_DATE,
        RUN_TIMESTAMP,
    ),
    row_checks=(
        RowCheck(
            "key_date_is_the_sessions",
            "key_date is the business day of sess_start_dt and of sess_end_dt, and part_date says the same",
            lambda t, timezone: (
                (t.key_date == business_date(t.sess_start_dt, timezone))
                & (t.key_date == business_date(t.sess_end_dt, timezone))
                & (t.part_date == t.key_date.cast("string"))
            ),
        ),
        RowCheck(
            "sess_id_formula",
            "sess_id is the start in the business timezone, |, device",
            lambda t, timezone: t.sess_id == session_id(t.sess_start_dt, t.device_id, timezone),
        ),
        RowCheck(
            "user_session_in_session",
            "sessions do not end before they start, and a user's part lies inside its session",
            lambda t: (
                (t.sess_start_dt <= t.user_sess_start_dt)
                & (t.user_sess_start_dt <= t.user_sess_end_dt)
                & (t.user_sess_end_dt <= t.sess_end_dt)
            ),
        ),
        RowCheck(
            "durations",
            "sess_dur and user_sess_dur are the whole seconds from first to last line, both counted",
            lambda t: (
                (t.sess_dur == duration_seconds(t.sess_start_dt, t.sess_end_dt))
                & (t.user_sess_dur == duration_seconds(t.user_sess_start_dt, t.user_sess_end_dt))
            ),
        ),
        RowCheck("durations_fit_in_the_day", "no session is longer than its business day", _fits_in_day),
        RowCheck(
            "comm_user_of_a_community",
            "is_comm_user is NULL where there is no community, and only there",
            lambda t: t.is_comm_user.isnull() == t.comm_id.isnull(),
        ),
    ),
    table_checks=(
        TableCheck(
            "one_duration_a_user_session",
            "a session and a user's part of it say the same in each community's row",
            _user_sessions_that_differ,
        ),
        TableCheck(
            "sessions_of_the_log",
            "the sessions and user sessions are exactly those of wv_server_log_base",
            _sessions_on_one_side_only,
        ),
        TableCheck(
            "unknown_artists",
            f"no more than {UNKNOWN_ARTIST_SHARE:.0%} of the visits to communities have an unknown artist",
            _days_of_unknown_artists,
            Severity.WARN,
        ),
        TableCheck(
            "single_line_sessions",
            f"no more than {SINGLE_LINE_SHARE:.0%} of the sessions are a single line",
            _days_of_single_lines,
            Severity.WARN,
        ),
        volume_check(),
    ),
)


@mart(
    TABLE,
    lines=same_day(wv_server_log_base),
    posts=same_day(community_content_post),
    notices=same_day(community_content_common_notice),
    users=same_day(we_user),
    members=same_day(wv_comm_user),
    artists=same_day(we_artist),
    memberships=same_day(ws_fc_user_history),
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
    """A session, a user in it, a community visited: passing through a community is no visit.

    A community is passed through where the user is no member and the line names neither post nor notice.
    """
    lines = lines.mutate(country=lines.gcc.fill_null(lines.user_info_country))
    visits = _visits(_with_community(lines, posts, notices), members)
    visits = visits.mutate(
        key_date=visits.date_id.cast("date"),
        part_date=visits.date_id,
        sess_dur=duration_seconds(visits.sess_start_dt, visits.sess_end_dt),
        user_sess_dur=duration_seconds(visits.user_sess_start_dt, visits.user_sess_end_dt),
        is_sess_login=visits.user_id_fill.notnull().cast("int32"),
    )
    visits = _with_device_login(_with_country(_with_client(visits, lines), lines))
    visits = _with_account(visits, users)
    return _with_membership(_with_artist(visits, artists), memberships, timezone)


def _with_community(lines: ir.Table, posts: ir.Table, notices: ir.Table) -> ir.Table:
    """The community of a line is the one that it names, else its post's, else its notice's."""
    posts = posts.select(
        "part_date",
        of_post=posts.shard_id.cast("string") + "-" + posts.post_local_id.cast("string"),
        post_comm_id=posts.community_id.cast("string"),
    )
    notices = notices.select(
        "part_date",
        of_notice=notices.id.cast("string"),
        notice_comm_id=notices.parent_id.re_extract("^community-([0-9]+)$", 1).nullif(""),
    )
    found = lines.left_join(posts, [lines.date_id == posts.part_date, lines.post_id == posts.of_post])
    found = found.drop("part_date", "of_post")
    found = found.left_join(notices, [found.date_id == notices.part_date, found.notice_id == notices.of_notice])
    found = found.drop("part_date", "of_notice")
    return found.mutate(comm_id=ibis.coalesce(found.comm_id, found.post_comm_id, found.notice_comm_id))


def _visits(lines: ir.Table, members: ir.Table) -> ir.Table:
    """One row per (session, user, community visited), community NULL where there is none."""
    lines = lines.mutate(names_subject=lines.post_id.notnull() | lines.notice_id.notnull())
    of_user_session = ["date_id", "sess_id", "user_sess_id", "user_id_fill"]
    passed = lines.group_by(*of_user_session, "comm_id", "names_subject").aggregate(
        device_id=lines.user_info_device_id.min(),
        sess_start_dt=lines.sess_start_dt.min(),
        sess_end_dt=lines.sess_end_dt.max(),
        user_sess_start_dt=lines.user_sess_start_dt.min(),
        user_sess_end_dt=lines.user_sess_end_dt.max(),
    )
    members = members.select(
        "part_date",
        "art_indi_id",
        "art_indi_type",
        of_comm=members.comm_id.cast("string"),
        of_user=members.wv_user_id.cast("string"),
        is_member=ibis.literal(1, "int32"),
    )
    at = [
        passed.date_id == members.part_date,
        passed.comm_id == members.of_comm,
        passed.user_id_fill == members.of_user,
    ]
    passed = passed.left_join(members, at).drop("part_date", "of_comm", "of_user")
    is_visit = passed.is_member.notnull() | passed.names_subject
    visited = is_visit & passed.comm_id.notnull()
    visits = passed.mutate(
        comm_id=visited.ifelse(passed.comm_id, ibis.null("string")),
        is_comm_user=visited.ifelse(passed.is_member.fill_null(0), ibis.null("int32")),
    )
    return visits.drop("names_subject", "is_member").distinct()


def _with_client(visits: ir.Table, lines: ir.Table) -> ir.Table:
    known = last_known(lines, ["sess_id"], [*CLIENT, "country"]).rename(of_sess="sess_id", sess_ctry="country")
    return visits.left_join(known, visits.sess_id == known.of_sess).drop("of_sess")


def _with_country(visits: ir.Table, lines: ir.Table) -> ir.Table:
    """The country of the user's day; of one that nobody is known of, of the device's."""
    of_user = last_known(lines.filter(lines.user_id_fill.notnull()), ["date_id", "user_id_fill"], ["country"])
    of_user = of_user.rename(user_day="date_id", of_user="user_id_fill", user_country="country")
    visits = visits.left_join(
        of_user, [visits.date_id == of_user.user_day, visits.user_id_fill == of_user.of_user]
    ).drop("user_day", "of_user")
    # Sessions of a device follow one another, so what the last of them knows is what the last of its lines does.
    known_from = visits.sess_ctry.notnull().ifelse(visits.sess_start_dt, ibis.null(visits.sess_start_dt.type()))
    of_device = visits.sess_ctry.argmax(known_from).over(ibis.window(group_by=[visits.date_id, visits.device_id]))
    return visits.mutate(user_ctry=visits.user_id_fill.notnull().ifelse(visits.user_country, of_device))


def _with_device_login(visits: ir.Table) -> ir.Table:
    of_device = ibis.window(group_by=[visits.date_id, visits.device_id])
    return visits.mutate(is_device_login=visits.is_sess_login.max().over(of_device))


def _with_account(visits: ir.Table, users: ir.Table) -> ir.Table:
    users = users.filter(users.wv_user_id.notnull()).select(
        "we_member_id", "wv_user_id", user_day="part_date", of_user=users.wv_user_id.cast("string")
    )
    at = [visits.date_id == users.user_day, visits.user_id_fill == users.of_user]
    return visits.left_join(users, at).drop("user_day", "of_user")


def _with_artist(visits: ir.Table, artists: ir.Table) -> ir.Table:
    artists = artists.filter(artists.comm_id.notnull()).select(
        "we_art_id", "we_art_name", artist_day="part_date", of_comm=artists.comm_id.cast("string")
    )
    at = [visits.date_id == artists.artist_day, visits.comm_id == artists.of_comm]
    return visits.left_join(artists, at).drop("artist_day", "of_comm")


def _with_membership(visits: ir.Table, memberships: ir.Table, timezone: str) -> ir.Table:
    holders = membership_holders(memberships, timezone).rename(
        fc_day="part_date", of_artist="we_art_id", of_member="we_member_id"
    )
    at = [
        visits.date_id == holders.fc_day,
        visits.we_art_id == holders.of_artist,
        visits.we_member_id == holders.of_member,
    ]
    visits = visits.left_join(holders, at).drop("fc_day", "of_artist", "of_member")
    both_known = visits.we_art_id.notnull() & visits.we_member_id.notnull()
    return visits.mutate(is_fc=both_known.ifelse(visits.is_fc.fill_null(0), ibis.null("int32")))
