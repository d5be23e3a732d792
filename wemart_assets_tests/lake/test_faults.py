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

from wemart_assets.lake.errors import DeclarationError, LandingError, MachineFault, StoreUnavailable
from wemart_assets.lake.faults import Fault, fault_of, machine_faults
from wemart_assets.lake.location import Location
from wemart_assets.lake.publication import publish
from wemart_assets.lake.session import Session
from wemart_assets.lake.store_faults import StoreFault
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


def test_an_error_of_a_landing_folder_keeps_its_own_words_about_the_object_store() -> None:
    with pytest.raises(LandingError, match="the landing folder cannot be read"), machine_faults("db.texts", [DAY]):
        raise LandingError("the landing folder cannot be read") from OF_STORES["rights"][0]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.ENOMEM, errno.EFBIG])
def test_system_errors_are_recognized_in_every_form(number: int) -> None:
    words = os.strerror(number)
    found = fault_of(OSError(number, words))
    assert isinstance(found, Fault)
    assert fault_of(duckdb.IOException(f'IO Error: Could not write file "/a": {words}')) is found
    assert fault_of(OSError(f"x\n  \x1b[31m↳\x1b[0m {words} (os error {number})\n")) is found


# Object stores, in the words of each library

ANSWER = "<?xml version='1.0'?><Error><Code>{}</Code><Message>m</Message><RequestId>r</RequestId></Error>"
GET = "Error performing GET http://127.0.0.1:9000/bucket/lake/db/t/_delta_log/0.json?list-type=2 in 2 ms"


def of_delta_rs(status: str, code: str) -> OSError:
    """A tree of causes in colours, as delta-rs prints it."""
    lines = [f"{GET} - Server returned non-2xx status code", status, ANSWER.format(code)]
    return OSError("\n".join(["Generic S3 error", *(f"   \x1b[31m\u21b3\x1b[0m {line}" for line in lines), ""]))


OF_STORES: Mapping[str, tuple[Exception, StoreFault, str, str]] = {
    "bucket, by delta-rs": (
        of_delta_rs("404 Not Found", "NoSuchBucket"),
        StoreFault.BUCKET,
        "http://127.0.0.1:9000/bucket/lake/db/t/_delta_log/0.json: there is no such bucket (NoSuchBucket). ",
        "WEMART_LAKE",
    ),
    "bucket, by DuckDB": (
        duckdb.HTTPException(
            "HTTP Error: Unable to connect to URL s3://bucket/lake/a.parquet: Not Found (HTTP code 404)\n\n"
            "NoSuchBucket: The specified bucket does not exist"
        ),
        StoreFault.BUCKET,
        "s3://bucket/lake/a.parquet: there is no such bucket (NoSuchBucket)",
        "WEMART_LAKE",
    ),
    "key, by delta-rs": (
        of_delta_rs("403 Forbidden", "SignatureDoesNotMatch"),
        StoreFault.KEYS,
        "does not accept the key (SignatureDoesNotMatch)",
        "WEMART_STORAGE__SECRET",
    ),
    "key, by DuckDB": (
        duckdb.HTTPException(
            "HTTP Error: HTTP GET error reading 'http://127.0.0.1:9000/bucket/lake/a.parquet' in region 'us-east-1' "
            "(HTTP 403 Forbidden)\n\nInvalidAccessKeyId: The AWS Access Key Id you provided does not exist"
        ),
        StoreFault.KEYS,
        "http://127.0.0.1:9000/bucket/lake/a.parquet: the object store does not accept the key (InvalidAccessKeyId)",
        "WEMART_STORAGE__KEY",
    ),
    "expired": (
        of_delta_rs("400 Bad Request", "ExpiredToken"),
        StoreFault.KEYS,
        "does not accept the key (ExpiredToken)",
        "expired",
    ),
    "403 without a body": (
        duckdb.HTTPException("HTTP Error: Unable to connect to URL s3://bucket/a: Forbidden (HTTP code 403)"),
        StoreFault.KEYS,
        "does not accept the key (HTTP 403)",
        "WEMART_STORAGE__KEY",
    ),
    "no key": (
        OSError("Generic S3 error\n \u21b3 Error performing PUT http://169.254.169.254/latest/api/token in 2 ms - x"),
        StoreFault.NO_KEYS,
        "db.t: there is no key for the object store. ",
        "WEMART_STORAGE__KEY",
    ),
    "rights": (
        of_delta_rs("403 Forbidden", "AccessDenied"),
        StoreFault.RIGHTS,
        "the key has no right to do this (AccessDenied)",
        "Let the key list, read, write and delete",
    ),
    "region": (
        of_delta_rs("400 Bad Request", "AuthorizationHeaderMalformed"),
        StoreFault.REGION,
        "the bucket is in another region",
        "WEMART_STORAGE__REGION",
    ),
    "option": (
        OSError('Generic Config error\n   \x1b[31m\u21b3\x1b[0m failed to parse "geheim" as boolean\n'),
        StoreFault.OPTION,
        "an option of the object store is not valid",
        "WEMART_STORAGE__OPTIONS",
    ),
    "refused, by delta-rs": (
        OSError(
            f"Generic S3 error\n \u21b3 {GET}, after 8 retries  - HTTP error\n \u21b3 Connection refused (os error 111)"
        ),
        StoreFault.NETWORK,
        "the object store does not answer (Connection refused)",
        "WEMART_STORAGE__ENDPOINT",
    ),
    "refused, by DuckDB": (
        duckdb.IOException(
            "IO Error: Could not connect to server error for HTTP PUT to 'http://127.0.0.1:9/b/a.parquet'"
        ),
        StoreFault.NETWORK,
        "http://127.0.0.1:9/b/a.parquet: the object store does not answer (Could not connect to server)",
        "WEMART_STORAGE__ENDPOINT",
    ),
    "overloaded": (
        of_delta_rs("503 Service Unavailable", "SlowDown"),
        StoreFault.NETWORK,
        "the object store does not answer (SlowDown)",
        "whether the store is up",
    ),
    "broken": (
        duckdb.HTTPException("HTTP Error: Unable to connect to URL s3://b/a: Internal Server Error (HTTP code 500)"),
        StoreFault.NETWORK,
        "s3://b/a: the object store does not answer (HTTP 500)",
        "whether the store is up",
    ),
}


@pytest.mark.parametrize("case", OF_STORES)
def test_a_fault_of_an_object_store_names_url_and_setting(case: str) -> None:
    error, fault, words, setting = OF_STORES[case]
    assert fault_of(error) is fault
    with pytest.raises(StoreUnavailable) as told, machine_faults("db.t", []):
        raise error
    message = str(told.value)
    assert [w for w in ("db.t: ", words, setting, "The table is unchanged") if w not in message] == []
    assert not {word for word in ("\x1b", "<Code>", "geheim", "list-type") if word in message}


@pytest.mark.parametrize("case", ["key, by delta-rs", "option"])
def test_an_answer_that_may_quote_a_secret_is_not_shown_as_the_cause(case: str) -> None:
    with pytest.raises(StoreUnavailable) as told, machine_faults("db.t", []):
        raise OF_STORES[case][0]
    assert told.value.__cause__ is None
    assert told.value.__suppress_context__


@pytest.mark.parametrize(
    "error",
    [
        duckdb.ConversionException("Conversion Error: could not convert 'HTTP error: x (HTTP code 500)' to INT32"),
        duckdb.IOException('IO Error: No files found that match the pattern "/lake/db/t/part_comm_id=AccessDenied/a"'),
        duckdb.HTTPException("HTTP Error: HTTP GET error reading 's3://b/NoSuchBucket: /a' (HTTP 404 Not Found)"),
        OSError("Generic error\n \u21b3 the path lake/db/t/part_comm_id=SignatureDoesNotMatch is empty"),
    ],
    ids=repr,
)
def test_words_in_a_path_or_a_row_are_not_an_answer_of_a_store(error: Exception) -> None:
    assert fault_of(error) is None


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
