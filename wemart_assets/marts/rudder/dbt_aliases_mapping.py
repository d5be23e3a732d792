"""`rudder.dbt_aliases_mapping`: the visitor behind every id ever seen, carried from day to day."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.days import shift
from wemart_assets.lake.inputs import previous_period, same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import Table, TableCheck, column
from wemart_assets.marts.rudder.repeated_tracks import repeated_tracks
from wemart_assets.marts.rudder.rules import DAY_COLUMNS, with_alias
from wemart_assets.sources.contracts.rudder import tracks


def _lost(staged: ir.Table, before: ir.Table, tracks: ir.Table, repeated: ir.Table, days: Sequence[str]) -> ir.Table:
    """Ids without a row on some day of the run, from the day they were first seen."""
    counted = with_alias(tracks, repeated)
    seen = [counted.select("part_date", alias=counted[name]) for name in ("anonymous", "user")]
    every = ibis.union(before.select("part_date", "alias"), *seen)
    every = every.filter(every["alias"].notnull())
    firsts = every.group_by("alias").aggregate(since=ibis.greatest(every.part_date.min(), days[0]))
    rows_per_alias = staged.group_by("alias").aggregate(days=staged.count())
    aliases = firsts.left_join(rows_per_alias, "alias")
    expected = ibis.literal(days[-1]).cast("date").delta(aliases.since.cast("date"), unit="day") + 1
    lost = aliases.filter(aliases.days.fill_null(0) != expected)
    return lost.select("alias", part_date=lost.since)


TABLE = Table(
    database="rudder",
    name="dbt_aliases_mapping",
    description="One row per anonymous id or user id seen up to the business day, with the visitor it stands for.",
    grain=("alias",),
    newest_in_sql=True,
    columns=(
        column("alias", "string", "an anonymous id or a user id", nullable=False),
        column(
            "dbt_visitor_id",
            "string",
            "latest known user of the alias as of the day, else the alias itself",
            nullable=False,
        ),
        *DAY_COLUMNS,
    ),
    table_checks=(TableCheck("nobody_is_lost", "every id has a row on every day from its first", _lost),),
)


@mart(TABLE, before=previous_period(TABLE), tracks=same_period(tracks), repeated=same_period(repeated_tracks))
def dbt_aliases_mapping(before: ir.Table, tracks: ir.Table, repeated: ir.Table, days: Sequence[str]) -> ir.Table:
    """Every id ever seen, as of each day.

    An anonymous id maps to the user of its latest track with a known user (ties in time: the greatest track id). Any
    other id maps to itself.
    """
    counted = with_alias(tracks, repeated)
    seen = counted.select("part_date", "alias", user=ibis.null("string"))
    changes = ibis.union(seen, _latest_users(counted).select("part_date", "alias", "user"))
    changes = changes.group_by("alias", day="part_date").aggregate(user=changes.user.max())
    all_days = ibis.array([ibis.literal(day) for day in days])
    still = before.anti_join(changes, "alias").select("alias", "dbt_visitor_id").mutate(part_date=all_days.unnest())
    carried = before.semi_join(changes, "alias")
    carried = carried.select("alias", day=ibis.literal(shift(days[0], -1)), user="dbt_visitor_id")

    rows = ibis.union(carried, changes.select("alias", "day", "user"))
    window = ibis.window(group_by="alias", order_by="day")
    so_far = ibis.window(group_by="alias", order_by="day", rows=(None, 0))
    # All days have the same length as text, so the maximum is the latest day, followed by its user.
    latest = (rows.day + rows.user).max().over(so_far).substr(len(days[0]))
    rows = rows.mutate(user=latest, until=rows.day.lead().over(window))
    first, last = ibis.greatest(_place(rows.day, days), 0), _place(rows.until, days).fill_null(len(days))
    # Spark accepts no wider integer as an array index.
    rows = rows.mutate(place=ibis.range(first, last).unnest())
    visitor = ibis.coalesce(rows.user, rows["alias"])
    return ibis.union(still, rows.select("alias", dbt_visitor_id=visitor, part_date=all_days[rows.place.cast("int32")]))


def _place(day: ir.StringValue, days: Sequence[str]) -> ir.IntegerValue:
    """Index of a day among the run's consecutive days."""
    return day.cast("date").delta(ibis.literal(days[0]).cast("date"), unit="day")


def _latest_users(counted: ir.Table) -> ir.Table:
    """The latest known user of every anonymous id, by day."""
    logins = counted.filter(counted.anonymous.notnull() & counted.user.notnull())
    latest = ibis.window(group_by=["anonymous", "part_date"], order_by=[ibis.desc("timestamp"), ibis.desc("id")])
    logins = logins.mutate(place=ibis.row_number().over(latest))
    return logins.filter(logins.place == 0).select("part_date", "user", alias="anonymous")
