"""Contracts whose table someone else writes: read in place, seen in Dagster as an external asset that is observed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import dagster as dg

from wemart_assets.lake.engine import ExternalTable
from wemart_assets.lake.mart_asset import column_schema
from wemart_assets.settings import Settings
from wemart_assets.sources.contract import Contract, Kind
from wemart_assets.sources.mapping import load_mappings


def external_tables(settings: Settings, contracts: Mapping[str, Contract]) -> dict[str, ExternalTable]:
    """The contracts that `sources.yaml` says are tables of someone else, by full name."""
    found = {}
    for name, mapping in load_mappings(settings.sources, contracts.values()).items():
        if mapping.table is None:
            continue
        contract = contracts[name]
        # A relative path is one from the file that says it.
        base = settings.sources.absolute().parent if settings.sources else Path()
        expressions = {c.name: sql for c in contract.columns if (sql := mapping.expression(c.name)) is not None}
        expressions |= {c.name: "null" for c in contract.columns if mapping.is_null(c.name)}
        first_day = settings.first_day.isoformat()
        derived = partial(contract.day_of, timezone=settings.timezone, first_day=first_day)
        found[name] = ExternalTable(
            base / mapping.table, mapping.day, expressions, derived if contract.kind is Kind.FACTS else None
        )
    return found


def external_asset(contract: Contract, group: str, partitions: dg.TimeWindowPartitionsDefinition) -> dg.AssetSpec:
    """The asset that stands for someone else's table; it is never run here."""
    return dg.AssetSpec(
        contract.table.key,
        description=contract.words,
        group_name=group,
        kinds={"deltalake"},
        partitions_def=partitions,
        metadata={
            "dagster/column_schema": column_schema(contract.table),
            "dagster/table_name": contract.full_name,
        },
    )
