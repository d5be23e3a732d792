"""Runs the made-up platform day by day: landing files to one folder, the truth to another."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa

from wemart_assets.simulator.acts import SHARES, acts_of_day
from wemart_assets.simulator.business_days import UTC_DAY_MS, utc_day
from wemart_assets.simulator.columns import Ints
from wemart_assets.simulator.community import COMMUNITY_SNAPSHOTS, DELIVERED_ONCE, PROFILE, STATUS, status_lines
from wemart_assets.simulator.config import SimulatorConfig
from wemart_assets.simulator.histories import Histories
from wemart_assets.simulator.landing import SERVER_LOG, Landing, ServerLog
from wemart_assets.simulator.oddities import LogOddities, Record, deliver_facts, deliver_snapshot
from wemart_assets.simulator.platform import BEFORE, Platform, build_platform
from wemart_assets.simulator.profiles import Profiles
from wemart_assets.simulator.requests import log_lines
from wemart_assets.simulator.snapshots import SNAPSHOTS
from wemart_assets.simulator.truth import Truth
from wemart_assets.simulator.visits import Visits, visits_of_day

# A chunk's text takes some 150 MB; as many chunks as there are workers are in memory at a time.
CHUNK_LINES = 250_000
WORKERS = 2

COMMUNITY_FACTS = (PROFILE, STATUS, *SHARES)
FULL_DELIVERY = "full.parquet"


@dataclass(frozen=True)
class Summary:
    """What was written: the landing files, the rows in them by source, and the sessions in the truth."""

    files: tuple[Path, ...]
    rows: dict[str, int]
    sessions: int
    user_sessions: int


def simulate(
    config: SimulatorConfig, landing: Path, truth: Path, progress: Callable[[str], None] | None = None
) -> Summary:
    """Writes the landing files of `config.days` business days, and the truth about them.

    Under `landing`: `<source>/date=YYYY-MM-DD/<file>`, a server log by UTC day; snapshots and other facts by business
    day. Profiles and status lines of all the time before lie in the first day's folder, with their true instants.

    Under `truth`:

    - `sessions.parquet`, one row a session, grain (day, device_id, sess_seq): day (business day, `YYYY-MM-DD`),
      device_id, sess_seq (from 1 within day and device), sess_start_ms, sess_end_ms (first and last line, milliseconds
      since the epoch), lines.
    - `user_sessions.parquet`, one row a user of a session, grain (day, device_id, sess_seq, user_id): day, device_id,
      sess_seq, user_id (the log's user id; NULL where nobody logged in), start_ms, end_ms, lines. Lines of nobody count
      for the user who comes next in the session, else for the one before.
    - `members.parquet`, one row a member of a community on a day, grain (day, comm_id, wv_user_id): who joined on the
      day or before and did not leave before it. comm_user_status (`WV_DEACTIVATED` on the day of leaving the service,
      if that is known, else `DEACTIVATED` on the day of leaving the community), comm_user_grade, cnt_comm_user_id
      (joins so far), comm_user_cre_ms and comm_user_end_ms (last join, and leaving by the end of the day),
      comm_user_first_ms (first join, on former products too), tot_comm_user_first_ms (the user's first anywhere),
      is_fc, fc_id, ip_ctry, is_profile_private.
    - `counts.json`: `config`; `days`, counts of each business day; `rows` by source and date folder; and what is odd:
      `broken`, `exact_duplicates`, `skipped`, `before_first_day`, `late`.

    Visits still going on when the last day ends are cut off there. Raises FileExistsError if the landing folder holds
    files of these sources already.
    """
    platform = build_platform(config)
    histories = Histories(config, platform)
    profiles = Profiles(config, platform, histories)
    files = Landing(landing, [SERVER_LOG, *SNAPSHOTS, *COMMUNITY_SNAPSHOTS, *COMMUNITY_FACTS])
    true = Truth(truth, platform)
    log = ServerLog(files)
    record = Record()
    days: dict[str, dict[str, int]] = {}
    carried = Visits.none()

    for day in range(config.days):
        date = platform.days.name(day)
        visits, carried = visits_of_day(config, platform, day, carried)
        counts = true.add_day(day, visits)
        counts["lines_with_broken_json"] = _write_log(config, platform, log, record, day, visits)
        log.close_before(platform.days.end(day))
        for source, snapshot in SNAPSHOTS.items():
            deliver_snapshot(config, files, source, date, day, snapshot(platform, day), record)
        for source, of_community in COMMUNITY_SNAPSHOTS.items():
            if day == 0 or source not in DELIVERED_ONCE:
                deliver_snapshot(config, files, source, date, day, of_community(platform, histories, day), record)
        if day == 0:
            files.write(PROFILE, date, FULL_DELIVERY, profiles.history())
            files.write(STATUS, date, FULL_DELIVERY, status_lines(platform, BEFORE))
        facts = {PROFILE: profiles.changes(day), STATUS: status_lines(platform, day)}
        for source, table in {**facts, **acts_of_day(config, platform, histories, day)}.items():
            deliver_facts(config, files, source, platform.days, day, table, record)
        counts |= true.add_members(day, histories, profiles.is_private)
        days[date] = counts
        if progress:
            progress(f"{date}: {counts['lines']:,} lines, {counts['sessions']:,} sessions")

    log.close()
    rows = {source: dict(sorted(by_date.items())) for source, by_date in files.rows.items()}
    settings = {**asdict(config), "first_day": config.first_day.isoformat()}
    true.close({"config": settings, "days": days, "rows": rows, **asdict(record)})
    return Summary(
        files=tuple(files.files),
        rows={source: sum(by_date.values()) for source, by_date in rows.items()},
        sessions=sum(counts["sessions"] for counts in days.values()),
        user_sessions=sum(counts["user_sessions"] for counts in days.values()),
    )


def _write_log(
    config: SimulatorConfig, platform: Platform, log: ServerLog, record: Record, day: int, visits: Visits
) -> int:
    """Writes the lines of a business day in order of time; returns how many of them have broken JSON."""
    order = np.argsort(visits.at, kind="stable")
    at = visits.at[order]
    oddities = LogOddities(config, platform.days, day, at, record) if config.oddities else None
    chunks = list(_chunks(at))

    def lines_of(chunk: int) -> tuple[pa.Table, int]:
        return log_lines(config, platform, visits, day, chunk, order[chunks[chunk]])

    broken_json = 0
    for chunk, (table, broken) in enumerate(_in_order(lines_of, len(chunks))):
        broken_json += broken
        if oddities and chunk == 0:
            oddities.add_unusable(log, table)
        daily = oddities.keep_aside(chunks[chunk], table) if oddities else table
        log.write(utc_day(int(at[chunks[chunk].start])), daily)
    if oddities:
        oddities.deliver(log.landing)
    return broken_json


def _chunks(at: Ints) -> Iterator[slice]:
    """Slices of lines in time order, each within one UTC day."""
    borders = np.arange(at[0] // UTC_DAY_MS + 1, at[-1] // UTC_DAY_MS + 1) * UTC_DAY_MS
    edges = [0, *np.searchsorted(at, borders).tolist(), len(at)]
    for first, last in pairwise(edges):
        for start in range(first, last, CHUNK_LINES):
            yield slice(start, min(start + CHUNK_LINES, last))


def _in_order(make: Callable[[int], tuple[pa.Table, int]], count: int) -> Iterator[tuple[pa.Table, int]]:
    """`make(0)`, `make(1)`, ...: made beside each other, but never more than a few ahead of their use."""
    with ThreadPoolExecutor(WORKERS) as pool:
        waiting = [pool.submit(make, number) for number in range(min(WORKERS, count))]
        for number in range(count):
            yield waiting.pop(0).result()
            if number + WORKERS < count:
                waiting.append(pool.submit(make, number + WORKERS))
