"""A source contract: the columns that marts read, with types and checks. Other columns in the data are ignored."""

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

# The end of 9999-12-30 UTC, which is in the year 9999 in every timezone. A larger number is in the wrong unit.
LAST_MILLISECOND = 253_402_214_399_999
# The only partition of a table of rows with an unknown time.
UNKNOWN_DAY = "unknown"


class Kind(Enum):
    """FACTS: each row belongs to the business day of its instant. SNAPSHOT: the whole table as of a day."""

    FACTS = "facts"
    SNAPSHOT = "snapshot"


INT32 = ValueCheck(
    "fits_32_bits", "a 32-bit integer", lambda value: value.between(ibis.literal(-(2**31)), ibis.literal(2**31 - 1))
)
MILLISECONDS = ValueCheck(
    "milliseconds", "milliseconds between 1970 and the year 9999", lambda value: value.between(0, LAST_MILLISECOND)
)


@dataclass(frozen=True)
class Contract:
    """A source table.

    Attributes:
        key: the columns that identify a row within a day. Exact duplicates collapse. Among different rows with the
            same key, the first in the order of all columns is kept and the others are quarantined. If empty, equal
            rows are all kept.
        first_by: the column that this order compares first.
        unique_where_known: more sets of columns that must be unique within a day, except where one of them is NULL.
        instant: for facts, the column with the time of the row: milliseconds (bigint), a timestamp, or a date.
        is_history: facts from before the first business day belong to that day, so that it includes all of the past.
            For other contracts such rows are counted and left out.
        day_column: the name of the business-day column in the source table.
        form: how to read its files when neither their extension nor `sources.yaml` says so; for CSV also the column
            names and the text that means NULL.
        local_times: a time without a timezone is in the business timezone; otherwise it is UTC.
        unknown_time: the value that means an unknown time, as NULL does. Facts with an unknown time are valid: they
            are the rows of `unknown_time_table`. Without this value there is no such table, and they are quarantined.
        newest_in_sql: see `Table`.
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
        """The source table in the lake: the contract's columns, the business day and `run_timestamp`."""
        return self._table(self.name, self.description, "business day")

    @cached_property
    def unknown_time_table(self) -> Table | None:
        """The rows with an unknown time, in a single partition; None if the contract allows no such rows."""
        if self.unknown_time is None:
            return None
        description = f"{self.description} Only rows with an unknown time."
        return self._table(f"{self.name}__date_unknown", description, f"'{UNKNOWN_DAY}'", only_partition=UNKNOWN_DAY)

    def _table(self, name: str, description: str, day_description: str, only_partition: str | None = None) -> Table:
        day = column(self.day_column, "string", day_description, nullable=False)
        other_columns = tuple(c for c in self.columns if c.name != self.day_column)
        return Table(
            self.database,
            name,
            description,
            (*other_columns, day, RUN_TIMESTAMP),
            grain=self.key,
            partition_by=(self.day_column,),
            only_partition=only_partition,
            newest_in_sql=self.newest_in_sql,
            table_checks=(
                TableCheck(
                    "no_record_is_lost",
                    "every record that landed for a day is in the table, in the quarantine, or a duplicate",
                    _days_with_lost_records,
                ),
                TableCheck(
                    "quarantine_share",
                    "the share of a day's rows that are quarantined does not exceed WEMART_QUARANTINE_SHARE",
                    _excess_quarantined_rows,
                ),
            ),
        )

    @cached_property
    def quarantine(self) -> Table:
        """Rows of landing files that break the contract, in their original form, with the reason."""
        return self._quarantine_table(
            "quarantine", f"One row per landing row that breaks the contract of {self.full_name}."
        )

    @cached_property
    def rejected(self) -> Table:
        """What the last rejected run of a day would have put into the quarantine."""
        return self._quarantine_table(
            "rejected",
            f"One row per landing row that breaks the contract of {self.full_name}, for days whose last run was "
            "rejected. A run that publishes a day removes the day's rows.",
        )

    def _quarantine_table(self, suffix: str, description: str) -> Table:
        return Table(
            self.database,
            f"{self.name}__{suffix}",
            description,
            (
                column("reason", "string", "what is wrong, and with which column", nullable=False),
                column("file", "string", "path of the landing file within the landing folder", nullable=False),
                column("raw_row", "string", "the original row as JSON; text if it is malformed", nullable=False),
                column(
                    self.day_column,
                    "string",
                    "business day that the row was delivered for"
                    + ("" if self.unknown_time is None else f"; '{UNKNOWN_DAY}' if its time is unknown"),
                    nullable=False,
                ),
                RUN_TIMESTAMP,
            ),
            partition_by=(self.day_column,),
        )

    def day_of(
        self, rows: ir.Table, timezone: str, first_day: str, local_day: ir.StringValue | None = None
    ) -> ir.StringValue:
        """The business day of each fact; NULL if its instant is NULL or out of range.

        `local_day`, if given, is the already computed day of facts with a local time, NULL for the others.
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
    """Days on which the number of landed records, counted without the engine's reader, differs from that of the rows.

    Duplicates are counted only if rows are missing, because finding them takes as long as reading the files.
    """
    day = table.day_column

    def counts(rows: ir.Table, name: str) -> ir.Table:
        return rows.group_by(day).aggregate(**{name: ibis._.count()})

    days = landed.left_join(counts(staged, "kept"), day).drop(f"{day}_right")
    days = days.left_join(counts(quarantined, "quarantined"), day).drop(f"{day}_right")
    days = days.mutate(kept=days.kept.fill_null(0), quarantined=days.quarantined.fill_null(0))
    incomplete = days.filter(days.records != days.kept + days.quarantined)
    if not incomplete.count().to_pyarrow().as_py():
        return incomplete
    incomplete = incomplete.left_join(counts(repeated, "repeated"), day).drop(f"{day}_right")
    incomplete = incomplete.mutate(repeated=incomplete.repeated.fill_null(0))
    return incomplete.filter(incomplete.records != incomplete.kept + incomplete.quarantined + incomplete.repeated)


def _excess_quarantined_rows(
    staged: ir.Table, quarantined: ir.Table, table: Table, quarantine_share: float
) -> ir.Table:
    """The quarantined rows of days with too large a share of them, with the counts of their day."""
    day = table.day_column
    kept = staged.group_by(day).aggregate(kept=ibis._.count())
    bad = quarantined.group_by(day).aggregate(quarantined=ibis._.count())
    shares = bad.left_join(kept, day)
    shares = shares.select(bad[day], "quarantined", kept=shares.kept.fill_null(0))
    shares = shares.filter(shares.quarantined > (shares.quarantined + shares.kept) * quarantine_share)
    rows = quarantined.inner_join(shares, day)
    return rows.select(quarantined[day], "reason", in_file="file", quarantined="quarantined", kept="kept")
