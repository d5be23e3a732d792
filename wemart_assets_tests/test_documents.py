"""The queries of the project's own documents run and return rows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from wemart_assets import catalog
from wemart_assets.settings import Settings
from wemart_assets.sql import analyst

PROJECT = Path(__file__).parents[1]
QUERIES = [
    query.strip()
    for document in [PROJECT / "README.md", *sorted(PROJECT.glob("docs/**/*.md"))]
    for block in re.findall(r"```sql\n(.*?)```", document.read_text(), flags=re.DOTALL)
    for query in block.split(";")
    if query.strip()
]


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_of_the_document_returns_rows(query: str, world: Path) -> None:
    functions = catalog.functions(Settings().for_tables())
    with analyst(world / "lake", catalog.tables(), catalog.views(), functions) as session:
        rows = session.run(query).to_pylist()
    assert rows
    assert any(value is not None for row in rows for value in row.values())


def test_the_document_queries_every_report() -> None:
    reads = {name: [i.table.database for i in mart.inputs.values()] for name, mart in catalog.marts().items()}
    reads |= {name: [table.database for table in view.inputs.values()] for name, view in catalog.views().items()}
    reports = {name for name in reads if name.startswith("igaworks.") and "igaworks" in reads[name]}
    reports -= {"igaworks.first_open"}
    assert {name for name in reports if any(name in query for query in QUERIES)} == reports


def test_the_rudderstack_page_names_every_table() -> None:
    page = (PROJECT / "docs" / "rudder.md").read_text()
    names = {name.split(".")[1] for name, group in catalog.groups().items() if group == "rudder"}
    assert len(names) == 11
    assert {name for name in names if f"`{name}`" in page} == names
