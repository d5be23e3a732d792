"""The session marts of two days, one of 25 hours, through stage, audit and publish."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wemart_assets.lake.inject import call
from wemart_assets.lake.mart import Mart
from wemart_assets.lake.publication import Publication, publish
from wemart_assets.lake.session import Session
from wemart_assets.lake.table import Severity, Table
from wemart_assets.marts.sessions.stats_wv_d_platform import stats_wv_d_platform
from wemart_assets.marts.sessions.stats_wv_d_session import stats_wv_d_session
from wemart_assets.marts.sessions.stats_wv_d_user_sess import stats_wv_d_user_sess
from wemart_assets.marts.sessions.wv_server_log_base import wv_server_log_base
from wemart_assets.marts.sessions.wv_sess_daily import wv_sess_daily
from wemart_assets.marts.sessions.wv_user_daily import wv_user_daily
from wemart_assets.setting_values.session_form import SessionForm
from wemart_assets_tests.engines import duckdb_lake

Row = dict[str, Any]

DAYS = ("2024-11-02", "2024-11-03")
SETTINGS = {
    "timezone": "America/New_York",
    "first_day": "2024-11-02",
    "session_gap_seconds": 1800,
    "session_form": SessionForm.BUCKETS,
    "quarantine_share": 0.01,
}
MARTS = (
    wv_server_log_base,
    wv_sess_daily,
    wv_user_daily,
    stats_wv_d_session,
    stats_wv_d_user_sess,
    stats_wv_d_platform,
)
SNAPSHOTS: dict[str, list[Row]] = {
    "users": [{"we_member_id": 107, "wv_user_id": 7}],
    "members": [{"comm_id": 11, "wv_user_id": 7}, {"comm_id": 12, "wv_user_id": 7}],
    "artists": [{"we_art_id": 1, "we_art_name": "One", "comm_id": 11}],
}


@dataclass(frozen=True)
class Published:
    """What each table's run published, its data files, and what a reader of the lake then sees."""

    publications: Mapping[str, Publication]
    files: Mapping[str, Sequence[Path]]
    rows: Mapping[str, Sequence[Row]]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, line: Callable[..., Row]) -> Published:
    tv = {"consumer_id": "tvApp"}
    first_day = [line("2024-11-02T23:50:00-04:00", 7, url="/community-11/post-1-2")]
    # The hour from 01:00 is repeated.
    second_day = [
        line("2024-11-03T00:10:00-04:00", 7, url="/community-12/posts"),
        line("2024-11-03T01:30:00.900-04:00", url="/home"),
        line("2024-11-03T01:30:00.900-05:00", 7, url="/community-11/join", params={"gcc": "US", "wpf": "pc"}),
        line("2024-11-03T01:30:01.100-05:00", 8, url="/community-12/notice-5"),
        line("2024-11-03T23:59:59.999-05:00", device="e"),
        line("2024-11-03T12:00:00-05:00", device=None),
        line("2024-11-03T13:00:00-05:00", device=None, user_info_user_key="k", params=tv),
    ]
    lines = [row | {"date_id": day} for day, rows in zip(DAYS, (first_day, second_day), strict=True) for row in rows]
    snapshots = {name: [row | {"part_date": day} for row in rows for day in DAYS] for name, rows in SNAPSHOTS.items()}
    folder = tmp_path_factory.mktemp("published")
    engine = duckdb_lake(folder / "lake")
    publications: dict[str, Publication] = {}
    with engine.connect() as session:
        for mart in MARTS:
            inputs = {
                name: session.read(given.table, DAYS)
                if given.table.full_name in publications
                else landed(session, f"{mart.table.name}__{name}", given.table, {"lines": lines, **snapshots}.get(name))
                for name, given in mart.inputs.items()
            }
            publications[mart.table.full_name] = run(session, mart, inputs)
        rows = {m.table.full_name: session.read(m.table, DAYS).to_pyarrow().to_pylist() for m in MARTS}
    files = {
        mart.table.full_name: sorted((folder / "lake" / mart.table.database / mart.table.name).rglob("*.parquet"))
        for mart in MARTS
    }
    return Published(publications, files, rows)


def landed(session: Session, name: str, table: Table, rows: Sequence[Row] | None) -> ir.Table:
    """A source table of these rows."""
    return session.connection.ibis.create_table(
        name, pa.Table.from_pylist(rows or [], schema=table.arrow_schema), temp=True
    )


def run(session: Session, mart: Mart, inputs: Mapping[str, ir.Table]) -> Publication:
    """Publish the days of a mart, as its asset does."""
    now = dt.datetime(2024, 11, 5, tzinfo=dt.UTC)
    return publish(
        session, mart.table, DAYS, lambda: (call(mart.function, {**SETTINGS, **inputs}), inputs), SETTINGS, now
    )


@pytest.mark.parametrize("mart", MARTS, ids=lambda mart: mart.table.name)
def test_the_audit_passes_for_every_session_mart(mart: Mart, published: Published) -> None:
    findings = published.publications[mart.table.full_name].findings
    # Warnings concern shares and volumes, which are meaningless for a handful of lines.
    errors = [f for f in findings if f.check.severity is Severity.ERROR]
    assert errors
    assert [(f.check.name, f.examples or f.detail) for f in errors if not f.passed] == []


@pytest.mark.parametrize("mart", MARTS, ids=lambda mart: mart.table.name)
def test_data_files_have_the_declared_types(mart: Mart, published: Published) -> None:
    # The Delta log states the declared types, and readers other than DuckDB rely on it.
    files = published.files[mart.table.full_name]
    assert len(files) == len(DAYS)
    for file in files:
        stored = pq.ParquetFile(file).schema_arrow
        assert {field.name: field.type for field in stored} == {
            field.name: field.type for field in mart.table.arrow_schema if field.name not in mart.table.partition_by
        }


def test_lines_without_a_device_are_counted(published: Published) -> None:
    assert published.publications["we_mart.wv_server_log_base"].measures == {"lines without device": 1}


def test_each_day_has_its_rows(published: Published) -> None:
    rows = {name: publication.rows for name, publication in published.publications.items()}
    assert rows["we_mart.wv_server_log_base"] == {DAYS[0]: 1, DAYS[1]: 6}
    assert rows["we_mart.stats_wv_d_session"] == {DAYS[0]: 1, DAYS[1]: 2}


def test_published_sessions_match_the_log(published: Published) -> None:
    sessions = {(row["part_date"], row["sess_id"], row["sess_dur"]) for row in published.rows["we_mart.wv_sess_daily"]}
    assert sessions == {
        ("2024-11-02", "20241102235000000|d", 1),
        ("2024-11-03", "20241103001000000|d", 1),
        ("2024-11-03", "20241103013000900|d", 1),
        # From 00.900 to 01.100 it touches two seconds.
        ("2024-11-03", "20241103013000900F|d", 2),
        ("2024-11-03", "20241103130000000|U_k", 1),
        ("2024-11-03", "20241103235959999|e", 1),
    }
