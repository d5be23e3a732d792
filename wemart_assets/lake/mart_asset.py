"""A table as a Dagster asset: what people see of it in the UI, its checks, and how a run ends."""

# No postponed annotations here: Dagster looks at the type of an asset's `context` as it is.
import base64
import datetime as dt
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import dagster as dg
import ibis.expr.types as ir

from wemart_assets.lake.audit import CheckSpec, Finding, checks_of
from wemart_assets.lake.days import Period
from wemart_assets.lake.engine import Engine, Session
from wemart_assets.lake.errors import DeclarationError, WemartError
from wemart_assets.lake.inject import call, parameters
from wemart_assets.lake.inputs import one_a_table
from wemart_assets.lake.mart import Mart, read_input
from wemart_assets.lake.publication import Publication, RejectedByAudit, publish
from wemart_assets.lake.table import Severity, Table

EXPECTED = {Period.DAY: "0 6 * * *", Period.WEEK: "0 6 * * 1", Period.MONTH: "0 6 1 * *"}

Clock = Callable[[], dt.datetime]


def mart_asset(
    declared: Mart, group: str, partitions: dg.TimeWindowPartitionsDefinition, settings: Mapping[str, Any], clock: Clock
) -> dg.AssetsDefinition:
    """The Dagster asset of a mart table. Needs a resource `engine`."""
    if unknown := sorted(set(parameters(declared.function)) - {*declared.inputs, *settings, "days", "day_columns"}):
        raise DeclarationError(
            f"{declared.table.full_name}: its function asks for {unknown}; there are the inputs "
            f"{sorted(declared.inputs)} and the settings {sorted(settings)}"
        )

    def run(session: Session, days: Sequence[str], _log: Any) -> tuple[Publication, dict[str, Any]]:
        first_day = str(settings["first_day"])

        def compute() -> tuple[ir.Table, Mapping[str, ir.Table]]:
            inputs = {
                name: read_input(session, declared.table, given, days, first_day)
                for name, given in declared.inputs.items()
            }
            day_columns = (declared.table.day_column,)
            return call(
                declared.function, {**settings, **inputs, "days": tuple(days), "day_columns": day_columns}
            ), inputs

        return publish(session, declared.table, days, compute, settings, clock()), {}

    deps = [
        dg.AssetDep(i.table.key, partition_mapping=i.mapping(declared.table))
        for i in one_a_table(declared.inputs.values())
    ]
    keys = {name: i.table.key for name, i in declared.inputs.items()}
    return table_asset(declared.table, group, partitions, run, deps=deps, inputs=keys)


Run = Callable[[Session, Sequence[str], Any], tuple[Publication, dict[str, Any]]]


def table_asset(
    table: Table,
    group: str,
    partitions: dg.TimeWindowPartitionsDefinition | None,
    run: Run,
    deps: Sequence[dg.AssetDep] = (),
    inputs: Mapping[str, Sequence[str]] | None = None,
    kinds: frozenset[str] = frozenset({"ibis", "deltalake"}),
) -> dg.AssetsDefinition:
    """An asset whose partitions are published by `run`, with all that people see of a table in Dagster.

    `run` publishes the days and returns what it published with further metadata; a range of days is one run. Without
    partitions it is given no days.
    """
    key = dg.AssetKey(table.key)

    with warnings.catch_warnings():
        # Backfill policies are beta in Dagster, and said to be so for each asset.
        warnings.simplefilter("ignore", dg.BetaWarning)
        declare = dg.asset(
            key=key,
            description=table.description,
            group_name=group,
            owners=[table.owner],
            kinds=set(kinds),
            tags={**table.tags, "period": str(table.period)},
            partitions_def=partitions,
            # Without partitions too: else no range could be run of a selection that has it.
            backfill_policy=dg.BackfillPolicy.single_run(),
            deps=list(deps),
            check_specs=[
                dg.AssetCheckSpec(spec.name, asset=key, description=f"[{spec.severity.value}] {spec.description}")
                for spec in checks_of(table)
            ],
            metadata={
                "dagster/column_schema": column_schema(table),
                "dagster/table_name": table.full_name,
                "grain": ", ".join(table.grain) or "none: equal rows are allowed",
                "partitioned by": ", ".join(table.partition_by),
            },
            # With a last day set, no more periods are expected.
            freshness_policy=None
            if partitions is None or partitions.end is not None
            else _freshness(table.period, str(partitions.timezone)),
            required_resource_keys={"engine"},
        )

    @declare
    def asset(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:  # type: ignore[type-arg]
        engine: Engine = context.resources.engine
        days = [] if partitions is None else sorted(context.partition_keys)
        try:
            with engine.connect() as session:
                published, metadata = run(session, days, context.log)
        except RejectedByAudit as rejected:
            for finding in rejected.findings:
                yield _check_result(key, finding)  # type: ignore[misc]
            raise dg.Failure(str(rejected), allow_retries=False) from rejected
        except WemartError as error:
            raise dg.Failure(
                str(error), metadata={"table": table.full_name, "days": f"{days[0]} to {days[-1]}" if days else "none"}
            ) from error
        for name, why in published.not_drawn.items():
            context.log.warning(f"{table.full_name}: published without its chart '{name}', not drawn: {why}")
        for day in days:
            context.add_asset_metadata(
                {"dagster/partition_row_count": published.rows[day], "size_bytes": published.bytes[day]},
                asset_key=key,
                partition_key=day,
            )
        if not days:
            metadata["dagster/row_count"] = sum(published.rows.values())
            metadata["size_bytes"] = sum(published.bytes.values())
        yield dg.MaterializeResult(
            asset_key=key,
            metadata={
                "delta_version": published.version,
                "preview": dg.MetadataValue.md(preview(published.preview, table)),
                "dagster/column_lineage": _lineage(published, inputs or {}),
                **published.measures,
                **{name: chart_metadata(name, svg) for name, svg in published.charts.items()},
                **{name: f"not drawn: {why}" for name, why in published.not_drawn.items()},
                **published.seconds,
                **metadata,
            },
            check_results=[_check_result(key, finding) for finding in published.findings],
        )

    return asset


@cache
def _freshness(period: Period, timezone: str) -> dg.FreshnessPolicy:
    """A period is over at midnight of the business timezone and is expected by six in the morning.

    Dagster tries out the schedule of each policy it is given for milliseconds, so tables of a period share theirs.
    """
    return dg.FreshnessPolicy.cron(
        deadline_cron=EXPECTED[period], lower_bound_delta=dt.timedelta(hours=6), timezone=timezone
    )


def column_schema(table: Table) -> dg.TableSchema:
    """The table's columns as Dagster shows them."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=c.name,
                type=c.type,
                description=c.description,
                constraints=dg.TableColumnConstraints(
                    nullable=c.nullable, other=[rule.description for rule in c.checks]
                ),
            )
            for c in table.columns
        ]
    )


def preview(rows: Sequence[Mapping[str, Any]], table: Table) -> str:
    """A few rows as a Markdown table."""
    if not rows:
        return "no rows"
    names = [c.name for c in table.columns]
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    for row in rows:
        cells = ["" if row[name] is None else _cell(row[name]) for name in names]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def chart_metadata(name: str, svg: str) -> dg.MarkdownMetadataValue:
    """A drawing as Dagster's UI shows it: text of SVG is taken out of Markdown, an image is not."""
    return dg.MetadataValue.md(f"![{name}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})")


def _cell(value: Any) -> str:
    text = str(value).replace("|", "\\|").replace("\n", " ")
    return text if len(text) <= 60 else text[:59] + "…"


def _check_result(key: dg.AssetKey, finding: Finding) -> dg.AssetCheckResult:
    spec: CheckSpec = finding.check
    metadata: dict[str, Any] = {"bad rows": finding.bad_rows}
    if finding.bad_days:
        metadata["bad days"] = dg.MetadataValue.json(dict(finding.bad_days))
    if finding.examples:
        metadata["examples"] = dg.MetadataValue.json([{k: str(v) for k, v in row.items()} for row in finding.examples])
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=spec.name,
        passed=finding.passed,
        severity=dg.AssetCheckSeverity.ERROR if spec.severity is Severity.ERROR else dg.AssetCheckSeverity.WARN,
        description=finding.summary,
        metadata=metadata,
    )


def _lineage(published: Publication, inputs: Mapping[str, Sequence[str]]) -> dg.TableColumnLineage:
    return dg.TableColumnLineage(
        {
            # Two inputs may be days of one table.
            name: [
                dg.TableColumnDep(asset_key=dg.AssetKey(list(key)), column_name=column)
                for key, column in sorted(
                    {(tuple(inputs[table]), column) for table, column in origins if table in inputs}
                )
            ]
            for name, origins in published.lineage.items()
        }
    )
