"""Runs the simulated platform day by day; writes landing files to one folder and the truth to another."""

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
from wemart_assets.simulator.messages import DM_MESSAGE, Messages, messages_of_day
from wemart_assets.simulator.oddities import LogOddities, Record, deliver_facts, deliver_snapshot
from wemart_assets.simulator.platform import BEFORE, Platform, build_platform
from wemart_assets.simulator.profiles import Profiles
from wemart_assets.simulator.requests import log_lines
from wemart_assets.simulator.services import SERVICE_FACTS, ServiceFacts, service_facts
from wemart_assets.simulator.snapshots import SNAPSHOTS
from wemart_assets.simulator.truth import Truth
from wemart_assets.simulator.visits import Visits, visits_of_day

# A chunk's text takes about 150 MB. As many chunks as there are workers are in memory at a time.
CHUNK_LINES = 250_000
WORKERS = 2

FACTS = (PROFILE, STATUS, DM_MESSAGE, *SHARES, *SERVICE_FACTS)
FULL_DELIVERY = "full.parquet"


@dataclass(frozen=True)
class Summary:
    """What was written: the landing files, their rows by source, and the number of sessions in the truth."""

    files: tuple[Path, ...]
    rows: dict[str, int]
    sessions: int
    user_sessions: int


def simulate(
    config: SimulatorConfig, landing: Path, truth: Path, progress: Callable[[str], None] | None = None
) -> Summary:
    """Writes the landing files of `config.days` business days, and the truth about them.

    Under `landing`: `<source>/date=YYYY-MM-DD/<file>`. The date is a UTC day for the server log, and a business day for
    snapshots and other facts. The first day's folder also has all earlier profiles and status lines, with their true
    instants.

    Under `truth`:

    - `sessions.parquet`, one row per session, grain (day, device_id, sess_seq): day (business day, `YYYY-MM-DD`),
      device_id, sess_seq (from 1 within day and device), sess_start_ms, sess_end_ms (of its first and last line,
      milliseconds since the epoch), lines.
    - `user_sessions.parquet`, one row per user of a session, grain (day, device_id, sess_seq, user_id): day, device_id,
      sess_seq, user_id (the log's user id; NULL if nobody logged in), start_ms, end_ms, lines. Anonymous lines count
      for the next user of the session, or for the previous one if there is no next.
    - `members.parquet`, one row per member of a community and day, grain (day, comm_id, wv_user_id): everyone who
      joined by the day and did not leave before it. comm_user_status (`WV_DEACTIVATED` on the day of leaving the
      service, if the user has an account; else `DEACTIVATED` on the day of leaving the community), comm_user_grade,
      cnt_comm_user_id (joins so far), comm_user_cre_ms and comm_user_end_ms (last join, and leaving by the end of the
      day), comm_user_first_ms (first join, on any product), tot_comm_user_first_ms (the user's first join of any
      community), is_fc, fc_id, ip_ctry, is_profile_private.
    - `direct_messages.parquet`, one row per channel and day, grain (day, comm_id, dm_id): subscribers (users with a
      subscription that runs on the day, according to the day's delivery), new_subscribers and ended_subscribers (since
      the day before; on the first day, everyone is new), fans (users who wrote) and their messages. Channels with none
      of these have no row.
    - `service_visits.parquet`, one row per account and service visited on a day, grain (day, service, we_member_id):
      day, service (`shop`, `phoning`, `album`), we_member_id (visits without an account are left out), visits.
    - `counts.json`: `config`; `days`, the counts of each business day; `rows` by source and date folder; and the flaws:
      `broken`, `exact_duplicates`, `skipped`, `before_first_day`, `late` (see `Record`).

    Visits that go on when the last day ends are cut off there.

    Raises:
        FileExistsError: the landing folder already contains files of one of these sources.
    """
    platform = build_platform(config)
    files = Landing(landing, [SERVER_LOG, *SNAPSHOTS, *COMMUNITY_SNAPSHOTS, *FACTS])
    truth_files = Truth(truth, platform)
    record = Record()
    days = _write_days(config, platform, files, truth_files, record, progress)
    rows = {source: dict(sorted(by_date.items())) for source, by_date in files.rows.items()}
    settings = {**asdict(config), "first_day": config.first_day.isoformat()}
    truth_files.close({"config": settings, "days": days, "rows": rows, **asdict(record)})
    return Summary(
        files=tuple(files.files),
        rows={source: sum(by_date.values()) for source, by_date in rows.items()},
        sessions=sum(counts["sessions"] for counts in days.values()),
        user_sessions=sum(counts["user_sessions"] for counts in days.values()),
    )


def _write_days(
    config: SimulatorConfig,
    platform: Platform,
    files: Landing,
    truth_files: Truth,
    record: Record,
    progress: Callable[[str], None] | None,
) -> dict[str, dict[str, int]]:
    """Writes the files and the truth of all business days; returns the counts of each day by its date."""
    histories = Histories(config, platform)
    profiles = Profiles(config, platform, histories)
    log = ServerLog(files)
    carried = Visits.none()
    days: dict[str, dict[str, int]] = {}
    for day in range(config.days):
        date = platform.days.name(day)
        visits, carried = visits_of_day(config, platform, day, carried)
        counts = truth_files.add_day(day, visits)
        counts["lines_with_broken_json"] = _write_log(config, platform, log, record, day, visits)
        log.close_before(platform.days.end(day))
        _deliver_snapshots(config, platform, histories, files, record, day)
        messages, services = messages_of_day(config, platform, histories, day), service_facts(config, platform, day)
        _deliver_facts(config, platform, histories, profiles, messages, services, files, record, day)
        counts |= truth_files.add_members(day, histories, profiles.is_private)
        counts |= truth_files.add_messages(day, histories, messages)
        counts |= truth_files.add_services(day, services)
        days[date] = counts
        if progress:
            progress(f"{date}: {counts['lines']:,} lines, {counts['sessions']:,} sessions")
    log.close()
    return days


def _deliver_snapshots(
    config: SimulatorConfig, platform: Platform, histories: Histories, files: Landing, record: Record, day: int
) -> None:
    date = platform.days.name(day)
    for source, snapshot in SNAPSHOTS.items():
        deliver_snapshot(config, files, source, date, day, snapshot(platform, day), record)
    for source, community_snapshot in COMMUNITY_SNAPSHOTS.items():
        if day == 0 or source not in DELIVERED_ONCE:
            deliver_snapshot(config, files, source, date, day, community_snapshot(platform, histories, day), record)


def _deliver_facts(
    config: SimulatorConfig,
    platform: Platform,
    histories: Histories,
    profiles: Profiles,
    messages: Messages,
    services: ServiceFacts,
    files: Landing,
    record: Record,
    day: int,
) -> None:
    """Writes the facts of a business day other than the server log; on the first day, the history before it as well."""
    if day == 0:
        date = platform.days.name(day)
        files.write(PROFILE, date, FULL_DELIVERY, profiles.history())
        files.write(STATUS, date, FULL_DELIVERY, status_lines(platform, BEFORE))
    facts = {
        PROFILE: profiles.changes(day),
        STATUS: status_lines(platform, day),
        DM_MESSAGE: messages.deliver(platform),
    }
    facts |= acts_of_day(config, platform, histories, day) | services.tables
    for source, table in facts.items():
        deliver_facts(config, files, source, platform.days, day, table, record)


def _write_log(
    config: SimulatorConfig, platform: Platform, log: ServerLog, record: Record, day: int, visits: Visits
) -> int:
    """Writes the lines of a business day in time order; returns how many of them have broken JSON."""
    order = np.argsort(visits.at, kind="stable")
    at = visits.at[order]
    oddities = LogOddities(config, platform.days, day, at, record) if config.oddities else None
    chunks = list(_chunks(at))

    def lines_of(chunk: int) -> tuple[pa.Table, int]:
        return log_lines(config, platform, visits, day, chunk, order[chunks[chunk]])

    broken_json = 0
    for chunk, (table, broken_in_chunk) in enumerate(_in_order(lines_of, len(chunks))):
        broken_json += broken_in_chunk
        if oddities and chunk == 0:
            oddities.add_unusable(log, table)
        daily = oddities.set_aside(chunks[chunk], table) if oddities else table
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
    """Yields `make(0)`, `make(1)`, ..., made in parallel, at most `WORKERS` ahead of the reader."""
    with ThreadPoolExecutor(WORKERS) as pool:
        waiting = [pool.submit(make, number) for number in range(min(WORKERS, count))]
        for number in range(count):
            yield waiting.pop(0).result()
            if number + WORKERS < count:
                waiting.append(pool.submit(make, number + WORKERS))
