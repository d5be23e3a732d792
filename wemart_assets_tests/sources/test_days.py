"""The same rows give the same partitions, however they are delivered and in whatever order the days are run."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wemart_assets_tests.environments import millis
from wemart_assets_tests.examples import examples
from wemart_assets_tests.graph import upstream

if TYPE_CHECKING:
    from wemart_assets_tests.environments import Environment, MakeEnvironment

LOG = "service_log.weverse_server_log"
ARTISTS = "we_mart.we_artist"
BASE = "we_mart.wv_server_log_base"
SESSIONS = "we_mart.wv_sess_daily"
DAYS = ("2024-03-02", "2024-03-03", "2024-03-04")

# Local times in Seoul: both sides of each midnight, of UTC midnight (09:00 in Seoul), and of the first and last day.
INSTANTS = (
    "2024-03-01 23:59:59.999",
    "2024-03-02 00:00:00.000",
    "2024-03-02 08:59:59.999",
    "2024-03-02 09:00:00.000",
    "2024-03-02 23:59:59.999",
    "2024-03-03 00:00:00.000",
    "2024-03-03 00:10:00.000",
    "2024-03-03 00:10:00.000",
    "2024-03-04 12:00:00.000",
    "2024-03-04 23:59:59.999",
    "2024-03-05 00:00:00.000",
)
FOLDERS = ("", "date=2024-03-02/", "date=2024-03-03/", "date=2024-03-09/hour=07/", "export/")
ENDINGS = ("csv", "parquet", "jsonl.gz", "tsv")

# The file that contains each row.
Places = list[str]


@st.composite
def places(draw: st.DrawFn) -> Places:
    files = st.builds(lambda folder, ending: f"{folder}x.{ending}", st.sampled_from(FOLDERS), st.sampled_from(ENDINGS))
    chosen = draw(st.lists(files, min_size=1, max_size=4, unique=True))
    return draw(st.lists(st.sampled_from(chosen), min_size=len(INSTANTS), max_size=len(INSTANTS)))


few = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)


def _lines(environment: Environment) -> list[dict[str, Any]]:
    return [
        environment.line(
            local, user_info_device_id=f"d{number % 2}", user_info_id=number % 3, url=f"/community-{number}/join"
        )
        for number, local in enumerate(INSTANTS)
    ]


def _deliver(environment: Environment, where: Places) -> None:
    files: dict[str, list[dict[str, Any]]] = {}
    for row, name in zip(_lines(environment), where, strict=True):
        files.setdefault(name, []).append(row)
    for name, rows in files.items():
        environment.land(LOG, name, rows)


def _by_plain_calendar(environment: Environment) -> dict[str, list[dict[str, Any]]]:
    """The rows of each day, by Python's calendar."""
    found: dict[str, list[dict[str, Any]]] = {day: [] for day in DAYS}
    for row in _lines(environment):
        at = dt.datetime.fromtimestamp(row["unix_log_timestamp"] // 1000, tz=dt.UTC).astimezone(ZoneInfo("Asia/Seoul"))
        if at.date().isoformat() in found:
            found[at.date().isoformat()].append(row | {"date_id": at.date().isoformat()})
    return {day: sorted(rows, key=lambda row: repr(list(row.items()))) for day, rows in found.items()}


@settings(few, max_examples=examples(5, 10))
@given(where=places())
def test_any_split_into_files_folders_and_formats_gives_the_same_days(
    make_environment: MakeEnvironment, where: Places
) -> None:
    environment = make_environment()
    _deliver(environment, where)
    environment.publish(LOG, DAYS[0], DAYS[-1])
    assert {day: environment.read(LOG, day) for day in DAYS} == _by_plain_calendar(environment)


@settings(few, max_examples=examples(1, 10))
@given(where=places(), order=st.permutations(DAYS))
def test_any_order_of_days_gives_the_same_rows(
    make_environment: MakeEnvironment, where: Places, order: list[str]
) -> None:
    environment = make_environment()
    _deliver(environment, where)
    for day in order:
        environment.publish(LOG, day)
    assert {day: environment.read(LOG, day) for day in DAYS} == _by_plain_calendar(environment)


def test_running_a_day_twice_gives_the_same_rows(environment: Environment) -> None:
    _deliver(environment, ["a.csv"] * len(INSTANTS))
    for _ in range(2):
        environment.publish(LOG, DAYS[0], DAYS[-1])
    assert {day: environment.read(LOG, day) for day in DAYS} == _by_plain_calendar(environment)


def test_running_a_day_again_leaves_the_others_alone(environment: Environment) -> None:
    _deliver(environment, ["a.csv"] * len(INSTANTS))
    environment.publish(LOG, DAYS[0], DAYS[-1])
    environment.land(LOG, "late.csv", [environment.line(f"{day} 18:00:00", url="late") for day in DAYS])
    environment.publish(LOG, DAYS[1])
    expected = _by_plain_calendar(environment)
    assert {day: len(environment.read(LOG, day)) - len(expected[day]) for day in DAYS} == {
        DAYS[0]: 0,
        DAYS[1]: 1,
        DAYS[2]: 0,
    }


def test_a_file_of_a_utc_day_is_split_over_two_business_days_without_loss(environment: Environment) -> None:
    """The file of the UTC day 2024-03-02: 09:00 of that day to 08:59 of the next in Seoul."""
    lines = [environment.line(f"2024-03-02 {hour:02d}:30:00", url=str(hour)) for hour in range(9, 24)]
    lines += [environment.line(f"2024-03-03 {hour:02d}:30:00", url=str(24 + hour)) for hour in range(9)]
    environment.land(LOG, "date=2024-03-02/lines.csv", lines)
    environment.publish(LOG, "2024-03-02")
    environment.publish(LOG, "2024-03-03")
    assert {day: len(environment.read(LOG, day)) for day in DAYS[:2]} == {"2024-03-02": 15, "2024-03-03": 9}
    assert sorted(environment.column(LOG, "url"), key=int) == [str(hour) for hour in range(9, 33)]


def test_a_day_reads_only_the_files_that_contain_its_rows(environment: Environment) -> None:
    for day in DAYS:
        environment.land(LOG, f"{day}.csv", [environment.line(f"{day} 12:00:00")])
    environment.land(LOG, "all.csv", [environment.line(f"{day} 13:00:00") for day in DAYS])
    assert environment.publish(LOG, DAYS[1])["files read"] == 2


@pytest.mark.parametrize(
    ("timezone", "instant", "day"),
    [
        ("UTC", "2024-03-02T23:59:59.999+00:00", "2024-03-02"),
        # The clocks of New York go forward on 2024-03-10: that day ends at 04:00 UTC.
        ("America/New_York", "2024-03-11T03:59:59.999+00:00", "2024-03-10"),
        ("America/New_York", "2024-03-11T04:00:00.000+00:00", "2024-03-11"),
        ("Asia/Kathmandu", "2024-03-02T18:14:59.999+00:00", "2024-03-02"),
    ],
)
def test_the_business_day_follows_the_configured_timezone(
    make_environment: MakeEnvironment, timezone: str, instant: str, day: str
) -> None:
    environment = make_environment(timezone=timezone)
    at = (dt.datetime.fromisoformat(instant) - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(milliseconds=1)
    environment.land(LOG, "a.csv", [environment.line(unix_log_timestamp=at)])
    environment.publish(LOG, "2024-03-01", "2024-03-12")
    assert environment.column(LOG, "date_id") == [day]


def test_changing_the_timezone_indexes_known_files_again(environment: Environment) -> None:
    environment.land(LOG, "a.csv", [environment.line("2024-03-03 08:00:00")])
    environment.publish(LOG, "2024-03-03")
    environment.overrides["timezone"] = "UTC"
    environment.publish(LOG, "2024-03-02", "2024-03-03")
    assert environment.column(LOG, "date_id") == ["2024-03-02"]


@pytest.fixture(scope="module")
def carried(make_environment: MakeEnvironment) -> dict[str, Environment]:
    """Deliveries on the 2nd and the 5th, published as one range and day by day in reverse order."""
    environments = {"as one range": make_environment(), "last day first": make_environment()}
    for environment in environments.values():
        environment.land(ARTISTS, "date=2024-03-02/a.csv", [environment.artist(1, "first", 10)])
        environment.land(ARTISTS, "date=2024-03-05/a.csv", [environment.artist(1, "second", 10)])
        environment.land(ARTISTS, "date=2024-03-05/b.jsonl", [environment.artist(2, "second", 20)])
    environments["as one range"].publish(ARTISTS, "2024-03-01", "2024-03-06")
    for day in range(6, 0, -1):
        environments["last day first"].publish(ARTISTS, f"2024-03-{day:02d}")
    return environments


SHOWN = {
    "2024-03-01": [],
    "2024-03-02": ["first"],
    "2024-03-03": ["first"],
    "2024-03-04": ["first"],
    "2024-03-05": ["second", "second"],
    "2024-03-06": ["second", "second"],
}


@pytest.mark.parametrize("how", ["as one range", "last day first"])
@pytest.mark.parametrize("day", SHOWN)
def test_a_snapshot_is_shown_until_the_next_is_delivered(carried: dict[str, Environment], how: str, day: str) -> None:
    assert carried[how].column(ARTISTS, "we_art_name", day) == SHOWN[day]


@pytest.mark.parametrize("how", ["as one range", "last day first"])
def test_a_day_before_the_first_delivery_is_published_empty(carried: dict[str, Environment], how: str) -> None:
    assert carried[how].published(ARTISTS, "2024-03-01") == {"2024-03-01"}


def test_days_carried_forward_are_counted(environment: Environment) -> None:
    environment.land(ARTISTS, "date=2024-03-02/a.csv", [environment.artist(1)])
    environment.land(ARTISTS, "date=2024-03-05/a.csv", [environment.artist(1)])
    assert environment.publish(ARTISTS, "2024-03-01", "2024-03-06")["days carried forward"] == 3


def test_a_snapshot_before_the_first_partition_is_carried_into_it(environment: Environment) -> None:
    environment.land(ARTISTS, "date=2023-12-01/a.csv", [environment.artist(1)])
    environment.publish(ARTISTS, "2024-03-01")
    assert environment.column(ARTISTS, "we_art_id") == [1]


def test_a_snapshot_delivered_without_rows_is_empty(environment: Environment) -> None:
    environment.land(ARTISTS, "date=2024-03-02/a.csv", [environment.artist(1)])
    environment.land(ARTISTS, "date=2024-03-03/a.csv", "we_art_id,we_art_name,comm_id\n")
    environment.publish(ARTISTS, "2024-03-03", "2024-03-04")
    assert environment.read(ARTISTS) == []


def test_removing_a_snapshot_shows_the_previous_one_again(environment: Environment) -> None:
    environment.land(ARTISTS, "date=2024-03-02/a.csv", [environment.artist(1, "first")])
    removed = environment.land(ARTISTS, "date=2024-03-03/a.csv", [environment.artist(1, "removed")])
    environment.publish(ARTISTS, "2024-03-03")
    removed.unlink()
    environment.publish(ARTISTS, "2024-03-03")
    assert environment.column(ARTISTS, "we_art_name") == ["first"]


@pytest.mark.slow
def test_a_leave_missing_from_a_carried_snapshot_only_causes_a_warning(environment: Environment) -> None:
    """The account left on a day without a delivery: it is still a member on that day, and gone on the next."""
    account = {"wv_user_id": 7, "wv_status": "NORMAL"}
    joined = millis("2024-02-01 10:00:00")
    profile = {"community_id": 1, "user_id": 7, "first_join_at": joined, "last_join_at": joined, "updated_at": joined}
    about = dict.fromkeys(
        ("hidden", "profile_name", "profile_image_url", "profile_cover_image_url", "cumulative_report_count")
    )
    environment.land("we_mart.ods_wv_member_profile", "a.csv", [profile | about])
    environment.land("we_mart.we_user", "date=2024-03-01/a.csv", [environment.user(107, **account)])
    left = environment.user(107, **account, wv_leave_dt="2024-03-02 03:00:00")
    environment.land("we_mart.we_user", "date=2024-03-03/a.csv", [left])
    members, joins = "we_mart.wv_comm_user", "we_mart.stats_wv_d_comm_join"
    made = environment.run("2024-03-01", "2024-03-03", tables=sorted({joins, *upstream(joins)}))
    assert (made.failed, made.crashed) == ({}, {})
    assert environment.column(members, "part_date") == ["2024-03-01", "2024-03-02"]
    check = made.checks[joins]["left_unseen"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert made.checks[joins]["members_add_up"].passed


@pytest.mark.slow
def test_a_marts_days_are_the_same_in_any_order_and_from_any_files(make_environment: MakeEnvironment) -> None:
    """One file and one run, compared with one file per row and one run per day in reverse order."""
    environments = [make_environment(), make_environment()]
    _deliver(environments[0], ["a.csv"] * len(INSTANTS))
    _deliver(environments[1], [f"{FOLDERS[n % 5]}{n}.{ENDINGS[n % 4]}" for n in range(len(INSTANTS))])
    for environment in environments:
        environment.land(
            ARTISTS, "date=2024-03-02/a.csv", [environment.artist(n, f"artist {n}", n) for n in range(1, 6)]
        )
        environment.land(
            ARTISTS, "date=2024-03-04/a.csv", [environment.artist(n, f"another {n}", n) for n in range(1, 6)]
        )
        joined = 1_700_000_000_000
        profile = {"community_id": 7, "user_id": 1, "last_join_at": joined, "updated_at": joined}
        environment.land("we_mart.ods_wv_member_profile", "a.jsonl", json.dumps(profile))
        environment.land(
            "we_mart.we_user", "date=2024-03-01/a.csv", [environment.user(50 + n, wv_user_id=n) for n in (1, 2)]
        )
    graph = upstream(SESSIONS)
    # The days of stateful tables must be run in order.
    state = upstream("we_mart.wv_comm_user_base")
    for environment in environments:
        assert environment.run("2024-03-01", DAYS[-1], tables=sorted(state)).success
    assert environments[0].run(DAYS[0], DAYS[-1], tables=sorted(graph - state)).success
    for day in reversed(DAYS):
        assert environments[1].run(day, tables=sorted(graph - state)).success
    for table in (LOG, BASE, SESSIONS):
        assert environments[0].read(table) == environments[1].read(table)
    assert {day: len(environments[0].read(BASE, day)) for day in DAYS} == dict(zip(DAYS, (4, 3, 2), strict=True))
    # The only visited community is the one that user 1 joins with /community-7/join.
    assert [r["we_member_id"] for r in environments[0].read(SESSIONS, DAYS[1]) if r["comm_id"] == "7"] == [51]
