"""Contract of the table that maps other services' ids to accounts."""

from __future__ import annotations

from wemart_assets.lake.table import column
from wemart_assets.sources.contract import INT32, Contract, Kind

# The id spaces that the marts read: user ids of rudder.tracks, and igaworks' advertising ids.
RUDDER, ADID = "rudder", "adid"

identity_map = Contract(
    database="core",
    name="identity_map",
    description="One row per account id in another service, with the account.",
    kind=Kind.SNAPSHOT,
    key=("space", "foreign_id"),
    columns=(
        column("space", "string", f"id space of foreign_id, such as `{RUDDER}` or `{ADID}`", nullable=False),
        column("foreign_id", "string", "id in that space", nullable=False),
        column("we_member_id", "bigint", "account", INT32, nullable=False),
    ),
)
