"""The simulated visitors: the truth is what a plain rebuild finds in the files, and odd tracks occur."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
import pytest

from wemart_assets.simulator.tracks import TRACKS, TracksConfig, simulate_tracks
from wemart_assets_tests.marts.rudder_reference import Reference

CONFIG = TracksConfig(days=4, tracks=1_500, visitors=90)
LAST = "2024-01-04"
SEOUL = ZoneInfo("Asia/Seoul")
Row = dict[str, Any]


@dataclass(frozen=True)
class Simulated:
    rows: list[Row]
    sessions: list[Row]
    truth: dict[str, Any]


def made(config: TracksConfig, folder: Path) -> Simulated:
    files = simulate_tracks(config, folder / "landing", folder / "truth")
    assert files == sorted((folder / "landing" / TRACKS).glob("date=*/*.parquet"))
    rows = [row for path in files for row in pq.ParquetFile(path).read().to_pylist()]
    sessions = pq.read_table(folder / "truth" / "rudder_sessions.parquet").to_pylist()
    return Simulated(rows, sessions, json.loads((folder / "truth" / "rudder.json").read_text()))


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    return made(CONFIG, tmp_path_factory.mktemp("tracks"))


def landed(rows: list[Row]) -> list[Row]:
    """The first received row of each id and day, with its day."""
    first: dict[tuple[str, str], Row] = {}
    for row in sorted(rows, key=lambda row: row["received_at"]):
        day = row["timestamp"].astimezone(SEOUL).date().isoformat()
        first.setdefault((row["id"], day), {**row, "part_date": day})
    return list(first.values())


def millis(instant: dt.datetime) -> int:
    return (instant - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(milliseconds=1)


def test_the_truth_matches_the_files(simulated: Simulated) -> None:
    reference = Reference(landed(simulated.rows), LAST)
    sessions, facts = reference.dbt_session_tracks(), reference.dbt_session_track_facts()
    found = [
        {
            "visitor": row["dbt_visitor_id"],
            "number": row["session_sequence_number"],
            "start_ms": millis(row["session_start_at"]),
            "end_ms": millis(facts[session]["ended_at"]),
            "tracks": facts[session]["num_pvs"],
        }
        for session, row in sessions.items()
    ]
    in_order = sorted(found, key=lambda row: (row["visitor"], row["number"]))
    assert in_order == sorted(simulated.sessions, key=lambda row: (row["visitor"], row["number"]))
    by_day = Counter(track["part_date"] for track in reference.tracks)
    assert {day: said["tracks"] for day, said in simulated.truth["days"].items()} == by_day


def test_visits_are_as_varied_as_real_ones(simulated: Simulated) -> None:
    reference = Reference(landed(simulated.rows), LAST)
    browsers: dict[str, set[str]] = {}
    users: dict[str, set[str]] = {}
    for track in reference.tracks:
        if track["user"]:
            browsers.setdefault(track["user"], set()).add(track["anonymous"])
            users.setdefault(track["anonymous"], set()).add(track["user"])
    assert max(map(len, browsers.values())) > 1, "a user has two browsers"
    assert max(map(len, users.values())) > 1, "a browser has two users"
    assert any(
        len({track["part_date"] for track in tracks}) > 1 for of in reference.sessions.values() for tracks in of
    ), "a session goes over midnight"
    assert any(len({t["user"] for t in tracks}) > 1 for of in reference.sessions.values() for tracks in of), "a login"
    instants = Counter(
        (track["browser"] if "browser" in track else track["anonymous"], track["timestamp"])
        for track in reference.tracks
    )
    assert max(instants.values()) > 1, "two tracks of one instant"


def test_odd_tracks_are_counted(simulated: Simulated) -> None:
    rows, truth = simulated.rows, simulated.truth
    equal = Counter(tuple(sorted((k, str(v)) for k, v in row.items())) for row in rows)
    assert truth["copied"] == sum(n - 1 for n in equal.values()) > 0
    days: dict[str, set[str]] = {}
    for row in landed(rows):
        days.setdefault(row["id"], set()).add(row["part_date"])
    assert truth["repeated"] == sum(len(of) - 1 for of in days.values()) > 0
    assert truth["received_again"] == len(equal) - len(landed(rows)) > 0
    assert truth["of_nobody"] == sum(row["anonymous_id"] is None and row["user_id"] is None for row in rows) > 0
    assert truth["ahead"] == sum(row["timestamp"] > row["received_at"] + dt.timedelta(days=1) for row in rows) > 0


def test_the_same_seed_gives_the_same_tracks(simulated: Simulated, tmp_path: Path) -> None:
    assert made(CONFIG, tmp_path / "same") == simulated
    assert made(replace(CONFIG, seed=8), tmp_path / "other").rows != simulated.rows


def test_a_folder_with_files_is_refused(tmp_path: Path) -> None:
    simulate_tracks(replace(CONFIG, tracks=10, visitors=2), tmp_path / "landing", tmp_path / "truth")
    with pytest.raises(FileExistsError, match="already contains files"):
        simulate_tracks(CONFIG, tmp_path / "landing", tmp_path / "truth")


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"days": 0}, {"visitors": 0}, {"tracks": 0}], ids=str)
def test_impossible_sizes_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TracksConfig(**wrong)  # type: ignore[arg-type]
