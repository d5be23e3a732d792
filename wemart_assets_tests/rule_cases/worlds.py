"""Building blocks for the cases of `test_every_rule_fails.py`: a table's good world, and changes that break it."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from wemart_assets.lake.days import Period

Row = Mapping[str, Any]

DAY, DAY_BEFORE = "2024-03-05", "2024-03-04"


@dataclass(frozen=True)
class World:
    """Rows of a table, rows of the inputs that its table checks read, and rows published before.

    A daily table's rows are of `DAY`, those of a weekly or monthly table of the period that begins on `FIRST_PLACE`.
    """

    rows: tuple[Row, ...]
    inputs: Mapping[str, tuple[Row, ...]] = field(default_factory=dict)
    before: tuple[Row, ...] = ()


Change = Callable[[World], World]


@dataclass(frozen=True)
class Case:
    """A change of the good world that breaks `check`, and with it, unavoidably, the checks in `also`."""

    table: str
    check: str
    description: str
    change: Change
    also: frozenset[str] = frozenset()
    column: str | None = None

    def __str__(self) -> str:
        return f"{self.table}-{self.check}-{self.description}".replace(" ", "_")


def kst(clock: str, day: str = DAY) -> dt.datetime:
    """Returns the UTC instant of a wall clock time in Seoul."""
    return dt.datetime.fromisoformat(f"{day}T{clock}+09:00").astimezone(dt.UTC)


# The worlds of a run are far enough apart that none is in the trailing week, or the period before, of another.
DAYS_APART, WEEKS_APART, MONTHS_APART = 10, 3, 3
FIRST_PLACE = {Period.DAY: DAY, Period.WEEK: "2024-03-04", Period.MONTH: "2024-03-01"}


def date_of(date: dt.date, n: int, period: Period) -> dt.date:
    """A date of the first world, in the n-th world after it. Months have as many days as the shortest of them."""
    if period is Period.MONTH:
        months = date.year * 12 + date.month - 1 + n * MONTHS_APART
        return date.replace(year=months // 12, month=months % 12 + 1)
    return date + dt.timedelta(days=n * (7 * WEEKS_APART if period is Period.WEEK else DAYS_APART))


def moved(world: World, n: int, period: Period = Period.DAY) -> World:
    """Returns the world at the n-th place: its dates, its instants, and the dates in its strings are moved."""

    def moved_value(value: Any) -> Any:
        if isinstance(value, dt.datetime):
            return dt.datetime.combine(date_of(value.date(), n, period), value.timetz())
        if isinstance(value, dt.date):
            return date_of(value, n, period)
        if isinstance(value, str):
            return re.sub(r"2024(-?)(0[23])\1([0-3]\d)", later, value)
        if isinstance(value, int) and not isinstance(value, bool) and 1_700_000_000_000 < value < 1_720_000_000_000:
            at = dt.datetime.fromtimestamp(value // 1000, dt.UTC)
            return value + (date_of(at.date(), n, period) - at.date()).days * 86_400_000
        return value

    def later(match: re.Match[str]) -> str:
        date = date_of(dt.date(2024, int(match[2]), int(match[3])), n, period)
        return date.isoformat().replace("-", match[1])

    def moved_rows(rows: tuple[Row, ...]) -> tuple[Row, ...]:
        return tuple({name: moved_value(value) for name, value in row.items()} for row in rows)

    inputs = {name: moved_rows(rows) for name, rows in world.inputs.items()}
    return World(moved_rows(world.rows), inputs, moved_rows(world.before))


def change_row(n: int, **values: Any) -> Change:
    return lambda world: replace(
        world, rows=tuple({**row, **values} if i == n else row for i, row in enumerate(world.rows))
    )


def change_rows(matches: Callable[[Row], bool], **values: Any) -> Change:
    return lambda world: replace(world, rows=tuple({**row, **values} if matches(row) else row for row in world.rows))


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
    """Sets the number of records that have landed for the day."""
    return change_input("landed", 0, records=count)


def in_turn(*changes: Change) -> Change:
    def apply_all(world: World) -> World:
        for change in changes:
            world = change(world)
        return world

    return apply_all


def nothing_at_all(world: World) -> World:
    return World((), dict.fromkeys(world.inputs, ()))


def published_before(rows: int) -> Change:
    """Sets the number of rows that were published on the day before."""
    return lambda world: replace(world, before=tuple({**world.rows[0], "part_date": DAY_BEFORE} for _ in range(rows)))


def case(
    table: str, check: str, description: str, *changes: Change, also: Sequence[str] = (), column: str | None = None
) -> Case:
    return Case(table, check, description, in_turn(*changes), frozenset(also), column)


def bad_value(table: str, column: str, value: Any, *more: Change, row: int = 0, also: Sequence[str] = ()) -> Case:
    """A case in which the value of one column breaks `domains`."""
    return case(
        table, "domains", f"{column}={value}", change_row(row, **{column: value}), *more, also=also, column=column
    )


@dataclass(frozen=True)
class Domain:
    """The good worlds and cases that a module of this folder contributes for its tables.

    Attributes:
        good: for each mart, a world that passes every check; those of contracts are made from the column types.
        cases: changes, each of which breaks a check.
        null_breaks_too: the other checks that a NULL in a NOT NULL column breaks, by table and column.
        null_row: the row in which a value is set to NULL, by table; the first by default.
        good_values: for contracts, valid values of columns that have checks, by (table, column).
        bad_values: for contracts, values that a check does not allow, by (table, column, check).
        run_wide: table checks that judge a run as a whole instead of each of its days, as (table, check).
    """

    good: Mapping[str, World] = field(default_factory=dict)
    cases: Sequence[Case] = ()
    null_breaks_too: Mapping[str, Mapping[str, set[str]]] = field(default_factory=dict)
    null_row: Mapping[str, int] = field(default_factory=dict)
    good_values: Mapping[tuple[str, str], Any] = field(default_factory=dict)
    bad_values: Mapping[tuple[str, str, str], Sequence[Any]] = field(default_factory=dict)
    run_wide: frozenset[tuple[str, str]] = frozenset()
