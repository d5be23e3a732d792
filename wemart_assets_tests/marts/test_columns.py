"""The columns of the marts match their documents: names, order and types."""

from __future__ import annotations

import pytest

from wemart_assets.lake.table import Table
from wemart_assets.marts.activation.dim__users import dim__users
from wemart_assets.marts.activation.fact__first_activation_events import fact__first_activation_events
from wemart_assets.marts.community.wv_comm_user import wv_comm_user
from wemart_assets.marts.community.wv_comm_user_base import wv_comm_user_base
from wemart_assets.marts.sessions.wv_server_log_base import wv_server_log_base
from wemart_assets.marts.sessions.wv_sess_daily import wv_sess_daily
from wemart_assets.marts.sessions.wv_user_daily import wv_user_daily
from wemart_assets_tests.facts import columns

Columns = list[tuple[str, str]]

# The table's columns as its document lists them, by type.
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


@pytest.mark.parametrize(
    ("table", "count"), [(wv_sess_daily.table, 28), (wv_comm_user.table, 59), (wv_user_daily.table, 25)]
)
def test_columns_of_a_mart_match_its_document(table: Table, count: int) -> None:
    listed = [tuple(line.split()) for line in columns()[table.full_name]]
    assert len(listed) == count
    assert declared(table) == listed


@pytest.mark.parametrize(
    ("table", "further"),
    [
        (dim__users.table, ["country_code", "part_date", "run_timestamp"]),
        (fact__first_activation_events.table, ["part_date", "run_timestamp"]),
    ],
)
def test_columns_of_an_activation_table_include_the_documented_ones(table: Table, further: list[str]) -> None:
    listed = columns()[table.full_name]
    assert len(listed) >= 8
    assert [c.name for c in table.columns if c.name not in further] == listed
    assert {c.name for c in table.columns} == {*listed, *further}


def test_columns_of_wv_server_log_base_match_its_page() -> None:
    listed = []
    for group in SERVER_LOG_BASE.split(";"):
        names, _, kind = group.strip().rpartition(" ")
        listed += [(name.strip(), kind) for name in names.split(",")]
    assert declared(wv_server_log_base.table) == listed


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
def test_each_table_has_the_documented_grain(table: Table, grain: tuple[str, ...]) -> None:
    assert table.grain == grain


@pytest.mark.parametrize(
    ("table", "partitioned_by"),
    [
        (wv_server_log_base.table, ("date_id",)),
        (wv_sess_daily.table, ("part_date",)),
        (wv_user_daily.table, ("part_date",)),
        (wv_comm_user_base.table, ("part_date",)),
        (wv_comm_user.table, ("part_comm_id", "part_date")),
    ],
)
def test_each_table_has_the_documented_partition_columns(table: Table, partitioned_by: tuple[str, ...]) -> None:
    assert table.partition_by == partitioned_by
