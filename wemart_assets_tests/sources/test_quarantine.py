"""Rows that break a contract are quarantined with the reason, the file and the row; none is dropped silently."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from wemart_assets_tests.environments import Environment, MakeEnvironment

LOG = "service_log.weverse_server_log"
ARTISTS = "we_mart.we_artist"
USERS = "we_mart.we_user"
MEMBERSHIPS = "we_mart.ws_fc_user_history"
DAY = "2024-03-05"
LAST_MILLISECOND = 253_402_214_399_999  # 9999-12-30T23:59:59.999Z, the year 9999 everywhere

# Values of one column that break the contract, with words of the reason besides the column.
BROKEN: dict[str, list[tuple[str, Any, list[str]]]] = {
    USERS: [
        ("we_member_id", None, ["NULL"]),
        ("we_member_id", "", ["NULL"]),
        ("we_member_id", "abc", ["'abc'", "bigint"]),
        ("we_member_id", "true", ["'true'", "bigint"]),
        ("we_member_id", "12x", ["'12x'", "bigint"]),
        ("we_member_id", "1,000", ["'1,000'", "bigint"]),
        ("we_member_id", "99999999999999999999", ["'99999999999999999999'", "bigint"]),
        ("we_member_id", 2**31, ["2147483648", "32-bit integer"]),
        ("we_member_id", -(2**31) - 1, ["-2147483649", "32-bit integer"]),
        ("wv_user_id", 2**31, ["2147483648", "32-bit integer"]),
        ("wv_leave_dt", "yesterday", ["'yesterday'", "timestamp"]),
        ("wv_leave_dt", "2024-13-01 00:00:00", ["'2024-13-01 00:00:00'", "timestamp"]),
        ("wv_leave_dt", "1709337600000", ["'1709337600000'", "timestamp"]),
        ("vlive_id", "unknown", ["'unknown'", "bigint"]),
    ],
    MEMBERSHIPS: [
        ("create_dt", None, ["NULL"]),
        ("start_dt", "soon", ["'soon'", "timestamp"]),
        ("is_cx_by_restore", 2, ["2", "0, 1"]),
        ("is_cx_by_restore", "yes", ["'yes'", "int"]),
        ("we_art_id", 2**31, ["'2147483648'", "int"]),
    ],
    LOG: [
        ("unix_log_timestamp", None, ["NULL"]),
        ("unix_log_timestamp", "noon", ["'noon'", "bigint"]),
        ("unix_log_timestamp", "2024-03-05 12:00:00", ["'2024-03-05 12:00:00'", "bigint"]),
        ("unix_log_timestamp", -1, ["-1", "milliseconds"]),
        ("unix_log_timestamp", LAST_MILLISECOND + 1, [str(LAST_MILLISECOND + 1), "milliseconds"]),
        ("unix_log_timestamp", 2**63, ["'9223372036854775808'", "bigint"]),
        ("user_info_id", "nobody", ["'nobody'", "bigint"]),
    ],
}
# Text that DuckDB reads as a number or an instant, but that means something else or nothing.
MISREAD: list[tuple[str, Any]] = [
    ("wv_user_id", "12.5"),
    ("wv_user_id", "1_000"),
    ("wv_user_id", "0x1F"),
    ("wv_leave_dt", "epoch"),
    ("wv_leave_dt", "infinity"),
]
BROKEN_CASES = [(source, n) for source, cases in BROKEN.items() for n in range(len(cases))]
BROKEN_IDS = [f"{s.split('.')[1]}-{BROKEN[s][n][0]}-{BROKEN[s][n][1]}" for s, n in BROKEN_CASES]


def _row(environment: Environment, source: str, number: int) -> dict[str, Any]:
    if source == USERS:
        return environment.user(number, wv_user_id=number)
    if source == LOG:
        return environment.line(f"{DAY} 12:00:00")
    instant = "2024-01-01 00:00:00"
    return {
        "we_member_id": number,
        "we_art_id": 1,
        "comm_id": 1,
        "fc_id": 1,
        "create_dt": instant,
        "start_dt": instant,
        "end_dt": None,
        "ord_status": "PAID",
        "is_cx_by_restore": 0,
    }


@pytest.fixture(scope="module")
def broken(make_environment: MakeEnvironment) -> Environment:
    """An environment in which each of BROKEN is a row, with its number in an extra column `case`."""
    environment = make_environment(quarantine_share=1.0)
    for source, cases in BROKEN.items():
        rows = [
            _row(environment, source, number) | {column: value, "case": number}
            for number, (column, value, _) in enumerate(cases)
        ]
        environment.land(source, f"date={DAY}/broken.csv", [*rows, _row(environment, source, 1000) | {"case": 1000}])
        environment.publish(source, DAY)
    return environment


@pytest.mark.parametrize(("source", "number"), BROKEN_CASES, ids=BROKEN_IDS)
def test_the_reason_names_the_column_and_the_fault(broken: Environment, source: str, number: int) -> None:
    column, _, words = BROKEN[source][number]
    reasons = [row["reason"] for row in broken.quarantine(source) if row["raw_row"]["case"] == str(number)]
    assert len(reasons) == 1
    assert [word for word in (column, *words) if word not in reasons[0]] == []


@pytest.mark.parametrize("source", BROKEN)
def test_only_rows_that_match_the_contract_are_published(broken: Environment, source: str) -> None:
    assert len(broken.read(source)) == 1


@pytest.mark.parametrize("source", BROKEN)
def test_the_quarantine_names_the_file_relative_to_the_landing_folder(broken: Environment, source: str) -> None:
    assert {row["file"] for row in broken.quarantine(source)} == {f"date={DAY}/broken.csv"}


@pytest.mark.parametrize(("column", "text"), MISREAD)
def test_text_that_only_duckdb_reads_as_a_value_is_quarantined(
    environment: Environment, column: str, text: str
) -> None:
    environment.overrides["quarantine_share"] = 1.0
    environment.land(USERS, f"date={DAY}/a.csv", [environment.user(1, **{column: text})])
    environment.publish(USERS, DAY)
    assert environment.read(USERS) == []


def test_an_id_at_the_limit_of_32_bits_is_published(environment: Environment) -> None:
    environment.land(USERS, f"date={DAY}/a.csv", [environment.user(member) for member in (2**31 - 1, 0, -(2**31))])
    environment.publish(USERS, DAY)
    assert environment.column(USERS, "we_member_id") == [-(2**31), 0, 2**31 - 1]


def test_a_row_with_several_faults_is_quarantined_once(environment: Environment) -> None:
    environment.overrides["quarantine_share"] = 1.0
    environment.land(USERS, f"date={DAY}/a.csv", [environment.user(None, wv_user_id="x", wv_leave_dt="y")])
    assert environment.publish(USERS, DAY)["quarantined rows"] == 1


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_the_raw_row_is_the_row_as_delivered(environment: Environment, ending: str) -> None:
    environment.overrides["quarantine_share"] = 1.0
    text = 'a "quoted",\nname'
    row = {"we_art_id": 2**40, "we_art_name": text, "comm_id": 7, "extra": "more"}
    environment.land(ARTISTS, f"date={DAY}/a.{ending}", [row])
    environment.publish(ARTISTS, DAY)
    numbers = {"we_art_id": str(2**40), "comm_id": "7"} if ending == "csv" else {}
    assert [found["raw_row"] for found in environment.quarantine(ARTISTS)] == [row | numbers]


def test_the_raw_row_of_a_mapped_file_has_the_files_columns(environment: Environment) -> None:
    environment.overrides["quarantine_share"] = 1.0
    environment.map(f"{ARTISTS}: {{columns: {{we_art_id: try_cast(id as int)}}}}\n")
    environment.land(ARTISTS, f"date={DAY}/a.csv", "id,label\nx,y\n")
    environment.publish(ARTISTS, DAY)
    assert [row["raw_row"] for row in environment.quarantine(ARTISTS)] == [{"id": "x", "label": "y"}]


def test_equal_rows_collapse_across_files(environment: Environment) -> None:
    for name in ("a.csv", "b.csv", "c.jsonl", "d.parquet", "below/a.csv"):
        environment.land(
            ARTISTS, f"date={DAY}/{name}", [environment.artist(1, "x", 10), environment.artist(1, "x", 10)]
        )
    metadata = environment.publish(ARTISTS, DAY)
    assert environment.read(ARTISTS) == [environment.artist(1, "x", 10) | {"part_date": DAY}]
    assert metadata["quarantined rows"] == 0


def test_equal_rows_with_nulls_collapse(environment: Environment) -> None:
    environment.land(
        ARTISTS, f"date={DAY}/a.csv", [environment.artist(1, None, None), environment.artist(1, None, None)]
    )
    assert environment.publish(ARTISTS, DAY)["quarantined rows"] == 0
    assert len(environment.read(ARTISTS)) == 1


def test_equal_lines_of_the_log_are_all_kept(environment: Environment) -> None:
    for name in ("a.csv", "b.csv"):
        environment.land(LOG, f"date={DAY}/{name}", [environment.line(f"{DAY} 12:00:00")] * 2)
    environment.publish(LOG, DAY)
    assert len(environment.read(LOG)) == 4


def test_the_reason_of_a_duplicate_names_the_shared_key(environment: Environment) -> None:
    environment.overrides["quarantine_share"] = 1.0
    environment.land(ARTISTS, f"date={DAY}/a.csv", [environment.artist(1, "x"), environment.artist(1, "y")])
    environment.publish(ARTISTS, DAY)
    assert [(r["raw_row"]["we_art_name"], "we_art_id" in r["reason"]) for r in environment.quarantine(ARTISTS)] == [
        ("y", True)
    ]


# Pairs of rows that share a key, the first in order first.
FIRST_OF_TWO = {
    "numbers as numbers": [{"comm_id": 9}, {"comm_id": 10}],
    "negative numbers first": [{"comm_id": -1}, {"comm_id": 0}],
    "nulls last": [{"comm_id": 10}, {"comm_id": None}],
    "null text last": [{"we_art_name": "zz"}, {"we_art_name": None}],
    "upper case before lower case": [{"we_art_name": "B"}, {"we_art_name": "a"}],
    "accents after all plain letters": [{"we_art_name": "z"}, {"we_art_name": "é"}],
    "an earlier column before a later one": [{"we_art_name": "a", "comm_id": 2}, {"we_art_name": "b", "comm_id": 1}],
}


@pytest.fixture(scope="module")
def contested(make_environment: MakeEnvironment) -> Environment:
    """An environment with an artist for each case of FIRST_OF_TWO. The row to keep is delivered second.

    The order of the files and the order of columns within a file contradict the expected order.
    """
    environment = make_environment(quarantine_share=1.0)
    for number, (first, second) in enumerate(FIRST_OF_TWO.values()):
        rows = [{"comm_id": None, "we_art_name": "n", "we_art_id": number} | said for said in (second, first)]
        environment.land(ARTISTS, f"date={DAY}/{number}-a.csv", [rows[0]])
        environment.land(ARTISTS, f"date={DAY}/{number}-b.csv", [rows[1]])
    environment.publish(ARTISTS, DAY)
    return environment


@pytest.mark.parametrize("case", FIRST_OF_TWO)
def test_the_first_row_of_a_key_is_kept(contested: Environment, case: str) -> None:
    number = list(FIRST_OF_TWO).index(case)
    stayed = [row for row in contested.read(ARTISTS) if row["we_art_id"] == number]
    assert stayed == [contested.artist(number, "n") | FIRST_OF_TWO[case][0] | {"part_date": DAY}]


def test_duplicates_are_resolved_as_by_a_plain_sort(environment: Environment) -> None:
    """Rows with few distinct values over several files, so that nearly all share a key with another row."""
    environment.overrides["quarantine_share"] = 1.0
    chosen = random.Random(11)
    rows = [
        environment.user(
            chosen.randint(1, 12),
            wv_user_id=chosen.choice([None, *range(1, 8)]),
            wv_status=chosen.choice([None, "A", "a"]),
            vlive_id=chosen.choice([None, 9, 10]),
        )
        for _ in range(120)
    ]
    for number in range(4):
        environment.land(USERS, f"date={DAY}/{number}.{'csv' if number % 2 else 'jsonl'}", rows[number::4])
    environment.publish(USERS, DAY)

    def place(row: dict[str, Any]) -> list[tuple[bool, Any]]:
        return [(value is None, "" if value is None else value) for value in row.values()]

    kept: list[dict[str, Any]] = []
    for row in sorted(rows, key=place):
        if all(row["we_member_id"] != other["we_member_id"] for other in kept):
            kept.append(row)
    by_member, kept = kept, []
    for row in by_member:
        shared = [other for other in kept if row["wv_user_id"] is not None and other["wv_user_id"] == row["wv_user_id"]]
        if not shared:
            kept.append(row)
    expected = sorted((row | {"part_date": DAY} for row in kept), key=lambda row: repr(list(row.items())))
    assert environment.read(USERS) == expected


def test_the_first_row_of_a_unique_value_is_kept(environment: Environment) -> None:
    environment.overrides["quarantine_share"] = 1.0
    environment.land(ARTISTS, f"date={DAY}/a.csv", [environment.artist(2, "a", 10), environment.artist(1, "b", 10)])
    environment.publish(ARTISTS, DAY)
    assert environment.column(ARTISTS, "we_art_id") == [1]
    assert [(r["raw_row"]["we_art_id"], "comm_id" in r["reason"]) for r in environment.quarantine(ARTISTS)] == [
        ("2", True)
    ]


def test_a_unique_column_may_be_null_in_several_rows(environment: Environment) -> None:
    environment.land(ARTISTS, f"date={DAY}/a.csv", [environment.artist(n, comm_id=None) for n in (1, 2, 3)])
    environment.publish(ARTISTS, DAY)
    assert environment.column(ARTISTS, "we_art_id") == [1, 2, 3]


def test_a_row_quarantined_for_its_key_does_not_claim_a_unique_value(environment: Environment) -> None:
    """(1, b, 20) is quarantined in favour of (1, a, 10), so nothing shares community 20 with artist 2."""
    environment.overrides["quarantine_share"] = 1.0
    environment.land(
        ARTISTS,
        f"date={DAY}/a.csv",
        [environment.artist(1, "a", 10), environment.artist(1, "b", 20), environment.artist(2, "c", 20)],
    )
    environment.publish(ARTISTS, DAY)
    assert environment.column(ARTISTS, "we_art_id") == [1, 2]


def test_a_row_that_breaks_the_contract_does_not_claim_a_key(environment: Environment) -> None:
    environment.overrides["quarantine_share"] = 1.0
    environment.land(ARTISTS, f"date={DAY}/a.csv", [environment.artist(1, "a", "x"), environment.artist(1, "b", 10)])
    environment.publish(ARTISTS, DAY)
    assert environment.column(ARTISTS, "we_art_name") == ["b"]


def test_the_same_key_on_two_days_of_a_range_is_no_duplicate(environment: Environment) -> None:
    environment.land(ARTISTS, "date=2024-03-05/a.csv", [environment.artist(1, "before", 10)])
    environment.land(ARTISTS, "date=2024-03-06/a.csv", [environment.artist(1, "after", 10)])
    assert environment.publish(ARTISTS, "2024-03-05", "2024-03-07")["quarantined rows"] == 0
    assert [(r["part_date"], r["we_art_name"]) for r in environment.read(ARTISTS)] == [
        ("2024-03-06", "after"),
        ("2024-03-07", "after"),
        ("2024-03-05", "before"),
    ]


def _undated(environment: Environment) -> dict[str, Any]:
    return environment.line(unix_log_timestamp="never", url="unknown_time")


@pytest.mark.parametrize(
    ("file", "dated", "day"),
    [
        ("date=2024-03-04/a.csv", ["2024-03-02 12:00:00"], "2024-03-04"),
        ("date=2024-03-04/a.csv", [], "2024-03-04"),
        ("export.csv", ["2024-03-06 12:00:00", "2024-03-03 12:00:00"], "2024-03-03"),
        ("export.csv", [], "2024-03-01"),
        ("export.csv", ["2024-02-20 12:00:00", "2024-03-03 12:00:00"], "2024-03-03"),
        ("date=2024-02-20/a.csv", ["2024-02-20 12:00:00", "2024-03-03 12:00:00"], "2024-03-03"),
    ],
    ids=[
        "delivery day",
        "delivery day without other rows",
        "first day of the file",
        "first day of all",
        "first day of the file that is a partition",
        "first day that is a partition of an early delivery",
    ],
)
def test_rows_without_a_readable_instant_are_quarantined_under_their_day(
    environment: Environment, file: str, dated: list[str], day: str
) -> None:
    environment.overrides["quarantine_share"] = 1.0
    environment.land(LOG, file, [_undated(environment), *(environment.line(at) for at in dated)])
    environment.publish(LOG, "2024-03-01", "2024-03-08")
    assert [(row["date_id"], row["raw_row"]["url"]) for row in environment.quarantine(LOG)] == [(day, "unknown_time")]


def test_rows_without_a_readable_instant_are_quarantined_on_one_day_only(environment: Environment) -> None:
    environment.overrides["quarantine_share"] = 1.0
    environment.land(
        LOG,
        "export.csv",
        [_undated(environment), environment.line("2024-03-03 12:00:00"), environment.line("2024-03-02 12:00:00")],
    )
    for day in ("2024-03-03", "2024-03-02", "2024-03-01"):
        environment.publish(LOG, day)
    assert [row["date_id"] for row in environment.quarantine(LOG)] == ["2024-03-02"]


def test_a_corrected_row_leaves_the_quarantine(environment: Environment) -> None:
    environment.overrides["quarantine_share"] = 1.0
    environment.land(ARTISTS, f"date={DAY}/a.csv", [environment.artist("x", "a")])
    environment.publish(ARTISTS, DAY)
    environment.land(ARTISTS, f"date={DAY}/a.csv", [environment.artist(12345, "a")])
    environment.publish(ARTISTS, DAY)
    assert (environment.column(ARTISTS, "we_art_id"), environment.quarantine(ARTISTS)) == ([12345], [])


def test_the_quarantine_of_other_days_is_left_alone(environment: Environment) -> None:
    environment.overrides["quarantine_share"] = 1.0
    for day in ("2024-03-05", "2024-03-06"):
        environment.land(ARTISTS, f"date={day}/a.csv", [environment.artist("x")])
        environment.publish(ARTISTS, day)
    environment.land(ARTISTS, "date=2024-03-06/a.csv", [environment.artist(12345)])
    environment.publish(ARTISTS, "2024-03-06")
    assert [row["part_date"] for row in environment.quarantine(ARTISTS)] == ["2024-03-05"]


def test_the_runs_metadata_counts_quarantined_rows(environment: Environment) -> None:
    environment.overrides["quarantine_share"] = 1.0
    environment.land(
        ARTISTS, f"date={DAY}/a.csv", [environment.artist("x"), environment.artist("y"), environment.artist(1)]
    )
    run = environment.run(DAY, tables=[ARTISTS])
    assert run.metadata[ARTISTS][DAY]["quarantined rows"] == 2
