"""The app events that make up the funnel: the format of the setting `WEMART_APP_EVENTS`.

Nothing is computed here, so settings can be read without an engine.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

Name = Annotated[str, Field(min_length=1)]


class AppEvents(BaseModel):
    """The event names of each funnel step, including those in the attribution service's export.

    The fields are the steps in order. Reports name a step by its field.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    firstopen: tuple[Name, ...] = Field(("firstopen", "abx:firstopen"), min_length=1)
    login: tuple[Name, ...] = Field(("login", "abx:login"), min_length=1)
    purchase: tuple[Name, ...] = Field(("purchase", "abx:purchase"), min_length=1)

    @model_validator(mode="after")
    def _one_step_each(self) -> AppEvents:
        names = [name for of_step in self.by_step().values() for name in of_step]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{', '.join(repeated)}: each name is that of one step, said once")
        return self

    def by_step(self) -> dict[str, tuple[str, ...]]:
        """The names of each step, in the order of the funnel."""
        return {step: getattr(self, step) for step in FUNNEL}


FIRSTOPEN, LOGIN, PURCHASE = FUNNEL = ("firstopen", "login", "purchase")
