"""The commands of the pages run unchanged: each page's `sh` blocks, one after the other, in one shell.

They run in a folder like a clone after `make demo`, with a small demo. Lines that begin with `make` are what
has been done for it, or would run these tests: they have to be targets of the Makefile. What needs a cluster or a tool
that is not ours is marked `text` on the pages.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from wemart_assets_tests.checkouts import PROJECT, copy_of_the_project
from wemart_assets_tests.engines import SPARK_CONF

FOUND = [PROJECT / "README.md", *PROJECT.glob("docs/*.md"), *PROJECT.glob("examples/*/README.md")]
SHELL = {
    path.relative_to(PROJECT).as_posix(): blocks
    for path in sorted(FOUND)
    if (blocks := re.findall(r"^```sh\n(.*?)^```", path.read_text(), flags=re.DOTALL | re.MULTILINE))
}
PAGES = [pytest.param(page, marks=pytest.mark.spark if page == "docs/spark.md" else []) for page in SHELL]
# The defaults, as for a user without any settings, but for a Spark that starts many small queries quickly.
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith(("WEMART_", "DAGSTER_"))}
ENVIRONMENT["WEMART_SPARK__CONF"] = json.dumps(SPARK_CONF)


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


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run_unchanged(page: str, clone: Path, tmp_path: Path) -> None:
    shutil.copytree(clone, tmp_path / "clone", symlinks=True)
    said = _run(tmp_path / "clone", "\n".join(re.sub(r"^make .*$", "", block, flags=re.M) for block in SHELL[page]))
    # Output shown on a page, indented below the commands, is the real output except for column widths.
    answers = {" ".join(line.split()) for line in said.splitlines()}
    assert shown_output(page) <= answers


def shown_output(page: str) -> set[str]:
    outside = re.sub(r"```.*?```", "", (PROJECT / page).read_text(), flags=re.DOTALL)
    return {" ".join(line.split()) for line in re.findall(r"^    (\d.*)$", outside, flags=re.MULTILINE)}


def test_shown_output_is_found() -> None:
    assert [page for page in SHELL if shown_output(page)] == ["examples/nasa/README.md"]


@pytest.mark.parametrize("page", SHELL)
def test_make_commands_are_targets_of_the_makefile(page: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), flags=re.M))
    assert set(re.findall(r"^make (\S+)", "\n".join(SHELL[page]), flags=re.M)) <= targets


def test_commands_are_found_on_the_expected_pages() -> None:
    """Detects a block that is marked otherwise by mistake."""
    assert {"README.md", "docs/spark.md", "examples/nasa/README.md"} <= set(SHELL)
    assert len(SHELL["README.md"]) >= 5
