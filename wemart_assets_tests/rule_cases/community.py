"""Good worlds and cases for the community tables and the sources that they read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from wemart_assets.lake.audit import GRAIN, ROWS
from wemart_assets.lake.days import Period
from wemart_assets.lake.table import Table
from wemart_assets.marts.community.engagement import ACTS as COUNTS
from wemart_assets.marts.community.wv_comm_user import PUSH_FLAGS
from wemart_assets.marts.community.wv_comm_user import TABLE as MEMBERS
from wemart_assets.marts.community.wv_comm_user_update import TABLE as UPDATES
from wemart_assets_tests.rule_cases.worlds import (
    DAY,
    DAY_BEFORE,
    FIRST_PLACE,
    Case,
    Change,
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

PROFILE, STATUS = "we_mart.ods_wv_member_profile", "weverse2.community_log_member_status_log"
ACTS = ("we_mart.wv_post_view", "we_mart.wv_post_reaction", "we_mart.wv_media_reaction")
TOO_LARGE = 2**31

BASE, COMM, UPDATE = "we_mart.wv_comm_user_base", "we_mart.wv_comm_user", "we_mart.wv_comm_user_update"
FC, PRIVATE, SETTING = (
    "we_mart.stats_wv_d_comm_fc",
    "we_mart.stats_wv_d_comm_profile",
    "we_mart.stats_wv_d_user_setting",
)
JOIN, DM = "we_mart.stats_wv_d_comm_join", "we_mart.wv_dm_subscr"
CROSS, CROSS_AGG = "we_mart.stats_wv_d_comm_cross_join", "we_mart.stats_wv_d_comm_cross_join_agg"
DM_DAILY, DM_HISTORY, DM_FAN = (
    "we_mart.wv_dm_subscr_daily",
    "we_mart.wv_dm_subscr_history",
    "we_mart.wv_dm_msg_fan",
)
POPULAR = {f"we_mart.stats_wv_{period.value[0]}_pop_post": FIRST_PLACE[period] for period in Period}
ENGAGED = {f"we_mart.stats_wv_{period.value[0]}_comm_engage_usr": FIRST_PLACE[period] for period in Period}

KEY_DATE, KEY_DATE_BEFORE = dt.date(2024, 3, 5), dt.date(2024, 3, 4)


# The base: user 101 was a member the day before and leaves today, user 102 joins today, user 103 never subscribed.


def pair(user: int, subscribed: int, unsubscribed: int, status: str | None, **columns: Any) -> Row:
    return {
        "comm_id": 10,
        "wv_user_id": user,
        "profile_updated_dt": kst("09:00:00"),
        "last_join_dt": kst("09:00:00"),
        "subscribe_cnt": subscribed,
        "unsubscribe_cnt": unsubscribed,
        "status_dt": None if status is None else kst("10:00:00"),
        "status": status,
        "part_date": DAY,
        **columns,
    }


BASE_WORLD = World(
    rows=(pair(101, 1, 1, "unsubscribe"), pair(102, 1, 0, "subscribe"), pair(103, 0, 0, None)),
    inputs={
        "before": (pair(101, 1, 0, "subscribe", part_date=DAY_BEFORE),),
        "statuses": (
            {"community_id": 10, "user_id": 101, "type": "unsubscribe", "part_date": DAY},
            {"community_id": 10, "user_id": 102, "type": "subscribe", "part_date": DAY},
        ),
    },
)

# Members: user 103 is a fan, user 101 holds a membership, user 104 joined another community earlier, user 102 is an
# artist who left. All are in one community: each community is a partition, and an audit costs more with each partition.


def member(comm: int, user: int, **columns: Any) -> Row:
    return {
        "key_date": KEY_DATE,
        "wv_user_id": user,
        "we_member_id": user + 100,
        "comm_id": comm,
        "we_art_id": comm,
        "is_fc": 0,
        "comm_user_first_dt": kst("09:00:00", DAY_BEFORE),
        "tot_comm_user_first_dt": kst("09:00:00", DAY_BEFORE),
        "is_first_user_comm": 1,
        "comm_user_status": "NORMAL",
        "comm_user_grade": "FAN",
        "comm_user_cre_dt": kst("09:00:00", DAY_BEFORE),
        "is_profile_created": 1,
        "is_profile_private": 0,
        "is_upload_profile_img": 0,
        "is_upload_profile_background_img": 1,
        "is_official": 0,
        "comm_user_id": f"{comm}-{user}",
        "cnt_comm_user_id": 1,
        "sum_report_count": 0,
        "comm_user_seq": 1,
        "notification_type": "ALL",
        **dict.fromkeys(PUSH_FLAGS, 0),
        "is_v_user": 0,
        "part_comm_id": comm,
        "part_date": DAY,
        **columns,
    }


def of_day_before(row: Row, **columns: Any) -> Row:
    return {**row, "key_date": KEY_DATE_BEFORE, "part_date": DAY_BEFORE, **columns}


COMM_WORLD = World(
    rows=(
        member(10, 103),
        member(10, 101, is_fc=1, fc_id=1, v_ch_join_dt=kst("09:00:00", DAY_BEFORE)),
        member(10, 104, comm_user_first_dt=kst("08:00:00"), comm_user_cre_dt=kst("08:00:00"), is_first_user_comm=0),
        member(
            10,
            102,
            comm_user_grade="ARTIST",
            art_indi_id="10-102",
            art_indi_type="ARTIST",
            comm_user_status="DEACTIVATED",
            comm_user_end_dt=kst("23:59:59.999"),
        ),
    ),
    inputs={"channels": ({"v_channel_id": 1, "comm_id": 10, "part_date": DAY},)},
)


# Updates: user 101 was created, user 102 updated, user 103 deleted; user 104 is unchanged.


def update(kind: str, row: Row, **columns: Any) -> Row:
    return {**row, "update_type": kind, "key_date": KEY_DATE, "part_date": DAY, **columns}


UPDATE_WORLD = World(
    rows=(
        update("c", member(10, 101)),
        update("u", member(10, 102, profile_name="new")),
        update("d", member(10, 103)),
    ),
    inputs={
        "now": (member(10, 101), member(10, 102, profile_name="new"), member(10, 104)),
        "before": (
            of_day_before(member(10, 102)),
            of_day_before(member(10, 103)),
            of_day_before(member(10, 104)),
        ),
    },
)


def of_period(first_day: str) -> Row:
    return {"key_date": dt.date.fromisoformat(first_day), "part_date": first_day, "comm_id": 10}


def of_day(**columns: Any) -> Row:
    """A row of a report on the day."""
    return {"key_date": KEY_DATE, "part_date": DAY, **columns}


# Joins: one of three members had left by the day before; one of the other two leaves today, and a fourth user joins.
JOIN_WORLD = World(
    rows=(
        of_day(comm_id=10, ip_ctry="KR", joins=1, leaves=0, members=2),
        of_day(comm_id=10, ip_ctry=None, joins=0, leaves=1, members=1),
    ),
    inputs={
        "now": (member(10, 101), member(10, 102, comm_user_status="DEACTIVATED"), member(10, 104)),
        "before": (
            of_day_before(member(10, 101)),
            of_day_before(member(10, 102)),
            of_day_before(member(10, 103, comm_user_status="DEACTIVATED")),
        ),
    },
)
DM_WORLD = World(
    rows=(
        of_day(wv_user_id=101, comm_id=10, dm_id=1, is_comm_user=0, start_dt=kst("00:00:00")),
        of_day(
            wv_user_id=102,
            we_member_id=202,
            comm_id=10,
            we_art_id=10,
            dm_id=1,
            is_comm_user=1,
            is_fc=0,
            start_dt=kst("23:59:59.999"),
            end_dt=kst("00:00:00"),
        ),
    )
)


def subscribed(user: int, dm: int = 1, **columns: Any) -> Row:
    return of_day(wv_user_id=user, comm_id=10, dm_id=dm, **columns)


# Subscribers: user 101 ended, user 102 stayed, users 103 and 104 are new. The only subscriber of channel 2 is gone.
DM_DAILY_WORLD = World(
    rows=(
        of_day(comm_id=10, dm_id=1, subscribers=3, new_subscribers=2, ended_subscribers=1),
        of_day(comm_id=10, dm_id=2, subscribers=0, new_subscribers=0, ended_subscribers=1),
    ),
    inputs={
        "now": tuple(subscribed(user) for user in (102, 103, 104)),
        "before": tuple(of_day_before(subscribed(user, dm)) for user, dm in ((101, 1), (102, 1), (101, 2))),
    },
)


def bought(user: int, **columns: Any) -> Row:
    """A row of the day's snapshot of purchases."""
    return {
        "wv_user_id": user,
        "community_id": 10,
        "dm_id": 1,
        "start_dt": kst("09:00:00", DAY_BEFORE),
        "part_date": DAY,
        **columns,
    }


def kept(user: int, last_seen: dt.date = KEY_DATE, **columns: Any) -> Row:
    """A row of the history."""
    row = {name: value for name, value in bought(user).items() if name != "community_id"}
    return {**row, "comm_id": 10, "last_seen_date": last_seen, **columns}


# The history: user 101 has vanished from the snapshot, user 102's subscription has ended, user 103's is unknown so far.
DM_HISTORY_WORLD = World(
    rows=(kept(101, KEY_DATE_BEFORE), kept(102, end_dt=kst("09:00:00")), kept(103, product_type="MONTH")),
    inputs={
        "before": tuple(kept(user, KEY_DATE_BEFORE, part_date=DAY_BEFORE) for user in (101, 102)),
        "purchases": (bought(102, end_dt=kst("09:00:00")), bought(103, product_type="MONTH")),
    },
)


def wrote(user: int, sender: str = "FAN") -> Row:
    return {"wv_user_id": user, "community_id": 10, "dm_id": 1, "sender_type": sender, "part_date": DAY}


# Messages: user 101 wrote twice, user 102 once; an artist's message does not count. Nobody wrote in channel 2.
DM_FAN_WORLD = World(
    rows=(
        of_day(comm_id=10, dm_id=1, fan_cnt=2, msg_cnt=3, subscribers=1),
        of_day(comm_id=10, dm_id=2, fan_cnt=0, msg_cnt=0, subscribers=1),
    ),
    inputs={
        "messages": (wrote(101), wrote(101), wrote(102), wrote(103, "ARTIST")),
        "subscriptions": (subscribed(101), subscribed(104, 2)),
    },
)


def acted(user: int, post: str, **columns: Any) -> Row:
    return of_day(comm_id=10, we_member_id=user + 100, post_id=post, **columns)


def in_period(world: World, first_day: str) -> World:
    """The world with its rows on the first day of a period."""
    return replace(world, rows=tuple({**row, **of_period(first_day)} for row in world.rows))


# Popular posts: users 101 and 102 viewed the first; one of them viewed the second and the third, so that these are
# ordered by their ids. User 109 is not a member.
POPULAR_WORLD = World(
    rows=(
        of_day(comm_id=10, rank=1, post_id="1-2", viewers=2, likers=1, commenters=0),
        of_day(comm_id=10, rank=2, post_id="1-1", viewers=1, likers=0, commenters=1),
        of_day(comm_id=10, rank=3, post_id="1-3", viewers=1, likers=0, commenters=0),
    ),
    inputs={
        "members": (member(10, 101), member(10, 102)),
        "views": (
            *(acted(user, "1-2", view_cnt=2) for user in (101, 102, 101, 109)),
            acted(101, "1-1", view_cnt=1),
            acted(102, "1-3", view_cnt=1),
        ),
        "reactions": (acted(102, "1-2", is_like=1, is_cmnt=0), acted(101, "1-1", is_like=0, is_cmnt=1)),
    },
)
# Exactly as many posts as are ranked, and one more that as many members viewed as the last.
MANY_POSTS_WORLD = replace(
    POPULAR_WORLD,
    rows=tuple(
        of_day(comm_id=10, rank=rank, post_id=f"1-{rank:03}", viewers=1, likers=0, commenters=0)
        for rank in range(1, 101)
    ),
    inputs={
        "members": POPULAR_WORLD.inputs["members"],
        "views": tuple(acted(101, f"1-{n:03}", view_cnt=1) for n in range(1, 102)),
        "reactions": (),
    },
)
SETTING_COUNTS = [f"{flag.removesuffix('_enabled')}_cnt" for flag in PUSH_FLAGS]

GOOD: dict[str, World] = {
    BASE: BASE_WORLD,
    COMM: COMM_WORLD,
    UPDATE: UPDATE_WORLD,
    FC: World(
        rows=(
            of_day(comm_id=10, we_art_id=10, we_art_name="artist 10", total_members=2, fc_members=2),
            of_day(comm_id=11, total_members=1, fc_members=0),
        )
    ),
    PRIVATE: World(
        rows=(
            of_day(comm_id=10, we_art_id=10, total_profile_created=2, total_profile_private=2),
            of_day(comm_id=11, total_profile_created=1, total_profile_private=0),
        )
    ),
    SETTING: World(
        rows=(
            of_day(comm_id=10, member_cnt=1, **dict.fromkeys(SETTING_COUNTS, 0)),
            of_day(comm_id=11, member_cnt=2, **dict.fromkeys(SETTING_COUNTS, 2)),
        )
    ),
    JOIN: JOIN_WORLD,
    CROSS: World(
        rows=(
            of_day(comm_id=10, other_comm_id=11, member_cnt=2),
            of_day(comm_id=11, other_comm_id=10, member_cnt=2),
        )
    ),
    CROSS_AGG: World(
        rows=(of_day(community_cnt=1, member_cnt=2), of_day(community_cnt=2, member_cnt=1)),
        inputs={"members": (member(10, 101), member(10, 102), member(10, 103), member(11, 103))},
    ),
    DM: DM_WORLD,
    DM_DAILY: DM_DAILY_WORLD,
    DM_HISTORY: DM_HISTORY_WORLD,
    DM_FAN: DM_FAN_WORLD,
    **{name: in_period(POPULAR_WORLD, first) for name, first in POPULAR.items()},
    **{
        name: World(
            rows=(
                {**of_period(first), "ip_ctry": None, "member_cnt": 1, **dict.fromkeys(COUNTS, 0)},
                {**of_period(first), "ip_ctry": "KR", "member_cnt": 2, **dict.fromkeys(COUNTS, 2)},
            )
        )
        for name, first in ENGAGED.items()
    },
}

NULL_BREAKS_TOO: dict[str, dict[str, set[str]]] = {
    BASE: {"subscribe_cnt": {"status_is_counted"}, "unsubscribe_cnt": {"status_is_counted"}},
    COMM: {
        "key_date": {"partition_is_the_rows", "belongs_on_the_day"},
        "wv_user_id": {"comm_user_id_formula"},
        "comm_id": {"partition_is_the_rows", "comm_user_id_formula"},
        "is_fc": {"membership_is_known"},
        "comm_user_first_dt": {"first_join_first", "first_community_is_the_first"},
        "tot_comm_user_first_dt": {"first_join_first", "first_community_is_the_first"},
        "is_first_user_comm": {"first_community_is_the_first"},
        "comm_user_grade": {"artists_have_ids"},
        "comm_user_cre_dt": {"first_join_first", "belongs_on_the_day"},
        "comm_user_id": {"comm_user_id_formula"},
    },
    UPDATE: {"comm_id": {"replay_gives_the_day"}, "wv_user_id": {"replay_gives_the_day"}},
    FC: {"total_members": {"holders_are_members"}, "fc_members": {"holders_are_members"}},
    PRIVATE: {
        "total_profile_created": {"private_profiles_are_profiles"},
        "total_profile_private": {"private_profiles_are_profiles"},
    },
    SETTING: {name: {"settings_of_members"} for name in ("member_cnt", *SETTING_COUNTS)},
    JOIN: {name: {"members_add_up"} for name in ("comm_id", "joins", "members")},
    CROSS: {
        "comm_id": {"two_communities", "same_both_ways_round"},
        "other_comm_id": {"two_communities", "same_both_ways_round"},
        "member_cnt": {"same_both_ways_round"},
    },
    CROSS_AGG: {name: {"members_add_up"} for name in ("community_cnt", "member_cnt")},
    DM: {"start_dt": {"runs_on_the_day"}},
    DM_DAILY: {
        **{name: {"subscribers_add_up", "the_others_stayed"} for name in ("comm_id", "dm_id")},
        "subscribers": {"subscribers_add_up", "somebody_subscribed"},
        "new_subscribers": {"subscribers_add_up", "the_others_stayed"},
        "ended_subscribers": {"subscribers_add_up", "the_others_stayed", "somebody_subscribed"},
    },
    DM_HISTORY: {"last_seen_date": {"seen_by_the_day"}},
    DM_FAN: {
        "comm_id": {"totals_add_up"},
        "dm_id": {"totals_add_up"},
        "fan_cnt": {"totals_add_up", "fans_wrote"},
        "msg_cnt": {"totals_add_up", "fans_wrote", "message_or_subscriber"},
        "subscribers": {"totals_add_up", "message_or_subscriber"},
    },
    **{
        name: {
            "key_date": {"first_day_of_the_period"},
            "comm_id": {"ranks_have_no_gaps", "counts_are_members", "nothing_popular_is_left_out"},
            "post_id": {"ranks_have_no_gaps", "counts_are_members", "nothing_popular_is_left_out"},
            "rank": {"ranks_have_no_gaps"},
        }
        for name in POPULAR
    },
    **{
        name: {
            "key_date": {"first_day_of_the_period"},
            **{count: {"engaged_are_members"} for count in ("member_cnt", *COUNTS)},
        }
        for name in ENGAGED
    },
}
# Rows on whose values nothing else depends: the new pair of the base, and the deletion among the updates.
NULL_ROW = {BASE: 2, UPDATE: 2, **dict.fromkeys(POPULAR, 2)}

# Table checks that count over a run as a whole, or look at the day before its first.
RUN_WIDE = {
    (BASE, "nobody_is_lost"),
    (BASE, "status_lines_add_up"),
    (COMM, "growth"),
    (DM_HISTORY, "nothing_is_lost"),
    (DM_HISTORY, "as_last_seen"),
}


def bad_columns(table: Table, row: int, also: dict[str, str]) -> Iterator[Case]:
    """For each column with value checks, a case with a value that they do not allow."""
    bad_texts = {"comm_user_status": "LEFT", "comm_user_grade": "BOT", "notification_type": "NONE", "update_type": "x"}
    bad_numbers = {"cnt_comm_user_id": 0, "sum_report_count": -1, "comm_user_seq": 0}
    for column in table.columns:
        if column.checks:
            value = bad_texts.get(column.name, bad_numbers.get(column.name, 2))
            broken = [also[column.name]] if column.name in also else []
            yield bad_value(table.full_name, column.name, value, row=row, also=broken)


def volumes(*tables: str) -> Iterator[Case]:
    for name in tables:
        rows = len(GOOD[name].rows)
        yield case(name, "volume", "far fewer rows than the day before", published_before(3 * rows))
        if rows > 2:
            yield case(name, "volume", "far more rows than the day before", published_before(1))


def engagement_cases(name: str) -> Iterator[Case]:
    yield bad_value(name, "member_cnt", 0)
    for count in COUNTS[:-1]:
        yield bad_value(name, count, -1)
        description = f"more members than are engaged at all: {count}"
        yield case(name, "engaged_are_members", description, change_row(1, **{count: 3}))
    yield bad_value(name, COUNTS[-1], -1, also=["engaged_are_members"])
    yield case(name, "engaged_are_members", "more engaged users than members", change_row(1, engage_user_cnt=3))
    yield case(name, GRAIN, "the same community twice", add_row(0))
    yield case(name, GRAIN, "the same country twice", add_row(1))
    yield case(name, "first_day_of_the_period", "another day", change_row(0, key_date=dt.date(2024, 2, 15)))


def popularity_cases(name: str) -> Iterator[Case]:
    many_posts = in_period(MANY_POSTS_WORLD, POPULAR[name])

    def add_many(**last: Any) -> Change:
        """The world of many posts, with these values in the rank that is the last."""
        return lambda _: change_row(99, **last)(many_posts)

    yield bad_value(name, "rank", 0)
    yield bad_value(name, "viewers", 0, row=2, also=["counts_are_members"])
    yield bad_value(name, "likers", -1, also=["counts_are_members"])
    yield bad_value(name, "commenters", -1, also=["counts_are_members"])
    yield case(name, "domains", "a hundred and first post", lambda _: add_row(0, rank=101, post_id="1-101")(many_posts))
    yield case(name, GRAIN, "the same rank twice", change_row(2, rank=2), also=["ranks_have_no_gaps"])
    yield case(name, "first_day_of_the_period", "another day", change_row(0, key_date=dt.date(2024, 2, 15)))
    yield case(name, "ranks_have_no_gaps", "a rank is skipped", change_row(2, rank=4))
    yield case(
        name,
        "ranks_have_no_gaps",
        "the same post twice",
        change_row(2, post_id="1-1"),
        also=["ranks_follow_the_viewers", "counts_are_members", "nothing_popular_is_left_out"],
    )
    yield case(
        name,
        "ranks_follow_the_viewers",
        "a post that fewer members saw comes first",
        change_row(0, rank=2),
        change_row(1, rank=1),
    )
    yield case(
        name, "ranks_follow_the_viewers", "a greater id comes first", change_row(1, rank=3), change_row(2, rank=2)
    )
    for count in ("viewers", "likers", "commenters"):
        wrong = change_row(0, **{count: 3})
        yield case(name, "counts_are_members", f"more {count} than there are", wrong)
    yield case(name, "counts_are_members", "a viewer has left", drop_input("members", 1))
    yield case(name, "counts_are_members", "a view without a view", change_input("views", 1, view_cnt=0))
    yield case(name, "counts_are_members", "a like is taken back", change_input("reactions", 0, is_like=0))
    yield case(name, "counts_are_members", "a comment is taken back", change_input("reactions", 1, is_cmnt=0))
    yield case(name, "nothing_popular_is_left_out", "the last post", drop_row(2))
    yield case(
        name,
        "nothing_popular_is_left_out",
        "the only post of a community",
        add_input("members", **member(11, 101)),
        add_input("views", **acted(101, "1-9", view_cnt=1) | {"comm_id": 11}),
    )
    yield case(
        name,
        "nothing_popular_is_left_out",
        "a post that more members saw than the last of a hundred",
        lambda _: add_input("views", **acted(102, "1-101", view_cnt=1))(many_posts),
    )
    yield case(
        name,
        "nothing_popular_is_left_out",
        "a post that as many members saw as the last of a hundred, with a smaller id",
        add_many(post_id="1-101"),
    )
    yield case(
        name, "nothing_popular_is_left_out", "all rows were lost", lambda world: replace(world, rows=()), also=[ROWS]
    )


CASES: list[Case] = [
    # we_mart.wv_comm_user_base
    bad_value(BASE, "subscribe_cnt", -1, row=2, also=["status_is_counted"]),
    bad_value(BASE, "unsubscribe_cnt", -1, row=2, also=["status_is_counted"]),
    bad_value(BASE, "status", "SUBSCRIBE", row=1, also=["status_is_counted"]),
    case(BASE, GRAIN, "the same pair twice", add_row(2)),
    case(BASE, "seen_by_something", "neither a profile nor a status", change_row(2, profile_updated_dt=None)),
    case(BASE, "status_is_counted", "a status of a type with a count of 0", change_row(1, status="unsubscribe")),
    case(BASE, "status_is_counted", "a status line that was not counted", change_row(2, status="subscribe")),
    case(BASE, "status_is_counted", "a count without a status line", change_row(1, status=None)),
    case(BASE, "nobody_is_lost", "a user who left", drop_row(0), also=["status_lines_add_up"]),
    case(
        BASE,
        "nobody_is_lost",
        "a pair of the day before",
        add_input("before", **pair(109, 0, 0, None, part_date=DAY_BEFORE)),
    ),
    case(BASE, "nobody_is_lost", "a different pair", change_row(0, wv_user_id=109)),
    case(BASE, "status_lines_add_up", "a line was lost", change_row(0, subscribe_cnt=0)),
    case(BASE, "status_lines_add_up", "a line was counted twice", change_row(1, subscribe_cnt=2)),
    case(BASE, "status_lines_add_up", "a pair was lost", drop_row(1)),
    case(BASE, "status_lines_add_up", "a line was invented", drop_input("statuses", 1)),
    # we_mart.wv_comm_user
    *bad_columns(
        MEMBERS,
        0,
        {
            "is_fc": "membership_is_known",
            "is_first_user_comm": "first_community_is_the_first",
            "comm_user_grade": "artists_have_ids",
        },
    ),
    case(COMM, GRAIN, "the same member twice", add_row(0)),
    case(COMM, "partition_is_the_rows", "a wrong community", change_row(0, part_comm_id=11)),
    case(
        COMM,
        "partition_is_the_rows",
        "a wrong day",
        change_row(2, key_date=dt.date(2024, 3, 6)),
    ),
    case(
        COMM,
        "first_join_first",
        "a first join after the last",
        change_row(2, comm_user_first_dt=kst("08:00:00.001")),
    ),
    case(
        COMM,
        "first_join_first",
        "a first join before the first in any community",
        change_row(0, comm_user_first_dt=kst("08:59:59.999", DAY_BEFORE), is_first_user_comm=0),
    ),
    case(
        COMM,
        "ends_after_it_began",
        "a leave before the join",
        change_row(2, comm_user_end_dt=kst("07:59:59.999")),
    ),
    case(
        COMM,
        "belongs_on_the_day",
        "a member who joins on the next day",
        change_row(2, comm_user_cre_dt=kst("00:00:00", "2024-03-06")),
    ),
    case(
        COMM,
        "belongs_on_the_day",
        "a member who left on the day before",
        change_row(0, comm_user_end_dt=kst("23:59:59.999", DAY_BEFORE)),
    ),
    case(COMM, "membership_is_known", "a membership without its id", change_row(1, fc_id=None)),
    case(COMM, "membership_is_known", "an id without a membership", change_row(1, is_fc=0)),
    case(
        COMM, "first_community_is_the_first", "the first community is not marked", change_row(0, is_first_user_comm=0)
    ),
    case(
        COMM,
        "first_community_is_the_first",
        "another community is marked as the first",
        change_row(2, is_first_user_comm=1),
    ),
    case(COMM, "comm_user_id_formula", "a wrong community", change_row(0, comm_user_id="11-103")),
    case(COMM, "comm_user_id_formula", "the other way round", change_row(0, comm_user_id="103-10")),
    case(COMM, "artists_have_ids", "a fan with an id", change_row(0, art_indi_id="10-103")),
    case(COMM, "artists_have_ids", "a fan with a type", change_row(0, art_indi_type="FAN")),
    case(COMM, "artists_have_ids", "an artist without an id", change_row(3, art_indi_id=None)),
    case(COMM, "artists_have_ids", "an artist with another member's id", change_row(3, art_indi_id="10-101")),
    case(COMM, "artists_have_ids", "an artist of another type", change_row(3, art_indi_type="OTHER_COMMUNITY_ARTIST")),
    case(
        COMM,
        "one_beginning_a_user",
        "a different first join in another community",
        add_row(
            2,
            comm_id=11,
            part_comm_id=11,
            comm_user_id="11-104",
            tot_comm_user_first_dt=kst("08:59:59.999", DAY_BEFORE),
        ),
    ),
    case(COMM, "growth", "far fewer members than the day before", published_before(6)),
    case(COMM, "growth", "far more members than the day before", published_before(2)),
    case(COMM, "unknown_artists", "a community without an artist", change_row(2, we_art_id=None)),
    case(COMM, "unknown_channels", "the channel of another community", change_input("channels", 0, comm_id=11)),
    # we_mart.wv_comm_user_update
    *bad_columns(UPDATES, 2, {"update_type": "replay_gives_the_day"}),
    case(UPDATE, GRAIN, "the same update twice", add_row(2)),
    case(UPDATE, "replay_gives_the_day", "a creation was lost", drop_row(0)),
    case(UPDATE, "replay_gives_the_day", "an update was lost", drop_row(1)),
    case(UPDATE, "replay_gives_the_day", "a deletion was lost", drop_row(2)),
    case(UPDATE, "replay_gives_the_day", "a creation with a wrong name", change_row(0, profile_name="other")),
    case(UPDATE, "replay_gives_the_day", "an update without the new name", change_row(1, profile_name=None)),
    case(UPDATE, "replay_gives_the_day", "a member who stays is deleted", change_row(1, update_type="d")),
    case(UPDATE, "replay_gives_the_day", "a member who is gone is updated", change_row(2, update_type="u")),
    case(UPDATE, "replay_gives_the_day", "an unchanged member is deleted", add_row(2, **member(10, 104))),
    case(UPDATE, "replay_gives_the_day", "a created member does not exist", drop_input("now", 0)),
    case(
        UPDATE,
        "replay_gives_the_day",
        "all members are gone without a deletion",
        lambda world: replace(world, rows=(), inputs={**world.inputs, "now": ()}),
        also=[ROWS],
    ),
    # we_mart.stats_wv_d_comm_fc
    bad_value(FC, "total_members", 0, row=1),
    bad_value(FC, "fc_members", -1),
    case(FC, GRAIN, "the same community twice", add_row(0)),
    case(FC, GRAIN, "a community with two artists", add_row(0, we_art_id=11)),
    case(FC, "holders_are_members", "more holders than members", change_row(0, fc_members=3)),
    # we_mart.stats_wv_d_comm_profile
    bad_value(PRIVATE, "total_profile_created", -1, change_row(0, total_profile_private=-1)),
    bad_value(PRIVATE, "total_profile_private", -1),
    case(PRIVATE, GRAIN, "the same community twice", add_row(0)),
    case(
        PRIVATE,
        "private_profiles_are_profiles",
        "more private profiles than profiles",
        change_row(0, total_profile_private=3),
    ),
    # we_mart.stats_wv_d_user_setting
    bad_value(SETTING, "member_cnt", 0),
    *(bad_value(SETTING, count, -1) for count in SETTING_COUNTS),
    case(SETTING, GRAIN, "the same community twice", add_row(0)),
    *(
        case(
            SETTING,
            "settings_of_members",
            f"switched on by more than all members: {count}",
            change_row(1, **{count: 3}),
        )
        for count in SETTING_COUNTS
    ),
    # we_mart.stats_wv_d_comm_join
    bad_value(JOIN, "joins", -1, also=["members_add_up"]),
    bad_value(JOIN, "leaves", -1),
    bad_value(JOIN, "members", 0, also=["members_add_up"]),
    case(JOIN, GRAIN, "the same country twice", change_row(1, ip_ctry="KR")),
    case(JOIN, "members_add_up", "one join too many", change_row(0, joins=2)),
    case(JOIN, "members_add_up", "one member too few", change_row(0, members=1)),
    case(JOIN, "members_add_up", "members without a known country were lost", drop_row(1)),
    case(JOIN, "members_add_up", "a member who stayed is not counted as a join", drop_input("before", 0)),
    case(JOIN, "members_add_up", "a member who had left came back", add_input("now", **member(10, 103))),
    case(JOIN, "members_add_up", "a community was lost", add_input("now", **member(11, 101))),
    case(JOIN, "left_unseen", "a leave that arrives a day late", add_input("before", **of_day_before(member(10, 105)))),
    case(JOIN, "left_unseen", "the last member of a community", add_input("before", **of_day_before(member(11, 101)))),
    case(JOIN, "members_add_up", "a community was invented", change_row(0, comm_id=11)),
    case(JOIN, "members_add_up", "all rows were lost", lambda world: replace(world, rows=()), also=[ROWS]),
    # we_mart.stats_wv_d_comm_cross_join
    bad_value(CROSS, "member_cnt", 0, change_row(1, member_cnt=0)),
    case(CROSS, GRAIN, "the same row twice", add_row(0)),
    case(CROSS, "two_communities", "a community paired with itself", add_row(0, other_comm_id=10)),
    case(CROSS, "same_both_ways_round", "a pair in one direction only", drop_row(1)),
    case(CROSS, "same_both_ways_round", "more members in one direction", change_row(0, member_cnt=3)),
    # we_mart.stats_wv_d_comm_cross_join_agg
    bad_value(CROSS_AGG, "community_cnt", 0, also=["members_add_up"]),
    bad_value(CROSS_AGG, "member_cnt", 0, also=["members_add_up"]),
    case(
        CROSS_AGG, GRAIN, "the same number of communities twice", change_row(0, member_cnt=1), add_row(0, member_cnt=1)
    ),
    case(CROSS_AGG, "members_add_up", "one user too many", change_row(0, member_cnt=3)),
    case(CROSS_AGG, "members_add_up", "a user was lost", drop_row(1)),
    case(CROSS_AGG, "members_add_up", "a member was lost", drop_input("members", 0)),
    case(CROSS_AGG, "members_add_up", "no members", lambda world: replace(world, inputs={"members": ()})),
    case(CROSS_AGG, "members_add_up", "all users were lost", lambda world: replace(world, rows=()), also=[ROWS]),
    # we_mart.wv_dm_subscr
    bad_value(DM, "is_comm_user", 2),
    bad_value(DM, "is_fc", 2, row=1),
    case(DM, GRAIN, "the same subscription twice", add_row(0)),
    case(
        DM,
        "runs_on_the_day",
        "a subscription that starts on the next day",
        change_row(0, start_dt=kst("00:00:00", "2024-03-06")),
    ),
    case(
        DM,
        "runs_on_the_day",
        "a subscription that ended on the day before",
        change_row(0, end_dt=kst("23:59:59.999", DAY_BEFORE)),
    ),
    case(
        DM,
        "membership_of_somebody",
        "a membership flag for an unknown artist",
        change_row(0, is_fc=0, we_member_id=201),
    ),
    case(
        DM, "membership_of_somebody", "a membership flag for an unknown account", change_row(0, is_fc=0, we_art_id=10)
    ),
    case(DM, "membership_of_somebody", "no membership flag for a known account and artist", change_row(1, is_fc=None)),
    # we_mart.wv_dm_subscr_daily
    bad_value(DM_DAILY, "subscribers", -1, also=["subscribers_add_up", "somebody_subscribed"]),
    bad_value(DM_DAILY, "new_subscribers", -1, also=["subscribers_add_up", "the_others_stayed"]),
    bad_value(DM_DAILY, "ended_subscribers", -1, also=["subscribers_add_up", "the_others_stayed"]),
    case(DM_DAILY, GRAIN, "the same channel twice", add_row(0), also=["subscribers_add_up", "the_others_stayed"]),
    case(
        DM_DAILY,
        "somebody_subscribed",
        "a channel that nobody subscribed to",
        add_row(1, dm_id=3, ended_subscribers=0),
    ),
    case(DM_DAILY, "subscribers_add_up", "one subscriber too many", change_row(0, subscribers=4)),
    case(
        DM_DAILY,
        "subscribers_add_up",
        "a new subscriber is not counted as new",
        change_row(0, new_subscribers=1),
        also=["the_others_stayed"],
    ),
    case(
        DM_DAILY,
        "subscribers_add_up",
        "a channel was lost",
        add_input("now", **subscribed(105, 3)),
        also=["the_others_stayed"],
    ),
    case(
        DM_DAILY,
        "subscribers_add_up",
        "a channel without subscribers was lost",
        drop_row(1),
        also=["the_others_stayed"],
    ),
    case(
        DM_DAILY,
        "the_others_stayed",
        "who stayed is counted as ended and new",
        change_row(0, new_subscribers=3, ended_subscribers=2),
    ),
    # we_mart.wv_dm_subscr_history
    case(DM_HISTORY, GRAIN, "the same subscription twice", add_row(0)),
    case(
        DM_HISTORY,
        "seen_by_the_day",
        "seen on the next day",
        change_row(1, last_seen_date=dt.date(2024, 3, 6)),
    ),
    case(DM_HISTORY, "nothing_is_lost", "a subscription that has vanished from the snapshot", drop_row(0)),
    case(DM_HISTORY, "nothing_is_lost", "a new subscription", drop_row(2)),
    case(DM_HISTORY, "nothing_is_lost", "a renewal", add_input("purchases", **bought(102, start_dt=kst("09:00:00")))),
    case(DM_HISTORY, "as_last_seen", "a subscription was invented", add_row(2, wv_user_id=109)),
    case(DM_HISTORY, "as_last_seen", "the end of the snapshot is missing", change_row(1, end_dt=None)),
    case(DM_HISTORY, "as_last_seen", "an end that no snapshot has", change_row(0, end_dt=kst("09:00:00"))),
    case(DM_HISTORY, "as_last_seen", "another community", change_row(0, comm_id=11)),
    case(DM_HISTORY, "as_last_seen", "another product", change_row(2, product_type=None)),
    case(
        DM_HISTORY,
        "as_last_seen",
        "a subscription of the day's snapshot as on the day before",
        change_row(1, last_seen_date=KEY_DATE_BEFORE, end_dt=None),
    ),
    case(
        DM_HISTORY,
        "as_last_seen",
        "a subscription that has vanished is said to be seen",
        change_row(0, last_seen_date=KEY_DATE),
    ),
    # we_mart.wv_dm_msg_fan
    bad_value(DM_FAN, "fan_cnt", -1, row=1, also=["totals_add_up"]),
    bad_value(DM_FAN, "msg_cnt", -1, row=1, also=["totals_add_up", "fans_wrote", "message_or_subscriber"]),
    bad_value(DM_FAN, "subscribers", -1, also=["totals_add_up"]),
    case(DM_FAN, GRAIN, "the same channel twice", change_row(1, dm_id=1), also=["totals_add_up"]),
    case(DM_FAN, "fans_wrote", "more fans than messages", change_row(0, fan_cnt=4), also=["totals_add_up"]),
    case(DM_FAN, "fans_wrote", "messages of nobody", change_row(1, msg_cnt=1), also=["totals_add_up"]),
    case(DM_FAN, "message_or_subscriber", "a silent channel", add_row(1, dm_id=3, subscribers=0)),
    case(DM_FAN, "totals_add_up", "a fan counts twice", change_row(0, fan_cnt=3)),
    case(DM_FAN, "totals_add_up", "a message was lost", change_row(0, msg_cnt=2)),
    case(DM_FAN, "totals_add_up", "a subscriber was lost", change_row(0, subscribers=0)),
    case(DM_FAN, "totals_add_up", "a channel was lost", drop_row(1)),
    case(DM_FAN, "totals_add_up", "counts of another channel", change_row(0, dm_id=2), change_row(1, dm_id=1)),
    case(DM_FAN, "totals_add_up", "counts of another community", change_row(0, comm_id=11)),
    case(DM_FAN, "totals_add_up", "an artist is counted as a fan", change_input("messages", 2, sender_type="ARTIST")),
    case(DM_FAN, "totals_add_up", "all rows were lost", lambda world: replace(world, rows=()), also=[ROWS]),
    # the popular posts
    *(popular for name in POPULAR for popular in popularity_cases(name)),
    # the engagement reports
    *(engagement for name in ENGAGED for engagement in engagement_cases(name)),
    *volumes(FC, PRIVATE, SETTING, CROSS, CROSS_AGG, DM),
]

DOMAIN = Domain(
    good=GOOD,
    cases=CASES,
    null_breaks_too=NULL_BREAKS_TOO,
    null_row=NULL_ROW,
    run_wide=frozenset(RUN_WIDE),
    good_values={
        (PROFILE, "first_join_at"): 1_709_600_400_000,
        (PROFILE, "last_join_at"): 1_709_600_400_000,
        (PROFILE, "updated_at"): 1_709_600_400_000,
        (STATUS, "type"): "subscribe",
        ("weverse2.community_member_special_member", "special_member_type"): "ARTIST",
        ("weverse2.community_member_special_member", "is_official"): 1,
        ("we_mart.wv1_join_info", "is_first_user_comm"): 0,
        ("weverse2.dm_message", "sender_type"): "FAN",
        ("we_mart.wv_post_reaction", "is_like"): 1,
        ("we_mart.wv_post_reaction", "is_cmnt"): 0,
        ("we_mart.wv_media_reaction", "is_like"): 1,
        ("we_mart.wv_media_reaction", "is_cmnt"): 0,
    },
    bad_values={
        (PROFILE, "user_id", "fits_32_bits"): [TOO_LARGE],
        (PROFILE, "first_join_at", "milliseconds"): [-1],
        (PROFILE, "last_join_at", "milliseconds"): [-1],
        (PROFILE, "updated_at", "milliseconds"): [-1, 253_402_300_800_000],
        (STATUS, "user_id", "fits_32_bits"): [TOO_LARGE],
        (STATUS, "type", "domains"): ["SUBSCRIBE", ""],
        ("weverse2.community_log_v_member_migration", "user_id", "fits_32_bits"): [TOO_LARGE],
        ("weverse2.community_member_special_member", "user_id", "fits_32_bits"): [TOO_LARGE],
        ("weverse2.community_member_special_member", "special_member_type", "domains"): ["FAN"],
        ("weverse2.community_member_special_member", "is_official", "domains"): [2],
        ("weverse2.community_common_report", "user_id", "fits_32_bits"): [TOO_LARGE],
        ("weverse2.community_common_report", "report_count", "domains"): [-1],
        ("weverse2.notification_push_config", "user_id", "fits_32_bits"): [TOO_LARGE],
        ("weverse2.community_member_purchase", "wv_user_id", "fits_32_bits"): [TOO_LARGE],
        ("weverse2.dm_message", "wv_user_id", "fits_32_bits"): [TOO_LARGE],
        ("weverse2.dm_message", "sender_type", "domains"): ["fan"],
        ("we_mart.wv_user_ctry_history", "wv_user_id", "fits_32_bits"): [TOO_LARGE],
        ("we_mart.wv1_join_info", "wv_user_id", "fits_32_bits"): [TOO_LARGE],
        ("we_mart.wv1_join_info", "is_first_user_comm", "domains"): [2],
        **{(name, "we_member_id", "fits_32_bits"): [TOO_LARGE] for name in ACTS},
        **{(name, "is_like", "domains"): [2] for name in ACTS[1:]},
        **{(name, "is_cmnt", "domains"): [-1] for name in ACTS[1:]},
    },
)
