"""Behaviour specific to Spark: commits next to other writers, catalogs, plans, and what happens when it dies."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from wemart_assets.lake.errors import PublishConflict, UnreadableTable, WemartError
from wemart_assets.lake.folder_store import FolderStore
from wemart_assets.lake.publication import RejectedByAudit, publish, stage
from wemart_assets.lake.session import Lake, Session
from wemart_assets.lake.table import RUN_TIMESTAMP, RowCheck, Table, column
from wemart_assets_tests.engines import open_lake, rows_as, spark_lake, table_of

pytestmark = pytest.mark.spark

D1, D2, D3, D4 = (f"2024-03-0{n}" for n in range(1, 5))
NOW = dt.datetime(2024, 3, 10, 0, 30, 0, 123456, tzinfo=dt.UTC)
PATIENCE = 180

VISITS = Table(
    database="db",
    name="visits",
    description="One row per visit; it's a table.",
    grain=("id",),
    columns=(
        column("id", "bigint", "number of the visit", nullable=False),
        column("writer", "string", "who wrote the row"),
        column("part_date", "string", "business day", nullable=False),
        RUN_TIMESTAMP,
    ),
)
EVERY_TYPE = Table(
    database="db",
    name="every_type",
    description="One column a type.",
    columns=(
        column("a_tinyint", "tinyint", "x"),
        column("an_int", "int", "x"),
        column("a_bigint", "bigint", "x"),
        column("a_double", "double", "x"),
        column("a_boolean", "boolean", "x"),
        column("a_string", "string", "x"),
        column("a_date", "date", "x"),
        column("a_timestamp", "timestamp", "x"),
        column("a_decimal", "decimal(18,4)", "x"),
        column("place", "string", "a partition of any text"),
        column("part_date", "string", "business day", nullable=False),
        RUN_TIMESTAMP,
    ),
    partition_by=("place", "part_date"),
)
Row = Mapping[str, Any]


def visits(day: str, *ids: int, writer: str = "w") -> list[dict[str, Any]]:
    return [{"id": n, "writer": writer, "part_date": day} for n in ids]


def put(session: Session, table: Table, days: Sequence[str], rows: Sequence[Row]) -> int:
    """Publish rows without an audit."""
    baseline = session.baseline(table, days)
    return session.publish(stage(session, table, table_of(session, rows_as(table, rows)), days, baseline, NOW))


def seen(session: Any, table: Table, days: Sequence[str] | None = None) -> list[dict[str, Any]]:
    rows = session.connection.ibis.to_pyarrow(session.read(table, days).drop("run_timestamp")).to_pylist()
    return sorted(rows, key=lambda row: str(list(row.values())))


@pytest.fixture(params=["folder", "catalog"])
def session(request: pytest.FixtureRequest, lake: Path) -> Iterator[Session]:
    """A session on its own lake: in a folder, or in the catalog of a separate Spark."""
    catalog = "spark_catalog" if request.param == "catalog" else None
    with spark_lake(lake, catalog).connect() as opened:
        if catalog:
            opened.connection.spark.sql("drop database if exists db cascade")
        yield opened
        if catalog:
            opened.connection.spark.sql("drop database if exists db cascade")


# Published rows are what readers see


def test_a_publication_replaces_its_days_and_no_other(session: Session) -> None:
    put(session, VISITS, [D1, D2], visits(D1, 1, 2) + visits(D2, 3))
    put(session, VISITS, [D2, D3], visits(D3, 4))
    assert seen(session, VISITS) == visits(D1, 1, 2) + visits(D3, 4)
    assert seen(session, VISITS, [D3]) == visits(D3, 4)
    assert session.published(VISITS, [D1, D2, D3, D4]) == {D1, D2, D3}
    assert seen(session, VISITS, []) == []
    sizes = session.sizes(VISITS, [D1, D2])
    assert (sizes[D1] > 0, sizes[D2]) == (True, 0)


def test_the_version_of_a_day_is_its_latest_commit(session: Session) -> None:
    first = put(session, VISITS, [D1, D2], visits(D1, 1))
    second = put(session, VISITS, [D2], [])
    assert session.versions(VISITS, [D1, D2]) == {D1: first, D2: second}


def test_an_unpublished_table_is_empty(session: Session) -> None:
    assert seen(session, VISITS) == []
    assert session.published(VISITS, [D1]) == set()


def test_rows_that_were_read_do_not_change_later(session: Any) -> None:
    put(session, VISITS, [D1], visits(D1, 1))
    rows = session.read(VISITS)
    put(session, VISITS, [D1], visits(D1, 2))
    assert rows.id.to_pyarrow().to_pylist() == [1]


def test_a_column_that_is_declared_later_is_added(session: Session) -> None:
    put(session, VISITS, [D1], visits(D1, 1))
    wider = replace(VISITS, columns=(*VISITS.columns[:2], column("ctry", "string", "country"), *VISITS.columns[2:]))
    assert [row["ctry"] for row in seen(session, wider)] == [None]
    put(session, wider, [D2], [{**visits(D2, 2)[0], "ctry": "KR"}])
    assert [row["ctry"] for row in seen(session, wider)] == [None, "KR"]
    put(session, VISITS, [D3], visits(D3, 3))
    assert [row["ctry"] for row in seen(session, wider)] == [None, "KR", None]


def test_spark_describes_the_columns_as_declared(session: Session) -> None:
    put(session, VISITS, [D1], visits(D1, 1))
    assert descriptions(session) == {c.name: c.description for c in VISITS.columns}
    other = replace(VISITS, columns=(column("id", "bigint", "the visit's \\ number"), *VISITS.columns[1:]))
    put(session, other, [D2], visits(D2, 2))
    assert descriptions(session)["id"] == "the visit's \\ number"
    assert seen(session, VISITS) == visits(D1, 1) + visits(D2, 2)


def descriptions(session: Any) -> dict[str, str]:
    """What Spark's `describe` says of the columns of `VISITS`."""
    store = session.store
    address = store.address(VISITS) if hasattr(store, "catalog") else f"delta.`{store.location(VISITS)}`"
    described = session.connection.spark.sql(f"describe table {address}").collect()
    return {row["col_name"]: row["comment"] for row in described if row["col_name"] in VISITS.schema}


def test_a_type_that_changed_is_refused(session: Session) -> None:
    put(session, VISITS, [D1], visits(D1, 1))
    other = replace(VISITS, columns=(column("id", "int", "number"), *VISITS.columns[1:]))
    with pytest.raises(UnreadableTable, match=r"db\.visits.*id is"):
        put(session, other, [D1], visits(D1, 2))
    assert seen(session, VISITS) == visits(D1, 1)


@pytest.mark.parametrize(("rows", "words"), [(visits(D2, 1), D2), ([{"id": 1, "part_date": None}], "NULL")])
def test_rows_of_other_days_are_refused(session: Session, rows: list[Row], words: str) -> None:
    with pytest.raises(WemartError, match=f"returned rows of {words} in a run of {D1}"):
        put(session, VISITS, [D1], rows)


def test_a_broken_rule_stops_the_publication(session: Session) -> None:
    put(session, VISITS, [D1], visits(D1, 1))
    table = replace(VISITS, row_checks=(RowCheck("small", "below 5", lambda t: t.id < 5),))
    rows = table_of(session, rows_as(table, visits(D1, 7, 7)))
    with pytest.raises(RejectedByAudit) as rejected:
        publish(session, table, [D1], lambda: (rows, {}), {}, NOW)
    assert {f.check.name for f in rejected.value.findings if not f.passed} == {"small", "grain_is_unique"}
    assert seen(session, VISITS) == visits(D1, 1)


def test_the_publication_reports_rows_and_bytes_of_each_day(session: Session) -> None:
    rows = table_of(session, rows_as(VISITS, visits(D1, 1, 2)))
    said = publish(session, VISITS, [D1, D2], lambda: (rows, {}), {}, NOW)
    assert said.rows == {D1: 2, D2: 0}
    assert (said.bytes[D1] > 0, said.bytes[D2]) == (True, 0)
    assert [row["run_timestamp"] for row in said.preview] == [NOW, NOW]


# Two writers


def test_a_day_published_in_the_meantime_is_not_overwritten(session: Session) -> None:
    for first in ([], [D1]):
        baseline = session.baseline(VISITS, [D1])
        put(session, VISITS, [D1], visits(D1, *range(len(first))))
        rows = table_of(session, rows_as(VISITS, visits(D1, 9)))
        with pytest.raises(PublishConflict, match=f"another run published {D1}"):
            session.publish(stage(session, VISITS, rows, [D1], baseline, NOW))
        assert seen(session, VISITS) == visits(D1, *range(len(first)))


def test_other_days_published_in_the_meantime_are_no_conflict(session: Session) -> None:
    baseline = session.baseline(VISITS, [D1, D2])
    put(session, VISITS, [D3], visits(D3, 3))
    rows = table_of(session, rows_as(VISITS, visits(D1, 1)))
    session.publish(stage(session, VISITS, rows, [D1, D2], baseline, NOW))
    assert seen(session, VISITS) == visits(D1, 1) + visits(D3, 3)


@pytest.mark.parametrize("days", [[D1], [D1, D2]], ids=["day", "range"])
def test_a_commit_that_delta_skips_is_a_conflict(session: Any, days: list[str]) -> None:
    """The other writer commits after the comparison with the baseline, before Delta takes its snapshot."""
    baseline = session.baseline(VISITS, days)
    rows = table_of(session, rows_as(VISITS, visits(D1, 1)))
    staged = stage(session, VISITS, rows, days, baseline, NOW)

    def late(*arguments: Any) -> None:
        put(session, VISITS, days, visits(D1, 2))
        staged.write(*arguments)

    with pytest.raises(PublishConflict):
        session.publish(replace(staged, write=late))
    assert seen(session, VISITS) == visits(D1, 2)
    put(session, VISITS, days, visits(D1, 3))
    assert seen(session, VISITS) == visits(D1, 3)


ROUNDS = 3


@pytest.mark.parametrize(
    ("first", "second"),
    [([D1], [D1]), ([D1, D2], [D1, D2]), ([D1, D2], [D2, D3])],
    ids=["one day", "one range", "ranges that share a day"],
)
@pytest.mark.parametrize("other", ["spark", "duckdb"])
def test_of_two_concurrent_writers_one_wins(lake: Path, other: str, first: list[str], second: list[str]) -> None:
    barrier = threading.Barrier(2)
    outcomes: dict[str, str] = {}

    def write(session: Session, writer: str, table: Table, days: list[str]) -> None:
        rows = table_of(session, rows_as(table, [row for day in days for row in visits(day, 1, 2, writer=writer)]))
        staged = stage(session, table, rows, days, session.baseline(table, days), NOW)
        barrier.wait(PATIENCE)
        try:
            session.publish(staged)
            outcomes[writer] = "published"
        except Exception as refused:
            outcomes[writer] = f"{type(refused).__name__}: {refused}"

    with ExitStack() as opened:
        sessions = [opened.enter_context(open_lake(name, lake).connect()) for name in ("spark", other)]
        for n in range(ROUNDS):
            table = replace(VISITS, name=f"first_{n}")
            runs = [
                threading.Thread(target=write, args=(session, writer, table, days))
                for session, writer, days in zip(sessions, "ab", (first, second), strict=True)
            ]
            for run in runs:
                run.start()
            for run in runs:
                run.join(PATIENCE)
            assert list(outcomes.values()).count("published") == 1, outcomes
            assert sum(o.startswith("PublishConflict: ") for o in outcomes.values()) == 1, outcomes
            if any("its rows were replaced" in outcome for outcome in outcomes.values()):
                continue
            [winner] = [writer for writer, outcome in outcomes.items() if outcome == "published"]
            days = first if winner == "a" else second
            expected = [row for day in days for row in visits(day, 1, 2, writer=winner)]
            assert seen(sessions[0], table) == sorted(expected, key=lambda row: str(list(row.values())))


# Next to DuckDB


@pytest.fixture
def both(lake: Path) -> Iterator[dict[str, Session]]:
    with open_lake("duckdb", lake).connect() as duckdb, open_lake("spark", lake).connect() as spark:
        yield {"duckdb": duckdb, "spark": spark}


def test_rows_with_a_null_condition_are_not_counted(both: dict[str, Session]) -> None:
    ids = {"none met": [None, None], "one met": [None, 2], "no rows": []}
    for name, session in both.items():
        for case, found in ids.items():
            arrow = pa.table({"id": pa.array(found, pa.int64()), "half": pa.array([1] * len(found), pa.int64())})
            rows = table_of(session, arrow)
            counted = rows.aggregate(twos=rows.count(where=rows.id == 2), rows=rows.count())
            # The same over a window.
            each = rows.select(twos=rows.count(where=rows.id == 2).over(ibis.window(group_by="half")))
            twos = int(case == "one met")
            assert counted.to_pyarrow().to_pylist() == [{"twos": twos, "rows": len(found)}], (name, case)
            assert each.to_pyarrow().to_pylist() == [{"twos": twos}] * len(found), (name, case)


@pytest.mark.parametrize("days", [[D1], [D1, D2]], ids=["day", "range"])
@pytest.mark.parametrize(("writer", "reader"), [("duckdb", "spark"), ("spark", "duckdb")])
def test_the_other_engine_sees_an_empty_day_as_published(
    both: dict[str, Session], writer: str, reader: str, days: list[str]
) -> None:
    put(both[writer], VISITS, days, [])
    assert both[reader].published(VISITS, [D1, D2, D3]) == set(days)
    assert both[reader].versions(VISITS, days).keys() == set(days)


@pytest.mark.parametrize(("early", "late"), [("duckdb", "spark"), ("spark", "duckdb")])
@pytest.mark.parametrize("rows", [[], visits(D1, 1)], ids=["empty", "rows"])
def test_a_late_writer_is_also_refused_on_the_other_engine(
    both: dict[str, Session], early: str, late: str, rows: list[Row]
) -> None:
    baseline = both[late].baseline(VISITS, [D1])
    put(both[early], VISITS, [D1], rows)
    own = table_of(both[late], rows_as(VISITS, visits(D1, 2)))
    staged = stage(both[late], VISITS, own, [D1], baseline, NOW)
    with pytest.raises(PublishConflict):
        both[late].publish(staged)
    assert seen(both[late], VISITS) == rows


EXTREMES: list[Row] = [
    {
        "a_tinyint": sign * 127,
        "an_int": sign * (2**31 - 1),
        "a_bigint": sign * (2**63 - 1),
        "a_double": sign * 1.5e300,
        "a_boolean": sign > 0,
        "a_string": text,
        "a_date": day,
        "a_timestamp": dt.datetime(day.year, day.month, day.day, 23, 59, 59, 999999, tzinfo=dt.UTC),
        "place": text,
        "part_date": D1,
    }
    for sign, text, day in [
        (1, "a b/c%20d=é:\\'`?*[x]{y} 서울", dt.date(9999, 12, 30)),
        (-1, "+", dt.date(1600, 1, 1)),
        (1, "plain", dt.date(2024, 2, 29)),
    ]
] + [{"place": "nothing known", "part_date": D1}]


@pytest.mark.parametrize(("writer", "reader"), [("duckdb", "spark"), ("spark", "duckdb"), ("spark", "spark")])
def test_both_engines_read_every_type_and_partition_the_same(
    both: dict[str, Session], writer: str, reader: str
) -> None:
    put(both[writer], EVERY_TYPE, [D1], EXTREMES)
    known = [dict.fromkeys(c.name for c in EVERY_TYPE.columns if c.name != "run_timestamp") | row for row in EXTREMES]
    assert seen(both[reader], EVERY_TYPE) == sorted(known, key=lambda row: str(list(row.values())))


def test_data_files_have_the_declared_types(both: dict[str, Session], lake: Path) -> None:
    put(both["spark"], EVERY_TYPE, [D1], EXTREMES)
    files = [f for f in (lake / "db" / "every_type").rglob("*.parquet") if "_delta_log" not in f.parts]
    assert len(files) == len(EXTREMES)
    for file in files:
        assert {f.name: f.type for f in pq.ParquetFile(file).schema_arrow} == {
            f.name: f.type for f in EVERY_TYPE.arrow_schema if f.name not in EVERY_TYPE.partition_by
        }


def test_other_readers_can_read_a_catalog_table(lake: Path) -> None:
    with spark_lake(lake, "spark_catalog").connect() as session:
        session.connection.spark.sql("drop database if exists db cascade")
        put(session, VISITS, [D1, D2], visits(D1, 1))
        detail = session.connection.spark.sql("describe detail db.visits").collect()[0]
        log = DeltaTable(detail["location"].removeprefix("file:"))
        assert log.protocol().reader_features in (None, [])
        assert log.to_pyarrow_table().column("id").to_pylist() == [1]
        session.connection.spark.sql("drop database db cascade")


# Timezones


@pytest.mark.usefixtures("out_of_date")
def test_a_spark_with_other_timezone_rules_than_the_machine_is_refused(lake: Path) -> None:
    first_day = dt.date(2024, 3, 1)
    with (
        spark_lake(lake, clocks=("Asia/Tokyo", first_day)).connect() as session,
        pytest.raises(WemartError, match=r"WEMART_TIMEZONE='Asia/Tokyo'.*Spark's Java.* at 2024-02-28"),
    ):
        _ = session.connection.spark
    with spark_lake(lake, clocks=("America/New_York", first_day)).connect() as session:
        assert session.connection.spark.sql("select 1").count() == 1


# Killed runs


def publish_until_killed(lake: Path, step: str, parent: Connection) -> None:
    """Republishes D1 and D2, reports when it reaches the step, and waits there forever."""

    def wait_here() -> None:
        parent.send(step)
        parent.recv()

    def holds(t: ir.Table) -> ir.BooleanValue:
        if step == "audit":
            wait_here()
        return t.id.notnull()

    table = replace(VISITS, row_checks=(RowCheck("waits", "an id", holds),))
    with spark_lake(lake).connect() as session:
        rows = table_of(session, rows_as(VISITS, visits(D1, 100) + visits(D2, 200)))
        publish(session, table, [D1, D2], lambda: (rows, {}), {}, NOW, wait_here if step == "commit" else lambda: None)


@pytest.mark.slow
@pytest.mark.parametrize("step", ["audit", "commit"])
def test_a_killed_driver_leaves_the_published_days_unchanged(
    lake: Path, step: str, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = str(pytestconfig.rootpath)
    if root not in sys.path:
        monkeypatch.syspath_prepend(root)
    with open_lake("duckdb", lake).connect() as session:
        put(session, VISITS, [D1, D2], visits(D1, 1) + visits(D2, 2))
    version = DeltaTable(lake / "db" / "visits").version()
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    run = spawn.Process(target=publish_until_killed, args=(lake, step, theirs), daemon=True)
    run.start()
    try:
        assert ours.poll(PATIENCE), "the run hangs"
        assert ours.recv() == step
    finally:
        assert run.pid is not None
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(run.pid)], capture_output=True, text=True).stdout
        os.kill(run.pid, signal.SIGKILL)
        for child in children.split():
            os.kill(int(child), signal.SIGKILL)
        run.join(PATIENCE)
    assert DeltaTable(lake / "db" / "visits").version() == version
    with open_lake("duckdb", lake).connect() as session:
        assert seen(session, VISITS) == visits(D1, 1) + visits(D2, 2)
        put(session, VISITS, [D1, D2], visits(D1, 7))
        assert seen(session, VISITS) == visits(D1, 7)


# Killed Spark


def publish_after_each_death(lake: Path) -> list[list[dict[str, Any]]]:
    """What is published after each way in which Spark can die while a step runs; in a separate process."""

    def kill(spark: Any) -> None:
        jvm = type(spark.sparkContext)._gateway.proc
        jvm.kill()
        jvm.wait()

    def fail(engine: Lake, end: Callable[[Any], None]) -> None:
        with engine.connect() as session:
            rows = table_of(session, rows_as(VISITS, visits(D1, 100)))
            stage(session, VISITS, rows, [D1], session.baseline(VISITS, [D1]), NOW)
            end(session.connection.spark)
            raise ZeroDivisionError("what the step fails with")

    engine, beside = spark_lake(lake), spark_lake(lake)
    found = []
    for n, end in enumerate((lambda spark: spark.stop(), lambda spark: spark._jsc.stop(), kill)):
        with pytest.raises(ZeroDivisionError):
            fail(engine, end)
        for opened in (beside, engine):
            with opened.connect() as session:
                put(session, VISITS, [D1], visits(D1, n))
                found.append(seen(session, VISITS))
    return found


@pytest.mark.slow
def test_a_dead_spark_is_replaced_and_the_failure_is_raised(
    lake: Path, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = str(pytestconfig.rootpath)
    if root not in sys.path:
        monkeypatch.syspath_prepend(root)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        found = process.submit(publish_after_each_death, lake).result(2 * PATIENCE)
    assert found == [visits(D1, n) for n in (0, 0, 1, 1, 2, 2)]


# Imports and start-up


def run_python(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_duckdb_imports_nothing_of_spark(tmp_path: Path) -> None:
    code = "import sys, wemart_assets.definitions; print({'pyspark', 'delta', 'dagster_pyspark'} & set(sys.modules))"
    assert run_python(code, WEMART_ENGINE="duckdb", WEMART_LAKE=str(tmp_path)).strip() == "set()"


def test_the_driver_is_not_bound_to_the_loopback(tmp_path: Path) -> None:
    """pandera would bind it to the loopback, and no executor of a cluster would find the driver."""
    code = "import os, wemart_assets.definitions; print(os.environ.get('SPARK_LOCAL_IP'))"
    environment = {"WEMART_ENGINE": "spark", "WEMART_LAKE": str(tmp_path)}
    assert run_python(code, **environment).strip() == os.environ.get("SPARK_LOCAL_IP", "None")


def test_loading_the_definitions_on_spark_starts_no_jvm(tmp_path: Path) -> None:
    code = (
        "import wemart_assets.definitions as d; from pyspark import SparkContext;"
        "engine = type(d.defs.resources['lake'].engine).__name__;"
        "print(engine, SparkContext._gateway, SparkContext._active_spark_context)"
    )
    said = run_python(code, WEMART_ENGINE="spark", WEMART_LAKE=str(tmp_path))
    assert said.split() == ["SparkEngine", "None", "None"]


def test_without_java_the_error_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "from wemart_assets.definitions import defs; from wemart_assets.lake.errors import WemartError\n"
        "try:\n"
        "    with defs.resources['lake'].connect() as session:\n"
        "        session.connection.spark\n"
        "except WemartError as error:\n"
        "    print(error)"
    )
    environment = {"WEMART_ENGINE": "spark", "WEMART_LAKE": str(tmp_path / "lake"), "JAVA_HOME": str(tmp_path)}
    said = run_python(code, **environment)
    assert f"JAVA_HOME={tmp_path}, which has no bin/java" in said
    assert "Install a JDK 17 or later" in said
    assert "WEMART_ENGINE=duckdb" in said


def test_staged_rows_are_removed_when_the_session_ends(lake: Path) -> None:
    def on_disk_alone(spark: Any) -> int:
        # Delta also keeps the state of its logs, in memory.
        levels = [rdd.getStorageLevel() for rdd in spark.sparkContext._jsc.getPersistentRDDs().values()]
        return sum(level.useDisk() and not level.useMemory() for level in levels)

    with spark_lake(lake).connect() as session:
        # Sessions of other tests may still be open on the same Spark.
        spark = session.connection.spark
        of_others = on_disk_alone(spark)
        rows = table_of(session, rows_as(VISITS, visits(D1, 1)))
        staged = stage(session, VISITS, rows, [D1], session.baseline(VISITS, [D1]), NOW)
        view = staged.rows.get_name()
        assert on_disk_alone(spark) == of_others + 1
    assert not spark.catalog.tableExists(view)
    assert on_disk_alone(spark) == of_others


def test_a_failed_write_leaves_no_files_in_the_table(lake: Path) -> None:
    """A task that fails in the middle of the write leaves the table and its log unchanged."""
    with spark_lake(lake).connect() as session:
        put(session, VISITS, [D1], visits(D1, 1))
        before = FolderStore(lake).files(VISITS)
        rows = table_of(session, rows_as(VISITS, visits(D1, 2, 3)))
        staged = stage(session, VISITS, rows, [D1], session.baseline(VISITS, [D1]), NOW)
        view = staged.rows.get_name()
        broken = session.connection.spark.sql(
            f"select id div (id - 3) as id, writer, part_date, run_timestamp from {view}"
        )

        def write(address: str, options: Mapping[str, str]) -> None:
            # Imported here: the module is read where Spark cannot run.
            from pyspark.sql import functions as f

            broken.writeTo(address).options(**options).overwrite(f.col("part_date") == D1)

        with pytest.raises(Exception, match="DIVIDE_BY_ZERO"):
            session.publish(replace(staged, write=write))
        assert FolderStore(lake).files(VISITS) == before
        assert seen(session, VISITS) == visits(D1, 1)
