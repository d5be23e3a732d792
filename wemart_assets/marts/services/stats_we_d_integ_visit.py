"""`we_mart.stats_we_d_integ_visit`: members by the set of services they used on a day."""

from __future__ import annotations

from itertools import combinations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import KEY_DATE, PART_DATE, RUN_TIMESTAMP, Table, TableCheck, at_least, column, one_of
from wemart_assets.lake.volume import volume_check
from wemart_assets.marts.services.rules import SERVICES, service_sets
from wemart_assets.marts.services.we_user_visit import we_user_visit
from wemart_assets.marts.sessions.rules import unequal

ANY = "any"
SETS = ["+".join(names) for size in range(1, len(SERVICES) + 1) for names in combinations(SERVICES, size)]


def _members_of_days(visits: ir.Table) -> ir.Table:
    """The members of each day, counted from the rows of we_user_visit."""
    members = visits.group_by("part_date", "we_member_id").aggregate(services=visits.count())
    return members.group_by("part_date").aggregate(expected=members.count())


def _days_whose_sets_differ(staged: ir.Table, visits: ir.Table) -> ir.Table:
    sets = staged.filter(staged.services != ANY)
    actual = sets.group_by("part_date").aggregate(actual=sets.member_cnt.sum())
    return unequal(actual, _members_of_days(visits), ["part_date"])


def _days_whose_any_differs(staged: ir.Table, visits: ir.Table) -> ir.Table:
    actual = staged.filter(staged.services == ANY).select("part_date", actual="member_cnt")
    return unequal(actual, _members_of_days(visits), ["part_date"])


def _services_off_count(staged: ir.Table, visits: ir.Table) -> ir.Table:
    """Services whose members, over all sets that contain them, are not those of we_user_visit."""
    by = ["part_date", "service"]
    counts = []
    for service in SERVICES:
        sets = staged.filter(staged.services.contains(service))
        counts.append(sets.group_by("part_date", service=ibis.literal(service)).aggregate(actual=sets.member_cnt.sum()))
    return unequal(ibis.union(*counts), visits.group_by(*by).aggregate(expected=visits.count()), by)


TABLE = Table(
    database="we_mart",
    name="stats_we_d_integ_visit",
    description="One row per business day and set of services: the members who used exactly these services. The row "
    f"`{ANY}` counts the members who used at least one.",
    grain=("key_date", "services"),
    columns=(
        KEY_DATE,
        column(
            "services",
            "string",
            f"names of the services in fixed order, joined by `+`; or `{ANY}`",
            one_of(*SETS, ANY),
            nullable=False,
        ),
        column("member_cnt", "bigint", "members", at_least(1), nullable=False),
        PART_DATE,
        RUN_TIMESTAMP,
    ),
    table_checks=(
        TableCheck(
            "sets_add_up", "the members of all sets add up to the members of we_user_visit", _days_whose_sets_differ
        ),
        TableCheck("any_counted_anew", f"`{ANY}` has each member of we_user_visit once", _days_whose_any_differs),
        TableCheck(
            "services_add_up",
            "the sets that contain a service add up to its members in we_user_visit",
            _services_off_count,
        ),
        volume_check(),
    ),
)


@mart(TABLE, visits=same_period(we_user_visit))
def stats_we_d_integ_visit(visits: ir.Table) -> ir.Table:
    """Each member is in exactly one set, and in the row of any."""
    members = service_sets(visits)
    by = ("key_date", "part_date", "services")
    sets = members.group_by(*by).aggregate(member_cnt=members.count())
    of_any = visits.group_by("key_date", "part_date", services=ibis.literal(ANY)).aggregate(
        member_cnt=visits.we_member_id.nunique()
    )
    return ibis.union(sets, of_any)
