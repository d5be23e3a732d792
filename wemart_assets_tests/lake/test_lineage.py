"""Column lineage: which columns of the inputs can become part of a column."""

from __future__ import annotations

from collections.abc import Mapping

import ibis
import ibis.expr.types as ir
import pytest

from wemart_assets.lake.lineage import column_lineage

SALES = ibis.table({"id": "int64", "shop": "string", "amount": "int64", "at": "timestamp"}, name="sales")
SHOPS = ibis.table({"shop": "string", "ctry": "string", "owner": "string"}, name="shops")
OTHERS = ibis.table({"id": "int64", "shop": "string", "price": "int64"}, name="others")
Lineage = Mapping[str, set[str]]


def lineage(rows: ir.Table) -> Lineage:
    """Origins as `input.column`, for the columns that have any."""
    inputs = {SALES.op(): "sales", SHOPS.op(): "shops", OTHERS.op(): "others"}
    found = column_lineage(rows, inputs)
    assert set(found) == set(rows.columns)
    return {name: {f"{table}.{column}" for table, column in origins} for name, origins in found.items() if origins}


def test_a_column_comes_from_itself_under_whatever_name() -> None:
    assert lineage(SALES.select("id", place="shop").rename(where="place")) == {
        "id": {"sales.id"},
        "where": {"sales.shop"},
    }


def test_a_computed_column_comes_from_all_columns_in_its_expression() -> None:
    assert lineage(SALES.select(text=SALES.shop + SALES.amount.cast("string"), one=ibis.literal(1))) == {
        "text": {"sales.shop", "sales.amount"}
    }


def test_a_chain_of_steps_is_followed_to_its_start() -> None:
    doubled = SALES.mutate(double=SALES.amount * 2)
    assert lineage(doubled.mutate(more=doubled.double + doubled.id).select("more")) == {
        "more": {"sales.amount", "sales.id"}
    }


def test_an_overwritten_column_loses_its_former_origin() -> None:
    assert lineage(SALES.mutate(amount=SALES.id).select("amount")) == {"amount": {"sales.id"}}


def test_a_column_of_a_join_comes_from_its_own_side() -> None:
    assert lineage(SALES.left_join(SHOPS, "shop").select("amount", "ctry", "shop")) == {
        "amount": {"sales.amount"},
        "ctry": {"shops.ctry"},
        "shop": {"sales.shop"},
    }


def test_a_key_coalesced_from_either_side_comes_from_both() -> None:
    joined = SALES.outer_join(SHOPS, "shop")
    assert lineage(joined.select(shop=ibis.coalesce(joined.shop, joined.shop_right))) == {
        "shop": {"sales.shop", "shops.shop"}
    }


def test_a_join_of_three_tables_is_followed_on_each_side() -> None:
    joined = SALES.left_join(SHOPS, "shop").left_join(OTHERS, "id", rname="{name}_other")
    assert lineage(joined.select("amount", "ctry", "price")) == {
        "amount": {"sales.amount"},
        "ctry": {"shops.ctry"},
        "price": {"others.price"},
    }


def test_a_self_join_has_one_origin() -> None:
    again = SALES.view()
    joined = SALES.join(again, SALES.id == again.id, rname="{name}_again")
    assert lineage(joined.select("amount", "amount_again")) == {
        "amount": {"sales.amount"},
        "amount_again": {"sales.amount"},
    }


@pytest.mark.parametrize("how", ["semi", "anti"])
def test_a_table_that_only_filters_rows_is_no_origin(how: str) -> None:
    chosen = SALES.semi_join(SHOPS, "shop") if how == "semi" else SALES.anti_join(SHOPS, "shop")
    assert lineage(chosen.select("shop")) == {"shop": {"sales.shop"}}


def test_a_column_of_a_union_comes_from_both_parts() -> None:
    both = SALES.select("id", value="amount").union(OTHERS.select("id", value="price"))
    assert lineage(both) == {"id": {"sales.id", "others.id"}, "value": {"sales.amount", "others.price"}}


def test_a_union_of_many_parts_comes_from_each_part() -> None:
    names = ibis.union(SALES.select(name="shop"), SHOPS.select(name="owner"), OTHERS.select(name="shop"))
    assert lineage(names) == {"name": {"sales.shop", "shops.owner", "others.shop"}}


@pytest.mark.parametrize("of", [ibis.intersect, ibis.difference], ids=["intersection", "difference"])
def test_other_set_operations_are_followed(of: object) -> None:
    assert callable(of)
    assert "sales.id" in lineage(of(SALES.select("id"), OTHERS.select("id")))["id"]


def test_an_aggregate_comes_from_its_argument_and_a_key_from_itself() -> None:
    grouped = SALES.group_by("shop").aggregate(total=SALES.amount.sum(), rows=SALES.count())
    assert lineage(grouped) == {"shop": {"sales.shop"}, "total": {"sales.amount"}}


def test_an_aggregate_over_a_join_is_followed() -> None:
    joined = SALES.inner_join(SHOPS, "shop")
    assert lineage(joined.group_by("ctry").aggregate(total=joined.amount.sum())) == {
        "ctry": {"shops.ctry"},
        "total": {"sales.amount"},
    }


def test_filter_order_limit_and_distinct_change_no_origin() -> None:
    rows = SALES.filter(SALES.amount > 3).order_by(SALES["at"].desc()).limit(10).select("shop").distinct()
    assert lineage(rows) == {"shop": {"sales.shop"}}


def test_dropped_columns_disappear_and_the_others_stay() -> None:
    assert lineage(SALES.drop("amount", "at")) == {"id": {"sales.id"}, "shop": {"sales.shop"}}


def test_filled_nulls_keep_their_origin() -> None:
    assert lineage(SALES.fill_null({"shop": "none"}).select("shop")) == {"shop": {"sales.shop"}}


def test_dropping_nulls_keeps_the_origin() -> None:
    assert lineage(SALES.drop_null(["shop"]).select("shop")) == {"shop": {"sales.shop"}}


def test_a_window_value_comes_from_its_argument() -> None:
    whole = SALES.select(total=SALES.amount.sum().over(ibis.window()))
    assert lineage(whole) == {"total": {"sales.amount"}}


def test_the_order_and_partition_of_a_window_are_no_origin() -> None:
    """Orderings decide which value is taken; their own values never become part of it."""
    window = ibis.window(group_by=SALES.shop, order_by=SALES["at"])
    assert lineage(SALES.select(before=SALES.amount.lag().over(window))) == {"before": {"sales.amount"}}


def test_each_branch_of_a_case_is_an_origin() -> None:
    either = ibis.cases((SALES.id > 1, SALES.shop), else_=SALES.amount.cast("string"))
    assert {"sales.shop", "sales.amount"} <= lineage(SALES.select(either=either))["either"]


def test_struct_fields_and_array_elements_come_from_their_content() -> None:
    packed = SALES.select(pair=ibis.struct({"shop": SALES.shop, "amount": SALES.amount}))
    assert lineage(packed.select(shop=packed.pair["shop"]))["shop"] >= {"sales.shop"}
    listed = SALES.select(each=ibis.array([SALES.id, SALES.amount]).unnest())
    assert lineage(listed) == {"each": {"sales.id", "sales.amount"}}


def test_a_subquery_is_followed_into_its_table() -> None:
    assert lineage(SALES.select(most=OTHERS.price.max().as_scalar())) == {"most": {"others.price"}}


def test_a_table_that_is_not_an_input_is_no_origin() -> None:
    stranger = ibis.table({"shop": "string", "note": "string"}, name="stranger")
    assert lineage(SALES.left_join(stranger, "shop").select("amount", "note")) == {"amount": {"sales.amount"}}


def test_lineage_ends_at_a_computed_input() -> None:
    """An input of a mart may be an expression; its columns are the origins."""
    base = ibis.table({"a": "int64"}, name="base")
    given = base.mutate(b=base.a + 1)
    found = column_lineage(given.select(c=given.b), {given.op(): "given"})
    assert found == {"c": frozenset({("given", "b")})}
