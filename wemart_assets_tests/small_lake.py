"""Lakes of a few rows, for tests that need no simulated platform."""

from __future__ import annotations

import datetime as dt

from wemart_assets import catalog
from wemart_assets.lake.location import Location
from wemart_assets.lake.publication import stage
from wemart_assets_tests.engines import duckdb_lake, rows_as, table_of


def publish(lake: Location, name: str, day: str, *rows: dict[str, object]) -> None:
    """Publishes a day of a table without an audit. What a row does not give is NULL."""
    table = catalog.TABLES_BY_NAME[name]
    with duckdb_lake(lake).connect() as session:
        given = table_of(session, rows_as(table, [{**row, table.day_column: day} for row in rows]))
        now = dt.datetime(2024, 4, 1, tzinfo=dt.UTC)
        session.publish(stage(session, table, given, [day], session.baseline(table, [day]), now))
