"""`igaworks.hard_funnel`: firstopen, login, purchase: users of each step, and users in that order."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.inputs import following, same_day
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import Severity, Table, TableCheck
from wemart_assets.marts.attribution.active_user_by_event import active_user_by_event
from wemart_assets.marts.attribution.app_events import AppEvents
from wemart_assets.marts.attribution.funnel import FUNNEL_COLUMNS, funnel, growing_steps, users_of_steps
from wemart_assets.marts.attribution.rules import of_users, report_columns
from wemart_assets.sources.contracts.igaworks import event


def _other_users_of_the_event(staged: ir.Table, by_event: ir.Table, app_events: AppEvents) -> ir.Table:
    """A user may have a step's event under several names: the most of one name are at most all, the sum at least."""
    step = ibis.cases(*((by_event.event_name.isin(names), step) for step, names in app_events.by_step().items()))
    named = by_event.mutate(of_step=step)
    named = named.filter(named.of_step.notnull()).group_by("part_date", "of_step")
    there = named.aggregate(most=ibis._.active_users.max(), all=ibis._.active_users.sum())
    both = staged.left_join(there, ["part_date", staged.event_name == there.of_step])
    bounds = {name: both[name].fill_null(0) for name in ("most", "all")}
    both = both.select(staged.part_date, staged.step, staged.users, **bounds)
    return both.filter(~both.users.between(both.most, both["all"]))


def _days_of_other_names(events: ir.Table, app_events: AppEvents) -> ir.Table:
    someones = of_users(events)
    names = [name for of_step in app_events.by_step().values() for name in of_step]
    days = someones.group_by("part_date").aggregate(
        events=ibis._.count(), of_the_funnel=someones.event_name.isin(names).sum().fill_null(0)
    )
    return days.filter(days.of_the_funnel == 0)


TABLE = Table(
    database="igaworks",
    name="hard_funnel",
    description=(
        "One row per business day and step of the funnel: its users that day, and those in order from that day on."
    ),
    grain=("key_date", "step"),
    columns=report_columns(*FUNNEL_COLUMNS),
    table_checks=(
        TableCheck("steps_never_grow", "no step in order has more users than the step before it", growing_steps),
        TableCheck("users_of_the_event", "a step's users are those of its events", _other_users_of_the_event),
        TableCheck(
            "names_of_the_funnel",
            "a day with events has one that WEMART_APP_EVENTS names",
            _days_of_other_names,
            Severity.WARN,
        ),
    ),
)


@mart(
    TABLE,
    events=same_day(event),
    later=following(event, "funnel_days"),
    by_event=same_day(active_user_by_event),
)
def hard_funnel(
    events: ir.Table, later: ir.Table, funnel_days: int, app_events: AppEvents, day_columns: Sequence[str]
) -> ir.Table:
    """A day is made again until its window is over: only then it has all users in order."""
    return funnel(users_of_steps(events, later, funnel_days, app_events), day_columns)
