"""`WEMART_SPARK__*`: the environment configures a cluster, and the error of an invalid setting names it."""

from __future__ import annotations

from collections.abc import Mapping

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
