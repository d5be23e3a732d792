"""`we_mart.wv_dm_msg_fan`: what fans write in artists' direct messages, by channel and day."""

from __future__ import annotations

import ibis.expr.types as ir

from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import KEY_DATE, PART_DATE, RUN_TIMESTAMP, RowCheck, Table, TableCheck, at_least, column
from wemart_assets.marts.community.rules import CHANNEL, counted_side_by_side
from wemart_assets.marts.community.wv_dm_subscr import wv_dm_subscr
from wemart_assets.sources.contracts.weverse2 import dm_message


def _channels_off_count(staged: ir.Table, messages: ir.Table, subscriptions: ir.Table) -> ir.Table:
    """Channels whose counts are not those of the messages and subscriptions. A fan counts once per channel."""
    by_fans = messages.filter(messages.sender_type == "FAN").rename(comm_id="community_id")
    by_fan = by_fans.group_by(*CHANNEL, "wv_user_id").aggregate(messages=by_fans.count())
    by_channel = by_fan.group_by(*CHANNEL).aggregate(fans=by_fan.count(), sent=by_fan.messages.sum())
    subscribed = subscriptions.group_by(*CHANNEL).aggregate(subscribed=subscriptions.count())
    channels = counted_side_by_side([staged.select(*CHANNEL, *COUNTS), by_channel, subscribed], CHANNEL)
    return channels.filter(
        (channels.fan_cnt != channels.fans)
        | (channels.msg_cnt != channels.sent)
        | (channels.subscribers != channels.subscribed)
    )


COUNTS = ("fan_cnt", "msg_cnt", "subscribers")
TABLE = Table(
    database="we_mart",
    name="wv_dm_msg_fan",
    description=(
        "One row per business day and direct message channel with a fan's message or a subscriber: fans who wrote, "
        "their messages, and subscribers."
    ),
    grain=("key_date", "comm_id", "dm_id"),
    columns=(
        KEY_DATE,
        column("comm_id", "bigint", "community", nullable=False),
        column("dm_id", "bigint", "direct message channel", nullable=False),
        column("fan_cnt", "bigint", "fans who wrote, with or without a subscription", at_least(0), nullable=False),
        column("msg_cnt", "bigint", "messages of these fans", at_least(0), nullable=False),
        column("subscribers", "bigint", "users with a subscription that runs on the day", at_least(0), nullable=False),
        PART_DATE,
        RUN_TIMESTAMP,
    ),
    row_checks=(
        RowCheck(
            "fans_wrote",
            "there are at least as many messages as fans, and none without a fan",
            lambda t: (t.msg_cnt >= t.fan_cnt) & ((t.fan_cnt > 0) | (t.msg_cnt == 0)),
        ),
        RowCheck(
            "message_or_subscriber",
            "the channel has a message or a subscriber",
            lambda t: t.msg_cnt + t.subscribers > 0,
        ),
    ),
    table_checks=(
        TableCheck(
            "totals_add_up",
            "a channel's fans, messages and subscribers are those of the messages and subscriptions",
            _channels_off_count,
        ),
    ),
)


@mart(TABLE, messages=same_period(dm_message), subscriptions=same_period(wv_dm_subscr))
def wv_dm_msg_fan(messages: ir.Table, subscriptions: ir.Table) -> ir.Table:
    """Fans, messages and subscribers by channel. What artists write is not counted, and makes no row.

    A message counts for the community and channel that it names.
    """
    by_fans = messages.filter(messages.sender_type == "FAN").rename(comm_id="community_id")
    written = by_fans.group_by(*CHANNEL).aggregate(fan_cnt=by_fans.wv_user_id.nunique(), msg_cnt=by_fans.count())
    subscribed = subscriptions.group_by(*CHANNEL).aggregate(subscribers=subscriptions.count())
    channels = counted_side_by_side([written, subscribed], CHANNEL)
    return channels.mutate(key_date=channels.part_date.cast("date"))
