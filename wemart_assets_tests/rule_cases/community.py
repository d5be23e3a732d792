"""Worlds and cases of the community tables and of the sources that they read."""

from __future__ import annotations

from wemart_assets_tests.rule_cases.worlds import Domain

PROFILE, STATUS = "we_mart.ods_wv_member_profile", "weverse2.community_log_member_status_log"
ACTS = ("we_mart.wv_post_view", "we_mart.wv_post_reaction", "we_mart.wv_media_reaction")
TOO_LARGE = 2**31

DOMAIN = Domain(
    good_values={
        (PROFILE, "first_join_at"): 1_709_600_400_000,
        (PROFILE, "last_join_at"): 1_709_600_400_000,
        (PROFILE, "updated_at"): 1_709_600_400_000,
        (STATUS, "type"): "subscribe",
        ("weverse2.community_member_special_member", "special_member_type"): "ARTIST",
        ("weverse2.community_member_special_member", "is_official"): 1,
        ("we_mart.wv1_join_info", "is_first_user_comm"): 0,
        ("we_mart.wv_post_reaction", "is_like"): 1,
        ("we_mart.wv_post_reaction", "is_cmnt"): 0,
        ("we_mart.wv_media_reaction", "is_like"): 1,
        ("we_mart.wv_media_reaction", "is_cmnt"): 0,
    },
    bad_values={
        (PROFILE, "user_id", "fits_32_bits"): [TOO_LARGE],
        (PROFILE, "first_join_at", "milliseconds"): [-1],
        (PROFILE, "last_join_at", "milliseconds"): [-1],
        (PROFILE, "updated_at", "milliseconds"): [-1, 253_402_300_800_000],
        (STATUS, "user_id", "fits_32_bits"): [TOO_LARGE],
        (STATUS, "type", "domains"): ["SUBSCRIBE", ""],
        ("weverse2.community_log_v_member_migration", "user_id", "fits_32_bits"): [TOO_LARGE],
        ("weverse2.community_member_special_member", "user_id", "fits_32_bits"): [TOO_LARGE],
        ("weverse2.community_member_special_member", "special_member_type", "domains"): ["FAN"],
        ("weverse2.community_member_special_member", "is_official", "domains"): [2],
        ("weverse2.community_common_report", "user_id", "fits_32_bits"): [TOO_LARGE],
        ("weverse2.notification_push_config", "user_id", "fits_32_bits"): [TOO_LARGE],
        ("weverse2.community_member_purchase", "wv_user_id", "fits_32_bits"): [TOO_LARGE],
        ("we_mart.wv_user_ctry_history", "wv_user_id", "fits_32_bits"): [TOO_LARGE],
        ("we_mart.wv1_join_info", "wv_user_id", "fits_32_bits"): [TOO_LARGE],
        ("we_mart.wv1_join_info", "is_first_user_comm", "domains"): [2],
        **{(name, "we_member_id", "fits_32_bits"): [TOO_LARGE] for name in ACTS},
        **{(name, "is_like", "domains"): [2] for name in ACTS[1:]},
        **{(name, "is_cmnt", "domains"): [-1] for name in ACTS[1:]},
    },
)
