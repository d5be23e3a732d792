"""Good worlds and cases for the tables of all services, and the sources that they read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

from wemart_assets.lake.audit import GRAIN, ROWS
from wemart_assets.lake.days import Period
from wemart_assets_tests.rule_cases.worlds import (
    DAY,
    DAY_BEFORE,
    FIRST_PLACE,
    Case,
    Domain,
    Row,
    World,
    add_input,
    add_row,
    bad_value,
    case,
    change_input,
    change_row,
    drop_input,
    drop_row,
    kst,
    published_before,
)

SHOP, PHONING, ALBUM = "we_mart.ws_user_daily", "we_mart.ph_sess_daily", "we_mart.wa_sess_daily"
ORDERS, PLAYS = "we_mart.ws_order", "we_mart.wv_video_play"

VISIT, INTEG = "we_mart.we_user_visit", "we_mart.stats_we_d_integ_visit"
BASES = {
    "we_mart.we_visit_weekly_base": FIRST_PLACE[Period.WEEK],
    "we_mart.we_visit_monthly_base": FIRST_PLACE[Period.MONTH],
}
SALE, ORDER_FC, PLATFORM = "we_mart.we_sale", "we_mart.stats_we_d_order_fc", "we_mart.ws_platform_daily"
DAILY, LIVE, ENGAGED = (
    "we_mart.we_user_daily",
    "we_mart.stats_wv_d_live_agg",
    "we_mart.we_user_dic_engaged_by_project",
)

KEY_DATE, KEY_DATE_BEFORE = dt.date(2024, 3, 5), dt.date(2024, 3, 4)
TEN, TWENTY = Decimal("10.5000"), Decimal("21.0000")


def of_day(**columns: object) -> Row:
    return {"key_date": KEY_DATE, "part_date": DAY, **columns}


def session(member: int | None, art: int | None = None, comm: str | None = None, **columns: object) -> Row:
    """A row of wv_sess_daily: the one session of the member."""
    return of_day(
        we_member_id=member, we_art_id=art, comm_id=comm, user_sess_id=f"s|{member}", user_sess_dur=301, **columns
    )


def visit(member: int | None, **columns: object) -> Row:
    return of_day(we_member_id=member, **columns)


def order(number: int, member: int | None, art: int | None, **columns: object) -> Row:
    return of_day(order_id=number, we_member_id=member, we_art_id=art, is_ord=1, amount=TEN, **columns)


# Visits: member 201 has one session in two communities, and was in the shop twice. Nobody known was in both, too.
VISIT_WORLD = World(
    rows=(
        visit(201, service="weverse", visits=1, seconds=301, ctry="KR"),
        visit(201, service="shop", visits=2),
    ),
    inputs={
        "sessions": (session(201, 10, "10"), session(201, 11, "11"), session(None)),
        "shop": (visit(201), visit(201), visit(None)),
        "phoning": (),
        "album": (),
    },
)


def of_period(first_day: str) -> Row:
    return {"key_date": dt.date.fromisoformat(first_day), "part_date": first_day}


# One day of the period.
BASE_WORLD = World(
    rows=(
        visit(201, service="weverse", visit_days=1, visits=2, seconds=301),
        visit(201, service="shop", visit_days=1, visits=3),
    ),
    inputs={
        "visits": (
            visit(201, service="weverse", visits=2, seconds=301),
            visit(201, service="shop", visits=3),
        ),
    },
)

# Sets: member 201 used Weverse, member 202 Weverse and the shop.
INTEG_WORLD = World(
    rows=(
        of_day(services="weverse", member_cnt=1),
        of_day(services="weverse+shop", member_cnt=1),
        of_day(services="any", member_cnt=2),
    ),
    inputs={
        "visits": (visit(201, service="weverse"), visit(202, service="weverse"), visit(202, service="shop")),
    },
)

# Orders: member 201 ordered twice of artist 10, nobody known once of no artist; one row is no order.
SALE_ORDERS = (
    order(1, 201, 10),
    order(2, 201, 10),
    order(3, None, None),
    {**order(4, 201, 10), "is_ord": 0},
)
SALE_WORLD = World(
    rows=(
        of_day(we_member_id=201, we_art_id=10, ord_cnt=2, ord_amount=TWENTY, is_comm_user=1, is_fc=0),
        of_day(ord_cnt=1, ord_amount=TEN),
    ),
    inputs={"orders": SALE_ORDERS},
)
# Member 201 holds the membership and visited the artist's community; member 202 did neither.
ORDER_FC_WORLD = World(
    rows=(
        of_day(we_art_id=10, is_fc=1, buyer_cnt=1, ord_cnt=2, ord_amount=TWENTY, comm_visit_buyer_cnt=1),
        of_day(we_art_id=10, is_fc=0, buyer_cnt=1, ord_cnt=1, ord_amount=TEN, comm_visit_buyer_cnt=0),
        of_day(buyer_cnt=0, ord_cnt=1, ord_amount=TEN, comm_visit_buyer_cnt=0),
    ),
    inputs={
        "orders": (*SALE_ORDERS, order(5, 202, 10)),
        "sessions": (session(201, 10, "10"), session(201, 10, "20"), session(202, 11, "11"), session(None, 10, "10")),
    },
)
PLATFORM_WORLD = World(
    rows=(
        of_day(platform="APP", visitor_cnt=2, buyer_cnt=0, ord_cnt=0, ord_amount=Decimal(0), wv_visitor_cnt=1),
        of_day(visitor_cnt=1, buyer_cnt=1, ord_cnt=3, ord_amount=TEN + TWENTY, wv_visitor_cnt=1),
    ),
    inputs={
        "visits": (
            *(visit(member, platform="APP") for member in (201, 201, 202, None)),
            visit(201),
        ),
        "orders": SALE_ORDERS,
        "sessions": (session(201), session(203)),
    },
)

# Member 201 did everything about artist 10, and was once in the shop, about no artist.
DAILY_COUNTS = {
    "user_sess_cnt": 0,
    "total_user_sess_dur": 0,
    "post_react_cnt": 0,
    "media_react_cnt": 0,
    "play_cnt": 0,
    "play_sec": 0,
    "shop_visit_cnt": 0,
    "phoning_visit_cnt": 0,
    "album_visit_cnt": 0,
    "ord_cnt": 0,
    "ord_amount": Decimal(0),
}
REACTION = of_day(we_member_id=201, we_art_id=10, is_like=1, is_cmnt=0)
PLAY: Row = {"video_id": "v", "we_member_id": 201, "play_sec": 60, "platform": "APP", "part_date": DAY}
LIVE_VIDEO: Row = {"video_id": "v", "media_id": 5, "we_art_id": 10, "media_type": "LIVE", "part_date": DAY}
DAILY_WORLD = World(
    rows=(
        of_day(
            **{
                **dict.fromkeys(DAILY_COUNTS, 1),
                "we_member_id": 201,
                "we_art_id": 10,
                "total_user_sess_dur": 301,
                "first_sess_dt": kst("10:00:00"),
                "last_sess_dt": kst("10:05:00"),
                "play_sec": 60,
                "ord_amount": TEN,
            }
        ),
        of_day(**{**DAILY_COUNTS, "we_member_id": 201, "shop_visit_cnt": 1}),
    ),
    inputs={
        "sessions": (session(201, 10, "10"), session(201, 10, "20"), session(None, 10, "10")),
        "reactions": (REACTION, {**REACTION, "is_like": 0}),
        "media": (REACTION, {**REACTION, "we_member_id": None}),
        "plays": (PLAY, {**PLAY, "we_member_id": None}),
        "lives": (LIVE_VIDEO,),
        "shop": (visit(201, we_art_id=10), visit(201), visit(None)),
        "phoning": (visit(201, we_art_id=10),),
        "album": (visit(201, we_art_id=10),),
        "orders": (order(1, 201, 10), order(3, None, None)),
    },
)

# Member 201 watched a live with the app and had a session; members 201 and 202 reacted; one play is nobody's.
LIVE_WORLD = World(
    rows=(
        of_day(
            we_art_id=10,
            user_type="member",
            media_type="LIVE",
            platform="APP",
            region_type="KR",
            viewer_cnt=1,
            play_cnt=2,
            play_sec=60,
            reactor_cnt=0,
            sess_viewer_cnt=1,
        ),
        of_day(
            we_art_id=10,
            user_type="visitor",
            media_type="LIVE",
            viewer_cnt=0,
            play_cnt=1,
            play_sec=60,
            reactor_cnt=2,
            sess_viewer_cnt=0,
        ),
    ),
    inputs={
        "plays": (
            PLAY,
            {**PLAY, "play_sec": None},
            {**PLAY, "we_member_id": None, "platform": None},
            {**PLAY, "video_id": "x"},
        ),
        "media": tuple({**REACTION, "media_id": 5, "we_member_id": member} for member in (201, 202, 202, None)),
        "lives": (LIVE_VIDEO, {**LIVE_VIDEO, "video_id": "w"}),
        "sessions": (session(201), session(203)),
    },
)


def engaged(member: int, first: dt.date, last: dt.date, days: int, **columns: object) -> Row:
    return {
        "we_art_id": 10,
        "we_member_id": member,
        "first_date": first,
        "last_date": last,
        "engaged_days": days,
        "part_date": DAY,
        **columns,
    }


# Member 201 was engaged yesterday and today, in two ways; member 202 only yesterday.
ENGAGED_WORLD = World(
    rows=(engaged(201, KEY_DATE_BEFORE, KEY_DATE, 2), engaged(202, KEY_DATE_BEFORE, KEY_DATE_BEFORE, 1)),
    inputs={
        "before": tuple(
            engaged(member, KEY_DATE_BEFORE, KEY_DATE_BEFORE, 1, part_date=DAY_BEFORE) for member in (201, 202)
        ),
        "sessions": (session(201, 10, "10"), session(202), session(None, 10, "10")),
        "views": (of_day(we_member_id=202, we_art_id=10, view_cnt=0),),
        "reactions": (REACTION,),
        "media": (),
        "orders": (),
    },
)

GOOD = {
    VISIT: VISIT_WORLD,
    **{
        name: replace(BASE_WORLD, rows=tuple({**row, **of_period(first)} for row in BASE_WORLD.rows))
        for name, first in BASES.items()
    },
    INTEG: INTEG_WORLD,
    SALE: SALE_WORLD,
    ORDER_FC: ORDER_FC_WORLD,
    PLATFORM: PLATFORM_WORLD,
    DAILY: DAILY_WORLD,
    LIVE: LIVE_WORLD,
    ENGAGED: ENGAGED_WORLD,
}

BASE_NULLS = {
    "key_date": {"first_day_of_the_period"},
    "service": {"seconds_of_weverse", "days_add_up"},
    "visit_days": {"days_of_the_period", "days_add_up"},
    "visits": {"days_of_the_period", "days_add_up"},
}
ACTS = [name for name in DAILY_COUNTS if "sess" not in name]
NULL_BREAKS_TOO = {
    VISIT: {
        "we_member_id": {"visits_add_up", "durations_add_up"},
        "service": {"visits_add_up", "seconds_of_weverse"},
        "visits": {"visits_add_up"},
    },
    **dict.fromkeys(BASES, BASE_NULLS),
    INTEG: {name: {"sets_add_up", "services_add_up"} for name in ("services", "member_cnt")},
    SALE: {"ord_cnt": {"has_orders", "amounts_add_up"}, "ord_amount": {"amounts_add_up"}},
    ORDER_FC: {
        "buyer_cnt": {"buyers_have_orders", "amounts_add_up"},
        "ord_cnt": {"buyers_have_orders", "amounts_add_up"},
        "ord_amount": {"amounts_add_up"},
        "comm_visit_buyer_cnt": {"buyers_have_orders", "visitors_add_up"},
    },
    PLATFORM: {
        "visitor_cnt": {"parts_of_the_whole", "visitors_add_up"},
        "buyer_cnt": {"parts_of_the_whole", "orders_add_up"},
        "ord_cnt": {"parts_of_the_whole", "orders_add_up"},
        "ord_amount": {"orders_add_up"},
        "wv_visitor_cnt": {"parts_of_the_whole", "visitors_add_up"},
    },
    DAILY: {
        "we_member_id": {"durations_add_up"},
        "user_sess_cnt": {"durations_add_up", "sessions_have_times"},
        "total_user_sess_dur": {"durations_add_up", "sessions_have_times"},
        **{name: {"acts_add_up"} for name in ACTS},
    },
    LIVE: {
        "viewer_cnt": {"parts_of_the_whole", "viewers_add_up"},
        "play_cnt": {"parts_of_the_whole", "plays_add_up"},
        "play_sec": {"plays_add_up"},
        "reactor_cnt": {"parts_of_the_whole", "reactions_name_no_platform"},
        "sess_viewer_cnt": {"parts_of_the_whole", "viewers_add_up"},
    },
    ENGAGED: {
        "we_art_id": {"nobody_is_lost", "days_add_up"},
        "we_member_id": {"nobody_is_lost"},
        "first_date": {"days_in_order", "days_of_the_span"},
        "last_date": {"days_in_order", "days_of_the_span"},
        "engaged_days": {"days_of_the_span", "days_add_up"},
    },
}


def base_cases(name: str) -> Iterator[Case]:
    yield bad_value(name, "service", "tv", row=1, also=["days_add_up"])
    yield bad_value(name, "visit_days", 0, row=1, also=["days_add_up"])
    yield bad_value(name, "visits", 0, row=1, also=["days_add_up", "days_of_the_period"])
    yield bad_value(name, "seconds", 0, also=["days_add_up"])
    yield case(name, GRAIN, "the same member and service twice", add_row(1), also=["days_add_up"])
    yield case(name, "first_day_of_the_period", "another day", change_row(0, key_date=dt.date(2024, 2, 15)))
    yield case(
        name,
        "days_of_the_period",
        "more days than the period has",
        change_row(1, visit_days=32, visits=32),
        also=["days_add_up"],
    )
    yield case(name, "days_of_the_period", "more days than visits", change_row(1, visit_days=4), also=["days_add_up"])
    yield case(name, "seconds_of_weverse", "seconds in the shop", change_row(1, seconds=1), also=["days_add_up"])
    yield case(name, "seconds_of_weverse", "no seconds on Weverse", change_row(0, seconds=None), also=["days_add_up"])
    yield case(name, "days_add_up", "one visit too many", change_row(0, visits=3))
    yield case(name, "days_add_up", "one second too many", change_row(0, seconds=302))
    yield case(name, "days_add_up", "a service was lost", drop_row(1))
    yield case(name, "days_add_up", "a day more", add_input("visits", **visit(201, service="shop", visits=1)))
    yield case(name, "days_add_up", "all rows were lost", lambda world: replace(world, rows=()), also=[ROWS])


CASES: list[Case] = [
    # we_mart.we_user_visit
    bad_value(VISIT, "service", "tv", row=1, also=["visits_add_up"]),
    bad_value(VISIT, "visits", 0, row=1, also=["visits_add_up"]),
    bad_value(VISIT, "seconds", 0, also=["durations_add_up"]),
    case(VISIT, GRAIN, "the same member and service twice", add_row(1)),
    case(VISIT, "seconds_of_weverse", "seconds in the shop", change_row(1, seconds=5), also=["durations_add_up"]),
    case(VISIT, "seconds_of_weverse", "none on Weverse", change_row(0, seconds=None), also=["durations_add_up"]),
    case(VISIT, "visits_add_up", "a session in two communities counted twice", change_row(0, visits=2)),
    case(VISIT, "visits_add_up", "equal rows counted once", change_row(1, visits=1)),
    case(VISIT, "visits_add_up", "a visit of another service", add_input("phoning", **visit(201))),
    case(VISIT, "visits_add_up", "a member of another service", add_input("album", **visit(202))),
    case(VISIT, "visits_add_up", "a service was lost", drop_row(1)),
    case(VISIT, "durations_add_up", "counted once per community", change_row(0, seconds=602)),
    case(VISIT, "volume", "far fewer rows than the day before", published_before(5)),
    # we_mart.we_visit_weekly_base, we_mart.we_visit_monthly_base
    *(of for name in BASES for of in base_cases(name)),
    # we_mart.stats_we_d_integ_visit
    bad_value(INTEG, "services", "shop+weverse", row=1),
    bad_value(INTEG, "member_cnt", 0, also=["sets_add_up", "services_add_up"]),
    case(INTEG, GRAIN, "the same set twice", add_row(0), also=["sets_add_up", "services_add_up"]),
    case(
        INTEG,
        "sets_add_up",
        "a member counted once per service",
        change_row(0, member_cnt=2),
        change_row(1, services="shop"),
    ),
    case(INTEG, "any_counted_anew", "one member too many", change_row(2, member_cnt=3)),
    case(INTEG, "any_counted_anew", "the row was lost", drop_row(2)),
    case(INTEG, "services_add_up", "members of another set", change_row(0, services="shop")),
    case(INTEG, "volume", "far fewer rows than the day before", published_before(7)),
    # we_mart.we_sale
    bad_value(SALE, "is_comm_user", 2),
    bad_value(SALE, "is_fc", 2),
    case(
        SALE,
        GRAIN,
        "the same member and artist twice",
        change_row(0, ord_cnt=1, ord_amount=TEN),
        add_row(0, ord_cnt=1, ord_amount=TEN),
    ),
    case(SALE, GRAIN, "two rows of nobody", change_row(1, ord_amount=Decimal(0)), add_row(1), also=["amounts_add_up"]),
    case(SALE, "has_orders", "no order", change_row(1, ord_cnt=0), also=["amounts_add_up"]),
    case(SALE, "flags_of_somebody", "a holder without an account", change_row(1, is_fc=0)),
    case(SALE, "flags_of_somebody", "a holder of no artist", change_row(0, we_art_id=None), also=["amounts_add_up"]),
    case(SALE, "flags_of_somebody", "a member who may be a holder", change_row(0, is_fc=None)),
    case(SALE, "amounts_add_up", "off by the last decimal place", change_row(0, ord_amount=Decimal("21.0001"))),
    case(SALE, "amounts_add_up", "one order too many", change_row(0, ord_cnt=3)),
    case(SALE, "amounts_add_up", "orders without an account were lost", drop_row(1)),
    case(SALE, "amounts_add_up", "a row that is no order becomes one", change_input("orders", 3, is_ord=1)),
    case(SALE, "volume", "far fewer rows than the day before", published_before(5)),
    # we_mart.stats_we_d_order_fc
    bad_value(ORDER_FC, "is_fc", 2),
    bad_value(ORDER_FC, "buyer_cnt", -1, row=2, also=["amounts_add_up", "buyers_have_orders"]),
    bad_value(ORDER_FC, "comm_visit_buyer_cnt", -1, row=1, also=["visitors_add_up"]),
    case(ORDER_FC, GRAIN, "holders twice", change_row(1, is_fc=1)),
    case(
        ORDER_FC,
        "buyers_have_orders",
        "more buyers than orders",
        change_row(0, buyer_cnt=0, comm_visit_buyer_cnt=0),
        change_row(1, buyer_cnt=2, comm_visit_buyer_cnt=1),
    ),
    case(
        ORDER_FC,
        "buyers_have_orders",
        "more visitors than buyers",
        change_row(0, comm_visit_buyer_cnt=0),
        change_row(2, comm_visit_buyer_cnt=1),
        change_row(0, comm_visit_buyer_cnt=2),
        also=["visitors_add_up"],
    ),
    case(
        ORDER_FC,
        "buyers_have_orders",
        "a row without an order",
        change_row(1, buyer_cnt=0, ord_cnt=0, ord_amount=Decimal(0)),
        drop_input("orders", 4),
    ),
    case(ORDER_FC, "amounts_add_up", "off by the last decimal place", change_row(2, ord_amount=Decimal("10.4999"))),
    case(ORDER_FC, "amounts_add_up", "one order too many", change_row(0, ord_cnt=3)),
    case(ORDER_FC, "amounts_add_up", "a buyer counted once per order", change_row(0, buyer_cnt=2)),
    case(ORDER_FC, "amounts_add_up", "orders of no artist were lost", drop_row(2)),
    case(ORDER_FC, "visitors_add_up", "a buyer who visited another artist", change_row(1, comm_visit_buyer_cnt=1)),
    case(ORDER_FC, "visitors_add_up", "no visit", drop_input("sessions", 0), drop_input("sessions", 0)),
    case(ORDER_FC, "volume", "far fewer rows than the day before", published_before(7)),
    # we_mart.ws_platform_daily
    bad_value(PLATFORM, "visitor_cnt", -1, also=["visitors_add_up", "parts_of_the_whole"]),
    bad_value(PLATFORM, "buyer_cnt", -1, also=["orders_add_up"]),
    bad_value(PLATFORM, "wv_visitor_cnt", -1, also=["visitors_add_up"]),
    case(PLATFORM, GRAIN, "two rows of an unknown platform", add_row(1), also=["orders_add_up", "visitors_add_up"]),
    case(PLATFORM, "parts_of_the_whole", "more buyers than orders", change_row(0, buyer_cnt=1), also=["orders_add_up"]),
    case(
        PLATFORM,
        "parts_of_the_whole",
        "more visitors with a session than visitors",
        change_row(0, wv_visitor_cnt=3),
        also=["visitors_add_up"],
    ),
    case(PLATFORM, "orders_add_up", "off by the last decimal place", change_row(1, ord_amount=Decimal("31.5001"))),
    case(PLATFORM, "orders_add_up", "a buyer counted once per order", change_row(1, buyer_cnt=2)),
    case(PLATFORM, "orders_add_up", "one order too many", change_row(1, ord_cnt=4)),
    case(PLATFORM, "orders_add_up", "orders of another platform", change_input("orders", 0, platform="PC")),
    case(PLATFORM, "visitors_add_up", "a visitor counted once per row", change_row(0, visitor_cnt=3)),
    case(PLATFORM, "visitors_add_up", "a session more", add_input("sessions", **session(202))),
    case(PLATFORM, "visitors_add_up", "the app was lost", drop_row(0)),
    # we_mart.we_user_daily
    bad_value(DAILY, "is_fc", 2),
    bad_value(DAILY, "user_sess_cnt", -1, row=1, also=["sessions_have_times"]),
    bad_value(DAILY, "total_user_sess_dur", -1, row=1, also=["sessions_have_times"]),
    *(
        bad_value(DAILY, name, -1, also=["acts_add_up"])
        for name in ACTS
        if name not in ("play_sec", "ord_amount", "ord_cnt")
    ),
    case(
        DAILY,
        GRAIN,
        "two rows of no artist",
        add_row(1),
        add_input("shop", **visit(201)),
    ),
    case(DAILY, "did_something", "nothing was done", change_row(1, shop_visit_cnt=0), drop_input("shop", 1)),
    case(DAILY, "sessions_have_times", "the first after the last", change_row(0, first_sess_dt=kst("10:05:00.001"))),
    case(DAILY, "sessions_have_times", "no first instant", change_row(0, first_sess_dt=None)),
    case(DAILY, "sessions_have_times", "an instant without a session", change_row(1, last_sess_dt=kst("10:00:00"))),
    case(
        DAILY,
        "sessions_have_times",
        "seconds without a session",
        change_row(1, total_user_sess_dur=1),
    ),
    case(DAILY, "acts_add_up", "a reaction that is none counted", change_row(0, post_react_cnt=2)),
    case(DAILY, "acts_add_up", "a reaction of nobody counted", change_row(0, media_react_cnt=2)),
    case(DAILY, "acts_add_up", "one second too many", change_row(0, play_sec=61)),
    case(DAILY, "acts_add_up", "a play of another artist's video", change_input("lives", 0, we_art_id=11)),
    case(DAILY, "acts_add_up", "one more visit to the shop", change_row(1, shop_visit_cnt=2)),
    case(DAILY, "acts_add_up", "one more visit to Phoning", change_row(0, phoning_visit_cnt=2)),
    case(DAILY, "acts_add_up", "one more visit to Albums", change_row(0, album_visit_cnt=2)),
    case(DAILY, "acts_add_up", "one more order", change_row(0, ord_cnt=2)),
    case(DAILY, "acts_add_up", "off by the last decimal place", change_row(0, ord_amount=Decimal("10.5001"))),
    case(DAILY, "acts_add_up", "what is about no artist was lost", drop_row(1)),
    case(DAILY, "durations_add_up", "counted once per community", change_row(0, total_user_sess_dur=602)),
    case(DAILY, "durations_add_up", "a session of another artist", add_input("sessions", **session(201, 11, "11"))),
    case(DAILY, "volume", "far fewer rows than the day before", published_before(5)),
    # we_mart.stats_wv_d_live_agg
    bad_value(LIVE, "user_type", "artist"),
    bad_value(LIVE, "viewer_cnt", -1, row=1, also=["viewers_add_up", "parts_of_the_whole"]),
    bad_value(LIVE, "play_cnt", -1, row=1, also=["plays_add_up", "parts_of_the_whole"]),
    bad_value(LIVE, "reactor_cnt", -1, also=["reactions_name_no_platform", "reactors_add_up"]),
    bad_value(LIVE, "sess_viewer_cnt", -1, row=1, also=["viewers_add_up"]),
    case(LIVE, GRAIN, "the same row twice", add_row(0), also=["plays_add_up", "viewers_add_up"]),
    case(
        LIVE,
        "parts_of_the_whole",
        "more viewers with a session than viewers",
        change_row(0, sess_viewer_cnt=2),
        also=["viewers_add_up"],
    ),
    case(LIVE, "parts_of_the_whole", "more viewers than plays", change_row(1, viewer_cnt=2), also=["viewers_add_up"]),
    case(
        LIVE,
        "parts_of_the_whole",
        "neither a play nor a reactor",
        add_row(1, user_type="member", play_cnt=0, play_sec=0, reactor_cnt=0),
    ),
    case(
        LIVE,
        "reactions_name_no_platform",
        "reactors on a platform",
        change_row(0, reactor_cnt=1),
        change_row(1, reactor_cnt=1),
    ),
    case(LIVE, "plays_add_up", "a play that is no live's counted", change_row(0, play_cnt=3)),
    case(LIVE, "plays_add_up", "one second too many", change_row(0, play_sec=61)),
    case(LIVE, "plays_add_up", "a play on another platform", change_input("plays", 2, platform="PC")),
    case(LIVE, "viewers_add_up", "a viewer counted once per play", change_row(0, viewer_cnt=2)),
    case(LIVE, "viewers_add_up", "a viewer without a session", drop_input("sessions", 0)),
    case(LIVE, "reactors_add_up", "a reactor counted once per video", change_row(1, reactor_cnt=4)),
    case(
        LIVE,
        "reactors_add_up",
        "a reactor of another live",
        change_input("lives", 0, media_id=6),
        drop_input("lives", 1),
    ),
    case(LIVE, "volume", "far fewer rows than the day before", published_before(5)),
    # we_mart.we_user_dic_engaged_by_project
    bad_value(ENGAGED, "engaged_days", 0, row=1, also=["days_add_up"]),
    case(ENGAGED, GRAIN, "the same member twice", add_row(1), also=["days_add_up"]),
    case(
        ENGAGED,
        "days_in_order",
        "the last day before the first",
        change_row(1, first_date=KEY_DATE),
        also=["days_of_the_span"],
    ),
    case(
        ENGAGED,
        "days_in_order",
        "a day that is yet to come",
        change_row(0, last_date=dt.date(2024, 3, 6)),
    ),
    case(ENGAGED, "days_of_the_span", "more days than there are", change_row(0, first_date=KEY_DATE)),
    case(
        ENGAGED,
        "days_of_the_span",
        "one day, but two dates",
        change_row(1, last_date=KEY_DATE),
    ),
    case(ENGAGED, "nobody_is_lost", "a member was lost", drop_row(1), also=["days_add_up"]),
    case(
        ENGAGED,
        "nobody_is_lost",
        "another member instead",
        change_row(1, we_member_id=203),
    ),
    case(ENGAGED, "days_add_up", "one day too many", change_row(0, first_date=dt.date(2024, 3, 3), engaged_days=3)),
    case(
        ENGAGED,
        "days_add_up",
        "a member who became engaged was lost",
        add_input("orders", **order(1, 203, 10)),
    ),
    case(ENGAGED, "days_add_up", "an artist was lost", add_input("media", **{**REACTION, "we_art_id": 11})),
]

DOMAIN = Domain(
    good=GOOD,
    cases=CASES,
    null_breaks_too=NULL_BREAKS_TOO,
    # The first row has no orders: a NULL adds up to as much as 0.
    null_row={PLATFORM: 1},
    good_values={(ORDERS, "is_ord"): 1},
    bad_values={
        **{(name, "we_member_id", "fits_32_bits"): [2**31] for name in (SHOP, PHONING, ALBUM, ORDERS, PLAYS)},
        (ORDERS, "is_ord", "domains"): [2],
    },
)
