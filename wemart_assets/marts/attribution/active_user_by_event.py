"""`igaworks.active_user_by_event`: users by day and event."""

from __future__ import annotations

from collections.abc import Sequence

import ibis.expr.types as ir

from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import Table, TableCheck, column
from wemart_assets.marts.attribution.active_user_by_date import active_user_by_date
from wemart_assets.marts.attribution.rules import ACTIVE_USERS, above_all_users, per, report_columns, with_user
from wemart_assets.sources.contracts.igaworks import event


def _more_than_are_active(staged: ir.Table, all_users: ir.Table) -> ir.Table:
    return above_all_users(staged, "active_users", all_users)


TABLE = Table(
    database="igaworks",
    name="active_user_by_event",
    description=(
        "One row per event and business day: the users who had the event. Events without a name are the NULL row."
    ),
    grain=("key_date", "event_name"),
    columns=report_columns(column("event_name", "string", "name of the event"), ACTIVE_USERS),
    table_checks=(
        TableCheck("no_more_than_all_users", "no event has more users than were active", _more_than_are_active),
    ),
)


@mart(TABLE, events=same_period(event), all_users=same_period(active_user_by_date))
def active_user_by_event(events: ir.Table, day_columns: Sequence[str]) -> ir.Table:
    """A user counts once for each event, however often it happened."""
    users = with_user(events)
    return per(users, [*day_columns, "event_name"], active_users=users.identity_adid.nunique())
