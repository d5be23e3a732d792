"""Contracts of tables that other teams keep in the mart's database: accounts, artists, memberships."""

from __future__ import annotations

from wemart_assets.lake.table import FLAG, column
from wemart_assets.sources.contract import INT32, Contract, Kind

we_user = Contract(
    database="we_mart",
    name="we_user",
    words="One row an account, with its Weverse user where it has one.",
    kind=Kind.SNAPSHOT,
    key=("we_member_id",),
    unique_where_known=(("wv_user_id",),),
    columns=(
        column("we_member_id", "bigint", "account", INT32, nullable=False),
        column("wv_user_id", "bigint", "Weverse user", INT32),
        column("wv_status", "string", "status of the Weverse user"),
        column("wv_leave_dt", "timestamp", "instant at which the user left Weverse (UTC)"),
        column("wv_first_join_dt", "timestamp", "instant of the first join (UTC)"),
        column("ctry_code", "string", "country of the account"),
        column("vlive_id", "bigint", "account of the former live service"),
    ),
)

we_artist = Contract(
    database="we_mart",
    name="we_artist",
    words="One row an artist, with the community.",
    kind=Kind.SNAPSHOT,
    key=("we_art_id",),
    unique_where_known=(("comm_id",),),
    newest_in_sql=True,
    columns=(
        column("we_art_id", "int", "artist", nullable=False),
        column("we_art_name", "string", "name of the artist"),
        column("comm_id", "bigint", "community of the artist"),
    ),
)

ws_fc_user_history = Contract(
    database="we_mart",
    name="ws_fc_user_history",
    words="One row a membership order of an account for an artist.",
    kind=Kind.SNAPSHOT,
    key=("we_member_id", "we_art_id", "fc_id", "create_dt"),
    columns=(
        column("we_member_id", "bigint", "account", INT32, nullable=False),
        column("we_art_id", "int", "artist", nullable=False),
        column("comm_id", "bigint", "community"),
        column("fc_id", "bigint", "membership product", nullable=False),
        column("create_dt", "timestamp", "instant of the order (UTC)", nullable=False),
        column("start_dt", "timestamp", "instant from which it runs (UTC)", nullable=False),
        column("end_dt", "timestamp", "instant at which it ends (UTC), NULL while open"),
        column("ord_status", "string", "status of the order"),
        column("is_cx_by_restore", "int", "1 where a restore cancelled it", FLAG),
    ),
)

wv_comm_user = Contract(
    database="we_mart",
    name="wv_comm_user",
    words="One row a community and member, as of the day.",
    kind=Kind.SNAPSHOT,
    key=("comm_id", "wv_user_id"),
    columns=(
        column("comm_id", "bigint", "community", nullable=False),
        column("wv_user_id", "bigint", "Weverse user", INT32, nullable=False),
        column("art_indi_id", "string", "id of the artist's member, where the user is one"),
        column("art_indi_type", "string", "kind of the artist's member"),
    ),
)
