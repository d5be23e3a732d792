"""Engaged members of a period: one rule for the tables by day, by week and by month."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.days import Period
from wemart_assets.lake.functions import first_day_of
from wemart_assets.lake.table import RUN_TIMESTAMP, RowCheck, Table, at_least, column

ACTS = ("view_user_cnt", "like_user_cnt", "cmnt_user_cnt", "media_react_user_cnt", "engage_user_cnt")


def engagement_table(name: str, period: Period) -> Table:
    """The table of engaged members by `period`."""
    day = "business day" if period is Period.DAY else f"first day of the {period}"
    counts = (
        ("view_user_cnt", "viewed a post"),
        ("like_user_cnt", "liked a post"),
        ("cmnt_user_cnt", "commented on a post"),
        ("media_react_user_cnt", "liked a medium or commented on it"),
        ("engage_user_cnt", "did any of these"),
    )
    return Table(
        database="we_mart",
        name=name,
        description=(
            f"One row per {period}, community and country (as of the {period}'s last day): members, and what they did."
        ),
        grain=("key_date", "comm_id", "ip_ctry"),
        period=period,
        columns=(
            column("key_date", "date", day, nullable=False),
            column("comm_id", "bigint", "community", nullable=False),
            column("ip_ctry", "string", f"country that the member comes from on the {period}'s last day"),
            column("member_cnt", "bigint", f"members of the {period}'s last day", at_least(1), nullable=False),
            *(
                column(act, "bigint", f"of them, those who {description} in the {period}", at_least(0), nullable=False)
                for act, description in counts
            ),
            column("part_date", "string", f"{day}, as partitions are named", nullable=False),
            RUN_TIMESTAMP,
        ),
        row_checks=(
            RowCheck(
                "engaged_are_members",
                "no more engaged than are members, and no fewer than did any one thing",
                lambda t: (
                    (t.engage_user_cnt <= t.member_cnt) & ibis.and_(*(t[act] <= t.engage_user_cnt for act in ACTS[:-1]))
                ),
            ),
            RowCheck(
                "first_day_of_the_period",
                "key_date is the day that part_date names",
                lambda t: t.part_date == t.key_date.cast("string"),
            ),
        ),
    )


def engaged(members: ir.Table, views: ir.Table, reactions: ir.Table, media: ir.Table, period: Period) -> ir.Table:
    """Members of each period's last day, and of them the distinct ones who did something in the community in it.

    What an account without a Weverse user does, or a user who is no member on the last day, does not count.
    """
    views = views.filter(views.view_cnt > 0)
    media = media.filter((media.is_like == 1) | (media.is_cmnt == 1))
    acts = ibis.union(
        _acts(views, "view", period),
        _acts(reactions.filter(reactions.is_like == 1), "like", period),
        _acts(reactions.filter(reactions.is_cmnt == 1), "cmnt", period),
        _acts(media, "media_react", period),
    )
    did = acts.group_by("start", "of_comm", "of_account").aggregate(
        **{f"did_{act}": (acts.act == act).cast("int64").max() for act in ("view", "like", "cmnt", "media_react")}
    )
    members = members.mutate(key_date=first_day_of(members.key_date, period))
    at = [members.key_date == did.start, members.comm_id == did.of_comm, members.we_member_id == did.of_account]
    both = members.select("key_date", "comm_id", "ip_ctry", "we_member_id").left_join(did, at)
    by_country = both.group_by("key_date", "comm_id", "ip_ctry")
    counted = by_country.aggregate(
        member_cnt=both.count(),
        **{f"{act}_user_cnt": both[f"did_{act}"].fill_null(0).sum() for act in ("view", "like", "cmnt", "media_react")},
        engage_user_cnt=both.count(where=both.of_account.notnull()),
    )
    return counted.mutate(part_date=counted.key_date.cast("string"))


def _acts(rows: ir.Table, act: str, period: Period) -> ir.Table:
    return rows.select(
        start=first_day_of(rows.key_date, period), of_comm="comm_id", of_account="we_member_id", act=ibis.literal(act)
    )
