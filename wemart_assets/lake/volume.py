"""A day's row count against the days before it: a table check for any daily table."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.table import Severity, Table, TableCheck

TRAILING_DAYS = 7


def volume_check(least: float = 0.5, greatest: float = 2.0) -> TableCheck:
    """Warns about days with fewer than `least` or more than `greatest` times the mean row count of the 7 days before.

    Unpublished and empty days do not count. A day without any counted day before it passes.
    """

    def out_of_bounds(staged: ir.Table, published: ir.Table, table: Table) -> ir.Table:
        day = table.day_column
        staged_days, published_days = (t.group_by(day).aggregate(rows=ibis._.count()) for t in (staged, published))
        earlier_days = ibis.union(staged_days, published_days)
        earlier_days = earlier_days.select(before=earlier_days[day], rows_before=earlier_days.rows)
        days_apart = staged_days[day].cast("date").delta(earlier_days.before.cast("date"), unit="day")
        day_pairs = staged_days.join(earlier_days, [days_apart.between(1, TRAILING_DAYS)])
        days = day_pairs.group_by(day, "rows").aggregate(mean_before=day_pairs.rows_before.mean())
        return days.filter(~(days.rows / days.mean_before).between(least, greatest))

    return TableCheck(
        "volume",
        f"each day has {least:g} to {greatest:g} times the mean row count of the {TRAILING_DAYS} days before it",
        out_of_bounds,
        Severity.WARN,
    )
