"""The clients of the platform, and how each describes itself in a log line."""

from dataclasses import dataclass, field

APP_VERSIONS = ("2.12.0", "2.13.0", "2.13.1", "2.14.2")
VERSIONS = len(APP_VERSIONS)

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
)
MOBILE_SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.2 Mobile/15E148 Safari/604.1"
)


@dataclass(frozen=True)
class Client:
    """A client, its share of the devices, its user agent with a placeholder for the version, its fields in `params`."""

    name: str
    share: float
    agent: str
    params: dict[str, str] = field(default_factory=dict)


def _params(consumer: str, provider: str, platform: str, **others: str) -> dict[str, str]:
    return {"consumer_id": consumer, "provider_id": provider, "platform_id": platform, **others}


CLIENTS = (
    Client(
        "ios",
        33,
        "weverse;{version} app;{version} (iPhone15,2; iOS 17.2)",
        _params("weverseApp", "WEVAPP", "IOS", os="IOS", wpf="app"),
    ),
    Client(
        "android",
        32,
        "Mozilla/5.0 (Linux; Android 14) app;{version} okhttp/4.12.0",
        _params("weverseApp", "WEVAPP", "ANDROID", os="ANDROID", wpf="app"),
    ),
    Client(
        "old android",
        4,
        "weverse;2.9.0 (Linux; Android 10)",
        _params("weverseApp", "WEVAPP", "android", os="ANDROID", wpf="app"),
    ),
    Client("browser", 11, CHROME, _params("weverseWeb", "WEVWEB", "WEB", wpf="pc")),
    Client("mobile browser", 11, MOBILE_SAFARI, _params("weverseWeb", "WEVWEB", "WEB", wpf="mweb")),
    Client(
        "android tv",
        2,
        "app;{version} (Android TV 12)",
        _params("weverseTv", "WEVAPP", "ANDROID", os="ANDTV", wpf="app"),
    ),
    Client(
        "apple tv", 1, "app;{version} (AppleTV11,1)", _params("weverseTv", "WEVAPP", "IOS", os="APPLETV", wpf="app")
    ),
    Client("tv app", 1, "weverse;{version} Tizen/7.0", _params("tvApp", "WEVTV", "TIZEN", os="tizen")),
    Client("tv app, os unknown", 0.5, "weverse;{version}", _params("tvApp", "WEVTV", "UNKNOWN")),
    Client("tvOS app", 1, "app;{version} tvOS/17.2", _params("tvOSApp", "WEVTV", "TVOS", os="TVOS")),
    Client(
        "tv app without device id",
        2.5,
        "weverse;{version} webOS/6.0",
        _params("tvApp", "WEVTV", "WEBOS", os="webos"),
    ),
    Client("plain", 1, "python-requests/2.31.0"),
)

CLIENT_NUMBERS = {client.name: number for number, client in enumerate(CLIENTS)}
KEYED_TV = CLIENT_NUMBERS["tv app without device id"]
