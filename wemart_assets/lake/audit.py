"""The audit: pandera judges staged rows, and what is broken is told with a few rows of it.

Runs on what was staged, never on the lazy expression: each check would compute the whole query again. pandera checks
names, order and types of the columns and runs every rule and law as a check that gives one boolean; on its own it
would fetch a verdict for every row of the table to the driver, and on Spark number the rows in a single task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.engine import Staged
from wemart_assets.lake.errors import DeclarationError
from wemart_assets.lake.faults import fault_of
from wemart_assets.lake.inject import call
from wemart_assets.lake.table import GRAIN, KNOWN, ROWS, SCHEMA, RowCheck, Severity, Table, data_type

EXAMPLES = 5
# Beside a key that is not unique: how many rows share it.
SHARING = "rows"


@dataclass(frozen=True)
class CheckSpec:
    """A check as people see it: a name, what it demands, how severe it is."""

    name: str
    description: str
    severity: Severity


@dataclass(frozen=True)
class Finding:
    """The result of one check on one run: how many rows break it, on which days, and a few of them."""

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
        """What was found, for people; empty where the check passed."""
        if self.passed or self.detail:
            return self.detail
        days = ", ".join(f"{day} ({rows})" for day, rows in (self.bad_days or {}).items())
        return f"{'1 row breaks' if self.bad_rows == 1 else f'{self.bad_rows} rows break'} it, by day: {days}"


def checks_of(table: Table) -> list[CheckSpec]:
    """Every check of a table, in the order in which they run."""
    built_in = [CheckSpec(SCHEMA, "the columns have the declared names, order and types", Severity.ERROR)]
    if known := [c.name for c in table.columns if not c.nullable]:
        built_in.append(CheckSpec(KNOWN, f"never NULL: {', '.join(known)}", Severity.ERROR))
    if table.grain:
        built_in.append(CheckSpec(GRAIN, f"one row for each ({', '.join(table.grain)})", Severity.ERROR))
    declared = [CheckSpec(r.name, r.description, r.severity) for r in (*table.value_checks(), *table.row_checks)]
    declared += [CheckSpec(law.name, law.description, law.severity) for law in table.table_checks]
    rows = [] if table.may_be_empty else [CheckSpec(ROWS, "each day has rows", Severity.WARN)]
    return [*built_in, *declared, *rows]


def audit(
    staged: Staged, published: Callable[[], ir.Table], inputs: Mapping[str, ir.Table], settings: Mapping[str, Any]
) -> list[Finding]:
    """What the checks find in staged rows; one finding for each of `checks_of(table)`.

    `published` reads the table's partitions outside this run; it is called only if a law asks for them.
    """
    table = staged.table
    arguments = {**inputs, **settings, "staged": staged.rows, "table": table, "days": staged.days}
    breaks: dict[str, Callable[[ir.Table], ir.BooleanValue]] = {}
    if any(not c.nullable for c in table.columns):
        breaks[KNOWN] = lambda rows: _any_null(rows, table)
    for rule in (*table.value_checks(), *table.row_checks):
        breaks[rule.name] = lambda rows, rule=rule: _breaks(rows, rule, arguments)  # type: ignore[misc]
    broken: dict[str, Callable[[ir.Table], ir.Table]] = {
        name: lambda rows, condition=condition: rows.filter(condition(rows))  # type: ignore[misc]
        for name, condition in breaks.items()
    }
    if table.grain:
        broken[GRAIN] = lambda rows: _repeated(rows, table)
    for law in table.table_checks:
        broken[law.name] = lambda rows, law=law: call(law.broken, arguments, lazy={"published": published})  # type: ignore[misc]

    failed, schema_problems = _judge(staged.rows, table, broken, breaks)
    specs = {spec.name: spec for spec in checks_of(table)}
    findings = []
    for name, spec in specs.items():
        if name == SCHEMA:
            findings.append(Finding(spec, detail="; ".join(schema_problems)))
        elif name == ROWS:
            empty = {day: 0 for day in staged.days if staged.count(day) == 0}
            findings.append(Finding(spec, bad_days=empty, detail=f"no rows on {', '.join(empty)}" if empty else ""))
        elif name in failed:
            findings.append(_describe(spec, broken[name](staged.rows), table))
        else:
            findings.append(Finding(spec))
    return findings


def _judge(
    rows: ir.Table,
    table: Table,
    broken: Mapping[str, Callable[[ir.Table], ir.Table]],
    together: Mapping[str, Callable[[ir.Table], ir.BooleanValue]],
) -> tuple[set[str], list[str]]:
    """Names of the broken rules, and what is wrong with the columns.

    The rules in `together`, conditions of a row, are counted in one pass over the rows.
    """
    # Only where rows are judged: importing pandera takes longer than reading all declarations.
    from wemart_assets.lake.pandera_on_ibis import Check, Column, DataFrameSchema, SchemaErrorReason, SchemaErrors

    @cache
    def counted() -> Mapping[str, int]:
        conditions = {name: breaks(rows) for name, breaks in together.items()}
        found = rows.aggregate(**{name: rows.count(where=condition) for name, condition in conditions.items()})
        return dict(found.to_pyarrow().to_pylist()[0])

    # What was raised by each: pandera keeps its words alone.
    crashes: dict[str, Exception] = {}

    def holds(name: str) -> bool:
        try:
            bad = counted()[name] if name in together else broken[name](rows).count().to_pyarrow().as_py()
        except Exception as error:
            crashes[name] = error
            raise
        return bool(bad == 0)

    def check(name: str) -> Check:
        return Check(lambda _: holds(name), name=name)

    schema = DataFrameSchema(
        # What is unknown is judged by one query (KNOWN), not by one for each column.
        {c.name: Column(data_type(c.type), nullable=True) for c in table.columns},
        checks=[check(name) for name in broken],
        strict=True,
        ordered=True,
    )
    try:
        schema.validate(rows, lazy=True)
    except SchemaErrors as errors:
        failed, problems = set(), []
        for error in errors.schema_errors:
            crash = crashes.get(error.check.name) if error.reason_code is SchemaErrorReason.CHECK_ERROR else None
            if crash is not None and fault_of(crash) is not None:
                raise crash from None
            if error.reason_code is SchemaErrorReason.CHECK_ERROR and together:
                # Which of those that were counted together cannot run is seen when each runs by itself.
                return _judge(rows, table, broken, {})
            if error.reason_code is SchemaErrorReason.CHECK_ERROR:
                # pandera counts a crash of a check as a failure of the data; it is a bug of the rule.
                raise DeclarationError(f"{table.full_name}: rule '{error.check.name}' cannot run: {crash}") from crash
            if error.reason_code is SchemaErrorReason.DATAFRAME_CHECK:
                failed.add(error.check.name)
            else:
                problems.append(str(error))
        return failed, problems
    return set(), []


def _describe(spec: CheckSpec, broken: ir.Table, table: Table) -> Finding:
    if table.day_column not in broken.columns:
        raise DeclarationError(
            f"{table.full_name}: law '{spec.name}' returns {broken.columns}, without the day column {table.day_column}"
        )
    bad = broken[SHARING].sum() if spec.name == GRAIN else broken.count()
    days = broken.group_by(table.day_column).aggregate(bad=bad).to_pyarrow().to_pylist()
    by_day = {str(d[table.day_column]): d["bad"] for d in days}
    examples = broken.limit(EXAMPLES).to_pyarrow().to_pylist()
    return Finding(spec, sum(by_day.values()), dict(sorted(by_day.items())), tuple(examples))


def _any_null(rows: ir.Table, table: Table) -> ir.BooleanValue:
    unknown: ir.BooleanValue = ibis.literal(False)
    for c in table.columns:
        if not c.nullable:
            unknown = unknown | rows[c.name].isnull()
    return unknown


def _repeated(rows: ir.Table, table: Table) -> ir.Table:
    """One row for each key that several rows share, with how many do."""
    # The grain is that of one day; GROUP BY takes NULLs as equal, as the grain does.
    key = dict.fromkeys((*table.grain, table.day_column))
    return rows.group_by(*key).aggregate(**{SHARING: ibis._.count()}).filter(ibis._[SHARING] > 1)


def _breaks(rows: ir.Table, rule: RowCheck, arguments: Mapping[str, Any]) -> ir.BooleanValue:
    return ~call(rule.holds, arguments, first=rows).fill_null(False)
