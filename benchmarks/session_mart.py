"""The session tables over one simulated day, and sessions by buckets against a window over every line."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from shown import peak_gigabytes, run_tables

from wemart_assets.definitions import open_lake
from wemart_assets.lake.session import Session
from wemart_assets.marts.sessions.wv_server_log_base import wv_server_log_base
from wemart_assets.setting_values.session_form import SessionForm
from wemart_assets.settings import Settings
from wemart_assets.simulator import SimulatorConfig, simulate
from wemart_assets.sources.contracts.service_log import weverse_server_log

DAY = "2024-01-01"
PLAIN_WINDOW = """
    with lines as (
        select date_id, user_info_device_id as device, unix_log_timestamp as ms,
               ms - lag(ms) over (partition by date_id, device order by ms) as gap
        from source where user_info_device_id <> ''
    )
    select count(*) from (
        select distinct date_id, device, sess_seq from (
            select date_id, device, sum((gap is null or gap > 1800000)::int) over (
                       partition by date_id, device order by ms rows unbounded preceding) as sess_seq
            from lines
        )
    )
"""


def best(count: int, run: object) -> tuple[float, int]:
    """The shortest time of several runs in seconds, and the result of the last."""
    seconds, answer = [], 0
    for _ in range(count):
        began = time.perf_counter()
        answer = run()  # type: ignore[operator]
        seconds.append(time.perf_counter() - began)
    return min(seconds), answer


def compare(session: Session) -> None:
    """Find sessions by buckets and by a window over every line, and compare."""
    source = session.read(weverse_server_log.table, [DAY])
    lines = source.filter(source.user_info_device_id.notnull() & (source.user_info_device_id != ""))
    session.connection.raw.execute(f"create temp view source as {session.connection.ibis.compile(source)}")
    marked = wv_server_log_base(lines, "Asia/Seoul", 1800, SessionForm.BUCKETS)
    sql = session.connection.ibis.compile(
        marked.select("date_id", "user_info_device_id", "sess_seq").distinct().count()
    )
    buckets, by_bucket = best(3, lambda: session.connection.raw.execute(sql).fetchall()[0][0])
    window, by_window = best(3, lambda: session.connection.raw.execute(PLAIN_WINDOW).fetchall()[0][0])
    print(f"\nsessions: {by_bucket:,} by buckets in {buckets:.2f} s, {by_window:,} by a window in {window:.2f} s")
    print(f"a window over every line takes {window / buckets:.2f} times as long")
    if by_bucket != by_window:
        raise SystemExit("the two ways do not find the same sessions")
    took = {}
    for form in SessionForm:
        table = wv_server_log_base(lines, "Asia/Seoul", 1800, form)
        made = f"create or replace temp table made as {session.connection.ibis.compile(table.drop('sent'))}"
        took[form], _ = best(3, lambda made=made: session.connection.raw.execute(made))
    ratio = took[SessionForm.WINDOWS] / took[SessionForm.BUCKETS]
    print(f"the whole line table by windows, Spark's form, takes {ratio:.2f} times as long as by buckets")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000, help="log lines of the day")
    lines = parser.parse_args().lines
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        began = time.perf_counter()
        simulate(SimulatorConfig(days=1, lines_per_day=lines), folder / "landing", folder / "truth")
        print(f"simulated {lines:,} lines in {time.perf_counter() - began:.1f} s")
        settings = Settings(lake=folder / "lake", landing=folder / "landing", spill=folder / "spill")
        run_tables(settings, DAY)
        engine = open_lake(settings, {})
        with engine.connect() as session:
            compare(session)
        print(f"peak memory {peak_gigabytes():.2f} GB")


if __name__ == "__main__":
    main()
