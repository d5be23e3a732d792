"""The charts of the report. Their colours are the page's CSS variables, so that they follow its light or dark mode."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wemart_assets.lake.chart import (
    LEGEND_GAP,
    LIGHT,
    Line,
    Palette,
    Scale,
    day_axis,
    draw,
    heat_plot,
    line_plot,
    plain,
    specification,
    value_axis,
)

if TYPE_CHECKING:
    import altair as alt

PAGE = Palette(
    surface="var(--surface)",
    ink="var(--ink)",
    muted="var(--muted)",
    grid="var(--grid)",
    series=tuple(f"var(--series-{n})" for n in range(1, 1 + len(LIGHT.series))),
    heat="var(--heat)",
    low_ink="var(--heat-low-ink)",
    high_ink="var(--heat-high-ink)",
)
# Statuses of an audit, from best to worst, with the sign that tells them apart without colours.
STATUSES = {"passed": ("var(--ok)", ""), "warned": ("var(--warn)", "!"), "failed": ("var(--bad)", "×")}
# Width of a chart where there is no JavaScript, of one that takes both columns, and height.
WIDTH, WIDE, HEIGHT = 540, 1080, 250
# On a phone there is room for four days.
LABELS = 4
BAR_HEIGHT, CELL_HEIGHT = 26, 26
LONGEST_LABEL = 26
UNKNOWN = "unknown"
# Of a stacked bar; there is a colour for each.
MOST_PARTS = 6

Row = Mapping[str, Any]


def over_days(days: Sequence[str], rows: Sequence[Row], names: Mapping[str, str]) -> alt.LayerChart:
    """Returns lines of counts by day, one per column of the rows, named as `names` says. A missing day is a gap."""
    by_day = {row["day"]: row for row in rows}
    lines = [
        Line(name, [by_day.get(day, {}).get(column) for day in days], n)
        for n, (column, name) in enumerate(names.items())
    ]
    plot = line_plot(days, lines, Scale.COUNTS, PAGE, WIDTH, LABELS, has_points=True)
    chart: alt.LayerChart = plot.properties(height=HEIGHT)
    return chart


def stacked(days: Sequence[str], rows: Sequence[Row], part: str, value: str) -> alt.Chart:
    """Returns a bar of counts per day, stacked by part; the smallest parts together as `others` if there are many."""
    import altair as alt

    sums: Counter[str] = Counter()
    for row in rows:
        sums[row[part] or UNKNOWN] += row[value]
    largest = [name for name, _ in sums.most_common()]
    if len(largest) > MOST_PARTS:
        largest, rest = largest[: MOST_PARTS - 1], len(largest) - MOST_PARTS + 1
        parts = [*short_labels(largest), f"{rest} others"]
    else:
        parts = short_labels(largest)
    names = dict(zip(largest, parts, strict=False))
    counts: Counter[tuple[str, str]] = Counter()
    of_day: Counter[str] = Counter()
    for row in rows:
        counts[row["day"], names.get(row[part] or UNKNOWN, parts[-1])] += row[value]
        of_day[row["day"]] += row[value]
    cells = [
        {"day": day, "part": name, "order": parts.index(name), "value": count, "label": f"{count:,}"}
        for (day, name), count in counts.items()
    ]
    colours = [PAGE.series[n % len(PAGE.series)] for n in range(len(parts))]
    chart: alt.Chart = (
        alt.Chart(alt.InlineData(cells))
        .mark_bar()
        .encode(
            day_axis(days, LABELS),
            value_axis(max(of_day.values(), default=0), Scale.COUNTS),
            alt.Color(
                "part:N",
                sort=None,
                scale=alt.Scale(domain=parts, range=colours),
                legend=alt.Legend(orient="bottom", title=None, columns=4, symbolType="square"),
            ),
            alt.Order("order:Q"),
            tooltip=[
                alt.Tooltip("day:N"),
                alt.Tooltip("part:N", title=part),
                alt.Tooltip("label:N", title=value),
            ],
        )
        .properties(height=HEIGHT)
    )
    return chart


@dataclass(frozen=True)
class Bar:
    """A bar from 0 with its value written beside it. Bars of several series stand side by side under one label."""

    label: str
    value: float
    written: str
    series: str = ""


def bars(given: Sequence[Bar]) -> alt.LayerChart:
    """Returns the bars, horizontal, in the given order."""
    import altair as alt

    labels, series = list(dict.fromkeys(bar.label for bar in given)), list(dict.fromkeys(bar.series for bar in given))
    short = dict(zip(labels, short_labels(labels), strict=True))
    rows = [
        {"label": short[bar.label], "full": plain(bar.label), "series": bar.series}
        | {"value": bar.value, "written": bar.written}
        for bar in given
    ]
    longest = max((bar.value for bar in given), default=0) or 1
    hidden = alt.Axis(labels=False, ticks=False, grid=False, domain=False, title=None)
    names = alt.Scale(domain=list(short.values()), paddingInner=0.25)
    base = alt.Chart(alt.InlineData(rows)).encode(
        alt.Y("label:N", sort=None, axis=alt.Axis(title=None), scale=names),
        # There is room for the text beside the longest bar.
        alt.X("value:Q", axis=hidden, scale=alt.Scale(domain=[0, longest * 1.2], nice=False)),
        tooltip=[
            alt.Tooltip("full:N", title="name"),
            *([alt.Tooltip("series:N", title="counted")] if len(series) > 1 else []),
            alt.Tooltip("written:N", title="value"),
        ],
    )
    if len(series) > 1:
        base = base.encode(yOffset=alt.YOffset("series:N", sort=None, scale=alt.Scale(domain=series)))
    legend = (
        alt.Legend(orient="bottom", title=None, columnPadding=LEGEND_GAP, symbolType="square")
        if len(series) > 1
        else None
    )
    colours = alt.Scale(domain=series, range=list(PAGE.series[: len(series)]))
    rectangles = base.mark_bar(cornerRadiusEnd=2).encode(
        color=alt.Color("series:N", sort=None, scale=colours, legend=legend if len(series) > 1 else None)
    )
    texts = base.mark_text(align="left", dx=5, fontSize=11).encode(text="written:N")
    height = max(len(labels), 1) * BAR_HEIGHT * (1.6 if len(series) > 1 else 1)
    chart: alt.LayerChart = (rectangles + texts).properties(height=round(height))
    return chart


def heat(rows: Sequence[str], columns: Sequence[str], values: Sequence[Sequence[float | None]]) -> alt.LayerChart:
    """Returns a heat map of shares."""
    chart: alt.LayerChart = heat_plot(rows, columns, values, PAGE).properties(height=max(len(rows), 1) * CELL_HEIGHT)
    return chart


def statuses(days: Sequence[str], rows: Sequence[str], cells: Sequence[Row]) -> alt.LayerChart:
    """Returns a cell per row and day in the colour of its status; `cells` have `row`, `day`, `status`, `found`."""
    import altair as alt

    shown = [dict(cell) | {"sign": STATUSES[cell["status"]][1]} for cell in cells]
    base = alt.Chart(alt.InlineData(shown)).encode(
        day_axis(days, LABELS),
        alt.Y("row:N", sort=None, scale=alt.Scale(domain=list(rows), padding=0), axis=alt.Axis(title=None)),
        tooltip=[
            alt.Tooltip("row:N", title="domain"),
            *(alt.Tooltip(f"{name}:N") for name in ("day", "status", "found")),
        ],
    )
    colours = alt.Scale(domain=list(STATUSES), range=[colour for colour, _ in STATUSES.values()])
    legend = alt.Legend(orient="bottom", title=None, columnPadding=LEGEND_GAP, symbolType="square")
    rectangles = base.mark_rect(stroke=PAGE.surface, strokeWidth=3, cornerRadius=4).encode(
        color=alt.Color("status:N", scale=colours, legend=legend)
    )
    signs = base.mark_text(fontSize=13, fontWeight="bold", color="var(--on-status)").encode(text="sign:N")
    chart: alt.LayerChart = (rectangles + signs).properties(height=max(len(rows), 1) * CELL_HEIGHT)
    return chart


def short_labels(labels: Sequence[str]) -> list[str]:
    """Returns the labels, shortened to what an axis has room for, and all different."""
    shortened: list[str] = []
    for label in map(plain, labels):
        short = label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 1]}…"
        number, candidate = 1, short
        while candidate in shortened:
            number += 1
            candidate = f"{short} ({number})"
        shortened.append(candidate)
    return shortened


def specification_of(chart: alt.TopLevelMixin) -> dict[str, Any]:
    """Returns the chart as Vega-Lite that fills the width it is given."""
    return specification(chart, PAGE) | {"autosize": {"type": "fit-x", "contains": "padding"}}


def live(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the chart for a browser, as wide as its place in the page."""
    return dict(spec) | {"width": "container"}


def still(spec: Mapping[str, Any], width: int = WIDTH) -> str:
    """Returns the chart as SVG, for where there is no JavaScript."""
    return draw(dict(spec) | {"width": width})


def alone(spec: Mapping[str, Any]) -> str:
    """Returns the chart as SVG that stands by itself, in light mode."""
    colours = dict(zip(_colours(PAGE), _colours(LIGHT), strict=True))
    text = json.dumps(dict(spec) | {"width": WIDTH, "background": LIGHT.surface})
    return draw(json.loads(re.sub(r"var\(--[a-z0-9-]+\)", lambda match: colours.get(match[0], LIGHT.ink), text)))


def _colours(palette: Palette) -> list[str]:
    colours = [palette.surface, palette.ink, palette.muted, palette.grid, *palette.series]
    return [*colours, palette.heat, palette.low_ink, palette.high_ink]
