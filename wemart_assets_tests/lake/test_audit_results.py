"""`audit.results` keeps what every audit found, and gets in nobody's way."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ibis.expr.types as ir
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from deltalake.table import TableOptimizer

from wemart_assets.lake.audit_results import RESULTS
from wemart_assets.lake.publication import Publication, RejectedByAudit, publish
from wemart_assets.lake.session import Lake, Session
from wemart_assets.lake.table import RUN_TIMESTAMP, RowCheck, Severity, Table, at_least, column
from wemart_assets_tests.engines import duckdb_lake, spark_lake

Row = Mapping[str, Any]
Given = Callable[[Session, Table, Sequence[Row]], ir.Table]

D1, D2, D3 = "2024-03-01", "2024-03-02", "2024-03-03"
NOW = dt.datetime(2024, 3, 4, 23, 30, tzinfo=dt.timezone(dt.timedelta(hours=-2)))
ORDERS = Table(
    database="db",
    name="orders",
    description="One row per order.",
    grain=("id",),
    columns=(
        column("id", "bigint", "order", nullable=False),
        column("amount", "bigint", "what it cost", at_least(0)),
        column("part_date", "string", "business day", nullable=False),
        RUN_TIMESTAMP,
    ),
    row_checks=(RowCheck("small", "below 100", lambda t: t.amount < 100, Severity.WARN),),
)


def orders(day: str, *amounts: int) -> list[Row]:
    return [{"id": n, "amount": amount, "part_date": day} for n, amount in enumerate(amounts)]


@pytest.fixture(params=["duckdb", pytest.param("catalog", marks=pytest.mark.spark)])
def of(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lake]:
    """A lake in a folder, where results are written alike on both engines, and one in a catalog of Spark."""
    if request.param == "duckdb":
        yield duckdb_lake(tmp_path / "lake")
        return
    lake = spark_lake(tmp_path / "lake", "spark_catalog")
    with lake.connect() as session:
        spark: Any = session.connection
        for database in ("db", "audit"):
            spark.spark.sql(f"drop database if exists {database} cascade")
    yield lake
    with lake.connect() as session:
        spark = session.connection
        for database in ("db", "audit"):
            spark.spark.sql(f"drop database if exists {database} cascade")


def run(
    lake: Lake, given: Given, run: str | None, days: Sequence[str], rows: Sequence[Row], is_repeated: bool = False
) -> Publication:
    with lake.connect(run, is_repeated) as session:
        return publish(session, ORDERS, days, lambda: (given(session, ORDERS, rows), {}), {}, NOW)


def results(lake: Lake) -> list[dict[str, Any]]:
    with lake.connect() as session:
        rows = session.read(RESULTS).to_pyarrow().to_pylist()
    return sorted(rows, key=lambda row: (row["run"], row["day"], row["check_name"]))


def test_every_check_of_every_day_is_kept(of: Lake, given: Given) -> None:
    run(of, given, "r1", [D1, D2], orders(D1, 1) + orders(D2, 500, 600, 7))
    rows = results(of)
    checks = ["domains", "grain_is_unique", "has_rows", "not_null", "schema", "small"]
    assert [(row["day"], row["check_name"]) for row in rows] == [(day, name) for day in (D1, D2) for name in checks]
    assert [row for row in rows if not row["passed"]] == [
        {
            "run": "r1",
            "table_name": "db.orders",
            "day": D2,
            "check_name": "small",
            "severity": "WARN",
            "passed": False,
            "bad_rows": 2,
            "detail": None,
            "published": True,
            "seconds": rows[0]["seconds"],
            "recorded_at": dt.datetime(2024, 3, 5, 1, 30, tzinfo=dt.UTC),
            "recorded_on": "2024-03-05",
        }
    ]
    assert {row["published"] for row in rows} == {True}
    assert rows[0]["seconds"] > 0


def test_what_a_refused_publication_failed_of_is_kept(of: Lake, given: Given) -> None:
    with pytest.raises(RejectedByAudit):
        run(of, given, "r1", [D1, D2], orders(D1, 5) + orders(D2, -1, -2))
    rows = results(of)
    assert {row["published"] for row in rows} == {False}
    assert [(row["day"], row["check_name"], row["bad_rows"]) for row in rows if not row["passed"]] == [
        (D2, "domains", 2)
    ]


def test_a_step_that_is_repeated_in_its_run_replaces_its_results(of: Lake, given: Given) -> None:
    run(of, given, "r0", [D1], orders(D1, 1))
    with pytest.raises(RejectedByAudit):
        run(of, given, "r1", [D1], orders(D1, -1))
    others = [row for row in results(of) if row["run"] != "r1"]
    run(of, given, "r1", [D1], orders(D1, 1), is_repeated=True)
    rows = results(of)
    assert [row for row in rows if row["run"] != "r1"] == others
    assert {row["passed"] for row in rows if row["run"] == "r1"} == {True}
    keys = [(row["run"], row["table_name"], row["day"], row["check_name"]) for row in rows]
    assert len(set(keys)) == len(keys)


# On one engine


def test_a_day_without_rows_is_kept_with_what_is_wrong(given: Given, tmp_path: Path) -> None:
    lake = duckdb_lake(tmp_path / "lake")
    run(lake, given, "r1", [D1, D2], orders(D1, 1))
    failed = [row for row in results(lake) if not row["passed"]]
    assert [(row["day"], row["check_name"], row["bad_rows"], row["detail"]) for row in failed] == [
        (D2, "has_rows", 0, f"no rows on {D2}")
    ]


def test_nothing_is_kept_of_a_publication_outside_a_run(given: Given, tmp_path: Path) -> None:
    lake = duckdb_lake(tmp_path / "lake")
    run(lake, given, None, [D1], orders(D1, 1))
    assert results(lake) == []


def test_runs_that_end_together_all_keep_their_results(given: Given, tmp_path: Path) -> None:
    lake = duckdb_lake(tmp_path / "lake")
    go = threading.Barrier(8)

    def one(n: int) -> None:
        with lake.connect(f"r{n}", is_repeated=n % 2 == 0) as session:
            go.wait()
            session.append(RESULTS, results_of(f"r{n}"), {"run": f"r{n}", "table_name": "db.orders"})

    threads = [threading.Thread(target=one, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [row["run"] for row in results(lake)] == [f"r{n}" for n in range(8)]


def test_many_runs_leave_few_files(given: Given, tmp_path: Path) -> None:
    lake = duckdb_lake(tmp_path / "lake")
    with lake.connect("r") as session:
        for n in range(120):
            session.append(RESULTS, results_of(f"r{n:03}"), {"run": f"r{n:03}", "table_name": "db.orders"})
    log = DeltaTable(tmp_path / "lake" / "audit" / "results")
    assert len(log.file_uris()) < 50
    assert [row["run"] for row in results(lake)] == [f"r{n:03}" for n in range(120)]


def test_results_are_recorded_even_if_their_files_cannot_be_merged(
    given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_self: TableOptimizer) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("wemart_assets.lake.folder_store.COMPACTED_EVERY", 1)
    monkeypatch.setattr(TableOptimizer, "compact", fails)
    lake = duckdb_lake(tmp_path / "lake")
    assert run(lake, given, "r1", [D1], orders(D1, 1)).not_recorded is None
    assert {row["run"] for row in results(lake)} == {"r1"}


def test_a_damaged_table_of_results_stops_nothing_and_is_told(
    given: Given, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lake = duckdb_lake(tmp_path / "lake")
    run(lake, given, "r1", [D1], orders(D1, 1))
    for entry in (tmp_path / "lake" / "audit" / "results" / "_delta_log").iterdir():
        entry.write_bytes(b"{")
    published = run(lake, given, "r2", [D2], orders(D2, 1))
    assert published.rows == {D2: 1}
    assert published.not_recorded is not None
    assert "db.orders: what the audit found is not in audit.results" in caplog.text
    with pytest.raises(RejectedByAudit):
        run(lake, given, "r3", [D3], orders(D3, -1))


def test_a_run_id_may_hold_any_character(given: Given, tmp_path: Path) -> None:
    lake = duckdb_lake(tmp_path / "lake")
    name = "it's \\ a \"run\" '; --"
    run(lake, given, name, [D1], orders(D1, 1))
    before = results(lake)
    run(lake, given, name, [D1], orders(D1, 1), is_repeated=True)
    assert [row | {"seconds": 0} for row in results(lake)] == [row | {"seconds": 0} for row in before]


def results_of(run: str) -> Any:
    row = {
        "run": run,
        "table_name": "db.orders",
        "day": D1,
        "check_name": "schema",
        "severity": "ERROR",
        "passed": True,
        "bad_rows": 0,
        "published": True,
        "seconds": 0.1,
        "recorded_at": NOW,
        "recorded_on": "2024-03-05",
    }
    return pa.Table.from_pylist([row], RESULTS.arrow_schema)
