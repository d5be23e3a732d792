"""`rudder.dbt_mapped_tracks`: every track with its visitor and the idle time before it."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.functions import unix_micros
from wemart_assets.lake.inputs import same_period, up_to
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import Measure, Severity, Table, TableCheck, at_least, column
from wemart_assets.marts.rudder.dbt_aliases_mapping import dbt_aliases_mapping
from wemart_assets.marts.rudder.repeated_tracks import repeated_tracks
from wemart_assets.marts.rudder.rules import (
    AHEAD_SECONDS,
    ANONYMOUS_ID,
    DAY_COLUMNS,
    EVENT,
    EVENT_ID,
    SECOND,
    TIMESTAMP,
    VISITOR,
    in_order,
    last_state,
    mapped,
    non_empty,
    whole_minutes,
    with_alias,
)
from wemart_assets.marts.rudder.visitor_state import visitor_state
from wemart_assets.sources.contracts.rudder import tracks


def _nobodys(tracks: ir.Table) -> ir.Table:
    return tracks.filter(non_empty(tracks.user_id).isnull() & non_empty(tracks.anonymous_id).isnull())


def _lost(staged: ir.Table, tracks: ir.Table, repeated: ir.Table) -> ir.Table:
    counted = with_alias(tracks, repeated).select("part_date", event_id="id")
    return counted.anti_join(staged, ["event_id", "part_date"])


def _ahead(tracks: ir.Table) -> ir.Table:
    """Tracks dated later than they were received, beyond the tolerance."""
    return tracks.filter(unix_micros(tracks.timestamp) - unix_micros(tracks.received_at) > AHEAD_SECONDS * SECOND)


TABLE = Table(
    database="rudder",
    name="dbt_mapped_tracks",
    description="One row per track with an id, with its visitor as of its day.",
    grain=("event_id",),
    newest_in_sql=True,
    columns=(
        EVENT_ID,
        ANONYMOUS_ID,
        VISITOR,
        TIMESTAMP,
        EVENT,
        column(
            "idle_time_minutes",
            "bigint",
            "whole minutes since the visitor's previous track, NULL for the first",
            at_least(0),
        ),
        *DAY_COLUMNS,
    ),
    table_checks=(
        TableCheck("every_track_is_there", "every track with an id has a row, one per event id", _lost),
        TableCheck("with_an_id", "every track has an anonymous id or a user id", _nobodys, Severity.WARN),
        TableCheck("ids_come_once", "no track has the id of another one", lambda repeated: repeated, Severity.WARN),
        TableCheck(
            "not_ahead_of_time",
            f"no track happened more than {AHEAD_SECONDS} seconds after it was received",
            _ahead,
            Severity.WARN,
        ),
    ),
    measures=(
        Measure("tracks without any id, left out", lambda tracks: _nobodys(tracks).count()),
        Measure("tracks with the id of another, left out", lambda repeated: repeated.left_out.sum().fill_null(0)),
    ),
)


@mart(
    TABLE,
    tracks=same_period(tracks),
    repeated=same_period(repeated_tracks),
    aliases=same_period(dbt_aliases_mapping),
    state=same_period(visitor_state),
    earlier=up_to(visitor_state, inclusive=False),
)
def dbt_mapped_tracks(
    tracks: ir.Table, repeated: ir.Table, aliases: ir.Table, state: ir.Table, earlier: ir.Table, days: Sequence[str]
) -> ir.Table:
    """Tracks with a visitor. A visitor's tracks at the same instant are ordered by id."""
    rows = in_order(mapped(tracks, repeated, aliases), last_state(earlier, state, days))
    idle = rows.previous_at.isnull().ifelse(ibis.null("int64"), whole_minutes(rows.previous_at, rows.timestamp))
    return rows.mutate(idle_time_minutes=idle)
