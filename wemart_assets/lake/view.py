"""A view: a table that is computed when it is queried, and never stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ibis.expr.types as ir

from wemart_assets.lake.errors import DeclarationError
from wemart_assets.lake.inject import parameters
from wemart_assets.lake.inputs import HasTable
from wemart_assets.lake.table import Table

if TYPE_CHECKING:
    import dagster as dg

    from wemart_assets.lake.stored import Stored


@dataclass(frozen=True)
class View:
    """A declared view: its columns and description, the tables that it reads, and the function that computes it."""

    table: Table
    inputs: Mapping[str, Table]
    function: Callable[..., ir.Table]

    def sql(self, dialect: str, stored: Stored) -> str:
        """Returns the view's query in an engine's SQL dialect."""
        from wemart_assets.lake.stored import query

        rows = self.function(**{name: stored(table) for name, table in self.inputs.items()})
        return query(rows.select(*(c.name for c in self.table.columns)), dialect).sql(dialect)

    def duckdb_view(self, catalog: str | None) -> str:
        """Returns the statement that defines the view in DuckDB, over the tables of a catalog, or of any."""
        from wemart_assets.lake.stored import in_catalog

        name = f'{"" if catalog is None else f"{catalog}."}"{self.table.database}"."{self.table.name}"'
        return f"create view {name} as {self.sql('duckdb', in_catalog(catalog))}"

    def spark_view(self, stored: Stored) -> str:
        """Returns the statement that defines the view in a Spark session."""
        return f"CREATE OR REPLACE TEMPORARY VIEW {self.table.name} AS {self.sql('spark', stored)}"


def view(table: Table, **inputs: HasTable) -> Callable[[Callable[..., ir.Table]], View]:
    """Declares a view. The function's parameters are the inputs by name.

    Raises:
        DeclarationError: the function's parameters are not the inputs.
    """

    def declare(function: Callable[..., ir.Table]) -> View:
        if set(parameters(function)) != set(inputs):
            raise DeclarationError(
                f"{table.full_name}: the function has the parameters {parameters(function)}, but the inputs are "
                f"{[*inputs]}"
            )
        return View(table, {name: upstream.table for name, upstream in inputs.items()}, function)

    return declare


def view_asset(declared: View, group: str) -> dg.AssetSpec:
    """Returns the Dagster asset that represents a view; there is nothing to run."""
    import dagster as dg

    from wemart_assets.lake.mart_asset import column_schema

    table = declared.table
    return dg.AssetSpec(
        table.key,
        description=f"{table.description} A view: nothing is stored.",
        deps=[upstream.key for upstream in declared.inputs.values()],
        group_name=group,
        owners=[table.owner],
        kinds={"ibis", "view"},
        metadata={"dagster/column_schema": column_schema(table), "dagster/table_name": table.full_name},
    )
