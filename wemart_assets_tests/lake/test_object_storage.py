"""A lake in an object store is published to and read as a folder is, and survives what a network does to it.

The store is a local S3 server. Where rights matter it checks keys; where the network matters there is one between.
"""

from __future__ import annotations

import datetime as dt
import json
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import boto3
import duckdb
import ibis.expr.types as ir
import pytest
from click.testing import CliRunner

from wemart_assets import catalog
from wemart_assets.cli import main
from wemart_assets.lake.delta import open_delta
from wemart_assets.lake.duckdb_storage import reach, reach_through_obstore
from wemart_assets.lake.errors import PublishConflict, StoreUnavailable, UnknownOutcome, WemartError
from wemart_assets.lake.folder_store import PROBE, FolderStore
from wemart_assets.lake.location import Location, Storage
from wemart_assets.lake.publication import RejectedByAudit, publish
from wemart_assets.lake.session import Session
from wemart_assets.lake.table import RUN_TIMESTAMP, RowCheck, Table, column
from wemart_assets.sql import analyst
from wemart_assets_tests.engines import duckdb_lake
from wemart_assets_tests.environments import LOG, MakeEnvironment
from wemart_assets_tests.network import Network, network
from wemart_assets_tests.s3_server import KEY, SECRET, S3Server, s3_server

D1, D2, D3 = "2024-03-01", "2024-03-02", "2024-03-03"
ODD = ["a/b", "c=d", "e f", "50%", "100%25", "é", "🎵", "?*[x]", "#", "+", "&", '"', "'", "\\", "http://x"]
VISITS = Table(
    database="db",
    name="visits",
    description="One row per visit.",
    columns=(
        column("id", "bigint", "number of the visit", nullable=False),
        column("part_date", "string", "business day", nullable=False),
        RUN_TIMESTAMP,
    ),
)
BY_COMMUNITY = replace(
    VISITS,
    name="by_community",
    columns=(*VISITS.columns[:1], column("part_comm_id", "string", "community", nullable=False), *VISITS.columns[1:]),
    partition_by=("part_comm_id", "part_date"),
)
WIDER = replace(VISITS, columns=(*VISITS.columns[:1], column("ctry", "string", "country"), *VISITS.columns[1:]))

Row = Mapping[str, Any]
Write = Callable[..., int]
Read = Callable[..., list[dict[str, Any]]]
Given = Callable[[Session, Table, Sequence[Row]], ir.Table]


def visits(day: str, *ids: int) -> list[dict[str, Any]]:
    return [{"id": n, "part_date": day} for n in ids]


@pytest.fixture
def place(s3: S3Server) -> Location:
    return s3.location("some/lake")


@pytest.fixture
def session(place: Location) -> Iterator[Session]:
    with duckdb_lake(place).connect() as opened:
        yield opened


def data_objects(place: Location) -> set[str]:
    return {file.path for file in place.files() if file.path.endswith(".parquet") and "_delta_log" not in file.path}


def active_objects(place: Location, table: Table = VISITS) -> set[str]:
    return {f"{table.database}/{table.name}/{file.path}" for file in FolderStore(place).files(table)}


# Publication


def test_a_day_is_replaced_and_others_stay(session: Session, write: Write, read: Read) -> None:
    write(session, VISITS, [D1, D2, D3], visits(D1, 1, 2) + visits(D2, 3))
    write(session, VISITS, [D1], visits(D1, 9))
    assert read(session, VISITS) == visits(D2, 3) + visits(D1, 9)
    assert session.published(VISITS, [D1, D2, D3, "2024-03-04"]) == {D1, D2, D3}
    versions = session.versions(VISITS, [D1, D2, D3])
    assert versions[D1] == versions[D2] + 1 == versions[D3] + 1
    write(session, VISITS, [D1, D2], [])
    assert read(session, VISITS) == []
    assert session.published(VISITS, [D1, D2, D3]) == {D1, D2, D3}


def test_values_of_a_second_partition_column_may_have_any_character(
    session: Session, place: Location, write: Write, read: Read
) -> None:
    rows = [{"id": n, "part_comm_id": odd, "part_date": day} for n, odd in enumerate(ODD) for day in (D1, D2)]
    write(session, BY_COMMUNITY, [D1, D2], rows)
    assert sorted(read(session, BY_COMMUNITY), key=str) == sorted(rows, key=str)
    assert data_objects(place) == active_objects(place, BY_COMMUNITY)
    write(session, BY_COMMUNITY, [D1], rows[:1])
    assert [row for row in read(session, BY_COMMUNITY) if row["part_date"] == D1] == rows[:1]


def test_an_added_column_is_null_in_rows_of_before(session: Session, write: Write, read: Read) -> None:
    write(session, VISITS, [D1], visits(D1, 1))
    write(session, WIDER, [D2], [{"id": 2, "ctry": "KR", "part_date": D2}])
    assert read(session, WIDER) == [
        {"id": 1, "ctry": None, "part_date": D1},
        {"id": 2, "ctry": "KR", "part_date": D2},
    ]


def test_a_run_that_began_before_another_publication_is_refused(
    session: Session, place: Location, write: Write, read: Read, given: Given, now: dt.datetime
) -> None:
    write(session, VISITS, [D1], visits(D1, 1))
    rows = given(session, VISITS, visits(D1, 3))
    with duckdb_lake(place).connect() as other, pytest.raises(PublishConflict):
        publish(session, VISITS, [D1], lambda: (rows, {}), {}, now, lambda: write(other, VISITS, [D1], visits(D1, 2)))
    assert read(session, VISITS) == visits(D1, 2)
    FolderStore(place).vacuum(VISITS, 0, dry_run=False)
    assert data_objects(place) == active_objects(place)


# What is not published leaves nothing behind


@pytest.mark.parametrize("days", [[D1], [D1, D2]], ids=["a day", "a range"])
def test_a_failed_stage_leaves_no_object_behind(
    session: Any, place: Location, write: Write, read: Read, now: dt.datetime, days: list[str]
) -> None:
    write(session, VISITS, days, visits(D1, 1))
    before = data_objects(place)
    session.connection.raw.execute(
        f"create temp view failing as select i as id, '{D1}' as part_date from range(300000) t(i)"
        " where if(i < 299000, true, error('too many'))"
    )
    rows = session.connection.ibis.table("failing", database=("temp", "main"))
    with pytest.raises(session.failures, match="too many"):
        publish(session, VISITS, days, lambda: (rows, {}), {}, now)
    assert data_objects(place) == before
    assert read(session, VISITS) == visits(D1, 1)


def test_a_failed_audit_leaves_no_object_behind(
    session: Session, place: Location, write: Write, read: Read, given: Given, now: dt.datetime
) -> None:
    write(session, VISITS, [D1], visits(D1, 1))
    before = data_objects(place)
    strict = replace(VISITS, row_checks=(RowCheck("small", "ids are small", lambda t: t.id < 10),))
    with pytest.raises(RejectedByAudit, match="small"):
        publish(session, strict, [D1], lambda: (given(session, VISITS, visits(D1, 2, 99)), {}), {}, now)
    assert data_objects(place) == before
    assert read(session, VISITS) == visits(D1, 1)


def test_rows_of_another_day_leave_no_object_behind(session: Session, place: Location, write: Write) -> None:
    for days in ([D1], [D1, D2]):
        with pytest.raises(Exception, match=D3):
            write(session, VISITS, days, visits(D3, 1))
    assert data_objects(place) == set()


# A store that cannot be used


def unused_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture(scope="module")
def guarded() -> Iterator[tuple[str, Mapping[str, str]]]:
    """The address of a server that checks keys and rights, and the secrets of its keys: of `reader` and of `owner`."""
    policies = {"reader": ["s3:Get*", "s3:List*"], "owner": ["s3:*"]}
    # Requests that are made before it starts to check.
    with s3_server(INITIAL_NO_AUTH_ACTION_COUNT=str(1 + 3 * len(policies))) as server:
        anyone: Any = {
            "endpoint_url": server.address,
            "region_name": "us-east-1",
            "aws_access_key_id": "anyone",
            "aws_secret_access_key": "anyone",
        }
        boto3.client("s3", **anyone).create_bucket(Bucket="guarded")
        iam = boto3.client("iam", **anyone)
        keys = {}
        for user, actions in policies.items():
            allowed = {"Effect": "Allow", "Action": actions, "Resource": "*"}
            iam.create_user(UserName=user)
            iam.put_user_policy(
                UserName=user,
                PolicyName="lake",
                PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allowed]}),
            )
            key = iam.create_access_key(UserName=user)["AccessKey"]
            keys[user] = f"{key['AccessKeyId']} {key['SecretAccessKey']}"
        yield server.address, keys


BAD = {
    "no bucket": "there is no such bucket (NoSuchBucket). ",
    "unknown key": "does not accept the key (InvalidAccessKeyId). ",
    "wrong secret": "does not accept the key (SignatureDoesNotMatch). ",
    "no connection": "the object store does not answer (Connection refused). ",
    "bad option": "an option of the object store is not valid. ",
}
NEVER_SHOWN = "geheim-never-shown"


@pytest.fixture(params=BAD)
def bad(request: pytest.FixtureRequest, s3: S3Server) -> tuple[str, Location]:
    """What the message says, and a place that cannot be used."""
    case = request.param
    storage = {"endpoint": s3.address, "key": KEY, "secret": NEVER_SHOWN}
    bucket = "guarded"
    if case in ("unknown key", "wrong secret"):
        address, keys = request.getfixturevalue("guarded")
        key = "unknown" if case == "unknown key" else keys["owner"].split()[0]
        storage |= {"endpoint": address, "key": key}
    elif case == "no connection":
        storage["endpoint"] = f"http://127.0.0.1:{unused_port()}"
    elif case == "no bucket":
        bucket = "no-such-bucket"
    options = {"aws_skip_signature": NEVER_SHOWN} if case == "bad option" else {}
    return BAD[case], Location.of(f"s3://{bucket}/lake", Storage.model_validate({**storage, "options": options}))


def shown(error: BaseException | None) -> str:
    """All that Python and Dagster show of an error."""
    told = []
    while error is not None:
        told.append(str(error))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join(told)


def test_a_run_says_why_the_store_cannot_be_used(bad: tuple[str, Location], now: dt.datetime, given: Given) -> None:
    words, place = bad
    with duckdb_lake(place).connect() as session:
        rows = given(session, VISITS, visits(D1, 1))
        with pytest.raises(StoreUnavailable) as told:
            publish(session, VISITS, [D1], lambda: (rows, {}), {}, now)
    assert words in str(told.value)
    assert str(told.value).startswith("db.visits")
    assert "The table is unchanged" in str(told.value)
    assert NEVER_SHOWN not in shown(told.value)


def test_a_reader_says_why_the_store_cannot_be_used(bad: tuple[str, Location]) -> None:
    words, place = bad
    readers: Sequence[Callable[[], object]] = (
        lambda: open_delta(place / "db" / "visits", "db.visits"),
        lambda: list(place.files()),
        lambda: FolderStore(place).vacuum(VISITS, 0, dry_run=True),
    )
    for reader in readers:
        with pytest.raises(StoreUnavailable) as told:
            reader()
        assert words in str(told.value)
        assert NEVER_SHOWN not in shown(told.value)


@pytest.mark.parametrize("command", [["tables"], ["vacuum"], ["sql", "show all tables"]], ids=" ".join)
def test_a_command_says_why_the_store_cannot_be_used(
    bad: tuple[str, Location], command: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    words, place = bad
    storage = place.storage
    variables = {
        "LAKE": place.url,
        "STATE": str(tmp_path),
        "LANDING": str(tmp_path / "landing"),
        "STORAGE__ENDPOINT": storage.endpoint,
        "STORAGE__KEY": storage.key,
        "STORAGE__SECRET": NEVER_SHOWN,
        "STORAGE__OPTIONS": json.dumps({name: value.get_secret_value() for name, value in storage.options.items()}),
    }
    for name, value in variables.items():
        monkeypatch.setenv(f"WEMART_{name}", str(value))
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert words in result.output
    assert NEVER_SHOWN not in result.output


def test_a_key_without_the_right_to_write_reads_and_changes_nothing(
    guarded: tuple[str, Mapping[str, str]], write: Write, read: Read, now: dt.datetime, given: Given
) -> None:
    address, keys = guarded

    def place(user: str) -> Location:
        key, secret = keys[user].split()
        return Location.of(
            "s3://guarded/lake", Storage.model_validate({"endpoint": address, "key": key, "secret": secret})
        )

    with duckdb_lake(place("owner")).connect() as owner, duckdb_lake(place("reader")).connect() as reader:
        write(owner, VISITS, [D1], visits(D1, 1))
        objects = sorted(place("owner").files())
        assert read(reader, VISITS) == visits(D1, 1)
        for days in ([D1], [D1, D2]):
            rows = given(reader, VISITS, visits(D1, 2))
            with pytest.raises(StoreUnavailable, match=r"db\.visits 2024-03-01.* no right .*AccessDenied") as told:
                publish(reader, VISITS, days, lambda rows=rows: (rows, {}), {}, now)
            assert keys["reader"].split()[1] not in shown(told.value)
        first_table = replace(VISITS, name="first")
        with pytest.raises(StoreUnavailable, match="AccessDenied"):
            publish(reader, first_table, [D1], lambda: (rows, {}), {}, now)
        assert sorted(place("owner").files()) == objects


def test_a_store_that_overwrites_despite_the_condition_is_refused(
    place: Location, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overwrite(location: Location, below: str, content: bytes) -> bool:
        location.write(below, content)
        return True

    monkeypatch.setattr(Location, "create", overwrite)
    with duckdb_lake(place).connect() as session, pytest.raises(StoreUnavailable, match="If-None-Match"):
        write(session, VISITS, [D1], visits(D1, 1))
    assert [file.path for file in place.files() if "_delta_log" in file.path] == []


def test_an_object_is_created_once(place: Location) -> None:
    assert place.create(PROBE, b"1")
    assert not place.create(PROBE, b"2")
    assert place.read(PROBE) == b"1"


# A network that goes away


@pytest.fixture(scope="module")
def wire(s3: S3Server) -> Iterator[Network]:
    with network(s3.address) as between:
        yield between


@pytest.fixture
def far(wire: Network, place: Location) -> Location:
    """The same place, over a network that tests cut."""
    storage = {"endpoint": wire.address, "key": KEY, "secret": SECRET}
    return Location.of(place.url, Storage.model_validate(storage))


COMMIT, STAGED = "_delta_log/", "part_date"


def publish_over(
    wire: Network, far: Location, given: Given, now: dt.datetime, request: str, only_its_answer: bool, for_good: bool
) -> int:
    """Publishes visit 2 of a day while the network is cut at a PUT below the table's folder."""
    path = f"/{far.url.removeprefix('s3://')}/{VISITS.database}/{VISITS.name}/{request}"
    try:
        with duckdb_lake(far).connect() as session:
            rows = given(session, VISITS, visits(D1, 2))
            if request == STAGED:
                wire.cut_at(f"PUT {path}", only_its_answer, for_good)
            return publish(
                session,
                VISITS,
                [D1],
                lambda: (rows, {}),
                {},
                now,
                lambda: wire.cut_at(f"PUT {path}", only_its_answer, for_good) if request == COMMIT else None,
            ).version
    finally:
        assert wire.cut() == 1


@pytest.mark.parametrize("request_cut", [STAGED, COMMIT], ids=["staging", "commit"])
@pytest.mark.parametrize("only_its_answer", [False, True], ids=["request", "answer"])
def test_a_connection_that_is_lost_once_does_not_matter(
    session: Session,
    wire: Network,
    far: Location,
    place: Location,
    write: Write,
    read: Read,
    given: Given,
    now: dt.datetime,
    request_cut: str,
    only_its_answer: bool,
) -> None:
    before = write(session, VISITS, [D1], visits(D1, 1))
    version = publish_over(wire, far, given, now, request_cut, only_its_answer, for_good=False)
    assert version == before + 1
    assert read(session, VISITS) == visits(D1, 2)
    assert session.versions(VISITS, [D1]) == {D1: version}
    assert active_objects(place) < data_objects(place), "the replaced objects stay for readers of the version before"


@pytest.mark.parametrize("only_its_answer", [False, True], ids=["request", "answer"])
def test_a_network_that_goes_away_in_mid_commit_loses_nothing(
    session: Session,
    wire: Network,
    far: Location,
    write: Write,
    read: Read,
    given: Given,
    now: dt.datetime,
    only_its_answer: bool,
) -> None:
    write(session, VISITS, [D1], visits(D1, 1))
    with pytest.raises(UnknownOutcome) as told:
        publish_over(wire, far, given, now, COMMIT, only_its_answer, for_good=True)
    assert "db.visits 2024-03-01: the answer to the commit was lost" in str(told.value)
    assert "unchanged" not in str(told.value)
    assert SECRET not in shown(told.value)
    assert read(session, VISITS) == visits(D1, 2 if only_its_answer else 1)
    write(session, VISITS, [D1], visits(D1, 2))
    assert read(session, VISITS) == visits(D1, 2)


def test_a_network_that_goes_away_while_staging_leaves_the_table_unchanged(
    session: Session, wire: Network, far: Location, write: Write, read: Read, given: Given, now: dt.datetime
) -> None:
    write(session, VISITS, [D1], visits(D1, 1))
    with pytest.raises(StoreUnavailable, match=r"does not answer.*The table is unchanged") as told:
        publish_over(wire, far, given, now, STAGED, only_its_answer=False, for_good=True)
    assert SECRET not in shown(told.value)
    assert read(session, VISITS) == visits(D1, 1)


def test_a_query_during_which_the_network_goes_away_blames_no_file(
    session: Session, wire: Network, far: Location, write: Write
) -> None:
    write(session, VISITS, [D1], visits(D1, 1))
    path = f"/{far.url.removeprefix('s3://')}/{VISITS.database}/{VISITS.name}/{STAGED}"
    with analyst(far, {VISITS.full_name: VISITS}) as sql:
        wire.cut_at(f"GET {path}", for_good=True)
        with pytest.raises(StoreUnavailable, match="the object store does not answer") as told:
            sql.run("select max(run_timestamp) from db.visits")
        assert wire.cut() == 1
        assert "Rebuild" not in shown(told.value)
        assert sql.run("select id from db.visits").to_pylist() == [{"id": 1}]


def test_a_sensor_tick_and_a_run_say_why_the_store_cannot_be_used(
    s3: S3Server, make_environment: MakeEnvironment
) -> None:
    environment = make_environment(lake="s3://no-such-bucket/lake", storage=s3.storage)
    environment.land_lines("a.csv", "2024-03-02 12:00:00")
    with pytest.raises(StoreUnavailable, match="NoSuchBucket"):
        environment.tick()
    run = environment.run("2024-03-02")
    assert "there is no such bucket (NoSuchBucket)" in run.failed[LOG]
    assert SECRET not in run.failed[LOG]


# Vacuum


def test_vacuum_removes_what_no_version_needs(
    s3: S3Server, write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Any, given: Given
) -> None:
    """A run that died leaves staged files, which no log knows."""
    place = s3.location("lake")
    table = catalog.tables()["we_mart.wv_sess_daily"]
    with duckdb_lake(place).connect() as session:
        write(session, table, [D1], [])
    dead = place / table.database / table.name / f"part_date={D1}"
    dead.write("dead-run-0.parquet", b"PAR1")
    for name, value in {**s3.variables, "WEMART_LAKE": place.url, "WEMART_STATE": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("WEMART_LANDING", str(tmp_path / "landing"))
    kept = CliRunner().invoke(main, ["vacuum"])
    assert (kept.exit_code, kept.output) == (0, "")
    swept = CliRunner().invoke(main, ["vacuum", "--older-than", "0"])
    assert (swept.exit_code, swept.output) == (0, "we_mart.wv_sess_daily: 1 files removed\n")
    assert data_objects(place) == set()


# DuckDB's extensions, and stores that it has none for


def test_offline_an_extension_that_is_not_installed_is_not_downloaded(
    place: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if the extra `s3` were not installed.
    monkeypatch.setitem(sys.modules, "duckdb_extension_httpfs", None)
    with (
        duckdb.connect(":memory:") as connection,
        pytest.raises(WemartError, match=r"WEMART_OFFLINE.*pip install 'wemart-assets\[s3\]' .*httpfs for version 1"),
    ):
        reach(connection, [place], offline=True)


def test_offline_an_installed_extension_is_loaded(place: Location) -> None:
    with duckdb.connect(":memory:", config={"autoinstall_known_extensions": False}) as connection:
        reach(connection, [place], offline=True)
        query = "select loaded, install_mode from duckdb_extensions() where extension_name = 'httpfs'"
        assert connection.execute(query).fetchall() == [(True, "NOT_INSTALLED")]


def test_a_store_without_an_extension_is_reached_through_obstore(place: Location) -> None:
    """As `gs://` and `az://` are; here it is S3, because there is a server for it."""
    with duckdb.connect(":memory:", config={"autoload_known_extensions": False}) as connection:
        reach_through_obstore(connection, place)
        rows = "select range as id, 'd' || range % 2 as day from range(10)"
        options = "format parquet, return_stats, partition_by (day), filename_pattern 'run-{i}', overwrite_or_ignore"
        written = connection.execute(f"copy ({rows}) to '{place}/t' ({options})").fetchall()
        assert sorted((path, count, keys) for path, count, *_, keys in written) == [
            (f"{place}/t/day=d{n}/run-0.parquet", 5, {"day": f"d{n}"}) for n in (0, 1)
        ]
        read = f"read_parquet(['{place}/t/day=d1/run-0.parquet'], hive_partitioning = true)"
        assert connection.execute(f"select sum(id), any_value(day) from {read}").fetchall() == [(25, "d1")]
