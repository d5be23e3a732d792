"""`we_mart.we_user_visit`: which members visited which service on a day."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import (
    KEY_DATE,
    PART_DATE,
    RUN_TIMESTAMP,
    Measure,
    RowCheck,
    Table,
    TableCheck,
    at_least,
    column,
    one_of,
)
from wemart_assets.lake.volume import volume_check
from wemart_assets.marts.services.rules import ALBUM, PHONING, SERVICES, SHOP, WEVERSE, of_accounts
from wemart_assets.marts.sessions.rules import seconds_once, unequal
from wemart_assets.marts.sessions.wv_sess_daily import wv_sess_daily
from wemart_assets.sources.contracts.we_mart import ph_sess_daily, wa_sess_daily, ws_user_daily

BY = ("key_date", "part_date", "we_member_id", "service")


def _services_off_count(
    staged: ir.Table, sessions: ir.Table, shop: ir.Table, phoning: ir.Table, album: ir.Table
) -> ir.Table:
    """Members whose visits to a service are not those of its rows."""
    by = ["part_date", "we_member_id", "service"]
    known = of_accounts(sessions)
    counts = [
        known.group_by("part_date", "we_member_id", service=ibis.literal(WEVERSE)).aggregate(
            expected=known.user_sess_id.nunique()
        )
    ]
    for service, rows in ((SHOP, shop), (PHONING, phoning), (ALBUM, album)):
        known = of_accounts(rows)
        counts.append(
            known.group_by("part_date", "we_member_id", service=ibis.literal(service)).aggregate(expected=known.count())
        )
    return unequal(staged.select(*by, actual="visits"), ibis.union(*counts), by)


def _members_with_other_seconds(staged: ir.Table, sessions: ir.Table) -> ir.Table:
    by = ["part_date", "we_member_id"]
    expected = seconds_once(of_accounts(sessions), by).rename(expected="seconds")
    return unequal(staged.filter(staged.seconds.notnull()).select(*by, actual="seconds"), expected, by)


def _without_account(sessions: ir.Table, shop: ir.Table, phoning: ir.Table, album: ir.Table) -> ir.IntegerScalar:
    rows = [t.select(we_member_id=t.we_member_id.cast("int64")) for t in (sessions, shop, phoning, album)]
    every = ibis.union(*rows)
    return every.count(where=every.we_member_id.isnull())


TABLE = Table(
    database="we_mart",
    name="we_user_visit",
    description="One row per business day, member and service that the member visited. A member is an account on any "
    "service; visits without an account are left out.",
    grain=("key_date", "we_member_id", "service"),
    columns=(
        KEY_DATE,
        column("we_member_id", "int", "account", nullable=False),
        column("service", "string", "weverse, shop, phoning or album", one_of(*SERVICES), nullable=False),
        column("visits", "bigint", "user sessions on Weverse, rows of the other services", at_least(1), nullable=False),
        column("seconds", "bigint", "total seconds of the user sessions; NULL for other services", at_least(1)),
        column("ctry", "string", "most frequent country among the rows, the smallest on a tie; NULL if no row has one"),
        PART_DATE,
        RUN_TIMESTAMP,
    ),
    row_checks=(
        RowCheck(
            "seconds_of_weverse",
            "seconds are known if and only if the service is Weverse",
            lambda t: t.seconds.notnull() == (t.service == WEVERSE),
        ),
    ),
    table_checks=(
        TableCheck("visits_add_up", "visits are the member's sessions or rows of the service", _services_off_count),
        TableCheck("durations_add_up", "seconds are those of the member's user sessions", _members_with_other_seconds),
        volume_check(),
    ),
    measures=(Measure("rows without an account, left out", _without_account),),
)


@mart(
    TABLE,
    sessions=same_period(wv_sess_daily),
    shop=same_period(ws_user_daily),
    phoning=same_period(ph_sess_daily),
    album=same_period(wa_sess_daily),
)
def we_user_visit(sessions: ir.Table, shop: ir.Table, phoning: ir.Table, album: ir.Table) -> ir.Table:
    """A user session counts once, whatever the communities that it visited. Equal rows of other services all count."""
    sessions = of_accounts(sessions).mutate(service=ibis.literal(WEVERSE), ctry=sessions.user_ctry)
    others = ibis.union(
        *(
            of_accounts(rows).select("key_date", "part_date", "we_member_id", "ctry", service=ibis.literal(service))
            for service, rows in ((SHOP, shop), (PHONING, phoning), (ALBUM, album))
        )
    )
    once = sessions.select(*BY, "user_sess_id", seconds="user_sess_dur").distinct()
    visits = ibis.union(once.drop("user_sess_id"), others.select(*BY, seconds=ibis.null("int64")))
    visits = visits.group_by(*BY).aggregate(visits=visits.count(), seconds=visits.seconds.sum())
    countries = _countries_of_most_rows(ibis.union(sessions.select(*BY, "ctry"), others.select(*BY, "ctry")))
    return visits.left_join(countries, list(BY)).select(*(visits[c] for c in visits.columns), countries.ctry)


def _countries_of_most_rows(rows: ir.Table) -> ir.Table:
    """The country of each member and service; those whose rows name none are left out."""
    rows = rows.filter(rows.ctry.notnull())
    counts = rows.group_by(*BY, "ctry").aggregate(named=rows.count())
    most_first = ibis.window(group_by=BY, order_by=[counts.named.desc(), counts.ctry])
    counts = counts.mutate(place=ibis.row_number().over(most_first))
    return counts.filter(counts.place == 0).drop("place", "named")
