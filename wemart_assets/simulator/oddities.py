"""Deliberate flaws, as in real deliveries, and a record of each for the truth.

| flaw | where |
|---|---|
| lines in a CSV and in a compressed JSON-lines file | second day |
| lines of the first day that arrive late, in the folder of a later date | three days later |
| lines without an instant | second day |
| lines from before the first day | first day |
| status lines and profiles of the first day that arrive late, in the folder of a later date | three days later |
| snapshots as compressed CSV and as JSON lines | artists, special members; notices, reports |
| a skipped delivery, so that the previous one stays valid | notices and reports, third day |
| an id of more than 32 bits | accounts and countries, first day |
| a row with the key of another row, but other values | posts and push switches, second day |
| rows that occur twice | migrated members, status lines: second day |

If there are fewer days, the last day takes the place of a later one. Unusable rows are so few that they stay below
0.5 % of their delivery.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from wemart_assets.simulator.business_days import UTC_DAY_MS, BusinessDays, utc_day, utc_day_name
from wemart_assets.simulator.columns import Ints
from wemart_assets.simulator.community import PROFILE, STATUS
from wemart_assets.simulator.config import SimulatorConfig
from wemart_assets.simulator.landing import SERVER_LOG, Landing, ServerLog
from wemart_assets.simulator.requests import LOG_SCHEMA

CSV_LINES, JSON_LINES, LATE_LINES = "partner.csv", "retry.jsonl.gz", "late.parquet"
SMALL_FILES = (CSV_LINES, JSON_LINES, LATE_LINES)
LATE_BY_DAYS = 3
SMALL_FILE_LINES = 300

FORMATS = {
    "we_mart.we_artist": "artists.csv.gz",
    "weverse2.community_content_common_notice": "notices.jsonl",
    "weverse2.community_member_special_member": "special.csv.gz",
    "weverse2.community_common_report": "reports.jsonl",
}
SKIPPED = ("weverse2.community_content_common_notice", "weverse2.community_common_report")
OVER_32_BITS = 3_000_000_000
# By source, the column with the wide id, and the other values of the row.
WIDE_IDS: dict[str, tuple[str, dict[str, Any]]] = {
    "we_mart.we_user": ("we_member_id", {"wv_status": "NORMAL"}),
    "we_mart.wv_user_ctry_history": ("wv_user_id", {"seq": 1}),
}
# By source, the values in which the second row differs. By all columns it sorts after the true row, which is kept.
SAME_KEYS: dict[str, dict[str, Any]] = {
    "weverse2.community_content_post": {"community_id": 999_999},
    "weverse2.notification_push_config": {"value": "unknown"},
}
REPEATING = ("weverse2.community_log_v_member_migration", STATUS)
REPEATED_ROWS = 3

LATE_FACTS = (STATUS, PROFILE)
LATE_FACTS_ROWS = 20
IN_DAILY_FILE = -1


@dataclass(frozen=True)
class Flaw:
    """Some rows in one date folder of a source, and what is wrong with them."""

    source: str
    folder: str
    reason: str
    rows: int


@dataclass
class Record:
    """All flaws of a simulation.

    `broken`: rows that break the contract. `exact_duplicates`: rows that count once. `skipped`: deliveries that do not
    exist (0 rows). `before_first_day`: lines from before the first business day. `late`: valid rows in the folder of a
    later date.
    """

    broken: list[Flaw] = field(default_factory=list)
    exact_duplicates: list[Flaw] = field(default_factory=list)
    skipped: list[Flaw] = field(default_factory=list)
    before_first_day: list[Flaw] = field(default_factory=list)
    late: list[Flaw] = field(default_factory=list)


class LogOddities:
    """Flaws of the server log on one business day."""

    def __init__(self, config: SimulatorConfig, days: BusinessDays, day: int, at: Ints, record: Record) -> None:
        self.days, self.day, self.record = days, day, record
        self.is_second = day == min(1, config.days - 1)
        self.few = 1 if config.lines_per_day < 2_000 else 3
        self.noon = utc_day((days.start(day) + days.end(day)) // 2)
        self.parts: dict[str, list[pa.Table]] = {}
        self.file_of_line = np.full(len(at), IN_DAILY_FILE, dtype=np.int8)
        eligible = np.flatnonzero(at // UTC_DAY_MS == self.noon)
        step = max(len(eligible) // SMALL_FILE_LINES, len(SMALL_FILES) + 1)
        names = [CSV_LINES, JSON_LINES] * self.is_second + [LATE_LINES] * (day == 0)
        for name in names:
            number = SMALL_FILES.index(name)
            self.file_of_line[eligible[number::step]] = number

    def set_aside(self, lines: slice, table: pa.Table) -> pa.Table:
        """Returns the lines for the daily file; keeps the others for `deliver`."""
        file = self.file_of_line[lines]
        if (file == IN_DAILY_FILE).all():
            return table
        for number, name in enumerate(SMALL_FILES):
            part = table.filter(pa.array(file == number))
            self.parts.setdefault(name, []).append(part.cast(LOG_SCHEMA))
        return table.filter(pa.array(file == IN_DAILY_FILE))

    def deliver(self, landing: Landing) -> None:
        for name, parts in self.parts.items():
            lines = pa.concat_tables(parts)
            if not len(lines):
                continue
            folder = utc_day_name(self.noon + (LATE_BY_DAYS if name == LATE_LINES else 0))
            landing.write(SERVER_LOG, folder, name, lines)
            if name == LATE_LINES:
                self.record.late.append(Flaw(SERVER_LOG, folder, f"lines of {self.days.name(self.day)}", len(lines)))

    def add_unusable(self, log: ServerLog, table: pa.Table) -> None:
        """Adds copies of a few lines of the table, without an instant or from before the first day."""
        few = table.slice(0, self.few)
        if self.is_second:
            log.write(self.noon, few.set_column(0, "unix_log_timestamp", pa.nulls(len(few), pa.int64())))
            folder = utc_day_name(self.noon)
            self.record.broken.append(Flaw(SERVER_LOG, folder, "unix_log_timestamp is NULL", len(few)))
        if self.day == 0:
            for row, earlier_by in zip(range(len(few)), (1, 60_000, 3_600_000), strict=False):
                instant = self.days.start(0) - earlier_by
                line = few.slice(row, 1).set_column(0, "unix_log_timestamp", pa.array([instant]))
                log.write(utc_day(instant), line)
                folder = utc_day_name(utc_day(instant))
                self.record.before_first_day.append(Flaw(SERVER_LOG, folder, "before the first day", 1))


def deliver_snapshot(
    config: SimulatorConfig, landing: Landing, source: str, date: str, day: int, table: pa.Table, record: Record
) -> None:
    """Writes one delivery of a snapshot, with its flaws if the configuration has `oddities`."""
    name = "snapshot.parquet"
    if config.oddities:
        name = FORMATS.get(source, name)
        second = min(1, config.days - 1)
        if source in SKIPPED and config.days > 1 and day == min(2, config.days - 1):
            record.skipped.append(Flaw(source, date, "not delivered", 0))
            return
        if source in WIDE_IDS and day == 0:
            column, other_values = WIDE_IDS[source]
            wide = {column: OVER_32_BITS, **other_values}
            table = pa.concat_tables([table, pa.Table.from_pylist([wide], table.schema)])
            record.broken.append(Flaw(source, date, f"{column} is over 32 bits", 1))
        if source in SAME_KEYS and day == second:
            same_key = {**table.slice(0, 1).to_pylist()[0], **SAME_KEYS[source]}
            table = pa.concat_tables([table, pa.Table.from_pylist([same_key], table.schema)])
            record.broken.append(Flaw(source, date, "key of another row", 1))
        table = _with_repeated_rows(config, source, date, day, table, record)
    landing.write(source, date, name, table)


def deliver_facts(
    config: SimulatorConfig,
    landing: Landing,
    source: str,
    days: BusinessDays,
    day: int,
    rows: pa.Table,
    record: Record,
) -> None:
    """Writes the facts of one business day, with their flaws if the configuration has `oddities`."""
    if config.oddities:
        if source in LATE_FACTS and day == 0:
            few = min(LATE_FACTS_ROWS, len(rows) // 2)
            folder = (days.dates[0] + timedelta(days=LATE_BY_DAYS)).isoformat()
            if few:
                landing.write(source, folder, LATE_LINES, rows.slice(0, few))
                record.late.append(Flaw(source, folder, f"rows of {days.name(0)}", few))
            rows = rows.slice(few)
        rows = _with_repeated_rows(config, source, days.name(day), day, rows, record)
    landing.write(source, days.name(day), "facts.parquet", rows)


def _with_repeated_rows(
    config: SimulatorConfig, source: str, date: str, day: int, table: pa.Table, record: Record
) -> pa.Table:
    if source not in REPEATING or day != min(1, config.days - 1) or len(table) < REPEATED_ROWS:
        return table
    record.exact_duplicates.append(Flaw(source, date, "occurs twice", REPEATED_ROWS))
    return pa.concat_tables([table, table.slice(0, REPEATED_ROWS)])
