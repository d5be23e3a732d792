"""`core.fact__events`: key events of users, from log lines and tracks, as WEMART_KEY_EVENTS defines them."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.functions import business_date
from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import Measure, RowCheck, Table, TableCheck, column
from wemart_assets.lake.volume import volume_check
from wemart_assets.marts.activation.rules import DAY_COLUMNS, USER_ID, is_event
from wemart_assets.marts.rudder.repeated_tracks import repeated_tracks
from wemart_assets.marts.rudder.rules import deduplicated
from wemart_assets.marts.sessions.wv_server_log_base import wv_server_log_base
from wemart_assets.setting_values.key_events import KeyEvent
from wemart_assets.sources.contracts.core import RUDDER, identity_map
from wemart_assets.sources.contracts.rudder import tracks
from wemart_assets.sources.contracts.we_mart import we_user

KeyEvents = Sequence[tuple[str, KeyEvent]]


def _in_log(lines: ir.Table, key_events: KeyEvents) -> ir.Table:
    """One row per log line and key event that it matches; `wv_user` is the user of the line."""
    # A line may match several events.
    names = [is_event(lines, event).ifelse(name, ibis.null("string")) for name, event in key_events]
    matches = lines.select(
        wv_user="user_id_fill", part_date="date_id", datetime="log_dt", event_name=ibis.array(names).unnest()
    )
    return matches.filter(matches.event_name.notnull())


def _in_tracks(tracks: ir.Table, repeated: ir.Table, key_events: KeyEvents) -> ir.Table:
    """One row per track that counts and key event that it matches; `foreign_id` is the user of the track."""
    tracks = deduplicated(tracks, repeated)
    names = [tracks.event.isin(event.tracks).ifelse(name, ibis.null("string")) for name, event in key_events]
    matches = tracks.select(
        "part_date", foreign_id="user_id", datetime="timestamp", event_name=ibis.array(names).unnest()
    )
    return matches.filter(matches.event_name.notnull())


def _accounts(users: ir.Table) -> ir.Table:
    users = users.filter(users.wv_user_id.notnull())
    return users.select("part_date", wv_user=users.wv_user_id.cast("string"), user_id=users.we_member_id.cast("string"))


def _tracked_accounts(identities: ir.Table) -> ir.Table:
    identities = identities.filter(identities.space == RUDDER)
    return identities.select("part_date", "foreign_id", user_id=identities.we_member_id.cast("string"))


def _events_without_account(
    lines: ir.Table,
    tracks: ir.Table,
    repeated: ir.Table,
    users: ir.Table,
    identities: ir.Table,
    key_events: KeyEvents,
) -> ir.Scalar:
    logged = _in_log(lines, key_events).anti_join(_accounts(users), ["part_date", "wv_user"])
    tracked = _in_tracks(tracks, repeated, key_events).anti_join(
        _tracked_accounts(identities), ["part_date", "foreign_id"]
    )
    return ibis.union(logged.select("event_name"), tracked.select("event_name")).count()


def _events_of_unknown_accounts(staged: ir.Table, users: ir.Table, identities: ir.Table) -> ir.Table:
    accounts = ibis.union(
        *(t.select("part_date", "user_id") for t in (_accounts(users), _tracked_accounts(identities)))
    )
    return staged.anti_join(accounts, ["part_date", "user_id"])


TABLE = Table(
    database="core",
    name="fact__events",
    description="One row per key event of a user, from a log line or a track. Duplicate rows are kept.",
    columns=(
        column("date", "date", "business day of the event", nullable=False),
        column("datetime", "timestamp", "instant of the event (UTC)", nullable=False),
        USER_ID,
        column("event_name", "string", "name of the event in WEMART_KEY_EVENTS", nullable=False),
        *DAY_COLUMNS,
    ),
    row_checks=(
        RowCheck(
            "day_of_the_event",
            "date is the business day of datetime, and part_date is date",
            lambda t, timezone: (
                (t.date == business_date(t.datetime, timezone)) & (t.part_date == t.date.cast("string"))
            ),
        ),
        RowCheck(
            "named_in_the_settings",
            "event_name is one of WEMART_KEY_EVENTS",
            lambda t, key_events: t.event_name.isin([name for name, _ in key_events]),
        ),
    ),
    table_checks=(
        TableCheck(
            "of_known_accounts", "every event belongs to an account known that day", _events_of_unknown_accounts
        ),
        volume_check(),
    ),
    measures=(Measure("events of nobody known", _events_without_account),),
)


@mart(
    TABLE,
    lines=same_period(wv_server_log_base),
    tracks=same_period(tracks),
    repeated=same_period(repeated_tracks),
    users=same_period(we_user),
    identities=same_period(identity_map),
)
def fact__events(
    lines: ir.Table,
    tracks: ir.Table,
    repeated: ir.Table,
    users: ir.Table,
    identities: ir.Table,
    key_events: KeyEvents,
) -> ir.Table:
    """Key events from log lines and tracks, under the account that their user has on that day.

    A track delivered more than once is one event, as in RudderStack's tables.
    """
    logged = _in_log(lines, key_events).inner_join(_accounts(users), ["part_date", "wv_user"])
    tracked = _in_tracks(tracks, repeated, key_events).inner_join(
        _tracked_accounts(identities), ["part_date", "foreign_id"]
    )
    events = ibis.union(*(t.select("part_date", "datetime", "user_id", "event_name") for t in (logged, tracked)))
    return events.mutate(date=events.part_date.cast("date"))
