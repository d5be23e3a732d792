"""Engaged members of a day, week or month: one rule for the three tables."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.days import Period
from wemart_assets.lake.functions import first_day_of
from wemart_assets.lake.table import KEY_DATE_IS_PART_DATE, RUN_TIMESTAMP, RowCheck, Table, at_least, column

ACTS = ("view_user_cnt", "like_user_cnt", "cmnt_user_cnt", "media_react_user_cnt", "engage_user_cnt")


def engagement_table(name: str, period: Period) -> Table:
    """Declaration of the table of engaged members by `period`."""
    is_daily = period is Period.DAY
    day = "business day" if is_daily else f"first day of the {period}"
    last_day = "the day" if is_daily else f"the {period}'s last day"
    as_of = "" if is_daily else f" (as of {last_day})"
    counts = (
        ("view_user_cnt", "viewed a post"),
        ("like_user_cnt", "liked a post"),
        ("cmnt_user_cnt", "commented on a post"),
        ("media_react_user_cnt", "liked or commented on a media item"),
        ("engage_user_cnt", "did any of these"),
    )
    return Table(
        database="we_mart",
        name=name,
        description=(
            f"One row per {period}, community and country{as_of}: members, and how many of them were engaged."
        ),
        grain=("key_date", "comm_id", "ip_ctry"),
        period=period,
        columns=(
            column("key_date", "date", day, nullable=False),
            column("comm_id", "bigint", "community", nullable=False),
            column("ip_ctry", "string", f"country of the members as of {last_day}"),
            column("member_cnt", "bigint", f"members as of {last_day}", at_least(1), nullable=False),
            *(
                column(
                    act, "bigint", f"of them, those who {description} during the {period}", at_least(0), nullable=False
                )
                for act, description in counts
            ),
            column("part_date", "string", f"{day}, as partitions are named", nullable=False),
            RUN_TIMESTAMP,
        ),
        row_checks=(
            RowCheck(
                "engaged_are_members",
                "engage_user_cnt is at most member_cnt and at least each of the other counts",
                lambda t: (
                    (t.engage_user_cnt <= t.member_cnt) & ibis.and_(*(t[act] <= t.engage_user_cnt for act in ACTS[:-1]))
                ),
            ),
            KEY_DATE_IS_PART_DATE,
        ),
    )


def engaged(members: ir.Table, views: ir.Table, reactions: ir.Table, media: ir.Table, period: Period) -> ir.Table:
    """Members as of each period's last day, and how many distinct ones of them were active in the community during it.

    Activity counts only if its account belongs to a member as of the last day.
    """
    views = views.filter(views.view_cnt > 0)
    media = media.filter((media.is_like == 1) | (media.is_cmnt == 1))
    acts = ibis.union(
        _acts(views, "view", period),
        _acts(reactions.filter(reactions.is_like == 1), "like", period),
        _acts(reactions.filter(reactions.is_cmnt == 1), "cmnt", period),
        _acts(media, "media_react", period),
    )
    active_accounts = acts.group_by("start", "act_comm", "act_account").aggregate(
        **{f"did_{act}": (acts.act == act).cast("int64").max() for act in ("view", "like", "cmnt", "media_react")}
    )
    members = members.mutate(key_date=first_day_of(members.key_date, period))
    at = [
        members.key_date == active_accounts.start,
        members.comm_id == active_accounts.act_comm,
        members.we_member_id == active_accounts.act_account,
    ]
    members = members.select("key_date", "comm_id", "ip_ctry", "we_member_id").left_join(active_accounts, at)
    countries = members.group_by("key_date", "comm_id", "ip_ctry").aggregate(
        member_cnt=members.count(),
        **{
            f"{act}_user_cnt": members[f"did_{act}"].fill_null(0).sum()
            for act in ("view", "like", "cmnt", "media_react")
        },
        engage_user_cnt=members.count(where=members.act_account.notnull()),
    )
    return countries.mutate(part_date=countries.key_date.cast("string"))


def _acts(rows: ir.Table, act: str, period: Period) -> ir.Table:
    return rows.select(
        start=first_day_of(rows.key_date, period), act_comm="comm_id", act_account="we_member_id", act=ibis.literal(act)
    )
