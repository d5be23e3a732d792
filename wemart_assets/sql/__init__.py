"""Read-only SQL over the lake for analysts, with each table under the names that its documents use.

Reports that count users are also table functions over a range of days, `igaworks.hard_funnel_between(first, last)`.

A query can name `we_mart.wv_sess_daily`, `wev_prod.we_mart.wv_sess_daily` or plain `wv_sess_daily`. `create table ...
as` and `create view` shadow a name in memory, for that session only. Two independent walls protect the lake:
`statements` only lets through what is known to read, and `files` gives DuckDB no means to write, nor to read anything
but the published data files of the tables that a query names.

`shell` runs statements and commands one after the other, `prompt` reads them from a terminal, and `export` copies what
a session shows into a DuckDB file.
"""

from wemart_assets.sql.session import CATALOG, Analyst, Rows, analyst
from wemart_assets.sql.statements import QueryRefused

__all__ = ["CATALOG", "Analyst", "QueryRefused", "Rows", "analyst"]
