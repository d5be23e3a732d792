"""Environments whose tables that carry their state on are there already."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from wemart_assets_tests.environments import Environment, MakeEnvironment

# What carries its state on from day to day or is read of all days so far, with what it is made of.
STATE = (
    "we_mart.ods_wv_member_profile",
    "weverse2.community_log_member_status_log",
    "we_mart.wv_comm_user_base",
    "igaworks.event",
    "igaworks.attribution",
    "igaworks.attribution__date_unknown",
    "igaworks.first_open",
)
# Users are carried on too: each day of sessions is followed by all later days of these, and by cohorts before it.
# Tests of other tables look away from them.
OF_USERS = (
    "rudder.tracks",
    "rudder.repeated_tracks",
    "core.identity_map",
    "we_meta.we_country",
    "core.first_touch",
    "core.fact__events",
    "core.dim__users",
    "activation.fact__first_activation_events",
    "activation.activation_funnel_daily",
)
# What these read beside each other, and what runs with the rest.
READ_OF_USERS = ("we_mart.we_user", "we_mart.wv_sess_daily")
# What an environment is given, so that tests need not ask for it.
GIVEN = frozenset({*STATE, *OF_USERS, *READ_OF_USERS})


@pytest.fixture(scope="session")
def make_environment(make_environment: MakeEnvironment) -> MakeEnvironment:
    """A new environment, under settings of its own; its sensor looks away from users if not told to look at them."""
    template = make_environment().give(*GIVEN)

    def make(looks_at_users: bool = False, **settings: Any) -> Environment:
        environment = make_environment(ignored=() if looks_at_users else OF_USERS, **settings)
        if "first_day" not in settings:
            shutil.copytree(template.lake, environment.lake)
        return environment

    return make


def stateless(environment: Environment) -> set[str]:
    """All tables by day, but for users and what carries its state on."""
    by_day = environment.defs.resolve_job_def("requested_by_day").asset_layer.selected_asset_keys
    return {".".join(key.path) for key in by_day} - {*STATE, *OF_USERS}
