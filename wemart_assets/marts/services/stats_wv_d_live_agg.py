"""`we_mart.stats_wv_d_live_agg`: who watched and reacted to the artists' lives on a day."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import (
    KEY_DATE,
    PART_DATE,
    RUN_TIMESTAMP,
    Measure,
    RowCheck,
    Table,
    TableCheck,
    at_least,
    column,
)
from wemart_assets.lake.volume import volume_check
from wemart_assets.marts.community.rules import matched
from wemart_assets.marts.community.wv_comm_user import wv_comm_user
from wemart_assets.marts.services.rules import members_of_artists, of_accounts, only_reactions
from wemart_assets.marts.sessions.rules import USER_TYPES, totals, unequal
from wemart_assets.marts.sessions.wv_sess_daily import wv_sess_daily
from wemart_assets.sources.contracts.we_mart import we_user, wv_live, wv_media_reaction, wv_video_play
from wemart_assets.sources.contracts.we_meta import we_country

LIVE = ("we_art_id", "media_type", "live_type")


def _platforms_with_other_plays(staged: ir.Table, plays: ir.Table, lives: ir.Table) -> ir.Table:
    by = ["part_date", "platform"]
    of_lives = plays.semi_join(lives, ["part_date", "video_id"])
    expected = totals(of_lives, by, "expected", play_cnt=of_lives.count(), play_sec=of_lives.play_sec.sum())
    actual = totals(staged, by, "actual", play_cnt=staged.play_cnt.sum(), play_sec=staged.play_sec.sum())
    return unequal(actual, expected, [*by, "measure"])


def _lives_with_other_reactors(staged: ir.Table, media: ir.Table, lives: ir.Table) -> ir.Table:
    by = ["part_date", *LIVE]
    reacted = of_accounts(only_reactions(media)).select("part_date", "media_id", "we_member_id")
    reacted = lives.inner_join(reacted, ["part_date", "media_id"])
    expected = totals(reacted, by, "expected", reactors=reacted.we_member_id.nunique())
    # A member has one kind and one region, so the rows of a kind of live add up to its reactors.
    actual = totals(staged, by, "actual", reactors=staged.reactor_cnt.sum())
    return unequal(actual, expected, [*by, "measure"])


def _viewers_off_count(staged: ir.Table, plays: ir.Table, lives: ir.Table, sessions: ir.Table) -> ir.Table:
    by = ["part_date", *LIVE, "platform"]
    watched = lives.inner_join(of_accounts(plays).drop("run_timestamp"), ["part_date", "video_id"])
    visited = watched.semi_join(sessions, ["part_date", "we_member_id"])
    expected = ibis.union(
        totals(watched, by, "expected", viewers=watched.we_member_id.nunique()),
        totals(visited, by, "expected", visitors=visited.we_member_id.nunique()),
    )
    actual = totals(staged, by, "actual", viewers=staged.viewer_cnt.sum(), visitors=staged.sess_viewer_cnt.sum())
    return unequal(actual, expected, [*by, "measure"])


TABLE = Table(
    database="we_mart",
    name="stats_wv_d_live_agg",
    description="One row per business day, artist, kind of user, kind of media item, kind of broadcast, platform and "
    "region with a playback of a live video or a reaction to it, on the day of the broadcast or later. Reactions name "
    "no platform: reactors are in rows with platform NULL.",
    grain=("key_date", "we_art_id", "user_type", "media_type", "live_type", "platform", "region_type"),
    columns=(
        KEY_DATE,
        column("we_art_id", "int", "artist of the broadcast, NULL if it has none"),
        column(
            "user_type",
            "string",
            "membership, member or visitor of the artist's community at the end of the day",
            USER_TYPES,
            nullable=False,
        ),
        column("media_type", "string", "kind of media item"),
        column("live_type", "string", "kind of broadcast"),
        column("platform", "string", "platform of the playback, NULL if unknown and for reactions"),
        column(
            "region_type",
            "string",
            "region of the member's country that day or, if there is none, of the account's; NULL if unknown",
        ),
        column("viewer_cnt", "bigint", "accounts with a playback", at_least(0), nullable=False),
        column("play_cnt", "bigint", "playbacks, including those without an account", at_least(0), nullable=False),
        column("play_sec", "bigint", "total seconds played; an unknown length counts as 0", nullable=False),
        column(
            "reactor_cnt",
            "bigint",
            "accounts that liked or commented on a media item of a broadcast",
            at_least(0),
            nullable=False,
        ),
        column(
            "sess_viewer_cnt",
            "bigint",
            "of the viewers, those who also had a session on Weverse that day",
            at_least(0),
            nullable=False,
        ),
        PART_DATE,
        RUN_TIMESTAMP,
    ),
    row_checks=(
        RowCheck(
            "parts_of_the_whole",
            "each viewer has a playback, viewers with a session are viewers, and somebody watched or reacted",
            lambda t: (
                (t.sess_viewer_cnt <= t.viewer_cnt) & (t.viewer_cnt <= t.play_cnt) & (t.play_cnt + t.reactor_cnt > 0)
            ),
        ),
        RowCheck(
            "reactions_name_no_platform",
            "rows with a platform have no reactors",
            lambda t: t.platform.isnull() | (t.reactor_cnt == 0),
        ),
    ),
    table_checks=(
        TableCheck(
            "plays_add_up",
            "playbacks and seconds add up, by platform, to those of known videos",
            _platforms_with_other_plays,
        ),
        TableCheck(
            "viewers_add_up",
            "viewers, and those with a session, add up over kinds of users and regions to the accounts of the plays",
            _viewers_off_count,
        ),
        TableCheck(
            "reactors_add_up",
            "reactors add up, over kinds of users and regions, to the accounts of the reactions",
            _lives_with_other_reactors,
        ),
        volume_check(),
    ),
    measures=(
        Measure(
            "playbacks of videos that are no known live, left out",
            lambda plays, lives: plays.anti_join(lives, ["part_date", "video_id"]).count(),
        ),
    ),
)


@mart(
    TABLE,
    plays=same_period(wv_video_play),
    media=same_period(wv_media_reaction),
    lives=same_period(wv_live),
    members=same_period(wv_comm_user),
    sessions=same_period(wv_sess_daily),
    users=same_period(we_user),
    countries=same_period(we_country),
)
def stats_wv_d_live_agg(
    plays: ir.Table,
    media: ir.Table,
    lives: ir.Table,
    members: ir.Table,
    sessions: ir.Table,
    users: ir.Table,
    countries: ir.Table,
) -> ir.Table:
    """Playbacks of the videos of wv_live, and likes and comments on their media items.

    A playback without an account is a visitor's, without a region, and has no viewer. A reaction counts for each video
    whose media item it names.
    """
    lives = lives.select("part_date", "video_id", "media_id", *LIVE)
    plays = plays.select("part_date", "video_id", "we_member_id", "platform", "play_sec")
    watched = plays.inner_join(lives, ["part_date", "video_id"])
    reactions = of_accounts(only_reactions(media)).select("part_date", "media_id", "we_member_id")
    reacted = reactions.inner_join(lives, ["part_date", "media_id"])
    acts = ibis.union(
        watched.select("part_date", *LIVE, "we_member_id", "platform", "play_sec", is_play=ibis.literal(1, "int64")),
        reacted.select(
            "part_date",
            *LIVE,
            "we_member_id",
            platform=ibis.null("string"),
            play_sec=ibis.null("int64"),
            is_play=ibis.literal(0, "int64"),
        ),
    )
    acts = matched(acts, members_of_artists(members), ["part_date", "we_art_id", "we_member_id"])
    acts = matched(acts, _regions(sessions, users, countries), ["part_date", "we_member_id"])
    acts = acts.mutate(
        key_date=acts.part_date.cast("date"),
        user_type=ibis.cases((acts.held == 1, "membership"), (acts.held == 0, "member"), else_="visitor"),
    )
    is_play = acts.is_play == 1
    by = ("key_date", "part_date", *LIVE, "user_type", "platform", "region_type")
    return acts.group_by(*by).aggregate(
        viewer_cnt=acts.we_member_id.nunique(where=is_play),
        play_cnt=acts.is_play.sum(),
        play_sec=acts.play_sec.sum().fill_null(0),
        reactor_cnt=acts.we_member_id.nunique(where=~is_play),
        sess_viewer_cnt=acts.we_member_id.nunique(where=is_play & acts.has_session.notnull()),
    )


def _regions(sessions: ir.Table, users: ir.Table, countries: ir.Table) -> ir.Table:
    """The region of each account and day, and whether it had a session (part_date, we_member_id, region_type)."""
    visits = of_accounts(sessions)
    visits = visits.group_by("part_date", "we_member_id").aggregate(user_ctry=visits.user_ctry.max())
    accounts = users.select("part_date", "we_member_id", "ctry_code")
    of_country = countries.select("part_date", "ctry_code", "region_type")

    everyone = ibis.union(
        visits.select("part_date", "we_member_id"), accounts.select("part_date", "we_member_id"), distinct=True
    )
    everyone = matched(everyone, visits.mutate(has_session=ibis.literal(1, "int64")), ["part_date", "we_member_id"])
    everyone = matched(everyone, accounts, ["part_date", "we_member_id"])
    everyone = matched(everyone, of_country.rename(account_region="region_type"), ["part_date", "ctry_code"])
    day_regions = of_country.rename(user_ctry="ctry_code", day_region="region_type")
    everyone = matched(everyone, day_regions, ["part_date", "user_ctry"])
    return everyone.select(
        "part_date",
        "we_member_id",
        "has_session",
        region_type=ibis.coalesce(everyone.day_region, everyone.account_region),
    )
