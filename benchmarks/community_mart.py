"""The community tables over a day with many members, after a first day that delivers them all."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import dagster as dg
from shown import peak_gigabytes, run_tables

from wemart_assets import catalog
from wemart_assets.lake.days import Period
from wemart_assets.settings import Settings
from wemart_assets.simulator import SimulatorConfig, simulate

FIRST, SECOND = "2024-01-01", "2024-01-02"
# Memberships per simulated user on the second day, on average.
MEMBERS_A_USER = 1.69


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=2_000_000, help="members of all communities together")
    parser.add_argument("--communities", type=int, default=200)
    arguments = parser.parse_args()
    users = int(arguments.members / MEMBERS_A_USER)
    community = [
        name
        for name, declared in catalog.marts().items()
        if catalog.groups()[name] == "community" and declared.table.period is Period.DAY
    ]
    reads = {given.table.full_name for name in community for given in catalog.marts()[name].inputs.values()}
    sources = sorted(reads & set(catalog.contracts()))
    with tempfile.TemporaryDirectory() as scratch, dg.DagsterInstance.ephemeral() as instance:
        folder = Path(scratch)
        began = time.perf_counter()
        config = SimulatorConfig(days=2, lines_per_day=1_000, users=users, artists=arguments.communities)
        simulate(config, folder / "landing", folder / "truth")
        print(f"simulated {users:,} users in {time.perf_counter() - began:.1f} s")
        settings = Settings(lake=folder / "lake", landing=folder / "landing", spill=folder / "spill")
        for day in (FIRST, SECOND):
            run_tables(settings, day, instance, sources)
            run_tables(settings, day, instance, community)
        print(f"peak memory {peak_gigabytes():.2f} GB")


if __name__ == "__main__":
    main()
