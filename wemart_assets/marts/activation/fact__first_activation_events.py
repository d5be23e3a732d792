"""`activation.fact__first_activation_events`: first visits and the first of each key event, once a user for ever."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.functions import business_date
from wemart_assets.lake.inputs import own_earlier_days, same_day
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import Measure, RowCheck, Table, TableCheck, at_least, column
from wemart_assets.marts.activation.dim__users import dim__users
from wemart_assets.marts.activation.fact__events import KeyEvents, fact__events
from wemart_assets.marts.activation.key_events import FIRST_VISIT
from wemart_assets.marts.activation.rules import DAY_COLUMNS, USER_ID, days_from, hours_from

FIRST = ("user_id", "event_name")


def _of_users(events: ir.Table, users: ir.Table, key_events: KeyEvents) -> ir.Table:
    """The key events, each with its user's first visit."""
    named = events.filter(events.event_name.isin([name for name, _ in key_events]))
    visits = users.select("part_date", "user_id", "first_datetime")
    return named.inner_join(visits, ["part_date", "user_id"]).select(
        "part_date", "datetime", *FIRST, first_visit_datetime="first_datetime"
    )


def _since_first_visit(events: ir.Table, users: ir.Table, key_events: KeyEvents) -> ir.Table:
    found = _of_users(events, users, key_events)
    return found.filter(found.datetime >= found.first_visit_datetime)


def _before_first_visit(events: ir.Table, users: ir.Table, key_events: KeyEvents) -> ir.Scalar:
    found = _of_users(events, users, key_events)
    return found.filter(found.datetime < found.first_visit_datetime).count()


def _in_two_partitions(staged: ir.Table, before: ir.Table) -> ir.Table:
    firsts = ibis.union(*(t.select(*FIRST, "part_date") for t in (staged, before)))
    found = firsts.group_by(*FIRST).aggregate(days=ibis._.count(), part_date=firsts.part_date.max())
    return found.filter(found.days > 1)


def _without_first_visit(staged: ir.Table, before: ir.Table) -> ir.Table:
    visits = ibis.union(*(t.filter(t.event_name == FIRST_VISIT) for t in (staged, before)))
    visits = visits.select("user_id", "first_visit_datetime")
    return staged.anti_join(visits, ["user_id", "first_visit_datetime"])


def _earlier(staged: ir.Table, before: ir.Table, events: ir.Table, users: ir.Table, key_events: KeyEvents) -> ir.Table:
    """First visits and key events of a day that have no first up to their instant."""
    visits = users.filter(users.first_date.cast("string") == users.part_date)
    visits = visits.select("part_date", "user_id", datetime="first_datetime", event_name=ibis.literal(FIRST_VISIT))
    happened = _since_first_visit(events, users, key_events).select(*visits.columns)
    firsts = ibis.union(*(t.select(*FIRST, at="datetime") for t in (staged, before)))
    every = ibis.union(visits, happened)
    on = [*(every[name] == firsts[name] for name in FIRST), firsts["at"] <= every.datetime]
    return every.anti_join(firsts, on)


def _invented(staged: ir.Table, events: ir.Table, users: ir.Table) -> ir.Table:
    visits = users.select("part_date", "user_id", datetime="first_datetime", event_name=ibis.literal(FIRST_VISIT))
    happened = ibis.union(visits, events.select(*visits.columns))
    return staged.anti_join(happened, ["part_date", "datetime", *FIRST])


TABLE = Table(
    database="activation",
    name="fact__first_activation_events",
    description=(
        "One row per user and event, the first visit or a key event, on the business day on which it first happened."
    ),
    grain=FIRST,
    tags={"tier": "primary"},
    columns=(
        column("date", "date", "business day on which the event first happened", nullable=False),
        column("datetime", "timestamp", "instant at which the event first happened (UTC)", nullable=False),
        USER_ID,
        column("event_name", "string", f"`{FIRST_VISIT}`, or a name of WEMART_KEY_EVENTS", nullable=False),
        column("first_visit_date", "date", "business day of the user's first visit", nullable=False),
        column("first_visit_datetime", "timestamp", "instant of the user's first visit (UTC)", nullable=False),
        column(
            "hours_from_first_visit",
            "bigint",
            "hours of the business clock since the first visit's, which is 1",
            at_least(1),
            nullable=False,
        ),
        column(
            "days_from_first_visit",
            "bigint",
            "business days since the first visit's, which is 1",
            at_least(1),
            nullable=False,
        ),
        *DAY_COLUMNS,
    ),
    row_checks=(
        RowCheck(
            "days_of_the_instants",
            "date and first_visit_date are the business days of their instants, and part_date is date",
            lambda t, timezone: (
                (t.date == business_date(t.datetime, timezone))
                & (t.first_visit_date == business_date(t.first_visit_datetime, timezone))
                & (t.part_date == t.date.cast("string"))
            ),
        ),
        RowCheck(
            "not_before_the_first_visit",
            "nothing is before the first visit, which itself is at its instant",
            lambda t: (
                (t.datetime >= t.first_visit_datetime)
                & ((t.event_name != FIRST_VISIT) | (t.datetime == t.first_visit_datetime))
            ),
        ),
        RowCheck(
            "days_between",
            "days_from_first_visit counts the days from first_visit_date to date, both included",
            lambda t: t.days_from_first_visit == t.date.delta(t.first_visit_date, unit="day") + 1,
        ),
        RowCheck(
            "days_fit_the_hours",
            "days_from_first_visit and hours_from_first_visit are less than a day apart",
            lambda t: (t.hours_from_first_visit - 24 * t.days_from_first_visit).between(-46, 0),
        ),
    ),
    table_checks=(
        TableCheck("once_for_ever", "nothing is a user's first twice", _in_two_partitions),
        TableCheck("first_visit_exists", "whoever has a first event has that first visit", _without_first_visit),
        TableCheck("firsts_are_the_earliest", "nothing of the day is earlier than its first, or without one", _earlier),
        TableCheck(
            "firsts_happened", "every first is an event of fact__events, or a first visit of dim__users", _invented
        ),
    ),
    measures=(Measure("events before the first visit", _before_first_visit),),
)


@mart(
    TABLE,
    users=same_day(dim__users),
    events=same_day(fact__events),
    before=own_earlier_days(TABLE),
)
def fact__first_activation_events(
    users: ir.Table, events: ir.Table, before: ir.Table, key_events: KeyEvents, timezone: str
) -> ir.Table:
    """First visits of the day, and the first of each key event since then that no earlier day has.

    There is no watermark: what comes late is told on its day, and the days after it are made again. A day reads the
    firsts so far, and not the events that they are the first of.
    """
    visits = users.filter(users.first_date.cast("string") == users.part_date)
    visits = visits.select(
        "user_id",
        event_name=ibis.literal(FIRST_VISIT),
        datetime="first_datetime",
        first_visit_datetime="first_datetime",
    )
    happened = _since_first_visit(events, users, key_events).anti_join(before, FIRST)
    firsts = happened.group_by(*FIRST).aggregate(
        datetime=happened.datetime.min(), first_visit_datetime=happened.first_visit_datetime.min()
    )
    rows = ibis.union(visits, firsts.select(*visits.columns))
    rows = rows.mutate(
        date=business_date(rows.datetime, timezone),
        first_visit_date=business_date(rows.first_visit_datetime, timezone),
        hours_from_first_visit=hours_from(rows.first_visit_datetime, rows.datetime, timezone),
        days_from_first_visit=days_from(rows.first_visit_datetime, rows.datetime, timezone),
    )
    return rows.mutate(part_date=rows.date.cast("string"))
