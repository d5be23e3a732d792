"""Defines what analysts use in SQL besides the tables, in any Spark session.

These are the views, and the reports over a range of days, such as `hard_funnel_between(first, last)`. Spark has no
databases for a session's temporary objects, so they have plain names. The settings say where their tables are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import ibis.expr.types as ir
from deltalake import DeltaTable

from wemart_assets import catalog
from wemart_assets.lake.errors import WemartError
from wemart_assets.lake.stored import in_catalog, in_folders, newest
from wemart_assets.lake.table import Table
from wemart_assets.settings import Settings, load_settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def define(spark: SparkSession, settings: Settings | None = None) -> list[str]:
    """Define the views and functions whose tables exist, for this session, and return their names.

    Raises:
        WemartError: none of the tables exists.
    """
    by_name = statements(settings or load_settings(), spark.catalog.tableExists)
    for statement in by_name.values():
        spark.sql(statement)
    return [*by_name]


def statements(settings: Settings, exists: Callable[[str], bool] = lambda name: True) -> dict[str, str]:
    """The statements that define the views and functions whose tables exist, by name.

    Whether a table of a catalog exists is answered by `exists`, given its full name; folders are looked at here.

    Raises:
        WemartError: none of the tables exists.
    """
    spark_catalog, lake = settings.spark.catalog, settings.lake_location
    stored = in_catalog(spark_catalog) if spark_catalog else in_folders(lake)

    def is_stored(table: Table) -> bool:
        if spark_catalog:
            return exists(f"`{spark_catalog}`.`{table.database}`.`{table.name}`")
        location = lake / table.database / table.name
        return DeltaTable.is_deltatable(location.url, location.options)

    def shown(table: Table) -> ir.Table:
        return newest(stored(table), table)

    views, functions = catalog.views().values(), catalog.functions(settings.for_tables())
    by_name = {v.table.name: v.spark_view(shown) for v in views if all(map(is_stored, v.inputs.values()))}
    by_name |= {f.name: f.spark_function(shown) for f in functions if all(map(is_stored, f.inputs.values()))}
    if not by_name:
        where = f"catalog {spark_catalog}" if spark_catalog else f"lake {lake}"
        raise WemartError(f"the {where} has no table yet that a view or a function reads; run some partitions")
    return by_name
