"""Runs tables through Dagster and prints what took time."""

from __future__ import annotations

import resource
import time
from collections.abc import Sequence

import dagster as dg

from wemart_assets.definitions import build_defs
from wemart_assets.settings import Settings

STEPS = ("stage", "audit", "publish")


def run_tables(
    settings: Settings, day: str, instance: dg.DagsterInstance | None = None, tables: Sequence[str] | None = None
) -> float:
    """Run the tables (all daily ones by default) over a day, print rows and seconds of each, return total seconds."""
    selection = None if tables is None else [dg.AssetKey(name.split(".")) for name in tables]
    began = time.perf_counter()
    result = (
        build_defs(settings)
        .resolve_job_def("requested_by_day")
        .execute_in_process(
            instance=instance or dg.DagsterInstance.ephemeral(),
            partition_key=day,
            asset_selection=selection,
            run_config={"loggers": {"console": {"config": {"log_level": "WARNING"}}}},
        )
    )
    took = time.perf_counter() - began
    print(f"{f'table, on {day}':<45}{'rows':>12}{''.join(f'{step:>9}' for step in STEPS)}  (seconds)")
    for event in result.all_events:
        if event.is_step_materialization:
            materialization = event.step_materialization_data.materialization
            values = {name: entry.value for name, entry in materialization.metadata.items()}
            seconds = "".join(f"{values[f'seconds to {step}']:9.2f}" for step in STEPS)
            # A table without days has only a row count of its own.
            rows = values.get("dagster/partition_row_count", values.get("dagster/row_count"))
            print(f"{materialization.asset_key.to_user_string():<45}{rows:>12,}{seconds}")
    print(f"in all {took:.1f} s\n")
    return took


def peak_gigabytes() -> float:
    """Peak memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
