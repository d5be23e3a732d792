"""Stage, audit, publish: the three steps of every materialization, on every engine.

If a check of severity ERROR fails, nothing is published and readers keep the partitions that they have. A run that
dies at any instant leaves the table as it was: its staged files are in no log, are never read, and are vacuumed.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.audit import Finding, audit
from wemart_assets.lake.audit_results import RESULTS, record
from wemart_assets.lake.engine import Staged
from wemart_assets.lake.errors import AuditFailed
from wemart_assets.lake.faults import machine_faults
from wemart_assets.lake.inject import call, parameters
from wemart_assets.lake.lineage import ColumnLineage, column_lineage
from wemart_assets.lake.location import Location
from wemart_assets.lake.session import Session
from wemart_assets.lake.store import Baseline
from wemart_assets.lake.table import RUN_TIMESTAMP, Chart, Severity, Table, data_type

log = logging.getLogger(__name__)
PREVIEW_ROWS = 5


@dataclass(frozen=True)
class Publication:
    """What one run published: rows and bytes of each day, the Delta version, the findings, the time of each step.

    `charts` has the SVG of each chart by name; `not_drawn` says why the other charts could not be drawn, and
    `not_recorded` why what the audit found is not in `audit.results`, if it is not.
    """

    version: int
    rows: Mapping[str, int]
    bytes: Mapping[str, int]
    findings: Sequence[Finding]
    preview: Sequence[Mapping[str, Any]]
    lineage: ColumnLineage
    measures: Mapping[str, Any]
    charts: Mapping[str, str]
    not_drawn: Mapping[str, str]
    not_recorded: str | None
    seconds: Mapping[str, float]


class RejectedByAudit(AuditFailed):
    """An audit failure, with the findings that the asset reports."""

    def __init__(self, message: str, findings: Sequence[Finding]) -> None:
        super().__init__(message)
        self.findings = findings


def publish(
    session: Session,
    table: Table,
    days: Sequence[str],
    compute: Callable[[], tuple[ir.Table, Mapping[str, ir.Table]]],
    settings: Mapping[str, Any],
    now: dt.datetime,
    before: Callable[[], object] = lambda: None,
    reads: Location | None = None,
) -> Publication:
    """Replaces the partitions of `days` by the rows that `compute` returns, if they pass the audit.

    `compute` returns the rows, and by name the inputs that table checks and lineage refer to. It is called after the
    current state of the table was recorded, so a run that began earlier never overwrites one that began later.
    `before` is called once the audit has passed, right before the commit. `reads` is a folder of files that `compute`
    reads.

    Raises:
        MachineFault: the disk or the memory is full, or the lake cannot be written.
        RejectedByAudit: a check of severity ERROR failed; the message names the checks, the days and some rows.
        PublishConflict: another run published one of the days in the meantime.
    """
    with machine_faults(table.full_name, days, session.spill, reads):
        return _publish(session, table, days, compute, settings, now, before, of_files=reads is not None)


def _publish(
    session: Session,
    table: Table,
    days: Sequence[str],
    compute: Callable[[], tuple[ir.Table, Mapping[str, ir.Table]]],
    settings: Mapping[str, Any],
    now: dt.datetime,
    before: Callable[[], object],
    of_files: bool,
) -> Publication:
    began = time.monotonic()
    baseline = session.baseline(table, days)
    rows, inputs = compute()
    staged = stage(session, table, rows, days, baseline, now)
    was_staged = time.monotonic()
    lazy = {"published": lambda: _published_outside(session, table, days)}
    try:
        findings = audit(staged, lazy["published"], inputs, settings)
        not_recorded = _record(session, table, days, findings, time.monotonic() - was_staged, now)
        errors = [f for f in findings if not f.passed and f.check.severity is Severity.ERROR]
        if errors:
            raise RejectedByAudit(_explain(table, days, errors, () if of_files else inputs), findings)
        preview = staged.rows.limit(PREVIEW_ROWS).to_pyarrow().to_pylist()
        arguments = {**inputs, **settings, "staged": staged.rows}
        measures = {m.name: call(m.value, arguments).to_pyarrow().as_py() for m in table.measures}
        charts, not_drawn = _draw(table.charts, arguments, lazy)
        before()
    except BaseException:
        session.discard(staged)
        raise
    # From here on the files may be part of the table, so a commit that is interrupted does not discard them.
    was_audited = time.monotonic()
    version = session.publish(staged)
    return Publication(
        version,
        {day: staged.count(day) for day in days},
        session.sizes(table, days),
        findings,
        preview,
        column_lineage(rows, {rows.op(): name for name, rows in inputs.items()}),
        measures,
        charts,
        not_drawn,
        not_recorded,
        {
            "seconds to stage": round(was_staged - began, 3),
            "seconds to audit": round(was_audited - was_staged, 3),
            "seconds to publish": round(time.monotonic() - was_audited, 3),
        },
    )


def stage(
    session: Session, table: Table, rows: ir.Table, days: Sequence[str], baseline: Baseline, now: dt.datetime
) -> Staged:
    """Writes `rows`, with `now` as `run_timestamp`, to storage that no reader sees."""
    stamped = rows.mutate(run_timestamp=ibis.literal(now, type=data_type(RUN_TIMESTAMP.type)))
    return session.stage(table, stamped, days, baseline)


def _record(
    session: Session, table: Table, days: Sequence[str], findings: Sequence[Finding], seconds: float, now: dt.datetime
) -> str | None:
    """Records what the audit found; returns why it could not, if so."""
    try:
        record(session, table, days, findings, seconds, now)
    except Exception as error:
        # What the audit found decides about the rows, whether it is kept or not.
        log.warning("%s: what the audit found is not in %s: %s", table.full_name, RESULTS.full_name, error)
        return f"{type(error).__name__}: {error}"
    return None


def _draw(
    charts: Sequence[Chart], arguments: Mapping[str, Any], lazy: Mapping[str, Callable[[], Any]]
) -> tuple[dict[str, str], dict[str, str]]:
    """The SVG of each chart by name, and by name why the others cannot be drawn."""
    drawn, not_drawn = {}, {}
    for chart in charts:
        try:
            points = call(chart.points, arguments, lazy=lazy).to_pyarrow().to_pylist()
            drawn[chart.name] = chart.draw(points)
        except Exception as error:
            # A chart is no check: rows that passed the audit are published without it, whatever its bug.
            not_drawn[chart.name] = f"{type(error).__name__}: {error}"
    return drawn, not_drawn


def _published_outside(session: Session, table: Table, days: Sequence[str]) -> ir.Table:
    published = session.read(table)
    return published.filter(published[table.day_column].notin(list(days)))


def _explain(table: Table, days: Sequence[str], errors: Sequence[Finding], inputs: Iterable[str]) -> str:
    """The message of a rejected run; `inputs` are the names of the inputs that another run publishes."""
    lines = [
        f"{table.full_name}: {days[0]}{'' if len(days) == 1 else f' to {days[-1]}'} was not published; readers keep "
        "what they had. Failed checks:"
    ]
    for finding in errors:
        lines.append(f"  {finding.check.name} ({finding.check.description}): {finding.summary}")
        lines += [f"    {dict(row)}" for row in finding.examples[:2]]
    lines.append("Correct the input (or the check) and run the partition again.")
    failed = {finding.check.name for finding in errors}
    compared = {name for check in table.table_checks if check.name in failed for name in parameters(check.broken)}
    if compared := compared & set(inputs):
        lines.append(
            f"The rows were compared with {', '.join(sorted(compared))} as published. If the data behind that has "
            "changed, run it first."
        )
    return "\n".join(lines)
