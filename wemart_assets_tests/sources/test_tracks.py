"""RudderStack tracks: repeated ids, times in the future, warehouse tables, and late deliveries."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from wemart_assets import catalog
from wemart_assets.simulator import TracksConfig, simulate_tracks

if TYPE_CHECKING:
    from wemart_assets_tests.environments import Environment, MakeEnvironment

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


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_the_copy_of_a_track_that_was_received_first_is_kept(environment: Environment, order: tuple[int, ...]) -> None:
    environment.overrides["quarantine_share"] = 1.0
    # By the other columns, and by the order in the file, another row would be first.
    copies = [
        track(f"{DAY} 03:00:01", event="z"),
        track(f"{DAY} 03:00:02", event="a"),
        track(None, event="b"),
    ]
    environment.land(TRACKS, "a.jsonl", [copies[n] for n in order])
    assert environment.publish(TRACKS, DAY)["quarantined rows"] == 2
    assert environment.column(TRACKS, "event") == ["z"]
    assert sorted(row["raw_row"]["event"] for row in environment.quarantine(TRACKS)) == ["a", "b"]
    assert {row["reason"] for row in environment.quarantine(TRACKS)} == {"another row has the same id"}


def test_tracks_received_at_the_same_time_are_ordered_by_other_columns(environment: Environment) -> None:
    environment.overrides["quarantine_share"] = 1.0
    environment.land(TRACKS, "a.jsonl", [track(f"{DAY} 03:00:01", event=event) for event in ("b", "a")])
    environment.publish(TRACKS, DAY)
    assert environment.column(TRACKS, "event") == ["a"]


def test_equal_copies_of_a_track_collapse(environment: Environment) -> None:
    environment.land(TRACKS, "a.jsonl", [track(f"{DAY} 03:00:01")] * 3)
    assert environment.publish(TRACKS, DAY)["quarantined rows"] == 0
    assert environment.column(TRACKS, "id") == ["e1"]


def test_an_id_delivered_for_two_days_is_a_row_on_each(environment: Environment) -> None:
    """A day of a source is independent of other days; the marts count such a track on its first day."""
    environment.land(TRACKS, "a.jsonl", [track(None), track(None, at=f"{NEXT} 03:00:00")])
    environment.publish(TRACKS, DAY, NEXT)
    assert environment.column(TRACKS, "part_date") == [DAY, NEXT]


def test_a_track_without_an_id_is_quarantined_but_an_anonymous_one_is_not(environment: Environment) -> None:
    environment.overrides["quarantine_share"] = 1.0
    nobody = track(None, id="e2") | {"anonymous_id": None}
    environment.land(TRACKS, "a.jsonl", [track(None) | {"id": None}, nobody])
    environment.publish(TRACKS, DAY)
    assert environment.column(TRACKS, "id") == ["e2"]
    assert [row["reason"] for row in environment.quarantine(TRACKS)] == ["id is NULL"]


def test_tracks_of_future_days_are_counted(environment: Environment) -> None:
    """In these tests it is 09:00 on 2024-04-01 in Seoul."""
    instants = ("2024-04-01 14:59:59.999", "2024-04-01 15:00:00", "2031-01-01 00:00:00")
    environment.land(TRACKS, "a.jsonl", [track(None, id=f"e{n}", at=at) for n, at in enumerate(instants)])
    assert environment.publish(TRACKS, DAY)["rows of days to come"] == 2


# --- a table that a warehouse destination wrote -----------------------------------------------------------------------

ORDER = ("repeated_tracks", "dbt_aliases_mapping", "visitor_state", "dbt_mapped_tracks")


def test_tracks_of_a_warehouse_table_are_read_in_place(environment: Environment) -> None:
    """The table has other column names, and an id twice, as append-only destinations do."""
    rows = [
        track(f"{DAY} 03:00:02") | {"event": "second"},
        track(f"{DAY} 03:00:01"),
        track(f"{DAY} 03:00:03", id="e2", at=f"{NEXT} 03:00:00"),
    ]
    for row in rows:
        row |= {name: dt.datetime.fromisoformat(f"{row[name]}+00:00") for name in ("timestamp", "received_at")}
    theirs = pa.Table.from_pylist([{**row, "loaded_at": NEXT} for row in rows]).rename_columns({"id": "message_id"})
    theirs = theirs.set_column(2, "user_id", pa.nulls(len(rows), pa.string()))
    write_deltalake(environment.root / "warehouse" / "tracks", theirs)
    environment.overrides["first_day"] = dt.date(2024, 3, 2)
    environment.map("rudder.tracks:\n  table: warehouse/tracks\n  columns: {id: message_id}\n")
    run = environment.run(DAY, NEXT, tables=[f"rudder.{name}" for name in ORDER])
    assert run.failed == {}
    assert run.crashed == {}
    mapped = [(row["event_id"], row["event"], row["part_date"]) for row in environment.read("rudder.dbt_mapped_tracks")]
    assert sorted(mapped) == [("e1", "view", DAY), ("e2", "view", NEXT)]
    assert not run.checks["rudder.dbt_mapped_tracks"]["ids_come_once"].passed
    assert run.metadata["rudder.dbt_mapped_tracks"][DAY]["tracks with the id of another, left out"] == 1


# --- late tracks ------------------------------------------------------------------------------------------------------

TABLES = [TRACKS, *(name for name in catalog.marts() if name.startswith("rudder."))]


@pytest.mark.slow
def test_late_tracks_give_the_same_sessions_as_on_time_tracks(make_environment: MakeEnvironment) -> None:
    """Days one by one, then a past day and the days after it again, compared with one run over all complete days."""
    days = ["2024-03-01", DAY, NEXT]
    config = TracksConfig(first_day=dt.date(2024, 3, 1), days=len(days), tracks=600, visitors=40)
    # In half a day a single broken row already exceeds the share allowed for a whole day.
    on_time, late = make_environment(quarantine_share=0.1), make_environment(quarantine_share=0.1)
    simulate_tracks(config, on_time.landing, on_time.root / "truth")
    simulate_tracks(config, late.landing, late.root / "truth")
    delivered = sorted((late.landing / TRACKS).glob("date=*/*.parquet"))
    held_back = late.root / "held_back.parquet"
    delivered[1].rename(held_back)
    for day in days:
        assert late.run(day, tables=TABLES).success
    held_back.rename(delivered[1])
    early = late.read("rudder.dbt_track_facts")
    assert late.run(days[0], days[-1], tables=[TRACKS]).success
    for day in days:
        assert late.run(day, tables=TABLES[1:]).success
    assert on_time.run(days[0], days[-1], tables=TABLES).success
    assert early != late.read("rudder.dbt_track_facts")
    for table in TABLES:
        assert late.read(table) == on_time.read(table), table


@pytest.mark.slow
def test_a_visitor_with_a_million_tracks_has_one_session(environment: Environment) -> None:
    """Twenty-five tracks per second across midnight are one session, in order of time."""
    at = np.datetime64("2024-03-02T09:00:00", "us")  # six hours before midnight in Seoul
    instants = at + np.arange(1_000_000) * np.timedelta64(40, "ms")
    theirs = pa.table(
        {
            "id": [f"e{n:07}" for n in range(1_000_000)],
            "anonymous_id": ["robot"] * 1_000_000,
            "user_id": pa.nulls(1_000_000, pa.string()),
            "event": ["view"] * 1_000_000,
            "timestamp": pa.array(instants).cast(pa.timestamp("us", tz="UTC")),
            "received_at": pa.array(instants).cast(pa.timestamp("us", tz="UTC")),
        }
    )
    write_deltalake(environment.root / "theirs", theirs)
    environment.overrides["first_day"] = dt.date(2024, 3, 2)
    environment.map("rudder.tracks: {table: theirs}\n")
    run = environment.run(DAY, NEXT, tables=TABLES[1:])
    assert run.failed == {}
    assert run.crashed == {}
    [first, second] = sorted(environment.read("rudder.dbt_session_track_facts"), key=lambda row: row["part_date"])
    assert (first["num_pvs"], second["num_pvs"]) == (540_000, 1_000_000)
    assert first["session_id"] == second["session_id"] == "1 - robot"
    facts = DeltaTable(environment.lake / "rudder" / "dbt_track_facts").to_pyarrow_table()
    assert facts["track_sequence_number"].sort().to_pylist() == list(range(1, 1_000_001))
