"""Inputs of a mart: one declaration says which partitions are read, shown as lineage and watched by the sensor."""

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
    """A mart or source contract, which an input can name."""

    @property
    def table(self) -> Table: ...


@dataclass(frozen=True)
class Input:
    """A table that a mart reads, and which of its partitions.

    If both tables have the same period, the partitions are those from `first` to `last`, counted from the mart's own;
    if `first` is None, they start at the earliest partition. If the mart's period is longer, they are all days of its
    period, or only the last one with `only_last_day`. Nothing before the earliest partition is read. Partitions after
    the mart's own are read if they have been published by the time of the run. A table without days is read whole.

    `last_setting` names a setting whose value `resolve` adds to `last`: a number, or several, of which the greatest
    counts.
    """

    table: Table
    first: int | None = 0
    last: int = 0
    only_last_day: bool = False
    last_setting: str | None = None

    def resolve(self, settings: Mapping[str, Any]) -> Input:
        """Returns the input with `last_setting` replaced by its value."""
        if self.last_setting is None:
            return self
        setting = settings[self.last_setting]
        days = max(setting) if isinstance(setting, Sequence) else int(setting)
        return replace(self, last=self.last + days, last_setting=None)

    def days(self, run: Sequence[str], reader: Table, first_day: str) -> list[str]:
        """Returns the input's partitions that a run over these partitions of the reader reads."""
        if self.table.only_partition is not None:
            return [self.table.only_partition]
        if self.table.period is not reader.period:
            periods = [period_days(key, reader.period) for key in run]
            wanted = {day for days in periods for day in (days[-1:] if self.only_last_day else days)}
        elif self.first is None:
            wanted = set(days_between(first_day, shift(max(run), self.last)))
        else:
            offsets = range(self.first, self.last + 1)
            wanted = {shift(key, offset, reader.period) for key in run for offset in offsets}
        if self.is_own(reader):
            wanted -= set(run)
        return sorted(day for day in wanted if day >= first_day)

    def affected(self, keys: Iterable[str], reader: Table, days: Sequence[str]) -> set[str]:
        """Returns the reader's partitions that read one of the input's partitions `keys`, up to the last of `days`."""
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
        readers = (shift(key, -offset, reader.period) for key in keys for offset in offsets)
        return {key for key in readers if key <= latest}

    def is_own(self, reader: Table) -> bool:
        """Whether the reader reads its own partitions."""
        return self.table.full_name == reader.full_name

    def description(self, reader: Table) -> str:
        """Describes which partitions are read, for the generated pages."""
        period = reader.period
        if self.table.only_partition is not None:
            return "the whole table"
        if self.last_setting is not None:
            setting = f"WEMART_{self.last_setting.upper()}"
            if self.last < 0:
                return f"the same {period} and those after it, {setting} in all"
            return f"the same {period} and the {setting} {period}s after it"
        if self.table.period is not period:
            return f"the last day of the {period}" if self.only_last_day else f"every day of the {period}"
        match self.first, self.last:
            case 0, 0:
                return f"the same {period}"
            case -1, -1:
                return f"the {period} before"
            case None, 0:
                return f"the same {period} and all before it"
            case None, -1:
                return f"all {period}s before"
            case None, last:
                return f"all {period}s up to {last:+d}"
            case 0, last:
                return f"the same {period} and the {period if last == 1 else f'{last} {period}s'} after it"
            case first, 0:
                return f"the same {period} and the {period if first == -1 else f'{-first} {period}s'} before it"
            case first, last:
                return f"{period}s {first:+d} to {last:+d}"

    def mapping(self, reader: Table) -> dg.PartitionMapping | None:
        """Returns what Dagster shows as the lineage of partitions; None for a table without days."""
        # Imported here, where assets are built: a declaration can be read without Dagster, which is slow to import.
        import dagster as dg

        if self.table.only_partition is not None:
            return None
        first, last = self.first, self.last
        if self.table.period is not reader.period:
            first = last = 0
        elif first is None:
            # The day before stands for all earlier days: it was itself built from them.
            first = -1
        with warnings.catch_warnings():
            # The first days have no days before them. Dagster warns at each use that the parameter is in beta.
            warnings.simplefilter("ignore", dg.BetaWarning)
            return dg.TimeWindowPartitionMapping(
                start_offset=first, end_offset=last, allow_nonexistent_upstream_partitions=first < 0 or last > 0
            )


def same_day(upstream: HasTable) -> Input:
    """The input's partition for the mart's own day (week, month)."""
    return Input(upstream.table)


def day_before(upstream: HasTable) -> Input:
    """The input's partition for the day (week, month) before the mart's."""
    return Input(upstream.table, -1, -1)


def trailing(upstream: HasTable, days: int) -> Input:
    """The input's partitions for the mart's day and the `days - 1` before it."""
    return Input(upstream.table, 1 - days, 0)


def following(upstream: HasTable, days: int | str) -> Input:
    """The input's partition for the mart's day, and those for the `days` after it that are already published.

    As later days arrive, the sensor requests the mart's day again. `days` is a number or the name of a setting.
    """
    return Input(upstream.table, 0, days) if isinstance(days, int) else Input(upstream.table, 0, last_setting=days)


def window(upstream: HasTable, setting: str) -> Input:
    """Like `following`, but a setting gives the length, which includes the mart's own day."""
    return Input(upstream.table, 0, -1, last_setting=setting)


def up_to(upstream: HasTable) -> Input:
    """The input's partitions for the mart's day and all days before it."""
    return Input(upstream.table, None, 0)


def earlier_days(upstream: HasTable) -> Input:
    """The input's partitions for all days before the mart's. A run over several days also reads those between them."""
    return Input(upstream.table, None, -1)


def whole(table: Table) -> Input:
    """A table without days."""
    return Input(table)


def own_day_before(table: Table) -> Input:
    """The table's own partition for the day before: the state carried from day to day. The first day has none."""
    return Input(table, -1, -1)


def own_earlier_days(table: Table) -> Input:
    """All of the table's own partitions before the mart's day."""
    return Input(table, None, -1)


def days_of(upstream: HasTable) -> Input:
    """For weekly and monthly tables: the input's partition for each day of the period."""
    return Input(upstream.table)


def last_day_of(upstream: HasTable) -> Input:
    """For weekly and monthly tables: the input's partition for the last day of the period."""
    return Input(upstream.table, only_last_day=True)


def check_input(given: Input, reader: Table) -> None:
    """Checks that the input's partitions can be named for every partition of the reader.

    Raises:
        DeclarationError: they cannot.
    """
    differs = given.table.period is not reader.period
    if differs and (given.table.period is not Period.DAY or (given.first, given.last) != (0, 0)):
        raise DeclarationError(
            f"{reader.full_name} (by {reader.period}) cannot read {given.table.full_name} (by {given.table.period}) "
            "this way: a weekly or monthly table reads tables of its own period, or the days of its period"
        )
    if given.first is None and given.table.period is not Period.DAY:
        raise DeclarationError(
            f"{reader.full_name} cannot read all earlier partitions of {given.table.full_name}: only those of daily "
            "tables can be read"
        )
    if given.is_own(reader) and given.last >= 0:
        raise DeclarationError(f"{reader.full_name} reads itself, including the partition that the run computes")


def one_per_table(given: Iterable[Input]) -> list[Input]:
    """Merges the inputs into one per table, over all partitions read: Dagster has one dependency per upstream table."""
    merged: dict[str, Input] = {}
    for new in given:
        previous = merged.get(new.table.full_name, new)
        first = None if previous.first is None or new.first is None else min(previous.first, new.first)
        last_day = previous.only_last_day and new.only_last_day
        merged[new.table.full_name] = Input(new.table, first, max(previous.last, new.last), last_day)
    return list(merged.values())
