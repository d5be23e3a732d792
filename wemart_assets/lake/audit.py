"""The audit: pandera judges staged rows, and each failed check is reported with its days and a few example rows.

It reads the staged rows, never the lazy expression, which each check would compute again. One query counts the rows
that break each check; pandera judges the counts, and the names, order and types of the columns. Left to itself, pandera
would run a query per check and fetch a verdict for every row of the table; on Spark it would number the rows in a
single task. Only the rows of a failed check are queried again, for its days and examples.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.engine import Staged
from wemart_assets.lake.errors import DeclarationError
from wemart_assets.lake.faults import fault_of
from wemart_assets.lake.inject import call
from wemart_assets.lake.table import GRAIN, NOT_NULL, ROWS, SCHEMA, RowCheck, Severity, Table, data_type

log = logging.getLogger(__name__)
EXAMPLES = 5
# The column that says how many rows share a key that is not unique.
SHARING = "rows"


@dataclass(frozen=True)
class CheckSpec:
    """A check as users see it: its name, what it requires, and its severity."""

    name: str
    description: str
    severity: Severity


@dataclass(frozen=True)
class Finding:
    """The result of one check in one run: how many rows break it, on which days, and a few examples."""

    check: CheckSpec
    bad_rows: int = 0
    bad_days: Mapping[str, int] | None = None
    examples: tuple[Mapping[str, Any], ...] = ()
    detail: str = ""

    @property
    def passed(self) -> bool:
        return self.bad_rows == 0 and not self.detail

    @property
    def summary(self) -> str:
        """The result as a sentence; empty if the check passed."""
        if self.passed or self.detail:
            return self.detail
        days = ", ".join(f"{day} ({rows})" for day, rows in (self.bad_days or {}).items())
        return f"{'1 row breaks' if self.bad_rows == 1 else f'{self.bad_rows} rows break'} it, by day: {days}"


def checks_of(table: Table) -> list[CheckSpec]:
    """Every check of a table, in the order in which they run."""
    built_in = [CheckSpec(SCHEMA, "the columns have the declared names, order and types", Severity.ERROR)]
    if required := [c.name for c in table.columns if not c.nullable]:
        built_in.append(CheckSpec(NOT_NULL, f"never NULL: {', '.join(required)}", Severity.ERROR))
    if table.grain:
        built_in.append(CheckSpec(GRAIN, f"one row for each ({', '.join(table.grain)})", Severity.ERROR))
    declared = [CheckSpec(c.name, c.description, c.severity) for c in (*table.value_checks(), *table.row_checks)]
    declared += [CheckSpec(c.name, c.description, c.severity) for c in table.table_checks]
    rows = [] if table.may_be_empty else [CheckSpec(ROWS, f"each {table.period} has rows", Severity.WARN)]
    return [*built_in, *declared, *rows]


def audit(
    staged: Staged, published: Callable[[], ir.Table], inputs: Mapping[str, ir.Table], settings: Mapping[str, Any]
) -> list[Finding]:
    """Runs the checks on the staged rows; returns one finding for each of `checks_of(table)`.

    `published` reads the table's partitions outside this run; it is called only if a table check takes them.

    Raises:
        DeclarationError: a check cannot run; the message names it.
    """
    table = staged.table
    broken = _broken_rows(staged, published, inputs, settings)
    failed = _judge(_count(table, staged.rows, broken))
    findings = []
    for spec in checks_of(table):
        if spec.name == SCHEMA:
            findings.append(Finding(spec, detail="; ".join(_schema_problems(staged.rows, table))))
        elif spec.name == ROWS:
            empty = {day: 0 for day in staged.days if staged.count(day) == 0}
            findings.append(Finding(spec, bad_days=empty, detail=f"no rows on {', '.join(empty)}" if empty else ""))
        elif spec.name in failed:
            findings.append(_describe(spec, broken[spec.name](staged.rows), table))
        else:
            findings.append(Finding(spec))
    return findings


@dataclass(frozen=True)
class _RowsThat:
    """The staged rows that meet a condition."""

    condition: Callable[[ir.Table], ir.BooleanValue]

    def __call__(self, rows: ir.Table) -> ir.Table:
        return rows.filter(self.condition(rows))


# Returns the rows that break a check, given the staged rows.
_Broken = Callable[["ir.Table"], "ir.Table"]


def _broken_rows(
    staged: Staged, published: Callable[[], ir.Table], inputs: Mapping[str, ir.Table], settings: Mapping[str, Any]
) -> dict[str, _Broken]:
    """By the name of each check, a function that returns the rows that break it.

    A declared check is called only then, because it may have a bug, and the error has to name it.
    """
    table = staged.table
    arguments = {**inputs, **settings, "staged": staged.rows, "table": table, "days": staged.days}
    broken: dict[str, _Broken] = {}
    if any(not c.nullable for c in table.columns):
        broken[NOT_NULL] = _RowsThat(lambda rows: _any_null(rows, table))
    for check in (*table.value_checks(), *table.row_checks):
        broken[check.name] = _RowsThat(lambda rows, check=check: _breaks(rows, check, arguments))  # type: ignore[misc]
    if table.grain:
        broken[GRAIN] = lambda rows: _repeated(rows, table)
    for table_check in table.table_checks:
        broken[table_check.name] = lambda _, check=table_check: call(  # type: ignore[misc]
            check.broken, arguments, lazy={"published": published}
        )
    return broken


def _count(table: Table, rows: ir.Table, broken: Mapping[str, _Broken]) -> dict[str, int]:
    """How many rows break each check, counted by one query.

    All row conditions are counted in one scan; the grain and the table checks are branches of the same query. If the
    query fails, each check is counted alone: this finds the check that cannot run, or needs less memory.

    A warning in the log says so.

    Raises:
        DeclarationError: a check cannot run; the message names it.
    """
    if not broken:
        return {}
    try:
        return _count_together(rows, broken)
    except Exception as error:
        counts = {name: _count_alone(table, rows, name, broken[name]) for name in broken}
        # Each of them could be counted: the audit is right, only slower than it should be.
        log.warning("%s: the checks could not be counted by one query, so each ran alone: %s", table.full_name, error)
        return counts


def _count_together(rows: ir.Table, broken: Mapping[str, _Broken]) -> dict[str, int]:
    conditions = {name: rows_of.condition(rows) for name, rows_of in broken.items() if isinstance(rows_of, _RowsThat)}
    counts: list[ir.Table] = []
    if conditions:
        counts.append(rows.aggregate(**{name: rows.count(where=breaks) for name, breaks in conditions.items()}))
    counts += [
        rows_of(rows).aggregate(**{name: ibis._.count()}) for name, rows_of in broken.items() if name not in conditions
    ]
    if len(counts) > 1:
        not_counted = ibis.null("int64")
        counts = [c.select(**{name: c[name] if name in c.columns else not_counted for name in broken}) for c in counts]
    counted: dict[str, int] = {}
    for branch in (counts[0] if len(counts) == 1 else ibis.union(*counts)).to_pyarrow().to_pylist():
        counted |= {name: count for name, count in branch.items() if count is not None}
    # A check without a count would pass unseen: the KeyError has each counted alone.
    return {name: counted[name] for name in broken}


def _count_alone(table: Table, rows: ir.Table, name: str, broken: _Broken) -> int:
    try:
        return int(broken(rows).count().to_pyarrow().as_py())
    except Exception as error:
        if fault_of(error) is not None:
            raise
        raise DeclarationError(f"{table.full_name}: check '{name}' cannot run: {error}") from error


def _judge(counts: Mapping[str, int]) -> set[str]:
    """The names of the checks that some row breaks."""
    if not counts:
        return set()
    # Imported only where rows are judged: pandera and pandas take longer to import than all declarations.
    import pandas as pd

    from wemart_assets.lake.pandera_backends import Check, Column, DataFrameSchema, SchemaErrors

    schema = DataFrameSchema({name: Column(int, Check.equal_to(0)) for name in counts})
    try:
        schema.validate(pd.DataFrame([dict(counts)]), lazy=True)
    except SchemaErrors as errors:
        return {error.schema.name for error in errors.schema_errors}
    return set()


def _schema_problems(rows: ir.Table, table: Table) -> list[str]:
    """How the names, order or types of the columns differ from the declared ones."""
    from wemart_assets.lake.pandera_backends import IbisColumn, IbisSchema, SchemaErrors

    columns = {c.name: IbisColumn(data_type(c.type), nullable=True) for c in table.columns}
    try:
        IbisSchema(columns, strict=True, ordered=True).validate(rows, lazy=True)
    except SchemaErrors as errors:
        return [str(error) for error in errors.schema_errors]
    return []


def _describe(spec: CheckSpec, broken: ir.Table, table: Table) -> Finding:
    if table.day_column not in broken.columns:
        raise DeclarationError(
            f"{table.full_name}: table check '{spec.name}' returns {broken.columns}, without the day column "
            f"{table.day_column}"
        )
    bad = broken[SHARING].sum() if spec.name == GRAIN else broken.count()
    days = broken.group_by(table.day_column).aggregate(bad=bad).to_pyarrow().to_pylist()
    by_day = {str(d[table.day_column]): d["bad"] for d in days}
    examples = broken.limit(EXAMPLES).to_pyarrow().to_pylist()
    return Finding(spec, sum(by_day.values()), dict(sorted(by_day.items())), tuple(examples))


def _any_null(rows: ir.Table, table: Table) -> ir.BooleanValue:
    is_null: ir.BooleanValue = ibis.literal(False)
    for c in table.columns:
        if not c.nullable:
            is_null = is_null | rows[c.name].isnull()
    return is_null


def _repeated(rows: ir.Table, table: Table) -> ir.Table:
    """One row per key that several rows share, with their number."""
    # The grain holds within a day. GROUP BY treats NULLs as equal, as the grain does.
    key = dict.fromkeys((*table.grain, table.day_column))
    return rows.group_by(*key).aggregate(**{SHARING: ibis._.count()}).filter(ibis._[SHARING] > 1)


def _breaks(rows: ir.Table, check: RowCheck, arguments: Mapping[str, Any]) -> ir.BooleanValue:
    return ~call(check.holds, arguments, first=rows).fill_null(False)
