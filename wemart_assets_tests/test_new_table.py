"""`wemart new table`, and the recipe of docs/how-to: their tables pass every test once what is marked has been written.

`test_nothing_is_left_to_write` is for the author of a table: it fails for as long as one of the files that the command
wrote has a marker, and lists them.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from wemart_assets.cli import main
from wemart_assets.lake.days import Period
from wemart_assets.new_table import CASES, MARTS, TESTS, CannotWrite, NewTable, write_table
from wemart_assets_tests.checkouts import PROJECT, RECIPE, copy_of_the_project, run

MARKER = re.compile(r"# (TODO: .*)")
# Tables of each period, in three domains; the last has the longest name. None has a name that a reader of the recipe
# would give to a table.
NEW = [
    ("sessions", "stats_wv_d_test_country"),
    ("community", "stats_wv_w_test_country", "--weekly"),
    ("attribution", "stats_wv_m_country_a_name_as_long_as_it_can_be_x", "--monthly"),
]
FILES = [
    path
    for domain, name, *_ in NEW
    for path in (f"{MARTS}/{domain}/{name}.py", f"{CASES}/{name}.py", f"{TESTS}/test_{name}.py")
]


def left_to_write(project: Path) -> list[str]:
    """The markers in the files of tables, each with its file and line."""
    return [
        f"{path.relative_to(project)}:{number}: {marker[1]}"
        for folder in (MARTS, CASES, TESTS)
        for path in sorted((project / folder).rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if (marker := MARKER.search(line))
    ]


def test_nothing_is_left_to_write() -> None:
    if left := left_to_write(PROJECT):
        pytest.fail("\n".join(["what is left to write of new tables:", *left]), pytrace=False)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which the command has written the new tables. Read-only."""
    project = copy_of_the_project(tmp_path_factory.mktemp("new_table") / "project")
    for arguments in NEW:
        done = run(project, "wemart_assets.cli", "new", "table", *arguments)
        assert done.returncode == 0, done.stdout
    return project


def test_the_command_writes_three_new_files_and_updates_the_pages(written: Path, tmp_path: Path) -> None:
    unchanged = copy_of_the_project(tmp_path / "project")

    def files(project: Path) -> dict[str, bytes]:
        found = [path for path in project.rglob("*") if path.suffix in (".py", ".md")]
        return {path.relative_to(project).as_posix(): path.read_bytes() for path in found}

    before, after = files(unchanged), files(written)
    assert set(after) - set(before) == set(FILES)
    assert {path for path, text in before.items() if after[path] != text} == {
        "docs/tables.md",
        *(f"docs/reference/tables/{domain}.md" for domain, *_ in NEW),
    }


def test_what_it_writes_is_formatted_and_linted(written: Path) -> None:
    for arguments in (("check",), ("format", "--check")):
        done = run(written, "ruff", *arguments, *FILES)
        assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_what_it_writes_has_no_type_errors(written: Path) -> None:
    done = run(written, "mypy", *FILES)
    assert done.returncode == 0, done.stdout


def outcomes(project: Path, *arguments: str) -> tuple[set[str], str]:
    """The tests that fail in the copy, and what pytest printed."""
    done = run(project, "pytest", "-q", "-p", "no:cacheprovider", "-m", "not spark", *arguments)
    assert re.search(r"\d+ passed", done.stdout), done.stdout
    assert "error" not in done.stdout.splitlines()[-1], done.stdout
    return set(re.findall(r"^FAILED (\S+)", done.stdout, flags=re.MULTILINE)), done.stdout


# The tests of which each declared table is a part, for the new tables only; and those of the pages.
ABOUT_TABLES = (
    "wemart_assets_tests/lake/test_every_rule_fails.py",
    "wemart_assets_tests/test_pages.py",
    "wemart_assets_tests/test_new_table.py",
    "-k",
    "country or every_mart or every_check or every_value_check or up_to_date or test_nothing_is_left_to_write",
)


@pytest.mark.slow
def test_the_tests_name_exactly_what_is_left_to_write(written: Path) -> None:
    tests = [f"{TESTS}/test_{name}.py" for _, name, *_ in NEW]
    failed, printed = outcomes(written, *tests, *ABOUT_TABLES)
    expected = {
        f"{path}::{test}"
        for path in tests
        for test in ("test_the_reference_is_written", "test_random_sessions_match_the_reference")
    }
    assert failed == expected | {"wemart_assets_tests/test_new_table.py::test_nothing_is_left_to_write"}, printed
    for path in tests:
        assert f"write `reference` in {written / path}" in printed
    left = left_to_write(written)
    assert {line.partition(":")[0] for line in left} == set(FILES)
    assert set(left) <= set(printed.splitlines())


# The recipe


def recipe(kind: str) -> list[str]:
    pages = ("add-a-table", "add-a-weekly-table")
    text = "".join((PROJECT / "docs" / "how-to" / f"{page}.md").read_text() for page in pages)
    return re.findall(rf"^```{kind}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def without_markers(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if not MARKER.search(line))


def test_the_recipe_shows_the_tables_that_the_command_writes() -> None:
    marts = [block for block in recipe("python") if "TABLE = " in block]
    written = [
        NewTable("we_mart", "sessions", name, period).files()[MARTS / "sessions" / f"{name}.py"]
        for name, period in RECIPE.items()
    ]
    assert marts == [without_markers(text) for text in written]


@pytest.mark.slow
def test_who_follows_the_recipe_has_tables_that_pass_every_test(tmp_path: Path) -> None:
    project = copy_of_the_project(tmp_path / "project")
    commands = re.findall(r"^\.venv/bin/wemart (new .*)$", "\n".join(recipe("sh")), flags=re.MULTILINE)
    assert len(commands) == len(RECIPE)
    for command in commands:
        assert run(project, "wemart_assets.cli", *command.split()).returncode == 0
    references = [block for block in recipe("python") if block.startswith("def reference")]
    files = [path for name in RECIPE for path in project.rglob(f"*{name}.py")]
    assert len(files) == 3 * len(RECIPE)
    for name, reference in zip(RECIPE, references, strict=True):
        test = project / TESTS / f"test_{name}.py"
        stub = re.compile(r"^def reference.*?\n(?=\n\n)", flags=re.DOTALL | re.MULTILINE)
        test.write_text(stub.sub(lambda _, reference=reference: reference, test.read_text()))
    for path in files:
        path.write_text(without_markers(path.read_text()))
    assert run(project, "wemart_assets.cli", "pages", "--check").returncode == 0
    for arguments in (("ruff", "check"), ("ruff", "format", "--check"), ("mypy",)):
        done = run(project, *arguments, *map(str, files))
        assert done.returncode == 0, done.stdout
    failed, printed = outcomes(project, *(f"{TESTS}/test_{name}.py" for name in RECIPE), *ABOUT_TABLES)
    assert failed == set(), printed
    # The tests of the command and of the recipe still pass where somebody has followed it.
    failed, printed = outcomes(project, "wemart_assets_tests/test_new_table.py", "-m", "not slow and not spark")
    assert failed == set(), printed


# Names and places that it refuses


@pytest.mark.parametrize(
    ("domain", "name", "message"),
    [
        ("session", "stats_wv_d_country", r"one of activation, attribution, community, .*sessions.*\. A new domain is"),
        ("../marts/sessions", "stats_wv_d_country", "there is no domain"),
        ("", "stats_wv_d_country", "there is no domain"),
        ("sessions", "Stats", "lowercase letters, digits and underscores"),
        ("sessions", "stats-wv", "lowercase letters"),
        ("sessions", "1st", "begins with a letter"),
        ("sessions", "_stats", "begins with a letter"),
        ("sessions", "", "lowercase letters"),
        ("sessions", "stats\n", "lowercase letters"),
        ("sessions", "ländern", "lowercase letters"),
        ("sessions", "a" * 49, "at most 48"),
        ("sessions", "class", "reserved word"),
        ("sessions", "select", "reserved word"),
        ("sessions", "stats__daily", "generated"),
        ("sessions", "test_stats", "pytest would take"),
        ("sessions", "test_", "pytest would take"),
        ("sessions", "conftest", "pytest would take"),
        ("sessions", "we_mart", "it is a database"),
        ("rudder", "weverse2", "it is a database"),
        ("sessions", "rudder", "it is a database"),
        ("sessions", "hard_funnel_between", "generated"),
        ("sessions", "sessions", "is a name that the table's own code uses"),
        ("sessions", "mart", "is a name that the table's own code uses"),
        ("sessions", "wv_user_daily", "already a table we_mart.wv_user_daily"),
        ("community", "wv_user_daily", "already a table we_mart.wv_user_daily"),
        ("sessions", "wv_sess", "already a table we_mart.wv_sess"),
        ("sessions", "we_user", "already a table we_mart.we_user"),
        ("community", "engagement", r"community/engagement\.py is already there"),
        ("sessions", "community", r"rule_cases/community\.py is already there"),
        ("sessions", "visits", r"marts/test_visits\.py is already there"),
    ],
)
def test_what_cannot_be_written_is_refused(domain: str, name: str, message: str) -> None:
    with pytest.raises(CannotWrite, match=message):
        write_table(PROJECT, domain, name, Period.DAY)
    assert not (PROJECT / MARTS / domain / f"test_{name}.py").exists()


def test_a_folder_that_is_no_checkout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotWrite, match="is not a checkout of the project: it has no wemart_assets/marts"):
        write_table(tmp_path, "sessions", "stats_wv_d_country", Period.DAY)


def test_a_checkout_of_which_another_one_runs_is_refused(written: Path) -> None:
    with pytest.raises(CannotWrite, match="runs the code in"):
        write_table(written, "sessions", "stats_wv_d_other", Period.DAY)


def test_a_table_that_is_already_written_stays(written: Path) -> None:
    before = (written / FILES[0]).read_text()
    done = run(written, "wemart_assets.cli", "new", "table", "sessions", NEW[0][1], "--weekly")
    assert (done.returncode, f"already a table we_mart.{NEW[0][1]}" in done.stdout) == (1, True)
    assert (written / FILES[0]).read_text() == before


def test_two_periods_are_refused() -> None:
    result = CliRunner().invoke(main, ["new", "table", "sessions", "stats_wv_d_country", "--weekly", "--monthly"])
    assert (result.exit_code, "not both" in result.output) == (2, True)


@pytest.mark.parametrize("period", Period)
def test_each_period_has_the_same_parts(period: Period) -> None:
    files = NewTable("we_mart", "sessions", "stats_wv_d_country", period).files()
    assert len(files) == 3
    assert [text for text in files.values() if "$" in text] == []
