"""`wemart sql`: a query at the command line, its rows to the terminal or to a file."""

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
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="file to write; standard output if none"
)
@click.option(
    "--rows", type=click.IntRange(min=0), default=40, show_default=True, help="rows that the table format shows"
)
def sql(query: str, form: str, output: Path | None, rows: int) -> None:
    """Run SQL over the lake, read-only. QUERY - reads it from standard input.

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
        raise click.ClickException("Parquet is not for a terminal; name a file with --output")
    if output is not None:
        _check_output(output, {"lake": settings.lake, "landing": settings.landing})
    try:
        with analyst(
            settings.lake,
            catalog.TABLES_BY_NAME,
            catalog.VIEWS_BY_NAME,
            catalog.each_function(settings.for_tables()),
            memory_limit=settings.memory_limit,
            threads=settings.threads,
        ) as session:
            found = session.stream(text)
            for problem in session.unreadable.values():
                click.echo(f"warning: {visible(problem)}", err=True)
            with _sink(output) as sink:
                _write(found, form, rows, sink)
    except (duckdb.Error, WemartError) as error:
        raise click.ClickException(visible(str(error), keep="\n\t")) from error
    except KeyboardInterrupt:
        click.echo("\nStopped; nothing was changed.", err=True)
        sys.exit(130)


def _text(query: str) -> str:
    """The query as text."""
    raw = sys.stdin.buffer.read() if query == "-" else os.fsencode(query)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise click.ClickException(
            f"the query is not UTF-8: byte {error.start + 1} is 0x{raw[error.start]:02x}. Save it as UTF-8."
        ) from error


def _check_output(output: Path, folders: dict[str, Path]) -> None:
    """
    Raises:
        ClickException: the file cannot be written, or lies where the mart's own files do.
    """
    target = output.resolve()
    if not target.parent.is_dir():
        raise click.ClickException(f"{output} cannot be written: there is no folder {target.parent}")
    for name, folder in folders.items():
        if target.is_relative_to(folder.resolve()):
            raise click.ClickException(f"{output} lies in the {name} folder, where results are never written")


@contextmanager
def _sink(output: Path | None) -> Iterator[IO[bytes]]:
    """Where the rows go. A file is there as a whole or not at all."""
    if output is None:
        stdout = sys.stdout.buffer
        try:
            yield cast(IO[bytes], _Terminal(stdout)) if sys.stdout.isatty() else stdout
            stdout.flush()
        except BrokenPipeError:
            # Whoever reads has enough (`| head`); what is still buffered must not fail once more at the end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())
        except OSError as error:
            raise click.ClickException(f"standard output cannot be written: {error.strerror or error}") from error
        return
    target = output.resolve()
    # A device or a pipe cannot be put in place of another.
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
    """A terminal that shows control characters of values and does not obey them."""

    def __init__(self, stdout: IO[bytes]) -> None:
        self._stdout = stdout

    def write(self, written: bytes) -> Any:
        return self._stdout.write(visible(bytes(written).decode(errors="replace"), keep="\n\t").encode())


def _write(found: Rows, form: str, shown: int, sink: IO[bytes]) -> None:
    from wemart_assets.sql import output

    match form:
        case "table":
            output.write_table(found, shown, sink)
        case "csv":
            output.write_csv(found, sink)
        case "json":
            output.write_json(found, sink)
        case _:
            output.write_parquet(found, sink)
