"""`we_mart.wv_comm_user_update`: what changed in the communities from one day to the next."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.functions import day_after
from wemart_assets.lake.inputs import day_before, same_day
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import PART_DATE, RUN_TIMESTAMP, Table, TableCheck, column, one_of
from wemart_assets.marts.community.wv_comm_user import TABLE as MEMBERS
from wemart_assets.marts.community.wv_comm_user import wv_comm_user

PAIR = ["comm_id", "wv_user_id"]
OF_THE_DAY = ("key_date", "part_date", "run_timestamp")
CAME, CHANGED, WENT = "c", "u", "d"
# What is compared: all that is said of a member but the day.
SAID = [c.name for c in MEMBERS.columns if c.name not in (*PAIR, *OF_THE_DAY)]


def _next_day(snapshot: ir.Table) -> ir.Table:
    """The snapshot of a day under the name of the next."""
    following = day_after(snapshot.part_date)
    return snapshot.mutate(key_date=following.cast("date"), part_date=following)


def _replayed_differs(staged: ir.Table, before: ir.Table, now: ir.Table) -> ir.Table:
    """What the day before with the updates has and the day has not, and the other way round."""
    key = ["part_date", *PAIR]
    kept = _next_day(before).anti_join(staged, key).select(*key, *SAID)
    replayed = ibis.union(kept, staged.filter(staged.update_type != WENT).select(*key, *SAID))
    both = replayed.outer_join(now.select(*key, *SAID), key, rname="now_{name}")
    same = ibis.and_(*(both[c].identical_to(both[f"now_{c}"]) for c in (*key, *SAID)))
    return both.filter(~same).select(
        part_date=ibis.coalesce(both.part_date, both.now_part_date),
        comm_id=ibis.coalesce(both.comm_id, both.now_comm_id),
        wv_user_id=ibis.coalesce(both.wv_user_id, both.now_wv_user_id),
        in_replay=both.part_date.notnull(),
        in_wv_comm_user=both.now_part_date.notnull(),
    )


TABLE = Table(
    database="we_mart",
    name="wv_comm_user_update",
    description=(
        "One row per member who came, changed or went since the day before, as the member is now (or last was)."
    ),
    grain=("comm_id", "wv_user_id"),
    columns=(
        column("key_date", "date", "business day of the change", nullable=False),
        column(
            "update_type",
            "string",
            "c: not there the day before; u: something of the member changed; d: there the day before, and gone",
            one_of(CAME, CHANGED, WENT),
            nullable=False,
        ),
        *(c for c in MEMBERS.columns if c.name not in OF_THE_DAY),
        PART_DATE,
        RUN_TIMESTAMP,
    ),
    table_checks=(
        TableCheck(
            "replay_gives_the_day",
            "the members of the day before with these updates are those of the day",
            _replayed_differs,
        ),
    ),
)


@mart(TABLE, now=same_day(wv_comm_user), before=day_before(wv_comm_user))
def wv_comm_user_update(now: ir.Table, before: ir.Table) -> ir.Table:
    """Who came, changed or went. On the first day all have come.

    Replaying all days' updates over an empty table gives the members of any day.
    """
    key = ["part_date", *PAIR]
    columns = [*key, "key_date", *SAID]
    both = now.select(*columns).outer_join(_next_day(before).select(*columns), key, rname="old_{name}")
    came, gone = both.old_part_date.isnull(), both.part_date.isnull()
    same = ibis.and_(*(both[c].identical_to(both[f"old_{c}"]) for c in SAID))
    changed = both.filter(came | gone | ~same)
    # In one pass: a day is as wide as it is long.
    return changed.select(
        update_type=ibis.cases(
            (changed.old_part_date.isnull(), CAME), (changed.part_date.isnull(), WENT), else_=CHANGED
        ),
        **{c: changed.part_date.isnull().ifelse(changed[f"old_{c}"], changed[c]) for c in columns},
    )
