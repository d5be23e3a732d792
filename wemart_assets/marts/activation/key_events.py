"""What a key event is: the form of the setting `WEMART_KEY_EVENTS`, and the events that it names by default.

Nothing is computed here, so that settings are read without an engine.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

FIRST_VISIT = "first_visit"
# As a value of a condition: anything that is known.
KNOWN = "*"


class LogLine(BaseModel):
    """A condition on a line of `we_mart.wv_server_log_base`: every column that is named has the value that is given."""

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
            raise ValueError(f"a log line is not told by {', '.join(unknown)}, but by {', '.join(cls.model_fields)}")
        if given == {}:
            raise ValueError("a condition on a log line names at least one column")
        if isinstance(given, dict) and (unsaid := sorted(name for name, value in given.items() if value is None)):
            # Taken for no condition, it would make an event of every line.
            raise ValueError(f'{", ".join(unsaid)} is null: say the value that it has to have, or "{KNOWN}" for any')
        return given

    def values(self) -> dict[str, str]:
        """The columns that are named, with what each has to be."""
        return self.model_dump(exclude_none=True)


class KeyEvent(BaseModel):
    """How an event is known: by lines of the log that meet any of the conditions, and by tracks of any of the names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    log: tuple[LogLine, ...] = ()
    tracks: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _says_something(cls, given: Any) -> Any:
        if isinstance(given, dict) and (set(given) - set(cls.model_fields) or not any(given.values())):
            raise ValueError('an event has conditions on log lines ("log"), names of tracks ("tracks"), or both')
        return given


def check_names(events: dict[str, KeyEvent]) -> None:
    """Raises ValueError where an event cannot be told apart by its name."""
    if not events:
        raise ValueError("there has to be at least one key event")
    if FIRST_VISIT in events:
        raise ValueError(f"'{FIRST_VISIT}' is the first visit itself; give the event another name")
    if any(not name.strip() for name in events):
        raise ValueError("every key event needs a name")


# A community is joined; a post or a live is looked at.
DEFAULT_KEY_EVENTS = {
    "key_event_1": KeyEvent(log=(LogLine(is_join="1"),)),
    "key_event_2": KeyEvent(
        log=(LogLine(topic="weverse.post", method="GET", post_id=KNOWN), LogLine(media_type="LIVE"))
    ),
}
