"""`igaworks.first_open`: the day each user first opened the app, once and for all: the cohorts of retention."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.inputs import same_period, up_to
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import KEY_DATE, Table, TableCheck, column
from wemart_assets.marts.attribution.rules import DAY_COLUMNS, is_step, with_user
from wemart_assets.setting_values.app_events import FIRSTOPEN, AppEvents
from wemart_assets.sources.contracts.igaworks import event


def _openings(events: ir.Table, app_events: AppEvents) -> ir.Table:
    return with_user(events).filter(is_step(events, FIRSTOPEN, app_events))


def _not_in_any_cohort(staged: ir.Table, before: ir.Table, events: ir.Table, app_events: AppEvents) -> ir.Table:
    """The day's openings by users who are in no cohort of that day or before."""
    cohorts = ibis.union(*(t.select(user="identity_adid", cohort="part_date") for t in (staged, before)))
    openings = _openings(events, app_events).select("part_date", "identity_adid").distinct()
    return openings.anti_join(cohorts, [openings.identity_adid == cohorts.user, cohorts.cohort <= openings.part_date])


def _in_two_cohorts(staged: ir.Table, before: ir.Table) -> ir.Table:
    earlier = before.semi_join(staged, "identity_adid")
    cohorts = ibis.union(*(t.select("identity_adid", "part_date") for t in (staged, earlier)))
    repeated = cohorts.group_by("identity_adid").aggregate(days=ibis._.count(), part_date=cohorts.part_date.max())
    return repeated.filter(repeated.days > 1)


def _without_opening(staged: ir.Table, events: ir.Table, app_events: AppEvents) -> ir.Table:
    return staged.anti_join(_openings(events, app_events), ["part_date", "identity_adid", "server_datetime"])


TABLE = Table(
    database="igaworks",
    name="first_open",
    description=(
        "One row per user: their first firstopen at a known time. The users of a business day are its cohort."
    ),
    grain=("identity_adid",),
    columns=(
        KEY_DATE,
        column("identity_adid", "string", "advertising id of the device: the user", nullable=False),
        column("server_datetime", "timestamp", "instant of the first firstopen (UTC)", nullable=False),
        *DAY_COLUMNS,
    ),
    table_checks=(
        TableCheck(
            "in_a_cohort",
            "every user with a firstopen is in the cohort of that day or an earlier one",
            _not_in_any_cohort,
        ),
        TableCheck("in_one_cohort", "no user is in two cohorts", _in_two_cohorts),
        TableCheck("with_a_firstopen", "every user of a cohort has that firstopen on its day", _without_opening),
    ),
)


@mart(TABLE, events=same_period(event), before=up_to(TABLE, inclusive=False))
def first_open(events: ir.Table, before: ir.Table, app_events: AppEvents) -> ir.Table:
    """The first firstopen of each user who is in no earlier cohort."""
    openings = _openings(events, app_events)
    firsts = openings.group_by("identity_adid").aggregate(
        server_datetime=openings.server_datetime.min(), part_date=openings.part_date.min()
    )
    firsts = firsts.anti_join(before, "identity_adid")
    return firsts.mutate(key_date=firsts.part_date.cast("date"))
