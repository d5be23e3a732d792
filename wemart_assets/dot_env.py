"""The `.env` file of a folder, as Dagster's own commands read it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dotenv import dotenv_values

from wemart_assets.lake.errors import WemartError


@contextmanager
def dot_env(folder: Path) -> Iterator[None]:
    """Sets the variables of the folder's `.env`, if there is one, until the block ends.

    They take precedence over those of the shell, because they do in Dagster: a command has to agree with the Dagster
    that it starts in the same folder.

    Raises:
        WemartError: the file cannot be read.
    """
    path = folder / ".env"
    try:
        variables = {name: value for name, value in dotenv_values(path).items() if value is not None}
    except (OSError, UnicodeDecodeError) as error:
        raise WemartError(f"{path} cannot be read: {error}") from error
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
