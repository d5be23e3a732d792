"""Snapshots: whole tables of the platform as of the end of a business day."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wemart_assets.simulator.columns import instants, nullable, prefixed, take
from wemart_assets.simulator.platform import (
    COUNTRIES,
    COUNTRY_NAMES,
    LIVE_TYPES,
    MEDIA_TYPES,
    REGIONS,
    UNKNOWN,
    Platform,
    accounts_of_other_services,
    notice_ids,
    post_public_ids,
)


def community_content_post(platform: Platform, day: int) -> pa.Table:
    """One row per post: shard_id, post_local_id, community_id."""
    posts = np.flatnonzero(platform.posts.created_day <= day)
    shard, local = post_public_ids(posts)
    return pa.table(
        {
            "shard_id": shard,
            "post_local_id": local,
            "community_id": platform.communities.comm_id[platform.posts.community[posts]],
        }
    )


def community_content_common_notice(platform: Platform, day: int) -> pa.Table:
    """One row per notice: id, parent_id (`community-<n>`), and a title, which the contract does not have."""
    notices = np.flatnonzero(platform.notices.created_day <= day)
    ids = notice_ids(notices)
    comm_id = platform.communities.comm_id[platform.notices.community[notices]]
    return pa.table(
        {
            "id": ids,
            "parent_id": prefixed("community-", comm_id),
            "title": prefixed("Notice ", ids),
        }
    )


def we_user(platform: Platform, day: int) -> pa.Table:
    """One row per account.

    Columns: we_member_id, wv_user_id (NULL for accounts that only use other services), wv_status, wv_leave_dt,
    wv_first_join_dt (UTC), ctry_code, vlive_id, and etl_batch, which the contract does not have.
    """
    users = platform.users
    rows = np.flatnonzero(users.has_account & (users.joined_day <= day))
    others = accounts_of_other_services(users)
    left = users.left_day[rows] <= day
    accounts = pa.table(
        {
            "we_member_id": users.we_member_id[rows],
            "wv_user_id": users.wv_user_id[rows],
            "wv_status": pc.if_else(pa.array(left), "LEAVE", "NORMAL"),
            "wv_leave_dt": instants(users.left_ms[rows], ~left),
            "wv_first_join_dt": instants(users.joined_ms[rows]),
            "ctry_code": take(pa.array(COUNTRIES), users.country[rows]),
            "vlive_id": nullable(users.vlive_id[rows]),
            "etl_batch": pa.array(np.full(len(rows), day)),
        }
    )
    of_other_services = {"we_member_id": others, "etl_batch": np.full(len(others), day)}
    return pa.concat_tables([accounts, pa.table(of_other_services)], promote_options="default")


def we_artist(platform: Platform, day: int) -> pa.Table:
    """One row per artist: we_art_id, we_art_name, comm_id (NULL for an artist without a community)."""
    artists = platform.artists
    rows = np.flatnonzero(artists.debut_day <= day)
    community = artists.community[rows]
    return pa.table(
        {
            "we_art_id": pa.array(artists.we_art_id[rows], pa.int32()),
            "we_art_name": [artists.name[row] for row in rows],
            "comm_id": nullable(np.where(community == UNKNOWN, -1, platform.communities.comm_id[community])),
        }
    )


def ws_fc_user_history(platform: Platform, day: int) -> pa.Table:
    """One row per membership, including failed payments and renewals.

    Columns: we_member_id, we_art_id, comm_id, fc_id, create_dt, start_dt, end_dt (UTC; end_dt is NULL while open),
    ord_status, is_cx_by_restore.
    """
    memberships = platform.memberships
    rows = np.flatnonzero(memberships.created_day <= day)
    community = memberships.community[rows]
    artist = platform.artists.we_art_id[platform.communities.artist[community]]
    return pa.table(
        {
            "we_member_id": platform.users.we_member_id[memberships.user[rows]],
            "we_art_id": pa.array(artist, pa.int32()),
            "comm_id": platform.communities.comm_id[community],
            "fc_id": memberships.fc_id[rows],
            "create_dt": instants(memberships.create_ms[rows]),
            "start_dt": instants(memberships.start_ms[rows]),
            "end_dt": instants(memberships.end_ms[rows]),
            "ord_status": pc.if_else(pa.array(memberships.payment_failed[rows]), "PAYMENT_FAILED", "PAID"),
            "is_cx_by_restore": pa.array(memberships.restored[rows]).cast(pa.int32()),
        }
    )


def we_country(platform: Platform, day: int) -> pa.Table:
    """One row per country: ctry_code, ctry_name, region_type."""
    return pa.table({"ctry_code": COUNTRIES, "ctry_name": COUNTRY_NAMES, "region_type": REGIONS})


def wv_live(platform: Platform, day: int) -> pa.Table:
    """One row per live video.

    Columns: video_id, media_id, we_art_id (NULL in the community without an artist), media_type, live_type, start_dt,
    end_dt (UTC; NULL if the broadcast is not over by the end of the day).
    """
    lives = platform.lives
    rows = np.flatnonzero(lives.contents.created_day <= day)
    artist = platform.communities.artist[lives.contents.community[rows]]
    artist_id = np.where(artist == UNKNOWN, -1, platform.artists.we_art_id[artist])
    return pa.table(
        {
            "video_id": lives.video_id.take(pa.array(rows)),
            "media_id": nullable(lives.media_id[rows], type=pa.int32()),
            "we_art_id": nullable(artist_id, type=pa.int32()),
            "media_type": take(pa.array(MEDIA_TYPES), lives.media_type[rows]),
            "live_type": take(pa.array(LIVE_TYPES), lives.live_type[rows]),
            "start_dt": instants(lives.start_ms[rows]),
            "end_dt": instants(lives.end_ms[rows], lives.end_ms[rows] >= platform.days.end(day)),
        }
    )


SNAPSHOTS: dict[str, Callable[[Platform, int], pa.Table]] = {
    "weverse2.community_content_post": community_content_post,
    "weverse2.community_content_common_notice": community_content_common_notice,
    "we_mart.we_user": we_user,
    "we_mart.we_artist": we_artist,
    "we_mart.ws_fc_user_history": ws_fc_user_history,
    "we_meta.we_country": we_country,
    "we_mart.wv_live": wv_live,
}
