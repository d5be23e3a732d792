"""Landing files on Spark: the rows, the reasons and the raw rows that DuckDB makes of the same files.

What DuckDB makes of them is tested by itself, in the other modules here; their files are landed in one environment and
published by both engines.
"""

from __future__ import annotations

import datetime as dt
import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from wemart_assets import catalog
from wemart_assets.lake.engine import FileFormat, FileKind
from wemart_assets.lake.errors import LandingError
from wemart_assets.lake.location import Location
from wemart_assets.lake.spark_landing import spark_expression
from wemart_assets.sources.landing import Landing
from wemart_assets.sources.mapping import mapping_of
from wemart_assets.sources.ready import ready_mapping
from wemart_assets.sources.records import survey
from wemart_assets_tests.engines import open_lake, settings_of
from wemart_assets_tests.sources import test_bad_input as bad
from wemart_assets_tests.sources import test_landing_formats as formats
from wemart_assets_tests.sources import test_quarantine as quarantined
from wemart_assets_tests.sources.ready_files import CASES, Case

if TYPE_CHECKING:
    from wemart_assets_tests.environments import Environment, MakeEnvironment

pytestmark = pytest.mark.spark

LOG, ARTISTS, USERS = formats.LOG, formats.ARTISTS, formats.USERS
MEMBERSHIPS = quarantined.MEMBERSHIPS
DAY = "2024-03-02"
FIRST, LAST = "2024-03-01", "2024-04-12"

# Rows that break the contract, with their text written in every possible way.
RAW_JSON = (
    '{"we_art_id":null,"we_art_name":"tight"}\n'
    '  { "we_art_id" : "x" , "n" : 1.50, "deep": [1, {"a": null}], "we_art_name": "wide \\u00e9\\/" }  \r\n'
    "\n"
    '{"we_art_id": 1e3, "comm_id": 12345678901234567890}\n'
    "{}"
)
TYPED = pa.table(
    {
        "we_art_id": pa.array([None, None], pa.int64()),
        "we_art_name": ['é "quoted"\t\u0001 / <&>', None],
        "comm_id": pa.array([1, 2], pa.int32()),
        "a_double": [0.1, -1.5],
        "a_float": pa.array([0.5, None], pa.float32()),
        "a_decimal": pa.array([1, 2], pa.decimal128(10, 2)),
        "a_boolean": [True, None],
        "a_date": [dt.date(2024, 3, 5), None],
        "an_instant": pa.array([dt.datetime(2024, 3, 5, 1, 2, 3, 450000), None], pa.timestamp("us", "UTC")),
        "nanoseconds": pa.array([dt.datetime(2024, 3, 5, 1, 2, 3, 400000), None], pa.timestamp("ns", "UTC")),
        "a_clock": pa.array([dt.datetime(2024, 3, 5), None], pa.timestamp("us")),
        "a_list": [[1, 2], None],
        "a_struct": [{"x": 1, "y": None}, None],
    }
)


@pytest.fixture(scope="module")
def environments(make_environment: MakeEnvironment) -> dict[str, Environment]:
    """By engine, an environment that has published every file that the other modules land."""
    duckdb = make_environment(quarantine_share=1.0)
    cases = formats.SAME_DELIVERIES.values()
    days = [(dt.date.fromisoformat(FIRST) + dt.timedelta(days=n)).isoformat() for n in range(43)]
    for day, files in zip(days, cases, strict=False):
        for name, content in files.items():
            encoded = duckdb.parquet(content) if isinstance(content, pa.Table) else content
            duckdb.land(ARTISTS, f"date={day}/{name}", encoded)
    day = days[len(cases)]
    for number, name in enumerate(name for name in formats.ODD_NAMES if ":" not in name):
        rows = [duckdb.artist(number, name, number), duckdb.artist(None, name, number)]
        duckdb.land(ARTISTS, f"date={day}/{name}", rows)
    duckdb.land(ARTISTS, f"date={day}/raw.jsonl", RAW_JSON)
    duckdb.land(ARTISTS, f"date={day}/raw.jsonl.gz", gzip.compress(RAW_JSON.encode()))
    duckdb.land(ARTISTS, f"date={day}/typed.parquet", duckdb.parquet(TYPED))
    for number, (ending, of) in enumerate(zip(formats.ENDINGS, days, strict=False)):
        duckdb.land(LOG, f"date={of}/lines.{ending}", formats._lines(duckdb, of))
        duckdb.land(LOG, f"date={of}/empty{number}.csv", duckdb.csv([duckdb.line()]).splitlines()[0] + "\n")
    left = dt.datetime(2024, 3, 1, 15, 0, 0, 123456, tzinfo=dt.UTC)
    for number, kind in enumerate(formats.INSTANT_TYPES):
        row = duckdb.user(number, wv_status="x", ctry_code="KR", vlive_id=1, wv_leave_dt=left, wv_first_join_dt=left)
        if kind.tz is None:
            row |= dict.fromkeys(("wv_leave_dt", "wv_first_join_dt"), left.replace(tzinfo=None))
        if kind.unit in ("s", "ms"):
            row |= {c: row[c].replace(microsecond=0) for c in ("wv_leave_dt", "wv_first_join_dt")}
        types = {"wv_leave_dt": kind, "wv_first_join_dt": kind, "wv_user_id": pa.int32()}
        duckdb.land(USERS, f"date={FIRST}/{number}.parquet", duckdb.parquet([row], types))
    texts = [duckdb.user(number, wv_leave_dt=text) for number, text in enumerate(formats.TEXT_INSTANTS)]
    texts += [duckdb.user(100 + n, **{column: text}) for n, (column, text) in enumerate(quarantined.MISREAD)]
    duckdb.land(USERS, f"date={days[1]}/a.csv", texts)
    for source, broken in quarantined.BROKEN.items():
        rows = [
            quarantined._row(duckdb, source, number) | {column: value, "case": number}
            for number, (column, value, _) in enumerate(broken)
        ]
        whole = quarantined._row(duckdb, source, 1000) | {"case": 1000}
        duckdb.land(source, f"date={quarantined.DAY}/broken.csv", [*rows, whole])
    spark = make_environment(quarantine_share=1.0, **settings_of("spark"))
    spark.overrides["landing"] = duckdb.landing
    for environment in (duckdb, spark):
        for source in (ARTISTS, LOG, USERS, MEMBERSHIPS):
            environment.publish(source, FIRST, LAST)
    return {"duckdb": duckdb, "spark": spark}


@pytest.mark.slow
@pytest.mark.parametrize("source", [ARTISTS, LOG, USERS, MEMBERSHIPS])
def test_rows_are_the_same_as_on_duckdb(environments: dict[str, Environment], source: str) -> None:
    known, found = environments["duckdb"].read(source), environments["spark"].read(source)
    assert known
    assert [row for row in found if row not in known] == []
    assert found == known


@pytest.mark.slow
@pytest.mark.parametrize("source", [ARTISTS, LOG, USERS, MEMBERSHIPS])
def test_quarantined_rows_and_their_reasons_are_the_same_as_on_duckdb(
    environments: dict[str, Environment], source: str
) -> None:
    known, found = (environments[engine].read(f"{source}__quarantine") for engine in ("duckdb", "spark"))
    assert known
    assert [row for row in found if row not in known] == []
    assert found == known


@pytest.mark.parametrize("case", bad.BROKEN_FILES)
def test_a_broken_file_is_named_and_nothing_changes(environment: Environment, case: str) -> None:
    environment.overrides |= settings_of("spark")
    name, content = bad.BROKEN_FILES[case]
    environment.land(ARTISTS, f"date={bad.DAY}/{name}", content)
    with pytest.raises(LandingError, match=f"(?s){name}"):
        environment.publish(ARTISTS, bad.DAY)
    assert environment.read(ARTISTS) == []


@pytest.mark.parametrize("name", bad.UNREADABLE.values())
def test_a_cut_off_file_is_named_and_nothing_changes(environment: Environment, name: str) -> None:
    environment.overrides |= settings_of("spark")
    whole = environment.land(ARTISTS, f"date={bad.DAY}/{name}", bad._noise(5000))
    whole.write_bytes(bad._cut(whole.read_bytes()))
    run = environment.run(bad.DAY, tables=[ARTISTS])
    assert name in run.failed.get(ARTISTS, f"no clear failure: {run.crashed}")


def test_a_gz_ending_in_upper_case_is_a_readable_error(environment: Environment) -> None:
    environment.overrides |= settings_of("spark")
    environment.land(ARTISTS, f"date={DAY}/A.CSV.GZ", [environment.artist(1)])
    with pytest.raises(LandingError, match=r"A\.CSV\.GZ.*lower-case \.gz; rename it"):
        environment.publish(ARTISTS, DAY)


def test_a_colon_in_a_name_is_a_readable_error(environment: Environment) -> None:
    environment.overrides |= settings_of("spark")
    environment.land(ARTISTS, f"date={DAY}/s3:.csv", [environment.artist(1)])
    with pytest.raises(LandingError, match=r"s3:\.csv: Spark cannot read a file with a colon in its path; rename it"):
        environment.publish(ARTISTS, DAY)


# sources.yaml

ROWS: list[dict[str, Any]] = [
    {"n": "1704067200", "t": " Ab,c ", "seen": "2024-03-05 01:02:03", "f": 2.5, "d": '{"a": {"b": "x"}}'},
    {"n": "12.5", "t": "한국", "seen": "2024-12-31T23:59:59Z", "f": -1.5, "d": '{"a": 7}'},
    {"n": "-3", "t": None, "seen": None, "f": None, "d": None},
    {"n": "9007199254740993", "t": "", "seen": "2024-03-05 01:02:03+09:00", "f": 1e6, "d": "{}"},
]
EXPRESSIONS = (
    "n",
    "cast(n as bigint)",
    "cast(n as bigint) * 1000",
    "n::double",
    "try_cast(t as int)",
    "try_cast(n as int)",
    "cast(f as int)",
    "cast(round(f) as bigint)",
    "floor(f)",
    "f / 2",
    "cast(f * 1000 as bigint)",
    "upper(t) || '!'",
    "trim(lower(t))",
    "coalesce(nullif(t, ''), 'none')",
    "case when t = '' then null else t end",
    "if(f > 0, 'plus', 'minus')",
    "substr(t, 1, 2)",
    "left(t, 1)",
    "length(t)",
    "replace(t, ',', ';')",
    "split_part(t, ',', 1)",
    "regexp_extract(n, '^([0-9]+)', 1)",
    "regexp_replace(t, '[A-Z]', '_', 'g')",
    "regexp_matches(n, '^[0-9]+$')",
    "t like '%c%'",
    "t in ('한국', 'x')",
    "concat(n, '-', t)",
    "lpad(n, 12, '0')",
    "strptime(substr(seen, 1, 10), '%Y-%m-%d')",
    "cast(seen as timestamptz)",
    "epoch_ms(cast(seen as timestamptz))",
    "epoch(cast(seen as timestamptz)) * 1000",
    "epoch_ms(cast(f * 1000 as bigint))",
    "cast(seen as timestamp) at time zone 'Asia/Seoul'",
    "cast(seen as timestamptz) at time zone 'Asia/Seoul'",
    "cast(epoch_ms(cast(seen as timestamptz)) / 1000 as bigint)",
    "cast(substr(seen, 1, 10) as date)",
    "strftime(cast(substr(seen, 1, 10) as date), '%Y%m%d')",
    "date_trunc('month', cast(substr(seen, 1, 10) as date))",
    "cast(substr(seen, 1, 10) as date) + interval 1 day",
    "extract(year from cast(substr(seen, 1, 10) as date))",
    "json_extract_string(d, '$.a.b')",
    "d->>'$.a'",
    "cast(d->>'$.a' as varchar)",
    "greatest(f, 0)",
    "try_strptime(t, '%Y-%m-%d')",
    "epoch_ms(cast(try_strptime('02/Mar/2024:10:00:00 -0130', '%d/%b/%Y:%H:%M:%S %z') as timestamptz))",
    "epoch_ms(cast(try_strptime('31/Feb/2024:10:00:00 +0900', '%d/%b/%Y:%H:%M:%S %z') as timestamptz))",
    "epoch_ms(cast(try_strptime(replace(seen, 'T', ' '), '%Y-%m-%d %H:%M:%S') as timestamp))",
    "epoch_ms(cast(n as bigint) // 1000)",
    "concat_ws('|', n, t, nullif(t, ''))",
    "length(t) - length(replace(t, chr(44), ''))",
    "json_valid(t)",
    "regexp_matches(lower(t), '^A', 'i')",
    "regexp_replace(t, '[a-z]', '_', 'gi')",
    r"regexp_replace(t, '([A-Z])', '<\1$1\\>', 'g')",
    r"regexp_matches(t || chr(10), '^\S+$')",
    r"regexp_extract(chr(13) || chr(11) || 'x$', '^.([^\s]*)[$]$', 1)",
    "abs(f)",
    "md5(t)",
    "1",
    "'text'",
    "null",
)


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    lake = tmp_path_factory.mktemp("expressions") / "lake"
    with open_lake("duckdb", lake).connect() as duckdb, open_lake("spark", lake).connect() as spark:
        yield {"duckdb": duckdb, "spark": spark}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_gives_the_same_on_both_engines(
    sessions: dict[str, Any], environment: Environment, tmp_path: Path, expression: str
) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(environment.parquet(pa.Table.from_pylist(ROWS)))
    found = {}
    for name, session in sessions.items():
        rows = session.scan([str(path)], FileFormat(FileKind.PARQUET), list(ROWS[0]), {"v": expression, "key": "n"})
        if rows.v.type().is_temporal():
            # The same instant, as a column of the contract represents it.
            rows = rows.mutate(v=rows.v.cast("timestamp('UTC')"))
        found[name] = {
            r["key"]: r["v"] for r in session.connection.ibis.to_pyarrow(rows.select("key", "v")).to_pylist()
        }
    assert found["spark"] == found["duckdb"]


def _events(*events: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


ACCESS = '{} - {} [02/Mar/2024:10:00:00 +0900] "GET /{} HTTP/1.1" 200 5 "-" "{}"\n'
SEGMENT: dict[str, Any] = {"anonymousId": "a", "timestamp": "2024-03-02T03:00:00Z"}
GA4: dict[str, Any] = {"user_pseudo_id": "p", "event_name": "x", "event_timestamp": "1709348400000000"}
PAGE = [{"key": "page_location", "value": {"string_value": 'a}"b\u2028\n\U0001f600'}}]
SNOWPLOW = ["web", "", "2024-03-02 03:00:00", *[""] * 127]
# What Java and RE2 take for line ends and white space, text in place of objects, and times that one engine would read.
ODD_CONTENTS = {
    "nginx_combined": "".join(
        ACCESS.format(*values)
        for values in (
            *(("a\vb", "-", "c\vd", "x"), ("a", "5\r", "c", "x"), ("a", "5\u2028", "c", "x"), ("a", "5\x85", "c", "x")),
            *(("a", "-", "c\\\r", "x\\\u2028y"), ("a\xa0", "b[c", "\u3000", "\\"), ("a\x01b", "0999", " c", "")),
        )
    ).encode(),
    "snowplow": "".join(
        "\t".join([str(place), *SNOWPLOW, "\t"])[:-2] + end
        for place, end in enumerate(("\n", "\r\n", "\t\n", "\u2028\n", "\r\r\n"))
    ).encode(),
    "segment_json": _events(
        *(
            SEGMENT | {"messageId": f"c{place}", "context": context, "properties": context}
            for place, context in enumerate(
                ("text", "{'userAgent': 'x'}", "[1", [1], 5, {"device": {"type": "\u0130OS"}})
            )
        ),
        *(SEGMENT | {"messageId": f"u{place}", "userId": user} for place, user in enumerate(("5\n", "5\r", 5, [1, 2]))),
        *(
            SEGMENT | {"messageId": f"t{zone}", "timestamp": f"2024-03-02T03:00:00{zone}"}
            for zone in ("Z\n", "+24:00", "+19:00", "+09:75", ".123456789Z")
        ),
    ),
    "ga4_json": _events(
        *(GA4 | {"event_timestamp": time} for time in ("9223372036854775807", "1.7e15", " 1", "-1001", None)),
        *(GA4 | {"device": device, "geo": device} for device in ("text", {"category": 5}, ["KR"])),
        *(
            GA4 | {"event_params": page}
            for page in (PAGE, "text", r'"key":"page_location","value":{"string_value":"\q"}')
        ),
    ),
    "segment_warehouse": (
        "id,anonymous_id,user_id,event,timestamp,received_at,context_ip,context_locale,context_user_agent,context_page_url\n"
        + "".join(
            f"{place},a,5,e,{time},{time},,,,\n"
            for place, time in enumerate(
                f"2024-03-02 10:00:00{zone}"
                for zone in (
                    "",
                    " KST",
                    "",
                    "+09:30",
                    "",
                    " UTC",
                    " Z",
                    " +0000",
                    "+19:00",
                    ".1234567",
                    " UTC+9",
                    "",
                    " ",
                )
            )
        )
    ).encode(),
}
ODD_CASES = [
    replace(case, file=case.file.replace(".parquet", ".csv"), content=ODD_CONTENTS[case.mapping])
    for case in CASES
    if case.mapping in ODD_CONTENTS
]


@pytest.mark.parametrize(
    ("case", "source"),
    [(case, source) for case in [*CASES, *ODD_CASES] for source in ready_mapping(case.mapping).entries],
    ids=lambda value: value if isinstance(value, str) else value.mapping,
)
def test_a_ready_mapping_gives_the_same_on_both_engines(
    sessions: dict[str, Any], tmp_path: Path, case: Case, source: str
) -> None:
    contract = catalog.contracts()[source]
    mapping = mapping_of("test", contract, {"use": case.mapping})
    path = tmp_path / "landing" / source / case.file
    path.parent.mkdir(parents=True)
    path.write_bytes(case.content)
    places = Location.of(tmp_path / "landing"), Location.of(tmp_path / "lake")
    landing = Landing(contract, mapping, *places, "Asia/Seoul", "2024-03-01")
    # Each engine finds the same in a file; what it makes of it is compared here.
    [entry] = landing.index(sessions["duckdb"], landing.files()).values()
    assert entry.error is None
    found = {}
    for name, session in sessions.items():
        [rows] = landing.rows(session, [entry])
        table = session.connection.ibis.to_pyarrow(rows.select(*(c.name for c in contract.columns), "_reason", "_raw"))
        found[name] = sorted(table.to_pylist(), key=repr)
    assert found["duckdb"]
    assert found["spark"] == found["duckdb"]


def test_an_expression_that_fails_names_its_column_and_file_on_both_engines(
    sessions: dict[str, Any], tmp_path: Path
) -> None:
    contract = catalog.contracts()[LOG]
    columns = {"unix_log_timestamp": "cast(time as bigint) * 1000"}
    mapping = mapping_of("test", contract, {"columns": columns})
    path = tmp_path / "landing" / LOG / "a.csv"
    path.parent.mkdir(parents=True)
    path.write_text("time\nsoon\n")
    for name, session in sessions.items():
        places = Location.of(tmp_path / "landing"), Location.of(tmp_path / name)
        landing = Landing(contract, mapping, *places, "Asia/Seoul", "2024-03-01")
        [entry] = landing.index(session, landing.files()).values()
        expected = (
            f"{LOG}: landing file a.csv: the expression of unix_log_timestamp fails: {columns['unix_log_timestamp']}"
        )
        assert str(entry.error).startswith(expected)
        assert "All columns of text formats are text" in str(entry.error)
        assert str(entry.error).count("a.csv") == 1


def test_an_ambiguous_expression_is_a_readable_error(sessions: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("n\n1\n")
    with pytest.raises(LandingError, match="has to be cast to TIMESTAMP or TIMESTAMPTZ"):
        sessions["spark"].scan(
            [str(path)],
            FileFormat(FileKind.CSV, names=("n",), has_header=True),
            ["n"],
            {"v": "n at time zone 'Asia/Seoul'"},
        )


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("regexp_replace(n, 'a', 'b')", "Spark replaces all matches, not only the first"),
        ("regexp_matches(n, 'a', 's')", "the option s, which Spark does not have"),
        ("regexp_matches(n, n, 'i')", "has to be a constant on Spark"),
    ],
)
def test_a_regular_expression_that_spark_would_apply_in_another_way_is_a_readable_error(
    expression: str, message: str
) -> None:
    with pytest.raises(LandingError, match=message):
        spark_expression(expression)


def test_an_expression_unknown_to_spark_is_a_readable_error(sessions: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("n\n1\n")
    with pytest.raises(LandingError, match=r"a\.csv.*frobnicate"):
        sessions["spark"].scan(
            [str(path)], FileFormat(FileKind.CSV, names=("n",), has_header=True), ["n"], {"v": "frobnicate(n)"}
        )


@pytest.mark.parametrize("null", [None, "-", "NULL"])
@pytest.mark.parametrize("has_header", [True, False])
def test_csv_null_and_names_options_give_the_same_on_both_engines(
    sessions: dict[str, Any], tmp_path: Path, null: str | None, has_header: bool
) -> None:
    path = tmp_path / "a.csv"
    quotes = '"q ""q""",NULL\n"one,o\ne\r\none","{""k"":""v""}"\n"x","""y"""\n"two\nlines",1\n'
    path.write_bytes((("a,b\n" if has_header else "") + 'x,-\n-,""\n,"-"\n  , \n' + quotes).encode())
    form = FileFormat(FileKind.CSV, null=null, names=("a", "b"), has_header=has_header)
    assert (
        survey(Location.of(path.parent), path.name, replace(form, names=() if has_header else form.names)) is not None
    )
    found = {}
    for name, session in sessions.items():
        rows = session.scan([str(path)], form, ["a", "b"], {"a": "a", "b": "b"})
        found[name] = sorted(map(repr, session.connection.ibis.to_pyarrow(rows).to_pylist()))
    assert found["spark"] == found["duckdb"]
