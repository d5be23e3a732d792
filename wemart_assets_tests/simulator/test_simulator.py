"""The simulated platform: its landing files contain exactly the sessions of its truth."""

import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
import pytest

from wemart_assets import catalog
from wemart_assets.simulator import SimulatorConfig, simulate
from wemart_assets_tests.simulator.deliveries import LOG, Row, Simulated, counts_in, read, truth_rows

HALF_HOUR = 1_800_000
SNAPSHOTS = (
    "weverse2.community_content_post",
    "weverse2.community_content_common_notice",
    "we_mart.we_user",
    "we_mart.we_artist",
    "we_mart.ws_fc_user_history",
)


def consumer_of(line: Row) -> str | None:
    try:
        params = json.loads(line["params"])
    except json.JSONDecodeError:
        return None
    consumer: str | None = params.get("consumer_id", params.get("_consumer_id"))
    return consumer


def device_of(line: Row) -> str | None:
    """Rule 2: lines without a device id count only for TV apps, which are identified by their user key."""
    if line["user_info_device_id"] is not None:
        return str(line["user_info_device_id"])
    if consumer_of(line) == "tvApp" and line["user_info_user_key"] is not None:
        return f"U_{line['user_info_user_key']}"
    return None


def order_of(line: Row) -> tuple[Any, ...]:
    """Rule 7: by instant, then by user id as a number with NULL last, then by topic, url and params."""
    return line["at"], line["user"] is None, line["user"] or 0, line["topic"], line["url"], line["params"]


def sessions_in(lines: Iterator[Row]) -> dict[tuple[str, str, int], list[Row]]:
    """(day, device, sess_seq) -> its lines in order, by a plain loop over the lines (rules 2, 3 and 7)."""
    by_device = defaultdict(list)
    for line in lines:
        if (device := device_of(line)) is not None:
            by_device[line["day"], device].append(line)
    sessions: dict[tuple[str, str, int], list[Row]] = {}
    for (day, device), mine in by_device.items():
        sess_seq = 0
        previous = None
        for line in sorted(mine, key=order_of):
            if previous is None or line["at"] - previous > HALF_HOUR:
                sess_seq += 1
            sessions.setdefault((day, device, sess_seq), []).append(line)
            previous = line["at"]
    return sessions


def filled_users(session: list[Row]) -> list[int | None]:
    """Rule 5: the nearest user at or after the line, else the nearest before."""
    users = [line["user"] for line in session]
    filled = []
    for place in range(len(users)):
        known = [user for user in users[place:] if user] or [user for user in reversed(users[:place]) if user]
        filled.append(known[0] if known else None)
    return filled


def user_sessions_in(sessions: dict[tuple[str, str, int], list[Row]]) -> set[tuple[Any, ...]]:
    found = set()
    for session_key, session in sessions.items():
        instants = defaultdict(list)
        for line, user in zip(session, filled_users(session), strict=True):
            instants[user].append(line["at"])
        found |= {(*session_key, user, min(at), max(at), len(at)) for user, at in instants.items()}
    return found


@pytest.fixture(scope="module")
def log(simulated: Simulated) -> list[Row]:
    return list(simulated.log())


@pytest.fixture(scope="module")
def sessions(log: list[Row]) -> dict[tuple[str, str, int], list[Row]]:
    return sessions_in(iter(log))


# --- the truth matches the files ----------------------------------------------------------------------------------


def assert_truth_matches_the_files(simulated: Simulated) -> None:
    sessions = sessions_in(simulated.log())
    found = {(*key, lines[0]["at"], lines[-1]["at"], len(lines)) for key, lines in sessions.items()}
    true = truth_rows(simulated.truth / "sessions.parquet")
    assert len(true) == len(found)
    assert set(true) == found

    true_users = truth_rows(simulated.truth / "user_sessions.parquet")
    found_users = user_sessions_in(sessions)
    assert len(true_users) == len(found_users)
    assert set(true_users) == found_users


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(SimulatorConfig(days=3, lines_per_day=10_000), id="as it comes"),
        pytest.param(SimulatorConfig(days=1, lines_per_day=500, seed=1), id="smallest"),
        pytest.param(SimulatorConfig(days=4, lines_per_day=2_000, oddities=False), id="no oddities"),
        pytest.param(SimulatorConfig(days=3, lines_per_day=2_000, timezone="UTC"), id="UTC"),
        pytest.param(
            SimulatorConfig(
                first_day=date(2024, 3, 9), days=3, lines_per_day=3_000, timezone="America/New_York", seed=11
            ),
            id="a day of 23 hours",
        ),
        pytest.param(
            SimulatorConfig(
                first_day=date(2024, 11, 2), days=3, lines_per_day=3_000, timezone="America/New_York", seed=12
            ),
            id="a day of 25 hours",
        ),
        pytest.param(SimulatorConfig(days=3, lines_per_day=4_000, devices=60, seed=5), id="few busy devices"),
    ],
)
def test_files_contain_exactly_the_true_sessions(config: SimulatorConfig, tmp_path: Path) -> None:
    summary = simulate(config, tmp_path / "landing", tmp_path / "truth")
    assert_truth_matches_the_files(Simulated(config, tmp_path / "landing", tmp_path / "truth", summary))


def test_counts_match_the_files(simulated: Simulated, log: list[Row]) -> None:
    lines = Counter(line["day"] for line in log)
    without_device = Counter(line["day"] for line in log if device_of(line) is None)
    broken_json = Counter(line["day"] for line in log if not is_json(line["params"]))
    days = simulated.counts["days"]
    assert list(days) == ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"]
    for day, counts in days.items():
        assert counts["lines"] == lines[day]
        assert counts["lines_without_device"] == without_device[day] > 0
        assert counts["lines_in_sessions"] == lines[day] - without_device[day]
        assert counts["lines_with_broken_json"] == broken_json[day] > 0
        assert counts["lines"] == pytest.approx(simulated.config.lines_per_day, rel=0.02)


def test_summary_counts_what_was_written(simulated: Simulated) -> None:
    summary = simulated.summary
    assert sorted(summary.files) == sorted(path for path in simulated.landing.rglob("*") if path.is_file())
    for source, rows in summary.rows.items():
        assert rows == sum(len(read(file)) for file in simulated.landing.glob(f"{source}/*/*"))
    assert summary.sessions == len(truth_rows(simulated.truth / "sessions.parquet"))
    assert summary.user_sessions == len(truth_rows(simulated.truth / "user_sessions.parquet"))


# --- reproducibility ----------------------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, list[Row] | str]:
    """The rows of each file below the folder, not its bytes: compressed pages may differ within one process."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): path.read_text() if path.suffix == ".json" else read(path)
        for path in files
    }


def test_the_same_configuration_gives_the_same_rows(tmp_path: Path) -> None:
    config = SimulatorConfig(days=2, lines_per_day=2_000)
    for turn in ("first", "second"):
        simulate(config, tmp_path / turn / "landing", tmp_path / turn / "truth")
    assert contents(tmp_path / "first") == contents(tmp_path / "second")


def test_another_process_gives_the_same_rows(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from wemart_assets.simulator import SimulatorConfig, simulate; "
        "simulate(SimulatorConfig(days=2, lines_per_day=500), Path(sys.argv[1], 'landing'), Path(sys.argv[1], 'truth'))"
    )
    # Another hash seed changes the order of sets.
    environment = {**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", program, tmp_path / "there"], check=True, env=environment)
    simulate(SimulatorConfig(days=2, lines_per_day=500), tmp_path / "here" / "landing", tmp_path / "here" / "truth")
    assert contents(tmp_path / "here") == contents(tmp_path / "there")


def test_another_seed_gives_other_sessions(tmp_path: Path) -> None:
    for seed in (1, 2):
        simulate(SimulatorConfig(seed=seed, days=1, lines_per_day=500), tmp_path / f"{seed}", tmp_path / f"t{seed}")
    assert truth_rows(tmp_path / "t1" / "sessions.parquet") != truth_rows(tmp_path / "t2" / "sessions.parquet")


def test_a_folder_with_files_of_another_simulation_is_refused(tmp_path: Path) -> None:
    config = SimulatorConfig(days=1, lines_per_day=500)
    simulate(config, tmp_path / "landing", tmp_path / "truth")
    with pytest.raises(FileExistsError, match="already contains files"):
        simulate(config, tmp_path / "landing", tmp_path / "truth")


@pytest.mark.parametrize(
    "settings",
    [{"days": 0}, {"seed": -1}, {"lines_per_day": 499}, {"users": 499}, {"posts": 10}, {"artists": 4}, {"devices": 0}],
)
def test_impossible_sizes_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        SimulatorConfig(**settings)  # type: ignore[arg-type]


# --- content of the log -------------------------------------------------------------------------------------------


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except json.JSONDecodeError:
        return False
    return True


def gaps_in(session: list[Row]) -> list[int]:
    return [after["at"] - before["at"] for before, after in pairwise(session)]


def test_gaps_at_the_limit_of_a_session_occur(
    simulated: Simulated, sessions: dict[tuple[str, str, int], list[Row]]
) -> None:
    within = Counter((key[0], gap) for key, session in sessions.items() for gap in gaps_in(session))
    for day, counts in simulated.counts["days"].items():
        assert within[day, HALF_HOUR] == counts["gaps_of_exactly_30_minutes"] > 0
        assert within[day, HALF_HOUR - 1] > 0
        assert within[day, 0] > 0

    between = Counter(
        sessions[day, device, sess_seq + 1][0]["at"] - session[-1]["at"]
        for (day, device, sess_seq), session in sessions.items()
        if (day, device, sess_seq + 1) in sessions
    )
    assert min(between) == HALF_HOUR + 1


def test_sessions_are_split_at_midnight(simulated: Simulated, sessions: dict[tuple[str, str, int], list[Row]]) -> None:
    last_of_day: dict[tuple[str, str], Row] = {}
    for (day, device, _), session in sorted(sessions.items(), key=lambda item: item[0]):
        last_of_day[day, device] = session[-1]
    days = list(simulated.counts["days"])
    yesterday = dict(zip(days[1:], days, strict=False))
    cut = [
        session
        for (day, device, sess_seq), session in sessions.items()
        if sess_seq == 1
        and (before := last_of_day.get((yesterday.get(day, ""), device)))
        and session[0]["at"] - before["at"] <= HALF_HOUR
    ]
    assert len(cut) > 20
    zone = ZoneInfo("Asia/Seoul")
    starts = [datetime.fromtimestamp(session[0]["at"] / 1000, zone).strftime("%H:%M:%S.%f") for session in cut]
    assert "00:00:00.000000" in starts


def pattern_of(session: list[Row]) -> str:
    """The users of a session's lines: `-` for none, `A`, `B`, ... in order of appearance."""
    names: dict[int | None, str] = {None: "-"}
    letters = [names.setdefault(line["user"], "ABCDEFG"[len(names) - 1]) for line in session]
    return "".join(letter for place, letter in enumerate(letters) if place == 0 or letters[place - 1] != letter)


@pytest.mark.parametrize("pattern", ["A", "-", "-A", "A-", "-A-", "AB", "A-B", "ABA", "-AB-"])
def test_logins_logouts_and_switches_occur(pattern: str, sessions: dict[tuple[str, str, int], list[Row]]) -> None:
    assert pattern in {pattern_of(session) for session in sessions.values()}


def test_two_users_share_an_instant(sessions: dict[tuple[str, str, int], list[Row]]) -> None:
    pairs = [
        (before["user"], after["user"])
        for session in sessions.values()
        for before, after in pairwise(session)
        if before["at"] == after["at"] and before["user"] != after["user"]
    ]
    assert any(after is None for _, after in pairs)
    assert any(before and after for before, after in pairs)


def test_equal_lines_occur(log: list[Row]) -> None:
    lines = Counter((device_of(line), *order_of(line)) for line in log)
    assert max(lines.values()) > 1


def test_lines_without_a_device_id_of_all_kinds_occur(log: list[Row]) -> None:
    sorts = {
        (consumer_of(line), line["user_info_user_key"] is not None)
        for line in log
        if line["user_info_device_id"] is None
    }
    # TV apps with a user key have sessions; the same app without one, and the other TV app, have none.
    assert {("tvApp", True), ("tvApp", False), ("tvOSApp", True), ("weverseWeb", False)} <= sorts


@pytest.mark.parametrize(
    "part",
    ["/v1/community-", "/v1/post-", "/notice-", "/chat-", "/join", "/leave", "https://"],
)
def test_urls_of_all_kinds_occur(part: str, log: list[Row]) -> None:
    assert any(part in line["url"] for line in log)


def test_params_have_all_fields(log: list[Row]) -> None:
    top: set[str] = set()
    request: set[str] = set()
    for line in log:
        if is_json(line["params"]):
            params = json.loads(line["params"])
            top |= params.keys()
            request |= params.get("request", {}).keys()
    plain = {"gcc", "language", "consumer_id", "provider_id", "platform_id", "wpf", "os", "method", "request_body"}
    assert plain <= top
    assert {f"_{key}" for key in plain - {"request_body"}} <= top
    assert request >= {
        *("communityId", "postId", "mediaType", "mediaTime", "videoId", "videoSessionId", "sectionType", "isProduct"),
        *("isHideFromArtist", "isFcOnly", "chatMsgCount", "chatMsgList"),
    }


def test_user_agents_name_versions(log: list[Row]) -> None:
    agents = {line["user_info_user_agent"] for line in log}
    assert any("app;2.13.1" in agent for agent in agents)
    assert any("weverse;2.9.0" in agent and "app;" not in agent for agent in agents)
    assert any("Chrome/" in agent for agent in agents)


def test_communities_are_visited_by_members_and_by_guests(simulated: Simulated, log: list[Row]) -> None:
    day = "2024-01-01"
    true = pq.read_table(simulated.truth / "members.parquet").to_pylist()
    members = {(row["wv_user_id"], row["comm_id"]) for row in true if row["day"] == day}
    visits = {
        (line["user"], int(line["url"].split("community-")[1].split("/")[0])) in members
        for line in log
        if line["day"] == day and line["user"] and "/v1/community-" in line["url"]
    }
    assert visits == {True, False}


# --- snapshots ----------------------------------------------------------------------------------------------------


def test_every_file_has_the_columns_of_its_contract(simulated: Simulated) -> None:
    contracts = catalog.contracts()
    for path in simulated.summary.files:
        contract = contracts[path.relative_to(simulated.landing).parts[0]]
        found = set(pq.read_schema(path).names) if path.suffix == ".parquet" else read(path)[0].keys()
        assert {column.name for column in contract.columns} <= found


def test_snapshots_grow_from_day_to_day(simulated: Simulated) -> None:
    for source in SNAPSHOTS:
        sizes = list(simulated.counts["rows"][source].values())
        assert sizes[-1] > sizes[0]


def test_snapshots_of_a_day_contain_nothing_of_the_next(simulated: Simulated) -> None:
    for day in simulated.counts["days"]:
        for row in simulated.delivery("we_mart.we_user", day):
            known = [row["wv_leave_dt"], row["wv_first_join_dt"]]
            assert all(simulated.business_day(instant.timestamp() * 1000) <= day for instant in known if instant)
        for row in simulated.delivery("we_mart.ws_fc_user_history", day):
            assert simulated.business_day(row["create_dt"].timestamp() * 1000) <= day


def test_artists_are_fictional_and_one_is_called_artist(simulated: Simulated) -> None:
    artists = simulated.delivery("we_mart.we_artist", "2024-01-04")
    names = Counter(row["we_art_name"] for row in artists)
    assert names["ARTIST"] == 1
    assert set(names.values()) == {1}
    assert sum(row["comm_id"] is None for row in artists) == 1


def test_accounts_and_users_of_the_log_have_different_ids(simulated: Simulated, log: list[Row]) -> None:
    accounts = simulated.delivery("we_mart.we_user", "2024-01-04")
    users = {row["wv_user_id"] for row in accounts}
    assert not users & {row["we_member_id"] for row in accounts}
    logged = {line["user"] for line in log if line["user"]}
    assert logged & users
    assert logged - users, "some users have no account row"
    assert None in users, "some accounts are of other services only"
    assert {"KR", "US"} <= {row["ctry_code"] for row in accounts}


def test_ids_fit_into_32_bits_except_the_counted_one(simulated: Simulated) -> None:
    wide: Counter[tuple[str, str]] = Counter()
    for source in SNAPSHOTS:
        for day in simulated.counts["days"]:
            rows = simulated.delivery(source, day)
            wide[source, day] += sum(any(isinstance(v, int) and v >= 2**31 for v in row.values()) for row in rows)
    assert {key: count for key, count in wide.items() if count} == {("we_mart.we_user", "2024-01-01"): 1}


# --- oddities -----------------------------------------------------------------------------------------------------


def test_lines_come_in_several_formats(simulated: Simulated) -> None:
    names = {path.name for path in simulated.landing.glob(f"{LOG}/*/*")}
    assert names == {"lines.parquet", "partner.csv", "retry.jsonl.gz", "late.parquet"}
    snapshots = {"".join(path.suffixes) for source in SNAPSHOTS for path in simulated.landing.glob(f"{source}/*/*")}
    assert snapshots == {".parquet", ".csv.gz", ".jsonl"}


def test_a_daily_file_spans_two_business_days(simulated: Simulated) -> None:
    lines = read(simulated.landing / LOG / "date=2024-01-01" / "lines.parquet")
    days = {simulated.business_day(line["unix_log_timestamp"]) for line in lines if line["unix_log_timestamp"]}
    assert days == {"2024-01-01", "2024-01-02"}


def test_late_lines_are_in_the_folder_of_another_date(simulated: Simulated) -> None:
    [late] = [flaw for flaw in simulated.counts["late"] if flaw["source"] == LOG]
    lines = read(simulated.landing / LOG / f"date={late['folder']}" / "late.parquet")
    assert late["rows"] == len(lines) > 0
    assert {simulated.business_day(line["unix_log_timestamp"]) for line in lines} == {"2024-01-01"}
    assert late["folder"] == "2024-01-04"


def test_broken_rows_occur_and_are_counted(simulated: Simulated) -> None:
    counts = simulated.counts
    broken = {(flaw["source"], flaw["reason"]): flaw for flaw in counts["broken"]}
    assert len(broken) == len(counts["broken"]) == 5

    nulls = broken[LOG, "unix_log_timestamp is NULL"]
    lines = simulated.delivery(LOG, nulls["folder"])
    assert sum(line["unix_log_timestamp"] is None for line in lines) == nulls["rows"] == 3

    for source, key in (("we_mart.we_user", "we_member_id"), ("we_mart.wv_user_ctry_history", "wv_user_id")):
        wide = broken[source, f"{key} is over 32 bits"]
        rows = simulated.delivery(source, wide["folder"])
        assert sum(row[key] >= 2**31 for row in rows) == wide["rows"] == 1

    for source in ("weverse2.community_content_post", "weverse2.notification_push_config"):
        twice = broken[source, "key of another row"]
        rows = simulated.delivery(source, twice["folder"])
        keys = {tuple(row[column] for column in catalog.contracts()[source].key) for row in rows}
        assert len(rows) - len(keys) == twice["rows"] == 1
        assert len({tuple(row.values()) for row in rows}) == len(rows)


@pytest.mark.parametrize("config", [SimulatorConfig(), SimulatorConfig(days=1, lines_per_day=500)])
def test_few_rows_of_a_delivery_are_broken(config: SimulatorConfig, tmp_path: Path) -> None:
    simulate(config, tmp_path / "landing", tmp_path / "truth")
    counts = counts_in(tmp_path / "truth")
    broken: Counter[tuple[str, str]] = Counter()
    for flaw in counts["broken"]:
        broken[flaw["source"], flaw["folder"]] += flaw["rows"]
    assert broken
    for (source, folder), rows in broken.items():
        assert rows < 0.005 * counts["rows"][source][folder]


def test_some_rows_occur_twice(simulated: Simulated) -> None:
    flaws = simulated.counts["exact_duplicates"]
    assert {flaw["source"] for flaw in flaws} == {
        "weverse2.community_log_v_member_migration",
        "weverse2.community_log_member_status_log",
    }
    for flaw in flaws:
        rows = simulated.delivery(flaw["source"], flaw["folder"])
        keys = {tuple(row[column] for column in catalog.contracts()[flaw["source"]].key) for row in rows}
        assert len({tuple(row.values()) for row in rows}) == len(keys) == len(rows) - 3
        assert flaw["rows"] == 3


def test_some_deliveries_are_skipped_but_not_the_first(simulated: Simulated) -> None:
    skipped = {(flaw["source"], flaw["folder"]) for flaw in simulated.counts["skipped"]}
    daily = {path.name for path in simulated.landing.iterdir()} - {
        "we_mart.wv1_join_info",
        "we_meta.v_to_wv_comm_mapping",
    }
    missing = {
        (source, day) for source in daily for day in simulated.counts["days"] if not simulated.delivery(source, day)
    }
    assert missing == skipped
    assert len(skipped) == 2
    assert {day for _, day in skipped} == {"2024-01-03"}


def test_lines_from_before_the_first_day_are_counted(simulated: Simulated) -> None:
    early = [
        line["unix_log_timestamp"]
        for path in simulated.landing.glob(f"{LOG}/*/*.parquet")
        for line in read(path)
        if line["unix_log_timestamp"] and simulated.business_day(line["unix_log_timestamp"]) < "2024-01-01"
    ]
    flaws = simulated.counts["before_first_day"]
    assert len(early) == sum(flaw["rows"] for flaw in flaws) == 3
    midnight = datetime(2024, 1, 1, tzinfo=ZoneInfo("Asia/Seoul")).timestamp() * 1000
    assert max(early) == midnight - 1


def test_without_oddities_deliveries_have_no_flaws(tmp_path: Path) -> None:
    config = SimulatorConfig(days=3, lines_per_day=500, oddities=False)
    simulate(config, tmp_path / "landing", tmp_path / "truth")
    assert {path.suffix for path in (tmp_path / "landing").glob("*/*/*")} == {".parquet"}
    counts = counts_in(tmp_path / "truth")
    for flaws in ("broken", "exact_duplicates", "skipped", "before_first_day", "late"):
        assert counts[flaws] == []


def test_progress_is_reported_day_by_day(tmp_path: Path) -> None:
    told: list[str] = []
    simulate(SimulatorConfig(days=2, lines_per_day=500), tmp_path / "landing", tmp_path / "truth", told.append)
    assert [line.split(":")[0] for line in told] == ["2024-01-01", "2024-01-02"]
