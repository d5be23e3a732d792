"""Viewers of and reactions to lives (tables.md 2.3)."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given

from wemart_assets.marts.services.stats_wv_d_live_agg import stats_wv_d_live_agg
from wemart_assets_tests.marts.services import (
    DAY_BEFORE,
    DAYS,
    RANDOM,
    Services,
    account,
    country,
    live,
    member_of,
    play,
    random_services,
    reaction,
    values,
)
from wemart_assets_tests.marts.test_daily_stats import DAY, JANUARY_15, Bench, Row, session

LIVE = ("we_art_id", "user_type", "media_type", "live_type", "platform", "region_type")
COUNTS = ("viewer_cnt", "play_cnt", "play_sec", "reactor_cnt", "sess_viewer_cnt")
ALL = ("key_date", "part_date", *LIVE, *COUNTS)


def test_plays_of_a_live_are_counted_by_platform(bench: Bench) -> None:
    plays = [
        play("v", 1, platform="APP"),
        play("v", 1, platform="APP", play_sec=5),
        play("v", 2, platform="APP", play_sec=None),
        play("v", 2),
    ]
    found = bench(stats_wv_d_live_agg, {}, plays=plays, lives=[live("v", live_type="PREMIERE")])
    of_live = (JANUARY_15, DAY, 11, "visitor", "LIVE", "PREMIERE")
    assert values(found, *ALL) == {
        (*of_live, "APP", None, 2, 3, 65, 0, 0): 1,
        (*of_live, None, None, 1, 1, 60, 0, 0): 1,
    }


def test_a_play_without_an_account_has_no_viewer(bench: Bench) -> None:
    found = bench(stats_wv_d_live_agg, {}, plays=[play("v", None)], lives=[live("v")], members=[member_of(11, None)])
    assert values(found, "user_type", *COUNTS) == {("visitor", 0, 1, 60, 0, 0): 1}


def test_a_video_that_is_no_live_is_left_out(bench: Bench) -> None:
    plays = [play("x"), play(None), play("v")]  # type: ignore[arg-type]
    assert bench(stats_wv_d_live_agg, {}, plays=plays, lives=[live("v", day=DAY_BEFORE)]) == []


def test_reactors_are_those_of_the_media_item_on_no_platform(bench: Bench) -> None:
    media = [
        reaction(1, media_id=5),
        reaction(1, media_id=5, is_like=0, is_cmnt=1),
        reaction(2, media_id=5),
        reaction(3, media_id=5, is_like=0),
        reaction(None, media_id=5),
        reaction(4, media_id=6),
        reaction(4),
    ]
    lives = [live("v", 5), live("w", 5), live("x", None)]
    found = bench(stats_wv_d_live_agg, {}, media=media, lives=lives, plays=[play("v", 1, platform="APP")])
    assert values(found, "platform", *COUNTS) == {("APP", 1, 1, 60, 0, 0): 1, (None, 0, 0, 0, 2, 0): 1}


@pytest.mark.parametrize(
    ("members", "kind"),
    [
        ([], "visitor"),
        ([member_of(11, 107)], "member"),
        ([member_of(11, 107, is_fc=1)], "membership"),
        ([member_of(12, 107), member_of(11, 108)], "visitor"),
        ([member_of(11, 107, day=DAY_BEFORE)], "visitor"),
    ],
)
def test_a_viewer_is_what_the_account_is_in_the_community(bench: Bench, members: list[Row], kind: str) -> None:
    found = bench(stats_wv_d_live_agg, {}, plays=[play("v")], lives=[live("v")], members=members)
    assert values(found, "user_type", "viewer_cnt") == {(kind, 1): 1}


@pytest.mark.parametrize(
    ("of_day", "of_account", "region"),
    [
        ("KR", "US", "ASIA"),
        (None, "US", "AMERICAS"),
        ("XX", "US", "AMERICAS"),
        ("KR", None, "ASIA"),
        (None, None, None),
        (None, "XX", None),
    ],
)
def test_the_region_is_that_of_the_day_else_of_the_account(
    bench: Bench, of_day: str | None, of_account: str | None, region: str | None
) -> None:
    found = bench(
        stats_wv_d_live_agg,
        {},
        plays=[play("v")],
        lives=[live("v")],
        sessions=[session("a", we_member_id=107, user_ctry=of_day)],
        users=[account(107, of_account)],
        countries=[country("KR", "ASIA"), country("US", "AMERICAS")],
    )
    assert values(found, "region_type", "sess_viewer_cnt") == {(region, 1): 1}


def test_a_viewer_with_a_session_on_another_day_has_none_that_day(bench: Bench) -> None:
    sessions = [session("a", DAY_BEFORE, we_member_id=107), session("b", we_member_id=108), session("c")]
    plays = [play("v"), play("v", None)]
    found = bench(stats_wv_d_live_agg, {}, plays=plays, lives=[live("v")], sessions=sessions)
    assert values(found, "viewer_cnt", "sess_viewer_cnt") == {(1, 0): 1}


def test_days_are_apart(bench: Bench) -> None:
    plays, lives = [play("v", day=day) for day in DAYS], [live("v", day=day) for day in DAYS]
    found = bench(stats_wv_d_live_agg, {}, plays=plays, lives=lives)
    assert values(found, "part_date", "play_cnt") == {(day, 1): 1 for day in DAYS}


@RANDOM
@given(of=random_services())
def test_random_days_match_plain_loops(bench: Bench, of: Services) -> None:
    region = {(row["part_date"], row["ctry_code"]): row["region_type"] for row in of.countries}

    def kind_of(day: str, art: int | None, member: int | None) -> str:
        said = [
            r["is_fc"] for r in of.members if (r["part_date"], r["we_art_id"], r["we_member_id"]) == (day, art, member)
        ]
        return "visitor" if not said else "membership" if said == [1] else "member"

    def region_of(day: str, member: int | None) -> str | None:
        if member is None:
            return None
        here = [row["user_ctry"] for row in of.sessions if (row["part_date"], row["we_member_id"]) == (day, member)]
        home = [row["ctry_code"] for row in of.users if (row["part_date"], row["we_member_id"]) == (day, member)]
        regions = [region.get((day, code)) for code in (*here[:1], *home)]
        return next((name for name in regions if name is not None), None)

    rows: dict[tuple[Any, ...], list[list[Any]]] = defaultdict(lambda: [[], [], []])
    for one in of.lives:
        day = one["part_date"]

        def of_row(member: int | None, platform: str | None, one: Row = one) -> list[list[Any]]:
            day, art = one["part_date"], one["we_art_id"]
            kinds = (art, kind_of(day, art, member), one["media_type"], one["live_type"])
            return rows[dt.date.fromisoformat(day), day, *kinds, platform, region_of(day, member)]

        for row in of.plays:
            if (row["part_date"], row["video_id"]) == (day, one["video_id"]):
                viewers, seconds, _ = of_row(row["we_member_id"], row["platform"])
                viewers.append(row["we_member_id"])
                seconds.append(row["play_sec"] or 0)
        for row in of.media:
            is_reaction = row["we_member_id"] is not None and 1 in (row["is_like"], row["is_cmnt"])
            if (
                is_reaction
                and one["media_id"] is not None
                and (row["part_date"], row["media_id"]) == (day, one["media_id"])
            ):
                of_row(row["we_member_id"], None)[2].append(row["we_member_id"])
    on_weverse = {(row["part_date"], row["we_member_id"]) for row in of.sessions}
    expected = {}
    for key, (viewers, seconds, reactors) in rows.items():
        known = set(viewers) - {None}
        also = [member for member in known if (key[1], member) in on_weverse]
        expected[*key, len(known), len(viewers), sum(seconds), len(set(reactors)), len(also)] = 1
    inputs = ("plays", "media", "lives", "members", "sessions", "users", "countries")
    assert values(bench(stats_wv_d_live_agg, {}, **of.of(*inputs)), *ALL) == expected
