"""`wemart doctor`: whether everything that the commands need is there, and how to fix what is not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wemart_assets.lake.errors import WemartError
from wemart_assets.settings import EngineName, Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from wemart_assets.lake.location import Location

# With less room than this, a day of a middling platform may not fit.
LITTLE_ROOM = 2 * 1024**3
PACKAGE = "wemart-assets"
# The oldest that Spark 4 runs on.
JAVA = 17


class Health(Enum):
    """How a part of the installation is."""

    GOOD = "ok"
    DOUBTFUL = "warning"
    BAD = "problem"


@dataclass(frozen=True)
class Diagnosis:
    """What was found out about one part, and what to do about it unless it is good."""

    part: str
    health: Health
    found: str
    remedy: str = ""


Examination = Callable[[Settings], Iterator[Diagnosis]]


@click.command()
def doctor() -> None:
    """Check the settings, the lake, the landing folder, the engine and Dagster, and say how to fix what is wrong.

    Nothing is changed. The exit code is 1 if there is a problem; warnings alone leave it at 0.

    \b
    Examples:
      wemart doctor
      wemart doctor && wemart run --from -1 --upstream we_mart/wv_sess_daily
    """
    worst = Health.GOOD
    for diagnosis in examine():
        click.echo(f"{diagnosis.health.value:<8} {diagnosis.part}: {diagnosis.found}")
        if diagnosis.remedy:
            click.echo(f"{'':<8} {'':<{len(diagnosis.part)}}  {diagnosis.remedy}")
        if diagnosis.health is Health.BAD or worst is Health.GOOD:
            worst = diagnosis.health
    if worst is Health.BAD:
        raise click.exceptions.Exit(1)


def examine() -> Iterator[Diagnosis]:
    """Examines one part after the other; without valid settings there is nothing else to examine."""
    yield from _packages()
    try:
        settings = load_settings()
    except SettingsError as error:
        yield Diagnosis("settings", Health.BAD, str(error), "Correct the variable, or remove it for its default.")
        return
    set_here = sorted(f"WEMART_{name.upper()}" for name in settings.model_fields_set)
    yield Diagnosis("settings", Health.GOOD, ", ".join(set_here) or "all have their defaults")
    for part, examination in EXAMINATIONS.items():
        try:
            yield from examination(settings)
        except (WemartError, OSError) as error:
            yield Diagnosis(part, Health.BAD, str(error))


def _packages() -> Iterator[Diagnosis]:
    from packaging.requirements import Requirement

    wrong = []
    for text in metadata.requires(PACKAGE) or []:
        required = Requirement(text)
        if required.marker is not None and not required.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(required.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{required.name} is not installed")
            continue
        if not required.specifier.contains(version, prereleases=True):
            wrong.append(f"{required.name} is {version}, not {required.specifier}")
    if wrong:
        remedy = f"Install the package's own versions: pip install -c constraints.txt {PACKAGE}"
        yield Diagnosis("packages", Health.BAD, "; ".join(wrong), remedy)
    else:
        yield Diagnosis("packages", Health.GOOD, f"{PACKAGE} {metadata.version(PACKAGE)} and what it requires")


def _lake(settings: Settings) -> Iterator[Diagnosis]:
    from wemart_assets import catalog
    from wemart_assets.lake.folder_store import FolderStore

    if settings.engine is EngineName.SPARK and settings.spark.catalog:
        yield Diagnosis("lake", Health.GOOD, f"tables of the catalog {settings.spark.catalog}, which Spark examines")
        return
    yield from _room("lake", settings.lake_location)
    store = FolderStore(settings.lake_location)
    published, damaged = 0, []
    for table in catalog.TABLES_BY_NAME.values():
        try:
            published += store.open(table) is not None
        except WemartError as error:
            damaged.append(str(error))
    if damaged:
        yield Diagnosis("tables", Health.BAD, "\n".join(damaged), "Run the days that the messages name again.")
    elif published == 0:
        yield Diagnosis("tables", Health.DOUBTFUL, "none is published", "Start with `wemart demo` or `wemart run`.")
    else:
        yield Diagnosis("tables", Health.GOOD, f"{published} published, all logs readable")


def _landing(settings: Settings) -> Iterator[Diagnosis]:
    from wemart_assets import catalog
    from wemart_assets.sources.mapping import load_mappings

    contracts = catalog.contracts()
    load_mappings(settings.sources, contracts.values())
    landing = settings.landing_location
    folders = {folder.rstrip("/").rpartition("/")[2] for folder in landing.folders()}
    known = sorted(folders & set(contracts))
    if unknown := sorted(folders - set(contracts)):
        yield Diagnosis(
            "landing",
            Health.DOUBTFUL,
            f"{landing} has folders that no source reads: {', '.join(unknown)}",
            "Name them after their sources (`<database>.<table>`), or move them away.",
        )
    if known:
        count = "1 source" if len(known) == 1 else f"{len(known)} sources"
        yield Diagnosis("landing", Health.GOOD, f"{landing} has folders of {count}")
    else:
        remedy = "Put files under `<database>.<table>/`, or try `wemart simulate`."
        yield Diagnosis("landing", Health.DOUBTFUL, f"{landing} has no folder of a source", remedy)


def _state(settings: Settings) -> Iterator[Diagnosis]:
    from wemart_assets.lake.location import Location

    yield from _room("state", Location.of(settings.state))
    if settings.engine is EngineName.DUCKDB:
        yield from _room("spill", Location.of(settings.spill))


def _engine(settings: Settings) -> Iterator[Diagnosis]:
    from wemart_assets.definitions import open_lake

    if settings.engine is EngineName.DUCKDB:
        with open_lake(settings, {}).connect():
            # Connecting loads the extensions that the lake's object store needs.
            yield Diagnosis("engine", Health.GOOD, f"DuckDB {metadata.version('duckdb')}")
        return
    try:
        spark = f"Spark {metadata.version('pyspark')} with Delta Lake {metadata.version('delta-spark')}"
    except metadata.PackageNotFoundError as error:
        remedy = f"Install the extra: pip install -c constraints.txt '{PACKAGE}[spark]'"
        yield Diagnosis("engine", Health.BAD, f"{error.name} is not installed", remedy)
        return
    if settings.spark.remote:
        yield Diagnosis("engine", Health.GOOD, f"{spark}, for the Spark Connect server {settings.spark.remote}")
    elif (java := _java_version()) is None or java < JAVA:
        found = "there is no Java" if java is None else f"Java is version {java}"
        remedy = f"Install a JDK {JAVA} or later, and set JAVA_HOME to it."
        yield Diagnosis("engine", Health.BAD, f"{spark}, but {found}", remedy)
    else:
        yield Diagnosis("engine", Health.GOOD, f"{spark} on Java {java}, as {settings.spark.master}")


def _java_version() -> int | None:
    """The major version of the Java that pyspark would start, or None if there is none."""
    home = os.environ.get("JAVA_HOME")
    java = f"{home}/bin/java" if home else shutil.which("java")
    if java is None or not Path(java).exists():
        return None
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', said)
    return int(version[1]) if version else None


def _dagster(_settings: Settings) -> Iterator[Diagnosis]:
    from wemart_assets.dagster_runs import dagster, environment

    dagster()
    home = environment().get("DAGSTER_HOME")
    if home is None:
        yield Diagnosis(
            "dagster",
            Health.DOUBTFUL,
            "DAGSTER_HOME is not set and there is no dagster.yaml here, so runs leave no history",
            "Work in a folder made by `wemart init`, or set DAGSTER_HOME to one.",
        )
    elif not (Path(home) / "dagster.yaml").exists():
        remedy = "`wemart init` writes one, with the history of each lake in a folder of its own."
        yield Diagnosis("dagster", Health.DOUBTFUL, f"DAGSTER_HOME={home} has no dagster.yaml", remedy)
    else:
        yield Diagnosis("dagster", Health.GOOD, f"{metadata.version('dagster')}, DAGSTER_HOME={home}")


EXAMINATIONS: dict[str, Examination] = {
    "lake": _lake,
    "landing": _landing,
    "state": _state,
    "engine": _engine,
    "dagster": _dagster,
}


def _room(part: str, place: Location) -> Iterator[Diagnosis]:
    """Whether this user can write a place and, for a folder, how much room its disk has."""
    if not place.is_local:
        # Raises an error that says what to do if it is out of reach.
        place.exists("_wemart_doctor")
        yield Diagnosis(part, Health.GOOD, f"{place} answers")
        return
    existing = next(folder for folder in (place.path.absolute(), *place.path.absolute().parents) if folder.exists())
    if not existing.is_dir() or not _is_writable(existing):
        yield Diagnosis(part, Health.BAD, f"{place} cannot be written", f"Let this user write in {existing}.")
        return
    free = shutil.disk_usage(existing).free
    found = f"{place}, {free / 1024**3:,.1f} GB free"
    if free < LITTLE_ROOM:
        yield Diagnosis(part, Health.DOUBTFUL, found, "Make room: a run that fills the disk fails.")
    else:
        yield Diagnosis(part, Health.GOOD, found)


def _is_writable(folder: Path) -> bool:
    """Tries it: rights alone do not tell of a disk that is read-only."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
