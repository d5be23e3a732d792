"""External tables give the same source on either engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from wemart_assets import catalog
from wemart_assets_tests.engines import ENGINES, settings_of

if TYPE_CHECKING:
    from wemart_assets_tests.environments import Environment, MakeEnvironment

LOG, BASE, ARTISTS = "service_log.weverse_server_log", "we_mart.wv_server_log_base", "we_mart.we_artist"
BEFORE, DAY, QUIET, LATER = "2024-03-01", "2024-03-02", "2024-03-03", "2024-03-04"


@pytest.fixture(scope="module", params=ENGINES)
def environment(request: pytest.FixtureRequest, make_environment: MakeEnvironment) -> Environment:
    """Facts on two days with a gap of one day, and a snapshot, both without a day column."""
    environment = make_environment(**settings_of(request.param))
    lines = [environment.line(f"{day} 12:00:00", url=f"/{day}") for day in (DAY, LATER)]
    kinds = {name: pa.int64() if name in NUMBERS else pa.string() for name in lines[0]}
    columns = {name: pa.array([line[name] for line in lines], kind) for name, kind in kinds.items()}
    write_deltalake(environment.root / "log", pa.table(columns))
    write_deltalake(environment.root / "artists", pa.table({"we_art_id": [1], "we_art_name": ["x"], "comm_id": [10]}))
    environment.map(f"{LOG}: {{table: log}}\n{ARTISTS}: {{table: artists}}\n")
    return environment


NUMBERS = {"unix_log_timestamp", "user_info_id"}


def _session(environment: Environment) -> Any:
    return environment.defs.resources["lake"].connect()


@pytest.mark.parametrize("source", [LOG, ARTISTS])
def test_without_a_day_column_every_day_counts_as_published(environment: Environment, source: str) -> None:
    with _session(environment) as session:
        days = [BEFORE, DAY, QUIET, LATER]
        assert session.published(catalog.contracts()[source].table, days) == set(days)


def test_facts_without_a_day_column_belong_to_the_days_of_their_instants(environment: Environment) -> None:
    with _session(environment) as session:
        table = catalog.contracts()[LOG].table
        rows = session.read(table, [DAY, QUIET, LATER]).select("url", table.day_column).to_pyarrow().to_pylist()
    assert sorted(tuple(row.values()) for row in rows) == [(f"/{day}", day) for day in (DAY, LATER)]


@pytest.mark.parametrize("day", [DAY, QUIET])
def test_a_mart_over_external_tables_runs_on_any_day(environment: Environment, day: str) -> None:
    run = environment.run(day, tables=[BASE])
    assert (run.failed, run.crashed) == ({}, {})
    assert environment.column(BASE, "url", day) == ([f"/{day}"] if day == DAY else [])
    assert environment.published(BASE, day) == {day}
