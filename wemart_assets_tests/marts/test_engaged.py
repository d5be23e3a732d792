"""Who was ever engaged with which artist: the carried state equals a rebuild from all days (tables.md 2.4)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wemart_assets.marts.services.we_user_dic_engaged_by_project import we_user_dic_engaged_by_project
from wemart_assets_tests.marts.services import RANDOM, order, reaction, visit
from wemart_assets_tests.marts.test_daily_stats import Bench, Row, session

DAYS = ("2024-01-30", "2024-01-31", "2024-02-01", "2024-02-02")
FIRST, SECOND, THIRD, LAST = DAYS
SOURCES = ("sessions", "views", "reactions", "media", "orders")
STATE = ("first_date", "last_date", "engaged_days")

History = dict[str, list[Row]]
Days = dict[str, dict[tuple[int, int], Row]]


def date(day: str) -> dt.date:
    return dt.date.fromisoformat(day)


def view(member: int | None = 107, art: int | None = 11, day: str = FIRST, views: int | None = 1) -> Row:
    return visit(member, day, we_art_id=art, view_cnt=views)


def visited(member: int | None = 107, art: int | None = 11, day: str = FIRST, name: str = "a") -> Row:
    return session(name, day, we_member_id=member, we_art_id=art, comm_id=art and str(art))


def run(bench: Bench, history: History, *ranges: Sequence[str], before: Sequence[Row] = ()) -> Days:
    """The state of each day, run range by range, each from the state that the range before ended with."""
    found: Days = {}
    state = list(before)
    for days in ranges:
        given = {name: [row for row in rows if row["part_date"] in days] for name, rows in history.items()}
        rows = bench(we_user_dic_engaged_by_project, {"days": tuple(days)}, before=state, **given)
        for day in days:
            of_day = [row for row in rows if row["part_date"] == day]
            found[day] = {(row["we_art_id"], row["we_member_id"]): row for row in of_day}
            assert len(found[day]) == len(of_day)
        assert len(rows) == sum(len(found[day]) for day in days)
        state = list(found[days[-1]].values())
    return found


def said(days: Days, art: int = 11, member: int = 107) -> list[Any]:
    """By day, first date, last date and engaged days of a member, or None."""
    rows = [days[day].get((art, member)) for day in DAYS if day in days]
    return [row and tuple(row[name] for name in STATE) for row in rows]


def test_engaged_days_are_carried_and_counted(bench: Bench) -> None:
    history = {"views": [view(day=SECOND), view(day=SECOND), view(day=LAST)]}
    second, last = date(SECOND), date(LAST)
    expected = [None, (second, second, 1), (second, second, 1), (second, last, 2)]
    assert said(run(bench, history, DAYS)) == expected
    assert said(run(bench, history, *([day] for day in DAYS))) == expected


@pytest.mark.parametrize(
    "history",
    [
        {"sessions": [visited()]},
        {"views": [view()]},
        {"reactions": [reaction(day=FIRST)]},
        {"reactions": [reaction(day=FIRST, is_like=0, is_cmnt=1)]},
        {"media": [reaction(day=FIRST)]},
        {"orders": [order(1, day=FIRST)]},
    ],
)
def test_any_act_engages(bench: Bench, history: History) -> None:
    assert said(run(bench, history, [FIRST])) == [(date(FIRST), date(FIRST), 1)]


@pytest.mark.parametrize(
    "history",
    [
        {"sessions": [visited(None), visited(art=None)]},
        {"views": [view(views=0), view(views=None), view(None), view(art=None)]},
        {"reactions": [reaction(day=FIRST, is_like=0), reaction(day=FIRST, is_like=None, is_cmnt=None)]},
        {"media": [reaction(day=FIRST, is_like=0)]},
        {"orders": [order(1, day=FIRST, is_ord=0), order(2, day=FIRST, is_ord=None), order(3, None, day=FIRST)]},
    ],
)
def test_what_does_not_count_does_not_engage(bench: Bench, history: History) -> None:
    assert run(bench, history, [FIRST]) == {FIRST: {}}


def test_acts_of_several_kinds_on_a_day_are_one_day(bench: Bench) -> None:
    history = {"sessions": [visited()], "views": [view()], "orders": [order(1, day=FIRST)]}
    assert said(run(bench, history, [FIRST])) == [(date(FIRST), date(FIRST), 1)]


def test_artists_and_members_are_apart(bench: Bench) -> None:
    history = {"views": [view(107, 11), view(107, 12), view(108, 11)], "orders": [order(1, 108, day=SECOND)]}
    found = run(bench, history, DAYS[:2])
    assert {pair: row["engaged_days"] for pair, row in found[SECOND].items()} == {
        (11, 107): 1,
        (12, 107): 1,
        (11, 108): 2,
    }


def test_a_day_without_acts_equals_the_day_before(bench: Bench) -> None:
    found = run(bench, {"views": [view()]}, [FIRST])
    assert said(run(bench, {}, [SECOND], before=list(found[FIRST].values()))) == said(found)


def rebuilt(history: History, days: Sequence[str] = DAYS) -> Days:
    """The state of each day, from all acts up to it."""
    engaged: dict[tuple[int, int], set[str]] = {}
    state: Days = {}
    for day in days:
        for name, rows in history.items():
            for row in rows:
                counts = {
                    "sessions": lambda r: True,
                    "views": lambda r: (r["view_cnt"] or 0) > 0,
                    "orders": lambda r: r["is_ord"] == 1,
                }.get(name, lambda r: 1 in (r["is_like"], r["is_cmnt"]))(row)
                pair = (row["we_art_id"], row["we_member_id"])
                if row["part_date"] == day and counts and None not in pair:
                    engaged.setdefault(pair, set()).add(day)
        state[day] = {
            pair: {
                "we_art_id": pair[0],
                "we_member_id": pair[1],
                "first_date": date(min(of)),
                "last_date": date(max(of)),
                "engaged_days": len(of),
                "part_date": day,
            }
            for pair, of in engaged.items()
        }
    return state


def without_run_timestamp(days: Days) -> Days:
    return {
        day: {pair: {k: v for k, v in row.items() if k != "run_timestamp"} for pair, row in rows.items()}
        for day, rows in days.items()
    }


MEMBER, ARTIST = st.sampled_from([1, 2, None]), st.sampled_from([10, 20, None])
FLAG = st.sampled_from([0, 1, None])


def acts(days: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, Row]]:
    """A source and a row of it."""
    reactions = st.builds(
        lambda member, art, day, like, comment: reaction(member, art, day, is_like=like, is_cmnt=comment),
        *(MEMBER, ARTIST, days, FLAG, FLAG),
    )
    orders = st.builds(lambda m, a, day, is_ord: order(0, m, a, day, is_ord=is_ord), MEMBER, ARTIST, days, FLAG)
    return st.one_of(
        st.tuples(st.just("sessions"), st.builds(visited, MEMBER, ARTIST, days, st.sampled_from("ab"))),
        st.tuples(st.just("views"), st.builds(view, MEMBER, ARTIST, days, FLAG)),
        st.tuples(st.just("reactions"), reactions),
        st.tuples(st.just("media"), reactions),
        st.tuples(st.just("orders"), orders),
    )


def history_of(rows: Sequence[tuple[str, Row]]) -> History:
    return {name: [row for source, row in rows if source == name] for name in SOURCES}


@RANDOM
@given(rows=st.lists(acts(st.sampled_from(DAYS)), max_size=12))
def test_days_one_by_one_and_as_ranges_match_a_rebuild(bench: Bench, rows: list[tuple[str, Row]]) -> None:
    history = history_of(rows)
    expected = rebuilt(history)
    for ranges in ([DAYS], [[day] for day in DAYS], [DAYS[:2], DAYS[2:]]):
        assert without_run_timestamp(run(bench, history, *ranges)) == expected


@RANDOM
@given(data=st.data(), rows=st.lists(acts(st.sampled_from(DAYS)), max_size=8), place=st.integers(0, 3))
def test_days_after_a_late_act_match_a_rebuild(
    bench: Bench, data: st.DataObject, rows: list[tuple[str, Row]], place: int
) -> None:
    late = data.draw(st.lists(acts(st.just(DAYS[place])), min_size=1, max_size=3))
    early, whole = run(bench, history_of(rows), DAYS), history_of([*rows, *late])
    before = list(early[DAYS[place - 1]].values()) if place else []
    expected = rebuilt(whole)
    for ranges in ([DAYS[place:]], [[day] for day in DAYS[place:]]):
        again = run(bench, whole, *ranges, before=before)
        assert without_run_timestamp({**early, **again}) == expected
