"""`we_mart.we_user_dic_engaged_by_project`: who was ever engaged with which artist, carried from day to day."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.functions import day_after
from wemart_assets.lake.inputs import previous_period, same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import PART_DATE, RUN_TIMESTAMP, RowCheck, Table, TableCheck, at_least, column
from wemart_assets.marts.services.rules import of_accounts, only_orders, only_reactions
from wemart_assets.marts.sessions.rules import ROWS_WITHOUT_ACCOUNT, totals, unequal
from wemart_assets.marts.sessions.wv_sess_daily import wv_sess_daily
from wemart_assets.sources.contracts.we_mart import ws_order, wv_media_reaction, wv_post_reaction, wv_post_view

PAIR = ("we_art_id", "we_member_id")
STATE = ("first_date", "last_date", "engaged_days")


def _acts(sessions: ir.Table, views: ir.Table, reactions: ir.Table, media: ir.Table, orders: ir.Table) -> ir.Table:
    """The rows of all sources that show a member engaged with an artist on a day."""
    sources = (sessions, views.filter(views.view_cnt > 0), only_reactions(reactions), only_reactions(media))
    acts = ibis.union(*(of_accounts(rows).select(*PAIR, "part_date") for rows in (*sources, only_orders(orders))))
    return acts.filter(acts.we_art_id.notnull())


def _lost_pairs(staged: ir.Table, before: ir.Table, days: Sequence[str]) -> ir.Table:
    """Pairs that the day before has and a day of the run lacks."""
    pairs = ibis.union(before.select(*PAIR, "part_date"), staged.select(*PAIR, "part_date"))
    expected = pairs.mutate(part_date=day_after(pairs.part_date))
    return expected.filter(expected.part_date.isin(list(days))).anti_join(staged, [*PAIR, "part_date"])


def _artists_with_other_counts(
    staged: ir.Table,
    before: ir.Table,
    sessions: ir.Table,
    views: ir.Table,
    reactions: ir.Table,
    media: ir.Table,
    orders: ir.Table,
    days: Sequence[str],
) -> ir.Table:
    """Artists whose engaged days are not those of the day before plus the members engaged on the day."""
    by = ["part_date", "we_art_id"]
    state = ibis.union(*(rows.select(*by, "engaged_days") for rows in (before, staged)))
    carried = state.mutate(part_date=day_after(state.part_date)).filter(ibis._.part_date.isin(list(days)))
    carried = carried.group_by(*by).aggregate(members=carried.engaged_days.sum())
    # Written out, because a check must not use what it checks.
    shown = (
        sessions,
        views.filter(views.view_cnt >= 1),
        reactions.filter((reactions.is_like == 1) | (reactions.is_cmnt == 1)),
        media.filter((media.is_like == 1) | (media.is_cmnt == 1)),
        orders.filter(orders.is_ord == 1),
    )
    acts = ibis.union(*(rows.select(*by, member=rows.we_member_id.cast("int64")) for rows in shown))
    acts = acts.filter(acts.member.notnull() & acts.we_art_id.notnull())
    engaged = acts.group_by(*by).aggregate(members=acts.member.nunique())
    both = ibis.union(carried, engaged)
    expected = totals(both, by, "expected", engaged_days=both.members.sum())
    return unequal(totals(staged, by, "actual", engaged_days=staged.engaged_days.sum()), expected, [*by, "measure"])


TABLE = Table(
    database="we_mart",
    name="we_user_dic_engaged_by_project",
    description="One row per artist and member who was ever engaged, as of the business day. Engaged means: visited "
    "the artist's community, viewed, liked or commented on a post, reacted to media, or ordered.",
    grain=PAIR,
    columns=(
        column("we_art_id", "int", "artist", nullable=False),
        column("we_member_id", "int", "account", nullable=False),
        column("first_date", "date", "first business day on which the member was engaged", nullable=False),
        column("last_date", "date", "last such day", nullable=False),
        column("engaged_days", "bigint", "number of such days", at_least(1), nullable=False),
        PART_DATE,
        RUN_TIMESTAMP,
    ),
    row_checks=(
        RowCheck(
            "days_in_order",
            "first_date is not after last_date, nor last_date after the day",
            lambda t: (t.first_date <= t.last_date) & (t.last_date.cast("string") <= t.part_date),
        ),
        RowCheck(
            "days_of_the_span",
            "engaged_days counts the first and the last day, and is at most the number of days from one to the other",
            lambda t: (
                (t.engaged_days <= t.last_date.delta(t.first_date, unit="day") + 1)
                & ((t.engaged_days > 1) == (t.first_date < t.last_date))
            ),
        ),
    ),
    table_checks=(
        TableCheck("nobody_is_lost", "no pair of the day before is missing", _lost_pairs),
        TableCheck(
            "days_add_up",
            "engaged days add up, by artist, to those of the day before plus the members engaged on the day",
            _artists_with_other_counts,
        ),
    ),
    measures=(ROWS_WITHOUT_ACCOUNT,),
)


@mart(
    TABLE,
    before=previous_period(TABLE),
    sessions=same_period(wv_sess_daily),
    views=same_period(wv_post_view),
    reactions=same_period(wv_post_reaction),
    media=same_period(wv_media_reaction),
    orders=same_period(ws_order),
)
def we_user_dic_engaged_by_project(
    before: ir.Table,
    sessions: ir.Table,
    views: ir.Table,
    reactions: ir.Table,
    media: ir.Table,
    orders: ir.Table,
    days: Sequence[str],
) -> ir.Table:
    """The state of the day before plus the day's engaged members, for each day of the run.

    A view counts if there is at least one, a reaction if it is a like or a comment. The artist is the one that the
    source names on the day; a later change of the artist's community does not change it.
    """
    engaged = _acts(sessions, views, reactions, media, orders).distinct()
    changes = engaged.select(
        *PAIR,
        day="part_date",
        first_date=engaged.part_date.cast("date"),
        last_date=engaged.part_date.cast("date"),
        engaged_days=ibis.literal(1, "int64"),
    )
    touched = changes.select(*PAIR).distinct()
    before = of_accounts(before).select(*PAIR, *STATE)
    carried = before.semi_join(touched, PAIR).mutate(day=ibis.literal(""))
    unchanged = before.anti_join(touched, PAIR)
    changed = _changed(ibis.union(carried.select(changes.columns), changes), days)
    every_day = ibis.array([ibis.literal(day) for day in days]).unnest()
    columns = (*PAIR, *STATE, "part_date")
    return ibis.union(unchanged.mutate(part_date=every_day).select(columns), changed.select(columns))


def _changed(rows: ir.Table, days: Sequence[str]) -> ir.Table:
    """The pairs that are engaged during the run, as of each of its days."""
    so_far = ibis.window(group_by=PAIR, order_by="day", rows=(None, 0))
    rows = rows.mutate(
        first_date=rows.first_date.min().over(so_far),
        last_date=rows.last_date.max().over(so_far),
        engaged_days=rows.engaged_days.sum().over(so_far),
        until=rows.day.lead().over(ibis.window(group_by=PAIR, order_by="day")),
    )
    rows = rows.mutate(part_date=ibis.array([ibis.literal(day) for day in days]).unnest())
    return rows.filter(rows.day <= rows.part_date, rows.until.isnull() | (rows.part_date < rows.until))
