"""A table as a Dagster asset: what the UI shows of it, and how a run ends."""

# No postponed annotations here: Dagster looks at the type of an asset's `context` as it is.
import base64
import datetime as dt
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import dagster as dg
import ibis.expr.types as ir

from wemart_assets.lake.check_results import check_result, check_specs, refused, show_as_skipped
from wemart_assets.lake.days import Period
from wemart_assets.lake.errors import DeclarationError, WemartError
from wemart_assets.lake.inject import call, parameters
from wemart_assets.lake.inputs import one_per_table
from wemart_assets.lake.mart import Mart, read_input
from wemart_assets.lake.publication import Publication, RejectedByAudit, publish
from wemart_assets.lake.session import Lake, Session
from wemart_assets.lake.table import Table

EXPECTED = {Period.DAY: "0 6 * * *", Period.WEEK: "0 6 * * 1", Period.MONTH: "0 6 1 * *"}

Clock = Callable[[], dt.datetime]
Run = Callable[[Session, Sequence[str], Any], tuple[Publication, dict[str, Any]]]


def mart_asset(
    declared: Mart, group: str, partitions: dg.TimeWindowPartitionsDefinition, settings: Mapping[str, Any], clock: Clock
) -> dg.AssetsDefinition:
    """The Dagster asset of a mart table. Needs a resource `lake`.

    Raises:
        DeclarationError: the mart's function has a parameter that is neither an input nor a setting, or an input has
            the name of a setting.
    """
    if shadowed := sorted(set(declared.inputs) & set(settings)):
        raise DeclarationError(f"{declared.table.full_name}: the inputs {shadowed} have the names of settings")
    if unknown := sorted(set(parameters(declared.function)) - {*declared.inputs, *settings, "days", "day_columns"}):
        raise DeclarationError(
            f"{declared.table.full_name}: its function asks for {unknown}; there are the inputs "
            f"{sorted(declared.inputs)} and the settings {sorted(settings)}"
        )

    def run(session: Session, days: Sequence[str], _log: Any) -> tuple[Publication, dict[str, Any]]:
        def compute() -> tuple[ir.Table, Mapping[str, ir.Table]]:
            return rows_and_inputs(declared, session, days, settings)

        return publish(session, declared.table, days, compute, settings, clock()), {}

    deps = [
        dg.AssetDep(i.table.key, partition_mapping=i.mapping(declared.table))
        for i in one_per_table(declared.inputs.values())
    ]
    keys = {name: i.table.key for name, i in declared.inputs.items()}
    return table_asset(declared.table, group, partitions, run, deps=deps, inputs=keys)


def rows_and_inputs(
    declared: Mart, session: Session, days: Sequence[str], settings: Mapping[str, Any]
) -> tuple[ir.Table, Mapping[str, ir.Table]]:
    """What the mart's function returns for the days, not computed yet, and the inputs that it was given."""
    first_day = str(settings["first_day"])
    inputs = {
        name: read_input(session, declared.table, given, days, first_day) for name, given in declared.inputs.items()
    }
    arguments = {**settings, **inputs, "days": tuple(days), "day_columns": (declared.table.day_column,)}
    return call(declared.function, arguments), inputs


def table_asset(
    table: Table,
    group: str,
    partitions: dg.TimeWindowPartitionsDefinition | None,
    run: Run,
    deps: Sequence[dg.AssetDep] = (),
    inputs: Mapping[str, Sequence[str]] | None = None,
    kinds: frozenset[str] = frozenset({"ibis", "deltalake"}),
) -> dg.AssetsDefinition:
    """An asset whose partitions are published by `run`, with everything Dagster shows of a table.

    `run` publishes the days it is given and returns the publication with further metadata. A range of days is one
    run; an asset without partitions runs with no days. `inputs` are asset keys by the name of the function's
    parameter.
    """

    def asset(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:  # type: ignore[type-arg]
        lake: Lake = context.resources.lake
        days = [] if partitions is None else sorted(context.partition_keys)
        try:
            with lake.connect(context.run.run_id, is_repeated=context.retry_number > 0) as session:
                published, metadata = run(session, days, context.log)
        except RejectedByAudit as rejected:
            # Before the failure, which ends the step: results after it would not be recorded.
            for finding in rejected.findings:
                yield refused(table, finding)  # type: ignore[misc]
            show_as_skipped(context, table, is_audited=True)
            raise dg.Failure(str(rejected), allow_retries=False) from rejected
        except WemartError as error:
            show_as_skipped(context, table, is_audited=False)
            raise dg.Failure(
                str(error), metadata={"table": table.full_name, "days": f"{days[0]} to {days[-1]}" if days else "none"}
            ) from error
        except Exception:
            show_as_skipped(context, table, is_audited=False)
            raise
        _warn_of_what_is_missing(context, table, published)
        _add_sizes(context, table, published, days)
        yield _materialization(table, published, inputs or {}, metadata)

    with warnings.catch_warnings():
        # Dagster warns once per asset that backfill policies are beta.
        warnings.simplefilter("ignore", dg.BetaWarning)
        declare = dg.asset(
            key=dg.AssetKey(table.key),
            description=table.description,
            group_name=group,
            owners=[table.owner],
            kinds=set(kinds),
            tags={**table.tags, "period": str(table.period)},
            partitions_def=partitions,
            # Also without partitions: otherwise a selection that contains the asset could not be run over a range.
            backfill_policy=dg.BackfillPolicy.single_run(),
            deps=list(deps),
            check_specs=check_specs(table),
            metadata=_definition_metadata(table),
            freshness_policy=_freshness(table, partitions),
            required_resource_keys={"lake"},
        )
    return declare(asset)


def _definition_metadata(table: Table) -> Mapping[str, Any]:
    return {
        "dagster/column_schema": column_schema(table),
        "dagster/table_name": table.full_name,
        "grain": ", ".join(table.grain) or "none: equal rows are allowed",
        "partitioned by": ", ".join(table.partition_by),
    }


def _freshness(table: Table, partitions: dg.TimeWindowPartitionsDefinition | None) -> dg.FreshnessPolicy | None:
    """When the table's partitions are due; None without partitions, or with a last day, after which none is due."""
    if partitions is None or partitions.end is not None:
        return None
    return _due_at_six(table.period, str(partitions.timezone))


@cache
def _due_at_six(period: Period, timezone: str) -> dg.FreshnessPolicy:
    """A period ends at midnight of the business timezone, and its rows are due by six in the morning.

    Dagster tries out the schedule of each policy that it is given, so the tables of a period share one.
    """
    return dg.FreshnessPolicy.cron(
        deadline_cron=EXPECTED[period], lower_bound_delta=dt.timedelta(hours=6), timezone=timezone
    )


def _warn_of_what_is_missing(context: dg.AssetExecutionContext, table: Table, published: Publication) -> None:
    if published.not_recorded is not None:
        context.log.warning(
            f"{table.full_name}: published, but what its audit found is not in audit.results: {published.not_recorded}"
        )
    for name, why in published.not_drawn.items():
        context.log.warning(f"{table.full_name}: published without its chart '{name}', not drawn: {why}")


def _add_sizes(context: dg.AssetExecutionContext, table: Table, published: Publication, days: Sequence[str]) -> None:
    """Each partition's own rows and bytes; the rest of the metadata is the same on every day of a range."""
    key = dg.AssetKey(table.key)
    for day in days:
        context.add_asset_metadata(
            {"dagster/partition_row_count": published.rows[day], "size_bytes": published.bytes[day]},
            asset_key=key,
            partition_key=day,
        )
    if not days:
        context.add_asset_metadata(
            {"dagster/row_count": sum(published.rows.values()), "size_bytes": sum(published.bytes.values())},
            asset_key=key,
        )


def _materialization(
    table: Table, published: Publication, inputs: Mapping[str, Sequence[str]], metadata: Mapping[str, Any]
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    return dg.MaterializeResult(
        asset_key=dg.AssetKey(table.key),
        metadata={
            "delta_version": published.version,
            "preview": dg.MetadataValue.md(preview(published.preview, table)),
            "dagster/column_lineage": _lineage(published, inputs),
            **published.measures,
            **{name: chart_metadata(name, svg) for name, svg in published.charts.items()},
            **{name: f"not drawn: {why}" for name, why in published.not_drawn.items()},
            **published.seconds,
            **metadata,
        },
        check_results=[check_result(table, finding) for finding in published.findings],
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
    """A chart as an image: Dagster's UI strips inline SVG from Markdown, but shows images."""
    return dg.MetadataValue.md(f"![{name}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})")


def _cell(value: Any) -> str:
    text = str(value).replace("|", "\\|").replace("\n", " ")
    return text if len(text) <= 60 else text[:59] + "…"


def _lineage(published: Publication, inputs: Mapping[str, Sequence[str]]) -> dg.TableColumnLineage:
    return dg.TableColumnLineage(
        {
            # A set: two inputs may be windows of the same table.
            name: [
                dg.TableColumnDep(asset_key=dg.AssetKey(list(key)), column_name=column)
                for key, column in sorted(
                    {(tuple(inputs[table]), column) for table, column in origins if table in inputs}
                )
            ]
            for name, origins in published.lineage.items()
        }
    )
