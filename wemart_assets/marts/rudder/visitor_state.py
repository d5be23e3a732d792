"""`rudder.visitor_state`: the state of each visitor at the end of a day, from which later days continue."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.inputs import same_period, up_to
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import RowCheck, Table, TableCheck, at_least, column
from wemart_assets.marts.rudder.dbt_aliases_mapping import dbt_aliases_mapping
from wemart_assets.marts.rudder.repeated_tracks import repeated_tracks
from wemart_assets.marts.rudder.rules import DAY_COLUMNS, VISITOR, begins_session, in_order, last_state, mapped
from wemart_assets.sources.contracts.rudder import tracks


def _gone_back(staged: ir.Table, earlier: ir.Table, days: Sequence[str]) -> ir.Table:
    """States that do not continue the visitor's previous state with a later track, in the same or a later session."""
    names = [c.name for c in TABLE.columns if c.name != "run_timestamp"]
    before = last_state(earlier, staged, days)
    before = before.select(**{name: before[f"before_{name}"] for name in names})
    rows = ibis.union(before, staged.select(*names))
    window = ibis.window(group_by="dbt_visitor_id", order_by="part_date")
    rows = rows.mutate(**{f"before_{name}": rows[name].lag().over(window) for name in names[1:-1]})
    is_same = rows.number_of_sessions == rows.before_number_of_sessions
    return rows.filter(
        (rows.number_of_sessions < rows.before_number_of_sessions)
        | (rows.last_track_at <= rows.before_last_track_at)
        | (rows.first_session_start_at != rows.before_first_session_start_at)
        | (is_same != (rows.session_start_at == rows.before_session_start_at))
        | (is_same & (rows.session_tracks <= rows.before_session_tracks))
    )


TABLE = Table(
    database="rudder",
    name="visitor_state",
    description=(
        "One row per visitor with a track on the day: sessions so far, and the last one as of the end of the day."
    ),
    grain=("dbt_visitor_id",),
    columns=(
        VISITOR,
        column("number_of_sessions", "bigint", "sessions so far", at_least(1), nullable=False),
        column("first_session_start_at", "timestamp", "start of the first session (UTC)", nullable=False),
        column("session_start_at", "timestamp", "start of the last session so far (UTC)", nullable=False),
        column("last_track_at", "timestamp", "instant of the last track so far (UTC)", nullable=False),
        column("session_tracks", "bigint", "tracks of the last session so far", at_least(1), nullable=False),
        *DAY_COLUMNS,
    ),
    row_checks=(
        RowCheck(
            "starts_before_it_ends",
            "first_session_start_at <= session_start_at <= last_track_at",
            lambda t: (t.first_session_start_at <= t.session_start_at) & (t.session_start_at <= t.last_track_at),
        ),
        RowCheck(
            "first_is_last_of_one",
            "the first session is the last one if and only if there is just one",
            lambda t: (t.number_of_sessions == 1) == (t.first_session_start_at == t.session_start_at),
        ),
    ),
    table_checks=(
        TableCheck(
            "goes_on",
            "a visitor's state continues the previous one: a later track, in the same or a later session",
            _gone_back,
        ),
    ),
)


@mart(
    TABLE,
    tracks=same_period(tracks),
    repeated=same_period(repeated_tracks),
    aliases=same_period(dbt_aliases_mapping),
    earlier=up_to(TABLE, inclusive=False),
)
def visitor_state(
    tracks: ir.Table,
    repeated: ir.Table,
    aliases: ir.Table,
    earlier: ir.Table,
    days: Sequence[str],
    rudder_gap_seconds: int,
) -> ir.Table:
    """Each visitor of a day, as of its end.

    A partition has only the visitors of its day. A visitor's last day may lie far back; reading one column of all
    earlier days finds it, which is cheaper than writing every visitor every day.
    """
    visits = mapped(tracks, repeated, aliases).select("dbt_visitor_id", "timestamp", "part_date")
    # The order of tracks at the same instant does not matter here.
    rows = in_order(visits, last_state(earlier, visits, days), by=["timestamp"])
    rows = rows.mutate(begins=begins_session(rows, rudder_gap_seconds))
    by_day = rows.group_by("dbt_visitor_id", "part_date").aggregate(
        begun=rows.begins.cast("int64").sum(),
        began_first=rows.timestamp.min(where=rows.begins),
        began_last=rows.timestamp.max(where=rows.begins),
        place_of_start=rows.place.max(where=rows.begins),
        place=rows.place.max(),
        last_track_at=rows.timestamp.max(),
        before_sessions=rows.before_number_of_sessions.max(),
        before_first=rows.before_first_session_start_at.max(),
        before_start=rows.before_session_start_at.max(),
        before_tracks=rows.before_session_tracks.max(),
    )
    so_far = ibis.window(group_by="dbt_visitor_id", order_by="part_date", rows=(None, 0))
    by_day = by_day.mutate(
        begun=by_day.begun.sum().over(so_far),
        began_first=by_day.began_first.min().over(so_far),
        began_last=by_day.began_last.max().over(so_far),
        place_of_start=by_day.place_of_start.max().over(so_far),
    )
    return by_day.select(
        "dbt_visitor_id",
        "last_track_at",
        "part_date",
        number_of_sessions=by_day.before_sessions.fill_null(0) + by_day.begun,
        first_session_start_at=ibis.coalesce(by_day.before_first, by_day.began_first),
        session_start_at=ibis.coalesce(by_day.began_last, by_day.before_start),
        session_tracks=ibis.coalesce(by_day.place - by_day.place_of_start + 1, by_day.before_tracks + by_day.place),
    )
