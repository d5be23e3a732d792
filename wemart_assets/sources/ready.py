"""Ready mappings: entries of `sources.yaml` for widespread formats, which come with the package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

FOLDER = "mappings"


@dataclass(frozen=True)
class ReadyMapping:
    """A mapping that comes with the package.

    Attributes:
        description: what the files are.
        entries: the entry of each source that can be made from them, by the source's full name.
    """

    name: str
    description: str
    entries: Mapping[str, Mapping[str, Any]]


def ready_names() -> list[str]:
    """The names of all ready mappings."""
    names = (file.name for file in (files("wemart_assets") / FOLDER).iterdir())
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


@cache
def ready_mapping(name: str) -> ReadyMapping:
    """The ready mapping of a name from `ready_names`."""
    content = yaml.safe_load((files("wemart_assets") / FOLDER / f"{name}.yaml").read_text("utf-8"))
    return ReadyMapping(name, content["description"], content["sources"])


def ready_entry(name: str, source: str) -> dict[str, Any]:
    """The entry of a source in a ready mapping.

    Raises:
        ValueError: there is no such mapping, or it has no entry for the source.
    """
    if name not in ready_names():
        raise ValueError(f"use: unknown mapping '{name}'; expected one of {', '.join(ready_names())}")
    entries = ready_mapping(name).entries
    if source not in entries:
        raise ValueError(f"use: the mapping '{name}' is for {' and '.join(entries)}")
    return dict(entries[source])
