"""What a step works with: an engine that computes rows, and the store in which tables are published."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from deltalake.exceptions import DeltaError

from wemart_assets.lake.engine import Connection, Engine, FileFormat, Staged
from wemart_assets.lake.errors import PublishConflict, StoreUnavailable, UnreadableTable
from wemart_assets.lake.faults import unknown_outcome
from wemart_assets.lake.store import COMMIT_ATTEMPTS, Baseline, ExternalStore, LostRace, Store, Unanswered, span

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa

    from wemart_assets.lake.table import Table


class Session:
    """One step's connection to an engine, over the tables of a store and those of someone else.

    `run` is the id of the run that the step belongs to, if any; `is_repeated` if the run has tried the step before.
    """

    def __init__(
        self,
        connection: Connection,
        store: Store,
        externals: ExternalStore,
        run: str | None = None,
        is_repeated: bool = False,
    ) -> None:
        self.connection = connection
        self.store = store
        self.externals = externals
        self.run = run
        self._is_repeated = is_repeated

    @property
    def spill(self) -> Path | None:
        """The local folder for data that does not fit in memory, or None if the engine manages its own."""
        return self.connection.spill

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        """The exceptions that the engine raises for a damaged file."""
        return self.connection.failures

    def published(self, table: Table, days: Sequence[str]) -> set[str]:
        """Those of `days` that have been published, including empty ones."""
        if table in self.externals:
            return self.externals.published(self.connection, table, days)
        return self.store.published(table, days)

    def versions(self, table: Table, days: Sequence[str]) -> Mapping[str, int]:
        """For each of `days` the number of the last commit that published it, if known; numbers only grow."""
        return self.store.versions(table, days)

    def read(self, table: Table, days: Sequence[str] | None = None) -> ir.Table:
        """The published rows of `days` (of all days by default), with the table's columns."""
        if table in self.externals:
            return self.externals.read(self.connection, table, days)
        return self.connection.read(self.store.snapshot(table, days))

    def file_columns(self, path: str, form: FileFormat) -> dict[str, bool]:
        """The columns of a landing file; see `Connection.file_columns`."""
        return self.connection.file_columns(path, form)

    def scan(
        self, paths: Sequence[str], form: FileFormat, columns: Sequence[str], expressions: Mapping[str, str]
    ) -> ir.Table:
        """Rows of landing files; see `Connection.scan`."""
        return self.connection.scan(paths, form, columns, expressions)

    def named(self, rows: ir.Table) -> ir.Table:
        """The same rows as a view, so that expressions built on them are compiled without what lies below."""
        return self.connection.named(rows)

    def baseline(self, table: Table, days: Sequence[str]) -> Baseline:
        """The current state of the partitions; taken before a run reads its inputs."""
        return self.store.baseline(table, days)

    def stage(self, table: Table, rows: ir.Table, days: Sequence[str], baseline: Baseline) -> Staged:
        """Compute `rows` once and write them where no reader sees them."""
        return self.connection.stage(table, rows, days, baseline, self.store.destination(table))

    def publish(self, staged: Staged) -> int:
        """Replace exactly the staged days in one commit and return the published version.

        Raises:
            PublishConflict: another run published one of the days since the baseline was taken, or every attempt to
                commit lost the race against other writers.
            UnknownOutcome: the object store did not answer a commit, which may have been made.
            UnreadableTable: the table cannot take the rows.
        """
        try:
            version = self._commit(staged)
        except (PublishConflict, UnreadableTable):
            # Both mean that nothing was committed. After any other error the files may be part of the table.
            self.discard(staged)
            raise
        self.connection.release(staged)
        return version

    def _commit(self, staged: Staged) -> int:
        table, days = staged.table, staged.days
        lost: LostRace | Unanswered | None = None
        for _ in range(COMMIT_ATTEMPTS):
            try:
                if isinstance(lost, Unanswered) and (version := self.store.committed(staged)) is not None:
                    return version
                return self.store.commit(staged)
            except (LostRace, Unanswered) as error:
                lost = error
            except PublishConflict:
                # It may be this run's own commit that is in the way, if its answer was lost on the network.
                version = None if lost is None else self.store.committed(staged)
                if version is None:
                    raise
                return version
            except (OSError, DeltaError, StoreUnavailable) as error:
                # Before the first answer was lost, nothing can have been committed.
                if not isinstance(lost, Unanswered):
                    raise
                raise unknown_outcome(f"{table.full_name} {span(days)}", error) from lost
            time.sleep(random.uniform(0.01, 0.1))
        if isinstance(lost, Unanswered):
            # The last attempt may have been made, and then its files are part of the table.
            raise unknown_outcome(f"{table.full_name} {span(days)}", lost.__cause__ or lost) from lost
        raise PublishConflict(
            f"{table.full_name}: {COMMIT_ATTEMPTS} attempts to commit {span(days)} lost the race against other "
            f"writers, the last because of: {lost}. Run it again when fewer runs publish this table."
        ) from lost

    def append(self, table: Table, rows: pa.Table, key: Mapping[str, str]) -> None:
        """Add rows that the run records, instead of those with the same `key` if it has recorded any.

        Raises:
            PublishConflict: every attempt to commit lost the race against other writers.
        """
        replace = self._is_repeated
        lost: LostRace | Unanswered | None = None
        for _ in range(COMMIT_ATTEMPTS):
            try:
                return self.store.append(table, rows, key, replace)
            except (LostRace, Unanswered) as error:
                lost, replace = error, replace or isinstance(error, Unanswered)
            time.sleep(random.uniform(0.01, 0.1))
        raise PublishConflict(f"{table.full_name}: {COMMIT_ATTEMPTS} attempts to add {key} failed: {lost}") from lost

    def sizes(self, table: Table, days: Sequence[str]) -> Mapping[str, int]:
        """Published bytes of each of `days`."""
        return self.store.sizes(table, days)

    def discard(self, staged: Staged) -> None:
        """Remove the staged rows."""
        self.connection.discard(staged)


class Lake:
    """Opens sessions; a Dagster resource. `store` makes the store for a connection of the engine."""

    def __init__(
        self, engine: Engine, store: Callable[[Connection], Store], externals: ExternalStore | None = None
    ) -> None:
        self.engine = engine
        self.externals = externals or ExternalStore()
        self._store = store

    @contextmanager
    def connect(self, run: str | None = None, is_repeated: bool = False) -> Iterator[Session]:
        """A session for one step, of the run `run` if it has an id."""
        with self.engine.connect() as connection:
            yield Session(connection, self._store(connection), self.externals, run, is_repeated)
