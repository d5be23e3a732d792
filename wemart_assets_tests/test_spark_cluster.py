"""A real cluster of two processes, a master and a worker on the loopback, runs the session tables once."""

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
from pathlib import Path

import pytest
from deltalake import DeltaTable

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


def free_port() -> int:
    with closing(socket.socket()) as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def start(command: Sequence[str], ready: str) -> subprocess.Popen[str]:
    """A process of Spark's, once it has said that it is ready."""
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


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """The address of a master that has one worker."""
    from pyspark import find_spark_home

    home = find_spark_home._find_spark_home()
    port = free_port()
    master = f"spark://127.0.0.1:{port}"
    deploy = "org.apache.spark.deploy"
    java, options = f"{home}/bin/spark-class", ["--host", "127.0.0.1", "--webui-port", "0"]
    work = ["--cores", "2", "--memory", "2g", "--work-dir", str(tmp_path / "work")]
    running = []
    try:
        command = [java, f"{deploy}.master.Master", *options, "--port", str(port)]
        running.append(start(command, "I have been elected leader"))
        command = [java, f"{deploy}.worker.Worker", *options, *work, master]
        running.append(start(command, "Successfully registered with master"))
        yield master
    finally:
        for process in reversed(running):
            process.terminate()
        for process in running:
            process.wait(PATIENCE)


def test_a_cluster_makes_the_rows_that_duckdb_makes(world: Path, cluster: str, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    shutil.copytree(world / "lake", lake)
    for name in SESSIONS:
        shutil.rmtree(lake / "we_mart" / name)
    conf = {name: value for name, value in SPARK_CONF.items() if "driver.memory" not in name}
    environment = {
        **os.environ,
        "WEMART_ENGINE": "spark",
        "WEMART_LAKE": str(lake),
        "WEMART_LANDING": str(world / "landing"),
        "WEMART_SPARK__MASTER": cluster,
        "WEMART_SPARK__CONF": json.dumps({**conf, "spark.executor.memory": "1g", "spark.driver.host": "127.0.0.1"}),
        "PYSPARK_PYTHON": sys.executable,
    }
    done = subprocess.run(
        [sys.executable, "-c", RUN, DAY], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    master, executors = done.stdout.split()[-2:]
    # The driver counts as one.
    assert (master, int(executors)) == (cluster, 2)
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
