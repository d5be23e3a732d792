"""`we_mart.wv_comm_user_base`: the state of every pair of community and user, carried from day to day."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.functions import day_after, timestamp_millis
from wemart_assets.lake.inputs import previous_period, same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import PART_DATE, RUN_TIMESTAMP, RowCheck, Table, TableCheck, at_least, column, one_of
from wemart_assets.sources.contracts.we_mart import ods_wv_member_profile
from wemart_assets.sources.contracts.weverse2 import community_log_member_status_log

PAIR = ("comm_id", "wv_user_id")
# The columns of a profile row. The newest row replaces them all.
PROFILE = {
    "profile_updated_dt": "timestamp('UTC', 6)",
    "last_join_dt": "timestamp('UTC', 6)",
    "hidden": "string",
    "profile_name": "string",
    "profile_image_url": "string",
    "profile_cover_image_url": "string",
}
STATUS = {"status_dt": "timestamp('UTC', 6)", "status": "string"}
COUNTS = ("subscribe_cnt", "unsubscribe_cnt")


def _lost_pairs(staged: ir.Table, before: ir.Table, days: Sequence[str]) -> ir.Table:
    """Pairs that the day before has and a day of the run lacks."""
    pairs = ibis.union(before.select(*PAIR, "part_date"), staged.select(*PAIR, "part_date"))
    expected = pairs.mutate(part_date=day_after(pairs.part_date))
    return expected.filter(expected.part_date.isin(list(days))).anti_join(staged, [*PAIR, "part_date"])


def _days_off_count(staged: ir.Table, before: ir.Table, statuses: ir.Table, days: Sequence[str]) -> ir.Table:
    """Days whose status line counts are not those of the day before plus their own lines."""

    def lines(rows: ir.Table, day: ir.StringValue) -> ir.Table:
        pairs = rows.select(day=day, lines=rows.subscribe_cnt + rows.unsubscribe_cnt)
        return pairs.group_by("day").aggregate(actual=pairs.lines.sum())

    earlier = ibis.union(lines(before, day_after(before.part_date)), lines(staged, day_after(staged.part_date)))
    added = statuses.group_by(day="part_date").aggregate(actual=statuses.count())
    expected = ibis.union(earlier, added).group_by("day").aggregate(expected=ibis._.actual.sum())
    actual = lines(staged, staged.part_date)
    totals = expected.outer_join(actual, "day")
    totals = totals.select("expected", "actual", part_date=ibis.coalesce(totals.day, totals.day_right))
    totals = totals.filter(totals.part_date.isin(list(days)))
    return totals.filter(totals.actual.fill_null(0) != totals.expected.fill_null(0))


TABLE = Table(
    database="we_mart",
    name="wv_comm_user_base",
    description=(
        "One row per community and user ever seen in it, including users who left: their state as of the business day."
    ),
    grain=PAIR,
    columns=(
        column("comm_id", "bigint", "community", nullable=False),
        column("wv_user_id", "bigint", "Weverse user", nullable=False),
        column("first_join_dt", "timestamp", "earliest first join in any profile row (UTC)"),
        column("profile_updated_dt", "timestamp", "instant of the newest profile row (UTC)"),
        column("last_join_dt", "timestamp", "last join according to the newest profile row (UTC)"),
        column("hidden", "string", "`true` for a private profile"),
        column("profile_name", "string", "display name of the member"),
        column("profile_image_url", "string", "profile picture"),
        column("profile_cover_image_url", "string", "cover picture"),
        column("subscribe_cnt", "bigint", "number of subscribe lines so far", at_least(0), nullable=False),
        column("unsubscribe_cnt", "bigint", "number of unsubscribe lines so far", at_least(0), nullable=False),
        column("status_dt", "timestamp", "instant of the last status line (UTC)"),
        column("status", "string", "type of the last status line", one_of("subscribe", "unsubscribe")),
        PART_DATE,
        RUN_TIMESTAMP,
    ),
    row_checks=(
        RowCheck(
            "seen_by_something",
            "every pair has a profile row or a status line",
            lambda t: t.profile_updated_dt.notnull() | t.status.notnull(),
        ),
        RowCheck(
            "status_is_counted",
            "status is not null if and only if lines were counted, and lines of its type were",
            lambda t: (
                (t.status.isnull() & (t.subscribe_cnt + t.unsubscribe_cnt == 0))
                | ((t.status == "subscribe") & (t.subscribe_cnt > 0)).fill_null(False)
                | ((t.status == "unsubscribe") & (t.unsubscribe_cnt > 0)).fill_null(False)
            ),
        ),
    ),
    table_checks=(
        TableCheck("nobody_is_lost", "no pair of the day before is missing", _lost_pairs),
        TableCheck(
            "status_lines_add_up", "the counts are those of the day before plus the day's lines", _days_off_count
        ),
    ),
)


@mart(
    TABLE,
    before=previous_period(TABLE),
    profiles=same_period(ods_wv_member_profile),
    statuses=same_period(community_log_member_status_log),
)
def wv_comm_user_base(before: ir.Table, profiles: ir.Table, statuses: ir.Table, days: Sequence[str]) -> ir.Table:
    """Every pair ever seen, as of each day: the state of the day before plus the day's changes.

    The newest profile row by `updated_at` counts, and the last status line; at the same instant, unsubscribe comes
    last. The cost of a day is its changes plus one read of the day before.
    """
    changes = _changes(profiles, statuses)
    touched = changes.select(*PAIR).distinct()
    columns = [*PAIR, "first_join_dt", *PROFILE, *COUNTS, *STATUS]
    all_days = ibis.array([ibis.literal(day) for day in days]).unnest()
    unchanged = before.anti_join(touched, PAIR).select(*columns)
    carried = before.semi_join(touched, PAIR).select(*columns).mutate(day=ibis.literal(""))
    changed = _changed_pairs(carried, changes.select(*columns, "day"), days)
    return ibis.union(unchanged.mutate(part_date=all_days), changed)


def _changes(profiles: ir.Table, statuses: ir.Table) -> ir.Table:
    """One row per pair and day with a change: columns without one are NULL."""
    pair_day = [*PAIR, "day"]
    profiles = profiles.select(
        comm_id=profiles.community_id,
        wv_user_id=profiles.user_id,
        day=profiles.part_date,
        first_join_dt=timestamp_millis(profiles.first_join_at),
        last_join_dt=timestamp_millis(profiles.last_join_at),
        profile_updated_dt=timestamp_millis(profiles.updated_at),
        hidden=profiles.hidden,
        profile_name=profiles.profile_name,
        profile_image_url=profiles.profile_image_url,
        profile_cover_image_url=profiles.profile_cover_image_url,
    )
    # The source's key rules out two profile rows of a pair at one instant.
    newest = ibis.row_number().over(ibis.window(group_by=pair_day, order_by=ibis.desc("profile_updated_dt")))
    firsts = profiles.first_join_dt.min().over(ibis.window(group_by=pair_day))
    profiles = profiles.mutate(place=newest, first_join_dt=firsts)
    profiles = profiles.filter(profiles.place == 0).drop("place")

    statuses = statuses.select(
        comm_id=statuses.community_id,
        wv_user_id=statuses.user_id,
        day=statuses.part_date,
        status_dt=statuses.created_at,
        status=statuses.type,
    )
    # Alphabetical order puts unsubscribe after subscribe, as required.
    last = ibis.window(group_by=pair_day, order_by=[ibis.desc("status_dt"), ibis.desc("status")])
    whole_day = ibis.window(group_by=pair_day)
    statuses = statuses.mutate(
        place=ibis.row_number().over(last),
        subscribe_cnt=(statuses.status == "subscribe").cast("int64").sum().over(whole_day),
        unsubscribe_cnt=(statuses.status == "unsubscribe").cast("int64").sum().over(whole_day),
    )
    statuses = statuses.filter(statuses.place == 0).drop("place")
    changes = profiles.outer_join(statuses, pair_day)
    return changes.select(
        **{name: ibis.coalesce(changes[name], changes[f"{name}_right"]) for name in pair_day},
        **{name: changes[name] for name in ("first_join_dt", *PROFILE, *STATUS)},
        **{name: changes[name].fill_null(0) for name in COUNTS},
    )


def _changed_pairs(carried: ir.Table, changes: ir.Table, days: Sequence[str]) -> ir.Table:
    """The pairs that change during the run, as of each of its days."""
    rows = ibis.union(carried, changes)
    so_far = ibis.window(group_by=list(PAIR), order_by="day", rows=(None, 0))
    rows = rows.mutate(
        first_join_dt=rows.first_join_dt.min().over(so_far),
        **{name: rows[name].sum().over(so_far) for name in COUNTS},
        profiles=rows.profile_updated_dt.count().over(so_far),
        statuses=rows.status_dt.count().over(so_far),
        until=rows.day.lead().over(ibis.window(group_by=list(PAIR), order_by="day")),
    )
    # Fill forward: within a group, only the first row has values, and max() hands them to the rows after it.
    same_profile = ibis.window(group_by=[*PAIR, "profiles"])
    same_status = ibis.window(group_by=[*PAIR, "statuses"])
    rows = rows.mutate(
        **{name: rows[name].max().over(same_profile) for name in PROFILE},
        **{name: rows[name].max().over(same_status) for name in STATUS},
    )
    rows = rows.mutate(part_date=ibis.array([ibis.literal(day) for day in days]).unnest())
    rows = rows.filter(rows.day <= rows.part_date, rows.until.isnull() | (rows.part_date < rows.until))
    return rows.drop("day", "until", "profiles", "statuses")
