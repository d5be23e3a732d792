"""Event and attribution files: no header, a literal null, local times, exact prices, several days per file."""

from __future__ import annotations

import datetime as dt
import gzip
import random
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from wemart_assets.lake.errors import LandingError
from wemart_assets.lake.publication import RejectedByAudit
from wemart_assets.sources.contract import UNKNOWN_DAY

if TYPE_CHECKING:
    from wemart_assets_tests.environments import Environment, MakeEnvironment

EVENT, ATTRIBUTION = "igaworks.event", "igaworks.attribution"
UNKNOWN_TIME, UNDATED_ATTRIBUTION = f"{EVENT}__date_unknown", f"{ATTRIBUTION}__date_unknown"
FIRST, DAY, NEXT = "2024-03-01", "2024-03-02", "2024-03-03"
UNKNOWN = "0001-01-01 00:00:00.0"


def line(
    user: str = "u", at: str = f"{DAY} 12:00:00.0", quantity: str = "1", price: str = "1.5", end: str = "\n"
) -> str:
    return f"{user},iOS,iPhone,KR,purchase,log,{at},{quantity},{price}{end}"


def touch(user: str = "u", at: str = f"{DAY} 12:00:00.0", campaign: str = "a", type: str = "0") -> str:
    return f"partner,{campaign},{at},tracker,log,{type},{user}\n"


def instant(local: str, zone: str = "Asia/Seoul", fold: int = 0) -> dt.datetime:
    return dt.datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(dt.UTC)


def test_every_line_is_a_row_including_the_first(environment: Environment) -> None:
    environment.land(EVENT, "part-00000.csv", line("first") + line("second"))
    environment.publish(EVENT, DAY)
    [first, second] = environment.read(EVENT)
    assert [first["identity_adid"], second["identity_adid"]] == ["first", "second"]
    assert first == {
        "identity_adid": "first",
        "os": "iOS",
        "model": "iPhone",
        "country": "KR",
        "event_name": "purchase",
        "log_id": "log",
        "server_datetime": instant(f"{DAY} 12:00:00"),
        "quantity": 1,
        "price": Decimal("1.5000"),
        "part_date": DAY,
    }


def test_attribution_files_have_their_own_columns(environment: Environment) -> None:
    environment.land(ATTRIBUTION, "part-00001.csv", touch(campaign="null", type="1"))
    environment.publish(ATTRIBUTION, DAY)
    [found] = environment.read(ATTRIBUTION)
    assert found == {
        "partner": "partner",
        "campaign": None,
        "server_datetime": instant(f"{DAY} 12:00:00"),
        "tracker_id": "tracker",
        "log_id": "log",
        "attribution_type": 1,
        "identity_adid": "u",
        "part_date": DAY,
    }


def test_a_literal_null_is_null_in_every_column(environment: Environment) -> None:
    environment.land(EVENT, "a.csv", line("null", quantity="null", price="null").replace("iPhone", "null"))
    environment.publish(EVENT, DAY)
    [found] = environment.read(EVENT)
    assert [found[c] for c in ("identity_adid", "model", "quantity", "price")] == [None] * 4
    assert environment.quarantine(EVENT) == []


NAMES = ("part-00000.csv", "part-00000", "date=2024-03-09/deep/er/part-00000.csv", "part-00000.csv.gz", "part-00000.gz")


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_any_name_and_place_is_read(environment: Environment, name: str) -> None:
    content = (line("u") + line("v", f"{NEXT} 00:00:00.0")).encode()
    environment.land(EVENT, name, gzip.compress(content) if name.endswith(".gz") else content)
    environment.publish(EVENT, DAY, NEXT)
    assert environment.column(EVENT, "identity_adid", DAY) == ["u"]
    assert environment.column(EVENT, "identity_adid", NEXT) == ["v"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_may_end_as_on_any_operating_system(environment: Environment, end: str) -> None:
    environment.land(EVENT, "a.csv", line("u", price="null", end=end) + line("v", price="2", end=""))
    environment.publish(EVENT, DAY)
    assert environment.column(EVENT, "price") == [Decimal(2), None]


def test_no_row_is_lost_at_the_boundary_between_days(environment: Environment) -> None:
    edges = [f"{FIRST} 23:59:59.999999", f"{DAY} 00:00:00.0", f"{DAY} 23:59:59.9", f"{NEXT} 00:00:00"]
    environment.land(EVENT, "a.csv", "".join(line(str(n), at) for n, at in enumerate(edges)))
    environment.land(EVENT, "b.csv", "".join(line(str(n + 4), at) for n, at in enumerate(edges)))
    for day in (NEXT, FIRST, DAY):
        environment.publish(EVENT, day)
    assert [environment.column(EVENT, "identity_adid", day) for day in (FIRST, DAY, NEXT)] == [
        ["0", "4"],
        ["1", "2", "5", "6"],
        ["3", "7"],
    ]


def test_days_run_one_by_one_equal_the_days_of_a_range(make_environment: MakeEnvironment) -> None:
    drawn = random.Random(7)
    times = [f"2024-03-{drawn.randint(1, 5):02d} {drawn.randint(0, 23):02d}:00:00.0" for _ in range(60)] + [UNKNOWN] * 3
    environments = [make_environment(), make_environment()]
    for environment in environments:
        environment.land(EVENT, "a.csv", "".join(line(str(n), at) for n, at in enumerate(times[:40])))
        environment.land(EVENT, "b.csv", "".join(line(str(n), at, price="null") for n, at in enumerate(times[40:])))
    environments[0].publish(EVENT, "2024-03-01", "2024-03-05")
    for day in (3, 1, 5, 2, 4):
        environments[1].publish(EVENT, f"2024-03-{day:02d}")
    assert len(environments[0].read(EVENT)) == 60
    assert environments[0].read(EVENT) == environments[1].read(EVENT)


@pytest.mark.parametrize(
    "unknown", [UNKNOWN, "0001-01-01 00:00:00", "0001-01-01T00:00:00.000", "0001-01-01", "null", "", "  "]
)
def test_rows_of_unknown_time_are_stored_separately(environment: Environment, unknown: str) -> None:
    environment.land(EVENT, "a.csv", line("unknown", unknown) + line("known"))
    counted = environment.publish(EVENT, DAY)["rows of an unknown time"]
    environment.publish(EVENT, UNKNOWN_DAY)
    [found] = environment.read(UNKNOWN_TIME)
    assert counted == 1
    assert (found["identity_adid"], found["server_datetime"], found["part_date"]) == ("unknown", None, "unknown")
    assert found["price"] == Decimal("1.5000")
    assert environment.column(EVENT, "identity_adid") == ["known"]
    assert environment.quarantine(EVENT) == []


def test_rows_of_unknown_time_come_from_all_files(environment: Environment) -> None:
    environment.land(EVENT, "a.csv", line("u", UNKNOWN) * 2)
    environment.land(EVENT, "b.csv", line("v", UNKNOWN) + line("w"))
    environment.publish(EVENT, UNKNOWN_DAY)
    assert environment.column(UNKNOWN_TIME, "identity_adid") == ["u", "u", "v"]
    (environment.landing / EVENT / "a.csv").unlink()
    environment.publish(EVENT, UNKNOWN_DAY)
    assert environment.column(UNKNOWN_TIME, "identity_adid") == ["v"]


def test_an_unreadable_time_is_not_an_unknown_time(make_environment: MakeEnvironment) -> None:
    environment = make_environment(quarantine_share=1)
    environment.land(EVENT, "a.csv", line("u", "yesterday") + line("v", "2024-13-01 00:00:00.0") + line("w"))
    environment.publish(EVENT, DAY)
    environment.publish(EVENT, UNKNOWN_DAY)
    assert environment.read(UNKNOWN_TIME) == []
    assert sorted(row["reason"] for row in environment.quarantine(EVENT)) == [
        "server_datetime: '2024-13-01 00:00:00.0' is not a timestamp",
        "server_datetime: 'yesterday' is not a timestamp",
    ]


def test_an_invalid_row_of_unknown_time_is_quarantined_separately(make_environment: MakeEnvironment) -> None:
    environment = make_environment(quarantine_share=1)
    environment.land(EVENT, "a.csv", line("u", UNKNOWN, price="0.12345") + line("v", UNKNOWN))
    environment.publish(EVENT, UNKNOWN_DAY)
    assert environment.column(UNKNOWN_TIME, "identity_adid") == ["v"]
    [found] = environment.quarantine(EVENT, UNKNOWN_DAY)
    assert found["raw_row"]["identity_adid"] == "u"


PRICES = {
    "0.1": "0.1000",
    "16777217.01": "16777217.0100",  # 16777216 as a 32-bit float
    "0.0001": "0.0001",
    "12.34500000": "12.3450",
    "-3.25": "-3.2500",
    "99999999999999.9999": "99999999999999.9999",
    "1.0E7": "10000000.0000",
    "5.0E-4": "0.0005",
    "1.23456789E3": None,
    "29900": "29900.0000",
    " 7.5 ": "7.5000",
    "0.00001": None,
    "1.00005": None,
    "1E-9": None,
    "100000000000000": None,
    "1,5": None,
    "NaN": None,
    "Infinity": None,
    "twelve": None,
    "1_000": None,
}


def test_prices_are_exact_or_quarantined(make_environment: MakeEnvironment) -> None:
    environment = make_environment(quarantine_share=1)
    lines = [line(price, price=f'"{price}"') for price in PRICES]
    environment.land(
        EVENT, "a.csv", "".join(entry.replace(f"{p},", f'"{p}",', 1) for entry, p in zip(lines, PRICES, strict=True))
    )
    environment.publish(EVENT, DAY)
    found = {row["identity_adid"]: str(row["price"]) for row in environment.read(EVENT)}
    assert found == {text: value for text, value in PRICES.items() if value is not None}
    quarantined = {row["raw_row"]["price"]: row["reason"] for row in environment.quarantine(EVENT)}
    assert set(quarantined) == {text for text, value in PRICES.items() if value is None}
    assert quarantined["0.00001"] == "price: '0.00001' is not a decimal(18,4)"


def test_prices_in_parquet_are_exact_or_quarantined(make_environment: MakeEnvironment) -> None:
    environment = make_environment(quarantine_share=1)
    prices = pa.array([Decimal("1.234500"), Decimal("1.234560"), None], pa.decimal128(20, 6))
    columns: dict[str, Any] = {name: ["x"] * 3 for name in ("os", "model", "country", "event_name", "log_id")}
    times = pa.array(
        [dt.datetime(2024, 3, 2, 0, 0), dt.datetime(2024, 3, 2, 12), dt.datetime(1, 1, 1)], pa.timestamp("us")
    )
    rows = pa.table(
        {"identity_adid": ["u", "v", "w"], **columns, "server_datetime": times, "quantity": [1, 2, 3], "price": prices}
    )
    environment.land(EVENT, "a.parquet", environment.parquet(rows))
    environment.publish(EVENT, DAY)
    environment.publish(EVENT, UNKNOWN_DAY)
    [found] = environment.read(EVENT)
    assert (found["identity_adid"], found["price"]) == ("u", Decimal("1.2345"))
    assert found["server_datetime"] == instant(f"{DAY} 00:00:00")
    assert [row["raw_row"]["identity_adid"] for row in environment.quarantine(EVENT)] == ["v"]
    assert environment.column(UNKNOWN_TIME, "identity_adid") == ["w"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (touch(), "has 7 columns, expected 9"),
        (line().replace("\n", ",more\n"), "has 10 columns, expected 9"),
        ("u;iOS;iPhone;KR;purchase;log;2024-03-02 12:00:00.0;1;1.5\n", "has 1 columns, expected 9"),
        (line() * 3 + "u,iOS", "ends in the middle of line 4: 'u,iOS'"),
        (line().replace("iPhone", '"iPhone'), "the quote that opens in line 1 is never closed"),
        ('"' + line() * 3_000, "the quote that opens in line 1 is never closed"),
        (line() * 8_898 + '"' + line() * 30, "the quote that opens in line 8899 is never closed"),
    ],
)
def test_a_file_with_other_columns_is_refused_by_name(
    environment: Environment, content: str | bytes, words: str
) -> None:
    environment.land(EVENT, "wrong/part-00001.csv", content)
    with pytest.raises(LandingError, match=f"(?s)part-00001.csv.*{words}|{words}.*part-00001.csv"):
        environment.publish(EVENT, DAY)
    assert environment.published(EVENT, DAY) == set()


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ("u,iOS\n", "line 201: it has 2 fields for 9 columns"),
        (touch(), "line 201: it has 7 fields for 9 columns"),
        (line().replace("iPhone", '"iPhone" 12'), "line 201: text follows the closing quote of field 3"),
        (
            line().encode().replace(b"iPhone", b"\xff\xfe"),
            "line 201: it is not UTF-8 text; other bytes are shown as \\xNN",
        ),
    ],
)
def test_a_malformed_record_is_quarantined_unchanged(
    environment: Environment, record: str | bytes, reason: str
) -> None:
    came = record if isinstance(record, bytes) else record.encode()
    environment.land(EVENT, "a.csv", line().encode() * 200 + came + line().encode() * 50)
    environment.publish(EVENT, DAY)
    [row] = environment.quarantine(EVENT)
    assert (row["reason"], row["raw_row"]) == (reason, came.decode("utf-8", "backslashreplace").rstrip("\n"))
    assert len(environment.read(EVENT)) == 250
    environment.publish(EVENT, UNKNOWN_DAY)
    assert (environment.read(UNKNOWN_TIME), len(environment.quarantine(EVENT))) == ([], 1)


def test_a_refused_file_says_what_was_expected(environment: Environment) -> None:
    environment.land(ATTRIBUTION, "part-00000.csv.gz", gzip.compress(line().encode()))
    with pytest.raises(LandingError) as refused:
        environment.publish(ATTRIBUTION, DAY)
    assert str(refused.value).endswith(
        "igaworks.attribution: landing file part-00000.csv.gz has 9 columns, expected 7 without a header: partner, "
        "campaign, server_datetime, tracker_id, log_id, attribution_type, identity_adid. If it belongs to another "
        "source, move it there; otherwise deliver it with these columns, or list its columns in sources.yaml."
    )


def test_too_many_bad_rows_stop_the_day(environment: Environment) -> None:
    environment.land(EVENT, "a.csv", line() * 50 + line(price="0.12345"))
    with pytest.raises(RejectedByAudit, match="quarantine_share"):
        environment.publish(EVENT, DAY)


def test_sources_yaml_overrides_the_defaults(environment: Environment) -> None:
    environment.map(
        """
        igaworks.event:
          names: []
          "null": "-"
          delimiter: ";"
          columns: {identity_adid: adid, price: cost, server_datetime: moment}
        """
    )
    environment.land(EVENT, "a.csv", "cost;adid;moment\n2.5;u;2024-03-02 00:00:00\n-;v;2024-03-02 00:00:00\n")
    environment.publish(EVENT, DAY)
    assert environment.column(EVENT, "price") == [Decimal("2.5"), None]
    assert environment.column(EVENT, "identity_adid") == ["u", "v"]


# --- local times elsewhere --------------------------------------------------------------------------------------------

NEW_YORK = "America/New_York"
TIMES = {
    "2024-11-03 00:59:59.0": "2024-11-03 04:59:59",
    "2024-11-03 01:30:00.0": "2024-11-03 05:30:00",  # repeated hour: the first pass
    "2024-11-03 02:00:00.0": "2024-11-03 07:00:00",
    "2024-11-03 01:30:00-05:00": "2024-11-03 06:30:00",  # the second pass, which only the offset tells apart
    "2024-11-03 05:30:00Z": "2024-11-03 05:30:00",
    "2024-11-03T23:59:59.999": "2024-11-04 04:59:59.999",
    "2024-11-03": "2024-11-03 04:00:00",
    "2024-03-10 02:30:00.0": "2024-03-10 07:30:00",  # skipped hour: read as half past three
}


def test_local_times_are_in_the_business_timezone(make_environment: MakeEnvironment) -> None:
    environment = make_environment(timezone=NEW_YORK, first_day=dt.date(2024, 3, 1))
    environment.land(EVENT, "a.csv", "".join(line(at, at) for at in TIMES))
    environment.publish(EVENT, "2024-03-10", "2024-11-03")
    found = {row["identity_adid"]: row["server_datetime"] for row in environment.read(EVENT)}
    assert found == {at: dt.datetime.fromisoformat(utc).replace(tzinfo=dt.UTC) for at, utc in TIMES.items()}
    days = {row["identity_adid"]: row["part_date"] for row in environment.read(EVENT)}
    assert days == {at: at[:10] for at in TIMES}


def test_attributions_before_the_first_day_belong_to_it(environment: Environment) -> None:
    environment.land(ATTRIBUTION, "a.csv", touch("early", "2019-01-01 00:00:00.0") + touch("u"))
    environment.land(EVENT, "a.csv", line("early", "2019-01-01 00:00:00.0") + line("u"))
    environment.publish(ATTRIBUTION, FIRST, DAY)
    assert environment.publish(EVENT, FIRST, DAY)["rows before the first partition"] == 1
    assert environment.column(ATTRIBUTION, "identity_adid", FIRST) == ["early"]
    assert environment.column(EVENT, "identity_adid") == ["u"]


def test_the_assets_run_together_as_a_range_and_separately(environment: Environment) -> None:
    environment.land(EVENT, "a.csv", line("u", UNKNOWN) + line("v"))
    both = environment.run(FIRST, DAY, tables=(EVENT, UNKNOWN_TIME))
    assert both.success
    assert both.metadata[UNKNOWN_TIME]["None"]["dagster/row_count"] == 1
    assert environment.column(EVENT, "identity_adid", DAY) == ["v"]
    assert environment.column(UNKNOWN_TIME, "identity_adid") == ["u"]
