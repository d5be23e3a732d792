"""A source contract: the columns that marts read, typed, with rules. Extra columns in the data are ignored."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.engine import FileFormat
from wemart_assets.lake.functions import business_day, timestamp_millis
from wemart_assets.lake.table import RUN_TIMESTAMP, Column, Table, TableCheck, ValueCheck, column

# The last one of 9999-12-30 UTC, which is in the year 9999 everywhere. A number beyond is a mistake of units.
LAST_MILLISECOND = 253_402_214_399_999
# The one partition of a table of rows whose time is unknown.
UNKNOWN_DAY = "unknown"


class Kind(Enum):
    """FACTS: a row belongs to the business day of its instant. SNAPSHOT: the whole table as of a day."""

    FACTS = "facts"
    SNAPSHOT = "snapshot"


INT32 = ValueCheck(
    "fits_32_bits", "a number of 32 bits", lambda value: value.between(ibis.literal(-(2**31)), ibis.literal(2**31 - 1))
)
MILLISECONDS = ValueCheck(
    "milliseconds", "milliseconds between 1970 and the year 9999", lambda value: value.between(0, LAST_MILLISECOND)
)


@dataclass(frozen=True)
class Contract:
    """A source table.

    Attributes:
        key: the columns that name a row within a day. Exact duplicates collapse; of rows that share a key but differ,
            the first in the order of all columns stays and the others are quarantined. Empty: equal rows are kept.
        first_by: the column that this order looks at before all others.
        unique_where_known: further column sets that no two rows of a day share, unless one of them is NULL.
        instant: for facts, the column that says when: milliseconds (bigint), a timestamp, or a date.
        is_history: facts from before the first business day there is belong to that day, which then knows
            what was before. Of other contracts such rows are counted and left out.
        day_column: the name of the business day in the source table.
        form: how its files are read where neither their ending nor `sources.yaml` says so; of a CSV also its names and
            what stands for NULL.
        local_times: a time without a zone is one of the business timezone. Else it is UTC.
        unknown_time: what stands for an unknown time, as NULL does. Facts of an unknown time are no fault: they are
            the rows of `unknown_time_table`. A contract without it has no such table, and quarantines them.
        newest_in_sql: as of `Table`.
    """

    database: str
    name: str
    description: str
    kind: Kind
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    first_by: str | None = None
    unique_where_known: tuple[tuple[str, ...], ...] = ()
    instant: str | None = None
    is_history: bool = False
    day_column: str = "part_date"
    form: FileFormat | None = None
    local_times: bool = False
    unknown_time: dt.datetime | None = None
    newest_in_sql: bool = False

    @property
    def full_name(self) -> str:
        return f"{self.database}.{self.name}"

    @cached_property
    def table(self) -> Table:
        """The source table in the lake: the contract's columns, the business day, the run's clock."""
        return self._table(self.name, self.description, "business day")

    @cached_property
    def unknown_time_table(self) -> Table | None:
        """The rows of an unknown time, in the one partition that there is of them."""
        if self.unknown_time is None:
            return None
        description = f"{self.description} Rows of an unknown time."
        return self._table(f"{self.name}__date_unknown", description, f"'{UNKNOWN_DAY}'", only_partition=UNKNOWN_DAY)

    def _table(self, name: str, description: str, day_words: str, only_partition: str | None = None) -> Table:
        day = column(self.day_column, "string", day_words, nullable=False)
        own = tuple(c for c in self.columns if c.name != self.day_column)
        return Table(
            self.database,
            name,
            description,
            (*own, day, RUN_TIMESTAMP),
            grain=self.key,
            partition_by=(self.day_column,),
            only_partition=only_partition,
            newest_in_sql=self.newest_in_sql,
            table_checks=(
                TableCheck(
                    "no_record_is_lost",
                    "each landed record of a day is in the table, in its quarantine, or one that repeats another",
                    _days_with_lost_records,
                ),
                TableCheck(
                    "quarantine_share",
                    "no more rows of a day are quarantined than WEMART_QUARANTINE_SHARE allows",
                    _many_quarantined,
                ),
            ),
        )

    @cached_property
    def quarantine(self) -> Table:
        """Rows of landing files that break the contract, as they came, with the reason."""
        return self._set_aside("quarantine", f"One row per landing row that breaks the contract of {self.full_name}.")

    @cached_property
    def rejected(self) -> Table:
        """What the last run that was refused for a day would have put into quarantine."""
        return self._set_aside(
            "rejected",
            f"One row per landing row that breaks the contract of {self.full_name}, of days whose last run was "
            "refused. A run that publishes a day clears it.",
        )

    def _set_aside(self, suffix: str, description: str) -> Table:
        return Table(
            self.database,
            f"{self.name}__{suffix}",
            description,
            (
                column("reason", "string", "which column breaks which rule", nullable=False),
                column("file", "string", "landing file, below the landing folder", nullable=False),
                column("raw_row", "string", "the row as it came, JSON; of a malformed record its text", nullable=False),
                column(
                    self.day_column,
                    "string",
                    "business day that the row was delivered for"
                    + ("" if self.unknown_time is None else f", '{UNKNOWN_DAY}' where its time is unknown"),
                    nullable=False,
                ),
                RUN_TIMESTAMP,
            ),
            partition_by=(self.day_column,),
        )

    def day_of(
        self, rows: ir.Table, timezone: str, first_day: str, local_day: ir.StringValue | None = None
    ) -> ir.StringValue:
        """Business day of each fact; NULL where its instant is unknown or out of range.

        `local_day` is the day of those facts whose local time is known, where that is known already.
        """
        day = self._calendar_day(rows, timezone)
        if local_day is not None:
            day = local_day.notnull().ifelse(local_day, day)
        return (day < first_day).ifelse(first_day, day) if self.is_history else day

    def _calendar_day(self, rows: ir.Table, timezone: str) -> ir.StringValue:
        instant = rows[str(self.instant)]
        if instant.type().is_integer():
            in_range = instant.between(0, LAST_MILLISECOND)
            instant = timestamp_millis(in_range.ifelse(instant, ibis.null("int64")))
        if instant.type().is_date():
            return instant.cast("string")
        return business_day(instant, timezone)


def _days_with_lost_records(
    staged: ir.Table, quarantined: ir.Table, landed: ir.Table, repeated: ir.Table, table: Table
) -> ir.Table:
    """Days whose records, counted without the engine's reader, are not as many as its rows.

    Rows that repeat another are counted only if rows are missing: to find them takes as long as to read the files.
    """
    day = table.day_column

    def counts(rows: ir.Table, name: str) -> ir.Table:
        return rows.group_by(day).aggregate(**{name: ibis._.count()})

    accounted = landed.left_join(counts(staged, "kept"), day).drop(f"{day}_right")
    accounted = accounted.left_join(counts(quarantined, "quarantined"), day).drop(f"{day}_right")
    accounted = accounted.mutate(kept=accounted.kept.fill_null(0), quarantined=accounted.quarantined.fill_null(0))
    off = accounted.filter(accounted.records != accounted.kept + accounted.quarantined)
    if not off.count().to_pyarrow().as_py():
        return off
    off = off.left_join(counts(repeated, "repeated"), day).drop(f"{day}_right")
    off = off.mutate(repeated=off.repeated.fill_null(0))
    return off.filter(off.records != off.kept + off.quarantined + off.repeated)


def _many_quarantined(staged: ir.Table, quarantined: ir.Table, table: Table, quarantine_share: float) -> ir.Table:
    """The quarantined rows of the days on which they are too large a share, with the numbers of their day."""
    day = table.day_column
    kept = staged.group_by(day).aggregate(kept=ibis._.count())
    bad = quarantined.group_by(day).aggregate(quarantined=ibis._.count())
    shares = bad.left_join(kept, day)
    shares = shares.select(bad[day], "quarantined", kept=shares.kept.fill_null(0))
    shares = shares.filter(shares.quarantined > (shares.quarantined + shares.kept) * quarantine_share)
    rows = quarantined.inner_join(shares, day)
    return rows.select(quarantined[day], "reason", in_file="file", quarantined="quarantined", kept="kept")
