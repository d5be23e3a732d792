"""The index of a source's landing files: what was found in each file when it was read.

It is kept beside the source table as segments: compressed files of many entries, which are written whole under new
names and never changed. Whoever has read new files adds a segment; whoever meets many merges them into one, which names
those that it replaces. These are removed some minutes later, when no reader has them in its listing any more. So ticks
and runs need no lock: none waits for another or fails because of it, two that merge at once write the same entries
twice, and one that is killed leaves nothing but files that the next one removes.

An entry is found under a digest of everything that it depends on, so it never becomes wrong; that of a file that has
changed is vacuumed. Earlier versions kept a file of JSON per entry; these are moved into a segment.
"""

from __future__ import annotations

import gzip
import json
import threading
import time
import uuid
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import IO

from wemart_assets.lake.days import shift
from wemart_assets.lake.errors import WemartError
from wemart_assets.lake.location import Listed, Location
from wemart_assets.sources.contract import UNKNOWN_DAY
from wemart_assets.sources.listing import delivery_of

SEGMENT, COPY, OLD_ENTRY, OLD_LAST_ENTRY = ".entries.gz", ".parquet", ".json", ".last.json"
# More segments than this are merged.
MOST_SEGMENTS = 8
# A segment is written after so many entries or seconds, so that an interrupted process need not begin again.
ENTRIES_AT_ONCE, SECONDS_AT_ONCE = 500, 10.0
# Seconds after which no reader still has a replaced segment in its listing, and no writer still writes a draft.
GRACE, DRAFTING = 600, 86_400
# How many entries a process remembers of the segments that it has read, of all sources together; about 1 kB each.
MOST_REMEMBERED = 200_000

READ, WRITTEN = "read from", "written to"


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
        delivery = delivery_of(self.path)
        nearby_days = _with_neighbours(delivery) if delivery else set()
        return delivery is None or any(day in nearby_days or day in self.days or day == UNKNOWN_DAY for day in days)


# What is the same in many files is written once in a segment.
SHARED = ("columns", "types", "header", "physical")
OWN = tuple(field.name for field in fields(FileIndex) if field.name not in SHARED)


@dataclass(frozen=True)
class Stamped:
    """An entry, and when it was made, in seconds since 1970."""

    at: float
    entry: FileIndex


@dataclass(frozen=True)
class _Segment:
    """Entries by key, and the names of the segments that have no others."""

    entries: Mapping[str, Stamped]
    replaces: Set[str] = frozenset()

    def dump(self) -> bytes:
        shapes: dict[str, int] = {}
        rows = []
        for key, stamped in self.entries.items():
            shape = json.dumps([getattr(stamped.entry, name) for name in SHARED])
            number = shapes.setdefault(shape, len(shapes))
            rows.append([key, stamped.at, number, *(getattr(stamped.entry, name) for name in OWN)])
        values = {
            "fields": [*SHARED, *OWN],
            "replaces": sorted(self.replaces),
            "shapes": [json.loads(shape) for shape in shapes],
            "entries": rows,
        }
        return gzip.compress(json.dumps(values).encode(), 1)

    @staticmethod
    def load(content: bytes) -> _Segment:
        """The segment that was written as `content`.

        Raises:
            ValueError: it is damaged, or one of another version.
        """
        try:
            values = json.loads(gzip.decompress(content))
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError("damaged") from error
        if not isinstance(values, dict) or values.get("fields") != [*SHARED, *OWN]:
            raise ValueError("not a segment of this version")
        shapes = [dict(zip(SHARED, shape, strict=True)) for shape in values["shapes"]]
        entries = {
            key: Stamped(at, FileIndex(**shapes[number], **dict(zip(OWN, own, strict=True))))
            for key, at, number, *own in values["entries"]
        }
        return _Segment(entries, frozenset(values["replaces"]))


@dataclass(frozen=True)
class Known:
    """What the index knew when it was read; `copies` are the names of the copies beside it."""

    entries: Mapping[str, Stamped]
    copies: Set[str]

    def get(self, key: str) -> FileIndex | None:
        """The entry under a key; None if there is none, or if its copy is gone."""
        stamped = self.entries.get(key)
        if stamped is None or (stamped.entry.copy is not None and stamped.entry.copy not in self.copies):
            return None
        return stamped.entry

    def last(self, path: str) -> FileIndex | None:
        """The latest entry of a file, whatever it depended on."""
        key = self._last_keys.get(path)
        return None if key is None else self.entries[key].entry

    @cached_property
    def _last_keys(self) -> dict[str, str]:
        return _last_keys(self.entries)


class _Remembered:
    """The segments that this process has read lately."""

    def __init__(self) -> None:
        self._entries = 0
        self._segments: OrderedDict[tuple[str, str, str], _Segment] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, place: tuple[str, str, str], load: Callable[[], _Segment]) -> _Segment:
        with self._lock:
            if place in self._segments:
                self._segments.move_to_end(place)
                return self._segments[place]
        segment = load()
        with self._lock:
            if place not in self._segments:
                self._segments[place] = segment
                self._entries += len(segment.entries)
            while self._entries > MOST_REMEMBERED:
                self._entries -= len(self._segments.popitem(last=False)[1].entries)
        return segment


_remembered = _Remembered()


@dataclass
class Index:
    """The index of the source called `source`, in a folder of its own."""

    source: str
    folder: Location
    _damaged: set[tuple[str, str, str]] = field(default_factory=set)

    def read(self) -> Known:
        """All entries. Those of earlier versions are moved into a segment first.

        Raises:
            WemartError: the index cannot be read, or cannot be written.
        """
        while True:
            segments, listed = self._segments()
            old = {name: file for name, file in listed.items() if name.endswith(OLD_ENTRY)}
            # Another process that has moved one of them has removed it.
            with suppress(FileNotFoundError):
                if old:
                    self._write(_Segment(self._old_entries(old)))
                    self._delete(old)
                    continue
                return Known(_united(segments.values()), {name for name in listed if name.endswith(COPY)})

    @contextmanager
    def writer(self) -> Iterator[Callable[[str, FileIndex], None]]:
        """A function that takes new entries under their keys; at the end at the latest, all are stored.

        Raises:
            WemartError: the index cannot be written.
        """
        new: dict[str, Stamped] = {}
        last_written = time.monotonic()

        def write() -> None:
            nonlocal last_written
            if new:
                self._write(_Segment(new))
                new.clear()
                self._tidy()
            last_written = time.monotonic()

        def add(key: str, entry: FileIndex) -> None:
            new[key] = Stamped(time.time(), entry)
            if len(new) >= ENTRIES_AT_ONCE or time.monotonic() - last_written > SECONDS_AT_ONCE:
                write()

        try:
            yield add
        finally:
            write()

    @contextmanager
    def copy(self, key: str) -> Iterator[IO[bytes]]:
        """A file to write the copy of a landing file to, whose entry will be under `key`.

        Raises:
            WemartError: the copy cannot be written.
        """
        of_the_landing_file: BaseException | None = None
        try:
            with self.folder.writer(self.copy_name(key)) as target:
                try:
                    yield target
                except BaseException as error:
                    of_the_landing_file = error
                    raise
        except OSError as error:
            if error is of_the_landing_file:
                raise
            raise self._error(WRITTEN, error) from error

    @staticmethod
    def copy_name(key: str) -> str:
        return f"{key}{COPY}"

    def vacuum(self, keys: Set[str], paths: Set[str], older_than: int, dry_run: bool) -> list[str]:
        """Removes entries and copies of files that have changed or are gone, and what killed processes have left.

        What is younger than `older_than` hours stays, because a run may need it. `keys` are those of the present files,
        `paths` are their paths, whose last entries stay as well. Returns the names of what is removed: the files of
        entries, and copies; `dry_run` removes nothing.
        """
        latest = time.time() - older_than * 3600
        if not dry_run:
            self.read()
        segments, listed = self._segments()
        entries = _united(segments.values())
        needed = keys | {key for path, key in _last_keys(entries).items() if path in paths}
        kept = {key: stamped for key, stamped in entries.items() if key in needed or stamped.at >= latest}
        damaged = {name for _, name, _ in self._damaged}
        needed_files = {self.copy_name(key) for key in needed}
        needed_files |= {name for name in listed if name.endswith((SEGMENT, OLD_ENTRY)) and name not in damaged}
        unneeded = [name for name, file in listed.items() if name not in needed_files and file.modified < latest]
        removed = [entries[key].entry.path for key in entries.keys() - kept.keys()]
        if not dry_run:
            if len(segments) > 1 or len(kept) < len(entries):
                self._merge(segments, listed, kept)
            # Entries first: no entry is without its copy.
            self._delete(unneeded)
            self._tidy()
        return sorted([*removed, *unneeded])

    def _segments(self) -> tuple[dict[str, _Segment], dict[str, Listed]]:
        """The segments that no other replaces, and all files of the folder by name."""
        segments: dict[str, _Segment] = {}
        while True:
            with self._errors(READ):
                listed = {file.path: file for file in self.folder.files()}
            names = sorted(name for name in listed if name.endswith(SEGMENT))
            replaced: set[str] = set()
            try:
                # The latest ones first: they say which of the others need not be read.
                for name in sorted(names, key=lambda name: listed[name].modified, reverse=True):
                    if name not in replaced and (segment := self._load(listed[name])) is not None:
                        segments[name] = segment
                        replaced |= segment.replaces
            except FileNotFoundError:
                # It was replaced in the meantime.
                continue
            return {name: segments[name] for name in names if name in segments and name not in replaced}, listed

    def _load(self, file: Listed) -> _Segment | None:
        """A segment; None if it is damaged or of another version: then its files are read again."""
        place = self.folder.url, file.path, file.version
        if place in self._damaged:
            return None
        try:
            with self._errors(READ):
                return _remembered.get(place, lambda: _Segment.load(self.folder.read(file.path)))
        except ValueError:
            self._damaged.add(place)
            return None

    def _old_entries(self, old: Mapping[str, Listed]) -> dict[str, Stamped]:
        """The entries of earlier versions, each in a file of its own.

        Raises:
            FileNotFoundError: one was removed in the meantime.
        """
        entries: dict[str, Stamped] = {}
        # That of a path alone is the same as the latest of the file, which may be missing.
        for is_last in (False, True):
            paths = {stamped.entry.path for stamped in entries.values()}
            for name in (name for name in old if name.endswith(OLD_LAST_ENTRY) is is_last):
                with self._errors(READ):
                    content = self.folder.read(name)
                # An entry that cannot be loaded is made again from the file.
                with suppress(ValueError):
                    entry = _old_entry(content)
                    if not is_last or entry.path not in paths:
                        entries[name.removesuffix(OLD_ENTRY)] = Stamped(old[name].modified, entry)
        return entries

    def _tidy(self) -> None:
        """Merges segments if there are many, and removes replaced ones and abandoned drafts."""
        segments, listed = self._segments()
        now = time.time()
        unneeded = {name for name, file in listed.items() if name.endswith(".tmp") and file.modified < now - DRAFTING}
        for name, segment in segments.items():
            if listed[name].modified < now - GRACE:
                unneeded |= segment.replaces & listed.keys()
        self._delete(unneeded)
        if len(segments) > MOST_SEGMENTS:
            chosen = _small_ones({name: listed[name].size for name in segments})
            self._merge({name: segments[name] for name in chosen}, listed)

    def _merge(
        self,
        segments: Mapping[str, _Segment],
        listed: Mapping[str, Listed],
        entries: Mapping[str, Stamped] | None = None,
    ) -> None:
        """Replaces segments by one with all of their entries, or with `entries`."""
        older = {name for segment in segments.values() for name in segment.replaces if name in listed}
        merged = _united(segments.values()) if entries is None else entries
        self._write(_Segment(merged, older | segments.keys()))

    def _write(self, segment: _Segment) -> None:
        with self._errors(WRITTEN):
            self.folder.write(f"{uuid.uuid4().hex}{SEGMENT}", segment.dump())

    def _delete(self, names: Iterable[str]) -> None:
        with self._errors(WRITTEN):
            self.folder.delete(names)

    @contextmanager
    def _errors(self, done: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # A segment that is gone was replaced.
            if isinstance(error, FileNotFoundError) and done == READ:
                raise
            raise self._error(done, error) from error

    def _error(self, done: str, error: OSError) -> WemartError:
        return WemartError(
            f"{self.source}: the index of landing files cannot be {done} {self.folder} ({error.strerror or error}). "
            "Point WEMART_LAKE at a place that this user can write."
        )


def _old_entry(content: bytes) -> FileIndex:
    values = json.loads(content)
    if not isinstance(values, dict) or set(values) != {field.name for field in fields(FileIndex)}:
        raise ValueError("not an entry of this version")
    return FileIndex(**values)


def _united(segments: Iterable[_Segment]) -> dict[str, Stamped]:
    """The entries of all segments, the latest one under each key."""
    entries: dict[str, Stamped] = {}
    for segment in segments:
        for key, stamped in segment.entries.items():
            if key not in entries or entries[key].at < stamped.at:
                entries[key] = stamped
    return entries


def _last_keys(entries: Mapping[str, Stamped]) -> dict[str, str]:
    """The key of the latest entry of each path."""
    last: dict[str, str] = {}
    for key, stamped in entries.items():
        before = last.get(stamped.entry.path)
        if before is None or entries[before].at < stamped.at:
            last[stamped.entry.path] = key
    return last


def _small_ones(sizes: Mapping[str, int]) -> list[str]:
    """Half of the segments, and all that are not much larger than the smaller ones together.

    So a large segment is written again only once much has been added to it.
    """
    chosen: list[str] = []
    total = 0
    for name in sorted(sizes, key=lambda name: (sizes[name], name)):
        if len(chosen) > MOST_SEGMENTS // 2 and sizes[name] > 2 * total:
            break
        chosen.append(name)
        total += sizes[name]
    return chosen


def _with_neighbours(day: str) -> set[str]:
    """The day, the day before and the day after, as far as the calendar goes."""
    days = {day}
    for offset in (-1, 1):
        with suppress(OverflowError):
            days.add(shift(day, offset))
    return days
