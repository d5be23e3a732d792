"""Sessions of two public projects' own test cases, which lie beside the repository."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Row = dict[str, Any]
Line = Callable[..., Row]
Base = Callable[..., list[Row]]

UTC = "UTC"


def read(vectors: Path, name: str) -> Any:
    file = vectors / "vectors" / name
    if not file.is_file():
        pytest.skip(f"{file} is not there: the vectors are kept beside the repository, not in it")
    return json.loads(file.read_text())


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


def test_sessions_of_datafu(shared: Path, line: Line, base: Base) -> None:
    vector = read(shared, "datafu_sessionize.json")
    assert vector["gap"] == "30m"
    events = vector["events_time_user_value"]
    lines = [line(milliseconds(at), device=str(user), topic=str(value)) for at, user, value in events]
    found = sessions_by_device(base(*lines, timezone=UTC))
    assert {user: len(sessions) for user, sessions in found.items()} == vector["expected_sessions_per_user"]
    highest = {user: [max(int(row["topic"]) for row in s) for s in sessions] for user, sessions in found.items()}
    assert highest == vector["expected_max_value_per_session"]


def test_pairs_of_datafu(shared: Path, line: Line, base: Base) -> None:
    pairs = read(shared, "datafu_sessionize.json")["pair_cases"]
    assert len(pairs) == 4
    found = []
    for pair in pairs:
        # WEMART_SESSION_GAP_SECONDS is whole seconds: a gap of 450 ms is tried as 450 s, its distance likewise.
        scale = 1 if pair["gap_ms"] % 1000 == 0 else 1000
        gap, distance = pair["gap_ms"] * scale // 1000, pair["delta_ms"] * scale
        start = milliseconds("2024-01-15T10:00:00+00:00")
        rows = base(line(start), line(start + distance), timezone=UTC, gap=gap)
        found.append(rows[0]["sess_id"] == rows[1]["sess_id"])
    assert found == [pair["same"] for pair in pairs]


def test_sessions_of_duckdb_behavioral(shared: Path, line: Line, base: Base) -> None:
    vector = read(shared, "duckdb_behavioral_sessionize.json")
    lines = [line(f"2024-01-15T{time}:00+00:00") for time in vector["times"]]
    rows = base(*lines, timezone=UTC, gap=vector["gap_min"] * 60)
    assert [row["sess_seq"] for row in rows] == vector["expected"]
