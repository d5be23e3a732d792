"""The rules of attribution that more than one report states."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.table import KEY_DATE, PART_DATE, RUN_TIMESTAMP, Column, Table, at_least, column
from wemart_assets.marts.attribution.app_events import AppEvents
from wemart_assets.sources.contracts.igaworks import attribution

NEW_INSTALL = 0
# The row of those that no campaign (no partner) brought.
NONE = "(none)"

# Attributions of an unknown time.
assert attribution.unknown_time_table is not None
UNKNOWN_TIME: Table = attribution.unknown_time_table

DAY_COLUMNS = (PART_DATE, RUN_TIMESTAMP)
ACTIVE_USERS = column("active_users", "bigint", "users with any event", at_least(1), nullable=False)
PURCHASE_USERS = column("purchase_users", "bigint", "users with a purchase", at_least(0), nullable=False)
TOTAL_PRICE = column("total_price", "decimal(38,4)", "sum of the prices of all purchases", nullable=False)
CAMPAIGN = column("campaign", "string", f"campaign, `{NONE}` for users whom none brought by that day", nullable=False)


def report_columns(*columns: Column) -> tuple[Column, ...]:
    """A daily report's columns: the day, its own, the partition and the run's clock."""
    return (KEY_DATE, *columns, *DAY_COLUMNS)


def of_users(rows: ir.Table) -> ir.Table:
    """The rows of somebody: an empty id is none."""
    return rows.filter(rows.identity_adid.notnull() & (rows.identity_adid != ""))


def of_step(events: ir.Table, step: str, app_events: AppEvents) -> ir.BooleanValue:
    """Whether an event is the step of the funnel, by any of the step's names."""
    return events.event_name.isin(app_events.by_step()[step]).fill_null(False)


def per(rows: ir.Table, keys: Sequence[str], **metrics: ir.Scalar) -> ir.Table:
    """One row for each of the keys; one row in all where there are none.

    Of the day the date is added, where it is among the keys.
    """
    found = rows.group_by(*keys).aggregate(**metrics) if keys else rows.aggregate(**metrics)
    return found.mutate(key_date=found.part_date.cast("date")) if "part_date" in keys else found


def users_of(user_days: ir.Table, day_columns: Sequence[str], where: ir.BooleanValue | None = None) -> ir.IntegerScalar:
    """How many users there are, of rows of which a user has one a day (for each of the keys that are counted by).

    Of a day that is the number of rows; over a range users are counted once.
    """
    return user_days.count(where=where) if day_columns else user_days.identity_adid.nunique(where=where)


def total_price(purchases: ir.Table) -> ir.DecimalScalar:
    """What was paid: each price as it is, whatever the quantity."""
    return purchases.price.sum().fill_null(0)


def first_touches(attributions: ir.Table, unknown_time: ir.Table, by: str) -> ir.Table:
    """For each user and value of `by` (campaign or partner) the first day of a touch, `since`.

    A touch of an unknown time counts for every day: its `since` is before all of them.
    """
    known = [of_users(t).filter(t[by].notnull() & (t[by] != "")) for t in (attributions, unknown_time)]
    days = [known[0].part_date, ibis.literal("")]
    touches = ibis.union(*(t.select("identity_adid", by, since=day) for t, day in zip(known, days, strict=True)))
    return touches.group_by("identity_adid", by).aggregate(since=touches.since.min())


def with_campaigns(user_days: ir.Table, attributions: ir.Table, unknown_time: ir.Table) -> ir.Table:
    """Each row once for each campaign that had touched its user by the end of its day, else once for `(none)`."""
    touches = first_touches(attributions, unknown_time, "campaign").rename(toucher="identity_adid")
    joined = user_days.left_join(
        touches, [user_days.identity_adid == touches.toucher, touches.since <= user_days.part_date]
    )
    return joined.select(*user_days.columns, campaign=joined.campaign.fill_null(NONE))


def above_all_users(staged: ir.Table, users: str, all_users: ir.Table) -> ir.Table:
    """Rows with more users than `active_user_by_date` has of their day."""
    both = staged.left_join(all_users, "part_date")
    both = both.select(staged.part_date, counted=staged[users], there=all_users.active_users.fill_null(0))
    return both.filter(both.counted > both.there)
