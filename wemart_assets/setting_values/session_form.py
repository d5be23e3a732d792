"""How sessions are found in the log."""

from __future__ import annotations

from enum import StrEnum


class SessionForm(StrEnum):
    """The form of the query that finds sessions (`marts/sessions/sessionization.py`): both forms give the same rows."""

    BUCKETS = "buckets"
    WINDOWS = "windows"
