"""Which tables there are: every mart and contract that a module of the package declares.

A new table is one new file; nothing here is edited for it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from types import ModuleType
from typing import Any, TypeVar

import wemart_assets.marts
import wemart_assets.sources.contracts
from wemart_assets.lake.between import Between, is_over_any_range
from wemart_assets.lake.mart import Mart
from wemart_assets.lake.table import Table
from wemart_assets.lake.view import View
from wemart_assets.sources.contract import Contract

M = TypeVar("M", Mart, View)


def _modules(package: ModuleType) -> list[ModuleType]:
    names = sorted(m.name for m in pkgutil.walk_packages(package.__path__, f"{package.__name__}."))
    return [importlib.import_module(name) for name in names]


@cache
def marts() -> dict[str, Mart]:
    """All mart tables by full name."""
    return _declared(Mart)


def _declared(kind: type[M]) -> dict[str, M]:
    found: dict[str, M] = {}
    for module in _modules(wemart_assets.marts):
        for value in vars(module).values():
            if isinstance(value, kind) and value.function.__module__ == module.__name__:
                found[value.table.full_name] = value
    return found


@cache
def views() -> dict[str, View]:
    """All views by full name."""
    return _declared(View)


def functions(settings: Mapping[str, Any]) -> list[Between]:
    """The table functions over a range of days."""
    return [Between(declared, settings) for declared in marts().values() if is_over_any_range(declared)]


@cache
def groups() -> dict[str, str]:
    """The domain (the folder) of each mart table and view, by full name."""
    everything: dict[str, Mart | View] = {**marts(), **views()}
    return {name: declared.function.__module__.split(".")[-2] for name, declared in everything.items()}


@cache
def contracts() -> dict[str, Contract]:
    """All source contracts by full name, but for those whose table is a mart of ours."""
    found: dict[str, Contract] = {}
    for module in _modules(wemart_assets.sources.contracts):
        found |= {v.full_name: v for v in vars(module).values() if isinstance(v, Contract)}
    return found


def unknown_time_tables() -> dict[str, Table]:
    """The tables of source rows whose time is unknown, by full name."""
    return {table.full_name: table for c in contracts().values() if (table := c.unknown_time_table) is not None}


def tables() -> dict[str, Table]:
    """All source and mart tables by full name."""
    found = {name: contract.table for name, contract in contracts().items()}
    return found | unknown_time_tables() | {name: declared.table for name, declared in marts().items()}


def quarantines() -> dict[str, Table]:
    """The tables of the rows that broke a contract, by full name: of published days, and of refused ones."""
    return {table.full_name: table for c in contracts().values() for table in (c.quarantine, c.rejected)}
