"""`core.dim__users`: every user ever seen, with their first visit and latest known attributes."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.functions import business_date, day_after
from wemart_assets.lake.inputs import previous_period, same_period, up_to
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import RowCheck, Table, TableCheck, column, one_of
from wemart_assets.marts.activation.fact__events import fact__events
from wemart_assets.marts.activation.first_touch import first_touch
from wemart_assets.marts.activation.rules import DAY_COLUMNS, USER_ID
from wemart_assets.marts.attribution.rules import NEW_INSTALL
from wemart_assets.marts.sessions.wv_sess_daily import wv_sess_daily
from wemart_assets.sources.contracts.core import ADID, identity_map
from wemart_assets.sources.contracts.we_mart import we_user
from wemart_assets.sources.contracts.we_meta import we_country

# Attributes of a user taken from sessions: the last known value counts.
CLIENT = {"country_code": "sess_ctry", "device_os": "os", "app_version": "app_ver"}
INSTALL, OTHER_TOUCH = MEDIUMS = ("install", "other")


def _visit_days(sessions: ir.Table, events: ir.Table) -> ir.Table:
    """One row per user and day with a session or an event.

    `first_datetime` is the start of the day's first session or, if there is none, its first event. The attributes are
    the last known ones of the day's sessions.
    """
    known_sessions = sessions.filter(sessions.we_member_id.notnull())
    # A session has a row per community visited.
    user_sessions = known_sessions.select(
        "part_date",
        "sess_id",
        user_id=known_sessions.we_member_id.cast("string"),
        start="user_sess_start_dt",
        **CLIENT,
    ).distinct()
    user_day = ["part_date", "user_id"]
    place = ibis.row_number().over(ibis.window(group_by=user_day, order_by=["start", "sess_id"]))
    user_sessions = user_sessions.mutate(place=place)
    session_days = user_sessions.group_by(user_day).aggregate(
        first_session=user_sessions.start.min(),
        **{
            name: user_sessions[name].argmax(user_sessions.place, where=user_sessions[name].notnull())
            for name in CLIENT
        },
    )
    event_days = events.group_by(user_day).aggregate(first_event=events.datetime.min())
    days = session_days.outer_join(event_days, user_day)
    return days.select(
        *CLIENT,
        user_id=ibis.coalesce(days.user_id, days.user_id_right),
        day=ibis.coalesce(days.part_date, days.part_date_right),
        first_datetime=days.first_session.fill_null(days.first_event),
    )


def _lost_users(staged: ir.Table, before: ir.Table, days: Sequence[str]) -> ir.Table:
    """Users of the day before who are missing on a day, or whose first visit has moved."""
    visit = ["user_id", "first_datetime"]
    expected = ibis.union(*(t.select(*visit, part_date=day_after(t.part_date)) for t in (before, staged)))
    return expected.filter(expected.part_date.isin(list(days))).anti_join(staged, [*visit, "part_date"])


def _missing_visitors(staged: ir.Table, sessions: ir.Table, events: ir.Table) -> ir.Table:
    visitors = ibis.union(
        sessions.select("part_date", user_id=sessions.we_member_id.cast("string")),
        events.select("part_date", "user_id"),
    )
    return visitors.filter(visitors.user_id.notnull()).distinct().anti_join(staged, ["part_date", "user_id"])


def _unfounded_first_visits(staged: ir.Table, sessions: ir.Table, events: ir.Table) -> ir.Table:
    """Users whose first visit falls on the day but coincides with no session start and no event."""
    starts = ibis.union(
        sessions.select(user_id=sessions.we_member_id.cast("string"), first_datetime="user_sess_start_dt"),
        events.select("user_id", first_datetime="datetime"),
    )
    new_users = staged.filter(staged.first_date.cast("string") == staged.part_date)
    return new_users.anti_join(starts, ["user_id", "first_datetime"])


TABLE = Table(
    database="core",
    name="dim__users",
    description="One row per user seen up to the business day: their first visit and latest known attributes.",
    grain=("user_id",),
    newest_in_sql=True,
    columns=(
        USER_ID,
        column("first_date", "date", "business day of the first visit", nullable=False),
        column("first_datetime", "timestamp", "instant of the first visit (UTC)", nullable=False),
        column("country", "string", "English name of the user's last known country, else of the account's"),
        column("country_code", "string", "code of the user's last known country according to sessions"),
        column("device_os", "string", "last known operating system"),
        column("app_version", "string", "last known app version"),
        column("first_campaign", "string", "campaign that first touched one of the user's devices"),
        column("first_medium", "string", "`install` if that touch was a new install, else `other`", one_of(*MEDIUMS)),
        column("first_source", "string", "partner that ran that campaign"),
        *DAY_COLUMNS,
    ),
    row_checks=(
        RowCheck(
            "first_visit_by_the_day",
            "first_date is the business day of first_datetime, and not after part_date",
            lambda t, timezone: (
                (t.first_date == business_date(t.first_datetime, timezone))
                & (t.first_date.cast("string") <= t.part_date)
            ),
        ),
    ),
    table_checks=(
        TableCheck("nobody_is_lost", "no user of the day before is missing or has another first visit", _lost_users),
        TableCheck("everybody_who_came", "every user with a session or an event that day has a row", _missing_visitors),
        TableCheck(
            "first_visit_is_a_visit",
            "every first visit of the day is the start of a session, or an event",
            _unfounded_first_visits,
        ),
    ),
)


@mart(
    TABLE,
    before=previous_period(TABLE),
    sessions=same_period(wv_sess_daily),
    events=same_period(fact__events),
    users=same_period(we_user),
    countries=same_period(we_country),
    identities=same_period(identity_map),
    touches=up_to(first_touch),
)
def dim__users(
    before: ir.Table,
    sessions: ir.Table,
    events: ir.Table,
    users: ir.Table,
    countries: ir.Table,
    identities: ir.Table,
    touches: ir.Table,
    timezone: str,
    days: Sequence[str],
) -> ir.Table:
    """Every user ever seen, as of each day: those of the day before, updated with the day's sessions and events.

    A user's first visit falls on the first day with a session or an event of theirs. It is the start of that day's
    first session or, if there is none, its first event, and never changes. Country names, accounts and campaigns are
    as of the day. The cost of a day is its own sessions and events plus one read of the day before.
    """
    visit_days = _visit_days(sessions, events)
    known_users = _carried(before, visit_days, days)
    known_users = _with_country(known_users, users, countries)
    known_users = _with_touch(known_users, identities, touches)
    return known_users.mutate(first_date=business_date(known_users.first_datetime, timezone))


def _carried(before: ir.Table, visit_days: ir.Table, days: Sequence[str]) -> ir.Table:
    """Every user known before the run or seen during it, as of each of its days."""
    columns = ["user_id", "first_datetime", *CLIENT]
    run_days = ibis.array([ibis.literal(day) for day in days]).unnest()
    unchanged = before.anti_join(visit_days, "user_id").select(*columns)
    carried = before.semi_join(visit_days, "user_id").select(*columns).mutate(day=ibis.literal(""))
    rows = ibis.union(carried.select(*columns, "day"), visit_days.select(*columns, "day"))
    in_time = {"group_by": "user_id", "order_by": "day"}
    so_far = ibis.window(**in_time, rows=(None, 0))
    rows = rows.mutate(
        # Days follow each other, so the earliest instant is that of the first day.
        first_datetime=rows.first_datetime.min().over(so_far),
        until=rows.day.lead().over(ibis.window(**in_time)),
        **{f"{name}_said": rows[name].count().over(so_far) for name in CLIENT},
    )
    # Fill forward: within a group, only the first row has a value, and max() hands it to the rows after it.
    rows = rows.mutate(
        **{name: rows[name].max().over(ibis.window(group_by=["user_id", f"{name}_said"])) for name in CLIENT}
    )
    rows = rows.mutate(part_date=run_days)
    rows = rows.filter(rows.day <= rows.part_date, rows.until.isnull() | (rows.part_date < rows.until))
    return ibis.union(unchanged.mutate(part_date=run_days), rows.select(*columns, "part_date"))


def _with_country(known_users: ir.Table, users: ir.Table, countries: ir.Table) -> ir.Table:
    accounts = users.select("part_date", account_ctry="ctry_code", user_id=users.we_member_id.cast("string"))
    known_users = known_users.left_join(accounts, ["part_date", "user_id"]).drop("part_date_right", "user_id_right")
    known_users = known_users.mutate(ctry_code=known_users.country_code.fill_null(known_users.account_ctry)).drop(
        "account_ctry"
    )
    named = countries.select("part_date", "ctry_code", country="ctry_name")
    return known_users.left_join(named, ["part_date", "ctry_code"]).drop(
        "part_date_right", "ctry_code_right", "ctry_code"
    )


def _with_touch(known_users: ir.Table, identities: ir.Table, touches: ir.Table) -> ir.Table:
    """Adds the first touch of any of the user's advertising ids, as mapped on the day."""
    devices = identities.filter(identities.space == ADID)
    devices = devices.select("part_date", "foreign_id", user_id=devices.we_member_id.cast("string"))
    touches = touches.rename(since="part_date")
    touched = devices.inner_join(
        touches, [devices.foreign_id == touches.identity_adid, touches.since <= devices.part_date]
    )
    # The id breaks ties in time.
    order = [touched.server_datetime, touched.identity_adid]
    user_day = ibis.window(group_by=["part_date", "user_id"], order_by=order)
    touched = touched.mutate(place=ibis.row_number().over(user_day))
    firsts = touched.filter(touched.place == 0).select(
        "part_date",
        "user_id",
        first_campaign="campaign",
        first_medium=(touched.attribution_type == NEW_INSTALL).ifelse(INSTALL, OTHER_TOUCH),
        first_source="partner",
    )
    return known_users.left_join(firsts, ["part_date", "user_id"]).drop("part_date_right", "user_id_right")
