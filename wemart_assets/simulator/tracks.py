"""Visitors of a site as RudderStack tracks them: who comes with which browser, when they log in, and what they do.

A browser is anonymous until somebody logs in with it; some people have two, some browsers serve two people. Visits go
over midnight, and some events are delivered twice, or with a time that cannot be. Apart from the files there is the
truth: the sessions of each visitor, where a track without a user belongs to the last who logged in with its browser
by the end of the track's day.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from wemart_assets.simulator.business_days import UTC_DAY_MS, BusinessDays, utc_day_name
from wemart_assets.simulator.columns import (
    Bools,
    Ints,
    Stream,
    cumulative,
    fixed_width_text,
    hexadecimal,
    instants,
    pick,
    positions_in_groups,
    random_stream,
    starts_of_runs,
    take,
)
from wemart_assets.simulator.landing import Landing

TRACKS = "rudder.tracks"
GAP_MS = 1_800_000
TRACKS_A_VISIT = 4
EVENTS = ("page_view", "view_product", "add_to_cart", "search", "signup", None)
EVENT_SHARES = cumulative([55, 25, 10, 8, 1, 1])
# Visits begin in the evening rather than at night; the last hour reaches over midnight.
HOUR_SHARES = cumulative([2, 1, 1, 1, 1, 1, 2, 3, 4, 4, 4, 4, 5, 5, 4, 4, 5, 6, 7, 8, 9, 9, 7, 5])
# Browsers are those of the platform's first users, so their ids are the platform's.
FIRST_USER, USER_STEP = 95_003, 7
WITH_ACCOUNT, SECOND_BROWSER, SHARED_BROWSER = 0.6, 0.3, 0.1
# Shares of tracks with a flaw; none is so frequent that its day would not be published.
COPIED, RECEIVED_AGAIN, REPEATED, OF_NOBODY = 0.002, 0.001, 0.001, 0.0005


@dataclass(frozen=True)
class TracksConfig:
    """What to make. Equal configurations make equal data.

    About `tracks` events of `visitors` people over `days` business days from `first_day` on.
    """

    seed: int = 7
    first_day: date = date(2024, 1, 1)
    days: int = 7
    timezone: str = "Asia/Seoul"
    tracks: int = 3_000
    visitors: int = 300
    oddities: bool = True

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed must not be negative: {self.seed}")
        for name, value in (("days", self.days), ("visitors", self.visitors), ("tracks", self.tracks)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1: {value}")


def simulate_tracks(
    config: TracksConfig, landing: Path, truth: Path, progress: Callable[[str], None] | None = None
) -> list[Path]:
    """Writes `<landing>/rudder.tracks/date=<UTC day of receipt>/tracks.parquet`; the files.

    Under `truth`:

    - `rudder_sessions.parquet`, one row a session of a visitor: visitor, number (from 1), start_ms, end_ms, tracks.
    - `rudder.json`: `config`; `days`, by business day: tracks (that count), visitors, sessions that start; and what is
      odd: `copied` rows, rows `received_again` (with their id, later), `repeated` tracks (an id of an earlier day),
      tracks `of_nobody`, and those `ahead` of the time at which they were received.

    Raises FileExistsError if the landing folder holds files of this source already.
    """
    files = Landing(landing, [TRACKS])
    happened = _happened(config)
    days = BusinessDays.starting(config.first_day, config.days, config.timezone)
    odd = _write(config, files, happened, days)
    truth.mkdir(parents=True, exist_ok=True)
    by_day = _write_truth(happened, days, truth / "rudder_sessions.parquet")
    said = {"config": {**asdict(config), "first_day": config.first_day.isoformat()}, "days": by_day, **odd}
    (truth / "rudder.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    if progress:
        progress(f"{len(happened.at):,} tracks of {config.visitors:,} visitors")
    return files.files


@dataclass(frozen=True)
class _Tracks:
    """Tracks that count, one a position, in order of time: `user` is negative where nobody is logged in, `day` is a
    number of a business day, `visitor` a browser's number or, behind all of them, a user's."""

    at: Ints
    day: Ints
    browser: Ints
    user: Ints
    visitor: Ints
    event: Ints
    ids: pa.Array
    browser_ids: pa.Array
    user_ids: pa.Array


def _happened(config: TracksConfig) -> _Tracks:
    draw = random_stream(config.seed, Stream.TRACKED_PEOPLE)
    people = config.visitors
    browsers_of = 1 + (draw.random(people) < SECOND_BROWSER)
    first_browser = np.cumsum(browsers_of) - browsers_of
    shares = draw.random(people) < SHARED_BROWSER
    # Who shares a browser uses that of the one before as well.
    first_browser = np.where(shares, np.roll(first_browser, 1), first_browser)
    has_account = shares | (draw.random(people) < WITH_ACCOUNT)
    days = BusinessDays.starting(config.first_day, config.days, config.timezone)
    begin, end = days.start(0), days.end(config.days - 1)
    browsers = int(browsers_of.sum())
    logs_in_at = begin + (draw.random(people) ** 2 * (end - begin)).astype(np.int64)

    draw = random_stream(config.seed, Stream.TRACKED_VISITS)
    visits = max(config.tracks // TRACKS_A_VISIT, 1)
    # Everybody comes once; who came lately comes more often.
    person = np.concatenate([np.arange(min(people, visits)), draw.integers(0, people, max(visits - people, 0))])
    browser = first_browser[person] + draw.integers(0, browsers_of[person])
    day = draw.integers(0, config.days, visits)
    second = pick(HOUR_SHARES, draw.random(visits)) * 3_600 + draw.integers(0, 3_600, visits)
    start = days.midnights[day] + second * 1000 + draw.integers(0, 1000, visits)
    lengths = draw.geometric(1 / TRACKS_A_VISIT, visits)
    of_visit = np.repeat(np.arange(visits), lengths)

    draw = random_stream(config.seed, Stream.TRACKS)
    waits = (draw.exponential(120_000, len(of_visit)) + 1).astype(np.int64).clip(max=GAP_MS)
    waits[positions_in_groups(lengths) == 0] = 0
    # Two events of one page happen at one instant.
    waits[draw.random(len(waits)) < 0.02] = 0
    passed = np.cumsum(waits)
    at = start[of_visit] + passed - np.repeat(passed[np.cumsum(lengths) - lengths], lengths)
    there = at < end
    at, of_visit = at[there], of_visit[there]
    who = person[of_visit]
    user = np.where(has_account[who] & (at >= logs_in_at[who]), who, -1)
    order = np.argsort(at, kind="stable")
    at, user, device = at[order], user[order], browser[of_visit][order]
    of_day = np.searchsorted(days.midnights, at, side="right") - 1
    ids = _uuids(draw, len(at))
    return _Tracks(
        at=at,
        day=of_day,
        browser=device,
        user=user,
        visitor=np.where(user >= 0, browsers + user, _last_users(at, of_day, device, user, ids, browsers)),
        event=pick(EVENT_SHARES, draw.random(len(at))),
        ids=ids,
        browser_ids=_uuids(draw, browsers),
        user_ids=pa.array(FIRST_USER + USER_STEP * np.arange(people)).cast(pa.string()),
    )


def _last_users(at: Ints, day: Ints, browser: Ints, user: Ints, ids: pa.Array, browsers: int) -> Ints:
    """For each track the last who logged in with its browser by the end of its day, as a visitor; else the browser."""
    known = np.flatnonzero(user >= 0)
    # At one instant the greatest id is last.
    rank = np.argsort(np.argsort(ids.to_numpy(zero_copy_only=False).astype("U")[known], kind="stable"))
    known = known[np.lexsort((rank, at[known], browser[known]))]
    days = int(day.max(initial=0)) + 1
    found = np.searchsorted(browser[known] * days + day[known], browser * days + day, side="right") - 1
    last = known[found.clip(min=0)] if len(known) else np.zeros(len(at), dtype=np.int64)
    is_known = (found >= 0) & (browser[last] == browser) if len(known) else np.zeros(len(at), dtype=np.bool_)
    return np.where(is_known, browsers + user[last], browser)


def _write(config: TracksConfig, files: Landing, happened: _Tracks, days: BusinessDays) -> dict[str, int]:
    """Writes what RudderStack delivers; how much of it is odd."""
    draw = random_stream(config.seed, Stream.TRACK_DELIVERY)
    count = len(happened.at)
    delay = draw.integers(50, 5_000, count)
    # Who was offline sends what happened later.
    delay = np.where(draw.random(count) < 0.005, draw.integers(60_000, 4 * 3_600_000, count), delay)
    rows = _rows(happened, np.arange(count), happened.at + delay)
    if not config.oddities:
        _deliver(files, rows)
        return {}
    more = [rows.take(_some(count, COPIED)), _later(rows.take(_some(count, RECEIVED_AGAIN)), "received_at", 60_000)]
    # The same id on the next day: it counts for the day on which it was first.
    before_last_day = int((happened.day < config.days - 1).sum())
    next_day = _later(rows.take(_some(before_last_day, REPEATED)), "timestamp", UTC_DAY_MS)
    more.append(_later(next_day, "received_at", UTC_DAY_MS))
    nobody = rows.take(_some(count, OF_NOBODY))
    nobody = _with(nobody, anonymous_id=pa.nulls(len(nobody), pa.string()), user_id=pa.nulls(len(nobody), pa.string()))
    more.append(_with(nobody, id=_uuids(draw, len(nobody))))
    # A clock that is years ahead.
    ahead = _later(rows.slice(0, 1), "timestamp", 7 * 365 * UTC_DAY_MS)
    more.append(_with(ahead, id=_uuids(draw, 1)))
    _deliver(files, pa.concat_tables([rows, *more]))
    names = ("copied", "received_again", "repeated", "of_nobody", "ahead")
    return {name: len(table) for name, table in zip(names, more, strict=True)}


def _some(count: int, share: float) -> pa.Array:
    """Positions of a share of the tracks, two at least, over all days: never so many of one day that it fails."""
    number = min(max(int(count * share), 2), count)
    return pa.array(np.linspace(0, count, number, endpoint=False).astype(np.int64))


def _rows(happened: _Tracks, chosen: Ints, received: Ints) -> pa.Table:
    return pa.table(
        {
            "id": happened.ids.take(pa.array(chosen)),
            "anonymous_id": take(happened.browser_ids, happened.browser[chosen]),
            "user_id": take(happened.user_ids, happened.user[chosen]),
            "event": pa.array(EVENTS).take(pa.array(happened.event[chosen])),
            "timestamp": instants(happened.at[chosen]),
            "received_at": instants(received),
            # What a warehouse has besides, and nobody reads here.
            "context_library_name": pa.array(["analytics.js"] * len(chosen)),
        }
    )


def _with(rows: pa.Table, **columns: pa.Array) -> pa.Table:
    for name, values in columns.items():
        rows = rows.set_column(rows.column_names.index(name), name, values)
    return rows


def _later(rows: pa.Table, name: str, milliseconds: int) -> pa.Table:
    kind = rows.schema.field(name).type
    moved = pa.array(rows[name].cast(pa.int64()).to_numpy() + milliseconds * 1000).cast(kind)
    return _with(rows, **{name: moved})


def _deliver(files: Landing, rows: pa.Table) -> None:
    """One file for each UTC day on which RudderStack received something."""
    received = rows["received_at"].cast(pa.int64()).to_numpy() // 1000 // UTC_DAY_MS
    order = np.argsort(received, kind="stable")
    starts = starts_of_runs(received[order])
    for first, last in zip(starts, [*starts[1:], len(order)], strict=True):
        of_day = rows.take(pa.array(order[first:last]))
        files.write(TRACKS, utc_day_name(int(received[order[first]])), "tracks.parquet", of_day)


def _write_truth(happened: _Tracks, days: BusinessDays, path: Path) -> dict[str, dict[str, Any]]:
    order = np.lexsort((happened.at, happened.visitor))
    at, visitor, day = happened.at[order], happened.visitor[order], happened.day[order]
    other: Bools = np.diff(visitor, prepend=-1) != 0
    begins = other | (np.diff(at, prepend=0) > GAP_MS)
    starts = np.flatnonzero(begins)
    ends = np.append(starts[1:], len(at))
    first_of_visitor = np.maximum.accumulate(np.where(other[starts], np.arange(len(starts)), 0))
    names = pa.concat_arrays([happened.browser_ids, happened.user_ids])
    sessions = pa.table(
        {
            "visitor": names.take(pa.array(visitor[starts])),
            "number": np.arange(len(starts)) - first_of_visitor + 1,
            "start_ms": at[starts],
            "end_ms": at[ends - 1],
            "tracks": ends - starts,
        }
    )
    pq.write_table(sessions, path)
    return {
        days.name(d): {
            "tracks": int((day == d).sum()),
            "visitors": len(np.unique(visitor[day == d])),
            "sessions": int((day[starts] == d).sum()),
        }
        for d in range(len(days.dates))
    }


def _uuids(draw: np.random.Generator, count: int) -> pa.Array:
    """Random ids as RudderStack writes them."""
    digits = hexadecimal(draw.integers(0, 2**63, (count, 2)).astype(np.uint64))
    dash = np.full((count, 1), ord("-"), dtype=np.uint8)
    return fixed_width_text(
        np.hstack(
            [digits[:, :8], dash, digits[:, 8:12], dash, digits[:, 12:16], dash, digits[:, 16:20], dash, digits[:, 20:]]
        )
    )
