"""Landing files: which there are, how they read as a contract, and of which business days they have rows.

A file often spans several business days (a UTC day is two days in Seoul, an export is a month), so a fact's day is
never taken from a path. What a file holds is found once and kept beside the source table, under the file's
fingerprint; a file that changes has another fingerprint and is looked at again.
"""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import hashlib
import json
import os
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.days import shift
from wemart_assets.lake.engine import FileFormat, FileKind, Session
from wemart_assets.lake.errors import LandingError, WemartError
from wemart_assets.lake.faults import raise_fault
from wemart_assets.lake.table import Column
from wemart_assets.settings import Settings
from wemart_assets.sources.conform import conformed, readable_as, with_faults
from wemart_assets.sources.contract import UNKNOWN_DAY, Contract, Kind
from wemart_assets.sources.expressions import referenced
from wemart_assets.sources.mapping import SourceMapping, load_mappings

INDEX_FOLDER = "_landing"
# Texts of unknown times that the index keeps; a file with more is one that nobody writes.
MOST_TEXTS = 20
DELIVERY = r"(?:^|/)date=([0-9]{4}-[0-9]{2}-[0-9]{2})/"


@dataclass(frozen=True, order=True)
class LandingFile:
    """A file below the landing folder of its source."""

    path: str
    size: int
    modified_ns: int

    @property
    def delivery(self) -> str | None:
        """The day of the `date=` folder that it lies in, None where there is none that is a day."""
        found = re.search(DELIVERY, self.path)
        try:
            return dt.date.fromisoformat(found.group(1)).isoformat() if found else None
        except ValueError:
            return None


@dataclass(frozen=True)
class FileIndex:
    """What is known of one landing file.

    Attributes:
        columns: the file's columns that the contract reads.
        header: all columns of a file that has the same ones in each row (of JSON lines each row says its own).
        types: the contract's columns, with the types that the file gives them.
        days: rows of each business day (facts), and of `UNKNOWN_DAY` where the contract knows unknown times; as they
            last were where the file cannot be read any more.
        undated: rows whose instant cannot be read, counted for `undated_day`.
        faulty: rows that break the contract by themselves; None where that was not counted, since rows of a key break
            it together.
        unknown_as: all that unknown times are written as in a text file, None where that was not looked for or is much.
        error: why it cannot be read, None where it can.
    """

    path: str
    columns: Sequence[str]
    types: Mapping[str, str]
    days: Mapping[str, int]
    undated: int = 0
    undated_day: str | None = None
    faulty: int | None = None
    unknown_as: Sequence[str] | None = None
    header: Sequence[str] = ()
    error: str | None = None

    def has_rows_of(self, days: Iterable[str]) -> bool:
        return any(day in self.days or (self.undated and day == self.undated_day) for day in days)

    def all_days(self) -> set[str]:
        """The days that it has rows of, and the one that its rows without an instant count for."""
        return set(self.days) | ({self.undated_day} if self.undated and self.undated_day else set())

    def may_have_rows_of(self, days: Iterable[str]) -> bool:
        """Whether a file that cannot be read may have rows of `days`.

        It may have rows of the days that it had before, and a file under `date=D` of D and, as days begin at other
        instants elsewhere, of the days beside it; one that lies in no such folder may have rows of any day. Rows of
        an unknown time may lie in any file.
        """
        delivery = LandingFile(self.path, 0, 0).delivery
        near = {shift(delivery, offset) for offset in (-1, 0, 1)} if delivery else set()
        return delivery is None or any(day in near or day in self.days or day == UNKNOWN_DAY for day in days)


class Landing:
    """The landing folder of one source, and the index that is kept of it."""

    def __init__(
        self, contract: Contract, mapping: SourceMapping, landing: Path, lake: Path, timezone: str, first_day: str
    ) -> None:
        self.contract = contract
        self.mapping = mapping
        self.folder = landing.absolute() / (mapping.landing or contract.full_name)
        self.timezone = timezone
        self.first_day = first_day
        self._index = lake.absolute() / contract.database / contract.name / INDEX_FOLDER

    def files(self) -> list[LandingFile]:
        """All files that have landed, in the order of their paths."""
        found = []
        for root, folders, names in os.walk(self.folder):
            folders[:] = sorted(f for f in folders if not f.startswith((".", "_")))
            for name in names:
                if name.startswith((".", "_")) or name.endswith((".tmp", ".crc", ".part")):
                    continue
                path = Path(root) / name
                try:
                    stat = path.stat()
                except FileNotFoundError:
                    continue
                found.append(LandingFile(path.relative_to(self.folder).as_posix(), stat.st_size, stat.st_mtime_ns))
        return sorted(found)

    def index(self, session: Session, files: Sequence[LandingFile]) -> dict[LandingFile, FileIndex]:
        """What each file holds; files that were not seen before are read for it. Those that went meanwhile are none."""
        found = {file: self.known(file) or self._look(session, file) for file in files}
        return {file: entry for file, entry in found.items() if entry is not None}

    def known(self, file: LandingFile) -> FileIndex | None:
        """What is kept of a file, None where it was never looked at as it is now."""
        return self._kept(self._entry(file))

    def rows(self, session: Session, found: Sequence[FileIndex], days: Sequence[str] | None = None) -> list[ir.Table]:
        """The files' rows (of `days`, if given) as the contract's columns, one table a kind of file.

        Beside the contract's columns: `_file` (below the landing folder), `_raw`, `_reason`, NULL where the row does
        not break the contract by itself, and for facts the business day, an instant that cannot be read counting for
        the file's `undated_day`. Nothing is looked for that the index says is not there.
        """
        groups: dict[tuple[Any, ...], list[FileIndex]] = {}
        for entry in found:
            alike = json.dumps([entry.columns, entry.types])
            others = frozenset() if days is None else frozenset(entry.all_days() - set(days))
            which = "all" if not others else "known" if others == {UNKNOWN_DAY} else "some"
            which = "unknown" if list(days or ()) == [UNKNOWN_DAY] else which
            is_clean = entry.faulty == 0
            # Read together, rows would have each other's columns: `_raw` is asked for where a row may be faulty.
            header = () if is_clean else tuple(entry.header)
            groups.setdefault((self._format_of(entry.path), alike, which, is_clean, header), []).append(entry)
        tables = []
        for (form, _, which, is_clean, _), entries in groups.items():
            paths, columns = [e.path for e in entries], entries[0].columns
            unknown_as = None
            if all(entry.unknown_as is not None for entry in entries):
                unknown_as = sorted({text for entry in entries for text in entry.unknown_as or ()})
            rows = self._conformed(session, paths, form, columns, self.contract.columns, unknown_as, is_clean)
            if is_clean:
                rows = rows.mutate(_reason=ibis.null("string"))
            else:
                rows = with_faults(rows, self.contract, self.contract.columns)
            if which == "known":
                rows = rows.filter(~rows._is_unknown)
            if which == "unknown":
                rows = rows.filter(rows._is_unknown)
            if self.contract.kind is Kind.FACTS:
                rows = self._placed(rows, entries)
            if which == "some":
                rows = rows.filter(rows[self.contract.day_column].isin(list(days or ())))
            tables.append(rows)
        return tables

    def _placed(self, rows: ir.Table, entries: Sequence[FileIndex]) -> ir.Table:
        by_day: dict[str, list[str]] = {}
        for entry in entries:
            if entry.undated:
                by_day.setdefault(str(entry.undated_day), []).append(entry.path)
        day = rows._day
        if by_day:
            undated = [(rows._file.isin(paths), ibis.literal(of)) for of, paths in sorted(by_day.items())]
            day = day.fill_null(ibis.cases(*undated, else_=ibis.null("string")))
        return rows.mutate(**{self.contract.day_column: day}).drop("_day", "_is_unknown", "_unknown_as")

    def _format_of(self, path: str) -> FileFormat:
        return self.mapping.format_of(path, self.contract.form)

    def _look(self, session: Session, file: LandingFile) -> FileIndex | None:
        try:
            with self._errors_of(file.path):
                entry = self._read(session, file)
        except LandingError as error:
            if not (self.folder / file.path).exists():
                return None
            before = self._kept(self._last(file))
            return FileIndex(file.path, [], {}, before.days if before else {}, error=str(error))
        try:
            self._index.mkdir(parents=True, exist_ok=True)
            for target in (self._entry(file), self._last(file)):
                # Several runs may look at one file at once; each writes the same, and a reader never sees half of it.
                draft = target.with_suffix(f".{os.getpid()}.tmp")
                draft.write_text(json.dumps(asdict(entry)))
                draft.replace(target)
        except OSError as error:
            raise WemartError(
                f"{self.contract.full_name}: the index of landing files cannot be written to {self._index} "
                f"({error.strerror}). Point WEMART_LAKE at a folder that this user can write."
            ) from error
        return entry

    def _kept(self, entry: Path) -> FileIndex | None:
        try:
            return FileIndex(**json.loads(entry.read_text()))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _read(self, session: Session, file: LandingFile) -> FileIndex:
        form = self._format_of(file.path)
        if self.contract.kind is Kind.SNAPSHOT and file.delivery is None:
            raise LandingError(
                f"{self.contract.full_name}: landing file {file.path} lies in no date=YYYY-MM-DD/ folder, so the day "
                "of the snapshot is not known; move it into one"
            )
        path = str(self.folder / file.path)
        if form.kind is not FileKind.PARQUET and (_unzipped(path) if form.gzipped else file.size) == 0:
            return FileIndex(file.path, [], {}, {})
        if form.names:
            self._check_width(file.path, form)
        there = session.file_columns(path, form)
        header = [] if form.kind is FileKind.JSONL else list(there)
        columns = self._columns(file.path, form, there)
        sample = session.scan([path], form, columns, self._expressions(columns))
        self._check_types(file.path, form, sample)
        types = {c.name: str(sample[c.name].type()) for c in self.contract.columns if c.name in sample.columns}
        if self.contract.kind is Kind.SNAPSHOT:
            return FileIndex(file.path, columns, types, {}, header=header)
        of = [c for c in self.contract.columns if c.name == self.contract.instant or _may_be_faulty(c)]
        rows = with_faults(self._conformed(session, [file.path], form, columns, of), self.contract, of)
        by_day = rows.group_by(day=rows._day, unknown_as=rows._unknown_as).aggregate(
            rows=ibis._.count(), faulty=rows._reason.count()
        )
        with self._errors_of(file.path, session.failures):
            found = by_day.to_pyarrow().to_pylist()
        counted = Counter[str | None]()
        for row in found:
            counted[row["day"]] += row["rows"]
        written = {row["unknown_as"] for row in found} - {None}
        is_text = str(sample[str(self.contract.instant)].type()) == "string"
        undated = counted.pop(None, 0)
        dated = sorted(str(day) for day in set(counted) - {UNKNOWN_DAY})
        # A row whose time cannot be read is quarantined under the day that its file was delivered for, or begins with.
        # A file that began before the first day is not looked at before that.
        undated_day = file.delivery or next(iter(dated), self.first_day)
        if undated_day < self.first_day:
            undated_day = next((day for day in dated if day >= self.first_day), undated_day)
        return FileIndex(
            file.path,
            columns,
            types,
            dict(sorted((str(day), n) for day, n in counted.items())),
            undated,
            undated_day if undated else None,
            faulty=None if self.contract.key else sum(row["faulty"] for row in found),
            unknown_as=sorted(written) if is_text and len(written) <= MOST_TEXTS else None,
            header=header,
        )

    @contextmanager
    def _errors_of(
        self, path: str, errors: tuple[type[Exception], ...] = (OSError, EOFError, zlib.error, csv.Error)
    ) -> Iterator[None]:
        """What goes wrong while a file is read, said of that file."""
        try:
            yield
        except errors as error:
            raise_fault(f"{self.contract.full_name}: reading {path}", error)
            raise LandingError(
                f"{self.contract.full_name}: landing file {path} cannot be read: {error}. If it is still being "
                "written, it is read again when it has changed; else deliver it anew or remove it."
            ) from error

    def _check_width(self, path: str, form: FileFormat) -> None:
        """Without a header only the number of columns tells a file of another source.

        Raises:
            LandingError: the file's first line has more or fewer than there are names.
        """
        target = self.folder / path
        with gzip.open(target, "rt", errors="replace") if form.gzipped else target.open(errors="replace") as lines:
            first = next(csv.reader(lines, delimiter=form.delimiter), None)
        if first and len(first) != len(form.names):
            raise LandingError(
                f"{self.contract.full_name}: landing file {path} has {len(first)} columns, expected {len(form.names)} "
                f"without a header: {', '.join(form.names)}. If it is of another source, move it there; else deliver "
                "it with these columns, or say its names in sources.yaml."
            )

    def _columns(self, path: str, form: FileFormat, there: Mapping[str, bool]) -> list[str]:
        """The file's columns that the contract reads.

        Raises:
            LandingError: the file lacks one.
        """
        needed: list[str] = []
        for column in self.contract.columns:
            expression = self.mapping.expression(column.name)
            if self.mapping.is_null(column.name) or not there.get(column.name, True):
                continue
            if expression is not None:
                needed += sorted(referenced(expression))
            elif column.name in there:
                needed.append(column.name)
            elif not column.nullable or not (self.mapping.columns or form.kind is FileKind.JSONL):
                # JSON leaves out what is NULL, and whoever maps says what there is.
                needed.append(column.name)
        missing = [name for name in dict.fromkeys(needed) if name not in there]
        if missing:
            expected = {c.name: c.type for c in self.contract.columns}
            named = ", ".join(f"{m} ({expected[m]})" if m in expected else m for m in missing)
            raise LandingError(
                f"{self.contract.full_name}: landing file {path} lacks the column {named}; it has {', '.join(there)}. "
                "Deliver it with the column, or map it in sources.yaml."
            )
        return list(dict.fromkeys(needed))

    def _expressions(self, columns: Sequence[str], only: Sequence[str] | None = None) -> dict[str, str]:
        """SQL of each contract column (of `only`, if given) that the file has; the others are NULL."""
        expressions = {}
        for column in self.contract.columns:
            sql = self.mapping.expression(column.name)
            if sql is None and column.name in columns:
                sql = f'"{column.name}"'
            if sql is not None and (only is None or column.name in only):
                expressions[column.name] = sql
        return expressions

    def _check_types(self, path: str, form: FileFormat, rows: ir.Table) -> None:
        for column in self.contract.columns:
            if column.name not in rows.columns:
                continue
            found = rows[column.name].type()
            if not readable_as(found, column, is_text=form.kind is not FileKind.PARQUET):
                raise LandingError(
                    f"{self.contract.full_name}: landing file {path}: column {column.name} is {found}, expected "
                    f"{column.type}. Deliver it as {column.type}, or map it in sources.yaml (a cast, for example)."
                )

    def _conformed(
        self,
        session: Session,
        paths: Sequence[str],
        form: FileFormat,
        columns: Sequence[str],
        of: Sequence[Column],
        unknown_as: Sequence[str] | None = None,
        is_clean: bool = False,
    ) -> ir.Table:
        absolute = [str(self.folder / path) for path in paths]
        rows = session.scan(absolute, form, columns, self._expressions(columns, [c.name for c in of]))
        found = conformed(rows, self.contract, of, self.timezone, self.first_day, unknown_as, is_clean)
        return found.mutate(_file=found._file.substr(len(str(self.folder)) + 1))

    def _entry(self, file: LandingFile) -> Path:
        said = [*asdict(file).values(), self.mapping.signature(), self.timezone, self.first_day]
        said += [repr(self.contract.form), self.contract.local_times, str(self.contract.unknown_time)]
        said += [f"{c.name} {c.type} {c.nullable}" for c in self.contract.columns]
        said += ["history"] if self.contract.is_history else []
        return self._index / f"{_digest(said)}.json"

    def _last(self, file: LandingFile) -> Path:
        """Where the file's entry is kept under its path alone, as it was when it could last be read."""
        return self._index / f"{_digest([file.path])}.last.json"


def landings(settings: Settings, contracts: Mapping[str, Contract]) -> dict[str, Landing]:
    """The landing folder of each contract that is made from files, by full name.

    Raises:
        LandingError: `sources.yaml` cannot be used.
    """
    mappings = load_mappings(settings.sources, contracts.values())
    return {
        name: Landing(
            contract, mappings[name], settings.landing, settings.lake, settings.timezone, str(settings.first_day)
        )
        for name, contract in contracts.items()
        if mappings[name].table is None
    }


def _may_be_faulty(column: Column) -> bool:
    return bool(column.rules) or not column.nullable or column.type != "string"


def _digest(said: Sequence[object]) -> str:
    return hashlib.blake2b(json.dumps(said).encode(), digest_size=16).hexdigest()


def _unzipped(path: str) -> int:
    """Bytes of a gzipped file's content, all of which is read: engines may read over a cut-off end without a word."""
    size = 0
    with gzip.open(path) as content:
        while chunk := content.read(1 << 20):
            size += len(chunk)
    return size
