"""The commands of the pages run as they stand there: each page's blocks of `sh`, one after the other, in one shell.

They run in a folder as a clone is after `make demo`, the demo being a small one. Lines that begin with `make` are what
has been done for it, or would run these tests: they have to be targets of the Makefile. What needs a cluster or a tool
that is not ours is marked `text` on the pages.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
FOUND = [PROJECT / "README.md", *PROJECT.glob("docs/*.md"), *PROJECT.glob("examples/*/README.md")]
SHELL = {
    path.relative_to(PROJECT).as_posix(): blocks
    for path in sorted(FOUND)
    if (blocks := re.findall(r"^```sh\n(.*?)^```", path.read_text(), flags=re.DOTALL | re.MULTILINE))
}
PAGES = [pytest.param(page, marks=pytest.mark.spark if page == "docs/spark.md" else []) for page in SHELL]
# As a person has it who sets nothing.
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith(("WEMART_", "DAGSTER_"))}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the commands of the pages need of a clone, and a small demo. Not to be written."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("dagster.yaml", "examples"):
        (folder / name).symlink_to(PROJECT / name)
    (folder / ".venv").symlink_to(sys.prefix)
    _run(folder, ".venv/bin/wemart demo --lines 600")
    return folder


def _run(folder: Path, script: str) -> str:
    done = subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{script}"],
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, f"{script}\n\n{done.stdout[-4000:]}"
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run_as_they_stand_there(page: str, clone: Path, tmp_path: Path) -> None:
    shutil.copytree(clone, tmp_path / "clone", symlinks=True)
    said = _run(tmp_path / "clone", "\n".join(re.sub(r"^make .*$", "", block, flags=re.M) for block in SHELL[page]))
    # What a page shows of the answer, indented below the commands, is the answer, but for the width of columns.
    answers = {" ".join(line.split()) for line in said.splitlines()}
    outside = re.sub(r"```.*?```", "", (PROJECT / page).read_text(), flags=re.DOTALL)
    shown = [" ".join(line.split()) for line in re.findall(r"^    (\d.*)$", outside, flags=re.MULTILINE)]
    assert set(shown) <= answers


@pytest.mark.parametrize("page", SHELL)
def test_what_is_made_is_a_target_of_the_makefile(page: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), flags=re.M))
    assert set(re.findall(r"^make (\S+)", "\n".join(SHELL[page]), flags=re.M)) <= targets


def test_the_pages_with_commands_are_known() -> None:
    """So that a block which is marked otherwise by mistake is seen."""
    assert {"README.md", "docs/spark.md", "examples/nasa/README.md"} <= set(SHELL)
    assert len(SHELL["README.md"]) >= 5
