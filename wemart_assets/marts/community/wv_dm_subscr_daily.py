"""`we_mart.wv_dm_subscr_daily`: subscribers to artists' direct messages by channel and day, and how they changed."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.functions import day_after
from wemart_assets.lake.inputs import previous_period, same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import KEY_DATE, PART_DATE, RUN_TIMESTAMP, RowCheck, Table, TableCheck, at_least, column
from wemart_assets.marts.community.rules import CHANNEL, counted_side_by_side
from wemart_assets.marts.community.wv_dm_subscr import wv_dm_subscr

SUBSCRIPTION = (*CHANNEL, "wv_user_id")


def _a_day_later(before: ir.Table) -> ir.Table:
    """The previous day's subscriptions, dated one day later."""
    return before.mutate(part_date=day_after(before.part_date)).select(*SUBSCRIPTION)


def _recounted(staged: ir.Table, now: ir.Table, before: ir.Table) -> ir.Table:
    """Channels with their subscribers of the day, of the day before and of both, beside the counts of this table."""
    earlier = _a_day_later(before)
    sizes = [
        rows.group_by(*CHANNEL).aggregate(**{name: rows.count()})
        for name, rows in (("now", now), ("earlier", earlier), ("stayed", now.semi_join(earlier, SUBSCRIPTION)))
    ]
    return counted_side_by_side([staged.select(*CHANNEL, *COUNTS), *sizes], CHANNEL)


def _channels_off_count(staged: ir.Table, now: ir.Table, before: ir.Table) -> ir.Table:
    rows = _recounted(staged, now, before)
    return rows.filter(
        (rows.subscribers != rows.now)
        | (rows.subscribers != rows.earlier + rows.new_subscribers - rows.ended_subscribers)
    )


def _channels_off_changes(staged: ir.Table, now: ir.Table, before: ir.Table) -> ir.Table:
    rows = _recounted(staged, now, before)
    return rows.filter(
        (rows.new_subscribers + rows.stayed != rows.now) | (rows.ended_subscribers + rows.stayed != rows.earlier)
    )


COUNTS = ("subscribers", "new_subscribers", "ended_subscribers")
TABLE = Table(
    database="we_mart",
    name="wv_dm_subscr_daily",
    description=(
        "One row per business day and direct message channel with a subscriber on the day or the day before: "
        "subscribers, new ones and ended ones."
    ),
    grain=("key_date", "comm_id", "dm_id"),
    columns=(
        KEY_DATE,
        column("comm_id", "bigint", "community", nullable=False),
        column("dm_id", "bigint", "direct message channel", nullable=False),
        column("subscribers", "bigint", "users with a subscription that runs on the day", at_least(0), nullable=False),
        column("new_subscribers", "bigint", "of them, those without one the day before", at_least(0), nullable=False),
        column(
            "ended_subscribers",
            "bigint",
            "users with a subscription the day before who have none on the day",
            at_least(0),
            nullable=False,
        ),
        PART_DATE,
        RUN_TIMESTAMP,
    ),
    row_checks=(
        RowCheck(
            "somebody_subscribed",
            "somebody subscribed on the day or the day before",
            lambda t: t.subscribers + t.ended_subscribers > 0,
        ),
    ),
    table_checks=(
        TableCheck(
            "subscribers_add_up",
            "a channel's subscribers are those of the day before, plus the new ones, less the ended ones",
            _channels_off_count,
        ),
        TableCheck(
            "the_others_stayed",
            "subscribers who are not new, and those of the day before who have not ended, subscribed on both days",
            _channels_off_changes,
        ),
    ),
)


@mart(TABLE, now=same_period(wv_dm_subscr), before=previous_period(wv_dm_subscr))
def wv_dm_subscr_daily(now: ir.Table, before: ir.Table) -> ir.Table:
    """Subscribers by channel, compared with the day before. On the first day every subscriber is new.

    A renewal without a day in between is neither new nor ended. When the last subscriber of a channel is gone, that day
    has a row with zero subscribers. Later days have none: a channel without a row has no subscribers, and a day depends
    on no more than itself and the day before.
    """
    earlier = _a_day_later(before).rename({f"earlier_{name}": name for name in SUBSCRIPTION})
    pairs = now.outer_join(earlier, [now[name] == earlier[f"earlier_{name}"] for name in SUBSCRIPTION])
    pairs = pairs.select(
        **{name: ibis.coalesce(pairs[name], pairs[f"earlier_{name}"]) for name in CHANNEL},
        is_now=pairs.wv_user_id.notnull(),
        was_earlier=pairs.earlier_wv_user_id.notnull(),
    )
    channels = pairs.group_by(*CHANNEL).aggregate(
        subscribers=pairs.count(where=pairs.is_now),
        new_subscribers=pairs.count(where=~pairs.was_earlier),
        ended_subscribers=pairs.count(where=~pairs.is_now),
    )
    return channels.mutate(key_date=channels.part_date.cast("date"))
