"""Formats text for a terminal."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence

# What a terminal may take for a command or a change of writing direction, including tabs and line ends.
SIGNALS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def visible(text: str, keep: Container[str] = ()) -> str:
    """Returns the text with its control characters escaped (`\\x1b`), except for those to keep."""
    return SIGNALS.sub(lambda match: match[0] if match[0] in keep else _escaped(match[0]), text)


def aligned(lines: Sequence[Sequence[str]], right: Container[int] = ()) -> str:
    """Returns the lines as aligned columns, the first line as their headers; `right` lists right-aligned columns."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = []
    for number, line in enumerate(lines):
        cells = [
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        text.append("  ".join(cells).rstrip())
        if number == 0:
            text.append("  ".join("-" * width for width in widths))
    return "\n".join(text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
