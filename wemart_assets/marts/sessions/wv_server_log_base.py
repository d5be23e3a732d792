"""`we_mart.wv_server_log_base`: every log line with its session and user."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.functions import (
    business_day,
    from_utc_timestamp,
    get_json_object,
    json_fields,
    timestamp_millis,
)
from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import FLAG, RUN_TIMESTAMP, Measure, RowCheck, Table, TableCheck, column
from wemart_assets.marts.sessions.rules import session_id
from wemart_assets.marts.sessions.sessionization import sessions_and_users
from wemart_assets.setting_values.session_form import SessionForm
from wemart_assets.sources.contracts.service_log import weverse_server_log

TV_OS = ("ANDTV", "APPLETV", "FIRETV", "TIZEN", "WEBOS")
TV_CONSUMERS = ("TVAPP", "TVOSAPP")
TOP_FIELDS = (
    "gcc",
    "language",
    "consumer_id",
    "provider_id",
    "platform_id",
    "wpf",
    "os",
    "method",
    "request_body",
)
REQUEST_FIELDS = (
    "communityId",
    "postId",
    "mediaType",
    "mediaTime",
    "videoId",
    "videoSessionId",
    "sectionType",
    "isProduct",
    "isHideFromArtist",
    "isFcOnly",
    "chatMsgCount",
    "chatMsgList",
)


def _device(lines: ir.Table) -> ir.StringValue:
    """Device of a line: the one it names; if none, `U_<user key>` for the TV app, else NULL."""
    named = lines.user_info_device_id.nullif("")
    consumer = get_json_object(lines.params, "$.consumer_id")
    consumer = consumer.fill_null(get_json_object(lines.params, "$._consumer_id"))
    tv_device = (consumer == "tvApp").ifelse("U_" + lines.user_info_user_key, ibis.null("string"))
    # Params are parsed only for lines without a device.
    return ibis.cases((named.notnull(), named), else_=tv_device)


def _lines_with_device(lines: ir.Table) -> ir.Table:
    lines = lines.mutate(user_info_device_id=_device(lines))
    return lines.filter(lines.user_info_device_id.notnull())


def _sessions(staged: ir.Table) -> ir.Table:
    return staged.group_by("date_id", "user_info_device_id", "sess_seq").aggregate(
        sess_start_dt=staged.sess_start_dt.min(),
        latest_start=staged.sess_start_dt.max(),
        sess_end_dt=staged.sess_end_dt.max(),
        earliest_end=staged.sess_end_dt.min(),
        first_line=staged.log_dt.min(),
        last_line=staged.log_dt.max(),
    )


def _misplaced_sessions(staged: ir.Table, session_gap_seconds: int) -> ir.Table:
    sessions = _sessions(staged)
    by_device = ibis.window(group_by=[sessions.date_id, sessions.user_info_device_id], order_by=[sessions.sess_seq])
    numbered = sessions.mutate(
        place=ibis.row_number().over(by_device) + 1, silent_from=sessions.sess_end_dt.lag().over(by_device)
    )
    silence = ibis.interval(seconds=session_gap_seconds)
    return numbered.filter(
        (numbered.place != numbered.sess_seq)
        | (numbered.sess_start_dt <= numbered.silent_from + silence).fill_null(False)
    )


def _sessions_off_bounds(staged: ir.Table) -> ir.Table:
    sessions = _sessions(staged)
    return sessions.filter(
        (sessions.sess_start_dt != sessions.first_line)
        | (sessions.latest_start != sessions.first_line)
        | (sessions.sess_end_dt != sessions.last_line)
        | (sessions.earliest_end != sessions.last_line)
    )


def _days_off_count(staged: ir.Table, lines: ir.Table) -> ir.Table:
    actual = staged.group_by("date_id").aggregate(actual=ibis._.count())
    expected = _lines_with_device(lines).group_by("date_id").aggregate(expected=ibis._.count())
    days = actual.outer_join(expected, "date_id")
    days = days.select(
        date_id=ibis.coalesce(days.date_id, days.date_id_right),
        actual=days.actual.fill_null(0),
        expected=days.expected.fill_null(0),
    )
    return days.filter(days.actual != days.expected)


TABLE = Table(
    database="we_mart",
    name="wv_server_log_base",
    description="One row per line of the server log, with its session, its user and the content it refers to.",
    partition_by=("date_id",),
    columns=(
        column("date_id", "string", "business day of the line", nullable=False),
        column("hour", "string", "hour in the business timezone, 00 to 23", nullable=False),
        column("log_dt", "timestamp", "instant of the line (UTC)", nullable=False),
        column("user_info_user_key", "string", "the service's key for the user"),
        column("sess_id", "string", "start of the session as yyyyMMddHHmmssSSS, then | and the device", nullable=False),
        column("sess_seq", "bigint", "number of the session within the device's day, from 1", nullable=False),
        column("sess_start_dt", "timestamp", "instant of the session's first line (UTC)", nullable=False),
        column("sess_end_dt", "timestamp", "instant of the session's last line (UTC)", nullable=False),
        column("user_sess_id", "string", "sess_id, followed by | and the user if known", nullable=False),
        column(
            "user_sess_start_dt", "timestamp", "instant of the user's first line in the session (UTC)", nullable=False
        ),
        column("user_sess_end_dt", "timestamp", "instant of the user's last line in the session (UTC)", nullable=False),
        column("user_info_id", "string", "Weverse user id named by the line"),
        column(
            "user_info_device_id",
            "string",
            "device (browser) id; U_<user key> for a TV app line without one",
            nullable=False,
        ),
        column("platform", "string", "TV, APP, PC or MWEB"),
        column("os", "string", "operating system, upper case"),
        column("app_ver", "string", "app version, x.y.z"),
        column("user_id_fill", "string", "user of the line: its own, else the next in the session, else the previous"),
        column("user_info_status", "string", "account status"),
        column("user_info_ip_address", "string", "IP address of the client"),
        column("user_info_locale", "string", "locale of the client"),
        column("user_info_country", "string", "country of the user"),
        column("topic", "string", "topic of the log line"),
        column("method", "string", "HTTP method"),
        column("gcc", "string", "country of the connection"),
        column("language", "string", "language of the client"),
        column("consumer_id", "string", "client product"),
        column("provider_id", "string", "provider of the client"),
        column("platform_id", "string", "platform reported by the client"),
        column("wpf", "string", "web platform: pc or mweb"),
        column("is_join", "int", "1 if the line joins a community, else NULL", FLAG),
        column("is_leave", "int", "1 if the line leaves a community, else NULL", FLAG),
        column("post_id", "string", "post, <shard>-<number>"),
        column("comm_id", "string", "community, 1 to 18 digits"),
        column("notice_id", "string", "notice"),
        column("body", "string", "request body"),
        column("media_type", "string", "type of media"),
        column("media_time", "string", "position in the media"),
        column("video_id", "string", "video"),
        column("video_session_id", "string", "session of the video player"),
        column("section_type", "string", "section of the page"),
        column("is_product", "string", "whether the content is a product"),
        column("is_hide_from_artist", "string", "whether the content is hidden from the artist"),
        column("is_fc_only", "string", "whether the content is for membership holders only"),
        column("chat_id", "string", "chat"),
        column("chat_msg_count", "int", "number of messages in the chat request"),
        column("chat_msg_list", "string", "messages of the chat request, JSON"),
        column("url", "string", "requested URL"),
        column("params", "string", "request parameters, JSON"),
        column("user_info_user_agent", "string", "user agent"),
        RUN_TIMESTAMP,
    ),
    row_checks=(
        RowCheck(
            "day_of_line",
            "date_id and hour are those of log_dt in the business timezone",
            lambda t, timezone: (
                (t.date_id == business_day(t.log_dt, timezone))
                & (t.hour == from_utc_timestamp(t.log_dt, timezone).strftime("%H"))
            ),
        ),
        RowCheck(
            "line_in_session",
            "a line lies within its user session, and that within its session",
            lambda t: (
                t.log_dt.between(t.user_sess_start_dt, t.user_sess_end_dt)
                & (t.sess_start_dt <= t.user_sess_start_dt)
                & (t.user_sess_end_dt <= t.sess_end_dt)
            ),
        ),
        RowCheck(
            "session_id_formula",
            "sess_id is built from sess_start_dt and the device, user_sess_id from sess_id and the user",
            lambda t, timezone: (
                (t.sess_id == session_id(t.sess_start_dt, t.user_info_device_id, timezone))
                & (t.user_sess_id == t.sess_id + ("|" + t.user_id_fill).fill_null(""))
            ),
        ),
        RowCheck(
            "named_user_stays",
            "a line that names a user belongs to that user",
            lambda t: t.user_info_id.isnull() | (t.user_info_id == t.user_id_fill).fill_null(False),
        ),
    ),
    table_checks=(
        TableCheck("lines_add_up", "each day has as many rows as the log has lines with a device", _days_off_count),
        TableCheck("session_bounds", "a session starts at its first line and ends at its last", _sessions_off_bounds),
        TableCheck(
            "sessions_apart",
            "a device's sessions are numbered from 1 each day and lie more than the session gap apart",
            _misplaced_sessions,
        ),
    ),
    measures=(Measure("lines without device", lambda lines: lines.count(where=_device(lines).isnull())),),
)


@mart(TABLE, lines=same_period(weverse_server_log))
def wv_server_log_base(lines: ir.Table, timezone: str, session_gap_seconds: int, session_form: SessionForm) -> ir.Table:
    """Every log line with a device, once, with its session.

    A session is a run of lines of one device on one business day. A new one starts where the gap to the previous line
    is strictly longer than `session_gap_seconds`. `session_form` affects speed, not rows.
    """
    lines = _lines_with_device(lines)
    lines = lines.mutate(user=lines.user_info_id.nullif(0))
    lines = sessions_and_users(lines, session_gap_seconds * 1000, timezone, session_form)
    lines = lines.mutate(
        log_dt=timestamp_millis(lines.unix_log_timestamp),
        user_info_id=lines.user.cast("string"),
        user_id_fill=lines.user_fill.cast("string"),
    )
    lines = lines.mutate(user_sess_id=lines.sess_id + ("|" + lines.user_id_fill).fill_null(""))
    return _with_client(_with_subject(_with_params(lines, timezone)))


def _with_params(lines: ir.Table, timezone: str) -> ir.Table:
    """Adds the request parameters. A key with a leading underscore is the fallback for the plain one."""
    top_names = [name for field in TOP_FIELDS for name in (field, f"_{field}")]
    request_names = [name for field in REQUEST_FIELDS for name in (field, f"_{field}")]
    lines = lines.mutate(sent=json_fields(lines.params, top_names, {"request": request_names}))

    def top(name: str) -> ir.StringValue:
        return lines.sent[name].fill_null(lines.sent[f"_{name}"])

    def request(name: str) -> ir.StringValue:
        return lines.sent["request"][name].fill_null(lines.sent["request"][f"_{name}"])

    return lines.mutate(
        hour=from_utc_timestamp(lines.log_dt, timezone).strftime("%H"),
        gcc=top("gcc"),
        language=top("language"),
        consumer_id=top("consumer_id"),
        provider_id=top("provider_id"),
        platform_id=top("platform_id"),
        wpf=top("wpf"),
        client_os=top("os"),
        method=top("method"),
        body=top("request_body"),
        sent_community=request("communityId"),
        sent_post=request("postId"),
        media_type=request("mediaType"),
        media_time=request("mediaTime"),
        video_id=request("videoId"),
        video_session_id=request("videoSessionId"),
        section_type=request("sectionType"),
        is_product=request("isProduct"),
        is_hide_from_artist=request("isHideFromArtist"),
        is_fc_only=request("isFcOnly"),
        chat_msg_count=_whole_number(request("chatMsgCount")),
        chat_msg_list=request("chatMsgList"),
    )


def _whole_number(text: ir.StringValue) -> ir.IntegerValue:
    """A 32-bit integer from decimal digits, else NULL. Other notations are rejected: engines disagree on them."""
    return text.re_search("^-?[0-9]+$").ifelse(text, ibis.null("string")).try_cast("int32")


def _with_subject(lines: ir.Table) -> ir.Table:
    """Adds the community, post, notice and chat that a line refers to, and whether it joins or leaves."""

    def in_url(pattern: str) -> ir.StringValue:
        return lines.url.re_extract(pattern, 1).nullif("")

    def community(text: ir.StringValue) -> ir.StringValue:
        return text.re_search("^[1-9][0-9]{0,17}$").ifelse(text, ibis.null("string"))

    one = ibis.literal(1, "int32")
    return lines.mutate(
        is_join=lines.url.re_search("/join([/?#]|$)").ifelse(one, ibis.null("int32")),
        is_leave=lines.url.re_search("/leave([/?#]|$)").ifelse(one, ibis.null("int32")),
        comm_id=community(in_url("community-([0-9]+)")).fill_null(community(lines.sent_community)),
        post_id=in_url("post-([0-9]+-[0-9]+)").fill_null(lines.sent_post),
        notice_id=in_url("/notice-([0-9]+)"),
        chat_id=in_url("/chat-([^/]+)/"),
    )


def _with_client(lines: ir.Table) -> ir.Table:
    """Adds platform, operating system and app version."""
    consumer = lines.consumer_id.upper().fill_null("")
    provider = lines.provider_id.upper().fill_null("")
    client_os = lines.client_os.upper()
    web = lines.wpf.upper()

    def version(product: str) -> ir.StringValue:
        return lines.user_info_user_agent.re_extract(product + r";([0-9]+\.[0-9]+\.[0-9]+)", 1).nullif("")

    is_tv = consumer.isin(TV_CONSUMERS) | ((provider == "WEVAPP") & client_os.isin(TV_OS).fill_null(False))
    return lines.mutate(
        platform=ibis.cases(
            (is_tv, "TV"),
            (provider == "WEVAPP", "APP"),
            (web.isin(["PC", "MWEB"]), web),
            else_=ibis.null("string"),
        ),
        os=ibis.cases(
            (consumer == "TVOSAPP", "TVOS"),
            (consumer == "TVAPP", client_os.fill_null("TV")),
            else_=lines.platform_id.upper(),
        ),
        app_ver=version("app").fill_null(version("weverse")),
    )
