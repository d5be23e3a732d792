"""Landing files: which files there are, how to read them as a contract, and which business days they have rows of.

A file often spans several business days (a UTC day covers two days in Seoul, an export covers a month), so the day of a
fact is never taken from a path. Each file is read once, and its index entry is kept beside the source table under the
file's fingerprint. A file that changes gets another fingerprint and is read again.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import re
import time
import uuid
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq

from wemart_assets.lake.days import shift
from wemart_assets.lake.engine import RESERVED, FileFormat, FileKind
from wemart_assets.lake.errors import LandingError, UnreadableFile, WemartError
from wemart_assets.lake.faults import raise_fault
from wemart_assets.lake.session import Session
from wemart_assets.lake.table import Column
from wemart_assets.setting_values.source_settings import SourceSettings
from wemart_assets.sources.conform import conformed, readable_as, with_faults
from wemart_assets.sources.contract import UNKNOWN_DAY, Contract, Kind
from wemart_assets.sources.expressions import referenced
from wemart_assets.sources.mapping import SourceMapping, load_mappings
from wemart_assets.sources.records import Survey, distinct, rewrite, survey

INDEX_FOLDER = "_landing"
# With another number, all files are indexed again.
INDEX_VERSION = 3
# How many different texts of unknown times the index keeps per file; real files have far fewer.
MOST_TEXTS = 20
DELIVERY = r"(?:^|/)date=([0-9]{4}-[0-9]{2}-[0-9]{2})/"


@dataclass(frozen=True, order=True)
class LandingFile:
    """A file below the landing folder of its source.

    `problem` says why it cannot be read at all, before looking at its content; empty if there is no problem.
    """

    path: str
    size: int
    modified_ns: int
    problem: str = ""

    @property
    def delivery(self) -> str | None:
        """The day of the `date=` folder that contains it; None if there is no such folder or it names no day."""
        folder = re.search(DELIVERY, self.path)
        try:
            return dt.date.fromisoformat(folder.group(1)).isoformat() if folder else None
        except ValueError:
            return None


@dataclass(frozen=True)
class FileIndex:
    """The index entry of one landing file.

    Attributes:
        columns: the file's columns that the contract reads.
        header: all columns of the file, in order; empty for JSON lines, where every row has its own.
        records: the number of its records, counted without the engine's reader (by `records.py` or in the Parquet
            footer).
        copy: the name of the copy beside the index that engines read instead of a text file that is not plain.
        types: the contract's columns with their types in the file.
        physical: for Parquet, a digest of all columns and types; files that differ in it are never read together.
        days: for facts, the number of rows of each business day, and of `UNKNOWN_DAY` if the contract has unknown
            times. For a file that can no longer be read, the last known numbers.
        unknown_time: the number of rows whose instant cannot be read; they count for `unknown_time_day`.
        faulty: the number of rows that break the contract by themselves. None if the contract has a key, where rows
            can also break it together.
        unknown_as: every text that means an unknown time in a text file; None if not collected, or too many.
        error: why the file cannot be read; None if it can.
    """

    path: str
    columns: Sequence[str]
    types: Mapping[str, str]
    days: Mapping[str, int]
    unknown_time: int = 0
    unknown_time_day: str | None = None
    faulty: int | None = None
    unknown_as: Sequence[str] | None = None
    header: Sequence[str] = ()
    physical: str = ""
    records: int = 0
    copy: str | None = None
    error: str | None = None

    @staticmethod
    def load(text: str) -> FileIndex:
        """The entry that was written as `text`.

        Raises:
            ValueError: the text is not an entry, or one of another version.
        """
        values = json.loads(text)
        if not isinstance(values, dict) or set(values) != {field.name for field in fields(FileIndex)}:
            raise ValueError("not an entry of this version")
        return FileIndex(**values)

    def rows_of(self, day: str) -> int:
        """How many of its records belong to a business day, including those that will be quarantined."""
        return self.days.get(day, 0) + (self.unknown_time if day == self.unknown_time_day else 0)

    def has_rows_of(self, days: Iterable[str]) -> bool:
        return any(day in self.days or (self.unknown_time and day == self.unknown_time_day) for day in days)

    def all_days(self) -> set[str]:
        """The days that it has rows of, including the day that its rows without a readable instant count for."""
        return set(self.days) | ({self.unknown_time_day} if self.unknown_time and self.unknown_time_day else set())

    def may_have_rows_of(self, days: Iterable[str]) -> bool:
        """Whether a file that cannot be read may have rows of `days`.

        It may have rows of the days that it had before. A file under `date=D` may have rows of D and, because timezones
        differ, of the days before and after D. A file outside such a folder may have rows of any day. Rows with an
        unknown time may be in any file.
        """
        delivery = LandingFile(self.path, 0, 0).delivery
        nearby_days = _with_neighbours(delivery) if delivery else set()
        return delivery is None or any(day in nearby_days or day in self.days or day == UNKNOWN_DAY for day in days)


class Landing:
    """The landing folder of one source, and the index of its files."""

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
        """All landed files, ordered by path."""
        return self.listing()[0]

    def listing(self) -> tuple[list[LandingFile], list[str]]:
        """All landed files, ordered by path, and a warning for everything else in the folder.

        Links to folders are followed, unless they lead back to a folder that contains them.
        """
        files: list[LandingFile] = []
        warnings: list[str] = []
        self._list(self.folder, frozenset(), files, warnings)
        return sorted(files), warnings

    def _list(self, folder: Path, parents: frozenset[object], files: list[LandingFile], warnings: list[str]) -> None:
        try:
            stat = folder.stat()
            names = sorted(os.listdir(folder))
        except FileNotFoundError:
            return
        except OSError as error:
            # It stands for one unreadable file, which may have rows of the day in its name, or else of any day.
            path_of_folder = f"{self._below(folder)}/"
            problem = f"{self.contract.full_name}: landing folder {path_of_folder} cannot be read: {error.strerror}"
            files.append(LandingFile(path_of_folder, 0, 0, problem))
            return
        parents = parents | {(stat.st_dev, stat.st_ino)}
        for name in names:
            if name.startswith((".", "_")) or name.endswith((".tmp", ".crc", ".part")):
                continue
            path = folder / name
            try:
                stat = path.stat()
            except FileNotFoundError:
                if path.is_symlink():
                    warnings.append(self._ignored(path, "it is a broken link"))
                continue
            except OSError as error:
                warnings.append(self._ignored(path, str(error.strerror)))
                continue
            if S_ISDIR(stat.st_mode):
                if (stat.st_dev, stat.st_ino) in parents:
                    warnings.append(self._ignored(path, "it is a link to a folder that contains it"))
                else:
                    self._list(path, parents, files, warnings)
            elif S_ISREG(stat.st_mode):
                below = self._below(path)
                problem = ""
                if not _is_utf8(str(path)):
                    problem = f"{self.contract.full_name}: the name of landing file {below} is not UTF-8; rename it"
                files.append(LandingFile(below, stat.st_size, stat.st_mtime_ns, problem))
            else:
                warnings.append(self._ignored(path, "it is not a regular file"))

    def _below(self, path: Path) -> str:
        """The path below the landing folder; bytes that are not UTF-8 are shown as \\xNN."""
        below = path.relative_to(self.folder).as_posix()
        return os.fsencode(below).decode("utf-8", "backslashreplace")

    def _ignored(self, path: Path, why: str) -> str:
        return f"{self.contract.full_name}: {self._below(path)} in the landing folder is ignored: {why}"

    def index(self, session: Session, files: Sequence[LandingFile]) -> dict[LandingFile, FileIndex]:
        """The index entry of each file. New and changed files are read; files that no longer exist are left out."""
        entries = {file: self.known(file) or self._index_file(session, file) for file in files}
        return {file: entry for file, entry in entries.items() if entry is not None}

    def vacuum(self, older_than: int, dry_run: bool) -> list[str]:
        """Removes entries and copies of files that have changed or are gone; returns the names of what is removed.

        Those younger than `older_than` hours stay, because a run may need them. `dry_run` removes nothing.
        """
        files = self.files()
        needed = {path for file in files for path in (self._entry_path(file), self._last_entry_path(file))}
        needed |= {entry.with_suffix(".parquet") for entry in needed}
        latest = time.time() - older_than * 3600
        unneeded = [path for path in self._index.glob("*") if path not in needed and path.stat().st_mtime < latest]
        for path in () if dry_run else unneeded:
            path.unlink(missing_ok=True)
        return sorted(path.name for path in unneeded)

    def known(self, file: LandingFile) -> FileIndex | None:
        """The stored index entry of a file; None if the file, as it is now, has not been indexed."""
        entry = self._load(self._entry_path(file))
        return None if entry is None or (entry.copy and not (self._index / entry.copy).exists()) else entry

    def rows(self, session: Session, entries: Sequence[FileIndex], days: Sequence[str] | None = None) -> list[ir.Table]:
        """The rows of the files (of `days`, if given) as the contract's columns, one table per kind of file.

        Further columns: `_file` (the path below the landing folder), `_raw`, `_reason` (NULL unless the row breaks the
        contract by itself), and for facts the business day, where a row without a readable instant counts for the
        `unknown_time_day` of its file. Work that the index shows to be unnecessary is skipped.
        """
        groups: dict[tuple[Any, ...], list[FileIndex]] = {}
        for entry in (entry for entry in entries if entry.records):
            alike = json.dumps([entry.columns, entry.types, entry.physical])
            other_days = frozenset() if days is None else frozenset(entry.all_days() - set(days))
            which = "all" if not other_days else "with time" if other_days == {UNKNOWN_DAY} else "of days"
            which = "without time" if list(days or ()) == [UNKNOWN_DAY] else which
            is_clean = entry.faulty == 0
            form = self._format_to_read(entry)
            # In files read together, `_raw` would show each other's columns; it is needed if rows may be faulty.
            header = () if is_clean else tuple(entry.header)
            groups.setdefault((form, alike, which, is_clean, header), []).append(entry)
        tables = []
        for (form, _, which, is_clean, _), group in groups.items():
            columns = group[0].columns
            unknown_as = None
            if all(entry.unknown_as is not None for entry in group):
                unknown_as = sorted({text for entry in group for text in entry.unknown_as or ()})
            rows = self._conformed(session, group, form, columns, self.contract.columns, unknown_as, is_clean)
            if is_clean:
                rows = rows.mutate(_reason=ibis.null("string"))
            else:
                rows = with_faults(rows, self.contract, self.contract.columns)
            if which == "with time":
                rows = rows.filter(~rows._is_unknown)
            if which == "without time":
                rows = rows.filter(rows._is_unknown)
            if self.contract.kind is Kind.FACTS:
                rows = self._with_business_day(rows, group)
            if which == "of days":
                rows = rows.filter(rows[self.contract.day_column].isin(list(days or ())))
            tables.append(rows)
        return tables

    def check(self, session: Session, entries: Iterable[FileIndex]) -> None:
        """Reads each file by itself, with every value that the contract takes from it.

        Raises:
            LandingError: a file cannot be read; the message names the first one.
        """
        for entry in (entry for entry in entries if entry.records):
            expressions = self._expressions(entry.columns)
            rows = self._scanned(session, [entry], self._format_to_read(entry), entry.columns, expressions)
            values = {name: rows[name].cast("string").max() for name in expressions}
            with self._errors_of(entry.path, session.failures):
                rows.aggregate(rows=rows.count(), **values).to_pyarrow()

    def check_unchanged(self, files: Iterable[LandingFile]) -> None:
        """Raises LandingError if a file has changed since it was listed."""
        for file in files:
            try:
                stat = (self.folder / file.path).stat()
                is_same = (stat.st_size, stat.st_mtime_ns) == (file.size, file.modified_ns)
            except FileNotFoundError:
                is_same = False
            if not is_same:
                raise LandingError(
                    f"{self.contract.full_name}: landing file {file.path} was changed or removed while it was read. "
                    "Nothing was published; run the days again."
                )

    def _with_business_day(self, rows: ir.Table, entries: Sequence[FileIndex]) -> ir.Table:
        by_day: dict[str, list[str]] = {}
        for entry in entries:
            if entry.unknown_time:
                by_day.setdefault(str(entry.unknown_time_day), []).append(entry.path)
        day = rows._day
        if by_day:
            day_of_file = [(rows._file.isin(paths), ibis.literal(name)) for name, paths in sorted(by_day.items())]
            day = day.fill_null(ibis.cases(*day_of_file, else_=ibis.null("string")))
        return rows.mutate(**{self.contract.day_column: day}).drop("_day", "_is_unknown", "_unknown_as")

    def _format_of(self, path: str) -> FileFormat:
        return self.mapping.format_of(path, self.contract.form)

    def _format_to_read(self, entry: FileIndex) -> FileFormat:
        """How an engine reads the file or its copy."""
        form = self._format_of(entry.path)
        if form.kind is FileKind.PARQUET:
            return form
        names = tuple(entry.header)
        return replace(form, names=names, has_header=not form.names, is_copy=entry.copy is not None)

    def _index_file(self, session: Session, file: LandingFile) -> FileIndex | None:
        """Reads a file and stores its entry; None if the file no longer exists."""
        if file.problem:
            return FileIndex(file.path, [], {}, {}, error=file.problem)
        try:
            with self._errors_of(file.path):
                entry = self._read(session, file)
        except LandingError as error:
            if not (self.folder / file.path).exists():
                return None
            last = self._load(self._last_entry_path(file))
            return FileIndex(file.path, [], {}, last.days if last else {}, error=str(error))
        with self._written_to():
            self._index.mkdir(parents=True, exist_ok=True)
            for target in (self._entry_path(file), self._last_entry_path(file)):
                # Several runs may index a file at once. All write the same entry, and a reader never sees half of one.
                draft = target.with_suffix(f".{uuid.uuid4().hex}.tmp")
                draft.write_text(json.dumps(asdict(entry)))
                draft.replace(target)
        return entry

    def _load(self, path: Path) -> FileIndex | None:
        try:
            return FileIndex.load(path.read_text())
        except (FileNotFoundError, NotADirectoryError, ValueError):
            # An entry that cannot be loaded is made again from the file.
            return None

    def _read(self, session: Session, file: LandingFile) -> FileIndex:
        """The index entry of a file, for which the engine's reader must find as many rows as there are records.

        Raises:
            LandingError: it finds another number, or the file does not match the contract.
        """
        form = self._format_of(file.path)
        if self.contract.kind is Kind.SNAPSHOT and file.delivery is None:
            raise LandingError(
                f"{self.contract.full_name}: landing file {file.path} is not in a date=YYYY-MM-DD/ folder, so the "
                "day of the snapshot is unknown; move it into one"
            )
        path = self.folder / file.path
        if form.kind is FileKind.PARQUET:
            footer = pq.read_metadata(path)
            surveyed = Survey(tuple(footer.schema.to_arrow_schema().names), footer.num_rows)
            return self._indexed(session, file, form, surveyed)
        plain = survey(path, form)
        if plain is not None:
            try:
                return self._indexed(session, file, form, plain)
            except UnreadableFile:
                # The reader and the survey disagree about the file. If a copy can be made, the survey is right.
                pass
        return self._indexed_from_copy(session, file, form)

    def _indexed_from_copy(self, session: Session, file: LandingFile, form: FileFormat) -> FileIndex:
        """The index entry of a text file that is not plain; engines read a copy, which is kept."""
        copy = self._entry_path(file).with_suffix(".parquet")
        draft = copy.with_suffix(f".{uuid.uuid4().hex}.tmp")
        with self._written_to():
            self._index.mkdir(parents=True, exist_ok=True)
        try:
            surveyed = rewrite(self.folder / file.path, form, draft, file.path)
            draft.replace(copy)
        except LandingError as error:
            raise LandingError(f"{self.contract.full_name}: {error}") from error
        finally:
            draft.unlink(missing_ok=True)
        return self._indexed(session, file, form, surveyed, copy.name)

    def _indexed(
        self, session: Session, file: LandingFile, form: FileFormat, surveyed: Survey, copy: str | None = None
    ) -> FileIndex:
        """The index entry of a file that was surveyed, read with the engine's reader.

        Raises:
            UnreadableFile: the reader finds another number of rows, or fails.
            LandingError: the file does not match the contract, or an expression of the mapping fails.
        """
        entry = FileIndex(file.path, [], {}, {}, header=surveyed.header, records=surveyed.records, copy=copy)
        if form.kind is not FileKind.PARQUET and not surveyed.records and not surveyed.header:
            return replace(entry, copy=None)
        entry = self._with_columns(session, entry, form, surveyed)
        sample = self._scanned(
            session, [entry], self._format_to_read(entry), entry.columns, self._expressions(entry.columns)
        )
        self._check_types(file.path, form, sample)
        types = {c.name: str(sample[c.name].type()) for c in self.contract.columns if c.name in sample.columns}
        entry = replace(entry, types=types)
        if self.contract.kind is Kind.SNAPSHOT:
            self._check_count(entry, self._rows(session, entry))
            if self.mapping.columns:
                # An expression may fail on a value.
                self.check(session, [entry])
            return entry
        instant = str(self.contract.instant)
        is_text = self.contract.local_times and instant in sample.columns and sample[instant].type().is_string()
        return self._with_days(session, file, entry, is_text)

    def _with_columns(self, session: Session, entry: FileIndex, form: FileFormat, surveyed: Survey) -> FileIndex:
        """The entry with the columns that the contract reads and, for Parquet, the digest of all columns."""
        schema = pq.read_schema(self.folder / entry.path) if form.kind is FileKind.PARQUET else None
        if form.kind is FileKind.CSV:
            present = dict.fromkeys(distinct(surveyed.header), True)
        elif entry.copy is None:
            present = session.file_columns(str(self.folder / entry.path), self._format_to_read(entry))
        else:
            present = dict.fromkeys(surveyed.keys, True)
        if schema is None:
            return replace(entry, columns=self._columns(entry, form, present))
        present = {name: is_typed for name, is_typed in present.items() if name in distinct(entry.header)}
        columns = self._columns(entry, form, present)
        self._check_readable(entry, schema, columns)
        physical = _digest([f"{field.name} {field.type}" for field in schema])
        return replace(entry, columns=columns, physical=physical)

    def _with_days(self, session: Session, file: LandingFile, entry: FileIndex, is_text: bool) -> FileIndex:
        """The entry of a file of facts with the number of rows of each day, and of faulty rows.

        If its instants are local times as text (`is_text`), the texts that mean an unknown time are collected.
        """
        read_form = self._format_to_read(entry)
        judged = [c for c in self.contract.columns if c.name == self.contract.instant or _may_be_faulty(c)]
        rows = self._conformed(session, [entry], read_form, entry.columns, judged)
        rows = with_faults(rows, self.contract, judged)
        by_day = rows.group_by(day=rows._day, unknown_as=rows._unknown_as).aggregate(
            rows=ibis._.count(), faulty=rows._reason.count()
        )
        try:
            with self._errors_of(file.path, session.failures):
                counts = by_day.to_pyarrow().to_pylist()
        except LandingError:
            # If the rows can be read, an expression of the mapping is what fails.
            self._check_count(entry, self._rows(session, entry))
            raise
        self._check_count(entry, sum(count["rows"] for count in counts))
        days = Counter[str | None]()
        for count in counts:
            days[count["day"]] += count["rows"]
        unknown_time = days.pop(None, 0)
        unknown_texts = {count["unknown_as"] for count in counts} - {None}
        return replace(
            entry,
            days=dict(sorted((str(day), n) for day, n in days.items())),
            unknown_time=unknown_time,
            unknown_time_day=self._unknown_time_day(file, days) if unknown_time else None,
            faulty=None if self.contract.key else sum(count["faulty"] for count in counts),
            unknown_as=sorted(unknown_texts) if is_text and len(unknown_texts) <= MOST_TEXTS else None,
        )

    def _unknown_time_day(self, file: LandingFile, days: Iterable[str | None]) -> str:
        """The day under which rows without a readable time are quarantined.

        It is the day that the file was delivered for, or else the first of its `days`; but no day before the first
        business day, if the file has a later one or the contract is a history.
        """
        dated = sorted(str(day) for day in set(days) - {UNKNOWN_DAY})
        unknown_time_day = file.delivery or next(iter(dated), self.first_day)
        if unknown_time_day < self.first_day and self.contract.is_history:
            unknown_time_day = self.first_day
        if unknown_time_day < self.first_day:
            unknown_time_day = next((day for day in dated if day >= self.first_day), unknown_time_day)
        return unknown_time_day

    def _rows(self, session: Session, entry: FileIndex) -> int:
        """How many rows the engine's reader finds."""
        read_form = self._format_to_read(entry)
        try:
            return int(self._scanned(session, [entry], read_form, entry.columns, {}).count().to_pyarrow().as_py())
        except session.failures as error:
            raise_fault(f"{self.contract.full_name}: reading {entry.path}", error)
            raise UnreadableFile(
                f"{self.contract.full_name}: landing file {entry.path} cannot be read: {error}"
            ) from error

    def _check_count(self, entry: FileIndex, rows: int) -> None:
        if rows != entry.records:
            raise UnreadableFile(
                f"{self.contract.full_name}: landing file {entry.path} cannot be read: it has {entry.records} records, "
                f"but the engine's reader finds {rows}. If it is still being written, it will be read again once it "
                "has changed; otherwise deliver it in another format, for example Parquet."
            )

    @contextmanager
    def _written_to(self) -> Iterator[None]:
        """Names the lake in the error if the index cannot be written."""
        try:
            yield
        except OSError as error:
            raise WemartError(
                f"{self.contract.full_name}: the index of landing files cannot be written to {self._index} "
                f"({error.strerror}). Point WEMART_LAKE at a folder that this user can write."
            ) from error

    @contextmanager
    def _errors_of(
        self,
        path: str,
        errors: tuple[type[Exception], ...] = (
            OSError,
            EOFError,
            zlib.error,
            pa.ArrowException,
            UnicodeDecodeError,
        ),
    ) -> Iterator[None]:
        """Names the file in the error if it cannot be read."""
        try:
            yield
        except errors as error:
            raise_fault(f"{self.contract.full_name}: reading {path}", error)
            raise LandingError(
                f"{self.contract.full_name}: landing file {path} cannot be read: {error}. If it is still being "
                "written, it will be read again once it has changed; otherwise deliver it again or remove it."
            ) from error

    def _columns(self, entry: FileIndex, form: FileFormat, present: Mapping[str, bool]) -> list[str]:
        """The file's columns that the contract reads.

        `present` has the file's columns, with False for those that are NULL in every row and so have no type.

        Raises:
            LandingError: the file lacks one of them, or has one twice.
        """
        needed: list[str] = []
        for column in self.contract.columns:
            expression = self.mapping.expression(column.name)
            if self.mapping.is_null(column.name) or not present.get(column.name, True):
                continue
            if expression is not None:
                needed += sorted(referenced(expression))
            elif column.name in present or column.name in entry.header:
                needed.append(column.name)
            elif not column.nullable or not (self.mapping.columns or form.kind is FileKind.JSONL):
                # JSON lines may leave out NULL values, and a mapping lists the columns that exist.
                needed.append(column.name)
        missing = [name for name in dict.fromkeys(needed) if name not in present]
        if ambiguous := [name for name in missing if name in entry.header]:
            raise LandingError(
                f"{self.contract.full_name}: landing file {entry.path} has more than one column named "
                f"{', '.join(ambiguous)}, ignoring case; its columns are {', '.join(entry.header)}. Deliver it with "
                "distinct names."
            )
        if missing:
            expected = {c.name: c.type for c in self.contract.columns}
            named = ", ".join(f"{m} ({expected[m]})" if m in expected else m for m in missing)
            raise LandingError(
                f"{self.contract.full_name}: landing file {entry.path} lacks the column {named}; it has "
                f"{', '.join(present)}. Deliver it with the column, or map it in sources.yaml."
            )
        return list(dict.fromkeys(needed))

    def _expressions(self, columns: Sequence[str], only: Sequence[str] | None = None) -> dict[str, str]:
        """The SQL of each contract column (of `only`, if given) that the file has; the others are NULL."""
        expressions = {}
        for column in self.contract.columns:
            sql = self.mapping.expression(column.name)
            if sql is None and column.name in columns:
                sql = f'"{column.name}"'
            if sql is not None and (only is None or column.name in only):
                expressions[column.name] = sql
        return expressions

    def _check_readable(self, entry: FileIndex, schema: pa.Schema, columns: Sequence[str]) -> None:
        """Raises LandingError if an engine would silently misread the Parquet file."""
        wide = [schema.field(name) for name in columns if pa.types.is_decimal256(schema.field(name).type)]
        if wide:
            raise LandingError(
                f"{self.contract.full_name}: landing file {entry.path}: column {wide[0].name} is {wide[0].type}, but "
                "engines only support decimals of up to 38 digits. Deliver it as such a decimal, or as text."
            )
        if reserved := [name for name in schema.names if name.casefold().startswith(RESERVED)]:
            raise LandingError(
                f"{self.contract.full_name}: landing file {entry.path} has a column {reserved[0]}; names that begin "
                f"with {RESERVED} are reserved for the queries of landing files. Deliver it under another name."
            )

    def _check_types(self, path: str, form: FileFormat, rows: ir.Table) -> None:
        for column in self.contract.columns:
            if column.name not in rows.columns:
                continue
            file_type = rows[column.name].type()
            if not readable_as(file_type, column, is_text=form.kind is not FileKind.PARQUET):
                raise LandingError(
                    f"{self.contract.full_name}: landing file {path}: column {column.name} is {file_type}, expected "
                    f"{column.type}. Deliver it as {column.type}, or map it in sources.yaml (a cast, for example)."
                )

    def _conformed(
        self,
        session: Session,
        entries: Sequence[FileIndex],
        form: FileFormat,
        columns: Sequence[str],
        contract_columns: Sequence[Column],
        unknown_as: Sequence[str] | None = None,
        is_clean: bool = False,
    ) -> ir.Table:
        expressions = self._expressions(columns, [c.name for c in contract_columns])
        scanned = self._scanned(session, entries, form, columns, expressions)
        rows = conformed(scanned, self.contract, contract_columns, self.timezone, self.first_day, unknown_as, is_clean)
        # The rows of a copy already have the path of the original file.
        return rows if form.is_copy else rows.mutate(_file=rows._file.substr(len(str(self.folder)) + 1))

    def _scanned(
        self,
        session: Session,
        entries: Sequence[FileIndex],
        form: FileFormat,
        columns: Sequence[str],
        expressions: Mapping[str, str],
    ) -> ir.Table:
        paths = [str(self._index / e.copy if e.copy else self.folder / e.path) for e in entries]
        return session.scan(paths, form, columns, expressions)

    def _entry_path(self, file: LandingFile) -> Path:
        """Where the entry of the file is stored, under a digest of everything that it depends on."""
        fingerprint = [
            INDEX_VERSION,
            file.path,
            file.size,
            file.modified_ns,
            self.mapping.signature(),
            self.timezone,
            self.first_day,
        ]
        fingerprint += [repr(self.contract.form), self.contract.local_times, str(self.contract.unknown_time)]
        fingerprint += [f"{c.name} {c.type} {c.nullable}" for c in self.contract.columns]
        fingerprint += ["history"] if self.contract.is_history else []
        return self._index / f"{_digest(fingerprint)}.json"

    def _last_entry_path(self, file: LandingFile) -> Path:
        """Where the file's last entry is stored under its path alone, for when it can no longer be read."""
        return self._index / f"{_digest([file.path])}.last.json"


def landings(settings: SourceSettings, contracts: Mapping[str, Contract]) -> dict[str, Landing]:
    """The landing folder of each contract whose source is files, by full name.

    Raises:
        LandingError: `sources.yaml` cannot be used.
    """
    mappings = load_mappings(settings.sources, contracts.values())
    return {
        name: Landing(
            contract,
            mappings[name],
            settings.landing.path,
            settings.lake.path,
            settings.timezone,
            str(settings.first_day),
        )
        for name, contract in contracts.items()
        if mappings[name].table is None
    }


def _with_neighbours(day: str) -> set[str]:
    """The day, the day before and the day after, as far as the calendar goes."""
    days = {day}
    for offset in (-1, 1):
        with suppress(OverflowError):
            days.add(shift(day, offset))
    return days


def _may_be_faulty(column: Column) -> bool:
    return bool(column.checks) or not column.nullable or column.type != "string"


def _digest(values: Sequence[object]) -> str:
    return hashlib.blake2b(json.dumps(values).encode(), digest_size=16).hexdigest()


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
