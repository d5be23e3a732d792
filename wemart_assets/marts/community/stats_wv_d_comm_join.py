"""`we_mart.stats_wv_d_comm_join`: how many joined and left a community on a day, by country."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.functions import day_after
from wemart_assets.lake.inputs import day_before, same_day
from wemart_assets.lake.mart_asset import mart
from wemart_assets.lake.table import RUN_TIMESTAMP, Law, Table, at_least, column
from wemart_assets.marts.community.wv_comm_user import NORMAL, wv_comm_user


def _members_that_do_not_add_up(staged: ir.Table, before: ir.Table) -> ir.Table:
    by_day = ["part_date", "comm_id"]
    there = staged.group_by(*by_day).aggregate(joins=staged.joins.sum(), members=staged.members.sum())
    # Members without those who left: whoever is normal in the snapshot of the day before.
    stayed = before.filter(before.comm_user_status == NORMAL)
    stayed = stayed.group_by("comm_id", part_date=day_after(stayed.part_date)).aggregate(stayed=ibis._.count())
    # A community that all have left has no row any more: none may have stayed in it.
    both = there.outer_join(stayed, by_day)
    both = both.select(
        part_date=ibis.coalesce(both.part_date, both.part_date_right),
        comm_id=ibis.coalesce(both.comm_id, both.comm_id_right),
        members=both.members.fill_null(0),
        joins=both.joins.fill_null(0),
        stayed=both.stayed.fill_null(0),
    )
    return both.filter(both.members != both.stayed + both.joins)


TABLE = Table(
    database="we_mart",
    name="stats_wv_d_comm_join",
    words="One row a business day, community and country: who joined, who left, who is a member.",
    grain=("key_date", "comm_id", "ip_ctry"),
    columns=(
        column("key_date", "date", "business day", nullable=False),
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
        column("part_date", "string", "business day, as partitions are named", nullable=False),
        RUN_TIMESTAMP,
    ),
    laws=(
        Law(
            "members_add_up",
            "a community's members are those of the day before, without who left on it, and who joined",
            _members_that_do_not_add_up,
        ),
    ),
)


@mart(TABLE, now=same_day(wv_comm_user), before=day_before(wv_comm_user))
def stats_wv_d_comm_join(now: ir.Table, before: ir.Table) -> ir.Table:
    """Joins and leaves, by the country of the day's snapshot. On the first day all have joined."""
    stayed = before.filter(before.comm_user_status == NORMAL)
    stayed = stayed.select(
        day=day_after(stayed.part_date), of_comm="comm_id", of_user="wv_user_id", was_there=ibis.literal(1)
    )
    at = [now.part_date == stayed.day, now.comm_id == stayed.of_comm, now.wv_user_id == stayed.of_user]
    pairs = now.left_join(stayed, at)
    return pairs.group_by("key_date", "part_date", "comm_id", "ip_ctry").aggregate(
        joins=pairs.count(where=pairs.was_there.isnull()),
        leaves=pairs.count(where=pairs.comm_user_status != NORMAL),
        members=pairs.count(),
    )
