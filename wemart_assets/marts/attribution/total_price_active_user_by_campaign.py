"""`igaworks.total_price_active_user_by_campaign`: how many users of each campaign bought, and for how much."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.inputs import same_day, up_to, whole
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import Table, TableCheck
from wemart_assets.marts.attribution.active_user_by_campaign import active_user_by_campaign
from wemart_assets.marts.attribution.app_events import PURCHASE, AppEvents
from wemart_assets.marts.attribution.rules import (
    CAMPAIGN,
    PURCHASE_USERS,
    TOTAL_PRICE,
    UNKNOWN_TIME,
    first_touches,
    of_step,
    of_users,
    per,
    report_columns,
    total_price,
    with_campaigns,
)
from wemart_assets.marts.attribution.total_price_active_user_by_date import total_price_active_user_by_date
from wemart_assets.sources.contracts.igaworks import attribution, event


def _days_with_other_amount(
    staged: ir.Table,
    all_purchases: ir.Table,
    events: ir.Table,
    attributions: ir.Table,
    unknown_time: ir.Table,
    app_events: AppEvents,
) -> ir.Table:
    """What users of several campaigns paid is there once for each: all the rest is there once."""
    purchases = of_users(events).filter(of_step(events, PURCHASE, app_events))
    paid = purchases.group_by("part_date", buyer="identity_adid").aggregate(paid=total_price(purchases))
    touches = first_touches(attributions, unknown_time, "campaign")
    held = paid.inner_join(touches, [paid.buyer == touches.identity_adid, touches.since <= paid.part_date])
    held = held.group_by("part_date", "buyer", "paid").aggregate(campaigns=ibis._.count())
    again = held.group_by("part_date").aggregate(again=(held.paid * (held.campaigns - 1)).sum())
    expected = all_purchases.left_join(again, "part_date")
    expected = expected.select(
        all_purchases.part_date, expected=all_purchases.total_price + expected.again.fill_null(0)
    )
    counted = staged.group_by("part_date").aggregate(counted=staged.total_price.sum())
    both = expected.outer_join(counted, "part_date")
    both = both.select("expected", "counted", part_date=ibis.coalesce(both.part_date, both.part_date_right))
    return both.filter((both.expected != both.counted).fill_null(True))


def _buyers_not_active(staged: ir.Table, active: ir.Table) -> ir.Table:
    both = staged.left_join(active, ["part_date", "campaign"])
    both = both.select(staged.part_date, staged.campaign, staged.purchase_users, active=both.active_users.fill_null(0))
    return both.filter(both.purchase_users > both.active)


TABLE = Table(
    database="igaworks",
    name="total_price_active_user_by_campaign",
    description=(
        "One row per campaign and business day with a purchase: the users of it who bought, and what they paid."
    ),
    grain=("key_date", "campaign"),
    columns=report_columns(CAMPAIGN, PURCHASE_USERS, TOTAL_PRICE),
    table_checks=(
        TableCheck("no_more_than_its_users", "no more users of a campaign bought than were active", _buyers_not_active),
        TableCheck(
            "amounts_add_up",
            "the amounts are all that was paid, and what users of several campaigns paid once for each",
            _days_with_other_amount,
        ),
    ),
)


@mart(
    TABLE,
    events=same_day(event),
    attributions=up_to(attribution),
    unknown_time=whole(UNKNOWN_TIME),
    active=same_day(active_user_by_campaign),
    all_purchases=same_day(total_price_active_user_by_date),
)
def total_price_active_user_by_campaign(
    events: ir.Table, attributions: ir.Table, unknown_time: ir.Table, app_events: AppEvents, day_columns: Sequence[str]
) -> ir.Table:
    """What a user of several campaigns bought counts once for each of them."""
    purchases = (
        of_users(events).filter(of_step(events, PURCHASE, app_events)).select("part_date", "identity_adid", "price")
    )
    bought = with_campaigns(purchases, attributions, unknown_time)
    return per(
        bought,
        [*day_columns, "campaign"],
        purchase_users=bought.identity_adid.nunique(),
        total_price=total_price(bought),
    )
