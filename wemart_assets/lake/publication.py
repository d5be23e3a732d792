"""Stage, audit, publish: the three steps of every materialization, on every engine.

If a rule of severity ERROR is broken, nothing is published and readers keep the partitions that they have. A run that
dies at any instant leaves the table as it was: what it staged is in no log, is never read, and is vacuumed.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.audit import Finding, audit
from wemart_assets.lake.engine import Baseline, Session, Staged
from wemart_assets.lake.errors import AuditFailed
from wemart_assets.lake.faults import machine_faults
from wemart_assets.lake.inject import call, parameters
from wemart_assets.lake.lineage import ColumnLineage, column_lineage
from wemart_assets.lake.table import RUN_TIMESTAMP, Chart, Severity, Table, data_type

PREVIEW_ROWS = 5


@dataclass(frozen=True)
class Publication:
    """What one run published: rows and bytes of each day, the Delta version, what the checks found, what took time.

    `charts` are SVG by name; `not_drawn` says of those that could not be drawn why.
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
    seconds: Mapping[str, float]


class RejectedByAudit(AuditFailed):
    """An audit failure with its findings, for those who show them."""

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
    reads: Path | None = None,
) -> Publication:
    """Replace the partitions of `days` by what `compute` returns, if it passes the audit.

    `compute` returns the rows and the inputs (by name) that laws and lineage speak of. It is called after the
    table's present state was noted, so that a run that began earlier never overwrites one that began later. `before`
    is called when the audit has passed, right before the commit. `reads` is a folder of files that `compute` reads.

    Raises:
        MachineFault: there is no room or no memory, or the lake cannot be written.
        RejectedByAudit: a rule of severity ERROR is broken; the message names the rules, days and some rows.
        PublishConflict: another run published one of the days meanwhile.
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
    # From here on the files may be part of the table: a commit that is cut off leaves them alone.
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
        {
            "seconds to stage": round(was_staged - began, 3),
            "seconds to audit": round(was_audited - was_staged, 3),
            "seconds to publish": round(time.monotonic() - was_audited, 3),
        },
    )


def stage(
    session: Session, table: Table, rows: ir.Table, days: Sequence[str], baseline: Baseline, now: dt.datetime
) -> Staged:
    """Compute `rows` into storage that no reader sees, with the run's clock as `run_timestamp`."""
    clocked = rows.mutate(run_timestamp=ibis.literal(now, type=data_type(RUN_TIMESTAMP.type)))
    return session.stage(table, clocked, days, baseline)


def _draw(
    charts: Sequence[Chart], arguments: Mapping[str, Any], lazy: Mapping[str, Callable[[], Any]]
) -> tuple[dict[str, str], dict[str, str]]:
    """SVG of the charts by name, and of those that cannot be drawn why."""
    drawn, not_drawn = {}, {}
    for chart in charts:
        try:
            points = call(chart.points, arguments, lazy=lazy).to_pyarrow().to_pylist()
            drawn[chart.name] = chart.draw(points)
        except Exception as error:
            # A chart judges nothing: rows that passed the audit are published without it, whatever is wrong with it.
            not_drawn[chart.name] = f"{type(error).__name__}: {error}"
    return drawn, not_drawn


def _published_outside(session: Session, table: Table, days: Sequence[str]) -> ir.Table:
    published = session.read(table)
    return published.filter(published[table.day_column].notin(list(days)))


def _explain(table: Table, days: Sequence[str], errors: Sequence[Finding], inputs: Iterable[str]) -> str:
    """What is wrong and what to do; `inputs` are the names of those that another run publishes."""
    lines = [
        f"{table.full_name}: {days[0]}{'' if len(days) == 1 else f' to {days[-1]}'} was not published; readers keep "
        "what they had. Broken rules:"
    ]
    for finding in errors:
        lines.append(f"  {finding.check.name} ({finding.check.description}): {finding.summary}")
        lines += [f"    {dict(row)}" for row in finding.examples[:2]]
    lines.append("Correct the input (or the rule) and run the partition again.")
    broken = {finding.check.name for finding in errors}
    compared = {name for law in table.table_checks if law.name in broken for name in parameters(law.broken)} & set(
        inputs
    )
    if compared:
        lines.append(
            f"It was compared with {', '.join(sorted(compared))} as published: if another run has changed what that is "
            "made of, run it anew first."
        )
    return "\n".join(lines)
