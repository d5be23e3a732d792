"""Contracts of the service's own database: posts, notices, community members and their subscriptions."""

from __future__ import annotations

from wemart_assets.lake.table import FLAG, at_least, column, one_of
from wemart_assets.sources.contract import INT32, Contract, Kind

community_content_post = Contract(
    database="weverse2",
    name="community_content_post",
    description="One row per post, with its community. The public id is `<shard_id>-<post_local_id>`.",
    kind=Kind.SNAPSHOT,
    key=("shard_id", "post_local_id"),
    columns=(
        column("shard_id", "bigint", "shard of the post", nullable=False),
        column("post_local_id", "bigint", "number of the post within its shard", nullable=False),
        column("community_id", "bigint", "community of the post"),
    ),
)

community_content_common_notice = Contract(
    database="weverse2",
    name="community_content_common_notice",
    description="One row per notice, with its parent.",
    kind=Kind.SNAPSHOT,
    key=("id",),
    columns=(
        column("id", "bigint", "notice", nullable=False),
        column("parent_id", "string", "parent of the notice, `community-<n>` for a community"),
    ),
)

community_log_member_status_log = Contract(
    database="weverse2",
    name="community_log_member_status_log",
    description="One row each time a user joins (subscribes to) or leaves (unsubscribes from) a community.",
    kind=Kind.FACTS,
    is_history=True,
    instant="created_at",
    key=("community_id", "user_id", "type", "created_at"),
    columns=(
        column("community_id", "bigint", "community", nullable=False),
        column("user_id", "bigint", "Weverse user", INT32, nullable=False),
        column("type", "string", "what the user did", one_of("subscribe", "unsubscribe"), nullable=False),
        column("created_at", "timestamp", "instant of joining or leaving (UTC)", nullable=False),
    ),
)

community_log_v_member_migration = Contract(
    database="weverse2",
    name="community_log_v_member_migration",
    description="One row per member of a community who was migrated from the former live service.",
    kind=Kind.SNAPSHOT,
    key=("community_id", "user_id"),
    columns=(
        column("community_id", "bigint", "community", nullable=False),
        column("user_id", "bigint", "Weverse user", INT32, nullable=False),
        column("created_at", "timestamp", "instant at which the user started following the channel (UTC)"),
    ),
)

community_member_special_member = Contract(
    database="weverse2",
    name="community_member_special_member",
    description="One row per community member who is not a fan but an artist, of this community or of another one.",
    kind=Kind.SNAPSHOT,
    key=("community_id", "user_id"),
    columns=(
        column("community_id", "bigint", "community", nullable=False),
        column("user_id", "bigint", "Weverse user", INT32, nullable=False),
        column("special_member_type", "string", "kind of member", one_of("ARTIST", "OTHER_COMMUNITY_ARTIST")),
        column("official_name_ko", "string", "official name, Korean"),
        column("official_name_en", "string", "official name, English"),
        column("official_name_jp", "string", "official name, Japanese"),
        column("is_official", "int", "1 for an official account", FLAG),
    ),
)

community_common_report = Contract(
    database="weverse2",
    name="community_common_report",
    description="One row per community member whom others have reported.",
    kind=Kind.SNAPSHOT,
    key=("community_id", "user_id"),
    columns=(
        column("community_id", "bigint", "community", nullable=False),
        column("user_id", "bigint", "Weverse user", INT32, nullable=False),
        column("report_count", "bigint", "number of reports against the member", at_least(0)),
    ),
)

notification_push_config = Contract(
    database="weverse2",
    name="notification_push_config",
    description="One row per push notification setting of a community member.",
    kind=Kind.SNAPSHOT,
    key=("community_id", "user_id", "config_key"),
    columns=(
        column("community_id", "bigint", "community", nullable=False),
        column("user_id", "bigint", "Weverse user", INT32, nullable=False),
        column("config_key", "string", "the setting, named like its column in wv_comm_user", nullable=False),
        column("value", "string", "`true` if the notification is on"),
    ),
)

community_member_purchase = Contract(
    database="weverse2",
    name="community_member_purchase",
    description="One row per purchase of a subscription to an artist's direct messages.",
    kind=Kind.SNAPSHOT,
    key=("wv_user_id", "dm_id", "start_dt"),
    columns=(
        column("wv_user_id", "bigint", "Weverse user", INT32, nullable=False),
        column("community_id", "bigint", "community", nullable=False),
        column("dm_id", "bigint", "direct message channel", nullable=False),
        column("product_type", "string", "product purchased"),
        column("start_dt", "timestamp", "start of the subscription (UTC)", nullable=False),
        column("end_dt", "timestamp", "end of the subscription (UTC), NULL if open-ended"),
    ),
)

dm_message = Contract(
    database="weverse2",
    name="dm_message",
    description="One row per direct message, from a fan or an artist.",
    kind=Kind.FACTS,
    instant="sent_at",
    key=("message_id",),
    columns=(
        column("message_id", "bigint", "message", nullable=False),
        column("dm_id", "bigint", "direct message channel", nullable=False),
        column("community_id", "bigint", "community", nullable=False),
        column("wv_user_id", "bigint", "Weverse user who sent the message", INT32, nullable=False),
        column("sender_type", "string", "who sent the message", one_of("FAN", "ARTIST"), nullable=False),
        column("sent_at", "timestamp", "instant of sending (UTC)", nullable=False),
    ),
)
