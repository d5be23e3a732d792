"""A contract as a Dagster asset: landing files in, an audited source table and its quarantine out."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import ibis
import ibis.expr.types as ir

from wemart_assets.lake.engine import Session, Staged
from wemart_assets.lake.errors import LandingError, PublishConflict
from wemart_assets.lake.mart_asset import Clock, table_asset
from wemart_assets.lake.publication import Publication, RejectedByAudit, publish, stage
from wemart_assets.sources.contract import UNKNOWN_DAY, Contract, Kind
from wemart_assets.sources.landing import DELIVERY, FileIndex, Landing, LandingFile

KINDS = frozenset({"file", "deltalake"})
INSIDE = ("_file", "_raw", "_reason")


def source_asset(
    landing: Landing,
    group: str,
    partitions: dg.TimeWindowPartitionsDefinition,
    settings: Mapping[str, Any],
    clock: Clock,
) -> dg.AssetsDefinition:
    """The Dagster asset of a source table that is made from landing files. Needs a resource `engine`."""

    def run(session: Session, days: Sequence[str], log: Any) -> tuple[Publication, dict[str, Any]]:
        return publish_source(session, landing, days, settings, clock, log)

    return table_asset(landing.contract.table, group, partitions, run, kinds=KINDS)


def unknown_time_asset(landing: Landing, group: str, settings: Mapping[str, Any], clock: Clock) -> dg.AssetsDefinition:
    """The unpartitioned asset of a source's rows whose time is unknown. Needs a resource `engine`."""
    assert landing.contract.unknown_time_table is not None

    def run(session: Session, _days: Sequence[str], log: Any) -> tuple[Publication, dict[str, Any]]:
        return publish_source(session, landing, [UNKNOWN_DAY], settings, clock, log)

    return table_asset(landing.contract.unknown_time_table, group, None, run, kinds=KINDS)


def publish_source(
    session: Session, landing: Landing, days: Sequence[str], settings: Mapping[str, Any], clock: Clock, log: Any
) -> tuple[Publication, dict[str, Any]]:
    """Replace the source's partitions of `days` by what has landed for them; of `UNKNOWN_DAY`, its unknown_time rows.

    Rows that break the contract go to the quarantine, under the same days. If the run is refused, they go to
    `<table>__rejected` instead, so that they can be looked at, and the quarantine stays that of the published rows.

    Raises:
        MachineFault: there is no room or no memory, or the lake cannot be written.
        LandingError: a file that may have rows of these days cannot be read.
        RejectedByAudit: more rows are quarantined than the settings allow.
    """
    contract = landing.contract
    table = contract.unknown_time_table if list(days) == [UNKNOWN_DAY] else contract.table
    assert table is not None
    now = clock()
    quarantine_baseline = session.baseline(contract.quarantine, days)
    quarantined: list[Staged] = []  # until it is published
    shown: dict[str, Any] = {}
    read: dict[LandingFile, FileIndex] = {}

    def compute() -> tuple[ir.Table, Mapping[str, ir.Table]]:
        files, warnings = landing.listing()
        for warning in warnings:
            log.warning(warning)
        index = landing.index(session, files)
        broken = [entry for entry in index.values() if entry.error is not None and entry.may_have_rows_of(days)]
        if contract.kind is Kind.SNAPSHOT:
            # A delivery is whole or it is not shown: the days that carry it forward wait for it as well.
            shown_days = {_shown(index, day) for day in days}
            broken = [
                e for f, e in index.items() if e.error is not None and (f.delivery or days[0]) in {*shown_days, *days}
            ]
        if broken:
            raise LandingError(
                f"{contract.full_name}: {_span(days)} is not published: "
                + "; ".join(str(entry.error) for entry in broken[:3])
            )
        read.update((file, index[file]) for day in days for file in _records_of(contract, index, day))
        for entry in index.values():
            if entry.error is not None:
                log.warning(f"not read, and of no day of this run: {entry.error}")
        if contract.kind is Kind.FACTS:
            today = now.astimezone(ZoneInfo(landing.timezone)).date().isoformat()
            rows, numbers = _facts(session, landing, index, days, today)
        else:
            rows, numbers = _snapshots(session, landing, index, days)
        shown.update(numbers)
        shown["files that cannot be read"] = sum(1 for e in index.values() if e.error is not None)
        shown["files delivered twice"] = dg.MetadataValue.json(delivered_twice(landing, files))
        marked = _by_key(rows, contract)
        checked = marked.filter(~marked._is_repeated).drop("_is_repeated")
        good = checked.filter(checked._reason.isnull()).drop(*INSIDE)
        bad = checked.filter(checked._reason.notnull())
        bad = bad.select(contract.day_column, reason="_reason", file="_file", raw_row="_raw")
        quarantined.append(stage(session, contract.quarantine, bad, days, quarantine_baseline, now))
        shown["quarantined rows"] = sum(quarantined[0].count(day) for day in days)
        return good, {
            "quarantined": quarantined[0].rows,
            "landed": _landed(contract, index, days),
            "repeated": marked.filter(marked._is_repeated),
        }

    def before() -> None:
        # What is known of the files was true of them before they were read.
        landing.check_unchanged(read)
        session.publish(quarantined.pop())

    try:
        # The quarantine is published first: a kept row is never without the ones that were set aside.
        published = publish(
            session,
            table,
            days,
            compute,
            settings,
            now,
            before=before,
            reads=landing.folder,
        )
    except RejectedByAudit as error:
        landing.check_unchanged(read)
        if not sum(staged.count(day) for staged in quarantined for day in days):
            raise
        for staged in quarantined:
            _publish_rejected(session, contract, staged.rows, days, now)
        raise RejectedByAudit(f"{error}\n{_where_rejected(contract, days)}", error.findings) from error
    except session.failures as error:
        landing.check(session, read.values())
        raise LandingError(f"{contract.full_name}: {_span(days)}: landing files cannot be read: {error}") from error
    finally:
        for staged in quarantined:
            session.discard(staged)
    if any(session.sizes(contract.rejected, days).values()):
        _publish_rejected(session, contract, session.read(contract.rejected, []), days, now)
    return published, shown


def _span(days: Sequence[str]) -> str:
    return " to ".join(dict.fromkeys((days[0], days[-1])))


def _publish_rejected(
    session: Session, contract: Contract, rows: ir.Table, days: Sequence[str], now: dt.datetime
) -> None:
    baseline = session.baseline(contract.rejected, days)
    staged = stage(session, contract.rejected, rows.drop("run_timestamp"), days, baseline, now)
    # Another run that was refused at the same time has just written the same.
    with suppress(PublishConflict):
        session.publish(staged)


def _where_rejected(contract: Contract, days: Sequence[str]) -> str:
    day = contract.day_column
    return (
        f'The rows that were set aside are in {contract.rejected.full_name}: wemart sql "select reason, count(*), '
        f"min(raw_row) from {contract.rejected.full_name} where {day} between '{days[0]}' and '{days[-1]}' group by "
        'all order by 2 desc"'
    )


def _records_of(contract: Contract, index: Mapping[LandingFile, FileIndex], day: str) -> dict[LandingFile, int]:
    """The files that a day is made of, with how many of their records count for it."""
    if contract.kind is Kind.FACTS:
        return {file: count for file, entry in index.items() if (count := entry.rows_of(day))}
    delivery = _shown(index, day)
    return {f: e.records for f, e in index.items() if f.delivery is not None and f.delivery == delivery}


def _landed(contract: Contract, index: Mapping[LandingFile, FileIndex], days: Sequence[str]) -> ir.Table:
    """How many records have landed for each day, by the counts of the index."""
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
    of_delivery: dict[str, list[str]] = {}
    for day in days:
        delivered = _shown(index, day)
        if delivered is not None:
            of_delivery.setdefault(delivered, []).append(day)
    read = [entry for file, entry in index.items() if file.delivery in of_delivery]
    tables = []
    # What each delivery's rows are the same for is computed in one query: its folder says which it is.
    for rows in landing.rows(session, read):
        delivery = rows._file.re_extract(DELIVERY, 1)
        if all([delivered] == its_days for delivered, its_days in of_delivery.items()):
            tables.append(rows.mutate(**{contract.day_column: delivery}))
            continue
        shown_on = [(delivery == of, ibis.array([ibis.literal(day) for day in on])) for of, on in of_delivery.items()]
        tables.append(rows.mutate(**{contract.day_column: ibis.cases(*shown_on).unnest()}))
    carried_days = sum(1 for delivered, its_days in of_delivery.items() for day in its_days if day != delivered)
    return _union(session, tables, contract), {"days carried forward": carried_days}


def _shown(index: Iterable[LandingFile], day: str) -> str | None:
    """The delivery that a day shows: the last up to it."""
    return max((f.delivery for f in index if f.delivery is not None and f.delivery <= day), default=None)


def _union(session: Session, tables: Sequence[ir.Table], contract: Contract) -> ir.Table:
    names = [c.name for c in contract.table.columns if c.name != "run_timestamp"]
    if not tables:
        nothing = dict.fromkeys(INSIDE, ibis.null("string"))
        return session.read(contract.table, []).select(*names, **nothing)
    selected = [t.select(*names, *INSIDE) for t in tables]
    return selected[0] if len(selected) == 1 else ibis.union(*selected)


def _by_key(rows: ir.Table, contract: Contract) -> ir.Table:
    """`rows` with `_is_repeated`, set on all but one of those that are equal where a key tells rows apart.

    Rows that share a key and are not equal are given a `_reason`, all but the first.
    """
    keys = [*([contract.key] if contract.key else []), *contract.unique_where_known]
    columns = [c.name for c in contract.columns]
    if contract.first_by is not None:
        columns.sort(key=lambda name: name != contract.first_by)
    rows = rows.mutate(_is_repeated=ibis.literal(False))
    for key in keys:
        known = rows._reason.isnull() & ~rows._is_repeated & ibis.and_(*(rows[c].notnull() for c in key))
        # Rows that take no part stand in a group of their own, so that none is compared with them.
        group = [rows[contract.day_column], known, *(rows[c] for c in key)]
        order = [rows[c].asc(nulls_first=False) for c in columns]
        window = ibis.window(group_by=group, order_by=order)
        placed = rows.mutate(_known=known, _place=ibis.row_number().over(window), _value=ibis.dense_rank().over(window))
        shared = f"another row has the same {', '.join(key)}"
        repeats = placed._known & (placed._place > 0) & (placed._value == 0)
        rows = placed.mutate(
            _is_repeated=placed._is_repeated | repeats,
            _reason=(placed._known & (placed._value > 0)).ifelse(shared, placed._reason),
        )
        rows = rows.drop("_known", "_place", "_value")
    return rows


def delivered_twice(landing: Landing, files: Sequence[LandingFile]) -> list[list[str]]:
    """Groups of files with the same bytes: a delivery that was probably made twice."""
    by_size: dict[tuple[str | None, int], list[LandingFile]] = {}
    for file in (file for file in files if not file.problem):
        by_size.setdefault((file.delivery if landing.contract.kind is Kind.SNAPSHOT else None, file.size), []).append(
            file
        )
    by_content: dict[str, list[str]] = {}
    for alike in by_size.values():
        if len(alike) > 1:
            for file in alike:
                # One that cannot be read, or went meanwhile, is told of where its rows are read.
                with suppress(OSError):
                    by_content.setdefault(_content(landing.folder / file.path), []).append(file.path)
    return [paths for paths in by_content.values() if len(paths) > 1]


def _content(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()
