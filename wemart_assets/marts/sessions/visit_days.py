"""On how many days of a week or month members visited an artist: one rule for the two tables."""

from __future__ import annotations

import ibis.expr.types as ir

from wemart_assets.lake.days import Period
from wemart_assets.lake.table import (
    KEY_DATE_IS_PART_DATE,
    RUN_TIMESTAMP,
    RowCheck,
    Table,
    TableCheck,
    at_least,
    column,
    key_date_of,
    part_date_of,
)
from wemart_assets.marts.sessions.rules import unequal


def _artists_with_other_days(staged: ir.Table, base: ir.Table) -> ir.Table:
    by = ["part_date", "we_art_id"]
    actual = staged.group_by(*by).aggregate(actual=(staged.visit_day_cnt * staged.member_cnt).sum())
    visits = base.filter(base.we_art_id.notnull())
    return unequal(actual, visits.group_by(*by).aggregate(expected=visits.visit_day_cnt.sum()), by)


def _artists_with_other_members(staged: ir.Table, base: ir.Table) -> ir.Table:
    by = ["part_date", "we_art_id"]
    actual = staged.group_by(*by).aggregate(actual=staged.member_cnt.sum())
    visits = base.filter(base.we_art_id.notnull())
    return unequal(actual, visits.group_by(*by).aggregate(expected=visits.we_member_id.nunique()), by)


def visit_days_table(name: str, period: Period) -> Table:
    """Declaration of the table of members by number of days with a visit."""
    base = f"wv_visit_{period}ly_base"
    return Table(
        database="we_mart",
        name=name,
        description=f"One row per {period}, artist and number of days: the members who visited on that many days of "
        f"the {period}.",
        grain=("key_date", "we_art_id", "visit_day_cnt"),
        period=period,
        columns=(
            key_date_of(period),
            column("we_art_id", "int", "artist", nullable=False),
            column("visit_day_cnt", "bigint", f"days of the {period} with a visit", at_least(1), nullable=False),
            column("member_cnt", "bigint", "members who visited on that many days", at_least(1), nullable=False),
            part_date_of(period),
            RUN_TIMESTAMP,
        ),
        row_checks=(
            KEY_DATE_IS_PART_DATE,
            RowCheck(
                "days_of_the_period",
                f"at most {period.most_days} days",
                lambda t: t.visit_day_cnt <= period.most_days,
            ),
        ),
        table_checks=(
            TableCheck("members_add_up", f"an artist's members are those of {base}", _artists_with_other_members),
            TableCheck("days_add_up", f"the days of an artist's members are those of {base}", _artists_with_other_days),
        ),
    )


def visit_days(base: ir.Table) -> ir.Table:
    """Members of the base by artist and number of days."""
    visits = base.filter(base.we_art_id.notnull())
    return visits.group_by("key_date", "part_date", "we_art_id", "visit_day_cnt").aggregate(member_cnt=visits.count())
