"""`wemart check-source`: what a run would make of files as a source, without running anything."""

from __future__ import annotations

import datetime as dt
import os
import re
import shutil
import tempfile
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wemart_assets.clock import business_today, utc_now
from wemart_assets.lake.errors import LandingError
from wemart_assets.settings import Settings, load_settings
from wemart_assets.text import aligned, visible

if TYPE_CHECKING:
    from wemart_assets.lake.location import Location
    from wemart_assets.sources.check import CheckedFile, Findings
    from wemart_assets.sources.contract import Contract
    from wemart_assets.sources.listing import LandingFile
    from wemart_assets.sources.mapping import SourceMapping

# Landed files that are looked at unless all are wanted: the last ones by name.
MOST_FILES = 10
# Days and reasons that are listed, and the longest texts of cells and reasons.
MOST_DAYS, MOST_REASONS, WIDEST_CELL, LONGEST_REASON = 31, 20, 44, 300


def _matching_sources(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    from wemart_assets import catalog

    return [name for name in sorted(catalog.contracts()) if begun in name]


@click.command("check-source")
@click.argument("source", metavar="SOURCE", required=False, shell_complete=_matching_sources)
@click.argument("files", metavar="[FILE]...", nargs=-1)
@click.option(
    "--use", metavar="NAME", help="a ready mapping (see --list) instead of the source's entry in sources.yaml"
)
@click.option(
    "--sources",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="mapping file; WEMART_SOURCES by default",
)
@click.option("--rows", default=10, show_default=True, type=click.IntRange(0), help="mapped rows to show")
@click.option("--all", "whole", is_flag=True, help="read every landed file, and every file to its end")
@click.option("--list", "listed", is_flag=True, help="only list the sources and the ready mappings")
@click.pass_context
def check_source(
    context: click.Context,
    source: str | None,
    files: tuple[str, ...],
    use: str | None,
    sources: Path | None,
    rows: int,
    whole: bool,
    listed: bool,
) -> None:
    """Show how files are read as SOURCE: mapped rows, rows by day, refused records, columns that stay NULL.

    Without FILE, the landed files are read, or the external table. Files need not be in the landing folder. Of a large
    file only the beginning is read, and of many landed files the last ten by name; --all reads everything. Nothing is
    run and nothing is changed.

    All columns of text formats (CSV, JSON lines, text) are text. An expression in sources.yaml has to cast them
    before it computes with them, as in cast(time as bigint) * 1000; try_cast gives NULL for a value that is no number.

    \b
    Examples:
      wemart check-source --list
      wemart check-source service_log.weverse_server_log access.log.gz --use nginx_combined
      wemart check-source rudder.tracks --rows 3

    \b
    Exit codes:
      0    every record fits
      1    a record is refused, or a file cannot be read
      2    the command was used incorrectly
    """
    from wemart_assets import catalog

    contracts = catalog.contracts()
    if listed:
        click.echo(_lists(contracts))
        return
    if source is None:
        raise click.UsageError("name a SOURCE; --list shows them")
    contract = contracts.get(source.replace("/", "."))
    if contract is None:
        raise click.UsageError(f"unknown source '{source}'; expected one of {', '.join(sorted(contracts))}")
    findings, notes = _findings(contract, files, use, sources, rows, whole)
    for line in _report(contract, findings, notes):
        click.echo(line)
    if not findings.is_good:
        context.exit(1)


def _findings(
    contract: Contract, given: Sequence[str], use: str | None, sources: Path | None, rows: int, whole: bool
) -> tuple[Findings, list[str]]:
    """What a run would make of the files, and what was left out."""
    from wemart_assets import catalog
    from wemart_assets.lake.duckdb_engine import DuckDBEngine
    from wemart_assets.lake.folder_store import FolderStore
    from wemart_assets.lake.location import Location
    from wemart_assets.lake.session import Session
    from wemart_assets.lake.store import ExternalStore
    from wemart_assets.sources.check import Check
    from wemart_assets.sources.external import external_tables
    from wemart_assets.sources.mapping import load_mappings, mapping_of

    settings = load_settings()
    of_sources = replace(settings.for_sources(), sources=sources or settings.sources)
    today = business_today(settings.timezone, utc_now).isoformat()
    externals = {}
    if use is None:
        mapping = load_mappings(of_sources.sources, catalog.contracts().values())[contract.full_name]
        if mapping.table is not None and not given:
            externals = external_tables(of_sources, catalog.contracts())
    else:
        mapping = mapping_of("--use", contract, {"use": use})
    external = externals.get(contract.full_name)
    notes: list[str] = []
    with tempfile.TemporaryDirectory(prefix="wemart-check-") as folder:
        chosen: list[tuple[Location, LandingFile, str]] = []
        if external is None:
            chosen = list(_given(contract, given, settings, today)) if given else []
            if not given:
                chosen, notes = _landed(contract, mapping, settings, whole)
        # Files are copied from an object store; only a table is read there by DuckDB itself.
        reaches = [Location.of(folder), *([external.location] if external else [])]
        engine = DuckDBEngine(settings.memory_limit, settings.threads, settings.spill, reaches, settings.offline)
        with engine.connect_without_dagster() as connection:
            session = Session(connection, FolderStore(Location.of(folder)), ExternalStore(externals))
            first_day = settings.first_day.isoformat()
            check = Check(contract, mapping, Path(folder), settings.timezone, first_day, whole, rows)
            found = check.files(session, chosen) if external is None else check.table(session, external, today)
    return found, notes


def _given(
    contract: Contract, given: Sequence[str], settings: Settings, today: str
) -> Iterator[tuple[Location, LandingFile, str]]:
    """Files that were named: their folders, the files, and where they would be in the landing folder.

    Raises:
        UsageError: there is no such file.
    """
    from wemart_assets.lake.location import Location, is_url
    from wemart_assets.sources.contract import Kind
    from wemart_assets.sources.listing import DELIVERY, LandingFile

    for full, name in {name if is_url(name) else os.path.abspath(name): name for name in given}.items():
        parent, _, base = full.rpartition("/")
        if not is_url(name) and not Path(name).is_file():
            raise click.UsageError(
                f"{name} is {'a folder' if Path(name).is_dir() else 'not there'}; name regular files"
            )
        dated = re.search(DELIVERY, full)
        path = full[dated.start() :].lstrip("/") if dated else full.partition("://")[2] or full.lstrip("/")
        # Names in messages are as they were given, as far as they can be those of files within a folder.
        if not dated and not Path(name).is_absolute() and not is_url(name) and ".." not in Path(name).parts:
            path = Path(name).as_posix()
        if not dated and contract.kind is Kind.SNAPSHOT:
            # The day of a snapshot is that of its folder.
            path = f"date={today}/{path}"
        yield Location.of(parent, settings.storage), LandingFile(base, 0, ""), path


def _landed(
    contract: Contract, mapping: SourceMapping, settings: Settings, whole: bool
) -> tuple[list[tuple[Location, LandingFile, str]], list[str]]:
    """The landed files to look at, and what else there is in the landing folder.

    Raises:
        LandingError: there is none, or the object store cannot be reached.
    """
    from wemart_assets.sources.listing import list_landing

    folder = settings.landing_location / (mapping.landing or contract.full_name)
    files, notes = list_landing(contract.full_name, folder)
    if not files:
        raise LandingError(
            f"{contract.full_name}: no file has landed in {folder}. Name files to check, or put them there."
        )
    if len(files) > MOST_FILES and not whole:
        notes.append(f"Only the last {MOST_FILES} of {len(files):,} files were read; --all reads them all.")
        files = files[-MOST_FILES:]
    return [(folder, file, file.path) for file in files], notes


def _report(contract: Contract, findings: Findings, notes: Sequence[str]) -> Iterator[str]:
    settings = load_settings()
    width = shutil.get_terminal_size((100, 24)).columns
    readable = [file for file in findings.files if file.error is None]
    records = sum(file.records for file in readable)
    duplicates = f", {_number(findings.repeated, 'duplicate')}" if findings.repeated else ""
    yield (
        f"{contract.full_name}: {_number(records, 'record')} of {_number(len(readable), 'file')}: "
        f"{_number(findings.total, 'row')}, {findings.refused:,} refused{duplicates}"
    )
    yield from notes
    if len(readable) > 1 or any(file.part for file in readable):
        lines = [("file", "records", "read")]
        lines += [(visible(file.path), f"{file.records:,}", file.part or "all of it") for file in readable]
        yield f"\n{aligned(lines, right=(1,))}"
    # One mistake in the mapping makes many files unreadable, and is told once.
    alike: dict[str, list[CheckedFile]] = {}
    for file in findings.files:
        if file.error is not None:
            alike.setdefault(file.error.replace(file.path, ""), []).append(file)
    for first, *others in alike.values():
        yield f"\nCannot be read: {visible(str(first.error))}"
        if others:
            yield f"The same is wrong with {_cut(', '.join(file.path for file in others), width - 23)}"
    if findings.rows:
        yield f"\nThe first {_number(len(findings.rows), 'row')}:\n\n{_table(findings.rows, width)}"
    if findings.days:
        yield f"\nBy business day ({settings.timezone}):\n\n{_days(contract, findings, settings.first_day)}"
    if findings.refusals:
        yield "\nRefused (they would be quarantined):\n"
        for refusal in findings.refusals[:MOST_REASONS]:
            yield f"  {_number(refusal.records, 'record')}: {_cut(refusal.reason, LONGEST_REASON)}"
            yield f"    {_cut(f'{refusal.file}: {refusal.example}', width - 4)}"
        if len(findings.refusals) > MOST_REASONS:
            yield f"  and {len(findings.refusals) - MOST_REASONS} more reasons"
    if findings.nulls:
        yield "\nNULL in every row:\n"
        names_by_reason: dict[str, list[str]] = {}
        for name, why in findings.nulls.items():
            names_by_reason.setdefault(why, []).append(name)
        for why, names in names_by_reason.items():
            yield textwrap.fill(", ".join(names), width, initial_indent="  ", subsequent_indent="  ")
            yield f"    {_cut(why, width - 4)}"


def _days(contract: Contract, findings: Findings, first_day: dt.date) -> str:
    lines: list[Sequence[str]] = [("day", "rows", "refused", "")]
    days = list(findings.days.items())
    for day, (kept, refused) in days[-MOST_DAYS:]:
        is_early = day[:1].isdigit() and day < first_day.isoformat() and contract.instant and not contract.is_history
        lines.append((day, f"{kept:,}", f"{refused:,}", "before WEMART_FIRST_DAY, left out" if is_early else ""))
    if not any(line[3] for line in lines):
        lines = [line[:3] for line in lines]
    more = f"\n… after {len(days) - MOST_DAYS} earlier days" if len(days) > MOST_DAYS else ""
    return aligned(lines, right=(1, 2)) + more


def _table(rows: Sequence[Mapping[str, Any]], width: int) -> str:
    """The rows as a table; columns that do not fit beside the others are continued below."""
    blocks: list[list[list[str]]] = [[]]
    used = 0
    for name in rows[0]:
        cells = [_cut(name, WIDEST_CELL), *(_cut(_shown(row[name]), WIDEST_CELL) for row in rows)]
        wide = max(map(len, cells)) + 2
        if blocks[-1] and used + wide > width + 2:
            blocks.append([])
            used = 0
        blocks[-1].append(cells)
        used += wide
    return "\n\n".join(aligned(list(zip(*block, strict=True))) for block in blocks)


def _shown(value: Any) -> str:
    if isinstance(value, dt.datetime):
        return value.isoformat(" ", "milliseconds")
    return "NULL" if value is None else str(value)


def _number(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _cut(text: str, width: int) -> str:
    shown = visible(text)
    return shown if len(shown) <= width else f"{shown[: max(width - 1, 1)]}…"


def _lists(contracts: dict[str, Contract]) -> str:
    from wemart_assets.sources.ready import ready_mapping, ready_names

    lines = [("source", "what a row is")]
    lines += [(name, contract.description) for name, contract in sorted(contracts.items())]
    text = f"Sources:\n\n{aligned(lines)}\n\nReady mappings, for `use: NAME` in sources.yaml or --use NAME:\n"
    for name in ready_names():
        mapping = ready_mapping(name)
        text += f"\n  {name:<18} {mapping.description}\n  {'':<18} for {', '.join(mapping.entries)}"
    return text
