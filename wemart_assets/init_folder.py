"""`wemart init`: the files of a folder in which the installed commands work, without a checkout of the project.

They are the files of `templates/`; those for Dagster are the same as in a checkout.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from string import Template

from wemart_assets.lake.errors import WemartError

# The files of the folder, and of which template each is made.
FILES = {
    "dagster.yaml": "dagster.yaml",
    "workspace.yaml": "workspace.yaml",
    "sources.yaml": "sources.yaml",
    ".env": "env",
}


class CannotInit(WemartError):
    """The folder cannot be written; the message says what to do."""


def write_folder(folder: Path) -> list[Path]:
    """Writes the files, and the folder if there is none; changes no existing file. Returns the files' paths.

    Raises:
        CannotInit: one of the files is already there, or the folder cannot be written.
    """
    if present := [name for name in FILES if (folder / name).exists()]:
        raise CannotInit(
            f"{folder} already has {', '.join(present)}, and nothing is overwritten; remove what you do not need, or"
            " name another folder"
        )
    templates = files("wemart_assets") / "templates"
    values = {"home": quoted(str(folder.absolute()))}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, template in FILES.items():
            text = (templates / template).read_text()
            with (folder / name).open("x") as file:
                file.write(Template(text).substitute(values) if name == ".env" else text)
    except OSError as error:
        raise CannotInit(f"{folder} cannot be written: {error.strerror}; name another folder") from error
    return [folder / name for name in FILES]


def quoted(value: str) -> str:
    """The value as a `.env` file writes it."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
