"""Copies of the checkout, in which tests write tables and run commands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from wemart_assets.lake.days import Period

PROJECT = Path(__file__).parents[1]
# The tables that the recipe of docs/how-to writes.
RECIPE = {"stats_wv_d_country": Period.DAY, "stats_wv_w_country": Period.WEEK}


def copy_of_the_project(folder: Path) -> Path:
    """A copy in which nobody has followed the recipe yet, whether or not the author of this checkout has."""
    folder.mkdir(exist_ok=True)
    left_out = shutil.ignore_patterns("__pycache__", *(f"*{name}.py" for name in RECIPE))
    for name in ("wemart_assets", "wemart_assets_tests", "docs"):
        shutil.copytree(PROJECT / name, folder / name, ignore=left_out)
    for path in PROJECT.iterdir():
        # Files of the root are few and may all matter to a command; hidden ones are of git, editors and secrets.
        if path.is_file() and not path.name.startswith("."):
            shutil.copy(path, folder)
    if any(PROJECT.glob(f"wemart_assets/marts/*/{name}.py") for name in RECIPE):
        done = run(folder, "wemart_assets.cli", "pages")
        assert done.returncode == 0, done.stdout
    return folder


def run(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What a module of this Python does in the copy, whose code it runs."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("WEMART_", "PYTEST_"))}
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=project,
        env=variables | {"PYTHONPATH": str(project)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
