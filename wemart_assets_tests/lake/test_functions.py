"""The lake's own functions, compared with plain Python."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import ibis.expr.types as ir
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wemart_assets.lake.clocks import repeats
from wemart_assets.lake.functions import (
    business_date,
    business_day,
    day_of_local,
    from_utc_timestamp,
    get_json_object,
    in_repeated_time,
    instant_of,
    json_fields,
    timestamp_millis,
    unix_millis,
    unix_seconds,
)
from wemart_assets.lake.session import Lake
from wemart_assets_tests.engines import ENGINES, table_of


@pytest.fixture(scope="module", params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


Evaluate = Callable[[str, Sequence[Any], Callable[[Any], ir.Value]], list[Any]]
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
ARROW = {
    "timestamp": pa.timestamp("us", "UTC"),
    "local": pa.timestamp("us"),
    "bigint": pa.int64(),
    "string": pa.string(),
}

ZONES = (
    "Asia/Seoul",
    "America/New_York",
    "Australia/Lord_Howe",  # half an hour of summer time
    "Europe/London",
    "America/Sao_Paulo",  # changed at midnight, until 2019
    "America/St_Johns",  # changed at one minute past midnight, until 2011
    "America/Havana",  # one o'clock back to midnight
    "America/Caracas",  # half an hour back in 2007
    "Asia/Pyongyang",  # half an hour back in 2015
    "Europe/Moscow",  # an hour back in 2014, for good
    "Antarctica/Troll",  # two hours of summer time
    "Pacific/Apia",  # skipped a day
)
INSTANTS = st.datetimes(dt.datetime(1990, 1, 1), dt.datetime(2037, 12, 31), timezones=st.just(dt.UTC))
WIDE_INSTANTS = st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2200, 1, 1), timezones=st.just(dt.UTC))
PROPERTY = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def evaluate(engine: Callable[[Path], Lake], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evaluate]:
    """Evaluates an expression over a column `v` of these values, in order."""
    with engine(tmp_path_factory.mktemp("functions") / "lake").connect() as session:
        opened: Any = session
        queries: dict[tuple[str, Callable[[Any], ir.Value]], str] = {}

        def of_spark(table: ir.Table, expression: Callable[[Any], ir.Value]) -> list[Any]:
            found = table.select("n", found=expression(table.v)).order_by("n")
            return opened.connection.ibis.to_pyarrow(found)["found"].to_pylist()

        def run(kind: str, values: Sequence[Any], expression: Callable[[Any], ir.Value]) -> list[Any]:
            arrow = pa.table({"n": range(len(values)), "v": pa.array(values, ARROW[kind])})
            if hasattr(opened.connection, "spark"):
                return of_spark(table_of(opened, arrow), expression)
            table = opened.connection.ibis.create_table(f"of_{kind}", arrow, temp=True, overwrite=True)
            # Compiling an expression costs far more than running it.
            if (kind, expression) not in queries:
                found = table.select("n", found=expression(table.v)).order_by("n")
                queries[kind, expression] = opened.connection.ibis.compile(found)
            return opened.connection.raw.execute(queries[kind, expression]).to_arrow_table()["found"].to_pylist()

        yield run


def whole(instant: dt.datetime, unit: dt.timedelta) -> int:
    """Units since the epoch, rounded down."""
    return (instant - EPOCH) // unit


def transitions(zone: str) -> list[dt.datetime]:
    """Every instant from 1990 to 2037 at which the clocks of a zone change, by bisection to the second."""
    found, tz = [], ZoneInfo(zone)
    at = dt.datetime(1990, 1, 1, tzinfo=dt.UTC)
    while at.year < 2038:
        after = at + dt.timedelta(days=1)
        if at.astimezone(tz).utcoffset() != after.astimezone(tz).utcoffset():
            low, high = at, after
            while high - low > dt.timedelta(seconds=1):
                middle = low + (high - low) // 2
                middle = middle.replace(microsecond=0)
                if middle.astimezone(tz).utcoffset() == at.astimezone(tz).utcoffset():
                    low = middle
                else:
                    high = middle
            found.append(high)
        at = after
    return found


def around(instants: Sequence[dt.datetime]) -> list[dt.datetime]:
    """Instants on both sides of each given one, near and up to two and a half hours away."""
    steps = [dt.timedelta(minutes=m) for m in (0, 10, 29, 30, 31, 59, 60, 61, 119, 120, 121, 150)]
    microsecond = dt.timedelta(microseconds=1)
    return [
        i + sign * step + shift
        for i in instants
        for step in steps
        for sign in (1, -1)
        for shift in (-microsecond, dt.timedelta(), microsecond)
    ]


# Instants and numbers


@pytest.mark.parametrize(
    ("millis", "instant"),
    [
        (0, EPOCH),
        (1_709_600_400_123, dt.datetime(2024, 3, 5, 1, 0, 0, 123_000, tzinfo=dt.UTC)),
        (-1, dt.datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=dt.UTC)),
        (253_402_300_799_999, dt.datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=dt.UTC)),
    ],
)
def test_timestamp_millis_turns_a_number_into_an_instant(evaluate: Evaluate, millis: int, instant: dt.datetime) -> None:
    assert evaluate("bigint", [millis], timestamp_millis) == [instant]


@pytest.mark.parametrize(
    ("clock", "seconds"),
    [
        ("2024-03-05 01:00:00.000000", 1_709_600_400),
        ("2024-03-05 01:00:00.000001", 1_709_600_400),
        ("2024-03-05 01:00:00.499999", 1_709_600_400),
        ("2024-03-05 01:00:00.500000", 1_709_600_400),
        ("2024-03-05 01:00:00.999999", 1_709_600_400),
        ("1969-12-31 23:59:59.999999", -1),
        ("1969-12-31 23:59:59.000000", -1),
        ("1969-12-31 23:59:58.999999", -2),
    ],
)
def test_unix_seconds_rounds_down(evaluate: Evaluate, clock: str, seconds: int) -> None:
    assert evaluate("timestamp", [dt.datetime.fromisoformat(f"{clock}+00:00")], unix_seconds) == [seconds]


@pytest.mark.parametrize(
    ("clock", "millis"),
    [
        ("2024-03-05 01:00:00.123999", 1_709_600_400_123),
        ("1969-12-31 23:59:59.999000", -1),
        ("1969-12-31 23:59:59.999999", -1),
        ("1969-12-31 23:59:59.998999", -2),
    ],
)
def test_unix_millis_rounds_down(evaluate: Evaluate, clock: str, millis: int) -> None:
    assert evaluate("timestamp", [dt.datetime.fromisoformat(f"{clock}+00:00")], unix_millis) == [millis]


@PROPERTY
@given(st.lists(WIDE_INSTANTS, min_size=1, max_size=30))
def test_unix_seconds_is_the_floor_for_any_instant(evaluate: Evaluate, instants: list[dt.datetime]) -> None:
    assert evaluate("timestamp", instants, unix_seconds) == [whole(i, dt.timedelta(seconds=1)) for i in instants]


@PROPERTY
@given(st.lists(WIDE_INSTANTS, min_size=1, max_size=30))
def test_unix_millis_is_the_floor_for_any_instant(evaluate: Evaluate, instants: list[dt.datetime]) -> None:
    assert evaluate("timestamp", instants, unix_millis) == [whole(i, dt.timedelta(milliseconds=1)) for i in instants]


@PROPERTY
@given(st.lists(st.integers(-(10**13), 10**13), min_size=1, max_size=30))
def test_milliseconds_survive_a_round_trip_through_an_instant(evaluate: Evaluate, millis: list[int]) -> None:
    assert evaluate("bigint", millis, lambda v: unix_millis(timestamp_millis(v))) == millis


def test_null_instants_and_numbers_stay_null(evaluate: Evaluate) -> None:
    assert evaluate("bigint", [None], timestamp_millis) == [None]
    assert evaluate("timestamp", [None], unix_millis) == [None]
    assert evaluate("timestamp", [None], unix_seconds) == [None]
    assert evaluate("timestamp", [None], lambda v: business_day(v, "Asia/Seoul")) == [None]


# Business days


@pytest.mark.parametrize(
    ("zone", "utc", "day"),
    [
        ("Asia/Seoul", "2024-03-04 14:59:59.999999", "2024-03-04"),
        ("Asia/Seoul", "2024-03-04 15:00:00.000000", "2024-03-05"),
        ("UTC", "2024-03-04 23:59:59.999999", "2024-03-04"),
        ("UTC", "2024-03-05 00:00:00.000000", "2024-03-05"),
        # Clocks forward on 2024-03-10: that day ends an hour earlier in UTC than the day before.
        ("America/New_York", "2024-03-10 04:59:59.999999", "2024-03-09"),
        ("America/New_York", "2024-03-10 05:00:00.000000", "2024-03-10"),
        ("America/New_York", "2024-03-11 03:59:59.999999", "2024-03-10"),
        ("America/New_York", "2024-03-11 04:00:00.000000", "2024-03-11"),
        # Clocks back on 2024-11-03.
        ("America/New_York", "2024-11-03 03:59:59.999999", "2024-11-02"),
        ("America/New_York", "2024-11-04 04:59:59.999999", "2024-11-03"),
        ("America/New_York", "2024-11-04 05:00:00.000000", "2024-11-04"),
        # 2018-11-04 had no midnight in Sao Paulo.
        ("America/Sao_Paulo", "2018-11-04 02:59:59.999999", "2018-11-03"),
        ("America/Sao_Paulo", "2018-11-04 03:00:00.000000", "2018-11-04"),
        # Samoa had no 2011-12-30.
        ("Pacific/Apia", "2011-12-30 09:59:59.999999", "2011-12-29"),
        ("Pacific/Apia", "2011-12-30 10:00:00.000000", "2011-12-31"),
        # Half a second before 1970, UTC and Seoul are on different days.
        ("Asia/Seoul", "1969-12-31 23:59:59.500000", "1970-01-01"),
        ("UTC", "1969-12-31 23:59:59.500000", "1969-12-31"),
    ],
)
def test_business_date_changes_at_local_midnight(evaluate: Evaluate, zone: str, utc: str, day: str) -> None:
    instant = dt.datetime.fromisoformat(f"{utc}+00:00")
    assert evaluate("timestamp", [instant], lambda v: business_date(v, zone)) == [dt.date.fromisoformat(day)]
    assert evaluate("timestamp", [instant], lambda v: business_day(v, zone)) == [day]


LOCAL_TIME = {zone: (lambda v, zone=zone: from_utc_timestamp(v, zone)) for zone in ZONES}
BUSINESS_DATE = {zone: (lambda v, zone=zone: business_date(v, zone)) for zone in ZONES}
SECOND_PASS = {zone: (lambda v, zone=zone: in_repeated_time(v, zone)) for zone in ZONES}


@PROPERTY
@given(st.sampled_from(ZONES), st.lists(INSTANTS, min_size=1, max_size=50))
def test_local_time_and_business_date_match_the_calendar(
    evaluate: Evaluate, zone: str, instants: list[dt.datetime]
) -> None:
    local = [i.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0) for i in instants]
    assert evaluate("timestamp", instants, LOCAL_TIME[zone]) == local
    assert evaluate("timestamp", instants, BUSINESS_DATE[zone]) == [at.date() for at in local]


@pytest.mark.parametrize("zone", ZONES)
def test_local_time_is_right_around_every_clock_change(evaluate: Evaluate, zone: str) -> None:
    instants = around([*transitions(zone), dt.datetime(2024, 3, 5, tzinfo=dt.UTC)])
    local = [i.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0) for i in instants]
    assert evaluate("timestamp", instants, lambda v: from_utc_timestamp(v, zone)) == local


# Repeated hours


@pytest.mark.parametrize(
    ("zone", "seconds"),
    [
        ("UTC", ()),
        ("Asia/Kolkata", ()),
        ("America/New_York", (3600,)),
        ("Australia/Lord_Howe", (1800, 3600)),  # Lord Howe kept a whole hour until 1985
        ("Antarctica/Troll", (7200,)),
        ("Asia/Seoul", (3600,)),  # 1987 and 1988
    ],
)
def test_repeats_list_how_far_the_clocks_were_ever_set_back(zone: str, seconds: tuple[int, ...]) -> None:
    assert repeats(zone) == seconds


@pytest.mark.parametrize(
    ("zone", "utc", "again"),
    [
        # 01:00 to 02:00 was repeated in New York on 2024-11-03; the clocks were set back at 06:00 UTC.
        ("America/New_York", "2024-11-03 04:59:59.999999", False),
        ("America/New_York", "2024-11-03 05:30:00", False),
        ("America/New_York", "2024-11-03 05:59:59.999999", False),
        ("America/New_York", "2024-11-03 06:00:00", True),
        ("America/New_York", "2024-11-03 06:59:59.999999", True),
        ("America/New_York", "2024-11-03 07:00:00", False),
        # The hour skipped in spring is not repeated.
        ("America/New_York", "2024-03-10 07:00:00", False),
        # Half an hour on Lord Howe on 2024-04-07, set back at 15:00 UTC of the day before.
        ("Australia/Lord_Howe", "2024-04-06 14:59:59.999999", False),
        ("Australia/Lord_Howe", "2024-04-06 15:00:00", True),
        ("Australia/Lord_Howe", "2024-04-06 15:29:59.999999", True),
        ("Australia/Lord_Howe", "2024-04-06 15:30:00", False),
    ],
)
def test_in_repeated_time_matches_known_instants(evaluate: Evaluate, zone: str, utc: str, again: bool) -> None:
    instant = dt.datetime.fromisoformat(f"{utc}+00:00")
    assert evaluate("timestamp", [instant], lambda v: in_repeated_time(v, zone)) == [again]


def test_no_hour_of_2024_was_repeated_in_seoul(evaluate: Evaluate) -> None:
    start = dt.datetime(2023, 12, 31, 15, 0, tzinfo=dt.UTC)
    quarters = [start + n * dt.timedelta(minutes=15) for n in range(366 * 96)]
    assert not any(evaluate("timestamp", quarters, lambda v: in_repeated_time(v, "Asia/Seoul")))


@pytest.mark.parametrize("zone", ZONES)
def test_in_repeated_time_is_the_second_pass_according_to_the_calendar(evaluate: Evaluate, zone: str) -> None:
    instants = around(transitions(zone)) or [dt.datetime(2024, 3, 5, tzinfo=dt.UTC)]
    second_pass = [i.astimezone(ZoneInfo(zone)).fold == 1 for i in instants]
    assert evaluate("timestamp", instants, lambda v: in_repeated_time(v, zone)) == second_pass


@PROPERTY
@given(st.sampled_from(ZONES), st.lists(INSTANTS, min_size=1, max_size=50))
def test_in_repeated_time_is_right_at_any_instant(evaluate: Evaluate, zone: str, instants: list[dt.datetime]) -> None:
    second_pass = [i.astimezone(ZoneInfo(zone)).fold == 1 for i in instants]
    assert evaluate("timestamp", instants, SECOND_PASS[zone]) == second_pass


# JSON


def fields(v: Any) -> ir.Value:
    return json_fields(v, ["gcc", "os"], {"request": ["postId", "communityId"]})


NOTHING = {"gcc": None, "os": None, "request": None}


@pytest.mark.parametrize(
    ("zone", "local", "utc"),
    [
        ("Asia/Seoul", "2024-06-01 00:00:00", "2024-05-31 15:00:00"),
        ("Asia/Seoul", "1988-10-09 02:30:00", "1988-10-08 16:30:00"),  # repeated: the first pass, in summer time
        ("America/New_York", "2024-11-03 00:59:59", "2024-11-03 04:59:59"),
        ("America/New_York", "2024-11-03 01:00:00", "2024-11-03 05:00:00"),  # repeated
        ("America/New_York", "2024-11-03 01:59:59", "2024-11-03 05:59:59"),  # repeated
        ("America/New_York", "2024-11-03 02:00:00", "2024-11-03 07:00:00"),
        ("America/New_York", "2024-03-10 02:30:00", "2024-03-10 07:30:00"),  # skipped: as 03:30
        ("Pacific/Apia", "2011-12-30 12:00:00", "2011-12-30 22:00:00"),  # skipped with its whole day: as the 31st
        ("Australia/Lord_Howe", "2024-04-07 01:45:00", "2024-04-06 14:45:00"),  # half an hour repeated
    ],
)
def test_instant_of_a_local_time_matches_known_instants(evaluate: Evaluate, zone: str, local: str, utc: str) -> None:
    at = dt.datetime.fromisoformat(local)
    [found] = evaluate("local", [at], lambda v: instant_of(v, zone))
    assert found == dt.datetime.fromisoformat(utc).replace(tzinfo=dt.UTC)


@pytest.mark.parametrize("zone", ZONES)
def test_instants_of_local_times_match_the_calendar_around_clock_changes(evaluate: Evaluate, zone: str) -> None:
    """Python, too, reads a repeated time as its first pass and moves a skipped time forward by the gap."""
    changes = [c for c in transitions(zone) if c.year in (1997, 2007, 2010, 2011, 2014, 2015, 2024)]
    locals_ = [i.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0) for i in around(changes)]
    locals_ += [c.replace(tzinfo=None) + dt.timedelta(hours=h) for c in changes for h in range(-26, 27)]
    locals_.append(dt.datetime(2024, 2, 29, 23, 59, 59, 999999))
    expected = [local.replace(tzinfo=ZoneInfo(zone)).astimezone(dt.UTC) for local in locals_]
    assert evaluate("local", locals_, lambda v: instant_of(v, zone)) == expected
    days = [at.astimezone(ZoneInfo(zone)).date().isoformat() for at in expected]
    assert evaluate("local", locals_, lambda v: day_of_local(v, zone)) == days


@pytest.mark.parametrize(
    ("doc", "found"),
    [
        ('{"gcc": "KR"}', NOTHING | {"gcc": "KR"}),
        ('{"gcc": "KR", "more": {"gcc": "US"}}', NOTHING | {"gcc": "KR"}),
        ('{"gcc": ""}', NOTHING | {"gcc": ""}),
        ('{"gcc": null}', NOTHING),
        ('{"gcc": "null"}', NOTHING | {"gcc": "null"}),
        ('{"GCC": "KR"}', NOTHING),
        ('{"gcc": 7, "os": true}', NOTHING | {"gcc": "7", "os": "true"}),
        ('{"gcc": 9007199254740993}', NOTHING | {"gcc": "9007199254740993"}),
        ('{"gcc": "a\\"b\\n\\u00e9"}', NOTHING | {"gcc": 'a"b\né'}),
        ('{"gcc": "서울 😀"}', NOTHING | {"gcc": "서울 😀"}),
        ('{"request": {"postId": "0-1"}}', NOTHING | {"request": {"postId": "0-1", "communityId": None}}),
        ('{"request": {"communityId": 10}}', NOTHING | {"request": {"postId": None, "communityId": "10"}}),
        ('{"request": {"request": {"postId": "0-1"}}}', NOTHING | {"request": {"postId": None, "communityId": None}}),
        ('{"postId": "0-1"}', NOTHING),
        ("{}", NOTHING),
    ],
)
def test_json_fields_reads_fields_and_nested_fields(evaluate: Evaluate, doc: str, found: dict[str, Any]) -> None:
    assert evaluate("string", [doc], fields) == [found]


@pytest.mark.parametrize("request_text", ['"text"', "[1, 2]", "7", "null"])
def test_a_field_that_is_not_an_object_has_no_nested_fields(evaluate: Evaluate, request_text: str) -> None:
    [found] = evaluate("string", [f'{{"gcc": "KR", "request": {request_text}}}'], fields)
    assert found["gcc"] == "KR"
    assert found["request"] in (None, {"postId": None, "communityId": None})


@pytest.mark.parametrize("doc", [None, "", " ", "{", '{"gcc": "KR"', "{'gcc': 'KR'}", '{"gcc": "KR"} x', "gcc=KR"])
def test_a_document_that_is_not_json_has_no_fields(evaluate: Evaluate, doc: str | None) -> None:
    assert evaluate("string", [doc], fields) == [None]
    assert evaluate("string", [doc], lambda v: fields(v)["gcc"]) == [None]
    assert evaluate("string", [doc], lambda v: fields(v)["request"]["postId"]) == [None]
    assert evaluate("string", [doc], lambda v: get_json_object(v, "$.gcc")) == [None]


@pytest.mark.parametrize("doc", ["[]", '["gcc"]', '"gcc"', "7", "true"])
def test_json_that_is_not_an_object_has_no_fields(evaluate: Evaluate, doc: str) -> None:
    assert evaluate("string", [doc], lambda v: fields(v)["gcc"]) == [None]
    assert evaluate("string", [doc], lambda v: get_json_object(v, "$.gcc")) == [None]


def test_values_other_than_strings_are_read_as_their_json_text(evaluate: Evaluate) -> None:
    values = [[1, 2, {"c": None}], {"b": {"x": 1.5}}, 0, -1.25, True, False]
    docs = [json.dumps({"gcc": value}) for value in values]
    for expression in (lambda v: fields(v)["gcc"], lambda v: get_json_object(v, "$.gcc")):
        assert [json.loads(text) for text in evaluate("string", docs, expression)] == values


def test_a_malformed_document_does_not_affect_the_others(evaluate: Evaluate) -> None:
    docs = ['{"gcc": "KR"}', "{", None, '{"gcc": "US"}']
    assert evaluate("string", docs, lambda v: fields(v)["gcc"]) == ["KR", None, None, "US"]


def test_get_json_object_follows_a_path(evaluate: Evaluate) -> None:
    doc = '{"request": {"ids": [10, "eleven"], "_gcc": "KR"}}'
    for path, found in {"$.request._gcc": "KR", "$.request.ids[1]": "eleven", "$.request.none": None}.items():
        assert evaluate("string", [doc], lambda v, path=path: get_json_object(v, path)) == [found]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@PROPERTY
@given(st.lists(st.fixed_dictionaries({}, optional={"gcc": JSON, "os": JSON, "other": JSON}), min_size=1, max_size=20))
def test_json_fields_reads_what_python_wrote(evaluate: Evaluate, docs: list[dict[str, Any]]) -> None:
    texts = [json.dumps(doc, ensure_ascii=False) for doc in docs]
    for doc, found in zip(docs, evaluate("string", texts, fields), strict=True):
        for name in ("gcc", "os"):
            value, text = doc.get(name), found[name]
            assert (text if value is None or isinstance(value, str) else json.loads(text)) == value
