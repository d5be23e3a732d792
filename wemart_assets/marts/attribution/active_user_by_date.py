"""`igaworks.active_user_by_date`: active users by day."""

from __future__ import annotations

from collections.abc import Sequence

import ibis.expr.types as ir

from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import Table, TableCheck
from wemart_assets.lake.volume import volume_check
from wemart_assets.marts.attribution.rules import ACTIVE_USERS, per, report_columns, with_user
from wemart_assets.sources.contracts.igaworks import event


def _days_without_row(staged: ir.Table, events: ir.Table) -> ir.Table:
    return with_user(events).select("part_date").distinct().anti_join(staged, "part_date")


TABLE = Table(
    database="igaworks",
    name="active_user_by_date",
    description="One row per business day: the users with any event.",
    grain=("key_date",),
    columns=report_columns(ACTIVE_USERS),
    table_checks=(
        TableCheck("every_day_counts", "every day with an event of a user has a row", _days_without_row),
        volume_check(),
    ),
)


@mart(TABLE, events=same_period(event))
def active_user_by_date(events: ir.Table, day_columns: Sequence[str]) -> ir.Table:
    """A user with several device models, countries or operating systems counts once."""
    users = with_user(events)
    return per(users, day_columns, active_users=users.identity_adid.nunique())
