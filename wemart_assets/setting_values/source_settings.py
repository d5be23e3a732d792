"""What the sources need of the settings."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from wemart_assets.lake.location import Location, Storage


@dataclass(frozen=True)
class SourceSettings:
    """The settings that the sources read, under the names that they have in `settings.Settings`."""

    sources: Path | None
    landing: Location
    lake: Location
    storage: Storage
    timezone: str
    first_day: dt.date
