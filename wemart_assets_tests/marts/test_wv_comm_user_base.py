"""The state of every pair of community and user, day by day (tables.md 3.1)."""

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
    base_reference,
    changes,
    history,
    profile,
    random_facts,
    run_base,
    status,
    without_duplicate_keys,
)

QUIET = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

FIRST, SECOND, THIRD, LAST = DAYS


@pytest.fixture
def base(bench: Bench) -> Any:
    """The row of user 7 in community 11 on each day of one run over all days, or None if there is no row."""

    def run(*facts: Row) -> list[Row | None]:
        found = run_base(bench, history(*facts), DAYS)
        return [found[day].get((11, 7)) for day in DAYS]

    return run


def said(rows: list[Row | None], *columns: str) -> list[Any]:
    """By day, the values of the columns, or the bare value if only one column is given."""
    values = [None if row is None else tuple(row[name] for name in columns) for row in rows]
    return [value[0] if value and len(columns) == 1 else value for value in values]


# --- profiles ---------------------------------------------------------------------------------------------------------


def test_a_pair_is_present_from_the_day_of_its_first_row(base: Any) -> None:
    rows = base(profile("2024-03-02T10:00"))
    assert [row is not None for row in rows] == [False, True, True, True]


def test_a_profile_is_carried_forward_until_it_changes(base: Any) -> None:
    rows = base(
        profile("2024-03-01T10:00", profile_name="old"),
        profile("2024-03-03T10:00", "2024-03-01T10:00", profile_name="new"),
    )
    assert said(rows, "profile_name") == ["old", "old", "new", "new"]


def test_a_day_begins_at_midnight_in_the_business_timezone(base: Any) -> None:
    rows = base(
        profile("2024-03-01T23:59:59.999", profile_name="old"),
        profile("2024-03-02T00:00", profile_name="new"),
    )
    assert said(rows, "profile_name") == ["old", "new", "new", "new"]


def test_the_newest_profile_of_a_day_counts_in_any_order_of_arrival(base: Any) -> None:
    new = profile("2024-03-02T10:00:00.001", profile_name="new")
    old = profile("2024-03-02T10:00", profile_name="old")
    assert said(base(new, old), "profile_name")[1] == "new"
    assert said(base(old, new), "profile_name")[1] == "new"


def test_a_newer_profile_replaces_the_older_one_as_a_whole(base: Any) -> None:
    rows = base(
        profile("2024-03-01T10:00", profile_name="name", hidden="true", profile_image_url="p"),
        profile("2024-03-02T10:00", profile_cover_image_url="c"),
    )
    columns = ("profile_name", "hidden", "profile_image_url", "profile_cover_image_url")
    assert said(rows, *columns) == [("name", "true", "p", None), *[(None, None, None, "c")] * 3]


def test_the_last_join_is_that_of_the_newest_profile(base: Any) -> None:
    rows = base(profile("2024-03-01T10:00"), profile("2024-03-03T10:00", "2024-02-01T10:00"))
    joined, earlier = at("2024-03-01T10:00"), at("2024-02-01T10:00")
    assert said(rows, "last_join_dt") == [joined, joined, earlier, earlier]


def test_the_first_join_is_the_earliest_of_all_profiles(base: Any) -> None:
    rows = base(
        profile("2024-03-01T10:00", first="2024-02-02T10:00"),
        profile("2024-03-02T10:00", first="2024-02-01T10:00"),
        profile("2024-03-02T11:00", first="2024-02-03T10:00"),
        profile("2024-03-03T10:00"),
    )
    second, first = at("2024-02-02T10:00"), at("2024-02-01T10:00")
    assert said(rows, "first_join_dt") == [second, first, first, first]


def test_the_first_join_may_be_null_and_become_known_later(base: Any) -> None:
    rows = base(profile("2024-03-01T10:00"), profile("2024-03-03T10:00", first="2024-02-01T10:00"))
    assert said(rows, "first_join_dt") == [None, None, *[at("2024-02-01T10:00")] * 2]


def test_instants_keep_their_milliseconds(base: Any) -> None:
    rows = base(profile("2024-03-01T10:00:00.123", "2024-03-01T09:00:00.007", "2019-06-10T12:00:00.999"))
    instants = [at(text) for text in ("2024-03-01T10:00:00.123", "2024-03-01T09:00:00.007", "2019-06-10T12:00:00.999")]
    assert said(rows, "profile_updated_dt", "last_join_dt", "first_join_dt")[0] == tuple(instants)


# --- status lines -----------------------------------------------------------------------------------------------------


def test_status_lines_are_counted_by_type(base: Any) -> None:
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
def test_at_equal_instants_unsubscribe_is_last(base: Any, kinds: tuple[str, str]) -> None:
    rows = base(*(status(kind, "2024-03-02T10:00") for kind in kinds))
    assert said(rows, "status")[1] == "unsubscribe"
    assert said(rows, "subscribe_cnt", "unsubscribe_cnt")[1] == (1, 1)


def test_a_pair_without_a_profile_is_kept(base: Any) -> None:
    rows = base(status("unsubscribe", "2024-03-02T10:00"))
    columns = ("subscribe_cnt", "unsubscribe_cnt", "last_join_dt", "profile_updated_dt")
    assert said(rows, *columns) == [None, *[(0, 1, None, None)] * 3]


def test_a_pair_without_a_status_line_has_zero_counts(base: Any) -> None:
    rows = base(profile("2024-03-02T10:00"))
    assert said(rows, "subscribe_cnt", "unsubscribe_cnt", "status", "status_dt")[1:] == [(0, 0, None, None)] * 3


def test_profile_and_status_of_different_days_are_joined(base: Any) -> None:
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


def test_pairs_are_identified_by_community_and_user(bench: Bench) -> None:
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


def test_a_day_without_changes_equals_the_day_before(bench: Bench) -> None:
    found = run_base(bench, history(profile("2024-03-01T10:00"), status("subscribe", "2024-03-01T10:00")), DAYS[:1])
    [before] = found[FIRST].values()
    [[after]] = [rows.values() for rows in run_base(bench, history(), [SECOND], before=[before]).values()]
    assert after == before | {"part_date": SECOND}


def test_empty_inputs_give_no_rows(bench: Bench) -> None:
    assert run_base(bench, history(), DAYS) == {day: {} for day in DAYS}


# --- random histories -------------------------------------------------------------------------------------------------

ONE_BY_ONE = [[day] for day in DAYS]


def rebuilt(of: History) -> Days:
    return {day: base_reference(of, day) for day in DAYS}


def compare_runs(bench: Bench, of: History) -> None:
    expected = rebuilt(of)
    assert run_base(bench, of, DAYS) == expected
    assert run_base(bench, of, *ONE_BY_ONE) == expected
    assert run_base(bench, of, DAYS[:2], DAYS[2:]) == expected


def compare_late_change(bench: Bench, of: History, late: Sequence[Row], day: str) -> None:
    early = run_base(bench, of, DAYS)
    whole = without_duplicate_keys(of.with_facts(*late))
    again = DAYS[DAYS.index(day) :]
    before = list(early[DAYS[DAYS.index(day) - 1]].values()) if day != FIRST else []
    expected = rebuilt(whole)
    assert {**early, **run_base(bench, whole, again, before=before)} == expected
    assert {**early, **run_base(bench, whole, *([one] for one in again), before=before)} == expected


def late_changes() -> st.SearchStrategy[tuple[str, list[Row]]]:
    """A day, and changes of it that arrive late."""
    return st.sampled_from(DAYS).flatmap(
        lambda day: st.tuples(st.just(day), st.lists(changes(day), min_size=1, max_size=3))
    )


@settings(QUIET, max_examples=examples(12, 60))
@given(of=random_facts())
def test_days_one_by_one_and_as_ranges_match_a_rebuild(bench: Bench, of: History) -> None:
    compare_runs(bench, of)


@settings(QUIET, max_examples=examples(12, 60))
@given(of=random_facts(), late=late_changes())
def test_rows_after_a_late_change_match_a_rebuild(bench: Bench, of: History, late: tuple[str, list[Row]]) -> None:
    day, facts = late
    compare_late_change(bench, of, facts, day)
