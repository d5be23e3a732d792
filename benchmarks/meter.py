"""Where the time of a run goes: in the engine, in compiling for it, in Dagster's records, in the rest.

Methods of the libraries are wrapped while a meter runs, and each moment counts for the innermost of them. Wrapping
costs some microseconds a call.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from unittest.mock import patch

import duckdb
from dagster._core.storage.event_log.base import EventLogStorage
from deltalake import DeltaTable
from ibis.backends.sql.compilers.duckdb import DuckDBCompiler
from sqlglot.generator import Generator

from wemart_assets.lake.pandera_backends import DataFrameSchema

ENGINE, COMPILING, RECORDS, JUDGING, REST = PARTS = (
    "DuckDB and Delta",
    "compiling Ibis to SQL",
    "Dagster's event log",
    "pandera and its checks",
    "the rest",
)


@dataclass
class Seconds:
    """Seconds by the clock on the wall, and of the processors that this process used."""

    wall: float = 0.0
    processor: float = 0.0

    def __sub__(self, other: Seconds) -> Seconds:
        return Seconds(self.wall - other.wall, self.processor - other.processor)

    def __iadd__(self, other: Seconds) -> Seconds:
        self.wall += other.wall
        self.processor += other.processor
        return self


def now() -> Seconds:
    return Seconds(time.perf_counter(), time.process_time())


@dataclass
class Meter:
    """Seconds of each part, of the thread that started it, and how many queries were compiled."""

    event_log: EventLogStorage
    seconds: dict[str, Seconds] = field(default_factory=lambda: {part: Seconds() for part in PARTS})
    queries: int = 0

    def __enter__(self) -> Meter:
        self._thread, self._patches = threading.get_ident(), ExitStack()
        for kind in (duckdb.DuckDBPyConnection, duckdb.DuckDBPyRelation):
            self._wrap(kind, _methods(kind), ENGINE)
        self._wrap(duckdb, ["connect"], ENGINE)
        self._wrap(DeltaTable, ["__init__", *_methods(DeltaTable)], ENGINE)
        # An expression becomes a tree, which may be changed, and then text.
        self._wrap(DuckDBCompiler, ["to_sqlglot"], COMPILING, self._count_query)
        self._wrap(Generator, ["generate"], COMPILING)
        self._wrap(DataFrameSchema, ["validate"], JUDGING)
        self._wrap(self.event_log, _methods(EventLogStorage), RECORDS)
        self._parts, self._since = [REST], now()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._charge()
        self._patches.close()

    @property
    def whole(self) -> Seconds:
        whole = Seconds()
        for part in self.seconds.values():
            whole += part
        return whole

    @property
    def outside(self) -> Seconds:
        """Seconds outside of the engine."""
        return self.whole - self.seconds[ENGINE]

    def _charge(self) -> None:
        moment = now()
        self.seconds[self._parts[-1]] += moment - self._since
        self._since = moment

    @contextmanager
    def _during(self, part: str) -> Iterator[None]:
        self._charge()
        self._parts.append(part)
        try:
            yield
        finally:
            self._charge()
            self._parts.pop()

    def _count_query(self) -> None:
        self.queries += 1

    def _wrap(self, owner: Any, names: Sequence[str], part: str, called: Callable[[], None] = lambda: None) -> None:
        for name in names:
            original = getattr(owner, name)

            @functools.wraps(original)
            def timed(*args: Any, original: Callable[..., Any] = original, **kwargs: Any) -> Any:
                # A query inside of a query, a method that calls another: the outer one counts.
                if threading.get_ident() != self._thread or self._parts[-1] == part:
                    return original(*args, **kwargs)
                called()
                with self._during(part):
                    return original(*args, **kwargs)

            self._patches.enter_context(patch.object(owner, name, timed))


def _methods(kind: type) -> list[str]:
    return [name for name, value in vars(kind).items() if not name.startswith("_") and callable(value)]
