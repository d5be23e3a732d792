"""Requests the days that landing files changed: new, changed or removed, however late.

What has landed is compared with what was requested last (the cursor), day by day, so that a restart loses nothing and
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
from wemart_assets.lake.mart_asset import Mart
from wemart_assets.sources.contract import Kind
from wemart_assets.sources.landing import Landing

DAYS_A_RUN = 31
RUNS_A_TICK = 8
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"

Fingerprints = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Cursor:
    """What was requested so far: for each source a fingerprint of each day's files, and how many ticks requested."""

    requested: Fingerprints = field(default_factory=dict)
    ticks: int = 0

    def dump(self) -> str:
        return base64.b64encode(zlib.compress(json.dumps([self.requested, self.ticks]).encode())).decode()

    @staticmethod
    def load(text: str | None) -> Cursor:
        if not text:
            return Cursor()
        requested, ticks = json.loads(zlib.decompress(base64.b64decode(text)))
        return Cursor(requested, ticks)


@dataclass(frozen=True)
class Request:
    """A run: consecutive days, and the tables (full names) that it makes anew."""

    days: Sequence[str]
    tables: frozenset[str]


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
            landed, problems = fingerprints(session, sources)
            for problem in problems:
                context.log.warning(problem)
            landed |= {name: _external_fingerprints(name, table) for name, table in externals.items()}
            requests, requested = plan(cursor.requested, landed, snapshots, marts, days, session)
        if not requests:
            return dg.SensorResult(skip_reason="nothing has landed, changed or gone since the last request")
        return dg.SensorResult(
            run_requests=[_run_request(r, cursor.ticks, set(externals)) for r in requests],
            asset_events=_observations(cursor.requested, requested, externals),
            cursor=Cursor(requested, cursor.ticks + 1).dump(),
        )

    return sensor


def fingerprints(session: Session, sources: Mapping[str, Landing]) -> tuple[Fingerprints, list[str]]:
    """A fingerprint of the files of each source's days (of snapshots: deliveries), and what cannot be read."""
    found: Fingerprints = {}
    problems = []
    for name, landing in sources.items():
        by_day: dict[str, list[str]] = {}
        for file, entry in landing.index(session, landing.files()).items():
            said = f"{file.path} {file.size} {file.modified_ns}"
            if entry.error is not None:
                problems.append(entry.error)
            elif landing.contract.kind is Kind.SNAPSHOT:
                by_day.setdefault(str(file.delivery), []).append(said)
            else:
                for day in entry.all_days():
                    by_day.setdefault(day, []).append(said)
        found[name] = {day: _digest(files) for day, files in sorted(by_day.items())}
    return found, problems


def plan(
    requested: Fingerprints,
    landed: Fingerprints,
    snapshots: Set[str],
    marts: Mapping[str, Mart],
    partitions: Sequence[str],
    session: Session,
) -> tuple[list[Request], Fingerprints]:
    """The runs of this tick, and what has been requested when they are.

    Days that are no partition yet are left for the tick after they have become one.
    """
    there = set(partitions)
    tables: dict[str, set[str]] = {}
    causes: dict[str, set[tuple[str, str]]] = {}
    for name, now in landed.items():
        before = requested.get(name, {})
        changed = {day for day in {*before, *now} if before.get(day) != now.get(day)}
        for day in sorted(changed):
            of_change = _until_next(day, {*before, *now}, partitions) if name in snapshots else [day]
            for at in of_change:
                for table, its_days in affected(name, at, marts).items():
                    for its_day in its_days:
                        if its_day in there:
                            tables.setdefault(its_day, set()).add(table)
                            causes.setdefault(its_day, set()).add((name, day))
    for day, its_tables in tables.items():
        its_tables |= _unpublished_inputs(its_tables, day, set(landed), marts, session)
    requests = [
        Request(alike, frozenset(tables[alike[0]]))
        for days in ranges(tables, DAYS_A_RUN)
        for alike in _alike(days, tables)
    ]
    taken, left = requests[:RUNS_A_TICK], requests[RUNS_A_TICK:]
    # What some of its days still wait for is not requested yet.
    waiting = {cause for request in left for day in request.days for cause in causes[day]}
    covered = {cause for request in taken for day in request.days for cause in causes[day]} - waiting
    after = {name: dict(days) for name, days in requested.items()}
    for name, day in covered:
        fingerprint = landed.get(name, {}).get(day)
        if fingerprint is None:
            after.get(name, {}).pop(day, None)
        else:
            after.setdefault(name, {})[day] = fingerprint
    return taken, after


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


def _unpublished_inputs(
    tables: Iterable[str], day: str, sources: Set[str], marts: Mapping[str, Mart], session: Session
) -> set[str]:
    """What the tables read of the day that was never published: it has to run with them."""
    found: set[str] = set()
    waiting = list(tables)
    while waiting:
        declared = marts.get(waiting.pop())
        for given in declared.inputs.values() if declared else ():
            name = given.table.full_name
            is_ours = name in marts or name in sources
            if is_ours and name not in found and day in given.days([day]) and not session.published(given.table, [day]):
                found.add(name)
                waiting.append(name)
    return found


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


def _observations(
    before: Fingerprints, after: Fingerprints, externals: Iterable[str]
) -> list[dg.AssetObservation | dg.AssetMaterialization | dg.AssetCheckEvaluation]:
    return [
        dg.AssetObservation(dg.AssetKey(name.split(".")), partition=day, metadata={"fingerprint": fingerprint})
        for name in externals
        for day, fingerprint in after.get(name, {}).items()
        if before.get(name, {}).get(day) != fingerprint
    ]


def _run_request(request: Request, tick: int, externals: Set[str]) -> dg.RunRequest:
    first, last = request.days[0], request.days[-1]
    selection = [dg.AssetKey(name.split(".")) for name in sorted(request.tables - externals)]
    # The tick is part of the key: files may come back to what they once were, and are due again then.
    key = _digest([str(tick), first, last, *sorted(request.tables)])
    if first == last:
        return dg.RunRequest(run_key=key, partition_key=first, asset_selection=selection)
    tags: dict[str, Any] = {RANGE_START: first, RANGE_END: last}
    return dg.RunRequest(run_key=key, asset_selection=selection, tags=tags)


def _digest(parts: Iterable[str]) -> str:
    return hashlib.blake2b("\n".join(sorted(parts)).encode(), digest_size=8).hexdigest()
