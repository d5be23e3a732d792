"""`igaworks.active_user_by_campaign`: active users by day and campaign that had touched them by then."""

from __future__ import annotations

from collections.abc import Sequence

import ibis.expr.types as ir

from wemart_assets.lake.inputs import same_period, up_to
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import Table, TableCheck
from wemart_assets.marts.attribution.active_user_by_date import active_user_by_date
from wemart_assets.marts.attribution.rules import (
    ACTIVE_USERS,
    ATTRIBUTION_UNKNOWN_TIME,
    CAMPAIGN,
    above_all_users,
    per,
    report_columns,
    user_count,
    with_campaigns,
    with_user,
)
from wemart_assets.sources.contracts.igaworks import attribution, event


def _more_than_are_active(staged: ir.Table, all_users: ir.Table) -> ir.Table:
    return above_all_users(staged, "active_users", all_users)


def _days_with_lost_users(staged: ir.Table, all_users: ir.Table) -> ir.Table:
    rows = staged.group_by("part_date").aggregate(in_rows=staged.active_users.sum())
    days = all_users.left_join(rows, "part_date")
    days = days.select(all_users.part_date, all_users.active_users, in_rows=days.in_rows.fill_null(0))
    return days.filter(days.in_rows < days.active_users)


TABLE = Table(
    database="igaworks",
    name="active_user_by_campaign",
    description="One row per campaign and business day: the active users whom the campaign had touched by then.",
    grain=("key_date", "campaign"),
    columns=report_columns(CAMPAIGN, ACTIVE_USERS),
    table_checks=(
        TableCheck("no_more_than_all_users", "no campaign has more users than were active", _more_than_are_active),
        TableCheck("nobody_is_lost", "the campaigns' users add up to at least all active users", _days_with_lost_users),
    ),
)


@mart(
    TABLE,
    events=same_period(event),
    attributions=up_to(attribution),
    unknown_time=same_period(ATTRIBUTION_UNKNOWN_TIME),
    all_users=same_period(active_user_by_date),
)
def active_user_by_campaign(
    events: ir.Table, attributions: ir.Table, unknown_time: ir.Table, day_columns: Sequence[str]
) -> ir.Table:
    """A user counts once for each campaign that had touched them by the end of the day, or else for `(none)`."""
    user_days = with_user(events).select("part_date", "identity_adid").distinct()
    users = with_campaigns(user_days, attributions, unknown_time)
    return per(users, [*day_columns, "campaign"], active_users=user_count(users, day_columns))
