"""Line charts and heat maps: the places of points and cells, their colours, and every label."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from wemart_assets.lake.chart import LIGHT, Line, Scale, heat_map, line_chart, marks, percentage

SVG = "{http://www.w3.org/2000/svg}"
DAYS = ["2024-03-01", "2024-03-02", "2024-03-03"]


def drawn(days: Sequence[str], *lines: Line, scale: Scale = Scale.SHARES) -> ElementTree.Element:
    return ElementTree.fromstring(line_chart("Share & more", days, lines, scale))


def groups(svg: ElementTree.Element, mark: str) -> list[list[ElementTree.Element]]:
    """The elements of each group of marks of a kind, without those of the legend."""
    found = [g for g in svg.iter(f"{SVG}g") if g.get("class", "").startswith(f"mark-{mark} role-mark ")]
    return [[e for e in g if "aria-label" in e.attrib] for g in found]


def lines_of(svg: ElementTree.Element) -> list[ElementTree.Element]:
    return [line for group in groups(svg, "line") for line in group]


def points(svg: ElementTree.Element) -> list[tuple[float, float]]:
    places = (re.findall(r"-?[\d.]+", p.attrib["transform"]) for group in groups(svg, "symbol") for p in group)
    return [(float(x), float(y)) for x, y in places]


def vertices(svg: ElementTree.Element) -> list[tuple[float, float]]:
    """The places of all values that lines go through."""
    numbers = [re.findall(r"-?[\d.]+", line.attrib["d"]) for line in lines_of(svg)]
    return [(float(x), float(y)) for of in numbers for x, y in zip(of[::2], of[1::2], strict=True)]


def texts(svg: ElementTree.Element) -> list[str]:
    return [str(text.text) for text in svg.iter(f"{SVG}text")]


def test_points_stand_at_even_distances_between_zero_and_the_top() -> None:
    (x0, y0), (x1, y1), (x2, y2) = vertices(drawn(DAYS, Line("joined", [0.0, 0.5, 1.0], 0)))
    assert x1 - x0 == pytest.approx(x2 - x1)
    assert x0 < x1
    assert y0 - y1 == pytest.approx(y1 - y2)
    assert y2 == 0


def test_a_value_is_as_high_as_its_share_of_the_axis_that_begins_at_zero() -> None:
    (_, zero), (_, low), (_, high) = vertices(drawn(DAYS, Line("joins", [0, 10, 30], 0), scale=Scale.COUNTS))
    assert (zero - high) / (zero - low) == pytest.approx(3)


def test_the_top_is_the_next_ten_percent_above_the_highest_share() -> None:
    said = texts(drawn(DAYS, Line("joined", [0.0, 0.31, 0.2], 0)))
    assert {"0%", "40%"} <= set(said)
    assert not {"41%", "50%", "100%"} & set(said)


@pytest.mark.parametrize(
    ("highest", "at"),
    [
        (0, [0, 1]),
        (1, [0, 1]),
        (3, [0, 1, 2, 3]),
        (5, [0, 1, 2, 3, 4, 5]),
        (6, [0, 2, 4, 6]),
        (11, [0, 5, 10, 15]),
        (26, [0, 10, 20, 30]),
        (99.5, [0, 20, 40, 60, 80, 100]),
        (101, [0, 50, 100, 150]),
        (1234, [0, 500, 1000, 1500]),
    ],
)
def test_an_axis_of_counts_is_marked_at_round_whole_numbers(highest: float, at: list[float]) -> None:
    assert marks(highest, Scale.COUNTS) == at


def test_counts_have_a_separator_of_thousands() -> None:
    assert {"0", "500", "1,000", "1,500"} <= set(texts(drawn(["d"], Line("joins", [1234], 0), scale=Scale.COUNTS)))


def test_lines_are_named_and_distinguishable() -> None:
    svg = drawn(DAYS, Line("a < b", [0.1] * 3, 0), Line("in order", [0.1] * 3, 0, dashed=True), Line("c", [0.2] * 3, 1))
    assert {"Share & more", "a < b", "in order", "c"} <= set(texts(svg))
    one, in_order, other = lines_of(svg)
    assert one.attrib["stroke"] == in_order.attrib["stroke"] == LIGHT.series[0]
    assert other.attrib["stroke"] == LIGHT.series[1]
    assert [line.attrib["stroke-dasharray"] for line in (one, in_order, other)] == ["1,0", "5,4", "1,0"]


def test_long_names_and_many_lines_are_all_in_the_legend() -> None:
    names = [f"{n} {'long name of an event ' * 5}end" for n in range(12)]
    assert set(names) <= set(texts(drawn(DAYS, *(Line(name, [0.1] * 3, n) for n, name in enumerate(names)))))


def test_two_lines_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="one name"):
        drawn(DAYS, Line("a", [0.1] * 3, 0), Line("a\x00", [0.2] * 3, 1))


def test_a_single_day_is_a_point() -> None:
    svg = drawn(DAYS[:1], Line("joined", [0.05], 0))
    assert len(points(svg)) == 1
    assert DAYS[0] in texts(svg)


def test_a_gap_splits_a_line_and_a_day_alone_is_a_point() -> None:
    values = [0.1, 0.2, None, None, 0.3, 0.4, None, 0.5, None]
    svg = drawn([f"day {n}" for n in range(9)], Line("joined", values, 0), Line("nothing", [None] * 9, 1))
    [joined] = [line.attrib["d"] for line in lines_of(svg) if "joined" in line.attrib["aria-label"]]
    assert [len(piece.split("L")) for piece in joined.split("M")[1:] if "L" in piece] == [2, 2]
    assert len(points(svg)) == 1
    # Nothing is drawn at zero, or anywhere else, for a day without a value.
    assert "nothing" not in " ".join(p.attrib["aria-label"] for group in groups(svg, "symbol") for p in group)


@pytest.mark.parametrize("count", [90, 400])
def test_of_many_days_all_are_drawn_and_some_have_labels(count: int) -> None:
    days = [f"2024-d{n}" for n in range(count)]
    svg = drawn(days, Line("joined", [0.5] * count, 0))
    named = [text for text in texts(svg) if text.startswith("2024-d")]
    assert named[0] == "2024-d0"
    assert 5 <= len(named) <= 8
    assert len(vertices(svg)) == count
    # Dagster stores the charts of every run.
    assert len(ElementTree.tostring(svg)) < 20_000


def test_empty_charts_are_drawn() -> None:
    assert points(drawn([])) == []
    assert points(drawn([], Line("joins", [], 0), scale=Scale.COUNTS)) == []
    assert points(drawn(DAYS, Line("joins", [None] * 3, 0))) == []
    assert texts(heat([], [], [])) == ["Back & more"]


@pytest.mark.parametrize("values", [[0.1] * 2, [0.1] * 4, [None] * 4])
def test_a_line_has_a_value_for_each_day(values: list[float | None]) -> None:
    with pytest.raises(ValueError, match=r"shorter|longer"):
        line_chart("Joined", DAYS, [Line("joined", values, 0)])


Values = Sequence[Sequence[float | None]]


def heat(rows: Sequence[str], columns: Sequence[str], values: Values) -> ElementTree.Element:
    return ElementTree.fromstring(heat_map("Back & more", rows, columns, values))


def cells(svg: ElementTree.Element) -> list[ElementTree.Element]:
    return [cell for group in groups(svg, "rect") for cell in group]


def written(svg: ElementTree.Element) -> list[ElementTree.Element]:
    """The percentages in the cells."""
    return [text for group in groups(svg, "text") for text in group]


def luminance(colour: str, opacity: float = 1.0) -> float:
    """Relative luminance of the colour over white, as WCAG defines it."""
    shares = [(int(colour[n : n + 2], 16) / 255) * opacity + 1 - opacity for n in (1, 3, 5)]
    red, green, blue = (s / 12.92 if s <= 0.03928 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def fill(cell: ElementTree.Element) -> float:
    return luminance(cell.attrib["fill"], float(cell.get("fill-opacity", "1")))


def test_cells_stand_in_rows_and_columns_in_the_given_order_with_their_percentages() -> None:
    svg = heat(["w2 < w1", "w1"], ["0", "2", "1"], [[1.0, 0.5, 0.04], [0.25, None, 0.0]])
    places = [tuple(map(float, re.findall(r"[\d.]+", cell.attrib["d"])[:2])) for cell in cells(svg)]
    assert places == [(0, 0), (80, 0), (160, 0), (0, 24), (160, 24)]
    assert [text.text for text in written(svg)] == ["100%", "50%", "4.0%", "25%", "0%"]
    assert {"Back & more", "w2 < w1", "w1", "0", "1", "2"} <= set(texts(svg))


def test_a_cell_without_a_share_is_empty() -> None:
    svg = heat(["w1"], ["0", "1"], [[None, None]])
    assert cells(svg) == []
    assert set(texts(svg)) == {"Back & more", "0", "1", "w1"}


def test_higher_shares_are_darker_and_every_text_contrasts() -> None:
    shares = [n / 100 for n in range(101)]
    svg = heat(["w1"], [str(n) for n in range(101)], [shares])
    fills = [fill(cell) for cell in cells(svg)]
    assert len(fills) == 101
    assert all(lighter > darker for lighter, darker in pairwise(fills))
    # Even the lightest differs from a cell without a share.
    assert fills[0] < 0.9
    for cell, text in zip(fills, written(svg), strict=True):
        dark, light = sorted([cell, luminance(text.attrib["fill"])])
        assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_the_highest_share_is_the_darkest() -> None:
    [[low], [high], [zero]] = (cells(heat(["w1"], ["0"], [[share]])) for share in (0.01, 0.99, 0.0))
    assert fill(low) == fill(high) < fill(zero)


@pytest.mark.parametrize(
    ("share", "text"),
    [
        *((0.0, "0%"), (0.004, "0.4%"), (0.0994, "9.9%"), (0.0996, "10%"), (0.104, "10%")),
        *((0.99, "99%"), (0.9904, "99%"), (0.995, "99.5%"), (0.999, "99.9%"), (0.9999, "99.9%"), (1.0, "100%")),
    ],
)
def test_only_zero_is_written_as_0_and_only_one_as_100_percent(share: float, text: str) -> None:
    assert percentage(share) == text


def test_columns_narrower_than_their_labels_are_not_all_labelled() -> None:
    days = [f"2024-03-{n:02}" for n in range(1, 31)]
    svg = heat(days, days, [[0.1] * 30] * 30)
    assert len(cells(svg)) == 900
    # All rows, and every second column.
    assert len([text for text in texts(svg) if text in days]) == 30 + 15


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        heat_map("Back", ["w1"], ["0", "1"], [[0.1]])


def test_hostile_text_is_text() -> None:
    hostile = "".join(map(chr, range(0x20))) + "a\ud800b\uffffc</svg><script>'\"&datum.x\u202e"
    inert = "abc</svg><script>'\"&datum.x\u202e"
    svg = ElementTree.fromstring(line_chart(hostile, [hostile], [Line(hostile, [0.1], 0)]))
    assert len([text for text in texts(svg) if text.strip() == inert]) == 3
    heated = ElementTree.fromstring(heat_map(hostile, [hostile], [hostile], [[0.1]]))
    assert len([text for text in texts(heated) if text.strip() == inert]) == 3
    assert [e.tag for e in (*svg.iter(), *heated.iter()) if "script" in e.tag] == []


def test_the_module_imports_no_plotting_library_before_a_chart_is_drawn() -> None:
    code = "import sys, wemart_assets.lake.chart; print([m for m in ('altair', 'vl_convert') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
