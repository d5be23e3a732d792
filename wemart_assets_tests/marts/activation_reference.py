"""Reference implementation of the first activation, in plain Python: each day is rebuilt from everything up to it.

It follows the tables' documented rules over lists of dicts and uses nothing of the package.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

Row = dict[str, Any]
VISIT = "first_visit"
# The order in which copies of a track were received; NULL is last.
RECEIVED = ("received_at", "anonymous_id", "user_id", "event", "timestamp")


@dataclass(frozen=True)
class Reference:
    """What happened (`sessions`, `events`, `attributions`, each row with its `part_date`) and what is known each day.

    `key_events` are the names in order with the days that each counts within.
    """

    sessions: Sequence[Row] = ()
    events: Sequence[Row] = ()
    attributions: Sequence[Row] = ()
    identities: Sequence[Row] = ()
    accounts: Sequence[Row] = ()
    countries: Sequence[Row] = ()
    key_events: Mapping[str, int] = field(default_factory=dict)
    timezone: str = "Asia/Seoul"

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    def day(self, at: dt.datetime) -> dt.date:
        return at.astimezone(self.zone).date()

    def first_visit(self, user: str, as_of: str) -> dt.datetime | None:
        """On the first day with any data of the user: the start of the first session, or else the first event."""
        began = [(s["part_date"], s["user_sess_start_dt"]) for s in self.sessions if str(s["we_member_id"]) == user]
        acted = [(e["part_date"], e["datetime"]) for e in self.events if e["user_id"] == user]
        days = [day for day, _ in began + acted if day <= as_of]
        if not days:
            return None
        first = min(days)
        return min([at for day, at in began if day == first] or [at for day, at in acted if day == first])

    def known(self, as_of: str) -> dict[str, dt.datetime]:
        """The first visits of all users known on a day."""
        ids = {str(s["we_member_id"]) for s in self.sessions if s["we_member_id"] is not None}
        ids |= {e["user_id"] for e in self.events}
        visits = {user: self.first_visit(user, as_of) for user in ids}
        return {user: at for user, at in visits.items() if at is not None}

    def last_said(self, user: str, column: str, as_of: str) -> str | None:
        said = [
            (s["user_sess_start_dt"], s["sess_id"], s[column])
            for s in self.sessions
            if str(s["we_member_id"]) == user and s["part_date"] <= as_of and s[column] is not None
        ]
        return str(max(said)[2]) if said else None

    def country(self, user: str, as_of: str) -> str | None:
        code = self.last_said(user, "sess_ctry", as_of)
        if code is None:
            code = next(
                (a["ctry_code"] for a in self.accounts if str(a["we_member_id"]) == user and a["part_date"] == as_of),
                None,
            )
        return next(
            (c["ctry_name"] for c in self.countries if c["ctry_code"] == code and c["part_date"] == as_of), None
        )

    def touch(self, user: str, as_of: str) -> tuple[Any, Any, Any]:
        """Campaign, medium and source of the first touch of any device that belongs to the user on the day."""
        devices = {
            i["foreign_id"]
            for i in self.identities
            if i["space"] == "adid" and str(i["we_member_id"]) == user and i["part_date"] == as_of
        }
        # Ties between a device's touches are broken by their values, ties between devices by the id.
        firsts = [min(of, key=said) for d in devices if (of := self.touches_of(d, as_of))]
        if not firsts:
            return None, None, None
        first = min(firsts, key=lambda t: (t["server_datetime"], t["identity_adid"]))
        return first["campaign"], "install" if first["attribution_type"] == 0 else "other", first["partner"]

    def touches_of(self, device: str, as_of: str) -> list[Row]:
        return [
            t for t in self.attributions if t["identity_adid"] == device and t["campaign"] and t["part_date"] <= as_of
        ]

    def touches(self, last: str) -> set[tuple[Any, ...]]:
        """core.first_touch of all days up to the last: id, instant, campaign, partner, kind, day."""
        devices = {t["identity_adid"] for t in self.attributions} - {None}
        firsts = [min(of, key=said) for device in devices if (of := self.touches_of(device, last))]
        names = ("identity_adid", "server_datetime", "campaign", "partner", "attribution_type", "part_date")
        return {tuple(touch[name] for name in names) for touch in firsts}

    def users(self, as_of: str) -> set[tuple[Any, ...]]:
        """core.dim__users: user, first date and instant, country, os, version, campaign, medium, source."""
        return {
            (
                user,
                self.day(at),
                at,
                self.country(user, as_of),
                self.last_said(user, "os", as_of),
                self.last_said(user, "app_ver", as_of),
                *self.touch(user, as_of),
            )
            for user, at in self.known(as_of).items()
        }

    def firsts(self, last: str) -> set[tuple[Any, ...]]:
        """activation.fact__first_activation_events, of all days up to the last: instant, user, event, hours, days."""
        visits = self.known(last)
        firsts = {(user, VISIT): at for user, at in visits.items()}
        for e in self.events:
            key = (e["user_id"], e["event_name"])
            if e["event_name"] in self.key_events and e["part_date"] <= last and e["datetime"] >= visits[key[0]]:
                firsts[key] = min(firsts.get(key, e["datetime"]), e["datetime"])
        return {(at, *key, self.hours(visits[key[0]], at), self.days(visits[key[0]], at)) for key, at in firsts.items()}

    def days(self, first: dt.datetime, then: dt.datetime) -> int:
        return (self.day(then) - self.day(first)).days + 1

    def hours(self, first: dt.datetime, then: dt.datetime) -> int:
        """Hours of the local clock, as if it were never set forward or back."""
        came, went = (at.astimezone(self.zone).replace(tzinfo=None, minute=0, second=0) for at in (first, then))
        return max((went.replace(microsecond=0) - came.replace(microsecond=0)) // dt.timedelta(hours=1), 0) + 1

    def funnel(self, cohort: str, last: str) -> set[tuple[Any, ...]]:
        """activation.activation_funnel_daily of a day, given data up to the last day: country, step, event,
        first visits, users, users in order."""
        visits = {u: at for u, at in self.known(last).items() if self.day(at).isoformat() == cohort}
        rows = set()
        for country in {self.country(user, cohort) for user in visits}:
            members = [user for user in visits if self.country(user, cohort) == country]
            rows.add((country, 0, VISIT, len(members), len(members), len(members)))
            reached = {user: visits[user] for user in members}
            for step, (name, within) in enumerate(self.key_events.items(), 1):
                acts = {user: self.acts(user, name, visits[user], within, last) for user in members}
                reached = {
                    user: min(later) for user, at in reached.items() if (later := [a for a in acts[user] if a >= at])
                }
                users = sum(1 for found in acts.values() if found)
                rows.add((country, step, name, len(members), users, len(reached)))
        return rows

    def acts(self, user: str, name: str, visit: dt.datetime, within: int, last: str) -> list[dt.datetime]:
        return [
            e["datetime"]
            for e in self.events
            if (e["user_id"], e["event_name"]) == (user, name)
            and e["datetime"] >= visit
            and self.days(visit, e["datetime"]) <= within
            and e["part_date"] <= last
        ]


def tracked(tracks: Sequence[Row], identities: Sequence[Row], names: Mapping[str, Sequence[str]]) -> list[Row]:
    """core.fact__events of tracks: `names` are the names of each event. A track counts once: on the first day
    of its id, as first received."""
    found = []
    for id in {track["id"] for track in tracks}:
        copies = [track for track in tracks if track["id"] == id]
        first = min(copies, key=lambda t: (t["part_date"], *((t[n] is None, t[n] or "") for n in RECEIVED)))
        for account in identities:
            if (account["space"], account["foreign_id"]) == ("rudder", first["user_id"]):
                found += [
                    {"user_id": str(account["we_member_id"]), "event_name": name, "datetime": first["timestamp"]}
                    for name, told in names.items()
                    if first["event"] in told and account["part_date"] == first["part_date"]
                ]
    return found


def said(touch: Row) -> tuple[Any, ...]:
    values = (touch[name] for name in ("server_datetime", "campaign", "partner", "tracker_id", "attribution_type"))
    return tuple((value is None, value) for value in values)
