"""`audit.results`: what every audit found, in the lake beside the tables.

Each run appends its results once per table, also if they stop the publication. They describe runs, not the data: no run
reads them, and a lake that is built again has others.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from wemart_assets.lake.table import Severity, Table, column

if TYPE_CHECKING:
    from wemart_assets.lake.audit import Finding
    from wemart_assets.lake.session import Session

RESULTS = Table(
    database="audit",
    name="results",
    description="One row per run, table, day (week, month) and check: what the audit of the run found.",
    grain=("run", "table_name", "day", "check_name"),
    partition_by=("recorded_on",),
    columns=(
        column("run", "string", "id of the Dagster run", nullable=False),
        column("table_name", "string", "database and name of the audited table", nullable=False),
        column("day", "string", "partition of the table: the business day, or the period's first", nullable=False),
        column("check_name", "string", "name of the check", nullable=False),
        column("severity", "string", "ERROR or WARN: a failed check of severity ERROR stops the publication"),
        column("passed", "boolean", "whether no row of the day breaks the check", nullable=False),
        column("bad_rows", "bigint", "rows of the day that break the check, as far as it counts rows", nullable=False),
        column("detail", "string", "what is wrong where no rows are counted, such as a column of another type"),
        column("published", "boolean", "whether the audit let the run publish the table", nullable=False),
        column("seconds", "double", "how long the whole audit of the table took in this run", nullable=False),
        column("recorded_at", "timestamp", "UTC instant of the run", nullable=False),
        column("recorded_on", "string", "UTC day of recorded_at, as partitions are named", nullable=False),
    ),
)


def record(
    session: Session, table: Table, days: Sequence[str], findings: Sequence[Finding], seconds: float, now: dt.datetime
) -> None:
    """Append what the audit of `table` found to `audit.results`, if the session belongs to a run.

    A run that repeats a step replaces what the step recorded before.
    """
    if session.run is None:
        return
    published = all(finding.passed or finding.check.severity is not Severity.ERROR for finding in findings)
    utc = now.astimezone(dt.UTC)
    rows = [
        {
            "run": session.run,
            "table_name": table.full_name,
            "day": day,
            "check_name": finding.check.name,
            "severity": finding.check.severity.value,
            # A finding without days, such as a wrong type, holds for all of them.
            "passed": finding.passed or (bool(finding.bad_days) and day not in (finding.bad_days or {})),
            "bad_rows": (finding.bad_days or {}).get(day, 0),
            "detail": finding.detail or None,
            "published": published,
            "seconds": round(seconds, 3),
            "recorded_at": utc,
            "recorded_on": utc.date().isoformat(),
        }
        for finding in findings
        for day in sorted({*days, *(finding.bad_days or {})})
    ]
    key = {"run": session.run, "table_name": table.full_name}
    session.append(RESULTS, pa.Table.from_pylist(rows, RESULTS.arrow_schema), key)
