"""A tick of the sensor with nothing new over a landing folder of 20,000 files, over many days.

The files are small CSVs of the server log. Reading them all is not what is measured, so one is read and the others get
its entry under their own names and days. Then two processes tick twice each, as the sensor does after a restart and
from then on. With `--s3`, the lake and the landing folder are on the local S3 server of the tests, whose own time for
the listing is shown: that of a client that does nothing else.
"""

from __future__ import annotations

import argparse
import datetime as dt
import http.client
import multiprocessing
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg

from wemart_assets import catalog
from wemart_assets.automation.landing_sensor import Cursor
from wemart_assets.definitions import open_lake
from wemart_assets.settings import Settings
from wemart_assets.sources.landing import Landing, landings
from wemart_assets_tests.environments import Environment, as_csv
from wemart_assets_tests.s3_server import s3_server

FIRST_DAY = dt.date(2024, 1, 1)
NOW = "2025-06-01 12:00:00"
LOG = "service_log.weverse_server_log"


def contents(files: int, days: int) -> Mapping[str, bytes]:
    """The files by path, all of the same size."""
    contents = {}
    for number in range(files):
        day = (FIRST_DAY + dt.timedelta(days=number % days)).isoformat()
        content = as_csv([Environment.line(f"{day} 12:00:00", url=f"/{number:07}")])
        contents[f"{LOG}/date={day}/part-{number:07}.csv"] = content.encode()
    return contents


def land(settings: Settings, contents: Mapping[str, bytes]) -> None:
    landing = settings.landing_location
    if landing.is_local:
        for path, content in contents.items():
            (landing.path / path).parent.mkdir(parents=True, exist_ok=True)
            (landing.path / path).write_bytes(content)
        return
    connection = http.client.HTTPConnection(str(settings.storage.endpoint).removeprefix("http://"))
    for path, content in contents.items():
        connection.request("PUT", f"/{landing.url.removeprefix('s3://')}/{path}", body=content)
        connection.getresponse().read()


def index(settings: Settings, landing: Landing) -> None:
    """Reads one file, and stores its entry for the others as well."""
    files = landing.files()
    with open_lake(settings, {}).connect() as session:
        [entry] = landing.index(session, files[:1]).values()
    with landing._index.writer() as store:
        for file, key in zip(files, landing._keys(files), strict=True):
            store(key, replace(entry, path=file.path, days={str(file.delivery): 1}))


def settle(environment: Environment, cursor: Path) -> None:
    """Writes the cursor of a sensor that has seen all files and requested their days."""
    seen = Cursor.load(environment.tick(at=NOW).cursor)
    cursor.write_text(replace(seen, due={}).dump())


def ticks(environment: Environment, cursor: Path) -> None:
    """Two ticks with nothing new."""
    assert environment.defs.sensors
    for which in ("first tick of a process", "next tick"):
        began, processor = time.perf_counter(), time.process_time()
        tick = environment.tick(cursor.read_text(), NOW)
        seconds, own = time.perf_counter() - began, time.process_time() - processor
        assert not tick.requests, "something is new"
        print(f"{which:<32}{seconds:6.2f} s, of which the processor {own:5.2f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--days", type=int, default=400)
    parser.add_argument("--s3", action="store_true", help="on the local S3 server of the tests")
    given = parser.parse_args()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        options: dict[str, Any] = {"first_day": FIRST_DAY}
        if given.s3:
            server = stack.enter_context(s3_server())
            bucket = server.bucket()
            options |= {"lake": f"{bucket}/lake", "landing": f"{bucket}/landing", "storage": server.storage}
        environment = Environment(scratch, stack.enter_context(dg.DagsterInstance.ephemeral()), **options)
        began = time.perf_counter()
        land(environment.settings, contents(given.files, given.days))
        print(f"landed {given.files:,} files over {given.days} days in {time.perf_counter() - began:.1f} s", flush=True)
        landing = landings(environment.settings.for_sources(), catalog.contracts())[LOG]
        index(environment.settings, landing)
        cursor = scratch / "cursor"
        settle(environment, cursor)
        for _ in range(3):
            began, processor = time.perf_counter(), time.process_time()
            landing.listing()
            seconds, own = time.perf_counter() - began, time.process_time() - processor
            print(f"{'listing of all files':<32}{seconds:6.2f} s, of which the processor {own:5.2f} s", flush=True)
        for _ in range(2):
            process = multiprocessing.get_context("spawn").Process(target=_ticks, args=(scratch, options, cursor))
            process.start()
            process.join()


def _ticks(scratch: Path, options: Mapping[str, Any], cursor: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        ticks(Environment(scratch, instance, **options), cursor)


if __name__ == "__main__":
    main()
