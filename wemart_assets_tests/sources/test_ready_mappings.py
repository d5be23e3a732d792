"""Ready mappings: a made-up file of each format becomes the rows, sessions and users that were counted by hand."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from wemart_assets import catalog
from wemart_assets.lake.errors import LandingError
from wemart_assets.sources.mapping import load_mappings, mapping_of
from wemart_assets.sources.ready import ready_mapping, ready_names
from wemart_assets_tests.sources.ready_files import CASES, GA4, Case

if TYPE_CHECKING:
    from wemart_assets_tests.environments import Environment

LOG, TRACKS = "service_log.weverse_server_log", "rudder.tracks"
BASE = "we_mart.wv_server_log_base"
PROJECT = Path(__file__).parents[2]
PAGE = (PROJECT / "docs" / "sources.md").read_text()
# Each is twice as long as the one before.
DOUBLED = {f"f{n + 1}": f"f{n} || f{n}" for n in range(40)}
FIRST, LAST = "2024-03-02", "2024-03-03"


def test_every_ready_mapping_has_a_file_here() -> None:
    assert sorted(case.mapping for case in CASES) == ready_names()


@pytest.mark.parametrize("name", ready_names())
def test_a_ready_mapping_describes_itself_and_fits_its_contracts(name: str) -> None:
    ready = ready_mapping(name)
    assert ready.description
    for source in ready.entries:
        mapping_of("test", catalog.contracts()[source], {"use": name})


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.mapping)
def test_a_file_becomes_the_lines_sessions_and_users_that_it_has(environment: Environment, case: Case) -> None:
    environment.overrides["quarantine_share"] = 1.0
    environment.map(yaml.safe_dump({LOG: {"use": case.mapping}}))
    environment.land(LOG, case.file, case.content)
    run = environment.run(FIRST, LAST, tables=[LOG, BASE])
    assert run.success, run
    lines = environment.read(LOG)
    assert Counter(line["date_id"] for line in lines) == case.days
    reasons = Counter[str]()
    for row in environment.quarantine(LOG):
        [reason] = [reason for reason in case.refused if reason in row["reason"]]
        reasons[reason] += 1
    assert reasons == case.refused
    by_url = {line["url"]: line for line in lines}
    for url, expected in case.lines.items():
        assert {name: by_url[url][name] for name in expected} == expected
    base = environment.read(BASE)
    assert Counter((line["platform"], line["os"]) for line in base) == case.clients
    assert len({line["sess_id"] for line in base}) == case.sessions
    assert {line["user_id_fill"] for line in base} - {None} == case.users


@pytest.mark.parametrize("case", [case for case in CASES if case.tracks is not None], ids=lambda case: case.mapping)
def test_a_file_becomes_the_tracks_that_it_has(environment: Environment, case: Case) -> None:
    environment.overrides["quarantine_share"] = 1.0
    environment.map(yaml.safe_dump({TRACKS: {"use": case.mapping}}))
    environment.land(TRACKS, case.file, case.content)
    environment.publish(TRACKS, FIRST, LAST)
    found: dict[str, Any] = {row["id"]: row for row in environment.read(TRACKS)}
    if case.mapping.startswith("ga4"):
        # Their ids are digests.
        assert sorted((row["anonymous_id"], row["event"], row["user_id"]) for row in found.values()) == sorted(
            (event["user_pseudo_id"], event["event_name"], event["user_id"]) for event in GA4
        )
        return
    assert case.tracks is not None
    assert set(found) == set(case.tracks)
    for key, expected in case.tracks.items():
        assert {name: found[key][name] for name in expected} == expected


def test_columns_of_the_entry_override_those_of_the_mapping(environment: Environment) -> None:
    entry = {"use": "nginx_combined", "columns": {"user_info_device_id": "address", "topic": "'web'"}}
    environment.map(yaml.safe_dump({LOG: entry}))
    environment.land(LOG, "access.log", '::1 - - [02/Mar/2024:10:00:00 +0900] "GET / HTTP/1.1" 200 5\n')
    environment.publish(LOG, FIRST)
    [line] = environment.read(LOG)
    assert (line["user_info_device_id"], line["topic"], line["url"]) == ("::1", "web", "/")


def test_an_entry_may_add_fields_to_those_of_the_mapping(environment: Environment) -> None:
    entry = {"use": "nginx_combined", "fields": {"area": "split_part(request, '/', 2)"}, "columns": {"topic": "area"}}
    environment.map(yaml.safe_dump({LOG: entry}))
    environment.land(LOG, "access.log", '::1 - - [02/Mar/2024:10:00:00 +0900] "GET /shop/1 HTTP/1.1" 200 5\n')
    environment.publish(LOG, FIRST)
    assert environment.column(LOG, "topic") == ["shop"]


def test_a_field_of_the_entry_replaces_that_of_the_mapping(environment: Environment) -> None:
    [fields] = re.findall(r"`(fields: \{address: .*\})`", PAGE)
    environment.map(yaml.safe_dump({LOG: {"use": "nginx_combined", **yaml.safe_load(fields)}}))
    line = 'www.example ::1 - - [02/Mar/2024:10:00:00 +0900] "GET /shop/1 HTTP/1.1" 200 5\n'
    environment.land(LOG, "access.log", line)
    environment.publish(LOG, FIRST)
    assert environment.column(LOG, "user_info_ip_address") == ["::1"]


def test_a_text_in_place_of_an_object_fails_neither_the_file_nor_the_row(environment: Environment) -> None:
    environment.map(yaml.safe_dump({LOG: {"use": "segment_json"}}))
    event = {"anonymousId": "a", "timestamp": "2024-03-02T03:00:00Z", "context": "text", "properties": "{"}
    environment.land(LOG, "a.jsonl", json.dumps(event) + "\n")
    environment.publish(LOG, FIRST)
    assert environment.column(LOG, "url") == [None]


def test_a_zone_in_one_row_of_a_warehouse_does_not_affect_later_rows(environment: Environment) -> None:
    environment.overrides["quarantine_share"] = 1.0
    environment.map(yaml.safe_dump({LOG: {"use": "segment_warehouse"}}))
    names = "anonymous_id,user_id,event,timestamp,context_ip,context_locale,context_user_agent,context_page_url"
    zones = ("", "+09:00", "", " Asia/Seoul", "")
    rows = [f"a,,e,2024-03-02 03:00:00{zone},,,,/{place}" for place, zone in enumerate(zones)]
    environment.land(LOG, "a.csv", "\n".join([names, *rows]) + "\n")
    environment.publish(LOG, "2024-03-02")
    instants = {row["url"]: row["unix_log_timestamp"] for row in environment.read(LOG)}
    assert instants == {
        "/0": 1_709_348_400_000,
        "/1": 1_709_316_000_000,
        "/2": 1_709_348_400_000,
        "/4": 1_709_348_400_000,
    }


@pytest.mark.parametrize(
    ("source", "entry", "message"),
    [
        (LOG, {"use": "iis"}, "unknown mapping 'iis'; expected one of ga4_json, "),
        ("we_mart.we_user", {"use": "snowplow"}, "'snowplow' is for service_log.weverse_server_log and rudder.tracks"),
        (LOG, {"use": ["a"]}, "use: expected the name of a ready mapping"),
        (LOG, {"use": "../mappings/snowplow"}, "unknown mapping"),
        (LOG, {"use": "snowplow", "columns": {"nope": "1"}}, "unknown column nope"),
        (LOG, {"use": "snowplow", "delimiter": ","}, "format: text has a single column, 'line', and no delimiter"),
        (LOG, {"format": "text", "null": "-", "names": ["a"]}, "no null or names"),
        (LOG, {"fields": {"time": "x"}}, r"fields\.time: 'time' is a word of SQL"),
        (LOG, {"fields": {"two words": "x"}}, r"fields\.two words: .* not a name"),
        (LOG, {"fields": {"a": "getenv('HOME')"}}, r"fields\.a: .*getenv, which is not allowed"),
        (LOG, {"fields": {"a": "b, 1"}}, r"fields\.a: 'b, 1' cannot be used as an expression"),
        (LOG, {"fields": {"a": None}}, r"fields\.a: expected an expression"),
        (LOG, {"fields": {"a": ["x"]}}, r"fields\.a: expected an expression"),
        (LOG, {"fields": {"f0": "x", **DOUBLED}}, r"fields\.f[0-9]+: .* it has more than 50,000 characters"),
        (LOG, {"fields": {"a": "x" * 40_000}, "columns": {"url": "a || a"}}, "columns: .* more than 50,000 characters"),
        (LOG, {"columns": {"url": "(" * 5000 + "x" + ")" * 5000}}, "it is nested too deeply"),
        (LOG, {"fields": ["a"]}, "fields: expected an expression for each name"),
        (LOG, {"columns": ["a"]}, "columns: expected an expression for each name"),
    ],
)
def test_an_entry_that_cannot_be_used_is_named(source: str, entry: dict[str, Any], message: str) -> None:
    with pytest.raises(LandingError, match=message) as error:
        mapping_of("sources.yaml", catalog.contracts()[source], entry)
    assert re.match(rf"sources\.yaml: {source}[:.]", str(error.value))


def test_a_field_is_inserted_as_a_value_wherever_its_name_is_one() -> None:
    fields = {"total": "a + b", "half": "Total / 2"}
    columns = {"topic": "total * half", "url": "\"total\" || 'total' || x.total || total(1)", "params": "half -- total"}
    mapping = mapping_of("test", catalog.contracts()[LOG], {"fields": fields, "columns": {"topic": columns["topic"]}})
    assert mapping.columns["topic"] == "(a + b) * ((a + b) / 2)"
    with pytest.raises(LandingError, match="total, which is not allowed"):
        mapping_of("test", catalog.contracts()[LOG], {"fields": fields, "columns": {"url": columns["url"]}})
    mapping = mapping_of(
        "test", catalog.contracts()[LOG], {"fields": fields, "columns": {"url": "'total' || \"total\""}}
    )
    assert mapping.columns["url"] == "'total' || \"total\""


# The page docs/sources.md and its example:


@pytest.mark.parametrize("entries", re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL))
def test_the_entries_of_the_page_can_be_used(tmp_path: Path, entries: str) -> None:
    path = tmp_path / "sources.yaml"
    path.write_text(entries)
    assert yaml.safe_load(entries)
    load_mappings(path, catalog.contracts().values())


def test_the_page_names_every_ready_mapping() -> None:
    assert [name for name in ready_names() if f"`{name}`" not in PAGE] == []


def test_the_lines_of_text_on_the_page_are_taken_apart(environment: Environment) -> None:
    [entries] = [text for text in re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL) if "format: text" in text]
    environment.overrides["quarantine_share"] = 1.0
    environment.map(entries)
    line = "2024-03-02T03:00:00.5Z device=d1 path=/a"
    environment.land(LOG, "a.log", f"{line}\n\nstarted\n2024-03-02T03:00:00Z device=d1\n")
    environment.publish(LOG, FIRST)
    columns = ("unix_log_timestamp", "user_info_device_id", "url")
    rows = sorted((tuple(row[c] for c in columns) for row in environment.read(LOG)), key=repr)
    assert rows == [(1_709_348_400_000, "d1", None), (1_709_348_400_500, "d1", "/a")]
    assert [row["reason"] for row in environment.quarantine(LOG)] == ["unix_log_timestamp is NULL"]


def test_the_example_has_the_sessions_that_an_independent_loop_finds(environment: Environment) -> None:
    example = PROJECT / "examples" / "access_log"
    environment.map((example / "sources.yaml").read_text())
    environment.land(LOG, "access.log", (example / "access.log").read_bytes())
    assert environment.run("2024-03-04", "2024-03-05", tables=[LOG, BASE]).success
    requests: dict[tuple[str, str, dt.date], list[dt.datetime]] = {}
    for line in (example / "access.log").read_text().splitlines():
        address, time, agent = re.fullmatch(r'(\S+) .* \[(.+) \+0000\] ".*" "(.*)"', line).groups()  # type: ignore[union-attr]
        at = dt.datetime.strptime(time, "%d/%b/%Y:%H:%M:%S") + dt.timedelta(hours=9)
        requests.setdefault((address, agent, at.date()), []).append(at)
    sessions, seconds = Counter[str](), Counter[str]()
    for (_, _, day), times in requests.items():
        start = last = min(times)
        for at in [*sorted(times), dt.datetime.max]:
            if at - last > dt.timedelta(minutes=30):
                sessions[day.isoformat()] += 1
                seconds[day.isoformat()] += int((last - start).total_seconds()) + 1
                start = at
            last = at
    base = environment.read(BASE)
    found = {(line["sess_id"], line["date_id"], line["sess_start_dt"], line["sess_end_dt"]) for line in base}
    assert Counter(day for _, day, _, _ in found) == sessions
    durations = Counter[str]()
    for _, day, start, end in found:
        durations[day] += int((end - start).total_seconds()) + 1
    assert durations == seconds
    assert sessions == {"2024-03-04": 8, "2024-03-05": 6}
