"""Views and functions over a range of days, defined in a Spark session, give the same rows as on DuckDB."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner

from wemart_assets import catalog
from wemart_assets.cli import main
from wemart_assets.lake.errors import WemartError
from wemart_assets.settings import Settings
from wemart_assets.spark_sql import define, statements
from wemart_assets.sql import Analyst, analyst
from wemart_assets_tests.engines import open_lake
from wemart_assets_tests.marts.attribution_reference import Reference

VIEWS = [view.table.name for view in catalog.views().values()]
FUNCTIONS = [function.name for function in catalog.functions(Settings().for_tables())]
RANGES = [("2024-01-02", "2024-01-02"), ("2024-01-01", "2024-01-05"), ("2024-01-02", "2024-01-04")]


@pytest.fixture(scope="module")
def door(world: Path) -> Iterator[Analyst]:
    functions = catalog.functions(Settings().for_tables())
    with analyst(world / "lake", catalog.tables(), catalog.views(), functions) as session:
        yield session


@pytest.fixture(scope="module")
def spark(world: Path) -> Iterator[Any]:
    """A Spark session that defines all of them over the lake's folders."""
    with open_lake("spark", world / "lake").connect() as session:
        assert define(session.connection.spark, Settings(lake=world / "lake")) == VIEWS + FUNCTIONS
        yield session.connection.spark


def rows_of(found: pa.Table) -> list[str]:
    return sorted(map(str, found.to_pylist()))


def same(found: pa.Table, known: pa.Table) -> bool:
    assert known.num_rows > 0
    assert {f.name: f.type for f in found.schema} == {f.name: f.type for f in known.schema}
    return rows_of(found) == rows_of(known)


def test_names_are_unique_without_their_databases() -> None:
    assert len({*VIEWS, *FUNCTIONS}) == len(VIEWS) + len(FUNCTIONS) > 0


@pytest.mark.spark
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_matches_duckdb_and_the_reference(
    name: str, spark: Any, door: Analyst, reference: Reference
) -> None:
    for first, last in RANGES:
        found = spark.sql(f"select * from {name}('{first}', '{last}')").toArrow()
        assert same(found, door.run(f"from igaworks.{name}('{first}', '{last}')"))
        days = [f"2024-01-0{n}" for n in range(int(first[-1]), int(last[-1]) + 1)]
        assert {tuple(row.values()) for row in found.to_pylist()} == getattr(reference, name.removesuffix("_between"))(
            days
        )


@pytest.mark.spark
@pytest.mark.parametrize("name", VIEWS)
def test_a_view_shows_the_same_rows_as_on_duckdb(name: str, spark: Any, door: Analyst) -> None:
    assert same(spark.table(name).toArrow(), door.run(f"from {name}"))


@pytest.mark.spark
def test_days_may_be_dates_or_text_and_may_be_named(spark: Any) -> None:
    found = [
        spark.sql(f"select active_users from active_user_by_date_between({days})").collect()[0][0]
        for days in (
            "'2024-01-02', '2024-01-04'",
            "date '2024-01-02', date '2024-01-04'",
            "first => '2024-01-02', last => '2024-01-04'",
            "last => '2024-01-04', first => '2024-01-02'",
        )
    ]
    assert found[0] > 0
    assert len(set(found)) == 1


@pytest.mark.spark
def test_only_functions_over_tables_of_the_catalog_are_defined(world: Path, tmp_path: Path, door: Analyst) -> None:
    event = world / "lake" / "igaworks" / "event"
    settings = Settings(lake=tmp_path / "lake", spark={"catalog": "spark_catalog"})
    with open_lake("spark", tmp_path / "lake").connect() as session:
        own = session.connection.spark.newSession()
        with pytest.raises(WemartError, match="catalog spark_catalog has no table yet"):
            define(own, settings)
        own.sql("create database igaworks")
        try:
            own.sql(f"create table igaworks.event using delta location '{event}'")
            days = "('2024-01-01', '2024-01-05')"
            assert define(own, settings) == [
                "active_user_by_date_between",
                "active_user_by_event_between",
                "hard_funnel_between",
                "total_price_active_user_by_date_between",
            ]
            for name in ("active_user_by_event_between", "hard_funnel_between"):
                assert same(own.sql(f"select * from {name}{days}").toArrow(), door.run(f"from {name}{days}"))
        finally:
            own.sql("drop database igaworks cascade")


def test_the_command_prints_one_statement_per_line(world: Path, tmp_path: Path) -> None:
    def printed(**environment: str) -> list[str]:
        result = CliRunner().invoke(main, ["spark-sql"], env=environment)
        assert result.exit_code == 0
        return result.output.splitlines()

    lake = world / "lake"
    assert printed(WEMART_LAKE=str(lake)) == [f"{text};" for text in statements(Settings(lake=lake)).values()]
    # It cannot know which tables a catalog has.
    of_catalog = printed(WEMART_LAKE=str(tmp_path), WEMART_SPARK__CATALOG="wev_prod")
    assert len(of_catalog) == len(VIEWS) + len(FUNCTIONS)
    assert all("`wev_prod`." in line for line in of_catalog)


def test_an_empty_lake_is_one_message(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["spark-sql"], env={"WEMART_LAKE": str(tmp_path / "lake")})
    assert result.exit_code == 1
    assert f"the lake {tmp_path / 'lake'} has no table yet" in result.output
