"""`rudder.dbt_track_facts`: every track with its session and its position in it."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.inputs import same_period, up_to
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import Table, TableCheck, at_least, column
from wemart_assets.marts.rudder.dbt_mapped_tracks import dbt_mapped_tracks
from wemart_assets.marts.rudder.rules import (
    ANONYMOUS_ID,
    DAY_COLUMNS,
    EVENT,
    EVENT_ID,
    SESSION_ID,
    TIMESTAMP,
    VISITOR,
    begins_session,
    in_order,
    last_state,
    session_id,
)
from wemart_assets.marts.rudder.visitor_state import visitor_state


def _other_tracks(staged: ir.Table, mapped: ir.Table) -> ir.Table:
    """Days with a track that is in no session, and days with more tracks in sessions than in dbt_mapped_tracks."""
    lost = mapped.anti_join(staged, ["event_id", "part_date"]).select("part_date")
    counts = [t.group_by("part_date").aggregate(tracks=t.count()) for t in (staged, mapped)]
    days = counts[0].left_join(counts[1].rename(expected="tracks"), "part_date")
    return ibis.union(lost, days.filter(days.tracks > days.expected.fill_null(0)).select("part_date"))


def _other_state(staged: ir.Table, state: ir.Table) -> ir.Table:
    """Visitors of the day whose last session and track are not those that their state carries on."""
    last = state.mutate(session_id=session_id(state.number_of_sessions, state.dbt_visitor_id))
    return last.anti_join(
        staged,
        [
            last.session_id == staged.session_id,
            last.part_date == staged.part_date,
            last.session_tracks == staged.track_sequence_number,
            last.last_track_at == staged.timestamp,
        ],
    )


def _gaps(staged: ir.Table, earlier: ir.Table, state: ir.Table, days: Sequence[str]) -> ir.Table:
    """Sessions whose sequence numbers of a day do not follow those before it, one by one."""
    number = staged.track_sequence_number
    numbers = staged.group_by("session_id", "dbt_visitor_id", "part_date").aggregate(
        least=number.min(), greatest=number.max(), tracks=staged.count(), different=number.nunique()
    )
    before = last_state(earlier, state, days)
    before = before.select(
        session_id=session_id(before.before_number_of_sessions, before.before_dbt_visitor_id),
        dbt_visitor_id="before_dbt_visitor_id",
        part_date="before_part_date",
        least=ibis.literal(1, type="int64"),
        greatest="before_session_tracks",
        tracks="before_session_tracks",
        different="before_session_tracks",
    )
    rows = ibis.union(before, numbers.select(*before.columns))
    window = ibis.window(group_by="session_id", order_by="part_date")
    rows = rows.mutate(until=rows.greatest.lag().over(window).fill_null(0))
    return rows.filter(
        (rows.least != rows.until + 1)
        | (rows.greatest - rows.least + 1 != rows.tracks)
        | (rows.tracks != rows.different),
        rows.part_date.isin(list(days)),
    )


TABLE = Table(
    database="rudder",
    name="dbt_track_facts",
    description="One row per track with an id, with its session and its position in it.",
    grain=("event_id",),
    newest_in_sql=True,
    columns=(
        ANONYMOUS_ID,
        TIMESTAMP,
        EVENT_ID,
        EVENT,
        SESSION_ID,
        VISITOR,
        column(
            "track_sequence_number",
            "bigint",
            "position of the track in its session, from 1",
            at_least(1),
            nullable=False,
        ),
        *DAY_COLUMNS,
    ),
    table_checks=(
        TableCheck("every_track_is_in_one_session", "the tracks are those of dbt_mapped_tracks", _other_tracks),
        TableCheck(
            "sequence_has_no_gaps", "the sequence numbers of a session are 1, 2, 3, ..., over midnight too", _gaps
        ),
        TableCheck(
            "state_is_of_the_tracks", "what visitor_state carries on is each visitor's last track", _other_state
        ),
    ),
)


@mart(
    TABLE,
    mapped=same_period(dbt_mapped_tracks),
    earlier=up_to(visitor_state, inclusive=False),
    state=same_period(visitor_state),
)
def dbt_track_facts(
    mapped: ir.Table, earlier: ir.Table, state: ir.Table, days: Sequence[str], rudder_gap_seconds: int
) -> ir.Table:
    """The tracks in their sessions. A visitor's tracks at the same instant are ordered by id."""
    tracks = mapped.drop("idle_time_minutes", "run_timestamp")
    rows = in_order(tracks, last_state(earlier, state, days))
    rows = rows.mutate(begins=begins_session(rows, rudder_gap_seconds))
    so_far = ibis.window(group_by="dbt_visitor_id", order_by="place", rows=(None, 0))
    rows = rows.mutate(
        begun=rows.begins.cast("int64").sum().over(so_far),
        start=rows.begins.ifelse(rows.place, ibis.null("int64")).max().over(so_far),
    )
    number = rows.before_number_of_sessions.fill_null(0) + rows.begun
    return rows.mutate(
        session_id=session_id(number, rows.dbt_visitor_id),
        track_sequence_number=ibis.coalesce(rows.place - rows.start + 1, rows.before_session_tracks + rows.place),
    )
