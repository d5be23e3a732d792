"""What a small table costs beside the engine's work: in a run of the whole graph, of tables of one row, and to load.

Parts, each of which can be run alone (`--only`):

- `graph`: every table by day, over one small simulated day after another (the first warms up and is not shown). Seconds
  outside of the engine and compiled queries, for each table.
- `tables`: tables of one row a day through the package, for what a table, a check and a day of a range cost.
- `checks`: assets of plain Dagster that do nothing, for the least that a check can cost on this storage.
- `start`: processor seconds of a process that starts the command line, or imports the definitions.
- `demo`: the graph of `wemart demo`.

Each figure is the least and the greatest of the repeats. Where other work shares the machine, processor seconds are
steadier than those of the wall, and the ratios to `import dagster` steadier still.
"""

# No postponed annotations here: Dagster looks at the type of an asset's `context` as it is.
import argparse
import datetime as dt
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import dagster as dg
import ibis
import ibis.expr.types as ir
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluation,
    AssetCheckEvaluationTargetMaterializationData,
)
from meter import PARTS, Meter, Seconds, now

from wemart_assets import catalog
from wemart_assets.definitions import build_defs
from wemart_assets.lake.duckdb_engine import DuckDBEngine
from wemart_assets.lake.folder_store import FolderStore
from wemart_assets.lake.mart import Mart, mart
from wemart_assets.lake.mart_asset import mart_asset
from wemart_assets.lake.session import Lake
from wemart_assets.lake.table import PART_DATE, RUN_TIMESTAMP, RowCheck, Table, column
from wemart_assets.settings import Settings

FIRST_DAY = dt.date(2024, 1, 1)
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
BATCH = "DAGSTER_EVENT_BATCH_SIZE"


def day(number: int) -> str:
    return (FIRST_DAY + dt.timedelta(days=number)).isoformat()


def spread(values: Sequence[float], digits: int = 2) -> str:
    """The least and the greatest of repeated measurements."""
    return f"{min(values):.{digits}f} to {max(values):.{digits}f}"


def show(what: str, seconds: Sequence[Seconds], scale: float = 1, digits: int = 2) -> None:
    wall, processor = ([scale * getattr(s, kind) for s in seconds] for kind in ("wall", "processor"))
    print(f"{what:<64}{spread(wall, digits):>18}{spread(processor, digits):>18}")


def headline(what: str, unit: str) -> None:
    print(f"\n{f'{what} ({unit})':<64}{'wall':>18}{'processor':>18}")


def open_instance(folder: Path, storage: str) -> dg.DagsterInstance:
    """An instance whose records are in SQLite files below `folder`, or in the PostgreSQL database of an address."""
    configs = {
        "project": "custom: {module: wemart_assets.history, class: History, config: {}}",
        "sqlite": f"sqlite: {{base_dir: '{folder}'}}",
    }
    config = configs.get(storage, f"postgres: {{postgres_url: '{storage}'}}")
    folder.mkdir(parents=True)
    (folder / "dagster.yaml").write_text(f"storage: {{{config}}}\ntelemetry: {{enabled: false}}\n")
    with patch.dict(os.environ, WEMART_STATE=str(folder)):
        return dg.DagsterInstance.from_config(str(folder))


def wemart(landing: Path, scratch: Path, *arguments: str) -> tuple[str, Seconds]:
    """What a command of `wemart` prints, and its seconds, those of the processes that it starts included."""
    settings = {
        "WEMART_LANDING": str(landing),
        "WEMART_LAKE": str(scratch / "lake"),
        "WEMART_STATE": str(scratch / "state"),
        "WEMART_FIRST_DAY": FIRST_DAY.isoformat(),
        "DAGSTER_HOME": str(Path(__file__).parents[1]),
    }
    return process(["-c", "from wemart_assets.cli import main; main()", *arguments], settings)


def process(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[str, Seconds]:
    """What another process of this Python prints, and its seconds."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(arguments)}:\n{done.stdout}{done.stderr}")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.stdout, Seconds(wall, used)


def measure_graph(scratch: Path, storage: str, lines: int, repeats: int) -> None:
    """Each table by day, one day after another."""
    landing = scratch / "landing"
    days = str(repeats + 1)
    wemart(landing, scratch, "simulate", "--days", days, "--lines", str(lines), "--truth", str(scratch / "truth"))
    settings = Settings(lake=scratch / "lake", landing=landing, spill=scratch / "spill", first_day=FIRST_DAY)
    job = build_defs(settings).resolve_job_def("requested_by_day")
    meters: list[Meter] = []
    for number in range(repeats + 1):
        history = scratch / f"history-{number}"
        with open_instance(history, storage) as instance, Meter(instance.event_log_storage) as meter:
            result = job.execute_in_process(instance=instance, partition_key=day(number), run_config=QUIET)
        events = [e for e in result.all_events if e.is_step_materialization]
        tables = len({event.asset_key for event in events})
        checks = len(result.get_asset_check_evaluations())
        meters.append(meter)
    meters = meters[1:]
    headline(f"a day of {tables} tables with {checks} checks over {lines:,} log lines", "seconds")
    show("the whole", [m.whole for m in meters])
    for part in PARTS:
        show(f"  {part}", [m.seconds[part] for m in meters])
    headline("for each table", "milliseconds")
    show("outside of the engine", [m.outside for m in meters], 1000 / tables, 0)
    show("compiling", [m.seconds[PARTS[1]] for m in meters], 1000 / tables, 0)
    queries = [m.queries / tables for m in meters]
    print(f"{'compiled queries':<64}{spread(queries, 1):>18}")


def small_table(number: int, checks: int) -> Mart:
    """A table of one row a day, with so many checks beside that of its columns."""
    table = Table(
        database="small",
        name=f"table_{number}",
        description="One row per day.",
        columns=(column("id", "bigint", "a number"), PART_DATE, RUN_TIMESTAMP),
        row_checks=tuple(
            RowCheck(f"check_{n}", "the number is small", lambda t, n=n: t.id <= n) for n in range(checks)
        ),
    )

    def one_row_per_day(days: Sequence[str]) -> ir.Table:
        dates = ibis.array([ibis.literal(day) for day in days]).unnest().name("part_date").as_table()
        return dates.mutate(id=ibis.literal(0))

    return mart(table)(one_row_per_day)


def measure_tables(scratch: Path, storage: str, tables: int, checks: int, days: int, repeats: int) -> None:
    """Tables of one row a day: without further checks, with some, and over a range of days."""
    partitions = dg.DailyPartitionsDefinition(FIRST_DAY.isoformat(), end_date=day(days), timezone="UTC")
    shared = {"first_day": FIRST_DAY.isoformat()}
    took: dict[tuple[int, int], list[Seconds]] = {(0, 1): [], (checks, 1): [], (0, days): []}
    for repeat in range(repeats + 1):
        for (its_checks, its_days), seconds in took.items():
            lake = scratch / f"small-{repeat}-{its_checks}-{its_days}"
            store = FolderStore(lake)
            definitions = dg.Definitions(
                [
                    mart_asset(small_table(n, its_checks), "small", partitions, shared, lambda: dt.datetime.now(dt.UTC))
                    for n in range(tables)
                ],
                resources={"lake": Lake(DuckDBEngine("1GB", 1, scratch / "spill"), lambda _, store=store: store)},
                executor=dg.in_process_executor,
            )
            used = run_days(definitions, lake / "history", storage, its_days)
            if repeat:
                seconds.append(used)
    headline(f"{tables} tables of one row", "milliseconds")
    show("a table, with the checks that each table has", took[0, 1], 1000 / tables, 1)
    show("each further check", differences(took[checks, 1], took[0, 1]), 1000 / tables / checks, 1)
    show("each further day of a range", differences(took[0, days], took[0, 1]), 1000 / tables / (days - 1), 1)


def differences(these: Sequence[Seconds], those: Sequence[Seconds]) -> list[Seconds]:
    return [more - less for more, less in zip(these, those, strict=True)]


def run_days(definitions: dg.Definitions, history: Path, storage: str, days: int) -> Seconds:
    """Run all assets over the first days, as one range if there are several; the seconds of the run."""
    job = definitions.resolve_implicit_global_asset_job_def()
    given: dict[str, Any] = (
        {"partition_key": day(0)} if days == 1 else {"tags": {RANGE_START: day(0), RANGE_END: day(days - 1)}}
    )
    with open_instance(history, storage) as instance:
        began = now()
        job.execute_in_process(instance=instance, run_config=QUIET, **given)
        return now() - began


def plain_asset(number: int, checks: int, by_name: bool) -> dg.AssetsDefinition:
    """An asset that does nothing, and whose checks all pass.

    With `by_name` it names the materialization that they speak of, which Dagster otherwise looks up for each check.
    """
    key = dg.AssetKey(["plain", f"asset_{number}"])
    names = [f"check_{n}" for n in range(checks)]

    @dg.asset(
        key=key,
        check_specs=[dg.AssetCheckSpec(name, asset=key) for name in names],
        partitions_def=dg.DailyPartitionsDefinition(FIRST_DAY.isoformat(), end_date=day(2), timezone="UTC"),
    )
    def asset(context: dg.AssetExecutionContext):  # type: ignore[no-untyped-def]
        if not by_name:
            results = [dg.AssetCheckResult(asset_key=key, check_name=name, passed=True) for name in names]
            yield dg.MaterializeResult(asset_key=key, check_results=results)
            return
        yield dg.MaterializeResult(asset_key=key)
        record = context.instance.fetch_materializations(key, limit=1).records[0]
        target = AssetCheckEvaluationTargetMaterializationData(
            storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
        )
        for name in names:
            yield dg.Output(None, output_name=f"plain__asset_{number}_{name}")
            yield AssetCheckEvaluation(
                asset_key=key, check_name=name, passed=True, metadata={}, target_materialization_data=target
            )

    return asset


def measure_checks(scratch: Path, storage: str, assets: int, checks: int, repeats: int) -> None:
    """Assets of plain Dagster: without checks, with checks in several ways to report them."""
    ways: dict[str, tuple[int, bool, str]] = {
        "an asset without checks": (0, False, "0"),
        "each check, as a result": (checks, False, "0"),
        "each check, as a result, events in batches": (checks, False, "1000"),
        "each check, as an evaluation that names its materialization": (checks, True, "0"),
        "the same, events in batches": (checks, True, "1000"),
    }
    took: dict[str, list[Seconds]] = {way: [] for way in ways}
    for repeat in range(repeats + 1):
        for number, (way, (its_checks, by_name, batch)) in enumerate(ways.items()):
            definitions = dg.Definitions(
                [plain_asset(n, its_checks, by_name) for n in range(assets)], executor=dg.in_process_executor
            )
            with patch.dict(os.environ, {BATCH: batch}):
                used = run_days(definitions, scratch / f"plain-{repeat}-{number}", storage, 1)
            if repeat:
                took[way].append(used)
    headline(f"{assets} assets of plain Dagster that do nothing", "milliseconds")
    without, *with_checks = ways
    show(without, took[without], 1000 / assets, 1)
    for way in with_checks:
        show(way, differences(took[way], took[without]), 1000 / assets / checks, 1)


def measure_start(scratch: Path, repeats: int) -> None:
    """Processes that start, in turns, and how many times as long as `import dagster` each takes."""
    empty = scratch / "empty"
    for table in catalog.tables().values():
        FolderStore(empty / "lake").prepare(table)

    def imported(modules: str) -> Seconds:
        settings = {"WEMART_LAKE": str(empty / "lake"), "WEMART_STATE": str(empty / "state")}
        return process(["-c", f"import {modules}"], settings)[1]

    starts: dict[str, Callable[[], Seconds]] = {
        "import dagster": lambda: imported("dagster"),
        "import wemart_assets.definitions": lambda: imported("wemart_assets.definitions"),
        "wemart --help": lambda: wemart(empty / "landing", empty, "--help")[1],
        'wemart sql "select 1"': lambda: wemart(empty / "landing", empty, "sql", "select 1")[1],
    }
    took: dict[str, list[Seconds]] = {what: [] for what in starts}
    for repeat in range(repeats + 1):
        for what, start in starts.items():
            used = start()
            # The first finds no compiled modules, or none in the machine's memory.
            if repeat:
                took[what].append(used)
    headline("to start a process", "seconds")
    unit = took["import dagster"]
    for what, seconds in took.items():
        ratios = [s.processor / u.processor for s, u in zip(seconds, unit, strict=True)]
        show(what, seconds)
        if seconds is not unit:
            print(f"{'  times `import dagster`':<64}{'':>18}{spread(ratios):>18}")


def measure_demo(scratch: Path, repeats: int) -> None:
    """The demo over files that have landed before."""
    took: list[Seconds] = []
    for repeat in range(repeats):
        folder = scratch / f"demo-{repeat}"
        landing = folder / "landing"
        wemart(landing, folder, "simulate", "--days", "14", "--truth", str(folder / "truth"))
        said, used = wemart(landing, folder, "demo")
        graph = re.search(r"the graph took (\d+) s", said)
        assert graph is not None
        took.append(Seconds(float(graph[1]), used.processor))
    headline("the graph of `wemart demo`, 14 days of 20,000 log lines", "seconds")
    show("the graph (processor: of the whole command)", took, digits=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ("graph", "tables", "checks", "start", "demo")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts)
    parser.add_argument(
        "--storage",
        default="project",
        help="of Dagster's records: `project` (SQLite as in dagster.yaml), `sqlite` (Dagster's own class), or the"
        " address of a PostgreSQL database",
    )
    parser.add_argument("--lines", type=int, default=5_000, help="log lines of a day of the graph")
    parser.add_argument("--assets", type=int, default=62, help="how many small tables and plain assets")
    parser.add_argument("--checks", type=int, default=5, help="of each of them, beside those that each has")
    parser.add_argument("--days", type=int, default=31, help="of a range")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        if "graph" in given.only:
            measure_graph(scratch, given.storage, given.lines, given.repeats)
        if "tables" in given.only:
            measure_tables(scratch, given.storage, given.assets, given.checks, given.days, given.repeats)
        if "checks" in given.only:
            measure_checks(scratch, given.storage, given.assets, given.checks, given.repeats)
        if "start" in given.only:
            measure_start(scratch, given.repeats)
        if "demo" in given.only:
            measure_demo(scratch, given.repeats)


if __name__ == "__main__":
    main()
