"""Who is who: the ids by which other services know the platform's accounts, `core.identity_map`."""

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
# Of the devices that an app is installed on, those whose user has logged in on the platform.
KNOWN_SHARE = 0.6


def simulate_identities(config: SimulatorConfig, apps: AppsConfig, landing: Path) -> list[Path]:
    """Writes `<landing>/core.identity_map/`, a snapshot a day: space, foreign_id, we_member_id; the files.

    Trackers know a user of the fan service by that service's id. A device is known from the day on which the app is on
    it and its user has an account; some users have several.

    Raises FileExistsError if the folder holds something already.
    """
    platform = build_platform(config)
    users = platform.users
    files = Landing(landing, [IDENTITY_MAP])
    adid, installed = app_devices(apps)
    draw = random_stream(config.seed, Stream.IDENTITIES)
    device = np.flatnonzero(draw.random(len(adid)) < KNOWN_SHARE)
    user = draw.choice(np.flatnonzero(users.has_account), len(device))
    known_from: Ints = np.maximum(installed[device], users.joined_day[user])
    for day in range(config.days):
        known = np.flatnonzero(known_from <= day)
        members = np.flatnonzero(users.has_account & (users.joined_day <= day))
        table = pa.table(
            {
                "space": np.repeat(["adid", "rudder"], [len(known), len(members)]),
                "foreign_id": pa.concat_arrays(
                    [adid.take(pa.array(device[known])), pc.cast(pa.array(users.wv_user_id[members]), pa.string())]
                ),
                "we_member_id": users.we_member_id[np.concatenate([user[known], members])],
            }
        )
        files.write(IDENTITY_MAP, platform.days.name(day), "snapshot.parquet", table)
    return files.files
