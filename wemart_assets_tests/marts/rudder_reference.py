"""Reference implementation of RudderStack's eight tables in plain Python, without anything of the package.

Each table is rebuilt in full from all tracks up to a day. A track is mapped as of its own day, or, as in the original
project's full refresh, by the linkages that are known in the end.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]
MINUTE = dt.timedelta(minutes=1)


class Reference:
    """The expected rows of the tables for `tracks`, by key, as of `day` and without part_date.

    `refreshed`: each track is mapped by what is known on that day instead of on its own day.
    """

    def __init__(
        self,
        tracks: Sequence[Row],
        day: str,
        gap: int = 1800,
        view: str = "view_product",
        signup: str = "signup",
        refreshed: bool = False,
    ) -> None:
        self.gap, self.view, self.signup = dt.timedelta(seconds=gap), view, signup
        # For each id the copy that was received first on its first day; NULL sorts last.
        copies: dict[str, list[Row]] = defaultdict(list)
        for track in tracks:
            copies[track["id"]].append(track)
        names = ("received_at", "anonymous_id", "user_id", "event", "timestamp")
        firsts = [
            min(of, key=lambda t: (t["part_date"], *((t[n] is None, t[n] or "") for n in names)))
            for of in copies.values()
        ]
        self.tracks = [
            {**t, "user": t["user_id"] or None, "anonymous": t["anonymous_id"] or None}
            for t in firsts
            if t["part_date"] <= day
        ]
        self.tracks = [t for t in self.tracks if t["user"] or t["anonymous"]]
        self.by_visitor: dict[str, list[Row]] = defaultdict(list)
        for t in self.tracks:
            known_on = day if refreshed else t["part_date"]
            self.by_visitor[self.visitor(t["user"] or t["anonymous"], known_on)].append(t)
        self.sessions: dict[str, list[list[Row]]] = {v: self._sessions(of) for v, of in self.by_visitor.items()}
        self.day = day

    def visitor(self, alias: str, day: str) -> str:
        logins = [t for t in self.tracks if t["anonymous"] == alias and t["user"] and t["part_date"] <= day]
        if not logins:
            return alias
        return str(max(logins, key=lambda t: (t["timestamp"], t["id"]))["user"])

    def _sessions(self, tracks: list[Row]) -> list[list[Row]]:
        tracks.sort(key=lambda t: (t["timestamp"], t["id"]))
        found: list[list[Row]] = []
        for track in tracks:
            if not found or track["timestamp"] - found[-1][-1]["timestamp"] > self.gap:
                found.append([])
            found[-1].append(track)
        return found

    def _each(self) -> list[tuple[str, str, list[Row], list[Row] | None]]:
        """(session id, visitor, tracks, tracks of the next session)."""
        return [
            (f"{n + 1} - {visitor}", visitor, tracks, sessions[n + 1] if n + 1 < len(sessions) else None)
            for visitor, sessions in self.sessions.items()
            for n, tracks in enumerate(sessions)
        ]

    def dbt_aliases_mapping(self) -> dict[str, Row]:
        aliases = {t[of] for t in self.tracks for of in ("user", "anonymous") if t[of]}
        return {a: {"alias": a, "dbt_visitor_id": self.visitor(a, self.day)} for a in aliases}

    def dbt_mapped_tracks(self) -> dict[str, Row]:
        found = {}
        for visitor, tracks in self.by_visitor.items():
            for n, t in enumerate(tracks):
                idle = None if n == 0 else (t["timestamp"] - tracks[n - 1]["timestamp"]) // MINUTE
                found[t["id"]] = {
                    "event_id": t["id"],
                    "anonymous_id": t["anonymous_id"],
                    "dbt_visitor_id": visitor,
                    "timestamp": t["timestamp"],
                    "event": t["event"],
                    "idle_time_minutes": idle,
                }
        return found

    def dbt_session_tracks(self) -> dict[str, Row]:
        return {
            session: {
                "session_id": session,
                "dbt_visitor_id": visitor,
                "session_start_at": tracks[0]["timestamp"],
                "session_sequence_number": int(session.split(" ")[0]),
                "next_session_start_at": following[0]["timestamp"] if following else None,
            }
            for session, visitor, tracks, following in self._each()
        }

    def dbt_track_facts(self) -> dict[str, Row]:
        return {
            t["id"]: {
                "anonymous_id": t["anonymous_id"],
                "timestamp": t["timestamp"],
                "event_id": t["id"],
                "event": t["event"],
                "session_id": session,
                "dbt_visitor_id": visitor,
                "track_sequence_number": n,
            }
            for session, visitor, tracks, _ in self._each()
            for n, t in enumerate(tracks, start=1)
        }

    def dbt_session_track_facts(self) -> dict[str, Row]:
        return {
            session: {
                "session_id": session,
                "ended_at": tracks[-1]["timestamp"],
                "num_pvs": len({t["id"] for t in tracks}),
                "cnt_viewed_product": sum(1 for t in tracks if t["event"] == self.view),
                "cnt_signup": sum(1 for t in tracks if t["event"] == self.signup),
            }
            for session, _, tracks, _ in self._each()
        }

    def dbt_user_session_facts(self) -> dict[str, Row]:
        return {
            visitor: {
                "dbt_visitor_id": visitor,
                "first_date": sessions[0][0]["timestamp"],
                "last_date": sessions[-1][0]["timestamp"],
                "number_of_sessions": len(sessions),
            }
            for visitor, sessions in self.sessions.items()
        }

    def dbt_session_duration(self) -> dict[str, Row]:
        return {
            session: {
                "dbt_visitor_id": visitor,
                "session_id": session,
                "session_duration": (tracks[-1]["timestamp"] - tracks[0]["timestamp"]) // MINUTE,
            }
            for session, visitor, tracks, _ in self._each()
        }

    def dbt_tracks_flow(self) -> dict[str, Row]:
        found = {}
        for session, visitor, tracks, _ in self._each():
            for n, t in enumerate(tracks):
                after = [*(other["event"] for other in tracks[n + 1 : n + 5]), None, None, None, None][:4]
                found[t["id"]] = {
                    "event_id": t["id"],
                    "session_id": session,
                    "track_sequence_number": n + 1,
                    "event": t["event"],
                    "dbt_visitor_id": visitor,
                    "timestamp": t["timestamp"],
                    **{f"event_{k}": event for k, event in enumerate(after, start=2)},
                }
        return found
