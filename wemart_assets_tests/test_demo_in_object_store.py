"""The demo with its lake and its landing folders in an object store."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from wemart_assets.lake.location import Location
from wemart_assets_tests.s3_server import S3Server

DAY = "2024-03-01"
# What needs more lines, or more days, than this demo has.
ON_ONE_DAY_NOTHING = {"rudder.repeated_tracks", "we_mart.stats_wv_d_art_indi_comm_activity"}


@pytest.mark.slow
def test_the_demo_runs_in_an_object_store(s3: S3Server, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    bucket = s3.bucket()
    variables = s3.variables | {
        "WEMART_LAKE": f"{bucket}/lake",
        "WEMART_LANDING": f"{bucket}/landing",
        "WEMART_STATE": str(tmp_path),
        "WEMART_OFFLINE": "true",
    }

    def wemart(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "wemart_assets.cli", *arguments],
            cwd=pytestconfig.rootpath,
            env=os.environ | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    wemart("demo", "--days", "1", "--first-day", DAY, "--lines", "1000")
    made = json.loads((tmp_path / "truth" / "counts.json").read_text())["days"][DAY]["sessions"]
    counted = wemart("sql", "select count(distinct sess_id) as n from we_mart.wv_sess_daily", "--format", "csv")
    assert counted.splitlines()[1:] == [str(made)]
    days = {line.split()[0]: line.split()[1] for line in wemart("tables").splitlines()[1:] if "__" not in line}
    empty = {name for name, published in days.items() if published == "0"}
    # Weeks and months are not over.
    assert {name for name in empty if not re.search("_[wm]_|weekly|monthly", name)} <= ON_ONE_DAY_NOTHING
    page = Location.of(f"{bucket}/lake", s3.storage).read(f"_reports/{DAY}.html").decode()
    assert f"Numbers of {DAY}" in page
    wemart("report", "--output", str(tmp_path / "page.html"))
    assert f"Numbers of {DAY}" in (tmp_path / "page.html").read_text()
    # Nothing is left over but the small files that audit.results has merged.
    assert re.fullmatch(
        r"(audit\.results: \d+ files would be removed\n)?", wemart("vacuum", "--older-than", "0", "--dry-run")
    )
    assert not [name for name in os.listdir(pytestconfig.rootpath) if name.startswith("s3:")]
