"""Invalid settings are refused when they are read, with the name of their variable."""

from __future__ import annotations

import pytest

from wemart_assets.settings import SettingsError, load_settings


@pytest.mark.usefixtures("out_of_date")
@pytest.mark.parametrize("zone", ["Asia/Tokyo", "Africa/Lagos"])
def test_a_timezone_with_different_rules_in_duckdb_is_refused(zone: str) -> None:
    with pytest.raises(SettingsError, match=rf"WEMART_TIMEZONE='{zone}'.*different local times at 2023-12-30"):
        load_settings(timezone=zone)


@pytest.mark.usefixtures("out_of_date")
def test_a_timezone_with_the_same_rules_is_accepted_on_that_machine() -> None:
    assert load_settings(timezone="Asia/Singapore").timezone == "Asia/Singapore"


@pytest.mark.parametrize("zone", ["Asia/Seoul", "UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
def test_a_valid_timezone_is_accepted(zone: str) -> None:
    assert load_settings(timezone=zone).timezone == zone


@pytest.mark.parametrize("zone", ["localtime", "Seoul", "", "+09:00"])
def test_a_value_that_is_not_an_iana_timezone_is_refused(zone: str) -> None:
    with pytest.raises(SettingsError, match=r"WEMART_TIMEZONE=.* is not an IANA timezone"):
        load_settings(timezone=zone)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ('{"open": ["x"]}', r"WEMART_APP_EVENTS \(open\)"),
        ('{"login": []}', r"WEMART_APP_EVENTS \(login\)"),
        ('{"login": "signin"}', r"WEMART_APP_EVENTS \(login\)='signin'"),
        ('{"login": [""]}', r"WEMART_APP_EVENTS \(login.0\)=''"),
        ('{"login": null}', r"WEMART_APP_EVENTS \(login\)=None"),
        ('{"login": ["purchase"]}', "purchase: each name is that of one step"),
        ('{"login": ["a", "a"]}', "a: each name is that of one step"),
        ("{login}", "WEMART_APP_EVENTS is not JSON"),
    ],
)
def test_invalid_or_ambiguous_app_event_names_are_refused(
    monkeypatch: pytest.MonkeyPatch, said: str, message: str
) -> None:
    monkeypatch.setenv("WEMART_APP_EVENTS", said)
    with pytest.raises(SettingsError, match=message):
        load_settings()


def test_a_step_that_is_not_configured_keeps_its_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEMART_APP_EVENTS", '{"login": ["signin"]}')
    assert load_settings().app_events.by_step() == {
        "firstopen": ("firstopen", "abx:firstopen"),
        "login": ("signin",),
        "purchase": ("purchase", "abx:purchase"),
    }
