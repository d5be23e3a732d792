"""Where the settings place things, which settings take precedence, and which are invalid."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from wemart_assets.settings import EngineName, SettingsError, SparkSettings, load_settings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WEMART_STATE")
    return tmp_path


def test_spill_and_history_are_in_the_state_folder() -> None:
    assert (load_settings().spill, load_settings().history) == (Path(".wemart/spill"), Path(".wemart/dagster"))
    moved = load_settings(state=Path("/elsewhere"))
    assert (moved.spill, moved.history) == (Path("/elsewhere/spill"), Path("/elsewhere/dagster"))


def test_the_spill_folder_can_be_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEMART_SPILL", "/fast")
    assert load_settings().spill == Path("/fast")


def test_a_state_folder_on_object_storage_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEMART_STATE", "s3://bucket/state")
    with pytest.raises(SettingsError, match="WEMART_STATE='s3://bucket/state': must be a local folder"):
        load_settings()


def test_a_last_day_before_the_first_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEMART_LAST_DAY", "2023-12-31")
    with pytest.raises(SettingsError, match="WEMART_LAST_DAY=2023-12-31 is before WEMART_FIRST_DAY=2024-01-01"):
        load_settings()


def test_each_lake_has_its_own_history_however_its_path_is_written(folder: Path) -> None:
    (folder / "link").symlink_to(folder)
    one = load_settings(lake=folder / "one").history
    histories = {one, load_settings(lake=folder / "two").history, load_settings().history}
    assert len(histories) == 3
    assert load_settings(lake=Path("one")).history == load_settings(lake=folder / "link" / "one").history == one


def test_the_path_of_the_default_lake_means_the_default_lake(folder: Path) -> None:
    assert load_settings(lake=folder / ".wemart" / "lake").history == Path(".wemart/dagster")


def test_tables_in_a_spark_catalog_have_their_own_history() -> None:
    spark = SparkSettings.model_validate({"catalog": "wev_prod"})
    assert load_settings(spark=spark).history == Path(".wemart/dagster"), "DuckDB does not use it"
    assert load_settings(spark=spark, engine=EngineName.SPARK).history != Path(".wemart/dagster")


def test_saved_settings_apply_to_their_lake_and_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    saved = load_settings().saved
    saved.parent.mkdir(parents=True)
    saved.write_text("# words\nWEMART_FIRST_DAY=2026-11-17\n")
    assert load_settings().first_day == dt.date(2026, 11, 17)
    assert load_settings(with_saved=False).first_day == dt.date(2024, 1, 1)
    assert load_settings(lake=folder / "other").first_day == dt.date(2024, 1, 1)
    monkeypatch.setenv("WEMART_FIRST_DAY", "2025-05-05")
    assert load_settings().first_day == dt.date(2025, 5, 5)


def test_an_invalid_saved_setting_is_one_message() -> None:
    saved = load_settings().saved
    saved.parent.mkdir(parents=True)
    saved.write_text("WEMART_FIRST_DAY=someday\n")
    with pytest.raises(SettingsError, match="WEMART_FIRST_DAY='someday'"):
        load_settings()
