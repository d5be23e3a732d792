"""Rules shared by the tables of all services."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.table import column
from wemart_assets.marts.community.rules import matched
from wemart_assets.marts.memberships import membership_holders

# The services in the order in which they are named.
SERVICES = ("weverse", "shop", "phoning", "album")
WEVERSE, SHOP, PHONING, ALBUM = SERVICES

ORDER_COLUMNS = (
    column("ord_cnt", "bigint", "orders", nullable=False),
    column("ord_amount", "decimal(38,4)", "sum of their amounts; an unknown amount counts as 0", nullable=False),
)


def of_accounts(rows: ir.Table) -> ir.Table:
    """The rows with a known account, which is a `bigint` in the sources and an `int` in the marts: here, a `bigint`."""
    return rows.filter(rows.we_member_id.notnull()).mutate(we_member_id=rows.we_member_id.cast("int64"))


def only_orders(orders: ir.Table) -> ir.Table:
    """The rows of `ws_order` that are orders."""
    return orders.filter(orders.is_ord == 1)


def only_reactions(reactions: ir.Table) -> ir.Table:
    """The rows that are a like or a comment."""
    return reactions.filter((reactions.is_like == 1) | (reactions.is_cmnt == 1))


def with_membership(
    rows: ir.Table, users: ir.Table, artists: ir.Table, memberships: ir.Table, timezone: str
) -> ir.Table:
    """The rows with `is_fc`: whether the account holds the artist's membership; NULL if account or artist is unknown.

    As in `wv_sess_daily`, an account or an artist is known if the day's snapshot has it.
    """
    accounts = users.select("part_date", "we_member_id", is_account=ibis.literal(1, "int32"))
    known_artists = artists.select("part_date", "we_art_id", is_artist=ibis.literal(1, "int32"))
    rows = matched(rows, accounts, ["part_date", "we_member_id"])
    rows = matched(rows, known_artists, ["part_date", "we_art_id"])
    rows = matched(rows, membership_holders(memberships, timezone), ["part_date", "we_art_id", "we_member_id"])
    is_decidable = rows.is_account.notnull() & rows.is_artist.notnull()
    is_fc = is_decidable.ifelse(rows.is_fc.fill_null(0), ibis.null("int32"))
    return rows.mutate(is_fc=is_fc).drop("is_account", "is_artist")


def members_of_artists(members: ir.Table) -> ir.Table:
    """One row per account and artist in whose community it is a member (part_date, we_art_id, we_member_id, held).

    `held` is 1 if the member holds the membership.
    """
    known = members.filter(members.we_member_id.notnull() & members.we_art_id.notnull())
    return known.group_by("part_date", "we_art_id", "we_member_id").aggregate(held=known.is_fc.max())


def service_sets(visits: ir.Table) -> ir.Table:
    """One row per day and member with the set of services used (key_date, part_date, we_member_id, services).

    `services` has their names in fixed order, joined by `+`.
    """
    used = visits.group_by("key_date", "part_date", "we_member_id").aggregate(
        **{name: visits.count(where=visits.service == name) for name in SERVICES}
    )
    names = [(used[name] > 0).ifelse(f"+{name}", "") for name in SERVICES]
    joined = names[0]
    for name in names[1:]:
        joined = joined + name
    return used.select("key_date", "part_date", "we_member_id", services=joined.substr(1))
