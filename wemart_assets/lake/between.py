"""Reports over any range of days, computed by the same function as the daily tables.

A mart whose function groups by `day_columns` instead of the day itself is also a SQL table function,
`<table>_between(first, last)`. It counts each user once over the whole range, which summing daily counts cannot do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ibis
import ibis.expr.types as ir
from sqlglot import exp

from wemart_assets.lake.functions import day_after
from wemart_assets.lake.inject import call, parameters
from wemart_assets.lake.inputs import Input
from wemart_assets.lake.mart import Mart
from wemart_assets.lake.table import Table, data_type

if TYPE_CHECKING:
    from wemart_assets.lake.stored import Stored

# The SQL function's parameters: days, as dates or text. In the Ibis expression, strings that no table contains stand in
# for them.
FIRST, LAST = "first", "last"
STAND_INS = {f"\x01{name}": name for name in (FIRST, LAST)}


def is_over_any_range(declared: Mart) -> bool:
    """Whether the mart's function can also compute a range of days."""
    return "day_columns" in parameters(declared.function)


@dataclass(frozen=True)
class Between:
    """A mart over any range of days, with the given settings."""

    mart: Mart
    settings: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{self.mart.table.name}_between"

    @property
    def inputs(self) -> Mapping[str, Table]:
        """The tables that the function reads."""
        return {name: given.table for name, given in self._given().items()}

    def duckdb_macro(self, catalog: str | None) -> str:
        """Returns the statement that defines the function in DuckDB, over the tables of a catalog, or of any."""
        from wemart_assets.lake.stored import in_catalog

        name = f'{"" if catalog is None else f"{catalog}."}"{self.mart.table.database}"."{self.name}"'
        return f"create macro {name}({FIRST}, {LAST}) as table {self._sql(self._rows(in_catalog(catalog)), 'duckdb')}"

    def spark_function(self, stored: Stored) -> str:
        """Returns the statement that defines the function in a Spark session."""
        rows = self._rows(stored)
        columns = ", ".join(f"`{name}` {kind}" for name, kind in self._types(rows).items())
        return (
            f"CREATE OR REPLACE TEMPORARY FUNCTION {self.name}({FIRST} STRING, {LAST} STRING) "
            f"RETURNS TABLE ({columns}) RETURN {self._sql(rows, 'spark')}"
        )

    def _sql(self, rows: ir.Table, dialect: str) -> str:
        """Returns the query, with the parameters as bare names."""
        # Imported here because it loads the Ibis compilers of all engines.
        from wemart_assets.lake.stored import query

        def parameter(node: exp.Expression) -> exp.Expression:
            if isinstance(node, exp.Literal) and node.this in STAND_INS:
                day = exp.cast(exp.column(STAND_INS[node.this]), "date")
                return exp.cast(day, "text", dialect=dialect)
            return node

        # Ibis types a sum of integers as an integer; on DuckDB it is wider.
        kinds = {name: exp.DataType.build(kind, dialect="spark") for name, kind in self._types(rows).items()}
        typed = [exp.cast(exp.column(name, quoted=True), kind).as_(name, quoted=True) for name, kind in kinds.items()]
        report = exp.Subquery(this=query(rows, dialect).transform(parameter), alias=exp.to_identifier("report"))
        return exp.select(*typed).from_(report).sql(dialect)

    def _types(self, rows: ir.Table) -> dict[str, str]:
        """Returns the Spark SQL types of the report's columns, by name."""
        return {c.name: c.type for c in self.mart.table.columns if c.name in rows.columns}

    def _given(self) -> dict[str, Input]:
        wanted = parameters(self.mart.function)
        return {name: given.resolve(self.settings) for name, given in self.mart.inputs.items() if name in wanted}

    def _rows(self, stored: Stored) -> ir.Table:
        tables = {name: _in_range(stored(given.table), given) for name, given in self._given().items()}
        rows = call(self.mart.function, {**self.settings, **tables, "day_columns": ()})
        return rows.select(**{name: rows[name].cast(data_type(kind)) for name, kind in self._types(rows).items()})


def _in_range(rows: ir.Table, given: Input) -> ir.Table:
    """Returns the rows of an input that the report over a range of days reads."""
    if given.table.only_partition is not None:
        return rows
    first, last = (ibis.literal(stand_in) for stand_in in STAND_INS)
    day = rows[given.table.day_column]
    rows = rows.filter(day <= (day_after(last, given.last) if given.last else last))
    if given.first is None:
        return rows
    return rows.filter(rows[given.table.day_column] >= (day_after(first, given.first) if given.first else first))
