"""The truth: the sessions that were made, kept apart from the landing files.

It comes from the visits as they were laid out, not from looking for gaps in what was written.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from wemart_assets.simulator.columns import Ints, starts_of_runs
from wemart_assets.simulator.platform import NOBODY, Platform
from wemart_assets.simulator.visits import MOST_RUNS, NO_VISIT, SESSION_GAP_MS, Visits

SESSIONS = pa.schema(
    [
        ("day", pa.string()),
        ("device_id", pa.string()),
        ("sess_seq", pa.int64()),
        ("sess_start_ms", pa.int64()),
        ("sess_end_ms", pa.int64()),
        ("lines", pa.int64()),
    ]
)
USER_SESSIONS = pa.schema(
    [
        ("day", pa.string()),
        ("device_id", pa.string()),
        ("sess_seq", pa.int64()),
        ("user_id", pa.int64()),
        ("start_ms", pa.int64()),
        ("end_ms", pa.int64()),
        ("lines", pa.int64()),
    ]
)


class Truth:
    """The files of one simulation's truth, written a business day at a time."""

    def __init__(self, folder: Path, platform: Platform) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.platform = platform
        self.sessions = pq.ParquetWriter(folder / "sessions.parquet", SESSIONS, compression="zstd")
        self.user_sessions = pq.ParquetWriter(folder / "user_sessions.parquet", USER_SESSIONS, compression="zstd")

    def add_day(self, day: int, visits: Visits) -> dict[str, int]:
        """Writes the sessions of a business day; returns how much of each there is."""
        in_session = visits.runs.visit[visits.run] != NO_VISIT
        at, run = visits.at[in_session], visits.run[in_session]
        visit = visits.runs.visit[run]

        first_line = starts_of_runs(visit)
        session_of_line = np.cumsum(np.diff(visit, prepend=NO_VISIT) != 0) - 1
        about = visits.runs.take(run[first_line])
        lines = np.diff(first_line, append=len(at))
        table = self._table(
            SESSIONS, day, about.device, about.sess_seq, at[first_line], at[first_line + lines - 1], lines
        )
        self.sessions.write_table(table)

        session, user, start, end, user_lines = _user_sessions(session_of_line, visits.runs.user[run], at)
        user_id = pa.array(self.platform.users.wv_user_id[user], mask=user == NOBODY)
        self.user_sessions.write_table(
            self._table(
                USER_SESSIONS, day, about.device[session], about.sess_seq[session], user_id, start, end, user_lines
            )
        )
        exact = (np.diff(at) == SESSION_GAP_MS) & (np.diff(visit) == 0)
        return {
            "lines": len(visits),
            "lines_in_sessions": len(at),
            "lines_without_device": len(visits) - len(at),
            "sessions": len(first_line),
            "user_sessions": len(session),
            "gaps_of_exactly_30_minutes": int(exact.sum()),
        }

    def _table(self, schema: pa.Schema, day: int, device: Ints, *columns: Ints | pa.Array) -> pa.Table:
        name = pa.repeat(self.platform.days.name(day), len(device))
        ids = self.platform.devices.id.take(pa.array(device))
        return pa.table([name, ids, *(pa.array(column) for column in columns)], schema=schema)

    def close(self, counts: dict[str, Any]) -> None:
        self.sessions.close()
        self.user_sessions.close()
        text = json.dumps(counts, indent=2, ensure_ascii=False)
        (self.folder / "counts.json").write_text(text + "\n", encoding="utf-8")


def _user_sessions(session: Ints, user: Ints, at: Ints) -> tuple[Ints, Ints, Ints, Ints, Ints]:
    """Session, user, first and last instant and number of lines of each user of each session, once nobody's lines are
    filled: with the user who comes next in the session, else with the one before."""
    first = starts_of_runs(session, user)
    lines = np.diff(first, append=len(at))
    start, end = at[first], at[first + lines - 1]
    session, user = session[first], _fill(session[first], user[first])

    order = np.lexsort((user, session))
    group = starts_of_runs(session[order], user[order])
    return (
        session[order][group],
        user[order][group],
        np.minimum.reduceat(start[order], group),
        np.maximum.reduceat(end[order], group),
        np.add.reduceat(lines[order], group),
    )


def _fill(session: Ints, user: Ints) -> Ints:
    user = user.copy()
    goes_on = session[1:] == session[:-1]
    # No session has more runs than a visit, so as many steps carry a user from one end to the other.
    for _ in range(MOST_RUNS - 1):
        unknown = goes_on & (user[:-1] == NOBODY)
        user[:-1][unknown] = user[1:][unknown]
    for _ in range(MOST_RUNS - 1):
        unknown = goes_on & (user[1:] == NOBODY)
        user[1:][unknown] = user[:-1][unknown]
    return user
