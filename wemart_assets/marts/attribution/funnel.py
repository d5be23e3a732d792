"""The funnel from first opening to purchase: users by day and step."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.functions import day_after
from wemart_assets.lake.table import at_least, column, one_of
from wemart_assets.marts.attribution.rules import is_step, per, user_count, with_user
from wemart_assets.setting_values.app_events import FUNNEL, AppEvents

STEPS = dict(enumerate(FUNNEL, start=1))
FUNNEL_COLUMNS = (
    column("step", "int", "step of the funnel", one_of(*STEPS), nullable=False),
    column("event_name", "string", "the step, as WEMART_APP_EVENTS calls it", one_of(*FUNNEL), nullable=False),
    column("users", "bigint", "users with an event of the step on that day", at_least(0), nullable=False),
    column(
        "users_in_order",
        "bigint",
        "users who had the events up to this step in order, starting with a firstopen on that day",
        at_least(0),
        nullable=False,
    ),
)


def users_of_steps(events: ir.Table, later: ir.Table, funnel_days: int, app_events: AppEvents) -> ir.Table:
    """One row per business day, step and user, once with `in_order` false and once true where it applies.

    Without order: users with the step's event on the day. In order: users with a firstopen on the day, then a login,
    then a purchase, each no earlier than the step before and at most `funnel_days` days after the day. Equal instants
    count as in order.
    """
    columns = ["part_date", "step", "identity_adid"]
    user_events = with_user(events)
    step = ibis.cases(*((is_step(user_events, name, app_events), number) for number, name in STEPS.items()))
    named = user_events.mutate(step=step.cast("int32"))
    named = named.filter(named.step.notnull())
    users_by_step = named.select(*columns).distinct()

    openings = named.filter(named.step == 1)
    reached = openings.group_by("part_date", "identity_adid").aggregate(at=openings.server_datetime.min())
    in_order = [reached.mutate(step=ibis.literal(1, type="int32"))]
    later = with_user(later)
    for number in list(STEPS)[1:]:
        # The earliest event in order leaves the most time for the steps that follow.
        follow = later.filter(is_step(later, STEPS[number], app_events))
        follow = follow.select(user="identity_adid", day="part_date", then="server_datetime")
        reaching = reached.inner_join(
            follow,
            [
                reached.identity_adid == follow.user,
                follow.then >= reached["at"],
                follow.day <= day_after(reached.part_date, funnel_days),
            ],
        )
        reached = reaching.group_by("part_date", "identity_adid").aggregate(at=reaching.then.min())
        in_order.append(reached.mutate(step=ibis.literal(number, type="int32")))
    ordered = ibis.union(*(t.select(*columns) for t in in_order))
    return ibis.union(users_by_step.mutate(in_order=ibis.literal(False)), ordered.mutate(in_order=ibis.literal(True)))


def funnel(users: ir.Table, day_columns: Sequence[str], by: Sequence[str] = ()) -> ir.Table:
    """The users of each step, by day and `by`. If any step has users, every step has a row."""
    counted = per(
        users,
        [*day_columns, *by, "step"],
        users=user_count(users, day_columns, where=~users.in_order),
        users_in_order=user_count(users, day_columns, where=users.in_order),
    )
    keys = [name for name in counted.columns if name not in ("step", "users", "users_in_order")]
    steps = ibis.array([ibis.literal(n, type="int32") for n in STEPS]).unnest()
    nobody = {name: ibis.literal(0, type="int64") for name in ("users", "users_in_order")}
    every_step = counted.select(*keys, one=ibis.literal(1)).distinct().mutate(step=steps, **nobody).drop("one")
    rows = ibis.union(counted.select(*every_step.columns), every_step)
    filled = rows.group_by(*keys, "step").aggregate(users=rows.users.max(), users_in_order=rows.users_in_order.max())
    return filled.mutate(event_name=ibis.cases(*((filled.step == n, name) for n, name in STEPS.items())))


def growing_steps(staged: ir.Table, by: Sequence[str] = ()) -> ir.Table:
    """Steps with more users in order than the step before, or without a step before."""
    keys = ["part_date", *by]
    before = staged.select(*keys, step=(staged.step + 1).cast("int32"), at_most=staged.users_in_order)
    firsts = staged.filter(staged.step == 1).select(*keys, "step", at_most="users")
    bounds = ibis.union(before, firsts)
    steps = staged.left_join(bounds, [*(staged[k].identical_to(bounds[k]) for k in keys), staged.step == bounds.step])
    steps = steps.select(staged.part_date, staged.step, staged.users_in_order, at_most=steps.at_most)
    return steps.filter((steps.users_in_order > steps.at_most).fill_null(True))
