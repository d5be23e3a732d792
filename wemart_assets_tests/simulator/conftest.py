"""One simulation for the tests that only read it."""

import pytest

from wemart_assets.simulator import SimulatorConfig, simulate
from wemart_assets_tests.simulator.deliveries import Simulated


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    folder = tmp_path_factory.mktemp("platform")
    config = SimulatorConfig(days=4, lines_per_day=10_000)
    return Simulated(
        config, folder / "landing", folder / "truth", simulate(config, folder / "landing", folder / "truth")
    )
