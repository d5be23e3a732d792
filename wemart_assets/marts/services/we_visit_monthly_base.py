"""`we_mart.we_visit_monthly_base`: visits of members to services by month."""

from __future__ import annotations

import ibis.expr.types as ir

from wemart_assets.lake.days import Period
from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.marts.services.visit_base import visit_base_table, visits_by_period
from wemart_assets.marts.services.we_user_visit import we_user_visit

TABLE = visit_base_table("we_visit_monthly_base", Period.MONTH)


@mart(TABLE, visits=same_period(we_user_visit))
def we_visit_monthly_base(visits: ir.Table) -> ir.Table:
    """Days, visits and seconds of each member and service over the month."""
    return visits_by_period(visits, Period.MONTH)
