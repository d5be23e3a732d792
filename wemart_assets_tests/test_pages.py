"""The generated pages match the declarations."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from wemart_assets import catalog
from wemart_assets.pages import render

PROJECT = Path(__file__).parents[1]


@pytest.mark.parametrize("path", ["README.md", "docs/tables.md"])
def test_a_page_is_up_to_date(path: str) -> None:
    assert (PROJECT / path).read_text() == render(PROJECT)[Path(path)], "run `wemart pages`"


def test_readme_and_catalog_name_the_stateful_tables() -> None:
    stateful = sorted(name for name, declared in catalog.marts().items() if declared.is_stateful)
    pages = render(PROJECT)
    listed = re.search(r"\*\*Stateful tables\*\* \((.*?)\)", pages[Path("README.md")], flags=re.DOTALL)
    assert listed is not None
    assert sorted(re.findall(r"`(\w+)`", listed[1])) == sorted(name.split(".")[1] for name in stateful)
    sections = re.split(r"^### ", pages[Path("docs/tables.md")], flags=re.MULTILINE)
    assert sorted(s.partition("\n")[0] for s in sections if "\n- stateful: " in s) == stateful


def test_the_catalog_has_every_table_and_column() -> None:
    page = render(PROJECT)[Path("docs/tables.md")]
    tables = [declared.table for declared in catalog.marts().values()]
    tables += [contract.table for contract in catalog.contracts().values()]
    assert len(tables) >= 13
    for table in tables:
        section = page.split(f"### {table.full_name}\n")[1].split("\n### ")[0]
        for column in table.columns:
            assert f"| {column.name} | {column.type} |" in section
