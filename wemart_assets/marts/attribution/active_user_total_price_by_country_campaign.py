"""`igaworks.active_user_total_price_by_country_campaign`: users, buyers and amounts by country and campaign."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.inputs import same_period, up_to
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import RowCheck, Table, TableCheck, column
from wemart_assets.marts.attribution.active_user_by_campaign import active_user_by_campaign
from wemart_assets.marts.attribution.rules import (
    ACTIVE_USERS,
    ATTRIBUTION_UNKNOWN_TIME,
    CAMPAIGN,
    PURCHASE_USERS,
    TOTAL_PRICE,
    is_step,
    per,
    report_columns,
    total_price,
    user_count,
    with_campaigns,
    with_user,
)
from wemart_assets.marts.attribution.total_price_active_user_by_campaign import total_price_active_user_by_campaign
from wemart_assets.setting_values.app_events import PURCHASE, AppEvents
from wemart_assets.sources.contracts.igaworks import attribution, event

KEYS = ["part_date", "campaign"]


def _campaigns_with_other_users(staged: ir.Table, active: ir.Table) -> ir.Table:
    """A user of several countries counts in each: the campaign's users lie between the countries' maximum and sum."""
    countries = staged.group_by(KEYS).aggregate(most=staged.active_users.max(), sum=staged.active_users.sum())
    campaigns = active.outer_join(countries, KEYS)
    campaigns = campaigns.select(
        "active_users", "most", "sum", part_date=ibis.coalesce(campaigns.part_date, campaigns.part_date_right)
    )
    return campaigns.filter(~campaigns.active_users.between(campaigns.most, campaigns["sum"]).fill_null(False))


def _campaigns_with_other_amount(staged: ir.Table, paid: ir.Table) -> ir.Table:
    countries = staged.group_by(KEYS).aggregate(of_countries=staged.total_price.sum())
    campaigns = countries.outer_join(paid, KEYS)
    campaigns = campaigns.select(
        of_countries=campaigns.of_countries.fill_null(0),
        of_campaign=campaigns.total_price.fill_null(0),
        part_date=ibis.coalesce(campaigns.part_date, campaigns.part_date_right),
    )
    return campaigns.filter(campaigns.of_countries != campaigns.of_campaign)


TABLE = Table(
    database="igaworks",
    name="active_user_total_price_by_country_campaign",
    description=(
        "One row per country, campaign and business day. A user counts in every country that their events came from."
    ),
    grain=("key_date", "country", "campaign"),
    columns=report_columns(
        column("country", "string", "country of the event, NULL if unknown"),
        CAMPAIGN,
        ACTIVE_USERS,
        PURCHASE_USERS,
        TOTAL_PRICE,
    ),
    row_checks=(
        RowCheck(
            "buyers_are_active",
            "there are at most as many buyers as active users",
            lambda t: t.purchase_users <= t.active_users,
        ),
    ),
    table_checks=(
        TableCheck(
            "users_of_campaigns",
            "the campaign's users lie between the countries' maximum and sum",
            _campaigns_with_other_users,
        ),
        TableCheck("amounts_add_up", "the countries' amounts add up to the campaign's", _campaigns_with_other_amount),
    ),
)


@mart(
    TABLE,
    events=same_period(event),
    attributions=up_to(attribution),
    unknown_time=same_period(ATTRIBUTION_UNKNOWN_TIME),
    active=same_period(active_user_by_campaign),
    paid=same_period(total_price_active_user_by_campaign),
)
def active_user_total_price_by_country_campaign(
    events: ir.Table, attributions: ir.Table, unknown_time: ir.Table, app_events: AppEvents, day_columns: Sequence[str]
) -> ir.Table:
    """Users, buyers and amounts, once for each campaign that had touched the user by the end of the day."""
    users = with_user(events)
    is_purchase = is_step(users, PURCHASE, app_events)
    # Aggregated per user, day and country before the join repeats rows per campaign.
    user_days = users.group_by("part_date", "identity_adid", "country").aggregate(
        price=users.price.sum(where=is_purchase), purchases=is_purchase.cast("int64").sum()
    )
    campaign_users = with_campaigns(user_days, attributions, unknown_time)
    return per(
        campaign_users,
        [*day_columns, "country", "campaign"],
        active_users=user_count(campaign_users, day_columns),
        purchase_users=user_count(campaign_users, day_columns, where=campaign_users.purchases > 0),
        total_price=total_price(campaign_users),
    )
