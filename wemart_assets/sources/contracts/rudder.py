"""Contract of RudderStack's events: what visitors of a site or an app were tracked doing."""

from __future__ import annotations

from wemart_assets.lake.table import column
from wemart_assets.sources.contract import Contract, Kind

tracks = Contract(
    database="rudder",
    name="tracks",
    description="One row per tracked event. Of a repeated id the row that was received first stays.",
    kind=Kind.FACTS,
    instant="timestamp",
    key=("id",),
    # RudderStack delivers at least once: an event may come again.
    first_by="received_at",
    columns=(
        column("id", "string", "id of the event", nullable=False),
        column("anonymous_id", "string", "id of the browser or the app's installation"),
        column("user_id", "string", "id of the user, NULL while nobody is logged in"),
        column("event", "string", "what happened"),
        column("timestamp", "timestamp", "instant at which it happened (UTC)", nullable=False),
        column("received_at", "timestamp", "instant at which RudderStack received it (UTC)"),
    ),
)
