"""Shared by the tests of the session marts: a bench that runs mart functions, and slow reference implementations.

The implementations follow the tables' documented rules line by line over lists of dicts, and use nothing of the
package.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import ibis
import pyarrow as pa
import pytest
from hypothesis import strategies as st

from wemart_assets.lake.inject import parameters
from wemart_assets.lake.mart import Mart
from wemart_assets.lake.session import Session
from wemart_assets.lake.table import data_type
from wemart_assets.marts.sessions.wv_server_log_base import wv_server_log_base
from wemart_assets.marts.sessions.wv_sess_daily import wv_sess_daily
from wemart_assets.setting_values.session_form import SessionForm
from wemart_assets_tests.engines import duckdb_lake
from wemart_assets_tests.server_log import LOG_COLUMNS

Row = dict[str, Any]

SEOUL = "Asia/Seoul"
RUN = dt.datetime(2024, 2, 1, tzinfo=dt.UTC)
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Bench:
    """Compiles a mart function once per set of settings, over tables that are refilled for each run.

    Compiling an expression costs ten times as much as running it over a few rows.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.queries: dict[tuple[Any, ...], str] = {}

    def __call__(self, mart: Mart, settings: Mapping[str, Any], **inputs: Sequence[Row]) -> list[Row]:
        """The mart's rows, typed as its table declares them, over these inputs; inputs not given are empty."""
        assert set(inputs) <= set(mart.inputs)
        names = {name: f"{mart.table.name}__{name}" for name in mart.inputs}
        key = (mart.table.full_name, *sorted(settings.items()))
        if key not in self.queries:
            self.queries[key] = self._compile(mart, settings, names)
        for name, given in mart.inputs.items():
            self._fill(names[name], given.table.arrow_schema, inputs.get(name, ()))
        found = self.session.connection.raw.execute(self.queries[key]).to_arrow_table()
        # Types as readers of the lake see them, not the engine's internal ones such as 128-bit sums.
        rows: list[Row] = found.cast(mart.table.arrow_schema).to_pylist()
        return rows

    def _compile(self, mart: Mart, settings: Mapping[str, Any], names: Mapping[str, str]) -> str:
        tables = {
            name: self.session.connection.ibis.create_table(
                names[name], schema=ibis.schema(given.table.arrow_schema), temp=True, overwrite=True
            )
            for name, given in mart.inputs.items()
        }
        asked = parameters(mart.function)
        rows = mart(**{name: table for name, table in tables.items() if name in asked}, **settings)
        # Over a range there is no day column, nor columns derived from it.
        missing = {c.name: ibis.null(data_type(c.type)) for c in mart.table.columns if c.name not in rows.columns}
        rows = rows.mutate(**missing).mutate(run_timestamp=ibis.literal(RUN, type="timestamp('UTC')"))
        return str(self.session.connection.ibis.compile(mart.table.conform(rows)))

    def _fill(self, name: str, schema: pa.Schema, rows: Sequence[Row]) -> None:
        for row in rows:
            assert set(row) <= set(schema.names), sorted(set(row) - set(schema.names))
        self.session.connection.raw.execute(f"delete from {name}")
        self.session.connection.raw.register("incoming", pa.Table.from_pylist(list(rows), schema=schema))
        self.session.connection.raw.execute(f"insert into {name} select * from incoming")
        self.session.connection.raw.unregister("incoming")


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("bench")
    engine = duckdb_lake(folder / "lake")
    with engine.connect() as session:
        yield Bench(session)


# --- lines of the log -------------------------------------------------------------------------------------------------


def instant(text: str) -> dt.datetime:
    """A bare time such as `10:00:00.000` is on 15 January 2024 in Seoul; otherwise day and offset are given."""
    parsed = dt.datetime.fromisoformat(text if "T" in text else f"2024-01-15T{text}+09:00")
    assert parsed.tzinfo is not None, f"{text} lacks an offset"
    return parsed.astimezone(dt.UTC)


def milliseconds(at: dt.datetime) -> int:
    return (at - EPOCH) // dt.timedelta(milliseconds=1)


def from_milliseconds(ms: int) -> dt.datetime:
    return EPOCH + dt.timedelta(milliseconds=ms)


def log_line(
    at: str | int, user: int | None = None, device: str | None = "d", params: Row | str | None = None, **columns: Any
) -> Row:
    """A line of the log: `at` as for `instant`, or in milliseconds; `params` as a dict or as text."""
    row: Row = dict.fromkeys(LOG_COLUMNS)
    row |= {
        "unix_log_timestamp": at if isinstance(at, int) else milliseconds(instant(at)),
        "user_info_id": user,
        "user_info_device_id": device,
        "params": json.dumps(params) if isinstance(params, dict) else params,
    }
    assert set(columns) <= set(LOG_COLUMNS)
    return row | columns


@pytest.fixture(scope="session")
def line() -> Callable[..., Row]:
    return log_line


def _base(bench: Bench, form: SessionForm) -> Callable[..., list[Row]]:
    def run(*lines: Row, timezone: str = SEOUL, gap: int = 1800) -> list[Row]:
        dated = [
            row | {"date_id": business_day(from_milliseconds(row["unix_log_timestamp"]), timezone)} for row in lines
        ]
        values = {"timezone": timezone, "session_gap_seconds": gap, "session_form": form}
        rows = bench(wv_server_log_base, values, lines=dated)
        return sorted(rows, key=place_in_order)

    return run


@pytest.fixture(scope="session", params=SessionForm)
def base(bench: Bench, request: pytest.FixtureRequest) -> Callable[..., list[Row]]:
    """The rows of wv_server_log_base over these lines, ordered by time, with each form of sessionization."""
    return _base(bench, request.param)


@pytest.fixture(scope="session")
def parsed(bench: Bench) -> Callable[..., list[Row]]:
    """Like `base`, but with one form of sessionization: lines are parsed before sessions are computed."""
    return _base(bench, SessionForm.BUCKETS)


# --- tables.md 2.1, rules 1 to 7 --------------------------------------------------------------------------------------


def business_day(at: dt.datetime, timezone: str) -> str:
    return at.astimezone(ZoneInfo(timezone)).date().isoformat()


def session_name(start: dt.datetime, device: str, timezone: str) -> str:
    local = start.astimezone(ZoneInfo(timezone))
    second_pass = "F" if local.fold else ""
    return f"{local:%Y%m%d%H%M%S}{local.microsecond // 1000:03d}{second_pass}|{device}"


def place_in_order(row: Row) -> tuple[Any, ...]:
    """Rule 7, for a line of the log or of wv_server_log_base: NULL is last, users are compared as numbers."""
    at = row["unix_log_timestamp"] if "unix_log_timestamp" in row else milliseconds(row["log_dt"])
    user = None if row["user_info_id"] is None else int(row["user_info_id"])
    others = (row[c] for c in LOG_COLUMNS if c.startswith("user_info_") and c != "user_info_id")
    said = (user or None, row["topic"], row["url"], row["params"], *others)
    return (at, *((value is None, value) for value in said))


def device_of(row: Row) -> str | None:
    """Rule 2: the device of a line, or None if the line is left out."""
    if row["user_info_device_id"]:
        return str(row["user_info_device_id"])
    try:
        sent = json.loads(row["params"] or "")
    except json.JSONDecodeError:
        return None
    if not isinstance(sent, dict):
        return None
    consumer = sent.get("consumer_id")
    if consumer is None:
        consumer = sent.get("_consumer_id")
    if consumer == "tvApp" and row["user_info_user_key"] is not None:
        return "U_" + str(row["user_info_user_key"])
    return None


def sessions_reference(lines: Sequence[Row], timezone: str, gap_seconds: int) -> list[Row]:
    """Rules 1 to 7 of wv_server_log_base: each counted line with its session and user. Other keys are kept."""
    of_device: dict[tuple[str, str], list[Row]] = {}
    for row in lines:
        device, at = device_of(row), from_milliseconds(row["unix_log_timestamp"])
        if device is not None:
            counted = row | {"log_dt": at, "user_info_device_id": device, "date_id": business_day(at, timezone)}
            counted["user_info_id"] = str(row["user_info_id"]) if row["user_info_id"] else None
            of_device.setdefault((counted["date_id"], device), []).append(counted)

    rows: list[Row] = []
    for (_, device), found in of_device.items():
        found.sort(key=place_in_order)
        sessions = [[found[0]]]
        for before, row in itertools.pairwise(found):
            if row["unix_log_timestamp"] - before["unix_log_timestamp"] > gap_seconds * 1000:
                sessions.append([])
            sessions[-1].append(row)
        for number, session in enumerate(sessions, 1):
            start, end = session[0]["log_dt"], session[-1]["log_dt"]
            name = session_name(start, device, timezone)
            users = fill([row["user_info_id"] for row in session])
            for row, user in zip(session, users, strict=True):
                own = [other["log_dt"] for other, its in zip(session, users, strict=True) if its == user]
                rows.append(
                    row
                    | {
                        "sess_id": name,
                        "sess_seq": number,
                        "sess_start_dt": start,
                        "sess_end_dt": end,
                        "user_id_fill": user,
                        "user_sess_id": name if user is None else f"{name}|{user}",
                        "user_sess_start_dt": own[0],
                        "user_sess_end_dt": own[-1],
                    }
                )
    return rows


def fill(users: Sequence[str | None]) -> list[str | None]:
    """Rule 5: the next known user at or after each position, otherwise the last one before it."""
    filled = []
    for place in range(len(users)):
        after = [user for user in users[place:] if user is not None]
        before = [user for user in users[:place] if user is not None]
        filled.append(after[0] if after else before[-1] if before else None)
    return filled


@pytest.fixture(scope="session")
def sessions_expected() -> Callable[[Sequence[Row], str, int], list[Row]]:
    return sessions_reference


# --- tables.md 2.2 ----------------------------------------------------------------------------------------------------

# Columns that wv_server_log_base parses from url, params and user agent and that wv_sess_daily reads.
READ_FROM_LINE = ("comm_id", "post_id", "notice_id", "gcc", "platform", "os", "app_ver")


def visit_line(at: str | int, user: int | None = None, device: str = "d", **columns: Any) -> Row:
    """A parsed line of the log. Its values are also in its params, which gives lines an order."""
    read: Row = {name: columns.pop(name, None) for name in READ_FROM_LINE}
    return log_line(at, user, device, params=columns.pop("params", read), **columns) | read


@dataclass(frozen=True)
class World:
    """All inputs of wv_sess_daily: lines made by `visit_line`, and the snapshots of each day."""

    lines: Sequence[Row]
    posts: Sequence[Row] = ()
    notices: Sequence[Row] = ()
    users: Sequence[Row] = ()
    members: Sequence[Row] = ()
    artists: Sequence[Row] = ()
    memberships: Sequence[Row] = ()
    timezone: str = SEOUL

    def base_lines(self) -> list[Row]:
        """The lines as rows of wv_server_log_base, in the order given."""
        numbered = [row | {"number": number} for number, row in enumerate(self.lines)]
        rows = sorted(sessions_reference(numbered, self.timezone, 1800), key=lambda row: row["number"])
        return [{k: v for k, v in row.items() if k not in ("unix_log_timestamp", "number")} for row in rows]


def holds_membership(order: Row, day: str, timezone: str) -> bool:
    """Paid, not cancelled by a restore, started before the end of the day, and not ended before its start."""
    zone = ZoneInfo(timezone)
    midnight = dt.datetime.fromisoformat(day).replace(tzinfo=zone)
    next_midnight = (dt.datetime.fromisoformat(day) + dt.timedelta(days=1)).replace(tzinfo=zone)
    return (
        order["ord_status"] != "PAYMENT_FAILED"
        and order["is_cx_by_restore"] in (0, None)
        and order["start_dt"].timestamp() < next_midnight.timestamp()
        and (order["end_dt"] is None or order["end_dt"].timestamp() >= midnight.timestamp())
    )


def seconds_of(start: dt.datetime, end: dt.datetime) -> int:
    second = dt.timedelta(seconds=1)
    return (end - EPOCH) // second - (start - EPOCH) // second + 1


def last_known(lines: Sequence[Row], read: Callable[[Row], Any]) -> Any:
    known = [read(row) for row in sorted(lines, key=place_in_order) if read(row) is not None]
    return known[-1] if known else None


def country(row: Row) -> Any:
    return row["user_info_country"] if row["gcc"] is None else row["gcc"]


def sess_daily_reference(world: World) -> list[Row]:
    """The rows of wv_sess_daily without `run_timestamp`."""
    lines = world.base_lines()
    rows: list[Row] = []
    for row in lines:
        day, user = row["date_id"], row["user_id_fill"]

        def as_of(snapshot: Sequence[Row], day: str = day, **values: Any) -> Row | None:
            found = [r for r in snapshot if r["part_date"] == day and all(r[k] == v for k, v in values.items())]
            assert len(found) < 2, f"{values} is no key"
            return found[0] if found else None

        number = None if user is None else int(user)
        comm = community_of(row, as_of, world)
        member = None if comm is None or number is None else as_of(world.members, comm_id=int(comm), wv_user_id=number)
        if member is None and row["post_id"] is None and row["notice_id"] is None:
            comm = None
        account = None if number is None else as_of(world.users, wv_user_id=number)
        artist = None if comm is None else as_of(world.artists, comm_id=int(comm))
        is_fc = None
        if account is not None and artist is not None:
            is_fc = int(
                any(
                    order["part_date"] == day
                    and order["we_art_id"] == artist["we_art_id"]
                    and order["we_member_id"] == account["we_member_id"]
                    and holds_membership(order, day, world.timezone)
                    for order in world.memberships
                )
            )
        of_session = [r for r in lines if r["sess_id"] == row["sess_id"]]
        of_device = [r for r in lines if (r["date_id"], r["user_info_device_id"]) == (day, row["user_info_device_id"])]
        of_user = of_device if user is None else [r for r in lines if (r["date_id"], r["user_id_fill"]) == (day, user)]
        made = {
            "key_date": dt.date.fromisoformat(day),
            "we_member_id": account and account["we_member_id"],
            "wv_user_id": account and account["wv_user_id"],
            "user_ctry": last_known(of_user, country),
            "device_id": row["user_info_device_id"],
            "is_device_login": int(any(r["user_id_fill"] is not None for r in of_device)),
            "we_art_id": artist and artist["we_art_id"],
            "we_art_name": artist and artist["we_art_name"],
            "comm_id": comm,
            "is_comm_user": None if comm is None else int(member is not None),
            "is_fc": is_fc,
            "art_indi_id": member and member["art_indi_id"],
            "art_indi_type": member and member["art_indi_type"],
            "sess_id": row["sess_id"],
            "sess_ctry": last_known(of_session, country),
            "sess_start_dt": row["sess_start_dt"],
            "sess_end_dt": row["sess_end_dt"],
            "sess_dur": seconds_of(row["sess_start_dt"], row["sess_end_dt"]),
            "user_sess_id": row["user_sess_id"],
            "is_sess_login": int(user is not None),
            "user_sess_start_dt": row["user_sess_start_dt"],
            "user_sess_end_dt": row["user_sess_end_dt"],
            "user_sess_dur": seconds_of(row["user_sess_start_dt"], row["user_sess_end_dt"]),
            "platform": last_known(of_session, lambda r: r["platform"]),
            "os": last_known(of_session, lambda r: r["os"]),
            "app_ver": last_known(of_session, lambda r: r["app_ver"]),
            "part_date": day,
        }
        if made not in rows:
            rows.append(made)
    return rows


def community_of(row: Row, as_of: Callable[..., Row | None], world: World) -> str | None:
    """The community of the line, otherwise of its post, otherwise of its notice."""
    if row["comm_id"] is not None:
        return str(row["comm_id"])
    if row["post_id"] is not None:
        shard, _, local = row["post_id"].partition("-")
        post = as_of(world.posts, shard_id=int(shard), post_local_id=int(local))
        if post is not None and post["community_id"] is not None:
            return str(post["community_id"])
    if row["notice_id"] is not None:
        notice = as_of(world.notices, id=int(row["notice_id"]))
        if notice is not None and (notice["parent_id"] or "").startswith("community-"):
            return str(notice["parent_id"]).removeprefix("community-")
    return None


@pytest.fixture(scope="session")
def visit() -> Callable[..., Row]:
    return visit_line


@pytest.fixture(scope="session")
def sess_daily(bench: Bench) -> Callable[..., list[Row]]:
    """The rows of wv_sess_daily over a world, ordered by session, user and community."""

    def run(world: World) -> list[Row]:
        rows = bench(
            wv_sess_daily,
            {"timezone": world.timezone},
            lines=world.base_lines(),
            posts=world.posts,
            notices=world.notices,
            users=world.users,
            members=world.members,
            artists=world.artists,
            memberships=world.memberships,
        )
        return sorted(rows, key=lambda r: (r["part_date"], r["sess_id"], r["user_sess_id"], r["comm_id"] or ""))

    return run


@pytest.fixture(scope="session")
def sess_daily_expected() -> Callable[[World], list[Row]]:
    return sess_daily_reference


@pytest.fixture(scope="session")
def world() -> Callable[..., World]:
    """A world of the given lines. Snapshot rows without a day are present on every business day of the lines."""

    def build(*lines: Row, timezone: str = SEOUL, **snapshots: Sequence[Row]) -> World:
        days = sorted({business_day(from_milliseconds(row["unix_log_timestamp"]), timezone) for row in lines})
        dated = {
            name: [{"part_date": day} | row for row in rows for day in days if row.get("part_date", day) == day]
            for name, rows in snapshots.items()
        }
        return World(lines, timezone=timezone, **dated)

    return build


# --- random worlds ----------------------------------------------------------------------------------------------------

# Midnights with the days on both sides: an ordinary one, and those at either end of a 25-hour day.
MIDNIGHTS = (
    (SEOUL, "2024-01-14T15:00:00+00:00", ("2024-01-14", "2024-01-15")),
    ("America/New_York", "2024-11-03T04:00:00+00:00", ("2024-11-02", "2024-11-03")),
    ("America/New_York", "2024-11-04T05:00:00+00:00", ("2024-11-03", "2024-11-04")),
)
# The users of a device: none, one or several; user 77 has no account.
USERS: tuple[tuple[int | None, ...], ...] = ((None,), (77,), (9,), (None, 10), (None, 0, 9, 10, 77))
STEPS = (0, 0, 1, 400, 999, 1000, 1001, 600_000, 1_799_999, 1_800_000, 1_800_001, 3_600_000)


@st.composite
def random_worlds(draw: st.DrawFn) -> World:
    """Two days around a midnight with few devices, users, communities and posts; snapshots differ between days."""
    timezone, at, days = draw(st.sampled_from(MIDNIGHTS))
    midnight = instant(at)

    def maybe(*values: Any) -> Any:
        return draw(st.sampled_from([None, *values]))

    lines = []
    for device in draw(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3)):
        ms = milliseconds(midnight) - draw(st.sampled_from([0, 1, 1000, 1_800_000, 5_400_000]))
        users = draw(st.sampled_from(USERS))
        for step in draw(st.lists(st.sampled_from(STEPS), min_size=1, max_size=10)):
            ms += step
            lines.append(
                visit_line(
                    ms,
                    draw(st.sampled_from(users)),
                    device,
                    comm_id=maybe("11", "11", "12", "13"),
                    post_id=maybe(None, None, "1-1", "1-2", "1-3"),
                    notice_id=maybe(None, None, "5", "6", "7"),
                    gcc=maybe("KR", "US"),
                    user_info_country=maybe("JP"),
                    platform=maybe("APP", "PC"),
                    os=maybe("IOS", "AND"),
                    app_ver=maybe("3.1.0", "3.2.0"),
                    topic=maybe("x", "y"),
                    user_info_locale=maybe("ko"),
                )
            )

    def some(rows: Sequence[Row]) -> list[Row]:
        """Most of the rows, for each day."""
        every = [row | {"part_date": day} for day in days for row in rows]
        # The bits of one number, so that there is one draw however many rows there are.
        masks = st.integers(0, 2 ** len(every) - 1)
        kept = draw(masks) | draw(masks)
        return [row for place, row in enumerate(every) if kept >> place & 1]

    near = [d + dt.timedelta(microseconds=off) for d in day_ends(days, timezone) for off in (-1, 0, 1)]
    orders = [
        {
            "we_member_id": draw(st.sampled_from([109, 110])),
            "we_art_id": draw(st.sampled_from([1, 2])),
            "comm_id": 11,
            "fc_id": number,
            "create_dt": EPOCH,
            "start_dt": draw(st.sampled_from(near)),
            "end_dt": draw(st.sampled_from([None, *near])),
            "ord_status": draw(st.sampled_from(["PAID", "PAYMENT_FAILED", "PAID"])),
            "is_cx_by_restore": draw(st.sampled_from([0, 0, 1])),
        }
        for number in range(draw(st.integers(0, 4)))
    ]
    return World(
        lines,
        posts=some([{"shard_id": 1, "post_local_id": n, "community_id": c} for n, c in ((1, 11), (2, 12), (3, None))]),
        notices=some([{"id": n, "parent_id": of} for n, of in ((5, "community-11"), (6, "community-12"), (7, None))]),
        users=some([{"we_member_id": m, "wv_user_id": w} for m, w in ((109, 9), (110, 10), (111, None), (112, None))]),
        members=some(
            [
                {"comm_id": c, "wv_user_id": w, "art_indi_id": i, "art_indi_type": i and "ARTIST"}
                for c, w, i in ((11, 9, None), (11, 10, "11-10"), (12, 10, None), (13, 9, None), (12, 77, None))
            ]
        ),
        artists=some(
            [
                {"we_art_id": a, "we_art_name": name, "comm_id": c}
                for a, name, c in ((1, "One", 11), (2, None, 12), (3, "Three", None), (4, "Four", None))
            ]
        ),
        memberships=some(orders),
        timezone=timezone,
    )


def day_ends(days: Sequence[str], timezone: str) -> list[dt.datetime]:
    """The midnights before, between and after the days."""
    dates = [dt.date.fromisoformat(days[0]) + dt.timedelta(days=n) for n in range(len(days) + 1)]
    starts = [dt.datetime.combine(d, dt.time(), tzinfo=ZoneInfo(timezone)) for d in dates]
    return [start.astimezone(dt.UTC) for start in starts]


@pytest.fixture(scope="session")
def worlds() -> st.SearchStrategy[World]:
    return random_worlds()
