"""Community histories, handwritten and random, and slow reference implementations of the community marts.

The implementations follow tables.md 3.1 line by line over lists of dicts: each day is rebuilt from
everything up to it. They use nothing of the package, except where the marts themselves are run.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from wemart_assets.marts.community.wv_comm_user import wv_comm_user
from wemart_assets.marts.community.wv_comm_user_base import wv_comm_user_base

Row = dict[str, Any]
Pair = tuple[int, int]
Bench = Callable[..., list[Row]]

SEOUL = "Asia/Seoul"
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
# The days of the tests; earlier events are delivered with the first.
DAYS = ("2024-03-01", "2024-03-02", "2024-03-03", "2024-03-04")

PUSH_FLAGS = (
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
WV1_ALARMS = (
    "like_on_comment_alarm",
    "hot_post_alarm",
    "new_fc_alarm",
    "new_media_alarm",
    "new_community_notice_alarm",
    "artist_to_fans_post_alarm",
    "artist_post_alarm",
    "artist_like_on_my_post_alarm",
    "artist_comment_on_my_post_alarm",
    "like_on_my_post_alarm",
    "comment_on_my_post_alarm",
    "after_receiving_artist_comment_alarm",
)


def at(text: str) -> dt.datetime:
    """UTC instant of a local time in Seoul, or of a time with an offset: `2024-03-02T10:00`."""
    parsed = dt.datetime.fromisoformat(text)
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=ZoneInfo(SEOUL))).astimezone(dt.UTC)


def milliseconds(instant: dt.datetime) -> int:
    return (instant - EPOCH) // dt.timedelta(milliseconds=1)


def from_milliseconds(ms: int | None) -> dt.datetime | None:
    return None if ms is None else EPOCH + dt.timedelta(milliseconds=ms)


def business_day(instant: dt.datetime, timezone: str = SEOUL) -> str:
    return instant.astimezone(ZoneInfo(timezone)).date().isoformat()


# --- histories --------------------------------------------------------------------------------------------------------


def profile(
    updated: str | dt.datetime,
    joined: str | dt.datetime | None = None,
    first: str | dt.datetime | None = None,
    *,
    user: int = 7,
    comm: int = 11,
    **columns: Any,
) -> Row:
    """A profile row written at `updated`; the last join is at `joined`, by default at `updated`."""

    def ms(instant: str | dt.datetime) -> int:
        return milliseconds(at(instant) if isinstance(instant, str) else instant)

    return {
        "community_id": comm,
        "user_id": user,
        "first_join_at": None if first is None else ms(first),
        "last_join_at": ms(updated if joined is None else joined),
        "updated_at": ms(updated),
        "hidden": None,
        "profile_name": None,
        "profile_image_url": None,
        "profile_cover_image_url": None,
    } | columns


def status(kind: str, instant: str | dt.datetime, *, user: int = 7, comm: int = 11) -> Row:
    """A line of the status log, `subscribe` or `unsubscribe`."""
    when = at(instant) if isinstance(instant, str) else instant
    return {"community_id": comm, "user_id": user, "type": kind, "created_at": when}


@dataclass(frozen=True)
class History:
    """All inputs of wv_comm_user: the facts, and the snapshots by the name of the mart's input."""

    profiles: Sequence[Row] = ()
    statuses: Sequence[Row] = ()
    snapshots: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    timezone: str = SEOUL

    def dated(self, of: str) -> list[Row]:
        """`profiles` or `statuses` with the day of each; rows before the first day belong to the first."""
        instants = {"profiles": updated, "statuses": lambda row: row["created_at"]}
        rows: Sequence[Row] = getattr(self, of)
        return [
            row | {"part_date": max(business_day(instants[of](row), self.timezone), DAYS[0])}
            for row in rows
            if business_day(instants[of](row), self.timezone) <= DAYS[-1]
        ]

    def with_facts(self, *facts: Row) -> History:
        return replace(
            self,
            profiles=[*self.profiles, *(row for row in facts if "type" not in row)],
            statuses=[*self.statuses, *(row for row in facts if "type" in row)],
        )


def history(*facts: Row, timezone: str = SEOUL, **snapshots: Sequence[Row]) -> History:
    """These profile rows and status lines; snapshot rows without a day are present on every day."""
    dated = {
        name: [{"part_date": day} | row for row in rows for day in DAYS if row.get("part_date", day) == day]
        for name, rows in snapshots.items()
    }
    return History(snapshots=dated, timezone=timezone).with_facts(*facts)


# --- tables.md 3.1 ----------------------------------------------------------------------------------------------------


def updated(row: Row) -> dt.datetime:
    found = from_milliseconds(row["updated_at"])
    assert found is not None
    return found


def base_reference(of: History, day: str) -> dict[Pair, Row]:
    """wv_comm_user_base as of the day, by pair."""
    profiles = [row for row in of.profiles if business_day(updated(row), of.timezone) <= day]
    statuses = [row for row in of.statuses if business_day(row["created_at"], of.timezone) <= day]
    found = {}
    for comm, user in sorted({(row["community_id"], row["user_id"]) for row in [*profiles, *statuses]}):
        states = sorted(
            (row for row in profiles if (row["community_id"], row["user_id"]) == (comm, user)),
            key=lambda row: row["updated_at"],
        )
        # At equal instants, unsubscribe is last.
        lines = sorted(
            (row for row in statuses if (row["community_id"], row["user_id"]) == (comm, user)),
            key=lambda row: (row["created_at"], row["type"] == "unsubscribe"),
        )
        firsts = [row["first_join_at"] for row in states if row["first_join_at"] is not None]
        newest: Row = states[-1] if states else {}
        last: Row = lines[-1] if lines else {}
        found[comm, user] = {
            "comm_id": comm,
            "wv_user_id": user,
            "first_join_dt": from_milliseconds(min(firsts, default=None)),
            "profile_updated_dt": from_milliseconds(newest.get("updated_at")),
            "last_join_dt": from_milliseconds(newest.get("last_join_at")),
            **{
                name: newest.get(name)
                for name in ("hidden", "profile_name", "profile_image_url", "profile_cover_image_url")
            },
            "subscribe_cnt": sum(row["type"] == "subscribe" for row in lines),
            "unsubscribe_cnt": sum(row["type"] == "unsubscribe" for row in lines),
            "status_dt": last.get("created_at"),
            "status": last.get("type"),
            "part_date": day,
        }
    return found


def least(*instants: dt.datetime | None) -> dt.datetime | None:
    return min((i for i in instants if i is not None), default=None)


def members_reference(of: History, day: str) -> dict[Pair, Row]:
    """wv_comm_user of the day without `run_timestamp`, by pair. Numbered comments refer to the rules."""

    def as_of(snapshot: str, **values: Any) -> list[Row]:
        rows = of.snapshots.get(snapshot, ())
        return [r for r in rows if r["part_date"] == day and all(r.get(k) == v for k, v in values.items())]

    def only(snapshot: str, **values: Any) -> Row | None:
        rows = as_of(snapshot, **values)
        assert len(rows) < 2, f"{values} is no key of {snapshot}"
        return rows[0] if rows else None

    pairs = base_reference(of, day)
    firsts = {}
    for (comm, user), pair in pairs.items():
        migrated = only("migrations", community_id=comm, user_id=user) or {}
        joined = only("first_version", comm_id=comm, wv_user_id=user) or {}
        # 2
        firsts[comm, user] = least(
            migrated.get("created_at"), pair["first_join_dt"], joined.get("comm_user_first_dt"), pair["last_join_dt"]
        )
    found = {}
    for (comm, user), pair in pairs.items():
        created = pair["last_join_dt"]
        if created is None:
            continue
        account: Row = only("users", wv_user_id=user) or {}
        left_weverse = account.get("wv_leave_dt")
        # 4
        left = pair["status_dt"] if pair["status"] == "unsubscribe" and pair["status_dt"] >= created else None
        ended = left
        if left is None and left_weverse is not None and left_weverse >= created:
            ended = left_weverse
        kind = "NORMAL" if left is None else "DEACTIVATED"
        if left_weverse is not None and business_day(left_weverse, of.timezone) == day:
            kind = "WV_DEACTIVATED"
        # 5
        if business_day(created, of.timezone) > day:
            continue
        if ended is not None and business_day(ended, of.timezone) < day:
            continue
        if left_weverse is not None and business_day(left_weverse, of.timezone) < day:
            continue
        # 3
        known = [first for (_, of_user), first in firsts.items() if of_user == user]
        known += [row["tot_comm_user_first_dt"] for row in as_of("first_version", wv_user_id=user)]
        total = least(*known)
        # 6
        special: Row = only("specials", community_id=comm, user_id=user) or {}
        grade = special.get("special_member_type")
        names = [special.get(f"official_name_{language}") for language in ("ko", "en", "jp")]
        # 7
        artist: Row = only("artists", comm_id=comm) or {}
        held = []
        if account and artist:
            orders = as_of("memberships", we_art_id=artist["we_art_id"], we_member_id=account["we_member_id"])
            held = [row for row in orders if holds_membership(row, day, of.timezone)]
        newest = max(held, key=lambda row: (row["create_dt"], row["fc_id"]), default=None)
        # 8
        date = dt.date.fromisoformat(day)
        valid = [
            row
            for row in as_of("countries", wv_user_id=user)
            if (row["start_date"] is None or row["start_date"] <= date)
            and (row["end_date"] is None or row["end_date"] >= date)
        ]
        country = min(valid, key=lambda row: row["seq"], default=None)
        report: Row = only("reports", community_id=comm, user_id=user) or {}
        # 9
        pushes = as_of("pushes", community_id=comm, user_id=user)
        on = {row["config_key"] for row in pushes if row["value"] == "true"}
        ordinal = {None: None, "subscribe": pair["subscribe_cnt"], "unsubscribe": pair["unsubscribe_cnt"]}
        found[comm, user] = {
            "key_date": date,
            "wv_user_id": user,
            "we_member_id": account.get("we_member_id"),
            "comm_id": comm,
            "we_art_id": artist.get("we_art_id"),
            "we_art_name": artist.get("we_art_name"),
            "is_fc": int(newest is not None),
            "fc_id": newest and newest["fc_id"],
            "art_indi_id": grade and f"{comm}-{user}",
            "art_indi_type": grade,
            "art_indi_name": next((name for name in names if grade and name is not None), None),
            "ip_ctry": country and country["ip_ctry"],
            "wv_user_status": account.get("wv_status"),
            "comm_user_first_dt": firsts[comm, user],
            "tot_comm_user_first_dt": total,
            "is_first_user_comm": int(firsts[comm, user] == total),
            "comm_user_status": kind,
            "comm_user_grade": grade or "FAN",
            "comm_user_cre_dt": created,
            "comm_user_end_dt": ended,
            "is_profile_created": 1,
            "profile_name": pair["profile_name"],
            "is_profile_private": int(pair["hidden"] == "true"),
            "is_upload_profile_img": int(pair["profile_image_url"] is not None),
            "is_upload_profile_background_img": int(pair["profile_cover_image_url"] is not None),
            "is_official": special.get("is_official") or 0,
            "comm_user_id": f"{comm}-{user}",
            "cnt_comm_user_id": max(pair["subscribe_cnt"], 1),
            "sum_report_count": report.get("report_count") or 0,
            "comm_user_seq": ordinal[pair["status"]],
            "notification_type": "ALL",
            **dict.fromkeys(WV1_ALARMS),
            **{flag: int(flag in on) for flag in PUSH_FLAGS},
            "v_ch_join_dt": pair["first_join_dt"] if only("migrations", community_id=comm, user_id=user) else None,
            "is_v_user": int(account.get("vlive_id") is not None),
            "part_comm_id": comm,
            "part_date": day,
        }
    return found


def holds_membership(order: Row, day: str, timezone: str) -> bool:
    """Paid, not (known to be) cancelled by a restore, started on or before the day, and not ended before it."""
    return (
        order["ord_status"] != "PAYMENT_FAILED"
        and order["is_cx_by_restore"] in (0, None)
        and business_day(order["start_dt"], timezone) <= day
        and (order["end_dt"] is None or business_day(order["end_dt"], timezone) >= day)
    )


# --- the marts, run ---------------------------------------------------------------------------------------------------

Days = dict[str, dict[Pair, Row]]


def by_day(rows: Sequence[Row], days: Sequence[str]) -> Days:
    """The rows without `run_timestamp`, by day and pair."""
    found: Days = {day: {} for day in days}
    for row in rows:
        pair, said = (row["comm_id"], row["wv_user_id"]), {k: v for k, v in row.items() if k != "run_timestamp"}
        assert pair not in found[row["part_date"]], f"{pair} is there twice"
        found[row["part_date"]][pair] = said
    return found


def run_base(bench: Bench, of: History, *runs: Sequence[str], before: Sequence[Row] = ()) -> Days:
    """wv_comm_user_base in these runs, each continuing from the state that the previous one left."""
    found: Days = {}
    facts = {name: of.dated(name) for name in ("profiles", "statuses")}
    for days in runs:
        of_run = {name: [row for row in rows if row["part_date"] in days] for name, rows in facts.items()}
        found |= by_day(bench(wv_comm_user_base, {"days": tuple(days)}, before=before, **of_run), days)
        before = list(found[days[-1]].values())
    return found


def run_members(bench: Bench, of: History, base: Days, days: Sequence[str]) -> Days:
    """wv_comm_user in one run over these days."""
    rows = bench(
        wv_comm_user,
        {"timezone": of.timezone},
        base=[row for day in days for row in base[day].values()],
        **{name: [row for row in rows if row["part_date"] in days] for name, rows in of.snapshots.items()},
    )
    return by_day(rows, days)


# --- random histories -------------------------------------------------------------------------------------------------

USERS, COMMUNITIES = (7, 8, 9), (11, 12)
HOUR, A_DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
MILLISECOND, NOTHING = dt.timedelta(milliseconds=1), dt.timedelta()
STEPS = (NOTHING, MILLISECOND, 10 * HOUR, 14 * HOUR - MILLISECOND, 14 * HOUR, A_DAY, A_DAY, 2 * A_DAY)
MIDNIGHTS = [at(f"2024-03-{day:02d}T00:00") for day in range(1, 6)]
NEAR = [midnight + step for midnight in MIDNIGHTS for step in (-MILLISECOND, NOTHING, 10 * HOUR)]
LONG_AGO = [at("2019-06-10T12:00"), at("2021-01-01T00:00"), at("2023-12-31T23:59:59.999")]


def unique(rows: Sequence[Row], *key: str) -> list[Row]:
    return list({tuple(row[name] for name in key): row for row in rows}.values())


@st.composite
def lives(draw: st.DrawFn, user: int, comm: int) -> list[Row]:
    """One user's history in one community: joins, leaves, rejoins and profile edits, some without a status line.

    A join appears in the profile, whose row is written with it or a moment later.
    """
    when = draw(st.sampled_from([*LONG_AGO, *NEAR]))
    first = draw(st.sampled_from([None, "join", *LONG_AGO]))
    joined, facts = when, []
    belongs = False
    for step, does in draw(
        st.lists(st.tuples(st.sampled_from(STEPS), st.sampled_from(["move", "move", "edit", "line"])), max_size=6)
    ):
        when = max(when, NEAR[0]) + step if facts else when
        if does == "line":
            # A status line without a profile row.
            facts.append(status(draw(st.sampled_from(["subscribe", "unsubscribe"])), when, user=user, comm=comm))
            belongs = facts[-1]["type"] == "subscribe"
            continue
        if does == "move" and belongs:
            facts.append(status("unsubscribe", when, user=user, comm=comm))
            belongs = False
            continue
        if does == "move":
            joined, belongs = when, True
            if draw(st.integers(0, 3)):
                facts.append(status("subscribe", when, user=user, comm=comm))
        row = profile(
            when if does == "edit" else when + draw(st.sampled_from([NOTHING, NOTHING, MILLISECOND])),
            joined,
            joined if first == "join" else first,
            user=user,
            comm=comm,
            hidden=draw(st.sampled_from([None, "true", "false"])),
            profile_name=draw(st.sampled_from([None, "", "name", "other"])),
            profile_image_url=draw(st.sampled_from([None, "picture"])),
            profile_cover_image_url=draw(st.sampled_from([None, "picture"])),
        )
        facts.append(row)
    return facts


@st.composite
def changes(draw: st.DrawFn, day: str) -> Row:
    """A profile row or status line of the day."""
    who = {"user": draw(st.sampled_from(USERS)), "comm": draw(st.sampled_from(COMMUNITIES))}
    start = at(f"{day}T00:00")
    when = start + draw(st.sampled_from([NOTHING, 10 * HOUR, A_DAY - MILLISECOND]))
    kind = draw(st.sampled_from(["subscribe", "unsubscribe", "profile"]))
    if kind == "profile":
        joined = draw(st.sampled_from([when, when - A_DAY, LONG_AGO[0]]))
        return profile(when, joined, draw(st.sampled_from([None, LONG_AGO[1]])), profile_name="late", **who)
    return status(kind, when, **who)


def without_duplicate_keys(of: History) -> History:
    """Drops the rows that the keys of the sources rule out."""
    return replace(
        of,
        profiles=unique(of.profiles, "community_id", "user_id", "updated_at"),
        statuses=unique(of.statuses, "community_id", "user_id", "type", "created_at"),
    )


@st.composite
def random_facts(draw: st.DrawFn) -> History:
    """Histories of a few users in two communities."""
    facts = [row for user in USERS for comm in COMMUNITIES for row in draw(lives(user, comm))]
    return without_duplicate_keys(History().with_facts(*facts))


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Histories of a few users in two communities with snapshots, each of which lacks some rows on some days."""
    happened = draw(random_facts())

    def maybe(*values: Any) -> Any:
        return draw(st.sampled_from([None, *values]))

    def some(rows: Sequence[Row]) -> list[Row]:
        """Most of the rows, for each day."""
        every = [row | {"part_date": day} for day in DAYS for row in rows]
        # The bits of one number, so that there is one draw however many rows there are.
        masks = st.integers(0, 2 ** len(every) - 1)
        kept = draw(masks) | draw(masks) | draw(masks)
        return [row for place, row in enumerate(every) if kept >> place & 1]

    left = {user: draw(st.sampled_from([None, None, *NEAR])) for user in USERS}
    known_from = {user: draw(st.sampled_from([DAYS[0], DAYS[0], DAYS[-1]])) for user in USERS}
    vlive = {user: maybe(1000 + user) for user in USERS}
    users = []
    for day in DAYS:
        for user in (7, 8):
            gone = left[user]
            # A snapshot shows a leave from its day onwards, or later if an earlier snapshot was carried forward.
            gone = None if gone is None or max(business_day(gone), known_from[user]) > day else gone
            state = "NORMAL" if gone is None else "DELETED"
            users.append(
                {
                    "part_date": day,
                    "we_member_id": 100 + user,
                    "wv_user_id": user,
                    "wv_status": state,
                    "wv_leave_dt": gone,
                    "vlive_id": vlive[user],
                }
            )
    orders = [
        {
            "we_member_id": draw(st.sampled_from([107, 108])),
            "we_art_id": draw(st.sampled_from([1, 1, 2])),
            "fc_id": draw(st.sampled_from([1, 2, 3])),
            "create_dt": draw(st.sampled_from(LONG_AGO[:2])),
            "start_dt": draw(st.sampled_from([*LONG_AGO, *NEAR])),
            "end_dt": maybe(*NEAR),
            "ord_status": draw(st.sampled_from(["PAID", "PAID", "PAYMENT_FAILED", None])),
            "is_cx_by_restore": draw(st.sampled_from([0, 0, None, 1])),
        }
        for _ in range(draw(st.integers(0, 5)))
    ]
    pair = [{"community_id": comm, "user_id": user} for comm in COMMUNITIES for user in USERS]
    known = [{"comm_id": comm, "wv_user_id": user} for comm in COMMUNITIES for user in USERS]
    dates = [dt.date(2024, 3, n) for n in (1, 2, 3)]
    periods = [
        {
            "wv_user_id": user,
            "ip_ctry": maybe("KR", "US", "JP"),
            "start_date": maybe(*dates),
            "end_date": maybe(*dates),
            "seq": seq,
        }
        for user in (7, 8)
        for seq in range(1, draw(st.integers(1, 3)))
    ]
    switches = [
        of | {"config_key": key, "value": maybe("true", "true", "false", "TRUE")}
        for of in pair[:2]
        for key in (PUSH_FLAGS[0], PUSH_FLAGS[-1], "unknown_push_enabled")
    ]
    return replace(
        happened,
        snapshots={
            "users": [*users, {"part_date": DAYS[0], "we_member_id": 199, "wv_user_id": None}],
            "artists": some(
                [
                    {"we_art_id": 1, "we_art_name": "One", "comm_id": 11},
                    {"we_art_id": 2, "we_art_name": None, "comm_id": 12},
                    {"we_art_id": 3, "we_art_name": "Three", "comm_id": None},
                ]
            ),
            "memberships": some(unique(orders, "we_member_id", "we_art_id", "fc_id", "create_dt")),
            "migrations": some([of | {"created_at": maybe(*LONG_AGO)} for of in pair[:3]]),
            "first_version": some(
                [
                    of | {"comm_user_first_dt": maybe(*LONG_AGO), "tot_comm_user_first_dt": maybe(*LONG_AGO)}
                    for of in known[1:5]
                ]
            ),
            "specials": some(
                [
                    of
                    | {
                        "special_member_type": maybe("ARTIST", "OTHER_COMMUNITY_ARTIST"),
                        "official_name_ko": maybe("하나"),
                        "official_name_en": maybe("One"),
                        "official_name_jp": maybe("一"),
                        "is_official": maybe(0, 1),
                    }
                    for of in pair[2:4]
                ]
            ),
            "reports": some([of | {"report_count": maybe(0, 3)} for of in pair[::2]]),
            "countries": some(periods),
            "pushes": some(switches),
        },
    )
