"""A declared function is given what its parameters name, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from wemart_assets.lake.errors import DeclarationError
from wemart_assets.lake.inject import call, parameters


def test_each_parameter_is_looked_up_by_its_name() -> None:
    assert call(lambda gap, timezone: (gap, timezone), {"timezone": "UTC", "gap": 30}) == (30, "UTC")


def test_what_no_parameter_names_is_not_passed() -> None:
    assert call(lambda gap: gap, {"gap": 30, "timezone": "UTC"}) == 30


def test_the_first_parameter_takes_the_row_table_whatever_its_name() -> None:
    assert call(lambda t, gap: (t, gap), {"t": "another", "gap": 30}, first="rows") == ("rows", 30)


def test_a_lazy_argument_is_made_only_if_a_parameter_names_it() -> None:
    made: list[str] = []

    def published() -> str:
        made.append("published")
        return "rows"

    assert call(lambda gap: gap, {"gap": 1}, lazy={"published": published}) == 1
    assert made == []
    assert call(lambda published: published, {}, lazy={"published": published}) == "rows"
    assert made == ["published"]


def test_a_bound_default_is_the_functions_own_business() -> None:
    def holds(t: Any, member: str = "own") -> str:
        return member

    assert parameters(holds) == ["t"]
    assert call(holds, {"member": "other"}, first="rows") == "own"


def test_keyword_only_parameters_are_looked_up_too() -> None:
    def function(*, gap: int) -> int:
        return gap

    assert call(function, {"gap": 30}) == 30


def test_an_unknown_parameter_is_named_with_what_there_is() -> None:
    def broken(staged: Any, yesterday: Any) -> None: ...

    with pytest.raises(DeclarationError, match=r"broken: parameter 'yesterday' .*gap, published, staged"):
        call(broken, {"staged": 1, "gap": 2}, lazy={"published": lambda: 3})
