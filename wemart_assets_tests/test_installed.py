"""The package as users install it: from a wheel, in an environment of its own, away from the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from wemart_assets.init_folder import FILES
from wemart_assets_tests.checkouts import PROJECT

pytestmark = pytest.mark.slow
# Of the shell, and with nothing that leads back to the checkout.
VARIABLES = {k: v for k, v in os.environ.items() if not k.startswith(("WEMART_", "DAGSTER_", "PYTHON"))}
DAY = "2024-01-01"
# What git and tools keep beside the sources.
NOT_OF_THE_PROJECT = (
    ".git",
    ".venv",
    ".wemart",
    "build",
    "dist",
    "site",
    "*.egg-info",
    "__pycache__",
    ".*_cache",
    ".hypothesis",
)
# Of the checkout's hidden files, only what the commands of the sdist need.
HIDDEN = {".ci/run"}


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env=VARIABLES,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the sdist and of the wheel, which is built from the sdist, as `make dist` does it."""
    project = tmp_path_factory.mktemp("distributions")
    # A copy, because setuptools writes into the project and takes up what an earlier build left there.
    shutil.copytree(PROJECT, project, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*NOT_OF_THE_PROJECT))
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", project / "dist", ".", cwd=project)
    return project / "dist"


@pytest.fixture(scope="module")
def wheel(distributions: Path) -> Path:
    [wheel] = distributions.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def scripts(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of an environment with the wheel, which takes the packages that it needs from the tests' own."""
    environment = tmp_path_factory.mktemp("installed") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=wheel.parent)
    scripts, python = environment / "bin", environment / "bin" / "python"
    install = ("install", "--no-deps", "--no-index", "--disable-pip-version-check", wheel)
    run(sys.executable, "-m", "pip", "--python", python, *install, cwd=wheel.parent)
    [packages] = environment.glob("lib/*/site-packages")
    # Only the folder: the files in it that lead to a checkout (`pip install -e`) count in their own environment only.
    (packages / "of_the_tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
    _, _, dagster = Path(sysconfig.get_path("scripts"), "dagster").read_text().partition("\n")
    (scripts / "dagster").write_text(f"#!{python}\n{dagster}")
    (scripts / "dagster").chmod(0o755)
    return scripts


def test_the_wheel_has_the_package_and_no_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        files = {name for name in archive.namelist() if ".dist-info/" not in name}
    # What has been added and not committed yet is part of the package, too; what Python compiled is not.
    package = {path for path in (PROJECT / "wemart_assets").rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert files == {path.relative_to(PROJECT).as_posix() for path in package}


def test_the_sdist_has_the_sources_the_tests_and_the_pages(distributions: Path) -> None:
    [sdist] = distributions.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    if not (PROJECT / ".git").exists():
        pytest.skip("only git knows what belongs to the project")
    tracked = run("git", "-c", "safe.directory=*", "ls-files", cwd=PROJECT).splitlines()
    assert {name for name in tracked if not name.startswith(".") or name in HIDDEN} - names == set()


def test_the_commands_work_in_another_folder(scripts: Path, tmp_path: Path) -> None:
    run(scripts / "wemart", "init", "mart", cwd=tmp_path)
    folder = tmp_path / "mart"
    module = run(scripts / "python", "-c", "import wemart_assets as w; print(w.__file__)", cwd=folder)
    assert Path(module.strip()).is_relative_to(scripts.parent)
    run(scripts / "wemart", "simulate", "--days", "1", "--lines", "600", cwd=folder)
    partition = ("--select", '+key:"we_mart/wv_sess_daily"', "--partition", DAY)
    run(scripts / "dagster", "asset", "materialize", "-m", "wemart_assets.definitions", *partition, cwd=folder)
    done = run(scripts / "wemart", "run", "--from", DAY, "we_mart/wv_visit_daily_log", cwd=folder)
    assert "we_mart.wv_visit_daily_log" in done
    query = "select count(*) > 0 as filled from we_mart.wv_visit_daily_log"
    assert run(scripts / "wemart", "sql", query, "--format", "csv", cwd=folder).splitlines()[1] == "true"
    # dagster.yaml was read: the history is where it says, and Dagster wrote nothing beside it.
    assert {path.name for path in folder.iterdir()} == {*FILES, ".wemart"}
    assert (folder / ".wemart" / "dagster" / "history").is_dir()


def test_the_workspace_leads_to_the_installed_package(scripts: Path, tmp_path: Path) -> None:
    run(scripts / "wemart", "init", cwd=tmp_path)
    assert "landing_sensor" in run(scripts / "dagster", "sensor", "list", "-w", "workspace.yaml", cwd=tmp_path)
