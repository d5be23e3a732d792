"""Contracts of the attribution service's files: app events, and the campaigns that brought the users.

The files have no header and write NULL as `null`. One file spans many days, and its times are local times in the
business timezone.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from wemart_assets.lake.engine import FileFormat, FileKind
from wemart_assets.lake.table import Column, column
from wemart_assets.sources.contract import Contract, Kind

UNKNOWN_TIME = dt.datetime(1, 1, 1)
EVENT_COLUMNS = (
    column("identity_adid", "string", "advertising id of the device: the user"),
    column("os", "string", "operating system"),
    column("model", "string", "model of the device"),
    column("country", "string", "country of the device"),
    column("event_name", "string", "name of the event, such as firstopen, login or purchase"),
    column("log_id", "string", "id of the log line"),
    column("server_datetime", "timestamp", "instant at which the server got it (UTC)"),
    column("quantity", "bigint", "number of items purchased"),
    column("price", "decimal(18,4)", "amount of the purchase"),
)
ATTRIBUTION_COLUMNS = (
    column("partner", "string", "partner that ran the campaign"),
    column("campaign", "string", "campaign, NULL if there is none"),
    column("server_datetime", "timestamp", "instant at which the server got it (UTC)"),
    column("tracker_id", "string", "id of the tracking link"),
    column("log_id", "string", "id of the log line"),
    column("attribution_type", "int", "0 for a new install, 1 for anything else"),
    column("identity_adid", "string", "advertising id of the device: the user"),
)


def headerless(columns: Sequence[Column]) -> FileFormat:
    """CSV without a header, with the columns in this order."""
    return FileFormat(FileKind.CSV, null="null", names=tuple(c.name for c in columns))


event = Contract(
    database="igaworks",
    name="event",
    description="One row per app event. Duplicate rows are kept.",
    kind=Kind.FACTS,
    instant="server_datetime",
    local_times=True,
    unknown_time=UNKNOWN_TIME,
    columns=EVENT_COLUMNS,
    form=headerless(EVENT_COLUMNS),
)

attribution = Contract(
    database="igaworks",
    name="attribution",
    description="One row per touch that an install or a return is attributed to. Duplicate rows are kept.",
    kind=Kind.FACTS,
    # Touches before the first partition count too: those users still came through a campaign.
    is_history=True,
    instant="server_datetime",
    local_times=True,
    unknown_time=UNKNOWN_TIME,
    columns=ATTRIBUTION_COLUMNS,
    form=headerless(ATTRIBUTION_COLUMNS),
)
