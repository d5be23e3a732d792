"""The whole graph over a simulated platform: the marts contain exactly what was simulated."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import dagster as dg
import duckdb
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from wemart_assets import catalog
from wemart_assets.catalog import contracts, marts, tables
from wemart_assets.definitions import build_defs
from wemart_assets.lake.days import Period
from wemart_assets.settings import Settings
from wemart_assets.simulator import SimulatorConfig, simulate
from wemart_assets.sql import analyst
from wemart_assets_tests.graph import instance_without_history, upstream

FIRST = "2024-01-01"
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
OF_THE_RUN = ("key_date", "part_date", "run_timestamp")


def rows_of(world: Path, query: str) -> list[tuple[object, ...]]:
    lake, truth = world / "lake", world / "truth"
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        text = query.replace("LAKE", str(lake)).replace("TRUTH", str(truth))
        return connection.execute(text).fetchall()


def test_the_log_base_has_exactly_the_simulated_sessions(world: Path) -> None:
    found = rows_of(
        world,
        """select date_id::varchar, user_info_device_id, sess_seq, epoch_ms(sess_start_dt), epoch_ms(sess_end_dt),
                  count(*)
           from read_parquet('LAKE/we_mart/wv_server_log_base/*/*.parquet') group by all order by all""",
    )
    made = rows_of(
        world,
        """select day, device_id, sess_seq, sess_start_ms, sess_end_ms, lines from 'TRUTH/sessions.parquet'
           where day between '2024-01-01' and '2024-01-05' order by all""",
    )
    assert len(made) > 500
    assert found == made


def test_the_log_base_has_exactly_the_simulated_user_sessions(world: Path) -> None:
    found = rows_of(
        world,
        """select date_id::varchar, user_info_device_id, sess_seq, user_id_fill::bigint, epoch_ms(user_sess_start_dt),
                  epoch_ms(user_sess_end_dt), count(*)
           from read_parquet('LAKE/we_mart/wv_server_log_base/*/*.parquet') group by all order by all""",
    )
    made = rows_of(
        world,
        """select day, device_id, sess_seq, user_id, start_ms, end_ms, lines from 'TRUTH/user_sessions.parquet'
           where day between '2024-01-01' and '2024-01-05' order by all""",
    )
    assert found == made


def test_the_session_mart_has_exactly_the_simulated_user_sessions(world: Path) -> None:
    found = rows_of(
        world,
        """select distinct part_date::varchar, device_id, epoch_ms(sess_start_dt), epoch_ms(sess_end_dt),
                  split_part(user_sess_id, '|', 3), epoch_ms(user_sess_start_dt), epoch_ms(user_sess_end_dt)
           from read_parquet('LAKE/we_mart/wv_sess_daily/*/*.parquet') order by all""",
    )
    made = rows_of(
        world,
        """select s.day, s.device_id, sess_start_ms, sess_end_ms, coalesce(user_id::varchar, ''), start_ms, end_ms
           from 'TRUTH/user_sessions.parquet' u join 'TRUTH/sessions.parquet' s using (day, device_id, sess_seq)
           order by all""",
    )
    assert found == made


def test_the_community_mart_has_exactly_the_simulated_members(world: Path) -> None:
    found = rows_of(
        world,
        """select part_date::varchar, comm_id, wv_user_id, comm_user_status, comm_user_grade, cnt_comm_user_id,
                  epoch_ms(comm_user_cre_dt), epoch_ms(comm_user_end_dt), epoch_ms(comm_user_first_dt),
                  epoch_ms(tot_comm_user_first_dt), is_fc, fc_id, ip_ctry, is_profile_private
           from read_parquet('LAKE/we_mart/wv_comm_user/*/*/*.parquet') order by all""",
    )
    made = rows_of(
        world,
        """select day, comm_id, wv_user_id, comm_user_status, comm_user_grade, cnt_comm_user_id, comm_user_cre_ms,
                  comm_user_end_ms, comm_user_first_ms, tot_comm_user_first_ms, is_fc, fc_id, ip_ctry,
                  is_profile_private
           from 'TRUTH/members.parquet' where day between '2024-01-01' and '2024-01-05' order by all""",
    )
    assert len(made) > 500
    assert found == made


def test_direct_messages_have_exactly_the_simulated_subscribers_and_writers(world: Path) -> None:
    found = rows_of(
        world,
        """select part_date::varchar, comm_id, dm_id, coalesce(c.subscribers, 0), coalesce(new_subscribers, 0),
                  coalesce(ended_subscribers, 0), coalesce(fan_cnt, 0), coalesce(msg_cnt, 0)
           from read_parquet('LAKE/we_mart/wv_dm_subscr_daily/*/*.parquet') c
           full join read_parquet('LAKE/we_mart/wv_dm_msg_fan/*/*.parquet') using (part_date, comm_id, dm_id)
           order by all""",
    )
    made = rows_of(world, "select * from 'TRUTH/direct_messages.parquet' where day <= '2024-01-05' order by all")
    assert len(made) > 50
    assert found == made


def test_the_history_has_every_subscription_that_was_ever_delivered(world: Path) -> None:
    key = "wv_user_id, dm_id, start_dt"
    landed = f"read_parquet('{world}/landing/weverse2.community_member_purchase/*/*')"
    delivered = rows_of(world, f"select distinct {key} from {landed} order by all")
    history = "read_parquet('LAKE/we_mart/wv_dm_subscr_history/part_date=2024-01-05/*.parquet')"
    assert rows_of(world, f"select {key} from {history} order by all") == delivered
    [(vanished,)] = rows_of(world, f"select count(*) from {history} where last_seen_date < '2024-01-05'")
    assert vanished > 0


def test_the_visits_to_other_services_are_exactly_the_simulated_ones(world: Path) -> None:
    found = rows_of(
        world,
        """select part_date::varchar, service, we_member_id, visits
           from read_parquet('LAKE/we_mart/we_user_visit/*/*.parquet') where service <> 'weverse' order by all""",
    )
    made = rows_of(
        world,
        """select day, service, we_member_id, visits from 'TRUTH/service_visits.parquet'
           where day between '2024-01-01' and '2024-01-05' order by all""",
    )
    assert len(made) > 100
    assert found == made


def test_orders_and_plays_match_the_simulation(world: Path) -> None:
    counts = json.loads((world / "truth" / "counts.json").read_text())["days"]
    made = [
        (day, *(counts[day][name] for name in ("orders", "order_amount", "plays", "play_seconds")))
        for day in (f"2024-01-0{n}" for n in range(1, 6))
    ]
    played = """select part_date, sum(play_cnt) as plays, sum(play_sec) as seconds
                from read_parquet('LAKE/we_mart/stats_wv_d_live_agg/*/*.parquet') group by all"""
    for table in ("we_sale", "stats_we_d_order_fc", "ws_platform_daily"):
        found = rows_of(
            world,
            f"""select part_date::varchar, sum(ord_cnt)::bigint, (sum(ord_amount) * 10000)::bigint,
                       any_value(plays)::bigint, any_value(seconds)::bigint
                from read_parquet('LAKE/we_mart/{table}/*/*.parquet') join ({played}) using (part_date)
                group by all order by all""",
        )
        assert found == made, table


def test_replaying_the_updates_gives_each_day(world: Path) -> None:
    columns = [c.name for c in marts()["we_mart.wv_comm_user"].table.columns if c.name not in OF_THE_RUN]
    names = ", ".join(f'"{name}"' for name in columns)
    replayed: dict[tuple[object, ...], tuple[object, ...]] = {}
    changes = 0
    for day in (f"2024-01-0{n}" for n in range(1, 6)):
        updates = rows_of(
            world,
            f"""select update_type, {names} from read_parquet('LAKE/we_mart/wv_comm_user_update/*/*.parquet')
                where part_date = '{day}'""",
        )
        for kind, *values in updates:
            row = dict(zip(columns, values, strict=True))
            pair = (row["comm_id"], row["wv_user_id"])
            assert (kind == "c") == (pair not in replayed)
            changes += kind != "c"
            if kind == "d":
                del replayed[pair]
            else:
                replayed[pair] = tuple(values)
        there = rows_of(
            world,
            f"select {names} from read_parquet('LAKE/we_mart/wv_comm_user/*/*/*.parquet') where part_date = '{day}'",
        )
        assert sorted(replayed.values(), key=str) == sorted(there, key=str)
    assert changes > 10


@pytest.mark.slow
def test_days_run_one_by_one_equal_the_days_of_a_range(world: Path, tmp_path: Path) -> None:
    settings = Settings(lake=tmp_path / "lake", landing=world / "landing", spill=tmp_path / "spill")
    job = build_defs(settings).resolve_job_def("requested_by_day")
    # Tables that read later days run again once these are published, as the sensor requests it.
    ahead = {
        name
        for name, of in marts().items()
        if any(i.last > 0 for i in of.resolve(settings.for_tables()).inputs.values())
    }
    with instance_without_history() as instance:
        for day in range(1, 6):
            job.execute_in_process(instance=instance, partition_key=f"2024-01-0{day}")
        job.execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(name.split(".")) for name in sorted(ahead)],
            tags={RANGE_START: "2024-01-01", RANGE_END: "2024-01-05"},
        )
    compared = 0
    for name, table in tables().items():
        lakes = [folder / "lake" / name.replace(".", "/") for folder in (tmp_path, world)]
        if table.period is Period.DAY:
            found, known = (
                sorted(map(str, DeltaTable(lake).to_pyarrow_table().drop_columns(["run_timestamp"]).to_pylist()))
                for lake in lakes
            )
            assert found == known, name
            compared += len(known)
    assert compared > 50_000


def test_the_quarantine_contains_exactly_the_broken_rows(world: Path) -> None:
    counts = json.loads((world / "truth" / "counts.json").read_text())
    made: dict[str, int] = {}
    for broken in counts["broken"]:
        made[broken["source"]] = made.get(broken["source"], 0) + broken["rows"]
    apps = json.loads((world / "truth" / "igaworks.json").read_text())
    made |= {source: rows for source, rows in apps["broken"].items() if rows}
    made["rudder.tracks"] = json.loads((world / "truth" / "rudder.json").read_text())["received_again"]
    found = {}
    for name in contracts():
        folder = world / "lake" / name.replace(".", "/")
        files = list(folder.with_name(f"{folder.name}__quarantine").glob("*/*.parquet"))
        if files:
            found[name] = rows_of(world, f"select count(*) from read_parquet({[str(f) for f in files]})")[0][0]
    assert sum(made.values()) >= 3
    assert found == made


def test_the_attribution_reports_match_the_simulation(world: Path) -> None:
    truth = json.loads((world / "truth" / "igaworks.json").read_text())
    reports = "read_parquet('LAKE/igaworks"
    for day, made in truth["days"].items():
        active = rows_of(world, f"select active_users from {reports}/active_user_by_date/part_date={day}/*')")
        bought = rows_of(
            world,
            "select purchase_users, total_price::varchar"
            f" from {reports}/total_price_active_user_by_date/part_date={day}/*')",
        )
        assert active == [(made["active_users"],)]
        assert bought == [(made["purchase_users"], made["amount"])]
        by_event = rows_of(
            world, f"select event_name, active_users from {reports}/active_user_by_event/part_date={day}/*')"
        )
        assert dict(by_event) == {name: users for name, users in made["users_by_event"].items() if users}
        by_campaign = rows_of(
            world,
            f"""select campaign, active_users, coalesce(purchase_users, 0), coalesce(total_price, 0)::varchar
                from {reports}/active_user_by_campaign/part_date={day}/*') a
                left join {reports}/total_price_active_user_by_campaign/part_date={day}/*') b using (campaign)""",
        )
        assert {name: tuple(of.values()) for name, of in made["by_campaign"].items()} == {
            str(name): said for name, *said_ in by_campaign for said in [tuple(said_)]
        }
        cohort = rows_of(world, f"select count(*) from {reports}/first_open/part_date={day}/*')")
        assert cohort == [(made["cohort"],)]
    for source in ("event", "attribution"):
        [(unknown,)] = rows_of(world, f"select count(*) from {reports}/{source}__date_unknown/part_date=*/*')")
        assert unknown == truth["unknown"][f"igaworks.{source}"] > 0
    assert sum(made["cohort"] for made in truth["days"].values()) > 300


def test_cohorts_add_up_to_the_users_with_a_dated_firstopen(world: Path) -> None:
    reports = "read_parquet('LAKE/igaworks"
    [(cohorts,)] = rows_of(
        world,
        f"""select sum(retained_users) from {reports}/hard_retention_by_dates/part_date=*/*') where days_since = 0""",
    )
    [(users,)] = rows_of(
        world,
        f"""select count(distinct identity_adid) from {reports}/event/part_date=*/*') where event_name = 'firstopen'""",
    )
    assert cohorts == users > 300


def test_the_sessions_of_tracked_visitors_match_the_simulation(world: Path) -> None:
    """Through SQL, where a table shows the newest row of each key."""
    truth = json.loads((world / "truth" / "rudder.json").read_text())
    made = pq.read_table(world / "truth" / "rudder_sessions.parquet")
    with analyst(world / "lake", catalog.tables(), catalog.views()) as door:
        found = door.run(
            "select dbt_visitor_id as visitor, session_sequence_number as number,"
            " epoch_ms(session_start_at) as start_ms, epoch_ms(ended_at) as end_ms, num_pvs as tracks"
            " from rudder.dbt_session_tracks join rudder.dbt_session_track_facts using (session_id)"
        )
        by_day = door.run("select part_date, count(*) as n from rudder.dbt_track_facts__daily group by all").to_pylist()
        longest = door.run("select * from rudder.dbt_top_users_by_avg_session_duration").to_pylist()
    order = [("visitor", "ascending"), ("number", "ascending")]
    assert found.sort_by(order).to_pylist() == made.sort_by(order).to_pylist()
    assert {row["part_date"]: row["n"] for row in by_day} == {d: of["tracks"] for d, of in truth["days"].items()}
    assert len(longest) == len({row["visitor"] for row in made.to_pylist()})
    minutes = [row["avg_session_duration"] for row in longest]
    assert minutes == sorted(minutes, reverse=True)
    assert minutes[0] > minutes[-1]


def test_run_timestamp_is_the_time_of_the_run(tmp_path: Path) -> None:
    clock = dt.datetime(2030, 5, 6, 7, 8, 9, 123456, tzinfo=dt.UTC)
    simulate(SimulatorConfig(days=1, lines_per_day=500), tmp_path / "landing", tmp_path / "truth")
    settings = Settings(lake=tmp_path / "lake", landing=tmp_path / "landing", spill=tmp_path / "spill")
    needed = upstream("we_mart.wv_server_log_base")
    build_defs(settings, clock=lambda: clock).resolve_implicit_global_asset_job_def().execute_in_process(
        instance=dg.DagsterInstance.ephemeral(),
        partition_key=FIRST,
        asset_selection=[dg.AssetKey(tables()[name].key) for name in needed],
    )
    found = rows_of(
        tmp_path, "select distinct run_timestamp from read_parquet('LAKE/we_mart/wv_server_log_base/*/*.parquet')"
    )
    assert found == [(clock,)]


@pytest.mark.slow
def test_weeks_and_months_are_computed_from_their_days(world: Path, tmp_path: Path) -> None:
    settings = Settings(lake=tmp_path / "lake", landing=world / "landing", spill=tmp_path / "spill")
    graph = build_defs(settings)
    by_week, by_month = "stats_wv_w_comm_engage_usr", "stats_wv_m_comm_engage_usr"
    needed: set[str] = set()
    waiting = [f"we_mart.{by_week}"]
    while waiting:
        reads = {i.table.full_name for i in marts()[waiting.pop()].inputs.values()} - needed
        needed |= reads
        waiting += sorted(reads & set(marts()))

    def run(job: str, first: str, last: str, names: set[str] | None = None) -> bool:
        selection = None if names is None else [dg.AssetKey(name.split(".")) for name in sorted(names)]
        tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
        of = graph.resolve_job_def(job)
        return of.execute_in_process(instance=instance, tags=tags, asset_selection=selection).success

    with instance_without_history() as instance:
        assert run("requested_by_day", "2024-01-01", "2024-01-31", needed)
        assert run("analytics_we_mart_weekly", "2024-01-01", "2024-01-22", {f"we_mart.{by_week}"})
        assert run("analytics_we_mart_monthly", "2024-01-01", "2024-01-01", {f"we_mart.{by_month}"})
    for name, last_days in (
        (by_week, ["2024-01-07", "2024-01-14", "2024-01-21", "2024-01-28"]),
        (by_month, ["2024-01-31"]),
    ):
        counted = rows_of(
            tmp_path,
            f"""select part_date::varchar, sum(member_cnt)::bigint, sum(engage_user_cnt)::bigint
                from read_parquet('LAKE/we_mart/{name}/*/*.parquet') group by all order by all""",
        )
        members = rows_of(
            tmp_path,
            f"""select part_date::varchar, count(*) from read_parquet('LAKE/we_mart/wv_comm_user/*/*/*.parquet')
                where part_date::varchar in ({str(last_days)[1:-1]}) group by all order by all""",
        )
        assert [row[1] for row in counted] == [row[1] for row in members]
        # All activity is in the first five days.
        assert int(str(counted[0][2])) > 50
        assert all(row[2] == 0 for row in counted[1:])
