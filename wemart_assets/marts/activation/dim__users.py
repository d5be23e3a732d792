"""`core.dim__users`: everybody who ever came, when first, and what is known of them lately."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.functions import business_date, day_after
from wemart_assets.lake.inputs import own_day_before, same_day, up_to
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

# What a session says of its user; the last one that says it counts.
CLIENT = {"country_code": "sess_ctry", "device_os": "os", "app_version": "app_ver"}
INSTALL, OTHER_TOUCH = MEDIUMS = ("install", "other")


def _comings(sessions: ir.Table, events: ir.Table) -> ir.Table:
    """One row per user and day on which they came: by a session or, where there is none, by an event.

    `first_datetime` is the start of the day's first session, else its first event; of what sessions say the last known
    is given.
    """
    known = sessions.filter(sessions.we_member_id.notnull())
    # A session has a row for each community that was visited.
    each = known.select(
        "part_date",
        "sess_id",
        user_id=known.we_member_id.cast("string"),
        start="user_sess_start_dt",
        **CLIENT,
    ).distinct()
    of_day = ["part_date", "user_id"]
    place = ibis.row_number().over(ibis.window(group_by=of_day, order_by=["start", "sess_id"]))
    each = each.mutate(place=place)
    visits = each.group_by(of_day).aggregate(
        first_session=each.start.min(),
        **{name: each[name].argmax(each.place, where=each[name].notnull()) for name in CLIENT},
    )
    acts = events.group_by(of_day).aggregate(first_event=events.datetime.min())
    both = visits.outer_join(acts, of_day)
    return both.select(
        *CLIENT,
        user_id=ibis.coalesce(both.user_id, both.user_id_right),
        day=ibis.coalesce(both.part_date, both.part_date_right),
        first_datetime=both.first_session.fill_null(both.first_event),
    )


def _lost(staged: ir.Table, before: ir.Table, days: Sequence[str]) -> ir.Table:
    """Users of the day before whom a day does not have, or whose first visit it has at another instant."""
    visit = ["user_id", "first_datetime"]
    known = ibis.union(*(t.select(*visit, part_date=day_after(t.part_date)) for t in (before, staged)))
    return known.filter(known.part_date.isin(list(days))).anti_join(staged, [*visit, "part_date"])


def _left_out(staged: ir.Table, sessions: ir.Table, events: ir.Table) -> ir.Table:
    came = ibis.union(
        sessions.select("part_date", user_id=sessions.we_member_id.cast("string")),
        events.select("part_date", "user_id"),
    )
    return came.filter(came.user_id.notnull()).distinct().anti_join(staged, ["part_date", "user_id"])


def _without_visit(staged: ir.Table, sessions: ir.Table, events: ir.Table) -> ir.Table:
    """Users whose first visit is on the day itself and at no beginning of a session, nor at an event."""
    began = ibis.union(
        sessions.select(user_id=sessions.we_member_id.cast("string"), first_datetime="user_sess_start_dt"),
        events.select("user_id", first_datetime="datetime"),
    )
    of_day = staged.filter(staged.first_date.cast("string") == staged.part_date)
    return of_day.anti_join(began, ["user_id", "first_datetime"])


TABLE = Table(
    database="core",
    name="dim__users",
    description="One row per user who came up to the business day: when first, and what is known of them lately.",
    grain=("user_id",),
    newest_in_sql=True,
    columns=(
        USER_ID,
        column("first_date", "date", "business day of the first visit", nullable=False),
        column("first_datetime", "timestamp", "instant of the first visit (UTC)", nullable=False),
        column("country", "string", "name of the country that the user was in last, else of the account's"),
        column("country_code", "string", "code of the country that the user was in last, as sessions say"),
        column("device_os", "string", "operating system of the last session that says one"),
        column("app_version", "string", "version of the app in the last session that says one"),
        column("first_campaign", "string", "campaign that first touched one of the user's devices"),
        column("first_medium", "string", "what its touch brought: a new install, or another", one_of(*MEDIUMS)),
        column("first_source", "string", "partner who showed that campaign"),
        *DAY_COLUMNS,
    ),
    row_checks=(
        RowCheck(
            "first_visit_by_the_day",
            "first_date is the business day of first_datetime, and not after the day",
            lambda t, timezone: (
                (t.first_date == business_date(t.first_datetime, timezone))
                & (t.first_date.cast("string") <= t.part_date)
            ),
        ),
    ),
    table_checks=(
        TableCheck("nobody_is_lost", "every user of the day before is there, with the same first visit", _lost),
        TableCheck("everybody_who_came", "every user with a session or an event that day is there", _left_out),
        TableCheck("first_visit_is_a_visit", "who is there first has a session or an event then", _without_visit),
    ),
)


@mart(
    TABLE,
    before=own_day_before(TABLE),
    sessions=same_day(wv_sess_daily),
    events=same_day(fact__events),
    users=same_day(we_user),
    countries=same_day(we_country),
    identities=same_day(identity_map),
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
    """Everybody who ever came, as of each day: those of the day before, with what the day says of them.

    A first visit is the start of the first session on the first day on which there is a session or an event of the
    user, where there is no session that day the first event; once known, it stays. Country names, accounts and
    campaigns are those that are known on the day. A day costs what happened on it and a read of the day before.
    """
    comings = _comings(sessions, events)
    found = _carried(before, comings, days)
    found = _with_country(found, users, countries)
    found = _with_touch(found, identities, touches)
    return found.mutate(first_date=business_date(found.first_datetime, timezone))


def _carried(before: ir.Table, comings: ir.Table, days: Sequence[str]) -> ir.Table:
    """Everybody known on the day before the run or in it, as of each of its days."""
    columns = ["user_id", "first_datetime", *CLIENT]
    of_run = ibis.array([ibis.literal(day) for day in days]).unnest()
    still = before.anti_join(comings, "user_id").select(*columns)
    known = before.semi_join(comings, "user_id").select(*columns).mutate(day=ibis.literal(""))
    rows = ibis.union(known.select(*columns, "day"), comings.select(*columns, "day"))
    in_time = {"group_by": "user_id", "order_by": "day"}
    so_far = ibis.window(**in_time, rows=(None, 0))
    rows = rows.mutate(
        # Days lie one after the other: the earliest instant is that of the first of them.
        first_datetime=rows.first_datetime.min().over(so_far),
        until=rows.day.lead().over(ibis.window(**in_time)),
        **{f"{name}_said": rows[name].count().over(so_far) for name in CLIENT},
    )
    # Of the rows up to the next one that says something, only the first says anything.
    rows = rows.mutate(
        **{name: rows[name].max().over(ibis.window(group_by=["user_id", f"{name}_said"])) for name in CLIENT}
    )
    rows = rows.mutate(part_date=of_run)
    rows = rows.filter(rows.day <= rows.part_date, rows.until.isnull() | (rows.part_date < rows.until))
    return ibis.union(still.mutate(part_date=of_run), rows.select(*columns, "part_date"))


def _with_country(found: ir.Table, users: ir.Table, countries: ir.Table) -> ir.Table:
    accounts = users.select("part_date", account_ctry="ctry_code", user_id=users.we_member_id.cast("string"))
    found = found.left_join(accounts, ["part_date", "user_id"]).drop("part_date_right", "user_id_right")
    found = found.mutate(ctry_code=found.country_code.fill_null(found.account_ctry)).drop("account_ctry")
    named = countries.select("part_date", "ctry_code", country="ctry_name")
    return found.left_join(named, ["part_date", "ctry_code"]).drop("part_date_right", "ctry_code_right", "ctry_code")


def _with_touch(found: ir.Table, identities: ir.Table, touches: ir.Table) -> ir.Table:
    """Adds the first touch of any of the user's advertising ids, as they are known on the day."""
    devices = identities.filter(identities.space == ADID)
    devices = devices.select("part_date", "foreign_id", user_id=devices.we_member_id.cast("string"))
    touches = touches.rename(since="part_date")
    touched = devices.inner_join(
        touches, [devices.foreign_id == touches.identity_adid, touches.since <= devices.part_date]
    )
    # Of equal instants the id decides.
    order = [touched.server_datetime, touched.identity_adid]
    of_user = ibis.window(group_by=["part_date", "user_id"], order_by=order)
    touched = touched.mutate(place=ibis.row_number().over(of_user))
    firsts = touched.filter(touched.place == 0).select(
        "part_date",
        "user_id",
        first_campaign="campaign",
        first_medium=(touched.attribution_type == NEW_INSTALL).ifelse(INSTALL, OTHER_TOUCH),
        first_source="partner",
    )
    return found.left_join(firsts, ["part_date", "user_id"]).drop("part_date_right", "user_id_right")
