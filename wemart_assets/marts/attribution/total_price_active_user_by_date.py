"""`igaworks.total_price_active_user_by_date`: buyers and amounts by day."""

from __future__ import annotations

from collections.abc import Sequence

import ibis.expr.types as ir

from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import Table, TableCheck
from wemart_assets.marts.attribution.active_user_by_date import active_user_by_date
from wemart_assets.marts.attribution.rules import (
    PURCHASE_USERS,
    TOTAL_PRICE,
    above_all_users,
    is_step,
    per,
    report_columns,
    total_price,
    with_user,
)
from wemart_assets.setting_values.app_events import PURCHASE, AppEvents
from wemart_assets.sources.contracts.igaworks import event


def _more_than_are_active(staged: ir.Table, all_users: ir.Table) -> ir.Table:
    return above_all_users(staged, "purchase_users", all_users)


TABLE = Table(
    database="igaworks",
    name="total_price_active_user_by_date",
    description="One row per business day with a purchase: the users who bought, and the amount they paid.",
    grain=("key_date",),
    columns=report_columns(PURCHASE_USERS, TOTAL_PRICE),
    table_checks=(
        TableCheck("no_more_than_all_users", "there are at most as many buyers as active users", _more_than_are_active),
    ),
)


@mart(TABLE, events=same_period(event), all_users=same_period(active_user_by_date))
def total_price_active_user_by_date(events: ir.Table, app_events: AppEvents, day_columns: Sequence[str]) -> ir.Table:
    """Users with a purchase, including one of unknown price, and the sum of all prices, whatever the quantity."""
    purchases = with_user(events).filter(is_step(events, PURCHASE, app_events))
    return per(
        purchases, day_columns, purchase_users=purchases.identity_adid.nunique(), total_price=total_price(purchases)
    )
