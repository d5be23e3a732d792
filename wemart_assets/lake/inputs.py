"""Which partitions of its inputs a mart reads: one declaration for what is read, Dagster's lineage and the sensor."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from wemart_assets.lake.days import Period, days_between, period_days, period_start, shift
from wemart_assets.lake.errors import DeclarationError
from wemart_assets.lake.table import Table

if TYPE_CHECKING:
    import dagster as dg


class HasTable(Protocol):
    """What an input can name: a mart, or a source contract."""

    @property
    def table(self) -> Table: ...


@dataclass(frozen=True)
class Input:
    """A table that a mart reads, and which of its partitions.

    Where both are of the same period: those from `first` to `last` partitions after the mart's own; `first` None means
    from the first one there is. Where the mart's period is longer: every day of it, or with `only_last_day` its last.
    Partitions before the first there is are not read. Partitions after the mart's own are read as far as they have
    been published by then. A table without days is read whole.

    `last_setting` names the setting that `last` is counted from (`under`): a number, or the greatest of several.
    """

    table: Table
    first: int | None = 0
    last: int = 0
    only_last_day: bool = False
    last_setting: str | None = None

    def resolve(self, settings: Mapping[str, Any]) -> Input:
        """The input as these settings say."""
        if self.last_setting is None:
            return self
        said = settings[self.last_setting]
        days = max(said) if isinstance(said, Sequence) else int(said)
        return replace(self, last=self.last + days, last_setting=None)

    def days(self, run: Sequence[str], reader: Table, first_day: str) -> list[str]:
        """The input's partitions that a run of the reader's partitions reads."""
        if self.table.only_partition is not None:
            return [self.table.only_partition]
        if self.table.period is not reader.period:
            whole = [period_days(key, reader.period) for key in run]
            wanted = {day for days in whole for day in (days[-1:] if self.only_last_day else days)}
        elif self.first is None:
            wanted = set(days_between(first_day, shift(max(run), self.last)))
        else:
            offsets = range(self.first, self.last + 1)
            wanted = {shift(key, offset, reader.period) for key in run for offset in offsets}
        if self.is_own(reader):
            wanted -= set(run)
        return sorted(day for day in wanted if day >= first_day)

    def affected(self, keys: Iterable[str], reader: Table, days: Sequence[str]) -> set[str]:
        """The reader's partitions, none beyond the last of `days`, that read one of these partitions of the input."""
        latest = max(days, default="")
        if self.table.only_partition is not None:
            return {period_start(day, reader.period) for day in days} if set(keys) else set()
        if self.table.period is not reader.period:
            starts = {key: period_start(key, reader.period) for key in keys}
            if self.only_last_day:
                starts = {key: s for key, s in starts.items() if key == period_days(s, reader.period)[-1]}
            return {start for start in starts.values() if start <= latest}
        if self.first is None:
            earliest = min(keys, default=None)
            return set() if earliest is None else set(days_between(shift(earliest, -self.last), latest))
        if (self.first, self.last) == (0, 0):
            return {key for key in keys if key <= latest}
        offsets = range(self.first, self.last + 1)
        return {found for key in keys for o in offsets if (found := shift(key, -o, reader.period)) <= latest}

    def is_own(self, reader: Table) -> bool:
        """Whether the reader reads partitions of its own."""
        return self.table.full_name == reader.full_name

    def description(self, reader: Table) -> str:
        """Which partitions are read, for people."""
        if self.table.only_partition is not None:
            return "as a whole"
        if self.last_setting is not None:
            setting = f"WEMART_{self.last_setting.upper()}"
            if self.last < 0:
                return f"of the {reader.period} and those after it within {setting}"
            return f"of the {reader.period} and the {setting} after it"
        if self.table.period is not reader.period:
            return (
                f"of the last day of the {reader.period}"
                if self.only_last_day
                else f"of each day of the {reader.period}"
            )
        if self.first is None:
            return f"of all {reader.period}s up to {self.last:+d}"
        if (self.first, self.last) == (0, 0):
            return f"of the same {reader.period}"
        between = f"{self.first:+d}" if self.first == self.last else f"{self.first:+d} to {self.last:+d}"
        return f"of the {reader.period}{'s' if self.first != self.last else ''} {between}"

    def mapping(self, reader: Table) -> dg.PartitionMapping | None:
        """What Dagster shows as the lineage of partitions."""
        # Only where assets are made: to read a declaration takes no Dagster, which takes long to import.
        import dagster as dg

        if self.table.only_partition is not None:
            return None
        first, last = self.first, self.last
        if self.table.period is not reader.period:
            first = last = 0
        elif first is None:
            # What lies before the day before follows from it: that day was made of it.
            first = -1
        with warnings.catch_warnings():
            # Beta in Dagster, and said to be so at each use; the first days have no days before them.
            warnings.simplefilter("ignore", dg.BetaWarning)
            return dg.TimeWindowPartitionMapping(
                start_offset=first, end_offset=last, allow_nonexistent_upstream_partitions=first < 0 or last > 0
            )


def same_day(of: HasTable) -> Input:
    """The input's partition of the mart's own day (week, month)."""
    return Input(of.table)


def day_before(of: HasTable) -> Input:
    """The input's partition of the day (week, month) before the mart's."""
    return Input(of.table, -1, -1)


def trailing(of: HasTable, days: int) -> Input:
    """The input's partitions of the mart's day and the `days - 1` before it."""
    return Input(of.table, 1 - days, 0)


def following(of: HasTable, days: int | str) -> Input:
    """The input's partition of the mart's day, and those of the `days` after it that have been published by then.

    The sensor requests the mart's day again as they come. The days are a number, or the setting that says it.
    """
    return Input(of.table, 0, days) if isinstance(days, int) else Input(of.table, 0, last_setting=days)


def window(of: HasTable, setting: str) -> Input:
    """As `following`, of as many days as a setting says, of which the mart's own is the first."""
    return Input(of.table, 0, -1, last_setting=setting)


def up_to(of: HasTable) -> Input:
    """The input's partitions of the mart's day and of all days before it."""
    return Input(of.table, None, 0)


def earlier_days(of: HasTable) -> Input:
    """The input's partitions of all days before the mart's; a run of several days reads those between them, too."""
    return Input(of.table, None, -1)


def whole(table: Table) -> Input:
    """A table that has no days."""
    return Input(table)


def own_day_before(table: Table) -> Input:
    """The table's own partition of the day before: its state, carried on. The first day there is has none."""
    return Input(table, -1, -1)


def own_earlier_days(table: Table) -> Input:
    """All of the table's own partitions before the mart's day."""
    return Input(table, None, -1)


def days_of(of: HasTable) -> Input:
    """For weekly and monthly tables: the input's partition of each day."""
    return Input(of.table)


def last_day_of(of: HasTable) -> Input:
    """For weekly and monthly tables: the input's partition of the last day."""
    return Input(of.table, only_last_day=True)


def check_input(given: Input, reader: Table) -> None:
    """Raises DeclarationError where a partition of the input cannot be named for each of the reader's."""
    other = given.table.period is not reader.period
    if other and (given.table.period is not Period.DAY or (given.first, given.last) != (0, 0)):
        raise DeclarationError(
            f"{reader.full_name} (by {reader.period}) cannot read {given.table.full_name} (by {given.table.period}) "
            "so: a weekly or monthly table reads its own period, or days of it"
        )
    if given.first is None and given.table.period is not Period.DAY:
        raise DeclarationError(f"{reader.full_name}: all earlier partitions are there for daily tables only")
    if given.is_own(reader) and given.last >= 0:
        raise DeclarationError(f"{reader.full_name} reads the partition of itself that it is to make")


def one_a_table(given: Iterable[Input]) -> list[Input]:
    """One input a table, over all the partitions that are read of it: Dagster knows one dependency on each."""
    found: dict[str, Input] = {}
    for one in given:
        known = found.get(one.table.full_name, one)
        first = None if known.first is None or one.first is None else min(known.first, one.first)
        last_day = known.only_last_day and one.only_last_day
        found[one.table.full_name] = Input(one.table, first, max(known.last, one.last), last_day)
    return list(found.values())
