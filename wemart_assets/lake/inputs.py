"""Inputs of a mart: one declaration says which partitions are read, shown as lineage and watched by the sensor."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from wemart_assets.lake.days import Period, period_days, period_start, periods_between, shift
from wemart_assets.lake.errors import DeclarationError
from wemart_assets.lake.table import Table

if TYPE_CHECKING:
    import dagster as dg


# Thirty years, further back than a table goes. Dagster steps back week by week, at 30 microseconds a step.
ALL_EARLIER = {Period.DAY: 10_958, Period.WEEK: 1_566, Period.MONTH: 360}


class HasTable(Protocol):
    """A mart or source contract, which an input can name."""

    @property
    def table(self) -> Table: ...


@dataclass(frozen=True)
class Input:
    """A table that a mart reads, and which of its partitions.

    They are those of the periods from `first` to `last`, counted in periods of the mart from its own; if `first` is
    None, they start at the earliest partition. If the mart's period is longer than the table's, they are all days of
    these periods, or with `only_last_day` the last day of each. Nothing before the earliest partition is read.
    Partitions after the mart's own period are read if they have been published by the time of the run. A table without
    days is read whole.

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
        if self.first is None:
            last = period_days(shift(max(run), self.last, reader.period), reader.period)[-1]
            wanted = set(periods_between(first_day, last, self.table.period))
        else:
            offsets = range(self.first, self.last + 1)
            wanted = {shift(key, offset, reader.period) for key in run for offset in offsets}
            if self.table.period is not reader.period:
                periods = [period_days(start, reader.period) for start in wanted]
                wanted = {day for days in periods for day in (days[-1:] if self.only_last_day else days)}
        if self.is_own(reader):
            wanted -= set(run)
        return sorted(day for day in wanted if day >= first_day)

    def affected(self, keys: Iterable[str], reader: Table, days: Sequence[str]) -> set[str]:
        """Returns the reader's partitions that read one of the input's partitions `keys`, up to the last of `days`."""
        latest = max(days, default="")
        if self.table.only_partition is not None:
            return {period_start(day, reader.period) for day in days} if set(keys) else set()
        if self.only_last_day:
            keys = [key for key in keys if key == period_days(period_start(key, reader.period), reader.period)[-1]]
        starts = {period_start(key, reader.period) for key in keys}
        if self.first is None:
            earliest = shift(min(starts), -self.last, reader.period) if starts else None
            return set() if earliest is None else set(periods_between(earliest, latest, reader.period))
        offsets = range(self.first, self.last + 1)
        readers = (shift(start, -offset, reader.period) for start in starts for offset in offsets)
        return {start for start in readers if start <= latest}

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
        if self.table.period is period:
            return _periods(self.first, self.last, period)
        what = "the last day" if self.only_last_day else "every day"
        if self.first is None:
            return {0: f"all days to the end of the {period}", -1: f"all days before the {period}"}.get(
                self.last, f"all days of the {period}s up to {self.last:+d}"
            )
        return f"{what} of {_periods(self.first, self.last, period).replace('the same', 'the', 1)}"

    def mapping(self, reader: Table) -> dg.PartitionMapping | None:
        """Returns what Dagster shows as the lineage of partitions; None for a table without days."""
        # Imported here, where assets are built: a declaration can be read without Dagster, which is slow to import.
        import dagster as dg

        if self.table.only_partition is not None:
            return None
        # Dagster counts in periods of the reader, too, and shifts a window no further than to the earliest partition.
        first = -ALL_EARLIER[reader.period] if self.first is None else self.first
        with warnings.catch_warnings():
            # The first days have no days before them. Dagster warns at each use that the parameter is in beta.
            warnings.simplefilter("ignore", dg.BetaWarning)
            return dg.TimeWindowPartitionMapping(
                start_offset=first,
                end_offset=self.last,
                allow_nonexistent_upstream_partitions=first < 0 or self.last > 0,
            )


def _periods(first: int | None, last: int, period: Period) -> str:
    """The periods from `first` to `last`, in words."""
    match first, last:
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
    return f"{period}s {first:+d} to {last:+d}"


def same_day(upstream: HasTable) -> Input:
    """The input's partition for the mart's own day (week, month); of a daily table, every day of it."""
    return Input(upstream.table)


def day_before(upstream: HasTable) -> Input:
    """The input's partition for the day (week, month) before the mart's; of a daily table, every day of it."""
    return Input(upstream.table, -1, -1)


def trailing(upstream: HasTable, days: int) -> Input:
    """The input's partitions for the mart's day (week, month) and the `days - 1` before it.

    For a weekly or monthly mart `days` counts weeks or months, also if the input is daily.
    """
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
    """The input's partitions for the mart's day (week, month) and all before it."""
    return Input(upstream.table, None, 0)


def earlier_days(upstream: HasTable) -> Input:
    """The input's partitions for all days before the mart's day (week, month).

    A run over several days also reads those between them.
    """
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
    if given.table.period not in (reader.period, Period.DAY) and given.table.only_partition is None:
        raise DeclarationError(
            f"{reader.full_name} (by {reader.period}) cannot read {given.table.full_name} (by {given.table.period}), "
            f"because a {reader.period} is not made of {given.table.period}s. Read the daily table that "
            f"{given.table.full_name} is made of, for example with "
            f"{'trailing(..., days=7)' if reader.period is Period.DAY else 'days_of(...)'}"
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
