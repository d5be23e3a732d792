"""Formats text for a terminal."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence

# What a terminal may take for a command or a change of writing direction, including tabs and line ends.
SIGNALS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")

# Columns of a terminal that a shortened cell keeps at least.
SHORTEST = 10


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


def fitted(
    lines: Sequence[Sequence[str]], width: int, right: Container[int] = (), separator: str = "  "
) -> tuple[str, int]:
    """Like `aligned`, but fits `width` columns of a terminal (at least 20); also returns how many columns it shows.

    Long cells are shortened, except in right-aligned columns, where a part of a number would be another number. If
    that is not enough, columns in the middle are left out.
    """
    columns = [*zip(*lines, strict=True)]
    natural = [max(map(columns_of, column)) for column in columns]
    least = [
        min(natural[place], max(SHORTEST, *map(columns_of, column[1:])) if place in right else SHORTEST)
        for place, column in enumerate(columns)
    ]
    gap = len(separator)
    # From both ends: the first columns usually identify the row, and the last ones are what a query adds.
    ends = [place for pair in zip(range(len(natural)), reversed(range(len(natural))), strict=True) for place in pair]
    shown: list[int] = []
    used = 0
    for place in dict.fromkeys(ends):
        # Leaves room for the mark of the columns that are left out.
        mark = gap + 1 if len(shown) + 1 < len(natural) else 0
        if used + least[place] + gap * len(shown) + mark > width and shown:
            break
        used += least[place]
        shown.append(place)
    shown.sort()
    is_cut = len(shown) < len(natural)
    room = width - gap * (len(shown) - 1) - (gap + 1 if is_cut else 0)
    limit = _limit([natural[place] for place in shown], [least[place] for place in shown], room)
    widths = {place: max(least[place], min(natural[place], limit)) for place in shown}
    text = []
    for number, line in enumerate(lines):
        parts = [_padded(_shortened(line[place], widths[place]), widths[place], place in right) for place in shown]
        rule = ["-" * widths[place] for place in shown]
        if is_cut:
            at = next((n for n, place in enumerate(shown) if place != n), len(shown))
            parts.insert(at, "…")
            rule.insert(at, "-")
        text.append(separator.join(parts).rstrip())
        if number == 0:
            text.append(separator.join(rule))
    return "\n".join(text), len(shown)


def columns_of(text: str) -> int:
    """Returns how many columns of a terminal the text takes: two for a Korean syllable, none for an accent alone."""
    if text.isascii():
        return len(text)
    # Imported here because most text is ASCII.
    from wcwidth import wcswidth

    return max(int(wcswidth(text)), 0)


def _limit(natural: Sequence[int], least: Sequence[int], room: int) -> int:
    """Returns the greatest width that all columns can have, if none is wider than its cells."""
    limit = max(natural, default=0)
    while limit > SHORTEST and sum(max(low, min(full, limit)) for full, low in zip(natural, least, strict=True)) > room:
        limit -= 1
    return limit


def _shortened(text: str, width: int) -> str:
    if columns_of(text) <= width:
        return text
    # A character takes at most two columns.
    short = text[:width]
    while short and columns_of(short) > width - 1:
        short = short[:-1]
    return f"{short}…"


def _padded(text: str, width: int, right: bool) -> str:
    space = " " * (width - columns_of(text))
    return space + text if right else text + space


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
