"""A simulated fan platform whose sessions and members are known.

From a seed it writes the files that the platform's services would deliver (landing files: a server log, snapshots,
facts about members) and, separately, the truth: which sessions took place, and who was a member of which community on
which day. A test can then ask whether the mart finds exactly those.

    simulate(SimulatorConfig(seed=7, days=7), landing=Path("landing"), truth=Path("truth"))
    simulate_apps(AppsConfig(seed=7, days=7), landing=Path("landing"), truth=Path("truth"))
    simulate_identities(SimulatorConfig(seed=7, days=7), AppsConfig(seed=7, days=7), landing=Path("landing"))
    simulate_tracks(TracksConfig(seed=7, days=7), landing=Path("landing"), truth=Path("truth"))

This package only generates data. Code that reads landing files or finds sessions in them belongs elsewhere: the
simulator shares no code with the mart that it tests.
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
