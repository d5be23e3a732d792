"""Contract of what ties the id spaces of other services to accounts."""

from __future__ import annotations

from wemart_assets.lake.table import column
from wemart_assets.sources.contract import INT32, Contract, Kind

# The spaces that marts look ids up in: the user ids of rudder.tracks, the advertising ids of igaworks.
RUDDER, ADID = "rudder", "adid"

identity_map = Contract(
    database="core",
    name="identity_map",
    description="One row per id that another service knows an account by.",
    kind=Kind.SNAPSHOT,
    key=("space", "foreign_id"),
    columns=(
        column("space", "string", f"whose ids they are, such as `{RUDDER}` and `{ADID}`", nullable=False),
        column("foreign_id", "string", "id in that space", nullable=False),
        column("we_member_id", "bigint", "account", INT32, nullable=False),
    ),
)
