"""Source assets: turn landing files into an audited source table and its quarantine, as the contract says."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast
from zoneinfo import ZoneInfo

import dagster as dg
import ibis
import ibis.expr.types as ir

from wemart_assets.lake.engine import Staged
from wemart_assets.lake.errors import LandingError, PublishConflict
from wemart_assets.lake.location import Location
from wemart_assets.lake.mart_asset import Clock, table_asset
from wemart_assets.lake.publication import Publication, RejectedByAudit, publish, stage
from wemart_assets.lake.session import Session
from wemart_assets.sources.conform import by_key
from wemart_assets.sources.contract import UNKNOWN_DAY, Contract, Kind
from wemart_assets.sources.index import FileIndex
from wemart_assets.sources.landing import Landing
from wemart_assets.sources.listing import DELIVERY, LandingFile

KINDS = frozenset({"file", "deltalake"})
INTERNAL_COLUMNS = ("_file", "_raw", "_reason")


def source_asset(
    landing: Landing,
    group: str,
    partitions: dg.TimeWindowPartitionsDefinition,
    settings: Mapping[str, Any],
    clock: Clock,
) -> dg.AssetsDefinition:
    """The Dagster asset of a source table made from landing files. Requires the resource `lake`."""

    def run(session: Session, days: Sequence[str], log: Any) -> tuple[Publication, dict[str, Any]]:
        return publish_source(session, landing, days, settings, clock, log)

    return table_asset(landing.contract.table, group, partitions, run, kinds=KINDS)


def unknown_time_asset(landing: Landing, group: str, settings: Mapping[str, Any], clock: Clock) -> dg.AssetsDefinition:
    """The unpartitioned asset of a source's rows with an unknown time. Requires the resource `lake`."""
    assert landing.contract.unknown_time_table is not None

    def run(session: Session, _days: Sequence[str], log: Any) -> tuple[Publication, dict[str, Any]]:
        return publish_source(session, landing, [UNKNOWN_DAY], settings, clock, log)

    return table_asset(landing.contract.unknown_time_table, group, None, run, kinds=KINDS)


def publish_source(
    session: Session, landing: Landing, days: Sequence[str], settings: Mapping[str, Any], clock: Clock, log: Any
) -> tuple[Publication, dict[str, Any]]:
    """Replace the source's partitions of `days` by what has landed for them; `UNKNOWN_DAY` is that of unknown times.

    Rows that break the contract go to the quarantine, under the same days. If the run is rejected they go to
    `<table>__rejected` instead, where they can be inspected, and the quarantine still matches the published rows.

    Raises:
        MachineFault: there is no room or no memory, or the lake cannot be written.
        LandingError: a file that may contain rows of these days cannot be read.
        RejectedByAudit: more rows are quarantined than the settings allow.
    """
    contract = landing.contract
    table = contract.unknown_time_table if list(days) == [UNKNOWN_DAY] else contract.table
    assert table is not None
    run = _SourceRun(session, landing, days, clock(), log)

    def publish_quarantine() -> None:
        # The index describes the files as they were before they were read.
        landing.check_unchanged(run.files)
        session.publish(run.quarantined.pop())

    try:
        # The quarantine is published first, so that published rows are never without their quarantined ones.
        published = publish(
            session,
            table,
            days,
            run.compute,
            settings,
            run.now,
            before=publish_quarantine,
            reads=landing.folder,
        )
    except RejectedByAudit as error:
        landing.check_unchanged(run.files)
        if not sum(staged.count(day) for staged in run.quarantined for day in days):
            raise
        for staged in run.quarantined:
            _publish_rejected(session, contract, staged.rows, days, run.now)
        raise RejectedByAudit(f"{error}\n{_rejected_hint(contract, days)}", error.findings) from error
    except session.failures as error:
        landing.check(session, run.files.values())
        raise LandingError(f"{contract.full_name}: {_span(days)}: landing files cannot be read: {error}") from error
    finally:
        for staged in run.quarantined:
            session.discard(staged)
    if any(session.sizes(contract.rejected, days).values()):
        _publish_rejected(session, contract, session.read(contract.rejected, []), days, run.now)
    return published, run.metadata


class _SourceRun:
    """One run of a source.

    Attributes:
        files: the files that the days are made of, filled by `compute`.
        quarantined: the staged quarantine, until it is published.
        metadata: numbers to show in Dagster.
    """

    def __init__(self, session: Session, landing: Landing, days: Sequence[str], now: dt.datetime, log: Any) -> None:
        self.session, self.landing, self.days, self.now, self.log = session, landing, days, now, log
        self.quarantine_baseline = session.baseline(landing.contract.quarantine, days)
        self.files: dict[LandingFile, FileIndex] = {}
        self.quarantined: list[Staged] = []
        self.metadata: dict[str, Any] = {}

    def compute(self) -> tuple[ir.Table, Mapping[str, ir.Table]]:
        """The valid rows of the days, and the tables that the contract's checks take; stages the quarantine."""
        session, landing, days, contract = self.session, self.landing, self.days, self.landing.contract
        files, warnings = landing.listing()
        for warning in warnings:
            self.log.warning(warning)
        index = landing.index(session, files)
        self._check_readable(index)
        self.files.update((file, index[file]) for day in days for file in _records_of(contract, index, day))
        unreadable = [entry for entry in index.values() if entry.error is not None]
        for entry in unreadable:
            self.log.warning(f"skipped, because it has no rows of this run's days: {entry.error}")
        if contract.kind is Kind.FACTS:
            today = self.now.astimezone(ZoneInfo(landing.timezone)).date().isoformat()
            rows, numbers = _facts(session, landing, index, days, today)
        else:
            rows, numbers = _snapshots(session, landing, index, days)
        self.metadata.update(numbers)
        self.metadata["files that cannot be read"] = len(unreadable)
        self.metadata["files delivered twice"] = dg.MetadataValue.json(delivered_twice(landing, files))
        # The source, its quarantine and its checks are built on the same rows.
        marked = session.named(by_key(rows, contract))
        distinct = marked.filter(~marked._is_repeated).drop("_is_repeated")
        valid = distinct.filter(distinct._reason.isnull()).drop(*INTERNAL_COLUMNS)
        invalid = distinct.filter(distinct._reason.notnull())
        invalid = invalid.select(contract.day_column, reason="_reason", file="_file", raw_row="_raw")
        staged = stage(session, contract.quarantine, invalid, days, self.quarantine_baseline, self.now)
        self.quarantined.append(staged)
        self.metadata["quarantined rows"] = sum(staged.count(day) for day in days)
        return valid, {
            "quarantined": staged.rows,
            "landed": _landed(contract, index, days),
            "repeated": marked.filter(marked._is_repeated),
        }

    def _check_readable(self, index: Mapping[LandingFile, FileIndex]) -> None:
        """Raise LandingError if a file that cannot be read may contain rows of the days."""
        contract, days = self.landing.contract, self.days
        broken = [entry for entry in index.values() if entry.error is not None and entry.may_have_rows_of(days)]
        if contract.kind is Kind.SNAPSHOT:
            # A delivery is shown only as a whole, so the days to which it is carried forward wait for it as well.
            deliveries = {_shown(index, day) for day in days} | set(days)
            broken = [e for f, e in index.items() if e.error is not None and (f.delivery or days[0]) in deliveries]
        if broken:
            raise LandingError(
                f"{contract.full_name}: {_span(days)} is not published: "
                + str(broken[0].error)
                + (f" Nor can {', '.join(e.path for e in broken[1:4])} be read." if len(broken) > 1 else "")
                + (f" There are {len(broken) - 4} more such files." if len(broken) > 4 else "")
            )


def _span(days: Sequence[str]) -> str:
    return " to ".join(dict.fromkeys((days[0], days[-1])))


def _publish_rejected(
    session: Session, contract: Contract, rows: ir.Table, days: Sequence[str], now: dt.datetime
) -> None:
    baseline = session.baseline(contract.rejected, days)
    staged = stage(session, contract.rejected, rows.drop("run_timestamp"), days, baseline, now)
    # A concurrent run that was rejected as well has just written the same rows.
    with suppress(PublishConflict):
        session.publish(staged)


def _rejected_hint(contract: Contract, days: Sequence[str]) -> str:
    day = contract.day_column
    return (
        f'The invalid rows are in {contract.rejected.full_name}: wemart sql "select reason, count(*), '
        f"min(raw_row) from {contract.rejected.full_name} where {day} between '{days[0]}' and '{days[-1]}' group by "
        'all order by 2 desc"'
    )


def _records_of(contract: Contract, index: Mapping[LandingFile, FileIndex], day: str) -> dict[LandingFile, int]:
    """The files that a day is made of, and how many of their records count for it."""
    if contract.kind is Kind.FACTS:
        return {file: count for file, entry in index.items() if (count := entry.rows_of(day))}
    delivery = _shown(index, day)
    return {f: e.records for f, e in index.items() if f.delivery is not None and f.delivery == delivery}


def _landed(contract: Contract, index: Mapping[LandingFile, FileIndex], days: Sequence[str]) -> ir.Table:
    """The number of records that landed for each day, by the index."""
    records = {day: sum(_records_of(contract, index, day).values()) for day in days}
    counted = {contract.day_column: list(records), "records": list(records.values())}
    return ibis.memtable(counted, schema={contract.day_column: "string", "records": "int64"})


def _facts(
    session: Session, landing: Landing, index: Mapping[LandingFile, FileIndex], days: Sequence[str], today: str
) -> tuple[ir.Table, dict[str, Any]]:
    contract = landing.contract
    read = [entry for entry in index.values() if entry.has_rows_of(days)]
    tables = landing.rows(session, read, days)
    by_day = [(day, n) for e in index.values() for day, n in e.days.items()]
    early = sum(n for day, n in by_day if day != UNKNOWN_DAY and day < landing.first_day)
    to_come = sum(n for day, n in by_day if day != UNKNOWN_DAY and day > today)
    early += sum(
        e.unknown_time for e in index.values() if e.unknown_time and str(e.unknown_time_day) < landing.first_day
    )
    numbers = {"files read": len(read), "rows before the first partition": early, "rows of days to come": to_come}
    if contract.unknown_time_table is not None:
        numbers["rows of an unknown time"] = sum(n for day, n in by_day if day == UNKNOWN_DAY)
    return _union(session, tables, contract), numbers


def _snapshots(
    session: Session, landing: Landing, index: Mapping[LandingFile, FileIndex], days: Sequence[str]
) -> tuple[ir.Table, dict[str, Any]]:
    contract = landing.contract
    days_by_delivery: dict[str, list[str]] = {}
    for day in days:
        delivered = _shown(index, day)
        if delivered is not None:
            days_by_delivery.setdefault(delivered, []).append(day)
    read = [entry for file, entry in index.items() if file.delivery in days_by_delivery]
    tables = []
    # One query reads all deliveries; the folder of a row's file says which delivery it belongs to.
    for rows in landing.rows(session, read):
        delivery = rows._file.re_extract(DELIVERY, 1)
        if all([delivered] == shown_days for delivered, shown_days in days_by_delivery.items()):
            tables.append(rows.mutate(**{contract.day_column: delivery}))
            continue
        shown_on = [
            (delivery == delivered, ibis.array([ibis.literal(day) for day in shown_days]))
            for delivered, shown_days in days_by_delivery.items()
        ]
        tables.append(rows.mutate(**{contract.day_column: ibis.cases(*shown_on).unnest()}))
    carried_days = sum(day != delivered for delivered, shown_days in days_by_delivery.items() for day in shown_days)
    return _union(session, tables, contract), {"days carried forward": carried_days}


def _shown(index: Iterable[LandingFile], day: str) -> str | None:
    """The delivery that a day shows: the latest one up to that day."""
    return max((f.delivery for f in index if f.delivery is not None and f.delivery <= day), default=None)


def _union(session: Session, tables: Sequence[ir.Table], contract: Contract) -> ir.Table:
    names = [c.name for c in contract.table.columns if c.name != "run_timestamp"]
    if not tables:
        nulls = dict.fromkeys(INTERNAL_COLUMNS, ibis.null("string"))
        return session.read(contract.table, []).select(*names, **nulls)
    selected = [t.select(*names, *INTERNAL_COLUMNS) for t in tables]
    return selected[0] if len(selected) == 1 else ibis.union(*selected)


def delivered_twice(landing: Landing, files: Sequence[LandingFile]) -> list[list[str]]:
    """Groups of files with identical content, which were probably delivered twice."""
    by_size: dict[tuple[str | None, int], list[LandingFile]] = {}
    for file in (file for file in files if not file.problem):
        by_size.setdefault((file.delivery if landing.contract.kind is Kind.SNAPSHOT else None, file.size), []).append(
            file
        )
    by_content: dict[str, list[str]] = {}
    for candidates in by_size.values():
        if len(candidates) > 1:
            for file in candidates:
                # A file that is unreadable or gone is reported where its rows are read.
                with suppress(OSError):
                    by_content.setdefault(_content(landing.folder, file), []).append(file.path)
    return [paths for paths in by_content.values() if len(paths) > 1]


def _content(folder: Location, file: LandingFile) -> str:
    """A text that is equal for files of equal content."""
    if not folder.is_local:
        # An object's tag is a digest of its content, as long as it was uploaded in one part.
        return file.version
    with folder.open(file.path) as content:
        return hashlib.file_digest(cast(Any, content), "blake2b").hexdigest()
