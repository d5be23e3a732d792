"""Settings: one typed object, read from `WEMART_*` environment variables, which are part of the public interface."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableSetting

from wemart_assets.lake.location import SCHEME, SCHEMES, Location, Storage
from wemart_assets.setting_values.app_events import AppEvents
from wemart_assets.setting_values.key_events import DEFAULT_KEY_EVENTS, KeyEvent, check_names
from wemart_assets.setting_values.session_form import SessionForm
from wemart_assets.setting_values.source_settings import SourceSettings

DEFAULT_LAKE = Path(".wemart/lake")
DEFAULT_STATE = Path(".wemart")

BUCKET = re.compile(r"[a-z][a-z0-9]+://[A-Za-z0-9][A-Za-z0-9.@_-]*(/[^/\s]+)*/?")
# Control characters, and bytes that are not UTF-8.
FORBIDDEN_IN_FOLDERS = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
# Both engines may write to the same lake, so its path also must not contain what DuckDB reads as a glob, delta-rs
# decodes or reads as a subfolder, or Spark reads as the end of the path.
FORBIDDEN_IN_LAKES = re.compile(rf"{FORBIDDEN_IN_FOLDERS.pattern}|[*?#\[\\]|%[0-9A-Fa-f]{{2}}")
# ASCII without spaces: neither a mail header nor a request to a web server takes anything else.
MAIL_ADDRESS = re.compile(r"[!-~]+@[!-~]+")
WEB_ADDRESS = re.compile(r"https?://[!-~]+")


class SettingsError(Exception):
    """A setting has an invalid value; the message names the variable."""


class EngineName(StrEnum):
    """The engine that runs the expressions."""

    DUCKDB = "duckdb"
    SPARK = "spark"


class SparkSettings(BaseModel):
    """How to connect to Spark and configure it. Each field is read from the variable `WEMART_SPARK__<FIELD>`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    master: str = Field("local[*]", description="Spark: master URL: `local[*]`, `yarn`, `k8s://...`, `spark://...`")
    remote: str | None = Field(
        None, description="Spark: address of a Spark Connect server (`sc://...`), instead of a master"
    )
    packages: str = Field(
        "io.delta:delta-spark_2.13:4.0.1",
        description="Spark: Maven coordinates of the Delta Lake jars; empty if the cluster already has them",
    )
    catalog: str | None = Field(
        None,
        description="Spark: catalog of the tables, `<catalog>.<database>.<table>`, instead of folders in `WEMART_LAKE`",
    )
    conf: dict[str, str] = Field(default_factory=dict, description="Spark: additional `spark.*` settings, as JSON")


class Encryption(StrEnum):
    """How the connection to a mail server is encrypted."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


class AlertSettings(BaseModel):
    """Where failed runs are reported, if anywhere. Each field is read from the variable `WEMART_ALERTS__<FIELD>`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    webhook: SecretStr | None = Field(
        None,
        description="alerts: URL of an incoming webhook (Slack's format) that is told about each failed run; secret",
    )
    smtp_host: str | None = Field(None, description="alerts: mail server, for alerts by e-mail")
    smtp_port: int | None = Field(
        None,
        ge=1,
        le=65_535,
        description="alerts: the mail server's port; if not set, 587, 465 or 25 by its encryption",
    )
    smtp_encryption: Encryption = Field(
        Encryption.STARTTLS,
        description="alerts: `starttls`, `tls`, or `none` (then e-mail and password cross the network unencrypted)",
    )
    smtp_user: str | None = Field(None, description="alerts: user of the mail server, if it requires one")
    smtp_password: SecretStr | None = Field(None, description="alerts: the user's password; secret")
    mail_from: str | None = Field(None, description="alerts: the e-mail's sender")
    mail_to: str | None = Field(None, description="alerts: the e-mail's recipients, separated by commas")
    ui: str | None = Field(
        None, description="alerts: base URL of Dagster's UI (`https://dagster.example.com`), to link to the failed run"
    )
    rows: int = Field(
        3, ge=0, le=5, description="alerts: bad rows sent per failed check; 0 sends none, for rows with personal data"
    )

    @model_validator(mode="before")
    @classmethod
    def _leave_out_empty(cls, values: Any) -> Any:
        """A variable set to nothing is not set, which is how deployment templates leave a setting out."""
        return {name: v for name, v in values.items() if v != ""} if isinstance(values, dict) else values

    @field_validator("webhook")
    @classmethod
    def _check_webhook(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not _is_web_address(url.get_secret_value()):
            raise ValueError("must be an http:// or https:// URL without a user or spaces")
        return url

    @field_validator("ui")
    @classmethod
    def _check_ui(cls, url: str | None) -> str | None:
        if url is None:
            return None
        if not _is_web_address(url):
            raise ValueError("must be an http:// or https:// URL without a user or spaces")
        return url.rstrip("/")

    @field_validator("mail_from", "mail_to")
    @classmethod
    def _check_addresses(cls, text: str | None, info: ValidationInfo) -> str | None:
        addresses = [] if text is None else [address.strip() for address in text.split(",")]
        if wrong := [address for address in addresses if not MAIL_ADDRESS.fullmatch(address)]:
            raise ValueError(f"{wrong[0]!r} is not an e-mail address, such as data@example.com")
        if info.field_name == "mail_from" and len(addresses) > 1:
            raise ValueError("give one sender")
        return text

    @field_validator("smtp_user", "smtp_password")
    @classmethod
    def _check_login(cls, value: str | SecretStr | None) -> str | SecretStr | None:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value or ""
        if not text.isascii():
            raise ValueError("must be ASCII, because a login over SMTP takes nothing else")
        return value

    @model_validator(mode="after")
    def _check_mail(self) -> AlertSettings:
        together = {"SMTP_HOST": self.smtp_host, "MAIL_FROM": self.mail_from, "MAIL_TO": self.mail_to}
        _check_together("alerts by e-mail also need", together)
        login = {"SMTP_USER": self.smtp_user, "SMTP_PASSWORD": self.smtp_password}
        _check_together("the login to the mail server also needs", login)
        if self.smtp_user is not None and self.smtp_host is None:
            raise ValueError("WEMART_ALERTS__SMTP_USER is set without WEMART_ALERTS__SMTP_HOST")
        return self

    @property
    def are_on(self) -> bool:
        """Whether there is anyone to tell about a failed run."""
        return self.webhook is not None or self.smtp_host is not None

    @property
    def recipients(self) -> tuple[str, ...]:
        """The addresses that get the e-mail."""
        return tuple(address.strip() for address in (self.mail_to or "").split(",") if address)


def _is_web_address(url: str) -> bool:
    """Whether an HTTP client takes the URL as it stands."""
    try:
        parts = urlsplit(url)
        # Its port is only checked when it is read.
        usable = parts.hostname is not None and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        return False
    return usable and WEB_ADDRESS.fullmatch(url) is not None


def _check_together(what: str, values: Mapping[str, object]) -> None:
    missing = [f"WEMART_ALERTS__{name}" for name, value in values.items() if value is None]
    if missing and len(missing) < len(values):
        raise ValueError(f"{what} {' and '.join(missing)}")


class Settings(BaseSettings):
    """What differs between installations. Each field is read from the variable `WEMART_<FIELD>`."""

    model_config = SettingsConfigDict(env_prefix="WEMART_", env_nested_delimiter="__", frozen=True)

    lake: Path | str = Field(
        DEFAULT_LAKE,
        description="folder of the Delta lake, or a place in an object store (`s3://bucket/lake`):"
        " `<lake>/<database>/<table>`",
    )
    landing: Path | str = Field(
        Path(".wemart/landing"),
        description="folder where files land, or a place in an object store: `<landing>/<database>.<table>/`",
    )
    storage: Storage = Field(default_factory=lambda: Storage.model_validate({}))
    offline: bool = Field(
        False, description="if true, nothing is downloaded: DuckDB's extensions must come from the extra `s3`"
    )
    state: Path = Field(
        DEFAULT_STATE,
        description="local folder for everything kept outside the lakes: Dagster's history of each lake, spill, logs",
    )
    engine: EngineName = Field(EngineName.DUCKDB, description="engine that computes the tables: `duckdb` or `spark`")
    timezone: str = Field("Asia/Seoul", description="business timezone, in which a business day begins at midnight")
    first_day: dt.date = Field(dt.date(2024, 1, 1), description="first business day, and so the first partition")
    last_day: dt.date | None = Field(
        None, description="last business day, and so the last partition; if not set, every completed day is a partition"
    )
    session_gap_seconds: int = Field(
        1800, ge=1, le=86_400, description="inactivity of more than this many seconds starts a new session"
    )
    engaged_gap_seconds: int = Field(
        300,
        ge=1,
        le=86_400,
        description=(
            "upper limit, in seconds, on how much of the time between two log lines counts as engaged in a community"
        ),
    )
    funnel_days: int = Field(
        7,
        ge=0,
        le=90,
        description="attribution: days after the first step in which users can complete the ordered funnel",
    )
    key_events: dict[str, KeyEvent] = Field(
        DEFAULT_KEY_EVENTS,
        description="activation: steps after the first visit, in order, with the name and rule of each, as JSON",
    )
    key_event_days: tuple[int, ...] = Field(
        (1, 7),
        description="activation: days within which each key event counts, the first visit's included, as JSON",
    )
    app_events: AppEvents = Field(
        AppEvents.model_validate({}),
        description="attribution: event names that count as `firstopen`, `login` and `purchase`, as JSON",
    )
    rudder_gap_seconds: int = Field(
        1800, ge=1, le=43_200, description="RudderStack: inactivity of more than this many seconds starts a new session"
    )
    rudder_view_event: str = Field(
        "view_product", description="RudderStack: the event that `cnt_viewed_product` counts"
    )
    rudder_signup_event: str = Field("signup", description="RudderStack: the event that `cnt_signup` counts")
    sources: Path | None = Field(None, description="path of `sources.yaml`, which maps files and tables to sources")
    quarantine_share: float = Field(
        0.01, ge=0, le=1, description="a source partition fails if more than this share of its rows breaks the contract"
    )
    memory_limit: str = Field(
        "4GB", pattern=r"^\d+(\.\d+)?\s?[KMGT]i?B$", description="DuckDB: memory limit of one step"
    )
    threads: int | None = Field(None, ge=1, description="DuckDB: threads per step; all cores if not set")
    spill: Path = Field(
        # An invalid `state` is reported as such; until then its default will do.
        default_factory=lambda data: data.get("state", DEFAULT_STATE) / "spill",
        description="DuckDB: folder for data that does not fit in memory; `spill` in `WEMART_STATE` if not set",
    )
    spark: SparkSettings = Field(default_factory=lambda: SparkSettings.model_validate({}))
    alerts: AlertSettings = Field(default_factory=lambda: AlertSettings.model_validate({}))

    @field_validator("lake", "landing", "spill", mode="before")
    @classmethod
    def _check_folder(cls, folder: Any, info: ValidationInfo) -> Any:
        text = str(folder)
        if scheme := SCHEME.match(text):
            if info.field_name == "spill" or scheme[1] not in SCHEMES:
                known = "" if info.field_name == "spill" else f" or a URL: {', '.join(f'{s}://' for s in SCHEMES)}"
                raise ValueError(f"must be a local folder{known}")
            # A Path would make one slash of two.
            if not isinstance(folder, str) or not BUCKET.fullmatch(text):
                raise ValueError(f"is not a URL of a bucket, such as {scheme[1]}://bucket/{info.field_name}")
        path = text if scheme else str(Path(text).absolute())
        forbidden = FORBIDDEN_IN_LAKES if info.field_name == "lake" else FORBIDDEN_IN_FOLDERS
        if match := forbidden.search(path):
            raise ValueError(
                f"the path {path!r} contains {match[0]!r}, which not every reader and writer of the folder takes"
                " literally; rename the folder"
            )
        return text.rstrip("/") if scheme else Path(text)

    @field_validator("timezone")
    @classmethod
    def _check_timezone(cls, name: str) -> str:
        # `localtime` depends on the machine.
        if name not in available_timezones() or name == "localtime":
            raise ValueError(f"'{name}' is not an IANA timezone, such as Asia/Seoul or UTC")
        ZoneInfo(name)
        return name

    @model_validator(mode="after")
    def _check_duckdb_timezone(self) -> Settings:
        if self.engine is EngineName.DUCKDB and (since := duckdb_disagrees(self.timezone, self.first_day)):
            raise ValueError(
                f"WEMART_TIMEZONE={self.timezone!r}: this machine and DuckDB show different local times at"
                f" {since:%Y-%m-%d %H:%M} UTC, so rows would fall into a different day than their partition. The"
                " timezone rules of one of them are out of date: update the machine's timezone data (the system"
                " package tzdata), or choose a timezone on which both agree"
            )
        return self

    @field_validator("state", mode="before")
    @classmethod
    def _check_state(cls, state: object) -> object:
        if "://" in str(state):
            raise ValueError("must be a local folder, not a URL: it holds SQLite files")
        return state

    @field_validator("key_events")
    @classmethod
    def _check_key_events(cls, events: dict[str, KeyEvent]) -> dict[str, KeyEvent]:
        check_names(events)
        return events

    @field_validator("key_event_days")
    @classmethod
    def _check_key_event_days(cls, days: tuple[int, ...]) -> tuple[int, ...]:
        if any(not 1 <= n <= 90 for n in days):
            raise ValueError("each number must be between 1 (the day of the first visit) and 90")
        return days

    @model_validator(mode="after")
    def _check_spark_landing(self) -> Settings:
        if self.engine is EngineName.SPARK and isinstance(self.landing, Path) and ":" in str(self.landing.absolute()):
            raise ValueError(
                f"WEMART_LANDING={str(self.landing)!r}: Spark cannot read files with a colon in their path; rename the"
                " folder"
            )
        return self

    @model_validator(mode="after")
    def _check_days_per_key_event(self) -> Settings:
        if len(self.key_events) != len(self.key_event_days):
            raise ValueError(
                f"WEMART_KEY_EVENT_DAYS has {len(self.key_event_days)} numbers for the {len(self.key_events)} events"
                f" of WEMART_KEY_EVENTS ({', '.join(self.key_events)}); give one number per event"
            )
        return self

    @model_validator(mode="after")
    def _check_last_day(self) -> Settings:
        if self.last_day is not None and self.last_day < self.first_day:
            raise ValueError(f"WEMART_LAST_DAY={self.last_day} is before WEMART_FIRST_DAY={self.first_day}")
        return self

    @property
    def lake_location(self) -> Location:
        """Where the lake is."""
        return Location.of(self.lake, self.storage)

    @property
    def landing_location(self) -> Location:
        """Where files land."""
        return Location.of(self.landing, self.storage)

    @property
    def history(self) -> Path:
        """Folder with Dagster's history of this lake and the settings saved for it.

        Each lake has its own folder: a failed run on one lake says nothing about the tables of another.
        """
        catalog = self.spark.catalog if self.engine is EngineName.SPARK else None
        folder = self.lake.resolve() if isinstance(self.lake, Path) else self.lake
        if catalog is None and folder == DEFAULT_LAKE.resolve():
            return self.state / "dagster"
        lake = f"catalog {catalog}" if catalog is not None else str(folder)
        return self.state / f"dagster-{hashlib.blake2b(lake.encode(), digest_size=6).hexdigest()}"

    @property
    def saved(self) -> Path:
        """File of settings saved for this lake, such as the demo's first day; environment variables override them."""
        return self.history / "settings.env"

    def for_tables(self) -> dict[str, Any]:
        """The settings that tables and checks can ask for, under the names of their parameters.

        They affect rows, except `session_form`, which is the form that is faster on the engine.
        """
        return {
            "timezone": self.timezone,
            "first_day": self.first_day.isoformat(),
            "session_gap_seconds": self.session_gap_seconds,
            "session_form": SessionForm.WINDOWS if self.engine is EngineName.SPARK else SessionForm.BUCKETS,
            "engaged_gap_seconds": self.engaged_gap_seconds,
            "funnel_days": self.funnel_days,
            "key_events": tuple(self.key_events.items()),
            "key_event_days": self.key_event_days,
            "app_events": self.app_events,
            "rudder_gap_seconds": self.rudder_gap_seconds,
            "rudder_view_event": self.rudder_view_event,
            "rudder_signup_event": self.rudder_signup_event,
            "quarantine_share": self.quarantine_share,
        }

    def for_sources(self) -> SourceSettings:
        """The settings that landing files and external tables need."""
        return SourceSettings(
            self.sources, self.landing_location, self.lake_location, self.storage, self.timezone, self.first_day
        )


@cache
def duckdb_disagrees(timezone: str, first_day: dt.date) -> dt.datetime | None:
    """The first instant since `first_day` at which DuckDB shows a different local time than this machine, if any."""
    # Imported here because reading the settings must not load an engine.
    import duckdb

    from wemart_assets.lake.clocks import first_disagreement

    def duckdb_local_seconds(instants: Sequence[int]) -> list[int]:
        # Values are part of the query's text: given a parameter, DuckDB's client imports pandas. They are one string,
        # because binding thousands of literals takes 0.1 s.
        local = f"epoch_us(timezone('{timezone}', make_timestamptz(instant * 1000000))) // 1000000"
        listed = f"string_split('{','.join(map(str, instants))}', ',')::bigint[]"
        query = f"select {local} from (select unnest({listed}) as instant)"
        with duckdb.connect(":memory:") as connection:
            return [seconds for (seconds,) in connection.execute(query).fetchall()]

    return first_disagreement(timezone, first_day, duckdb_local_seconds)


def load_settings(*, with_saved: bool = True, **overrides: object) -> Settings:
    """The settings of this process: environment variables first, then those saved for the lake, then the defaults.

    Raises:
        SettingsError: a variable has an invalid value; names the variable, its value and what is allowed.
    """
    try:
        settings = Settings(**overrides)  # type: ignore[arg-type]
        if with_saved and settings.saved.exists():
            return Settings(_env_file=settings.saved, **overrides)  # type: ignore[arg-type, call-arg]
        return settings
    except UnreadableSetting as error:
        # The field is named only in the text of the error; the JSON error is its cause.
        field = str(error).partition('"')[2].partition('"')[0]
        raise SettingsError(f"invalid settings: WEMART_{field.upper()} is not JSON: {error.__cause__}") from None
    except ValidationError as error:
        # A default that depends on other settings is not made if one of them is invalid.
        errors = [e for e in error.errors() if e["type"] != "default_factory_not_called"]
        problems = "; ".join(map(_problem, errors))
        raise SettingsError(f"invalid settings: {problems}") from None


def _problem(error: ErrorDetails) -> str:
    """The variable, its value and what is allowed."""
    message = error["msg"].removeprefix("Value error, ")
    if not error["loc"]:
        return message
    name, *path = map(str, error["loc"])
    if name in ("spark", "storage", "alerts"):
        # Values of the others may be secrets, also in a variable with a misspelled name.
        given = f"={error['input']!r}" if name == "spark" else ""
        return f"WEMART_{'__'.join([name, *path]).upper()}{given}: {message}"
    location = f" ({'.'.join(path)})" if path else ""
    return f"WEMART_{name.upper()}{location}={error['input']!r}: {message}"
