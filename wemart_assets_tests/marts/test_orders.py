"""Orders in the shop: by member and artist, by membership, and by platform (tables.md 2.3)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given

from wemart_assets.lake.mart import Mart
from wemart_assets.marts.services.stats_we_d_order_fc import stats_we_d_order_fc
from wemart_assets.marts.services.we_sale import we_sale
from wemart_assets.marts.services.ws_platform_daily import ws_platform_daily
from wemart_assets_tests.marts.services import (
    DAY_BEFORE,
    DAYS,
    RANDOM,
    SEOUL,
    Services,
    account,
    artist,
    grouped,
    holds,
    member_of,
    order,
    random_services,
    values,
    visit,
)
from wemart_assets_tests.marts.test_daily_stats import DAY, JANUARY_15, Bench, Row, session

SALE = ("key_date", "part_date", "we_member_id", "we_art_id", "ord_cnt", "ord_amount", "is_comm_user", "is_fc")
SOLD = SALE[2:]
FLAGS = ("is_comm_user", "is_fc")
SALE_INPUTS = ("orders", "users", "artists", "members", "memberships")
TEN_AND_A_HALF = Decimal("10.5000")


# --- we_sale ----------------------------------------------------------------------------------------------------------


def test_orders_of_a_member_and_artist_are_one_row(bench: Bench) -> None:
    rows = [
        order(1, amount=Decimal("0.0001")),
        order(2, amount=Decimal("99999999999999.9999")),
        order(3, amount=None),
        order(4, art=12),
        order(5, is_ord=0),
        order(6, is_ord=None),
    ]
    assert values(bench(we_sale, SEOUL, orders=rows), *SALE) == {
        (JANUARY_15, DAY, 107, 11, 3, Decimal("100000000000000.0000"), None, None): 1,
        (JANUARY_15, DAY, 107, 12, 1, TEN_AND_A_HALF, None, None): 1,
    }


def test_orders_without_account_or_artist_have_rows(bench: Bench) -> None:
    rows = [order(1, None), order(2, art=None), order(3, None, None), order(4, None, None, amount=None)]
    found = bench(we_sale, SEOUL, orders=rows, users=[account(107)], artists=[artist(11, 11)])
    assert values(found, *SOLD) == {
        (None, 11, 1, TEN_AND_A_HALF, None, None): 1,
        (107, None, 1, TEN_AND_A_HALF, None, None): 1,
        (None, None, 2, TEN_AND_A_HALF, None, None): 1,
    }


@pytest.mark.parametrize(
    ("given", "flags"),
    [
        ({}, (0, 0)),
        ({"members": [member_of(11, 107)]}, (1, 0)),
        ({"members": [member_of(11, 107)], "memberships": [holds(11, 107)]}, (1, 1)),
        ({"memberships": [holds(11, 107)]}, (0, 1)),
        ({"memberships": [holds(11, 107), holds(11, 107, fc_id=2)]}, (0, 1)),
        ({"memberships": [holds(11, 107, ord_status="PAYMENT_FAILED")]}, (0, 0)),
        ({"memberships": [holds(11, 107, day=DAY_BEFORE)], "members": [member_of(11, 107, day=DAY_BEFORE)]}, (0, 0)),
        ({"members": [member_of(12, 107), member_of(11, 108)], "memberships": [holds(12, 107)]}, (0, 0)),
        ({"users": [], "members": [member_of(11, 107)], "memberships": [holds(11, 107)]}, (None, None)),
        ({"artists": [], "members": [member_of(11, 107)], "memberships": [holds(11, 107)]}, (None, None)),
        ({"artists": [artist(11)], "memberships": [holds(11, 107)]}, (None, 1)),
    ],
)
def test_flags_say_what_the_member_is_to_the_artist(
    bench: Bench, given: dict[str, list[Row]], flags: tuple[int | None, int | None]
) -> None:
    snapshots = {"users": [account(107)], "artists": [artist(11, 11)]} | given
    found = bench(we_sale, SEOUL, orders=[order(1)], **snapshots)
    assert values(found, *FLAGS) == {flags: 1}


def sales_reference(of: Services) -> list[Row]:
    def has(rows: list[Row], **wanted: Any) -> bool:
        return any(all(row[name] == value for name, value in wanted.items()) for row in rows)

    sales = []
    orders = [row for row in of.orders if row["is_ord"] == 1]
    key: Callable[[Row], Any] = lambda row: (row["part_date"], row["we_member_id"], row["we_art_id"])  # noqa: E731
    for (day, member, art), its in grouped(orders, key).items():
        known = has(of.users, part_date=day, we_member_id=member) and has(of.artists, part_date=day, we_art_id=art)
        [comm] = [row["comm_id"] for row in of.artists if known and key_of(row) == (day, art)] or [None]
        pair = {"part_date": day, "we_member_id": member, "we_art_id": art}
        paid = [row for row in of.memberships if row["ord_status"] != "PAYMENT_FAILED"]
        sales.append(
            {
                "key_date": dt.date.fromisoformat(day),
                **pair,
                "ord_cnt": len(its),
                "ord_amount": sum((row["amount"] or Decimal(0) for row in its), Decimal(0)),
                "is_comm_user": None if comm is None else int(has(of.members, **pair)),
                "is_fc": int(has(paid, **pair)) if known else None,
            }
        )
    return sales


def key_of(row: Row) -> tuple[str, int]:
    return row["part_date"], row["we_art_id"]


# --- stats_we_d_order_fc ----------------------------------------------------------------------------------------------

BY_FC = ("key_date", "part_date", "we_art_id", "is_fc", "buyer_cnt", "ord_cnt", "ord_amount", "comm_visit_buyer_cnt")


def sale(member: int | None, art: int | None = 11, is_fc: int | None = None, day: str = DAY, **columns: Any) -> Row:
    row = {"key_date": dt.date.fromisoformat(day), "part_date": day, "we_member_id": member, "we_art_id": art}
    return row | {"is_fc": is_fc, "ord_cnt": 2, "ord_amount": TEN_AND_A_HALF} | columns


def test_holders_of_a_membership_and_others_are_apart(bench: Bench) -> None:
    rows = [sale(1, is_fc=1), sale(2, is_fc=0), sale(3, is_fc=0), sale(4), sale(None), sale(1, None)]
    assert values(bench(stats_we_d_order_fc, {}, sales=rows), *BY_FC) == {
        (JANUARY_15, DAY, 11, 1, 1, 2, TEN_AND_A_HALF, 0): 1,
        (JANUARY_15, DAY, 11, 0, 2, 4, Decimal(21), 0): 1,
        (JANUARY_15, DAY, 11, None, 1, 4, Decimal(21), 0): 1,
        (JANUARY_15, DAY, None, None, 1, 2, TEN_AND_A_HALF, 0): 1,
    }


def test_only_visits_of_the_artists_community_on_the_day_count(bench: Bench) -> None:
    visits = [
        session("a", we_member_id=1, we_art_id=11, comm_id="1"),
        session("b", we_member_id=1, we_art_id=11, comm_id="1"),
        session("c", we_member_id=2, we_art_id=12, comm_id="2"),
        session("d", we_member_id=3),
        session("e", DAY_BEFORE, we_member_id=4, we_art_id=11, comm_id="1"),
        session("f", we_art_id=11, comm_id="1"),
    ]
    sales = [*(sale(member, is_fc=0) for member in (1, 2, 3, 4)), sale(None), sale(3, None, is_fc=0)]
    found = bench(stats_we_d_order_fc, {}, sales=sales, sessions=visits)
    assert values(found, "we_art_id", "is_fc", "buyer_cnt", "comm_visit_buyer_cnt") == {
        (11, 0, 4, 1): 1,
        (11, None, 0, 0): 1,
        (None, 0, 1, 0): 1,
    }


# --- ws_platform_daily ------------------------------------------------------------------------------------------------

BY_PLATFORM = (
    *("key_date", "part_date", "platform", "visitor_cnt", "buyer_cnt", "ord_cnt", "ord_amount", "wv_visitor_cnt"),
)


def test_visits_and_orders_are_counted_by_their_platform(bench: Bench) -> None:
    found = bench(
        ws_platform_daily,
        {},
        visits=[visit(1, platform="APP"), visit(1, platform="APP"), visit(2, platform="APP"), visit(1), visit(None)],
        orders=[order(1, 1, platform="PC"), order(2, 1, platform="PC"), order(3, None), order(4, 2, is_ord=0)],
        sessions=[session("a", we_member_id=1), session("b", DAY_BEFORE, we_member_id=2), session("c")],
    )
    assert values(found, *BY_PLATFORM) == {
        (JANUARY_15, DAY, "APP", 2, 0, 0, Decimal(0), 1): 1,
        (JANUARY_15, DAY, "PC", 0, 1, 2, Decimal(21), 0): 1,
        (JANUARY_15, DAY, None, 1, 0, 1, TEN_AND_A_HALF, 1): 1,
    }


def test_a_platform_with_anonymous_visits_only_has_a_row(bench: Bench) -> None:
    found = bench(ws_platform_daily, {}, visits=[visit(None, platform="MWEB")])
    assert values(found, *BY_PLATFORM[2:]) == {("MWEB", 0, 0, 0, Decimal(0), 0): 1}


# --- all of them ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mart", [we_sale, ws_platform_daily], ids=lambda mart: mart.table.name)
def test_days_are_apart(mart: Mart, bench: Bench) -> None:
    settings = SEOUL if mart is we_sale else {}
    rows = [order(number, day=day) for number, day in enumerate(DAYS)]
    assert values(bench(mart, settings, orders=rows), "part_date", "ord_cnt") == {(day, 1): 1 for day in DAYS}


@RANDOM
@given(of=random_services())
def test_random_days_match_plain_loops(bench: Bench, of: Services) -> None:
    sales = sales_reference(of)
    assert values(bench(we_sale, SEOUL, **of.of(*SALE_INPUTS)), *SALE) == values(sales, *SALE)

    visited = {(row["part_date"], row["we_member_id"], row["we_art_id"]) for row in of.sessions if row["we_art_id"]}
    expected = {}
    for (day, art, is_fc), its in grouped(
        sales, lambda row: (row["part_date"], row["we_art_id"], row["is_fc"])
    ).items():
        buyers = {row["we_member_id"] for row in its} - {None}
        amount = sum(row["ord_amount"] for row in its)
        visitors = [member for member in buyers if (day, member, art) in visited]
        key = (dt.date.fromisoformat(day), day, art, is_fc)
        expected[*key, len(buyers), sum(row["ord_cnt"] for row in its), amount, len(visitors)] = 1
    assert values(bench(stats_we_d_order_fc, {}, sales=sales, sessions=of.sessions), *BY_FC) == expected

    on_weverse = {(row["part_date"], row["we_member_id"]) for row in of.sessions}
    orders = [row for row in of.orders if row["is_ord"] == 1]
    expected = {}
    for day, platform in {(row["part_date"], row["platform"]) for row in (*of.shop, *orders)}:
        here = {"part_date": day, "platform": platform}
        visits, bought = ([row for row in rows if row.items() >= here.items()] for rows in (of.shop, orders))
        visitors, buyers = ({row["we_member_id"] for row in rows} - {None} for rows in (visits, bought))
        amount = sum((row["amount"] or Decimal(0) for row in bought), Decimal(0))
        also = [member for member in visitors if (day, member) in on_weverse]
        key = (dt.date.fromisoformat(day), day, platform)
        expected[*key, len(visitors), len(buyers), len(bought), amount, len(also)] = 1
    found = bench(ws_platform_daily, {}, visits=of.shop, **of.of("orders", "sessions"))
    assert values(found, *BY_PLATFORM) == expected
