"""The members of each community by day (tables.md 3.1): rule by rule, and random histories against a rebuild."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wemart_assets_tests.examples import examples
from wemart_assets_tests.marts.communities import (
    DAYS,
    PUSH_FLAGS,
    WV1_ALARMS,
    Bench,
    Days,
    History,
    Row,
    at,
    changes,
    histories,
    history,
    members_reference,
    profile,
    run_base,
    run_members,
    status,
    without_duplicate_keys,
)

FIRST, SECOND, THIRD, LAST = DAYS

Member = Callable[..., list[Any]]


def members(bench: Bench, of: History) -> Days:
    """wv_comm_user of all days, computed from a history."""
    return run_members(bench, of, run_base(bench, of, DAYS), DAYS)


@pytest.fixture
def member(bench: Bench) -> Member:
    """By day, the row of user 7 in community 11 (or the values of some columns), or None if there is no row."""

    def run(*facts: Row, show: str | tuple[str, ...] = (), timezone: str = "Asia/Seoul", **snapshots: Any) -> list[Any]:
        days = members(bench, history(*facts, timezone=timezone, **snapshots))
        rows = [days[day].get((11, 7)) for day in DAYS]
        if isinstance(show, str):
            return [row and row[show] for row in rows]
        return [row and tuple(row[name] for name in show) for row in rows] if show else rows

    return run


JOINED = profile("2024-02-01T10:00")
SUBSCRIBED = status("subscribe", "2024-02-01T10:00")


def account(**columns: Any) -> Row:
    return {"we_member_id": 107, "wv_user_id": 7, "wv_status": "NORMAL", "wv_leave_dt": None} | columns


def account_that_leaves(instant: str) -> list[Row]:
    """A snapshot shows a leave from its day onwards."""
    gone = at(instant)
    return [
        account(part_date=day)
        | ({"wv_status": "DELETED", "wv_leave_dt": gone} if gone < at(f"{day}T00:00") + dt.timedelta(days=1) else {})
        for day in DAYS
    ]


# --- 1 and 2: basic columns, joins ------------------------------------------------------------------------------------


def test_a_member_with_only_a_profile_has_these_defaults(member: Member) -> None:
    [row, *_] = member(JOINED)
    joined = at("2024-02-01T10:00")
    assert row == {
        "key_date": dt.date(2024, 3, 1),
        "wv_user_id": 7,
        "we_member_id": None,
        "comm_id": 11,
        "we_art_id": None,
        "we_art_name": None,
        "is_fc": 0,
        "fc_id": None,
        "art_indi_id": None,
        "art_indi_type": None,
        "art_indi_name": None,
        "ip_ctry": None,
        "wv_user_status": None,
        "comm_user_first_dt": joined,
        "tot_comm_user_first_dt": joined,
        "is_first_user_comm": 1,
        "comm_user_status": "NORMAL",
        "comm_user_grade": "FAN",
        "comm_user_cre_dt": joined,
        "comm_user_end_dt": None,
        "is_profile_created": 1,
        "profile_name": None,
        "is_profile_private": 0,
        "is_upload_profile_img": 0,
        "is_upload_profile_background_img": 0,
        "is_official": 0,
        "comm_user_id": "11-7",
        "cnt_comm_user_id": 1,
        "sum_report_count": 0,
        "comm_user_seq": None,
        "notification_type": "ALL",
        **dict.fromkeys(WV1_ALARMS),
        **dict.fromkeys(PUSH_FLAGS, 0),
        "v_ch_join_dt": None,
        "is_v_user": 0,
        "part_comm_id": 11,
        "part_date": FIRST,
    }


def test_account_artist_and_status_are_as_of_the_day(member: Member) -> None:
    rows = member(
        JOINED,
        show=("we_member_id", "wv_user_status", "is_v_user", "we_art_id", "we_art_name"),
        users=[
            account(part_date=FIRST),
            account(part_date=SECOND, wv_status="SLEEPING", vlive_id=5),
            account(part_date=THIRD, wv_user_id=8),
        ],
        artists=[
            {"part_date": FIRST, "we_art_id": 1, "we_art_name": "One", "comm_id": 11},
            {"part_date": SECOND, "we_art_id": 2, "we_art_name": None, "comm_id": 11},
            {"part_date": THIRD, "we_art_id": 1, "we_art_name": "One", "comm_id": None},
        ],
    )
    assert rows == [
        (107, "NORMAL", 0, 1, "One"),
        (107, "SLEEPING", 1, 2, None),
        *[(None, None, 0, None, None)] * 2,
    ]


FIRST_INSTANTS = {
    "migration": "2024-01-01T00:00",
    "first join": "2024-01-02T00:00",
    "first version": "2024-01-03T00:00",
    "last join": "2024-01-04T00:00",
}


@pytest.mark.parametrize("known", [list(FIRST_INSTANTS)[n:] for n in range(4)], ids=lambda known: known[0])
@pytest.mark.parametrize("later", ["2024-01-01T00:00", "2024-01-10T00:00"])
def test_the_first_join_is_the_earliest_known(member: Member, known: list[str], later: str) -> None:
    """Each source in turn is the earliest; those before it have no instant or a later one."""
    said = {
        name: FIRST_INSTANTS[name] if name in known else (None if later < "2024-01-02" else later)
        for name in FIRST_INSTANTS
    }
    rows = member(
        profile("2024-01-20T10:00", said["last join"], said["first join"]),
        show="comm_user_first_dt",
        migrations=[
            {"community_id": 11, "user_id": 7, "created_at": said["migration"] and at(said["migration"])},
        ],
        first_version=[
            {
                "comm_id": 11,
                "wv_user_id": 7,
                "comm_user_first_dt": said["first version"] and at(said["first version"]),
            }
        ],
    )
    assert rows == [at(FIRST_INSTANTS[known[0]])] * 4


def test_a_first_join_known_only_from_an_older_profile_is_kept(member: Member) -> None:
    rows = member(
        profile("2024-03-01T10:00", first="2024-02-01T10:00"),
        profile("2024-03-02T10:00", "2024-03-01T10:00"),
        profile("2024-03-03T10:00", "2024-03-01T10:00", first="2024-02-20T10:00"),
        show="comm_user_first_dt",
    )
    assert rows == [at("2024-02-01T10:00")] * 4


def test_a_last_join_before_the_first_join_becomes_the_first_join(member: Member) -> None:
    [row, *_] = member(
        profile("2024-02-02T10:00", "2024-02-01T10:00", "2024-02-02T10:00"),
        show=("comm_user_first_dt", "comm_user_cre_dt"),
    )
    assert row == (at("2024-02-01T10:00"), at("2024-02-01T10:00"))


def test_first_joins_of_other_pairs_do_not_count(member: Member) -> None:
    earlier = at("2020-01-01T10:00")
    rows = member(
        JOINED,
        profile("2024-02-01T10:00", "2024-02-01T10:00", "2020-01-01T10:00", user=8),
        show="comm_user_first_dt",
        migrations=[{"community_id": 12, "user_id": 7, "created_at": earlier}],
        first_version=[{"comm_id": 11, "wv_user_id": 8, "comm_user_first_dt": earlier}],
    )
    assert rows == [at("2024-02-01T10:00")] * 4


def test_the_channel_join_of_a_migrated_member_is_the_first_join(member: Member) -> None:
    first = "2024-01-01T10:00"
    migrated = {"community_id": 11, "user_id": 7, "created_at": None}
    joined = profile("2024-02-01T10:00", first=first)
    assert member(joined, show="v_ch_join_dt")[0] is None
    assert member(joined, show="v_ch_join_dt", migrations=[migrated]) == [at(first)] * 4
    assert member(joined, show="v_ch_join_dt", migrations=[migrated | {"user_id": 8}])[0] is None
    assert member(JOINED, show="v_ch_join_dt", migrations=[migrated])[0] is None


# --- 3: the first join of any community -------------------------------------------------------------------------------

TOTAL = ("tot_comm_user_first_dt", "is_first_user_comm")


def test_the_first_community_is_the_one_joined_first(bench: Bench) -> None:
    [day, *_] = members(bench, history(JOINED, profile("2024-02-02T10:00", comm=12))).values()
    assert {pair: tuple(row[name] for name in TOTAL) for pair, row in day.items()} == {
        (11, 7): (at("2024-02-01T10:00"), 1),
        (12, 7): (at("2024-02-01T10:00"), 0),
    }


def test_two_communities_joined_at_the_same_instant_are_both_first(bench: Bench) -> None:
    [day, *_] = members(bench, history(JOINED, profile("2024-02-01T10:00", comm=12))).values()
    assert [row["is_first_user_comm"] for row in day.values()] == [1, 1]


def test_a_community_that_was_left_counts_for_the_first_join_of_all(member: Member) -> None:
    rows = member(
        JOINED,
        profile("2023-01-01T10:00", comm=12),
        status("unsubscribe", "2023-02-01T10:00", comm=12),
        show=TOTAL,
    )
    assert rows == [(at("2023-01-01T10:00"), 0)] * 4


def test_a_community_without_a_profile_counts_by_its_other_instants(member: Member) -> None:
    rows = member(
        JOINED,
        status("subscribe", "2022-01-01T10:00", comm=12),
        show=TOTAL,
        migrations=[{"community_id": 12, "user_id": 7, "created_at": at("2023-01-01T10:00")}],
    )
    assert rows == [(at("2023-01-01T10:00"), 0)] * 4


def test_the_first_join_in_the_first_version_counts(member: Member) -> None:
    first = [
        {"comm_id": comm, "wv_user_id": 7, "tot_comm_user_first_dt": total}
        for comm, total in ((11, None), (12, at("2019-06-10T12:00")), (13, at("2019-06-11T12:00")))
    ]
    assert member(JOINED, show=TOTAL, first_version=first) == [(at("2019-06-10T12:00"), 0)] * 4


def test_a_later_first_join_in_the_first_version_does_not_count(member: Member) -> None:
    first = [{"comm_id": 11, "wv_user_id": 7, "tot_comm_user_first_dt": at("2024-02-02T10:00")}]
    assert member(JOINED, show=TOTAL, first_version=first) == [(at("2024-02-01T10:00"), 1)] * 4


def test_first_joins_of_other_users_do_not_count(member: Member) -> None:
    assert member(JOINED, profile("2020-01-01T10:00", user=8), show="is_first_user_comm") == [1] * 4


# --- 4 and 5: membership and status -----------------------------------------------------------------------------------

STATE = ("comm_user_status", "comm_user_end_dt")
THERE = ("NORMAL", None)


def test_a_member_appears_on_the_day_of_joining(member: Member) -> None:
    assert member(profile("2024-03-02T00:00"), show=STATE) == [None, THERE, THERE, THERE]
    assert member(profile("2024-03-01T23:59:59.999"), show=STATE) == [THERE] * 4


def test_a_profile_written_before_its_join_waits_for_the_join(member: Member) -> None:
    assert member(profile("2024-03-01T10:00", "2024-03-03T00:00"), show=STATE) == [None, None, THERE, THERE]


def test_a_pair_without_a_profile_is_not_a_member(member: Member) -> None:
    assert member(SUBSCRIBED, users=[account()]) == [None] * 4


@pytest.mark.parametrize(
    "left", ["2024-03-02T00:00", "2024-03-02T08:59:59.999", "2024-03-02T09:00", "2024-03-02T23:59"]
)
def test_a_leaver_is_present_on_the_day_of_leaving_and_gone_the_next(member: Member, left: str) -> None:
    """09:00 in Seoul is midnight in UTC."""
    rows = member(JOINED, SUBSCRIBED, status("unsubscribe", left), show=STATE)
    assert rows == [THERE, ("DEACTIVATED", at(left)), None, None]


@pytest.mark.parametrize(
    ("left", "there"),
    [("2024-03-02T04:59:59.999999+00:00", 1), ("2024-03-02T05:00:00+00:00", 2), ("2024-03-03T04:59:59+00:00", 2)],
)
def test_the_day_of_leaving_is_in_the_business_timezone(member: Member, left: str, there: int) -> None:
    rows = member(JOINED, status("unsubscribe", left), show=STATE, timezone="America/New_York")
    left_on = [THERE, THERE, THERE, THERE]
    left_on[there - 1 :] = [("DEACTIVATED", at(left)), *[None] * (4 - there)]
    assert rows == left_on


def test_a_member_who_joins_and_leaves_on_a_day_is_present_that_day(member: Member) -> None:
    rows = member(profile("2024-03-02T10:00"), status("unsubscribe", "2024-03-02T10:00:00.001"), show=STATE)
    assert rows == [None, ("DEACTIVATED", at("2024-03-02T10:00:00.001")), None, None]


def test_subscribing_and_unsubscribing_at_the_same_instant_is_a_leave(member: Member) -> None:
    rows = member(
        JOINED, status("unsubscribe", "2024-03-02T10:00"), status("subscribe", "2024-03-02T10:00"), show=STATE
    )
    assert rows == [THERE, ("DEACTIVATED", at("2024-03-02T10:00")), None, None]


def test_unsubscribing_at_the_instant_of_the_last_join_is_a_leave(member: Member) -> None:
    rows = member(profile("2024-03-02T10:00"), status("unsubscribe", "2024-03-02T10:00"), show=STATE)
    assert rows == [None, ("DEACTIVATED", at("2024-03-02T10:00")), None, None]


def test_an_unsubscribe_before_the_last_join_has_no_effect(member: Member) -> None:
    rows = member(profile("2024-03-02T10:00"), status("unsubscribe", "2024-03-02T09:59:59.999"), show=STATE)
    assert rows == [None, THERE, THERE, THERE]


def test_rejoining_on_the_day_of_leaving_is_not_a_leave(member: Member) -> None:
    rows = member(
        JOINED,
        SUBSCRIBED,
        status("unsubscribe", "2024-03-02T10:00"),
        status("subscribe", "2024-03-02T11:00"),
        profile("2024-03-02T11:00"),
        show=(*STATE, "comm_user_cre_dt"),
    )
    first, again = at("2024-02-01T10:00"), at("2024-03-02T11:00")
    assert rows == [(*THERE, first), *[(*THERE, again)] * 3]


def test_a_rejoining_member_keeps_the_first_join_and_gets_a_new_last_join(member: Member) -> None:
    rows = member(
        profile("2024-02-01T10:00", first="2024-02-01T10:00"),
        SUBSCRIBED,
        status("unsubscribe", "2024-03-01T10:00"),
        status("subscribe", "2024-03-03T10:00"),
        profile("2024-03-03T10:00", first="2024-02-01T10:00"),
        show=("comm_user_status", "comm_user_first_dt", "comm_user_cre_dt"),
    )
    first, again = at("2024-02-01T10:00"), at("2024-03-03T10:00")
    back = ("NORMAL", first, again)
    assert rows == [("DEACTIVATED", first, first), None, back, back]


def test_a_rejoin_without_a_status_line_is_seen_in_the_profile(member: Member) -> None:
    rows = member(JOINED, status("unsubscribe", "2024-03-01T10:00"), profile("2024-03-03T10:00"), show=STATE)
    assert rows == [("DEACTIVATED", at("2024-03-01T10:00")), None, THERE, THERE]


def test_a_profile_edit_after_leaving_is_not_a_rejoin(member: Member) -> None:
    rows = member(
        JOINED,
        status("unsubscribe", "2024-03-01T10:00"),
        profile("2024-03-02T10:00", "2024-02-01T10:00", profile_name="edited"),
        show=STATE,
    )
    assert rows == [("DEACTIVATED", at("2024-03-01T10:00")), None, None, None]


@pytest.mark.parametrize("left", ["2024-03-02T00:00", "2024-03-02T23:59:59.999"])
def test_a_deleted_account_is_present_that_day_and_gone_the_next(member: Member, left: str) -> None:
    rows = member(JOINED, SUBSCRIBED, users=account_that_leaves(left), show=(*STATE, "wv_user_status"))
    assert rows == [(*THERE, "NORMAL"), ("WV_DEACTIVATED", at(left), "DELETED"), None, None]


def test_leaving_weverse_and_the_community_on_one_day_is_leaving_weverse(member: Member) -> None:
    unsubscribed = status("unsubscribe", "2024-03-02T10:00")
    rows = member(JOINED, unsubscribed, users=account_that_leaves("2024-03-02T12:00"), show=STATE)
    assert rows == [THERE, ("WV_DEACTIVATED", at("2024-03-02T10:00")), None, None]


def test_leaving_weverse_after_leaving_the_community_changes_nothing(member: Member) -> None:
    unsubscribed = status("unsubscribe", "2024-03-02T10:00")
    rows = member(JOINED, unsubscribed, users=account_that_leaves("2024-03-03T00:00"), show=STATE)
    assert rows == [THERE, ("DEACTIVATED", at("2024-03-02T10:00")), None, None]


def test_an_unsubscribe_after_leaving_weverse_brings_nobody_back(member: Member) -> None:
    unsubscribed = status("unsubscribe", "2024-03-03T10:00")
    rows = member(JOINED, unsubscribed, users=account_that_leaves("2024-03-02T10:00"), show=STATE)
    assert rows == [THERE, ("WV_DEACTIVATED", at("2024-03-02T10:00")), None, None]


def test_a_join_after_leaving_weverse_on_the_same_day_has_no_end(member: Member) -> None:
    """The account is gone nevertheless: rule 5 considers its leave as well as the end."""
    rows = member(profile("2024-03-02T10:00"), users=account_that_leaves("2024-03-02T09:59:59.999"), show=STATE)
    assert rows == [None, ("WV_DEACTIVATED", None), None, None]


def test_leaving_weverse_at_the_instant_of_the_join_ends_it(member: Member) -> None:
    rows = member(profile("2024-03-02T10:00"), users=account_that_leaves("2024-03-02T10:00"), show=STATE)
    assert rows == [None, ("WV_DEACTIVATED", at("2024-03-02T10:00")), None, None]


def test_a_leave_of_weverse_announced_for_later_keeps_the_member(member: Member) -> None:
    gone = at("2024-03-03T10:00")
    rows = member(JOINED, users=[account(wv_leave_dt=gone)], show=STATE)
    assert rows == [("NORMAL", gone), ("NORMAL", gone), ("WV_DEACTIVATED", gone), None]


def test_an_account_that_returns_to_weverse_is_a_member_again(member: Member) -> None:
    users = [account(part_date=SECOND, wv_leave_dt=at("2024-03-01T10:00")), account(part_date=THIRD)]
    assert member(JOINED, users=users, show=STATE) == [THERE, None, THERE, THERE]


def test_the_leave_of_another_account_does_not_count(member: Member) -> None:
    users = [account(wv_user_id=8, wv_leave_dt=at("2024-03-01T10:00")), account(we_member_id=108)]
    assert member(JOINED, users=users, show=STATE) == [THERE] * 4


# --- 1 and 4: joins counted -------------------------------------------------------------------------------------------


def test_joins_are_counted_and_the_last_status_line_has_its_ordinal(member: Member) -> None:
    rows = member(
        JOINED,
        SUBSCRIBED,
        status("unsubscribe", "2024-02-02T10:00"),
        status("subscribe", "2024-02-03T10:00"),
        status("unsubscribe", "2024-02-04T10:00"),
        status("subscribe", "2024-03-01T10:00"),
        status("unsubscribe", "2024-03-02T10:00"),
        status("subscribe", "2024-03-02T11:00"),
        status("unsubscribe", "2024-03-03T10:00"),
        profile("2024-03-02T11:00"),
        show=("cnt_comm_user_id", "comm_user_seq"),
    )
    assert rows == [(3, 3), (4, 4), (4, 4), None]


def test_a_member_without_a_subscribe_line_has_joined_once(member: Member) -> None:
    rows = member(JOINED, status("unsubscribe", "2024-03-02T10:00"), show=("cnt_comm_user_id", "comm_user_seq"))
    assert rows[:2] == [(1, None), (1, 1)]


# --- 6: artists -------------------------------------------------------------------------------------------------------

ARTIST = ("comm_user_grade", "art_indi_id", "art_indi_type", "art_indi_name", "is_official")


def special(kind: str | None = "ARTIST", **columns: Any) -> list[Row]:
    return [{"community_id": 11, "user_id": 7, "special_member_type": kind} | columns]


@pytest.mark.parametrize("kind", ["ARTIST", "OTHER_COMMUNITY_ARTIST"])
def test_a_special_member_has_the_grade_of_its_kind(member: Member, kind: str) -> None:
    [row, *_] = member(JOINED, show=ARTIST, specials=special(kind, is_official=1))
    assert row == (kind, "11-7", kind, None, 1)


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        ({"ko": "하나", "en": "One", "jp": "一"}, "하나"),
        ({"en": "One", "jp": "一"}, "One"),
        ({"jp": "一"}, "一"),
        ({"ko": "하나", "jp": "一"}, "하나"),
        ({}, None),
    ],
)
def test_the_official_name_is_korean_else_english_else_japanese(
    member: Member, names: dict[str, str], shown: str | None
) -> None:
    columns = {f"official_name_{language}": name for language, name in names.items()}
    assert member(JOINED, show="art_indi_name", specials=special(**columns)) == [shown] * 4


def test_a_special_member_of_one_community_is_a_fan_in_another(bench: Bench) -> None:
    [day, *_] = members(bench, history(JOINED, profile("2024-02-01T10:00", comm=12), specials=special())).values()
    assert [row["comm_user_grade"] for row in day.values()] == ["ARTIST", "FAN"]


def test_a_fan_listed_among_the_special_members_stays_a_fan(member: Member) -> None:
    [row, *_] = member(JOINED, show=ARTIST, specials=special(None, official_name_ko="하나", is_official=1))
    assert row == ("FAN", None, None, None, 1)


def test_a_special_member_is_one_from_the_day_of_the_snapshot(member: Member) -> None:
    specials = [row | {"part_date": day} for row in special() for day in DAYS[2:]]
    assert member(JOINED, show="comm_user_grade", specials=specials) == ["FAN", "FAN", "ARTIST", "ARTIST"]


# --- 7: memberships ---------------------------------------------------------------------------------------------------

KNOWN: dict[str, Any] = {
    "users": [account()],
    "artists": [{"we_art_id": 1, "we_art_name": "One", "comm_id": 11}],
    "show": ("is_fc", "fc_id"),
}


def order(fc_id: int = 1, **columns: Any) -> Row:
    return {
        "we_member_id": 107,
        "we_art_id": 1,
        "fc_id": fc_id,
        "create_dt": at("2024-01-01T10:00"),
        "start_dt": at("2024-01-01T10:00"),
        "end_dt": None,
        "ord_status": "PAID",
        "is_cx_by_restore": 0,
    } | columns


HELD, NOT_HELD = (1, 1), (0, None)


def test_a_membership_is_held_from_its_start_day_to_its_end_day(member: Member) -> None:
    runs = order(start_dt=at("2024-03-02T23:59:59.999"), end_dt=at("2024-03-03T00:00"))
    assert member(JOINED, memberships=[runs], **KNOWN) == [NOT_HELD, HELD, HELD, NOT_HELD]


def test_a_membership_within_one_day_is_held_on_that_day(member: Member) -> None:
    runs = order(start_dt=at("2024-03-02T00:00"), end_dt=at("2024-03-02T23:59:59.999"))
    assert member(JOINED, memberships=[runs], **KNOWN) == [NOT_HELD, HELD, NOT_HELD, NOT_HELD]


@pytest.mark.parametrize("unknown", ["ord_status", "is_cx_by_restore", "end_dt"])
def test_a_membership_with_an_unknown_field_is_held(member: Member, unknown: str) -> None:
    assert member(JOINED, memberships=[order(**{unknown: None})], **KNOWN) == [HELD] * 4


@pytest.mark.parametrize(
    "other",
    [
        {"ord_status": "PAYMENT_FAILED"},
        {"is_cx_by_restore": 1},
        {"we_member_id": 108},
        {"we_art_id": 2},
        {"part_date": "2024-02-29"},
    ],
    ids=lambda other: "-".join(other),
)
def test_an_order_that_fails_one_condition_is_not_held(member: Member, other: Row) -> None:
    assert member(JOINED, memberships=[order(**other)], **KNOWN) == [NOT_HELD] * 4


def test_a_membership_restored_under_another_order_is_held(member: Member) -> None:
    cancelled, restored = order(1, is_cx_by_restore=1), order(2, create_dt=at("2024-01-02T10:00"))
    assert member(JOINED, memberships=[cancelled, restored], **KNOWN) == [(1, 2)] * 4


def test_a_renewed_membership_shows_the_newest_one_held(member: Member) -> None:
    old = order(9, end_dt=at("2024-03-02T10:00"))
    renewed = order(5, create_dt=at("2024-02-20T10:00"), start_dt=at("2024-03-02T10:00"))
    failed = order(7, create_dt=at("2024-02-21T10:00"), ord_status="PAYMENT_FAILED")
    assert member(JOINED, memberships=[old, renewed, failed], **KNOWN) == [(1, 9), (1, 5), (1, 5), (1, 5)]


@pytest.mark.parametrize("fc_ids", [(2, 10), (10, 2)])
def test_of_memberships_bought_at_the_same_instant_the_greatest_id_is_shown(
    member: Member, fc_ids: tuple[int, int]
) -> None:
    assert member(JOINED, memberships=[order(fc_id) for fc_id in fc_ids], **KNOWN) == [(1, 10)] * 4


def test_a_member_without_a_known_account_or_artist_holds_no_membership(member: Member) -> None:
    orders = [order()]
    assert member(JOINED, memberships=orders, **KNOWN | {"users": []}) == [NOT_HELD] * 4
    assert member(JOINED, memberships=orders, **KNOWN | {"artists": []}) == [NOT_HELD] * 4


# --- 8: country, pictures, reports ------------------------------------------------------------------------------------


def period(ctry: str | None, seq: int, start: int | None = None, end: int | None = None, **columns: Any) -> Row:
    """A country that is valid from one day of March to another."""
    return {
        "wv_user_id": 7,
        "ip_ctry": ctry,
        "start_date": start and dt.date(2024, 3, start),
        "end_date": end and dt.date(2024, 3, end),
        "seq": seq,
    } | columns


def test_a_country_is_valid_from_its_first_day_to_its_last(member: Member) -> None:
    assert member(JOINED, show="ip_ctry", countries=[period("KR", 1, 2, 3)]) == [None, "KR", "KR", None]


def test_a_country_period_may_be_open_at_either_end(member: Member) -> None:
    assert member(JOINED, show="ip_ctry", countries=[period("KR", 1)]) == ["KR"] * 4
    countries = [period("KR", 1, 3), period("US", 2, None, 2)]
    assert member(JOINED, show="ip_ctry", countries=countries) == ["US", "US", "KR", "KR"]


def test_the_valid_country_with_the_lowest_number_is_shown(member: Member) -> None:
    countries = [period("JP", 10), period("US", 2), period("KR", 1, 3, 3)]
    assert member(JOINED, show="ip_ctry", countries=countries) == ["US", "US", "KR", "US"]


def test_an_unknown_country_with_the_lowest_number_stays_unknown(member: Member) -> None:
    assert member(JOINED, show="ip_ctry", countries=[period(None, 1), period("US", 2)]) == [None] * 4


def test_the_country_is_that_of_the_user_on_the_day(member: Member) -> None:
    countries = [period("JP", 1, wv_user_id=8), period("KR", 1, part_date=SECOND), period("US", 1, part_date=THIRD)]
    assert member(JOINED, show="ip_ctry", countries=countries) == [None, "KR", "US", None]


@pytest.mark.parametrize(("hidden", "private"), [("true", 1), ("false", 0), ("TRUE", 0), ("", 0), (None, 0)])
def test_a_hidden_profile_is_private(member: Member, hidden: str | None, private: int) -> None:
    [shown, *_] = member(profile("2024-02-01T10:00", hidden=hidden), show="is_profile_private")
    assert shown == private


def test_profile_and_background_images_have_separate_flags(member: Member) -> None:
    show = ("is_upload_profile_img", "is_upload_profile_background_img")
    assert member(profile("2024-02-01T10:00", profile_image_url="p"), show=show)[0] == (1, 0)
    assert member(profile("2024-02-01T10:00", profile_cover_image_url="c"), show=show)[0] == (0, 1)


def test_a_profile_edit_shows_from_its_day_onwards(member: Member) -> None:
    rows = member(
        profile("2024-02-01T10:00", profile_name="old", profile_image_url="p"),
        profile("2024-03-03T10:00", "2024-02-01T10:00", profile_name="new", hidden="true"),
        show=("profile_name", "is_upload_profile_img", "is_profile_private", "comm_user_cre_dt"),
    )
    joined = at("2024-02-01T10:00")
    assert rows == [*[("old", 1, 0, joined)] * 2, *[("new", 0, 1, joined)] * 2]


def test_reports_are_counted_for_the_member_as_of_the_day(member: Member) -> None:
    reports = [
        {"community_id": 11, "user_id": 7, "report_count": 3, "part_date": FIRST},
        {"community_id": 11, "user_id": 7, "report_count": None, "part_date": SECOND},
        {"community_id": 12, "user_id": 7, "report_count": 5},
        {"community_id": 11, "user_id": 8, "report_count": 7},
    ]
    assert member(JOINED, show="sum_report_count", reports=reports) == [3, 0, 0, 0]


# --- 9: notifications -------------------------------------------------------------------------------------------------


def switch(key: str, value: str | None, **columns: Any) -> Row:
    return {"community_id": 11, "user_id": 7, "config_key": key, "value": value} | columns


@pytest.mark.parametrize("flag", PUSH_FLAGS)
def test_an_enabled_notification_sets_only_its_own_flag(member: Member, flag: str) -> None:
    [row, *_] = member(JOINED, pushes=[switch(flag, "true")])
    assert [name for name in PUSH_FLAGS if row[name]] == [flag]
    assert {row[name] for name in PUSH_FLAGS} == {0, 1}


def test_disabled_notifications_set_no_flag(member: Member) -> None:
    pushes = [
        switch(PUSH_FLAGS[0], "false"),
        switch(PUSH_FLAGS[1], "TRUE"),
        switch(PUSH_FLAGS[2], None),
        switch("unknown_push_enabled", "true"),
        switch(PUSH_FLAGS[3], "true", user_id=8),
        switch(PUSH_FLAGS[4], "true", community_id=12),
        switch(PUSH_FLAGS[5], "true", part_date=SECOND),
    ]
    first, second, *_ = member(JOINED, pushes=pushes)
    assert [name for name in PUSH_FLAGS if first[name]] == []
    assert [name for name in PUSH_FLAGS if second[name]] == [PUSH_FLAGS[5]]


def test_a_member_with_all_information_has_one_row(bench: Bench) -> None:
    """Renewals, countries and notifications do not duplicate the row."""
    of = history(
        JOINED,
        SUBSCRIBED,
        users=KNOWN["users"],
        artists=KNOWN["artists"],
        memberships=[order(n) for n in (1, 2, 3)],
        countries=[period("KR", 1), period("US", 2)],
        pushes=[switch(flag, "true") for flag in PUSH_FLAGS],
        first_version=[{"comm_id": comm, "wv_user_id": 7} for comm in (11, 12)],
    )
    assert {day: list(rows) for day, rows in members(bench, of).items()} == {day: [(11, 7)] for day in DAYS}


# --- random histories -------------------------------------------------------------------------------------------------

QUIET = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def compare(bench: Bench, of: History, alone: str) -> None:
    """All days in one run, and one of them in a separate run."""
    expected = {day: members_reference(of, day) for day in DAYS}
    base = run_base(bench, of, DAYS)
    assert run_members(bench, of, base, DAYS) == expected
    assert run_members(bench, of, base, [alone]) == {alone: expected[alone]}


def compare_late_change(bench: Bench, of: History, late: Row, day: str) -> None:
    base = run_base(bench, of, DAYS)
    early = run_members(bench, of, base, DAYS)
    again, whole = DAYS[DAYS.index(day) :], without_duplicate_keys(of.with_facts(late))
    before = list(base[DAYS[DAYS.index(day) - 1]].values()) if day != FIRST else []
    found = early | run_members(bench, whole, run_base(bench, whole, *([one] for one in again), before=before), again)
    assert found == {day: members_reference(whole, day) for day in DAYS}


@st.composite
def late_changes(draw: st.DrawFn) -> tuple[str, Row]:
    day = draw(st.sampled_from(DAYS))
    return day, draw(changes(day))


@settings(QUIET, max_examples=examples(15, 60))
@given(of=histories(), alone=st.sampled_from(DAYS))
def test_members_of_a_random_history_match_a_plain_rebuild(bench: Bench, of: History, alone: str) -> None:
    compare(bench, of, alone)


@settings(QUIET, max_examples=examples(8, 60))
@given(of=histories(), late=late_changes())
def test_members_after_a_late_change_match_a_plain_rebuild(bench: Bench, of: History, late: tuple[str, Row]) -> None:
    day, change = late
    compare_late_change(bench, of, change, day)
