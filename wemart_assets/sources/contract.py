"""A source contract: the columns that marts read, typed, with rules. Extra columns in the data are ignored."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cached_property

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.functions import business_day, timestamp_millis
from wemart_assets.lake.table import RUN_TIMESTAMP, Column, Law, Table, ValueRule, column

# The last one of 9999-12-30 UTC, which is in the year 9999 everywhere. A number beyond is a mistake of units.
LAST_MILLISECOND = 253_402_214_399_999


class Kind(Enum):
    """FACTS: a row belongs to the business day of its instant. SNAPSHOT: the whole table as of a day."""

    FACTS = "facts"
    SNAPSHOT = "snapshot"


INT32 = ValueRule(
    "fits_32_bits", "a number of 32 bits", lambda value: value.between(ibis.literal(-(2**31)), ibis.literal(2**31 - 1))
)
MILLISECONDS = ValueRule(
    "milliseconds", "milliseconds between 1970 and the year 9999", lambda value: value.between(0, LAST_MILLISECOND)
)


@dataclass(frozen=True)
class Contract:
    """A source table.

    Attributes:
        key: the columns that name a row within a day. Exact duplicates collapse; of rows that share a key but differ,
            the first in the order of all columns stays and the others are quarantined. Empty: equal rows are kept.
        unique_where_known: further column sets that no two rows of a day share, unless one of them is NULL.
        instant: for facts, the column that says when: milliseconds (bigint), a timestamp, or a date.
        is_history: facts from before the first business day there is belong to that day, which then knows
            what was before. Of other contracts such rows are counted and left out.
        day_column: the name of the business day in the source table.
        newest_in_sql: as of `Table`.
    """

    database: str
    name: str
    words: str
    kind: Kind
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    unique_where_known: tuple[tuple[str, ...], ...] = ()
    instant: str | None = None
    is_history: bool = False
    day_column: str = "part_date"
    newest_in_sql: bool = False

    @property
    def full_name(self) -> str:
        return f"{self.database}.{self.name}"

    @cached_property
    def table(self) -> Table:
        """The source table in the lake: the contract's columns, the business day, the run's clock."""
        day = column(self.day_column, "string", "business day", nullable=False)
        own = tuple(c for c in self.columns if c.name != self.day_column)
        return Table(
            self.database,
            self.name,
            self.words,
            (*own, day, RUN_TIMESTAMP),
            grain=self.key,
            partition_by=(self.day_column,),
            newest_in_sql=self.newest_in_sql,
            laws=(
                Law(
                    "quarantine_share",
                    "no more rows of a day are quarantined than WEMART_QUARANTINE_SHARE allows",
                    _days_with_many_quarantined,
                ),
            ),
        )

    @cached_property
    def quarantine(self) -> Table:
        """Rows of landing files that break the contract, as they came, with the reason."""
        return Table(
            self.database,
            f"{self.name}__quarantine",
            f"One row a landing row that breaks the contract of {self.full_name}.",
            (
                column("reason", "string", "which column breaks which rule", nullable=False),
                column("file", "string", "landing file, below the landing folder", nullable=False),
                column("raw_row", "string", "the row as it came, JSON", nullable=False),
                column(self.day_column, "string", "business day that the row was delivered for", nullable=False),
                RUN_TIMESTAMP,
            ),
            partition_by=(self.day_column,),
        )

    def day_of(self, rows: ir.Table, timezone: str, first_day: str) -> ir.StringValue:
        """Business day of each fact; NULL where its instant is unknown or out of range."""
        day = self._calendar_day(rows, timezone)
        return (day < first_day).ifelse(first_day, day) if self.is_history else day

    def _calendar_day(self, rows: ir.Table, timezone: str) -> ir.StringValue:
        instant = rows[str(self.instant)]
        if instant.type().is_integer():
            in_range = instant.between(0, LAST_MILLISECOND)
            instant = timestamp_millis(in_range.ifelse(instant, ibis.null("int64")))
        if instant.type().is_date():
            return instant.cast("string")
        return business_day(instant, timezone)


def _days_with_many_quarantined(
    staged: ir.Table, quarantined: ir.Table, table: Table, quarantine_share: float
) -> ir.Table:
    day = table.day_column
    kept = staged.group_by(day).aggregate(kept=ibis._.count())
    bad = quarantined.group_by(day).aggregate(
        quarantined=ibis._.count(), for_example=quarantined.reason.min(), in_file=quarantined.file.min()
    )
    shares = bad.left_join(kept, day)
    shares = shares.select(bad[day], "quarantined", "for_example", "in_file", kept=shares.kept.fill_null(0))
    return shares.filter(shares.quarantined > (shares.quarantined + shares.kept) * quarantine_share)
