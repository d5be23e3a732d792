"""An environment: a lake, a landing folder, the asset graph over them, and its sensor, ticked at given times."""

from __future__ import annotations

import csv
import datetime as dt
import io
import logging
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._core.test_utils import freeze_time
from deltalake import DeltaTable

from wemart_assets import catalog
from wemart_assets.definitions import build_defs
from wemart_assets.lake.days import Period, days_between, period_start
from wemart_assets.lake.delta import DeltaLake
from wemart_assets.settings import load_settings
from wemart_assets_tests.server_log import LOG_COLUMNS

SEOUL = ZoneInfo("Asia/Seoul")
RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
LOG = "service_log.weverse_server_log"
Row = dict[str, Any]


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
    """What one tick of the sensor did. `cursor` is what the next tick starts from, this one's own where it set none."""

    requests: list[Request]
    cursor: str | None
    skipped: str | None
    observed: set[tuple[str, str | None]]
    warnings: list[str]

    @property
    def days(self) -> list[str]:
        """The days of all requests, as often as they are requested."""
        return sorted(day for request in self.requests for day in request.days)

    def days_of(self, table: str) -> list[str]:
        """All days for which the table was requested."""
        return sorted(day for request in self.requests if table in request.tables for day in request.days)

    @property
    def keys(self) -> set[str]:
        return {request.key for request in self.requests}


# What carries its state on from day to day or is read of all days so far, with what it is made of.
STATE = (
    "we_mart.ods_wv_member_profile",
    "weverse2.community_log_member_status_log",
    "we_mart.wv_comm_user_base",
    "igaworks.event",
    "igaworks.attribution",
    "igaworks.attribution__date_unknown",
    "igaworks.first_open",
)
# Users are carried on too: each day of sessions is followed by all later days of these, and by cohorts before it.
# Tests of other tables look away from them.
USERS = (
    "rudder.tracks",
    "rudder.repeated_tracks",
    "core.identity_map",
    "we_meta.we_country",
    "core.first_touch",
    "core.fact__events",
    "core.dim__users",
    "activation.fact__first_activation_events",
    "activation.activation_funnel_daily",
)
# What these read beside each other, and what runs with the rest.
READ_OF_USERS = ("we_mart.we_user", "we_mart.wv_sess_daily")
# What an environment is given, so that tests need not ask for it.
GIVEN = frozenset({*STATE, *USERS, *READ_OF_USERS})


class Environment:
    """Settings, files, the graph and its sensor. Days are business days in Seoul."""

    def __init__(self, root: Path, instance: dg.DagsterInstance, looks_at_users: bool = False, **settings: Any) -> None:
        self.root = root
        self.looks_at_users = looks_at_users
        self.instance = instance
        self.lake, self.landing = root / "lake", root / "landing"
        self.settings: Row = {"first_day": dt.date(2024, 3, 1), "threads": 2, "memory_limit": "1GB", **settings}
        self._defs: dg.Definitions | None = None

    def give(self, *names: str, last: str = "2025-02-28") -> Environment:
        """Publish tables for the days up to `last`, empty: no tick has to ask for them any more."""
        lake, days = DeltaLake(self.lake), days_between("2024-03-01", last)
        for name in names:
            table = catalog.tables()[name]
            of = days if table.only_partition is None else [table.only_partition]
            lake.commit(table, of, [], lake.baseline(table, of))
        return self

    @property
    def defs(self) -> dg.Definitions:
        if self._defs is None:
            settings = load_settings(lake=self.lake, landing=self.landing, spill=self.root / "spill", **self.settings)
            self._defs = build_defs(settings)
        return self._defs

    def map(self, yaml_text: str) -> None:
        """Write `sources.yaml` and load the graph again with it."""
        path = self.root / "sources.yaml"
        path.write_text(yaml_text)
        self.set(sources=path)

    def set(self, **settings: Any) -> None:
        """Load the graph again under other settings."""
        self.settings |= settings
        self._defs = None

    def copy_of(self, template: Environment) -> Environment:
        """Take over the template's lake and landing files, their times included."""
        shutil.copytree(template.lake, self.lake, dirs_exist_ok=True)
        shutil.copytree(template.landing, self.landing)
        return self

    @staticmethod
    def line(local: str, url: str = "/home", **other: Any) -> Row:
        """A line of the server log at a local time in Seoul."""
        at = dt.datetime.fromisoformat(local).replace(tzinfo=SEOUL) - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
        defaults = {"unix_log_timestamp": at // dt.timedelta(milliseconds=1), "user_info_device_id": "d", "url": url}
        return dict.fromkeys(LOG_COLUMNS) | defaults | other

    def land(self, source: str, path: str, content: str | Sequence[Row]) -> Path:
        """Put a file into the source's landing folder; rows are written as CSV."""
        target = self.landing / source / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if not isinstance(content, str):
            text = io.StringIO()
            writer = csv.DictWriter(text, list(content[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(content)
            content = text.getvalue()
        target.write_text(content)
        return target

    def land_lines(self, path: str, *locals_: str, url: str = "/home") -> Path:
        """A file of the server log with one line at each of the local times."""
        return self.land(LOG, path, [self.line(local, url) for local in locals_])

    def tick(self, cursor: str | None = None, at: str = "2024-03-20 12:00:00") -> Tick:
        """Evaluate the landing sensor as the daemon does, at a local time in Seoul."""
        sensor = next(s for s in self.defs.sensors or () if s.name == "landing_sensor")
        assert isinstance(sensor, dg.SensorDefinition)
        heard = _Warnings()
        with freeze_time(dt.datetime.fromisoformat(at).replace(tzinfo=SEOUL).astimezone(dt.UTC)):
            context = dg.build_sensor_context(
                instance=self.instance,
                cursor=cursor,
                definitions=self.defs,
                resources={"engine": (self.defs.resources or {})["engine"]},
            )
            context.log.addHandler(heard)
            done = sensor.evaluate_tick(context)
        requests = [_request(r) for r in done.run_requests or ()]
        if not self.looks_at_users:
            requests = [replace(r, tables=r.tables - set(USERS)) for r in requests if r.tables - set(USERS)]
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
        """Tick until nothing is requested any more, `most` times at most; the ticks that requested something."""
        found: list[Tick] = []
        while len(found) < most:
            tick = self.tick(cursor, at)
            if not tick.requests:
                break
            found.append(tick)
            cursor = tick.cursor
        return found

    def execute(self, request: Request) -> None:
        """Run what was requested, with the job that the daemon would launch it with."""
        first, last = (request.days[0], request.days[-1]) if request.days else (None, None)
        self.run(first, last, request.tables)

    def run(self, first: str | None, last: str | None, tables: Iterable[str] | None = None) -> None:
        """Materialize the tables (all by day if not given, but for what carries its state on) in one run."""
        if tables is None:
            of_job = self.defs.resolve_job_def("requested_by_day").asset_layer.selected_asset_keys
            tables = {".".join(key.path) for key in of_job} - {*STATE, *USERS}
        selection = [dg.AssetKey(name.split(".")) for name in sorted(tables)]
        result = self.defs.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=self.instance,
            partition_key=first if first == last else None,
            asset_selection=selection,
            tags={} if first == last else dict(zip(RANGE, (first, last), strict=True)),
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        assert result.success

    def read(self, table: str) -> list[Row]:
        """Published rows without the run's clock, in an order of their own."""
        rows = DeltaTable(self.lake / table.replace(".", "/")).to_pyarrow_table().to_pylist()
        plain = [{k: v for k, v in row.items() if k != "run_timestamp"} for row in rows]
        return sorted(plain, key=lambda row: repr(list(row.items())))


def _request(request: dg.RunRequest) -> Request:
    if request.partition_key is not None:
        days: tuple[str, ...] = (request.partition_key,)
    elif RANGE[0] not in request.tags:
        days = ()
    else:
        first, last = (request.tags[tag] for tag in RANGE)
        period = Period(str(request.job_name).removeprefix("requested_by_"))
        days = tuple(day for day in days_between(first, last) if period_start(day, period) == day)
    tables = frozenset(".".join(key.path) for key in request.asset_selection or ())
    return Request(str(request.run_key), days, tables)


MakeEnvironment = Callable[..., Environment]


@pytest.fixture(scope="session")
def make_environment(tmp_path_factory: pytest.TempPathFactory, instance: dg.DagsterInstance) -> MakeEnvironment:
    """A new environment, under settings of its own."""
    template = Environment(tmp_path_factory.mktemp("template"), instance).give(*GIVEN)

    def make(looks_at_users: bool = False, **settings: Any) -> Environment:
        environment = Environment(tmp_path_factory.mktemp("environment"), instance, looks_at_users, **settings)
        if "first_day" not in settings:
            shutil.copytree(template.lake, environment.lake)
        return environment

    return make


@pytest.fixture
def environment(make_environment: MakeEnvironment) -> Environment:
    return make_environment()
