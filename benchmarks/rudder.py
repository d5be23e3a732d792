"""RudderStack's eight tables over days of tracks in one run, compared with eight plain queries on DuckDB.

The queries follow the description of the original project: a full rebuild from all tracks into tables in memory, with
every track mapped by what is known at the end, and without checks, commits or carried state.
"""

from __future__ import annotations

import argparse
import datetime as dt
import tempfile
import time
from pathlib import Path

import dagster as dg
import duckdb
from deltalake import DeltaTable
from shown import peak_gigabytes

from wemart_assets import catalog
from wemart_assets.definitions import build_defs
from wemart_assets.settings import Settings
from wemart_assets.simulator.tracks import TracksConfig, simulate_tracks

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
STEPS = ("stage", "audit", "publish")
TRACKS = "rudder.tracks"

# Queries by name; each uses those before it. `tracks` has all tracks.
PLAIN = {
    "dbt_aliases_mapping": """
        with ids as (
          select anonymous_id as alias, user_id, timestamp from tracks
          union all select user_id, null, timestamp from tracks
        ), known as (
          select alias, last_value(user_id ignore nulls) over (
            partition by alias order by timestamp rows between unbounded preceding and unbounded following) as user_id
          from ids where alias is not null
        ) select distinct alias, coalesce(user_id, alias) as dbt_visitor_id from known""",
    "dbt_mapped_tracks": """
        select id as event_id, anonymous_id, dbt_visitor_id, timestamp, event, date_diff('second', lag(timestamp) over (
          partition by dbt_visitor_id order by timestamp), timestamp) // 60 as idle_time_minutes
        from tracks join dbt_aliases_mapping on alias = coalesce(user_id, anonymous_id)""",
    "dbt_session_tracks": """
        select number || ' - ' || dbt_visitor_id as session_id, dbt_visitor_id, timestamp as session_start_at,
          number as session_sequence_number,
          lead(timestamp) over (partition by dbt_visitor_id order by timestamp) as next_session_start_at
        from (
          select *, row_number() over (partition by dbt_visitor_id order by timestamp) as number
          from dbt_mapped_tracks where idle_time_minutes is null or idle_time_minutes > 30
        )""",
    "dbt_track_facts": """
        select anonymous_id, timestamp, event_id, event, session_id, t.dbt_visitor_id,
          row_number() over (partition by session_id order by timestamp) as track_sequence_number
        from dbt_mapped_tracks t join dbt_session_tracks s on t.dbt_visitor_id = s.dbt_visitor_id
          and timestamp >= session_start_at and (timestamp < next_session_start_at or next_session_start_at is null)""",
    "dbt_session_track_facts": """
        select session_id, max(timestamp) as ended_at, count(distinct event_id) as num_pvs,
          count(*) filter (event = 'view_product') as cnt_viewed_product,
          count(*) filter (event = 'signup') as cnt_signup
        from dbt_track_facts group by session_id""",
    "dbt_user_session_facts": """
        select dbt_visitor_id, min(session_start_at) as first_date, max(session_start_at) as last_date,
          count(*) as number_of_sessions
        from dbt_session_tracks group by dbt_visitor_id""",
    "dbt_session_duration": """
        select dbt_visitor_id, session_id, date_diff('second', session_start_at, ended_at) // 60 as session_duration
        from dbt_session_tracks join dbt_session_track_facts using (session_id)""",
    "dbt_tracks_flow": """
        select event_id, session_id, track_sequence_number, event, dbt_visitor_id, timestamp,
          lead(event, 1) over w as event_2, lead(event, 2) over w as event_3,
          lead(event, 3) over w as event_4, lead(event, 4) over w as event_5
        from dbt_track_facts window w as (partition by session_id order by track_sequence_number)""",
}


def run_plain(lake: Path, threads: int) -> float:
    """Print seconds and rows of each plain query, and return the total seconds."""
    files = DeltaTable(lake / TRACKS.replace(".", "/")).file_uris()
    took = 0.0
    with duckdb.connect(config={"threads": threads, "preserve_insertion_order": False}) as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute(f"create view tracks as from read_parquet({files}, hive_partitioning = true)")
        print(f"{'plain query':<45}{'rows':>12}{'seconds':>9}")
        for name, query in PLAIN.items():
            began = time.perf_counter()
            [(rows,)] = connection.execute(f"create table {name} as {query}").fetchall()
            seconds = time.perf_counter() - began
            print(f"{name:<45}{rows:>12,}{seconds:9.2f}")
            took += seconds
    return took


def run_tables(settings: Settings, days: list[str], tables: list[str]) -> float:
    """Run the tables over the days as one range, print rows and seconds of each, and return the seconds of the run."""
    job = build_defs(settings).resolve_implicit_global_asset_job_def()
    began = time.perf_counter()
    result = job.execute_in_process(
        instance=dg.DagsterInstance.ephemeral(),
        asset_selection=[dg.AssetKey(name.split(".")) for name in tables],
        tags={RANGE_START: days[0], RANGE_END: days[-1]},
        run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}},
    )
    took = time.perf_counter() - began
    shown: dict[str, dict[str, float]] = {}
    for event in result.all_events:
        if event.is_step_materialization:
            materialization = event.step_materialization_data.materialization
            values = {name: entry.value for name, entry in materialization.metadata.items()}
            table = shown.setdefault(materialization.asset_key.to_user_string(), {**values, "rows": 0})
            table["rows"] += values["dagster/partition_row_count"]
    print(f"{'table':<45}{'rows':>12}{''.join(f'{step:>9}' for step in STEPS)}  (seconds)")
    for name, values in shown.items():
        seconds = "".join(f"{values[f'seconds to {step}']:9.2f}" for step in STEPS)
        print(f"{name:<45}{values['rows']:>12,}{seconds}")
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tracks", type=int, default=3_000_000)
    parser.add_argument("--visitors", type=int, default=320_000)
    parser.add_argument("--days", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    config = TracksConfig(days=given.days, tracks=given.tracks, visitors=given.visitors)
    days = [(config.first_day + dt.timedelta(days=n)).isoformat() for n in range(config.days)]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        simulate_tracks(config, folder / "landing", folder / "truth", progress=print)
        settings = Settings(
            lake=folder / "lake",
            landing=folder / "landing",
            spill=folder / "spill",
            first_day=config.first_day,
            threads=given.threads,
        )
        landed = run_tables(settings, days, [TRACKS])
        print(f"landing files to tracks: {landed:.1f} s\n")
        ours = run_tables(settings, days, [name for name in catalog.marts() if name.startswith("rudder.")])
        print(f"tracks to the eight tables, {len(days)} days in one run: {ours:.1f} s\n")
        plain = run_plain(settings.lake, given.threads)
        print(f"eight plain queries: {plain:.1f} s; ours took {ours / plain:.2f} times as long")
        print(f"peak memory {peak_gigabytes():.2f} GB")


if __name__ == "__main__":
    main()
