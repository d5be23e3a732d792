"""The declaration of a table: its columns, grain, checks and descriptions.

The pandera schema, Dagster's column schema, the Delta schema and the table catalog are all derived from a `Table`. This
module holds what is true of a table on any engine; how rows are stored or read belongs elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pyarrow as pa

from wemart_assets.lake.days import Period
from wemart_assets.lake.errors import DeclarationError

# The names are those of Spark SQL, as in the documents that specify the tables. A timestamp is UTC, in microseconds.
TYPES: dict[str, dt.DataType] = {
    "tinyint": dt.int8,
    "int": dt.int32,
    "bigint": dt.int64,
    "double": dt.float64,
    "boolean": dt.boolean,
    "string": dt.string,
    "date": dt.date,
    "timestamp": dt.Timestamp(timezone="UTC", scale=6),
}


def data_type(name: str) -> dt.DataType:
    """Returns the Ibis type for a Spark SQL type name; `decimal(18,4)` is one, too.

    Raises:
        DeclarationError: the name is not one of the lake's types.
    """
    if name.startswith("decimal(") and name.endswith(")"):
        precision, _, scale = name.removeprefix("decimal(").removesuffix(")").partition(",")
        if precision.isdigit() and (scale or "0").isdigit():
            return dt.Decimal(int(precision), int(scale or 0))
    if name not in TYPES:
        raise DeclarationError(f"'{name}' is not a column type; use decimal(p,s) or one of {', '.join(TYPES)}")
    return TYPES[name]


# The checks that every table has (`not_null` and `grain_is_unique` only if the declaration calls for them).
SCHEMA, NOT_NULL, GRAIN, ROWS = BUILT_IN_CHECKS = ("schema", "not_null", "grain_is_unique", "has_rows")


class Severity(Enum):
    """A failed ERROR check stops the publication; a failed WARN check is only shown."""

    ERROR = "ERROR"
    WARN = "WARN"


@dataclass(frozen=True)
class RowCheck:
    """A condition that each row must meet by itself.

    `holds(table, **settings)` is a boolean column. NULL counts as broken, so a condition over nullable columns must
    handle NULL itself. Parameters after the first are looked up by name: settings, and `days`, the days of the run.
    """

    name: str
    description: str
    holds: Callable[..., ir.BooleanValue]
    severity: Severity = Severity.ERROR


@dataclass(frozen=True)
class TableCheck:
    """A condition across rows, tables or days, which no single row can be checked for.

    `broken(...)` returns the rows that break it, the table's day column among their columns. Its parameters are looked
    up by name: `staged`, `published` (this table's partitions outside the run), the mart's inputs, settings.
    """

    name: str
    description: str
    broken: Callable[..., ir.Table]
    severity: Severity = Severity.ERROR


@dataclass(frozen=True)
class Measure:
    """A number that each run reports and no check judges, such as how many rows were left out.

    `value(...)` is a scalar; its parameters are looked up by name, like those of a table check.
    """

    name: str
    value: Callable[..., ir.Scalar]


@dataclass(frozen=True)
class Chart:
    """A chart that each run shows.

    `points(...)` is a small table; its parameters are looked up by name, like those of a table check. `draw` renders
    its rows, which come in no particular order, as SVG. A chart that cannot be drawn is a warning and stops nothing.
    """

    name: str
    points: Callable[..., ir.Table]
    draw: Callable[[Sequence[Mapping[str, Any]]], str]


@dataclass(frozen=True)
class ValueCheck:
    """A condition on the values of one column; NULL passes. Checks that share a name are shown as one."""

    name: str
    description: str
    holds: Callable[[Any], ir.BooleanValue]


def one_of(*values: Any) -> ValueCheck:
    """Checks that the value is one of `values`."""
    return ValueCheck(
        "domains",
        f"one of {', '.join(map(str, values))}",
        lambda column: column.isin([ibis.literal(v) for v in values]),
    )


def at_least(least: int) -> ValueCheck:
    """Checks that the value is `least` or more."""
    return ValueCheck("domains", f"at least {least}", lambda column: column >= least)


FLAG = one_of(0, 1)


@dataclass(frozen=True)
class Column:
    """A column: its name, Spark SQL type and description, and the checks on its values."""

    name: str
    type: str
    description: str
    checks: tuple[ValueCheck, ...] = ()
    nullable: bool = True


def column(name: str, type: str, description: str, *checks: ValueCheck, nullable: bool = True) -> Column:
    """Declares a column; its value checks are further arguments."""
    return Column(name, type, description, checks, nullable)


KEY_DATE = column("key_date", "date", "business day", nullable=False)
PART_DATE = column("part_date", "string", "business day, as partitions are named", nullable=False)


def key_date_of(period: Period) -> Column:
    """`key_date` of a table by week or month: the first day of the period."""
    return column("key_date", "date", f"first day of the {period}", nullable=False)


def part_date_of(period: Period) -> Column:
    """`part_date` of a table by week or month: the first day of the period."""
    return column("part_date", "string", f"first day of the {period}, as partitions are named", nullable=False)


KEY_DATE_IS_PART_DATE = RowCheck(
    "first_day_of_the_period",
    "key_date is the day in part_date",
    lambda t: t.part_date == t.key_date.cast("string"),
)
RUN_TIMESTAMP = column("run_timestamp", "timestamp", "UTC instant of the run that wrote the row", nullable=False)


@dataclass(frozen=True)
class Table:
    """A table of the lake.

    Attributes:
        database, name: how SQL addresses it; the Dagster asset key is `[database, name]`.
        description: what a row is.
        columns: in the order in which they are stored and shown.
        grain: the columns that identify a row; empty if duplicate rows are allowed. NULL counts as a value here.
        partition_by: the partition columns; the last is the day column.
        period: how much time a partition covers; the day column holds its first day.
        only_partition: the one value of the day column, if the table has no days.
        may_be_empty: a day without rows is not worth a warning.
        row_checks, table_checks: what the audit checks beyond types, NULLs and the grain.
        measures, charts: the numbers and charts that each run shows.
        newest_in_sql: analysts know the table as unpartitioned: in SQL its name shows the newest row of each key, and
            `<name>__daily` shows the partitions.
    """

    database: str
    name: str
    description: str
    columns: tuple[Column, ...]
    grain: tuple[str, ...] = ()
    partition_by: tuple[str, ...] = ("part_date",)
    period: Period = Period.DAY
    only_partition: str | None = None
    may_be_empty: bool = False
    row_checks: tuple[RowCheck, ...] = ()
    table_checks: tuple[TableCheck, ...] = ()
    measures: tuple[Measure, ...] = ()
    charts: tuple[Chart, ...] = ()
    newest_in_sql: bool = False
    owner: str = "team:data-platform"
    tags: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [c.name for c in self.columns]
        for attribute, used in (("grain", self.grain), ("partition_by", self.partition_by)):
            if unknown := [name for name in used if name not in names]:
                raise DeclarationError(f"{self.full_name}: {attribute} names {unknown}, which are not columns")
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise DeclarationError(f"{self.full_name}: column {repeated} is declared twice")
        for declared in self.columns:
            data_type(declared.type)
        declared_checks: list[RowCheck | TableCheck] = [*self.value_checks(), *self.row_checks, *self.table_checks]
        checks = [*BUILT_IN_CHECKS, *(check.name for check in declared_checks)]
        if repeated := sorted({name for name in checks if checks.count(name) > 1}):
            raise DeclarationError(f"{self.full_name}: check {repeated} is declared twice")

    @property
    def full_name(self) -> str:
        return f"{self.database}.{self.name}"

    @property
    def key(self) -> list[str]:
        return [self.database, self.name]

    @property
    def day_column(self) -> str:
        """The partition column that holds the business day (the period's first day) as a `YYYY-MM-DD` string."""
        return self.partition_by[-1]

    @cached_property
    def schema(self) -> ibis.Schema:
        return ibis.schema({c.name: data_type(c.type)(nullable=c.nullable) for c in self.columns})

    @cached_property
    def arrow_schema(self) -> pa.Schema:
        """The Delta table's schema. All its columns are nullable: the audit is what finds a NULL.

        The metadata of a field is Delta's; other readers show `comment` as the description of the column.
        """
        return pa.schema(
            [
                pa.field(c.name, data_type(c.type).to_pyarrow(), metadata={"comment": c.description})
                for c in self.columns
            ]
        )

    def conform(self, rows: ir.Table) -> ir.Table:
        """Returns `rows` with exactly this table's columns, in order and cast to the declared types.

        Raises:
            DeclarationError: `rows` lacks a column.
        """
        if missing := [c.name for c in self.columns if c.name not in rows.columns]:
            raise DeclarationError(f"{self.full_name}: the function's result lacks {missing}; it has {rows.columns}")
        return rows.select(**{c.name: rows[c.name].cast(data_type(c.type)) for c in self.columns})

    def value_checks(self) -> Iterable[RowCheck]:
        """Yields the columns' value checks as row checks, one per name."""
        by_name: dict[str, list[tuple[Column, ValueCheck]]] = {}
        for declared in self.columns:
            for check in declared.checks:
                by_name.setdefault(check.name, []).append((declared, check))
        for name, members in by_name.items():
            description = "; ".join(f"{c.name}: {check.description}" for c, check in members)
            yield RowCheck(
                name, description, lambda t, members=members: _all(_null_or(t[c.name], check) for c, check in members)
            )


def _null_or(column: Any, check: ValueCheck) -> ir.BooleanValue:
    return column.isnull() | check.holds(column).fill_null(False)


def _all(conditions: Iterable[ir.BooleanValue]) -> ir.BooleanValue:
    combined: ir.BooleanValue | None = None
    for condition in conditions:
        combined = condition if combined is None else combined & condition
    if combined is None:
        raise DeclarationError("a check needs at least one condition")
    return combined
