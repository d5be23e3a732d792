"""The ids that other services use for the platform's accounts: `core.identity_map`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wemart_assets.simulator.apps import AppsConfig, app_devices
from wemart_assets.simulator.columns import Ints, Stream, random_stream
from wemart_assets.simulator.config import SimulatorConfig
from wemart_assets.simulator.landing import Landing
from wemart_assets.simulator.platform import build_platform

IDENTITY_MAP = "core.identity_map"
# The share of devices with an app whose user has logged in on the platform.
KNOWN_SHARE = 0.6


def simulate_identities(config: SimulatorConfig, apps: AppsConfig, landing: Path) -> list[Path]:
    """Writes a snapshot per day to `<landing>/core.identity_map/`: space, foreign_id, we_member_id; returns the files.

    Trackers identify a user of the fan service by that service's user id. A device is in the map from the day on which
    it has the app and its user has an account; some users have several devices.

    Raises:
        FileExistsError: the folder is not empty.
    """
    platform = build_platform(config)
    users = platform.users
    files = Landing(landing, [IDENTITY_MAP])
    adid, installed = app_devices(apps)
    draw = random_stream(config.seed, Stream.IDENTITIES)
    device = np.flatnonzero(draw.random(len(adid)) < KNOWN_SHARE)
    user = draw.choice(np.flatnonzero(users.has_account), len(device))
    mapped_from: Ints = np.maximum(installed[device], users.joined_day[user])
    for day in range(config.days):
        mapped = np.flatnonzero(mapped_from <= day)
        accounts = np.flatnonzero(users.has_account & (users.joined_day <= day))
        table = pa.table(
            {
                "space": np.repeat(["adid", "rudder"], [len(mapped), len(accounts)]),
                "foreign_id": pa.concat_arrays(
                    [adid.take(pa.array(device[mapped])), pc.cast(pa.array(users.wv_user_id[accounts]), pa.string())]
                ),
                "we_member_id": users.we_member_id[np.concatenate([user[mapped], accounts])],
            }
        )
        files.write(IDENTITY_MAP, platform.days.name(day), "snapshot.parquet", table)
    return files.files
