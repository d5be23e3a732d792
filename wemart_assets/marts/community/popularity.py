"""The posts seen by most members of a community in a day, week or month: one rule for the three tables."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.days import Period
from wemart_assets.lake.functions import first_day_of
from wemart_assets.lake.table import (
    KEY_DATE_IS_PART_DATE,
    RUN_TIMESTAMP,
    Table,
    TableCheck,
    ValueCheck,
    at_least,
    column,
)

# Posts per community and period.
POSTS = 100
COMMUNITY = ("part_date", "comm_id")
POST = (*COMMUNITY, "post_id")
COUNTS = ("viewers", "likers", "commenters")


def popularity_table(name: str, period: Period) -> Table:
    """Declaration of the table of popular posts by `period`."""
    is_daily = period is Period.DAY
    day = "business day" if is_daily else f"first day of the {period}"
    of_day = "of the day" if is_daily else f"as of the {period}'s last day"

    def in_period(rows: ir.Table) -> ir.Table:
        """The rows of daily inputs, dated with their period."""
        return rows.mutate(part_date=first_day_of(rows.key_date, period).cast("string"))

    def broken_counts(staged: ir.Table, members: ir.Table, views: ir.Table, reactions: ir.Table) -> ir.Table:
        return _posts_off_count(staged, *map(in_period, (members, views, reactions)))

    def left_out(staged: ir.Table, members: ir.Table, views: ir.Table) -> ir.Table:
        return _left_out(staged, *map(in_period, (members, views)))

    return Table(
        database="we_mart",
        name=name,
        description=(
            f"One row per {period}, community and rank: the {POSTS} posts that most members saw, and how many members "
            "saw, liked and commented on each."
        ),
        grain=("key_date", "comm_id", "rank"),
        period=period,
        columns=(
            column("key_date", "date", day, nullable=False),
            column("comm_id", "bigint", "community", nullable=False),
            column(
                "rank",
                "int",
                "rank of the post in its community; 1 is the post that most members saw",
                ValueCheck("domains", f"1 to {POSTS}", lambda rank: rank.between(1, POSTS)),
                nullable=False,
            ),
            column("post_id", "string", "post, <shard>-<number>", nullable=False),
            column("viewers", "bigint", f"members {of_day} who viewed the post", at_least(1), nullable=False),
            column("likers", "bigint", f"members {of_day} who liked it", at_least(0), nullable=False),
            column("commenters", "bigint", f"members {of_day} who commented on it", at_least(0), nullable=False),
            column("part_date", "string", f"{day}, as partitions are named", nullable=False),
            RUN_TIMESTAMP,
        ),
        row_checks=(KEY_DATE_IS_PART_DATE,),
        table_checks=(
            TableCheck("ranks_have_no_gaps", "a community's ranks run from 1 to its number of posts", _gaps),
            TableCheck(
                "ranks_follow_the_viewers",
                "the next post has fewer viewers, or as many and a greater id",
                _out_of_order,
            ),
            TableCheck(
                "counts_are_members",
                "viewers, likers and commenters are distinct members who viewed, liked or commented in the period",
                broken_counts,
            ),
            TableCheck(
                "nothing_popular_is_left_out",
                f"no post left out ranks above the {POSTS}th, and nothing is left out of a shorter list",
                left_out,
            ),
        ),
    )


def _gaps(staged: ir.Table) -> ir.Table:
    communities = staged.group_by(*COMMUNITY).aggregate(posts=staged.post_id.nunique(), highest=staged["rank"].max())
    return communities.filter(communities.posts != communities.highest)


def _out_of_order(staged: ir.Table) -> ir.Table:
    following = staged.select(
        *(staged[name].name(f"next_{name}") for name in POST),
        next_viewers=staged.viewers,
        previous_rank=staged["rank"] - 1,
    )
    at = [*(staged[name] == following[f"next_{name}"] for name in COMMUNITY), staged["rank"] == following.previous_rank]
    pairs = staged.inner_join(following, at)
    is_next = (pairs.next_viewers < pairs.viewers) | (
        (pairs.next_viewers == pairs.viewers) & (pairs.next_post_id > pairs.post_id)
    )
    return pairs.filter(~is_next).select(*COMMUNITY, "rank", "post_id", "viewers", "next_post_id", "next_viewers")


def _acts_of_members(rows: ir.Table, members: ir.Table) -> ir.Table:
    """Rows by members of their community as of the period's last day: community, post and account, each once."""
    return rows.semi_join(members, [*COMMUNITY, "we_member_id"]).select(*POST, "we_member_id").distinct()


def _posts_off_count(staged: ir.Table, members: ir.Table, views: ir.Table, reactions: ir.Table) -> ir.Table:
    acts = (
        ("viewers", views.filter(views.view_cnt > 0)),
        ("likers", reactions.filter(reactions.is_like == 1)),
        ("commenters", reactions.filter(reactions.is_cmnt == 1)),
    )
    wrong = []
    for name, rows in acts:
        accounts = _acts_of_members(rows, members)
        posts = accounts.group_by(*POST).aggregate(expected=accounts.count())
        posts = posts.rename({f"counted_{c}": c for c in POST})
        counts = staged.left_join(posts, [staged[c] == posts[f"counted_{c}"] for c in POST])
        counts = counts.select(*POST, actual=counts[name], expected=counts.expected.fill_null(0))
        wrong.append(counts.filter(counts.actual != counts.expected).mutate(count=ibis.literal(name)))
    return ibis.union(*wrong)


def _left_out(staged: ir.Table, members: ir.Table, views: ir.Table) -> ir.Table:
    seen = _acts_of_members(views.filter(views.view_cnt > 0, views.post_id.notnull()), members)
    posts = seen.group_by(*POST).aggregate(viewers=seen.count()).anti_join(staged, POST)
    last = staged.group_by(*COMMUNITY).aggregate(
        ranks=staged.count(), least=staged.viewers.min(), last_id=staged.post_id.max(where=staged["rank"] == POSTS)
    )
    last = last.rename({f"last_{name}": name for name in COMMUNITY})
    posts = posts.left_join(last, [posts[name] == last[f"last_{name}"] for name in COMMUNITY])
    is_after_the_last = (posts.viewers < posts.least) | (
        (posts.viewers == posts.least) & (posts.post_id > posts.last_id)
    )
    is_rightly_out = ((posts.ranks == POSTS) & is_after_the_last).fill_null(False)
    return posts.filter(~is_rightly_out).select(*POST, "viewers")


def popular(members: ir.Table, views: ir.Table, reactions: ir.Table, period: Period) -> ir.Table:
    """The posts of each community that most of its members as of the period's last day viewed during it.

    Posts that no member viewed have no rank, even if members liked them. Ties are ordered by post_id, as text. Each
    member counts once per post, and only in the community that the activity names.
    """
    acts = ibis.union(
        _acts(views.filter(views.view_cnt > 0), "viewers", period),
        _acts(reactions.filter(reactions.is_like == 1), "likers", period),
        _acts(reactions.filter(reactions.is_cmnt == 1), "commenters", period),
    )
    acts = acts.filter(acts.post_id.notnull())
    accounts = acts.group_by("key_date", "comm_id", "post_id", "we_member_id").aggregate(
        **{name: (acts.act == name).cast("int64").max() for name in COUNTS}
    )
    members = members.mutate(key_date=first_day_of(members.key_date, period))
    accounts = accounts.semi_join(members, ["key_date", "comm_id", "we_member_id"])
    posts = accounts.group_by("key_date", "comm_id", "post_id").aggregate(
        **{name: accounts[name].sum() for name in COUNTS}
    )
    posts = posts.filter(posts.viewers > 0)
    order = ibis.window(group_by=["key_date", "comm_id"], order_by=[ibis.desc("viewers"), "post_id"])
    posts = posts.mutate(rank=ibis.row_number().over(order) + 1)
    return posts.filter(posts["rank"] <= POSTS).mutate(part_date=posts.key_date.cast("string"))


def _acts(rows: ir.Table, act: str, period: Period) -> ir.Table:
    return rows.select(
        "comm_id", "post_id", "we_member_id", key_date=first_day_of(rows.key_date, period), act=ibis.literal(act)
    )
