"""No table is computed in one task: what grows with the log is never brought together in one place on Spark."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import ibis
import ibis.expr.types as ir
import pytest

from wemart_assets.catalog import marts
from wemart_assets.lake.inject import call
from wemart_assets.settings import Settings
from wemart_assets_tests.engines import open_engine, rows_as, table_of

pytestmark = pytest.mark.spark

DAYS = ("2024-01-01", "2024-01-02")


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with open_engine("spark", tmp_path_factory.mktemp("plans") / "lake").connect() as opened:
        yield opened


def plan_of(session: Any, rows: ir.Table) -> list[dict[str, Any]]:
    """The nodes of the plan by which Spark computes the rows."""
    query = session.spark.sql(session.ibis.compile(rows))._jdf.queryExecution()
    nodes: list[dict[str, Any]] = json.loads(query.analyzed().toJSON())
    return nodes


def in_one_place(nodes: Sequence[Mapping[str, Any]]) -> list[str]:
    """What brings all rows together: windows without partitions, joins without an equality."""
    found = []
    for node in nodes:
        kind = node["class"].rpartition(".")[2]
        if kind == "Window" and not node["partitionSpec"]:
            found.append("window")
        if kind == "Join" and not any(
            part["class"].endswith((".EqualTo", ".EqualNullSafe")) for part in node.get("condition") or []
        ):
            found.append(f"join {node['joinType']}")
    return found


@pytest.mark.parametrize("name", sorted(marts()))
def test_a_table_is_computed_in_many_places(session: Any, name: str) -> None:
    mart = marts()[name]
    inputs = {n: table_of(session, rows_as(of.table, [])) for n, of in mart.inputs.items()}
    rows = call(mart.function, {**Settings().for_tables(), **inputs, "days": DAYS})
    assert in_one_place(plan_of(session, rows)) == []


def test_what_is_computed_in_one_place_is_seen(session: Any) -> None:
    table = next(iter(marts().values())).table
    rows = table_of(session, rows_as(table, []))
    assert in_one_place(plan_of(session, rows.mutate(n=ibis.row_number()))) == ["window"]
    other = table_of(session, rows_as(table, [])).select(other=table.day_column)
    assert len(in_one_place(plan_of(session, rows.cross_join(other)))) == 1
    assert in_one_place(plan_of(session, rows.join(other, rows[table.day_column] == other.other))) == []
