"""Stage and publish: one commit replaces exactly the days of a run, and readers see exactly what was published."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from hypothesis import HealthCheck, settings
from hypothesis import given as property_of
from hypothesis import strategies as st

from wemart_assets.lake.days import days_between
from wemart_assets.lake.engine import Staged
from wemart_assets.lake.errors import PublishConflict, UnknownOutcome, UnreadableTable, WemartError
from wemart_assets.lake.folder_store import FolderStore
from wemart_assets.lake.functions import (
    from_utc_timestamp,
    get_json_object,
    in_repeated_time,
    json_fields,
    timestamp_millis,
    unix_millis,
    unix_seconds,
)
from wemart_assets.lake.publication import stage
from wemart_assets.lake.session import Lake, Session
from wemart_assets.lake.store import COMMIT_ATTEMPTS, ExternalStore, LostRace, Unanswered
from wemart_assets.lake.table import RUN_TIMESTAMP, Table, column

Row = Mapping[str, Any]
Write = Callable[..., int]
Read = Callable[..., list[dict[str, Any]]]
Hashes = Callable[[Path, Table], dict[str, str]]
OpenEngine = Callable[[Path], Lake]
Given = Callable[[Session, Table, Sequence[Row]], ir.Table]

DAYS = [f"2024-03-{n:02d}" for n in range(1, 7)]
PROPERTY = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])

VISITS = Table(
    database="db",
    name="visits",
    description="One row per visit.",
    grain=("id",),
    columns=(
        column("id", "bigint", "number of the visit", nullable=False),
        column("name", "string", "who came"),
        column("part_date", "string", "business day", nullable=False),
        RUN_TIMESTAMP,
    ),
)
MEMBERS = Table(
    database="db",
    name="members",
    description="One row per community and member.",
    grain=("comm_id", "user_id"),
    partition_by=("part_comm_id", "part_date"),
    columns=(
        column("comm_id", "bigint", "community", nullable=False),
        column("user_id", "bigint", "member", nullable=False),
        column("part_comm_id", "bigint", "community, as partitions are named", nullable=False),
        column("part_date", "string", "business day", nullable=False),
        RUN_TIMESTAMP,
    ),
)
VALUES = Table(
    database="db",
    name="values",
    description="One row per value of each type.",
    columns=(
        column("small", "tinyint", "8 bits"),
        column("number", "int", "32 bits"),
        column("big", "bigint", "64 bits"),
        column("ratio", "double", "floating point"),
        column("flag", "boolean", "yes or no"),
        column("text", "string", "text"),
        column("day", "date", "calendar day"),
        column("at", "timestamp", "instant"),
        column("price", "decimal(18,4)", "price"),
        column("total", "decimal(38,4)", "sum of prices"),
        column("part_date", "string", "business day", nullable=False),
        RUN_TIMESTAMP,
    ),
)


def visits(day: str, *ids: int) -> list[Row]:
    return [{"id": n, "name": f"n{n}", "part_date": day} for n in ids]


def log_of(lake: Path, table: Table) -> DeltaTable:
    return DeltaTable(lake / table.database / table.name)


def active(lake: Path, table: Table) -> list[dict[str, Any]]:
    """The add actions of a table's current state, as any reader of the log sees them."""
    actions: list[dict[str, Any]] = pa.table(log_of(lake, table).get_add_actions(flatten=True)).to_pylist()
    return actions


# What readers see


def test_readers_see_the_first_publication(session: Session, write: Write, read: Read) -> None:
    write(session, VISITS, DAYS[:1], visits(DAYS[0], 1, 2))
    assert read(session, VISITS) == visits(DAYS[0], 1, 2)


def test_another_reader_of_the_delta_table_sees_the_same_rows(session: Session, write: Write, lake: Path) -> None:
    write(session, VISITS, DAYS[:2], visits(DAYS[0], 1) + visits(DAYS[1], 2))
    rows = log_of(lake, VISITS).to_pyarrow_table(columns=["id", "name", "part_date"]).to_pylist()
    assert sorted(rows, key=lambda row: row["id"]) == visits(DAYS[0], 1) + visits(DAYS[1], 2)


def test_staged_rows_are_invisible_until_they_are_published(
    session: Session, given: Given, read: Read, now: dt.datetime
) -> None:
    baseline = session.baseline(VISITS, DAYS[:1])
    staged = stage(session, VISITS, given(session, VISITS, visits(DAYS[0], 1)), DAYS[:1], baseline, now)
    assert read(session, VISITS) == []
    assert session.published(VISITS, DAYS[:1]) == set()
    assert [row["id"] for row in staged.rows.to_pyarrow().to_pylist()] == [1]
    assert (staged.count(DAYS[0]), staged.count(DAYS[1])) == (1, 0)


def test_an_unpublished_table_is_empty_and_has_its_columns(session: Session, read: Read) -> None:
    assert read(session, VISITS) == []
    assert session.read(VISITS).schema().names == ("id", "name", "part_date", "run_timestamp")


def test_a_day_is_read_without_the_files_of_other_days(session: Session, write: Write, read: Read, lake: Path) -> None:
    write(session, VISITS, DAYS[:3], [row for n, day in enumerate(DAYS[:3]) for row in visits(day, n)])
    for action in active(lake, VISITS):
        if action["partition.part_date"] != DAYS[1]:
            (lake / "db" / "visits" / action["path"]).unlink()
    assert read(session, VISITS, [DAYS[1]]) == visits(DAYS[1], 1)
    with pytest.raises(session.failures):
        read(session, VISITS)


def test_reading_no_days_gives_no_rows(session: Session, write: Write, read: Read) -> None:
    write(session, VISITS, DAYS[:1], visits(DAYS[0], 1))
    assert read(session, VISITS, []) == []


# Replacing days


@PROPERTY
@property_of(
    published=st.dictionaries(st.sampled_from(DAYS), st.sets(st.integers(1, 50)), min_size=1),
    day=st.sampled_from(DAYS),
    rows=st.sets(st.integers(100, 150)),
)
def test_replacing_a_day_leaves_every_other_day_unchanged(
    engine: OpenEngine,
    write: Write,
    read: Read,
    data_files: Hashes,
    published: dict[str, set[int]],
    day: str,
    rows: set[int],
) -> None:
    with tempfile.TemporaryDirectory() as folder, engine(Path(folder) / "lake").connect() as session:
        lake = Path(folder) / "lake"
        write(session, VISITS, sorted(published), [row for d, ids in published.items() for row in visits(d, *ids)])
        files_before = {a["path"]: a for a in active(lake, VISITS) if a["partition.part_date"] != day}
        hashes_before = data_files(lake, VISITS)
        version = log_of(lake, VISITS).version()

        write(session, VISITS, [day], visits(day, *rows))

        expected = {d: ids for d, ids in published.items() if d != day} | {day: rows}
        assert {(r["part_date"], r["id"]) for r in read(session, VISITS)} == {
            (d, n) for d, ids in expected.items() for n in ids
        }
        assert {a["path"]: a for a in active(lake, VISITS) if a["partition.part_date"] != day} == files_before
        hashes = data_files(lake, VISITS)
        assert {path: hashes[path] for path in files_before} == {path: hashes_before[path] for path in files_before}
        assert session.published(VISITS, DAYS) == set(expected)
        assert log_of(lake, VISITS).version() == version + 1


def test_a_range_is_one_commit(session: Session, write: Write, read: Read, lake: Path) -> None:
    write(session, VISITS, DAYS[:1], visits(DAYS[0], 1))
    version = log_of(lake, VISITS).version()
    assert write(session, VISITS, DAYS[:3], visits(DAYS[0], 10) + visits(DAYS[2], 30)) == version + 1
    assert read(session, VISITS) == visits(DAYS[0], 10) + visits(DAYS[2], 30)
    assert session.published(VISITS, DAYS) == set(DAYS[:3])


def test_a_range_replaces_each_of_its_days_and_no_others(session: Session, write: Write, read: Read) -> None:
    first, second, third, fourth = DAYS[:4]
    write(session, VISITS, DAYS[:4], visits(first, 0) + visits(second, 1) + visits(third, 2) + visits(fourth, 3))
    write(session, VISITS, [second, third], visits(second, 10) + visits(third, 20))
    assert read(session, VISITS) == visits(first, 0) + visits(second, 10) + visits(third, 20) + visits(fourth, 3)


def test_the_commit_names_the_days_that_it_published(session: Session, write: Write, lake: Path) -> None:
    write(session, VISITS, DAYS[:2], visits(DAYS[0], 1))
    assert json.loads(log_of(lake, VISITS).history(1)[0]["userMetadata"])["wemart.days"] == DAYS[:2]


def test_an_older_version_keeps_its_rows(session: Session, write: Write, lake: Path) -> None:
    first = write(session, VISITS, DAYS[:1], visits(DAYS[0], 1))
    write(session, VISITS, DAYS[:1], visits(DAYS[0], 2))
    old = DeltaTable(lake / "db" / "visits", version=first).to_pyarrow_table(columns=["id"])
    assert old.to_pylist() == [{"id": 1}]


@pytest.mark.parametrize("first", [[], [1, 2]], ids=["the first time", "in place of rows"])
def test_an_empty_day_counts_as_published(session: Session, write: Write, read: Read, first: list[int]) -> None:
    if first:
        write(session, VISITS, DAYS[:1], visits(DAYS[0], *first))
    write(session, VISITS, DAYS[:1], [])
    assert read(session, VISITS) == []
    assert session.published(VISITS, DAYS[:2]) == {DAYS[0]}


def test_an_empty_day_stays_published_after_checkpoint_and_log_cleanup(
    session: Session, write: Write, read: Read, lake: Path
) -> None:
    write(session, VISITS, DAYS[:1], [])
    for n in range(3):
        write(session, VISITS, [DAYS[1]], visits(DAYS[1], n))
    log = log_of(lake, VISITS)
    log.alter.set_table_properties({"delta.logRetentionDuration": "interval 0 seconds"})
    log = log_of(lake, VISITS)
    log.create_checkpoint()
    log.cleanup_metadata()
    left = list((lake / "db" / "visits" / "_delta_log").glob("0*.json"))
    assert len(left) < log.version() + 1, "the log was cleaned of some commits"
    assert session.published(VISITS, DAYS[:3]) == {DAYS[0], DAYS[1]}
    write(session, VISITS, DAYS[:1], visits(DAYS[0], 7))
    assert read(session, VISITS) == visits(DAYS[1], 2) + visits(DAYS[0], 7)


def test_the_last_publication_of_each_of_many_days_is_known_across_checkpoints(session: Session, write: Write) -> None:
    days = days_between("2024-03-01", "2024-03-25")
    last = {day: write(session, VISITS, [day], []) for day in days}
    last[days[3]] = write(session, VISITS, [days[3]], [])
    assert session.versions(VISITS, [*days, "2024-04-01"]) == last
    assert session.versions(VISITS, days[3:4]) == {days[3]: last[days[3]]}
    assert session.published(VISITS, [*days, "2024-04-01"]) == set(days)


def test_a_run_that_loses_every_race_says_what_the_last_attempt_failed_of(
    session: Any, given: Given, now: dt.datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Busy(FolderStore):
        def commit(self, _staged: Staged) -> int:
            raise LostRace("version 7 exists") from OSError("the last cause")

    monkeypatch.setattr("wemart_assets.lake.session.time.sleep", lambda _seconds: None)
    busy = Session(session.connection, Busy(session.store.lake), ExternalStore())
    rows = given(session, VISITS, visits(DAYS[0], 1))
    staged = stage(busy, VISITS, rows, DAYS[:2], busy.baseline(VISITS, DAYS[:2]), now)
    with pytest.raises(PublishConflict, match=rf"{DAYS[0]} to {DAYS[1]} lost the race.*: version 7 exists") as lost:
        busy.publish(staged)
    assert isinstance(lost.value.__cause__, LostRace)
    assert str(lost.value.__cause__.__cause__) == "the last cause"
    assert not list((Path(str(session.store.lake)) / "db" / "visits").rglob("*.parquet"))


def test_a_run_none_of_whose_commits_is_answered_keeps_the_files_that_may_be_published(
    session: Any, given: Given, read: Read, now: dt.datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = iter(range(COMMIT_ATTEMPTS))

    class Mute(FolderStore):
        """Only the last commit arrives, and the answer to it is lost as well."""

        def commit(self, staged: Staged) -> int:
            self.prepare(staged.table)
            if next(attempts) == COMMIT_ATTEMPTS - 1:
                super().commit(staged)
            raise Unanswered("cut off") from OSError("connection closed before message completed")

    monkeypatch.setattr("wemart_assets.lake.session.time.sleep", lambda _seconds: None)
    mute = Session(session.connection, Mute(session.store.lake), ExternalStore())
    rows = given(session, VISITS, visits(DAYS[0], 1))
    staged = stage(mute, VISITS, rows, DAYS[:1], mute.baseline(VISITS, DAYS[:1]), now)
    with pytest.raises(UnknownOutcome, match=f"db.visits {DAYS[0]}: the answer to the commit was lost"):
        mute.publish(staged)
    assert read(session, VISITS) == visits(DAYS[0], 1)


def test_a_mark_of_an_earlier_commit_does_not_hide_a_later_one(session: Any, write: Write) -> None:
    """Spark marks the days of a range after its commit; another run may have published one of them in between."""
    first = write(session, VISITS, DAYS[:1], visits(DAYS[0], 1))
    later = write(session, VISITS, DAYS[:1], visits(DAYS[0], 2))
    session.store.mark(VISITS, DAYS[:2], first)
    assert session.versions(VISITS, DAYS[:2]) == {DAYS[0]: later, DAYS[1]: first}
    assert session.published(VISITS, DAYS[:3]) == set(DAYS[:2])


def test_many_publications_stay_readable(session: Session, write: Write, read: Read) -> None:
    for n in range(12):
        write(session, VISITS, [DAYS[n % 3]], visits(DAYS[n % 3], n))
    assert sorted(row["id"] for row in read(session, VISITS)) == [9, 10, 11]


# Rows of other days


ONE_DAY_OR_MORE = pytest.mark.parametrize("run", [DAYS[:1], DAYS[:2]], ids=["one day", "a range"])


@ONE_DAY_OR_MORE
def test_rows_of_another_day_are_refused_and_leave_nothing_behind(
    session: Session, write: Write, read: Read, lake: Path, data_files: Hashes, run: list[str]
) -> None:
    write(session, VISITS, DAYS[:1], visits(DAYS[0], 1))
    files = data_files(lake, VISITS)
    with pytest.raises(WemartError, match=rf"db.visits: .* rows of {DAYS[3]} in a run of {run[0]} to {run[-1]}"):
        write(session, VISITS, run, visits(DAYS[0], 2) + visits(DAYS[3], 3))
    assert read(session, VISITS) == visits(DAYS[0], 1)
    assert data_files(lake, VISITS) == files


@ONE_DAY_OR_MORE
def test_a_row_without_a_day_is_refused_and_leaves_nothing_behind(
    session: Session, write: Write, lake: Path, data_files: Hashes, run: list[str]
) -> None:
    with pytest.raises(WemartError, match=r"db.visits: .*returned rows of .* in a run of"):
        write(session, VISITS, run, [*visits(DAYS[0], 1), {"id": 2, "part_date": None}])
    assert data_files(lake, VISITS) == {}
    assert session.published(VISITS, run) == set()


@ONE_DAY_OR_MORE
@pytest.mark.parametrize("day", ["2024-03-01 00:00:00", "20240301", "'; --"])
def test_a_day_in_another_format_is_refused(
    session: Session, write: Write, lake: Path, data_files: Hashes, run: list[str], day: str
) -> None:
    with pytest.raises(WemartError, match=r"db.visits: .*returned rows of .* in a run of"):
        write(session, VISITS, run, visits(day, 1))
    assert data_files(lake, VISITS) == {}


@ONE_DAY_OR_MORE
def test_a_query_that_fails_halfway_leaves_nothing_behind(
    session: Any, now: dt.datetime, lake: Path, data_files: Hashes, run: list[str]
) -> None:
    # The last row cannot be cast; by then thousands of others have been written.
    numbers = ibis.range(0, 20_000).unnest().name("n").as_table()
    text = (numbers.n == 19_999).ifelse("seven", numbers.n.cast("string"))
    failing = numbers.mutate(id=text.cast("int64"), name=text, part_date=ibis.literal(run[0]))
    session.connection.raw.execute("set threads = 1")
    session.connection.raw.execute("set partitioned_write_flush_threshold = 10")
    with pytest.raises(session.failures):
        stage(session, VISITS, failing, run, session.baseline(VISITS, run), now)
    assert data_files(lake, VISITS) == {}


# Staged rows


EXPRESSIONS: dict[str, Callable[[ir.Table], ir.Value]] = {
    "seconds": lambda t: unix_seconds(t["at"]).cast("string"),
    "milliseconds": lambda t: unix_millis(t["at"]).cast("string"),
    "an instant": lambda t: unix_millis(timestamp_millis(unix_millis(t["at"]))).cast("string"),
    "a local time": lambda t: from_utc_timestamp(t["at"], "Asia/Seoul").strftime("%Y%m%d%H%M%S"),
    "a repeated time": lambda t: in_repeated_time(t["at"], "America/New_York").ifelse("F", ""),
    "a json field": lambda t: json_fields(t.text, ["a"], {"b": ["c"]})["b"]["c"],
    "a json path": lambda t: get_json_object(t.text, "$.b.c"),
    "a pattern": lambda t: t.text.re_extract(r'"c": *"([^"]+)', 1).nullif(""),
    "a bad cast": lambda t: t.text.try_cast("int64").cast("string"),
    "text with quotes": lambda t: t.text + "'\"\\\n$1%_",
    "a quotient": lambda t: (t.big // 7).cast("int64").cast("string"),
    "a remainder": lambda t: (t.big % 7).cast("string"),
    "an interval": lambda t: unix_millis(t["at"] + ibis.interval(hours=25)).cast("string"),
    "a window": lambda t: t.big.lag().over(ibis.window(order_by=[t.big])).cast("string"),
}


@pytest.mark.parametrize("of", EXPRESSIONS)
def test_staged_rows_equal_the_result_of_the_expression(session: Any, given: Given, now: dt.datetime, of: str) -> None:
    """Written rows take another path through the engine than fetched rows."""
    instants = [dt.datetime(2024, 11, 3, 5 + n, 30, 0, 600_000 + n, tzinfo=dt.UTC) for n in range(3)]
    texts = ['{"a": 1, "b": {"c": "x"}}', "no json", None]
    values = [
        {"big": 10**15 + n, "at": at, "text": text, "part_date": DAYS[0]}
        for n, (at, text) in enumerate(zip(instants, texts, strict=True))
    ]
    rows = given(session, VALUES, values)
    # Used on both sides of a join, so the query defines it once and reads it twice.
    shared = rows.mutate(text=EXPRESSIONS[of](rows)).filter(ibis._.big.notnull())
    joined = shared.join(shared.view(), "big", rname="{name}_again").select(*(c.name for c in VALUES.columns))
    expected = {row["big"]: row["text"] for row in session.connection.ibis.to_pyarrow(joined).to_pylist()}
    staged = stage(session, VALUES, joined, DAYS[:1], session.baseline(VALUES, DAYS[:1]), now)
    found = {row["big"]: row["text"] for row in session.connection.ibis.to_pyarrow(staged.rows).to_pylist()}
    assert found == expected
    assert len(found) == 3


# Two storage partition columns


def members(day: str, *pairs: tuple[int, int]) -> list[Row]:
    return [{"comm_id": c, "user_id": u, "part_comm_id": c, "part_date": day} for c, u in pairs]


def test_a_day_is_replaced_in_all_communities(session: Session, write: Write, read: Read, lake: Path) -> None:
    write(session, MEMBERS, DAYS[:2], members(DAYS[0], (1, 11), (2, 12)) + members(DAYS[1], (1, 11)))
    write(session, MEMBERS, DAYS[:1], members(DAYS[0], (3, 13)))
    assert read(session, MEMBERS) == members(DAYS[1], (1, 11)) + members(DAYS[0], (3, 13))
    found = {(a["partition.part_comm_id"], a["partition.part_date"]) for a in active(lake, MEMBERS)}
    assert found == {(1, DAYS[1]), (3, DAYS[0])}


@PROPERTY
@property_of(
    before=st.sets(st.tuples(st.sampled_from(DAYS[:3]), st.integers(-3, 9), st.integers(1, 4)), min_size=1),
    day=st.sampled_from(DAYS[:3]),
    after=st.sets(st.tuples(st.integers(-3, 9), st.integers(1, 4))),
)
def test_communities_of_other_days_are_left_unchanged(
    engine: OpenEngine,
    write: Write,
    read: Read,
    data_files: Hashes,
    before: set[tuple[str, int, int]],
    day: str,
    after: set[tuple[int, int]],
) -> None:
    with tempfile.TemporaryDirectory() as folder, engine(Path(folder) / "lake").connect() as session:
        lake = Path(folder) / "lake"
        write(session, MEMBERS, DAYS[:3], [row for d, c, u in before for row in members(d, (c, u))])
        others = {a["path"] for a in active(lake, MEMBERS) if a["partition.part_date"] != day}
        hashes = data_files(lake, MEMBERS)

        write(session, MEMBERS, [day], members(day, *after))

        rows = {(r["part_date"], r["comm_id"], r["user_id"]) for r in read(session, MEMBERS)}
        assert rows == {row for row in before if row[0] != day} | {(day, c, u) for c, u in after}
        assert {a["path"] for a in active(lake, MEMBERS) if a["partition.part_date"] != day} == others
        assert {p: h for p, h in data_files(lake, MEMBERS).items() if p in others} == {p: hashes[p] for p in others}


def test_a_row_without_a_community_is_refused_and_leaves_nothing_behind(
    session: Session, write: Write, lake: Path, data_files: Hashes
) -> None:
    with pytest.raises(WemartError, match="part_comm_id") as refused:
        write(session, MEMBERS, DAYS[:1], [{"comm_id": 1, "user_id": 2, "part_date": DAYS[0]}])
    assert "Rewrite the table" not in str(refused.value), "the table is in order, the run's rows are not"
    assert data_files(lake, MEMBERS) == {}


BY_NAME = replace(VISITS, name="by_name", partition_by=("name", "part_date"))
ODD_NAMES = ["a b", "a/b", "a=b", "서울", "a'b", "#", "[x]*?", "a\\b", "a+b", "%20"]


@pytest.mark.parametrize("name", ["plain", "with-dash_and.dot", "-5", "null", *ODD_NAMES])
def test_partition_values_may_contain_special_characters(session: Session, write: Write, read: Read, name: str) -> None:
    rows = [{"id": 1, "name": name, "part_date": DAYS[0]}]
    write(session, BY_NAME, DAYS[:1], rows)
    write(session, BY_NAME, DAYS[1:2], [{"id": 2, "name": "other", "part_date": DAYS[1]}])
    assert read(session, BY_NAME, DAYS[:1]) == rows


# Many partitions in one run


def test_a_range_of_many_shuffled_days_loses_no_row(session: Any, lake: Path) -> None:
    days = [(dt.date(2023, 1, 1) + dt.timedelta(days=n)).isoformat() for n in range(140)]
    # Far more partitions than the writer keeps open, and far more rows than it buffers.
    session.connection.raw.execute("set partitioned_write_max_open_files = 10")
    session.connection.raw.execute("set partitioned_write_flush_threshold = 5000")
    numbers = ibis.range(0, 100_000).unnest().name("id").as_table()
    scattered = (numbers.id * 7919) % len(days)
    day = (ibis.date("2023-01-01") + scattered.as_interval("D")).strftime("%Y-%m-%d")
    rows = numbers.mutate(name=ibis.literal("n"), part_date=day)
    baseline = session.baseline(VISITS, days)
    staged = stage(session, VISITS, rows, days, baseline, dt.datetime(2024, 1, 1, tzinfo=dt.UTC))
    session.publish(staged)
    found = session.read(VISITS)
    counted = found.aggregate(rows=found.count(), ids=found.id.nunique(), days=found.part_date.nunique())
    assert session.connection.ibis.to_pyarrow(counted).to_pylist() == [{"rows": 100_000, "ids": 100_000, "days": 140}]
    assert sum(action["num_records"] for action in active(lake, VISITS)) == 100_000


# Values


EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
VALUE_ROWS: list[Row] = [
    {
        "small": -128,
        "number": -(2**31),
        "big": -(2**63),
        "ratio": -0.0,
        "flag": False,
        "text": "",
        "day": dt.date(1, 1, 1),
        "at": EPOCH - dt.timedelta(microseconds=1),
        "price": Decimal("-99999999999999.9999"),
        "total": Decimal("-9999999999999999999999999999999999.9999"),
    },
    {
        "small": 127,
        "number": 2**31 - 1,
        "big": 2**63 - 1,
        "ratio": float("inf"),
        "flag": True,
        "text": "서울 😀 | \n 'quoted' \"twice\" \\ \x01",
        "day": dt.date(9999, 12, 31),
        "at": dt.datetime(2024, 3, 1, 12, 34, 56, 123457, tzinfo=dt.UTC),
        "price": Decimal("0.0001"),
        "total": Decimal("9999999999999999999999999999999999.9999"),
    },
    dict.fromkeys(["small", "number", "big", "ratio", "flag", "text", "day", "at", "price", "total"]),
]


@pytest.mark.parametrize("row", VALUE_ROWS, ids=["least", "greatest", "unknown"])
def test_values_of_each_type_are_read_as_they_were_written(
    session: Session, write: Write, read: Read, row: Row
) -> None:
    expected = {**row, "part_date": DAYS[0]}
    write(session, VALUES, DAYS[:1], [expected])
    assert read(session, VALUES) == [expected]


@pytest.mark.parametrize("column_name", ["at", "price", "total", "day", "small"])
def test_the_stored_type_is_the_declared_one(session: Session, write: Write, lake: Path, column_name: str) -> None:
    declared = {
        "at": "timestamp",
        "price": "decimal(18,4)",
        "total": "decimal(38,4)",
        "day": "date",
        "small": "byte",
    }
    write(session, VALUES, DAYS[:1], [{**VALUE_ROWS[1], "part_date": DAYS[0]}])
    stored = {f.name: f.type.type for f in log_of(lake, VALUES).schema().fields}
    assert stored[column_name] == declared[column_name]


INSTANTS = st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2200, 1, 1), timezones=st.just(dt.UTC))


@PROPERTY
@property_of(st.lists(INSTANTS, min_size=1, max_size=20))
def test_instants_keep_their_microseconds(engine: OpenEngine, write: Write, read: Read, at: list[dt.datetime]) -> None:
    with tempfile.TemporaryDirectory() as folder, engine(Path(folder) / "lake").connect() as session:
        write(session, VALUES, DAYS[:1], [{"at": instant, "part_date": DAYS[0]} for instant in at])
        assert sorted(row["at"] for row in read(session, VALUES)) == sorted(at)


# Statistics in the log


@PROPERTY
@property_of(
    st.lists(
        st.fixed_dictionaries(
            {
                "big": st.none() | st.integers(-(2**63), 2**63 - 1),
                "number": st.none() | st.integers(-(2**31), 2**31 - 1),
                "day": st.none() | st.dates(),
                "at": st.none() | INSTANTS,
                "text": st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=80),
            }
        ),
        min_size=1,
        max_size=15,
    )
)
def test_statistics_in_the_log_are_correct(engine: OpenEngine, write: Write, rows: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder, engine(Path(folder) / "lake").connect() as session:
        write(session, VALUES, DAYS[:1], [row | {"part_date": DAYS[0]} for row in rows])
        actions = active(Path(folder) / "lake", VALUES)
    assert sum(action["num_records"] for action in actions) == len(rows)
    for name in ("big", "number", "day", "at", "text"):
        known = [row[name] for row in rows if row[name] is not None]
        assert sum(action[f"null_count.{name}"] for action in actions) == len(rows) - len(known)
        if len(actions) > 1 or not known:
            continue
        least, greatest = actions[0].get(f"min.{name}"), actions[0].get(f"max.{name}")
        if name in ("big", "number", "day"):
            assert (least, greatest) == (min(known), max(known))
        elif name == "at":
            # Milliseconds, rounded outwards.
            assert least <= min(known) < least + dt.timedelta(milliseconds=1)
            assert greatest - dt.timedelta(milliseconds=1) < max(known) <= greatest
        elif least is not None and greatest is not None:
            texts = [text.encode() for text in known]
            assert least.encode() <= min(texts)
            assert max(texts) <= greatest.encode()


@pytest.mark.parametrize(
    "at",
    [
        dt.datetime(1, 1, 1, tzinfo=dt.UTC),
        dt.datetime(999, 12, 31, 23, 59, 59, tzinfo=dt.UTC),
        dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC),
        dt.datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=dt.UTC),
    ],
    ids=["year 1", "year 999", "last second", "last microsecond"],
)
def test_statistics_of_extreme_instants_are_correct_or_absent(
    session: Session, write: Write, read: Read, lake: Path, at: dt.datetime
) -> None:
    write(session, VALUES, DAYS[:1], [{"at": at, "part_date": DAYS[0]}])
    assert read(session, VALUES)[0]["at"] == at
    commit = sorted((lake / "db" / "values" / "_delta_log").glob("*.json"))[-1]
    [stats] = [
        json.loads(line["add"]["stats"]) for line in map(json.loads, commit.read_text().splitlines()) if "add" in line
    ]
    if "at" in stats["minValues"]:
        assert (
            dt.datetime.fromisoformat(stats["minValues"]["at"])
            <= at
            <= dt.datetime.fromisoformat(stats["maxValues"]["at"])
        )
        assert len(stats["minValues"]["at"]) == len("2024-03-01T00:00:00.000Z")


@pytest.mark.parametrize("at", ["infinity", "-infinity", "12000-01-01 00:00:00+00", "0044-03-15 (BC) 00:00:00+00"])
def test_an_instant_outside_pythons_range_can_be_published(session: Any, lake: Path, at: str) -> None:
    """The timestamps of a source are whatever a file contains, such as wrong units or open ends."""
    rows = session.connection.ibis.sql(
        f"select 1::bigint as id, 'n' as name, timestamptz '{at}' as at, '{DAYS[0]}' as part_date"
    )
    table = replace(VISITS, name="far", columns=(*VISITS.columns, column("at", "timestamp", "instant")))
    baseline = session.baseline(table, DAYS[:1])
    session.publish(stage(session, table, rows, DAYS[:1], baseline, EPOCH))
    assert active(lake, table)[0]["num_records"] == 1


# Changed declarations


WIDER = replace(VISITS, columns=(*VISITS.columns[:2], column("ctry", "string", "country"), *VISITS.columns[2:]))


def test_an_added_column_is_null_in_older_rows(session: Session, write: Write, read: Read) -> None:
    write(session, VISITS, DAYS[:1], visits(DAYS[0], 1))
    assert read(session, WIDER) == [{"id": 1, "name": "n1", "ctry": None, "part_date": DAYS[0]}]


def test_an_added_column_is_published_next_to_older_rows(
    session: Session, write: Write, read: Read, lake: Path, data_files: Hashes
) -> None:
    write(session, VISITS, DAYS[:1], visits(DAYS[0], 1))
    old_files = data_files(lake, VISITS)
    write(session, WIDER, DAYS[1:2], [{"id": 2, "name": "n2", "ctry": "KR", "part_date": DAYS[1]}])
    assert read(session, WIDER) == [
        {"id": 1, "name": "n1", "ctry": None, "part_date": DAYS[0]},
        {"id": 2, "name": "n2", "ctry": "KR", "part_date": DAYS[1]},
    ]
    assert old_files.items() <= data_files(lake, VISITS).items()
    others = log_of(lake, WIDER).to_pyarrow_table(columns=["id", "ctry"]).to_pylist()
    assert sorted(others, key=lambda row: row["id"]) == [{"id": 1, "ctry": None}, {"id": 2, "ctry": "KR"}]


def test_a_day_can_be_replaced_with_an_added_column(session: Session, write: Write, read: Read) -> None:
    write(session, VISITS, DAYS[:1], visits(DAYS[0], 1))
    write(session, WIDER, DAYS[:1], [{"id": 1, "name": "n1", "ctry": "KR", "part_date": DAYS[0]}])
    assert read(session, WIDER) == [{"id": 1, "name": "n1", "ctry": "KR", "part_date": DAYS[0]}]


def test_a_table_that_rejects_commits_is_not_a_conflict(session: Session, write: Write, read: Read, lake: Path) -> None:
    write(session, VISITS, DAYS[:1], visits(DAYS[0], 1))
    DeltaTable(lake / "db" / "visits").alter.set_table_properties({"delta.appendOnly": "true"})
    with pytest.raises(UnreadableTable, match=r"db\.visits: .* rejects this run's commit: .*append-only"):
        write(session, VISITS, DAYS[:1], visits(DAYS[0], 2))
    assert read(session, VISITS) == visits(DAYS[0], 1)


def test_a_column_that_is_no_longer_declared_is_left_out(session: Session, write: Write, read: Read) -> None:
    write(session, WIDER, DAYS[:1], [{"id": 1, "name": "n1", "ctry": "KR", "part_date": DAYS[0]}])
    write(session, VISITS, DAYS[1:2], visits(DAYS[1], 2))
    assert read(session, VISITS) == visits(DAYS[0], 1) + visits(DAYS[1], 2)


def test_the_delta_table_describes_its_columns(session: Session, write: Write, lake: Path) -> None:
    write(session, VISITS, DAYS[:1], visits(DAYS[0], 1))
    assert comments(lake, VISITS) == {c.name: c.description for c in VISITS.columns}


def test_descriptions_follow_the_declaration(session: Session, write: Write, read: Read, lake: Path) -> None:
    write(session, WIDER, DAYS[:1], [{"id": 1, "name": "n1", "ctry": "KR", "part_date": DAYS[0]}])
    other = replace(
        VISITS, columns=(VISITS.columns[0], column("name", "string", 'it\'s "the" visitor'), *VISITS.columns[2:])
    )
    version = write(session, other, DAYS[1:2], visits(DAYS[1], 2))
    assert comments(lake, VISITS)["name"] == 'it\'s "the" visitor'
    # One that is no longer declared keeps what it had.
    assert comments(lake, VISITS)["ctry"] == "country"
    assert read(session, VISITS) == visits(DAYS[0], 1) + visits(DAYS[1], 2)
    # The schema changed in a commit of its own, and does not change again.
    assert write(session, other, DAYS[1:2], visits(DAYS[1], 3)) == version + 1


def test_a_table_of_before_descriptions_gets_them(session: Session, write: Write, read: Read, lake: Path) -> None:
    folder = lake / "db" / "visits"
    undescribed = pa.schema([pa.field(f.name, f.type) for f in VISITS.arrow_schema])
    DeltaTable.create(str(folder), undescribed, partition_by=["part_date"])
    write(session, VISITS, DAYS[:1], visits(DAYS[0], 1))
    assert comments(lake, VISITS) == {c.name: c.description for c in VISITS.columns}
    assert read(session, VISITS) == visits(DAYS[0], 1)


def comments(lake: Path, table: Table) -> dict[str, str]:
    return {f.name: f.metadata.get("comment", "") for f in log_of(lake, table).schema().fields}


CHANGED_TYPE = replace(VISITS, columns=(VISITS.columns[0], column("name", "bigint", "who came"), *VISITS.columns[2:]))
OTHER_PARTITIONS = replace(VISITS, partition_by=("name", "part_date"))


@pytest.mark.parametrize(
    ("changed", "row", "message"),
    [
        (CHANGED_TYPE, {"id": 2, "name": 7}, "name is stored as .*string.* but declared as .*long"),
        (OTHER_PARTITIONS, {"id": 2, "name": "n"}, "other partition columns"),
    ],
    ids=["type", "partition columns"],
)
def test_a_declaration_that_does_not_fit_the_stored_table_is_refused(
    session: Session,
    write: Write,
    read: Read,
    lake: Path,
    data_files: Hashes,
    log_files: Callable[[Path, Table], dict[str, bytes]],
    changed: Table,
    row: Row,
    message: str,
) -> None:
    write(session, VISITS, DAYS[:1], visits(DAYS[0], 1))
    files, log = data_files(lake, VISITS), log_files(lake, VISITS)
    with pytest.raises(UnreadableTable, match=message) as refused:
        write(session, changed, DAYS[1:2], [{**row, "part_date": DAYS[1]}])
    assert "db.visits" in str(refused.value)
    assert read(session, VISITS) == visits(DAYS[0], 1)
    assert log_files(lake, VISITS) == log
    assert data_files(lake, VISITS) == files, "what was staged for a refused commit is removed"


# Tables of other writers


NAMES = [c.name for c in VISITS.columns]


def handmade_log(
    lake: Path, protocol: Row, configuration: Row, adds: Sequence[Row] = (), partitions: Sequence[str] = ("part_date",)
) -> None:
    """The Delta log of `db.visits` as another writer would have left it."""
    log = lake / "db" / "visits" / "_delta_log"
    log.mkdir(parents=True)
    kinds = ("long", "string", "string", "timestamp")
    fields = [
        {"name": name, "type": kind, "nullable": True, "metadata": {}} for name, kind in zip(NAMES, kinds, strict=True)
    ]
    if configuration.get("delta.columnMapping.mode"):
        for n, field in enumerate(fields, 1):
            field["metadata"] = {"delta.columnMapping.id": n, "delta.columnMapping.physicalName": f"col-{n}"}
    metadata = {
        "id": "0b9ae6c2-8d0c-4b55-9d21-6f1f2d8c4b8e",
        "format": {"provider": "parquet", "options": {}},
        "schemaString": json.dumps({"type": "struct", "fields": fields}),
        "partitionColumns": list(partitions),
        "configuration": configuration,
        "createdTime": 0,
    }
    actions = [{"protocol": protocol}, {"metaData": metadata}, *({"add": add} for add in adds)]
    (log / "00000000000000000000.json").write_text("\n".join(map(json.dumps, actions)))


DELETION_VECTORS = {
    "minReaderVersion": 3,
    "minWriterVersion": 7,
    "readerFeatures": ["deletionVectors"],
    "writerFeatures": ["deletionVectors"],
}
# A serialized bitmap that marks rows 3 and 4 of the file as deleted.
TWO_DELETED_ROWS = {
    "storageType": "i",
    "pathOrInlineDv": "^Bg9^0rr910000000000iXQKl0rr91000315c8Xg0@@D7",
    "sizeInBytes": 36,
    "cardinality": 2,
}


def an_add(deletion_vector: Row | None = None) -> Row:
    return {
        "path": f"part_date={DAYS[0]}/some.parquet",
        "partitionValues": {"part_date": DAYS[0]},
        "size": 1000,
        "modificationTime": 0,
        "dataChange": True,
        "stats": json.dumps({"numRecords": 30}),
        **({"deletionVector": deletion_vector} if deletion_vector else {}),
    }


@pytest.mark.parametrize("partitions", [(), ("part_date",)], ids=["in one folder", "in partitions"])
@pytest.mark.parametrize(
    ("protocol", "configuration"),
    [
        ({"minReaderVersion": 2, "minWriterVersion": 5}, {"delta.columnMapping.mode": "name"}),
        (
            {
                "minReaderVersion": 3,
                "minWriterVersion": 7,
                "readerFeatures": ["columnMapping"],
                "writerFeatures": ["columnMapping"],
            },
            {"delta.columnMapping.mode": "id"},
        ),
    ],
    ids=["by version", "by feature"],
)
def test_a_table_with_mapped_columns_is_refused(
    session: Session, lake: Path, protocol: Row, configuration: Row, partitions: Sequence[str]
) -> None:
    # Partition values are stored under the physical names.
    add = {**an_add(), "partitionValues": {f"col-{1 + NAMES.index(name)}": DAYS[0] for name in partitions}}
    handmade_log(lake, protocol, configuration, [add], partitions)
    with pytest.raises(UnreadableTable, match=r"db.visits.*columnMapping"):
        session.read(VISITS, DAYS[:1])
    with pytest.raises(UnreadableTable, match=r"db.visits.*columnMapping"):
        session.published(VISITS, DAYS[:1])


def test_a_table_with_deleted_rows_is_refused(session: Session, lake: Path) -> None:
    handmade_log(lake, DELETION_VECTORS, {"delta.enableDeletionVectors": "true"}, [an_add(TWO_DELETED_ROWS)])
    with pytest.raises(UnreadableTable, match=r"db.visits.*deletionVectors"):
        session.read(VISITS, DAYS[:1])


def test_a_table_with_deleted_rows_cannot_be_published_to(session: Session, write: Write, lake: Path) -> None:
    handmade_log(lake, DELETION_VECTORS, {"delta.enableDeletionVectors": "true"}, [an_add(TWO_DELETED_ROWS)])
    with pytest.raises(UnreadableTable, match=r"db.visits.*deletionVectors"):
        write(session, VISITS, DAYS[:1], visits(DAYS[0], 1))


def test_deletion_vectors_without_deleted_rows_are_no_obstacle(session: Session, lake: Path) -> None:
    handmade_log(lake, DELETION_VECTORS, {"delta.enableDeletionVectors": "true"})
    assert session.published(VISITS, DAYS[:1]) == set()
    assert session.read(VISITS).count().to_pyarrow().as_py() == 0


def test_a_file_outside_its_partition_folder_is_never_misread(session: Session, lake: Path, read: Read) -> None:
    """Only the log says to which day the rows belong: either it is used, or the table is refused."""
    handmade_log(lake, {"minReaderVersion": 1, "minWriterVersion": 2}, {}, [{**an_add(), "path": "some.parquet"}])
    stored = pa.Table.from_pylist([{"id": 1, "name": "n1"}], schema=VISITS.arrow_schema).drop(["part_date"])
    pq.write_table(stored, lake / "db" / "visits" / "some.parquet")
    try:
        rows = read(session, VISITS)
    except UnreadableTable as refused:
        assert "some.parquet does not lie under part_date=" in str(refused)  # noqa: PT017
    else:
        assert rows == visits(DAYS[0], 1)


def test_a_folder_without_a_delta_table_is_an_empty_table(session: Session, lake: Path, read: Read) -> None:
    (lake / "db" / "visits" / f"part_date={DAYS[0]}").mkdir(parents=True)
    (lake / "db" / "visits" / f"part_date={DAYS[0]}" / "orphan.parquet").write_bytes(b"cut off")
    assert read(session, VISITS) == []
    assert session.published(VISITS, DAYS[:1]) == set()


# Unused files


def test_a_vacuum_removes_staged_files_that_were_never_published(
    session: Any, write: Write, read: Read, lake: Path, data_files: Hashes
) -> None:
    write(session, VISITS, DAYS[:1], visits(DAYS[0], 1))
    orphan = lake / "db" / "visits" / f"part_date={DAYS[0]}" / "orphan.parquet"
    orphan.write_bytes(b"of a run that died")
    name = str(orphan.relative_to(lake / "db" / "visits"))
    assert session.store.vacuum(VISITS, 0, dry_run=True) == [name]
    assert name in data_files(lake, VISITS)
    session.store.vacuum(VISITS, 0, dry_run=False)
    assert name not in data_files(lake, VISITS)
    assert read(session, VISITS) == visits(DAYS[0], 1)


def test_a_vacuum_keeps_the_files_of_recent_versions(
    session: Any, write: Write, lake: Path, data_files: Hashes
) -> None:
    first = write(session, VISITS, DAYS[:1], visits(DAYS[0], 1))
    write(session, VISITS, DAYS[:1], visits(DAYS[0], 2))
    files = data_files(lake, VISITS)
    session.store.vacuum(VISITS, 168, dry_run=False)
    assert data_files(lake, VISITS) == files
    old = DeltaTable(lake / "db" / "visits", version=first).to_pyarrow_table(columns=["id"])
    assert old.to_pylist() == [{"id": 1}]


def test_a_vacuum_of_a_missing_table_removes_nothing(session: Any) -> None:
    assert session.store.vacuum(VISITS, 168, dry_run=False) == []


# Location of the lake


@pytest.mark.parametrize(
    "folder", ["plain", "with space", "br[x]", "star*", "q?mark", "quote'", "h#sh", "é", "env=prod", "10%"]
)
def test_a_lake_may_be_in_any_folder(engine: OpenEngine, tmp_path: Path, write: Write, read: Read, folder: str) -> None:
    with engine(tmp_path / folder / "lake").connect() as session:
        write(session, VISITS, DAYS[:1], visits(DAYS[0], 1))
        write(session, VISITS, DAYS[1:2], visits(DAYS[1], 2))
        assert read(session, VISITS) == visits(DAYS[0], 1) + visits(DAYS[1], 2)


@pytest.mark.parametrize(("folder", "matching"), [("star*", "start"), ("q?mark", "qumark"), ("br[x]", "brx")])
def test_a_lake_folder_that_looks_like_a_pattern_does_not_match_its_copy(
    engine: OpenEngine, tmp_path: Path, write: Write, read: Read, folder: str, matching: str
) -> None:
    with engine(tmp_path / folder / "lake").connect() as session:
        write(session, VISITS, DAYS[:1], visits(DAYS[0], 1))
        shutil.copytree(tmp_path / folder, tmp_path / matching)
        for copied in (tmp_path / matching).rglob("*.parquet"):
            copied.write_bytes(b"damaged")
        assert read(session, VISITS) == visits(DAYS[0], 1)


def test_a_lake_folder_with_escapes_in_its_name_works_or_is_refused(
    engine: OpenEngine, tmp_path: Path, write: Write, read: Read
) -> None:
    """deltalake reads `%20` in a path as a space: the lake works there all the same, or is refused."""
    with engine(tmp_path / "per%20cent" / "lake").connect() as session:
        try:
            write(session, VISITS, DAYS[:1], visits(DAYS[0], 1))
        except WemartError as refused:
            assert "per%20cent" in str(refused)  # noqa: PT017
        else:
            assert read(session, VISITS) == visits(DAYS[0], 1)


@pytest.mark.parametrize("folder", ["name=prod", "part_date=2020-01-01", "id=7"])
def test_a_folder_above_the_lake_never_overrides_a_column(
    engine: OpenEngine, tmp_path: Path, write: Write, read: Read, folder: str
) -> None:
    with engine(tmp_path / folder / "lake").connect() as session:
        write(session, VISITS, DAYS[:1], visits(DAYS[0], 1))
        assert read(session, VISITS) == visits(DAYS[0], 1)


def test_a_lake_that_cannot_be_written_is_a_clear_error(engine: OpenEngine, tmp_path: Path, write: Write) -> None:
    (tmp_path / "lake").write_text("a file, not a folder")
    with (
        engine(tmp_path / "lake").connect() as session,
        pytest.raises(WemartError, match=r"db.visits: the lake folder .*lake/db/visits cannot be written.*WEMART_LAKE"),
    ):
        write(session, VISITS, DAYS[:1], visits(DAYS[0], 1))
