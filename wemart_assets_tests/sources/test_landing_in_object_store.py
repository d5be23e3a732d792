"""Landing files in an object store become rows as those in a folder do, and none is copied to this machine."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from click.testing import CliRunner

from wemart_assets import catalog
from wemart_assets.automation.landing_sensor import Cursor
from wemart_assets.cli import main
from wemart_assets.definitions import open_lake
from wemart_assets.lake.errors import LandingError
from wemart_assets.sources.landing import INDEX_FOLDER, Landing, landings
from wemart_assets.sources.listing import StoreAway
from wemart_assets_tests.environments import Row, encoded
from wemart_assets_tests.s3_server import KEY, SECRET, S3Server, s3_server

if TYPE_CHECKING:
    from wemart_assets_tests.environments import Environment, MakeEnvironment

LOG = "service_log.weverse_server_log"
DAY, OTHER_DAY = "2024-03-01", "2024-03-20"


@pytest.fixture
def stored(make_environment: MakeEnvironment, s3: S3Server) -> Environment:
    """An environment whose lake and landing folder are in an object store."""
    bucket = s3.bucket()
    return make_environment(lake=f"{bucket}/lake", landing=f"{bucket}/landing", storage=s3.storage)


def test_check_source_reads_landed_and_named_objects(
    landed_away: Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    landing, endpoint = str(landed_away.settings.landing), str(landed_away.settings.storage.endpoint)
    values = {"LANDING": landing, "STORAGE__ENDPOINT": endpoint, "STORAGE__KEY": KEY, "STORAGE__SECRET": SECRET}
    for name, value in (values | {"LAKE": str(tmp_path / "lake"), "FIRST_DAY": DAY}).items():
        monkeypatch.setenv(f"WEMART_{name}", value)
    monkeypatch.chdir(tmp_path)
    _put(landed_away, "a.csv", _lines(landed_away))
    _put(landed_away, "b.csv.gz", _lines(landed_away) * 2)
    for arguments, expected in (
        ((), "3 records of 2 files: 3 rows, 0 refused"),
        ((f"{landing}/{LOG}/b.csv.gz",), "2 records of 1 file: 2 rows, 0 refused"),
    ):
        result = CliRunner().invoke(main, ["check-source", LOG, *arguments])
        assert result.exit_code == 0, result.output
        assert expected in result.output
    result = CliRunner().invoke(main, ["check-source", LOG, f"{landing}/{LOG}/nope.csv"])
    assert result.exit_code == 1
    assert "nope.csv" in result.output


@pytest.fixture
def landed_away(make_environment: MakeEnvironment, s3: S3Server) -> Environment:
    """An environment whose lake is a folder and whose landing folder is in an object store."""
    return make_environment(landing=f"{s3.bucket()}/landing", storage=s3.storage)


def _put(environment: Environment, path: str, content: str | bytes | Sequence[Row]) -> None:
    """Puts a new object of any name into the landing folder of the log."""
    address, bucket = str(environment.settings.storage.endpoint), str(environment.settings.landing)
    if not isinstance(content, str | bytes):
        content = encoded(path, content)
    connection = http.client.HTTPConnection(address.removeprefix("http://"))
    connection.request("PUT", quote(f"/{bucket.removeprefix('s3://')}/{LOG}/{path}"), body=content)
    assert connection.getresponse().status == 200


def _lines(environment: Environment, day: str = DAY, url: str = "/home") -> list[Row]:
    return [environment.line(f"{day} 12:00:00", url=url)]


def _landing(environment: Environment) -> Landing:
    return landings(environment.settings.for_sources(), catalog.contracts())[LOG]


def _urls(environment: Environment, day: str = DAY) -> list[Any]:
    with open_lake(environment.settings, {}).connect() as session:
        return sorted(session.read(catalog.tables()[LOG], [day]).url.to_pyarrow().to_pylist())


def test_a_tick_requests_what_landed_and_a_run_reads_all_formats(stored: Environment) -> None:
    names = ["a.csv", "a.tsv", "a.csv.gz", "a.jsonl", "a.jsonl.gz", "a.ndjson", "a.parquet"]
    for name in names:
        _put(stored, f"date={DAY}/{name}", _lines(stored, url=name))
    _put(stored, f"date={DAY}/odd.csv", b"\xef\xbb\xbf" + encoded("odd.csv", _lines(stored, url="odd.csv")))
    tick = stored.tick()
    assert (tick.days_of(LOG), tick.warnings) == ([DAY], [])
    run = stored.run(DAY)
    assert run.success, run
    assert _urls(stored) == sorted([*names, "odd.csv"])
    again = stored.tick(tick.cursor)
    assert (again.days_of(LOG), again.warnings) == ([], [])
    index = stored.settings.lake_location / f"{LOG.replace('.', '/')}/{INDEX_FOLDER}"
    assert [file.path.rpartition(".")[2] for file in index.files() if file.path.endswith("parquet")] == ["parquet"]
    assert [path for path in stored.root.rglob("*") if path.suffix in (".csv", ".gz", ".parquet", ".jsonl")] == []


def test_a_changed_object_is_requested_again(landed_away: Environment) -> None:
    _put(landed_away, "a.csv", _lines(landed_away, url="/a"))
    cursor = landed_away.tick().cursor
    _change(landed_away)
    tick = landed_away.tick(cursor)
    assert tick.days_of(LOG) == [DAY]
    assert landed_away.tick(tick.cursor).days_of(LOG) == []


ANY_NAME = ["a b", "a+b", "a%20b", "100%", "a#b", "é호", "[x]", "a=b", "a*b", "a&b;c", "a'b\"c", "a,b", "a:b", "{a,b}"]


def test_objects_of_any_name_are_read(landed_away: Environment) -> None:
    for name in ANY_NAME:
        _put(landed_away, f"date={DAY}/{name}/{name}.csv", _lines(landed_away, url=name))
        _put(landed_away, f"date={DAY}/{name}.parquet", _lines(landed_away, url=name))
    landed_away.publish(LOG, DAY)
    assert _urls(landed_away) == sorted(ANY_NAME * 2)


@pytest.mark.parametrize("name", ["a?b.csv", "a.csv?s3_region=x.csv", "a\\b.csv", "a//b.csv", "a\tb.csv", "./b.csv"])
def test_an_object_whose_name_cannot_be_read_stops_only_its_own_days(landed_away: Environment, name: str) -> None:
    _put(landed_away, f"date={DAY}/{name}", _lines(landed_away))
    _put(landed_away, f"date={OTHER_DAY}/good.csv", _lines(landed_away, OTHER_DAY))
    landed_away.publish(LOG, OTHER_DAY)
    assert _urls(landed_away, OTHER_DAY) == ["/home"]
    with pytest.raises(LandingError, match=rf"(?s){LOG}: {DAY} is not published.*date={DAY}/.*[Rr]ename"):
        landed_away.publish(LOG, DAY)


def test_hidden_objects_and_markers_of_folders_are_ignored(landed_away: Environment) -> None:
    for path in ("_SUCCESS", ".hidden/a.csv", f"date={DAY}/a.csv.tmp", f"date={DAY}/_temporary/a.csv"):
        _put(landed_away, path, "no csv")
    for path in ("", f"date={DAY}/", f"date={OTHER_DAY}/"):
        _put(landed_away, path, "")
    _put(landed_away, f"date={DAY}/a.csv", _lines(landed_away))
    assert [file.path for file in _landing(landed_away).files()] == [f"date={DAY}/a.csv"]


def test_an_empty_object_is_a_file(landed_away: Environment) -> None:
    _put(landed_away, f"date={DAY}/empty.csv", "")
    assert [file.path for file in _landing(landed_away).files()] == [f"date={DAY}/empty.csv"]
    assert landed_away.publish(LOG, DAY)["files that cannot be read"] == 0


def test_equal_objects_are_reported_as_delivered_twice(landed_away: Environment) -> None:
    for name, url in (("a.csv", "/a"), ("b.csv", "/a"), ("c.csv", "/c")):
        _put(landed_away, name, _lines(landed_away, url=url))
    assert landed_away.publish(LOG, DAY)["files delivered twice"] == [["a.csv", "b.csv"]]


def _change(environment: Environment) -> None:
    _landing(environment).folder.write("a.csv", encoded("a.csv", _lines(environment, url="/b")))


def _remove(environment: Environment) -> None:
    _landing(environment).folder.delete(["a.csv"])


@pytest.mark.parametrize("what", [_change, _remove], ids=["changed", "removed"])
def test_an_object_that_changes_while_it_is_read_is_refused(
    landed_away: Environment, what: Callable[[Environment], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    _put(landed_away, "a.csv", _lines(landed_away, url="/a"))
    original = Landing.check_unchanged

    def check_unchanged(landing: Landing, files: Any) -> None:
        what(landed_away)
        original(landing, files)

    monkeypatch.setattr(Landing, "check_unchanged", check_unchanged)
    with pytest.raises(LandingError, match=r"a\.csv was changed or removed while it was read.*run the days again"):
        landed_away.publish(LOG, DAY)
    assert landed_away.published(LOG, DAY) == set()


def test_an_object_that_is_gone_before_it_is_indexed_is_ignored(landed_away: Environment) -> None:
    _put(landed_away, "a.csv", _lines(landed_away))
    landing = _landing(landed_away)
    files = landing.files()
    _remove(landed_away)
    with open_lake(landed_away.settings, {}).connect() as session:
        assert landing.index(session, files) == {}


def test_an_object_that_changes_and_comes_back_has_its_own_entry(landed_away: Environment) -> None:
    landing = _landing(landed_away)
    landing.folder.write("a.csv", encoded("a.csv", _lines(landed_away)))
    files = landing.files()
    landing.folder.write("a.csv", encoded("a.csv", _lines(landed_away) * 2))
    with open_lake(landed_away.settings, {}).connect() as session:
        landing.index(session, files)
        landing.folder.write("a.csv", encoded("a.csv", _lines(landed_away)))
        assert [entry.records for entry in landing.index(session, landing.files()).values()] == [1]


@pytest.mark.parametrize("name", ["cut.csv.gz", "cut.parquet", "cut.jsonl"])
def test_a_damaged_object_is_named(landed_away: Environment, name: str) -> None:
    whole = encoded(name, _lines(landed_away) * 50)
    _put(landed_away, f"date={DAY}/{name}", whole[: len(whole) // 2 + 5])
    with pytest.raises(LandingError, match=f"{LOG}: {DAY} is not published.*{name}"):
        landed_away.publish(LOG, DAY)


# Stores that cannot be reached: nothing is lost.


def _cannot_be_read(environment: Environment, cursor: str | None) -> str | None:
    """Publishing says where and what to do, and a tick keeps what it has seen. Returns the cursor of the tick."""
    with pytest.raises(StoreAway) as told:
        environment.publish(LOG, DAY)
    tick = environment.tick(cursor)
    [warning] = tick.warnings
    assert f"{LOG}: the landing folder cannot be read: {environment.settings.landing}/{LOG}: " in str(told.value)
    assert f"the landing folder cannot be read: {environment.settings.landing}/" in warning
    for text in (str(told.value), warning):
        assert "WEMART_STORAGE__" in text
        assert (SECRET in text, KEY in text) == (False, False)
    assert tick.requests == []
    return tick.cursor


def test_a_bucket_that_is_not_there_is_named_and_nothing_is_lost(landed_away: Environment) -> None:
    _put(landed_away, "a.csv", _lines(landed_away))
    cursor = landed_away.tick().cursor
    there = landed_away.overrides["landing"]
    landed_away.overrides["landing"] = "s3://no-such-bucket/landing"
    cursor = _cannot_be_read(landed_away, cursor)
    landed_away.overrides["landing"] = there
    assert landed_away.tick(cursor).requests == []


def test_wrong_keys_are_an_error_that_does_not_show_them(make_environment: MakeEnvironment) -> None:
    # The server checks keys after one request, which makes the bucket.
    with s3_server(INITIAL_NO_AUTH_ACTION_COUNT="1") as server:
        environment = make_environment(landing=f"{server.bucket()}/landing", storage=server.storage)
        _cannot_be_read(environment, None)


def test_a_store_that_is_away_is_an_error_and_nothing_is_lost(make_environment: MakeEnvironment) -> None:
    with s3_server() as server:
        environment = make_environment(landing=f"{server.bucket()}/landing", storage=server.storage)
        _put(environment, "a.csv", _lines(environment))
        tick = environment.tick()
        assert tick.days_of(LOG) == [DAY]
    assert Cursor.load(_cannot_be_read(environment, tick.cursor)).seen == Cursor.load(tick.cursor).seen
