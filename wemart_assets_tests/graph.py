"""Upstream tables."""

from __future__ import annotations

from wemart_assets import catalog


def upstream(table: str) -> set[str]:
    """The table and all daily tables upstream of it."""
    found, waiting = {table}, [table]
    while waiting:
        declared = catalog.marts().get(waiting.pop())
        reads = {given.table.full_name for given in declared.inputs.values()} if declared else set()
        waiting += sorted(reads - found)
        found |= reads
    return found
