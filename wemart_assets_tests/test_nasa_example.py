"""The example with a real log, run as its page describes. The known answers come from an independent loop."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from wemart_assets.catalog import tables
from wemart_assets.definitions import build_defs
from wemart_assets.settings import Settings
from wemart_assets_tests.graph import upstream

EXAMPLE = Path(__file__).parents[1] / "examples" / "nasa"


@pytest.fixture(scope="module", params=["Asia/Seoul", "America/New_York"])
def lake(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("nasa")
    landing = folder / "landing" / "service_log.weverse_server_log"
    landing.mkdir(parents=True)
    shutil.copy(EXAMPLE / "nasa_19950801.tsv.gz", landing)
    settings = Settings(
        lake=folder / "lake",
        landing=folder / "landing",
        spill=folder / "spill",
        sources=EXAMPLE / "sources.yaml",
        first_day=dt.date(1995, 8, 1),
        timezone=request.param,
    )
    build_defs(settings).resolve_implicit_global_asset_job_def().execute_in_process(
        instance=dg.DagsterInstance.ephemeral(),
        asset_selection=[dg.AssetKey(tables()[name].key) for name in upstream("we_mart.wv_sess_daily")],
        tags={
            "dagster/asset_partition_range_start": "1995-08-01",
            "dagster/asset_partition_range_end": "1995-08-02",
        },
    )
    return request.param, folder / "lake"


def test_sessions_match_the_known_answers(lake: tuple[str, Path]) -> None:
    timezone, folder = lake
    known = {
        # sessions, total seconds, sessions of a single request, the longest session
        "Asia/Seoul": (3030, 1_133_055, 336, 10_383),
        # The log covers one day in New York, so no session is split at midnight.
        "America/New_York": (2989, 1_168_010, 332, 11_903),
    }
    mart, base = folder / "we_mart" / "wv_sess_daily", folder / "we_mart" / "wv_server_log_base"
    with duckdb.connect() as connection:
        found = connection.execute(
            f"""with sessions as (select distinct sess_id, sess_dur from read_parquet('{mart}/*/*.parquet')),
                     requests as (select sess_id, count(*) as n from read_parquet('{base}/*/*.parquet') group by 1)
                select count(*), sum(sess_dur)::bigint, count(*) filter (n = 1), max(sess_dur)
                from sessions join requests using (sess_id)"""
        ).fetchall()
    assert found == [known[timezone]]
