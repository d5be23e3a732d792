"""Recognizes a full disk, a folder that cannot be written, exhausted memory, and an object store that cannot be used.

Python, DuckDB, delta-rs and Spark report these with errors of their own, in any step. This module recognizes them by
the operating system's error number or message, and by the engines' own error classes for memory; `store_faults.py`
reads what object stores answer. A message is searched only in errors that never quote a row, because a value of a row
might contain the same words.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import NoReturn

import duckdb
from deltalake.exceptions import DeltaError

from wemart_assets.lake.errors import LandingError, MachineFault, StoreUnavailable, UnknownOutcome
from wemart_assets.lake.location import Location, ObjectStoreError
from wemart_assets.lake.store_faults import QUOTING, StoreFault, explained, store_fault, url_in


class Fault(Enum):
    """What the machine lacks."""

    ROOM = "the disk is full"
    WRITING = "the disk is read-only"
    ACCESS = "this user has no access"
    MEMORY = "memory is used up"
    FILES = "too many files are open"


BY_ERRNO = {
    errno.ENOSPC: Fault.ROOM,
    errno.EDQUOT: Fault.ROOM,
    errno.EFBIG: Fault.ROOM,
    errno.EROFS: Fault.WRITING,
    errno.EACCES: Fault.ACCESS,
    errno.EPERM: Fault.ACCESS,
    errno.ENOMEM: Fault.MEMORY,
    errno.EMFILE: Fault.FILES,
    errno.ENFILE: Fault.FILES,
}
BY_MESSAGE = {os.strerror(number): fault for number, fault in BY_ERRNO.items()}
# Each engine puts the system's message at the end of a line: after a colon, after delta-rs's arrow, or, as Java does,
# in brackets after a path.
_SYSTEM = "|".join(map(re.escape, BY_MESSAGE))
SYSTEM_MESSAGE = re.compile(
    rf"(?:(?:^|: |\u21b3(?:\x1b\[0m)? )({_SYSTEM})(?: \(os error \d+\))?|/\S+ \(({_SYSTEM})\))$", re.MULTILINE
)
JAVA_MEMORY = re.compile(r"java\.lang\.OutOfMemoryError|(?:^|: )(?:Java heap space|GC overhead limit exceeded)$", re.M)
# Names of DuckDB's spill files, and its setting for how much may be spilled.
SPILLED = re.compile(r"duckdb_temp_|max_temp_directory_size")
PATH = re.compile(rf"\"(/[^\"\n]+)\"|(?<=file )(/\S+)$|(/\S+) \((?:{_SYSTEM})\)$", re.MULTILINE)
UNCHANGED = "The table is unchanged: fix this and run again."
# Spark's errors by class name, because pyspark is not imported when DuckDB runs.
SPARK_ERRORS = ("SparkFailed", "Py4JJavaError")


def fault_of(error: BaseException) -> Fault | StoreFault | None:
    """The fault that an error of an engine or of the system reports, or None if it reports none."""
    text = str(error)
    if isinstance(error, ObjectStoreError):
        return error.fault
    if isinstance(error, MemoryError):
        return Fault.MEMORY
    if isinstance(error, OSError) and error.errno is not None:
        return BY_ERRNO.get(error.errno)
    if isinstance(error, duckdb.OutOfMemoryException):
        return Fault.ROOM if SPILLED.search(text) else Fault.MEMORY
    if type(error).__name__ in SPARK_ERRORS and JAVA_MEMORY.search(text):
        return Fault.MEMORY
    # Other errors of DuckDB may quote a row.
    file_errors = (OSError, DeltaError, duckdb.IOException, duckdb.FatalException)
    if isinstance(error, file_errors) or type(error).__name__ in SPARK_ERRORS:
        message = SYSTEM_MESSAGE.search(text)
        return BY_MESSAGE[message[1] or message[2]] if message else store_fault(text)
    return None


@contextmanager
def machine_faults(
    table: str, days: Sequence[str], spill: Path | None = None, reads: Location | None = None
) -> Iterator[None]:
    """Turn errors inside that are the machine's fault into MachineFault, for these days of a table.

    `spill` is the folder for data that does not fit in memory. `reads` is a folder that is only read: a file there
    that this user may not read is the file's fault, not the machine's.

    Raises:
        MachineFault: names what is lacking, where, and the setting to change.
    """
    try:
        yield
    except UnknownOutcome:
        # It has a fault as its cause, and says more about the table.
        raise
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None:
            fault = fault_of(cause)
            is_told = isinstance(error, LandingError)
            is_input = is_told or (reads is not None and str(reads) in str(cause))
            # An error of a landing folder says itself what to do about its object store.
            is_other = is_input if fault is Fault.ACCESS else is_told and isinstance(fault, StoreFault)
            if fault is not None and not is_other:
                span = "" if not days else f" {days[0]}" if len(days) == 1 else f" {days[0]} to {days[-1]}"
                _raise(machine_fault(f"{table}{span}", fault, cause, spill), fault, cause)
            cause = cause.__cause__
        raise


def machine_fault(
    subject: str, fault: Fault | StoreFault, error: BaseException, spill: Path | None = None
) -> MachineFault:
    """The error for a fault, with what to do about it; `subject` says what was being done."""
    if isinstance(fault, StoreFault):
        return StoreUnavailable(f"{subject}: {_explained(fault, error)} {UNCHANGED}")
    text = f"{error} {error.filename}" if isinstance(error, OSError) else str(error)
    is_spilled = bool(SPILLED.search(text)) or (spill is not None and str(spill) in text)
    where = _path(error) or (spill if is_spilled else None)
    setting, of_path = "SPILL" if is_spilled else "LAKE", "" if where is None else f" of {where}"
    reason = _reason(error)
    elsewhere = f"point WEMART_{setting} at another folder"
    hint = " With a larger WEMART_MEMORY_LIMIT less is spilled." if is_spilled else ""
    messages = {
        Fault.ROOM: f"the disk{of_path} is full ({reason}). Free some space, or {elsewhere}.{hint}",
        Fault.WRITING: f"the disk{of_path} is read-only ({reason}). Make it writable, or {elsewhere}.",
        Fault.ACCESS: f"this user may not use the folder{of_path} ({reason}). Grant access, or {elsewhere}.",
        Fault.MEMORY: (
            f"the memory of one step is used up ({reason}). Raise WEMART_MEMORY_LIMIT (on Spark spark.driver.memory or "
            "spark.executor.memory in WEMART_SPARK__CONF), or run fewer days at a time."
        ),
        Fault.FILES: (
            f"this process cannot open any more files ({reason}). Raise its limit (ulimit -n), or run fewer days at a "
            "time."
        ),
    }
    return MachineFault(f"{subject}: {messages[fault]} {UNCHANGED}")


def unknown_outcome(subject: str, error: BaseException) -> UnknownOutcome:
    """The error of a commit to which the store has not answered, and which could not be looked up either."""
    fault = fault_of(error)
    why = _explained(fault, error) if isinstance(fault, StoreFault) else f"{error}."
    return UnknownOutcome(
        f"{subject}: the answer to the commit was lost: {why} Whether these rows were published is not known; readers "
        "see either all of them or all of those before. Run the partition again: that is safe in both cases."
    )


def raise_fault(subject: str, error: BaseException) -> None:
    """Raise MachineFault if an error that occurred while reading a file is the machine's fault, not the file's."""
    fault = fault_of(error)
    if fault is not None and fault is not Fault.ACCESS:
        _raise(machine_fault(subject, fault, error), fault, error)


def _raise(told: MachineFault, fault: Fault | StoreFault, cause: BaseException) -> NoReturn:
    raise told from (None if fault in QUOTING else cause)


def _explained(fault: StoreFault, error: BaseException) -> str:
    text = str(error)
    # An error of ours has been explained where it was raised.
    return f"{text if isinstance(error, ObjectStoreError) else explained(fault, text, url_in(text))}."


def _path(error: BaseException) -> str | None:
    if isinstance(error, OSError) and isinstance(error.filename, str):
        return error.filename
    match = PATH.search(str(error))
    return next((path for path in match.groups() if path), None) if match else None


def _reason(error: BaseException) -> str:
    """What is wrong, without a stack trace and without the engine's advice, which is about its own settings."""
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno)
    text = str(error)
    if message := SYSTEM_MESSAGE.search(text):
        return message[1] or message[2]
    return next(iter(text.splitlines()), type(error).__name__)[:300]
