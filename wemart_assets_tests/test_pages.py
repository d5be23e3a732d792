"""The generated pages are what the declarations say."""

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


def test_readme_and_catalog_name_the_tables_that_carry_their_state_on() -> None:
    declared = sorted(name for name, of in catalog.marts().items() if of.is_stateful)
    pages = render(PROJECT)
    said = re.search(r"\*\*Stateful tables\*\* \((.*?)\)", pages[Path("README.md")], flags=re.DOTALL)
    assert said is not None
    assert sorted(re.findall(r"`(\w+)`", said[1])) == sorted(name.split(".")[1] for name in declared)
    sections = re.split(r"^### ", pages[Path("docs/tables.md")], flags=re.MULTILINE)
    assert sorted(s.partition("\n")[0] for s in sections if "\n- carries its state on" in s) == declared


def test_the_catalog_has_every_table_and_column() -> None:
    page = render(PROJECT)[Path("docs/tables.md")]
    tables = [declared.table for declared in catalog.marts().values()]
    tables += [contract.table for contract in catalog.contracts().values()]
    assert len(tables) >= 13
    for table in tables:
        section = page.split(f"### {table.full_name}\n")[1].split("\n### ")[0]
        for column in table.columns:
            assert f"| {column.name} | {column.type} |" in section
