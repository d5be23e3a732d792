"""What users do with posts and media: views and reactions, one table of facts each."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wemart_assets.simulator.columns import Ints, Stream, nullable, pick, prefixed, random_stream, take
from wemart_assets.simulator.config import SimulatorConfig
from wemart_assets.simulator.histories import Histories
from wemart_assets.simulator.platform import (
    COUNTRIES,
    MEDIA_ITEMS,
    UNKNOWN,
    Platform,
    media_ids,
    post_public_ids,
)

VIEWS, REACTIONS, MEDIA_REACTIONS = "we_mart.wv_post_view", "we_mart.wv_post_reaction", "we_mart.wv_media_reaction"
# Rows per day, as a share of the members of that day.
SHARES = {VIEWS: 0.3, REACTIONS: 0.1, MEDIA_REACTIONS: 0.05}
LEAST_ACTS = 20
UNKNOWN_ACCOUNT = 1_900_000_000


def acts_of_day(config: SimulatorConfig, platform: Platform, histories: Histories, day: int) -> dict[str, pa.Table]:
    """The acts of a business day by source: most by members in their community, some by other users."""
    random = random_stream(config.seed, Stream.ACTS, day)
    present = np.flatnonzero(platform.members.present(day))
    country = histories.countries.of_users(len(platform.users), day)
    return {
        source: _acts(random, platform, day, source, present, country, max(LEAST_ACTS, int(len(present) * share)))
        for source, share in SHARES.items()
    }


def _acts(
    random: np.random.Generator, platform: Platform, day: int, source: str, present: Ints, country: Ints, count: int
) -> pa.Table:
    users, members, communities = platform.users, platform.members, platform.communities
    active = np.flatnonzero(users.active(day))
    passes_by = random.random(count) < 0.15
    member = present[random.integers(0, len(present), count)]
    user = np.where(passes_by, active[random.integers(0, len(active), count)], members.user[member])
    anywhere = pick(communities.popularity, random.random(count))
    community = np.where(passes_by, anywhere, members.community[member])
    # A user without an account acts under no account, or under one that no delivery of accounts contains.
    unknown_account = np.where(random.random(count) < 0.5, UNKNOWN_ACCOUNT + user, -1)
    artist = communities.artist[community]
    date = np.full(count, np.datetime64(platform.days.name(day)))
    columns: dict[str, pa.Array] = {
        "key_date": pa.array(date),
        "we_member_id": nullable(np.where(users.has_account[user], users.we_member_id[user], unknown_account)),
        "we_art_id": nullable(np.where(artist == UNKNOWN, -1, platform.artists.we_art_id[artist]), type=pa.int32()),
        "comm_id": communities.comm_id[community],
    }
    if source == MEDIA_REACTIONS:
        columns["media_id"] = pa.array(media_ids(community, random.integers(0, MEDIA_ITEMS, count)), pa.int32())
    else:
        shard, local = post_public_ids(platform.posts.some_of(community, day, random.random(count)))
        columns["post_id"] = pc.binary_join_element_wise(prefixed("", shard), prefixed("", local), "-")
    if source == VIEWS:
        columns["view_cnt"] = pa.array(random.geometric(0.4, count))
    else:
        likes = random.random(count) < 0.8
        columns["is_like"] = pa.array(likes.astype(np.int32))
        columns["is_cmnt"] = pa.array((~likes | (random.random(count) < 0.2)).astype(np.int32))
    columns["ip_ctry"] = take(pa.array(COUNTRIES), country[user])
    return pa.table(columns)
