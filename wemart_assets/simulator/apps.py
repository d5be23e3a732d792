"""App events and attributions, as the attribution service exports them: files without a header.

Every file has rows of all days, times are local, NULL is written as `null`, and an unknown time is the first instant of
the year 1. The truth is written apart from the files: the expected numbers of a report on each day.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv

from wemart_assets.simulator.columns import (
    Bools,
    Floats,
    Ints,
    Stream,
    cumulative,
    fixed_width_text,
    hexadecimal,
    pick,
    random_stream,
)

EVENT, ATTRIBUTION = "igaworks.event", "igaworks.attribution"
SECONDS = 86_400
UNKNOWN_TIME = "0001-01-01 00:00:00.0"
UNKNOWN_SHARE = 0.003
CHUNK_ROWS = 500_000
# With fewer events per day, a single broken one would be more than 0.5 % of them.
LEAST_WITH_BROKEN = 250

EVENT_NAMES = ("firstopen", "login", "purchase", "view_product", "add_to_cart", "search")
FIRSTOPEN, LOGIN, PURCHASE = range(3)
EVENT_SHARES = cumulative([0.01, 0.35, 0.10, 0.30, 0.12, 0.12])
COUNTRIES, COUNTRY_SHARES = ("KR", "JP", "US", "TW", "null"), cumulative([70, 15, 8, 5, 2])
MODELS = ("SM-G950N", "SM-G960N", "SM-N950N", "LGM-G600L", "iPhone8", "iPhone10-3", "iPhone10-6", "iPad7-5")
CAMPAIGNS, CAMPAIGN_SHARES = ("campaign_a", "campaign_b", "campaign_c", "null"), cumulative([40, 25, 15, 20])
NO_CAMPAIGN = CAMPAIGNS.index("null")
PARTNERS, PARTNER_SHARES = ("partner_1", "partner_2", "partner_3", "partner_4"), cumulative([45, 30, 15, 10])
# In ten-thousandths: whole amounts, amounts with cents, and amounts with four decimals.
PRICES = np.array([*range(10_000_000, 600_000_000, 11_000_000), 9_900, 19_900, 49_900, 123_456, 1, 999_999_999])

Progress = Callable[[str], None]


@dataclass(frozen=True)
class AppsConfig:
    """What to simulate. Equal configurations give equal data.

    There are `events` of `users` on `days` from `first_day` on, and `attributions` of the users, each in `files` files.
    Numbers that are None are derived from `events`, in the proportions of a real export of 18 million events.
    """

    seed: int = 7
    first_day: date = date(2024, 1, 1)
    days: int = 7
    events: int = 7_000
    attributions: int | None = None
    users: int | None = None
    files: int = 3

    @property
    def size(self) -> tuple[int, int]:
        """The numbers of attributions and of users."""
        attributions = self.events * 38 // 180 if self.attributions is None else self.attributions
        return attributions, max(self.events * 29 // 180, 1) if self.users is None else self.users

    def __post_init__(self) -> None:
        attributions, users = self.size
        if self.seed < 0:
            raise ValueError(f"seed must not be negative: {self.seed}")
        for name, value in (("days", self.days), ("users", users), ("files", self.files)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1: {value}")
        if self.events < 2 * users + self.days:
            raise ValueError(f"events must be at least twice the users plus one per day: {self.events}")
        if attributions < 0:
            raise ValueError(f"attributions must not be negative: {attributions}")


def simulate_apps(config: AppsConfig, landing: Path, truth: Path, progress: Progress | None = None) -> list[Path]:
    """Writes `<landing>/igaworks.event/` and `<landing>/igaworks.attribution/`; returns the files.

    `<truth>/igaworks.json` has `config`; `days`, by business day: events, attributions, active_users, purchase_users,
    amount (as text), firstopen_users, cohort (users whose first firstopen with a known time is on that day), users by
    event, users and amount by campaign; `unknown`, rows without a time by source; `broken`, rows that break the
    contract by source.

    Raises:
        FileExistsError: one of the folders is not empty, so the truth would not match its files.
    """
    apps = _Apps(config)
    with ExitStack() as opened:
        writers = [opened.enter_context(_files(landing / source, config.files)) for source in (EVENT, ATTRIBUTION)]
        days: dict[str, Any] = {}
        for day in range(config.days):
            name = (config.first_day + timedelta(days=day)).isoformat()
            days[name] = apps.write_day(day, name, *writers)
            if progress:
                progress(f"{name}: {days[name]['events']:,} events, {days[name]['attributions']:,} attributions")
        files = [path for writer in writers for path in writer.paths]
    counts = {"config": {**asdict(config), "first_day": config.first_day.isoformat()}, "days": days}
    truth.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**counts, "unknown": apps.unknown, "broken": apps.broken}, indent=1)
    (truth / "igaworks.json").write_text(text + "\n", encoding="utf-8")
    return files


def app_devices(config: AppsConfig) -> tuple[pa.Array, Ints]:
    """The advertising ids of the apps' users, and the day on which each user installed (-1 before the first day)."""
    apps = _Apps(config)
    return apps.adid, apps.install_day


@dataclass(frozen=True)
class _Touches:
    """Attributions, one per position: `second` of the day, and whether the time is `unknown` in the files."""

    user: Ints
    day: Ints
    second: Ints
    type: Ints
    campaign: Ints
    partner: Ints
    unknown: Bools

    def take(self, rows: Ints | Bools | slice) -> _Touches:
        return _Touches(*(getattr(self, f.name)[rows] for f in fields(self)))


@dataclass(frozen=True)
class _Events:
    """Events of one day; `price` is a position in `PRICES`, negative if there is no price."""

    user: Ints
    kind: Ints
    second: Ints
    price: Ints
    unknown: Bools
    broken: Bools

    def take(self, rows: Ints | Bools) -> _Events:
        return _Events(*(getattr(self, f.name)[rows] for f in fields(self)))


class _Apps:
    """Users in the order of their installation, so that the users of the days so far come first."""

    def __init__(self, config: AppsConfig) -> None:
        self.config = config
        self.unknown = {EVENT: 0, ATTRIBUTION: 0}
        self.broken = {EVENT: 0, ATTRIBUTION: 0}
        draw = random_stream(config.seed, Stream.APP_USERS)
        self.total_touches, users = config.size
        earlier_users = users * 15 // 100
        installed = np.sort(draw.integers(0, config.days, users - earlier_users))
        self.install_day = np.concatenate([np.full(earlier_users, -1), installed]).astype(np.int16)
        self.install_second = draw.integers(0, SECONDS, users).astype(np.int32)
        self.country = pick(COUNTRY_SHARES, draw.random(users)).astype(np.int8)
        self.model = draw.integers(0, len(MODELS), users).astype(np.int8)
        self.adid = _adids(draw, users)
        self.events_of_day = _shares_of(config.events, config.days)
        self.touches = self._touches()
        # As of the day being written: which users have a firstopen, and one bit per campaign that reached the user.
        self.has_opened = np.zeros(users, dtype=np.bool_)
        self.campaigns = np.zeros(users, dtype=np.uint8)
        self._reach(self.touches.take(self.touches.unknown))

    def _touches(self) -> _Touches:
        """Touches in day order: of nine in ten installations (at most seven in ten touches), and of installed users."""
        total = self.total_touches
        draw = random_stream(self.config.seed, Stream.APP_TOUCHES)
        installed = np.flatnonzero(self.install_day >= 0)
        new = draw.permutation(installed)[: min(len(installed) * 9 // 10, total * 7 // 10)]
        day = draw.integers(0, self.config.days, total - len(new))
        user = (self._installed_by(day) * draw.random(len(day))).astype(np.int64)
        installing = np.maximum(self.install_second[new] - draw.integers(0, 60, len(new)), 0)
        touches = _Touches(
            user=np.concatenate([new, user]),
            day=np.concatenate([self.install_day[new], day]),
            second=np.concatenate([installing, draw.integers(0, SECONDS, len(day))]),
            type=np.repeat([0, 1], [len(new), len(day)]),
            campaign=pick(CAMPAIGN_SHARES, draw.random(total)),
            partner=pick(PARTNER_SHARES, draw.random(total)),
            unknown=draw.random(total) < UNKNOWN_SHARE,
        )
        return touches.take(np.argsort(touches.day, kind="stable"))

    def _installed_by(self, day: Ints) -> Ints:
        """How many users had installed by the end of each day, at least one."""
        return np.maximum(np.searchsorted(self.install_day, day, side="right"), 1)

    def _reach(self, touches: _Touches) -> None:
        touches = touches.take(touches.campaign != NO_CAMPAIGN)
        np.bitwise_or.at(self.campaigns, touches.user, np.left_shift(1, touches.campaign).astype(np.uint8))

    def write_day(self, day: int, name: str, event_files: _Files, attribution_files: _Files) -> dict[str, Any]:
        """Writes the rows of a business day; returns the truth about them."""
        touches = self.touches.take(slice(*np.searchsorted(self.touches.day, [day, day + 1])))
        self._write_attributions(day, name, touches, attribution_files)
        with_time = touches.take(~touches.unknown)
        self._reach(with_time)
        self.unknown[ATTRIBUTION] += len(touches.user) - len(with_time.user)

        draw = random_stream(self.config.seed, Stream.APP_EVENTS, day)
        events = self._events(draw, day)
        self._write_events(draw, name, events, event_files)
        self.unknown[EVENT] += int(events.unknown.sum())
        self.broken[EVENT] += int(events.broken.sum())
        valid = events.take(~events.unknown & ~events.broken)
        return {"attributions": len(with_time.user), **self._truth(valid)}

    def _events(self, draw: np.random.Generator, day: int) -> _Events:
        """A firstopen for each installation of the day, and other events, in random order."""
        installed = np.flatnonzero(self.install_day == day)
        users = int(self._installed_by(np.array([day]))[0])
        other_events = max(int(self.events_of_day[day]) - len(installed), 0)
        # Users who installed recently have more events.
        other_user = users - 1 - (users * draw.random(other_events) ** 2).astype(np.int64)
        user = np.concatenate([installed, other_user])
        is_first = np.arange(len(user)) < len(installed)
        kind = np.where(is_first, FIRSTOPEN, pick(EVENT_SHARES, draw.random(len(user))))
        earliest = np.where(self.install_day[user] == day, self.install_second[user], 0)
        second = earliest + np.where(is_first, 0, (SECONDS - earliest) * draw.random(len(user))).astype(np.int64)
        price = np.where(kind == PURCHASE, draw.integers(0, len(PRICES), len(user)), -1)
        unknown = draw.random(len(user)) < UNKNOWN_SHARE
        broken = np.zeros(len(user), dtype=np.bool_)
        if len(user) >= LEAST_WITH_BROKEN and day == min(1, self.config.days - 1):
            broken[np.flatnonzero((price >= 0) & ~unknown)[:1]] = True
        return _Events(user, kind, second, price, unknown, broken).take(draw.permutation(len(user)))

    def _truth(self, events: _Events) -> dict[str, Any]:
        active, opened = np.unique(events.user), np.unique(events.user[events.kind == FIRSTOPEN])
        cohort = opened[~self.has_opened[opened]]
        self.has_opened[cohort] = True
        purchases = events.take(events.price >= 0)

        def reached(users: Ints, campaign: int) -> Bools:
            campaigns = self.campaigns[users]
            return np.asarray(campaigns == 0 if campaign == NO_CAMPAIGN else (campaigns >> campaign) & 1 == 1)

        def of_campaign(campaign: int) -> dict[str, Any]:
            campaign_purchases = purchases.take(reached(purchases.user, campaign))
            return {
                "users": int(reached(active, campaign).sum()),
                "purchase_users": len(np.unique(campaign_purchases.user)),
                "amount": _amount(campaign_purchases.price),
            }

        by_campaign = {"(none)" if name == "null" else name: of_campaign(n) for n, name in enumerate(CAMPAIGNS)}
        return {
            "events": len(events.user),
            "active_users": len(active),
            "purchase_users": len(np.unique(purchases.user)),
            "amount": _amount(purchases.price),
            "firstopen_users": len(opened),
            "cohort": len(cohort),
            "users_by_event": {
                name: len(np.unique(events.user[events.kind == n])) for n, name in enumerate(EVENT_NAMES)
            },
            "by_campaign": {name: numbers for name, numbers in by_campaign.items() if numbers["users"]},
        }

    def _write_events(self, draw: np.random.Generator, day: str, events: _Events, files: _Files) -> None:
        times = _times(day)
        prices = pa.array([*(_decimal(p) for p in PRICES), "0.12345", "null"])
        price = np.where(events.broken, len(PRICES), np.where(events.price < 0, len(PRICES) + 1, events.price))
        second = np.where(events.unknown, SECONDS, events.second)
        total = len(events.user)
        country = np.where(draw.random(total) < 0.02, COUNTRIES.index("US"), self.country[events.user])
        quantity = np.where(events.price < 0, 0, draw.integers(1, 4, total))
        log_id = draw.integers(0, 2**63, total).astype(np.uint64)
        for start in range(0, total, CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            user = events.user[rows]
            files.write(
                self.adid.take(pa.array(user)),
                _from(("Android", "iOS"), self.model[user] >= 4),
                _from(MODELS, self.model[user]),
                _from(COUNTRIES, country[rows]),
                _from(EVENT_NAMES, events.kind[rows]),
                fixed_width_text(hexadecimal(log_id[rows, None])),
                times.take(pa.array(second[rows])),
                _from(("null", "1", "2", "3"), quantity[rows]),
                prices.take(pa.array(price[rows])),
            )

    def _write_attributions(self, number: int, day: str, touches: _Touches, files: _Files) -> None:
        draw = random_stream(self.config.seed, Stream.APP_TOUCH_IDS, number)
        log_id = draw.integers(0, 2**63, (len(touches.user), 1)).astype(np.uint64)
        trackers = [f"tracker_{p[-1]}{c[-1]}" for p in PARTNERS for c in CAMPAIGNS]
        files.write(
            _from(PARTNERS, touches.partner),
            _from(CAMPAIGNS, touches.campaign),
            _times(day).take(pa.array(np.where(touches.unknown, SECONDS, touches.second))),
            _from(trackers, touches.partner * len(CAMPAIGNS) + touches.campaign),
            fixed_width_text(hexadecimal(log_id)),
            _from(("0", "1"), touches.type),
            self.adid.take(pa.array(touches.user)),
        )


class _Files:
    """The files of one source. Each write is spread over all of them, so that every file has rows of all days."""

    def __init__(self, folder: Path, count: int, opened: ExitStack) -> None:
        # If there are several files, the last one is compressed, as old exports are.
        names = [f"part-{n:05d}.csv" + (".gz" if n == count - 1 > 0 else "") for n in range(count)]
        self.paths = [folder / name for name in names]
        self.open = [opened.enter_context(_sink(path)) for path in self.paths]

    def write(self, *columns: pa.Array) -> None:
        rows = pa.table(list(columns), names=[str(n) for n in range(len(columns))])
        edges = np.linspace(0, len(rows), len(self.open) + 1).astype(int)
        options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
        for sink, first, last in zip(self.open, edges, edges[1:], strict=False):
            pyarrow.csv.write_csv(rows.slice(first, last - first), sink, options)


@contextmanager
def _files(folder: Path, count: int) -> Iterator[_Files]:
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} already contains files; simulate into an empty landing folder")
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as opened:
        yield _Files(folder, count, opened)


@contextmanager
def _sink(path: Path) -> Iterator[IO[bytes] | gzip.GzipFile]:
    with path.open("wb") as plain:
        if path.suffix != ".gz":
            yield plain
            return
        with gzip.GzipFile("", "wb", compresslevel=1, fileobj=plain, mtime=0) as compressed:
            yield compressed


def _adids(draw: np.random.Generator, users: int) -> pa.Array:
    """One advertising id per user, in the usual notation."""
    digits = hexadecimal(draw.integers(0, 2**63, (users, 2)).astype(np.uint64))
    dash = np.full((users, 1), ord("-"), dtype=np.uint8)
    parts = [digits[:, :8], digits[:, 8:12], digits[:, 12:16], digits[:, 16:20], digits[:, 20:]]
    spaced = [part for pair in zip(parts, [dash] * len(parts), strict=True) for part in pair][:-1]
    return fixed_width_text(np.hstack(spaced))


def _times(day: str) -> pa.Array:
    """The day's seconds as text, followed by the text that means an unknown time."""
    clock = [f"{h:02d}:{m:02d}:" for h in range(24) for m in range(60)]
    seconds = [f"{s:02d}.0" for s in range(60)]
    return pa.array([*(f"{day} {minute}{second}" for minute in clock for second in seconds), UNKNOWN_TIME])


def _from(pool: tuple[str, ...] | list[str], rows: npt.NDArray[Any]) -> pa.Array:
    return pa.array(list(pool)).take(pa.array(rows.astype(np.int32)))


def _shares_of(total: int, days: int) -> Ints:
    """`total` split over the days, with weekly highs and lows."""
    weights: Floats = 1 + 0.15 * np.sin(np.arange(days) * 2 * np.pi / 7)
    edges = np.round(np.concatenate([[0], np.cumsum(weights)]) / weights.sum() * total).astype(np.int64)
    return np.asarray(np.diff(edges))


def _decimal(ten_thousandths: int) -> str:
    """A price as the service writes it: without trailing zeros, but with at least one decimal."""
    text = format(Decimal(int(ten_thousandths)).scaleb(-4).normalize(), "f")
    return text if "." in text else f"{text}.0"


def _amount(prices: Ints) -> str:
    return str(Decimal(int(PRICES[prices].sum())).scaleb(-4))
