"""`igaworks.hard_retention_by_dates`: how many of a cohort came back after 1, 2, 3 and 7 days."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.functions import day_after
from wemart_assets.lake.inputs import same_period, trailing
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import RowCheck, Table, TableCheck, at_least, column, one_of
from wemart_assets.marts.attribution.active_user_by_event import active_user_by_event
from wemart_assets.marts.attribution.first_open import first_open
from wemart_assets.marts.attribution.rules import is_step, per, report_columns, with_user
from wemart_assets.setting_values.app_events import FIRSTOPEN, AppEvents
from wemart_assets.sources.contracts.igaworks import event

DAYS_SINCE = (0, 1, 2, 3, 7)


def _cohorts_above_their_openings(staged: ir.Table, by_event: ir.Table, app_events: AppEvents) -> ir.Table:
    openings = by_event.filter(is_step(by_event, FIRSTOPEN, app_events))
    openings = openings.group_by("part_date").aggregate(active_users=openings.active_users.sum())
    cohorts = staged.filter(staged.days_since == 0)
    days = cohorts.left_join(openings, "part_date")
    days = days.select(cohorts.part_date, cohorts.cohort_users, openings=days.active_users.fill_null(0))
    return days.filter(days.cohort_users > days.openings)


def _other_cohorts(staged: ir.Table, first_opens: ir.Table) -> ir.Table:
    sizes = first_opens.group_by(cohort="part_date").aggregate(expected=ibis._.count())
    rows = staged.left_join(sizes, staged.cohort_date.cast("string") == sizes.cohort)
    rows = rows.select(staged.part_date, staged.cohort_date, staged.cohort_users, expected=rows.expected.fill_null(0))
    return rows.filter(rows.cohort_users != rows.expected)


TABLE = Table(
    database="igaworks",
    name="hard_retention_by_dates",
    description=(
        "One row per business day and cohort of 0, 1, 2, 3 or 7 days before: its users with any event that day."
    ),
    grain=("key_date", "cohort_date"),
    columns=report_columns(
        column("cohort_date", "date", "business day of the cohort's first firstopen", nullable=False),
        column("days_since", "int", "days from cohort_date to key_date", one_of(*DAYS_SINCE), nullable=False),
        column("cohort_users", "bigint", "users of the cohort", at_least(1), nullable=False),
        column("retained_users", "bigint", "users of the cohort with any event that day", at_least(0), nullable=False),
    ),
    row_checks=(
        RowCheck(
            "within_the_cohort",
            "at most as many users came back as the cohort has",
            lambda t: t.retained_users <= t.cohort_users,
        ),
        RowCheck(
            "all_on_day_0",
            "on its own day the whole cohort is retained",
            lambda t: (t.days_since != 0) | (t.retained_users == t.cohort_users),
        ),
        RowCheck(
            "days_between",
            "cohort_date is days_since days before key_date",
            lambda t: t.key_date.delta(t.cohort_date, unit="day") == t.days_since,
        ),
    ),
    table_checks=(
        TableCheck(
            "cohorts_of_first_open", "every cohort has as many users as first_open has on its day", _other_cohorts
        ),
        TableCheck(
            "cohort_opened", "no cohort has more users than had a firstopen that day", _cohorts_above_their_openings
        ),
    ),
)


@mart(
    TABLE,
    events=same_period(event),
    first_opens=trailing(first_open, max(DAYS_SINCE) + 1),
    by_event=same_period(active_user_by_event),
)
def hard_retention_by_dates(events: ir.Table, first_opens: ir.Table, day_columns: Sequence[str]) -> ir.Table:
    """Retention by cohort. A cohort with nobody back still has a row on days with any active user.

    Over a range: users by days since their first opening. A user has only one such day per number of days.
    """
    active = with_user(events)
    sizes = first_opens.group_by(cohort="part_date").aggregate(cohort_users=ibis._.count())
    active_days = active.select("part_date").distinct()
    expected = ibis.union(
        *(
            sizes.mutate(days_since=ibis.literal(days, type="int32"), day=day_after(sizes.cohort, days))
            for days in DAYS_SINCE
        )
    )
    expected = expected.semi_join(active_days, [expected.day == active_days.part_date])
    opened = first_opens.select(user="identity_adid", cohort="part_date")
    # Only users of these cohorts are compared by day, not all active users.
    since = active.part_date.cast("date").delta(opened.cohort.cast("date"), unit="day")
    back = active.inner_join(opened, [active.identity_adid == opened.user, since.isin(DAYS_SINCE)])
    back = back.select(active_day="part_date", active_cohort="cohort", user="user").distinct()
    back = back.group_by("active_day", "active_cohort").aggregate(retained_users=ibis._.count())
    cohorts = expected.left_join(back, [expected.day == back.active_day, expected.cohort == back.active_cohort])
    rows = cohorts.select(
        "days_since",
        "cohort_users",
        part_date=cohorts.day,
        cohort_date=cohorts.cohort.cast("date"),
        retained_users=cohorts.retained_users.fill_null(0),
    )
    keys = [*day_columns, "cohort_date"] if day_columns else []
    return per(
        rows, [*keys, "days_since"], cohort_users=rows.cohort_users.sum(), retained_users=rows.retained_users.sum()
    )
