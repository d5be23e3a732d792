"""Other data about members: countries, a past on former products, push switches, reports and purchases.

Each kind is a set of columns of equal length, as in `platform`. Days before the first one are negative here.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from wemart_assets.simulator.business_days import UTC_DAY_MS
from wemart_assets.simulator.columns import Bools, Ints, Stream, cumulative, pick, positions_in_groups, random_stream
from wemart_assets.simulator.config import SimulatorConfig
from wemart_assets.simulator.platform import BEFORE, COUNTRY_SHARES, FIRST, NEVER, UNKNOWN, Platform

MONTH_MS, YEAR_MS = 30 * UTC_DAY_MS, 365 * UTC_DAY_MS
NO_INSTANT = np.iinfo(np.int64).max
SWITCH_KEYS = (
    "artist_cheering_me_push_enabled",
    "artist_comment_push_enabled",
    "artist_live_on_air_push_enabled",
    "artist_live_reservation_push_enabled",
    "artist_moment_push_enabled",
    "artist_post_push_enabled",
    "comment_push_enabled",
    "community_anniversary_push_enabled",
    "community_media_push_enabled",
    "community_notice_push_enabled",
    "following_push_enabled",
)


@dataclass(frozen=True)
class Countries:
    """One row per stay of a user in a country, by user, oldest first.

    Stays may overlap or leave gaps; if they overlap, the one that began last counts.
    """

    user: Ints
    country: Ints
    first_day: Ints
    last_day: Ints  # NEVER if the user is still there

    def of_users(self, users: int, day: int) -> Ints:
        """The country of each user on the day, UNKNOWN if no stay covers it."""
        covers = (self.first_day <= day) & (self.last_day >= day)
        country = np.full(users, UNKNOWN)
        # Of equal indices the last one wins, which is the newest stay.
        country[self.user[covers]] = self.country[covers]
        return country


@dataclass(frozen=True)
class FormerProducts:
    """The members who came from the former live service (V) or the first version of this one (WV1); -1 if they did not.

    `wv1_total_ms` and `was_in_gone` have one row per user, the others one row per member. A user who was in a community
    of WV1 that no longer exists had joined it before all others.
    """

    migrated_ms: Ints
    wv1_ms: Ints
    first_join_is_lost: Bools  # no longer in the member's profile, but in WV1
    wv1_total_ms: Ints
    was_in_gone: Bools


@dataclass(frozen=True)
class Switches:
    """Push notification switches that members have set: one row per `member`, one column for each of `SWITCH_KEYS`.

    On `turn_day`, the switch at `turn_key` is turned the other way.
    """

    member: Ints
    touched: Bools
    on: Bools
    turn_day: Ints
    turn_key: Ints


@dataclass(frozen=True)
class Purchases:
    """One row per purchase of direct messages. It is open, with no end, before `end_known_day`.

    Some rows are no longer delivered from `gone_day` on, such as those of refunded purchases.
    """

    member: Ints
    dm_id: Ints
    yearly: Bools
    start_day: Ints
    start_ms: Ints
    end_ms: Ints
    end_known_day: Ints
    gone_day: Ints

    def delivered(self, day: int) -> Bools:
        """Whether each is a row of the day's delivery."""
        return np.logical_and(self.start_day <= day, self.gone_day > day)

    def running(self, day: int, start_of_day: int) -> Bools:
        """Whether each has started by the day and, as far as its delivery tells, not ended before it."""
        return np.asarray((self.start_day <= day) & ((self.end_known_day > day) | (self.end_ms >= start_of_day)))


def dm_channel(community: Ints, number: Ints) -> Ints:
    """The id of one of the three channels of each community."""
    return np.asarray(7_000 + 3 * community + number)


@dataclass(frozen=True)
class Reports:
    """Reported members: how often they were reported before the first day, and on each day since."""

    member: Ints
    before: Ints
    each_day: Ints


class Histories:
    """All histories, each generated on first use."""

    def __init__(self, config: SimulatorConfig, platform: Platform) -> None:
        self.config, self.platform = config, platform

    @cached_property
    def countries(self) -> Countries:
        random = random_stream(self.config.seed, Stream.COUNTRIES)
        users = self.platform.users
        with_country = np.flatnonzero(users.country != UNKNOWN)
        stays = pick(cumulative((3, 75, 16, 6)), random.random(len(with_country)))
        user = np.repeat(with_country, stays)
        place = positions_in_groups(stays)
        is_newest = place == np.repeat(stays, stays) - 1

        since = np.where(users.joined_day == BEFORE, -1 - random.integers(0, 600, len(users)), users.joined_day)[user]
        first_day = since + (random.random(len(user)) * (self.config.days - since)).astype(np.int64)
        first_day = np.where(place == 0, since, first_day)
        order = np.lexsort((first_day, user))
        first_day = first_day[order]

        kind = random.random(len(user))
        # The next stay follows at once, after a gap, or before this one is over.
        shift = np.select([kind < 0.15, kind < 0.3], [-1 - random.integers(0, 30, len(user)), kind * 60], 0)
        until = np.maximum(np.append(first_day[1:], NEVER) - 1 + shift.astype(np.int64), first_day)
        newest_until = np.where(kind < 0.05, first_day + random.integers(0, 200, len(user)), NEVER)
        last_day = np.where(is_newest, newest_until, until)
        any_country = pick(COUNTRY_SHARES, random.random(len(user)))
        return Countries(user, np.where(is_newest, users.country[user], any_country), first_day, last_day)

    @cached_property
    def former_products(self) -> FormerProducts:
        """Only members who joined before the first day can have used these products, which had ended by then."""
        random = random_stream(self.config.seed, Stream.FORMER_PRODUCTS)
        platform, members = self.platform, self.platform.members
        count, people = len(members), len(platform.users)
        first_ms = members.first_joined_ms
        joined_before = members.joined_day[:, FIRST] == BEFORE
        until = platform.days.start(0)

        has_migrated = (
            joined_before & (platform.users.vlive_id[members.user] >= 0) & self.has_channel[members.community]
        )
        has_migrated &= random.random(count) < 0.8
        # Some migrated before they first joined the community here, some afterwards.
        earlier = first_ms - (random.random(count) * 2 * YEAR_MS).astype(np.int64)
        later = first_ms + (random.random(count) * (until - first_ms)).astype(np.int64)
        migrated_ms = np.where(random.random(count) < 0.6, earlier, later)

        in_wv1 = joined_before & (random.random(count) < 0.15)
        wv1_ms = first_ms - (random.random(count) * 2 * YEAR_MS).astype(np.int64)
        wv1_ms = np.where(random.random(count) < 0.1, first_ms, wv1_ms)

        total = np.full(people, NO_INSTANT)
        np.minimum.at(total, members.user[in_wv1], wv1_ms[in_wv1])
        was_in_gone = (total != NO_INSTANT) & (random.random(people) < 0.2)
        total -= np.where(was_in_gone, 1 + (random.random(people) * YEAR_MS).astype(np.int64), 0)
        return FormerProducts(
            migrated_ms=np.where(has_migrated, migrated_ms, -1),
            wv1_ms=np.where(in_wv1, wv1_ms, -1),
            first_join_is_lost=in_wv1 & (random.random(count) < 0.1),
            wv1_total_ms=np.where(total == NO_INSTANT, -1, total),
            was_in_gone=was_in_gone,
        )

    @cached_property
    def has_channel(self) -> Bools:
        """The communities that took over a channel of the former live service: every other one."""
        return np.asarray(np.arange(len(self.platform.communities)) % 2 == 0)

    @cached_property
    def switches(self) -> Switches:
        random = random_stream(self.config.seed, Stream.SWITCHES)
        member = np.flatnonzero(random.random(len(self.platform.members)) < 0.3)
        shape = (len(member), len(SWITCH_KEYS))
        return Switches(
            member=member,
            touched=random.random(shape, dtype=np.float32) < 0.35,
            on=random.random(shape, dtype=np.float32) < 0.4,
            turn_day=random.integers(0, 3 * self.config.days, len(member)),
            turn_key=random.integers(0, len(SWITCH_KEYS), len(member)),
        )

    @cached_property
    def purchases(self) -> Purchases:
        """Purchases of present, past and future members; some buy several times in a row."""
        random = random_stream(self.config.seed, Stream.PURCHASES)
        members, days = self.platform.members, self.platform.days
        buyers = np.flatnonzero(random.random(len(members)) < 0.05)
        times = 1 + pick(cumulative((60, 25, 15)), random.random(len(buyers)))
        member, place = np.repeat(buyers, times), positions_in_groups(times)
        is_last = place == np.repeat(times, times) - 1
        start, length = days.start(0) - 3 * MONTH_MS, days.end(self.config.days - 1) - days.start(0)
        first_start = start + (random.random(len(buyers)) * (3 * MONTH_MS + length)).astype(np.int64)
        # Some buy for the first time during the days, or months earlier, so that a renewal or an end falls into them.
        is_near = random.random(len(buyers)) < 0.35
        near = days.start(0) + (random.random(len(buyers)) * length).astype(np.int64)
        first_start = np.where(is_near, near - random.integers(0, 3, len(buyers)) * MONTH_MS, first_start)
        start_ms = np.repeat(first_start, times) + place * MONTH_MS
        start_day = np.searchsorted(days.midnights, start_ms, side="right") - 1
        yearly = is_last & (random.random(len(member)) < 0.1)
        # Half of the last purchases are open, and some of these are cancelled during the days.
        is_open = is_last & (random.random(len(member)) < 0.5)
        cancelled_day = np.maximum(random.integers(0, 4 * self.config.days, len(member)), start_day)
        end_of_day = days.midnights[(cancelled_day + 1).clip(max=self.config.days)]
        cancelled_ms = np.maximum(end_of_day - random.integers(1, UTC_DAY_MS // 2, len(member)), start_ms)
        gone_day = random.integers(1, max(self.config.days, 2), len(member))
        is_gone = (random.random(len(member)) < 0.04) & (gone_day > start_day)
        return Purchases(
            member=member,
            dm_id=dm_channel(members.community[member], np.repeat(buyers, times) % 3),
            yearly=yearly,
            start_day=start_day,
            start_ms=start_ms,
            end_ms=np.where(is_open, cancelled_ms, start_ms + np.where(yearly, YEAR_MS, MONTH_MS)),
            end_known_day=np.where(is_open, cancelled_day, BEFORE),
            gone_day=np.where(is_gone, gone_day, NEVER),
        )

    @cached_property
    def reports(self) -> Reports:
        random = random_stream(self.config.seed, Stream.REPORTS)
        member = np.flatnonzero(random.random(len(self.platform.members)) < 0.02)
        return Reports(member, random.integers(0, 30, len(member)), random.integers(0, 3, len(member)))
