"""Reads back what a simulation wrote."""

import csv
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq

from wemart_assets.simulator import SimulatorConfig, Summary

LOG = "service_log.weverse_server_log"

Row = dict[str, Any]


def read(path: Path) -> list[Row]:
    """The rows of a landing file; empty CSV fields are NULL."""
    if path.suffix == ".parquet":
        rows: list[Row] = pq.ParquetFile(path).read().to_pylist()
        return rows
    text = (gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()).decode()
    if ".jsonl" in path.name:
        return [json.loads(line) for line in text.splitlines()]
    return [{key: value or None for key, value in row.items()} for row in csv.DictReader(text.splitlines())]


def counts_in(truth: Path) -> dict[str, Any]:
    counts: dict[str, Any] = json.loads((truth / "counts.json").read_text(encoding="utf-8"))
    return counts


@dataclass(frozen=True)
class Simulated:
    config: SimulatorConfig
    landing: Path
    truth: Path
    summary: Summary

    @property
    def counts(self) -> dict[str, Any]:
        return counts_in(self.truth)

    def delivery(self, source: str, day: str) -> list[Row]:
        return [row for path in sorted(self.landing.glob(f"{source}/date={day}/*")) for row in read(path)]

    def business_day(self, instant_ms: int) -> str:
        return datetime.fromtimestamp(instant_ms / 1000, ZoneInfo(self.config.timezone)).date().isoformat()

    def log(self) -> Iterator[Row]:
        """The lines with an instant on or after the first day, with their business day."""
        for path in sorted(self.landing.glob(f"{LOG}/*/*")):
            for line in read(path):
                if line["unix_log_timestamp"] is None:
                    continue
                line["at"] = int(line["unix_log_timestamp"])
                line["day"] = self.business_day(line["at"])
                line["user"] = int(line["user_info_id"]) or None
                if line["day"] >= self.config.first_day.isoformat():
                    yield line


def truth_rows(path: Path) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in pq.read_table(path).to_pylist()]
