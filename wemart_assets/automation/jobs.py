"""The jobs and the daily schedule, under the names that the tables' documents know them by."""

from __future__ import annotations

from typing import Any

import dagster as dg

# Two hours after the business day is over: hourly deliveries of its last hour have landed by then, and what is later
# is the landing sensor's.
HOUR_OF_DAY = 2


def jobs_and_schedules() -> tuple[list[Any], list[Any]]:
    """`analytics_we_mart_wv1_daily` (the session tables) and `analytics_we_mart_priority_daily` (all, scheduled)."""
    sessions = dg.define_asset_job(
        "analytics_we_mart_wv1_daily",
        selection=dg.AssetSelection.groups("sessions"),
        description="The log base, the session mart and the tables of the same day, from sources that are there.",
    )
    primary = dg.AssetSelection.tag("tier", "primary")
    priority = dg.define_asset_job(
        "analytics_we_mart_priority_daily",
        selection=primary.upstream() | primary.downstream(),
        description="All primary marts, what they need and what follows from them on the same day.",
    )
    schedule = dg.build_schedule_from_partitioned_job(priority, hour_of_day=HOUR_OF_DAY, minute_of_hour=0)
    return [sessions, priority], [schedule]
