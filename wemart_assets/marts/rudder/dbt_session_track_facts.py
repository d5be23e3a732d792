"""`rudder.dbt_session_track_facts`: end and event counts of each session, as of the day."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.inputs import previous_period, same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import RowCheck, Table, TableCheck, at_least, column
from wemart_assets.marts.rudder.dbt_session_tracks import dbt_session_tracks
from wemart_assets.marts.rudder.dbt_track_facts import dbt_track_facts
from wemart_assets.marts.rudder.rules import DAY_COLUMNS, SESSION_ID, on_days

COUNTS = ("num_pvs", "cnt_viewed_product", "cnt_signup")


def _uncounted(staged: ir.Table, before: ir.Table, facts: ir.Table, days: Sequence[str]) -> ir.Table:
    """Days whose number of tracks differs from what the day adds to the sessions' counts."""
    rows = ibis.union(*(t.select("session_id", "part_date", "num_pvs") for t in (before, staged)))
    window = ibis.window(group_by="session_id", order_by="part_date")
    rows = on_days(rows.mutate(added=rows.num_pvs - rows.num_pvs.lag().over(window).fill_null(0)), days)
    added = rows.group_by("part_date").aggregate(added=rows.added.sum())
    expected = facts.group_by("part_date").aggregate(tracks=facts.count())
    days_compared = added.outer_join(expected, "part_date")
    days_compared = days_compared.select(
        "added", "tracks", part_date=ibis.coalesce(days_compared.part_date, days_compared.part_date_right)
    )
    return days_compared.filter(days_compared.added.fill_null(0) != days_compared.tracks.fill_null(0))


def _overlapping(staged: ir.Table, sessions: ir.Table) -> ir.Table:
    """Sessions that end before they start, or at or after the start of the next one."""
    ended_sessions = staged.inner_join(sessions, ["session_id", "part_date"])
    ended_sessions = ended_sessions.select(
        "session_id",
        "part_date",
        "ended_at",
        ended_sessions.session_start_at,
        ended_sessions.next_session_start_at,
        ended_sessions.dbt_visitor_id,
    )
    return ended_sessions.filter(
        (ended_sessions.ended_at < ended_sessions.session_start_at)
        | (ended_sessions.ended_at >= ended_sessions.next_session_start_at).fill_null(False)
    )


TABLE = Table(
    database="rudder",
    name="dbt_session_track_facts",
    description="One row per session with a track on the day: its end and event counts so far.",
    grain=("session_id",),
    newest_in_sql=True,
    columns=(
        SESSION_ID,
        column("ended_at", "timestamp", "instant of the session's last track so far (UTC)", nullable=False),
        column("num_pvs", "bigint", "tracks so far", at_least(1), nullable=False),
        column(
            "cnt_viewed_product", "bigint", "tracks of WEMART_RUDDER_VIEW_EVENT so far", at_least(0), nullable=False
        ),
        column("cnt_signup", "bigint", "tracks of WEMART_RUDDER_SIGNUP_EVENT so far", at_least(0), nullable=False),
        *DAY_COLUMNS,
    ),
    row_checks=(
        RowCheck(
            "counts_are_of_the_tracks",
            "cnt_viewed_product and cnt_signup are at most num_pvs",
            lambda t: (t.cnt_viewed_product <= t.num_pvs) & (t.cnt_signup <= t.num_pvs),
        ),
    ),
    table_checks=(
        TableCheck("tracks_add_up", "each day adds the number of its tracks to num_pvs", _uncounted),
        TableCheck(
            "sessions_do_not_overlap", "a session ends at or after its start, and before the next one", _overlapping
        ),
    ),
)


@mart(
    TABLE,
    facts=same_period(dbt_track_facts),
    before=previous_period(TABLE),
    sessions=same_period(dbt_session_tracks),
)
def dbt_session_track_facts(
    facts: ir.Table, before: ir.Table, days: Sequence[str], rudder_view_event: str, rudder_signup_event: str
) -> ir.Table:
    """Each session of a day, as of its end. One that continues had a track the day before, as no gap exceeds a day."""
    of_day = facts.group_by("session_id", "part_date").aggregate(
        ended_at=facts.timestamp.max(),
        num_pvs=facts.count(),
        cnt_viewed_product=facts.count(where=facts.event == rudder_view_event),
        cnt_signup=facts.count(where=facts.event == rudder_signup_event),
    )
    going_on = before.semi_join(of_day, "session_id").select(*of_day.columns)
    rows = ibis.union(of_day, going_on)
    so_far = ibis.window(group_by="session_id", order_by="part_date", rows=(None, 0))
    return on_days(rows.mutate(**{name: rows[name].sum().over(so_far) for name in COUNTS}), days)
