"""Good worlds and cases for the RudderStack tables."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

from wemart_assets.lake.audit import GRAIN
from wemart_assets_tests.rule_cases.worlds import (
    DAY,
    DAY_BEFORE,
    Case,
    Domain,
    Row,
    World,
    add_input,
    add_row,
    bad_value,
    case,
    change_input,
    change_row,
    drop_row,
    kst,
)

REPEATED, STATE = "rudder.repeated_tracks", "rudder.visitor_state"
ALIASES, MAPPED, FACTS = "rudder.dbt_aliases_mapping", "rudder.dbt_mapped_tracks", "rudder.dbt_track_facts"
SESSIONS, COUNTED, USERS = (
    "rudder.dbt_session_tracks",
    "rudder.dbt_session_track_facts",
    "rudder.dbt_user_session_facts",
)
DURATION, FLOW = "rudder.dbt_session_duration", "rudder.dbt_tracks_flow"

# User u came with browser b before midnight, stayed until ten past, and came again at ten; browser w came at noon.
# Visitors are named after the day, because their state is carried on for ever.
U, B, W = (f"{id} of {DAY}" for id in "ubw")
LAST_NIGHT, STILL_LAST_NIGHT = kst("23:50:00", DAY_BEFORE), kst("23:55:00", DAY_BEFORE)
MIDNIGHT, TEN, PAST_TEN, NOON = (kst(clock) for clock in ("00:10:00", "10:00:00", "10:05:00", "12:00:00"))


def of_day(**values: Any) -> Row:
    return {**values, "part_date": DAY}


def day_before(**values: Any) -> Row:
    return {**values, "part_date": DAY_BEFORE}


def track(id: str, instant: dt.datetime, anonymous: str, user: str | None) -> Row:
    return of_day(id=id, timestamp=instant, received_at=instant, anonymous_id=anonymous, user_id=user)


TRACKS = (track("t3", MIDNIGHT, B, U), track("t4", TEN, B, None), track("t5", PAST_TEN, B, U))
TRACKS = (*TRACKS, track("t6", NOON, W, None))


def state(visitor: str, number: int, first: Any, start: Any, last: Any, tracks: int) -> Row:
    return {
        "dbt_visitor_id": visitor,
        "number_of_sessions": number,
        "first_session_start_at": first,
        "session_start_at": start,
        "last_track_at": last,
        "session_tracks": tracks,
    }


STATE_BEFORE = day_before(**state(U, 1, LAST_NIGHT, LAST_NIGHT, STILL_LAST_NIGHT, 2))
STATES = (of_day(**state(U, 2, LAST_NIGHT, TEN, PAST_TEN, 2)), of_day(**state(W, 1, NOON, NOON, NOON, 1)))


def fact(id: str, instant: dt.datetime, visitor: str, session: int, number: int) -> Row:
    return {
        "event_id": id,
        "timestamp": instant,
        "session_id": f"{session} - {visitor}",
        "dbt_visitor_id": visitor,
        "track_sequence_number": number,
    }


FACTS_OF_DAY = (
    of_day(**fact("t3", MIDNIGHT, U, 1, 3)),
    of_day(**fact("t4", TEN, U, 2, 1)),
    of_day(**fact("t5", PAST_TEN, U, 2, 2)),
    of_day(**fact("t6", NOON, W, 1, 1)),
)
FACTS_BEFORE = (day_before(**fact("t1", LAST_NIGHT, U, 1, 1)), day_before(**fact("t2", STILL_LAST_NIGHT, U, 1, 2)))


def mapped(id: str, instant: dt.datetime, visitor: str, idle: int | None) -> Row:
    return of_day(event_id=id, timestamp=instant, dbt_visitor_id=visitor, idle_time_minutes=idle)


def session(visitor: str, number: int, start: dt.datetime, next_start: dt.datetime | None) -> Row:
    return of_day(
        session_id=f"{number} - {visitor}",
        dbt_visitor_id=visitor,
        session_start_at=start,
        session_sequence_number=number,
        next_session_start_at=next_start,
    )


SESSIONS_OF_DAY = (session(U, 1, LAST_NIGHT, TEN), session(U, 2, TEN, None), session(W, 1, NOON, None))


def counted(visitor: str, number: int, end: dt.datetime, tracks: int) -> Row:
    return {
        "session_id": f"{number} - {visitor}",
        "ended_at": end,
        "num_pvs": tracks,
        "cnt_viewed_product": 1,
        "cnt_signup": 0,
    }


COUNTED_OF_DAY = (
    of_day(**counted(U, 1, MIDNIGHT, 3)),
    of_day(**counted(U, 2, PAST_TEN, 2)),
    of_day(**counted(W, 1, NOON, 1)),
)


def alias(name: str, visitor: str) -> Row:
    return {"alias": name, "dbt_visitor_id": visitor}


GOOD = {
    REPEATED: World((of_day(event_id="t1", first_part_date=DAY_BEFORE, left_out=1),)),
    ALIASES: World(
        (of_day(**alias(B, U)), of_day(**alias(U, U)), of_day(**alias(W, W))),
        {"before": (day_before(**alias(B, B)),), "tracks": TRACKS, "repeated": ()},
    ),
    STATE: World(STATES, {"earlier": (STATE_BEFORE,)}),
    MAPPED: World(
        (
            mapped("t3", MIDNIGHT, U, 15),
            mapped("t4", TEN, U, 590),
            mapped("t5", PAST_TEN, U, 5),
            mapped("t6", NOON, W, None),
        ),
        {"tracks": TRACKS, "repeated": ()},
    ),
    FACTS: World(
        FACTS_OF_DAY,
        {
            "mapped": tuple(of_day(event_id=fact["event_id"]) for fact in FACTS_OF_DAY),
            "earlier": (STATE_BEFORE,),
            "state": STATES,
        },
    ),
    SESSIONS: World(SESSIONS_OF_DAY, {"facts": FACTS_OF_DAY, "state": STATES}),
    COUNTED: World(
        COUNTED_OF_DAY,
        {
            "facts": FACTS_OF_DAY,
            "before": (day_before(**counted(U, 1, STILL_LAST_NIGHT, 2)),),
            "sessions": SESSIONS_OF_DAY,
        },
    ),
    USERS: World(
        (
            of_day(dbt_visitor_id=U, first_date=LAST_NIGHT, last_date=TEN, number_of_sessions=2),
            of_day(dbt_visitor_id=W, first_date=NOON, last_date=NOON, number_of_sessions=1),
        ),
        {"sessions": SESSIONS_OF_DAY},
    ),
    DURATION: World(
        (
            of_day(dbt_visitor_id=U, session_id=f"1 - {U}", session_duration=20),
            of_day(dbt_visitor_id=U, session_id=f"2 - {U}", session_duration=5),
            of_day(dbt_visitor_id=W, session_id=f"1 - {W}", session_duration=0),
        ),
        {"facts": COUNTED_OF_DAY},
    ),
    FLOW: World(
        (
            of_day(**fact("t1", LAST_NIGHT, U, 1, 1)),
            of_day(**fact("t2", STILL_LAST_NIGHT, U, 1, 2)),
            *FACTS_OF_DAY,
        ),
        {"facts": (*FACTS_BEFORE, *FACTS_OF_DAY)},
    ),
}

FIVE_BEFORE = [add_row(0, event_id=f"s{n}") for n in range(3)]

CASES: list[Case] = [
    # rudder.repeated_tracks
    case(REPEATED, GRAIN, "the same id twice", add_row(0)),
    bad_value(REPEATED, "left_out", 0),
    case(REPEATED, "first_is_no_later", "a first day in the future", change_row(0, first_part_date="9999-01-01")),
    # rudder.dbt_aliases_mapping
    case(ALIASES, GRAIN, "an alias for two visitors", add_row(0, dbt_visitor_id=W)),
    case(
        ALIASES,
        "nobody_is_lost",
        "an alias of the day before that is in no track",
        add_input("before", **day_before(**alias(f"x of {DAY}", W))),
    ),
    case(ALIASES, "nobody_is_lost", "an anonymous id was lost", drop_row(2)),
    case(ALIASES, "nobody_is_lost", "a user id was lost", drop_row(1)),
    # rudder.visitor_state
    bad_value(STATE, "number_of_sessions", 0, row=1, also=["first_is_last_of_one"]),
    bad_value(STATE, "session_tracks", 0, row=1),
    case(STATE, GRAIN, "the same visitor twice", add_row(1), also=["goes_on"]),
    case(STATE, "starts_before_it_ends", "a last track before the start", change_row(1, last_track_at=TEN)),
    case(
        STATE,
        "starts_before_it_ends",
        "a last session before the first",
        change_row(1, session_start_at=TEN, number_of_sessions=2),
    ),
    case(
        STATE,
        "first_is_last_of_one",
        "a second session that starts with the first",
        change_row(1, number_of_sessions=2),
    ),
    case(
        STATE,
        "goes_on",
        "fewer sessions than before",
        change_input("earlier", 0, number_of_sessions=3),
    ),
    case(STATE, "goes_on", "no track after the last", change_input("earlier", 0, last_track_at=PAST_TEN)),
    case(STATE, "goes_on", "a different first session", change_input("earlier", 0, first_session_start_at=MIDNIGHT)),
    case(STATE, "goes_on", "one session with two numbers", change_input("earlier", 0, session_start_at=TEN)),
    case(STATE, "goes_on", "one number for two sessions", change_input("earlier", 0, number_of_sessions=2)),
    case(
        STATE,
        "goes_on",
        "a continued session without more tracks",
        change_input("earlier", 0, number_of_sessions=2, session_start_at=TEN),
    ),
    # rudder.dbt_mapped_tracks
    bad_value(MAPPED, "idle_time_minutes", -1),
    case(MAPPED, GRAIN, "the same track twice", add_row(0)),
    case(MAPPED, "every_track_is_there", "a track was lost", drop_row(0)),
    case(
        MAPPED,
        "with_an_id",
        "a track without an id",
        add_input("tracks", **track("t7", NOON, "", None)),
    ),
    case(
        MAPPED,
        "ids_come_once",
        "a track with an id of the day before",
        add_input("tracks", **track("t1", NOON, B, None)),
        add_input("repeated", **of_day(event_id="t1", first_part_date=DAY_BEFORE, left_out=1)),
    ),
    case(MAPPED, "not_ahead_of_time", "a clock that runs ahead", change_input("tracks", 3, received_at=TEN)),
    # rudder.dbt_track_facts
    bad_value(FACTS, "track_sequence_number", 0, row=3, also=["sequence_has_no_gaps", "state_is_of_the_tracks"]),
    case(
        FACTS,
        GRAIN,
        "a track in two sessions",
        add_row(3, session_id=f"2 - {W}"),
        also=["every_track_is_in_one_session"],
    ),
    case(
        FACTS,
        "every_track_is_in_one_session",
        "a track was lost",
        drop_row(3),
        also=["state_is_of_the_tracks"],
    ),
    case(FACTS, "every_track_is_in_one_session", "one track too many", add_row(3, event_id="x", session_id=f"9 - {W}")),
    case(
        FACTS,
        "sequence_has_no_gaps",
        "a session that does not continue its numbers",
        change_row(0, track_sequence_number=4),
    ),
    case(
        FACTS,
        "sequence_has_no_gaps",
        "a session without a first track",
        change_row(3, track_sequence_number=2),
        also=["state_is_of_the_tracks"],
    ),
    case(
        FACTS,
        "sequence_has_no_gaps",
        "the same number twice",
        change_row(2, track_sequence_number=1),
        also=["state_is_of_the_tracks"],
    ),
    case(FACTS, "state_is_of_the_tracks", "a wrong last session", change_input("state", 0, number_of_sessions=3)),
    case(FACTS, "state_is_of_the_tracks", "a wrong last track", change_input("state", 0, last_track_at=NOON)),
    # rudder.dbt_session_tracks
    bad_value(
        SESSIONS,
        "session_sequence_number",
        0,
        change_row(2, session_id=f"0 - {W}"),
        row=2,
        also=["one_after_the_other", "every_start_is_there"],
    ),
    case(SESSIONS, GRAIN, "the same session twice", add_row(2), also=["one_after_the_other"]),
    case(
        SESSIONS,
        "named_by_number_and_visitor",
        "a wrong name",
        change_row(0, session_id=f"1 -{U}"),
    ),
    case(
        SESSIONS,
        "before_the_next",
        "a start after the next session's",
        change_row(0, session_start_at=NOON),
    ),
    case(
        SESSIONS, "one_after_the_other", "a session number is skipped", change_input("state", 0, number_of_sessions=3)
    ),
    case(SESSIONS, "one_after_the_other", "the next start is missing", change_row(0, next_session_start_at=None)),
    case(SESSIONS, "one_after_the_other", "a wrong next start", change_row(0, next_session_start_at=NOON)),
    case(
        SESSIONS,
        "one_after_the_other",
        "a next session that does not exist",
        change_row(2, next_session_start_at=kst("13:00:00")),
    ),
    case(SESSIONS, "every_start_is_there", "a session was lost", drop_row(2)),
    case(SESSIONS, "every_start_is_there", "a wrong start", change_row(2, session_start_at=PAST_TEN)),
    # rudder.dbt_session_track_facts
    bad_value(COUNTED, "num_pvs", 0, row=2, also=["counts_are_of_the_tracks", "tracks_add_up"]),
    bad_value(COUNTED, "cnt_viewed_product", -1),
    bad_value(COUNTED, "cnt_signup", -1),
    case(COUNTED, GRAIN, "the same session twice", add_row(2)),
    case(COUNTED, "counts_are_of_the_tracks", "more views than tracks", change_row(2, cnt_viewed_product=2)),
    case(COUNTED, "counts_are_of_the_tracks", "more signups than tracks", change_row(2, cnt_signup=2)),
    case(COUNTED, "tracks_add_up", "one track too many", change_row(1, num_pvs=3)),
    case(COUNTED, "tracks_add_up", "tracks of the day before are not counted", change_row(0, num_pvs=1)),
    case(COUNTED, "tracks_add_up", "no sessions on the day", lambda w: replace(w, rows=()), also=["has_rows"]),
    case(COUNTED, "sessions_do_not_overlap", "an end after the next start", change_row(0, ended_at=PAST_TEN)),
    case(COUNTED, "sessions_do_not_overlap", "an end at the next start", change_row(0, ended_at=TEN)),
    case(COUNTED, "sessions_do_not_overlap", "an end before the start", change_row(2, ended_at=PAST_TEN)),
    # rudder.dbt_user_session_facts
    bad_value(USERS, "number_of_sessions", 0, row=1, also=["first_before_last", "sessions_add_up"]),
    case(USERS, GRAIN, "the same visitor twice", add_row(1)),
    case(
        USERS,
        "first_before_last",
        "one session with two dates",
        change_row(1, first_date=TEN),
    ),
    case(USERS, "first_before_last", "two sessions with one date", change_row(0, first_date=TEN)),
    case(USERS, "first_before_last", "a last date before the first", change_row(0, first_date=NOON)),
    case(USERS, "sessions_add_up", "one session too many", change_row(0, number_of_sessions=3)),
    case(USERS, "sessions_add_up", "a wrong last session", change_row(0, last_date=PAST_TEN)),
    case(USERS, "sessions_add_up", "a visitor was lost", drop_row(1)),
    # rudder.dbt_session_duration
    bad_value(DURATION, "session_duration", -1),
    case(DURATION, GRAIN, "the same session twice", add_row(2)),
    case(DURATION, "every_session_is_there", "a session was lost", drop_row(2)),
    # rudder.dbt_tracks_flow
    bad_value(FLOW, "track_sequence_number", 0, row=5, also=["every_track_is_there"]),
    case(FLOW, GRAIN, "the same track twice", add_row(5)),
    case(FLOW, "every_track_is_there", "a track was lost", drop_row(5)),
    case(FLOW, "every_track_is_there", "a wrong number", change_row(5, track_sequence_number=2)),
    case(FLOW, "at_most_four_before", "a fifth track of the day before", *FIVE_BEFORE),
]

NULL_BREAKS_TOO = {
    REPEATED: {"first_part_date": {"first_is_no_later"}},
    STATE: {
        "number_of_sessions": {"first_is_last_of_one"},
        "first_session_start_at": {"starts_before_it_ends", "first_is_last_of_one"},
        "session_start_at": {"starts_before_it_ends", "first_is_last_of_one"},
        "last_track_at": {"starts_before_it_ends"},
    },
    MAPPED: {"event_id": {"every_track_is_there"}},
    FACTS: {
        "event_id": {"every_track_is_in_one_session"},
        "timestamp": {"state_is_of_the_tracks"},
        "session_id": {"state_is_of_the_tracks"},
        "track_sequence_number": {"sequence_has_no_gaps", "state_is_of_the_tracks"},
    },
    SESSIONS: {
        "session_id": {"named_by_number_and_visitor", "every_start_is_there"},
        "dbt_visitor_id": {"named_by_number_and_visitor", "one_after_the_other"},
        "session_start_at": {"every_start_is_there"},
        "session_sequence_number": {"named_by_number_and_visitor"},
    },
    COUNTED: {
        "num_pvs": {"counts_are_of_the_tracks", "tracks_add_up"},
        "cnt_viewed_product": {"counts_are_of_the_tracks"},
        "cnt_signup": {"counts_are_of_the_tracks"},
    },
    USERS: {
        "dbt_visitor_id": {"sessions_add_up"},
        "first_date": {"first_before_last"},
        "last_date": {"first_before_last", "sessions_add_up"},
        "number_of_sessions": {"first_before_last", "sessions_add_up"},
    },
    DURATION: {"session_id": {"every_session_is_there"}},
    FLOW: {
        "event_id": {"every_track_is_there"},
        "track_sequence_number": {"every_track_is_there"},
    },
}
# The only row of its visitor or session.
NULL_ROW = {STATE: 1, FACTS: 3, SESSIONS: 2, COUNTED: 2, USERS: 1, DURATION: 2, FLOW: 5, ALIASES: 2, MAPPED: 3}

DOMAIN = Domain(GOOD, CASES, NULL_BREAKS_TOO, NULL_ROW, run_wide=frozenset({(ALIASES, "nobody_is_lost")}))
