"""Which partitions a mart reads, which of its partitions a change affects, and that the two agree."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wemart_assets.lake.days import Period, days_between, period_days, period_start, shift
from wemart_assets.lake.errors import DeclarationError
from wemart_assets.lake.inputs import (
    Input,
    day_before,
    days_of,
    earlier_days,
    following,
    last_day_of,
    own_day_before,
    own_earlier_days,
    same_day,
    trailing,
    up_to,
    window,
)
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


def of(declared: Table) -> Mart:
    return Mart(declared, {}, lambda: None)


@pytest.mark.parametrize(
    ("read", "reader", "run", "days"),
    [
        (own_day_before(OTHER), OTHER, ["2024-01-05", "2024-01-06"], ["2024-01-04"]),
        (own_day_before(OTHER), OTHER, [FIRST, "2024-01-04"], []),
        (own_earlier_days(OTHER), OTHER, ["2024-01-06", "2024-01-07"], [FIRST, "2024-01-04", "2024-01-05"]),
        (own_earlier_days(OTHER), OTHER, [FIRST], []),
        (following(of(VISITS), 2), OTHER, ["2024-01-05"], ["2024-01-05", "2024-01-06", "2024-01-07"]),
        (days_of(of(VISITS)), BY_WEEK, ["2024-01-08"], days_between("2024-01-08", "2024-01-14")),
        (last_day_of(of(VISITS)), BY_WEEK, ["2024-01-08", "2024-01-15"], ["2024-01-14", "2024-01-21"]),
        (last_day_of(of(VISITS)), BY_MONTH, ["2024-02-01"], ["2024-02-29"]),
        (days_of(of(VISITS)), BY_MONTH, ["2024-02-01"], days_between("2024-02-01", "2024-02-29")),
        (same_day(of(OTHER_WEEK)), BY_WEEK, ["2024-01-15"], ["2024-01-15"]),
        (day_before(of(OTHER_WEEK)), BY_WEEK, ["2024-01-15"], ["2024-01-08"]),
        (trailing(of(BY_MONTH), 2), table("x", Period.MONTH), ["2024-03-01"], ["2024-02-01", "2024-03-01"]),
        (own_earlier_days(BY_MONTH), BY_MONTH, ["2024-04-01"], ["2024-02-01", "2024-03-01"]),
        (day_before(of(VISITS)), BY_MONTH, ["2024-03-01"], days_between("2024-02-01", "2024-02-29")),
        (trailing(of(VISITS), 2), BY_WEEK, ["2024-01-15"], days_between("2024-01-08", "2024-01-21")),
        (trailing(of(VISITS), 2), BY_WEEK, ["2024-01-08"], days_between(FIRST, "2024-01-14")),
        (up_to(of(VISITS)), BY_WEEK, ["2024-01-08", "2024-01-15"], days_between(FIRST, "2024-01-21")),
        (earlier_days(of(VISITS)), BY_WEEK, ["2024-01-15"], days_between(FIRST, "2024-01-14")),
        (Input(VISITS, -1, -1, only_last_day=True), BY_MONTH, ["2024-03-01"], ["2024-02-29"]),
    ],
)
def test_a_run_reads_the_declared_partitions(read: Input, reader: Table, run: list[str], days: list[str]) -> None:
    assert read.days(run, reader, FIRST) == days


KINDS: dict[str, tuple[Callable[[], Input], Table]] = {
    "same day": (lambda: same_day(of(VISITS)), OTHER),
    "day before": (lambda: day_before(of(VISITS)), OTHER),
    "trailing": (lambda: trailing(of(VISITS), 5), OTHER),
    "following": (lambda: following(of(VISITS), 3), OTHER),
    "own day before": (lambda: own_day_before(OTHER), OTHER),
    "own earlier": (lambda: own_earlier_days(OTHER), OTHER),
    "days of week": (lambda: days_of(of(VISITS)), BY_WEEK),
    "last day of week": (lambda: last_day_of(of(VISITS)), BY_WEEK),
    "days of month": (lambda: days_of(of(VISITS)), BY_MONTH),
    "last day of month": (lambda: last_day_of(of(VISITS)), BY_MONTH),
    "week before": (lambda: day_before(of(OTHER_WEEK)), BY_WEEK),
    "earlier weeks": (lambda: earlier_days(of(OTHER_WEEK)), BY_WEEK),
    "own earlier months": (lambda: own_earlier_days(BY_MONTH), BY_MONTH),
    "days of the week before": (lambda: day_before(of(VISITS)), BY_WEEK),
    "days of two months": (lambda: trailing(of(VISITS), 2), BY_MONTH),
    "days of the weeks around": (lambda: Input(VISITS, -1, 1), BY_WEEK),
    "days to the end of the week": (lambda: up_to(of(VISITS)), BY_WEEK),
    "days before the month": (lambda: earlier_days(of(VISITS)), BY_MONTH),
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
        (window(of(VISITS), "window_days"), THREE),
        (window(of(VISITS), "several_days"), THREE),
        (window(of(VISITS), "one_day"), THREE[:1]),
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
        (window(of(VISITS), "window_days"), OTHER, "the same day and those after it, WEMART_WINDOW_DAYS in all"),
        (same_day(of(OTHER_WEEK)), BY_WEEK, "the same week"),
        (day_before(of(OTHER_WEEK)), BY_WEEK, "the week before"),
        (trailing(of(VISITS), 7), OTHER, "the same day and the 6 days before it"),
        (trailing(of(VISITS), 2), OTHER, "the same day and the day before it"),
        (following(of(VISITS), 3), OTHER, "the same day and the 3 days after it"),
        (following(of(VISITS), 1), OTHER, "the same day and the day after it"),
        (Input(VISITS, -2, 1), OTHER, "days -2 to +1"),
        (up_to(of(VISITS)), OTHER, "the same day and all before it"),
        (own_earlier_days(OTHER), OTHER, "all days before"),
        (Input(VISITS, None, -2), OTHER, "all days up to -2"),
        (days_of(of(VISITS)), BY_WEEK, "every day of the week"),
        (last_day_of(of(VISITS)), BY_MONTH, "the last day of the month"),
        (day_before(of(VISITS)), BY_WEEK, "every day of the week before"),
        (trailing(of(VISITS), 2), BY_MONTH, "every day of the month and the month before it"),
        (up_to(of(VISITS)), BY_WEEK, "all days to the end of the week"),
        (earlier_days(of(VISITS)), BY_WEEK, "all days before the week"),
        (Input(VISITS, None, 1), BY_WEEK, "all days of the weeks up to +1"),
        (earlier_days(of(OTHER_WEEK)), BY_WEEK, "all weeks before"),
    ],
)
def test_a_description_names_the_partitions(read: Input, reader: Table, description: str) -> None:
    assert read.description(reader) == description


def test_nothing_after_the_latest_day_is_affected() -> None:
    assert following(of(VISITS), 3).affected(["2024-01-06"], OTHER, ["2024-01-04"]) == {"2024-01-03", "2024-01-04"}
    assert own_earlier_days(OTHER).affected(["2024-01-05"], OTHER, ["2024-01-07"]) == {"2024-01-06", "2024-01-07"}
    assert day_before(of(VISITS)).affected(["2024-01-05"], OTHER, ["2024-01-05"]) == set()


@pytest.mark.parametrize(
    ("reader", "read", "advice"),
    [
        (BY_MONTH, same_day(of(BY_WEEK)), r"a month is not made of weeks\. Read the daily table .* days_of"),
        (BY_MONTH, earlier_days(of(BY_WEEK)), r"a month is not made of weeks"),
        (BY_WEEK, trailing(of(BY_MONTH), 2), r"a week is not made of months"),
        (OTHER, same_day(of(BY_WEEK)), r"a day is not made of weeks\. Read the daily table .* trailing"),
    ],
    ids=["a week by month", "earlier weeks by month", "months by week", "a week by day"],
)
def test_an_input_of_a_longer_period_is_refused(reader: Table, read: Input, advice: str) -> None:
    with pytest.raises(DeclarationError, match=rf"web\.{reader.name} .*{advice}"):
        mart(reader, rows=read)(lambda rows: rows)


def test_a_table_cannot_read_the_partition_it_computes() -> None:
    with pytest.raises(DeclarationError, match="itself"):
        mart(OTHER, rows=Input(OTHER))(lambda rows: rows)


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
