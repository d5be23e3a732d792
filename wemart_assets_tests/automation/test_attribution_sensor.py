"""What the landing sensor requests for event and attribution files."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from wemart_assets_tests.environments import Environment, MakeEnvironment, Tick

EVENT, ATTRIBUTION = "igaworks.event", "igaworks.attribution"
UNDATED_EVENT, UNDATED_ATTRIBUTION = f"{EVENT}__date_unknown", f"{ATTRIBUTION}__date_unknown"
BY_CAMPAIGN = {
    "igaworks.active_user_by_campaign",
    "igaworks.total_price_active_user_by_campaign",
    "igaworks.active_user_total_price_by_country_campaign",
    "igaworks.hard_new_install_funnel_by_partner",
}
FUNNELS = {"igaworks.hard_funnel", "igaworks.hard_new_install_funnel_by_partner"}
# The partitions that exist: 1 to 7 March.
NOW = "2024-03-08 12:00:00"
FIRST, LAST = "2024-03-01", "2024-03-07"
UNKNOWN = "0001-01-01 00:00:00.0"


def event(at: str, user: str = "u", name: str = "firstopen") -> str:
    return f"{user},iOS,m,KR,{name},log,{at},null,null\n"


def touch(at: str, user: str = "u", campaign: str = "a") -> str:
    return f"p,{campaign},{at},t,log,0,{user}\n"


def days_of(environment: Environment, table: str) -> list[str]:
    requests = [r for tick in environment.ticks(at=NOW) for r in tick.requests]
    return sorted(day for r in requests if table in r.tables for day in r.days)


def tables_of_days(tick: Tick) -> dict[str, set[str]]:
    days = {day for request in tick.requests for day in request.days}
    return {day: set().union(*(r.tables for r in tick.requests if day in r.days)) for day in days}


def days_from(day: int, last: int = 7) -> list[str]:
    return [f"2024-03-{number:02d}" for number in range(day, last + 1)]


def test_a_file_requests_each_of_its_days_and_the_tables_downstream(environment: Environment) -> None:
    environment.land(EVENT, "part-00000", event("2024-03-02 23:59:59.0") + event("2024-03-05 00:00:00.0"))
    [tick] = environment.ticks(at=NOW)
    by_day = tables_of_days(tick)
    assert {"igaworks.active_user_by_date", "igaworks.active_user_by_event", *BY_CAMPAIGN} <= by_day["2024-03-02"]
    assert EVENT in by_day["2024-03-05"]
    assert "igaworks.total_price_active_user_by_date" not in by_day["2024-03-04"]


def test_a_day_of_events_requests_the_funnels_whose_window_contains_it(make_environment: MakeEnvironment) -> None:
    environment = make_environment(funnel_days=2)
    environment.land(EVENT, "part-00000", event("2024-03-05 12:00:00.0"))
    assert days_of(environment, "igaworks.hard_funnel") == days_from(3, 5)


def test_a_late_firstopen_requests_the_cohorts_from_its_day_onwards(environment: Environment) -> None:
    environment.land(EVENT, "part-00000", event("2024-03-04 12:00:00.0"))
    assert days_of(environment, "igaworks.first_open") == days_from(4)


def test_an_attribution_requests_its_day_up_to_the_latest_delivered_day(environment: Environment) -> None:
    environment.land(EVENT, "part-00000", event("2024-03-06 12:00:00.0"))
    before = environment.tick(at=NOW)
    environment.land(ATTRIBUTION, "part-00001", touch("2024-03-04 12:00:00.0"))
    [tick] = environment.ticks(before.cursor, NOW)
    assert sorted(day for day, of in tables_of_days(tick).items() if of >= BY_CAMPAIGN) == days_from(4, 6)


def test_attributions_of_unknown_time_are_requested_before_every_day(environment: Environment) -> None:
    environment.land(ATTRIBUTION, "part-00001", touch(UNKNOWN))
    environment.land(EVENT, "part-00000", event("2024-03-06 12:00:00.0"))
    [tick] = environment.ticks(at=NOW)
    assert (tick.requests[0].days, tick.requests[0].tables) == ((), {UNDATED_ATTRIBUTION})
    assert sorted(day for day, of in tables_of_days(tick).items() if of >= BY_CAMPAIGN) == days_from(1, 6)
    assert environment.tick(tick.cursor, NOW).requests == []


def test_events_of_unknown_time_request_no_day(environment: Environment) -> None:
    environment.land(EVENT, "part-00000", event(UNKNOWN))
    [tick] = environment.ticks(at=NOW)
    assert [(r.days, r.tables) for r in tick.requests] == [((), {UNDATED_EVENT})]


def test_reports_are_requested_with_attributions_that_were_never_published(make_environment: MakeEnvironment) -> None:
    environment = make_environment(first_day=dt.date(2024, 3, 1))
    environment.land(EVENT, "part-00000", event("2024-03-02 12:00:00.0"))
    [tick] = environment.ticks(at=NOW)
    assert (tick.requests[0].days, tick.requests[0].tables) == ((), {UNDATED_ATTRIBUTION})
    assert {day for r in tick.requests if ATTRIBUTION in r.tables for day in r.days} >= {FIRST, "2024-03-02"}


def test_a_removed_file_requests_its_rows_of_unknown_time(environment: Environment) -> None:
    path = environment.land(ATTRIBUTION, "part-00001", touch(UNKNOWN))
    [tick] = environment.ticks(at=NOW)
    path.unlink()
    assert environment.tick(tick.cursor, NOW).requests[0].tables == {UNDATED_ATTRIBUTION}


@pytest.mark.slow
def test_late_deliveries_give_the_same_reports_as_on_time_deliveries(environment: Environment) -> None:
    environment.land(EVENT, "part-00000", event("2024-03-02 12:00:00.0") + event("2024-03-03 12:00:00.0", "v"))
    cursor = None
    for files in ({}, {ATTRIBUTION: touch(UNKNOWN, "v", "b")}, {EVENT: event("2024-03-01 12:00:00.0")}):
        for number, (source, content) in enumerate(files.items()):
            environment.land(source, f"late-{number}", content)
        for tick in environment.ticks(cursor, NOW):
            cursor = tick.cursor
            for request in tick.requests:
                environment.execute(request)
    campaigns = {(r["part_date"], r["campaign"]) for r in environment.read("igaworks.active_user_by_campaign")}
    assert campaigns == {(FIRST, "(none)"), ("2024-03-02", "(none)"), ("2024-03-03", "b")}
    cohorts = {(r["identity_adid"], r["part_date"]) for r in environment.read("igaworks.first_open")}
    assert cohorts == {("u", FIRST), ("v", "2024-03-03")}


def test_rows_of_unknown_time_have_their_own_job(environment: Environment) -> None:
    job = environment.defs.resolve_job_def("date_unknown")
    assert {".".join(key.path) for key in job.asset_layer.selected_asset_keys} == {UNDATED_EVENT, UNDATED_ATTRIBUTION}
    assert job.partitions_def is None
    environment.land(EVENT, "part-00000", event(UNKNOWN))
    result = job.execute_in_process(
        instance=environment.instance, run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    )
    assert result.success
    assert [row["identity_adid"] for row in environment.read(UNDATED_EVENT)] == ["u"]
