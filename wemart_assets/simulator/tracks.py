"""Visitors of a site as RudderStack tracks them: their browsers, when they log in, and what they do.

A browser is anonymous until somebody logs in with it; some people have two browsers, and some browsers have two users.
Visits cross midnight, and some events are delivered twice or with an impossible time. The truth is written apart from
the files: the sessions of each visitor, where a track without a user belongs to the last user who logged in with its
browser by the end of the track's day.
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
TRACKS_PER_VISIT = 4
EVENTS = ("page_view", "view_product", "add_to_cart", "search", "signup", None)
EVENT_SHARES = cumulative([55, 25, 10, 8, 1, 1])
# Most visits begin in the evening; those of the last hour cross midnight.
HOUR_SHARES = cumulative([2, 1, 1, 1, 1, 1, 2, 3, 4, 4, 4, 4, 5, 5, 4, 4, 5, 6, 7, 8, 9, 9, 7, 5])
# The people are the platform's first users, with the same user ids.
FIRST_USER, USER_STEP = 95_003, 7
WITH_ACCOUNT, SECOND_BROWSER, SHARED_BROWSER = 0.6, 0.3, 0.1
# Shares of tracks with a flaw, small enough for every day to be published.
COPIED, RECEIVED_AGAIN, REPEATED, OF_NOBODY = 0.002, 0.001, 0.001, 0.0005


@dataclass(frozen=True)
class TracksConfig:
    """What to simulate. Equal configurations give equal data.

    There are about `tracks` events of `visitors` people in `days` business days from `first_day` on.
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
    """Writes `<landing>/rudder.tracks/date=<UTC day of receipt>/tracks.parquet`; returns the files.

    Under `truth`:

    - `rudder_sessions.parquet`, one row per session of a visitor: visitor, number (from 1), start_ms, end_ms, tracks.
    - `rudder.json`: `config`; `days`, by business day: tracks (valid ones), visitors, sessions that start; and how many
      flaws of each kind there are: `copied` rows, rows `received_again` (later, with the same id), `repeated` tracks
      (with an id of an earlier day), tracks `of_nobody`, and tracks with a time `ahead` of their receipt.

    Raises:
        FileExistsError: the landing folder already contains files of this source.
    """
    files = Landing(landing, [TRACKS])
    tracks = _tracks(config)
    days = BusinessDays.starting(config.first_day, config.days, config.timezone)
    flaws = _write(config, files, tracks, days)
    truth.mkdir(parents=True, exist_ok=True)
    by_day = _write_truth(tracks, days, truth / "rudder_sessions.parquet")
    counts = {"config": {**asdict(config), "first_day": config.first_day.isoformat()}, "days": by_day, **flaws}
    (truth / "rudder.json").write_text(json.dumps(counts, indent=1) + "\n", encoding="utf-8")
    if progress:
        progress(f"{len(tracks.at):,} tracks of {config.visitors:,} visitors")
    return files.files


@dataclass(frozen=True)
class _Tracks:
    """Valid tracks, one per position, in time order.

    `user` is negative if nobody is logged in, `day` is the number of the business day, and `visitor` is the number of a
    browser or, after all browsers, of a user.
    """

    at: Ints
    day: Ints
    browser: Ints
    user: Ints
    visitor: Ints
    event: Ints
    ids: pa.Array
    browser_ids: pa.Array
    user_ids: pa.Array


def _tracks(config: TracksConfig) -> _Tracks:
    draw = random_stream(config.seed, Stream.TRACKED_PEOPLE)
    people = config.visitors
    browsers_of = 1 + (draw.random(people) < SECOND_BROWSER)
    first_browser = np.cumsum(browsers_of) - browsers_of
    shares_browser = draw.random(people) < SHARED_BROWSER
    # Someone who shares a browser also uses that of the previous person.
    first_browser = np.where(shares_browser, np.roll(first_browser, 1), first_browser)
    has_account = shares_browser | (draw.random(people) < WITH_ACCOUNT)
    days = BusinessDays.starting(config.first_day, config.days, config.timezone)
    begin, end = days.start(0), days.end(config.days - 1)
    browsers = int(browsers_of.sum())
    logs_in_at = begin + (draw.random(people) ** 2 * (end - begin)).astype(np.int64)

    draw = random_stream(config.seed, Stream.TRACKED_VISITS)
    visits = max(config.tracks // TRACKS_PER_VISIT, 1)
    # Everybody comes once, if there are enough visits; the other visits are drawn at random.
    person = np.concatenate([np.arange(min(people, visits)), draw.integers(0, people, max(visits - people, 0))])
    browser = first_browser[person] + draw.integers(0, browsers_of[person])
    day = draw.integers(0, config.days, visits)
    second = pick(HOUR_SHARES, draw.random(visits)) * 3_600 + draw.integers(0, 3_600, visits)
    start = days.midnights[day] + second * 1000 + draw.integers(0, 1000, visits)
    lengths = draw.geometric(1 / TRACKS_PER_VISIT, visits)
    visit = np.repeat(np.arange(visits), lengths)

    draw = random_stream(config.seed, Stream.TRACKS)
    waits = (draw.exponential(120_000, len(visit)) + 1).astype(np.int64).clip(max=GAP_MS)
    waits[positions_in_groups(lengths) == 0] = 0
    # Some events of one page happen at the same instant.
    waits[draw.random(len(waits)) < 0.02] = 0
    passed = np.cumsum(waits)
    at = start[visit] + passed - np.repeat(passed[np.cumsum(lengths) - lengths], lengths)
    is_in_time = at < end
    at, visit = at[is_in_time], visit[is_in_time]
    person_of_track = person[visit]
    is_logged_in = has_account[person_of_track] & (at >= logs_in_at[person_of_track])
    user = np.where(is_logged_in, person_of_track, -1)
    order = np.argsort(at, kind="stable")
    at, user, browser = at[order], user[order], browser[visit][order]
    day_of_track = np.searchsorted(days.midnights, at, side="right") - 1
    ids = _uuids(draw, len(at))
    return _Tracks(
        at=at,
        day=day_of_track,
        browser=browser,
        user=user,
        visitor=np.where(user >= 0, browsers + user, _last_users(at, day_of_track, browser, user, ids, browsers)),
        event=pick(EVENT_SHARES, draw.random(len(at))),
        ids=ids,
        browser_ids=_uuids(draw, browsers),
        user_ids=pa.array(FIRST_USER + USER_STEP * np.arange(people)).cast(pa.string()),
    )


def _last_users(at: Ints, day: Ints, browser: Ints, user: Ints, ids: pa.Array, browsers: int) -> Ints:
    """The visitor of each track: the last user to log in with its browser by the end of its day, else the browser."""
    logged_in = np.flatnonzero(user >= 0)
    if not len(logged_in):
        return browser
    # At one instant, the greatest id is the last.
    rank = np.argsort(np.argsort(ids.to_numpy(zero_copy_only=False).astype("U")[logged_in], kind="stable"))
    logged_in = logged_in[np.lexsort((rank, at[logged_in], browser[logged_in]))]
    days = int(day.max(initial=0)) + 1
    place = np.searchsorted(browser[logged_in] * days + day[logged_in], browser * days + day, side="right") - 1
    last = logged_in[place.clip(min=0)]
    has_user = (place >= 0) & (browser[last] == browser)
    return np.where(has_user, browsers + user[last], browser)


def _write(config: TracksConfig, files: Landing, tracks: _Tracks, days: BusinessDays) -> dict[str, int]:
    """Writes the files that RudderStack delivers; returns the number of flaws of each kind."""
    draw = random_stream(config.seed, Stream.TRACK_DELIVERY)
    count = len(tracks.at)
    delay = draw.integers(50, 5_000, count)
    # A browser that was offline sends its tracks later.
    delay = np.where(draw.random(count) < 0.005, draw.integers(60_000, 4 * 3_600_000, count), delay)
    rows = _rows(tracks, np.arange(count), tracks.at + delay)
    if not config.oddities:
        _deliver(files, rows)
        return {}
    flawed = [rows.take(_some(count, COPIED)), _later(rows.take(_some(count, RECEIVED_AGAIN)), "received_at", 60_000)]
    # An id that comes again on the next day counts for the first day only.
    before_last_day = int((tracks.day < config.days - 1).sum())
    next_day = _later(rows.take(_some(before_last_day, REPEATED)), "timestamp", UTC_DAY_MS)
    flawed.append(_later(next_day, "received_at", UTC_DAY_MS))
    nobody = rows.take(_some(count, OF_NOBODY))
    nobody = _with(nobody, anonymous_id=pa.nulls(len(nobody), pa.string()), user_id=pa.nulls(len(nobody), pa.string()))
    flawed.append(_with(nobody, id=_uuids(draw, len(nobody))))
    # A clock that is years ahead.
    ahead = _later(rows.slice(0, 1), "timestamp", 7 * 365 * UTC_DAY_MS)
    flawed.append(_with(ahead, id=_uuids(draw, 1)))
    _deliver(files, pa.concat_tables([rows, *flawed]))
    names = ("copied", "received_again", "repeated", "of_nobody", "ahead")
    return {name: len(table) for name, table in zip(names, flawed, strict=True)}


def _some(count: int, share: float) -> pa.Array:
    """Positions of a share of the tracks, at least two, spread over all days so that no day is rejected for them."""
    number = min(max(int(count * share), 2), count)
    return pa.array(np.linspace(0, count, number, endpoint=False).astype(np.int64))


def _rows(tracks: _Tracks, chosen: Ints, received: Ints) -> pa.Table:
    return pa.table(
        {
            "id": tracks.ids.take(pa.array(chosen)),
            "anonymous_id": take(tracks.browser_ids, tracks.browser[chosen]),
            "user_id": take(tracks.user_ids, tracks.user[chosen]),
            "event": pa.array(EVENTS).take(pa.array(tracks.event[chosen])),
            "timestamp": instants(tracks.at[chosen]),
            "received_at": instants(received),
            # A column that warehouses have, and that the contract does not.
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
        rows_of_day = rows.take(pa.array(order[first:last]))
        files.write(TRACKS, utc_day_name(int(received[order[first]])), "tracks.parquet", rows_of_day)


def _write_truth(tracks: _Tracks, days: BusinessDays, path: Path) -> dict[str, dict[str, Any]]:
    order = np.lexsort((tracks.at, tracks.visitor))
    at, visitor, day = tracks.at[order], tracks.visitor[order], tracks.day[order]
    is_next_visitor: Bools = np.diff(visitor, prepend=-1) != 0
    begins = is_next_visitor | (np.diff(at, prepend=0) > GAP_MS)
    starts = np.flatnonzero(begins)
    ends = np.append(starts[1:], len(at))
    first_of_visitor = np.maximum.accumulate(np.where(is_next_visitor[starts], np.arange(len(starts)), 0))
    names = pa.concat_arrays([tracks.browser_ids, tracks.user_ids])
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
