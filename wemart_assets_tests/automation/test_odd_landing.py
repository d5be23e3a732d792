"""Odd files in the landing folder of one source do not change what is requested for any source."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wemart_assets import catalog
from wemart_assets.sources.landing import INDEX_FOLDER

if TYPE_CHECKING:
    from wemart_assets_tests.environments import Environment

LOG, ARTISTS, TRACKS = "service_log.weverse_server_log", "we_mart.we_artist", "rudder.tracks"


def _nulls(folder: Path) -> None:
    columns = {c.name: pa.array([], pa.null()) for c in catalog.contracts()[TRACKS].columns}
    pq.write_table(pa.table(columns), folder / "empty.parquet")


def _name(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.csv")).write_text("a\n1\n")


ODD: dict[str, tuple[Callable[[Path], object], str]] = {
    "a pipe": (lambda folder: os.mkfifo(folder / "pipe.csv"), "it is not a regular file"),
    "a link to itself": (lambda folder: (folder / "loop.csv").symlink_to(folder / "loop.csv"), "symbolic links"),
    "a name that is not UTF-8": (_name, "is not UTF-8; rename it"),
    "a quote that never closes": (lambda folder: (folder / "a.csv").write_text('id\n"1\n'), "opens in line 2"),
    "columns without a type": (_nulls, ""),
    "text of two bytes a letter": (lambda folder: (folder / "b.csv").write_bytes("id\n1\n".encode("utf-16")), "b.csv"),
}


@pytest.mark.parametrize("case", ODD)
def test_a_tick_continues_past_odd_files(environment: Environment, case: str) -> None:
    make, warning = ODD[case]
    folder = environment.landing / TRACKS / "date=2024-03-05"
    folder.mkdir(parents=True)
    make(folder)
    environment.land_lines("a.csv", "2024-03-06 12:00:00")
    tick = environment.tick()
    assert tick.days_of(LOG) == ["2024-03-06"]
    assert any(warning in text for text in tick.warnings) == bool(warning)


@pytest.mark.parametrize("content", [b"", b"{", gzip.compress(b'{"path": "a.csv"}', mtime=0)])
def test_a_tick_rebuilds_a_damaged_index_and_requests_nothing_for_it(environment: Environment, content: bytes) -> None:
    environment.land_lines("a.csv", "2024-03-06 12:00:00")
    first = environment.tick()
    [segment] = (environment.lake / LOG.replace(".", "/") / INDEX_FOLDER).iterdir()
    segment.write_bytes(content)
    assert environment.tick(first.cursor).days_of(LOG) == []
