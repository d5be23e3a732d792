"""The number of Hypothesis examples: few in `make test`, many in CI."""

from __future__ import annotations

import os

# `quick` or `thorough`.
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "quick")


def examples(quick: int, thorough: int) -> int:
    """The `max_examples` of a test in the current profile."""
    return {"quick": quick, "thorough": thorough}[PROFILE]
