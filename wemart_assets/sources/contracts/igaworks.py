"""Contracts of the attribution service's files: events of the apps, and what brought their users.

The files have no header and a literal `null`; they span many days, and their times are those of a clock in the
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
    column("event_name", "string", "what happened, such as firstopen, login or purchase"),
    column("log_id", "string", "id of the log line"),
    column("server_datetime", "timestamp", "instant at which the server got it (UTC)"),
    column("quantity", "bigint", "pieces of a purchase"),
    column("price", "decimal(18,4)", "amount of a purchase"),
)
ATTRIBUTION_COLUMNS = (
    column("partner", "string", "who showed the campaign"),
    column("campaign", "string", "campaign, NULL where there is none"),
    column("server_datetime", "timestamp", "instant at which the server got it (UTC)"),
    column("tracker_id", "string", "id of the tracking link"),
    column("log_id", "string", "id of the log line"),
    column("attribution_type", "int", "0 a new install, 1 another"),
    column("identity_adid", "string", "advertising id of the device: the user"),
)


def headerless(columns: Sequence[Column]) -> FileFormat:
    """CSV without a header, its columns in this order."""
    return FileFormat(FileKind.CSV, null="null", names=tuple(c.name for c in columns))


event = Contract(
    database="igaworks",
    name="event",
    description="One row per event of an app. Equal rows are all kept.",
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
    description="One row per touch that an install or a return is attributed to. Equal rows are all kept.",
    kind=Kind.FACTS,
    # Who came before the first day there is, came through a campaign all the same.
    is_history=True,
    instant="server_datetime",
    local_times=True,
    unknown_time=UNKNOWN_TIME,
    columns=ATTRIBUTION_COLUMNS,
    form=headerless(ATTRIBUTION_COLUMNS),
)
