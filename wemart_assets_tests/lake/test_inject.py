"""A declared function receives the arguments that its parameters name, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from wemart_assets.lake.errors import DeclarationError
from wemart_assets.lake.inject import call, parameters


def test_each_parameter_is_resolved_by_name() -> None:
    assert call(lambda gap, timezone: (gap, timezone), {"timezone": "UTC", "gap": 30}) == (30, "UTC")


def test_arguments_that_no_parameter_names_are_not_passed() -> None:
    assert call(lambda gap: gap, {"gap": 30, "timezone": "UTC"}) == 30


def test_the_first_parameter_receives_the_rows_whatever_its_name() -> None:
    assert call(lambda t, gap: (t, gap), {"t": "another", "gap": 30}, first="rows") == ("rows", 30)


def test_a_lazy_argument_is_computed_only_if_a_parameter_names_it() -> None:
    made: list[str] = []

    def published() -> str:
        made.append("published")
        return "rows"

    assert call(lambda gap: gap, {"gap": 1}, lazy={"published": published}) == 1
    assert made == []
    assert call(lambda published: published, {}, lazy={"published": published}) == "rows"
    assert made == ["published"]


def test_a_parameter_with_a_default_is_not_resolved() -> None:
    def holds(t: Any, member: str = "own") -> str:
        return member

    assert parameters(holds) == ["t"]
    assert call(holds, {"member": "other"}, first="rows") == "own"


def test_keyword_only_parameters_are_resolved_too() -> None:
    def function(*, gap: int) -> int:
        return gap

    assert call(function, {"gap": 30}) == 30


def test_an_unknown_parameter_is_named_along_with_the_known_ones() -> None:
    def broken(staged: Any, yesterday: Any) -> None: ...

    with pytest.raises(DeclarationError, match=r"broken: parameter 'yesterday' .*gap, published, staged"):
        call(broken, {"staged": 1, "gap": 2}, lazy={"published": lambda: 3})
