"""`we_mart.we_user_daily`: what each member did about each artist on a day, on all services."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from wemart_assets.lake.inputs import same_period
from wemart_assets.lake.mart import mart
from wemart_assets.lake.table import (
    FLAG,
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
from wemart_assets.marts.services.rules import (
    ORDER_COLUMNS,
    of_accounts,
    only_orders,
    only_reactions,
    with_membership,
)
from wemart_assets.marts.sessions.rules import seconds_once, totals, unequal
from wemart_assets.marts.sessions.wv_sess_daily import wv_sess_daily
from wemart_assets.sources.contracts.we_mart import (
    ph_sess_daily,
    wa_sess_daily,
    we_artist,
    we_user,
    ws_fc_user_history,
    ws_order,
    ws_user_daily,
    wv_live,
    wv_media_reaction,
    wv_post_reaction,
    wv_video_play,
)

BY = ("key_date", "part_date", "we_member_id", "we_art_id")
# What is counted, with the types of the sums.
COUNTS = (
    *("user_sess_cnt", "total_user_sess_dur", "post_react_cnt", "media_react_cnt", "play_cnt", "play_sec"),
    *("shop_visit_cnt", "phoning_visit_cnt", "album_visit_cnt", "ord_cnt"),
)
ACTS = tuple(name for name in COUNTS if name.endswith("_cnt"))
OF_THE_LAST_SESSION = ("user_ctry", "platform", "os", "app_ver")


def _artists_of_plays(plays: ir.Table, lives: ir.Table) -> ir.Table:
    """The plays with their day and the artist of the video, NULL if the video is unknown."""
    plays = matched(plays, lives.select("part_date", "video_id", "we_art_id"), ["part_date", "video_id"])
    return plays.mutate(key_date=plays.part_date.cast("date"))


def _artists_off_count(
    staged: ir.Table,
    reactions: ir.Table,
    media: ir.Table,
    plays: ir.Table,
    lives: ir.Table,
    shop: ir.Table,
    phoning: ir.Table,
    album: ir.Table,
    orders: ir.Table,
) -> ir.Table:
    """Artists whose acts are not those of the sources."""
    by = ["part_date", "we_art_id"]
    actual = totals(
        staged,
        by,
        "actual",
        **{name: staged[name].sum() for name in (*COUNTS, "ord_amount") if "sess" not in name},
    )
    # Written out, because a check must not use what it checks.
    reactions, media = (of_accounts(t.filter((t.is_like == 1) | (t.is_cmnt == 1))) for t in (reactions, media))
    shop, phoning, album, sold = (of_accounts(t) for t in (shop, phoning, album, orders.filter(orders.is_ord == 1)))
    artists = lives.select("we_art_id", live_day="part_date", live_video="video_id")
    played = plays.left_join(artists, [plays.part_date == artists.live_day, plays.video_id == artists.live_video])
    played = of_accounts(played)
    expected = ibis.union(
        totals(reactions, by, "expected", post_react_cnt=reactions.count()),
        totals(media, by, "expected", media_react_cnt=media.count()),
        totals(played, by, "expected", play_cnt=played.count(), play_sec=played.play_sec.sum()),
        totals(shop, by, "expected", shop_visit_cnt=shop.count()),
        totals(phoning, by, "expected", phoning_visit_cnt=phoning.count()),
        totals(album, by, "expected", album_visit_cnt=album.count()),
        totals(sold, by, "expected", ord_cnt=sold.count(), ord_amount=sold.amount.sum()),
    )
    return unequal(actual, expected, [*by, "measure"])


def _members_with_other_seconds(staged: ir.Table, sessions: ir.Table) -> ir.Table:
    by = ["part_date", "we_member_id", "we_art_id"]
    expected = seconds_once(of_accounts(sessions), by).rename(expected="seconds")
    visited = staged.filter(staged.user_sess_cnt > 0)
    return unequal(visited.select(*by, actual="total_user_sess_dur"), expected, by)


TABLE = Table(
    database="we_mart",
    name="we_user_daily",
    description="One row per business day, member and artist with any activity of the member on any service. Activity "
    "that concerns no artist is in a row with artist NULL. What was done without an account is left out.",
    grain=("key_date", "we_member_id", "we_art_id"),
    columns=(
        KEY_DATE,
        column("we_member_id", "int", "account", nullable=False),
        column("we_art_id", "int", "artist, NULL for activity that concerns no artist"),
        column("user_ctry", "string", "the member's country in the row's last session; NULL without one"),
        column("platform", "string", "platform of the last session"),
        column("os", "string", "operating system of the last session"),
        column("app_ver", "string", "version of the app in the last session"),
        column(
            "is_fc",
            "int",
            "1 if the member holds the artist's membership, else 0; NULL if account or artist is unknown",
            FLAG,
        ),
        column("user_sess_cnt", "bigint", "user sessions on Weverse", at_least(0), nullable=False),
        column("total_user_sess_dur", "bigint", "total seconds of these", at_least(0), nullable=False),
        column("first_sess_dt", "timestamp", "start of the first of them (UTC)"),
        column("last_sess_dt", "timestamp", "end of the last of them (UTC)"),
        column("post_react_cnt", "bigint", "likes of and comments on posts", at_least(0), nullable=False),
        column("media_react_cnt", "bigint", "likes of and comments on media items", at_least(0), nullable=False),
        column("play_cnt", "bigint", "playbacks of videos", at_least(0), nullable=False),
        column("play_sec", "bigint", "total seconds of these", nullable=False),
        column("shop_visit_cnt", "bigint", "visits to the shop", at_least(0), nullable=False),
        column("phoning_visit_cnt", "bigint", "visits to Phoning", at_least(0), nullable=False),
        column("album_visit_cnt", "bigint", "visits to Weverse Albums", at_least(0), nullable=False),
        *ORDER_COLUMNS,
        PART_DATE,
        RUN_TIMESTAMP,
    ),
    row_checks=(
        RowCheck(
            "did_something",
            "every row has a session or an act",
            lambda t: ibis.or_(*(t[name] > 0 for name in ACTS)),
        ),
        RowCheck(
            "sessions_have_times",
            "there are instants and seconds if and only if there are sessions; the first is not after the last",
            lambda t: (
                (
                    (t.user_sess_cnt > 0)
                    & (t.total_user_sess_dur >= t.user_sess_cnt)
                    & (t.first_sess_dt <= t.last_sess_dt)
                )
                | (
                    (t.user_sess_cnt == 0)
                    & (t.total_user_sess_dur == 0)
                    & t.first_sess_dt.isnull()
                    & t.last_sess_dt.isnull()
                )
            ),
        ),
    ),
    table_checks=(
        TableCheck("acts_add_up", "acts and amounts add up, by artist, to the rows of the sources", _artists_off_count),
        TableCheck(
            "durations_add_up",
            "total_user_sess_dur is that of the user sessions in wv_sess_daily",
            _members_with_other_seconds,
        ),
        volume_check(),
    ),
    measures=(
        Measure(
            "session rows without an account, left out",
            lambda sessions: sessions.count(where=sessions.we_member_id.isnull()),
        ),
        Measure("orders without an account, left out", lambda orders: orders.count(where=orders.we_member_id.isnull())),
        Measure(
            "reactions without an account, left out",
            lambda reactions, media: (
                reactions.count(where=reactions.we_member_id.isnull()).as_scalar()
                + media.count(where=media.we_member_id.isnull()).as_scalar()
            ),
        ),
        Measure("playbacks without an account, left out", lambda plays: plays.count(where=plays.we_member_id.isnull())),
        Measure("shop visits without an account, left out", lambda shop: shop.count(where=shop.we_member_id.isnull())),
        Measure(
            "Phoning visits without an account, left out",
            lambda phoning: phoning.count(where=phoning.we_member_id.isnull()),
        ),
        Measure(
            "album visits without an account, left out", lambda album: album.count(where=album.we_member_id.isnull())
        ),
    ),
)


@mart(
    TABLE,
    sessions=same_period(wv_sess_daily),
    reactions=same_period(wv_post_reaction),
    media=same_period(wv_media_reaction),
    plays=same_period(wv_video_play),
    lives=same_period(wv_live),
    shop=same_period(ws_user_daily),
    phoning=same_period(ph_sess_daily),
    album=same_period(wa_sess_daily),
    orders=same_period(ws_order),
    users=same_period(we_user),
    artists=same_period(we_artist),
    memberships=same_period(ws_fc_user_history),
)
def we_user_daily(
    sessions: ir.Table,
    reactions: ir.Table,
    media: ir.Table,
    plays: ir.Table,
    lives: ir.Table,
    shop: ir.Table,
    phoning: ir.Table,
    album: ir.Table,
    orders: ir.Table,
    users: ir.Table,
    artists: ir.Table,
    memberships: ir.Table,
    timezone: str,
) -> ir.Table:
    """A user session counts once per artist. A reaction that is neither a like nor a comment does not count.

    A playback is about the artist of its video as of the day, and about none if the video is unknown. Of sessions that
    start at the same instant, the one with the greatest id is the last.
    """
    one = ibis.literal(1, "int64")
    plays = _artists_of_plays(plays, lives)
    acts = (
        _counted(only_reactions(reactions), post_react_cnt=one),
        _counted(only_reactions(media), media_react_cnt=one),
        _counted(plays, play_cnt=one, play_sec=plays.play_sec),
        _counted(shop, shop_visit_cnt=one),
        _counted(phoning, phoning_visit_cnt=one),
        _counted(album, album_visit_cnt=one),
        _counted(only_orders(orders), ord_cnt=one, ord_amount=only_orders(orders).amount.cast("decimal(38, 4)")),
    )
    rows = ibis.union(_sessions(sessions), *acts)
    days = rows.group_by(*BY).aggregate(
        **{name: rows[name].max() for name in OF_THE_LAST_SESSION},
        first_sess_dt=rows.first_sess_dt.min(),
        last_sess_dt=rows.last_sess_dt.max(),
        **{name: rows[name].sum().fill_null(0) for name in (*COUNTS, "ord_amount")},
    )
    return with_membership(days, users, artists, memberships, timezone)


def _counted(rows: ir.Table, **values: ir.Value) -> ir.Table:
    """The rows of known accounts with these values, NULL in all other columns that are summed."""
    rows = of_accounts(rows.mutate(**values))
    given = {name: rows[name] for name in values}
    types = {
        **dict.fromkeys(OF_THE_LAST_SESSION, "string"),
        **dict.fromkeys(("first_sess_dt", "last_sess_dt"), "timestamp('UTC', 6)"),
        **dict.fromkeys(COUNTS, "int64"),
        "ord_amount": "decimal(38, 4)",
    }
    columns = {name: given.get(name, ibis.null(kind)) for name, kind in types.items()}
    return rows.select("key_date", "part_date", "we_member_id", "we_art_id", **columns)


def _sessions(sessions: ir.Table) -> ir.Table:
    """One row per member, artist and user session; only the last has country, platform, system and version."""
    once = of_accounts(sessions).select(
        *BY, "user_sess_id", "user_sess_start_dt", "user_sess_end_dt", "user_sess_dur", *OF_THE_LAST_SESSION
    )
    once = once.distinct()
    newest = ibis.window(group_by=BY, order_by=[once.user_sess_start_dt.desc(), once.user_sess_id.desc()])
    once = once.mutate(place=ibis.row_number().over(newest))
    return _counted(
        once,
        user_sess_cnt=ibis.literal(1, "int64"),
        total_user_sess_dur=once.user_sess_dur,
        first_sess_dt=once.user_sess_start_dt,
        last_sess_dt=once.user_sess_end_dt,
        **{name: (once.place == 0).ifelse(once[name], ibis.null("string")) for name in OF_THE_LAST_SESSION},
    )
