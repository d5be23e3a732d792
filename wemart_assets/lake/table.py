"""What a table is: columns, grain, rules and words, declared once.

From a `Table` come the pandera schema, Dagster's column schema, the Delta schema and the table catalog. Here belongs
what is true of a table on any engine; how rows are stored or read does not.
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

# The names are Spark SQL's, as in the documents that the tables come from. An instant is UTC in microseconds.
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
    """Ibis type of a Spark SQL type name, `decimal(18,4)` included.

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


# The checks that every table has (`not_null` and `grain_is_unique` where it says so).
SCHEMA, NOT_NULL, GRAIN, ROWS = BUILT_IN_CHECKS = ("schema", "not_null", "grain_is_unique", "has_rows")


class Severity(Enum):
    """ERROR stops the publication; WARN is shown and never stops it."""

    ERROR = "ERROR"
    WARN = "WARN"


@dataclass(frozen=True)
class RowCheck:
    """A condition that each row of a partition meets by itself.

    `holds(table, **settings)` is a boolean column; a NULL counts as broken, so a condition over nullable columns has
    to say what NULL means. Parameters after the first are looked up by name: settings, and `days`, the run's.
    """

    name: str
    description: str
    holds: Callable[..., ir.BooleanValue]
    severity: Severity = Severity.ERROR


@dataclass(frozen=True)
class TableCheck:
    """What no row can show by itself: a condition across rows, tables or days.

    `broken(...)` returns the rows that break it, with the table's day column among their columns. Its parameters are
    looked up by name: `staged`, `published` (this table's partitions outside the run), the mart's inputs, settings.
    """

    name: str
    description: str
    broken: Callable[..., ir.Table]
    severity: Severity = Severity.ERROR


@dataclass(frozen=True)
class Measure:
    """A number that each run shows beside its rows and that no rule judges, such as how many rows were left out.

    `value(...)` is a scalar; its parameters are looked up by name as a law's are.
    """

    name: str
    value: Callable[..., ir.Scalar]


@dataclass(frozen=True)
class Chart:
    """What each run shows drawn beside its rows.

    `points(...)` is a small table; its parameters are looked up by name as a law's are. `draw` makes SVG of its rows,
    which are in no order. One that cannot be drawn is warned of and stops nothing.
    """

    name: str
    points: Callable[..., ir.Table]
    draw: Callable[[Sequence[Mapping[str, Any]]], str]


@dataclass(frozen=True)
class ValueCheck:
    """A condition on the known values of one column; NULL passes. Columns that share a name are shown as one check."""

    name: str
    description: str
    holds: Callable[[Any], ir.BooleanValue]


def one_of(*values: Any) -> ValueCheck:
    """The value is one of `values`."""
    return ValueCheck(
        "domains",
        f"one of {', '.join(map(str, values))}",
        lambda column: column.isin([ibis.literal(v) for v in values]),
    )


def at_least(least: int) -> ValueCheck:
    """The value is `least` or more."""
    return ValueCheck("domains", f"at least {least}", lambda column: column >= least)


FLAG = one_of(0, 1)


@dataclass(frozen=True)
class Column:
    """One column: its name, Spark SQL type, the words for people, and the rules of its values."""

    name: str
    type: str
    description: str
    checks: tuple[ValueCheck, ...] = ()
    nullable: bool = True


def column(name: str, type: str, description: str, *checks: ValueCheck, nullable: bool = True) -> Column:
    """A column, with its value rules as further arguments."""
    return Column(name, type, description, checks, nullable)


KEY_DATE = column("key_date", "date", "business day", nullable=False)
PART_DATE = column("part_date", "string", "business day, as partitions are named", nullable=False)
RUN_TIMESTAMP = column("run_timestamp", "timestamp", "UTC instant of the run that wrote the row", nullable=False)


@dataclass(frozen=True)
class Table:
    """A table of the lake.

    Attributes:
        database, name: how SQL addresses it; the Dagster asset key is `[database, name]`.
        description: what a row is, for people.
        columns: in the order in which they are stored and shown.
        grain: the columns that together name a row, empty where equal rows are allowed. NULL is a value here.
        partition_by: storage partitions; the last is the day column.
        period: how much time a partition covers; the day column holds its first day.
        only_partition: what the day column holds throughout, of a table that has no days.
        may_be_empty: a day without rows is nothing to warn of.
        rules, laws: what the audit demands beside types, known values and the grain.
        measures, pictures: numbers and drawings that each run shows.
        newest_in_sql: analysts know the table as unpartitioned: in SQL its name shows the newest row of each key, and
            `<name>__daily` the partitions.
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
        for what, used in (("grain", self.grain), ("partition_by", self.partition_by)):
            if unknown := [name for name in used if name not in names]:
                raise DeclarationError(f"{self.full_name}: {what} names {unknown}, which are not columns")
        if doubled := sorted({name for name in names if names.count(name) > 1}):
            raise DeclarationError(f"{self.full_name}: column {doubled} is declared twice")
        for declared in self.columns:
            data_type(declared.type)
        checks = [*BUILT_IN_CHECKS, *(rule.name for rule in self.value_checks())]
        checks += [rule.name for rule in self.row_checks] + [law.name for law in self.table_checks]
        if doubled := sorted({name for name in checks if checks.count(name) > 1}):
            raise DeclarationError(f"{self.full_name}: rule {doubled} is declared twice")

    @property
    def full_name(self) -> str:
        return f"{self.database}.{self.name}"

    @property
    def key(self) -> list[str]:
        return [self.database, self.name]

    @property
    def day_column(self) -> str:
        """The partition column that holds the business day (first day of the period), a `YYYY-MM-DD` string."""
        return self.partition_by[-1]

    @cached_property
    def schema(self) -> ibis.Schema:
        return ibis.schema({c.name: data_type(c.type)(nullable=c.nullable) for c in self.columns})

    @cached_property
    def arrow_schema(self) -> pa.Schema:
        """The Delta table's schema. All columns are nullable there: what must be known is the audit's business."""
        return pa.schema([pa.field(c.name, data_type(c.type).to_pyarrow()) for c in self.columns])

    def conform(self, rows: ir.Table) -> ir.Table:
        """`rows` with exactly this table's columns, in order and of the declared types.

        Raises:
            DeclarationError: a column is not among those of `rows`.
        """
        if missing := [c.name for c in self.columns if c.name not in rows.columns]:
            raise DeclarationError(f"{self.full_name}: the function's result lacks {missing}; it has {rows.columns}")
        return rows.select(**{c.name: rows[c.name].cast(data_type(c.type)) for c in self.columns})

    def value_checks(self) -> Iterable[RowCheck]:
        """The columns' value rules as rules of a row, one for each rule name."""
        by_name: dict[str, list[tuple[Column, ValueCheck]]] = {}
        for declared in self.columns:
            for rule in declared.checks:
                by_name.setdefault(rule.name, []).append((declared, rule))
        for name, members in by_name.items():
            description = "; ".join(f"{c.name}: {rule.description}" for c, rule in members)
            yield RowCheck(
                name, description, lambda t, members=members: _all(_null_or(t[c.name], r) for c, r in members)
            )


def _null_or(column: Any, rule: ValueCheck) -> ir.BooleanValue:
    return column.isnull() | rule.holds(column).fill_null(False)


def _all(conditions: Iterable[ir.BooleanValue]) -> ir.BooleanValue:
    met: ir.BooleanValue | None = None
    for condition in conditions:
        met = condition if met is None else met & condition
    if met is None:
        raise DeclarationError("a rule needs at least one condition")
    return met
