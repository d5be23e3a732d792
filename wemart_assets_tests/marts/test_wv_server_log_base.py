"""wv_server_log_base: sessions, their users, and fields parsed from url, params and user agent (tables.md 2.1)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

Row = dict[str, Any]
Line = Callable[..., Row]
Base = Callable[..., list[Row]]

UTC = dt.UTC
NEW_YORK = "America/New_York"
LORD_HOWE = "Australia/Lord_Howe"
SANTIAGO = "America/Santiago"


def only(rows: list[Row]) -> Row:
    assert len(rows) == 1
    return rows[0]


def column(rows: list[Row], name: str) -> list[Any]:
    return [row[name] for row in rows]


def by_tag(rows: list[Row], name: str) -> dict[str, Any]:
    """The column's value of each line, by the locale, which the test uses as the line's name."""
    return {row["user_info_locale"]: row[name] for row in rows}


# --- instants, ids, lines that count ----------------------------------------------------------------------------------


def test_an_instant_keeps_its_milliseconds(line: Line, base: Base) -> None:
    row = only(base(line(1_705_280_400_123)))
    assert row["log_dt"] == dt.datetime(2024, 1, 15, 1, 0, 0, 123_000, tzinfo=UTC)


def test_day_and_hour_are_in_the_business_timezone(line: Line, base: Base) -> None:
    rows = base(line("2024-01-14T14:59:59.999Z"), line("2024-01-14T15:00:00.000Z"))
    assert [(r["date_id"], r["hour"]) for r in rows] == [("2024-01-14", "23"), ("2024-01-15", "00")]


def test_user_zero_is_no_user(line: Line, base: Base) -> None:
    row = only(base(line("10:00:00", user=0)))
    assert (row["user_info_id"], row["user_id_fill"]) == (None, None)


def test_a_user_is_the_text_of_its_number(line: Line, base: Base) -> None:
    row = only(base(line("10:00:00", user=2_147_483_648)))
    assert (row["user_info_id"], row["user_id_fill"]) == ("2147483648", "2147483648")


def test_equal_lines_are_all_kept(line: Line, base: Base) -> None:
    same = line("10:00:00", user=7, url="/home", topic="t")
    assert len(base(same, same, same)) == 3


@pytest.mark.parametrize("device", [None, ""])
def test_a_line_without_a_device_is_left_out(device: str | None, line: Line, base: Base) -> None:
    rows = base(line("10:00:00", device=device, user_info_user_key="k"), line("10:01:00"))
    assert column(rows, "user_info_device_id") == ["d"]


@pytest.mark.parametrize("device", [None, ""])
@pytest.mark.parametrize("key", ["consumer_id", "_consumer_id"])
def test_a_tv_app_without_a_device_uses_its_user_key_as_device(
    device: str | None, key: str, line: Line, base: Base
) -> None:
    row = only(base(line("10:00:00.000", device=device, params={key: "tvApp"}, user_info_user_key="k")))
    assert (row["user_info_device_id"], row["sess_id"]) == ("U_k", "20240115100000000|U_k")


def test_a_tv_app_with_neither_device_nor_user_key_is_left_out(line: Line, base: Base) -> None:
    assert base(line("10:00:00", device=None, params={"consumer_id": "tvApp"})) == []


def test_a_tv_app_with_a_device_keeps_it(line: Line, base: Base) -> None:
    row = only(base(line("10:00:00", params={"consumer_id": "tvApp"}, user_info_user_key="k")))
    assert row["user_info_device_id"] == "d"


@pytest.mark.parametrize("consumer", ["web", "TVAPP", "tvosApp"])
def test_another_consumer_without_a_device_is_left_out(consumer: str, line: Line, base: Base) -> None:
    assert base(line("10:00:00", device=None, params={"consumer_id": consumer}, user_info_user_key="k")) == []


def test_an_underscored_consumer_does_not_override_the_plain_one(line: Line, base: Base) -> None:
    both = {"consumer_id": "web", "_consumer_id": "tvApp"}
    assert base(line("10:00:00", device=None, params=both, user_info_user_key="k")) == []


@pytest.mark.parametrize("params", [None, "", "no JSON", "[]", '"tvApp"'])
def test_a_line_with_neither_device_nor_readable_params_is_left_out(params: str | None, line: Line, base: Base) -> None:
    assert base(line("10:00:00", device=None, params=params, user_info_user_key="k")) == []


def test_lines_of_one_tv_user_belong_to_one_device(line: Line, base: Base) -> None:
    tv: Row = {"device": None, "params": {"consumer_id": "tvApp"}}
    rows = base(
        line("10:00:00.000", user_info_user_key="k", **tv),
        line("10:10:00.000", user_info_user_key="l", **tv),
        line("10:20:00.000", user_info_user_key="k", **tv),
    )
    assert column(rows, "sess_id") == ["20240115100000000|U_k", "20240115101000000|U_l", "20240115100000000|U_k"]


def test_without_lines_there_are_no_rows(base: Base) -> None:
    assert base() == []


# --- sessions ---------------------------------------------------------------------------------------------------------


def test_a_gap_of_exactly_thirty_minutes_stays_in_the_session(line: Line, base: Base) -> None:
    rows = base(line("10:00:00.000"), line("10:30:00.000"))
    assert column(rows, "sess_seq") == [1, 1]


def test_a_gap_a_millisecond_over_thirty_minutes_starts_a_new_session(line: Line, base: Base) -> None:
    rows = base(line("10:00:00.000"), line("10:30:00.001"))
    assert column(rows, "sess_seq") == [1, 2]


def test_the_gap_is_measured_from_the_previous_line(line: Line, base: Base) -> None:
    rows = base(line("10:00:00"), line("10:29:00"), line("10:58:00"), line("11:28:00"))
    assert column(rows, "sess_seq") == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("gap", "second", "sequence"),
    [
        (1, "10:00:01.000", [1, 1]),
        (1, "10:00:01.001", [1, 2]),
        (3600, "11:00:00.000", [1, 1]),
        (3600, "11:00:00.001", [1, 2]),
    ],
)
def test_the_session_gap_can_be_configured(gap: int, second: str, sequence: list[int], line: Line, base: Base) -> None:
    assert column(base(line("10:00:00.000"), line(second), gap=gap), "sess_seq") == sequence


def test_lines_may_arrive_in_any_order(line: Line, base: Base) -> None:
    rows = base(line("11:00:00"), line("10:00:00"), line("10:20:00"))
    assert column(rows, "sess_seq") == [1, 1, 2]


def test_each_device_has_its_own_sessions(line: Line, base: Base) -> None:
    rows = base(line("10:00:00", device="a"), line("10:20:00", device="b"), line("10:40:00", device="a"))
    assert column(rows, "sess_id") == ["20240115100000000|a", "20240115102000000|b", "20240115104000000|a"]
    assert column(rows, "sess_seq") == [1, 1, 2]


def test_a_session_is_split_at_midnight_in_seoul(line: Line, base: Base) -> None:
    rows = base(line("2024-01-14T14:59:59.999Z"), line("2024-01-14T15:00:00.000Z"))
    assert column(rows, "sess_id") == ["20240114235959999|d", "20240115000000000|d"]
    assert column(rows, "sess_seq") == [1, 1]


def test_a_session_is_not_split_at_midnight_utc(line: Line, base: Base) -> None:
    rows = base(line("2024-01-14T23:59:59.999Z"), line("2024-01-15T00:00:00.000Z"))
    assert len(set(column(rows, "sess_id"))) == 1


def test_a_session_is_split_at_midnight_in_new_york(line: Line, base: Base) -> None:
    rows = base(line("2024-01-15T04:59:59.999Z"), line("2024-01-15T05:00:00.000Z"), timezone=NEW_YORK)
    assert column(rows, "sess_id") == ["20240114235959999|d", "20240115000000000|d"]


def test_session_numbers_start_at_one_on_each_day(line: Line, base: Base) -> None:
    rows = base(
        line("2024-01-14T08:00:00+09:00"),
        line("2024-01-14T09:00:00+09:00"),
        line("2024-01-15T08:00:00+09:00"),
        line("2024-01-15T09:00:00+09:00"),
    )
    assert column(rows, "sess_seq") == [1, 2, 1, 2]


def test_a_session_starts_and_ends_with_its_first_and_last_line(line: Line, base: Base) -> None:
    rows = base(line("10:00:00.250"), line("10:10:00"), line("10:20:00.750"), line("12:00:00"))
    bounds = [(r["sess_start_dt"].time(), r["sess_end_dt"].time()) for r in rows]
    first = (dt.time(1, 0, 0, 250_000), dt.time(1, 20, 0, 750_000))
    assert bounds == [first, first, first, (dt.time(3), dt.time(3))]


def test_the_session_id_is_the_local_start_time_and_the_device(line: Line, base: Base) -> None:
    rows = base(line("2024-01-15T00:01:02.003Z", device="a|b"))
    assert only(rows)["sess_id"] == "20240115090102003|a|b"


# --- clock changes ----------------------------------------------------------------------------------------------------


def test_the_second_pass_of_a_repeated_hour_has_an_f_in_new_york(line: Line, base: Base) -> None:
    rows = base(line("2024-11-03T05:30:00Z"), line("2024-11-03T06:30:00Z"), timezone=NEW_YORK)
    assert column(rows, "sess_id") == ["20241103013000000|d", "20241103013000000F|d"]


@pytest.mark.parametrize(
    ("at", "name"),
    [
        ("2024-11-03T04:59:59.999Z", "20241103005959999|d"),
        ("2024-11-03T05:00:00.000Z", "20241103010000000|d"),
        ("2024-11-03T05:59:59.999Z", "20241103015959999|d"),
        ("2024-11-03T06:00:00.000Z", "20241103010000000F|d"),
        ("2024-11-03T06:59:59.999Z", "20241103015959999F|d"),
        ("2024-11-03T07:00:00.000Z", "20241103020000000|d"),
    ],
)
def test_an_f_marks_exactly_the_second_pass(at: str, name: str, line: Line, base: Base) -> None:
    assert only(base(line(at), timezone=NEW_YORK))["sess_id"] == name


@pytest.mark.parametrize(
    ("at", "name"),
    [("2024-03-10T06:59:59.999Z", "20240310015959999|d"), ("2024-03-10T07:00:00.000Z", "20240310030000000|d")],
)
def test_a_skipped_hour_leaves_no_mark(at: str, name: str, line: Line, base: Base) -> None:
    assert only(base(line(at), timezone=NEW_YORK))["sess_id"] == name


@pytest.mark.parametrize(
    ("first", "second"),
    [
        # Local 01:50 to 03:10 across the skipped hour; local 01:50 to 01:10 into the repeated hour.
        ("2024-03-10T06:50:00Z", "2024-03-10T07:10:00Z"),
        ("2024-11-03T05:50:00Z", "2024-11-03T06:10:00Z"),
    ],
)
def test_the_gap_is_elapsed_time_not_local_time(first: str, second: str, line: Line, base: Base) -> None:
    assert column(base(line(first), line(second), timezone=NEW_YORK), "sess_seq") == [1, 1]


@pytest.mark.parametrize(
    ("day", "before", "start", "last", "after"),
    [
        # 23 hours in March, 25 in November.
        ("2024-03-10", "04:59:59.999Z", "2024-03-10T05:00:00Z", "2024-03-11T03:59:59.999Z", "2024-03-11T04:00:00Z"),
        ("2024-11-03", "03:59:59.999Z", "2024-11-03T04:00:00Z", "2024-11-04T04:59:59.999Z", "2024-11-04T05:00:00Z"),
    ],
)
def test_sessions_are_split_at_both_midnights_of_a_day_with_a_clock_change(
    day: str, before: str, start: str, last: str, after: str, line: Line, base: Base
) -> None:
    rows = base(line(f"{day}T{before}"), line(start), line(last), line(after), timezone=NEW_YORK)
    assert [r["date_id"] == day for r in rows] == [False, True, True, False]
    assert len(set(column(rows, "sess_id"))) == 4


def test_the_repeated_half_hour_on_lord_howe_has_an_f(line: Line, base: Base) -> None:
    rows = base(line("2024-04-06T14:45:00Z"), line("2024-04-06T15:15:00Z"), timezone=LORD_HOWE, gap=600)
    assert column(rows, "sess_id") == ["20240407014500000|d", "20240407014500000F|d"]


@pytest.mark.parametrize(
    ("at", "name"),
    [
        ("2024-04-06T14:29:59.999Z", "20240407012959999|d"),
        ("2024-04-06T14:59:59.999Z", "20240407015959999|d"),
        ("2024-04-06T15:00:00.000Z", "20240407013000000F|d"),
        ("2024-04-06T15:29:59.999Z", "20240407015959999F|d"),
        ("2024-04-06T15:30:00.000Z", "20240407020000000|d"),
    ],
)
def test_an_f_marks_exactly_the_second_half_hour_on_lord_howe(at: str, name: str, line: Line, base: Base) -> None:
    assert only(base(line(at), timezone=LORD_HOWE))["sess_id"] == name


def test_a_repeated_hour_before_midnight_belongs_to_its_day_in_santiago(line: Line, base: Base) -> None:
    rows = base(
        line("2024-04-07T02:30:00Z"),
        line("2024-04-07T03:30:00Z"),
        line("2024-04-07T03:59:59.999Z"),
        line("2024-04-07T04:00:00Z"),
        timezone=SANTIAGO,
    )
    assert column(rows, "date_id") == ["2024-04-06", "2024-04-06", "2024-04-06", "2024-04-07"]
    assert column(rows, "sess_id") == [
        "20240406233000000|d",
        "20240406233000000F|d",
        "20240406233000000F|d",
        "20240407000000000|d",
    ]


def test_a_skipped_midnight_hour_starts_the_day_at_one_in_santiago(line: Line, base: Base) -> None:
    rows = base(line("2024-09-08T03:59:59.999Z"), line("2024-09-08T04:00:00Z"), timezone=SANTIAGO)
    assert column(rows, "sess_id") == ["20240907235959999|d", "20240908010000000|d"]


# --- the user of a line -----------------------------------------------------------------------------------------------


def test_anonymous_lines_before_a_login_belong_to_that_user(line: Line, base: Base) -> None:
    rows = base(line("10:00:00"), line("10:01:00"), line("10:02:00", user=7), line("10:03:00", user=8))
    assert column(rows, "user_id_fill") == ["7", "7", "7", "8"]


def test_anonymous_lines_at_the_end_belong_to_the_last_user(line: Line, base: Base) -> None:
    rows = base(line("10:00:00", user=7), line("10:01:00", user=8), line("10:02:00"), line("10:03:00", user=0))
    assert column(rows, "user_id_fill") == ["7", "8", "8", "8"]


def test_anonymous_lines_in_between_belong_to_the_next_user(line: Line, base: Base) -> None:
    rows = base(line("10:00:00", user=7), line("10:01:00"), line("10:02:00", user=8))
    assert column(rows, "user_id_fill") == ["7", "8", "8"]


def test_a_single_user_has_all_lines_of_the_session(line: Line, base: Base) -> None:
    rows = base(line("10:00:00"), line("10:01:00", user=7), line("10:02:00"))
    assert column(rows, "user_id_fill") == ["7", "7", "7"]


def test_an_anonymous_session_has_no_user(line: Line, base: Base) -> None:
    rows = base(line("10:00:00"), line("10:01:00", user=0))
    assert column(rows, "user_id_fill") == [None, None]


def test_users_are_not_filled_from_the_session_before_or_after(line: Line, base: Base) -> None:
    rows = base(line("10:00:00", user=7), line("11:00:00"), line("12:00:00", user=8))
    assert column(rows, "user_id_fill") == ["7", None, "8"]


def test_users_are_not_filled_across_midnight(line: Line, base: Base) -> None:
    rows = base(line("2024-01-14T23:59:59+09:00", user=7), line("2024-01-15T00:00:00+09:00"))
    assert column(rows, "user_id_fill") == ["7", None]


def test_users_are_not_filled_from_another_device(line: Line, base: Base) -> None:
    rows = base(line("10:00:00", user=7, device="a"), line("10:00:00", device="b"))
    assert {r["user_info_device_id"]: r["user_id_fill"] for r in rows} == {"a": "7", "b": None}


def test_an_anonymous_line_at_a_logins_instant_takes_the_next_user(line: Line, base: Base) -> None:
    rows = base(
        line("10:00:00", user=7, user_info_locale="login"),
        line("10:00:00", user_info_locale="anonymous"),
        line("10:01:00", user=8, user_info_locale="next"),
    )
    assert by_tag(rows, "user_id_fill") == {"login": "7", "anonymous": "8", "next": "8"}


def test_an_anonymous_line_at_the_last_logins_instant_takes_that_user(line: Line, base: Base) -> None:
    rows = base(
        line("10:00:00", user=7, user_info_locale="first"),
        line("10:01:00", user=8, user_info_locale="login"),
        line("10:01:00", user_info_locale="anonymous"),
    )
    assert by_tag(rows, "user_id_fill") == {"first": "7", "login": "8", "anonymous": "8"}


def test_leading_lines_take_the_lowest_user_of_an_instant_as_a_number(line: Line, base: Base) -> None:
    rows = base(
        line("10:00:00", user_info_locale="head"),
        line("10:01:00", user=10, user_info_locale="ten"),
        line("10:01:00", user=9, user_info_locale="nine"),
    )
    assert by_tag(rows, "user_id_fill") == {"head": "9", "ten": "10", "nine": "9"}


def test_trailing_lines_take_the_highest_user_of_an_instant_as_a_number(line: Line, base: Base) -> None:
    rows = base(
        line("10:01:00", user=10, user_info_locale="ten"),
        line("10:01:00", user=9, user_info_locale="nine"),
        line("10:02:00", user_info_locale="tail"),
    )
    assert by_tag(rows, "user_id_fill") == {"tail": "10", "ten": "10", "nine": "9"}


def test_an_anonymous_line_at_two_users_instant_takes_the_next_user(line: Line, base: Base) -> None:
    rows = base(
        line("10:01:00", user=10, user_info_locale="ten"),
        line("10:01:00", user=9, user_info_locale="nine"),
        line("10:01:00", topic="a", user_info_locale="anonymous"),
        line("10:02:00", user=5, user_info_locale="five"),
    )
    assert by_tag(rows, "user_id_fill") == {"ten": "10", "nine": "9", "anonymous": "5", "five": "5"}


# --- user sessions ----------------------------------------------------------------------------------------------------


def test_a_user_session_is_named_by_session_and_user(line: Line, base: Base) -> None:
    rows = base(line("10:00:00.000", user=7), line("10:01:00.000", user=8))
    assert column(rows, "user_sess_id") == ["20240115100000000|d|7", "20240115100000000|d|8"]


def test_an_anonymous_user_session_is_the_session(line: Line, base: Base) -> None:
    row = only(base(line("10:00:00.000")))
    assert row["user_sess_id"] == row["sess_id"] == "20240115100000000|d"


def test_a_user_session_starts_and_ends_with_the_users_lines(line: Line, base: Base) -> None:
    rows = base(
        line("10:00:00"),
        line("10:01:00", user=7),
        line("10:02:00", user=8),
        line("10:03:00", user=7),
        line("10:04:00", user=8),
        line("10:05:00"),
    )
    minutes = [(r["user_id_fill"], r["user_sess_start_dt"].minute, r["user_sess_end_dt"].minute) for r in rows]
    # Seven has minutes 0, 1 and 3; eight has 2, 4 and 5.
    assert minutes == [("7", 0, 3), ("7", 0, 3), ("8", 2, 5), ("7", 0, 3), ("8", 2, 5), ("8", 2, 5)]


def test_the_user_session_of_a_single_user_spans_the_session(line: Line, base: Base) -> None:
    rows = base(line("10:00:00"), line("10:01:00", user=7), line("10:02:00"))
    assert {(r["user_sess_start_dt"].minute, r["user_sess_end_dt"].minute) for r in rows} == {(0, 2)}


def test_a_user_who_returns_in_a_new_session_has_a_new_user_session(line: Line, base: Base) -> None:
    rows = base(line("10:00:00.000", user=7), line("11:00:00.000", user=7))
    assert column(rows, "user_sess_id") == ["20240115100000000|d|7", "20240115110000000|d|7"]


# --- url --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "join", "leave"),
    [
        ("/community/v1.0/community-11/join", 1, None),
        ("/community-11/join?fields=a", 1, None),
        ("/community-11/joined", None, None),
        ("/community-11/leave", None, 1),
        ("/community-11/leave?x=1", None, 1),
        ("/community-11/leaves", None, None),
        ("/community-11", None, None),
        (None, None, None),
    ],
)
def test_joins_and_leaves_are_read_from_the_url(
    url: str | None, join: int | None, leave: int | None, line: Line, parsed: Base
) -> None:
    row = only(parsed(line("10:00:00", url=url)))
    assert (row["is_join"], row["is_leave"]) == (join, leave)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("/community/v1.0/community-11/posts", {"comm_id": "11"}),
        ("/post/v1.0/post-1-22/comments", {"post_id": "1-22"}),
        ("/post-1", {}),
        ("/notice/v1.0/notice-5", {"notice_id": "5"}),
        ("/chat/v1.0/chat-x1Y/messages", {"chat_id": "x1Y"}),
        ("/chat/v1.0/chat-x1Y", {}),
        (
            "/community-11/post-1-22/notice-5/chat-9/x",
            {"comm_id": "11", "post_id": "1-22", "notice_id": "5", "chat_id": "9"},
        ),
        ("", {}),
        (None, {}),
    ],
)
def test_subjects_are_read_from_the_url(url: str | None, found: Row, line: Line, parsed: Base) -> None:
    row = only(parsed(line("10:00:00", url=url)))
    assert {k: row[k] for k in ("comm_id", "post_id", "notice_id", "chat_id") if row[k] is not None} == found


# --- params -----------------------------------------------------------------------------------------------------------

TOP = {
    "gcc": "gcc",
    "language": "language",
    "consumer_id": "consumer_id",
    "provider_id": "provider_id",
    "platform_id": "platform_id",
    "wpf": "wpf",
    "method": "method",
    "request_body": "body",
}
REQUEST = {
    "postId": "post_id",
    "mediaType": "media_type",
    "mediaTime": "media_time",
    "videoId": "video_id",
    "videoSessionId": "video_session_id",
    "sectionType": "section_type",
    "isProduct": "is_product",
    "isHideFromArtist": "is_hide_from_artist",
    "isFcOnly": "is_fc_only",
    "chatMsgList": "chat_msg_list",
}


@pytest.mark.parametrize("prefix", ["", "_"])
def test_top_level_fields_of_params_are_read(prefix: str, line: Line, parsed: Base) -> None:
    row = only(parsed(line("10:00:00", params={prefix + key: f"v-{key}" for key in TOP})))
    assert {name: row[name] for name in TOP.values()} == {name: f"v-{key}" for key, name in TOP.items()}


@pytest.mark.parametrize("prefix", ["", "_"])
def test_request_fields_of_params_are_read(prefix: str, line: Line, parsed: Base) -> None:
    row = only(parsed(line("10:00:00", params={"request": {prefix + key: f"v-{key}" for key in REQUEST}})))
    assert {name: row[name] for name in REQUEST.values()} == {name: f"v-{key}" for key, name in REQUEST.items()}


@pytest.mark.parametrize("params", [{"gcc": "KR", "_gcc": "US"}, {"_gcc": "US", "gcc": "KR"}])
def test_a_plain_key_takes_precedence_over_the_underscored_one(params: Row, line: Line, parsed: Base) -> None:
    assert only(parsed(line("10:00:00", params=params)))["gcc"] == "KR"


def test_a_plain_request_key_takes_precedence_over_the_underscored_one(line: Line, parsed: Base) -> None:
    params = {"request": {"_videoId": "b", "videoId": "a", "_mediaType": "LIVE"}}
    row = only(parsed(line("10:00:00", params=params)))
    assert (row["video_id"], row["media_type"]) == ("a", "LIVE")


def test_request_keys_and_top_level_keys_are_not_interchangeable(line: Line, parsed: Base) -> None:
    row = only(parsed(line("10:00:00", params={"videoId": "v", "communityId": "11", "request": {"gcc": "KR"}})))
    assert (row["video_id"], row["comm_id"], row["gcc"]) == (None, None, None)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("3", "3"),
        ("-3", "-3"),
        ("12.5", "12.5"),
        ("true", "true"),
        ("false", "false"),
        ('{"a":[1,"x"]}', '{"a":[1,"x"]}'),
        ('[{"id":1},{"id":2}]', '[{"id":1},{"id":2}]'),
        ('""', ""),
        ("null", None),
        ("9007199254740993", "9007199254740993"),
    ],
)
def test_a_value_that_is_not_a_string_is_read_as_its_json_text(
    value: str, text: str | None, line: Line, parsed: Base
) -> None:
    row = only(parsed(line("10:00:00", params=f'{{"request_body":{value},"request":{{"mediaTime":{value}}}}}')))
    assert (row["body"], row["media_time"]) == (text, text)


def test_escapes_in_json_strings_are_decoded(line: Line, parsed: Base) -> None:
    params = r'{"gcc":"\ud55c\n\"x\""}'
    assert only(parsed(line("10:00:00", params=params)))["gcc"] == '한\n"x"'


@pytest.mark.parametrize(
    "params",
    [
        None,
        "",
        "no JSON",
        '{"gcc":"KR"',
        '{"gcc":"KR"} x',
        "{'gcc':'KR'}",
        "null",
        "5",
        '"gcc"',
        '["gcc"]',
        '[{"gcc":"KR","request":{"videoId":"v"}}]',
    ],
)
def test_a_line_whose_params_are_not_a_json_object_is_kept(params: str | None, line: Line, parsed: Base) -> None:
    row = only(parsed(line("10:00:00", params=params)))
    read = (*TOP.values(), *REQUEST.values(), "comm_id", "chat_msg_count", "platform", "os")
    assert {name: row[name] for name in read} == dict.fromkeys(read)
    assert row["params"] == params


@pytest.mark.parametrize("params", ['{"gcc":"KR",}', '{"gcc":"KR","x":[1,]}', '{"gcc":"KR","x":NaN}', '{"gcc":NaN}'])
def test_params_that_only_a_lenient_parser_accepts_are_not_json(params: str, line: Line, parsed: Base) -> None:
    assert only(parsed(line("10:00:00", params=params)))["gcc"] is None


@pytest.mark.parametrize("text", [",}", ",]", "NaN", "Infinity", "a, ]", '",}', "\\", '\\",]', "null,}"])
def test_strings_that_contain_what_looks_like_bad_json_are_read(text: str, line: Line, parsed: Base) -> None:
    assert only(parsed(line("10:00:00", params={"gcc": text, "x": [1, {"y": text}]})))["gcc"] == text


@pytest.mark.parametrize("request_text", ["null", '"x"', "5", '[{"videoId":"v"}]', '"{\\"videoId\\":\\"v\\"}"', "{}"])
def test_a_request_that_is_not_an_object_has_no_fields(request_text: str, line: Line, parsed: Base) -> None:
    row = only(parsed(line("10:00:00", params=f'{{"gcc":"KR","request":{request_text}}}')))
    assert (row["gcc"], row["video_id"], row["comm_id"]) == ("KR", None, None)


@pytest.mark.parametrize(
    ("sent", "count"),
    [
        ("3", 3),
        ('"3"', 3),
        ("-1", -1),
        ("0", 0),
        ('"many"', None),
        ("2147483647", 2_147_483_647),
        ("2147483648", None),
        # Only whole numbers count, written in digits.
        ("3.7", None),
        ("3.0", None),
        ("1e2", None),
        ('" 3 "', None),
        ('"0x1F"', None),
        ('"1_000"', None),
    ],
)
def test_the_number_of_chat_messages_must_be_a_whole_number(
    sent: str, count: int | None, line: Line, parsed: Base
) -> None:
    row = only(parsed(line("10:00:00", params=f'{{"request":{{"chatMsgCount":{sent}}}}}')))
    assert row["chat_msg_count"] == count


@pytest.mark.parametrize(
    ("community", "found"),
    [
        ("1", "1"),
        ("123456789012345678", "123456789012345678"),
        ("1234567890123456789", None),
        ("011", None),
        ("00", None),
    ],
)
def test_a_community_has_one_to_eighteen_digits_without_leading_zeros(
    community: str, found: str | None, line: Line, parsed: Base
) -> None:
    of_url = only(parsed(line("10:00:00", url=f"/community-{community}/x")))
    of_params = only(parsed(line("10:00:00", params={"request": {"communityId": community}})))
    assert (of_url["comm_id"], of_params["comm_id"]) == (found, found)


@pytest.mark.parametrize(
    ("community", "found"),
    [
        ("11", "11"),
        ('"11"', "11"),
        ('"11 "', None),
        ('"x11"', None),
        ('"-11"', None),
        ('"11\\n"', None),
        ("-11", None),
        ("11.0", None),
        ('""', None),
        ("[11]", None),
    ],
)
def test_a_community_in_params_is_all_digits(community: str, found: str | None, line: Line, parsed: Base) -> None:
    row = only(parsed(line("10:00:00", params=f'{{"request":{{"communityId":{community}}}}}')))
    assert row["comm_id"] == found


def test_the_url_takes_precedence_over_params_for_community_and_post(line: Line, parsed: Base) -> None:
    params = {"request": {"communityId": "12", "postId": "3-4"}}
    row = only(parsed(line("10:00:00", url="/community-11/post-1-2", params=params)))
    assert (row["comm_id"], row["post_id"]) == ("11", "1-2")


def test_a_post_from_the_url_combines_with_a_community_from_params(line: Line, parsed: Base) -> None:
    params = {"request": {"communityId": "12", "postId": "3-4"}}
    row = only(parsed(line("10:00:00", url="/post-1-2", params=params)))
    assert (row["comm_id"], row["post_id"]) == ("12", "1-2")


# --- client -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("agent", "version"),
    [
        ("Weverse (app;3.1.0;iOS)", "3.1.0"),
        ("Weverse (weverse;2.20.11;Android)", "2.20.11"),
        ("weverse;2.0.0 app;3.1.0", "3.1.0"),
        ("app;3.1 weverse;2.0.0", "2.0.0"),
        ("app;3.1", None),
        ("app/3.1.0", None),
        ("", None),
        (None, None),
    ],
)
def test_the_app_version_is_read_from_the_user_agent(
    agent: str | None, version: str | None, line: Line, parsed: Base
) -> None:
    assert only(parsed(line("10:00:00", user_info_user_agent=agent)))["app_ver"] == version


@pytest.mark.parametrize(
    ("params", "platform"),
    [
        *[({"provider_id": "WEVAPP", "os": name}, "TV") for name in ("ANDTV", "APPLETV", "FIRETV", "TIZEN", "WEBOS")],
        ({"provider_id": "wevapp", "os": "tizen"}, "TV"),
        ({"provider_id": "WEVAPP", "_os": "TIZEN"}, "TV"),
        ({"consumer_id": "TVAPP"}, "TV"),
        ({"consumer_id": "tvApp", "wpf": "pc"}, "TV"),
        ({"_consumer_id": "tvosApp"}, "TV"),
        ({"consumer_id": "tvApp", "provider_id": "WEVAPP"}, "TV"),
        ({"provider_id": "WEVAPP", "os": "IOS"}, "APP"),
        ({"provider_id": "WEVAPP"}, "APP"),
        ({"provider_id": "wevapp", "wpf": "mweb"}, "APP"),
        ({"provider_id": "WEVAPP", "platform_id": "TIZEN"}, "APP"),
        ({"wpf": "pc"}, "PC"),
        ({"_wpf": "MWEB"}, "MWEB"),
        ({"provider_id": "OTHER", "os": "TIZEN", "wpf": "PC"}, "PC"),
        ({"os": "TIZEN"}, None),
        ({"wpf": "tablet"}, None),
        ({}, None),
    ],
)
def test_the_platform_follows_from_params(params: Row, platform: str | None, line: Line, parsed: Base) -> None:
    assert only(parsed(line("10:00:00", params=params)))["platform"] == platform


@pytest.mark.parametrize(
    ("params", "system"),
    [
        ({"consumer_id": "TVOSAPP"}, "TVOS"),
        ({"consumer_id": "tvosApp", "os": "appletv", "platform_id": "x"}, "TVOS"),
        ({"consumer_id": "tvApp", "os": "tizen", "platform_id": "x"}, "TIZEN"),
        ({"consumer_id": "TVAPP"}, "TV"),
        ({"consumer_id": "TVAPP", "platform_id": "x"}, "TV"),
        ({"provider_id": "WEVAPP", "os": "andtv", "platform_id": "android"}, "ANDROID"),
        ({"platform_id": "ios"}, "IOS"),
        ({"os": "ios"}, None),
        ({}, None),
    ],
)
def test_the_operating_system_follows_from_params(params: Row, system: str | None, line: Line, parsed: Base) -> None:
    assert only(parsed(line("10:00:00", params=params)))["os"] == system


# --- several days in one run ------------------------------------------------------------------------------------------


def test_days_of_a_range_equal_days_run_one_by_one(line: Line, base: Base) -> None:
    first = [line("2024-01-14T23:50:00+09:00", user=7), line("2024-01-14T23:59:00+09:00", user=8)]
    second = [line("2024-01-15T00:01:00+09:00"), line("2024-01-15T00:02:00+09:00", user=9)]
    assert base(*first, *second) == base(*first) + base(*second)
