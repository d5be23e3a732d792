"""`sources.yaml`: how files with other names or units, or an external table, map to a contract.

Each source is an entry under its full name:

    service_log.weverse_server_log:
      format: csv            # parquet, csv, jsonl or text (a column `line`); by file extension if not given
      delimiter: "\\t"        # csv
      names: [host, time]    # csv without a header
      null: "-"              # csv: text that means NULL
      columns:               # contract column: SQL expression over the file's columns
        unix_log_timestamp: cast(time as bigint) * 1000
        user_info_device_id: host

    rudder.tracks:
      landing: service_log.weverse_server_log   # read the landing folder of this source instead of its own

    we_mart.we_user:
      table: /data/lake/accounts   # an external Delta table, instead of files
      day: snapshot_date           # its day column; without one, all its rows belong to every day
      columns: {we_member_id: account_id}

A mapping that comes with the package is used by its name (`ready.py`); entries beside it, and single columns, override
its own. Expressions that several columns need can be given a name:

    service_log.weverse_server_log:
      use: nginx_combined
      fields:                # named expressions over the file's columns and the fields above them
        shop: regexp_extract(line, 'shop=([a-z]+)', 1)
      columns:
        topic: upper(shop)

A contract may declare the format of its files (`Contract.form`); entries here override it, and `names: []` means that
the files have a header.

A contract column that is not listed is read under its own name. If the files have no such column it is NULL, unless the
contract says that it is not null. Expressions are DuckDB SQL and are translated for other engines. They compute a value
from the columns of one row, with the functions that `expressions.py` lists.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from wemart_assets.lake.engine import LINE, NO_DELIMITER, FileFormat, FileKind
from wemart_assets.lake.errors import LandingError
from wemart_assets.sources.contract import Contract
from wemart_assets.sources.expressions import check_expression, with_fields
from wemart_assets.sources.ready import ready_entry

EXTENSIONS = {
    ".parquet": FileFormat(FileKind.PARQUET),
    ".csv": FileFormat(FileKind.CSV),
    ".tsv": FileFormat(FileKind.CSV, delimiter="\t"),
    ".jsonl": FileFormat(FileKind.JSONL),
    ".ndjson": FileFormat(FileKind.JSONL),
    ".json": FileFormat(FileKind.JSONL),
}


class SourceMapping(BaseModel):
    """One source's entry of `sources.yaml`, with the fields inserted into the expressions of its columns.

    Attributes:
        optional: columns of JSON lines that expressions read and that a file may lack altogether; they are then NULL.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: FileKind | None = None
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    null: str | None = None
    names: tuple[str, ...] | None = None
    columns: Mapping[str, str | int | float | None] = Field(default_factory=dict)
    landing: str | None = None
    table: str | None = None
    day: str | None = None
    optional: tuple[str, ...] = ()

    @field_validator("delimiter")
    @classmethod
    def _check_delimiter(cls, delimiter: str | None) -> str | None:
        if delimiter in ('"', "\r", "\n"):
            raise ValueError("the delimiter cannot be a quote or a line break")
        return delimiter

    @model_validator(mode="after")
    def _check_text(self) -> SourceMapping:
        given = [name for name in ("delimiter", "null", "names") if getattr(self, name) is not None]
        if self.format is FileKind.TEXT and given:
            raise ValueError(f"format: text has a single column, '{LINE}', and no {' or '.join(given)}")
        return self

    def format_of(self, path: str, default: FileFormat | None = None) -> FileFormat:
        """How to read a landing file; `default` is the format that its contract declares.

        Raises:
            LandingError: neither the extension nor the mapping nor the contract says what format the file has.
        """
        name = path.lower().removesuffix(".gz")
        by_extension = next((form for extension, form in EXTENSIONS.items() if name.endswith(extension)), None)
        if self.format is None and by_extension is None and default is None:
            raise LandingError(
                f"landing file {path} has an unknown extension; expected one of {', '.join(EXTENSIONS)}, optionally "
                "followed by .gz. Rename it, remove it, or give its source a 'format' in sources.yaml"
            )
        base = FileFormat(self.format) if self.format is not None else by_extension or default
        assert base is not None
        if base.kind is FileKind.TEXT:
            base = FileFormat(FileKind.TEXT, NO_DELIMITER, names=(LINE,))
        declared = default if default is not None and default.kind is base.kind else base
        return FileFormat(
            base.kind,
            self.delimiter or base.delimiter,
            declared.null if self.null is None else self.null,
            declared.names if self.names is None else self.names,
            path.lower().endswith(".gz"),
        )

    def expression(self, column: str) -> str | None:
        """The SQL of a contract column; None if the file's column of that name, if any, is read as it is."""
        return None if column not in self.columns or self.is_null(column) else str(self.columns[column])

    def is_null(self, column: str) -> bool:
        """Whether the mapping sets a contract column to NULL, whatever the file contains."""
        value = self.columns.get(column, "")
        return value is None or str(value).strip().lower() == "null"

    def signature(self) -> str:
        """A text that changes whenever the mapping reads files differently."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True)


def load_mappings(path: Path | None, contracts: Iterable[Contract]) -> dict[str, SourceMapping]:
    """The mapping of each contract, by full name; an empty one for contracts that the file does not name.

    Raises:
        LandingError: the file cannot be read, names an unknown source or column, or contains an invalid expression.
    """
    by_name = {c.full_name: c for c in contracts}
    if path is None:
        return {name: SourceMapping() for name in by_name}
    try:
        entries = yaml.safe_load(path.read_text()) or {}
    except OSError as error:
        raise LandingError(f"WEMART_SOURCES={path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise LandingError(f"{path} is not YAML: {error}") from error
    if not isinstance(entries, dict) or (unknown := sorted(set(entries) - set(by_name), key=str)):
        problem = "" if not isinstance(entries, dict) else f"unknown source {', '.join(map(str, unknown))}; "
        raise LandingError(f"{path}: {problem}expected sources by their full name ({', '.join(sorted(by_name))})")
    mappings = {name: mapping_of(str(path), contract, entries.get(name) or {}) for name, contract in by_name.items()}
    for name, mapping in mappings.items():
        if mapping.landing is not None and mapping.landing not in by_name:
            raise LandingError(
                f"{path}: {name}: landing: unknown source '{mapping.landing}'; expected the full name of a source "
                f"({', '.join(sorted(by_name))})"
            )
        if mapping.landing is not None and mapping.table is not None:
            raise LandingError(
                f"{path}: {name} has both 'landing' (files) and 'table' (an external table); remove one of them"
            )
    return mappings


def mapping_of(place: str, contract: Contract, entry: object) -> SourceMapping:
    """The mapping that an entry of `sources.yaml` describes; `place` is where errors say that it is.

    Raises:
        LandingError: the entry names an unknown column, or contains an invalid expression.
    """
    if isinstance(entry, dict):
        # YAML reads the unquoted key `null` as None.
        entry = {"null" if key is None else key: value for key, value in entry.items()}
    try:
        mapping = SourceMapping.model_validate(_complete(contract, entry) if isinstance(entry, dict) else entry)
    except ValueError as error:
        if not isinstance(error, ValidationError):
            raise LandingError(f"{place}: {contract.full_name}: {error}") from error
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise LandingError(f"{place}: {contract.full_name}: {problems}") from None
    names = [c.name for c in contract.columns]
    if unknown := sorted(set(mapping.columns) - set(names)):
        raise LandingError(
            f"{place}: {contract.full_name}: unknown column {', '.join(unknown)}; expected one of {', '.join(names)}"
        )
    for name in mapping.columns:
        sql = mapping.expression(name)
        if sql is None:
            continue
        try:
            check_expression(sql)
        except ValueError as error:
            raise LandingError(
                f"{place}: {contract.full_name}.{name}: {sql!r} cannot be used as an expression: {error}"
            ) from error
    return mapping


def _complete(contract: Contract, entry: dict[str, object]) -> dict[str, object]:
    """The entry with what it takes from a ready mapping, and with its fields inserted into the columns.

    Raises:
        ValueError: there is no such ready mapping, or a field cannot be used.
    """
    entry = dict(entry)
    used = entry.pop("use", None)
    if used is not None and not isinstance(used, str):
        raise ValueError("use: expected the name of a ready mapping")
    parts = [entry] if used is None else [ready_entry(used, contract.full_name), entry]
    complete: dict[str, object] = {}
    for part in parts:
        complete |= part
    for key in ("fields", "columns"):
        if not all(isinstance(part.get(key) or {}, dict) for part in parts):
            raise ValueError(f"{key}: expected an expression for each name")
        complete[key] = {n: sql for part in parts for n, sql in cast(dict[str, Any], part.get(key) or {}).items()}
    fields = cast(dict[str, Any], complete.pop("fields"))
    columns = cast(dict[str, Any], complete["columns"])
    if fields:
        complete["columns"] = with_fields(fields, columns)
    return complete
