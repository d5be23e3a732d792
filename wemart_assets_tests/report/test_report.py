"""The report: its numbers equal plain queries, its charts draw on any rows, and its page is one inert, valid file."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import dagster as dg
import duckdb
import pyarrow as pa
import pytest
from click.testing import CliRunner
from deltalake import write_deltalake

from wemart_assets import catalog
from wemart_assets.cli import main
from wemart_assets.lake.days import Period, days_between, shift
from wemart_assets.lake.errors import WemartError
from wemart_assets.lake.location import Location
from wemart_assets.partitions import partitions_from
from wemart_assets.report import charts, quality
from wemart_assets.report.asset import KEY, WRITTEN, report_asset
from wemart_assets.report.page import MOST_ROWS, Queries, make_report, newest_day, numbers
from wemart_assets.report.sections import SECTIONS, Section
from wemart_assets.report.span import Span
from wemart_assets.settings import Settings
from wemart_assets.sql import Analyst, analyst

Row = dict[str, Any]
FIRST, LAST = "2024-01-01", "2024-01-05"
SPAN = Span(LAST, 28, FIRST)
NOW = dt.datetime(2024, 1, 6, 3, 4, tzinfo=dt.timezone(dt.timedelta(hours=9)))
BY_ID: Mapping[str, Section] = {section.id: section for section in SECTIONS}
HOSTILE = "</td></script><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7*7 }}'\"&\u202e\U0001f3a4"


@pytest.fixture
def session(world: Path) -> Iterator[Analyst]:
    with analyst(world / "lake", catalog.TABLES_BY_NAME, catalog.VIEWS_BY_NAME) as opened:
        yield opened


def rows_of(session: Analyst, section: str, span: Span = SPAN) -> list[Row]:
    return session.run(span.in_query(BY_ID[section].sql)).to_pylist()


def plain_query(world: Path, sql: str) -> list[tuple[Any, ...]]:
    """Rows of the lake's files, without the lake."""
    with duckdb.connect() as connection:
        files = re.sub(r"LAKE/([a-z_]+/[a-z_]+)", rf"read_parquet('{world}/lake/\1/*/*.parquet')", sql)
        return connection.execute(files).fetchall()


def data_of(section: str, rows: Sequence[Mapping[str, Any]], span: Span = SPAN) -> list[Row]:
    """The rows that the section's chart draws."""
    return values_of(BY_ID[section].plot(rows, span))


def values_of(chart: Any) -> list[Row]:
    spec = chart.to_dict()
    data = (spec if "data" in spec else spec["layer"][0])["data"]
    return list(data["values"] if "values" in data else spec["datasets"][data["name"]])


def settings_of(lake: Path, **changes: Any) -> Settings:
    return Settings(lake=lake, first_day=dt.date.fromisoformat(FIRST), **changes)


def write_table(lake: Path, name: str, rows: Sequence[Row]) -> None:
    path = lake.joinpath(*name.split("."))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_deltalake(path, pa.Table.from_pylist(list(rows)), partition_by=["part_date"], mode="append")


def platform_rows(day: str, **sessions: int | None) -> list[Row]:
    return [{"part_date": day, "platform": name, "sess_cnt": count} for name, count in sessions.items()]


# --- the numbers ------------------------------------------------------------------------------------------------------


def test_visitors_and_sessions_are_those_of_the_sessions(world: Path, session: Analyst) -> None:
    expected = plain_query(
        world,
        """select part_date::varchar, count(distinct coalesce(we_member_id::varchar, 'device ' || device_id)),
                  count(distinct sess_id)
           from LAKE/we_mart/wv_sess_daily group by all order by all""",
    )
    found = rows_of(session, "visits")
    assert [tuple(row.values()) for row in found] == expected
    assert len(expected) == 5
    drawn = data_of("visits", found)
    assert {(row["day"], row["line"]): row["value"] for row in drawn} == {
        **{(day, "visitors"): visitors for day, visitors, _ in expected},
        **{(day, "sessions"): sessions for day, _, sessions in expected},
    }


def test_platforms_are_those_of_the_sessions(world: Path, session: Analyst) -> None:
    expected = plain_query(
        world,
        "select part_date::varchar, platform, count(distinct sess_id) from LAKE/we_mart/wv_sess_daily group by all",
    )
    found = rows_of(session, "platforms")
    assert sorted(map(str, (tuple(row.values()) for row in found))) == sorted(map(str, expected))
    drawn = {(row["day"], row["part"]): row["value"] for row in data_of("platforms", found)}
    assert drawn == {(day, platform or "unknown"): count for day, platform, count in expected}


def test_countries_add_up_to_the_visitors_per_day(world: Path, session: Analyst) -> None:
    found = rows_of(session, "countries")
    [(visitors,)] = plain_query(
        world,
        """select sum(n) / 5 from (
               select count(distinct (user_ctry, coalesce(we_member_id::varchar, 'device ' || device_id))) as n
               from LAKE/we_mart/wv_sess_daily group by part_date)""",
    )
    assert sum(row["visitors_per_day"] for row in found) == pytest.approx(visitors)
    drawn = data_of("countries", found)
    assert len(found) > len(drawn) == 11
    assert sum(row["value"] for row in drawn) == pytest.approx(visitors)


def test_artists_have_the_engaged_hours_of_their_members(world: Path, session: Analyst) -> None:
    expected = plain_query(
        world,
        """select we_art_id, sum(engaged_sec) / 3600 from LAKE/we_mart/stats_wv_d_art_comm_time
           group by all order by 2 desc, 1""",
    )
    found = rows_of(session, "artists")
    assert [(row["we_art_id"], row["engaged_hours"]) for row in found] == expected
    assert all(row["artist"] for row in found)
    assert [row["value"] for row in data_of("artists", found)] == [hours for _, hours in expected[:10]]


def test_joins_and_leaves_begin_on_the_second_day(world: Path, session: Analyst) -> None:
    expected = plain_query(
        world,
        """select part_date::varchar, sum(joins)::bigint, sum(leaves)::bigint, sum(members)::bigint
           from LAKE/we_mart/stats_wv_d_comm_join where part_date > '2024-01-01' group by all order by all""",
    )
    found = rows_of(session, "memberships")
    assert [tuple(row.values()) for row in found] == expected
    assert len(expected) == 4
    # The first day is a gap, not zero.
    assert [row["value"] for row in data_of("memberships", found) if row["day"] == FIRST] == [None, None]


def test_the_first_published_day_is_left_out_also_if_the_lake_begins_earlier(tmp_path: Path) -> None:
    counts = {"comm_id": 1, "leaves": 0, "members": 8}
    days = [{"part_date": day, "joins": joins, **counts} for day, joins in (("2024-01-04", 7), (LAST, 1))]
    write_table(tmp_path, "we_mart.stats_wv_d_comm_join", days)
    with analyst(tmp_path, catalog.TABLES_BY_NAME, catalog.VIEWS_BY_NAME) as session:
        assert [(row["day"], row["joins"]) for row in rows_of(session, "memberships")] == [(LAST, 1)]


def test_app_retention_is_that_of_the_cohorts(world: Path, session: Analyst) -> None:
    expected = plain_query(
        world,
        """with opened as (
               select identity_adid, min(part_date)::date as day
               from LAKE/igaworks/event where event_name = 'firstopen' group by all
           ), active as (select distinct identity_adid, part_date::date as day from LAKE/igaworks/event)
           select n::int, count(*), count(active.day)
           from opened cross join unnest([1, 2, 3]) as later (n)
           left join active on active.identity_adid = opened.identity_adid and active.day = opened.day + n::int
           where opened.day + n::int <= '2024-01-05' group by all order by all""",
    )
    found = rows_of(session, "attribution")
    assert [tuple(row.values()) for row in found] == expected
    assert [row["value"] for row in data_of("attribution", found)] == [back / of for _, of, back in expected]


def test_retention_adds_up_artists_and_shows_the_last_twelve_whole_weeks(session: Analyst) -> None:
    session.run(
        """create table we_mart.stats_wv_w_art_cohort_vst as
           select * replace (key_date::date as key_date, cohort::date as cohort) from (values
               ('2024-03-04', 1, '2024-03-04', 0, 100, 100), ('2024-03-04', 2, '2024-03-04', 0, 300, 300),
               ('2024-03-11', 1, '2024-03-04', 1, 100, 40), ('2024-03-11', 2, '2024-03-04', 1, 300, 20),
               ('2024-03-18', 1, '2024-03-04', 2, 100, 0), ('2024-03-18', 2, '2024-03-04', 2, 300, 0),
               ('2024-03-11', 1, '2023-12-25', 11, 8, 8), ('2024-03-11', 1, '2023-12-18', 12, 8, 8)
           ) as t (key_date, we_art_id, cohort, age, cohort_member_cnt, member_cnt)"""
    )
    # The week of the 18th is over on the 24th, and not on the 23rd.
    span = Span("2024-03-23", 28, FIRST)
    found = rows_of(session, "retention", span)
    assert [tuple(row.values()) for row in found if row["weeks_later"] < 3] == [
        ("2024-03-04", 0, 400, 400),
        ("2024-03-04", 1, 400, 60),
    ]
    assert "2024-03-04 (400)" in {row["row"] for row in data_of("retention", found, span)}
    whole = rows_of(session, "retention", Span("2024-03-24", 28, FIRST))
    assert ("2024-03-04", 2, 400, 0) in [tuple(row.values()) for row in whole]
    assert {row["week"] for row in rows_of(session, "retention", Span("2024-03-17", 28, FIRST))} == {
        "2023-12-25",
        "2024-03-04",
    }


def test_the_funnel_has_the_first_visits_whose_days_are_over(session: Analyst) -> None:
    session.run(
        """create table activation.activation_funnel_daily as
           select day as part_date, day::date as first_visit_date, country, step, event_name, within_days,
                  10 as first_visits, users, users_in_order
           from (values ('2024-01-01'), ('2024-01-02'), ('2024-01-03')) as days (day)
           cross join (values ('KR', 0, 'first_visit', 1, 10, 10), ('KR', 1, 'buy', 3, 8, 2),
               (NULL, 0, 'first_visit', 1, 10, 10), (NULL, 1, 'buy', 3, 1, 0)
           ) as steps (country, step, event_name, within_days, users, users_in_order)"""
    )
    # Within 3 days: the visitors of the 2nd have until the 4th.
    found = rows_of(session, "funnel", Span("2024-01-04", 28, FIRST))
    assert [tuple(row.values()) for row in found] == [
        (0, "first_visit", 1, 40, 40, 40),
        (1, "buy", 3, 40, 18, 4),
    ]
    shares = [(row["label"], row["series"], row["value"]) for row in data_of("funnel", found)]
    assert shares[2:] == [("buy, 3 d", "each by itself", 0.45), ("buy, 3 d", "in order", 0.1)]
    assert rows_of(session, "funnel", Span("2024-01-02", 28, FIRST)) == []


# --- the state of the data --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "period", "expected"),
    [
        ("2024-03-10", Period.DAY, "2024-03-10"),
        ("2024-03-10", Period.WEEK, "2024-03-04"),
        ("2024-03-09", Period.WEEK, "2024-02-26"),
        ("2024-02-29", Period.MONTH, "2024-02-01"),
        ("2024-02-28", Period.MONTH, "2024-01-01"),
    ],
)
def test_the_newest_whole_period_is_due(day: str, period: Period, expected: str) -> None:
    assert quality.due(day, period) == expected


def test_freshness_counts_the_periods_that_are_missing() -> None:
    rows = [
        {"table_name": "we_mart.wv_sess_daily", "newest_day": "2024-03-10"},
        {"table_name": "we_mart.wv_user_daily", "newest_day": "2024-03-08"},
        {"table_name": "we_mart.stats_wv_w_sess_duration", "newest_day": "2024-02-26"},
        {"table_name": "we_mart.stats_wv_m_sess_duration", "newest_day": "2024-02-01"},
        {"table_name": "rudder.tracks", "newest_day": "2024-03-12"},
        {"table_name": "of.nobody", "newest_day": "2024-03-01"},
    ]
    found = quality.freshness(rows, Span("2024-03-10", 28, FIRST))
    assert [(f.table, f.domain, f.behind, str(f.period)) for f in found] == [
        ("we_mart.wv_user_daily", "sessions", 2, "day"),
        ("we_mart.stats_wv_w_sess_duration", "sessions", 1, "week"),
        ("rudder.tracks", "sources", 0, "day"),
        ("we_mart.stats_wv_m_sess_duration", "sessions", 0, "month"),
        ("we_mart.wv_sess_daily", "sessions", 0, "day"),
    ]


AUDITS = [
    # day, check, severity, passed, bad rows, recorded at
    ("2024-01-05", "unique", "ERROR", False, 3, "2024-01-06 01:00"),
    ("2024-01-05", "unique", "ERROR", True, 0, "2024-01-06 02:00"),
    ("2024-01-05", "volume", "WARN", False, 0, "2024-01-06 02:00"),
    ("2024-01-04", "unique", "ERROR", True, 0, "2024-01-05 02:00"),
    ("2024-01-04", "unique", "ERROR", False, 7, "2024-01-05 09:00"),
    ("2023-12-07", "unique", "ERROR", False, 1, "2023-12-06 23:00"),
    ("2023-12-06", "unique", "ERROR", False, 1, "2023-12-07 02:00"),
    ("unknown", "unique", "ERROR", False, 1, "2024-01-05 02:00"),
]


def audit_rows(table: str = "we_mart.wv_sess_daily") -> list[Row]:
    return [
        {"run": f"run {n}", "table_name": table, "day": day, "check_name": check, "severity": severity}
        | {"passed": passed, "bad_rows": bad, "detail": f"{bad} rows", "published": passed, "seconds": 0.1}
        | {"recorded_at": dt.datetime.fromisoformat(f"{at}:00+00:00"), "recorded_on": at[:10], "part_date": at[:10]}
        for n, (day, check, severity, passed, bad, at) in enumerate(AUDITS)
    ]


def test_of_each_check_the_latest_audit_counts(tmp_path: Path) -> None:
    write_table(tmp_path, "audit.results", audit_rows())
    with analyst(tmp_path, {}) as session:
        span = quality.audit_span(SPAN)
        span = Span(span.last, span.count, "2023-01-01")
        problems = session.run(span.in_query(quality.PROBLEMS)).to_pylist()
        audits = session.run(span.in_query(quality.AUDITS)).to_pylist()
        fresh = session.run(quality.FRESHNESS).to_pylist()
    # The check of the 5th was repaired. Thirty days begin on the 7th of December, which began on the 6th in UTC.
    assert [(p["check_name"], p["severity"], p["days"], p["newest_day"], p["bad_rows"]) for p in problems] == [
        ("unique", "ERROR", 2, "2024-01-04", 8),
        ("volume", "WARN", 1, "2024-01-05", 0),
    ]
    assert problems[0]["detail"] == "7 rows"
    assert [tuple(row.values())[1:] for row in audits] == [
        ("2023-12-07", 1, 0, 1),
        ("2024-01-04", 1, 0, 1),
        ("2024-01-05", 2, 1, 0),
    ]
    drawn = values_of(quality.strip(audits, span))
    assert [(cell["row"], cell["day"], cell["status"], cell["sign"]) for cell in drawn] == [
        ("sessions", "2023-12-07", "failed", "×"),
        ("sessions", "2024-01-04", "failed", "×"),
        ("sessions", "2024-01-05", "warned", "!"),
    ]
    assert fresh == [
        {"table_name": "we_mart.wv_sess_daily", "newest_day": "2024-01-05"}
        | {"published_at": dt.datetime(2024, 1, 6, 2, tzinfo=dt.UTC)}
    ]


def test_the_page_shows_the_state_of_the_data(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    write_table(lake, "we_mart.stats_wv_d_platform", platform_rows(LAST, APP=1))
    write_table(lake, "audit.results", audit_rows())
    refused = [{"part_date": LAST, "reason": HOSTILE, "file": "f", "raw_row": "r"}] * 3
    write_table(lake, "we_mart.we_user__quarantine", refused)
    page = Page.of(make_report(settings_of(lake), None, 28, NOW).html)
    assert {"1 table up to date", "1 check failed", "1 check warned", "3 rows in quarantine"} <= set(page.texts)
    assert HOSTILE in page.texts
    assert {"unique", "volume", "7 rows"} <= set(page.texts)


# --- the charts -------------------------------------------------------------------------------------------------------


def edge_rows(kind: str, days: list[str]) -> dict[str, list[Row]]:
    number = {"nothing": 0, "huge": 9_223_372_036_854_775_807}.get(kind, 5)
    text = {"hostile": HOSTILE, "nothing": None}.get(kind, "name")
    return {
        "visits": [{"day": day, "visitors": number, "sessions": None} for day in days],
        "platforms": [{"day": day, "platform": text, "sessions": number} for day in days],
        "countries": [{"country": text, "visitors_per_day": float(number)}],
        "artists": [{"we_art_id": n, "artist": text, "engaged_hours": float(number)} for n in range(3)],
        "memberships": [{"day": day, "joins": number, "leaves": 0, "members": number} for day in days],
        "retention": [
            {"week": day, "weeks_later": age, "new_visitors": max(number, 1), "members_back": number}
            for day in days[:12]
            for age in (0, 1)
        ],
        "funnel": [
            {"step": step, "event_name": text or "e", "within_days": 1, "first_visits": max(number, 1)}
            | {"users": number, "users_in_order": number}
            for step in (0, 1)
        ],
        "attribution": [{"days_later": 1, "cohort_users": max(number, 1), "users_back": number}],
    }


@pytest.mark.parametrize("kind", ["one day", "many days", "nothing", "huge", "hostile"])
def test_every_chart_is_drawn_of_any_rows(kind: str) -> None:
    days = days_between(shift(LAST, -399), LAST) if kind == "many days" else [LAST]
    span = Span(LAST, len(days), "2020-01-01")
    for name, rows in edge_rows(kind, days).items():
        svg = ElementTree.fromstring(charts.still(charts.specification_of(BY_ID[name].plot(rows, span))))
        assert [e.tag for e in svg.iter() if e.tag.rpartition("}")[2] in ("script", "image", "a")] == [], name
        assert float(svg.attrib["width"]) < 700, name
    assert set(edge_rows(kind, days)) == set(BY_ID)


def test_artists_of_one_name_have_a_bar_each() -> None:
    rows = edge_rows("one day", [LAST])["artists"]
    assert [row["full"] for row in data_of("artists", rows)] == ["name (0)", "name (1)", "name (2)"]


def test_countries_without_a_name_are_one_bar() -> None:
    rows = [{"country": country, "visitors_per_day": n} for country, n in (("KR", 5.0), (None, 3.0), ("", 2.0))]
    drawn = {row["full"]: row["value"] for row in data_of("countries", rows)}
    assert drawn == {"KR": 5.0, "unknown": 5.0}


def test_long_names_are_shortened_to_different_labels() -> None:
    long = "n" * 60
    labels = charts.short_labels([f"{long}a", f"{long}b", "short", "", "\x00"])
    assert len(set(labels)) == 5
    assert max(map(len, labels)) <= 30
    assert labels[2] == "short"


def test_small_parts_of_a_bar_are_shown_together() -> None:
    rows = [{"day": LAST, "platform": f"p{n}", "sessions": n + 1} for n in range(9)]
    drawn = {row["part"]: row["value"] for row in data_of("platforms", rows)}
    assert drawn == {"p8": 9, "p7": 8, "p6": 7, "p5": 6, "p4": 5, "4 others": 10}
    assert len(data_of("platforms", rows[:6])) == 6


def test_a_chart_alone_has_no_variables_of_the_page() -> None:
    svg = charts.alone(
        charts.specification_of(BY_ID["platforms"].plot(edge_rows("one day", [LAST])["platforms"], SPAN))
    )
    assert "var(" not in svg
    assert "#0072b2" in svg


def test_the_numbers_are_text_and_a_long_table_is_cut() -> None:
    row = {"n": 4321, "an_id": 4321, "s": "a\x00b"}
    table = numbers([{"some_name": None if n else 1234.56, **row} for n in range(MOST_ROWS + 7)])
    assert (list(table.columns), list(table.are_numbers)) == (["some name", "n", "an id", "s"], [True] * 3 + [False])
    assert (table.rows[0], table.rows[1][0]) == (["1,234.6", "4,321", "4321", "ab"], "NULL")
    assert (len(table.rows), table.left_out) == (MOST_ROWS, 7)


# --- the page ---------------------------------------------------------------------------------------------------------

VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """A parsed page: its tags with attributes, its texts, and the contents of its scripts."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self._open: list[str] = []

    @staticmethod
    def of(html: str) -> Page:
        page = Page()
        page.feed(html)
        page.close()
        assert page._open == []
        return page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs)
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] == ["script"]:
            self.scripts.append(data)
        elif self._open[-1:] != ["style"]:
            self.texts.append(data.strip())


@pytest.fixture(scope="module")
def html(world: Path) -> str:
    """The page that the run over the world wrote."""
    return (world / "lake" / "_reports" / f"{LAST}.html").read_text()


def test_the_page_of_a_run_is_valid_and_says_what_it_covers(html: str) -> None:
    page = Page.of(html)
    assert html.startswith("<!DOCTYPE html>")
    assert {"Visitors and sessions", "Activation funnel", "Quarantine"} <= set(page.texts)
    assert {FIRST, LAST} <= set(page.texts)
    assert any("Made on 2" in text and "Asia/Seoul" in text for text in page.texts)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {attributes["href"] for tag, attributes in page.tags if tag == "a"}
    assert {str(link).removeprefix("#") for link in links} <= set(ids)


def test_all_tables_of_the_run_are_up_to_date_in_its_page(html: str) -> None:
    # The page is made last; a table that is made after it would be shown as behind.
    daily = [t for t in catalog.tables().values() if t.period is Period.DAY and t.only_partition is None]
    assert f"{len(daily)} tables up to date" in Page.of(html).texts


def test_the_page_needs_no_network(html: str) -> None:
    page = Page.of(html)
    for _, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
            assert (attributes.get(name) or "#").startswith("#")
        assert "url(" not in (attributes.get("style") or "")
        assert not any(name.startswith("on") for name in attributes)
    [style] = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    assert "url(" not in style
    assert "@import" not in style


def test_only_the_script_of_the_page_may_run(html: str) -> None:
    page = Page.of(html)
    data, code = page.scripts
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    [policy] = [a["content"] or "" for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert f"script-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")
    specs = json.loads(data)
    cards = {a["id"] for tag, a in page.tags if tag == "section" and "id" in a}
    assert set(specs) <= cards
    assert {"visits", "platforms", "countries", "artists", "audits"} <= set(specs)
    # Without JavaScript, each chart is there as SVG.
    assert html.count('<div class="still"><svg') == len(specs)


def test_hostile_names_are_inert(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    time = {"user_type": "member", "member_cnt": 1, "engaged_sec": 3600}
    write_table(lake, "we_mart.stats_wv_d_art_comm_time", [{"part_date": LAST, "we_art_id": 1, **time}])
    write_table(lake, "we_mart.we_artist", [{"part_date": LAST, "we_art_id": 1, "we_art_name": HOSTILE}])
    write_table(lake, "we_mart.stats_wv_d_platform", platform_rows(LAST, **{HOSTILE: 4}))
    page = Page.of(make_report(settings_of(lake), None, 28, NOW).html)
    assert page.texts.count(HOSTILE) >= 2
    assert [tag for tag, _ in page.tags if tag in ("script", "img")] == ["script"] * 2
    assert "49" not in page.texts
    assert HOSTILE in json.dumps(json.loads(page.scripts[0]), ensure_ascii=False).encode().decode().replace('\\"', '"')


def test_missing_and_empty_tables_are_a_sentence_each(tmp_path: Path) -> None:
    write_table(tmp_path, "we_mart.stats_wv_d_platform", platform_rows(LAST, APP=4))
    made = make_report(settings_of(tmp_path), None, 28, NOW)
    assert set(made.problems) == set(BY_ID) - {"platforms"}
    assert made.problems["memberships"] == "The table stats_wv_d_comm_join has not been published yet."
    assert made.problems["attribution"] == "The table igaworks.hard_retention_by_dates has not been published yet."
    texts = Page.of(made.html).texts
    assert set(made.problems.values()) <= set(texts)
    assert "The table audit.results has not been published yet." in texts
    assert "No row was refused." in texts
    # A day without rows.
    write_table(tmp_path, "we_mart.stats_wv_d_platform", platform_rows("2024-01-09", TV=4))
    between = make_report(settings_of(tmp_path), "2024-01-08", 2, NOW)
    assert between.problems["platforms"] == "There are no rows for these days."


def test_a_damaged_table_costs_its_own_section_only(tmp_path: Path) -> None:
    write_table(tmp_path, "we_mart.stats_wv_d_platform", platform_rows(LAST, APP=4))
    members = {"joins": 1, "leaves": 0, "members": 3, "comm_id": 1}
    write_table(tmp_path, "we_mart.stats_wv_d_comm_join", [{"part_date": LAST, **members}])
    [log] = (tmp_path / "we_mart" / "stats_wv_d_comm_join" / "_delta_log").glob("*.json")
    log.write_text("no json")
    made = make_report(settings_of(tmp_path), LAST, 28, NOW)
    assert "platforms" not in made.problems
    assert made.problems["memberships"].startswith("This cannot be shown: ")
    assert "we_mart.stats_wv_d_comm_join" in made.problems["memberships"]


def test_a_table_that_lacks_a_column_costs_its_own_section_only(tmp_path: Path) -> None:
    write_table(tmp_path, "we_mart.stats_wv_d_platform", platform_rows(LAST, APP=4))
    write_table(tmp_path, "we_mart.stats_wv_d_comm_join", [{"part_date": LAST, "comm_id": 1, "joins": 1, "members": 3}])
    made = make_report(settings_of(tmp_path), LAST, 28, NOW)
    assert "platforms" not in made.problems
    assert made.problems["memberships"].startswith("This cannot be shown: ")
    assert "leaves" in made.problems["memberships"]


def test_a_week_before_may_have_nothing(tmp_path: Path) -> None:
    later = shift(LAST, 7)
    hours = [{"part_date": day, "engaged_sec": n, "we_art_id": 1} for day, n in ((LAST, 0), (later, 7200))]
    write_table(tmp_path, "we_mart.stats_wv_d_art_comm_time", hours)
    texts = Page.of(make_report(settings_of(tmp_path), later, 28, NOW).html).texts
    assert "0 a week before" in texts


def test_a_query_that_needs_too_much_memory_is_a_sentence(tmp_path: Path) -> None:
    write_table(tmp_path, "we_mart.stats_wv_d_platform", platform_rows(LAST, APP=4))
    with analyst(tmp_path, {}, memory_limit="20MB", threads=1) as session:
        found = Queries(session, Location.of(tmp_path)).rows("select count(distinct range) as n from range(5000000)")
    assert isinstance(found, str)
    assert "WEMART_MEMORY_LIMIT" in found


def test_the_newest_day_of_any_daily_table_is_the_default(tmp_path: Path) -> None:
    write_table(tmp_path, "we_mart.stats_wv_d_platform", platform_rows("2024-01-03", APP=4))
    with analyst(tmp_path, {}) as session:
        assert newest_day(Queries(session, Location.of(tmp_path))) == "2024-01-03"
    write_table(tmp_path, "igaworks.hard_retention_by_dates", [{"part_date": LAST, "n": 1}])
    with analyst(tmp_path, {}) as session:
        assert newest_day(Queries(session, Location.of(tmp_path))) == LAST


def test_no_day_before_the_lake_is_covered() -> None:
    assert (Span(LAST, 28, FIRST).first, Span(LAST, 3, FIRST).first, Span(LAST, 1, FIRST).first) == (
        FIRST,
        "2024-01-03",
        LAST,
    )


# --- the command and the asset ----------------------------------------------------------------------------------------


def command(lake: Path, *arguments: str) -> Any:
    environment = {"WEMART_LAKE": str(lake), "WEMART_FIRST_DAY": FIRST}
    return CliRunner().invoke(main, ["report", *arguments], env=environment, obj=lambda: NOW)


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    lake, target = tmp_path / "lake", tmp_path / "page.html"
    write_table(lake, "we_mart.stats_wv_d_platform", platform_rows(LAST, APP=4))
    run = command(lake, "--output", str(target), "--days", "3")
    assert run.exit_code == 0, run.output
    assert f"{target}: 2024-01-03 to {LAST}" in run.output
    assert "without a chart of memberships" in run.output
    assert "Made on 2024-01-05 18:04 UTC." in target.read_text()
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["page.html"]


def test_a_lake_with_nothing_to_show_is_a_sentence(tmp_path: Path) -> None:
    empty = command(tmp_path / "lake")
    assert (empty.exit_code, empty.output.count("\n")) == (1, 1)
    assert "wemart demo" in empty.output
    write_table(tmp_path / "lake", "other.table", [{"part_date": LAST, "n": 1}])
    foreign = command(tmp_path / "lake")
    assert foreign.exit_code == 1
    assert "has no day of a table that the report shows" in foreign.output


def test_wrong_arguments_say_what_to_do(tmp_path: Path) -> None:
    write_table(tmp_path, "we_mart.stats_wv_d_platform", platform_rows(LAST, APP=4))
    before = command(tmp_path, "--day", "2023-12-31")
    assert (before.exit_code, "begins on 2024-01-01" in before.output) == (1, True)
    nowhere = command(tmp_path, "--output", str(tmp_path / "no" / "page.html"))
    assert (nowhere.exit_code, "there is no folder" in nowhere.output) == (1, True)
    in_the_lake = command(tmp_path, "--output", str(tmp_path / "page.html"))
    assert (in_the_lake.exit_code, "is in the lake folder" in in_the_lake.output) == (1, True)
    assert command(tmp_path, "--days", "0").exit_code == 2
    assert command(tmp_path, "--day", "yesterday").exit_code == 2


def materialized(settings: Settings) -> tuple[dg.ExecuteInProcessResult, dg.AssetCheckEvaluation]:
    partitions = partitions_from(settings.first_day, settings.timezone, settings.last_day)[Period.DAY]
    asset = report_asset(settings, partitions, lambda: NOW)
    with dg.DagsterInstance.ephemeral() as instance:
        run = dg.materialize(
            [asset],
            instance=instance,
            raise_on_error=False,
            selection=dg.AssetSelection.assets(KEY),
            tags={"dagster/asset_partition_range_start": FIRST, "dagster/asset_partition_range_end": LAST},
        )
        [check] = run.get_asset_check_evaluations()
    return run, check


def test_the_asset_writes_the_page_of_the_last_day(tmp_path: Path) -> None:
    write_table(tmp_path, "we_mart.stats_wv_d_platform", platform_rows(LAST, APP=4))
    run, check = materialized(settings_of(tmp_path))
    assert (run.success, check.check_name, check.passed) == (True, WRITTEN, True)
    assert [path.name for path in (tmp_path / "_reports").iterdir()] == [f"{LAST}.html"]
    metadata = run.asset_materializations_for_node("reports__engagement_report")[0].metadata
    assert metadata["page"].value == str(tmp_path / "_reports" / f"{LAST}.html")
    assert str(metadata["preview"].value).startswith(f"![report of {LAST}](data:image/svg+xml;base64,")


def test_a_page_that_cannot_be_made_fails_no_run(tmp_path: Path) -> None:
    run, check = materialized(settings_of(tmp_path / "lake"))
    assert run.success
    assert run.asset_materializations_for_node("reports__engagement_report") == []
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "has no table yet" in str(check.metadata["reason"].value)


def test_a_lake_in_a_spark_catalog_is_refused(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, engine="spark", spark={"catalog": "prod"})
    with pytest.raises(WemartError, match=r"Spark catalog 'prod'.*WEMART_SPARK__CATALOG"):
        make_report(settings, None, 28, NOW)
