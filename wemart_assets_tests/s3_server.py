"""A local S3 server, and places in it for single tests."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

from wemart_assets.lake.location import Location, Storage

KEY, SECRET = "test-key", "test-secret-that-nothing-may-show"


class S3Server:
    """A server of moto in a process of its own. It keeps its objects in memory, and every key and secret is right."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.storage = Storage.model_validate({"endpoint": address, "key": KEY, "secret": SECRET})

    @property
    def variables(self) -> dict[str, str]:
        """The settings of a process that uses the server, as environment variables."""
        return {
            "WEMART_STORAGE__ENDPOINT": self.address,
            "WEMART_STORAGE__KEY": KEY,
            "WEMART_STORAGE__SECRET": SECRET,
        }

    def bucket(self) -> str:
        """The URL of a new bucket."""
        name = f"bucket-{uuid.uuid4().hex[:12]}"
        urlopen(Request(f"{self.address}/{name}", method="PUT")).close()
        return f"s3://{name}"

    def location(self, below: str = "lake") -> Location:
        """A place in a new bucket."""
        return Location.of(f"{self.bucket()}/{below}", self.storage)


@contextmanager
def s3_server(**variables: str) -> Iterator[S3Server]:
    """Runs a server at a free port, with environment variables of moto."""
    # Given port 0, the server writes the port that it has found.
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("moto_server.py")), "--host", "127.0.0.1", "--port", "0"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env=os.environ | variables,
    ) as process:
        try:
            yield S3Server(_address(process))
        finally:
            process.kill()


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    for line in process.stderr:
        if "Running on " in line:
            # Someone has to read what it goes on writing, or it would wait once the pipe is full.
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return line.split("Running on ")[1].split()[0].removesuffix("\x1b[0m")
    raise AssertionError("the S3 server has not started")
