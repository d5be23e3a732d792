"""Contracts of reference data."""

from __future__ import annotations

from wemart_assets.lake.table import column
from wemart_assets.sources.contract import Contract, Kind

v_to_wv_comm_mapping = Contract(
    database="we_meta",
    name="v_to_wv_comm_mapping",
    description="One row per channel of the former live service, with the community that replaced it.",
    kind=Kind.SNAPSHOT,
    key=("v_channel_id",),
    columns=(
        column("v_channel_id", "bigint", "channel of the former live service", nullable=False),
        column("comm_id", "bigint", "community"),
    ),
)

we_country = Contract(
    database="we_meta",
    name="we_country",
    description="One row per country, with its name and region.",
    kind=Kind.SNAPSHOT,
    key=("ctry_code",),
    columns=(
        column("ctry_code", "string", "two-letter country code", nullable=False),
        column("ctry_name", "string", "English name"),
        column("region_type", "string", "region of the world"),
    ),
)
