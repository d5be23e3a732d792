"""`activation.activation_funnel_daily`: how many of a day's new users came how far, counted in two ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.chart import Line, line_chart
from wemart_assets.lake.inputs import same_day, window
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import Chart, RowCheck, Table, TableCheck, at_least, column
from wemart_assets.marts.activation.dim__users import dim__users
from wemart_assets.marts.activation.fact__events import KeyEvents, fact__events
from wemart_assets.marts.activation.fact__first_activation_events import fact__first_activation_events
from wemart_assets.marts.activation.key_events import FIRST_VISIT
from wemart_assets.marts.activation.rules import DAY_COLUMNS, days_from

COHORT = ("part_date", "country")
NEW_USER = ("part_date", "user_id")
# Of the cohorts that the picture shows.
DAYS_SHOWN = 90


def _steps(key_events: KeyEvents, key_event_days: Sequence[int]) -> list[tuple[int, str, int]]:
    """Number, event and days of each step; the first visit, step 0, is there on its day."""
    named = zip([name for name, _ in key_events], key_event_days, strict=True)
    return [(0, FIRST_VISIT, 1), *((number, name, days) for number, (name, days) in enumerate(named, start=1))]


def _growing(staged: ir.Table) -> ir.Table:
    """Steps with more users in order than the step before, or without one."""
    before = staged.select(*COHORT, step=(staged.step + 1).cast("int32"), at_most="users_in_order")
    firsts = staged.filter(staged.step == 0).select(*COHORT, "step", at_most="first_visits")
    bounds = ibis.union(before, firsts)
    on = [*(staged[name].identical_to(bounds[name]) for name in COHORT), staged.step == bounds.step]
    both = staged.left_join(bounds, on).select(*staged.columns, at_most=bounds.at_most)
    return both.filter((both.users_in_order > both.at_most).fill_null(True))


def _other_cohorts(staged: ir.Table, firsts: ir.Table) -> ir.Table:
    """Days whose first visits are not those of fact__first_activation_events."""
    visits = firsts.filter(firsts.event_name == FIRST_VISIT)
    there = visits.group_by("part_date").aggregate(there=visits.count())
    counted = staged.filter(staged.step == 0).group_by("part_date").aggregate(counted=ibis._.users.sum())
    both = there.outer_join(counted, "part_date")
    both = both.select("there", "counted", part_date=ibis.coalesce(both.part_date, both.part_date_right))
    return both.filter((both.there != both.counted).fill_null(True))


def _by_day(staged: ir.Table, published: ir.Table) -> ir.Table:
    columns = ["part_date", "step", "event_name", "within_days", "first_visits", "users", "users_in_order"]
    rows = ibis.union(staged.select(*columns), published.select(*columns))
    of_step = rows.group_by("part_date", "step", "event_name", "within_days")
    return of_step.aggregate(**{name: rows[name].sum() for name in columns[4:]})


def _conversion(points: Sequence[Mapping[str, Any]]) -> str:
    """Each step by itself (the line) and in order (dashed), of the latest cohorts.

    An event and its days under which only some of the cohorts were made is a line of its own on these days.
    """
    days = sorted({point["part_date"] for point in points})[-DAYS_SHOWN:]
    by_day: dict[tuple[int, str, int], dict[str, Mapping[str, Any]]] = {}
    for point in points:
        if point["step"] > 0 and point["part_date"] in days:
            step = point["step"], point["event_name"], point["within_days"]
            by_day.setdefault(step, {})[point["part_date"]] = point
    lines = []
    for colour, (step, of_step) in enumerate(sorted(by_day.items(), key=itemgetter(0))):
        _, event, within = step
        for order, users, dashed in (("", "users", False), (", in order", "users_in_order", True)):
            found = map(of_step.get, days)
            shares = [None if point is None else point[users] / point["first_visits"] for point in found]
            lines.append(Line(f"{event} within {within} d{order}", shares, colour, dashed))
    return line_chart("Conversion by day of the first visit, of all countries", days, lines)


TABLE = Table(
    database="activation",
    name="activation_funnel_daily",
    description=(
        "One row per day of first visits, country and step of the funnel: how many of its new users came so far."
    ),
    grain=("first_visit_date", "country", "step"),
    columns=(
        column("first_visit_date", "date", "business day of the first visits: the cohort", nullable=False),
        column("country", "string", "country of the users on that day, NULL where unknown"),
        column("step", "int", "step of the funnel, 0 for the first visit", at_least(0), nullable=False),
        column("event_name", "string", "event of the step", nullable=False),
        column("within_days", "int", "days that it counts within, that of the first visit included", nullable=False),
        column("first_visits", "bigint", "users of the cohort and country", at_least(1), nullable=False),
        column("users", "bigint", "of them, users with the event within the days", at_least(0), nullable=False),
        column(
            "users_in_order",
            "bigint",
            "of them, users with the events up to this step one after the other, each within its days",
            at_least(0),
            nullable=False,
        ),
        column("rate", "double", "users, of the first visits", nullable=False),
        column("rate_in_order", "double", "users_in_order, of the first visits", nullable=False),
        *DAY_COLUMNS,
    ),
    row_checks=(
        RowCheck(
            "steps_of_the_settings",
            "event_name and within_days are those of WEMART_KEY_EVENTS and WEMART_KEY_EVENT_DAYS",
            lambda t, key_events, key_event_days: ibis.or_(
                *(
                    (t.step == step) & (t.event_name == name) & (t.within_days == days)
                    for step, name, days in _steps(key_events, key_event_days)
                )
            ),
        ),
        RowCheck(
            "within_the_cohort",
            "users in order are users with the event, and these are of the cohort",
            lambda t: (t.users_in_order <= t.users) & (t.users <= t.first_visits),
        ),
        RowCheck(
            "rates",
            "rates are the shares of the first visits",
            lambda t: (
                (t.rate == t.users / t.first_visits.nullif(0))
                & (t.rate_in_order == t.users_in_order / t.first_visits.nullif(0))
            ),
        ),
        RowCheck(
            "day_of_the_cohort",
            "part_date is first_visit_date",
            lambda t: t.part_date == t.first_visit_date.cast("string"),
        ),
    ),
    table_checks=(
        TableCheck("steps_never_grow", "no step in order has more users than the step before it", _growing),
        TableCheck("cohorts_add_up", "the countries' first visits are all first visits of the day", _other_cohorts),
    ),
    charts=(Chart("conversion", _by_day, _conversion),),
)


@mart(
    TABLE,
    firsts=same_day(fact__first_activation_events),
    events=window(fact__events, "key_event_days"),
    users=same_day(dim__users),
)
def activation_funnel_daily(
    firsts: ir.Table,
    events: ir.Table,
    users: ir.Table,
    key_events: KeyEvents,
    key_event_days: Sequence[int],
    timezone: str,
) -> ir.Table:
    """A day is made again as the days of its longest window come: only then it has everybody who came so far.

    `users` have the event within its days, whatever else they did. `users_in_order` have, from the first visit on, the
    event of each step no earlier than one of the step before, and within its days: equal instants are in order, and
    what came too early waits for the next of its kind.
    """
    steps = _steps(key_events, key_event_days)
    countries = users.select("part_date", "user_id", "country")
    visits = firsts.filter(firsts.event_name == FIRST_VISIT).select("part_date", "user_id", "first_visit_datetime")
    cohort = visits.left_join(countries, ["part_date", "user_id"]).select(*visits.columns, "country")

    reached = cohort.select(*NEW_USER, at="first_visit_datetime")
    users_of = [(0, reached, reached)]
    for step, name, within in steps[1:]:
        then = events.filter(events.event_name == name).select("user_id", "datetime")
        acts = cohort.inner_join(then, "user_id")
        days_since = days_from(acts.first_visit_datetime, acts.datetime, timezone)
        acts = acts.filter(acts.datetime >= acts.first_visit_datetime, days_since <= within)
        acts = acts.select(*NEW_USER, then="datetime")
        in_order = reached.inner_join(acts, NEW_USER)
        in_order = in_order.filter(in_order.then >= in_order["at"])
        # The earliest that is in order leaves the most time for what follows.
        reached = in_order.group_by(*NEW_USER).aggregate(at=in_order.then.min())
        users_of.append((step, acts.select(*NEW_USER).distinct(), reached))

    came = [_counted(found, step, users=1, users_in_order=0) for step, found, _ in users_of]
    came += [_counted(found, step, users=0, users_in_order=1) for step, _, found in users_of]
    # Nobody may have come as far as a step: the cohort has a row of it all the same.
    came += [_counted(cohort, step, users=0, users_in_order=0) for step, _, _ in steps]
    found = ibis.union(*came).inner_join(cohort.select(*NEW_USER, "country"), NEW_USER)
    found = found.group_by(*COHORT, "step").aggregate(
        users=found.users.sum(), users_in_order=found.users_in_order.sum()
    )
    first_visits = found.users.max().over(ibis.window(group_by=COHORT))
    return found.mutate(
        first_visits=first_visits,
        rate=found.users / first_visits,
        rate_in_order=found.users_in_order / first_visits,
        first_visit_date=found.part_date.cast("date"),
        event_name=ibis.cases(*((found.step == step, name) for step, name, _ in steps)),
        within_days=ibis.cases(*((found.step == step, within) for step, _, within in steps)),
    )


def _counted(found: ir.Table, step: int, users: int, users_in_order: int) -> ir.Table:
    return found.select(
        *NEW_USER,
        step=ibis.literal(step, type="int32"),
        users=ibis.literal(users, type="int64"),
        users_in_order=ibis.literal(users_in_order, type="int64"),
    )
