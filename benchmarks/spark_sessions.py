"""The session tables on Spark over one simulated day, in both forms: time, shuffled and spilled bytes.

    python benchmarks/spark_sessions.py --lines 10000000 [--master spark://host:7077] [--landing folder]

DuckDB lands and publishes the log, which is not measured.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir

from wemart_assets import catalog
from wemart_assets.definitions import open_lake, utc_now
from wemart_assets.lake.audit import audit
from wemart_assets.lake.engine import Staged
from wemart_assets.lake.mart import Mart
from wemart_assets.lake.publication import stage
from wemart_assets.marts.sessions import wv_server_log_base as base
from wemart_assets.marts.sessions.wv_sess_daily import wv_sess_daily
from wemart_assets.setting_values.session_form import SessionForm
from wemart_assets.settings import Settings
from wemart_assets.simulator import SimulatorConfig, simulate
from wemart_assets.sources.landing import landings
from wemart_assets.sources.source_asset import publish_source

DAY = "2024-01-01"


def land(settings: Settings, lines: int) -> None:
    """Simulate the day, and publish the log and the snapshots with DuckDB."""
    if not settings.landing.exists():
        simulate(SimulatorConfig(days=1, lines_per_day=lines), settings.landing, settings.lake.parent / "truth")
    needed = {given.table.full_name for given in wv_sess_daily.inputs.values()} | {
        given.table.full_name for given in base.wv_server_log_base.inputs.values()
    }
    contracts = catalog.contracts()
    with open_lake(settings, {}).connect() as session:
        for name, landing in landings(settings.for_sources(), contracts).items():
            if name in needed:
                log = logging.getLogger(__name__)
                publish_source(session, landing, [DAY], settings.for_tables(), utc_now, log)


class Stages:
    """Sums what Spark's stages have done since the last call; works only if the driver is in this process."""

    def __init__(self, spark: Any) -> None:
        self.spark = spark
        self.seen: set[tuple[int, int]] = set()
        self.since()

    def since(self) -> Mapping[str, float]:
        gateway, store = self.spark.sparkContext._gateway, self.spark.sparkContext._jsc.sc().statusStore()
        empty = gateway.jvm.java.util.ArrayList()
        listed = store.stageList(empty, False, False, gateway.new_array(gateway.jvm.double, 0), empty)
        sums = dict.fromkeys(("stages", "task s", "shuffled MB", "spilled MB"), 0.0)
        for n in range(listed.size()):
            stage = listed.apply(n)
            at = (stage.stageId(), stage.attemptId())
            if at in self.seen:
                continue
            self.seen.add(at)
            sums["stages"] += 1
            sums["task s"] += stage.executorRunTime() / 1000
            sums["shuffled MB"] += stage.shuffleWriteBytes() / 1e6
            sums["spilled MB"] += stage.diskBytesSpilled() / 1e6
        return sums


def measure(name: str, stages: Stages, run: Callable[[], Any]) -> Any:
    """Run once and print what it took."""
    began = time.perf_counter()
    answer = run()
    sums = stages.since()
    print(f"{name:<44}{time.perf_counter() - began:8.1f} s  " + "  ".join(f"{k} {v:,.0f}" for k, v in sums.items()))
    sys.stdout.flush()
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000, help="log lines of the day")
    parser.add_argument("--landing", type=Path, help="landing folder of an earlier simulation")
    parser.add_argument("--master", default="local[*]")
    parser.add_argument("--memory", default="4g", help="of the driver, which does the work where the master is local")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        landing = given.landing or folder / "landing"
        paths = {"lake": folder / "lake", "landing": landing, "spill": folder / "spill"}
        land(Settings(**paths, engine="duckdb"), given.lines)
        conf = {"spark.driver.memory": given.memory, "spark.local.dir": str(folder / "spill")}
        settings = Settings(**paths, engine="spark", spark={"master": given.master, "conf": conf})
        log = sum(f.stat().st_size for f in (settings.lake / "service_log").rglob("*.parquet"))
        print(f"the published log has {log / 1e6:,.0f} MB")
        with open_lake(settings, {}).connect() as session:
            compare(session, settings.for_tables(), str(folder / "staging"))


def compare(session: Any, settings: Mapping[str, Any], staging: str) -> None:
    stages = Stages(session.connection.spark)
    tables = settings["timezone"], settings["session_gap_seconds"]

    def lines() -> ir.Table:
        return session.read(base.wv_server_log_base.inputs["lines"].table, [DAY])

    def write(rows: ir.Table, mart: Mart) -> None:
        typed = mart.table.conform(rows.mutate(run_timestamp=ibis.null("timestamp('UTC')")))
        session.connection.spark.sql(session.connection.ibis.compile(typed)).write.format("noop").mode(
            "overwrite"
        ).save()

    def sessions(rows: ir.Table) -> int:
        return rows.select("date_id", "user_info_device_id", "sess_seq").distinct().count().to_pyarrow().as_py()

    mart = base.wv_server_log_base
    warm = "warming up: reads every column of the log"
    measure(
        warm,
        stages,
        lambda: (
            session.connection.spark.sql(session.connection.ibis.compile(lines()))
            .write.format("noop")
            .mode("overwrite")
            .save()
        ),
    )
    found = {}
    for form in SessionForm:
        rows, name = mart(lines(), *tables, form), f"by {form}"
        found[name] = measure(f"sessions {name}", stages, lambda rows=rows: sessions(rows))
        measure(f"lines {name}", stages, lambda rows=rows: write(rows, mart))
    if len(set(found.values())) != 1:
        raise SystemExit(f"the two ways do not find the same sessions: {found}")
    print(f"{min(found.values()):,} sessions")

    baseline = session.baseline(mart.table, [DAY])
    rows = mart(lines(), *tables, SessionForm.WINDOWS)
    staged = measure("line table staged", stages, lambda: stage(session, mart.table, rows, [DAY], baseline, utc_now()))

    def run_audit(rows: Staged) -> None:
        audit(rows, lambda: session.read(mart.table, []), {"lines": lines()}, settings)

    # For comparison with `persist`: a folder of files that the audit reads and publication writes again.
    measure("line table audited", stages, lambda: run_audit(staged))
    frame = session.connection.spark.sql(session.connection.ibis.compile(mart.table.conform(staged.rows)))
    measure("what is staged, to a folder", stages, lambda: frame.write.parquet(staging))
    in_folder = replace(staged, rows=session.connection.view(session.connection.spark.read.parquet(staging)))
    measure("the folder audited", stages, lambda: run_audit(in_folder))
    again = session.connection.spark.read.parquet(staging)
    measure("the folder written once more", stages, lambda: again.write.parquet(f"{staging}_published"))
    measure("line table published", stages, lambda: session.publish(staged))
    inputs = {name: session.read(given.table, [DAY]) for name, given in wv_sess_daily.inputs.items()}
    rows = wv_sess_daily(**inputs, timezone=settings["timezone"])
    baseline = session.baseline(wv_sess_daily.table, [DAY])
    staged = measure(
        "session table staged", stages, lambda: stage(session, wv_sess_daily.table, rows, [DAY], baseline, utc_now())
    )
    measure("session table published", stages, lambda: session.publish(staged))


if __name__ == "__main__":
    main()
