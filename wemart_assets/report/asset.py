"""The report as a daily asset: each run writes the page of its last day beside the tables of the lake."""

# No postponed annotations here: Dagster looks at the type of an asset's `context` as it is.
import traceback
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from wemart_assets import catalog
from wemart_assets.clock import Clock
from wemart_assets.lake.days import Period
from wemart_assets.lake.mart_asset import chart_metadata
from wemart_assets.report.sections import UPSTREAM
from wemart_assets.report.span import DAYS
from wemart_assets.settings import Settings

KEY = dg.AssetKey(["reports", "engagement_report"])
GROUP = "reports"
# Below the lake; a folder whose name begins like this is no database.
FOLDER = "_reports"
WRITTEN = "report_is_written"


def report_asset(
    settings: Settings, partitions: dg.TimeWindowPartitionsDefinition, clock: Clock
) -> dg.AssetsDefinition:
    """Returns the asset that writes `<lake>/_reports/<day>.html`.

    It never fails a run, because its tables are published anyway: a page that cannot be made is a failed check of
    severity WARN, with the reason, and the asset is not materialized.
    """
    with warnings.catch_warnings():
        # Dagster warns that backfill policies are beta.
        warnings.simplefilter("ignore", dg.BetaWarning)
        declare = dg.asset(
            key=KEY,
            description=(
                "The engagement report as one HTML page: charts and numbers of the latest days, and the state of the "
                "data. A run over a range of days writes the page of the last day; `wemart report --day` makes that "
                "of any other."
            ),
            group_name=GROUP,
            owners=["team:data-platform"],
            kinds={"altair", "html"},
            tags={"period": str(Period.DAY)},
            partitions_def=partitions,
            backfill_policy=dg.BackfillPolicy.single_run(),
            deps=[catalog.tables()[name].key for name in UPSTREAM],
            check_specs=[
                dg.AssetCheckSpec(WRITTEN, asset=KEY, description="the page could be made and written (WARN)")
            ],
            output_required=False,
            # After all other tables of the run: the page shows which of them are up to date.
            op_tags={"dagster/priority": "-10"},
        )

    def engagement_report(context: dg.AssetExecutionContext) -> Iterator[Any]:
        day = max(context.partition_keys)
        try:
            metadata = _write(settings, day, clock)
        except Exception as error:
            # Whatever the bug, the run goes on: see the docstring above. The whole cause is in the log.
            context.log.error(f"the report of {day} was not written: {error}\n{traceback.format_exc()}")
            yield _check(passed=False, metadata={"day": day, "reason": f"{type(error).__name__}: {error}"})
            return
        yield dg.MaterializeResult(
            asset_key=KEY, metadata=metadata, check_results=[_check(passed=True, metadata={"day": day})]
        )

    return declare(engagement_report)


def _write(settings: Settings, day: str, clock: Clock) -> dict[str, Any]:
    """Writes the page and returns what Dagster shows of it."""
    from wemart_assets.report.page import make_report

    made = make_report(settings, day, DAYS, clock())
    folder, name = settings.lake_location / FOLDER, f"{day}.html"
    content = made.html.encode()
    folder.write(name, content)
    target = f"{folder}/{name}"
    page = dg.MetadataValue.path(target) if folder.is_local else dg.MetadataValue.text(target)
    return {
        "page": page,
        "days": f"{made.span.first} to {made.span.last}",
        "size_bytes": len(content),
        **({"preview": chart_metadata(f"report of {day}", made.preview)} if made.preview else {}),
        **{f"without {section}": sentence for section, sentence in made.problems.items()},
    }


def _check(passed: bool, metadata: Mapping[str, Any]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=passed, asset_key=KEY, check_name=WRITTEN, severity=dg.AssetCheckSeverity.WARN, metadata=metadata
    )
