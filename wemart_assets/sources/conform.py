"""How the values of a landing file read as the columns of its contract, and what is wrong with those that do not.

Rows go through a few steps, each a projection of its own, so that what is found once is not found again by every
expression that uses it: text is read as values, local times become instants, then rows get their day and faults.
Spaces around a value that is no text are not part of it, and nothing but spaces is NULL.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import ibis
import ibis.expr.datatypes as types
import ibis.expr.types as ir

from wemart_assets.lake.functions import INSTANT, LOCAL_TIME, day_of_local, instant_of
from wemart_assets.lake.table import Column, data_type
from wemart_assets.sources.contract import UNKNOWN_DAY, Contract, Kind

FIRST_DAY_OF_ALL, LAST_DAY_OF_ALL = dt.date.min, dt.date.max
DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
TIME = rf"{DATE}([ T][0-9]{{2}}:[0-9]{{2}}(:[0-9]{{2}}([.][0-9]+)?)?)?"
ZONE = r" ?(Z|UTC|[+-][0-9]{2}(:?[0-9]{2})?)"
BLANKS, NOT_BLANK = r"[ \t\n\r\f\v]", r"[^ \t\n\r\f\v]"
# A number as Java writes a double, none of its decimals beyond the 24th.
SCIENTIFIC = r"[0-9]([.][0-9]{1,16})?[eE]([+]?[0-9]{1,2}|-[0-8])"


def conformed(
    rows: ir.Table,
    contract: Contract,
    columns: Sequence[Column],
    timezone: str,
    first_day: str,
    unknown_as: Sequence[str] | None = None,
    is_clean: bool = False,
) -> ir.Table:
    """The file's rows as these columns of the contract, typed; a value that cannot be read is NULL.

    Beside them `_file` and `_raw` as they came, `_reason`, NULL where every known value could be read, and for facts
    `_day`, NULL where the instant cannot be read, `_is_unknown`, whether the time is one that nobody knows, and
    `_unknown_as`, how that is written.

    What has been found of the files before, is not looked for again: of a file that `is_clean` every value is known to
    read, and `unknown_as` is all that its unknown times are written as.
    """
    kinds = {c.name: data_type(c.type) for c in columns}
    instant = str(contract.instant)
    there = [name for name in kinds if name in rows.columns]
    local = [
        n
        for n in there
        if contract.local_times and kinds[n].is_timestamp() and not getattr(rows[n].type(), "timezone", 0)
    ]
    values: dict[str, ir.Value] = {n: ibis.null(kind) for n, kind in kinds.items()}
    values |= {n: _value(rows[n], kinds[n], is_clean, n == instant) for n in there if n not in local}
    values |= {_local(n): _local_time(rows[n]) for n in local}
    values |= {_written(n): rows[n] for n in there if n in local or not (is_clean or _always_reads(rows[n], kinds[n]))}
    # Said of the row as it came, so that leaving such rows out does not make values of all others first.
    is_unknown = ibis.literal(False)
    if contract.unknown_time_table is not None:
        # A record without values has no time that is known to be unknown.
        is_unknown = rows._fault.isnull()
        if instant in there:
            is_unknown = is_unknown & _is_unknown(rows[instant], contract, unknown_as)
    read = rows.select(**values, _file=rows._file, _raw=rows._raw, _is_unknown=is_unknown, _fault=rows._fault)
    placed = read.mutate(
        **{
            n: _in_calendar(_instant(read[_local(n)], read[_written(n)], contract, timezone), n == instant)
            for n in local
        }
    )

    unread = {n: _cannot_be_read(placed, n, contract) for n in there if _written(n) in placed.columns and not is_clean}
    faults = [(placed._fault.notnull(), placed._fault)]
    for column in (c for c in columns if c.name in unread):
        article = "an" if column.type.startswith("int") else "a"
        written = placed[_written(column.name)].cast("string").strip()
        faults.append((unread[column.name], f"{column.name}: '" + written + f"' is not {article} {column.type}"))
    found: dict[str, ir.Value] = {n: placed[n] for n in kinds}
    if contract.kind is Kind.FACTS:
        local_day = day_of_local(placed[_local(instant)], timezone) if instant in local else None
        day = contract.day_of(placed, timezone, first_day, local_day)
        found |= {"_day": placed._is_unknown.ifelse(UNKNOWN_DAY, day), "_is_unknown": placed._is_unknown}
        nothing, is_text = ibis.null("string"), instant in local and rows[instant].type().is_string()
        unknown_text = placed._is_unknown.ifelse(placed[_written(instant)], nothing) if is_text else nothing
        found |= {"_unknown_as": unknown_text}
    reason = ibis.cases(*faults, else_=ibis.null("string"))
    return placed.select(**found, _file=placed._file, _raw=placed._raw, _reason=reason)


def with_faults(rows: ir.Table, contract: Contract, columns: Sequence[Column]) -> ir.Table:
    """`rows` with `_reason` set also where a value is unknown that has to be known, or breaks a rule of its column."""
    broken = [(rows._reason.notnull(), rows._reason)]
    for column in columns:
        value = rows[column.name]
        if not column.nullable:
            broken.append((value.isnull(), ibis.literal(f"{column.name} is NULL")))
        for rule in column.checks:
            breaks = value.notnull() & ~rule.holds(value).fill_null(False)
            broken.append((breaks, f"{column.name}: " + value.cast("string") + f" is not {rule.description}"))
    return rows.mutate(_reason=ibis.cases(*broken, else_=ibis.null("string")))


def readable_as(found: types.DataType, column: Column, is_text: bool) -> bool:
    """Whether a file's type reads as the column's, single values aside: those that do not fit are quarantined."""
    wanted = data_type(column.type)
    if found.is_null() or (found.is_string() and is_text):
        return True
    if wanted.is_integer():
        return bool(found.is_integer())
    if wanted.is_decimal():
        return bool(found.is_integer() or found.is_decimal())
    if wanted.is_floating():
        return bool(found.is_numeric())
    return type(found) is type(wanted)


def _written(name: str) -> str:
    return f"_written_{name}"


def _local(name: str) -> str:
    return f"_local_{name}"


def _always_reads(found: ir.Value, kind: types.DataType) -> bool:
    return bool(found.type().is_null() or (found.type() == kind and not kind.is_temporal()))


def _in_calendar(value: ir.Value, is_instant: bool) -> ir.Value:
    """A time or date of the years 1 to 9999, else NULL: no other can be shown, compared or named as a day.

    An instant by which rows are told apart by day is in these years wherever its day is.
    """
    if not (value.type().is_timestamp() or value.type().is_date()):
        return value
    first, last = FIRST_DAY_OF_ALL, LAST_DAY_OF_ALL
    if value.type().is_timestamp():
        margin = dt.timedelta(days=int(is_instant))
        begin = dt.datetime.combine(first + margin, dt.time.min)
        end = dt.datetime.combine(last - margin, dt.time.max)
        bounds = (
            ibis.literal(begin.replace(tzinfo=dt.UTC), type=INSTANT),
            ibis.literal(end.replace(tzinfo=dt.UTC), type=INSTANT),
        )
    else:
        bounds = (ibis.literal(first), ibis.literal(last))
    return value.between(*bounds).ifelse(value, ibis.null(value.type()))


def _value(found: ir.Value, kind: types.DataType, is_clean: bool = False, is_instant: bool = False) -> ir.Value:
    """A file's value as its column's type, NULL where it cannot be read."""
    if _always_reads(found, kind) or found.type().is_temporal():
        value = found.cast(kind)
        return value if is_clean else _in_calendar(value, is_instant)
    if found.type().is_string() and not is_clean:
        # Engines read more than one would write: 0x1F, 1_000, 12.5 as 13, `epoch`, names of zones.
        found = found.re_search(_alone(_pattern(kind))).ifelse(found, ibis.null("string"))
    value = found.try_cast(kind)
    return value if is_clean else _in_calendar(value, is_instant)


def _local_time(found: ir.Value) -> ir.Value:
    """A time that names no zone."""
    if found.type().is_string():
        found = found.re_search(_alone(TIME)).ifelse(found, ibis.null("string"))
    return found.try_cast(LOCAL_TIME)


def _instant(local: ir.TimestampValue, written: ir.Value, contract: Contract, timezone: str) -> ir.Value:
    """The instant of a local time, or the one that is written with its zone."""
    known = local.notnull() & ~_stands_for_unknown(local, contract)
    instant = known.ifelse(instant_of(local, timezone), ibis.null(INSTANT))
    if not written.type().is_string():
        return instant
    return local.isnull().ifelse(_value(written, INSTANT), instant)


def _is_unknown(written: ir.Value, contract: Contract, written_as: Sequence[str] | None) -> ir.BooleanValue:
    """Whether a time is known to be unknown: none, or what the contract says stands for it."""
    none = written.isnull()
    if written.type().is_string():
        if written_as is not None:
            return none | written.isin(list(written_as)) if written_as else none
        local = _local_time(written)
        # What reads as a time is not looked through for blanks.
        blank = none | ~written.re_search(NOT_BLANK)
        return local.notnull().ifelse(_stands_for_unknown(local, contract), blank)
    return none | _stands_for_unknown(_local_time(written), contract)


def _stands_for_unknown(local: ir.TimestampValue, contract: Contract) -> ir.BooleanValue:
    if contract.unknown_time is None:
        return ibis.literal(False)
    return (local == ibis.literal(contract.unknown_time, type=LOCAL_TIME)).fill_null(False)


def _cannot_be_read(placed: ir.Table, name: str, contract: Contract) -> ir.BooleanValue:
    written, value = placed[_written(name)], placed[name]
    unread = written.notnull() & value.isnull()
    if _local(name) in placed.columns:
        unread = unread & placed[_local(name)].isnull()
    if written.type().is_string():
        unread = unread & written.re_search(NOT_BLANK)
    if value.type().is_decimal() and not written.type().is_integer():
        # A cast rounds; a decimal of the most digits there are keeps all that is written (`_pattern`).
        widest = types.Decimal(38, 38 - value.type().precision + value.type().scale)
        rounded = (written.try_cast(widest) != value).fill_null(False)
        if written.type().is_string():
            rounded = written.re_search(rf"[.][0-9]{{{value.type().scale}}}[0-9]|[eE]").ifelse(rounded, False)
        return unread | (written.notnull() & rounded)
    return unread


def _pattern(kind: types.DataType) -> str:
    """How a value of a type is written in text."""
    if kind.is_integer():
        return "[+-]?[0-9]+"
    if kind.is_date():
        return DATE
    if kind.is_timestamp():
        return f"{TIME}({ZONE})?"
    if kind.is_decimal():
        most = 38 - kind.precision + kind.scale
        return rf"[+-]?([0-9]+([.][0-9]{{0,{most}}})?|[.][0-9]{{1,{most}}}|{SCIENTIFIC})"
    return "[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]+)?"


def _alone(pattern: str) -> str:
    return rf"^{BLANKS}*({pattern}){BLANKS}*$"
