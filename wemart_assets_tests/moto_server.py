"""The process of the local S3 server: moto's, with one change.

moto looks whether an object exists and then writes it, and serves requests side by side. Of two conditional writes at
the same time both might succeed, which S3 rules out.
"""

from __future__ import annotations

import threading
from typing import Any

from moto.s3.responses import S3Response
from moto.server import main

writing = threading.Lock()
put = S3Response._key_response_put


def one_at_a_time(self: S3Response, *args: Any, **kwargs: Any) -> Any:
    with writing:
        return put(self, *args, **kwargs)


if __name__ == "__main__":
    S3Response._key_response_put = one_at_a_time  # type: ignore[method-assign]
    main()
