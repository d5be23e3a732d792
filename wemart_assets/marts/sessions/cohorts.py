"""How many of an artist's new visitors return in later weeks or months: one rule for the two tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.chart import PERIODS_SHOWN, heat_map
from wemart_assets.lake.days import Period
from wemart_assets.lake.functions import first_day_of
from wemart_assets.lake.table import (
    KEY_DATE_IS_PART_DATE,
    RUN_TIMESTAMP,
    Chart,
    RowCheck,
    Table,
    TableCheck,
    at_least,
    column,
    key_date_of,
    part_date_of,
)
from wemart_assets.marts.sessions.rules import unequal

# Any number of consecutive months differs from as many mean months by less than half a week.
MEAN_DAYS = {Period.WEEK: 7.0, Period.MONTH: 30.436875}


def _age(cohort: ir.DateValue, now: ir.DateValue, period: Period) -> ir.IntegerValue:
    """Periods from one first day to another."""
    if period is Period.MONTH:
        return (now.year() - cohort.year()) * 12 + now.month() - cohort.month()
    return (now.delta(cohort, unit="day") / 7).round().cast("int64")


def _by_age(staged: ir.Table, published: ir.Table) -> ir.Table:
    """Visits by cohort and age over all artists and periods."""
    columns = ("cohort", "age", "member_cnt", "cohort_member_cnt")
    rows = ibis.union(staged.select(*columns), published.select(*columns))
    return rows.group_by("cohort", "age").aggregate(back=rows.member_cnt.sum(), of=rows.cohort_member_cnt.sum())


def _cohorts(period: Period, points: Sequence[Mapping[str, Any]]) -> str:
    cohorts = sorted({point["cohort"] for point in points})[-PERIODS_SHOWN:]
    by_key = {(point["cohort"], point["age"]): point["back"] / point["of"] for point in points}
    sizes = {point["cohort"]: point["of"] for point in points}
    # All visit at age 0.
    ages = range(1, 1 + max((age for cohort, age in by_key if cohort in cohorts), default=0))
    return heat_map(
        f"Share of an artist's new visitors who visit again, by {period} of first visit and {period}s since",
        [f"{cohort} ({sizes[cohort]:,})" for cohort in cohorts],
        [str(age) for age in ages],
        [[by_key.get((cohort, age)) for age in ages] for cohort in cohorts],
    )


def cohort_table(name: str, period: Period) -> Table:
    """Declaration of the table of visits by cohort."""
    base = f"wv_visit_{period}ly_base"

    def cohorts_of_another_size(staged: ir.Table, firsts: ir.Table, days: Sequence[str]) -> ir.Table:
        by = ["part_date", "we_art_id", "cohort"]
        dated = firsts.mutate(cohort=first_day_of(firsts.key_date, period))
        sizes = dated.group_by("we_art_id", "cohort").aggregate(expected=dated.we_member_id.nunique())
        of_periods = [
            sizes.filter(sizes.cohort.cast("string") <= day).mutate(part_date=ibis.literal(day)) for day in days
        ]
        expected = ibis.union(*of_periods) if len(of_periods) > 1 else of_periods[0]
        return unequal(staged.select(*by, actual="cohort_member_cnt"), expected.select(*by, "expected"), by)

    def artists_with_other_visitors(staged: ir.Table, base: ir.Table) -> ir.Table:
        by = ["part_date", "we_art_id"]
        visitors = base.filter(base.we_art_id.notnull())
        expected = visitors.group_by(*by).aggregate(expected=visitors.we_member_id.nunique())
        # An artist whom nobody visited has cohorts nevertheless.
        actual = staged.group_by(*by).aggregate(actual=staged.member_cnt.sum())
        return unequal(actual.filter(actual.actual != 0), expected, by)

    return Table(
        database="we_mart",
        name=name,
        description=f"One row per {period}, artist and cohort: the members who first visited the artist in the "
        f"cohort's {period}, and how many of them visited in this {period}. A cohort without visits has a row, "
        "too.",
        grain=("key_date", "we_art_id", "cohort"),
        period=period,
        columns=(
            key_date_of(period),
            column("we_art_id", "int", "artist", nullable=False),
            column("cohort", "date", f"first day of the {period} of the first visit", nullable=False),
            column("age", "int", f"{period}s from the cohort's to this one", at_least(0), nullable=False),
            column("cohort_member_cnt", "bigint", "members of the cohort", at_least(1), nullable=False),
            column("member_cnt", "bigint", f"of them, those who visited in this {period}", at_least(0), nullable=False),
            part_date_of(period),
            RUN_TIMESTAMP,
        ),
        row_checks=(
            KEY_DATE_IS_PART_DATE,
            RowCheck(
                "members_of_the_cohort",
                f"no more members visit than the cohort has, and all of them in its own {period}",
                lambda t: (
                    (t.member_cnt <= t.cohort_member_cnt) & ((t.age != 0) | (t.member_cnt == t.cohort_member_cnt))
                ),
            ),
            RowCheck(
                "age_of_the_cohort",
                f"age is the number of {period}s from cohort to key_date",
                lambda t: (t.key_date.delta(t.cohort, unit="day") - t.age * MEAN_DAYS[period]).abs() < 3.5,
            ),
        ),
        table_checks=(
            TableCheck(
                "cohort_sizes", "every cohort up to this period is there, with its members", cohorts_of_another_size
            ),
            TableCheck(
                "every_visitor_has_a_cohort",
                f"the members of an artist's cohorts add up to those of {base}",
                artists_with_other_visitors,
            ),
        ),
        charts=(Chart("cohorts", _by_age, partial(_cohorts, period)),),
    )


def cohort_visits(firsts: ir.Table, base: ir.Table, days: Sequence[str], period: Period) -> ir.Table:
    """Cohorts of first visits against the visits of the base, for each period (of `days`) of the run."""
    members = firsts.select("we_member_id", "we_art_id", cohort=first_day_of(firsts.key_date, period))
    cohorts = members.group_by("we_art_id", "cohort").aggregate(cohort_member_cnt=members.count())
    cohorts = cohorts.mutate(part_date=ibis.array([ibis.literal(day) for day in days]).unnest())
    cohorts = cohorts.mutate(key_date=cohorts.part_date.cast("date"))
    cohorts = cohorts.filter(cohorts.cohort <= cohorts.key_date)
    visits = base.inner_join(members, ["we_member_id", "we_art_id"])
    visits = visits.group_by("key_date", "we_art_id", "cohort").aggregate(member_cnt=visits.count())
    rows = cohorts.left_join(visits, ["key_date", "we_art_id", "cohort"])
    return rows.select(
        "key_date",
        "part_date",
        "we_art_id",
        "cohort",
        "cohort_member_cnt",
        age=_age(rows.cohort, rows.key_date, period),
        member_cnt=rows.member_cnt.fill_null(0),
    )
