"""`activation.fact__first_activation_events`: each user's first visit and first key events, once and for all."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.functions import business_date
from wemart_assets.lake.inputs import same_period, up_to
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import Measure, RowCheck, Table, TableCheck, at_least, column
from wemart_assets.marts.activation.dim__users import dim__users
from wemart_assets.marts.activation.fact__events import KeyEvents, fact__events
from wemart_assets.marts.activation.rules import DAY_COLUMNS, USER_ID, days_from, hours_from
from wemart_assets.setting_values.key_events import FIRST_VISIT

FIRST = ("user_id", "event_name")


def _with_first_visit(events: ir.Table, users: ir.Table, key_events: KeyEvents) -> ir.Table:
    """Key events with the first visit of their user."""
    named = events.filter(events.event_name.isin([name for name, _ in key_events]))
    visits = users.select("part_date", "user_id", "first_datetime")
    return named.inner_join(visits, ["part_date", "user_id"]).select(
        "part_date", "datetime", *FIRST, first_visit_datetime="first_datetime"
    )


def _since_first_visit(events: ir.Table, users: ir.Table, key_events: KeyEvents) -> ir.Table:
    key_events_of_users = _with_first_visit(events, users, key_events)
    return key_events_of_users.filter(key_events_of_users.datetime >= key_events_of_users.first_visit_datetime)


def _before_first_visit(events: ir.Table, users: ir.Table, key_events: KeyEvents) -> ir.Scalar:
    key_events_of_users = _with_first_visit(events, users, key_events)
    return key_events_of_users.filter(key_events_of_users.datetime < key_events_of_users.first_visit_datetime).count()


def _repeated_firsts(staged: ir.Table, before: ir.Table) -> ir.Table:
    firsts = ibis.union(*(t.select(*FIRST, "part_date") for t in (staged, before)))
    firsts = firsts.group_by(*FIRST).aggregate(days=ibis._.count(), part_date=firsts.part_date.max())
    return firsts.filter(firsts.days > 1)


def _without_first_visit(staged: ir.Table, before: ir.Table) -> ir.Table:
    visits = ibis.union(*(t.filter(t.event_name == FIRST_VISIT) for t in (staged, before)))
    visits = visits.select("user_id", "first_visit_datetime")
    return staged.anti_join(visits, ["user_id", "first_visit_datetime"])


def _not_the_earliest(
    staged: ir.Table, before: ir.Table, events: ir.Table, users: ir.Table, key_events: KeyEvents
) -> ir.Table:
    """First visits and key events of a day for which no first at or before their instant is recorded."""
    visits = users.filter(users.first_date.cast("string") == users.part_date)
    visits = visits.select("part_date", "user_id", datetime="first_datetime", event_name=ibis.literal(FIRST_VISIT))
    happened = _since_first_visit(events, users, key_events).select(*visits.columns)
    firsts = ibis.union(*(t.select(*FIRST, at="datetime") for t in (staged, before)))
    occurrences = ibis.union(visits, happened)
    on = [*(occurrences[name] == firsts[name] for name in FIRST), firsts["at"] <= occurrences.datetime]
    return occurrences.anti_join(firsts, on)


def _invented(staged: ir.Table, events: ir.Table, users: ir.Table) -> ir.Table:
    visits = users.select("part_date", "user_id", datetime="first_datetime", event_name=ibis.literal(FIRST_VISIT))
    happened = ibis.union(visits, events.select(*visits.columns))
    return staged.anti_join(happened, ["part_date", "datetime", *FIRST])


TABLE = Table(
    database="activation",
    name="fact__first_activation_events",
    description=(
        "One row per user and event (the first visit or a key event), on the business day when it first happened."
    ),
    grain=FIRST,
    tags={"tier": "primary"},
    columns=(
        column("date", "date", "business day when the event first happened", nullable=False),
        column("datetime", "timestamp", "instant when the event first happened (UTC)", nullable=False),
        USER_ID,
        column("event_name", "string", f"`{FIRST_VISIT}`, or a name from WEMART_KEY_EVENTS", nullable=False),
        column("first_visit_date", "date", "business day of the user's first visit", nullable=False),
        column("first_visit_datetime", "timestamp", "instant of the user's first visit (UTC)", nullable=False),
        column(
            "hours_from_first_visit",
            "bigint",
            "clock hours since the first visit in the business timezone; the hour of the visit is 1",
            at_least(1),
            nullable=False,
        ),
        column(
            "days_from_first_visit",
            "bigint",
            "business days since the first visit; the day of the visit is 1",
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
            "no event precedes the first visit, whose own row is at its instant",
            lambda t: (
                (t.datetime >= t.first_visit_datetime)
                & ((t.event_name != FIRST_VISIT) | (t.datetime == t.first_visit_datetime))
            ),
        ),
        RowCheck(
            "days_between",
            "days_from_first_visit is the number of days from first_visit_date to date, both included",
            lambda t: t.days_from_first_visit == t.date.delta(t.first_visit_date, unit="day") + 1,
        ),
        RowCheck(
            "days_fit_the_hours",
            "hours_from_first_visit and days_from_first_visit are less than a day apart",
            lambda t: (t.hours_from_first_visit - 24 * t.days_from_first_visit).between(-46, 0),
        ),
    ),
    table_checks=(
        TableCheck("once_for_ever", "no user has the same event twice", _repeated_firsts),
        TableCheck("first_visit_exists", "every row's first visit has a row of its own", _without_first_visit),
        TableCheck(
            "firsts_are_the_earliest", "no event of the day precedes its recorded first or lacks one", _not_the_earliest
        ),
        TableCheck(
            "firsts_happened", "every row is an event of fact__events or a first visit of dim__users", _invented
        ),
    ),
    measures=(Measure("events before the first visit", _before_first_visit),),
)


@mart(
    TABLE,
    users=same_period(dim__users),
    events=same_period(fact__events),
    before=up_to(TABLE, inclusive=False),
)
def fact__first_activation_events(
    users: ir.Table, events: ir.Table, before: ir.Table, key_events: KeyEvents, timezone: str
) -> ir.Table:
    """First visits of the day, and first key events at or after the first visit that no earlier day has.

    There is no watermark: late data lands on its own day, and the days after it are recomputed. A day reads the firsts
    so far, not all events so far.
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
