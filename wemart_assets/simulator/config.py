"""The size of the simulated platform, the days that it covers, and the seed."""

import datetime
from dataclasses import dataclass

# With fewer rows, a single broken one would be more than 0.5 % of its delivery.
LEAST_WITH_ODDITIES = 500
LEAST_ARTISTS = 5


@dataclass(frozen=True)
class Scale:
    """How many of each there are at the end of the last day; about a third of them appear during the days."""

    users: int
    devices: int
    artists: int
    posts: int
    notices: int


@dataclass(frozen=True)
class SimulatorConfig:
    """What to simulate. Equal configurations give equal data.

    There are `days` business days from `first_day` on, each from midnight to midnight in `timezone`, with about
    `lines_per_day` log lines. Numbers that are None are derived from `lines_per_day`. With `oddities`, the deliveries
    have the flaws of real ones: other file formats, a late file, a skipped delivery, duplicates, rows that break the
    contract.
    """

    seed: int = 7
    first_day: datetime.date = datetime.date(2024, 1, 1)
    days: int = 7
    timezone: str = "Asia/Seoul"
    lines_per_day: int = 20_000
    users: int | None = None
    devices: int | None = None
    artists: int | None = None
    posts: int | None = None
    notices: int | None = None
    oddities: bool = True

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed must not be negative: {self.seed}")
        if self.days < 1:
            raise ValueError(f"days must be at least 1: {self.days}")
        scale = self.scale
        least_rows = LEAST_WITH_ODDITIES if self.oddities else 50
        for name, size, least in (
            ("lines_per_day", self.lines_per_day, least_rows),
            ("users", scale.users, least_rows),
            ("devices", scale.devices, 1),
            ("artists", scale.artists, LEAST_ARTISTS),
            ("posts", scale.posts, max(least_rows, scale.artists)),
            ("notices", scale.notices, scale.artists),
        ):
            if size < least:
                raise ValueError(f"{name} must be at least {least} in this configuration: {size}")

    @property
    def scale(self) -> Scale:
        lines = self.lines_per_day
        artists = _or_default(self.artists, min(max(lines // 2_000, 10), 200))
        return Scale(
            users=_or_default(self.users, max(lines // 10, 500)),
            devices=_or_default(self.devices, max(lines // 8, 600)),
            artists=artists,
            posts=_or_default(self.posts, max(lines // 20, 500)),
            notices=_or_default(self.notices, max(lines // 500, 5 * artists)),
        )


def _or_default(value: int | None, default: int) -> int:
    return default if value is None else value
