"""Session rules shared by several tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.functions import from_utc_timestamp, in_repeated_time, unix_millis, unix_seconds
from wemart_assets.lake.table import Measure, one_of

# Log lines are ordered by time, then user id as a number, then these columns.
LINE_ORDER = (
    "topic",
    "url",
    "params",
    "user_info_user_key",
    "user_info_device_id",
    "user_info_status",
    "user_info_ip_address",
    "user_info_locale",
    "user_info_country",
    "user_info_user_agent",
)

# For tables of members that read `sessions`.
ROWS_WITHOUT_ACCOUNT = Measure(
    "rows without an account, left out", lambda sessions: sessions.count(where=sessions.we_member_id.isnull())
)

# The kinds of users of a community, from closest to most distant.
USER_TYPES = one_of("membership", "member", "visitor")


def session_id(start: ir.TimestampValue, device_id: ir.StringValue, timezone: str) -> ir.StringValue:
    """Session id: the start in the business timezone as `yyyyMMddHHmmssSSS`, then `|`, then the device id.

    When clocks go back, an `F` follows the digits in the second pass of the repeated hour to keep the id unique.
    """
    digits = from_utc_timestamp(start, timezone).strftime("%Y%m%d%H%M%S")
    millis = (unix_millis(start) % 1000).cast("string").lpad(3, "0")
    second_pass = in_repeated_time(start, timezone).ifelse("F", "")
    return digits + millis + second_pass + "|" + device_id


def duration_seconds(start: ir.TimestampValue, end: ir.TimestampValue) -> ir.IntegerValue:
    """Whole seconds from start to end, both included: a session of a single line lasts one second, never zero."""
    return unix_seconds(end) - unix_seconds(start) + 1


def last_known(lines: ir.Table, by: Sequence[str], columns: Sequence[str]) -> ir.Table:
    """One row per key with the last non-null value of each column, in line order; NULL if a column has none.

    Ties in time matter only at the last instant of each column, so only the lines of those instants are sorted.
    """
    last_instants = lines.group_by(*by).aggregate(
        **{f"{c}_at": lines.log_dt.max(where=lines[c].notnull()) for c in columns}
    )
    last_lines = lines.inner_join(last_instants, list(by))
    last_lines = last_lines.filter(ibis.or_(*(last_lines.log_dt == last_lines[f"{c}_at"] for c in columns)))
    order = [last_lines.log_dt, last_lines.user_info_id.try_cast("int64").asc(nulls_first=False)]
    order += [last_lines[c].asc(nulls_first=False) for c in LINE_ORDER]
    place = ibis.row_number().over(ibis.window(group_by=[last_lines[c] for c in by], order_by=order))
    placed_lines = last_lines.select(*by, *columns, place=place)
    last_values = placed_lines.group_by(*by).aggregate(
        **{c: placed_lines[c].argmax(placed_lines.place, where=placed_lines[c].notnull()) for c in columns}
    )
    keys = lines.select(*by).distinct()
    return keys.left_join(last_values, list(by)).select(*(keys[c] for c in by), *(last_values[c] for c in columns))


def days_with_other_seconds(
    totals: ir.Table, total_column: str, sessions: ir.Table, id_column: str, duration_column: str
) -> ir.Table:
    """Days on which a table's total seconds differ from those of the sessions, each counted once per account."""
    actual = totals.group_by("part_date").aggregate(actual=totals[total_column].sum())
    # Grouped, where the tables themselves use distinct: a check must not repeat the expression it checks.
    sessions_per_account = sessions.group_by("part_date", "we_member_id", id_column).aggregate(
        seconds=sessions[duration_column].max()
    )
    expected = sessions_per_account.group_by("part_date").aggregate(expected=sessions_per_account.seconds.sum())
    return unequal(actual, expected, ["part_date"])


def visitor(rows: ir.Table) -> ir.StringValue:
    """The account, or the device if it is unknown, tagged by kind so that a device id never equals an account."""
    return rows.we_member_id.notnull().ifelse("m" + rows.we_member_id.cast("string"), "d" + rows.device_id)


def closeness(rows: ir.Table) -> ir.IntegerValue:
    """How close the user is to the community: 2 for holders of the artist's membership, 1 for members, else 0."""
    return ibis.cases((rows.is_fc == 1, 2), (rows.is_comm_user == 1, 1), else_=0)


def type_of(closeness: ir.IntegerValue) -> ir.StringValue:
    """`membership`, `member` or `visitor`."""
    return closeness.cases((2, "membership"), (1, "member"), else_="visitor")


def user_type(rows: ir.Table) -> ir.StringValue:
    """`membership` for holders of the artist's membership, else `member` of the community, else `visitor`."""
    return type_of(closeness(rows))


def unequal(actual: ir.Table, expected: ir.Table, by: Sequence[str]) -> ir.Table:
    """The keys `by` whose `actual` and `expected` differ, or that only one of the tables has. NULL is a key, too."""
    rows = actual.outer_join(expected, [actual[c].identical_to(expected[c]) for c in by])
    rows = rows.select("actual", "expected", **{c: ibis.coalesce(rows[c], rows[f"{c}_right"]) for c in by})
    return rows.filter((rows.actual != rows.expected).fill_null(True))


def totals(rows: ir.Table, by: Sequence[str], name: str, **measures: ir.Scalar) -> ir.Table:
    """For checks: the measures by key, one row per measure: `by`, `measure`, and the value in the column `name`."""
    summed = rows.group_by(*by).aggregate(**measures)
    values = [
        summed.select(*by, measure=ibis.literal(measure), **{name: summed[measure].cast("decimal(38, 4)").fill_null(0)})
        for measure in measures
    ]
    values = [value.filter(value[name] != 0) for value in values]
    return ibis.union(*values, distinct=False) if len(values) > 1 else values[0]


def seconds_once(sessions: ir.Table, by: Sequence[str]) -> ir.Table:
    """Seconds per key, with each user session counted once per key: `by` and `seconds`.

    For checks. Grouped, where the tables themselves use distinct: a check must not repeat the expression it checks.
    """
    user_sessions = sessions.group_by(*by, "user_sess_id").aggregate(dur=sessions.user_sess_dur.max())
    return user_sessions.group_by(*by).aggregate(seconds=user_sessions.dur.sum())


def nearest_ranks(
    values: ir.Table, by: Sequence[str], value: str, percents: Mapping[str, int], **aggregates: Callable[..., ir.Scalar]
) -> ir.Table:
    """Quantiles of a column of integers by key: the nearest rank, that is the ceil(p * n)-th of n values in order.

    `percents` names the quantiles. NULL is a key, too. `aggregates` are computed from the table of distinct values,
    of which `n` says how many there are of each.
    """
    distinct = values.group_by(*by, value).aggregate(n=values.count())
    group = [distinct[c] for c in by]
    # At least `place` values are not above this one.
    distinct = distinct.mutate(
        place=distinct.n.sum().over(ibis.window(group_by=group, order_by=distinct[value], preceding=None, following=0)),
        total=distinct.n.sum().over(ibis.window(group_by=group)),
    )
    return distinct.group_by(*by).aggregate(
        **{
            name: distinct[value].min(where=distinct.place * 100 >= distinct.total * percent)
            for name, percent in percents.items()
        },
        **{name: aggregate(distinct) for name, aggregate in aggregates.items()},
    )
