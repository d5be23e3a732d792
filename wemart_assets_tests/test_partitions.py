"""Which days, weeks and months are partitions."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from dagster._core.test_utils import freeze_time

from wemart_assets.lake.days import Period, days_between, period_days, period_start, shift
from wemart_assets.partitions import partitions_from

FIRST = dt.date(2024, 1, 1)


def keys(last: dt.date | None, at: str, timezone: str = "Asia/Seoul") -> dict[Period, list[str]]:
    now = dt.datetime.fromisoformat(at).replace(tzinfo=ZoneInfo(timezone))
    with freeze_time(now.astimezone(dt.UTC)):
        return {period: list(of.get_partition_keys()) for period, of in partitions_from(FIRST, timezone, last).items()}


@pytest.mark.parametrize("timezone", ["Asia/Seoul", "America/New_York", "UTC"])
@pytest.mark.parametrize("at", ["2024-02-14 00:00:01", "2024-06-01 12:00:00"])
@pytest.mark.parametrize("last", ["2024-01-01", "2024-01-07", "2024-01-08", "2024-01-30", "2024-01-31", "2024-03-10"])
def test_only_periods_that_end_by_the_last_day_are_partitions(last: str, at: str, timezone: str) -> None:
    over = (dt.date.fromisoformat(at[:10]) - dt.timedelta(days=1)).isoformat()
    days = days_between("2024-01-01", min(last, over))
    expected = {
        period: [d for d in days if period_start(d, period) == d and period_days(d, period)[-1] <= days[-1]]
        for period in Period
    }
    assert keys(dt.date.fromisoformat(last), at, timezone) == expected


def test_without_a_last_day_every_past_day_is_a_partition() -> None:
    assert keys(None, "2024-01-04 00:00:01")[Period.DAY] == ["2024-01-01", "2024-01-02", "2024-01-03"]


@pytest.mark.parametrize("first", days_between("2024-02-26", "2024-03-05"))
@pytest.mark.parametrize("length", [0, 1, 5, 6, 7, 8, 13, 29, 30, 31, 36])
def test_only_periods_that_lie_entirely_in_the_range_are_partitions(first: str, length: int) -> None:
    days = days_between(first, shift(first, length))
    found = partitions_from(dt.date.fromisoformat(first), "Asia/Seoul", dt.date.fromisoformat(days[-1]))
    for period, partitions in found.items():
        expected = [d for d in days if period_start(d, period) == d and period_days(d, period)[-1] <= days[-1]]
        assert partitions.get_partition_keys() == expected
        assert all(partitions.has_partition_key(key) for key in expected)
