"""Calls a declared function with the arguments that its parameters name.

Mart functions and checks ask for what they need by parameter name, so a setting that a table does not name cannot
change its rows.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from wemart_assets.lake.errors import DeclarationError


def parameters(function: Callable[..., Any]) -> list[str]:
    """Names of a function's required parameters; those with a default are never injected."""
    return [p.name for p in inspect.signature(function).parameters.values() if p.default is inspect.Parameter.empty]


def call(
    function: Callable[..., Any],
    arguments: Mapping[str, Any],
    first: Any = None,
    lazy: Mapping[str, Callable[[], Any]] | None = None,
) -> Any:
    """Call the function with each parameter looked up by name; `first`, if given, is the first parameter's value.

    `lazy` has arguments that are computed only if a parameter names them.

    Raises:
        DeclarationError: a parameter matches no argument.
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
                f"expected one of {', '.join(sorted({*arguments, *(lazy or {})}))}"
            )
    return function(**given)
