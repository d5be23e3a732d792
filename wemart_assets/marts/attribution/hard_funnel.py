"""`igaworks.hard_funnel`: firstopen, login, purchase: users of each step, and users in that order."""

from __future__ import annotations

from collections.abc import Sequence

import ibis.expr.types as ir

from wemart_assets.lake.inputs import following, same_day
from wemart_assets.lake.mart_asset import mart
from wemart_assets.lake.table import Law, Table
from wemart_assets.marts.attribution.active_user_by_event import active_user_by_event
from wemart_assets.marts.attribution.funnel import FUNNEL_COLUMNS, funnel, growing_steps, users_of_steps
from wemart_assets.marts.attribution.rules import FUNNEL, report_columns
from wemart_assets.sources.contracts.igaworks import event


def _other_users_of_the_event(staged: ir.Table, by_event: ir.Table) -> ir.Table:
    by_event = by_event.filter(by_event.event_name.isin(FUNNEL))
    both = staged.left_join(by_event, ["part_date", "event_name"])
    both = both.select(staged.part_date, staged.step, staged.users, there=both.active_users.fill_null(0))
    return both.filter(both.users != both.there)


TABLE = Table(
    database="igaworks",
    name="hard_funnel",
    words="One row a business day and step of the funnel: its users that day, and those in order from that day on.",
    grain=("key_date", "step"),
    columns=report_columns(*FUNNEL_COLUMNS),
    laws=(
        Law("steps_never_grow", "no step in order has more users than the step before it", growing_steps),
        Law("users_of_the_event", "a step's users are those of its event", _other_users_of_the_event),
    ),
)


@mart(
    TABLE,
    events=same_day(event),
    later=following(event, "funnel_days"),
    by_event=same_day(active_user_by_event),
)
def hard_funnel(events: ir.Table, later: ir.Table, funnel_days: int, period: Sequence[str]) -> ir.Table:
    """A day is made again until its window is over: only then it has all users in order."""
    return funnel(users_of_steps(events, later, funnel_days), period)
