"""Measures what a table's log costs after a year of daily commits: opening it, and asking it which days it has.

Every day is staged and published as a run does it, with a few rows. `--days` commits are made, one per day; with
`--again`, each day is published once more, as late data would have it.
"""

from __future__ import annotations

import argparse
import datetime as dt
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from wemart_assets import catalog
from wemart_assets.lake.delta import transaction_id
from wemart_assets.lake.duckdb_engine import DuckDBEngine
from wemart_assets.lake.folder_store import FolderStore
from wemart_assets.lake.publication import stage
from wemart_assets.lake.session import Lake
from wemart_assets.lake.table import Table

FIRST = dt.date(2024, 1, 1)
AIM = 0.2
ROWS = 10


def rows_of(table: Table, day: str) -> pa.Table:
    """Rows of a day: integers and text, so that each has the statistics of its columns in the log."""
    values = {pa.string(): "some text", pa.int32(): 7, pa.int64(): 7_000_000_000}
    row = {c.name: values.get(table.arrow_schema.field(c.name).type) for c in table.columns}
    return pa.Table.from_pylist([row | {table.day_column: day}] * ROWS, table.arrow_schema)


def publish(session: Any, table: Table, day: str) -> None:
    rows = session.connection.ibis.create_table("day", rows_of(table, day), temp=True, overwrite=True)
    session.publish(stage(session, table, rows, [day], session.baseline(table, [day]), dt.datetime.now(dt.UTC)))


def seconds(ask: Callable[[], object], times: int = 5) -> float:
    """The median of some calls, after one that warms up."""
    ask()
    took = []
    for _ in range(times):
        began = time.perf_counter()
        ask()
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def show(what: str, took: float) -> None:
    print(f"  {what:<62}{took * 1000:9.1f} ms")


def measure(lake: FolderStore, table: Table, days: Sequence[str]) -> float:
    """Prints what each question costs, and returns the seconds to open the table."""
    log = lake.open(table)
    assert log is not None
    entries = sorted((lake.location(table).path / "_delta_log").iterdir())
    checkpoints = [entry for entry in entries if ".checkpoint" in entry.name and entry.suffix == ".parquet"]
    kilobytes = sum(entry.stat().st_size for entry in entries) // 1000
    last = checkpoints[-1].stat().st_size // 1000 if checkpoints else 0
    print(f"{log.version()} commits, {len(log.file_uris())} data files")
    print(f"{len(entries)} files in the log, {kilobytes:,} kB; {len(checkpoints)} checkpoints, the last of {last} kB")
    opening = seconds(lambda: lake.open(table))
    show("open", opening)
    show("published, of one day that is", seconds(lambda: lake.published(table, days[-1:])))
    show("published, of one day that is not", seconds(lambda: lake.published(table, ["1999-01-01"])))
    show("published, of all days", seconds(lambda: lake.published(table, days)))
    show("baseline, of one day", seconds(lambda: lake.baseline(table, days[-1:])))
    show("baseline, of all days", seconds(lambda: lake.baseline(table, days)))
    show("versions, of one day", seconds(lambda: lake.versions(table, days[-1:])))
    show("versions, of all days", seconds(lambda: lake.versions(table, days)))
    ids = [transaction_id(day) for day in days]
    show("log.transaction_version, once for each day", seconds(lambda: [log.transaction_version(i) for i in ids]))
    show("log.history()", seconds(lambda: log.history()))
    return opening


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--again", action="store_true", help="publish each day a second time")
    parser.add_argument("--table", default="we_mart.wv_sess_daily", help="the table whose columns the rows have")
    given = parser.parse_args()
    table = catalog.tables()[given.table]
    days = [(FIRST + dt.timedelta(days=n)).isoformat() for n in range(given.days)]
    with tempfile.TemporaryDirectory() as name:
        store, took = FolderStore(Path(name) / "lake"), []
        with Lake(DuckDBEngine("1GB", 2, Path(name) / "spill"), lambda _: store).connect() as session:
            for day in days * (2 if given.again else 1):
                began = time.perf_counter()
                publish(session, table, day)
                took.append(time.perf_counter() - began)
        print(f"{table.full_name}, {len(table.columns)} columns")
        month = min(30, len(took) // 2)
        show(f"a commit with its staging, the first {month}", statistics.median(took[:month]))
        show(f"a commit with its staging, the last {month}", statistics.median(took[-month:]))
        opening = measure(store, table, days)
    print(f"a year opens in {opening:.3f} s; the aim is {AIM} s")


if __name__ == "__main__":
    main()
