"""`rudder.repeated_tracks`: ids that occur more than once, of which only one track counts."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.inputs import up_to
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import RowCheck, Table, at_least, column
from wemart_assets.marts.rudder.rules import DAY_COLUMNS, EVENT_ID, on_days
from wemart_assets.sources.contracts.rudder import tracks

TABLE = Table(
    database="rudder",
    name="repeated_tracks",
    description=(
        "One row per id with tracks left out on the day: only one track of an id counts, on the id's first day."
    ),
    grain=("event_id",),
    may_be_empty=True,
    columns=(
        EVENT_ID,
        column("first_part_date", "string", "first business day of the id", nullable=False),
        column("left_out", "bigint", "tracks of the day with this id that do not count", at_least(1), nullable=False),
        *DAY_COLUMNS,
    ),
    row_checks=(
        RowCheck("first_is_no_later", "first_part_date <= part_date", lambda t: t.first_part_date <= t.part_date),
    ),
)


@mart(TABLE, all_tracks=up_to(tracks))
def repeated_tracks(all_tracks: ir.Table, days: Sequence[str]) -> ir.Table:
    """The repeated ids of each day. This reads every id ever delivered: nothing less can find them.

    Tracks from landing files never repeat an id within a day, but a table written by a warehouse may.
    """
    ids = all_tracks.select("id", "part_date")
    of_run = on_days(ids, days)
    earlier = ids.filter(ids.part_date.notin(list(days))).semi_join(of_run, "id")
    every = ibis.union(of_run, earlier)
    seen = every.group_by("id").aggregate(first=every.part_date.min(), rows=every.count())
    again = seen.filter(seen["rows"] > 1)
    rows = of_run.inner_join(again, "id")
    by_day = rows.group_by(event_id=rows.id, first_part_date=rows["first"], part_date=rows.part_date)
    counted = by_day.aggregate(rows=rows.count())
    of_first_day = (counted.first_part_date == counted.part_date).cast("int64")
    counted = counted.mutate(left_out=counted["rows"] - of_first_day)
    return counted.filter(counted.left_out > 0)
