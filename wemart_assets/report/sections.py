"""What the report shows: each section's query, as an analyst would write it, its chart and what to know about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wemart_assets.lake.chart import percentage
from wemart_assets.report import charts
from wemart_assets.report.span import Span

if TYPE_CHECKING:
    import altair as alt

Row = Mapping[str, Any]
BARS = 10


@dataclass(frozen=True)
class Section:
    """A chart of the report with its numbers.

    `sql` may name the days of the report as `{first}` and `{last}`; its columns are those of the table of numbers.
    `empty` is the sentence where it has no rows.
    """

    id: str
    title: str
    description: str
    sql: str
    plot: Callable[[Sequence[Row], Span], alt.TopLevelMixin]
    empty: str = "There are no rows for these days."
    least_width: int = 0
    """In pixels; where there is less room, the chart is scrolled."""


def _visits(rows: Sequence[Row], span: Span) -> alt.TopLevelMixin:
    return charts.over_days(span.days, rows, {"visitors": "visitors", "sessions": "sessions"})


def _platforms(rows: Sequence[Row], span: Span) -> alt.TopLevelMixin:
    return charts.stacked(span.days, rows, "platform", "sessions")


def _countries(rows: Sequence[Row], span: Span) -> alt.TopLevelMixin:
    values: dict[str, float] = {}
    for row in rows[:BARS]:
        # NULL and an empty text are one bar.
        name = row["country"] or charts.UNKNOWN
        values[name] = values.get(name, 0) + row["visitors_per_day"]
    if others := rows[BARS:]:
        name = "1 other" if len(others) == 1 else f"{len(others)} others"
        values[name] = sum(row["visitors_per_day"] for row in others)
    return charts.bars([charts.Bar(name, value, f"{value:,.1f}") for name, value in values.items()])


def _artists(rows: Sequence[Row], span: Span) -> alt.TopLevelMixin:
    shown = rows[:BARS]
    names = [row["artist"] or f"artist {row['we_art_id']}" for row in shown]
    # Two artists may have one name.
    names = [
        name if names.count(name) == 1 else f"{name} ({row['we_art_id']})"
        for name, row in zip(names, shown, strict=True)
    ]
    hours = [row["engaged_hours"] for row in shown]
    return charts.bars([charts.Bar(n, h, f"{h:,.1f} h") for n, h in zip(names, hours, strict=True)])


def _memberships(rows: Sequence[Row], span: Span) -> alt.TopLevelMixin:
    return charts.over_days(span.days, rows, {"joins": "joins", "leaves": "leaves"})


def _retention(rows: Sequence[Row], span: Span) -> alt.TopLevelMixin:
    # All visit in the week itself.
    later = [row for row in rows if row["weeks_later"] > 0]
    by_key = {(row["week"], row["weeks_later"]): row["members_back"] / row["new_visitors"] for row in later}
    sizes = {row["week"]: row["new_visitors"] for row in later}
    ages = range(1, 1 + max((row["weeks_later"] for row in later), default=0))
    return charts.heat(
        [f"{week} ({size:,})" for week, size in sorted(sizes.items())],
        [str(age) for age in ages],
        [[by_key.get((week, age)) for age in ages] for week in sorted(sizes)],
    )


def _funnel(rows: Sequence[Row], span: Span) -> alt.TopLevelMixin:
    bars = []
    for row in rows:
        within = "" if row["step"] == 0 else f", {row['within_days']} d"
        for series, column in (("each by itself", "users"), ("in order", "users_in_order")):
            share = row[column] / row["first_visits"]
            bars.append(charts.Bar(f"{row['event_name']}{within}", share, percentage(share), series))
    return charts.bars(bars)


def _attribution(rows: Sequence[Row], span: Span) -> alt.TopLevelMixin:
    bars = []
    for row in rows:
        share = row["users_back"] / row["cohort_users"]
        label = "1 day later" if row["days_later"] == 1 else f"{row['days_later']} days later"
        bars.append(charts.Bar(label, share, percentage(share)))
    return charts.bars(bars)


VISITS = Section(
    "visits",
    "Visitors and sessions",
    "Per business day. A visitor is an account, or a device without one.",
    """\
select part_date as day,
       count(distinct we_member_id) + count(distinct device_id) filter (we_member_id is null) as visitors,
       count(distinct sess_id) as sessions
from we_mart.wv_sess_daily
where part_date between '{first}' and '{last}'
group by day
order by day""",
    _visits,
)
MEMBERSHIPS = Section(
    "memberships",
    "Joins and leaves",
    "Per business day, over all communities. The first published day, on which every member counts as a join, is left "
    "out.",
    """\
select part_date as day, sum(joins)::bigint as joins, sum(leaves)::bigint as leaves, sum(members)::bigint as members
from we_mart.stats_wv_d_comm_join
where part_date between '{first}' and '{last}' and part_date > (select min(part_date) from we_mart.stats_wv_d_comm_join)
group by day
order by day""",
    _memberships,
)
SECTIONS = (
    VISITS,
    Section(
        "platforms",
        "Sessions by platform",
        "Per business day, by the last known platform of each session.",
        """\
select part_date as day, platform, sess_cnt as sessions
from we_mart.stats_wv_d_platform
where part_date between '{first}' and '{last}'
order by day, sessions desc, platform""",
        _platforms,
    ),
    Section(
        "countries",
        "Countries",
        "Visitors per day, on average over the published days, by their last known country. A visitor in two countries "
        "on a day counts in both.",
        """\
select user_ctry as country,
       sum(visitor_cnt) / (
           select count(distinct part_date) from we_mart.stats_wv_d_ctry_lang
           where part_date between '{first}' and '{last}'
       ) as visitors_per_day
from we_mart.stats_wv_d_ctry_lang
where part_date between '{first}' and '{last}'
group by country
order by visitors_per_day desc, country""",
        _countries,
    ),
    Section(
        "artists",
        "Top artists by engaged time",
        "Hours that members were engaged in the artist's communities, over all days of the report.",
        """\
select we_art_id, we_art_name as artist, sum(engaged_sec) / 3600 as engaged_hours
from we_mart.stats_wv_d_art_comm_time left join we_mart.we_artist using (we_art_id)
where stats_wv_d_art_comm_time.part_date between '{first}' and '{last}'
group by all
order by engaged_hours desc, we_art_id""",
        _artists,
    ),
    MEMBERSHIPS,
    Section(
        "retention",
        "Weekly retention",
        "Of an artist's new visitors in a week (their number is in brackets), the share who visited the artist again "
        "so many weeks later. A fan of two artists counts for each. The last twelve weeks.",
        """\
select cohort::varchar as week, age as weeks_later,
       sum(cohort_member_cnt)::bigint as new_visitors, sum(member_cnt)::bigint as members_back
from we_mart.stats_wv_w_art_cohort_vst
where cohort > date '{last}' - 84 and key_date <= date '{last}' - 6
group by all
order by week, weeks_later""",
        _retention,
        "There are no two whole weeks yet; the weekly tables are made once a week is over.",
        least_width=520,
    ),
    Section(
        "funnel",
        "Activation funnel",
        "Of the users with a first visit, the share with each key event, within so many days of it: each by "
        "itself, and in order. Only first visits whose window has ended.",
        """\
select step, event_name, within_days, sum(first_visits)::bigint as first_visits,
       sum(users)::bigint as users, sum(users_in_order)::bigint as users_in_order
from activation.activation_funnel_daily
where part_date between '{first}' and '{last}' and first_visit_date <= date '{last}' + 1 - (
    select max(within_days) from activation.activation_funnel_daily where part_date between '{first}' and '{last}'
)
group by all
order by step, event_name, within_days""",
        _funnel,
        "There are no first visits on these days, or none whose window for the key events has ended.",
    ),
    Section(
        "attribution",
        "App retention",
        "Of the users who first opened the app on a day, the share with any event so many days later.",
        """\
select days_since as days_later, sum(cohort_users)::bigint as cohort_users, sum(retained_users)::bigint as users_back
from igaworks.hard_retention_by_dates
where part_date between '{first}' and '{last}' and days_since > 0
group by all
order by days_later""",
        _attribution,
    ),
)
ENGAGED = """\
select part_date as day, sum(engaged_sec) / 3600 as hours
from we_mart.stats_wv_d_art_comm_time
where part_date between '{first}' and '{last}'
group by day"""
# The tables whose newest day is that of the report, unless another is given.
DAILY_TABLES = (
    "we_mart.wv_sess_daily",
    "we_mart.stats_wv_d_ctry_lang",
    "we_mart.stats_wv_d_platform",
    "we_mart.stats_wv_d_art_comm_time",
    "we_mart.stats_wv_d_comm_join",
    "activation.activation_funnel_daily",
    "igaworks.hard_retention_by_dates",
)
# The tables that a run makes before the report. The weekly ones have runs of their own.
UPSTREAM = (*DAILY_TABLES, "we_mart.we_artist")
