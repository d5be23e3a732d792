"""Lines of a log to sessions, and to the users in them, in one of two forms.

A session is the lines of one device on one business day in which no silence is longer than the session gap; the user
of a line is the one that it names, else the next that a line of the session names, else the last before. Lines of one
instant stand in the order of their users' numbers, those without a user last.

DuckDB puts whole lines in order more slowly than it groups and joins them (the line table takes half as long again), so
there only buckets of lines are. Spark computes what is grouped and joined once for each of its readers, the reading and
shuffling of the log included, so there the lines are put in order, after one shuffle. `benchmarks/session_mart.py` and
`benchmarks/spark_sessions.py` have the figures.
"""

from __future__ import annotations

from collections.abc import Callable

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.functions import timestamp_millis
from wemart_assets.marts.sessions.rules import session_id

DEVICE_DAY = ("date_id", "user_info_device_id")
SESSION = (*DEVICE_DAY, "sess_seq")

Form = Callable[[ir.Table, int, str], ir.Table]


def sessions_and_users(lines: ir.Table, gap: int, timezone: str, form: Form | None = None) -> ir.Table:
    """The lines with their session and user, each line once.

    Needs `date_id`, `user_info_device_id`, `unix_log_timestamp` and `user` (a number, NULL for nobody); `gap` is in
    milliseconds. Adds `sess_seq` (from 1, by device and day), `sess_id`, `user_fill` (the user of the line, a number),
    and the instants `sess_start_dt`, `sess_end_dt`, `user_sess_start_dt` and `user_sess_end_dt`. `form` is the engine's
    if not given; rows are the same by either.
    """
    form = form or (by_windows if lines.get_backend().name == "pyspark" else by_buckets)
    return form(lines, gap, timezone)


def _is_apart(silence: ir.IntegerValue, gap: int) -> ir.BooleanValue:
    """Whether a session lies only on one side of a silence; it is NULL beside a device's first and last line."""
    return silence.isnull() | (silence > gap)


def by_windows(lines: ir.Table, gap: int, timezone: str) -> ir.Table:
    """The lines in order, forwards for what began before them and backwards for what ends after them.

    Every window reads from the first line to the line itself, which takes one pass on any engine. Frames that reach
    the last line would have Spark read the rest of the device's day for each line.
    """
    at, user, nothing = ibis._.unix_log_timestamp, ibis._.user, ibis.null("int64")
    named = ibis.struct({"at": lines.unix_log_timestamp, "user": lines.user})
    lines = lines.mutate(named=lines.user.notnull().ifelse(named, ibis.null(named.type())))

    forwards = {"group_by": DEVICE_DAY, "order_by": [at, user.asc(nulls_first=False)]}
    silence = lines.unix_log_timestamp - lines.unix_log_timestamp.lag().over(ibis.window(**forwards))
    lines = lines.mutate(is_start=_is_apart(silence, gap))
    until_here = ibis.window(**forwards, rows=(None, 0))
    lines = lines.mutate(
        sess_seq=lines.is_start.cast("int64").sum().over(until_here),
        start=lines.is_start.ifelse(lines.unix_log_timestamp, nothing).max().over(until_here),
        before=lines.named.max().over(until_here),
    )

    # An end is found as a start is, not from the starts: equal lines may stand otherwise in this order than in that.
    backwards = {"group_by": DEVICE_DAY, "order_by": [at.desc(), user.desc(nulls_first=True)]}
    silence = lines.unix_log_timestamp.lag().over(ibis.window(**backwards)) - lines.unix_log_timestamp
    lines = lines.mutate(is_end=_is_apart(silence, gap))
    from_here = ibis.window(**backwards, rows=(None, 0))
    lines = lines.mutate(
        end=lines.is_end.ifelse(lines.unix_log_timestamp, nothing).min().over(from_here),
        after=lines.named.min().over(from_here),
    )

    # A user that is named in another session of the day is none of this one's.
    following = (lines.after["at"] <= lines.end).ifelse(lines.after["user"], nothing)
    preceding = (lines.before["at"] >= lines.start).ifelse(lines.before["user"], nothing)
    lines = lines.mutate(user_fill=following.fill_null(preceding))
    part = ibis.window(group_by=[*SESSION, "user_fill"])
    lines = lines.mutate(
        sess_start_dt=timestamp_millis(lines.start),
        sess_end_dt=timestamp_millis(lines.end),
        user_sess_start_dt=timestamp_millis(lines.unix_log_timestamp.min().over(part)),
        user_sess_end_dt=timestamp_millis(lines.unix_log_timestamp.max().over(part)),
    )
    lines = lines.mutate(sess_id=session_id(lines.sess_start_dt, lines.user_info_device_id, timezone))
    return lines.drop("named", "is_start", "start", "before", "is_end", "end", "after")


def by_buckets(lines: ir.Table, gap: int, timezone: str) -> ir.Table:
    """The lines in buckets as long as the gap, of which a session is a chain; only the buckets are put in order.

    Lines themselves are looked at where a session has several users.
    """
    # No two lines of a device within one bucket are further apart than the gap: a session is never split there.
    lines = lines.mutate(bucket=(lines.unix_log_timestamp // gap).cast("int64"))
    lines = lines.inner_join(_session_buckets(lines, gap, timezone), [*DEVICE_DAY, "bucket"])
    return _with_user(lines).drop("bucket", "has_users", "only_user")


def _session_buckets(lines: ir.Table, gap: int, timezone: str) -> ir.Table:
    """One row per (day, device, bucket) that has lines, with the session that all of them belong to."""
    buckets = lines.group_by(*DEVICE_DAY, "bucket").aggregate(
        first=lines.unix_log_timestamp.min(),
        last=lines.unix_log_timestamp.max(),
        lowest_user=lines.user.min(),
        highest_user=lines.user.max(),
    )
    in_time = ibis.window(group_by=DEVICE_DAY, order_by="bucket")
    silence = buckets.first - buckets["last"].lag().over(in_time)
    buckets = buckets.mutate(is_start=_is_apart(silence, gap).cast("int64"))
    so_far = ibis.window(group_by=DEVICE_DAY, order_by="bucket", rows=(None, 0))
    buckets = buckets.mutate(sess_seq=buckets.is_start.sum().over(so_far))
    session = ibis.window(group_by=SESSION)
    buckets = buckets.mutate(
        sess_start_dt=timestamp_millis(buckets.first.min().over(session)),
        sess_end_dt=timestamp_millis(buckets["last"].max().over(session)),
        lowest_user=buckets.lowest_user.min().over(session),
        highest_user=buckets.highest_user.max().over(session),
    )
    return buckets.select(
        *DEVICE_DAY,
        "bucket",
        "sess_seq",
        "sess_start_dt",
        "sess_end_dt",
        sess_id=session_id(buckets.sess_start_dt, buckets.user_info_device_id, timezone),
        has_users=(buckets.lowest_user < buckets.highest_user).fill_null(False),
        only_user=buckets.lowest_user,
    )


def _with_user(lines: ir.Table) -> ir.Table:
    shared = lines.filter(lines.has_users)
    moments = shared.group_by(*SESSION, "unix_log_timestamp").aggregate(
        first_user=shared.user.min(), last_user=shared.user.max()
    )
    moments = moments.mutate(
        known_at=moments.first_user.notnull().ifelse(moments.unix_log_timestamp, ibis.null("int64"))
    )
    order = {"group_by": SESSION, "order_by": "unix_log_timestamp"}
    following = moments.known_at.min().over(ibis.window(**order, rows=(1, None)))
    preceding = moments.known_at.max().over(ibis.window(**order, rows=(None, 0)))
    silent = moments.mutate(following=following, preceding=preceding)
    silent = silent.mutate(named_at=silent.following.fill_null(silent.preceding))
    naming = moments.select(*SESSION, named_at="unix_log_timestamp", first="first_user", last="last_user")
    silent = silent.inner_join(naming, [*SESSION, "named_at"])
    fills = silent.select(
        *DEVICE_DAY,
        fill_at=silent.unix_log_timestamp,
        fill=silent.following.notnull().ifelse(silent["first"], silent["last"]),
    )
    lines = lines.mutate(
        fill_at=(lines.has_users & lines.user.isnull()).ifelse(lines.unix_log_timestamp, ibis.null("int64"))
    )
    keys = [*DEVICE_DAY, "fill_at"]
    filled = lines.left_join(fills, keys, rname="{name}_of_fill").drop(*(f"{k}_of_fill" for k in keys))
    filled = filled.mutate(
        user_fill=ibis.cases((filled.has_users, filled.user.fill_null(filled.fill)), else_=filled.only_user)
    )
    shared = filled.filter(filled.has_users)
    parts = shared.group_by(*SESSION, shared_by=shared.user_fill).aggregate(
        part_start=shared.unix_log_timestamp.min(), part_end=shared.unix_log_timestamp.max()
    )
    filled = filled.mutate(shared_by=filled.has_users.ifelse(filled.user_fill, ibis.null("int64")))
    keys = [*SESSION, "shared_by"]
    known = filled.left_join(parts, keys, rname="{name}_of_part").drop(*(f"{k}_of_part" for k in keys))
    known = known.mutate(
        user_sess_start_dt=timestamp_millis(known.part_start).fill_null(known.sess_start_dt),
        user_sess_end_dt=timestamp_millis(known.part_end).fill_null(known.sess_end_dt),
    )
    return known.drop("fill_at", "fill", "shared_by", "part_start", "part_end")
