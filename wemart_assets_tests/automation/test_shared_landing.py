"""One landing folder that two sources read: a file requests the days of both."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wemart_assets_tests.environments import Environment, MakeEnvironment

LOG, TRACKS = "service_log.weverse_server_log", "rudder.tracks"
MAPPING = f"""
{TRACKS}:
  landing: {LOG}
  columns: {{id: url, timestamp: "to_timestamp(cast(unix_log_timestamp as bigint) // 1000)", received_at: null}}
"""


def test_a_file_requests_its_days_for_both_sources_and_both_publish_it(make_environment: MakeEnvironment) -> None:
    environment = make_environment(looks_at_users=True)
    environment.give(LOG, TRACKS).map(MAPPING)
    environment.land_lines("a.csv", "2024-03-02 12:00:00", "2024-03-03 00:00:00")
    tick = environment.tick()
    asked = {(source, day) for r in tick.requests for source in r.tables & {LOG, TRACKS} for day in r.days}
    days = ["2024-03-02", "2024-03-03"]
    assert asked == {(source, day) for source in (LOG, TRACKS) for day in days}
    assert environment.run(*days, {LOG, TRACKS}).success
    for source, column in ((LOG, "date_id"), (TRACKS, "part_date")):
        assert sorted(row[column] for row in environment.read(source)) == days


def test_a_file_in_the_folder_that_a_source_no_longer_reads_requests_nothing(environment: Environment) -> None:
    environment.map(MAPPING)
    environment.land_lines("a.csv", "2024-03-02 12:00:00")
    cursor = environment.tick().cursor
    environment.land(TRACKS, "b.csv", [{"url": "/x", "unix_log_timestamp": 1}])
    assert not environment.tick(cursor).requests
