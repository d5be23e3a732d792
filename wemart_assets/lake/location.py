"""Where data lies: a folder of this machine, or a prefix in an object store, such as `s3://bucket/lake`.

A folder is used through the system, an object store through obstore, which takes the same options as delta-rs.
"""

from __future__ import annotations

import datetime as dt
import io
import re
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from wemart_assets.lake.errors import StoreUnavailable
from wemart_assets.lake.store_faults import QUOTING, StoreFault, explained, store_fault

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ObjectStore

# Schemes of object stores, and the prefix of their options in delta-rs and obstore.
SCHEMES = {"s3": "aws", "gs": "google", "az": "azure"}
# What an S3 store says about a request that it refuses.
ANSWER = re.compile(r"<Code>(.*?)</Code>.*?<Message>(.*?)</Message>")
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")
# What one request of a reader fetches at least; a request takes longer than the transfer of this.
READ_AHEAD = 1 << 20
# What is written to an object store is collected in memory up to this size, and beyond it on disk.
SPOOLED = 64 << 20
# A failed request is repeated for a few seconds, at most for 14: a lost connection is soon back, or reported soon.
RETRIES, LONGEST_WAIT, RETRIED_FOR = 8, 2, 60


class ObjectStoreError(OSError, StoreUnavailable):
    """A request to an object store failed; `fault` says why, if the cause is one that users can remove."""

    def __init__(self, message: str, fault: StoreFault | None) -> None:
        super().__init__(message)
        self.fault = fault


class InvalidName(ObjectStoreError):
    """An object has a name that obstore cannot take, such as one with an empty folder or a control character."""


class Storage(BaseModel):
    """How to reach the object stores of the lake and the landing folders.

    Without a key, the credentials are those of the environment: the AWS_* variables, a profile, or a role.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    endpoint: str | None = Field(
        None, pattern=r"^https?://[^/\s@]+/?$", description="object storage: address of an S3 server other than AWS"
    )
    region: str | None = Field(None, description="object storage: the region of the buckets")
    key: str | None = Field(
        None, description="object storage: access key; without one, the environment's own credentials are used"
    )
    secret: SecretStr | None = Field(None, description="object storage: the secret of the access key")
    options: dict[str, SecretStr] = Field(
        default_factory=dict,
        description="object storage: further options of delta-rs, as JSON; for `gs://` and `az://` the credentials",
    )

    @property
    def plain(self) -> dict[str, str]:
        """The options of delta-rs, with secrets in plain text."""
        options: dict[str, str] = {}
        if self.endpoint is not None:
            options |= {"aws_endpoint_url": self.endpoint.rstrip("/"), "aws_virtual_hosted_style_request": "false"}
            options |= {"aws_allow_http": "true"} if self.endpoint.startswith("http:") else {}
        if self.region is not None or self.endpoint is not None:
            options["aws_region"] = self.region or "us-east-1"
        if self.key is not None:
            options["aws_access_key_id"] = self.key
        if self.secret is not None:
            options["aws_secret_access_key"] = self.secret.get_secret_value()
        return options | {name: secret.get_secret_value() for name, secret in self.options.items()}


@dataclass(frozen=True, order=True)
class Listed:
    """A file below a location: its path from there, its size in bytes, and the store's name of its content."""

    path: str
    size: int
    version: str = field(compare=False)
    modified: float = field(compare=False)


@dataclass(frozen=True)
class Location:
    """A folder of this machine (`url` is an absolute path) or a prefix in an object store (`url` is a URL)."""

    url: str
    storage: Storage = field(default=Storage.model_validate({}), repr=False, compare=False)

    @staticmethod
    def of(given: Path | str | Location, storage: Storage | None = None) -> Location:
        """The location that a setting names; a relative path is below the current folder."""
        if isinstance(given, Location):
            return given
        if is_url(given):
            return Location(str(given).rstrip("/"), storage or Storage.model_validate({}))
        return Location(str(Path(given).absolute()))

    def __truediv__(self, below: str) -> Location:
        return Location(f"{self.url.rstrip('/')}/{below}", self.storage)

    def __str__(self) -> str:
        return self.url

    @property
    def is_local(self) -> bool:
        return not is_url(self.url)

    @property
    def path(self) -> Path:
        """The folder, if it is local."""
        assert self.is_local, f"{self.url} is not a folder"
        return Path(self.url)

    @property
    def uri(self) -> Path | str:
        """What delta-rs opens: given as text, it would take a path with a question mark for a URL."""
        return self.path if self.is_local else self.url

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]

    @property
    def options(self) -> dict[str, str] | None:
        """The options with which delta-rs opens a table here; None for a folder."""
        if self.is_local:
            return None
        retries = {
            "max_retries": str(RETRIES),
            "retry_timeout": f"{RETRIED_FOR}s",
            "backoff_config.max_backoff": f"{LONGEST_WAIT}s",
        }
        return retries | self.storage.plain

    @property
    def obstore_options(self) -> dict[str, Any]:
        """The options with which obstore opens a store here."""
        # Those of the connection are given apart from those of the store.
        prefix = SCHEMES[self.url.partition(":")[0]]
        plain = self.storage.plain
        config = {name: value for name, value in plain.items() if name.startswith(prefix) and "allow_http" not in name}
        allow_http = plain.get(f"{prefix}_allow_http", "false") == "true"
        return {
            "config": config,
            "client_options": {"allow_http": allow_http},
            "retry_config": {
                "max_retries": RETRIES,
                "retry_timeout": dt.timedelta(seconds=RETRIED_FOR),
                "backoff": {
                    "init_backoff": dt.timedelta(milliseconds=100),
                    "max_backoff": dt.timedelta(seconds=LONGEST_WAIT),
                    "base": 2,
                },
            },
        }

    @cached_property
    def _store(self) -> ObjectStore:
        from obstore.store import from_url

        return from_url(self.url, **self.obstore_options)

    def files(self) -> Iterator[Listed]:
        """All files below, however deep, in no particular order; none if there is no such folder."""
        if self.is_local:
            for path in self.path.rglob("*"):
                with suppress(FileNotFoundError):
                    if path.is_file():
                        stat = path.stat()
                        below = path.relative_to(self.path).as_posix()
                        yield Listed(below, stat.st_size, str(stat.st_mtime_ns), stat.st_mtime)
            return
        import obstore

        with _translated(self.url):
            for page in obstore.list(self._store):
                yield from map(_listed, page)

    def folders(self) -> list[str]:
        """The names of the folders directly below, in order."""
        if self.is_local:
            with suppress(FileNotFoundError, NotADirectoryError):
                return sorted(path.name for path in self.path.iterdir() if path.is_dir())
            return []
        import obstore

        with _translated(self.url):
            return sorted(obstore.list_with_delimiter(self._store)["common_prefixes"])

    def level(self) -> tuple[list[Listed], list[str]]:
        """The files and the names of the folders directly below a place in an object store."""
        import obstore

        with _translated(self.url):
            found = obstore.list_with_delimiter(self._store)
        return [_listed(item) for item in found["objects"]], list(found["common_prefixes"])

    def stat(self, below: str) -> Listed:
        """A file, as `files` lists it.

        Raises:
            FileNotFoundError: there is none.
        """
        if self.is_local:
            stat = (self.path / below).stat()
            return Listed(below, stat.st_size, str(stat.st_mtime_ns), stat.st_mtime)
        import obstore

        with _translated(f"{self.url}/{below}"):
            return _listed(obstore.head(self._store, below))

    def exists(self, below: str) -> bool:
        """Whether there is a file of this name."""
        if self.is_local:
            return (self.path / below).is_file()
        import obstore

        with _translated(f"{self.url}/{below}"):
            try:
                obstore.head(self._store, below)
            except FileNotFoundError:
                return False
        return True

    def read(self, below: str) -> bytes:
        """The content of a file.

        Raises:
            FileNotFoundError: there is none.
        """
        if self.is_local:
            return (self.path / below).read_bytes()
        import obstore

        with _translated(f"{self.url}/{below}"):
            return bytes(obstore.get(self._store, below).bytes())

    def open(self, below: str) -> IO[bytes]:
        """The file for reading, at any place.

        Raises:
            FileNotFoundError: there is none.
        """
        if self.is_local:
            return (self.path / below).open("rb")
        import obstore

        with _translated(f"{self.url}/{below}"):
            size = obstore.head(self._store, below)["size"]
        return io.BufferedReader(_Object(self._store, below, size, f"{self.url}/{below}"), READ_AHEAD)

    def create(self, below: str, content: bytes) -> bool:
        """Writes a file unless one of this name exists. Returns whether it was written."""
        if self.is_local:
            self.path.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError), (self.path / below).open("xb") as target:
                target.write(content)
                return True
            return False
        import obstore
        from obstore.exceptions import AlreadyExistsError

        with _translated(f"{self.url}/{below}"), suppress(AlreadyExistsError):
            obstore.put(self._store, below, content, mode="create")
            return True
        return False

    def write(self, below: str, content: bytes) -> None:
        """Writes a file; a reader sees all of it or nothing."""
        with self.writer(below) as target:
            target.write(content)

    @contextmanager
    def writer(self, below: str) -> Iterator[IO[bytes]]:
        """A file to write to, which appears whole at the end, or not at all after an error."""
        if self.is_local:
            target = self.path / below
            target.parent.mkdir(parents=True, exist_ok=True)
            draft = target.with_name(f"{target.name}.{uuid.uuid4().hex}.tmp")
            try:
                with draft.open("wb") as content:
                    yield content
                draft.replace(target)
            finally:
                draft.unlink(missing_ok=True)
            return
        import obstore

        # What is sent in parts as it is written might be completed after an error, so it is sent only at the end.
        with tempfile.SpooledTemporaryFile(max_size=SPOOLED) as content:
            yield cast(IO[bytes], content)
            content.seek(0)
            with _translated(f"{self.url}/{below}"):
                obstore.put(self._store, below, cast(Any, content))

    def delete(self, below: Iterable[str]) -> None:
        """Removes files; those that do not exist do not matter."""
        paths = list(below)
        if self.is_local:
            for path in paths:
                (self.path / path).unlink(missing_ok=True)
            return
        import obstore

        if paths:
            with _translated(self.url), suppress(FileNotFoundError):
                obstore.delete(self._store, paths)


def is_url(given: object) -> bool:
    """Whether this names a place in an object store; a folder may have any name with a colon that is no scheme."""
    return (match := SCHEME.match(str(given))) is not None and match[1] in SCHEMES


def _listed(item: ObjectMeta) -> Listed:
    # A store without content tags has at least the time.
    version = item["e_tag"] or item["last_modified"].isoformat()
    return Listed(item["path"], item["size"], version, item["last_modified"].timestamp())


class _Object(io.RawIOBase):
    """An object of a store as a file, read by range."""

    def __init__(self, store: ObjectStore, path: str, size: int, url: str) -> None:
        self._store, self._path, self._size, self._url = store, path, size, url
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence])
        return self._at

    def readinto(self, buffer: Any) -> int:
        import obstore

        wanted = min(len(buffer), self._size - self._at)
        if wanted <= 0:
            return 0
        with _translated(self._url):
            read = obstore.get_range(self._store, self._path, start=self._at, length=wanted)
        buffer[: len(read)] = memoryview(read)
        self._at += len(read)
        return len(read)


@contextmanager
def _translated(url: str) -> Iterator[None]:
    """Turns errors of obstore into errors of the system's kind."""
    from obstore.exceptions import BaseError, InvalidPathError, NotFoundError

    try:
        yield
    except (BaseError, FileNotFoundError) as error:
        text = str(error)
        fault = store_fault(text)
        if fault is not None:
            raise ObjectStoreError(explained(fault, text, url), fault) from (None if fault in QUOTING else error)
        if isinstance(error, NotFoundError | FileNotFoundError):
            raise FileNotFoundError(f"{url}: there is no such object") from error
        # The error's own text goes on with a debug form that repeats it.
        reason = " ".join(text.partition("Debug source:")[0].split())
        if answer := ANSWER.search(reason):
            # The rest of an answer changes each time, and may quote the key.
            reason = f"{answer[1]}: {answer[2]}"
        kind = InvalidName if isinstance(error, InvalidPathError) else ObjectStoreError
        raise kind(f"{url}: {reason}", None) from error
