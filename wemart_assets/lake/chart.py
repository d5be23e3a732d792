"""A line chart of shares by day, as SVG, which a run shows with a table's rows.

It is written by hand: a few hundred elements do not justify the seconds that importing a plotting library takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

WIDTH, HEIGHT = 860, 340
LEFT, RIGHT, TOP, BOTTOM = 50, 40, 36, 60
# Distinguishable to colour-blind readers (Okabe and Ito).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
DAY_LABELS = 8
# Sizes in the legend: the sample of a line, the widest letter, a row.
SAMPLE, LETTER, ROW = 30, 6.5, 18


@dataclass(frozen=True)
class Line:
    """Shares by day, each between 0 and 1. Lines of one colour belong together, and one of them may be dashed.

    A share of None leaves a gap in the line.
    """

    name: str
    shares: Sequence[float | None]
    colour: int
    dashed: bool = False


def line_chart(title: str, days: Sequence[str], lines: Sequence[Line]) -> str:
    """SVG of the lines over the days; the axis runs from 0 to the next ten percent above the highest share."""
    top = max((share for line in lines for share in line.shares if share is not None), default=0.0)
    top = min(-(-int(top * 1000 + 1) // 100) / 10, 1.0)
    across, down = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    entry = SAMPLE + LETTER * (2 + max((len(line.name) for line in lines), default=0))
    columns = max(int(across // entry), 1)
    if columns > 1:
        # A line and its dashed counterpart stay next to each other.
        columns -= columns % 2
    height = HEIGHT + ROW * max(-(-len(lines) // columns) - 1, 0)

    def x(n: int) -> float:
        return round(LEFT + across * (n / (len(days) - 1) if len(days) > 1 else 0.5), 1)

    def y(share: float) -> float:
        return round(TOP + down * (1 - share / top), 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
        ' font-family="sans-serif" font-size="11" fill="#333">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="{LEFT}" y="20" font-size="14">{escape(title)}</text>',
    ]
    for fifth in range(6):
        share = top * fifth / 5
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(share)}" y2="{y(share)}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(share) + 4}" text-anchor="end">{share:.0%}</text>')
    parts += [
        f'<text x="{x(n)}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{escape(days[n])}</text>'
        for n in range(0, len(days), max(-(-len(days) // DAY_LABELS), 1))
    ]
    for place, line in enumerate(lines):
        colour = COLOURS[line.colour % len(COLOURS)]
        look = f'stroke="{colour}" stroke-width="2"' + (' stroke-dasharray="5 4"' if line.dashed else "")
        points = [None if share is None else (x(n), y(share)) for n, share in enumerate(line.shares)]
        for has_share, segment in groupby(points, key=lambda point: point is not None):
            if has_share:
                joined = " ".join(f"{cx},{cy}" for cx, cy in filter(None, segment))
                parts.append(f'<polyline points="{joined}" fill="none" {look}/>')
        # A line does not show a single day, so each day is also a point.
        parts += [f'<circle cx="{cx}" cy="{cy}" r="2.5" fill="{colour}"/>' for cx, cy in filter(None, points)]
        left, baseline = LEFT + place % columns * across / columns, HEIGHT - 16 + place // columns * ROW
        parts.append(f'<line x1="{left:.1f}" x2="{left + 24:.1f}" y1="{baseline - 4}" y2="{baseline - 4}" {look}/>')
        parts.append(f'<text x="{left + SAMPLE:.1f}" y="{baseline}">{escape(line.name)}</text>')
    return "".join([*parts, "</svg>"])
