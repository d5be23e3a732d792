"""Direct messages: what fans write to artists, and artists to their subscribers."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wemart_assets.simulator.columns import Bools, Ints, Stream, instants, random_stream
from wemart_assets.simulator.config import SimulatorConfig
from wemart_assets.simulator.histories import Histories, dm_channel
from wemart_assets.simulator.platform import Platform

DM_MESSAGE = "weverse2.dm_message"
# More than are written on any day.
IDS_PER_DAY = 100_000_000


@dataclass(frozen=True)
class Messages:
    """One row per direct message of a day, in time order; the sender is a member, given by row."""

    message_id: Ints
    member: Ints
    dm_id: Ints
    from_artist: Bools
    sent_ms: Ints

    def deliver(self, platform: Platform) -> pa.Table:
        """Rows of `weverse2.dm_message`.

        Columns: message_id, dm_id, community_id, wv_user_id, sender_type (`FAN`, `ARTIST`), sent_at (UTC).
        """
        members = platform.members
        return pa.table(
            {
                "message_id": self.message_id,
                "dm_id": self.dm_id,
                "community_id": platform.communities.comm_id[members.community[self.member]],
                "wv_user_id": platform.users.wv_user_id[members.user[self.member]],
                "sender_type": pc.if_else(pa.array(self.from_artist), "ARTIST", "FAN"),
                "sent_at": instants(self.sent_ms),
            }
        )


def messages_of_day(config: SimulatorConfig, platform: Platform, histories: Histories, day: int) -> Messages:
    """The messages of a business day: many subscribers write, some fans without a subscription, and artists."""
    random = random_stream(config.seed, Stream.MESSAGES, day)
    members, purchases = platform.members, histories.purchases
    start, end = platform.days.start(day), platform.days.end(day)
    present = np.flatnonzero(members.present(day))

    running = np.flatnonzero(purchases.delivered(day) & purchases.running(day, start))
    # An artist may subscribe, but does not write as a fan.
    subscriber = running[(random.random(len(running)) < 0.4) & (members.kind[purchases.member[running]] == 0)]
    others = np.setdiff1d(present[members.kind[present] == 0], purchases.member[running])
    others = random.choice(others, min(3 + len(subscriber) // 10, len(others)), replace=False)
    artist = np.flatnonzero((members.kind > 0) & members.present(day))
    artist = artist[random.random(len(artist)) < 0.8]

    sender = np.concatenate([purchases.member[subscriber], others, artist])
    number = random.integers(0, 3, len(sender))
    dm_id = dm_channel(members.community[sender], number)
    dm_id[: len(subscriber)] = purchases.dm_id[subscriber]
    # Subscribers write while the subscription runs.
    since, until = np.full(len(sender), start), np.full(len(sender), end - 1)
    since[: len(subscriber)] = np.maximum(purchases.start_ms[subscriber], start)
    has_end = purchases.end_known_day[subscriber] <= day
    until[: len(subscriber)][has_end] = np.minimum(purchases.end_ms[subscriber], end - 1)[has_end]
    until = np.maximum(since, until)

    count = random.geometric(0.4, len(sender))
    row = np.repeat(np.arange(len(sender)), count)
    sent_ms = since[row] + (random.random(len(row)) * (until - since + 1)[row]).astype(np.int64)
    order = np.lexsort((row, sent_ms))
    row, sent_ms = row[order], sent_ms[order]
    is_artist = np.arange(len(sender)) >= len(sender) - len(artist)
    first_id = int(platform.days.dates[day].toordinal()) * IDS_PER_DAY
    return Messages(first_id + np.arange(len(row)), sender[row], dm_id[row], is_artist[row], sent_ms)
