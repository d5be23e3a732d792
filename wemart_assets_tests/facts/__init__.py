"""What others have written down and the marts have to agree with: columns, queries, known answers.

Each is a file of this folder, written from the documents by hand; nothing here is computed by the code under test.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


@cache
def columns() -> dict[str, list[str]]:
    """Lines of `columns.txt` by table: a name, and a type where the document has one."""
    text = re.sub(r"^#.*\n", "", (FOLDER / "columns.txt").read_text(), flags=re.MULTILINE)
    _, *parts = re.split(r"^\[(.*)\]\n", text, flags=re.MULTILINE)
    return {table: body.split("\n\n")[0].splitlines() for table, body in zip(parts[::2], parts[1::2], strict=True)}


def queries(name: str) -> list[str]:
    """The statements of `queries/<name>.sql`, each with the comments above it."""
    return [query for query in (FOLDER / "queries" / f"{name}.sql").read_text().split(";\n") if query.strip()]


def known_sessions() -> dict[str, Any]:
    """Known answers of other sessionizers."""
    answers: dict[str, Any] = json.loads((FOLDER / "sessions.json").read_text())
    return answers
