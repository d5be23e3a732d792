"""`wemart`: the demo, the simulator, SQL over the lake, and the lake's upkeep."""

from __future__ import annotations

import datetime as dt
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click

from wemart_assets.lake.days import Period, days_between, period_days, period_start
from wemart_assets.lake.errors import WemartError
from wemart_assets.settings import Settings, SettingsError, load_settings
from wemart_assets.sql_command import sql
from wemart_assets.text import aligned

STEP_DONE = re.compile(r" - (\S+) - STEP_SUCCESS - .* in ([\d.]+)(ms|s)\.")
STEP_FAILED = re.compile(r" - (\S+) - STEP_FAILURE - ")


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
    for name, table in sorted((catalog.tables() | catalog.quarantines()).items()):
        files = lake.files(table)
        if not files and name.endswith("__quarantine"):
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
def demo(days: int, lines: int) -> None:
    """Simulate a small fan platform and run the whole graph over it."""
    settings = load_settings()
    started = time.monotonic()
    if settings.landing.exists() and any(settings.landing.iterdir()):
        click.echo(f"Files have landed in {settings.landing} before; they are used as they are (`make clean` removes).")
    else:
        _simulate(settings, settings.landing, Path(".wemart/truth"), None, days, lines, 7)
    first, last = settings.first_day.isoformat(), (settings.first_day + dt.timedelta(days=days - 1)).isoformat()
    began = time.monotonic()
    for period, run in _whole_periods(first, last):
        click.echo(f"\nRunning every table by {period} over {' to '.join(dict.fromkeys((run[0], run[-1])))}:")
        command = [_dagster(), "asset", "materialize", "-m", "wemart_assets.definitions"]
        command += ["--select", f'tag:"period"="{period}"', "--partition-range", f"{run[0]}...{run[-1]}"]
        _run_shown(command, Path(f".wemart/demo_{period}.log"))
    click.echo(f"  the graph took {time.monotonic() - began:.0f} s, of which some 10 s a run are Dagster's start\n")
    click.get_current_context().invoke(tables)
    click.echo(
        f"\nDone in {time.monotonic() - started:.0f} s. What next:\n"
        "  make ui                        the graph, its runs and checks in Dagster\n"
        '  .venv/bin/wemart sql "select platform, sum(sess_cnt) as sessions from we_mart.stats_wv_d_platform'
        ' group by all order by all"\n'
        "  README.md, Bring your own log  one file of settings instead of the simulator"
    )


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1)
def ui(arguments: tuple[str, ...]) -> None:
    """Dagster's UI over this lake (further ARGUMENTS go to `dagster dev`, such as --port 3001)."""
    environment = _dagster_environment()
    os.execve(_dagster(), ["dagster", "dev", "-m", "wemart_assets.definitions", *arguments], environment)


@main.command()
@click.option("--older-than", default=168, show_default=True, help="hours; younger files may belong to a run")
@click.option("--dry-run", is_flag=True, help="only say what would go")
def vacuum(older_than: int, dry_run: bool) -> None:
    """Remove data files that no published version needs: replaced ones, and those of runs that died."""
    from wemart_assets import catalog
    from wemart_assets.lake.delta import DeltaLake

    lake = DeltaLake(load_settings().lake)
    for name, table in sorted((catalog.tables() | catalog.quarantines()).items()):
        removed = lake.vacuum(table, older_than, dry_run)
        if removed:
            click.echo(f"{name}: {len(removed)} files {'would go' if dry_run else 'removed'}")


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


def _run_shown(command: list[str], log: Path) -> None:
    """Run Dagster, showing each table as it is done; the whole output goes to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("w") as kept,
        subprocess.Popen(
            command, env=_dagster_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            kept.write(line)
            if done := STEP_DONE.search(line):
                seconds = float(done[2]) / (1000 if done[3] == "ms" else 1)
                click.echo(f"  {done[1].replace('__', '.', 1):<48}{seconds:6.1f} s")
            elif failed := STEP_FAILED.search(line):
                click.echo(f"  {failed[1].replace('__', '.', 1):<48}failed")
    if process.returncode != 0:
        raise click.ClickException(f"the run failed; what Dagster said is in {log}")


def _dagster() -> str:
    beside = Path(sys.executable).with_name("dagster")
    found = str(beside) if beside.exists() else shutil.which("dagster")
    if found is None:
        raise click.ClickException("the command `dagster` is not installed beside this Python")
    return found


def _dagster_environment() -> dict[str, str]:
    """This process's environment; the instance is this folder's unless one is set."""
    environment = dict(os.environ)
    if "DAGSTER_HOME" not in environment and Path("dagster.yaml").exists():
        environment["DAGSTER_HOME"] = str(Path.cwd())
    return environment


if __name__ == "__main__":
    main()
