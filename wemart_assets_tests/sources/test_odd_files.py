"""An odd file in a landing folder stops only the days that it may have rows for, and is named."""

from __future__ import annotations

import gzip
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from wemart_assets import catalog
from wemart_assets.definitions import open_lake
from wemart_assets.lake.errors import LandingError
from wemart_assets.sources.landing import INDEX_FOLDER, Landing, landings

if TYPE_CHECKING:
    from wemart_assets_tests.environments import Environment

LOG = "service_log.weverse_server_log"
TRACKS = "rudder.tracks"
DAY, OTHER_DAY = "2024-03-05", "2024-03-20"


def _landing(environment: Environment, source: str = LOG) -> Landing:
    return landings(environment.settings.for_sources(), catalog.contracts())[source]


def _folder(environment: Environment) -> Path:
    folder = environment.landing / LOG / f"date={DAY}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _pipe(folder: Path) -> str:
    os.mkfifo(folder / "pipe.csv")
    return "pipe.csv in the landing folder is ignored: it is not a regular file"


def _socket(folder: Path) -> str:
    # The path of a socket has to be short.
    here = Path.cwd()
    os.chdir(folder)
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind("socket.csv")
    finally:
        os.chdir(here)
    return "socket.csv in the landing folder is ignored: it is not a regular file"


def _link_to_itself(folder: Path) -> str:
    (folder / "loop.csv").symlink_to(folder / "loop.csv")
    return "loop.csv in the landing folder is ignored: Too many levels of symbolic links"


def _link_to_nothing(folder: Path) -> str:
    (folder / "gone.csv").symlink_to(folder / "no such file.csv")
    return "gone.csv in the landing folder is ignored: it is a broken link"


def _link_to_a_folder_above(folder: Path) -> str:
    (folder / "again").symlink_to(folder.parent, target_is_directory=True)
    return "again in the landing folder is ignored: it is a link to a folder that contains it"


@pytest.mark.parametrize(
    "odd", [_pipe, _socket, _link_to_itself, _link_to_nothing, _link_to_a_folder_above], ids=lambda of: of.__name__
)
def test_anything_but_a_regular_file_is_ignored_with_a_warning(
    environment: Environment, odd: Callable[[Path], str], caplog: pytest.LogCaptureFixture
) -> None:
    environment.land(LOG, f"date={DAY}/good.csv", [environment.line(f"{DAY} 12:00:00")])
    warning = odd(_folder(environment))
    environment.publish(LOG, DAY)
    assert warning in caplog.text
    assert len(environment.read(LOG, DAY)) == 1


def test_a_folder_behind_a_link_is_read(environment: Environment) -> None:
    elsewhere = environment.root / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "good.csv").write_text(environment.csv([environment.line(f"{DAY} 12:00:00")]))
    (environment.landing / LOG).mkdir(parents=True)
    (environment.landing / LOG / f"date={DAY}").symlink_to(elsewhere, target_is_directory=True)
    environment.publish(LOG, DAY)
    assert len(environment.read(LOG, DAY)) == 1


@pytest.mark.parametrize("name", [b"caf\xe9.csv", b"\xff\xfe.parquet"])
def test_a_file_name_that_is_not_utf_8_stops_only_its_own_days(environment: Environment, name: bytes) -> None:
    environment.land(LOG, f"date={OTHER_DAY}/good.csv", [environment.line(f"{OTHER_DAY} 12:00:00")])
    (Path(os.fsdecode(os.fsencode(_folder(environment)) + b"/" + name))).write_text("a,b\n")
    environment.publish(LOG, OTHER_DAY)
    assert len(environment.read(LOG, OTHER_DAY)) == 1
    shown = name.decode("utf-8", "backslashreplace").replace("\\", "\\\\")
    with pytest.raises(LandingError, match=f"the name of landing file date={DAY}/{shown} is not UTF-8; rename it"):
        environment.publish(LOG, DAY)


def test_an_empty_parquet_file_may_have_an_untyped_instant(environment: Environment) -> None:
    """This is how pandas writes an empty frame."""
    columns = {c.name: pa.array([], pa.null()) for c in catalog.contracts()[TRACKS].columns}
    environment.land(TRACKS, f"date={DAY}/empty.parquet", environment.parquet(pa.table(columns)))
    assert environment.publish(TRACKS, DAY)["files that cannot be read"] == 0
    assert environment.published(TRACKS, DAY) == {DAY}


def test_rows_with_an_untyped_instant_are_quarantined(environment: Environment) -> None:
    environment.overrides["quarantine_share"] = 1.0
    columns = {c.name: pa.array([None], pa.null()) for c in catalog.contracts()[TRACKS].columns}
    environment.land(TRACKS, f"date={DAY}/nulls.parquet", environment.parquet(pa.table(columns)))
    environment.publish(TRACKS, DAY)
    assert [row["reason"] for row in environment.quarantine(TRACKS)] == ["id is NULL"]


INDEXES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "truncated": lambda content: content[: len(content) // 2],
    "not compressed": lambda _: b"not an index",
    "another thing": lambda _: gzip.compress(b"[1, 2]"),
    "of another version": lambda content: gzip.compress(gzip.decompress(content).replace(b'"faulty"', b'"colour"')),
}


@pytest.mark.parametrize("case", INDEXES)
def test_an_unusable_index_is_rebuilt(environment: Environment, case: str) -> None:
    environment.land(LOG, "any.csv", [environment.line(f"{DAY} 12:00:00"), environment.line(f"{OTHER_DAY} 12:00:00")])
    environment.publish(LOG, DAY)
    [segment] = (environment.lake / LOG.replace(".", "/") / INDEX_FOLDER).iterdir()
    said = _segment(segment)
    segment.write_bytes(INDEXES[case](segment.read_bytes()))
    environment.publish(LOG, OTHER_DAY)
    assert [len(environment.read(LOG, day)) for day in (DAY, OTHER_DAY)] == [1, 1]
    [rebuilt] = set(segment.parent.iterdir()) - {segment}
    assert _segment(rebuilt) == said
    assert _landing(environment).vacuum(0, dry_run=False) == [segment.name]
    assert set(segment.parent.iterdir()) == {rebuilt}


def _segment(path: Path) -> object:
    """The content of a segment without the times at which its entries were made."""
    values = json.loads(gzip.decompress(path.read_bytes()))
    return values | {"entries": [[key, *entry] for key, _, *entry in values["entries"]]}


def test_a_missing_copy_is_made_again(environment: Environment) -> None:
    lines = environment.csv([environment.line(f"{DAY} 12:00:00"), environment.line(f"{OTHER_DAY} 12:00:00")]).encode()
    environment.land(LOG, "odd.csv", b"\xef\xbb\xbf" + lines)
    environment.publish(LOG, DAY)
    [copy] = (environment.lake / LOG.replace(".", "/") / INDEX_FOLDER).glob("*.parquet")
    copy.unlink()
    environment.publish(LOG, OTHER_DAY)
    assert (len(environment.read(LOG, OTHER_DAY)), copy.exists()) == (1, True)


def test_index_entries_of_changed_files_are_vacuumed(environment: Environment) -> None:
    lines = [environment.line(f"{DAY} 12:00:00"), environment.line(f"{OTHER_DAY} 12:00:00")]
    odd = b"\xef\xbb\xbf" + environment.csv(lines).encode()
    environment.land(LOG, "changed.csv", odd)
    environment.land(LOG, "stays.csv", odd)
    environment.publish(LOG, DAY)
    index = environment.lake / LOG.replace(".", "/") / INDEX_FOLDER
    copies = {path.name for path in index.glob("*.parquet")}
    environment.land(LOG, "changed.csv", lines)
    environment.publish(LOG, DAY)
    landing = _landing(environment)
    assert landing.vacuum(1, dry_run=False) == []
    gone = landing.vacuum(0, dry_run=True)
    # One copy, whose name is a digest, and the entry of the file that it was made of.
    assert len(gone) == 2
    assert set(gone) - copies == {"changed.csv"}
    assert landing.vacuum(0, dry_run=False) == gone
    assert {path.name for path in index.glob("*.parquet")} == copies - set(gone)
    assert landing.vacuum(0, dry_run=False) == []
    environment.publish(LOG, OTHER_DAY)
    assert len(environment.read(LOG, OTHER_DAY)) == 2


def test_one_unreadable_file_does_not_keep_the_others_from_being_indexed(environment: Environment) -> None:
    environment.land(LOG, f"date={DAY}/broken.parquet", b"no parquet")
    environment.land(LOG, f"date={OTHER_DAY}/good.csv", [environment.line(f"{OTHER_DAY} 12:00:00")])
    landing = _landing(environment)
    with open_lake(environment.settings, {}).connect() as session:
        index = landing.index(session, landing.files())
    assert [(file.path, entry.error is None) for file, entry in index.items()] == [
        (f"date={DAY}/broken.parquet", False),
        (f"date={OTHER_DAY}/good.csv", True),
    ]


def test_a_field_may_have_any_length(environment: Environment) -> None:
    long = "x" * 3_000_000
    environment.land(LOG, "long.csv", [environment.line(f"{DAY} 12:00:00", params=long, url="y" * 200_000)])
    environment.publish(LOG, DAY)
    [row] = environment.read(LOG, DAY)
    assert (len(row["params"]), len(row["url"])) == (3_000_000, 200_000)
