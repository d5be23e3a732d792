"""`core.first_touch`: the campaign that first touched each advertising id, once and for all."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.inputs import same_period, up_to
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import Table, TableCheck, column
from wemart_assets.marts.activation.rules import DAY_COLUMNS
from wemart_assets.marts.attribution.rules import with_user
from wemart_assets.sources.contracts.igaworks import attribution

TOUCH = ("campaign", "partner", "tracker_id", "attribution_type")


def _touches(attributions: ir.Table) -> ir.Table:
    return with_user(attributions).filter(attributions.campaign.notnull() & (attributions.campaign != ""))


def _uncounted_touches(staged: ir.Table, before: ir.Table, attributions: ir.Table) -> ir.Table:
    """The day's touches of ids for which no first touch at or before that instant is recorded."""
    firsts = ibis.union(*(t.select(adid="identity_adid", at="server_datetime") for t in (staged, before)))
    touches = _touches(attributions)
    return touches.anti_join(firsts, [touches.identity_adid == firsts.adid, firsts["at"] <= touches.server_datetime])


def _repeated_ids(staged: ir.Table, before: ir.Table) -> ir.Table:
    touched = ibis.union(*(t.select("identity_adid", "part_date") for t in (staged, before)))
    repeated = touched.group_by("identity_adid").aggregate(touches=ibis._.count(), part_date=touched.part_date.max())
    return repeated.filter(repeated.touches > 1)


TABLE = Table(
    database="core",
    name="first_touch",
    description=("One row per advertising id: its first attributed touch by a named campaign at a known time."),
    grain=("identity_adid",),
    columns=(
        column("identity_adid", "string", "advertising id of the device", nullable=False),
        column("server_datetime", "timestamp", "instant of the touch (UTC)", nullable=False),
        column("campaign", "string", "campaign", nullable=False),
        column("partner", "string", "partner that ran the campaign"),
        column("tracker_id", "string", "id of the tracking link"),
        column("attribution_type", "int", "0 for a new install, 1 for anything else"),
        *DAY_COLUMNS,
    ),
    table_checks=(
        TableCheck(
            "every_touch_counts", "every touched id has a first touch at or before that instant", _uncounted_touches
        ),
        TableCheck("once_for_ever", "no id has two first touches", _repeated_ids),
    ),
)


@mart(TABLE, attributions=same_period(attribution), before=up_to(TABLE, inclusive=False))
def first_touch(attributions: ir.Table, before: ir.Table) -> ir.Table:
    """The first touch of each id without an earlier one. Ties in time go by the order of the other columns.

    A day reads the ids so far, not all touches so far.
    """
    touches = _touches(attributions).anti_join(before, "identity_adid")
    order = [touches[name].asc(nulls_first=False) for name in ("server_datetime", *TOUCH)]
    placed = touches.mutate(place=ibis.row_number().over(ibis.window(group_by="identity_adid", order_by=order)))
    return placed.filter(placed.place == 0).select("identity_adid", "server_datetime", *TOUCH, "part_date")
