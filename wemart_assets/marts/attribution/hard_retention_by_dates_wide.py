"""`igaworks.hard_retention_by_dates_wide`: the usual retention table, with one row per cohort."""

from __future__ import annotations

import ibis.expr.types as ir

from wemart_assets.lake.table import Table, column
from wemart_assets.lake.view import view
from wemart_assets.marts.attribution.hard_retention_by_dates import DAYS_SINCE, hard_retention_by_dates

TABLE = Table(
    database="igaworks",
    name="hard_retention_by_dates_wide",
    description=("One row per cohort: its users, and those active so many days later; NULL for days not computed yet."),
    grain=("cohort_date",),
    columns=(
        column("cohort_date", "date", "business day of the cohort's first firstopen"),
        column("cohort_users", "bigint", "users of the cohort"),
        *(column(f"day_{days}", "bigint", f"of them, users with any event {days} days later") for days in DAYS_SINCE),
        column("part_date", "string", "the cohort's business day"),
    ),
)


@view(TABLE, retention=hard_retention_by_dates)
def hard_retention_by_dates_wide(retention: ir.Table) -> ir.Table:
    """Retention by cohort, in columns. A day without any active user is NULL too, because it has no row."""
    wide = retention.group_by("cohort_date").aggregate(
        cohort_users=retention.cohort_users.max(),
        **{f"day_{n}": retention.retained_users.max(where=retention.days_since == n) for n in DAYS_SINCE},
    )
    return wide.mutate(part_date=wide.cohort_date.cast("string"))
