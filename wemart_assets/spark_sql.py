"""The analyst's door on Spark: what SQL has beside the tables themselves, defined in any session.

These are the views, and the reports over a range of days, `hard_funnel_between(first, last)`. Spark knows no database
of what is a session's own, so they go by their plain names; their tables are read where the settings say that they are.
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
    """Define the views and functions whose tables are there, for this session; their names.

    Raises:
        WemartError: there are no such tables.
    """
    found = statements(settings or load_settings(), spark.catalog.tableExists)
    for statement in found.values():
        spark.sql(statement)
    return [*found]


def statements(settings: Settings, exists: Callable[[str], bool] = lambda name: True) -> dict[str, str]:
    """The statements that define views and functions, by the name of each.

    Of a lake of folders they are those whose tables are there. A catalog is for `exists` to ask, by a table's name.

    Raises:
        WemartError: there are no such tables.
    """
    of_catalog, lake = settings.spark.catalog, settings.lake.absolute()
    stored = in_catalog(of_catalog) if of_catalog else in_folders(lake)

    def is_there(table: Table) -> bool:
        if of_catalog:
            return exists(f"`{of_catalog}`.`{table.database}`.`{table.name}`")
        return DeltaTable.is_deltatable(str(lake / table.database / table.name))

    def shown(table: Table) -> ir.Table:
        return newest(stored(table), table)

    views, functions = catalog.views().values(), catalog.functions(settings.for_tables())
    found = {v.table.name: v.spark_view(shown) for v in views if all(map(is_there, v.inputs.values()))}
    found |= {f.name: f.spark_function(shown) for f in functions if all(map(is_there, f.inputs.values()))}
    if not found:
        where = f"catalog {of_catalog}" if of_catalog else f"lake {lake}"
        raise WemartError(f"the {where} has no table yet that a view or a function reads; run some partitions")
    return found
