"""Visitors of the previous week or month who came back: one rule for the two tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.chart import PERIODS_SHOWN, Line, line_chart
from wemart_assets.lake.days import Period, periods_between, shift
from wemart_assets.lake.functions import day_after, first_day_of
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
from wemart_assets.marts.sessions.rules import USER_TYPES, unequal

TYPES = ("membership", "member", "visitor")


def _of_next_period(before: ir.Table, period: Period) -> ir.Table:
    """The visits to artists, with the first day of the period after theirs: key_date and part_date."""
    visits = before.filter(before.we_art_id.notnull())
    # So many days after the first day of a period is always in the next one.
    next_day = first_day_of(day_after(visits.part_date, period.most_days).cast("date"), period)
    return visits.mutate(key_date=next_day, part_date=next_day.cast("string"))


def _by_type(staged: ir.Table, published: ir.Table) -> ir.Table:
    """Visitors and those who came back, by period and kind of user, over all artists."""
    columns = ("part_date", "user_type", "visitors", "back")
    rows = ibis.union(staged.select(*columns), published.select(*columns))
    return rows.group_by("part_date", "user_type").aggregate(visitors=rows.visitors.sum(), back=rows.back.sum())


def _rates(period: Period, points: Sequence[Mapping[str, Any]]) -> str:
    starts = {point["part_date"] for point in points}
    periods = periods_between(min(starts), max(starts), period)[-PERIODS_SHOWN:] if starts else []
    rates = {(p["part_date"], p["user_type"]): p["back"] / p["visitors"] for p in points if p["visitors"]}
    lines = [Line(kind, [rates.get((start, kind)) for start in periods], n) for n, kind in enumerate(TYPES)]
    return line_chart(f"Share of visitors to an artist who came back the {period} after", periods, lines)


def retention_table(name: str, period: Period) -> Table:
    """Declaration of the table of retention."""

    def visits_before(before: ir.Table, days: Sequence[str]) -> ir.Table:
        """The visits to artists in the period before each of the run, dated with the latter."""
        start = ibis.cases(*((before.part_date == shift(day, -1, period), day) for day in days))
        visits = before.mutate(part_date=start)
        return visits.filter(visits.part_date.notnull() & visits.we_art_id.notnull())

    def artists_with_other_visitors(staged: ir.Table, before: ir.Table, days: Sequence[str]) -> ir.Table:
        by = ["part_date", "we_art_id"]
        actual = staged.group_by(*by).aggregate(actual=staged.visitors.sum())
        members = visits_before(before, days)
        return unequal(actual, members.group_by(*by).aggregate(expected=members.we_member_id.nunique()), by)

    def artists_with_other_returns(staged: ir.Table, now: ir.Table, before: ir.Table, days: Sequence[str]) -> ir.Table:
        by = ["part_date", "we_art_id"]
        actual = staged.group_by(*by).aggregate(actual=staged.back.sum())
        back = now.semi_join(visits_before(before, days), [*by, "we_member_id"])
        expected = back.group_by(*by).aggregate(expected=back.we_member_id.nunique())
        return unequal(actual.filter(actual.actual != 0), expected, by)

    return Table(
        database="we_mart",
        name=name,
        description=f"One row per {period}, artist and kind of user: the members who visited the artist in the "
        f"{period} before, by their user type in that {period}, and how many of them came back in this one. An artist "
        f"with visitors in the {period} before has a row per user type. The very first {period} has no rows.",
        grain=("key_date", "we_art_id", "user_type"),
        period=period,
        may_be_empty=True,
        columns=(
            key_date_of(period),
            column("we_art_id", "int", "artist", nullable=False),
            column(
                "user_type",
                "string",
                f"membership, member or visitor, as of the member's last visit in the {period} before",
                USER_TYPES,
                nullable=False,
            ),
            column("visitors", "bigint", f"members who visited in the {period} before", at_least(0), nullable=False),
            column("back", "bigint", f"of them, those who visited in this {period}", at_least(0), nullable=False),
            column("rate", "double", "back / visitors, NULL without visitors"),
            part_date_of(period),
            RUN_TIMESTAMP,
        ),
        row_checks=(
            KEY_DATE_IS_PART_DATE,
            RowCheck("back_are_visitors", "back is at most visitors", lambda t: t.back <= t.visitors),
            RowCheck(
                "rate_of_visitors",
                "rate is back / visitors; it is NULL exactly where visitors is 0",
                lambda t: (
                    (t.rate.isnull() == (t.visitors == 0))
                    & ((t.rate * t.visitors - t.back).abs() < 1e-6).fill_null(t.visitors == 0)
                ),
            ),
        ),
        table_checks=(
            TableCheck(
                "visitors_add_up",
                f"an artist's visitors are the members of the base of the {period} before",
                artists_with_other_visitors,
            ),
            TableCheck(
                "returns_add_up",
                f"members who came back are those in the bases of both {period}s",
                artists_with_other_returns,
            ),
        ),
        charts=(Chart("retention", _by_type, partial(_rates, period)),),
    )


def retention(now: ir.Table, before: ir.Table, period: Period) -> ir.Table:
    """Members of the period before by artist and kind, and how many of them are in the base of this one."""
    members = _of_next_period(before, period)
    returns = now.select("key_date", "we_art_id", "we_member_id", is_back=ibis.literal(1))
    members = members.left_join(returns, ["key_date", "we_art_id", "we_member_id"])
    artists = members.group_by("key_date", "part_date", "we_art_id").aggregate(
        **{f"visitors_{kind}": members.count(where=members.user_type == kind) for kind in TYPES},
        **{f"back_{kind}": members.is_back.count(where=members.user_type == kind) for kind in TYPES},
    )
    rows = ibis.union(
        *(
            artists.select(
                "key_date",
                "part_date",
                "we_art_id",
                user_type=ibis.literal(kind),
                visitors=f"visitors_{kind}",
                back=f"back_{kind}",
            )
            for kind in TYPES
        )
    )
    return rows.mutate(rate=rows.back / rows.visitors.nullif(0))
