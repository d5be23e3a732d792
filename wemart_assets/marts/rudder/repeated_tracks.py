"""`rudder.repeated_tracks`: tracks whose id an earlier day has already, which count for nothing."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.inputs import up_to
from wemart_assets.lake.mart_asset import mart
from wemart_assets.lake.table import Rule, Table, column
from wemart_assets.marts.rudder.rules import DAY_COLUMNS, EVENT_ID, on_days
from wemart_assets.sources.contracts.rudder import tracks

TABLE = Table(
    database="rudder",
    name="repeated_tracks",
    words="One row a track whose id an earlier day has already: such tracks are left out of all other tables.",
    grain=("event_id",),
    may_be_empty=True,
    columns=(
        EVENT_ID,
        column("first_part_date", "string", "business day on which the id was there first", nullable=False),
        *DAY_COLUMNS,
    ),
    rules=(Rule("repeats", "the id was there on an earlier day", lambda t: t.first_part_date < t.part_date),),
)


@mart(TABLE, all_tracks=up_to(tracks))
def repeated_tracks(all_tracks: ir.Table, days: Sequence[str]) -> ir.Table:
    """The ids of the days that an earlier day has. Costs a read of all ids there are; nothing less can tell."""
    ids = all_tracks.select("id", "part_date")
    of_run = on_days(ids, days)
    earlier = ids.filter(ids.part_date < days[0]).semi_join(of_run, "id")
    every = ibis.union(of_run, earlier)
    seen = every.group_by("id").aggregate(first=every.part_date.min(), last=every.part_date.max())
    seen = seen.filter(seen["first"] < seen["last"])
    repeated = of_run.inner_join(seen, "id")
    repeated = repeated.select(event_id=of_run.id, first_part_date=seen["first"], part_date=of_run.part_date)
    return repeated.filter(repeated.first_part_date < repeated.part_date)
