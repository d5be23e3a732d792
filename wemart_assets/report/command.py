"""`wemart report`: writes the report of a day to a file."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import click

from wemart_assets.clock import utc_now
from wemart_assets.report.span import DAYS, MOST_DAYS


@click.command()
@click.option(
    "--day",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="YYYY-MM-DD",
    help="business day of the report; by default the newest published",
)
@click.option(
    "--days",
    type=click.IntRange(1, MOST_DAYS),
    default=DAYS,
    metavar="N",
    show_default=True,
    help="number of days that it covers, ending with that day",
)
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="file to write; report-DAY.html by default"
)
@click.pass_context
def report(context: click.Context, day: dt.datetime | None, days: int, output: Path | None) -> None:
    """Write the report: charts and numbers of the latest days, and the state of the data, as one HTML file.

    The file needs no network. It can be opened in a browser, mailed, and printed.

    \b
    Examples:
      wemart report
      wemart report --day 2024-02-29 --days 60 --output february.html
    """
    from wemart_assets.lake.location import Location
    from wemart_assets.report.page import make_report
    from wemart_assets.settings import load_settings
    from wemart_assets.sql.destination import check_output

    now, settings = (context.obj or utc_now)(), load_settings()
    made = make_report(settings, None if day is None else day.date().isoformat(), days, now)
    target = (output or Path(f"report-{made.span.last}.html")).absolute()
    check_output(target, {"lake": settings.lake_location, "landing": settings.landing_location})
    try:
        Location.of(target.parent).write(target.name, made.html.encode())
    except OSError as error:
        raise click.ClickException(f"{target} cannot be written: {error.strerror or error}") from error
    click.echo(f"wrote {output or target.name}: {made.span.first} to {made.span.last}")
    for section, sentence in made.problems.items():
        click.echo(f"  without a chart of {section}: {sentence}")
