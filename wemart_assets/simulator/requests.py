"""The content of log lines: the request of each line, and all columns of `service_log.weverse_server_log`.

A request is a topic, a URL and a JSON text with gaps, such as `/v1/community-{community}/feed`. Lines are built a
column at a time: the pieces of text come from pools, the numbers between them are drawn for each line.
"""

from dataclasses import dataclass
from string import Formatter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wemart_assets.simulator.business_days import utc_day, utc_day_name
from wemart_assets.simulator.clients import APP_VERSIONS, CLIENTS, KEYED_TV, VERSIONS
from wemart_assets.simulator.columns import (
    Ints,
    Stream,
    cumulative,
    from_pool,
    pick,
    random_stream,
    take,
)
from wemart_assets.simulator.config import SimulatorConfig
from wemart_assets.simulator.platform import (
    COUNTRIES,
    LANGUAGES,
    NOBODY,
    UNKNOWN,
    Platform,
    notice_ids,
    post_public_ids,
)
from wemart_assets.simulator.visits import NO_DEVICE, Visits

STATUSES = ("GUEST", "MEMBER")
SERVERS = ("api-1", "api-2", "api-3")
METHODS = ("GET", "POST")

# How `params` writes its keys: plain, with a leading underscore, or the country in both forms (the plain one counts).
PLAIN, UNDERSCORED, BOTH = range(3)
KEY_STYLES = cumulative((88, 10, 2))


@dataclass(frozen=True)
class Request:
    """A kind of request and its share of the lines.

    `params` follows the fields that every line has, up to the end of the JSON object. `for_guests` is False if the user
    has to be logged in.
    """

    name: str
    share: float
    topic: str
    method: str
    url: str
    params: str = "}}"
    for_guests: bool = True


REQUESTS = (
    Request("home", 13, "weverse.home", "GET", "/v1/home"),
    Request("feed", 22, "weverse.community", "GET", "/v1/community-{community}/feed"),
    Request(
        "members",
        4,
        "weverse.community",
        "GET",
        "https://api.example.com/v1/community-{community}/members?fields=profile&limit=20",
        ',"request":{{}}}}',
    ),
    Request("post", 18, "weverse.post", "GET", "/v1/post-{shard}-{post}?fieldSet=postV1"),
    Request(
        "post in community",
        6,
        "weverse.post",
        "GET",
        "/v1/community-{community}/post-{shard}-{post}",
        ',"request":{{"communityId":{community},"postId":"{shard}-{post}"}}}}',
    ),
    Request(
        "post in params",
        4,
        "weverse.post",
        "POST",
        "/v1/posts/reactions",
        ',"request":{{"postId":"{shard}-{post}","sectionType":"ARTIST"}}}}',
        for_guests=False,
    ),
    Request("deleted post", 0.3, "weverse.post", "GET", "/v1/post-9-{number}"),
    Request("notice", 5, "weverse.notice", "GET", "/v1/notice-{notice}"),
    Request(
        "play",
        11,
        "weverse.media",
        "POST",
        "/v1/media/play",
        ',"request":{{"communityId":"{community}","mediaType":"VOD","mediaTime":{seconds},"videoId":"v-{number}",'
        '"videoSessionId":"vs-{number}-{seconds}","sectionType":"MEDIA"}}}}',
    ),
    Request(
        "live",
        6,
        "weverse.media",
        "POST",
        "/v1/community-{community}/live",
        ',"request":{{"communityId":{community},"mediaType":"LIVE","mediaTime":{seconds},"videoId":"l-{number}",'
        '"isFcOnly":false}}}}',
    ),
    Request(
        "chat",
        3,
        "weverse.chat",
        "POST",
        "/v1/chat-{number}/messages",
        ',"request":{{"communityId":{community},"chatMsgCount":{seconds},"chatMsgList":["hi","{number}"]}}}}',
        for_guests=False,
    ),
    Request(
        "write",
        2,
        "weverse.post",
        "POST",
        "/v1/posts",
        ',"request_body":"{{\\"text\\":\\"hello {number}\\"}}","request":{{"communityId":{community},'
        '"isHideFromArtist":true,"isFcOnly":false}}}}',
        for_guests=False,
    ),
    Request(
        "product",
        2,
        "weverse.shop",
        "GET",
        "/v1/products/{number}",
        ',"request":{{"isProduct":true,"communityId":{community}}}}}',
    ),
    Request("all communities", 1, "weverse.home", "GET", "/v1/explore", ',"request":{{"communityId":"all"}}}}'),
    Request(
        "community with leading zeros",
        0.2,
        "weverse.home",
        "GET",
        "/v1/explore",
        ',"request":{{"communityId":"007"}}}}',
    ),
    Request("cut off", 0.3, "weverse.home", "POST", "/v1/home", ',"request":{{"communityId":'),
    # These two are not drawn: they happen when a member joins or leaves.
    Request("join", 0, "weverse.community", "POST", "/v1/community-{community}/join", for_guests=False),
    Request("leave", 0, "weverse.community", "POST", "/v1/community-{community}/leave", for_guests=False),
)

NUMBERS = {request.name: number for number, request in enumerate(REQUESTS)}
SHARES = cumulative([request.share for request in REQUESTS])
AS_GUEST = np.array([number if request.for_guests else NUMBERS["feed"] for number, request in enumerate(REQUESTS)])
METHOD_OF_REQUEST = np.array([METHODS.index(request.method) for request in REQUESTS])

GAPS = ("community", "shard", "post", "notice", "number", "seconds")
NO_GAP = -1


class TextWithGaps:
    """Templates, one per kind of request, split into pools of text pieces and the numbers that go between them."""

    def __init__(self, templates: tuple[str, ...]) -> None:
        parsed = [[(text, gap) for text, gap, _, _ in Formatter().parse(template)] for template in templates]
        joined = [_join_text(pieces) for pieces in parsed]
        width = max(len(pieces) for pieces in joined)
        padded = [pieces + [("", None)] * (width - len(pieces)) for pieces in joined]
        self.pieces = [pa.array([pieces[place][0] for pieces in padded], pa.string()) for place in range(width)]
        self.gaps = [
            np.array([NO_GAP if gap is None else GAPS.index(gap) for gap in (pieces[place][1] for pieces in padded)])
            for place in range(width)
        ]

    def columns(self, kind: Ints, numbers: Ints) -> list[pa.Array]:
        """The columns to join; `numbers` has a row for each of `GAPS`."""
        columns = []
        for pieces, gaps in zip(self.pieces, self.gaps, strict=True):
            columns.append(pieces.take(pa.array(kind)))
            gap = gaps[kind]
            if (gaps != NO_GAP).any():
                values = pa.array(numbers[gap, np.arange(len(kind))], mask=gap == NO_GAP)
                columns.append(pc.cast(values, pa.string()))
        return columns


def _join_text(pieces: list[tuple[str, str | None]]) -> list[tuple[str, str | None]]:
    """Joins pieces so that each ends at a gap; `Formatter.parse` also ends them at doubled braces."""
    joined: list[tuple[str, str | None]] = []
    text = ""
    for piece, gap in pieces:
        text += piece
        if gap is not None:
            joined.append((text, gap))
            text = ""
    return [*joined, (text, None)]


URLS = TextWithGaps(tuple(request.url for request in REQUESTS))
PARAMS = TextWithGaps(tuple(request.params for request in REQUESTS))


def _params_head(client: int, style: int, country: int, method: str) -> str:
    """The opening of `params`: the fields that every line has."""
    gcc = {} if country == len(COUNTRIES) else {"gcc": COUNTRIES[country]}
    language = LANGUAGES[country] if gcc else "en"
    items = {**gcc, "language": language, **CLIENTS[client].params, "method": method}
    keys = {key: f"_{key}" if style == UNDERSCORED else key for key in items}
    underscored = ['"_gcc":"ZZ"'] if style == BOTH and gcc else []
    return "{" + ",".join([*underscored, *(f'"{keys[key]}":"{value}"' for key, value in items.items())])


COUNTRY_CHOICES = len(COUNTRIES) + 1
PARAMS_HEADS = pa.array(
    [
        _params_head(client, style, country, method)
        for client in range(len(CLIENTS))
        for style in (PLAIN, UNDERSCORED, BOTH)
        for country in range(COUNTRY_CHOICES)
        for method in METHODS
    ]
)
TOPICS = pa.array([request.topic for request in REQUESTS])
AGENTS = pa.array([client.agent.format(version=version) for client in CLIENTS for version in APP_VERSIONS])
COUNTRY_POOL = pa.array(COUNTRIES)
LOCALE_POOL = pa.array([f"{language}_{country}" for language, country in zip(LANGUAGES, COUNTRIES, strict=True)])
HOURS = pa.array([f"{hour:02d}" for hour in range(24)])

LOG_SCHEMA = pa.schema(
    [
        ("unix_log_timestamp", pa.int64()),
        ("user_info_user_key", pa.string()),
        ("user_info_id", pa.int64()),
        ("user_info_device_id", pa.string()),
        ("user_info_status", pa.string()),
        ("user_info_ip_address", pa.string()),
        ("user_info_locale", pa.string()),
        ("user_info_country", pa.string()),
        ("user_info_user_agent", pa.string()),
        ("topic", pa.string()),
        ("url", pa.string()),
        ("params", pa.string()),
        ("date_id", pa.string()),
        ("hour", pa.string()),
        ("server_name", pa.string()),
    ]
)


def log_lines(
    config: SimulatorConfig, platform: Platform, visits: Visits, day: int, chunk: int, lines: Ints
) -> tuple[pa.Table, int]:
    """The log lines for the rows `lines` of `visits`, all of one UTC day, and how many of them have broken JSON.

    The table has the columns of the contract and three others: the date and hour of the server (UTC), and its name.
    """
    random = random_stream(config.seed, Stream.REQUESTS, day, chunk)
    count = len(lines)
    run = visits.run[lines]
    at = visits.at[lines]
    runs = visits.runs
    user, device, client = runs.user[run], runs.device[run], runs.client[run]

    kind = pick(SHARES, random.random(count))
    kind = np.where(user == NOBODY, AS_GUEST[kind], kind)
    # Only the JSON shows that a line comes from a TV that is identified by its user's key.
    kind = np.where((client == KEYED_TV) & (kind == NUMBERS["cut off"]), NUMBERS["home"], kind)
    opens_run = (lines == 0) | (visits.run[lines - 1] != run)
    joins, leaves = opens_run & runs.joins[run], opens_run & runs.leaves[run]
    kind = np.select([joins, leaves], [NUMBERS["join"], NUMBERS["leave"]], kind)

    is_elsewhere = (random.random(count) < 0.15) & ~joins & ~leaves
    any_community = pick(platform.communities.popularity, random.random(count))
    community = np.where(is_elsewhere, any_community, runs.community[run])
    numbers = _numbers(random, platform, day, community)

    country = np.where(random.random(count) < 0.01, UNKNOWN, runs.country[run])
    style = pick(KEY_STYLES, random.random(count))
    gcc = np.where((country == UNKNOWN) | (random.random(count) < 0.03), len(COUNTRIES), country)
    head = ((client * 3 + style) * COUNTRY_CHOICES + gcc) * len(METHODS) + METHOD_OF_REQUEST[kind]

    columns = [
        pa.array(at),
        take(platform.users.key, runs.key_user[run]),
        pa.array(np.where(user == NOBODY, 0, platform.users.wv_user_id[user])),
        take(platform.devices.log_id, device),
        from_pool(pa.array(STATUSES), (user != NOBODY).astype(np.int64)),
        _ip_addresses(device),
        from_pool(LOCALE_POOL, runs.country[run]),
        from_pool(COUNTRY_POOL, country),
        from_pool(AGENTS, client * VERSIONS + runs.version[run]),
        from_pool(TOPICS, kind),
        _join(URLS.columns(kind, numbers)),
        _join([PARAMS_HEADS.take(pa.array(head)), *PARAMS.columns(kind, numbers)]),
        from_pool(pa.array([utc_day_name(utc_day(int(at[0])))]), np.zeros(count, dtype=np.int64)),
        from_pool(HOURS, at // 3_600_000 % 24),
        from_pool(pa.array(SERVERS), random.integers(0, len(SERVERS), count)),
    ]
    return pa.table(columns, names=LOG_SCHEMA.names), int((kind == NUMBERS["cut off"]).sum())


def _numbers(random: np.random.Generator, platform: Platform, day: int, community: Ints) -> Ints:
    """The numbers for the gaps of each line: one row for each of `GAPS`."""
    count = len(community)
    shard, post = post_public_ids(platform.posts.some_of(community, day, random.random(count)))
    notice = notice_ids(platform.notices.some_of(community, day, random.random(count)))
    number = random.integers(1_000, 10_000_000, count)
    seconds = random.integers(1, 7_200, count)
    return np.stack([platform.communities.comm_id[community], shard, post, notice, number, seconds])


def _ip_addresses(device: Ints) -> pa.Array:
    """An address for each device, from the private range 10.0.0.0/8; NULL without a device."""
    octets = (device // 65_536 % 256, device // 256 % 256, device % 256)
    texts = [pc.cast(pa.array(octet, mask=device == NO_DEVICE), pa.string()) for octet in octets]
    return pc.binary_join_element_wise("10", *texts, ".")


def _join(columns: list[pa.Array]) -> pa.Array:
    return pc.binary_join_element_wise(*columns, "", null_handling="replace", null_replacement="")
