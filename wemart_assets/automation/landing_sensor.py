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
from wemart_assets.lake.days import Period, days_between, period_days, shift
from wemart_assets.lake.delta import open_delta, partition_values
from wemart_assets.lake.engine import Engine, ExternalTable, Session
from wemart_assets.lake.errors import WemartError
from wemart_assets.lake.mart import Mart
from wemart_assets.lake.table import Table
from wemart_assets.partitions import Partitions
from wemart_assets.sources.contract import UNKNOWN_DAY, Kind
from wemart_assets.sources.landing import FileIndex, Landing

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
        delivered: the last day that anything was ever delivered for.
    """

    seen: Fingerprints = field(default_factory=dict)
    due: Mapping[str, Sequence[str]] = field(default_factory=dict)
    stopped: Mapping[str, Sequence[str]] = field(default_factory=dict)
    ticks: int = 0
    continued: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    delivered: str = ""

    def dump(self) -> str:
        said = [self.seen, self.due, self.stopped, self.ticks, self.continued, self.delivered]
        return base64.b64encode(zlib.compress(json.dumps(said).encode())).decode()

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
    """The sensor over all landing folders, over the tables that someone else writes, and over what they left behind.

    Of the tables of someone else, those that are partitioned by their day are watched; each day that changed is
    reported as observed. A table that carries its state on from day to day is requested from the first day that is
    older than the day before it, to the latest.
    """
    snapshots = {name for name, landing in sources.items() if landing.contract.kind is Kind.SNAPSHOT}
    made_of_files = {name: landing.contract.table for name, landing in sources.items()}
    made_of_files |= {t.full_name: t for s in sources.values() if (t := s.contract.unknown_time_table) is not None}

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
        days = partitions[Period.DAY].get_partition_keys()
        with engine.connect() as session:
            landed, broken, failed, ignored = fingerprints(session, sources)
            for name, table in externals.items():
                try:
                    landed[name] = _external_fingerprints(name, table)
                except WemartError as error:
                    failed[name] = error
            for name in failed:
                # Unreadable this tick: its days are those of the last one.
                landed[name] = cursor.seen.get(name, {})
            problems = [*ignored, *(str(entry.error) for entries in broken.values() for entry in entries)]
            published = Published(session, {period: of.get_partition_keys() for period, of in partitions.items()})
            # What waits is asked for when what was asked for before is done: what was missing for it may be there then.
            is_busy = context.instance.get_runs_count(dg.RunsFilter(statuses=UNFINISHED)) > 0
            held = cursor.due if is_busy else {}
            due = changed_days(replace(cursor, due={}) if is_busy else cursor, landed, snapshots, days)
            for name, its_days in cursor.stopped.items():
                if name in failed:
                    continue
                due.setdefault(name, set()).update(
                    day for day in its_days if not _is_stopped(day, broken.get(name, ()))
                )
            continued = dict(cursor.continued)
            # Between two runs of one request a table is left behind as well: that is the second run's to mend.
            if not is_busy:
                for name, (day, version) in stale(marts, days, published).items():
                    if list(continued.get(name, ())) != [day, version]:
                        due.setdefault(name, set()).add(day)
                        continued[name] = [day, version]
            # Never an earlier one: what was delivered and is gone may be in a run that goes on.
            delivered = max(cursor.delivered, last_delivered(landed, days))
            requests, waiting = plan(due, made_of_files, marts, partitions, delivered, published)
            problems += [str(error) for error in dict.fromkeys(failed.values())]
            problems += [f"{name} takes no part in this tick: {error}" for name, error in published.unreadable.items()]
            for problem in dict.fromkeys(problems):
                context.log.warning(problem)
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
        } | {name: of for name, of in cursor.stopped.items() if name in failed}
        after = Cursor(landed, waiting, stopped, cursor.ticks + bool(requests), continued, delivered)
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


def fingerprints(
    session: Session, sources: Mapping[str, Landing]
) -> tuple[Fingerprints, dict[str, list[FileIndex]], dict[str, WemartError], list[str]]:
    """A fingerprint of the files of each source's days (of snapshots: deliveries), and the unreadable files.

    The rows of an unknown time are those of a table of their own. A source whose files cannot be listed, or whose index
    cannot be kept, has no days here, but the error. Last are warnings of what is no file and is ignored.
    """
    found: Fingerprints = {}
    broken: dict[str, list[FileIndex]] = {}
    failed: dict[str, WemartError] = {}
    ignored: list[str] = []
    for name, landing in sources.items():
        unknown_time = landing.contract.unknown_time_table
        own = [name] if unknown_time is None else [name, unknown_time.full_name]
        by_day: dict[str, list[str]] = {}
        try:
            files, warnings = landing.listing()
            index = landing.index(session, files)
        except WemartError as error:
            failed |= dict.fromkeys(own, error)
            continue
        ignored += warnings
        for file, entry in index.items():
            said = f"{file.path} {file.size} {file.modified_ns}"
            if entry.error is not None:
                for table in own:
                    broken.setdefault(table, []).append(entry)
            if landing.contract.kind is Kind.SNAPSHOT:
                # A delivery is whole or it is not shown, so that a file that cannot be read is part of it.
                if file.delivery is not None:
                    by_day.setdefault(file.delivery, []).append(said)
            elif entry.error is None:
                for day in entry.all_days():
                    by_day.setdefault(day, []).append(said)
        for table in own[1:]:
            found[table] = {day: _digest(by_day.pop(day)) for day in (UNKNOWN_DAY,) if day in by_day}
        found[name] = {day: _digest(files) for day, files in sorted(by_day.items())}
    return found, broken, failed, ignored


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
    tables: Mapping[str, Table],
    marts: Mapping[str, Mart],
    partitions: Partitions,
    delivered: str,
    published: Published,
) -> tuple[list[Request], dict[str, list[str]]]:
    """The runs of this tick, and what waits for later ones: partitions of tables, by full name.

    `due` are partitions of sources (and of marts that waited) that are to be made, with all that follows from them.
    Those that are no partition yet wait until they have become one; weeks and months also for days still to be made,
    and the partitions of a table whose log cannot be read until it can. `tables` are those that are made from files.

    Days after the last that anything was `delivered` for are made again where they were published. Otherwise nobody
    asked for them: that a snapshot or a state would be carried on to them is no reason to make them. Weeks and months
    wait until something was delivered for their last day.
    """
    keys = {period: of.get_partition_keys() for period, of in partitions.items()}
    there = {period: set(of) for period, of in keys.items()}
    known = {**tables, **{name: declared.table for name, declared in marts.items()}}
    days = keys[Period.DAY]

    def exists(name: str, key: str) -> bool:
        return key == UNKNOWN_DAY or key in there[period_of(name, marts)]

    def may_become(name: str, key: str) -> bool:
        end = partitions[period_of(name, marts)].end
        return key >= min(days, default="") and (end is None or key < end.date().isoformat())

    def is_asked_for(name: str, key: str) -> bool:
        if key == UNKNOWN_DAY or name not in known:
            return True
        if period_days(key, period_of(name, marts))[-1] <= delivered:
            return True
        made = published.of(known[name])
        return made is None or key in made

    def is_day_asked_for(name: str, key: str) -> bool:
        return period_of(name, marts) is not Period.DAY or not exists(name, key) or is_asked_for(name, key)

    asked = {name: {k for k in of if exists(name, k) and is_day_asked_for(name, k)} for name, of in due.items()}
    follows = affected(asked, marts, days, is_day_asked_for)
    waiting: dict[str, set[str]] = {}
    for name, of in (*due.items(), *follows.items()):
        waiting.setdefault(name, set()).update(k for k in of if not exists(name, k) and may_become(name, k))
    for name, of in follows.items():
        is_unreadable = name in known and published.of(known[name]) is None
        later = {key for key in of if exists(name, key) and (is_unreadable or not is_asked_for(name, key))}
        waiting[name] |= later
        of -= later

    todo = with_what_is_missing(by_period(follows, marts, Period.DAY), tables.keys(), marts, keys, published)
    taken = unpartitioned(todo) + in_order(todo, marts, there[Period.DAY], Period.DAY)
    if len(taken) <= RUNS_A_TICK:
        # Weeks and months come after all days, and after the days that they lack.
        lacking = _beyond(todo, with_what_is_missing(follows, tables.keys(), marts, keys, published))
        for period in (Period.DAY, Period.WEEK, Period.MONTH):
            taken += in_order(by_period(lacking, marts, period), marts, there[period], period)
    taken = taken[:RUNS_A_TICK]
    done_keys = {(name, key) for request in taken for name in request.tables for key in request.days}
    for name, of in follows.items():
        # What was only missing is looked for again by then: nothing follows from it.
        left = {key for key in of & there[period_of(name, marts)] if (name, key) not in done_keys}
        if left:
            waiting.setdefault(name, set()).update(left)
    return taken, {name: sorted(of) for name, of in sorted(waiting.items()) if of}


def last_delivered(landed: Fingerprints, days: Sequence[str]) -> str:
    """The last day that anything was delivered for: rows of a fact, a snapshot, a day of someone else's table.

    The day that is going on counts, being after the last of `days`. Days to come do not: they are somebody's mistake.
    """
    today = shift(max(days), 1) if days else ""
    return max((day for of in landed.values() for day in of if day != UNKNOWN_DAY and day <= today), default="")


def stale(marts: Mapping[str, Mart], days: Sequence[str], published: Published) -> dict[str, tuple[str, int]]:
    """For each table that carries its state on, the first day that is older than the day that it was made from.

    With the number of the commit that made it so. Such a day was left behind by a run of an earlier day.
    """
    found = {}
    for name, declared in marts.items():
        if not declared.is_stateful or declared.table.period is not Period.DAY:
            continue
        there = published.of(declared.table)
        if there is None:
            continue
        made = published.versions(declared.table)
        for before, day in itertools.pairwise(days):
            # What no commit of late has published is older than all that one has.
            if {before, day} <= there and made.get(before, -1) > made.get(day, -1):
                found[name] = (day, made[before])
                break
    return found


def _beyond(known: Mapping[str, Set[str]], found: Mapping[str, Set[str]]) -> dict[str, Set[str]]:
    return {name: keys - known.get(name, set()) for name, keys in found.items()}


def _until_next(delivery: str, deliveries: Iterable[str], partitions: Sequence[str]) -> list[str]:
    """The days that show a delivery: until the next one, or the last day that there is."""
    following = min((d for d in deliveries if d > delivery), default=None)
    last = shift(following, -1) if following else max(partitions, default=delivery)
    return days_between(delivery, max(last, delivery))


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
