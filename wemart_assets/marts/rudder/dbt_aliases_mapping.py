"""`rudder.dbt_aliases_mapping`: which visitor each id that was ever seen stands for, carried on from day to day."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.functions import day_after
from wemart_assets.lake.inputs import own_day_before, same_day
from wemart_assets.lake.mart_asset import mart
from wemart_assets.lake.table import Law, Table, column
from wemart_assets.marts.rudder.repeated_tracks import repeated_tracks
from wemart_assets.marts.rudder.rules import DAY_COLUMNS, of_somebody, on_days
from wemart_assets.sources.contracts.rudder import tracks


def _lost(staged: ir.Table, before: ir.Table, days: Sequence[str]) -> ir.Table:
    """Aliases that a day of the run does not have, and the day before it has."""
    there = ibis.union(*(t.select("alias", "part_date") for t in (before, staged)))
    expected = on_days(there.mutate(part_date=day_after(there.part_date)), days)
    return expected.anti_join(staged, ["alias", "part_date"])


def _unknown(staged: ir.Table, tracks: ir.Table, repeated: ir.Table) -> ir.Table:
    """Ids of the day's tracks that are no aliases."""
    counted = of_somebody(tracks, repeated)
    ids = [counted.select("part_date", alias=counted[name]) for name in ("anonymous", "user")]
    seen = ibis.union(*ids).distinct()
    seen = seen.filter(seen["alias"].notnull())
    return seen.anti_join(staged, ["alias", "part_date"])


def _of_nobody(staged: ir.Table) -> ir.Table:
    """Aliases of a visitor who is no alias."""
    mapped = staged.filter(staged.dbt_visitor_id != staged["alias"])
    visitors = staged.select("part_date", visitor="alias")
    return mapped.anti_join(
        visitors, [mapped.dbt_visitor_id == visitors.visitor, mapped.part_date == visitors.part_date]
    )


TABLE = Table(
    database="rudder",
    name="dbt_aliases_mapping",
    words="One row an id, of a browser or a user, that was seen by the day: the visitor whom it stands for.",
    grain=("alias",),
    newest_in_sql=True,
    columns=(
        column("alias", "string", "an anonymous id or a user id", nullable=False),
        column("dbt_visitor_id", "string", "the alias's latest known user by the day, else itself", nullable=False),
        *DAY_COLUMNS,
    ),
    laws=(
        Law("nobody_is_lost", "every alias of the day before is there", _lost),
        Law("every_id_is_an_alias", "every id of the day's tracks is there", _unknown),
        Law("visitors_are_aliases", "every visitor is an alias", _of_nobody),
    ),
)


@mart(TABLE, before=own_day_before(TABLE), tracks=same_day(tracks), repeated=same_day(repeated_tracks))
def dbt_aliases_mapping(before: ir.Table, tracks: ir.Table, repeated: ir.Table, days: Sequence[str]) -> ir.Table:
    """Each id ever seen, as of each day.

    An id maps to the user of its latest track as an anonymous id with a known user (equal instants: of the greatest
    track id), else to itself.
    """
    counted = of_somebody(tracks, repeated)
    seen = counted.select("part_date", "alias", user=ibis.null("string"))
    changes = ibis.union(seen, _latest_users(counted).select("part_date", "alias", "user"))
    changes = changes.group_by("alias", day="part_date").aggregate(user=changes.user.max())
    all_days = ibis.array([ibis.literal(day) for day in days]).unnest()
    still = before.anti_join(changes, "alias").select("alias", "dbt_visitor_id").mutate(part_date=all_days)
    carried = before.semi_join(changes, "alias")
    carried = carried.select("alias", day=ibis.literal(""), user="dbt_visitor_id")

    rows = ibis.union(carried, changes.select("alias", "day", "user"))
    window = ibis.window(group_by="alias", order_by="day")
    rows = rows.mutate(
        users=rows.user.count().over(ibis.window(group_by="alias", order_by="day", rows=(None, 0))),
        until=rows.day.lead().over(window),
    )
    # The only one of its group with a user is the first.
    rows = rows.mutate(user=rows.user.max().over(ibis.window(group_by=["alias", "users"])))
    rows = rows.mutate(part_date=all_days)
    rows = rows.filter(rows.day <= rows.part_date, rows.until.isnull() | (rows.part_date < rows.until))
    visitor = ibis.coalesce(rows.user, rows["alias"])
    return ibis.union(still, rows.select("alias", dbt_visitor_id=visitor, part_date="part_date"))


def _latest_users(counted: ir.Table) -> ir.Table:
    """The latest known user of each anonymous id, by day."""
    logins = counted.filter(counted.anonymous.notnull() & counted.user.notnull())
    latest = ibis.window(group_by=["anonymous", "part_date"], order_by=[ibis.desc("timestamp"), ibis.desc("id")])
    logins = logins.mutate(place=ibis.row_number().over(latest))
    return logins.filter(logins.place == 0).select("part_date", "user", alias="anonymous")
