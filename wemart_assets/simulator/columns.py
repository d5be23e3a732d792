"""Helpers for columns: seeded random streams, and text built a whole column at a time."""

from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Ints = npt.NDArray[np.integer[Any]]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

HEX_PAIRS = np.array([list(b"%02x" % byte) for byte in range(256)], dtype=np.uint8)


class Stream(IntEnum):
    """What random numbers are drawn for. Each purpose, day and chunk has its own stream; none shifts another."""

    USERS = 1
    DEVICES = 2
    COMMUNITIES = 3
    POSTS = 4
    NOTICES = 5
    MEMBERS = 6
    MEMBERSHIPS = 7
    VISITS = 8
    LOOSE_LINES = 9
    REQUESTS = 10
    STAYS = 11
    COUNTRIES = 12
    FORMER_PRODUCTS = 13
    SWITCHES = 14
    PURCHASES = 15
    REPORTS = 16
    PROFILES = 17
    ACTS = 18
    APP_USERS = 19
    APP_TOUCHES = 20
    APP_TOUCH_IDS = 21
    APP_EVENTS = 22
    IDENTITIES = 30
    MESSAGES = 40
    TRACKED_PEOPLE = 23
    TRACKED_VISITS = 24
    TRACKS = 25
    TRACK_DELIVERY = 26
    LIVES = 40
    SERVICE_VISITS = 41
    ORDERS = 42
    PLAYS = 43


def random_stream(seed: int, purpose: Stream, day: int = 0, chunk: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([seed, purpose, day, chunk]))


def pick(cumulative_shares: Floats, draws: Floats) -> Ints:
    """For each draw in [0, 1), the number of the share that it falls into."""
    return np.searchsorted(cumulative_shares, draws, side="right").clip(max=len(cumulative_shares) - 1)


def cumulative(shares: npt.ArrayLike) -> Floats:
    total = np.cumsum(np.asarray(shares, dtype=np.float64))
    return np.asarray(total / total[-1], dtype=np.float64)


def positions_in_groups(sizes: Ints) -> Ints:
    """0, 1, 2, ... within each group, for consecutive groups of these sizes."""
    ends = np.cumsum(sizes)
    return np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - sizes, sizes)


def starts_of_runs(*columns: npt.NDArray[Any]) -> Ints:
    """The rows where any of the columns changes, including the first row."""
    changed = np.zeros(len(columns[0]), dtype=np.bool_)
    changed[:1] = True
    for column in columns:
        changed[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(changed)


def hexadecimal(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint8]:
    """Each row of 64-bit numbers as ASCII hex digits, 16 per number."""
    octets = np.ascontiguousarray(numbers.astype(">u8")).view(np.uint8).reshape(len(numbers), -1)
    return HEX_PAIRS[octets].reshape(len(numbers), -1)


def fixed_width_text(letters: npt.NDArray[np.uint8]) -> pa.Array:
    """A string column from a matrix of ASCII letters, one string per row, built without Python strings."""
    rows, width = letters.shape
    offsets = np.arange(rows + 1, dtype=np.int32) * np.int32(width)
    return pa.StringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(letters)))


def nullable(values: Ints, is_null: Bools | None = None, type: pa.DataType | None = None) -> pa.Array:
    """An integer column; NULL where `is_null`, or where negative if that is not given."""
    return pa.array(values, mask=values < 0 if is_null is None else is_null, type=type or pa.int64())


def instants(milliseconds: Ints, is_null: Bools | None = None) -> pa.Array:
    """Milliseconds since the epoch as UTC instants; NULL where `is_null`, or where negative if that is not given."""
    mask = milliseconds < 0 if is_null is None else is_null
    return pa.array(milliseconds.astype(np.int64) * 1000, mask=mask).cast(pa.timestamp("us", tz="UTC"))


def from_pool(pool: pa.Array, rows: Ints) -> pa.Array:
    """`pool[row]` for each row, NULL where negative; as a dictionary array, for pools of few values."""
    return pa.DictionaryArray.from_arrays(pa.array(rows.astype(np.int32), mask=rows < 0), pool)


def take(pool: pa.Array, rows: Ints) -> pa.Array:
    """`pool[row]` for each row, NULL where negative; as a plain array, for pools of many values."""
    return pool.take(pa.array(rows.astype(np.int32), mask=rows < 0))


def prefixed(prefix: str, numbers: Ints) -> pa.Array:
    """Each number as text after the prefix."""
    return pc.binary_join_element_wise(prefix, pc.cast(pa.array(numbers), pa.string()), "")
