"""The queries of the community document run unchanged and match plain Python."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from wemart_assets import catalog
from wemart_assets.sql import Analyst, analyst
from wemart_assets_tests.facts import queries

FIRST = "2024-01-01"
QUERIES = queries("community")
Row = dict[str, Any]


@pytest.fixture
def door(world: Path) -> Iterator[Analyst]:
    with analyst(world / "lake", catalog.tables(), catalog.views()) as session:
        yield session


def rows_of(world: Path, table: str) -> list[Row]:
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        files = f"read_parquet('{world}/lake/{table}/**/*.parquet', hive_types_autocast = false)"
        return connection.execute(f"from {files}").to_arrow_table().to_pylist()


@pytest.fixture(scope="module")
def members(world: Path) -> list[Row]:
    return rows_of(world, "we_mart/wv_comm_user")


@pytest.fixture(scope="module")
def orders(world: Path) -> Counter[tuple[Any, ...]]:
    """Membership orders by (account, artist, day): how often the document's join repeats a member's row."""
    found = rows_of(world, "we_mart/ws_fc_user_history")
    return Counter((row["we_member_id"], row["we_art_id"], row["part_date"]) for row in found)


def joined(rows: list[Row], orders: Counter[tuple[Any, ...]]) -> list[Row]:
    return [r for r in rows for _ in range(orders[r["we_member_id"], r["we_art_id"], r["part_date"]] or 1)]


def by(rows: list[Row], *keys: str) -> dict[tuple[Any, ...], list[Row]]:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return groups


def accounts(rows: list[Row]) -> int:
    return len({row["we_member_id"] for row in rows} - {None})


def expected(number: int, members: list[Row], orders: Counter[tuple[Any, ...]], world: Path) -> list[tuple[Any, ...]]:
    """The expected answer to the query of that number, in plain Python."""
    day = [m for m in members if m["part_date"] == FIRST]
    artist = ("comm_id", "we_art_id", "we_art_name")
    if number == 0:
        groups = by(joined(day, orders), *artist)
        return [(*key, accounts(of), sum(r["is_fc"] for r in of)) for key, of in groups.items()]
    if number == 1:
        return [(*key, accounts(of)) for key, of in by(day, *artist, "ip_ctry").items()]
    if number == 2:
        groups = by(day, *artist)
        return [
            (*key, sum(r["is_profile_created"] for r in of), sum(r["is_profile_private"] for r in of))
            for key, of in groups.items()
        ]
    if number == 3:
        held = [m for m in day if m["we_art_name"] == "ARTIST" and m["is_fc"] == 1]
        of_member = by(rows_of(world, "we_mart/ws_fc_user_history"), "we_member_id", "we_art_id", "part_date")
        names = ("wv_user_id", "we_member_id", "comm_id", "we_art_id", "we_art_name", "comm_user_first_dt")
        return [
            (*(m[n] for n in names), order["fc_id"])
            for m in held
            for order in of_member[m["we_member_id"], m["we_art_id"], m["part_date"]]
        ]
    if number == 4:
        month = [m for m in members if "2024-01-01" <= m["part_date"] <= "2024-01-31" and m["we_art_name"] == "ARTIST"]
        return [(*key, accounts(of)) for key, of in by(month, "ip_ctry").items()]
    names = ("wv_user_id", "we_member_id", "comm_id", "we_art_id", "we_art_name", "comm_user_first_dt", "profile_name")
    return [
        tuple(m[n] for n in names)
        for m in day
        if m["comm_id"] == 1234 and m["is_profile_created"] == 1 and m["is_profile_private"] == 1
    ]


@pytest.mark.parametrize("prefix", ["wev_prod.", ""], ids=["with the catalog", "without"])
@pytest.mark.parametrize("number", range(len(QUERIES)))
def test_documented_queries_match_plain_python(
    number: int, prefix: str, door: Analyst, members: list[Row], orders: Counter[tuple[Any, ...]], world: Path
) -> None:
    found = door.run(QUERIES[number].replace("wev_prod.", prefix))
    if re.search(r"^create", QUERIES[number], re.MULTILINE):
        found = door.run(f"select * from {prefix}we_mart.wv_comm_user_ctry_dist")
    rows = sorted((tuple(row.values()) for row in found.to_pylist()), key=str)
    assert rows
    assert rows == sorted(expected(number, members, orders, world), key=str)


def test_the_documented_query_over_days_covers_at_least_three(members: list[Row]) -> None:
    assert len({m["part_date"] for m in members if m["we_art_name"] == "ARTIST"}) >= 3


def test_the_view_covers_every_day(door: Analyst, members: list[Row]) -> None:
    found = door.run("select part_date, comm_id, user_country, user_count from we_mart.wv_comm_user_ctry_dist")
    rows = [tuple(row.values()) for row in found.to_pylist()]
    groups = by(members, "part_date", "comm_id", "ip_ctry")
    assert sorted(rows, key=str) == sorted(((*key, accounts(of)) for key, of in groups.items()), key=str)
    assert len({row[0] for row in rows}) == 5


@pytest.mark.parametrize("column", ["part_comm_id", "part_date"])
def test_a_filter_on_one_partition_reads_only_its_files(column: str, door: Analyst, world: Path) -> None:
    value = {"part_comm_id": "1234", "part_date": f"'{FIRST}'"}[column]
    of = {"part_comm_id": "part_comm_id=1234/*/*.parquet", "part_date": f"*/part_date={FIRST}/*.parquet"}[column]
    files = len(list((world / "lake/we_mart/wv_comm_user").glob(of)))
    every = len(list((world / "lake/we_mart/wv_comm_user").glob("*/*/*.parquet")))
    plan = door.run(f"explain analyze select sum(is_fc) from we_mart.wv_comm_user where {column} = {value}")
    read = re.search(r"Total Files Read: (\d+)", str(plan.to_pylist()))
    assert read is not None
    assert int(read[1]) == files < every
