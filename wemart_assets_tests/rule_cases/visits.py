"""Good worlds and cases for the tables of visits over time, and of time in communities."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from wemart_assets.lake.audit import GRAIN, ROWS
from wemart_assets.lake.days import Period
from wemart_assets_tests.rule_cases.sessions import VISITS, visit
from wemart_assets_tests.rule_cases.worlds import (
    DAY,
    DAY_BEFORE,
    FIRST_PLACE,
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
    drop_input,
    drop_row,
    kst,
    published_before,
)

LONGER = (Period.WEEK, Period.MONTH)
MOST_DAYS = {Period.WEEK: 7, Period.MONTH: 31}
ANOTHER_DATE = dt.date(2024, 3, 12)


def on(day: str, **columns: Any) -> Row:
    return {"key_date": dt.date.fromisoformat(day), "part_date": day, **columns}


def of(period: Period, **columns: Any) -> Row:
    """A row of a weekly or monthly table."""
    return on(FIRST_PLACE[period], **columns)


def of_the_one_before(period: Period, **columns: Any) -> Row:
    return on({Period.WEEK: "2024-02-26", Period.MONTH: "2024-02-01"}[period], **columns)


def named(pattern: str) -> dict[Period, str]:
    """The weekly and the monthly table of a pair; `{w}` is `w` or `m`, `{week}` is `week` or `month`."""
    return {period: "we_mart." + pattern.format(w=period.value[0], week=period.value) for period in LONGER}


def visits(count: int, seconds: int) -> Row:
    return {"visit_day_cnt": 1, "user_sess_cnt": count, "total_user_sess_dur": seconds}


BASES, TOTALS = named("wv_visit_{week}ly_base"), named("wv_visit_{week}ly")
DURATIONS, DAYS = named("stats_wv_{w}_sess_duration"), named("stats_wv_{w}_art_comm_vst_day")
COHORTS, RETENTION = named("stats_wv_{w}_art_cohort_vst"), named("stats_wv_{w}_retention_visit_by_type_comm")
FIRST = "we_mart.wv_art_first_vst"
MEMBERS, ARTISTS = "we_mart.stats_wv_w_art_indi_comm_activity", "we_mart.stats_wv_w_art_indi_comm_activity_art"
TIME, ARTIST_TIME = "we_mart.wv_comm_time_daily", "we_mart.stats_wv_d_art_comm_time"

# Three members: 1 visits the artists 10 and 11, 2 only 10, and 3 nothing; and an anonymous session.
SESSIONS = (
    *VISITS,
    visit("d3", "13:00:00.000", "13:00:09.000", 10, 102, "10"),
    visit("d4", "14:00:00.000", "14:00:04.000", 5, 103, None) | {"platform": "PC"},
)


def base(period: Period, member: int, artist: int | None, seconds: int) -> Row:
    user_type = None if artist is None else "member"
    return of(period, we_member_id=member, we_art_id=artist, user_type=user_type, **visits(1, seconds))


def base_rows(period: Period) -> tuple[Row, ...]:
    return (base(period, 1, 10, 301), base(period, 1, 11, 301), base(period, 2, 10, 10), base(period, 3, None, 5))


def quantiles(mean: float, *values: int) -> Row:
    return {
        "mean_sess_dur": mean,
        **dict(zip(("median_sess_dur", "p90_sess_dur", "p99_sess_dur"), values, strict=True)),
    }


def cohort(period: Period, artist: int, first: str, age: int, size: int, members: int) -> Row:
    day = dt.date.fromisoformat(first)
    return of(period, we_art_id=artist, cohort=day, age=age, cohort_member_cnt=size, member_cnt=members)


def cohort_world(period: Period) -> World:
    """Member 1 visited both artists in this period first, member 2 artist 10 before; member 3 did, and is not back."""
    now = FIRST_PLACE[period]
    earlier = {Period.WEEK: "2024-02-19", Period.MONTH: "2024-02-01"}[period]
    age = {Period.WEEK: 2, Period.MONTH: 1}[period]
    return World(
        rows=(
            cohort(period, 10, now, 0, 1, 1),
            cohort(period, 10, earlier, age, 2, 1),
            cohort(period, 11, now, 0, 1, 1),
        ),
        inputs={
            "base": base_rows(period),
            "firsts": (
                on("2024-03-05", we_member_id=1, we_art_id=10),
                on("2024-03-06", we_member_id=1, we_art_id=11),
                on("2024-02-21", we_member_id=2, we_art_id=10),
                on("2024-02-22", we_member_id=3, we_art_id=10),
            ),
        },
    )


def retained(period: Period, artist: int, kind: str, visitors: int, back: int) -> Row:
    rate = back / visitors if visitors else None
    return of(period, we_art_id=artist, user_type=kind, visitors=visitors, back=back, rate=rate)


def retention_world(period: Period) -> World:
    """In the period before, members 1 and 2 visited artist 10 and member 2 visited artist 11 as well."""
    before = of_the_one_before(period, user_type="member", **visits(1, 5))
    return World(
        rows=(
            retained(period, 10, "membership", 0, 0),
            retained(period, 10, "member", 2, 2),
            retained(period, 10, "visitor", 0, 0),
            retained(period, 11, "membership", 0, 0),
            retained(period, 11, "member", 1, 0),
            retained(period, 11, "visitor", 0, 0),
        ),
        inputs={
            "now": base_rows(period),
            "before": (
                before | {"we_member_id": 1, "we_art_id": 10},
                before | {"we_member_id": 2, "we_art_id": 10},
                before | {"we_member_id": 2, "we_art_id": 11},
                before | {"we_member_id": 2, "we_art_id": None, "user_type": None},
            ),
        },
    )


def activity(comm_id: str, seconds: int, **columns: Any) -> Row:
    counts = {"user_sess_cnt": 1, "total_user_sess_dur": seconds}
    return {"comm_id": comm_id, "art_indi_id": f"{comm_id}-101", **counts, **columns}


# An artist member visits two communities of artist 10.
ARTIST_SESSIONS = tuple(
    VISITS[0] | {"art_indi_id": f"{comm}-101", "art_indi_type": "ARTIST", "we_art_id": 10, "comm_id": comm}
    for comm in ("10", "12")
)


# An artist member of another artist, who does not count.
ANOTHER_ARTIST = VISITS[0] | {"art_indi_id": "10-109", "art_indi_type": "OTHER_COMMUNITY_ARTIST"}


def time_line(clock: str, user: int | None, start: str, end: str) -> Row:
    sess_id = f"20240305{start}|d{user}"
    return {
        "date_id": DAY,
        "log_dt": kst(clock),
        "sess_id": sess_id,
        "user_sess_id": sess_id if user is None else f"{sess_id}|{user}",
        "user_sess_start_dt": kst(start),
        "user_sess_end_dt": kst(end),
        "user_id_fill": None if user is None else str(user),
    }


# User 101 reads for 90.5 seconds and, after ten minutes, for 30; of the ten minutes, five count. User 102 has one line.
TIME_LINES = (
    time_line("10:00:00.000", 101, "10:00:00.000", "10:12:00.500"),
    time_line("10:01:30.500", 101, "10:00:00.000", "10:12:00.500"),
    time_line("10:11:30.500", 101, "10:00:00.000", "10:12:00.500"),
    time_line("10:12:00.500", 101, "10:00:00.000", "10:12:00.500"),
    time_line("11:00:00.000", 102, "11:00:00.000", "11:00:00.000"),
    time_line("12:00:00.000", None, "12:00:00.000", "12:00:00.000"),
)
TIME_WORLD = World(
    rows=(
        on(DAY, we_member_id=1, comm_id="10", engaged_sec=390),
        on(DAY, we_member_id=1, comm_id=None, engaged_sec=30),
        on(DAY, we_member_id=2, comm_id="10", engaged_sec=0),
    ),
    inputs={
        "lines": TIME_LINES,
        "users": tuple({"we_member_id": user - 100, "wv_user_id": user, "part_date": DAY} for user in (101, 102)),
    },
)
ARTIST_TIME_WORLD = World(
    rows=(
        on(
            DAY,
            we_art_id=10,
            user_type="member",
            member_cnt=2,
            engaged_sec=40,
            median_engaged_sec=0,
            p90_engaged_sec=40,
        ),
    ),
    inputs={
        "time": (
            on(DAY, we_member_id=1, comm_id="10", engaged_sec=40),
            on(DAY, we_member_id=2, comm_id="10", engaged_sec=0),
            on(DAY, we_member_id=2, comm_id=None, engaged_sec=70),
        ),
        "sessions": (VISITS[0], SESSIONS[4], SESSIONS[5]),
    },
)

GOOD: dict[str, World] = {
    **{BASES[period]: World(base_rows(period), {"sessions": SESSIONS}) for period in LONGER},
    **{
        TOTALS[period]: World(
            tuple(of(period, we_member_id=n, **visits(1, seconds)) for n, seconds in ((1, 301), (2, 10), (3, 5))),
            {"sessions": SESSIONS},
        )
        for period in LONGER
    },
    **{
        DURATIONS[period]: World(
            (
                # 1, 10, 60 and 301 seconds.
                of(period, platform="APP", sess_cnt=4, **quantiles(93, 10, 301, 301)),
                of(period, platform="PC", sess_cnt=1, **quantiles(5, 5, 5, 5)),
            ),
            {"sessions": SESSIONS},
        )
        for period in LONGER
    },
    **{
        DAYS[period]: World(
            (
                of(period, we_art_id=10, visit_day_cnt=1, member_cnt=2),
                of(period, we_art_id=11, visit_day_cnt=1, member_cnt=1),
            ),
            {"base": base_rows(period)},
        )
        for period in LONGER
    },
    **{COHORTS[period]: cohort_world(period) for period in LONGER},
    **{RETENTION[period]: retention_world(period) for period in LONGER},
    FIRST: World(
        rows=(on(DAY, we_member_id=1, we_art_id=11), on(DAY, we_member_id=2, we_art_id=10)),
        # That another member is first on two days, as after a late day that was run alone, is not this day's fault.
        inputs={
            "sessions": SESSIONS,
            "before": (
                on(DAY_BEFORE, we_member_id=1, we_art_id=10),
                *(on(day, we_member_id=9, we_art_id=10) for day in (DAY_BEFORE, "2024-03-03")),
            ),
        },
    ),
    MEMBERS: World(
        rows=(
            of(Period.WEEK, **activity("10", 60, active_day_cnt=2, user_sess_cnt=2)),
            of(Period.WEEK, **activity("11", 5, active_day_cnt=1)),
        ),
        inputs={
            "activity": (
                on("2024-03-04", **activity("10", 20)),
                on("2024-03-07", **activity("10", 40)),
                on("2024-03-05", **activity("11", 5)),
            )
        },
    ),
    ARTISTS: World(
        rows=(
            of(
                Period.WEEK,
                we_art_id=10,
                art_indi_cnt=1,
                active_day_cnt=1,
                user_sess_cnt=1,
                total_user_sess_dur=301,
            ),
        ),
        inputs={"sessions": (*ARTIST_SESSIONS, VISITS[1], ANOTHER_ARTIST)},
    ),
    TIME: TIME_WORLD,
    ARTIST_TIME: ARTIST_TIME_WORLD,
}

ON_DAYS = {
    name: {"sessions_on_days", "counts_add_up"}
    for name in ("visit_day_cnt", "active_day_cnt", "user_sess_cnt", "total_user_sess_dur")
}

KEY = {"key_date": {"first_day_of_the_period"}}


def null_breaks_too(period: Period) -> dict[str, dict[str, set[str]]]:
    return {
        BASES[period]: {**KEY, **ON_DAYS},
        TOTALS[period]: {**KEY, **ON_DAYS, "we_member_id": {"counts_add_up"}},
        DURATIONS[period]: {
            **KEY,
            **{name: {"durations_of_the_sessions"} for name in ("sess_cnt", *quantiles(0, 0, 0, 0))},
        },
        DAYS[period]: {
            **KEY,
            "we_art_id": {"members_add_up", "days_add_up"},
            "visit_day_cnt": {"days_of_the_period", "days_add_up"},
            "member_cnt": {"members_add_up", "days_add_up"},
        },
        COHORTS[period]: {
            "key_date": {"first_day_of_the_period", "age_of_the_cohort"},
            "we_art_id": {"every_visitor_has_a_cohort"},
            "cohort": {"age_of_the_cohort"},
            "age": {"age_of_the_cohort", "members_of_the_cohort"},
            "cohort_member_cnt": {"members_of_the_cohort"},
            "member_cnt": {"members_of_the_cohort", "every_visitor_has_a_cohort"},
        },
        RETENTION[period]: {
            **KEY,
            "we_art_id": {"visitors_add_up", "returns_add_up"},
            "visitors": {"back_are_visitors", "rate_of_visitors", "visitors_add_up"},
            "back": {"back_are_visitors", "rate_of_visitors", "returns_add_up"},
        },
    }


NULL_BREAKS_TOO: dict[str, dict[str, set[str]]] = {
    **null_breaks_too(Period.WEEK),
    **null_breaks_too(Period.MONTH),
    FIRST: {name: {"with_a_visit"} for name in ("we_member_id", "we_art_id")},
    MEMBERS: {**KEY, **ON_DAYS, "comm_id": {"counts_add_up"}},
    ARTISTS: {**KEY, **ON_DAYS, "we_art_id": {"counts_add_up"}, "art_indi_cnt": {"sessions_on_days"}},
    TIME: {"we_member_id": {"seconds_add_up"}, "engaged_sec": {"seconds_add_up"}},
    ARTIST_TIME: {
        "we_art_id": {"seconds_add_up", "members_add_up"},
        "member_cnt": {"quantiles_of_the_sum", "members_add_up"},
        "engaged_sec": {"quantiles_of_the_sum", "seconds_add_up"},
        "median_engaged_sec": {"quantiles_of_the_sum"},
        "p90_engaged_sec": {"quantiles_of_the_sum"},
    },
}
# The row in which a value is set to NULL: one on which no other depends.
NULL_ROW = {**dict.fromkeys(RETENTION.values(), 1), **dict.fromkeys((*COHORTS.values(), MEMBERS), 1)}


def counted_cases(name: str, days: str, most: int) -> Iterator[Case]:
    """Cases of a table with days, sessions and seconds."""
    sums = ["counts_add_up"]
    yield bad_value(name, days, 0, also=sums)
    yield bad_value(name, "user_sess_cnt", 0, also=["sessions_on_days", *sums])
    yield bad_value(name, "total_user_sess_dur", 0, also=["sessions_on_days", *sums])
    yield case(name, GRAIN, "the same row twice", add_row(0), also=sums)
    yield case(name, "first_day_of_the_period", "another day", change_row(0, key_date=ANOTHER_DATE))
    more = {days: most + 1, "user_sess_cnt": most + 1}
    for description, values in (
        ("a day more than there are", more),
        ("a day without a session", {days: 3, "user_sess_cnt": 2}),
        ("more sessions than seconds", {"user_sess_cnt": 302}),
    ):
        yield case(name, "sessions_on_days", description, change_row(0, **values), also=sums)
    yield case(name, "counts_add_up", "one second too many", change_row(0, total_user_sess_dur=302))
    yield case(name, "counts_add_up", "one session too many", change_row(0, user_sess_cnt=3))
    yield case(name, "counts_add_up", "another number of days", change_row(0, **{days: 3, "user_sess_cnt": 3}))
    yield case(name, "counts_add_up", "a row was lost", drop_row(0))


def cases_of(period: Period) -> Iterator[Case]:
    name = BASES[period]
    yield from counted_cases(name, "visit_day_cnt", MOST_DAYS[period])
    yield bad_value(name, "user_type", "fan")
    yield case(name, "user_type_of_an_artist", "none with an artist", change_row(0, user_type=None))
    yield case(name, "user_type_of_an_artist", "one without an artist", change_row(3, user_type="member"))
    yield case(name, "counts_add_up", "the visits without an artist were lost", drop_row(3))
    name = TOTALS[period]
    yield from counted_cases(name, "visit_day_cnt", MOST_DAYS[period])
    yield case(name, "counts_add_up", "counted once per artist", change_row(0, total_user_sess_dur=602))

    name, check = DURATIONS[period], "durations_of_the_sessions"
    yield bad_value(name, "sess_cnt", 0, also=[check])
    for column in quantiles(0, 0, 0, 0):
        yield bad_value(name, column, 0, also=[check])
    yield case(name, GRAIN, "the same platform twice", add_row(0), also=[check])
    yield case(
        name, GRAIN, "two unknown platforms", change_row(0, platform=None), add_row(0), also=[check, "every_platform"]
    )
    yield case(name, "first_day_of_the_period", "another day", change_row(0, key_date=ANOTHER_DATE))
    yield case(name, check, "a session was lost", drop_input("sessions", 3))
    yield case(name, check, "another mean", change_row(0, mean_sess_dur=93.1))
    yield case(name, check, "the rank above", change_row(0, median_sess_dur=60))
    yield case(name, check, "the rank below", change_row(0, p90_sess_dur=60))
    yield case(name, check, "a value between two ranks", change_row(0, median_sess_dur=30))
    yield case(name, "every_platform", "a platform was lost", drop_row(1))

    name = DAYS[period]
    yield bad_value(name, "visit_day_cnt", 0, also=["days_add_up"])
    yield bad_value(name, "member_cnt", 0, also=["members_add_up", "days_add_up"])
    yield case(name, GRAIN, "the same row twice", add_row(0), also=["members_add_up", "days_add_up"])
    yield case(name, "first_day_of_the_period", "another day", change_row(0, key_date=ANOTHER_DATE))
    too_many = change_row(0, visit_day_cnt=MOST_DAYS[period] + 1)
    yield case(name, "days_of_the_period", "a day more than there are", too_many, also=["days_add_up"])
    yield case(name, "members_add_up", "members as days", change_row(0, visit_day_cnt=2, member_cnt=1))
    yield case(name, "days_add_up", "days of one more", change_row(0, visit_day_cnt=2))

    yield from cohort_cases(period)
    yield from retention_cases(period)


def cohort_cases(period: Period) -> Iterator[Case]:
    name, sizes, visitors = COHORTS[period], "cohort_sizes", "every_visitor_has_a_cohort"
    yield bad_value(name, "age", -1, also=["age_of_the_cohort"])
    yield bad_value(name, "cohort_member_cnt", 0, also=["members_of_the_cohort"])
    yield bad_value(name, "member_cnt", -1, row=1, also=[visitors])
    yield case(name, GRAIN, "the same cohort twice", add_row(0), also=[visitors])
    another_day = change_row(0, key_date=ANOTHER_DATE)
    yield case(name, "first_day_of_the_period", "another day", another_day, also=["age_of_the_cohort"])
    too_many = change_row(1, member_cnt=3)
    yield case(name, "members_of_the_cohort", "more members than the cohort has", too_many, also=[visitors])
    yield case(
        name,
        "members_of_the_cohort",
        "a member of the cohort does not visit in its own period",
        change_row(0, cohort_member_cnt=2),
    )
    for description, age in (("old", 3), ("young", 1)):
        age -= 0 if period is Period.WEEK else 1
        also = [] if age else ["members_of_the_cohort"]
        yield case(name, "age_of_the_cohort", f"a period too {description}", change_row(1, age=age), also=also)
    yield case(name, visitors, "a member of the base is in no cohort", add_input("base", **base(period, 4, 10, 5)))
    yield case(name, visitors, "a cohort was lost", drop_row(0))
    # Judged by all earlier firsts, so alone.
    yield case(name, sizes, "a cohort without visits was lost", in_base_nobody, drop_row(1))
    yield case(name, sizes, "a member was counted twice", change_row(1, cohort_member_cnt=3))
    yield case(name, sizes, "a cohort of nobody", add_row(1, cohort=dt.date(2024, 1, 1), member_cnt=0, age=OLD[period]))


# From the first of January.
OLD = {Period.WEEK: 9, Period.MONTH: 2}


def in_base_nobody(world: World) -> World:
    """The world in which member 2 has not visited, so that nobody of the earlier cohort has."""
    return change_input("base", 2, we_art_id=None, user_type=None)(world)


def retention_cases(period: Period) -> Iterator[Case]:
    name = RETENTION[period]
    yield bad_value(name, "user_type", "fan")
    yield bad_value(name, "visitors", -1, change_row(0, rate=0.0), also=["back_are_visitors", "visitors_add_up"])
    yield bad_value(name, "back", -1, row=1, also=["rate_of_visitors", "returns_add_up"])
    yield case(name, GRAIN, "the same row twice", add_row(0))
    yield case(name, "first_day_of_the_period", "another day", change_row(0, key_date=ANOTHER_DATE))
    yield case(
        name,
        "back_are_visitors",
        "more come back than there were",
        change_row(1, back=3, rate=1.5),
        also=["returns_add_up"],
    )
    yield case(name, "rate_of_visitors", "another rate", change_row(1, rate=0.5))
    yield case(name, "rate_of_visitors", "a rate of nobody", change_row(0, rate=0.0))
    yield case(name, "rate_of_visitors", "no rate", change_row(1, rate=None))
    yield case(name, "visitors_add_up", "a visitor was lost", drop_input("before", 2))
    yield case(name, "visitors_add_up", "an artist was lost", *(drop_row(3) for _ in range(3)))
    yield case(name, "returns_add_up", "a member is back", change_input("now", 3, we_member_id=2, we_art_id=11))


CASES: list[Case] = [
    *(one for period in LONGER for one in cases_of(period)),
    # we_mart.wv_art_first_vst
    case(FIRST, GRAIN, "the same member twice", add_row(0)),
    case(FIRST, "in_a_cohort", "a member was lost", drop_row(0)),
    case(FIRST, "in_a_cohort", "the day before was lost", drop_input("before", 0)),
    case(FIRST, "in_one_cohort", "the member visited before", add_row(0, we_art_id=10)),
    case(FIRST, "with_a_visit", "a member without a visit", add_row(0, we_member_id=9)),
    # the artists' members by week
    *counted_cases(MEMBERS, "active_day_cnt", 7),
    *counted_cases(ARTISTS, "active_day_cnt", 7),
    bad_value(ARTISTS, "art_indi_cnt", 0),
    case(ARTISTS, "sessions_on_days", "a member without a session", change_row(0, art_indi_cnt=2)),
    case(ARTISTS, "counts_add_up", "counted once per community", change_row(0, total_user_sess_dur=602)),
    # we_mart.wv_comm_time_daily
    bad_value(TIME, "engaged_sec", -1, row=2, also=["seconds_add_up"]),
    case(TIME, GRAIN, "the same community twice", add_row(2)),
    case(TIME, GRAIN, "two rows without a community", change_row(1, engaged_sec=15), add_row(1, engaged_sec=14)),
    case(TIME, "seconds_add_up", "one second too many", change_row(0, engaged_sec=391)),
    case(TIME, "seconds_add_up", "a second lost by each row", change_row(0, engaged_sec=388)),
    case(TIME, "seconds_add_up", "the gap was not capped", change_row(0, engaged_sec=690)),
    case(TIME, "seconds_add_up", "a member was lost", drop_row(2)),
    case(TIME, "seconds_add_up", "a member was invented", add_row(2, we_member_id=9)),
    case(
        TIME,
        "engaged_within_the_session",
        "a session that ends before its last line",
        *(change_input("lines", n, user_sess_end_dt=kst("10:01:00.000")) for n in range(4)),
    ),
    case(TIME, "volume", "far fewer rows than the day before", published_before(9)),
    case(TIME, "volume", "far more rows than the day before", published_before(1)),
    # we_mart.stats_wv_d_art_comm_time
    bad_value(ARTIST_TIME, "user_type", "fan"),
    bad_value(ARTIST_TIME, "member_cnt", 0, also=["members_add_up"]),
    bad_value(
        ARTIST_TIME,
        "engaged_sec",
        -1,
        change_row(0, p90_engaged_sec=0),
        also=["quantiles_of_the_sum", "seconds_add_up"],
    ),
    bad_value(ARTIST_TIME, "median_engaged_sec", -1),
    bad_value(ARTIST_TIME, "p90_engaged_sec", -1, also=["quantiles_of_the_sum"]),
    case(ARTIST_TIME, GRAIN, "the same row twice", add_row(0), also=["seconds_add_up", "members_add_up"]),
    case(ARTIST_TIME, "quantiles_of_the_sum", "a median above", change_row(0, median_engaged_sec=41)),
    case(ARTIST_TIME, "quantiles_of_the_sum", "a percentile above the sum", change_row(0, p90_engaged_sec=201)),
    case(ARTIST_TIME, "seconds_add_up", "one second too many", change_row(0, engaged_sec=41)),
    case(ARTIST_TIME, "members_add_up", "only members with seconds", change_row(0, member_cnt=1)),
    case(
        ARTIST_TIME,
        "members_add_up",
        "an artist was lost",
        lambda world: replace(world, rows=()),
        also=["seconds_add_up", ROWS],
    ),
]

DOMAIN = Domain(
    good=GOOD,
    cases=CASES,
    null_breaks_too=NULL_BREAKS_TOO,
    null_row=NULL_ROW,
    run_wide=frozenset(
        {(name, "cohort_sizes") for name in COHORTS.values()} | {(FIRST, "in_a_cohort"), (FIRST, "in_one_cohort")}
    ),
)
