"""The posts seen by most members of a community in a day, a week, a month (tables.md 3.2)."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wemart_assets.lake.mart import Mart
from wemart_assets.marts.community.stats_wv_d_pop_post import stats_wv_d_pop_post
from wemart_assets.marts.community.stats_wv_m_pop_post import stats_wv_m_pop_post
from wemart_assets.marts.community.stats_wv_w_pop_post import stats_wv_w_pop_post
from wemart_assets_tests.examples import examples
from wemart_assets_tests.marts.communities import Bench, Row
from wemart_assets_tests.marts.test_community_stats import first_of_month, member, monday, same_day, values

QUIET = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
DAY = "2024-03-05"
POPULAR = ("part_date", "comm_id", "rank", "post_id", "viewers", "likers", "commenters")
Start = Callable[[dt.date], dt.date]
MARTS: dict[str, tuple[Mart, Start]] = {
    "day": (stats_wv_d_pop_post, same_day),
    "week": (stats_wv_w_pop_post, monday),
    "month": (stats_wv_m_pop_post, first_of_month),
}


def act(user: int | None, post: str | None, day: str = DAY, comm: int | None = 11, **columns: Any) -> Row:
    """What the account of a user did with a post."""
    row: Row = {
        "key_date": dt.date.fromisoformat(day),
        "we_member_id": None if user is None else 100 + user,
        "comm_id": comm,
        "post_id": post,
        "part_date": day,
    }
    return row | columns


def view(user: int | None, post: str | None, day: str = DAY, comm: int | None = 11, view_cnt: int | None = 1) -> Row:
    return act(user, post, day, comm, view_cnt=view_cnt)


def reaction(user: int | None, post: str, day: str = DAY, comm: int = 11, like: int = 0, cmnt: int = 0) -> Row:
    return act(user, post, day, comm, is_like=like, is_cmnt=cmnt)


MEMBERS = [member(user, day=DAY) for user in (1, 2, 3, 4)]


def popular(bench: Bench, *views: Row, members: Sequence[Row] = MEMBERS, reactions: Sequence[Row] = ()) -> list[Any]:
    found = bench(stats_wv_d_pop_post, {}, members=members, views=views, reactions=reactions)
    return [row[1:] for row in values(found, *POPULAR)]


def test_posts_are_ranked_by_the_members_who_viewed_them(bench: Bench) -> None:
    rows = popular(
        bench, view(1, "1-1"), view(1, "1-2"), view(2, "1-2"), view(3, "1-2"), view(2, "1-3"), view(4, "1-3")
    )
    assert rows == [(11, 1, "1-2", 3, 0, 0), (11, 2, "1-3", 2, 0, 0), (11, 3, "1-1", 1, 0, 0)]


def test_a_member_counts_once_however_often_they_viewed(bench: Bench) -> None:
    rows = popular(bench, view(1, "1-1", view_cnt=900), view(1, "1-1"), view(1, "1-2"), view(2, "1-2"))
    assert rows == [(11, 1, "1-2", 2, 0, 0), (11, 2, "1-1", 1, 0, 0)]


def test_equally_popular_posts_are_ordered_by_their_id_as_text(bench: Bench) -> None:
    posts = ["2-1", "1-9", "1-10", "B", "a", "é"]
    assert [row[2] for row in popular(bench, *(view(1, post) for post in posts))] == [
        "1-10",
        "1-9",
        "2-1",
        "B",
        "a",
        "é",
    ]


def test_only_members_of_the_community_count(bench: Bench) -> None:
    members = [*MEMBERS, member(5, comm=12, day=DAY), member(6, day=DAY, we_member_id=None)]
    views = [view(1, "1-1"), *(view(user, "1-1") for user in (5, 6, 9, None)), view(5, "1-2"), view(1, "1-3", comm=12)]
    reactions = [reaction(user, "1-1", like=1, cmnt=1) for user in (5, 9, None)]
    assert popular(bench, *views, members=members, reactions=reactions) == [(11, 1, "1-1", 1, 0, 0)]


def test_likers_and_commenters_are_distinct_members(bench: Bench) -> None:
    reactions = [
        reaction(1, "1-1", like=1),
        reaction(1, "1-1", like=1, cmnt=1),
        reaction(2, "1-1", like=1),
        # Liked without a view that day.
        reaction(3, "1-1", like=1),
        reaction(4, "1-1"),
    ]
    assert popular(bench, view(1, "1-1"), reactions=reactions) == [(11, 1, "1-1", 1, 3, 1)]


@pytest.mark.parametrize("view_cnt", [0, -1, None])
def test_a_post_that_nobody_viewed_has_no_rank(bench: Bench, view_cnt: int | None) -> None:
    rows = popular(bench, view(1, "1-1", view_cnt=view_cnt), reactions=[reaction(1, "1-1", like=1, cmnt=1)])
    assert rows == []


def test_activity_without_a_post_or_community_does_not_count(bench: Bench) -> None:
    assert popular(bench, view(1, None), view(1, "1-1", comm=None)) == []


def test_the_same_post_in_two_communities_is_ranked_in_both(bench: Bench) -> None:
    members = [*MEMBERS, member(1, comm=12, day=DAY)]
    rows = popular(bench, view(1, "1-1"), view(1, "1-1", comm=12), members=members)
    assert rows == [(11, 1, "1-1", 1, 0, 0), (12, 1, "1-1", 1, 0, 0)]


def test_only_the_first_hundred_posts_are_ranked(bench: Bench) -> None:
    posts = [f"1-{n:03}" for n in range(105)]
    rows = popular(bench, *(view(1, post) for post in posts), view(2, "1-104"))
    ranked = {rank: post for _, rank, post, *_ in rows}
    assert ranked == dict(enumerate(["1-104", *posts[:99]], start=1))


@pytest.mark.parametrize(
    ("mart", "first_day", "last_day", "outside"),
    [
        (stats_wv_w_pop_post, "2024-03-04", "2024-03-10", "2024-03-11"),
        (stats_wv_m_pop_post, "2024-03-01", "2024-03-31", "2024-02-29"),
    ],
    ids=["week", "month"],
)
def test_a_period_counts_members_as_of_its_last_day(
    bench: Bench, mart: Mart, first_day: str, last_day: str, outside: str
) -> None:
    views = [
        view(1, "1-1", first_day),
        view(1, "1-1", last_day),
        view(2, "1-1", last_day),
        # Left before the last day.
        view(3, "1-1", first_day),
        view(2, "1-2", DAY),
    ]
    reactions = [reaction(1, "1-2", first_day, like=1), reaction(3, "1-2", first_day, like=1, cmnt=1)]
    members = [member(user, day=last_day) for user in (1, 2)]
    found = bench(mart, {}, members=members, views=views, reactions=reactions)
    assert values(found, *POPULAR) == [(first_day, 11, 1, "1-1", 2, 0, 0), (first_day, 11, 2, "1-2", 1, 1, 0)]
    assert {row["key_date"] for row in found} == {dt.date.fromisoformat(first_day)}
    assert bench(mart, {}, members=members, views=[view(1, "1-1", outside)]) == []


def reference(members: Sequence[Row], views: Sequence[Row], reactions: Sequence[Row], start: Start) -> list[Any]:
    of_period = {(start(row["key_date"]), row["comm_id"], row["we_member_id"]) for row in members}
    accounts: dict[str, dict[tuple[Any, ...], set[int]]] = {
        kind: defaultdict(set) for kind in ("viewed", "liked", "commented")
    }
    for row in [*views, *reactions]:
        account = row["we_member_id"]
        if account is None or row["post_id"] is None:
            continue
        period = start(row["key_date"])
        if (period, row["comm_id"], account) not in of_period:
            continue
        did = {"viewed": (row.get("view_cnt") or 0) > 0, "liked": row.get("is_like"), "commented": row.get("is_cmnt")}
        for kind, happened in did.items():
            if happened:
                accounts[kind][period, row["comm_id"], row["post_id"]].add(account)
    found = []
    for period, comm in {post[:2] for post in accounts["viewed"]}:
        posts = [post for post in accounts["viewed"] if post[:2] == (period, comm)]
        posts.sort(key=lambda post: (-len(accounts["viewed"][post]), post[2].encode()))
        for rank, post in enumerate(posts[:100], start=1):
            counts = [len(accounts[kind].get(post, ())) for kind in ("viewed", "liked", "commented")]
            found.append((period.isoformat(), comm, rank, post[2], *counts))
    return found


DAYS = st.sampled_from(["2024-02-29", "2024-03-01", "2024-03-03", "2024-03-04", "2024-03-31"])
USERS = st.none() | st.integers(1, 5)
POSTS = st.sampled_from(["1-1", "1-2", "1-10", "2-1"])
COMMUNITIES = st.sampled_from([11, 11, 12])
VIEWS = st.builds(view, USERS, st.none() | POSTS, DAYS, COMMUNITIES, st.sampled_from([None, 0, 1, 3]))
REACTIONS = st.builds(reaction, USERS, POSTS, DAYS, COMMUNITIES, st.integers(0, 1), st.integers(0, 1))
THERE = st.builds(
    lambda user, comm, day, known: member(user, comm, day, we_member_id=100 + user if known else None),
    st.integers(1, 5),
    COMMUNITIES,
    DAYS,
    st.sampled_from([True, True, True, False]),
)


@pytest.mark.parametrize("period", MARTS)
@settings(QUIET, max_examples=examples(25, 150))
@given(
    members=st.lists(THERE, min_size=3, max_size=15),
    views=st.lists(VIEWS, max_size=40),
    reactions=st.lists(REACTIONS, max_size=20),
)
def test_popular_posts_match_plain_loops(
    bench: Bench, period: str, members: list[Row], views: list[Row], reactions: list[Row]
) -> None:
    mart, start = MARTS[period]
    # The day whose snapshot is read is the last of its period, so one snapshot counts for each.
    there = {(start(row["key_date"]), row["comm_id"], row["wv_user_id"]): row for row in members}
    found = bench(mart, {}, members=list(there.values()), views=views, reactions=reactions)
    expected = reference(list(there.values()), views, reactions, start)
    assert values(found, *POPULAR) == sorted(expected, key=str)
