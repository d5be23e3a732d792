"""The services beside the community: visits to shop, Phoning and Albums, orders in the shop, and plays of live videos.

Members are those of the platform, and a few accounts that only use these services. A third of the members are keen:
most visits are theirs, so many of them use several services on a day.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wemart_assets.simulator.acts import LEAST_ACTS, UNKNOWN_ACCOUNT
from wemart_assets.simulator.columns import (
    Bools,
    Ints,
    Stream,
    cumulative,
    instants,
    nullable,
    pick,
    random_stream,
    take,
)
from wemart_assets.simulator.config import SimulatorConfig
from wemart_assets.simulator.platform import COUNTRIES, COUNTRY_SHARES, UNKNOWN, Platform, accounts_of_other_services

SHOP, PHONING, ALBUM = "we_mart.ws_user_daily", "we_mart.ph_sess_daily", "we_mart.wa_sess_daily"
ORDERS, PLAYS = "we_mart.ws_order", "we_mart.wv_video_play"
SERVICE_FACTS = (SHOP, PHONING, ALBUM, ORDERS, PLAYS)

# Visits per day as a share of the users, by service.
VISIT_SHARES = {SHOP: 0.2, PHONING: 0.1, ALBUM: 0.08}
ORDER_SHARE = 0.06
# Plays per day as a share of the members of that day.
PLAY_SHARE = 0.08
KEEN_EVERY = 3
REPEATED_VISITS = 2
# Beyond 32 bits: an order id is a bigint.
FIRST_ORDER = 7_000_000_000
ORDERS_A_DAY = 10_000_000
NOBODY_KNOWN = -1

PLATFORMS = pa.array(["APP", "PC", "MWEB", "TV"])
SHOP_PLATFORMS, PLAY_PLATFORMS = cumulative((55, 25, 20)), cumulative((60, 20, 12, 8))


@dataclass(frozen=True)
class ServiceFacts:
    """The facts of a day by source, and what the truth says about them.

    `visitors` are the accounts of the visits by source, `NOBODY_KNOWN` if there is none. `amounts` are the amounts of
    the orders in ten-thousandths, and `plays` and `seconds` count the plays of known videos.
    """

    tables: dict[str, pa.Table]
    visitors: dict[str, Ints]
    buyers: Ints
    amounts: Ints
    plays: int
    seconds: int


def service_facts(config: SimulatorConfig, platform: Platform, day: int) -> ServiceFacts:
    """The visits, orders and plays of a business day."""
    tables, visitors = {}, {}
    for number, source in enumerate(VISIT_SHARES):
        random = random_stream(config.seed, Stream.SERVICE_VISITS, day, number)
        tables[source], visitors[source] = _visits(random, platform, day, source)
    tables[ORDERS], buyers, amounts = _orders(random_stream(config.seed, Stream.ORDERS, day), platform, day)
    tables[PLAYS], plays, seconds = _plays(random_stream(config.seed, Stream.PLAYS, day), platform, day)
    return ServiceFacts(tables, visitors, buyers, amounts, plays, seconds)


def _visits(random: np.random.Generator, platform: Platform, day: int, source: str) -> tuple[pa.Table, Ints]:
    active = np.flatnonzero(platform.users.active(day))
    count = max(LEAST_ACTS, int(len(active) * VISIT_SHARES[source]))
    keen = active[active % KEEN_EVERY == 0]
    one_of_keen = keen[random.integers(0, len(keen), count)]
    anyone = active[random.integers(0, len(active), count)]
    user = np.where(random.random(count) < 0.7, one_of_keen, anyone)
    # Equal rows, as of a visitor who comes twice.
    user[:REPEATED_VISITS] = user[REPEATED_VISITS : 2 * REPEATED_VISITS]
    member = _accounts(random, platform, user)
    columns = {
        "we_member_id": nullable(member),
        "we_art_id": _artist_ids(platform, _communities(random, platform, user), random.random(count) < 0.25),
        "ctry": _countries(random, platform, user),
        "platform": _platforms(random, count),
    }
    table = pa.table({"key_date": _dates(platform, day, count), **columns})
    twice = table.slice(0, REPEATED_VISITS)
    return pa.concat_tables([table, twice]), np.concatenate([member, member[:REPEATED_VISITS]])


def _orders(random: np.random.Generator, platform: Platform, day: int) -> tuple[pa.Table, Ints, Ints]:
    """The orders of a day; half of them are for the artist whose membership the buyer has bought."""
    memberships = platform.memberships
    active = np.flatnonzero(platform.users.active(day))
    count = max(LEAST_ACTS, int(len(active) * ORDER_SHARE))
    user = active[random.integers(0, len(active), count)]
    community = _communities(random, platform, user)
    bought = np.flatnonzero(memberships.created_day <= day)
    by_holder = np.flatnonzero(random.random(count) < 0.5)[: len(bought)]
    of_holder = bought[random.integers(0, max(len(bought), 1), len(by_holder))]
    user[by_holder], community[by_holder] = memberships.user[of_holder], memberships.community[of_holder]
    member = _accounts(random, platform, user)
    kind = random.random(count)
    is_order, is_unknown = kind < 0.85, kind > 0.97
    amount = random.integers(0, 900_000, count) * random.choice(np.array([1, 100]), count)
    has_amount = random.random(count) >= 0.03
    table = pa.table(
        {
            "order_id": FIRST_ORDER + day * ORDERS_A_DAY + random.permutation(count),
            "key_date": _dates(platform, day, count),
            "we_member_id": nullable(member),
            "we_art_id": _artist_ids(platform, community, random.random(count) < 0.1),
            "ctry": _countries(random, platform, user),
            "platform": _platforms(random, count),
            "is_ord": pa.array(is_order.astype(np.int32), mask=is_unknown),
            "amount": pc.if_else(pa.array(has_amount), _decimals(amount), None),
        }
    )
    return table, member[is_order], np.where(has_amount, amount, 0)[is_order]


def _plays(random: np.random.Generator, platform: Platform, day: int) -> tuple[pa.Table, int, int]:
    members, lives, days = platform.members, platform.lives, platform.days
    present, active = np.flatnonzero(members.present(day)), np.flatnonzero(platform.users.active(day))
    count = max(LEAST_ACTS, int(len(present) * PLAY_SHARE))
    passes_by = random.random(count) < 0.12
    member = present[random.integers(0, len(present), count)]
    user = np.where(passes_by, active[random.integers(0, len(active), count)], members.user[member])
    anywhere = pick(platform.communities.popularity, random.random(count))
    community = np.where(passes_by, anywhere, members.community[member])

    is_known = (lives.contents.visible[day, community] > 0) & (random.random(count) >= 0.05)
    live = np.where(is_known, lives.contents.some_of(community, day, random.random(count)).clip(max=len(lives) - 1), 0)
    start = np.where(is_known, np.maximum(lives.start_ms[live], days.start(day)), days.start(day))
    at = start + (random.random(count) * (days.end(day) - start)).astype(np.int64)
    seconds = (random.standard_exponential(count) * 900).astype(np.int64)
    has_seconds = random.random(count) >= 0.02
    table = pa.table(
        {
            "video_id": pc.if_else(pa.array(is_known), lives.video_id.take(pa.array(live)), "9-1"),
            "we_member_id": nullable(_accounts(random, platform, user)),
            "platform": _platforms(random, count, is_play=True),
            "play_dt": instants(at),
            "play_sec": nullable(np.where(has_seconds, seconds, -1)),
        }
    )
    return table, int(is_known.sum()), int(seconds[is_known & has_seconds].sum())


def _accounts(random: np.random.Generator, platform: Platform, user: Ints) -> Ints:
    """The account of each user; a few are of other services only, in no delivery of accounts, or unknown."""
    users = platform.users
    others = accounts_of_other_services(users)
    kind = random.random(len(user))
    member = np.where(kind < 0.05, others[user % len(others)], users.we_member_id[user])
    has_no_account = ~users.has_account[user] | (kind > 0.96)
    member = np.where(has_no_account, UNKNOWN_ACCOUNT + user, member)
    return np.where(random.random(len(user)) < 0.04, NOBODY_KNOWN, member)


def _communities(random: np.random.Generator, platform: Platform, user: Ints) -> Ints:
    """A community of each user, or for some, any."""
    members = platform.members
    draws, anywhere = random.random((2, len(user)))
    is_own = (members.count_of_user[user] > 0) & (random.random(len(user)) < 0.8)
    row = np.where(is_own, members.first_of_user[user] + (draws * members.count_of_user[user]).astype(np.int64), 0)
    return np.where(is_own, members.community[row], pick(platform.communities.popularity, anywhere))


def _artist_ids(platform: Platform, community: Ints, is_null: Bools) -> pa.Array:
    artist = np.where(is_null, UNKNOWN, platform.communities.artist[community])
    return nullable(np.where(artist == UNKNOWN, -1, platform.artists.we_art_id[artist]), type=pa.int32())


def _countries(random: np.random.Generator, platform: Platform, user: Ints) -> pa.Array:
    is_abroad = random.random(len(user)) < 0.08
    abroad = pick(COUNTRY_SHARES, random.random(len(user)))
    return take(pa.array(COUNTRIES), np.where(is_abroad, abroad, platform.users.country[user]))


def _platforms(random: np.random.Generator, count: int, is_play: bool = False) -> pa.Array:
    platform = pick(PLAY_PLATFORMS if is_play else SHOP_PLATFORMS, random.random(count))
    return take(PLATFORMS, np.where(random.random(count) < 0.06, -1, platform))


def _dates(platform: Platform, day: int, count: int) -> pa.Array:
    return pa.array(np.full(count, np.datetime64(platform.days.name(day))))


def _decimals(ten_thousandths: Ints) -> pa.Array:
    """Non-negative amounts as `decimal(18,4)`, exactly."""
    words = np.zeros((len(ten_thousandths), 2), dtype="<i8")
    words[:, 0] = ten_thousandths
    return pa.Array.from_buffers(pa.decimal128(18, 4), len(words), [None, pa.py_buffer(words)])
