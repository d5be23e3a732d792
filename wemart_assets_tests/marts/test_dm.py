"""Direct messages: subscribers by day, every subscription ever seen, and what fans write (tables.md 3.2)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wemart_assets.marts.community.wv_dm_msg_fan import wv_dm_msg_fan
from wemart_assets.marts.community.wv_dm_subscr_daily import wv_dm_subscr_daily
from wemart_assets.marts.community.wv_dm_subscr_history import wv_dm_subscr_history
from wemart_assets_tests.examples import examples
from wemart_assets_tests.marts.communities import DAYS, Bench, Row, at
from wemart_assets_tests.marts.test_community_stats import day_before, last_but_one, of_day, purchase, values

FIRST, SECOND, THIRD, LAST = DAYS
QUIET = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def date(day: str) -> dt.date:
    return dt.date.fromisoformat(day)


def subscription(user: int = 7, dm: int = 1, day: str = SECOND, comm: int = 11, **columns: Any) -> Row:
    """A row of wv_dm_subscr."""
    row: Row = {"key_date": date(day), "wv_user_id": user, "comm_id": comm, "dm_id": dm, "part_date": day}
    return row | columns


def message(user: int = 7, dm: int = 1, day: str = SECOND, comm: int = 11, **columns: Any) -> Row:
    row: Row = {"wv_user_id": user, "community_id": comm, "dm_id": dm, "sender_type": "FAN", "part_date": day}
    return row | columns


# --- wv_dm_subscr_daily -----------------------------------------------------------------------------------------------

CHANGES = ("part_date", "comm_id", "dm_id", "subscribers", "new_subscribers", "ended_subscribers")


def test_subscribers_are_compared_with_the_day_before(bench: Bench) -> None:
    before = [subscription(user, day=FIRST) for user in (1, 2, 3)]
    now = [subscription(user) for user in (2, 3, 4, 5)]
    found = bench(wv_dm_subscr_daily, {}, now=now, before=before)
    assert values(found, "key_date", *CHANGES) == [(date(SECOND), SECOND, 11, 1, 4, 2, 1)]


def test_on_the_first_day_every_subscriber_is_new(bench: Bench) -> None:
    found = bench(wv_dm_subscr_daily, {}, now=[subscription(user, day=FIRST) for user in (1, 2)])
    assert values(found, *CHANGES) == [(FIRST, 11, 1, 2, 2, 0)]


def test_a_renewal_without_a_gap_changes_nothing(bench: Bench) -> None:
    old = subscription(day=FIRST, start_dt=at("2024-02-02T10:00"), end_dt=at("2024-03-02T10:00"))
    renewed = subscription(day=SECOND, start_dt=at("2024-03-02T10:00"))
    found = bench(wv_dm_subscr_daily, {}, now=[renewed], before=[old])
    assert values(found, *CHANGES) == [(SECOND, 11, 1, 1, 0, 0)]


def test_a_channel_whose_last_subscriber_is_gone_has_a_row_with_zero_for_a_day(bench: Bench) -> None:
    rows = [subscription(user, day=FIRST) for user in (1, 2)]
    found = bench(wv_dm_subscr_daily, {}, now=rows, before=rows)
    assert values(found, *CHANGES) == [(FIRST, 11, 1, 2, 2, 0), (SECOND, 11, 1, 0, 0, 2)]
    assert {row["key_date"] for row in found} == {date(FIRST), date(SECOND)}


def test_who_comes_back_after_a_day_is_new_again(bench: Bench) -> None:
    rows = [subscription(day=FIRST), subscription(day=THIRD)]
    found = bench(wv_dm_subscr_daily, {}, now=rows, before=rows[:1])
    assert values(found, *CHANGES) == [(FIRST, 11, 1, 1, 1, 0), (SECOND, 11, 1, 0, 0, 1), (THIRD, 11, 1, 1, 1, 0)]


def test_the_same_channel_number_in_another_community_is_another_channel(bench: Bench) -> None:
    found = bench(wv_dm_subscr_daily, {}, now=[subscription(comm=12)], before=[subscription(comm=11, day=FIRST)])
    assert values(found, *CHANGES) == [(SECOND, 11, 1, 0, 0, 1), (SECOND, 12, 1, 1, 1, 0)]


def changes_reference(rows: Sequence[Row]) -> list[tuple[Any, ...]]:
    found = []
    for day in DAYS:
        now, before = (
            {(row["comm_id"], row["dm_id"], row["wv_user_id"]) for row in of_day(rows, of)}
            for of in (day, day_before(day))
        )
        for channel in sorted({key[:2] for key in now | before}):
            counts = (sum(key[:2] == channel for key in of) for of in (now, now - before, before - now))
            found.append((day, *channel, *counts))
    return found


SUBSCRIPTIONS = st.lists(
    st.builds(subscription, st.integers(1, 4), st.integers(1, 2), st.sampled_from(DAYS), st.sampled_from([11, 11, 12])),
    max_size=30,
    unique_by=lambda row: (row["part_date"], row["comm_id"], row["dm_id"], row["wv_user_id"]),
)


@settings(QUIET, max_examples=examples(25, 150))
@given(rows=SUBSCRIPTIONS)
def test_changes_of_subscribers_match_plain_sets(bench: Bench, rows: list[Row]) -> None:
    found = bench(wv_dm_subscr_daily, {}, now=rows, before=last_but_one(rows))
    assert values(found, *CHANGES) == sorted(changes_reference(rows), key=str)


# --- wv_dm_subscr_history ---------------------------------------------------------------------------------------------

KEY = ("wv_user_id", "dm_id", "start_dt")
ONE_BY_ONE = [[day] for day in DAYS]


def run_history(bench: Bench, purchases: Sequence[Row], *runs: Sequence[str], before: Sequence[Row] = ()) -> list[Row]:
    """The rows without `run_timestamp` of runs one after the other, each continuing the one before."""
    found: list[Row] = []
    for days in runs:
        given_purchases = [row for row in purchases if row["part_date"] in days]
        rows = bench(wv_dm_subscr_history, {"days": tuple(days)}, before=before, purchases=given_purchases)
        found += [{name: value for name, value in row.items() if name != "run_timestamp"} for row in rows]
        before = of_day(found, days[-1])
    return found


def history_reference(purchases: Sequence[Row], day: str) -> list[Row]:
    """Rebuilt from all snapshots up to the day."""
    latest: dict[tuple[Any, ...], Row] = {}
    for row in sorted(purchases, key=lambda row: row["part_date"]):
        if row["part_date"] <= day:
            latest[tuple(row[name] for name in KEY)] = row
    return [
        {
            "wv_user_id": row["wv_user_id"],
            "comm_id": row["community_id"],
            "dm_id": row["dm_id"],
            "product_type": row["product_type"],
            "start_dt": row["start_dt"],
            "end_dt": row["end_dt"],
            "last_seen_date": date(row["part_date"]),
            "part_date": day,
        }
        for row in latest.values()
    ]


def in_order(rows: Sequence[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row["part_date"], *(row[name] for name in KEY)))


def test_a_subscription_that_vanishes_stays_as_last_seen(bench: Bench) -> None:
    rows = run_history(bench, [purchase(day=SECOND, end="2024-04-01T10:00")], DAYS)
    assert values(rows, "part_date", "last_seen_date", "end_dt") == [
        (day, date(SECOND), at("2024-04-01T10:00")) for day in DAYS[1:]
    ]


def test_the_latest_snapshot_says_when_a_subscription_ends(bench: Bench) -> None:
    open_ended, ended = purchase(day=FIRST), purchase(day=THIRD, end="2024-03-03T10:00")
    rows = run_history(bench, [open_ended, ended], DAYS)
    assert [row["end_dt"] for row in in_order(rows)] == [None, None, *[at("2024-03-03T10:00")] * 2]
    # The end is taken back.
    rows = run_history(bench, [ended | {"part_date": FIRST}, purchase(day=SECOND)], DAYS)
    assert [row["end_dt"] for row in in_order(rows)] == [at("2024-03-03T10:00"), None, None, None]


def test_a_subscription_that_comes_back_is_seen_again(bench: Bench) -> None:
    rows = run_history(bench, [purchase(day=FIRST), purchase(day=THIRD, community_id=12)], DAYS)
    found = [(row["last_seen_date"], row["comm_id"]) for row in in_order(rows)]
    assert found == [(date(FIRST), 11), (date(FIRST), 11), (date(THIRD), 12), (date(THIRD), 12)]


def test_renewals_and_coming_subscriptions_have_rows_of_their_own(bench: Bench) -> None:
    purchases = [purchase(start, day=FIRST) for start in ("2024-02-01T10:00", "2024-03-01T10:00", "2025-01-01T10:00")]
    assert len(run_history(bench, purchases, DAYS[:1])) == 3


def test_a_day_without_a_snapshot_equals_the_day_before(bench: Bench) -> None:
    [before] = run_history(bench, [purchase(day=FIRST)], DAYS[:1])
    assert run_history(bench, [], [SECOND], before=[before]) == [before | {"part_date": SECOND}]
    assert run_history(bench, [], DAYS) == []


INSTANTS = st.sampled_from(["2024-02-01T10:00", "2024-03-02T00:00", "2024-03-02T23:59:59.999"])
PURCHASES = st.lists(
    st.builds(
        lambda start, end, day, user, dm, comm, product: purchase(
            start, end, day, wv_user_id=user, dm_id=dm, community_id=comm, product_type=product
        ),
        INSTANTS,
        st.none() | INSTANTS,
        st.sampled_from(DAYS),
        st.sampled_from([7, 8]),
        st.sampled_from([1, 2]),
        st.sampled_from([11, 12]),
        st.sampled_from([None, "MONTH", "YEAR"]),
    ),
    max_size=25,
    unique_by=lambda row: (row["part_date"], *(row[name] for name in KEY)),
)


@settings(QUIET, max_examples=examples(25, 150))
@given(purchases=PURCHASES)
def test_the_history_matches_a_rebuild_however_the_days_are_run(bench: Bench, purchases: list[Row]) -> None:
    expected = in_order([row for day in DAYS for row in history_reference(purchases, day)])
    assert in_order(run_history(bench, purchases, DAYS)) == expected
    assert in_order(run_history(bench, purchases, *ONE_BY_ONE)) == expected
    assert in_order(run_history(bench, purchases, DAYS[:2], DAYS[2:])) == expected


@settings(QUIET, max_examples=examples(15, 100))
@given(purchases=PURCHASES, late=PURCHASES, day=st.sampled_from(DAYS))
def test_a_snapshot_that_changes_late_gives_the_same_history_as_on_time(
    bench: Bench, purchases: list[Row], late: list[Row], day: str
) -> None:
    early = run_history(bench, purchases, DAYS)
    corrected = [row for row in purchases if row["part_date"] != day] + of_day(late, day)
    again = DAYS[DAYS.index(day) :]
    kept = [row for row in early if row["part_date"] < day]
    before = of_day(early, day_before(day))
    rows = kept + run_history(bench, corrected, again, before=before)
    assert in_order(rows) == in_order([row for of in DAYS for row in history_reference(corrected, of)])


# --- wv_dm_msg_fan ----------------------------------------------------------------------------------------------------

WRITTEN = ("part_date", "comm_id", "dm_id", "fan_cnt", "msg_cnt", "subscribers")


def test_fans_messages_and_subscribers_are_counted_by_channel(bench: Bench) -> None:
    messages = [message(1), message(1), message(2), message(3, dm=2)]
    subscriptions = [subscription(1), subscription(4), subscription(5)]
    found = bench(wv_dm_msg_fan, {}, messages=messages, subscriptions=subscriptions)
    assert values(found, "key_date", *WRITTEN) == [
        (date(SECOND), SECOND, 11, 1, 2, 3, 3),
        (date(SECOND), SECOND, 11, 2, 1, 1, 0),
    ]


def test_a_channel_with_subscribers_and_no_message_has_a_row(bench: Bench) -> None:
    found = bench(wv_dm_msg_fan, {}, subscriptions=[subscription(1), subscription(2)])
    assert values(found, *WRITTEN) == [(SECOND, 11, 1, 0, 0, 2)]


@pytest.mark.parametrize("subscriptions", [[], [subscription(1)]])
def test_what_artists_write_does_not_count(bench: Bench, subscriptions: list[Row]) -> None:
    messages = [message(1, sender_type="ARTIST")]
    found = bench(wv_dm_msg_fan, {}, messages=messages, subscriptions=subscriptions)
    assert values(found, *WRITTEN) == [(SECOND, 11, 1, 0, 0, 1) for _ in subscriptions]


def test_a_fan_of_two_channels_counts_in_both(bench: Bench) -> None:
    messages = [message(1, dm) for dm in (1, 2)] + [message(1, comm=12), message(1, day=THIRD)]
    found = bench(wv_dm_msg_fan, {}, messages=messages)
    assert values(found, *WRITTEN) == [
        (SECOND, 11, 1, 1, 1, 0),
        (SECOND, 11, 2, 1, 1, 0),
        (SECOND, 12, 1, 1, 1, 0),
        (THIRD, 11, 1, 1, 1, 0),
    ]


MESSAGES = st.lists(
    st.builds(
        lambda user, dm, day, comm, sender: message(user, dm, day, comm, sender_type=sender),
        st.integers(1, 4),
        st.integers(1, 2),
        st.sampled_from(DAYS[:2]),
        st.sampled_from([11, 11, 12]),
        st.sampled_from(["FAN", "FAN", "ARTIST"]),
    ),
    max_size=30,
)


@settings(QUIET, max_examples=examples(25, 150))
@given(messages=MESSAGES, subscriptions=SUBSCRIPTIONS)
def test_messages_match_a_plain_count(bench: Bench, messages: list[Row], subscriptions: list[Row]) -> None:
    expected = []
    for day in DAYS:
        for comm in (11, 12):
            for dm in (1, 2):
                written = [
                    row["wv_user_id"]
                    for row in of_day(messages, day)
                    if (row["community_id"], row["dm_id"], row["sender_type"]) == (comm, dm, "FAN")
                ]
                held = [row for row in of_day(subscriptions, day) if (row["comm_id"], row["dm_id"]) == (comm, dm)]
                if written or held:
                    expected.append((day, comm, dm, len(set(written)), len(written), len(held)))
    found = bench(wv_dm_msg_fan, {}, messages=messages, subscriptions=subscriptions)
    assert values(found, *WRITTEN) == sorted(expected, key=str)
