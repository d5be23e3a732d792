"""Reference implementation of the nine attribution reports: slow loops over rows, written from the documented rules.

Each takes a range of days and counts over all of it; a daily report is a range of one day.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

Row = dict[str, Any]
STEPS = ("firstopen", "login", "purchase")


def step_of(event: Row) -> str | None:
    """The funnel step of an event, by its plain name or the export's name."""
    name = str(event["event_name"]).removeprefix("abx:")
    return name if name in STEPS else None


def shift(day: str, days: int) -> str:
    return (dt.date.fromisoformat(day) + dt.timedelta(days=days)).isoformat()


@dataclass(frozen=True)
class Reference:
    """All rows: `events` and `attributions` with their `part_date`, and `unknown_time` attributions."""

    events: Sequence[Row]
    attributions: Sequence[Row]
    unknown_time: Sequence[Row]
    funnel_days: int = 7

    def happened(self, days: Iterable[str], *steps: str) -> list[Row]:
        """Events with a user id on these days, only of these steps if any are given."""
        wanted = set(days)
        return [
            e
            for e in self.events
            if e["part_date"] in wanted and e["identity_adid"] and (not steps or step_of(e) in steps)
        ]

    def campaigns(self, user: str, day: str) -> set[str]:
        """The campaigns that had touched the user by the end of the day."""
        touches = [*self.unknown_time, *(a for a in self.attributions if a["part_date"] <= day)]
        return {a["campaign"] for a in touches if a["identity_adid"] == user and a["campaign"]} or {"(none)"}

    def partners(self, user: str, day: str) -> set[str]:
        """The partners of the user's new installs by the end of the day."""
        touches = [*self.unknown_time, *(a for a in self.attributions if a["part_date"] <= day)]
        return {a["partner"] or "(none)" for a in touches if a["identity_adid"] == user and a["attribution_type"] == 0}

    def counted(self, events: Iterable[Row], key: Callable[[Row], Iterable[Any]]) -> dict[Any, Row]:
        found: dict[Any, Row] = {}
        for event in events:
            for name in key(event):
                entry = found.setdefault(name, {"users": set(), "buyers": set(), "paid": Decimal(0)})
                entry["users"].add(event["identity_adid"])
                if step_of(event) == "purchase":
                    entry["buyers"].add(event["identity_adid"])
                    entry["paid"] += event["price"] or 0
        return found

    def active_user_by_date(self, days: Sequence[str]) -> set[Any]:
        found = self.counted(self.happened(days), lambda e: [()])
        return {(len(of["users"]),) for of in found.values()}

    def total_price_active_user_by_date(self, days: Sequence[str]) -> set[Any]:
        found = self.counted(self.happened(days, "purchase"), lambda e: [()])
        return {(len(of["buyers"]), of["paid"]) for of in found.values()}

    def active_user_by_event(self, days: Sequence[str]) -> set[Any]:
        found = self.counted(self.happened(days), lambda e: [e["event_name"]])
        return {(name, len(of["users"])) for name, of in found.items()}

    def active_user_by_campaign(self, days: Sequence[str]) -> set[Any]:
        found = self.counted(self.happened(days), lambda e: self.campaigns(e["identity_adid"], e["part_date"]))
        return {(name, len(of["users"])) for name, of in found.items()}

    def total_price_active_user_by_campaign(self, days: Sequence[str]) -> set[Any]:
        bought = self.happened(days, "purchase")
        found = self.counted(bought, lambda e: self.campaigns(e["identity_adid"], e["part_date"]))
        return {(name, len(of["buyers"]), of["paid"]) for name, of in found.items()}

    def active_user_total_price_by_country_campaign(self, days: Sequence[str]) -> set[Any]:
        def key(event: Row) -> list[Any]:
            of = self.campaigns(event["identity_adid"], event["part_date"])
            return [(event["country"], campaign) for campaign in of]

        found = self.counted(self.happened(days), key)
        return {(*name, len(of["users"]), len(of["buyers"]), of["paid"]) for name, of in found.items()}

    def in_order(self, user: str, day: str) -> int:
        """How many steps the user took in order, from a firstopen on the day."""
        own = [e for e in self.events if e["identity_adid"] == user and day <= e["part_date"]]
        own = [e for e in own if e["part_date"] <= shift(day, self.funnel_days)]

        def taken(after: dt.datetime, left: Sequence[str]) -> int:
            if not left:
                return 0
            nexts = [e["server_datetime"] for e in own if step_of(e) == left[0] and e["server_datetime"] >= after]
            return max((1 + taken(at, left[1:]) for at in nexts), default=0)

        opened = [e["server_datetime"] for e in own if step_of(e) == STEPS[0] and e["part_date"] == day]
        return max((1 + taken(at, STEPS[1:]) for at in opened), default=0)

    def steps(self, days: Sequence[str]) -> list[tuple[str, str, int, bool]]:
        """(day, user, step, whether in order)."""
        found = [
            (e["part_date"], e["identity_adid"], STEPS.index(str(step_of(e))) + 1, False)
            for e in self.happened(days, *STEPS)
        ]
        for day in days:
            for user in {e["identity_adid"] for e in self.happened([day], STEPS[0])}:
                found += [(day, user, step + 1, True) for step in range(self.in_order(user, day))]
        return found

    def hard_funnel(self, days: Sequence[str]) -> set[Any]:
        steps = self.steps(days)
        return self._funnel([((), *step[1:]) for step in steps])

    def hard_new_install_funnel_by_partner(self, days: Sequence[str]) -> set[Any]:
        steps = self.steps(days)
        return self._funnel([((p,), u, n, o) for day, u, n, o in steps for p in self.partners(u, day)])

    def _funnel(self, steps: list[tuple[tuple[Any, ...], str, int, bool]]) -> set[Any]:
        def users(key: tuple[Any, ...], number: int, ordered: bool) -> int:
            return len({u for k, u, n, o in steps if (k, n, o) == (key, number, ordered)})

        return {
            (*key, number, STEPS[number - 1], users(key, number, False), users(key, number, True))
            for key in {step[0] for step in steps}
            for number in (1, 2, 3)
        }

    def cohorts(self) -> dict[str, str]:
        """The day of each user's first firstopen."""
        opened = [e for e in self.events if step_of(e) == STEPS[0] and e["identity_adid"]]
        found: dict[str, str] = {}
        for event in sorted(opened, key=lambda e: str(e["part_date"])):
            found.setdefault(event["identity_adid"], event["part_date"])
        return found

    def hard_retention_by_dates(self, days: Sequence[str]) -> set[Any]:
        """(days since, users of the cohorts, retained)."""
        found: dict[int, tuple[int, int]] = {}
        cohorts = self.cohorts()
        for day in days:
            there = {e["identity_adid"] for e in self.happened([day])}
            for since in (0, 1, 2, 3, 7) if there else ():
                cohort = {user for user, of in cohorts.items() if of == shift(day, -since)}
                if cohort:
                    size, back = found.get(since, (0, 0))
                    found[since] = (size + len(cohort), back + len(cohort & there))
        return {(since, *sizes) for since, sizes in found.items()}
