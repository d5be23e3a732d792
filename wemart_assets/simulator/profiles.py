"""Profiles of members, and how they change: joining resets a profile, and now and then a member edits one."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wemart_assets.simulator.columns import Bools, Ints, Stream, from_pool, nullable, prefixed, random_stream
from wemart_assets.simulator.config import SimulatorConfig
from wemart_assets.simulator.histories import Histories
from wemart_assets.simulator.platform import AGAIN, BEFORE, EARLIER, FIRST, Platform

NAMES = pa.array(["moon", "별빛", 'so "quoted" ', "comma, ", "ファン", "🎧 noise ", "Zoë "])
HIDDEN = pa.array(["true", "false", None])
PRIVATE, PUBLIC, UNSET = range(3)


@dataclass(frozen=True)
class _States:
    """States of profiles, one per position: the row of the member, the instant of the change, and the content."""

    member: Ints
    at_ms: Ints
    last_join_ms: Ints
    version: Ints
    hidden: Ints
    name: Ints
    has_image: Bools
    has_cover: Bools
    reports: Ints


class Profiles:
    """The current profiles. Call `history` first, then `changes` for each day in order: both update them."""

    def __init__(self, config: SimulatorConfig, platform: Platform, histories: Histories) -> None:
        self.config, self.platform, self.histories = config, platform, histories
        count = len(platform.members)
        self.version = np.zeros(count, dtype=np.int32)
        self.last_join_ms = np.full(count, -1)
        self.is_private = np.zeros(count, dtype=np.bool_)

    def history(self) -> pa.Table:
        """All states from before the first day."""
        random = random_stream(self.config.seed, Stream.PROFILES)
        members, end = self.platform.members, self.platform.days.start(0)
        states = [self._joined(random, BEFORE, stay) for stay in (EARLIER, FIRST)]
        edited = np.flatnonzero(members.present(0) & (self.version > 0) & (random.random(len(members)) < 0.2))
        earliest = self.last_join_ms[edited] + 1
        at = earliest + (random.random(len(edited)) * (end - earliest)).astype(np.int64)
        return self._table([*states, self._updated(random, edited, at)])

    def changes(self, day: int) -> pa.Table:
        """The states of the day's changes."""
        random = random_stream(self.config.seed, Stream.PROFILES, day + 1)
        members, days = self.platform.members, self.platform.days
        states = [self._joined(random, day, stay) for stay in (FIRST, AGAIN)]
        # Nobody edits on the day of joining or leaving: two states at one instant would have no defined order.
        moves = ((members.joined_day == day) | (members.left_day == day)).any(axis=1)
        edited = np.flatnonzero(members.present(day) & ~moves & (random.random(len(members)) < 0.03))
        length = days.end(day) - days.start(day)
        at = days.start(day) + (random.random(len(edited)) * length).astype(np.int64)
        return self._table([*states, self._updated(random, edited, at)])

    def _joined(self, random: np.random.Generator, day: int, stay: int) -> _States:
        members = self.platform.members
        joined = np.flatnonzero(members.joined_day[:, stay] == day)
        at = members.joined_ms[joined, stay]
        self.last_join_ms[joined] = at
        return self._updated(random, joined, at)

    def _updated(self, random: np.random.Generator, member: Ints, at_ms: Ints) -> _States:
        draws = random.random((4, len(member)))
        hidden = np.select([draws[0] < 0.15, draws[0] < 0.95], [PRIVATE, PUBLIC], UNSET)
        self.version[member] += 1
        self.is_private[member] = hidden == PRIVATE
        return _States(
            member=member,
            at_ms=at_ms,
            last_join_ms=self.last_join_ms[member],
            version=self.version[member],
            hidden=hidden,
            name=np.where(draws[1] < 0.02, -1, (draws[1] * len(NAMES)).astype(np.int64)),
            has_image=draws[2] < 0.6,
            has_cover=draws[3] < 0.3,
            reports=random.geometric(0.9, len(member)) - 1,
        )

    def _table(self, states: list[_States]) -> pa.Table:
        """Rows of `we_mart.ods_wv_member_profile`, with profile_version, which the contract does not have."""
        return pa.concat_tables([self._rows(part) for part in states])

    def _rows(self, states: _States) -> pa.Table:
        members = self.platform.members
        comm_id = self.platform.communities.comm_id[members.community[states.member]]
        user_id = self.platform.users.wv_user_id[members.user[states.member]]
        is_lost = self.histories.former_products.first_join_is_lost[states.member]
        version = prefixed("", states.version)
        names = from_pool(NAMES, states.name).cast(pa.string())
        image = pc.binary_join_element_wise(prefixed("https://img.example.com/", user_id), version, "-")
        null = pa.scalar(None, pa.string())
        return pa.table(
            {
                "community_id": comm_id,
                "user_id": user_id,
                "first_join_at": nullable(members.first_joined_ms[states.member], is_lost),
                "last_join_at": states.last_join_ms,
                "updated_at": states.at_ms,
                "hidden": from_pool(HIDDEN, states.hidden).cast(pa.string()),
                "profile_name": pc.binary_join_element_wise(names, version, ""),
                "profile_image_url": pc.if_else(pa.array(states.has_image), image, null),
                "profile_cover_image_url": pc.if_else(
                    pa.array(states.has_cover), pc.binary_join_element_wise(image, "cover", "/"), null
                ),
                "cumulative_report_count": states.reports,
                "profile_version": states.version,
            }
        )
