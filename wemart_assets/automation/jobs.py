"""The jobs and schedules, under the names that the tables' documents know them by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import dagster as dg

from wemart_assets.lake.days import Period
from wemart_assets.lake.mart import Mart
from wemart_assets.lake.table import Table

# Two hours after the business day is over: hourly deliveries of its last hour have landed by then, and what is later
# is the landing sensor's. What is made of the days of a period follows when its last day has been made.
HOUR_OF_DAY, HOUR_OF_PERIOD = 2, 5


def requested_jobs(marts: Mapping[str, Mart], unpartitioned: Iterable[Table]) -> dict[Period | None, Any]:
    """What the landing sensor runs parts of: all tables by day, and those by week and by month where there are any.

    Under None `date_unknown`: the sources' rows of an unknown time, which have no days, where there are such tables.
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
    if timeless := [table.key for table in unpartitioned]:
        jobs[None] = dg.define_asset_job(
            "date_unknown",
            selection=dg.AssetSelection.assets(*timeless),
            description="The sources' rows of an unknown time: they count for every day.",
        )
    return jobs | {
        period: dg.define_asset_job(
            f"requested_by_{period}",
            selection=selection,
            description=f"The tables by {period}; the landing sensor requests those that have to be made anew.",
        )
        for period, selection in {Period.DAY: daily, **longer}.items()
    }


def jobs_and_schedules(marts: Mapping[str, Mart]) -> tuple[list[Any], list[Any]]:
    """`analytics_we_mart_wv1_daily` (the session tables) and `analytics_we_mart_priority_daily` (all, scheduled).

    Tables by week and by month cannot share a run with daily ones; each has a job and a schedule of its own where there
    are any: `analytics_we_mart_weekly`, `analytics_we_mart_monthly`.
    """
    keys = {period: [dg.AssetKey(m.table.key) for m in marts.values() if m.table.period is period] for period in Period}
    daily = dg.AssetSelection.all() - dg.AssetSelection.assets(*keys[Period.WEEK], *keys[Period.MONTH])
    sessions = dg.define_asset_job(
        "analytics_we_mart_wv1_daily",
        selection=dg.AssetSelection.groups("sessions") & daily,
        description="The log base, the session mart and the tables of the same day, from sources that are there.",
    )
    primary = dg.AssetSelection.tag("tier", "primary")
    priority = dg.define_asset_job(
        "analytics_we_mart_priority_daily",
        selection=primary.downstream().upstream() & daily,
        description="All primary marts, what follows from them on the same day, and what these need.",
    )
    jobs = [sessions, priority]
    schedules = [dg.build_schedule_from_partitioned_job(priority, hour_of_day=HOUR_OF_DAY, minute_of_hour=0)]
    on = {
        "weekly": (Period.WEEK, partial(dg.build_schedule_from_partitioned_job, day_of_week=1)),
        "monthly": (Period.MONTH, partial(dg.build_schedule_from_partitioned_job, day_of_month=1)),
    }
    for name, (period, schedule) in on.items():
        if keys[period]:
            job = dg.define_asset_job(
                f"analytics_we_mart_{name}",
                selection=dg.AssetSelection.assets(*keys[period]),
                description=f"The tables by {period}, from daily tables that are there.",
            )
            jobs.append(job)
            schedules.append(schedule(job, hour_of_day=HOUR_OF_PERIOD, minute_of_hour=0))
    return jobs, schedules
