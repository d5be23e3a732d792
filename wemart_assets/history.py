"""Where Dagster keeps what happened: below `WEMART_STATE`, apart for each lake (`Settings.history`).

`dagster.yaml` names these classes, so that `dagster` and `dg` find the lake's history by themselves, with no more in
the environment than `DAGSTER_HOME`. They add nothing to Dagster's own but the folder.
"""

from __future__ import annotations

from typing import Any

from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._core.storage.root import LocalArtifactStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData

from wemart_assets.settings import load_settings


def _folder() -> str:
    return str(load_settings().history)


class History(DagsterSqliteStorage):
    """Runs, events, schedules and sensors, in SQLite."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: object) -> History:
        return cls.from_local(_folder(), inst_data)


class Artifacts(LocalArtifactStorage):
    """Files of runs."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: object) -> Artifacts:
        return cls(_folder(), inst_data)


class StepLogs(LocalComputeLogManager):
    """What steps print."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: object) -> StepLogs:
        return cls(f"{_folder()}/storage", inst_data=inst_data)
