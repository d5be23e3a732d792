"""Line charts by day and heat maps, as SVG, which a run shows with a table's rows.

They are written by hand: a few hundred elements do not justify the seconds that importing a plotting library takes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from html import escape
from itertools import groupby

WIDTH, HEIGHT = 860, 340
LEFT, RIGHT, TOP, BOTTOM = 50, 40, 36, 60
# Distinguishable to colour-blind readers (Okabe and Ito).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
DAY_LABELS = 8
# Number of days (weeks, months) in a chart of a table that grows by the day (week, month).
DAYS_SHOWN = 90
PERIODS_SHOWN = 26
# Sizes in the legend: the sample of a line, the widest letter, a row.
SAMPLE, LETTER, ROW = 30, 6.5, 18


# Characters that no XML document may have.
NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")

# Sizes of the cells of a heat map.
CELL_WIDTHS, CELL_HEIGHT = (40, 80), 24
# One hue, so that only lightness tells values apart; even the lightest is darker than a cell without a value.
LIGHTEST, DARKEST = (222, 235, 247), (8, 48, 107)


class Scale(Enum):
    """What the axis of a line chart measures."""

    SHARES = "shares"
    """From 0 to 1, written as percentages."""
    COUNTS = "counts"
    """From 0 up, in whole numbers: users, seconds."""


@dataclass(frozen=True)
class Line:
    """Values by day, none of them negative. Lines of one colour belong together, and one of them may be dashed.

    There is a value per day of the chart; None leaves a gap in the line.
    """

    name: str
    values: Sequence[float | None]
    colour: int
    dashed: bool = False


def line_chart(title: str, days: Sequence[str], lines: Sequence[Line], scale: Scale = Scale.SHARES) -> str:
    """SVG of the lines over the days; the axis runs from 0 to a round number at or above the highest value."""
    marks = _marks(max((value for line in lines for value in line.values if value is not None), default=0.0), scale)
    top = marks[-1]
    mark_labels = [f"{mark:.0%}" if scale is Scale.SHARES else f"{mark:,.0f}" for mark in marks]
    left_edge = max(LEFT, round(LETTER * max(map(len, mark_labels))) + 12)
    across, down = WIDTH - left_edge - RIGHT, HEIGHT - TOP - BOTTOM
    entry = SAMPLE + LETTER * (2 + max((len(line.name) for line in lines), default=0))
    columns = max(int(across // entry), 1)
    if columns > 1:
        # A line and its dashed counterpart stay next to each other.
        columns -= columns % 2
    height = HEIGHT + ROW * max(-(-len(lines) // columns) - 1, 0)

    def x(n: int) -> float:
        return round(left_edge + across * (n / (len(days) - 1) if len(days) > 1 else 0.5), 1)

    def y(value: float) -> float:
        return round(TOP + down * (1 - value / top), 1)

    parts = _opening(title, WIDTH, height, left_edge)
    for mark, label in zip(marks, mark_labels, strict=True):
        parts.append(f'<line x1="{left_edge}" x2="{WIDTH - RIGHT}" y1="{y(mark)}" y2="{y(mark)}" stroke="#ddd"/>')
        parts.append(f'<text x="{left_edge - 6}" y="{y(mark) + 4}" text-anchor="end">{label}</text>')
    parts += [
        f'<text x="{x(n)}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{_text(days[n])}</text>'
        for n in range(0, len(days), max(-(-len(days) // DAY_LABELS), 1))
    ]
    for place, line in enumerate(lines):
        colour = COLOURS[line.colour % len(COLOURS)]
        look = f'stroke="{colour}" stroke-width="2"' + (' stroke-dasharray="5 4"' if line.dashed else "")
        values = zip(range(len(days)), line.values, strict=True)
        points = [None if value is None else (x(n), y(value)) for n, value in values]
        for has_value, segment in groupby(points, key=lambda point: point is not None):
            if has_value:
                joined = " ".join(f"{cx},{cy}" for cx, cy in filter(None, segment))
                parts.append(f'<polyline points="{joined}" fill="none" {look}/>')
        # A line does not show a single day, so each day is also a point.
        parts += [f'<circle cx="{cx}" cy="{cy}" r="2.5" fill="{colour}"/>' for cx, cy in filter(None, points)]
        left, baseline = left_edge + place % columns * across / columns, HEIGHT - 16 + place // columns * ROW
        parts.append(f'<line x1="{left:.1f}" x2="{left + 24:.1f}" y1="{baseline - 4}" y2="{baseline - 4}" {look}/>')
        parts.append(f'<text x="{left + SAMPLE:.1f}" y="{baseline}">{_text(line.name)}</text>')
    return "".join([*parts, "</svg>"])


def heat_map(title: str, rows: Sequence[str], columns: Sequence[str], values: Sequence[Sequence[float | None]]) -> str:
    """SVG of a share per cell, each between 0 and 1: the higher, the darker, and written in the cell as a percentage.

    `rows` and `columns` are the labels; `values` has a sequence per row with a share per column. The darkest colour is
    that of the highest share. A cell with None stays empty.
    """
    highest = max((share for row in values for share in row if share is not None), default=0.0)
    left = max(LEFT, round(LETTER * max(map(len, rows), default=0)) + 12)
    narrowest, widest = CELL_WIDTHS
    cell = min(max((WIDTH - left - RIGHT) // max(len(columns), 1), narrowest), widest)
    # Where the cells are narrower than the labels, only every so many columns have theirs.
    label_every = max(-(-round(LETTER * (1 + max(map(len, columns), default=0))) // cell), 1)
    top = TOP + ROW
    width, height = max(left + cell * len(columns) + RIGHT, WIDTH), top + CELL_HEIGHT * len(rows) + ROW

    parts = _opening(title, width, height, left)
    parts += [
        f'<text x="{left + cell * (n + 0.5)}" y="{top - 6}" text-anchor="middle">{_text(columns[n])}</text>'
        for n in range(0, len(columns), label_every)
    ]
    for row, (label, shares) in enumerate(zip(rows, values, strict=True)):
        y = top + CELL_HEIGHT * row
        parts.append(f'<text x="{left - 6}" y="{y + 16}" text-anchor="end">{_text(label)}</text>')
        for n, (_, share) in enumerate(zip(columns, shares, strict=True)):
            if share is not None:
                fill, ink = _shade(share / highest if highest else 0.0)
                x, text = left + cell * n, _percentage(share)
                parts.append(
                    f'<rect x="{x}" y="{y}" width="{cell}" height="{CELL_HEIGHT}" fill="{fill}" stroke="#fff"/>'
                    f'<text x="{x + cell / 2}" y="{y + 16}" text-anchor="middle" fill="{ink}">{text}</text>'
                )
    return "".join([*parts, "</svg>"])


def _opening(title: str, width: int, height: int, left: int) -> list[str]:
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        ' font-family="sans-serif" font-size="11" fill="#333">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="{left}" y="20" font-size="14">{_text(title)}</text>',
    ]


def _text(text: str) -> str:
    """The text as XML, without the characters that XML cannot have."""
    return escape(NOT_XML.sub("", text))


def _marks(highest: float, scale: Scale) -> list[float]:
    """The values at which the axis is marked, from 0 to its top."""
    if scale is Scale.SHARES:
        top = min(-(-int(highest * 1000 + 1) // 100) / 10, 1.0)
        return [top * fifth / 5 for fifth in range(6)]
    step = 1
    while step * 5 < highest:
        # 1, 2, 5, 10, 20, 50, ...
        step = step * 5 // 2 if str(step).startswith("2") else step * 2
    return [float(step * n) for n in range(max(math.ceil(highest / step), 1) + 1)]


def _shade(share_of_highest: float) -> tuple[str, str]:
    """The colour of a cell, and of the text in it: black or white, whichever contrasts more."""
    fill = [round(light + (dark - light) * share_of_highest) for light, dark in zip(LIGHTEST, DARKEST, strict=True)]
    # WCAG's relative luminance; at 0.179 black and white contrast equally.
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in (part / 255 for part in fill)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#{:02x}{:02x}{:02x}".format(*fill), "#000" if luminance > 0.179 else "#fff"


def _percentage(share: float) -> str:
    """Whole percent, and a tenth where a whole percent would hide most of the share or of what it lacks to 1."""
    if 0 < share < 0.0995 or 0.9905 < share < 1:
        # No share below 1 is written as 100%.
        return f"{min(share, 0.999):.1%}"
    return f"{share:.0%}"
