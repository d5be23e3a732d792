"""From log lines to sessions and their users, in two equivalent forms.

A session is a run of lines of one device on one business day without a silence longer than the session gap. The user of
a line is the one it names, else the next one named in the session, else the previous one. Lines of the same instant are
ordered by user number, with those without a user last.

On DuckDB, sorting all lines is slower than grouping and joining them (the line table takes half as long again), so that
form sorts only buckets of lines. Spark recomputes grouped and joined inputs for each reader, including the scan and
shuffle of the log, so that form sorts the lines themselves, after a single shuffle. See `benchmarks/session_mart.py`
and `benchmarks/spark_sessions.py` for figures.
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.functions import timestamp_millis
from wemart_assets.marts.sessions.rules import session_id
from wemart_assets.setting_values.session_form import SessionForm

DEVICE_DAY = ("date_id", "user_info_device_id")
SESSION = (*DEVICE_DAY, "sess_seq")


def sessions_and_users(lines: ir.Table, gap: int, timezone: str, form: SessionForm) -> ir.Table:
    """Every line once, with its session and user.

    `lines` needs `date_id`, `user_info_device_id`, `unix_log_timestamp` (milliseconds) and `user` (a number, NULL if
    nobody is logged in); `gap` is in milliseconds. Adds `sess_seq` (from 1 per device and day), `sess_id`, `user_fill`
    (the user of the line, a number) and the instants `sess_start_dt`, `sess_end_dt`, `user_sess_start_dt` and
    `user_sess_end_dt`. Both forms give the same rows.
    """
    match form:
        case SessionForm.BUCKETS:
            return _by_buckets(lines, gap, timezone)
        case SessionForm.WINDOWS:
            return _by_windows(lines, gap, timezone)


def _separates(silence: ir.IntegerValue, gap: int) -> ir.BooleanValue:
    """Whether a silence separates two sessions. It is NULL before a device's first line and after its last."""
    return silence.isnull() | (silence > gap)


def _by_windows(lines: ir.Table, gap: int, timezone: str) -> ir.Table:
    """Sorts the lines forwards to find what started before each of them, and backwards to find what ends after.

    Every window runs from the first line to the current one, which takes one pass on any engine. With frames that run
    to the last line, Spark would read the rest of the device's day for every line.
    """
    at, user, nothing = ibis._.unix_log_timestamp, ibis._.user, ibis.null("int64")
    named = ibis.struct({"at": lines.unix_log_timestamp, "user": lines.user})
    lines = lines.mutate(named=lines.user.notnull().ifelse(named, ibis.null(named.type())))

    forwards = {"group_by": DEVICE_DAY, "order_by": [at, user.asc(nulls_first=False)]}
    silence = lines.unix_log_timestamp - lines.unix_log_timestamp.lag().over(ibis.window(**forwards))
    lines = lines.mutate(is_start=_separates(silence, gap))
    until_here = ibis.window(**forwards, rows=(None, 0))
    lines = lines.mutate(
        sess_seq=lines.is_start.cast("int64").sum().over(until_here),
        start=lines.is_start.ifelse(lines.unix_log_timestamp, nothing).max().over(until_here),
        before=lines.named.max().over(until_here),
    )

    # Ends are found like starts, not derived from them: equal lines may be sorted differently in the two directions.
    backwards = {"group_by": DEVICE_DAY, "order_by": [at.desc(), user.desc(nulls_first=True)]}
    silence = lines.unix_log_timestamp.lag().over(ibis.window(**backwards)) - lines.unix_log_timestamp
    lines = lines.mutate(is_end=_separates(silence, gap))
    from_here = ibis.window(**backwards, rows=(None, 0))
    lines = lines.mutate(
        end=lines.is_end.ifelse(lines.unix_log_timestamp, nothing).min().over(from_here),
        after=lines.named.min().over(from_here),
    )

    # Users named only in the device's other sessions that day do not count.
    following = (lines.after["at"] <= lines.end).ifelse(lines.after["user"], nothing)
    preceding = (lines.before["at"] >= lines.start).ifelse(lines.before["user"], nothing)
    lines = lines.mutate(user_fill=following.fill_null(preceding))
    user_session = ibis.window(group_by=[*SESSION, "user_fill"])
    lines = lines.mutate(
        sess_start_dt=timestamp_millis(lines.start),
        sess_end_dt=timestamp_millis(lines.end),
        user_sess_start_dt=timestamp_millis(lines.unix_log_timestamp.min().over(user_session)),
        user_sess_end_dt=timestamp_millis(lines.unix_log_timestamp.max().over(user_session)),
    )
    lines = lines.mutate(sess_id=session_id(lines.sess_start_dt, lines.user_info_device_id, timezone))
    return lines.drop("named", "is_start", "start", "before", "is_end", "end", "after")


def _by_buckets(lines: ir.Table, gap: int, timezone: str) -> ir.Table:
    """Groups lines into buckets as long as the gap and sorts only the buckets; a session is a chain of them.

    Single lines are looked at only in sessions with several users.
    """
    # Lines of a device within one bucket are never further apart than the gap, so no session splits inside a bucket.
    lines = lines.mutate(bucket=(lines.unix_log_timestamp // gap).cast("int64"))
    lines = lines.inner_join(_session_buckets(lines, gap, timezone), [*DEVICE_DAY, "bucket"])
    return _with_user(lines).drop("bucket", "has_users", "only_user")


def _session_buckets(lines: ir.Table, gap: int, timezone: str) -> ir.Table:
    """One row per day, device and bucket with lines, with the session that these lines belong to."""
    buckets = lines.group_by(*DEVICE_DAY, "bucket").aggregate(
        first=lines.unix_log_timestamp.min(),
        last=lines.unix_log_timestamp.max(),
        lowest_user=lines.user.min(),
        highest_user=lines.user.max(),
    )
    in_time = ibis.window(group_by=DEVICE_DAY, order_by="bucket")
    silence = buckets.first - buckets["last"].lag().over(in_time)
    buckets = buckets.mutate(is_start=_separates(silence, gap).cast("int64"))
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
    """Adds the user of each line, and the bounds of their part of the session."""
    return _with_user_bounds(_with_user_fill(lines))


def _user_fills(lines: ir.Table) -> ir.Table:
    """For each instant of a session with several users, the user of its lines without one."""
    shared = lines.filter(lines.has_users)
    instants = shared.group_by(*SESSION, "unix_log_timestamp").aggregate(
        first_user=shared.user.min(), last_user=shared.user.max()
    )
    instants = instants.mutate(
        known_at=instants.first_user.notnull().ifelse(instants.unix_log_timestamp, ibis.null("int64"))
    )
    order = {"group_by": SESSION, "order_by": "unix_log_timestamp"}
    following = instants.known_at.min().over(ibis.window(**order, rows=(1, None)))
    preceding = instants.known_at.max().over(ibis.window(**order, rows=(None, 0)))
    fills = instants.mutate(following=following, preceding=preceding)
    fills = fills.mutate(named_at=fills.following.fill_null(fills.preceding))
    naming = instants.select(*SESSION, named_at="unix_log_timestamp", first="first_user", last="last_user")
    fills = fills.inner_join(naming, [*SESSION, "named_at"])
    return fills.select(
        *DEVICE_DAY,
        fill_at=fills.unix_log_timestamp,
        fill=fills.following.notnull().ifelse(fills["first"], fills["last"]),
    )


def _with_user_fill(lines: ir.Table) -> ir.Table:
    """Adds `user_fill`, and `fill_at` and `fill`, from which it is taken."""
    fills = _user_fills(lines)
    lines = lines.mutate(
        fill_at=(lines.has_users & lines.user.isnull()).ifelse(lines.unix_log_timestamp, ibis.null("int64"))
    )
    keys = [*DEVICE_DAY, "fill_at"]
    filled = lines.left_join(fills, keys, rname="{name}_of_fill").drop(*(f"{k}_of_fill" for k in keys))
    return filled.mutate(
        user_fill=ibis.cases((filled.has_users, filled.user.fill_null(filled.fill)), else_=filled.only_user)
    )


def _with_user_bounds(lines: ir.Table) -> ir.Table:
    """Adds the first and last instant of the line's user in the session: the session's own if it has just one user."""
    shared = lines.filter(lines.has_users)
    parts = shared.group_by(*SESSION, shared_by=shared.user_fill).aggregate(
        part_start=shared.unix_log_timestamp.min(), part_end=shared.unix_log_timestamp.max()
    )
    lines = lines.mutate(shared_by=lines.has_users.ifelse(lines.user_fill, ibis.null("int64")))
    keys = [*SESSION, "shared_by"]
    lines = lines.left_join(parts, keys, rname="{name}_of_part").drop(*(f"{k}_of_part" for k in keys))
    lines = lines.mutate(
        user_sess_start_dt=timestamp_millis(lines.part_start).fill_null(lines.sess_start_dt),
        user_sess_end_dt=timestamp_millis(lines.part_end).fill_null(lines.sess_end_dt),
    )
    return lines.drop("fill_at", "fill", "shared_by", "part_start", "part_end")
