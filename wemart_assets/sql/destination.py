"""Where results are written: to standard output, or to a file that appears complete or not at all."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from wemart_assets.lake.errors import WemartError
from wemart_assets.lake.location import Location
from wemart_assets.text import visible


def check_output(output: Path, places: Mapping[str, Location]) -> None:
    """Checks that the file can be written where it is to be; `places` are the mart's own, by name.

    Raises:
        WemartError: its folder does not exist, or is in one of the places.
    """
    target = output.resolve()
    if not target.parent.is_dir():
        raise WemartError(f"{output} cannot be written: there is no folder {target.parent}; create it first")
    for name, place in places.items():
        if place.is_local and target.is_relative_to(place.path.resolve()):
            raise WemartError(f"{output} is in the {name} folder, where results are never written")


@contextmanager
def sink(output: Path | None) -> Iterator[IO[bytes]]:
    """Opens the file or standard output for the rows. A file appears complete or not at all.

    Raises:
        WemartError: it cannot be written.
    """
    if output is None:
        stdout = sys.stdout.buffer
        try:
            yield cast(IO[bytes], _Terminal(stdout)) if sys.stdout.isatty() else stdout
            stdout.flush()
        except BrokenPipeError:
            # The reader has stopped (`| head`). What is still buffered must not fail again at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())
        except OSError as error:
            raise WemartError(f"standard output cannot be written: {error.strerror or error}") from error
        return
    target = output.resolve()
    # A device or a pipe is written directly: a file cannot be moved into its place.
    part = target if target.exists() and not target.is_file() else target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with part.open("wb") as opened:
            yield opened
        if part != target:
            part.replace(target)
    except OSError as error:
        raise WemartError(f"{output} cannot be written: {error.strerror or error}") from error
    finally:
        if part != target:
            part.unlink(missing_ok=True)


class _Terminal:
    """A terminal on which control characters in values are shown, not obeyed."""

    def __init__(self, stdout: IO[bytes]) -> None:
        self._stdout = stdout

    def write(self, written: bytes) -> Any:
        return self._stdout.write(visible(bytes(written).decode(errors="replace"), keep="\n\t").encode())
