"""Good worlds and cases for the activation tables."""

from __future__ import annotations

import datetime as dt
from typing import Any

from wemart_assets.lake.audit import GRAIN
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
)

EVENTS, TOUCH, USERS = "core.fact__events", "core.first_touch", "core.dim__users"
FIRSTS, FUNNEL = "activation.fact__first_activation_events", "activation.activation_funnel_daily"
DATE, DATE_BEFORE = dt.date.fromisoformat(DAY), dt.date.fromisoformat(DAY_BEFORE)
VISIT, JOIN, VIEW = "first_visit", "key_event_1", "key_event_2"
# Users are named after the day, because a first event stays the first for ever. u comes on the day, v came on the day
# before, w has no account.
U, V, W = (f"{user} of {DAY}" for user in "uvw")


def event(user: str, name: str, clock: str) -> Row:
    return {"date": DATE, "datetime": kst(clock), "user_id": user, "event_name": name, "part_date": DAY}


def touch(adid: str, clock: str, day: str = DAY, **values: Any) -> Row:
    return {"identity_adid": adid, "server_datetime": kst(clock, day), "campaign": "a", **values, "part_date": day}


def user(name: str, clock: str, day: str = DAY, as_of: str = DAY) -> Row:
    return {
        "user_id": name,
        "first_date": dt.date.fromisoformat(day),
        "first_datetime": kst(clock, day),
        "first_medium": "install",
        "part_date": as_of,
    }


def first(user: str, name: str, clock: str, visit: str, days: int = 1, hours: int = 1, day: str = DAY) -> Row:
    """A first event on the `days`-th day of a user, whose first visit was at clock time `visit` on the first."""
    date = dt.date.fromisoformat(day)
    visit_date = date - dt.timedelta(days=days - 1)
    return {
        "date": date,
        "datetime": kst(clock, day),
        "user_id": user,
        "event_name": name,
        "first_visit_date": visit_date,
        "first_visit_datetime": kst(visit, visit_date.isoformat()),
        "hours_from_first_visit": hours,
        "days_from_first_visit": days,
        "part_date": day,
    }


def step(number: int, users: int, in_order: int, country: str | None = "Japan") -> Row:
    return {
        "first_visit_date": DATE,
        "country": country,
        "step": number,
        "event_name": (VISIT, JOIN, VIEW)[number],
        "within_days": (1, 1, 7)[number],
        "first_visits": 4,
        "users": users,
        "users_in_order": in_order,
        "rate": users / 4,
        "rate_in_order": in_order / 4,
        "part_date": DAY,
    }


# The day's sessions and events: u has a session and joins, v views.
SESSIONS = ({"we_member_id": 11, "user_sess_start_dt": kst("10:00:00"), "part_date": DAY},)
HAPPENED = (event(U, JOIN, "11:00:00"), event(U, JOIN, "12:00:00"), event(V, VIEW, "09:00:00"))

GOOD = {
    EVENTS: World(
        (event("11", JOIN, "11:00:00"), event("12", VIEW, "12:00:00")),
        {
            "users": ({"we_member_id": 11, "wv_user_id": 1, "part_date": DAY},),
            "identities": ({"space": "rudder", "foreign_id": "r", "we_member_id": 12, "part_date": DAY},),
        },
    ),
    TOUCH: World(
        (touch(U, "10:00:00"), touch(V, "11:00:00")),
        {
            "attributions": (touch(U, "10:00:00"), touch(U, "12:00:00", campaign="b"), touch(V, "11:00:00")),
            "before": (touch(W, "10:00:00", DAY_BEFORE),),
        },
    ),
    USERS: World(
        (user("11", "10:00:00"), user(V, "08:00:00", DAY_BEFORE), user(W, "09:00:00")),
        {
            "before": (user(V, "08:00:00", DAY_BEFORE, as_of=DAY_BEFORE),),
            "sessions": SESSIONS,
            "events": (event(W, JOIN, "09:00:00"), event(V, VIEW, "09:00:00")),
        },
    ),
    FIRSTS: World(
        (
            first(U, VISIT, "10:00:00", "10:00:00"),
            first(U, JOIN, "11:00:00", "10:00:00", hours=2),
            first(V, VIEW, "09:00:00", "08:00:00", days=2, hours=26),
        ),
        {
            "users": (user(U, "10:00:00"), user(V, "08:00:00", DAY_BEFORE)),
            "events": HAPPENED,
            "before": (first(V, VISIT, "08:00:00", "08:00:00", day=DAY_BEFORE),),
        },
    ),
    FUNNEL: World(
        (step(0, 4, 4), step(1, 3, 2), step(2, 3, 1), *(step(n, 4, 4, None) for n in range(3))),
        {"firsts": tuple(first(f"{n} of {DAY}", VISIT, "10:00:00", "10:00:00") for n in range(8))},
    ),
}

CASES: list[Case] = [
    # core.fact__events
    case(EVENTS, "day_of_the_event", "a wrong date", change_row(0, date=DATE_BEFORE)),
    case(
        EVENTS, "day_of_the_event", "an instant on the day before", change_row(0, datetime=kst("23:59:59", DAY_BEFORE))
    ),
    case(
        EVENTS,
        "named_in_the_settings",
        "an event that the settings do not name",
        change_row(0, event_name="key_event_3"),
    ),
    case(EVENTS, "of_known_accounts", "an unknown user of the log", drop_input("users", 0)),
    case(EVENTS, "of_known_accounts", "an unknown user of the tracks", drop_input("identities", 0)),
    case(
        EVENTS,
        "of_known_accounts",
        "an id from another space",
        change_input("identities", 0, space="adid"),
    ),
    case(EVENTS, "volume", "far fewer rows than the day before", published_before(5)),
    # core.first_touch
    case(TOUCH, GRAIN, "the same id twice", add_row(0), also=["once_for_ever"]),
    case(TOUCH, "every_touch_counts", "an id was lost", drop_row(1)),
    case(TOUCH, "every_touch_counts", "a touch that is not the first", change_row(0, server_datetime=kst("12:00:00"))),
    case(TOUCH, "once_for_ever", "an id of an earlier day", change_input("before", 0, identity_adid=U)),
    # core.dim__users
    bad_value(USERS, "first_medium", "cpc"),
    case(USERS, GRAIN, "the same user twice", add_row(1)),
    case(
        USERS,
        "first_visit_by_the_day",
        "a date that does not match the instant",
        change_row(1, first_date=dt.date(2024, 3, 3)),
    ),
    case(
        USERS,
        "first_visit_by_the_day",
        "a first visit in the future",
        change_row(1, **{k: user(V, "08:00:00", "2024-03-06")[k] for k in ("first_date", "first_datetime")}),
        also=["nobody_is_lost"],
    ),
    case(USERS, "nobody_is_lost", "a user of the day before was lost", drop_row(1), also=["everybody_who_came"]),
    case(USERS, "nobody_is_lost", "a wrong first visit", change_row(1, first_datetime=kst("07:00:00", DAY_BEFORE))),
    case(USERS, "everybody_who_came", "a user with a session was lost", drop_row(0)),
    case(USERS, "everybody_who_came", "a user with an event was lost", drop_row(2)),
    case(USERS, "first_visit_is_a_visit", "no session at that time", change_row(0, first_datetime=kst("09:59:59"))),
    case(USERS, "first_visit_is_a_visit", "a user who never came", add_row(0, user_id="99")),
    # activation.fact__first_activation_events
    bad_value(FIRSTS, "hours_from_first_visit", 0, row=0),
    bad_value(FIRSTS, "days_from_first_visit", 0, row=0, also=["days_between", "days_fit_the_hours"]),
    case(FIRSTS, GRAIN, "the same first event twice", add_row(1), also=["once_for_ever"]),
    case(FIRSTS, "days_of_the_instants", "a wrong date", change_row(1, date=DATE_BEFORE), also=["days_between"]),
    case(
        FIRSTS,
        "days_of_the_instants",
        "a wrong date of the first visit",
        change_row(1, first_visit_date=DATE_BEFORE),
        also=["days_between"],
    ),
    case(
        FIRSTS,
        "not_before_the_first_visit",
        "a join before the first visit",
        change_row(1, datetime=kst("09:59:59"), hours_from_first_visit=1),
        add_input("events", **event(U, JOIN, "09:59:59")),
    ),
    case(
        FIRSTS,
        "not_before_the_first_visit",
        "a first visit at another instant than the user's",
        change_row(0, datetime=kst("10:30:00")),
        also=["firsts_are_the_earliest", "firsts_happened"],
    ),
    case(
        FIRSTS,
        "days_between",
        "one day too many",
        change_row(1, days_from_first_visit=2, hours_from_first_visit=26),
    ),
    case(FIRSTS, "days_fit_the_hours", "hours of one more day", change_row(2, hours_from_first_visit=49)),
    case(FIRSTS, "days_fit_the_hours", "hours of one day less", change_row(2, hours_from_first_visit=1)),
    case(
        FIRSTS,
        "once_for_ever",
        "a first event that an earlier day already has",
        add_input("before", **first(V, VIEW, "09:00:00", "08:00:00", day=DAY_BEFORE)),
    ),
    case(FIRSTS, "first_visit_exists", "a user without a first visit", drop_input("before", 0)),
    case(
        FIRSTS,
        "first_visit_exists",
        "a wrong first visit",
        change_row(2, first_visit_datetime=kst("08:30:00", DAY_BEFORE)),
    ),
    case(FIRSTS, "firsts_are_the_earliest", "a join that is not the first", change_row(1, datetime=kst("12:00:00"))),
    case(FIRSTS, "firsts_are_the_earliest", "an event was lost", drop_row(2)),
    case(
        FIRSTS,
        "firsts_are_the_earliest",
        "a first visit was lost",
        drop_row(0),
        drop_row(0),
        drop_input("events", 0),
        drop_input("events", 0),
    ),
    case(
        FIRSTS,
        "firsts_happened",
        "a join that never happened",
        change_row(1, datetime=kst("10:30:00"), hours_from_first_visit=1),
    ),
    # activation.activation_funnel_daily
    bad_value(FUNNEL, "step", -1, row=0, also=["steps_of_the_settings", "steps_never_grow", "cohorts_add_up"]),
    bad_value(FUNNEL, "first_visits", 0, row=2, also=["within_the_cohort", "rates"]),
    bad_value(FUNNEL, "users", -1, row=2, also=["within_the_cohort", "rates"]),
    bad_value(FUNNEL, "users_in_order", -1, row=2, also=["rates"]),
    case(FUNNEL, GRAIN, "the same step twice", add_row(2)),
    case(FUNNEL, "steps_of_the_settings", "a wrong event", change_row(1, event_name=VIEW)),
    case(FUNNEL, "steps_of_the_settings", "a wrong window", change_row(1, within_days=2)),
    case(FUNNEL, "within_the_cohort", "more users in order than with the event", change_row(2, users=0, rate=0.0)),
    case(FUNNEL, "within_the_cohort", "more users than first visits", change_row(2, users=5, rate=1.25)),
    case(FUNNEL, "rates", "a wrong rate", change_row(2, rate=0.5)),
    case(FUNNEL, "rates", "a wrong rate in order", change_row(2, rate_in_order=0.5)),
    case(FUNNEL, "day_of_the_cohort", "a wrong day", change_row(2, first_visit_date=DATE_BEFORE)),
    case(
        FUNNEL,
        "steps_never_grow",
        "a step with more users than the one before",
        change_row(2, users_in_order=3, rate_in_order=0.75),
    ),
    case(FUNNEL, "steps_never_grow", "a step was lost", drop_row(1)),
    case(
        FUNNEL,
        "steps_never_grow",
        "a step was lost where the country is unknown",
        drop_row(4),
    ),
    case(FUNNEL, "cohorts_add_up", "a first visit too few for a country", drop_input("firsts", 0)),
    case(
        FUNNEL,
        "cohorts_add_up",
        "a country was lost",
        drop_row(0),
        drop_row(0),
        drop_row(0),
    ),
]

NULL_BREAKS_TOO = {
    EVENTS: {
        "date": {"day_of_the_event"},
        "datetime": {"day_of_the_event"},
        "user_id": {"of_known_accounts"},
        "event_name": {"named_in_the_settings"},
    },
    TOUCH: {"identity_adid": {"every_touch_counts"}, "server_datetime": {"every_touch_counts"}},
    USERS: {
        "user_id": {"everybody_who_came", "first_visit_is_a_visit"},
        "first_date": {"first_visit_by_the_day"},
        "first_datetime": {"first_visit_by_the_day", "first_visit_is_a_visit"},
    },
    FIRSTS: {
        "date": {"days_of_the_instants", "days_between"},
        "datetime": {
            "days_of_the_instants",
            "not_before_the_first_visit",
            "firsts_are_the_earliest",
            "firsts_happened",
        },
        "user_id": {"first_visit_exists", "firsts_are_the_earliest", "firsts_happened"},
        "event_name": {"not_before_the_first_visit", "firsts_are_the_earliest", "firsts_happened"},
        "first_visit_date": {"days_of_the_instants", "days_between"},
        "first_visit_datetime": {"days_of_the_instants", "not_before_the_first_visit", "first_visit_exists"},
        "hours_from_first_visit": {"days_fit_the_hours"},
        "days_from_first_visit": {"days_between", "days_fit_the_hours"},
    },
    FUNNEL: {
        "first_visit_date": {"day_of_the_cohort"},
        "step": {"steps_of_the_settings", "steps_never_grow"},
        "event_name": {"steps_of_the_settings"},
        "within_days": {"steps_of_the_settings"},
        "first_visits": {"within_the_cohort", "rates"},
        "users": {"within_the_cohort", "rates"},
        "users_in_order": {"within_the_cohort", "rates", "steps_never_grow"},
        "rate": {"rates"},
        "rate_in_order": {"rates"},
    },
}

DOMAIN = Domain(
    GOOD,
    CASES,
    NULL_BREAKS_TOO,
    null_row={FIRSTS: 1, FUNNEL: 2},
    bad_values={("core.identity_map", "we_member_id", "fits_32_bits"): [2**31, -(2**31) - 1]},
)
