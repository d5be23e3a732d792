"""The audit stands between staged rows and what readers see."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import pytest

from wemart_assets.lake.audit import EXAMPLES, Finding, audit, checks_of
from wemart_assets.lake.errors import DeclarationError
from wemart_assets.lake.publication import Publication, RejectedByAudit, publish, stage
from wemart_assets.lake.session import Session
from wemart_assets.lake.table import (
    RUN_TIMESTAMP,
    Measure,
    RowCheck,
    Severity,
    Table,
    TableCheck,
    at_least,
    column,
    one_of,
)
from wemart_assets.lake.volume import volume_check

Row = Mapping[str, Any]
Given = Callable[[Session, Table, Sequence[Row]], ir.Table]
Write = Callable[..., int]
Read = Callable[..., list[dict[str, Any]]]
Hashes = Callable[[Path, Table], dict[str, str]]
Publish = Callable[..., Publication]

D1, D2, D3 = "2024-03-01", "2024-03-02", "2024-03-03"

ORDERS = Table(
    database="db",
    name="orders",
    description="One row per order.",
    grain=("id", "shop"),
    columns=(
        column("id", "bigint", "order", nullable=False),
        column("shop", "string", "where", one_of("web", "app")),
        column("amount", "bigint", "what it cost", at_least(0)),
        column("part_date", "string", "business day", nullable=False),
        RUN_TIMESTAMP,
    ),
)


def orders(day: str, *ids: int, **values: Any) -> list[Row]:
    return [{"id": n, "shop": "web", "amount": 10, "part_date": day, **values} for n in ids]


def with_row_check(holds: Callable[..., Any], severity: Severity = Severity.ERROR) -> Table:
    return replace(ORDERS, row_checks=(RowCheck("the_row_check", "what the row check demands", holds, severity),))


def with_table_check(broken: Callable[..., Any], severity: Severity = Severity.ERROR) -> Table:
    return replace(
        ORDERS, table_checks=(TableCheck("the_table_check", "what the table check demands", broken, severity),)
    )


def finding(found: Publication | RejectedByAudit, check: str) -> Finding:
    [one] = [f for f in found.findings if f.check.name == check]
    return one


@pytest.fixture
def run(session: Session, given: Given, now: dt.datetime) -> Publish:
    """Publishes these rows through the public `publish`."""

    def run(
        table: Table,
        days: Sequence[str],
        rows: Sequence[Row],
        inputs: Mapping[str, ir.Table] | None = None,
        settings: Mapping[str, Any] | None = None,
        before: Callable[[], object] = lambda: None,
    ) -> Publication:
        def compute() -> tuple[ir.Table, Mapping[str, ir.Table]]:
            return given(session, table, rows), inputs or {}

        return publish(session, table, days, compute, settings or {}, now, before)

    return run


# What an ERROR does


def test_a_failed_check_keeps_the_published_partition_and_leaves_nothing_staged(
    session: Session, run: Publish, read: Read, lake: Path, data_files: Hashes
) -> None:
    run(ORDERS, [D1], orders(D1, 1, 2))
    files = data_files(lake, ORDERS)
    with pytest.raises(RejectedByAudit):
        run(ORDERS, [D1], orders(D1, 3) + orders(D1, 4, amount=-1))
    assert read(session, ORDERS) == orders(D1, 1, 2)
    assert data_files(lake, ORDERS) == files


def test_a_rejected_first_publication_leaves_no_table_behind(
    session: Session, run: Publish, lake: Path, data_files: Hashes
) -> None:
    with pytest.raises(RejectedByAudit):
        run(ORDERS, [D1], orders(D1, 1, amount=-1))
    assert session.published(ORDERS, [D1]) == set()
    assert data_files(lake, ORDERS) == {}


def test_the_message_names_table_day_check_rows_and_the_next_step(run: Publish) -> None:
    with pytest.raises(RejectedByAudit) as rejected:
        run(ORDERS, [D1], orders(D1, 1) + orders(D1, 77, amount=-5))
    message = str(rejected.value)
    assert f"db.orders: {D1} was not published; readers keep what they had" in message
    assert re.search(
        rf"domains \(shop: one of web, app; amount: at least 0\): 1 row breaks it, by day: {D1} \(1\)", message
    )
    assert "'id': 77" in message
    assert "'amount': -5" in message
    assert "run the partition again" in message


def test_the_message_of_a_table_check_names_the_inputs_that_it_compares(
    session: Session, run: Publish, given: Given
) -> None:
    more = with_table_check(lambda staged, stock: staged.anti_join(stock, "id"))
    inputs = {"stock": given(session, ORDERS, orders(D1, 1)), "shops": given(session, ORDERS, [])}
    with pytest.raises(RejectedByAudit, match=r"compared with stock as published. .* run it first"):
        run(more, [D1], orders(D1, 1, 2), inputs=inputs)
    with pytest.raises(RejectedByAudit) as of_a_value_check:
        run(more, [D1], orders(D1, 1, amount=-1), inputs=inputs)
    assert "compared" not in str(of_a_value_check.value)


def test_every_failed_check_is_found_in_one_run(run: Publish) -> None:
    table = replace(
        with_row_check(lambda t: t.amount < 100),
        table_checks=with_table_check(lambda staged: staged.limit(1)).table_checks,
    )
    with pytest.raises(RejectedByAudit) as rejected:
        run(table, [D1], orders(D1, 1, 1, amount=200) + orders(D1, 2, shop="mail") + [{"id": None, "part_date": D1}])
    broken = {f.check.name for f in rejected.value.findings if not f.passed}
    assert broken == {"not_null", "grain_is_unique", "domains", "the_row_check", "the_table_check"}
    assert all(f"  {name} (" in str(rejected.value) for name in broken)


def test_one_bad_day_stops_the_whole_range_and_is_named(
    session: Session, run: Publish, read: Read, lake: Path, data_files: Hashes
) -> None:
    run(ORDERS, [D1, D2], orders(D1, 1) + orders(D2, 2))
    files = data_files(lake, ORDERS)
    with pytest.raises(RejectedByAudit) as rejected:
        run(ORDERS, [D1, D2, D3], orders(D1, 10) + orders(D2, 20, 21, amount=-1) + orders(D3, 30))
    assert finding(rejected.value, "domains").bad_days == {D2: 2}
    assert f"by day: {D2} (2)" in str(rejected.value)
    assert read(session, ORDERS) == orders(D1, 1) + orders(D2, 2)
    assert session.published(ORDERS, [D1, D2, D3]) == {D1, D2}
    assert data_files(lake, ORDERS) == files


def test_the_next_run_after_a_rejected_one_publishes(session: Session, run: Publish, read: Read) -> None:
    with pytest.raises(RejectedByAudit):
        run(ORDERS, [D1], orders(D1, 1, amount=-1))
    run(ORDERS, [D1], orders(D1, 1))
    assert read(session, ORDERS) == orders(D1, 1)


# What a WARN does


@pytest.mark.parametrize(
    "table",
    [
        with_row_check(lambda t: t.amount < 5, Severity.WARN),
        with_table_check(lambda staged: staged.filter(staged.amount >= 5), Severity.WARN),
    ],
    ids=["row check", "table check"],
)
def test_a_failed_warning_is_reported_and_the_rows_are_published(
    session: Session, run: Publish, read: Read, table: Table
) -> None:
    published = run(table, [D1], orders(D1, 1, 2))
    [broken] = [f for f in published.findings if not f.passed]
    assert (broken.check.severity, broken.bad_rows, broken.bad_days) == (Severity.WARN, 2, {D1: 2})
    assert read(session, table) == orders(D1, 1, 2)


def test_warnings_are_not_part_of_an_error_message(run: Publish) -> None:
    with pytest.raises(RejectedByAudit) as rejected:
        run(with_row_check(lambda t: t.amount > 100, Severity.WARN), [D1], orders(D1, 1, amount=-1))
    assert "the_row_check" not in str(rejected.value)
    assert not finding(rejected.value, "the_row_check").passed


def test_a_day_without_rows_is_published_with_a_warning(session: Session, run: Publish) -> None:
    published = run(ORDERS, [D1, D2, D3], orders(D2, 1))
    found = finding(published, "has_rows")
    assert not found.passed
    assert set(found.bad_days or {}) == {D1, D3}
    assert found.detail == f"no rows on {D1}, {D3}"
    assert session.published(ORDERS, [D1, D2, D3]) == {D1, D2, D3}


# NULL


def test_the_grain_check_counts_every_row_that_shares_a_key(run: Publish) -> None:
    with pytest.raises(RejectedByAudit, match=rf"grain_is_unique .*: 5 rows break it, by day: {D1} \(5\)") as rejected:
        run(ORDERS, [D1], orders(D1, 1, 1, 1, 2, 2, 3))
    assert finding(rejected.value, "grain_is_unique").bad_rows == 5


def test_null_passes_the_value_checks_of_its_column(run: Publish) -> None:
    published = run(ORDERS, [D1], orders(D1, 1, amount=None, shop=None))
    assert all(f.passed for f in published.findings)


def test_null_does_not_hide_a_bad_value_in_another_column(run: Publish) -> None:
    with pytest.raises(RejectedByAudit) as rejected:
        run(ORDERS, [D1], orders(D1, 1, shop=None, amount=-1) + orders(D1, 2, shop="mail", amount=None))
    assert finding(rejected.value, "domains").bad_rows == 2


def test_a_row_check_that_returns_null_fails(run: Publish) -> None:
    with pytest.raises(RejectedByAudit) as rejected:
        run(with_row_check(lambda t: t.amount < 100), [D1], orders(D1, 1) + orders(D1, 2, amount=None))
    found = finding(rejected.value, "the_row_check")
    assert found.bad_rows == 1
    assert found.examples[0]["id"] == 2


def test_a_row_check_that_handles_null_passes(run: Publish) -> None:
    published = run(with_row_check(lambda t: t.amount.isnull() | (t.amount < 100)), [D1], orders(D1, 1, amount=None))
    assert finding(published, "the_row_check").passed


def test_null_counts_as_a_value_of_the_grain(run: Publish) -> None:
    with pytest.raises(RejectedByAudit) as rejected:
        run(ORDERS, [D1], orders(D1, 1, 1, shop=None) + orders(D1, 1))
    assert finding(rejected.value, "grain_is_unique").bad_days == {D1: 2}


def test_the_grain_is_unique_within_a_day(run: Publish) -> None:
    published = run(ORDERS, [D1, D2], orders(D1, 1) + orders(D2, 1))
    assert finding(published, "grain_is_unique").passed


def test_equal_rows_are_allowed_in_a_table_without_a_grain(session: Session, run: Publish, read: Read) -> None:
    run(replace(ORDERS, grain=()), [D1], orders(D1, 1, 1))
    assert read(session, ORDERS) == orders(D1, 1, 1)


# Examples and findings


def test_the_number_of_examples_is_bounded_but_the_count_is_exact(run: Publish) -> None:
    with pytest.raises(RejectedByAudit) as rejected:
        run(ORDERS, [D1, D2], orders(D1, *range(300), amount=-1) + orders(D2, *range(200), amount=-1))
    found = finding(rejected.value, "domains")
    assert found.bad_rows == 500
    assert found.bad_days == {D1: 300, D2: 200}
    assert len(found.examples) == EXAMPLES
    assert str(rejected.value).count("'amount': -1") == 2
    assert len(str(rejected.value)) < 2000


def test_the_examples_are_rows_that_break_the_check(run: Publish) -> None:
    with pytest.raises(RejectedByAudit) as rejected:
        run(ORDERS, [D1], orders(D1, *range(50)) + orders(D1, 99, shop="mail"))
    assert [row["id"] for row in finding(rejected.value, "domains").examples] == [99]


def test_the_example_of_a_repeated_key_says_how_often_it_occurs(run: Publish) -> None:
    with pytest.raises(RejectedByAudit) as rejected:
        run(ORDERS, [D1], orders(D1, 1, 2, 2, 2))
    assert finding(rejected.value, "grain_is_unique").examples == (
        {"id": 2, "shop": "web", "part_date": D1, "rows": 3},
    )


def test_a_table_check_shows_the_columns_that_it_returns(run: Publish) -> None:
    def days_over(staged: ir.Table) -> ir.Table:
        return staged.group_by("part_date").aggregate(total=staged.amount.sum()).filter(ibis._.total > 15)

    with pytest.raises(RejectedByAudit) as rejected:
        run(with_table_check(days_over), [D1, D2], orders(D1, 1) + orders(D2, 1, 2))
    assert finding(rejected.value, "the_table_check").examples == ({"part_date": D2, "total": 20},)


def test_findings_come_in_the_order_in_which_checks_are_shown(run: Publish) -> None:
    table = replace(
        with_row_check(lambda t: t.amount < 100, Severity.WARN),
        table_checks=with_table_check(lambda staged: staged.limit(0)).table_checks,
    )
    names = ["schema", "not_null", "grain_is_unique", "domains", "the_row_check", "the_table_check", "has_rows"]
    assert [spec.name for spec in checks_of(table)] == names
    assert [f.check.name for f in run(table, [D1], orders(D1, 1)).findings] == names


def test_a_publication_reports_what_was_published(run: Publish, lake: Path, now: dt.datetime) -> None:
    first = run(ORDERS, [D1], orders(D1, 1))
    second = run(ORDERS, [D1, D2], orders(D1, 1, 2))
    assert second.version == first.version + 1
    assert second.rows == {D1: 2, D2: 0}
    assert second.bytes[D2] == 0
    sizes = {file.stat().st_size for file in (lake / "db" / "orders" / f"part_date={D1}").iterdir()}
    assert second.bytes[D1] in sizes
    assert sorted(row["id"] for row in second.preview) == [1, 2]
    assert {row["run_timestamp"] for row in second.preview} == {now}


def test_the_preview_is_short(run: Publish) -> None:
    assert len(run(ORDERS, [D1], orders(D1, *range(100))).preview) == 5


# Arguments of checks


def test_a_row_check_receives_settings_and_the_days_of_the_run(run: Publish) -> None:
    table = with_row_check(lambda t, most, days: (t.amount <= most) & t.part_date.isin(list(days)))
    assert finding(run(table, [D1], orders(D1, 1), settings={"most": 10}), "the_row_check").passed
    with pytest.raises(RejectedByAudit):
        run(table, [D1], orders(D1, 1), settings={"most": 9})


def test_a_table_check_receives_the_inputs_by_name(session: Session, run: Publish, given: Given) -> None:
    table = with_table_check(lambda staged, sold: staged.anti_join(sold, "id"))
    sold = given(session, ORDERS, orders(D1, 1))
    assert finding(run(table, [D1], orders(D1, 1), inputs={"sold": sold}), "the_table_check").passed
    with pytest.raises(RejectedByAudit) as rejected:
        run(table, [D1], orders(D1, 1, 2), inputs={"sold": sold})
    assert [row["id"] for row in finding(rejected.value, "the_table_check").examples] == [2]


def test_a_table_check_sees_only_published_days_outside_the_run(run: Publish) -> None:
    table = with_table_check(lambda staged, published: staged.semi_join(published, "id"))
    run(table, [D1, D2], orders(D1, 1) + orders(D2, 2))
    assert finding(run(table, [D1], orders(D1, 1)), "the_table_check").passed
    with pytest.raises(RejectedByAudit) as rejected:
        run(table, [D1], orders(D1, 2))
    assert [row["id"] for row in finding(rejected.value, "the_table_check").examples] == [2]


def test_on_the_first_publication_a_table_check_sees_no_published_rows(run: Publish) -> None:
    table = with_table_check(lambda staged, published: staged.semi_join(published, "part_date"))
    assert finding(run(table, [D1], orders(D1, 1)), "the_table_check").passed


def test_published_rows_are_not_read_unless_a_table_check_asks_for_them(run: Publish, lake: Path) -> None:
    run(ORDERS, [D1], orders(D1, 1))
    for file in (lake / "db" / "orders").rglob("*.parquet"):
        file.write_bytes(b"no longer readable")
    run(with_table_check(lambda staged: staged.limit(0)), [D2], orders(D2, 2))


def test_a_table_check_may_compare_staged_with_published_days(run: Publish) -> None:
    """The check compares the staged day with the published day before it."""

    def shrunk(staged: ir.Table, published: ir.Table) -> ir.Table:
        today = staged.group_by("part_date").aggregate(rows=staged.count())
        return today.filter(today.rows < published.count())

    run(with_table_check(shrunk), [D1], orders(D1, 1, 2))
    with pytest.raises(RejectedByAudit):
        run(with_table_check(shrunk), [D2], orders(D2, 1))
    run(with_table_check(shrunk), [D2], orders(D2, 1, 2))


def test_measures_are_reported_without_a_verdict(session: Session, run: Publish, given: Given) -> None:
    table = replace(
        ORDERS,
        measures=(
            Measure("sold", lambda sold: sold.count()),
            Measure("largest", lambda staged: staged.amount.max()),
        ),
    )
    sold = given(session, ORDERS, orders(D1, 1, 2, 3))
    assert run(table, [D1], orders(D1, 1), inputs={"sold": sold}).measures == {"sold": 3, "largest": 10}


# Mistakes in a declaration are not failures of the data


def crash(*_: Any) -> Any:
    raise ZeroDivisionError("a bug of the check")


@pytest.mark.parametrize(
    ("table", "name"),
    [
        (with_row_check(lambda t: crash(t)), "the_row_check"),
        (with_row_check(lambda t: t.no_such_column > 1), "the_row_check"),
        (with_row_check(lambda t: t.shop.cast("int64") > 1), "the_row_check"),
        (with_row_check(lambda t, no_such_setting: t.amount > 1), "the_row_check"),
        (with_row_check(lambda t: crash(t), Severity.WARN), "the_row_check"),
        (with_table_check(lambda staged: crash(staged)), "the_table_check"),
        (with_table_check(lambda staged, no_such_input: staged), "the_table_check"),
        (with_table_check(lambda staged: staged.filter(staged.shop.cast("int64") > 1)), "the_table_check"),
        (with_table_check(lambda staged: staged.select("id")), "the_table_check"),
        (with_table_check(lambda staged: staged.aggregate(rows=staged.count())), "the_table_check"),
    ],
    ids=[
        "row check raises",
        "row check reads an unknown column",
        "row check fails on a value",
        "row check takes an unknown setting",
        "warning raises",
        "table check raises",
        "table check takes an unknown input",
        "table check fails on a value",
        "table check returns no day",
        "table check returns only a number",
    ],
)
def test_a_check_that_cannot_run_is_a_declaration_error(
    session: Session, run: Publish, read: Read, lake: Path, data_files: Hashes, table: Table, name: str
) -> None:
    run(ORDERS, [D1], orders(D1, 1))
    files = data_files(lake, ORDERS)
    with pytest.raises(DeclarationError, match=rf"db.orders: .*'{name}'"):
        run(table, [D1], orders(D1, 2))
    assert read(session, ORDERS) == orders(D1, 1)
    assert data_files(lake, ORDERS) == files


@pytest.mark.parametrize("name", ["schema", "not_null", "grain_is_unique", "has_rows", "domains"])
def test_a_row_check_cannot_take_the_name_of_another_check(name: str) -> None:
    """One of the two would never be evaluated."""
    with pytest.raises(DeclarationError, match=name):
        replace(ORDERS, row_checks=(RowCheck(name, "a second one", lambda t: t.amount < 5),))


def test_a_missing_declared_column_is_named(
    session: Session, given: Given, now: dt.datetime, lake: Path, data_files: Hashes
) -> None:
    rows = given(session, ORDERS, orders(D1, 1)).drop("shop", "amount")
    with pytest.raises(DeclarationError, match=r"db.orders: the function's result lacks \['shop', 'amount'\]"):
        publish(session, ORDERS, [D1], lambda: (rows, {}), {}, now)
    assert data_files(lake, ORDERS) == {}


def test_undeclared_columns_are_dropped_and_the_others_reordered(
    session: Session, given: Given, now: dt.datetime, read: Read
) -> None:
    rows = given(session, ORDERS, orders(D1, 1)).mutate(more=ibis.literal(1), amount=ibis.literal("12"))
    rows = rows.select("more", "part_date", "amount", "shop", "id")
    publish(session, ORDERS, [D1], lambda: (rows, {}), {}, now)
    assert read(session, ORDERS) == orders(D1, 1, amount=12)
    assert session.read(ORDERS).columns == ("id", "shop", "amount", "part_date", "run_timestamp")


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (lambda rows: rows.rename(total="amount"), "total"),
        (lambda rows: rows.mutate(more=ibis.literal(1)), "more"),
        (lambda rows: rows.select("shop", "id", "amount", "part_date", "run_timestamp"), "shop"),
        (lambda rows: rows.mutate(amount=rows.amount.cast("string")), "amount"),
    ],
    ids=["another name", "one more", "another order", "another type"],
)
def test_staged_columns_that_differ_from_the_declaration_fail_the_schema_check(
    session: Session, given: Given, now: dt.datetime, other: Callable[[ir.Table], ir.Table], named: str
) -> None:
    plain = replace(ORDERS, columns=tuple(replace(c, checks=()) for c in ORDERS.columns))
    staged = stage(session, plain, given(session, plain, orders(D1, 1)), [D1], session.baseline(plain, [D1]), now)
    found = audit(replace(staged, rows=other(staged.rows)), lambda: session.read(plain), {}, {})
    broken = [f for f in found if not f.passed]
    assert [f.check.name for f in broken] == ["schema"]
    assert named in broken[0].detail


# Between the audit and the commit


def test_the_before_commit_hook_is_called_once_after_the_audit(session: Session, run: Publish) -> None:
    called: list[set[str]] = []
    run(ORDERS, [D1], orders(D1, 1), before=lambda: called.append(session.published(ORDERS, [D1])))
    assert called == [set()]


def test_the_before_commit_hook_is_not_called_if_the_audit_fails(run: Publish) -> None:
    called: list[int] = []
    with pytest.raises(RejectedByAudit):
        run(ORDERS, [D1], orders(D1, 1, amount=-1), before=lambda: called.append(1))
    assert called == []


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_before_the_commit_publishes_nothing_and_leaves_no_files(
    session: Session, run: Publish, read: Read, lake: Path, data_files: Hashes, error: type[BaseException]
) -> None:
    run(ORDERS, [D1], orders(D1, 1))
    files = data_files(lake, ORDERS)

    def fail() -> None:
        raise error("cut off")

    with pytest.raises(error, match="cut off"):
        run(ORDERS, [D1], orders(D1, 2), before=fail)
    assert read(session, ORDERS) == orders(D1, 1)
    assert data_files(lake, ORDERS) == files


def test_a_failure_while_computing_publishes_nothing(
    session: Session, run: Publish, now: dt.datetime, read: Read
) -> None:
    run(ORDERS, [D1], orders(D1, 1))

    def compute() -> tuple[ir.Table, Mapping[str, ir.Table]]:
        raise RuntimeError("no input")

    with pytest.raises(RuntimeError, match="no input"):
        publish(session, ORDERS, [D1], compute, {}, now)
    assert read(session, ORDERS) == orders(D1, 1)


# The volume check

DAILY = replace(ORDERS, table_checks=(volume_check(),))


def volume(published: Publication) -> Mapping[str, int] | None:
    return finding(published, "volume").bad_days


@pytest.mark.parametrize(
    ("rows", "within"),
    [(4, False), (5, True), (10, True), (20, True), (21, False)],
    ids=["less than half", "half", "the same", "double", "more than double"],
)
def test_volume_must_be_between_half_and_double_of_the_previous_mean(
    session: Session, write: Write, run: Publish, rows: int, within: bool
) -> None:
    write(
        session, DAILY, ["2024-02-28", "2024-02-29"], orders("2024-02-28", *range(8)) + orders("2024-02-29", *range(12))
    )
    published = run(DAILY, [D1], orders(D1, *range(rows)))
    assert finding(published, "volume").passed is within
    assert finding(published, "volume").check.severity is Severity.WARN


def test_the_first_day_has_no_volume_to_compare_with(run: Publish) -> None:
    assert finding(run(DAILY, [D1], orders(D1, 1)), "volume").passed


def test_volume_is_compared_with_the_seven_previous_days_only(session: Session, write: Write, run: Publish) -> None:
    # The eighth day before, the day's own published rows, and the day after do not count.
    days = ["2024-02-22", "2024-03-01", "2024-03-02"]
    write(session, DAILY, days, [row for day in days for row in orders(day, *range(50))])
    assert finding(run(DAILY, ["2024-03-01"], orders("2024-03-01", 1)), "volume").passed
    write(session, DAILY, ["2024-02-23"], orders("2024-02-23", *range(50)))
    assert volume(run(DAILY, ["2024-03-01"], orders("2024-03-01", 1))) == {"2024-03-01": 1}


def test_days_of_one_run_are_compared_with_each_other(run: Publish) -> None:
    published = run(DAILY, [D1, D2, D3], orders(D1, *range(10)) + orders(D2, *range(10)) + orders(D3, *range(30)))
    assert volume(published) == {D3: 1}


def test_empty_days_do_not_count_towards_the_mean_volume(session: Session, write: Write, run: Publish) -> None:
    write(session, DAILY, ["2024-02-28", "2024-02-29"], orders("2024-02-28", *range(10)))
    assert finding(run(DAILY, [D1], orders(D1, *range(6))), "volume").passed


# What the audit costs


@pytest.fixture
def queries(monkeypatch: pytest.MonkeyPatch, session: Session) -> list[ir.Expr]:
    """Counts the queries of an engine, including pandera's own queries on ibis' default engine."""
    fetched: list[ir.Expr] = []
    for backend in {type(session.connection.ibis), type(ibis.duckdb.connect())}:  # type: ignore[attr-defined]
        for name in ("to_pyarrow", "execute"):
            fetch = getattr(backend, name)

            def counting(self: Any, expr: ir.Expr, *args: Any, fetch: Any = fetch, **kwargs: Any) -> Any:
                fetched.append(expr)
                return fetch(self, expr, *args, **kwargs)

            monkeypatch.setattr(backend, name, counting)
    return fetched


def checked(**more: Any) -> Table:
    """Orders with each kind of check, and two of the kinds twice."""
    return replace(
        with_row_check(lambda t: t.amount < 100),
        table_checks=(
            TableCheck("lone", "no order is alone", lambda staged: staged.filter(staged.id > 1_000)),
            volume_check(),
        ),
        **more,
    )


def test_one_query_counts_all_checks_of_a_table(
    session: Session, run: Publish, given: Given, now: dt.datetime, queries: list[ir.Expr]
) -> None:
    staged = stage(
        session, checked(), given(session, checked(), orders(D1, 1, 2)), [D1], session.baseline(ORDERS, [D1]), now
    )
    queries.clear()
    findings = audit(staged, lambda: session.read(ORDERS), {}, {})
    assert [f.check.name for f in findings if not f.passed] == []
    assert len(queries) == 1


def test_only_failed_checks_are_queried_again_for_days_and_examples(
    session: Session, given: Given, now: dt.datetime, queries: list[ir.Expr]
) -> None:
    rows = orders(D1, 1, 2, amount=500)
    staged = stage(session, checked(), given(session, checked(), rows), [D1], session.baseline(ORDERS, [D1]), now)
    queries.clear()
    findings = audit(staged, lambda: session.read(ORDERS), {}, {})
    assert [(f.check.name, f.bad_rows) for f in findings if not f.passed] == [("the_row_check", 2)]
    assert len(queries) == 1 + 2


def test_the_check_that_cannot_run_is_named(run: Publish) -> None:
    table = replace(
        checked(),
        table_checks=(
            TableCheck("fine", "there is nothing wrong", lambda staged: staged.filter(staged.id < 0)),
            TableCheck("typo", "a column that is not there", lambda staged: staged.filter(staged.colour == 1)),
        ),
    )
    with pytest.raises(DeclarationError, match=r"db\.orders: check 'typo' cannot run: .*colour"):
        run(table, [D1], orders(D1, 1))


def test_a_check_that_fails_while_it_runs_is_named(run: Publish) -> None:
    table = with_row_check(lambda t: t.shop.cast("int64") > 0)
    with pytest.raises(DeclarationError, match=r"db.orders: check 'the_row_check' cannot run: "):
        run(table, [D1], orders(D1, 1))


def test_a_check_that_cannot_be_counted_with_the_others_is_counted_alone(
    run: Publish, caplog: pytest.LogCaptureFixture
) -> None:
    """An engine filters rows by a window, but does not count rows by one."""
    table = with_row_check(lambda t: t.amount * 2 > t.amount.max().over(ibis.window()))
    assert run(table, [D1], [*orders(D1, 1, amount=9), *orders(D1, 2, amount=10)]).rows == {D1: 2}
    assert "db.orders: the checks could not be counted by one query, so each ran alone" in caplog.text
    with pytest.raises(RejectedByAudit, match="the_row_check"):
        run(table, [D1], [*orders(D1, 1, amount=4), *orders(D1, 2, amount=10)])
