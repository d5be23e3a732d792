"""Two weeks of a large platform: the daily tables of the last day and the weekly tables of the last week.

The days before are run in one range and not shown, then the sources of the last day, then its tables, through Dagster
with audits and commits; then the weekly tables. Each table is compared with plain SQL: the same query, compiled by Ibis
beforehand, which DuckDB runs over the Parquet files of the same partitions and writes to one Parquet file by COPY,
without checks or commits.
"""

from __future__ import annotations

import argparse
import datetime as dt
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import dagster as dg
from shown import peak_gigabytes

from wemart_assets import catalog
from wemart_assets.definitions import build_defs, open_lake
from wemart_assets.lake.days import Period, period_start
from wemart_assets.lake.mart_asset import rows_and_inputs
from wemart_assets.lake.session import Session
from wemart_assets.settings import Settings
from wemart_assets.simulator import (
    AppsConfig,
    SimulatorConfig,
    TracksConfig,
    simulate,
    simulate_apps,
    simulate_identities,
    simulate_tracks,
)

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
MONDAY = dt.date(2024, 1, 1)
LINES, MEMBERS, DAYS = 1_000_000, 200_000, 14
# The aims, in seconds, at this size.
AIMS = {Period.DAY: 12, Period.WEEK: 30}
# Memberships per simulated user on the last day, on average.
MEMBERS_A_USER = 1.69


class Took(NamedTuple):
    """Seconds of the wall, and of the processors, which other work on the machine disturbs less."""

    seconds: float
    processor: float


def run(
    settings: Settings, period: Period, keys: Sequence[str], tables: Sequence[str]
) -> tuple[Took, dict[str, float]]:
    """Runs the tables through Dagster; returns the seconds of the run, and those of each table's step."""
    job = build_defs(settings).resolve_job_def(f"requested_by_{period}")
    began, processor = time.perf_counter(), time.process_time()
    result = job.execute_in_process(
        instance=dg.DagsterInstance.ephemeral(),
        asset_selection=[dg.AssetKey(name.split(".")) for name in tables],
        tags={RANGE_START: keys[0], RANGE_END: keys[-1]},
        run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}},
    )
    took = Took(time.perf_counter() - began, time.process_time() - processor)
    steps = {
        event.step_key.replace("__", ".", 1): event.step_success_data.duration_ms / 1000
        for event in result.all_events
        if event.is_step_success and event.step_key is not None
    }
    return took, steps


def run_plain(session: Session, settings: Settings, key: str, name: str, target: Path) -> tuple[Took, int]:
    """Writes what the table's query gives for the partition to one Parquet file; returns the seconds and the rows."""
    shared = settings.for_tables()
    rows, _ = rows_and_inputs(catalog.marts()[name].resolve(shared), session, [key], shared)
    query = f"copy ({session.connection.ibis.compile(rows)}) to '{target}' (format parquet)"
    began, processor = time.perf_counter(), time.process_time()
    [(count,)] = session.connection.raw.execute(query).fetchall()
    return Took(time.perf_counter() - began, time.process_time() - processor), count


def compare(settings: Settings, period: Period, key: str, scratch: Path) -> None:
    """Runs the tables by `period` for one partition both ways, and prints the seconds of each."""
    tables = sorted(name for name, declared in catalog.marts().items() if declared.table.period is period)
    took, steps = run(settings, period, [key], tables)
    engine = open_lake(settings, {})
    with engine.connect() as session:
        plain = {name: run_plain(session, settings, key, name, scratch / f"{name}.parquet") for name in tables}
    print(f"\n{f'table by {period}, {key}':<52}{'rows':>12}{'seconds':>9}{'plain':>9}")
    for name in sorted(tables, key=lambda name: -steps[name]):
        plainly, rows = plain[name]
        print(f"{name:<52}{rows:>12,}{steps[name]:9.2f}{plainly.seconds:9.2f}")
    seconds, processor = (sum(getattr(plainly, kind) for plainly, _ in plain.values()) for kind in Took._fields)
    print(f"{f'{len(tables)} tables, steps':<52}{'':>12}{sum(steps.values()):9.2f}{seconds:9.2f}")
    print(
        f"the run took {took.seconds:.1f} s (the aim at full size is {AIMS[period]} s),"
        f" {took.seconds / seconds:.2f} times plain SQL;"
        f" {took.processor:.1f} s of the processors, {took.processor / processor:.2f} times plain SQL"
    )


def land(folder: Path, given: argparse.Namespace) -> Settings:
    began = time.perf_counter()
    span = {"first_day": MONDAY, "days": given.days}
    users = int(given.members / MEMBERS_A_USER)
    config = SimulatorConfig(**span, lines_per_day=given.lines, users=users, artists=given.communities)
    # With fewer, a single broken row would be too large a share of its day.
    events, tracked = (max(least, given.lines // share) * given.days for least, share in ((1_000, 20), (400, 50)))
    apps = AppsConfig(**span, events=events)
    tracks = TracksConfig(**span, tracks=tracked, visitors=tracked // 10)
    simulate(config, folder / "landing", folder / "truth")
    simulate_apps(apps, folder / "landing", folder / "truth")
    simulate_identities(config, apps, folder / "landing")
    simulate_tracks(tracks, folder / "landing", folder / "truth")
    print(f"simulated {given.days} days of {given.lines:,} lines in {time.perf_counter() - began:.1f} s")
    return Settings(
        lake=folder / "lake",
        landing=folder / "landing",
        spill=folder / "spill",
        first_day=MONDAY,
        threads=given.threads,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=LINES, help="log lines per day")
    parser.add_argument("--members", type=int, default=MEMBERS, help="members of all communities together")
    parser.add_argument("--communities", type=int, default=100)
    parser.add_argument("--days", type=int, default=DAYS, help="whole weeks")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    if given.days < 7 or given.days % 7:
        parser.error("--days must be whole weeks")
    days = [(MONDAY + dt.timedelta(days=n)).isoformat() for n in range(given.days)]
    daily = [name for name, declared in catalog.marts().items() if declared.table.period is Period.DAY]
    sources = list(catalog.contracts())
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        settings = land(scratch, given)
        if unknown := sorted(catalog.unknown_time_tables()):
            build_defs(settings).resolve_job_def("date_unknown").execute_in_process(
                instance=dg.DagsterInstance.ephemeral(),
                asset_selection=[dg.AssetKey(name.split(".")) for name in unknown],
                run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}},
            )
        before, _ = run(settings, Period.DAY, days[:-1], [*sources, *daily])
        print(f"the {len(days) - 1} days before, sources and tables in one run: {before.seconds:.1f} s")
        landed, _ = run(settings, Period.DAY, days[-1:], sources)
        print(f"sources of the last day: {landed.seconds:.1f} s")
        compare(settings, Period.DAY, days[-1], scratch)
        compare(settings, Period.WEEK, period_start(days[-1], Period.WEEK), scratch)
        print(f"\npeak memory {peak_gigabytes():.2f} GB")


if __name__ == "__main__":
    main()
