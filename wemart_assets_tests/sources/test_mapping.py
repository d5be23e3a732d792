"""`sources.yaml` maps files with other names and units, and external tables, to the contracts without any Python."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from wemart_assets import catalog
from wemart_assets.lake.errors import LandingError
from wemart_assets.sources.external import external_tables
from wemart_assets.sources.landing import landings

if TYPE_CHECKING:
    from wemart_assets_tests.environments import Environment

LOG = "service_log.weverse_server_log"
ARTISTS = "we_mart.we_artist"
USERS = "we_mart.we_user"
BASE = "we_mart.wv_server_log_base"
DAY = "2024-03-02"


def _map(environment: Environment, *lines: str, source: str = ARTISTS) -> None:
    """Writes `sources.yaml` with one entry."""
    environment.map("\n  ".join([f"{source}:", *lines]) + "\n")


def _published(environment: Environment, file: str, content: Any, source: str = ARTISTS) -> list[dict[str, Any]]:
    environment.land(source, f"date={DAY}/{file}", content)
    environment.publish(source, DAY)
    return environment.read(source)


# Files:


def test_a_column_may_be_read_under_another_name(environment: Environment) -> None:
    _map(environment, "columns: {we_art_id: id, we_art_name: label}")
    rows = _published(environment, "a.csv", "id,label,comm_id\n1,x,10\n")
    assert rows == [environment.artist(1, "x", 10) | {"part_date": DAY}]


def test_a_column_may_be_an_expression_over_several(environment: Environment) -> None:
    _map(
        environment,
        "columns:",
        "  we_art_name: upper(first) || ' ' || \"last name\"",
        "  comm_id: cast(n as bigint) * 10",
    )
    rows = _published(environment, "a.csv", "we_art_id,first,last name,n\n1,ada,Lee,7\n")
    assert rows == [environment.artist(1, "ADA Lee", 70) | {"part_date": DAY}]


def test_seconds_become_the_milliseconds_of_the_contract(environment: Environment) -> None:
    _map(environment, "columns: {unix_log_timestamp: cast(time as bigint) * 1000}", source=LOG)
    environment.land(LOG, "a.csv", f"time,url\n{environment.millis('2024-03-02 12:00:00') // 1000},/a\n")
    environment.publish(LOG, DAY)
    assert environment.column(LOG, "unix_log_timestamp") == [environment.millis("2024-03-02 12:00:00")]


def test_a_column_may_be_a_constant(environment: Environment) -> None:
    _map(environment, "columns: {we_art_name: \"'constant'\", comm_id: 5}")
    rows = _published(environment, "a.csv", "we_art_id\n1\n")
    assert rows == [environment.artist(1, "constant", 5) | {"part_date": DAY}]


def test_a_column_may_be_the_expression_null(environment: Environment) -> None:
    _map(environment, 'columns: {we_art_name: "null"}')
    rows = _published(environment, "a.csv", "we_art_id,comm_id\n1,10\n")
    assert rows == [environment.artist(1, None, 10) | {"part_date": DAY}]


def test_a_column_mapped_to_null_is_null_where_the_file_has_none(environment: Environment) -> None:
    _map(environment, "columns: {we_art_name: null}")
    assert _published(environment, "a.csv", "we_art_id,comm_id\n1,10\n")[0]["we_art_name"] is None


def test_a_column_mapped_to_null_is_null_where_the_file_has_one(environment: Environment) -> None:
    _map(environment, "columns: {we_art_name: null}")
    assert _published(environment, "a.csv", "we_art_id,we_art_name,comm_id\n1,secret,10\n")[0]["we_art_name"] is None


def test_a_column_that_is_not_mapped_is_read_under_its_own_name(environment: Environment) -> None:
    _map(environment, "columns: {comm_id: community}")
    assert _published(environment, "a.csv", "we_art_id,we_art_name,community\n1,x,10\n")[0]["we_art_name"] == "x"


def test_a_nullable_column_that_a_mapped_file_lacks_is_null(environment: Environment) -> None:
    _map(environment, "columns: {we_art_id: id}")
    assert _published(environment, "a.csv", "id\n1\n") == [environment.artist(1, None) | {"part_date": DAY}]


def test_a_required_column_that_a_mapped_file_lacks_is_an_error(environment: Environment) -> None:
    _map(environment, "columns: {comm_id: community}")
    environment.land(ARTISTS, f"date={DAY}/a.csv", "community\n10\n")
    with pytest.raises(LandingError, match=r"a\.csv lacks the column we_art_id \(int\)"):
        environment.publish(ARTISTS, DAY)


def test_an_expression_over_a_missing_column_is_an_error(environment: Environment) -> None:
    _map(environment, "columns: {comm_id: cast(community as bigint)}")
    environment.land(ARTISTS, f"date={DAY}/a.csv", "we_art_id,we_art_name\n1,x\n")
    with pytest.raises(
        LandingError, match=r"a\.csv lacks the column community \(for comm_id\); it has we_art_id, we_art_name"
    ):
        environment.publish(ARTISTS, DAY)


def test_a_csv_without_a_header_is_read_with_the_configured_names(environment: Environment) -> None:
    _map(environment, "names: [we_art_name, community, we_art_id]", "columns: {comm_id: community}")
    rows = _published(environment, "a.csv", "x,10,1\ny,20,2\n")
    assert rows == [
        environment.artist(1, "x", 10) | {"part_date": DAY},
        environment.artist(2, "y", 20) | {"part_date": DAY},
    ]


@pytest.mark.parametrize("delimiter", ["|", "\\t"])
def test_the_delimiter_can_be_configured(environment: Environment, delimiter: str) -> None:
    _map(environment, f'delimiter: "{delimiter}"')
    there = "\t" if delimiter == "\\t" else delimiter
    lines = [("we_art_id", "we_art_name", "comm_id"), ("1", f'"a{there}b"', "10")]
    rows = _published(environment, "a.csv", "".join(there.join(values) + "\n" for values in lines))
    assert rows == [environment.artist(1, f"a{there}b", 10) | {"part_date": DAY}]


def test_the_literal_for_null_can_be_configured(environment: Environment) -> None:
    """As the module's docstring shows it: `null: "-"`."""
    _map(environment, 'null: "-"')
    rows = _published(environment, "a.csv", "we_art_id,we_art_name,comm_id\n1,-,-\n2,a-b,20\n")
    assert rows == [
        environment.artist(1, None) | {"part_date": DAY},
        environment.artist(2, "a-b", 20) | {"part_date": DAY},
    ]


def test_the_key_of_the_null_literal_may_be_quoted(environment: Environment) -> None:
    _map(environment, '"null": "-"')
    rows = _published(environment, "a.csv", "we_art_id,we_art_name,comm_id\n1,-,-\n2,a-b,20\n")
    assert rows == [
        environment.artist(1, None) | {"part_date": DAY},
        environment.artist(2, "a-b", 20) | {"part_date": DAY},
    ]


def test_the_configured_format_applies_to_files_of_any_ending(environment: Environment) -> None:
    _map(environment, "format: csv")
    rows = _published(environment, "a.log", "we_art_id,we_art_name,comm_id\n1,x,10\n")
    assert rows == [environment.artist(1, "x", 10) | {"part_date": DAY}]


def test_json_lines_are_mapped_by_expressions_too(environment: Environment) -> None:
    _map(environment, 'columns: {we_art_id: cast(id as int) + 1, we_art_name: upper("the name"), comm_id: community}')
    rows = _published(environment, "a.jsonl", '{"id": 1, "the name": "x", "community": 10}\n{"id": 2}\n')
    assert rows == [
        environment.artist(2, "X", 10) | {"part_date": DAY},
        environment.artist(3, None) | {"part_date": DAY},
    ]


def test_a_field_inside_a_json_object_can_be_mapped(environment: Environment) -> None:
    _map(environment, "columns: {we_art_name: \"json_extract_string(names, '$.en')\"}")
    rows = _published(environment, "a.jsonl", '{"we_art_id": 1, "names": {"en": "x", "ko": "y"}}\n')
    assert rows[0]["we_art_name"] == "x"


def test_parquet_is_mapped_by_expressions_with_its_own_types(environment: Environment) -> None:
    _map(environment, "columns: {we_art_id: cast(ratio * 2 as int), comm_id: 'numbers[2]'}")
    table = pa.table({"ratio": [0.5], "we_art_name": ["x"], "numbers": [[9, 10]]})
    rows = _published(environment, "a.parquet", environment.parquet(table))
    assert rows == [environment.artist(1, "x", 10) | {"part_date": DAY}]


def test_a_field_of_a_parquet_structure_can_be_mapped(environment: Environment) -> None:
    _map(environment, "columns: {comm_id: community.id}")
    table = pa.table({"we_art_id": [1], "we_art_name": ["x"], "community": [{"id": 10}]})
    rows = _published(environment, "a.parquet", environment.parquet(table))
    assert rows == [environment.artist(1, "x", 10) | {"part_date": DAY}]


def test_an_expression_of_the_wrong_type_names_the_column_and_both_types(environment: Environment) -> None:
    _map(environment, "columns: {we_art_id: cast(we_art_id as double)}")
    environment.land(ARTISTS, f"date={DAY}/a.csv", [environment.artist(1)])
    with pytest.raises(LandingError, match=r"a\.csv: column we_art_id is float64, expected int"):
        environment.publish(ARTISTS, DAY)


def test_an_expression_with_an_unknown_function_is_a_readable_error(environment: Environment) -> None:
    _map(environment, "columns: {we_art_name: frobnicate(we_art_name)}")
    environment.land(ARTISTS, f"date={DAY}/a.csv", [environment.artist(1)])
    with pytest.raises(LandingError, match="frobnicate"):
        environment.publish(ARTISTS, DAY)


def test_a_value_that_an_expression_cannot_cast_is_a_readable_error(environment: Environment) -> None:
    _map(environment, "columns: {comm_id: cast(comm_id as bigint)}")
    environment.land(ARTISTS, f"date={DAY}/a.csv", [environment.artist(1, "x", "ten")])
    run = environment.run(DAY, tables=[ARTISTS])
    assert "'ten'" in run.failed.get(ARTISTS, f"no clear failure: {run.crashed}")


def test_an_expression_that_fails_on_many_files_is_told_once(environment: Environment) -> None:
    _map(environment, "columns: {unix_log_timestamp: cast(time as bigint) * 1000}", source=LOG)
    for name in "abcdef":
        environment.land(LOG, f"{name}.csv", "time\nsoon\n")
    with pytest.raises(LandingError) as error:
        environment.publish(LOG, DAY)
    message = str(error.value)
    assert message.count("the expression of unix_log_timestamp fails: cast(time as bigint) * 1000: ") == 1
    assert "landing file a.csv: " in message
    assert "cannot be cast. Nor can b.csv, c.csv, d.csv be read. There are 2 more such files." in message


@pytest.mark.parametrize("column", ["url", "unix_log_timestamp"])
def test_an_expression_that_fails_names_its_column_whether_or_not_the_index_reads_it(
    environment: Environment, column: str
) -> None:
    columns = {"unix_log_timestamp": "cast(time as bigint)", column: "cast(page as int)::varchar"}
    _map(environment, f"columns: {json.dumps(columns)}", source=LOG)
    environment.land(LOG, "a.csv", f"time,page\n{environment.millis('2024-03-02 12:00:00')},one\n")
    with pytest.raises(LandingError, match=rf"a\.csv: the expression of {column} fails: cast\(page as int\)"):
        environment.publish(LOG, DAY)


@pytest.mark.parametrize("source", [ARTISTS, LOG])
def test_a_changed_mapping_reads_known_files_again(environment: Environment, source: str) -> None:
    text, needed = ("we_art_name", "we_art_id") if source == ARTISTS else ("url", "unix_log_timestamp")
    value = 1 if source == ARTISTS else environment.millis("2024-03-02 12:00:00")
    environment.land(source, f"date={DAY}/a.csv", f"{needed},one,two\n{value},first,second\n")
    for column in ("one", "two"):
        _map(environment, f"columns: {{{text}: {column}}}", source=source)
        environment.publish(source, DAY)
    assert environment.column(source, text) == ["second"]


def test_a_mapping_that_makes_a_file_readable_publishes_it(environment: Environment) -> None:
    environment.land(ARTISTS, f"date={DAY}/a.csv", "id\n1\n")
    with pytest.raises(LandingError, match="we_art_id"):
        environment.publish(ARTISTS, DAY)
    _map(environment, "columns: {we_art_id: id}")
    environment.publish(ARTISTS, DAY)
    assert environment.column(ARTISTS, "we_art_id") == [1]


def test_a_changed_mapping_moves_rows_to_their_new_day(environment: Environment) -> None:
    rows = [environment.line("2024-03-02 12:00:00") | {"received": environment.millis("2024-03-03 12:00:00")}]
    environment.land(LOG, "a.csv", rows)
    environment.publish(LOG, DAY, "2024-03-03")
    _map(environment, "columns: {unix_log_timestamp: received}", source=LOG)
    environment.publish(LOG, DAY, "2024-03-03")
    assert environment.column(LOG, "date_id") == ["2024-03-03"]


UNUSABLE = {
    "an unknown source": ("we_mart.we_artists: {}\n", "we_mart.we_artists"),
    "unknown sources of several types": ("5: {}\nwe_mart.x: {}\n", "we_mart.x"),
    "an unknown column": (f"{ARTISTS}: {{columns: {{we_artist_id: id}}}}\n", "we_artist_id"),
    "an unknown key": (f"{ARTISTS}: {{colums: {{we_art_id: id}}}}\n", "colums"),
    "an unknown format": (f"{ARTISTS}: {{format: xml}}\n", "'parquet', 'csv', 'jsonl' or 'text'"),
    "a delimiter of two letters": (f'{ARTISTS}: {{delimiter: "||"}}\n', "delimiter"),
    "an expression that does not end": (f'{ARTISTS}: {{columns: {{we_art_id: "cast(id as int"}}}}\n', "we_art_id"),
    "an expression with an open quote": (f'{ARTISTS}: {{columns: {{we_art_name: "\'x"}}}}\n', "we_art_name"),
    "an expression of two values": (f'{ARTISTS}: {{columns: {{we_art_id: "id, 5"}}}}\n', "we_art_id"),
    "an empty expression": (f'{ARTISTS}: {{columns: {{we_art_id: ""}}}}\n', "we_art_id"),
    "a landing folder of no source": (f"{ARTISTS}: {{landing: we_mart.we_artists}}\n", "'we_mart.we_artists'"),
    "a landing folder that is a path": (f"{ARTISTS}: {{landing: ../{USERS}}}\n", f"'../{USERS}'"),
    "a landing folder and a table": (f"{ARTISTS}: {{landing: {USERS}, table: theirs}}\n", "remove one of them"),
    "a list for an entry": (f"{ARTISTS}: [a, b]\n", ARTISTS),
    "a list of sources": ("- we_mart.we_artist\n", "expected sources by their full name"),
    "text": ("just text\n", "expected sources by their full name"),
    "no YAML": ("a: b: c\n", "is not YAML"),
    "control characters": ("a: \x00\n", "is not YAML"),
    "deep nesting": ("[" * 3000, "is not YAML"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_loading_an_invalid_mapping_names_the_file_and_the_fault(environment: Environment, case: str) -> None:
    text, fault = UNUSABLE[case]
    path = environment.map(text)
    with pytest.raises(LandingError) as error:
        _ = environment.defs
    assert [word for word in (str(path), fault) if word not in str(error.value)] == []


def test_the_error_of_an_unknown_source_lists_the_sources(environment: Environment) -> None:
    environment.map("we_mart.we_artists: {}\n")
    with pytest.raises(LandingError, match=ARTISTS):
        _ = environment.defs


def test_the_error_of_an_unknown_column_lists_the_columns(environment: Environment) -> None:
    _map(environment, "columns: {nope: id}")
    with pytest.raises(LandingError, match="we_art_id, we_art_name, comm_id"):
        _ = environment.defs


READS_MORE_THAN_ITS_ROW = (
    "glob('/*')",
    "read_text('/etc/hostname')",
    "query('select 1')",
    "getenv('HOME')",
    "getvariable('x')",
    "current_setting('home_directory')",
    "reflect('java.lang.System', 'getenv', 'HOME')",
    "java_method('java.lang.Runtime', 'getRuntime')",
    "write_log('x')",
    "sleep_ms(1)",
    "nextval('x')",
    "random()",
    "now()",
    "current_date",
    "localtimestamp",
    "(select content from read_text('/etc/hostname'))",
    "id in (select 1)",
    "exists(from read_text('/etc/hostname'))",
    "'x' from read_text('/etc/hostname')",
    "1 as a, 2",
    "1) , (2",
    "1 --",
    "1 where false",
    "1 union select 2",
    "1; drop table x",
    "sum(id)",
    "count(*)",
    "row_number() over ()",
    "unnest([1, 2])",
    "concat(distinct id)",
    "list_transform([1], x -> getenv('HOME'))",
    "*",
    "columns('.*')",
    "$1",
    "?",
    "#1",
    "upper(lower(glob('/*')))",
    "case when glob('/*') is null then 1 end",
    "system.main.getenv('HOME')",
    "upper(id).getenv()",
)


@pytest.mark.parametrize("table", [False, True], ids=["of files", "of a table of someone else"])
@pytest.mark.parametrize("sql", READS_MORE_THAN_ITS_ROW)
def test_an_expression_that_reads_beyond_its_row_is_refused(environment: Environment, sql: str, table: bool) -> None:
    environment.map(json.dumps({ARTISTS: {"columns": {"we_art_name": sql}, **({"table": "theirs"} if table else {})}}))
    with pytest.raises(LandingError, match=r"we_art_name: .* cannot be used as an expression"):
        _ = external_tables(environment.settings.for_sources(), catalog.contracts())
    with pytest.raises(LandingError, match=r"we_art_name: .* cannot be used as an expression"):
        _ = landings(environment.settings.for_sources(), catalog.contracts())


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("cast(label -> '$.en' as text)", '"x"'),
        ("label ->> '$.en'", "x"),
        ("json_extract_string(label, '$.en')", "x"),
        ("case when n like '1%' then 'one' else coalesce(label, 'none') end", "one"),
        ("strftime(epoch_ms(cast(n as bigint)) at time zone 'UTC', '%Y')", "1970"),
        ("\"current_date\" || /* a day */ '!'", "2024!"),
        ("cast(interval 1 day + date '2024-01-01' as text)", "2024-01-02 00:00:00"),
        ("split_part(trim(both '{' from label), ':', 1)", '"en"'),
        ("if(try_cast(n as int) in (12, 13), n[1:1], null)", "1"),
    ],
)
def test_an_expression_over_the_columns_of_its_row_is_accepted(environment: Environment, sql: str, value: str) -> None:
    environment.map(json.dumps({ARTISTS: {"columns": {"we_art_name": sql}}}))
    row = {"we_art_id": 1, "comm_id": None, "label": '{"en":"x"}', "n": "12", "current_date": "2024"}
    assert _published(environment, "a.csv", [row])[0]["we_art_name"] == value


@pytest.mark.parametrize("text", ["", "# nothing yet\n", f"{ARTISTS}:\n"])
def test_an_empty_mapping_maps_nothing(environment: Environment, text: str) -> None:
    environment.map(text)
    rows = _published(environment, "a.csv", [environment.artist(1)])
    assert rows == [environment.artist(1) | {"part_date": DAY}]


# One landing folder for two sources:


def test_two_sources_may_read_one_landing_folder(environment: Environment) -> None:
    environment.map(f"{USERS}: {{landing: {ARTISTS}, columns: {{we_member_id: we_art_id, wv_user_id: comm_id}}}}\n")
    environment.land(ARTISTS, f"date={DAY}/a.csv", [environment.artist(1, "x", 10), environment.artist(2, "y", 20)])
    environment.land(USERS, f"date={DAY}/not_read.csv", [environment.user(9)])
    for source in (ARTISTS, USERS):
        environment.publish(source, DAY)
    assert environment.column(ARTISTS, "we_art_id") == [1, 2]
    assert [(row["we_member_id"], row["wv_user_id"]) for row in environment.read(USERS)] == [(1, 10), (2, 20)]


def test_two_sources_of_one_folder_have_separate_indexes(environment: Environment) -> None:
    environment.map(f"{USERS}: {{landing: {ARTISTS}, columns: {{we_member_id: member}}}}\n")
    environment.land(ARTISTS, f"date={DAY}/a.csv", [environment.artist(1)])
    environment.publish(ARTISTS, DAY)
    with pytest.raises(LandingError, match=rf"{USERS}: .*a\.csv lacks the column member"):
        environment.publish(USERS, DAY)
    environment.land(ARTISTS, f"date={DAY}/a.csv", [environment.artist(1) | {"member": 5}])
    for source in (USERS, ARTISTS):
        environment.publish(source, DAY)
    assert (environment.column(USERS, "we_member_id"), environment.column(ARTISTS, "we_art_id")) == ([5], [1])
