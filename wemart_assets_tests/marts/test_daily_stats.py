"""The tables that count the rows of wv_sess_daily, the same day (tables.md 2.3)."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wemart_assets.lake.mart import Mart
from wemart_assets.marts.sessions.stats_wv_d_platform import stats_wv_d_platform
from wemart_assets.marts.sessions.stats_wv_d_session import stats_wv_d_session
from wemart_assets.marts.sessions.stats_wv_d_user_sess import stats_wv_d_user_sess
from wemart_assets.marts.sessions.wv_user_daily import wv_user_daily

Row = dict[str, Any]
Bench = Callable[..., list[Row]]

DAY = "2024-01-15"
LEFT_OUT = ("is_device_login", "sess_ctry", "is_sess_login")


def session(name: str, day: str = DAY, **columns: Any) -> Row:
    """A row of wv_sess_daily: the anonymous session `name`, one second long, in no community."""
    start = dt.datetime.fromisoformat(f"{day}T10:00:00+09:00").astimezone(dt.UTC)
    row: Row = {
        "key_date": dt.date.fromisoformat(day),
        "device_id": name,
        "is_device_login": 0,
        "sess_id": f"{name}-{day}",
        "sess_start_dt": start,
        "sess_end_dt": start,
        "sess_dur": 1,
        "user_sess_id": f"{name}-{day}",
        "is_sess_login": 0,
        "user_sess_start_dt": start,
        "user_sess_end_dt": start,
        "user_sess_dur": 1,
        "part_date": day,
    }
    if "user" in columns:
        row["user_sess_id"] += f"|{columns.pop('user')}"
    return row | columns


def counted(rows: Iterable[Row], *columns: str) -> set[tuple[Any, ...]]:
    """Values of these columns of the rows, all of which must be distinct."""
    found = [tuple(row[name] for name in columns) for row in rows]
    assert len(set(found)) == len(found)
    return set(found)


# --- wv_user_daily ----------------------------------------------------------------------------------------------------


def test_user_daily_has_the_rows_without_three_columns(bench: Bench) -> None:
    row = session("a", user=7, we_member_id=107, wv_user_id=7, user_ctry="KR", comm_id="11", is_comm_user=1, is_fc=0)
    row |= {"we_art_id": 1, "we_art_name": "One", "art_indi_id": "11-7", "art_indi_type": "ARTIST"}
    row |= {"platform": "APP", "os": "IOS", "app_ver": "3.1.0", "sess_ctry": "US"}
    [found] = bench(wv_user_daily, {}, sessions=[row])
    del found["run_timestamp"]
    assert found == {name: value for name, value in row.items() if name not in LEFT_OUT}


def test_rows_that_only_the_three_columns_tell_apart_appear_once(bench: Bench) -> None:
    row = session("a", sess_ctry="KR")
    others = [row | {"sess_ctry": "US"}, row | {"is_device_login": 1}, row | {"is_sess_login": 1}]
    assert len(bench(wv_user_daily, {}, sessions=[row, *others])) == 1


def test_rows_of_different_runs_that_are_equal_appear_once(bench: Bench) -> None:
    row = session("a")
    runs = [row | {"run_timestamp": dt.datetime(2024, 1, day, tzinfo=dt.UTC)} for day in (16, 17)]
    assert len(bench(wv_user_daily, {}, sessions=runs)) == 1


def test_communities_of_a_session_keep_their_rows(bench: Bench) -> None:
    rows = [session("a"), session("a", comm_id="11", is_comm_user=1), session("a", comm_id="12", is_comm_user=1)]
    assert counted(bench(wv_user_daily, {}, sessions=rows), "comm_id") == {(None,), ("11",), ("12",)}


# --- stats_wv_d_session -----------------------------------------------------------------------------------------------

SESSION = ("key_date", "we_member_id", "sess_cnt", "total_sess_dur", "part_date")
JANUARY_15 = dt.date(2024, 1, 15)


def test_a_session_with_two_communities_counts_once(bench: Bench) -> None:
    rows = [session("a", we_member_id=107, sess_dur=60, comm_id=comm, is_comm_user=1) for comm in ("11", "12")]
    found = bench(stats_wv_d_session, {}, sessions=rows)
    assert counted(found, *SESSION) == {(JANUARY_15, 107, 1, 60, DAY)}


def test_sessions_of_equal_length_all_count(bench: Bench) -> None:
    rows = [session(name, we_member_id=107, sess_dur=60) for name in "abc"]
    found = bench(stats_wv_d_session, {}, sessions=rows)
    assert counted(found, *SESSION) == {(JANUARY_15, 107, 3, 180, DAY)}


def test_a_session_of_two_accounts_counts_for_each(bench: Bench) -> None:
    rows = [session("a", user=user, we_member_id=100 + user, sess_dur=60) for user in (7, 8)]
    found = bench(stats_wv_d_session, {}, sessions=rows)
    assert counted(found, *SESSION) == {(JANUARY_15, 107, 1, 60, DAY), (JANUARY_15, 108, 1, 60, DAY)}


def test_sessions_without_an_account_have_their_own_row(bench: Bench) -> None:
    rows = [session("a", sess_dur=60), session("b", user=9, sess_dur=5), session("b", user=10, sess_dur=5)]
    found = bench(stats_wv_d_session, {}, sessions=rows)
    assert counted(found, *SESSION) == {(JANUARY_15, None, 2, 65, DAY)}


def test_sessions_count_by_day(bench: Bench) -> None:
    rows = [session("a", day, we_member_id=107, sess_dur=60) for day in ("2024-01-14", DAY)]
    found = bench(stats_wv_d_session, {}, sessions=rows)
    days = {(dt.date(2024, 1, 14), 107, 1, 60, "2024-01-14"), (JANUARY_15, 107, 1, 60, DAY)}
    assert counted(found, *SESSION) == days


# --- stats_wv_d_user_sess ---------------------------------------------------------------------------------------------

USER_SESSION = ("key_date", "we_member_id", "user_sess_cnt", "total_user_sess_dur", "part_date")


def test_a_user_session_with_two_communities_counts_once(bench: Bench) -> None:
    user: Row = {"user": 7, "we_member_id": 107, "sess_dur": 99, "user_sess_dur": 60}
    rows = [session("a", **user, comm_id=comm, is_comm_user=1) for comm in ("11", "12")]
    found = bench(stats_wv_d_user_sess, {}, sessions=rows)
    assert counted(found, *USER_SESSION) == {(JANUARY_15, 107, 1, 60, DAY)}


def test_user_sessions_of_equal_length_all_count(bench: Bench) -> None:
    rows = [session(name, user=7, we_member_id=107, user_sess_dur=60) for name in "abc"]
    found = bench(stats_wv_d_user_sess, {}, sessions=rows)
    assert counted(found, *USER_SESSION) == {(JANUARY_15, 107, 3, 180, DAY)}


def test_two_users_without_an_account_are_two_user_sessions(bench: Bench) -> None:
    rows = [session("b", user=9, user_sess_dur=5), session("b", user=10, user_sess_dur=5)]
    found = bench(stats_wv_d_user_sess, {}, sessions=rows)
    assert counted(found, *USER_SESSION) == {(JANUARY_15, None, 2, 10, DAY)}


def test_user_sessions_count_by_day(bench: Bench) -> None:
    rows = [session("a", day, user=7, we_member_id=107, user_sess_dur=60) for day in ("2024-01-14", DAY)]
    found = bench(stats_wv_d_user_sess, {}, sessions=rows)
    days = {(dt.date(2024, 1, 14), 107, 1, 60, "2024-01-14"), (JANUARY_15, 107, 1, 60, DAY)}
    assert counted(found, *USER_SESSION) == days


# --- stats_wv_d_platform ----------------------------------------------------------------------------------------------

PLATFORM = ("key_date", "platform", "sess_cnt", "part_date")


def test_a_platform_counts_each_session_once(bench: Bench) -> None:
    rows = [
        session("a", user=user, platform="APP", comm_id=comm, is_comm_user=0)
        for user in (7, 8)
        for comm in ("11", "12")
    ]
    found = bench(stats_wv_d_platform, {}, sessions=[*rows, session("b", platform="APP"), session("c", platform="PC")])
    assert counted(found, *PLATFORM) == {(JANUARY_15, "APP", 2, DAY), (JANUARY_15, "PC", 1, DAY)}


def test_sessions_of_unknown_platform_have_their_own_row(bench: Bench) -> None:
    found = bench(stats_wv_d_platform, {}, sessions=[session("a"), session("b"), session("c", platform="TV")])
    assert counted(found, *PLATFORM) == {(JANUARY_15, None, 2, DAY), (JANUARY_15, "TV", 1, DAY)}


def test_platforms_count_by_day(bench: Bench) -> None:
    rows = [session("a", day, platform="TV") for day in ("2024-01-14", DAY)]
    found = bench(stats_wv_d_platform, {}, sessions=rows)
    days = {(dt.date(2024, 1, 14), "TV", 1, "2024-01-14"), (JANUARY_15, "TV", 1, DAY)}
    assert counted(found, *PLATFORM) == days


@pytest.mark.parametrize("mart", [wv_user_daily, stats_wv_d_session, stats_wv_d_user_sess, stats_wv_d_platform])
def test_without_sessions_there_are_no_rows(mart: Mart, bench: Bench) -> None:
    assert bench(mart, {}, sessions=[]) == []


# --- random worlds ----------------------------------------------------------------------------------------------------


def totals(rows: list[Row], by: str, one: str, seconds: str | None) -> Counter[tuple[Any, ...]]:
    """For each day and `by`: the number of distinct `one`, and the sum of their seconds, each counted once."""
    groups: dict[tuple[Any, ...], dict[str, int]] = {}
    for row in rows:
        groups.setdefault((row["key_date"], row["part_date"], row[by]), {})[row[one]] = row[seconds] if seconds else 0
    return Counter((*key, len(found), sum(found.values())) for key, found in groups.items())


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_random_worlds_match_a_plain_loop(
    data: st.DataObject,
    worlds: st.SearchStrategy[Any],
    bench: Bench,
    sess_daily_expected: Callable[[Any], list[Row]],
) -> None:
    sessions = sess_daily_expected(data.draw(worlds))

    users = bench(wv_user_daily, {}, sessions=sessions)
    left = {tuple((k, v) for k, v in row.items() if k not in LEFT_OUT) for row in sessions}
    assert Counter(tuple((k, v) for k, v in row.items() if k != "run_timestamp") for row in users) == Counter(left)

    by = ("key_date", "part_date", "we_member_id")
    found = bench(stats_wv_d_session, {}, sessions=sessions)
    assert Counter(tuple(row[k] for k in (*by, "sess_cnt", "total_sess_dur")) for row in found) == totals(
        sessions, "we_member_id", "sess_id", "sess_dur"
    )
    found = bench(stats_wv_d_user_sess, {}, sessions=sessions)
    assert Counter(tuple(row[k] for k in (*by, "user_sess_cnt", "total_user_sess_dur")) for row in found) == totals(
        sessions, "we_member_id", "user_sess_id", "user_sess_dur"
    )
    found = bench(stats_wv_d_platform, {}, sessions=sessions)
    assert Counter((r["key_date"], r["part_date"], r["platform"], r["sess_cnt"], 0) for r in found) == totals(
        sessions, "platform", "sess_id", None
    )
