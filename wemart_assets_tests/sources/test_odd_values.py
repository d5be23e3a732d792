"""Values and files at the edge of what can be read: set aside or refused by name, never altered without a word."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from wemart_assets import catalog
from wemart_assets.definitions import open_engine
from wemart_assets.lake.errors import LandingError
from wemart_assets.sources.contract import UNKNOWN_DAY
from wemart_assets.sources.landing import landings
from wemart_assets.sources.mapping import load_mappings

if TYPE_CHECKING:
    from wemart_assets_tests.sources.conftest import House

LOG, ARTISTS, USERS, TRACKS = "service_log.weverse_server_log", "we_mart.we_artist", "we_mart.we_user", "rudder.tracks"
EVENT = "igaworks.event"
DAY, OTHER_DAY = "2024-03-05", "2024-03-20"


def track(**other: Any) -> str:
    return json.dumps({"id": "1", "event": "e", "timestamp": f"{DAY} 03:00:00", **other}) + "\n"


@pytest.mark.parametrize("name", ["f.jsonl", "f.parquet"])
def test_a_row_of_a_file_without_its_instant_is_of_an_unknown_time(house: House, name: str) -> None:
    content = '{"log_id": "1"}\n'
    nulls = {c.name: pa.array([None], pa.null()) for c in catalog.contracts()[EVENT].columns}
    house.land(EVENT, f"date={DAY}/{name}", content if name == "f.jsonl" else house.parquet(pa.table(nulls)))
    house.publish(EVENT, UNKNOWN_DAY)
    house.publish(EVENT, DAY)
    assert (len(house.read(f"{EVENT}__date_unknown")), house.read(EVENT)) == (1, [])


@pytest.mark.parametrize("text", ["0000-01-01 00:00:00", "9999-12-31 23:59:59-05:00"])
def test_a_time_outside_of_the_calendar_is_quarantined(house: House, text: str) -> None:
    house.overrides["quarantine_share"] = 1.0
    house.land(TRACKS, "a.jsonl", track() + track(id="2", received_at=text))
    house.publish(TRACKS, DAY)
    assert [row["reason"] for row in house.quarantine(TRACKS, DAY)] == [f"received_at: '{text}' is not a timestamp"]
    assert house.column(TRACKS, "id") == ["1"]


def test_a_far_time_within_the_calendar_is_read(house: House) -> None:
    house.land(TRACKS, "a.jsonl", track(received_at="9999-12-31 23:59:59") + track(id="2", received_at="0001-01-01"))
    house.publish(TRACKS, DAY)
    far = [dt.datetime(1, 1, 1, tzinfo=dt.UTC), dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)]
    assert house.column(TRACKS, "received_at") == far


@pytest.mark.parametrize("micros", [10**6 * 86_400 * 366 * 8_100, -(10**6) * 86_400 * 366 * 2_100])
def test_an_instant_outside_of_the_calendar_is_quarantined_and_not_of_an_early_day(house: House, micros: int) -> None:
    house.overrides["quarantine_share"] = 1.0
    far = pa.array([micros], pa.timestamp("us", "UTC"))
    columns = {c.name: pa.array(["1"]) for c in catalog.contracts()[TRACKS].columns if c.type == "string"}
    table = pa.table({**columns, "timestamp": far, "received_at": pa.array([None], pa.timestamp("us", "UTC"))})
    house.land(TRACKS, f"date={DAY}/far.parquet", house.parquet(table))
    house.publish(TRACKS, DAY)
    [row] = house.quarantine(TRACKS, DAY)
    assert row["reason"].startswith("timestamp: '")


def test_files_of_one_size_are_compared_though_one_cannot_be_opened(house: House) -> None:
    line = house.csv([house.line(f"{OTHER_DAY} 12:00:00")])
    house.land(LOG, f"date={OTHER_DAY}/good.csv", line)
    odd = bytes(house.landing / LOG / f"date={DAY}") + b"/caf\xe9.csv"
    (house.landing / LOG / f"date={DAY}").mkdir()
    with open(odd, "w") as file:
        file.write(line)
    assert house.publish(LOG, OTHER_DAY)["files delivered twice"] == []


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
def test_a_broken_file_under_the_first_or_last_day_of_all_stops_no_other(house: House, day: str) -> None:
    house.land(LOG, f"date={day}/broken.csv", "nothing,here\n1,2\n")
    house.land(LOG, f"date={DAY}/good.csv", [house.line(f"{DAY} 12:00:00")])
    house.publish(LOG, DAY)
    assert len(house.read(LOG, DAY)) == 1


def test_a_parquet_column_whose_name_is_not_utf_8_stops_its_own_days(house: House) -> None:
    rows = {"a_column_": [1], **{name: [None] for name in house.line()}, "unix_log_timestamp": [1]}
    content = house.parquet(pa.table(rows)).replace(b"a_column_", b"a_col\xff\xfe__")
    house.land(LOG, f"date={DAY}/odd.parquet", content)
    house.land(LOG, f"date={OTHER_DAY}/good.csv", [house.line(f"{OTHER_DAY} 12:00:00")])
    house.publish(LOG, OTHER_DAY)
    with pytest.raises(LandingError, match=r"odd\.parquet"):
        house.publish(LOG, DAY)


@pytest.mark.parametrize("name", ["__wemart_raw", "__wemart_fault", "__wemart_path", "__WEMART_ROW"])
def test_a_column_may_be_called_as_one_of_ours_in_csv(house: House, name: str) -> None:
    house.overrides["quarantine_share"] = 1.0
    house.land(ARTISTS, f"date={DAY}/a.csv", f"we_art_id,we_art_name,comm_id,{name}\n1,x,1,mine\n2,y\n")
    house.publish(ARTISTS, DAY)
    assert house.column(ARTISTS, "we_art_id") == [1]
    assert [row["raw_row"] for row in house.quarantine(ARTISTS)] == ["2,y"]


def test_a_parquet_column_that_is_called_as_one_of_ours_is_refused(house: House) -> None:
    table = pa.table({"we_art_id": [1], "we_art_name": ["x"], "comm_id": [1], "__wemart_row": ["mine"]})
    house.land(ARTISTS, f"date={DAY}/a.parquet", house.parquet(table))
    with pytest.raises(LandingError, match=r"a\.parquet has a column __wemart_row"):
        house.publish(ARTISTS, DAY)


def test_parquet_files_with_other_types_of_an_extra_column_are_read_beside_each_other(house: House) -> None:
    for number, extra in enumerate([pa.array([5]), pa.array([[5]]), pa.array([{"x": 5}]), pa.array([5.5])]):
        table = pa.table({"we_art_id": [number], "we_art_name": ["x"], "comm_id": [number], "extra": extra})
        house.land(ARTISTS, f"date={DAY}/{number}.parquet", house.parquet(table))
    house.publish(ARTISTS, DAY)
    assert house.column(ARTISTS, "we_art_id") == [0, 1, 2, 3]


def test_a_mapped_column_has_the_type_of_its_own_file(house: House) -> None:
    house.map("we_mart.we_artist:\n  columns: {we_art_name: cast(x as varchar)}\n")
    for number, values in enumerate([pa.array([9007199254740993]), pa.array([5.5])]):
        table = pa.table({"we_art_id": [number], "comm_id": [number], "x": values})
        house.land(ARTISTS, f"date={DAY}/{number}.parquet", house.parquet(table))
    house.publish(ARTISTS, DAY)
    assert house.column(ARTISTS, "we_art_name") == ["5.5", "9007199254740993"]


def test_a_parquet_file_with_a_column_twice_is_refused(house: House) -> None:
    table = pa.Table.from_arrays(
        [pa.array([1]), pa.array(["x"]), pa.array([1]), pa.array([2])],
        ["we_art_id", "we_art_name", "comm_id", "WE_ART_ID"],
    )
    house.land(ARTISTS, f"date={DAY}/a.parquet", house.parquet(table))
    with pytest.raises(LandingError, match=r"a\.parquet has more than one column that is called we_art_id"):
        house.publish(ARTISTS, DAY)


def test_decimals_that_engines_do_not_know_are_refused(house: House) -> None:
    price = pa.array([Decimal("1.23")], pa.decimal256(60, 18))
    columns = {c.name: pa.array([None], pa.string()) for c in catalog.contracts()[EVENT].columns}
    house.land(EVENT, f"date={DAY}/a.parquet", house.parquet(pa.table({**columns, "price": price})))
    with pytest.raises(LandingError, match=r"column price is decimal256\(60, 18\)"):
        house.publish(EVENT, DAY)


def test_a_file_that_changes_while_it_is_read_is_not_published(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows are those of another file than the one that was looked at."""
    path = house.land(ARTISTS, f"date={DAY}/a.csv", [house.artist(1, "2", 3)])
    landing_type = type(landings(house.settings, catalog.contracts())[ARTISTS])
    rows = landing_type.rows

    def changed(*args: Any, **kwargs: Any) -> Any:
        path.write_text("comm_id,we_art_name,we_art_id\n1,2,3\n")
        return rows(*args, **kwargs)

    monkeypatch.setattr(landing_type, "rows", changed)
    with pytest.raises(LandingError, match=r"a\.csv was changed or removed while it was read"):
        house.publish(ARTISTS, DAY)
    assert (house.read(ARTISTS), house.published(ARTISTS, DAY)) == ([], set())


def test_an_event_of_a_history_without_a_time_is_quarantined_though_its_file_is_early(house: House) -> None:
    house.overrides["quarantine_share"] = 1.0
    source = "weverse2.community_log_member_status_log"
    house.land(source, "date=2023-05-05/f.csv", "community_id,user_id,type,created_at\n1,2,JOIN,never\n")
    house.publish(source, "2024-03-01")
    assert [row["reason"] for row in house.quarantine(source)] == ["created_at: 'never' is not a timestamp"]


@pytest.mark.parametrize(
    ("line", "is_read"),
    [
        ('{"we_art_id": 2, "we_art_name": "\\ud800"}', False),
        ('{"we_art_id": 2, "we_art_name": "\\ude00x"}', False),
        ('{"we_art_id": 2, "we_art_name": "\\ud83d\\ude00"}', True),
        (f'{{"we_art_id": 2, "n": {"9" * 5_000}}}', True),
    ],
)
@pytest.mark.parametrize("beside", ["", "not json\n"])
def test_json_is_the_same_record_in_any_file(house: House, line: str, is_read: bool, beside: str) -> None:
    house.overrides["quarantine_share"] = 1.0
    house.land(ARTISTS, f"date={DAY}/a.jsonl", f'{{"we_art_id": 1}}\n{beside}{line}\n')
    house.publish(ARTISTS, DAY)
    assert house.column(ARTISTS, "we_art_id") == ([1, 2] if is_read else [1])
    assert len(house.quarantine(ARTISTS)) == bool(beside) + (not is_read)


@pytest.mark.parametrize("null", ['"', 'a"b', ",", "x,y"])
def test_what_stands_for_null_may_be_anything(house: House, null: str) -> None:
    house.map(f"we_mart.we_artist:\n  null: {json.dumps(null)}\n")
    house.land(ARTISTS, f"date={DAY}/a.csv", "we_art_id,we_art_name,comm_id\n1,x,1\n")
    house.publish(ARTISTS, DAY)
    assert house.column(ARTISTS, "we_art_name") == ["x"]


def test_columns_that_nobody_reads_may_share_a_name(house: House) -> None:
    house.map("we_mart.we_artist:\n  names: [we_art_id, we_art_name, comm_id, _, _]\n")
    house.land(ARTISTS, f"date={DAY}/a.csv", "1,x,1,a,b\n")
    house.publish(ARTISTS, DAY)
    assert house.column(ARTISTS, "we_art_id") == [1]


@pytest.mark.parametrize("delimiter", ['"', "\n", "\r"])
def test_what_ends_a_field_in_another_way_cannot_be_the_delimiter(house: House, delimiter: str) -> None:
    path = house.map(f"we_mart.we_artist:\n  delimiter: {json.dumps(delimiter)}\n")
    with pytest.raises(LandingError, match="a quote or a line end cannot be the delimiter"):
        load_mappings(path, catalog.contracts().values())


def test_an_expression_that_fails_on_a_value_of_a_snapshot_names_the_file(house: House) -> None:
    house.map("we_mart.we_artist:\n  columns: {we_art_name: cast(cast(name as bigint) as varchar)}\n")
    house.land(ARTISTS, f"date={DAY}/odd.csv", "we_art_id,name,comm_id\n1,x,1\n")
    house.land(ARTISTS, f"date={OTHER_DAY}/good.csv", "we_art_id,name,comm_id\n1,7,1\n")
    house.publish(ARTISTS, OTHER_DAY)
    with pytest.raises(LandingError, match=r"odd\.csv cannot be read"):
        house.publish(ARTISTS, DAY)


def test_a_draft_of_one_run_is_never_that_of_another(house: House) -> None:
    """Threads, and containers that share a lake, have one number of process."""
    house.land(LOG, "odd.csv", b"\xef\xbb\xbf" + house.csv([house.line(f"{DAY} 12:00:00")]).encode())
    landing = landings(house.settings, catalog.contracts())[LOG]
    [file] = landing.files()
    with open_engine(house.settings, {}).connect() as session:
        entry = landing.index(session, [file])[file]
    assert entry.copy is not None
    assert not list(house.lake.rglob("*.tmp"))
