"""`rudder.dbt_session_duration`: the length of each session, as of the day."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import Table, TableCheck, at_least, column
from wemart_assets.marts.rudder.dbt_session_track_facts import dbt_session_track_facts
from wemart_assets.marts.rudder.dbt_session_tracks import dbt_session_tracks
from wemart_assets.marts.rudder.rules import DAY_COLUMNS, SESSION_ID, VISITOR, session_id, whole_minutes
from wemart_assets.marts.rudder.visitor_state import visitor_state


def _lost(staged: ir.Table, facts: ir.Table) -> ir.Table:
    return facts.anti_join(staged, ["session_id", "part_date"])


TABLE = Table(
    database="rudder",
    name="dbt_session_duration",
    description="One row per session with a track on the day: its length so far.",
    grain=("session_id",),
    newest_in_sql=True,
    columns=(
        VISITOR,
        SESSION_ID,
        column(
            "session_duration",
            "bigint",
            "whole minutes from the first track to the last so far",
            at_least(0),
            nullable=False,
        ),
        *DAY_COLUMNS,
    ),
    table_checks=(TableCheck("every_session_is_there", "every session of dbt_session_track_facts has a row", _lost),),
)


@mart(
    TABLE,
    facts=same_period(dbt_session_track_facts),
    sessions=same_period(dbt_session_tracks),
    state=same_period(visitor_state),
)
def dbt_session_duration(facts: ir.Table, sessions: ir.Table, state: ir.Table) -> ir.Table:
    """The sessions of a day: each visitor's last one, whose start is in the state, and those followed by another."""
    followed = sessions.filter(sessions.next_session_start_at.notnull())
    columns = ["part_date", "dbt_visitor_id", "session_id", "session_start_at"]
    last = state.mutate(session_id=session_id(state.number_of_sessions, state.dbt_visitor_id))
    starts = ibis.union(followed.select(*columns), last.select(*columns))
    sessions_of_day = facts.inner_join(starts, ["session_id", "part_date"])
    return sessions_of_day.select(
        "session_id",
        "part_date",
        "dbt_visitor_id",
        session_duration=whole_minutes(sessions_of_day.session_start_at, sessions_of_day.ended_at),
    )
