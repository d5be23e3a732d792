"""The progress of long work: a bar below the lines on a terminal, only the lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click


@contextmanager
def progress(total: int) -> Iterator[Callable[[str], None]]:
    """Yields a function that prints a line and counts it as one of `total` parts of the work."""
    if not sys.stdout.isatty():
        yield click.echo
        return
    # Imported here: most commands show no bar.
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

    with Progress(BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), transient=True) as bar:
        work = bar.add_task("", total=total)

        def done(line: str) -> None:
            bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
            bar.advance(work)

        yield done
