"""The simulated apps: the files match the truth of each day."""

from __future__ import annotations

import csv
import gzip
import json
from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from wemart_assets.simulator.apps import AppsConfig, simulate_apps

EVENT, ATTRIBUTION = "igaworks.event", "igaworks.attribution"
EVENT_COLUMNS = ("user", "os", "model", "country", "name", "log", "time", "quantity", "price")
TOUCH_COLUMNS = ("partner", "campaign", "time", "tracker", "log", "type", "user")
UNKNOWN = "0001-01-01 00:00:00.0"
CONFIG = AppsConfig(days=5, events=4_000)
Row = dict[str, str]


@dataclass(frozen=True)
class Simulated:
    landing: Path
    truth: dict[str, Any]

    def rows(self, source: str) -> list[Row]:
        names = EVENT_COLUMNS if source == EVENT else TOUCH_COLUMNS
        found = []
        for path in sorted((self.landing / source).iterdir()):
            content = path.read_bytes()
            text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
            found += [dict(zip(names, line, strict=True)) for line in csv.reader(text.splitlines())]
        return found


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    folder = tmp_path_factory.mktemp("apps")
    simulate_apps(CONFIG, folder / "landing", folder / "truth")
    return Simulated(folder / "landing", json.loads((folder / "truth" / "igaworks.json").read_text()))


def is_exact(price: str) -> bool:
    return len(price.partition(".")[2]) <= 4


def test_the_number_of_rows_is_as_configured(simulated: Simulated) -> None:
    assert len(simulated.rows(EVENT)) == 4_000
    assert len(simulated.rows(ATTRIBUTION)) == CONFIG.size[0] == 844


def test_each_file_contains_rows_of_every_day(simulated: Simulated) -> None:
    for path in (simulated.landing / EVENT).iterdir():
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
        assert {line.split(",")[6][:10] for line in text.splitlines()} >= set(simulated.truth["days"])


def test_the_truth_matches_the_files(simulated: Simulated) -> None:
    events, touches = simulated.rows(EVENT), simulated.rows(ATTRIBUTION)
    assert simulated.truth["unknown"][EVENT] == sum(e["time"] == UNKNOWN for e in events) > 0
    assert simulated.truth["unknown"][ATTRIBUTION] == sum(t["time"] == UNKNOWN for t in touches) > 0
    assert simulated.truth["broken"] == {EVENT: sum(not is_exact(e["price"]) for e in events), ATTRIBUTION: 0}
    kept = [e for e in events if e["time"] != UNKNOWN and is_exact(e["price"])]
    opened: set[str] = set()
    campaigns: dict[str, set[str]] = defaultdict(set)
    for touch in touches:
        if touch["time"] == UNKNOWN and touch["campaign"] != "null":
            campaigns[touch["user"]].add(touch["campaign"])
    for day, said in simulated.truth["days"].items():
        of_day = [e for e in kept if e["time"].startswith(day)]
        touched = [t for t in touches if t["time"].startswith(day)]
        for touch in touched:
            if touch["campaign"] != "null":
                campaigns[touch["user"]].add(touch["campaign"])
        first = {e["user"] for e in of_day if e["name"] == "firstopen"}
        bought = [e for e in of_day if e["name"] == "purchase"]
        by_event = defaultdict(set)
        by_campaign: dict[str, tuple[set[str], set[str], list[Decimal]]] = defaultdict(lambda: (set(), set(), []))
        for event in of_day:
            by_event[event["name"]].add(event["user"])
            for campaign in campaigns.get(event["user"]) or {"(none)"}:
                users, buyers, prices = by_campaign[campaign]
                users.add(event["user"])
                if event["name"] == "purchase":
                    buyers.add(event["user"])
                    prices.append(Decimal(event["price"]))
        assert said == {
            "attributions": len(touched),
            "events": len(of_day),
            "active_users": len({e["user"] for e in of_day}),
            "purchase_users": len({e["user"] for e in bought}),
            "amount": f"{sum(Decimal(e['price']) for e in bought):.4f}",
            "firstopen_users": len(first),
            "cohort": len(first - opened),
            "users_by_event": {name: len(users) for name, users in by_event.items()},
            "by_campaign": {
                name: {"users": len(users), "purchase_users": len(buyers), "amount": f"{sum(prices):.4f}"}
                for name, (users, buyers, prices) in by_campaign.items()
            },
        }
        opened |= first


def test_only_purchases_have_a_price_and_a_quantity(simulated: Simulated) -> None:
    for event in simulated.rows(EVENT):
        known = {event["price"] != "null", event["quantity"] != "null"}
        assert known == {event["name"] == "purchase"}


def test_equal_seeds_give_equal_files(tmp_path: Path) -> None:
    config = AppsConfig(days=2, events=500)
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        simulate_apps(AppsConfig(seed=seed, days=2, events=500), tmp_path / name, tmp_path / name)
    a, b, c = ({p.name: p.read_bytes() for p in (tmp_path / n / EVENT).iterdir()} for n in "abc")
    assert a == b
    assert a != c
    assert len(a) == config.files


def test_a_folder_with_files_is_refused_and_left_alone(simulated: Simulated, tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match="simulate into an empty"):
        simulate_apps(CONFIG, simulated.landing, tmp_path)
    assert not (tmp_path / "igaworks.json").exists()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"seed": -1}, "seed must not be negative"),
        ({"days": 0}, "days must be at least 1"),
        ({"files": 0}, "files must be at least 1"),
        ({"users": 0}, "users must be at least 1"),
        ({"events": 100, "users": 60}, "events must be at least twice the users"),
        ({"attributions": -1}, "attributions must not be negative"),
    ],
)
def test_an_impossible_size_is_refused(wrong: dict[str, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        AppsConfig(**wrong)  # type: ignore[arg-type]
