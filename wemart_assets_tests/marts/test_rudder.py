"""RudderStack's sessions: each rule, and random tracks against a full rebuild, in any sequence of runs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wemart_assets.lake.inject import parameters
from wemart_assets.lake.mart import Mart
from wemart_assets.marts.rudder.dbt_aliases_mapping import dbt_aliases_mapping
from wemart_assets.marts.rudder.dbt_mapped_tracks import dbt_mapped_tracks
from wemart_assets.marts.rudder.dbt_session_duration import dbt_session_duration
from wemart_assets.marts.rudder.dbt_session_track_facts import dbt_session_track_facts
from wemart_assets.marts.rudder.dbt_session_tracks import dbt_session_tracks
from wemart_assets.marts.rudder.dbt_track_facts import dbt_track_facts
from wemart_assets.marts.rudder.dbt_tracks_flow import dbt_tracks_flow
from wemart_assets.marts.rudder.dbt_user_session_facts import dbt_user_session_facts
from wemart_assets.marts.rudder.repeated_tracks import repeated_tracks
from wemart_assets.marts.rudder.visitor_state import visitor_state
from wemart_assets.settings import SettingsError, load_settings
from wemart_assets.sources.contracts.rudder import tracks as contract
from wemart_assets_tests.examples import examples
from wemart_assets_tests.marts.rudder_reference import Reference

Row = dict[str, Any]
Bench = Callable[..., list[Row]]
SEOUL = ZoneInfo("Asia/Seoul")
DAYS = ("2024-01-15", "2024-01-16", "2024-01-17", "2024-01-18")
SETTINGS = {"rudder_gap_seconds": 1800, "rudder_view_event": "view_product", "rudder_signup_event": "signup"}

# In the order in which a run computes them.
MARTS = (
    repeated_tracks,
    dbt_aliases_mapping,
    visitor_state,
    dbt_mapped_tracks,
    dbt_track_facts,
    dbt_session_tracks,
    dbt_session_track_facts,
    dbt_user_session_facts,
    dbt_session_duration,
    dbt_tracks_flow,
)
EIGHT = tuple(mart for mart in MARTS if mart.table.name.startswith("dbt_"))


def track(id: str, at: str, anonymous: str | None = "a", user: str | None = None, event: str | None = "page") -> Row:
    """A track at a local time in Seoul, such as `15 10:00:00` (of January 2024)."""
    local = dt.datetime.fromisoformat(f"2024-01-{at.replace(' ', 'T')}").replace(tzinfo=SEOUL)
    return at_instant(id, local.astimezone(dt.UTC), anonymous, user, event)


def at_instant(id: str, at: dt.datetime, anonymous: str | None, user: str | None, event: str | None) -> Row:
    return {
        "id": id,
        "anonymous_id": anonymous,
        "user_id": user,
        "event": event,
        "timestamp": at,
        "received_at": at,
        "part_date": at.astimezone(SEOUL).date().isoformat(),
    }


class Lake:
    """Partitions of the tables, computed by the mart functions in runs over days."""

    def __init__(self, bench: Bench, tracks: Sequence[Row], **others: Any) -> None:
        self.bench = bench
        self.settings = {**SETTINGS, **others}
        self.partitions: dict[str, dict[str, list[Row]]] = {mart.table.full_name: {} for mart in MARTS}
        self.land(tracks)

    def land(self, tracks: Sequence[Row]) -> None:
        self.partitions[contract.full_name] = {d: [t for t in tracks if t["part_date"] == d] for d in DAYS}

    def run(self, *days: str) -> None:
        """One run over the days."""
        for mart in MARTS:
            inputs = {name: self._read(mart, name, days) for name in mart.inputs}
            asked = {name: value for name, value in self.settings.items() if name in parameters(mart.function)}
            if "days" in parameters(mart.function):
                asked["days"] = days
            rows = self.bench(mart, asked, **inputs)
            assert {row["part_date"] for row in rows} <= set(days)
            for day in days:
                of_day = [row for row in rows if row["part_date"] == day]
                keys = [tuple(row[c] for c in mart.table.grain) for row in of_day]
                assert len(keys) == len(set(keys)), f"{mart.table.name} of {day} repeats a key"
                self.partitions[mart.table.full_name][day] = of_day

    def _read(self, mart: Mart, name: str, days: Sequence[str]) -> list[Row]:
        given = mart.inputs[name]
        there = self.partitions[given.table.full_name]
        return [row for day in given.days(days, mart.table, DAYS[0]) for row in there[day]]

    def newest(self, mart: Mart) -> dict[Any, Row]:
        """The newest row of each key, as SQL shows it, without day and run timestamp."""
        found: dict[Any, Row] = {}
        [key] = mart.table.grain
        for _, rows in sorted(self.partitions[mart.table.full_name].items()):
            for row in rows:
                found[row[key]] = {name: v for name, v in row.items() if name not in ("part_date", "run_timestamp")}
        return found

    def rows(self, mart: Mart, day: str, *columns: str) -> list[tuple[Any, ...]]:
        return sorted(tuple(row[c] for c in columns) for row in self.partitions[mart.table.full_name][day])

    def is_that_of(self, reference: Reference) -> None:
        for mart in EIGHT:
            assert self.newest(mart) == getattr(reference, mart.table.name)(), mart.table.name


def in_one_run(bench: Bench, *tracks: Row, **others: Any) -> Lake:
    lake = Lake(bench, tracks, **others)
    lake.run(*DAYS)
    return lake


# --- any tracks, in any sequence of runs ------------------------------------------------------------------------------

GAP = dt.timedelta(seconds=1800)
SILENCES = (
    dt.timedelta(0),
    dt.timedelta(microseconds=1),
    dt.timedelta(seconds=60),
    GAP - dt.timedelta(microseconds=1),
    GAP,
    GAP + dt.timedelta(microseconds=1),
    dt.timedelta(minutes=31),
    dt.timedelta(hours=5),
    dt.timedelta(hours=20),
)


@st.composite
def many_tracks(draw: st.DrawFn) -> list[Row]:
    """Tracks with few ids over four days: ties, logins, several devices of a user, several users of a device, an id
    that is both, tracks without any id, and track ids repeated on the same or a later day."""
    at = dt.datetime(2024, 1, 14, 15, tzinfo=dt.UTC) + draw(st.sampled_from([0, 12, 23, 24])) * dt.timedelta(hours=1)
    numbers = draw(st.permutations(range(24)))
    found: list[Row] = []
    for number in numbers[: draw(st.integers(1, 24))]:
        at += draw(st.sampled_from(SILENCES))
        anonymous = draw(st.sampled_from([None, "", "a", "b", "u"]))
        user = draw(st.sampled_from([None, None, "", "u", "v"]))
        event = draw(st.sampled_from([None, "view_product", "signup", "page"]))
        again = draw(st.sampled_from([None] * 9 + [row["id"] for row in found[:1]]))
        row = at_instant(again or f"e{number:02}", at, anonymous, user, event)
        row["received_at"] = draw(st.sampled_from([at, dt.datetime(2024, 1, 19, tzinfo=dt.UTC), None]))
        if row["part_date"] in DAYS:
            found.append(row)
    return found


# Each set of days that run together is compiled once, which costs more than the run.
RUNS = ([1, 1, 1, 1], [4], [2, 2], [1, 3])


def check(bench: Bench, tracks: list[Row], runs: list[int], late: int) -> None:
    """Compares after these runs, in which some tracks of a day were missing, and after running from that day again."""
    on_time = [t for n, t in enumerate(tracks) if t["part_date"] != DAYS[late] or n % 2]
    lake, first = Lake(bench, on_time), 0
    for length in runs:
        lake.run(*DAYS[first : first + length])
        first += length
        lake.is_that_of(Reference(on_time, DAYS[first - 1]))
    lake.land(tracks)
    for first, length in zip((sum(runs[:n]) for n in range(len(runs))), runs, strict=True):
        if first + length > late:
            lake.run(*DAYS[first : first + length])
    lake.is_that_of(Reference(tracks, DAYS[-1]))


@settings(max_examples=examples(4, 30), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tracks=many_tracks(), runs=st.sampled_from(RUNS), late=st.integers(0, 3))
def test_the_newest_rows_match_a_full_rebuild(bench: Bench, tracks: list[Row], runs: list[int], late: int) -> None:
    check(bench, tracks, runs, late)


# --- identity known from the first track: the original's full refresh -------------------------------------------------


@st.composite
def tracks_of_the_known(draw: st.DrawFn) -> list[Row]:
    """Tracks of browsers whose first track identifies the user, or that are never identified: logins and logouts,
    several browsers of a user, tracks of a user without a browser, ties, and duplicate tracks."""
    users = {browser: draw(st.sampled_from(["u", "u", "v", None])) for browser in "abc"}
    at = dt.datetime(2024, 1, 14, 15, tzinfo=dt.UTC) + draw(st.sampled_from([0, 23])) * dt.timedelta(hours=1)
    found: list[Row] = []
    seen: set[str] = set()
    for number in draw(st.permutations(range(24)))[: draw(st.integers(1, 24))]:
        at += draw(st.sampled_from(SILENCES))
        browser = draw(st.sampled_from(["a", "b", "c", None]))
        user = draw(st.sampled_from(["u", "v"])) if browser is None else users[browser]
        if browser in seen and draw(st.booleans()):
            user = draw(st.sampled_from([None, ""]))
        event = draw(st.sampled_from([None, "view_product", "signup", "page"]))
        found.append(at_instant(f"e{number:02}", at, browser, user, event))
        seen |= {browser} if browser else set()
        if draw(st.integers(0, 5)) == 0:
            again = at + draw(st.sampled_from(SILENCES))
            found.append(at_instant(f"e{number:02}", again, browser, user, event))
    return [row for row in found if row["part_date"] in DAYS]


def check_against_refresh(bench: Bench, tracks: list[Row], runs: list[int]) -> None:
    lake, first = Lake(bench, tracks), 0
    for length in runs:
        lake.run(*DAYS[first : first + length])
        first += length
        lake.is_that_of(Reference(tracks, DAYS[first - 1], refreshed=True))


@settings(max_examples=examples(4, 60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tracks=tracks_of_the_known(), runs=st.sampled_from(RUNS))
def test_with_identity_known_from_the_start_rows_match_a_full_refresh(
    bench: Bench, tracks: list[Row], runs: list[int]
) -> None:
    check_against_refresh(bench, tracks, runs)


# --- sessions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("later", "sessions"),
    [("10:30:00", ["1 - a", "1 - a"]), ("10:30:00.000001", ["1 - a", "2 - a"]), ("10:30:59", ["1 - a", "2 - a"])],
)
def test_a_gap_of_exactly_thirty_minutes_stays_in_the_session(bench: Bench, later: str, sessions: list[str]) -> None:
    lake = in_one_run(bench, track("e1", "15 10:00:00"), track("e2", f"15 {later}"))
    assert lake.rows(dbt_track_facts, DAYS[0], "event_id", "session_id") == list(
        zip(("e1", "e2"), sessions, strict=True)
    )


def test_the_gap_can_be_configured(bench: Bench) -> None:
    tracks = track("e1", "15 10:00:00"), track("e2", "15 10:01:00"), track("e3", "15 10:02:00.000001")
    lake = in_one_run(bench, *tracks, rudder_gap_seconds=60)
    assert lake.rows(dbt_session_track_facts, DAYS[0], "session_id", "num_pvs") == [("1 - a", 2), ("2 - a", 1)]


def test_a_gap_of_more_than_twelve_hours_is_refused() -> None:
    """A session continues from the previous day at most, and a day completes tracks of a few days before."""
    assert load_settings(rudder_gap_seconds=43_200).for_tables()["rudder_gap_seconds"] == 43_200
    with pytest.raises(SettingsError, match="WEMART_RUDDER_GAP_SECONDS=43201"):
        load_settings(rudder_gap_seconds=43_201)


def test_the_counted_events_can_be_configured(bench: Bench) -> None:
    events = ("view_product", "view", "view", "signup", "join", None)
    tracks = [track(f"e{n}", "15 10:00:00", event=event) for n, event in enumerate(events)]
    counts = ("num_pvs", "cnt_viewed_product", "cnt_signup")
    lake = in_one_run(bench, *tracks)
    assert lake.rows(dbt_session_track_facts, DAYS[0], *counts) == [(6, 1, 1)]
    lake = in_one_run(bench, *tracks, rudder_view_event="view", rudder_signup_event="join")
    assert lake.rows(dbt_session_track_facts, DAYS[0], *counts) == [(6, 2, 1)]


def test_idle_minutes_are_truncated_and_may_span_days(bench: Bench) -> None:
    instants = ("15 10:00:00", "15 10:00:59.999999", "15 10:01:59.999999", "18 10:01:59.999998")
    lake = in_one_run(bench, *(track(f"e{n}", at) for n, at in enumerate(instants)))
    idle = [row["idle_time_minutes"] for _, row in sorted(lake.newest(dbt_mapped_tracks).items())]
    assert idle == [None, 0, 1, 3 * 24 * 60 - 1]


@pytest.mark.parametrize("runs", [[DAYS[:1], DAYS[1:2]], [DAYS[:2]]], ids=["by day", "in one run"])
def test_a_session_continues_across_midnight(bench: Bench, runs: list[tuple[str, ...]]) -> None:
    lake = Lake(bench, [track("e1", "15 23:40:00"), track("e2", "15 23:59:59"), track("e3", "16 00:10:00")])
    for run in runs:
        lake.run(*run)
    assert lake.rows(dbt_track_facts, DAYS[1], "session_id", "track_sequence_number") == [("1 - a", 3)]
    # A day contains the rows that changed on it, as of that day.
    pieces = [lake.rows(dbt_session_track_facts, day, "session_id", "num_pvs") for day in DAYS[:2]]
    assert pieces == [[("1 - a", 2)], [("1 - a", 3)]]
    assert [lake.rows(dbt_session_duration, day, "session_duration") for day in DAYS[:2]] == [[(19,)], [(30,)]]
    assert lake.rows(dbt_session_tracks, DAYS[1], "session_id") == []


@pytest.mark.parametrize("runs", [[(day,) for day in DAYS[:3]], [DAYS[:3]]], ids=["by day", "in one run"])
def test_a_session_gets_its_next_start_on_the_day_of_the_next_session(
    bench: Bench, runs: list[tuple[str, ...]]
) -> None:
    first, second = track("e1", "15 10:00:00"), track("e2", "17 10:00:00")
    lake = Lake(bench, [first, second])
    for run in runs:
        lake.run(*run)
    columns = ("session_id", "session_sequence_number", "next_session_start_at")
    assert lake.rows(dbt_session_tracks, DAYS[0], *columns) == [("1 - a", 1, None)]
    assert lake.rows(dbt_session_tracks, DAYS[1], *columns) == []
    assert lake.rows(dbt_session_tracks, DAYS[2], *columns) == [
        ("1 - a", 1, second["timestamp"]),
        ("2 - a", 2, None),
    ]


@pytest.mark.parametrize("runs", [[DAYS[:1], DAYS[1:2]], [DAYS[:2]]], ids=["by day", "in one run"])
def test_a_day_completes_the_flow_of_up_to_four_earlier_tracks(bench: Bench, runs: list[tuple[str, ...]]) -> None:
    before = [track(f"e{n}", f"15 23:5{n}:00", event=f"event {n}") for n in range(6)]
    lake = Lake(bench, [*before, track("f0", "16 00:00:00", event="last")])
    for run in runs:
        lake.run(*run)
    columns = ("event_id", "event_2", "event_3", "event_4", "event_5")
    assert lake.rows(dbt_tracks_flow, DAYS[0], *columns)[-2:] == [
        ("e4", "event 5", None, None, None),
        ("e5", None, None, None, None),
    ]
    assert lake.rows(dbt_tracks_flow, DAYS[1], *columns) == [
        ("e2", "event 3", "event 4", "event 5", "last"),
        ("e3", "event 4", "event 5", "last", None),
        ("e4", "event 5", "last", None, None),
        ("e5", "last", None, None, None),
        ("f0", None, None, None, None),
    ]


def test_tracks_at_the_same_instant_are_ordered_by_id(bench: Bench) -> None:
    tracks = [track(id, "15 10:00:00", event=id) for id in ("c", "a", "B", "b")]
    lake = in_one_run(bench, *tracks)
    columns = ("track_sequence_number", "event_id", "event_2")
    assert lake.rows(dbt_tracks_flow, DAYS[0], *columns) == [
        (1, "B", "a"),
        (2, "a", "b"),
        (3, "b", "c"),
        (4, "c", None),
    ]


@pytest.mark.parametrize("runs", [[(day,) for day in DAYS], [DAYS]], ids=["by day", "in one run"])
def test_a_session_may_last_for_days(bench: Bench, runs: list[tuple[str, ...]]) -> None:
    start = dt.datetime(2024, 1, 14, 15, tzinfo=dt.UTC)
    tracks = [at_instant(f"e{n:03}", start + n * dt.timedelta(minutes=25), "a", None, "page") for n in range(180)]
    lake = Lake(bench, tracks)
    for run in runs:
        lake.run(*run)
    lake.is_that_of(Reference(tracks, DAYS[-1]))
    assert lake.newest(dbt_session_duration)["1 - a"]["session_duration"] == 179 * 25
    assert lake.newest(dbt_session_track_facts)["1 - a"]["num_pvs"] == 180


def test_the_four_earlier_tracks_may_be_days_old(bench: Bench) -> None:
    """With the longest allowed gap, a day completes tracks of two days before."""
    start = dt.datetime(2024, 1, 14, 15, tzinfo=dt.UTC)
    tracks = [at_instant(f"e{n}", start + n * dt.timedelta(hours=12), "a", None, f"event {n}") for n in range(7)]
    lake = Lake(bench, tracks, rudder_gap_seconds=43_200)
    for day in DAYS:
        lake.run(day)
    lake.is_that_of(Reference(tracks, DAYS[-1], gap=43_200))


# --- who a visitor is -------------------------------------------------------------------------------------------------


def visitors(lake: Lake) -> dict[str, str]:
    return {id: row["dbt_visitor_id"] for id, row in lake.newest(dbt_mapped_tracks).items()}


def test_a_track_is_mapped_as_of_its_own_day(bench: Bench) -> None:
    """The example of docs/rudder.md."""
    tracks = [
        track("e1", "15 10:00:00", "b"),
        track("e2", "16 09:00:00", "b"),
        track("e3", "16 10:00:00", "b", "u"),
        track("e4", "17 10:00:00", "b"),
    ]
    lake = in_one_run(bench, *tracks)
    original = Reference(tracks, DAYS[2], refreshed=True).dbt_track_facts()
    assert [original[id]["session_id"] for id in ("e1", "e2", "e3", "e4")] == ["1 - u", "2 - u", "3 - u", "4 - u"]
    assert visitors(lake) == {"e1": "b", "e2": "u", "e3": "u", "e4": "u"}
    sessions = {id: row["session_id"] for id, row in lake.newest(dbt_track_facts).items()}
    assert sessions == {"e1": "1 - b", "e2": "1 - u", "e3": "2 - u", "e4": "3 - u"}
    mapping = [lake.rows(dbt_aliases_mapping, day, "alias", "dbt_visitor_id") for day in DAYS[:3]]
    assert mapping == [[("b", "b")], [("b", "u"), ("u", "u")], [("b", "u"), ("u", "u")]]


def test_a_visitor_under_another_id_starts_at_session_one(bench: Bench) -> None:
    lake = in_one_run(bench, track("e1", "15 23:59:00"), track("e2", "16 00:01:00", user="u"))
    assert lake.newest(dbt_mapped_tracks)["e2"]["idle_time_minutes"] is None
    assert lake.newest(dbt_track_facts)["e2"]["session_id"] == "1 - u"
    assert lake.newest(dbt_user_session_facts).keys() == {"a", "u"}


def test_several_browsers_of_a_user_are_one_visitor(bench: Bench) -> None:
    lake = in_one_run(
        bench,
        track("e1", "15 10:00:00", "phone", "u"),
        track("e2", "15 10:10:00", "laptop", "u"),
        track("e3", "16 00:05:00", "phone"),
        track("e4", "16 00:10:00", "laptop"),
        track("e5", "16 00:15:00", None, "u"),
    )
    assert set(visitors(lake).values()) == {"u"}
    facts = lake.rows(dbt_session_track_facts, DAYS[1], "session_id", "num_pvs")
    assert facts == [("2 - u", 3)]


def test_a_browser_belongs_to_its_latest_user(bench: Bench) -> None:
    lake = in_one_run(
        bench,
        track("e1", "15 10:00:00", user="u"),
        track("e2", "15 11:00:00", user="v"),
        track("e3", "15 12:00:00"),
        track("e4", "16 12:00:00"),
        track("e5", "17 12:00:00", user="u"),
        track("e6", "17 13:00:00"),
    )
    assert visitors(lake) == {"e1": "u", "e2": "v", "e3": "v", "e4": "v", "e5": "u", "e6": "u"}


def test_of_logins_at_the_same_instant_the_greatest_id_is_the_latest(bench: Bench) -> None:
    lake = in_one_run(
        bench, *(track(id, "15 10:00:00", user=f"u{id}") for id in ("e2", "e9", "e1")), track("f", "16 01:00:00")
    )
    assert visitors(lake)["f"] == "ue9"


# --- odd tracks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_track_without_any_id_is_left_out(bench: Bench, nothing: str | None) -> None:
    lake = in_one_run(bench, track("e1", "15 10:00:00"), track("e2", "15 10:00:00", nothing, nothing))
    assert [len(lake.newest(mart)) for mart in EIGHT] == [1] * 8


def test_an_empty_user_id_is_no_user(bench: Bench) -> None:
    lake = in_one_run(bench, track("e1", "15 10:00:00", "a", ""))
    assert visitors(lake) == {"e1": "a"}


def test_a_repeated_track_id_counts_on_its_first_day(bench: Bench) -> None:
    first, again = track("e1", "15 10:00:00"), track("e1", "17 10:00:00", "b")
    lake = in_one_run(bench, first, again, track("e2", "17 10:00:00", "b"))
    columns = ("event_id", "first_part_date", "left_out")
    assert lake.rows(repeated_tracks, DAYS[2], *columns) == [("e1", DAYS[0], 1)]
    assert lake.rows(repeated_tracks, DAYS[0], *columns) == []
    assert visitors(lake) == {"e1": "a", "e2": "b"}
    assert lake.newest(dbt_session_track_facts)["1 - b"]["num_pvs"] == 1


@pytest.mark.parametrize("runs", [[(day,) for day in DAYS], [DAYS]], ids=["by day", "in one run"])
def test_the_earliest_day_counts_even_if_a_later_copy_was_received_first(
    bench: Bench, runs: list[tuple[str, ...]]
) -> None:
    """The rows of a day depend only on that day and earlier ones."""
    first, again = track("e1", "15 10:00:00"), track("e1", "17 10:00:00", "b")
    first["received_at"] = again["received_at"] + dt.timedelta(days=1)
    lake = Lake(bench, [first, again])
    for run in runs:
        lake.run(*run)
    assert visitors(lake) == {"e1": "a"}


def test_of_two_copies_on_a_day_the_one_received_first_counts(bench: Bench) -> None:
    """Landing removes such rows from files, but a warehouse table may contain them."""
    late = track("e1", "15 10:00:00", "b")
    late["received_at"] += dt.timedelta(seconds=1)
    lake = in_one_run(bench, late, track("e1", "15 10:00:00", "a"), {**late, "anonymous_id": "c", "received_at": None})
    assert visitors(lake) == {"e1": "a"}
    assert lake.rows(repeated_tracks, DAYS[0], "event_id", "first_part_date", "left_out") == [("e1", DAYS[0], 2)]


def test_a_track_dated_in_the_future_belongs_to_its_own_day(bench: Bench) -> None:
    ahead = track("e2", "17 10:00:00")
    ahead["received_at"] -= dt.timedelta(days=2)
    lake = in_one_run(bench, track("e1", "15 10:00:00"), ahead)
    assert [row["part_date"] for day in DAYS for row in lake.partitions["rudder.dbt_track_facts"][day]] == [
        DAYS[0],
        DAYS[2],
    ]


def test_days_without_tracks_keep_only_the_aliases(bench: Bench) -> None:
    lake = Lake(bench, [track("e1", "15 10:00:00", user="u")])
    for day in DAYS:
        lake.run(day)
    assert lake.rows(dbt_aliases_mapping, DAYS[3], "alias", "dbt_visitor_id") == [("a", "u"), ("u", "u")]
    assert {mart.table.name for mart in EIGHT if lake.partitions[mart.table.full_name][DAYS[3]]} == {
        "dbt_aliases_mapping"
    }
