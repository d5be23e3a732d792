"""Reference implementation of what a record is, character by character: slow, and independent of `wemart_assets`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Refused(Exception):
    """The file cannot be divided into records."""


@dataclass(frozen=True)
class Expected:
    """A record: its text, and its fields unless it is malformed."""

    text: str
    fields: tuple[str | None, ...] | None


def csv_records(content: bytes, delimiter: str, null: str | None, names: tuple[str, ...] | None) -> list[Expected]:
    """The records of a CSV after its header, with what stands for NULL as None.

    Raises:
        Refused: as the definition says, or where none of the records is one.
    """
    text = content.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    found: list[tuple[str, tuple[str, ...] | None, bool]] = []
    place = 0
    while place < len(text):
        if text[place] in "\r\n":
            place += 2 if text[place : place + 2] == "\r\n" else 1
            continue
        fields, end = _record(text, place, delimiter)
        if fields is None:
            end = _line_end(text, place)
        body = text[place:end]
        found.append((body, fields, end == len(text)))
        place = end
    if names is None:
        if not found:
            return []
        header, fields, _ = found.pop(0)
        if fields is None or _is_bad(header):
            raise Refused
        names = fields
    elif found and found[0][1] is not None and len(found[0][1]) != len(names):
        raise Refused
    records = []
    for body, fields, is_last in found:
        is_malformed = fields is None or _is_bad(body) or len(fields) != len(names)
        if is_malformed and is_last:
            raise Refused
        values = None if is_malformed else tuple(None if v == (null or "") else v for v in fields or ())
        records.append(Expected(_shown(body), values))
    return _some(records)


def _record(text: str, place: int, delimiter: str) -> tuple[tuple[str, ...] | None, int]:
    """Returns the fields of the record that begins here, and its end; no fields if text follows a closing quote."""
    fields: list[str] = []
    while True:
        value = ""
        if place < len(text) and text[place] == '"':
            place += 1
            while True:
                if place == len(text):
                    raise Refused
                if text[place] == '"':
                    if text[place + 1 : place + 2] != '"':
                        break
                    place += 1
                value += text[place]
                place += 1
            place += 1
            if place < len(text) and text[place] not in (delimiter, "\r", "\n"):
                return None, place
        else:
            while place < len(text) and text[place] not in (delimiter, "\r", "\n"):
                value += text[place]
                place += 1
        fields.append(value)
        if place == len(text) or text[place] != delimiter:
            return tuple(fields), place
        place += 1


def _line_end(text: str, place: int) -> int:
    while place < len(text) and text[place] not in "\r\n":
        place += 1
    return place


def text_records(content: bytes) -> list[Expected]:
    """The records of text: the lines that are not empty, as the first of two columns.

    Raises:
        Refused: as the definition says, or where none of the records is one.
    """
    *lines, last = content.decode("utf-8", "surrogateescape").removeprefix("\ufeff").split("\n")
    bodies = [line[:-1] if line.endswith("\r") else line for line in lines] + [last]
    if _is_bad(last):
        raise Refused
    records = [Expected(_shown(body), None if _is_bad(body) else (body, None)) for body in bodies if body]
    return _some(records)


def json_records(content: bytes) -> list[Expected]:
    """The records of JSON lines: `a` and `b` of each object, as text.

    Raises:
        Refused: as the definition says, or where none of the records is one.
    """
    text = content.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    lines = text.split("\n")
    records = []
    for number, line in enumerate(lines):
        body = line.strip(" \t\r\n\f\v")
        if not body:
            continue
        if not records and body.startswith("[") and not _is_json(body):
            raise Refused
        values = None if _is_bad(body) else _object(body)
        if values is None and number == len(lines) - 1:
            raise Refused
        records.append(Expected(_shown(body), values))
    return _some(records)


def _is_json(body: str) -> bool:
    try:
        json.loads(body)
    except ValueError:
        return False
    return not any(word in body for word in ("NaN", "Infinity"))


def _object(body: str) -> tuple[str | None, ...] | None:
    def no_json(constant: str) -> None:
        raise ValueError(constant)

    try:
        document = json.loads(body, parse_constant=no_json)
    except ValueError:
        return None
    if not isinstance(document, dict):
        return None
    return tuple(_as_text(document.get(key)) for key in ("a", "b"))


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"))


def _some(records: list[Expected]) -> list[Expected]:
    if records and all(record.fields is None for record in records):
        raise Refused
    return records


def _is_bad(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)


def _shown(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") if _is_bad(text) else text
