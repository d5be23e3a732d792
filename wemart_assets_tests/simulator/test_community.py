"""The simulated community sources: applying the mart's rules to them gives exactly the members of the truth."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
import pytest

from wemart_assets.simulator import SimulatorConfig, simulate
from wemart_assets.simulator.histories import Histories
from wemart_assets.simulator.messages import messages_of_day
from wemart_assets.simulator.platform import build_platform
from wemart_assets_tests.simulator.deliveries import Row, Simulated, counts_in, read

PROFILE, STATUS = "we_mart.ods_wv_member_profile", "weverse2.community_log_member_status_log"
ACTS = ("we_mart.wv_post_view", "we_mart.wv_post_reaction", "we_mart.wv_media_reaction")
PURCHASE = "weverse2.community_member_purchase"
FIRST, LAST = "2024-01-01", "2024-01-04"
KNOWN_COMMUNITY = 1234
Pair = tuple[int, int]


def millis(instant: dt.datetime | None) -> int | None:
    return None if instant is None else round(instant.timestamp() * 1000)


def facts(simulated: Simulated, source: str) -> list[Row]:
    """All rows of a source, including late ones, each once."""
    rows = [row for path in sorted(simulated.landing.glob(f"{source}/*/*")) for row in read(path)]
    return [dict(row) for row in {tuple(row.items()) for row in rows}]


def as_of(simulated: Simulated, source: str, day: str) -> list[Row]:
    """The rows of the latest delivery of a snapshot up to the day."""
    folders = sorted(path.name.removeprefix("date=") for path in (simulated.landing / source).iterdir())
    return simulated.delivery(source, max(folder for folder in folders if folder <= day))


def by_pair(rows: Iterable[Row]) -> dict[Pair, Row]:
    names = (("community_id", "user_id"), ("comm_id", "wv_user_id"))
    return {(row[comm_id], row[user]): row for row in rows for comm_id, user in names if user in row}


def local_day(instant: dt.datetime) -> str:
    return instant.astimezone(ZoneInfo("Asia/Seoul")).date().isoformat()


class Reference:
    """The rules of `wv_comm_user`, applied to the deliveries one member at a time."""

    def __init__(self, simulated: Simulated) -> None:
        self.simulated = simulated
        self.profiles: dict[Pair, list[Row]] = defaultdict(list)
        for row in sorted(facts(simulated, PROFILE), key=lambda row: row["updated_at"]):
            self.profiles[row["community_id"], row["user_id"]].append(row)
        self.lines: dict[Pair, list[tuple[int, str]]] = defaultdict(list)
        for row in facts(simulated, STATUS):
            at = millis(row["created_at"])
            assert at is not None
            # In alphabetical order `unsubscribe` comes last, as required.
            self.lines[row["community_id"], row["user_id"]].append((at, row["type"]))
        for lines in self.lines.values():
            lines.sort()

    def day_of(self, instant_ms: int) -> str:
        return self.simulated.business_day(instant_ms)

    def members(self, day: str) -> Iterator[Row]:
        today = dt.date.fromisoformat(day)
        accounts = {row["wv_user_id"]: row for row in as_of(self.simulated, "we_mart.we_user", day)}
        artists = as_of(self.simulated, "we_mart.we_artist", day)
        artist_of = {int(row["comm_id"]): int(row["we_art_id"]) for row in artists if row["comm_id"]}
        special = by_pair(self.special(day))
        migrated = by_pair(as_of(self.simulated, "weverse2.community_log_v_member_migration", day))
        wv1 = by_pair(as_of(self.simulated, "we_mart.wv1_join_info", day))
        held = self.held(day)
        countries = defaultdict(list)
        for row in as_of(self.simulated, "we_mart.wv_user_ctry_history", day):
            if row["start_date"] and row["start_date"] <= today <= (row["end_date"] or today):
                countries[row["wv_user_id"]].append((row["seq"], row["ip_ctry"]))

        newest = {}
        for pair, states in self.profiles.items():
            if known := [state for state in states if self.day_of(state["updated_at"]) <= day]:
                newest[pair] = known[-1]
        firsts: dict[Pair, int] = {}
        totals: dict[int, list[int]] = defaultdict(list)
        for pair, state in newest.items():
            instants = [state["first_join_at"]]
            instants += [millis(migrated[pair]["created_at"])] if pair in migrated else []
            instants += [millis(wv1[pair]["comm_user_first_dt"])] if pair in wv1 else []
            firsts[pair] = min(instant for instant in instants if instant is not None)
            totals[pair[1]].append(firsts[pair])
        for (_, user), row in wv1.items():
            totals[user].append(millis(row["tot_comm_user_first_dt"]) or 0)

        for (comm_id, user), profile in newest.items():
            lines = [line for line in self.lines[comm_id, user] if self.day_of(line[0]) <= day]
            account = accounts.get(user)
            leave = millis(account["wv_leave_dt"]) if account else None
            created, end = profile["last_join_at"], None
            if lines[-1][1] == "unsubscribe":
                end = lines[-1][0]
            elif leave is not None and leave >= created:
                end = leave
            if not self.day_of(created) <= day <= (self.day_of(end) if end else day):
                continue
            if leave is not None and self.day_of(leave) < day:
                continue
            status = "DEACTIVATED" if lines[-1][1] == "unsubscribe" else "NORMAL"
            member = account["we_member_id"] if account else None
            bought = held.get((member, artist_of.get(comm_id)), [])
            yield {
                "day": day,
                "comm_id": comm_id,
                "wv_user_id": user,
                "comm_user_status": "WV_DEACTIVATED" if leave and self.day_of(leave) == day else status,
                "comm_user_grade": special.get((comm_id, user), {}).get("special_member_type", "FAN"),
                "cnt_comm_user_id": sum(kind == "subscribe" for _, kind in lines),
                "comm_user_cre_ms": created,
                "comm_user_end_ms": end,
                "comm_user_first_ms": firsts[comm_id, user],
                "tot_comm_user_first_ms": min(totals[user]),
                "is_fc": int(bool(bought)),
                "fc_id": max(bought)[1] if bought else None,
                "ip_ctry": min(countries[user])[1] if countries[user] else None,
                "is_profile_private": int(profile["hidden"] == "true"),
            }

    def special(self, day: str) -> list[Row]:
        rows = as_of(self.simulated, "weverse2.community_member_special_member", day)
        return [{**row, "community_id": int(row["community_id"]), "user_id": int(row["user_id"])} for row in rows]

    def held(self, day: str) -> dict[tuple[int | None, int | None], list[tuple[dt.datetime, int]]]:
        held = defaultdict(list)
        for row in as_of(self.simulated, "we_mart.ws_fc_user_history", day):
            begun = self.day_of(row["start_dt"].timestamp() * 1000) <= day
            running = row["end_dt"] is None or self.day_of(row["end_dt"].timestamp() * 1000) >= day
            if begun and running and row["ord_status"] != "PAYMENT_FAILED" and row["is_cx_by_restore"] == 0:
                held[row["we_member_id"], row["we_art_id"]].append((row["create_dt"], row["fc_id"]))
        return held


def members_in(truth: Path) -> list[Row]:
    rows: list[Row] = pq.read_table(truth / "members.parquet").to_pylist()
    return rows


def in_order(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row["day"], row["comm_id"], row["wv_user_id"]))


def assert_members_match_the_rules(simulated: Simulated) -> None:
    reference = Reference(simulated)
    by_rule = [row for day in simulated.counts["days"] for row in reference.members(day)]
    made = members_in(simulated.truth)
    assert len(made) > 100
    assert in_order(by_rule) == in_order(made)


# --- the truth matches the deliveries -------------------------------------------------------------------------------


def test_the_rules_give_exactly_the_true_members(simulated: Simulated) -> None:
    assert_members_match_the_rules(simulated)


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(SimulatorConfig(days=1, lines_per_day=500, seed=1), id="smallest"),
        pytest.param(SimulatorConfig(days=9, lines_per_day=500, users=1_500, seed=2), id="more days"),
        pytest.param(
            SimulatorConfig(
                first_day=dt.date(2024, 3, 9), days=3, lines_per_day=500, timezone="America/New_York", seed=3
            ),
            id="a day of 23 hours",
        ),
        pytest.param(SimulatorConfig(days=3, lines_per_day=500, timezone="UTC", oddities=False), id="no oddities"),
    ],
)
def test_the_rules_give_the_true_members_for_other_configurations(config: SimulatorConfig, tmp_path: Path) -> None:
    summary = simulate(config, tmp_path / "landing", tmp_path / "truth")
    assert_members_match_the_rules(Simulated(config, tmp_path / "landing", tmp_path / "truth", summary))


def test_a_leaver_is_present_on_the_day_of_leaving_and_gone_the_next(simulated: Simulated) -> None:
    days = list(simulated.counts["days"])
    members = members_in(simulated.truth)
    there = {(row["day"], row["comm_id"], row["wv_user_id"]): row["comm_user_status"] for row in members}
    leavers = [key for key, status in there.items() if status != "NORMAL" and key[0] != LAST]
    assert {there[key] for key in leavers} == {"DEACTIVATED", "WV_DEACTIVATED"}
    following = dict(pairwise(days))
    back_at_once = {key[1:] for key in leavers if (following[key[0]], *key[1:]) in there}
    joins = Counter((r["community_id"], r["user_id"]) for r in facts(simulated, STATUS) if r["type"] == "subscribe")
    assert all(joins[pair] > 1 for pair in back_at_once)
    assert len(back_at_once) < len(leavers) / 2


def test_member_counts_match_the_truth(simulated: Simulated) -> None:
    found = Counter(row["day"] for row in members_in(simulated.truth))
    for day, counts in simulated.counts["days"].items():
        assert counts["members"] == found[day]
        assert counts["joins"] > 0
        assert counts["leaves"] > 0


# --- facts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [PROFILE, STATUS])
def test_the_first_day_delivers_all_earlier_rows(source: str, simulated: Simulated) -> None:
    def day_of(row: Row) -> str:
        return simulated.business_day(row["updated_at"] if source == PROFILE else millis(row["created_at"]))  # type: ignore[arg-type]

    for path in simulated.landing.glob(f"{source}/*/*"):
        days = {day_of(row) for row in read(path)}
        if path.name == "full.parquet":
            assert path.parent.name == f"date={FIRST}"
            assert max(days) < FIRST
            assert min(days) < "2023"
        elif path.name == "facts.parquet":
            assert {f"date={day}" for day in days} == {path.parent.name}
        else:
            assert days == {FIRST}


def test_late_profiles_and_status_lines_are_counted(simulated: Simulated) -> None:
    late = {flaw["source"]: flaw for flaw in simulated.counts["late"]}
    for source in (PROFILE, STATUS):
        flaw = late[source]
        rows = read(simulated.landing / source / f"date={flaw['folder']}" / "late.parquet")
        assert 0 < len(rows) == flaw["rows"] <= 20
        assert flaw["folder"] == "2024-01-04"
        assert flaw["reason"] == f"rows of {FIRST}"


def test_no_two_states_of_a_profile_share_an_instant(simulated: Simulated) -> None:
    rows = facts(simulated, PROFILE)
    assert len({(row["community_id"], row["user_id"], row["updated_at"]) for row in rows}) == len(rows)


def test_histories_of_all_kinds_occur(simulated: Simulated) -> None:
    lines: dict[Pair, list[tuple[Any, str]]] = defaultdict(list)
    for row in facts(simulated, STATUS):
        lines[row["community_id"], row["user_id"]].append((row["created_at"], row["type"]))
    midnight = dt.datetime(2024, 1, 1, tzinfo=ZoneInfo("Asia/Seoul"))
    sorts: Counter[str] = Counter()
    for history in lines.values():
        history.sort()
        kinds = [kind for _, kind in history]
        assert kinds == ["subscribe", "unsubscribe"] * (len(kinds) // 2) + ["subscribe"] * (len(kinds) % 2)
        before = [kind for at, kind in history if at < midnight]
        sorts["left before, for good"] += before == kinds and kinds[-1] == "unsubscribe"
        sorts["left before, came back during"] += before[-1:] == ["unsubscribe"] and len(before) < len(kinds)
        sorts["came back before"] += len(before) > 2 and before[-1] == "subscribe"
        sorts["left and came back during"] += kinds[len(before) :][-2:] == ["unsubscribe", "subscribe"]
        sorts["left and came back on one day"] += any(
            kind == "subscribe" and since >= midnight and since.date() == at.date()
            for (since, _), (at, kind) in pairwise(history)
        )
        sorts["joined and left at one instant"] += len({at for at, _ in history}) < len(history)
        sorts["three times"] += len(kinds) >= 5
    assert set(sorts) == {name for name, count in sorts.items() if count}


def test_accounts_leave_with_and_without_unsubscribing(simulated: Simulated) -> None:
    last = {(row["comm_id"], row["wv_user_id"]): row for row in members_in(simulated.truth)}
    accounts = {row["wv_user_id"] for row in simulated.delivery("we_mart.we_user", LAST)}
    unsubscribed = {(r["community_id"], r["user_id"]) for r in facts(simulated, STATUS) if r["type"] == "unsubscribe"}
    with_account = {pair in unsubscribed for pair, row in last.items() if row["comm_user_status"] == "WV_DEACTIVATED"}
    assert with_account == {True, False}
    assert any(user not in accounts for _, user in last)
    # Only a status line shows that a user without an account has left.
    gone = {pair for pair, row in last.items() if row["day"] < LAST and pair[1] not in accounts}
    assert gone <= unsubscribed


def test_profiles_are_edited_hidden_and_incomplete(simulated: Simulated) -> None:
    rows = facts(simulated, PROFILE)
    assert {row["hidden"] for row in rows} == {"true", "false", None}
    for column in ("profile_name", "profile_image_url", "profile_cover_image_url", "first_join_at"):
        assert {row[column] is None for row in rows} == {True, False}
    edits = [row for row in rows if row["updated_at"] > row["last_join_at"]]
    assert {simulated.business_day(row["updated_at"]) for row in edits} >= set(simulated.counts["days"])
    assert any((row["first_join_at"] or row["last_join_at"]) < row["last_join_at"] for row in rows)


def test_actions_are_by_members_and_others_on_existing_posts(simulated: Simulated) -> None:
    accounts = {row["we_member_id"]: row["wv_user_id"] for row in simulated.delivery("we_mart.we_user", LAST)}
    members = {(row["day"], row["comm_id"], row["wv_user_id"]) for row in members_in(simulated.truth)}
    sorts: Counter[tuple[str, str]] = Counter()
    for source in ACTS:
        for day in simulated.counts["days"]:
            posts = {
                f"{row['shard_id']}-{row['post_local_id']}": row["community_id"]
                for row in simulated.delivery("weverse2.community_content_post", day)
                if row["community_id"] != 999_999
            }
            for row in simulated.delivery(source, day):
                assert row["key_date"].isoformat() == day
                if "post_id" in row:
                    assert posts[row["post_id"]] == row["comm_id"]
                user = accounts.get(row["we_member_id"])
                sort = "member" if (day, row["comm_id"], user) in members else "other"
                sort = sort if user else "unknown" if row["we_member_id"] else "nobody"
                sorts[source, sort] += 1
    assert set(sorts) == {(source, sort) for source in ACTS for sort in ("member", "other", "unknown", "nobody")}
    assert all(sorts[source, "member"] > sorts[source, "other"] for source in ACTS)


# --- snapshots ------------------------------------------------------------------------------------------------------


def test_the_known_examples_have_rows(simulated: Simulated) -> None:
    members = [row for row in members_in(simulated.truth) if row["day"] == FIRST]
    [artist] = [row for row in simulated.delivery("we_mart.we_artist", FIRST) if row["we_art_name"] == "ARTIST"]
    assert sum(row["comm_id"] == int(artist["comm_id"]) and row["is_fc"] for row in members) >= 5
    assert sum(row["comm_id"] == KNOWN_COMMUNITY and row["is_profile_private"] for row in members) >= 5
    assert any(row["comm_id"] == KNOWN_COMMUNITY and row["is_fc"] for row in members)


def test_push_settings_match_the_columns_of_the_mart(simulated: Simulated) -> None:
    rows = as_of(simulated, "weverse2.notification_push_config", LAST)
    assert {row["config_key"] for row in rows} == {
        *("artist_cheering_me_push_enabled", "artist_comment_push_enabled", "artist_live_on_air_push_enabled"),
        *("artist_live_reservation_push_enabled", "artist_moment_push_enabled", "artist_post_push_enabled"),
        *("comment_push_enabled", "community_anniversary_push_enabled", "community_media_push_enabled"),
        *("community_notice_push_enabled", "following_push_enabled"),
    }
    assert {row["value"] for row in rows} == {"true", "false"}
    on_first_day = as_of(simulated, "weverse2.notification_push_config", FIRST)
    before = {(row["community_id"], row["user_id"], row["config_key"]): row["value"] for row in on_first_day}
    now = {(row["community_id"], row["user_id"], row["config_key"]): row["value"] for row in rows}
    assert {(value, now[key]) for key, value in before.items()} >= {("true", "false"), ("false", "true")}


def test_country_periods_have_gaps_and_overlaps(simulated: Simulated) -> None:
    periods = defaultdict(list)
    for row in simulated.delivery("we_mart.wv_user_ctry_history", LAST):
        periods[row["wv_user_id"]].append(row)
    sorts: Counter[str] = Counter()
    for rows in periods.values():
        rows.sort(key=lambda row: row["seq"])
        assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
        assert all(newer["start_date"] >= older["start_date"] for newer, older in pairwise(rows))
        assert all(row["end_date"] is None or row["start_date"] <= row["end_date"] for row in rows)
        sorts["open"] += rows[0]["end_date"] is None
        sorts["over"] += rows[0]["end_date"] is not None
        for newer, older in pairwise(rows):
            until = older["end_date"] or dt.date.max - dt.timedelta(days=1)
            follows = until + dt.timedelta(days=1)
            since = newer["start_date"]
            sorts["overlap" if since < follows else "gap" if since > follows else "next"] += 1
    assert set(sorts) == {"open", "over", "overlap", "gap", "next"}
    assert all(sorts.values())


def test_special_members_have_only_some_names(simulated: Simulated) -> None:
    rows = as_of(simulated, "weverse2.community_member_special_member", LAST)
    known = {tuple(row[f"official_name_{language}"] is not None for language in ("ko", "en", "jp")) for row in rows}
    assert {(True, True, True), (False, True, True), (False, False, True)} <= known
    assert {row["special_member_type"] for row in rows} == {"ARTIST", "OTHER_COMMUNITY_ARTIST"}
    assert {row["is_official"] for row in rows} == {"0", "1"}


def test_some_members_come_from_former_products(simulated: Simulated) -> None:
    joined = {}
    for row in facts(simulated, PROFILE):
        joined[row["community_id"], row["user_id"]] = row["first_join_at"]
    accounts = {row["wv_user_id"]: row for row in simulated.delivery("we_mart.we_user", LAST)}
    migrated = by_pair(as_of(simulated, "weverse2.community_log_v_member_migration", LAST))
    channels = {row["comm_id"] for row in as_of(simulated, "we_meta.v_to_wv_comm_mapping", LAST)}
    assert {comm_id for comm_id, _ in migrated} <= channels
    assert all(accounts[user]["vlive_id"] for _, user in migrated if user in accounts)
    assert {millis(row["created_at"]) < joined[pair] for pair, row in migrated.items() if joined[pair]} == {True, False}

    wv1 = by_pair(as_of(simulated, "we_mart.wv1_join_info", LAST))
    assert any(pair not in joined for pair in wv1), "a community that is gone"
    firsts = {(pair, millis(row["comm_user_first_dt"])) for pair, row in wv1.items() if joined.get(pair)}
    assert all(first <= joined[pair] for pair, first in firsts)
    assert any(first < joined[pair] for pair, first in firsts)
    for row in wv1.values():
        assert row["is_first_user_comm"] == (row["comm_user_first_dt"] == row["tot_comm_user_first_dt"])
    assert {row["is_first_user_comm"] for row in wv1.values()} == {0, 1}


def test_purchases_are_open_closed_and_renewed(simulated: Simulated) -> None:
    first, last = (simulated.delivery(PURCHASE, day) for day in (FIRST, LAST))
    assert {row["end_dt"] is None for row in last} == {True, False}
    assert max(Counter((row["wv_user_id"], row["dm_id"]) for row in last).values()) > 1
    keys = Counter((row["wv_user_id"], row["dm_id"], row["start_dt"]) for row in last)
    assert max(keys.values()) == 1
    ends = {(row["wv_user_id"], row["dm_id"], row["start_dt"]): row["end_dt"] for row in last}
    assert all(row["end_dt"] is None or row["end_dt"] >= row["start_dt"] for row in last)
    assert any(row["end_dt"] is None and ends.get((row["wv_user_id"], row["dm_id"], row["start_dt"])) for row in first)


def test_subscriptions_start_end_and_are_renewed_and_rows_disappear(simulated: Simulated) -> None:
    days = sorted(path.name.removeprefix("date=") for path in (simulated.landing / PURCHASE).iterdir())
    running, there = [], []
    for day in days:
        rows = simulated.delivery(PURCHASE, day)
        there.append({(row["wv_user_id"], row["dm_id"], row["start_dt"]) for row in rows})
        runs = [row for row in rows if row["end_dt"] is None or local_day(row["end_dt"]) >= day]
        assert all(local_day(row["start_dt"]) <= day for row in rows)
        runs.sort(key=lambda row: row["start_dt"])
        running.append({(row["wv_user_id"], row["dm_id"]): row["start_dt"] for row in runs})
    changes: Counter[str] = Counter()
    for before, now in pairwise(running):
        changes["new"] += len(now.keys() - before.keys())
        changes["ended"] += len(before.keys() - now.keys())
        changes["renewed"] += sum(now[key] > before[key] for key in now.keys() & before.keys())
    changes["gone"] = sum(len(before - now) for before, now in pairwise(there))
    assert all(changes[kind] > 2 for kind in ("new", "ended", "renewed", "gone")), changes


def test_direct_messages_are_those_of_the_truth(simulated: Simulated) -> None:
    truth = pq.read_table(simulated.truth / "direct_messages.parquet").to_pylist()
    kinds: Counter[str] = Counter()
    for day in sorted({row["day"] for row in truth}):
        messages = simulated.delivery("weverse2.dm_message", day)
        assert len({row["message_id"] for row in messages}) == len(messages)
        assert {local_day(row["sent_at"]) for row in messages} == {day}
        purchases = simulated.delivery(PURCHASE, day)
        running = [row for row in purchases if row["end_dt"] is None or local_day(row["end_dt"]) >= day]
        subscribers = {(row["community_id"], row["dm_id"], row["wv_user_id"]) for row in running}
        from_fans = [row for row in messages if row["sender_type"] == "FAN"]
        wrote = Counter((row["community_id"], row["dm_id"], row["wv_user_id"]) for row in from_fans)
        made = {(row["comm_id"], row["dm_id"]): row for row in truth if row["day"] == day}
        assert made.keys() >= {(comm, dm) for comm, dm, _ in {*subscribers, *wrote}}
        for (comm, dm), row in made.items():
            assert row["subscribers"] == sum((c, d) == (comm, dm) for c, d, _ in subscribers)
            assert row["fans"] == sum((c, d) == (comm, dm) for c, d, _ in wrote)
            assert row["messages"] == sum(n for (c, d, _), n in wrote.items() if (c, d) == (comm, dm))
            assert any(row[name] for name in row.keys() - {"day", "comm_id", "dm_id"})
        kinds["by subscribers"] += len(wrote.keys() & subscribers)
        kinds["by others"] += len(wrote.keys() - subscribers)
        kinds["silent"] += len(subscribers - wrote.keys())
        kinds["from artists"] += len(messages) - len(from_fans)
    assert all(kinds[kind] > 5 for kind in ("by subscribers", "by others", "silent", "from artists")), kinds


def test_artists_write_as_artists_only() -> None:
    config = SimulatorConfig(days=40, lines_per_day=500, users=500)
    platform = build_platform(config)
    histories = Histories(config, platform)
    is_artist = platform.members.kind > 0
    assert is_artist[histories.purchases.member].any()
    for day in range(40):
        messages = messages_of_day(config, platform, histories, day)
        assert (is_artist[messages.member] == messages.from_artist).all()


def test_subscribers_add_up_from_day_to_day(simulated: Simulated) -> None:
    before: dict[tuple[int, int], int] = {}
    rows = pq.read_table(simulated.truth / "direct_messages.parquet").to_pylist()
    for day in sorted({row["day"] for row in rows}):
        now = {(row["comm_id"], row["dm_id"]): row for row in rows if row["day"] == day}
        for channel, row in now.items():
            expected = before.get(channel, 0) + row["new_subscribers"] - row["ended_subscribers"]
            assert row["subscribers"] == expected, (day, channel)
        assert all(channel in now for channel, count in before.items() if count)
        before = {channel: row["subscribers"] for channel, row in now.items()}


def test_report_counts_grow(simulated: Simulated) -> None:
    first, last = (by_pair(as_of(simulated, "weverse2.community_common_report", day)) for day in (FIRST, LAST))
    assert first.keys() <= last.keys()
    assert any(row["report_count"] == 0 for row in first.values())
    assert any(last[pair]["report_count"] > row["report_count"] for pair, row in first.items())


# --- sizes ----------------------------------------------------------------------------------------------------------


def test_the_number_of_users_does_not_depend_on_the_number_of_lines(tmp_path: Path) -> None:
    config = SimulatorConfig(days=1, lines_per_day=500, users=20_000, artists=30)
    simulate(config, tmp_path / "landing", tmp_path / "truth")
    counts = counts_in(tmp_path / "truth")["days"][FIRST]
    assert counts["members"] > 20_000
    assert counts["lines"] < 1_000
    assert len({row["comm_id"] for row in members_in(tmp_path / "truth")}) == 30
