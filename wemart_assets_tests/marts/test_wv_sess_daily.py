"""wv_sess_daily: sessions, their users, and the communities that they visited (tables.md 2.2)."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wemart_assets_tests.examples import examples

Row = dict[str, Any]
Visit = Callable[..., Row]
World = Callable[..., Any]
SessDaily = Callable[[Any], list[Row]]

ARTIST = {"we_art_id": 1, "we_art_name": "One", "comm_id": 11}
ACCOUNT = {"we_member_id": 107, "wv_user_id": 7}
MEMBER = {"comm_id": 11, "wv_user_id": 7}
POST = {"shard_id": 1, "post_local_id": 2, "community_id": 11}
NOTICE = {"id": 5, "parent_id": "community-11"}
ORDER = {
    "we_member_id": 107,
    "we_art_id": 1,
    "comm_id": 11,
    "fc_id": 1,
    "create_dt": dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
    "start_dt": dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
    "end_dt": None,
    "ord_status": "PAID",
    "is_cx_by_restore": 0,
}


def only(rows: list[Row]) -> Row:
    assert len(rows) == 1
    return rows[0]


def column(rows: list[Row], name: str) -> list[Any]:
    return [row[name] for row in rows]


def communities(rows: list[Row]) -> set[tuple[str | None, int | None]]:
    return {(row["comm_id"], row["is_comm_user"]) for row in rows}


# --- the community of a line ------------------------------------------------------------------------------------------


def test_the_community_is_the_one_that_the_line_names(visit: Visit, world: World, sess_daily: SessDaily) -> None:
    rows = sess_daily(world(visit("10:00:00", 7, comm_id="11"), members=[MEMBER]))
    assert only(rows)["comm_id"] == "11"


def test_a_line_without_a_community_takes_that_of_its_post(visit: Visit, world: World, sess_daily: SessDaily) -> None:
    rows = sess_daily(world(visit("10:00:00", 7, post_id="1-2"), posts=[POST]))
    assert only(rows)["comm_id"] == "11"


def test_a_line_without_a_community_takes_that_of_its_notice(visit: Visit, world: World, sess_daily: SessDaily) -> None:
    rows = sess_daily(world(visit("10:00:00", 7, notice_id="5"), notices=[NOTICE]))
    assert only(rows)["comm_id"] == "11"


def test_the_lines_community_takes_precedence_over_its_posts(visit: Visit, world: World, sess_daily: SessDaily) -> None:
    rows = sess_daily(world(visit("10:00:00", 7, comm_id="12", post_id="1-2"), posts=[POST]))
    assert only(rows)["comm_id"] == "12"


def test_the_posts_community_takes_precedence_over_the_notices(
    visit: Visit, world: World, sess_daily: SessDaily
) -> None:
    notice = {"id": 5, "parent_id": "community-12"}
    rows = sess_daily(world(visit("10:00:00", 7, post_id="1-2", notice_id="5"), posts=[POST], notices=[notice]))
    assert only(rows)["comm_id"] == "11"


def test_the_notices_community_counts_if_the_post_is_unknown(visit: Visit, world: World, sess_daily: SessDaily) -> None:
    rows = sess_daily(world(visit("10:00:00", 7, post_id="9-9", notice_id="5"), posts=[POST], notices=[NOTICE]))
    assert only(rows)["comm_id"] == "11"


@pytest.mark.parametrize("parent", [None, "weverse", "community-", "xcommunity-11", "community-11x"])
def test_a_notice_without_a_community_gives_none(
    parent: str | None, visit: Visit, world: World, sess_daily: SessDaily
) -> None:
    rows = sess_daily(world(visit("10:00:00", 7, notice_id="5"), notices=[{"id": 5, "parent_id": parent}]))
    assert only(rows)["comm_id"] is None


def test_an_unknown_post_gives_no_community(visit: Visit, world: World, sess_daily: SessDaily) -> None:
    rows = sess_daily(world(visit("10:00:00", 7, post_id="9-9"), posts=[POST]))
    assert communities(rows) == {(None, None)}


# --- visiting and passing through -------------------------------------------------------------------------------------


def test_members_visit_their_community_with_any_line(visit: Visit, world: World, sess_daily: SessDaily) -> None:
    rows = sess_daily(world(visit("10:00:00", 7, comm_id="11"), members=[MEMBER]))
    assert communities(rows) == {("11", 1)}


def test_non_members_who_only_pass_through_do_not_visit(visit: Visit, world: World, sess_daily: SessDaily) -> None:
    others = [{"comm_id": 12, "wv_user_id": 7}, {"comm_id": 11, "wv_user_id": 8}]
    rows = sess_daily(world(visit("10:00:00", 7, comm_id="11"), members=others))
    assert communities(rows) == {(None, None)}


def test_anonymous_users_who_only_pass_through_do_not_visit(visit: Visit, world: World, sess_daily: SessDaily) -> None:
    rows = sess_daily(world(visit("10:00:00", comm_id="11"), members=[MEMBER]))
    assert communities(rows) == {(None, None)}


@pytest.mark.parametrize("user", [7, None])
@pytest.mark.parametrize("subject", [{"post_id": "1-2"}, {"notice_id": "5"}])
def test_reading_a_post_or_notice_is_a_visit_without_membership(
    user: int | None, subject: Row, visit: Visit, world: World, sess_daily: SessDaily
) -> None:
    rows = sess_daily(world(visit("10:00:00", user, comm_id="11", **subject)))
    assert communities(rows) == {("11", 0)}


def test_members_who_read_a_post_visit_as_members(visit: Visit, world: World, sess_daily: SessDaily) -> None:
    rows = sess_daily(world(visit("10:00:00", 7, post_id="1-2"), posts=[POST], members=[MEMBER]))
    assert communities(rows) == {("11", 1)}


def test_the_filled_in_user_decides_whether_a_visit_is_a_members(
    visit: Visit, world: World, sess_daily: SessDaily
) -> None:
    rows = sess_daily(world(visit("10:00:00", comm_id="11"), visit("10:01:00", 7, comm_id="11"), members=[MEMBER]))
    assert communities(rows) == {("11", 1)}


def test_passing_through_and_reading_are_two_rows(visit: Visit, world: World, sess_daily: SessDaily) -> None:
    # The community is dropped per line: the first line names neither post nor notice.
    rows = sess_daily(world(visit("10:00:00", 7, comm_id="11"), visit("10:01:00", 7, comm_id="11", post_id="1-2")))
    assert communities(rows) == {(None, None), ("11", 0)}


def test_a_session_has_a_row_per_community_and_one_without(visit: Visit, world: World, sess_daily: SessDaily) -> None:
    rows = sess_daily(
        world(
            visit("10:00:00", 7),
            visit("10:01:00", 7, comm_id="11"),
            visit("10:02:00", 7, comm_id="12", notice_id="5"),
            visit("10:03:00", 7, comm_id="13"),
            members=[MEMBER],
        )
    )
    assert Counter(row["comm_id"] for row in rows) == Counter([None, "11", "12"])
    assert {(row["sess_dur"], row["user_sess_dur"]) for row in rows} == {(181, 181)}


def test_lines_of_a_session_user_and_community_are_one_row(visit: Visit, world: World, sess_daily: SessDaily) -> None:
    lines = [visit(f"10:0{n}:00", 7, comm_id="11", gcc="KR" if n else None, topic=str(n)) for n in range(5)]
    assert len(sess_daily(world(*lines, members=[MEMBER]))) == 1


def test_each_user_of_a_session_has_their_own_row(visit: Visit, world: World, sess_daily: SessDaily) -> None:
    rows = sess_daily(
        world(visit("10:00:00.000", 7, comm_id="11"), visit("10:01:00.000", 8, comm_id="11"), members=[MEMBER])
    )
    assert [(r["user_sess_id"], r["comm_id"]) for r in rows] == [
        ("20240115100000000|d|7", "11"),
        ("20240115100000000|d|8", None),
    ]


def test_a_community_of_eighteen_digits_is_compared_to_the_last_digit(
    visit: Visit, world: World, sess_daily: SessDaily
) -> None:
    member = {"comm_id": 999_999_999_999_999_998, "wv_user_id": 7}
    lines = [visit("10:00:00", 7, comm_id="999999999999999999"), visit("10:01:00", 7, comm_id="999999999999999998")]
    rows = sess_daily(world(*lines, members=[member]))
    assert communities(rows) == {(None, None), ("999999999999999998", 1)}


# --- account, artist, membership --------------------------------------------------------------------------------------


def test_the_account_is_that_of_the_user(visit: Visit, world: World, sess_daily: SessDaily) -> None:
    users = [ACCOUNT, {"we_member_id": 7, "wv_user_id": 8}, {"we_member_id": 109, "wv_user_id": None}]
    row = only(sess_daily(world(visit("10:00:00", 7), users=users)))
    assert (row["we_member_id"], row["wv_user_id"]) == (107, 7)


def test_a_user_without_an_account_is_still_logged_in(visit: Visit, world: World, sess_daily: SessDaily) -> None:
    row = only(sess_daily(world(visit("10:00:00", 8), users=[ACCOUNT])))
    assert (row["we_member_id"], row["wv_user_id"], row["is_sess_login"]) == (None, None, 1)


def test_an_anonymous_user_has_no_account(visit: Visit, world: World, sess_daily: SessDaily) -> None:
    users = [ACCOUNT, {"we_member_id": 109, "wv_user_id": None}]
    row = only(sess_daily(world(visit("10:00:00"), users=users)))
    assert (row["we_member_id"], row["wv_user_id"]) == (None, None)


def test_the_artist_is_that_of_the_community(visit: Visit, world: World, sess_daily: SessDaily) -> None:
    artists = [ARTIST, {"we_art_id": 11, "we_art_name": "Eleven", "comm_id": 1}]
    row = only(sess_daily(world(visit("10:00:00", 7, comm_id="11"), members=[MEMBER], artists=artists)))
    assert (row["we_art_id"], row["we_art_name"]) == (1, "One")


def test_a_community_without_an_artist_has_none(visit: Visit, world: World, sess_daily: SessDaily) -> None:
    artists = [{"we_art_id": 2, "we_art_name": "Two", "comm_id": None}]
    row = only(sess_daily(world(visit("10:00:00", 7, comm_id="11"), members=[MEMBER], artists=artists)))
    assert (row["we_art_id"], row["we_art_name"]) == (None, None)


def test_a_row_without_a_community_has_no_artist(visit: Visit, world: World, sess_daily: SessDaily) -> None:
    artists = [ARTIST, {"we_art_id": 2, "we_art_name": "Two", "comm_id": None}]
    row = only(sess_daily(world(visit("10:00:00", 7, comm_id="11"), artists=artists)))
    assert (row["we_art_id"], row["we_art_name"]) == (None, None)


def test_an_artists_member_is_named_by_the_community_member(visit: Visit, world: World, sess_daily: SessDaily) -> None:
    member = MEMBER | {"art_indi_id": "11-7", "art_indi_type": "ARTIST"}
    lines = [visit("10:00:00", 7, comm_id="11"), visit("10:01:00", 7)]
    rows = sess_daily(world(*lines, members=[member]))
    assert [(r["comm_id"], r["art_indi_id"], r["art_indi_type"]) for r in rows] == [
        (None, None, None),
        ("11", "11-7", "ARTIST"),
    ]


def is_fc(
    visit: Visit, world: World, sess_daily: SessDaily, *orders: Row, timezone: str = "Asia/Seoul", at: str = "10:00:00"
) -> int | None:
    """The membership flag of account 107 in the community of artist 1."""
    lines = visit(at, 7, comm_id="11")
    snapshots: dict[str, Any] = {"members": [MEMBER], "users": [ACCOUNT], "artists": [ARTIST], "memberships": orders}
    value: int | None = only(sess_daily(world(lines, timezone=timezone, **snapshots)))["is_fc"]
    return value


def test_a_paid_current_membership_is_held(visit: Visit, world: World, sess_daily: SessDaily) -> None:
    assert is_fc(visit, world, sess_daily, ORDER) == 1


def test_an_account_without_an_order_holds_no_membership(visit: Visit, world: World, sess_daily: SessDaily) -> None:
    assert is_fc(visit, world, sess_daily) == 0


@pytest.mark.parametrize(
    "change",
    [
        {"ord_status": "PAYMENT_FAILED"},
        {"is_cx_by_restore": 1},
        {"we_art_id": 2},
        {"we_member_id": 7},
    ],
)
def test_an_order_that_fails_one_condition_is_not_held(
    change: Row, visit: Visit, world: World, sess_daily: SessDaily
) -> None:
    assert is_fc(visit, world, sess_daily, ORDER | change) == 0


@pytest.mark.parametrize("status", ["PAID", "CANCELLED", "payment_failed", ""])
def test_only_a_failed_payment_counts_as_unpaid(status: str, visit: Visit, world: World, sess_daily: SessDaily) -> None:
    assert is_fc(visit, world, sess_daily, ORDER | {"ord_status": status}) == 1


@pytest.mark.parametrize(
    ("start", "held"),
    [("2024-01-15T14:59:59.999999Z", 1), ("2024-01-15T15:00:00.000000Z", 0)],
)
def test_a_membership_must_start_by_the_end_of_the_business_day(
    start: str, held: int, visit: Visit, world: World, sess_daily: SessDaily
) -> None:
    order = ORDER | {"start_dt": dt.datetime.fromisoformat(start)}
    assert is_fc(visit, world, sess_daily, order) == held


@pytest.mark.parametrize(
    ("end", "held"),
    [("2024-01-14T15:00:00.000000Z", 1), ("2024-01-14T14:59:59.999999Z", 0)],
)
def test_a_membership_must_not_end_before_the_business_day(
    end: str, held: int, visit: Visit, world: World, sess_daily: SessDaily
) -> None:
    order = ORDER | {"end_dt": dt.datetime.fromisoformat(end)}
    assert is_fc(visit, world, sess_daily, order) == held


@pytest.mark.parametrize(
    ("change", "held"),
    [
        ({"start_dt": "2024-11-04T04:59:59.999999Z"}, 1),
        ({"start_dt": "2024-11-04T05:00:00.000000Z"}, 0),
        ({"end_dt": "2024-11-03T04:00:00.000000Z"}, 1),
        ({"end_dt": "2024-11-03T03:59:59.999999Z"}, 0),
    ],
)
def test_a_membership_follows_the_25_hour_day_in_new_york(
    change: Row, held: int, visit: Visit, world: World, sess_daily: SessDaily
) -> None:
    order = ORDER | {name: dt.datetime.fromisoformat(at) for name, at in change.items()}
    at = "2024-11-03T12:00:00-05:00"
    assert is_fc(visit, world, sess_daily, order, timezone="America/New_York", at=at) == held


def test_one_held_membership_among_several_is_enough(visit: Visit, world: World, sess_daily: SessDaily) -> None:
    orders = [ORDER, ORDER | {"fc_id": 2}, ORDER | {"fc_id": 3, "ord_status": "PAYMENT_FAILED"}]
    assert is_fc(visit, world, sess_daily, *orders) == 1


@pytest.mark.parametrize("unknown", ["users", "artists"])
def test_membership_is_null_without_an_account_or_artist(
    unknown: str, visit: Visit, world: World, sess_daily: SessDaily
) -> None:
    known: dict[str, Any] = {"members": [MEMBER], "users": [ACCOUNT], "artists": [ARTIST], "memberships": [ORDER]}
    row = only(sess_daily(world(visit("10:00:00", 7, comm_id="11"), **(known | {unknown: []}))))
    assert row["is_fc"] is None


def test_membership_is_null_without_a_community(visit: Visit, world: World, sess_daily: SessDaily) -> None:
    known: dict[str, Any] = {"users": [ACCOUNT], "artists": [ARTIST], "memberships": [ORDER]}
    assert only(sess_daily(world(visit("10:00:00", 7), **known)))["is_fc"] is None


def test_a_visitor_who_is_not_a_member_can_hold_a_membership(visit: Visit, world: World, sess_daily: SessDaily) -> None:
    known: dict[str, Any] = {"users": [ACCOUNT], "artists": [ARTIST], "memberships": [ORDER]}
    row = only(sess_daily(world(visit("10:00:00", 7, comm_id="11", post_id="1-2"), **known)))
    assert (row["is_comm_user"], row["is_fc"]) == (0, 1)


# --- durations --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end", "seconds"),
    [
        ("10:00:00.000", "10:00:00.000", 1),
        ("10:00:00.000", "10:00:00.999", 1),
        ("10:00:00.999", "10:00:01.000", 2),
        ("10:00:00.900", "10:00:01.100", 2),
        ("10:00:00.000", "10:00:01.000", 2),
        ("10:00:00.999", "10:10:00.000", 601),
    ],
)
def test_the_duration_counts_the_seconds_that_the_session_touches(
    start: str, end: str, seconds: int, visit: Visit, world: World, sess_daily: SessDaily
) -> None:
    row = only(sess_daily(world(visit(start, 7), visit(end, 7))))
    assert (row["sess_dur"], row["user_sess_dur"]) == (seconds, seconds)


def test_a_single_line_lasts_one_second(visit: Visit, world: World, sess_daily: SessDaily) -> None:
    row = only(sess_daily(world(visit("10:00:00.500"))))
    assert (row["sess_dur"], row["user_sess_dur"]) == (1, 1)


def test_the_duration_of_a_user_is_that_of_the_users_part(visit: Visit, world: World, sess_daily: SessDaily) -> None:
    rows = sess_daily(world(visit("10:00:00", 7), visit("10:00:10", 8), visit("10:00:30", 8)))
    assert [(r["sess_dur"], r["user_sess_dur"]) for r in rows] == [(31, 1), (31, 21)]


def test_start_and_end_are_given_for_session_and_user(visit: Visit, world: World, sess_daily: SessDaily) -> None:
    rows = sess_daily(world(visit("10:00:00.250", 7), visit("10:00:10.500", 8), visit("10:00:30.750", 8)))
    names = ("sess_start_dt", "sess_end_dt", "user_sess_start_dt", "user_sess_end_dt")
    start, switch, end = (
        dt.datetime(2024, 1, 15, 1, 0, second, micro, tzinfo=dt.UTC)
        for second, micro in ((0, 250_000), (10, 500_000), (30, 750_000))
    )
    assert [[r[name] for name in names] for r in rows] == [[start, end, start, start], [start, end, switch, end]]


# --- logins -----------------------------------------------------------------------------------------------------------


def test_an_anonymous_session_is_not_a_login(visit: Visit, world: World, sess_daily: SessDaily) -> None:
    row = only(sess_daily(world(visit("10:00:00"))))
    assert (row["is_sess_login"], row["is_device_login"]) == (0, 0)


def test_a_login_in_one_session_counts_for_the_device_all_day(
    visit: Visit, world: World, sess_daily: SessDaily
) -> None:
    rows = sess_daily(world(visit("10:00:00"), visit("12:00:00", 7), visit("14:00:00"), visit("14:00:00", device="e")))
    assert {(r["device_id"], r["sess_id"][8:10]): (r["is_sess_login"], r["is_device_login"]) for r in rows} == {
        ("d", "10"): (0, 1),
        ("d", "12"): (1, 1),
        ("d", "14"): (0, 1),
        ("e", "14"): (0, 0),
    }


def test_a_login_does_not_count_on_the_next_day(visit: Visit, world: World, sess_daily: SessDaily) -> None:
    rows = sess_daily(world(visit("2024-01-14T23:00:00+09:00", 7), visit("2024-01-15T10:00:00+09:00")))
    assert [(r["part_date"], r["is_device_login"]) for r in rows] == [("2024-01-14", 1), ("2024-01-15", 0)]


# --- what is last known -----------------------------------------------------------------------------------------------

CLIENT = ("platform", "os", "app_ver")


def test_each_client_column_has_its_last_known_value_in_the_session(
    visit: Visit, world: World, sess_daily: SessDaily
) -> None:
    row = only(
        sess_daily(
            world(
                visit("10:00:00", 7, platform="PC", os="MAC", app_ver="1.0.0", gcc="KR"),
                visit("10:01:00", 7, platform="APP", os="IOS"),
                visit("10:02:00", 7, platform="MWEB"),
                visit("10:03:00", 7),
            )
        )
    )
    assert [row[name] for name in (*CLIENT, "sess_ctry")] == ["MWEB", "IOS", "1.0.0", "KR"]


def test_all_users_of_a_session_have_the_sessions_client(visit: Visit, world: World, sess_daily: SessDaily) -> None:
    lines = [visit("10:00:00", 7, platform="PC"), visit("10:01:00", 8, platform="APP")]
    assert column(sess_daily(world(*lines)), "platform") == ["APP", "APP"]


def test_the_client_of_another_session_does_not_count(visit: Visit, world: World, sess_daily: SessDaily) -> None:
    lines = [visit("10:00:00", platform="PC", gcc="KR"), visit("12:00:00"), visit("12:00:00", device="e", os="IOS")]
    rows = sess_daily(world(*lines))
    assert [(r["platform"], r["os"], r["sess_ctry"]) for r in rows] == [
        ("PC", None, "KR"),
        (None, None, None),
        (None, "IOS", None),
    ]


def test_a_client_that_is_never_known_is_null(visit: Visit, world: World, sess_daily: SessDaily) -> None:
    row = only(sess_daily(world(visit("10:00:00", 7))))
    assert [row[name] for name in (*CLIENT, "sess_ctry", "user_ctry")] == [None] * 5


@pytest.mark.parametrize(
    ("lower", "higher"),
    [
        # As numbers: as text, 9 would sort after 10.
        ({"user": 9}, {"user": 10}),
        ({"user": 10}, {"user": None}),
        ({"topic": "a"}, {"topic": "b"}),
        ({"topic": "B"}, {"topic": "a"}),
        ({"topic": "z"}, {"topic": "é"}),
        ({"topic": "z"}, {"topic": None}),
        ({"topic": "a", "url": "/b"}, {"topic": "b", "url": "/a"}),
        ({"url": "/a", "params": "z"}, {"url": "/b", "params": "a"}),
        ({"params": "a", "user_info_user_key": "z"}, {"params": "b", "user_info_user_key": "a"}),
        ({"user_info_user_key": "a", "user_info_status": "z"}, {"user_info_user_key": "b", "user_info_status": "a"}),
        (
            {"user_info_status": "a", "user_info_ip_address": "z"},
            {"user_info_status": "b", "user_info_ip_address": "a"},
        ),
        (
            {"user_info_ip_address": "a", "user_info_locale": "z"},
            {"user_info_ip_address": "b", "user_info_locale": "a"},
        ),
        (
            {"user_info_locale": "a", "user_info_country": "z"},
            {"user_info_locale": "b", "user_info_country": "a"},
        ),
        (
            {"user_info_country": "a", "user_info_user_agent": "z"},
            {"user_info_country": "b", "user_info_user_agent": "a"},
        ),
        ({"user_info_user_agent": "a"}, {"user_info_user_agent": "b"}),
    ],
)
def test_lines_at_the_same_instant_are_ordered_by_rule_7(
    lower: Row, higher: Row, visit: Visit, world: World, sess_daily: SessDaily
) -> None:
    plain: Row = {"params": None}
    last = visit("10:00:00", **(plain | higher), platform="LAST")
    first = visit("10:00:00", **(plain | lower), platform="FIRST")
    # Whichever line comes first in the table.
    assert set(column(sess_daily(world(last, first)), "platform")) == {"LAST"}
    assert set(column(sess_daily(world(first, last)), "platform")) == {"LAST"}


def test_null_in_the_last_line_of_an_instant_keeps_the_previous_value(
    visit: Visit, world: World, sess_daily: SessDaily
) -> None:
    lines = [visit("10:00:00", topic="a", platform="PC", os="MAC"), visit("10:00:00", topic="b", platform="APP")]
    row = only(sess_daily(world(*lines)))
    assert (row["platform"], row["os"]) == ("APP", "MAC")


def test_the_country_is_that_of_the_connection_else_of_the_user(
    visit: Visit, world: World, sess_daily: SessDaily
) -> None:
    lines = [
        visit("10:00:00", 7, gcc="KR", user_info_country="JP"),
        visit("12:00:00", 7, user_info_country="US"),
    ]
    assert column(sess_daily(world(*lines)), "sess_ctry") == ["KR", "US"]


def test_a_users_country_is_the_last_of_the_day_on_any_device(
    visit: Visit, world: World, sess_daily: SessDaily
) -> None:
    rows = sess_daily(
        world(
            visit("10:00:00", 7, "a", gcc="KR"),
            visit("11:00:00", 7, "b", gcc="JP"),
            visit("12:00:00", 7, "a"),
            visit("13:00:00", 8, "a", gcc="US"),
        )
    )
    assert [(r["sess_id"][8:10], r["sess_ctry"], r["user_ctry"]) for r in rows] == [
        ("10", "KR", "JP"),
        ("11", "JP", "JP"),
        ("12", None, "JP"),
        ("13", "US", "US"),
    ]


def test_an_anonymous_country_is_the_last_of_the_device(visit: Visit, world: World, sess_daily: SessDaily) -> None:
    rows = sess_daily(
        world(
            visit("10:00:00", device="a"),
            visit("11:00:00", device="a", gcc="KR"),
            visit("12:00:00", 7, "a", gcc="JP"),
            visit("13:00:00", device="b", gcc="US"),
        )
    )
    assert column(rows, "user_ctry") == ["JP", "JP", "JP", "US"]


def test_a_known_user_does_not_take_the_devices_country(visit: Visit, world: World, sess_daily: SessDaily) -> None:
    rows = sess_daily(world(visit("10:00:00", device="a", gcc="KR"), visit("12:00:00", 7, "a")))
    assert column(rows, "user_ctry") == ["KR", None]


def test_of_two_devices_at_the_same_instant_the_last_line_gives_the_country(
    visit: Visit, world: World, sess_daily: SessDaily
) -> None:
    lines = [visit("10:00:00", 7, "b", gcc="JP", topic="a"), visit("10:00:00", 7, "a", gcc="KR", topic="b")]
    assert column(sess_daily(world(*lines)), "user_ctry") == ["KR", "KR"]


def test_a_country_does_not_carry_over_to_the_next_day(visit: Visit, world: World, sess_daily: SessDaily) -> None:
    rows = sess_daily(
        world(
            visit("2024-01-14T12:00:00+09:00", 7, "a", gcc="KR"),
            visit("2024-01-14T12:00:00+09:00", device="b", gcc="JP"),
            visit("2024-01-15T12:00:00+09:00", 7, "a"),
            visit("2024-01-15T12:00:00+09:00", device="b"),
        )
    )
    assert column(rows, "user_ctry") == ["KR", "JP", None, None]


# --- days -------------------------------------------------------------------------------------------------------------


def test_sessions_on_either_side_of_midnight_belong_to_their_own_days(
    visit: Visit, world: World, sess_daily: SessDaily
) -> None:
    rows = sess_daily(world(visit("2024-01-14T23:59:59+09:00", 7), visit("2024-01-15T00:00:00+09:00", 7)))
    assert [(r["key_date"], r["part_date"]) for r in rows] == [
        (dt.date(2024, 1, 14), "2024-01-14"),
        (dt.date(2024, 1, 15), "2024-01-15"),
    ]


@pytest.mark.parametrize(
    ("snapshot", "row", "columns", "before", "after"),
    [
        ("users", ACCOUNT, ("we_member_id", "wv_user_id", "is_fc"), (None, None, None), (107, 7, 1)),
        ("artists", ARTIST, ("we_art_id", "we_art_name", "is_fc"), (None, None, None), (1, "One", 1)),
        ("members", MEMBER, ("comm_id", "is_comm_user"), ("11", 0), ("11", 1)),
        ("memberships", ORDER, ("is_fc",), (0,), (1,)),
    ],
)
@pytest.mark.parametrize("day", ["2024-01-14", "2024-01-15"])
def test_snapshots_are_read_as_of_the_lines_day(
    day: str,
    snapshot: str,
    row: Row,
    columns: tuple[str, ...],
    before: tuple[Any, ...],
    after: tuple[Any, ...],
    visit: Visit,
    world: World,
    sess_daily: SessDaily,
) -> None:
    known: dict[str, Any] = {"users": [ACCOUNT], "artists": [ARTIST], "members": [MEMBER], "memberships": [ORDER]}
    known[snapshot] = [row | {"part_date": day}]
    lines = [visit(f"{d}T12:00:00+09:00", 7, comm_id="11", post_id="1-2") for d in ("2024-01-14", "2024-01-15")]
    rows = sess_daily(world(*lines, **known))
    assert {r["part_date"]: tuple(r[c] for c in columns) for r in rows} == {
        "2024-01-14": before,
        "2024-01-15": before,
    } | {day: after}


@pytest.mark.parametrize(
    ("snapshot", "row", "subject"), [("posts", POST, {"post_id": "1-2"}), ("notices", NOTICE, {"notice_id": "5"})]
)
def test_posts_and_notices_are_read_as_of_the_lines_day(
    snapshot: str, row: Row, subject: Row, visit: Visit, world: World, sess_daily: SessDaily
) -> None:
    lines = [visit(f"{d}T12:00:00+09:00", 7, **subject) for d in ("2024-01-14", "2024-01-15")]
    rows = sess_daily(world(*lines, **{snapshot: [row | {"part_date": "2024-01-15"}]}))
    assert column(rows, "comm_id") == [None, "11"]


def test_snapshots_that_change_between_days_do_not_duplicate_rows(
    visit: Visit, world: World, sess_daily: SessDaily
) -> None:
    artists = [ARTIST | {"part_date": "2024-01-14"}, ARTIST | {"part_date": "2024-01-15", "we_art_name": "Uno"}]
    lines = [visit(f"{d}T12:00:00+09:00", 7, comm_id="11") for d in ("2024-01-14", "2024-01-15")]
    rows = sess_daily(world(*lines, members=[MEMBER], artists=artists))
    assert [(r["part_date"], r["we_art_name"]) for r in rows] == [("2024-01-14", "One"), ("2024-01-15", "Uno")]


# --- random worlds ----------------------------------------------------------------------------------------------------


def compare(
    data: st.DataObject, worlds: st.SearchStrategy[Any], sess_daily: SessDaily, expected: Callable[[Any], list[Row]]
) -> None:
    drawn = data.draw(worlds)
    rows = Counter(tuple((k, v) for k, v in row.items() if k != "run_timestamp") for row in sess_daily(drawn))
    assert rows == Counter(tuple(row.items()) for row in expected(drawn))


QUIET = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@settings(QUIET, max_examples=examples(50, 300))
@given(data=st.data())
def test_rows_of_a_random_world_match_the_reference(
    data: st.DataObject,
    worlds: st.SearchStrategy[Any],
    sess_daily: SessDaily,
    sess_daily_expected: Callable[[Any], list[Row]],
) -> None:
    compare(data, worlds, sess_daily, sess_daily_expected)
