"""Runs Dagster in a separate process, as a user would, and shows each table as it finishes."""

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
    """A Dagster run failed; the message says why, and where its full output is."""


def selection(tables: Iterable[str]) -> str:
    """Returns the Dagster selection of tables given by full name."""
    return ",".join(f'key:"{name.replace(".", "/")}"' for name in sorted(tables))


def materialize(
    select: str, days: Sequence[str], tables: Iterable[str], log: Path, show: Callable[[str], None]
) -> None:
    """Runs `dagster asset materialize` once over consecutive days; `days` is empty for tables without days.

    Tables are shown as they finish, those of `tables` in any case. The full output is appended to `log`.

    Raises:
        RunFailed: a table could not be published.
    """
    command = [dagster(), "asset", "materialize", "-m", DEFINITIONS, "--select", select]
    if days:
        first, last = days[0], days[-1]
        command += ["--partition", first] if first == last else ["--partition-range", f"{first}...{last}"]
    log.parent.mkdir(parents=True, exist_ok=True)
    reasons: dict[str, None] = {}
    waiting = set(tables)
    with (
        log.open("a") as output,
        subprocess.Popen(
            command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                output.write(line)
                if done := STEP_DONE.search(line):
                    seconds = float(done[2]) / (1000 if done[3] == "ms" else 1)
                    waiting.discard(name := done[1].replace("__", ".", 1))
                    show(f"  {name:<48}{seconds:6.1f} s")
                elif failed := STEP_FAILED.search(line):
                    show(f"  {failed[1].replace('__', '.', 1):<48}failed")
                elif failure := FAILURE.search(line):
                    reasons[failure[1]] = None
        except KeyboardInterrupt:
            # The terminal has interrupted Dagster as well, which notes in its history that the run was stopped.
            output.write(process.communicate()[0] or "")
            raise
    if process.returncode == 0:
        # Dagster may stop copying a step's output to ours before it has copied the last line.
        for name in sorted(waiting):
            show(f"  {name:<48}  done")
    else:
        raise RunFailed("\n".join([*reasons, f"the run failed; Dagster's full output is in {log}"]))


def dagster() -> str:
    """Returns the path of this Python's `dagster` command."""
    beside_python = Path(sys.executable).with_name("dagster")
    command = str(beside_python) if beside_python.exists() else shutil.which("dagster")
    if command is None:
        raise WemartError("the command `dagster` is not installed in this Python environment")
    return command


def environment() -> dict[str, str]:
    """Returns this process's environment; the current folder is DAGSTER_HOME unless one is set."""
    variables = dict(os.environ)
    if "DAGSTER_HOME" not in variables and Path("dagster.yaml").exists():
        variables["DAGSTER_HOME"] = str(Path.cwd())
    return variables
