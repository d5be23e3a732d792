"""A file gives the same rows whatever its format, name and location."""

from __future__ import annotations

import datetime as dt
import gzip
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from wemart_assets.lake.errors import LandingError

if TYPE_CHECKING:
    from wemart_assets_tests.environments import Environment, MakeEnvironment

LOG = "service_log.weverse_server_log"
ARTISTS = "we_mart.we_artist"
USERS = "we_mart.we_user"
DAY = "2024-03-02"
ENDINGS = ("parquet", "csv", "csv.gz", "tsv", "jsonl", "jsonl.gz", "ndjson")

# Text that a careless reader splits, trims, unquotes or misreads.
TEXTS = [
    "plain",
    "a,b",
    "a\tb",
    'say "hi"',
    '"',
    "two\nlines",
    "crlf\r\ninside",
    "  spaces around  ",
    "커뮤니티 🎤",
    "it's",
    "#no comment",
    "back\\slash",
    "NULL",
    "0012",
    '{"request": {"communityId": "7", "text": "a, \\"b\\""}}',
    None,
]


def _expected(rows: list[dict[str, Any]], day: str = DAY) -> list[dict[str, Any]]:
    return sorted(({**row, "date_id": day} for row in rows), key=lambda row: repr(list(row.items())))


def _lines(environment: Environment, day: str) -> list[dict[str, Any]]:
    return [
        environment.line(f"{day} 12:00:{second:02d}.123", url=text, params=text, user_info_id=2**40 + second)
        for second, text in enumerate(TEXTS)
    ]


@pytest.fixture(scope="module")
def delivered(make_environment: MakeEnvironment) -> tuple[Environment, dict[str, str]]:
    """An environment in which each format is delivered on its own day, with the days by format."""
    environment = make_environment()
    days = {ending: f"2024-03-{number:02d}" for number, ending in enumerate(ENDINGS, start=1)}
    for ending, day in days.items():
        environment.land(LOG, f"date={day}/lines.{ending}", _lines(environment, day))
    environment.publish(LOG, min(days.values()), max(days.values()))
    return environment, days


@pytest.mark.parametrize("ending", ENDINGS)
def test_each_format_delivers_the_same_rows(delivered: tuple[Environment, dict[str, str]], ending: str) -> None:
    environment, days = delivered
    assert environment.read(LOG, days[ending]) == _expected(_lines(environment, days[ending]), days[ending])


@pytest.mark.parametrize("ending", ENDINGS)
def test_no_format_quarantines_valid_text(delivered: tuple[Environment, dict[str, str]], ending: str) -> None:
    environment, days = delivered
    assert environment.quarantine(LOG, days[ending]) == []


def test_files_of_several_formats_form_one_partition(environment: Environment) -> None:
    rows = [environment.line(f"2024-03-02 12:00:{n:02d}", url=ending) for n, ending in enumerate(ENDINGS)]
    for row, ending in zip(rows, ENDINGS, strict=True):
        environment.land(LOG, f"date={DAY}/lines.{ending}", [row])
    environment.publish(LOG, DAY)
    assert environment.read(LOG) == _expected(rows)


ONE_TWO = "we_art_id,we_art_name,comm_id\n1,x,10\n2,y,20\n"
ROW_1 = {"we_art_id": 1, "we_art_name": "x", "comm_id": 10}
ROW_2 = {"we_art_id": 2, "we_art_name": "y", "comm_id": 20}

# Deliveries that all contain the same two artists: file names with their content.
SAME_DELIVERIES: dict[str, dict[str, Any]] = {
    "plain csv": {"a.csv": ONE_TWO},
    "csv with the line ends of Windows": {"a.csv": ONE_TWO.replace("\n", "\r\n")},
    "csv with a byte order mark": {"a.csv": b"\xef\xbb\xbf" + ONE_TWO.encode()},
    "csv whose last line has no end": {"a.csv": ONE_TWO.rstrip("\n")},
    "csv with spaces around numbers": {"a.csv": ONE_TWO.replace("1,x,10", " 1 ,x, 10 ")},
    "csv with every value quoted": {
        "a.csv": '"we_art_id","we_art_name","comm_id"\n"1","x","10"\n"2","y","20"\n',
    },
    "gz of several members": {
        "a.csv.gz": gzip.compress(ONE_TWO[:-7].encode()) + gzip.compress(ONE_TWO[-7:].encode()),
    },
    "endings in upper case": {"A.CSV": [ROW_1], "B.Parquet": [ROW_2]},
    "extra columns in csv": {"a.csv": [{"extra": "a", **row, "hour": "03"} for row in (ROW_1, ROW_2)]},
    "extra columns in json": {"a.jsonl": [{"extra": "a", **row, "hour": "03"} for row in (ROW_1, ROW_2)]},
    "extra columns in parquet": {"a.parquet": [{"extra": "a", **row, "hour": "03"} for row in (ROW_1, ROW_2)]},
    "extra columns that differ among files": {"a.csv": [{"extra": "a", **ROW_1}], "b.csv": [{**ROW_2, "more": "z"}]},
    "extra columns of any name in csv": {
        "a.csv": [row | dict.fromkeys(("_raw", "_reason", "json", "part_date"), "9") for row in (ROW_1, ROW_2)],
    },
    "extra columns of any name in json": {
        "a.jsonl": [row | dict.fromkeys(("_file", "_raw", "landed", "part_date"), "9") for row in (ROW_1, ROW_2)],
    },
    "csv with its columns in another order": {"a.csv": [ROW_1], "b.csv": [dict(reversed(ROW_2.items()))]},
    "json with its columns in another order": {"a.jsonl": [ROW_1], "b.jsonl": [dict(reversed(ROW_2.items()))]},
    "parquet with its columns in another order": {"a.parquet": [ROW_1], "b.parquet": [dict(reversed(ROW_2.items()))]},
    "parquet text as a dictionary": {
        "a.parquet": pa.table(
            {"we_art_id": [1, 2], "we_art_name": pa.array(["x", "y"]).dictionary_encode(), "comm_id": [10, 20]}
        ),
    },
    "parquet with extra columns of odd types": {
        "a.parquet": pa.table(
            {
                "we_art_id": [1, 2],
                "we_art_name": ["x", "y"],
                "comm_id": [10, 20],
                "ratio": [float("nan"), float("inf")],
                "blob": [b"\xff\x00", None],
                "nested": [{"a": [1]}, None],
                "length": [dt.timedelta(1), None],
            }
        ),
    },
    "a csv of no bytes beside it": {"a.csv": ONE_TWO, "nothing.csv": b""},
    "a tsv of no bytes beside it": {"a.csv": ONE_TWO, "nothing.tsv": b""},
    "json lines of no bytes beside it": {"a.csv": ONE_TWO, "nothing.jsonl": b""},
    "a header without rows beside it": {"a.csv": ONE_TWO, "b.csv": ONE_TWO[:30]},
    "parquet without rows beside it": {
        "a.csv": ONE_TWO,
        "b.parquet": pa.table({"we_art_id": [1], "we_art_name": ["x"], "comm_id": [10]}).slice(1),
    },
    "folders below the day": {"region=kr/hour=03/a.csv": [ROW_1], "region=us/a.csv": [ROW_2]},
    "files that are no deliveries": {"a.csv": ONE_TWO}
    | dict.fromkeys(
        (
            ".hidden.csv",
            "_SUCCESS",
            "_half.csv",
            "a.csv.tmp",
            ".a.csv.crc",
            "b.csv.crc",
            "c.csv.part",
            "_temporary/0/part.csv",
            ".staging/part.csv",
        ),
        "we_art_id,we_art_name,comm_id\n3,z,30\n",
    ),
}


@pytest.fixture(scope="module")
def same(make_environment: MakeEnvironment) -> tuple[Environment, dict[str, str]]:
    """An environment in which each of SAME_DELIVERIES is delivered on its own day, with the days."""
    environment = make_environment()
    days = {case: f"2024-03-{number:02d}" for number, case in enumerate(SAME_DELIVERIES, start=1)}
    for case, files in SAME_DELIVERIES.items():
        for name, content in files.items():
            encoded = environment.parquet(content) if isinstance(content, pa.Table) else content
            environment.land(ARTISTS, f"date={days[case]}/{name}", encoded)
    environment.publish(ARTISTS, min(days.values()), max(days.values()))
    return environment, days


@pytest.mark.parametrize("case", SAME_DELIVERIES)
def test_each_spelling_of_a_delivery_gives_the_same_rows(same: tuple[Environment, dict[str, str]], case: str) -> None:
    environment, days = same
    assert environment.read(ARTISTS, days[case]) == [row | {"part_date": days[case]} for row in (ROW_1, ROW_2)]


@pytest.mark.parametrize("name", ["_file", "landed"])
def test_an_extra_csv_column_may_have_any_name(environment: Environment, name: str) -> None:
    environment.overrides["quarantine_share"] = 1.0
    environment.land(ARTISTS, f"date={DAY}/a.csv", [{**environment.artist(None, "x"), name: "mine"}])
    environment.publish(ARTISTS, DAY)
    assert [row["raw_row"] for row in environment.quarantine(ARTISTS)] == [
        {"we_art_id": None, "we_art_name": "x", "comm_id": None, name: "mine"}
    ]


def test_a_gz_ending_is_recognized_in_upper_case(environment: Environment) -> None:
    environment.land(ARTISTS, f"date={DAY}/A.CSV.GZ", [environment.artist(1)])
    environment.publish(ARTISTS, DAY)
    assert environment.column(ARTISTS, "we_art_id") == [1]


@pytest.mark.parametrize("name", ["nothing.csv.gz", "nothing.jsonl.gz"])
def test_a_compressed_empty_file_has_no_rows(environment: Environment, name: str) -> None:
    environment.land(ARTISTS, f"date={DAY}/{name}", gzip.compress(b""))
    environment.land(ARTISTS, f"date={DAY}/some.csv", [environment.artist(1)])
    environment.publish(ARTISTS, DAY)
    assert environment.column(ARTISTS, "we_art_id") == [1]


def test_a_log_file_with_only_a_header_has_no_rows(environment: Environment) -> None:
    environment.land(LOG, f"date={DAY}/a.csv", environment.csv([environment.line()]).splitlines()[0] + "\n")
    environment.publish(LOG, DAY)
    assert (environment.read(LOG), environment.published(LOG, DAY)) == ([], {DAY})


def test_a_csv_row_that_begins_with_a_hash_is_not_a_comment(environment: Environment) -> None:
    environment.land(ARTISTS, f"date={DAY}/a.csv", "we_art_name,we_art_id,comm_id\n#a,1,1\n#b,2,2\nc,3,3\n")
    environment.publish(ARTISTS, DAY)
    assert environment.column(ARTISTS, "we_art_name") == ["#a", "#b", "c"]


def test_a_nested_json_object_is_read_as_its_text(environment: Environment) -> None:
    at = environment.millis("2024-03-02 12:00:00")
    row = f'{{"unix_log_timestamp": {at}, "params": {{"gcc": "KR", "n": [1, 2]}}}}\n'
    environment.land(LOG, f"date={DAY}/a.jsonl", row)
    environment.publish(LOG, DAY)
    assert environment.column(LOG, "params") == ['{"gcc":"KR","n":[1,2]}']


@pytest.mark.parametrize("name", ["a.json", "a.json.gz", "A.JSON"])
def test_json_lines_may_have_the_ending_json(environment: Environment, name: str) -> None:
    lines = environment.jsonl([environment.artist(1, "x", 10), environment.artist(2, "y")]).encode()
    environment.land(ARTISTS, f"date={DAY}/{name}", gzip.compress(lines) if name.endswith(".gz") else lines)
    environment.publish(ARTISTS, DAY)
    assert environment.column(ARTISTS, "we_art_id") == [1, 2]


@pytest.mark.parametrize("text", ['[{"we_art_id": 1}]\n', '[\n{"we_art_id": 1}\n]\n', '{\n  "we_art_id": 1\n}\n'])
def test_json_that_is_not_json_lines_is_refused_by_name(environment: Environment, text: str) -> None:
    environment.land(ARTISTS, f"date={DAY}/a.json", text)
    with pytest.raises(LandingError, match=r"a\.json"):
        environment.publish(ARTISTS, DAY)


def test_json_lines_may_omit_null_columns(environment: Environment) -> None:
    environment.land(ARTISTS, f"date={DAY}/a.jsonl", '{"we_art_id": 1}\n{"we_art_id": 2, "comm_id": 20}\n')
    environment.publish(ARTISTS, DAY)
    assert [(r["we_art_id"], r["comm_id"]) for r in environment.read(ARTISTS)] == [(1, None), (2, 20)]


def test_the_day_and_hour_in_the_data_are_ignored(environment: Environment) -> None:
    rows = [environment.line(f"{DAY} 12:00:00", url=ending) for ending in ("csv", "jsonl", "parquet")]
    for row in rows:
        environment.land(LOG, f"a.{row['url']}", [{"date_id": "2024-03-07", "hour": "23", **row}])
    environment.publish(LOG, DAY, "2024-03-07")
    assert environment.read(LOG) == _expected(rows)


def test_parquet_integers_may_have_any_width(environment: Environment) -> None:
    kinds = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint64()]
    for number, kind in enumerate(kinds, start=1):
        types = {"we_art_id": kind, "comm_id": kind}
        environment.land(
            ARTISTS,
            f"date={DAY}/{number}.parquet",
            environment.parquet([environment.artist(number, "x", number)], types),
        )
    environment.publish(ARTISTS, DAY)
    assert environment.column(ARTISTS, "comm_id") == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("column", ["we_art_name", "comm_id"])
def test_a_parquet_column_that_is_all_null_may_have_no_type(environment: Environment, column: str) -> None:
    """This is how pandas writes a column that contains only None."""
    rows = [environment.artist(1, "x", 10), environment.artist(2, "y", 20)]
    environment.land(
        ARTISTS, f"date={DAY}/a.parquet", environment.parquet([rows[0] | {column: None}], {column: pa.null()})
    )
    environment.land(ARTISTS, f"date={DAY}/b.parquet", environment.parquet([rows[1]]))
    environment.publish(ARTISTS, DAY)
    assert environment.column(ARTISTS, column) == [rows[1][column], None]


def test_a_parquet_instant_that_is_all_null_may_have_no_type(environment: Environment) -> None:
    joined = dt.datetime(2024, 3, 1, tzinfo=dt.UTC)
    row = environment.user(1, wv_user_id=1, wv_status="x", wv_first_join_dt=joined, ctry_code="KR", vlive_id=1)
    environment.land(USERS, f"date={DAY}/a.parquet", environment.parquet([row], {"wv_leave_dt": pa.null()}))
    environment.publish(USERS, DAY)
    assert environment.column(USERS, "wv_leave_dt") == [None]


INSTANT_TYPES = (
    pa.timestamp("s"),
    pa.timestamp("ms"),
    pa.timestamp("us"),
    pa.timestamp("ns"),
    pa.timestamp("us", tz="UTC"),
    pa.timestamp("ms", tz="Asia/Seoul"),
    pa.timestamp("ns", tz="America/New_York"),
)


@pytest.fixture(scope="module")
def instants(make_environment: MakeEnvironment) -> Environment:
    """An environment in which one file per type of INSTANT_TYPES contains a user who left at 15:00 UTC."""
    environment = make_environment()
    left = dt.datetime(2024, 3, 1, 15, tzinfo=dt.UTC)
    for number, kind in enumerate(INSTANT_TYPES):
        row = environment.user(
            number, wv_status="x", ctry_code="KR", vlive_id=1, wv_leave_dt=left, wv_first_join_dt=left
        )
        if kind.tz is None:
            row |= dict.fromkeys(("wv_leave_dt", "wv_first_join_dt"), left.replace(tzinfo=None))
        types = {"wv_leave_dt": kind, "wv_first_join_dt": kind, "wv_user_id": pa.int32()}
        environment.land(USERS, f"date={DAY}/{number}.parquet", environment.parquet([row], types))
    environment.publish(USERS, DAY)
    return environment


@pytest.mark.parametrize("number", range(len(INSTANT_TYPES)), ids=[str(kind) for kind in INSTANT_TYPES])
def test_parquet_instants_are_utc_with_or_without_a_zone(instants: Environment, number: int) -> None:
    left = [row["wv_leave_dt"] for row in instants.read(USERS) if row["we_member_id"] == number]
    assert left == [dt.datetime(2024, 3, 1, 15, tzinfo=dt.UTC)]


TEXT_INSTANTS = {
    "2024-03-01 15:00:00": dt.datetime(2024, 3, 1, 15),
    "2024-03-01T15:00:00Z": dt.datetime(2024, 3, 1, 15),
    "2024-03-02 00:00:00+09": dt.datetime(2024, 3, 1, 15),
    "2024-03-02T00:00:00+09:00": dt.datetime(2024, 3, 1, 15),
    "2024-03-01 15:00:00.123456": dt.datetime(2024, 3, 1, 15, 0, 0, 123456),
    "2024-03-01": dt.datetime(2024, 3, 1),
    " 2024-03-01 15:00:00 ": dt.datetime(2024, 3, 1, 15),
    "0001-01-01 00:00:00.0": dt.datetime(1, 1, 1),
    "": None,
}


@pytest.fixture(scope="module")
def text_instants(make_environment: MakeEnvironment) -> Environment:
    """An environment in which one user left at each of TEXT_INSTANTS."""
    environment = make_environment()
    rows = [environment.user(number, wv_leave_dt=text) for number, text in enumerate(TEXT_INSTANTS)]
    environment.land(USERS, f"date={DAY}/a.csv", rows)
    environment.publish(USERS, DAY)
    return environment


@pytest.mark.parametrize("text", TEXT_INSTANTS)
def test_text_instants_without_an_offset_are_utc(text_instants: Environment, text: str) -> None:
    left = [r["wv_leave_dt"] for r in text_instants.read(USERS) if r["we_member_id"] == list(TEXT_INSTANTS).index(text)]
    instant = TEXT_INSTANTS[text]
    assert left == [instant and instant.replace(tzinfo=dt.UTC)]


def test_an_offset_in_one_row_does_not_affect_later_rows(environment: Environment) -> None:
    texts = ["2024-03-01 09:00:00", "2024-03-01 09:00:00 Asia/Seoul", "2024-03-01 09:00:00"]
    environment.overrides["quarantine_share"] = 1.0
    environment.land(
        USERS, f"date={DAY}/a.csv", [environment.user(n, wv_leave_dt=text) for n, text in enumerate(texts)]
    )
    environment.publish(USERS, DAY)
    naive = [row["wv_leave_dt"] for row in environment.read(USERS) if row["we_member_id"] != 1]
    assert naive == [dt.datetime(2024, 3, 1, 9, tzinfo=dt.UTC)] * 2


ODD_NAMES = (
    "with space.csv",
    "it's.csv",
    'say "hi".csv',
    "한국어 é.csv",
    "per%20cent.csv",
    "semi;colon,comma&and.csv",
    "back\\slash.csv",
    "a=b.csv",
    "dollar$ {brace}.csv",
    "-dash.csv",
    "two..dots.csv",
    "s3:.csv",
)


@pytest.fixture(scope="module")
def named(make_environment: MakeEnvironment) -> Environment:
    """An environment in which each file of ODD_NAMES contains a good and a bad row, both named after the file."""
    environment = make_environment(quarantine_share=1.0)
    for number, name in enumerate(ODD_NAMES):
        rows = [environment.artist(number, name, number), environment.artist(None, name, number)]
        environment.land(ARTISTS, f"date={DAY}/{name}", rows)
    environment.publish(ARTISTS, DAY)
    return environment


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_file_of_any_name_is_read(named: Environment, name: str) -> None:
    assert named.column(ARTISTS, "we_art_name").count(name) == 1


@pytest.mark.parametrize("name", ODD_NAMES)
def test_the_quarantine_names_a_file_of_any_name(named: Environment, name: str) -> None:
    of_file = [row for row in named.quarantine(ARTISTS) if row["file"] == f"date={DAY}/{name}"]
    assert [row["raw_row"]["we_art_name"] for row in of_file] == [name]


@pytest.mark.parametrize(("name", "other"), [("a*.csv", "ab.csv"), ("a?.csv", "ab.csv"), ("a[1].csv", "a1.csv")])
def test_a_file_name_is_not_a_pattern(environment: Environment, name: str, other: str) -> None:
    environment.land(LOG, f"date={DAY}/{name}", [environment.line(url="pattern")])
    environment.land(LOG, f"date={DAY}/{other}", [environment.line(url="other")])
    environment.publish(LOG, DAY)
    assert environment.column(LOG, "url") == ["other", "pattern"]


def test_the_landing_folder_may_have_an_unusual_name(make_environment: MakeEnvironment) -> None:
    environment = make_environment()
    environment.overrides["landing"] = environment.root / "it's a [landing] *"
    environment.land(ARTISTS, f"date={DAY}/a.csv", [environment.artist(1)])
    environment.publish(ARTISTS, DAY)
    assert environment.column(ARTISTS, "we_art_id") == [1]
