"""What a person asks to be run: `wemart run`. Which runs these are, each of tables of one period, and their order."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from wemart_assets import catalog
from wemart_assets.automation.planning import (
    Published,
    Request,
    affected,
    by_period,
    in_order,
    period_of,
    unpartitioned,
    with_what_is_missing,
)
from wemart_assets.lake.days import Period, days_between, period_days, period_start
from wemart_assets.lake.errors import WemartError
from wemart_assets.lake.mart import Mart
from wemart_assets.lake.table import Table
from wemart_assets.partitions import partitions_from
from wemart_assets.settings import Settings
from wemart_assets.sources.contract import UNKNOWN_DAY
from wemart_assets.sources.external import external_tables


class CannotBeRun(WemartError):
    """What was asked for is no table, or no partition."""


@dataclass(frozen=True)
class Graph:
    """All that can be named: tables of ours by full name, and the partitions that there are of each period.

    Attributes:
        sources: those that are made from landing files, with those of their rows of an unknown time.
        externals: those that someone else writes.
        last_day: the last partition that there will ever be by the settings, if any.
    """

    marts: Mapping[str, Mart]
    sources: Mapping[str, Table]
    externals: Set[str]
    views: Set[str]
    partitions: Mapping[Period, Sequence[str]]
    last_day: str | None = None

    def table(self, name: str) -> Table:
        return self.marts[name].table if name in self.marts else self.sources[name]


@dataclass(frozen=True)
class Plan:
    """The runs, in their order, and what a person should know of that which is not among them."""

    requests: Sequence[Request]
    remarks: Sequence[str]


def graph_of(settings: Settings) -> Graph:
    """The graph under these settings, with the partitions that there are now."""
    externals = external_tables(settings, catalog.contracts()).keys()
    marts = {name: declared.resolve(settings.for_tables()) for name, declared in catalog.marts().items()}
    partitions = partitions_from(settings.first_day, settings.timezone, settings.last_day)
    return Graph(
        marts,
        {name: table for name, table in catalog.tables().items() if name not in {*marts, *externals}},
        externals,
        catalog.views().keys(),
        {period: of.get_partition_keys() for period, of in partitions.items()},
        None if settings.last_day is None else settings.last_day.isoformat(),
    )


def plan_by_hand(
    graph: Graph,
    names: Sequence[str],
    first: str | None,
    last: str | None,
    published: Published,
    downstream: bool = False,
    upstream: bool = False,
) -> Plan:
    """The runs of these tables from `first` to `last`: of weeks and months those that these days lie in.

    Without `last` up to the last day that one of them is published for. With `downstream` what follows from these
    partitions is made anew: on these days, and wherever it was published before. With `upstream` what they are made of
    is made on the same days, and on other days where it is missing.

    Raises:
        CannotBeRun: a name is no table, or a day no partition; says which there are.
    """
    chosen = list(dict.fromkeys(_resolved(graph, name) for name in names))
    remarks = [f"{_key(n)} is a view: there is nothing to run" for n in chosen if n in graph.views]
    remarks += [f"{_key(n)} is written by someone else and is not run here" for n in chosen if n in graph.externals]
    dated = [n for n in chosen if n not in graph.views and not _has_no_days(graph, n)]
    runnable = [n for n in chosen if n not in graph.views and n not in graph.externals]
    days: list[str] = []
    if set(dated) - graph.externals or (dated and downstream):
        days = _days(graph, [n for n in dated if n not in graph.externals], first, last, published)
    # Of tables of someone else only what follows from them can be run.
    due = {name: _partitions(graph, name, days) for name in (*runnable, *(graph.externals & set(dated)))}
    for name in dated:
        remarks += [f"{_key(name)}: {text}" for text in _no_partitions(graph, name, days)]
    wanted: dict[str, set[str]] = {name: set(keys) for name, keys in due.items()}
    if upstream:
        for name, keys in _upstream(graph, due, set(days), published).items():
            wanted.setdefault(name, set()).update(keys)
    if downstream:
        there = {period: set(keys) for period, keys in graph.partitions.items()}

        def follows(name: str, key: str) -> bool:
            declared = graph.marts[name]
            if key not in there[declared.table.period]:
                return False
            if set(days) >= set(period_days(key, declared.table.period)):
                return True
            made = published.of(declared.table)
            return made is not None and key in made

        for name, found in affected(due, graph.marts, graph.partitions[Period.DAY], follows).items():
            wanted.setdefault(name, set()).update(found)
    todo = {name: keys for name, keys in wanted.items() if keys and name not in graph.externals}
    requests = unpartitioned(todo)
    for period, existing in graph.partitions.items():
        requests += in_order(by_period(todo, graph.marts, period), graph.marts, set(existing), period)
    if not requests and not remarks:
        raise CannotBeRun("there is nothing to run")
    return Plan(requests, remarks)


def _resolved(graph: Graph, name: str) -> str:
    """The full name of a table that is named `database/table` or `database.table`."""
    known = {*graph.marts, *graph.sources, *graph.externals, *graph.views}
    full = name.replace("/", ".")
    if full in known:
        return full
    by_table: dict[str, list[str]] = {}
    for one in known:
        by_table.setdefault(one.partition(".")[2], []).append(one)
    near = [*by_table.get(full, ()), *difflib.get_close_matches(full, sorted(known), n=3)]
    for table in difflib.get_close_matches(full.rpartition(".")[2], sorted(by_table), n=2):
        near += sorted(by_table[table])
    meant = " or ".join(map(_key, list(dict.fromkeys(near))[:3]))
    raise CannotBeRun(
        f"there is no table '{name}'; "
        + (f"did you mean {meant}?" if near else "`wemart tables` lists those there are")
    )


def _key(name: str) -> str:
    return name.replace(".", "/")


def _has_no_days(graph: Graph, name: str) -> bool:
    known = graph.sources.get(name)
    return (known is not None and known.only_partition is not None) or name in catalog.unknown_time_tables()


def _days(graph: Graph, tables: Sequence[str], first: str | None, last: str | None, published: Published) -> list[str]:
    existing = graph.partitions[Period.DAY]
    if first is None:
        raise CannotBeRun("which days? Say --from DAY, and --to DAY if it should not go on to the last published one")
    if not existing:
        raise CannotBeRun("no day is over yet: there are no partitions since WEMART_FIRST_DAY")
    if last is None:
        # The last day on which there is anything of them.
        ends = [
            period_days(max(made), graph.table(name).period)[-1]
            for name in tables
            if (made := published.of(graph.table(name)))
        ]
        last = min(max([first, *ends]), max(first, existing[-1]))
    if last < first:
        raise CannotBeRun(f"{last} lies before {first}")
    for day in (first, last):
        if day < existing[0]:
            raise CannotBeRun(f"{day} lies before the first day, {existing[0]} (WEMART_FIRST_DAY)")
        if day > existing[-1]:
            why = "the last day (WEMART_LAST_DAY)" if existing[-1] == graph.last_day else "the last day that is over"
            raise CannotBeRun(f"there is no partition {day}: {existing[-1]} is {why}")
    return days_between(first, last)


def _partitions(graph: Graph, name: str, days: Sequence[str]) -> set[str]:
    if _has_no_days(graph, name):
        return {UNKNOWN_DAY}
    period = period_of(name, graph.marts)
    return {period_start(day, period) for day in days} & set(graph.partitions[period])


def _no_partitions(graph: Graph, name: str, days: Sequence[str]) -> list[str]:
    """Of the weeks or months that the days lie in those that are no partitions."""
    period = period_of(name, graph.marts)
    starts = {period_start(day, period) for day in days} - set(graph.partitions[period])
    first = min(graph.partitions[Period.DAY], default="")
    return [
        f"the {period} of {start} "
        + (f"began before the first day, {first}" if start < first else "is not over")
        + ", and is not run"
        for start in sorted(starts)
    ]


def _upstream(
    graph: Graph, due: Mapping[str, Set[str]], days: Set[str], published: Published
) -> Mapping[str, Set[str]]:
    """What these partitions are made of, as far as it is of `days` (of weeks and months: of theirs) or missing."""
    found: dict[str, set[str]] = {name: set(keys) for name, keys in due.items()}
    waiting = [(name, set(keys)) for name, keys in due.items() if keys and name in graph.marts]
    existing = {period: set(keys) for period, keys in graph.partitions.items()}
    first = min(graph.partitions[Period.DAY], default="")
    while waiting:
        name, keys = waiting.pop()
        reader = graph.marts[name].table
        for given in graph.marts[name].inputs.values():
            other = given.table.full_name
            if other in graph.externals:
                continue
            reads = set(given.days(sorted(keys), reader, first))
            if given.table.only_partition is None:
                reads &= existing[given.table.period]
                if given.table.period is reader.period and reader.period is Period.DAY:
                    reads &= days | keys
            if more := reads - found.get(other, set()):
                found.setdefault(other, set()).update(more)
                if other in graph.marts:
                    waiting.append((other, more))
    return with_what_is_missing(found, graph.sources.keys(), graph.marts, graph.partitions, published)
