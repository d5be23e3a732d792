"""From landing files to the nine attribution reports, at the size of the original assignment."""

from __future__ import annotations

import argparse
import datetime as dt
import os
import resource
import tempfile
import time
from pathlib import Path

import dagster as dg

from wemart_assets import catalog
from wemart_assets.definitions import build_defs
from wemart_assets.settings import Settings
from wemart_assets.simulator.apps import AppsConfig, simulate_apps

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


def run_tables(settings: Settings, first: dt.date, last: dt.date) -> None:
    """Run all attribution tables over all days in one run, and print what took time."""
    tables = [table for name, table in catalog.tables().items() if name.startswith("igaworks.")]
    job = build_defs(settings).resolve_implicit_global_asset_job_def()
    began, used = time.perf_counter(), sum(os.times()[:2])
    result = job.execute_in_process(
        instance=dg.DagsterInstance.ephemeral(),
        asset_selection=[dg.AssetKey(table.key) for table in tables],
        tags={RANGE_START: first.isoformat(), RANGE_END: last.isoformat()},
        run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}},
    )
    seconds, computed = time.perf_counter() - began, sum(os.times()[:2]) - used
    print(f"{'table':<60}{'rows':>12}{'stage':>9}{'audit':>9}{'publish':>9}  (seconds)")
    published: dict[str, dict[str, float]] = {}
    for event in result.all_events:
        if event.is_step_materialization:
            materialization = event.step_materialization_data.materialization
            values = {name: entry.value for name, entry in materialization.metadata.items()}
            rows = values.get("dagster/partition_row_count", values.get("dagster/row_count", 0))
            table = published.setdefault(materialization.asset_key.to_user_string(), {**values, "rows": 0})
            table["rows"] += rows
    for name, values in published.items():
        each = "".join(f"{values[f'seconds to {step}']:9.2f}" for step in ("stage", "audit", "publish"))
        print(f"{name:<60}{values['rows']:>12,}{each}")
    print(f"landing to nine reports: {seconds:.1f} s, {computed:.1f} s of processor time")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=18_000_000)
    parser.add_argument("--attributions", type=int, default=3_800_000)
    parser.add_argument("--users", type=int, default=2_900_000)
    parser.add_argument("--days", type=int, default=44)
    parser.add_argument("--files", type=int, default=8, help="files of each kind; the last is compressed")
    parser.add_argument("--landing", type=Path, help="landing folder of an earlier simulation with the same arguments")
    given = parser.parse_args()
    config = AppsConfig(
        first_day=dt.date(2018, 6, 1),
        days=given.days,
        events=given.events,
        attributions=given.attributions,
        users=given.users,
        files=given.files,
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        landing = given.landing or folder / "landing"
        if given.landing is None:
            began = time.perf_counter()
            simulate_apps(config, landing, folder / "truth")
            print(f"simulated {config.events:,} events in {time.perf_counter() - began:.1f} s")
        settings = Settings(lake=folder / "lake", landing=landing, spill=folder / "spill", first_day=config.first_day)
        run_tables(settings, config.first_day, config.first_day + dt.timedelta(days=config.days - 1))
        print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
