"""The analyst's session: documented queries run unchanged, and statements that do more than read are refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from wemart_assets import catalog
from wemart_assets.lake.errors import WemartError
from wemart_assets.settings import Settings
from wemart_assets.sql import Analyst, QueryRefused, analyst
from wemart_assets_tests.facts import queries
from wemart_assets_tests.marts.attribution_reference import Reference

FIRST = "2024-01-01"
QUERIES = queries("sessions")
Row = dict[str, Any]


@pytest.fixture
def door(world: Path) -> Iterator[Analyst]:
    with analyst(world / "lake", catalog.tables(), catalog.views(), FUNCTIONS.values()) as session:
        yield session


def rows_of(found: pa.Table) -> list[str]:
    return sorted(map(str, found.to_pylist()))


@pytest.fixture(scope="module")
def visits(world: Path) -> list[Row]:
    with duckdb.connect() as connection:
        rows = connection.execute(f"from read_parquet('{world}/lake/we_mart/wv_sess_daily/*/*.parquet')")
        names = [d[0] for d in rows.description]
        return [dict(zip(names, row, strict=True)) for row in rows.fetchall()]


def grouped(rows: list[Row], keys: list[str], totals: dict[str, Callable[[list[Row]], Any]]) -> list[tuple[Any, ...]]:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[k] for k in keys), []).append(row)
    return sorted(((*key, *(total(of) for total in totals.values())) for key, of in groups.items()), key=str)


def distinct(column: str) -> Callable[[list[Row]], int]:
    return lambda rows: len({row[column] for row in rows})


def plain_sum(column: str) -> Callable[[list[Row]], int]:
    return lambda rows: sum(row[column] for row in rows)


def expected(number: int, visits: list[Row]) -> list[tuple[Any, ...]]:
    """The expected answer to the query of that number, in plain Python."""
    day = [v for v in visits if str(v["part_date"]) == FIRST]
    week = [v for v in visits if "2024-01-01" <= str(v["part_date"]) <= "2024-01-07"]
    artist = {v["we_art_id"] for v in visits if v["we_art_name"] == "ARTIST"}
    sessions, seconds = {"n": distinct("sess_id")}, {"s": plain_sum("sess_dur")}
    member = ["key_date", "we_member_id"]
    of_artist = [v for v in week if v["we_art_id"] in artist]
    return [
        lambda: grouped(day, member, sessions | seconds),
        lambda: grouped(day, member, {"n": distinct("user_sess_id"), "s": plain_sum("user_sess_dur")}),
        lambda: grouped(day, ["key_date", "platform"], sessions),
        lambda: grouped(day, ["key_date", "we_art_id", "we_art_name", "platform"], sessions),
        lambda: grouped([v for v in day if v["we_art_id"] in artist], member, sessions),
        lambda: grouped([v for v in week if v["user_ctry"] == "KR"], member, sessions),
        lambda: grouped([v for v in day if v["we_art_id"] in artist and v["is_fc"] == 1], member, seconds),
        lambda: grouped(of_artist, member, sessions),
        lambda: grouped(of_artist, member, seconds),
        lambda: grouped(of_artist, member, sessions | seconds),
    ][number]()


@pytest.mark.parametrize("number", range(len(QUERIES)))
def test_documented_queries_run_unchanged(number: int, door: Analyst, visits: list[Row]) -> None:
    query = QUERIES[number]
    found = door.run(query)
    if created := re.search(r"^create or replace table (\S+)", query, re.MULTILINE):
        found = door.run(f"select * from {created[1]}")
    rows = sorted((tuple(row.values()) for row in found.to_pylist()), key=str)
    assert rows
    assert rows == expected(number, visits)


def test_documented_queries_over_days_cover_at_least_three(visits: list[Row]) -> None:
    assert len({v["part_date"] for v in visits if v["we_art_name"] == "ARTIST"}) >= 3


FUNCTIONS = {of.name: of for of in catalog.functions(Settings().for_tables())}
ALL_DAYS = [f"2024-01-{day:02d}" for day in range(1, 6)]


def test_every_attribution_report_has_a_function_over_a_range() -> None:
    of_app_files = {
        declared.table.name
        for name, declared in catalog.marts().items()
        if name.startswith("igaworks.") and any(i.table.database == "igaworks" for i in declared.inputs.values())
    }
    assert {f"{name}_between" for name in of_app_files - {"first_open"}} == set(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_over_one_day_equals_the_daily_table(name: str, door: Analyst) -> None:
    for day in ALL_DAYS[1:3]:
        of_range = door.run(f"from igaworks.{name}('{day}', '{day}')")
        columns = ", ".join(of_range.column_names)
        daily = door.run(f"select {columns} from igaworks.{name.removesuffix('_between')} where part_date = '{day}'")
        assert of_range.num_rows > 0
        assert of_range.schema == daily.schema
        assert rows_of(of_range) == rows_of(daily)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_over_several_days_matches_the_reference(name: str, door: Analyst, reference: Reference) -> None:
    for days in (ALL_DAYS, ALL_DAYS[1:4]):
        found = door.run(f"from igaworks.{name}(date '{days[0]}', date '{days[-1]}')")
        assert {tuple(row.values()) for row in found.to_pylist()} == getattr(reference, name.removesuffix("_between"))(
            days
        )


def test_a_function_can_be_called_by_three_names(door: Analyst) -> None:
    call = "active_user_by_event_between('2024-01-01', '2024-01-03')"
    found = [rows_of(door.run(f"from {prefix}{call}")) for prefix in ("", "igaworks.", "wev_prod.igaworks.")]
    assert found[0] == found[1] == found[2] != []
    named = door.run("from active_user_by_event_between(last := '2024-01-03', first := '2024-01-01')")
    assert rows_of(named) == found[0]


def test_a_function_reads_a_shadow_of_its_table(door: Analyst) -> None:
    door.run("create table igaworks.event as select * from igaworks.event where event_name = 'login' limit 1")
    found = door.run("from igaworks.active_user_by_event_between('2024-01-01', '2024-01-05')").to_pylist()
    assert found == [{"event_name": "login", "active_users": 1}]


def test_the_wide_view_has_one_row_per_cohort(door: Analyst, reference: Reference) -> None:
    [first] = door.run(
        "select cohort_users, day_0, day_1, day_2, day_3, day_7 from igaworks.hard_retention_by_dates_wide"
        " where cohort_date = date '2024-01-01'"
    ).to_pylist()
    cohort = {user for user, day in reference.cohorts().items() if day == FIRST}
    there = [len(cohort & {e["identity_adid"] for e in reference.happened([day])}) for day in ALL_DAYS[:4]]
    assert list(first.values()) == [len(cohort), *there, None]


def test_a_table_can_be_read_by_three_names(door: Analyst) -> None:
    counts = [
        door.run(f"select count(*) as n from {name}").to_pylist()
        for name in ("we_mart.wv_sess_daily", "wev_prod.we_mart.wv_sess_daily", "wv_sess_daily")
    ]
    assert counts[0][0]["n"] > 0
    assert counts[0] == counts[1] == counts[2]


def test_a_snapshot_shows_its_latest_rows_and_has_a_daily_table(door: Analyst) -> None:
    newest = door.run("select count(*) as n, count(distinct we_art_id) as artists from we_mart.we_artist").to_pylist()
    daily = door.run("select count(distinct part_date) as days from we_mart.we_artist__daily").to_pylist()
    assert newest[0]["n"] == newest[0]["artists"] > 0
    assert daily == [{"days": 5}]


def test_types_are_as_declared(door: Analyst) -> None:
    names = {"BIGINT": "bigint", "INTEGER": "int", "VARCHAR": "string", "DATE": "date"}
    names["TIMESTAMP WITH TIME ZONE"] = "timestamp"
    described = door.run("describe we_mart.wv_sess_daily").to_pylist()
    declared = [(c.name, c.type) for c in catalog.marts()["we_mart.wv_sess_daily"].table.columns]
    assert [(row["column_name"], names[row["column_type"]]) for row in described] == declared


def test_a_shadow_lasts_for_the_session_and_does_not_change_the_lake(world: Path, door: Analyst) -> None:
    before = sorted(str(p) for p in (world / "lake").rglob("*"))
    all_rows = door.run("select count(*) as n from we_mart.wv_user_daily").to_pylist()[0]["n"]
    door.run("create or replace table we_mart.wv_user_daily as select * from we_mart.wv_user_daily limit 3")
    assert door.run("select count(*) as n from wev_prod.we_mart.wv_user_daily").to_pylist() == [{"n": 3}]
    door.run("create or replace view wev_prod.we_mart.of_two as select * from we_mart.wv_user_daily limit 2")
    assert door.run("select count(*) as n from we_mart.of_two").to_pylist() == [{"n": 2}]
    with analyst(world / "lake", catalog.tables()) as another:
        assert another.run("select count(*) as n from we_mart.wv_user_daily").to_pylist() == [{"n": all_rows}]
    assert sorted(str(p) for p in (world / "lake").rglob("*")) == before


def test_names_may_contain_quotes_and_are_case_insensitive(door: Analyst) -> None:
    door.run('create table we_mart."a""b" as select 1 as x')
    assert door.run('select x from we_mart."a""b"').to_pylist() == [{"x": 1}]
    door.run("create or replace table WE_MART.WV_USER_DAILY as select 2 as x")
    assert door.run("select x from we_mart.wv_user_daily").to_pylist() == [{"x": 2}]


@pytest.mark.parametrize("kind", ["table", "view"])
def test_a_shadow_has_the_listed_columns(kind: str, door: Analyst) -> None:
    door.run(f'create {kind} of_two(a, "b""c") as select 1 as x, 2 as y')
    assert door.run("from of_two").to_pylist() == [{"a": 1, 'b"c': 2}]
    with pytest.raises(duckdb.BinderException, match="1 columns available but 2 columns specified"):
        door.run(f"create {kind} of_one(a, b) as select 1 as x")


def test_a_shadow_that_fails_leaves_nothing_behind(door: Analyst) -> None:
    rows = door.run("from we_mart.wv_user_daily").num_rows
    for query in ("select no_such from we_mart.wv_sess_daily", "select cast('x' as int) as x"):
        with pytest.raises(duckdb.Error):
            door.run(f"create table we_mart.wv_user_daily as {query}")
    # This fails only after the rows have been computed.
    with pytest.raises(duckdb.CatalogException, match="information_schema"):
        door.run("create table information_schema.t as select 1 as x")
    assert door.run("from we_mart.wv_user_daily").num_rows == rows
    door.run("create table we_mart.wv_user_daily as select 1 as x")
    assert door.run("from we_mart.wv_user_daily").to_pylist() == [{"x": 1}]


@pytest.mark.parametrize(
    "statement",
    [
        "copy (select 1) to 'LAKE/x.csv'",
        "attach 'LAKE/x.db'",
        "set enable_external_access = true",
        "set allowed_directories = ['/']",
        "install httpfs",
        "load httpfs",
        "export database 'LAKE/x'",
        "insert into we_mart.wv_user_daily select * from we_mart.wv_user_daily",
        "delete from we_mart.wv_user_daily",
        "update we_mart.wv_user_daily set comm_id = 'x'",
        "drop view we_mart.wv_user_daily",
        "create macro f(x) as x",
        "create table we_mart.t (a int)",
        "explain analyze copy (select 1) to 'LAKE/x.csv'",
        "explain analyze drop view we_mart.wv_user_daily",
        "from enable_logging('QueryLog', storage = 'file', storage_config = {'path': 'LAKE/x'})",
        "select write_log('x')",
        "select 1; drop view we_mart.wv_user_daily",
        "select 1\0; select 2",
        "",
        "-- nothing",
    ],
)
def test_statements_that_write_or_read_elsewhere_are_refused(statement: str, world: Path, door: Analyst) -> None:
    with pytest.raises(QueryRefused):
        door.run(statement.replace("LAKE", str(world / "lake")))


@pytest.mark.parametrize(
    "query",
    [
        "select * from read_csv('/etc/passwd')",
        "select * from read_text('LAKE/../truth/counts.json')",
        "select * from glob('/etc/*')",
        "select * from 'LAKE/../truth/sessions.parquet'",
        "create table mine as select * from read_text('/etc/hostname')",
    ],
)
def test_files_outside_the_lake_cannot_be_read(query: str, world: Path, door: Analyst) -> None:
    with pytest.raises(QueryRefused):
        door.run(query.replace("LAKE", str(world / "lake")))


def test_python_variables_are_not_tables(door: Analyst) -> None:
    secret = [1, 2, 3]
    assert secret
    with pytest.raises(duckdb.CatalogException):
        door.run("select * from secret")


@pytest.mark.parametrize(
    "query",
    [
        "values (1)",
        "table we_mart.wv_user_daily",
        "explain select 1",
        "explain analyze select count(*) from we_mart.wv_user_daily",
        "explain (format json) select 1",
        "describe select 1 as x",
        "summarize we_mart.wv_user_daily",
        "show databases",
        "show tables",
        "show we_mart.wv_user_daily",
        "pragma table_info('we_mart.wv_user_daily')",
        "pragma version",
        "from duckdb_settings()",
        "select * from information_schema.tables where table_name = 'wv_user_daily'",
        "unpivot (select 1 as a, 2 as b) on a, b",
        "select uuid(), random(), now(), current_date, unnest([1, 2])",
        "select count(*) from range(3) group by grouping sets ((), (range))",
        "with recursive r as (select 1 as n union all select n + 1 from r where n < 3) from r",
        f"select {' + '.join(['1'] * 900)}",
        " union all ".join(["select 1"] * 900),
        "/* a; */ select ';' as x; -- b;",
    ],
)
def test_read_only_statements_are_allowed(query: str, door: Analyst) -> None:
    assert door.run(query).num_rows > 0


PIVOTS = [
    "pivot {table} on platform using count(*) group by part_date order by all",
    "pivot {table} on platform, is_fc using count(*), sum(sess_dur) as seconds group by part_date order by all",
    "from (pivot (from {table}) on is_fc using count(*) group by platform) order by all",
    "with q as (from {table}) pivot q on platform || 'x' using count(*) group by part_date order by all",
    "with p as (pivot {table} on platform using count(*) group by part_date) select * from p order by all",
    "pivot {table} on platform in ('APP') using count(*) group by part_date order by all",
]


@pytest.mark.parametrize("query", PIVOTS)
def test_a_pivot_finds_the_same_columns_as_in_plain_duckdb(query: str, door: Analyst, world: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        files = f"read_parquet('{world}/lake/we_mart/wv_sess_daily/*/*.parquet', hive_types_autocast = false)"
        connection.execute(f"create table visits as from {files}")
        expected = connection.execute(query.format(table="visits")).to_arrow_table()
    found = door.run(query.format(table="we_mart.wv_sess_daily"))
    assert found.num_rows > 0
    assert found.column_names == expected.column_names
    assert rows_of(found) == rows_of(expected)


def test_a_pivot_can_be_a_shadow(door: Analyst) -> None:
    door.run("create table by_platform as pivot we_mart.wv_sess_daily on platform using count(*) group by part_date")
    assert {"part_date", "APP"} <= set(door.run("from by_platform").column_names)


def test_the_text_of_a_shadow_is_kept_literally(door: Analyst) -> None:
    door.run("create table letters as select [x + 1 for x in [1, 2]] as l, 'a' as \"as\" -- as")
    assert door.run("from letters").to_pylist() == [{"l": [2, 3], "as": "a"}]
    door.run("create view named(x) as select 1 -- one")
    assert door.run("from named").to_pylist() == [{"x": 1}]


def test_the_error_of_an_unknown_function_suggests_a_similar_one(door: Analyst) -> None:
    with pytest.raises(QueryRefused, match="no function uppr; did you mean upper"):
        door.run("select uppr('x')")


def test_a_stream_of_rows_ends_with_the_next_query(door: Analyst) -> None:
    rows = door.stream("select range as n from range(1_000_000)")
    first = next(iter(rows))
    assert 0 < first.num_rows < 1_000_000
    assert first.num_rows + sum(batch.num_rows for batch in rows) == 1_000_000
    left = door.stream("from range(1_000_000)")
    door.run("select 1")
    with pytest.raises(AssertionError, match="after another began"):
        list(left)


def test_running_out_of_memory_names_the_setting(world: Path) -> None:
    query = "select max(h) from (select md5(range::varchar) as h, count(*) from range(9_000_000) group by all)"
    with (
        analyst(world / "lake", catalog.tables(), memory_limit="100MB", threads=1) as session,
        pytest.raises(WemartError, match="WEMART_MEMORY_LIMIT") as told,
    ):
        session.run(query)
    assert "SET" not in str(told.value)


def test_an_empty_lake_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(WemartError, match="wemart demo"), analyst(tmp_path, {}):
        pass
