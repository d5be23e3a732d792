"""The truth: sessions, members of communities, their direct messages, and visits to other services.

It is kept apart from the landing files, and follows from the generated visits and stays. It is not derived from the
files by searching for gaps or histories.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from wemart_assets.simulator.columns import Bools, Ints, from_pool, starts_of_runs, take
from wemart_assets.simulator.histories import Histories
from wemart_assets.simulator.messages import Messages
from wemart_assets.simulator.platform import COUNTRIES, MEMBER_KINDS, NOBODY, Platform
from wemart_assets.simulator.services import ALBUM, NOBODY_KNOWN, PHONING, SHOP, ServiceFacts
from wemart_assets.simulator.visits import MOST_RUNS, NO_VISIT, SESSION_GAP_MS, Visits

SESSIONS = pa.schema(
    [
        ("day", pa.string()),
        ("device_id", pa.string()),
        ("sess_seq", pa.int64()),
        ("sess_start_ms", pa.int64()),
        ("sess_end_ms", pa.int64()),
        ("lines", pa.int64()),
    ]
)
USER_SESSIONS = pa.schema(
    [
        ("day", pa.string()),
        ("device_id", pa.string()),
        ("sess_seq", pa.int64()),
        ("user_id", pa.int64()),
        ("start_ms", pa.int64()),
        ("end_ms", pa.int64()),
        ("lines", pa.int64()),
    ]
)
MEMBERS = pa.schema(
    [
        ("day", pa.string()),
        ("comm_id", pa.int64()),
        ("wv_user_id", pa.int64()),
        ("comm_user_status", pa.string()),
        ("comm_user_grade", pa.string()),
        ("cnt_comm_user_id", pa.int64()),
        ("comm_user_cre_ms", pa.int64()),
        ("comm_user_end_ms", pa.int64()),
        ("comm_user_first_ms", pa.int64()),
        ("tot_comm_user_first_ms", pa.int64()),
        ("is_fc", pa.int32()),
        ("fc_id", pa.int64()),
        ("ip_ctry", pa.string()),
        ("is_profile_private", pa.int64()),
    ]
)
DIRECT_MESSAGES = pa.schema(
    [
        ("day", pa.string()),
        ("comm_id", pa.int64()),
        ("dm_id", pa.int64()),
        ("subscribers", pa.int64()),
        ("new_subscribers", pa.int64()),
        ("ended_subscribers", pa.int64()),
        ("fans", pa.int64()),
        ("messages", pa.int64()),
    ]
)
SERVICE_VISITS = pa.schema(
    [
        ("day", pa.string()),
        ("service", pa.string()),
        ("we_member_id", pa.int64()),
        ("visits", pa.int64()),
    ]
)
SERVICES = {SHOP: "shop", PHONING: "phoning", ALBUM: "album"}
STATUSES = pa.array(["NORMAL", "DEACTIVATED", "WV_DEACTIVATED"])
GRADES = MEMBER_KINDS.fill_null("FAN")
NO_INSTANT = np.iinfo(np.int64).max
NO_FAN_CLUB = -1


class Truth:
    """The truth of one simulation, written to files one business day at a time."""

    def __init__(self, folder: Path, platform: Platform) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.platform = platform
        self.sessions = pq.ParquetWriter(folder / "sessions.parquet", SESSIONS, compression="zstd")
        self.user_sessions = pq.ParquetWriter(folder / "user_sessions.parquet", USER_SESSIONS, compression="zstd")
        self.members = pq.ParquetWriter(folder / "members.parquet", MEMBERS, compression="zstd")
        self.messages = pq.ParquetWriter(folder / "direct_messages.parquet", DIRECT_MESSAGES, compression="zstd")
        self.subscribers = np.zeros((0, 2), dtype=np.int64)
        self.service_visits = pq.ParquetWriter(folder / "service_visits.parquet", SERVICE_VISITS, compression="zstd")

    def add_day(self, day: int, visits: Visits) -> dict[str, int]:
        """Writes the sessions of a business day; returns the counts of the day."""
        in_session = visits.runs.visit[visits.run] != NO_VISIT
        at, run = visits.at[in_session], visits.run[in_session]
        visit = visits.runs.visit[run]

        first_line = starts_of_runs(visit)
        session_of_line = np.cumsum(np.diff(visit, prepend=NO_VISIT) != 0) - 1
        first_run = visits.runs.take(run[first_line])
        lines = np.diff(first_line, append=len(at))
        table = self._table(
            SESSIONS, day, first_run.device, first_run.sess_seq, at[first_line], at[first_line + lines - 1], lines
        )
        self.sessions.write_table(table)

        session, user, start, end, user_lines = _user_sessions(session_of_line, visits.runs.user[run], at)
        user_id = pa.array(self.platform.users.wv_user_id[user], mask=user == NOBODY)
        device, sess_seq = first_run.device[session], first_run.sess_seq[session]
        self.user_sessions.write_table(
            self._table(USER_SESSIONS, day, device, sess_seq, user_id, start, end, user_lines)
        )
        is_exact_gap = (np.diff(at) == SESSION_GAP_MS) & (np.diff(visit) == 0)
        return {
            "lines": len(visits),
            "lines_in_sessions": len(at),
            "lines_without_device": len(visits) - len(at),
            "sessions": len(first_line),
            "user_sessions": len(session),
            "gaps_of_exactly_30_minutes": int(is_exact_gap.sum()),
        }

    def add_members(self, day: int, histories: Histories, is_private: Bools) -> dict[str, int]:
        """Writes the members of a business day; returns how many there are, and how many stays begin and end."""
        table = _members_of_day(self.platform, histories, is_private, day)
        self.members.write_table(table)
        members = self.platform.members
        return {
            "members": len(table),
            "joins": int((members.joined_day == day).sum()),
            "leaves": int((members.left_day == day).sum()),
        }

    def add_messages(self, day: int, histories: Histories, messages: Messages) -> dict[str, int]:
        """Writes the subscribers of a business day and what fans wrote; returns the counts of the day."""
        members, purchases = self.platform.members, histories.purchases
        held = purchases.delivered(day) & purchases.running(day, self.platform.days.start(day))
        # A subscription is a channel and a member; a member is one user of one community, and so is a channel.
        before, now = self.subscribers, np.unique(np.column_stack([purchases.dm_id, purchases.member])[held], axis=0)
        self.subscribers = now
        written = np.column_stack([messages.dm_id, messages.member])[~messages.from_artist]
        sets = {
            "subscribers": now,
            "new_subscribers": _without(now, before),
            "ended_subscribers": _without(before, now),
            "fans": np.unique(written, axis=0),
            "messages": written,
        }
        pairs = np.concatenate(list(sets.values()))
        channels, first = np.unique(pairs[:, 0], return_index=True)
        counts = [
            np.bincount(np.searchsorted(channels, of[:, 0]), minlength=len(channels)).astype(np.int64)
            for of in sets.values()
        ]
        comm_id = self.platform.communities.comm_id[members.community[pairs[first, 1]]]
        names = pa.repeat(self.platform.days.name(day), len(channels))
        self.messages.write_table(
            pa.table([names, *map(pa.array, (comm_id, channels, *counts))], schema=DIRECT_MESSAGES)
        )
        return {name: len(of) for name, of in sets.items()}

    def add_services(self, day: int, services: ServiceFacts) -> dict[str, int]:
        """Writes the visits to other services; returns the numbers of orders and plays.

        `order_amount` is in ten-thousandths; `plays` and `play_seconds` are of known videos.
        """
        date = self.platform.days.name(day)
        for source, service in SERVICES.items():
            visitors = services.visitors[source]
            member, visits = np.unique(visitors[visitors != NOBODY_KNOWN], return_counts=True)
            columns = [pa.repeat(name, len(member)) for name in (date, service)]
            self.service_visits.write_table(pa.table([*columns, member, visits], schema=SERVICE_VISITS))
        buyers = services.buyers
        return {
            "orders": len(buyers),
            "order_amount": int(services.amounts.sum()),
            "buyers": len(np.unique(buyers[buyers != NOBODY_KNOWN])),
            "plays": services.plays,
            "play_seconds": services.seconds,
        }

    def _table(self, schema: pa.Schema, day: int, device: Ints, *columns: Ints | pa.Array) -> pa.Table:
        name = pa.repeat(self.platform.days.name(day), len(device))
        ids = self.platform.devices.id.take(pa.array(device))
        return pa.table([name, ids, *(pa.array(column) for column in columns)], schema=schema)

    def close(self, counts: dict[str, Any]) -> None:
        self.sessions.close()
        self.user_sessions.close()
        self.members.close()
        self.messages.close()
        self.service_visits.close()
        text = json.dumps(counts, indent=2, ensure_ascii=False)
        (self.folder / "counts.json").write_text(text + "\n", encoding="utf-8")


def _without(pairs: Ints, others: Ints) -> Ints:
    """The rows of `pairs` that are not rows of `others`; neither has a row twice."""
    every, times = np.unique(np.concatenate([pairs, others, others]), axis=0, return_counts=True)
    return np.asarray(every[times == 1])


def _members_of_day(platform: Platform, histories: Histories, is_private: Bools, day: int) -> pa.Table:
    """The members of each community at the end of the day, including those who left on the day."""
    members, users = platform.members, platform.users
    rows = np.flatnonzero(members.present(day))
    user, stay = members.user[rows], members.latest_stay(day)[rows]
    has_left = members.left_day[rows, stay] == day
    has_left_service = users.has_account[user] & (users.left_day[user] == day)
    first_ms, total_ms = _first_joins(platform, histories, day)
    fc_id = _fan_clubs(platform, day)[rows]
    country = histories.countries.of_users(len(users), day)[user]
    columns = [
        pa.repeat(platform.days.name(day), len(rows)),
        pa.array(platform.communities.comm_id[members.community[rows]]),
        pa.array(users.wv_user_id[user]),
        from_pool(STATUSES, np.where(has_left_service, 2, has_left)).cast(pa.string()),
        from_pool(GRADES, members.kind[rows]).cast(pa.string()),
        pa.array((members.joined_day[rows] <= day).sum(axis=1)),
        pa.array(members.joined_ms[rows, stay]),
        pa.array(members.left_ms[rows, stay], mask=~has_left),
        pa.array(first_ms[rows]),
        pa.array(total_ms[user]),
        pa.array((fc_id != NO_FAN_CLUB).astype(np.int32)),
        pa.array(fc_id, mask=fc_id == NO_FAN_CLUB),
        take(pa.array(COUNTRIES), country),
        pa.array(is_private[rows].astype(np.int64)),
    ]
    return pa.table(columns, schema=MEMBERS)


def _first_joins(platform: Platform, histories: Histories, day: int) -> tuple[Ints, Ints]:
    """The first join of each member, on any product; and of each user, in any community by the end of the day."""
    members, past = platform.members, histories.former_products
    first_ms = np.where(past.first_join_is_lost, NO_INSTANT, members.first_joined_ms)
    for instant in (past.migrated_ms, past.wv1_ms):
        first_ms = np.minimum(first_ms, np.where(instant < 0, NO_INSTANT, instant))
    total_ms = np.where(past.wv1_total_ms < 0, NO_INSTANT, past.wv1_total_ms)
    has_joined = members.joined_by(day)
    np.minimum.at(total_ms, members.user[has_joined], first_ms[has_joined])
    return first_ms, total_ms


def _fan_clubs(platform: Platform, day: int) -> Ints:
    """The fan club that each member has paid for on the day; if there are several, the one bought last."""
    members, memberships, communities = platform.members, platform.memberships, platform.communities
    start, end = platform.days.start(day), platform.days.end(day)
    is_open = (memberships.end_ms < 0) | (memberships.end_ms >= start)
    is_current = (memberships.created_day <= day) & (memberships.start_ms < end) & is_open
    has_artist = platform.artists.debut_day[communities.artist[memberships.community]] <= day
    held = np.flatnonzero(is_current & has_artist & ~memberships.payment_failed & ~memberships.restored)
    held = held[np.lexsort((memberships.fc_id[held], memberships.create_ms[held]))]
    # Members are sorted by these pairs, and every buyer is a member.
    pairs = members.user * len(communities) + members.community
    member = np.searchsorted(pairs, memberships.user[held] * len(communities) + memberships.community[held])
    fc_id = np.full(len(members), NO_FAN_CLUB)
    fc_id[member] = memberships.fc_id[held]
    return fc_id


def _user_sessions(session: Ints, user: Ints, at: Ints) -> tuple[Ints, Ints, Ints, Ints, Ints]:
    """Session, user, first and last instant, and number of lines of each user of each session.

    Anonymous lines count for the next user of the session, or for the previous one if there is no next.
    """
    first = starts_of_runs(session, user)
    lines = np.diff(first, append=len(at))
    start, end = at[first], at[first + lines - 1]
    session, user = session[first], _fill(session[first], user[first])

    order = np.lexsort((user, session))
    group = starts_of_runs(session[order], user[order])
    return (
        session[order][group],
        user[order][group],
        np.minimum.reduceat(start[order], group),
        np.maximum.reduceat(end[order], group),
        np.add.reduceat(lines[order], group),
    )


def _fill(session: Ints, user: Ints) -> Ints:
    user = user.copy()
    is_same_session = session[1:] == session[:-1]
    # A session has at most as many runs as a visit, so this many steps carry a user from one end to the other.
    for _ in range(MOST_RUNS - 1):
        is_anonymous = is_same_session & (user[:-1] == NOBODY)
        user[:-1][is_anonymous] = user[1:][is_anonymous]
    for _ in range(MOST_RUNS - 1):
        is_anonymous = is_same_session & (user[1:] == NOBODY)
        user[1:][is_anonymous] = user[:-1][is_anonymous]
    return user
