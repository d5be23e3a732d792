"""Ready mappings: a made-up file of each format becomes the rows, sessions and users that were counted by hand."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from wemart_assets import catalog
from wemart_assets.lake.errors import LandingError
from wemart_assets.sources.mapping import mapping_of
from wemart_assets.sources.ready import ready_mapping, ready_names
from wemart_assets_tests.sources.ready_files import CASES, GA4, Case

if TYPE_CHECKING:
    from wemart_assets_tests.environments import Environment

LOG, TRACKS = "service_log.weverse_server_log", "rudder.tracks"
BASE = "we_mart.wv_server_log_base"
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


@pytest.mark.parametrize(
    ("source", "entry", "message"),
    [
        (LOG, {"use": "iis"}, "unknown mapping 'iis'; expected one of ga4_json, "),
        ("we_mart.we_user", {"use": "snowplow"}, "'snowplow' is for service_log.weverse_server_log and rudder.tracks"),
        (LOG, {"use": ["a"]}, "unknown mapping"),
        (LOG, {"use": "../mappings/snowplow"}, "unknown mapping"),
        (LOG, {"use": "snowplow", "columns": {"nope": "1"}}, "unknown column nope"),
        (LOG, {"use": "snowplow", "delimiter": ","}, "format: text has a single column, 'line', and no delimiter"),
        (LOG, {"format": "text", "null": "-", "names": ["a"]}, "no null or names"),
        (LOG, {"fields": {"time": "x"}}, r"fields\.time: 'time' is a word of SQL"),
        (LOG, {"fields": {"two words": "x"}}, r"fields\.two words: .* not a name"),
        (LOG, {"fields": {"a": "getenv('HOME')"}}, r"fields\.a: .*getenv, which is not allowed"),
        (LOG, {"fields": {"a": "b, 1"}}, r"fields\.a: 'b, 1' cannot be used as an expression"),
        (LOG, {"fields": ["a"]}, "fields: expected an expression for each name"),
        (LOG, {"columns": ["a"]}, "columns: expected an expression for each name"),
    ],
)
def test_an_entry_that_cannot_be_used_is_named(source: str, entry: dict[str, Any], message: str) -> None:
    with pytest.raises(LandingError, match=message) as error:
        mapping_of("sources.yaml", catalog.contracts()[source], entry)
    assert str(error.value).startswith(f"sources.yaml: {source}: ")


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
