"""Tracks of RudderStack: repeated ids, and times that have not come yet."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from wemart_assets_tests.sources.conftest import House

TRACKS = "rudder.tracks"
DAY, NEXT = "2024-03-02", "2024-03-03"


def track(received: str | None, event: str = "view", id: str = "e1", at: str = f"{DAY} 03:00:00") -> dict[str, Any]:
    return {
        "id": id,
        "anonymous_id": "a",
        "user_id": None,
        "event": event,
        "timestamp": at,
        "received_at": received,
    }


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_of_a_repeated_id_the_row_that_was_received_first_stays(house: House, order: tuple[int, ...]) -> None:
    house.overrides["quarantine_share"] = 1.0
    # By the order of the other columns, and by that of the file, others would be first.
    copies = [
        track(f"{DAY} 03:00:01", event="z"),
        track(f"{DAY} 03:00:02", event="a"),
        track(None, event="b"),
    ]
    house.land(TRACKS, "a.jsonl", [copies[n] for n in order])
    assert house.publish(TRACKS, DAY)["quarantined rows"] == 2
    assert house.column(TRACKS, "event") == ["z"]
    assert sorted(row["raw_row"]["event"] for row in house.quarantine(TRACKS)) == ["a", "b"]
    assert {row["reason"] for row in house.quarantine(TRACKS)} == {"another row has the same id"}


def test_tracks_received_at_one_time_are_ordered_by_their_other_columns(house: House) -> None:
    house.overrides["quarantine_share"] = 1.0
    house.land(TRACKS, "a.jsonl", [track(f"{DAY} 03:00:01", event=event) for event in ("b", "a")])
    house.publish(TRACKS, DAY)
    assert house.column(TRACKS, "event") == ["a"]


def test_equal_copies_of_a_track_are_one(house: House) -> None:
    house.land(TRACKS, "a.jsonl", [track(f"{DAY} 03:00:01")] * 3)
    assert house.publish(TRACKS, DAY)["quarantined rows"] == 0
    assert house.column(TRACKS, "id") == ["e1"]


def test_an_id_of_two_days_is_a_row_of_each(house: House) -> None:
    """A day of a source knows no other day; the marts count such a track on its first."""
    house.land(TRACKS, "a.jsonl", [track(None), track(None, at=f"{NEXT} 03:00:00")])
    house.publish(TRACKS, DAY, NEXT)
    assert house.column(TRACKS, "part_date") == [DAY, NEXT]


def test_a_track_without_an_id_of_its_own_is_quarantined_and_one_of_nobody_is_not(house: House) -> None:
    house.overrides["quarantine_share"] = 1.0
    nobody = track(None, id="e2") | {"anonymous_id": None}
    house.land(TRACKS, "a.jsonl", [track(None) | {"id": None}, nobody])
    house.publish(TRACKS, DAY)
    assert house.column(TRACKS, "id") == ["e2"]
    assert [row["reason"] for row in house.quarantine(TRACKS)] == ["id is NULL"]


def test_tracks_of_days_that_have_not_come_yet_are_counted(house: House) -> None:
    """The clock of these tests shows nine in the morning of 2024-04-01 in Seoul."""
    instants = ("2024-04-01 14:59:59.999", "2024-04-01 15:00:00", "2031-01-01 00:00:00")
    house.land(TRACKS, "a.jsonl", [track(None, id=f"e{n}", at=at) for n, at in enumerate(instants)])
    assert house.publish(TRACKS, DAY)["rows of days to come"] == 2
