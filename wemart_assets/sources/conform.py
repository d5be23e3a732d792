"""Converts rows of landing files to the columns of their contract, and says what is wrong with rows that do not fit.

The conversion is a few projections, one after another, so that an expression that is used several times is computed
once: text is parsed, local times become instants, then rows get their business day and reason. Spaces around values
other than text are ignored, and such a value that is only spaces is NULL.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

import ibis
import ibis.expr.datatypes as types
import ibis.expr.types as ir

from wemart_assets.lake.functions import INSTANT, LOCAL_TIME, day_of_local, instant_of
from wemart_assets.lake.table import Column, data_type
from wemart_assets.sources.contract import UNKNOWN_DAY, Contract, Kind

FIRST_DAY_OF_ALL, LAST_DAY_OF_ALL = dt.date.min, dt.date.max
DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
TIME = rf"{DATE}([ T]([01][0-9]|2[0-3]):[0-9]{{2}}(:[0-9]{{2}}([.][0-9]+)?)?)?"
# No more than what both engines read.
ZONE = r"(Z| ?UTC|[+-](0[0-9]|1[0-4])(:?[0-5][0-9])?)"
BLANKS, NOT_BLANK = r"[ \t\n\r\f\v]", r"[^ \t\n\r\f\v]"
# A number as Java writes a double, with no more than 24 decimals.
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
    """The file's rows as these columns of the contract, with their types; a value that cannot be read is NULL.

    More columns: `_file` and `_raw` as in `rows`; `_reason`, NULL if every value could be read; and for facts `_day`,
    NULL if the instant cannot be read, `_is_unknown`, whether the time is unknown, and `_unknown_as`, the text that
    says so.

    What is already known about the files saves work: if they are `is_clean`, every value can be read, and `unknown_as`
    lists every text that stands for an unknown time in them.
    """
    kinds = {c.name: data_type(c.type) for c in columns}
    instant = str(contract.instant)
    present = [name for name in kinds if name in rows.columns]
    local = [
        n
        for n in present
        if contract.local_times and kinds[n].is_timestamp() and not getattr(rows[n].type(), "timezone", 0)
    ]
    parsed = _parsed(rows, contract, kinds, local, unknown_as, is_clean)
    typed = parsed.mutate(
        **{
            n: _in_calendar(_instant(parsed[_local(n)], parsed[_original(n)], contract, timezone), n == instant)
            for n in local
        }
    )

    unreadable = {n: _is_unreadable(typed, n) for n in present if _original(n) in typed.columns and not is_clean}
    faults = [(typed._fault.notnull(), typed._fault)]
    for column in (c for c in columns if c.name in unreadable):
        article = "an" if column.type.startswith("int") else "a"
        text = typed[_original(column.name)].cast("string").strip()
        faults.append((unreadable[column.name], f"{column.name}: '" + text + f"' is not {article} {column.type}"))
    values: dict[str, ir.Value] = {n: typed[n] for n in kinds}
    if contract.kind is Kind.FACTS:
        local_day = day_of_local(typed[_local(instant)], timezone) if instant in local else None
        day = contract.day_of(typed, timezone, first_day, local_day)
        values |= {"_day": typed._is_unknown.ifelse(UNKNOWN_DAY, day), "_is_unknown": typed._is_unknown}
        null, is_text = ibis.null("string"), instant in local and rows[instant].type().is_string()
        unknown_text = typed._is_unknown.ifelse(typed[_original(instant)], null) if is_text else null
        values |= {"_unknown_as": unknown_text}
    reason = ibis.cases(*faults, else_=ibis.null("string"))
    return typed.select(**values, _file=typed._file, _raw=typed._raw, _reason=reason)


def _parsed(
    rows: ir.Table,
    contract: Contract,
    kinds: Mapping[str, types.DataType],
    local: Sequence[str],
    unknown_as: Sequence[str] | None,
    is_clean: bool,
) -> ir.Table:
    """`rows` with parsed values, NULL in the `local` columns, whose local times and original texts are beside them."""
    instant = str(contract.instant)
    present = [name for name in kinds if name in rows.columns]
    values: dict[str, ir.Value] = {n: ibis.null(kind) for n, kind in kinds.items()}
    values |= {n: _value(rows[n], kinds[n], is_clean, n == instant) for n in present if n not in local}
    values |= {_local(n): _local_time(rows[n]) for n in local}
    values |= {
        _original(n): rows[n] for n in present if n in local or not (is_clean or _always_fits(rows[n], kinds[n]))
    }
    # Computed from the original text, so that a filter on it does not parse the values of the rows it removes.
    is_unknown = ibis.literal(False)
    if contract.unknown_time_table is not None:
        # A malformed record has no values, so its time is not among the unknown ones.
        is_unknown = rows._fault.isnull()
        if instant in present:
            is_unknown = is_unknown & _is_unknown(rows[instant], contract, unknown_as)
    return rows.select(**values, _file=rows._file, _raw=rows._raw, _is_unknown=is_unknown, _fault=rows._fault)


def with_faults(rows: ir.Table, contract: Contract, columns: Sequence[Column]) -> ir.Table:
    """`rows` with `_reason` also set where a value is NULL but must not be, or breaks a check of its column."""
    faults = [(rows._reason.notnull(), rows._reason)]
    for column in columns:
        value = rows[column.name]
        if not column.nullable:
            faults.append((value.isnull(), ibis.literal(f"{column.name} is NULL")))
        for check in column.checks:
            breaks = value.notnull() & ~check.holds(value).fill_null(False)
            faults.append((breaks, f"{column.name}: " + value.cast("string") + f" is not {check.description}"))
    return rows.mutate(_reason=ibis.cases(*faults, else_=ibis.null("string")))


def by_key(rows: ir.Table, contract: Contract) -> ir.Table:
    """`rows` with `_is_repeated`, true for all but one of several equal rows if the contract has a key.

    Among different rows with the same key, all but the first get a `_reason`.
    """
    keys = [*([contract.key] if contract.key else []), *contract.unique_where_known]
    columns = [c.name for c in contract.columns]
    if contract.first_by is not None:
        columns.sort(key=lambda name: name != contract.first_by)
    rows = rows.mutate(_is_repeated=ibis.literal(False))
    for key in keys:
        is_candidate = rows._reason.isnull() & ~rows._is_repeated & ibis.and_(*(rows[c].notnull() for c in key))
        # Other rows form groups of their own, so that candidates are not compared with them.
        group = [rows[contract.day_column], is_candidate, *(rows[c] for c in key)]
        order = [rows[c].asc(nulls_first=False) for c in columns]
        window = ibis.window(group_by=group, order_by=order)
        ranked = rows.mutate(
            _is_candidate=is_candidate, _place=ibis.row_number().over(window), _rank=ibis.dense_rank().over(window)
        )
        reason = f"another row has the same {', '.join(key)}"
        repeats = ranked._is_candidate & (ranked._place > 0) & (ranked._rank == 0)
        rows = ranked.mutate(
            _is_repeated=ranked._is_repeated | repeats,
            _reason=(ranked._is_candidate & (ranked._rank > 0)).ifelse(reason, ranked._reason),
        )
        rows = rows.drop("_is_candidate", "_place", "_rank")
    return rows


def readable_as(file_type: types.DataType, column: Column, is_text: bool) -> bool:
    """Whether values of a file's type can be read as the column's type; single values that cannot are quarantined."""
    column_type = data_type(column.type)
    if file_type.is_null() or (file_type.is_string() and is_text):
        return True
    if column_type.is_integer():
        return bool(file_type.is_integer())
    if column_type.is_decimal():
        return bool(file_type.is_integer() or file_type.is_decimal())
    if column_type.is_floating():
        return bool(file_type.is_numeric())
    return type(file_type) is type(column_type)


def _original(name: str) -> str:
    return f"_original_{name}"


def _local(name: str) -> str:
    return f"_local_{name}"


def _always_fits(value: ir.Value, kind: types.DataType) -> bool:
    return bool(value.type().is_null() or (value.type() == kind and not kind.is_temporal()))


def _in_calendar(value: ir.Value, is_instant: bool) -> ir.Value:
    """A time or date in the years 1 to 9999, else NULL: others cannot be shown, compared or named as a day.

    The instant that decides the business day keeps a day's distance, so that its day lies in these years everywhere.
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


def _value(original: ir.Value, kind: types.DataType, is_clean: bool = False, is_instant: bool = False) -> ir.Value:
    """A file's value as its column's type; NULL if it cannot be read."""
    if _always_fits(original, kind) or original.type().is_temporal():
        value = original.cast(kind)
        return value if is_clean else _in_calendar(value, is_instant)
    if original.type().is_string() and not is_clean:
        # Engines accept more than people mean: 0x1F, 1_000, 12.5 as 13, `epoch`, timezone names.
        original = original.re_search(_entire(_pattern(kind))).ifelse(original, ibis.null("string"))
    value = original.try_cast(kind)
    return value if is_clean else _in_calendar(value, is_instant)


def _local_time(original: ir.Value) -> ir.Value:
    """A time without a timezone; NULL if it cannot be read as one."""
    if original.type().is_string():
        original = original.re_search(_entire(TIME)).ifelse(original, ibis.null("string"))
    return original.try_cast(LOCAL_TIME)


def _instant(local: ir.TimestampValue, original: ir.Value, contract: Contract, timezone: str) -> ir.Value:
    """The instant of a local time, or of a text that names its timezone."""
    has_time = local.notnull() & ~_means_unknown(local, contract)
    instant = has_time.ifelse(instant_of(local, timezone), ibis.null(INSTANT))
    if not original.type().is_string():
        return instant
    return local.isnull().ifelse(_value(original, INSTANT), instant)


def _is_unknown(original: ir.Value, contract: Contract, unknown_as: Sequence[str] | None) -> ir.BooleanValue:
    """Whether a time is unknown: NULL, blank, or the value that means unknown in the contract."""
    is_null = original.isnull()
    if original.type().is_string():
        if unknown_as is not None:
            return is_null | original.isin(list(unknown_as)) if unknown_as else is_null
        local = _local_time(original)
        # Only text that does not read as a time is searched for blanks.
        is_blank = is_null | ~original.re_search(NOT_BLANK)
        return local.notnull().ifelse(_means_unknown(local, contract), is_blank)
    return is_null | _means_unknown(_local_time(original), contract)


def _means_unknown(local: ir.TimestampValue, contract: Contract) -> ir.BooleanValue:
    if contract.unknown_time is None:
        return ibis.literal(False)
    return (local == ibis.literal(contract.unknown_time, type=LOCAL_TIME)).fill_null(False)


def _is_unreadable(typed: ir.Table, name: str) -> ir.BooleanValue:
    original, value = typed[_original(name)], typed[name]
    is_unreadable = original.notnull() & value.isnull()
    if _local(name) in typed.columns:
        is_unreadable = is_unreadable & typed[_local(name)].isnull()
    if original.type().is_string():
        is_unreadable = is_unreadable & original.re_search(NOT_BLANK)
    if value.type().is_decimal() and not original.type().is_integer():
        # A cast rounds. The widest decimal keeps every digit that `_pattern` accepts, so it shows what was rounded.
        widest = types.Decimal(38, 38 - value.type().precision + value.type().scale)
        rounded = (original.try_cast(widest) != value).fill_null(False)
        if original.type().is_string():
            rounded = original.re_search(rf"[.][0-9]{{{value.type().scale}}}[0-9]|[eE]").ifelse(rounded, False)
        return is_unreadable | (original.notnull() & rounded)
    return is_unreadable


def _pattern(kind: types.DataType) -> str:
    """A regular expression for the text of a value of a type."""
    if kind.is_integer():
        return "[+-]?[0-9]+"
    if kind.is_date():
        return DATE
    if kind.is_timestamp():
        return f"{TIME}({ZONE})?"
    if kind.is_decimal():
        max_decimals = 38 - kind.precision + kind.scale
        return rf"[+-]?([0-9]+([.][0-9]{{0,{max_decimals}}})?|[.][0-9]{{1,{max_decimals}}}|{SCIENTIFIC})"
    return "[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]+)?"


def _entire(pattern: str) -> str:
    return rf"^{BLANKS}*({pattern}){BLANKS}*$"
