"""The entry point for Dagster: builds the definitions from the settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from wemart_assets import catalog
from wemart_assets.automation.alerts import alert_sensor
from wemart_assets.automation.jobs import jobs_and_schedules, requested_jobs
from wemart_assets.automation.landing_sensor import landing_sensor
from wemart_assets.clock import Clock, utc_now
from wemart_assets.lake.days import Period
from wemart_assets.lake.engine import Connection
from wemart_assets.lake.mart_asset import mart_asset
from wemart_assets.lake.session import Lake
from wemart_assets.lake.store import ExternalStore, ExternalTable, Store
from wemart_assets.lake.view import view_asset
from wemart_assets.partitions import partitions_from
from wemart_assets.report.asset import report_asset
from wemart_assets.settings import EngineName, Settings, load_settings
from wemart_assets.sources.external import external_asset, external_tables
from wemart_assets.sources.landing import landings
from wemart_assets.sources.source_asset import source_asset, unknown_time_asset


def open_lake(settings: Settings, externals: Mapping[str, ExternalTable]) -> Lake:
    """Returns the lake with the engine that the settings name. Only that is imported, and nothing is started yet."""
    location = settings.lake_location
    if settings.engine is EngineName.SPARK:
        from wemart_assets.lake.spark_engine import SparkConnection, SparkEngine, hadoop_conf, session_conf
        from wemart_assets.lake.spark_store import CatalogStore, SparkFolderStore

        spark = settings.spark
        # A Spark Connect server has its own.
        of_store = {} if spark.remote else hadoop_conf(location)
        conf = session_conf(spark.master, spark.remote, spark.packages, of_store | spark.conf)

        def store(connection: Connection) -> Store:
            assert isinstance(connection, SparkConnection)
            return CatalogStore(connection, spark.catalog) if spark.catalog else SparkFolderStore(location)

        return Lake(SparkEngine(conf, (settings.timezone, settings.first_day)), store, ExternalStore(externals))
    from wemart_assets.lake.duckdb_engine import DuckDBEngine
    from wemart_assets.lake.folder_store import FolderStore

    reaches = [location, settings.landing_location, *(external.location for external in externals.values())]
    engine = DuckDBEngine(settings.memory_limit, settings.threads, settings.spill, reaches, settings.offline)
    return Lake(engine, lambda _: FolderStore(location), ExternalStore(externals))


def build_defs(settings: Settings, clock: Clock = utc_now) -> dg.Definitions:
    """Builds all assets, jobs, schedules and sensors from the settings."""
    partitions = partitions_from(settings.first_day, settings.timezone, settings.last_day)
    daily = partitions[Period.DAY]
    shared = settings.for_tables()
    marts = {name: declared.resolve(shared) for name, declared in catalog.marts().items()}
    groups = catalog.groups()
    of_sources, contracts = settings.for_sources(), catalog.contracts()
    sources, externals = landings(of_sources, contracts), external_tables(of_sources, contracts)
    assets: list[Any] = [source_asset(source, "sources", daily, shared, clock) for source in sources.values()]
    assets += [
        unknown_time_asset(source, "sources", shared, clock)
        for source in sources.values()
        if source.contract.unknown_time_table
    ]
    unknown_time = catalog.unknown_time_tables()
    assets += [
        external_asset(catalog.tables()[name], "sources", None if name in unknown_time else daily) for name in externals
    ]
    assets += [
        mart_asset(declared, groups[name], partitions[declared.table.period], shared, clock)
        for name, declared in marts.items()
    ]
    assets += [view_asset(declared, groups[name]) for name, declared in catalog.views().items()]
    assets.append(report_asset(settings, daily, clock))
    jobs, schedules = jobs_and_schedules(marts)
    requested = requested_jobs(marts, (table for name, table in unknown_time.items() if name not in externals))
    sensors = [landing_sensor(sources, externals, marts, partitions, requested)]
    if settings.alerts.are_on:
        made = [asset for asset in assets if isinstance(asset, dg.AssetsDefinition)]
        checks = {spec.key: spec.description or "" for asset in made for spec in asset.check_specs}
        sensors.append(alert_sensor(settings.alerts, checks))
    return dg.Definitions(
        assets=assets,
        jobs=[*jobs, *requested.values()],
        schedules=schedules,
        sensors=sensors,
        resources={"lake": open_lake(settings, externals)},
        # A process per step would cost seconds of imports each, and on Spark a session.
        executor=dg.in_process_executor,
    )


defs = build_defs(load_settings())
