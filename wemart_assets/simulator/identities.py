"""Who is who: the ids by which other services know the platform's accounts, `core.identity_map`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from wemart_assets.simulator.apps import AppsConfig, app_devices
from wemart_assets.simulator.columns import Ints, Stream, random_stream
from wemart_assets.simulator.config import SimulatorConfig
from wemart_assets.simulator.landing import Landing
from wemart_assets.simulator.platform import build_platform

IDENTITY_MAP = "core.identity_map"
# Of the devices that an app is installed on, those whose user has logged in on the platform.
KNOWN_SHARE = 0.6


def simulate_identities(config: SimulatorConfig, apps: AppsConfig, landing: Path) -> list[Path]:
    """Writes `<landing>/core.identity_map/`, a snapshot a day: space, foreign_id, we_member_id; the files.

    A device is known from the day on which the app is on it and its user has an account; some users have several.
    Raises FileExistsError if the folder holds something already.
    """
    platform = build_platform(config)
    files = Landing(landing, [IDENTITY_MAP])
    adid, installed = app_devices(apps)
    draw = random_stream(config.seed, Stream.IDENTITIES)
    device = np.flatnonzero(draw.random(len(adid)) < KNOWN_SHARE)
    user = draw.choice(np.flatnonzero(platform.users.has_account), len(device))
    known_from: Ints = np.maximum(installed[device], platform.users.joined_day[user])
    for day in range(config.days):
        known = np.flatnonzero(known_from <= day)
        table = pa.table(
            {
                "space": pa.array(["adid"] * len(known), pa.string()),
                "foreign_id": adid.take(pa.array(device[known])),
                "we_member_id": platform.users.we_member_id[user[known]],
            }
        )
        files.write(IDENTITY_MAP, platform.days.name(day), "snapshot.parquet", table)
    return files.files
