"""The queries of the activation document run unchanged and match plain Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from wemart_assets import catalog
from wemart_assets.sql import Analyst, analyst
from wemart_assets_tests.facts import queries

QUERIES = queries("activation")
VISIT, JOIN, VIEW = "first_visit", "key_event_1", "key_event_2"
LAST = "2024-01-05"
Row = dict[str, Any]


@pytest.fixture(scope="module")
def door(world: Path) -> Iterator[Analyst]:
    with analyst(world / "lake", catalog.tables(), catalog.views()) as session:
        yield session


def rows_of(world: Path, table: str) -> list[Row]:
    rows: list[Row] = DeltaTable(world / "lake" / table.replace(".", "/")).to_pyarrow_table().to_pylist()
    return rows


@pytest.fixture(scope="module")
def firsts(world: Path) -> list[Row]:
    return rows_of(world, "activation.fact__first_activation_events")


@pytest.fixture(scope="module")
def users(world: Path) -> list[Row]:
    return rows_of(world, "core.dim__users")


def cohorts(firsts: list[Row], windows: dict[str, int]) -> list[tuple[Any, ...]]:
    counted = Counter(
        (row["first_visit_date"], row["event_name"])
        for row in firsts
        if row["days_from_first_visit"] <= windows.get(row["event_name"], 0)
    )
    return [(day, *(counted[day, name] for name in windows)) for day in sorted({day for day, _ in counted})]


def expected(number: int, firsts: list[Row], users: list[Row]) -> list[tuple[Any, ...]]:
    """The expected answer to the query of that number, in plain Python."""
    if number == 0:
        return sorted(Counter(row["date"] for row in firsts if row["event_name"] == JOIN).items())
    windows = {VISIT: 1, JOIN: 1} if number == 1 else {VISIT: 1, JOIN: 1, VIEW: 7}
    americans = {u["user_id"] for u in users if u["part_date"] == LAST and u["country"] == "United States"}
    return cohorts([row for row in firsts if number < 3 or row["user_id"] in americans], windows)


@pytest.mark.parametrize("number", range(len(QUERIES)))
def test_documented_queries_match_plain_python(number: int, door: Analyst, firsts: list[Row], users: list[Row]) -> None:
    found = [tuple(row.values()) for row in door.run(QUERIES[number]).to_pylist()]
    assert found == expected(number, firsts, users)
    assert len(found) >= 3
    assert all(sum(row[place] for row in found) > 0 for place in range(1, len(found[0])))


def test_each_user_is_shown_once_as_of_the_latest_day(door: Analyst, users: list[Row]) -> None:
    [found] = door.run(
        "select count(*) as rows, count(distinct user_id) as users, max(part_date) as day from dim__users"
    ).to_pylist()
    there = sum(1 for user in users if user["part_date"] == LAST)
    assert found == {"rows": there, "users": there, "day": LAST}
    assert door.run("from core.dim__users__daily").num_rows == len(users) > there


def test_user_columns_have_several_values(users: list[Row]) -> None:
    for column in ("country", "device_os", "app_version", "first_campaign", "first_medium", "first_source"):
        assert len({user[column] for user in users} - {None}) > 1, column


def test_the_funnel_table_matches_the_documents_definition(
    door: Analyst, world: Path, firsts: list[Row], users: list[Row]
) -> None:
    """Also by country, as of the day of the first visit."""
    country = {(u["user_id"], u["first_date"]): u["country"] for u in users if str(u["first_date"]) == u["part_date"]}
    windows = {VISIT: 1, JOIN: 1, VIEW: 7}
    counted = Counter(
        (row["first_visit_date"], country[row["user_id"], row["first_visit_date"]], row["event_name"])
        for row in firsts
        if row["days_from_first_visit"] <= windows[row["event_name"]]
    )
    funnel = rows_of(world, "activation.activation_funnel_daily")
    found = {(r["first_visit_date"], r["country"], r["event_name"]): r["users"] for r in funnel if r["users"]}
    assert found == counted
    assert 0 < sum(r["users_in_order"] for r in funnel if r["step"] == 2) < sum(r["users"] for r in funnel)
