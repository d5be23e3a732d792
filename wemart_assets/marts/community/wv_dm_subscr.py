"""`we_mart.wv_dm_subscr`: who subscribes to which artist's direct messages."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.functions import business_day
from wemart_assets.lake.inputs import same_day
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import FLAG, KEY_DATE, PART_DATE, RUN_TIMESTAMP, RowCheck, Table, column
from wemart_assets.lake.volume import volume_check
from wemart_assets.marts.community.wv_comm_user import wv_comm_user
from wemart_assets.marts.memberships import membership_holders
from wemart_assets.sources.contracts.we_mart import we_artist, we_user, ws_fc_user_history
from wemart_assets.sources.contracts.weverse2 import community_member_purchase

TABLE = Table(
    database="we_mart",
    name="wv_dm_subscr",
    description="One row per user, community and direct messages subscribed to on the business day.",
    grain=("wv_user_id", "comm_id", "dm_id"),
    columns=(
        KEY_DATE,
        column("wv_user_id", "bigint", "Weverse user", nullable=False),
        column("we_member_id", "bigint", "account of the user"),
        column("comm_id", "bigint", "community", nullable=False),
        column("we_art_id", "int", "artist of the community"),
        column("dm_id", "bigint", "direct messages of whom", nullable=False),
        column("product_type", "string", "what was bought"),
        column("is_comm_user", "int", "1 where the user is a member of the community", FLAG, nullable=False),
        column("is_fc", "int", "1 holds a membership of the artist, 0 not, NULL if account or artist is unknown", FLAG),
        column("start_dt", "timestamp", "instant from which it runs (UTC)", nullable=False),
        column("end_dt", "timestamp", "instant at which it ends (UTC), NULL while open"),
        PART_DATE,
        RUN_TIMESTAMP,
    ),
    row_checks=(
        RowCheck(
            "runs_on_the_day",
            "the day lies between the days on which it begins and ends",
            lambda t, timezone: (
                (business_day(t.start_dt, timezone) <= t.part_date)
                & (t.end_dt.isnull() | (business_day(t.end_dt, timezone) >= t.part_date))
            ),
        ),
        RowCheck(
            "membership_of_somebody",
            "is_fc is known where account and artist are, and only there",
            lambda t: t.is_fc.notnull() == (t.we_member_id.notnull() & t.we_art_id.notnull()),
        ),
    ),
    table_checks=(volume_check(),),
)


@mart(
    TABLE,
    purchases=same_day(community_member_purchase),
    members=same_day(wv_comm_user),
    users=same_day(we_user),
    artists=same_day(we_artist),
    memberships=same_day(ws_fc_user_history),
)
def wv_dm_subscr(
    purchases: ir.Table,
    members: ir.Table,
    users: ir.Table,
    artists: ir.Table,
    memberships: ir.Table,
    timezone: str,
) -> ir.Table:
    """Subscriptions that run on the day; of several for the same messages, the one that began last."""
    begun = business_day(purchases.start_dt, timezone) <= purchases.part_date
    running = purchases.end_dt.isnull() | (business_day(purchases.end_dt, timezone) >= purchases.part_date)
    rows = purchases.filter(begun, running)
    same = ["part_date", "wv_user_id", "community_id", "dm_id"]
    last = ibis.window(group_by=same, order_by=ibis.desc("start_dt"))
    rows = rows.mutate(place=ibis.row_number().over(last), comm_id=rows.community_id)
    rows = rows.filter(rows.place == 0).drop("place", "community_id", "run_timestamp")

    accounts = users.filter(users.wv_user_id.notnull()).select("we_member_id", day="part_date", of_user="wv_user_id")
    rows = rows.left_join(accounts, [rows.part_date == accounts.day, rows.wv_user_id == accounts.of_user])
    rows = rows.drop("day", "of_user")
    artists = artists.filter(artists.comm_id.notnull()).select("we_art_id", day="part_date", of_comm="comm_id")
    rows = rows.left_join(artists, [rows.part_date == artists.day, rows.comm_id == artists.of_comm])
    rows = rows.drop("day", "of_comm")
    members = members.select(
        day="part_date", of_comm="comm_id", of_user="wv_user_id", is_comm_user=ibis.literal(1, "int32")
    )
    at = [rows.part_date == members.day, rows.comm_id == members.of_comm, rows.wv_user_id == members.of_user]
    rows = rows.left_join(members, at).drop("day", "of_comm", "of_user")
    holders = membership_holders(memberships, timezone).rename(
        day="part_date", of_artist="we_art_id", of_member="we_member_id"
    )
    at = [
        rows.part_date == holders.day,
        rows.we_art_id == holders.of_artist,
        rows.we_member_id == holders.of_member,
    ]
    rows = rows.left_join(holders, at).drop("day", "of_artist", "of_member")
    both_known = rows.we_art_id.notnull() & rows.we_member_id.notnull()
    return rows.mutate(
        key_date=rows.part_date.cast("date"),
        is_comm_user=rows.is_comm_user.fill_null(0),
        is_fc=both_known.ifelse(rows.is_fc.fill_null(0), ibis.null("int32")),
    )
