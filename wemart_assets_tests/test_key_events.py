"""The settings that define key events, and the errors of invalid ones."""

from __future__ import annotations

import json
from typing import Any

import pytest

from wemart_assets.marts.sessions.wv_server_log_base import wv_server_log_base
from wemart_assets.setting_values.key_events import KeyEvent, LogLine
from wemart_assets.settings import SettingsError, load_settings

JOIN = {"log": [{"is_join": 1}]}


def tables_with(monkeypatch: pytest.MonkeyPatch, events: Any, days: str = "[1]") -> dict[str, Any]:
    monkeypatch.setenv("WEMART_KEY_EVENTS", events if isinstance(events, str) else json.dumps(events))
    monkeypatch.setenv("WEMART_KEY_EVENT_DAYS", days)
    return load_settings().for_tables()


def test_by_default_a_join_counts_within_a_day_and_a_view_within_seven() -> None:
    shared = load_settings().for_tables()
    assert [name for name, _ in shared["key_events"]] == ["key_event_1", "key_event_2"]
    assert shared["key_event_days"] == (1, 7)


def test_events_keep_their_order_and_numbers_count_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"z": JOIN, "a": {"tracks": ["buy"], "log": [{"topic": "t", "post_id": "*"}, {"media_type": "LIVE"}]}}
    shared = tables_with(monkeypatch, given, "[3, 14]")
    assert shared["key_events"] == (
        ("z", KeyEvent(log=(LogLine(is_join="1"),))),
        ("a", KeyEvent(tracks=("buy",), log=(LogLine(topic="t", post_id="*"), LogLine(media_type="LIVE")))),
    )
    assert shared["key_event_days"] == (3, 14)


def test_a_condition_names_columns_of_the_log_base() -> None:
    assert set(LogLine.model_fields) <= {c.name for c in wv_server_log_base.table.columns}


@pytest.mark.parametrize(
    ("events", "days", "message"),
    [
        (
            {"a": {"log": [{"topci": "x"}]}},
            "[1]",
            "WEMART_KEY_EVENTS (a.log.0)={'topci': 'x'}: unknown column 'topci'; expected one of",
        ),
        ({"a": {"log": [{}]}}, "[1]", "a condition on a log line must name at least one column"),
        (
            {"a": {"log": [{"is_join": None}]}},
            "[1]",
            "WEMART_KEY_EVENTS (a.log.0)={'is_join': None}: is_join is null: give the value to match",
        ),
        ({"a": {"log": [{"topic": "t", "post_id": None}]}}, "[1]", "post_id is null"),
        ({"a": {}}, "[1]", 'an event needs conditions on log lines ("log"), names of tracks ("tracks"), or both'),
        ({"a": {"lines": []}}, "[1]", "WEMART_KEY_EVENTS (a)={'lines': []}: an event needs"),
        ({"a": {"log": [], "tracks": []}}, "[1]", "an event needs conditions"),
        ({"a": {"tracks": "buy"}}, "[1]", "WEMART_KEY_EVENTS (a.tracks)='buy': Input should be a valid tuple"),
        ({"first_visit": JOIN}, "[1]", "'first_visit' is the first visit itself; give the event another name"),
        ({" ": JOIN}, "[1]", "every key event needs a name"),
        ({}, "[]", "there has to be at least one key event"),
        ({"a": JOIN}, "[0]", "WEMART_KEY_EVENT_DAYS=[0]: each number must be between 1"),
        ({"a": JOIN}, "[91]", "WEMART_KEY_EVENT_DAYS=[91]: each number must be between 1"),
        ({"a": JOIN}, "[1, 7]", "WEMART_KEY_EVENT_DAYS has 2 numbers for the 1 events of WEMART_KEY_EVENTS (a)"),
        ('{"a": ', "[1]", "WEMART_KEY_EVENTS is not JSON: Expecting value: line 1 column 7"),
        ({"a": JOIN}, "1 7", "WEMART_KEY_EVENT_DAYS is not JSON"),
    ],
)
def test_the_error_of_an_invalid_key_event_names_its_location(
    monkeypatch: pytest.MonkeyPatch, events: Any, days: str, message: str
) -> None:
    with pytest.raises(SettingsError) as error:
        tables_with(monkeypatch, events, days)
    assert message in str(error.value)


def test_an_invalid_spark_setting_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEMART_SPARK__CONF", '{"spark.x": [1]}')
    with pytest.raises(SettingsError, match=r"WEMART_SPARK__CONF__SPARK\.X="):
        load_settings()
