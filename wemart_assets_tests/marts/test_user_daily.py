"""What each member did about each artist on a day (tables.md 2.3)."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given

from wemart_assets.marts.services.we_user_daily import we_user_daily
from wemart_assets_tests.marts.services import (
    DAY_BEFORE,
    DAYS,
    RANDOM,
    SEOUL,
    Services,
    account,
    artist,
    grouped,
    holds,
    live,
    order,
    play,
    random_services,
    reaction,
    values,
    visit,
)
from wemart_assets_tests.marts.test_daily_stats import DAY, JANUARY_15, Bench, Row, session

START = dt.datetime(2024, 1, 15, 1, tzinfo=dt.UTC)
KEY = ("key_date", "part_date", "we_member_id", "we_art_id")
LAST = ("user_ctry", "platform", "os", "app_ver")
SESSIONS = ("user_sess_cnt", "total_user_sess_dur", "first_sess_dt", "last_sess_dt")
ACTS = ("post_react_cnt", "media_react_cnt", "play_cnt", "play_sec", "shop_visit_cnt", "phoning_visit_cnt")
ACTS += ("album_visit_cnt", "ord_cnt", "ord_amount")
INPUTS = ("sessions", "reactions", "media", "plays", "lives", "shop", "phoning", "album", "orders")
INPUTS += ("users", "artists", "memberships")


def sat(name: str, minutes: int, seconds: int, art: int | None = 11, **columns: Any) -> Row:
    """A session of account 107 that starts some minutes after ten o'clock."""
    start = START + dt.timedelta(minutes=minutes)
    last = start + dt.timedelta(seconds=seconds - 1)
    times: Row = {"user_sess_start_dt": start, "user_sess_end_dt": last, "user_sess_dur": seconds}
    return session(name, user=7, we_member_id=107, we_art_id=art, **{**times, **columns})


def test_everything_about_an_artist_is_in_one_row(bench: Bench) -> None:
    found = bench(
        we_user_daily,
        SEOUL,
        sessions=[sat("a", 0, 60)],
        reactions=[reaction(), reaction()],
        media=[reaction(media_id=5)],
        plays=[play("v"), play("v", play_sec=None)],
        lives=[live("v")],
        shop=[visit(we_art_id=11), visit(we_art_id=11), visit(we_art_id=11)],
        phoning=[visit(we_art_id=11)],
        album=[visit(we_art_id=11)],
        orders=[order(1), order(2, amount=None), order(3, is_ord=0)],
    )
    acts = (2, 1, 2, 60, 3, 1, 1, 2, Decimal("10.5000"))
    assert values(found, *KEY, "user_sess_cnt", *ACTS) == {(JANUARY_15, DAY, 107, 11, 1, *acts): 1}


def test_what_is_about_no_artist_has_its_own_row(bench: Bench) -> None:
    found = bench(
        we_user_daily,
        SEOUL,
        sessions=[sat("a", 0, 60, None), sat("a", 0, 60, 11, comm_id="11")],
        plays=[play("x")],
        shop=[visit()],
        orders=[order(1, art=None)],
    )
    columns = ("we_art_id", "user_sess_cnt", "play_cnt", "shop_visit_cnt", "ord_cnt")
    assert values(found, *columns) == {(None, 1, 1, 1, 1): 1, (11, 1, 0, 0, 0): 1}


def test_a_session_in_two_communities_of_an_artist_counts_once(bench: Bench) -> None:
    rows = [sat("a", 0, 60, comm_id="11"), sat("a", 0, 60, comm_id="12"), sat("b", 20, 5)]
    found = bench(we_user_daily, SEOUL, sessions=rows)
    end = START + dt.timedelta(minutes=20, seconds=4)
    assert values(found, *SESSIONS) == {(2, 65, START, end): 1}


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_the_last_session_says_where_the_member_was(bench: Bench, names: str) -> None:
    said = {"user_ctry": "KR", "platform": "APP", "os": "IOS", "app_ver": "3.1.0"}
    rows = [sat("z", 0, 900, **said), *(sat(name, 5, 1, **(said | {"os": name})) for name in names)]
    found = bench(we_user_daily, SEOUL, sessions=[*rows, sat("c", 9, 1, 12, user_ctry="US", os="AND")])
    assert values(found, "we_art_id", *LAST) == {
        (11, "KR", "APP", "b", "3.1.0"): 1,
        (12, "US", None, "AND", None): 1,
    }


def test_an_act_without_a_session_has_no_country(bench: Bench) -> None:
    found = bench(we_user_daily, SEOUL, shop=[visit(ctry="KR", platform="APP")])
    assert values(found, *LAST, *SESSIONS) == {(None, None, None, None, 0, 0, None, None): 1}


def test_a_reaction_that_is_neither_like_nor_comment_is_nothing(bench: Bench) -> None:
    rows = [reaction(is_like=0), reaction(is_like=None, is_cmnt=None)]
    assert bench(we_user_daily, SEOUL, reactions=rows, media=rows) == []


def test_acts_without_an_account_are_left_out(bench: Bench) -> None:
    found = bench(
        we_user_daily,
        SEOUL,
        sessions=[session("a", we_art_id=11)],
        reactions=[reaction(None)],
        plays=[play("v", None)],
        shop=[visit(None)],
        orders=[order(1, None)],
    )
    assert found == []


@pytest.mark.parametrize(
    ("given", "is_fc"),
    [
        ({}, 0),
        ({"memberships": [holds(11, 107)]}, 1),
        ({"memberships": [holds(12, 107), holds(11, 108), holds(11, 107, day=DAY_BEFORE)]}, 0),
        ({"users": [], "memberships": [holds(11, 107)]}, None),
        ({"artists": [], "memberships": [holds(11, 107)]}, None),
    ],
)
def test_membership_is_that_of_the_day(bench: Bench, given: dict[str, list[Row]], is_fc: int | None) -> None:
    snapshots = {"users": [account(107)], "artists": [artist(11)]} | given
    assert values(bench(we_user_daily, SEOUL, orders=[order(1)], **snapshots), "is_fc") == {(is_fc,): 1}


def test_days_are_apart(bench: Bench) -> None:
    plays, lives = [play("v", day=day) for day in DAYS], [live("v", day=day) for day in DAYS]
    found = bench(we_user_daily, SEOUL, plays=plays, lives=lives, orders=[order(n, day=d) for n, d in enumerate(DAYS)])
    assert values(found, "part_date", "play_cnt", "ord_cnt") == {(day, 1, 1): 1 for day in DAYS}


def reference(of: Services) -> list[Row]:
    video = {(row["part_date"], row["video_id"]): row["we_art_id"] for row in of.lives}
    empty: Row = dict.fromkeys((*LAST, *SESSIONS[2:])) | dict.fromkeys((*SESSIONS[:2], *ACTS[:-1]), 0)
    rows: dict[tuple[Any, ...], Row] = defaultdict(lambda: empty | {"ord_amount": Decimal(0)})

    def add(act: Row, art: int | None, **amounts: Any) -> None:
        if act["we_member_id"] is not None:
            row = rows[act["part_date"], act["we_member_id"], art]
            for name, amount in amounts.items():
                row[name] += amount or 0

    for name, acts in (("post_react_cnt", of.reactions), ("media_react_cnt", of.media)):
        for act in acts:
            if act["is_like"] == 1 or act["is_cmnt"] == 1:
                add(act, act["we_art_id"], **{name: 1})
    for name, acts in (("shop", of.shop), ("phoning", of.phoning), ("album", of.album)):
        for act in acts:
            add(act, act["we_art_id"], **{f"{name}_visit_cnt": 1})
    for act in of.plays:
        add(act, video.get((act["part_date"], act["video_id"])), play_cnt=1, play_sec=act["play_sec"])
    for act in of.orders:
        if act["is_ord"] == 1:
            add(act, act["we_art_id"], ord_cnt=1, ord_amount=act["amount"])
    known = [row for row in of.sessions if row["we_member_id"] is not None]
    for key, its in grouped(known, lambda row: (row["part_date"], row["we_member_id"], row["we_art_id"])).items():
        sessions = {row["user_sess_id"]: row for row in its}
        last = max(sessions.values(), key=lambda row: (row["user_sess_start_dt"], row["user_sess_id"]))
        rows[key] |= {name: last[name] for name in LAST} | {
            "user_sess_cnt": len(sessions),
            "total_user_sess_dur": sum(row["user_sess_dur"] for row in sessions.values()),
            "first_sess_dt": min(row["user_sess_start_dt"] for row in its),
            "last_sess_dt": max(row["user_sess_end_dt"] for row in its),
        }
    accounts = {(row["part_date"], row["we_member_id"]) for row in of.users}
    artists = {(row["part_date"], row["we_art_id"]) for row in of.artists}
    paid = {
        (row["part_date"], row["we_member_id"], row["we_art_id"])
        for row in of.memberships
        if row["ord_status"] != "PAYMENT_FAILED"
    }
    return [
        row
        | {"key_date": dt.date.fromisoformat(day), "part_date": day, "we_member_id": member, "we_art_id": art}
        | {"is_fc": int((day, member, art) in paid) if (day, member) in accounts and (day, art) in artists else None}
        for (day, member, art), row in rows.items()
    ]


@RANDOM
@given(of=random_services())
def test_random_days_match_plain_loops(bench: Bench, of: Services) -> None:
    columns = (*KEY, *LAST, "is_fc", *SESSIONS, *ACTS)
    assert values(bench(we_user_daily, SEOUL, **of.of(*INPUTS)), *columns) == values(reference(of), *columns)
