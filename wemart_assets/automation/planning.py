"""Plans runs: which partitions to make, and in which order, after a delivery or on request.

A run covers consecutive days (weeks, months). A partition is made after the partitions that it reads: later in the same
run, or in a later run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache

from wemart_assets.lake.days import Period, period_days, periods_between, ranges
from wemart_assets.lake.errors import StoreUnavailable, WemartError
from wemart_assets.lake.mart import Mart
from wemart_assets.lake.session import Session
from wemart_assets.lake.table import Table
from wemart_assets.sources.contract import UNKNOWN_DAY

DAYS_PER_RUN = 31

Keys = Mapping[str, Set[str]]
"""Partition keys by full table name."""


@dataclass(frozen=True)
class Request:
    """A run: consecutive days (weeks, months) and the full names of the tables to make.

    The period is None for unpartitioned tables.
    """

    period: Period | None
    days: Sequence[str]
    tables: frozenset[str]


class Published:
    """Which partitions of the lake's tables are published; each table is looked up once, on first use.

    Attributes:
        unreadable: for each table whose log could not be read, by full name, the error.
    """

    def __init__(self, session: Session, partitions: Mapping[Period, Sequence[str]]) -> None:
        self._session = session
        self._partitions = partitions
        self._known: dict[str, Set[str] | None] = {}
        self.unreadable: dict[str, WemartError] = {}

    def of(self, table: Table) -> Set[str] | None:
        """The published partitions among the existing ones; None if the table's log cannot be read."""
        name = table.full_name
        if name not in self._known:
            only = table.only_partition
            existing = self._partitions[table.period] if only is None else [only]
            try:
                self._known[name] = self._session.published(table, existing)
            except StoreUnavailable:
                # It is the same for all tables, and each might take seconds to say so.
                raise
            except WemartError as error:
                self._known[name] = None
                self.unreadable[name] = error
        return self._known[name]

    def versions(self, table: Table) -> Mapping[str, int]:
        """The number of the last commit of each day, as far as it is known; empty if the log cannot be read."""
        try:
            return self._session.versions(table, self._partitions[table.period])
        except StoreUnavailable:
            raise
        except WemartError as error:
            self.unreadable[table.full_name] = error
            return {}


def affected(
    due: Keys, marts: Mapping[str, Mart], days: Sequence[str], wanted: Callable[[str, str], bool] = lambda *_: True
) -> dict[str, set[str]]:
    """The `due` partitions and all partitions downstream of them, by table.

    `days` are the existing business days: a stateful table is affected up to the latest of them. Partitions that are
    not `wanted` (table, partition) are left out, and so is what would follow from them.
    """
    result: dict[str, set[str]] = {name: set(keys) for name, keys in due.items() if keys}
    latest = max(days, default="")
    is_growing = bool(result)
    while is_growing:
        is_growing = False
        for name, declared in marts.items():
            before = result.get(name, set())
            keys = set(before)
            for mart_input in declared.inputs.values():
                if not mart_input.is_own(declared.table):
                    keys |= mart_input.affected(result.get(mart_input.table.full_name, set()), declared.table, days)
            if keys and declared.is_stateful:
                # Each partition is made from the previous one.
                keys |= set(periods_between(min(keys), latest, declared.table.period))
            keys = before | {key for key in keys - before if wanted(name, key)}
            if keys != before:
                result[name] = keys
                is_growing = True
    return result


def with_missing_inputs(
    todo: Keys,
    sources: Set[str],
    marts: Mapping[str, Mart],
    partitions: Mapping[Period, Sequence[str]],
    published: Published,
) -> dict[str, set[str]]:
    """`todo` and the unpublished partitions that it reads, which must run with it or before it.

    For a stateful table these are all days since the last published one. A week or month that is not over is not a
    partition yet, so nothing is missing for it; nothing is reported missing from a table that cannot be read.
    """
    days = partitions[Period.DAY]
    result = {name: set(keys) for name, keys in todo.items()}
    waiting = [(name, set(keys)) for name, keys in todo.items() if keys]
    while waiting:
        name, keys = waiting.pop()
        declared = marts.get(name)
        if declared is None or not (keys := keys & set(partitions[declared.table.period])):
            continue
        latest = period_days(max(keys), declared.table.period)[-1]
        for mart_input in declared.inputs.values():
            other = mart_input.table.full_name
            if other not in {*sources, *marts} or (published_keys := published.of(mart_input.table)) is None:
                continue
            only = mart_input.table.only_partition
            existing = set(days) if only is None else {only}
            # Later days are read only if they are published.
            reads = {
                key for key in mart_input.days(sorted(keys), declared.table, days[0]) if key == only or key <= latest
            }
            missing = (reads & existing) - published_keys - result.get(other, set())
            if missing:
                result.setdefault(other, set()).update(missing)
                waiting.append((other, missing))
    return result


def by_period(todo: Keys, marts: Mapping[str, Mart], period: Period) -> dict[str, Set[str]]:
    """The part of `todo` with this period; sources and unpartitioned tables count as daily."""
    return {name: keys for name, keys in todo.items() if period_of(name, marts) is period}


def period_of(name: str, marts: Mapping[str, Mart]) -> Period:
    """The period that a partition of the table covers."""
    return marts[name].table.period if name in marts else Period.DAY


def in_order(todo: Keys, marts: Mapping[str, Mart], partitions: Set[str], period: Period) -> list[Request]:
    """The runs that make the partitions in `todo`, as far as they are in `partitions`.

    Days run in order, a limited number per run. A table that reads days after its own runs when all of those are made,
    and so does everything downstream of it.
    """
    phase = _phases(marts)
    runs: list[Request] = []
    for number in sorted({phase(name) for name in todo}):
        phase_runs = _day_by_day({n: k for n, k in todo.items() if phase(n) == number}, partitions, period)
        if runs and phase_runs and runs[-1].days == phase_runs[0].days:
            # A run makes all days of one table before the next table.
            following = phase_runs.pop(0)
            runs[-1] = Request(period, following.days, runs[-1].tables | following.tables)
        runs += phase_runs
    return runs


def _phases(marts: Mapping[str, Mart]) -> Callable[[str], int]:
    """For each table, how many of the tables on its longest upstream path read days after their own."""

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
        Request(period, days, frozenset(tables[days[0]]))
        for consecutive in ranges(sorted(tables), DAYS_PER_RUN, period)
        for days in _split_by_tables(consecutive, tables)
    ]


def _split_by_tables(days: Sequence[str], tables: Mapping[str, set[str]]) -> list[list[str]]:
    """`days` divided where the set of tables changes."""
    groups: list[list[str]] = []
    for day in days:
        if groups and tables[groups[-1][-1]] == tables[day]:
            groups[-1].append(day)
        else:
            groups.append([day])
    return groups


def unpartitioned(todo: Keys) -> list[Request]:
    """The run of the unpartitioned tables, which any day may read and which are made before all days."""
    names = frozenset(name for name, keys in todo.items() if UNKNOWN_DAY in keys)
    return [Request(None, [UNKNOWN_DAY], names)] if names else []
