"""Dagster's history of a lake, in a folder of its own in `WEMART_STATE` (`Settings.history`).

`dagster.yaml` names these classes, so `dagster` and `dg` find the lake's history with only `DAGSTER_HOME` set. They
differ from Dagster's own classes in the folder, and in keeping event databases open.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._core.storage.root import LocalArtifactStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, Engine, create_engine, event

from wemart_assets.settings import load_settings

# The index and the runs that were used last; each open database takes three file handles.
OPEN_DATABASES = 4


def _folder() -> str:
    return str(load_settings().history)


class Events(SqliteEventLogStorage):
    """Dagster's SQLite event log, with databases that stay open between events.

    Dagster's own class opens and closes a database for every statement. Each close copies the write-ahead log into the
    database and flushes both to disk, each commit flushes as well, and no compiled statement outlives its connection;
    an asset check costs seven such rounds. Files and tables are the same as Dagster's: either class reads what the
    other wrote.

    A commit survives the process, however it dies. If the machine itself goes down, the last events may be lost, but
    the database stays intact (SQLite's `synchronous=NORMAL` with a write-ahead log). The lake does not depend on these
    events: its Delta logs record what is published.
    """

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        # Set first, because the base class's set-up already reads and writes the index.
        self._engines: dict[str, Engine] = {}
        self._tables: set[str] = set()
        super().__init__(base_dir, inst_data)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        if shard not in self._initialized_dbs:
            with super()._connect(shard):
                pass  # creates the tables
        with self._db_lock, self._engine(shard).begin() as connection:
            yield connection

    def _engine(self, shard: str) -> Engine:
        """Returns the open database of a run or of the index; closes the least recently used if too many are open."""
        engine = self._engines.pop(shard, None) or _open(self.conn_string_for_shard(shard))
        self._engines[shard] = engine
        while len(self._engines) > OPEN_DATABASES:
            self._engines.pop(next(iter(self._engines))).dispose()
        return engine

    def has_table(self, table_name: str) -> bool:
        """Whether the index has the table. Tables are never dropped, so a positive answer is cached."""
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def store_event(self, event: EventLogEntry) -> None:
        super().store_event(event)
        # The UI follows a run by watching its file, while an open database writes to the write-ahead log beside it.
        os.utime(self.path_for_shard(event.run_id))

    def wipe(self) -> None:
        self._close()
        super().wipe()

    def dispose(self) -> None:
        super().dispose()
        self._close()

    def _close(self) -> None:
        with self._db_lock:
            for engine in self._engines.values():
                engine.dispose()
            self._engines.clear()


def _open(database: str) -> Engine:
    engine = create_engine(database, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS})

    @event.listens_for(engine, "connect")
    def flush_at_checkpoints_only(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA synchronous=NORMAL")

    return engine


class History(DagsterSqliteStorage):
    """Runs, events, schedules and sensors, in SQLite."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        self._event_log_storage = Events(str(Path(base_dir, "history", "runs")))

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: object) -> History:
        return cls.from_local(_folder(), inst_data)


class Artifacts(LocalArtifactStorage):
    """Dagster's file storage for runs."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: object) -> Artifacts:
        return cls(_folder(), inst_data)


class StepLogs(LocalComputeLogManager):
    """What the steps of a run print."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: object) -> StepLogs:
        return cls(f"{_folder()}/storage", inst_data=inst_data)
