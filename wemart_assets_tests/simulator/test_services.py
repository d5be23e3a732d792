"""The simulated visits, orders and plays: the deliveries contain exactly what the truth says."""

from collections import Counter, defaultdict
from decimal import Decimal
from typing import Any

import pyarrow.parquet as pq

from wemart_assets_tests.simulator.deliveries import Row, Simulated

VISITS = {"shop": "we_mart.ws_user_daily", "phoning": "we_mart.ph_sess_daily", "album": "we_mart.wa_sess_daily"}
ORDERS, PLAYS, LIVES = "we_mart.ws_order", "we_mart.wv_video_play", "we_mart.wv_live"
LAST = "2024-01-04"


def every_day(simulated: Simulated, source: str) -> list[tuple[str, Row]]:
    return [(day, row) for day in simulated.counts["days"] for row in simulated.delivery(source, day)]


def test_the_delivered_visits_are_those_of_the_truth(simulated: Simulated) -> None:
    delivered: dict[tuple[str, str, int], int] = {}
    for service, source in VISITS.items():
        members = Counter((day, service, row["we_member_id"]) for day, row in every_day(simulated, source))
        delivered |= {key: visits for key, visits in members.items() if key[2] is not None}
    made = pq.read_table(simulated.truth / "service_visits.parquet").to_pylist()
    assert delivered == {(row["day"], row["service"], row["we_member_id"]): row["visits"] for row in made}


def test_the_orders_and_plays_are_those_of_the_truth(simulated: Simulated) -> None:
    for day, counts in simulated.counts["days"].items():
        orders = [row for row in simulated.delivery(ORDERS, day) if row["is_ord"] == 1]
        assert len(orders) == counts["orders"]
        assert sum(row["amount"] or 0 for row in orders) == Decimal(counts["order_amount"]).scaleb(-4)
        assert len({row["we_member_id"] for row in orders} - {None}) == counts["buyers"]
        videos = {row["video_id"] for row in simulated.delivery(LIVES, day)}
        plays = [row for row in simulated.delivery(PLAYS, day) if row["video_id"] in videos]
        assert len(plays) == counts["plays"]
        assert sum(row["play_sec"] or 0 for row in plays) == counts["play_seconds"]


def test_facts_are_in_the_folder_of_their_day(simulated: Simulated) -> None:
    for source in (*VISITS.values(), ORDERS):
        assert all(row["key_date"].isoformat() == day for day, row in every_day(simulated, source))
    for day, row in every_day(simulated, PLAYS):
        assert simulated.business_day(row["play_dt"].timestamp() * 1000) == day


def test_some_members_use_several_services_on_a_day(simulated: Simulated) -> None:
    used: dict[tuple[str, int], set[str]] = defaultdict(set)
    for row in pq.read_table(simulated.truth / "service_visits.parquet").to_pylist():
        used[row["day"], row["we_member_id"]].add(row["service"])
    assert {len(services) for services in used.values()} == {1, 2, 3}


def test_visits_and_orders_are_by_all_sorts_of_visitors(simulated: Simulated) -> None:
    accounts = {row["we_member_id"]: row["wv_user_id"] for row in simulated.delivery("we_mart.we_user", LAST)}

    def sort_of(member: Any) -> str:
        if member is None:
            return "nobody"
        if member not in accounts:
            return "unknown"
        return "other services" if accounts[member] is None else "weverse"

    for source in (*VISITS.values(), ORDERS, PLAYS):
        rows = [row for _, row in every_day(simulated, source)]
        assert {sort_of(row["we_member_id"]) for row in rows} == {"nobody", "unknown", "other services", "weverse"}
        assert {row["platform"] is None for row in rows} == {True, False}
    for source in (*VISITS.values(), ORDERS):
        rows = [row for _, row in every_day(simulated, source)]
        assert {row["we_art_id"] is None for row in rows} == {True, False}
        assert {row["ctry"] is None for row in rows} == {True, False}
    shop = Counter(tuple(row.items()) for _, row in every_day(simulated, VISITS["shop"]))
    assert max(shop.values()) > 1, "equal rows"


def test_orders_are_by_holders_of_a_membership_and_others(simulated: Simulated) -> None:
    bought = {(row["we_member_id"], row["we_art_id"]) for row in simulated.delivery("we_mart.ws_fc_user_history", LAST)}
    orders = [row for _, row in every_day(simulated, ORDERS)]
    assert {(row["we_member_id"], row["we_art_id"]) in bought for row in orders} == {True, False}
    assert {row["is_ord"] for row in orders} == {0, 1, None}
    assert {row["amount"] is None for row in orders} == {True, False}
    assert len({row["order_id"] for row in orders}) == len(orders)


def test_lives_are_those_of_the_media_reacted_to(simulated: Simulated) -> None:
    lives = simulated.delivery(LIVES, LAST)
    media = {row["media_id"]: row["we_art_id"] for row in lives}
    reactions = [row for _, row in every_day(simulated, "we_mart.wv_media_reaction") if row["media_id"] in media]
    assert len(reactions) > 10
    assert all(media[row["media_id"]] == row["we_art_id"] for row in reactions)
    for column in ("media_id", "we_art_id", "live_type", "end_dt"):
        assert {row[column] is None for row in lives} == {True, False}, column
    assert len(lives) > len(simulated.delivery(LIVES, "2024-01-01"))
