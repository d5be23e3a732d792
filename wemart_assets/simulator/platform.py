"""Who and what there is on the platform: users, devices, communities, posts, notices, members and memberships.

Each is a set of equally long columns; one refers to another by row number, and -1 stands for none. Days are numbered
from 0; `BEFORE` means that something was there already when the first day began. Everything says on which day it
appears and, where it can go, on which day it goes, so that a snapshot of any day is a selection of rows.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from wemart_assets.simulator.business_days import BusinessDays
from wemart_assets.simulator.clients import CLIENTS, KEYED_TV, VERSIONS
from wemart_assets.simulator.columns import (
    Bools,
    Floats,
    Ints,
    Stream,
    cumulative,
    fixed_width_text,
    hexadecimal,
    pick,
    positions_in_groups,
    random_stream,
)
from wemart_assets.simulator.config import SimulatorConfig

BEFORE = -1
NEVER = 32_767
NOBODY = -1
UNKNOWN = -1

COUNTRIES = ("KR", "US", "JP", "ID", "BR", "MX", "PH", "TH", "VN", "IN", "FR", "DE", "GB", "TW")
COUNTRY_SHARES = cumulative((26, 17, 14, 9, 6, 5, 5, 4, 3, 3, 2, 2, 2, 2))
LANGUAGES = ("ko", "en", "ja", "id", "pt", "es", "en", "th", "vi", "en", "fr", "de", "en", "zh")

FIRST_WORDS = (
    *("Velvet", "Paper", "Seven", "Lunar", "Neon", "Hollow", "Golden", "Winter", "Crystal", "Silent", "Northern"),
    *("Tidal", "Ruby", "Distant", "Electric", "Little", "Marble", "Open", "Quiet", "Rapid", "Scarlet", "Wild"),
)
SECOND_WORDS = (
    *("Comets", "Harbor", "Avenue", "Foxes", "Mirror", "Signal", "Garden", "Parade", "Lanterns", "Orbit", "Echo"),
    *("Meadow", "Anthem", "Bloom", "Cascade", "Drift", "Ember", "Forest", "Horizon", "Island", "Jupiter", "Kites"),
)
# Names that need quotes in a CSV file, and one that is not ASCII.
SPECIAL_NAMES = ("ARTIST", 'The "Quoted" Moons', "Comma, Full Stop", "달빛 정원")


@dataclass(frozen=True)
class Users:
    """One row a user of the fan service; most of them have an account row, too."""

    wv_user_id: Ints
    we_member_id: Ints
    has_account: Bools
    key: pa.Array
    country: Ints
    vlive_id: Ints
    joined_day: Ints
    joined_ms: Ints
    left_day: Ints
    left_ms: Ints

    def __len__(self) -> int:
        return len(self.wv_user_id)

    def active(self, day: int) -> Bools:
        """Who is with the service on the day; a leaver still is on the day of leaving."""
        return np.logical_and(self.joined_day <= day, self.left_day >= day)


@dataclass(frozen=True)
class Devices:
    """One row a device.

    `log_id` is the id in its log lines, NULL for TVs that send none; `id` is the one by which the mart has to know it.
    """

    id: pa.Array
    log_id: pa.Array
    client: Ints
    version: Ints
    upgrade_day: Ints
    country: Ints
    owner: Ints
    second_user: Ints

    def __len__(self) -> int:
        return len(self.client)


@dataclass(frozen=True)
class Communities:
    """One row a community. `artist` is the row of its artist; the last community has none."""

    comm_id: Ints
    artist: Ints
    popularity: Floats

    def __len__(self) -> int:
        return len(self.comm_id)


@dataclass(frozen=True)
class Artists:
    """One row an artist. The last one has no community; the one before it debuts while the days go by."""

    we_art_id: Ints
    name: tuple[str, ...]
    community: Ints
    debut_day: Ints


@dataclass(frozen=True)
class Contents:
    """Posts or notices, one a row, grouped by community and ordered by the day on which they appear."""

    community: Ints
    created_day: Ints
    first_of_community: Ints
    visible: Ints

    @classmethod
    def grouped(cls, community: Ints, created_day: Ints, communities: int, days: int) -> "Contents":
        order = np.lexsort((created_day, community))
        community, created_day = community[order], created_day[order]
        first = np.searchsorted(community, np.arange(communities))
        visible = np.empty((days, communities), dtype=np.int64)
        for day in range(days):
            visible[day] = np.bincount(community[created_day <= day], minlength=communities)
        return cls(community, created_day, first, visible)

    def some_of(self, community: Ints, day: int, draws: Floats) -> Ints:
        """For each of the communities one of its rows that is visible on the day."""
        turn = (draws * self.visible[day, community]).astype(np.int64)
        chosen: Ints = self.first_of_community[community] + turn
        return chosen


@dataclass(frozen=True)
class Members:
    """One row a user's profile in a community, grouped by user. The last day of a leaver is `left_day`."""

    user: Ints
    community: Ints
    joined_day: Ints
    left_day: Ints
    kind: Ints  # 0 a fan, 1 an artist, 2 an artist of another community
    first_of_user: Ints
    of_user: Ints


@dataclass(frozen=True)
class Memberships:
    """One row a paid membership of a fan club; a renewal is a row of its own. Instants in milliseconds, -1 unknown."""

    user: Ints
    community: Ints
    fc_id: Ints
    created_day: Ints
    create_ms: Ints
    start_ms: Ints
    end_ms: Ints
    payment_failed: Bools
    restored: Bools


@dataclass(frozen=True)
class Platform:
    days: BusinessDays
    users: Users
    devices: Devices
    communities: Communities
    artists: Artists
    posts: Contents
    notices: Contents
    members: Members
    memberships: Memberships


def build_platform(config: SimulatorConfig) -> Platform:
    days = BusinessDays.starting(config.first_day, config.days, config.timezone)
    users = _users(config, days)
    communities, artists = _communities(config)
    members = _members(config, users, communities)
    return Platform(
        days=days,
        users=users,
        devices=_devices(config, users),
        communities=communities,
        artists=artists,
        posts=_contents(config, config.scale.posts, Stream.POSTS, communities),
        notices=_contents(config, config.scale.notices, Stream.NOTICES, communities),
        members=members,
        memberships=_memberships(config, days, users, communities, members),
    )


def post_public_ids(posts: Ints) -> tuple[Ints, Ints]:
    """Shard and local id of posts, given by row. Together they are the public id `<shard>-<local>`."""
    return posts % 4, 104_000_000 + 13 * (posts // 4)


def notice_ids(notices: Ints) -> Ints:
    return np.add(2_000, 3 * notices)


def _users(config: SimulatorConfig, days: BusinessDays) -> Users:
    random = random_stream(config.seed, Stream.USERS)
    count = config.scale.users
    joined_day = _appearing(random, count, config.days)
    leaves = random.random(count) < 0.02
    left_day = np.where(leaves, np.maximum(joined_day, random.integers(0, config.days, count)), NEVER)
    joined_ms = _some_instant(random, days, joined_day)
    left_ms = np.maximum(joined_ms, _some_instant(random, days, np.where(leaves, left_day, BEFORE)))
    return Users(
        # Six digits meet five already among the first thousand users: ids have to be ordered as numbers, not as text.
        wv_user_id=95_003 + 7 * np.arange(count),
        we_member_id=500_000_000 + 3 * random.permutation(count),
        has_account=random.random(count) >= 0.03,
        key=fixed_width_text(hexadecimal(_words(random, count, 2))[:, :24]),
        country=np.where(random.random(count) < 0.04, UNKNOWN, pick(COUNTRY_SHARES, random.random(count))),
        vlive_id=np.where(random.random(count) < 0.1, 90_000_000 + np.arange(count), -1),
        joined_day=joined_day,
        joined_ms=joined_ms,
        left_day=left_day,
        left_ms=np.where(leaves, left_ms, -1),
    )


def _devices(config: SimulatorConfig, users: Users) -> Devices:
    random = random_stream(config.seed, Stream.DEVICES)
    count, people = config.scale.devices, len(users)
    number = np.arange(count)
    owner = np.where(number < people, number, random.integers(0, people, count))
    owner = np.where(random.random(count) < 0.1, NOBODY, owner)
    client = pick(cumulative([client.share for client in CLIENTS]), random.random(count))
    # A TV without a device id is known by its user's key, so no user may have two of them.
    one_to_one = (number < people) & (owner != NOBODY)
    client = np.where((client == KEYED_TV) & ~one_to_one, 0, client)
    keyed = client == KEYED_TV
    shared = (random.random(count) < 0.25) & (owner != NOBODY) & ~keyed
    other = random.integers(0, people, count)

    uuids = fixed_width_text(_uuid_letters(_words(random, count, 2)))
    log_id = pc.if_else(pa.array(keyed), pa.scalar(None, pa.string()), uuids)
    keys = users.key.take(pa.array(owner, mask=~keyed))
    keyed_id = pc.binary_join_element_wise("U_", keys, "")
    return Devices(
        id=pc.if_else(pa.array(keyed), keyed_id, uuids),
        log_id=log_id,
        client=client,
        version=random.integers(0, VERSIONS - 1, count),
        upgrade_day=random.integers(0, 3 * config.days, count),
        country=np.where(owner == NOBODY, pick(COUNTRY_SHARES, random.random(count)), users.country[owner]),
        owner=owner,
        second_user=np.where(shared, other, owner),
    )


def _communities(config: SimulatorConfig) -> tuple[Communities, Artists]:
    count = config.scale.artists
    row = np.arange(count)
    without_artist, without_community, debutant = count - 1, count - 1, count - 2
    communities = Communities(
        comm_id=12 + 7 * row,
        artist=np.where(row == without_artist, UNKNOWN, row),
        popularity=cumulative(1 / (2 + row)),
    )
    artists = Artists(
        we_art_id=3 + 2 * row,
        name=tuple(_artist_name(number) for number in range(count)),
        community=np.where(row == without_community, UNKNOWN, row),
        debut_day=np.where((row == debutant) & (config.days > 2), 2, BEFORE),
    )
    return communities, artists


def _artist_name(number: int) -> str:
    if number < len(SPECIAL_NAMES):
        return SPECIAL_NAMES[number]
    turn, first = divmod(number, len(FIRST_WORDS))
    again, second = divmod(turn, len(SECOND_WORDS))
    name = f"{FIRST_WORDS[first]} {SECOND_WORDS[(first + second) % len(SECOND_WORDS)]}"
    return f"{name} {again + 1}" if again else name


def _contents(config: SimulatorConfig, count: int, purpose: Stream, communities: Communities) -> Contents:
    random = random_stream(config.seed, purpose)
    community = pick(communities.popularity, random.random(count))
    created_day = _appearing(random, count, config.days)
    # Every community has something to show from the first day on.
    community[: len(communities)] = np.arange(min(count, len(communities)))
    created_day[: len(communities)] = BEFORE
    return Contents.grouped(community, created_day, len(communities), config.days)


def _members(config: SimulatorConfig, users: Users, communities: Communities) -> Members:
    random = random_stream(config.seed, Stream.MEMBERS)
    wanted = pick(cumulative((10, 35, 30, 15, 10)), random.random(len(users)))
    user = np.repeat(np.arange(len(users)), wanted)
    community = pick(communities.popularity, random.random(len(user)))
    pairs = np.unique(user * len(communities) + community)
    user, community = np.divmod(pairs, len(communities))

    since = users.joined_day[user]
    during = np.maximum(since, random.integers(0, config.days, len(user)))
    joined_day = np.where((since == BEFORE) & (random.random(len(user)) < 0.9), BEFORE, during)
    leaving = np.maximum(joined_day, random.integers(0, config.days, len(user)))
    left_day = np.where(random.random(len(user)) < 0.03, leaving, users.left_day[user])
    special = random.random(len(user)) < max(0.002, 20 / len(user))
    kind = np.where(special, random.integers(1, 3, len(user)), 0)
    of_user = np.bincount(user, minlength=len(users))
    return Members(
        user=user,
        community=community,
        joined_day=joined_day,
        left_day=np.minimum(left_day, np.maximum(users.left_day[user], joined_day)),
        kind=kind,
        first_of_user=np.cumsum(of_user) - of_user,
        of_user=of_user,
    )


def _memberships(
    config: SimulatorConfig, days: BusinessDays, users: Users, communities: Communities, members: Members
) -> Memberships:
    random = random_stream(config.seed, Stream.MEMBERSHIPS)
    eligible = users.has_account[members.user] & (communities.artist[members.community] != UNKNOWN)
    buyers = np.flatnonzero(eligible & (random.random(len(members.user)) < 0.3))
    renewed = random.random(len(buyers)) < 0.15
    member = np.repeat(buyers, 1 + renewed)
    turn = positions_in_groups(1 + renewed)

    during = np.maximum(members.joined_day[member], random.integers(0, config.days, len(member)))
    is_old = (members.joined_day[member] == BEFORE) & (turn == 0) & (random.random(len(member)) < 0.8)
    created_day = np.where(is_old, BEFORE, during)
    create_ms = _some_instant(random, days, created_day)
    waits = random.random(len(member)) < 0.1
    start_ms = np.where(waits, create_ms + random.integers(1, 20 * 86_400_000, len(member)), create_ms)
    lasting = random.choice(np.array([30, 365, 365, 365, 730]), len(member)) * 86_400_000
    return Memberships(
        user=members.user[member],
        community=members.community[member],
        fc_id=1_000 + 2 * members.community[member] + turn,
        created_day=created_day,
        create_ms=create_ms,
        start_ms=start_ms,
        end_ms=np.where(random.random(len(member)) < 0.05, -1, start_ms + lasting),
        payment_failed=random.random(len(member)) < 0.06,
        restored=random.random(len(member)) < 0.03,
    )


def _appearing(random: np.random.Generator, count: int, days: int) -> Ints:
    """The day on which each of `count` things appears: most were there before, the others come day by day."""
    return np.where(random.random(count) < 0.7, BEFORE, random.integers(0, days, count))


def _some_instant(random: np.random.Generator, days: BusinessDays, day: Ints) -> Ints:
    """An instant on each day, in milliseconds since the epoch; for `BEFORE` one in the two years before."""
    draws = random.random(len(day))
    start, end = days.midnights[day.clip(min=0)], days.midnights[day.clip(min=0) + 1]
    earlier = days.start(0) - 1 - (draws * 2 * 365 * 86_400_000).astype(np.int64)
    return np.where(day == BEFORE, earlier, start + (draws * (end - start)).astype(np.int64))


def _words(random: np.random.Generator, rows: int, columns: int) -> npt.NDArray[np.uint64]:
    return random.integers(0, 2**64, (rows, columns), dtype=np.uint64)


def _uuid_letters(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint8]:
    digits = hexadecimal(words)
    letters = np.full((len(digits), 36), ord("-"), dtype=np.uint8)
    places = [place for place in range(36) if place not in (8, 13, 18, 23)]
    letters[:, places] = digits
    return letters
