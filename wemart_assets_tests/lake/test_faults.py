"""A full disk, a read-only disk and exhausted memory are reported as such and leave the table unchanged.

Room is taken away for real by a limit on the size of files, which needs no rights. What else the system and the engines
say was seen on a full and on a read-only file system, and is raised here to the letter.
"""

from __future__ import annotations

import datetime as dt
import errno
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import ibis
import ibis.expr.types as ir
import pytest
from deltalake.exceptions import TableNotFoundError

from wemart_assets.lake.errors import DeclarationError, LandingError, MachineFault
from wemart_assets.lake.faults import Fault, fault_of, machine_faults
from wemart_assets.lake.location import Location
from wemart_assets.lake.publication import publish
from wemart_assets.lake.session import Session
from wemart_assets.lake.table import RUN_TIMESTAMP, RowCheck, Table, column
from wemart_assets_tests.engines import duckdb_lake
from wemart_assets_tests.machine import small_files

DAY, LAKE = "2024-03-01", Path("/data/lake")
TABLE = Table(
    database="db",
    name="texts",
    description="One row per text.",
    columns=(
        column("text", "string", "a text"),
        column("part_date", "string", "business day", nullable=False),
        RUN_TIMESTAMP,
    ),
)


class SparkFailed(Exception):
    """Stands in for `spark_landing.SparkFailed`, which exists only with pyspark."""


class Py4JJavaError(Exception):
    """Stands in for py4j's class of this name."""


DELTA_FULL = (
    "Generic LocalFileSystem error\n          \x1b[31m↳\x1b[0m Unable to copy data to file\n"
    "           \x1b[31m↳\x1b[0m No space left on device (os error 28)\n"
)
DELTA_READ_ONLY = (
    "Generic LocalFileSystem error\n          \x1b[31m↳\x1b[0m Unable to open file /data/lake/t/_delta_log/0.json#1\n"
    "           \x1b[31m↳\x1b[0m Read-only file system (os error 30)\n"
)
OFFLOAD = (
    "Out of Memory Error: failed to offload data block of size 96.0 KiB (1.7 MiB/1.7 MiB used).\n"
    "This limit was set by the 'max_temp_directory_size' setting.\nYou can adjust this setting, by using PRAGMA"
)
ALLOCATE = (
    "Out of Memory Error: could not allocate block of size 30.5 MiB (0 bytes/19.0 MiB used)\n\nPossible solutions:\n"
    "* Increasing the memory limit (SET memory_limit='...GB')"
)
NO_SPILL = 'IO Error: Failed to create directory "/data/spill": Read-only file system'
SPARK_READ_ONLY = (
    "An error occurred while calling o265.overwrite.\n: org.apache.spark.SparkException: [TASK_WRITE_FAILED] Task\n"
    "\tat x.y(Z.scala:1)\nCaused by: java.io.FileNotFoundException: /data/lake/t/part.parquet (Read-only file system)\n"
    "\tat java.base/java.io.FileOutputStream.open0(Native Method)"
)
SPARK_FULL = "An error occurred.\nCaused by: java.io.IOException: No space left on device\n\tat x.y(Z.scala:1)"
SEEN: Mapping[str, tuple[Exception, str, str]] = {
    "full, by Python": (
        OSError(errno.ENOSPC, "x", "/data/lake/a.json"),
        "a.json is full (No space left",
        "WEMART_LAKE",
    ),
    "over the quota": (OSError(errno.EDQUOT, "x", "/data/lake/a.json"), "is full (Disk quota exceeded)", "WEMART_LAKE"),
    "full, by DuckDB": (
        duckdb.IOException('IO Error: Could not write file "/data/lake/t/a.parquet": No space left on device'),
        "the disk of /data/lake/t/a.parquet is full",
        "WEMART_LAKE",
    ),
    "full, by delta-rs": (OSError(DELTA_FULL), "the disk is full (No space left on device)", "WEMART_LAKE"),
    "full, by Spark": (Py4JJavaError(SPARK_FULL), "the disk is full (No space left on device)", "WEMART_LAKE"),
    "read-only, by Python": (OSError(errno.EROFS, "x", "/data/lake/t"), "of /data/lake/t is read-only", "WEMART_LAKE"),
    "read-only, by delta-rs": (OSError(DELTA_READ_ONLY), "/t/_delta_log/0.json#1 is read-only", "WEMART_LAKE"),
    "read-only, by Spark": (Py4JJavaError(SPARK_READ_ONLY), "/data/lake/t/part.parquet is read-only", "WEMART_LAKE"),
    "no rights": (
        PermissionError(errno.EACCES, "x", "/data/lake/t"),
        "this user may not use the folder of",
        "WEMART_LAKE",
    ),
    "no room to spill": (duckdb.OutOfMemoryException(OFFLOAD), "the disk of /data/spill is full", "WEMART_SPILL"),
    "spills to a full disk": (
        duckdb.IOException('IO Error: Could not write file "/x/duckdb_temp_storage-0.tmp": No space left on device'),
        "is full",
        "WEMART_SPILL",
    ),
    "spills to a read-only disk": (
        duckdb.IOException(NO_SPILL),
        "the disk of /data/spill is read-only",
        "WEMART_SPILL",
    ),
    "memory, by DuckDB": (
        duckdb.OutOfMemoryException(ALLOCATE),
        "(0 bytes/19.0 MiB used)). Raise",
        "WEMART_MEMORY_LIMIT",
    ),
    "memory, by Python": (MemoryError(), "the memory of one step is used up", "WEMART_MEMORY_LIMIT"),
    "memory, by Java": (
        SparkFailed("Job aborted: Java heap space"),
        "the memory of one step is used up",
        "WEMART_SPARK__CONF",
    ),
    "files": (OSError(errno.EMFILE, "x"), "cannot open any more files", "ulimit -n"),
}


@pytest.mark.parametrize("case", SEEN)
def test_a_machine_fault_names_table_day_location_and_setting(case: str) -> None:
    error, words, setting = SEEN[case]
    with pytest.raises(MachineFault) as told, machine_faults("db.texts", [DAY], spill=Path("/data/spill")):
        raise error
    message = str(told.value)
    assert [w for w in (f"db.texts {DAY}: ", words, setting, "The table is unchanged") if w not in message] == []
    # Neither advice about engine settings nor terminal colours.
    assert not {word for word in ("SET ", "PRAGMA", "\x1b", "Caused by") if word in message}
    assert told.value.__cause__ is error


@pytest.mark.parametrize("case", SEEN)
def test_a_machine_fault_is_recognized_as_the_cause_of_another_error(case: str) -> None:
    with pytest.raises(MachineFault), machine_faults("db.texts", [DAY]):
        raise DeclarationError("db.texts: rule 'x' cannot run") from SEEN[case][0]


@pytest.mark.parametrize(
    "error",
    [
        duckdb.ConversionException("Conversion Error: Could not convert string 'a: No space left on device' to INT32"),
        duckdb.InvalidInputException("Invalid Input Error: CSV Error\nOriginal Line: No space left on device"),
        SparkFailed("[CAST_INVALID_INPUT] The value 'No space left on device' of the type \"STRING\" cannot be cast"),
        TableNotFoundError("no log files"),
        duckdb.IOException('IO Error: No files found that match the pattern "/data/lake/No space left on device"'),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "/data/lake/t"),
        ValueError("No space left on device"),
    ],
    ids=repr,
)
def test_text_in_a_row_or_a_bug_is_not_a_machine_fault(error: Exception) -> None:
    assert fault_of(error) is None
    with pytest.raises(type(error)), machine_faults("db.texts", [DAY]):
        raise error


def test_a_forbidden_input_file_is_not_a_machine_fault() -> None:
    forbidden = duckdb.IOException('IO Error: Cannot open file "/data/landing/s/a.csv": Permission denied')
    with pytest.raises(duckdb.IOException), machine_faults("db.texts", [DAY], reads=Location.of("/data/landing/s")):
        raise forbidden
    with pytest.raises(LandingError), machine_faults("db.texts", [DAY]):
        raise LandingError("a.csv cannot be read") from forbidden
    with pytest.raises(MachineFault, match="may not use"), machine_faults("db.texts", [DAY]):
        raise forbidden


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.ENOMEM, errno.EFBIG])
def test_system_errors_are_recognized_in_every_form(number: int) -> None:
    words = os.strerror(number)
    found = fault_of(OSError(number, words))
    assert isinstance(found, Fault)
    assert fault_of(duckdb.IOException(f'IO Error: Could not write file "/a": {words}')) is found
    assert fault_of(OSError(f"x\n  \x1b[31m↳\x1b[0m {words} (os error {number})\n")) is found


# Real faults


@pytest.fixture
def run(session: Session, given: Callable[..., ir.Table], now: dt.datetime) -> Callable[..., Any]:
    def run(texts: Sequence[str], table: Table = TABLE, before: Callable[[], object] = lambda: None) -> Any:
        rows = given(session, table, [{"text": text, "part_date": DAY} for text in texts])
        return publish(session, table, [DAY], lambda: (rows, {}), {}, now, before)

    return run


def texts(session: Session) -> list[str]:
    return sorted(session.read(TABLE, [DAY]).text.to_pyarrow().to_pylist())


def test_a_disk_that_is_full_while_staging_leaves_the_table_unchanged(
    session: Session, run: Callable[..., Any]
) -> None:
    run(["old"])
    with (
        small_files(100),
        pytest.raises(MachineFault, match=r"db\.texts 2024-03-01: the disk of .* is full .*WEMART_LAKE"),
    ):
        run(["new"])
    assert texts(session) == ["old"]
    run(["new"])
    assert texts(session) == ["new"]


def test_a_disk_that_is_full_at_the_commit_is_not_a_conflict(session: Session, run: Callable[..., Any]) -> None:
    run(["old"])
    with ExitStack() as limited, pytest.raises(MachineFault, match=r"the disk.* is full .*WEMART_LAKE"):
        run(["new"], before=lambda: limited.enter_context(small_files(10)))
    assert texts(session) == ["old"]
    run(["new"])
    assert texts(session) == ["new"]


def _sorted_by_hash(session: Any) -> ir.Table:
    """More rows than fit into memory, each needed until the end."""
    session.connection.raw.execute("create temp view many as select md5(i::varchar) as text from range(1500000) t(i)")
    rows: ir.Table = session.connection.ibis.table("many", database=("temp", "main"))
    place = ibis.row_number().over(ibis.window(order_by=rows.text))
    return rows.mutate(place=place).filter(ibis._.place >= 0).select("text", part_date=ibis.literal(DAY))


def _publish_many(lake: Path, spill: Path, memory_limit: str, now: dt.datetime) -> None:
    with duckdb_lake(lake, spill, memory_limit).connect() as session:
        rows = _sorted_by_hash(session)
        publish(session, TABLE, [DAY], lambda: (rows, {}), {}, now)


def test_a_full_spill_folder_is_named(tmp_path: Path, lake: Path, now: dt.datetime) -> None:
    with small_files(4096), pytest.raises(MachineFault, match=r"is full .*WEMART_SPILL.*WEMART_MEMORY_LIMIT"):
        _publish_many(lake, tmp_path / "spill", "50MB", now)


def test_running_out_of_memory_names_the_limit(lake: Path, tmp_path: Path, now: dt.datetime) -> None:
    with pytest.raises(MachineFault, match=r"db\.texts.*used up .*WEMART_MEMORY_LIMIT") as told:
        _publish_many(lake, tmp_path / "spill", "1MB", now)
    assert "SET " not in str(told.value)


def test_running_out_of_memory_in_the_audit_is_not_blamed_on_the_check(
    session: Session, run: Callable[..., Any]
) -> None:
    def holds(rows: ir.Table) -> ir.BooleanValue:
        raise duckdb.OutOfMemoryException(ALLOCATE)

    run(["old"])
    with pytest.raises(MachineFault, match="WEMART_MEMORY_LIMIT"):
        run(["new"], replace(TABLE, row_checks=(RowCheck("greedy", "a rule", holds),)))
    assert texts(session) == ["old"]
