"""How long the sessions of a week or month last: one rule for the two tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.chart import PERIODS_SHOWN, Line, Scale, line_chart
from wemart_assets.lake.days import Period, periods_between
from wemart_assets.lake.functions import first_day_of
from wemart_assets.lake.table import (
    KEY_DATE_IS_PART_DATE,
    RUN_TIMESTAMP,
    Chart,
    Table,
    TableCheck,
    at_least,
    column,
    key_date_of,
    part_date_of,
)
from wemart_assets.marts.sessions.rules import nearest_ranks

QUANTILES = {"median_sess_dur": 50, "p90_sess_dur": 90, "p99_sess_dur": 99}


def _sessions(sessions: ir.Table, period: Period) -> ir.Table:
    """One row per session: key_date (of the period), platform and sess_dur."""
    once = sessions.select("key_date", "platform", "sess_id", "sess_dur").distinct()
    return once.select("platform", "sess_dur", key_date=first_day_of(once.key_date, period))


def _quantiles(staged: ir.Table, published: ir.Table) -> ir.Table:
    columns = ("part_date", "platform", *QUANTILES)
    return ibis.union(staged.select(*columns), published.select(*columns))


def _seconds(period: Period, points: Sequence[Mapping[str, Any]]) -> str:
    starts = {point["part_date"] for point in points}
    periods = periods_between(min(starts), max(starts), period)[-PERIODS_SHOWN:] if starts else []
    by_key = {(point["part_date"], point["platform"] or ""): point for point in points}
    # The 99th percentile would dwarf the others.
    lines = [
        Line(
            f"{platform or 'unknown platform'}, {name}",
            [by_key.get((start, platform), {}).get(quantile) for start in periods],
            n,
            dashed=quantile != "median_sess_dur",
        )
        for n, platform in enumerate(sorted({platform or "" for _, platform in by_key}, reverse=True))
        for quantile, name in (("median_sess_dur", "median"), ("p90_sess_dur", "90th percentile"))
    ]
    return line_chart(f"Seconds of a session, by {period}", periods, lines, Scale.COUNTS)


def session_durations_table(name: str, period: Period) -> Table:
    """Declaration of the table of session durations."""

    def other_ranks(staged: ir.Table, sessions: ir.Table) -> ir.Table:
        """Rows that differ from the sessions. The places of quantiles are counted from both sides, not added up."""
        start = first_day_of(sessions.key_date, period).cast("string")
        # Grouped, where the table uses distinct: a check must not repeat the expression it checks.
        once = sessions.group_by("platform", "sess_id", start=start).aggregate(sess_dur=sessions.sess_dur.max())
        rows = staged.left_join(once, [staged.part_date == once.start, staged.platform.identical_to(once.platform)])
        placed = rows.group_by("part_date", "platform", "sess_cnt", "mean_sess_dur", *QUANTILES).aggregate(
            sessions=rows.sess_dur.count(),
            seconds=rows.sess_dur.sum(),
            **{f"below_{q}": rows.count(where=rows.sess_dur < rows[q]) for q in QUANTILES},
            **{f"up_to_{q}": rows.count(where=rows.sess_dur <= rows[q]) for q in QUANTILES},
        )
        return placed.filter(
            ibis.or_(
                (placed.sessions != placed.sess_cnt).fill_null(True),
                (placed.mean_sess_dur != placed.seconds / placed.sessions).fill_null(True),
                *(placed[f"up_to_{q}"] * 100 < placed.sessions * p for q, p in QUANTILES.items()),
                *(placed[f"below_{q}"] * 100 >= placed.sessions * p for q, p in QUANTILES.items()),
            )
        )

    def missing_platforms(staged: ir.Table, sessions: ir.Table) -> ir.Table:
        start = first_day_of(sessions.key_date, period).cast("string")
        platforms = sessions.select("platform", part_date=start).distinct()
        return platforms.anti_join(
            staged, [platforms.part_date == staged.part_date, platforms.platform.identical_to(staged.platform)]
        )

    return Table(
        database="we_mart",
        name=name,
        description=f"One row per {period} and platform: how long the sessions lasted. Quantiles are nearest-rank "
        "values: the shortest duration that at least that share of sessions did not exceed.",
        grain=("key_date", "platform"),
        period=period,
        columns=(
            key_date_of(period),
            column("platform", "string", "platform of the session: TV, APP, PC or MWEB; NULL if unknown"),
            column("sess_cnt", "bigint", "sessions", at_least(1), nullable=False),
            column("mean_sess_dur", "double", "mean seconds of a session", at_least(1), nullable=False),
            column("median_sess_dur", "bigint", "median seconds of a session", at_least(1), nullable=False),
            column("p90_sess_dur", "bigint", "90th percentile, in seconds", at_least(1), nullable=False),
            column("p99_sess_dur", "bigint", "99th percentile, in seconds", at_least(1), nullable=False),
            part_date_of(period),
            RUN_TIMESTAMP,
        ),
        row_checks=(KEY_DATE_IS_PART_DATE,),
        table_checks=(
            TableCheck(
                "durations_of_the_sessions",
                "sess_cnt and mean_sess_dur are those of the sessions in wv_sess_daily; at least a quantile's "
                "share of them last no longer than it, and less than that share are shorter",
                other_ranks,
            ),
            TableCheck("every_platform", "every platform of wv_sess_daily has a row", missing_platforms),
        ),
        charts=(Chart("durations", _quantiles, partial(_seconds, period)),),
    )


def session_durations(sessions: ir.Table, period: Period) -> ir.Table:
    """Mean and quantiles of sess_dur by platform, each session once."""
    rows = nearest_ranks(
        _sessions(sessions, period),
        ("key_date", "platform"),
        "sess_dur",
        QUANTILES,
        sess_cnt=lambda t: t.n.sum(),
        seconds=lambda t: (t.sess_dur * t.n).sum(),
    )
    return rows.mutate(part_date=rows.key_date.cast("string"), mean_sess_dur=rows.seconds / rows.sess_cnt)
