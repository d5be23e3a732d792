"""The visits of each day, cut into sessions at the midnight between business days.

A **visit** is a burst of lines of one device. Its lines are at most 30:00.000 minutes apart; the visits of a device are
at least 30:00.001 minutes apart. Visits are generated this way, so the sessions are known and need not be searched for.
Within a visit, a **run** is a stretch of lines by one user, or by nobody. A visit that crosses midnight is one session
on each of the two days.
"""

from dataclasses import dataclass, fields, replace

import numpy as np

from wemart_assets.simulator.clients import CLIENT_NUMBERS, KEYED_TV
from wemart_assets.simulator.columns import (
    Bools,
    Floats,
    Ints,
    Stream,
    cumulative,
    pick,
    positions_in_groups,
    random_stream,
    starts_of_runs,
)
from wemart_assets.simulator.config import SimulatorConfig
from wemart_assets.simulator.platform import COUNTRY_SHARES, NOBODY, UNKNOWN, Platform

SESSION_GAP_MS = 30 * 60 * 1000
NO_VISIT = -1
NO_DEVICE = -1
LONGEST_VISIT_MS = 12 * 3_600_000
LONGEST_VISIT_LINES = 300
LINES_PER_DEVICE = 18  # measured; only used to estimate how many devices fill a day

VISITS_OF_DEVICE = cumulative((55, 25, 12, 5, 3))
VISITS_AT_HOUR = cumulative((5, 3, 2, 1, 1, 1, 2, 4, 5, 4, 4, 4, 6, 5, 4, 4, 4, 5, 6, 7, 8, 9, 9, 8))

# One in this many gaps is placed at the limit of the session gap.
EXACT_GAP_EVERY = 400
CLOSEST_VISIT_EVERY = 20

OWNER, SECOND_USER = 0, 1
USERS_OF_VISIT: tuple[tuple[float, tuple[int, ...]], ...] = (
    (56, (OWNER,)),
    (14, (NOBODY,)),
    (10, (NOBODY, OWNER)),
    (6, (OWNER, NOBODY)),
    (4, (NOBODY, OWNER, NOBODY)),
    (4, (OWNER, SECOND_USER)),
    (2, (OWNER, NOBODY, SECOND_USER)),
    (2, (OWNER, SECOND_USER, OWNER)),
    (2, (NOBODY, OWNER, SECOND_USER, NOBODY)),
)
MOST_RUNS = max(len(roles) for _, roles in USERS_OF_VISIT)
NO_ROLE = -2
ROLES = np.array([(*roles, *(NO_ROLE,) * (MOST_RUNS - len(roles))) for _, roles in USERS_OF_VISIT])


@dataclass(frozen=True)
class Runs:
    """One row per run: what its lines have in common. Users, devices, clients etc. are given by row number."""

    visit: Ints  # number within the day, or NO_VISIT for lines outside any session
    sess_seq: Ints  # number of the session within device and business day, from 1
    device: Ints  # or NO_DEVICE
    user: Ints  # or NOBODY
    key_user: Ints  # the user whose key the lines carry, or NOBODY
    client: Ints
    version: Ints
    country: Ints  # or UNKNOWN
    community: Ints  # the one that most lines are about
    joins: Bools  # the user joins the community with the first line
    leaves: Bools  # the user leaves the community with the first line

    def take(self, rows: Ints | slice) -> "Runs":
        return Runs(*(getattr(self, column.name)[rows] for column in fields(self)))


@dataclass(frozen=True)
class Visits:
    """Log lines, grouped by run and in time order within a run.

    `at` is the instant of each line in milliseconds since the epoch, `run` its row in `runs`.
    """

    runs: Runs
    at: Ints
    run: Ints

    def __len__(self) -> int:
        return len(self.at)

    @classmethod
    def none(cls) -> "Visits":
        no_ints = np.zeros(0, dtype=np.int64)
        no_bools = np.zeros(0, dtype=np.bool_)
        runs = Runs(*(no_ints,) * 9, joins=no_bools, leaves=no_bools)
        return cls(runs, no_ints, no_ints)

    def followed_by(self, other: "Visits") -> "Visits":
        columns = (np.concatenate([getattr(part.runs, c.name) for part in (self, other)]) for c in fields(Runs))
        run = np.concatenate([self.run, other.run + len(self.runs.visit)])
        return Visits(Runs(*columns), np.concatenate([self.at, other.at]), run)

    def split_at(self, midnight: int) -> tuple["Visits", "Visits"]:
        """The lines before midnight, and those from midnight on, which begin the first sessions of the next day."""
        is_later = self.at >= midnight
        later_runs, run = np.unique(self.run[is_later], return_inverse=True)
        runs = self.runs.take(later_runs)
        _, visit = np.unique(runs.visit, return_inverse=True)
        # Joining and leaving happen with the first line of a run, on the day on which the visit began.
        never = np.zeros(len(visit), dtype=np.bool_)
        next_day = replace(runs, visit=visit, sess_seq=np.ones_like(runs.sess_seq), joins=never, leaves=never)
        today = Visits(self.runs, self.at[~is_later], self.run[~is_later])
        return today, Visits(next_day, self.at[is_later], run)


def visits_of_day(config: SimulatorConfig, platform: Platform, day: int, carried: Visits) -> tuple[Visits, Visits]:
    """The lines of a business day, and the lines of its visits that fall into the next day.

    `carried` are the lines that the previous day carried into this one. The day has about `config.lines_per_day` lines,
    fewer if there are not enough devices.
    """
    loose = _lines_without_device(config, platform, day)
    wanted = config.lines_per_day - len(carried) - len(loose)
    today, next_day = _layout(config, platform, day, carried, wanted).split_at(platform.days.end(day))
    return carried.followed_by(today).followed_by(loose), next_day


def _layout(config: SimulatorConfig, platform: Platform, day: int, carried: Visits, wanted: int) -> Visits:
    random = random_stream(config.seed, Stream.VISITS, day)
    start, end = platform.days.start(day), platform.days.end(day)
    devices = platform.devices

    # Usually enough devices to fill the day; the surplus is cut off below.
    candidates = random.permutation(len(devices))[: int(1.25 * max(wanted, 0) / LINES_PER_DEVICE) + 40]
    visits_of_device = 1 + pick(VISITS_OF_DEVICE, random.random(len(candidates)))
    device_of_visit = np.repeat(np.arange(len(candidates)), visits_of_device)
    lines_of_visit = _lines_of_visits(random, len(device_of_visit))
    visit_of_line = np.repeat(np.arange(len(lines_of_visit)), lines_of_visit)
    first_of_visit = np.cumsum(lines_of_visit) - lines_of_visit

    users = _users_of_visits(random, platform, day, candidates[device_of_visit], lines_of_visit)

    gap = _gaps_within_visits(random, len(visit_of_line))
    _untie(gap, users.first_line, users.user, users.visit, platform)
    busy_until = _busy_until(carried, start, len(devices))[candidates]
    gap[first_of_visit] = _gaps_before_visits(random, visits_of_device, busy_until, end - start)
    at = _running_time(gap, first_of_visit, visits_of_device) + start

    from_start = at - np.repeat(at[first_of_visit], lines_of_visit)
    has_one_visit = (visits_of_device == 1) & (busy_until == 0)
    _meet_midnight(at, first_of_visit, lines_of_visit, has_one_visit[device_of_visit], start, end)
    # A visit that would begin after midnight does not take place, nor do the visits after it.
    takes_place = np.repeat(at[first_of_visit] < end, lines_of_visit) & (from_start <= LONGEST_VISIT_MS)

    device_of_line = device_of_visit[visit_of_line]
    lines_today = np.bincount(device_of_line[takes_place & (at < end)], minlength=len(candidates))
    last_device = int(np.searchsorted(np.cumsum(lines_today), wanted))
    kept = np.flatnonzero(takes_place & (device_of_line <= last_device))

    run_of_line = np.zeros(len(at), dtype=np.int32)
    run_of_line[users.first_line] = 1
    run_of_line = np.cumsum(run_of_line, dtype=np.int32) - 1
    device = candidates[device_of_visit]
    first_visit = int(carried.runs.visit.max(initial=-1)) + 1
    runs = _describe_runs(
        random,
        platform,
        day,
        visit=users.visit + first_visit,
        sess_seq=(positions_in_groups(visits_of_device) + 1 + (busy_until > 0)[device_of_visit])[users.visit],
        device=device[users.visit],
        user=users.user,
    )
    return Visits(runs, at[kept], run_of_line[kept])


def _lines_of_visits(random: np.random.Generator, visits: int) -> Ints:
    lines = 2 + random.geometric(1 / 11, visits)
    draws = random.random(visits)
    lines = np.where(draws < 0.1, 1, np.where(draws > 0.99, 10 * lines, lines))
    return lines.clip(max=LONGEST_VISIT_LINES)


@dataclass(frozen=True)
class _UsersOfVisits:
    """One row per run: its visit, its user and its first line."""

    visit: Ints
    user: Ints
    first_line: Ints


def _users_of_visits(
    random: np.random.Generator, platform: Platform, day: int, device: Ints, lines: Ints
) -> _UsersOfVisits:
    devices = platform.devices
    pattern = pick(cumulative([share for share, _ in USERS_OF_VISIT]), random.random(len(lines)))
    roles = ROLES[pattern]
    runs = np.minimum((roles != NO_ROLE).sum(axis=1), lines)

    lines_of_run = np.zeros((len(lines), MOST_RUNS), dtype=np.int64)
    remaining = lines.copy()
    for turn in range(MOST_RUNS):
        runs_to_come = runs - turn - 1
        part = 1 + (random.random(len(lines)) * (remaining - runs_to_come.clip(min=0))).astype(np.int64)
        lines_of_run[:, turn] = np.where(runs_to_come > 0, part, np.where(runs_to_come == 0, remaining, 0))
        remaining = remaining - lines_of_run[:, turn]

    user = np.select(
        [roles == OWNER, roles == SECOND_USER],
        [devices.owner[device][:, None], devices.second_user[device][:, None]],
        NOBODY,
    )
    user = np.where((user != NOBODY) & platform.users.active(day)[user], user, NOBODY)
    has_lines = lines_of_run > 0
    sizes = lines_of_run[has_lines]
    return _UsersOfVisits(np.nonzero(has_lines)[0], user[has_lines], np.cumsum(sizes) - sizes)


def _gaps_within_visits(random: np.random.Generator, lines: int) -> Ints:
    """Milliseconds since the previous line: mostly seconds, some minutes; with ties, and gaps at the limit."""
    draws = random.random(lines)
    typical = np.where(draws < 0.88, 15_000.0, 240_000.0)
    gap = (random.standard_exponential(lines) * typical).astype(np.int64).clip(max=SESSION_GAP_MS - 2)
    gap[draws < 0.03] = 0
    gap[EXACT_GAP_EVERY // 2 :: EXACT_GAP_EVERY] = SESSION_GAP_MS
    gap[::EXACT_GAP_EVERY] = SESSION_GAP_MS - 1
    return gap


def _untie(gap: Ints, first_line: Ints, user: Ints, visit: Ints, platform: Platform) -> None:
    """Leaves ties between two users of a visit only in the order in which the mart has to read them.

    That order is the lower id first and nobody last. With any other tie, the mart would read the users in another order
    than the one generated here.
    """
    user_id = np.where(user == NOBODY, np.iinfo(np.int64).max, platform.users.wv_user_id[user])
    follows = np.flatnonzero(visit[1:] == visit[:-1]) + 1
    in_order = user_id[follows - 1] < user_id[follows]
    gap[first_line[follows[in_order]][::2]] = 0
    out_of_order = first_line[follows[~in_order]]
    gap[out_of_order] = np.maximum(gap[out_of_order], 1)


def _gaps_before_visits(random: np.random.Generator, visits_of_device: Ints, busy_until: Ints, day_length: int) -> Ints:
    """Milliseconds from the previous visit, or from the day's start, to each visit; more than a gap between visits."""
    visits = int(visits_of_device.sum())
    gap = (random.standard_exponential(visits) * 5_400_000).astype(np.int64)
    gap[::CLOSEST_VISIT_EVERY] = 0
    gap += SESSION_GAP_MS + 1

    first = np.cumsum(visits_of_device) - visits_of_device
    devices = len(visits_of_device)
    hour = pick(VISITS_AT_HOUR, random.random(devices)) + random.random(devices)
    time_of_day = (hour / 24 * day_length).astype(np.int64)
    gap[first] = np.where(busy_until > 0, busy_until + gap[first], time_of_day)
    return gap


def _busy_until(carried: Visits, start: int, devices: int) -> Ints:
    """For each device, when its visit from the previous day ends, in milliseconds after the day's start; else 0."""
    busy = np.zeros(devices, dtype=np.int64)
    # A carried line exactly at midnight still makes the device busy.
    np.maximum.at(busy, carried.runs.device[carried.run], np.maximum(carried.at - start, 1))
    return busy


def _running_time(gap: Ints, first_of_visit: Ints, visits_of_device: Ints) -> Ints:
    """Milliseconds since the start of the day: the cumulative gaps of each device."""
    total = np.cumsum(gap)
    first_of_device = first_of_visit[np.cumsum(visits_of_device) - visits_of_device]
    previous_total = total[first_of_device] - gap[first_of_device]
    lines = np.diff(first_of_device, append=len(gap))
    return np.asarray(total - np.repeat(previous_total, lines))


def _meet_midnight(at: Ints, first_of_visit: Ints, lines: Ints, movable: Bools, start: int, end: int) -> None:
    """Shifts some of the visits that cross the day's end so that one of their lines is exactly at midnight."""
    crosses = movable & (at[first_of_visit] < end) & (at[first_of_visit + lines - 1] >= end)
    for visit in np.flatnonzero(crosses)[::8][:100]:
        visit_lines = slice(first_of_visit[visit], first_of_visit[visit] + lines[visit])
        shift = int(at[visit_lines][np.searchsorted(at[visit_lines], end)]) - end
        if at[first_of_visit[visit]] - shift >= start:
            at[visit_lines] -= shift


def _describe_runs(
    random: np.random.Generator, platform: Platform, day: int, *, visit: Ints, sess_seq: Ints, device: Ints, user: Ints
) -> Runs:
    devices = platform.devices
    client = devices.client[device]
    is_abroad = random.random(len(visit))[starts_of_runs(visit)] < 0.02
    visit_row = np.cumsum(np.diff(visit, prepend=-1) != 0) - 1
    country_abroad = pick(COUNTRY_SHARES, random.random(len(is_abroad)))
    community, joins, leaves = _communities_of_runs(random, platform, day, user)
    return Runs(
        visit=visit,
        sess_seq=sess_seq,
        device=device,
        user=user,
        key_user=np.where(client == KEYED_TV, devices.owner[device], user),
        client=client,
        version=devices.version[device] + (day >= devices.upgrade_day[device]),
        country=np.where(is_abroad[visit_row], country_abroad[visit_row], devices.country[device]),
        community=community,
        joins=joins,
        leaves=leaves,
    )


def _communities_of_runs(
    random: np.random.Generator, platform: Platform, day: int, user: Ints
) -> tuple[Ints, Bools, Bools]:
    """The community of each run, mostly one of the user's own, and whether the user joins or leaves it."""
    members = platform.members
    draws, anywhere = random.random((2, len(user)))
    communities_of_user = members.count_of_user[user]
    is_own = (user != NOBODY) & (communities_of_user > 0) & (random.random(len(user)) < 0.8)
    member = np.where(is_own, members.first_of_user[user] + (draws * communities_of_user).astype(np.int64), 0)
    community = np.where(is_own, members.community[member], pick(platform.communities.popularity, anywhere))
    joins = is_own & (members.joined_day[member] == day).any(axis=1)
    return community, joins, is_own & ~joins & (members.left_day[member] == day).any(axis=1)


def _lines_without_device(config: SimulatorConfig, platform: Platform, day: int) -> Visits:
    """Lines of browsers, apps and TVs that send no device id, and so belong to no session."""
    random = random_stream(config.seed, Stream.LOOSE_LINES, day)
    count = max(8, config.lines_per_day // 200)
    start, end = platform.days.start(day), platform.days.end(day)
    kind = np.arange(count) % 4
    any_user = random.integers(0, len(platform.users), count)
    user = np.where((kind % 2 == 1) & platform.users.active(day)[any_user], any_user, NOBODY)
    clients = [CLIENT_NUMBERS[name] for name in ("browser", "ios", "tv app", "tvOS app")]
    runs = Runs(
        visit=np.full(count, NO_VISIT),
        sess_seq=np.zeros(count, dtype=np.int64),
        device=np.full(count, NO_DEVICE),
        user=user,
        key_user=user,
        client=np.array(clients)[kind],
        version=np.zeros(count, dtype=np.int64),
        country=np.full(count, UNKNOWN),
        community=pick(platform.communities.popularity, random.random(count)),
        joins=np.zeros(count, dtype=np.bool_),
        leaves=np.zeros(count, dtype=np.bool_),
    )
    draws: Floats = random.random(count)
    return Visits(runs, start + (draws * (end - start)).astype(np.int64), np.arange(count))
