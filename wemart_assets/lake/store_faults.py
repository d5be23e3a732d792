"""What is wrong when a request to an object store fails, and what to do about it.

obstore, delta-rs and DuckDB report the same answer of a store in texts of their own. This module reads the error code
of the answer, its HTTP status, and the few words by which the libraries say that there was no answer. It never repeats
their text, which may quote an option or a token.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import cast


class StoreFault(Enum):
    """Why an object store cannot be used."""

    BUCKET = "there is no such bucket"
    KEYS = "the object store does not accept the key"
    NO_KEYS = "there is no key for the object store"
    RIGHTS = "the key has no right to do this"
    REGION = "the bucket is in another region"
    OPTION = "an option of the object store is not valid"
    NETWORK = "the object store does not answer"


# What to change, by fault.
ADVICE = {
    StoreFault.BUCKET: (
        "Create the bucket, or correct the URL in WEMART_LAKE or WEMART_LANDING, and with a server of your own "
        "WEMART_STORAGE__ENDPOINT"
    ),
    StoreFault.KEYS: (
        "Check WEMART_STORAGE__KEY and WEMART_STORAGE__SECRET (or the AWS_* variables, profile or role that stand in "
        "for them), and whether the key has expired"
    ),
    StoreFault.NO_KEYS: (
        "Set WEMART_STORAGE__KEY and WEMART_STORAGE__SECRET, or give this process AWS_* variables, a profile or a role"
    ),
    StoreFault.RIGHTS: (
        "Let the key list, read, write and delete objects below this URL, or name another key in WEMART_STORAGE__KEY"
    ),
    StoreFault.REGION: "Set WEMART_STORAGE__REGION to the region of the bucket",
    StoreFault.OPTION: "Correct WEMART_STORAGE__OPTIONS",
    StoreFault.NETWORK: (
        "Check the network and WEMART_STORAGE__ENDPOINT (without one, requests go to AWS), and whether the store is up"
    ),
}
# With these a store or a library quotes what it was sent: a token in the headers, or the value of an option.
QUOTING = (StoreFault.KEYS, StoreFault.OPTION)
# Error codes of S3.
BY_CODE = {
    "NoSuchBucket": StoreFault.BUCKET,
    "InvalidBucketName": StoreFault.BUCKET,
    "AccessDenied": StoreFault.RIGHTS,
    "AllAccessDisabled": StoreFault.RIGHTS,
    "AccountProblem": StoreFault.RIGHTS,
    "PermanentRedirect": StoreFault.REGION,
    "AuthorizationHeaderMalformed": StoreFault.REGION,
    **dict.fromkeys(
        (
            "ExpiredToken",
            "InvalidAccessKeyId",
            "InvalidClientTokenId",
            "InvalidToken",
            "RequestTimeTooSkewed",
            "SignatureDoesNotMatch",
            "TokenRefreshRequired",
        ),
        StoreFault.KEYS,
    ),
    **dict.fromkeys(
        ("InternalError", "RequestTimeout", "ServiceUnavailable", "SlowDown", "Throttling"), StoreFault.NETWORK
    ),
}
# In the XML of the answer; of obstore for one of many deletions; and as DuckDB begins a line.
CODE = re.compile(r"<Code>(\w+)</Code>|\(code: (\w+)\)|^(\w+): ", re.MULTILINE)
STATUS = re.compile(r"non-2xx status code:? (\d{3})\b|\(HTTP code (\d{3})\)|\(HTTP (\d{3})\b")
# Where the libraries look for a role of this machine if no key is given.
ROLE = re.compile(r"http://169\.254\.\d+\.\d+/|credential provider")
OPTION = re.compile(r"Configuration key: '(\w+)'|Generic Config error|not a valid (?:bool|duration|u32)")
NO_ANSWER = re.compile(
    r"\bHTTP error:? |error sending request|\berror for HTTP [A-Z]+ to '|error decoding response body"
)
NO_CONNECTION = re.compile(
    "Connection (?:refused|reset by peer)|failed to lookup address|dns error|Could not (?:connect to server|resolve "
    "hostname)|operation timed out|Timeout was reached|connection closed before message completed",
    re.IGNORECASE,
)
# delta-rs shows the causes of an error as a tree, in colours.
TREE = re.compile(r"\x1b\[\d*m|\u21b3")
URL = re.compile(r"\b(?:s3a?|gs|az|https?)://[^\s'\"?]+")


def store_fault(text: str) -> StoreFault | None:
    """The fault that an error of obstore, delta-rs or DuckDB reports, or None if it is not about an object store."""
    plain = TREE.sub("", text)
    for code in _codes(plain):
        if code in BY_CODE:
            return BY_CODE[code]
    one_line = " ".join(plain.split())
    if ROLE.search(one_line):
        return StoreFault.NO_KEYS
    if OPTION.search(one_line):
        return StoreFault.OPTION
    if "incorrectly configured region" in one_line:
        return StoreFault.REGION
    if status := STATUS.search(one_line):
        return _by_status(int(next(filter(None, status.groups()))))
    return StoreFault.NETWORK if NO_ANSWER.search(one_line) else None


def reason(text: str) -> str | None:
    """What the store or the system said: an error code, the HTTP status, why there is no connection, or an option."""
    plain = TREE.sub("", text)
    if known := [code for code in _codes(plain) if code in BY_CODE]:
        return known[0]
    if option := OPTION.search(plain):
        return cast("str | None", option[1])
    if status := STATUS.search(" ".join(plain.split())):
        return f"HTTP {next(filter(None, status.groups()))}"
    words = NO_CONNECTION.search(plain)
    return words[0] if words else None


def url_in(text: str) -> str | None:
    """The URL that an error names, without its query; None if it is not one of the store."""
    found = URL.search(TREE.sub("", text))
    return found[0].rstrip(":,.)") if found and not ROLE.search(text) else None


def explained(fault: StoreFault, text: str, url: str | None) -> str:
    """The fault of an error with this text, what to do about it, and the URL if it is known; without a full stop."""
    where, said = "" if url is None else f"{url}: ", None if fault is StoreFault.NO_KEYS else reason(text)
    return f"{where}{fault.value}{f' ({said})' if said else ''}. {ADVICE[fault]}"


def _codes(plain: str) -> list[str]:
    return [next(filter(None, code.groups())) for code in CODE.finditer(plain)]


def _by_status(status: int) -> StoreFault | None:
    if status in (401, 403):
        return StoreFault.KEYS
    return StoreFault.NETWORK if status >= 500 or status in (408, 429) else None
