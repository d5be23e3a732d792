"""An environment for one test: a lake, a landing folder, the asset graph over them, and its sensor, ticked manually.

Published rows are read with delta-rs only, so that no test relies on the engine's own reader.
"""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import json
import logging
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
from dagster._core.test_utils import freeze_time
from deltalake import DeltaTable

from wemart_assets import catalog
from wemart_assets.definitions import build_defs, open_lake
from wemart_assets.lake.days import Period, days_between, period_start
from wemart_assets.lake.folder_store import FolderStore
from wemart_assets.settings import Settings, load_settings
from wemart_assets.sources.contract import UNKNOWN_DAY
from wemart_assets.sources.landing import landings
from wemart_assets.sources.source_asset import publish_source
from wemart_assets_tests.engines import duckdb_lake, publish_no_rows
from wemart_assets_tests.server_log import LOG_COLUMNS

LOG = "service_log.weverse_server_log"
NOW = dt.datetime(2024, 4, 1, tzinfo=dt.UTC)
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
Row = dict[str, Any]


def millis(local: str, timezone: str = "Asia/Seoul") -> int:
    """Milliseconds since the epoch of a local time."""
    at = dt.datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(timezone))
    return (at - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(milliseconds=1)


def as_csv(rows: Sequence[Row], delimiter: str = ",") -> str:
    """Rows as CSV with the columns of the first row; NULL is an empty field."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_jsonl(rows: Sequence[Row]) -> str:
    """Rows as JSON lines; NULL fields are left out."""
    return "".join(json.dumps({k: v for k, v in row.items() if v is not None}) + "\n" for row in rows)


def as_parquet(rows: Sequence[Row] | pa.Table, types: Mapping[str, pa.DataType] | None = None) -> bytes:
    """Rows as Parquet; a column has the type in `types`, or else that of its values: bigint, instant or text."""
    if not isinstance(rows, pa.Table):
        kinds = {name: _arrow_type([row[name] for row in rows]) for name in rows[0]} | dict(types or {})
        rows = pa.table({name: pa.array([row[name] for row in rows], type=kind) for name, kind in kinds.items()})
    target = io.BytesIO()
    pq.write_table(rows, target)
    return target.getvalue()


def _arrow_type(values: Sequence[Any]) -> pa.DataType:
    kinds = {int: pa.int64(), dt.datetime: pa.timestamp("us", tz="UTC"), str: pa.string()}
    return next((kinds[type(value)] for value in values if value is not None), pa.string())


def encoded(name: str, rows: Sequence[Row]) -> bytes:
    """Rows in the format of the file name's ending."""
    plain = name.lower().removesuffix(".gz")
    if plain.endswith(".parquet"):
        return as_parquet(rows)
    if plain.endswith((".jsonl", ".ndjson")):
        content = as_jsonl(rows).encode()
    else:
        content = as_csv(rows, "\t" if plain.endswith(".tsv") else ",").encode()
    return gzip.compress(content) if name.lower().endswith(".gz") else content


@dataclass
class Run:
    """The result of a run.

    Attributes:
        failed: messages of the tables that failed with a readable error, by table.
        crashed: exceptions of the tables that failed in any other way, by table.
        metadata: metadata of the publications, by table and day.
        checks: results by table and check name.
    """

    success: bool
    failed: dict[str, str] = field(default_factory=dict)
    crashed: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, dict[str, Row]] = field(default_factory=dict)
    checks: dict[str, dict[str, dg.AssetCheckEvaluation]] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """A requested run: its key, its days, and the tables that it makes."""

    key: str
    days: tuple[str, ...]
    tables: frozenset[str]


class _Warnings(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


@dataclass(frozen=True)
class Tick:
    """The result of one sensor tick. `cursor` is where the next tick starts: the new cursor or else the given one."""

    requests: list[Request]
    cursor: str | None
    skipped: str | None
    observed: set[tuple[str, str | None]]
    warnings: list[str]

    @property
    def days(self) -> list[str]:
        """The days of all requests, repeated if they are requested repeatedly."""
        return sorted(day for request in self.requests for day in request.days)

    def days_of(self, table: str) -> list[str]:
        """The days for which the table is requested."""
        return sorted(day for request in self.requests if table in request.tables for day in request.days)

    @property
    def keys(self) -> set[str]:
        return {request.key for request in self.requests}


class Environment:
    """Settings, files and the graph of one test. Days are business days in Seoul unless configured otherwise.

    Attributes:
        overrides: the settings; the graph follows their changes.
        ignored: tables that a sensor tick ignores.
    """

    csv = staticmethod(as_csv)
    jsonl = staticmethod(as_jsonl)
    parquet = staticmethod(as_parquet)
    millis = staticmethod(millis)

    def __init__(self, root: Path, instance: dg.DagsterInstance, ignored: Iterable[str] = (), **settings: Any) -> None:
        self.root = root
        self.instance = instance
        self.ignored = frozenset(ignored)
        self.overrides: Row = {
            "lake": root / "lake",
            "landing": root / "landing",
            "spill": root / "spill",
            "first_day": dt.date(2024, 3, 1),
            "threads": 2,
            "memory_limit": "1GB",
            **settings,
        }
        self._settings: tuple[Row, Settings] | None = None
        self._defs: tuple[Settings, dg.Definitions] | None = None

    @staticmethod
    def line(local: str = "2024-03-02 12:00:00", **other: Any) -> Row:
        """A line of the server log at a local time in Seoul, with further columns in `other`."""
        defaults = {"unix_log_timestamp": millis(local), "user_info_id": 0, "user_info_device_id": "d", "url": "/home"}
        return dict.fromkeys(LOG_COLUMNS) | defaults | other

    @staticmethod
    def artist(we_art_id: Any, we_art_name: str | None = "name", comm_id: Any = None) -> Row:
        """A row of we_artist."""
        return {"we_art_id": we_art_id, "we_art_name": we_art_name, "comm_id": comm_id}

    @staticmethod
    def user(we_member_id: Any, **other: Any) -> Row:
        """A row of we_user; columns that are not in `other` are NULL."""
        columns = ("wv_user_id", "wv_status", "wv_leave_dt", "wv_first_join_dt", "ctry_code", "vlive_id")
        return {"we_member_id": we_member_id, **dict.fromkeys(columns), **other}

    @property
    def settings(self) -> Settings:
        if self._settings is None or self._settings[0] != self.overrides:
            self._settings = dict(self.overrides), load_settings(**self.overrides)
        return self._settings[1]

    @property
    def defs(self) -> dg.Definitions:
        if self._defs is None or self._defs[0] is not self.settings:
            self._defs = self.settings, build_defs(self.settings)
        return self._defs[1]

    @property
    def lake(self) -> Path:
        return Path(self.overrides["lake"])

    @property
    def landing(self) -> Path:
        return Path(self.overrides["landing"])

    def map(self, yaml_text: str) -> Path:
        """Writes `sources.yaml` and reloads the graph with it."""
        path = self.root / "sources.yaml"
        path.write_text(yaml_text)
        self.overrides["sources"] = path
        self._settings = None
        return path

    def give(self, *names: str, last: str = "2025-02-28") -> Environment:
        """Publishes empty days up to `last` for the tables, so that no tick has to request them."""
        store, days = FolderStore(self.lake), days_between("2024-03-01", last)
        for name in names:
            table = catalog.tables()[name]
            of = [day for day in days if period_start(day, table.period) == day]
            of = of if table.only_partition is None else [table.only_partition]
            publish_no_rows(store, table, of)
        return self

    def land(self, source: str, path: str, content: str | bytes | Sequence[Row]) -> Path:
        """Puts a file into the source's landing folder; rows are written in the format of its name."""
        target = self.landing / source / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            target.write_text(content, newline="")
        else:
            target.write_bytes(content if isinstance(content, bytes) else encoded(path, content))
        return target

    def land_lines(self, path: str, *locals_: str, url: str = "/home") -> Path:
        """A file of the server log with one line at each of the local times."""
        return self.land(LOG, path, [self.line(local, url=url) for local in locals_])

    def copy_of(self, template: Environment) -> Environment:
        """Copies the template's lake and landing files, including modification times."""
        shutil.copytree(template.lake, self.lake, dirs_exist_ok=True)
        shutil.copytree(template.landing, self.landing)
        return self

    def publish(self, source: str, first: str, last: str | None = None) -> Row:
        """Publishes a source (with `UNKNOWN_DAY`, its rows of unknown time) as its asset does. Returns the metadata.

        Raises whatever error stops the publication.
        """
        settings = self.settings
        landing = landings(settings.for_sources(), catalog.contracts())[source]
        days = [first] if first == UNKNOWN_DAY else days_between(first, last or first)
        log = logging.getLogger(__name__)
        with open_lake(settings, {}).connect() as session:
            _, metadata = publish_source(session, landing, days, settings.for_tables(), lambda: NOW, log)
        return {name: v.value if isinstance(v, dg.MetadataValue) else v for name, v in metadata.items()}

    def run(self, first: str | None, last: str | None = None, tables: Iterable[str] = (LOG,)) -> Run:
        """Materializes the tables for a day, for the days from first to last as one run, or without days if None."""
        result = self.defs.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=self.instance,
            partition_key=first if last is None else None,
            asset_selection=[dg.AssetKey(name.split(".")) for name in sorted(tables)],
            tags={} if last is None else {RANGE_START: str(first), RANGE_END: last},
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
        )
        return _run(result)

    def execute(self, request: Request) -> None:
        """Runs what a tick requested, which has to succeed."""
        first, *more = request.days or (None,)
        done = self.run(first, more[-1] if more else None, request.tables)
        assert done.success, {**done.failed, **done.crashed}

    def tick(self, cursor: str | None = None, at: str = "2024-03-20 12:00:00") -> Tick:
        """Evaluates the landing sensor as the daemon does, at a local time in Seoul."""
        sensor = next(s for s in self.defs.sensors or () if s.name == "landing_sensor")
        assert isinstance(sensor, dg.SensorDefinition)
        heard = _Warnings()
        with freeze_time(dt.datetime.fromisoformat(at).replace(tzinfo=ZoneInfo("Asia/Seoul")).astimezone(dt.UTC)):
            context = dg.build_sensor_context(
                instance=self.instance,
                cursor=cursor,
                definitions=self.defs,
                resources={"lake": (self.defs.resources or {})["lake"]},
            )
            context.log.addHandler(heard)
            done = sensor.evaluate_tick(context)
        requests = [_request(r) for r in done.run_requests or ()]
        requests = [replace(r, tables=r.tables - self.ignored) for r in requests if r.tables - self.ignored]
        return Tick(
            requests,
            done.cursor or cursor,
            done.skip_message,
            {
                (".".join(e.asset_key.path), e.partition)
                for e in done.asset_events
                if isinstance(e, dg.AssetObservation)
            },
            heard.texts,
        )

    def ticks(self, cursor: str | None = None, at: str = "2024-03-20 12:00:00", most: int = 20) -> list[Tick]:
        """Ticks until nothing more is requested, at most `most` times. Returns the ticks that requested something."""
        found: list[Tick] = []
        while len(found) < most:
            tick = self.tick(cursor, at)
            if not tick.requests:
                break
            found.append(tick)
            cursor = tick.cursor
        return found

    def read(self, table: str, day: str | None = None) -> list[Row]:
        """Published rows without the run timestamp in a fixed order, of one day or of all days."""
        location = self.lake / table.replace(".", "/")
        if not DeltaTable.is_deltatable(str(location)):
            return []
        log = DeltaTable(location)
        day_column = log.metadata().partition_columns[-1]
        rows = [{k: v for k, v in r.items() if k != "run_timestamp"} for r in log.to_pyarrow_table().to_pylist()]
        return sorted((r for r in rows if day in (None, r[day_column])), key=lambda row: repr(list(row.items())))

    def column(self, table: str, column: str, day: str | None = None) -> list[Any]:
        """Published values of one column, sorted with NULL last."""
        return sorted((row[column] for row in self.read(table, day)), key=lambda v: (v is None, v))

    def quarantine(self, source: str, day: str | None = None) -> list[Row]:
        """Published quarantined rows, with `raw_row` parsed from JSON."""
        return [row | {"raw_row": json.loads(row["raw_row"])} for row in self.read(f"{source}__quarantine", day)]

    def published(self, table: str, *days: str) -> set[str]:
        """Which of the days were published, including empty ones."""
        with duckdb_lake(self.lake).connect() as session:
            return set(session.published(catalog.tables()[table], days))


def _run(result: dg.ExecuteInProcessResult) -> Run:
    run = Run(result.success)
    for event in result.all_events:
        if event.is_step_failure:
            table = str(event.step_key).replace("__", ".", 1)
            data = event.step_failure_data
            if data.user_failure_data is not None:
                run.failed[table] = str(data.user_failure_data.description)
            else:
                run.crashed[table] = str(data.error)
        elif event.event_type_value == "ASSET_MATERIALIZATION":
            materialized = event.step_materialization_data.materialization
            values = {name: v.value for name, v in materialized.metadata.items()}
            table = ".".join(materialized.asset_key.path)
            run.metadata.setdefault(table, {})[str(materialized.partition)] = values
        elif event.event_type_value == "ASSET_CHECK_EVALUATION":
            found = event.event_specific_data
            assert isinstance(found, dg.AssetCheckEvaluation)
            run.checks.setdefault(".".join(found.asset_key.path), {})[found.check_name] = found
    return run


def _request(request: dg.RunRequest) -> Request:
    if request.partition_key is not None:
        days: tuple[str, ...] = (request.partition_key,)
    elif RANGE_START not in request.tags:
        days = ()
    else:
        first, last = request.tags[RANGE_START], request.tags[RANGE_END]
        period = Period(str(request.job_name).removeprefix("requested_by_"))
        days = tuple(day for day in days_between(first, last) if period_start(day, period) == day)
    tables = frozenset(".".join(key.path) for key in request.asset_selection or ())
    return Request(str(request.run_key), days, tables)


MakeEnvironment = Callable[..., Environment]
