"""Requests the days that landing files changed: new, changed or removed, however late.

What has landed is compared with what the last tick saw (the cursor), day by day, so that a restart loses nothing and
nothing is requested twice. A request covers the sources that changed and all that follows from them on the days
affected; a few days at a time, the rest at the next tick.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any

import dagster as dg

from wemart_assets.lake.days import Period, days_between, period_days, ranges, shift
from wemart_assets.lake.delta import open_delta, partition_values
from wemart_assets.lake.engine import Engine, ExternalTable, Session
from wemart_assets.lake.errors import UnreadableTable
from wemart_assets.lake.mart_asset import Mart
from wemart_assets.partitions import Partitions
from wemart_assets.sources.contract import UNKNOWN_DAY, Kind
from wemart_assets.sources.landing import FileIndex, Landing

DAYS_A_RUN = 31
RUNS_A_TICK = 8
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
    """What the ticks so far have seen and what they have not requested yet.

    Attributes:
        seen: for each source a fingerprint of each day's files (of snapshots: of each delivery).
        due: for each table the days (weeks, months) that wait for a request.
        stopped: for each source the days that were requested while a file that cannot be read stopped them.
        ticks: how many ticks have requested something.
        continued: for each table that carries its state on, the day (with the commit before it) from which on it was
            last requested because an earlier day had been made anew.
    """

    seen: Fingerprints = field(default_factory=dict)
    due: Mapping[str, Sequence[str]] = field(default_factory=dict)
    stopped: Mapping[str, Sequence[str]] = field(default_factory=dict)
    ticks: int = 0
    continued: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def dump(self) -> str:
        said = [self.seen, self.due, self.stopped, self.ticks, self.continued]
        return base64.b64encode(zlib.compress(json.dumps(said).encode())).decode()

    @staticmethod
    def load(text: str | None) -> Cursor:
        if not text:
            return Cursor()
        return Cursor(*json.loads(zlib.decompress(base64.b64decode(text))))


@dataclass(frozen=True)
class Request:
    """A run: consecutive days (weeks, months) and the tables, by full name, that it makes anew.

    Of tables that have no days the period is None.
    """

    period: Period | None
    days: Sequence[str]
    tables: frozenset[str]


def landing_sensor(
    sources: Mapping[str, Landing],
    externals: Mapping[str, ExternalTable],
    marts: Mapping[str, Mart],
    partitions: Partitions,
    jobs: Mapping[Period | None, Any],
) -> dg.SensorDefinition:
    """The sensor over all landing folders, over the tables that someone else writes, and over what they left behind.

    Of the tables of someone else, those that are partitioned by their day are watched; each day that changed is
    reported as observed. A table that carries its state on from day to day is requested from the first day that is
    older than the day before it, to the latest.
    """
    snapshots = {name for name, landing in sources.items() if landing.contract.kind is Kind.SNAPSHOT}

    @dg.sensor(
        name="landing_sensor",
        description="Requests the days that new, changed or removed landing files have (or had) rows of.",
        jobs=list(jobs.values()),
        minimum_interval_seconds=60,
        required_resource_keys={"engine"},
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        engine: Engine = context.resources.engine
        cursor = Cursor.load(context.cursor)
        keys = {period: of.get_partition_keys() for period, of in partitions.items()}
        days = keys[Period.DAY]
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
            # What waits is asked for when what was asked for before is done: what was missing for it may be there then.
            is_busy = context.instance.get_runs_count(dg.RunsFilter(statuses=UNFINISHED)) > 0
            held = cursor.due if is_busy else {}
            due = changed_days(replace(cursor, due={}) if is_busy else cursor, landed, snapshots, days)
            for name, its_days in cursor.stopped.items():
                due.setdefault(name, set()).update(
                    day for day in its_days if not _is_stopped(day, broken.get(name, ()))
                )
            continued = dict(cursor.continued)
            # Between two runs of one request a table is left behind as well: that is the second run's to mend.
            if not is_busy:
                for name, (day, version) in stale(marts, days, session).items():
                    if list(continued.get(name, ())) != [day, version]:
                        due.setdefault(name, set()).add(day)
                        continued[name] = [day, version]
            undated = {s.contract.undated.full_name for s in sources.values() if s.contract.undated is not None}
            requests, waiting = plan(due, {*sources, *undated}, marts, keys, session)
            requested = {(name, day) for request in requests for name in request.tables for day in request.days}
            for name, its_days in held.items():
                waiting[name] = sorted({*waiting.get(name, ()), *(d for d in its_days if (name, d) not in requested)})
        asked = {
            (name, day)
            for request in requests
            for name in request.tables & landed.keys()
            for day in request.days
            if day in due.get(name, ())
        }
        stopped = {
            name: sorted(
                day
                for day in {*cursor.stopped.get(name, ()), *(d for of, d in asked if of == name)}
                if _is_stopped(day, entries)
            )
            for name, entries in broken.items()
        }
        after = Cursor(landed, waiting, stopped, cursor.ticks + bool(requests), continued)
        if not requests:
            return dg.SensorResult(
                skip_reason="nothing has landed, changed or gone since the last request", cursor=after.dump()
            )
        return dg.SensorResult(
            run_requests=[_run_request(r, jobs[r.period].name, cursor.ticks, landed, set(externals)) for r in requests],
            asset_events=[
                dg.AssetObservation(dg.AssetKey(name.split(".")), partition=day, metadata={"fingerprint": said})
                for name, day in sorted(asked)
                if name in externals and (said := landed[name].get(day)) is not None
            ],
            cursor=after.dump(),
        )

    return sensor


def fingerprints(session: Session, sources: Mapping[str, Landing]) -> tuple[Fingerprints, dict[str, list[FileIndex]]]:
    """A fingerprint of the files of each source's days (of snapshots: deliveries), and the unreadable files.

    The rows of an unknown time are those of a table of their own.
    """
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
        if landing.contract.undated is not None:
            undated = landing.contract.undated.full_name
            found[undated] = {day: _digest(by_day.pop(day)) for day in (UNKNOWN_DAY,) if day in by_day}
            if name in broken:
                broken[undated] = broken[name]
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
    partitions: Mapping[Period, Sequence[str]],
    session: Session,
) -> tuple[list[Request], dict[str, list[str]]]:
    """The runs of this tick, and what waits for later ones: partitions of tables, by full name.

    `due` are partitions of sources (and of marts that waited) that are to be made, with all that follows from them.
    Those that are no partition yet wait until they have become one; weeks and months also for days still to be made.
    """
    there = {period: set(keys) for period, keys in partitions.items()}
    periods = {name: declared.table.period for name, declared in marts.items()}
    first_day = min(partitions[Period.DAY], default="")

    def exists(name: str, key: str) -> bool:
        return key == UNKNOWN_DAY or key in there[periods.get(name, Period.DAY)]

    days = partitions[Period.DAY]
    follows = affected({name: {key for key in keys if exists(name, key)} for name, keys in due.items()}, marts, days)
    # What lies before the first day never becomes a partition.
    waiting: dict[str, set[str]] = {}
    for name, keys in (*due.items(), *follows.items()):
        waiting.setdefault(name, set()).update(key for key in keys if not exists(name, key) and key >= first_day)

    def of(period: Period, wanted: Mapping[str, Set[str]]) -> dict[str, Set[str]]:
        return {name: keys for name, keys in wanted.items() if periods.get(name, Period.DAY) is period}

    todo = _with_what_is_missing(of(Period.DAY, follows), sources, marts, partitions, session)
    # What has no days is read by any of them.
    undated = frozenset(name for name, keys in todo.items() if UNKNOWN_DAY in keys)
    taken = [Request(None, [UNKNOWN_DAY], undated)] if undated else []
    taken += _requests(todo, there[Period.DAY], Period.DAY)
    if len(taken) <= RUNS_A_TICK:
        # Weeks and months come after all days, and after the days that they lack.
        lacking = _beyond(todo, _with_what_is_missing(follows, sources, marts, partitions, session))
        for period in (Period.DAY, Period.WEEK, Period.MONTH):
            taken += _requests(of(period, lacking), there[period], period)
    taken = taken[:RUNS_A_TICK]
    done_keys = {(name, key) for request in taken for name in request.tables for key in request.days}
    for name, keys in follows.items():
        # What was only missing is looked for again by then: nothing follows from it.
        left = {key for key in keys & there[periods.get(name, Period.DAY)] if (name, key) not in done_keys}
        if left:
            waiting.setdefault(name, set()).update(left)
    return taken, {name: sorted(keys) for name, keys in sorted(waiting.items()) if keys}


def affected(due: Mapping[str, Set[str]], marts: Mapping[str, Mart], days: Sequence[str]) -> dict[str, set[str]]:
    """The tables that follow from partitions of others, these included, with the partitions of theirs that do.

    `days` are the business days there are: a table that carries its state on is affected up to the latest of them.
    """
    found: dict[str, set[str]] = {name: set(keys) for name, keys in due.items() if keys}
    latest = max(days, default="")
    grown = bool(found)
    while grown:
        grown = False
        for name, declared in marts.items():
            keys = set(found.get(name, set()))
            for given in declared.inputs.values():
                if not given.is_own(declared.table):
                    keys |= given.affected(found.get(given.table.full_name, set()), declared.table, days)
            if keys and declared.is_stateful:
                # Each partition is made from the one before.
                keys |= set(_from(min(keys), latest, declared.table.period))
            if keys != found.get(name, set()):
                found[name] = keys
                grown = bool(keys)
    return found


def _from(first: str, latest: str, period: Period) -> list[str]:
    """The partitions from `first` on, none beyond `latest`."""
    found = [first]
    while (following := shift(found[-1], 1, period)) <= latest:
        found.append(following)
    return found


def _with_what_is_missing(
    todo: Mapping[str, Set[str]],
    sources: Set[str],
    marts: Mapping[str, Mart],
    partitions: Mapping[Period, Sequence[str]],
    session: Session,
) -> dict[str, set[str]]:
    """`todo` with what its partitions read and was never published: it has to run with them, or before them.

    For a table that carries its state on these are all its days since the last one that is there. A week or month that
    is not over is no partition yet, and nothing is missing for it.
    """
    days = partitions[Period.DAY]
    found = {name: set(keys) for name, keys in todo.items()}
    published: dict[str, set[str]] = {}
    waiting = [(name, keys) for name, keys in todo.items() if keys]
    while waiting:
        name, keys = waiting.pop()
        declared = marts.get(name)
        if declared is None or not (keys := keys & set(partitions[declared.table.period])):
            continue
        latest = period_days(max(keys), declared.table.period)[-1]
        for given in declared.inputs.values():
            other = given.table.full_name
            if other not in {*sources, *marts}:
                continue
            only = given.table.only_partition
            there = set(days) if only is None else {only}
            if other not in published:
                published[other] = session.published(given.table, sorted(there))
            # What comes after the day is read as far as it is there.
            reads = {key for key in given.days(sorted(keys), declared.table, days[0]) if key == only or key <= latest}
            missing = (reads & there) - published[other] - found.get(other, set())
            if missing:
                found.setdefault(other, set()).update(missing)
                waiting.append((other, missing))
    return found


def stale(marts: Mapping[str, Mart], days: Sequence[str], session: Session) -> dict[str, tuple[str, int]]:
    """For each table that carries its state on, the first day that is older than the day that it was made from.

    With the number of the commit that made it so. Such a day was left behind by a run of an earlier day.
    """
    found = {}
    for name, declared in marts.items():
        if not declared.is_stateful or declared.table.period is not Period.DAY:
            continue
        made = session.versions(declared.table)
        published = session.published(declared.table, days)
        for before, day in itertools.pairwise(days):
            # What no commit of late has published is older than all that one has.
            if {before, day} <= published and made.get(before, -1) > made.get(day, -1):
                found[name] = (day, made[before])
                break
    return found


def _beyond(known: Mapping[str, Set[str]], found: Mapping[str, Set[str]]) -> dict[str, Set[str]]:
    return {name: keys - known.get(name, set()) for name, keys in found.items()}


def _requests(todo: Mapping[str, Set[str]], partitions: Set[str], period: Period) -> list[Request]:
    """The runs that make these tables' partitions, as far as they are among those that there are."""
    tables: dict[str, set[str]] = {}
    for name, keys in todo.items():
        for key in keys & partitions:
            tables.setdefault(key, set()).add(name)
    return [
        Request(period, alike, frozenset(tables[alike[0]]))
        for consecutive in ranges(sorted(tables), DAYS_A_RUN, period)
        for alike in _alike(consecutive, tables)
    ]


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


def _run_request(request: Request, job: str, tick: int, landed: Fingerprints, externals: Set[str]) -> dg.RunRequest:
    first, last = request.days[0], request.days[-1]
    selection = [dg.AssetKey(name.split(".")) for name in sorted(request.tables - externals)]
    # The tick is part of the key: files may come back to what they once were, and are due again then. So are the
    # files: they may have changed after a tick whose cursor was lost.
    files = [f"{name} {day} {of_source.get(day)}" for name, of_source in landed.items() for day in request.days]
    key = _digest([str(tick), first, last, *sorted(request.tables), *files])
    if request.period is None:
        return dg.RunRequest(run_key=key, job_name=job, asset_selection=selection)
    if first == last:
        return dg.RunRequest(run_key=key, job_name=job, partition_key=first, asset_selection=selection)
    tags: dict[str, Any] = {RANGE_START: first, RANGE_END: last}
    return dg.RunRequest(run_key=key, job_name=job, asset_selection=selection, tags=tags)


def _digest(parts: Iterable[str]) -> str:
    return hashlib.blake2b("\n".join(sorted(parts)).encode(), digest_size=8).hexdigest()
