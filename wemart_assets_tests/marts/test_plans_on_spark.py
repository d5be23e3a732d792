"""Spark plans: never all rows in one task, never quadratic in a group's rows, and the log shuffled once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import ibis
import ibis.expr.types as ir
import pytest

from wemart_assets.catalog import marts
from wemart_assets.lake.inject import call
from wemart_assets.setting_values.session_form import SessionForm
from wemart_assets.settings import Settings
from wemart_assets_tests.engines import open_lake, rows_as, table_of

pytestmark = pytest.mark.spark

DAYS = ("2024-01-01", "2024-01-02")
SETTINGS = Settings(engine="spark").for_tables()


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with open_lake("spark", tmp_path_factory.mktemp("plans") / "lake").connect() as opened:
        yield opened


def plan_of(session: Any, rows: ir.Table) -> list[dict[str, Any]]:
    """The nodes of Spark's plan for the rows."""
    query = session.connection.spark.sql(session.connection.ibis.compile(rows))._jdf.queryExecution()
    nodes: list[dict[str, Any]] = json.loads(query.analyzed().toJSON())
    return nodes


def reads_on(expression: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a window's frame extends from near the row to the last row, which Spark rereads for each row."""
    classes = [part["class"].rpartition(".")[2] for part in expression]
    _, _, bounds = " ".join(classes).partition("SpecifiedWindowFrame ")
    return "UnboundedFollowing" in bounds and "UnboundedPreceding" not in bounds


def too_much(nodes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns the parts of a plan that do not scale.

    Windows without partitions and joins without an equality bring all rows together; frames that end with the group's
    last row take the square of its rows.
    """
    found = []
    for node in nodes:
        kind = node["class"].rpartition(".")[2]
        if kind == "Window" and not node["partitionSpec"]:
            found.append("window")
        found += ["window to its end"] * sum(map(reads_on, node.get("windowExpressions", [])))
        if kind == "Join" and not any(
            part["class"].endswith((".EqualTo", ".EqualNullSafe")) for part in node.get("condition") or []
        ):
            found.append(f"join {node['joinType']}")
    return found


@pytest.mark.parametrize("name", sorted(marts()))
def test_a_table_scales(session: Any, name: str) -> None:
    mart = marts()[name]
    inputs = {n: table_of(session, rows_as(of.table, [])) for n, of in mart.inputs.items()}
    rows = call(mart.function, {**SETTINGS, **inputs, "days": DAYS, "day_columns": (mart.table.day_column,)})
    assert too_much(plan_of(session, rows)) == []


def test_plans_that_do_not_scale_are_detected(session: Any) -> None:
    table = next(iter(marts().values())).table
    rows = table_of(session, rows_as(table, []))
    assert too_much(plan_of(session, rows.mutate(n=ibis.row_number()))) == ["window"]
    day = table.day_column
    ahead = ibis.window(group_by=day, order_by=day, rows=(1, None))
    assert too_much(plan_of(session, rows.mutate(n=rows[day].max().over(ahead)))) == ["window to its end"]
    behind = ibis.window(group_by=day, order_by=day, rows=(None, 0))
    assert too_much(plan_of(session, rows.mutate(n=rows[day].max().over(behind)))) == []
    other = table_of(session, rows_as(table, [])).select(other=table.day_column)
    assert len(too_much(plan_of(session, rows.cross_join(other)))) == 1
    assert too_much(plan_of(session, rows.join(other, rows[table.day_column] == other.other))) == []


def shuffles(session: Any, rows: ir.Table) -> int:
    plan = (
        session.connection.spark.sql(session.connection.ibis.compile(rows))
        ._jdf.queryExecution()
        .executedPlan()
        .toString()
    )
    return int(plan.count("Exchange hashpartitioning("))


def test_log_lines_are_shuffled_once(session: Any) -> None:
    mart = marts()["we_mart.wv_server_log_base"]
    line = {"date_id": DAYS[0], "user_info_device_id": "d", "unix_log_timestamp": 1_704_067_200_000}
    lines = table_of(session, rows_as(mart.inputs["lines"].table, [line]))
    assert shuffles(session, call(mart.function, {**SETTINGS, "lines": lines})) == 1
    # So they are counted: the form that is not Spark's has many.
    by_buckets = {**SETTINGS, "session_form": SessionForm.BUCKETS}
    assert shuffles(session, call(mart.function, {**by_buckets, "lines": lines})) > 3
