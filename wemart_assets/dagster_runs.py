"""Runs Dagster in a process of its own, as people would, and shows each table as it is done."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from wemart_assets.lake.errors import WemartError

DEFINITIONS = "wemart_assets.definitions"
STEP_DONE = re.compile(r" - (\S+) - STEP_SUCCESS - .* in ([\d.]+)(ms|s)\.")
STEP_FAILED = re.compile(r" - (\S+) - STEP_FAILURE - ")
FAILURE = re.compile(r"^(?:dagster\S*\.)?Failure: (.*)")


class RunFailed(WemartError):
    """A run of Dagster failed; says why, and where the rest of its words are."""


def selection(tables: Iterable[str]) -> str:
    """Dagster's selection of tables, by full name."""
    return ",".join(f'key:"{name.replace(".", "/")}"' for name in sorted(tables))


def materialize(select: str, days: Sequence[str], log: Path, show: Callable[[str], None]) -> None:
    """One run of `dagster asset materialize`, over consecutive days; without `days`, of tables that have none.

    The whole output is added to `log`.

    Raises:
        RunFailed: a table could not be made.
    """
    command = [dagster(), "asset", "materialize", "-m", DEFINITIONS, "--select", select]
    if days:
        first, last = days[0], days[-1]
        command += ["--partition", first] if first == last else ["--partition-range", f"{first}...{last}"]
    log.parent.mkdir(parents=True, exist_ok=True)
    why: dict[str, None] = {}
    with (
        log.open("a") as kept,
        subprocess.Popen(
            command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            kept.write(line)
            if done := STEP_DONE.search(line):
                seconds = float(done[2]) / (1000 if done[3] == "ms" else 1)
                show(f"  {done[1].replace('__', '.', 1):<48}{seconds:6.1f} s")
            elif failed := STEP_FAILED.search(line):
                show(f"  {failed[1].replace('__', '.', 1):<48}failed")
            elif failure := FAILURE.search(line):
                why[failure[1]] = None
    if process.returncode != 0:
        raise RunFailed("\n".join([*why, f"the run failed; all that Dagster said is in {log}"]))


def dagster() -> str:
    """The command of this Python's Dagster."""
    beside = Path(sys.executable).with_name("dagster")
    found = str(beside) if beside.exists() else shutil.which("dagster")
    if found is None:
        raise WemartError("the command `dagster` is not installed beside this Python")
    return found


def environment() -> dict[str, str]:
    """This process's environment; the instance is this folder's unless one is set."""
    found = dict(os.environ)
    if "DAGSTER_HOME" not in found and Path("dagster.yaml").exists():
        found["DAGSTER_HOME"] = str(Path.cwd())
    return found
