"""`sources.yaml`: how files with other names or units, or a table of someone else, become a contract.

For each source, by its full name:

    service_log.weverse_server_log:
      format: csv            # parquet, csv or jsonl; by the file's ending if not given
      delimiter: "\\t"        # csv
      names: [host, time]    # csv without a header
      null: "-"              # csv: what stands for NULL
      columns:               # contract column: SQL expression over the file's columns
        unix_log_timestamp: cast(time as bigint) * 1000
        user_info_device_id: host

    rudder.tracks:
      landing: service_log.weverse_server_log   # it reads the landing folder of this source, not one of its own

    we_mart.we_user:
      table: /data/lake/accounts   # a Delta table that someone else writes, instead of files
      day: snapshot_date           # its day column; without one, its rows are those of every day
      columns: {we_member_id: account_id}

A contract may say by itself how its files are (`Contract.form`); what is given here goes before it, and `names: []`
says that they have a header.

A contract column that is not listed is read under its own name; where files have no such column it is NULL, unless it
has to be known. Expressions are in DuckDB's dialect of SQL and are translated for other engines. They are values of a
row's columns, by the functions that `expressions.py` lists.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from wemart_assets.lake.engine import FileFormat, FileKind
from wemart_assets.lake.errors import LandingError
from wemart_assets.sources.contract import Contract
from wemart_assets.sources.expressions import check_expression

ENDINGS = {
    ".parquet": FileFormat(FileKind.PARQUET),
    ".csv": FileFormat(FileKind.CSV),
    ".tsv": FileFormat(FileKind.CSV, delimiter="\t"),
    ".jsonl": FileFormat(FileKind.JSONL),
    ".ndjson": FileFormat(FileKind.JSONL),
    ".json": FileFormat(FileKind.JSONL),
}


class SourceMapping(BaseModel):
    """One source's entry of `sources.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: FileKind | None = None
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    null: str | None = None
    names: tuple[str, ...] | None = None
    columns: Mapping[str, str | int | float | None] = Field(default_factory=dict)
    landing: str | None = None
    table: str | None = None
    day: str | None = None

    @field_validator("delimiter")
    @classmethod
    def _delimits(cls, delimiter: str | None) -> str | None:
        if delimiter in ('"', "\r", "\n"):
            raise ValueError("a quote or a line end cannot be the delimiter")
        return delimiter

    def format_of(self, path: str, usual: FileFormat | None = None) -> FileFormat:
        """How a landing file is read; `usual` is how its contract's files are.

        Raises:
            LandingError: its ending says nothing, and neither do the mapping and the contract.
        """
        name = path.lower().removesuffix(".gz")
        by_ending = next((form for ending, form in ENDINGS.items() if name.endswith(ending)), None)
        if self.format is None and by_ending is None and usual is None:
            raise LandingError(
                f"landing file {path} has an ending that is not known ({', '.join(ENDINGS)}, each also with .gz); "
                "rename it, remove it, or give its source a 'format' in sources.yaml"
            )
        base = FileFormat(self.format) if self.format is not None else by_ending or usual
        assert base is not None
        likewise = usual if usual is not None and usual.kind is base.kind else base
        return FileFormat(
            base.kind,
            self.delimiter or base.delimiter,
            likewise.null if self.null is None else self.null,
            likewise.names if self.names is None else self.names,
            path.lower().endswith(".gz"),
        )

    def expression(self, column: str) -> str | None:
        """SQL of a contract column, None where the file's column of that name is read, if it has one."""
        return None if column not in self.columns or self.is_null(column) else str(self.columns[column])

    def is_null(self, column: str) -> bool:
        """Whether a contract column is said to be NULL, whatever the file has."""
        value = self.columns.get(column, "")
        return value is None or str(value).strip().lower() == "null"

    def signature(self) -> str:
        """Changes whenever the mapping reads files differently."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True)


def load_mappings(path: Path | None, contracts: Iterable[Contract]) -> dict[str, SourceMapping]:
    """The mapping of each contract by full name; the plain one for those that the file does not name.

    Raises:
        LandingError: the file cannot be read, names a source or column that is not there, or holds what is no
            expression over the columns of a row.
    """
    by_name = {c.full_name: c for c in contracts}
    if path is None:
        return {name: SourceMapping() for name in by_name}
    try:
        entries = yaml.safe_load(path.read_text()) or {}
    except OSError as error:
        raise LandingError(f"WEMART_SOURCES={path} cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise LandingError(f"{path} is not YAML: {error}") from error
    if not isinstance(entries, dict) or (unknown := sorted(set(entries) - set(by_name), key=str)):
        named = "" if not isinstance(entries, dict) else f"; {', '.join(map(str, unknown))} is none"
        raise LandingError(f"{path}: expected sources by their full name ({', '.join(sorted(by_name))}){named}")
    mappings = {name: _mapping(path, contract, entries.get(name) or {}) for name, contract in by_name.items()}
    for name, mapping in mappings.items():
        if mapping.landing is not None and mapping.landing not in by_name:
            raise LandingError(
                f"{path}: {name}: landing: '{mapping.landing}' is the landing folder of no source; name one by its "
                f"full name ({', '.join(sorted(by_name))})"
            )
        if mapping.landing is not None and mapping.table is not None:
            raise LandingError(f"{path}: {name} is either files (landing) or a table of someone else (table), not both")
    return mappings


def _mapping(path: Path, contract: Contract, entry: object) -> SourceMapping:
    if isinstance(entry, dict):
        # YAML reads the plain key `null` as the absence of one.
        entry = {"null" if key is None else key: value for key, value in entry.items()}
    try:
        mapping = SourceMapping.model_validate(entry)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise LandingError(f"{path}: {contract.full_name}: {problems}") from None
    names = [c.name for c in contract.columns]
    if unknown := sorted(set(mapping.columns) - set(names)):
        raise LandingError(
            f"{path}: {contract.full_name} has no column {', '.join(unknown)}; its columns are {', '.join(names)}"
        )
    for name in mapping.columns:
        sql = mapping.expression(name)
        if sql is None:
            continue
        try:
            check_expression(sql)
        except ValueError as error:
            raise LandingError(
                f"{path}: {contract.full_name}.{name}: {sql!r} is not an expression over the columns of a row: {error}"
            ) from error
    return mapping
