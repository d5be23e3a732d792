"""Every check of every table is seen to fail on rows that break it, and to pass on rows that do not.

A good world of each table is written here by hand (contracts: made from their types), and for each check a change of it
that breaks this check and, where that cannot be helped, the named others. `test_every_check_has_a_case_that_breaks_it`
fails for a check that no case breaks: a new rule brings its case with it.

An audit costs seconds in all and next to nothing a day, so the cases of a table are audited in one run, each on a day
of its own that is far from the others; what each case breaks is read off the days of the findings.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import ibis.expr.types as ir
import pytest

from wemart_assets.catalog import contracts, marts
from wemart_assets.lake.audit import EXAMPLES, GRAIN, KNOWN, ROWS, SCHEMA, Finding, audit, checks_of
from wemart_assets.lake.engine import Engine, Session
from wemart_assets.lake.publication import RejectedByAudit, publish, stage
from wemart_assets.lake.table import Severity, Table
from wemart_assets.settings import Settings

Row = Mapping[str, Any]
Given = Callable[[Session, Table, Sequence[Row]], ir.Table]

DAY, DAY_BEFORE = "2024-03-05", "2024-03-04"
SETTINGS = Settings(
    timezone="Asia/Seoul", first_day=dt.date(2024, 1, 1), session_gap_seconds=1800, quarantine_share=0.01
).for_tables()


@dataclass(frozen=True)
class World:
    """Rows of a table on `DAY`, rows of the inputs that its laws read, and rows that were published before."""

    rows: tuple[Row, ...]
    inputs: Mapping[str, tuple[Row, ...]] = field(default_factory=dict)
    before: tuple[Row, ...] = ()


Change = Callable[[World], World]


@dataclass(frozen=True)
class Case:
    """A change of the good world that breaks `check`, and `also` those that cannot but break with it."""

    table: str
    check: str
    words: str
    change: Change
    also: frozenset[str] = frozenset()
    column: str | None = None

    def __str__(self) -> str:
        return f"{self.table}-{self.check}-{self.words}".replace(" ", "_")


def kst(clock: str, day: str = DAY) -> dt.datetime:
    """UTC instant of a wall clock in Seoul."""
    return dt.datetime.fromisoformat(f"{day}T{clock}+09:00").astimezone(dt.UTC)


def moved(world: World, days: int) -> World:
    """The same world that many days later: its dates, its instants, and the dates in its texts."""

    def value(found: Any) -> Any:
        if isinstance(found, dt.datetime | dt.date):
            return found + dt.timedelta(days=days)
        if isinstance(found, str):
            return re.sub(r"2024(-?)03\1(0[3-7])", later, found)
        if isinstance(found, int) and not isinstance(found, bool) and 1_700_000_000_000 < found < 1_720_000_000_000:
            return found + days * 86_400_000
        return found

    def later(match: re.Match[str]) -> str:
        date = dt.date(2024, 3, int(match[2])) + dt.timedelta(days=days)
        return date.isoformat().replace("-", match[1])

    def rows(of: tuple[Row, ...]) -> tuple[Row, ...]:
        return tuple({name: value(found) for name, found in row.items()} for row in of)

    return World(rows(world.rows), {name: rows(of) for name, of in world.inputs.items()}, rows(world.before))


def change_row(n: int, **values: Any) -> Change:
    return lambda world: replace(
        world, rows=tuple({**row, **values} if i == n else row for i, row in enumerate(world.rows))
    )


def change_rows(of: Callable[[Row], bool], **values: Any) -> Change:
    return lambda world: replace(world, rows=tuple({**row, **values} if of(row) else row for row in world.rows))


def add_row(like: int, **values: Any) -> Change:
    return lambda world: replace(world, rows=(*world.rows, {**world.rows[like], **values}))


def drop_row(n: int) -> Change:
    return lambda world: replace(world, rows=world.rows[:n] + world.rows[n + 1 :])


def add_input(name: str, **values: Any) -> Change:
    return lambda world: replace(world, inputs={**world.inputs, name: (*world.inputs[name], values)})


def drop_input(name: str, n: int) -> Change:
    return lambda world: replace(
        world, inputs={**world.inputs, name: world.inputs[name][:n] + world.inputs[name][n + 1 :]}
    )


def change_input(name: str, n: int, **values: Any) -> Change:
    return lambda world: replace(
        world,
        inputs={
            **world.inputs,
            name: tuple({**row, **values} if i == n else row for i, row in enumerate(world.inputs[name])),
        },
    )


def in_turn(*changes: Change) -> Change:
    def all_of(world: World) -> World:
        for change in changes:
            world = change(world)
        return world

    return all_of


def nothing_at_all(world: World) -> World:
    return World((), dict.fromkeys(world.inputs, ()))


def published_before(rows: int) -> Change:
    """That many rows were published on the day before."""
    return lambda world: replace(world, before=tuple({**world.rows[0], "part_date": DAY_BEFORE} for _ in range(rows)))


# The log base: d1 has a session of two lines (the second without a user) and one of a single line, d2 a single line.


def line(clock: str, device: str, seq: int, start: str, end: str, named: int | None, user: int | None) -> Row:
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
        "user_info_id": None if named is None else str(named),
        "user_info_device_id": device,
        "user_id_fill": None if user is None else str(user),
    }


def logged(clock: str, device: str | None) -> Row:
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

# The session mart: user 101 on d1 visits two communities; nobody on d1 has a single line; nobody on d2 has two.


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
SESSIONS = World(rows=VISITS, inputs={"lines": tuple(line_of(v) for v in (VISITS[0], *VISITS))})

LEFT_OUT_OF_USER_DAILY = ("is_device_login", "sess_ctry", "is_sess_login")
USER_DAILY = World(
    rows=tuple({k: v for k, v in v.items() if k not in LEFT_OUT_OF_USER_DAILY} for v in VISITS),
    inputs={"sessions": VISITS},
)


def by_account(key: int | None, **counts: int) -> Row:
    return {"key_date": dt.date(2024, 3, 5), "we_member_id": key, "part_date": DAY, **counts}


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
}

# What else breaks where a column is NULL that must be known, by table; where none is named, nothing else does.
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
}
# The row whose value is made NULL: one that stands alone in its session.
LONELY_ROW = {"we_mart.wv_server_log_base": 3, "we_mart.wv_sess_daily": 2, "we_mart.wv_user_daily": 2}


def case(
    table: str, check: str, words: str, *changes: Change, also: Sequence[str] = (), column: str | None = None
) -> Case:
    return Case(table, check, words, in_turn(*changes), frozenset(also), column)


def bad_value(table: str, column: str, value: Any, *more: Change, row: int = 0, also: Sequence[str] = ()) -> Case:
    """`domains` broken by one column's value."""
    return case(
        table, "domains", f"{column}={value}", change_row(row, **{column: value}), *more, also=also, column=column
    )


BASE, SESS, USERS = "we_mart.wv_server_log_base", "we_mart.wv_sess_daily", "we_mart.wv_user_daily"
BY_SESSION, BY_USER_SESSION = "we_mart.stats_wv_d_session", "we_mart.stats_wv_d_user_sess"
BY_PLATFORM = "we_mart.stats_wv_d_platform"

CASES: list[Case] = [
    # we_mart.wv_server_log_base
    bad_value(BASE, "is_join", 2),
    bad_value(BASE, "is_leave", -1),
    case(BASE, "day_of_line", "another hour", change_row(0, hour="11")),
    case(BASE, "day_of_line", "the hour of UTC", change_row(0, hour="01")),
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
    case(BASE, "line_in_session", "before its user session", change_row(0, user_sess_start_dt=kst("10:00:00.251"))),
    case(BASE, "line_in_session", "after its user session", change_row(1, user_sess_end_dt=kst("10:10:00.749"))),
    case(
        BASE,
        "line_in_session",
        "a user session that begins before its session",
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
        "the start in UTC",
        change_row(3, sess_id="20240305145959999|d2", user_sess_id="20240305145959999|d2|102"),
    ),
    case(BASE, "session_id_formula", "a user session of nobody", change_row(3, user_sess_id="20240305235959999|d2")),
    case(BASE, "session_id_formula", "another user", change_row(3, user_sess_id="20240305235959999|d2|101")),
    case(BASE, "named_user_stays", "another user", change_row(0, user_info_id="999")),
    case(
        BASE,
        "named_user_stays",
        "nobody",
        change_row(3, user_id_fill=None, user_sess_id="20240305235959999|d2"),
    ),
    case(BASE, "lines_add_up", "a line was lost", add_input("lines", **logged("13:00:00.000", "d3"))),
    case(BASE, "lines_add_up", "a line was invented", drop_input("lines", 3)),
    case(BASE, "lines_add_up", "a line without device was counted", change_input("lines", 3, user_info_device_id="")),
    case(BASE, "lines_add_up", "all lines were lost", lambda world: replace(world, rows=()), also=[ROWS]),
    case(
        BASE,
        "session_bounds",
        "ends after its last line",
        change_rows(
            lambda row: row["sess_seq"] == 1 and row["user_info_device_id"] == "d1", sess_end_dt=kst("10:20:00.000")
        ),
    ),
    case(
        BASE,
        "session_bounds",
        "begins before its first line",
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
        "lines of a session do not agree on its end",
        change_row(0, sess_end_dt=kst("10:11:00.000")),
    ),
    case(
        BASE,
        "sessions_apart",
        "exactly the gap apart",
        change_row(2, **line("10:40:00.750", "d1", 2, "10:40:00.750", "10:40:00.750", None, None)),
    ),
    case(BASE, "sessions_apart", "a number is left out", change_row(2, sess_seq=3)),
    case(BASE, "sessions_apart", "numbers begin at 0", change_row(3, sess_seq=0)),
    # we_mart.wv_sess_daily
    bad_value(SESS, "is_device_login", 2),
    bad_value(SESS, "is_comm_user", 2),
    bad_value(SESS, "is_fc", -1),
    bad_value(SESS, "is_sess_login", 7),
    bad_value(SESS, "sess_dur", 0, row=2, also=["durations"]),
    bad_value(SESS, "user_sess_dur", 0, row=2, also=["durations"]),
    case(SESS, GRAIN, "a row twice", add_row(0)),
    case(SESS, GRAIN, "a row without community twice", add_row(2)),
    case(SESS, "key_date_is_the_sessions", "the day after", change_row(2, key_date=dt.date(2024, 3, 6))),
    case(
        SESS,
        "key_date_is_the_sessions",
        "a session over midnight",
        change_row(2, sess_end_dt=kst("00:00:00.000", "2024-03-06"), sess_dur=46_801),
    ),
    case(
        SESS,
        "key_date_is_the_sessions",
        "another partition",
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
        "the start in UTC",
        change_row(2, sess_id="20240305020000000|d1"),
        change_input("lines", 3, sess_id="20240305020000000|d1"),
    ),
    case(
        SESS,
        "sess_id_formula",
        "another device",
        change_row(2, sess_id="20240305110000000|d9"),
        change_input("lines", 3, sess_id="20240305110000000|d9"),
    ),
    case(
        SESS,
        "user_session_in_session",
        "begins before its session",
        change_row(2, user_sess_start_dt=kst("10:59:59.000"), user_sess_dur=2),
    ),
    case(
        SESS,
        "user_session_in_session",
        "ends after its session",
        change_row(2, user_sess_end_dt=kst("11:00:01.000"), user_sess_dur=2),
    ),
    case(SESS, "durations", "a second too many", change_row(2, sess_dur=2)),
    case(SESS, "durations", "a second too many of the user", change_row(3, user_sess_dur=61)),
    case(
        SESS,
        "durations_fit_in_the_day",
        "a second more than a day",
        change_row(2, sess_dur=86_401),
        also=["durations"],
    ),
    case(
        SESS,
        "durations_fit_in_the_day",
        "a second more than a day of the user",
        change_row(2, user_sess_dur=86_401),
        also=["durations"],
    ),
    case(SESS, "comm_user_of_a_community", "without community", change_row(2, is_comm_user=0)),
    case(SESS, "comm_user_of_a_community", "unknown in a community", change_row(0, is_comm_user=None)),
    case(
        SESS,
        "one_duration_a_user_session",
        "another end in another community",
        change_row(1, sess_end_dt=kst("10:06:00.400"), sess_dur=361),
    ),
    case(
        SESS,
        "one_duration_a_user_session",
        "another start of the user in another community",
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
    case(SESS, "unknown_artists", "one of two visits", change_row(0, we_art_id=None)),
    case(
        SESS,
        "single_line_sessions",
        "two of three sessions",
        change_row(
            3,
            sess_end_dt=kst("12:00:00.000"),
            user_sess_end_dt=kst("12:00:00.000"),
            sess_dur=1,
            user_sess_dur=1,
        ),
    ),
    case(SESS, "volume", "a day of far fewer rows than the day before", published_before(9)),
    case(SESS, "volume", "a day of far more rows than the day before", published_before(1)),
    # we_mart.wv_user_daily
    bad_value(USERS, "is_comm_user", 2),
    bad_value(USERS, "is_fc", -1),
    bad_value(USERS, "sess_dur", 0),
    bad_value(USERS, "user_sess_dur", 0),
    case(USERS, GRAIN, "a row twice", add_row(0)),
    case(USERS, GRAIN, "a row without community twice", add_row(2)),
    case(USERS, "user_sessions_of_sess_daily", "a user session was lost", drop_row(2)),
    case(USERS, "user_sessions_of_sess_daily", "a user session was invented", drop_input("sessions", 3)),
    case(USERS, "volume", "a day of far fewer rows than the day before", published_before(9)),
    case(USERS, "volume", "a day of far more rows than the day before", published_before(1)),
    # we_mart.stats_wv_d_session
    bad_value(BY_SESSION, "sess_cnt", 0),
    bad_value(BY_SESSION, "total_sess_dur", 0, change_row(1, total_sess_dur=362)),
    case(
        BY_SESSION,
        GRAIN,
        "an account twice",
        change_row(0, total_sess_dur=300),
        add_row(0, total_sess_dur=1),
    ),
    case(
        BY_SESSION,
        GRAIN,
        "nobody twice",
        change_row(1, total_sess_dur=60),
        add_row(1, total_sess_dur=1),
    ),
    case(BY_SESSION, "durations_add_up", "a second too many", change_row(0, total_sess_dur=302)),
    case(BY_SESSION, "durations_add_up", "once a community", change_row(0, total_sess_dur=602)),
    case(BY_SESSION, "durations_add_up", "an account was lost", drop_row(0)),
    case(BY_SESSION, "durations_add_up", "all accounts were lost", lambda w: replace(w, rows=()), also=[ROWS]),
    case(BY_SESSION, "durations_add_up", "no sessions", lambda w: replace(w, inputs={"sessions": ()})),
    case(BY_SESSION, "volume", "a day of far fewer rows than the day before", published_before(5)),
    # we_mart.stats_wv_d_user_sess
    bad_value(BY_USER_SESSION, "user_sess_cnt", 0),
    bad_value(BY_USER_SESSION, "total_user_sess_dur", 0, change_row(1, total_user_sess_dur=362)),
    case(
        BY_USER_SESSION,
        GRAIN,
        "an account twice",
        change_row(0, total_user_sess_dur=300),
        add_row(0, total_user_sess_dur=1),
    ),
    case(BY_USER_SESSION, "durations_add_up", "a second too many", change_row(0, total_user_sess_dur=302)),
    case(BY_USER_SESSION, "durations_add_up", "once a community", change_row(0, total_user_sess_dur=602)),
    case(BY_USER_SESSION, "volume", "a day of far fewer rows than the day before", published_before(5)),
    # we_mart.stats_wv_d_platform
    bad_value(BY_PLATFORM, "sess_cnt", 0, change_row(1, sess_cnt=3)),
    case(BY_PLATFORM, GRAIN, "a platform twice", change_row(0, sess_cnt=1), add_row(0, sess_cnt=1)),
    case(BY_PLATFORM, "sessions_add_up", "a session too many", change_row(0, sess_cnt=3)),
    case(BY_PLATFORM, "sessions_add_up", "sessions of no known platform were lost", drop_row(1)),
]

# Contracts: rows are made from the columns' types; values of columns with rules are said here.
GOOD_VALUES: dict[tuple[str, str], Any] = {
    ("service_log.weverse_server_log", "unix_log_timestamp"): 1_709_600_400_000,
    ("we_mart.ws_fc_user_history", "is_cx_by_restore"): 1,
}
BAD_VALUES: dict[tuple[str, str, str], Sequence[Any]] = {
    # (table, column, rule): values that the rule does not allow
    ("service_log.weverse_server_log", "unix_log_timestamp", "milliseconds"): [-1, 253_402_300_800_000],
    ("we_mart.we_user", "we_member_id", "fits_32_bits"): [2**31, -(2**31) - 1],
    ("we_mart.we_user", "wv_user_id", "fits_32_bits"): [2**31],
    ("we_mart.ws_fc_user_history", "we_member_id", "fits_32_bits"): [2**31],
    ("we_mart.ws_fc_user_history", "is_cx_by_restore", "domains"): [2],
    ("we_mart.wv_comm_user", "wv_user_id", "fits_32_bits"): [2**31],
}
VALUE_OF_TYPE: dict[str, Callable[[int], Any]] = {
    "tinyint": lambda n: n,
    "int": lambda n: n,
    "bigint": lambda n: n,
    "double": float,
    "boolean": bool,
    "string": lambda n: f"text {n}",
    "date": lambda n: dt.date(2024, 3, 5),
    "timestamp": lambda n: kst("10:00:00") + dt.timedelta(minutes=n),
}


def contract_world(name: str) -> World:
    """Two rows that differ in every column, and nothing in quarantine."""
    table = contracts()[name].table

    def row(n: int) -> Row:
        values = {c.name: VALUE_OF_TYPE[c.type.partition("(")[0]](n) for c in table.columns if "decimal" not in c.type}
        values |= {column: value for (of, column), value in GOOD_VALUES.items() if of == name}
        return {**values, table.day_column: DAY, "run_timestamp": None}

    return World((row(1), row(2)), {"quarantined": ()})


def contract_cases(name: str) -> Iterator[Case]:
    contract = contracts()[name]
    quarantined = {"reason": "id is NULL", "file": "a.csv", "raw_row": "{}", contract.day_column: DAY}
    yield case(name, "quarantine_share", "one of three rows", add_input("quarantined", **quarantined))
    yield case(
        name,
        "quarantine_share",
        "every row",
        add_input("quarantined", **quarantined),
        lambda world: replace(world, rows=()),
        also=[ROWS],
    )
    if contract.key:
        yield case(name, GRAIN, "a row twice", add_row(0))
    for (table, column, rule), values in BAD_VALUES.items():
        for value in values if table == name else ():
            yield case(name, rule, f"{column}={value}", change_row(0, **{column: value}), column=column)


def tables() -> dict[str, Table]:
    found = {name: contract.table for name, contract in contracts().items()}
    return found | {name: declared.table for name, declared in marts().items()}


def must_be_known(table: Table) -> list[str]:
    """Columns whose NULL reaches the audit: the run sets its own clock, and a row without a day is refused earlier."""
    return [c.name for c in table.columns if not c.nullable and c.name not in (table.day_column, "run_timestamp")]


@cache
def good(name: str) -> World:
    return GOOD[name] if name in GOOD else contract_world(name)


@cache
def cases() -> list[Case]:
    """The cases written above, and those that every table has for the checks that every table has."""
    found = list(CASES)
    for name, table in tables().items():
        if name not in GOOD and name not in contracts():
            continue
        if name in contracts() and name not in GOOD:
            found += contract_cases(name)
        found.append(case(name, ROWS, "no rows", nothing_at_all))
        too = NULL_BREAKS_TOO.get(name, {})
        for column in must_be_known(table):
            null = change_row(LONELY_ROW.get(name, 0), **{column: None})
            found.append(case(name, KNOWN, column, null, also=sorted(too.get(column, ())), column=column))
    return found


def stops(of: Case) -> bool:
    severities = {spec.name: spec.severity for spec in checks_of(tables()[of.table])}
    return any(severities[name] is Severity.ERROR for name in (of.check, *of.also))


def inputs_of(name: str) -> dict[str, Table]:
    if name in marts():
        return {n: i.table for n, i in marts()[name].inputs.items()}
    return {"quarantined": contracts()[name].quarantine}


# The distance keeps a day out of the trailing week of every other.
DAYS_APART = 10


def place(n: int, days: int = 0) -> str:
    """The day of the n-th world of a run."""
    return (dt.date.fromisoformat(DAY) + dt.timedelta(days=n * DAYS_APART + days)).isoformat()


@dataclass(frozen=True)
class Outcome:
    """What the audit of a table's worlds, each on its day, found and did."""

    findings: Mapping[str, Finding]
    message: str
    seen_before: Sequence[Row]
    seen_after: Sequence[Row]
    staged_is_gone: bool
    log_is_the_same: bool

    def broken_on(self, day: str) -> set[str]:
        return {name for name, found in self.findings.items() if day in (found.bad_days or {})}


@dataclass(frozen=True)
class Bench:
    """Audits worlds of a table in one run."""

    session: Session
    lake: Path
    given: Given
    write: Callable[..., int]
    read: Callable[..., list[Row]]
    data_files: Callable[[Path, Table], dict[str, str]]
    log_files: Callable[[Path, Table], dict[str, bytes]]
    now: dt.datetime

    def outcome(self, name: str, worlds: Sequence[World], present: World | None = None) -> Outcome:
        """The n-th world is published on the n-th day, on which the rows of `present` are there already."""
        table = tables()[name]
        days = [place(n) for n in range(len(worlds))]
        there = (
            [] if present is None else [row for n in range(len(worlds)) for row in moved(present, n * DAYS_APART).rows]
        )
        worlds = [moved(world, n * DAYS_APART) for n, world in enumerate(worlds)]
        before = [row for world in worlds for row in world.before]
        if there or before:
            self.write(self.session, table, [*(place(n, -1) for n in range(len(worlds))), *days], [*before, *there])

        def compute() -> tuple[ir.Table, dict[str, ir.Table]]:
            inputs = {
                n: self.given(self.session, of, [row for world in worlds for row in world.inputs.get(n, ())])
                for n, of in inputs_of(name).items()
            }
            return self.given(self.session, table, [row for world in worlds for row in world.rows]), inputs

        seen, files, log = (
            self.read(self.session, table),
            self.data_files(self.lake, table),
            self.log_files(self.lake, table),
        )
        message = ""
        try:
            findings = publish(self.session, table, days, compute, SETTINGS, self.now).findings
        except RejectedByAudit as rejected:
            findings, message = rejected.findings, str(rejected)
        return Outcome(
            {finding.check.name: finding for finding in findings},
            message,
            seen,
            self.read(self.session, table),
            self.data_files(self.lake, table) == files,
            self.log_files(self.lake, table) == log,
        )


@pytest.fixture(scope="module")
def benches(
    engine: Callable[[Path], Engine],
    tmp_path_factory: pytest.TempPathFactory,
    given: Given,
    write: Callable[..., int],
    read: Callable[..., list[Row]],
    data_files: Callable[[Path, Table], dict[str, str]],
    log_files: Callable[[Path, Table], dict[str, bytes]],
    now: dt.datetime,
) -> Iterator[Callable[[], Bench]]:
    """Each with a lake of its own."""
    with ExitStack() as opened:

        def bench() -> Bench:
            lake = tmp_path_factory.mktemp("every_rule") / "lake"
            session = opened.enter_context(engine(lake).connect())
            return Bench(session, lake, given, write, read, data_files, log_files, now)

        yield bench


@pytest.fixture(scope="module")
def stopped(benches: Callable[[], Bench]) -> Callable[[str], Outcome]:
    """The run of all cases of a table that stop a publication, over days that have good rows already."""
    bench = benches()
    return cache(lambda name: bench.outcome(name, [of.change(good(name)) for of in stopping(name)], good(name)))


@pytest.fixture(scope="module")
def went_through(benches: Callable[[], Bench]) -> Callable[[str], Outcome]:
    """The run of a table's good world, on the first day, and of all cases that only warn."""
    bench = benches()
    return cache(lambda name: bench.outcome(name, [good(name), *(of.change(good(name)) for of in warning(name))]))


def stopping(name: str) -> list[Case]:
    return [of for of in cases() if of.table == name and stops(of)]


def warning(name: str) -> list[Case]:
    return [of for of in cases() if of.table == name and not stops(of)]


TABLES = [name for name in sorted(tables()) if name in GOOD or name in contracts()]


# Completeness


def test_every_mart_has_a_good_world() -> None:
    missing = sorted(set(marts()) - set(GOOD))
    assert not missing, f"add a good world of {missing} to GOOD and cases of their rules to CASES"


def test_every_check_has_a_case_that_breaks_it() -> None:
    broken = {(of.table, of.check) for of in cases()}
    # The schema has its own test below: a function's result is brought to the declared columns before it is staged.
    checks = {(name, spec.name) for name, table in tables().items() for spec in checks_of(table) if spec.name != SCHEMA}
    missing = sorted(checks - broken)
    assert not missing, f"no case breaks {missing}: add one to CASES (contracts: BAD_VALUES)"
    unknown = sorted(broken - checks)
    assert not unknown, f"cases for checks that are not there: {unknown}"


def test_every_value_rule_of_every_column_has_a_case_that_breaks_it() -> None:
    broken = {(of.table, of.column, of.check) for of in cases()}
    rules = {(name, c.name, rule.name) for name, table in tables().items() for c in table.columns for rule in c.rules}
    missing = sorted(rules - broken)
    assert not missing, f"no case breaks {missing}: add a bad value to CASES (contracts: BAD_VALUES)"


def test_cases_are_told_apart_by_their_names() -> None:
    names = [str(of) for of in cases()]
    assert len(set(names)) == len(names), json.dumps(sorted(n for n in names if names.count(n) > 1))


# Good rows pass


@pytest.mark.parametrize("name", TABLES)
def test_good_rows_pass_every_check(went_through: Callable[[str], Outcome], name: str) -> None:
    found = went_through(name)
    assert found.message == ""
    assert list(found.findings) == [spec.name for spec in checks_of(tables()[name])]
    assert found.broken_on(DAY) == set()
    assert sum(1 for row in found.seen_after if row[tables()[name].day_column] == DAY) == len(good(name).rows)


# Bad rows fail


@pytest.mark.parametrize("of", [of for name in TABLES for of in stopping(name)], ids=str)
def test_a_broken_rule_is_found(stopped: Callable[[str], Outcome], of: Case) -> None:
    assert stopped(of.table).broken_on(place(stopping(of.table).index(of))) == {of.check, *of.also}


@pytest.mark.parametrize("name", TABLES)
def test_broken_rules_stop_the_publication(stopped: Callable[[str], Outcome], name: str) -> None:
    found = stopped(name)
    assert found.seen_after == found.seen_before
    assert len(found.seen_after) == len(good(name).rows) * len(stopping(name))
    assert found.staged_is_gone
    assert found.log_is_the_same


@pytest.mark.parametrize("name", TABLES)
def test_the_message_names_every_broken_rule_with_its_days_and_rows(
    stopped: Callable[[str], Outcome], name: str
) -> None:
    found = stopped(name)
    assert f"{name}: {DAY} to {place(len(stopping(name)) - 1)} was not published" in found.message
    for check, finding in found.findings.items():
        if finding.check.severity is Severity.WARN or check == SCHEMA:
            assert f"  {check} (" not in found.message
            continue
        days = [place(n) for n, of in enumerate(stopping(name)) if check in (of.check, *of.also)]
        [said] = [line for line in found.message.splitlines() if line.startswith(f"  {check} (")]
        assert re.findall(r"(\d{4}-\d\d-\d\d) \(\d+\)", said) == days
        assert f"): {finding.bad_rows} rows" in said
        assert finding.bad_rows >= len(days)
        assert 1 <= len(finding.examples) <= EXAMPLES


@pytest.mark.parametrize("of", [of for name in TABLES for of in warning(name)], ids=str)
def test_a_broken_warning_is_shown_and_stops_nothing(went_through: Callable[[str], Outcome], of: Case) -> None:
    found, n = went_through(of.table), 1 + warning(of.table).index(of)
    assert found.broken_on(place(n)) == {of.check, *of.also}
    day_column, world = tables()[of.table].day_column, of.change(good(of.table))
    assert sum(1 for row in found.seen_after if row[day_column] == place(n)) == len(world.rows)


@pytest.mark.parametrize("name", TABLES)
def test_a_column_of_another_type_breaks_the_schema(
    session: Session, given: Given, now: dt.datetime, name: str
) -> None:
    # Other checks do not run on what is not there: the table is judged without its rules.
    table = replace(tables()[name], rules=(), laws=())
    rows = given(session, table, good(name).rows)
    staged = stage(session, table, rows, [DAY], session.baseline(table, [DAY]), now)
    other = staged.rows.mutate(run_timestamp=staged.rows.run_timestamp.cast("string"))
    findings = audit(replace(staged, rows=other), lambda: session.read(table), {}, SETTINGS)
    [found] = [f for f in findings if not f.passed]
    assert found.check.name == SCHEMA
    assert found.check.severity is Severity.ERROR
    assert "run_timestamp" in found.detail


def test_a_duration_is_cut_to_whole_seconds_and_not_rounded(benches: Callable[[], Bench]) -> None:
    """Seconds 0 to 300, both counted, are 301; rounded, 10:00:00.600 would be second 1 and leave 300."""
    visits = tuple(
        {
            **visit("d1", "10:00:00.600", "10:05:00.400", 301, 101, community),
        }
        for community in ("10", "11")
    )
    world = replace(SESSIONS, rows=visits, inputs={"lines": tuple(map(line_of, visits))})
    found = benches().outcome(SESS, [world])
    assert found.broken_on(DAY) == set()
