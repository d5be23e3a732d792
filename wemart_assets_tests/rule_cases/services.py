"""Good worlds and cases for the tables of all services, and the sources that they read."""

from __future__ import annotations

from wemart_assets_tests.rule_cases.worlds import Domain

VISITS = ("we_mart.ws_user_daily", "we_mart.ph_sess_daily", "we_mart.wa_sess_daily")
ORDERS, PLAYS = "we_mart.ws_order", "we_mart.wv_video_play"

DOMAIN = Domain(
    good_values={(ORDERS, "is_ord"): 1},
    bad_values={
        **{(name, "we_member_id", "fits_32_bits"): [2**31] for name in (*VISITS, ORDERS, PLAYS)},
        (ORDERS, "is_ord", "domains"): [2],
    },
)
