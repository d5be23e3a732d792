"""`igaworks.hard_funnel`: users with a firstopen, login and purchase, independently and in that order."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.inputs import following, same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import Severity, Table, TableCheck
from wemart_assets.marts.attribution.active_user_by_event import active_user_by_event
from wemart_assets.marts.attribution.funnel import FUNNEL_COLUMNS, funnel, growing_steps, users_of_steps
from wemart_assets.marts.attribution.rules import report_columns, with_user
from wemart_assets.setting_values.app_events import AppEvents
from wemart_assets.sources.contracts.igaworks import event


def _other_users_of_the_event(staged: ir.Table, by_event: ir.Table, app_events: AppEvents) -> ir.Table:
    """A user may have a step's event under several names: the step's users lie between the names' maximum and sum."""
    step = ibis.cases(*((by_event.event_name.isin(names), step) for step, names in app_events.by_step().items()))
    named = by_event.mutate(of_step=step)
    named = named.filter(named.of_step.notnull()).group_by("part_date", "of_step")
    names_of_step = named.aggregate(most=ibis._.active_users.max(), all=ibis._.active_users.sum())
    steps = staged.left_join(names_of_step, ["part_date", staged.event_name == names_of_step.of_step])
    bounds = {name: steps[name].fill_null(0) for name in ("most", "all")}
    steps = steps.select(staged.part_date, staged.step, staged.users, **bounds)
    return steps.filter(~steps.users.between(steps.most, steps["all"]))


def _days_of_other_names(events: ir.Table, app_events: AppEvents) -> ir.Table:
    user_events = with_user(events)
    names = [name for of_step in app_events.by_step().values() for name in of_step]
    days = user_events.group_by("part_date").aggregate(
        events=ibis._.count(), of_the_funnel=user_events.event_name.isin(names).sum().fill_null(0)
    )
    return days.filter(days.of_the_funnel == 0)


TABLE = Table(
    database="igaworks",
    name="hard_funnel",
    description=(
        "One row per business day and step of the funnel: its users that day, and those in order from that day."
    ),
    grain=("key_date", "step"),
    columns=report_columns(*FUNNEL_COLUMNS),
    table_checks=(
        TableCheck("steps_never_grow", "no step has more users in order than the step before it", growing_steps),
        TableCheck(
            "users_of_the_event",
            "a step's users lie between the maximum and the sum over its event names",
            _other_users_of_the_event,
        ),
        TableCheck(
            "names_of_the_funnel",
            "every day with events has one named in WEMART_APP_EVENTS",
            _days_of_other_names,
            Severity.WARN,
        ),
    ),
)


@mart(
    TABLE,
    events=same_period(event),
    later=following(event, "funnel_days"),
    by_event=same_period(active_user_by_event),
)
def hard_funnel(
    events: ir.Table, later: ir.Table, funnel_days: int, app_events: AppEvents, day_columns: Sequence[str]
) -> ir.Table:
    """The funnel of each day. A day is redone until its window is over; only then are its users in order complete."""
    return funnel(users_of_steps(events, later, funnel_days, app_events), day_columns)
