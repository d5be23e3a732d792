"""The entities of the platform: users, devices, communities, posts, notices, members and memberships.

Each kind is a set of columns of equal length. Entities refer to each other by row number; -1 means none. Days are
numbered from 0; `BEFORE` means that something existed before the first day. Every entity has the day on which it
appears and, if it can disappear, the day on which it does, so a snapshot of any day is a selection of rows. Other data
about members is in `histories`.
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
COUNTRY_NAMES = (
    *("South Korea", "United States", "Japan", "Indonesia", "Brazil", "Mexico", "Philippines", "Thailand", "Vietnam"),
    *("India", "France", "Germany", "United Kingdom", "Taiwan"),
)
REGIONS = (
    *("KR", "AMERICAS", "JP", "ASIA", "AMERICAS", "AMERICAS", "ASIA", "ASIA", "ASIA"),
    *("ASIA", "EUROPE", "EUROPE", "EUROPE", "ASIA"),
)
LANGUAGES = ("ko", "en", "ja", "id", "pt", "es", "en", "th", "vi", "en", "fr", "de", "en", "zh")

FIRST_WORDS = (
    *("Velvet", "Paper", "Seven", "Lunar", "Neon", "Hollow", "Golden", "Winter", "Crystal", "Silent", "Northern"),
    *("Tidal", "Ruby", "Distant", "Electric", "Little", "Marble", "Open", "Quiet", "Rapid", "Scarlet", "Wild"),
)
SECOND_WORDS = (
    *("Comets", "Harbor", "Avenue", "Foxes", "Mirror", "Signal", "Garden", "Parade", "Lanterns", "Orbit", "Echo"),
    *("Meadow", "Anthem", "Bloom", "Cascade", "Drift", "Ember", "Forest", "Horizon", "Island", "Jupiter", "Kites"),
)
# The community of the analysts' example queries. The other ids follow a formula that never gives this one.
KNOWN_COMMUNITY, KNOWN_COMM_ID = 1, 1_234

MEDIA_ITEMS, LIVES_OF_COMMUNITY = 40, 10
MEDIA_TYPES, LIVE_TYPES = ("LIVE", "VOD"), ("LIVE", "REHEARSAL", "PREMIERE")

# The kinds of members; NULL for fans.
MEMBER_KINDS = pa.array([None, "ARTIST", "OTHER_COMMUNITY_ARTIST"], pa.string())

# The stays of a member: one that ended before the first day, the main one, and one after coming back.
EARLIER, FIRST, AGAIN = range(3)
STAYS = 3
LEAST_STAY_MS = 1_000

# Names that need quotes in a CSV file, and one that is not ASCII.
SPECIAL_NAMES = ("ARTIST", 'The "Quoted" Moons', "Comma, Full Stop", "달빛 정원")


@dataclass(frozen=True)
class Users:
    """One row per user of the fan service; most of them also have an account."""

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
        """Whether each user is with the service on the day, including the day of leaving."""
        return np.logical_and(self.joined_day <= day, self.left_day >= day)


@dataclass(frozen=True)
class Devices:
    """One row per device.

    `log_id` is the id in its log lines, NULL for TVs that send none; `id` is the id that the mart has to give it.
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
    """One row per community. `artist` is the row of its artist; the last community has none."""

    comm_id: Ints
    artist: Ints
    popularity: Floats

    def __len__(self) -> int:
        return len(self.comm_id)


@dataclass(frozen=True)
class Artists:
    """One row per artist. The last one has no community; the one before it debuts during the days."""

    we_art_id: Ints
    name: tuple[str, ...]
    community: Ints
    debut_day: Ints


@dataclass(frozen=True)
class Contents:
    """Posts or notices, one per row, grouped by community and ordered by the day on which they appear.

    `visible` is how many are visible by day (row) and community (column).
    """

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
        """For each of the communities, one of its rows that is visible on the day."""
        turn = (draws * self.visible[day, community]).astype(np.int64)
        chosen: Ints = self.first_of_community[community] + turn
        return chosen


@dataclass(frozen=True)
class Members:
    """One row per user and community, including past and future members, grouped by user.

    Days and instants have one column per stay (`EARLIER`, `FIRST`, `AGAIN`), with `NEVER` and -1 for what does not
    happen. Instants are in milliseconds and in time order. `left_day` is the last day of a stay.
    `first_of_user` and `count_of_user` say which rows belong to each user.
    """

    user: Ints
    community: Ints
    kind: Ints  # of `MEMBER_KINDS`
    joined_day: Ints
    left_day: Ints
    joined_ms: Ints
    left_ms: Ints
    unsubscribes: Bools  # False also if the stay ends with the account, without a status line of the community
    first_of_user: Ints
    count_of_user: Ints

    def __len__(self) -> int:
        return len(self.user)

    def present(self, day: int) -> Bools:
        """Whether each is a member on the day, including the day of leaving."""
        is_present: Bools = (self.joined_day <= day) & (self.left_day >= day)
        return np.asarray(is_present.any(axis=1))

    def joined_by(self, day: int) -> Bools:
        """Whether each has joined on the day or before it."""
        return np.asarray((self.joined_day <= day).any(axis=1))

    def latest_stay(self, day: int) -> Ints:
        """The last stay of each that had begun by the day; `FIRST` if none had."""
        return np.where(self.joined_day[:, AGAIN] <= day, AGAIN, FIRST)

    @property
    def first_joined_ms(self) -> Ints:
        return np.where(self.joined_day[:, EARLIER] == NEVER, self.joined_ms[:, FIRST], self.joined_ms[:, EARLIER])


@dataclass(frozen=True)
class Memberships:
    """One row per paid fan club membership; a renewal is its own row. Instants are in milliseconds, -1 if none."""

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
class Lives:
    """One row per live video, grouped by community and ordered by day. Instants are in milliseconds.

    `media_id` is -1 if no media item shows the video, and `live_type` -1 if it is unknown.
    """

    contents: Contents
    video_id: pa.Array
    media_id: Ints
    media_type: Ints  # of `MEDIA_TYPES`
    live_type: Ints  # of `LIVE_TYPES`
    start_ms: Ints
    end_ms: Ints

    def __len__(self) -> int:
        return len(self.media_id)


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
    lives: Lives


def build_platform(config: SimulatorConfig) -> Platform:
    days = BusinessDays.starting(config.first_day, config.days, config.timezone)
    users = _users(config, days)
    communities, artists = _communities(config)
    members = _members(config, days, users, communities)
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
        lives=_lives(config, days, communities),
    )


def post_public_ids(posts: Ints) -> tuple[Ints, Ints]:
    """Shard and local id of posts given by row; together they are the public id `<shard>-<local>`."""
    return posts % 4, 104_000_000 + 13 * (posts // 4)


def notice_ids(notices: Ints) -> Ints:
    return np.add(2_000, 3 * notices)


def media_ids(community: Ints, number: Ints) -> Ints:
    """The ids of media items, of which each community has `MEDIA_ITEMS`, numbered from 0."""
    return np.add(50_000 + MEDIA_ITEMS * community, number)


def accounts_of_other_services(users: Users) -> Ints:
    """The ids of accounts that only use services other than Weverse."""
    return np.add(450_000_000, np.arange(len(users) // 20))


def _users(config: SimulatorConfig, days: BusinessDays) -> Users:
    random = random_stream(config.seed, Stream.USERS)
    count = config.scale.users
    joined_day = _appearing(random, count, config.days)
    leaves = random.random(count) < 0.02
    left_day = np.where(leaves, np.maximum(joined_day, random.integers(0, config.days, count)), NEVER)
    joined_ms = _some_instant(random, days, joined_day)
    left_ms = np.maximum(joined_ms, _some_instant(random, days, np.where(leaves, left_day, BEFORE)))
    return Users(
        # The first thousand users already have ids of five and of six digits: ids must be ordered as numbers, not text.
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
    # A TV without a device id is identified by its user's key, so no user may have two of them.
    is_only_device = (number < people) & (owner != NOBODY)
    client = np.where((client == KEYED_TV) & ~is_only_device, 0, client)
    is_keyed = client == KEYED_TV
    is_shared = (random.random(count) < 0.25) & (owner != NOBODY) & ~is_keyed
    any_user = random.integers(0, people, count)

    uuids = fixed_width_text(_uuid_letters(_words(random, count, 2)))
    log_id = pc.if_else(pa.array(is_keyed), pa.scalar(None, pa.string()), uuids)
    keys = users.key.take(pa.array(owner, mask=~is_keyed))
    keyed_id = pc.binary_join_element_wise("U_", keys, "")
    return Devices(
        id=pc.if_else(pa.array(is_keyed), keyed_id, uuids),
        log_id=log_id,
        client=client,
        version=random.integers(0, VERSIONS - 1, count),
        upgrade_day=random.integers(0, 3 * config.days, count),
        country=np.where(owner == NOBODY, pick(COUNTRY_SHARES, random.random(count)), users.country[owner]),
        owner=owner,
        second_user=np.where(is_shared, any_user, owner),
    )


def _communities(config: SimulatorConfig) -> tuple[Communities, Artists]:
    count = config.scale.artists
    row = np.arange(count)
    comm_id = np.where(row == KNOWN_COMMUNITY, KNOWN_COMM_ID, 12 + 7 * row)
    without_artist, without_community, debutant = count - 1, count - 1, count - 2
    communities = Communities(
        comm_id=comm_id,
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
    # Every community has content from the first day on.
    community[: len(communities)] = np.arange(min(count, len(communities)))
    created_day[: len(communities)] = BEFORE
    return Contents.grouped(community, created_day, len(communities), config.days)


def _members(config: SimulatorConfig, days: BusinessDays, users: Users, communities: Communities) -> Members:
    random = random_stream(config.seed, Stream.MEMBERS)
    wanted = pick(cumulative((10, 35, 30, 15, 10)), random.random(len(users)))
    user = np.repeat(np.arange(len(users)), wanted)
    community = pick(communities.popularity, random.random(len(user)))
    pairs = np.unique(user * len(communities) + community)
    user, community = np.divmod(pairs, len(communities))

    user_joined = users.joined_day[user]
    during = np.maximum(user_joined, random.integers(0, config.days, len(user)))
    joined = np.where((user_joined == BEFORE) & (random.random(len(user)) < 0.9), BEFORE, during)
    joined = np.minimum(joined, users.left_day[user])
    leaving = np.maximum(joined, random.integers(0, config.days, len(user)))
    left = np.where(random.random(len(user)) < 0.03, leaving, NEVER)
    left = np.minimum(left, users.left_day[user])
    is_artist = random.random(len(user)) < max(0.002, 20 / len(user))
    kind = np.where(is_artist, random.integers(1, 3, len(user)), 0)

    random = random_stream(config.seed, Stream.STAYS)
    joined_day, left_day = _stays(random, config, joined, left)
    joined_ms, left_ms, possible = _instants_of_stays(random, days, users, user, joined_day, left_day)
    ends = left_day != NEVER
    # Some leave at the instant of joining.
    is_instant = random.random(left_day.shape) < np.where(joined_day == BEFORE, 0.02, 0.2)
    left_ms = np.where(ends & (joined_day == left_day) & is_instant, joined_ms, left_ms)
    # Leaving the service ends every membership. Some end without a status line, so that only the account shows it.
    with_service = ends & (left_day == users.left_day[user][:, None]) & users.has_account[user][:, None]
    with_service[:, FIRST] &= joined_day[:, AGAIN] == NEVER
    silent = with_service & (random.random((len(user), 1)) < 0.5)
    left_ms = np.where(silent, users.left_ms[user][:, None], left_ms)

    count_of_user = np.bincount(user[possible], minlength=len(users))
    return Members(
        user=user[possible],
        community=community[possible],
        kind=kind[possible],
        joined_day=joined_day[possible],
        left_day=left_day[possible],
        joined_ms=joined_ms[possible],
        left_ms=left_ms[possible],
        unsubscribes=(ends & ~silent)[possible],
        first_of_user=np.cumsum(count_of_user) - count_of_user,
        count_of_user=count_of_user,
    )


def _stays(random: np.random.Generator, config: SimulatorConfig, joined: Ints, left: Ints) -> tuple[Ints, Ints]:
    """The days of joining and leaving for each stay, all between `joined` and `left` of the member.

    Some of those who joined before the first day had already left by then, or had an earlier stay. Some members who
    leave, before the first day or later, come back.
    """
    count = len(joined)
    joined_day = np.full((count, STAYS), NEVER, dtype=np.int16)
    left_day = np.full((count, STAYS), NEVER, dtype=np.int16)
    joined_day[:, FIRST], left_day[:, FIRST] = joined, left

    fate, when, until = random.random((3, count))
    joined_before = joined == BEFORE
    left_before = joined_before & (fate < 0.06)
    pauses = fate > 0.97
    first = joined.clip(min=0)
    last = np.minimum(left, config.days - 1)
    leaves_on = np.where(left_before, BEFORE, first + (when * (last - first + 1)).astype(np.int64))
    away_from = leaves_on.clip(min=0)
    returns_on = away_from + (until * (last - away_from + 1)).astype(np.int64)
    comes_back = pauses | (left_before & (fate < 0.02))
    left_day[left_before | pauses, FIRST] = leaves_on[left_before | pauses]
    joined_day[comes_back, AGAIN], left_day[comes_back, AGAIN] = returns_on[comes_back], left[comes_back]

    had_earlier_stay = joined_before & (random.random(count) < 0.08)
    joined_day[had_earlier_stay, EARLIER] = left_day[had_earlier_stay, EARLIER] = BEFORE
    return joined_day, left_day


def _instants_of_stays(
    random: np.random.Generator, days: BusinessDays, users: Users, user: Ints, joined_day: Ints, left_day: Ints
) -> tuple[Ints, Ints, Bools]:
    """The instants at which each stay begins and ends, and for which members they are possible.

    They are in time order and within the user's time with the service. On a day on which the user joins or leaves the
    service there may not be enough time.
    """
    day = np.stack([joined_day, left_day], axis=2).reshape(len(user), 2 * STAYS)
    happens = day != NEVER
    day_number = np.where(happens, day, 0).clip(min=0)
    start = np.where(day == BEFORE, users.joined_ms[user][:, None], days.midnights[day_number])
    end = np.where(day == BEFORE, days.start(0), days.midnights[day_number + 1])
    start = np.maximum(start, users.joined_ms[user][:, None])
    leaves_service = np.where(users.left_ms < 0, np.iinfo(np.int64).max, users.left_ms)
    end = np.minimum(end, leaves_service[user][:, None])
    # Sorted and at least a millisecond apart, so that leaving and coming back never share an instant.
    place = np.sort(random.random(day.shape), axis=1)
    at = start + (place * (end - start - day.shape[1])).astype(np.int64) + np.arange(day.shape[1])
    at = np.where(happens, at, -1).reshape(len(user), STAYS, 2)
    possible = ((end - start >= LEAST_STAY_MS) | ~happens).all(axis=1)
    return at[:, :, 0], at[:, :, 1], possible


def _memberships(
    config: SimulatorConfig, days: BusinessDays, users: Users, communities: Communities, members: Members
) -> Memberships:
    random = random_stream(config.seed, Stream.MEMBERSHIPS)
    eligible = users.has_account[members.user] & (communities.artist[members.community] != UNKNOWN)
    buyers = np.flatnonzero(eligible & (random.random(len(members.user)) < 0.3))
    renewed = random.random(len(buyers)) < 0.15
    member = np.repeat(buyers, 1 + renewed)
    turn = positions_in_groups(1 + renewed)

    joined_day = members.joined_day[member, FIRST]
    during = np.maximum(joined_day, random.integers(0, config.days, len(member)))
    is_old = (joined_day == BEFORE) & (turn == 0) & (random.random(len(member)) < 0.8)
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


def _lives(config: SimulatorConfig, days: BusinessDays, communities: Communities) -> Lives:
    random = random_stream(config.seed, Stream.LIVES)
    community = np.repeat(np.arange(len(communities)), LIVES_OF_COMMUNITY)
    count = len(community)
    contents = Contents.grouped(community, _appearing(random, count, config.days), len(communities), config.days)
    start_ms = _some_instant(random, days, contents.created_day)
    number = np.arange(count)
    media_number = positions_in_groups(np.full(len(communities), LIVES_OF_COMMUNITY)) * (
        MEDIA_ITEMS // LIVES_OF_COMMUNITY
    )
    return Lives(
        contents=contents,
        video_id=pa.array([f"{row % 4}-{30_000 + 7 * row}" for row in range(count)]),
        media_id=np.where(number % 9 == 8, -1, media_ids(contents.community, media_number)),
        media_type=random.integers(0, len(MEDIA_TYPES), count),
        live_type=np.where(random.random(count) < 0.1, -1, random.integers(0, len(LIVE_TYPES), count)),
        start_ms=start_ms,
        end_ms=start_ms + random.integers(600_000, 4 * 3_600_000, count),
    )


def _appearing(random: np.random.Generator, count: int, days: int) -> Ints:
    """The day on which each of `count` entities appears: for most `BEFORE`, for the others any of the days."""
    return np.where(random.random(count) < 0.7, BEFORE, random.integers(0, days, count))


def _some_instant(random: np.random.Generator, days: BusinessDays, day: Ints) -> Ints:
    """An instant on each day, in milliseconds since the epoch; for `BEFORE`, in the two years before the first day."""
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
