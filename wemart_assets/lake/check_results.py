"""A table's checks as Dagster shows them: their specifications, and their results in a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dagster as dg

from wemart_assets.lake.audit import CheckSpec, Finding, checks_of
from wemart_assets.lake.table import Severity, Table


def check_specs(table: Table) -> Sequence[dg.AssetCheckSpec]:
    """Returns one Dagster check per check of the table, in the order in which they run.

    A check of severity ERROR blocks: if it fails, nothing is published and nothing downstream starts. A failed WARN
    check is only shown.
    """
    key = dg.AssetKey(table.key)
    return [
        dg.AssetCheckSpec(
            spec.name,
            asset=key,
            description=f"[{spec.severity.value}] {spec.description}",
            blocking=spec.severity is Severity.ERROR,
        )
        for spec in checks_of(table)
    ]


def check_result(table: Table, finding: Finding) -> dg.AssetCheckResult:
    """Returns what a check found: the number of bad rows, in total and per day, and a few of them as examples."""
    spec: CheckSpec = finding.check
    metadata: dict[str, Any] = {"bad rows": finding.bad_rows}
    if finding.bad_days:
        metadata["bad days"] = dg.MetadataValue.json(dict(finding.bad_days))
    if finding.examples:
        metadata["examples"] = dg.MetadataValue.json([{k: str(v) for k, v in row.items()} for row in finding.examples])
    return dg.AssetCheckResult(
        asset_key=dg.AssetKey(table.key),
        check_name=spec.name,
        passed=finding.passed,
        severity=dg.AssetCheckSeverity.ERROR if spec.severity is Severity.ERROR else dg.AssetCheckSeverity.WARN,
        description=finding.summary,
        metadata=metadata,
    )
