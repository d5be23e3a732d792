"""A full disk, a folder that cannot be written and memory that is used up, told as what they are.

Python, DuckDB, delta-rs and Spark each say them in errors of their own, in whichever step they happen. What kind it is
is found here, in one place, by the number or the words of the operating system and by the engines' own classes for
memory. Words alone say nothing where a value of a row may hold them: only errors that never quote a row are read.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

import duckdb
from deltalake.exceptions import DeltaError

from wemart_assets.lake.errors import LandingError, MachineFault


class Fault(Enum):
    """What the machine lacks."""

    ROOM = "there is no room left"
    WRITING = "it cannot be written"
    ACCESS = "this user may not use it"
    MEMORY = "the memory is used up"
    FILES = "too many files are open"


NUMBERS = {
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
WORDS = {os.strerror(number): fault for number, fault in NUMBERS.items()}
# Where each engine ends a line with the system's words: behind a colon, behind the arrow of delta-rs, or in brackets
# behind a path as Java has it.
_SYSTEM = "|".join(map(re.escape, WORDS))
SAID = re.compile(
    rf"(?:(?:^|: |\u21b3(?:\x1b\[0m)? )({_SYSTEM})(?: \(os error \d+\))?|/\S+ \(({_SYSTEM})\))$", re.MULTILINE
)
JAVA_MEMORY = re.compile(r"java\.lang\.OutOfMemoryError|(?:^|: )(?:Java heap space|GC overhead limit exceeded)$", re.M)
# How DuckDB names the files of what it moves out of memory, and the setting that says how much of them there may be.
SPILLED = re.compile(r"duckdb_temp_|max_temp_directory_size")
PATH = re.compile(rf"\"(/[^\"\n]+)\"|(?<=file )(/\S+)$|(/\S+) \((?:{_SYSTEM})\)$", re.MULTILINE)
# Engines of which pyspark's classes are known by name: it is not imported where DuckDB runs.
SPARK = ("SparkFailed", "Py4JJavaError")


def fault_of(error: BaseException) -> Fault | None:
    """What the machine lacks, where that is what an engine's or the system's error says; else None."""
    text = str(error)
    if isinstance(error, MemoryError):
        return Fault.MEMORY
    if isinstance(error, OSError) and error.errno is not None:
        return NUMBERS.get(error.errno)
    if isinstance(error, duckdb.OutOfMemoryException):
        return Fault.ROOM if SPILLED.search(text) else Fault.MEMORY
    if type(error).__name__ in SPARK and JAVA_MEMORY.search(text):
        return Fault.MEMORY
    # Of other errors of DuckDB the text may be a row's.
    speaks_of_files = (OSError, DeltaError, duckdb.IOException, duckdb.FatalException)
    if isinstance(error, speaks_of_files) or type(error).__name__ in SPARK:
        said = SAID.search(text)
        return WORDS[said[1] or said[2]] if said else None
    return None


@contextmanager
def told_as_faults(
    table: str, days: Sequence[str], spill: Path | None = None, reads: Path | None = None
) -> Iterator[None]:
    """Tells what the machine lacks, where an error inside says so, of these days of a table.

    `spill` is the folder for what does not fit in memory, `reads` one of files that are only read: that they cannot be
    is their own fault.

    Raises:
        MachineFault: names what is lacking, where, and the setting to change.
    """
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None:
            found = fault_of(cause)
            is_read = isinstance(error, LandingError) or (reads is not None and str(reads) in str(cause))
            if found is not None and not (found is Fault.ACCESS and is_read):
                span = "" if not days else f" {days[0]}" if len(days) == 1 else f" {days[0]} to {days[-1]}"
                raise machine_fault(f"{table}{span}", found, cause, spill) from cause
            cause = cause.__cause__
        raise


def machine_fault(of: str, found: Fault, error: BaseException, spill: Path | None = None) -> MachineFault:
    """The error that tells a fault, with what to do about it."""
    text = f"{error} {error.filename}" if isinstance(error, OSError) else str(error)
    is_spilled = bool(SPILLED.search(text)) or (spill is not None and str(spill) in text)
    where = _path(error) or (spill if is_spilled else None)
    place, at = "SPILL" if is_spilled else "LAKE", "" if where is None else f" of {where}"
    words = _words(error)
    elsewhere = f"point WEMART_{place} at another folder"
    more = " A larger WEMART_MEMORY_LIMIT needs less of it." if is_spilled else ""
    said = {
        Fault.ROOM: f"the disk{at} is full ({words}). Free some room, or {elsewhere}.{more}",
        Fault.WRITING: f"the disk{at} is read-only ({words}). Have it made writable, or {elsewhere}.",
        Fault.ACCESS: f"this user may not use the folder{at} ({words}). Give it the right to, or {elsewhere}.",
        Fault.MEMORY: (
            f"the memory of one step is used up ({words}). Raise WEMART_MEMORY_LIMIT (on Spark spark.driver.memory or "
            "spark.executor.memory in WEMART_SPARK__CONF), or run fewer days at a time."
        ),
        Fault.FILES: (
            f"this process may open no more files ({words}). Raise its limit (ulimit -n), or run fewer days at a time."
        ),
    }
    return MachineFault(f"{of}: {said[found]} The table is as it was: run this again then.")


def raise_fault(of: str, error: BaseException) -> None:
    """Raise MachineFault if an error while a file was read is the machine's fault and not the file's."""
    found = fault_of(error)
    if found is not None and found is not Fault.ACCESS:
        raise machine_fault(of, found, error) from error


def _path(error: BaseException) -> str | None:
    if isinstance(error, OSError) and isinstance(error.filename, str):
        return error.filename
    found = PATH.search(str(error))
    return next((path for path in found.groups() if path), None) if found else None


def _words(error: BaseException) -> str:
    """What is wrong, without the advice of an engine, which is about settings of its own, nor its stack."""
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno)
    text = str(error)
    if said := SAID.search(text):
        return said[1] or said[2]
    return next(iter(text.splitlines()), type(error).__name__)[:300]
