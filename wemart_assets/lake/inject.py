"""Calls a declared function with what its parameters name.

A mart's function, a rule and a law say what they need by their parameters; a setting that a table does not name
cannot change its rows.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from wemart_assets.lake.errors import DeclarationError


def parameters(function: Callable[..., Any]) -> list[str]:
    """Names of a function's required parameters (a bound default is the function's own business)."""
    return [p.name for p in inspect.signature(function).parameters.values() if p.default is inspect.Parameter.empty]


def call(
    function: Callable[..., Any],
    arguments: Mapping[str, Any],
    first: Any = None,
    lazy: Mapping[str, Callable[[], Any]] | None = None,
) -> Any:
    """The function's result, each parameter looked up by name; `first` goes to the first parameter if given.

    Raises:
        DeclarationError: a parameter names nothing that is there.
    """
    names = parameters(function)
    given: dict[str, Any] = {}
    if first is not None:
        given[names.pop(0)] = first
    for name in names:
        if name in arguments:
            given[name] = arguments[name]
        elif lazy and name in lazy:
            given[name] = lazy[name]()
        else:
            raise DeclarationError(
                f"{getattr(function, '__name__', function)}: parameter '{name}' is neither an input nor a setting; "
                f"there are {', '.join(sorted({*arguments, *(lazy or {})}))}"
            )
    return function(**given)
