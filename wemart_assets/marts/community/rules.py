"""Community rules shared by several tables."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

# A channel of direct messages on a day.
CHANNEL = ("part_date", "comm_id", "dm_id")


def counted_side_by_side(tables: Sequence[ir.Table], by: Sequence[str]) -> ir.Table:
    """One row per key of any of the tables, with their integer columns; 0 where a table lacks the key.

    Each table has one row per key, no NULL in it, and columns of its own besides.
    """
    names = [name for table in tables for name in table.columns if name not in by]
    zero = ibis.literal(0, type="int64")
    rows = ibis.union(
        *(
            table.select(*by, **{name: table[name].cast("int64") if name in table.columns else zero for name in names})
            for table in tables
        ),
    )
    return rows.group_by(*by).aggregate(**{name: rows[name].sum() for name in names})


def matched(rows: ir.Table, other: ir.Table, key: Sequence[str]) -> ir.Table:
    """The rows with the other columns of `other`, NULL where none of its rows has the key."""
    other = other.rename({f"other_{name}": name for name in key})
    at = [rows[name] == other[f"other_{name}"] for name in key]
    return rows.left_join(other, at).drop(*(f"other_{name}" for name in key))
