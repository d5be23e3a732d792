"""Environments in which the stateful tables have already been published."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from wemart_assets_tests.environments import Environment, MakeEnvironment

# Stateful tables and tables of which all past days are read, with their upstream tables.
STATE = (
    "we_mart.ods_wv_member_profile",
    "weverse2.community_log_member_status_log",
    "we_mart.wv_comm_user_base",
    "igaworks.event",
    "igaworks.attribution",
    "igaworks.attribution__date_unknown",
    "igaworks.first_open",
)
# The user tables are stateful too: a change to a day of sessions affects all their later days, and other cohorts.
# Tests of other tables ignore them.
OF_USERS = (
    "we_mart.wv_art_first_vst",
    "we_mart.wv_visit_weekly_base",
    "we_mart.wv_visit_monthly_base",
    "we_mart.stats_wv_w_art_cohort_vst",
    "we_mart.stats_wv_m_art_cohort_vst",
    "rudder.tracks",
    "rudder.repeated_tracks",
    "core.identity_map",
    "core.first_touch",
    "core.fact__events",
    "core.dim__users",
    "activation.fact__first_activation_events",
    "activation.activation_funnel_daily",
    "we_mart.we_user_dic_engaged_by_project",
)
# Other inputs of the user tables, which run with the remaining tables.
READ_OF_USERS = (
    "we_mart.we_user",
    "we_meta.we_country",
    "we_mart.wv_sess_daily",
    "we_mart.wv_post_view",
    "we_mart.wv_post_reaction",
    "we_mart.wv_media_reaction",
    "we_mart.ws_order",
)
# Tables that an environment has from the start, so that tests need not request them.
GIVEN = frozenset({*STATE, *OF_USERS, *READ_OF_USERS})


@pytest.fixture(scope="session")
def make_environment(make_environment: MakeEnvironment) -> MakeEnvironment:
    """A new environment with its own settings. Its sensor ignores user tables unless `looks_at_users` is set."""
    template = make_environment().give(*GIVEN)

    def make(looks_at_users: bool = False, **settings: Any) -> Environment:
        environment = make_environment(ignored=() if looks_at_users else OF_USERS, **settings)
        if "first_day" not in settings:
            shutil.copytree(template.lake, environment.lake)
        return environment

    return make


def stateless(environment: Environment) -> set[str]:
    """All daily tables except the user tables and the stateful ones."""
    by_day = environment.defs.resolve_job_def("requested_by_day").asset_layer.selected_asset_keys
    return {".".join(key.path) for key in by_day} - {*STATE, *OF_USERS}
