"""Which partitions a mart reads, which of its partitions a change affects, and that the two agree."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import dagster as dg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wemart_assets.lake.days import Period, days_between, period_days, period_start, shift
from wemart_assets.lake.errors import DeclarationError
from wemart_assets.lake.inputs import Input, following, previous_period, same_period, trailing, up_to
from wemart_assets.lake.mart import Mart, mart
from wemart_assets.lake.table import Table, column

FIRST = "2024-01-03"
PARTITIONS = {
    Period.DAY: dg.DailyPartitionsDefinition(FIRST, timezone="Asia/Seoul"),
    Period.WEEK: dg.WeeklyPartitionsDefinition(FIRST, timezone="Asia/Seoul", day_offset=1),
    Period.MONTH: dg.MonthlyPartitionsDefinition(FIRST, timezone="Asia/Seoul"),
}


def table(name: str, period: Period = Period.DAY) -> Table:
    return Table("web", name, "description", (column("part_date", "string", "day"),), period=period)


VISITS, OTHER = table("visits"), table("other")
BY_WEEK, OTHER_WEEK = table("by_week", Period.WEEK), table("other_week", Period.WEEK)
BY_MONTH = table("by_month", Period.MONTH)
UNDATED = replace(VISITS, name="undated", only_partition="1970-01-01")


def of(declared: Table) -> Mart:
    return Mart(declared, {}, lambda: None)


@pytest.mark.parametrize(
    ("read", "reader", "run", "days"),
    [
        (previous_period(OTHER), OTHER, ["2024-01-05", "2024-01-06"], ["2024-01-04"]),
        (previous_period(OTHER), OTHER, [FIRST, "2024-01-04"], []),
        (up_to(OTHER, inclusive=False), OTHER, ["2024-01-06", "2024-01-07"], [FIRST, "2024-01-04", "2024-01-05"]),
        (up_to(OTHER, inclusive=False), OTHER, [FIRST], []),
        (following(of(VISITS), 2), OTHER, ["2024-01-05"], ["2024-01-05", "2024-01-06", "2024-01-07"]),
        (following(of(VISITS), 2, in_all=True), OTHER, ["2024-01-05"], ["2024-01-05", "2024-01-06"]),
        (same_period(of(VISITS)), BY_WEEK, ["2024-01-08"], days_between("2024-01-08", "2024-01-14")),
        (
            same_period(of(VISITS), only_last_day=True),
            BY_WEEK,
            ["2024-01-08", "2024-01-15"],
            ["2024-01-14", "2024-01-21"],
        ),
        (same_period(of(VISITS), only_last_day=True), BY_MONTH, ["2024-02-01"], ["2024-02-29"]),
        (same_period(of(VISITS)), BY_MONTH, ["2024-02-01"], days_between("2024-02-01", "2024-02-29")),
        (same_period(of(OTHER_WEEK)), BY_WEEK, ["2024-01-15"], ["2024-01-15"]),
        (previous_period(of(OTHER_WEEK)), BY_WEEK, ["2024-01-15"], ["2024-01-08"]),
        (trailing(of(BY_MONTH), 2), table("x", Period.MONTH), ["2024-03-01"], ["2024-02-01", "2024-03-01"]),
        (up_to(BY_MONTH, inclusive=False), BY_MONTH, ["2024-04-01"], ["2024-02-01", "2024-03-01"]),
        (previous_period(of(VISITS)), BY_MONTH, ["2024-03-01"], days_between("2024-02-01", "2024-02-29")),
        (trailing(of(VISITS), 2), BY_WEEK, ["2024-01-15"], days_between("2024-01-08", "2024-01-21")),
        (trailing(of(VISITS), 2), BY_WEEK, ["2024-01-08"], days_between(FIRST, "2024-01-14")),
        (up_to(of(VISITS)), BY_WEEK, ["2024-01-08", "2024-01-15"], days_between(FIRST, "2024-01-21")),
        (up_to(of(VISITS), inclusive=False), BY_WEEK, ["2024-01-15"], days_between(FIRST, "2024-01-14")),
        (Input(VISITS, -1, -1, only_last_day=True), BY_MONTH, ["2024-03-01"], ["2024-02-29"]),
        (same_period(UNDATED), BY_WEEK, ["2024-01-08"], ["1970-01-01"]),
    ],
)
def test_a_run_reads_the_declared_partitions(read: Input, reader: Table, run: list[str], days: list[str]) -> None:
    assert read.days(run, reader, FIRST) == days


KINDS: dict[str, tuple[Callable[[], Input], Table]] = {
    "same day": (lambda: same_period(of(VISITS)), OTHER),
    "day before": (lambda: previous_period(of(VISITS)), OTHER),
    "trailing": (lambda: trailing(of(VISITS), 5), OTHER),
    "following": (lambda: following(of(VISITS), 3), OTHER),
    "own day before": (lambda: previous_period(OTHER), OTHER),
    "own earlier": (lambda: up_to(OTHER, inclusive=False), OTHER),
    "days of week": (lambda: same_period(of(VISITS)), BY_WEEK),
    "last day of week": (lambda: same_period(of(VISITS), only_last_day=True), BY_WEEK),
    "days of month": (lambda: same_period(of(VISITS)), BY_MONTH),
    "last day of month": (lambda: same_period(of(VISITS), only_last_day=True), BY_MONTH),
    "week before": (lambda: previous_period(of(OTHER_WEEK)), BY_WEEK),
    "earlier weeks": (lambda: up_to(of(OTHER_WEEK), inclusive=False), BY_WEEK),
    "own earlier months": (lambda: up_to(BY_MONTH, inclusive=False), BY_MONTH),
    "days of the week before": (lambda: previous_period(of(VISITS)), BY_WEEK),
    "days of two months": (lambda: trailing(of(VISITS), 2), BY_MONTH),
    "days of the weeks around": (lambda: Input(VISITS, -1, 1), BY_WEEK),
    "days to the end of the week": (lambda: up_to(of(VISITS)), BY_WEEK),
    "days before the month": (lambda: up_to(of(VISITS), inclusive=False), BY_MONTH),
    "last day of the month before": (lambda: Input(VISITS, -1, -1, only_last_day=True), BY_MONTH),
}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60)
@given(days=st.data())
def test_a_partition_affects_exactly_those_that_read_it(kind: str, days: Any) -> None:
    make, reader = KINDS[kind]
    read = make()
    day = st.dates(dt.date(2024, 1, 3), dt.date(2024, 3, 31)).map(dt.date.isoformat)
    own, upstream = period_start(days.draw(day), reader.period), period_start(days.draw(day), read.table.period)
    latest = "2024-04-30"
    assert (own in read.affected([upstream], reader, [latest])) is (upstream in read.days([own], reader, "2024-01-01"))


# Dagster has no mapping to the last day of a period: it shows all days of it.
@pytest.mark.parametrize("kind", [k for k in KINDS if not k.startswith("last day")])
def test_dagster_maps_the_partitions_that_are_read(kind: str) -> None:
    make, reader = KINDS[kind]
    read, own = make(), {Period.DAY: "2024-02-14", Period.WEEK: "2024-02-12", Period.MONTH: "2024-02-01"}[reader.period]
    result = read.mapping(reader).get_upstream_mapped_partitions_result_for_partitions(
        PARTITIONS[reader.period].subset_with_partition_keys([own]),
        PARTITIONS[reader.period],
        PARTITIONS[read.table.period],
        current_time=dt.datetime(2024, 6, 1, tzinfo=dt.UTC),
    )
    assert sorted(result.partitions_subset.get_partition_keys()) == read.days([own], reader, FIRST)


SET: dict[str, Any] = {"window_days": 3, "several_days": (1, 3), "one_day": (1,)}
THREE = ["2024-01-05", "2024-01-06", "2024-01-07"]


@pytest.mark.parametrize(
    ("read", "days"),
    [
        (following(of(VISITS), "window_days"), [*THREE, "2024-01-08"]),
        (following(of(VISITS), "window_days", in_all=True), THREE),
        (following(of(VISITS), "several_days", in_all=True), THREE),
        (following(of(VISITS), "one_day", in_all=True), THREE[:1]),
    ],
)
def test_a_setting_controls_how_many_days_are_read(read: Input, days: list[str]) -> None:
    resolved = read.resolve(SET)
    assert resolved.days(THREE[:1], OTHER, FIRST) == days
    assert resolved.affected(["2024-01-08"], OTHER, ["2024-01-09"]) == {
        shift("2024-01-08", -after) for after in range(len(days))
    }


@pytest.mark.parametrize(
    ("read", "reader", "description"),
    [
        (following(of(VISITS), "window_days"), OTHER, "the same day and the WEMART_WINDOW_DAYS days after it"),
        (
            following(of(VISITS), "window_days", in_all=True),
            OTHER,
            "the same day and those after it, WEMART_WINDOW_DAYS in all",
        ),
        (same_period(UNDATED), OTHER, "the whole table"),
        (same_period(of(OTHER_WEEK)), BY_WEEK, "the same week"),
        (previous_period(of(OTHER_WEEK)), BY_WEEK, "the week before"),
        (trailing(of(VISITS), 7), OTHER, "the same day and the 6 days before it"),
        (trailing(of(VISITS), 2), OTHER, "the same day and the day before it"),
        (following(of(VISITS), 3), OTHER, "the same day and the 3 days after it"),
        (following(of(VISITS), 1), OTHER, "the same day and the day after it"),
        (Input(VISITS, -2, 1), OTHER, "days -2 to +1"),
        (up_to(of(VISITS)), OTHER, "the same day and all before it"),
        (up_to(OTHER, inclusive=False), OTHER, "all days before"),
        (Input(VISITS, None, -2), OTHER, "all days up to -2"),
        (same_period(of(VISITS)), BY_WEEK, "every day of the week"),
        (same_period(of(VISITS), only_last_day=True), BY_MONTH, "the last day of the month"),
        (previous_period(of(VISITS)), BY_WEEK, "every day of the week before"),
        (trailing(of(VISITS), 2), BY_MONTH, "every day of the month and the month before it"),
        (up_to(of(VISITS)), BY_WEEK, "all days to the end of the week"),
        (up_to(of(VISITS), inclusive=False), BY_WEEK, "all days before the week"),
        (Input(VISITS, None, 1), BY_WEEK, "all days of the weeks up to +1"),
        (up_to(of(OTHER_WEEK), inclusive=False), BY_WEEK, "all weeks before"),
    ],
)
def test_a_description_names_the_partitions(read: Input, reader: Table, description: str) -> None:
    assert read.description(reader) == description


def test_nothing_after_the_latest_day_is_affected() -> None:
    assert following(of(VISITS), 3).affected(["2024-01-06"], OTHER, ["2024-01-04"]) == {"2024-01-03", "2024-01-04"}
    assert up_to(OTHER, inclusive=False).affected(["2024-01-05"], OTHER, ["2024-01-07"]) == {"2024-01-06", "2024-01-07"}
    assert previous_period(of(VISITS)).affected(["2024-01-05"], OTHER, ["2024-01-05"]) == set()


@pytest.mark.parametrize(
    ("reader", "read", "advice"),
    [
        (BY_MONTH, same_period(of(BY_WEEK)), r"a month is not made of weeks\. Read the daily table .* same_period"),
        (BY_MONTH, up_to(of(BY_WEEK), inclusive=False), r"a month is not made of weeks"),
        (BY_WEEK, trailing(of(BY_MONTH), 2), r"a week is not made of months"),
        (OTHER, same_period(of(BY_WEEK)), r"a day is not made of weeks\. Read the daily table .* trailing"),
    ],
    ids=["a week by month", "earlier weeks by month", "months by week", "a week by day"],
)
def test_an_input_of_a_longer_period_is_refused(reader: Table, read: Input, advice: str) -> None:
    with pytest.raises(DeclarationError, match=rf"web\.{reader.name} .*{advice}"):
        mart(reader, rows=read)(lambda rows: rows)


def test_a_table_cannot_read_the_partition_it_computes() -> None:
    for read in (same_period(OTHER), up_to(OTHER), trailing(OTHER, 2), following(OTHER, 1)):
        with pytest.raises(DeclarationError, match=r"itself.*previous_period.*inclusive=False"):
            mart(OTHER, rows=read)(lambda rows: rows)


@pytest.mark.parametrize(
    ("reader", "read"),
    [(OTHER, VISITS), (BY_WEEK, OTHER_WEEK), (BY_WEEK, UNDATED)],
    ids=["a day by day", "a week by week", "a table without days"],
)
def test_only_the_last_day_needs_days_of_a_longer_period(reader: Table, read: Table) -> None:
    with pytest.raises(DeclarationError, match=rf"{reader.full_name} .*{read.full_name} with only_last_day=True"):
        mart(reader, rows=same_period(read, only_last_day=True))(lambda rows: rows)


@pytest.mark.parametrize("read", [same_period, previous_period, up_to, lambda of: trailing(of, 2)])
def test_an_input_is_named_by_its_mart_or_by_its_table(read: Callable[[Mart | Table], Input]) -> None:
    assert read(of(VISITS)) == read(VISITS)


# Calendar


@given(st.dates(dt.date(1990, 1, 1), dt.date(2090, 1, 1)), st.sampled_from(Period), st.integers(-30, 30))
def test_periods_cover_each_date_exactly_once(date: dt.date, period: Period, count: int) -> None:
    start = period_start(date.isoformat(), period)
    days = period_days(start, period)
    assert days[0] == start
    assert date.isoformat() in days
    assert {period_start(day, period) for day in days} == {start}
    assert shift(days[-1], 1) == shift(start, 1, period)
    assert shift(shift(start, count, period), -count, period) == start


def test_weeks_begin_on_monday_and_months_on_the_first() -> None:
    assert period_start("2024-03-03", Period.WEEK) == "2024-02-26"
    assert period_start("2024-03-03", Period.MONTH) == "2024-03-01"
    assert shift("2024-01-01", -1, Period.MONTH) == "2023-12-01"
