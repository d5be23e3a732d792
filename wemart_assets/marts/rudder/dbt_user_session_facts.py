"""`rudder.dbt_user_session_facts`: first, last and number of sessions of each visitor, as of the day."""

from __future__ import annotations

import ibis.expr.types as ir

from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import RowCheck, Table, TableCheck, at_least, column
from wemart_assets.marts.rudder.dbt_session_tracks import dbt_session_tracks
from wemart_assets.marts.rudder.rules import DAY_COLUMNS, VISITOR
from wemart_assets.marts.rudder.visitor_state import visitor_state


def _other_sessions(staged: ir.Table, sessions: ir.Table) -> ir.Table:
    """Visitors whose newest session of the day is not the last one counted."""
    last = sessions.filter(sessions.next_session_start_at.isnull())
    last = last.select("dbt_visitor_id", "part_date", "session_sequence_number", "session_start_at")
    visitors = last.left_join(staged, ["dbt_visitor_id", "part_date"])
    visitors = visitors.select(
        last.dbt_visitor_id,
        last.part_date,
        "session_sequence_number",
        "session_start_at",
        "number_of_sessions",
        "last_date",
    )
    return visitors.filter(
        ~visitors.number_of_sessions.identical_to(visitors.session_sequence_number)
        | ~visitors.last_date.identical_to(visitors.session_start_at)
    )


TABLE = Table(
    database="rudder",
    name="dbt_user_session_facts",
    description="One row per visitor with a track on the day: first, last and number of sessions so far.",
    grain=("dbt_visitor_id",),
    newest_in_sql=True,
    columns=(
        VISITOR,
        column("first_date", "timestamp", "start of the visitor's first session (UTC)", nullable=False),
        column("last_date", "timestamp", "start of the visitor's last session so far (UTC)", nullable=False),
        column("number_of_sessions", "bigint", "sessions so far", at_least(1), nullable=False),
        *DAY_COLUMNS,
    ),
    row_checks=(
        RowCheck(
            "first_before_last",
            "first_date equals last_date if there is one session, and precedes it if there are more",
            lambda t: (
                ((t.number_of_sessions == 1) & (t.first_date == t.last_date))
                | ((t.number_of_sessions > 1) & (t.first_date < t.last_date))
            ),
        ),
    ),
    table_checks=(
        TableCheck("sessions_add_up", "the last session counted is the last one that started", _other_sessions),
    ),
)


@mart(TABLE, state=same_period(visitor_state), sessions=same_period(dbt_session_tracks))
def dbt_user_session_facts(state: ir.Table) -> ir.Table:
    """Session facts from the state of each visitor."""
    return state.select(
        "dbt_visitor_id",
        "number_of_sessions",
        "part_date",
        first_date="first_session_start_at",
        last_date="session_start_at",
    )
