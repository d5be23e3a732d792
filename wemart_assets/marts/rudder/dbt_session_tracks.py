"""`rudder.dbt_session_tracks`: the numbered sessions of each visitor."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.inputs import same_period, up_to
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import RowCheck, Table, TableCheck, at_least, column
from wemart_assets.marts.rudder.dbt_track_facts import dbt_track_facts
from wemart_assets.marts.rudder.rules import DAY_COLUMNS, SESSION_ID, VISITOR, last_state, on_days, session_id
from wemart_assets.marts.rudder.visitor_state import visitor_state


def _not_one_after_the_other(staged: ir.Table, state: ir.Table) -> ir.Table:
    """Sessions of a visitor on a day that are not numbered one by one up to the visitor's number of sessions, or whose
    next one does not start when they say."""
    window = ibis.window(group_by=["dbt_visitor_id", "part_date"], order_by="session_sequence_number")
    rows = staged.mutate(
        following=staged.session_sequence_number.lead().over(window),
        following_at=staged.session_start_at.lead().over(window),
    )
    rows = rows.left_join(
        state.select("part_date", "dbt_visitor_id", "number_of_sessions"), ["part_date", "dbt_visitor_id"]
    )
    following = ibis.coalesce(rows.following, rows.number_of_sessions + 1).fill_null(0)
    return rows.filter(
        (following != rows.session_sequence_number + 1) | ~rows.next_session_start_at.identical_to(rows.following_at)
    )


def _not_there(staged: ir.Table, facts: ir.Table) -> ir.Table:
    """First tracks of sessions without a row."""
    starts = facts.filter(facts.track_sequence_number == 1)
    return starts.anti_join(
        staged,
        [
            starts.session_id == staged.session_id,
            starts.part_date == staged.part_date,
            starts.timestamp == staged.session_start_at,
        ],
    )


TABLE = Table(
    database="rudder",
    name="dbt_session_tracks",
    description=(
        "One row per session. A day has the sessions that start on it, and the one before, whose next start it knows."
    ),
    grain=("session_id",),
    newest_in_sql=True,
    columns=(
        SESSION_ID,
        VISITOR,
        column("session_start_at", "timestamp", "instant of the session's first track (UTC)", nullable=False),
        column(
            "session_sequence_number",
            "bigint",
            "number of the session among the visitor's, from 1",
            at_least(1),
            nullable=False,
        ),
        column("next_session_start_at", "timestamp", "start of the visitor's next session, if known by the day (UTC)"),
        *DAY_COLUMNS,
    ),
    row_checks=(
        RowCheck(
            "named_by_number_and_visitor",
            "session_id is `<session_sequence_number> - <dbt_visitor_id>`",
            lambda t: t.session_id == session_id(t.session_sequence_number, t.dbt_visitor_id),
        ),
        RowCheck(
            "before_the_next",
            "a session starts before the next one",
            lambda t: t.next_session_start_at.isnull() | (t.session_start_at < t.next_session_start_at),
        ),
    ),
    table_checks=(
        TableCheck(
            "one_after_the_other",
            "a visitor's sessions of a day are numbered without gaps to the last, each with the start of the next",
            _not_one_after_the_other,
        ),
        TableCheck(
            "every_start_is_there", "every first track of a session has a session that starts at it", _not_there
        ),
    ),
)


@mart(
    TABLE,
    facts=same_period(dbt_track_facts),
    earlier=up_to(visitor_state, inclusive=False),
    state=same_period(visitor_state),
)
def dbt_session_tracks(facts: ir.Table, earlier: ir.Table, days: Sequence[str]) -> ir.Table:
    """The sessions that start on each day, with the start of the next session if known by then."""
    starts = facts.filter(facts.track_sequence_number == 1)
    starts = starts.select("dbt_visitor_id", "part_date", session_start_at="timestamp", known=ibis.literal(0, "int64"))
    before = last_state(earlier, starts, days)
    before = before.select(
        dbt_visitor_id="before_dbt_visitor_id",
        part_date="before_part_date",
        session_start_at="before_session_start_at",
        known="before_number_of_sessions",
    )
    sessions = ibis.union(starts, before.select(*starts.columns))
    window = ibis.window(group_by="dbt_visitor_id", order_by="session_start_at")
    of_visitor = ibis.window(group_by="dbt_visitor_id")
    sessions = sessions.mutate(
        place=ibis.row_number().over(window),
        first=sessions.known.max().over(of_visitor),
        next_session_start_at=sessions.session_start_at.lead().over(window),
        next_on=sessions.part_date.lead().over(window),
    )
    # For a visitor with earlier state, that state is the first of these rows.
    number = ibis.greatest(sessions["first"], 1) + sessions.place
    later = (sessions.next_on > sessions.part_date).ifelse(sessions.next_on, ibis.null("string"))
    rows = sessions.mutate(
        session_sequence_number=number,
        session_id=session_id(number, sessions.dbt_visitor_id),
        shown_on=ibis.array([sessions.part_date, later]).unnest(),
    )
    is_known = (rows.next_on <= rows.shown_on).fill_null(False)
    rows = rows.mutate(
        part_date=rows.shown_on,
        next_session_start_at=is_known.ifelse(rows.next_session_start_at, ibis.null(rows.next_session_start_at.type())),
    )
    return on_days(rows, days)
