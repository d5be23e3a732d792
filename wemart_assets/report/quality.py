"""The state of the data: how fresh each table is, what the audits found, and which rows were refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wemart_assets import catalog
from wemart_assets.lake.days import Period, period_days, period_start, periods_between, shift
from wemart_assets.report.charts import statuses
from wemart_assets.report.span import Span

if TYPE_CHECKING:
    import altair as alt

    from wemart_assets.lake.table import Table

Row = Mapping[str, Any]
AUDITED_DAYS = 30
SOURCES = "sources"

# Each day's latest audit decides: a failed check that a later run passed is no longer a problem. An audit of a day is
# never recorded before that day begins, which may be the day before in UTC.
LATEST = """\
with latest as (
    select table_name, day, check_name, severity, passed, bad_rows, detail
    from audit.results
    where day between '{first}' and '{last}' and recorded_on >= strftime(date '{first}' - 1, '%Y-%m-%d')
    qualify row_number() over (partition by table_name, day, check_name order by recorded_at desc, run desc) = 1
)
"""
AUDITS = (
    LATEST
    + """\
select table_name, day, count(*) as checks,
       count(*) filter (not passed and severity = 'WARN') as warned,
       count(*) filter (not passed and severity = 'ERROR') as failed
from latest
group by all
order by table_name, day"""
)
PROBLEMS = (
    LATEST
    + """\
select table_name, check_name, severity, count(*) as days, max(day) as newest_day,
       sum(bad_rows)::bigint as bad_rows, arg_max(detail, day) as detail
from latest
where not passed
group by all
order by severity, days desc, table_name, check_name"""
)
FRESHNESS = """\
select table_name, max(day) as newest_day, max(recorded_at) as published_at
from audit.results
where published and day like '____-__-__'
group by table_name"""


@dataclass(frozen=True)
class Freshness:
    """How far a table's newest published partition is behind the newest that the report's day makes due."""

    table: str
    domain: str
    newest: str
    behind: int
    """Partitions: days, weeks or months."""
    period: Period


def due(day: str, period: Period) -> str:
    """Returns the newest partition that is over at the end of the day."""
    start = period_start(day, period)
    return start if period_days(start, period)[-1] == day else shift(start, -1, period)


def freshness(rows: Sequence[Row], span: Span) -> list[Freshness]:
    """Returns the freshness of each table with a published day, the stalest first."""
    tables, domains = catalog.tables(), catalog.groups()
    found = []
    for row in rows:
        if (table := tables.get(row["table_name"])) is None:
            continue
        newest, last = row["newest_day"], due(span.last, table.period)
        behind = len(periods_between(newest, last, table.period)) - 1
        domain = domains.get(table.full_name, SOURCES)
        found.append(Freshness(table.full_name, domain, newest, max(behind, 0), table.period))
    return sorted(found, key=lambda f: (-f.behind, f.table))


def audit_span(span: Span) -> Span:
    """Returns the days whose audits are shown."""
    return Span(span.last, AUDITED_DAYS, span.lake_first)


def strip(rows: Sequence[Row], span: Span) -> alt.TopLevelMixin:
    """Returns the chart of the worst finding by domain and day."""
    domains = catalog.groups()
    counts: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        key = domains.get(row["table_name"], SOURCES), row["day"]
        counted = counts.setdefault(key, [0, 0, 0])
        for n, name in enumerate(("checks", "warned", "failed")):
            counted[n] += row[name]
    cells = [
        {
            "row": domain,
            "day": day,
            "status": "failed" if failed else "warned" if warned else "passed",
            "found": f"{checks:,} checks, {failed:,} failed, {warned:,} warned",
        }
        for (domain, day), (checks, warned, failed) in counts.items()
    ]
    names = sorted({domain for domain, _ in counts} - {SOURCES})
    names = ([SOURCES] if any(domain == SOURCES for domain, _ in counts) else []) + names
    return statuses(span.days, names, cells)


def refused_query(tables: Sequence[Table]) -> str:
    """Returns the query of the rows that broke a contract, by the quarantine that they are in and the reason."""
    selects = [
        f"select '{table.full_name}' as table_name, \"{table.day_column}\" as day, reason from {table.full_name}"
        for table in tables
    ]
    union = "\n    union all ".join(selects)
    return (
        f"select table_name, reason, count(*) as rows, max(day) as newest_day\nfrom (\n    {union}\n)\n"
        "where day between '{first}' and '{last}'\ngroup by all\norder by rows desc, table_name, reason"
    )
