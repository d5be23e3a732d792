"""Values and files at the edge of what can be read: quarantined or refused by name, never altered silently."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from wemart_assets import catalog
from wemart_assets.definitions import open_lake
from wemart_assets.lake.errors import LandingError
from wemart_assets.sources.contract import UNKNOWN_DAY
from wemart_assets.sources.landing import landings
from wemart_assets.sources.mapping import load_mappings

if TYPE_CHECKING:
    from wemart_assets_tests.environments import Environment

LOG, ARTISTS, USERS, TRACKS = "service_log.weverse_server_log", "we_mart.we_artist", "we_mart.we_user", "rudder.tracks"
EVENT = "igaworks.event"
DAY, OTHER_DAY = "2024-03-05", "2024-03-20"


def track(**other: Any) -> str:
    return json.dumps({"id": "1", "event": "e", "timestamp": f"{DAY} 03:00:00", **other}) + "\n"


@pytest.mark.parametrize("name", ["f.jsonl", "f.parquet"])
def test_a_row_without_an_instant_column_has_unknown_time(environment: Environment, name: str) -> None:
    content = '{"log_id": "1"}\n'
    nulls = {c.name: pa.array([None], pa.null()) for c in catalog.contracts()[EVENT].columns}
    environment.land(
        EVENT, f"date={DAY}/{name}", content if name == "f.jsonl" else environment.parquet(pa.table(nulls))
    )
    environment.publish(EVENT, UNKNOWN_DAY)
    environment.publish(EVENT, DAY)
    assert (len(environment.read(f"{EVENT}__date_unknown")), environment.read(EVENT)) == (1, [])


@pytest.mark.parametrize(
    "text",
    [
        *("0000-01-01 00:00:00", "9999-12-31 23:59:59-05:00"),
        *("2024-03-02 24:00:00", "2024-03-02T24:00", "2024-03-02 12:60:00"),
        *("2024-03-02 12:00:00+19:00", "2024-03-02 12:00:00+09:75", "2024-03-02 12:00:00 +09"),
    ],
)
def test_a_time_outside_the_calendar_or_the_clock_is_quarantined(environment: Environment, text: str) -> None:
    environment.overrides["quarantine_share"] = 1.0
    environment.land(TRACKS, "a.jsonl", track() + track(id="2", received_at=text))
    environment.publish(TRACKS, DAY)
    assert [row["reason"] for row in environment.quarantine(TRACKS, DAY)] == [
        f"received_at: '{text}' is not a timestamp"
    ]
    assert environment.column(TRACKS, "id") == ["1"]


def test_the_first_and_the_last_time_of_the_calendar_are_read(environment: Environment) -> None:
    environment.land(
        TRACKS, "a.jsonl", track(received_at="9999-12-31 23:59:59") + track(id="2", received_at="0001-01-01")
    )
    environment.publish(TRACKS, DAY)
    far = [dt.datetime(1, 1, 1, tzinfo=dt.UTC), dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)]
    assert environment.column(TRACKS, "received_at") == far


@pytest.mark.parametrize("micros", [10**6 * 86_400 * 366 * 8_100, -(10**6) * 86_400 * 366 * 2_100])
def test_an_instant_outside_the_calendar_is_quarantined(environment: Environment, micros: int) -> None:
    environment.overrides["quarantine_share"] = 1.0
    far = pa.array([micros], pa.timestamp("us", "UTC"))
    columns = {c.name: pa.array(["1"]) for c in catalog.contracts()[TRACKS].columns if c.type == "string"}
    table = pa.table({**columns, "timestamp": far, "received_at": pa.array([None], pa.timestamp("us", "UTC"))})
    environment.land(TRACKS, f"date={DAY}/far.parquet", environment.parquet(table))
    environment.publish(TRACKS, DAY)
    [row] = environment.quarantine(TRACKS, DAY)
    assert row["reason"].startswith("timestamp: '")


def test_an_unreadable_file_of_the_same_size_is_not_a_duplicate(environment: Environment) -> None:
    line = environment.csv([environment.line(f"{OTHER_DAY} 12:00:00")])
    environment.land(LOG, f"date={OTHER_DAY}/good.csv", line)
    odd = bytes(environment.landing / LOG / f"date={DAY}") + b"/caf\xe9.csv"
    (environment.landing / LOG / f"date={DAY}").mkdir()
    with open(odd, "w") as file:
        file.write(line)
    assert environment.publish(LOG, OTHER_DAY)["files delivered twice"] == []


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
def test_a_broken_file_under_the_first_or_last_possible_day_stops_no_other_day(
    environment: Environment, day: str
) -> None:
    environment.land(LOG, f"date={day}/broken.csv", "nothing,here\n1,2\n")
    environment.land(LOG, f"date={DAY}/good.csv", [environment.line(f"{DAY} 12:00:00")])
    environment.publish(LOG, DAY)
    assert len(environment.read(LOG, DAY)) == 1


def test_a_parquet_column_name_that_is_not_utf_8_stops_only_its_own_days(environment: Environment) -> None:
    rows = {"a_column_": [1], **{name: [None] for name in environment.line()}, "unix_log_timestamp": [1]}
    content = environment.parquet(pa.table(rows)).replace(b"a_column_", b"a_col\xff\xfe__")
    environment.land(LOG, f"date={DAY}/odd.parquet", content)
    environment.land(LOG, f"date={OTHER_DAY}/good.csv", [environment.line(f"{OTHER_DAY} 12:00:00")])
    environment.publish(LOG, OTHER_DAY)
    with pytest.raises(LandingError, match=r"odd\.parquet"):
        environment.publish(LOG, DAY)


@pytest.mark.parametrize("name", ["__wemart_raw", "__wemart_fault", "__wemart_path", "__WEMART_ROW"])
def test_a_csv_column_may_have_an_internal_name(environment: Environment, name: str) -> None:
    environment.overrides["quarantine_share"] = 1.0
    environment.land(ARTISTS, f"date={DAY}/a.csv", f"we_art_id,we_art_name,comm_id,{name}\n1,x,1,mine\n2,y\n")
    environment.publish(ARTISTS, DAY)
    assert environment.column(ARTISTS, "we_art_id") == [1]
    assert [row["raw_row"] for row in environment.quarantine(ARTISTS)] == ["2,y"]


def test_a_parquet_column_with_an_internal_name_is_refused(environment: Environment) -> None:
    table = pa.table({"we_art_id": [1], "we_art_name": ["x"], "comm_id": [1], "__wemart_row": ["mine"]})
    environment.land(ARTISTS, f"date={DAY}/a.parquet", environment.parquet(table))
    with pytest.raises(LandingError, match=r"a\.parquet has a column __wemart_row"):
        environment.publish(ARTISTS, DAY)


def test_an_extra_column_may_have_a_different_type_in_each_parquet_file(environment: Environment) -> None:
    for number, extra in enumerate([pa.array([5]), pa.array([[5]]), pa.array([{"x": 5}]), pa.array([5.5])]):
        table = pa.table({"we_art_id": [number], "we_art_name": ["x"], "comm_id": [number], "extra": extra})
        environment.land(ARTISTS, f"date={DAY}/{number}.parquet", environment.parquet(table))
    environment.publish(ARTISTS, DAY)
    assert environment.column(ARTISTS, "we_art_id") == [0, 1, 2, 3]


def test_a_mapped_expression_sees_the_type_of_each_file(environment: Environment) -> None:
    environment.map("we_mart.we_artist:\n  columns: {we_art_name: cast(x as varchar)}\n")
    for number, values in enumerate([pa.array([9007199254740993]), pa.array([5.5])]):
        table = pa.table({"we_art_id": [number], "comm_id": [number], "x": values})
        environment.land(ARTISTS, f"date={DAY}/{number}.parquet", environment.parquet(table))
    environment.publish(ARTISTS, DAY)
    assert environment.column(ARTISTS, "we_art_name") == ["5.5", "9007199254740993"]


def test_a_parquet_file_with_a_duplicate_column_is_refused(environment: Environment) -> None:
    table = pa.Table.from_arrays(
        [pa.array([1]), pa.array(["x"]), pa.array([1]), pa.array([2])],
        ["we_art_id", "we_art_name", "comm_id", "WE_ART_ID"],
    )
    environment.land(ARTISTS, f"date={DAY}/a.parquet", environment.parquet(table))
    with pytest.raises(LandingError, match=r"a\.parquet has more than one column named we_art_id"):
        environment.publish(ARTISTS, DAY)


def test_decimals_too_wide_for_the_engines_are_refused(environment: Environment) -> None:
    price = pa.array([Decimal("1.23")], pa.decimal256(60, 18))
    columns = {c.name: pa.array([None], pa.string()) for c in catalog.contracts()[EVENT].columns}
    environment.land(EVENT, f"date={DAY}/a.parquet", environment.parquet(pa.table({**columns, "price": price})))
    with pytest.raises(LandingError, match=r"column price is decimal256\(60, 18\)"):
        environment.publish(EVENT, DAY)


def test_a_file_that_changes_while_it_is_read_is_not_published(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file that is read is no longer the file that was indexed."""
    path = environment.land(ARTISTS, f"date={DAY}/a.csv", [environment.artist(1, "2", 3)])
    landing_type = type(landings(environment.settings.for_sources(), catalog.contracts())[ARTISTS])
    rows = landing_type.rows

    def changed(*args: Any, **kwargs: Any) -> Any:
        path.write_text("comm_id,we_art_name,we_art_id\n1,2,3\n")
        return rows(*args, **kwargs)

    monkeypatch.setattr(landing_type, "rows", changed)
    with pytest.raises(LandingError, match=r"a\.csv was changed or removed while it was read"):
        environment.publish(ARTISTS, DAY)
    assert (environment.read(ARTISTS), environment.published(ARTISTS, DAY)) == ([], set())


def test_an_event_without_a_time_in_an_early_file_is_quarantined(environment: Environment) -> None:
    environment.overrides["quarantine_share"] = 1.0
    source = "weverse2.community_log_member_status_log"
    environment.land(source, "date=2023-05-05/f.csv", "community_id,user_id,type,created_at\n1,2,JOIN,never\n")
    environment.publish(source, "2024-03-01")
    assert [row["reason"] for row in environment.quarantine(source)] == ["created_at: 'never' is not a timestamp"]


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
def test_a_json_record_is_read_the_same_beside_a_malformed_one(
    environment: Environment, line: str, is_read: bool, beside: str
) -> None:
    environment.overrides["quarantine_share"] = 1.0
    environment.land(ARTISTS, f"date={DAY}/a.jsonl", f'{{"we_art_id": 1}}\n{beside}{line}\n')
    environment.publish(ARTISTS, DAY)
    assert environment.column(ARTISTS, "we_art_id") == ([1, 2] if is_read else [1])
    assert len(environment.quarantine(ARTISTS)) == bool(beside) + (not is_read)


@pytest.mark.parametrize("null", ['"', 'a"b', ",", "x,y"])
def test_the_null_literal_may_be_any_text(environment: Environment, null: str) -> None:
    environment.map(f"we_mart.we_artist:\n  null: {json.dumps(null)}\n")
    environment.land(ARTISTS, f"date={DAY}/a.csv", "we_art_id,we_art_name,comm_id\n1,x,1\n")
    environment.publish(ARTISTS, DAY)
    assert environment.column(ARTISTS, "we_art_name") == ["x"]


def test_unused_columns_may_share_a_name(environment: Environment) -> None:
    environment.map("we_mart.we_artist:\n  names: [we_art_id, we_art_name, comm_id, _, _]\n")
    environment.land(ARTISTS, f"date={DAY}/a.csv", "1,x,1,a,b\n")
    environment.publish(ARTISTS, DAY)
    assert environment.column(ARTISTS, "we_art_id") == [1]


@pytest.mark.parametrize("delimiter", ['"', "\n", "\r"])
def test_a_quote_or_a_line_break_cannot_be_the_delimiter(environment: Environment, delimiter: str) -> None:
    path = environment.map(f"we_mart.we_artist:\n  delimiter: {json.dumps(delimiter)}\n")
    with pytest.raises(LandingError, match="the delimiter cannot be a quote or a line break"):
        load_mappings(path, catalog.contracts().values())


def test_an_expression_that_fails_on_a_value_names_the_file(environment: Environment) -> None:
    environment.map("we_mart.we_artist:\n  columns: {we_art_name: cast(cast(name as bigint) as varchar)}\n")
    environment.land(ARTISTS, f"date={DAY}/odd.csv", "we_art_id,name,comm_id\n1,x,1\n")
    environment.land(ARTISTS, f"date={OTHER_DAY}/good.csv", "we_art_id,name,comm_id\n1,7,1\n")
    environment.publish(ARTISTS, OTHER_DAY)
    with pytest.raises(LandingError, match=r"odd\.csv: the expression of we_art_name fails"):
        environment.publish(ARTISTS, DAY)


def test_no_temporary_file_of_a_copy_is_left_behind(environment: Environment) -> None:
    """Threads, and containers that share a lake, have one number of process."""
    environment.land(LOG, "odd.csv", b"\xef\xbb\xbf" + environment.csv([environment.line(f"{DAY} 12:00:00")]).encode())
    landing = landings(environment.settings.for_sources(), catalog.contracts())[LOG]
    [file] = landing.files()
    with open_lake(environment.settings, {}).connect() as session:
        entry = landing.index(session, [file])[file]
    assert entry.copy is not None
    assert not list(environment.lake.rglob("*.tmp"))
