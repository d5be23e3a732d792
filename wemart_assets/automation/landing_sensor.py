"""The landing sensor: requests the days whose landing files were added, changed or removed, however late.

Each tick compares what has landed with what the last tick saw (the cursor), day by day, so that a restart loses nothing
and nothing is requested twice. A request covers the changed sources and everything downstream on the affected days; a
tick requests a limited number of runs and leaves the rest to the next one.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import dagster as dg

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
from wemart_assets.lake.days import Period, days_between, period_days, shift
from wemart_assets.lake.delta import open_delta, partition_values
from wemart_assets.lake.errors import WemartError
from wemart_assets.lake.mart import Mart
from wemart_assets.lake.session import Lake, Session
from wemart_assets.lake.store import ExternalTable
from wemart_assets.lake.table import Table
from wemart_assets.partitions import Partitions
from wemart_assets.sources.contract import UNKNOWN_DAY, Kind
from wemart_assets.sources.index import FileIndex
from wemart_assets.sources.landing import Landing
from wemart_assets.sources.listing import StoreAway

RUNS_PER_TICK = 8
REQUESTS_AT_ONCE = 16
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]

Fingerprints = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Cursor:
    """What past ticks have seen, and what they have not requested yet.

    Attributes:
        seen: for each source, a fingerprint of each day's files (for snapshots, of each delivery's).
        due: for each table, the partitions that wait for a request.
        stopped: for each source, the days that were requested while an unreadable file stopped them.
        ticks: how many ticks have requested something.
        continued: for each stateful table, the day from which it was last requested because an earlier day had been
            made anew, and the commit of that earlier day.
        delivered: the last day that anything was ever delivered for.
    """

    seen: Fingerprints = field(default_factory=dict)
    due: Mapping[str, Sequence[str]] = field(default_factory=dict)
    stopped: Mapping[str, Sequence[str]] = field(default_factory=dict)
    ticks: int = 0
    continued: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    delivered: str = ""

    def dump(self) -> str:
        values = [self.seen, self.due, self.stopped, self.ticks, self.continued, self.delivered]
        return base64.b64encode(zlib.compress(json.dumps(values).encode())).decode()

    @staticmethod
    def load(text: str | None) -> Cursor:
        if not text:
            return Cursor()
        return Cursor(*json.loads(zlib.decompress(base64.b64decode(text))))


def landing_sensor(
    sources: Mapping[str, Landing],
    externals: Mapping[str, ExternalTable],
    marts: Mapping[str, Mart],
    partitions: Partitions,
    jobs: Mapping[Period | None, Any],
) -> dg.SensorDefinition:
    """The sensor over all landing folders and external tables, which also mends what interrupted runs left stale.

    External tables that are partitioned by their day are watched; each changed day is reported as observed. A stateful
    table is requested from the first day that is older than the day before it, through to the latest day.
    """
    watched = _Watched(sources, externals, marts, partitions)

    @dg.sensor(
        name="landing_sensor",
        description="Requests the days for which landing files were added, changed or removed.",
        jobs=list(jobs.values()),
        minimum_interval_seconds=60,
        required_resource_keys={"lake"},
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        lake: Lake = context.resources.lake
        cursor = Cursor.load(context.cursor)
        with lake.connect() as session:
            is_busy = context.instance.get_runs_count(dg.RunsFilter(statuses=UNFINISHED)) > 0
            tick = watched.tick(session, cursor, is_busy)
        for warning in dict.fromkeys(tick.warnings):
            context.log.warning(warning)
        if not tick.requests:
            return dg.SensorResult(
                skip_reason="no landing file was added, changed or removed since the last request",
                cursor=tick.cursor.dump(),
            )
        landed = tick.cursor.seen
        return dg.SensorResult(
            run_requests=[
                _run_request(request, jobs[request.period].name, cursor.ticks, landed, set(externals))
                for request in tick.requests
            ],
            asset_events=[
                dg.AssetObservation(dg.AssetKey(name.split(".")), partition=day, metadata={"fingerprint": fingerprint})
                for name, day in sorted(tick.requested_changes)
                if name in externals and (fingerprint := landed[name].get(day)) is not None
            ],
            cursor=tick.cursor.dump(),
        )

    return sensor


@dataclass(frozen=True)
class _Tick:
    """What one tick of the sensor decides.

    Attributes:
        requests: the runs to request.
        requested_changes: (source, day) of the changes that these runs cover.
        cursor: the cursor after the tick.
        warnings: what to tell a person, in order.
    """

    requests: Sequence[Request]
    requested_changes: Set[tuple[str, str]]
    cursor: Cursor
    warnings: Sequence[str]


@dataclass(frozen=True)
class _Watched:
    """What the sensor watches, and the marts that follow from it."""

    sources: Mapping[str, Landing]
    externals: Mapping[str, ExternalTable]
    marts: Mapping[str, Mart]
    partitions: Partitions

    def tick(self, session: Session, cursor: Cursor, is_busy: bool) -> _Tick:
        days = self.partitions[Period.DAY].get_partition_keys()
        landed, broken, failed, ignored = self._landed(session, cursor)
        published = Published(session, {period: p.get_partition_keys() for period, p in self.partitions.items()})
        # Waiting partitions are requested once earlier runs are done: what was missing for them may exist by then.
        held = cursor.due if is_busy else {}
        due = changed_days(replace(cursor, due={}) if is_busy else cursor, landed, self._snapshots(), days)
        for name, stopped_days in cursor.stopped.items():
            if name in failed:
                continue
            due.setdefault(name, set()).update(
                day for day in stopped_days if not _is_stopped(day, broken.get(name, ()))
            )
        continued = dict(cursor.continued)
        # Between two runs of one request a table looks stale as well; the second run is about to mend that.
        if not is_busy:
            for name, (day, version) in stale(self.marts, days, published).items():
                if list(continued.get(name, ())) != [day, version]:
                    due.setdefault(name, set()).add(day)
                    continued[name] = [day, version]
        # Never moves back: a delivery that is gone may be part of a run that is still going on.
        delivered = max(cursor.delivered, last_delivered(landed, days))
        requests, waiting = plan(due, self._tables(), self.marts, self.partitions, delivered, published)
        requested = {(name, day) for request in requests for name in request.tables for day in request.days}
        for name, held_days in held.items():
            waiting[name] = sorted({*waiting.get(name, ()), *(d for d in held_days if (name, d) not in requested)})
        requested_changes = {(name, day) for name, day in requested if name in landed and day in due.get(name, ())}
        stopped = _stopped_days(cursor, requested_changes, broken, failed.keys())
        unreadable = [f"{name} is left out of this tick: {error}" for name, error in published.unreadable.items()]
        return _Tick(
            requests,
            requested_changes,
            Cursor(landed, waiting, stopped, cursor.ticks + bool(requests), continued, delivered),
            [
                *ignored,
                *(str(entry.error) for entries in broken.values() for entry in entries),
                *(str(error) for error in dict.fromkeys(failed.values())),
                *unreadable,
            ],
        )

    def _landed(
        self, session: Session, cursor: Cursor
    ) -> tuple[Fingerprints, dict[str, list[FileIndex]], dict[str, WemartError], list[str]]:
        """`fingerprints` of the sources and the external tables; a table that failed keeps its previous ones."""
        landed, broken, failed, ignored = fingerprints(session, self.sources)
        for name, table in self.externals.items():
            try:
                landed[name] = _external_fingerprints(name, table)
            except WemartError as error:
                failed[name] = error
        for name in failed:
            # Unreadable this tick: keep the previous fingerprints.
            landed[name] = cursor.seen.get(name, {})
        return landed, broken, failed, ignored

    def _snapshots(self) -> set[str]:
        return {name for name, landing in self.sources.items() if landing.contract.kind is Kind.SNAPSHOT}

    def _tables(self) -> dict[str, Table]:
        """The tables that are made from landing files, those with rows of an unknown time included."""
        contracts = [landing.contract for landing in self.sources.values()]
        tables = dict(zip(self.sources, (contract.table for contract in contracts), strict=True))
        return tables | {t.full_name: t for c in contracts if (t := c.unknown_time_table) is not None}


def _stopped_days(
    cursor: Cursor, requested: Set[tuple[str, str]], broken: Mapping[str, Sequence[FileIndex]], failed: Set[str]
) -> dict[str, Sequence[str]]:
    """For each source, the requested days that an unreadable file still stops; those of a failed source are kept."""
    stopped: dict[str, Sequence[str]] = {}
    for name, entries in broken.items():
        candidates = {*cursor.stopped.get(name, ()), *(day for source, day in requested if source == name)}
        stopped[name] = sorted(day for day in candidates if _is_stopped(day, entries))
    return stopped | {name: days for name, days in cursor.stopped.items() if name in failed}


def fingerprints(
    session: Session, sources: Mapping[str, Landing]
) -> tuple[Fingerprints, dict[str, list[FileIndex]], dict[str, WemartError], list[str]]:
    """A fingerprint of the files of each source's days (of snapshots: deliveries), and the unreadable files.

    Rows with an unknown time belong to a table of their own. Third come the errors of sources whose files cannot be
    listed or whose index cannot be written; these have no fingerprints. Last come warnings about ignored files.
    """
    landed: Fingerprints = {}
    broken: dict[str, list[FileIndex]] = {}
    failed: dict[str, WemartError] = {}
    ignored: list[str] = []
    away: StoreAway | None = None
    # In an object store each of these is a request or more, and a tick has a minute for all sources.
    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        looks = {name: pool.submit(lambda of: (of.listing(), of.known()), of) for name, of in sources.items()}
    for name, landing in sources.items():
        unknown_time = landing.contract.unknown_time_table
        tables = [name] if unknown_time is None else [name, unknown_time.full_name]
        by_day: dict[str, list[str]] = {}
        try:
            (files, warnings), known = looks[name].result()
            index = landing.index(session, files, known)
        except StoreAway as error:
            # One warning is enough for all sources.
            away = away or error
            failed |= dict.fromkeys(tables, away)
            continue
        except WemartError as error:
            failed |= dict.fromkeys(tables, error)
            continue
        ignored += warnings
        for file, entry in index.items():
            version = f"{file.path} {file.size} {file.version}"
            if entry.error is not None:
                for table in tables:
                    broken.setdefault(table, []).append(entry)
            if landing.contract.kind is Kind.SNAPSHOT:
                # A delivery is shown only as a whole, so an unreadable file is part of it.
                if file.delivery is not None:
                    by_day.setdefault(file.delivery, []).append(version)
            elif entry.error is None:
                for day in entry.all_days():
                    by_day.setdefault(day, []).append(version)
        for table in tables[1:]:
            landed[table] = {day: _digest(by_day.pop(day)) for day in (UNKNOWN_DAY,) if day in by_day}
        landed[name] = {day: _digest(files) for day, files in sorted(by_day.items())}
    return landed, broken, failed, ignored


def _is_stopped(day: str, broken: Iterable[FileIndex]) -> bool:
    return any(entry.may_have_rows_of([day]) for entry in broken)


def changed_days(
    cursor: Cursor, landed: Fingerprints, snapshots: Set[str], partitions: Sequence[str]
) -> dict[str, set[str]]:
    """The due days of each source: those that waited, and those that changed since the last tick."""
    due = {name: set(days) for name, days in cursor.due.items()}
    for name, now in landed.items():
        before = cursor.seen.get(name, {})
        for day in {*before, *now}:
            if before.get(day) != now.get(day):
                shown = _days_showing(day, {*before, *now}, partitions) if name in snapshots else [day]
                due.setdefault(name, set()).update(shown)
    return due


@dataclass(frozen=True)
class _Partitions:
    """Which partitions of which tables exist, will exist, and are wanted."""

    tables: Mapping[str, Table]
    marts: Mapping[str, Mart]
    partitions: Partitions
    existing: Mapping[Period, Set[str]]
    delivered: str
    published: Published

    def exists(self, name: str, key: str) -> bool:
        return key == UNKNOWN_DAY or key in self.existing[period_of(name, self.marts)]

    def will_exist(self, name: str, key: str) -> bool:
        end = self.partitions[period_of(name, self.marts)].end
        return key >= min(self.existing[Period.DAY], default="") and (end is None or key < end.date().isoformat())

    def is_wanted(self, name: str, key: str) -> bool:
        if key == UNKNOWN_DAY or name not in self.tables:
            return True
        if period_days(key, period_of(name, self.marts))[-1] <= self.delivered:
            return True
        published = self.published.of(self.tables[name])
        return published is None or key in published

    def is_wanted_day(self, name: str, key: str) -> bool:
        """Whether an existing day is wanted. Weeks, months and partitions to come pass; what will never exist does not.

        A week that began before the first day never exists, so nothing follows from it.
        """
        if not self.exists(name, key):
            return self.will_exist(name, key)
        return period_of(name, self.marts) is not Period.DAY or self.is_wanted(name, key)


def plan(
    due: Mapping[str, Set[str]],
    tables: Mapping[str, Table],
    marts: Mapping[str, Mart],
    partitions: Partitions,
    delivered: str,
    published: Published,
) -> tuple[list[Request], dict[str, list[str]]]:
    """The runs of this tick, and the partitions of each table (by full name) that wait for a later one.

    `due` are the partitions of sources (and of marts that waited) to make, together with everything downstream.
    Partitions that do not exist yet wait until they do; weeks and months also wait for days that are still to be made,
    and partitions of a table whose log cannot be read wait until it can. `tables` are the tables made from files.

    Days after the last `delivered` day are made again only if they were published before: that a snapshot or a state
    would be carried forward to them is no reason to make them. Weeks and months wait until something was delivered for
    their last day.
    """
    keys = {period: definition.get_partition_keys() for period, definition in partitions.items()}
    existing = {period: set(period_keys) for period, period_keys in keys.items()}
    known = {**tables, **{name: declared.table for name, declared in marts.items()}}
    lookup = _Partitions(known, marts, partitions, existing, delivered, published)

    to_make = {
        name: {k for k in due_keys if lookup.exists(name, k) and lookup.is_wanted_day(name, k)}
        for name, due_keys in due.items()
    }
    follows = affected(to_make, marts, keys[Period.DAY], lookup.is_wanted_day)
    waiting: dict[str, set[str]] = {}
    for name, due_keys in (*due.items(), *follows.items()):
        waiting.setdefault(name, set()).update(
            k for k in due_keys if not lookup.exists(name, k) and lookup.will_exist(name, k)
        )
    for name, followers in follows.items():
        is_unreadable = name in known and published.of(known[name]) is None
        later = {k for k in followers if lookup.exists(name, k) and (is_unreadable or not lookup.is_wanted(name, k))}
        waiting[name] |= later
        followers -= later

    requests = _requests(follows, tables, marts, keys, published)[:RUNS_PER_TICK]
    requested = {(name, key) for request in requests for name in request.tables for key in request.days}
    for name, followers in follows.items():
        # Missing inputs need not wait: they are looked up again with the partitions that read them.
        left = {key for key in followers & existing[period_of(name, marts)] if (name, key) not in requested}
        if left:
            waiting.setdefault(name, set()).update(left)
    return requests, {name: sorted(waits) for name, waits in sorted(waiting.items()) if waits}


def _requests(
    follows: Mapping[str, Set[str]],
    tables: Mapping[str, Table],
    marts: Mapping[str, Mart],
    keys: Mapping[Period, Sequence[str]],
    published: Published,
) -> list[Request]:
    """The runs that make `follows` and whatever is missing for it; those of weeks and months only if there is room."""
    todo = with_missing_inputs(by_period(follows, marts, Period.DAY), tables.keys(), marts, keys, published)
    requests = unpartitioned(todo) + in_order(todo, marts, set(keys[Period.DAY]), Period.DAY)
    if len(requests) <= RUNS_PER_TICK:
        # Weeks and months come after all days, and after the days that they lack.
        remaining = _minus(with_missing_inputs(follows, tables.keys(), marts, keys, published), todo)
        for period in (Period.DAY, Period.WEEK, Period.MONTH):
            requests += in_order(by_period(remaining, marts, period), marts, set(keys[period]), period)
    return requests


def last_delivered(landed: Fingerprints, days: Sequence[str]) -> str:
    """The last day that anything was delivered for: rows of a fact, a snapshot, or a day of an external table.

    The current day, the one after the last of `days`, counts. Later days do not: they are mistakes in the data.
    """
    today = shift(max(days), 1) if days else ""
    return max(
        (day for landed_days in landed.values() for day in landed_days if day != UNKNOWN_DAY and day <= today),
        default="",
    )


def stale(marts: Mapping[str, Mart], days: Sequence[str], published: Published) -> dict[str, tuple[str, int]]:
    """For each stateful table, the first day that is older than the day it was made from.

    With it comes the number of the commit that made the earlier day anew. A run of an earlier day leaves such days.
    """
    stale_days = {}
    for name, declared in marts.items():
        if not declared.is_stateful or declared.table.period is not Period.DAY:
            continue
        published_days = published.of(declared.table)
        if published_days is None:
            continue
        versions = published.versions(declared.table)
        for before, day in itertools.pairwise(days):
            # A day whose commit is not known is older than all others.
            if {before, day} <= published_days and versions.get(before, -1) > versions.get(day, -1):
                stale_days[name] = (day, versions[before])
                break
    return stale_days


def _minus(keys: Mapping[str, Set[str]], others: Mapping[str, Set[str]]) -> dict[str, Set[str]]:
    return {name: table_keys - others.get(name, set()) for name, table_keys in keys.items()}


def _days_showing(delivery: str, deliveries: Iterable[str], partitions: Sequence[str]) -> list[str]:
    """The days that show a delivery: up to the next delivery, or to the last partition."""
    following = min((d for d in deliveries if d > delivery), default=None)
    last = shift(following, -1) if following else max(partitions, default=delivery)
    return days_between(delivery, max(last, delivery))


def _external_fingerprints(name: str, external: ExternalTable) -> dict[str, str]:
    log = open_delta(external.location, name)
    if log is None or external.day not in log.metadata().partition_columns:
        return {}
    by_day: dict[str, list[str]] = {}
    for file in partition_values(log):
        by_day.setdefault(str(file.partition[external.day]), []).append(f"{file.path} {file.rows} {file.bytes}")
    return {day: _digest(files) for day, files in sorted(by_day.items())}


def _run_request(request: Request, job: str, tick: int, landed: Fingerprints, externals: Set[str]) -> dg.RunRequest:
    first, last = request.days[0], request.days[-1]
    selection = [dg.AssetKey(name.split(".")) for name in sorted(request.tables - externals)]
    # The tick is part of the key because files may return to an earlier state, and are due again then. The files are
    # part of it because they may have changed after a tick whose cursor was lost.
    files = [f"{name} {day} {by_day.get(day)}" for name, by_day in landed.items() for day in request.days]
    key = _digest([str(tick), first, last, *sorted(request.tables), *files])
    if request.period is None:
        return dg.RunRequest(run_key=key, job_name=job, asset_selection=selection)
    if first == last:
        return dg.RunRequest(run_key=key, job_name=job, partition_key=first, asset_selection=selection)
    tags: dict[str, Any] = {RANGE_START: first, RANGE_END: last}
    return dg.RunRequest(run_key=key, job_name=job, asset_selection=selection, tags=tags)


def _digest(parts: Iterable[str]) -> str:
    return hashlib.blake2b("\n".join(sorted(parts)).encode(), digest_size=8).hexdigest()
