"""What a run would make of files, without one: rows, days, refused rows, columns that stay NULL, unreadable files.

It is found out by the code that a run uses, in a temporary folder with links to the files, or copies of objects. Of a
large file only the beginning is copied, so that the answer comes soon. Neither the lake nor the landing folder is
changed.
"""

from __future__ import annotations

import gzip
import io
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any

import ibis
import ibis.expr.types as ir
import pyarrow.parquet as pq

from wemart_assets.lake.engine import FileFormat, FileKind
from wemart_assets.lake.errors import LandingError
from wemart_assets.lake.faults import raise_fault
from wemart_assets.lake.location import Location
from wemart_assets.lake.session import Session
from wemart_assets.lake.store import ExternalTable
from wemart_assets.sources.conform import by_key, with_faults
from wemart_assets.sources.contract import Contract, Kind
from wemart_assets.sources.index import FileIndex
from wemart_assets.sources.landing import Landing, unreadable
from wemart_assets.sources.listing import DELIVERY, LandingFile
from wemart_assets.sources.mapping import SourceMapping
from wemart_assets.sources.records import opened, records_of

# How much of a file is read: bytes of a text file (decompressed), rows of a Parquet file or a table.
MOST_BYTES, MOST_ROWS = 4 << 20, 100_000


@dataclass(frozen=True)
class CheckedFile:
    """A file that was read.

    Attributes:
        records: how many records were looked at, including refused ones.
        part: which part of the file was looked at; empty for all of it.
        error: why it cannot be read; None if it can.
    """

    path: str
    records: int
    part: str = ""
    error: str | None = None


@dataclass(frozen=True)
class Refusal:
    """Records that are refused for one reason, with one of them as an example."""

    reason: str
    records: int
    file: str
    example: str


@dataclass
class Findings:
    """What a run would make of the files.

    Attributes:
        rows: the first accepted rows, with the contract's columns; `total` is the number of all of them.
        days: for each business day the accepted and the refused records.
        repeated: how many records are exact duplicates, which are kept once.
        nulls: the columns that are NULL in every accepted row, and why.
        is_external: whether they are those of an external table, whose rows marts read even if they are refused here.
    """

    files: list[CheckedFile] = field(default_factory=list)
    rows: list[Mapping[str, Any]] = field(default_factory=list)
    total: int = 0
    days: dict[str, tuple[int, int]] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    repeated: int = 0
    nulls: dict[str, str] = field(default_factory=dict)
    is_external: bool = False

    @property
    def refused(self) -> int:
        """The number of refused records."""
        return sum(refusal.records for refusal in self.refusals)

    @property
    def is_good(self) -> bool:
        """Whether all files can be read and no record is refused."""
        return not self.refusals and not any(file.error for file in self.files)


class Check:
    """A check of files as one source; `workspace` is an empty folder that the caller removes afterwards.

    Attributes:
        whole: whether files are read to their end.
        shown: how many rows to return.
    """

    def __init__(
        self,
        contract: Contract,
        mapping: SourceMapping,
        workspace: Path,
        timezone: str,
        first_day: str,
        whole: bool = False,
        shown: int = 10,
    ) -> None:
        self.contract, self.mapping, self.whole, self.shown = contract, mapping, whole, shown
        place = Location.of(workspace / "landing"), Location.of(workspace / "lake")
        self._landing = Landing(contract, mapping, *place, timezone, first_day)

    def files(self, session: Session, files: Sequence[tuple[Location, LandingFile, str]]) -> Findings:
        """Checks files: for each, the folder that it is in, the file, and its path within a landing folder.

        A problem with a file is among the findings.
        """
        parts: dict[str, str] = {}
        copies: list[LandingFile] = []
        findings = Findings()
        for folder, file, path in files:
            try:
                if file.problem:
                    raise LandingError(file.problem)
                with unreadable(self.contract.full_name, file.path):
                    copy, parts[path] = self._copied(folder, file.path, path)
            except LandingError as error:
                findings.files.append(CheckedFile(path, 0, error=str(error)))
                continue
            stat = copy.stat()
            copies.append(LandingFile(path, stat.st_size, str(stat.st_mtime_ns)))
        good: list[FileIndex] = []
        for file, entry in self._landing.index(session, copies).items():
            self._add(findings, entry, parts[file.path], entry.error)
            good += [entry] if entry.error is None else []
        try:
            self._count_files(session, good, findings)
        except session.failures as failure:
            raise_fault(f"{self.contract.full_name}: reading the files", failure)
            # An expression fails on a value that the index does not look at.
            findings.files = [file for file in findings.files if file.error is not None]
            whole = []
            for entry in good:
                try:
                    self._landing.check(session, [entry])
                except LandingError as error:
                    self._add(findings, entry, parts[entry.path], str(error))
                else:
                    self._add(findings, entry, parts[entry.path], None)
                    whole.append(entry)
            if len(whole) == len(good):
                raise
            self._count_files(session, whole, findings)
        return findings

    def _add(self, findings: Findings, entry: FileIndex, part: str, error: str | None) -> None:
        # Messages of engines name the copy by its place.
        error = None if error is None else error.replace(f"{self._landing.folder}/", "")
        findings.files.append(CheckedFile(entry.path, entry.records, part, error))

    def _count_files(self, session: Session, entries: Sequence[FileIndex], findings: Findings) -> None:
        tables = self._landing.rows(session, entries)
        if self.contract.kind is Kind.SNAPSHOT:
            tables = [t.mutate(**{self.contract.day_column: t._file.re_extract(DELIVERY, 1)}) for t in tables]
        if not tables:
            return
        names = [c.name for c in self.contract.columns if c.name != self.contract.day_column]
        names += [self.contract.day_column, "_file", "_raw", "_reason"]
        selected = [table.select(*names) for table in tables]
        rows = ibis.union(*selected) if len(selected) > 1 else selected[0]
        self._count(by_key(session.named(rows), self.contract), findings)
        self._explain_nulls(findings, {column for entry in entries for column in entry.columns}, "the files")

    def table(self, session: Session, external: ExternalTable, today: str) -> Findings:
        """Checks the first rows of an external table. A run does not check them: marts read them as they are.

        Raises:
            UnreadableTable: there is no such table, or it does not have the columns that its mapping needs.
        """
        # Without a day column and an instant, all rows belong to every day.
        days = [today] if external.day is None and external.derived_day is None else None
        rows = session.read(self.contract.table, days)
        rows = rows if self.whole else rows.limit(MOST_ROWS)
        rows = rows.mutate(_file=ibis.literal(str(external.location)), _raw=ibis.null("string"))
        rows = rows.mutate(_reason=ibis.null("string"), _is_repeated=ibis.literal(False))
        findings = Findings(is_external=True)
        self._count(with_faults(rows, self.contract, self.contract.columns), findings)
        records = findings.total + findings.refused
        part = "" if self.whole or records < MOST_ROWS else f"the first {MOST_ROWS:,} rows"
        findings.files.append(CheckedFile(str(external.location), records, part))
        self._explain_nulls(findings, {c.name for c in self.contract.columns}, "the table")
        return findings

    def _copied(self, folder: Location, source: str, path: str) -> tuple[Path, str]:
        """The place of a copy of a file, or of its beginning; and which part it has, empty for all of it."""
        form = self.mapping.format_of(path, self.contract.form)
        copy = self._landing.folder.path / path
        if copy.exists():
            # It is a link to another file, through which that file would be written.
            raise LandingError(f"{path} is the path of two files; check them one by one")
        copy.parent.mkdir(parents=True, exist_ok=True)
        if not self.whole and form.kind is FileKind.PARQUET:
            with folder.open(source) as content:
                if pq.read_metadata(content).num_rows > MOST_ROWS:
                    content.seek(0)
                    return copy, _head_of_parquet(content, copy)
        elif not self.whole:
            with opened(folder, source, form) as content:
                head = content.read(MOST_BYTES + 1)
            if len(head) > MOST_BYTES and (head := _whole_records(head, form, path)):
                copy.write_bytes(gzip.compress(head, 1) if form.gzipped else head)
                return copy, f"the first {len(head) / 1e6:.1f} MB" + (" decompressed" if form.gzipped else "")
        if folder.is_local:
            copy.symlink_to(folder.path / source)
        else:
            with folder.open(source) as content, copy.open("wb") as target:
                shutil.copyfileobj(content, target)
        return copy, ""

    def _count(self, rows: ir.Table, findings: Findings) -> None:
        # The rows are computed once. What can be told of them is counted in one pass each.
        found = rows.cache()
        day, names = self.contract.day_column, [c.name for c in self.contract.columns]
        is_good = found._reason.isnull() & ~found._is_repeated
        counts = found.group_by(found[day]).aggregate(
            kept=is_good.sum(), refused=found._reason.count(), repeated=found._is_repeated.sum()
        )
        for row in counts.to_pyarrow().to_pylist():
            name = "without a day" if row[day] is None else row[day]
            findings.days[name] = (row["kept"], row["refused"])
            findings.repeated += row["repeated"]
        findings.days = dict(sorted(findings.days.items()))
        good = found.filter(is_good)
        known = good.aggregate(total=good.count(), **{f"known_{n}": good[n].count() for n in names})
        [numbers] = known.to_pyarrow().to_pylist()
        findings.total = numbers["total"]
        findings.nulls = {n: "" for n in names if findings.total and not numbers[f"known_{n}"]}
        shown = [day, *(n for n in names if n != day and n not in findings.nulls)]
        order = [str(self.contract.instant)] if self.contract.instant else []
        ordered = good.order_by([good[n] for n in ["_file", *order]])
        findings.rows = ordered.select(*shown).limit(self.shown).to_pyarrow().to_pylist()
        findings.refusals = _refusals(found.filter(found._reason.notnull()))

    def _explain_nulls(self, findings: Findings, in_files: set[str], place: str) -> None:
        for name in findings.nulls:
            sql = self.mapping.expression(name)
            if self.mapping.is_null(name):
                why = "set to NULL by the mapping"
            elif sql is not None:
                why = f"the expression is NULL in every row: {sql}"
            elif name in in_files:
                why = f"NULL in every row of {place}"
            else:
                why = f"neither in the mapping nor in {place}"
            findings.nulls[name] = why


def _refusals(rows: ir.Table) -> list[Refusal]:
    # Reasons contain values and lines, which would make almost every one unique.
    kind = rows._reason.re_replace("^line [0-9]+: ", "")
    kind = kind.re_replace("(?s)^([A-Za-z0-9_]+): .* is not ", r"\1: a value is not ")
    kind = kind.re_replace("it has [0-9]+ fields", "it has more or fewer fields")
    rows = rows.mutate(_kind=kind)
    first = ibis.window(group_by=rows._kind, order_by=[rows._file, rows._reason, rows._raw])
    numbered = rows.mutate(
        _place=ibis.row_number().over(first), _records=rows.count().over(ibis.window(group_by=rows._kind))
    )
    examples = numbered.filter(numbered._place == 0).select("_kind", "_records", "_reason", "_file", "_raw")
    found = sorted(examples.to_pyarrow().to_pylist(), key=lambda row: (-row["_records"], row["_kind"]))
    return [
        Refusal(
            row["_kind"] if row["_records"] > 1 else row["_reason"], row["_records"], row["_file"], row["_raw"] or ""
        )
        for row in found
    ]


def _head_of_parquet(content: IO[bytes], copy: Path) -> str:
    file, rows = pq.ParquetFile(content), 0
    with pq.ParquetWriter(copy, file.schema_arrow) as writer:
        for batch in file.iter_batches(batch_size=10_000):
            writer.write_batch(batch)
            rows += batch.num_rows
            if rows >= MOST_ROWS:
                break
    return f"the first {rows:,} rows"


def _whole_records(head: bytes, form: FileFormat, path: str) -> bytes:
    """The beginning of a file without the record in which it was cut; empty if no record is whole."""
    whole = _without_last(head, form, path)
    has_header = form.kind is FileKind.CSV and not form.names
    with suppress(LandingError):
        if not any(islice(records_of(io.BytesIO(whole), form, path), int(has_header), None)):
            return b""
    return whole


def _without_last(head: bytes, form: FileFormat, path: str) -> bytes:
    ends = (b"\n", b"\r") if form.kind is FileKind.CSV else (b"\n",)
    if form.kind is not FileKind.CSV or b'"' not in head:
        return head[: max(map(head.rfind, ends)) + 1]
    # A line end may be inside quotes, so only the records themselves tell where the last one begins.
    last = 1
    with suppress(LandingError):
        for record in records_of(io.BytesIO(head), form, path):
            last = record.line
    return b"".join(head.splitlines(keepends=True)[: last - 1])
