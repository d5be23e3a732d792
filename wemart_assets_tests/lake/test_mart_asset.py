"""A mart table as Dagster sees it: its declaration, what a run shows, and the effects of a failing run."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import ibis
import ibis.expr.types as ir
import pytest
from dagster._core.instance.utils import RUNLESS_RUN_ID
from dagster._core.loader import LoadingContextForTest
from dagster._core.remote_representation.external_data import RepositorySnap
from hypothesis import given as property_of
from hypothesis import strategies as st

from wemart_assets.lake.errors import DeclarationError, LandingError
from wemart_assets.lake.inputs import Input, previous_period, same_period, trailing
from wemart_assets.lake.mart import Mart, mart
from wemart_assets.lake.mart_asset import mart_asset, preview
from wemart_assets.lake.session import Lake, Session
from wemart_assets.lake.table import (
    FLAG,
    RUN_TIMESTAMP,
    Chart,
    Measure,
    RowCheck,
    Severity,
    Table,
    TableCheck,
    at_least,
    column,
    data_type,
)

D1, D2, D3 = "2024-03-01", "2024-03-02", "2024-03-03"
PARTITIONS = dg.DailyPartitionsDefinition(start_date=D1, end_date="2024-04-01", timezone="Asia/Seoul")
SETTINGS: dict[str, Any] = {"first_day": D1, "visits_a_day": 3, "shortest": 1}

Row = Mapping[str, Any]
Read = Callable[..., list[dict[str, Any]]]


def _visits_by_day(staged: ir.Table, published: ir.Table) -> ir.Table:
    rows = ibis.union(*(t.select("part_date") for t in (staged, published)))
    return rows.group_by("part_date").aggregate(visits=rows.count())


def _drawn(rows: Sequence[Row]) -> str:
    return f"<svg>{sorted((row['part_date'], row['visits']) for row in rows)}</svg>"


VISITS = Table(
    database="web",
    name="visits",
    description="One row per visit.",
    grain=("id",),
    columns=(
        column("id", "bigint", "number of the visit", nullable=False),
        column("user", "string", "who came"),
        column("seconds", "bigint", "how long", at_least(1)),
        column("is_app", "int", "1 in the app", FLAG),
        column("part_date", "string", "business day", nullable=False),
        RUN_TIMESTAMP,
    ),
    row_checks=(
        RowCheck("long_enough", "no visit is shorter than the shortest", lambda t, shortest: t.seconds >= shortest),
        RowCheck("under_a_minute", "no visit takes a minute", lambda t: t.seconds < 60, Severity.WARN),
    ),
    measures=(Measure("all seconds", lambda staged: staged.seconds.sum()),),
    charts=(Chart("visits by day", _visits_by_day, _drawn),),
    owner="team:web",
    tags={"tier": "primary"},
)
USERS = Table(
    database="web",
    name="users",
    description="One row per user and day.",
    grain=("user",),
    columns=(
        column("user", "string", "who came"),
        column("visits", "bigint", "how often"),
        column("seconds", "bigint", "how long in all"),
        column("part_date", "string", "business day", nullable=False),
        RUN_TIMESTAMP,
    ),
)


@mart(VISITS)
def visits(days: Sequence[str], visits_a_day: int) -> ir.Table:
    numbers = ibis.range(0, visits_a_day).unnest().name("id").as_table()
    rows = numbers.mutate(
        user="u" + (numbers.id % 2).cast("string"), seconds=numbers.id + 1, is_app=ibis.literal(1, "int32")
    )
    return ibis.union(*(rows.mutate(part_date=ibis.literal(day)) for day in (*days, days[0]))).distinct()


@mart(USERS, came=same_period(visits))
def users(came: ir.Table) -> ir.Table:
    return came.group_by("user", "part_date").aggregate(visits=came.count(), seconds=came.seconds.sum())


def asset_of(declared: Mart, now: dt.datetime, **settings: Any) -> dg.AssetsDefinition:
    return mart_asset(declared, "web", PARTITIONS, {**SETTINGS, **settings}, lambda: now)


class Dagster:
    """A Dagster instance and a lake, on which marts are run."""

    def __init__(self, engine: Lake, instance: dg.DagsterInstance, now: dt.datetime) -> None:
        self.engine, self.instance, self.now = engine, instance, now

    def run(self, *declared: Mart, day: str = "", last: str = "", **settings: Any) -> dg.ExecuteInProcessResult:
        """One run of a day, or of all days from `day` to `last`."""
        tags = {"dagster/asset_partition_range_start": day, "dagster/asset_partition_range_end": last}
        return dg.materialize(
            [asset_of(d, self.now, **settings) for d in declared],
            resources={"lake": self.engine},
            instance=self.instance,
            partition_key=None if last else day,
            tags=tags if last else {},
            raise_on_error=False,
        )

    def materialized(self, table: Table) -> Mapping[str, dg.AssetMaterialization]:
        """The recorded materializations of a table by partition, the latest of each."""
        records = self.instance.fetch_materializations(dg.AssetKey(table.key), limit=100).records
        found: dict[str, dg.AssetMaterialization] = {}
        for record in records:
            assert record.asset_materialization is not None
            found.setdefault(str(record.partition_key), record.asset_materialization)
        return found


@pytest.fixture
def dagster(engine: Callable[[Path], Lake], lake: Path, now: dt.datetime) -> Dagster:
    return Dagster(engine(lake), dg.DagsterInstance.ephemeral(), now)


def failure_message(result: dg.ExecuteInProcessResult, step: str) -> str:
    [event] = [e for e in result.all_events if e.is_step_failure and e.step_key == step]
    error = event.step_failure_data.error
    assert error is not None
    return "\n".join(e.message for e in (error, *([error.cause] if error.cause else [])))


def started_steps(result: dg.ExecuteInProcessResult) -> set[str]:
    return {str(e.step_key) for e in result.all_events if e.event_type is dg.DagsterEventType.STEP_START}


# What is declared


def test_the_asset_has_the_key_and_description_of_its_table(now: dt.datetime) -> None:
    spec = asset_of(visits, now).get_asset_spec(dg.AssetKey(["web", "visits"]))
    assert spec.group_name == "web"
    assert spec.description == "One row per visit."
    assert list(spec.owners) == ["team:web"]
    assert spec.tags["tier"] == "primary"
    assert {"ibis", "deltalake"} <= spec.kinds
    assert spec.metadata["dagster/table_name"] == "web.visits"
    assert spec.metadata["grain"] == "id"
    assert spec.metadata["partitioned by"] == "part_date"


def test_a_table_that_allows_equal_rows_says_so(now: dt.datetime) -> None:
    plain = mart(replace(VISITS, grain=()))(visits.function)
    assert asset_of(plain, now).get_asset_spec().metadata["grain"] == "none: equal rows are allowed"


def test_a_range_of_daily_partitions_is_one_run(now: dt.datetime) -> None:
    asset = asset_of(visits, now)
    assert asset.partitions_def == PARTITIONS
    assert asset.backfill_policy == dg.BackfillPolicy.single_run()


def test_every_table_check_is_an_unpartitioned_asset_check(now: dt.datetime) -> None:
    specs = {spec.name: spec for spec in asset_of(visits, now).check_specs}
    assert list(specs) == [
        "schema",
        "not_null",
        "grain_is_unique",
        "domains",
        "long_enough",
        "under_a_minute",
        "has_rows",
    ]
    assert specs["long_enough"].description == "[ERROR] no visit is shorter than the shortest"
    assert specs["under_a_minute"].description == "[WARN] no visit takes a minute"
    assert specs["domains"].description == "[ERROR] seconds: at least 1; is_app: one of 0, 1"
    assert {spec.asset_key for spec in specs.values()} == {dg.AssetKey(["web", "visits"])}
    assert all(spec.partitions_def is None for spec in specs.values())


def test_error_checks_are_blocking_and_warnings_are_not(now: dt.datetime) -> None:
    """In the asset itself, and as the UI reads it from the code location."""
    asset = asset_of(visits, now)
    warnings = {"under_a_minute", "has_rows"}
    assert {spec.name for spec in asset.check_specs if not spec.blocking} == warnings
    repository = dg.Definitions([asset], resources={"lake": None}).get_repository_def()
    shown = RepositorySnap.from_def(repository).asset_check_nodes
    assert shown is not None
    assert {check.name for check in shown if not check.blocking} == warnings
    assert len(shown) == 7


def test_the_columns_are_shown_with_types_descriptions_and_constraints(now: dt.datetime) -> None:
    schema = asset_of(visits, now).get_asset_spec().metadata["dagster/column_schema"]
    assert [(c.name, c.type) for c in schema.columns] == [(c.name, c.type) for c in VISITS.columns]
    by_name = {c.name: c for c in schema.columns}
    assert by_name["seconds"].description == "how long"
    assert by_name["seconds"].constraints.nullable
    assert by_name["seconds"].constraints.other == ["at least 1"]
    assert not by_name["id"].constraints.nullable


def upstream_days(asset: dg.AssetsDefinition, upstream: Table, day: str) -> set[str]:
    """The partitions of the upstream table on which, according to Dagster, the asset's partition depends."""
    [dep] = [d for d in asset.get_asset_spec().deps if d.asset_key == dg.AssetKey(upstream.key)]
    assert dep.partition_mapping is not None
    result = dep.partition_mapping.get_upstream_mapped_partitions_result_for_partitions(
        PARTITIONS.subset_with_partition_keys([day]), PARTITIONS, PARTITIONS
    )
    return set(result.partitions_subset.get_partition_keys())


@pytest.mark.parametrize(
    ("given", "day", "upstream"),
    [
        (same_period(visits), D3, {D3}),
        (previous_period(visits), D3, {D2}),
        (previous_period(visits), D1, set()),  # the first day has no previous day
        (trailing(visits, 3), "2024-03-09", {"2024-03-07", "2024-03-08", "2024-03-09"}),
        (trailing(visits, 3), D2, {D1, D2}),
        (trailing(visits, 1), D2, {D2}),
    ],
    ids=["same day", "day before", "day before the first", "trailing", "trailing into the first", "trailing one"],
)
def test_an_input_is_a_dependency_on_the_days_that_are_read(
    now: dt.datetime, given: Input, day: str, upstream: set[str]
) -> None:
    asset = asset_of(mart(USERS, came=given)(users.function), now)
    assert upstream_days(asset, VISITS, day) == upstream
    assert set(given.days([day], USERS, D1)) >= upstream


def test_two_windows_over_one_table_are_one_dependency(now: dt.datetime) -> None:
    @mart(USERS, came=same_period(visits), before=previous_period(visits))
    def both(came: ir.Table, before: ir.Table) -> ir.Table:
        return users(came)

    assert upstream_days(asset_of(both, now), VISITS, D3) == {D2, D3}


def test_a_table_may_read_its_own_previous_day(dagster: Dagster, session: Session, read: Read) -> None:
    """The first day starts from nothing, the second from the first."""

    @mart(USERS, came=same_period(visits), before=previous_period(USERS))
    def so_far(came: ir.Table, before: ir.Table, days: Sequence[str]) -> ir.Table:
        both = ibis.union(
            users(came).select("user", "visits", "seconds"), before.select("user", "visits", "seconds"), distinct=False
        )
        summed = both.group_by("user").aggregate(visits=both.visits.sum(), seconds=both.seconds.sum())
        return summed.mutate(part_date=ibis.literal(days[0]))

    assert upstream_days(asset_of(so_far, dagster.now), USERS, D2) == {D1}
    for day in (D1, D2):
        assert dagster.run(visits, so_far, day=day).success
    assert [(row["user"], row["visits"]) for row in read(session, USERS, [D2])] == [("u0", 4), ("u1", 2)]


# Windows


@pytest.mark.parametrize(
    ("given", "run", "days"),
    [
        (same_period(visits), [D2, D3], [D2, D3]),
        (previous_period(visits), [D2, D3], [D1, D2]),
        (trailing(visits, 2), [D2, D3], [D1, D2, D3]),
        (trailing(visits, 7), ["2024-03-08"], [f"2024-03-0{n}" for n in range(2, 9)]),
    ],
    ids=["same day", "day before", "trailing two", "trailing week"],
)
def test_a_run_reads_the_days_of_its_window(given: Input, run: list[str], days: list[str]) -> None:
    assert given.days(run, USERS, "2024-01-01") == days


@property_of(
    st.integers(-10, 0).flatmap(lambda first: st.tuples(st.just(first), st.integers(first, 0))),
    st.dates(dt.date(2024, 1, 1), dt.date(2025, 1, 1)),
    st.dates(dt.date(2024, 1, 1), dt.date(2025, 1, 1)),
)
def test_a_day_affects_exactly_the_days_that_read_it(window: tuple[int, int], day: dt.date, upstream: dt.date) -> None:
    given = Input(VISITS, *window)
    reads = upstream.isoformat() in given.days([day.isoformat()], USERS, "2023-01-01")
    assert (day.isoformat() in given.affected([upstream.isoformat()], USERS, "2026-01-01")) is reads


# What a run shows


def test_a_materialization_reports_what_was_published(dagster: Dagster, session: Session, read: Read) -> None:
    result = dagster.run(visits, day=D1)
    assert result.success
    metadata = dagster.materialized(VISITS)[D1].metadata
    assert metadata["delta_version"].value == 1
    assert metadata["dagster/partition_row_count"].value == 3
    assert metadata["all seconds"].value == 6
    assert "| 2 | u0 | 3 | 1 | 2024-03-01 |" in str(metadata["preview"].value)
    assert [row["id"] for row in read(session, VISITS)] == [0, 1, 2]


def test_a_chart_shows_the_run_and_earlier_published_days(dagster: Dagster) -> None:
    assert dagster.run(visits, day=D1).success
    assert dagster.run(visits, day=D2).success
    shown = dagster.materialized(VISITS)[D2].metadata["visits by day"]
    assert isinstance(shown, dg.MarkdownMetadataValue)
    image = re.fullmatch(r"!\[visits by day\]\(data:image/svg\+xml;base64,(\S+)\)", str(shown.value))
    assert image is not None
    assert base64.b64decode(image[1]).decode() == f"<svg>{[(D1, 3), (D2, 3)]}</svg>"


def _fails(rows: Sequence[Row]) -> str:
    raise StopIteration("there is no last point")


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (Chart("by day", _visits_by_day, _fails), "StopIteration: there is no last point"),
        (Chart("by day", lambda staged: staged.select("colour"), _drawn), "colour"),
    ],
    ids=["drawing", "points"],
)
def test_rows_are_published_with_a_warning_if_a_chart_cannot_be_drawn(
    dagster: Dagster, session: Session, read: Read, broken: Chart, why: str
) -> None:
    declared = mart(replace(VISITS, charts=(broken, *VISITS.charts)))(visits.function)
    result = dagster.run(declared, day=D1)
    assert result.success
    assert len(read(session, VISITS)) == 3
    metadata = dagster.materialized(VISITS)[D1].metadata
    said = str(metadata["by day"].value)
    assert said.startswith("not drawn: ")
    assert why in said
    assert "visits by day" in metadata
    logged = dagster.instance.all_logs(result.run_id)
    [warning] = [entry.user_message for entry in logged if entry.level == logging.WARNING]
    assert "web.visits: published without its chart 'by day', not drawn: " in warning
    assert why in warning


def test_the_size_is_that_of_the_partitions_data_files(dagster: Dagster, lake: Path) -> None:
    dagster.run(visits, day=D1)
    size = sum(file.stat().st_size for file in (lake / "web" / "visits" / f"part_date={D1}").iterdir())
    assert dagster.materialized(VISITS)[D1].metadata["size_bytes"].value == size


def test_run_timestamp_is_the_time_of_the_run(dagster: Dagster, session: Any, now: dt.datetime) -> None:
    dagster.run(visits, day=D1)
    assert session.connection.ibis.to_pyarrow(session.read(VISITS).run_timestamp.max()).as_py() == now


def test_every_check_is_evaluated_once(dagster: Dagster) -> None:
    result = dagster.run(visits, day=D1)
    found = {e.check_name: e.passed for e in result.get_asset_check_evaluations()}
    assert found == dict.fromkeys([spec.name for spec in asset_of(visits, dagster.now).check_specs], True)
    assert len(result.get_asset_check_evaluations()) == len(found)


def test_a_range_is_one_run_with_metadata_for_each_day(dagster: Dagster, session: Session, read: Read) -> None:
    @mart(VISITS)
    def growing(days: Sequence[str], visits_a_day: int) -> ir.Table:
        rows = visits(days, visits_a_day)
        return rows.filter(rows.id <= rows.part_date.substr(9, 1).cast("int64"))

    result = dagster.run(growing, day=D1, last=D3, visits_a_day=20)
    assert result.success
    materialized = dagster.materialized(VISITS)
    assert set(materialized) == {D1, D2, D3}
    assert {day: m.metadata["dagster/partition_row_count"].value for day, m in materialized.items()} == {
        D1: 2,
        D2: 3,
        D3: 4,
    }
    assert all(int(str(m.metadata["size_bytes"].value)) > 0 for m in materialized.values())
    assert {m.metadata["delta_version"].value for m in materialized.values()} == {1}
    assert len(read(session, VISITS)) == 9


def test_an_empty_day_is_a_materialization_without_rows(dagster: Dagster) -> None:
    result = dagster.run(visits, day=D1, visits_a_day=0)
    assert result.success
    metadata = dagster.materialized(VISITS)[D1].metadata
    assert metadata["dagster/partition_row_count"].value == 0
    assert metadata["size_bytes"].value == 0
    assert metadata["preview"].value == "no rows"
    assert [e.check_name for e in result.get_asset_check_evaluations() if not e.passed] == ["has_rows"]


def test_a_downstream_table_reads_what_the_same_run_published(dagster: Dagster, session: Session, read: Read) -> None:
    assert dagster.run(visits, users, day=D1, last=D2).success
    assert read(session, USERS) == [
        {"user": "u0", "visits": 2, "seconds": 4, "part_date": D1},
        {"user": "u0", "visits": 2, "seconds": 4, "part_date": D2},
        {"user": "u1", "visits": 1, "seconds": 2, "part_date": D1},
        {"user": "u1", "visits": 1, "seconds": 2, "part_date": D2},
    ]


def test_column_lineage_refers_to_asset_keys(dagster: Dagster) -> None:
    dagster.run(visits, users, day=D1)
    lineage = dagster.materialized(USERS)[D1].metadata["dagster/column_lineage"].value
    upstream = dg.AssetKey(["web", "visits"])
    found = {
        name: {(dep.asset_key, dep.column_name) for dep in deps}
        for name, deps in lineage.deps_by_column.items()
        if deps
    }
    assert found == {
        "user": {(upstream, "user")},
        "seconds": {(upstream, "seconds")},
        "part_date": {(upstream, "part_date")},
    }


def test_a_setting_that_no_function_names_is_not_required(now: dt.datetime) -> None:
    mart_asset(users, "web", PARTITIONS, {}, lambda: now)


# What is missing


def test_a_missing_input_says_which_partition_to_run(dagster: Dagster) -> None:
    result = dagster.run(users, day=D2)
    assert not result.success
    message = failure_message(result, "web__users")
    assert f"web.users: {D2} to {D2} reads web.visits, which has no partition {D2}." in message
    assert f"wemart run --from {D2} --to {D2} web/visits" in message
    assert dagster.materialized(USERS) == {}


def test_only_the_first_missing_days_of_a_long_range_are_named(dagster: Dagster) -> None:
    result = dagster.run(users, day=D1, last="2024-03-20")
    message = failure_message(result, "web__users")
    assert f"has no partition {D1}, {D2}, {D3}, 2024-03-04, 2024-03-05 and more. Run it first" in message
    assert "2024-03-06" not in message


def test_only_the_missing_days_are_named(dagster: Dagster) -> None:
    assert dagster.run(visits, day=D1).success
    message = failure_message(dagster.run(users, day=D1, last=D2), "web__users")
    assert f"has no partition {D2}. Run it first" in message


def test_days_before_the_first_partition_are_not_missing(dagster: Dagster, session: Session, read: Read) -> None:
    week = mart(USERS, came=trailing(visits, 7))(users.function)
    assert dagster.run(visits, week, day=D1).success
    assert len(read(session, USERS)) == 2


def test_an_input_that_was_published_empty_is_not_missing(dagster: Dagster) -> None:
    assert dagster.run(visits, users, day=D1, visits_a_day=0).success


# What fails


def test_a_failed_row_check_is_shown_and_nothing_is_published(dagster: Dagster, session: Session, read: Read) -> None:
    assert dagster.run(visits, users, day=D1).success
    published = read(session, VISITS), read(session, USERS)
    before = dagster.materialized(VISITS)[D1]

    result = dagster.run(visits, users, day=D1, shortest=2)

    assert not result.success
    evaluations = {e.check_name: e for e in result.get_asset_check_evaluations()}
    assert {name for name, e in evaluations.items() if not e.passed} == {"long_enough"}
    assert set(evaluations) == {spec.name for spec in asset_of(visits, dagster.now).check_specs}
    broken = evaluations["long_enough"]
    assert broken.severity is dg.AssetCheckSeverity.ERROR
    assert broken.metadata["bad rows"].value == 1
    assert broken.metadata["bad days"].value == {D1: 1}
    [example] = broken.metadata["examples"].value
    assert (example["id"], example["seconds"]) == ("0", "1")
    assert (read(session, VISITS), read(session, USERS)) == published
    assert dagster.materialized(VISITS)[D1] == before


def test_nothing_downstream_of_a_failed_check_starts(dagster: Dagster) -> None:
    result = dagster.run(visits, users, day=D1, shortest=2)
    assert started_steps(result) == {"web__visits"}
    assert dagster.materialized(VISITS) == {}
    assert dagster.materialized(USERS) == {}


def test_the_step_fails_with_the_message_of_the_audit(dagster: Dagster) -> None:
    message = failure_message(dagster.run(visits, day=D1, shortest=2), "web__visits")
    assert f"web.visits: {D1} was not published; readers keep what they had" in message
    assert "long_enough (no visit is shorter than the shortest): 1 row" in message


def test_one_bad_day_of_a_range_is_named_and_nothing_is_recorded(
    dagster: Dagster, session: Session, read: Read
) -> None:
    @mart(VISITS)
    def broken_on_the_second(days: Sequence[str], visits_a_day: int) -> ir.Table:
        rows = visits(days, visits_a_day)
        return rows.mutate(seconds=(rows.part_date == D2).ifelse(-1, rows.seconds))

    result = dagster.run(broken_on_the_second, day=D1, last=D3)
    assert not result.success
    [broken] = [e for e in result.get_asset_check_evaluations() if e.check_name == "domains"]
    assert broken.metadata["bad days"].value == {D2: 3}
    assert f"by day: {D2} (3)" in failure_message(result, "web__visits")
    assert dagster.materialized(VISITS) == {}
    assert read(session, VISITS) == []


def test_a_rejected_range_shows_every_check_before_it_fails(dagster: Dagster) -> None:
    result = dagster.run(visits, users, day=D1, last=D3, shortest=2)
    assert started_steps(result) == {"web__visits"}
    stored = [
        entry.get_dagster_event()
        for entry in dagster.instance.all_logs(result.run_id)
        if entry.is_dagster_event and entry.step_key == "web__visits"
    ]
    kinds = [e.event_type for e in stored]
    assert dg.DagsterEventType.ASSET_MATERIALIZATION not in kinds
    [failed] = [n for n, kind in enumerate(kinds) if kind is dg.DagsterEventType.STEP_FAILURE]
    evaluations = [
        e.asset_check_evaluation_data
        for e in stored[:failed]
        if e.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION
    ]
    assert sorted(e.check_name for e in evaluations) == sorted(
        spec.name for spec in asset_of(visits, dagster.now).check_specs
    )
    assert {e.check_name for e in evaluations if not e.passed} == {"long_enough"}
    assert {e.check_name for e in evaluations if not e.blocking} == {"under_a_minute", "has_rows"}


def test_only_the_failed_check_is_recorded_as_failed(dagster: Dagster) -> None:
    dagster.run(visits, day=D1, last=D3, shortest=2)
    keys = [dg.AssetCheckKey(dg.AssetKey(VISITS.key), name) for name in ("long_enough", "domains")]
    latest = dagster.instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    assert {key.name: record.status.value for key, record in latest.items()} == {
        "long_enough": "FAILED",
        "domains": "SUCCEEDED",
    }


def shown(dagster: Dagster, *tables: Table) -> dict[str, set[str]]:
    """The checks of the tables by how the UI shows them."""
    keys = [key for of in tables for key in asset_of(mart(of)(visits.function), dagster.now).check_keys]
    records = dagster.instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    context = LoadingContextForTest(dagster.instance)
    statuses: dict[str, set[str]] = {}
    for key, record in records.items():
        status = asyncio.run(record.resolve_status(context)).value
        statuses.setdefault(status, set()).add(f"{key.asset_key.path[-1]}.{key.name}")
    return statuses


def test_checks_after_a_failed_audit_are_shown_as_skipped(dagster: Dagster) -> None:
    dagster.run(visits, users, day=D1, shortest=2)
    statuses = shown(dagster, VISITS, USERS)
    assert statuses["FAILED"] == {"visits.long_enough"}
    assert statuses["SKIPPED"] == {"users.schema", "users.grain_is_unique", "users.has_rows", "users.not_null"}
    assert set(statuses) == {"FAILED", "SKIPPED", "SUCCEEDED"}


@pytest.mark.parametrize("error", [ValueError("a bug"), LandingError("a file is missing")], ids=["bug", "told"])
def test_checks_of_a_step_that_fails_before_its_audit_are_shown_as_skipped(dagster: Dagster, error: Exception) -> None:
    def fails(days: Sequence[str]) -> ir.Table:
        raise error

    beside = mart(replace(VISITS, name="beside"))(visits.function)
    dagster.run(mart(VISITS)(fails), users, beside, day=D1)
    statuses = shown(dagster, VISITS, USERS, beside.table)
    assert {name.split(".")[0] for name in statuses["SKIPPED"]} == {"visits", "users"}
    assert {name.split(".")[0] for name in statuses["SUCCEEDED"]} == {"beside"}
    assert set(statuses) == {"SKIPPED", "SUCCEEDED"}


def test_a_refused_day_is_shown_after_a_later_one(dagster: Dagster) -> None:
    dagster.run(visits, day=D1)
    dagster.run(visits, day=D2)
    dagster.run(visits, day=D1, shortest=2)
    assert shown(dagster, VISITS)["FAILED"] == {"visits.long_enough"}
    # Dagster's UI hides a result of an earlier materialization than the table's latest, which is of the other day.
    results = dagster.instance.event_log_storage.get_latest_asset_check_execution_by_key(
        list(asset_of(visits, dagster.now).check_keys)
    )
    targets = [result.evaluation and result.evaluation.target_materialization_data for result in results.values()]
    assert targets == [None] * len(results) != []


def test_a_history_that_refuses_to_skip_checks_hides_no_error(
    dagster: Dagster, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = dg.DagsterInstance.report_dagster_event

    def refuses(self: dg.DagsterInstance, event: dg.DagsterEvent, run_id: str, *arguments: Any, **more: Any) -> None:
        if run_id == RUNLESS_RUN_ID:
            raise RuntimeError("the history is full")
        report(self, event, run_id, *arguments, **more)

    monkeypatch.setattr(dg.DagsterInstance, "report_dagster_event", refuses)
    result = dagster.run(visits, users, day=D1, shortest=2)
    assert "long_enough" in failure_message(result, "web__visits")
    logged = dagster.instance.all_logs(result.run_id)
    [warning] = [entry.user_message for entry in logged if entry.level == logging.WARNING]
    assert "web.visits: checks that did not run are shown as failed" in warning
    assert "the history is full" in warning


def test_skipped_checks_are_shown_with_their_result_once_they_run(dagster: Dagster) -> None:
    dagster.run(visits, users, day=D1, shortest=2)
    dagster.run(visits, users, day=D1)
    assert set(shown(dagster, VISITS, USERS)) == {"SUCCEEDED"}


def test_a_range_with_a_warning_and_its_downstream_tables_are_published(
    dagster: Dagster, session: Session, read: Read
) -> None:
    result = dagster.run(visits, users, day=D1, last=D3, visits_a_day=60)
    assert result.success
    [broken] = [e for e in result.get_asset_check_evaluations() if not e.passed]
    assert (broken.check_name, broken.blocking) == ("under_a_minute", False)
    assert broken.metadata["bad days"].value == {D1: 1, D2: 1, D3: 1}
    assert set(dagster.materialized(VISITS)) == set(dagster.materialized(USERS)) == {D1, D2, D3}
    assert len(read(session, USERS)) == 6


def test_the_number_of_examples_is_bounded(dagster: Dagster) -> None:
    result = dagster.run(visits, day=D1, visits_a_day=500, shortest=1000)
    [broken] = [e for e in result.get_asset_check_evaluations() if e.check_name == "long_enough"]
    assert broken.metadata["bad rows"].value == 500
    assert len(broken.metadata["examples"].value) == 5


def test_a_failed_warning_is_shown_and_downstream_tables_continue(dagster: Dagster) -> None:
    result = dagster.run(visits, users, day=D1, visits_a_day=60)
    assert result.success
    [broken] = [e for e in result.get_asset_check_evaluations() if not e.passed]
    assert (broken.check_name, broken.severity) == ("under_a_minute", dg.AssetCheckSeverity.WARN)
    assert broken.metadata["bad rows"].value == 1
    assert set(dagster.materialized(VISITS)) == set(dagster.materialized(USERS)) == {D1}


def test_a_failed_table_check_is_shown_like_a_failed_row_check(dagster: Dagster) -> None:
    law = TableCheck("all_came", "everyone who came is counted", lambda staged, came: came.anti_join(staged, "user"))
    lossy = mart(replace(USERS, table_checks=(law,)), came=same_period(visits))(
        lambda came: users(came).filter(ibis._.user != "u1")
    )
    result = dagster.run(visits, lossy, day=D1)
    assert not result.success
    [broken] = [e for e in result.get_asset_check_evaluations() if not e.passed]
    assert (broken.check_name, broken.metadata["bad days"].value) == ("all_came", {D1: 1})
    assert set(dagster.materialized(VISITS)) == {D1}
    assert dagster.materialized(USERS) == {}


def test_a_bug_is_raised_unchanged(dagster: Dagster) -> None:
    @mart(VISITS)
    def buggy(days: Sequence[str]) -> ir.Table:
        raise ZeroDivisionError("a bug of the function")

    result = dagster.run(buggy, day=D1)
    message = failure_message(result, "web__visits")
    assert "ZeroDivisionError: a bug of the function" in message


def test_a_function_that_returns_too_few_columns_names_the_missing_ones(dagster: Dagster) -> None:
    short = mart(VISITS)(lambda days, visits_a_day: visits(days, visits_a_day).drop("seconds"))
    message = failure_message(dagster.run(short, day=D1), "web__visits")
    assert "web.visits: the function's result lacks ['seconds']" in message


def test_rows_of_another_day_are_refused(dagster: Dagster) -> None:
    foreign = mart(VISITS)(lambda days, visits_a_day: visits([D3], visits_a_day))
    message = failure_message(dagster.run(foreign, day=D1), "web__visits")
    assert f"the function returned rows of {D3} in a run of {D1} to {D1}" in message
    assert dagster.materialized(VISITS) == {}


# Declarations that cannot work


def test_a_parameter_that_is_neither_input_nor_setting_is_refused(now: dt.datetime) -> None:
    mistaken = mart(VISITS)(lambda days, visits_per_day: None)
    with pytest.raises(DeclarationError, match=r"web.visits: its function asks for \['visits_per_day'\].*visits_a_day"):
        asset_of(mistaken, now)


@pytest.mark.parametrize("name", ["days", "day_columns", "staged", "published"])
def test_an_input_with_the_name_of_another_argument_is_refused(name: str) -> None:
    with pytest.raises(DeclarationError, match=rf"web.users: no input can be named {name}"):
        mart(USERS, **{name: same_period(visits)})(lambda: None)


def test_an_input_with_the_name_of_a_setting_is_refused(now: dt.datetime) -> None:
    declared = mart(USERS, timezone=same_period(visits))(lambda timezone: timezone)
    with pytest.raises(DeclarationError, match=r"web.users: the inputs \['timezone'\] have the names of settings"):
        mart_asset(declared, "web", PARTITIONS, {"timezone": "Asia/Seoul"}, lambda: now)


def test_an_input_without_a_parameter_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"web.users: the inputs \['kame'\] are not parameters"):
        mart(USERS, kame=same_period(visits))(lambda came: came)


def test_a_column_declared_twice_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"web.visits: column \['id'\] is declared twice"):
        replace(VISITS, columns=(*VISITS.columns, column("id", "int", "again")))


def test_a_check_declared_twice_is_refused() -> None:
    law = TableCheck("long_enough", "again", lambda staged: staged)
    with pytest.raises(DeclarationError, match=r"web.visits: check \['long_enough'\] is declared twice"):
        replace(VISITS, table_checks=(law,))


@pytest.mark.parametrize("changed", [{"grain": ("ident",)}, {"partition_by": ("ident",)}], ids=["grain", "partitions"])
def test_a_grain_column_that_does_not_exist_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError, match=r"web.visits: (grain|partition_by) names \['ident'\]"):
        replace(VISITS, **changed)


@pytest.mark.parametrize("kind", ["strnig", "varchar", "decimal", "INT", "", "decimal(ten,2)", "decimal()"])
def test_an_unknown_type_is_refused(kind: str) -> None:
    with pytest.raises(DeclarationError, match="column type"):
        data_type(kind)


def test_a_table_with_an_unknown_type_is_refused_when_it_is_declared() -> None:
    with pytest.raises(DeclarationError, match="'strnig' is not a column type"):
        replace(VISITS, columns=(*VISITS.columns, column("ctry", "strnig", "country")))


# The preview


def preview_of(*rows: Row) -> list[str]:
    names = [c.name for c in USERS.columns]
    return preview([{**dict.fromkeys(names), **row} for row in rows], USERS).splitlines()


def test_the_preview_is_a_markdown_table() -> None:
    assert preview_of({"user": "u1", "visits": 2, "part_date": D1}) == [
        "| user | visits | seconds | part_date | run_timestamp |",
        "| --- | --- | --- | --- | --- |",
        f"| u1 | 2 |  | {D1} |  |",
    ]


def test_text_cannot_break_out_of_its_preview_cell() -> None:
    [_, _, line] = preview_of({"user": "a|b\nc"})
    assert line.startswith("| a\\|b c |")


def test_long_text_is_cut_in_the_preview() -> None:
    [_, _, line] = preview_of({"user": "x" * 500})
    assert line.startswith("| " + "x" * 59 + "… |")
