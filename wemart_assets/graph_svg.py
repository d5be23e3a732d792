"""A directed graph as an SVG file, laid out in columns from left to right: a diagram that needs no script to be shown.

The colours are readable on a light and on a dark page, because an image does not learn which of them it is on.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from html import escape
from itertools import pairwise

CHARACTER, PADDING, LINE = 7.3, 12, 16  # of the monospaced font, in pixels at a size of 12
ROW_GAP, COLUMN_GAP, MARGIN = 14, 64, 10
BESIDE = 6  # how far an edge that leads back is below one that leads forward between the same nodes
SWEEPS = 8


@dataclass(frozen=True)
class Node:
    """A box with lines of text. Boxes that are only context are drawn dashed."""

    lines: tuple[str, ...]
    is_context: bool = False

    @property
    def width(self) -> float:
        return max(map(len, self.lines)) * CHARACTER + 2 * PADDING if self.lines else 0

    @property
    def height(self) -> float:
        return len(self.lines) * LINE + 12 if self.lines else 0


@dataclass(frozen=True)
class _Rectangle:
    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def middle(self) -> float:
        return self.y + self.height / 2


# Where an edge passes through a column on its way to a later one.
BEND = Node(())


def svg(nodes: Mapping[str, Node], edges: Collection[tuple[str, str]], title: str) -> str:
    """Returns the diagram: each node right of all nodes with an edge to it. An edge to the node itself is not drawn.

    Where edges form a cycle, one of them is dashed and leads back, from right to left.
    """
    forward, back = _without_cycles(nodes, {(begin, end) for begin, end in edges if begin != end})
    column, paths = _columns(nodes, forward)
    boxes = {name: nodes.get(name, BEND) for name in column}
    rectangles, width, height = _rectangles(boxes, _ordered(column, paths))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}"'
        f' height="{height:.0f}" role="img" font-family="ui-monospace, Menlo, Consolas, monospace" font-size="12">',
        f"<title>{escape(title)}</title>",
        '<g fill="none" stroke="#8b95a7" stroke-width="1.2">',
    ]
    for path in paths:
        line = ""
        for begin, end in pairwise(map(rectangles.__getitem__, path)):
            bend = (end.x - begin.right) / 2
            line += (
                f"{'L' if line else 'M'}{begin.right:.0f} {begin.middle:.0f}"
                f"C{begin.right + bend:.0f} {begin.middle:.0f}"
                f" {end.x - bend:.0f} {end.middle:.0f} {end.x:.0f} {end.middle:.0f}"
            )
        parts.append(f'<path d="{line}"/>')
    for start, target in back:
        begin, end = rectangles[target], rectangles[start]
        bend = (end.x - begin.right) / 2
        parts.append(
            f'<path stroke-dasharray="4 3" d="M{begin.right:.0f} {begin.middle + BESIDE:.0f}'
            f"C{begin.right + bend:.0f} {begin.middle + BESIDE:.0f}"
            f' {end.x - bend:.0f} {end.middle + BESIDE:.0f} {end.x:.0f} {end.middle + BESIDE:.0f}"/>'
        )
    parts.append("</g>")
    for name, node in nodes.items():
        x, y = rectangles[name].x, rectangles[name].y
        style = 'fill="#f3f4f6" stroke-dasharray="4 3"' if node.is_context else 'fill="#e3ecfb"'
        parts.append(
            f'<rect x="{x:.0f}" y="{y:.0f}" width="{node.width:.0f}" height="{node.height:.0f}" rx="5"'
            f' stroke="#5b7db1" {style}/>'
        )
        for number, text in enumerate(node.lines):
            baseline = y + 6 + LINE * (number + 0.75)
            colour = "#16243a" if number == 0 else "#4b5870"
            parts.append(f'<text x="{x + PADDING:.0f}" y="{baseline:.0f}" fill="{colour}">{escape(text)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _without_cycles(
    nodes: Collection[str], edges: Set[tuple[str, str]]
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """The edges without those that would close a cycle, and those."""
    forward, back = sorted(edges), []
    while True:
        try:
            TopologicalSorter({name: [b for b, end in forward if end == name] for name in nodes}).prepare()
        except CycleError as error:
            edge = max(pairwise(error.args[1]))
            forward.remove(edge)
            back.append(edge)
        else:
            return forward, back


def _columns(
    nodes: Mapping[str, Node], edges: Sequence[tuple[str, str]]
) -> tuple[dict[str, int], list[tuple[str, ...]]]:
    """The column of each node and of each bend, and each edge as the nodes and bends that it passes."""
    upstream = {name: [begin for begin, end in edges if end == name] for name in nodes}
    downstream = {name: [end for begin, end in edges if begin == name] for name in nodes}
    column: dict[str, int] = {}
    order = list(TopologicalSorter(upstream).static_order())
    for name in order:
        column[name] = 1 + max((column[other] for other in upstream[name]), default=-1)
    # A node that reads nothing goes beside the first one that reads it, not to the far left.
    for name in reversed(order):
        if not upstream[name] and downstream[name]:
            column[name] = min(column[other] for other in downstream[name]) - 1
    paths = []
    for begin, end in edges:
        bends = {f"{begin} to {end} in {number}": number for number in range(column[begin] + 1, column[end])}
        column |= bends
        paths.append((begin, *bends, end))
    return column, paths


def _ordered(column: Mapping[str, int], paths: Sequence[tuple[str, ...]]) -> list[list[str]]:
    """The nodes and bends by column, in an order in which few edges cross: each beside the mean of its neighbours."""
    upstream: dict[str, list[str]] = {name: [] for name in column}
    downstream: dict[str, list[str]] = {name: [] for name in column}
    for path in paths:
        for begin, end in pairwise(path):
            upstream[end].append(begin)
            downstream[begin].append(end)
    columns = [sorted(name for name in column if column[name] == number) for number in range(max(column.values()) + 1)]
    for sweep in range(SWEEPS):
        heights = {name: (row + 0.5) / len(names) for names in columns for row, name in enumerate(names)}
        neighbours = upstream if sweep % 2 == 0 else downstream
        for names in columns:
            means = {
                name: math.fsum(heights[other] for other in neighbours[name]) / len(neighbours[name])
                if neighbours[name]
                else heights[name]
                for name in names
            }
            names.sort(key=lambda name, means=means: (means[name], name))  # type: ignore[misc]
    return columns


def _rectangles(
    boxes: Mapping[str, Node], columns: Sequence[Sequence[str]]
) -> tuple[dict[str, _Rectangle], float, float]:
    """Where each box is, and the diagram's width and height. An edge passes through the whole width of a column."""
    heights = [sum(boxes[name].height for name in names) + ROW_GAP * (len(names) - 1) for names in columns]
    rectangles, x = {}, float(MARGIN)
    for names, height in zip(columns, heights, strict=True):
        y = MARGIN + (max(heights) - height) / 2
        width = max(boxes[name].width for name in names)
        for name in names:
            rectangles[name] = _Rectangle(x, y, boxes[name].width or width, boxes[name].height)
            y += boxes[name].height + ROW_GAP
        x += width + COLUMN_GAP
    return rectangles, x - COLUMN_GAP + MARGIN, max(heights) + 2 * MARGIN
