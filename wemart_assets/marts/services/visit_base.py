"""Visits of members to services by week or month: one rule for both tables."""

from __future__ import annotations

import ibis.expr.types as ir

from wemart_assets.lake.days import Period
from wemart_assets.lake.functions import first_day_of
from wemart_assets.lake.table import (
    KEY_DATE_IS_PART_DATE,
    RUN_TIMESTAMP,
    RowCheck,
    Table,
    TableCheck,
    at_least,
    column,
    key_date_of,
    one_of,
    part_date_of,
)
from wemart_assets.marts.services.rules import SERVICES, WEVERSE
from wemart_assets.marts.sessions.rules import totals, unequal


def visit_base_table(name: str, period: Period) -> Table:
    """Declaration of the table of visits by `period`."""

    def off_the_days(staged: ir.Table, visits: ir.Table) -> ir.Table:
        """Services whose visit days, visits or seconds are not those of their days."""
        by = ["part_date", "service"]
        of_days = visits.mutate(part_date=first_day_of(visits.key_date, period).cast("string"))
        expected = totals(
            of_days,
            by,
            "expected",
            visit_days=of_days.count(),
            visits=of_days.visits.sum(),
            seconds=of_days.seconds.sum(),
        )
        actual = totals(
            staged,
            by,
            "actual",
            visit_days=staged.visit_days.sum(),
            visits=staged.visits.sum(),
            seconds=staged.seconds.sum(),
        )
        return unequal(actual, expected, [*by, "measure"])

    return Table(
        database="we_mart",
        name=name,
        description=f"One row per {period}, member and service that the member visited.",
        grain=("key_date", "we_member_id", "service"),
        period=period,
        columns=(
            key_date_of(period),
            column("we_member_id", "int", "account", nullable=False),
            column("service", "string", "weverse, shop, phoning or album", one_of(*SERVICES), nullable=False),
            column("visit_days", "bigint", f"days of the {period} with a visit", at_least(1), nullable=False),
            column(
                "visits",
                "bigint",
                "user sessions on Weverse, rows of the other services",
                at_least(1),
                nullable=False,
            ),
            column("seconds", "bigint", "total seconds of the user sessions; NULL for other services", at_least(1)),
            part_date_of(period),
            RUN_TIMESTAMP,
        ),
        row_checks=(
            KEY_DATE_IS_PART_DATE,
            RowCheck(
                "days_of_the_period",
                f"at most {period.most_days} visit days, each with a visit",
                lambda t: (t.visit_days <= period.most_days) & (t.visit_days <= t.visits),
            ),
            RowCheck(
                "seconds_of_weverse",
                "seconds are known if and only if the service is Weverse",
                lambda t: t.seconds.notnull() == (t.service == WEVERSE),
            ),
        ),
        table_checks=(
            TableCheck(
                "days_add_up", "visit days, visits and seconds add up, by service, to we_user_visit", off_the_days
            ),
        ),
    )


def visits_by_period(visits: ir.Table, period: Period) -> ir.Table:
    """Days, visits and seconds of each member and service, given one row per day."""
    visits = visits.mutate(key_date=first_day_of(visits.key_date, period))
    by_member = visits.group_by("key_date", "we_member_id", "service").aggregate(
        visit_days=visits.part_date.nunique(), visits=visits.visits.sum(), seconds=visits.seconds.sum()
    )
    return by_member.mutate(part_date=by_member.key_date.cast("string"))
