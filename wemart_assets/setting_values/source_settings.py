"""What the sources need of the settings."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SourceSettings:
    """The settings that the sources read, under the names that they have in `settings.Settings`."""

    sources: Path | None
    landing: Path
    lake: Path
    timezone: str
    first_day: dt.date
