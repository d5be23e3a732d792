"""The files of `deploy/`: what they name exists, the image has all it needs, and the services work together.

Nothing here needs Docker: the services run as processes, with the commands and the configuration of the containers.
"""

from __future__ import annotations

import json
import os
import queue
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import threading
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import dagster as dg
import pytest
import yaml
from dagster._core.events.log import EventLogEntry

from wemart_assets.pages import settings_list
from wemart_assets.settings import load_settings
from wemart_assets_tests.checkouts import PROJECT
from wemart_assets_tests.environments import Environment
from wemart_assets_tests.postgres import postgres_server
from wemart_assets_tests.s3_server import s3_server

DEPLOY = PROJECT / "deploy"
PAGES = [*DEPLOY.iterdir(), PROJECT / "docs" / "deployment.md"]
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
OURS = {name: service for name, service in COMPOSE["services"].items() if "build" in service}


SETTINGS = set(re.findall(r"^\| `(WEMART_\w+)`", settings_list(), flags=re.M))


@pytest.mark.parametrize("page", [path.relative_to(PROJECT).as_posix() for path in PAGES])
def test_every_setting_that_is_named_exists(page: str) -> None:
    named = set(re.findall(r"WEMART_[A-Z0-9_]+", (PROJECT / page).read_text()))
    assert named <= SETTINGS


def test_settings_are_found() -> None:
    """Guards the test above: it has to find nested settings, and the variables of the files."""
    assert {"WEMART_LAKE", "WEMART_STORAGE__SECRET"} <= SETTINGS
    assert "WEMART_STORAGE__SECRET" in (DEPLOY / "compose.yaml").read_text()


def test_every_variable_of_the_configuration_is_given_to_the_services() -> None:
    configured = {
        name
        for file in ("dagster.yaml", "workspace.yaml")
        for name in re.findall(r"env: (\w+)", (DEPLOY / file).read_text())
    }
    assert len(configured) == 7
    for name, service in OURS.items():
        assert configured <= set(service["environment"]), name


def test_the_settings_of_the_services_are_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment_of("webserver").items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert (str(settings.lake), str(settings.landing)) == (f"s3://{BUCKET}/lake", f"s3://{BUCKET}/landing")
    assert f"-bucket={BUCKET}" in COMPOSE["services"]["s3"]["command"]
    # The three agree on where the history of the lake is.
    assert len({tuple(service["environment"].items()) for service in OURS.values()}) == 1


def test_what_compose_asks_for_is_in_the_example_of_its_settings() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    example = (DEPLOY / "env.example").read_text()
    assert set(re.findall(r"\$\{(\w+):\?", text)) == set(re.findall(r"^(\w+)=", example, flags=re.M))
    assert set(re.findall(r"\$\{(\w+):-", text)) == set(re.findall(r"^# (\w+)=", example, flags=re.M))


def test_the_services_of_the_platform_are_one_image_as_a_user_without_rights() -> None:
    assert set(OURS) == {"code-location", "daemon", "webserver"}
    assert {(service["image"], service["build"]["dockerfile"]) for service in OURS.values()} == {
        ("wemart-assets", "deploy/Dockerfile")
    }
    assert DOCKERFILE.index("USER wemart") > DOCKERFILE.rindex("RUN ")


def test_images_are_pinned() -> None:
    images = [service["image"] for name, service in COMPOSE["services"].items() if name not in OURS]
    images += re.findall(r"^FROM (\S+)", DOCKERFILE, flags=re.M)
    assert len(images) == 4
    for image in images:
        _, _, tag = image.partition(":")
        assert re.match(r"\d", tag), f"{image} has no version"


def test_what_is_waited_for_has_a_health_check() -> None:
    waited_for = {(name, other) for name, service in OURS.items() for other in service["depends_on"]}
    assert waited_for
    for name, other in waited_for:
        assert "healthcheck" in COMPOSE["services"][other], f"{name} waits for {other}"


def test_the_image_installs_what_the_project_declares() -> None:
    extras = set(re.search(r'"\.\[(.*?)\]"', DOCKERFILE)[1].split(","))  # type: ignore[index]
    declared = set(tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    assert extras <= declared
    assert DOCKERFILE.count("-c constraints.txt") == DOCKERFILE.count("pip install")


def test_the_chart_deploys_this_code_location() -> None:
    values = yaml.safe_load((DEPLOY / "kubernetes.yaml").read_text())
    [deployment] = values["dagster-user-deployments"]["deployments"]
    assert deployment["dagsterApiGrpcArgs"] == ["-m", "wemart_assets.definitions"]
    # What runs at once, and the driver of PostgreSQL, are as in Compose.
    config = yaml.safe_load((DEPLOY / "dagster.yaml").read_text())
    queue = values["dagsterDaemon"]["runCoordinator"]["config"]["queuedRunCoordinator"]
    assert queue["maxConcurrentRuns"] == config["run_coordinator"]["config"]["max_concurrent_runs"]
    assert values["postgresql"]["postgresqlScheme"] == config["storage"]["postgres"]["postgres_db"]["scheme"]


@pytest.mark.slow
def test_the_image_is_built_from_what_is_sent_to_docker(tmp_path: Path) -> None:
    """In a folder with nothing but what the build stage copies, the package builds, with all its files."""
    stage = DOCKERFILE.partition("\nFROM ")[2].partition("\nFROM ")[0]
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    sent = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    for *sources, target in (line.split() for line in re.findall(r"^COPY (?!--from)(.*)", DOCKERFILE, flags=re.M)):
        assert set(sources) <= sent
        if f"COPY {' '.join([*sources, target])}" not in stage:
            continue
        for source in sources:
            if (PROJECT / source).is_dir():
                left_out = shutil.ignore_patterns("__pycache__")
                shutil.copytree(PROJECT / source, tmp_path / "build" / target, ignore=left_out)
            else:
                (tmp_path / "build").mkdir(exist_ok=True)
                shutil.copy(PROJECT / source, tmp_path / "build")
    build = ("wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", tmp_path, tmp_path / "build")
    done = subprocess.run([sys.executable, "-m", "pip", *build], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.glob("wemart_assets-*.whl")]


# How long to wait for a service's next step, on a machine that is busy.
PATIENCE = 300
DAY = "2024-03-02"
EVENTS = "igaworks.event"
# Of the lake and the landing files in Compose.
BUCKET = "wemart"
PIPELINE_ENDS = {
    dg.DagsterEventType.PIPELINE_SUCCESS,
    dg.DagsterEventType.PIPELINE_FAILURE,
    dg.DagsterEventType.PIPELINE_CANCELED,
}


class Service:
    """A service of Compose as a process, with the command of its container."""

    def __init__(self, name: str, command: Sequence[str], home: Path) -> None:
        self.name, self.said = name, ""
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._process = subprocess.Popen(command, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def wait_for(self, text: str) -> None:
        """Waits until the service prints a line with the text; fails if it ends before."""
        with suppress(queue.Empty):
            while (line := self._lines.get(timeout=PATIENCE)) is not None:
                self.said += line
                if text in line:
                    return
        pytest.fail(f"the {self.name} did not say {text!r}, but:\n{self.said[-4000:]}")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """DAGSTER_HOME of the image, over PostgreSQL and an S3 server. This process has the variables of the services."""
    folder = tmp_path / "home"
    folder.mkdir()
    for file in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(DEPLOY / file, folder)
    for name in [name for name in os.environ if name.startswith(("WEMART_", "DAGSTER_"))]:
        monkeypatch.delenv(name)
    with postgres_server() as variables, s3_server() as store:
        urlopen(Request(f"{store.address}/{BUCKET}", method="PUT")).close()
        # As in the containers, but for the addresses, the folder of the state, and a short calendar.
        variables = {
            **environment_of("code-location"),
            **variables,
            **store.variables,
            "DAGSTER_HOME": str(folder),
            "DAGSTER_CODE_LOCATION_HOST": "127.0.0.1",
            "DAGSTER_CODE_LOCATION_PORT": free_port(),
            "WEMART_STATE": str(tmp_path / "state"),
            "WEMART_FIRST_DAY": DAY,
            "WEMART_LAST_DAY": DAY,
            "PYTHONPATH": str(PROJECT),
            "PATH": f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}",
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield folder


@pytest.mark.slow
def test_the_services_publish_what_has_landed(tmp_path: Path, home: Path) -> None:
    """A landed file becomes a run: the daemon ticks the sensor, the code location runs it, the webserver shows it."""
    line = f"u,iOS,iPhone,KR,purchase,log,{DAY} 12:00:00.0,1,1.5\n"
    ports = {"4000": os.environ["DAGSTER_CODE_LOCATION_PORT"], "3000": free_port(), "0.0.0.0": "127.0.0.1"}

    def words(command: Sequence[str]) -> list[str]:
        return [ports.get(word, word) for word in command]

    with ExitStack() as stack:
        instance = stack.enter_context(dg.DagsterInstance.get())
        settings = load_settings()
        settings.landing_location.write(f"{EVENTS}/events.csv", line.encode())

        def start(name: str, *more: str) -> Service:
            service = Service(name, words([*COMPOSE["services"][name]["command"], *more]), home)
            stack.callback(service.stop)
            return service

        start("code-location").wait_for("Started Dagster code server")
        is_healthy = words(COMPOSE["services"]["code-location"]["healthcheck"]["test"][1:])
        subprocess.run(is_healthy, cwd=home, check=True)
        sensor = ("dagster", "sensor", "start", "landing_sensor", "-w", "workspace.yaml")
        subprocess.run(sensor, cwd=home, check=True)
        daemon = start("daemon")
        # The days, and the rows of unknown time.
        same = settings.model_dump(include={"lake", "landing", "first_day", "last_day"})
        requests = Environment(tmp_path, instance, **same).tick().requests
        for _ in requests:
            daemon.wait_for("Completed launch of run")
        runs = {run.run_id for run in instance.get_runs()}
        assert len(runs) == len(requests) > 0
        assert {finished(instance, run) for run in runs} == {dg.DagsterEventType.PIPELINE_SUCCESS}
        query = ("wemart", "sql", f"select count(*) as n from {EVENTS} where part_date = '{DAY}'", "--format", "csv")
        assert subprocess.run(query, cwd=home, check=True, capture_output=True, text=True).stdout.split()[-1] == "1"
        start("webserver", "--uvicorn-log-level", "info").wait_for("Uvicorn running on")
        shown = ask(ports["3000"], "{runsOrError {... on Runs {results {runId status}}}}")["runsOrError"]["results"]
        assert {(run["runId"], run["status"]) for run in shown} == {(run, "SUCCESS") for run in runs}
    # A container loses its home; what Dagster leaves there besides is its empty queue of telemetry.
    left = {path.name for path in home.iterdir()} - {"dagster.yaml", "workspace.yaml"}
    assert left <= {".logs_queue", "logs"}


def environment_of(service: str) -> dict[str, str]:
    """The variables of a container, with Compose's defaults, and `x` for each password."""
    given: dict[str, str] = COMPOSE["services"][service]["environment"]
    return {name: re.sub(r"\$\{\w+:(?:-(.*)|\?.*)\}", lambda m: m[1] or "x", value) for name, value in given.items()}


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def finished(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterEventType:
    """Waits until the run is over; returns the event that says so."""
    ends: queue.SimpleQueue[dg.DagsterEventType] = queue.SimpleQueue()

    def look(entry: EventLogEntry, _cursor: str) -> None:
        if entry.dagster_event is not None and (kind := entry.dagster_event.event_type) in PIPELINE_ENDS:
            ends.put(kind)

    instance.watch_event_logs(run_id, None, look)
    return ends.get(timeout=PATIENCE)


def ask(port: str, query: str) -> Any:
    """What the webserver's GraphQL answers."""
    body = json.dumps({"query": query}).encode()
    request = Request(f"http://127.0.0.1:{port}/graphql", body, {"Content-Type": "application/json"})
    with urlopen(request, timeout=PATIENCE) as answer:
        return json.load(answer)["data"]
