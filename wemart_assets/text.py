"""Text for people at a terminal."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence

# What a terminal may take for a command, or for another direction of writing; tabs and ends of lines are among them.
SIGNALS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def visible(text: str, keep: Container[str] = ()) -> str:
    """The text with its control characters written out (`\\x1b`), but for those to keep."""
    return SIGNALS.sub(lambda sign: sign[0] if sign[0] in keep else _written_out(sign[0]), text)


def aligned(lines: Sequence[Sequence[str]], right: Container[int] = ()) -> str:
    """The lines as columns, the first as their heads; columns in `right` are aligned there."""
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


def _written_out(sign: str) -> str:
    return sign.encode("unicode_escape").decode()
