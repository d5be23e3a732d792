"""A small made-up file for each ready mapping, with counts made by hand."""

from __future__ import annotations

import datetime as dt
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1"
WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/120.0 Safari/537.36"
MACINTOSH = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/17.0 Safari/605.1.15"
ANDROID = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/120.0 Mobile Safari/537.36"
LINUX = "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0"
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


@dataclass(frozen=True)
class Case:
    """A file of a ready mapping and what it makes of it, in the business timezone Asia/Seoul.

    Attributes:
        days: rows of the log by business day.
        refused: reasons of the refused records, with their numbers.
        sessions: sessions, and users that are known, of all days together.
        clients: how many lines there are of each (platform, os).
        lines: some lines of the log, by their column `url`: the columns to compare.
        tracks: events of `rudder.tracks` by id; None if the mapping does not make them.
    """

    mapping: str
    file: str
    content: bytes
    days: Mapping[str, int]
    refused: Mapping[str, int]
    sessions: int
    users: set[str]
    clients: Mapping[tuple[str | None, str | None], int]
    lines: Mapping[str, Mapping[str, Any]]
    tracks: Mapping[str, Mapping[str, Any]] | None = None


def _combined(address: str, account: str, time: str, request: str, status: str, agent: str) -> str:
    return f'{address} - {account} [{time}] "{request}" {status} 512 "-" "{agent}"\n'


NGINX = "".join(
    [
        # 23:59:59 and 00:00:00 in Seoul, given in two timezones: a session on each of two business days.
        _combined("203.0.113.7", "-", "02/Mar/2024:23:59:59 +0900", "GET /shop/1?a=b HTTP/1.1", "200", IPHONE),
        _combined("203.0.113.7", "-", "02/Mar/2024:15:00:00 +0000", "POST /cart HTTP/1.1", "302", IPHONE),
        # Half an hour apart is one session; a second more would be two. The user has a number.
        _combined("198.51.100.1", "42", "02/Mar/2024:10:00:00 +0900", "GET /a HTTP/2.0", "200", WINDOWS),
        _combined("198.51.100.1", "42", "01/Mar/2024:23:30:00 -0200", "GET /b HTTP/2.0", "200", WINDOWS),
        # Another browser behind the same address is another device.
        _combined("198.51.100.1", "-", "02/Mar/2024:10:00:00 +0900", "GET /c HTTP/2.0", "200", LINUX),
        # A quote within the user agent, written as Apache and as nginx write it.
        _combined("198.51.100.2", "john doe", "02/Mar/2024:10:00:00 +0900", r"GET /q\"x HTTP/1.1", "200", r"a \"b\" c"),
        _combined("198.51.100.3", "-", "02/Mar/2024:10:00:00 +0900", "GET /robots.txt HTTP/1.1", "404", GOOGLEBOT),
        # A request that is not HTTP, and the common format, which has neither referrer nor agent.
        _combined("198.51.100.4", "-", "02/Mar/2024:10:00:00 +0900", r"\x16\x03\x01", "400", "-"),
        '::1 - - [02/Mar/2024:10:00:00 +0900] "GET /common HTTP/1.1" 200 5\n',
        # Refused: a day that does not exist, a line that is cut off, text, bytes that are not UTF-8.
        _combined("198.51.100.5", "-", "31/Feb/2024:10:00:00 +0900", "GET /no HTTP/1.1", "200", LINUX),
        '198.51.100.5 - - [02/Mar/2024:10:00:00 +0900] "GET /no\n',
        "nginx: worker process started\n",
        # Not quite the format's times, some of which one engine would read and the other would not.
        *(
            _combined("198.51.100.5", "-", time, "GET /no HTTP/1.1", "200", LINUX)
            for time in (
                "02/mar/2024:10:00:00 +0900",
                "2/Mar/2024:10:00:00 +0900",
                "02/Mar/2024:24:00:00 +0900",
                "02/Mar/2024:10:00:60 +0900",
                "02/Mar/2024:10:00:00 +1900",
                "02/Mar/2024:10:00:00",
                "02/Mar/24:10:00:00 +0900",
            )
        ),
    ]
)

SNOWPLOW_FIELDS = {
    "platform": 2,
    "collector_tstamp": 4,
    "event": 6,
    "event_id": 7,
    "user_id": 13,
    "user_ipaddress": 14,
    "domain_userid": 16,
    "network_userid": 18,
    "geo_country": 19,
    "page_url": 30,
    "page_title": 31,
    "useragent": 78,
    "br_lang": 84,
    "dvce_ismobile": 104,
    "derived_tstamp": 125,
    "event_name": 127,
}


def _snowplow(fields: int = 131, **values: str) -> str:
    cells = [""] * fields
    for name, value in values.items():
        cells[SNOWPLOW_FIELDS[name] - 1] = value
    return "\t".join(cells) + "\n"


SNOWPLOW = "".join(
    [
        _snowplow(
            platform="web",
            collector_tstamp="2024-03-02 15:00:01.500",
            derived_tstamp="2024-03-02 14:59:59.250",
            event="page_view",
            event_name="page_view",
            event_id="e1",
            user_id="7",
            user_ipaddress="203.0.113.7",
            domain_userid="d1",
            geo_country="KR",
            page_url="https://x.example/a",
            # It begins with a quote that never closes, which is text in this format.
            page_title='"quoted',
            useragent=MACINTOSH,
            br_lang="ko-KR",
            dvce_ismobile="0",
        ),
        # Without a derived time; on a telephone.
        _snowplow(
            platform="web",
            collector_tstamp="2024-03-02 15:00:01.500",
            event="struct",
            event_id="e2",
            domain_userid="d2",
            page_url="https://x.example/b",
            useragent=ANDROID,
            dvce_ismobile="1",
        ),
        _snowplow(
            platform="mob",
            collector_tstamp="2024-03-02 10:00:00",
            event="unstruct",
            event_name="screen_view",
            event_id="e3",
            user_id="ann",
            network_userid="n3",
            page_url="app://c",
            useragent="Shop/1.0 (iPhone; iOS 17.0)",
        ),
        # Delivered twice.
        _snowplow(
            platform="mob",
            collector_tstamp="2024-03-02 10:00:00",
            event="unstruct",
            event_name="screen_view",
            event_id="e3",
            user_id="ann",
            network_userid="n3",
            page_url="app://c",
            useragent="Shop/1.0 (iPhone; iOS 17.0)",
        ),
        _snowplow(fields=130, collector_tstamp="2024-03-02 10:00:00", event_id="e4", domain_userid="d4"),
        _snowplow(collector_tstamp="yesterday", event_id="e5", domain_userid="d5"),
        _snowplow(
            collector_tstamp="2024-03-02 10:00:00",
            derived_tstamp="2024-03-02 24:00:00",
            event_id="e6",
            domain_userid="d6",
        ),
    ]
)


def _ga4(user: str, micros: int, name: str, page: str | None, sequence: int = 1, **other: Any) -> dict[str, Any]:
    params = [{"key": "ga_session_id", "value": {"string_value": None, "int_value": 1}}]
    if page is not None:
        params.append({"key": "page_location", "value": {"string_value": page, "int_value": None}})
    return {
        "event_date": "20240302",
        "event_timestamp": micros,
        "event_name": name,
        "event_params": params,
        "event_bundle_sequence_id": sequence,
        "user_id": None,
        "user_pseudo_id": user,
        "device": {"category": "desktop", "operating_system": "Windows", "language": "en-us"},
        "geo": {"country": "Germany"},
        "platform": "WEB",
        **other,
    }


# 2024-03-02 23:59:59.999999 and 2024-03-03 00:00:00 in Seoul.
LAST_MICROSECOND, MIDNIGHT = 1_709_391_599_999_999, 1_709_391_600_000_000
GA4 = [
    _ga4("u1", LAST_MICROSECOND, "page_view", 'https://x.example/?q="a"&b=\\c', user_id="7"),
    _ga4("u1", MIDNIGHT, "scroll", "https://x.example/two"),
    _ga4(
        "u2",
        MIDNIGHT,
        "page_view",
        "https://x.example/three",
        device={"category": "mobile", "operating_system": "iOS", "language": "ko-kr"},
    ),
    _ga4(
        "u3",
        MIDNIGHT,
        "screen_view",
        None,
        platform="ANDROID",
        device={"category": "mobile", "operating_system": "Android", "language": None},
    ),
]


def _ga4_lines() -> bytes:
    # Exports leave NULL out, and write whole numbers as strings.
    lines = [
        {k: str(v) if isinstance(v, int) else v for k, v in event.items() if v is not None}
        for event in [*GA4, {"event_name": "no time", "user_pseudo_id": "u4", "event_timestamp": "soon"}]
    ]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def _parquet(rows: list[dict[str, Any]], schema: pa.Schema | None = None) -> bytes:
    target = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), target)
    return target.getvalue()


GA4_DAYS = {"2024-03-02": 1, "2024-03-03": 3}
GA4_CLIENTS = {("PC", "WINDOWS"): 2, ("MWEB", "IOS"): 1, ("APP", "ANDROID"): 1}
GA4_LINES = {
    'https://x.example/?q="a"&b=\\c': {
        "unix_log_timestamp": 1_709_391_599_999,
        "user_info_id": 7,
        "user_info_user_key": "7",
        "user_info_device_id": "u1",
        "user_info_locale": "en-us",
        "user_info_country": "Germany",
        "topic": "page_view",
    },
    "https://x.example/three": {"user_info_id": 0, "user_info_locale": "ko-kr"},
}

SEGMENT = [
    {
        "messageId": "m1",
        "type": "page",
        "name": "Home",
        "anonymousId": "a1",
        "userId": None,
        "timestamp": "2024-03-02T14:59:59.999Z",
        "receivedAt": "2024-03-02T15:00:05.000Z",
        "context": {"ip": "203.0.113.7", "userAgent": MACINTOSH, "locale": "de-DE", "page": {"url": "https://x/home"}},
    },
    {
        "messageId": "m2",
        "type": "track",
        "event": "Order Completed",
        "anonymousId": "a1",
        "userId": "12",
        "timestamp": "2024-03-03T00:29:59.999+09:00",
        "receivedAt": "2024-03-02T15:30:05.000Z",
        "context": {"userAgent": MACINTOSH, "page": {"url": "https://x/order"}},
    },
    {
        "messageId": "m3",
        "type": "screen",
        "name": "Cart",
        "userId": "ann",
        "timestamp": "2024-03-02T10:00:00Z",
        "context": {"device": {"type": "ios"}, "userAgent": "Shop/1.0"},
        "properties": {"url": "app://cart"},
    },
    *(
        {"messageId": f"m{number}", "type": "track", "event": "x", "anonymousId": "a4", "timestamp": time}
        for number, time in enumerate(("infinity", "epoch", "2024-03-02", "2024-03-02T24:00:00Z"), 4)
    ),
]

WAREHOUSE = [
    {
        "id": "w1",
        "anonymous_id": "a1",
        "user_id": "12",
        "event": "order_completed",
        "timestamp": dt.datetime(2024, 3, 2, 14, 59, 59, 999000, tzinfo=dt.UTC),
        "received_at": dt.datetime(2024, 3, 2, 15, 0, 5, tzinfo=dt.UTC),
        "context_ip": "203.0.113.7",
        "context_user_agent": WINDOWS,
        "context_locale": "en-GB",
        "context_page_url": "https://x/order",
    },
    {
        "id": "w2",
        "anonymous_id": "a2",
        "user_id": None,
        "event": "opened",
        "timestamp": dt.datetime(2024, 3, 2, 15, 0, tzinfo=dt.UTC),
        "received_at": dt.datetime(2024, 3, 2, 15, 0, 5, tzinfo=dt.UTC),
        "context_ip": None,
        "context_user_agent": GOOGLEBOT,
        "context_locale": None,
        "context_page_url": "https://x/opened",
    },
]


def _at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


NULL_TIME = "unix_log_timestamp is NULL"
CASES = (
    Case(
        "nginx_combined",
        "access.log.1",
        NGINX.encode() + b'198.51.100.5 - - [02/Mar/2024:10:00:00 +0900] "GET /\xff HTTP/1.1" 200 5 "-" "x"\n',
        days={"2024-03-02": 8, "2024-03-03": 1},
        refused={NULL_TIME: 10, "it is not UTF-8 text": 1},
        sessions=8,
        users={"42"},
        clients={
            ("MWEB", "IOS"): 2,
            ("PC", "WINDOWS"): 2,
            ("PC", "LINUX"): 1,
            ("PC", None): 1,
            (None, None): 3,
        },
        lines={
            "/shop/1?a=b": {
                "unix_log_timestamp": 1_709_391_599_000,
                "user_info_id": 0,
                "user_info_user_key": None,
                "user_info_ip_address": "203.0.113.7",
                "user_info_user_agent": IPHONE,
            },
            "/cart": {"unix_log_timestamp": 1_709_391_600_000},
            # 10:30 in Seoul.
            "/b": {"unix_log_timestamp": 1_709_343_000_000, "user_info_id": 42, "user_info_user_key": "42"},
            r"/q\"x": {"user_info_user_agent": r"a \"b\" c", "user_info_user_key": "john doe", "user_info_id": 0},
            "/common": {"user_info_ip_address": "::1", "user_info_user_agent": None},
        },
    ),
    Case(
        "snowplow",
        "part-00000",
        SNOWPLOW.encode(),
        days={"2024-03-02": 3, "2024-03-03": 1},
        refused={NULL_TIME: 3},
        sessions=3,
        users={"7"},
        clients={("PC", "MACOS"): 1, ("MWEB", "ANDROID"): 1, ("APP", "IOS"): 2},
        lines={
            "https://x.example/a": {
                "unix_log_timestamp": 1_709_391_599_250,
                "user_info_id": 7,
                "user_info_device_id": "d1",
                "user_info_ip_address": "203.0.113.7",
                "user_info_locale": "ko-KR",
                "user_info_country": "KR",
                "user_info_user_agent": MACINTOSH,
                "topic": "page_view",
            },
            "https://x.example/b": {"unix_log_timestamp": 1_709_391_601_500, "topic": "struct", "user_info_id": 0},
            "app://c": {"user_info_device_id": "n3", "user_info_user_key": "ann"},
        },
        tracks={
            "e1": {
                "anonymous_id": "d1",
                "user_id": "7",
                "event": "page_view",
                "timestamp": _at("2024-03-02 14:59:59.250"),
                "received_at": _at("2024-03-02 15:00:01.500"),
            },
            "e2": {"anonymous_id": "d2", "user_id": None, "event": "struct"},
            "e3": {"anonymous_id": "n3", "user_id": "ann", "event": "screen_view"},
        },
    ),
    Case(
        "ga4_json",
        "events-000000000000.json",
        _ga4_lines(),
        days=GA4_DAYS,
        refused={NULL_TIME: 1},
        sessions=4,
        users={"7"},
        clients=GA4_CLIENTS,
        lines=GA4_LINES,
        tracks={},
    ),
    Case(
        "ga4_parquet",
        "events.parquet",
        _parquet(GA4),
        days=GA4_DAYS,
        refused={},
        sessions=4,
        users={"7"},
        clients=GA4_CLIENTS,
        lines=GA4_LINES,
        tracks={},
    ),
    Case(
        "segment_json",
        "events.jsonl",
        "".join(json.dumps(event) + "\n" for event in SEGMENT).encode(),
        days={"2024-03-02": 2, "2024-03-03": 1},
        refused={NULL_TIME: 4},
        sessions=3,
        users={"12"},
        clients={("PC", "MACOS"): 2, ("APP", "IOS"): 1},
        lines={
            "https://x/home": {
                "unix_log_timestamp": 1_709_391_599_999,
                "user_info_id": 0,
                "user_info_device_id": "a1",
                "user_info_ip_address": "203.0.113.7",
                "user_info_locale": "de-DE",
                "topic": "Home",
            },
            "https://x/order": {"unix_log_timestamp": 1_709_393_399_999, "user_info_id": 12},
            "app://cart": {"user_info_device_id": "user-ann", "topic": "Cart"},
        },
        tracks={
            "m1": {
                "anonymous_id": "a1",
                "user_id": None,
                "event": "Home",
                "timestamp": _at("2024-03-02 14:59:59.999"),
                "received_at": _at("2024-03-02 15:00:05"),
            },
            "m2": {"user_id": "12", "event": "Order Completed", "timestamp": _at("2024-03-02 15:29:59.999")},
            "m3": {"anonymous_id": None, "user_id": "ann", "event": "Cart", "received_at": None},
        },
    ),
    Case(
        "segment_warehouse",
        "tracks.parquet",
        _parquet(WAREHOUSE),
        days={"2024-03-02": 1, "2024-03-03": 1},
        refused={},
        sessions=2,
        users={"12"},
        clients={("PC", "WINDOWS"): 1, (None, None): 1},
        lines={
            "https://x/order": {
                "unix_log_timestamp": 1_709_391_599_999,
                "user_info_id": 12,
                "user_info_device_id": "a1",
                "user_info_locale": "en-GB",
                "topic": "order_completed",
            },
            "https://x/opened": {"user_info_device_id": "a2", "user_info_ip_address": None},
        },
        tracks={
            "w1": {"anonymous_id": "a1", "user_id": "12", "event": "order_completed"},
            "w2": {"anonymous_id": "a2", "user_id": None, "event": "opened"},
        },
    ),
)
