"""What can come next in a statement: keywords, databases, tables, columns, functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from wemart_assets.text import visible

CATALOG_PREFIX = re.compile(r"^wev_prod\.", re.IGNORECASE)
# A path of names up to the cursor, of which the last may be empty.
PATH = re.compile(r"(?:\w+\.)*\w*$")
BEFORE_TABLES = re.compile(r"\b(from|join|describe|desc|summarize|table|show|pivot|unpivot)\s+$", re.IGNORECASE)
AFTER_COMMA = re.compile(r"\bfrom\s+[\w.\s]+(,[\w.\s]+)*,\s*$", re.IGNORECASE)
# A table of the statement and its alias.
READ = re.compile(
    r"\b(?:from|join|describe|summarize|pivot)\s+([\w.]+)(?:\s+(?:as\s+)?(\w+))?|,\s*([\w.]+)\s+(\w+)", re.IGNORECASE
)
WITHOUT_NAMES = re.compile(r"'(?:[^']|'')*'|--[^\n]*\n|/\*.*?\*/", re.DOTALL)
PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_]*", re.IGNORECASE)
LAST_STATEMENT = re.compile(r"[^;]*$")

Place = tuple[str, str]


@dataclass(frozen=True)
class Names:
    """The names that complete a statement.

    Attributes:
        tables: the columns of each table and view, by database and name.
        functions: our table functions, by database and name.
        words: keywords and DuckDB's functions.
    """

    tables: Mapping[Place, Sequence[str]] = field(default_factory=dict)
    functions: Sequence[Place] = ()
    words: Sequence[str] = ()

    def complete(self, before: str, after: str = "") -> tuple[list[str], int]:
        """Returns what may stand instead of the last characters before the cursor, and how many these are."""
        text = WITHOUT_NAMES.sub(" ", before)
        if "'" in text or "/*" in text or "--" in text.rpartition("\n")[2]:
            # Within a string or a comment.
            return [], 0
        path = PATH.search(text)
        assert path is not None
        statement = LAST_STATEMENT.search(text[: path.start()])
        assert statement is not None
        prefix, _, begun = CATALOG_PREFIX.sub("", path[0]).rpartition(".")
        candidates = self._candidates(prefix, statement[0], statement[0] + WITHOUT_NAMES.sub(" ", path[0] + after))
        matching = (name for name in dict.fromkeys(candidates) if name.lower().startswith(begun.lower()))
        return [_quoted(name) for name in matching if visible(name) == name], len(begun)

    def _candidates(self, prefix: str, before: str, whole: str) -> Iterable[str]:
        is_table = BEFORE_TABLES.search(before) is not None or AFTER_COMMA.search(before) is not None
        if prefix:
            if not is_table:
                yield from self._columns_of(prefix, whole)
            yield from (name for database, name in (*self.tables, *self.functions) if database == prefix.lower())
            return
        databases = sorted({database for database, _name in self.tables})
        names = sorted(name for _database, name in (*self.tables, *self.functions))
        if is_table:
            yield from (*databases, *names)
            return
        for read in READ.finditer(whole):
            yield from self._columns(read[1] or read[3])
        yield from (*self.words, *names, *databases)

    def _columns_of(self, alias: str, statement: str) -> Sequence[str]:
        """Returns the columns of the table that the statement reads under this alias or name."""
        for read in READ.finditer(statement):
            if (read[2] or read[4] or "").lower() == alias.lower():
                return self._columns(read[1] or read[3])
        return self._columns(alias)

    def _columns(self, table: str) -> Sequence[str]:
        database, _, name = CATALOG_PREFIX.sub("", table).lower().rpartition(".")
        if database:
            return self.tables.get((database, name), ())
        return next((columns for (_database, own), columns in self.tables.items() if own == name), ())


def first_words(commands: Sequence[str], before: str) -> tuple[list[str], int] | None:
    """Returns how a command continues; None if the text is no command, or has got beyond its name."""
    begun = before.lstrip()
    if not begun.startswith("\\") or " " in begun:
        return None
    return [command for command in commands if command.startswith(begun)], len(begun)


def _quoted(name: str) -> str:
    return name if PLAIN_NAME.fullmatch(name) else '"' + name.replace('"', '""') + '"'
