"""Both engines give the same rows, whichever wrote the lake before."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterable, Sequence, Set
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable

from wemart_assets.catalog import contracts, marts, records, tables
from wemart_assets.definitions import build_defs
from wemart_assets.lake.days import Period, days_between
from wemart_assets.lake.folder_store import FolderStore
from wemart_assets.lake.mart import Mart
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
from wemart_assets_tests.engines import publish_no_rows, settings_of
from wemart_assets_tests.graph import instance_without_history

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
# The last day of a week and of a month, and the first of the next, so that both have rows and one has a period before.
DAYS = ("2024-03-31", "2024-04-01")
STARTS = {Period.WEEK: ("2024-03-25", "2024-04-01"), Period.MONTH: ("2024-03-01", "2024-04-01")}
OTHER_DAYS = sorted({*days_between("2024-03-01", "2024-04-30")} - {*DAYS})

pytestmark = [pytest.mark.spark, pytest.mark.slow]


# Sources do not read their own earlier days, so one of each kind of file is enough in a lake of the other engine.
SOURCES_RUN_AGAIN = {"service_log.weverse_server_log", "we_mart.we_artist", "igaworks.attribution"}


def make(lake: Path, landing: Path, engine: str, days: Sequence[str]) -> None:
    """Runs every daily table over the days as one range, and then weekly and monthly tables of complete periods."""
    make_days(lake, landing, engine, days)
    if days[-1] == DAYS[-1]:
        make_periods(lake, landing, engine)


def make_days(lake: Path, landing: Path, engine: str, days: Sequence[str], names: Iterable[str] | None = None) -> None:
    """Runs the daily tables (all of them by default) over the days as one range."""
    job = defs_from(DAYS[0], lake, landing, engine).resolve_job_def("requested_by_day")
    selection = None if names is None else [dg.AssetKey(list(tables()[name].key)) for name in names]
    with instance_without_history() as instance:
        tags = {RANGE_START: days[0], RANGE_END: days[-1]}
        job.execute_in_process(instance=instance, tags=tags, asset_selection=selection)


def make_periods(lake: Path, landing: Path, engine: str, names: Set[str] | None = None) -> None:
    """Runs the weekly and monthly tables (all of them by default); the other days of their periods are empty."""
    longer = {name: of for name, of in marts().items() if of.table.period in STARTS}
    daily = {given.table.full_name for of in longer.values() for given in of.inputs.values()} - set(longer)
    publish_nothing(lake, daily, OTHER_DAYS)
    with instance_without_history() as instance:
        for period, (first, last) in STARTS.items():
            wanted = [of.table for name, of in longer.items() if names is None or name in names]
            selection = [dg.AssetKey(table.key) for table in wanted if table.period is period]
            # The first period has none before it.
            job = defs_from(first, lake, landing, engine).resolve_job_def(f"requested_by_{period}")
            job.execute_in_process(
                instance=instance, tags={RANGE_START: first, RANGE_END: last}, asset_selection=selection
            )


def defs_from(first_day: str, lake: Path, landing: Path, engine: str) -> dg.Definitions:
    paths = {"lake": lake, "landing": landing, "spill": lake.parent / "spill"}
    return build_defs(Settings(first_day=dt.date.fromisoformat(first_day), **paths, **settings_of(engine)))


def publish_nothing(lake: Path, names: Iterable[str], days: Sequence[str]) -> None:
    """Publishes days without rows where nothing was published before."""
    stored = FolderStore(lake)
    for name in sorted(names):
        if missing := sorted(set(days) - set(stored.published(tables()[name], days))):
            publish_no_rows(stored, tables()[name], missing)


@pytest.fixture(scope="module")
def landing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parity")
    when: dict[str, Any] = {"first_day": dt.date.fromisoformat(DAYS[0]), "days": len(DAYS)}
    config, apps = SimulatorConfig(lines_per_day=2_400, **when), AppsConfig(events=1_400, **when)
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
    for day in DAYS:
        make(found["duckdb"], landing, "duckdb", [day])
    make(found["duckdb at once"], landing, "duckdb", DAYS)
    make(found["spark"], landing, "spark", DAYS)
    shutil.copytree(found["duckdb"], found["spark after duckdb"])
    run_again(found["spark after duckdb"], landing, "spark")
    shutil.copytree(found["spark"], found["duckdb after spark"])
    run_again(found["duckdb after spark"], landing, "duckdb")
    return found


def run_again(lake: Path, landing: Path, engine: str) -> None:
    """Runs the last day and the last periods anew, in a lake of the other engine, where that can make a difference.

    That is every mart that also reads other days than its own, and one source of each kind of file. What the other
    marts would read of the other engine's files, these read too.
    """
    again = {name for name, of in marts().items() if reads_other_days(of)} | SOURCES_RUN_AGAIN
    stored = FolderStore(lake)
    # Otherwise rows of the other engine would pass for those of a run that wrote nothing.
    for table in (*(tables()[name] for name in again), *(contracts()[name].quarantine for name in SOURCES_RUN_AGAIN)):
        publish_no_rows(stored, table, DAYS[-1:] if table.period is Period.DAY else STARTS[table.period])
    make_days(lake, landing, engine, DAYS[-1:], {name for name in again if tables()[name].period is Period.DAY})
    make_periods(lake, landing, engine, again)


def reads_other_days(of: Mart) -> bool:
    return any((given.first, given.last, given.last_setting) != (0, 0, None) for given in of.inputs.values())


def content(lake: Path, name: str) -> pa.Table:
    """A table's rows without the run timestamp, in a fixed order."""
    rows = DeltaTable(lake / name.replace(".", "/")).to_pyarrow_table().drop_columns(["run_timestamp"])
    rows = rows.select(sorted(rows.column_names))
    # No column type is unsortable.
    return rows.take(pc.sort_indices(rows, sort_keys=[(c, "ascending") for c in rows.column_names]))


def stored(lake: Path) -> list[str]:
    """The lake's tables of data; what runs record differs from run to run."""
    found = {".".join(log.parent.relative_to(lake).parts) for log in lake.glob("*/*/_delta_log")}
    return sorted(found - set(records()))


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
    lake = FolderStore(lakes[name])
    for table in tables().values():
        if table.only_partition is not None:
            assert lake.published(table, [table.only_partition]) == {table.only_partition}
        elif table.period is Period.DAY:
            assert lake.published(table, [*DAYS, "2024-05-01"]) == set(DAYS), table.full_name
        else:
            starts = STARTS[table.period]
            assert lake.published(table, [*starts, "2024-05-01"]) == set(starts), table.full_name
