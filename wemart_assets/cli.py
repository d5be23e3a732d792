"""`wemart`: the demo, the simulator, SQL over the lake, and the lake's upkeep."""

from __future__ import annotations

import datetime as dt
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from wemart_assets.clock import Clock, business_today, utc_now
from wemart_assets.dagster_runs import DEFINITIONS, RunFailed, dagster, environment, materialize, selection
from wemart_assets.lake.days import Period, days_between, period_days, period_start
from wemart_assets.lake.errors import UnreadableTable, WemartError
from wemart_assets.settings import Settings, SettingsError, load_settings
from wemart_assets.sql_command import sql
from wemart_assets.text import aligned


class Day(click.ParamType):  # type: ignore[type-arg]
    """A business day: `YYYY-MM-DD`, or `-N`, so many days before today."""

    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Any:
        if re.fullmatch(r"-\d{1,5}", value):
            return int(value)
        try:
            return dt.date.fromisoformat(value)
        except ValueError:
            self.fail(f"'{value}' is no day; write it as 2024-01-31, or -1 for yesterday", param, context)


class People(click.Group):
    """Shows the errors that a person can act on as one message, without a trace."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except (WemartError, SettingsError) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=People, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """The engagement mart. Settings are WEMART_* environment variables (see the README)."""


main.add_command(sql)


@main.command()
def spark_sql() -> None:
    """Print the statements that define views and reports over days in a session of Spark, a line each.

    With WEMART_SPARK__CATALOG it prints those of all tables; each needs that its own are there.

    \b
    Examples:
      wemart spark-sql > reports.sql && spark-sql -i reports.sql
      wemart spark-sql | grep hard_funnel_between
    """
    from wemart_assets.spark_sql import statements

    for statement in statements(load_settings()).values():
        click.echo(f"{statement};")


@main.command()
def tables() -> None:
    """List the lake's tables: days, rows and bytes published."""
    from wemart_assets import catalog
    from wemart_assets.lake.delta import DeltaLake

    lake = DeltaLake(load_settings().lake)
    lines = [("table", "days", "first", "last", "rows", "bytes")]
    unreadable = []
    for name, table in sorted((catalog.tables() | catalog.quarantines()).items()):
        try:
            files = lake.files(table)
        except UnreadableTable as error:
            unreadable.append(error)
            continue
        if not files and name.endswith(("__quarantine", "__rejected")):
            continue
        days = sorted({str(f.partition[table.day_column]) for f in files})
        lines.append(
            (
                name,
                str(len(days)),
                days[0] if days else "",
                days[-1] if days else "",
                f"{sum(f.rows for f in files):,}",
                f"{sum(f.bytes for f in files):,}",
            )
        )
    click.echo(aligned(lines, right=(1, 4, 5)))
    _say_unreadable(unreadable)


@main.command()
@click.option("--landing", type=click.Path(path_type=Path), help="folder to write to; WEMART_LANDING if none")
@click.option("--truth", type=click.Path(path_type=Path), default=Path(".wemart/truth"), show_default=True)
@click.option("--first-day", type=click.DateTime(["%Y-%m-%d"]), help="first business day; WEMART_FIRST_DAY if none")
@click.option("--days", default=7, show_default=True, help="business days")
@click.option("--lines", default=20_000, show_default=True, help="log lines a day")
@click.option("--users", type=int, help="users at the end of the last day; a tenth of the lines if none")
@click.option("--artists", type=int, help="artists, each with a community; by the lines if none")
@click.option("--events", type=int, help="events of the apps over all days; 1,000 a day if none")
@click.option("--tracks", type=int, help="events of tracked visitors over all days, ten a visitor; 400 a day if none")
@click.option("--seed", default=7, show_default=True, help="another number makes another platform")
def simulate(
    landing: Path | None,
    truth: Path,
    first_day: dt.datetime | None,
    days: int,
    lines: int,
    users: int | None,
    artists: int | None,
    events: int | None,
    tracks: int | None,
    seed: int,
) -> None:
    """Make up a fan platform: landing files of every source, and the truth beside them.

    \b
    Example:
      wemart simulate --days 3 --lines 1000000 --landing /tmp/landing
      wemart simulate --days 2 --users 1000000 --artists 200 --landing /tmp/landing
      wemart simulate --days 44 --lines 500 --events 18000000 --landing /tmp/landing
      wemart simulate --days 16 --lines 500 --tracks 3000000 --landing /tmp/landing
    """
    settings = load_settings()
    first = first_day.date() if first_day else None
    _simulate(settings, landing or settings.landing, truth, first, days, lines, seed, users, artists, events, tracks)


@main.command()
@click.option("--days", default=7, show_default=True, help="business days")
@click.option("--lines", default=20_000, show_default=True, help="log lines a day")
@click.option("--first-day", type=click.DateTime(["%Y-%m-%d"]), help="first of them; so many days before today if none")
@click.pass_context
def demo(context: click.Context, days: int, lines: int, first_day: dt.datetime | None) -> None:
    """Simulate a small fan platform and run the whole graph over it.

    The same --first-day makes the same platform again. It is noted for the lake (in WEMART_STATE), so that the UI and
    all other commands agree on it; WEMART_FIRST_DAY wins.
    """
    started = time.monotonic()
    settings = _demo_settings(days, lines, None if first_day is None else first_day.date(), context.obj or utc_now)
    first, last = settings.first_day.isoformat(), (settings.first_day + dt.timedelta(days=days - 1)).isoformat()
    began = time.monotonic()
    log = settings.state / "demo.log"
    log.unlink(missing_ok=True)
    for period, run in _whole_periods(first, last):
        click.echo(f"\nRunning every table by {period} over {_span(run)}:")
        materialize(f'tag:"period"="{period}"', run, log, click.echo)
    click.echo(f"  the graph took {time.monotonic() - began:.0f} s, of which some 10 s a run are Dagster's start\n")
    context.invoke(tables)
    click.echo(
        f"\nDone in {time.monotonic() - started:.0f} s. What next:\n"
        "  make ui                        the graph, its runs and checks in Dagster\n"
        '  .venv/bin/wemart sql "select platform, sum(sess_cnt) as sessions from we_mart.stats_wv_d_platform'
        ' group by all order by all"\n'
        f"  .venv/bin/wemart run --from {last} --downstream we_mart/wv_sess_daily\n"
        "  README.md, Bring your own log  one file of settings instead of the simulator"
    )


@main.command()
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
@click.option("--from", "first", type=Day(), help="first day: YYYY-MM-DD, or -1 for yesterday, -2 ...")
@click.option("--to", "last", type=Day(), help="last day; the last one published of these tables if none")
@click.option("--downstream", is_flag=True, help="also what follows from them, wherever it was published before")
@click.option("--upstream", is_flag=True, help="also what they are made of")
@click.option("--dry-run", is_flag=True, help="only say which runs these are")
@click.pass_context
def run(
    context: click.Context,
    keys: tuple[str, ...],
    first: dt.date | int | None,
    last: dt.date | int | None,
    downstream: bool,
    upstream: bool,
    dry_run: bool,
) -> None:
    """Run tables, KEY being database/table, for some days.

    Tables by week and month are run for the periods that the days lie in. Runs are one after the other, each of tables
    of one period, in the order in which they are made of each other; the first that fails is the last.

    \b
    Examples:
      wemart run --from 2024-01-03 --upstream we_mart/wv_sess_daily
      wemart run --from -3 --to -1 --downstream core/fact__events
    """
    from wemart_assets import catalog
    from wemart_assets.automation.by_hand import CannotBeRun, graph_of, plan_by_hand
    from wemart_assets.automation.planning import Published
    from wemart_assets.definitions import open_engine
    from wemart_assets.sources.external import external_tables

    settings = load_settings()
    today = business_today(settings.timezone, context.obj or utc_now)
    begin, end = (
        (today + dt.timedelta(days=day) if isinstance(day, int) else day).isoformat() if day is not None else None
        for day in (first, last)
    )
    graph = graph_of(settings)
    with open_engine(settings, external_tables(settings, catalog.contracts())).connect() as session:
        published = Published(session, graph.partitions)
        try:
            plan = plan_by_hand(graph, keys, begin, end, published, downstream, upstream)
        except CannotBeRun as error:
            raise click.UsageError(str(error)) from error
    for remark in [*plan.remarks, *map(str, published.unreadable.values())]:
        click.echo(remark, err=True)
    started = time.monotonic()
    log = settings.state / "run.log"
    if not dry_run:
        log.unlink(missing_ok=True)
    for number, request in enumerate(plan.requests, 1):
        of = f" by {request.period} over {_span(request.days)}" if request.period else " without days"
        what = "1 table" if len(request.tables) == 1 else f"{len(request.tables)} tables"
        click.echo(f"Run {number} of {len(plan.requests)}: {what}{of}")
        if dry_run:
            click.echo("\n".join(f"  {name}" for name in sorted(request.tables)))
            continue
        try:
            materialize(selection(request.tables), request.days if request.period else [], log, click.echo)
        except RunFailed as error:
            left = len(plan.requests) - number
            raise click.ClickException(
                f"{error}" + (f"; {left} further runs were not started" if left else "")
            ) from error
    if plan.requests and not dry_run:
        click.echo(f"Done in {time.monotonic() - started:.0f} s.")


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1)
def ui(arguments: tuple[str, ...]) -> None:
    """Dagster's UI over this lake (further ARGUMENTS go to `dagster dev`, such as --port 3001)."""
    os.execve(dagster(), ["dagster", "dev", "-m", DEFINITIONS, *arguments], environment())


@main.command()
@click.option("--older-than", default=168, show_default=True, help="hours; younger files may belong to a run")
@click.option("--dry-run", is_flag=True, help="only say what would go")
def vacuum(older_than: int, dry_run: bool) -> None:
    """Remove data files that no published version needs, and what is kept of landing files that changed or went."""
    from wemart_assets import catalog
    from wemart_assets.lake.delta import DeltaLake
    from wemart_assets.sources.landing import landings

    settings = load_settings()
    lake = DeltaLake(settings.lake)
    unreadable = []
    for name, table in sorted((catalog.tables() | catalog.quarantines()).items()):
        try:
            removed = lake.vacuum(table, older_than, dry_run)
        except UnreadableTable as error:
            unreadable.append(error)
            continue
        if removed:
            click.echo(f"{name}: {len(removed)} files {'would go' if dry_run else 'removed'}")
    for name, landing in landings(settings, catalog.contracts()).items():
        removed = landing.vacuum(older_than, dry_run)
        if removed:
            click.echo(f"{name}: {len(removed)} files of its index {'would go' if dry_run else 'removed'}")
    _say_unreadable(unreadable)


@main.command()
@click.option("--check", is_flag=True, help="only say whether they are what the declarations say")
def pages(check: bool) -> None:
    """Write the generated pages: the table catalog, and the graph and lists in the README."""
    from wemart_assets.pages import render

    project = Path.cwd()
    for path, text in render(project).items():
        target = project / path
        if target.exists() and target.read_text() == text:
            continue
        if check:
            raise click.ClickException(f"{path} is not what the declarations say; run `wemart pages`")
        target.parent.mkdir(exist_ok=True)
        target.write_text(text)
        click.echo(f"wrote {path}")


def _say_unreadable(errors: Sequence[UnreadableTable]) -> None:
    """One damaged table does not keep the others from a person, and is told at the end."""
    if errors:
        raise click.ClickException("\n".join(map(str, errors)))


def _whole_periods(first: str, last: str) -> list[tuple[Period, list[str]]]:
    """The days from `first` to `last`, and the weeks and months that lie in them, where there are tables by them."""
    from wemart_assets import catalog

    found = []
    periods = {Period.DAY} | {declared.table.period for declared in catalog.marts().values()}
    for period in (p for p in Period if p in periods):
        starts = dict.fromkeys(period_start(day, period) for day in days_between(first, last))
        run = [s for s in starts if s >= first and period_days(s, period)[-1] <= last]
        if run:
            found.append((period, run))
    return found


def _simulate(
    settings: Settings,
    landing: Path,
    truth: Path,
    first_day: dt.date | None,
    days: int,
    lines: int,
    seed: int,
    users: int | None = None,
    artists: int | None = None,
    events: int | None = None,
    tracks: int | None = None,
) -> None:
    from wemart_assets.simulator import (
        AppsConfig,
        SimulatorConfig,
        TracksConfig,
        simulate_apps,
        simulate_identities,
        simulate_tracks,
    )
    from wemart_assets.simulator import simulate as run

    try:
        config = SimulatorConfig(
            first_day=first_day or settings.first_day,
            days=days,
            timezone=settings.timezone,
            lines_per_day=lines,
            seed=seed,
            users=users,
            artists=artists,
        )
        click.echo(f"Simulating {days} days of {lines:,} log lines into {landing}:")
        events = 1_000 * days if events is None else events
        apps = AppsConfig(
            first_day=config.first_day, days=days, events=events, seed=seed, files=8 if events > 1_000_000 else 3
        )
        tracks = 400 * days if tracks is None else tracks
        site = TracksConfig(
            first_day=config.first_day,
            days=days,
            timezone=settings.timezone,
            tracks=tracks,
            visitors=max(tracks // 10, 1),
            seed=seed,
        )
        summary = run(config, landing, truth, progress=lambda text: click.echo(f"  {text}"))
        files = [*summary.files, *simulate_apps(apps, landing, truth), *simulate_identities(config, apps, landing)]
        files += simulate_tracks(site, landing, truth)
        click.echo(f"  {events:,} events of apps, {apps.size[0]:,} attributions of their {apps.size[1]:,} users")
        click.echo(f"  {tracks:,} tracks of {site.visitors:,} visitors")
    except FileExistsError as error:
        raise click.ClickException(f"{error}. Remove the folder, or name another with --landing.") from error
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"  {len(files)} files; the truth about them is in {truth}")


def _demo_settings(days: int, lines: int, first_day: dt.date | None, clock: Clock) -> Settings:
    """The settings of a lake whose landing files are the simulated ones; makes the files if nothing has landed."""
    settings = load_settings()
    has_landed = settings.landing.exists() and any(settings.landing.iterdir())
    of_environment = load_settings(with_saved=False)
    is_set = "first_day" in of_environment.model_fields_set
    if first_day is not None and (has_landed or is_set) and first_day != settings.first_day:
        where = "WEMART_FIRST_DAY says" if is_set else f"the files in {settings.landing} begin with"
        raise click.ClickException(
            f"{where} {settings.first_day}; to begin with {first_day}, unset it or remove the files (`make clean` does)"
        )
    if has_landed:
        click.echo(f"Files have landed in {settings.landing} before; they are used as they are (`make clean` removes).")
        return settings
    if is_set:
        first_day = of_environment.first_day
    first_day = first_day or business_today(settings.timezone, clock) - dt.timedelta(days=days)
    settings.saved.parent.mkdir(parents=True, exist_ok=True)
    settings.saved.write_text(
        "# Saved by `wemart demo` for this lake; variables of the environment win.\n"
        f"WEMART_FIRST_DAY={first_day.isoformat()}\n"
    )
    settings = load_settings()
    _simulate(settings, settings.landing, settings.state / "truth", None, days, lines, 7)
    return settings


def _span(days: Sequence[str]) -> str:
    return " to ".join(dict.fromkeys((days[0], days[-1])))


if __name__ == "__main__":
    main()
