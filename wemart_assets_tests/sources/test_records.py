"""Each record of a text file ends in the table, in quarantine, or in a file that is refused by name.

Thousands of hostile files of every format and dialect are published the way assets publish, and compared with
`records_reference`, which reads the definition letter by letter.
"""

from __future__ import annotations

import datetime as dt
import gzip
import io
import json
import logging
import os
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wemart_assets.lake.engine import FileKind
from wemart_assets.lake.errors import LandingError
from wemart_assets.lake.location import Location
from wemart_assets.lake.publication import RejectedByAudit
from wemart_assets.lake.table import column
from wemart_assets.sources.contract import Contract, Kind
from wemart_assets.sources.landing import Landing
from wemart_assets.sources.mapping import SourceMapping
from wemart_assets.sources.source_asset import publish_source
from wemart_assets_tests.engines import ENGINES, open_lake
from wemart_assets_tests.sources.records_reference import Expected, Refused, csv_records, json_records, text_records

PAIRS = Contract(
    database="test",
    name="pairs",
    description="One row per record.",
    kind=Kind.SNAPSHOT,
    columns=(column("a", "string", "first"), column("b", "string", "second")),
)
FIRST_DAY = dt.date(2024, 1, 1)
NOW = dt.datetime(2024, 12, 31, tzinfo=dt.UTC)
FILES_A_BATCH = 125
# Odd and ordinary pieces of text.
PIECES = (
    *(b",", b";", b"\t", b"|", b'"', b'""', b"\n", b"\r\n", b"\r", b"\n\n"),
    *(b"#", b" ", b"\\", b"'", b"\\N", b"NULL", b"-", b"\x00", b"\xff", b"\xc3\xa9", b"\xef\xbb\xbf", b"\xe2\x82"),
    *(b"x", b"1", b"1,2\n", b"#x,y #z\n", b'"q ""q""",y\n', b"a,b", b'"two\nlines",z\n', b"a;b\n", b",\n"),
)
JSON_PIECES = (
    *(b'{"a":1}', b'{"b":"x"}\n', b'{"a":null,"b":[1,2]}\n', b"{}", b"\n", b"\r\n", b" ", b"[1]", b"null\n", b"3\n"),
    *(
        b'{"a":NaN}\n',
        b'{"a":1,}\n',
        b'{"a":"\xff"}\n',
        b'{"a":"\xc3\xa9"}\n',
        b'"',
        b"}",
        b"{",
        b"\xef\xbb\xbf",
        b"\x00",
    ),
    *(b'{"a":"#"}\n', b'{"a":1}{"a":2}\n', b"// x\n", b"a,b\n", b'{"a":"q\\"q"}\n', b'{"a":true,"b":false}\n'),
)


@dataclass(frozen=True)
class Dialect:
    """How the files of a batch are read."""

    name: str
    delimiter: str = ","
    null: str | None = None
    has_header: bool = True
    ending: str = "csv"

    @property
    def mapping(self) -> SourceMapping:
        is_json = self.ending == "jsonl"
        if self.ending == "log":
            return SourceMapping(format=FileKind.TEXT, columns={"a": "line", "b": None})
        return SourceMapping(
            format=FileKind.JSONL if is_json else FileKind.CSV,
            delimiter=None if is_json else self.delimiter,
            null=self.null,
            names=None if self.has_header else ("a", "b"),
        )

    def expected(self, content: bytes) -> list[Expected]:
        if self.ending == "jsonl":
            return json_records(content)
        if self.ending == "log":
            return text_records(content)
        return csv_records(content, self.delimiter, self.null, None if self.has_header else ("a", "b"))


DIALECTS = (
    Dialect("csv"),
    Dialect("semicolons", delimiter=";"),
    Dialect("tabs and a literal for NULL", delimiter="\t", null="-"),
    Dialect("no header", has_header=False),
    Dialect("a literal for NULL and no header", null="NULL", has_header=False),
    Dialect("json lines", ending="jsonl"),
    Dialect("text", has_header=False, ending="log"),
)


def _days(count: int) -> list[str]:
    return [(FIRST_DAY + dt.timedelta(days=n)).isoformat() for n in range(count)]


def _publish(engine: str, root: Path, dialect: Dialect, files: Sequence[bytes], is_gzipped: bool) -> Landed:
    """Lands each file on its own day and publishes all days whose file is not refused."""
    landing = Landing(
        PAIRS, dialect.mapping, Location.of(root / "landing"), Location.of(root / "lake"), "UTC", FIRST_DAY.isoformat()
    )
    name = f"f.{dialect.ending}{'.gz' if is_gzipped else ''}"
    days = _days(len(files))
    for day, content in zip(days, files, strict=True):
        path = landing.folder.path / f"date={day}" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(gzip.compress(content) if is_gzipped else content)
    settings_of_tables = {"quarantine_share": 1.0}
    with open_lake(engine, root / "lake").connect() as session:
        index = landing.index(session, landing.files())
        refused = {file.path.split("/")[0][5:]: str(entry.error) for file, entry in index.items() if entry.error}
        for day, error in refused.items():
            assert f"date={day}/{name}" in error
            (landing.folder.path / f"date={day}" / name).unlink()
        log = logging.getLogger(__name__)
        publish_source(session, landing, days, settings_of_tables, lambda: NOW, log)
    return Landed(set(refused), _by_day(root / "lake/test/pairs"), _by_day(root / "lake/test/pairs__quarantine"))


@dataclass(frozen=True)
class Landed:
    """What happened to the files, by day."""

    refused: set[str]
    rows: Mapping[str, list[dict[str, Any]]]
    quarantined: Mapping[str, list[dict[str, Any]]]


def _by_day(location: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in DeltaTable(location).to_pyarrow_table().to_pylist():
        found.setdefault(row["part_date"], []).append(row)
    return found


def _check(dialect: Dialect, files: Sequence[bytes], landed: Landed) -> Counter[str]:
    """Compares with the reference. Returns how many files were refused and how many records of each kind there were."""
    seen = Counter[str]()
    last: list[Expected] = []
    for day, content in zip(_days(len(files)), files, strict=True):
        try:
            expected = dialect.expected(content)
        except Refused:
            assert day in landed.refused, content
            seen["refused"] += 1
        else:
            if day in landed.refused:
                # It can be divided into records, but the header names other columns.
                assert dialect.has_header, content
                assert not _has_columns(dialect, content), content
                seen["of other columns"] += 1
            else:
                last = expected
        # A day whose file is refused continues to show the previous delivery.
        expected = last
        good = Counter(record.fields for record in expected if record.fields is not None)
        assert Counter((row["a"], row["b"]) for row in landed.rows.get(day, [])) == good, content
        malformed = Counter(record.text for record in expected if record.fields is None)
        raw = Counter(json.loads(row["raw_row"]) for row in landed.quarantined.get(day, []))
        assert raw == malformed, content
        seen.update({"good": good.total(), "malformed": malformed.total()})
    return seen


def _has_columns(dialect: Dialect, content: bytes) -> bool:
    text = content.decode("utf-8", "replace").removeprefix("\ufeff").lstrip("\r\n")
    header = text.replace("\r", "\n").split("\n")[0].split(dialect.delimiter)
    return sorted(name.strip('"') for name in header) == ["a", "b"]


def _hostile(random_: random.Random, dialect: Dialect) -> bytes:
    """A file of pieces in any order, most of them under the right header; some with bytes changed."""
    pieces = JSON_PIECES if dialect.ending == "jsonl" else PIECES
    body = b"".join(random_.choices(pieces, k=random_.randrange(24)))
    if dialect.ending == "csv" and dialect.has_header and random_.random() < 0.9:
        ends = random_.choice((b"\n", b"\r\n", b"\r"))
        body = dialect.delimiter.encode().join((b"a", b"b")) + ends + body
    if dialect.ending == "csv" and random_.random() < 0.7:
        good = [dialect.delimiter.join((str(n), f"v{n}")) for n in range(random_.randrange(1, 4))]
        body += random_.choice((b"\n", b"")) + "\n".join([*good, ""]).encode()
    for _ in range(random_.choice((0, 0, 0, 1, 3))):
        if body:
            place = random_.randrange(len(body))
            body = body[:place] + random_.randbytes(1) + body[place + random_.randrange(2) :]
    return body


@pytest.mark.slow
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_every_record_of_a_hostile_file_is_accounted_for(tmp_path: Path, dialect: Dialect) -> None:
    seen = Counter[str]()
    for batch in range(3):
        random_ = random.Random(f"{dialect.name} {batch}")
        files = [_hostile(random_, dialect) for _ in range(FILES_A_BATCH)]
        landed = _publish("duckdb", tmp_path / str(batch), dialect, files, is_gzipped=batch == 2)
        seen += _check(dialect, files, landed)
    assert min(seen[kind] for kind in ("refused", "good", "malformed")) > 30, seen


@pytest.mark.spark
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_every_record_of_a_hostile_file_is_accounted_for_on_spark(tmp_path: Path, dialect: Dialect) -> None:
    random_ = random.Random(f"{dialect.name} on Spark")
    files = [_hostile(random_, dialect) for _ in range(25)]
    landed = _publish("spark", tmp_path, dialect, files, is_gzipped=dialect.delimiter == ";")
    assert _check(dialect, files, landed)["good"]


VALUES = st.text(st.sampled_from("x1#é\"',;\t\n\r \\-{}[]\x00"), max_size=6)
ENDS = ("\n", "\r\n", "\r")


@st.composite
def _written(draw: Callable[..., Any]) -> bytes:
    """A CSV of pairs as any writer may produce it: required and optional quotes, any line endings, blank lines."""
    pairs = draw(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=8))
    ends = draw(st.sampled_from([("\n",), ("\r\n",), ENDS]))
    text = draw(st.sampled_from(["", "\ufeff", "\n"]))
    for pair in [("a", "b"), *pairs]:
        values = []
        for value in pair:
            is_quoted = any(c in value for c in ',"\r\n') or draw(st.booleans())
            values.append('"' + value.replace('"', '""') + '"' if is_quoted else value)
        text += ",".join(values) + draw(st.sampled_from(ends)) + draw(st.sampled_from(["", "", "", "\n"]))
    return text.encode()


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(files=st.lists(_written(), min_size=10, max_size=25))
def test_records_are_read_as_they_were_written(tmp_path_factory: pytest.TempPathFactory, files: list[bytes]) -> None:
    landed = _publish("duckdb", tmp_path_factory.mktemp("written"), DIALECTS[0], files, is_gzipped=False)
    seen = _check(DIALECTS[0], files, landed)
    assert (seen["malformed"], seen["refused"]) == (0, 0)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_lost_record_stops_the_day(tmp_path: Path, engine: str) -> None:
    """The file changes after it was indexed, and only its bytes show it."""
    root, day = tmp_path, FIRST_DAY.isoformat()
    landing = Landing(PAIRS, SourceMapping(), Location.of(root / "landing"), Location.of(root / "lake"), "UTC", day)
    path = landing.folder.path / f"date={day}" / "f.csv"
    path.parent.mkdir(parents=True)
    path.write_text("a,b\n1,2\n3,4\n5,6\n")
    with open_lake(engine, root / "lake").connect() as session:
        landing.index(session, landing.files())
        stat = path.stat()
        path.write_text("a,b\n1,2\n3,45678\n")
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        with pytest.raises(RejectedByAudit, match=rf"(?s)no_record_is_lost.*{day}.*'records': 3.*'kept': 2"):
            publish_source(session, landing, [day], {"quarantine_share": 1.0}, lambda: NOW, logging.getLogger(__name__))
    assert not DeltaTable.is_deltatable(str(root / "lake/test/pairs")) or _by_day(root / "lake/test/pairs") == {}


@pytest.mark.slow
def test_a_damaged_parquet_file_keeps_all_its_rows_or_is_refused(tmp_path: Path) -> None:
    """A changed byte inside a value may go unnoticed, but no row is lost."""
    random_ = random.Random("parquet")
    rows = 40
    whole = io.BytesIO()
    pq.write_table(pa.table({"a": [f"a{n}" for n in range(rows)], "b": ["x", None] * (rows // 2)}), whole)
    landing = Landing(
        PAIRS,
        SourceMapping(),
        Location.of(tmp_path / "landing"),
        Location.of(tmp_path / "lake"),
        "UTC",
        FIRST_DAY.isoformat(),
    )
    days = _days(FILES_A_BATCH)
    for day in days:
        content = bytearray(whole.getvalue())
        for _ in range(random_.choice((0, 1, 1, 3))):
            content[random_.randrange(len(content))] = random_.randrange(256)
        path = landing.folder.path / f"date={day}" / "f.parquet"
        path.parent.mkdir(parents=True)
        path.write_bytes(content[: random_.choice((None, None, None, random_.randrange(len(content))))])
    log = logging.getLogger(__name__)
    with open_lake("duckdb", tmp_path / "lake").connect() as session:
        index = landing.index(session, landing.files())
        assert len(index) == len(days)
        read = {file.delivery: entry for file, entry in index.items() if entry.error is None}
        published = 0
        for day, entry in read.items():
            said = ""
            try:
                publish_source(session, landing, [day], {"quarantine_share": 1.0}, lambda: NOW, log)
            except LandingError as error:
                said = str(error)
            if said:
                assert f"date={day}/f.parquet" in said
            else:
                assert entry.records == rows
                published += rows
    assert len(read) > 20
    assert len(days) - len(read) > 20
    assert sum(map(len, _by_day(tmp_path / "lake/test/pairs").values())) == published
