"""Requests the days that landing files changed: new, changed or removed, however late.

What has landed is compared with what the last tick saw (the cursor), day by day, so that a restart loses nothing and
nothing is requested twice. A request covers the sources that changed and all that follows from them on the days
affected; a few days at a time, the rest at the next tick.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from wemart_assets.lake.days import days_between, ranges, shift
from wemart_assets.lake.delta import open_delta, partition_values
from wemart_assets.lake.engine import Engine, ExternalTable, Session
from wemart_assets.lake.errors import UnreadableTable
from wemart_assets.lake.mart_asset import Mart
from wemart_assets.sources.contract import Kind
from wemart_assets.sources.landing import FileIndex, Landing

DAYS_A_RUN = 31
RUNS_A_TICK = 8
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"

Fingerprints = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Cursor:
    """What the ticks so far have seen and what they have not requested yet.

    Attributes:
        seen: for each source a fingerprint of each day's files (of snapshots: of each delivery).
        due: for each source the days that changed and wait for a request.
        stopped: for each source the days that were requested while a file that cannot be read stopped them.
        ticks: how many ticks have requested something.
    """

    seen: Fingerprints = field(default_factory=dict)
    due: Mapping[str, Sequence[str]] = field(default_factory=dict)
    stopped: Mapping[str, Sequence[str]] = field(default_factory=dict)
    ticks: int = 0

    def dump(self) -> str:
        said = [self.seen, self.due, self.stopped, self.ticks]
        return base64.b64encode(zlib.compress(json.dumps(said).encode())).decode()

    @staticmethod
    def load(text: str | None) -> Cursor:
        if not text:
            return Cursor()
        return Cursor(*json.loads(zlib.decompress(base64.b64decode(text))))


@dataclass(frozen=True)
class Request:
    """A run: consecutive days, the tables (full names) that it makes anew, the source days that it is for."""

    days: Sequence[str]
    tables: frozenset[str]
    causes: frozenset[tuple[str, str]]


def landing_sensor(
    sources: Mapping[str, Landing],
    externals: Mapping[str, ExternalTable],
    marts: Mapping[str, Mart],
    partitions: dg.DailyPartitionsDefinition,
) -> dg.SensorDefinition:
    """The sensor over all landing folders, and over the tables that someone else writes.

    Of the latter, those that are partitioned by their day are watched; each day that changed is reported as observed.
    """
    snapshots = {name for name, landing in sources.items() if landing.contract.kind is Kind.SNAPSHOT}

    @dg.sensor(
        name="landing_sensor",
        description="Requests the days that new, changed or removed landing files have (or had) rows of.",
        target=dg.AssetSelection.all(),
        minimum_interval_seconds=60,
        required_resource_keys={"engine"},
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        engine: Engine = context.resources.engine
        cursor = Cursor.load(context.cursor)
        days = partitions.get_partition_keys()
        with engine.connect() as session:
            landed, broken = fingerprints(session, sources)
            problems = [str(entry.error) for entries in broken.values() for entry in entries]
            for name, table in externals.items():
                try:
                    landed[name] = _external_fingerprints(name, table)
                except UnreadableTable as error:
                    # What it was is still what is known of it.
                    landed[name] = cursor.seen.get(name, {})
                    problems.append(str(error))
            for problem in problems:
                context.log.warning(problem)
            due = changed_days(cursor, landed, snapshots, days)
            for name, its_days in cursor.stopped.items():
                due.setdefault(name, set()).update(
                    day for day in its_days if not _is_stopped(day, broken.get(name, ()))
                )
            requests, waiting = plan(due, set(sources), marts, days, session)
        asked = {cause for request in requests for cause in request.causes}
        stopped = {
            name: sorted(
                day
                for day in {*cursor.stopped.get(name, ()), *(d for of, d in asked if of == name)}
                if _is_stopped(day, entries)
            )
            for name, entries in broken.items()
        }
        after = Cursor(landed, waiting, stopped, cursor.ticks + bool(requests))
        if not requests:
            return dg.SensorResult(
                skip_reason="nothing has landed, changed or gone since the last request", cursor=after.dump()
            )
        return dg.SensorResult(
            run_requests=[_run_request(r, cursor.ticks, landed, set(externals)) for r in requests],
            asset_events=[
                dg.AssetObservation(dg.AssetKey(name.split(".")), partition=day, metadata={"fingerprint": said})
                for name, day in sorted(asked)
                if name in externals and (said := landed[name].get(day)) is not None
            ],
            cursor=after.dump(),
        )

    return sensor


def fingerprints(session: Session, sources: Mapping[str, Landing]) -> tuple[Fingerprints, dict[str, list[FileIndex]]]:
    """A fingerprint of the files of each source's days (of snapshots: deliveries), and the unreadable files."""
    found: Fingerprints = {}
    broken: dict[str, list[FileIndex]] = {}
    for name, landing in sources.items():
        by_day: dict[str, list[str]] = {}
        for file, entry in landing.index(session, landing.files()).items():
            said = f"{file.path} {file.size} {file.modified_ns}"
            if entry.error is not None:
                broken.setdefault(name, []).append(entry)
            if landing.contract.kind is Kind.SNAPSHOT:
                # A delivery is whole or it is not shown, so that a file that cannot be read is part of it.
                if file.delivery is not None:
                    by_day.setdefault(file.delivery, []).append(said)
            elif entry.error is None:
                for day in entry.all_days():
                    by_day.setdefault(day, []).append(said)
        found[name] = {day: _digest(files) for day, files in sorted(by_day.items())}
    return found, broken


def _is_stopped(day: str, broken: Iterable[FileIndex]) -> bool:
    return any(entry.may_have_rows_of([day]) for entry in broken)


def changed_days(
    cursor: Cursor, landed: Fingerprints, snapshots: Set[str], partitions: Sequence[str]
) -> dict[str, set[str]]:
    """The days of each source that are due: those that waited, and those that changed since the last tick."""
    due = {name: set(days) for name, days in cursor.due.items()}
    for name, now in landed.items():
        before = cursor.seen.get(name, {})
        for day in {*before, *now}:
            if before.get(day) != now.get(day):
                shown = _until_next(day, {*before, *now}, partitions) if name in snapshots else [day]
                due.setdefault(name, set()).update(shown)
    return due


def plan(
    due: Mapping[str, Set[str]],
    sources: Set[str],
    marts: Mapping[str, Mart],
    partitions: Sequence[str],
    session: Session,
) -> tuple[list[Request], dict[str, list[str]]]:
    """The runs of this tick, and the source days that wait for later ones.

    Days that are no partition yet wait until they have become one.
    """
    there = set(partitions)
    tables: dict[str, set[str]] = {}
    causes: dict[str, set[tuple[str, str]]] = {}
    for name, days in due.items():
        for day in days & there:
            for table, its_days in affected(name, day, marts).items():
                for its_day in its_days & there:
                    tables.setdefault(its_day, set()).add(table)
                    causes.setdefault(its_day, set()).add((name, day))
    # What is taken is bounded before the lake is asked for what else these days need.
    soonest = sorted(tables)[: DAYS_A_RUN * RUNS_A_TICK]
    _add_unpublished_inputs(tables, soonest, sources, marts, session)
    requests = [
        Request(alike, frozenset(tables[alike[0]]), frozenset().union(*(causes[day] for day in alike)))
        for days in ranges(soonest, DAYS_A_RUN)
        for alike in _alike(days, tables)
    ]
    taken = requests[:RUNS_A_TICK]
    done = {day for request in taken for day in request.days}
    left = {cause for day, of_day in causes.items() if day not in done for cause in of_day}
    covered = {cause for request in taken for cause in request.causes} - left
    waiting = {name: sorted(day for day in days if (name, day) not in covered) for name, days in sorted(due.items())}
    return taken, {name: days for name, days in waiting.items() if days}


def affected(source: str, day: str, marts: Mapping[str, Mart]) -> dict[str, set[str]]:
    """The tables that follow from a source's day, itself included, with the days of theirs that do."""
    found: dict[str, set[str]] = {source: {day}}
    grown = True
    while grown:
        grown = False
        for name, declared in marts.items():
            days = found.get(name, set())
            for given in declared.inputs.values():
                for upstream_day in found.get(given.table.full_name, set()):
                    days = days | set(given.affected(upstream_day))
            if days != found.get(name, set()):
                found[name] = days
                grown = True
    return found


def _add_unpublished_inputs(
    tables: dict[str, set[str]], days: Sequence[str], sources: Set[str], marts: Mapping[str, Mart], session: Session
) -> None:
    """Add to each day's tables what they read of that day and was never published: it has to run with them."""
    published: dict[str, set[str]] = {}
    for day in days:
        waiting = list(tables[day])
        while waiting:
            declared = marts.get(waiting.pop())
            for given in declared.inputs.values() if declared else ():
                name = given.table.full_name
                if name in tables[day] or name not in {*sources, *marts} or day not in given.days([day]):
                    continue
                if name not in published:
                    published[name] = session.published(given.table, days)
                if day not in published[name]:
                    tables[day].add(name)
                    waiting.append(name)


def _until_next(delivery: str, deliveries: Iterable[str], partitions: Sequence[str]) -> list[str]:
    """The days that show a delivery: until the next one, or the last day that there is."""
    following = min((d for d in deliveries if d > delivery), default=None)
    last = shift(following, -1) if following else max(partitions, default=delivery)
    return days_between(delivery, max(last, delivery))


def _alike(days: Sequence[str], tables: Mapping[str, set[str]]) -> list[list[str]]:
    found: list[list[str]] = []
    for day in days:
        if found and tables[found[-1][-1]] == tables[day]:
            found[-1].append(day)
        else:
            found.append([day])
    return found


def _external_fingerprints(name: str, external: ExternalTable) -> dict[str, str]:
    log = open_delta(external.location, name)
    if log is None or external.day not in log.metadata().partition_columns:
        return {}
    by_day: dict[str, list[str]] = {}
    for path, values, rows, size in partition_values(log):
        by_day.setdefault(str(values[external.day]), []).append(f"{path} {rows} {size}")
    return {day: _digest(files) for day, files in sorted(by_day.items())}


def _run_request(request: Request, tick: int, landed: Fingerprints, externals: Set[str]) -> dg.RunRequest:
    first, last = request.days[0], request.days[-1]
    selection = [dg.AssetKey(name.split(".")) for name in sorted(request.tables - externals)]
    # The tick is part of the key: files may come back to what they once were, and are due again then. So are the
    # files: they may have changed after a tick whose cursor was lost.
    files = [f"{name} {day} {landed.get(name, {}).get(day)}" for name, day in sorted(request.causes)]
    key = _digest([str(tick), first, last, *sorted(request.tables), *files])
    if first == last:
        return dg.RunRequest(run_key=key, partition_key=first, asset_selection=selection)
    tags: dict[str, Any] = {RANGE_START: first, RANGE_END: last}
    return dg.RunRequest(run_key=key, asset_selection=selection, tags=tags)


def _digest(parts: Iterable[str]) -> str:
    return hashlib.blake2b("\n".join(sorted(parts)).encode(), digest_size=8).hexdigest()
