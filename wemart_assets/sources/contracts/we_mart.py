"""Contracts of other teams' tables in the mart's database: accounts, artists, and what members do on each service."""

from __future__ import annotations

from wemart_assets.lake.table import FLAG, KEY_DATE, Column, column
from wemart_assets.sources.contract import INT32, MILLISECONDS, Contract, Kind

we_user = Contract(
    database="we_mart",
    name="we_user",
    description="One row per account, with its Weverse user if it has one.",
    kind=Kind.SNAPSHOT,
    key=("we_member_id",),
    unique_where_known=(("wv_user_id",),),
    columns=(
        column("we_member_id", "bigint", "account", INT32, nullable=False),
        column("wv_user_id", "bigint", "Weverse user", INT32),
        column("wv_status", "string", "status of the Weverse user"),
        column("wv_leave_dt", "timestamp", "instant at which the user left Weverse (UTC)"),
        column("wv_first_join_dt", "timestamp", "instant at which the user first joined (UTC)"),
        column("ctry_code", "string", "country of the account"),
        column("vlive_id", "bigint", "account on the former live service"),
    ),
)

we_artist = Contract(
    database="we_mart",
    name="we_artist",
    description="One row per artist, with the artist's community.",
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
    description="One row per order of an artist's membership by an account.",
    kind=Kind.SNAPSHOT,
    key=("we_member_id", "we_art_id", "fc_id", "create_dt"),
    columns=(
        column("we_member_id", "bigint", "account", INT32, nullable=False),
        column("we_art_id", "int", "artist", nullable=False),
        column("comm_id", "bigint", "community"),
        column("fc_id", "bigint", "membership product", nullable=False),
        column("create_dt", "timestamp", "instant of the order (UTC)", nullable=False),
        column("start_dt", "timestamp", "start of the membership (UTC)", nullable=False),
        column("end_dt", "timestamp", "end of the membership (UTC), NULL if open-ended"),
        column("ord_status", "string", "status of the order"),
        column("is_cx_by_restore", "int", "1 if a restore cancelled the order", FLAG),
    ),
)

ods_wv_member_profile = Contract(
    database="we_mart",
    name="ods_wv_member_profile",
    description="One row per version of a member's profile in a community, valid from `updated_at`.",
    kind=Kind.FACTS,
    is_history=True,
    instant="updated_at",
    key=("community_id", "user_id", "updated_at"),
    columns=(
        column("community_id", "bigint", "community", nullable=False),
        column("user_id", "bigint", "Weverse user", INT32, nullable=False),
        column("first_join_at", "bigint", "first join, milliseconds since the epoch", MILLISECONDS),
        column("last_join_at", "bigint", "last join, milliseconds since the epoch", MILLISECONDS, nullable=False),
        column(
            "updated_at",
            "bigint",
            "instant of this version, milliseconds since the epoch",
            MILLISECONDS,
            nullable=False,
        ),
        column("hidden", "string", "`true` for a private profile"),
        column("profile_name", "string", "display name of the member"),
        column("profile_image_url", "string", "profile picture"),
        column("profile_cover_image_url", "string", "cover picture"),
        column("cumulative_report_count", "bigint", "number of reports against the member, according to the profile"),
    ),
)

wv_user_ctry_history = Contract(
    database="we_mart",
    name="wv_user_ctry_history",
    description="One row per user and period in which the user's country stayed the same.",
    kind=Kind.SNAPSHOT,
    key=("wv_user_id", "seq"),
    columns=(
        column("wv_user_id", "bigint", "Weverse user", INT32, nullable=False),
        column("ip_ctry", "string", "country of the user's IP addresses"),
        column("start_date", "date", "first business day of the period"),
        column("end_date", "date", "last business day of the period, NULL while it is current"),
        column("seq", "int", "number of the period, 1 for the newest", nullable=False),
    ),
)

wv1_join_info = Contract(
    database="we_mart",
    name="wv1_join_info",
    description="One row per member of a community in the product's first version, with the dates of joining.",
    kind=Kind.SNAPSHOT,
    key=("comm_id", "wv_user_id"),
    columns=(
        column("comm_id", "bigint", "community", nullable=False),
        column("wv_user_id", "bigint", "Weverse user", INT32, nullable=False),
        column("comm_user_first_dt", "timestamp", "instant at which the user first joined the community (UTC)"),
        column("tot_comm_user_first_dt", "timestamp", "instant at which the user first joined any community (UTC)"),
        column("is_first_user_comm", "int", "1 if this community was the first that the user joined", FLAG),
    ),
)


def _activity(name: str, description: str, *columns: Column) -> Contract:
    """Contract of daily facts: what members did with an artist's posts or media."""
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
            *columns,
            column("ip_ctry", "string", "country of the account's IP address"),
        ),
    )


REACTIONS = (
    column("is_like", "int", "1 for a like", FLAG),
    column("is_cmnt", "int", "1 for a comment", FLAG),
)
wv_post_view = _activity(
    "wv_post_view",
    "One row per account, post and day, with the number of views. Duplicate rows are kept.",
    column("post_id", "string", "post, <shard>-<number>"),
    column("view_cnt", "bigint", "views that day"),
)
wv_post_reaction = _activity(
    "wv_post_reaction",
    "One row per reaction of an account to a post. Duplicate rows are kept.",
    column("post_id", "string", "post, <shard>-<number>"),
    *REACTIONS,
)
wv_media_reaction = _activity(
    "wv_media_reaction",
    "One row per reaction of an account to a media item. Duplicate rows are kept.",
    column("media_id", "int", "media item"),
    *REACTIONS,
)

wv_live = Contract(
    database="we_mart",
    name="wv_live",
    description="One row per live video, also after the broadcast.",
    kind=Kind.SNAPSHOT,
    key=("video_id",),
    columns=(
        column("video_id", "string", "video", nullable=False),
        column("media_id", "int", "media item that shows the video, NULL if there is none"),
        column("we_art_id", "int", "artist"),
        column("media_type", "string", "kind of media item"),
        column("live_type", "string", "kind of broadcast"),
        column("start_dt", "timestamp", "start of the broadcast (UTC)"),
        column("end_dt", "timestamp", "end of the broadcast (UTC), NULL if it is not over"),
    ),
)

wv_video_play = Contract(
    database="we_mart",
    name="wv_video_play",
    description="One row per playback of a video. Duplicate rows are kept.",
    kind=Kind.FACTS,
    instant="play_dt",
    columns=(
        column("video_id", "string", "video"),
        column("we_member_id", "bigint", "account, NULL if nobody was logged in", INT32),
        column("platform", "string", "APP, PC, MWEB or TV"),
        column("play_dt", "timestamp", "instant at which the playback began (UTC)", nullable=False),
        column("play_sec", "bigint", "seconds played"),
    ),
)


def _visits(name: str, service: str) -> Contract:
    """Contract of daily facts: visits to a service other than Weverse."""
    return Contract(
        database="we_mart",
        name=name,
        description=f"One row per visit to {service}. Duplicate rows are kept.",
        kind=Kind.FACTS,
        instant="key_date",
        columns=(KEY_DATE, *VISITOR),
    )


VISITOR = (
    column("we_member_id", "bigint", "account, NULL if nobody was logged in", INT32),
    column("we_art_id", "int", "artist that the visit or order concerns, NULL if none"),
    column("ctry", "string", "country of the visitor"),
    column("platform", "string", "APP, PC or MWEB"),
)
ws_user_daily = _visits("ws_user_daily", "the shop")
ph_sess_daily = _visits("ph_sess_daily", "Phoning")
wa_sess_daily = _visits("wa_sess_daily", "Weverse Albums")

ws_order = Contract(
    database="we_mart",
    name="ws_order",
    description=(
        "One row per order in the shop, and per other business event with an order number. "
        "All amounts are in one currency."
    ),
    kind=Kind.FACTS,
    instant="key_date",
    key=("order_id",),
    columns=(
        column("order_id", "bigint", "order", nullable=False),
        KEY_DATE,
        *VISITOR,
        column("is_ord", "int", "1 for an order; other rows are not counted", FLAG),
        column("amount", "decimal(18,4)", "amount of the order"),
    ),
)
