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


def same_period(upstream: HasTable | Table, *, only_last_day: bool = False) -> Input:
    """The input's partition for the mart's own day (week, month); a table without days is read whole.

    A weekly or monthly mart reads every day of a daily table in its period or, with `only_last_day`, only the last.
    """
    return Input(_table(upstream), only_last_day=only_last_day)


def previous_period(upstream: HasTable | Table) -> Input:
    """The input's partition for the day (week, month) before the mart's; of a daily table, every day of it.

    A mart that names its own table reads the state that it carries from day to day. The first day has none.
    """
    return Input(_table(upstream), -1, -1)


def up_to(upstream: HasTable | Table, *, inclusive: bool = True) -> Input:
    """The input's partitions for the mart's day (week, month) and all before it, or only those before it.

    A run over several days also reads those between them, unless they are the mart's own.
    """
    return Input(_table(upstream), None, 0 if inclusive else -1)


def trailing(upstream: HasTable | Table, periods: int) -> Input:
    """The input's partitions for the mart's day (week, month) and the `periods - 1` before it.

    For a weekly or monthly mart `periods` counts weeks or months, also if the input is daily.
    """
    return Input(_table(upstream), 1 - periods, 0)


def following(upstream: HasTable | Table, periods: int | str, *, in_all: bool = False) -> Input:
    """The input's partition for the mart's day (week, month), and those for the `periods` after it that are published.

    `periods` is a number or the name of a setting; with `in_all` it includes the mart's own. As later days arrive, the
    sensor requests the mart's day again.
    """
    last = -1 if in_all else 0
    if isinstance(periods, int):
        return Input(_table(upstream), 0, last + periods)
    return Input(_table(upstream), 0, last, last_setting=periods)


def _table(upstream: HasTable | Table) -> Table:
    return upstream if isinstance(upstream, Table) else upstream.table


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
            f"{'trailing(..., periods=7)' if reader.period is Period.DAY else 'same_period(...)'}"
        )
    if given.is_own(reader) and given.last >= 0:
        raise DeclarationError(
            f"{reader.full_name} reads itself, including the partition that the run computes. Read only those before "
            "it, with previous_period(...) or up_to(..., inclusive=False)"
        )
    if given.only_last_day and (given.table.only_partition is not None or given.table.period is reader.period):
        raise DeclarationError(
            f"{reader.full_name} (by {reader.period}) cannot read {given.table.full_name} with only_last_day=True, "
            "which is for daily tables that a weekly or monthly table reads"
        )


def one_per_table(given: Iterable[Input]) -> list[Input]:
    """Merges the inputs into one per table, over all partitions read: Dagster has one dependency per upstream table."""
    merged: dict[str, Input] = {}
    for new in given:
        previous = merged.get(new.table.full_name, new)
        first = None if previous.first is None or new.first is None else min(previous.first, new.first)
        last_day = previous.only_last_day and new.only_last_day
        merged[new.table.full_name] = Input(new.table, first, max(previous.last, new.last), last_day)
    return list(merged.values())
