"""Which files there are in the landing folder of a source, on this machine or in an object store."""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from wemart_assets.lake.errors import LandingError
from wemart_assets.lake.location import InvalidName, Listed, Location, ObjectStoreError
from wemart_assets.lake.store_faults import StoreFault

DELIVERY = r"(?:^|/)date=([0-9]{4}-[0-9]{2}-[0-9]{2})/"


@dataclass(frozen=True, order=True)
class LandingFile:
    """A file below the landing folder of its source.

    `version` changes whenever the content does: the time of its last change in nanoseconds, or the tag of an object.
    `problem` says why it cannot be read at all, before looking at its content; empty if there is no problem.
    """

    path: str
    size: int
    version: str
    problem: str = ""

    @property
    def delivery(self) -> str | None:
        """The day of the `date=` folder that contains it; None if there is no such folder or it names no day."""
        return delivery_of(self.path)


def delivery_of(path: str) -> str | None:
    """The day of the `date=` folder that contains a file; None if there is no such folder or it names no day."""
    folder = re.search(DELIVERY, path)
    try:
        return dt.date.fromisoformat(folder.group(1)).isoformat() if folder else None
    except ValueError:
        return None


def list_landing(source: str, folder: Location) -> tuple[list[LandingFile], list[str]]:
    """All landed files of a source, ordered by path, and a warning for everything else in its folder.

    Links to folders are followed, unless they lead back to a folder that contains them. A folder that cannot be read
    stands for one unreadable file, which may have rows of the day in its name, or else of any day.

    Raises:
        LandingError: the object store cannot be reached, or refuses the listing.
    """
    if not folder.is_local:
        return sorted(_Objects(source, folder).files()), []
    listing = _Folder(source, folder.path)
    listing.add(folder.path, frozenset())
    return sorted(listing.files), listing.warnings


class StoreAway(LandingError):
    """The object store of the landing folders cannot be used, whatever the source."""


def unreachable(source: str, error: ObjectStoreError) -> LandingError:
    """The error of a landing folder whose object store cannot be reached, or refuses access to it."""
    # A policy may forbid a single folder.
    kind = LandingError if error.fault is StoreFault.RIGHTS else StoreAway
    return kind(f"{source}: the landing folder cannot be read: {error}. What has landed is read once this is mended.")


def _is_ignored(name: str) -> bool:
    """Whether this is the name of a hidden or a temporary file or folder."""
    return name.startswith((".", "_")) or name.endswith((".tmp", ".crc", ".part"))


@dataclass
class _Folder:
    """The files of a folder of this machine."""

    source: str
    folder: Path
    files: list[LandingFile] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, folder: Path, parents: frozenset[object]) -> None:
        """Adds what is in a folder; `parents` are the folders that contain it."""
        try:
            stat = folder.stat()
            with os.scandir(folder) as scanned:
                entries = sorted(scanned, key=lambda entry: entry.name)
        except FileNotFoundError:
            return
        except OSError as error:
            path_of_folder = f"{self._below(folder)}/"
            problem = f"{self.source}: landing folder {path_of_folder} cannot be read: {error.strerror}"
            self.files.append(LandingFile(path_of_folder, 0, "0", problem))
            return
        parents = parents | {(stat.st_dev, stat.st_ino)}
        for entry in entries:
            if _is_ignored(entry.name):
                continue
            try:
                stat = entry.stat()
            except FileNotFoundError:
                if entry.is_symlink():
                    self._ignore(entry.path, "it is a broken link")
                continue
            except OSError as error:
                self._ignore(entry.path, str(error.strerror))
                continue
            if S_ISDIR(stat.st_mode):
                if (stat.st_dev, stat.st_ino) in parents:
                    self._ignore(entry.path, "it is a link to a folder that contains it")
                else:
                    self.add(Path(entry.path), parents)
            elif S_ISREG(stat.st_mode):
                below = self._below(entry.path)
                problem = ""
                if not _is_utf8(entry.path):
                    problem = f"{self.source}: the name of landing file {below} is not UTF-8; rename it"
                self.files.append(LandingFile(below, stat.st_size, str(stat.st_mtime_ns), problem))
            else:
                self._ignore(entry.path, "it is not a regular file")

    def _below(self, path: str | Path) -> str:
        """The path below the landing folder; bytes that are not UTF-8 are shown as \\xNN."""
        below = str(path)[len(str(self.folder)) :].strip("/") or "."
        return os.fsencode(below).decode("utf-8", "backslashreplace")

    def _ignore(self, path: str, why: str) -> None:
        self.warnings.append(f"{self.source}: {self._below(path)} in the landing folder is ignored: {why}")


@dataclass
class _Objects:
    """The objects below a prefix of an object store."""

    source: str
    folder: Location

    def files(self) -> Iterator[LandingFile]:
        unnamed: list[LandingFile] = []
        try:
            try:
                listed = list(self.folder.files())
            except InvalidName:
                # One such name would hide all others, so each folder is listed by itself.
                listed = []
                self._add("", listed, unnamed)
            yield from self._read(listed)
        except ObjectStoreError as error:
            raise unreachable(self.source, error) from error
        yield from unnamed

    def _add(self, below: str, listed: list[Listed], unnamed: list[LandingFile]) -> None:
        """Adds the objects of one folder after the other; one with an invalid name in it is unreadable."""
        try:
            files, folders = (self.folder / below if below else self.folder).level()
        except InvalidName as error:
            problem = f"{self.source}: landing folder {below}/ cannot be listed: {error}. Rename the object."
            unnamed.append(LandingFile(f"{below}/", 0, "0", problem))
            return
        above = f"{below}/" if below else ""
        listed += [Listed(f"{above}{file.path}", file.size, file.version, file.modified) for file in files]
        for name in folders:
            self._add(f"{above}{name}", listed, unnamed)

    def _read(self, listed: list[Listed]) -> Iterator[LandingFile]:
        folders = {above for file in listed for above in _above(file.path)}
        for file in listed:
            if any(map(_is_ignored, file.path.split("/"))):
                continue
            # Consoles mark a folder by an empty object whose name ends in a slash, which the listing leaves out.
            if not file.size and (file.path in folders or not self.folder.exists(file.path)):
                continue
            problem = ""
            if "?" in file.path or "\\" in file.path:
                problem = (
                    f"{self.source}: the name of landing file {file.path} has a question mark or a backslash, with "
                    "which DuckDB cannot read it from an object store; rename it"
                )
            yield LandingFile(file.path, file.size, file.version, problem)


def _above(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
