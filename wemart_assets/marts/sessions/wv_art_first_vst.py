"""`we_mart.wv_art_first_vst`: the day each member first visited an artist, once and for all: the cohorts of visits."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.inputs import same_period, up_to
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import KEY_DATE, PART_DATE, RUN_TIMESTAMP, Table, TableCheck, column
from wemart_assets.marts.sessions.rules import ROWS_WITHOUT_ACCOUNT
from wemart_assets.marts.sessions.wv_sess_daily import wv_sess_daily

PAIR = ("we_member_id", "we_art_id")


def _visits(sessions: ir.Table) -> ir.Table:
    return sessions.filter(sessions.we_member_id.notnull() & sessions.we_art_id.notnull())


def _never_first(staged: ir.Table, before: ir.Table, sessions: ir.Table) -> ir.Table:
    """The day's visits of members to artists that they first visited neither that day nor before."""
    firsts = ibis.union(*(t.select(*PAIR, first="part_date") for t in (staged, before)))
    visits = _visits(sessions).select("part_date", *PAIR).distinct()
    return visits.anti_join(firsts, [*PAIR, firsts.first <= visits.part_date])


def _first_twice(staged: ir.Table, before: ir.Table) -> ir.Table:
    firsts = ibis.union(*(t.select(*PAIR, "part_date") for t in (staged, before.semi_join(staged, PAIR))))
    repeated = firsts.group_by(*PAIR).aggregate(days=firsts.count(), part_date=firsts.part_date.max())
    return repeated.filter(repeated.days > 1)


def _without_visit(staged: ir.Table, sessions: ir.Table) -> ir.Table:
    return staged.anti_join(_visits(sessions), ["part_date", *PAIR])


TABLE = Table(
    database="we_mart",
    name="wv_art_first_vst",
    description="One row per member and artist: the first business day on which the member visited a community of the "
    "artist. The members of a day, or of a week or month, are its cohort.",
    grain=PAIR,
    may_be_empty=True,
    columns=(
        KEY_DATE,
        column("we_member_id", "int", "account", nullable=False),
        column("we_art_id", "int", "artist of the community", nullable=False),
        PART_DATE,
        RUN_TIMESTAMP,
    ),
    table_checks=(
        TableCheck("in_a_cohort", "no member visits an artist before their first visit", _never_first),
        TableCheck("in_one_cohort", "no member has two first visits to an artist", _first_twice),
        TableCheck("with_a_visit", "every member visited the artist on that day", _without_visit),
    ),
    measures=(ROWS_WITHOUT_ACCOUNT,),
)


@mart(TABLE, sessions=same_period(wv_sess_daily), before=up_to(TABLE, inclusive=False))
def wv_art_first_vst(sessions: ir.Table, before: ir.Table) -> ir.Table:
    """Visits of members to artists that they had not visited before."""
    visits = _visits(sessions)
    firsts = visits.group_by(*PAIR).aggregate(part_date=visits.part_date.min())
    firsts = firsts.anti_join(before, PAIR)
    return firsts.mutate(key_date=firsts.part_date.cast("date"))
