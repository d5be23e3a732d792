"""The time of members in communities, and with artists (tables.md 2.3)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wemart_assets.marts.sessions.stats_wv_d_art_comm_time import stats_wv_d_art_comm_time
from wemart_assets.marts.sessions.wv_comm_time_daily import wv_comm_time_daily
from wemart_assets_tests.examples import examples
from wemart_assets_tests.marts.conftest import community_of, place_in_order
from wemart_assets_tests.marts.test_daily_stats import DAY, Bench, Row, counted
from wemart_assets_tests.marts.visits_reference import grouped, nearest_rank, type_of_day

Times = Callable[..., list[Row]]
TIME = ("we_member_id", "comm_id", "engaged_sec")
USERS = [{"we_member_id": 109, "wv_user_id": 9}, {"we_member_id": 110, "wv_user_id": 10}]
MEMBERS = [{"comm_id": comm, "wv_user_id": 9} for comm in (11, 12)]


@pytest.fixture(scope="module")
def times(bench: Bench) -> Times:
    def run(world: Any, engaged_gap_seconds: int = 300) -> list[Row]:
        return bench(
            wv_comm_time_daily,
            {"engaged_gap_seconds": engaged_gap_seconds},
            lines=world.base_lines(),
            posts=world.posts,
            notices=world.notices,
            users=world.users,
            members=world.members,
        )

    return run


@pytest.fixture
def spent(times: Times, world: Callable[..., Any], visit: Callable[..., Row]) -> Callable[..., set[tuple[Any, ...]]]:
    """The times of lines, each a clock and its user, community and so on; user 9 is a member of 11 and 12."""

    def run(*lines: tuple[str, Row], gap: int = 300) -> set[tuple[Any, ...]]:
        made = [visit(clock, **{"user": 9, "comm_id": "11", **columns}) for clock, columns in lines]
        return counted(times(world(*made, users=USERS, members=MEMBERS), gap), *TIME)

    return run


Spent = Callable[..., set[tuple[Any, ...]]]


def test_time_to_the_next_line_counts_for_the_lines_community(spent: Spent) -> None:
    lines = [("10:00:00.000", {}), ("10:00:40.000", {"comm_id": "12"}), ("10:01:00.000", {})]
    assert spent(*lines) == {(109, "11", 40), (109, "12", 20)}


def test_a_single_line_counts_nothing(spent: Spent) -> None:
    assert spent(("10:00:00.000", {})) == {(109, "11", 0)}


@pytest.mark.parametrize(
    ("clock", "seconds"),
    [("10:04:59.999", 299), ("10:05:00.000", 300), ("10:05:00.001", 300), ("10:29:00.000", 300)],
)
def test_a_gap_counts_up_to_the_limit(spent: Spent, clock: str, seconds: int) -> None:
    assert spent(("10:00:00.000", {}), (clock, {})) == {(109, "11", seconds)}


def test_the_limit_is_a_setting(spent: Spent) -> None:
    assert spent(("10:00:00.000", {}), ("10:05:00.000", {}), gap=60) == {(109, "11", 60)}


def test_milliseconds_are_summed_before_they_are_rounded_down(spent: Spent) -> None:
    lines = [("10:00:00.000", {}), ("10:00:00.600", {}), ("10:00:01.200", {}), ("10:00:01.900", {"comm_id": "12"})]
    assert spent(*lines) == {(109, "11", 1), (109, "12", 0)}


def test_time_between_sessions_does_not_count(spent: Spent) -> None:
    lines = [("10:00:00.000", {}), ("10:00:10.000", {}), ("10:40:00.001", {}), ("10:40:03.001", {})]
    assert spent(*lines) == {(109, "11", 13)}


def test_lines_of_another_user_do_not_end_the_time(spent: Spent) -> None:
    lines = [("10:00:00.000", {}), ("10:00:10.000", {"user": 10, "post_id": "1-1"}), ("10:00:30.000", {})]
    assert spent(*lines) == {(109, "11", 30), (110, "11", 0)}


def test_passing_through_a_community_is_time_without_one(spent: Spent) -> None:
    lines = [("10:00:00.000", {"comm_id": "13"}), ("10:00:10.000", {"comm_id": None}), ("10:00:30.000", {})]
    assert spent(*lines) == {(109, None, 30), (109, "11", 0)}


def test_a_post_of_a_community_is_visited_by_anybody(spent: Spent) -> None:
    lines = [("10:00:00.000", {"comm_id": "13", "post_id": "1-1"}), ("10:00:10.000", {})]
    assert spent(*lines) == {(109, "13", 10), (109, "11", 0)}


def test_lines_without_an_account_are_left_out(spent: Spent) -> None:
    lines = [("10:00:00.000", {"user": user, "device": str(user)}) for user in (None, 77)]
    assert spent(*lines) == set()


def test_of_lines_at_the_same_instant_the_last_in_order_has_the_time(spent: Spent) -> None:
    lines = [("10:00:00.000", {"topic": "b", "comm_id": "12"}), ("10:00:00.000", {"topic": "a"}), ("10:00:07.000", {})]
    assert spent(*lines) == {(109, "12", 7), (109, "11", 0)}


# --- stats_wv_d_art_comm_time -----------------------------------------------------------------------------------------

BY_ARTIST = ("we_art_id", "user_type", "member_cnt", "engaged_sec", "median_engaged_sec", "p90_engaged_sec")


def visited(member: int | None, comm: str | None, artist: int | None, is_member: int = 1, is_fc: int = 0) -> Row:
    ids = {"we_member_id": member, "comm_id": comm, "we_art_id": artist}
    return {"part_date": DAY, **ids, "is_comm_user": is_member, "is_fc": is_fc}


def engaged(member: int, comm: str | None, seconds: int) -> Row:
    return {"part_date": DAY, "we_member_id": member, "comm_id": comm, "engaged_sec": seconds}


def test_a_members_time_in_all_communities_of_the_artist_is_one_value(bench: Bench) -> None:
    sessions = [visited(n, comm, 1) for n in (1, 2) for comm in ("11", "12")]
    time = [engaged(1, "11", 10), engaged(1, "12", 20), engaged(2, "11", 5), engaged(2, "12", 0)]
    found = bench(stats_wv_d_art_comm_time, {}, time=time, sessions=sessions)
    assert counted(found, *BY_ARTIST) == {(1, "member", 2, 35, 5, 30)}


def test_a_member_has_the_closest_type_of_the_artists_communities(bench: Bench) -> None:
    sessions = [visited(1, "11", 1, is_member=0), visited(1, "12", 1)]
    time = [engaged(1, "11", 10), engaged(1, "12", 20)]
    found = bench(stats_wv_d_art_comm_time, {}, time=time, sessions=sessions)
    assert counted(found, *BY_ARTIST) == {(1, "member", 1, 30, 30, 30)}


def test_anonymous_visits_and_communities_without_an_artist_are_left_out(bench: Bench) -> None:
    sessions = [visited(None, "11", 1), visited(1, "13", None), visited(1, None, None)]
    time = [engaged(1, "13", 10), engaged(1, None, 20)]
    assert bench(stats_wv_d_art_comm_time, {}, time=time, sessions=sessions) == []


# --- random worlds ----------------------------------------------------------------------------------------------------


def expected_times(world: Any, engaged_gap_seconds: int) -> dict[tuple[Any, ...], int]:
    """Engaged seconds by day, member and community."""
    milliseconds: dict[tuple[Any, ...], int] = defaultdict(int)
    for lines in grouped(world.base_lines(), lambda row: row["user_sess_id"]).values():
        ordered = sorted(lines, key=place_in_order)
        for place, row in enumerate(ordered):
            day, user = row["date_id"], None if row["user_id_fill"] is None else int(row["user_id_fill"])

            def as_of(snapshot: Sequence[Row], day: str = day, **values: Any) -> Row | None:
                found = [r for r in snapshot if r["part_date"] == day and all(r[k] == v for k, v in values.items())]
                return found[0] if found else None

            account = None if user is None else as_of(world.users, wv_user_id=user)
            if account is None:
                continue
            comm = community_of(row, as_of, world)
            is_member = comm is not None and as_of(world.members, comm_id=int(comm), wv_user_id=user) is not None
            if not is_member and row["post_id"] is None and row["notice_id"] is None:
                comm = None
            gap = 0
            if place + 1 < len(ordered):
                gap = round((ordered[place + 1]["log_dt"] - row["log_dt"]).total_seconds() * 1000)
            milliseconds[day, account["we_member_id"], comm] += min(gap, engaged_gap_seconds * 1000)
    return {key: value // 1000 for key, value in milliseconds.items()}


@settings(
    max_examples=examples(20, 60),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data())
def test_random_worlds_match_plain_loops(
    data: st.DataObject,
    worlds: st.SearchStrategy[Any],
    bench: Bench,
    times: Times,
    sess_daily_expected: Callable[[Any], list[Row]],
) -> None:
    world = data.draw(worlds)
    gap = data.draw(st.sampled_from([1, 300, 1800]))
    expected = expected_times(world, gap)
    found = times(world, gap)
    assert {tuple(row[c] for c in ("part_date", *TIME[:2])): row["engaged_sec"] for row in found} == expected
    assert len(found) == len(expected)

    sessions = sess_daily_expected(world)
    artist_of = {(row["part_date"], row["comm_id"]): row["we_art_id"] for row in sessions}
    seconds: dict[tuple[Any, ...], int] = defaultdict(int)
    for (day, member, comm), value in expected.items():
        if artist_of[day, comm] is not None:
            seconds[day, artist_of[day, comm], member] += value
    visits = [row for row in sessions if row["we_member_id"] is not None and row["we_art_id"] is not None]
    by_type: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for key, rows in grouped(visits, lambda row: (row["part_date"], row["we_art_id"], row["we_member_id"])).items():
        by_type[key[0], key[1], type_of_day(rows)].append(seconds[key])
    time = [{"part_date": row["part_date"], **{c: row[c] for c in TIME}} for row in found]
    by_artist = bench(stats_wv_d_art_comm_time, {}, time=time, sessions=sessions)
    assert counted(by_artist, "part_date", *BY_ARTIST) == {
        (*key, len(values), sum(values), nearest_rank(values, 50), nearest_rank(values, 90))
        for key, values in by_type.items()
    }
