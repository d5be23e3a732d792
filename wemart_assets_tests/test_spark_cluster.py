"""A real cluster of a master and a worker on the loopback, which runs the tables and loses executors.

Also a Spark Connect server, of which the driver is only a client.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from deltalake import DeltaTable

from wemart_assets.settings import SparkSettings
from wemart_assets_tests.engines import SPARK_CONF

pytestmark = [pytest.mark.spark, pytest.mark.slow]

DAY = "2024-01-02"
PATIENCE = 120
SESSIONS = ("wv_server_log_base", "wv_sess_daily", "wv_user_daily")
RUN = """
import json, os, sys
import dagster as dg
from wemart_assets.definitions import build_defs
from wemart_assets.settings import load_settings

defs = build_defs(load_settings())
with dg.DagsterInstance.ephemeral() as instance:
    result = defs.resolve_job_def("analytics_we_mart_wv1_daily").execute_in_process(
        instance=instance, partition_key=sys.argv[1]
    )
from pyspark.sql import SparkSession
context = SparkSession.getActiveSession().sparkContext
print(context.master, context._jsc.sc().statusTracker().getExecutorInfos().__len__())
"""
# The executors are killed, with the rows that they staged, during the audit.
LOSE = """
import datetime as dt, os, signal, subprocess, sys
from deltalake import DeltaTable
from wemart_assets.definitions import open_lake
from wemart_assets.lake.publication import publish
from wemart_assets.lake.table import RUN_TIMESTAMP, RowCheck, Table, column
from wemart_assets.settings import load_settings

DAY, worker, settings = "2024-03-01", sys.argv[1], load_settings()

def published():
    rows = DeltaTable(settings.lake / "db" / "visits").to_pyarrow_table()
    return sorted(rows["id"].to_pylist())

def loses_executors(t):
    # Without -ww a terminal's width cuts the words off.
    list_children = ["ps", "-ww", "-o", "pid=,args=", "--ppid", worker]
    children = subprocess.run(list_children, capture_output=True, text=True).stdout
    executors = [int(line.split()[0]) for line in children.splitlines() if "CoarseGrainedExecutorBackend" in line]
    assert executors, f"there is no executor to kill: {children}"
    for pid in executors:
        os.kill(pid, signal.SIGKILL)
    print("killed")
    assert published() == list(range(100)), "the old rows are gone"
    return t.id >= 100

def table(*rules):
    columns = (column("id", "bigint", "its number"), column("part_date", "string", "business day"), RUN_TIMESTAMP)
    return Table("db", "visits", "One row per visit.", columns, grain=("id",), row_checks=rules)

def put(session, of, *ids):
    rows = session.connection.view(session.connection.spark.range(*ids).selectExpr("id", f"'{DAY}' as part_date"))
    publish(session, of, [DAY], lambda: (rows, {}), {}, dt.datetime.now(dt.UTC))

with open_lake(settings, {}).connect() as session:
    put(session, table(), 0, 100)
    put(session, table(RowCheck("loses_executors", "a rule", loses_executors)), 100, 300)
assert published() == list(range(100, 300)), "the new rows are not those that were staged"
print("published")
"""

# Publishes three times, the third time with a new client session.
CONNECT = """
import datetime as dt, sys
from wemart_assets.definitions import open_lake
from wemart_assets.lake.engine import FileFormat, FileKind
from wemart_assets.lake.publication import publish
from wemart_assets.lake.table import RUN_TIMESTAMP, RowCheck, Table, column
from wemart_assets.settings import load_settings

columns = (column("id", "bigint", "its number"), column("part_date", "string", "business day"), RUN_TIMESTAMP)
rules = (RowCheck("small", "below 9", lambda t: t.id < 9),)
VISITS = Table("db", "visits", "One row per visit.", columns, grain=("id",), row_checks=rules)
form, days = FileFormat(FileKind.CSV, names=("id", "day"), has_header=True), ["2024-01-02", "2024-01-03"]
engine = open_lake(load_settings(), {})
for n in (1, 2, 3):
    with engine.connect() as session:
        expressions = {"id": f"cast(id as bigint) + {n}", "part_date": "day"}
        rows = session.scan([sys.argv[1]], form, ["id", "day"], expressions).drop("_raw", "_fault", "_file")
        publish(session, VISITS, days, lambda: (rows, {}), {}, dt.datetime.now(dt.UTC))
        print(session.read(VISITS, days).id.to_pyarrow().to_pylist(), sorted(session.published(VISITS, days)))
        if n == 2:
            session.connection.spark.stop()
print(type(session.connection.spark).__module__)
"""


def free_port() -> int:
    with closing(socket.socket()) as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def start(command: Sequence[str], ready: str) -> subprocess.Popen[str]:
    """Starts a Spark process and waits until it reports that it is ready."""
    environment = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said: list[str] = []
    is_ready = threading.Event()

    def listen() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if ready in line:
                is_ready.set()

    threading.Thread(target=listen, daemon=True).start()
    if not is_ready.wait(PATIENCE):
        process.kill()
        pytest.fail(f"it does not come up: {''.join(said)[-2000:]}")
    return process


@dataclass(frozen=True)
class Cluster:
    """A master and its only worker, whose child processes are the executors."""

    master: str
    worker: int


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Each driver has executors of its own, which end with it."""
    from pyspark import find_spark_home

    home = find_spark_home._find_spark_home()
    port = free_port()
    master = f"spark://127.0.0.1:{port}"
    deploy = "org.apache.spark.deploy"
    java, options = f"{home}/bin/spark-class", ["--host", "127.0.0.1", "--webui-port", "0"]
    work = ["--cores", "2", "--memory", "2g", "--work-dir", str(tmp_path_factory.mktemp("work"))]
    running = []
    try:
        command = [java, f"{deploy}.master.Master", *options, "--port", str(port)]
        running.append(start(command, "I have been elected leader"))
        command = [java, f"{deploy}.worker.Worker", *options, *work, master]
        running.append(start(command, "Successfully registered with master"))
        yield Cluster(master, running[-1].pid)
    finally:
        for process in reversed(running):
            process.terminate()
        for process in running:
            process.wait(PATIENCE)


def on_cluster(cluster: Cluster, lake: Path, landing: Path, code: str, argument: str) -> str:
    """The output of a driver that runs the code on the cluster."""
    # With code generation and adaptive plans, as on a real cluster; the other tests turn them off because they slow
    # them down.
    of_small_tests = ("driver.memory", "codegen", "adaptive")
    conf = {name: value for name, value in SPARK_CONF.items() if not any(of in name for of in of_small_tests)}
    environment = {
        **os.environ,
        "WEMART_ENGINE": "spark",
        "WEMART_LAKE": str(lake),
        "WEMART_LANDING": str(landing),
        "WEMART_SPARK__MASTER": cluster.master,
        "WEMART_SPARK__CONF": json.dumps({**conf, "spark.executor.memory": "1g", "spark.driver.host": "127.0.0.1"}),
        "PYSPARK_PYTHON": sys.executable,
    }
    done = subprocess.run(
        [sys.executable, "-c", code, argument], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_a_cluster_gives_the_same_rows_as_duckdb(world: Path, cluster: Cluster, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    shutil.copytree(world / "lake", lake)
    for name in SESSIONS:
        shutil.rmtree(lake / "we_mart" / name)
    master, executors = on_cluster(cluster, lake, world / "landing", RUN, DAY).split()[-2:]
    # The driver counts as an executor.
    assert (master, int(executors)) == (cluster.master, 2)
    for name in SESSIONS:
        rows = [
            sorted(
                repr({k: v for k, v in row.items() if k != "run_timestamp"})
                for row in DeltaTable(at / "we_mart" / name).to_pyarrow_table().to_pylist()
                if DAY in (row.get("part_date"), row.get("date_id"))
            )
            for at in (world / "lake", lake)
        ]
        assert rows[0] == rows[1]
        assert rows[0]


def test_a_run_survives_a_killed_executor(cluster: Cluster, tmp_path: Path) -> None:
    said = on_cluster(cluster, tmp_path / "lake", tmp_path / "landing", LOSE, str(cluster.worker))
    assert [line for line in said.splitlines() if line in ("killed", "published")] == ["killed", "published"]


def test_a_spark_connect_server_publishes_and_replaces(tmp_path: Path) -> None:
    from pyspark import find_spark_home

    from wemart_assets.lake.spark_engine import session_conf

    home, port = find_spark_home._find_spark_home(), free_port()
    conf = {
        **session_conf("local[2]", None, SparkSettings.model_fields["packages"].default, SPARK_CONF),
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": str(port),
    }
    given = [word for name, value in conf.items() for word in ("--conf", f"{name}={value}")]
    server = ["--class", "org.apache.spark.sql.connect.service.SparkConnectServer", *given, "spark-internal"]
    landed = tmp_path / "a.csv"
    landed.write_text("id,day\n1,2024-01-02\n")
    environment = {
        **os.environ,
        "WEMART_ENGINE": "spark",
        "WEMART_LAKE": str(tmp_path / "lake"),
        "WEMART_SPARK__REMOTE": f"sc://127.0.0.1:{port}",
    }
    running = start([f"{home}/bin/spark-submit", *server], "Spark Connect server started at")
    try:
        done = subprocess.run(
            [sys.executable, "-c", CONNECT, str(landed)], env=environment, capture_output=True, text=True, check=False
        )
    finally:
        running.terminate()
        running.wait(PATIENCE)
    assert done.returncode == 0, done.stderr[-3000:]
    both = "['2024-01-02', '2024-01-03']"
    said = [f"[{n}] {both}" for n in (2, 3, 4)]
    assert done.stdout.splitlines() == [*said, "pyspark.sql.connect.session"]
