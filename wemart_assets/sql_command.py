"""`wemart sql`: runs a query and writes its rows to the terminal or to a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import click

from wemart_assets.text import visible

if TYPE_CHECKING:
    from wemart_assets.sql import Rows


@click.command()
@click.argument("query")
@click.option(
    "--format", "form", type=click.Choice(["table", "csv", "json", "parquet"]), default="table", show_default=True
)
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="file to write; standard output by default"
)
@click.option(
    "--rows",
    type=click.IntRange(min=0),
    default=40,
    show_default=True,
    help="number of rows that the table format shows",
)
def sql(query: str, form: str, output: Path | None, rows: int) -> None:
    """Run a read-only SQL query over the lake. If QUERY is -, it is read from standard input.

    \b
    Examples:
      wemart sql "select part_date, count(*) from we_mart.wv_sess_daily group by all order by all"
      wemart sql "show all tables"
      wemart sql "from igaworks.active_user_by_campaign_between('2024-01-01', '2024-01-07')"
      wemart sql "select * from wev_prod.we_mart.stats_wv_d_platform" --format csv --output platforms.csv
    """
    import duckdb

    from wemart_assets import catalog
    from wemart_assets.lake.errors import WemartError
    from wemart_assets.settings import load_settings
    from wemart_assets.sql import analyst

    text = _text(query)
    settings = load_settings()
    if form == "parquet" and output is None and sys.stdout.isatty():
        raise click.ClickException("Parquet cannot be written to a terminal; name a file with --output")
    if output is not None:
        places = {"lake": settings.lake_location, "landing": settings.landing_location}
        _check_output(output, {name: place.path for name, place in places.items() if place.is_local})
    try:
        with analyst(
            settings.lake_location,
            catalog.TABLES_BY_NAME,
            catalog.VIEWS_BY_NAME,
            catalog.each_function(settings.for_tables()),
            memory_limit=settings.memory_limit,
            threads=settings.threads,
        ) as session:
            result = session.stream(text)
            for problem in session.unreadable.values():
                click.echo(f"warning: {visible(problem)}", err=True)
            with _sink(output) as sink:
                _write(result, form, rows, sink)
    except (duckdb.Error, WemartError) as error:
        raise click.ClickException(visible(str(error), keep="\n\t")) from error
    except KeyboardInterrupt:
        click.echo("\nStopped; nothing was changed.", err=True)
        sys.exit(130)


def _text(query: str) -> str:
    """Returns the query, read from standard input if it is `-`.

    Raises:
        ClickException: it is not UTF-8.
    """
    raw = sys.stdin.buffer.read() if query == "-" else os.fsencode(query)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise click.ClickException(
            f"the query is not UTF-8: byte {error.start + 1} is 0x{raw[error.start]:02x}. Save it as UTF-8."
        ) from error


def _check_output(output: Path, folders: dict[str, Path]) -> None:
    """Checks that the file can be written where it is to be.

    Raises:
        ClickException: its folder does not exist, or holds the mart's own files.
    """
    target = output.resolve()
    if not target.parent.is_dir():
        raise click.ClickException(f"{output} cannot be written: there is no folder {target.parent}; create it first")
    for name, folder in folders.items():
        if target.is_relative_to(folder.resolve()):
            raise click.ClickException(f"{output} is in the {name} folder, where results are never written")


@contextmanager
def _sink(output: Path | None) -> Iterator[IO[bytes]]:
    """Opens the file or standard output for the rows. A file appears complete or not at all."""
    if output is None:
        stdout = sys.stdout.buffer
        try:
            yield cast(IO[bytes], _Terminal(stdout)) if sys.stdout.isatty() else stdout
            stdout.flush()
        except BrokenPipeError:
            # The reader has stopped (`| head`). What is still buffered must not fail again at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())
        except OSError as error:
            raise click.ClickException(f"standard output cannot be written: {error.strerror or error}") from error
        return
    target = output.resolve()
    # A device or a pipe is written directly: a file cannot be moved into its place.
    part = target if target.exists() and not target.is_file() else target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with part.open("wb") as sink:
            yield sink
        if part != target:
            part.replace(target)
    except OSError as error:
        raise click.ClickException(f"{output} cannot be written: {error.strerror or error}") from error
    finally:
        if part != target:
            part.unlink(missing_ok=True)


class _Terminal:
    """A terminal on which control characters in values are shown, not obeyed."""

    def __init__(self, stdout: IO[bytes]) -> None:
        self._stdout = stdout

    def write(self, written: bytes) -> Any:
        return self._stdout.write(visible(bytes(written).decode(errors="replace"), keep="\n\t").encode())


def _write(rows: Rows, form: str, shown: int, sink: IO[bytes]) -> None:
    from wemart_assets.sql import output

    match form:
        case "table":
            output.write_table(rows, shown, sink)
        case "csv":
            output.write_csv(rows, sink)
        case "json":
            output.write_json(rows, sink)
        case _:
            output.write_parquet(rows, sink)
