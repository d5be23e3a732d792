"""`we_mart.wv_comm_user_update`: changes of community members from one day to the next."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.functions import day_after
from wemart_assets.lake.inputs import previous_period, same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import PART_DATE, RUN_TIMESTAMP, Table, TableCheck, column, one_of
from wemart_assets.marts.community.wv_comm_user import TABLE as MEMBERS
from wemart_assets.marts.community.wv_comm_user import wv_comm_user

PAIR = ["comm_id", "wv_user_id"]
OF_THE_DAY = ("key_date", "part_date", "run_timestamp")
CREATED, UPDATED, DELETED = "c", "u", "d"
# The columns compared: everything about a member except the day.
COMPARED = [c.name for c in MEMBERS.columns if c.name not in (*PAIR, *OF_THE_DAY)]


def _next_day(snapshot: ir.Table) -> ir.Table:
    """A day's snapshot, dated one day later."""
    following = day_after(snapshot.part_date)
    return snapshot.mutate(key_date=following.cast("date"), part_date=following)


def _replay_differences(staged: ir.Table, before: ir.Table, now: ir.Table) -> ir.Table:
    """Members that differ between the day and a replay of its updates over the day before."""
    key = ["part_date", *PAIR]
    kept = _next_day(before).anti_join(staged, key).select(*key, *COMPARED)
    replayed = ibis.union(kept, staged.filter(staged.update_type != DELETED).select(*key, *COMPARED))
    members = replayed.outer_join(now.select(*key, *COMPARED), key, rname="now_{name}")
    is_same = ibis.and_(*(members[c].identical_to(members[f"now_{c}"]) for c in (*key, *COMPARED)))
    return members.filter(~is_same).select(
        part_date=ibis.coalesce(members.part_date, members.now_part_date),
        comm_id=ibis.coalesce(members.comm_id, members.now_comm_id),
        wv_user_id=ibis.coalesce(members.wv_user_id, members.now_wv_user_id),
        in_replay=members.part_date.notnull(),
        in_wv_comm_user=members.now_part_date.notnull(),
    )


TABLE = Table(
    database="we_mart",
    name="wv_comm_user_update",
    description=(
        "One row per member added, changed or removed since the day before, as the member is now (or last was)."
    ),
    grain=("comm_id", "wv_user_id"),
    columns=(
        column("key_date", "date", "business day of the change", nullable=False),
        column(
            "update_type",
            "string",
            "c: added since the day before; u: some column changed; d: removed since the day before",
            one_of(CREATED, UPDATED, DELETED),
            nullable=False,
        ),
        *(c for c in MEMBERS.columns if c.name not in OF_THE_DAY),
        PART_DATE,
        RUN_TIMESTAMP,
    ),
    table_checks=(
        TableCheck(
            "replay_gives_the_day",
            "replaying the updates over the day before gives the day's members",
            _replay_differences,
        ),
    ),
)


@mart(TABLE, now=same_period(wv_comm_user), before=previous_period(wv_comm_user))
def wv_comm_user_update(now: ir.Table, before: ir.Table) -> ir.Table:
    """Members added, changed or removed since the day before. On the first day all members are added.

    Replaying the updates of all days up to D over an empty table gives the members of D.
    """
    key = ["part_date", *PAIR]
    columns = [*key, "key_date", *COMPARED]
    members = now.select(*columns).outer_join(_next_day(before).select(*columns), key, rname="old_{name}")
    is_created, is_deleted = members.old_part_date.isnull(), members.part_date.isnull()
    is_same = ibis.and_(*(members[c].identical_to(members[f"old_{c}"]) for c in COMPARED))
    changed = members.filter(is_created | is_deleted | ~is_same)
    # One pass instead of three: the snapshots are wide, so each read is expensive.
    return changed.select(
        update_type=ibis.cases(
            (changed.old_part_date.isnull(), CREATED), (changed.part_date.isnull(), DELETED), else_=UPDATED
        ),
        **{c: changed.part_date.isnull().ifelse(changed[f"old_{c}"], changed[c]) for c in columns},
    )
