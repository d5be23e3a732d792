"""Random logs against a plain loop over the lines: sessions, the users in them, and their names."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wemart_assets_tests.examples import examples

Row = dict[str, Any]
Draw = Callable[[st.SearchStrategy[Any]], Any]

# A zone and an instant of interest there: a midnight, or a clock change.
PLACES = (
    ("Asia/Seoul", "2024-01-14T15:00:00+00:00"),
    ("America/New_York", "2024-03-10T07:00:00+00:00"),
    ("America/New_York", "2024-11-03T06:00:00+00:00"),
    ("Australia/Lord_Howe", "2024-04-06T15:00:00+00:00"),
    ("America/Santiago", "2024-04-07T03:00:00+00:00"),
)
GAPS = {"Asia/Seoul": (1, 1800, 3600, 86_400), "Australia/Lord_Howe": (600, 1800)}
PARAMS = (None, "", "no JSON", "[]", '{"consumer_id": "tvApp"}', '{"_consumer_id": "tvApp"}', '{"consumer_id": "web"}')
SHOWN = (
    "date_id",
    "log_dt",
    "sess_id",
    "sess_seq",
    "sess_start_dt",
    "sess_end_dt",
    "user_sess_id",
    "user_sess_start_dt",
    "user_sess_end_dt",
    "user_id_fill",
    "user_info_id",
    "user_info_user_key",
    "user_info_device_id",
    "topic",
    "url",
    "params",
)


@st.composite
def logs(draw: st.DrawFn) -> tuple[str, int, list[Row]]:
    """A timezone, a session gap, and lines of few devices in steps at, just under and just over the gap."""
    timezone, at = draw(st.sampled_from(PLACES))
    gap = draw(st.sampled_from(GAPS.get(timezone, (1800,))))
    middle = round(dt.datetime.fromisoformat(at).timestamp() * 1000)
    steps = st.sampled_from([0, 0, 1, gap * 500, gap * 1000 - 1, gap * 1000, gap * 1000 + 1, 600_000, 1_800_000])
    lines: list[Row] = []
    for device in draw(st.lists(st.sampled_from(["a", "b", "", None]), min_size=1, max_size=3)):
        ms = middle + draw(st.sampled_from([-7_200_000, -3_600_000, -gap * 1000, -1, 0, 3_600_000]))
        for step in draw(st.lists(steps, min_size=1, max_size=7)):
            ms += step
            lines.append(
                {
                    "unix_log_timestamp": ms,
                    "user_info_id": draw(st.sampled_from([None, 0, 2, 9, 10])),
                    "user_info_device_id": device,
                    "user_info_user_key": draw(st.sampled_from([None, "k", "l"])),
                    "topic": draw(st.sampled_from([None, "x", "y"])),
                    "params": draw(st.sampled_from(PARAMS)),
                }
            )
    return timezone, gap, draw(st.permutations(lines))


def shown(rows: Sequence[Row]) -> Counter[tuple[Any, ...]]:
    return Counter(tuple(row[name] for name in SHOWN) for row in rows)


def compare(
    log: tuple[str, int, list[Row]],
    line: Callable[..., Row],
    base: Callable[..., list[Row]],
    sessions_expected: Callable[[Sequence[Row], str, int], list[Row]],
) -> None:
    timezone, gap, drawn = log
    lines = [line(row["unix_log_timestamp"]) | row for row in drawn]
    rows = base(*lines, timezone=timezone, gap=gap)
    assert shown(rows) == shown(sessions_expected(lines, timezone, gap))
    sessions = {(row["date_id"], row["user_info_device_id"], row["sess_seq"]) for row in rows}
    assert len(sessions) == len({row["sess_id"] for row in rows}), "two sessions share an id"


# All examples share the fixtures' bench; each example refills its tables.
QUIET = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@settings(QUIET, max_examples=examples(40, 400))
@given(log=logs())
def test_sessions_of_a_random_log_match_a_plain_loop(
    log: tuple[str, int, list[Row]],
    line: Callable[..., Row],
    base: Callable[..., list[Row]],
    sessions_expected: Callable[[Sequence[Row], str, int], list[Row]],
) -> None:
    compare(log, line, base, sessions_expected)
