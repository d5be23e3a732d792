"""`we_mart.wv_comm_user_base`: what is known of every pair of community and user, carried on from day to day."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.functions import day_after, timestamp_millis
from wemart_assets.lake.inputs import own_day_before, same_day
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import PART_DATE, RUN_TIMESTAMP, RowCheck, Table, TableCheck, at_least, column, one_of
from wemart_assets.sources.contracts.we_mart import ods_wv_member_profile
from wemart_assets.sources.contracts.weverse2 import community_log_member_status_log

PAIR = ("comm_id", "wv_user_id")
# What a profile row says, as a whole: the newest one counts.
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


def _lost(staged: ir.Table, before: ir.Table, days: Sequence[str]) -> ir.Table:
    """Pairs that a day of the run does not have, and the day before it has."""
    known = ibis.union(before.select(*PAIR, "part_date"), staged.select(*PAIR, "part_date"))
    expected = known.mutate(part_date=day_after(known.part_date))
    return expected.filter(expected.part_date.isin(list(days))).anti_join(staged, [*PAIR, "part_date"])


def _uncounted(staged: ir.Table, before: ir.Table, statuses: ir.Table, days: Sequence[str]) -> ir.Table:
    """Days whose status lines are not those of the day before and their own."""

    def lines(rows: ir.Table, day: ir.StringValue) -> ir.Table:
        counted = rows.select(day=day, counted=rows.subscribe_cnt + rows.unsubscribe_cnt)
        return counted.group_by("day").aggregate(counted=counted.counted.sum())

    earlier = ibis.union(lines(before, day_after(before.part_date)), lines(staged, day_after(staged.part_date)))
    came = statuses.group_by(day="part_date").aggregate(counted=statuses.count())
    expected = ibis.union(earlier, came).group_by("day").aggregate(expected=ibis._.counted.sum())
    there = lines(staged, staged.part_date)
    both = expected.outer_join(there, "day")
    both = both.select("expected", "counted", part_date=ibis.coalesce(both.day, both.day_right))
    of_run = both.filter(both.part_date.isin(list(days)))
    return of_run.filter(of_run.counted.fill_null(0) != of_run.expected.fill_null(0))


TABLE = Table(
    database="we_mart",
    name="wv_comm_user_base",
    description=(
        "One row per community and user who was ever seen in it, leavers included: what is known of them by the day."
    ),
    grain=PAIR,
    columns=(
        column("comm_id", "bigint", "community", nullable=False),
        column("wv_user_id", "bigint", "Weverse user", nullable=False),
        column("first_join_dt", "timestamp", "earliest first join that any profile row says (UTC)"),
        column("profile_updated_dt", "timestamp", "instant of the newest profile row (UTC)"),
        column("last_join_dt", "timestamp", "last join, of the newest profile row (UTC)"),
        column("hidden", "string", "`true` for a private profile"),
        column("profile_name", "string", "name that the member shows"),
        column("profile_image_url", "string", "picture of the member"),
        column("profile_cover_image_url", "string", "picture behind the profile"),
        column("subscribe_cnt", "bigint", "subscribe lines so far", at_least(0), nullable=False),
        column("unsubscribe_cnt", "bigint", "unsubscribe lines so far", at_least(0), nullable=False),
        column("status_dt", "timestamp", "instant of the last status line (UTC)"),
        column("status", "string", "the last status line", one_of("subscribe", "unsubscribe")),
        PART_DATE,
        RUN_TIMESTAMP,
    ),
    row_checks=(
        RowCheck(
            "seen_by_something",
            "a pair is known by a profile row or a status line",
            lambda t: t.profile_updated_dt.notnull() | t.status.notnull(),
        ),
        RowCheck(
            "status_is_counted",
            "there is a last status line where any was counted, and one of its kind was",
            lambda t: (
                (t.status.isnull() & (t.subscribe_cnt + t.unsubscribe_cnt == 0))
                | ((t.status == "subscribe") & (t.subscribe_cnt > 0)).fill_null(False)
                | ((t.status == "unsubscribe") & (t.unsubscribe_cnt > 0)).fill_null(False)
            ),
        ),
    ),
    table_checks=(
        TableCheck("nobody_is_lost", "every pair of the day before is there", _lost),
        TableCheck(
            "status_lines_add_up", "the status lines are those known the day before and those of the day", _uncounted
        ),
    ),
)


@mart(
    TABLE,
    before=own_day_before(TABLE),
    profiles=same_day(ods_wv_member_profile),
    statuses=same_day(community_log_member_status_log),
)
def wv_comm_user_base(before: ir.Table, profiles: ir.Table, statuses: ir.Table, days: Sequence[str]) -> ir.Table:
    """Each pair ever seen, as of each day: the day before's state with the day's changes.

    Of profile rows the newest by `updated_at` counts, of status lines the last (of equal instants, unsubscribe is
    last). A day costs what changed and one read of the day before.
    """
    changes = _changes(profiles, statuses)
    touched = changes.select(*PAIR).distinct()
    columns = [*PAIR, "first_join_dt", *PROFILE, *COUNTS, *STATUS]
    all_days = ibis.array([ibis.literal(day) for day in days]).unnest()
    still = before.anti_join(touched, PAIR).select(*columns)
    known = before.semi_join(touched, PAIR).select(*columns).mutate(day=ibis.literal(""))
    return ibis.union(still.mutate(part_date=all_days), _carried(known, changes.select(*columns, "day"), days))


def _changes(profiles: ir.Table, statuses: ir.Table) -> ir.Table:
    """One row per pair and day on which something happened; NULL where nothing of that kind did."""
    of_day = [*PAIR, "day"]
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
    # A pair has no two profile rows of one instant: that is the source's key.
    newest = ibis.row_number().over(ibis.window(group_by=of_day, order_by=ibis.desc("profile_updated_dt")))
    firsts = profiles.first_join_dt.min().over(ibis.window(group_by=of_day))
    profiles = profiles.mutate(place=newest, first_join_dt=firsts)
    profiles = profiles.filter(profiles.place == 0).drop("place")

    statuses = statuses.select(
        comm_id=statuses.community_id,
        wv_user_id=statuses.user_id,
        day=statuses.part_date,
        status_dt=statuses.created_at,
        status=statuses.type,
    )
    # In the alphabet, too, unsubscribe comes after subscribe.
    last = ibis.window(group_by=of_day, order_by=[ibis.desc("status_dt"), ibis.desc("status")])
    of_pair = ibis.window(group_by=of_day)
    statuses = statuses.mutate(
        place=ibis.row_number().over(last),
        subscribe_cnt=(statuses.status == "subscribe").cast("int64").sum().over(of_pair),
        unsubscribe_cnt=(statuses.status == "unsubscribe").cast("int64").sum().over(of_pair),
    )
    statuses = statuses.filter(statuses.place == 0).drop("place")
    both = profiles.outer_join(statuses, of_day)
    return both.select(
        **{name: ibis.coalesce(both[name], both[f"{name}_right"]) for name in of_day},
        **{name: both[name] for name in ("first_join_dt", *PROFILE, *STATUS)},
        **{name: both[name].fill_null(0) for name in COUNTS},
    )


def _carried(known: ir.Table, changes: ir.Table, days: Sequence[str]) -> ir.Table:
    """The pairs that changed in the run, as of each of its days."""
    rows = ibis.union(known, changes)
    so_far = ibis.window(group_by=list(PAIR), order_by="day", rows=(None, 0))
    rows = rows.mutate(
        first_join_dt=rows.first_join_dt.min().over(so_far),
        **{name: rows[name].sum().over(so_far) for name in COUNTS},
        profiles=rows.profile_updated_dt.count().over(so_far),
        statuses=rows.status_dt.count().over(so_far),
        until=rows.day.lead().over(ibis.window(group_by=list(PAIR), order_by="day")),
    )
    # What a row does not say itself is what the last one said that did: the only one of its group that says anything.
    said_by_profile = ibis.window(group_by=[*PAIR, "profiles"])
    said_by_status = ibis.window(group_by=[*PAIR, "statuses"])
    rows = rows.mutate(
        **{name: rows[name].max().over(said_by_profile) for name in PROFILE},
        **{name: rows[name].max().over(said_by_status) for name in STATUS},
    )
    rows = rows.mutate(part_date=ibis.array([ibis.literal(day) for day in days]).unnest())
    rows = rows.filter(rows.day <= rows.part_date, rows.until.isnull() | (rows.part_date < rows.until))
    return rows.drop("day", "until", "profiles", "statuses")
