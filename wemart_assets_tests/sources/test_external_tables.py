"""External tables: a source that `sources.yaml` maps to a Delta table of someone else, the same on both engines."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import dagster as dg
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from wemart_assets import catalog
from wemart_assets.lake.errors import UnreadableTable, WemartError
from wemart_assets_tests.engines import ENGINES, settings_of
from wemart_assets_tests.graph import upstream
from wemart_assets_tests.server_log import LOG_COLUMNS

if TYPE_CHECKING:
    from wemart_assets_tests.environments import Environment, MakeEnvironment

LOG = "service_log.weverse_server_log"
ARTISTS = "we_mart.we_artist"
USERS = "we_mart.we_user"
BASE = "we_mart.wv_server_log_base"


@pytest.fixture(params=ENGINES)
def environment(request: pytest.FixtureRequest, make_environment: MakeEnvironment) -> Environment:
    return make_environment(**settings_of(request.param))


def _map(environment: Environment, *lines: str, source: str) -> None:
    """Writes `sources.yaml` with one entry."""
    environment.map("\n  ".join([f"{source}:", *lines]) + "\n")


NUMBERS = {"unix_log_timestamp", "user_info_id"}
LOG_SCHEMA = pa.schema([pa.field(name, pa.int64() if name in NUMBERS else pa.string()) for name in LOG_COLUMNS])


def _log_table(environment: Environment, *lines: dict[str, Any], **more: list[Any]) -> pa.Table:
    table = pa.Table.from_pylist(list(lines), schema=LOG_SCHEMA)
    for name, values in more.items():
        table = table.append_column(name, pa.array(values))
    return table


def _external(
    environment: Environment, table: pa.Table, *lines: str, source: str = LOG, by: list[str] | None = None
) -> None:
    """Writes a Delta table `theirs` next to `sources.yaml`, which maps the source to it."""
    write_deltalake(environment.root / "theirs", table, partition_by=by)
    _map(environment, "table: theirs", *lines, source=source)


def _two_days(environment: Environment) -> pa.Table:
    return _log_table(
        environment,
        environment.line("2024-03-02 12:00:00", url="/second"),
        environment.line("2024-03-03 12:00:00", url="/third"),
        day=["2024-03-02", "2024-03-03"],
    )


def _read(environment: Environment, *days: str, source: str = LOG) -> list[dict[str, Any]]:
    """The source's rows for DAYS, as a mart receives them."""
    table = catalog.contracts()[source].table
    with environment.defs.resources["lake"].connect() as session:
        return session.read(table, days).to_pyarrow().to_pylist()


@pytest.mark.parametrize("by", [None, ["day"]], ids=["not partitioned", "partitioned"])
@pytest.mark.parametrize("said", [[], ["day: day"]], ids=["by instant", "by day"])
def test_a_day_of_facts_is_read_from_an_external_table(
    environment: Environment, by: list[str] | None, said: list[str]
) -> None:
    _external(environment, _two_days(environment), *said, by=by)
    assert [(row["url"], row["date_id"]) for row in _read(environment, "2024-03-03")] == [("/third", "2024-03-03")]


@pytest.mark.parametrize("said", [[], ["day: day"]], ids=["by instant", "by day"])
def test_the_graph_runs_over_an_external_table(environment: Environment, said: list[str]) -> None:
    _external(environment, _two_days(environment), *said, by=["day"])
    run = environment.run("2024-03-03", tables=[BASE])
    assert (run.failed, run.crashed) == ({}, {})
    assert environment.column(BASE, "url") == ["/third"]


@pytest.mark.parametrize("source", [LOG, ARTISTS])
def test_without_a_day_column_every_day_counts_as_published(environment: Environment, source: str) -> None:
    table = (
        _two_days(environment) if source == LOG else pa.table({"we_art_id": [1], "we_art_name": ["x"], "comm_id": [1]})
    )
    _external(environment, table, source=source)
    days = ["2024-03-01", "2024-03-02", "2024-03-03"]
    with environment.defs.resources["lake"].connect() as session:
        assert session.published(catalog.contracts()[source].table, days) == set(days)


def test_a_mart_over_facts_without_a_day_column_runs_on_a_day_without_rows(environment: Environment) -> None:
    _external(environment, _two_days(environment))
    run = environment.run("2024-03-01", tables=[BASE])
    assert (run.failed, run.crashed) == ({}, {})
    assert environment.published(BASE, "2024-03-01") == {"2024-03-01"}
    assert environment.read(BASE) == []


def test_facts_without_a_day_column_belong_to_the_business_day_of_their_instant(environment: Environment) -> None:
    lines = [
        environment.line("2024-03-02 23:59:59.999", url="before"),
        environment.line("2024-03-03 00:00:00", url="after"),
    ]
    _external(environment, _log_table(environment, *lines))
    days = {row["url"]: row["date_id"] for row in _read(environment, "2024-03-02", "2024-03-03")}
    assert days == {"before": "2024-03-02", "after": "2024-03-03"}


def test_a_day_column_may_be_a_date(environment: Environment) -> None:
    table = _two_days(environment)
    dates = pa.array([dt.date(2024, 3, 2), dt.date(2024, 3, 3)])
    _external(environment, table.set_column(table.column_names.index("day"), "day", dates), "day: day", by=["day"])
    assert [row["url"] for row in _read(environment, "2024-03-03")] == ["/third"]


def test_a_day_column_may_have_the_contracts_own_name(environment: Environment) -> None:
    table = _two_days(environment).rename_columns({"day": "date_id"})
    _external(environment, table, "day: date_id", by=["date_id"])
    assert [row["url"] for row in _read(environment, "2024-03-03")] == ["/third"]


def test_columns_of_an_external_table_are_mapped_by_expressions(environment: Environment) -> None:
    table = _two_days(environment).rename_columns({"url": "address"})
    _external(environment, table, "day: day", "columns: {url: upper(address), topic: \"'constant'\"}")
    assert [(row["url"], row["topic"]) for row in _read(environment, "2024-03-03")] == [("/THIRD", "constant")]


def test_a_column_mapped_to_null_may_be_missing_in_an_external_table(environment: Environment) -> None:
    _external(environment, _two_days(environment).drop_columns(["topic"]), "columns: {topic: null}")
    assert [row["topic"] for row in _read(environment, "2024-03-03")] == [None]


@pytest.mark.parametrize("by", [None, ["day"]], ids=["not partitioned", "partitioned"])
def test_a_snapshot_without_a_day_column_applies_to_every_day(environment: Environment, by: list[str] | None) -> None:
    artists = pa.table({"we_art_id": [1], "we_art_name": ["x"], "comm_id": [10], "day": ["2020-01-01"]})
    _external(environment, artists, source=ARTISTS, by=by)
    rows = _read(environment, "2024-03-02", "2024-03-03", source=ARTISTS)
    assert sorted((row["part_date"], row["comm_id"]) for row in rows) == [("2024-03-02", 10), ("2024-03-03", 10)]


@pytest.mark.parametrize("by", [None, ["day"]], ids=["not partitioned", "partitioned"])
def test_a_snapshot_with_a_day_column_applies_to_that_day(environment: Environment, by: list[str] | None) -> None:
    days = ["2024-03-02", "2024-03-03"]
    artists = pa.table({"we_art_id": [1, 1], "we_art_name": ["x", "y"], "comm_id": [10, 20], "day": days})
    _external(environment, artists, "day: day", source=ARTISTS, by=by)
    assert [(row["part_date"], row["comm_id"]) for row in _read(environment, days[1], source=ARTISTS)] == [
        (days[1], 20)
    ]


def _accounts(days: list[str]) -> pa.Table:
    """An account on each day; it begins at a local time without a timezone, a type that our tables do not have."""
    return pa.table(
        {
            "we_member_id": [50, 60][: len(days)],
            "wv_user_id": [5, 5][: len(days)],
            "wv_status": ["x"] * len(days),
            "wv_leave_dt": pa.array([None] * len(days), pa.timestamp("us", tz="UTC")),
            "wv_first_join_dt": pa.array([dt.datetime(2024, 3, 1, 12)] * len(days), pa.timestamp("us")),
            "ctry_code": ["KR"] * len(days),
            "vlive_id": pa.array([None] * len(days), pa.int64()),
            "day": days,
        }
    )


def test_a_column_may_have_a_type_that_our_tables_do_not_have(environment: Environment) -> None:
    _external(environment, _accounts(["2024-03-02"]), source=USERS)
    [row] = _read(environment, "2024-03-03", source=USERS)
    assert (row["we_member_id"], row["wv_first_join_dt"]) == (50, dt.datetime(2024, 3, 1, 12, tzinfo=dt.UTC))


@pytest.mark.slow
@pytest.mark.parametrize("said", [[], ["day: day"]], ids=["the same every day", "by day"])
def test_a_mart_joins_an_external_snapshot_on_its_day(make_environment: MakeEnvironment, said: list[str]) -> None:
    environment = make_environment()
    days = ["2024-03-02", "2024-03-03"] if said else ["2020-01-01"]
    _external(environment, _accounts(days), *said, source=USERS)
    environment.land(LOG, "a.csv", [environment.line(f"2024-03-0{n} 12:00:00", user_info_id=5) for n in (2, 3)])
    state = upstream("we_mart.wv_comm_user_base")
    assert environment.run("2024-03-01", "2024-03-03", tables=sorted(state)).success
    rest = upstream("we_mart.wv_sess_daily") - state - {USERS}
    run = environment.run("2024-03-02", "2024-03-03", tables=sorted(rest))
    assert (run.failed, run.crashed) == ({}, {})
    members = {row["part_date"]: row["we_member_id"] for row in environment.read("we_mart.wv_sess_daily")}
    assert members == {"2024-03-02": 50, "2024-03-03": 60 if said else 50}


def test_the_external_asset_is_in_the_graph_but_is_not_run(environment: Environment) -> None:
    _external(environment, _two_days(environment))
    node = environment.defs.resolve_asset_graph().get(dg.AssetKey(LOG.split(".")))
    assert (node.is_external, node.is_materializable, node.is_partitioned) == (True, False, True)


def test_marts_depend_on_the_external_asset(environment: Environment) -> None:
    _external(environment, _two_days(environment))
    graph = environment.defs.resolve_asset_graph()
    assert dg.AssetKey(BASE.split(".")) in graph.get(dg.AssetKey(LOG.split("."))).child_keys


def test_a_source_that_is_not_mapped_to_a_table_is_read_from_files(environment: Environment) -> None:
    _external(environment, _two_days(environment))
    assert environment.defs.resolve_asset_graph().get(dg.AssetKey(ARTISTS.split("."))).is_materializable


def test_a_column_missing_in_an_external_table_is_named_with_its_type(environment: Environment) -> None:
    _external(environment, _two_days(environment).drop_columns(["url"]))
    with pytest.raises(UnreadableTable) as error:
        _read(environment, "2024-03-03")
    assert [word for word in (LOG, "theirs", "url (string)", "sources.yaml") if word not in str(error.value)] == []


@pytest.mark.parametrize("said", [[], ["day: day"]], ids=["by instant", "by day"])
def test_a_missing_external_table_is_a_readable_error(environment: Environment, said: list[str]) -> None:
    _map(environment, "table: nowhere", *said, source=LOG)
    run = environment.run("2024-03-03", tables=[BASE])
    failure = run.failed.get(BASE, f"no clear failure: {run.crashed}")
    assert [word for word in (LOG, str(environment.root / "nowhere"), "sources.yaml") if word not in failure] == []


def test_a_day_that_an_external_table_lacks_is_missing(environment: Environment) -> None:
    _external(environment, _two_days(environment), "day: day", by=["day"])
    run = environment.run("2024-03-04", tables=[BASE])
    assert f"{LOG}, which has no partition 2024-03-04" in run.failed.get(BASE, f"no clear failure: {run.crashed}")


def test_a_day_column_missing_in_an_external_table_is_a_readable_error(environment: Environment) -> None:
    _external(environment, _two_days(environment), "day: snapshot_date")
    with pytest.raises(WemartError, match="snapshot_date"):
        _read(environment, "2024-03-03")


def test_a_failing_expression_over_an_external_table_is_a_readable_error(environment: Environment) -> None:
    _external(environment, _two_days(environment), "columns: {url: frobnicate(url)}")
    with pytest.raises(WemartError, match="frobnicate"):
        _read(environment, "2024-03-03")


def test_the_latest_version_of_an_external_table_is_read(environment: Environment) -> None:
    _external(environment, _two_days(environment), by=["day"])
    assert len(_read(environment, "2024-03-03")) == 1
    more = _log_table(environment, environment.line("2024-03-03 12:00:01", url="/more"), day=["2024-03-03"])
    write_deltalake(environment.root / "theirs", more, mode="append")
    assert sorted(row["url"] for row in _read(environment, "2024-03-03")) == ["/more", "/third"]


@pytest.mark.slow
def test_nothing_is_written_next_to_an_external_table(environment: Environment) -> None:
    _external(environment, _two_days(environment))
    before = sorted((environment.root / "theirs").rglob("*"))
    assert environment.run("2024-03-03", tables=[BASE]).success
    assert sorted((environment.root / "theirs").rglob("*")) == before
