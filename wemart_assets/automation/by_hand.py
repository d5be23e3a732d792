"""Plans the runs of `wemart run`: the tables and days that a person names, as runs of one period each, in order."""

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
    with_missing_inputs,
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
    """A requested table or partition does not exist."""


@dataclass(frozen=True)
class Graph:
    """Everything that can be requested: the tables by full name, and the existing partitions of each period.

    Attributes:
        sources: tables made from landing files, including those of rows with an unknown time.
        externals: tables that someone else writes.
        last_day: the last day partition that the settings allow, if they set one.
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
    """The runs, in order, and remarks on what was requested but will not run."""

    requests: Sequence[Request]
    remarks: Sequence[str]


def graph_of(settings: Settings) -> Graph:
    """The graph with these settings, and the partitions that exist now."""
    externals = external_tables(settings.for_sources(), catalog.contracts()).keys()
    marts = {name: declared.resolve(settings.for_tables()) for name, declared in catalog.marts().items()}
    partitions = partitions_from(settings.first_day, settings.timezone, settings.last_day)
    return Graph(
        marts,
        {name: table for name, table in catalog.tables().items() if name not in {*marts, *externals}},
        externals,
        catalog.views().keys(),
        {period: definition.get_partition_keys() for period, definition in partitions.items()},
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
    """The runs of these tables from `first` to `last`, including the weeks and months that contain these days.

    Without `last`, up to the last day for which one of the tables is published. With `downstream`, everything
    downstream is made as well: on these days, and wherever it was published before. With `upstream`, everything
    upstream is made as well: on the same days, and on other days where it is missing.

    Raises:
        CannotBeRun: a table or partition does not exist; says which do.
    """
    chosen = list(dict.fromkeys(_resolved(graph, name) for name in names))
    remarks = [f"{_key(n)} is a view and needs no run" for n in chosen if n in graph.views]
    remarks += [f"{_key(n)} is an external table and is not run here" for n in chosen if n in graph.externals]
    dated = [n for n in chosen if n not in graph.views and not _has_no_days(graph, n)]
    runnable = [n for n in chosen if n not in graph.views and n not in graph.externals]
    days: list[str] = []
    if set(dated) - graph.externals or (dated and downstream):
        days = _days(graph, [n for n in dated if n not in graph.externals], first, last, published)
    # External tables are not run themselves, but their downstream tables can be.
    due = {name: _partitions(graph, name, days) for name in (*runnable, *(graph.externals & set(dated)))}
    for name in dated:
        remarks += [f"{_key(name)}: {text}" for text in _remarks_on_missing(graph, name, days)]
    wanted: dict[str, set[str]] = {name: set(keys) for name, keys in due.items()}
    if upstream:
        for name, keys in _upstream(graph, due, set(days), published).items():
            wanted.setdefault(name, set()).update(keys)
    if downstream:
        for name, keys in _downstream(graph, due, set(days), published).items():
            wanted.setdefault(name, set()).update(keys)
    todo = {name: keys for name, keys in wanted.items() if keys and name not in graph.externals}
    requests = unpartitioned(todo)
    for period, existing in graph.partitions.items():
        requests += in_order(by_period(todo, graph.marts, period), graph.marts, set(existing), period)
    if not requests and not remarks:
        raise CannotBeRun("nothing to run")
    return Plan(requests, remarks)


def _resolved(graph: Graph, name: str) -> str:
    """The full name of a table given as `database/table` or `database.table`."""
    known = {*graph.marts, *graph.sources, *graph.externals, *graph.views}
    full = name.replace("/", ".")
    if full in known:
        return full
    by_table: dict[str, list[str]] = {}
    for known_name in known:
        by_table.setdefault(known_name.partition(".")[2], []).append(known_name)
    similar = [*by_table.get(full, ()), *difflib.get_close_matches(full, sorted(known), n=3)]
    for table in difflib.get_close_matches(full.rpartition(".")[2], sorted(by_table), n=2):
        similar += sorted(by_table[table])
    suggestions = " or ".join(map(_key, list(dict.fromkeys(similar))[:3]))
    raise CannotBeRun(
        f"unknown table '{name}'; "
        + (f"did you mean {suggestions}?" if similar else "`wemart tables` lists all tables")
    )


def _key(name: str) -> str:
    return name.replace(".", "/")


def _has_no_days(graph: Graph, name: str) -> bool:
    source = graph.sources.get(name)
    return (source is not None and source.only_partition is not None) or name in catalog.unknown_time_tables()


def _days(graph: Graph, tables: Sequence[str], first: str | None, last: str | None, published: Published) -> list[str]:
    existing = graph.partitions[Period.DAY]
    if first is None:
        raise CannotBeRun("which days? Give --from DAY, and --to DAY unless it should run up to the last published day")
    if not existing:
        raise CannotBeRun("there are no partitions: no day since WEMART_FIRST_DAY is over yet")
    if last is None:
        # The last day for which one of the tables is published.
        ends = [
            period_days(max(made), graph.table(name).period)[-1]
            for name in tables
            if (made := published.of(graph.table(name)))
        ]
        last = min(max([first, *ends]), max(first, existing[-1]))
    if last < first:
        raise CannotBeRun(f"--to {last} is before --from {first}")
    for day in (first, last):
        if day < existing[0]:
            raise CannotBeRun(f"{day} is before the first day, {existing[0]} (WEMART_FIRST_DAY)")
        if day > existing[-1]:
            why = "the last day (WEMART_LAST_DAY)" if existing[-1] == graph.last_day else "the last day that is over"
            raise CannotBeRun(f"there is no partition {day}: {existing[-1]} is {why}")
    return days_between(first, last)


def _partitions(graph: Graph, name: str, days: Sequence[str]) -> set[str]:
    if _has_no_days(graph, name):
        return {UNKNOWN_DAY}
    period = period_of(name, graph.marts)
    return {period_start(day, period) for day in days} & set(graph.partitions[period])


def _remarks_on_missing(graph: Graph, name: str, days: Sequence[str]) -> list[str]:
    """A remark on each week or month that contains some of the days but is not a partition."""
    period = period_of(name, graph.marts)
    starts = {period_start(day, period) for day in days} - set(graph.partitions[period])
    first = min(graph.partitions[Period.DAY], default="")
    return [
        f"the {period} of {start} "
        + (f"began before the first day, {first}" if start < first else "is not over")
        + ", and is not run"
        for start in sorted(starts)
    ]


def _downstream(
    graph: Graph, due: Mapping[str, Set[str]], days: Set[str], published: Published
) -> Mapping[str, Set[str]]:
    """The partitions downstream of `due` that lie within `days` or were published before."""
    existing = {period: set(keys) for period, keys in graph.partitions.items()}

    def is_wanted(name: str, key: str) -> bool:
        table = graph.marts[name].table
        if key not in existing[table.period]:
            return False
        if days >= set(period_days(key, table.period)):
            return True
        published_keys = published.of(table)
        return published_keys is not None and key in published_keys

    return affected(due, graph.marts, graph.partitions[Period.DAY], is_wanted)


def _upstream(
    graph: Graph, due: Mapping[str, Set[str]], days: Set[str], published: Published
) -> Mapping[str, Set[str]]:
    """The partitions upstream of `due`: daily ones within `days`, those that weeks and months read, missing ones."""
    result: dict[str, set[str]] = {name: set(keys) for name, keys in due.items()}
    waiting = [(name, set(keys)) for name, keys in due.items() if keys and name in graph.marts]
    existing = {period: set(keys) for period, keys in graph.partitions.items()}
    first = min(graph.partitions[Period.DAY], default="")
    while waiting:
        name, keys = waiting.pop()
        reader = graph.marts[name].table
        for mart_input in graph.marts[name].inputs.values():
            other = mart_input.table.full_name
            if other in graph.externals:
                continue
            reads = set(mart_input.days(sorted(keys), reader, first))
            if mart_input.table.only_partition is None:
                reads &= existing[mart_input.table.period]
                if mart_input.table.period is reader.period and reader.period is Period.DAY:
                    reads &= days | keys
            if more := reads - result.get(other, set()):
                result.setdefault(other, set()).update(more)
                if other in graph.marts:
                    waiting.append((other, more))
    return with_missing_inputs(result, graph.sources.keys(), graph.marts, graph.partitions, published)
