"""The landing sensor, ticked through deliveries, corrections, restarts and broken files."""

from __future__ import annotations

import datetime as dt
import os
from typing import TYPE_CHECKING, Any

import dagster as dg
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from wemart_assets import catalog
from wemart_assets.automation.landing_sensor import Cursor
from wemart_assets.lake.days import Period, days_between
from wemart_assets_tests.automation.conftest import GIVEN, OF_USERS, stateless
from wemart_assets_tests.environments import Environment
from wemart_assets_tests.graph import upstream

if TYPE_CHECKING:
    from pathlib import Path

    from wemart_assets_tests.environments import MakeEnvironment

LOG = "service_log.weverse_server_log"
ARTISTS = "we_mart.we_artist"
USERS = "we_mart.we_user"
MEMBERSHIPS = "we_mart.ws_fc_user_history"
MEMBERS = "we_mart.wv_comm_user"
POSTS = "weverse2.community_content_post"
NOTICES = "weverse2.community_content_common_notice"
BASE = "we_mart.wv_server_log_base"
SESSIONS = "we_mart.wv_sess_daily"
# Downstream tables of a day of the log, and of a day of a snapshot.
AFTER_SESSIONS = {
    "we_mart.wv_user_daily",
    "we_mart.stats_wv_d_session",
    "we_mart.stats_wv_d_user_sess",
    "we_mart.stats_wv_d_platform",
}
AFTER_LOG = {LOG, BASE, SESSIONS, *AFTER_SESSIONS}
AFTER_ARTISTS = {ARTISTS, SESSIONS, *AFTER_SESSIONS}


def _artists(environment: Environment, day: str, name: str = "x") -> None:
    environment.land(ARTISTS, f"date={day}/artists.csv", [{"we_art_id": 1, "we_art_name": name, "comm_id": 10}])


# Which days are requested in an environment where nothing has run.


def test_a_new_file_requests_its_day(environment: Environment) -> None:
    environment.land_lines("date=2024-03-02/a.csv", "2024-03-02 12:00:00")
    assert environment.tick().days == ["2024-03-02"]


def test_a_file_requests_the_days_of_its_rows_not_of_its_folder(environment: Environment) -> None:
    environment.land_lines("date=2024-03-09/a.csv", "2024-03-02 12:00:00")
    assert environment.tick().days == ["2024-03-02"]


def test_a_file_that_spans_two_days_requests_both_in_one_run(environment: Environment) -> None:
    environment.land_lines("a.csv", "2024-03-02 23:59:59.999", "2024-03-03 00:00:00")
    assert [request.days for request in environment.tick().requests] == [("2024-03-02", "2024-03-03")]


def test_days_with_a_gap_between_them_are_separate_runs(environment: Environment) -> None:
    environment.land_lines("a.csv", "2024-03-02 12:00:00", "2024-03-04 12:00:00", "2024-03-05 12:00:00")
    assert [request.days for request in environment.tick().requests] == [("2024-03-02",), ("2024-03-04", "2024-03-05")]


def test_rows_before_the_first_day_request_nothing(environment: Environment) -> None:
    environment.land_lines("a.csv", "2024-02-29 23:59:59")
    assert environment.tick().requests == []


def test_rows_without_a_readable_instant_request_their_quarantine_day(
    environment: Environment,
) -> None:
    line = environment.line("2024-03-02 12:00:00") | {"unix_log_timestamp": "never"}
    environment.land(LOG, "date=2024-03-07/a.csv", [line])
    assert environment.tick().days == ["2024-03-07"]


def test_an_empty_landing_folder_requests_nothing(environment: Environment) -> None:
    tick = environment.tick()
    assert (tick.requests, bool(tick.skipped)) == ([], True)


def test_unpublished_inputs_are_requested_along_with_the_tables_that_read_them(environment: Environment) -> None:
    environment.land_lines("a.csv", "2024-03-02 12:00:00")
    (request,) = environment.tick().requests
    assert request.tables >= {*AFTER_LOG, ARTISTS, MEMBERSHIPS, MEMBERS, POSTS, NOTICES}
    assert USERS not in request.tables, "it was published"


def test_a_snapshot_requests_the_unpublished_log_that_its_marts_read(environment: Environment) -> None:
    _artists(environment, "2024-03-19")
    (request,) = (r for r in environment.tick().requests if ARTISTS in r.tables and "2024-03-19" in r.days)
    assert request.tables >= {ARTISTS, SESSIONS, BASE, LOG}


def test_the_next_tick_requests_nothing_again(environment: Environment) -> None:
    environment.land_lines("a.csv", "2024-03-02 12:00:00")
    _artists(environment, "2024-03-05")
    again = environment.tick(environment.tick().cursor)
    assert (again.requests, bool(again.skipped)) == ([], True)


def test_a_day_waits_until_it_is_over(environment: Environment) -> None:
    environment.land_lines("a.csv", "2024-03-04 12:00:00", "2024-03-05 08:00:00")
    during = environment.tick(at="2024-03-05 23:59:59")
    after = environment.tick(during.cursor, at="2024-03-06 00:00:01")
    assert (during.days, after.days) == (["2024-03-04"], ["2024-03-05"])


def test_a_waiting_day_survives_ticks_that_request_nothing(environment: Environment) -> None:
    environment.land_lines("a.csv", "2024-03-05 08:00:00")
    first = environment.tick(at="2024-03-05 09:00:00")
    second = environment.tick(first.cursor, at="2024-03-05 10:00:00")
    assert (first.requests, second.requests) == ([], [])
    assert environment.tick(second.cursor, at="2024-03-06 00:00:01").days == ["2024-03-05"]


def test_a_snapshot_requests_each_day_up_to_the_next_delivery(environment: Environment) -> None:
    _artists(environment, "2024-03-02")
    _artists(environment, "2024-03-06")
    cursor = environment.tick().cursor
    _artists(environment, "2024-03-03")
    assert environment.tick(cursor).days_of(SESSIONS) == ["2024-03-03", "2024-03-04", "2024-03-05"]


def test_the_last_snapshot_requests_each_day_up_to_the_latest_delivery(
    environment: Environment,
) -> None:
    """A snapshot is carried forward to later days, but that alone is no reason to run them."""
    _artists(environment, "2024-03-03")
    environment.land_lines("a.csv", "2024-03-05 12:00:00")
    shown = environment.tick(at="2024-03-09 01:00:00").days_of(SESSIONS)
    assert shown == ["2024-03-03", "2024-03-04", "2024-03-05"]


def test_every_published_day_that_shows_a_changed_snapshot_is_requested(
    environment: Environment,
) -> None:
    environment.give(ARTISTS, last="2024-03-06")
    _artists(environment, "2024-03-03")
    shown = environment.tick(at="2024-03-09 01:00:00").days_of(ARTISTS)
    assert shown == ["2024-03-03", "2024-03-04", "2024-03-05", "2024-03-06"]


def test_a_snapshot_before_the_first_day_requests_the_days_that_show_it(environment: Environment) -> None:
    _artists(environment, "2024-02-01")
    environment.land_lines("a.csv", "2024-03-02 12:00:00")
    assert environment.tick(at="2024-03-04 01:00:00").days_of(SESSIONS) == ["2024-03-01", "2024-03-02"]


def test_a_lone_snapshot_before_the_first_day_requests_nothing(environment: Environment) -> None:
    _artists(environment, "2024-02-01")
    assert environment.tick(at="2024-03-04 01:00:00").requests == []


def test_rows_of_future_days_do_not_count_as_deliveries(environment: Environment) -> None:
    _artists(environment, "2024-03-03")
    environment.land_lines("a.csv", "2024-03-05 12:00:00", "2029-01-01 00:00:00")
    assert environment.tick(at="2024-03-09 13:00:00").days_of(SESSIONS) == ["2024-03-03", "2024-03-04", "2024-03-05"]


def test_a_removed_snapshot_requests_the_days_that_showed_it(environment: Environment) -> None:
    for day in ("2024-03-02", "2024-03-04", "2024-03-06"):
        _artists(environment, day)
    cursor = environment.tick().cursor
    (environment.landing / ARTISTS / "date=2024-03-04/artists.csv").unlink()
    assert environment.tick(cursor).days_of(SESSIONS) == ["2024-03-04", "2024-03-05"]


def test_a_snapshot_of_today_waits_until_the_day_is_over(environment: Environment) -> None:
    _artists(environment, "2024-03-05")
    during = environment.tick(at="2024-03-05 12:00:00")
    assert during.requests == []
    assert environment.tick(during.cursor, at="2024-03-06 00:00:01").days_of(SESSIONS) == ["2024-03-05"]


# Bounded batches:


def test_a_run_has_at_most_31_days(environment: Environment) -> None:
    lines = [environment.line(f"{dt.date(2024, 3, 1) + dt.timedelta(days=n)} 12:00:00") for n in range(70)]
    environment.land(LOG, "a.csv", lines)
    requests = environment.tick(at="2024-06-01 12:00:00").requests
    assert [len(request.days) for request in requests if LOG in request.tables] == [31, 31, 8]


@pytest.mark.slow
def test_each_day_of_a_long_history_is_requested_once_over_several_ticks(environment: Environment) -> None:
    days = [str(dt.date(2024, 3, 1) + dt.timedelta(days=n)) for n in range(300)]
    environment.land(LOG, "a.csv", [environment.line(f"{day} 12:00:00") for day in days])
    ticks = environment.ticks(at="2025-03-01 12:00:00")
    assert [sum(LOG in request.tables for request in tick.requests) for tick in ticks][:2] == [8, 2]
    assert sorted(day for tick in ticks for day in tick.days) == days


def test_each_of_many_days_with_gaps_is_requested_once_over_several_ticks(
    make_environment: MakeEnvironment,
) -> None:
    environment = make_environment(looks_at_users=True)
    days = [str(dt.date(2024, 3, 1) + dt.timedelta(days=2 * n)) for n in range(10)]
    environment.land(LOG, "a.csv", [environment.line(f"{day} 12:00:00") for day in days])
    ticks = environment.ticks(at="2024-04-01 12:00:00")
    # Stateful user tables are requested for the days in between and after, and cohorts for days in their window.
    assert [len(tick.requests) for tick in ticks][:2] == [8, 8]
    assert [day for tick in ticks for day in tick.days_of(LOG)] == days


@pytest.mark.slow
def test_every_day_that_shows_a_snapshot_is_requested_over_several_ticks(environment: Environment) -> None:
    """More days than one tick requests: each tick has to continue where the previous one stopped."""
    _artists(environment, "2024-03-01")
    environment.land_lines("a.csv", "2025-02-28 12:00:00")
    ticks = environment.ticks(at="2025-03-01 12:00:00", most=5)
    requested = [day for tick in ticks for day in tick.days_of(SESSIONS)]
    assert sorted(requested) == [str(dt.date(2024, 3, 1) + dt.timedelta(days=n)) for n in range(365)]


@pytest.mark.slow
def test_run_keys_are_unique_within_a_tick_and_across_ticks(environment: Environment) -> None:
    days = [str(dt.date(2024, 3, 1) + dt.timedelta(days=2 * n)) for n in range(20)]
    environment.land(LOG, "a.csv", [environment.line(f"{day} 12:00:00") for day in days])
    assert len({key for tick in environment.ticks(at="2025-03-01 12:00:00") for key in tick.keys}) == 20


# What a change requests in an environment where everything has been published.


@pytest.fixture(scope="module")
def template(make_environment: MakeEnvironment) -> tuple[Environment, str | None]:
    """An environment that was published for 2024-03-02 to 2024-03-04, with the cursor of the tick that requested it."""
    environment = make_environment()
    for number in (2, 3, 4):
        environment.land_lines(f"date=2024-03-0{number}/a.csv", f"2024-03-0{number} 12:00:00")
    cursor = environment.tick().cursor
    assert environment.run("2024-03-01", "2024-03-04", stateless(environment)).success
    return environment, cursor


@pytest.fixture
def settled(
    make_environment: MakeEnvironment, template: tuple[Environment, str | None]
) -> tuple[Environment, str | None]:
    return make_environment().copy_of(template[0]), template[1]


def test_a_restart_with_the_saved_cursor_requests_nothing(settled: tuple[Environment, str | None]) -> None:
    environment, cursor = settled
    tick = environment.tick(cursor)
    assert (tick.requests, bool(tick.skipped)) == ([], True)


def test_a_late_file_requests_only_its_source_and_the_tables_downstream(
    settled: tuple[Environment, str | None],
) -> None:
    environment, cursor = settled
    environment.land_lines("date=2024-03-19/late.csv", "2024-03-03 18:00:00")
    (request,) = environment.tick(cursor).requests
    assert request.days == ("2024-03-03",)
    assert request.tables >= AFTER_LOG
    assert not request.tables & {ARTISTS, USERS, MEMBERSHIPS, MEMBERS, POSTS, NOTICES}


def test_a_late_snapshot_requests_the_marts_that_read_it_but_not_the_log(
    settled: tuple[Environment, str | None],
) -> None:
    environment, cursor = settled
    _artists(environment, "2024-03-04")
    (request,) = environment.tick(cursor, at="2024-03-05 01:00:00").requests
    assert request.days == ("2024-03-04",)
    assert request.tables >= AFTER_ARTISTS
    assert not request.tables & {LOG, BASE, USERS}


def test_a_changed_file_requests_its_day(settled: tuple[Environment, str | None]) -> None:
    environment, cursor = settled
    environment.land_lines("date=2024-03-03/a.csv", "2024-03-03 12:00:00", "2024-03-03 13:00:00")
    assert environment.tick(cursor).days == ["2024-03-03"]


def test_a_file_rewritten_with_the_same_size_requests_its_day(
    settled: tuple[Environment, str | None],
) -> None:
    environment, cursor = settled
    file = environment.land_lines("date=2024-03-03/a.csv", "2024-03-03 12:00:00", url="/wave")
    os.utime(file, ns=(0, 1_700_000_000_000_000_000))
    assert environment.tick(cursor).days == ["2024-03-03"]


def test_a_changed_file_requests_its_previous_and_its_current_days(
    settled: tuple[Environment, str | None],
) -> None:
    environment, cursor = settled
    environment.land_lines("date=2024-03-03/a.csv", "2024-03-07 12:00:00")
    assert environment.tick(cursor).days == ["2024-03-03", "2024-03-07"]


def test_a_removed_file_requests_its_previous_days(settled: tuple[Environment, str | None]) -> None:
    environment, cursor = settled
    (environment.landing / LOG / "date=2024-03-03/a.csv").unlink()
    tick = environment.tick(cursor)
    assert tick.days == ["2024-03-03"]
    assert environment.tick(tick.cursor).requests == []


def test_a_file_removed_and_restored_is_requested_again_with_a_new_key(environment: Environment) -> None:
    file = environment.land_lines("a.csv", "2024-03-02 12:00:00")
    there = environment.tick()
    content, times = file.read_bytes(), file.stat()
    file.unlink()
    gone = environment.tick(there.cursor)
    file.write_bytes(content)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    back = environment.tick(gone.cursor)
    assert [tick.days for tick in (there, gone, back)] == [["2024-03-02"]] * 3
    assert len(there.keys | gone.keys | back.keys) == 3


def test_a_tick_whose_cursor_was_lost_repeats_the_same_run_keys(
    settled: tuple[Environment, str | None],
) -> None:
    """The daemon never launches a second run with a key that it has seen."""
    environment, cursor = settled
    environment.land_lines("late.csv", "2024-03-03 18:00:00", "2024-03-07 18:00:00")
    lost, again = environment.tick(cursor), environment.tick(cursor)
    assert len(lost.requests) == 2
    assert lost.requests == again.requests


def test_a_file_changed_after_a_lost_cursor_is_requested_with_a_new_key(
    settled: tuple[Environment, str | None],
) -> None:
    """With the same key the daemon would take the run of the first version for that of the second."""
    environment, cursor = settled
    environment.land_lines("late.csv", "2024-03-03 18:00:00")
    lost = environment.tick(cursor)
    environment.land_lines("late.csv", "2024-03-03 18:00:00", "2024-03-03 19:00:00")
    again = environment.tick(cursor)
    assert [tick.days for tick in (lost, again)] == [["2024-03-03"]] * 2
    assert lost.keys.isdisjoint(again.keys)


def test_without_any_cursor_everything_is_requested(settled: tuple[Environment, str | None]) -> None:
    environment, _ = settled
    assert environment.tick(None).days == ["2024-03-02", "2024-03-03", "2024-03-04"]


def test_several_changes_to_one_day_are_one_request(settled: tuple[Environment, str | None]) -> None:
    environment, cursor = settled
    environment.land_lines("late.csv", "2024-03-04 18:00:00")
    environment.land_lines("later.csv", "2024-03-04 19:00:00")
    _artists(environment, "2024-03-04")
    (request,) = environment.tick(cursor, at="2024-03-05 01:00:00").requests
    assert request.tables >= AFTER_LOG | AFTER_ARTISTS


def test_days_that_need_different_tables_are_separate_runs(settled: tuple[Environment, str | None]) -> None:
    environment, cursor = settled
    environment.land_lines("late.csv", "2024-03-03 18:00:00")
    _artists(environment, "2024-03-04")
    requests = environment.tick(cursor, at="2024-03-05 01:00:00").requests
    assert [(request.days, LOG in request.tables) for request in requests] == [
        (("2024-03-03",), True),
        (("2024-03-04",), False),
    ]


# Files and tables that cannot be read:


def test_an_unreadable_file_causes_a_warning_and_does_not_stop_the_tick(environment: Environment) -> None:
    environment.land(LOG, "date=2024-03-03/broken.parquet", "no parquet")
    environment.land_lines("a.csv", "2024-03-02 12:00:00")
    tick = environment.tick()
    assert tick.days == ["2024-03-02"]
    assert [LOG in text and "broken.parquet" in text for text in tick.warnings] == [True]


def test_a_file_whose_first_line_never_ends_does_not_stop_the_tick(environment: Environment) -> None:
    environment.land("igaworks.event", "endless.csv", '"' + "u,iOS\n" * 30_000)
    environment.land_lines("date=2024-03-01/a.csv", "2024-03-01 12:00:00")
    tick = environment.tick()
    assert tick.days_of(LOG) == ["2024-03-01"]
    assert [text for text in tick.warnings if "igaworks.event" in text and "endless.csv" in text]


def test_a_tick_that_requests_nothing_warns_about_an_unreadable_file(environment: Environment) -> None:
    environment.land(LOG, "date=2024-03-03/broken.parquet", "no parquet")
    tick = environment.tick()
    assert (tick.requests, len(tick.warnings)) == ([], 1)


def test_a_repaired_file_requests_its_day(environment: Environment) -> None:
    file = environment.land(LOG, "date=2024-03-03/a.csv", "no,such,header\n1,2,3\n")
    broken = environment.tick()
    environment.land_lines("date=2024-03-03/a.csv", "2024-03-03 12:00:00")
    assert file.exists()
    assert (broken.requests, environment.tick(broken.cursor).days) == ([], ["2024-03-03"])


def test_a_file_that_becomes_unreadable_requests_its_previous_days(settled: tuple[Environment, str | None]) -> None:
    """The runs fail and say why; readers keep what they have."""
    environment, cursor = settled
    environment.land(LOG, "date=2024-03-03/a.csv", "no,such,header\n1,2,3\n")
    tick = environment.tick(cursor)
    assert (tick.days, len(tick.warnings)) == (["2024-03-03"], 1)


@pytest.mark.parametrize("broken", ["date=2024-03-03/broken.csv", "broken.csv"])
def test_days_stopped_by_an_unreadable_file_are_requested_once_it_is_repaired(
    settled: tuple[Environment, str | None], broken: str
) -> None:
    """The run of 2024-03-04 fails because of the broken file; without another request its late line would be lost."""
    environment, cursor = settled
    environment.land(LOG, broken, "no,such,header\n1,2,3\n")
    environment.land_lines("date=2024-03-04/late.csv", "2024-03-04 18:00:00")
    stopped = environment.tick(cursor)
    environment.land_lines(broken, "2024-03-03 18:00:00")
    assert {"2024-03-03", "2024-03-04"} <= set(environment.tick(stopped.cursor).days)


@pytest.mark.parametrize("folder", ["date=2024-02-30", "date=2024-13-01"])
def test_a_snapshot_under_an_invalid_date_does_not_stop_the_tick(environment: Environment, folder: str) -> None:
    environment.land(ARTISTS, f"{folder}/artists.csv", "we_art_id,we_art_name,comm_id\n1,x,10\n")
    environment.land_lines("a.csv", "2024-03-02 12:00:00")
    tick = environment.tick()
    assert tick.days == ["2024-03-02"]
    assert [folder in text for text in tick.warnings] == [True]


def test_an_instant_in_the_year_10000_does_not_stop_the_tick(environment: Environment) -> None:
    """9999-12-31T23:59:59.999Z is a day of the year 10000 in Seoul."""
    far = environment.line("2024-03-02 12:00:00") | {"unix_log_timestamp": 253_402_300_799_999}
    environment.land(LOG, "a.csv", [environment.line("2024-03-02 12:00:00"), far])
    assert environment.tick().days == ["2024-03-02"]


# External tables:


def _external_log(environment: Environment, *lines: dict[str, Any], mode: str = "append") -> None:
    """Adds lines to the Delta table `theirs`, partitioned by `day`, which `sources.yaml` declares to be the log."""
    numbers = ("unix_log_timestamp", "user_info_id")
    fields = [pa.field(name, pa.int64() if name in numbers else pa.string()) for name in lines[0]]
    write_deltalake(
        environment.root / "theirs",
        pa.Table.from_pylist(list(lines), schema=pa.schema(fields)),
        partition_by=["day"],
        mode=mode,  # type: ignore[arg-type]
    )


def _external_line(environment: Environment, day: str, hour: int = 12) -> dict[str, Any]:
    return environment.line(f"{day} {hour:02d}:00:00") | {"day": day}


@pytest.fixture
def external(environment: Environment) -> Environment:
    environment.map(f"{LOG}:\n  table: theirs\n  day: day\n")
    _external_log(environment, *(_external_line(environment, day) for day in ("2024-03-02", "2024-03-03")))
    return environment


def test_an_external_table_is_observed_and_its_downstream_tables_requested(external: Environment) -> None:
    tick = external.tick()
    assert tick.observed == {(LOG, "2024-03-02"), (LOG, "2024-03-03")}
    (request,) = tick.requests
    assert request.days == ("2024-03-02", "2024-03-03")
    assert request.tables >= AFTER_LOG - {LOG}


def test_an_external_table_is_not_run(external: Environment) -> None:
    (request,) = external.tick().requests
    assert LOG not in request.tables


def test_an_unchanged_external_table_is_not_observed_again(external: Environment) -> None:
    again = external.tick(external.tick().cursor)
    assert (again.requests, again.observed) == ([], set())


def test_a_changed_day_of_an_external_table_is_observed_and_requested(external: Environment) -> None:
    cursor = external.tick().cursor
    _external_log(external, _external_line(external, "2024-03-03", hour=13))
    tick = external.tick(cursor)
    assert (tick.days, tick.observed) == (["2024-03-03"], {(LOG, "2024-03-03")})


def test_compacting_an_external_table_counts_as_at_most_one_change(external: Environment) -> None:
    cursor = external.tick().cursor
    _external_log(external, *(_external_line(external, day) for day in ("2024-03-02", "2024-03-03")), mode="overwrite")
    tick = external.tick(cursor)
    assert external.tick(tick.cursor).requests == []


def test_a_day_of_an_external_table_waits_until_it_is_over(external: Environment) -> None:
    tick = external.tick(at="2024-03-03 12:00:00")
    assert (tick.days, tick.observed) == (["2024-03-02"], {(LOG, "2024-03-02")})


def test_a_missing_external_table_does_not_stop_the_tick(environment: Environment) -> None:
    environment.map(f"{ARTISTS}:\n  table: nowhere\n  day: day\n")
    environment.land_lines("a.csv", "2024-03-02 12:00:00")
    assert environment.tick().days == ["2024-03-02"]


def test_an_external_table_without_daily_partitions_is_not_watched(environment: Environment) -> None:
    environment.map(f"{ARTISTS}:\n  table: theirs\n")
    write_deltalake(environment.root / "theirs", pa.table({"we_art_id": [1], "we_art_name": ["x"], "comm_id": [10]}))
    tick = environment.tick()
    assert (tick.requests, tick.observed) == ([], set())


# Requests that are executed:


@pytest.mark.slow
def test_late_and_corrected_deliveries_give_the_tables_of_on_time_ones(
    settled: tuple[Environment, str | None], make_environment: MakeEnvironment
) -> None:
    late, cursor = settled
    on_time = make_environment()
    for environment in (late, on_time):
        environment.land_lines(
            "late.csv", "2024-03-02 12:10:00", "2024-03-03 23:50:00", "2024-03-04 00:05:00", url="/late"
        )
        environment.land_lines("date=2024-03-03/a.csv", "2024-03-03 12:30:00", url="/corrected")
        environment.land_lines("date=2024-03-02/a.csv", "2024-03-02 12:00:00")
        if environment is on_time:
            environment.land_lines("date=2024-03-04/a.csv", "2024-03-04 12:00:00")
        _artists(environment, "2024-03-03")
    assert on_time.run("2024-03-01", "2024-03-04", stateless(on_time)).success
    for tick in late.ticks(cursor, at="2024-03-05 01:00:00"):
        for request in tick.requests:
            late.execute(request)
    assert {table: late.read(table) for table in sorted(AFTER_LOG)} == {
        table: on_time.read(table) for table in sorted(AFTER_LOG)
    }
    assert [row["url"] for row in late.read(BASE)].count("/late") == 3


@pytest.mark.slow
def test_the_first_request_on_an_empty_lake_succeeds(environment: Environment) -> None:
    environment.land_lines("a.csv", "2024-03-02 12:00:00", "2024-03-03 12:00:00")
    (request,) = environment.tick().requests
    environment.execute(request)
    assert [row["part_date"] for row in environment.read(SESSIONS)] == ["2024-03-02", "2024-03-03"]


@pytest.mark.slow
def test_a_request_over_an_external_table_succeeds(external: Environment) -> None:
    (request,) = external.tick().requests
    external.execute(request)
    assert [row["part_date"] for row in external.read(SESSIONS)] == ["2024-03-02", "2024-03-03"]


# Stateful tables.


PROFILES = "we_mart.ods_wv_member_profile"
STATE, MEMBERS_UPDATE = "we_mart.wv_comm_user_base", "we_mart.wv_comm_user_update"


def _profile(environment: Environment, path: str, updated: str, name: str = "x") -> None:
    at = int(dt.datetime.fromisoformat(f"{updated}+09:00").timestamp() * 1000)
    row = {
        "community_id": 1,
        "user_id": 7,
        "first_join_at": at,
        "last_join_at": at,
        "updated_at": at,
        "hidden": "false",
    }
    nothing = dict.fromkeys(("profile_image_url", "profile_cover_image_url", "cumulative_report_count"))
    environment.land(PROFILES, path, [{**row, "profile_name": name, **nothing}])


@pytest.fixture(scope="module")
def carried(make_environment: MakeEnvironment) -> tuple[Environment, str | None]:
    """An environment whose state was published for five days, with the cursor of the tick that requested it."""
    environment = make_environment(first_day=dt.date(2024, 3, 1))
    _profile(environment, "date=2024-03-01/a.csv", "2024-03-01 10:00:00")
    _artists(environment, "2024-03-05")
    tick = environment.tick(at="2024-03-06 01:00:00")
    for request in tick.requests:
        environment.execute(request)
    return environment, tick.cursor


@pytest.mark.slow
def test_stateful_tables_are_requested_from_the_change_to_the_latest_day(
    carried: tuple[Environment, str | None],
) -> None:
    environment, _ = carried
    days = environment.tick(at="2024-03-06 01:00:00").days_of(STATE)
    assert days == ["2024-03-01", "2024-03-02", "2024-03-03", "2024-03-04", "2024-03-05"]


@pytest.mark.slow
def test_a_late_change_requests_downstream_tables_up_to_the_latest_day(
    carried: tuple[Environment, str | None], make_environment: MakeEnvironment
) -> None:
    environment, cursor = make_environment(first_day=dt.date(2024, 3, 1)).copy_of(carried[0]), carried[1]
    _profile(environment, "date=2024-03-05/late.csv", "2024-03-03 10:00:00", "late")
    tick = environment.tick(cursor, at="2024-03-06 01:00:00")
    for table in (STATE, MEMBERS, MEMBERS_UPDATE, SESSIONS):
        assert tick.days_of(table) == ["2024-03-03", "2024-03-04", "2024-03-05"]
    assert tick.days_of(PROFILES) == ["2024-03-03"]
    for request in tick.requests:
        environment.execute(request)
    names = {row["part_date"]: row["profile_name"] for row in environment.read(MEMBERS)}
    assert names == {
        "2024-03-01": "x",
        "2024-03-02": "x",
        "2024-03-03": "late",
        "2024-03-04": "late",
        "2024-03-05": "late",
    }


@pytest.mark.slow
def test_days_made_stale_by_a_manual_run_are_requested_once(
    carried: tuple[Environment, str | None], make_environment: MakeEnvironment
) -> None:
    """A manual run of a past day makes the days after it stale."""
    environment, cursor = make_environment(first_day=dt.date(2024, 3, 1)).copy_of(carried[0]), carried[1]
    assert environment.tick(cursor, at="2024-03-06 01:00:00").requests == []
    assert environment.run("2024-03-02", tables=[STATE]).success
    tick = environment.tick(cursor, at="2024-03-06 01:00:00")
    assert tick.days_of(STATE) == tick.days_of(MEMBERS) == ["2024-03-03", "2024-03-04", "2024-03-05"]
    assert environment.tick(tick.cursor, at="2024-03-06 01:05:00").requests == []
    for request in tick.requests:
        environment.execute(request)
    assert environment.tick(tick.cursor, at="2024-03-06 02:00:00").requests == []


@pytest.mark.slow
def test_a_day_after_a_gap_is_requested_along_with_the_gap(
    carried: tuple[Environment, str | None], make_environment: MakeEnvironment
) -> None:
    environment, cursor = make_environment(first_day=dt.date(2024, 3, 1)).copy_of(carried[0]), carried[1]
    _profile(environment, "date=2024-03-08/a.csv", "2024-03-08 10:00:00", "new")
    tick = environment.tick(cursor, at="2024-03-09 01:00:00")
    assert tick.days_of(STATE) == ["2024-03-06", "2024-03-07", "2024-03-08"]
    # Stateful user tables read the sessions of each day of the gap, and these read that day's members.
    assert tick.days_of(SESSIONS) == tick.days_of(MEMBERS) == ["2024-03-06", "2024-03-07", "2024-03-08"]


# Tables by week and by month.


BY_WEEK, BY_MONTH = "we_mart.stats_wv_w_comm_engage_usr", "we_mart.stats_wv_m_comm_engage_usr"
VIEWS = "we_mart.wv_post_view"
# The environment has not been given these.
VISITS_BY_WEEK, SHOP = "we_mart.we_visit_weekly_base", "we_mart.ws_user_daily"


def _view(environment: Environment, day: str) -> None:
    row = {"key_date": day, "we_member_id": 1, "we_art_id": 1, "comm_id": 1, "post_id": "1-1", "view_cnt": 1}
    environment.land(VIEWS, f"date={day}/views.csv", [{**row, "ip_ctry": "KR"}])


def _shop_visit(environment: Environment, day: str) -> None:
    row = {"key_date": day, "we_member_id": 1, "we_art_id": 1, "ctry": "KR", "platform": "APP"}
    environment.land(SHOP, f"date={day}/visits.csv", [row])


def _daily_inputs(mart: str) -> set[str]:
    """Daily tables upstream of a weekly or monthly table, except those that the environment already has."""
    found = {given.table.full_name for given in catalog.marts()[mart].inputs.values()}
    return {name for of in found for name in upstream(of)} - GIVEN


def test_a_period_is_requested_once_it_is_over(environment: Environment) -> None:
    environment.give(*_daily_inputs(BY_MONTH))
    _view(environment, "2024-03-05")  # a Tuesday
    during = environment.tick(at="2024-03-06 01:00:00")
    assert during.days_of(BY_WEEK) == during.days_of(BY_MONTH) == []
    _view(environment, "2024-03-10")
    last_of_week = environment.tick(during.cursor, at="2024-03-10 23:59:59")
    assert last_of_week.days_of(BY_WEEK) == []
    week_over = environment.tick(last_of_week.cursor, at="2024-03-11 00:00:01")
    assert (week_over.days_of(BY_WEEK), week_over.days_of(BY_MONTH)) == (["2024-03-04"], [])
    _view(environment, "2024-03-31")
    month_over = environment.tick(week_over.cursor, at="2024-04-01 00:00:01")
    assert (month_over.days_of(BY_WEEK), month_over.days_of(BY_MONTH)) == (["2024-03-25"], ["2024-03-01"])


def test_a_period_waits_for_a_delivery_on_or_after_its_last_day(environment: Environment) -> None:
    environment.give(*_daily_inputs(BY_MONTH))
    _view(environment, "2024-03-05")
    over = environment.tick(at="2024-03-12 12:00:00")
    assert over.days_of(BY_WEEK) == []
    assert environment.tick(over.cursor, at="2024-03-13 12:00:00").requests == []
    _view(environment, "2024-03-11")
    assert environment.tick(over.cursor, at="2024-03-13 12:00:00").days_of(BY_WEEK) == ["2024-03-04"]


def test_weeks_and_months_are_separate_requests_after_the_daily_ones(environment: Environment) -> None:
    environment.give(*_daily_inputs(BY_MONTH))
    for day in ("2024-03-05", "2024-03-12", "2024-04-01"):
        _view(environment, day)
    tick = environment.tick(at="2024-04-02 01:00:00")
    tables = [request.tables for request in tick.requests]
    assert BY_WEEK in tables[-2]
    assert BY_MONTH in tables[-1]
    periods = [{catalog.tables()[name].period for name in of} for of in tables]
    assert periods[-2:] == [{Period.WEEK}, {Period.MONTH}]
    assert set().union(*periods[:-2]) == {Period.DAY}
    assert tick.days_of(BY_WEEK) == days_between("2024-03-04", "2024-03-11")[::7]


@pytest.mark.slow
def test_unpublished_days_that_a_period_reads_are_requested_before_it(environment: Environment) -> None:
    """Nothing landed for most days of the week, and files for its last day may still arrive."""
    _shop_visit(environment, "2024-03-05")
    on_the_day = environment.tick(at="2024-03-06 01:00:00")
    for request in on_the_day.requests:
        environment.execute(request)
    _shop_visit(environment, "2024-03-10")
    week_over = environment.tick(on_the_day.cursor, at="2024-03-11 00:00:01")
    assert [VISITS_BY_WEEK in request.tables for request in week_over.requests[-2:]] == [False, True]
    assert week_over.days_of(SHOP) == ["2024-03-04", *days_between("2024-03-06", "2024-03-10")]
    for request in week_over.requests:
        environment.execute(request)
    assert environment.tick(week_over.cursor, at="2024-03-11 00:01:00").requests == []


def test_waiting_tables_are_requested_once_earlier_runs_have_finished(tmp_path: Path) -> None:
    """The runs in progress may include days that the waiting tables lack."""
    with dg.DagsterInstance.ephemeral() as instance:
        environment = Environment(tmp_path, instance, OF_USERS).give(*GIVEN, *_daily_inputs(BY_WEEK))
        _view(environment, "2024-03-05")
        during = environment.tick(at="2024-03-06 01:00:00")
        _view(environment, "2024-03-11")
        run = instance.add_run(dg.DagsterRun("requested_by_day", status=dg.DagsterRunStatus.STARTED))
        busy = environment.tick(during.cursor, at="2024-03-11 00:00:01")
        assert busy.requests == []
        _view(environment, "2024-03-10")
        assert environment.tick(busy.cursor, at="2024-03-11 00:02:00").days_of(VIEWS) == ["2024-03-10"]
        instance.delete_run(run.run_id)
        assert environment.tick(busy.cursor, at="2024-03-11 00:02:00").days_of(BY_WEEK) == ["2024-03-04"]


# A damaged table, source or log.


def _damage(table_folder: Path) -> None:
    """Replaces the first entry of the Delta log with garbage."""
    (table_folder / "_delta_log" / f"{0:020}.json").write_text("{ no entry")


def test_a_mart_with_a_damaged_log_waits_with_a_warning_and_others_go_on(
    settled: tuple[Environment, str | None],
) -> None:
    environment, cursor = settled
    log = environment.lake / SESSIONS.replace(".", "/") / "_delta_log" / f"{0:020}.json"
    whole = log.read_bytes()
    _damage(environment.lake / SESSIONS.replace(".", "/"))
    environment.land_lines("late.csv", "2024-03-03 18:00:00")
    tick = environment.tick(cursor)
    assert (tick.days_of(LOG), tick.days_of(BASE), tick.days_of(SESSIONS)) == (["2024-03-03"], ["2024-03-03"], [])
    assert [SESSIONS in text for text in tick.warnings] == [True]
    log.write_bytes(whole)
    mended = environment.tick(tick.cursor)
    assert (mended.days_of(SESSIONS), mended.days_of(LOG), mended.warnings) == (["2024-03-03"], [], [])


def test_a_stateful_table_with_a_damaged_log_does_not_stop_the_tick(environment: Environment) -> None:
    _damage(environment.lake / STATE.replace(".", "/"))
    environment.land_lines("a.csv", "2024-03-02 12:00:00")
    tick = environment.tick()
    assert tick.days_of(LOG) == ["2024-03-02"]
    assert [STATE in text for text in tick.warnings] == [True]


def test_a_damaged_external_table_neither_stops_the_tick_nor_counts_as_changed(
    environment: Environment,
) -> None:
    environment.map(f"{LOG}:\n  table: theirs\n  day: day\n")
    _external_log(environment, _external_line(environment, "2024-03-02"))
    cursor = environment.tick().cursor
    log = environment.root / "theirs" / "_delta_log" / f"{0:020}.json"
    whole = log.read_bytes()
    _damage(environment.root / "theirs")
    _view(environment, "2024-03-03")
    tick = environment.tick(cursor)
    assert (tick.days_of(VIEWS), tick.days_of(BASE), len(tick.warnings)) == (["2024-03-03"], [], 1)
    log.write_bytes(whole)
    assert environment.tick(tick.cursor).requests == []


def test_a_source_whose_index_cannot_be_written_stops_only_its_own_days(
    settled: tuple[Environment, str | None],
) -> None:
    environment, cursor = settled
    index = environment.lake / LOG.replace(".", "/") / "_landing"
    index.rename(index.with_name("aside"))
    index.write_text("a file where the folder was")
    environment.land_lines("late.csv", "2024-03-03 18:00:00")
    _artists(environment, "2024-03-04")
    tick = environment.tick(cursor)
    assert (tick.days_of(LOG), tick.days_of(ARTISTS)[:1], len(tick.warnings)) == ([], ["2024-03-04"], 1)
    index.unlink()
    index.with_name("aside").rename(index)
    mended = environment.tick(tick.cursor)
    assert (mended.days_of(LOG), mended.days_of(ARTISTS), mended.warnings) == (["2024-03-03"], [], [])


# The last day.


def test_nothing_after_the_last_day_is_requested_or_waited_for(make_environment: MakeEnvironment) -> None:
    environment = make_environment(last_day=dt.date(2024, 3, 4))
    _artists(environment, "2024-03-03")
    environment.land_lines("a.csv", "2024-03-06 12:00:00")
    tick = environment.tick(at="2024-03-12 01:00:00")
    assert ("2024-03-03" in tick.days_of(ARTISTS), max(tick.days)) == (True, "2024-03-03")
    assert Cursor.load(tick.cursor).due == {}
