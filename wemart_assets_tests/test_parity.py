"""Both engines give the same rows, whichever wrote the lake before."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable

from wemart_assets.catalog import contracts, marts, tables
from wemart_assets.definitions import build_defs
from wemart_assets.lake.days import Period, days_between
from wemart_assets.lake.delta import DeltaLake
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
from wemart_assets_tests.engines import settings_of

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
# The platform begins on the last two days of a week and of a month.
DAYS = ("2024-03-30", "2024-03-31")
FIRST_OF = {Period.WEEK: "2024-03-25", Period.MONTH: "2024-03-01"}

pytestmark = [pytest.mark.spark, pytest.mark.slow]


def make(lake: Path, landing: Path, engine: str, days: Sequence[str]) -> None:
    """Runs every daily table over the days as one range, and then weekly and monthly tables of complete periods."""
    paths = {"lake": lake, "landing": landing, "spill": lake.parent / "spill", **settings_of(engine)}

    def defs_from(first_day: str) -> dg.Definitions:
        return build_defs(Settings(first_day=dt.date.fromisoformat(first_day), **paths))

    with dg.DagsterInstance.ephemeral() as instance:
        tags = {RANGE_START: days[0], RANGE_END: days[-1]}
        by_day = defs_from(DAYS[0]).resolve_job_def("requested_by_day")
        by_day.execute_in_process(instance=instance, tags=tags)
        if days[-1] != DAYS[-1]:
            return
        # They read all days of the period: those before the platform began are published empty.
        longer = [of for of in marts().values() if of.table.period in FIRST_OF]
        before = days_between(min(FIRST_OF.values()), DAYS[0])[:-1]
        publish_nothing(lake, {given.table.full_name for of in longer for given in of.inputs.values()}, before)
        defs = defs_from(min(FIRST_OF.values()))
        for period, first_day in FIRST_OF.items():
            job = defs.resolve_job_def(f"requested_by_{period}")
            job.execute_in_process(instance=instance, partition_key=first_day)


def publish_nothing(lake: Path, names: Iterable[str], days: Sequence[str]) -> None:
    stored = DeltaLake(lake)
    for name in sorted(names):
        table = tables()[name]
        if missing := sorted(set(days) - set(stored.published(table, days))):
            stored.commit(table, missing, [], stored.baseline(table, missing))


@pytest.fixture(scope="module")
def landing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parity")
    when: dict[str, Any] = {"first_day": dt.date.fromisoformat(DAYS[0]), "days": len(DAYS)}
    config, apps = SimulatorConfig(lines_per_day=1_200, **when), AppsConfig(events=1_400, **when)
    simulate(config, folder / "landing", folder / "truth")
    simulate_apps(apps, folder / "landing", folder / "truth")
    simulate_identities(config, apps, folder / "landing")
    simulate_tracks(TracksConfig(tracks=1_400, visitors=100, **when), folder / "landing", folder / "truth")
    return folder / "landing"


@pytest.fixture(scope="module")
def lakes(landing: Path) -> dict[str, Path]:
    """Lakes by writer: each engine alone, day by day or as a range, and each engine after the other."""
    names = ("duckdb", "spark after duckdb", "duckdb at once", "spark", "duckdb after spark")
    found = {name: landing.parent / name.replace(" ", "_") / "lake" for name in names}
    make(found["duckdb"], landing, "duckdb", DAYS[:-1])
    shutil.copytree(found["duckdb"], found["spark after duckdb"])
    make(found["duckdb"], landing, "duckdb", DAYS[-1:])
    make(found["spark after duckdb"], landing, "spark", DAYS[-1:])
    make(found["duckdb at once"], landing, "duckdb", DAYS)
    make(found["spark"], landing, "spark", DAYS)
    shutil.copytree(found["spark"], found["duckdb after spark"])
    make(found["duckdb after spark"], landing, "duckdb", DAYS[-1:])
    return found


def content(lake: Path, name: str) -> pa.Table:
    """A table's rows without the run timestamp, in a fixed order."""
    rows = DeltaTable(lake / name.replace(".", "/")).to_pyarrow_table().drop_columns(["run_timestamp"])
    rows = rows.select(sorted(rows.column_names))
    # No column type is unsortable.
    return rows.take(pc.sort_indices(rows, sort_keys=[(c, "ascending") for c in rows.column_names]))


def stored(lake: Path) -> list[str]:
    return sorted(".".join(log.parent.relative_to(lake).parts) for log in lake.glob("*/*/_delta_log"))


def test_every_table_is_in_every_lake(lakes: dict[str, Path]) -> None:
    expected = set(tables()) | {contract.quarantine.full_name for contract in contracts().values()}
    assert {Period.WEEK, Period.MONTH} <= {table.period for table in tables().values()}
    for lake in lakes.values():
        assert set(stored(lake)) >= expected


# Tables that read later days see those already published, so both lakes need the days in the same runs.
@pytest.mark.parametrize(
    ("name", "alike"),
    [("spark after duckdb", "duckdb"), ("spark", "duckdb at once"), ("duckdb after spark", "duckdb at once")],
)
def test_rows_are_the_same_as_on_duckdb_alone(lakes: dict[str, Path], name: str, alike: str) -> None:
    assert stored(lakes[name]) == stored(lakes[alike])
    rows: dict[str, int] = {}
    for table in stored(lakes[alike]):
        known, found = content(lakes[alike], table), content(lakes[name], table)
        assert found.schema.equals(known.schema), f"{table}: {found.schema} is not {known.schema}"
        only = set(map(repr, found.to_pylist())) ^ set(map(repr, known.to_pylist()))
        assert found.equals(known), f"{table}: {len(found)} rows, {len(known)} by duckdb; {sorted(only)[:4]}"
        rows[table] = len(known)
    assert not [table for table in tables() if not rows[table]], "every table had rows to compare"
    assert sum(rows.values()) > 3_000


def test_the_compared_tables_include_quarantined_rows(lakes: dict[str, Path]) -> None:
    """The simulator's broken rows reach the quarantine, so there are raw rows to compare."""
    raw = [
        row["file"]
        for table in stored(lakes["spark"])
        if table.endswith("__quarantine")
        for row in content(lakes["spark"], table).to_pylist()
    ]
    assert raw


@pytest.mark.parametrize("name", ["duckdb", "spark", "spark after duckdb", "duckdb after spark"])
def test_days_count_as_published_on_either_engine(lakes: dict[str, Path], name: str) -> None:
    lake = DeltaLake(lakes[name])
    for table in tables().values():
        if table.only_partition is not None:
            assert lake.published(table, [table.only_partition]) == {table.only_partition}
        elif table.period is Period.DAY:
            assert lake.published(table, [*DAYS, "2024-04-01"]) == set(DAYS), table.full_name
        else:
            first_day = FIRST_OF[table.period]
            assert lake.published(table, [first_day, "2024-04-01"]) == {first_day}, table.full_name
