"""`we_mart.wv_dm_subscr`: subscriptions to artists' direct messages."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.functions import business_day
from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import FLAG, KEY_DATE, PART_DATE, RUN_TIMESTAMP, RowCheck, Table, column
from wemart_assets.lake.volume import volume_check
from wemart_assets.marts.community.rules import matched
from wemart_assets.marts.community.wv_comm_user import wv_comm_user
from wemart_assets.marts.memberships import membership_holders
from wemart_assets.sources.contracts.we_mart import we_artist, we_user, ws_fc_user_history
from wemart_assets.sources.contracts.weverse2 import community_member_purchase

TABLE = Table(
    database="we_mart",
    name="wv_dm_subscr",
    description="One row per user, community and direct message channel with a subscription on the business day.",
    grain=("wv_user_id", "comm_id", "dm_id"),
    columns=(
        KEY_DATE,
        column("wv_user_id", "bigint", "Weverse user", nullable=False),
        column("we_member_id", "bigint", "account of the user"),
        column("comm_id", "bigint", "community", nullable=False),
        column("we_art_id", "int", "artist of the community"),
        column("dm_id", "bigint", "direct message channel", nullable=False),
        column("product_type", "string", "product purchased"),
        column("is_comm_user", "int", "1 if the user is a member of the community, else 0", FLAG, nullable=False),
        column(
            "is_fc",
            "int",
            "1 if the user holds the artist's membership, else 0; NULL if account or artist is unknown",
            FLAG,
        ),
        column("start_dt", "timestamp", "start of the subscription (UTC)", nullable=False),
        column("end_dt", "timestamp", "end of the subscription (UTC), NULL if open-ended"),
        PART_DATE,
        RUN_TIMESTAMP,
    ),
    row_checks=(
        RowCheck(
            "runs_on_the_day",
            "the day lies between the subscription's first and last day",
            lambda t, timezone: (
                (business_day(t.start_dt, timezone) <= t.part_date)
                & (t.end_dt.isnull() | (business_day(t.end_dt, timezone) >= t.part_date))
            ),
        ),
        RowCheck(
            "membership_of_somebody",
            "is_fc is not null if and only if both account and artist are known",
            lambda t: t.is_fc.notnull() == (t.we_member_id.notnull() & t.we_art_id.notnull()),
        ),
    ),
    table_checks=(volume_check(),),
)


@mart(
    TABLE,
    purchases=same_period(community_member_purchase),
    members=same_period(wv_comm_user),
    users=same_period(we_user),
    artists=same_period(we_artist),
    memberships=same_period(ws_fc_user_history),
)
def wv_dm_subscr(
    purchases: ir.Table,
    members: ir.Table,
    users: ir.Table,
    artists: ir.Table,
    memberships: ir.Table,
    timezone: str,
) -> ir.Table:
    """Subscriptions running on the day. Of several to the same channel, the one that started last counts."""
    has_started = business_day(purchases.start_dt, timezone) <= purchases.part_date
    is_running = purchases.end_dt.isnull() | (business_day(purchases.end_dt, timezone) >= purchases.part_date)
    subscriptions = purchases.filter(has_started, is_running)
    key = ["part_date", "wv_user_id", "community_id", "dm_id"]
    latest_first = ibis.window(group_by=key, order_by=ibis.desc("start_dt"))
    subscriptions = subscriptions.mutate(place=ibis.row_number().over(latest_first), comm_id=subscriptions.community_id)
    subscriptions = subscriptions.filter(subscriptions.place == 0).drop("place", "community_id", "run_timestamp")

    accounts = users.filter(users.wv_user_id.notnull())
    subscriptions = matched(
        subscriptions, accounts.select("part_date", "wv_user_id", "we_member_id"), ["part_date", "wv_user_id"]
    )
    known_artists = artists.filter(artists.comm_id.notnull())
    subscriptions = matched(
        subscriptions, known_artists.select("part_date", "comm_id", "we_art_id"), ["part_date", "comm_id"]
    )
    pair = ["part_date", "comm_id", "wv_user_id"]
    subscriptions = matched(subscriptions, members.select(*pair, is_comm_user=ibis.literal(1, "int32")), pair)
    subscriptions = matched(
        subscriptions, membership_holders(memberships, timezone), ["part_date", "we_art_id", "we_member_id"]
    )
    is_decidable = subscriptions.we_art_id.notnull() & subscriptions.we_member_id.notnull()
    return subscriptions.mutate(
        key_date=subscriptions.part_date.cast("date"),
        is_comm_user=subscriptions.is_comm_user.fill_null(0),
        is_fc=is_decidable.ifelse(subscriptions.is_fc.fill_null(0), ibis.null("int32")),
    )
