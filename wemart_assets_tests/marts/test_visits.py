"""The tables of a day's visits: by account, by artist, by language, and of the artists' own members (tables.md 2.3)."""

from __future__ import annotations

import datetime as dt
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wemart_assets import catalog
from wemart_assets.lake.mart import Mart
from wemart_assets.marts.sessions.stats_wv_d_art_comm_visit import stats_wv_d_art_comm_visit
from wemart_assets.marts.sessions.stats_wv_d_art_indi_comm_activity import stats_wv_d_art_indi_comm_activity
from wemart_assets.marts.sessions.stats_wv_d_ctry_lang import stats_wv_d_ctry_lang
from wemart_assets.marts.sessions.wv_sess import OF_A_COMMUNITY, wv_sess
from wemart_assets.marts.sessions.wv_visit_daily_log import wv_visit_daily_log
from wemart_assets_tests.marts.conftest import last_known
from wemart_assets_tests.marts.test_daily_stats import DAY, JANUARY_15, Bench, Row, counted, session

START = dt.datetime(2024, 1, 15, 1, tzinfo=dt.UTC)


def later(minutes: int) -> Row:
    return {"sess_start_dt": START + dt.timedelta(minutes=minutes)}


# --- wv_visit_daily_log -----------------------------------------------------------------------------------------------

VISIT_LOG = ("key_date", "we_member_id", "sess_ctry", "user_sess_cnt", "total_sess_dur", "part_date")


def test_an_account_has_the_country_of_its_last_session(bench: Bench) -> None:
    rows = [
        session("a", we_member_id=107, sess_ctry="KR", sess_dur=60),
        session("b", we_member_id=107, sess_ctry="US", sess_dur=5, **later(30)),
    ]
    found = bench(wv_visit_daily_log, {}, sessions=rows)
    assert counted(found, *VISIT_LOG) == {(JANUARY_15, 107, "US", 2, 65, DAY)}


def test_a_last_session_without_a_country_leaves_none(bench: Bench) -> None:
    rows = [session("a", we_member_id=107, sess_ctry="KR"), session("b", we_member_id=107, **later(30))]
    assert counted(bench(wv_visit_daily_log, {}, sessions=rows), "sess_ctry") == {(None,)}


def test_of_sessions_with_the_same_start_the_greater_id_is_last(bench: Bench) -> None:
    rows = [session(name, we_member_id=107, sess_ctry=name) for name in "bca"]
    assert counted(bench(wv_visit_daily_log, {}, sessions=rows), "sess_ctry") == {("c",)}


def test_a_session_of_two_users_of_an_account_counts_its_seconds_once(bench: Bench) -> None:
    rows = [session("a", user=user, we_member_id=107, sess_dur=60, user_sess_dur=20) for user in (7, 8)]
    rows += [row | {"comm_id": "11", "is_comm_user": 1} for row in rows]
    assert counted(bench(wv_visit_daily_log, {}, sessions=rows), "user_sess_cnt", "total_sess_dur") == {(2, 60)}


def test_sessions_without_an_account_are_left_out_of_the_visit_log(bench: Bench) -> None:
    assert bench(wv_visit_daily_log, {}, sessions=[session("a"), session("b", user=9)]) == []


# --- stats_wv_d_art_comm_visit ----------------------------------------------------------------------------------------

BY_ARTIST = ("we_art_id", "user_type", "user_ctry", "visitor_cnt", "user_sess_cnt", "total_user_sess_dur")


def visit(name: str, comm: str = "11", **columns: Any) -> Row:
    """A visit of community `comm` by a device, which is the artist's with the same number."""
    return session(name, **{"comm_id": comm, "we_art_id": int(comm), "is_comm_user": 0} | columns)


@pytest.mark.parametrize(
    ("is_comm_user", "is_fc", "kind"),
    [
        (0, None, "visitor"),
        (0, 0, "visitor"),
        (1, None, "member"),
        (1, 0, "member"),
        (1, 1, "membership"),
        (0, 1, "membership"),
    ],
)
def test_a_visitor_has_the_closest_kind(bench: Bench, is_comm_user: int, is_fc: int | None, kind: str) -> None:
    found = bench(stats_wv_d_art_comm_visit, {}, sessions=[visit("a", is_comm_user=is_comm_user, is_fc=is_fc)])
    assert counted(found, *BY_ARTIST) == {(11, kind, None, 1, 1, 1)}


def test_a_session_in_two_communities_of_an_artist_counts_once(bench: Bench) -> None:
    rows = [visit("a", comm, we_art_id=1, user_sess_dur=60) for comm in ("11", "12")]
    found = bench(stats_wv_d_art_comm_visit, {}, sessions=rows)
    assert counted(found, *BY_ARTIST) == {(1, "visitor", None, 1, 1, 60)}


def test_a_device_and_an_account_with_the_same_id_are_two_visitors(bench: Bench) -> None:
    rows = [visit("7"), visit("other", user=1, we_member_id=7)]
    assert counted(bench(stats_wv_d_art_comm_visit, {}, sessions=rows), "visitor_cnt") == {(2,)}


def test_an_account_on_two_devices_is_one_visitor(bench: Bench) -> None:
    rows = [visit(name, user=1, we_member_id=7, user_ctry="KR") for name in "ab"]
    found = bench(stats_wv_d_art_comm_visit, {}, sessions=rows)
    assert counted(found, *BY_ARTIST) == {(11, "visitor", "KR", 1, 2, 2)}


def test_visits_without_an_artist_are_left_out(bench: Bench) -> None:
    assert bench(stats_wv_d_art_comm_visit, {}, sessions=[session("a"), visit("b", we_art_id=None)]) == []


# --- stats_wv_d_ctry_lang ---------------------------------------------------------------------------------------------


def line(visited: Row, language: str | None, minutes: int = 0) -> Row:
    """A line of the log base that names a language."""
    return {
        "date_id": visited["part_date"],
        "user_sess_id": visited["user_sess_id"],
        "log_dt": START + dt.timedelta(minutes=minutes),
        "language": language,
    }


LANGUAGE = ("user_ctry", "language", "visitor_cnt")


def test_a_visitor_has_the_last_known_language_of_all_sessions(bench: Bench) -> None:
    first, second = (session(name, user=1, we_member_id=7, user_ctry="KR") for name in "ab")
    lines = [line(first, "ko"), line(second, "en", 5), line(second, None, 9)]
    found = bench(stats_wv_d_ctry_lang, {}, sessions=[first, second], lines=lines)
    assert counted(found, *LANGUAGE) == {("KR", "en", 1)}


def test_visitors_without_language_and_country_have_their_own_row(bench: Bench) -> None:
    rows = [session("a"), session("b"), session("c", user_ctry="KR")]
    found = bench(stats_wv_d_ctry_lang, {}, sessions=rows, lines=[line(rows[1], "ko"), line(rows[0], None)])
    assert counted(found, *LANGUAGE) == {(None, None, 1), (None, "ko", 1), ("KR", None, 1)}


def test_a_language_of_another_day_does_not_count(bench: Bench) -> None:
    row = session("a")
    found = bench(stats_wv_d_ctry_lang, {}, sessions=[row], lines=[line(row, "ko") | {"date_id": "2024-01-14"}])
    assert counted(found, *LANGUAGE) == {(None, None, 1)}


# --- stats_wv_d_art_indi_comm_activity --------------------------------------------------------------------------------


def test_an_artist_member_has_first_and_last_instant_of_all_sessions(bench: Bench) -> None:
    member: Row = {"art_indi_id": "11-7", "art_indi_type": "ARTIST"}
    rows = [
        visit(
            name,
            **member,
            user_sess_start_dt=START + dt.timedelta(minutes=at),
            user_sess_end_dt=START + dt.timedelta(minutes=to),
        )
        for name, at, to in (("a", 0, 50), ("b", 10, 20))
    ]
    found = bench(stats_wv_d_art_indi_comm_activity, {}, sessions=[*rows, *rows, visit("c")])
    columns = ("comm_id", "art_indi_id", "art_indi_type", "we_art_id", "user_sess_cnt", "total_user_sess_dur")
    assert counted(found, *columns) == {("11", "11-7", "ARTIST", 11, 2, 2)}
    assert counted(found, "first_dt", "last_dt") == {(START, START + dt.timedelta(minutes=50))}


# --- all of them ------------------------------------------------------------------------------------------------------

VISITS = (wv_visit_daily_log, stats_wv_d_art_comm_visit, stats_wv_d_ctry_lang, stats_wv_d_art_indi_comm_activity)


@pytest.mark.parametrize("mart", VISITS, ids=lambda mart: mart.table.name)
def test_days_are_apart(mart: Mart, bench: Bench) -> None:
    days = ("2024-01-14", DAY)
    rows = [visit("a", day=day, user=1, we_member_id=7, art_indi_id="11-1") for day in days]
    assert {row["part_date"] for row in bench(mart, {}, sessions=rows)} == set(days)


def grouped(rows: list[Row], key: Callable[[Row], tuple[Any, ...]]) -> dict[tuple[Any, ...], list[Row]]:
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


def once(rows: list[Row], name: str, seconds: str) -> tuple[int, int]:
    """How many distinct values `name` has, and the sum of their seconds."""
    values = {row[name]: row[seconds] for row in rows}
    return len(values), sum(values.values())


def kind_of(row: Row) -> str:
    return "membership" if row["is_fc"] == 1 else "member" if row["is_comm_user"] == 1 else "visitor"


def visitor_of(row: Row) -> tuple[str, Any]:
    return ("device", row["device_id"]) if row["we_member_id"] is None else ("account", row["we_member_id"])


def language_of(lines: list[Row]) -> str | None:
    found: str | None = last_known(lines, lambda row: row["language"])
    return found


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_random_worlds_match_plain_loops(
    data: st.DataObject,
    worlds: st.SearchStrategy[Any],
    bench: Bench,
    sess_daily_expected: Callable[[Any], list[Row]],
) -> None:
    world = data.draw(worlds)
    sessions = sess_daily_expected(world)
    # Of lines with equal params, as of those of the log, the language is equal.
    lines = [
        row | {"language": ("ko", "en", None)[zlib.crc32(row["params"].encode()) % 3]} for row in world.base_lines()
    ]

    def day_of(row: Row) -> tuple[Any, ...]:
        return (row["key_date"], row["part_date"])

    expected = Counter()
    for key, rows in grouped(
        [r for r in sessions if r["we_member_id"]], lambda r: (*day_of(r), r["we_member_id"])
    ).items():
        last = max(rows, key=lambda row: (row["sess_start_dt"], row["sess_id"]))
        count, (_, seconds) = len({row["user_sess_id"] for row in rows}), once(rows, "sess_id", "sess_dur")
        expected[*key, last["sess_ctry"], count, seconds] += 1
    found = bench(wv_visit_daily_log, {}, sessions=sessions)
    columns = ("key_date", "part_date", "we_member_id", "sess_ctry", "user_sess_cnt", "total_sess_dur")
    assert Counter(tuple(row[c] for c in columns) for row in found) == expected

    visits = [row for row in sessions if row["we_art_id"] is not None]
    by_artist = grouped(visits, lambda row: (*day_of(row), row["we_art_id"], kind_of(row), row["user_ctry"]))
    found = bench(stats_wv_d_art_comm_visit, {}, sessions=sessions)
    assert Counter(tuple(row[c] for c in ("key_date", "part_date", *BY_ARTIST)) for row in found) == Counter(
        (*key, len({visitor_of(row) for row in rows}), *once(rows, "user_sess_id", "user_sess_dur"))
        for key, rows in by_artist.items()
    )

    language = {}
    for (day, who), rows in grouped(sessions, lambda row: (row["part_date"], visitor_of(row))).items():
        names = {row["user_sess_id"] for row in rows}
        language[day, who] = language_of([line for line in lines if line["user_sess_id"] in names])
    expected_languages = {
        (*day_of(row), row["user_ctry"], language[row["part_date"], visitor_of(row)], visitor_of(row))
        for row in sessions
    }
    found = bench(stats_wv_d_ctry_lang, {}, sessions=sessions, lines=lines)
    assert {tuple(row[c] for c in ("key_date", "part_date", *LANGUAGE)) for row in found} == {
        (*key, count) for key, count in Counter(row[:-1] for row in expected_languages).items()
    }

    members = [row for row in sessions if row["art_indi_id"] is not None]
    by_member = grouped(members, lambda row: (*day_of(row), row["comm_id"], row["art_indi_id"]))
    found = bench(stats_wv_d_art_indi_comm_activity, {}, sessions=sessions)
    columns = ("key_date", "part_date", "comm_id", "art_indi_id", "user_sess_cnt", "total_user_sess_dur", "first_dt")
    assert Counter(tuple(row[c] for c in (*columns, "last_dt")) for row in found) == Counter(
        (
            *key,
            *once(rows, "user_sess_id", "user_sess_dur"),
            min(row["user_sess_start_dt"] for row in rows),
            max(row["user_sess_end_dt"] for row in rows),
        )
        for key, rows in by_member.items()
    )


def test_the_view_of_sessions_has_each_user_session_once(bench: Bench) -> None:
    rows = [visit("a", comm, user=7, we_member_id=107) for comm in ("11", "12")] + [session("b")]
    as_mart = Mart(wv_sess.table, catalog.marts()["we_mart.wv_user_daily"].inputs, wv_sess.function)
    found = bench(as_mart, {}, sessions=rows)
    assert sorted(row["device_id"] for row in found) == ["a", "b"]
    for row in found:
        [original, *_] = [r for r in rows if r["device_id"] == row["device_id"]]
        given = {name: value for name, value in row.items() if value is not None}
        assert given == {name: value for name, value in original.items() if name not in OF_A_COMMUNITY}
