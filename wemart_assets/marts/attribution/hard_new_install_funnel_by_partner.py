"""`igaworks.hard_new_install_funnel_by_partner`: the funnel of new installs by partner."""

from __future__ import annotations

from collections.abc import Sequence

import ibis.expr.types as ir

from wemart_assets.lake.inputs import following, same_period, up_to
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import Table, TableCheck, column
from wemart_assets.marts.attribution.funnel import FUNNEL_COLUMNS, funnel, growing_steps, users_of_steps
from wemart_assets.marts.attribution.hard_funnel import hard_funnel
from wemart_assets.marts.attribution.rules import (
    ATTRIBUTION_UNKNOWN_TIME,
    NEW_INSTALL,
    NONE,
    first_touches,
    report_columns,
)
from wemart_assets.setting_values.app_events import AppEvents
from wemart_assets.sources.contracts.igaworks import attribution, event


def _growing_steps(staged: ir.Table) -> ir.Table:
    return growing_steps(staged, by=["partner"])


def _more_than_all(staged: ir.Table, all_users: ir.Table) -> ir.Table:
    everyone = all_users.select("part_date", "step", all="users", all_in_order="users_in_order")
    steps = staged.left_join(everyone, ["part_date", "step"])
    steps = steps.select(*staged.columns, all=steps["all"].fill_null(0), all_in_order=steps.all_in_order.fill_null(0))
    return steps.filter((steps.users > steps["all"]) | (steps.users_in_order > steps.all_in_order))


TABLE = Table(
    database="igaworks",
    name="hard_new_install_funnel_by_partner",
    description=(
        "One row per partner, business day and step of the funnel: users with a new install attributed to the partner."
    ),
    grain=("key_date", "partner", "step"),
    columns=report_columns(
        column("partner", "string", f"partner of the new installs, `{NONE}` where none is named", nullable=False),
        *FUNNEL_COLUMNS,
    ),
    table_checks=(
        TableCheck("steps_never_grow", "no step has more users in order than the step before it", _growing_steps),
        TableCheck("no_more_than_all_users", "no partner has more users at a step than hard_funnel", _more_than_all),
    ),
)


@mart(
    TABLE,
    events=same_period(event),
    later=following(event, "funnel_days"),
    attributions=up_to(attribution),
    unknown_time=same_period(ATTRIBUTION_UNKNOWN_TIME),
    all_users=same_period(hard_funnel),
)
def hard_new_install_funnel_by_partner(
    events: ir.Table,
    later: ir.Table,
    attributions: ir.Table,
    unknown_time: ir.Table,
    funnel_days: int,
    app_events: AppEvents,
    day_columns: Sequence[str],
) -> ir.Table:
    """A user counts for every partner that a new install of theirs is attributed to by the end of the day."""
    users = users_of_steps(events, later, funnel_days, app_events)
    installs = [
        t.filter(t.attribution_type == NEW_INSTALL).mutate(partner=t.partner.nullif("").fill_null(NONE))
        for t in (attributions, unknown_time)
    ]
    touches = first_touches(installs[0], installs[1], "partner").rename(toucher="identity_adid")
    brought = users.inner_join(touches, [users.identity_adid == touches.toucher, touches.since <= users.part_date])
    return funnel(brought.select(*users.columns, "partner"), day_columns, ["partner"])
