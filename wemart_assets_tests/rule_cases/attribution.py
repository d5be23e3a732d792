"""Good worlds and cases for the attribution reports."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from typing import Any

from wemart_assets.lake.audit import GRAIN, ROWS
from wemart_assets_tests.rule_cases.worlds import (
    DAY,
    DAY_BEFORE,
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
    records,
)

USERS, BUYERS, BY_EVENT = (
    "igaworks.active_user_by_date",
    "igaworks.total_price_active_user_by_date",
    "igaworks.active_user_by_event",
)
BY_CAMPAIGN, PAID_BY_CAMPAIGN, BY_COUNTRY = (
    "igaworks.active_user_by_campaign",
    "igaworks.total_price_active_user_by_campaign",
    "igaworks.active_user_total_price_by_country_campaign",
)
FIRST_OPEN, FUNNEL, BY_PARTNER, RETENTION = (
    "igaworks.first_open",
    "igaworks.hard_funnel",
    "igaworks.hard_new_install_funnel_by_partner",
    "igaworks.hard_retention_by_dates",
)
DATE, DATE_BEFORE = dt.date.fromisoformat(DAY), dt.date.fromisoformat(DAY_BEFORE)
NOTHING = Decimal(0)
# Users are named after the day, because a user stays in one cohort for ever.
U, V, W = (f"{user} of {DAY}" for user in "uvw")


def of_day(**values: Any) -> Row:
    """A row of a report on the day."""
    return {"key_date": DATE, **values, "part_date": DAY}


def input_row(**values: Any) -> Row:
    """A row of an input on the day."""
    return {**values, "part_date": DAY}


def event(user: str, name: str, price: str | None = None, clock: str = "10:00:00") -> Row:
    paid = None if price is None else Decimal(price)
    return input_row(identity_adid=user, event_name=name, price=paid, server_datetime=kst(clock))


# u opened the app, logged in and bought; v only opened it. Campaign a touched both, campaign b also u, none touched w.
EVENTS = (
    event(U, "firstopen"),
    event(U, "login"),
    event(U, "purchase", "5.5"),
    event(U, "purchase", "0.5"),
    event(V, "firstopen", clock="11:00:00"),
    event(W, "purchase", "2"),
)
ATTRIBUTIONS = (input_row(identity_adid=U, campaign="a"), input_row(identity_adid=V, campaign="a"))
UNKNOWN_TIME = (input_row(identity_adid=U, campaign="b"),)
ALL_USERS = (input_row(active_users=3),)


def step(number: int, users: int, in_order: int, **values: Any) -> Row:
    name = ("firstopen", "login", "purchase")[number - 1]
    return of_day(**values, step=number, event_name=name, users=users, users_in_order=in_order)


def cohort(days: int, users: int, retained: int) -> Row:
    return of_day(
        cohort_date=DATE - dt.timedelta(days=days), days_since=days, cohort_users=users, retained_users=retained
    )


GOOD = {
    USERS: World((of_day(active_users=3),), {"events": EVENTS}),
    BUYERS: World((of_day(purchase_users=2, total_price=Decimal(8)),), {"all_users": ALL_USERS}),
    BY_EVENT: World(
        tuple(of_day(event_name=n, active_users=u) for n, u in (("firstopen", 2), ("login", 1), ("purchase", 2))),
        {"all_users": ALL_USERS},
    ),
    BY_CAMPAIGN: World(
        tuple(of_day(campaign=c, active_users=n) for c, n in (("(none)", 1), ("a", 2), ("b", 1))),
        {"all_users": ALL_USERS},
    ),
    PAID_BY_CAMPAIGN: World(
        tuple(
            of_day(campaign=c, purchase_users=1, total_price=Decimal(paid))
            for c, paid in (("(none)", 2), ("a", 6), ("b", 6))
        ),
        {
            "events": EVENTS,
            "attributions": ATTRIBUTIONS,
            "unknown_time": UNKNOWN_TIME,
            "active": tuple(input_row(campaign=c, active_users=n) for c, n in (("(none)", 1), ("a", 2), ("b", 1))),
            "all_purchases": (input_row(total_price=Decimal(8)),),
        },
    ),
    BY_COUNTRY: World(
        (
            of_day(country="KR", campaign="a", active_users=2, purchase_users=1, total_price=Decimal(6)),
            of_day(country=None, campaign="a", active_users=1, purchase_users=0, total_price=NOTHING),
            of_day(country="KR", campaign="(none)", active_users=1, purchase_users=1, total_price=Decimal(2)),
        ),
        {
            "active": tuple(input_row(campaign=c, active_users=n) for c, n in (("(none)", 1), ("a", 2))),
            "paid": tuple(input_row(campaign=c, total_price=Decimal(paid)) for c, paid in (("(none)", 2), ("a", 6))),
        },
    ),
    FIRST_OPEN: World(
        (
            of_day(identity_adid=U, server_datetime=kst("10:00:00")),
            of_day(identity_adid=V, server_datetime=kst("11:00:00")),
        ),
        {"events": EVENTS, "before": ({"identity_adid": f"x of {DAY}", "part_date": DAY_BEFORE},)},
    ),
    FUNNEL: World(
        (step(1, 2, 2), step(2, 1, 1), step(3, 2, 1)),
        {
            "events": EVENTS,
            "by_event": tuple(
                input_row(event_name=n, active_users=u) for n, u in (("firstopen", 2), ("login", 1), ("purchase", 2))
            ),
        },
    ),
    BY_PARTNER: World(
        tuple(step(n, users, in_order, partner="p") for n, users, in_order in ((1, 2, 2), (2, 1, 1), (3, 2, 1))),
        {
            "all_users": (
                input_row(step=1, users=2, users_in_order=2),
                *(input_row(step=n, users=2, users_in_order=1) for n in (2, 3)),
            )
        },
    ),
    RETENTION: World(
        (cohort(0, 2, 2), cohort(1, 3, 1)),
        {
            "first_opens": (
                input_row(identity_adid=U),
                input_row(identity_adid=V),
                *({"identity_adid": f"x{n}", "part_date": DAY_BEFORE} for n in range(3)),
            ),
            "by_event": (input_row(event_name="firstopen", active_users=2),),
        },
    ),
    # Rows whose time is unknown have no day; here they are put on the days of the cases.
    **{
        f"igaworks.{name}__date_unknown": World(
            (input_row(identity_adid=U),), {"quarantined": (), "landed": (input_row(records=1),), "repeated": ()}
        )
        for name in ("event", "attribution")
    },
}


def funnel_cases(table: str) -> list[Case]:
    return [
        bad_value(
            table, "step", 4, row=2, also=["steps_never_grow", *(CHECKS_OF_USERS[table] if table == BY_PARTNER else [])]
        ),
        bad_value(table, "event_name", "search", row=1, also=CHECKS_OF_USERS[table] if table == FUNNEL else []),
        bad_value(table, "users", -1, row=2, also=CHECKS_OF_USERS[table] if table == FUNNEL else []),
        bad_value(table, "users_in_order", -1, row=2),
        case(table, GRAIN, "the same step twice", add_row(2)),
        case(table, "steps_never_grow", "a step with more users than the one before", change_row(1, users_in_order=0)),
        case(
            table,
            "steps_never_grow",
            "more users in order than took the first step",
            change_row(0, users=1),
            also=CHECKS_OF_USERS[table] if table == FUNNEL else [],
        ),
        case(table, "steps_never_grow", "a step was lost", drop_row(1)),
    ]


SET_ASIDE = input_row(reason="price", file="a.csv", raw_row="{}")
CHECKS_OF_USERS = {FUNNEL: ["users_of_the_event"], BY_PARTNER: ["no_more_than_all_users"]}

CASES: list[Case] = [
    # igaworks.active_user_by_date
    bad_value(USERS, "active_users", 0),
    case(USERS, GRAIN, "the same day twice", add_row(0)),
    case(USERS, "every_day_counts", "the day was lost", drop_row(0), also=[ROWS]),
    case(USERS, "volume", "far fewer rows than the day before", published_before(3)),
    # igaworks.total_price_active_user_by_date
    bad_value(BUYERS, "purchase_users", -1),
    case(BUYERS, GRAIN, "the same day twice", add_row(0)),
    case(BUYERS, "no_more_than_all_users", "a buyer who was not active", change_row(0, purchase_users=4)),
    # igaworks.active_user_by_event
    bad_value(BY_EVENT, "active_users", 0),
    case(BY_EVENT, GRAIN, "the same event twice", add_row(0)),
    case(BY_EVENT, "no_more_than_all_users", "a user who was not active", change_row(0, active_users=4)),
    case(BY_EVENT, "no_more_than_all_users", "nobody was active", drop_input("all_users", 0)),
    # igaworks.active_user_by_campaign
    bad_value(BY_CAMPAIGN, "active_users", 0, change_row(1, active_users=3)),
    case(BY_CAMPAIGN, GRAIN, "the same campaign twice", add_row(1)),
    case(BY_CAMPAIGN, "no_more_than_all_users", "a user who was not active", change_row(1, active_users=4)),
    case(BY_CAMPAIGN, "nobody_is_lost", "users without a campaign were lost", drop_row(0), drop_row(1)),
    case(BY_CAMPAIGN, "nobody_is_lost", "the day was lost", lambda w: replace(w, rows=()), also=[ROWS]),
    # igaworks.total_price_active_user_by_campaign
    bad_value(PAID_BY_CAMPAIGN, "purchase_users", -1),
    case(PAID_BY_CAMPAIGN, GRAIN, "the same campaign twice", add_row(0, total_price=NOTHING)),
    case(PAID_BY_CAMPAIGN, "no_more_than_its_users", "a buyer who was not active", change_row(2, purchase_users=2)),
    case(
        PAID_BY_CAMPAIGN,
        "amounts_add_up",
        "off by the last decimal place",
        change_row(0, total_price=Decimal("1.9999")),
    ),
    case(PAID_BY_CAMPAIGN, "amounts_add_up", "a campaign was lost", drop_row(2)),
    case(PAID_BY_CAMPAIGN, "amounts_add_up", "all rows were lost", lambda w: replace(w, rows=()), also=[ROWS]),
    case(
        PAID_BY_CAMPAIGN,
        "amounts_add_up",
        "amounts multiplied by a join with attributions",
        change_row(1, total_price=Decimal(12)),
    ),
    # igaworks.active_user_total_price_by_country_campaign
    bad_value(BY_COUNTRY, "active_users", 0, row=1),
    bad_value(BY_COUNTRY, "purchase_users", -1),
    case(BY_COUNTRY, GRAIN, "the same country twice", add_row(1)),
    case(BY_COUNTRY, "buyers_are_active", "a buyer who was not active", change_row(1, purchase_users=2)),
    case(
        BY_COUNTRY, "users_of_campaigns", "more users in a country than in the campaign", change_row(0, active_users=3)
    ),
    case(
        BY_COUNTRY,
        "users_of_campaigns",
        "users without a country were lost",
        change_row(0, active_users=1),
        drop_row(1),
    ),
    case(
        BY_COUNTRY,
        "users_of_campaigns",
        "a campaign was lost",
        change_row(2, campaign="c", total_price=NOTHING),
        change_input("paid", 0, total_price=NOTHING),
    ),
    case(BY_COUNTRY, "amounts_add_up", "off by the last decimal place", change_row(0, total_price=Decimal("5.9999"))),
    # igaworks.first_open
    case(FIRST_OPEN, GRAIN, "the same user twice", add_row(0), also=["in_one_cohort"]),
    case(FIRST_OPEN, "in_a_cohort", "a user was lost", drop_row(1)),
    case(FIRST_OPEN, "in_one_cohort", "a user who is in an earlier cohort", change_input("before", 0, identity_adid=U)),
    case(FIRST_OPEN, "with_a_firstopen", "a wrong instant", change_row(0, server_datetime=kst("10:00:01"))),
    case(FIRST_OPEN, "with_a_firstopen", "a user with only a purchase", add_row(0, identity_adid=W)),
    # igaworks.hard_funnel, igaworks.hard_new_install_funnel_by_partner
    *funnel_cases(FUNNEL),
    case(FUNNEL, "users_of_the_event", "one user too many", change_row(2, users=3)),
    case(FUNNEL, "users_of_the_event", "one user too few", change_input("by_event", 2, active_users=3)),
    case(
        FUNNEL,
        "users_of_the_event",
        "fewer users than have one of the two event names",
        change_row(1, users=0, users_in_order=0),
        change_row(2, users_in_order=0),
        add_input("by_event", **input_row(event_name="abx:login", active_users=1)),
    ),
    case(
        FUNNEL,
        "names_of_the_funnel",
        "only events of other names",
        lambda w: replace(w, inputs={**w.inputs, "events": (event(U, "abx:search"),)}),
    ),
    *funnel_cases(BY_PARTNER),
    case(BY_PARTNER, "no_more_than_all_users", "one user too many", change_row(2, users=3)),
    case(
        BY_PARTNER,
        "no_more_than_all_users",
        "one user too many in order",
        change_row(0, users=3, users_in_order=3),
    ),
    # igaworks.hard_retention_by_dates
    bad_value(RETENTION, "days_since", 4, row=1, also=["days_between"]),
    bad_value(RETENTION, "cohort_users", 0, row=1, also=["within_the_cohort", "cohorts_of_first_open"]),
    bad_value(RETENTION, "retained_users", -1, row=1),
    case(RETENTION, GRAIN, "the same cohort twice", add_row(1)),
    case(RETENTION, "within_the_cohort", "more users than the cohort has", change_row(1, retained_users=4)),
    case(RETENTION, "all_on_day_0", "one user was not active on the first day", change_row(0, retained_users=1)),
    case(RETENTION, "days_between", "a number of days that does not fit the cohort", change_row(1, days_since=2)),
    case(RETENTION, "cohorts_of_first_open", "one user too many", change_row(1, cohort_users=4)),
    case(
        RETENTION,
        "cohort_opened",
        "fewer users with a firstopen than in the cohort",
        change_input("by_event", 0, active_users=1),
    ),
    # The sources' rows whose time is unknown
    *(
        case(f"igaworks.{name}__date_unknown", check, description, *changes)
        for name in ("event", "attribution")
        for check, description, changes in (
            ("quarantine_share", "one of two rows in quarantine", (add_input("quarantined", **SET_ASIDE), records(2))),
            (
                "quarantine_share",
                "one of three rows in quarantine",
                (add_input("quarantined", **SET_ASIDE), add_row(0), records(3)),
            ),
            ("no_record_is_lost", "a record without a row", (records(2),)),
        )
    ),
]

RETAINED = {"within_the_cohort", "all_on_day_0"}
NULL_BREAKS_TOO = {
    BY_COUNTRY: {
        "campaign": {"users_of_campaigns", "amounts_add_up"},
        "active_users": {"buyers_are_active", "users_of_campaigns"},
        "purchase_users": {"buyers_are_active"},
        "total_price": {"amounts_add_up"},
    },
    PAID_BY_CAMPAIGN: {"campaign": {"no_more_than_its_users"}, "total_price": {"amounts_add_up"}},
    FIRST_OPEN: {"identity_adid": {"in_a_cohort", "with_a_firstopen"}, "server_datetime": {"with_a_firstopen"}},
    FUNNEL: {
        "step": {"steps_never_grow"},
        "event_name": {"users_of_the_event"},
        "users": {"steps_never_grow"},
        "users_in_order": {"steps_never_grow"},
    },
    BY_PARTNER: {
        "partner": {"steps_never_grow"},
        "step": {"steps_never_grow", "no_more_than_all_users"},
        "users": {"steps_never_grow"},
        "users_in_order": {"steps_never_grow"},
    },
    RETENTION: {
        "key_date": {"days_between"},
        "cohort_date": {"days_between", "cohorts_of_first_open"},
        "days_since": {"days_between"},
        "cohort_users": RETAINED,
        "retained_users": RETAINED,
    },
}

DOMAIN = Domain(GOOD, CASES, NULL_BREAKS_TOO)
