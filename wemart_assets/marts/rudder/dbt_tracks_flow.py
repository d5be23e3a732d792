"""`rudder.dbt_tracks_flow`: every track with the next four of its session."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.functions import business_day
from wemart_assets.lake.inputs import trailing
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import Table, TableCheck, at_least, column
from wemart_assets.marts.rudder.dbt_track_facts import dbt_track_facts
from wemart_assets.marts.rudder.rules import (
    DAY_COLUMNS,
    EVENT,
    EVENT_ID,
    SESSION_ID,
    TIMESTAMP,
    VISITOR,
    on_days,
)

FOLLOWING = (1, 2, 3, 4)
# Four gaps at the maximum of WEMART_RUDDER_GAP_SECONDS (twelve hours) span two days, or more when clocks go forward.
DAYS_READ = 4


def _other_tracks(staged: ir.Table, facts: ir.Table, days: Sequence[str]) -> ir.Table:
    """Tracks of a day that are missing or have another position."""
    return on_days(facts, days).anti_join(staged, ["event_id", "part_date", "track_sequence_number"])


def _too_many(staged: ir.Table, timezone: str) -> ir.Table:
    """Sessions with more than four tracks of earlier days."""
    earlier = staged.filter(business_day(staged.timestamp, timezone) < staged.part_date)
    counted = earlier.group_by("session_id", "part_date").aggregate(tracks=earlier.count())
    return counted.filter(counted.tracks > len(FOLLOWING))


TABLE = Table(
    database="rudder",
    name="dbt_tracks_flow",
    description=(
        "One row per track, with the next four of its session. A day has its own tracks, and earlier ones it completes."
    ),
    grain=("event_id",),
    newest_in_sql=True,
    columns=(
        EVENT_ID,
        SESSION_ID,
        column(
            "track_sequence_number",
            "bigint",
            "position of the track in its session, from 1",
            at_least(1),
            nullable=False,
        ),
        EVENT,
        VISITOR,
        TIMESTAMP,
        *(column(f"event_{n + 1}", "string", f"event of the track {n} after it, by the day") for n in FOLLOWING),
        *DAY_COLUMNS,
    ),
    table_checks=(
        TableCheck("every_track_is_there", "every track of dbt_track_facts has a row with its position", _other_tracks),
        TableCheck("at_most_four_before", "each session has at most four tracks of earlier days", _too_many),
    ),
)


@mart(TABLE, facts=trailing(dbt_track_facts, DAYS_READ))
def dbt_tracks_flow(facts: ir.Table, days: Sequence[str]) -> ir.Table:
    """The tracks of each day, and up to four before them in their session: what followed them by the day."""
    of_run = on_days(facts, days)
    earlier = facts.filter(facts.part_date < days[0]).semi_join(of_run, "session_id")
    rows = ibis.union(of_run, earlier)
    window = ibis.window(group_by="session_id", order_by="track_sequence_number")
    rows = rows.mutate(
        **{f"event_{n + 1}": rows.event.lead(n).over(window) for n in FOLLOWING},
        **{f"day_{n + 1}": rows.part_date.lead(n).over(window) for n in FOLLOWING},
    )
    day = [rows.part_date, *(rows[f"day_{n + 1}"] for n in FOLLOWING)]
    nothing = ibis.null("string")
    later = [(after > before).ifelse(after, nothing) for before, after in pairwise(day)]
    # Most tracks and their successors fall on one day. Only those near a day's end need more than one row.
    is_of_one_day = ibis.coalesce(*day[:0:-1], rows.part_date) == rows.part_date
    shown_on = is_of_one_day.ifelse(ibis.array([rows.part_date]), ibis.array([rows.part_date, *later]))
    rows = rows.mutate(shown_on=shown_on.unnest())
    by_then = {
        f"event_{n + 1}": (rows[f"day_{n + 1}"] <= rows.shown_on)
        .fill_null(False)
        .ifelse(rows[f"event_{n + 1}"], nothing)
        for n in FOLLOWING
    }
    return on_days(rows.mutate(part_date=rows.shown_on, **by_then), days)
