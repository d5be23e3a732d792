"""`we_mart.wv_comm_user`, the main community mart: the members of every community, day by day."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.days import shift
from wemart_assets.lake.functions import business_date
from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import (
    FLAG,
    KEY_DATE,
    PART_DATE,
    RUN_TIMESTAMP,
    Column,
    RowCheck,
    Severity,
    Table,
    TableCheck,
    at_least,
    column,
    one_of,
)
from wemart_assets.marts.community.wv_comm_user_base import wv_comm_user_base
from wemart_assets.marts.memberships import held_memberships
from wemart_assets.sources.contracts.we_mart import (
    we_artist,
    we_user,
    ws_fc_user_history,
    wv1_join_info,
    wv_user_ctry_history,
)
from wemart_assets.sources.contracts.we_meta import v_to_wv_comm_mapping
from wemart_assets.sources.contracts.weverse2 import (
    community_common_report,
    community_log_v_member_migration,
    community_member_special_member,
    notification_push_config,
)

NORMAL, LEFT, LEFT_WEVERSE = "NORMAL", "DEACTIVATED", "WV_DEACTIVATED"
LEAST_GROWTH, GREATEST_GROWTH = 0.8, 1.5

# Alarms of the product's first version, which is gone. The columns stay for queries that name them.
WV1_ALARMS = (
    "like_on_comment_alarm",
    "hot_post_alarm",
    "new_fc_alarm",
    "new_media_alarm",
    "new_community_notice_alarm",
    "artist_to_fans_post_alarm",
    "artist_post_alarm",
    "artist_like_on_my_post_alarm",
    "artist_comment_on_my_post_alarm",
    "like_on_my_post_alarm",
    "comment_on_my_post_alarm",
    "after_receiving_artist_comment_alarm",
)
PUSH_FLAGS = (
    "artist_cheering_me_push_enabled",
    "artist_comment_push_enabled",
    "artist_live_on_air_push_enabled",
    "artist_live_reservation_push_enabled",
    "artist_moment_push_enabled",
    "artist_post_push_enabled",
    "comment_push_enabled",
    "community_anniversary_push_enabled",
    "community_media_push_enabled",
    "community_notice_push_enabled",
    "following_push_enabled",
)


def _flag(name: str, type: str, description: str) -> Column:
    return column(name, type, description, FLAG, nullable=False)


def _out_of_growth(staged: ir.Table, published: ir.Table, days: Sequence[str]) -> ir.Table:
    before = ibis.literal(shift(days[0], -1))
    published_day = published.filter(published.part_date == before)
    published_day = published_day.group_by("part_date").aggregate(members=ibis._.count())
    staged_days = staged.group_by("part_date").aggregate(members=ibis._.count())
    days_before = ibis.union(published_day, staged_days).select(day_before="part_date", members_before="members")
    next_days = {day: shift(day, 1) for day in [shift(days[0], -1), *days]}
    days_before = days_before.mutate(next_day=days_before.day_before.cases(*next_days.items()))
    day_pairs = staged_days.join(days_before, staged_days.part_date == days_before.next_day)
    return day_pairs.filter(~(day_pairs.members / day_pairs.members_before).between(LEAST_GROWTH, GREATEST_GROWTH))


def _unknown_artists(staged: ir.Table) -> ir.Table:
    members = staged.filter(staged.we_art_id.isnull())
    return members.group_by("part_date", "comm_id").aggregate(members=members.count())


def _unknown_channels(staged: ir.Table, channels: ir.Table) -> ir.Table:
    mapped_communities = channels.select("part_date", "comm_id").distinct()
    migrated_communities = staged.filter(staged.v_ch_join_dt.notnull()).select("part_date", "comm_id").distinct()
    delivered_days = mapped_communities.select("part_date").distinct()
    return migrated_communities.semi_join(delivered_days, "part_date").anti_join(
        mapped_communities, ["part_date", "comm_id"]
    )


def _users_with_two_first_joins(staged: ir.Table) -> ir.Table:
    users = staged.group_by("part_date", "wv_user_id").aggregate(
        least=staged.tot_comm_user_first_dt.min(), greatest=staged.tot_comm_user_first_dt.max()
    )
    return users.filter(users.least != users.greatest)


TABLE = Table(
    database="we_mart",
    name="wv_comm_user",
    description="One row per community and member on the business day, with the member's profile, status and settings.",
    grain=("comm_id", "wv_user_id"),
    partition_by=("part_comm_id", "part_date"),
    tags={"tier": "primary"},
    columns=(
        KEY_DATE,
        column("wv_user_id", "bigint", "Weverse user", nullable=False),
        column("we_member_id", "bigint", "account of the user"),
        column("comm_id", "bigint", "community", nullable=False),
        column("we_art_id", "int", "artist of the community"),
        column("we_art_name", "string", "name of the artist"),
        _flag("is_fc", "int", "1 if the member holds the artist's membership"),
        column("fc_id", "bigint", "membership held, the newest of several"),
        column("art_indi_id", "string", "artist member id, if the user is an artist"),
        column("art_indi_type", "string", "kind of artist member"),
        column("art_indi_name", "string", "official name of the artist member: Korean, else English, else Japanese"),
        column("ip_ctry", "string", "country of the user that day"),
        column("wv_user_status", "string", "status of the Weverse user"),
        column("comm_user_first_dt", "timestamp", "earliest known join of the community (UTC)", nullable=False),
        column("tot_comm_user_first_dt", "timestamp", "earliest known join of any community (UTC)", nullable=False),
        _flag("is_first_user_comm", "int", "1 if this community was the first that the user joined"),
        column(
            "comm_user_status",
            "string",
            "NORMAL; DEACTIVATED on the day of leaving the community; WV_DEACTIVATED on the day of leaving Weverse",
            one_of(NORMAL, LEFT, LEFT_WEVERSE),
            nullable=False,
        ),
        column(
            "comm_user_grade",
            "string",
            "kind of member",
            one_of("FAN", "ARTIST", "OTHER_COMMUNITY_ARTIST"),
            nullable=False,
        ),
        column("comm_user_cre_dt", "timestamp", "latest join of the community (UTC)", nullable=False),
        column(
            "comm_user_end_dt",
            "timestamp",
            "instant of leaving the community or Weverse (UTC), NULL if the user has not left",
        ),
        _flag("is_profile_created", "bigint", "always 1: every member has a profile"),
        column("profile_name", "string", "display name of the member"),
        _flag("is_profile_private", "bigint", "1 for a private profile"),
        _flag("is_upload_profile_img", "int", "1 if there is a profile picture"),
        _flag("is_upload_profile_background_img", "int", "1 if there is a cover picture"),
        _flag("is_official", "bigint", "1 for an official account"),
        column("comm_user_id", "string", "<community>-<user>", nullable=False),
        column("cnt_comm_user_id", "bigint", "number of joins of the community so far", at_least(1), nullable=False),
        column("sum_report_count", "bigint", "number of reports against the member", at_least(0), nullable=False),
        column("comm_user_seq", "int", "ordinal of the latest status event among events of the same type", at_least(1)),
        column("notification_type", "string", "always ALL", one_of("ALL"), nullable=False),
        *(column(name, "tinyint", "always NULL: alarm of the product's first version") for name in WV1_ALARMS),
        *(
            _flag(
                name,
                "tinyint",
                f"1 if this push notification is on: {name.removesuffix('_push_enabled').replace('_', ' ')}",
            )
            for name in PUSH_FLAGS
        ),
        column("v_ch_join_dt", "timestamp", "first join of a member migrated from the former live service (UTC)"),
        _flag("is_v_user", "int", "1 if the user has a known account on the former live service"),
        column("part_comm_id", "bigint", "community, as partitions are named", nullable=False),
        PART_DATE,
        RUN_TIMESTAMP,
    ),
    row_checks=(
        RowCheck(
            "partition_is_the_rows",
            "part_comm_id is comm_id and part_date is key_date",
            lambda t: (t.part_comm_id == t.comm_id) & (t.part_date == t.key_date.cast("string")),
        ),
        RowCheck(
            "first_join_first",
            "comm_user_first_dt is not after comm_user_cre_dt and not before tot_comm_user_first_dt",
            lambda t: (t.comm_user_first_dt <= t.comm_user_cre_dt) & (t.tot_comm_user_first_dt <= t.comm_user_first_dt),
        ),
        RowCheck(
            "ends_after_it_began",
            "nobody leaves before joining",
            lambda t: t.comm_user_end_dt.isnull() | (t.comm_user_end_dt >= t.comm_user_cre_dt).fill_null(False),
        ),
        RowCheck(
            "belongs_on_the_day",
            "the day lies between the days of joining and leaving",
            lambda t, timezone: (
                (business_date(t.comm_user_cre_dt, timezone) <= t.key_date)
                & (t.comm_user_end_dt.isnull() | (business_date(t.comm_user_end_dt, timezone) >= t.key_date))
            ),
        ),
        RowCheck(
            "membership_is_known",
            "is_fc is 1 if and only if fc_id is not null",
            lambda t: t.is_fc == t.fc_id.notnull().cast("int32"),
        ),
        RowCheck(
            "first_community_is_the_first",
            "is_first_user_comm is 1 if and only if comm_user_first_dt equals tot_comm_user_first_dt",
            lambda t: t.is_first_user_comm == (t.comm_user_first_dt == t.tot_comm_user_first_dt).cast("int32"),
        ),
        RowCheck(
            "comm_user_id_formula",
            "comm_user_id is `<comm_id>-<wv_user_id>`",
            lambda t: t.comm_user_id == t.comm_id.cast("string") + "-" + t.wv_user_id.cast("string"),
        ),
        RowCheck(
            "artists_have_ids",
            "artists have art_indi_id and art_indi_type, matching comm_user_id and comm_user_grade; fans have neither",
            lambda t: (
                ((t.comm_user_grade == "FAN") & t.art_indi_id.isnull() & t.art_indi_type.isnull())
                | ((t.art_indi_id == t.comm_user_id) & (t.art_indi_type == t.comm_user_grade)).fill_null(False)
            ),
        ),
    ),
    table_checks=(
        TableCheck(
            "one_beginning_a_user",
            "all rows of a user have the same tot_comm_user_first_dt",
            _users_with_two_first_joins,
        ),
        TableCheck(
            "growth",
            f"each day has {LEAST_GROWTH:g} to {GREATEST_GROWTH:g} times the members of the day before",
            _out_of_growth,
            Severity.WARN,
        ),
        TableCheck("unknown_artists", "every community has an artist", _unknown_artists, Severity.WARN),
        TableCheck(
            "unknown_channels",
            "communities with members from the former live service have a channel there (if channels were delivered)",
            _unknown_channels,
            Severity.WARN,
        ),
    ),
)


@mart(
    TABLE,
    base=same_period(wv_comm_user_base),
    users=same_period(we_user),
    artists=same_period(we_artist),
    memberships=same_period(ws_fc_user_history),
    migrations=same_period(community_log_v_member_migration),
    channels=same_period(v_to_wv_comm_mapping),
    first_version=same_period(wv1_join_info),
    specials=same_period(community_member_special_member),
    reports=same_period(community_common_report),
    countries=same_period(wv_user_ctry_history),
    pushes=same_period(notification_push_config),
)
def wv_comm_user(
    base: ir.Table,
    users: ir.Table,
    artists: ir.Table,
    memberships: ir.Table,
    migrations: ir.Table,
    channels: ir.Table,
    first_version: ir.Table,
    specials: ir.Table,
    reports: ir.Table,
    countries: ir.Table,
    pushes: ir.Table,
    timezone: str,
) -> ir.Table:
    """The members of every community on each day: users who joined by then and did not leave before it.

    A user who leaves is still a member on the day of leaving and gone the next day.
    """
    pairs = _with_first_joins(base.drop("run_timestamp"), migrations, first_version)
    pairs = _with_account(pairs, users)
    members = _members(pairs, timezone)
    members = _with_artist(members, artists)
    members = _with_membership(members, memberships, timezone)
    members = _with_special(members, specials)
    members = _joined(members, countries=_country(countries), on=["part_date", "wv_user_id"])
    members = _joined(members, reports=_by_pair(reports, "report_count"), on=["part_date", "comm_id", "wv_user_id"])
    members = _joined(members, pushes=_push_flags(pushes), on=["part_date", "comm_id", "wv_user_id"])
    return members.mutate(
        is_profile_created=1,
        is_profile_private=(members.hidden == "true").fill_null(False).cast("int64"),
        is_upload_profile_img=members.profile_image_url.notnull().cast("int32"),
        is_upload_profile_background_img=members.profile_cover_image_url.notnull().cast("int32"),
        cnt_comm_user_id=ibis.greatest(members.subscribe_cnt, 1),
        sum_report_count=members.report_count.fill_null(0),
        comm_user_seq=ibis.cases(
            (members.status == "subscribe", members.subscribe_cnt),
            (members.status == "unsubscribe", members.unsubscribe_cnt),
        ),
        notification_type=ibis.literal("ALL"),
        **{name: ibis.null("int8") for name in WV1_ALARMS},
        **{name: members[name].fill_null(0) for name in PUSH_FLAGS},
        part_comm_id=members.comm_id,
    )


def _joined(members: ir.Table, on: Sequence[str], **other: ir.Table) -> ir.Table:
    """The members with the columns of one other table, NULL where no row of it matches."""
    [right] = other.values()
    right = right.rename({f"right_{c}": c for c in on})
    at = [members[c] == right[f"right_{c}"] for c in on]
    return members.left_join(right, at).drop(*(f"right_{c}" for c in on))


def _by_pair(rows: ir.Table, *columns: str) -> ir.Table:
    return rows.select("part_date", *columns, comm_id=rows.community_id, wv_user_id=rows.user_id)


def _with_first_joins(pairs: ir.Table, migrations: ir.Table, first_version: ir.Table) -> ir.Table:
    """Adds first joins to every pair. Leavers are included: their joins count for the first of any community."""
    on = ["part_date", "comm_id", "wv_user_id"]
    migrated = migrations.select(
        "part_date",
        comm_id=migrations.community_id,
        wv_user_id=migrations.user_id,
        migrated_dt=migrations.created_at,
        is_migrated=ibis.literal(True),
    )
    joined = first_version.select("part_date", "comm_id", "wv_user_id", joined_dt="comm_user_first_dt")
    pairs = _joined(_joined(pairs, migrated=migrated, on=on), joined=joined, on=on)
    pairs = pairs.mutate(
        # The last join is a join too: if no earlier one is known, it is the first.
        comm_user_first_dt=ibis.least(pairs.migrated_dt, pairs.first_join_dt, pairs.joined_dt, pairs.last_join_dt),
        v_ch_join_dt=pairs.is_migrated.fill_null(False).ifelse(
            pairs.first_join_dt, ibis.null(pairs.first_join_dt.type())
        ),
    )
    user = ["part_date", "wv_user_id"]
    first_joins = pairs.group_by(*user).aggregate(first_join=pairs.comm_user_first_dt.min())
    wv1_joins = first_version.group_by(*user).aggregate(wv1_first_join=first_version.tot_comm_user_first_dt.min())
    pairs = _joined(_joined(pairs, first_joins=first_joins, on=user), wv1_joins=wv1_joins, on=user)
    pairs = pairs.mutate(tot_comm_user_first_dt=ibis.least(pairs.first_join, pairs.wv1_first_join))
    is_first = (pairs.comm_user_first_dt == pairs.tot_comm_user_first_dt).fill_null(False)
    return pairs.mutate(is_first_user_comm=is_first.cast("int32"))


def _with_account(pairs: ir.Table, users: ir.Table) -> ir.Table:
    accounts = users.filter(users.wv_user_id.notnull()).select(
        "part_date",
        "wv_user_id",
        "we_member_id",
        "wv_leave_dt",
        wv_user_status="wv_status",
        is_v_user=users.vlive_id.notnull().cast("int32"),
    )
    pairs = _joined(pairs, accounts=accounts, on=["part_date", "wv_user_id"])
    return pairs.mutate(is_v_user=pairs.is_v_user.fill_null(0))


def _members(pairs: ir.Table, timezone: str) -> ir.Table:
    """The pairs in which the user is a member on the day, with the instants of joining and leaving."""
    day = pairs.part_date.cast("date")
    # A later join undoes a leave, even if there is no status line for it.
    left = (pairs.status == "unsubscribe").fill_null(False) & (pairs.status_dt >= pairs.last_join_dt).fill_null(False)
    left_weverse = (pairs.wv_leave_dt >= pairs.last_join_dt).fill_null(False)
    pairs = pairs.mutate(
        key_date=day,
        comm_user_cre_dt=pairs.last_join_dt,
        comm_user_end_dt=ibis.cases((left, pairs.status_dt), (left_weverse, pairs.wv_leave_dt)),
        comm_user_status=ibis.cases(
            ((business_date(pairs.wv_leave_dt, timezone) == day).fill_null(False), LEFT_WEVERSE),
            (left, LEFT),
            else_=NORMAL,
        ),
        comm_user_id=pairs.comm_id.cast("string") + "-" + pairs.wv_user_id.cast("string"),
    )
    return pairs.filter(
        business_date(pairs.comm_user_cre_dt, timezone) <= pairs.key_date,
        *(
            pairs[end].isnull() | (business_date(pairs[end], timezone) >= pairs.key_date)
            for end in ("comm_user_end_dt", "wv_leave_dt")
        ),
    )


def _with_artist(members: ir.Table, artists: ir.Table) -> ir.Table:
    artists = artists.filter(artists.comm_id.notnull()).select("part_date", "comm_id", "we_art_id", "we_art_name")
    return _joined(members, artists=artists, on=["part_date", "comm_id"])


def _with_membership(members: ir.Table, memberships: ir.Table, timezone: str) -> ir.Table:
    held = held_memberships(memberships, timezone)
    holder = ["part_date", "we_art_id", "we_member_id"]
    newest = ibis.window(group_by=holder, order_by=[ibis.desc("create_dt"), ibis.desc("fc_id")])
    held = held.mutate(place=ibis.row_number().over(newest))
    held = held.filter(held.place == 0).select(*holder, "fc_id")
    members = _joined(members, held=held, on=holder)
    return members.mutate(is_fc=members.fc_id.notnull().cast("int32"))


def _with_special(members: ir.Table, specials: ir.Table) -> ir.Table:
    special_members = _by_pair(
        specials.mutate(
            art_indi_type=specials.special_member_type,
            art_indi_name=ibis.coalesce(
                specials.official_name_ko, specials.official_name_en, specials.official_name_jp
            ),
        ),
        "art_indi_type",
        "art_indi_name",
        "is_official",
    )
    members = _joined(members, special_members=special_members, on=["part_date", "comm_id", "wv_user_id"])
    is_special = members.art_indi_type.notnull()
    return members.mutate(
        comm_user_grade=members.art_indi_type.fill_null("FAN"),
        art_indi_id=is_special.ifelse(members.comm_user_id, ibis.null("string")),
        art_indi_name=is_special.ifelse(members.art_indi_name, ibis.null("string")),
        is_official=members.is_official.fill_null(0),
    )


def _country(countries: ir.Table) -> ir.Table:
    day = countries.part_date.cast("date")
    has_started = countries.start_date.isnull() | (countries.start_date <= day)
    valid = countries.filter(has_started, countries.end_date.isnull() | (countries.end_date >= day))
    lowest = ibis.window(group_by=["part_date", "wv_user_id"], order_by="seq")
    valid = valid.mutate(place=ibis.row_number().over(lowest))
    return valid.filter(valid.place == 0).select("part_date", "wv_user_id", "ip_ctry")


def _push_flags(pushes: ir.Table) -> ir.Table:
    enabled = pushes.filter(pushes.value == "true", pushes.config_key.isin(PUSH_FLAGS))
    flags = enabled.group_by("part_date", comm_id=enabled.community_id, wv_user_id=enabled.user_id)
    return flags.aggregate(**{name: (enabled.config_key == name).cast("int8").max() for name in PUSH_FLAGS})
