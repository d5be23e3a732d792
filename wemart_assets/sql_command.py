"""`wemart sql`: runs a query and writes its rows to the terminal or to a file, or opens a prompt."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from wemart_assets.text import visible

if TYPE_CHECKING:
    from wemart_assets.settings import Settings
    from wemart_assets.sql import Analyst, Rows
    from wemart_assets.sql.completion import Names
    from wemart_assets.sql.shell import Shell


@click.command()
@click.argument("query", required=False)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json", "parquet"]),
    default="table",
    show_default=True,
    help="how the result is written",
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
def sql(query: str | None, form: str, output: Path | None, rows: int) -> None:
    """Run a read-only SQL query over the lake. If QUERY is -, it is read from standard input.

    Without QUERY, a prompt opens, with completion and history; \\? lists its commands. If standard input is not a
    terminal, its statements are run one after the other, up to the first that fails.

    \b
    Examples:
      wemart sql
      wemart sql "select part_date, count(*) from we_mart.wv_sess_daily group by all order by all"
      wemart sql "describe we_mart.wv_sess_daily"
      wemart sql "from igaworks.active_user_by_campaign_between('2024-01-01', '2024-01-07')"
      wemart sql "select * from wev_prod.we_mart.stats_wv_d_platform" --format csv --output platforms.csv
      wemart sql < queries.sql
    """
    import duckdb

    from wemart_assets.lake.errors import WemartError
    from wemart_assets.settings import load_settings
    from wemart_assets.sql.session import ctrl_c_as_such

    if query is None and output is not None:
        raise click.UsageError("--output needs a QUERY; at the prompt, \\o FILE writes the next result to a file")
    if query is None and form == "parquet":
        raise click.UsageError("--format parquet needs a QUERY, because a Parquet file has one result")
    text = None if query is None else _text(query)
    settings = load_settings()
    try:
        with ctrl_c_as_such():
            if text is not None:
                _run(text, form, output, rows, settings)
            else:
                _shell(form, rows, settings)
    except (duckdb.Error, WemartError) as error:
        raise click.ClickException(visible(str(error), keep="\n\t")) from error
    except KeyboardInterrupt:
        click.echo("\nStopped; nothing was changed.", err=True)
        sys.exit(130)


def open_session(settings: Settings) -> AbstractContextManager[Analyst]:
    """Opens an SQL session over the lake of the settings, with everything that is declared."""
    from wemart_assets import catalog
    from wemart_assets.sql import analyst

    return analyst(
        settings.lake_location,
        catalog.TABLES_BY_NAME,
        catalog.VIEWS_BY_NAME,
        catalog.each_function(settings.for_tables()),
        memory_limit=settings.memory_limit,
        threads=settings.threads,
    )


def _run(text: str, form: str, output: Path | None, rows: int, settings: Settings) -> None:
    from wemart_assets.sql.destination import check_output, sink

    if form == "parquet" and output is None and sys.stdout.isatty():
        raise click.ClickException("Parquet cannot be written to a terminal; name a file with --output")
    if output is not None:
        check_output(output, {"lake": settings.lake_location, "landing": settings.landing_location})
    with open_session(settings) as session:
        result = session.stream(text)
        for problem in session.unreadable.values():
            click.echo(f"warning: {visible(problem)}", err=True)
        with sink(output) as opened:
            _write(result, form, rows, opened, None if output is not None else _width())


def _shell(form: str, rows: int, settings: Settings) -> None:
    """Runs the prompt, or the statements of standard input."""
    from wemart_assets.sql.shell import Shell, statements

    with open_session(settings) as session:
        shell = Shell(
            session,
            echo=click.echo,
            warn=lambda text: click.echo(text, err=True),
            rows=rows,
            form=form,
            width=_width,
            places={"lake": settings.lake_location, "landing": settings.landing_location},
        )
        # A process may be started without standard input.
        if sys.stdin is None or not sys.stdin.isatty():
            _run_script(shell, statements(_lines()))
            return
        # Imported here because only the prompt needs it.
        from wemart_assets.sql.prompt import run_prompt

        welcome = f"{visible(str(settings.lake_location))}, read-only. \\d lists tables, \\? all commands, \\q leaves."
        run_prompt(shell, lambda: _names(session), settings.state / "sql_history", welcome)


def _run_script(shell: Shell, script: Iterable[str]) -> None:
    """Runs the statements and commands up to the first that fails.

    Raises:
        ClickException: one failed; says which.
    """
    import duckdb

    from wemart_assets.lake.errors import WemartError

    for number, statement in enumerate(script, 1):
        try:
            shell.run(statement)
        except (duckdb.Error, WemartError) as error:
            problem = visible(str(error), keep="\n\t")
            raise click.ClickException(f"statement {number} of standard input: {problem}") from error
        if shell.is_over:
            return


def _names(session: Analyst) -> Names:
    """Collects the names that complete a statement, from the declarations and from DuckDB."""
    import duckdb

    from wemart_assets import catalog
    from wemart_assets.sql.completion import Names
    from wemart_assets.sql.session import DAILY

    declared = [*catalog.TABLES_BY_NAME.values(), *(view.table for view in catalog.VIEWS_BY_NAME.values())]
    columns = {(table.database, table.name): [column.name for column in table.columns] for table in declared}
    tables = {}
    for entry in session.names():
        place = (entry.database, entry.name)
        tables[place] = columns.get(place) or columns.get((entry.database, entry.name.removesuffix(DAILY)), [])
    with duckdb.connect() as connection:
        words = connection.execute(
            "select word from (select keyword_name as word, 0 as rank from duckdb_keywords() union all"
            " select distinct function_name, 1 from duckdb_functions()"
            r" where function_type in ('scalar', 'aggregate', 'macro') and regexp_matches(function_name, '^[a-z]\w*$'))"
            " order by rank, word"
        ).fetchall()
    return Names(tables, [(of.database, of.name) for of in session.functions()], [word for (word,) in words])


def _width() -> int | None:
    """The columns of the terminal that shows results; None if they go elsewhere."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _lines() -> Iterator[str]:
    """Yields the lines of standard input as they arrive.

    Raises:
        ClickException: one is not UTF-8.
    """
    for number, line in enumerate(() if sys.stdin is None else sys.stdin.buffer, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise click.ClickException(
                f"line {number} of standard input is not UTF-8: byte {error.start + 1} is 0x{line[error.start]:02x}."
            ) from error


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


def _write(rows: Rows, form: str, shown: int, sink: IO[bytes], width: int | None) -> None:
    from wemart_assets.sql import output

    match form:
        case "table":
            output.write_table(rows, shown, sink, width)
        case "csv":
            output.write_csv(rows, sink)
        case "json":
            output.write_json(rows, sink)
        case _:
            output.write_parquet(rows, sink)
