"""The table of any range of days, from the very function that makes the table of each day.

A mart whose function groups by `day_columns`, and not by the day itself, is also a table function of SQL,
`<table>_between(first, last)`: users of a range are then counted distinctly, which daily counts cannot be added up to.
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

# The function's parameters, days as dates or as text; in the expression they stand as texts that no table has.
FIRST, LAST = "first", "last"
STAND_INS = {f"\x01{name}": name for name in (FIRST, LAST)}


def is_over_any_range(declared: Mart) -> bool:
    """Whether the mart's function makes the table of a range as well."""
    return "day_columns" in parameters(declared.function)


@dataclass(frozen=True)
class Between:
    """A mart over any range of days, under given settings."""

    mart: Mart
    settings: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{self.mart.table.name}_between"

    @property
    def inputs(self) -> Mapping[str, Table]:
        """The tables that it reads."""
        return {name: given.table for name, given in self._given().items()}

    def duckdb_macro(self, catalog: str) -> str:
        """The statement that defines it in DuckDB, over the tables of a catalog."""
        from wemart_assets.lake.stored import in_catalog

        name = f'{catalog}."{self.mart.table.database}"."{self.name}"'
        return f"create macro {name}({FIRST}, {LAST}) as table {self._sql(self._rows(in_catalog(catalog)), 'duckdb')}"

    def spark_function(self, stored: Stored) -> str:
        """The statement that defines it in a session of Spark."""
        rows = self._rows(stored)
        columns = ", ".join(f"`{name}` {kind}" for name, kind in self._types(rows).items())
        return (
            f"CREATE OR REPLACE TEMPORARY FUNCTION {self.name}({FIRST} STRING, {LAST} STRING) "
            f"RETURNS TABLE ({columns}) RETURN {self._sql(rows, 'spark')}"
        )

    def _sql(self, rows: ir.Table, dialect: str) -> str:
        """The query, with the parameters as bare names."""
        # It brings along ibis' compilers of all engines.
        from wemart_assets.lake.stored import query

        def parameter(node: exp.Expression) -> exp.Expression:
            if isinstance(node, exp.Literal) and node.this in STAND_INS:
                day = exp.cast(exp.column(STAND_INS[node.this]), "date")
                return exp.cast(day, "text", dialect=dialect)
            return node

        # ibis takes a sum of integers for an integer, which is wider on DuckDB.
        kinds = {name: exp.DataType.build(kind, dialect="spark") for name, kind in self._types(rows).items()}
        typed = [exp.cast(exp.column(name, quoted=True), kind).as_(name, quoted=True) for name, kind in kinds.items()]
        found = exp.Subquery(this=query(rows, dialect).transform(parameter), alias=exp.to_identifier("found"))
        return exp.select(*typed).from_(found).sql(dialect)

    def _types(self, rows: ir.Table) -> dict[str, str]:
        """Names and Spark SQL types of the columns."""
        return {c.name: c.type for c in self.mart.table.columns if c.name in rows.columns}

    def _given(self) -> dict[str, Input]:
        asked = parameters(self.mart.function)
        return {n: i.resolve(self.settings) for n, i in self.mart.inputs.items() if n in asked}

    def _rows(self, stored: Stored) -> ir.Table:
        tables = {name: _of_range(stored(of.table), of) for name, of in self._given().items()}
        rows = call(self.mart.function, {**self.settings, **tables, "day_columns": ()})
        return rows.select(**{name: rows[name].cast(data_type(kind)) for name, kind in self._types(rows).items()})


def _of_range(rows: ir.Table, given: Input) -> ir.Table:
    """The rows that a range of days reads of an input."""
    if given.table.only_partition is not None:
        return rows
    first, last = (ibis.literal(stand_in) for stand_in in STAND_INS)
    day = rows[given.table.day_column]
    rows = rows.filter(day <= (day_after(last, given.last) if given.last else last))
    if given.first is None:
        return rows
    return rows.filter(rows[given.table.day_column] >= (day_after(first, given.first) if given.first else first))
