"""RudderStack session rules shared by several tables.

A track belongs to a visitor: the user that its alias maps to as of the track's own day. The state of earlier days comes
from `visitor_state`; a run of several days is one query over all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.functions import unix_micros
from wemart_assets.lake.table import PART_DATE, RUN_TIMESTAMP, Column, column
from wemart_assets.sources.contracts.rudder import tracks as contract

SECOND, MINUTE = 1_000_000, 60_000_000  # microseconds
# How far a client's clock may be ahead of RudderStack's.
AHEAD_SECONDS = 300

EVENT_ID = column("event_id", "string", "id of the track", nullable=False)
ANONYMOUS_ID = column("anonymous_id", "string", "id of the browser or app installation")
VISITOR = column("dbt_visitor_id", "string", "visitor: the user if known that day, else the alias", nullable=False)
SESSION_ID = column("session_id", "string", "session: `<number> - <visitor>`", nullable=False)
TIMESTAMP = column("timestamp", "timestamp", "instant of the track (UTC)", nullable=False)
EVENT = column("event", "string", "name of the event")
DAY_COLUMNS: tuple[Column, ...] = (
    PART_DATE,
    RUN_TIMESTAMP,
)

IN_ORDER = ("timestamp", "event_id")
CONTRACT = contract.columns


def non_empty(id: ir.StringValue) -> ir.StringValue:
    """The id, or NULL if it is empty."""
    return id.nullif("")


def deduplicated(tracks: ir.Table, repeated: ir.Table) -> ir.Table:
    """One track per id: the first received on the id's first day."""
    again = repeated.select("first_part_date", again="event_id", again_on="part_date")

    def with_id(of: ir.Table) -> list[ir.BooleanValue]:
        return [tracks.id == of.again, tracks.part_date == of.again_on]

    twice_a_day = again.filter(again.first_part_date == again.again_on)
    order = [column.asc(nulls_first=False) for column in (tracks.received_at, *(tracks[c.name] for c in CONTRACT))]
    copies = tracks.semi_join(twice_a_day, with_id(twice_a_day))
    copies = copies.mutate(place=ibis.row_number().over(ibis.window(group_by=["id", "part_date"], order_by=order)))
    copies = copies.filter(copies.place == 0).drop("place")
    return ibis.union(tracks.anti_join(again, with_id(again)), copies)


def with_alias(tracks: ir.Table, repeated: ir.Table) -> ir.Table:
    """The tracks that count and have an anonymous id or a user id."""
    counted = deduplicated(tracks, repeated)
    counted = counted.mutate(user=non_empty(counted.user_id), anonymous=non_empty(counted.anonymous_id))
    counted = counted.mutate(alias=ibis.coalesce(counted.user, counted.anonymous))
    return counted.filter(counted["alias"].notnull())


def mapped(tracks: ir.Table, repeated: ir.Table, aliases: ir.Table) -> ir.Table:
    """The tracks that count, with the visitor that their alias maps to as of their day."""
    counted = with_alias(tracks, repeated)
    # Most aliases map to themselves, so only those that map to another visitor are joined.
    others = aliases.filter(aliases.dbt_visitor_id != aliases["alias"])
    others = others.select(other="alias", visitor="dbt_visitor_id", mapped_on="part_date")
    mapped_tracks = counted.left_join(others, [counted["alias"] == others.other, counted.part_date == others.mapped_on])
    mapped_tracks = mapped_tracks.select(
        "anonymous_id", "timestamp", "event", "part_date", "alias", "visitor", event_id=counted.id
    )
    return mapped_tracks.mutate(dbt_visitor_id=ibis.coalesce(mapped_tracks.visitor, mapped_tracks["alias"])).drop(
        "alias", "visitor"
    )


def last_state(earlier: ir.Table, rows: ir.Table, days: Sequence[str]) -> ir.Table:
    """For each visitor of `rows`, the newest state from before the run's `days`, as `before_<column>`.

    `rows` only supplies the visitors. The states of the run's days are the cheapest rows that contain all of them.
    """
    before = earlier.filter(earlier.part_date.notin(list(days)))
    before = before.semi_join(rows, "dbt_visitor_id")
    newest = ibis.row_number().over(ibis.window(group_by="dbt_visitor_id", order_by=ibis.desc("part_date")))
    before = before.mutate(place=newest)
    before = before.filter(before.place == 0).drop("place", "run_timestamp")
    return before.rename({f"before_{name}": name for name in before.columns})


def in_order(rows: ir.Table, state: ir.Table, by: Sequence[str] = IN_ORDER) -> ir.Table:
    """`rows` with the state of their visitor before the run, their `place` among the visitor's tracks of the run (from
    1), and `previous_at`, the instant of the visitor's track before, wherever it lies."""
    with_state = rows.left_join(state, rows.dbt_visitor_id == state.before_dbt_visitor_id)
    window = ibis.window(group_by="dbt_visitor_id", order_by=list(by))
    placed = with_state.mutate(place=ibis.row_number().over(window) + 1, lagged=with_state.timestamp.lag().over(window))
    return placed.mutate(previous_at=ibis.coalesce(placed.lagged, placed.before_last_track_at)).drop("lagged")


def begins_session(rows: ir.Table, gap_seconds: int) -> ir.BooleanValue:
    """Whether a track is the visitor's first or follows a silence strictly longer than the gap."""
    silence = unix_micros(rows.timestamp) - unix_micros(rows.previous_at)
    return rows.previous_at.isnull() | (silence > gap_seconds * SECOND)


def whole_minutes(earlier: ir.TimestampValue, later: ir.TimestampValue) -> ir.IntegerValue:
    """Elapsed minutes, rounded down."""
    elapsed = unix_micros(later) - unix_micros(earlier)
    return ((elapsed - elapsed % MINUTE) / MINUTE).round().cast("int64")


def session_id(number: ir.IntegerValue, visitor: ir.StringValue) -> ir.StringValue:
    """Id of a visitor's session, `<number> - <visitor>`."""
    return number.cast("string") + " - " + visitor


def on_days(rows: ir.Table, days: Sequence[str]) -> ir.Table:
    """The rows of the run's days."""
    return rows.filter(rows.part_date.isin(list(days)))
