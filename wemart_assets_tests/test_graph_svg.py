"""The layout of graphs: columns from left to right, also where edges form a cycle."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from wemart_assets.graph_svg import Node, svg

SVG = "{http://www.w3.org/2000/svg}"


def diagram(names: str, *edges: str) -> ElementTree.Element:
    nodes = {name: Node((name,)) for name in names}
    return ElementTree.fromstring(svg(nodes, {(edge[0], edge[1]) for edge in edges}, "a graph"))


def places(root: ElementTree.Element) -> dict[str, tuple[float, float]]:
    texts = [text.text or "" for text in root.iter(f"{SVG}text")]
    boxes = [(float(box.attrib["x"]), float(box.attrib["y"])) for box in root.iter(f"{SVG}rect")]
    return dict(zip(texts, boxes, strict=True))


def test_a_node_is_right_of_all_that_lead_to_it() -> None:
    at = places(diagram("abc", "ab", "bc", "ac"))
    assert at["a"][0] < at["b"][0] < at["c"][0]


def test_a_node_without_upstream_is_beside_what_it_leads_to() -> None:
    at = places(diagram("abcd", "ab", "bc", "dc"))
    assert at["d"][0] == at["b"][0] != at["a"][0]


def test_boxes_do_not_overlap() -> None:
    at = places(diagram("abcdef", "af", "bf", "cf", "df", "ef"))
    assert len({at[name] for name in "abcde"}) == 5
    assert min(abs(at[one][1] - at[other][1]) for one in "abcde" for other in "abcde" if one < other) >= 28


def test_a_long_edge_passes_a_column_beside_its_boxes() -> None:
    root = diagram("abc", "ab", "bc", "ac")
    [line] = [path.attrib["d"] for path in root.iter(f"{SVG}path") if "L" in path.attrib["d"]]
    _, y = places(root)["b"]
    passing = re.findall(r"L\d+ (\d+)", line)[0]
    assert not y <= float(passing) <= y + 28


def test_an_edge_that_closes_a_cycle_is_dashed_and_all_nodes_are_drawn() -> None:
    root = diagram("abc", "ab", "bc", "cb", "ca")
    dashed = [path for path in root.iter(f"{SVG}path") if "stroke-dasharray" in path.attrib]
    assert (len(dashed), len(list(root.iter(f"{SVG}path"))), set(places(root))) == (2, 4, {"a", "b", "c"})


def test_an_edge_to_the_node_itself_is_not_drawn() -> None:
    assert list(diagram("a", "aa").iter(f"{SVG}path")) == []


def test_the_same_graph_gives_the_same_diagram_whatever_the_order_of_its_edges() -> None:
    nodes = {name: Node((name, "2 tables")) for name in "abcd"}
    edges = [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"), ("a", "d")]
    assert svg(nodes, edges, "a") == svg(nodes, edges[::-1], "a")


def test_markup_in_names_and_titles_is_escaped() -> None:
    root = ElementTree.fromstring(svg({"a": Node(("<b>&",))}, (), "x < y"))
    assert [text.text for text in root.iter(f"{SVG}text")] == ["<b>&"]
    assert root[0].text == "x < y"
