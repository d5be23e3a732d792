"""The line chart: the position of its points, and its labels; the heat map: its cells, colours and labels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from wemart_assets.lake.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Line, Scale, heat_map, line_chart

SVG = "{http://www.w3.org/2000/svg}"
DAYS = ["2024-03-01", "2024-03-02", "2024-03-03"]


def drawn(days: list[str], *lines: Line) -> ElementTree.Element:
    return ElementTree.fromstring(line_chart("Share & more", days, lines))


def points(svg: ElementTree.Element) -> list[list[tuple[float, float]]]:
    return [
        [(float(x), float(y)) for x, y in (point.split(",") for point in line.attrib["points"].split())]
        for line in svg.findall(f"{SVG}polyline")
    ]


def texts(svg: ElementTree.Element) -> list[str]:
    return [str(text.text) for text in svg.findall(f"{SVG}text")]


def test_points_are_scaled_between_the_days_and_between_zero_and_the_top() -> None:
    [found] = points(drawn(DAYS, Line("joined", [0.0, 0.5, 1.0], 0)))
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    assert found == [(LEFT, bottom), ((LEFT + right) / 2, (TOP + bottom) / 2), (right, TOP)]


def test_the_top_is_the_next_ten_percent_above_the_highest_share() -> None:
    said = texts(drawn(DAYS, Line("joined", [0.0, 0.31, 0.2], 0)))
    assert "40%" in said
    assert "41%" not in said
    assert "100%" not in said


def test_lines_are_named_and_distinguishable() -> None:
    svg = drawn(DAYS, Line("a < b", [0.1] * 3, 0), Line("in order", [0.1] * 3, 0, dashed=True), Line("c", [0.2] * 3, 1))
    assert {"Share & more", "a < b", "in order", "c"} <= set(texts(svg))
    lines = svg.findall(f"{SVG}polyline")
    assert [line.attrib["stroke"] for line in lines[:2]] == [lines[0].attrib["stroke"]] * 2
    assert lines[2].attrib["stroke"] != lines[0].attrib["stroke"]
    assert ["stroke-dasharray" in line.attrib for line in lines] == [False, True, False]


def test_names_of_many_lines_are_wrapped() -> None:
    lines = [Line(f"{n}_long_name_of_an_event", [0.1] * 3, n // 2, dashed=n % 2 == 1) for n in range(7)]
    svg = drawn(DAYS, *lines)
    names = [text for text in svg.findall(f"{SVG}text") if "long_name" in str(text.text)]
    places = [(float(name.attrib["y"]), float(name.attrib["x"])) for name in names]
    assert places == sorted(places)
    assert max(y for y, _ in places) < float(svg.attrib["height"])
    letters = 6 * len("0_long_name_of_an_event")
    for (y, x), (next_y, next_x) in pairwise(places):
        assert next_y > y or next_x > x + letters
    assert max(x for _, x in places) + letters < WIDTH
    # A line and its dashed counterpart share a row.
    assert [places[n][0] for n in (0, 2, 4)] == [places[n][0] for n in (1, 3, 5)]


def test_a_single_day_is_a_point() -> None:
    svg = drawn(DAYS[:1], Line("joined", [0.05], 0))
    assert len(svg.findall(f"{SVG}circle")) == 1
    assert DAYS[0] in texts(svg)


def test_a_day_without_a_share_is_a_gap() -> None:
    svg = drawn(["a", "b", "c", "d"], Line("joined", [None, 1.0, None, 1.0], 0), Line("alone", [None] * 4, 1))
    across = (WIDTH - LEFT - RIGHT) / 3
    assert points(svg) == [[(round(LEFT + across, 1), TOP)], [(WIDTH - RIGHT, TOP)]]
    assert len(svg.findall(f"{SVG}circle")) == 2


def test_a_gap_splits_a_line_in_two() -> None:
    days = [f"day {n}" for n in range(6)]
    found = points(drawn(days, Line("joined", [0.1, 0.2, None, None, 0.3, 0.4], 0)))
    assert [len(piece) for piece in found] == [2, 2]


def test_only_some_of_many_days_are_labelled() -> None:
    days = [f"day {n}" for n in range(90)]
    named = [text for text in texts(drawn(days, Line("joined", [0.5] * 90, 0))) if text.startswith("day ")]
    assert named[0] == "day 0"
    assert 5 <= len(named) <= 8


def test_an_empty_chart_is_drawn() -> None:
    assert points(drawn([])) == []


def counted(*values: float | None) -> ElementTree.Element:
    days = [f"day {n}" for n in range(len(values))]
    return ElementTree.fromstring(line_chart("Joins", days, [Line("joins", values, 0)], Scale.COUNTS))


def axis(svg: ElementTree.Element) -> list[str]:
    return [str(text.text) for text in svg.findall(f"{SVG}text") if text.attrib.get("text-anchor") == "end"]


@pytest.mark.parametrize(
    ("highest", "marks"),
    [
        (0, ["0", "1"]),
        (1, ["0", "1"]),
        (3, ["0", "1", "2", "3"]),
        (5, ["0", "1", "2", "3", "4", "5"]),
        (6, ["0", "2", "4", "6"]),
        (11, ["0", "5", "10", "15"]),
        (26, ["0", "10", "20", "30"]),
        (99.5, ["0", "20", "40", "60", "80", "100"]),
        (101, ["0", "50", "100", "150"]),
        (1234, ["0", "500", "1,000", "1,500"]),
    ],
)
def test_an_axis_of_counts_is_marked_at_round_whole_numbers(highest: float, marks: list[str]) -> None:
    assert axis(counted(0, highest)) == marks


def test_counts_are_scaled_between_zero_and_the_top() -> None:
    [found] = points(counted(0, 5, 10))
    assert [y for _, y in found] == [HEIGHT - BOTTOM, (TOP + HEIGHT - BOTTOM) / 2, TOP]
    # The labels of the axis fit between the edge and the first day.
    [found] = points(counted(0, 12_345_678))
    assert found[0][0] > len("15,000,000") * 6
    assert found[1][0] == WIDTH - RIGHT


def test_a_count_of_none_is_a_gap() -> None:
    assert [len(piece) for piece in points(counted(1, None, 3, 4))] == [1, 2]


Values = Sequence[Sequence[float | None]]


def heat(rows: Sequence[str], columns: Sequence[str], values: Values) -> ElementTree.Element:
    return ElementTree.fromstring(heat_map("Back & more", rows, columns, values))


def cells(svg: ElementTree.Element) -> list[ElementTree.Element]:
    """The rectangles of the cells, without the background."""
    return svg.findall(f"{SVG}rect")[1:]


def luminance(colour: str) -> float:
    """Relative luminance as WCAG defines it."""
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    shares = [int(digits[n : n + 2], 16) / 255 for n in (0, 2, 4)]
    red, green, blue = (s / 12.92 if s <= 0.03928 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_cells_stand_in_rows_and_columns_with_their_percentages() -> None:
    svg = heat(["w1 < w2", "w2"], ["0", "1", "2"], [[1.0, 0.5, 0.04], [0.25, None, 0.0]])
    places = [(float(cell.attrib["y"]), float(cell.attrib["x"])) for cell in cells(svg)]
    assert len({y for y, _ in places}) == 2
    assert len({x for _, x in places}) == 3
    assert places == sorted(places)
    assert places[3][1] == places[0][1]
    assert places[4][1] == places[2][1]
    said = texts(svg)
    assert said[:4] == ["Back & more", "0", "1", "2"]
    assert said[4:] == ["w1 < w2", "100%", "50%", "4.0%", "w2", "25%", "0%"]


def test_a_cell_without_a_share_is_empty() -> None:
    svg = heat(["w1"], ["0", "1"], [[None, None]])
    assert cells(svg) == []
    assert texts(svg) == ["Back & more", "0", "1", "w1"]


def test_higher_shares_are_darker() -> None:
    shares = [n / 20 for n in range(21)]
    fills = [luminance(cell.attrib["fill"]) for cell in cells(heat(["w1"], [str(s) for s in shares], [shares]))]
    assert all(lighter > darker for lighter, darker in pairwise(fills))
    # Even the lightest differs from a cell without a share.
    assert fills[0] < 0.9


def test_the_highest_share_is_the_darkest() -> None:
    [[low], [high]] = (
        [cell.attrib["fill"] for cell in cells(heat(["w1"], ["0"], [[share]]))] for share in (0.01, 0.99)
    )
    assert low == high
    assert cells(heat(["w1"], ["0"], [[0.0]]))[0].attrib["fill"] != high


def test_the_text_of_every_cell_contrasts_with_its_colour() -> None:
    shares = [n / 100 for n in range(101)]
    svg = heat(["w1"], [str(n) for n in range(101)], [shares])
    percentages = [text for text in svg.findall(f"{SVG}text") if "fill" in text.attrib]
    for cell, text in zip(cells(svg), percentages, strict=True):
        dark, light = sorted([luminance(cell.attrib["fill"]), luminance(text.attrib["fill"])])
        assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_a_small_share_is_written_with_a_tenth() -> None:
    said = texts(heat(["w1"], list("abcd"), [[0.004, 0.0994, 0.0996, 0.104]]))
    assert said[-4:] == ["0.4%", "9.9%", "10%", "10%"]


def test_only_a_share_of_one_is_written_as_100_percent() -> None:
    said = texts(heat(["w1"], list("abcdef"), [[0.99, 0.9904, 0.995, 0.999, 0.9999, 1.0]]))
    assert said[-6:] == ["99%", "99%", "99.5%", "99.9%", "99.9%", "100%"]


def test_control_characters_are_left_out() -> None:
    everything = "".join(map(chr, range(0x20))) + "a\ud800b\uffffc"
    svg = ElementTree.fromstring(line_chart(everything, [everything], [Line(everything, [0.1], 0)]))
    # XML reads a carriage return as the end of a line.
    assert texts(svg).count("\t\n\nabc") == 3
    heated = ElementTree.fromstring(heat_map(everything, [everything], [everything], [[0.1]]))
    assert texts(heated).count("\t\n\nabc") == 3


@pytest.mark.parametrize("values", [[0.1] * 2, [0.1] * 4, [None] * 4])
def test_a_line_has_a_value_for_each_day(values: list[float | None]) -> None:
    with pytest.raises(ValueError, match=r"shorter|longer"):
        line_chart("Joined", DAYS, [Line("joined", values, 0)])


def test_long_labels_do_not_overlap() -> None:
    days = [f"2024-03-{n:02}" for n in range(1, 31)]
    svg = heat(days, days, [[0.1] * 30] * 30)
    left, width = float(cells(svg)[0].attrib["x"]), float(svg.attrib["width"])
    assert left > 6 * len(days[0])
    assert max(float(cell.attrib["x"]) for cell in cells(svg)) + 40 < width
    labels = [
        text for text in svg.findall(f"{SVG}text") if text.text in days and text.attrib["text-anchor"] == "middle"
    ]
    assert len(labels) == 15
    assert all(float(b.attrib["x"]) - float(a.attrib["x"]) > 6 * len(days[0]) for a, b in pairwise(labels))


def test_an_empty_heat_map_is_drawn() -> None:
    assert texts(heat([], [], [])) == ["Back & more"]


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        heat_map("Back", ["w1"], ["0", "1"], [[0.1]])
