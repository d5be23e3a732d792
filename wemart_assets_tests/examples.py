"""How many examples Hypothesis tries: few in `make test`, many in CI."""

from __future__ import annotations

import os

# `quick` or `thorough`.
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "quick")


def examples(quick: int, thorough: int) -> int:
    """The `max_examples` of a test in the profile that is set."""
    return {"quick": quick, "thorough": thorough}[PROFILE]
