"""Declaration of a mart table: the table, its inputs, and the function that computes it from them.

Importing a declaration reads no settings and does not need Dagster; `lake/mart_asset.py` turns it into an asset.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ibis.expr.types as ir

from wemart_assets.lake.days import period_days
from wemart_assets.lake.errors import DeclarationError, MissingPartition
from wemart_assets.lake.inject import parameters
from wemart_assets.lake.inputs import Input, check_input
from wemart_assets.lake.session import Session
from wemart_assets.lake.table import Table

# What functions and checks can ask for beside inputs and settings.
RESERVED = frozenset({"days", "day_columns", "staged", "published"})


@dataclass(frozen=True)
class Mart:
    """A declared mart table. Calling it calls its function."""

    table: Table
    inputs: Mapping[str, Input]
    function: Callable[..., ir.Table]

    def resolve(self, settings: Mapping[str, Any]) -> Mart:
        """The mart with its inputs resolved for these settings."""
        return replace(self, inputs={name: given.resolve(settings) for name, given in self.inputs.items()})

    def __call__(self, *args: Any, **kwargs: Any) -> ir.Table:
        return self.function(*args, **kwargs)

    @property
    def is_stateful(self) -> bool:
        """Whether each partition is computed from the table's own earlier partitions."""
        return any(given.is_own(self.table) for given in self.inputs.values())


def mart(table: Table, **inputs: Input) -> Callable[[Callable[..., ir.Table]], Mart]:
    """Declare a mart table. The function's parameters are inputs and settings by name, `days` and `day_columns`.

    An input may also serve only a table check. `day_columns` separate the rows of different days: a function that
    groups by them instead of the day itself can also compute the table over a range of days (`lake/between.py`).

    Raises:
        DeclarationError: an input is not a parameter of the function or of a table check, cannot be read that way, or
            has the name of another argument.
    """

    def declare(function: Callable[..., ir.Table]) -> Mart:
        if taken := sorted(set(inputs) & RESERVED):
            raise DeclarationError(
                f"{table.full_name}: no input can be named {' or '.join(taken)}; functions and checks find something "
                f"else under that name"
            )
        for given in inputs.values():
            check_input(given, table)
        parameter_names = {*parameters(function)}
        parameter_names |= {name for check in table.table_checks for name in parameters(check.broken)}
        if unread := sorted(set(inputs) - parameter_names):
            raise DeclarationError(
                f"{table.full_name}: the inputs {unread} are not parameters of its function or of its table checks"
            )
        return Mart(table, inputs, function)

    return declare


def read_input(session: Session, reader: Table, given: Input, days: Sequence[str], first_day: str) -> ir.Table:
    """The rows of the input's partitions that a run of the reader's `days` reads.

    Raises:
        MissingPartition: one of them, on or after the first day, was never published; names those to run first.
    """
    wanted = given.days(days, reader, first_day)
    published = session.published(given.table, wanted)
    # Days after the reader's own period are read only if they are there.
    last_required = period_days(days[-1], reader.period)[-1] if given.last > 0 else max(wanted, default="")
    missing = [day for day in wanted if day not in published and day <= last_required]
    if missing:
        what = "its own partition" if given.is_own(reader) else f"{given.table.full_name}, which has no partition"
        never = ", which was never published" if given.is_own(reader) else ""
        raise MissingPartition(
            f"{reader.full_name}: {days[0]} to {days[-1]} reads {what} {', '.join(missing[:5])}"
            f"{' and more' if len(missing) > 5 else ''}{never}. Run it first: wemart run"
            f"{'' if given.table.only_partition else f' --from {missing[0]} --to {missing[-1]}'}"
            f" {'/'.join(given.table.key)}"
        )
    return session.read(given.table, [day for day in wanted if day in published])
