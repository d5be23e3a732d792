"""`we_mart.stats_we_d_visit_new`: visits to all services by artist and region."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.table import KEY_DATE, PART_DATE, Table, column
from wemart_assets.lake.view import view
from wemart_assets.marts.community.rules import matched
from wemart_assets.marts.services.rules import ALBUM, PHONING, SHOP, WEVERSE
from wemart_assets.marts.sessions.wv_sess_daily import wv_sess_daily
from wemart_assets.sources.contracts.we_mart import ph_sess_daily, wa_sess_daily, ws_user_daily
from wemart_assets.sources.contracts.we_meta import we_country

TABLE = Table(
    database="we_mart",
    name="stats_we_d_visit_new",
    description="One row per business day, service, artist and region with a visit, with or without an account.",
    grain=("key_date", "service", "we_art_id", "region"),
    columns=(
        KEY_DATE,
        column("service", "string", "weverse, shop, phoning or album", nullable=False),
        column("we_art_id", "int", "artist, NULL for visits that concern no artist"),
        column("region", "string", "region of the visitor's country, NULL if unknown"),
        column("visits", "bigint", "user sessions on Weverse, rows of the other services", nullable=False),
        PART_DATE,
    ),
)


@view(
    TABLE,
    sessions=wv_sess_daily,
    shop=ws_user_daily,
    phoning=ph_sess_daily,
    album=wa_sess_daily,
    countries=we_country,
)
def stats_we_d_visit_new(
    sessions: ir.Table, shop: ir.Table, phoning: ir.Table, album: ir.Table, countries: ir.Table
) -> ir.Table:
    """A user session counts once per artist; equal rows of the other services all count."""
    by = ("key_date", "part_date", "service", "we_art_id", "ctry")
    once = sessions.mutate(service=ibis.literal(WEVERSE), ctry=sessions.user_ctry)
    once = once.select(*by, "user_sess_id").distinct().select(*by)
    others = [
        rows.mutate(service=ibis.literal(service)).select(*by)
        for service, rows in ((SHOP, shop), (PHONING, phoning), (ALBUM, album))
    ]
    of_country = countries.select("part_date", ctry="ctry_code", region="region_type")
    visits = matched(ibis.union(once, *others), of_country, ["part_date", "ctry"])
    return visits.group_by("key_date", "part_date", "service", "we_art_id", "region").aggregate(visits=visits.count())
