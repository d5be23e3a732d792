"""The generated pages match the declarations, the links of all pages lead somewhere, and the site has all pages."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from itertools import count
from pathlib import Path
from xml.etree import ElementTree

import pytest

from wemart_assets import catalog
from wemart_assets.cli import main
from wemart_assets.lake.audit import checks_of
from wemart_assets.lake.errors import WemartError
from wemart_assets.lake.table import ROWS
from wemart_assets.pages import render

PROJECT = Path(__file__).parents[1]
PAGES = sorted(
    path.relative_to(PROJECT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "examples/*/*.md", "benchmarks/*.md", "wemart_assets_tests/*.md")
    for path in PROJECT.glob(pattern)
)
CODE_BLOCK = re.compile(r"^```.*?^```", flags=re.DOTALL | re.MULTILINE)


SITE = tomllib.loads((PROJECT / "zensical.toml").read_text())["project"]


@pytest.fixture(scope="module")
def rendered() -> dict[str, str]:
    return {path.as_posix(): text for path, text in render(PROJECT, main).items()}


def test_generated_pages_are_up_to_date(rendered: dict[str, str]) -> None:
    stale = [path for path, text in rendered.items() if (PROJECT / path).read_text() != text]
    assert stale == [], "run `wemart pages`"


def test_no_page_of_a_domain_is_left_over(rendered: dict[str, str]) -> None:
    folders = [PROJECT / "docs" / "reference" / "tables", PROJECT / "docs" / "images"]
    files = {path.relative_to(PROJECT).as_posix() for folder in folders for path in folder.iterdir()}
    assert {path for path in files if path.endswith((".md", ".svg"))} <= set(rendered)


def test_the_catalog_marks_the_stateful_tables(rendered: dict[str, str]) -> None:
    stateful = sorted(name for name, declared in catalog.marts().items() if declared.is_stateful)
    listed = rendered["docs/tables.md"].partition("## Stateful tables")[2]
    assert sorted(re.findall(r"`([\w.]+)`", listed)) == stateful
    sections = re.split(r"^## ", all_tables(rendered), flags=re.MULTILINE)
    assert sorted(s.partition("\n")[0] for s in sections if "\n- stateful: " in s) == stateful


def all_tables(rendered: dict[str, str]) -> str:
    return "".join(text for path, text in rendered.items() if path.startswith("docs/reference/tables/"))


def test_the_pages_have_no_html_but_comments(rendered: dict[str, str]) -> None:
    for path, page in rendered.items():
        if path.endswith(".md"):
            text = re.sub(r"`[^`]*`|<!--.*?-->", "", CODE_BLOCK.sub("", page))
            assert re.findall(r"(?<!\\)<[A-Za-z/!?].*", text) == [], path


def test_the_check_of_rows_names_the_period() -> None:
    for name, declared in catalog.marts().items():
        rows = [check.description for check in checks_of(declared.table) if check.name == ROWS]
        assert rows in ([], [f"each {declared.table.period.value} has rows"]), name


def test_the_catalog_has_every_table_and_column(rendered: dict[str, str]) -> None:
    pages = all_tables(rendered)
    tables = [*catalog.tables().values(), *catalog.records().values()]
    tables += [declared.table for declared in catalog.views().values()]
    assert len(tables) > 100
    for table in tables:
        section = pages.split(f"## {table.full_name}\n")[1].split("\n## ")[0]
        for column in table.columns:
            assert f"| {column.name} | {column.type} |" in section


def test_lineage_is_shown_in_both_directions(rendered: dict[str, str]) -> None:
    pages = all_tables(rendered)
    section = pages.split("## we_mart.wv_sess_daily\n")[1].split("\n## ")[0]
    assert re.search(r"- reads: .*\[`we_mart.wv_comm_user`\]\(community.md#we_martwv_comm_user\)", section)
    assert re.search(r"- read by: .*\[`core.dim__users`\]\(activation.md#coredim__users\)", section)


def test_every_command_and_setting_has_its_description(rendered: dict[str, str]) -> None:
    assert set(re.findall(r"^## wemart (\S+)$", rendered["docs/reference/commands.md"], flags=re.M)) == set(
        main.commands
    )
    assert re.findall(r"^\| `WEMART_\w+` \|.*\|\s*\|$", rendered["docs/reference/settings.md"], flags=re.M) == []


def test_diagrams_are_well_formed(rendered: dict[str, str]) -> None:
    diagrams = [text for path, text in rendered.items() if path.endswith(".svg")]
    assert len(diagrams) == len(set(catalog.groups().values())) + 1
    for text in diagrams:
        ElementTree.fromstring(text)


# The site


def navigation(entry: object) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    parts = entry.values() if isinstance(entry, dict) else entry
    return [page for part in parts for page in navigation(part)]


def test_the_navigation_has_every_page_once() -> None:
    pages = navigation(SITE["nav"])
    assert len(pages) == len(set(pages))
    docs = PROJECT / "docs"
    assert set(pages) == {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")}, "see nav in zensical.toml"


def test_llms_lists_every_page_with_a_sentence(rendered: dict[str, str]) -> None:
    lines = [line for line in rendered["docs/llms.txt"].splitlines() if line.startswith("- ")]
    assert len(lines) == len(navigation(SITE["nav"]))
    for line in lines:
        assert re.fullmatch(r"- \[[^\]]+\]\([\w./-]+/\): [A-Z`\w].*[.?:!]", line), line


def test_a_page_of_the_navigation_that_does_not_exist_is_named(tmp_path: Path) -> None:
    (tmp_path / "zensical.toml").write_text(
        '[project]\nsite_name = "a"\nsite_description = "b"\nnav = [{ "Start" = ["gone.md"] }]\n'
    )
    with pytest.raises(WemartError, match=r"the navigation names docs/gone.md, which does not exist"):
        render(tmp_path, main)


def test_a_folder_that_is_no_checkout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WemartError, match=r"is not a checkout of the project: it has no zensical\.toml"):
        render(tmp_path, main)


@pytest.mark.parametrize("text", ["[project", "[site]"])
def test_a_configuration_of_the_site_that_cannot_be_read_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "zensical.toml").write_text(text)
    with pytest.raises(WemartError, match=r"zensical\.toml cannot be read"):
        render(tmp_path, main)


def build(project: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "zensical"), "build", "--strict"]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)


def test_the_site_fails_on_a_broken_link_or_anchor_and_fetches_nothing(tmp_path: Path) -> None:
    """The build of the whole site is `make docs`, which CI runs."""
    (tmp_path / "docs").mkdir()
    shutil.copy(PROJECT / "zensical.toml", tmp_path)
    for page in navigation(SITE["nav"]):
        (tmp_path / "docs" / page).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "docs" / page).write_text("# A page\n\n## One `a.b`\n")
    index = tmp_path / "docs" / "index.md"
    index.write_text("# Start\n\n[one](tables.md#one-ab) [two](tutorial.md)\n")
    done = build(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    html = (tmp_path / "site" / "index.html").read_text()
    assert re.findall(r"(?:src|href)=\"?https?://(?!zensical\.org)[^\"> ]*\.(?:js|css|woff2?)", html) == []
    assert "fonts.g" not in html
    for link in ("gone.md", "tables.md#gone"):
        index.write_text(f"# Start\n\n[one]({link})\n")
        assert build(tmp_path).returncode != 0, link


# The links, also where the pages are read without the site


def test_the_readme_is_short() -> None:
    assert len((PROJECT / "README.md").read_text().splitlines()) <= 150


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
