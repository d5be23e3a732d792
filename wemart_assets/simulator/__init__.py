"""A made-up fan platform with known truth.

From a seed number it writes what the platform's services would deliver (landing files: a server log, snapshots, facts
about members) and, apart from them, the truth: which sessions were made, and who was a member of which community on
which day. So a test can ask whether the mart found exactly those.

    simulate(SimulatorConfig(seed=7, days=7), landing=Path("landing"), truth=Path("truth"))
    simulate_apps(AppsConfig(seed=7, days=7), landing=Path("landing"), truth=Path("truth"))
    simulate_identities(SimulatorConfig(seed=7, days=7), AppsConfig(seed=7, days=7), landing=Path("landing"))
    simulate_tracks(TracksConfig(seed=7, days=7), landing=Path("landing"), truth=Path("truth"))

Here belongs what makes data up. What reads landing files, or finds sessions in them, does not: the simulator shares no
code with the mart that it tests.
"""

from wemart_assets.simulator.apps import AppsConfig, simulate_apps
from wemart_assets.simulator.config import Scale, SimulatorConfig
from wemart_assets.simulator.identities import simulate_identities
from wemart_assets.simulator.simulate import Summary, simulate
from wemart_assets.simulator.tracks import TracksConfig, simulate_tracks

__all__ = [
    "AppsConfig",
    "Scale",
    "SimulatorConfig",
    "Summary",
    "TracksConfig",
    "simulate",
    "simulate_apps",
    "simulate_identities",
    "simulate_tracks",
]
