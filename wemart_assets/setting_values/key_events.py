"""Key events: the format of the setting `WEMART_KEY_EVENTS`, and its default.

Nothing is computed here, so settings can be read without an engine.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

FIRST_VISIT = "first_visit"
# As the value in a condition: any value but NULL.
KNOWN = "*"


class LogLine(BaseModel):
    """A condition on a line of `we_mart.wv_server_log_base`: every named column has the given value."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    topic: str | None = None
    method: str | None = None
    is_join: str | None = None
    is_leave: str | None = None
    post_id: str | None = None
    comm_id: str | None = None
    notice_id: str | None = None
    chat_id: str | None = None
    media_type: str | None = None
    video_id: str | None = None
    section_type: str | None = None
    is_product: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _names_columns(cls, given: Any) -> Any:
        if isinstance(given, dict) and (unknown := sorted(set(map(str, given)) - set(cls.model_fields))):
            raise ValueError(
                f"unknown column {', '.join(map(repr, unknown))}; expected one of {', '.join(cls.model_fields)}"
            )
        if given == {}:
            raise ValueError("a condition on a log line must name at least one column")
        if isinstance(given, dict) and (nulls := sorted(name for name, value in given.items() if value is None)):
            # Treated as no condition, it would turn every line into an event.
            raise ValueError(f'{", ".join(nulls)} is null: give the value to match, or "{KNOWN}" for any value')
        return given

    def values(self) -> dict[str, str]:
        """The named columns and the value of each."""
        return self.model_dump(exclude_none=True)


class KeyEvent(BaseModel):
    """A key event: log lines that meet any of the conditions, and tracks with any of the names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    log: tuple[LogLine, ...] = ()
    tracks: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _says_something(cls, given: Any) -> Any:
        if isinstance(given, dict) and (set(given) - set(cls.model_fields) or not any(given.values())):
            raise ValueError('an event needs conditions on log lines ("log"), names of tracks ("tracks"), or both')
        return given


def check_names(events: dict[str, KeyEvent]) -> None:
    """Raises ValueError if there is no event, or a name is empty or reserved."""
    if not events:
        raise ValueError("there has to be at least one key event")
    if FIRST_VISIT in events:
        raise ValueError(f"'{FIRST_VISIT}' is the first visit itself; give the event another name")
    if any(not name.strip() for name in events):
        raise ValueError("every key event needs a name")


# 1: a community join. 2: a view of a post or a live.
DEFAULT_KEY_EVENTS = {
    "key_event_1": KeyEvent(log=(LogLine(is_join="1"),)),
    "key_event_2": KeyEvent(
        log=(LogLine(topic="weverse.post", method="GET", post_id=KNOWN), LogLine(media_type="LIVE"))
    ),
}
