"""Every check of every table fails on rows that break it and passes on rows that do not.

A good world of each table is written by hand in `rule_cases/` (for contracts it is made from the column types), along
with a change for each check that breaks this check and, where that cannot be avoided, the others that the case names.
Each module there covers the tables of one domain, or a single one. `test_every_check_has_a_case_that_breaks_it` fails
for a check that no case breaks: a new check needs a case.

An audit costs seconds per run and next to nothing per day, so the cases of a table are audited in one run, each on its
own day far from the others; the findings by day show what each case breaks. Run-wide checks, which judge a run as a
whole, are left out there: each of their cases has its own run.
"""

from __future__ import annotations

import datetime as dt
import importlib
import json
import pkgutil
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import ibis.expr.types as ir
import pytest

from wemart_assets.catalog import contracts, marts, tables
from wemart_assets.lake.audit import EXAMPLES, GRAIN, NOT_NULL, ROWS, SCHEMA, Finding, audit, checks_of
from wemart_assets.lake.days import shift
from wemart_assets.lake.engine import Staged
from wemart_assets.lake.publication import RejectedByAudit, publish, stage
from wemart_assets.lake.session import Lake, Session
from wemart_assets.lake.table import Column, Severity, Table
from wemart_assets.settings import Settings
from wemart_assets.sources.contract import Contract
from wemart_assets_tests import rule_cases
from wemart_assets_tests.engines import spark_lake
from wemart_assets_tests.rule_cases import sessions
from wemart_assets_tests.rule_cases.worlds import (
    DAY,
    FIRST_PLACE,
    Case,
    Domain,
    Row,
    World,
    add_input,
    add_row,
    case,
    change_row,
    date_of,
    kst,
    moved,
    nothing_at_all,
    records,
)

Given = Callable[[Session, Table, Sequence[Row]], ir.Table]

SETTINGS = Settings(
    timezone="Asia/Seoul", first_day=dt.date(2024, 1, 1), session_gap_seconds=1800, quarantine_share=0.01
).for_tables()


def domains() -> Iterator[Domain]:
    for module in pkgutil.iter_modules(rule_cases.__path__, f"{rule_cases.__name__}."):
        said = getattr(importlib.import_module(module.name), "DOMAIN", None)
        if said is not None:
            yield said


GOOD = {name: world for d in domains() for name, world in d.good.items()}
CASES = [of for d in domains() for of in d.cases]
NULL_BREAKS_TOO = {name: too for d in domains() for name, too in d.null_breaks_too.items()}
NULL_ROW = {name: n for d in domains() for name, n in d.null_row.items()}
GOOD_VALUES = {of: value for d in domains() for of, value in d.good_values.items()}
BAD_VALUES = {of: values for d in domains() for of, values in d.bad_values.items()}
RUN_WIDE = {check for d in domains() for check in d.run_wide}

# Contracts: rows are made from the columns' types.
VALUE_OF_TYPE: dict[str, Callable[[int], Any]] = {
    "tinyint": lambda n: n,
    "int": lambda n: n,
    "bigint": lambda n: n,
    "double": float,
    "boolean": bool,
    "string": lambda n: f"text {n}",
    "date": lambda n: dt.date(2024, 3, 5),
    "timestamp": lambda n: kst("10:00:00") + dt.timedelta(minutes=n),
}


def contract_world(name: str) -> World:
    """Two rows that differ in every column, their two records, and nothing in quarantine."""
    table = contracts()[name].table

    def row(n: int) -> Row:
        values = {c.name: VALUE_OF_TYPE[c.type.partition("(")[0]](n) for c in table.columns if "decimal" not in c.type}
        values |= {column: value for (of, column), value in GOOD_VALUES.items() if of == name}
        return {**values, table.day_column: DAY, "run_timestamp": None}

    landed = {"records": 2, table.day_column: DAY}
    return World((row(1), row(2)), {"quarantined": (), "landed": (landed,), "repeated": ()})


def contract_cases(name: str) -> Iterator[Case]:
    contract = contracts()[name]
    quarantined = {"reason": "id is NULL", "file": "a.csv", "raw_row": "{}", contract.day_column: DAY}
    one_more = (add_input("quarantined", **quarantined), records(3))
    yield case(name, "quarantine_share", "one of three rows", *one_more)
    yield case(
        name, "quarantine_share", "every row", *one_more, records(1), lambda world: replace(world, rows=()), also=[ROWS]
    )
    repeated = add_input("repeated", **{contract.day_column: DAY})
    yield case(name, "no_record_is_lost", "a record without a row", records(3))
    yield case(
        name, "no_record_is_lost", "a record without a row beside one that repeats another", repeated, records(4)
    )
    yield case(name, "no_record_is_lost", "a row without a record", records(1))
    if contract.key:
        yield case(name, GRAIN, "a row twice", add_row(0), records(3))
    for (table, column, rule), values in BAD_VALUES.items():
        for value in values if table == name else ():
            yield case(name, rule, f"{column}={value}", change_row(0, **{column: value}), column=column)


def breakable(table: Table) -> list[str]:
    """The checks that rows reaching the audit can break, except the schema check, which has its own test."""
    return [s.name for s in checks_of(table) if s.name != SCHEMA and (s.name != NOT_NULL or not_null_columns(table))]


def not_null_columns(table: Table) -> list[str]:
    """Columns whose NULL reaches the audit: a run sets `run_timestamp`, and a NULL partition is refused earlier."""
    return [c.name for c in table.columns if not c.nullable and c.name not in (*table.partition_by, "run_timestamp")]


@cache
def good(name: str) -> World:
    return GOOD[name] if name in GOOD else contract_world(name)


@cache
def cases() -> list[Case]:
    """The handwritten cases, and generated cases for the checks that every table has."""
    found = list(CASES)
    for name, table in tables().items():
        if name not in GOOD and name not in contracts():
            continue
        if name in contracts() and name not in GOOD:
            found += contract_cases(name)
        if not table.may_be_empty:
            found.append(case(name, ROWS, "no rows", nothing_at_all))
        too = NULL_BREAKS_TOO.get(name, {})
        for column in not_null_columns(table):
            null = change_row(NULL_ROW.get(name, 0), **{column: None})
            found.append(case(name, NOT_NULL, column, null, also=sorted(too.get(column, ())), column=column))
    return found


def stops(of: Case) -> bool:
    severities = {spec.name: spec.severity for spec in checks_of(tables()[of.table])}
    return any(severities[name] is Severity.ERROR for name in (of.check, *of.also))


def without_run_wide_checks(name: str) -> Table:
    table = tables()[name]
    return replace(
        table, table_checks=tuple(check for check in table.table_checks if (name, check.name) not in RUN_WIDE)
    )


def _has_unknown_time_table(contract: Contract, name: str) -> bool:
    return contract.unknown_time_table is not None and contract.unknown_time_table.full_name == name


def inputs_of(name: str) -> dict[str, Table]:
    if name in marts():
        return {n: i.table for n, i in marts()[name].inputs.items()}
    [contract] = [c for c in contracts().values() if c.table.full_name == name or _has_unknown_time_table(c, name)]
    day = Column(contract.day_column, "string", "business day")

    def counted(name: str, *columns: Column) -> Table:
        return Table(contract.database, name, "", (*columns, day), partition_by=(day.name,))

    landed = counted("landed", Column("records", "bigint", "how many have landed"))
    return {"quarantined": contract.quarantine, "landed": landed, "repeated": counted("repeated")}


SPARK_RUN = dt.datetime(2024, 3, 10, tzinfo=dt.UTC)


def place(n: int, table: Table) -> str:
    """The partition of the n-th world of a run."""
    return date_of(dt.date.fromisoformat(FIRST_PLACE[table.period]), n, table.period).isoformat()


@dataclass(frozen=True)
class Outcome:
    """Findings and effects of the audit of a table's worlds, each on its own day."""

    findings: Mapping[str, Finding]
    message: str
    seen_before: Sequence[Row]
    seen_after: Sequence[Row]
    staged_is_gone: bool
    log_is_the_same: bool

    def broken_on(self, day: str) -> set[str]:
        return {name for name, found in self.findings.items() if day in (found.bad_days or {})}


@dataclass(frozen=True)
class Bench:
    """Audits worlds of a table in one run."""

    session: Session
    lake: Path
    given: Given
    write: Callable[..., int]
    read: Callable[..., list[Row]]
    data_files: Callable[[Path, Table], dict[str, str]]
    log_files: Callable[[Path, Table], dict[str, bytes]]
    now: dt.datetime

    def outcome(self, table: Table, worlds: Sequence[World], present: World | None = None) -> Outcome:
        """Publishes the n-th world on the n-th day, for which the rows of `present` are already published."""
        name = table.full_name
        days = [place(n, table) for n in range(len(worlds))]
        there = (
            [] if present is None else [row for n in range(len(worlds)) for row in moved(present, n, table.period).rows]
        )
        worlds = [moved(world, n, table.period) for n, world in enumerate(worlds)]
        before = [row for world in worlds for row in world.before]
        if there or before:
            self.write(self.session, table, [*(shift(day, -1, table.period) for day in days), *days], [*before, *there])

        def compute() -> tuple[ir.Table, dict[str, ir.Table]]:
            inputs = {
                n: self.given(self.session, of, [row for world in worlds for row in world.inputs.get(n, ())])
                for n, of in inputs_of(name).items()
            }
            return self.given(self.session, table, [row for world in worlds for row in world.rows]), inputs

        seen, files, log = (
            self.read(self.session, table),
            self.data_files(self.lake, table),
            self.log_files(self.lake, table),
        )
        message = ""
        try:
            findings = publish(self.session, table, days, compute, SETTINGS, self.now).findings
        except RejectedByAudit as rejected:
            findings, message = rejected.findings, str(rejected)
        return Outcome(
            {finding.check.name: finding for finding in findings},
            message,
            seen,
            self.read(self.session, table),
            self.data_files(self.lake, table) == files,
            self.log_files(self.lake, table) == log,
        )


@pytest.fixture(scope="module")
def benches(
    engine: Callable[[Path], Lake],
    tmp_path_factory: pytest.TempPathFactory,
    given: Given,
    write: Callable[..., int],
    read: Callable[..., list[Row]],
    data_files: Callable[[Path, Table], dict[str, str]],
    log_files: Callable[[Path, Table], dict[str, bytes]],
    now: dt.datetime,
) -> Iterator[Callable[[], Bench]]:
    """Benches, each with its own lake."""
    with ExitStack() as opened:

        def bench() -> Bench:
            lake = tmp_path_factory.mktemp("every_rule") / "lake"
            session = opened.enter_context(engine(lake).connect())
            return Bench(session, lake, given, write, read, data_files, log_files, now)

        yield bench


@pytest.fixture(scope="module")
def stopped(benches: Callable[[], Bench]) -> Callable[[str], Outcome]:
    """The run of all cases of a table that stop a publication, over days with good rows already published."""
    bench = benches()

    def run(name: str) -> Outcome:
        worlds = [of.change(good(name)) for of in stopping(name)]
        return bench.outcome(without_run_wide_checks(name), worlds, good(name))

    return cache(run)


@pytest.fixture(scope="module")
def published_run(benches: Callable[[], Bench]) -> Callable[[str], Outcome]:
    """The run of a table's good world, on the first day, and of all cases that only cause a warning."""
    bench = benches()

    def run(name: str) -> Outcome:
        worlds = [good(name), *(of.change(good(name)) for of in warning(name))]
        return bench.outcome(without_run_wide_checks(name), worlds)

    return cache(run)


@pytest.fixture(scope="module")
def alone(benches: Callable[[], Bench]) -> Callable[[str, World], Outcome]:
    """The run of one world of a table, with all checks, over a day with good rows already published."""
    bench = benches()
    return lambda name, world: bench.outcome(tables()[name], [world], good(name))


def stopping(name: str) -> list[Case]:
    return [of for of in cases() if of.table == name and not is_run_wide(of) and stops(of)]


def warning(name: str) -> list[Case]:
    return [of for of in cases() if of.table == name and not is_run_wide(of) and not stops(of)]


def is_run_wide(of: Case) -> bool:
    return (of.table, of.check) in RUN_WIDE


TABLES = [name for name in sorted(tables()) if name in GOOD or name in contracts()]


# Completeness


def test_every_mart_has_a_good_world() -> None:
    missing = sorted(set(marts()) - set(GOOD))
    assert not missing, f"add a good world of {missing} to GOOD and cases of their checks to CASES"


def test_every_check_has_a_case_that_breaks_it() -> None:
    broken = {(of.table, of.check) for of in cases()}
    # The schema check has its own test below: a result is cast to the declared columns before it is staged.
    checks = {(name, check) for name, table in tables().items() for check in breakable(table)}
    missing = sorted(checks - broken)
    assert not missing, f"no case breaks {missing}: add one to CASES (contracts: BAD_VALUES)"
    unknown = sorted(broken - checks)
    assert not unknown, f"cases for checks that are not there: {unknown}"


def test_every_value_check_of_every_column_has_a_case_that_breaks_it() -> None:
    broken = {(of.table, of.column, of.check) for of in cases()}
    rules = {(name, c.name, rule.name) for name, table in tables().items() for c in table.columns for rule in c.checks}
    missing = sorted(rules - broken)
    assert not missing, f"no case breaks {missing}: add a bad value to CASES (contracts: BAD_VALUES)"


def test_case_names_are_unique() -> None:
    names = [str(of) for of in cases()]
    assert len(set(names)) == len(names), json.dumps(sorted(n for n in names if names.count(n) > 1))


# Good rows pass


@pytest.mark.parametrize("name", TABLES)
def test_good_rows_pass_every_check(published_run: Callable[[str], Outcome], name: str) -> None:
    found = published_run(name)
    assert found.message == ""
    assert list(found.findings) == [spec.name for spec in checks_of(without_run_wide_checks(name))]
    assert found.broken_on(place(0, tables()[name])) == set()
    published = [row for row in found.seen_after if row[tables()[name].day_column] == place(0, tables()[name])]
    assert len(published) == len(good(name).rows)


@pytest.mark.parametrize("name", sorted({table for table, _ in RUN_WIDE}))
def test_good_rows_pass_the_run_wide_checks(alone: Callable[[str, World], Outcome], name: str) -> None:
    found = alone(name, good(name))
    assert list(found.findings) == [spec.name for spec in checks_of(tables()[name])]
    assert [check for check, finding in found.findings.items() if not finding.passed] == []


# Bad rows fail


@pytest.mark.parametrize("of", [of for name in TABLES for of in stopping(name)], ids=str)
def test_a_broken_check_is_found(stopped: Callable[[str], Outcome], of: Case) -> None:
    assert stopped(of.table).broken_on(place(stopping(of.table).index(of), tables()[of.table])) == {of.check, *of.also}


@pytest.mark.parametrize("of", [of for of in cases() if is_run_wide(of)], ids=str)
def test_a_broken_run_wide_check_is_found(alone: Callable[[str, World], Outcome], of: Case) -> None:
    found = alone(of.table, of.change(good(of.table)))
    assert found.broken_on(place(0, tables()[of.table])) == {of.check, *of.also}
    assert (found.message != "") == stops(of)
    assert found.log_is_the_same == stops(of)


@pytest.mark.parametrize("name", TABLES)
def test_broken_checks_stop_the_publication(stopped: Callable[[str], Outcome], name: str) -> None:
    found = stopped(name)
    assert found.seen_after == found.seen_before
    assert len(found.seen_after) == len(good(name).rows) * len(stopping(name))
    assert found.staged_is_gone
    assert found.log_is_the_same


@pytest.mark.parametrize("name", TABLES)
def test_the_message_names_every_broken_check_with_its_days_and_rows(
    stopped: Callable[[str], Outcome], name: str
) -> None:
    found = stopped(name)
    table = tables()[name]
    assert f"{name}: {place(0, table)} to {place(len(stopping(name)) - 1, table)} was not published" in found.message
    for check, finding in found.findings.items():
        if finding.check.severity is Severity.WARN or check not in breakable(tables()[name]):
            assert f"  {check} (" not in found.message
            continue
        days = [place(n, table) for n, of in enumerate(stopping(name)) if check in (of.check, *of.also)]
        [said] = [line for line in found.message.splitlines() if line.startswith(f"  {check} (")]
        assert re.findall(r"(\d{4}-\d\d-\d\d) \(\d+\)", said) == days
        rows = "1 row breaks" if finding.bad_rows == 1 else f"{finding.bad_rows} rows break"
        assert f"): {rows} it, by day" in said
        assert finding.bad_rows >= len(days)
        assert 1 <= len(finding.examples) <= EXAMPLES


@pytest.mark.parametrize("of", [of for name in TABLES for of in warning(name)], ids=str)
def test_a_broken_warning_is_reported_and_stops_nothing(published_run: Callable[[str], Outcome], of: Case) -> None:
    found, n = published_run(of.table), 1 + warning(of.table).index(of)
    table, world = tables()[of.table], of.change(good(of.table))
    assert found.broken_on(place(n, table)) == {of.check, *of.also}
    assert sum(1 for row in found.seen_after if row[table.day_column] == place(n, table)) == len(world.rows)


@dataclass(frozen=True)
class SparkBench:
    """Audits worlds of a table, each on its own day, as if they had been staged on Spark."""

    session: Session
    given: Given

    def broken(self, table: Table, worlds: Sequence[World]) -> list[set[str]]:
        days = [place(n, table) for n in range(len(worlds))]
        worlds = [moved(world, n, table.period) for n, world in enumerate(worlds)]
        rows = [{**row, "run_timestamp": SPARK_RUN} for world in worlds for row in world.rows]
        counts = Counter(str(row[table.day_column]) for row in rows)
        published = self.given(self.session, table, [row for world in worlds for row in world.before])
        inputs = {
            n: self.given(self.session, of, [row for world in worlds for row in world.inputs.get(n, ())])
            for n, of in inputs_of(table.full_name).items()
        }
        staged_rows, baseline = self.given(self.session, table, rows), self.session.baseline(table, days)
        staged = Staged(table, tuple(days), staged_rows, counts, baseline)
        found = audit(staged, lambda: published, inputs, SETTINGS)
        return [{f.check.name for f in found if day in (f.bad_days or {})} for day in days]


@pytest.fixture(scope="module")
def on_spark(tmp_path_factory: pytest.TempPathFactory, given: Given) -> Iterator[SparkBench]:
    with spark_lake(tmp_path_factory.mktemp("rules_on_spark") / "lake").connect() as opened:
        yield SparkBench(opened, given)


@pytest.mark.spark
@pytest.mark.parametrize("name", TABLES)
def test_every_broken_check_is_found_on_spark(on_spark: SparkBench, name: str) -> None:
    of_table = [of for of in cases() if of.table == name and not is_run_wide(of)]
    worlds = [good(name), *(of.change(good(name)) for of in of_table)]
    found = on_spark.broken(without_run_wide_checks(name), worlds)
    expected = [set(), *({of.check, *of.also} for of in of_table)]
    assert dict(zip(["good", *map(str, of_table)], found, strict=True)) == dict(
        zip(["good", *map(str, of_table)], expected, strict=True)
    )


@pytest.mark.spark
@pytest.mark.parametrize("of", [of for of in cases() if is_run_wide(of)], ids=str)
def test_a_broken_run_wide_check_is_found_on_spark(on_spark: SparkBench, of: Case) -> None:
    assert on_spark.broken(tables()[of.table], [good(of.table)]) == [set()]
    assert on_spark.broken(tables()[of.table], [of.change(good(of.table))]) == [{of.check, *of.also}]


@pytest.mark.parametrize("name", TABLES)
def test_a_column_of_another_type_fails_the_schema_check(
    session: Session, given: Given, now: dt.datetime, name: str
) -> None:
    # Other checks cannot run over columns of the wrong type, so the table is audited without them.
    table = replace(tables()[name], row_checks=(), table_checks=())
    rows, day = given(session, table, good(name).rows), place(0, table)
    staged = stage(session, table, rows, [day], session.baseline(table, [day]), now)
    other = staged.rows.mutate(run_timestamp=staged.rows.run_timestamp.cast("string"))
    findings = audit(replace(staged, rows=other), lambda: session.read(table), {}, SETTINGS)
    [found] = [f for f in findings if not f.passed]
    assert found.check.name == SCHEMA
    assert found.check.severity is Severity.ERROR
    assert "run_timestamp" in found.detail


def test_durations_are_truncated_to_whole_seconds(benches: Callable[[], Bench]) -> None:
    """Seconds 0 to 300 inclusive are 301. Rounding 10:00:00.600 up to second 1 would leave 300."""
    visits = tuple(
        {
            **sessions.visit("d1", "10:00:00.600", "10:05:00.400", 301, 101, community),
        }
        for community in ("10", "11")
    )
    world = replace(sessions.SESSIONS, rows=visits, inputs={"lines": tuple(map(sessions.line_of, visits))})
    found = benches().outcome(tables()[sessions.SESS], [world])
    assert found.broken_on(DAY) == set()
