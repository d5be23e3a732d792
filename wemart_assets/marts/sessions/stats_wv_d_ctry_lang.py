"""`we_mart.stats_wv_d_ctry_lang`: visitors by country and language."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import KEY_DATE, PART_DATE, RUN_TIMESTAMP, Table, TableCheck, at_least, column
from wemart_assets.lake.volume import volume_check
from wemart_assets.marts.sessions.rules import last_known, unequal, visitor
from wemart_assets.marts.sessions.wv_server_log_base import wv_server_log_base
from wemart_assets.marts.sessions.wv_sess_daily import wv_sess_daily


def _countries_off_count(staged: ir.Table, sessions: ir.Table) -> ir.Table:
    by = ["part_date", "user_ctry"]
    actual = staged.group_by(*by).aggregate(actual=staged.visitor_cnt.sum())
    members = sessions.filter(sessions.we_member_id.notnull()).select(*by, "we_member_id").distinct()
    devices = sessions.filter(sessions.we_member_id.isnull()).select(*by, "device_id").distinct()
    counts = [rows.group_by(*by).aggregate(expected=ibis._.count()) for rows in (members, devices)]
    expected = ibis.union(*counts)
    expected = expected.group_by(*by).aggregate(expected=expected.expected.sum())
    # A visitor has one language, so the languages of a country add up to its visitors.
    return unequal(actual, expected, by)


TABLE = Table(
    database="we_mart",
    name="stats_wv_d_ctry_lang",
    description="One row per business day, country and language. A visitor is an account, or a device without one.",
    grain=("key_date", "user_ctry", "language"),
    columns=(
        KEY_DATE,
        column("user_ctry", "string", "the visitor's last known country that day, NULL if unknown"),
        column("language", "string", "the visitor's last known language that day, NULL if unknown"),
        column("visitor_cnt", "bigint", "visitors", at_least(1), nullable=False),
        PART_DATE,
        RUN_TIMESTAMP,
    ),
    table_checks=(
        TableCheck(
            "visitors_add_up",
            "visitor_cnt adds up, by country, to the visitors of wv_sess_daily",
            _countries_off_count,
        ),
        volume_check(),
    ),
)


@mart(TABLE, sessions=same_period(wv_sess_daily), lines=same_period(wv_server_log_base))
def stats_wv_d_ctry_lang(sessions: ir.Table, lines: ir.Table) -> ir.Table:
    """A visitor's language is the last that a line of the visitor's sessions names."""
    visits = sessions.mutate(visitor=visitor(sessions))
    owners = visits.select("user_sess_id", "visitor", "part_date").distinct()
    owned = lines.inner_join(owners, [lines.user_sess_id == owners.user_sess_id, lines.date_id == owners.part_date])
    languages = last_known(owned, ("part_date", "visitor"), ("language",))
    visitors = visits.select("key_date", "part_date", "user_ctry", "visitor").distinct()
    visitors = visitors.left_join(languages, ["part_date", "visitor"])
    by = ("key_date", "part_date", "user_ctry", "language")
    return visitors.group_by(*by).aggregate(visitor_cnt=visitors.visitor.nunique())
