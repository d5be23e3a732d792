"""`activation.activation_funnel_daily`: how far each day's new users get in the funnel, counted in two ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.chart import DAYS_SHOWN, Line, line_chart
from wemart_assets.lake.days import days_between
from wemart_assets.lake.inputs import following, same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import Chart, RowCheck, Table, TableCheck, at_least, column
from wemart_assets.marts.activation.dim__users import dim__users
from wemart_assets.marts.activation.fact__events import KeyEvents, fact__events
from wemart_assets.marts.activation.fact__first_activation_events import fact__first_activation_events
from wemart_assets.marts.activation.rules import DAY_COLUMNS, days_from
from wemart_assets.setting_values.key_events import FIRST_VISIT

COHORT = ("part_date", "country")
NEW_USER = ("part_date", "user_id")


def _steps(key_events: KeyEvents, key_event_days: Sequence[int]) -> list[tuple[int, str, int]]:
    """Number, event and window in days of each step. Step 0 is the first visit, on its own day."""
    named = zip([name for name, _ in key_events], key_event_days, strict=True)
    return [(0, FIRST_VISIT, 1), *((number, name, days) for number, (name, days) in enumerate(named, start=1))]


def _growing_steps(staged: ir.Table) -> ir.Table:
    """Steps with more users in order than the step before, or without a step before."""
    before = staged.select(*COHORT, step=(staged.step + 1).cast("int32"), at_most="users_in_order")
    firsts = staged.filter(staged.step == 0).select(*COHORT, "step", at_most="first_visits")
    bounds = ibis.union(before, firsts)
    on = [*(staged[name].identical_to(bounds[name]) for name in COHORT), staged.step == bounds.step]
    steps = staged.left_join(bounds, on).select(*staged.columns, at_most=bounds.at_most)
    return steps.filter((steps.users_in_order > steps.at_most).fill_null(True))


def _days_off_count(staged: ir.Table, firsts: ir.Table) -> ir.Table:
    """Days whose first visits differ from those of fact__first_activation_events."""
    visits = firsts.filter(firsts.event_name == FIRST_VISIT)
    expected = visits.group_by("part_date").aggregate(expected=visits.count())
    actual = staged.filter(staged.step == 0).group_by("part_date").aggregate(actual=ibis._.users.sum())
    days = expected.outer_join(actual, "part_date")
    days = days.select("expected", "actual", part_date=ibis.coalesce(days.part_date, days.part_date_right))
    return days.filter((days.expected != days.actual).fill_null(True))


def _by_day(staged: ir.Table, published: ir.Table) -> ir.Table:
    columns = ["part_date", "step", "event_name", "within_days", "first_visits", "users", "users_in_order"]
    rows = ibis.union(staged.select(*columns), published.select(*columns))
    steps = rows.group_by("part_date", "step", "event_name", "within_days")
    return steps.aggregate(**{name: rows[name].sum() for name in columns[4:]})


def _conversion(points: Sequence[Mapping[str, Any]]) -> str:
    """Conversion of the latest cohorts to each step by itself (solid) and in order (dashed).

    Cohorts computed under other settings, with another event or window, get a line of their own.
    """
    cohorts = {point["part_date"] for point in points}
    days = days_between(min(cohorts), max(cohorts))[-DAYS_SHOWN:] if cohorts else []
    by_day: dict[tuple[int, str, int], dict[str, Mapping[str, Any]]] = {}
    for point in points:
        if point["step"] > 0 and point["part_date"] in days:
            step = point["step"], point["event_name"], point["within_days"]
            by_day.setdefault(step, {})[point["part_date"]] = point
    lines = []
    for colour, (step, step_points) in enumerate(sorted(by_day.items(), key=itemgetter(0))):
        _, event, within = step
        for order, users, dashed in (("", "users", False), (", in order", "users_in_order", True)):
            day_points = map(step_points.get, days)
            shares = [None if point is None else point[users] / point["first_visits"] for point in day_points]
            lines.append(Line(f"{event} within {within} d{order}", shares, colour, dashed))
    return line_chart("Conversion by day of first visit, all countries", days, lines)


TABLE = Table(
    database="activation",
    name="activation_funnel_daily",
    description=(
        "One row per day of first visits, country and step of the funnel: how many of the new users reached the step."
    ),
    grain=("first_visit_date", "country", "step"),
    columns=(
        column("first_visit_date", "date", "business day of the first visits: the cohort", nullable=False),
        column("country", "string", "country of the users as of that day, NULL if unknown"),
        column("step", "int", "step of the funnel, 0 for the first visit", at_least(0), nullable=False),
        column("event_name", "string", "event of the step", nullable=False),
        column("within_days", "int", "window in business days, including the day of the first visit", nullable=False),
        column("first_visits", "bigint", "users of the cohort and country", at_least(1), nullable=False),
        column("users", "bigint", "of them, users with the event within the window", at_least(0), nullable=False),
        column(
            "users_in_order",
            "bigint",
            "of them, users with the events up to this step in order, each within its window",
            at_least(0),
            nullable=False,
        ),
        column("rate", "double", "users / first_visits", nullable=False),
        column("rate_in_order", "double", "users_in_order / first_visits", nullable=False),
        *DAY_COLUMNS,
    ),
    row_checks=(
        RowCheck(
            "steps_of_the_settings",
            "event_name and within_days are those of the step in WEMART_KEY_EVENTS and WEMART_KEY_EVENT_DAYS",
            lambda t, key_events, key_event_days: ibis.or_(
                *(
                    (t.step == step) & (t.event_name == name) & (t.within_days == days)
                    for step, name, days in _steps(key_events, key_event_days)
                )
            ),
        ),
        RowCheck(
            "within_the_cohort",
            "users_in_order is at most users, and users at most first_visits",
            lambda t: (t.users_in_order <= t.users) & (t.users <= t.first_visits),
        ),
        RowCheck(
            "rates",
            "rate and rate_in_order are the counts divided by first_visits",
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
        TableCheck("steps_never_grow", "no step has more users in order than the step before it", _growing_steps),
        TableCheck("cohorts_add_up", "the countries' first visits add up to those of the day", _days_off_count),
    ),
    charts=(Chart("conversion", _by_day, _conversion),),
)


@mart(
    TABLE,
    firsts=same_period(fact__first_activation_events),
    events=following(fact__events, "key_event_days", in_all=True),
    users=same_period(dim__users),
)
def activation_funnel_daily(
    firsts: ir.Table,
    events: ir.Table,
    users: ir.Table,
    key_events: KeyEvents,
    key_event_days: Sequence[int],
    timezone: str,
) -> ir.Table:
    """The funnel of each day's new users. A day is final once its longest window has passed; until then it is redone.

    `users` counts users with the event within its window, whatever else they did. `users_in_order` counts users who,
    from the first visit on, had the event of every step at or after that of the step before, and within its window.
    Equal instants are in order. An event before its predecessor is skipped, and a later one of its kind may count.
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
        # The earliest event in order leaves the most time for the steps that follow.
        reached = in_order.group_by(*NEW_USER).aggregate(at=in_order.then.min())
        users_of.append((step, acts.select(*NEW_USER).distinct(), reached))

    counts = [_counted(with_event, step, users=1, users_in_order=0) for step, with_event, _ in users_of]
    counts += [_counted(in_order, step, users=0, users_in_order=1) for step, _, in_order in users_of]
    # A cohort has a row per step even if nobody reached it.
    counts += [_counted(cohort, step, users=0, users_in_order=0) for step, _, _ in steps]
    funnel = ibis.union(*counts).inner_join(cohort.select(*NEW_USER, "country"), NEW_USER)
    funnel = funnel.group_by(*COHORT, "step").aggregate(
        users=funnel.users.sum(), users_in_order=funnel.users_in_order.sum()
    )
    first_visits = funnel.users.max().over(ibis.window(group_by=COHORT))
    return funnel.mutate(
        first_visits=first_visits,
        rate=funnel.users / first_visits,
        rate_in_order=funnel.users_in_order / first_visits,
        first_visit_date=funnel.part_date.cast("date"),
        event_name=ibis.cases(*((funnel.step == step, name) for step, name, _ in steps)),
        within_days=ibis.cases(*((funnel.step == step, within) for step, _, within in steps)),
    )


def _counted(users_of_step: ir.Table, step: int, users: int, users_in_order: int) -> ir.Table:
    return users_of_step.select(
        *NEW_USER,
        step=ibis.literal(step, type="int32"),
        users=ibis.literal(users, type="int64"),
        users_in_order=ibis.literal(users_in_order, type="int64"),
    )
