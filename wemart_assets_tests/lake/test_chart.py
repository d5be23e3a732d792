"""The line chart: the position of its points, and its labels."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree

from wemart_assets.lake.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Line, line_chart

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
