"""The first activation: each rule, and random histories in random orders of arrival against the reference."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wemart_assets.lake.days import days_between, shift
from wemart_assets.lake.inject import parameters
from wemart_assets.lake.mart import Mart
from wemart_assets.marts.activation.activation_funnel_daily import activation_funnel_daily
from wemart_assets.marts.activation.dim__users import dim__users
from wemart_assets.marts.activation.fact__events import fact__events
from wemart_assets.marts.activation.fact__first_activation_events import fact__first_activation_events
from wemart_assets.marts.activation.first_touch import first_touch
from wemart_assets.marts.rudder.repeated_tracks import repeated_tracks
from wemart_assets.setting_values.key_events import DEFAULT_KEY_EVENTS, KeyEvent
from wemart_assets_tests.examples import examples
from wemart_assets_tests.marts.activation_reference import VISIT, Reference, tracked

Row = dict[str, Any]
Bench = Callable[..., list[Row]]
SEOUL = "Asia/Seoul"
DAYS = ("2025-01-01", "2025-01-02", "2025-01-03", "2025-01-04")
FIRST, SECOND, THIRD, LAST = DAYS
CART, BUY = "add_to_cart", "purchase"
STEPS = {CART: 1, BUY: 3}
TOUCHES, EVENTS, USERS, FIRSTS, FUNNEL = (
    m.table.full_name
    for m in (first_touch, fact__events, dim__users, fact__first_activation_events, activation_funnel_daily)
)
SESSIONS, ATTRIBUTIONS, TRACKS = "we_mart.wv_sess_daily", "igaworks.attribution", "rudder.tracks"
ACCOUNTS, COUNTRIES, IDENTITIES = "we_mart.we_user", "we_meta.we_country", "core.identity_map"


def local(text: str, zone: str = SEOUL) -> dt.datetime:
    """UTC instant of a local time; an F at the end marks the second pass of a repeated hour."""
    at = dt.datetime.fromisoformat(text.removesuffix("F"))
    return at.replace(tzinfo=ZoneInfo(zone), fold=int(text.endswith("F"))).astimezone(dt.UTC)


def day_of(at: dt.datetime, zone: str = SEOUL) -> str:
    return at.astimezone(ZoneInfo(zone)).date().isoformat()


def session(user: int | None, at: str, **said: str | None) -> Row:
    start = local(at)
    return {
        "we_member_id": user,
        "user_sess_start_dt": start,
        "sess_id": f"{at}|{user}|{sorted(said.items())}",
        **dict.fromkeys(("sess_ctry", "os", "app_ver")),
        **said,
        "part_date": day_of(start),
    }


def event(user: int | str, name: str, at: str, zone: str = SEOUL) -> Row:
    then = local(at, zone)
    day = day_of(then, zone)
    return {
        "date": dt.date.fromisoformat(day),
        "datetime": then,
        "user_id": str(user),
        "event_name": name,
        "part_date": day,
    }


def touch(adid: str | None, campaign: str | None, at: str, **said: Any) -> Row:
    then = local(at)
    row = {"partner": "p", "tracker_id": None, "attribution_type": 0} | said
    return {"identity_adid": adid, "campaign": campaign, "server_datetime": then, **row, "part_date": day_of(then)}


def on(days: Iterable[str], **values: Any) -> list[Row]:
    """A snapshot row on each of the days."""
    return [{**values, "part_date": day} for day in days]


def adid(id: str, user: int, days: Iterable[str] = DAYS) -> list[Row]:
    return on(days, space="adid", foreign_id=id, we_member_id=user)


def country(code: str, name: str, days: Iterable[str] = DAYS) -> list[Row]:
    return on(days, ctry_code=code, ctry_name=name)


def steps_of(steps: dict[str, int]) -> Row:
    """The settings of a funnel of these key events, each within so many days."""
    events = tuple((name, KeyEvent(tracks=(name,))) for name in steps)
    return {"key_events": events, "key_event_days": tuple(steps.values())}


class Lake:
    """Partitions of tables by name and day, and runs of marts that read them through their declared inputs."""

    MARTS = (first_touch, dim__users, fact__first_activation_events, activation_funnel_daily)

    def __init__(self, bench: Bench, zone: str = SEOUL) -> None:
        self.bench = bench
        self.settings: Row = {"timezone": zone, **steps_of(STEPS)}
        self.partitions: dict[str, dict[str, list[Row]]] = {}

    def put(self, table: str, rows: Iterable[Row]) -> None:
        """Adds rows to a table that no mart here computes."""
        for row in rows:
            self.partitions.setdefault(table, {}).setdefault(row["part_date"], []).append(row)

    def refresh_funnel(self) -> None:
        """Runs what the sensor requests besides the changed days: the cohorts whose window contains them."""
        self.run(*DAYS, marts=[activation_funnel_daily])

    def run(self, *days: str, marts: Sequence[Mart] = MARTS) -> None:
        """One run over these days: each table replaces exactly these partitions."""
        for mart in marts:
            rows = self.made(mart, days)
            for day in days:
                self.partitions.setdefault(mart.table.full_name, {})[day] = []
            self.put(mart.table.full_name, rows)

    def made(self, mart: Mart, days: Sequence[str]) -> list[Row]:
        known = {**self.settings, "days": tuple(days)}
        inputs = {}
        for name, of in mart.resolve(self.settings).inputs.items():
            there = self.partitions.get(of.table.full_name, {})
            inputs[name] = [row for day in of.days(days, mart.table, DAYS[0]) for row in there.get(day, ())]
        used = {name: known[name] for name in parameters(mart.function) if name in known}
        return self.bench(mart, used, **inputs)

    def rows(self, table: str, *days: str) -> list[Row]:
        return [row for day in days or DAYS for row in self.partitions[table].get(day, ())]

    def users(self, day: str) -> set[tuple[Any, ...]]:
        names = ("user_id", "first_date", "first_datetime", "country", "device_os", "app_version")
        return self._set(USERS, (*names, "first_campaign", "first_medium", "first_source"), day)

    def touches(self) -> set[tuple[Any, ...]]:
        names = ("identity_adid", "server_datetime", "campaign", "partner", "attribution_type", "part_date")
        return self._set(TOUCHES, names, *DAYS)

    def firsts(self) -> set[tuple[Any, ...]]:
        names = ("datetime", "user_id", "event_name", "hours_from_first_visit", "days_from_first_visit")
        return self._set(FIRSTS, names, *DAYS)

    def funnel(self, day: str) -> set[tuple[Any, ...]]:
        return self._set(FUNNEL, ("country", "step", "event_name", "first_visits", "users", "users_in_order"), day)

    def _set(self, table: str, names: Sequence[str], *days: str) -> set[tuple[Any, ...]]:
        found = [tuple(row[name] for name in names) for row in self.rows(table, *days)]
        assert len(set(found)) == len(found)
        return set(found)


@pytest.fixture
def lake(bench: Bench) -> Lake:
    return Lake(bench)


# --- fact__events -----------------------------------------------------------------------------------------------------


def line(user: str | None, **said: Any) -> Row:
    return {"date_id": FIRST, "log_dt": local(f"{FIRST}T10:00:00.007"), "user_id_fill": user, **said}


def events_told(
    bench: Bench, *lines: Row, tracks: Sequence[Row] = (), events: dict[str, KeyEvent] | None = None
) -> list[tuple[str, str]]:
    """User and name of each event. The account of log user n is n + 100, that of track user t-n is n + 200."""
    users = [{"we_member_id": n + 100, "wv_user_id": n, "part_date": FIRST} for n in range(1, 4)]
    users += [{"we_member_id": 999, "wv_user_id": None, "part_date": FIRST}]
    users += [{"we_member_id": 104, "wv_user_id": 4, "part_date": SECOND}]
    identities = [{"space": "rudder", "foreign_id": f"t-{n}", "we_member_id": n + 200} for n in range(1, 4)]
    identities += [{"space": "adid", "foreign_id": "t-4", "we_member_id": 204}]
    rows = bench(
        fact__events,
        {"key_events": tuple((events or DEFAULT_KEY_EVENTS).items())},
        lines=lines,
        tracks=tracks,
        users=users,
        identities=[row | {"part_date": FIRST} for row in identities],
    )
    assert {(str(row["date"]), row["part_date"]) for row in rows} <= {(FIRST, FIRST)}
    return sorted((row["user_id"], row["event_name"]) for row in rows)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"is_join": 1}, ["key_event_1"]),
        ({"is_leave": 1}, []),
        ({"topic": "weverse.post", "method": "GET", "post_id": "1-2"}, ["key_event_2"]),
        ({"topic": "weverse.post", "method": "POST", "post_id": "1-2"}, []),
        ({"topic": "weverse.post", "method": "GET"}, []),
        ({"topic": "weverse.community", "method": "GET", "post_id": "1-2"}, []),
        ({"media_type": "LIVE"}, ["key_event_2"]),
        ({"media_type": "VOD"}, []),
        ({"is_join": 1, "media_type": "LIVE"}, ["key_event_1", "key_event_2"]),
    ],
)
def test_joins_and_views_of_posts_and_lives_are_key_events(bench: Bench, said: Row, expected: list[str]) -> None:
    assert events_told(bench, line("1", **said)) == [("101", name) for name in expected]


def test_a_line_that_meets_two_conditions_of_an_event_counts_once(bench: Bench) -> None:
    said = {"topic": "weverse.post", "method": "GET", "post_id": "1-2", "media_type": "LIVE"}
    assert events_told(bench, line("1", **said)) == [("101", "key_event_2")]


def test_equal_lines_are_all_kept(bench: Bench) -> None:
    assert events_told(bench, line("1", is_join=1), line("1", is_join=1)) == [("101", "key_event_1")] * 2


@pytest.mark.parametrize("user", [None, "4", "9"])
def test_an_event_of_a_user_unknown_that_day_is_left_out(bench: Bench, user: str | None) -> None:
    assert events_told(bench, line(user, is_join=1), line("2", is_join=1)) == [("102", "key_event_1")]


def test_tracks_are_events_of_the_account_of_their_user(bench: Bench) -> None:
    rule = {"bought": KeyEvent(tracks=("buy", "pay"), log=DEFAULT_KEY_EVENTS["key_event_1"].log)}
    rows = [("a", "t-1", "buy"), ("b", "t-2", "pay"), ("c", "t-3", "look"), ("d", "t-4", "buy"), ("e", None, "buy")]
    tracks = [
        {"id": id, "user_id": user, "event": name, "timestamp": local(f"{FIRST}T12:00"), "part_date": FIRST}
        for id, user, name in rows
    ]
    found = events_told(bench, line("3", is_join=1), tracks=tracks, events=rule)
    assert found == [("103", "bought"), ("201", "bought"), ("202", "bought")]


def test_the_instant_of_an_event_keeps_its_microseconds(bench: Bench) -> None:
    at = local(f"{FIRST}T23:59:59.999999")
    [row] = bench(
        fact__events,
        {"key_events": ((BUY, KeyEvent(tracks=(BUY,))),)},
        tracks=[{"id": "a", "user_id": "t", "event": BUY, "timestamp": at, "part_date": FIRST}],
        identities=[{"space": "rudder", "foreign_id": "t", "we_member_id": 1, "part_date": FIRST}],
    )
    assert (row["datetime"], str(row["date"])) == (at, FIRST)


# --- duplicate tracks -------------------------------------------------------------------------------------------------

FROM_TRACKS = (repeated_tracks, fact__events)


def track(id: str, name: str, at: str, user: str | None = "t-1", received: str | None = None) -> Row:
    then = local(at)
    of = {"id": id, "anonymous_id": None, "user_id": user, "event": name, "timestamp": then}
    return {**of, "part_date": day_of(then), "received_at": local(received) if received else then}


def tracked_user(days: Iterable[str] = DAYS) -> list[Row]:
    return on(days, space="rudder", foreign_id="t-1", we_member_id=1)


def events_of(lake: Lake) -> list[tuple[str, str, dt.datetime]]:
    return sorted((row["user_id"], row["event_name"], row["datetime"]) for row in lake.rows(EVENTS))


@pytest.mark.parametrize("runs", [[DAYS], [[day] for day in DAYS]], ids=["a range", "day by day"])
def test_copies_of_a_track_are_one_event(lake: Lake, runs: Sequence[Sequence[str]]) -> None:
    lake.put(IDENTITIES, tracked_user())
    received = [track("x", BUY, f"{FIRST}T{at}", received=f"{LAST}T{at}") for at in ("13:00", "12:00", "14:00")]
    lake.put(TRACKS, [*received, track("x", BUY, f"{THIRD}T12:00", received=f"{FIRST}T00:00")])
    # Another track at the same instant is another event.
    lake.put(TRACKS, [track("y", BUY, f"{FIRST}T12:00")])
    for run in runs:
        lake.run(*run, marts=FROM_TRACKS)
    assert events_of(lake) == [("1", BUY, local(f"{FIRST}T12:00"))] * 2


def test_only_the_copy_that_counts_decides_the_user_of_a_track(lake: Lake) -> None:
    lake.put(IDENTITIES, tracked_user())
    lake.put(TRACKS, [track("x", BUY, f"{FIRST}T12:00", user=None), track("x", BUY, f"{SECOND}T12:00")])
    lake.run(*DAYS, marts=FROM_TRACKS)
    assert events_of(lake) == []


def test_a_later_copy_of_a_track_does_not_complete_a_step_in_order(lake: Lake) -> None:
    lake.put(IDENTITIES, tracked_user())
    lake.put(TRACKS, [track("x", BUY, f"{FIRST}T13:00"), track("y", CART, f"{FIRST}T14:00")])
    lake.put(TRACKS, [track("x", BUY, f"{SECOND}T09:00")])
    lake.run(*DAYS, marts=(*FROM_TRACKS, *Lake.MARTS))
    assert [row[-2:] for row in sorted(lake.funnel(FIRST))] == [(1, 1), (1, 1), (1, 0)]


@settings(deadline=None, max_examples=15)
@given(
    tracks=st.lists(
        st.builds(
            track,
            st.sampled_from("xyz"),
            st.sampled_from([CART, BUY, "other"]),
            st.sampled_from(DAYS).map("{}T12:00".format),
            st.sampled_from(["t-1", "t-2", "", None]),
            st.sampled_from([None, *(f"{day}T12:00" for day in DAYS)]),
        ),
        max_size=8,
    )
)
def test_duplicate_tracks_give_the_same_events_as_a_rebuild(bench: Bench, tracks: list[Row]) -> None:
    lake = Lake(bench)
    lake.put(IDENTITIES, tracked_user([FIRST, SECOND, LAST]))
    lake.put(TRACKS, tracks)
    for days in ([FIRST], [SECOND], [THIRD, LAST]):
        lake.run(*days, marts=FROM_TRACKS)
    expected = tracked(tracks, lake.rows(IDENTITIES), {CART: [CART], BUY: [BUY]})
    assert events_of(lake) == sorted((row["user_id"], row["event_name"], row["datetime"]) for row in expected)


# --- dim__users -------------------------------------------------------------------------------------------------------


def first_visits(lake: Lake, *days: str) -> dict[str, Any]:
    return {row["user_id"]: row["first_datetime"] for row in lake.rows(USERS, *days)}


def test_the_first_visit_starts_with_the_users_part_of_the_first_session(lake: Lake) -> None:
    lake.put(SESSIONS, [session(1, f"{FIRST}T12:00"), session(1, f"{FIRST}T09:00"), session(None, f"{FIRST}T08:00")])
    lake.run(FIRST)
    assert first_visits(lake, FIRST) == {"1": local(f"{FIRST}T09:00")}


def test_without_a_session_the_first_event_is_the_first_visit(lake: Lake) -> None:
    lake.put(EVENTS, [event(1, BUY, f"{FIRST}T12:00"), event(1, CART, f"{FIRST}T09:00")])
    lake.run(FIRST)
    assert first_visits(lake, FIRST) == {"1": local(f"{FIRST}T09:00")}


def test_a_session_counts_before_an_event_of_its_day(lake: Lake) -> None:
    lake.put(EVENTS, [event(1, BUY, f"{FIRST}T09:00")])
    lake.put(SESSIONS, [session(1, f"{FIRST}T12:00")])
    lake.run(FIRST)
    assert first_visits(lake, FIRST) == {"1": local(f"{FIRST}T12:00")}


@pytest.mark.parametrize("runs", [[DAYS], [[day] for day in DAYS]], ids=["a range", "day by day"])
def test_a_session_on_a_later_day_does_not_change_the_first_visit(lake: Lake, runs: Sequence[Sequence[str]]) -> None:
    lake.put(EVENTS, [event(1, BUY, f"{FIRST}T09:00")])
    lake.put(SESSIONS, [session(1, f"{SECOND}T08:00")])
    for run in runs:
        lake.run(*run)
    assert {day: first_visits(lake, day) for day in DAYS} == {day: {"1": local(f"{FIRST}T09:00")} for day in DAYS}


@pytest.mark.parametrize("runs", [[DAYS], [[day] for day in DAYS]], ids=["a range", "day by day"])
def test_the_last_known_value_counts(lake: Lake, runs: Sequence[Sequence[str]]) -> None:
    lake.put(COUNTRIES, country("KR", "South Korea") + country("US", "United States"))
    lake.put(
        SESSIONS,
        [
            session(1, f"{FIRST}T09:00", sess_ctry="KR", os="IOS", app_ver="1.0.0"),
            session(1, f"{SECOND}T09:00", os="ANDROID"),
            session(1, f"{SECOND}T10:00", sess_ctry="US"),
        ],
    )
    for run in runs:
        lake.run(*run)
    said = [(r["country"], r["device_os"], r["app_version"]) for r in lake.rows(USERS)]
    assert said == [("South Korea", "IOS", "1.0.0"), *[("United States", "ANDROID", "1.0.0")] * 3]


def test_the_country_is_named_as_of_the_day_and_defaults_to_the_account(lake: Lake) -> None:
    lake.put(COUNTRIES, country("TR", "Turkey", [FIRST]) + country("TR", "Türkiye", [SECOND]))
    lake.put(SESSIONS, [session(1, f"{FIRST}T09:00", sess_ctry="TR"), session(2, f"{FIRST}T09:00")])
    lake.put(ACCOUNTS, on(DAYS, we_member_id=2, ctry_code="TR") + on(DAYS, we_member_id=1, ctry_code="KR"))
    lake.run(FIRST, SECOND, THIRD)
    named = {day: [r["country"] for r in lake.rows(USERS, day)] for day in (FIRST, SECOND, THIRD)}
    assert named == {FIRST: ["Turkey"] * 2, SECOND: ["Türkiye"] * 2, THIRD: [None] * 2}


def campaigns(lake: Lake) -> list[tuple[Any, ...]]:
    return [(r["first_campaign"], r["first_medium"], r["first_source"]) for r in lake.rows(USERS)]


@pytest.mark.parametrize("runs", [[DAYS], [[day] for day in DAYS]], ids=["a range", "day by day"])
def test_the_campaign_is_the_first_touch_of_the_users_known_devices(lake: Lake, runs: Sequence[Sequence[str]]) -> None:
    lake.put(SESSIONS, [session(1, f"{FIRST}T09:00")])
    lake.put(
        ATTRIBUTIONS,
        [
            touch("mine", None, f"{FIRST}T00:00"),
            touch("mine", "", f"{FIRST}T00:00"),
            touch("mine", "late", f"{SECOND}T10:00"),
            touch("mine", "first", f"{SECOND}T09:00", attribution_type=1),
            touch("other", "earlier", f"{FIRST}T09:00", partner=None),
            touch(None, "of nobody", f"{FIRST}T01:00"),
        ],
    )
    lake.put(IDENTITIES, adid("mine", 1) + adid("other", 1, [LAST]) + adid("nobody's", 2))
    lake.put(IDENTITIES, on(DAYS, space="rudder", foreign_id="other", we_member_id=1))
    for run in runs:
        lake.run(*run)
    later = ("first", "other", "p")
    assert campaigns(lake) == [(None, None, None), later, later, ("earlier", "install", None)]


@pytest.mark.parametrize("runs", [[DAYS], [[day] for day in DAYS]], ids=["a range", "day by day"])
def test_an_id_keeps_its_first_touch(lake: Lake, runs: Sequence[Sequence[str]]) -> None:
    lake.put(ATTRIBUTIONS, [touch("a", "x", f"{day}T{hour}:00") for day in DAYS for hour in ("12", "10")])
    lake.put(ATTRIBUTIONS, [touch("a", "w", f"{SECOND}T10:00"), touch("b", "z", f"{LAST}T10:00")])
    for run in runs:
        lake.run(*run)
    first, last = local(f"{FIRST}T10:00"), local(f"{LAST}T10:00")
    assert lake.touches() == {("a", first, "x", "p", 0, FIRST), ("b", last, "z", "p", 0, LAST)}


# --- fact__first_activation_events ------------------------------------------------------------------------------------

EXAMPLE = [
    ("2025-01-01 01:00:00", VISIT),
    ("2025-01-01 01:01:00", CART),
    ("2025-01-02 01:00:00", CART),
    ("2025-01-02 01:01:00", BUY),
]
EXPECTED = [
    ("2025-01-01 01:00:00", VISIT, 1, 1),
    ("2025-01-01 01:01:00", CART, 1, 1),
    ("2025-01-02 01:01:00", BUY, 25, 2),
]


@pytest.mark.parametrize("runs", [[DAYS], [[day] for day in DAYS]], ids=["a range", "day by day"])
def test_the_documented_example_gives_the_documented_rows(lake: Lake, runs: Sequence[Sequence[str]]) -> None:
    lake.put(EVENTS, [event("Jinseok", name, at) for at, name in EXAMPLE])
    for run in runs:
        lake.run(*run)
    assert lake.firsts() == {(local(at), "Jinseok", name, hours, days) for at, name, hours, days in EXPECTED}
    visit = local(EXAMPLE[0][0])
    visits = {(str(r["first_visit_date"]), r["first_visit_datetime"], str(r["date"])) for r in lake.rows(FIRSTS)}
    assert visits == {(FIRST, visit, FIRST), (FIRST, visit, SECOND)}


def test_events_before_the_first_visit_are_not_first_activations(lake: Lake) -> None:
    times = ("11:59:59.999999", "12:00:00", "13:00:00")
    lake.put(EVENTS, [event(1, CART, f"{FIRST}T{time}") for time in times])
    lake.put(SESSIONS, [session(1, f"{FIRST}T12:00")])
    lake.put(SESSIONS, [session(2, f"{FIRST}T12:00")])
    lake.put(EVENTS, [event(2, CART, f"{FIRST}T{times[0]}")])
    lake.run(FIRST)
    visit = local(f"{FIRST}T12:00")
    assert lake.firsts() == {(visit, "1", VISIT, 1, 1), (visit, "1", CART, 1, 1), (visit, "2", VISIT, 1, 1)}


def test_events_that_are_not_configured_are_not_first_activations(lake: Lake) -> None:
    lake.put(EVENTS, [event(1, "search", f"{FIRST}T12:00")])
    lake.run(FIRST)
    assert {name for _, _, name, _, _ in lake.firsts()} == {VISIT}


@pytest.mark.parametrize(
    ("zone", "visit", "then", "hours", "days"),
    [
        (SEOUL, "2025-01-01T01:59:59.999999", "2025-01-01T02:00:00", 2, 1),
        (SEOUL, "2025-01-01T02:00:00", "2025-01-01T02:59:59.999999", 1, 1),
        (SEOUL, "2025-01-01T23:59:59.999999", "2025-01-02T00:00:00", 2, 2),
        (SEOUL, "2025-01-01T00:00:00", "2025-01-01T23:59:59.999999", 24, 1),
        (SEOUL, "2025-01-01T23:00:00", "2025-01-04T00:00:00", 50, 4),
        # Half an hour off the UTC hour.
        ("Asia/Kolkata", "2025-01-01T01:10:00", "2025-01-01T01:50:00", 1, 1),
        ("Asia/Kolkata", "2025-01-01T01:50:00", "2025-01-01T02:10:00", 2, 1),
        # Clocks are set forward by an hour, and back by an hour.
        ("Europe/Berlin", "2025-03-29T12:00:00", "2025-03-30T12:00:00", 25, 2),
        ("Europe/Berlin", "2025-10-26T02:50:00", "2025-10-26T02:10:00F", 1, 1),
        ("Europe/Berlin", "2025-10-25T12:00:00", "2025-10-26T12:00:00", 25, 2),
        # By half an hour, and by two hours.
        ("Australia/Lord_Howe", "2025-04-06T01:10:00", "2025-04-06T01:40:00F", 1, 1),
        ("Australia/Lord_Howe", "2025-10-05T01:50:00", "2025-10-05T02:40:00", 2, 1),
        ("Antarctica/Troll", "2025-10-26T02:50:00", "2025-10-26T01:10:00F", 1, 1),
    ],
)
def test_hours_and_days_are_counted_on_the_local_clock(
    bench: Bench, zone: str, visit: str, then: str, hours: int, days: int
) -> None:
    lake = Lake(bench, zone=zone)
    acts = [event(1, VISIT, visit, zone), event(1, CART, then, zone)]
    users = [{"user_id": "1", "first_date": row["date"], "first_datetime": acts[0]["datetime"]} for row in acts[:1]]
    rows = bench(
        fact__first_activation_events,
        {"timezone": zone, "key_events": lake.settings["key_events"]},
        users=[user | {"part_date": day} for user in users for day in {row["part_date"] for row in acts}],
        events=acts,
    )
    [found] = [row for row in rows if row["event_name"] == CART]
    assert (found["hours_from_first_visit"], found["days_from_first_visit"]) == (hours, days)
    reference = Reference(timezone=zone)
    instants = acts[0]["datetime"], acts[1]["datetime"]
    assert (reference.hours(*instants), reference.days(*instants)) == (hours, days)


# --- activation_funnel_daily ------------------------------------------------------------------------------------------


def funnel_of(lake: Lake, *acts: tuple[str, str], day: str = FIRST) -> list[tuple[int, int]]:
    """Users per step, in any order and in order, of a user whose first visit is at noon and who then does `acts`."""
    lake.put(SESSIONS, [session(1, f"{day}T12:00")])
    lake.put(EVENTS, [event(1, name, at) for name, at in acts])
    lake.run(*DAYS)
    return [row[-2:] for row in sorted(lake.funnel(day), key=lambda row: row[1])]


def test_an_inactive_cohort_has_a_row_for_every_step(lake: Lake) -> None:
    assert funnel_of(lake) == [(1, 1), (0, 0), (0, 0)]


def test_a_step_counts_until_the_end_of_its_last_day(lake: Lake) -> None:
    acts = ((CART, f"{FIRST}T23:59:59.999999"), (BUY, f"{THIRD}T23:59:59.999999"))
    assert funnel_of(lake, *acts) == [(1, 1), (1, 1), (1, 1)]


def test_a_step_does_not_count_after_its_last_day(lake: Lake) -> None:
    assert funnel_of(lake, (CART, f"{SECOND}T00:00"), (BUY, f"{LAST}T00:00")) == [(1, 1), (0, 0), (0, 0)]


def test_equal_instants_are_in_order(lake: Lake) -> None:
    assert funnel_of(lake, (BUY, f"{FIRST}T12:00"), (CART, f"{FIRST}T12:00")) == [(1, 1), (1, 1), (1, 1)]


def test_a_step_taken_too_early_is_not_in_order_until_it_is_taken_again(lake: Lake) -> None:
    acts = ((BUY, f"{FIRST}T13:00"), (CART, f"{FIRST}T14:00"))
    assert funnel_of(lake, *acts) == [(1, 1), (1, 1), (1, 0)]
    lake.put(EVENTS, [event(1, BUY, f"{THIRD}T09:00")])
    lake.run(THIRD, LAST)
    assert [row[-2:] for row in sorted(lake.funnel(FIRST))] == [(1, 1), (1, 1), (1, 0)]
    lake.refresh_funnel()
    assert {row[-2:] for row in lake.funnel(FIRST) if row[1] == 2} == {(1, 1)}


def test_the_country_of_a_cohort_is_that_of_its_first_day(lake: Lake) -> None:
    lake.put(COUNTRIES, country("KR", "South Korea") + country("US", "United States"))
    lake.put(
        SESSIONS,
        [
            session(1, f"{FIRST}T09:00", sess_ctry="KR"),
            session(1, f"{SECOND}T09:00", sess_ctry="US"),
            session(2, f"{FIRST}T09:00"),
        ],
    )
    lake.run(*DAYS)
    assert {(row[0], row[3]) for row in lake.funnel(FIRST)} == {("South Korea", 1), (None, 1)}


def test_changing_key_events_and_windows_takes_settings_and_a_backfill(lake: Lake) -> None:
    events = [event(1, VISIT, f"{FIRST}T12:00"), event(1, "search", f"{SECOND}T12:00"), event(1, BUY, f"{LAST}T12:00")]
    lake.put(EVENTS, events)
    lake.run(*DAYS)
    assert {row[1:] for row in lake.funnel(FIRST)} == {(0, VISIT, 1, 1, 1), (1, CART, 1, 0, 0), (2, BUY, 1, 0, 0)}
    others = {"search": 2, CART: 2, BUY: 4}
    lake.settings |= steps_of(others)
    lake.run(*DAYS)
    assert {name for _, _, name, _, _ in lake.firsts()} == {VISIT, "search", BUY}
    reference = Reference(events=events, key_events=others)
    assert (
        lake.funnel(FIRST) == reference.funnel(FIRST, LAST) >= {(None, 1, "search", 1, 1, 1), (None, 3, BUY, 1, 1, 0)}
    )


# --- the chart of the funnel ------------------------------------------------------------------------------------------


def conversion(*cohorts: tuple[str, dict[str, int]]) -> ElementTree.Element:
    """The funnel's chart of cohorts of ten users, each given by its day and the users per key event."""
    [picture] = activation_funnel_daily.table.charts
    return ElementTree.fromstring(
        picture.draw(
            [
                {"part_date": day, "step": n, "event_name": name, "within_days": n or 1, "first_visits": 10}
                | {"users": users, "users_in_order": users}
                for day, came in cohorts
                for n, (name, users) in enumerate({VISIT: 10, **came}.items())
            ]
        )
    )


def lines_of(svg: ElementTree.Element) -> list[tuple[str, int, bool]]:
    """Colour, points and whether dashed, for each unbroken piece of the chart's lines."""
    return [
        (line.attrib["stroke"], piece.count("L") + 1, line.attrib["stroke-dasharray"] != "1,0")
        for line in svg.iter("{http://www.w3.org/2000/svg}path")
        if line.get("aria-roledescription") == "line mark"
        for piece in line.attrib["d"].split("M")[1:]
    ]


def names_of(svg: ElementTree.Element) -> list[str]:
    return [str(text.text) for text in svg.iter("{http://www.w3.org/2000/svg}text") if " within " in str(text.text)]


def many_days(count: int) -> list[str]:
    return days_between(FIRST, shift(FIRST, count - 1))


@pytest.mark.parametrize("before", [{CART: 5, BUY: 3, "later": 1}, {CART: 5}], ids=["more events", "fewer events"])
def test_the_chart_shows_the_latest_ninety_days(before: dict[str, int]) -> None:
    days = many_days(100)
    svg = conversion(*((day, before) for day in days[:10]), *((day, {CART: 5, BUY: 3}) for day in days[10:]))
    assert names_of(svg) == [f"{e} within {n} d{o}" for n, e in ((1, CART), (2, BUY)) for o in ("", ", in order")]
    assert [(points, dashed) for _, points, dashed in lines_of(svg)] == [(90, False), (90, True)] * 2


def test_a_day_without_a_step_is_not_drawn_as_zero() -> None:
    both, one = {CART: 5, BUY: 3}, {CART: 5}
    svg = conversion(*zip(many_days(5), (both, both, one, both, both), strict=True))
    assert [points for _, points, _ in lines_of(svg)] == [5, 5, 2, 2, 2, 2]


def test_events_of_other_settings_are_separate_lines() -> None:
    svg = conversion(*zip(many_days(5), [{CART: 5}] * 3 + [{BUY: 3}] * 2, strict=True))
    assert names_of(svg) == [f"{e} within 1 d{o}" for e in (CART, BUY) for o in ("", ", in order")]
    drawn = lines_of(svg)
    assert [points for _, points, _ in drawn] == [3, 3, 2, 2]
    assert len({colour for colour, _, _ in drawn}) == 2


# --- random histories, in random orders of arrival --------------------------------------------------------------------

PEOPLE = st.sampled_from([1, 2, 3])
# Midnight in Seoul is 15:00 UTC. Some instants are equal, so that ties occur.
CLOCKS = st.sampled_from(["00:00:00", "09:00:00", "09:30:00", "10:00:00", "23:59:59.999999"])
WHEN = st.builds("{}T{}".format, st.sampled_from(DAYS), CLOCKS)
HAPPENINGS = st.one_of(
    st.builds(
        lambda user, at, ctry, os, ver: (SESSIONS, session(user, at, sess_ctry=ctry, os=os, app_ver=ver)),
        PEOPLE | st.none(),
        WHEN,
        st.sampled_from(["KR", "US", "ZZ", None]),
        st.sampled_from(["IOS", "ANDROID", None]),
        st.sampled_from(["1.0.0", "1.10.0", None]),
    ),
    st.builds(
        lambda user, name, at: (EVENTS, event(user, name, at)), PEOPLE, st.sampled_from([CART, BUY, "other"]), WHEN
    ),
    st.builds(
        lambda id, campaign, at, type, partner: (
            ATTRIBUTIONS,
            touch(id, campaign, at, attribution_type=type, partner=partner),
        ),
        st.sampled_from(["a", "b", None]),
        st.sampled_from(["x", "y", None]),
        WHEN,
        st.sampled_from([0, 1]),
        st.sampled_from(["p", "q", None]),
    ),
)
DELIVERIES = st.lists(st.lists(HAPPENINGS, max_size=8), min_size=1, max_size=3)
KNOWN = {
    IDENTITIES: adid("a", 1) + adid("b", 1, [THIRD, LAST]) + adid("b", 2, [FIRST]),
    COUNTRIES: country("KR", "South Korea") + country("US", "United States", [SECOND, LAST]),
    ACCOUNTS: on(DAYS, we_member_id=2, ctry_code="KR") + on([LAST], we_member_id=3, ctry_code="US"),
}
CUTS = st.lists(st.integers(1, len(DAYS) - 1), max_size=2)


def compare_with_reference(bench: Bench, deliveries: list[list[tuple[str, Row]]], cuts: list[int]) -> None:
    """After each delivery, runs the days from its first day onwards, split into ranges at random."""
    lake = Lake(bench)
    for table, rows in KNOWN.items():
        lake.put(table, rows)
    lake.run(*DAYS)
    for delivery in deliveries:
        for table, row in delivery:
            lake.put(table, [row])
        first = min((DAYS.index(row["part_date"]) for _, row in delivery), default=len(DAYS))
        edges = sorted({first, *(cut for cut in cuts if cut > first), len(DAYS)})
        for start, end in itertools.pairwise(edges):
            lake.run(*DAYS[start:end])
        lake.refresh_funnel()
    reference = Reference(
        *(lake.rows(name) if name in lake.partitions else [] for name in (SESSIONS, EVENTS, ATTRIBUTIONS)),
        KNOWN[IDENTITIES],
        KNOWN[ACCOUNTS],
        KNOWN[COUNTRIES],
        STEPS,
    )
    for day in DAYS:
        assert lake.users(day) == reference.users(day), day
        assert lake.funnel(day) == reference.funnel(day, LAST), day
    assert lake.firsts() == reference.firsts(LAST)
    assert lake.touches() == reference.touches(LAST)


QUIET = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@settings(QUIET, max_examples=examples(10, 100))
@given(deliveries=DELIVERIES, cuts=CUTS)
def test_any_order_of_arrival_gives_the_tables_of_a_rebuild(
    bench: Bench, deliveries: list[list[tuple[str, Row]]], cuts: list[int]
) -> None:
    compare_with_reference(bench, deliveries, cuts)
