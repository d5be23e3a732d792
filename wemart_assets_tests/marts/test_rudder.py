"""RudderStack's sessions: rules by hand, and random tracks against a plain rebuild, in any sequence of runs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wemart_assets.lake.inject import parameters
from wemart_assets.lake.mart_asset import Mart
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
from wemart_assets.sources.contracts.rudder import tracks as contract
from wemart_assets_tests.marts.rudder_twin import Twin

Row = dict[str, Any]
Bench = Callable[..., list[Row]]
SEOUL = ZoneInfo("Asia/Seoul")
DAYS = ("2024-01-15", "2024-01-16", "2024-01-17", "2024-01-18")
SETTINGS = {"rudder_gap_seconds": 1800, "rudder_view_event": "view_product", "rudder_signup_event": "signup"}

# In the order in which a run makes them.
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
    """Partitions of the tables, made by the marts' functions in runs of days."""

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
        """The newest row of each key, as SQL shows it, without day and clock."""
        found: dict[Any, Row] = {}
        [key] = mart.table.grain
        for _, rows in sorted(self.partitions[mart.table.full_name].items()):
            for row in rows:
                found[row[key]] = {name: v for name, v in row.items() if name not in ("part_date", "run_timestamp")}
        return found

    def rows(self, mart: Mart, day: str, *columns: str) -> list[tuple[Any, ...]]:
        return sorted(tuple(row[c] for c in columns) for row in self.partitions[mart.table.full_name][day])

    def is_that_of(self, twin: Twin) -> None:
        for mart in EIGHT:
            assert self.newest(mart) == getattr(twin, mart.table.name)(), mart.table.name


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
    """Tracks of a few ids over four days: ties, logins, several devices of one user, one device of several users, an id
    that is both, tracks of nobody, ids that come again on the same day or a later one."""
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


# Each set of days that runs together is compiled once, which costs more than a run.
RUNS = ([1, 1, 1, 1], [4], [2, 2], [1, 3])


def check(bench: Bench, tracks: list[Row], runs: list[int], late: int) -> None:
    """What is there after these runs, of which the tracks of a day missed a part, and after those from this day on."""
    on_time = [t for n, t in enumerate(tracks) if t["part_date"] != DAYS[late] or n % 2]
    lake, first = Lake(bench, on_time), 0
    for length in runs:
        lake.run(*DAYS[first : first + length])
        first += length
        lake.is_that_of(Twin(on_time, DAYS[first - 1]))
    lake.land(tracks)
    for first, length in zip((sum(runs[:n]) for n in range(len(runs))), runs, strict=True):
        if first + length > late:
            lake.run(*DAYS[first : first + length])
    lake.is_that_of(Twin(tracks, DAYS[-1]))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tracks=many_tracks(), runs=st.sampled_from(RUNS), late=st.integers(0, 3))
def test_the_newest_rows_are_those_of_a_full_rebuild(
    bench: Bench, tracks: list[Row], runs: list[int], late: int
) -> None:
    check(bench, tracks, runs, late)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tracks=many_tracks(), runs=st.sampled_from(RUNS), late=st.integers(0, 3))
def test_the_newest_rows_are_those_of_a_full_rebuild_at_length(
    bench: Bench, tracks: list[Row], runs: list[int], late: int
) -> None:
    check(bench, tracks, runs, late)
