"""The records of landed text files, found and counted here and never by an engine's reader.

Engines guess about text: what a comment is, which lines to skip, where a quote ends. So every file is surveyed once, by
the definition below. If it is plain, meaning that all readers find the same records in it, engines read it. Any other
file is rewritten once, as a Parquet file of text, and engines read that copy.

CSV:
    A line ends with LF, CRLF or CR, which may be mixed. An empty line is not a record. A field that begins with a
    double quote ends with the next double quote that is not doubled; inside it, quotes are doubled and line ends are
    text. The closing quote is followed by a delimiter or by the end of the line. In any other field, a quote is text.
    The first record is the header, unless the column names are given.
Text:
    A line ends with LF or CRLF; a CR anywhere else is text. An empty line is not a record. Every other line is a record
    of one field, in which nothing is quoted.
JSON lines:
    A line ends with LF. A line of only white space is not a record. Every other line is one JSON object.

A record that breaks these rules, has more or fewer fields than there are columns, or is not UTF-8 is malformed. Its
first line, or all of its lines if its quotes are in order, are quarantined as they came. Two kinds of files cannot be
divided into records and are refused: a file with a quote that is never closed, and a file that ends in the middle of a
record.
"""

from __future__ import annotations

import gzip
import io
import json
import re
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from wemart_assets.lake.engine import COPY_COLUMNS, FAULT, PATH, RAW, RESERVED, TEXT, FileFormat, FileKind
from wemart_assets.lake.errors import LandingError
from wemart_assets.lake.location import Location

BLOCK = 8 << 20
# Readers limit the length of a record: a record over `LONG` is read from a copy, and one over `LONGEST` is refused.
LONG, LONGEST = 1 << 20, 128 << 20
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# An escape of half a surrogate pair. It is not text, but Python's JSON parser accepts it.
HALF_OF_A_PAIR = re.compile(rb"\\u[dD][89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F]", re.DOTALL)
QUOTE, LF, CR = b'"'[0], b"\n"[0], b"\r"[0]
ROWS_PER_BATCH = 20_000
SHOWN = 40


@dataclass(frozen=True)
class Survey:
    """The content of a text file.

    Attributes:
        header: the column names of a CSV, in the order of the file; empty for a file without records, and for JSON.
        records: the number of records, including malformed ones.
        malformed: the number of malformed records.
        keys: the keys of the objects, for JSON lines that were rewritten.
        is_plain: whether all readers find these records in the file; if so, none is malformed.
    """

    header: tuple[str, ...]
    records: int
    malformed: int = 0
    keys: tuple[str, ...] = ()
    is_plain: bool = False


@dataclass(frozen=True)
class Record:
    """A record of a CSV file, a line of JSON, or a line of text.

    Attributes:
        line: the number of its first line, from 1.
        text: the record as it came, without its line end; bytes that are not UTF-8 are surrogate escapes.
        fields: its fields, or for JSON the keys of the object; None if it is malformed.
        fault: what is wrong with a malformed record.
        is_cut: whether it is the end of the file and has no line end.
    """

    line: int
    text: str
    fields: Sequence[str] | None
    fault: str = ""
    is_cut: bool = False


def survey(folder: Location, path: str, form: FileFormat) -> Survey | None:
    """Surveys a plain file in one quick pass over its bytes; returns None if it may not be plain.

    Raises:
        OSError, EOFError, zlib.error: the file cannot be read, or is truncated.
    """
    if form.kind is FileKind.JSONL:
        return _survey_lines(folder, path, form)
    special = {form.delimiter, '"', "\r", "\n"}
    if not form.delimiter.isascii() or special & set(form.null or "") or len(distinct(form.names)) != len(form.names):
        return None
    with opened(folder, path, form) as content:
        return _survey_csv(content, form)


def rewrite(folder: Location, name: str, form: FileFormat, target: IO[bytes]) -> Survey:
    """Writes the records of a text file to `target`, a Parquet file of text; `name` is its path below the folder.

    The columns are those of the file (for JSON lines, `TEXT`) and `COPY_COLUMNS`: `FAULT`, what is wrong with a
    malformed record; `RAW`, the record as JSON; and `PATH`.

    Raises:
        LandingError: no record is valid in this format, or the file ends in the middle of a record.
        OSError, EOFError, zlib.error: the file cannot be read, or is truncated.
    """
    with opened(folder, name, form) as content:
        is_json = form.kind is FileKind.JSONL
        records = records_of(content, form, name)
        header: tuple[str, ...] = ()
        if not is_json:
            header = form.names or _header(next(records, None), name)
            if form.names:
                records = _of_width(records, form.names, name)
        kept = [TEXT] if is_json else distinct(header)
        schema = pa.schema([pa.field(column, pa.string()) for column in (*kept, *COPY_COLUMNS)])
        places = [0] if is_json else [header.index(column) for column in kept]
        keys: set[str] = set()
        total = malformed = 0
        example: Record | None = None
        with pq.ParquetWriter(target, schema, compression="zstd") as writer:
            for batch in _batches(records):
                columns: dict[str, list[str | None]] = {column: [] for column in schema.names}
                for record in batch:
                    fault, values, raw = _judged(record, form, header)
                    for column, place in zip(kept, places, strict=True):
                        columns[column].append(None if values is None else values[place])
                    columns[FAULT].append(fault)
                    columns[RAW].append(raw)
                    columns[PATH].append(name)
                    if fault is not None:
                        if record.is_cut:
                            raise _cut_off(name, record)
                        malformed += 1
                        example = example or Record(record.line, record.text, None, fault)
                    elif is_json:
                        keys.update(record.fields or ())
                total += len(batch)
                writer.write_batch(pa.record_batch(columns, schema=schema))
    if example is not None and malformed == total:
        raise LandingError(
            f"landing file {name} cannot be read as {form.kind}: none of its {total} records is valid: "
            f"{example.fault}: {_shown(example.text)}. Deliver it in this format, or name its format in sources.yaml."
        )
    return Survey(header, total, malformed, tuple(sorted(keys)))


@contextmanager
def opened(folder: Location, path: str, form: FileFormat) -> Iterator[IO[bytes]]:
    """The file's bytes, decompressed."""
    with folder.open(path) as content:
        if not form.gzipped:
            yield content
            return
        with gzip.open(content) as decompressed:
            yield cast(IO[bytes], decompressed)


# The quick pass. It works on arrays with the positions of the few bytes that structure a file.


@dataclass
class _Plain:
    """A CSV file that is plain so far, with the records counted in the blocks taken."""

    delimiter: int
    has_quotes: bool = True
    width: int | None = None
    line_end: int | None = None
    records: int = 0
    structure: Any = field(init=False)

    def __post_init__(self) -> None:
        self.structure = np.zeros(256, dtype=bool)
        self.structure[[LF, CR, 0, self.delimiter]] = True
        self.structure[QUOTE] = self.has_quotes

    def take(self, block: bytes, is_last: bool) -> int | None:
        """Counts the whole records of a block, which begins with one; returns their bytes, or None if not plain."""
        if is_last and block.endswith(b"\r"):
            return None
        if is_last and not block.endswith(b"\n"):
            has_crlf = self.line_end == 2 or (self.line_end is None and b"\r\n" in block)
            block += b"\r\n" if has_crlf else b"\n"
        bytes_ = np.frombuffer(block, dtype=np.uint8)
        places = np.flatnonzero(self.structure[bytes_])
        kinds = bytes_[places]
        if (kinds == 0).any():
            return None
        is_quote = kinds == QUOTE
        is_outside = ((np.cumsum(is_quote) & 1) == 0) & ~is_quote
        ends = places[is_outside & (kinds == LF)]
        if not len(ends):
            return None
        taken = int(ends[-1]) + 1
        if is_last and taken != len(block):
            return None
        quotes = places[is_quote & (places < taken)]
        if len(quotes) and not self._quotes_are_plain(bytes_, quotes[0::2], quotes[1::2]):
            return None
        returns = places[is_outside & (kinds == CR) & (places < taken)]
        line_end = 2 if len(returns) else 1
        if len(returns) and (len(returns) != len(ends) or not (bytes_[returns + 1] == LF).all()):
            return None
        if self.line_end not in (None, line_end):
            return None
        lengths = np.diff(ends, prepend=-1) - line_end
        if (lengths <= 0).any() or lengths.max() > LONG:
            return None
        delimiters = places[is_outside & (kinds == self.delimiter) & (places < taken)]
        widths = np.diff(np.searchsorted(delimiters, ends), prepend=0) + 1
        if not (widths == (self.width or widths[0])).all():
            return None
        if not _is_utf8(block[:taken]):
            return None
        self.width, self.line_end = int(widths[0]), line_end
        self.records += len(ends)
        return taken

    def _quotes_are_plain(self, bytes_: Any, opening: Any, closing: Any) -> bool:
        """Whether each quote opens a field, closes a field, or is doubled inside a field."""
        before = bytes_[opening[opening > 0] - 1]
        after = bytes_[closing + 1]
        opens = (before == self.delimiter) | (before == LF) | (before == QUOTE)
        closes = (after == self.delimiter) | (after == LF) | (after == CR) | (after == QUOTE)
        return bool(opens.all() and closes.all())


def _survey_csv(content: IO[bytes], form: FileFormat) -> Survey | None:
    plain = _Plain(form.delimiter.encode()[0], has_quotes=form.kind is FileKind.CSV)
    header: tuple[str, ...] = form.names
    rest, is_first, is_last = b"", True, False
    while not is_last:
        read = content.read(BLOCK)
        is_last = len(read) < BLOCK
        block = rest + read
        if is_first and not block:
            return Survey((), 0, is_plain=True)
        if is_first and block.startswith(BYTE_ORDER_MARK):
            return None
        if not block:
            break
        taken = plain.take(block, is_last)
        if taken is None:
            return None
        if is_first and not form.names:
            header = _plain_header(block[:taken], form)
            if len(distinct(header)) != len(header):
                return None
        rest, is_first = block[taken:], False
    if len(header) != plain.width:
        return None
    return Survey(header, plain.records - (not form.names), is_plain=True)


def _plain_header(block: bytes, form: FileFormat) -> tuple[str, ...]:
    return tuple(next(_records_of_csv(io.BytesIO(block), form, "")).fields or ())


def _survey_lines(folder: Location, path: str, form: FileFormat) -> Survey | None:
    """Counts the lines of a file of JSON lines. The engine finds out whether each line is an object."""
    records, is_first = 0, True
    with opened(folder, path, form) as content:
        while line := content.readline(LONG):
            if len(line) == LONG or (is_first and line.startswith(BYTE_ORDER_MARK)) or HALF_OF_A_PAIR.search(line):
                return None
            records += not line.isspace()
            is_first = False
    return Survey((), records, is_plain=True)


def _is_utf8(block: bytes) -> bool:
    if block.isascii():
        return True
    try:
        block.decode()
    except UnicodeDecodeError:
        return False
    return True


# The exact pass, record by record.


class _Malformed(Exception):
    """The first line of a record breaks a rule; the message says which."""


def records_of(content: IO[bytes], form: FileFormat, name: str) -> Iterator[Record]:
    """The records of a text file one by one, including the header of a CSV.

    Raises:
        LandingError: the file cannot be divided into records.
    """
    if form.kind is FileKind.JSONL:
        return _lines_of_json(content, name)
    if form.kind is FileKind.TEXT:
        return _lines_of_text(content, name)
    return _records_of_csv(content, form, name)


def _text_lines(content: IO[bytes], newline: str, name: str) -> Iterator[tuple[int, str]]:
    """The lines of a file with their line ends, numbered from 1."""
    text = io.TextIOWrapper(cast(Any, content), encoding="utf-8", errors="surrogateescape", newline=newline)
    number = 0
    while line := text.readline(LONGEST):
        number += 1
        if len(line) == LONGEST:
            raise LandingError(
                f"landing file {name}: line {number} is longer than {LONGEST:,} characters: {_shown(line)}. Deliver "
                "it in lines, or name its format in sources.yaml."
            )
        yield number, line.removeprefix("\ufeff") if number == 1 else line


class _Division:
    """A record of a CSV file that is being divided into fields, line by line."""

    INSIDE = re.compile(r'[^"]*(?:""[^"]*)*')

    def __init__(self, delimiter: str) -> None:
        self.delimiter = delimiter
        self.fields: list[str] = []
        self.open: list[str] | None = None

    def take(self, line: str) -> bool:
        """Divides one more line, given with its line end; returns whether the record ends with it.

        Raises:
            _Malformed: text follows a closing quote.
        """
        body, place = len(_without_end(line)), 0
        while True:
            if self.open is not None or line.startswith('"', place, body):
                start = place + (self.open is None)
                end = cast(re.Match[str], self.INSIDE.match(line, start)).end()
                self.open = self.open or []
                self.open.append(line[start:end])
                if end == len(line):
                    return False
                self.fields.append("".join(self.open).replace('""', '"'))
                self.open, place = None, end + 1
                if place < body and line[place] != self.delimiter:
                    raise _Malformed(f"text follows the closing quote of field {len(self.fields)}")
            else:
                end = line.find(self.delimiter, place, body)
                end = body if end < 0 else end
                self.fields.append(line[place:end])
                place = end
            if place >= body:
                return True
            place += 1


def _records_of_csv(content: IO[bytes], form: FileFormat, name: str) -> Iterator[Record]:
    """The records of a CSV file, including its header. The number of fields is not checked.

    Raises:
        LandingError: a quote is never closed.
    """
    lines = _text_lines(content, "", name)
    returned: deque[tuple[int, str]] = deque()

    def next_line() -> tuple[int, str] | None:
        return returned.popleft() if returned else next(lines, None)

    while (taken := next_line()) is not None:
        number, line = taken
        body = _without_end(line)
        if not body:
            continue
        if '"' not in body:
            yield Record(number, body, body.split(form.delimiter), is_cut=body is line)
            continue
        division, record_lines, size = _Division(form.delimiter), [taken], len(line)
        try:
            is_whole = division.take(line)
            while not is_whole:
                taken = next_line()
                if taken is None or size > LONGEST:
                    raise LandingError(
                        f"landing file {name}: the quote that opens in line {number} is never closed: {_shown(body)}. "
                        "Deliver the file with its quotes closed, or without them."
                    )
                record_lines.append(taken)
                size += len(taken[1])
                is_whole = division.take(taken[1])
        except _Malformed as fault:
            # The quote may be there by mistake, so the lines after the first are read as records of their own.
            returned.extendleft(reversed(record_lines[1:]))
            yield Record(number, body, None, f"line {number}: {fault}", is_cut=body is line)
            continue
        text = _without_end("".join(record_line for _, record_line in record_lines))
        yield Record(number, text, division.fields, is_cut=not record_lines[-1][1].endswith(("\n", "\r")))


def _without_end(line: str) -> str:
    """The line without its line end; the same object if it has none."""
    if line.endswith("\r\n"):
        return line[:-2]
    return line[:-1] if line.endswith(("\n", "\r")) else line


def _lines_of_text(content: IO[bytes], name: str) -> Iterator[Record]:
    """The lines of a text file that are not empty."""
    for number, line in _text_lines(content, "\n", name):
        if text := line.removesuffix("\n").removesuffix("\r") if line.endswith("\n") else line:
            yield Record(number, text, (text,), is_cut=not line.endswith("\n"))


def _lines_of_json(content: IO[bytes], name: str) -> Iterator[Record]:
    """The lines of a file of JSON lines that are not blank.

    Raises:
        LandingError: the file begins with a JSON array that spans lines.
    """
    is_first = True
    for number, line in _text_lines(content, "\n", name):
        if text := line.strip(" \t\n\r\f\v"):
            is_cut = not line.endswith("\n")
            try:
                # Numbers are not parsed, because they may be of any length.
                document = json.loads(text, parse_constant=_not_json, parse_int=str, parse_float=str)
                if HALF_OF_A_PAIR.search(text.encode("utf-8", "surrogateescape")) and not _is_text(_json(document)):
                    raise ValueError("half of a surrogate pair")
            except RecursionError:
                yield Record(number, text, None, f"line {number}: it is nested too deeply", is_cut)
                continue
            except ValueError as error:
                if is_first and text.startswith("["):
                    raise LandingError(
                        f"landing file {name} cannot be read: it begins with a JSON array. Deliver JSON lines, one "
                        "object per line."
                    ) from error
                yield Record(number, text, None, f"line {number}: it is not JSON", is_cut)
                continue
            finally:
                is_first = False
            if isinstance(document, dict):
                yield Record(number, text, tuple(document), "", is_cut)
            else:
                yield Record(number, text, None, f"line {number}: it is JSON, but not an object", is_cut)


def _not_json(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _cut_off(name: str, record: Record) -> LandingError:
    return LandingError(
        f"landing file {name} cannot be read: it ends in the middle of line {record.line}: {_shown(record.text)}. If "
        "it is still being written, it will be read again once it has changed; otherwise deliver it again or remove it."
    )


def _header(record: Record | None, name: str) -> tuple[str, ...]:
    if record is None:
        return ()
    if record.fields is None or not _is_text(record.text):
        fault = record.fault or f"line {record.line}: it is not UTF-8 text"
        raise LandingError(
            f"landing file {name}: its header cannot be read: {fault}: {_shown(record.text)}. Deliver it as a CSV, or "
            "name its format in sources.yaml."
        )
    return tuple(record.fields)


def _of_width(records: Iterator[Record], names: Sequence[str], name: str) -> Iterator[Record]:
    """The records of a file without a header, where the first record shows whether the file has these columns.

    Raises:
        LandingError: the first record has more or fewer fields.
    """
    first = next(records, None)
    if first is None:
        return
    if first.fields is not None and len(first.fields) != len(names):
        raise LandingError(
            f"landing file {name} has {len(first.fields)} columns, expected {len(names)} without a header: "
            f"{', '.join(names)}. If it belongs to another source, move it there; otherwise deliver it with these "
            "columns, or list its columns in sources.yaml."
        )
    yield first
    yield from records


def _judged(
    record: Record, form: FileFormat, header: Sequence[str]
) -> tuple[str | None, Sequence[str | None] | None, str]:
    """What is wrong with a record (None if nothing), its values, and its text as JSON."""
    fault, values = record.fault or None, record.fields
    if fault is None and not _is_text(record.text):
        fault = f"line {record.line}: it is not UTF-8 text; other bytes are shown as \\xNN"
    if fault is None and form.kind is not FileKind.JSONL and values is not None and len(values) != len(header):
        fault = f"line {record.line}: it has {len(values)} fields for {len(header)} columns"
    if fault is not None or values is None:
        return fault, None, _json(_written(record.text))
    if form.kind is FileKind.JSONL:
        return None, [record.text], record.text
    null = form.null or ""
    parsed = [None if value == null else value for value in values]
    by_name = dict(zip(header, parsed, strict=True))
    if len(by_name) == len(header):
        return None, parsed, _json(by_name)
    # A name may occur twice in JSON.
    pairs = (f"{_json(column)}:{_json(value)}" for column, value in zip(header, parsed, strict=True))
    return None, parsed, "{" + ",".join(pairs) + "}"


_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _is_text(text: str) -> bool:
    return text.isascii() or not re.search("[\ud800-\udfff]", text)


def _written(text: str) -> str:
    """The text, with bytes that are not UTF-8 written as \\xNN."""
    return text if _is_text(text) else text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _shown(text: str) -> str:
    return repr(_written(text[:SHOWN])) + ("…" if len(text) > SHOWN else "")


def distinct(header: Sequence[str]) -> list[str]:
    """The names of a header that occur once, ignoring case as engines do.

    Empty names are left out, and so are names that begin with `RESERVED`, which a copy uses for further columns.
    """
    folded_names = [name.casefold() for name in header]
    occurrences = Counter(folded_names)
    return [
        name
        for name, folded in zip(header, folded_names, strict=True)
        if name and occurrences[folded] == 1 and not folded.startswith(RESERVED)
    ]


def _batches(records: Iterator[Record]) -> Iterator[list[Record]]:
    batch: list[Record] = []
    size = 0
    for record in records:
        batch.append(record)
        size += len(record.text)
        if len(batch) == ROWS_PER_BATCH or size > LONGEST:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
