"""Which runs make partitions anew, in which order: for what has landed, and for what a person asks for.

A run is of consecutive days (weeks, months). Whatever reads a partition is made after it: later in the same run, or in
a later run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache

from wemart_assets.lake.days import Period, period_days, ranges, shift
from wemart_assets.lake.engine import Session
from wemart_assets.lake.errors import WemartError
from wemart_assets.lake.mart import Mart
from wemart_assets.lake.table import Table
from wemart_assets.sources.contract import UNKNOWN_DAY

DAYS_A_RUN = 31

Keys = Mapping[str, Set[str]]
"""Partitions of tables, by full name."""


@dataclass(frozen=True)
class Request:
    """A run: consecutive days (weeks, months) and the tables, by full name, that it makes anew.

    Of tables that have no days the period is None.
    """

    period: Period | None
    days: Sequence[str]
    tables: frozenset[str]


class Published:
    """Which partitions of the lake's tables are published, looked up once for each table that is asked for.

    Attributes:
        unreadable: why a table's log cannot be read, by full name, of those that were asked for.
    """

    def __init__(self, session: Session, partitions: Mapping[Period, Sequence[str]]) -> None:
        self._session = session
        self._partitions = partitions
        self._known: dict[str, Set[str] | None] = {}
        self.unreadable: dict[str, WemartError] = {}

    def of(self, table: Table) -> Set[str] | None:
        """The published partitions among those that there are; None where the table's log cannot be read."""
        name = table.full_name
        if name not in self._known:
            only = table.only_partition
            asked = self._partitions[table.period] if only is None else [only]
            try:
                self._known[name] = self._session.published(table, asked)
            except WemartError as error:
                self._known[name] = None
                self.unreadable[name] = error
        return self._known[name]

    def versions(self, table: Table) -> Mapping[str, int]:
        """For each day that was published lately, the number of the last commit that did; none if unreadable."""
        try:
            return self._session.versions(table)
        except WemartError as error:
            self.unreadable[table.full_name] = error
            return {}


def affected(
    due: Keys, marts: Mapping[str, Mart], days: Sequence[str], wanted: Callable[[str, str], bool] = lambda *_: True
) -> dict[str, set[str]]:
    """The tables that follow from partitions of others, these included, with the partitions of theirs that do.

    `days` are the business days there are: a table that carries its state on is affected up to the latest of them.
    What is not `wanted` (table, partition) is left out, and nothing follows from it.
    """
    found: dict[str, set[str]] = {name: set(keys) for name, keys in due.items() if keys}
    latest = max(days, default="")
    grown = bool(found)
    while grown:
        grown = False
        for name, declared in marts.items():
            before = found.get(name, set())
            keys = set(before)
            for given in declared.inputs.values():
                if not given.is_own(declared.table):
                    keys |= given.affected(found.get(given.table.full_name, set()), declared.table, days)
            if keys and declared.is_stateful:
                # Each partition is made from the one before.
                keys |= set(_from(min(keys), latest, declared.table.period))
            keys = before | {key for key in keys - before if wanted(name, key)}
            if keys != before:
                found[name] = keys
                grown = True
    return found


def with_what_is_missing(
    todo: Keys,
    sources: Set[str],
    marts: Mapping[str, Mart],
    partitions: Mapping[Period, Sequence[str]],
    published: Published,
) -> dict[str, set[str]]:
    """`todo` with what its partitions read and was never published: it has to run with them, or before them.

    For a table that carries its state on these are all its days since the last one that is there. A week or month that
    is not over is no partition yet, and nothing is missing for it; nor is anything of a table that cannot be read.
    """
    days = partitions[Period.DAY]
    found = {name: set(keys) for name, keys in todo.items()}
    waiting = [(name, set(keys)) for name, keys in todo.items() if keys]
    while waiting:
        name, keys = waiting.pop()
        declared = marts.get(name)
        if declared is None or not (keys := keys & set(partitions[declared.table.period])):
            continue
        latest = period_days(max(keys), declared.table.period)[-1]
        for given in declared.inputs.values():
            other = given.table.full_name
            if other not in {*sources, *marts} or (there := published.of(given.table)) is None:
                continue
            only = given.table.only_partition
            possible = set(days) if only is None else {only}
            # What comes after the day is read as far as it is there.
            reads = {key for key in given.days(sorted(keys), declared.table, days[0]) if key == only or key <= latest}
            missing = (reads & possible) - there - found.get(other, set())
            if missing:
                found.setdefault(other, set()).update(missing)
                waiting.append((other, missing))
    return found


def by_period(todo: Keys, marts: Mapping[str, Mart], period: Period) -> dict[str, Set[str]]:
    """The part of `todo` that is tables of the period; sources and what has no days count among those by day."""
    return {name: keys for name, keys in todo.items() if period_of(name, marts) is period}


def period_of(name: str, marts: Mapping[str, Mart]) -> Period:
    """How much time a partition of the table covers."""
    return marts[name].table.period if name in marts else Period.DAY


def in_order(todo: Keys, marts: Mapping[str, Mart], partitions: Set[str], period: Period) -> list[Request]:
    """The runs that make these tables' partitions, as far as they are among those that there are.

    Days are run in their order, a few at a time. A table that reads days after its own is run when all of those have
    been, and so is what follows from it.
    """
    phase = _phases(marts)
    runs: list[Request] = []
    for number in sorted({phase(name) for name in todo}):
        of_phase = _day_by_day({n: k for n, k in todo.items() if phase(n) == number}, partitions, period)
        if runs and of_phase and runs[-1].days == of_phase[0].days:
            # A run makes all its days of one table before the next table.
            same = of_phase.pop(0)
            runs[-1] = Request(period, same.days, runs[-1].tables | same.tables)
        runs += of_phase
    return runs


def _phases(marts: Mapping[str, Mart]) -> Callable[[str], int]:
    """How many tables, one after the other, read days after their own on the way to a table."""

    @cache
    def phase(name: str) -> int:
        if name not in marts:
            return 0
        inputs = [i for i in marts[name].inputs.values() if not i.is_own(marts[name].table)]
        return max((phase(i.table.full_name) + (i.last > 0) for i in inputs), default=0)

    return phase


def _day_by_day(todo: Keys, partitions: Set[str], period: Period) -> list[Request]:
    tables: dict[str, set[str]] = {}
    for name, keys in todo.items():
        for key in keys & partitions:
            tables.setdefault(key, set()).add(name)
    return [
        Request(period, alike, frozenset(tables[alike[0]]))
        for consecutive in ranges(sorted(tables), DAYS_A_RUN, period)
        for alike in _alike(consecutive, tables)
    ]


def _alike(days: Sequence[str], tables: Mapping[str, set[str]]) -> list[list[str]]:
    found: list[list[str]] = []
    for day in days:
        if found and tables[found[-1][-1]] == tables[day]:
            found[-1].append(day)
        else:
            found.append([day])
    return found


def _from(first: str, latest: str, period: Period) -> list[str]:
    """The partitions from `first` on, none beyond `latest`."""
    found = [first]
    while (following := shift(found[-1], 1, period)) <= latest:
        found.append(following)
    return found


def unpartitioned(todo: Keys) -> list[Request]:
    """The run of those tables that have no days: they are read by any day, and made before all."""
    names = frozenset(name for name, keys in todo.items() if UNKNOWN_DAY in keys)
    return [Request(None, [UNKNOWN_DAY], names)] if names else []
