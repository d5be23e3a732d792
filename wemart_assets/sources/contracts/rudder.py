"""Contract of RudderStack's events: tracked actions of visitors to a site or an app."""

from __future__ import annotations

from wemart_assets.lake.table import column
from wemart_assets.sources.contract import Contract, Kind

tracks = Contract(
    database="rudder",
    name="tracks",
    description="One row per tracked event. Of rows with the same id, the first received is kept.",
    kind=Kind.FACTS,
    instant="timestamp",
    key=("id",),
    # RudderStack delivers at least once, so an event may arrive again.
    first_by="received_at",
    columns=(
        column("id", "string", "event id", nullable=False),
        column("anonymous_id", "string", "id of the browser or app installation"),
        column("user_id", "string", "user id, NULL while nobody is logged in"),
        column("event", "string", "name of the event"),
        column("timestamp", "timestamp", "instant of the event (UTC)", nullable=False),
        column("received_at", "timestamp", "instant at which RudderStack received it (UTC)"),
    ),
)
