"""The volume of a day against the days before it: a law that any daily table can have."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.table import Severity, Table, TableCheck

TRAILING_DAYS = 7


def volume_check(least: float = 0.5, greatest: float = 2.0) -> TableCheck:
    """WARN where a day has less than `least` or more than `greatest` times the mean rows of the 7 days before it.

    Days that were not published or are empty do not count; a day with none before it passes.
    """

    def out_of_bounds(staged: ir.Table, published: ir.Table, table: Table) -> ir.Table:
        day = table.day_column
        counted = [t.group_by(day).aggregate(rows=ibis._.count()) for t in (staged, published)]
        every = ibis.union(*counted)
        every = every.select(before=every[day], rows_before=every.rows)
        days = counted[0].join(
            every,
            [
                counted[0][day].cast("date").delta(every.before.cast("date"), unit="day").between(1, TRAILING_DAYS),
            ],
        )
        means = days.group_by(day, "rows").aggregate(mean_before=days.rows_before.mean())
        return means.filter(~(means.rows / means.mean_before).between(least, greatest))

    return TableCheck(
        "volume",
        f"each day has between {least:g} and {greatest:g} times the mean rows of the {TRAILING_DAYS} days before it",
        out_of_bounds,
        Severity.WARN,
    )
