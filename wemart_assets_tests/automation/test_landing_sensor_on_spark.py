"""The sensor with the Spark engine: a tick starts Spark only if there is a file to inspect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from wemart_assets_tests.environments import Environment

pytestmark = pytest.mark.spark


@pytest.fixture
def no_spark(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: Any) -> None:
        raise RuntimeError("Spark was started")

    monkeypatch.setattr("wemart_assets.lake.spark_engine.LazyPySparkResource", fail)


def test_an_empty_landing_folder_does_not_start_spark(environment: Environment, no_spark: None) -> None:
    environment.overrides["engine"] = "spark"
    assert environment.tick().requests == []


def test_indexed_files_do_not_start_spark(environment: Environment, no_spark: None) -> None:
    removed = environment.land_lines("a.csv", "2024-03-05 10:00:00")
    environment.land_lines("b.csv", "2024-03-06 10:00:00")
    cursor = environment.tick().cursor
    environment.overrides["engine"] = "spark"
    assert environment.tick(cursor).requests == []
    removed.unlink()
    assert environment.tick(cursor).days == ["2024-03-05"]


def test_spark_reads_a_new_file(environment: Environment, no_spark: None) -> None:
    environment.overrides["engine"] = "spark"
    environment.land_lines("a.csv", "2024-03-05 10:00:00")
    with pytest.raises(RuntimeError, match="Spark was started"):
        environment.tick()
