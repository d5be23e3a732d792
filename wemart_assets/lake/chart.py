"""Charts as SVG: lines by day and heat maps, which a run shows with a table's rows, and the look of all charts.

Altair and vl-convert take half a second to import, so they are imported when a chart is drawn.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import altair as alt

WIDTH, HEIGHT = 860, 340
# Number of days (weeks, months) in a chart of a table that grows by the day (week, month).
DAYS_SHOWN = 90
PERIODS_SHOWN = 26
DAY_LABELS = 8
# Sizes in the legend: the sample of a line, the widest letter.
SAMPLE, LETTER = 30, 6.5
# Between entries of a legend; vl-convert takes text for narrower than some fonts draw it.
LEGEND_GAP = 32
CELL_WIDTHS, CELL_HEIGHT = (40, 80), 24
# Opacity of the lowest share of a heat map: even that differs from a cell without a share.
LOWEST_OPACITY = 0.12
# Up to this part of the highest share, black text contrasts more with the cell than white; for all palettes the same.
DARK_CELL = 0.611
FONT = "Helvetica Neue, Arial, Liberation Sans, sans-serif"
DASHES = ([1, 0], [5, 4])

# Characters that no XML document may have.
NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True)
class Palette:
    """Colours of a chart, as CSS writes them. `series` are distinguishable to colour-blind readers."""

    surface: str
    ink: str
    muted: str
    grid: str
    series: tuple[str, ...]
    heat: str
    low_ink: str
    """Text in the lighter cells of a heat map."""
    high_ink: str


# The series are those of Okabe and Ito.
LIGHT = Palette(
    surface="#ffffff",
    ink="#1f2937",
    muted="#5b6472",
    grid="#e3e7ec",
    series=("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"),
    heat="#08306b",
    low_ink="#000000",
    high_ink="#ffffff",
)


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
    """Returns the SVG of the lines over the days.

    Raises:
        ValueError: a line has not a value per day, or two lines have one name.
    """
    import altair as alt

    return svg(line_plot(days, lines, scale).properties(title=alt.TitleParams(plain(title)), width=WIDTH))


def line_plot(
    days: Sequence[str],
    lines: Sequence[Line],
    scale: Scale,
    palette: Palette = LIGHT,
    width: int = WIDTH,
    labels: int = DAY_LABELS,
    has_points: bool = False,
) -> alt.LayerChart:
    """Returns the chart of the lines over the days. Its axis begins at 0; `width` is that of the legend.

    A point marks each day that a line does not show because the days beside it have no value. With `has_points`, one
    marks every day, so that a reader can point at it; each takes as much space in the SVG as ten days of a line.
    """
    import altair as alt

    names = [plain(line.name) for line in lines]
    if len(set(names)) < len(names):
        raise ValueError(f"two lines have one name: {names}")
    rows, marked = [], []
    for line, name in zip(lines, names, strict=True):
        beside = (None, *line.values, None)
        for n, (day, value) in enumerate(zip(days, line.values, strict=True)):
            label = None if value is None else _written(value, scale)
            rows.append({"day": plain(day), "line": name, "value": value, "label": label})
            if value is not None and (has_points or (beside[n] is None and beside[n + 2] is None)):
                marked.append(rows[-1])
    longest = max(map(len, names), default=0)
    columns = max(int(width // (SAMPLE + LETTER * (2 + longest))), 1)
    if columns > 1:
        # A line and its dashed counterpart stay next to each other.
        columns -= columns % 2
    legend = alt.Legend(orient="bottom", columns=columns, columnPadding=LEGEND_GAP, symbolType="stroke", title=None)
    colours = alt.Scale(domain=names, range=[palette.series[line.colour % len(palette.series)] for line in lines])
    dashes = alt.Scale(domain=names, range=[DASHES[line.dashed] for line in lines])
    highest = max((value for line in lines for value in line.values if value is not None), default=0)
    base = alt.Chart().encode(
        day_axis(days, labels),
        value_axis(highest, scale),
        alt.Color("line:N", sort=None, scale=colours, legend=legend),
        tooltip=[
            alt.Tooltip("day:N", title="day"),
            alt.Tooltip("line:N", title="line"),
            alt.Tooltip("label:N", title="value"),
        ],
    )
    drawn = base.mark_line(strokeJoin="round", invalid="break-paths-filter-domains").encode(
        alt.StrokeDash("line:N", sort=None, scale=dashes, legend=legend)
    )
    points = base.mark_circle(size=22, opacity=1)
    layers = drawn.properties(data=alt.InlineData(rows)), points.properties(data=alt.InlineData(marked))
    chart: alt.LayerChart = alt.LayerChart(layer=layers).properties(height=HEIGHT)
    return chart


def day_axis(days: Sequence[str], labels: int = DAY_LABELS) -> alt.X:
    """Returns the axis of the field `day`: each of the days has its place, and at most so many have a label."""
    import altair as alt

    labelled = [plain(day) for day in days[:: max(-(-len(days) // labels), 1)]]
    axis = alt.Axis(values=labelled, labelOverlap="greedy", labelSeparation=10, title=None, grid=False)
    return alt.X("day:O", sort=None, scale=alt.Scale(domain=[plain(day) for day in days]), axis=axis)


def value_axis(highest: float, scale: Scale, field: str = "value:Q") -> alt.Y:
    """Returns the axis from 0 to a round number at or above the highest value."""
    import altair as alt

    at = marks(highest, scale)
    axis = alt.Axis(format="~%" if scale is Scale.SHARES else ",d", values=at, title=None)
    return alt.Y(field, scale=alt.Scale(domain=[0, at[-1]], nice=False), axis=axis)


def marks(highest: float, scale: Scale) -> list[float]:
    """Returns the values at which an axis is marked, from 0 to its top. Counts are marked at whole numbers only."""
    if scale is Scale.SHARES:
        top = min(-(-int(highest * 1000 + 1) // 100) / 10, 1.0)
        return [round(top * fifth / 5, 4) for fifth in range(6)]
    step = 1
    while step * 5 < highest:
        # 1, 2, 5, 10, 20, 50, ...
        step = step * 5 // 2 if str(step).startswith("2") else step * 2
    return [float(step * n) for n in range(max(math.ceil(highest / step), 1) + 1)]


def heat_map(title: str, rows: Sequence[str], columns: Sequence[str], values: Sequence[Sequence[float | None]]) -> str:
    """Returns the SVG of a share per cell, each between 0 and 1: the higher, the darker.

    Each is also written in its cell as a percentage. `rows` and `columns` are the labels, all different; `values` has a
    sequence per row with a share per column. The darkest colour is that of the highest share. A cell with None stays
    empty.
    """
    import altair as alt

    narrowest, widest = CELL_WIDTHS
    left = LETTER * max(map(len, rows), default=0)
    cell = int(min(max((WIDTH - left) // max(len(columns), 1), narrowest), widest))
    # Where the cells are narrower than the labels, only every so many columns have theirs.
    every = max(-(-round(LETTER * (1 + max(map(len, columns), default=0))) // cell), 1)
    plot = heat_plot(rows, columns, values, labelled=columns[::every])
    return svg(
        plot.properties(title=alt.TitleParams(plain(title)), width=alt.Step(cell), height=alt.Step(CELL_HEIGHT)),
        fixed=False,
    )


def heat_plot(
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float | None]],
    palette: Palette = LIGHT,
    labelled: Sequence[str] | None = None,
) -> alt.LayerChart:
    """Returns the heat map of a share per cell."""
    import altair as alt

    row_names, column_names = [plain(row) for row in rows], [plain(column) for column in columns]
    highest = max((share for row in values for share in row if share is not None), default=0.0)
    cells = [
        {
            "row": row,
            "column": column,
            "of_highest": share / highest if highest else 0.0,
            "label": percentage(share),
        }
        for row, shares in zip(row_names, values, strict=True)
        for column, share in zip(column_names, shares, strict=True)
        if share is not None
    ]
    shown = column_names if labelled is None else [plain(column) for column in labelled]
    top = alt.Axis(orient="top", values=shown, labelOverlap=labelled is None, title=None, ticks=False, domain=False)
    side = alt.Axis(title=None, ticks=False, domain=False)
    base = alt.Chart(alt.InlineData(cells)).encode(
        alt.X("column:O", sort=None, scale=alt.Scale(domain=column_names, padding=0), axis=top),
        alt.Y("row:O", sort=None, scale=alt.Scale(domain=row_names, padding=0), axis=side),
        tooltip=[alt.Tooltip("row:N"), alt.Tooltip("column:N"), alt.Tooltip("label:N", title="share")],
    )
    opacity = alt.Scale(domain=[0, 1], range=[LOWEST_OPACITY, 1])
    # One hue, so that only lightness tells values apart.
    rectangles = base.mark_rect(color=palette.heat, stroke=palette.surface, strokeWidth=1).encode(
        fillOpacity=alt.FillOpacity("of_highest:Q", scale=opacity, legend=None)
    )
    texts = base.mark_text(fontSize=11).encode(
        text="label:N",
        color=alt.condition(f"datum.of_highest > {DARK_CELL}", alt.value(palette.high_ink), alt.value(palette.low_ink)),
    )
    layers: alt.LayerChart = rectangles + texts
    return layers


def specification(chart: alt.TopLevelMixin, palette: Palette = LIGHT, fixed: bool = True) -> dict[str, Any]:
    """Returns the chart as Vega-Lite, in the look of all charts. If `fixed`, its size includes axes and legend."""
    spec: dict[str, Any] = chart.to_dict()
    spec.pop("usermeta", None)
    axis = {"labelLimit": 0, "labelColor": palette.muted, "titleColor": palette.muted, "labelFontSize": 11}
    spec["config"] = {
        # What vl-convert measures text with, and most machines have.
        "font": FONT,
        "padding": {"left": 14, "right": 14, "top": 6, "bottom": 6},
        "background": "transparent" if palette is not LIGHT else palette.surface,
        "view": {"stroke": None},
        "axis": axis | {"gridColor": palette.grid, "domainColor": palette.grid, "tickColor": palette.grid},
        "axisX": {"labelAngle": 0},
        "axisY": {"domain": False, "ticks": False, "labelPadding": 6},
        "legend": {
            "labelLimit": 0,
            "labelColor": palette.ink,
            "labelFontSize": 11,
            "symbolStrokeWidth": 2,
            "symbolSize": 240,
        },
        "title": {"anchor": "start", "fontSize": 14, "fontWeight": "normal", "color": palette.ink, "offset": 12},
        "text": {"color": palette.ink},
    }
    if fixed:
        spec["autosize"] = {"type": "fit", "contains": "padding"}
    return spec


def svg(chart: alt.TopLevelMixin, fixed: bool = True) -> str:
    """Returns the chart as an SVG that stands by itself."""
    return draw(specification(chart, fixed=fixed))


def draw(spec: Mapping[str, Any]) -> str:
    """Returns the SVG of a Vega-Lite specification whose data are in it: nothing is fetched."""
    import vl_convert

    # The base URL is one that no data have.
    drawn: str = vl_convert.vegalite_to_svg(dict(spec), allowed_base_urls=["https://none.invalid/"])
    return drawn


def plain(text: str) -> str:
    """Returns the text without the characters that XML cannot have."""
    return NOT_XML.sub("", text)


def percentage(share: float) -> str:
    """Whole percent, and a tenth where a whole percent would hide most of the share or of what it lacks to 1."""
    if 0 < share < 0.0995 or 0.9905 < share < 1:
        # No share below 1 is written as 100%.
        return f"{min(share, 0.999):.1%}"
    return f"{share:.0%}"


def _written(value: float, scale: Scale) -> str:
    return percentage(value) if scale is Scale.SHARES else f"{value:,.0f}"
