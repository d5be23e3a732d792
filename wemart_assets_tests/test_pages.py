"""The generated pages match the declarations, and the links of all pages lead somewhere."""

from __future__ import annotations

import re
from itertools import count
from pathlib import Path

import pytest

from wemart_assets import catalog
from wemart_assets.lake.audit import checks_of
from wemart_assets.lake.table import ROWS
from wemart_assets.pages import render

PROJECT = Path(__file__).parents[1]
PAGES = sorted(
    path.relative_to(PROJECT).as_posix()
    for pattern in ("*.md", "docs/*.md", "examples/*/*.md", "benchmarks/*.md", "wemart_assets_tests/*.md")
    for path in PROJECT.glob(pattern)
)
CODE_BLOCK = re.compile(r"^```.*?^```", flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("path", ["README.md", "docs/tables.md"])
def test_generated_pages_are_up_to_date(path: str) -> None:
    assert (PROJECT / path).read_text() == render(PROJECT)[Path(path)], "run `wemart pages`"


def test_readme_and_catalog_name_the_stateful_tables() -> None:
    stateful = sorted(name for name, declared in catalog.marts().items() if declared.is_stateful)
    pages = render(PROJECT)
    listed = re.search(r"\*\*Stateful tables\*\* \((.*?)\)", pages[Path("README.md")], flags=re.DOTALL)
    assert listed is not None
    assert sorted(re.findall(r"`(\w+)`", listed[1])) == sorted(name.split(".")[1] for name in stateful)
    sections = re.split(r"^### ", pages[Path("docs/tables.md")], flags=re.MULTILINE)
    assert sorted(s.partition("\n")[0] for s in sections if "\n- stateful: " in s) == stateful


def test_the_pages_have_no_html_but_comments() -> None:
    for path, page in render(PROJECT).items():
        text = re.sub(r"`[^`]*`|<!--.*?-->", "", CODE_BLOCK.sub("", page))
        assert re.findall(r"(?<!\\)<[A-Za-z/!?].*", text) == [], path


def test_the_check_of_rows_names_the_period() -> None:
    for name, declared in catalog.marts().items():
        rows = [check.description for check in checks_of(declared.table) if check.name == ROWS]
        assert rows in ([], [f"each {declared.table.period.value} has rows"]), name


def test_the_catalog_has_every_table_and_column() -> None:
    page = render(PROJECT)[Path("docs/tables.md")]
    tables = [declared.table for declared in catalog.marts().values()]
    tables += [contract.table for contract in catalog.contracts().values()]
    assert len(tables) >= 13
    for table in tables:
        section = page.split(f"### {table.full_name}\n")[1].split("\n### ")[0]
        for column in table.columns:
            assert f"| {column.name} | {column.type} |" in section


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_somewhere(page: str) -> None:
    prose = CODE_BLOCK.sub("", (PROJECT / page).read_text())
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", prose) if not re.match(r"[a-z]+:", link)]
    assert [link for link in links if not _leads_somewhere(PROJECT / page, link)] == []


def test_a_link_without_a_file_or_a_heading_is_detected(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One `a.b_c`\n\n## Twice\n\n## Twice\n\n```sh\n# no heading\n```\n")
    links = ["page.md", "#one-ab_c", "page.md#twice", "#twice-1", "#twice-2", "#no-heading", "other.md", "other.md#one"]
    assert [link for link in links if _leads_somewhere(page, link)] == links[:4]


def _leads_somewhere(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = page.parent / path if path else page
    return target.exists() and (not anchor or anchor in _anchors(target))


def _anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    anchors: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", CODE_BLOCK.sub("", page.read_text()), flags=re.MULTILINE):
        anchor = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        numbered = (f"{anchor}-{n}" if n else anchor for n in count())
        anchors.add(next(name for name in numbered if name not in anchors))
    return anchors
