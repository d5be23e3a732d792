"""What is known of every pair of community and user, day by day (tables.md 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wemart_assets_tests.examples import examples
from wemart_assets_tests.marts.communities import (
    DAYS,
    Bench,
    Days,
    History,
    Row,
    at,
    base_by_hand,
    changes,
    happenings,
    history,
    one_row_a_key,
    profile,
    run_base,
    status,
)

QUIET = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

FIRST, SECOND, THIRD, LAST = DAYS


@pytest.fixture
def base(bench: Bench) -> Any:
    """The rows of user 7 in community 11 on each day, of one run over all days; None where there is none."""

    def run(*facts: Row) -> list[Row | None]:
        found = run_base(bench, history(*facts), DAYS)
        return [found[day].get((11, 7)) for day in DAYS]

    return run


def said(rows: list[Row | None], *columns: str) -> list[Any]:
    """By day the values of the columns, the value itself where only one is asked for."""
    values = [None if row is None else tuple(row[name] for name in columns) for row in rows]
    return [value[0] if value and len(columns) == 1 else value for value in values]


# --- profiles ---------------------------------------------------------------------------------------------------------


def test_pair_is_there_from_the_day_of_its_first_row_on(base: Any) -> None:
    rows = base(profile("2024-03-02T10:00"))
    assert [row is not None for row in rows] == [False, True, True, True]


def test_profile_is_carried_on_until_it_changes(base: Any) -> None:
    rows = base(
        profile("2024-03-01T10:00", profile_name="old"),
        profile("2024-03-03T10:00", "2024-03-01T10:00", profile_name="new"),
    )
    assert said(rows, "profile_name") == ["old", "old", "new", "new"]


def test_day_begins_at_midnight_of_the_business_timezone(base: Any) -> None:
    rows = base(
        profile("2024-03-01T23:59:59.999", profile_name="old"),
        profile("2024-03-02T00:00", profile_name="new"),
    )
    assert said(rows, "profile_name") == ["old", "new", "new", "new"]


def test_newest_profile_of_a_day_counts_in_whatever_order_they_come(base: Any) -> None:
    new = profile("2024-03-02T10:00:00.001", profile_name="new")
    old = profile("2024-03-02T10:00", profile_name="old")
    assert said(base(new, old), "profile_name")[1] == "new"
    assert said(base(old, new), "profile_name")[1] == "new"


def test_profile_counts_as_a_whole(base: Any) -> None:
    rows = base(
        profile("2024-03-01T10:00", profile_name="name", hidden="true", profile_image_url="p"),
        profile("2024-03-02T10:00", profile_cover_image_url="c"),
    )
    columns = ("profile_name", "hidden", "profile_image_url", "profile_cover_image_url")
    assert said(rows, *columns) == [("name", "true", "p", None), *[(None, None, None, "c")] * 3]


def test_last_join_is_that_of_the_newest_profile(base: Any) -> None:
    rows = base(profile("2024-03-01T10:00"), profile("2024-03-03T10:00", "2024-02-01T10:00"))
    joined, earlier = at("2024-03-01T10:00"), at("2024-02-01T10:00")
    assert said(rows, "last_join_dt") == [joined, joined, earlier, earlier]


def test_first_join_is_the_least_of_all_profiles(base: Any) -> None:
    rows = base(
        profile("2024-03-01T10:00", first="2024-02-02T10:00"),
        profile("2024-03-02T10:00", first="2024-02-01T10:00"),
        profile("2024-03-02T11:00", first="2024-02-03T10:00"),
        profile("2024-03-03T10:00"),
    )
    second, first = at("2024-02-02T10:00"), at("2024-02-01T10:00")
    assert said(rows, "first_join_dt") == [second, first, first, first]


def test_first_join_may_be_unknown_and_come_later(base: Any) -> None:
    rows = base(profile("2024-03-01T10:00"), profile("2024-03-03T10:00", first="2024-02-01T10:00"))
    assert said(rows, "first_join_dt") == [None, None, *[at("2024-02-01T10:00")] * 2]


def test_milliseconds_are_kept(base: Any) -> None:
    rows = base(profile("2024-03-01T10:00:00.123", "2024-03-01T09:00:00.007", "2019-06-10T12:00:00.999"))
    instants = [at(text) for text in ("2024-03-01T10:00:00.123", "2024-03-01T09:00:00.007", "2019-06-10T12:00:00.999")]
    assert said(rows, "profile_updated_dt", "last_join_dt", "first_join_dt")[0] == tuple(instants)


# --- status lines -----------------------------------------------------------------------------------------------------


def test_status_lines_are_counted_by_kind(base: Any) -> None:
    rows = base(
        status("subscribe", "2024-03-01T10:00"),
        status("unsubscribe", "2024-03-02T10:00"),
        status("subscribe", "2024-03-02T11:00"),
        status("unsubscribe", "2024-03-04T10:00"),
    )
    assert said(rows, "subscribe_cnt", "unsubscribe_cnt") == [(1, 0), (2, 1), (2, 1), (2, 2)]
    assert said(rows, "status") == ["subscribe", "subscribe", "subscribe", "unsubscribe"]
    instants = ["2024-03-01T10:00", "2024-03-02T11:00", "2024-03-02T11:00", "2024-03-04T10:00"]
    assert said(rows, "status_dt") == [at(text) for text in instants]


@pytest.mark.parametrize("kinds", [("subscribe", "unsubscribe"), ("unsubscribe", "subscribe")])
def test_of_equal_instants_unsubscribe_is_last(base: Any, kinds: tuple[str, str]) -> None:
    rows = base(*(status(kind, "2024-03-02T10:00") for kind in kinds))
    assert said(rows, "status")[1] == "unsubscribe"
    assert said(rows, "subscribe_cnt", "unsubscribe_cnt")[1] == (1, 1)


def test_pair_without_profile_is_kept(base: Any) -> None:
    rows = base(status("unsubscribe", "2024-03-02T10:00"))
    columns = ("subscribe_cnt", "unsubscribe_cnt", "last_join_dt", "profile_updated_dt")
    assert said(rows, *columns) == [None, *[(0, 1, None, None)] * 3]


def test_pair_without_status_line_has_counted_none(base: Any) -> None:
    rows = base(profile("2024-03-02T10:00"))
    assert said(rows, "subscribe_cnt", "unsubscribe_cnt", "status", "status_dt")[1:] == [(0, 0, None, None)] * 3


def test_profile_and_status_of_different_days_meet(base: Any) -> None:
    rows = base(
        status("subscribe", "2024-03-01T10:00"),
        profile("2024-03-02T10:00", "2024-03-01T10:00", profile_name="name"),
        status("unsubscribe", "2024-03-03T10:00"),
        profile("2024-03-04T10:00", "2024-03-01T10:00", profile_name="other"),
    )
    assert said(rows, "profile_name", "status") == [
        (None, "subscribe"),
        ("name", "subscribe"),
        ("name", "unsubscribe"),
        ("other", "unsubscribe"),
    ]


def test_leavers_stay_in_the_base(base: Any) -> None:
    rows = base(profile("2024-03-01T10:00"), status("unsubscribe", "2024-03-01T11:00"))
    assert [row is not None for row in rows] == [True] * 4


def test_pairs_are_told_apart_by_community_and_by_user(bench: Bench) -> None:
    facts = [
        profile("2024-03-01T10:00", comm=comm, user=user, profile_name=f"{comm}-{user}")
        for comm in (11, 12)
        for user in (7, 8)
    ]
    found = run_base(bench, history(*facts, status("unsubscribe", "2024-03-02T10:00", comm=12, user=7)), DAYS)[LAST]
    assert {pair: row["profile_name"] for pair, row in found.items()} == {
        (comm, user): f"{comm}-{user}" for comm in (11, 12) for user in (7, 8)
    }
    assert {pair for pair, row in found.items() if row["status"] is not None} == {(12, 7)}


def test_day_without_changes_is_the_day_before(bench: Bench) -> None:
    found = run_base(bench, history(profile("2024-03-01T10:00"), status("subscribe", "2024-03-01T10:00")), DAYS[:1])
    [before] = found[FIRST].values()
    [[after]] = [rows.values() for rows in run_base(bench, history(), [SECOND], before=[before]).values()]
    assert after == before | {"part_date": SECOND}


def test_nothing_at_all_gives_nothing(bench: Bench) -> None:
    assert run_base(bench, history(), DAYS) == {day: {} for day in DAYS}


# --- random histories -------------------------------------------------------------------------------------------------

ONE_BY_ONE = [[day] for day in DAYS]


def rebuilt(of: History) -> Days:
    return {day: base_by_hand(of, day) for day in DAYS}


def compare_runs(bench: Bench, of: History) -> None:
    expected = rebuilt(of)
    assert run_base(bench, of, DAYS) == expected
    assert run_base(bench, of, *ONE_BY_ONE) == expected
    assert run_base(bench, of, DAYS[:2], DAYS[2:]) == expected


def compare_late_change(bench: Bench, of: History, late: Sequence[Row], day: str) -> None:
    early = run_base(bench, of, DAYS)
    whole = one_row_a_key(of.with_facts(*late))
    again = DAYS[DAYS.index(day) :]
    before = list(early[DAYS[DAYS.index(day) - 1]].values()) if day != FIRST else []
    expected = rebuilt(whole)
    assert {**early, **run_base(bench, whole, again, before=before)} == expected
    assert {**early, **run_base(bench, whole, *([one] for one in again), before=before)} == expected


def late_changes() -> st.SearchStrategy[tuple[str, list[Row]]]:
    """A day, and what is told of it late."""
    return st.sampled_from(DAYS).flatmap(
        lambda day: st.tuples(st.just(day), st.lists(changes(day), min_size=1, max_size=3))
    )


@settings(QUIET, max_examples=examples(12, 60))
@given(of=happenings())
def test_days_one_by_one_and_as_ranges_are_what_a_rebuild_from_all_changes_gives(bench: Bench, of: History) -> None:
    compare_runs(bench, of)


@settings(QUIET, max_examples=examples(12, 60))
@given(of=happenings(), late=late_changes())
def test_late_change_and_a_run_of_its_day_to_the_latest_give_what_a_rebuild_gives(
    bench: Bench, of: History, late: tuple[str, list[Row]]
) -> None:
    day, facts = late
    compare_late_change(bench, of, facts, day)
