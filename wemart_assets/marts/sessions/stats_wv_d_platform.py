"""`we_mart.stats_wv_d_platform`: how many sessions a platform had on a day."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.inputs import same_day
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import KEY_DATE, PART_DATE, RUN_TIMESTAMP, Table, TableCheck, at_least, column
from wemart_assets.marts.sessions.wv_sess_daily import wv_sess_daily


def _days_with_other_count(staged: ir.Table, sessions: ir.Table) -> ir.Table:
    counted = staged.group_by("part_date").aggregate(counted=staged.sess_cnt.sum())
    # A session has one platform, so that the platforms share the sessions among them.
    there = sessions.group_by("part_date").aggregate(there=sessions.sess_id.nunique())
    both = counted.outer_join(there, "part_date")
    both = both.select("counted", "there", part_date=ibis.coalesce(both.part_date, both.part_date_right))
    return both.filter((both.counted != both.there).fill_null(True))


TABLE = Table(
    database="we_mart",
    name="stats_wv_d_platform",
    description="One row per platform and business day; sessions of no known platform are the row without one.",
    grain=("key_date", "platform"),
    columns=(
        KEY_DATE,
        column("platform", "string", "TV, APP, PC or MWEB"),
        column("sess_cnt", "bigint", "sessions", at_least(1), nullable=False),
        PART_DATE,
        RUN_TIMESTAMP,
    ),
    table_checks=(
        TableCheck("sessions_add_up", "the platforms' sessions are all sessions of the day", _days_with_other_count),
    ),
)


@mart(TABLE, sessions=same_day(wv_sess_daily))
def stats_wv_d_platform(sessions: ir.Table) -> ir.Table:
    """Each session counts once, for the platform that it was last known on."""
    return sessions.group_by("key_date", "part_date", "platform").aggregate(sess_cnt=sessions.sess_id.nunique())
