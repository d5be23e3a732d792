"""The index of landing files: nobody who writes, reads, merges or is killed costs anybody else an entry."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wemart_assets import catalog
from wemart_assets.definitions import open_lake
from wemart_assets.lake.location import Listed, Location
from wemart_assets.sources import index as under_test
from wemart_assets.sources.index import FileIndex, Index
from wemart_assets.sources.landing import INDEX_FOLDER, landings
from wemart_assets_tests.examples import examples

if TYPE_CHECKING:
    from wemart_assets_tests.environments import Environment
    from wemart_assets_tests.s3_server import S3Server

LOG = "service_log.weverse_server_log"
DAY = "2024-03-05"


def _entry(path: str, rows: int = 1, copy: str | None = None) -> FileIndex:
    return FileIndex(path, ["id"], {"id": "int64"}, {DAY: rows}, header=["id"], records=rows, copy=copy)


def _add(index: Index, *keys: str) -> None:
    with index.writer() as add:
        for key in keys:
            add(key, _entry(f"{key}.csv"))


@pytest.fixture(params=["a folder", "an object store"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    if request.param == "a folder":
        return Location.of(tmp_path / "index")
    server: S3Server = request.getfixturevalue("s3")
    return server.location("index")


def test_what_is_written_is_read_by_another(folder: Location) -> None:
    _add(Index("s.t", folder), "a", "b")
    known = Index("s.t", folder).read()
    assert (known.get("a"), known.get("b"), known.get("c")) == (_entry("a.csv"), _entry("b.csv"), None)


def test_an_index_that_was_never_written_is_empty(folder: Location) -> None:
    assert Index("s.t", folder).read().entries == {}


def test_many_segments_are_merged_and_replaced_ones_removed_later(
    folder: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [f"k{n}" for n in range(40)]
    index = Index("s.t", folder)
    for key in keys:
        _add(index, key)
    assert set(index.read().entries) == set(keys)
    replaced_stay = len(list(folder.files()))
    monkeypatch.setattr(under_test, "GRACE", -1)
    _add(index, "41")
    _add(index, "42")
    assert len(list(folder.files())) <= under_test.MOST_SEGMENTS + 1 < replaced_stay
    assert set(Index("s.t", folder).read().entries) == {*keys, "41", "42"}


def test_a_copy_that_is_gone_makes_its_entry_unknown(folder: Location) -> None:
    index = Index("s.t", folder)
    with index.copy("a") as target:
        target.write(b"copy")
    with index.writer() as add:
        add("a", _entry("a.csv", copy=index.copy_name("a")))
    assert index.read().get("a") is not None
    folder.delete([index.copy_name("a")])
    assert index.read().get("a") is None


def test_the_last_entry_of_a_file_is_the_latest_of_its_path(folder: Location) -> None:
    index = Index("s.t", folder)
    for rows in (3, 1, 2):
        with index.writer() as add:
            add(f"key{rows}", _entry("a.csv", rows))
    assert (index.read().last("a.csv"), index.read().last("b.csv")) == (_entry("a.csv", 2), None)


def test_an_interrupted_writer_keeps_what_it_has_read(folder: Location) -> None:
    with suppress(KeyboardInterrupt), Index("s.t", folder).writer() as add:
        add("a", _entry("a.csv"))
        raise KeyboardInterrupt
    assert Index("s.t", folder).read().get("a") is not None


def test_a_killed_writer_loses_only_the_last_few_entries(folder: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "ENTRIES_AT_ONCE", 3)
    with Index("s.t", folder).writer() as add:
        for n in range(7):
            add(f"k{n}", _entry(f"{n}.csv"))
        assert len(Index("s.t", folder).read().entries) == 6


def test_vacuum_keeps_what_present_files_need(folder: Location) -> None:
    index = Index("s.t", folder)
    for key, path in (("old", "a.csv"), ("new", "a.csv"), ("gone", "b.csv"), ("changed", "c.csv")):
        with index.writer() as add:
            add(key, _entry(path))
    arguments = ({"new"}, {"a.csv", "c.csv"})
    assert index.vacuum(*arguments, older_than=1, dry_run=False) == []
    assert index.vacuum(*arguments, older_than=0, dry_run=True) == ["a.csv", "b.csv"]
    assert index.vacuum(*arguments, older_than=0, dry_run=False) == ["a.csv", "b.csv"]
    assert set(Index("s.t", folder).read().entries) == {"new", "changed"}


# Processes beside each other.


class Killed(BaseException):
    pass


class Actor(threading.Thread):
    """A process that stops before each of its requests until it may go on, or is killed there."""

    def __init__(self, act: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._act, self._may_go, self._stops = act, threading.Semaphore(0), threading.Semaphore(0)
        self.is_done = self.is_killed = False
        self.error: BaseException | None = None

    def run(self) -> None:
        self._may_go.acquire()
        try:
            self._act()
        except Killed:
            pass
        except BaseException as error:
            self.error = error
        self.is_done = True
        self._stops.release()

    def stop(self) -> None:
        self._stops.release()
        self._may_go.acquire()
        if self.is_killed:
            raise Killed

    def go_on(self) -> None:
        self._may_go.release()
        self._stops.acquire()


class Store:
    """A folder in memory. With `by_name`, a listing takes one request per name, and others act in between."""

    def __init__(self, by_name: bool) -> None:
        self.url, self.by_name = f"memory {id(self)}", by_name
        self.content: dict[str, tuple[float, bytes]] = {}
        self.clock = itertools.count(1)

    def now(self) -> float:
        return float(next(self.clock))

    def _request(self) -> None:
        actor = threading.current_thread()
        if isinstance(actor, Actor):
            actor.stop()

    def files(self) -> Iterator[Listed]:
        self._request()
        for name in sorted(self.content):
            if self.by_name:
                self._request()
            if name in self.content:
                at, content = self.content[name]
                yield Listed(name, len(content), "", at)

    def read(self, name: str) -> bytes:
        self._request()
        if name not in self.content:
            raise FileNotFoundError(name)
        return self.content[name][1]

    def write(self, name: str, content: bytes) -> None:
        self._request()
        self.content[name] = self.now(), content

    @contextmanager
    def writer(self, name: str) -> Iterator[BytesIO]:
        target = BytesIO()
        yield target
        self.write(name, target.getvalue())

    def delete(self, names: Iterator[str]) -> None:
        for name in list(names):
            self._request()
            self.content.pop(name, None)


@pytest.mark.parametrize("by_name", [False, True], ids=["removed at once", "listed name by name"])
@given(st.integers(0, 2**32))
@settings(max_examples=examples(60, 600))
def test_processes_beside_each_other_lose_no_entry_and_never_fail(by_name: bool, seed: int) -> None:
    """Replaced segments are removed at once where listings are, and never where a listing takes as long as it may."""
    chance = random.Random(seed)
    store, stored = Store(by_name), set[str]()

    def write(number: int) -> None:
        index = Index("s.t", cast(Any, store))
        for n in range(chance.randint(1, 4)):
            keys = [f"{number} {n} {k}" for k in range(2)]
            _add(index, *keys)
            stored.update(keys)

    def read() -> None:
        index = Index("s.t", cast(Any, store))
        for _ in range(3):
            before = set(stored)
            assert before <= set(index.read().entries)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(under_test, "MOST_SEGMENTS", 2)
        # Each process reads for itself.
        patch.setattr(under_test, "MOST_REMEMBERED", 0)
        patch.setattr(under_test, "GRACE", 10**9 if by_name else 0)
        patch.setattr(under_test.time, "time", store.now)
        actors = [Actor(act) for act in (*(lambda n=n: write(n) for n in range(4)), read, read)]
        for actor in actors:
            actor.start()
        while going := [actor for actor in actors if not actor.is_done]:
            actor = chance.choice(going)
            actor.is_killed = actor.is_killed or chance.random() < 0.01
            actor.go_on()
        assert [actor.error for actor in actors if actor.error is not None] == []
        index = Index("s.t", cast(Any, store))
        assert stored <= set(index.read().entries)
        patch.setattr(under_test, "GRACE", -1)
        for n in range(3):
            _add(index, f"later {n}")
        assert stored <= set(index.read().entries)
        assert len(store.content) <= under_test.MOST_SEGMENTS + 2


# Indexes of earlier versions.


def _earlier_index(environment: Environment) -> Path:
    """Rewrites the index as earlier versions did: a file of JSON per entry, under the digest that they used."""
    landing = landings(environment.settings.for_sources(), catalog.contracts())[LOG]
    folder = environment.lake / LOG.replace(".", "/") / INDEX_FOLDER
    with open_lake(environment.settings, {}).connect() as session:
        index = landing.index(session, landing.files())
    for segment in folder.iterdir():
        segment.unlink()
    contract = landing.contract
    for file, entry in index.items():
        fingerprint = [3, file.path, file.size, int(file.version), landing.mapping.signature(), landing.timezone]
        fingerprint += [landing.first_day, repr(contract.form), contract.local_times, str(contract.unknown_time)]
        fingerprint += [f"{c.name} {c.type} {c.nullable}" for c in contract.columns]
        for name, values in ((".json", fingerprint), (".last.json", [file.path])):
            digest = hashlib.blake2b(json.dumps(values).encode(), digest_size=16).hexdigest()
            (folder / f"{digest}{name}").write_text(json.dumps(asdict(entry)))
    return folder


def test_an_earlier_index_is_moved_and_nothing_is_requested_again(environment: Environment) -> None:
    for day in ("2024-03-03", "2024-03-04", "2024-03-05"):
        environment.land_lines(f"date={day}/a.csv", f"{day} 12:00:00")
    cursor = environment.tick().cursor
    folder = _earlier_index(environment)
    tick = environment.tick(cursor)
    assert (tick.requests, tick.warnings) == ([], [])
    assert {path.name.partition(".")[2] for path in folder.iterdir()} == {"entries.gz"}
    assert environment.tick(tick.cursor).warnings == []


def test_an_earlier_index_tells_the_days_of_a_file_that_has_become_unreadable(environment: Environment) -> None:
    path = environment.land_lines("a.csv", "2024-03-05 12:00:00")
    cursor = environment.tick().cursor
    _earlier_index(environment)
    path.write_bytes(b'"')
    [warning] = environment.tick(cursor).warnings
    assert "a.csv" in warning
    landing = landings(environment.settings.for_sources(), catalog.contracts())[LOG]
    with open_lake(environment.settings, {}).connect() as session:
        [entry] = landing.index(session, landing.files()).values()
    assert entry.days == {DAY: 1}
