"""Good worlds and cases for the session tables and the sources that they read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from wemart_assets.lake.audit import GRAIN, ROWS
from wemart_assets_tests.rule_cases.worlds import (
    DAY,
    DAY_BEFORE,
    Case,
    Domain,
    Row,
    World,
    add_input,
    add_row,
    bad_value,
    case,
    change_input,
    change_row,
    change_rows,
    drop_input,
    drop_row,
    kst,
    published_before,
)

# The log base: d1 has a session of two lines (the second without a user) and a single-line session, d2 a single line.


def line(clock: str, device: str, seq: int, start: str, end: str, logged_user: int | None, user: int | None) -> Row:
    """A line of the log base; `user` is the one filled in for the session."""
    sess_id = f"20240305{start.replace(':', '').replace('.', '')}|{device}"
    return {
        "date_id": DAY,
        "hour": clock[:2],
        "log_dt": kst(clock),
        "sess_id": sess_id,
        "sess_seq": seq,
        "sess_start_dt": kst(start),
        "sess_end_dt": kst(end),
        "user_sess_id": sess_id if user is None else f"{sess_id}|{user}",
        "user_sess_start_dt": kst(start),
        "user_sess_end_dt": kst(end),
        "user_info_id": None if logged_user is None else str(logged_user),
        "user_info_device_id": device,
        "user_id_fill": None if user is None else str(user),
    }


def logged(clock: str, device: str | None) -> Row:
    """A line of the server log."""
    return {
        "unix_log_timestamp": int(kst(clock).timestamp() * 1000),
        "user_info_device_id": device,
        "params": "{}",
        "date_id": DAY,
    }


LOG_BASE = World(
    rows=(
        line("10:00:00.250", "d1", 1, "10:00:00.250", "10:10:00.750", 101, 101),
        line("10:10:00.750", "d1", 1, "10:00:00.250", "10:10:00.750", None, 101),
        line("11:00:00.000", "d1", 2, "11:00:00.000", "11:00:00.000", None, None),
        line("23:59:59.999", "d2", 1, "23:59:59.999", "23:59:59.999", 102, 102),
    ),
    inputs={
        "lines": (
            logged("10:00:00.250", "d1"),
            logged("10:10:00.750", "d1"),
            logged("11:00:00.000", "d1"),
            logged("23:59:59.999", "d2"),
            logged("12:00:00.000", None),  # not counted: no device
        )
    },
)

# The session mart: user 101 on d1 visits two communities. An anonymous session on d1 has a single line, one on d2 two.


def visit(device: str, start: str, end: str, seconds: int, user: int | None, comm_id: str | None) -> Row:
    sess_id = f"20240305{start.replace(':', '').replace('.', '')}|{device}"
    return {
        "key_date": dt.date(2024, 3, 5),
        "we_member_id": None if user is None else user - 100,
        "wv_user_id": user,
        "user_ctry": "KR",
        "device_id": device,
        "is_device_login": 0 if device == "d2" else 1,
        "we_art_id": None if comm_id is None else int(comm_id),
        "we_art_name": None if comm_id is None else f"artist {comm_id}",
        "comm_id": comm_id,
        "is_comm_user": None if comm_id is None else 1,
        "is_fc": None if comm_id is None else 0,
        "sess_id": sess_id,
        "sess_start_dt": kst(start),
        "sess_end_dt": kst(end),
        "sess_dur": seconds,
        "user_sess_id": sess_id if user is None else f"{sess_id}|{user}",
        "is_sess_login": 0 if user is None else 1,
        "user_sess_start_dt": kst(start),
        "user_sess_end_dt": kst(end),
        "user_sess_dur": seconds,
        "platform": "APP",
        "part_date": DAY,
    }


def line_of(visit: Row) -> Row:
    return {"date_id": DAY, "sess_id": visit["sess_id"], "user_sess_id": visit["user_sess_id"]}


VISITS = (
    visit("d1", "10:00:00.250", "10:05:00.400", 301, 101, "10"),
    visit("d1", "10:00:00.250", "10:05:00.400", 301, 101, "11"),
    visit("d1", "11:00:00.000", "11:00:00.000", 1, None, None),
    visit("d2", "12:00:00.000", "12:00:59.250", 60, None, None),
)
SESSIONS = World(rows=VISITS, inputs={"lines": tuple(line_of(visit) for visit in (VISITS[0], *VISITS))})

NOT_IN_USER_DAILY = ("is_device_login", "sess_ctry", "is_sess_login")
USER_DAILY = World(
    rows=tuple({name: value for name, value in visit.items() if name not in NOT_IN_USER_DAILY} for visit in VISITS),
    inputs={"sessions": VISITS},
)


# An artist member visits their own community.
ARTIST_VISITS = (*VISITS, VISITS[0] | {"art_indi_id": "10-101", "art_indi_type": "ARTIST", "comm_id": "12"})
LINES = tuple(line_of(visit) for visit in (VISITS[0], *VISITS))
KEY = {"key_date": dt.date(2024, 3, 5), "part_date": DAY}


def by_artist(artist: int, seconds: int) -> Row:
    counts = {"visitor_cnt": 1, "user_sess_cnt": 1, "total_user_sess_dur": seconds}
    return {**KEY, "we_art_id": artist, "user_type": "member", "user_ctry": "KR", **counts}


def by_account(account: int | None, **counts: int) -> Row:
    return {"key_date": dt.date(2024, 3, 5), "we_member_id": account, "part_date": DAY, **counts}


GOOD: dict[str, World] = {
    "we_mart.wv_server_log_base": LOG_BASE,
    "we_mart.wv_sess_daily": SESSIONS,
    "we_mart.wv_user_daily": USER_DAILY,
    "we_mart.stats_wv_d_session": World(
        rows=(by_account(1, sess_cnt=1, total_sess_dur=301), by_account(None, sess_cnt=2, total_sess_dur=61)),
        inputs={"sessions": VISITS},
    ),
    "we_mart.stats_wv_d_user_sess": World(
        rows=(
            by_account(1, user_sess_cnt=1, total_user_sess_dur=301),
            by_account(None, user_sess_cnt=2, total_user_sess_dur=61),
        ),
        inputs={"sessions": VISITS},
    ),
    "we_mart.stats_wv_d_platform": World(
        rows=(
            {"key_date": dt.date(2024, 3, 5), "platform": "APP", "sess_cnt": 2, "part_date": DAY},
            {"key_date": dt.date(2024, 3, 5), "platform": None, "sess_cnt": 1, "part_date": DAY},
        ),
        inputs={"sessions": VISITS},
    ),
    "we_mart.wv_visit_daily_log": World(
        rows=(by_account(1, user_sess_cnt=1, total_sess_dur=301), by_account(2, user_sess_cnt=1, total_sess_dur=60)),
        inputs={"sessions": (*VISITS[:3], VISITS[3] | {"we_member_id": 2})},
    ),
    "we_mart.stats_wv_d_art_comm_visit": World(
        rows=(by_artist(10, 301), by_artist(11, 301)),
        inputs={"sessions": VISITS},
    ),
    "we_mart.stats_wv_d_ctry_lang": World(
        rows=(
            {**KEY, "user_ctry": "KR", "language": "ko", "visitor_cnt": 1},
            {**KEY, "user_ctry": "KR", "language": None, "visitor_cnt": 2},
        ),
        inputs={"sessions": VISITS, "lines": LINES},
    ),
    "we_mart.stats_wv_d_art_indi_comm_activity": World(
        rows=(
            {
                **KEY,
                "comm_id": "12",
                "art_indi_id": "10-101",
                "art_indi_type": "ARTIST",
                "user_sess_cnt": 1,
                "total_user_sess_dur": 301,
                "first_dt": kst("10:00:00.250"),
                "last_dt": kst("10:05:00.400"),
            },
        ),
        inputs={"sessions": ARTIST_VISITS},
    ),
}

# The other checks that a NULL in a NOT NULL column breaks, by table; none for columns that are not listed.
NULL_BREAKS_TOO: dict[str, dict[str, set[str]]] = {
    "we_mart.wv_server_log_base": {
        "hour": {"day_of_line"},
        "log_dt": {"day_of_line", "line_in_session"},
        "sess_id": {"session_id_formula"},
        "sess_start_dt": {"line_in_session", "session_id_formula"},
        "sess_end_dt": {"line_in_session"},
        "user_sess_id": {"session_id_formula"},
        "user_sess_start_dt": {"line_in_session"},
        "user_sess_end_dt": {"line_in_session"},
        "user_info_device_id": {"session_id_formula"},
    },
    "we_mart.wv_sess_daily": {
        "key_date": {"key_date_is_the_sessions"},
        "device_id": {"sess_id_formula"},
        "sess_id": {"sess_id_formula", "sessions_of_the_log"},
        "sess_start_dt": {"key_date_is_the_sessions", "sess_id_formula", "user_session_in_session", "durations"},
        "sess_end_dt": {"key_date_is_the_sessions", "user_session_in_session", "durations"},
        "sess_dur": {"durations", "durations_fit_in_the_day"},
        "user_sess_id": {"sessions_of_the_log"},
        "user_sess_start_dt": {"user_session_in_session", "durations"},
        "user_sess_end_dt": {"user_session_in_session", "durations"},
        "user_sess_dur": {"durations", "durations_fit_in_the_day"},
    },
    "we_mart.wv_user_daily": {"user_sess_id": {"user_sessions_of_sess_daily"}},
    "we_mart.stats_wv_d_session": {"total_sess_dur": {"durations_add_up"}},
    "we_mart.stats_wv_d_user_sess": {"total_user_sess_dur": {"durations_add_up"}},
    "we_mart.stats_wv_d_platform": {"sess_cnt": {"sessions_add_up"}},
    "we_mart.wv_visit_daily_log": {"total_sess_dur": {"durations_add_up"}},
    "we_mart.stats_wv_d_art_comm_visit": {
        "we_art_id": {"durations_add_up"},
        "user_type": {"durations_add_up"},
        "visitor_cnt": {"sessions_of_visitors"},
        "user_sess_cnt": {"sessions_of_visitors"},
        "total_user_sess_dur": {"sessions_of_visitors", "durations_add_up"},
    },
    "we_mart.stats_wv_d_ctry_lang": {"visitor_cnt": {"visitors_add_up"}},
    "we_mart.stats_wv_d_art_indi_comm_activity": {
        "comm_id": {"counts_add_up"},
        "art_indi_id": {"counts_add_up"},
        "user_sess_cnt": {"counts_add_up"},
        "total_user_sess_dur": {"counts_add_up"},
        "first_dt": {"in_order"},
        "last_dt": {"in_order"},
    },
}
# The row in which a value is set to NULL: the only one of its session.
NULL_ROW = {"we_mart.wv_server_log_base": 3, "we_mart.wv_sess_daily": 2, "we_mart.wv_user_daily": 2}

BASE, SESS, USERS = "we_mart.wv_server_log_base", "we_mart.wv_sess_daily", "we_mart.wv_user_daily"
BY_SESSION, BY_USER_SESSION = "we_mart.stats_wv_d_session", "we_mart.stats_wv_d_user_sess"
BY_PLATFORM = "we_mart.stats_wv_d_platform"
VISIT_LOG, BY_ARTIST = "we_mart.wv_visit_daily_log", "we_mart.stats_wv_d_art_comm_visit"
BY_LANGUAGE, BY_MEMBER = "we_mart.stats_wv_d_ctry_lang", "we_mart.stats_wv_d_art_indi_comm_activity"

CASES: list[Case] = [
    # we_mart.wv_server_log_base
    bad_value(BASE, "is_join", 2),
    bad_value(BASE, "is_leave", -1),
    case(BASE, "day_of_line", "a wrong hour", change_row(0, hour="11")),
    case(BASE, "day_of_line", "the hour in UTC", change_row(0, hour="01")),
    case(
        BASE,
        "day_of_line",
        "a line of the next business day",
        change_row(
            3,
            **line("00:00:00.000", "d2", 1, "00:00:00.000", "00:00:00.000", 102, 102)
            | {
                "log_dt": kst("00:00:00.000", "2024-03-06"),
                "sess_start_dt": kst("00:00:00.000", "2024-03-06"),
                "sess_end_dt": kst("00:00:00.000", "2024-03-06"),
                "user_sess_start_dt": kst("00:00:00.000", "2024-03-06"),
                "user_sess_end_dt": kst("00:00:00.000", "2024-03-06"),
                "sess_id": "20240306000000000|d2",
                "user_sess_id": "20240306000000000|d2|102",
            },
        ),
    ),
    case(
        BASE, "line_in_session", "a line before its user session", change_row(0, user_sess_start_dt=kst("10:00:00.251"))
    ),
    case(BASE, "line_in_session", "a line after its user session", change_row(1, user_sess_end_dt=kst("10:10:00.749"))),
    case(
        BASE,
        "line_in_session",
        "a user session that starts before its session",
        change_row(0, user_sess_start_dt=kst("10:00:00.249")),
    ),
    case(
        BASE,
        "line_in_session",
        "a user session that ends after its session",
        change_row(1, user_sess_end_dt=kst("10:10:00.751")),
    ),
    case(
        BASE,
        "session_id_formula",
        "the start in UTC instead of Seoul",
        change_row(3, sess_id="20240305145959999|d2", user_sess_id="20240305145959999|d2|102"),
    ),
    case(
        BASE, "session_id_formula", "a user session without a user", change_row(3, user_sess_id="20240305235959999|d2")
    ),
    case(BASE, "session_id_formula", "a wrong user", change_row(3, user_sess_id="20240305235959999|d2|101")),
    case(BASE, "named_user_stays", "a different user", change_row(0, user_info_id="999")),
    case(
        BASE,
        "named_user_stays",
        "no user",
        change_row(3, user_id_fill=None, user_sess_id="20240305235959999|d2"),
    ),
    case(BASE, "lines_add_up", "a line was lost", add_input("lines", **logged("13:00:00.000", "d3"))),
    case(BASE, "lines_add_up", "a line was invented", drop_input("lines", 3)),
    case(BASE, "lines_add_up", "a line without a device was counted", change_input("lines", 3, user_info_device_id="")),
    case(BASE, "lines_add_up", "all lines were lost", lambda world: replace(world, rows=()), also=[ROWS]),
    case(
        BASE,
        "session_bounds",
        "a session that ends after its last line",
        change_rows(
            lambda row: row["sess_seq"] == 1 and row["user_info_device_id"] == "d1", sess_end_dt=kst("10:20:00.000")
        ),
    ),
    case(
        BASE,
        "session_bounds",
        "a session that starts before its first line",
        change_row(
            2,
            sess_start_dt=kst("10:59:59.000"),
            sess_id="20240305105959000|d1",
            user_sess_id="20240305105959000|d1",
        ),
    ),
    case(
        BASE,
        "session_bounds",
        "lines of a session disagree about its end",
        change_row(0, sess_end_dt=kst("10:11:00.000")),
    ),
    case(
        BASE,
        "sessions_apart",
        "sessions exactly the gap apart",
        change_row(2, **line("10:40:00.750", "d1", 2, "10:40:00.750", "10:40:00.750", None, None)),
    ),
    case(BASE, "sessions_apart", "a session number is skipped", change_row(2, sess_seq=3)),
    case(BASE, "sessions_apart", "session numbers start at 0", change_row(3, sess_seq=0)),
    # we_mart.wv_sess_daily
    bad_value(SESS, "is_device_login", 2),
    bad_value(SESS, "is_comm_user", 2),
    bad_value(SESS, "is_fc", -1),
    bad_value(SESS, "is_sess_login", 7),
    bad_value(SESS, "sess_dur", 0, row=2, also=["durations"]),
    bad_value(SESS, "user_sess_dur", 0, row=2, also=["durations"]),
    case(SESS, GRAIN, "the same row twice", add_row(0)),
    case(SESS, GRAIN, "the same row without a community twice", add_row(2)),
    case(SESS, "key_date_is_the_sessions", "the next day", change_row(2, key_date=dt.date(2024, 3, 6))),
    case(
        SESS,
        "key_date_is_the_sessions",
        "a session across midnight",
        change_row(2, sess_end_dt=kst("00:00:00.000", "2024-03-06"), sess_dur=46_801),
    ),
    case(
        SESS,
        "key_date_is_the_sessions",
        "a session of another partition",
        change_row(
            3,
            **visit("d2", "12:00:00.000", "12:00:59.250", 60, None, None)
            | {
                "key_date": dt.date(2024, 3, 4),
                "sess_id": "20240304120000000|d2",
                "user_sess_id": "20240304120000000|d2",
                "sess_start_dt": kst("12:00:00.000", DAY_BEFORE),
                "sess_end_dt": kst("12:00:59.250", DAY_BEFORE),
                "user_sess_start_dt": kst("12:00:00.000", DAY_BEFORE),
                "user_sess_end_dt": kst("12:00:59.250", DAY_BEFORE),
            },
        ),
        change_input("lines", 4, sess_id="20240304120000000|d2", user_sess_id="20240304120000000|d2"),
    ),
    case(
        SESS,
        "sess_id_formula",
        "the start in UTC instead of Seoul",
        change_row(2, sess_id="20240305020000000|d1"),
        change_input("lines", 3, sess_id="20240305020000000|d1"),
    ),
    case(
        SESS,
        "sess_id_formula",
        "a wrong device",
        change_row(2, sess_id="20240305110000000|d9"),
        change_input("lines", 3, sess_id="20240305110000000|d9"),
    ),
    case(
        SESS,
        "user_session_in_session",
        "a user session that starts before its session",
        change_row(2, user_sess_start_dt=kst("10:59:59.000"), user_sess_dur=2),
    ),
    case(
        SESS,
        "user_session_in_session",
        "a user session that ends after its session",
        change_row(2, user_sess_end_dt=kst("11:00:01.000"), user_sess_dur=2),
    ),
    case(SESS, "durations", "one second too many", change_row(2, sess_dur=2)),
    case(SESS, "durations", "one second too many in the user session", change_row(3, user_sess_dur=61)),
    case(
        SESS,
        "durations_fit_in_the_day",
        "one second longer than a day",
        change_row(2, sess_dur=86_401),
        also=["durations"],
    ),
    case(
        SESS,
        "durations_fit_in_the_day",
        "a user session one second longer than a day",
        change_row(2, user_sess_dur=86_401),
        also=["durations"],
    ),
    case(SESS, "comm_user_of_a_community", "a value without a community", change_row(2, is_comm_user=0)),
    case(SESS, "comm_user_of_a_community", "no value in a community", change_row(0, is_comm_user=None)),
    case(
        SESS,
        "one_duration_a_user_session",
        "a different end in another community",
        change_row(1, sess_end_dt=kst("10:06:00.400"), sess_dur=361),
    ),
    case(
        SESS,
        "one_duration_a_user_session",
        "a different start of the user session in another community",
        change_row(1, user_sess_start_dt=kst("10:01:00.250"), user_sess_dur=241),
    ),
    case(SESS, "sessions_of_the_log", "a session was lost", drop_row(2)),
    case(SESS, "sessions_of_the_log", "a session was invented", drop_input("lines", 3)),
    case(
        SESS,
        "sessions_of_the_log",
        "a user session was lost",
        add_input("lines", date_id=DAY, sess_id=VISITS[0]["sess_id"], user_sess_id=f"{VISITS[0]['sess_id']}|105"),
    ),
    case(SESS, "unknown_artists", "one of two visits without an artist", change_row(0, we_art_id=None)),
    case(
        SESS,
        "single_line_sessions",
        "two of three sessions have a single line",
        change_row(
            3,
            sess_end_dt=kst("12:00:00.000"),
            user_sess_end_dt=kst("12:00:00.000"),
            sess_dur=1,
            user_sess_dur=1,
        ),
    ),
    case(SESS, "volume", "far fewer rows than the day before", published_before(9)),
    case(SESS, "volume", "far more rows than the day before", published_before(1)),
    # we_mart.wv_user_daily
    bad_value(USERS, "is_comm_user", 2),
    bad_value(USERS, "is_fc", -1),
    bad_value(USERS, "sess_dur", 0),
    bad_value(USERS, "user_sess_dur", 0),
    case(USERS, GRAIN, "the same row twice", add_row(0)),
    case(USERS, GRAIN, "the same row without a community twice", add_row(2)),
    case(USERS, "user_sessions_of_sess_daily", "a user session was lost", drop_row(2)),
    case(USERS, "user_sessions_of_sess_daily", "a user session was invented", drop_input("sessions", 3)),
    case(USERS, "volume", "far fewer rows than the day before", published_before(9)),
    case(USERS, "volume", "far more rows than the day before", published_before(1)),
    # we_mart.stats_wv_d_session
    bad_value(BY_SESSION, "sess_cnt", 0),
    bad_value(BY_SESSION, "total_sess_dur", 0, change_row(1, total_sess_dur=362)),
    case(
        BY_SESSION,
        GRAIN,
        "the same account twice",
        change_row(0, total_sess_dur=300),
        add_row(0, total_sess_dur=1),
    ),
    case(
        BY_SESSION,
        GRAIN,
        "two rows without an account",
        change_row(1, total_sess_dur=60),
        add_row(1, total_sess_dur=1),
    ),
    case(BY_SESSION, "durations_add_up", "one second too many", change_row(0, total_sess_dur=302)),
    case(BY_SESSION, "durations_add_up", "counted once per community", change_row(0, total_sess_dur=602)),
    case(BY_SESSION, "durations_add_up", "an account was lost", drop_row(0)),
    case(BY_SESSION, "durations_add_up", "all accounts were lost", lambda w: replace(w, rows=()), also=[ROWS]),
    case(BY_SESSION, "durations_add_up", "no sessions", lambda w: replace(w, inputs={"sessions": ()})),
    case(BY_SESSION, "volume", "far fewer rows than the day before", published_before(5)),
    # we_mart.stats_wv_d_user_sess
    bad_value(BY_USER_SESSION, "user_sess_cnt", 0),
    bad_value(BY_USER_SESSION, "total_user_sess_dur", 0, change_row(1, total_user_sess_dur=362)),
    case(
        BY_USER_SESSION,
        GRAIN,
        "the same account twice",
        change_row(0, total_user_sess_dur=300),
        add_row(0, total_user_sess_dur=1),
    ),
    case(BY_USER_SESSION, "durations_add_up", "one second too many", change_row(0, total_user_sess_dur=302)),
    case(BY_USER_SESSION, "durations_add_up", "counted once per community", change_row(0, total_user_sess_dur=602)),
    case(BY_USER_SESSION, "volume", "far fewer rows than the day before", published_before(5)),
    # we_mart.stats_wv_d_platform
    bad_value(BY_PLATFORM, "sess_cnt", 0, change_row(1, sess_cnt=3)),
    case(BY_PLATFORM, GRAIN, "the same platform twice", change_row(0, sess_cnt=1), add_row(0, sess_cnt=1)),
    case(BY_PLATFORM, "sessions_add_up", "one session too many", change_row(0, sess_cnt=3)),
    case(BY_PLATFORM, "sessions_add_up", "sessions without a known platform were lost", drop_row(1)),
    # we_mart.wv_visit_daily_log
    bad_value(VISIT_LOG, "user_sess_cnt", 0),
    bad_value(VISIT_LOG, "total_sess_dur", 0, change_row(1, total_sess_dur=361)),
    case(VISIT_LOG, GRAIN, "the same account twice", change_row(0, total_sess_dur=300), add_row(0, total_sess_dur=1)),
    case(VISIT_LOG, "durations_add_up", "a session without an account is counted", change_row(0, total_sess_dur=302)),
    case(VISIT_LOG, "durations_add_up", "counted once per community", change_row(0, total_sess_dur=602)),
    case(VISIT_LOG, "durations_add_up", "an account was lost", drop_row(1)),
    case(VISIT_LOG, "volume", "far fewer rows than the day before", published_before(5)),
    # we_mart.stats_wv_d_art_comm_visit
    bad_value(BY_ARTIST, "user_type", "artist", also=["durations_add_up"]),
    bad_value(BY_ARTIST, "visitor_cnt", 0),
    bad_value(BY_ARTIST, "user_sess_cnt", 0, also=["sessions_of_visitors"]),
    bad_value(BY_ARTIST, "total_user_sess_dur", 0, also=["sessions_of_visitors", "durations_add_up"]),
    case(
        BY_ARTIST,
        GRAIN,
        "the same country twice",
        change_row(0, total_user_sess_dur=300),
        add_row(0, total_user_sess_dur=1),
    ),
    case(BY_ARTIST, "sessions_of_visitors", "more visitors than sessions", change_row(0, visitor_cnt=2)),
    case(BY_ARTIST, "durations_add_up", "one second too many", change_row(0, total_user_sess_dur=302)),
    case(BY_ARTIST, "durations_add_up", "an artist was lost", drop_row(1)),
    case(BY_ARTIST, "durations_add_up", "visits of another kind of user", change_row(0, user_type="visitor")),
    case(BY_ARTIST, "volume", "far fewer rows than the day before", published_before(5)),
    # we_mart.stats_wv_d_ctry_lang
    bad_value(BY_LANGUAGE, "visitor_cnt", 0, change_row(1, visitor_cnt=3)),
    case(BY_LANGUAGE, GRAIN, "two rows without a language", change_row(1, visitor_cnt=1), add_row(1, visitor_cnt=1)),
    case(BY_LANGUAGE, "visitors_add_up", "one visitor too many", change_row(0, visitor_cnt=2)),
    case(BY_LANGUAGE, "visitors_add_up", "visitors without a language were lost", drop_row(1)),
    case(BY_LANGUAGE, "visitors_add_up", "visitors of another country", change_row(0, user_ctry=None)),
    case(BY_LANGUAGE, "volume", "far fewer rows than the day before", published_before(5)),
    # we_mart.stats_wv_d_art_indi_comm_activity
    bad_value(BY_MEMBER, "user_sess_cnt", 0, also=["counts_add_up"]),
    bad_value(BY_MEMBER, "total_user_sess_dur", 0, also=["counts_add_up"]),
    case(BY_MEMBER, GRAIN, "the same member twice", add_row(0), also=["counts_add_up"]),
    case(BY_MEMBER, "in_order", "the last session ends before the first", change_row(0, last_dt=kst("09:00:00.000"))),
    case(BY_MEMBER, "counts_add_up", "one second too many", change_row(0, total_user_sess_dur=302)),
    case(BY_MEMBER, "counts_add_up", "an artist member was lost", drop_row(0)),
]

GOOD_VALUES: dict[tuple[str, str], Any] = {
    ("service_log.weverse_server_log", "unix_log_timestamp"): 1_709_600_400_000,
    ("we_mart.ws_fc_user_history", "is_cx_by_restore"): 1,
}
BAD_VALUES: dict[tuple[str, str, str], Sequence[Any]] = {
    # (table, column, check): values that the check does not allow
    ("service_log.weverse_server_log", "unix_log_timestamp", "milliseconds"): [-1, 253_402_300_800_000],
    ("we_mart.we_user", "we_member_id", "fits_32_bits"): [2**31, -(2**31) - 1],
    ("we_mart.we_user", "wv_user_id", "fits_32_bits"): [2**31],
    ("we_mart.ws_fc_user_history", "we_member_id", "fits_32_bits"): [2**31],
    ("we_mart.ws_fc_user_history", "is_cx_by_restore", "domains"): [2],
}

DOMAIN = Domain(GOOD, CASES, NULL_BREAKS_TOO, NULL_ROW, GOOD_VALUES, BAD_VALUES)
