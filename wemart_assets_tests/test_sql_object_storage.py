"""SQL over a lake in an object store: the same rows, the same errors, and the same walls as over a folder."""

from __future__ import annotations

import datetime as dt

import duckdb
import pytest

from wemart_assets import catalog
from wemart_assets.lake.errors import UnreadableTable, WemartError
from wemart_assets.lake.location import Location
from wemart_assets.lake.publication import stage
from wemart_assets.sql import analyst
from wemart_assets.sql.statements import QueryRefused
from wemart_assets_tests.engines import duckdb_lake, rows_as, table_of
from wemart_assets_tests.s3_server import S3Server

TABLE = "we_mart.stats_wv_d_platform"
DAYS = ["2024-03-01", "2024-03-02", "2024-03-03"]


@pytest.fixture(scope="module")
def lake(s3: S3Server) -> Location:
    """A lake with three days of a table, the last of them empty, and a folder that is no table."""
    place = s3.location("a/lake")
    table = catalog.tables()[TABLE]
    rows = [{"platform": f"p{n}", table.day_column: day} for n, day in enumerate(DAYS[:2])]
    with duckdb_lake(place).connect() as session:
        given = table_of(session, rows_as(table, rows))
        now = dt.datetime(2024, 4, 1, tzinfo=dt.UTC)
        session.publish(stage(session, table, given, DAYS, session.baseline(table, DAYS), now))
    (place / "we_mart" / "we_artist" / "_landing").write("segment", b"of an index")
    return place


def test_published_rows_are_found(lake: Location) -> None:
    with analyst(lake, catalog.TABLES_BY_NAME) as session:
        found = session.run(f"select platform, part_date from {TABLE} order by all").to_pylist()
        assert found == [{"platform": f"p{n}", "part_date": day} for n, day in enumerate(DAYS[:2])]
        assert session.run(f"select platform from {TABLE} where part_date = '{DAYS[1]}'").to_pylist() == [
            {"platform": "p1"}
        ]
        names = {row["name"] for row in session.run("show all tables").to_pylist()}
    assert names == {"stats_wv_d_platform"}


def test_an_empty_store_says_what_to_do(s3: S3Server) -> None:
    with pytest.raises(WemartError, match="has no table yet; run some partitions"), analyst(s3.location(), {}):
        pass


@pytest.mark.parametrize(
    "statement",
    [
        "copy (select 1) to '{lake}/we_mart/x.parquet'",
        "select * from read_parquet('{lake}/we_mart/stats_wv_d_platform/*/*.parquet')",
        "select * from read_text('{lake}/we_mart/stats_wv_d_platform/_delta_log/*.json')",
        "select * from 's3://other/x.parquet'",
        "load httpfs",
        "create secret (type s3, key_id 'k')",
    ],
)
def test_a_statement_that_reaches_into_the_store_is_refused(lake: Location, statement: str) -> None:
    before = sorted(file.path for file in lake.files())
    with analyst(lake, catalog.TABLES_BY_NAME) as session, pytest.raises((QueryRefused, duckdb.Error)):
        session.run(statement.format(lake=lake))
    assert sorted(file.path for file in lake.files()) == before


@pytest.mark.parametrize(
    ("content", "said"), [(None, "is missing"), (b"PAR1", "has 4 bytes, but its table's log says")]
)
def test_a_damaged_object_is_named_with_its_day(s3: S3Server, lake: Location, content: bytes | None, said: str) -> None:
    copy = s3.location("lake")
    for file in lake.files():
        copy.write(file.path, lake.read(file.path))
    [damaged] = [file.path for file in copy.files() if f"part_date={DAYS[0]}" in file.path]
    copy.delete([damaged])
    if content is not None:
        copy.write(damaged, content)
    with analyst(copy, catalog.TABLES_BY_NAME) as session:
        with pytest.raises(UnreadableTable) as error:
            session.run(f"select count(platform) from {TABLE}")
        assert f"the data file of {DAYS[0]} {copy}/{damaged} {said}" in str(error.value)


def test_a_log_cannot_lead_out_of_its_table(s3: S3Server, lake: Location) -> None:
    copy = s3.location("lake")
    for file in lake.files():
        content = lake.read(file.path)
        if file.path.endswith("1.json"):
            content = content.replace(b'"path":"part_date=', b'"path":"../../../secret/part_date=', 1)
        copy.write(file.path, content)
    with analyst(copy, catalog.TABLES_BY_NAME) as session, pytest.raises(UnreadableTable, match="not in its folder"):
        session.run(f"select * from {TABLE}")
