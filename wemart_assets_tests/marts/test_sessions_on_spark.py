"""The session marts on Spark over lines that no simulator writes: odd JSON, ties, repeated hours, odd URLs."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import ibis
import pytest

from wemart_assets.lake.mart import Mart
from wemart_assets.marts.sessions.wv_server_log_base import wv_server_log_base
from wemart_assets.marts.sessions.wv_sess_daily import wv_sess_daily
from wemart_assets.setting_values.session_form import SessionForm
from wemart_assets_tests.engines import open_lake, rows_as, table_of

pytestmark = pytest.mark.spark

Row = dict[str, Any]
ZONE = "America/New_York"
RUN = dt.datetime(2024, 2, 1, tzinfo=dt.UTC)
# Clocks are set back at 06:00 UTC.
MIDDLE = round(dt.datetime(2024, 11, 3, 6, tzinfo=dt.UTC).timestamp() * 1000)
GAP = 1_800_000
PARAMS = (
    None,
    "",
    "no JSON",
    "[]",
    "7",
    "null",
    "{}",
    '{"consumer_id": "tvApp"}',
    '{"_consumer_id": "tvApp", "os": "tizen"}',
    "{'consumer_id': 'tvApp'}",
    '{"gcc": "KR"} trailing',
    '{"gcc": "KR"}}',
    '{"gcc": "KR",}',
    '{"gcc": NaN}',
    '{"gcc": null, "_gcc": "US", "wpf": "Mweb"}',
    '{"gcc": "", "_gcc": "US", "language": "한국어", "platform_id": "iOs"}',
    '{"provider_id": "wevApp", "os": "appletv", "request_body": {"a": [1, 2.50, {"b": null}], "c": "\\u00e9\\n"}}',
    '{"request": {"communityId": 11, "postId": "0-1", "chatMsgCount": 3, "chatMsgList": [{"m": "x"}, "y"]}}',
    '{"request": {"communityId": "012", "chatMsgCount": "4", "mediaTime": 12.5, "isProduct": true}}',
    '{"request": {"communityId": 12.0, "chatMsgCount": 3.7}}',
    '{"request": {"_communityId": "12", "chatMsgCount": " 5 ", "videoId": ""}}',
    '{"request": {"communityId": "1234567890123456789", "chatMsgCount": "0x1F"}}',
    '{"request": {"chatMsgCount": 2147483648, "sectionType": {"a": 1}}}',
    '{"request": "text"}',
    '{"request": [{"communityId": 11}]}',
    '{"method": "GET", "method2": "x\\ty \\"z\\" \\\\"}',
)
URLS = (
    None,
    "",
    "/home",
    "/community-11/posts",
    "/community-0/posts",
    "/community-12/post-1-2?x=1",
    "/community-1234567890123456789/x",
    "/notice-7",
    "/notice-x/notice-5",
    "/chat-ab c/1",
    "/chat-/1",
    "/community-11/join",
    "/community-11/joined",
    "/join?x",
    "/leave#",
    "/post-1-2/한국",
    "/COMMUNITY-11/",
    "a\n/join",
)
AGENTS = (None, "app;1.2.3", "weverse;10.20.30 app;1.2", "App;1.2.3", "app;1.2.3.4", "x app;01.2.3;")


def odd_lines() -> list[Row]:
    """A few lines for each of many devices, in steps at, just under and just over the session gap."""
    draw = random.Random(20240307)
    lines = []
    for device in range(120):
        ms = MIDDLE + draw.choice([-7_200_000, -3_600_000, -GAP, -1, 0, 3_600_000, 64_800_000])
        for _ in range(draw.randint(1, 9)):
            ms += draw.choice([0, 0, 1, 600_000, GAP // 2, GAP - 1, GAP, GAP + 1])
            day = dt.datetime.fromtimestamp(ms / 1000, ZoneInfo(ZONE)).date().isoformat()
            lines.append(
                {
                    "unix_log_timestamp": ms,
                    "user_info_id": draw.choice([None, None, 0, 2, 9, 10, 2**40]),
                    "user_info_device_id": draw.choice([f"device {device}"] * 8 + ["", None]),
                    "user_info_user_key": draw.choice([None, "k", "l"]),
                    "user_info_country": draw.choice([None, "KR", "us", ""]),
                    "user_info_user_agent": draw.choice(AGENTS),
                    "topic": draw.choice([None, "x", "Y", "é", "z"]),
                    "url": draw.choice(URLS),
                    "params": draw.choice(PARAMS),
                    "date_id": day,
                }
            )
    draw.shuffle(lines)
    return lines


@pytest.fixture(scope="module")
def made(bench: Callable[..., list[Row]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, list[Row]]]:
    """The rows of both marts by engine."""
    lines = odd_lines()
    days = sorted({row["date_id"] for row in lines})
    settings = {"timezone": ZONE, "session_gap_seconds": GAP // 1000}
    windows, buckets = (settings | {"session_form": form} for form in (SessionForm.WINDOWS, SessionForm.BUCKETS))
    snapshots: dict[str, list[Row]] = {
        "users": [{"we_member_id": 100 + n, "wv_user_id": n} for n in (2, 9, 10)],
        "members": [{"comm_id": 11, "wv_user_id": 2}, {"comm_id": 12, "wv_user_id": 9, "art_indi_type": "x"}],
        "artists": [{"we_art_id": 1, "we_art_name": "One", "comm_id": 11}],
        "posts": [{"shard_id": 1, "post_local_id": 2, "community_id": 12}],
        "notices": [{"id": 5, "parent_id": "community-11"}, {"id": 7, "parent_id": "community-x"}],
        "memberships": [{"we_member_id": 102, "we_art_id": 1, "fc_id": 1, "start_dt": RUN, "create_dt": RUN}],
    }
    dated = {name: [row | {"part_date": day} for row in rows for day in days] for name, rows in snapshots.items()}
    base = bench(wv_server_log_base, buckets, lines=lines)
    daily = bench(wv_sess_daily, {"timezone": ZONE}, lines=base, **dated)
    lake = tmp_path_factory.mktemp("sessions_on_spark") / "lake"
    with open_lake("spark", lake).connect() as opened:
        session: Any = opened

        def run(mart: Mart, said: dict[str, Any], **inputs: list[Row]) -> list[Row]:
            tables = {n: table_of(session, rows_as(of.table, inputs.get(n, []))) for n, of in mart.inputs.items()}
            rows = mart(**tables, **said).mutate(run_timestamp=ibis.literal(RUN, type="timestamp('UTC')"))
            found = session.connection.ibis.to_pyarrow(mart.table.conform(rows))
            listed: list[Row] = found.cast(mart.table.arrow_schema).to_pylist()
            return listed

        spark = {
            "base by windows": run(wv_server_log_base, windows, lines=lines),
            "base by buckets": run(wv_server_log_base, buckets, lines=lines),
            "daily": run(wv_sess_daily, {"timezone": ZONE}, lines=base, **dated),
        }
    duckdb = dict.fromkeys(("base by windows", "base by buckets"), base)
    return {"duckdb": {**duckdb, "daily": daily}, "spark": spark}


@pytest.mark.parametrize("table", ["base by windows", "base by buckets", "daily"])
def test_odd_lines_give_the_same_rows_on_both_engines(made: dict[str, dict[str, list[Row]]], table: str) -> None:
    known, found = (sorted(made[engine][table], key=repr) for engine in ("duckdb", "spark"))
    assert len(known) > 300
    assert len(found) == len(known)
    # One differing pair is more readable than two lists.
    pairs = zip(found, known, strict=True)
    differing = [{c: (row[c], other[c]) for c in row if row[c] != other[c]} for row, other in pairs if row != other]
    assert differing == []
