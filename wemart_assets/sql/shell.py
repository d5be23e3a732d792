"""The statements and commands of `wemart sql` without a query, typed at a prompt or read from standard input.

All statements go through one session. Before each, the session is refreshed, so that it sees what has been published
since.
"""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from wemart_assets.lake.errors import WemartError
from wemart_assets.lake.location import Location
from wemart_assets.sql import output
from wemart_assets.sql.destination import check_output, sink
from wemart_assets.sql.session import CATALOG, Analyst, Described, Entry, Rows
from wemart_assets.sql.statements import is_complete, split
from wemart_assets.text import aligned, columns_of, fitted, visible

FORMATS = ("table", "csv", "json", "parquet")
# How to see what a table of results leaves out.
MORE = r"\o FILE.csv writes all"
MORE_COLUMNS = r"; \x shows all"
HELP = {
    r"\d": "list tables and views",
    r"\d NAME": "describe a table or view: columns, grain, days; with * and ?, list the names that match",
    r"\df": "list functions over a range of days",
    r"\x": "show rows one below the other, or as a table again",
    r"\o FILE": "write the next result to a file: .csv, .json, .parquet, else a text table",
    r"\timing": "show how long each statement takes, or stop showing it",
    r"\e": "edit the last statement in your editor ($EDITOR)",
    r"\?": "show this",
    r"\q": "leave (also Ctrl-D)",
}
COMMANDS = (*dict.fromkeys(command.split()[0] for command in HELP), r"\dt")
# As in other prompts, these need no backslash.
WORDS = {"quit": r"\q", "exit": r"\q", "help": r"\?"}
IDENTIFIER = re.compile(r'"((?:[^"]|"")*)"|(\w+)')


class CommandError(WemartError):
    """A command that does not exist, or that is used incorrectly."""


@dataclass
class Shell:
    """Runs statements and commands, and shows what they return.

    Attributes:
        echo: shows a line.
        warn: shows a warning.
        rows: how many rows a table shows.
        form: how results are written, unless a file is named.
        width: the columns of the terminal; None if there is none, so that nothing is shortened.
        places: the mart's own folders, where no result is written, by name.
    """

    session: Analyst
    echo: Callable[[str], None]
    warn: Callable[[str], None]
    rows: int
    form: str
    width: Callable[[], int | None]
    places: Mapping[str, Location]
    is_vertical: bool = False
    is_timed: bool = False
    is_over: bool = False
    next_output: Path | None = None

    def run(self, text: str) -> None:
        """Runs a command, or the statements of the text, up to the first that fails.

        Raises:
            WemartError: a statement is refused, a table is damaged, a file cannot be written, a command is wrong.
            duckdb.Error: the SQL is wrong.
        """
        if not is_utf_8(text):
            raise CommandError("the query contains bytes that are not UTF-8; type it again")
        command = text.strip().removesuffix(";").rstrip()
        if (command := WORDS.get(command.lower(), command)).startswith("\\"):
            self._command(command)
            return
        for statement in split(text) or [text]:
            if statement.strip():
                self._statement(statement)

    def _statement(self, sql: str) -> None:
        started = time.monotonic()
        self.session.refresh()
        rows = self.session.stream(sql)
        for problem in self.session.unreadable.values():
            self.warn(visible(problem))
        target = self.next_output
        with sink(target) as opened:
            form = self.form if target is None else target.suffix.lower().removeprefix(".")
            self._write(rows, form, opened, is_file=target is not None)
        if target is not None:
            self.next_output = None
            self.echo(f"wrote {visible(str(target))}")
        if self.is_timed:
            self.echo(f"Time: {time.monotonic() - started:,.3f} s")

    def _write(self, rows: Rows, form: str, opened: IO[bytes], is_file: bool) -> None:
        width = None if is_file else self.width()
        match form:
            case "csv":
                output.write_csv(rows, opened)
            case "json":
                output.write_json(rows, opened)
            case "parquet":
                output.write_parquet(rows, opened)
            case _ if is_file:
                # A file has room for all rows.
                output.write_table(rows, MOST_ROWS, opened)
            case _ if self.is_vertical:
                output.write_records(rows, self.rows, opened, MORE)
            case _:
                output.write_table(rows, self.rows, opened, width, MORE, MORE_COLUMNS)

    def _command(self, text: str) -> None:
        name, _, argument = text.partition(" ")
        argument = argument.strip()
        match name:
            case "\\q":
                self.is_over = True
            case "\\?":
                self.echo(_help())
            case "\\x":
                self.is_vertical = not self.is_vertical
                self.echo(f"Rows are shown {'one below the other' if self.is_vertical else 'as a table'}.")
            case "\\timing":
                self.is_timed = not self.is_timed
                self.echo(f"Timing is {'on' if self.is_timed else 'off'}.")
            case "\\o":
                self._output(argument)
            case "\\e":
                raise CommandError("\\e works only at the prompt, without an argument")
            case "\\df":
                self.session.refresh()
                self._list(self.session.functions(), "(first, last)")
            case "\\d" | "\\dt" if not argument or "*" in argument or "?" in argument:
                self.session.refresh()
                self._list(_matching(self.session.names(), argument or "*"))
            case "\\d" | "\\dt":
                self.session.refresh()
                self._describe(argument)
            case _:
                similar = difflib.get_close_matches(name, COMMANDS, n=1)
                meant = f"; did you mean {similar[0]}?" if similar else ""
                raise CommandError(f"there is no command {name}{meant} \\? lists the commands")

    def _output(self, argument: str) -> None:
        if not argument:
            self.next_output = None
            self.echo("Results are shown here.")
            return
        try:
            output_file = Path(argument).expanduser()
            check_output(output_file, self.places)
        except (RuntimeError, ValueError) as error:
            # `~` with an unknown user, or a NUL character.
            raise CommandError(f"{argument} cannot be written: {error}") from error
        self.next_output = output_file
        self.echo(f"The next result is written to {visible(argument)}.")

    def _list(self, entries: Sequence[Entry], suffix: str = "") -> None:
        if not entries:
            raise CommandError(r"no name matches; \d lists all")
        lines = [("name", "a row is")]
        for entry in entries:
            description = (entry.description or "").removeprefix("One row per ")
            lines.append((visible(entry.full_name) + suffix, visible(description)))
        self.echo(self._fitted(lines))

    def _describe(self, argument: str) -> None:
        parts = [quoted.replace('""', '"') or plain for quoted, plain in IDENTIFIER.findall(argument)]
        if len(parts) == 3 and parts[0].lower() == CATALOG:
            parts = parts[1:]
        database = parts[0] if parts[1:] else ""
        described = self.session.describe(database, parts[-1]) if len(parts) in (1, 2) else None
        if described is None:
            names = [entry.full_name for entry in self.session.names()]
            wanted = argument if "." in argument else f".{argument}"
            near = [name for name in names if wanted.strip(".") in name][:3]
            near = near or difflib.get_close_matches(argument, [*names, *(n.partition(".")[2] for n in names)])
            meant = f"; did you mean {' or '.join(near)}?" if near else ""
            raise CommandError(f"there is no table {argument}{meant}")
        self.echo(self._description(described))

    def _description(self, described: Described) -> str:
        lines = [("column", "type", "description")]
        lines += [(visible(name), visible(kind), visible(text or "")) for name, kind, text in described.columns]
        head = f"{described.entry.kind.value} {visible(described.entry.full_name)}"
        facts = [described.entry.description or ""]
        if described.grain:
            facts.append(f"Grain: {', '.join(described.grain)}")
        if described.days:
            count = f"{len(described.days):,} partition{'s' if len(described.days) > 1 else ''}"
            span = " to ".join(dict.fromkeys((described.days[0], described.days[-1])))
            facts.append(f"Published with rows: {count}, {span}")
        elif described.days is not None:
            facts.append("No partition has rows.")
        return "\n".join([head, *(visible(fact) for fact in facts if fact), "", self._wrapped(lines)])

    def _fitted(self, lines: Sequence[Sequence[str]]) -> str:
        width = self.width()
        return aligned(lines) if width is None else fitted(lines, width)[0]

    def _wrapped(self, lines: Sequence[Sequence[str]]) -> str:
        """Returns the lines, with the last column continued on further lines if it does not fit."""
        import textwrap

        width = self.width()
        left = sum(max(columns_of(line[place]) for line in lines) + 2 for place in (0, 1))
        if width is None or width - left < SHORTEST_TEXT:
            return self._fitted(lines)
        wrapped: list[Sequence[str]] = []
        for name, kind, text in lines:
            first, *rest = textwrap.wrap(text, width - left) or [""]
            wrapped += [(name, kind, first), *(("", "", part) for part in rest)]
        return aligned(wrapped)


# No result that is written to a text table has so many.
MOST_ROWS = 1 << 62
# Below this width a description is shortened instead of wrapped.
SHORTEST_TEXT = 20


def statements(lines: Iterable[str]) -> Iterator[str]:
    """Yields the statements and commands of a script, each once it is complete; the last needs no semicolon."""
    text = ""
    for line in lines:
        if not text.strip() and line.lstrip().startswith("\\"):
            yield line
            continue
        text += line
        if ";" in line and is_complete(text):
            yield text
            text = ""
    if text.strip():
        yield text


def is_utf_8(text: str) -> bool:
    """Whether all that was typed is text; a terminal passes on other bytes, too."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _matching(entries: Sequence[Entry], pattern: str) -> list[Entry]:
    """Returns the entries whose name, with or without the database, matches the pattern of * and ?."""
    expression = re.compile(
        "".join({"*": ".*", "?": "."}.get(sign, re.escape(sign)) for sign in pattern), re.IGNORECASE
    )
    return [e for e in entries if expression.fullmatch(e.full_name) or expression.fullmatch(e.name)]


def _help() -> str:
    lines = "\n".join(f"  {command:<9} {text}" for command, text in HELP.items())
    return (
        "A statement ends with ; and may have many lines. Tab completes; Ctrl-C cancels a query.\n"
        f"{lines}\n"
        "Queries only read; `create view` and `create table ... as` last until you leave."
    )
