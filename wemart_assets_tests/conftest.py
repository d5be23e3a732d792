"""A simulated platform and the lake that the whole graph computed from it, shared by read-only tests.

Tests that are marked `spark` are skipped where it cannot run. With `WEMART_TEST_SPARK=required` they fail there.

The longest modules run first. With `WEMART_TEST_SEED` they are shuffled among themselves, as are the modules after them
and the tests of each module. `HYPOTHESIS_PROFILE` is `quick` (the default) or `thorough`.
"""

from __future__ import annotations

import os
import random
import shutil
import struct
import tempfile
import zoneinfo
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from deltalake import DeltaTable
from filelock import FileLock
from hypothesis import settings as hypothesis_settings

from wemart_assets.definitions import build_defs
from wemart_assets.lake.clocks import clock_changes
from wemart_assets.settings import Settings, duckdb_disagrees
from wemart_assets.simulator import (
    AppsConfig,
    SimulatorConfig,
    TracksConfig,
    simulate,
    simulate_apps,
    simulate_identities,
    simulate_tracks,
)
from wemart_assets_tests.engines import why_no_spark
from wemart_assets_tests.environments import Environment, MakeEnvironment
from wemart_assets_tests.examples import PROFILE
from wemart_assets_tests.graph import instance_without_history
from wemart_assets_tests.marts.attribution_reference import Reference
from wemart_assets_tests.s3_server import S3Server, s3_server

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"

# Tests whose examples are expensive, or need many, ask `examples` for another number.
for profile, most in (("quick", 25), ("thorough", 100)):
    hypothesis_settings.register_profile(profile, max_examples=most, deadline=None)
hypothesis_settings.load_profile(PROFILE)

# Modules that take minutes, longest first: a long module that starts last keeps the other processes waiting.
LONGEST = (
    "test_parity.py",
    "test_page_commands.py",
    "test_every_rule_fails.py",
    "test_landing_on_spark.py",
    "test_functions.py",
    "test_concurrent_publication.py",
    "test_spark_engine.py",
    "test_ui_browser.py",
    "test_spark_cluster.py",
    "test_plans_on_spark.py",
    "test_whole_graph.py",
    "test_landing_sensor.py",
    "test_records.py",
    "test_bad_input.py",
    "test_mapping.py",
    "test_sql.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keeps the tests of a module together, because they share expensive fixtures."""
    modules: dict[Path, list[pytest.Item]] = {}
    for item in items:
        modules.setdefault(item.path, []).append(item)
    ordered = list(modules)
    if seed := os.environ.get("WEMART_TEST_SEED"):
        shuffled = random.Random(seed)
        shuffled.shuffle(ordered)
        for path in ordered:
            shuffled.shuffle(modules[path])
    # Independent of the seed: if one process received the two longest modules, the other would wait for it.
    ordered.sort(key=lambda path: _rank(path.name))
    items[:] = [item for path in ordered for item in modules[path]]


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Names a parameter of bytes by its argument: gzip writes the time into them, and processes must agree on names."""
    return argname if isinstance(val, bytes) else None


def _rank(module: str) -> int:
    return LONGEST.index(module) if module in LONGEST else len(LONGEST)


def pytest_report_header() -> str | None:
    seed = os.environ.get("WEMART_TEST_SEED")
    return f"random order: WEMART_TEST_SEED={seed}" if seed else None


def pytest_configure(config: pytest.Config) -> None:
    """Makes tests ignore settings saved for the lake of this folder, such as a demo's first day."""
    state = tempfile.TemporaryDirectory(prefix="wemart_state_")
    config.add_cleanup(state.cleanup)
    os.environ["WEMART_STATE"] = state.name


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("spark") is not None and (missing := why_no_spark()) is not None:
        if os.environ.get("WEMART_TEST_SPARK") == "required":
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)


@pytest.fixture
def out_of_date(tmp_path: Path) -> Iterator[None]:
    """A machine whose timezone rules for Tokyo and Lagos are those of UTC+8."""
    fixed = b"TZif" + bytes(16) + struct.pack(">6l", 0, 0, 0, 0, 1, 4) + struct.pack(">lbb", 8 * 3600, 0, 0) + b"XXX\0"
    for name in ("Asia/Tokyo", "Africa/Lagos"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(fixed)

    def forget() -> None:
        ZoneInfo.clear_cache()
        clock_changes.cache_clear()
        duckdb_disagrees.cache_clear()

    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath([str(tmp_path), *before])
    forget()
    yield
    zoneinfo.reset_tzpath(before)
    forget()


@pytest.fixture(scope="session")
def instance() -> Iterator[dg.DagsterInstance]:
    with instance_without_history() as shared:
        yield shared


@pytest.fixture(scope="session")
def make_environment(tmp_path_factory: pytest.TempPathFactory, instance: dg.DagsterInstance) -> MakeEnvironment:
    """A new environment with its own settings."""
    return lambda **settings: Environment(tmp_path_factory.mktemp("environment"), instance, **settings)


@pytest.fixture
def environment(make_environment: MakeEnvironment) -> Environment:
    return make_environment()


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """A local S3 server."""
    with s3_server() as server:
        yield server


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `landing`, `truth`, and the `lake` that one run over five days computed from it. Read-only.

    It is shared by the processes of a test run, and by runs with the same `WEMART_TEST_SHARED`: the first that needs it
    builds it.
    """
    base = tmp_path_factory.getbasetemp()
    of_the_run = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = Path(os.environ.get("WEMART_TEST_SHARED", of_the_run)) / "world"
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "made").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _make_world(folder)
            (folder / "made").touch()
    return folder


@pytest.fixture(scope="session")
def reference(world: Path) -> Reference:
    """The reference implementation of the reports over the world's published events and attributions."""

    def read(table: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = DeltaTable(world / "lake" / "igaworks" / table).to_pyarrow_table().to_pylist()
        return rows

    return Reference(read("event"), read("attribution"), read("attribution__date_unknown"))


def _make_world(folder: Path) -> None:
    config, apps = SimulatorConfig(days=5, lines_per_day=6_000), AppsConfig(days=5, events=3_000)
    simulate(config, folder / "landing", folder / "truth")
    simulate_apps(apps, folder / "landing", folder / "truth")
    simulate_identities(config, apps, folder / "landing")
    simulate_tracks(TracksConfig(days=5, tracks=2_000, visitors=200), folder / "landing", folder / "truth")
    settings = Settings(lake=folder / "lake", landing=folder / "landing", spill=folder / "spill")
    with instance_without_history() as instance:
        build_defs(settings).resolve_job_def("requested_by_day").execute_in_process(
            instance=instance, tags={RANGE_START: "2024-01-01", RANGE_END: "2024-01-05"}
        )
