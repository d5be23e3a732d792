"""pandera's backends for Ibis and pandas, imported without what pandera does for Spark's pandas API.

Where pyspark is installed, pandera imports all of `pyspark.pandas` (two seconds), which nothing here uses, on every
engine, and sets `SPARK_LOCAL_IP` to the loopback, where no executor of a cluster finds its driver.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Check", "Column", "DataFrameSchema", "IbisColumn", "IbisSchema", "SchemaErrors"]


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
    from pandera.errors import SchemaErrors
    from pandera.ibis import Column as IbisColumn
    from pandera.ibis import DataFrameSchema as IbisSchema
    from pandera.pandas import Check, Column, DataFrameSchema
