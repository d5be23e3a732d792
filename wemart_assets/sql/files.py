"""The only files that a session of SQL can reach: the published data files of the tables that its queries name.

DuckDB reads them through this object and has no other file system, so whatever gets past the statements' wall has no
means to write, nor to read anything else.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.parquet
from fsspec import AbstractFileSystem

PROTOCOL = "wemart"


@dataclass(frozen=True)
class PublishedFile:
    """A data file that the log of a table lists: where it is, how long, and whose it is."""

    path: Path
    bytes: int
    table: str
    day: str | None


class PublishedFiles(AbstractFileSystem):  # type: ignore[misc]
    """`wemart://<database>/<table>/<path in the log>`, to be read; everything else is refused."""

    protocol = PROTOCOL
    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self._published: dict[str, PublishedFile] = {}
        self.opened: set[str] = set()
        # What was found to be wrong with files that were opened.
        self.damaged: list[tuple[PublishedFile, str]] = []

    def publish(self, name: str, file: PublishedFile) -> None:
        self._published[name] = file

    def forget(self) -> None:
        """Begin to note anew which files are opened and damaged."""
        self.opened.clear()
        self.damaged.clear()

    def named_in(self, text: str) -> PublishedFile | None:
        """The published file that a message names."""
        names = [name for name in self.opened if name in text]
        return self._published[max(names, key=len)] if names else None

    def unreadable(self) -> tuple[PublishedFile, str] | None:
        """The first of the opened files that cannot be read as a whole, and why."""
        for name in sorted(self.opened):
            file = self._published[name]
            try:
                with pyarrow.parquet.ParquetFile(file.path) as parquet:
                    for _batch in parquet.iter_batches():
                        pass
            except (OSError, pa.ArrowException) as error:
                return file, f"cannot be read: {str(error).splitlines()[0]}"
        return None

    def open(self, path: str, mode: str = "rb", **_options: Any) -> FileIO:
        if mode != "rb":
            self._refuse(path)
        file = self._of(path)
        self.opened.add(path)
        try:
            opened = FileIO(file.path, "rb")
        except FileNotFoundError:
            self._damage(file, "is missing")
        except OSError as error:
            self._damage(file, f"cannot be read ({error.strerror})")
        size = opened.seek(0, 2)
        opened.seek(0)
        if size != file.bytes:
            opened.close()
            self._damage(file, f"has {size:,} bytes, its table's log says {file.bytes:,}")
        return opened

    def glob(self, path: str, **_options: Any) -> list[str]:
        # What looks like a pattern is a name with signs of patterns in brackets.
        name = re.sub(r"\[(.)\]", r"\1", path)
        return [name] if name in self._published else []

    def exists(self, path: str, **_options: Any) -> bool:
        return path in self._published

    def isfile(self, path: str) -> bool:
        return path in self._published

    def isdir(self, _path: str) -> bool:
        return False

    def size(self, path: str) -> int:
        return self._of(path).bytes

    def info(self, path: str, **_options: Any) -> dict[str, Any]:
        return {"name": path, "size": self._of(path).bytes, "type": "file"}

    def modified(self, path: str) -> dt.datetime:
        # A published file never changes.
        self._of(path)
        return dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

    created = modified

    def _of(self, path: str) -> PublishedFile:
        if path not in self._published:
            raise PermissionError(f"{path} is no published data file of a table that was named")
        return self._published[path]

    def _damage(self, file: PublishedFile, what: str) -> NoReturn:
        self.damaged.append((file, what))
        raise OSError(f"{file.path} {what}")

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
