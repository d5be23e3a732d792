"""Several runs publish one table at the same time: different days do not interfere, and one day has one winner.

The writers are separate processes, started by spawn (deltalake does not survive a fork), and meet at a barrier
right before they commit. They do so in a folder and in an object store.
"""

from __future__ import annotations

import datetime as dt
import multiprocessing
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import ibis.expr.types as ir
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError

from wemart_assets.lake.errors import PublishConflict
from wemart_assets.lake.location import Location
from wemart_assets.lake.publication import publish, stage
from wemart_assets.lake.session import Lake, Session
from wemart_assets.lake.table import RUN_TIMESTAMP, Table, column
from wemart_assets_tests.engines import duckdb_lake

D1, D2, D3, D4, D5 = (f"2024-03-0{n}" for n in range(1, 6))
NOW = dt.datetime(2024, 3, 10, tzinfo=dt.UTC)
ROUNDS, ROUNDS_IN_STORE = 8, 2
PATIENCE = 120  # seconds after which a hanging process fails a test instead of blocking it

VISITS = Table(
    database="db",
    name="visits",
    description="One row per visit.",
    grain=("id",),
    columns=(
        column("id", "bigint", "number of the visit", nullable=False),
        column("writer", "string", "who wrote the row"),
        column("part_date", "string", "business day", nullable=False),
        RUN_TIMESTAMP,
    ),
)
WIDER = replace(VISITS, columns=(*VISITS.columns[:2], column("ctry", "string", "country"), *VISITS.columns[2:]))


@dataclass(frozen=True)
class Attempt:
    """One publication: three rows per day, all signed by the writer, or no rows if `empty`."""

    table: Table
    days: Sequence[str]
    writer: str
    empty: bool = False
    audited: bool = False


def rows_of(attempt: Attempt) -> list[dict[str, Any]]:
    if attempt.empty:
        return []
    return [{"id": n, "writer": attempt.writer, "part_date": day} for day in attempt.days for n in range(3)]


def as_table(session: Any, table: Table, rows: Sequence[Mapping[str, Any]]) -> ir.Table:
    full = [{c.name: row.get(c.name) for c in table.columns} for row in rows]
    arrow = pa.Table.from_pylist(full, schema=table.arrow_schema)
    return session.connection.ibis.create_table(f"given_{uuid.uuid4().hex}", arrow, temp=True)


def attempt_it(session: Session, attempt: Attempt, right_before_the_commit: Callable[[], object]) -> str:
    """Returns `published`, or the message of the conflict (or of the underlying library)."""
    table, days = attempt.table, attempt.days
    try:
        if attempt.audited:
            rows = as_table(session, table, rows_of(attempt))
            publish(session, table, days, lambda: (rows, {}), {}, NOW, before=right_before_the_commit)
        else:
            baseline = session.baseline(table, days)
            staged = stage(session, table, as_table(session, table, rows_of(attempt)), days, baseline, NOW)
            right_before_the_commit()
            session.publish(staged)
    except PublishConflict as conflict:
        return str(conflict)
    except DeltaError as error:
        return f"{type(error).__name__}: {error}"
    return "published"


def open_lake(name: str, lake: Location) -> Lake:
    """Opens the engine in a separate process, to which an open engine cannot be passed."""
    engines = {"duckdb": lambda: duckdb_lake(lake)}
    return engines[name]()


def write_on_demand(engine_name: str, lake: Location, barrier: Barrier, orders: Connection) -> None:
    """A writer process: publishes what it is told to, at the same time as the other writer, until it is killed."""
    try:
        with open_lake(engine_name, lake).connect() as session:
            while True:
                attempt = orders.recv()
                orders.send(attempt_it(session, attempt, lambda: barrier.wait(PATIENCE)))
    finally:
        # Do not keep the other writer waiting for one that has died.
        barrier.abort()


@dataclass(frozen=True)
class Writers:
    """Two writer processes and the lake that they share."""

    lake: Location
    session: Any
    orders: Sequence[Connection]

    @property
    def rounds(self) -> int:
        return ROUNDS if self.lake.is_local else ROUNDS_IN_STORE

    def publish_together(self, *attempts: Attempt) -> list[str]:
        for order, attempt in zip(self.orders, attempts, strict=True):
            order.send(attempt)
        outcomes = []
        for order in self.orders:
            assert order.poll(PATIENCE), "a writer hangs"
            outcomes.append(order.recv())
        return outcomes

    def seen(self, table: Table) -> set[tuple[str, int, str]]:
        rows = self.session.connection.ibis.to_pyarrow(self.session.read(table)).to_pylist()
        found = {(row["part_date"], row["id"], row["writer"]) for row in rows}
        assert len(found) == len(rows), "rows are doubled"
        return found

    def files(self, table: Table) -> set[str]:
        listed = {file.path for file in (self.lake / table.database / table.name).files()}
        return {path for path in listed if path.endswith(".parquet") and not path.startswith("_delta_log/")}

    def active_files(self, table: Table) -> set[str]:
        return {file.path for file in self.session.store.files(table)}


@pytest.fixture(scope="module")
def writers(
    engine_name: str,
    engine: Callable[[Location], Lake],
    new_lake: Callable[[], Location],
    pytestconfig: pytest.Config,
) -> Iterator[Writers]:
    # The writers import this module by name, wherever the tests were started.
    root = str(pytestconfig.rootpath)
    if root not in sys.path:
        sys.path.append(root)
    lake = new_lake()
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(2)
    processes, orders = [], []
    for _ in range(2):
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=write_on_demand, args=(engine_name, lake, barrier, theirs), daemon=True)
        process.start()
        processes.append(process)
        orders.append(ours)
    with engine(lake).connect() as session:
        yield Writers(lake, session, orders)
    for process in processes:
        process.kill()
        process.join(PATIENCE)


def signed(writer: str, *days: str) -> set[tuple[str, int, str]]:
    return {(day, n, writer) for day in days for n in range(3)}


# Other days


def test_first_publications_of_different_days_both_succeed(writers: Writers) -> None:
    for n in range(writers.rounds):
        table = replace(VISITS, name=f"first_of_different_days_{n}")
        assert writers.publish_together(Attempt(table, [D1], "a"), Attempt(table, [D2], "b")) == ["published"] * 2
        assert writers.seen(table) == signed("a", D1) | signed("b", D2)


def test_republications_of_different_days_both_succeed(writers: Writers) -> None:
    table = replace(VISITS, name="different_days")
    for n in range(writers.rounds):
        attempts = Attempt(table, [D1, D2], f"a{n}"), Attempt(table, [D3], f"b{n}")
        assert writers.publish_together(*attempts) == ["published"] * 2
        assert writers.seen(table) == signed(f"a{n}", D1, D2) | signed(f"b{n}", D3)


def test_different_days_both_succeed_through_the_audit(writers: Writers) -> None:
    table = replace(VISITS, name="different_days_audited")
    for n in range(min(3, writers.rounds)):
        attempts = Attempt(table, [D1], f"a{n}", audited=True), Attempt(table, [D2], f"b{n}", audited=True)
        assert writers.publish_together(*attempts) == ["published"] * 2
        assert writers.seen(table) == signed(f"a{n}", D1) | signed(f"b{n}", D2)


def test_different_days_both_succeed_when_both_add_the_same_column(writers: Writers) -> None:
    for n in range(writers.rounds):
        table, wider = (replace(t, name=f"both_bring_a_column_{n}") for t in (VISITS, WIDER))
        writers.publish_together(Attempt(table, [D3], "old"), Attempt(table, [D4], "old"))
        assert writers.publish_together(Attempt(wider, [D1], "a"), Attempt(wider, [D2], "b")) == ["published"] * 2
        assert writers.seen(wider) == signed("a", D1) | signed("b", D2) | signed("old", D3, D4)


# The same day


def one_winner(writers: Writers, first: Attempt, second: Attempt) -> Attempt:
    """Both publish at once: exactly one succeeds and the other is refused. Returns the winner."""
    outcomes = writers.publish_together(first, second)
    assert outcomes.count("published") == 1, outcomes
    [refused] = [outcome for outcome in outcomes if outcome != "published"]
    assert first.table.full_name in refused
    assert "this run published nothing" in refused
    return first if outcomes[0] == "published" else second


def test_of_two_first_publications_of_a_day_one_wins(writers: Writers) -> None:
    for n in range(writers.rounds):
        table = replace(VISITS, name=f"first_of_one_day_{n}")
        winner = one_winner(writers, Attempt(table, [D1], "a"), Attempt(table, [D1], "b"))
        assert writers.seen(table) == signed(winner.writer, D1)
        assert writers.files(table) == writers.active_files(table), "what the loser staged is gone"


def test_of_two_republications_of_a_day_one_wins(writers: Writers) -> None:
    table = replace(VISITS, name="one_day")
    writers.publish_together(Attempt(table, [D1], "old"), Attempt(table, [D2], "untouched"))
    for n in range(writers.rounds):
        winner = one_winner(writers, Attempt(table, [D1], f"a{n}"), Attempt(table, [D1], f"b{n}"))
        assert writers.seen(table) == signed(winner.writer, D1) | signed("untouched", D2)


def test_of_two_audited_publications_of_a_day_one_wins(writers: Writers) -> None:
    table = replace(VISITS, name="one_day_audited")
    for n in range(min(3, writers.rounds)):
        attempts = Attempt(table, [D1], f"a{n}", audited=True), Attempt(table, [D1], f"b{n}", audited=True)
        winner = one_winner(writers, *attempts)
        assert writers.seen(table) == signed(winner.writer, D1)


def test_of_two_overlapping_ranges_one_wins_all_its_days(writers: Writers) -> None:
    for n in range(writers.rounds):
        table = replace(VISITS, name=f"shared_day_{n}")
        winner = one_winner(writers, Attempt(table, [D1, D2, D3], "a"), Attempt(table, [D3, D4, D5], "b"))
        assert writers.seen(table) == signed(winner.writer, *winner.days)
        assert writers.session.published(table, [D1, D2, D3, D4, D5]) == set(winner.days)


def test_of_an_empty_and_a_full_publication_of_a_day_one_wins(writers: Writers) -> None:
    for n in range(writers.rounds):
        table = replace(VISITS, name=f"empty_or_not_{n}")
        winner = one_winner(writers, Attempt(table, [D1], "a", empty=True), Attempt(table, [D1], "b"))
        assert writers.seen(table) == (set() if winner.empty else signed("b", D1))


def test_of_two_empty_publications_of_a_day_one_wins(writers: Writers) -> None:
    for n in range(writers.rounds):
        table = replace(VISITS, name=f"both_empty_{n}")
        one_winner(writers, Attempt(table, [D1], "a", empty=True), Attempt(table, [D1], "b", empty=True))
        assert writers.session.published(table, [D1]) == {D1}


# Late commits: the run began before another publication and commits after it


@pytest.fixture
def other(engine: Callable[[Path], Lake], lake: Path) -> Iterator[Session]:
    """A second session on the lake."""
    with engine(lake).connect() as opened:
        yield opened


Read = Callable[..., list[dict[str, Any]]]
Write = Callable[..., int]


def visits(day: str, *ids: int) -> list[dict[str, Any]]:
    return [{"id": n, "writer": "w", "part_date": day} for n in ids]


@pytest.mark.parametrize("first", [[], [D1], [D1, D2]], ids=["no table yet", "day published", "days published"])
def test_a_run_is_refused_if_its_day_was_published_in_the_meantime(
    session: Session,
    other: Session,
    write: Write,
    read: Read,
    lake: Path,
    data_files: Callable[[Path, Table], dict[str, str]],
    first: list[str],
) -> None:
    if first:
        write(session, VISITS, first, [row for day in first for row in visits(day, 1)])
    baseline = session.baseline(VISITS, [D1])
    write(other, VISITS, [D1], visits(D1, 2))
    files = data_files(lake, VISITS)
    staged = stage(session, VISITS, as_table(session, VISITS, visits(D1, 3)), [D1], baseline, NOW)
    with pytest.raises(PublishConflict, match=rf"db.visits: another run published {D1} while"):
        session.publish(staged)
    assert read(session, VISITS, [D1]) == visits(D1, 2)
    assert data_files(lake, VISITS) == files


def test_a_range_is_refused_if_one_of_its_days_was_published_in_the_meantime(
    session: Session, other: Session, write: Write, read: Read
) -> None:
    write(session, VISITS, [D1, D2, D3], visits(D1, 1) + visits(D2, 1) + visits(D3, 1))
    baseline = session.baseline(VISITS, [D1, D2, D3])
    write(other, VISITS, [D2], visits(D2, 2))
    rows = as_table(session, VISITS, visits(D1, 3) + visits(D2, 3) + visits(D3, 3))
    with pytest.raises(PublishConflict, match=f"{D1} to {D3}"):
        session.publish(stage(session, VISITS, rows, [D1, D2, D3], baseline, NOW))
    assert read(session, VISITS) == visits(D1, 1) + visits(D3, 1) + visits(D2, 2)


def test_an_empty_publication_in_the_meantime_is_also_a_conflict(
    session: Session, other: Session, write: Write, read: Read
) -> None:
    write(session, VISITS, [D1], [])
    baseline = session.baseline(VISITS, [D1])
    write(other, VISITS, [D1], [])
    with pytest.raises(PublishConflict):
        session.publish(stage(session, VISITS, as_table(session, VISITS, visits(D1, 3)), [D1], baseline, NOW))
    assert read(session, VISITS) == []


def test_a_publication_of_another_day_is_no_conflict(
    session: Session, other: Session, write: Write, read: Read
) -> None:
    baseline = session.baseline(VISITS, [D1])
    staged = stage(session, VISITS, as_table(session, VISITS, visits(D1, 1)), [D1], baseline, NOW)
    write(other, VISITS, [D2], visits(D2, 2))
    session.publish(staged)
    assert read(session, VISITS) == visits(D1, 1) + visits(D2, 2)


def test_a_commit_by_a_foreign_writer_is_a_conflict(session: Session, write: Write, lake: Path) -> None:
    write(session, VISITS, [D1], visits(D1, 1))
    baseline = session.baseline(VISITS, [D1])
    log = DeltaTable(lake / "db" / "visits")
    rows = pa.Table.from_pylist([{**visits(D1, 9)[0], "run_timestamp": NOW}], schema=VISITS.arrow_schema)
    write_deltalake(log, rows, mode="overwrite", predicate=f"part_date = '{D1}'")
    with pytest.raises(PublishConflict):
        session.publish(stage(session, VISITS, as_table(session, VISITS, visits(D1, 2)), [D1], baseline, NOW))


@pytest.mark.parametrize("moment", ["while it computes", "right before its commit"])
def test_a_run_never_overwrites_a_publication_made_during_it(
    session: Session, other: Session, write: Write, read: Read, moment: str
) -> None:
    """The baseline is taken before a run reads its inputs, so its result may be older than what was published."""
    rows = as_table(session, VISITS, visits(D1, 1))

    def meanwhile() -> None:
        write(other, VISITS, [D1], visits(D1, 2))

    def compute() -> tuple[ir.Table, Mapping[str, ir.Table]]:
        if moment == "while it computes":
            meanwhile()
        return rows, {}

    def before() -> None:
        if moment == "right before its commit":
            meanwhile()

    with pytest.raises(PublishConflict):
        publish(session, VISITS, [D1], compute, {}, NOW, before)
    assert read(session, VISITS) == visits(D1, 2)


def test_one_session_may_publish_a_day_repeatedly(session: Session, write: Write, read: Read) -> None:
    for n in range(4):
        write(session, VISITS, [D1], visits(D1, n))
    assert read(session, VISITS) == visits(D1, 3)
