"""The rules of sessions that more than one table states."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.functions import from_utc_timestamp, in_repeated_time, unix_millis, unix_seconds

# Lines of one session in their order: time, then the user as a number, then everything that a line says.
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


def session_id(start: ir.TimestampValue, device_id: ir.StringValue, timezone: str) -> ir.StringValue:
    """`yyyyMMddHHmmssSSS` of the start in the business timezone, `|`, device.

    In the second pass of an hour that the clocks repeat, the digits are followed by `F`, so that the id stays unique.
    """
    digits = from_utc_timestamp(start, timezone).strftime("%Y%m%d%H%M%S")
    millis = (unix_millis(start) % 1000).cast("string").lpad(3, "0")
    second_pass = in_repeated_time(start, timezone).ifelse("F", "")
    return digits + millis + second_pass + "|" + device_id


def duration_seconds(start: ir.TimestampValue, end: ir.TimestampValue) -> ir.IntegerValue:
    """Seconds that a session lasts: both ends count, so that a single line is one second and never none."""
    return unix_seconds(end) - unix_seconds(start) + 1


def last_known(lines: ir.Table, by: Sequence[str], columns: Sequence[str]) -> ir.Table:
    """For each key the last known value of each column, in the order of lines; NULL where none is known.

    A line's place among others of the same instant matters only for the lines of the last instants, so only those are
    put in order.
    """
    latest = lines.group_by(*by).aggregate(**{f"{c}_at": lines.log_dt.max(where=lines[c].notnull()) for c in columns})
    late = lines.inner_join(latest, list(by))
    late = late.filter(ibis.or_(*(late.log_dt == late[f"{c}_at"] for c in columns)))
    order = [late.log_dt, late.user_info_id.try_cast("int64").asc(nulls_first=False)]
    order += [late[c].asc(nulls_first=False) for c in LINE_ORDER]
    place = ibis.row_number().over(ibis.window(group_by=[late[c] for c in by], order_by=order))
    placed = late.select(*by, *columns, place=place)
    known = placed.group_by(*by).aggregate(
        **{c: placed[c].argmax(placed.place, where=placed[c].notnull()) for c in columns}
    )
    keys = lines.select(*by).distinct()
    return keys.left_join(known, list(by)).select(*(keys[c] for c in by), *(known[c] for c in columns))


def days_with_other_seconds(
    totals: ir.Table, total_column: str, sessions: ir.Table, id_column: str, duration_column: str
) -> ir.Table:
    """Days on which the seconds of a table by account are not those of the sessions, each once an account."""
    counted = totals.group_by("part_date").aggregate(counted=totals[total_column].sum())
    # Grouped, not made distinct: what the table itself does is not what it is compared with.
    each = sessions.group_by("part_date", "we_member_id", id_column).aggregate(seconds=sessions[duration_column].max())
    there = each.group_by("part_date").aggregate(there=each.seconds.sum())
    both = counted.outer_join(there, "part_date")
    both = both.select("counted", "there", part_date=ibis.coalesce(both.part_date, both.part_date_right))
    return both.filter((both.counted != both.there).fill_null(True))
