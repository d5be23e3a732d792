"""The columns of the marts are those of the documents that they come from: names, order, types."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from wemart_assets.lake.table import Table
from wemart_assets.marts.activation.dim__users import dim__users
from wemart_assets.marts.activation.fact__first_activation_events import fact__first_activation_events
from wemart_assets.marts.community.wv_comm_user import wv_comm_user
from wemart_assets.marts.community.wv_comm_user_base import wv_comm_user_base
from wemart_assets.marts.sessions.wv_server_log_base import wv_server_log_base
from wemart_assets.marts.sessions.wv_sess_daily import wv_sess_daily
from wemart_assets.marts.sessions.wv_user_daily import wv_user_daily

Columns = list[tuple[str, str]]

# tables.md 2.1, word by word.
SERVER_LOG_BASE = """
date_id, hour string; log_dt timestamp; user_info_user_key string; sess_id string; sess_seq bigint;
sess_start_dt, sess_end_dt timestamp; user_sess_id string; user_sess_start_dt, user_sess_end_dt timestamp;
user_info_id, user_info_device_id, platform, os, app_ver, user_id_fill, user_info_status, user_info_ip_address,
user_info_locale, user_info_country, topic, method, gcc, language, consumer_id, provider_id, platform_id, wpf string;
is_join, is_leave int; post_id, comm_id, notice_id, body, media_type, media_time, video_id, video_session_id,
section_type, is_product, is_hide_from_artist, is_fc_only, chat_id string; chat_msg_count int;
chat_msg_list, url, params, user_info_user_agent string; run_timestamp timestamp
"""


def declared(table: Table) -> Columns:
    return [(column.name, column.type) for column in table.columns]


def seed(shared: Path, name: str = "wv_sess_daily") -> str:
    file = shared / "seeds" / f"{name}.md"
    if not file.is_file():
        pytest.skip(f"{file} is not there: the seeds are kept beside the repository, not in it")
    return file.read_text()


@pytest.mark.parametrize(("table", "count"), [(wv_sess_daily.table, 28), (wv_comm_user.table, 59)])
def test_columns_of_a_main_mart_are_the_seeds(shared: Path, table: Table, count: int) -> None:
    listed = seed(shared, table.name).partition("# COLUMN INFO")[2].partition("\n# ")[0]
    columns = re.findall(r"^\|(\d+)\|(\w+)\|(\w+)\|", listed, re.MULTILINE)
    assert [int(number) for number, _, _ in columns] == list(range(count))
    assert declared(table) == [(name, kind) for _, name, kind in columns]


def test_columns_of_wv_user_daily_are_the_seeds(shared: Path) -> None:
    statement = (
        seed(shared).partition("create or replace table we_mart.wv_user_daily")[2].partition("partitioned by")[0]
    )
    columns = re.findall(r"^\s*,?\s*(\w+)\t(\w+)\tcomment", statement, re.MULTILINE)
    assert len(columns) == 25
    assert declared(wv_user_daily.table) == columns


@pytest.mark.parametrize(
    ("table", "further"),
    [
        (dim__users.table, ["country_code", "part_date", "run_timestamp"]),
        (fact__first_activation_events.table, ["part_date", "run_timestamp"]),
    ],
)
def test_columns_of_the_activation_tables_are_the_seeds_and_few_more(
    shared: Path, table: Table, further: list[str]
) -> None:
    document = seed(shared, "first_activation_mart").partition("\n# 3. ")[2]
    section = document.partition(f". `{table.name}`\n")[2].partition("\n### ")[0]
    listed = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert len(listed) >= 8
    assert [c.name for c in table.columns if c.name not in further] == listed
    assert {c.name for c in table.columns} == {*listed, *further}


def test_columns_of_wv_server_log_base_are_those_of_its_page() -> None:
    columns = []
    for group in SERVER_LOG_BASE.split(";"):
        names, _, kind = group.strip().rpartition(" ")
        columns += [(name.strip(), kind) for name in names.split(",")]
    assert declared(wv_server_log_base.table) == columns


@pytest.mark.parametrize(
    ("table", "grain"),
    [
        (wv_server_log_base.table, ()),
        (wv_sess_daily.table, ("sess_id", "user_sess_id", "comm_id")),
        (wv_user_daily.table, ("sess_id", "user_sess_id", "comm_id")),
        (wv_comm_user_base.table, ("comm_id", "wv_user_id")),
        (wv_comm_user.table, ("comm_id", "wv_user_id")),
        (dim__users.table, ("user_id",)),
        (fact__first_activation_events.table, ("user_id", "event_name")),
    ],
)
def test_grain(table: Table, grain: tuple[str, ...]) -> None:
    assert table.grain == grain


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        (wv_server_log_base.table, ("date_id",)),
        (wv_sess_daily.table, ("part_date",)),
        (wv_user_daily.table, ("part_date",)),
        (wv_comm_user_base.table, ("part_date",)),
        (wv_comm_user.table, ("part_comm_id", "part_date")),
    ],
)
def test_partition_columns(table: Table, columns: tuple[str, ...]) -> None:
    assert table.partition_by == columns
