"""Contract of the service's server log."""

from __future__ import annotations

from wemart_assets.lake.table import column
from wemart_assets.sources.contract import MILLISECONDS, Contract, Kind

weverse_server_log = Contract(
    database="service_log",
    name="weverse_server_log",
    description="One row per line of the server log. Duplicate lines are kept.",
    kind=Kind.FACTS,
    instant="unix_log_timestamp",
    day_column="date_id",
    columns=(
        column(
            "unix_log_timestamp",
            "bigint",
            "instant of the line, milliseconds since the epoch",
            MILLISECONDS,
            nullable=False,
        ),
        column("user_info_user_key", "string", "the service's key for the user"),
        column("user_info_id", "bigint", "Weverse user id, 0 if nobody is logged in"),
        column("user_info_device_id", "string", "device (browser) id"),
        column("user_info_status", "string", "account status"),
        column("user_info_ip_address", "string", "IP address of the client"),
        column("user_info_locale", "string", "locale of the client"),
        column("user_info_country", "string", "country of the user"),
        column("user_info_user_agent", "string", "user agent"),
        column("topic", "string", "topic of the log line"),
        column("url", "string", "requested URL"),
        column("params", "string", "request parameters, a JSON object"),
    ),
)
