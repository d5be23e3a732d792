"""`we_mart.stats_wv_d_comm_join`: joins, leaves and members by community, country and day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.chart import DAYS_SHOWN, Line, Scale, line_chart
from wemart_assets.lake.days import days_between
from wemart_assets.lake.functions import day_after
from wemart_assets.lake.inputs import previous_period, same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import (
    KEY_DATE,
    PART_DATE,
    RUN_TIMESTAMP,
    Chart,
    Severity,
    Table,
    TableCheck,
    at_least,
    column,
)
from wemart_assets.marts.community.wv_comm_user import NORMAL, wv_comm_user

PAIR = ("part_date", "comm_id", "wv_user_id")


def _had_not_left(before: ir.Table) -> ir.Table:
    """Members whose status was NORMAL in the previous day's snapshot, dated one day later."""
    normal = before.filter(before.comm_user_status == NORMAL)
    return normal.select("comm_id", "wv_user_id", part_date=day_after(normal.part_date))


def _communities_off_count(staged: ir.Table, now: ir.Table, before: ir.Table) -> ir.Table:
    key = ["part_date", "comm_id"]
    actual = staged.group_by(*key).aggregate(joins=staged.joins.sum(), members=staged.members.sum())
    expected = now.group_by(*key).aggregate(expected_members=now.count())
    members_of_both_days = now.semi_join(_had_not_left(before), PAIR)
    stayed = members_of_both_days.group_by(*key).aggregate(stayed=members_of_both_days.count())
    expected = expected.left_join(stayed, key).drop("part_date_right", "comm_id_right")
    communities = actual.outer_join(expected, key)
    communities = communities.select(
        part_date=ibis.coalesce(communities.part_date, communities.part_date_right),
        comm_id=ibis.coalesce(communities.comm_id, communities.comm_id_right),
        **{name: communities[name].fill_null(0) for name in ("members", "joins", "expected_members", "stayed")},
    )
    return communities.filter(
        (communities.members != communities.expected_members)
        | (communities.members != communities.stayed + communities.joins)
    )


def _vanished_members(now: ir.Table, before: ir.Table) -> ir.Table:
    gone = _had_not_left(before).anti_join(now, PAIR)
    return gone.group_by("part_date", "comm_id").aggregate(gone=ibis._.count())


def _by_day(staged: ir.Table, published: ir.Table, first_day: str) -> ir.Table:
    """Joins and leaves by day. On the first day every member counts as a join, which would dwarf all other days."""
    columns = ["part_date", "joins", "leaves"]
    rows = ibis.union(staged.select(*columns), published.select(*columns))
    days = rows.filter(rows.part_date > first_day).group_by("part_date")
    return days.aggregate(joins=rows.joins.sum(), leaves=rows.leaves.sum())


def _joins_and_leaves(points: Sequence[Mapping[str, Any]]) -> str:
    by_day = {point["part_date"]: point for point in points}
    days = days_between(min(by_day), max(by_day))[-DAYS_SHOWN:] if by_day else []
    lines = [
        Line(name, [by_day.get(day, {}).get(name) for day in days], n) for n, name in enumerate(("joins", "leaves"))
    ]
    return line_chart("Joins and leaves by day, all communities", days, lines, Scale.COUNTS)


TABLE = Table(
    database="we_mart",
    name="stats_wv_d_comm_join",
    description="One row per business day, community and country: joins, leaves and members.",
    grain=("key_date", "comm_id", "ip_ctry"),
    columns=(
        KEY_DATE,
        column("comm_id", "bigint", "community", nullable=False),
        column("ip_ctry", "string", "country of the members that day"),
        column("joins", "bigint", "members who were absent the day before, or left on it", at_least(0), nullable=False),
        column(
            "leaves",
            "bigint",
            "members who left the community or Weverse on the day",
            at_least(0),
            nullable=False,
        ),
        column("members", "bigint", "members of the day, including those who leave on it", at_least(1), nullable=False),
        PART_DATE,
        RUN_TIMESTAMP,
    ),
    table_checks=(
        TableCheck(
            "members_add_up",
            "a community's members are those of the day before who had not left, plus the joins",
            _communities_off_count,
        ),
        # An account deletion may arrive late. The members of the day are still right, but they are no longer those of
        # the day before minus its leaves.
        TableCheck(
            "left_unseen",
            "every member of the day before who did not leave is still a member",
            _vanished_members,
            Severity.WARN,
        ),
    ),
    charts=(Chart("joins_and_leaves", _by_day, _joins_and_leaves),),
)


@mart(TABLE, now=same_period(wv_comm_user), before=previous_period(wv_comm_user))
def stats_wv_d_comm_join(now: ir.Table, before: ir.Table) -> ir.Table:
    """Joins and leaves by country, as of the day's snapshot. On the first day every member counts as a join."""
    stayed = _had_not_left(before).mutate(was_there=ibis.literal(True))
    stayed = stayed.rename({f"before_{name}": name for name in PAIR})
    at = [now[name] == stayed[f"before_{name}"] for name in PAIR]
    pairs = now.left_join(stayed, at)
    return pairs.group_by("key_date", "part_date", "comm_id", "ip_ctry").aggregate(
        joins=pairs.count(where=pairs.was_there.isnull()),
        leaves=pairs.count(where=pairs.comm_user_status != NORMAL),
        members=pairs.count(),
    )
