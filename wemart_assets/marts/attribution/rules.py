"""Attribution rules shared by several reports."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.table import KEY_DATE, PART_DATE, RUN_TIMESTAMP, Column, Table, at_least, column
from wemart_assets.setting_values.app_events import AppEvents
from wemart_assets.sources.contracts.igaworks import attribution

NEW_INSTALL = 0
# The row of users without a campaign (or partner).
NONE = "(none)"

# The table of attributions with an unknown time.
assert attribution.unknown_time_table is not None
ATTRIBUTION_UNKNOWN_TIME: Table = attribution.unknown_time_table

DAY_COLUMNS = (PART_DATE, RUN_TIMESTAMP)
ACTIVE_USERS = column("active_users", "bigint", "users with any event", at_least(1), nullable=False)
PURCHASE_USERS = column("purchase_users", "bigint", "users with a purchase", at_least(0), nullable=False)
TOTAL_PRICE = column("total_price", "decimal(38,4)", "sum of the prices of all purchases", nullable=False)
CAMPAIGN = column("campaign", "string", f"campaign, `{NONE}` for users without one by that day", nullable=False)


def report_columns(*columns: Column) -> tuple[Column, ...]:
    """The columns of a daily report: the day, its own columns, the partition and the run's timestamp."""
    return (KEY_DATE, *columns, *DAY_COLUMNS)


def with_user(rows: ir.Table) -> ir.Table:
    """The rows with an advertising id; an empty id counts as none."""
    return rows.filter(rows.identity_adid.notnull() & (rows.identity_adid != ""))


def is_step(events: ir.Table, step: str, app_events: AppEvents) -> ir.BooleanValue:
    """Whether an event has any of the names of the funnel step."""
    return events.event_name.isin(app_events.by_step()[step]).fill_null(False)


def per(rows: ir.Table, keys: Sequence[str], **metrics: ir.Scalar) -> ir.Table:
    """The metrics by key, or a single row if there are no keys. Adds `key_date` if the day is among the keys."""
    report = rows.group_by(*keys).aggregate(**metrics) if keys else rows.aggregate(**metrics)
    return report.mutate(key_date=report.part_date.cast("date")) if "part_date" in keys else report


def user_count(
    user_days: ir.Table, day_columns: Sequence[str], where: ir.BooleanValue | None = None
) -> ir.IntegerScalar:
    """Number of users, given one row per user, day and grouping key.

    By day this is the number of rows; over a range of days, users are counted distinctly.
    """
    return user_days.count(where=where) if day_columns else user_days.identity_adid.nunique(where=where)


def total_price(purchases: ir.Table) -> ir.DecimalScalar:
    """Sum of the prices. A price is the amount of its purchase, whatever the quantity."""
    return purchases.price.sum().fill_null(0)


def first_touches(attributions: ir.Table, unknown_time: ir.Table, by: str) -> ir.Table:
    """One row per user and value of `by` (campaign or partner), with the first day of a touch, `since`.

    A touch at an unknown time counts for every day: its `since` precedes all days.
    """
    named = [with_user(t).filter(t[by].notnull() & (t[by] != "")) for t in (attributions, unknown_time)]
    days = [named[0].part_date, ibis.literal("")]
    touches = ibis.union(*(t.select("identity_adid", by, since=day) for t, day in zip(named, days, strict=True)))
    return touches.group_by("identity_adid", by).aggregate(since=touches.since.min())


def with_campaigns(user_days: ir.Table, attributions: ir.Table, unknown_time: ir.Table) -> ir.Table:
    """Each row once per campaign that had touched its user by the end of the day, or once with `(none)`."""
    touches = first_touches(attributions, unknown_time, "campaign").rename(toucher="identity_adid")
    joined = user_days.left_join(
        touches, [user_days.identity_adid == touches.toucher, touches.since <= user_days.part_date]
    )
    return joined.select(*user_days.columns, campaign=joined.campaign.fill_null(NONE))


def above_all_users(staged: ir.Table, users: str, all_users: ir.Table) -> ir.Table:
    """Rows with more users than `active_user_by_date` has on their day."""
    rows = staged.left_join(all_users, "part_date")
    rows = rows.select(staged.part_date, users=staged[users], all_users=all_users.active_users.fill_null(0))
    return rows.filter(rows.users > rows.all_users)
