"""Makes the report: one HTML file with everything in it, which needs no network."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wemart_assets.lake.chart import plain
from wemart_assets.lake.days import shift
from wemart_assets.lake.errors import StoreUnavailable, WemartError
from wemart_assets.report import charts, quality
from wemart_assets.report.sections import DAILY_TABLES, ENGAGED, MEMBERSHIPS, SECTIONS, VISITS
from wemart_assets.report.span import Span
from wemart_assets.sql import QueryRefused, analyst

if TYPE_CHECKING:
    from wemart_assets.lake.location import Location
    from wemart_assets.settings import Settings
    from wemart_assets.sql import Analyst

TEMPLATES = Path(__file__).parent / "templates"
# A longer table of numbers is cut, and says so; all rows are a query away.
MOST_ROWS = 400
# DuckDB's error about a table that the lake does not have.
MISSING_TABLE = re.compile(r'Table with name "?([^\s"]+)"? does not exist')

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Figure:
    """A section of the page: its chart, or the sentence that stands for it, and the numbers."""

    id: str
    title: str
    description: str
    svg: str = ""
    sentence: str = ""
    numbers: Numbers | None = None
    query: str = ""
    least_width: int = 0


@dataclass(frozen=True)
class Numbers:
    """A table of numbers: names of columns, which of them are numbers, the rows as text, and how many are left out."""

    columns: Sequence[str]
    are_numbers: Sequence[bool]
    rows: Sequence[Sequence[str]]
    left_out: int


@dataclass(frozen=True)
class Tile:
    """A number of the report's day, and what it is compared with."""

    name: str
    value: str
    change: str


@dataclass(frozen=True)
class State:
    """The state of the data. A sentence stands where there is nothing else to show, and is empty otherwise."""

    audited: Span
    audits_svg: str
    audits_sentence: str
    problems: Numbers | None
    problems_query: str
    failed: int
    """Checks that failed on a day; a check of two tables counts twice."""
    warned: int
    tables: int
    """Tables whose freshness is known."""
    stale: Sequence[quality.Freshness]
    domains: Sequence[tuple[str, int, int]]
    """Domain, tables, and how many of them are up to date."""
    freshness_sentence: str
    refused: Numbers | None
    refused_rows: int
    refused_sentence: str
    refused_query: str


@dataclass(frozen=True)
class Report:
    """A finished page, the SVG of its first chart, and what could not be shown, by section."""

    html: str
    preview: str
    span: Span
    problems: Mapping[str, str]


class NothingToShow(WemartError):
    """The lake has no day that a report could show."""


def make_report(settings: Settings, day: str | None, days: int, now: dt.datetime) -> Report:
    """Returns the report of `days` days up to `day`, by default the newest with rows in a table that it shows.

    Raises:
        NothingToShow: no table of the report has a day, or the lake begins after `day`.
        WemartError: the lake cannot be read.
    """
    from wemart_assets import catalog

    if settings.spark.catalog is not None:
        raise WemartError(
            f"the tables are in the Spark catalog '{settings.spark.catalog}', and the report reads Delta tables in a "
            "folder or an object store only; leave WEMART_SPARK__CATALOG unset to have them there"
        )
    lake_first = settings.first_day.isoformat()
    with analyst(
        settings.lake_location,
        catalog.TABLES_BY_NAME,
        catalog.VIEWS_BY_NAME,
        memory_limit=settings.memory_limit,
        threads=settings.threads,
    ) as session:
        lake = Queries(session, settings.lake_location)
        last = day or newest_day(lake)
        if last is None:
            raise NothingToShow(
                f"the lake {settings.lake_location} has no day of a table that the report shows, such as "
                f"{DAILY_TABLES[0]}; run some partitions, or `wemart demo`"
            )
        if last < lake_first:
            raise NothingToShow(f"the lake begins on {lake_first} (WEMART_FIRST_DAY); there is no report of {last}")
        span = Span(last, days, lake_first)
        return _report(lake, span, settings.timezone, now)


class Queries:
    """Queries of the lake. A table that is missing or damaged, or too large a query, costs its own section only."""

    def __init__(self, session: Analyst, location: Location) -> None:
        self._session, self._location = session, location

    def rows(self, sql: str) -> list[Row] | str:
        """Returns the rows, or a sentence that says why there are none."""
        import duckdb

        try:
            rows: list[Row] = self._session.run(sql).to_pylist()
        except duckdb.CatalogException as error:
            if missing := MISSING_TABLE.search(str(error)):
                return f"The table {missing[1]} has not been published yet."
            raise
        except duckdb.BinderException as error:
            # A table of another version of the package may lack a column.
            return f"This cannot be shown: {str(error).splitlines()[0]}"
        except (QueryRefused, StoreUnavailable):
            # A bug of the report, or a lake of which nothing can be read.
            raise
        except WemartError as error:
            return f"This cannot be shown: {error}"
        return rows

    @cached_property
    def tables(self) -> set[str]:
        """The full names of the tables' folders. A query of the catalog would bind every table instead."""
        databases = self._location.folders()
        return {f"{database}.{name}" for database in databases for name in (self._location / database).folders()}


def newest_day(lake: Queries) -> str | None:
    """Returns the newest day of the daily tables that the report shows; None if none of them has a day."""
    newest: list[str] = []
    for table in DAILY_TABLES:
        rows = lake.rows(f"select max(part_date)::varchar as day from {table}")
        if not isinstance(rows, str) and rows[0]["day"] is not None:
            newest.append(rows[0]["day"])
    return max(newest, default=None)


def _report(lake: Queries, span: Span, timezone: str, now: dt.datetime) -> Report:
    figures, live, problems, rows_of, preview = [], {}, {}, {}, ""
    for section in SECTIONS:
        query = span.in_query(section.sql)
        rows, sentence = _rows_or_sentence(lake.rows(query), section.empty)
        if sentence:
            problems[section.id] = sentence
            figures.append(Figure(section.id, section.title, section.description, sentence=sentence, query=query))
            continue
        rows_of[section.id] = rows
        spec = charts.specification_of(section.plot(rows, span))
        live[section.id] = charts.live(spec)
        preview = preview or charts.alone(spec)
        figures.append(
            Figure(
                section.id,
                section.title,
                section.description,
                charts.still(spec),
                numbers=numbers(rows),
                query=query,
                least_width=section.least_width,
            )
        )
    state, strip = _state(lake, span)
    if strip is not None:
        live["audits"] = charts.live(strip)
    html = _render(
        figures=figures,
        tiles=_tiles(lake, rows_of, span),
        state=state,
        span=span,
        timezone=timezone,
        made=now.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        data=_json(live),
    )
    return Report(html, preview, span, problems)


def _state(lake: Queries, span: Span) -> tuple[State, Mapping[str, Any] | None]:
    """Returns the state of the data, and the chart of the audits as Vega-Lite, if there are any."""
    from wemart_assets import catalog

    audited = quality.audit_span(span)
    audits, audits_sentence = _rows_or_sentence(
        lake.rows(audited.in_query(quality.AUDITS)), "No audit of these days is recorded in audit.results."
    )
    problems, _ = _rows_or_sentence(lake.rows(audited.in_query(quality.PROBLEMS)))
    strip = charts.specification_of(quality.strip(audits, audited)) if audits else None
    recorded, freshness_sentence = _rows_or_sentence(
        lake.rows(quality.FRESHNESS), "No publication is recorded in audit.results."
    )
    tables = quality.freshness(recorded, span)
    tables_of: dict[str, list[quality.Freshness]] = {}
    for table in tables:
        tables_of.setdefault(table.domain, []).append(table)
    quarantines = [table for name, table in sorted(catalog.quarantines().items()) if name in lake.tables]
    refused_query = span.in_query(quality.refused_query(quarantines)) if quarantines else ""
    refused, refused_sentence = _rows_or_sentence(
        lake.rows(refused_query) if quarantines else [], "No row was refused."
    )
    state = State(
        audited=audited,
        audits_svg="" if strip is None else charts.still(strip, charts.WIDE),
        audits_sentence=audits_sentence,
        problems=numbers(problems) if problems else None,
        problems_query=audited.in_query(quality.PROBLEMS),
        failed=sum(row["severity"] == "ERROR" for row in problems),
        warned=sum(row["severity"] != "ERROR" for row in problems),
        tables=len(tables),
        stale=[table for table in tables if table.behind],
        domains=[(name, len(of), sum(not t.behind for t in of)) for name, of in sorted(tables_of.items())],
        freshness_sentence=freshness_sentence,
        refused=numbers(refused) if refused else None,
        refused_rows=sum(row["rows"] for row in refused),
        refused_sentence=refused_sentence,
        refused_query=refused_query,
    )
    return state, strip


def _rows_or_sentence(found: list[Row] | str, empty: str = "") -> tuple[list[Row], str]:
    """Returns the rows, and the sentence that stands where there are none."""
    if isinstance(found, str):
        return [], found
    return found, "" if found else empty


def _tiles(lake: Queries, rows_of: Mapping[str, list[Row]], span: Span) -> list[Tile]:
    """The numbers of the last day, each beside that of the same weekday before."""
    before = shift(span.last, -7)
    engaged, _ = _rows_or_sentence(lake.rows(span.in_query(ENGAGED)))
    visits = {row["day"]: row for row in rows_of.get(VISITS.id, [])}
    hours = {row["day"]: row for row in engaged}
    members = {row["day"]: row for row in rows_of.get(MEMBERSHIPS.id, [])}
    tiles = []
    for name, by_day, column in (
        ("Visitors", visits, "visitors"),
        ("Sessions", visits, "sessions"),
        ("Engaged hours", hours, "hours"),
        ("Community memberships", members, "members"),
    ):
        now, then = (by_day.get(day, {}).get(column) for day in (span.last, before))
        if now is not None:
            tiles.append(Tile(name, _short(now), "" if before < span.first else _change(now, then)))
    return tiles


def _change(now: float, then: float | None) -> str:
    if then is None:
        return "no value a week before"
    if then == 0:
        return "0 a week before"
    change = now / then - 1
    sign = "▲" if change > 0.0005 else "▼" if change < -0.0005 else "="
    return f"{sign} {abs(change):.1%} against a week before ({_short(then)})"


def _short(value: float) -> str:
    return f"{value:,.1f}" if isinstance(value, float) and value < 1000 else f"{value:,.0f}"


def numbers(rows: Sequence[Row]) -> Numbers:
    """Returns the rows as a table of text; a column is one of numbers if all its values are."""
    columns = list(rows[0])
    are_numbers = [
        all(isinstance(row[name], int | float) or row[name] is None for row in rows)
        and any(row[name] is not None for row in rows)
        for name in columns
    ]
    shown = [[_written(name, row[name]) for name in columns] for row in rows[:MOST_ROWS]]
    return Numbers([name.replace("_", " ") for name in columns], are_numbers, shown, len(rows) - len(shown))


def _written(column: str, value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, float):
        return f"{value:,.1f}"
    # An id is no quantity.
    return f"{value:,}" if isinstance(value, int) and not column.endswith("_id") else plain(str(value))


def _json(specs: Mapping[str, Any]) -> str:
    """Returns the charts as JSON in which no text can end the script that it stands in."""
    return json.dumps(specs, separators=(",", ":"), ensure_ascii=True).replace("<", "\\u003c")


@cache
def _bundle() -> str:
    """Vega's JavaScript with the page's own, which draws the charts."""
    import vl_convert

    script: str = vl_convert.javascript_bundle((TEMPLATES / "page.js").read_text(encoding="utf-8"))
    # A browser would end the script at the former, and read a comment at the latter.
    return script.replace("\r\n", "\n").replace("</script", "<\\/script").replace("<!--", "\\x3c!--")


def _render(**shown: Any) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = _bundle()
    # Only this script runs, whatever else a browser might take for one.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    style = (TEMPLATES / "page.css").read_text(encoding="utf-8")
    return environment.get_template("page.html").render(script=script, digest=digest, style=style, **shown)
