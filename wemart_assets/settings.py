"""Settings: one typed object, read from `WEMART_*` environment variables. They are part of the public interface."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Sequence
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableSetting

from wemart_assets.marts.activation.key_events import DEFAULT_KEY_EVENTS, KeyEvent, check_names
from wemart_assets.marts.attribution.app_events import AppEvents

DEFAULT_LAKE = Path(".wemart/lake")
DEFAULT_STATE = Path(".wemart")

SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
# Control characters, and bytes that are no UTF-8.
NOT_IN_A_FOLDER = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
# Of a lake also what DuckDB takes for a pattern, delta-rs for a folder below or decodes, and Spark for the end of a
# path: both engines may write one lake in turns.
NOT_IN_A_LAKE = re.compile(rf"{NOT_IN_A_FOLDER.pattern}|[*?#\[\\]|%[0-9A-Fa-f]{{2}}")


class SettingsError(Exception):
    """A setting has a value that cannot be used; the message names the variable."""


class EngineName(StrEnum):
    """Which engine runs the expressions."""

    DUCKDB = "duckdb"
    SPARK = "spark"


class SparkSettings(BaseModel):
    """How Spark is reached and set up. Each field is the variable `WEMART_SPARK__<FIELD>`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    master: str = Field("local[*]", description="Spark: where it runs: `local[*]`, `yarn`, `k8s://...`, `spark://...`")
    remote: str | None = Field(
        None, description="Spark: address of a Spark Connect server (`sc://...`), in place of a master"
    )
    packages: str = Field(
        "io.delta:delta-spark_2.13:4.0.1",
        description="Spark: Maven coordinates of its jars; empty where the cluster has Delta Lake",
    )
    catalog: str | None = Field(
        None, description="Spark: tables are `<catalog>.<database>.<table>` instead of folders of `WEMART_LAKE`"
    )
    conf: dict[str, str] = Field(default_factory=dict, description="Spark: further `spark.*` settings, as JSON")


class Settings(BaseSettings):
    """What differs from one installation to the next. Each field is the variable `WEMART_<FIELD>`."""

    model_config = SettingsConfigDict(env_prefix="WEMART_", env_nested_delimiter="__", frozen=True)

    lake: Path = Field(DEFAULT_LAKE, description="folder of the Delta lake: `<lake>/<database>/<table>`")
    landing: Path = Field(
        Path(".wemart/landing"), description="folder in which files land: `<landing>/<database>.<table>/`"
    )
    state: Path = Field(
        DEFAULT_STATE,
        description="local folder of what is kept beside the lakes: Dagster's history of each, spill, logs",
    )
    engine: EngineName = Field(EngineName.DUCKDB, description="engine that runs the tables")
    timezone: str = Field("Asia/Seoul", description="business timezone: what a calendar day is")
    first_day: dt.date = Field(dt.date(2024, 1, 1), description="the first business day, and so the first partition")
    last_day: dt.date | None = Field(
        None, description="the last business day, and so the last partition; every day that is over if not set"
    )
    session_gap_seconds: int = Field(
        1800, ge=1, le=86_400, description="a silence longer than this many seconds begins a new session"
    )
    funnel_days: int = Field(
        7, ge=0, le=90, description="users in order have the funnel's steps within so many days after the first's"
    )
    key_events: dict[str, KeyEvent] = Field(
        DEFAULT_KEY_EVENTS, description="the steps after the first visit, in order: name and rule of each, as JSON"
    )
    key_event_days: tuple[int, ...] = Field(
        (1, 7),
        description="calendar days, that of the first visit included, within which each key event counts, as JSON",
    )
    app_events: AppEvents = Field(
        AppEvents.model_validate({}),
        description="attribution: the names of the events that are `firstopen`, `login` and `purchase`, as JSON",
    )
    rudder_gap_seconds: int = Field(
        1800, ge=1, le=43_200, description="RudderStack: a silence longer than this many seconds begins a new session"
    )
    rudder_view_event: str = Field(
        "view_product", description="RudderStack: the event that `cnt_viewed_product` counts"
    )
    rudder_signup_event: str = Field("signup", description="RudderStack: the event that `cnt_signup` counts")
    sources: Path | None = Field(None, description="`sources.yaml`: how files and tables map to the source contracts")
    quarantine_share: float = Field(
        0.01, ge=0, le=1, description="a source partition fails where a larger share of its rows breaks the contract"
    )
    memory_limit: str = Field("4GB", pattern=r"^\d+(\.\d+)?\s?[KMGT]i?B$", description="DuckDB: memory of one step")
    threads: int | None = Field(None, ge=1, description="DuckDB: threads of one step; all cores if not set")
    spill: Path = Field(
        # A wrong state is reported as such; until then its default will do.
        default_factory=lambda data: data.get("state", DEFAULT_STATE) / "spill",
        description="DuckDB: folder for what does not fit in memory; `spill` in `WEMART_STATE` if not set",
    )
    spark: SparkSettings = Field(default_factory=lambda: SparkSettings.model_validate({}))

    @field_validator("lake", "landing", "spill", mode="before")
    @classmethod
    def _is_a_folder(cls, given: Any, info: ValidationInfo) -> Any:
        text = str(given)
        if SCHEME.match(text):
            raise ValueError("object storage is not supported yet; give a folder")
        path = str(Path(text).absolute())
        refused = NOT_IN_A_LAKE if info.field_name == "lake" else NOT_IN_A_FOLDER
        if found := refused.search(path):
            raise ValueError(
                f"the folder {path!r} has {found[0]!r} in its path, which not all that reads and writes there takes to"
                " the letter; give it another name"
            )
        return given

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, name: str) -> str:
        # `localtime` is whatever this machine is set to.
        if name not in available_timezones() or name == "localtime":
            raise ValueError(f"'{name}' is not an IANA timezone, such as Asia/Seoul or UTC")
        ZoneInfo(name)
        return name

    @model_validator(mode="after")
    def _same_clocks(self) -> Settings:
        if self.engine is EngineName.DUCKDB and (since := duckdb_disagrees(self.timezone, self.first_day)):
            raise ValueError(
                f"WEMART_TIMEZONE={self.timezone!r}: the clocks of this machine and those of DuckDB show different"
                f" times at {since:%Y-%m-%d %H:%M} UTC, so a row would lie in another day than its partition. One of"
                " them has rules that are out of date: update the machine's timezone data (the system package tzdata),"
                " or name a zone in which both agree"
            )
        return self

    @field_validator("state", mode="before")
    @classmethod
    def _local_folder(cls, state: object) -> object:
        if "://" in str(state):
            raise ValueError("is a folder of this machine, not an address: SQLite files lie in it")
        return state

    @field_validator("key_events")
    @classmethod
    def _named_events(cls, events: dict[str, KeyEvent]) -> dict[str, KeyEvent]:
        check_names(events)
        return events

    @field_validator("key_event_days")
    @classmethod
    def _possible_days(cls, days: tuple[int, ...]) -> tuple[int, ...]:
        if any(not 1 <= n <= 90 for n in days):
            raise ValueError("each is between 1 (the day of the first visit) and 90")
        return days

    @model_validator(mode="after")
    def _landing_of_spark(self) -> Settings:
        if self.engine is EngineName.SPARK and ":" in str(self.landing.absolute()):
            raise ValueError(
                f"WEMART_LANDING={str(self.landing)!r}: Spark reads no file with a colon in its path; give the folder"
                " another name"
            )
        return self

    @model_validator(mode="after")
    def _days_of_each_event(self) -> Settings:
        if len(self.key_events) != len(self.key_event_days):
            raise ValueError(
                f"WEMART_KEY_EVENT_DAYS has {len(self.key_event_days)} numbers for the {len(self.key_events)} events"
                f" of WEMART_KEY_EVENTS ({', '.join(self.key_events)}); it needs one for each"
            )
        return self

    @model_validator(mode="after")
    def _days_in_order(self) -> Settings:
        if self.last_day is not None and self.last_day < self.first_day:
            raise ValueError(f"WEMART_LAST_DAY={self.last_day} lies before WEMART_FIRST_DAY={self.first_day}")
        return self

    @property
    def history(self) -> Path:
        """Folder of Dagster's history of this lake, and of the settings that were noted for it.

        Each lake has its own: a run that fails over one says nothing of the tables of another.
        """
        catalog = self.spark.catalog if self.engine is EngineName.SPARK else None
        if catalog is None and self.lake.resolve() == DEFAULT_LAKE.resolve():
            return self.state / "dagster"
        lake = f"catalog {catalog}" if catalog is not None else str(self.lake.resolve())
        return self.state / f"dagster-{hashlib.blake2b(lake.encode(), digest_size=6).hexdigest()}"

    @property
    def noted(self) -> Path:
        """File of settings that were noted for this lake, such as the demo's first day; the environment's win."""
        return self.history / "settings.env"

    def for_tables(self) -> dict[str, Any]:
        """The settings by which rows may differ, as tables, rules and laws name them."""
        return {
            "timezone": self.timezone,
            "first_day": self.first_day.isoformat(),
            "session_gap_seconds": self.session_gap_seconds,
            "funnel_days": self.funnel_days,
            "key_events": tuple(self.key_events.items()),
            "key_event_days": self.key_event_days,
            "app_events": self.app_events,
            "rudder_gap_seconds": self.rudder_gap_seconds,
            "rudder_view_event": self.rudder_view_event,
            "rudder_signup_event": self.rudder_signup_event,
            "quarantine_share": self.quarantine_share,
        }


@cache
def duckdb_disagrees(timezone: str, first_day: dt.date) -> dt.datetime | None:
    """The first instant, from the first business day on, of which DuckDB's clocks of the zone show another time."""
    # Only where it is asked: settings alone are read without an engine.
    import duckdb

    from wemart_assets.lake.clocks import first_disagreement

    def shown(instants: Sequence[int]) -> list[int]:
        # In the text of the query: for any parameter, DuckDB's client imports pandas where it is installed.
        local = f"epoch_us(timezone('{timezone}', make_timestamptz(instant * 1000000))) // 1000000"
        with duckdb.connect(":memory:") as connection:
            asked = f"select {local} from (select unnest({list(instants)}::bigint[]) as instant)"
            return [seconds for (seconds,) in connection.execute(asked).fetchall()]

    return first_disagreement(timezone, first_day, shown)


def load_settings(*, with_noted: bool = True, **overrides: object) -> Settings:
    """The settings of this process: its environment's, else those that were noted for the lake, else the defaults.

    Raises:
        SettingsError: a variable has a value that cannot be used; names variable, value and what is allowed.
    """
    try:
        settings = Settings(**overrides)  # type: ignore[arg-type]
        if with_noted and settings.noted.exists():
            return Settings(_env_file=settings.noted, **overrides)  # type: ignore[arg-type, call-arg]
        return settings
    except UnreadableSetting as error:
        # Which field it is stands in its text alone; what JSON says is its cause.
        field = str(error).partition('"')[2].partition('"')[0]
        raise SettingsError(f"settings cannot be used: WEMART_{field.upper()} is not JSON: {error.__cause__}") from None
    except ValidationError as error:
        problems = "; ".join(map(_problem, error.errors()))
        raise SettingsError(f"settings cannot be used: {problems}") from None


def _problem(error: ErrorDetails) -> str:
    """Variable, value and what is allowed."""
    message = error["msg"].removeprefix("Value error, ")
    if not error["loc"]:
        return message
    name, *inside = map(str, error["loc"])
    if name == "spark":
        return f"WEMART_{'__'.join([name, *inside]).upper()}={error['input']!r}: {message}"
    place = f" ({'.'.join(inside)})" if inside else ""
    return f"WEMART_{name.upper()}{place}={error['input']!r}: {message}"
