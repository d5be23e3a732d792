"""The simulated identity map: which devices and track ids belong to which account, as of each day."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from wemart_assets.simulator import AppsConfig, SimulatorConfig, simulate_identities
from wemart_assets.simulator.apps import app_devices
from wemart_assets.simulator.platform import COUNTRIES, COUNTRY_NAMES, REGIONS
from wemart_assets_tests.simulator.deliveries import Row, Simulated

APPS = AppsConfig(days=4, events=4_000)


@pytest.fixture(scope="module")
def landing(simulated: Simulated, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("identities")
    simulate_identities(simulated.config, APPS, folder)
    return folder


def delivered(landing: Path, day: int) -> list[Row]:
    path = landing / "core.identity_map" / f"date=2024-01-0{day}" / "snapshot.parquet"
    rows: list[Row] = pq.ParquetFile(path).read().to_pylist()
    return rows


def test_ids_belong_to_accounts_that_exist_on_the_day(simulated: Simulated, landing: Path) -> None:
    before: set[tuple[str, str]] = set()
    for day in range(1, 5):
        rows = delivered(landing, day)
        accounts = {row["we_member_id"]: row for row in simulated.delivery("we_mart.we_user", f"2024-01-0{day}")}
        assert {row["we_member_id"] for row in rows} <= set(accounts)
        trackers = {row["foreign_id"]: row["we_member_id"] for row in rows if row["space"] == "rudder"}
        assert all(accounts[member]["wv_user_id"] == int(id) for id, member in trackers.items())
        keys = {(row["space"], row["foreign_id"]) for row in rows}
        assert len(keys) == len(rows)
        assert before < keys
        before = keys


def test_devices_appear_after_their_app_is_installed(landing: Path) -> None:
    ids, installed = app_devices(APPS)
    since = dict(zip(ids.to_pylist(), installed.tolist(), strict=True))
    for day in range(1, 5):
        devices = [row for row in delivered(landing, day) if row["space"] == "adid"]
        assert all(since[row["foreign_id"]] < day for row in devices)
    assert 0.4 * len(since) < len(devices) < 0.7 * len(since)
    assert max(Counter(row["we_member_id"] for row in devices).values()) > 1, "some users have several"


def test_equal_configurations_give_equal_maps(simulated: Simulated, landing: Path, tmp_path: Path) -> None:
    simulate_identities(simulated.config, APPS, tmp_path)
    assert delivered(tmp_path, 4) == delivered(landing, 4)
    other = SimulatorConfig(seed=8, days=4, lines_per_day=10_000)
    simulate_identities(other, APPS, tmp_path / "other")
    assert delivered(tmp_path / "other", 4) != delivered(landing, 4)


def test_a_folder_with_files_is_refused(simulated: Simulated, landing: Path) -> None:
    with pytest.raises(FileExistsError, match=r"core\.identity_map"):
        simulate_identities(simulated.config, APPS, landing)


def test_every_country_has_a_name(simulated: Simulated) -> None:
    rows = simulated.delivery("we_meta.we_country", "2024-01-04")
    names = {row["ctry_code"]: row["ctry_name"] for row in rows}
    assert names["US"] == "United States"
    assert len(COUNTRIES) == len(COUNTRY_NAMES) == len(REGIONS) == len(set(names.values())) == len(rows)
