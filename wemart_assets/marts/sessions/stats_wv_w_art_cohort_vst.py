"""`we_mart.stats_wv_w_art_cohort_vst`: who of each week's new visitors of an artist still visits."""

from __future__ import annotations

from collections.abc import Sequence

import ibis.expr.types as ir

from wemart_assets.lake.days import Period
from wemart_assets.lake.inputs import same_period, up_to
from wemart_assets.lake.mart import mart
from wemart_assets.marts.sessions.cohorts import cohort_table, cohort_visits
from wemart_assets.marts.sessions.wv_art_first_vst import wv_art_first_vst
from wemart_assets.marts.sessions.wv_visit_weekly_base import wv_visit_weekly_base

TABLE = cohort_table("stats_wv_w_art_cohort_vst", Period.WEEK)


@mart(TABLE, firsts=up_to(wv_art_first_vst), base=same_period(wv_visit_weekly_base))
def stats_wv_w_art_cohort_vst(firsts: ir.Table, base: ir.Table, days: Sequence[str]) -> ir.Table:
    """Members of each cohort who visited the artist in the week."""
    return cohort_visits(firsts, base, days, Period.WEEK)
