"""Shared by the lake's tests: engines to run on, small tables, and the content of a table's folder."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import ibis.expr.types as ir
import pytest

from wemart_assets.lake.location import Location
from wemart_assets.lake.publication import stage
from wemart_assets.lake.session import Lake, Session
from wemart_assets.lake.table import Table
from wemart_assets_tests.engines import open_lake, rows_as, table_of
from wemart_assets_tests.s3_server import S3Server

NOW = dt.datetime(2024, 3, 10, 0, 30, tzinfo=dt.UTC)
Row = Mapping[str, Any]


@pytest.fixture(scope="session")
def now() -> dt.datetime:
    """The clock of every run in these tests."""
    return NOW


# An engine lives as long as the module that chooses it: a module that chooses none has to get DuckDB.
@pytest.fixture(scope="module")
def engine_name() -> str:
    """The engine to run on; a module whose tests are to run on each has a fixture of this name with `ENGINES`."""
    return "duckdb"


@pytest.fixture(scope="module")
def engine(engine_name: str) -> Callable[[Path | Location], Lake]:
    """Opens the engine on a lake."""

    return partial(open_lake, engine_name)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


@pytest.fixture(scope="module", params=["folder", pytest.param("s3", marks=pytest.mark.slow)])
def new_lake(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Location]:
    """Where a new lake may be: a folder, or a bucket of the local S3 server."""
    if request.param == "s3":
        server: S3Server = request.getfixturevalue("s3")
        return server.location
    return lambda: Location.of(tmp_path_factory.mktemp("new") / "lake")


@pytest.fixture
def session(engine: Callable[[Path], Lake], lake: Path) -> Iterator[Session]:
    with engine(lake).connect() as opened:
        yield opened


@pytest.fixture(scope="session")
def given() -> Callable[[Session, Table, Sequence[Row]], ir.Table]:
    """Returns the rows as a table of the session; columns that a row does not name are NULL."""

    def make(session: Any, table: Table, rows: Sequence[Row]) -> ir.Table:
        if unknown := {name for row in rows for name in row} - {c.name for c in table.columns}:
            raise AssertionError(f"{table.full_name} has no columns {sorted(unknown)}")
        return table_of(session, rows_as(table, rows))

    return make


@pytest.fixture(scope="session")
def write(given: Callable[[Session, Table, Sequence[Row]], ir.Table]) -> Callable[..., int]:
    """Publishes rows through the session alone, without an audit; the new Delta version."""

    def run(session: Session, table: Table, days: Sequence[str], rows: Sequence[Row]) -> int:
        baseline = session.baseline(table, days)
        return session.publish(stage(session, table, given(session, table, rows), days, baseline, NOW))

    return run


@pytest.fixture(scope="session")
def read() -> Callable[..., list[dict[str, Any]]]:
    """The published rows that a new reader sees, without the run's clock, in a fixed order."""

    def run(session: Any, table: Table, days: Sequence[str] | None = None) -> list[dict[str, Any]]:
        rows = session.connection.ibis.to_pyarrow(session.read(table, days).drop("run_timestamp")).to_pylist()
        return sorted(rows, key=lambda row: str(list(row.values())))

    return run


@pytest.fixture(scope="session")
def data_files() -> Callable[[Path | Location, Table], dict[str, str]]:
    """Hash by path of every data file in a table's folder, known to its log or not."""

    def run(lake: Path | Location, table: Table) -> dict[str, str]:
        folder = Location.of(lake) / table.database / table.name
        return {
            file.path: hashlib.sha256(folder.read(file.path)).hexdigest()
            for file in sorted(folder.files())
            if not file.path.startswith("_delta_log/")
        }

    return run


@pytest.fixture(scope="session")
def log_files() -> Callable[[Path | Location, Table], dict[str, bytes]]:
    """Content by name of every file of a table's Delta log."""

    def run(lake: Path | Location, table: Table) -> dict[str, bytes]:
        log = Location.of(lake) / table.database / table.name / "_delta_log"
        return {file.path: log.read(file.path) for file in sorted(log.files()) if "/" not in file.path}

    return run
