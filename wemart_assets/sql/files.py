"""The only files that an SQL session can reach: the published data files of the tables that its queries name.

DuckDB reads them through this file system and has no other, so a statement that gets past the first wall
(`statements`) still cannot write, nor read anything else.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from typing import IO, Any, NoReturn, cast

import pyarrow as pa
import pyarrow.parquet
from fsspec import AbstractFileSystem

from wemart_assets.lake.location import Location, ObjectStoreError

PROTOCOL = "wemart"


@dataclass(frozen=True)
class PublishedFile:
    """A data file listed in a table's log: where it is, its length, table and day (None if the table has no days)."""

    location: Location
    path: str
    bytes: int
    table: str
    day: str | None


class PublishedFiles(AbstractFileSystem):  # type: ignore[misc]
    """A read-only file system of `wemart://<database>/<table>/<path in the log>`; anything else is refused."""

    protocol = PROTOCOL
    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self._published: dict[str, PublishedFile] = {}
        self.opened: set[str] = set()
        # The opened files that are damaged, and how.
        self.damaged: list[tuple[PublishedFile, str]] = []
        # Why a file could not be read if its object store is the reason: DuckDB passes on only the text.
        self.unavailable: ObjectStoreError | None = None

    def publish(self, name: str, file: PublishedFile) -> None:
        self._published[name] = file

    def withdraw(self) -> None:
        """Makes no file readable until it is published again."""
        self._published.clear()
        self.forget()

    def forget(self) -> None:
        """Resets the record of opened and damaged files."""
        self.opened.clear()
        self.damaged.clear()
        self.unavailable = None

    def named_in(self, text: str) -> PublishedFile | None:
        """Returns the opened file that a message names, if there is one."""
        names = [name for name in self.opened if name in text]
        return self._published[max(names, key=len)] if names else None

    def unreadable(self) -> tuple[PublishedFile, str] | None:
        """Returns the first opened file that cannot be read in full, and why.

        Raises:
            ObjectStoreError: the object store is the reason, not the file.
        """
        for name in sorted(self.opened):
            file = self._published[name]
            try:
                with file.location.open(file.path) as source, pyarrow.parquet.ParquetFile(source) as parquet:
                    for _batch in parquet.iter_batches():
                        pass
            except ObjectStoreError:
                raise
            except (OSError, pa.ArrowException) as error:
                return file, f"cannot be read: {str(error).splitlines()[0]}"
        return None

    def open(self, path: str, mode: str = "rb", **_options: Any) -> IO[bytes]:
        if mode != "rb":
            self._refuse(path)
        file = self._file(path)
        self.opened.add(path)
        is_local = file.location.is_local
        try:
            # Without a buffer of its own: DuckDB asks for what it needs.
            opened: Any = FileIO(file.location.path / file.path) if is_local else _Object(self, file)
        except FileNotFoundError:
            self._damage(file, "is missing")
        except ObjectStoreError:
            raise
        except OSError as error:
            self._damage(file, f"cannot be read ({error.strerror or error})")
        size = opened.seek(0, 2)
        opened.seek(0)
        if size != file.bytes:
            opened.close()
            self._damage(file, f"has {size:,} bytes, but its table's log says {file.bytes:,}")
        return cast(IO[bytes], opened)

    def glob(self, path: str, **_options: Any) -> list[str]:
        # Names come with their pattern characters in brackets, so that none is taken for a pattern.
        name = re.sub(r"\[(.)\]", r"\1", path)
        return [name] if name in self._published else []

    def exists(self, path: str, **_options: Any) -> bool:
        return path in self._published

    def isfile(self, path: str) -> bool:
        return path in self._published

    def isdir(self, _path: str) -> bool:
        return False

    def size(self, path: str) -> int:
        return self._file(path).bytes

    def info(self, path: str, **_options: Any) -> dict[str, Any]:
        return {"name": path, "size": self._file(path).bytes, "type": "file"}

    def modified(self, path: str) -> dt.datetime:
        # A published file never changes.
        self._file(path)
        return dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

    created = modified

    def _file(self, path: str) -> PublishedFile:
        if path not in self._published:
            raise PermissionError(f"{path} is not a published data file of a table in the query")
        return self._published[path]

    def _damage(self, file: PublishedFile, problem: str) -> NoReturn:
        self.damaged.append((file, problem))
        raise OSError(f"{file.location / file.path} {problem}")

    def _refuse(self, *paths: object, **_options: Any) -> NoReturn:
        raise PermissionError(f"{' '.join(map(str, paths))}: the lake is read-only")

    _open: Callable[..., Any] = _refuse
    cp_file: Callable[..., Any] = _refuse
    makedirs: Callable[..., Any] = _refuse
    mkdir: Callable[..., Any] = _refuse
    mv: Callable[..., Any] = _refuse
    pipe_file: Callable[..., Any] = _refuse
    put_file: Callable[..., Any] = _refuse
    rm: Callable[..., Any] = _refuse
    rm_file: Callable[..., Any] = _refuse
    rmdir: Callable[..., Any] = _refuse
    touch: Callable[..., Any] = _refuse


class _Object:
    """A data file in an object store, which tells the others why it cannot be read."""

    def __init__(self, files: PublishedFiles, file: PublishedFile) -> None:
        self._files = files
        with self._noticed():
            self._opened = file.location.open(file.path)

    def read(self, size: int = -1) -> bytes:
        with self._noticed():
            return self._opened.read(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._opened, name)

    @contextmanager
    def _noticed(self) -> Iterator[None]:
        try:
            yield
        except ObjectStoreError as error:
            self._files.unavailable = error
            raise
