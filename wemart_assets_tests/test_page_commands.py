"""The commands of the pages run unchanged: each page's `sh` blocks, one after the other, in one shell.

They run in a folder like a clone after `make demo`, with a small demo. Lines that begin with `make` are what
has been done for it, or would run these tests: they have to be targets of the Makefile. What needs a cluster, a network
or a tool that is not ours is marked `text` on the pages; it is parsed, and `NOT_RUN` says why it is not run.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import click
import pytest
import yaml

from wemart_assets import catalog
from wemart_assets.cli import main
from wemart_assets.settings import AlertSettings, Settings, SparkSettings
from wemart_assets.sources.contract import Contract
from wemart_assets_tests.checkouts import PROJECT, copy_of_the_project
from wemart_assets_tests.engines import SPARK_CONF

PAGES = {
    path.relative_to(PROJECT).as_posix(): path.read_text()
    for path in sorted([PROJECT / "README.md", *PROJECT.glob("docs/**/*.md"), *PROJECT.glob("examples/*/README.md")])
}
NOT_RUN = {
    "docs/alerts.md": "needs a webhook or a mail server",
    "docs/deployment.md": "needs a package index, Docker, or a cluster",
    "docs/how-to/failed-audit.md": "corrects a day that is not broken in the demo",
    "docs/how-to/move-to-s3.md": "needs a bucket",
    "docs/how-to/move-to-spark.md": "is what docs/spark.md runs, in another order",
    "docs/how-to/upgrade.md": "changes the checkout",
    "docs/notebooks.md": "opens an editor in the browser",
    "docs/object-storage.md": "needs a bucket",
    "docs/spark.md": "downloads jars, or needs an installation of Spark",
}
COMMANDS = (
    *("aws", "cp", "dagster", "docker", "export", "git", "helm", "kubectl", "make", "marimo", "mkdir", "mvn", "pip"),
    *("python3", "spark-sql", "wemart"),
)


# A call of `wemart` in a line of shell, also inside a container.
WEMART = r"(?:^|&& |-- |code-location )(?:\.venv/bin/)?wemart ([a-z](?:\"[^\"]*\"|[^\n|>&\"])*)"


def blocks(page: str, kind: str) -> list[str]:
    """The blocks of a page that are fenced as `kind`."""
    found = re.findall(rf"^( *)```{kind}\n(.*?)^\1```", PAGES[page], flags=re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(block) for _, block in found]


def unrun(page: str) -> list[str]:
    """The `text` blocks of a page that are commands, not what commands print."""
    found = blocks(page, "text")
    return [block for block in found if block.split(maxsplit=1)[0].removeprefix(".venv/bin/") in COMMANDS]


SHELL = {page: found for page in PAGES if (found := blocks(page, "sh"))}
# The defaults, as for a user without any settings, but for a Spark that starts many small queries quickly.
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith(("WEMART_", "DAGSTER_"))}
ENVIRONMENT["WEMART_SPARK__CONF"] = json.dumps(SPARK_CONF)
# As for a user who has activated the environment: `wemart` is `.venv/bin/wemart`.
ENVIRONMENT["PATH"] = f".venv/bin:{ENVIRONMENT['PATH']}"
FENCES = {"json", "python", "sh", "sql", "text", "yaml"}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the parts of a clone that the commands need, and a small demo. Read-only."""
    # A copy, because `wemart new table` writes into it.
    folder = copy_of_the_project(tmp_path_factory.mktemp("clone"))
    (folder / "examples").symlink_to(PROJECT / "examples")
    (folder / ".venv").symlink_to(sys.prefix)
    _run(folder, ".venv/bin/wemart demo --lines 600")
    return folder


def _run(folder: Path, script: str) -> str:
    done = subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{script}"],
        cwd=folder,
        env=ENVIRONMENT | {"PYTHONPATH": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, f"{script}\n\n{done.stdout[-4000:]}"
    return done.stdout


def _commands(page: str) -> str:
    return "\n".join(re.sub(r"^make .*$", "", block, flags=re.M) for block in SHELL[page])


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=pytest.mark.spark if page == "docs/spark.md" else [])
        for page in SHELL
        if _commands(page).strip()
    ],
)
def test_the_commands_of_a_page_run_unchanged(page: str, clone: Path, tmp_path: Path) -> None:
    shutil.copytree(clone, tmp_path / "clone", symlinks=True)
    said = _run(tmp_path / "clone", _commands(page))
    # Output shown on a page, indented below the commands, is the real output except for column widths.
    answers = {" ".join(line.split()) for line in said.splitlines()}
    assert shown_output(page) <= answers


def shown_output(page: str) -> set[str]:
    outside = re.sub(r"```.*?```", "", PAGES[page], flags=re.DOTALL)
    return {" ".join(line.split()) for line in re.findall(r"^    (\d.*)$", outside, flags=re.MULTILINE)}


def test_shown_output_is_found() -> None:
    assert "docs/tutorial.md" in [page for page in SHELL if shown_output(page)]


@pytest.mark.parametrize("page", SHELL)
def test_make_commands_are_targets_of_the_makefile(page: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), flags=re.M))
    lines = re.findall(r"^make ([^#\n]+)", "\n".join([*SHELL[page], *unrun(page)]), flags=re.M)
    assert {target for line in lines for target in line.split()} <= targets


def test_commands_are_found_on_the_expected_pages() -> None:
    """Detects a block that is marked otherwise by mistake."""
    expected = {"README.md", "docs/tutorial.md", "docs/how-to/run.md", "docs/how-to/add-a-table.md", "docs/spark.md"}
    assert expected <= set(SHELL)
    assert len(SHELL["README.md"]) >= 3


@pytest.mark.parametrize("page", PAGES)
def test_blocks_are_fenced_so_that_they_are_tested(page: str) -> None:
    """`sh` is run, `sql` is queried, the others are parsed; `text` is what commands print, or commands in NOT_RUN."""
    kinds = re.findall(r"^ *```(.*)\n(?:.*\n)*? *```$", PAGES[page], flags=re.MULTILINE)
    assert set(kinds) <= FENCES


def test_each_page_with_commands_that_are_not_run_says_why() -> None:
    assert {page for page in PAGES if unrun(page)} == set(NOT_RUN)


@pytest.mark.parametrize("page", NOT_RUN)
def test_commands_that_are_not_run_are_valid_shell_and_known_to_wemart(page: str) -> None:
    for block in unrun(page):
        done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True)
        assert done.returncode == 0, f"{block}\n{done.stderr}"
        for line in re.findall(WEMART, block.replace("\\\n", ""), flags=re.M):
            parse(line)


def parse(line: str) -> None:
    """Parses the arguments of `wemart` as it would.

    Raises:
        click.UsageError: there is no such command or option, or an argument is missing.
    """
    arguments = shlex.split(line, comments=True)
    command: click.Command = main
    context = None
    while isinstance(command, click.Group):
        context = click.Context(command, parent=context)
        _, found, arguments = command.resolve_command(context, arguments)
        assert found is not None
        command = found
    command.make_context(command.name, arguments, parent=context)


@pytest.mark.parametrize("line", ["rum", "sql --formal csv 'select 1'", "run --from yesterday a/b", "new"])
def test_a_command_that_wemart_does_not_know_is_found(line: str) -> None:
    with pytest.raises((click.UsageError, IndexError)):
        parse(line)


def test_all_commands_of_all_pages_are_known_to_wemart() -> None:
    """In the quick tests, before the slow ones run them."""
    lines = [line for found in SHELL.values() for line in re.findall(WEMART, "\n".join(found), flags=re.M)]
    assert len(lines) > 30
    for line in lines:
        parse(line)


KNOWN_SETTINGS = {f"WEMART_{name.upper()}" for name in Settings.model_fields} | {
    f"WEMART_{group}__{name.upper()}"
    for group, model in (("SPARK", SparkSettings), ("ALERTS", AlertSettings))
    for name in model.model_fields
}


@pytest.mark.parametrize("page", PAGES)
def test_settings_on_a_page_exist(page: str) -> None:
    named = set(re.findall(r"\bWEMART_[A-Z_]*[A-Z]\b", PAGES[page]))
    storage = {f"WEMART_STORAGE__{name.upper()}" for name in Settings.model_fields["storage"].annotation.model_fields}
    assert named - KNOWN_SETTINGS - storage - {"WEMART_TEST_SEED", "WEMART_TEST_SPARK", "WEMART_TEST_SHARED"} == set()


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "yaml")])
def test_mappings_on_a_page_name_sources_and_their_columns(page: str) -> None:
    for block in blocks(page, "yaml"):
        for source, mapping in yaml.safe_load(block).items():
            contract = catalog.contracts()[source]
            assert set(mapping.get("columns", {})) <= {column.name for column in contract.columns}, source


def test_the_tutorial_shows_the_mapping_of_the_example() -> None:
    [block] = blocks("docs/tutorial.md", "yaml")
    assert yaml.safe_load(block) == yaml.safe_load((PROJECT / "examples" / "nasa" / "sources.yaml").read_text())


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "json")])
def test_json_on_a_page_is_valid(page: str) -> None:
    for block in blocks(page, "json"):
        json.loads(block)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")])
def test_python_on_a_page_compiles(page: str) -> None:
    for block in blocks(page, "python"):
        compile(block, page, "exec")


def test_the_source_of_the_page_is_a_contract() -> None:
    [block] = blocks("docs/how-to/add-a-source.md", "python")
    module: dict[str, object] = {"__name__": "tickets"}
    exec(compile(block, "add-a-source.md", "exec"), module)
    assert [value.full_name for value in module.values() if isinstance(value, Contract)] == ["support.tickets"]
