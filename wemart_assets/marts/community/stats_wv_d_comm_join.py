"""`we_mart.stats_wv_d_comm_join`: how many joined and left a community on a day, by country."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.functions import day_after
from wemart_assets.lake.inputs import day_before, same_day
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import KEY_DATE, PART_DATE, RUN_TIMESTAMP, Severity, Table, TableCheck, at_least, column
from wemart_assets.marts.community.wv_comm_user import NORMAL, wv_comm_user

PAIR = ("part_date", "comm_id", "wv_user_id")


def _had_not_left(before: ir.Table) -> ir.Table:
    """Whom the snapshot of the day before shows as normal, under the day that follows it."""
    normal = before.filter(before.comm_user_status == NORMAL)
    return normal.select("comm_id", "wv_user_id", part_date=day_after(normal.part_date))


def _members_that_do_not_add_up(staged: ir.Table, now: ir.Table, before: ir.Table) -> ir.Table:
    by_day = ["part_date", "comm_id"]
    counted = staged.group_by(*by_day).aggregate(joins=staged.joins.sum(), members=staged.members.sum())
    there = now.group_by(*by_day).aggregate(there=now.count())
    in_both = now.semi_join(_had_not_left(before), PAIR)
    stayed = in_both.group_by(*by_day).aggregate(stayed=in_both.count())
    both = counted.outer_join(there.left_join(stayed, by_day).drop("part_date_right", "comm_id_right"), by_day)
    both = both.select(
        part_date=ibis.coalesce(both.part_date, both.part_date_right),
        comm_id=ibis.coalesce(both.comm_id, both.comm_id_right),
        **{name: both[name].fill_null(0) for name in ("members", "joins", "there", "stayed")},
    )
    return both.filter((both.members != both.there) | (both.members != both.stayed + both.joins))


def _left_unseen(now: ir.Table, before: ir.Table) -> ir.Table:
    gone = _had_not_left(before).anti_join(now, PAIR)
    return gone.group_by("part_date", "comm_id").aggregate(gone=ibis._.count())


TABLE = Table(
    database="we_mart",
    name="stats_wv_d_comm_join",
    description="One row per business day, community and country: who joined, who left, who is a member.",
    grain=("key_date", "comm_id", "ip_ctry"),
    columns=(
        KEY_DATE,
        column("comm_id", "bigint", "community", nullable=False),
        column("ip_ctry", "string", "country that the member comes from that day"),
        column(
            "joins", "bigint", "members who were none the day before, or had left on it", at_least(0), nullable=False
        ),
        column(
            "leaves",
            "bigint",
            "members who left on the day, or whose account left Weverse",
            at_least(0),
            nullable=False,
        ),
        column("members", "bigint", "members of the day, those who leave on it included", at_least(1), nullable=False),
        PART_DATE,
        RUN_TIMESTAMP,
    ),
    table_checks=(
        TableCheck(
            "members_add_up",
            "a community's members are who was there the day before and had not left, and who joined",
            _members_that_do_not_add_up,
        ),
        # An account's leave may be known only from a later day's snapshot on. That breaks no rule of who is a member,
        # but then a day's members are not those of the day before without its leaves.
        TableCheck(
            "left_unseen",
            "nobody is gone whom the day before has as a member that did not leave",
            _left_unseen,
            Severity.WARN,
        ),
    ),
)


@mart(TABLE, now=same_day(wv_comm_user), before=day_before(wv_comm_user))
def stats_wv_d_comm_join(now: ir.Table, before: ir.Table) -> ir.Table:
    """Joins and leaves, by the country of the day's snapshot. On the first day all have joined."""
    stayed = _had_not_left(before).mutate(was_there=ibis.literal(True))
    stayed = stayed.rename({f"before_{name}": name for name in PAIR})
    at = [now[name] == stayed[f"before_{name}"] for name in PAIR]
    pairs = now.left_join(stayed, at)
    return pairs.group_by("key_date", "part_date", "comm_id", "ip_ctry").aggregate(
        joins=pairs.count(where=pairs.was_there.isnull()),
        leaves=pairs.count(where=pairs.comm_user_status != NORMAL),
        members=pairs.count(),
    )
