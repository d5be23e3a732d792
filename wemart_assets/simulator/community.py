"""Deliveries about the members of communities: snapshots as of the end of a business day, and facts of a day."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wemart_assets.simulator.business_days import EPOCH
from wemart_assets.simulator.columns import Bools, Ints, from_pool, instants, nullable, prefixed, take
from wemart_assets.simulator.histories import SWITCH_KEYS, Histories
from wemart_assets.simulator.platform import COUNTRIES, MEMBER_KINDS, Platform

PROFILE = "we_mart.ods_wv_member_profile"
STATUS = "weverse2.community_log_member_status_log"
GONE_COMM_ID = 9_000_001
STATUS_SCHEMA = pa.schema(
    [
        ("community_id", pa.int64()),
        ("user_id", pa.int64()),
        ("type", pa.string()),
        ("created_at", pa.timestamp("us", tz="UTC")),
    ]
)


def status_lines(platform: Platform, day: int) -> pa.Table:
    """Rows of `weverse2.community_log_member_status_log` of a day, or of all time `BEFORE`, in time order."""
    members = platform.members
    joined, stay = np.nonzero(members.joined_day == day)
    left, last_stay = np.nonzero((members.left_day == day) & members.unsubscribes)
    member = np.concatenate([joined, left])
    at = np.concatenate([members.joined_ms[joined, stay], members.left_ms[left, last_stay]])
    leaves = np.repeat([False, True], [len(joined), len(left)])
    order = np.lexsort((leaves, at))
    kind = pc.if_else(pa.array(leaves[order]), "unsubscribe", "subscribe")
    return pa.table([*_ids(platform, member[order]), kind, instants(at[order])], schema=STATUS_SCHEMA)


def community_log_v_member_migration(platform: Platform, histories: Histories, day: int) -> pa.Table:
    """One row per member who came from the former live service: community_id, user_id, created_at (UTC)."""
    migrated_ms = histories.former_products.migrated_ms
    rows = np.flatnonzero(migrated_ms >= 0)
    comm_id, user_id = _ids(platform, rows)
    return pa.table({"community_id": comm_id, "user_id": user_id, "created_at": instants(migrated_ms[rows])})


def v_to_wv_comm_mapping(platform: Platform, histories: Histories, day: int) -> pa.Table:
    """One row per channel of the former live service: v_channel_id, comm_id (NULL if no community took it over)."""
    rows = np.flatnonzero(histories.has_channel)
    comm_id = np.append(platform.communities.comm_id[rows], -1)
    return pa.table({"v_channel_id": 300 + np.arange(len(comm_id)), "comm_id": nullable(comm_id)})


def wv1_join_info(platform: Platform, histories: Histories, day: int) -> pa.Table:
    """One row per member of WV1, including members of a community that no longer exists.

    Columns: comm_id, wv_user_id, comm_user_first_dt, tot_comm_user_first_dt (UTC), is_first_user_comm.
    """
    past, members = histories.former_products, platform.members
    rows, users_of_gone = np.flatnonzero(past.wv1_ms >= 0), np.flatnonzero(past.was_in_gone)
    user = np.concatenate([members.user[rows], users_of_gone])
    total = past.wv1_total_ms[user]
    first = np.concatenate([past.wv1_ms[rows], past.wv1_total_ms[users_of_gone]])
    comm_id = platform.communities.comm_id[members.community[rows]]
    return pa.table(
        {
            "comm_id": np.concatenate([comm_id, np.full(len(users_of_gone), GONE_COMM_ID)]),
            "wv_user_id": platform.users.wv_user_id[user],
            "comm_user_first_dt": instants(first),
            "tot_comm_user_first_dt": instants(total),
            "is_first_user_comm": pa.array((first == total).astype(np.int32)),
        }
    )


def community_member_special_member(platform: Platform, histories: Histories, day: int) -> pa.Table:
    """One row per member who is an artist; it stays when the artist leaves the community.

    Columns: community_id, user_id, special_member_type, official_name_ko, official_name_en, official_name_jp (some
    names are NULL), is_official.
    """
    members = platform.members
    rows = np.flatnonzero((members.kind > 0) & members.joined_by(day))
    comm_id, user_id = _ids(platform, rows)
    number = np.arange(1, len(members) + 1)[rows]
    null = pa.scalar(None, pa.string())

    def names(word: str, is_null: Bools) -> pa.Array:
        return pc.if_else(pa.array(is_null), null, prefixed(f"{word} ", number))

    return pa.table(
        {
            "community_id": comm_id,
            "user_id": user_id,
            "special_member_type": MEMBER_KINDS.take(pa.array(members.kind[rows])),
            "official_name_ko": names("멤버", number % 3 == 0),
            "official_name_en": names("Member", number % 6 == 0),
            "official_name_jp": names("メンバー", number % 12 == 0),
            "is_official": pa.array((number % 4 != 0).astype(np.int32)),
        }
    )


def community_common_report(platform: Platform, histories: Histories, day: int) -> pa.Table:
    """One row per reported member: community_id, user_id, report_count."""
    reports = histories.reports
    has_joined = platform.members.joined_by(day)[reports.member]
    comm_id, user_id = _ids(platform, reports.member[has_joined])
    count = (reports.before + reports.each_day * (day + 1))[has_joined]
    return pa.table({"community_id": comm_id, "user_id": user_id, "report_count": count})


def notification_push_config(platform: Platform, histories: Histories, day: int) -> pa.Table:
    """One row per switch that a member has set: community_id, user_id, config_key, value (`true`, `false`)."""
    switches = histories.switches
    has_joined = platform.members.joined_by(day)[switches.member]
    row, key = np.nonzero(switches.touched & has_joined[:, None])
    is_turned = (switches.turn_day[row] <= day) & (switches.turn_key[row] == key)
    comm_id, user_id = _ids(platform, switches.member[row])
    return pa.table(
        {
            "community_id": comm_id,
            "user_id": user_id,
            "config_key": from_pool(pa.array(SWITCH_KEYS), key).cast(pa.string()),
            "value": pc.if_else(pa.array(switches.on[row, key] ^ is_turned), "true", "false"),
        }
    )


def wv_user_ctry_history(platform: Platform, histories: Histories, day: int) -> pa.Table:
    """One row per stay of a user in a country.

    Columns: wv_user_id, ip_ctry, start_date, end_date (business days; NULL while it lasts), seq (1 is the newest).
    """
    countries = histories.countries
    rows = np.flatnonzero(countries.first_day <= day)
    user, last_day = countries.user[rows], countries.last_day[rows]
    stays = np.bincount(user, minlength=len(platform.users))
    first = np.cumsum(stays) - stays
    return pa.table(
        {
            "wv_user_id": platform.users.wv_user_id[user],
            "ip_ctry": take(pa.array(COUNTRIES), countries.country[rows]),
            "start_date": _dates(platform, countries.first_day[rows]),
            "end_date": _dates(platform, last_day, is_null=last_day > day),
            "seq": pa.array(stays[user] - (np.arange(len(rows)) - first[user]), pa.int32()),
        }
    )


def community_member_purchase(platform: Platform, histories: Histories, day: int) -> pa.Table:
    """One row per purchase of direct messages; rows of some purchases disappear.

    Columns: wv_user_id, community_id, dm_id, product_type, start_dt, end_dt (UTC; end_dt is NULL while open).
    """
    purchases = histories.purchases
    rows = np.flatnonzero(purchases.delivered(day))
    comm_id, user_id = _ids(platform, purchases.member[rows])
    return pa.table(
        {
            "wv_user_id": user_id,
            "community_id": comm_id,
            "dm_id": purchases.dm_id[rows],
            "product_type": pc.if_else(pa.array(purchases.yearly[rows]), "DM_YEAR", "DM_MONTH"),
            "start_dt": instants(purchases.start_ms[rows]),
            "end_dt": instants(purchases.end_ms[rows], purchases.end_known_day[rows] > day),
        }
    )


COMMUNITY_SNAPSHOTS: dict[str, Callable[[Platform, Histories, int], pa.Table]] = {
    "weverse2.community_log_v_member_migration": community_log_v_member_migration,
    "we_meta.v_to_wv_comm_mapping": v_to_wv_comm_mapping,
    "we_mart.wv1_join_info": wv1_join_info,
    "weverse2.community_member_special_member": community_member_special_member,
    "weverse2.community_common_report": community_common_report,
    "weverse2.notification_push_config": notification_push_config,
    "we_mart.wv_user_ctry_history": wv_user_ctry_history,
    "weverse2.community_member_purchase": community_member_purchase,
}
# Tables of former products do not change; they are delivered once.
DELIVERED_ONCE = ("we_meta.v_to_wv_comm_mapping", "we_mart.wv1_join_info")


def _ids(platform: Platform, members: Ints) -> tuple[Ints, Ints]:
    """The ids of the community and of the user, for members given by row."""
    rows = platform.members
    return platform.communities.comm_id[rows.community[members]], platform.users.wv_user_id[rows.user[members]]


def _dates(platform: Platform, days: Ints, is_null: Bools | None = None) -> pa.Array:
    number = (platform.days.dates[0] - EPOCH).days + days
    return pa.array(number.astype(np.int32), mask=is_null).cast(pa.date32())
