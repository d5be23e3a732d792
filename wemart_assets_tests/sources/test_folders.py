"""Any folder name that the settings accept works throughout: files are read, tables published and queried."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from wemart_assets import catalog
from wemart_assets.settings import SettingsError, load_settings
from wemart_assets.sql import analyst
from wemart_assets_tests.engines import settings_of

if TYPE_CHECKING:
    from wemart_assets_tests.environments import MakeEnvironment

ARTISTS, DAY = "we_mart.we_artist", "2024-03-02"
ANYWHERE = {
    "a space": " a b ",
    "quotes": "a'b\"c`d",
    "letters of others": "호수 é 😀",
    "a percent sign": "100%",
    "an equals sign": "a=b",
    "a partition of a table": "part_date=2020-01-01",
    "a delivery": "date=2020-01-01",
    "a colon": "a:b",
    "braces": "a{b,c}d",
    "what a shell takes": "$a&b;c|d<e>f!g~",
    "a plus sign": "a+b",
    "a comma": "a,b",
    "dots": "a..b",
}
NOT_A_LAKE = {
    "a number sign": "a#b",
    "a star": "a*b",
    "a question mark": "a?b",
    "a bracket": "a[b]c",
    "an open bracket": "a[b",
    "a backslash": "a\\b",
    "a percent sign and two digits": "a%20b",
}
NOWHERE = {
    "a newline": "a\nb",
    "a carriage return": "a\rb",
    "a tabulator": "a\tb",
    "a control character": "a\x01b",
    "a byte that is no UTF-8": "a\udce9b",
}


def _publish_and_query(make_environment: MakeEnvironment, tmp_path: Path, **folders: str) -> None:
    environment = make_environment(
        **{name: tmp_path / folder / name for name, folder in folders.items()}, quarantine_share=1
    )
    environment.land(ARTISTS, f"date={DAY}/a.csv", "we_art_id,we_art_name,comm_id\n1,x,10\n,nobody,\n")
    for _ in range(2):
        environment.publish(ARTISTS, DAY)
    with environment.defs.resources["lake"].connect() as session:
        table = catalog.contracts()[ARTISTS].table
        assert session.read(table, [DAY]).we_art_name.to_pyarrow().to_pylist() == ["x"]
    assert environment.read(ARTISTS) == [environment.artist(1, "x", 10) | {"part_date": DAY}]
    assert [row["file"] for row in environment.quarantine(ARTISTS)] == [f"date={DAY}/a.csv"]
    with analyst(environment.lake, catalog.tables()) as door:
        found: Any = door.run(f"select we_art_name from {ARTISTS}__daily")
        assert found.to_pylist() == [{"we_art_name": "x"}]


@pytest.mark.parametrize("case", ANYWHERE)
def test_folders_of_this_name_are_accepted(make_environment: MakeEnvironment, tmp_path: Path, case: str) -> None:
    _publish_and_query(make_environment, tmp_path, **dict.fromkeys(("lake", "landing", "spill"), ANYWHERE[case]))


@pytest.mark.spark
def test_folders_of_all_these_names_are_accepted_on_spark(make_environment: MakeEnvironment) -> None:
    environment = make_environment(**settings_of("spark"))
    lake = "".join(name for case, name in ANYWHERE.items() if case != "a colon")
    environment.overrides |= {
        "lake": environment.root / lake / "lake",
        "landing": environment.root / (lake + "*?[b]c\\d%20#") / "landing",
    }
    environment.land(ARTISTS, f"date={DAY}/a.csv", "we_art_id,we_art_name,comm_id\n1,x,10\n")
    for _ in range(2):
        environment.publish(ARTISTS, DAY)
    assert environment.read(ARTISTS) == [environment.artist(1, "x", 10) | {"part_date": DAY}]


@pytest.mark.parametrize("case", NOT_A_LAKE)
def test_a_landing_folder_of_this_name_is_accepted_but_a_lake_is_refused(
    make_environment: MakeEnvironment, tmp_path: Path, case: str
) -> None:
    with pytest.raises(SettingsError, match=r"WEMART_LAKE=.*which not every reader and writer"):
        load_settings(lake=tmp_path / NOT_A_LAKE[case] / "lake")
    _publish_and_query(make_environment, tmp_path, **dict.fromkeys(("landing", "spill"), NOT_A_LAKE[case]))


@pytest.mark.parametrize("setting", ["lake", "landing", "spill"])
@pytest.mark.parametrize("case", NOWHERE)
def test_a_folder_of_this_name_is_refused_when_the_settings_are_read(tmp_path: Path, case: str, setting: str) -> None:
    given: Any = {setting: tmp_path / NOWHERE[case] / setting}
    with pytest.raises(SettingsError, match=rf"(?s)WEMART_{setting.upper()}=.*rename the folder"):
        load_settings(**given)


NO_PLACES = {
    "an unknown scheme": "abfss://c@a.dfs.core.windows.net/l",
    "a scheme in capitals": "S3://bucket/lake",
    "a file URL": "file:///tmp",
    "no bucket": "s3://",
    "one slash": "s3:/bucket/lake",
    "an empty folder": "s3://bucket//lake",
    "a space": "s3://bucket/my lake",
}


@pytest.mark.parametrize("setting", ["lake", "landing", "spill"])
@pytest.mark.parametrize("case", NO_PLACES)
def test_a_url_that_names_no_place_is_refused(monkeypatch: pytest.MonkeyPatch, setting: str, case: str) -> None:
    variable, given = f"WEMART_{setting.upper()}", NO_PLACES[case]
    monkeypatch.setenv(variable, given)
    with pytest.raises(SettingsError, match=rf"{variable}='{re.escape(given)}': (must be a local folder|is not a URL)"):
        load_settings()


@pytest.mark.parametrize("address", ["s3://bucket/lake", "gs://b", "az://container/a/b/"])
def test_the_lake_and_the_landing_folders_may_be_in_an_object_store(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("WEMART_LAKE", address)
    monkeypatch.setenv("WEMART_LANDING", address)
    settings = load_settings()
    assert str(settings.lake_location) == str(settings.landing_location) == address.rstrip("/")


def test_spilled_data_needs_a_local_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEMART_SPILL", "s3://bucket/spill")
    with pytest.raises(SettingsError, match=r"WEMART_SPILL='s3://bucket/spill': must be a local folder$"):
        load_settings()


@pytest.mark.parametrize("setting", ["secret", "options"])
def test_no_error_shows_a_secret(monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    monkeypatch.setenv(f"WEMART_STORAGE__{setting.upper()}", '{"aws_secret_access_key": ["hidden"]}')
    monkeypatch.setenv("WEMART_STORAGE__ENDPOINT", "not an address")
    with pytest.raises(SettingsError, match="WEMART_STORAGE__ENDPOINT") as error:
        load_settings()
    assert "hidden" not in str(error.value)


def test_a_lake_inside_a_folder_of_this_name_is_also_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a[b]").mkdir()
    monkeypatch.chdir(tmp_path / "a[b]")
    with pytest.raises(SettingsError, match=r"WEMART_LAKE=.*'\['"):
        load_settings(lake="lake")


@pytest.mark.parametrize("name", list(ANYWHERE.values()) + list(NOT_A_LAKE.values()))
def test_a_landing_file_of_any_name_is_read(make_environment: MakeEnvironment, name: str) -> None:
    environment = make_environment()
    environment.land(ARTISTS, f"date={DAY}/{name}.csv", "we_art_id,we_art_name,comm_id\n1,x,10\n")
    environment.publish(ARTISTS, DAY)
    assert environment.column(ARTISTS, "we_art_name") == ["x"]


def test_a_landing_folder_that_spark_cannot_read_is_refused_on_spark(tmp_path: Path) -> None:
    assert load_settings(landing=tmp_path / "a:b").landing == tmp_path / "a:b"
    with pytest.raises(SettingsError, match=r"WEMART_LANDING=.*a:b.*Spark cannot read files with a colon"):
        load_settings(landing=tmp_path / "a:b", engine="spark")
