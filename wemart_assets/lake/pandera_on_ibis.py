"""pandera's Ibis backend, imported without what pandera does for Spark's pandas API, which nothing here uses.

Where pyspark is installed, pandera imports all of `pyspark.pandas` (two seconds), on every engine, and sets
`SPARK_LOCAL_IP` to the loopback, where no executor of a cluster finds its driver.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Check", "Column", "DataFrameSchema", "SchemaErrorReason", "SchemaErrors"]


@contextmanager
def _without_pyspark() -> Iterator[None]:
    address, known = os.environ.get("SPARK_LOCAL_IP"), "pyspark" in sys.modules
    if not known:
        sys.modules["pyspark"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if not known:
            del sys.modules["pyspark"]
        if address is None:
            os.environ.pop("SPARK_LOCAL_IP", None)


with _without_pyspark():
    from pandera.api.checks import Check
    from pandera.errors import SchemaErrorReason, SchemaErrors
    from pandera.ibis import Column, DataFrameSchema
