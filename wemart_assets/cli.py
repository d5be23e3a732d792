"""`wemart`: the demo, the simulator, SQL over the lake, the lake's upkeep, and the files of a new folder or table."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wemart_assets.check_source import check_source
from wemart_assets.clock import Clock, business_today, utc_now
from wemart_assets.dagster_runs import DEFINITIONS, RunFailed, dagster, environment, materialize, selection
from wemart_assets.doctor import doctor
from wemart_assets.dot_env import dot_env
from wemart_assets.export_command import export
from wemart_assets.lake.days import Period, days_between, period_days, period_start
from wemart_assets.lake.errors import UnreadableTable, WemartError
from wemart_assets.lake.location import Location
from wemart_assets.progress import progress
from wemart_assets.report.command import report
from wemart_assets.settings import Settings, SettingsError, load_settings
from wemart_assets.sql_command import sql
from wemart_assets.text import aligned

if TYPE_CHECKING:
    from wemart_assets.automation.planning import Request

# From so many days on, a demo begins with a whole week, or has a whole month.
DAYS_WITH_A_WEEK, DAYS_WITH_A_MONTH = 7, 35


class Day(click.ParamType):  # type: ignore[type-arg]
    """A business day: `YYYY-MM-DD`, or `-N` for N days before today."""

    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Any:
        if re.fullmatch(r"-\d{1,5}", value):
            return int(value)
        try:
            return dt.date.fromisoformat(value)
        except ValueError:
            self.fail(f"'{value}' is not a day; write it as 2024-01-31, or -1 for yesterday", param, context)


class Commands(click.Group):
    """Reads the folder's `.env`, and shows the errors that the user can act on as a message, without a traceback."""

    def invoke(self, context: click.Context) -> Any:
        try:
            with dot_env(Path.cwd()):
                return super().invoke(context)
        except (WemartError, SettingsError) as error:
            raise click.ClickException(str(error)) from error
        except (KeyboardInterrupt, click.Abort):
            click.echo("\nStopped. Tables that were not finished are as they were before.", err=True)
            # As the shell reports a process that the terminal interrupted.
            context.exit(130)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """The engagement mart. Settings are WEMART_* variables, of the environment or in .env (docs/reference/settings.md).

    \b
    Exit codes:
      0    done
      1    something failed or was refused; the message says what to do
      2    the command was used incorrectly
      130  stopped by Ctrl-C
    """


main.add_command(sql)
main.add_command(check_source)
main.add_command(report)
main.add_command(export)
main.add_command(doctor)


@main.command()
def spark_sql() -> None:
    """Print the Spark SQL that defines the views and the reports over any range of days, one statement per line.

    With WEMART_SPARK__CATALOG, all statements are printed, because the command cannot see which tables the catalog
    has. Each works once the tables that it reads exist.

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
    """List the lake's tables with the days, rows and bytes published.

    \b
    Examples:
      wemart tables
      wemart tables | grep we_mart
    """
    from wemart_assets import catalog
    from wemart_assets.lake.folder_store import FolderStore

    lake = FolderStore(load_settings().lake_location)
    lines = [("table", "days", "first", "last", "rows", "bytes")]
    errors: list[UnreadableTable] = []
    has_rows = False
    for name, table in sorted(catalog.TABLES_BY_NAME.items()):
        try:
            files = lake.files(table)
        except UnreadableTable as error:
            errors.append(error)
            continue
        has_rows = has_rows or bool(files)
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
    if has_rows or errors:
        click.echo(aligned(lines, right=(1, 4, 5)))
    else:
        click.echo(f"Nothing has been published in {lake.lake} yet. Start with `wemart demo`, or with `wemart run`.")
    _report_unreadable(errors)


@main.command()
@click.option("--landing", type=click.Path(path_type=Path), help="folder to write to; WEMART_LANDING by default")
@click.option(
    "--truth",
    type=click.Path(path_type=Path),
    default=Path(".wemart/truth"),
    show_default=True,
    help="folder for the true figures",
)
@click.option("--first-day", type=click.DateTime(["%Y-%m-%d"]), help="first business day; WEMART_FIRST_DAY by default")
@click.option("--days", default=7, show_default=True, help="business days")
@click.option("--lines", default=20_000, show_default=True, help="log lines per day")
@click.option("--users", type=int, help="users at the end of the last day; by default a tenth of --lines, at least 500")
@click.option("--artists", type=int, help="artists, each with a community; by default derived from the lines")
@click.option("--events", type=int, help="app events in total; by default 1,000 per day")
@click.option("--tracks", type=int, help="tracks in total, ten per visitor; by default 400 per day")
@click.option("--seed", default=7, show_default=True, help="random seed; another one makes another platform")
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
    """Simulate a fan platform: write landing files for every source, and the true figures they contain.

    The files go into an empty landing folder. Nothing is run.

    \b
    Examples:
      wemart simulate --days 3 --lines 1000000 --landing /tmp/landing
      wemart simulate --days 2 --users 1000000 --artists 200 --landing /tmp/landing
      wemart simulate --days 44 --lines 500 --events 18000000 --landing /tmp/landing
      wemart simulate --days 16 --lines 500 --tracks 3000000 --landing /tmp/landing
    """
    settings = load_settings()
    config = SimulatorOptions(
        first_day=first_day.date() if first_day else settings.first_day,
        days=days,
        lines=lines,
        seed=seed,
        users=users,
        artists=artists,
        events=1_000 * days if events is None else events,
        tracks=400 * days if tracks is None else tracks,
    )
    _simulate(config, settings.timezone, Location.of(landing or settings.landing, settings.storage), truth)


@main.command()
@click.option("--days", default=14, show_default=True, help="number of business days; a minimum without --first-day")
@click.option("--lines", default=20_000, show_default=True, help="log lines per day")
@click.option("--first-day", type=click.DateTime(["%Y-%m-%d"]), help="first day; by default, the demo ends yesterday")
@click.pass_context
def demo(context: click.Context, days: int, lines: int, first_day: dt.datetime | None) -> None:
    """Simulate a small fan platform and run the whole graph over it.

    Without --first-day, the demo ends yesterday. With --days 7 or more, it begins on a Monday, so that the weekly
    tables have rows; with --days 35 or more, it contains the last whole month, for the monthly ones. It may therefore
    have more days than --days. With --first-day, it has exactly --days.

    \b
    Examples:
      wemart demo
      wemart demo --days 35
      wemart demo --first-day 2024-01-29 --days 35      all of February 2024

    The same --first-day always makes the same platform. The first day is saved for the lake (in WEMART_STATE), so that
    the UI and all other commands use it too. WEMART_FIRST_DAY overrides it.
    """
    from wemart_assets import catalog

    started = time.monotonic()
    settings, days = _demo_settings(
        days, lines, None if first_day is None else first_day.date(), context.obj or utc_now
    )
    first, last = settings.first_day.isoformat(), (settings.first_day + dt.timedelta(days=days - 1)).isoformat()
    graph_started = time.monotonic()
    log = settings.state / "demo.log"
    log.unlink(missing_ok=True)
    for period, run in _whole_periods(first, last):
        click.echo(f"\nRunning every table by {period} over {_span(run)}:")
        with progress(sum(table.period is period for table in catalog.tables().values())) as done:
            materialize(f'tag:"period"="{period}"', run, (), log, done)
    seconds = time.monotonic() - graph_started
    click.echo(f"  the graph took {seconds:.0f} s, including about 10 s per run in which Dagster starts\n")
    context.invoke(tables)
    wemart = ".venv/bin/wemart" if Path(".venv/bin/wemart").exists() else "wemart"
    click.echo(
        f"\nDone in {time.monotonic() - started:.0f} s. What to try next:\n"
        f"  {wemart + ' report':<29}  one page of charts, to open in a browser\n"
        f"  {wemart + ' ui':<29}  the graph, its runs and checks in Dagster\n"
        f'  {wemart} sql "select platform, sum(sess_cnt) as sessions from we_mart.stats_wv_d_platform'
        ' group by all order by all"\n'
        f"  {wemart} run --from {last} --downstream we_mart/wv_sess_daily\n"
        "  docs/tutorial.md               your own log instead of the simulator, with one settings file"
    )


def _matching_keys(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    """The keys of the tables that begin so, or whose name does without the database."""
    from wemart_assets import catalog

    keys = sorted(name.replace(".", "/") for name in catalog.tables())
    return [key for key in keys if key.startswith(begun)] or [key for key in keys if begun in key]


@main.command()
@click.argument("keys", metavar="KEY...", nargs=-1, required=True, shell_complete=_matching_keys)
@click.option("--from", "first", type=Day(), help="first day: YYYY-MM-DD, or -1 for yesterday, -2 ...")
@click.option("--to", "last", type=Day(), help="last day; by default the last that is published, or else --from")
@click.option("--downstream", is_flag=True, help="also run the downstream tables, for the days already published")
@click.option("--upstream", is_flag=True, help="also run the upstream tables")
@click.option("--dry-run", is_flag=True, help="only show the runs")
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
    """Run tables for a range of days. A KEY is database/table.

    Weekly and monthly tables are run for the weeks and months that contain the days. Daily, weekly and monthly tables
    are separate runs, one after the other, upstream tables first. If a run fails, those after it are not started.

    \b
    Examples:
      wemart run --from 2024-01-03 --upstream we_mart/wv_sess_daily
      wemart run --from -3 --to -1 --downstream core/fact__events
    """
    from wemart_assets import catalog
    from wemart_assets.automation.by_hand import CannotBeRun, graph_of, plan_by_hand
    from wemart_assets.automation.planning import Published
    from wemart_assets.definitions import open_lake
    from wemart_assets.sources.external import external_tables

    settings = load_settings()
    today = business_today(settings.timezone, context.obj or utc_now)
    begin, end = (
        (today + dt.timedelta(days=day) if isinstance(day, int) else day).isoformat() if day is not None else None
        for day in (first, last)
    )
    graph = graph_of(settings)
    with open_lake(settings, external_tables(settings.for_sources(), catalog.contracts())).connect() as session:
        published = Published(session, graph.partitions)
        try:
            plan = plan_by_hand(graph, keys, begin, end, published, downstream, upstream)
        except CannotBeRun as error:
            raise click.UsageError(str(error)) from error
    for remark in [*plan.remarks, *map(str, published.unreadable.values())]:
        click.echo(remark, err=True)
    _run_all(plan.requests, settings.state / "run.log", dry_run)


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1)
def ui(arguments: tuple[str, ...]) -> None:
    """Start Dagster's UI for this lake. ARGUMENTS are passed on to `dagster dev`.

    \b
    Examples:
      wemart ui
      wemart ui --port 3001
    """
    os.execve(dagster(), ["dagster", "dev", "-m", DEFINITIONS, *arguments], environment())


@main.command()
@click.option("--older-than", default=168, show_default=True, help="hours; younger files may belong to a run")
@click.option("--dry-run", is_flag=True, help="only show what would be removed")
def vacuum(older_than: int, dry_run: bool) -> None:
    """Remove data files that no published version needs, and index files of changed or deleted landing files.

    \b
    Examples:
      wemart vacuum --dry-run
      wemart vacuum --older-than 336
    """
    from wemart_assets import catalog
    from wemart_assets.lake.folder_store import FolderStore
    from wemart_assets.sources.landing import landings

    settings = load_settings()
    lake = FolderStore(settings.lake_location)
    errors = []
    done = "would be removed" if dry_run else "removed"
    for name, table in sorted(catalog.TABLES_BY_NAME.items()):
        try:
            removed = lake.vacuum(table, older_than, dry_run)
        except UnreadableTable as error:
            errors.append(error)
            continue
        if removed:
            click.echo(f"{name}: {len(removed)} files {done}")
    for name, landing in landings(settings.for_sources(), catalog.contracts()).items():
        removed = landing.vacuum(older_than, dry_run)
        if removed:
            click.echo(f"{name}: {len(removed)} index files {done}")
    _report_unreadable(errors)


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a script with which your shell completes commands, options and tables.

    \b
    Examples:
      eval "$(wemart completion bash)"            in ~/.bashrc
      eval "$(wemart completion zsh)"             in ~/.zshrc
      wemart completion fish > ~/.config/fish/completions/wemart.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(main, {}, "wemart", "_WEMART_COMPLETE").source())


@main.command()
@click.option("--check", is_flag=True, help="only check that the pages match the declarations")
def pages(check: bool) -> None:
    """Write the generated pages of a checkout: tables, graphs, settings, commands, and llms.txt.

    \b
    Examples:
      wemart pages
      wemart pages --check
    """
    from wemart_assets.pages import render

    project = Path.cwd()
    for path, text in render(project, main).items():
        target = project / path
        if target.exists() and target.read_text() == text:
            continue
        if check:
            raise click.ClickException(f"{path} does not match the declarations; run `wemart pages`")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        click.echo(f"wrote {path}")


@main.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path("."))
def init(folder: Path) -> None:
    """Set up FOLDER (by default the current one), so that the commands work in it without a checkout.

    The files are Dagster's configuration, an example of sources.yaml, and the settings of the folder (.env). Nothing
    is overwritten.

    \b
    Examples:
      wemart init mart && cd mart && wemart demo
    """
    from wemart_assets.init_folder import write_folder

    for path in write_folder(folder):
        click.echo(f"wrote {path}")
    click.echo(
        "\nNext, in this folder:\n"
        "  wemart demo     simulate a small platform and run the whole graph over it\n"
        "  wemart ui       Dagster's UI\n"
        "  sources.yaml    how your own files map to the sources"
    )


@main.group()
def new() -> None:
    """Write the files of a new table, in a checkout of the project."""


@new.command("table")
@click.argument("domain")
@click.argument("name")
@click.option("--weekly", is_flag=True, help="one partition per week, from Monday")
@click.option("--monthly", is_flag=True, help="one partition per month")
def new_table(domain: str, name: str, weekly: bool, monthly: bool) -> None:
    """Write a working table (sessions by country) with its check cases and tests, for you to change.

    DOMAIN is a folder of wemart_assets/marts. What is left to write is marked with TODO, and `make test` lists it.

    \b
    Examples:
      wemart new table sessions stats_wv_d_country
      wemart new table community stats_wv_w_country --weekly
    """
    from wemart_assets.new_table import update_pages, write_table

    if weekly and monthly:
        raise click.UsageError("a table has one period: give --weekly or --monthly, not both")
    period = Period.WEEK if weekly else Period.MONTH if monthly else Period.DAY
    table, files = write_table(Path.cwd(), domain, name, period)
    for path in files:
        click.echo(f"wrote {path}")
    click.echo(update_pages(Path.cwd()), nl=False)
    click.echo(
        "\nIt works as is. Next:\n"
        f"  .venv/bin/wemart run --from -{31 if monthly else 7 if weekly else 1} {table.replace('.', '/')}\n"
        "  make lint test                 the tests list what is left to write\n"
        "  .venv/bin/wemart pages         after every change of the declaration"
    )


def _run_all(requests: Sequence[Request], log: Path, dry_run: bool) -> None:
    """Runs the requests one after the other, or only shows them.

    Raises:
        ClickException: a run failed; those after it were not started.
    """
    started = time.monotonic()
    if not dry_run:
        log.unlink(missing_ok=True)
    for number, request in enumerate(requests, 1):
        partitions = f"by {request.period} over {_span(request.days)}" if request.period else "without days"
        count = "1 table" if len(request.tables) == 1 else f"{len(request.tables)} tables"
        click.echo(f"Run {number} of {len(requests)}: {count} {partitions}")
        if dry_run:
            click.echo("\n".join(f"  {name}" for name in sorted(request.tables)))
            continue
        try:
            with progress(len(request.tables)) as done:
                days = request.days if request.period else []
                materialize(selection(request.tables), days, request.tables, log, done)
        except RunFailed as error:
            remaining = len(requests) - number
            not_started = f"; {remaining} more runs were not started" if remaining else ""
            raise click.ClickException(f"{error}{not_started}") from error
    if requests and not dry_run:
        click.echo(f"Done in {time.monotonic() - started:.0f} s.")


def _report_unreadable(errors: Sequence[UnreadableTable]) -> None:
    """Reports damaged tables once all the others have been dealt with."""
    if errors:
        raise click.ClickException("\n".join(map(str, errors)))


def _whole_periods(first: str, last: str) -> list[tuple[Period, list[str]]]:
    """Returns the days from `first` to `last`, and the whole weeks and months among them if any table has them."""
    from wemart_assets import catalog

    runs = []
    periods = {Period.DAY} | {declared.table.period for declared in catalog.marts().values()}
    for period in (p for p in Period if p in periods):
        starts = dict.fromkeys(period_start(day, period) for day in days_between(first, last))
        whole = [start for start in starts if start >= first and period_days(start, period)[-1] <= last]
        if whole:
            runs.append((period, whole))
    return runs


@dataclass(frozen=True)
class SimulatorOptions:
    """How large a platform to simulate; `users` and `artists` follow from the log lines if None."""

    first_day: dt.date
    days: int
    lines: int
    events: int
    tracks: int
    seed: int = 7
    users: int | None = None
    artists: int | None = None


def _simulate(options: SimulatorOptions, timezone: str, place: Location, truth: Path) -> None:
    from wemart_assets import simulator

    span: dict[str, Any] = {"first_day": options.first_day, "days": options.days, "seed": options.seed}
    try:
        config = simulator.SimulatorConfig(
            **span,
            timezone=timezone,
            lines_per_day=options.lines,
            users=options.users,
            artists=options.artists,
        )
        click.echo(f"Simulating {options.days} days of {options.lines:,} log lines into {place}:")
        apps = simulator.AppsConfig(**span, events=options.events, files=8 if options.events > 1_000_000 else 3)
        site = simulator.TracksConfig(
            **span, timezone=timezone, tracks=options.tracks, visitors=max(options.tracks // 10, 1)
        )
        with _local(place) as landing:
            summary = simulator.simulate(config, landing, truth, progress=lambda text: click.echo(f"  {text}"))
            files = [*summary.files, *simulator.simulate_apps(apps, landing, truth)]
            files += simulator.simulate_identities(config, apps, landing)
            files += simulator.simulate_tracks(site, landing, truth)
    except FileExistsError as error:
        raise click.ClickException(f"{error}. Remove the folder, or name another with --landing.") from error
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    attributions, users = apps.size
    click.echo(f"  {options.events:,} app events, {attributions:,} attributions of {users:,} app users")
    click.echo(f"  {options.tracks:,} tracks of {site.visitors:,} visitors")
    click.echo(f"  {len(files)} files; the truth about them is in {truth}")


@contextmanager
def _local(place: Location) -> Iterator[Path]:
    """A folder to write to, whose files are put into `place` if that is in an object store."""
    if place.is_local:
        yield place.path
        return
    with tempfile.TemporaryDirectory(prefix="wemart_landing_") as folder:
        yield Path(folder)
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file():
                place.write(path.relative_to(folder).as_posix(), path.read_bytes())


def _demo_settings(days: int, lines: int, first_day: dt.date | None, clock: Clock) -> tuple[Settings, int]:
    """Returns the settings for a lake of simulated landing files, and how many days these have.

    It writes the files if nothing has landed yet.
    """
    settings = load_settings()
    has_landed = next(settings.landing_location.files(), None) is not None
    from_environment = load_settings(with_saved=False)
    is_set = "first_day" in from_environment.model_fields_set
    if first_day is not None and (has_landed or is_set) and first_day != settings.first_day:
        reason = "WEMART_FIRST_DAY is" if is_set else f"the files in {settings.landing} start on"
        raise click.ClickException(
            f"{reason} {settings.first_day}; to start on {first_day}, unset it or remove the files"
        )
    if has_landed:
        click.echo(f"Using the files already in {settings.landing}; for another demo, start in another folder.")
        return settings, _simulated_days(settings) or days
    if is_set:
        first_day = from_environment.first_day
    if first_day is None:
        today = business_today(settings.timezone, clock)
        first_day = demo_first_day(today, days)
        days = (today - first_day).days
    settings.saved.parent.mkdir(parents=True, exist_ok=True)
    settings.saved.write_text(
        "# Saved by `wemart demo` for this lake; environment variables override it.\n"
        f"WEMART_FIRST_DAY={first_day.isoformat()}\n"
    )
    settings = load_settings()
    options = SimulatorOptions(settings.first_day, days, lines, events=1_000 * days, tracks=400 * days)
    _simulate(options, settings.timezone, settings.landing_location, settings.state / "truth")
    return settings, days


def demo_first_day(today: dt.date, days: int) -> dt.date:
    """The latest first day of a demo that ends the day before `today` and has at least `days` days.

    It is a Monday if there is time for a whole week, and no later than the first of the last whole month if there is
    time for a whole month.
    """
    first = today - dt.timedelta(days=days)
    if days >= DAYS_WITH_A_WEEK:
        first -= dt.timedelta(days=first.weekday())
    last_whole_month = (today.replace(day=1) - dt.timedelta(days=1)).replace(day=1)
    if days >= DAYS_WITH_A_MONTH and first > last_whole_month:
        first = last_whole_month - dt.timedelta(days=last_whole_month.weekday())
    return first


def _simulated_days(settings: Settings) -> int | None:
    """How many days the demo simulated into the landing folder; None if the files are not the demo's."""
    truth = settings.state / "truth" / "counts.json"
    if not truth.exists():
        return None
    config = json.loads(truth.read_text())["config"]
    return int(config["days"]) if config["first_day"] == settings.first_day.isoformat() else None


def _span(days: Sequence[str]) -> str:
    return " to ".join(dict.fromkeys((days[0], days[-1])))


if __name__ == "__main__":
    main()
