"""`wemart export`: writes the lake's tables into one DuckDB file."""

from __future__ import annotations

import datetime as dt
import sys
import time
from pathlib import Path

import click

from wemart_assets.progress import progress
from wemart_assets.text import visible

DAY = click.DateTime(["%Y-%m-%d"])


@click.command()
@click.argument("tables", metavar="[TABLE]...", nargs=-1)
@click.option(
    "--duckdb",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="file to write; an existing one is replaced once the new one is complete",
)
@click.option("--from", "first", type=DAY, help="first business day to copy; by default the first that is published")
@click.option("--to", "last", type=DAY, help="last business day to copy; by default the last that is published")
def export(tables: tuple[str, ...], target: Path, first: dt.datetime | None, last: dt.datetime | None) -> None:
    """Write tables into one DuckDB file, for BI tools and notebooks. Without TABLE, all that are published.

    The names are those of `wemart sql`, with each database as a schema. Views, functions over a range of days and the
    descriptions of tables and columns are included. Programs that have the old file open keep reading it.

    \b
    Examples:
      wemart export --duckdb mart.duckdb
      wemart export --duckdb platforms.duckdb we_mart.stats_wv_d_platform --from 2024-01-01 --to 2024-01-31
    """
    import duckdb

    from wemart_assets import catalog
    from wemart_assets.lake.errors import WemartError
    from wemart_assets.settings import load_settings
    from wemart_assets.sql.export import Declared, check_target, select
    from wemart_assets.sql.export import export as write
    from wemart_assets.sql.session import ctrl_c_as_such
    from wemart_assets.sql_command import open_session

    started = time.monotonic()
    if first is not None and last is not None and first > last:
        raise click.UsageError(f"--from {first:%Y-%m-%d} is after --to {last:%Y-%m-%d}")
    settings = load_settings()
    try:
        check_target(target, {"lake": settings.lake_location, "landing": settings.landing_location})
        with ctrl_c_as_such(), open_session(settings) as session:
            functions = catalog.functions(settings.for_tables())
            declared = Declared(catalog.TABLES_BY_NAME, catalog.VIEWS_BY_NAME, functions)
            entries = select(session.names(), tables, declared)
            first_day, last_day = (None if day is None else day.date().isoformat() for day in (first, last))
            with progress(len(entries)) as done:
                copied = write(
                    session,
                    declared,
                    target,
                    entries,
                    (first_day, last_day),
                    settings.memory_limit,
                    lambda line: done(visible(line)),
                )
    except (duckdb.Error, WemartError) as error:
        problem = visible(str(error), keep="\n\t")
        raise click.ClickException(f"{problem}\n{target} is as it was before.") from error
    except KeyboardInterrupt:
        click.echo(f"\nStopped; {target} is as it was before.", err=True)
        sys.exit(130)
    click.echo(
        f"Wrote {target}: {copied.tables} tables with {copied.rows:,} rows, {copied.views} views and"
        f" {copied.functions} functions, {target.stat().st_size:,} bytes, in {time.monotonic() - started:.0f} s."
    )
