"""Landing files: which files there are, how to read them as a contract, and which business days they have rows of.

A file often spans several business days (a UTC day covers two days in Seoul, an export covers a month), so the day of a
fact is never taken from a path. Each file is read once, and its index entry is kept beside the source table under the
file's fingerprint. A file that changes gets another fingerprint and is read again.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq

from wemart_assets.lake.engine import RESERVED, FileFormat, FileKind
from wemart_assets.lake.errors import LandingError, UnreadableFile
from wemart_assets.lake.faults import raise_fault
from wemart_assets.lake.location import Location, ObjectStoreError
from wemart_assets.lake.session import Session
from wemart_assets.lake.table import Column
from wemart_assets.setting_values.source_settings import SourceSettings
from wemart_assets.sources.conform import conformed, readable_as, with_faults
from wemart_assets.sources.contract import UNKNOWN_DAY, Contract, Kind
from wemart_assets.sources.expressions import referenced
from wemart_assets.sources.index import FileIndex, Index, Known
from wemart_assets.sources.listing import LandingFile, list_landing, unreachable
from wemart_assets.sources.mapping import SourceMapping, load_mappings
from wemart_assets.sources.records import Survey, distinct, rewrite, survey

INDEX_FOLDER = "_landing"
# With another number, all files are indexed again.
INDEX_VERSION = 4
# How many different texts of unknown times the index keeps per file; real files have far fewer.
MOST_TEXTS = 20
# How much of an expression an error shows.
LONGEST_SHOWN = 200


class Landing:
    """The landing folder of one source, and the index of its files."""

    def __init__(
        self,
        contract: Contract,
        mapping: SourceMapping,
        landing: Location,
        lake: Location,
        timezone: str,
        first_day: str,
    ) -> None:
        self.contract = contract
        self.mapping = mapping
        self.folder = landing / (mapping.landing or contract.full_name)
        self.timezone = timezone
        self.first_day = first_day
        self._index = Index(contract.full_name, lake / f"{contract.database}/{contract.name}/{INDEX_FOLDER}")

    def files(self) -> list[LandingFile]:
        """All landed files, ordered by path."""
        return self.listing()[0]

    def listing(self) -> tuple[list[LandingFile], list[str]]:
        """All landed files, ordered by path, and a warning for everything else in the folder.

        Raises:
            LandingError: the object store cannot be reached, or refuses the listing.
        """
        return list_landing(self.contract.full_name, self.folder)

    def known(self) -> Known:
        """What the index has of files that were read before.

        Raises:
            WemartError: the index cannot be read.
        """
        return self._index.read()

    def index(
        self, session: Session, files: Sequence[LandingFile], known: Known | None = None
    ) -> dict[LandingFile, FileIndex]:
        """The index entry of each file. New and changed files are read; files that no longer exist are left out.

        Raises:
            WemartError: the index cannot be read or written.
        """
        known = self.known() if known is None else known
        entries: dict[LandingFile, FileIndex] = {}
        with self._index.writer() as store:
            for file, key in zip(files, self._keys(files), strict=True):
                entry = known.get(key) or self._index_file(session, file, key, known, store)
                if entry is not None:
                    entries[file] = entry
        return entries

    def vacuum(self, older_than: int, dry_run: bool) -> list[str]:
        """Removes entries and copies of files that have changed or are gone; returns the names of what is removed.

        Those younger than `older_than` hours stay, because a run may need them. `dry_run` removes nothing.
        """
        files = self.files()
        return self._index.vacuum(set(self._keys(files)), {file.path for file in files}, older_than, dry_run)

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
            try:
                with unreadable(self.contract.full_name, entry.path, session.failures):
                    rows.aggregate(rows=rows.count(), **values).to_pyarrow()
            except LandingError as error:
                raise (self._failed_expression(session, entry) or error) from error

    def check_unchanged(self, files: Iterable[LandingFile]) -> None:
        """Raises LandingError if a file has changed since it was listed."""
        for file in files:
            if self._version(file.path) != (file.size, file.version):
                raise LandingError(
                    f"{self.contract.full_name}: landing file {file.path} was changed or removed while it was read. "
                    "Nothing was published; run the days again."
                )

    def _version(self, path: str) -> tuple[int, str] | None:
        """The size and version of a landing file as it is now; None if it is gone."""
        try:
            now = self.folder.stat(path)
        except FileNotFoundError:
            return None
        except ObjectStoreError as error:
            raise unreachable(self.contract.full_name, error) from error
        return now.size, now.version

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

    def _index_file(
        self, session: Session, file: LandingFile, key: str, known: Known, store: Callable[[str, FileIndex], None]
    ) -> FileIndex | None:
        """Reads a file and stores its entry; None if the file no longer exists."""
        if file.problem:
            return FileIndex(file.path, [], {}, {}, error=file.problem)
        try:
            with unreadable(self.contract.full_name, file.path):
                entry = self._read(session, file, key)
        except LandingError as error:
            if self._version(file.path) is None:
                return None
            last = known.last(file.path)
            return FileIndex(file.path, [], {}, last.days if last else {}, error=str(error))
        # Unlike a time, the tag of an object comes back with its content, and must not bring the entry of another.
        if self.folder.is_local or self._version(file.path) == (file.size, file.version):
            store(key, entry)
        return entry

    def _read(self, session: Session, file: LandingFile, key: str) -> FileIndex:
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
        if form.kind is FileKind.PARQUET:
            with self.folder.open(file.path) as content:
                footer = pq.read_metadata(content)
            surveyed = Survey(tuple(footer.schema.to_arrow_schema().names), footer.num_rows)
            return self._indexed(session, file, form, surveyed)
        plain = survey(self.folder, file.path, form)
        if plain is not None:
            try:
                return self._indexed(session, file, form, plain)
            except UnreadableFile:
                # The reader and the survey disagree about the file. If a copy can be made, the survey is right.
                pass
        return self._indexed_from_copy(session, file, form, key)

    def _indexed_from_copy(self, session: Session, file: LandingFile, form: FileFormat, key: str) -> FileIndex:
        """The index entry of a text file that is not plain; engines read a copy, which is kept."""
        try:
            with self._index.copy(key) as target:
                surveyed = rewrite(self.folder, file.path, form, target)
        except LandingError as error:
            raise LandingError(f"{self.contract.full_name}: {error}") from error
        return self._indexed(session, file, form, surveyed, self._index.copy_name(key))

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
        try:
            sample = self._scanned(
                session, [entry], self._format_to_read(entry), entry.columns, self._expressions(entry.columns)
            )
        except UnreadableFile:
            raise
        except LandingError as error:
            raise (self._failed_expression(session, entry) or error) from error
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
        schema = None
        if form.kind is FileKind.PARQUET:
            with self.folder.open(entry.path) as content:
                schema = pq.read_schema(content)
        if form.kind in (FileKind.CSV, FileKind.TEXT):
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
            with unreadable(self.contract.full_name, file.path, session.failures):
                counts = by_day.to_pyarrow().to_pylist()
        except LandingError as error:
            # If the rows can be read, an expression of the mapping is what fails.
            self._check_count(entry, self._rows(session, entry))
            raise (self._failed_expression(session, entry) or error) from error
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

    def _failed_expression(self, session: Session, entry: FileIndex) -> LandingError | None:
        """The error of the first mapped column whose expression fails on a file, if that is what is wrong with it."""
        form = self._format_to_read(entry)
        quoted = (name.replace('"', '""') for name in entry.columns)
        columns = {f"column_{place}": f'cast("{name}" as varchar)' for place, name in enumerate(quoted)}
        errors: tuple[type[Exception], ...] = (LandingError, *session.failures)
        try:
            rows = self._scanned(session, [entry], form, entry.columns, columns)
            rows.aggregate(rows=rows.count(), **{name: rows[name].max() for name in columns}).to_pyarrow()
        except errors:
            # The file itself cannot be read.
            return None
        for name, sql in self._expressions(entry.columns).items():
            if self.mapping.expression(name) is None:
                continue
            try:
                rows = self._scanned(session, [entry], form, entry.columns, {name: sql})
                rows.aggregate(value=rows[name].cast("string").max()).to_pyarrow()
            except LandingError as error:
                return self._expression_error(entry, form, name, error.__cause__ or error)
            except session.failures as error:
                return self._expression_error(entry, form, name, error)
        return None

    def _expression_error(self, entry: FileIndex, form: FileFormat, name: str, cause: BaseException) -> LandingError:
        if isinstance(cause, Exception):
            raise_fault(f"{self.contract.full_name}: reading {entry.path}", cause)
        hint = "Correct it in sources.yaml."
        if form.kind is not FileKind.PARQUET:
            hint = (
                "All columns of text formats are text, so numbers and times need a cast; try_cast gives NULL for a "
                "value that cannot be cast."
            )
        return LandingError(
            f"{self.contract.full_name}: landing file {entry.path}: the expression of {name} fails: "
            f"{_shortened(str(self.mapping.expression(name)))}: {_first_sentence(cause)}. {hint}"
        )

    def _columns(self, entry: FileIndex, form: FileFormat, present: Mapping[str, bool]) -> list[str]:
        """The file's columns that the contract reads.

        `present` has the file's columns, with False for those that are NULL in every row and so have no type.

        Raises:
            LandingError: the file lacks one of them, or has one twice.
        """
        needed: list[str] = []
        read_by: dict[str, str] = {}
        for column in self.contract.columns:
            expression = self.mapping.expression(column.name)
            if self.mapping.is_null(column.name) or not present.get(column.name, True):
                continue
            if expression is not None:
                read = sorted(referenced(expression))
                needed += read
                read_by |= {name: column.name for name in read if name not in read_by}
            elif column.name in present or column.name in entry.header:
                needed.append(column.name)
            elif not column.nullable or not (self.mapping.columns or form.kind is FileKind.JSONL):
                # JSON lines may leave out NULL values, and a mapping lists the columns that exist.
                needed.append(column.name)
        optional = self.mapping.optional if form.kind is FileKind.JSONL else ()
        missing = [name for name in dict.fromkeys(needed) if name not in present and name not in optional]
        if ambiguous := [name for name in missing if name in entry.header]:
            raise LandingError(
                f"{self.contract.full_name}: landing file {entry.path} has more than one column named "
                f"{', '.join(ambiguous)}, ignoring case; its columns are {', '.join(entry.header)}. Deliver it with "
                "distinct names."
            )
        if missing:
            expected = {c.name: c.type for c in self.contract.columns}
            needed_for = {m: f" (for {read_by[m]})" if m in read_by else f" ({expected.get(m)})" for m in missing}
            named = ", ".join(f"{m}{needed_for[m]}" for m in missing)
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
        paths = [str(self._index.folder / e.copy if e.copy else self.folder / e.path) for e in entries]
        return session.scan(paths, form, columns, expressions)

    def _keys(self, files: Iterable[LandingFile]) -> Iterator[str]:
        """The key of each file's entry in the index: a digest of everything that the entry depends on."""
        common: list[object] = [self.mapping.signature(), self.timezone, self.first_day]
        common += [repr(self.contract.form), self.contract.local_times, str(self.contract.unknown_time)]
        common += [f"{c.name} {c.type} {c.nullable}" for c in self.contract.columns]
        common += ["history"] if self.contract.is_history else []
        for file in files:
            version = int(file.version) if self.folder.is_local else file.version
            yield _digest([INDEX_VERSION, file.path, file.size, version, *common])


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
            settings.landing,
            settings.lake,
            settings.timezone,
            str(settings.first_day),
        )
        for name, contract in contracts.items()
        if mappings[name].table is None
    }


# What Python's own readers raise for a file that is damaged, or cannot be opened.
FILE_ERRORS = (OSError, EOFError, zlib.error, pa.ArrowException, UnicodeDecodeError)


@contextmanager
def unreadable(source: str, path: str, errors: tuple[type[Exception], ...] = FILE_ERRORS) -> Iterator[None]:
    """Names the file in the error if it cannot be read."""
    try:
        yield
    except errors as error:
        raise_fault(f"{source}: reading {path}", error)
        raise LandingError(
            f"{source}: landing file {path} cannot be read: {error}. If it is still being written, it will be read "
            "again once it has changed; otherwise deliver it again or remove it."
        ) from error


def _first_sentence(error: BaseException) -> str:
    """The message of an engine without the query that it quotes, in one line."""
    message = str(error).split("\n\n")[0]
    for noise in ("LINE 1:", "\tCandidate functions:", "Candidate functions:", "Did you mean"):
        message = message.partition(noise)[0]
    return " ".join(message.split()).rstrip(".")


def _shortened(sql: str) -> str:
    text = " ".join(sql.split())
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def _may_be_faulty(column: Column) -> bool:
    return bool(column.checks) or not column.nullable or column.type != "string"


def _digest(values: Sequence[object]) -> str:
    return hashlib.blake2b(json.dumps(values).encode(), digest_size=16).hexdigest()
