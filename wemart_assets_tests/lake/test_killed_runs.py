"""A run that dies at any moment leaves the table unchanged, and the next run succeeds.

Each run is a separate process that reports its progress through a pipe and waits; then it is killed. That happens in a
folder and in an object store, where a file appears once it is complete.
"""

from __future__ import annotations

import datetime as dt
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import ibis.expr.types as ir
import pyarrow as pa
import pytest

from wemart_assets.lake.location import Location
from wemart_assets.lake.publication import publish
from wemart_assets.lake.session import Lake
from wemart_assets.lake.table import RUN_TIMESTAMP, RowCheck, Table, column
from wemart_assets_tests.engines import duckdb_lake

D1, D2 = "2024-03-01", "2024-03-02"
NOW = dt.datetime(2024, 3, 10, tzinfo=dt.UTC)
PATIENCE = 120  # seconds after which a hanging process fails a test instead of blocking it
STEPS = ("staging", "audit", "commit")
ENDLESS_BATCHES = 10_000

VISITS = Table(
    database="db",
    name="visits",
    description="One row per visit.",
    columns=(
        column("id", "bigint", "number of the visit", nullable=False),
        column("part_date", "string", "business day", nullable=False),
        RUN_TIMESTAMP,
    ),
)


def visits(day: str, *ids: int) -> list[dict[str, Any]]:
    return [{"id": n, "part_date": day} for n in ids]


def is_data(path: str) -> bool:
    return path.endswith(".parquet") and not path.startswith("_delta_log/")


def open_lake(name: str, lake: Location) -> Lake:
    """Opens the engine in a separate process, to which an open engine cannot be passed."""
    engines = {"duckdb": lambda: duckdb_lake(lake)}
    return engines[name]()


def run_until_killed(engine_name: str, lake: Location, step: str, parent: Connection) -> None:
    """Republishes D1 and D2, reports when it reaches one of the three steps, and waits there forever."""

    def wait_here() -> None:
        parent.send(step)
        parent.recv()

    def batches() -> Iterator[pa.RecordBatch]:
        # Rows come until the engine has written some of them, and then stop.
        for n in range(ENDLESS_BATCHES):
            day = (D1, D2)[n % 2]
            yield pa.RecordBatch.from_pydict({"id": list(range(1000)), "part_date": [day] * 1000})
            if any(file.size for file in folder.files() if is_data(file.path) and file.path not in published):
                wait_here()

    def compute() -> tuple[ir.Table, Mapping[str, ir.Table]]:
        if step == "staging":
            schema = pa.schema([("id", pa.int64()), ("part_date", pa.string())])
            session.connection.raw.execute("set partitioned_write_flush_threshold = 5000")
            if not lake.is_local:
                # Each turn to the other day completes a file.
                session.connection.raw.execute("set partitioned_write_max_open_files = 1")
            session.connection.raw.register("endless", pa.RecordBatchReader.from_batches(schema, batches()))
            return session.connection.ibis.table("endless"), {}
        rows = pa.Table.from_pylist(visits(D1, 100) + visits(D2, 200))
        return session.connection.ibis.create_table("computed", rows, temp=True), {}

    def holds(t: ir.Table) -> ir.BooleanValue:
        if step == "audit":
            wait_here()
        return t.id.notnull()

    folder = lake / VISITS.database / VISITS.name
    published = {file.path for file in folder.files()}
    table = replace(VISITS, row_checks=(RowCheck("waits", "an id", holds),))
    opened: Any = open_lake(engine_name, lake).connect()
    with opened as session:
        publish(session, table, [D1, D2], compute, {}, NOW, wait_here if step == "commit" else lambda: None)


def publish_on_and_on(engine_name: str, lake: Location, parent: Connection) -> None:
    """Publishes D1 and D2 as often as it can, and reports each time."""
    with open_lake(engine_name, lake).connect() as session:
        opened: Any = session
        for n in range(ENDLESS_BATCHES):
            rows = pa.Table.from_pylist(visits(D1, n) + visits(D2, n))
            computed = opened.connection.ibis.create_table("computed", rows, temp=True, overwrite=True)
            publish(session, VISITS, [D1, D2], lambda computed=computed: (computed, {}), {}, NOW)
            parent.send(n)


@dataclass
class Run:
    """A run in another process."""

    lake: Location
    process: BaseProcess
    pipe: Connection

    def wait(self) -> Any:
        assert self.pipe.poll(PATIENCE), "the run hangs"
        return self.pipe.recv()

    def kill(self) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.join(PATIENCE)
        assert self.process.exitcode == -signal.SIGKILL


Start = Callable[..., Run]


@pytest.fixture(scope="module")
def start(pytestconfig: pytest.Config) -> Iterator[Start]:
    # The runs import this module by name, wherever the tests were started.
    root = str(pytestconfig.rootpath)
    if root not in sys.path:
        sys.path.append(root)
    # A clean process imports the engine once and never uses it; the runs are forked from there, not from here.
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["pytest", "wemart_assets.lake.duckdb_engine", "wemart_assets.lake.publication"])
    runs: list[Run] = []

    def start(target: Callable[..., None], lake: Location, *arguments: Any) -> Run:
        ours, theirs = server.Pipe()
        process = server.Process(target=target, args=(*arguments, theirs), daemon=True)
        process.start()
        theirs.close()
        runs.append(Run(lake, process, ours))
        return runs[-1]

    yield start
    for run in runs:
        run.process.kill()
        run.process.join(PATIENCE)


@pytest.fixture(scope="module")
def waiting(
    engine_name: str,
    engine: Callable[[Location], Lake],
    new_lake: Callable[[], Location],
    write: Callable[..., int],
    start: Start,
) -> dict[tuple[str, str], Run]:
    """Waiting runs by step and by what was published before; starting a process is the costly part."""
    runs = {}
    for before, steps in {"published": STEPS, "nothing": ("staging", "commit")}.items():
        for step in steps:
            lake = new_lake()
            if before == "published":
                with engine(lake).connect() as session:
                    write(session, VISITS, [D1, D2], visits(D1, 1, 2) + visits(D2, 3))
            runs[step, before] = start(run_until_killed, lake, engine_name, lake, step)
    return runs


Read = Callable[..., list[dict[str, Any]]]
LogFiles = Callable[[Location, Table], dict[str, bytes]]
DataFiles = Callable[[Location, Table], dict[str, str]]


def next_run(session: Any) -> None:
    rows = session.connection.ibis.create_table("next", pa.Table.from_pylist(visits(D1, 7) + visits(D2, 8)), temp=True)
    publish(session, VISITS, [D1, D2], lambda: (rows, {}), {}, NOW)


@pytest.mark.parametrize("step", STEPS)
def test_a_killed_run_leaves_the_published_days_unchanged(
    engine: Callable[[Location], Lake],
    waiting: Mapping[tuple[str, str], Run],
    read: Read,
    log_files: LogFiles,
    data_files: DataFiles,
    step: str,
) -> None:
    run = waiting[step, "published"]
    log = log_files(run.lake, VISITS)
    assert run.wait() == step
    run.kill()
    with engine(run.lake).connect() as session:
        assert set(data_files(run.lake, VISITS)) > active_files(session), (
            "the run was killed after it had written something"
        )
        assert read(session, VISITS) == visits(D1, 1, 2) + visits(D2, 3)
        assert session.published(VISITS, [D1, D2]) == {D1, D2}
        assert log_files(run.lake, VISITS) == log
        next_run(session)
        assert read(session, VISITS) == visits(D1, 7) + visits(D2, 8)
        session.store.vacuum(VISITS, 0, dry_run=False)
        assert set(data_files(run.lake, VISITS)) == active_files(session), "what the killed run had written is swept"


@pytest.mark.parametrize("step", ["staging", "commit"])
def test_a_killed_first_run_leaves_nothing_published(
    engine: Callable[[Location], Lake],
    waiting: Mapping[tuple[str, str], Run],
    read: Read,
    data_files: DataFiles,
    step: str,
) -> None:
    run = waiting[step, "nothing"]
    assert run.wait() == step
    run.kill()
    assert data_files(run.lake, VISITS), "the run was killed after it had written something"
    with engine(run.lake).connect() as session:
        assert read(session, VISITS) == []
        assert session.published(VISITS, [D1, D2]) == set()
        next_run(session)
        assert read(session, VISITS) == visits(D1, 7) + visits(D2, 8)
        assert session.published(VISITS, [D1, D2]) == {D1, D2}


def active_files(session: Any) -> set[str]:
    return {file.path for file in session.store.files(VISITS)}


@pytest.mark.slow
def test_a_run_killed_at_any_moment_leaves_one_complete_publication(
    engine_name: str, engine: Callable[[Location], Lake], new_lake: Callable[[], Location], start: Start, read: Read
) -> None:
    """The kill comes at some point of the publication after the last one that was reported."""
    lakes = [new_lake() for _ in range(4)]
    runs = [start(publish_on_and_on, lake, engine_name, lake) for lake in lakes]
    for n, run in enumerate(runs):
        while (told := run.wait()) < n:
            pass
        run.kill()
        with suppress(EOFError):  # the last report before it died
            while True:
                told = run.wait()
        with engine(run.lake).connect() as session:
            seen = read(session, VISITS)
            assert seen in [visits(D1, m) + visits(D2, m) for m in (told, told + 1)]
            next_run(session)
            assert read(session, VISITS) == visits(D1, 7) + visits(D2, 8)
