"""The catalog: every mart, view and contract that a module of the package declares.

A new table is one new file, with no change here. The file is named after its table, so that a table can be found
without importing the others. Importing this module imports none of them.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

import wemart_assets.marts
import wemart_assets.sources.contracts
from wemart_assets.lake.errors import DeclarationError

if TYPE_CHECKING:
    from wemart_assets.lake.between import Between
    from wemart_assets.lake.mart import Mart
    from wemart_assets.lake.table import Table
    from wemart_assets.lake.view import View
    from wemart_assets.sources.contract import Contract

M = TypeVar("M")


@cache
def _module_names(package: ModuleType) -> tuple[str, ...]:
    return tuple(sorted(m.name for m in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")))


def _modules(package: ModuleType) -> list[ModuleType]:
    return [importlib.import_module(name) for name in _module_names(package)]


@cache
def marts() -> dict[str, Mart]:
    """Returns all marts by full name."""
    from wemart_assets.lake.mart import Mart

    return _of_kind(Mart)


def _of_kind(kind: type[M]) -> dict[str, M]:
    declared = [item for module in _modules(wemart_assets.marts) for item in declarations(module).items()]
    return {name: value for name, value in declared if isinstance(value, kind)}


def declarations(module: ModuleType) -> dict[str, Mart | View]:
    """Returns the marts and views that a module declares, by full name.

    Raises:
        DeclarationError: one of them is not named like the module.
    """
    from wemart_assets.lake.mart import Mart
    from wemart_assets.lake.view import View

    declared = {}
    for value in vars(module).values():
        if isinstance(value, Mart | View) and value.function.__module__ == module.__name__:
            if value.table.name != module.__name__.rpartition(".")[2]:
                raise DeclarationError(
                    f"{value.table.full_name} is declared in {module.__name__}, but SQL finds a table by the name of"
                    f" its file: rename the file to {value.table.name}.py"
                )
            declared[value.table.full_name] = value
    return declared


def _named(full_name: str) -> Mart | View | None:
    """Returns the mart or view of that name, importing only the file named after it."""
    name = full_name.rpartition(".")[2]
    for module in _module_names(wemart_assets.marts):
        if module.rpartition(".")[2] == name:
            declared = declarations(importlib.import_module(module)).get(full_name)
            if declared is not None:
                return declared
    return None


@cache
def views() -> dict[str, View]:
    """Returns all views by full name."""
    from wemart_assets.lake.view import View

    return _of_kind(View)


def functions(settings: Mapping[str, Any]) -> list[Between]:
    """Returns the table functions over a range of days."""
    from wemart_assets.lake.between import Between, is_over_any_range

    return [Between(declared, settings) for declared in marts().values() if is_over_any_range(declared)]


@cache
def groups() -> dict[str, str]:
    """Returns the domain (the folder) of each mart and view, by full name."""
    marts_and_views: dict[str, Mart | View] = {**marts(), **views()}
    return {name: declared.function.__module__.split(".")[-2] for name, declared in marts_and_views.items()}


@cache
def contracts() -> dict[str, Contract]:
    """Returns all source contracts by full name."""
    from wemart_assets.sources.contract import Contract

    declared: dict[str, Contract] = {}
    for module in _modules(wemart_assets.sources.contracts):
        declared |= {value.full_name: value for value in vars(module).values() if isinstance(value, Contract)}
    return declared


def unknown_time_tables() -> dict[str, Table]:
    """Returns the tables of source rows whose time is unknown, by full name."""
    return {table.full_name: table for c in contracts().values() if (table := c.unknown_time_table) is not None}


def tables() -> dict[str, Table]:
    """Returns all source and mart tables by full name."""
    sources = {name: contract.table for name, contract in contracts().items()}
    return sources | unknown_time_tables() | {name: declared.table for name, declared in marts().items()}


def quarantines() -> dict[str, Table]:
    """Returns the tables of rows that broke a contract, by full name: those of published days and of rejected ones."""
    return {table.full_name: table for c in contracts().values() for table in (c.quarantine, c.rejected)}


def records() -> dict[str, Table]:
    """Returns the tables that runs append to, by full name."""
    from wemart_assets.lake.audit_results import RESULTS

    return {RESULTS.full_name: RESULTS}


def each_function(settings: Mapping[str, Any]) -> Iterator[Between]:
    """Like `functions`, but imports nothing until the first one is requested."""
    yield from functions(settings)


class _ByName(Mapping[str, M]):
    """Declarations by full name, each imported when it is looked up."""

    def __init__(self, load: Callable[[str], M | None], load_all: Callable[[], Mapping[str, M]]) -> None:
        self._load = load
        self._load_all = load_all

    def __getitem__(self, full_name: str) -> M:
        if (declared := self._load(full_name)) is None:
            raise KeyError(full_name)
        return declared

    def __iter__(self) -> Iterator[str]:
        return iter(self._load_all())

    def __len__(self) -> int:
        return len(self._load_all())


def _table_named(full_name: str) -> Table | None:
    from wemart_assets.lake.mart import Mart

    declared = _named(full_name)
    if isinstance(declared, Mart):
        return declared.table
    sources = {name: contract.table for name, contract in contracts().items()}
    return (sources | unknown_time_tables() | quarantines() | records()).get(full_name)


def _view_named(full_name: str) -> View | None:
    from wemart_assets.lake.view import View

    declared = _named(full_name)
    return declared if isinstance(declared, View) else None


TABLES_BY_NAME = _ByName(_table_named, lambda: tables() | quarantines() | records())
VIEWS_BY_NAME = _ByName(_view_named, views)
