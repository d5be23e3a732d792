"""The order of runs, and how `wemart run` plans what the user asks for."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from wemart_assets import catalog
from wemart_assets.automation.by_hand import CannotBeRun, Graph, Plan, plan_by_hand
from wemart_assets.automation.planning import Published, affected, in_order
from wemart_assets.lake.days import Period, days_between, period_days
from wemart_assets.lake.table import Table
from wemart_assets.settings import Settings

SETTINGS = Settings().for_tables()
MARTS = {name: declared.resolve(SETTINGS) for name, declared in catalog.marts().items()}
DAYS = days_between("2024-01-01", "2024-04-10")
SOURCES = {name: table for name, table in catalog.tables().items() if name not in MARTS}
PARTITIONS = {
    Period.DAY: DAYS,
    Period.WEEK: [day for day in DAYS[::7] if period_days(day, Period.WEEK)[-1] <= DAYS[-1]],
    Period.MONTH: ["2024-01-01", "2024-02-01", "2024-03-01"],
}
EVENTS, USERS, FUNNEL = "core.fact__events", "core.dim__users", "activation.activation_funnel_daily"
FIRSTS = "activation.fact__first_activation_events"
MEMBERS, BASE, UPDATE = "we_mart.wv_comm_user", "we_mart.wv_comm_user_base", "we_mart.wv_comm_user_update"
BY_WEEK, VIEW = "we_mart.stats_wv_w_comm_engage_usr", "igaworks.hard_retention_by_dates_wide"


@pytest.mark.parametrize("seed", range(25))
def test_partitions_run_before_the_partitions_that_read_them(seed: int) -> None:
    chance = random.Random(seed)
    sources = chance.sample(sorted(SOURCES), chance.randint(1, 6))
    todo = affected({name: set(chance.sample(DAYS, chance.randint(1, 12))) for name in sources}, MARTS, DAYS)
    runs = in_order({n: k for n, k in todo.items() if n not in MARTS or _is_daily(n)}, MARTS, set(DAYS), Period.DAY)
    run_of = {(name, day): number for number, run in enumerate(runs) for name in run.tables for day in run.days}
    assert len(run_of) == sum(len(run.tables) * len(run.days) for run in runs), "each partition once"
    for (name, day), number in run_of.items():
        if name not in MARTS:
            continue
        for given in MARTS[name].inputs.values():
            for read in given.days([day], MARTS[name].table, DAYS[0]):
                assert run_of.get((given.table.full_name, read), -1) <= number, (name, day, given.table.full_name, read)


def _is_daily(name: str) -> bool:
    return MARTS[name].table.period is Period.DAY


def test_a_table_that_reads_only_the_next_day_runs_after_it() -> None:
    settings = Settings(funnel_days=1).for_tables()
    marts = {name: declared.resolve(settings) for name, declared in catalog.marts().items()}
    todo = affected({"igaworks.event": {"2024-02-02"}}, {"igaworks.hard_funnel": marts["igaworks.hard_funnel"]}, DAYS)
    made = [(list(run.days), set(run.tables)) for run in in_order(todo, marts, set(DAYS), Period.DAY)]
    assert made == [(["2024-02-02"], {"igaworks.event"}), (["2024-02-01", "2024-02-02"], {"igaworks.hard_funnel"})]


class FakeSession:
    """A session whose tables are published up to a day."""

    def __init__(self, last: str) -> None:
        self.last = last

    def published(self, table: Table, days: Sequence[str]) -> set[str]:
        return {day for day in days if table.only_partition or period_days(day, table.period)[-1] <= self.last}


def plan(
    *names: str, first: str | None = None, last: str | None = None, there: str = "2024-02-10", **how: bool
) -> Plan:
    graph = Graph(MARTS, SOURCES, frozenset(), catalog.views().keys(), PARTITIONS)
    published = Published(FakeSession(there), PARTITIONS)
    return plan_by_hand(graph, names, first, last, published, **how)


def runs(*names: str, **how: object) -> list[tuple[list[str], set[str]]]:
    return [(list(request.days), set(request.tables)) for request in plan(*names, **how).requests]


def days_of(made: list[tuple[list[str], set[str]]], table: str) -> list[str]:
    return sorted(day for days, tables in made for day in days if table in tables)


def test_a_table_is_run_up_to_its_latest_published_day() -> None:
    assert runs("we_mart/wv_sess_daily", first="2024-02-08") == [
        (["2024-02-08", "2024-02-09", "2024-02-10"], {"we_mart.wv_sess_daily"})
    ]


def test_a_day_that_was_never_published_is_run_alone() -> None:
    assert days_of(runs("we_mart.wv_sess_daily", first="2024-03-05"), "we_mart.wv_sess_daily") == ["2024-03-05"]


def test_downstream_tables_run_for_every_day_that_they_have_published() -> None:
    made = runs("core/fact__events", first="2024-02-05", last="2024-02-06", downstream=True)
    assert days_of(made, EVENTS) == ["2024-02-05", "2024-02-06"]
    assert days_of(made, USERS) == days_of(made, FIRSTS) == days_between("2024-02-05", "2024-02-10")
    assert days_of(made, FUNNEL) == days_between("2024-01-30", "2024-02-10")
    assert made[-1][1] == {FUNNEL}, "it reads days after its own"


def test_a_table_that_reads_the_previous_day_also_runs_for_the_next_day() -> None:
    made = runs(MEMBERS, first="2024-02-05", last="2024-02-05", downstream=True)
    assert days_of(made, UPDATE) == ["2024-02-05", "2024-02-06"]


def test_weeks_run_on_request_and_after_a_change_to_their_days() -> None:
    made = runs(MEMBERS, first="2024-02-04", last="2024-02-04", downstream=True)
    assert days_of(made, BY_WEEK) == ["2024-01-29"]
    assert made[-1][0] == ["2024-01-29"]
    assert runs(BY_WEEK, first="2024-02-01", last="2024-02-06") == [(["2024-01-29", "2024-02-05"], {BY_WEEK})]


def test_an_unfinished_week_is_reported_and_not_run() -> None:
    found = plan(BY_WEEK, first="2024-04-05", last="2024-04-09")
    assert [list(request.days) for request in found.requests] == [["2024-04-01"]]
    assert "the week of 2024-04-08 is not over" in found.remarks[0]


def test_upstream_tables_run_for_the_same_days_and_where_they_are_missing() -> None:
    made = runs("we_mart/wv_sess_daily", first="2024-02-12", there="2024-02-10", upstream=True)
    assert days_of(made, "service_log.weverse_server_log") == ["2024-02-12"]
    assert days_of(made, BASE) == ["2024-02-11", "2024-02-12"]
    assert made[0][0] == ["2024-02-11"]


def test_a_long_range_runs_at_most_31_days_at_a_time() -> None:
    made = runs(BASE, first="2024-01-01", last="2024-03-10")
    assert [len(days) for days, _ in made] == [31, 31, 8]


def test_a_table_without_days_needs_no_range() -> None:
    assert runs("igaworks/event__date_unknown") == [(["unknown"], {"igaworks.event__date_unknown"})]


def test_a_view_needs_no_run() -> None:
    found = plan(VIEW)
    assert (found.requests, "is a view" in found.remarks[0]) == ([], True)


@pytest.mark.parametrize(
    ("names", "days", "said"),
    [
        (["we_mart/wv_sess_dayly"], ("2024-02-01", None), "did you mean we_mart/wv_sess_daily"),
        (["wv_sess_daily"], ("2024-02-01", None), "did you mean we_mart/wv_sess_daily"),
        (["qqqqqq"], ("2024-02-01", None), "wemart tables"),
        ([MEMBERS], (None, None), "--from"),
        ([MEMBERS], ("2023-12-31", None), "2024-01-01 (WEMART_FIRST_DAY)"),
        ([MEMBERS], ("2024-04-11", None), "2024-04-10 is the last day that is over"),
        ([MEMBERS], ("2024-02-01", "2024-05-01"), "there is no partition 2024-05-01"),
        ([MEMBERS], ("2024-02-02", "2024-02-01"), "is before"),
    ],
)
def test_the_error_suggests_what_can_be_run(names: list[str], days: tuple[str | None, str | None], said: str) -> None:
    with pytest.raises(CannotBeRun) as error:
        plan(*names, first=days[0], last=days[1])
    assert said in str(error.value)
