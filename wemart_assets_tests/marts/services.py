"""Rows of the sources of all services, and random days of them, for the tests of the tables that read them."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from wemart_assets_tests.examples import examples
from wemart_assets_tests.marts.test_daily_stats import DAY, Row, session

K = TypeVar("K", bound=Hashable)

DAY_BEFORE = "2024-01-14"
DAYS = (DAY_BEFORE, DAY)
SEOUL = {"timezone": "Asia/Seoul"}
RANDOM = settings(
    max_examples=examples(25, 120),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def visit(member: int | None = 107, day: str = DAY, **columns: Any) -> Row:
    """A row of ws_user_daily, ph_sess_daily or wa_sess_daily."""
    return {"key_date": dt.date.fromisoformat(day), "we_member_id": member, "part_date": day} | columns


def order(number: int, member: int | None = 107, art: int | None = 11, day: str = DAY, **columns: Any) -> Row:
    """A row of ws_order: an order of 10.5."""
    row = visit(member, day, order_id=number, we_art_id=art, is_ord=1, amount=Decimal("10.5000"))
    return row | columns


def reaction(member: int | None = 107, art: int | None = 11, day: str = DAY, **columns: Any) -> Row:
    """A row of wv_post_reaction or wv_media_reaction: a like."""
    return visit(member, day, we_art_id=art, is_like=1, is_cmnt=0) | columns


def play(video: str, member: int | None = 107, day: str = DAY, **columns: Any) -> Row:
    """A row of wv_video_play: a minute at ten o'clock."""
    at = dt.datetime.fromisoformat(f"{day}T10:00:00+09:00").astimezone(dt.UTC)
    row: Row = {"video_id": video, "we_member_id": member, "play_dt": at, "play_sec": 60, "part_date": day}
    return row | columns


def live(video: str, media: int | None = 5, art: int | None = 11, day: str = DAY, **columns: Any) -> Row:
    """A row of wv_live."""
    row: Row = {"video_id": video, "media_id": media, "we_art_id": art, "media_type": "LIVE", "part_date": day}
    return row | columns


def account(member: int, country: str | None = None, day: str = DAY) -> Row:
    return {"we_member_id": member, "ctry_code": country, "part_date": day}


def artist(art: int, comm: int | None = None, day: str = DAY) -> Row:
    return {"we_art_id": art, "comm_id": comm, "part_date": day}


def member_of(art: int | None, member: int | None, is_fc: int = 0, day: str = DAY) -> Row:
    """A row of wv_comm_user."""
    return {"comm_id": art, "we_art_id": art, "we_member_id": member, "is_fc": is_fc, "part_date": day}


def holds(art: int, member: int, day: str = DAY, **columns: Any) -> Row:
    """A row of ws_fc_user_history: a membership without an end."""
    row: Row = {
        "we_member_id": member,
        "we_art_id": art,
        "fc_id": 1,
        "start_dt": dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
        "ord_status": "PAID",
        "is_cx_by_restore": 0,
        "part_date": day,
    }
    return row | columns


def country(code: str, region: str, day: str = DAY) -> Row:
    return {"ctry_code": code, "region_type": region, "part_date": day}


def grouped(rows: Iterable[Row], key: Callable[[Row], K]) -> dict[K, list[Row]]:
    groups: dict[K, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


def values(rows: Iterable[Row], *columns: str) -> dict[tuple[Any, ...], int]:
    """How often each combination of the columns' values occurs."""
    counts: dict[tuple[Any, ...], int] = defaultdict(int)
    for row in rows:
        counts[tuple(row[name] for name in columns)] += 1
    return dict(counts)


# --- random days ------------------------------------------------------------------------------------------------------

MEMBERS = (1, 2, 3, None)
ARTISTS = (10, 20, 30, None)
COUNTRIES = ("KR", "US", "JP", None)
PLATFORMS = ("APP", "PC", None)


@dataclass(frozen=True)
class Services:
    """All sources of two days."""

    sessions: list[Row] = field(default_factory=list)
    shop: list[Row] = field(default_factory=list)
    phoning: list[Row] = field(default_factory=list)
    album: list[Row] = field(default_factory=list)
    orders: list[Row] = field(default_factory=list)
    views: list[Row] = field(default_factory=list)
    reactions: list[Row] = field(default_factory=list)
    media: list[Row] = field(default_factory=list)
    plays: list[Row] = field(default_factory=list)
    lives: list[Row] = field(default_factory=list)
    users: list[Row] = field(default_factory=list)
    artists: list[Row] = field(default_factory=list)
    members: list[Row] = field(default_factory=list)
    memberships: list[Row] = field(default_factory=list)
    countries: list[Row] = field(default_factory=list)

    def of(self, *names: str) -> dict[str, list[Row]]:
        return {name: getattr(self, name) for name in names}


@st.composite
def random_services(draw: st.DrawFn) -> Services:
    """Two days of few members, artists and countries, so that everything meets everything."""

    def some(*choices: Any) -> Any:
        return st.sampled_from(choices)

    def rows(make: Callable[..., Row], *given: Any, most: int = 8) -> list[Row]:
        return [make(*of) for of in draw(st.lists(st.tuples(*given), max_size=most))]

    days, members, artists = some(*DAYS), some(*MEMBERS), some(*ARTISTS)
    countries, platforms, flags = some(*COUNTRIES), some(*PLATFORMS), some(0, 1, 1, None)
    country_of = {(member, day): draw(countries) for member in MEMBERS for day in DAYS}

    def session_of(name: str, day: str, member: int | None, art: int | None) -> Row:
        # Sessions a and b start at the same instant.
        minutes, seconds = {"a": 0, "b": 0, "c": 5, "d": 9}[name], {"a": 1, "b": 7, "c": 7, "d": 60}[name]
        start = dt.datetime.fromisoformat(f"{day}T10:00:00+09:00").astimezone(dt.UTC) + dt.timedelta(minutes=minutes)
        last = start + dt.timedelta(seconds=seconds - 1)
        user = {} if member is None else {"user": member}
        return session(
            name,
            day,
            **user,
            we_member_id=member,
            we_art_id=art,
            comm_id=None if art is None else str(art),
            user_ctry=country_of[member, day],
            user_sess_start_dt=start,
            user_sess_end_dt=last,
            user_sess_dur=seconds,
            platform={"a": "APP", "b": "PC", "c": None, "d": "APP"}[name],
            os={"a": "IOS", "b": None, "c": "AND", "d": "IOS"}[name],
            app_ver=name,
        )

    def visit_of(member: int | None, day: str, art: int | None, ctry: str | None, platform: str | None) -> Row:
        return visit(member, day, we_art_id=art, ctry=ctry, platform=platform)

    visits = (members, days, artists, countries, platforms)
    amounts = some(Decimal("0.0001"), Decimal("99999999999999.9999"), Decimal("12.5000"), Decimal(0), None)
    orders = rows(
        lambda member, day, art, platform, is_ord, amount: order(
            0, member, art, day, platform=platform, is_ord=is_ord, amount=amount
        ),
        *(members, days, artists, platforms, flags, amounts),
    )
    reactions = (members, artists, days, flags, flags)

    def reaction_of(member: int | None, art: int | None, day: str, is_like: int | None, is_cmnt: int | None) -> Row:
        return reaction(member, art, day, is_like=is_like, is_cmnt=is_cmnt)

    lives = [
        live(
            video,
            draw(some(5, 6, None)),
            art,
            day,
            media_type=draw(some("LIVE", None)),
            live_type=draw(some("A", None)),
        )
        for day in DAYS
        for video, art in draw(st.lists(st.tuples(some("v", "w", "x"), artists), max_size=3, unique_by=lambda v: v[0]))
    ]
    pairs = [(art, member, day) for art in ARTISTS[:-1] for member in MEMBERS[:-1] for day in DAYS]
    chosen = st.lists(st.sampled_from(pairs), max_size=6, unique=True)
    return Services(
        sessions=rows(session_of, some(*"abcd"), days, members, artists),
        shop=rows(visit_of, *visits),
        phoning=rows(visit_of, *visits, most=4),
        album=rows(visit_of, *visits, most=4),
        orders=[row | {"order_id": number} for number, row in enumerate(orders)],
        views=rows(
            lambda member, art, day, views: visit(member, day, we_art_id=art, view_cnt=views),
            *(members, artists, days, some(0, 1, 2, None)),
        ),
        reactions=rows(reaction_of, *reactions),
        media=[row | {"media_id": draw(some(5, 6, 7, None))} for row in rows(reaction_of, *reactions)],
        plays=rows(
            lambda video, member, day, platform, seconds: play(video, member, day, platform=platform, play_sec=seconds),
            *(some("v", "w", "x", None), members, days, platforms, some(0, 5, 60, None)),
        ),
        lives=lives,
        users=[account(member, draw(countries), day) for day in DAYS for member in draw(st.sets(some(1, 2, 3, 4)))],
        artists=[
            artist(art, draw(some(art, art, None)), day) for day in DAYS for art in draw(st.sets(some(10, 20, 30)))
        ],
        members=[member_of(art, member, draw(some(0, 1)), day) for art, member, day in draw(chosen)],
        memberships=[
            holds(art, member, day, ord_status=draw(some("PAID", "PAYMENT_FAILED", None)))
            for art, member, day in draw(chosen)
        ],
        countries=[
            country(code, region, day)
            for day in DAYS
            for code, region in draw(st.sets(some(("KR", "KR"), ("US", "AMERICAS"), ("JP", "JP"))))
        ],
    )
