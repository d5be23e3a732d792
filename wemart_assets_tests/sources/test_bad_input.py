"""Unreadable input stops the days that depend on it, says why, and leaves published rows unchanged."""

from __future__ import annotations

import random
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pyarrow as pa
import pytest

from wemart_assets import catalog
from wemart_assets.definitions import build_defs, open_lake
from wemart_assets.lake.errors import LandingError, MachineFault, WemartError
from wemart_assets.lake.publication import RejectedByAudit
from wemart_assets.settings import SettingsError, load_settings
from wemart_assets.sources.landing import landings
from wemart_assets.sources.listing import LandingFile
from wemart_assets_tests.machine import small_files

if TYPE_CHECKING:
    from wemart_assets_tests.environments import Environment, MakeEnvironment

LOG = "service_log.weverse_server_log"
ARTISTS = "we_mart.we_artist"
BASE = "we_mart.wv_server_log_base"
DAY = "2024-03-05"
DAYS = [f"2024-03-{number:02d}" for number in range(1, 10)]


@pytest.fixture(scope="module")
def template(make_environment: MakeEnvironment) -> Environment:
    """An environment in which one line per day and two deliveries of artists have been published for DAYS."""
    environment = make_environment()
    for day in DAYS:
        environment.land(LOG, f"date={day}/lines.csv", [environment.line(f"{day} 12:00:00", url="first")])
    environment.land(ARTISTS, f"date={DAYS[0]}/artists.csv", [environment.artist(1, "first")])
    environment.land(ARTISTS, f"date={DAY}/artists.csv", [environment.artist(1, "second")])
    for source in (LOG, ARTISTS):
        environment.publish(source, DAYS[0], DAYS[-1])
    return environment


@pytest.fixture
def lived_in(make_environment: MakeEnvironment, template: Environment) -> Environment:
    return make_environment().copy_of(template)


def _noise(rows: int) -> list[dict[str, Any]]:
    """Artists whose names do not compress, so that a file of them can be cut anywhere."""
    random_names = random.Random(7)
    return [
        {"we_art_id": n, "we_art_name": f"{random_names.getrandbits(160):040x}", "comm_id": n} for n in range(1, rows)
    ]


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


UNREADABLE = {
    "parquet": "cut.parquet",
    "csv.gz": "cut.csv.gz",
    "jsonl.gz": "cut.jsonl.gz",
}


@pytest.mark.parametrize("name", UNREADABLE.values())
def test_a_cut_off_snapshot_file_is_named_and_nothing_changes(lived_in: Environment, name: str) -> None:
    before = lived_in.read(ARTISTS)
    whole = lived_in.land(ARTISTS, f"date={DAY}/{name}", _noise(5000))
    whole.write_bytes(_cut(whole.read_bytes()))
    run = lived_in.run(DAY, tables=[ARTISTS])
    assert name in run.failed.get(ARTISTS, "no clear failure")
    assert lived_in.read(ARTISTS) == before


@pytest.mark.parametrize("name", UNREADABLE.values())
def test_a_cut_off_log_file_is_named_and_nothing_changes(lived_in: Environment, name: str) -> None:
    before = lived_in.read(LOG)
    noise = [lived_in.line(f"{DAY} 12:00:00", url=row["we_art_name"], params=row["we_art_name"]) for row in _noise(500)]
    whole = lived_in.land(LOG, f"date={DAY}/{name}", noise)
    whole.write_bytes(_cut(whole.read_bytes()))
    run = lived_in.run(DAY)
    assert name in run.failed.get(LOG, "no clear failure")
    assert lived_in.read(LOG) == before


@pytest.mark.parametrize("path", ["gone.csv", "gone.csv.gz", "gone.jsonl", "gone.parquet"])
def test_a_file_removed_while_it_is_indexed_is_ignored(environment: Environment, path: str) -> None:
    landing = landings(environment.settings.for_sources(), catalog.contracts())[LOG]
    with open_lake(environment.settings, {}).connect() as session:
        assert landing.index(session, [LandingFile(path, 10, "1")]) == {}


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_a_gz_file_cut_off_at_the_end_of_a_line_is_not_published(lived_in: Environment, ending: str) -> None:
    """The rows that are left are readable; only the compressed stream shows that more should follow."""
    before = lived_in.read(ARTISTS)
    file = lived_in.land(ARTISTS, f"date={DAY}/half.{ending}", _noise(100))
    packer = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    content = packer.compress(file.read_bytes()) + packer.flush(zlib.Z_SYNC_FLUSH)
    file.unlink()
    lived_in.land(ARTISTS, f"date={DAY}/half.{ending}.gz", content)
    run = lived_in.run(DAY, tables=[ARTISTS])
    assert f"half.{ending}.gz" in run.failed.get(ARTISTS, "no clear failure")
    assert lived_in.read(ARTISTS) == before


def test_a_parquet_file_with_damaged_pages_is_named_and_nothing_changes(lived_in: Environment) -> None:
    before = lived_in.read(ARTISTS)
    content = bytearray(lived_in.parquet(_noise(5000)))
    content[2000:6000] = bytes(4000)
    lived_in.land(ARTISTS, f"date={DAY}/damaged.parquet", bytes(content))
    run = lived_in.run(DAY, tables=[ARTISTS])
    assert "damaged.parquet" in run.failed.get(ARTISTS, "no clear failure")
    assert lived_in.read(ARTISTS) == before


BROKEN_FILES: dict[str, tuple[str, str | bytes]] = {
    "a file that is no parquet": ("broken.parquet", b"PAR1 is how it begins"),
    "a parquet file of no bytes": ("broken.parquet", b""),
    "a file that is no gz": ("broken.csv.gz", "we_art_id,we_art_name,comm_id\n1,x,1\n"),
    "a last line of json that is cut off": ("broken.jsonl", '{"we_art_id": 5}\n{"we_art_id": 6, "we_art'),
    "a quote that is never closed": ("broken.csv", 'we_art_id,we_art_name,comm_id\n5,"x,1\n6,y,2\n'),
    "an ending that is not known": ("broken.xlsx", b"PK"),
    "no ending": ("broken", b"1,x,1"),
    "a last line of csv that is cut off": ("broken.csv", "we_art_id,we_art_name,comm_id\n5,x,1\n6,"),
    "a header that is no UTF-8": ("broken.csv", "we_art_id,we_art_name,comm_id,café\n5,x,1,\n".encode("latin-1")),
    "a header that has a column twice": ("broken.csv", "we_art_id,comm_id,we_art_name,WE_ART_ID\n5,1,x,6\n"),
    "one array of json": ("broken.jsonl", '[{"we_art_id": 5}, {"we_art_id": 6}]\n'),
    "text of two bytes a letter": ("broken.csv", "we_art_id,we_art_name,comm_id\n5,x,1\n".encode("utf-16")),
    "a csv that is called json lines": ("broken.jsonl", "we_art_id,we_art_name,comm_id\n5,x,1\n"),
}


@pytest.mark.parametrize("case", BROKEN_FILES)
def test_the_error_names_source_and_file_and_nothing_changes(lived_in: Environment, case: str) -> None:
    name, content = BROKEN_FILES[case]
    before = lived_in.read(ARTISTS)
    lived_in.land(ARTISTS, f"date={DAY}/{name}", content)
    with pytest.raises(LandingError, match=f"(?s){ARTISTS}.*{name}"):
        lived_in.publish(ARTISTS, DAY)
    assert lived_in.read(ARTISTS) == before


MALFORMED: dict[str, tuple[str, str | bytes, str]] = {
    "a row with too many values": ("csv", "6,y,2,3", "line 2: it has 4 fields for 3 columns"),
    "a row with too few values": ("csv", "6,y", "line 2: it has 2 fields for 3 columns"),
    "text after a closing quote": ("csv", '6,"ph"one,2', "line 2: text follows the closing quote of field 2"),
    "a quote that the next line closes": ("csv", '6,"y,2', "line 2: text follows the closing quote of field 2"),
    "a row that is no UTF-8": (
        "csv",
        "6,café,1".encode("latin-1"),
        "line 2: it is not UTF-8 text; other bytes are shown as \\xNN",
    ),
    "a line that is no json": ("jsonl", '{"we_art_id": 6,', "line 1: it is not JSON"),
    "a line of json that is no object": ("jsonl", "[6]", "line 1: it is JSON, but not an object"),
    "a number that is no json": ("jsonl", '{"we_art_id": NaN}', "line 1: it is not JSON"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_record_is_quarantined_unchanged_and_the_others_are_read(lived_in: Environment, case: str) -> None:
    ending, content, reason = MALFORMED[case]
    lived_in.overrides["quarantine_share"] = 0.5
    came = content if isinstance(content, bytes) else content.encode()
    around = {
        "csv": (b"we_art_id,we_art_name,comm_id\n", b'7,"z",3\n8,"w",4\n'),
        "jsonl": (b"", b'{"we_art_id": 7}\n{"we_art_id": 8}\n'),
    }
    before, after = around[ending]
    lived_in.land(ARTISTS, f"date={DAY}/odd.{ending}", before + came + b"\n" + after)
    lived_in.publish(ARTISTS, DAY)
    assert lived_in.column(ARTISTS, "we_art_id", DAY) == [1, 7, 8]
    [row] = lived_in.quarantine(ARTISTS, DAY)
    assert (row["reason"], row["raw_row"]) == (reason, came.decode("utf-8", "backslashreplace"))


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_missing_column_is_named_with_its_type(lived_in: Environment, ending: str) -> None:
    row = lived_in.artist(5, "x", 5)
    del row["we_art_id"]
    lived_in.land(ARTISTS, f"date={DAY}/lacking.{ending}", [row])
    with pytest.raises(LandingError) as error:
        lived_in.publish(ARTISTS, DAY)
    for word in (ARTISTS, f"lacking.{ending}", "we_art_id (int)", "we_art_name", "comm_id"):
        assert word in str(error.value)


def test_a_missing_nullable_column_is_an_error_in_csv(lived_in: Environment) -> None:
    lived_in.land(ARTISTS, f"date={DAY}/lacking.csv", "we_art_id,we_art_name\n5,x\n")
    with pytest.raises(LandingError, match=r"lacking\.csv lacks the column comm_id \(bigint\)"):
        lived_in.publish(ARTISTS, DAY)


@pytest.mark.parametrize(
    ("column", "values", "found", "expected"),
    [
        ("we_art_id", pa.array(["5"]), "string", "int"),
        ("we_art_id", pa.array([5.0]), "float64", "int"),
        ("comm_id", pa.array([True]), "boolean", "bigint"),
        ("we_art_name", pa.array([5]), "int64", "string"),
        ("we_art_name", pa.array([["x"]]), "array<string>", "string"),
    ],
)
def test_a_mistyped_parquet_column_is_named_with_both_types(
    lived_in: Environment, column: str, values: pa.Array, found: str, expected: str
) -> None:
    columns = {"we_art_id": pa.array([5]), "we_art_name": pa.array(["x"]), "comm_id": pa.array([5])}
    lived_in.land(ARTISTS, f"date={DAY}/mistyped.parquet", lived_in.parquet(pa.table(columns | {column: values})))
    with pytest.raises(LandingError) as error:
        lived_in.publish(ARTISTS, DAY)
    for word in (ARTISTS, "mistyped.parquet", f"column {column} is {found}, expected {expected}"):
        assert word in str(error.value)


def test_a_run_over_an_unreadable_file_fails_with_a_readable_error(lived_in: Environment) -> None:
    lived_in.land(LOG, f"date={DAY}/broken.parquet", b"no parquet")
    run = lived_in.run(DAY)
    assert "broken.parquet" in run.failed[LOG]
    assert (run.crashed, run.metadata) == ({}, {})


def test_nothing_downstream_starts_over_an_unreadable_file(lived_in: Environment) -> None:
    lived_in.land(LOG, f"date={DAY}/broken.parquet", b"no parquet")
    lived_in.run(DAY, tables=[LOG, BASE])
    assert lived_in.published(BASE, DAY) == set()


@pytest.mark.parametrize("day", ["2024-03-04", "2024-03-05", "2024-03-06"])
def test_an_unreadable_file_of_facts_stops_its_day_and_the_adjacent_days(lived_in: Environment, day: str) -> None:
    before = lived_in.read(LOG)
    lived_in.land(LOG, f"date={DAY}/broken.parquet", b"no parquet")
    with pytest.raises(LandingError, match=r"broken\.parquet"):
        lived_in.publish(LOG, day)
    assert lived_in.read(LOG) == before


@pytest.mark.parametrize("day", ["2024-03-03", "2024-03-07"])
def test_an_unreadable_file_of_facts_leaves_other_days_alone(lived_in: Environment, day: str) -> None:
    lived_in.land(LOG, f"date={DAY}/broken.parquet", b"no parquet")
    lived_in.land(LOG, "late.csv", [lived_in.line(f"{day} 13:00:00", url="late")])
    metadata = lived_in.publish(LOG, day)
    assert lived_in.column(LOG, "url", day) == ["first", "late"]
    assert metadata["files that cannot be read"] == 1


def test_a_day_keeps_the_rows_of_a_file_that_became_unreadable(environment: Environment) -> None:
    """The sensor requests each day of the file's rows; a day far from the file's folder must not lose them."""
    lines = [environment.line(f"{day} 12:00:00") for day in ("2024-03-02", "2024-03-08")]
    file = environment.land(LOG, "date=2024-03-02/export.parquet", lines)
    environment.publish(LOG, "2024-03-08")
    file.write_bytes(_cut(file.read_bytes()))
    with pytest.raises(LandingError, match=r"export\.parquet"):
        environment.publish(LOG, "2024-03-08")
    assert len(environment.read(LOG, "2024-03-08")) == 1


@pytest.mark.parametrize("day", [DAYS[0], DAYS[-1]])
def test_an_unreadable_file_outside_any_date_folder_stops_all_days(lived_in: Environment, day: str) -> None:
    before = lived_in.read(LOG)
    lived_in.land(LOG, "broken.parquet", b"no parquet")
    with pytest.raises(LandingError, match=r"broken\.parquet"):
        lived_in.publish(LOG, day)
    assert lived_in.read(LOG) == before


def test_a_range_with_one_stopped_day_publishes_none_of_its_days(lived_in: Environment) -> None:
    before = lived_in.read(LOG)
    lived_in.land(LOG, f"date={DAY}/broken.parquet", b"no parquet")
    lived_in.land(LOG, "late.csv", [lived_in.line("2024-03-02 13:00:00", url="late")])
    with pytest.raises(LandingError, match=r"broken\.parquet"):
        lived_in.publish(LOG, "2024-03-02", "2024-03-09")
    assert lived_in.read(LOG) == before


@pytest.mark.parametrize("day", [DAYS[0], DAYS[-1]])
def test_a_snapshot_outside_any_date_folder_stops_all_days(lived_in: Environment, day: str) -> None:
    before = lived_in.read(ARTISTS)
    lived_in.land(ARTISTS, "artists.csv", [lived_in.artist(2)])
    with pytest.raises(LandingError, match=r"artists\.csv is not in a date=YYYY-MM-DD/ folder"):
        lived_in.publish(ARTISTS, day)
    assert lived_in.read(ARTISTS) == before


@pytest.mark.parametrize("folder", ["date=2024-02-30", "date=2024-13-01"])
def test_a_snapshot_under_an_invalid_date_is_an_error(lived_in: Environment, folder: str) -> None:
    before = lived_in.read(ARTISTS)
    lived_in.land(ARTISTS, f"{folder}/artists.csv", [lived_in.artist(2)])
    with pytest.raises(LandingError, match=folder):
        lived_in.publish(ARTISTS, DAYS[-1])
    assert lived_in.read(ARTISTS) == before


def test_an_incomplete_delivery_is_not_carried_forward(lived_in: Environment) -> None:
    """One of its files cannot be read: each day that shows the delivery would show only half of it."""
    lived_in.land(ARTISTS, "date=2024-03-07/half.csv", [lived_in.artist(5, "half")])
    lived_in.land(ARTISTS, "date=2024-03-07/other.parquet", b"no parquet")
    with pytest.raises(LandingError, match=r"other\.parquet"):
        lived_in.publish(ARTISTS, "2024-03-09")
    assert lived_in.column(ARTISTS, "we_art_name", "2024-03-09") == ["second"]


def test_a_corrected_file_publishes_its_day(lived_in: Environment) -> None:
    lived_in.land(LOG, f"date={DAY}/lines.csv", "no,such,header\n")
    with pytest.raises(LandingError):
        lived_in.publish(LOG, DAY)
    lived_in.land(LOG, f"date={DAY}/lines.csv", [lived_in.line(f"{DAY} 12:00:00", url="corrected")])
    lived_in.publish(LOG, DAY)
    assert lived_in.column(LOG, "url", DAY) == ["corrected"]


def test_rows_of_a_removed_file_disappear(lived_in: Environment) -> None:
    extra = lived_in.land(LOG, f"date={DAY}/extra.csv", [lived_in.line(f"{DAY} 13:00:00", url="extra")])
    lived_in.publish(LOG, DAY)
    extra.unlink()
    lived_in.publish(LOG, DAY)
    assert lived_in.column(LOG, "url", DAY) == ["first"]


def test_rows_before_the_first_partition_are_counted_and_not_published(environment: Environment) -> None:
    before = [environment.line("2024-02-29 23:59:59.999"), environment.line("2024-01-01 00:00:00")]
    environment.land(LOG, "export.csv", [*before, environment.line("2024-03-01 00:00:00", url="first")])
    metadata = environment.publish(LOG, "2024-03-01")
    assert environment.column(LOG, "url") == ["first"]
    assert metadata["rows before the first partition"] == 2


@pytest.mark.parametrize("file", ["date=2024-02-20/a.csv", "a.csv"])
def test_rows_without_an_instant_in_a_file_before_the_first_day_are_counted(
    environment: Environment, file: str
) -> None:
    """There is no partition to quarantine them under; they must not be lost silently."""
    environment.land(LOG, file, [environment.line("2024-02-20 12:00:00"), environment.line(unix_log_timestamp="never")])
    metadata = environment.publish(LOG, "2024-03-01")
    assert metadata["rows before the first partition"] == 2


def test_the_latest_valid_instant_is_not_before_the_first_partition(environment: Environment) -> None:
    """A business day in the year 10000 would sort before 2024 as text, so the contract ends a day earlier."""
    environment.land(LOG, "a.csv", [environment.line(unix_log_timestamp=253_402_214_399_999)])
    assert environment.publish(LOG, "2024-03-01")["rows before the first partition"] == 0


def test_files_with_the_same_bytes_are_reported_and_read(environment: Environment) -> None:
    for name in (f"date={DAY}/a.csv", f"date={DAY}/copy of a.csv", f"date={DAY}/other.csv"):
        environment.land(LOG, name, [environment.line(f"{DAY} 12:00:00", url="b" if "other" in name else "a")])
    metadata = environment.publish(LOG, DAY)
    assert metadata["files delivered twice"] == [[f"date={DAY}/a.csv", f"date={DAY}/copy of a.csv"]]
    assert environment.column(LOG, "url") == ["a", "a", "b"]


def test_an_unchanged_snapshot_on_the_next_day_is_not_a_duplicate_file(
    environment: Environment,
) -> None:
    for day in ("2024-03-01", "2024-03-02"):
        environment.land(ARTISTS, f"date={day}/a.csv", [environment.artist(1)])
    assert environment.publish(ARTISTS, "2024-03-02")["files delivered twice"] == []


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("WEMART_ENGINE", "oracle", "'duckdb'"),
        ("WEMART_TIMEZONE", "Asia/Soul", "Asia/Seoul"),
        ("WEMART_TIMEZONE", "", "Asia/Seoul"),
        ("WEMART_FIRST_DAY", "yesterday", "date"),
        ("WEMART_SESSION_GAP_SECONDS", "0", "greater than or equal to 1"),
        ("WEMART_QUARANTINE_SHARE", "2", "less than or equal to 1"),
        ("WEMART_MEMORY_LIMIT", "plenty", "pattern"),
    ],
)
def test_the_error_of_an_invalid_setting_says_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, allowed: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as error:
        load_settings()
    for word in (f"{variable}={value!r}", allowed):
        assert word in str(error.value)


def test_every_invalid_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEMART_ENGINE", "oracle")
    monkeypatch.setenv("WEMART_TIMEZONE", "Mars")
    with pytest.raises(SettingsError, match=r"(?s)WEMART_ENGINE.*WEMART_TIMEZONE"):
        load_settings()


def test_a_day_without_deliveries_is_published_empty(environment: Environment) -> None:
    run = environment.run(DAY)
    assert run.success
    assert (environment.published(LOG, DAY), environment.read(LOG)) == ({DAY}, [])


def test_a_day_without_rows_warns(environment: Environment) -> None:
    check = environment.run(DAY).checks[LOG]["has_rows"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)


def test_a_day_with_rows_does_not_warn(lived_in: Environment) -> None:
    assert lived_in.run(DAY).checks[LOG]["has_rows"].passed


@pytest.mark.slow
def test_an_empty_day_runs_through_the_whole_graph(environment: Environment) -> None:
    of_job = environment.defs.resolve_job_def("requested_by_day").asset_layer.selected_asset_keys
    tables = sorted(".".join(key.path) for key in of_job)
    timeless = environment.defs.resolve_job_def("date_unknown")
    assert timeless.execute_in_process(instance=environment.instance).success
    run = environment.run(DAYS[0], DAY, tables=tables)
    assert run.success
    dated = [table for table in tables if table in catalog.tables() and not catalog.tables()[table].only_partition]
    assert {table: environment.published(table, DAY) for table in dated} == {table: {DAY} for table in dated}


@pytest.mark.parametrize("landed", [True, False])
def test_an_unwritable_lake_is_a_readable_error(environment: Environment, landed: bool) -> None:
    environment.lake.write_text("a file where the folder should be")
    if landed:
        environment.land(LOG, f"date={DAY}/a.csv", [environment.line(f"{DAY} 12:00:00")])
    run = environment.run(DAY)
    assert "WEMART_LAKE" in run.failed.get(LOG, f"no clear failure: {run.crashed}")


def test_a_file_at_the_lake_path_is_left_alone(environment: Environment) -> None:
    environment.lake.write_text("mine")
    with pytest.raises(WemartError):
        environment.publish(LOG, DAY)
    assert environment.lake.read_text() == "mine"


def _lines(environment: Environment, good: int, bad: int) -> list[dict[str, Any]]:
    rows = [environment.line(f"{DAY} 12:00:00", url=str(n)) for n in range(good)]
    return rows + [environment.line(f"{DAY} 12:00:00", user_info_id="nobody", url=str(n)) for n in range(bad)]


@pytest.mark.parametrize(("share", "good", "bad"), [(0.01, 99, 1), (0.25, 3, 1), (0.0, 1, 0)])
def test_a_day_at_the_quarantine_limit_is_published(lived_in: Environment, share: float, good: int, bad: int) -> None:
    lived_in.overrides["quarantine_share"] = share
    lived_in.land(LOG, f"date={DAY}/lines.csv", _lines(lived_in, good, bad))
    metadata = lived_in.publish(LOG, DAY)
    assert (len(lived_in.read(LOG, DAY)), metadata["quarantined rows"]) == (good, bad)


@pytest.mark.parametrize(("share", "good", "bad"), [(0.01, 98, 1), (0.25, 2, 1), (0.0, 1000, 1)])
def test_a_day_over_the_quarantine_limit_is_left_unchanged(
    lived_in: Environment, share: float, good: int, bad: int
) -> None:
    before = lived_in.read(LOG)
    lived_in.overrides["quarantine_share"] = share
    lived_in.land(LOG, f"date={DAY}/lines.csv", _lines(lived_in, good, bad))
    with pytest.raises(RejectedByAudit, match=rf"(?s){DAY}.*quarantine_share.*user_info_id.*lines\.csv"):
        lived_in.publish(LOG, DAY)
    assert (lived_in.read(LOG), lived_in.quarantine(LOG)) == (before, [])


def test_the_quarantine_share_check_reports_the_quarantined_rows(lived_in: Environment) -> None:
    lived_in.land(LOG, f"date={DAY}/lines.csv", _lines(lived_in, 1, 400))
    with pytest.raises(RejectedByAudit, match=rf"400 rows break it, by day: {DAY} \(400\)") as rejected:
        lived_in.publish(LOG, DAY)
    [broken] = [finding for finding in rejected.value.findings if not finding.passed]
    assert (broken.bad_rows, broken.examples[0]["quarantined"], broken.examples[0]["kept"]) == (400, 400, 1)


def test_the_quarantine_share_is_checked_for_each_day_of_a_range(lived_in: Environment) -> None:
    before = lived_in.read(LOG)
    lived_in.land(LOG, f"date={DAY}/lines.csv", _lines(lived_in, 50, 1))
    lived_in.land(LOG, "many.csv", [lived_in.line("2024-03-06 12:00:00", url=str(n)) for n in range(1000)])
    with pytest.raises(RejectedByAudit, match=f"quarantine_share.*{DAY}"):
        lived_in.publish(LOG, DAY, "2024-03-06")
    assert lived_in.read(LOG) == before


def test_a_day_over_the_quarantine_limit_shows_the_failed_check(lived_in: Environment) -> None:
    lived_in.land(LOG, f"date={DAY}/lines.csv", _lines(lived_in, 1, 1))
    run = lived_in.run(DAY)
    check = run.checks[LOG]["quarantine_share"]
    assert (check.passed, check.severity, run.metadata) == (False, dg.AssetCheckSeverity.ERROR, {})


def test_a_rejected_day_leaves_no_files_behind(lived_in: Environment) -> None:
    folders = [lived_in.lake / name.replace(".", "/") for name in (LOG, f"{LOG}__quarantine")]
    before = [sorted(folder.rglob("*.parquet")) for folder in folders]
    lived_in.land(LOG, f"date={DAY}/lines.csv", _lines(lived_in, 1, 1))
    with pytest.raises(RejectedByAudit):
        lived_in.publish(LOG, DAY)
    assert [sorted(folder.rglob("*.parquet")) for folder in folders] == before


def test_rejected_rows_can_be_queried_until_the_day_is_published(lived_in: Environment) -> None:
    lived_in.overrides["quarantine_share"] = 1.0
    lived_in.land(LOG, f"date={DAY}/kept.csv", _lines(lived_in, 0, 2))
    lived_in.publish(LOG, DAY)
    lived_in.overrides["quarantine_share"] = 0.01
    lived_in.land(LOG, f"date={DAY}/lines.csv", _lines(lived_in, 1, 400))
    with pytest.raises(RejectedByAudit, match=f'wemart sql "select reason, count.* from {LOG}__rejected where date_id'):
        lived_in.publish(LOG, DAY)
    rejected = lived_in.read(f"{LOG}__rejected", DAY)
    assert {row["reason"] for row in rejected} == {"user_info_id: 'nobody' is not a bigint"}
    assert (len(rejected), len(lived_in.quarantine(LOG))) == (402, 2)
    (lived_in.landing / LOG / f"date={DAY}/lines.csv").unlink()
    lived_in.overrides["quarantine_share"] = 1.0
    lived_in.publish(LOG, DAY)
    assert (lived_in.read(f"{LOG}__rejected"), len(lived_in.quarantine(LOG))) == ([], 2)


def test_a_full_disk_is_not_blamed_on_a_landing_file(lived_in: Environment) -> None:
    before = lived_in.read(LOG)
    lived_in.land(LOG, f"date={DAY}/lines.csv", _lines(lived_in, 10, 0))
    for most in (10, 1000):  # the index does not fit, then the rows do not
        with small_files(most), pytest.raises(MachineFault, match=rf"{LOG} {DAY}: .* is full .*WEMART_LAKE") as told:
            lived_in.publish(LOG, DAY)
        assert "lines.csv" not in str(told.value)
    assert lived_in.read(LOG) == before
    lived_in.publish(LOG, DAY)
    assert len(lived_in.read(LOG, DAY)) == 10


def test_a_missing_mapping_file_is_a_readable_error(environment: Environment) -> None:
    missing = Path("no such folder/sources.yaml")
    with pytest.raises(LandingError, match=r"WEMART_SOURCES=no such folder/sources.yaml"):
        build_defs(load_settings(**environment.overrides, sources=missing))
