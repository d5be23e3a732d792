"""The analyst's door: SQL over the lake, read-only, each table under the names that its documents use.

Reports that count users are also table functions over a range of days, `igaworks.hard_funnel_between(first, last)`.

A query sees `we_mart.wv_sess_daily`, `wev_prod.we_mart.wv_sess_daily` and plain `wv_sess_daily`. `create table ... as`
and `create view` shadow a name for that session only, in memory. Two walls keep the lake as it is, each by itself:
`statements` lets nothing through but what is known to read, and `files` gives DuckDB no means to write, nor to read
anything but the published data files of the tables that are named.
"""

from wemart_assets.sql.session import CATALOG, Analyst, Rows, analyst
from wemart_assets.sql.statements import QueryRefused

__all__ = ["CATALOG", "Analyst", "QueryRefused", "Rows", "analyst"]
