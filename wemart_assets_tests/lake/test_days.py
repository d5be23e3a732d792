"""Calendar arithmetic on business days."""

from __future__ import annotations

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from wemart_assets.lake.days import day_start, days_between, ranges, shift

DATES = st.dates(dt.date(1990, 1, 1), dt.date(2037, 12, 31))


def test_a_day_in_seoul_begins_at_15_00_utc_on_the_previous_day() -> None:
    assert day_start("2024-03-05", "Asia/Seoul") == dt.datetime(2024, 3, 4, 15, 0, tzinfo=dt.UTC)


def test_the_day_on_which_clocks_go_forward_has_23_hours() -> None:
    start, end = (day_start(day, "America/New_York") for day in ("2024-03-10", "2024-03-11"))
    assert end - start == dt.timedelta(hours=23)


def test_the_day_on_which_clocks_go_back_has_25_hours() -> None:
    start, end = (day_start(day, "America/New_York") for day in ("2024-11-03", "2024-11-04"))
    assert end - start == dt.timedelta(hours=25)


def test_a_day_without_a_midnight_begins_when_the_clocks_jump() -> None:
    # In Sao Paulo 2018-11-04 began at 01:00, straight after 2018-11-03 23:59:59, which is 03:00 UTC.
    assert day_start("2018-11-04", "America/Sao_Paulo") == dt.datetime(2018, 11, 4, 3, 0, tzinfo=dt.UTC)


def test_a_day_with_two_midnights_begins_at_the_first() -> None:
    # In Havana the clocks went from 01:00 back to 00:00 on 2023-11-05; the first midnight is that of UTC-4.
    assert day_start("2023-11-05", "America/Havana") == dt.datetime(2023, 11, 5, 4, 0, tzinfo=dt.UTC)


def test_shift_crosses_months_and_leap_days() -> None:
    assert shift("2024-02-28", 2) == "2024-03-01"
    assert shift("2023-03-01", -1) == "2023-02-28"


@given(DATES, st.integers(-400, 400))
def test_shifting_forth_and_back_gives_the_same_day(day: dt.date, days: int) -> None:
    assert shift(shift(day.isoformat(), days), -days) == day.isoformat()


def test_days_between_includes_both_ends() -> None:
    assert days_between("2024-02-28", "2024-03-01") == ["2024-02-28", "2024-02-29", "2024-03-01"]


def test_a_single_day_is_its_own_range() -> None:
    assert days_between("2024-02-28", "2024-02-28") == ["2024-02-28"]


def test_no_days_lie_between_a_day_and_an_earlier_one() -> None:
    assert days_between("2024-02-28", "2024-02-27") == []


def test_ranges_split_at_gaps_and_at_the_longest_length() -> None:
    days = ["2024-01-05", "2024-01-01", "2024-01-02", "2024-01-03", "2024-01-02"]
    assert ranges(days, longest=2) == [["2024-01-01", "2024-01-02"], ["2024-01-03"], ["2024-01-05"]]


def test_no_days_give_no_ranges() -> None:
    assert ranges([], longest=3) == []


@given(st.sets(st.dates(dt.date(2024, 1, 1), dt.date(2024, 3, 1)), max_size=40), st.integers(1, 10))
def test_ranges_contain_each_day_once_and_only_consecutive_days(dates: set[dt.date], longest: int) -> None:
    days = [day.isoformat() for day in dates]
    found = ranges(days, longest)
    assert [day for one in found for day in one] == sorted(days)
    for one in found:
        assert 1 <= len(one) <= longest
        assert list(one) == days_between(one[0], one[-1])
