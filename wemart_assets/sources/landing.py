"""Landing files: which there are, how they read as a contract, and of which business days they have rows.

A file often spans several business days (a UTC day is two days in Seoul, an export is a month), so a fact's day is
never taken from a path. What a file holds is found once and kept beside the source table, under the file's
fingerprint; a file that changes has another fingerprint and is looked at again.
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
from wemart_assets.lake.engine import RESERVED, FileFormat, FileKind, Session
from wemart_assets.lake.errors import LandingError, UnreadableFile, WemartError
from wemart_assets.lake.faults import raise_fault
from wemart_assets.lake.table import Column
from wemart_assets.settings import Settings
from wemart_assets.sources.conform import conformed, readable_as, with_faults
from wemart_assets.sources.contract import UNKNOWN_DAY, Contract, Kind
from wemart_assets.sources.expressions import referenced
from wemart_assets.sources.mapping import SourceMapping, load_mappings
from wemart_assets.sources.records import Survey, distinct, rewrite, survey

INDEX_FOLDER = "_landing"
# Another number has all files looked at anew.
INDEX_VERSION = 3
# Texts of unknown times that the index keeps; a file with more is one that nobody writes.
MOST_TEXTS = 20
DELIVERY = r"(?:^|/)date=([0-9]{4}-[0-9]{2}-[0-9]{2})/"


@dataclass(frozen=True, order=True)
class LandingFile:
    """A file below the landing folder of its source.

    `problem` says why nothing of it can be read, not even whether it is a file of rows.
    """

    path: str
    size: int
    modified_ns: int
    problem: str = ""

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
        records: how many records it has, counted without the engine's reader (`records.py`, Parquet's footer).
        copy: name of the copy, beside the index, that engines read in place of a text file that is not plain.
        types: the contract's columns, with the types that the file gives them.
        physical: of Parquet, all columns with their types: files that differ in them are never read as one.
        days: rows of each business day (facts), and of `UNKNOWN_DAY` where the contract knows unknown times; as they
            last were where the file cannot be read any more.
        unknown_time: rows whose instant cannot be read, counted for `unknown_time_day`.
        faulty: rows that break the contract by themselves; None where that was not counted, since rows of a key break
            it together.
        unknown_as: all that unknown times are written as in a text file, None where that was not looked for or is much.
        error: why it cannot be read, None where it can.
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
        """The entry as it was written.

        Raises:
            ValueError: it is not one, or of another version.
        """
        said = json.loads(text)
        if not isinstance(said, dict) or set(said) != {field.name for field in fields(FileIndex)}:
            raise ValueError("not an entry of this version")
        return FileIndex(**said)

    def rows_of(self, day: str) -> int:
        """How many of its records count for a business day, whatever becomes of them."""
        return self.days.get(day, 0) + (self.unknown_time if day == self.unknown_time_day else 0)

    def has_rows_of(self, days: Iterable[str]) -> bool:
        return any(day in self.days or (self.unknown_time and day == self.unknown_time_day) for day in days)

    def all_days(self) -> set[str]:
        """The days that it has rows of, and the one that its rows without an instant count for."""
        return set(self.days) | ({self.unknown_time_day} if self.unknown_time and self.unknown_time_day else set())

    def may_have_rows_of(self, days: Iterable[str]) -> bool:
        """Whether a file that cannot be read may have rows of `days`.

        It may have rows of the days that it had before, and a file under `date=D` of D and, as days begin at other
        instants elsewhere, of the days beside it; one that lies in no such folder may have rows of any day. Rows of
        an unknown time may lie in any file.
        """
        delivery = LandingFile(self.path, 0, 0).delivery
        near = _with_neighbours(delivery) if delivery else set()
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
        return self.listing()[0]

    def listing(self) -> tuple[list[LandingFile], list[str]]:
        """All files that have landed, in the order of their paths, and a warning for all else that lies there.

        Folders that are links are looked into, unless they lead back to one that they lie in.
        """
        found: list[LandingFile] = []
        warnings: list[str] = []
        self._list(self.folder, frozenset(), found, warnings)
        return sorted(found), warnings

    def _list(self, folder: Path, above: frozenset[object], found: list[LandingFile], warnings: list[str]) -> None:
        try:
            stat = folder.stat()
            names = sorted(os.listdir(folder))
        except FileNotFoundError:
            return
        except OSError as error:
            # What lies in it is not known, so that it may have rows of any day, or of the one that it is named after.
            named = f"{self._below(folder)}/"
            problem = f"{self.contract.full_name}: landing folder {named} cannot be read: {error.strerror}"
            found.append(LandingFile(named, 0, 0, problem))
            return
        inside = above | {(stat.st_dev, stat.st_ino)}
        for name in names:
            if name.startswith((".", "_")) or name.endswith((".tmp", ".crc", ".part")):
                continue
            path = folder / name
            try:
                stat = path.stat()
            except FileNotFoundError:
                if path.is_symlink():
                    warnings.append(self._ignored(path, "it is a link to nothing"))
                continue
            except OSError as error:
                warnings.append(self._ignored(path, str(error.strerror)))
                continue
            if S_ISDIR(stat.st_mode):
                if (stat.st_dev, stat.st_ino) in inside:
                    warnings.append(self._ignored(path, "it is a link to a folder that it lies in"))
                else:
                    self._list(path, inside, found, warnings)
            elif S_ISREG(stat.st_mode):
                below = self._below(path)
                problem = ""
                if not _is_utf8(str(path)):
                    problem = f"{self.contract.full_name}: the name of landing file {below} is not UTF-8; rename it"
                found.append(LandingFile(below, stat.st_size, stat.st_mtime_ns, problem))
            else:
                warnings.append(self._ignored(path, "it is no regular file"))

    def _below(self, path: Path) -> str:
        """The path below the landing folder; bytes of a name that are not UTF-8 are written as \\xNN."""
        below = path.relative_to(self.folder).as_posix()
        return os.fsencode(below).decode("utf-8", "backslashreplace")

    def _ignored(self, path: Path, why: str) -> str:
        return f"{self.contract.full_name}: {self._below(path)} in the landing folder is ignored: {why}"

    def index(self, session: Session, files: Sequence[LandingFile]) -> dict[LandingFile, FileIndex]:
        """What each file holds; files that were not seen before are read for it. Those that went meanwhile are none."""
        found = {file: self.known(file) or self._look(session, file) for file in files}
        return {file: entry for file, entry in found.items() if entry is not None}

    def vacuum(self, older_than: int, dry_run: bool) -> list[str]:
        """Remove what is kept of files as they are no more; names of what went (or would go).

        Files younger than `older_than` hours may belong to a run and stay.
        """
        files = self.files()
        needed = {path for file in files for path in (self._entry(file), self._last(file))}
        needed |= {entry.with_suffix(".parquet") for entry in needed}
        latest = time.time() - older_than * 3600
        found = [path for path in self._index.glob("*") if path not in needed and path.stat().st_mtime < latest]
        for path in () if dry_run else found:
            path.unlink(missing_ok=True)
        return sorted(path.name for path in found)

    def known(self, file: LandingFile) -> FileIndex | None:
        """What is kept of a file, None where it was never looked at as it is now."""
        entry = self._kept(self._entry(file))
        return None if entry is None or (entry.copy and not (self._index / entry.copy).exists()) else entry

    def rows(self, session: Session, found: Sequence[FileIndex], days: Sequence[str] | None = None) -> list[ir.Table]:
        """The files' rows (of `days`, if given) as the contract's columns, one table a kind of file.

        Beside the contract's columns: `_file` (below the landing folder), `_raw`, `_reason`, NULL where the row does
        not break the contract by itself, and for facts the business day, an instant that cannot be read counting for
        the file's `unknown_time_day`. Nothing is looked for that the index says is not there.
        """
        groups: dict[tuple[Any, ...], list[FileIndex]] = {}
        for entry in (entry for entry in found if entry.records):
            alike = json.dumps([entry.columns, entry.types, entry.physical])
            others = frozenset() if days is None else frozenset(entry.all_days() - set(days))
            which = "all" if not others else "known" if others == {UNKNOWN_DAY} else "some"
            which = "unknown" if list(days or ()) == [UNKNOWN_DAY] else which
            is_clean = entry.faulty == 0
            form = self._format_to_read(entry)
            # Read together, rows would have each other's columns: `_raw` is asked for where a row may be faulty.
            header = () if is_clean else tuple(entry.header)
            groups.setdefault((form, alike, which, is_clean, header), []).append(entry)
        tables = []
        for (form, _, which, is_clean, _), entries in groups.items():
            columns = entries[0].columns
            unknown_as = None
            if all(entry.unknown_as is not None for entry in entries):
                unknown_as = sorted({text for entry in entries for text in entry.unknown_as or ()})
            rows = self._conformed(session, entries, form, columns, self.contract.columns, unknown_as, is_clean)
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

    def check(self, session: Session, entries: Iterable[FileIndex]) -> None:
        """Read each file by itself, all that the contract reads of it.

        Raises:
            LandingError: names the first that cannot be read.
        """
        for entry in (entry for entry in entries if entry.records):
            expressions = self._expressions(entry.columns)
            rows = self._scanned(session, [entry], self._format_to_read(entry), entry.columns, expressions)
            values = {name: rows[name].cast("string").max() for name in expressions}
            with self._errors_of(entry.path, session.failures):
                rows.aggregate(rows=rows.count(), **values).to_pyarrow()

    def check_unchanged(self, files: Iterable[LandingFile]) -> None:
        """Raise LandingError where a file is not as it was listed any more."""
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

    def _placed(self, rows: ir.Table, entries: Sequence[FileIndex]) -> ir.Table:
        by_day: dict[str, list[str]] = {}
        for entry in entries:
            if entry.unknown_time:
                by_day.setdefault(str(entry.unknown_time_day), []).append(entry.path)
        day = rows._day
        if by_day:
            unknown_time = [(rows._file.isin(paths), ibis.literal(of)) for of, paths in sorted(by_day.items())]
            day = day.fill_null(ibis.cases(*unknown_time, else_=ibis.null("string")))
        return rows.mutate(**{self.contract.day_column: day}).drop("_day", "_is_unknown", "_unknown_as")

    def _format_of(self, path: str) -> FileFormat:
        return self.mapping.format_of(path, self.contract.form)

    def _format_to_read(self, entry: FileIndex) -> FileFormat:
        """How an engine reads the file, or the copy of it."""
        form = self._format_of(entry.path)
        if form.kind is FileKind.PARQUET:
            return form
        names = tuple(entry.header)
        return replace(form, names=names, has_header=not form.names, is_copy=entry.copy is not None)

    def _look(self, session: Session, file: LandingFile) -> FileIndex | None:
        if file.problem:
            return FileIndex(file.path, [], {}, {}, error=file.problem)
        try:
            with self._errors_of(file.path):
                entry = self._read(session, file)
        except LandingError as error:
            if not (self.folder / file.path).exists():
                return None
            before = self._kept(self._last(file))
            return FileIndex(file.path, [], {}, before.days if before else {}, error=str(error))
        with self._written_to():
            self._index.mkdir(parents=True, exist_ok=True)
            for target in (self._entry(file), self._last(file)):
                # Several runs may look at one file at once; each writes the same, and a reader never sees half of it.
                draft = target.with_suffix(f".{uuid.uuid4().hex}.tmp")
                draft.write_text(json.dumps(asdict(entry)))
                draft.replace(target)
        return entry

    def _kept(self, entry: Path) -> FileIndex | None:
        try:
            return FileIndex.load(entry.read_text())
        except (FileNotFoundError, NotADirectoryError, ValueError):
            # What cannot be read as an entry is made anew: it follows from the file.
            return None

    def _read(self, session: Session, file: LandingFile) -> FileIndex:
        """What the file holds; the engine's reader has to find as many rows as there are records.

        Raises:
            LandingError: it does not, or the file does not fit the contract.
        """
        form = self._format_of(file.path)
        if self.contract.kind is Kind.SNAPSHOT and file.delivery is None:
            raise LandingError(
                f"{self.contract.full_name}: landing file {file.path} lies in no date=YYYY-MM-DD/ folder, so the day "
                "of the snapshot is not known; move it into one"
            )
        path = self.folder / file.path
        if form.kind is FileKind.PARQUET:
            footer = pq.read_metadata(path)
            return self._counted(
                session, file, form, Survey(tuple(footer.schema.to_arrow_schema().names), footer.num_rows)
            )
        plain = survey(path, form)
        if plain is not None:
            try:
                return self._counted(session, file, form, plain)
            except UnreadableFile:
                # The reader and the survey do not agree about the file. Whether a copy can be made says who is right.
                pass
        return self._copied(session, file, form)

    def _copied(self, session: Session, file: LandingFile, form: FileFormat) -> FileIndex:
        """What a text file holds that is not plain, of which a copy is kept."""
        copy = self._entry(file).with_suffix(".parquet")
        draft = copy.with_suffix(f".{uuid.uuid4().hex}.tmp")
        with self._written_to():
            self._index.mkdir(parents=True, exist_ok=True)
        try:
            found = rewrite(self.folder / file.path, form, draft, file.path)
            draft.replace(copy)
        except LandingError as error:
            raise LandingError(f"{self.contract.full_name}: {error}") from error
        finally:
            draft.unlink(missing_ok=True)
        return self._counted(session, file, form, found, copy.name)

    def _counted(
        self, session: Session, file: LandingFile, form: FileFormat, surveyed: Survey, copy: str | None = None
    ) -> FileIndex:
        entry = FileIndex(file.path, [], {}, {}, header=surveyed.header, records=surveyed.records, copy=copy)
        if form.kind is not FileKind.PARQUET and not surveyed.records and not surveyed.header:
            return replace(entry, copy=None)
        read = self._format_to_read(entry)
        schema = pq.read_schema(self.folder / file.path) if form.kind is FileKind.PARQUET else None
        if form.kind is FileKind.CSV:
            there = dict.fromkeys(distinct(surveyed.header), True)
        elif copy is None:
            there = session.file_columns(str(self.folder / file.path), read)
        else:
            there = dict.fromkeys(surveyed.keys, True)
        if schema is not None:
            there = {name: is_typed for name, is_typed in there.items() if name in distinct(entry.header)}
            entry = replace(entry, physical=_digest([f"{field.name} {field.type}" for field in schema]))
        columns = self._columns(entry, form, there)
        if schema is not None:
            self._check_readable(entry, schema, columns)
        sample = self._scanned(session, [entry], read, columns, self._expressions(columns))
        self._check_types(file.path, form, sample)
        types = {c.name: str(sample[c.name].type()) for c in self.contract.columns if c.name in sample.columns}
        entry = replace(entry, columns=columns, types=types)
        if self.contract.kind is Kind.SNAPSHOT:
            self._check_count(session, entry, self._rows(session, entry, read))
            if self.mapping.columns:
                # An expression may fail on a value.
                self.check(session, [entry])
            return entry
        of = [c for c in self.contract.columns if c.name == self.contract.instant or _may_be_faulty(c)]
        rows = with_faults(self._conformed(session, [entry], read, columns, of), self.contract, of)
        by_day = rows.group_by(day=rows._day, unknown_as=rows._unknown_as).aggregate(
            rows=ibis._.count(), faulty=rows._reason.count()
        )
        try:
            with self._errors_of(file.path, session.failures):
                found = by_day.to_pyarrow().to_pylist()
        except LandingError:
            # If the rows can be read, it is an expression of the mapping that fails.
            self._check_count(session, entry, self._rows(session, entry, read))
            raise
        self._check_count(session, entry, sum(row["rows"] for row in found))
        counted = Counter[str | None]()
        for row in found:
            counted[row["day"]] += row["rows"]
        written = {row["unknown_as"] for row in found} - {None}
        instant = str(self.contract.instant)
        is_text = self.contract.local_times and instant in sample.columns and sample[instant].type().is_string()
        unknown_time = counted.pop(None, 0)
        dated = sorted(str(day) for day in set(counted) - {UNKNOWN_DAY})
        # A row whose time cannot be read is quarantined under the day that its file was delivered for, or begins with.
        # A file that began before the first day is not looked at before that.
        unknown_time_day = file.delivery or next(iter(dated), self.first_day)
        if unknown_time_day < self.first_day and self.contract.is_history:
            unknown_time_day = self.first_day
        if unknown_time_day < self.first_day:
            unknown_time_day = next((day for day in dated if day >= self.first_day), unknown_time_day)
        return replace(
            entry,
            days=dict(sorted((str(day), n) for day, n in counted.items())),
            unknown_time=unknown_time,
            unknown_time_day=unknown_time_day if unknown_time else None,
            faulty=None if self.contract.key else sum(row["faulty"] for row in found),
            unknown_as=sorted(written) if is_text and len(written) <= MOST_TEXTS else None,
        )

    def _rows(self, session: Session, entry: FileIndex, read: FileFormat) -> int:
        """How many rows the engine's reader finds."""
        try:
            return int(self._scanned(session, [entry], read, entry.columns, {}).count().to_pyarrow().as_py())
        except session.failures as error:
            raise_fault(f"{self.contract.full_name}: reading {entry.path}", error)
            raise UnreadableFile(
                f"{self.contract.full_name}: landing file {entry.path} cannot be read: {error}"
            ) from error

    def _check_count(self, session: Session, entry: FileIndex, rows: int) -> None:
        if rows != entry.records:
            raise UnreadableFile(
                f"{self.contract.full_name}: landing file {entry.path} cannot be read: it has {entry.records} records, "
                f"and the engine's reader finds {rows}. If it is still being written, it is read again when it has "
                "changed; else deliver it in another format, Parquet for example."
            )

    @contextmanager
    def _written_to(self) -> Iterator[None]:
        """What goes wrong while the index is written, said of the lake."""
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
        """What goes wrong while a file is read, said of that file."""
        try:
            yield
        except errors as error:
            raise_fault(f"{self.contract.full_name}: reading {path}", error)
            raise LandingError(
                f"{self.contract.full_name}: landing file {path} cannot be read: {error}. If it is still being "
                "written, it is read again when it has changed; else deliver it anew or remove it."
            ) from error

    def _columns(self, entry: FileIndex, form: FileFormat, there: Mapping[str, bool]) -> list[str]:
        """The file's columns that the contract reads.

        Raises:
            LandingError: the file lacks one, or has one twice.
        """
        needed: list[str] = []
        for column in self.contract.columns:
            expression = self.mapping.expression(column.name)
            if self.mapping.is_null(column.name) or not there.get(column.name, True):
                continue
            if expression is not None:
                needed += sorted(referenced(expression))
            elif column.name in there or column.name in entry.header:
                needed.append(column.name)
            elif not column.nullable or not (self.mapping.columns or form.kind is FileKind.JSONL):
                # JSON leaves out what is NULL, and whoever maps says what there is.
                needed.append(column.name)
        missing = [name for name in dict.fromkeys(needed) if name not in there]
        if twice := [name for name in missing if name in entry.header]:
            raise LandingError(
                f"{self.contract.full_name}: landing file {entry.path} has more than one column that is called "
                f"{', '.join(twice)} in upper or lower case; its columns are {', '.join(entry.header)}. Deliver it "
                "with names that differ."
            )
        if missing:
            expected = {c.name: c.type for c in self.contract.columns}
            named = ", ".join(f"{m} ({expected[m]})" if m in expected else m for m in missing)
            raise LandingError(
                f"{self.contract.full_name}: landing file {entry.path} lacks the column {named}; it has "
                f"{', '.join(there)}. Deliver it with the column, or map it in sources.yaml."
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

    def _check_readable(self, entry: FileIndex, schema: pa.Schema, columns: Sequence[str]) -> None:
        """Raise LandingError where an engine would read something else than a Parquet file says, without a word."""
        of = [schema.field(name) for name in columns]
        if wide := [field for field in of if pa.types.is_decimal256(field.type)]:
            raise LandingError(
                f"{self.contract.full_name}: landing file {entry.path}: column {wide[0].name} is {wide[0].type}, and "
                "engines know decimals of up to 38 digits. Deliver it as one, or as text."
            )
        if ours := [name for name in schema.names if name.casefold().startswith(RESERVED)]:
            raise LandingError(
                f"{self.contract.full_name}: landing file {entry.path} has a column {ours[0]}; names that begin with "
                f"{RESERVED} are used by the queries of landing files. Deliver it under another name."
            )

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
        entries: Sequence[FileIndex],
        form: FileFormat,
        columns: Sequence[str],
        of: Sequence[Column],
        unknown_as: Sequence[str] | None = None,
        is_clean: bool = False,
    ) -> ir.Table:
        expressions = self._expressions(columns, [c.name for c in of])
        rows = self._scanned(session, entries, form, columns, expressions)
        found = conformed(rows, self.contract, of, self.timezone, self.first_day, unknown_as, is_clean)
        # A copy names the file that it is of.
        return found if form.is_copy else found.mutate(_file=found._file.substr(len(str(self.folder)) + 1))

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

    def _entry(self, file: LandingFile) -> Path:
        said = [
            INDEX_VERSION,
            file.path,
            file.size,
            file.modified_ns,
            self.mapping.signature(),
            self.timezone,
            self.first_day,
        ]
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


def _with_neighbours(day: str) -> set[str]:
    """The day, the one before it and the one after it, where the calendar has them."""
    found = {day}
    for offset in (-1, 1):
        with suppress(OverflowError):
            found.add(shift(day, offset))
    return found


def _may_be_faulty(column: Column) -> bool:
    return bool(column.checks) or not column.nullable or column.type != "string"


def _digest(said: Sequence[object]) -> str:
    return hashlib.blake2b(json.dumps(said).encode(), digest_size=16).hexdigest()


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
