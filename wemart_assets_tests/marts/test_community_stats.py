"""The tables computed from wv_comm_user (tables.md 3.2)."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import ibis
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wemart_assets.marts.community.stats_wv_d_comm_cross_join import stats_wv_d_comm_cross_join
from wemart_assets.marts.community.stats_wv_d_comm_cross_join_agg import stats_wv_d_comm_cross_join_agg
from wemart_assets.marts.community.stats_wv_d_comm_engage_usr import stats_wv_d_comm_engage_usr
from wemart_assets.marts.community.stats_wv_d_comm_fc import stats_wv_d_comm_fc
from wemart_assets.marts.community.stats_wv_d_comm_join import stats_wv_d_comm_join
from wemart_assets.marts.community.stats_wv_d_comm_profile import stats_wv_d_comm_profile
from wemart_assets.marts.community.stats_wv_d_user_setting import stats_wv_d_user_setting
from wemart_assets.marts.community.stats_wv_m_comm_engage_usr import stats_wv_m_comm_engage_usr
from wemart_assets.marts.community.stats_wv_w_comm_engage_usr import stats_wv_w_comm_engage_usr
from wemart_assets.marts.community.wv_comm_user_update import wv_comm_user_update
from wemart_assets.marts.community.wv_dm_subscr import wv_dm_subscr
from wemart_assets_tests.marts.communities import (
    DAYS,
    PUSH_FLAGS,
    SEOUL,
    Bench,
    History,
    Pair,
    Row,
    at,
    business_day,
    histories,
    holds_membership,
    members_reference,
)

FIRST, SECOND, THIRD, LAST = DAYS
QUIET = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

OF_THE_RUN = ("key_date", "part_date", "run_timestamp")
# Property tests are parametrized by name, so that a failing example is shown with it.
MARTS = {
    mart.table.name: mart
    for mart in (
        stats_wv_d_comm_fc,
        stats_wv_d_comm_profile,
        stats_wv_d_user_setting,
        stats_wv_d_comm_engage_usr,
        stats_wv_w_comm_engage_usr,
        stats_wv_m_comm_engage_usr,
    )
}


def member(user: int = 7, comm: int = 11, day: str = FIRST, **columns: Any) -> Row:
    """A row of wv_comm_user: a fan, NORMAL, whose account is 100 more than the user."""
    row: Row = {
        "key_date": dt.date.fromisoformat(day),
        "wv_user_id": user,
        "we_member_id": 100 + user,
        "comm_id": comm,
        "we_art_id": comm - 10,
        "we_art_name": f"artist {comm}",
        "is_fc": 0,
        "comm_user_status": "NORMAL",
        "comm_user_grade": "FAN",
        "is_profile_created": 1,
        "is_profile_private": 0,
        **dict.fromkeys(PUSH_FLAGS, 0),
        "part_comm_id": comm,
        "part_date": day,
    }
    return row | columns


def values(rows: Iterable[Row], *columns: str) -> list[tuple[Any, ...]]:
    """Values of these columns of the rows, in order."""
    return sorted((tuple(row[name] for name in columns) for row in rows), key=str)


def day_before(day: str) -> str:
    return (dt.date.fromisoformat(day) - dt.timedelta(days=1)).isoformat()


@st.composite
def snapshots(draw: st.DrawFn, *varied: str) -> list[Row]:
    """Members of each day in two communities; the `varied` columns change or are NULL from day to day."""
    choices: dict[str, list[Any]] = {
        "comm_user_status": ["NORMAL", "NORMAL", "DEACTIVATED", "WV_DEACTIVATED"],
        "ip_ctry": [None, "KR", "US"],
        "profile_name": [None, "", "name", "NULL"],
        "is_fc": [0, 1],
        "is_profile_private": [0, 1],
        "comm_user_end_dt": [None, at("2024-03-02T10:00"), at("2024-03-02T10:00:00.000001")],
        "we_member_id": [None, 101, 102],
        PUSH_FLAGS[0]: [0, 1],
        PUSH_FLAGS[-1]: [0, 1],
    }
    every = [(day, comm, user) for day in DAYS for comm in (11, 12, 13) for user in (7, 8, 9)]
    there = draw(st.integers(0, 2 ** len(every) - 1))
    rows = []
    for place, (day, comm, user) in enumerate(every):
        if there >> place & 1:
            rows.append(member(user, comm, day) | {c: draw(st.sampled_from(choices[c])) for c in varied})
    return rows


def last_but_one(rows: Sequence[Row]) -> list[Row]:
    """The previous days that a run over all days reads."""
    return [row for row in rows if row["part_date"] != LAST]


# --- wv_comm_user_update ----------------------------------------------------------------------------------------------


def updates(bench: Bench, now: Sequence[Row], before: Sequence[Row] = ()) -> dict[tuple[int, int], Row]:
    rows = bench(wv_comm_user_update, {}, now=now, before=before)
    found = {(row["comm_id"], row["wv_user_id"]): row for row in rows}
    assert len(found) == len(rows)
    return found


def test_a_member_absent_the_day_before_is_created(bench: Bench) -> None:
    [row] = updates(bench, [member(7, day=SECOND, profile_name="name")]).values()
    assert row["update_type"] == "c"
    assert row["key_date"] == dt.date(2024, 3, 2)
    assert (row["part_date"], row["profile_name"], row["we_member_id"]) == (SECOND, "name", 107)


def test_a_member_who_is_gone_is_deleted_with_the_last_known_values(bench: Bench) -> None:
    [row] = updates(bench, [], [member(7, day=FIRST, profile_name="last")]).values()
    assert row["update_type"] == "d"
    assert row["key_date"] == dt.date(2024, 3, 2)
    assert (row["part_date"], row["profile_name"]) == (SECOND, "last")


def test_an_unchanged_member_is_no_update(bench: Bench) -> None:
    before = member(7, day=FIRST, run_timestamp=at("2024-03-02T10:00"))
    now = member(7, day=SECOND, run_timestamp=at("2024-03-03T10:00"))
    assert updates(bench, [now], [before]) == {}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"profile_name": "old"}, {"profile_name": "new"}),
        ({"profile_name": None}, {"profile_name": ""}),
        ({"ip_ctry": "KR"}, {"ip_ctry": None}),
        ({"comm_user_status": "NORMAL"}, {"comm_user_status": "DEACTIVATED"}),
        ({"comm_user_cre_dt": at("2024-03-01T10:00")}, {"comm_user_cre_dt": at("2024-03-01T10:00:00.000001")}),
        ({"following_push_enabled": 0}, {"following_push_enabled": 1}),
        ({"fc_id": None}, {"fc_id": 1}),
    ],
)
def test_a_member_changed_in_one_column_is_updated(bench: Bench, old: Row, new: Row) -> None:
    [row] = updates(bench, [member(day=SECOND, **new)], [member(day=FIRST, **old)]).values()
    assert row["update_type"] == "u"
    assert {name: row[name] for name in new} == new


def test_every_column_except_those_of_the_day_is_compared(bench: Bench) -> None:
    example: dict[str, Any] = {"int": 5, "bigint": 5, "tinyint": 5, "string": "x", "timestamp": at("2024-03-01T10:00")}
    columns = wv_comm_user_update.inputs["now"].table.columns
    said = [c for c in columns if c.name not in (*OF_THE_RUN, "comm_id", "wv_user_id")]
    before = [member(n, day=FIRST) for n in range(len(said))]
    now = [member(n, day=SECOND) | {c.name: example[c.type]} for n, c in enumerate(said)]
    assert len(said) == 54
    assert {row["update_type"] for row in updates(bench, now, before).values()} == {"u"}
    assert len(updates(bench, now, before)) == len(said)


def test_members_of_other_communities_do_not_count(bench: Bench) -> None:
    found = updates(bench, [member(7, 11, SECOND)], [member(7, 12, FIRST), member(8, 11, FIRST)])
    assert {pair: row["update_type"] for pair, row in found.items()} == {(11, 7): "c", (12, 7): "d", (11, 8): "d"}


def said_of(row: Row) -> Row:
    return {k: v for k, v in row.items() if k not in (*OF_THE_RUN, "update_type")}


@settings(QUIET, max_examples=20)
@given(rows=snapshots("profile_name", "ip_ctry", "comm_user_status", "comm_user_end_dt"))
def test_replaying_the_updates_gives_the_members_of_any_day(bench: Bench, rows: list[Row]) -> None:
    found = bench(wv_comm_user_update, {}, now=rows, before=last_but_one(rows))
    all_columns = dict.fromkeys(c.name for c in wv_comm_user_update.inputs["now"].table.columns)
    replayed: dict[tuple[int, int], Row] = {}
    for day in DAYS:
        for row in (row for row in found if row["part_date"] == day):
            assert row["key_date"] == dt.date.fromisoformat(day)
            pair = (row["comm_id"], row["wv_user_id"])
            if row["update_type"] == "d":
                assert replayed.pop(pair) == said_of(row)
                continue
            assert (row["update_type"] == "u") == (pair in replayed)
            assert replayed.get(pair) != said_of(row), "an update that changes nothing"
            replayed[pair] = said_of(row)
        there = {(row["comm_id"], row["wv_user_id"]): said_of(all_columns | row) for row in of_day(rows, day)}
        assert replayed == there


def of_day(rows: Iterable[Row], day: str) -> list[Row]:
    return [row for row in rows if row["part_date"] == day]


# --- stats_wv_d_comm_fc, stats_wv_d_comm_profile, stats_wv_d_user_setting ---------------------------------------------


def test_members_and_holders_are_counted_by_community_and_day(bench: Bench) -> None:
    rows = [
        member(7, is_fc=1),
        member(8, is_fc=0),
        member(7, 12, is_fc=0, we_art_id=None, we_art_name=None),
        member(7, day=SECOND, is_fc=1),
    ]
    found = bench(stats_wv_d_comm_fc, {}, members=rows)
    columns = ("part_date", "comm_id", "we_art_id", "we_art_name", "total_members", "fc_members", "key_date")
    assert values(found, *columns) == [
        (FIRST, 11, 1, "artist 11", 2, 1, dt.date(2024, 3, 1)),
        (FIRST, 12, None, None, 1, 0, dt.date(2024, 3, 1)),
        (SECOND, 11, 1, "artist 11", 1, 1, dt.date(2024, 3, 2)),
    ]


def test_members_without_an_account_are_counted(bench: Bench) -> None:
    found = bench(stats_wv_d_comm_fc, {}, members=[member(user, we_member_id=None) for user in (7, 8)])
    assert values(found, "total_members") == [(2,)]


def test_profiles_and_private_ones_are_counted(bench: Bench) -> None:
    rows = [member(7, is_profile_private=1), member(8), member(9), member(7, 12), member(7, day=SECOND)]
    found = bench(stats_wv_d_comm_profile, {}, members=rows)
    columns = ("part_date", "comm_id", "we_art_name", "total_profile_created", "total_profile_private")
    assert values(found, *columns) == [
        (FIRST, 11, "artist 11", 3, 1),
        (FIRST, 12, "artist 12", 1, 0),
        (SECOND, 11, "artist 11", 1, 0),
    ]


def test_each_notification_is_counted_separately(bench: Bench) -> None:
    rows = [member(n, **dict.fromkeys(PUSH_FLAGS[:n], 1)) for n in range(len(PUSH_FLAGS) + 1)]
    [found] = bench(stats_wv_d_user_setting, {}, members=rows)
    counts = {flag: found[f"{flag.removesuffix('_enabled')}_cnt"] for flag in PUSH_FLAGS}
    assert counts == {flag: len(PUSH_FLAGS) - n for n, flag in enumerate(PUSH_FLAGS)}
    assert found["member_cnt"] == 12


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("stats_wv_d_comm_fc", {"total_members": None, "fc_members": "is_fc"}),
        ("stats_wv_d_comm_profile", {"total_profile_created": None, "total_profile_private": "is_profile_private"}),
        (
            "stats_wv_d_user_setting",
            {"member_cnt": None, **{f"{flag.removesuffix('_enabled')}_cnt": flag for flag in PUSH_FLAGS}},
        ),
    ],
)
@settings(QUIET, max_examples=10)
@given(rows=snapshots("is_fc", "is_profile_private", PUSH_FLAGS[0], PUSH_FLAGS[-1]))
def test_counts_by_community_match_a_plain_count(
    bench: Bench, name: str, counts: dict[str, str | None], rows: list[Row]
) -> None:
    """Each count is of the members with a flag set, or of all where none is named."""
    expected = [
        (day, comm, *(sum(flag is None or row[flag] for row in of) for flag in counts.values()))
        for day in DAYS
        for comm in (11, 12, 13)
        if (of := [row for row in of_day(rows, day) if row["comm_id"] == comm])
    ]
    assert values(bench(MARTS[name], {}, members=rows), "part_date", "comm_id", *counts) == expected


# --- stats_wv_d_comm_join ---------------------------------------------------------------------------------------------

JOIN = ("part_date", "comm_id", "ip_ctry", "joins", "leaves", "members")


def joins_reference(rows: Sequence[Row], day: str) -> list[tuple[Any, ...]]:
    """tables.md 3.2, word by word."""
    before = {(row["comm_id"], row["wv_user_id"]): row["comm_user_status"] for row in of_day(rows, day_before(day))}
    joins, leaves, there = Counter[Any](), Counter[Any](), Counter[Any]()
    for row in of_day(rows, day):
        key = (day, row["comm_id"], row.get("ip_ctry"))
        there[key] += 1
        joins[key] += before.get((row["comm_id"], row["wv_user_id"])) != "NORMAL"
        leaves[key] += row["comm_user_status"] != "NORMAL"
    return [(*key, joins[key], leaves[key], there[key]) for key in there]


def test_joins_leaves_and_members_are_counted_by_country(bench: Bench) -> None:
    before = [
        member(1, ip_ctry="KR"),
        member(2, ip_ctry="KR"),
        member(3, ip_ctry="KR", comm_user_status="DEACTIVATED"),
        member(4, ip_ctry="KR", comm_user_status="WV_DEACTIVATED"),
    ]
    now = [
        member(1, ip_ctry="US"),  # the user changed country: no join
        member(2, ip_ctry="KR", comm_user_status="DEACTIVATED"),
        member(3, ip_ctry="KR"),  # came back
        member(5, ip_ctry="KR"),
        member(6, ip_ctry=None, comm_user_status="WV_DEACTIVATED"),  # came and went
    ]
    now = [row | {"part_date": SECOND, "key_date": dt.date(2024, 3, 2)} for row in now]
    found = bench(stats_wv_d_comm_join, {}, now=now, before=before)
    assert values(found, *JOIN) == [
        (SECOND, 11, "KR", 2, 1, 3),
        (SECOND, 11, "US", 0, 0, 1),
        (SECOND, 11, None, 1, 1, 1),
    ]
    assert {row["key_date"] for row in found} == {dt.date(2024, 3, 2)}


def test_on_the_first_day_every_member_counts_as_joined(bench: Bench) -> None:
    found = bench(stats_wv_d_comm_join, {}, now=[member(7), member(8)])
    assert values(found, *JOIN) == [(FIRST, 11, None, 2, 0, 2)]


def test_a_member_of_another_community_the_day_before_joins(bench: Bench) -> None:
    found = bench(stats_wv_d_comm_join, {}, now=[member(7, 11, SECOND)], before=[member(7, 12), member(8, 11)])
    assert values(found, *JOIN) == [(SECOND, 11, None, 1, 0, 1)]


@settings(QUIET, max_examples=15)
@given(rows=snapshots("comm_user_status", "ip_ctry"))
def test_joins_match_a_plain_count(bench: Bench, rows: list[Row]) -> None:
    found = bench(stats_wv_d_comm_join, {}, now=rows, before=last_but_one(rows))
    assert values(found, *JOIN) == sorted((row for day in DAYS for row in joins_reference(rows, day)), key=str)


def test_the_chart_shows_joins_and_leaves_of_all_communities_by_day() -> None:
    def row(day: str, comm: int, joins: int, leaves: int) -> Row:
        return {"part_date": day, "comm_id": comm, "joins": joins, "leaves": leaves}

    [chart] = stats_wv_d_comm_join.table.charts
    staged = ibis.memtable([row(LAST, 11, 5, 1), row(LAST, 12, 2, 3)])
    published = ibis.memtable([row(FIRST, 11, 900, 0), row(THIRD, 11, 4, 0), row(SECOND, 11, 1, 2)])
    points = chart.points(staged, published, FIRST).to_pyarrow().to_pylist()
    assert values(points, "part_date", "joins", "leaves") == [(SECOND, 1, 2), (THIRD, 4, 0), (LAST, 7, 4)]
    svg = ElementTree.fromstring(chart.draw(points))
    texts = {text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")}
    assert {"0", "2", "4", "6", "8", SECOND, THIRD, LAST, "joins", "leaves"} < texts
    joins, leaves = heights_of(svg)
    # The day without a leave is at zero, and the top of the axis is 8.
    zero = leaves[1]
    assert [8 - y / zero * 8 for y in joins] == pytest.approx([1, 4, 7])
    assert [8 - y / zero * 8 for y in leaves] == pytest.approx([2, 0, 4])


def heights_of(svg: ElementTree.Element) -> list[list[float]]:
    """The vertical places of each line's values."""
    paths = [p for p in svg.iter("{http://www.w3.org/2000/svg}path") if p.get("aria-roledescription") == "line mark"]
    return [[float(y) for y in re.findall(r"[ML][\d.]+,([\d.]+)", path.attrib["d"])] for path in paths]


def test_a_day_that_is_not_published_is_a_gap_in_the_chart() -> None:
    [chart] = stats_wv_d_comm_join.table.charts
    days = [{"part_date": day, "joins": 1, "leaves": 0} for day in (FIRST, SECOND, LAST)]
    svg = ElementTree.fromstring(chart.draw(days))
    texts = {text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")}
    assert THIRD in texts
    paths = [p for p in svg.iter("{http://www.w3.org/2000/svg}path") if p.get("aria-roledescription") == "line mark"]
    assert [re.findall("[ML]", path.attrib["d"]) for path in paths] == [["M", "L", "M"]] * 2
    # No line leads to the day after the gap.
    assert len([p for p in svg.iter() if p.get("aria-roledescription") == "circle"]) == 2


def test_the_chart_of_the_first_day_is_empty() -> None:
    [chart] = stats_wv_d_comm_join.table.charts
    assert heights_of(ElementTree.fromstring(chart.draw([]))) == []


def late_leaves(of: History, day: str) -> list[Pair]:
    """Members of the day before who had not left according to its snapshots, but are not members on the day."""
    before, now = members_reference(of, day_before(day)), members_reference(of, day)
    return [pair for pair, row in before.items() if row["comm_user_status"] == "NORMAL" and pair not in now]


@settings(QUIET, max_examples=30)
@given(of=histories())
def test_members_add_up_from_day_to_day_in_any_history(of: History) -> None:
    """As tables.md requires: only members whose leave is known late are missing from the sum."""
    rows = [row for day in DAYS for row in members_reference(of, day).values()]
    for before, day in pairwise(DAYS):
        for comm in (11, 12):
            joined = sum(row[3] for row in joins_reference(rows, day) if row[1] == comm)
            were = [row for row in of_day(rows, before) if row["comm_id"] == comm]
            left = sum(row["comm_user_status"] != "NORMAL" for row in were)
            late = sum(of_comm == comm for of_comm, _ in late_leaves(of, day))
            there = sum(row["comm_id"] == comm for row in of_day(rows, day))
            assert there == len(were) - left - late + joined, (comm, day)


# --- the engaged members of a day, a week, a month --------------------------------------------------------------------

ENGAGED = ("member_cnt", "view_user_cnt", "like_user_cnt", "cmnt_user_cnt", "media_react_user_cnt", "engage_user_cnt")
Start = Callable[[dt.date], dt.date]


def same_day(day: dt.date) -> dt.date:
    return day


def monday(day: dt.date) -> dt.date:
    return day - dt.timedelta(days=day.weekday())


def first_of_month(day: dt.date) -> dt.date:
    return day.replace(day=1)


def act(day: str, user: int | None = 7, comm: int = 11, **columns: Any) -> Row:
    """An action of the user's account in a community."""
    account = None if user is None else 100 + user
    return {
        "key_date": dt.date.fromisoformat(day),
        "part_date": day,
        "we_member_id": account,
        "comm_id": comm,
    } | columns


def view(day: str, user: int | None = 7, comm: int = 11, view_cnt: int | None = 1) -> Row:
    return act(day, user, comm, view_cnt=view_cnt, post_id="1-1")


def reaction(day: str, user: int | None = 7, comm: int = 11, like: int = 0, cmnt: int = 0) -> Row:
    return act(day, user, comm, is_like=like, is_cmnt=cmnt)


@pytest.mark.parametrize(
    ("acts", "counts"),
    [
        ({}, (1, 0, 0, 0, 0, 0)),
        ({"views": [view(FIRST), view(FIRST)]}, (1, 1, 0, 0, 0, 1)),
        ({"views": [view(FIRST, view_cnt=0)]}, (1, 0, 0, 0, 0, 0)),
        ({"views": [view(FIRST, view_cnt=None)]}, (1, 0, 0, 0, 0, 0)),
        ({"views": [view(FIRST, comm=12)]}, (1, 0, 0, 0, 0, 0)),
        ({"views": [view(FIRST, user=8)]}, (1, 0, 0, 0, 0, 0)),
        ({"views": [view(FIRST, user=None)]}, (1, 0, 0, 0, 0, 0)),
        ({"reactions": [reaction(FIRST, like=1)]}, (1, 0, 1, 0, 0, 1)),
        ({"reactions": [reaction(FIRST, cmnt=1)]}, (1, 0, 0, 1, 0, 1)),
        ({"reactions": [reaction(FIRST, like=1, cmnt=1)]}, (1, 0, 1, 1, 0, 1)),
        ({"reactions": [reaction(FIRST)]}, (1, 0, 0, 0, 0, 0)),
        ({"media": [reaction(FIRST, like=1)]}, (1, 0, 0, 0, 1, 1)),
        ({"media": [reaction(FIRST, cmnt=1)]}, (1, 0, 0, 0, 1, 1)),
        ({"media": [reaction(FIRST)]}, (1, 0, 0, 0, 0, 0)),
        ({"views": [view(FIRST)], "media": [reaction(FIRST, like=1, cmnt=1)]}, (1, 1, 0, 0, 1, 1)),
    ],
)
def test_only_the_listed_actions_count_as_engagement(bench: Bench, acts: Row, counts: tuple[int, ...]) -> None:
    [found] = bench(stats_wv_d_comm_engage_usr, {}, members=[member()], **acts)
    assert tuple(found[name] for name in ENGAGED) == counts


def test_a_member_without_an_account_is_counted_but_never_engaged(bench: Bench) -> None:
    rows = bench(
        stats_wv_d_comm_engage_usr, {}, members=[member(we_member_id=None)], views=[view(FIRST), view(FIRST, None)]
    )
    assert values(rows, *ENGAGED) == [(1, 0, 0, 0, 0, 0)]


def test_members_are_counted_by_their_own_country(bench: Bench) -> None:
    rows = bench(
        stats_wv_d_comm_engage_usr,
        {},
        members=[member(7, ip_ctry="KR"), member(8, ip_ctry=None), member(9, ip_ctry=None)],
        views=[view(FIRST, 7) | {"ip_ctry": "US"}, view(FIRST, 8) | {"ip_ctry": "US"}],
    )
    assert values(rows, "ip_ctry", "member_cnt", "view_user_cnt") == [("KR", 1, 1), (None, 2, 1)]


def test_an_action_on_another_day_does_not_count(bench: Bench) -> None:
    rows = bench(stats_wv_d_comm_engage_usr, {}, members=[member(), member(day=SECOND)], views=[view(SECOND)])
    assert values(rows, "part_date", "view_user_cnt") == [(FIRST, 0), (SECOND, 1)]


def test_a_week_runs_from_monday_to_sunday(bench: Bench) -> None:
    """4 March 2024 is a Monday."""
    sundays = [member(user, day=day) for user in (7, 8, 9, 10) for day in ("2024-03-03", "2024-03-10")]
    acts = [("2024-03-03", 7), ("2024-03-04", 8), ("2024-03-10", 9)]
    rows = bench(stats_wv_w_comm_engage_usr, {}, members=sundays, views=[view(day, user) for day, user in acts])
    assert values(rows, "key_date", "part_date", "member_cnt", "view_user_cnt") == [
        (dt.date(2024, 2, 26), "2024-02-26", 4, 1),
        (dt.date(2024, 3, 4), "2024-03-04", 4, 2),
    ]


def test_a_month_runs_from_its_first_day_to_its_last(bench: Bench) -> None:
    last_days = [member(user, day=day) for user in (7, 8, 9, 10) for day in ("2024-02-29", "2024-03-31")]
    acts = [("2024-02-29", 7), ("2024-03-01", 8), ("2024-03-31", 9)]
    rows = bench(stats_wv_m_comm_engage_usr, {}, members=last_days, views=[view(day, user) for day, user in acts])
    assert values(rows, "key_date", "part_date", "member_cnt", "view_user_cnt") == [
        (dt.date(2024, 2, 1), "2024-02-01", 4, 1),
        (dt.date(2024, 3, 1), "2024-03-01", 4, 2),
    ]


def test_a_member_active_on_several_days_counts_once(bench: Bench) -> None:
    days = [f"2024-03-{n:02d}" for n in range(4, 11)]
    for mart, last in ((stats_wv_w_comm_engage_usr, "2024-03-10"), (stats_wv_m_comm_engage_usr, "2024-03-31")):
        rows = bench(
            mart,
            {},
            members=[member(day=last)],
            views=[view(day) for day in days],
            reactions=[reaction(day, like=1, cmnt=1) for day in days],
        )
        assert values(rows, *ENGAGED) == [(1, 1, 1, 1, 0, 1)]


def test_only_members_on_the_last_day_count_in_a_period(bench: Bench) -> None:
    """User 8 has left by the last day, so earlier actions of the account do not count."""
    rows = bench(
        stats_wv_w_comm_engage_usr,
        {},
        members=[member(7, day="2024-03-10", ip_ctry="US")],
        views=[view("2024-03-05", 7) | {"ip_ctry": "KR"}, view("2024-03-05", 8)],
    )
    assert values(rows, "ip_ctry", "member_cnt", "view_user_cnt", "engage_user_cnt") == [("US", 1, 1, 1)]


def test_periods_read_all_days_of_actions_and_the_last_day_of_members() -> None:
    for mart, start, days in (
        (stats_wv_w_comm_engage_usr, "2024-02-26", 7),
        (stats_wv_m_comm_engage_usr, "2024-02-01", 29),
    ):
        read = {name: of.days([start], mart.table, "2020-01-01") for name, of in mart.inputs.items()}
        last = {"2024-02-26": "2024-03-03", "2024-02-01": "2024-02-29"}[start]
        assert read["members"] == [last]
        for name in ("views", "reactions", "media"):
            assert (read[name][0], read[name][-1], len(read[name])) == (start, last, days)


@st.composite
def acts(draw: st.DrawFn) -> dict[str, list[Row]]:
    """Two weeks across the boundary of two months."""
    days = st.sampled_from(["2024-02-25", "2024-02-26", "2024-02-29", "2024-03-01", "2024-03-03", "2024-03-04"])
    users, comms, flag = st.sampled_from([7, 8, 9, None]), st.sampled_from([11, 12]), st.integers(0, 1)
    reactions = st.builds(reaction, days, users, comms, flag, flag)
    return {
        "views": draw(st.lists(st.builds(view, days, users, comms, st.sampled_from([None, 0, 1, 5])), max_size=6)),
        "reactions": draw(st.lists(reactions, max_size=6)),
        "media": draw(st.lists(reactions, max_size=6)),
    }


@pytest.mark.parametrize(
    ("name", "start", "last_days"),
    [
        ("stats_wv_d_comm_engage_usr", same_day, ("2024-02-29", "2024-03-03")),
        ("stats_wv_w_comm_engage_usr", monday, ("2024-03-03", "2024-03-10")),
        ("stats_wv_m_comm_engage_usr", first_of_month, ("2024-02-29", "2024-03-31")),
    ],
)
@settings(QUIET, max_examples=10)
@given(did=acts(), data=st.data())
def test_engaged_members_match_a_plain_count(
    bench: Bench, name: str, start: Start, last_days: Sequence[str], did: dict[str, list[Row]], data: st.DataObject
) -> None:
    rows = [
        member(user, comm, day, ip_ctry=data.draw(st.sampled_from([None, "KR"])))
        for day in last_days
        for comm in (11, 12)
        for user in (7, 8)
    ]
    expected = Counter[Any]()
    for row in rows:
        of = {
            name: [
                a
                for a in did[name]
                if (a["we_member_id"], a["comm_id"]) == (row["we_member_id"], row["comm_id"])
                and start(a["key_date"]) == start(row["key_date"])
            ]
            for name in did
        }
        done = (
            any((a["view_cnt"] or 0) > 0 for a in of["views"]),
            any(a["is_like"] for a in of["reactions"]),
            any(a["is_cmnt"] for a in of["reactions"]),
            any(a["is_like"] or a["is_cmnt"] for a in of["media"]),
        )
        key = (start(row["key_date"]), row["comm_id"], row["ip_ctry"])
        expected.update({(*key, name): count for name, count in zip(ENGAGED, (1, *done, any(done)), strict=True)})
    found = bench(MARTS[name], {}, members=rows, **did)
    assert {(r["key_date"], r["comm_id"], r["ip_ctry"], name): r[name] for r in found for name in ENGAGED} == expected
    assert {r["part_date"] for r in found} == {start(row["key_date"]).isoformat() for row in rows}


# --- stats_wv_d_comm_cross_join and its aggregate ---------------------------------------------------------------------

CROSS = ("part_date", "comm_id", "other_comm_id", "member_cnt")


def test_shared_members_are_counted_for_both_orders_of_a_pair(bench: Bench) -> None:
    rows = [member(7, 11), member(7, 12), member(8, 11), member(8, 12), member(9, 11), member(10, 13)]
    found = bench(stats_wv_d_comm_cross_join, {}, members=rows)
    assert values(found, *CROSS) == [(FIRST, 11, 12, 2), (FIRST, 12, 11, 2)]


def test_members_of_different_days_do_not_meet(bench: Bench) -> None:
    assert bench(stats_wv_d_comm_cross_join, {}, members=[member(7, 11), member(7, 12, SECOND)]) == []


def test_members_are_counted_by_the_number_of_their_communities(bench: Bench) -> None:
    rows = [member(7, 11), member(7, 12), member(8, 11), member(9, 13), member(7, 11, SECOND)]
    found = bench(stats_wv_d_comm_cross_join_agg, {}, members=rows)
    assert values(found, "part_date", "key_date", "community_cnt", "member_cnt") == [
        (FIRST, dt.date(2024, 3, 1), 1, 2),
        (FIRST, dt.date(2024, 3, 1), 2, 1),
        (SECOND, dt.date(2024, 3, 2), 1, 1),
    ]


@settings(QUIET, max_examples=10)
@given(rows=snapshots())
def test_shared_members_match_a_plain_count(bench: Bench, rows: list[Row]) -> None:
    shared, numbers = Counter[Any](), Counter[Any]()
    for day in DAYS:
        of_user: dict[int, list[int]] = {}
        for row in of_day(rows, day):
            of_user.setdefault(row["wv_user_id"], []).append(row["comm_id"])
        shared.update((day, one, other) for of in of_user.values() for one in of for other in of if one != other)
        numbers.update((day, len(of)) for of in of_user.values())
    found = bench(stats_wv_d_comm_cross_join, {}, members=rows)
    assert values(found, *CROSS) == sorted((*key, count) for key, count in shared.items())
    found = bench(stats_wv_d_comm_cross_join_agg, {}, members=rows)
    assert values(found, "part_date", "community_cnt", "member_cnt") == sorted((*k, n) for k, n in numbers.items())


# --- wv_dm_subscr -----------------------------------------------------------------------------------------------------

ZONE = {"timezone": SEOUL}


def purchase(start: str = "2024-02-01T10:00", end: str | None = None, day: str = SECOND, **columns: Any) -> Row:
    return {
        "wv_user_id": 7,
        "community_id": 11,
        "dm_id": 1,
        "product_type": "MONTH",
        "start_dt": at(start),
        "end_dt": end and at(end),
        "part_date": day,
    } | columns


def subscriptions(bench: Bench, *purchases: Row, **inputs: Sequence[Row]) -> list[Row]:
    return bench(wv_dm_subscr, ZONE, purchases=purchases, **inputs)


ACCOUNT: Row = {"we_member_id": 107, "wv_user_id": 7, "part_date": SECOND}
ARTIST: Row = {"we_art_id": 1, "comm_id": 11, "part_date": SECOND}
ORDER: Row = {
    "we_member_id": 107,
    "we_art_id": 1,
    "fc_id": 1,
    "create_dt": at("2024-01-01T10:00"),
    "start_dt": at("2024-01-01T10:00"),
    "end_dt": None,
    "ord_status": "PAID",
    "is_cx_by_restore": 0,
    "part_date": SECOND,
}


def test_a_member_with_a_membership_has_a_subscription_row(bench: Bench) -> None:
    [found] = subscriptions(
        bench,
        purchase(end="2024-04-01T10:00"),
        members=[member(day=SECOND)],
        users=[ACCOUNT],
        artists=[ARTIST],
        memberships=[ORDER, ORDER | {"fc_id": 2}],
    )
    del found["run_timestamp"]
    assert found == {
        "key_date": dt.date(2024, 3, 2),
        "wv_user_id": 7,
        "we_member_id": 107,
        "comm_id": 11,
        "we_art_id": 1,
        "dm_id": 1,
        "product_type": "MONTH",
        "is_comm_user": 1,
        "is_fc": 1,
        "start_dt": at("2024-02-01T10:00"),
        "end_dt": at("2024-04-01T10:00"),
        "part_date": SECOND,
    }


@pytest.mark.parametrize(
    ("start", "end", "runs"),
    [
        ("2024-03-02T00:00", None, True),
        ("2024-03-02T23:59:59.999", None, True),
        ("2024-03-03T00:00", None, False),
        ("2024-02-01T10:00", "2024-03-02T00:00", True),
        ("2024-02-01T10:00", "2024-03-01T23:59:59.999", False),
    ],
)
def test_a_subscription_runs_from_its_start_day_to_its_end_day(
    bench: Bench, start: str, end: str | None, runs: bool
) -> None:
    assert bool(subscriptions(bench, purchase(start, end))) == runs


def test_the_latest_renewal_is_shown(bench: Bench) -> None:
    old = purchase("2024-02-01T10:00", "2024-03-02T10:00", product_type="OLD")
    renewed = purchase("2024-03-02T10:00", "2024-04-02T10:00", product_type="NEW")
    coming = purchase("2024-03-03T10:00", product_type="COMING")
    for purchases in ([old, renewed, coming], [coming, renewed, old]):
        assert values(subscriptions(bench, *purchases), "product_type") == [("NEW",)]


def test_subscriptions_to_several_artists_are_separate_rows(bench: Bench) -> None:
    rows = subscriptions(bench, purchase(), purchase(dm_id=2), purchase(dm_id=3, community_id=12))
    assert values(rows, "comm_id", "dm_id") == [(11, 1), (11, 2), (12, 3)]


@pytest.mark.parametrize(
    ("inputs", "is_comm_user", "is_fc"),
    [
        ({}, 0, None),
        ({"users": [ACCOUNT], "memberships": [ORDER]}, 0, None),
        ({"artists": [ARTIST], "memberships": [ORDER]}, 0, None),
        ({"users": [ACCOUNT], "artists": [ARTIST]}, 0, 0),
        ({"users": [ACCOUNT], "artists": [ARTIST], "memberships": [ORDER | {"is_cx_by_restore": 1}]}, 0, 0),
        ({"members": [member(7, 12, SECOND), member(8, 11, SECOND), member(7, 11, FIRST)]}, 0, None),
        ({"members": [member(7, 11, SECOND, comm_user_status="DEACTIVATED")]}, 1, None),
    ],
)
def test_membership_is_null_without_an_account_or_artist(
    bench: Bench, inputs: Row, is_comm_user: int, is_fc: int | None
) -> None:
    rows = subscriptions(bench, purchase(), **inputs)
    assert values(rows, "is_comm_user", "is_fc") == [(is_comm_user, is_fc)]


@st.composite
def purchases_and_more(draw: st.DrawFn) -> dict[str, list[Row]]:
    near = [f"2024-03-{day:02d}T{clock}" for day in (1, 2, 3) for clock in ("00:00", "12:00", "23:59:59.999")]
    instants, days = st.sampled_from(near), st.sampled_from([FIRST, SECOND])
    bought = st.builds(
        lambda start, end, day, user, dm: purchase(
            start, end, day, wv_user_id=user, dm_id=dm, community_id=10 + dm, product_type=f"from {start}"
        ),
        instants,
        st.none() | instants,
        days,
        st.sampled_from([7, 8]),
        st.sampled_from([1, 2]),
    )
    held = st.builds(
        lambda day, n, art, start, end: (
            ORDER | {"part_date": day, "fc_id": n, "we_art_id": art, "start_dt": at(start), "end_dt": end and at(end)}
        ),
        days,
        st.integers(1, 3),
        st.sampled_from([1, 2]),
        instants,
        st.none() | instants,
    )
    bought_by_key = {(p["part_date"], p["wv_user_id"], p["dm_id"], p["start_dt"]): p for p in draw(st.lists(bought))}
    held_by_key = {(o["part_date"], o["we_art_id"], o["fc_id"]): o for o in draw(st.lists(held, max_size=4))}
    there = draw(st.lists(st.builds(member, st.sampled_from([7, 8]), st.sampled_from([11, 12]), days), max_size=4))
    return {
        "purchases": list(bought_by_key.values()),
        "memberships": list(held_by_key.values()),
        "members": list({(m["part_date"], m["comm_id"], m["wv_user_id"]): m for m in there}.values()),
        "users": [ACCOUNT, ACCOUNT | {"part_date": FIRST}],
        "artists": [ARTIST, ARTIST | {"part_date": FIRST}, ARTIST | {"we_art_id": 2, "comm_id": 12}],
    }


@settings(QUIET, max_examples=20)
@given(of=purchases_and_more())
def test_subscriptions_match_a_plain_loop(bench: Bench, of: dict[str, list[Row]]) -> None:
    expected: dict[Any, tuple[Any, ...]] = {}
    for row in sorted(of["purchases"], key=lambda row: row["start_dt"]):
        day, user, comm = row["part_date"], row["wv_user_id"], row["community_id"]
        if business_day(row["start_dt"]) > day or (row["end_dt"] is not None and business_day(row["end_dt"]) < day):
            continue
        is_member = any((m["part_date"], m["comm_id"], m["wv_user_id"]) == (day, comm, user) for m in of["members"])
        artist = next((a["we_art_id"] for a in of["artists"] if (a["part_date"], a["comm_id"]) == (day, comm)), None)
        is_fc = None
        if user == 7 and artist is not None:
            orders = [o for o in of["memberships"] if (o["part_date"], o["we_art_id"]) == (day, artist)]
            is_fc = int(any(holds_membership(order, day, SEOUL) for order in orders))
        shown = (row["start_dt"], row["end_dt"], row["product_type"], artist, int(is_member), is_fc)
        expected[day, user, comm, row["dm_id"]] = shown
    found = bench(wv_dm_subscr, ZONE, **of)
    columns = ("start_dt", "end_dt", "product_type", "we_art_id", "is_comm_user", "is_fc")
    assert {
        (r["part_date"], r["wv_user_id"], r["comm_id"], r["dm_id"]): tuple(r[c] for c in columns) for r in found
    } == expected
    assert len(found) == len(expected)
