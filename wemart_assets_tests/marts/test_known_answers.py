"""Sessions match the expected results of two public projects' own sessionizers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from wemart_assets_tests.facts import known_sessions

Row = dict[str, Any]
Line = Callable[..., Row]
Base = Callable[..., list[Row]]

UTC = "UTC"


def milliseconds(text: str) -> int:
    return round(dt.datetime.fromisoformat(text).timestamp()) * 1000


def sessions_by_device(rows: list[Row]) -> dict[str, list[list[Row]]]:
    found: dict[str, list[list[Row]]] = {}
    for row in rows:
        sessions = found.setdefault(row["user_info_device_id"], [])
        if row["sess_seq"] > len(sessions):
            sessions.append([])
        sessions[row["sess_seq"] - 1].append(row)
    return found


def test_sessions_match_datafu(line: Line, base: Base) -> None:
    answer = known_sessions()["by_device"]
    lines = [
        line(milliseconds(f"{answer['day']}T{time}+00:00"), device=device, topic=str(value))
        for device, events in answer["events"].items()
        for time, value in events
    ]
    sessions = sessions_by_device(base(*lines, timezone=UTC, gap=answer["gap_seconds"]))
    highest = {device: [max(int(row["topic"]) for row in s) for s in of] for device, of in sessions.items()}
    assert highest == answer["highest_by_session"]


@pytest.mark.parametrize("pair", known_sessions()["pairs"]["cases"], ids=lambda of: f"{of['distance_ms']} ms")
def test_pairs_match_datafu(pair: Row, line: Line, base: Base) -> None:
    # WEMART_SESSION_GAP_SECONDS is whole seconds: a gap of 450 ms is tried as 450 s, its distance likewise.
    scale = 1 if pair["gap_ms"] % 1000 == 0 else 1000
    gap, distance = pair["gap_ms"] * scale // 1000, pair["distance_ms"] * scale
    start = milliseconds("2024-01-15T10:00:00+00:00")
    rows = base(line(start), line(start + distance), timezone=UTC, gap=gap)
    assert (rows[0]["sess_id"] == rows[1]["sess_id"]) == pair["one_session"]


def test_sessions_match_duckdb_behavioral(line: Line, base: Base) -> None:
    answer = known_sessions()["numbers"]
    lines = [line(f"2024-01-15T{time}:00+00:00") for time in answer["times"]]
    rows = base(*lines, timezone=UTC, gap=answer["gap_seconds"])
    assert [row["sess_seq"] for row in rows] == answer["sessions"]
