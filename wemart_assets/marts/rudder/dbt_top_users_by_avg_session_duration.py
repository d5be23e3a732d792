"""`rudder.dbt_top_users_by_avg_session_duration`: visitors by mean session duration."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.table import Table, column
from wemart_assets.lake.view import view
from wemart_assets.marts.rudder.dbt_session_duration import dbt_session_duration
from wemart_assets.marts.rudder.rules import VISITOR

TABLE = Table(
    database="rudder",
    name="dbt_top_users_by_avg_session_duration",
    description="One row per visitor, longest mean session first.",
    grain=("dbt_visitor_id",),
    partition_by=(),
    columns=(
        VISITOR,
        column(
            "avg_session_duration",
            "double",
            "mean session duration in minutes, from the newest row of each session",
            nullable=False,
        ),
    ),
)


@view(TABLE, durations=dbt_session_duration)
def dbt_top_users_by_avg_session_duration(durations: ir.Table) -> ir.Table:
    """Visitors by the mean duration of their sessions."""
    means = durations.group_by("dbt_visitor_id").aggregate(avg_session_duration=durations.session_duration.mean())
    return means.order_by(ibis.desc("avg_session_duration"), "dbt_visitor_id")
