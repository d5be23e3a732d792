"""`wemart new table`: the files of a table that works as is, for its author to change.

They count sessions by country. What the author has to write is marked with TODO, and `test_new_table.py` fails for as
long as a marker is left. The text of a table by day, week and month differs in the parts of `WORDS`.
"""

from __future__ import annotations

import keyword
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from string import Template

import wemart_assets
from wemart_assets.lake.days import Period
from wemart_assets.lake.errors import WemartError

MARTS = Path("wemart_assets/marts")
CASES, TESTS = Path("wemart_assets_tests/rule_cases"), Path("wemart_assets_tests/marts")
LONGEST_NAME, LONGEST_LINE = 48, 120
# Names that end so would be taken for other tables or functions of the same table.
RESERVED_ENDINGS = ("__daily", "__quarantine", "__rejected", "_between")


class CannotWrite(WemartError):
    """The table cannot be written here under this name; the message says what to do."""


@dataclass(frozen=True)
class NewTable:
    """A table to write: its database, its domain (a folder of `wemart_assets/marts`), its name and its period."""

    database: str
    domain: str
    name: str
    period: Period

    def files(self) -> dict[Path, str]:
        """The text of each of its files, by the file's path in the project."""
        templates = {
            MARTS / self.domain / f"{self.name}.py": MART,
            CASES / f"{self.name}.py": CASES_OF_THE_CHECKS,
            TESTS / f"test_{self.name}.py": TEST,
        }
        values = {"database": self.database, "domain": self.domain, "name": self.name, "period": self.period.value}
        words = {word: text.rstrip("\n") for word, text in WORDS[self.period].items()}
        texts = {path: Template(text).safe_substitute(words) for path, text in templates.items()}
        return {path: _wrapped(Template(text).substitute(values)) for path, text in texts.items()}


def write_table(project: Path, domain: str, name: str, period: Period) -> tuple[str, list[Path]]:
    """Writes the files of a new table; changes no existing file. Returns its full name and the files' paths.

    Raises:
        CannotWrite: `project` is not a checkout that this command runs from, there is no such domain, the name is not
            valid or is taken, or one of the files is already there.
    """
    _check_checkout(project)
    domains = sorted(folder.parent.name for folder in (project / MARTS).glob("*/__init__.py"))
    if domain not in domains:
        raise CannotWrite(
            f"there is no domain '{domain}'; it is one of {', '.join(domains)}. A new domain is a new folder:"
            f" {MARTS}/<domain> with an __init__.py"
        )
    _check_name(name)
    table = NewTable(_database_of(domain), domain, name, period)
    files = table.files()
    if present := [str(path) for path in files if (project / path).exists()]:
        raise CannotWrite(f"{', '.join(present)} is already there, and is not overwritten; choose another name")
    for path, text in files.items():
        with (project / path).open("x") as file:
            file.write(text)
    return f"{table.database}.{name}", list(files)


def update_pages(project: Path) -> str:
    """Updates the generated pages and returns what the command printed.

    Another process does it, because this one has read the tables before there was a new one.

    Raises:
        CannotWrite: it failed.
    """
    command = [sys.executable, "-m", "wemart_assets.cli", "pages"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotWrite(f"the table is written, but `wemart pages` failed; run it again:\n{done.stderr.strip()}")
    return done.stdout


def _check_checkout(project: Path) -> None:
    if missing := [str(path) for path in (MARTS, CASES, TESTS) if not (project / path).is_dir()]:
        raise CannotWrite(
            f"{project} is not a checkout of the project: it has no {', '.join(missing)}. Change to the folder that"
            " `git clone` made, and run the command there"
        )
    running = Path(wemart_assets.__file__).resolve().parents[1]
    if running != project.resolve():
        raise CannotWrite(
            f"this `wemart` runs the code in {running}, not that in {project}; run `make install` in {project}, and use"
            " its .venv/bin/wemart"
        )


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or len(name) > LONGEST_NAME:
        raise CannotWrite(
            f"'{name}' cannot be the name of a table: a name has lowercase letters, digits and underscores, begins with"
            f" a letter and is at most {LONGEST_NAME} characters long, such as stats_wv_d_country"
        )
    if name.endswith(RESERVED_ENDINGS):
        raise CannotWrite(
            f"'{name}' cannot be the name of a table: {', '.join(RESERVED_ENDINGS)} are for generated ones"
        )
    if name.startswith("test_") or name == "conftest":
        raise CannotWrite(
            f"'{name}' cannot be the name of a table: pytest would take its files and functions for tests"
        )
    if keyword.iskeyword(name) or name in _reserved_in_sql():
        raise CannotWrite(f"'{name}' cannot be the name of a table: it is a reserved word of Python or SQL")
    words = [text for of in WORDS.values() for text in of.values()]
    if any(re.search(rf"\b{name}\b", text) for text in (MART, CASES_OF_THE_CHECKS, TEST, *words)):
        raise CannotWrite(f"'{name}' is a name that the table's own code uses; choose a longer one")
    from wemart_assets import catalog

    taken = [full.partition(".") for full in (*catalog.tables(), *catalog.views())]
    if name in {database for database, _, _ in taken}:
        raise CannotWrite(f"'{name}' cannot be the name of a table: it is a database, which SQL would confuse with it")
    same = [f"{database}.{table}" for database, _, table in taken if table == name]
    if same:
        raise CannotWrite(f"there is already a table {same[0]}; SQL finds tables by this name alone, so choose another")


def _reserved_in_sql() -> set[str]:
    import duckdb

    with duckdb.connect() as connection:
        query = "select keyword_name from duckdb_keywords() where keyword_category <> 'unreserved'"
        return {word for (word,) in connection.execute(query).fetchall()}


def _database_of(domain: str) -> str:
    """The database of most of the domain's tables; `we_mart` if it has none."""
    from wemart_assets import catalog

    databases = Counter(full.partition(".")[0] for full, of in catalog.groups().items() if of == domain)
    return databases.most_common(1)[0][0] if databases else "we_mart"


def _wrapped(text: str) -> str:
    """Wraps an import that the table's name has made too long, as `ruff format` would."""
    return "\n".join(
        re.sub(r"^(from \S+ import) (\w+)$", r"\1 (\n    \2,\n)", line) if len(line) > LONGEST_LINE else line
        for line in text.split("\n")
    )


MART = '''\
"""`$database.$name`: sessions by country and $period."""

from __future__ import annotations

import ibis.expr.types as ir

$imports
from wemart_assets.marts.sessions.rules import unequal
from wemart_assets.marts.sessions.wv_sess_daily import wv_sess_daily


# TODO: count your own totals anew, in another way than the table does, or the check cannot find its errors.
$check


# TODO: say what a row of your table is, and declare its columns and checks. These are of sessions by country.
TABLE = Table(
    database="$database",
    name="$name",
    description="One row per country and $row. Sessions without a known country are the NULL row.",
    grain=("key_date", "sess_ctry"),$table_period
    columns=(
$key_date
        column("sess_ctry", "string", "last known country of the session, NULL if unknown"),
        column("sess_cnt", "bigint", "sessions", at_least(1), nullable=False),
        column("device_cnt", "bigint", "devices of these sessions", at_least(1), nullable=False),
$part_date
        RUN_TIMESTAMP,
    ),
    row_checks=(RowCheck("devices_have_sessions", "each device has a session", lambda t: t.device_cnt <= t.sess_cnt),),
    table_checks=(
        TableCheck("sessions_add_up", "sess_cnt adds up to the $period's sessions of wv_sess_daily", _with_other_count),
    ),
)


# TODO: read the tables that your rows come from, and compute the columns from them.
$function
'''

CASES_OF_THE_CHECKS = '''\
"""Good world and cases for `$database.$name`."""

from __future__ import annotations

import datetime as dt

from wemart_assets.lake.table import GRAIN
from wemart_assets_tests.rule_cases.worlds import Domain, Row, World, add_row, bad_value, case, change_row, drop_row

TABLE = "$database.$name"
$case_days


def session(name: str, device: str, country: str | None, day: str) -> Row:
    """A row of wv_sess_daily."""
    date = dt.date.fromisoformat(day)
    return {"key_date": date, "part_date": day, "sess_id": name, "device_id": device, "sess_ctry": country}


# TODO: rows of your table that pass all of its checks, and the rows of its inputs from which they are computed.
GOOD = World(
    rows=(
        {**KEY, "sess_ctry": "KR", "sess_cnt": 2, "device_cnt": 1},
        {**KEY, "sess_ctry": None, "sess_cnt": 1, "device_cnt": 1},
    ),
    inputs={
        "sessions": (
            session("a", "device 1", "KR", FIRST),
            session("b", "device 1", "KR", LAST),
            session("c", "device 2", None, LAST),
        )
    },
)

# TODO: for each check of your table, a change of the good world that breaks it, and what else breaks with it.
CASES = [
    bad_value(TABLE, "sess_cnt", 0, also=["devices_have_sessions", "sessions_add_up"]),
    bad_value(TABLE, "device_cnt", 0),
    case(TABLE, GRAIN, "the same country twice", change_row(0, sess_cnt=1), add_row(0, sess_cnt=1)),
    case(TABLE, "devices_have_sessions", "more devices than sessions", change_row(0, device_cnt=3)),
    case(TABLE, "sessions_add_up", "one session too many", change_row(0, sess_cnt=3)),
    case(TABLE, "sessions_add_up", "sessions without a country were lost", drop_row(1)),
]
# What a NULL in a column that allows none breaks besides `not_null`.
NULL_BREAKS_TOO = {
    "sess_cnt": {"devices_have_sessions", "sessions_add_up"},
    "device_cnt": {"devices_have_sessions"},
}

DOMAIN = Domain({TABLE: GOOD}, CASES, {TABLE: NULL_BREAKS_TOO})
'''

TEST = '''\
"""`$database.$name`, by hand and against plain loops."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from wemart_assets.marts.$domain.$name import $name
from wemart_assets_tests.examples import examples
from wemart_assets_tests.marts.conftest import Bench, Row

$test_days
COLUMNS = ("part_date", "sess_ctry", "sess_cnt", "device_cnt")


# TODO: a row of your table's input, with a parameter for each value on which the table depends.
def session(name: str, day: str, country: str | None = "KR", device: str = "d") -> Row:
    """A row of wv_sess_daily: session `name` of the day."""
    key = {"key_date": dt.date.fromisoformat(day), "part_date": day, "sess_id": f"{name}-{day}"}
    return {**key, "sess_ctry": country, "device_id": device}


def computed(bench: Bench, sessions: list[Row]) -> Counter[tuple[Any, ...]]:
    """The rows that the table has over these inputs, and how often."""
    rows = bench($name, {}, sessions=sessions)
    return Counter(tuple(row[column] for column in COLUMNS) for row in rows)


def reference(sessions: list[Row]) -> Counter[tuple[Any, ...]]:
    """The same rows by plain loops over the sessions, using nothing of `wemart_assets.marts`."""
    # TODO: write the rule of the table once more, as slowly and plainly as you can.
    raise AssertionError(f"write `reference` in {__file__}")


# TODO: the cases that decide your table's rule, each in a test with the rows written by hand.
$hand_made


def test_the_reference_is_written() -> None:
    assert reference([]) == Counter()


SESSIONS = st.lists(
    st.builds(
        session,
        st.sampled_from("abc"),
        st.sampled_from([$days]),
        st.sampled_from(["KR", "US", None]),
        st.sampled_from("de"),
    )
)


@settings(max_examples=examples(25, 100), deadline=None)
@given(sessions=SESSIONS)
def test_random_sessions_match_the_reference(bench: Bench, sessions: list[Row]) -> None:
    assert computed(bench, sessions) == reference(sessions)
'''

_BY_DAY = {
    "imports": """\
from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import KEY_DATE, PART_DATE, RUN_TIMESTAMP, RowCheck, Table, TableCheck, at_least, column
""",
    "check": """\
def _with_other_count(staged: ir.Table, sessions: ir.Table) -> ir.Table:
    actual = staged.group_by("part_date").aggregate(actual=staged.sess_cnt.sum())
    # Distinct rows, where the table itself counts distinct values.
    ids = sessions.select("part_date", "sess_id").distinct()
    return unequal(actual, ids.group_by("part_date").aggregate(expected=ids.count()), ["part_date"])
""",
    "row": "business day",
    "table_period": "",
    "key_date": "        KEY_DATE,",
    "part_date": "        PART_DATE,",
    "function": '''\
@mart(TABLE, sessions=same_period(wv_sess_daily))
def $name(sessions: ir.Table) -> ir.Table:
    """Each session counts once, under its last known country."""
    return sessions.group_by("key_date", "part_date", "sess_ctry").aggregate(
        sess_cnt=sessions.sess_id.nunique(), device_cnt=sessions.device_id.nunique()
    )
''',
    "case_days": """\
FIRST = LAST = "2024-03-05"
KEY: Row = {"key_date": dt.date.fromisoformat(FIRST), "part_date": FIRST}
""",
    "hand_made": """\
def test_a_session_in_two_communities_counts_once(bench: Bench) -> None:
    sessions = [session("a", DAY), session("a", DAY), session("b", DAY), session("c", DAY, None)]
    assert computed(bench, sessions) == Counter([(DAY, "KR", 2, 1), (DAY, None, 1, 1)])
""",
    "test_days": 'DAY, NEXT_DAY = "2024-01-15", "2024-01-16"',
    "days": "DAY, NEXT_DAY",
}


def _by_period(period: Period, in_cases: tuple[str, str], in_tests: tuple[str, str, str]) -> dict[str, str]:
    name, constant = period.value, period.name
    first_day = f'"first day of the {name}'
    return {
        "imports": """\
from wemart_assets.lake.days import Period
from wemart_assets.lake.functions import first_day_of
from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import RUN_TIMESTAMP, RowCheck, Table, TableCheck, at_least, column
""",
        "check": f"""\
def _with_other_count(staged: ir.Table, sessions: ir.Table) -> ir.Table:
    actual = staged.group_by("part_date").aggregate(actual=staged.sess_cnt.sum())
    # Distinct rows, where the table itself counts distinct values.
    ids = sessions.select("key_date", "sess_id").distinct()
    ids = ids.mutate(part_date=first_day_of(ids.key_date, Period.{constant}).cast("string"))
    return unequal(actual, ids.group_by("part_date").aggregate(expected=ids.count()), ["part_date"])
""",
        "row": name,
        "table_period": f"\n    period=Period.{constant},",
        "key_date": f'        column("key_date", "date", {first_day}", nullable=False),',
        "part_date": f'        column("part_date", "string", {first_day}, as partitions are named", nullable=False),',
        "function": f'''\
@mart(TABLE, sessions=same_period(wv_sess_daily))
def $name(sessions: ir.Table) -> ir.Table:
    """Each session counts once, under its last known country; a device counts once per country and {name}."""
    {name}s = sessions.mutate(key_date=first_day_of(sessions.key_date, Period.{constant}))
    countries = {name}s.group_by("key_date", "sess_ctry").aggregate(
        sess_cnt={name}s.sess_id.nunique(), device_cnt={name}s.device_id.nunique()
    )
    return countries.mutate(part_date=countries.key_date.cast("string"))
''',
        "case_days": f"""\
FIRST, LAST = "{in_cases[0]}", "{in_cases[1]}"
KEY: Row = {{"key_date": dt.date.fromisoformat(FIRST), "part_date": FIRST}}
""",
        "hand_made": f"""\
def test_a_device_on_two_days_of_a_{name}_counts_once(bench: Bench) -> None:
    sessions = [session("a", FIRST), session("b", LAST), session("c", LAST, None), session("a", NEXT)]
    expected = [(FIRST, "KR", 2, 1), (FIRST, None, 1, 1), (NEXT, "KR", 1, 1)]
    assert computed(bench, sessions) == Counter(expected)
""",
        "test_days": f"""\
# The first and the last day of a {name}, and the first of the next.
FIRST, LAST, NEXT = {", ".join(f'"{day}"' for day in in_tests)}
""",
        "days": "FIRST, LAST, NEXT",
    }


# What differs by period. In the cases, LAST is no later than the 28th (see `rule_cases/worlds.py`).
WORDS = {
    Period.DAY: _BY_DAY,
    Period.WEEK: _by_period(Period.WEEK, ("2024-03-04", "2024-03-10"), ("2024-01-15", "2024-01-21", "2024-01-22")),
    Period.MONTH: _by_period(Period.MONTH, ("2024-03-01", "2024-03-28"), ("2024-01-01", "2024-01-31", "2024-02-01")),
}
