"""Jobs and schedules, under the names that the tables' documentation uses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import dagster as dg

from wemart_assets.lake.days import Period
from wemart_assets.lake.mart import Mart
from wemart_assets.lake.table import Table

# Daily runs start two hours after the end of the business day: hourly deliveries of its last hour have landed by then,
# and later files are left to the landing sensor. Weekly and monthly runs start when their last day has been made.
DAILY_HOUR, WEEKLY_AND_MONTHLY_HOUR = 2, 5
ADJECTIVES = {Period.DAY: "daily", Period.WEEK: "weekly", Period.MONTH: "monthly"}


def requested_jobs(marts: Mapping[str, Mart], unpartitioned: Iterable[Table]) -> dict[Period | None, Any]:
    """The jobs that the landing sensor runs parts of: one for all daily tables, one each for weekly and monthly ones.

    Under None is `date_unknown`, the job of the unpartitioned tables of rows with an unknown time. Jobs without tables
    are left out.
    """
    longer = {
        period: dg.AssetSelection.assets(*keys)
        for period in (Period.WEEK, Period.MONTH)
        if (keys := [m.table.key for m in marts.values() if m.table.period is period])
    }
    daily: dg.AssetSelection = dg.AssetSelection.all()
    for selection in longer.values():
        daily = daily - selection
    jobs: dict[Period | None, Any] = {}
    if unpartitioned_keys := [table.key for table in unpartitioned]:
        jobs[None] = dg.define_asset_job(
            "date_unknown",
            selection=dg.AssetSelection.assets(*unpartitioned_keys),
            description="Source rows with an unknown time, which count for every day.",
        )
    return jobs | {
        period: dg.define_asset_job(
            f"requested_by_{period}",
            selection=selection,
            description=f"The {ADJECTIVES[period]} tables; the landing sensor requests those that need a new run.",
        )
        for period, selection in {Period.DAY: daily, **longer}.items()
    }


def jobs_and_schedules(marts: Mapping[str, Mart]) -> tuple[list[Any], list[Any]]:
    """`analytics_we_mart_wv1_daily` (the session tables) and `analytics_we_mart_priority_daily` (all, scheduled).

    Weekly and monthly tables cannot share a run with daily ones, so they have jobs and schedules of their own, if there
    are any: `analytics_we_mart_weekly`, `analytics_we_mart_monthly`.
    """
    keys = {period: [dg.AssetKey(m.table.key) for m in marts.values() if m.table.period is period] for period in Period}
    daily = dg.AssetSelection.all() - dg.AssetSelection.assets(*keys[Period.WEEK], *keys[Period.MONTH])
    sessions = dg.define_asset_job(
        "analytics_we_mart_wv1_daily",
        selection=dg.AssetSelection.groups("sessions") & daily,
        description="The log base, the session mart and tables of the same day, from published sources.",
    )
    primary = dg.AssetSelection.tag("tier", "primary")
    priority = dg.define_asset_job(
        "analytics_we_mart_priority_daily",
        selection=primary.downstream().upstream() & daily,
        description="All primary marts, the tables downstream of them on the same day, and all that these need.",
    )
    jobs = [sessions, priority]
    schedules = [dg.build_schedule_from_partitioned_job(priority, hour_of_day=DAILY_HOUR, minute_of_hour=0)]
    schedule_builders = {
        "weekly": (Period.WEEK, partial(dg.build_schedule_from_partitioned_job, day_of_week=1)),
        "monthly": (Period.MONTH, partial(dg.build_schedule_from_partitioned_job, day_of_month=1)),
    }
    for name, (period, build_schedule) in schedule_builders.items():
        if keys[period]:
            job = dg.define_asset_job(
                f"analytics_we_mart_{name}",
                selection=dg.AssetSelection.assets(*keys[period]),
                description=f"The {name} tables, from published daily tables.",
            )
            jobs.append(job)
            schedules.append(build_schedule(job, hour_of_day=WEEKLY_AND_MONTHLY_HOUR, minute_of_hour=0))
    return jobs, schedules
