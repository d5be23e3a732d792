"""`igaworks.total_price_active_user_by_campaign`: buyers and amounts by day and campaign."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.inputs import same_period, up_to
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import Table, TableCheck
from wemart_assets.marts.attribution.active_user_by_campaign import active_user_by_campaign
from wemart_assets.marts.attribution.rules import (
    ATTRIBUTION_UNKNOWN_TIME,
    CAMPAIGN,
    PURCHASE_USERS,
    TOTAL_PRICE,
    first_touches,
    is_step,
    per,
    report_columns,
    total_price,
    with_campaigns,
    with_user,
)
from wemart_assets.marts.attribution.total_price_active_user_by_date import total_price_active_user_by_date
from wemart_assets.setting_values.app_events import PURCHASE, AppEvents
from wemart_assets.sources.contracts.igaworks import attribution, event


def _days_with_other_amount(
    staged: ir.Table,
    all_purchases: ir.Table,
    events: ir.Table,
    attributions: ir.Table,
    unknown_time: ir.Table,
    app_events: AppEvents,
) -> ir.Table:
    """A purchase counts once for each of its user's campaigns, and once if there is none."""
    purchases = with_user(events).filter(is_step(events, PURCHASE, app_events))
    paid = purchases.group_by("part_date", buyer="identity_adid").aggregate(paid=total_price(purchases))
    touches = first_touches(attributions, unknown_time, "campaign")
    held = paid.inner_join(touches, [paid.buyer == touches.identity_adid, touches.since <= paid.part_date])
    held = held.group_by("part_date", "buyer", "paid").aggregate(campaigns=ibis._.count())
    again = held.group_by("part_date").aggregate(again=(held.paid * (held.campaigns - 1)).sum())
    expected = all_purchases.left_join(again, "part_date")
    expected = expected.select(
        all_purchases.part_date, expected=all_purchases.total_price + expected.again.fill_null(0)
    )
    actual = staged.group_by("part_date").aggregate(actual=staged.total_price.sum())
    days = expected.outer_join(actual, "part_date")
    days = days.select("expected", "actual", part_date=ibis.coalesce(days.part_date, days.part_date_right))
    return days.filter((days.expected != days.actual).fill_null(True))


def _buyers_not_active(staged: ir.Table, active: ir.Table) -> ir.Table:
    rows = staged.left_join(active, ["part_date", "campaign"])
    rows = rows.select(staged.part_date, staged.campaign, staged.purchase_users, active=rows.active_users.fill_null(0))
    return rows.filter(rows.purchase_users > rows.active)


TABLE = Table(
    database="igaworks",
    name="total_price_active_user_by_campaign",
    description=(
        "One row per campaign and business day with a purchase: its users who bought, and the amount they paid."
    ),
    grain=("key_date", "campaign"),
    columns=report_columns(CAMPAIGN, PURCHASE_USERS, TOTAL_PRICE),
    table_checks=(
        TableCheck("no_more_than_its_users", "no campaign has more buyers than active users", _buyers_not_active),
        TableCheck(
            "amounts_add_up",
            "the amounts add up to all purchases, counted once per campaign of their user",
            _days_with_other_amount,
        ),
    ),
)


@mart(
    TABLE,
    events=same_period(event),
    attributions=up_to(attribution),
    unknown_time=same_period(ATTRIBUTION_UNKNOWN_TIME),
    active=same_period(active_user_by_campaign),
    all_purchases=same_period(total_price_active_user_by_date),
)
def total_price_active_user_by_campaign(
    events: ir.Table, attributions: ir.Table, unknown_time: ir.Table, app_events: AppEvents, day_columns: Sequence[str]
) -> ir.Table:
    """Purchases by campaign. A purchase counts once for each campaign of its user."""
    purchases = (
        with_user(events).filter(is_step(events, PURCHASE, app_events)).select("part_date", "identity_adid", "price")
    )
    bought = with_campaigns(purchases, attributions, unknown_time)
    return per(
        bought,
        [*day_columns, "campaign"],
        purchase_users=bought.identity_adid.nunique(),
        total_price=total_price(bought),
    )
