"""What the cases of `test_every_rule_fails.py` are made of: a good world of a table, and changes that break it."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

Row = Mapping[str, Any]

DAY, DAY_BEFORE = "2024-03-05", "2024-03-04"


@dataclass(frozen=True)
class World:
    """Rows of a table on `DAY`, rows of the inputs that its laws read, and rows that were published before."""

    rows: tuple[Row, ...]
    inputs: Mapping[str, tuple[Row, ...]] = field(default_factory=dict)
    before: tuple[Row, ...] = ()


Change = Callable[[World], World]


@dataclass(frozen=True)
class Case:
    """A change of the good world that breaks `check`, and `also` those that cannot but break with it."""

    table: str
    check: str
    description: str
    change: Change
    also: frozenset[str] = frozenset()
    column: str | None = None

    def __str__(self) -> str:
        return f"{self.table}-{self.check}-{self.description}".replace(" ", "_")


def kst(clock: str, day: str = DAY) -> dt.datetime:
    """UTC instant of a wall clock in Seoul."""
    return dt.datetime.fromisoformat(f"{day}T{clock}+09:00").astimezone(dt.UTC)


def moved(world: World, days: int) -> World:
    """The same world that many days later: its dates, its instants, and the dates in its texts."""

    def value(found: Any) -> Any:
        if isinstance(found, dt.datetime | dt.date):
            return found + dt.timedelta(days=days)
        if isinstance(found, str):
            return re.sub(r"2024(-?)03\1(0[3-7])", later, found)
        if isinstance(found, int) and not isinstance(found, bool) and 1_700_000_000_000 < found < 1_720_000_000_000:
            return found + days * 86_400_000
        return found

    def later(match: re.Match[str]) -> str:
        date = dt.date(2024, 3, int(match[2])) + dt.timedelta(days=days)
        return date.isoformat().replace("-", match[1])

    def rows(of: tuple[Row, ...]) -> tuple[Row, ...]:
        return tuple({name: value(found) for name, found in row.items()} for row in of)

    return World(rows(world.rows), {name: rows(of) for name, of in world.inputs.items()}, rows(world.before))


def change_row(n: int, **values: Any) -> Change:
    return lambda world: replace(
        world, rows=tuple({**row, **values} if i == n else row for i, row in enumerate(world.rows))
    )


def change_rows(of: Callable[[Row], bool], **values: Any) -> Change:
    return lambda world: replace(world, rows=tuple({**row, **values} if of(row) else row for row in world.rows))


def add_row(like: int, **values: Any) -> Change:
    return lambda world: replace(world, rows=(*world.rows, {**world.rows[like], **values}))


def drop_row(n: int) -> Change:
    return lambda world: replace(world, rows=world.rows[:n] + world.rows[n + 1 :])


def add_input(name: str, **values: Any) -> Change:
    return lambda world: replace(world, inputs={**world.inputs, name: (*world.inputs[name], values)})


def drop_input(name: str, n: int) -> Change:
    return lambda world: replace(
        world, inputs={**world.inputs, name: world.inputs[name][:n] + world.inputs[name][n + 1 :]}
    )


def change_input(name: str, n: int, **values: Any) -> Change:
    return lambda world: replace(
        world,
        inputs={
            **world.inputs,
            name: tuple({**row, **values} if i == n else row for i, row in enumerate(world.inputs[name])),
        },
    )


def records(count: int) -> Change:
    """That many records have landed for the day."""
    return change_input("landed", 0, records=count)


def in_turn(*changes: Change) -> Change:
    def all_of(world: World) -> World:
        for change in changes:
            world = change(world)
        return world

    return all_of


def nothing_at_all(world: World) -> World:
    return World((), dict.fromkeys(world.inputs, ()))


def published_before(rows: int) -> Change:
    """That many rows were published on the day before."""
    return lambda world: replace(world, before=tuple({**world.rows[0], "part_date": DAY_BEFORE} for _ in range(rows)))


def case(
    table: str, check: str, description: str, *changes: Change, also: Sequence[str] = (), column: str | None = None
) -> Case:
    return Case(table, check, description, in_turn(*changes), frozenset(also), column)


def bad_value(table: str, column: str, value: Any, *more: Change, row: int = 0, also: Sequence[str] = ()) -> Case:
    """`domains` broken by one column's value."""
    return case(
        table, "domains", f"{column}={value}", change_row(row, **{column: value}), *more, also=also, column=column
    )


@dataclass(frozen=True)
class Domain:
    """What a module of this folder says of its tables.

    Attributes:
        good: by mart table, rows that pass every check; contracts are made from their types.
        cases: changes that break a check.
        null_breaks_too: what else breaks where a column is NULL that must be known, by table and column.
        lonely_row: the row whose value is made NULL, by table; the first if not said.
        good_values: for contracts, values of columns with rules, by (table, column).
        bad_values: for contracts, values that a rule does not allow, by (table, column, rule).
        of_the_run: laws that speak of a run as a whole and not of each of its days, by (table, law).
    """

    good: Mapping[str, World] = field(default_factory=dict)
    cases: Sequence[Case] = ()
    null_breaks_too: Mapping[str, Mapping[str, set[str]]] = field(default_factory=dict)
    lonely_row: Mapping[str, int] = field(default_factory=dict)
    good_values: Mapping[tuple[str, str], Any] = field(default_factory=dict)
    bad_values: Mapping[tuple[str, str, str], Sequence[Any]] = field(default_factory=dict)
    of_the_run: frozenset[tuple[str, str]] = frozenset()
