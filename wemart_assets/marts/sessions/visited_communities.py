"""Which community a log line visits: rules 1 and 2 of wv_sess_daily, for every mart that reads lines."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

# Whether the line names a post or a notice.
NAMES_SUBJECT = "names_subject"


def with_community(lines: ir.Table, posts: ir.Table, notices: ir.Table) -> ir.Table:
    """Adds the community of each line (the one it names, else its post's, else its notice's) and `NAMES_SUBJECT`."""
    posts = posts.select(
        "part_date",
        named_post=posts.shard_id.cast("string") + "-" + posts.post_local_id.cast("string"),
        post_comm_id=posts.community_id.cast("string"),
    )
    notices = notices.select(
        "part_date",
        named_notice=notices.id.cast("string"),
        notice_comm_id=notices.parent_id.re_extract("^community-([0-9]+)$", 1).nullif(""),
    )
    lines = lines.left_join(posts, [lines.date_id == posts.part_date, lines.post_id == posts.named_post])
    lines = lines.drop("part_date", "named_post")
    lines = lines.left_join(notices, [lines.date_id == notices.part_date, lines.notice_id == notices.named_notice])
    lines = lines.drop("part_date", "named_notice")
    return lines.mutate(
        comm_id=ibis.coalesce(lines.comm_id, lines.post_comm_id, lines.notice_comm_id),
        **{NAMES_SUBJECT: lines.post_id.notnull() | lines.notice_id.notnull()},
    )


def without_passing_through(passages: ir.Table, members: ir.Table) -> ir.Table:
    """Sets the community to NULL where the user only passed through, and adds `is_comm_user` and the artist member.

    A user passes through a community if they are not a member and the lines name neither post nor notice. `passages`
    are lines, or groups of lines with the same user session, community and `NAMES_SUBJECT`.
    """
    members = members.select(
        "part_date",
        "art_indi_id",
        "art_indi_type",
        member_comm=members.comm_id.cast("string"),
        member_user=members.wv_user_id.cast("string"),
        is_member=ibis.literal(1, "int32"),
    )
    at = [
        passages.date_id == members.part_date,
        passages.comm_id == members.member_comm,
        passages.user_id_fill == members.member_user,
    ]
    passages = passages.left_join(members, at).drop("part_date", "member_comm", "member_user")
    is_visit = passages.is_member.notnull() | passages[NAMES_SUBJECT]
    visited = is_visit & passages.comm_id.notnull()
    visits = passages.mutate(
        comm_id=visited.ifelse(passages.comm_id, ibis.null("string")),
        is_comm_user=visited.ifelse(passages.is_member.fill_null(0), ibis.null("int32")),
    )
    return visits.drop(NAMES_SUBJECT, "is_member")


def with_account(visits: ir.Table, users: ir.Table) -> ir.Table:
    """Adds the account, `we_member_id` and `wv_user_id`, of the user of each row."""
    users = users.filter(users.wv_user_id.notnull()).select(
        "we_member_id", "wv_user_id", user_day="part_date", account_user=users.wv_user_id.cast("string")
    )
    at = [visits.date_id == users.user_day, visits.user_id_fill == users.account_user]
    return visits.left_join(users, at).drop("user_day", "account_user")
