"""Contracts of external tables: Delta tables that someone else writes, read in place and observed in Dagster."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.location import Location, is_url
from wemart_assets.lake.store import ExternalTable
from wemart_assets.lake.table import Table
from wemart_assets.setting_values.source_settings import SourceSettings
from wemart_assets.sources.contract import UNKNOWN_DAY, Contract, Kind
from wemart_assets.sources.mapping import load_mappings

if TYPE_CHECKING:
    import dagster as dg


def external_tables(settings: SourceSettings, contracts: Mapping[str, Contract]) -> dict[str, ExternalTable]:
    """The external tables that `sources.yaml` declares, by full name."""
    externals = {}
    for name, mapping in load_mappings(settings.sources, contracts.values()).items():
        if mapping.table is None:
            continue
        contract = contracts[name]
        # Relative paths are relative to `sources.yaml`.
        base = settings.sources.absolute().parent if settings.sources else Path()
        place = mapping.table if is_url(mapping.table) else base / mapping.table
        location = Location.of(place, settings.storage)
        expressions = {c.name: sql for c in contract.columns if (sql := mapping.expression(c.name)) is not None}
        expressions |= {c.name: "null" for c in contract.columns if mapping.is_null(c.name)}
        first_day = settings.first_day.isoformat()
        derived = partial(contract.day_of, timezone=settings.timezone, first_day=first_day)
        externals[name] = ExternalTable(
            location, mapping.day, expressions, derived if contract.kind is Kind.FACTS else None
        )
        if contract.unknown_time_table is not None:
            externals[contract.unknown_time_table.full_name] = ExternalTable(
                location, None, expressions, partial(_unknown_day, instant=str(contract.instant))
            )
    return externals


def _unknown_day(rows: ir.Table, instant: str) -> ir.StringValue:
    return rows[instant].isnull().ifelse(UNKNOWN_DAY, ibis.null("string"))


def external_asset(table: Table, group: str, partitions: dg.TimeWindowPartitionsDefinition | None) -> dg.AssetSpec:
    """The asset of an external table, which is never materialized here."""
    # `wemart check-source` reads external tables without Dagster, which takes a second to load.
    import dagster as dg

    from wemart_assets.lake.mart_asset import column_schema

    return dg.AssetSpec(
        table.key,
        description=table.description,
        group_name=group,
        kinds={"deltalake"},
        partitions_def=partitions,
        metadata={
            "dagster/column_schema": column_schema(table),
            "dagster/table_name": table.full_name,
        },
    )
