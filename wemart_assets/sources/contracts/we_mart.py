"""Contracts of tables that other teams keep in the mart's database: accounts, artists, profiles, what members do."""

from __future__ import annotations

from wemart_assets.lake.table import FLAG, KEY_DATE, Column, column
from wemart_assets.sources.contract import INT32, MILLISECONDS, Contract, Kind

we_user = Contract(
    database="we_mart",
    name="we_user",
    description="One row per account, with its Weverse user where it has one.",
    kind=Kind.SNAPSHOT,
    key=("we_member_id",),
    unique_where_known=(("wv_user_id",),),
    columns=(
        column("we_member_id", "bigint", "account", INT32, nullable=False),
        column("wv_user_id", "bigint", "Weverse user", INT32),
        column("wv_status", "string", "status of the Weverse user"),
        column("wv_leave_dt", "timestamp", "instant at which the user left Weverse (UTC)"),
        column("wv_first_join_dt", "timestamp", "instant of the first join (UTC)"),
        column("ctry_code", "string", "country of the account"),
        column("vlive_id", "bigint", "account of the former live service"),
    ),
)

we_artist = Contract(
    database="we_mart",
    name="we_artist",
    description="One row per artist, with the community.",
    kind=Kind.SNAPSHOT,
    key=("we_art_id",),
    unique_where_known=(("comm_id",),),
    newest_in_sql=True,
    columns=(
        column("we_art_id", "int", "artist", nullable=False),
        column("we_art_name", "string", "name of the artist"),
        column("comm_id", "bigint", "community of the artist"),
    ),
)

ws_fc_user_history = Contract(
    database="we_mart",
    name="ws_fc_user_history",
    description="One row per membership order of an account for an artist.",
    kind=Kind.SNAPSHOT,
    key=("we_member_id", "we_art_id", "fc_id", "create_dt"),
    columns=(
        column("we_member_id", "bigint", "account", INT32, nullable=False),
        column("we_art_id", "int", "artist", nullable=False),
        column("comm_id", "bigint", "community"),
        column("fc_id", "bigint", "membership product", nullable=False),
        column("create_dt", "timestamp", "instant of the order (UTC)", nullable=False),
        column("start_dt", "timestamp", "instant from which it runs (UTC)", nullable=False),
        column("end_dt", "timestamp", "instant at which it ends (UTC), NULL while open"),
        column("ord_status", "string", "status of the order"),
        column("is_cx_by_restore", "int", "1 where a restore cancelled it", FLAG),
    ),
)

ods_wv_member_profile = Contract(
    database="we_mart",
    name="ods_wv_member_profile",
    description="One row per state of a member's profile in a community: what it became at `updated_at`.",
    kind=Kind.FACTS,
    is_history=True,
    instant="updated_at",
    key=("community_id", "user_id", "updated_at"),
    columns=(
        column("community_id", "bigint", "community", nullable=False),
        column("user_id", "bigint", "Weverse user", INT32, nullable=False),
        column("first_join_at", "bigint", "first join, milliseconds since the epoch", MILLISECONDS),
        column("last_join_at", "bigint", "last join, milliseconds since the epoch", MILLISECONDS, nullable=False),
        column("updated_at", "bigint", "when, milliseconds since the epoch", MILLISECONDS, nullable=False),
        column("hidden", "string", "`true` for a private profile"),
        column("profile_name", "string", "name that the member shows"),
        column("profile_image_url", "string", "picture of the member"),
        column("profile_cover_image_url", "string", "picture behind the profile"),
        column("cumulative_report_count", "bigint", "times that the member was reported, as the profile says"),
    ),
)

wv_user_ctry_history = Contract(
    database="we_mart",
    name="wv_user_ctry_history",
    description="One row per period in which a user came from a country.",
    kind=Kind.SNAPSHOT,
    key=("wv_user_id", "seq"),
    columns=(
        column("wv_user_id", "bigint", "Weverse user", INT32, nullable=False),
        column("ip_ctry", "string", "country that the user's addresses are of"),
        column("start_date", "date", "first business day of the period"),
        column("end_date", "date", "last business day of the period, NULL while it lasts"),
        column("seq", "int", "1 is the newest", nullable=False),
    ),
)

wv1_join_info = Contract(
    database="we_mart",
    name="wv1_join_info",
    description="One row per member of a community of the product's first version, with when the member joined.",
    kind=Kind.SNAPSHOT,
    key=("comm_id", "wv_user_id"),
    columns=(
        column("comm_id", "bigint", "community", nullable=False),
        column("wv_user_id", "bigint", "Weverse user", INT32, nullable=False),
        column("comm_user_first_dt", "timestamp", "first join of the community (UTC)"),
        column("tot_comm_user_first_dt", "timestamp", "first join of any community (UTC)"),
        column("is_first_user_comm", "int", "1 where it is the community that was joined first", FLAG),
    ),
)


def _acts(name: str, description: str, *what: Column) -> Contract:
    """Facts of a day: what members did with an artist's posts or media."""
    return Contract(
        database="we_mart",
        name=name,
        description=description,
        kind=Kind.FACTS,
        instant="key_date",
        columns=(
            KEY_DATE,
            column("we_member_id", "bigint", "account", INT32),
            column("we_art_id", "int", "artist"),
            column("comm_id", "bigint", "community"),
            *what,
            column("ip_ctry", "string", "country that the account's address was of"),
        ),
    )


REACTIONS = (
    column("is_like", "int", "1 where it was liked", FLAG),
    column("is_cmnt", "int", "1 where it was commented", FLAG),
)
wv_post_view = _acts(
    "wv_post_view",
    "One row per account, post and day, with how often it was viewed. Equal rows are all kept.",
    column("post_id", "string", "post, <shard>-<number>"),
    column("view_cnt", "bigint", "views of the day"),
)
wv_post_reaction = _acts(
    "wv_post_reaction",
    "One row per account's reaction to a post. Equal rows are all kept.",
    column("post_id", "string", "post, <shard>-<number>"),
    *REACTIONS,
)
wv_media_reaction = _acts(
    "wv_media_reaction",
    "One row per account's reaction to a medium. Equal rows are all kept.",
    column("media_id", "int", "medium"),
    *REACTIONS,
)
