"""`WEMART_SPARK__*`: the environment configures a cluster, and the error of an invalid setting names it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from wemart_assets.settings import Settings, SettingsError, load_settings


def load(monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str]) -> Settings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return load_settings()


def test_all_settings_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    spark = load(
        monkeypatch,
        {
            "WEMART_ENGINE": "spark",
            "WEMART_SPARK__MASTER": "yarn",
            "WEMART_SPARK__PACKAGES": "",
            "WEMART_SPARK__CATALOG": "wev_prod",
            "WEMART_SPARK__CONF": '{"spark.executor.memory": "8g"}',
        },
    ).spark
    assert (spark.master, spark.packages, spark.catalog) == ("yarn", "", "wev_prod")
    assert spark.conf == {"spark.executor.memory": "8g"}


@pytest.mark.parametrize(
    ("name", "value"),
    [("WEMART_ENGINE", "flink"), ("WEMART_SPARK__CONF", '{"spark.x": [1]}'), ("WEMART_SPARK__MASTR", "yarn")],
)
def test_an_invalid_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        load(monkeypatch, {name: value})


@pytest.mark.spark
@pytest.mark.parametrize("remote", [None, "sc://host:15002"])
def test_spark_is_told_how_to_reach_an_object_store(tmp_path: Path, remote: str | None) -> None:
    from wemart_assets.definitions import open_lake

    storage = {"endpoint": "http://127.0.0.1:9000", "region": "eu-west-1", "key": "k", "secret": "s"}
    where: Any = {"lake": "s3://bucket/lake", "landing": tmp_path, "state": tmp_path, "storage": storage}
    opened: Any = open_lake(load_settings(engine="spark", spark={"remote": remote}, **where), {})
    told = {name.removeprefix("spark.hadoop.fs.s3a."): v for name, v in opened.engine.conf.items() if "s3a" in name}
    # A Spark Connect server has its own.
    assert told == (
        {}
        if remote
        else {
            "endpoint": "http://127.0.0.1:9000",
            "endpoint.region": "eu-west-1",
            "path.style.access": "true",
            "access.key": "k",
            "secret.key": "s",
        }
    )


@pytest.mark.spark
def test_user_settings_override_the_projects_settings() -> None:
    from wemart_assets.lake.spark_engine import session_conf

    own = {"spark.driver.memory": "9g", "spark.sql.shuffle.partitions": "7"}
    conf = session_conf("local[*]", None, "a:b:1", own)
    assert {name: conf[name] for name in own} == own
    assert conf["spark.jars.packages"] == "a:b:1"
    assert "spark.jars.packages" not in session_conf("yarn", None, "", {})
    assert "spark.driver.memory" not in session_conf("yarn", None, "", {})
    connect = session_conf("local[*]", "sc://host:15002", "a:b:1", own)
    assert connect == {"spark.app.name": "wemart", "spark.remote": "sc://host:15002", **own}
