"""Visits over weeks and months in plain Python, from rows of wv_sess_daily (tables.md 2.3 and 2.4).

Nothing here comes from the marts. A period is `week` or `month`, and named by its first day.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

Row = dict[str, Any]


def start_of(day: dt.date, period: str) -> dt.date:
    return day - dt.timedelta(days=day.weekday()) if period == "week" else day.replace(day=1)


def next_start(start: dt.date, period: str) -> dt.date:
    return start_of(start + dt.timedelta(days=7 if period == "week" else 31), period)


def age_of(cohort: dt.date, start: dt.date, period: str) -> int:
    """How many periods lie between, counted one by one."""
    age = 0
    while cohort < start:
        cohort, age = next_start(cohort, period), age + 1
    return age


def grouped(rows: Iterable[Row], key: Callable[[Row], Any]) -> dict[Any, list[Row]]:
    groups: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return dict(groups)


def dated(start: dt.date) -> Row:
    return {"key_date": start, "part_date": start.isoformat()}


def counts(rows: Sequence[Row]) -> Row:
    seconds = {row["user_sess_id"]: row["user_sess_dur"] for row in rows}
    return {
        "visit_day_cnt": len({row["key_date"] for row in rows}),
        "user_sess_cnt": len(seconds),
        "total_user_sess_dur": sum(seconds.values()),
    }


def type_of_day(rows: Sequence[Row]) -> str:
    """The closest type of one day's rows."""
    if any(row["is_fc"] == 1 for row in rows):
        return "membership"
    return "member" if any(row["is_comm_user"] == 1 for row in rows) else "visitor"


def members_of(sessions: Sequence[Row]) -> list[Row]:
    return [row for row in sessions if row["we_member_id"] is not None]


def first_visits(sessions: Sequence[Row]) -> list[Row]:
    visits = [row for row in members_of(sessions) if row["we_art_id"] is not None]
    by_pair = grouped(visits, lambda row: (row["we_member_id"], row["we_art_id"]))
    return [
        {**dated(min(row["key_date"] for row in rows)), "we_member_id": member, "we_art_id": artist}
        for (member, artist), rows in by_pair.items()
    ]


def bases(sessions: Sequence[Row], period: str) -> list[Row]:
    result = []
    key = lambda row: (start_of(row["key_date"], period), row["we_member_id"], row["we_art_id"])  # noqa: E731
    for (start, member, artist), rows in grouped(members_of(sessions), key).items():
        last_day = max(row["key_date"] for row in rows)
        kind = None if artist is None else type_of_day([row for row in rows if row["key_date"] == last_day])
        result.append({**dated(start), "we_member_id": member, "we_art_id": artist, "user_type": kind, **counts(rows)})
    return result


def totals(sessions: Sequence[Row], period: str) -> list[Row]:
    key = lambda row: (start_of(row["key_date"], period), row["we_member_id"])  # noqa: E731
    return [
        {**dated(start), "we_member_id": member, **counts(rows)}
        for (start, member), rows in grouped(members_of(sessions), key).items()
    ]


def nearest_rank(values: Sequence[int], percent: int) -> int:
    """The ceil(p * n)-th value in order."""
    return sorted(values)[-(-percent * len(values) // 100) - 1]


def durations(sessions: Sequence[Row], period: str) -> list[Row]:
    result = []
    key = lambda row: (start_of(row["key_date"], period), row["platform"])  # noqa: E731
    for (start, platform), rows in grouped(sessions, key).items():
        seconds = list({row["sess_id"]: row["sess_dur"] for row in rows}.values())
        result.append(
            {
                **dated(start),
                "platform": platform,
                "sess_cnt": len(seconds),
                "mean_sess_dur": sum(seconds) / len(seconds),
                "median_sess_dur": nearest_rank(seconds, 50),
                "p90_sess_dur": nearest_rank(seconds, 90),
                "p99_sess_dur": nearest_rank(seconds, 99),
            }
        )
    return result


def visit_days(sessions: Sequence[Row], period: str) -> list[Row]:
    visits = [row for row in bases(sessions, period) if row["we_art_id"] is not None]
    key = lambda row: (row["key_date"], row["we_art_id"], row["visit_day_cnt"])  # noqa: E731
    return [
        {**dated(start), "we_art_id": artist, "visit_day_cnt": days, "member_cnt": len(rows)}
        for (start, artist, days), rows in grouped(visits, key).items()
    ]


def visitors_by_period(sessions: Sequence[Row], period: str) -> dict[tuple[dt.date, int], set[int]]:
    """The members who visited, by period and artist."""
    visits = [row for row in members_of(sessions) if row["we_art_id"] is not None]
    by_key = grouped(visits, lambda row: (start_of(row["key_date"], period), row["we_art_id"]))
    return {key: {row["we_member_id"] for row in rows} for key, rows in by_key.items()}


def cohorts(sessions: Sequence[Row], period: str, starts: Iterable[dt.date]) -> list[Row]:
    visitors = visitors_by_period(sessions, period)
    members: dict[tuple[dt.date, int], set[int]] = defaultdict(set)
    for row in first_visits(sessions):
        members[start_of(row["key_date"], period), row["we_art_id"]].add(row["we_member_id"])
    return [
        {
            **dated(start),
            "we_art_id": artist,
            "cohort": cohort,
            "age": age_of(cohort, start, period),
            "cohort_member_cnt": len(cohort_members),
            "member_cnt": len(cohort_members & visitors.get((start, artist), set())),
        }
        for start in starts
        for (cohort, artist), cohort_members in members.items()
        if cohort <= start
    ]


def retention(sessions: Sequence[Row], period: str) -> list[Row]:
    visitors = visitors_by_period(sessions, period)
    by_artist = grouped(
        [row for row in bases(sessions, period) if row["we_art_id"] is not None],
        lambda row: (row["key_date"], row["we_art_id"]),
    )
    result = []
    for (start, artist), rows in by_artist.items():
        following = next_start(start, period)
        for kind in ("membership", "member", "visitor"):
            of_kind = {row["we_member_id"] for row in rows if row["user_type"] == kind}
            back = len(of_kind & visitors.get((following, artist), set()))
            result.append(
                {
                    **dated(following),
                    "we_art_id": artist,
                    "user_type": kind,
                    "visitors": len(of_kind),
                    "back": back,
                    "rate": back / len(of_kind) if of_kind else None,
                }
            )
    return result


def artist_members(sessions: Sequence[Row]) -> list[Row]:
    visits = [row for row in sessions if row["art_indi_id"] is not None and row["comm_id"] is not None]
    key = lambda row: (start_of(row["key_date"], "week"), row["comm_id"], row["art_indi_id"])  # noqa: E731
    return [
        {
            **dated(start),
            "comm_id": comm,
            "art_indi_id": member,
            **_renamed(counts(rows)),
        }
        for (start, comm, member), rows in grouped(visits, key).items()
    ]


def artists_of_members(sessions: Sequence[Row]) -> list[Row]:
    visits = [row for row in sessions if row["art_indi_type"] == "ARTIST" and row["we_art_id"] is not None]
    key = lambda row: (start_of(row["key_date"], "week"), row["we_art_id"])  # noqa: E731
    return [
        {
            **dated(start),
            "we_art_id": artist,
            "art_indi_cnt": len({row["art_indi_id"].partition("-")[2] for row in rows}),
            **_renamed(counts(rows)),
        }
        for (start, artist), rows in grouped(visits, key).items()
    ]


def _renamed(counted: Row) -> Row:
    return {"active_day_cnt" if name == "visit_day_cnt" else name: value for name, value in counted.items()}
