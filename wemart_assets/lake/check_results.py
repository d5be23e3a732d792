"""A table's checks as Dagster shows them: their specifications, their results in a run, and those that did not run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dagster as dg

from wemart_assets.lake.audit import Finding, checks_of
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
    """Returns what a check of published rows found: the number of bad rows, in total and per day, and examples."""
    return dg.AssetCheckResult(
        asset_key=dg.AssetKey(table.key),
        check_name=finding.check.name,
        passed=finding.passed,
        severity=_severity(finding),
        description=finding.summary,
        metadata=_metadata(finding),
    )


def refused(table: Table, finding: Finding) -> dg.AssetCheckEvaluation:
    """Returns what a check of refused rows found.

    Unlike an `AssetCheckResult`, it does not name the materialization that the day had before: Dagster's UI would show
    it as not evaluated if another day was materialized later.
    """
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(table.key),
        check_name=finding.check.name,
        passed=finding.passed,
        severity=_severity(finding),
        description=finding.summary,
        metadata=_metadata(finding),
        blocking=finding.check.severity is Severity.ERROR,
    )


def _severity(finding: Finding) -> dg.AssetCheckSeverity:
    is_error = finding.check.severity is Severity.ERROR
    return dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN


def _metadata(finding: Finding) -> dict[str, Any]:
    metadata: dict[str, Any] = {"bad rows": finding.bad_rows}
    if finding.bad_days:
        metadata["bad days"] = dg.MetadataValue.json(dict(finding.bad_days))
    if finding.examples:
        metadata["examples"] = dg.MetadataValue.json([{k: str(v) for k, v in row.items()} for row in finding.examples])
    return metadata


def show_as_skipped(context: dg.AssetExecutionContext, table: Table, is_audited: bool) -> None:
    """Has Dagster's UI show the checks that a failed step keeps from running as skipped, not as failed.

    These are the checks of everything downstream in the run and, unless `is_audited`, of the table itself.

    Dagster plans all checks of a run when it starts, and shows a planned check of a failed run as failed. The latest
    plan counts, and one that belongs to no run is shown as skipped. Dagster has no public function for it, so what goes
    wrong here is only a warning: the step has failed for a reason of its own.
    """
    try:
        _plan_outside_of_runs(context, table, is_audited)
    except Exception as error:
        context.log.warning(f"{table.full_name}: checks that did not run are shown as failed: {error!r}")


def _plan_outside_of_runs(context: dg.AssetExecutionContext, table: Table, is_audited: bool) -> None:
    # Imported here, because another release of Dagster may not have them.
    from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
    from dagster._core.events import DagsterEvent, DagsterEventType
    from dagster._core.instance.utils import RUNLESS_JOB_NAME, RUNLESS_RUN_ID

    layer = context.job_def.asset_layer
    own = dg.AssetKey(table.key)
    blocked, waiting = {own}, [own]
    while waiting:
        downstream = (layer.asset_graph.get(waiting.pop()).child_keys & layer.selected_asset_keys) - blocked
        blocked |= downstream
        waiting += downstream
    checks = layer.asset_graph.get_check_keys_for_assets(blocked - {own} if is_audited else blocked)
    for check in sorted(checks):
        event = DagsterEvent(
            event_type_value=DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED.value,
            job_name=RUNLESS_JOB_NAME,
            message=f"{check.name} of {check.asset_key.to_user_string()} did not run: {table.full_name} failed",
            event_specific_data=AssetCheckEvaluationPlanned(asset_key=check.asset_key, check_name=check.name),
        )
        context.instance.report_dagster_event(event, RUNLESS_RUN_ID)
