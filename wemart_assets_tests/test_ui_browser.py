"""A person at Dagster's UI: materializes a day by clicking, turns the sensor on, sees a refused file and mends it."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from wemart_assets_tests.environments import millis
from wemart_assets_tests.server_log import LOG_COLUMNS

pytestmark = pytest.mark.slow
LOG, MART = "service_log/weverse_server_log", "we_mart/wv_server_log_base"
DAY, NEXT_DAY = "2024-01-01", "2024-01-02"
# Of the shell, without settings of its own.
VARIABLES = {k: v for k, v in os.environ.items() if not k.startswith(("WEMART_", "DAGSTER_"))} | {
    "PYTHONPATH": str(Path(__file__).parents[1])
}
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# No sandbox, which root may not use; no requests to anyone but the server.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
# A tick of the sensor is due within a minute, and the machine may be busy.
PATIENCE = 240_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as `wemart init` makes it."""
    wemart(tmp_path, "init", ".")
    return tmp_path


def wemart(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "wemart_assets.cli", *arguments]
    done = subprocess.run(command, cwd=folder, env=VARIABLES, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def lines_of(folder: Path) -> dict[str, int]:
    """The number of lines of each published day, as an analyst sees it."""
    query = "select date_id, count(*) as lines from service_log.weverse_server_log group by all order by all"
    rows = csv.DictReader(wemart(folder, "sql", query, "--format", "csv").splitlines())
    return {row["date_id"]: int(row["lines"]) for row in rows}


def land(folder: Path, name: str, day: str, *users: object) -> None:
    """Writes or replaces a file of the server log: one line of each user."""
    file = folder / ".wemart" / "landing" / "service_log.weverse_server_log" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    # Complete at once, and not taken up before.
    beside = folder / name
    with beside.open("w", newline="") as text:
        lines = csv.DictWriter(text, LOG_COLUMNS)
        lines.writeheader()
        for user in users:
            device = {"user_info_device_id": f"device of {user}", "url": "/home"}
            lines.writerow({"unix_log_timestamp": millis(f"{day} 12:00:00"), "user_info_id": user, **device})
    beside.replace(file)


def answers(port: str) -> bool:
    try:
        socket.create_connection(("127.0.0.1", int(port)), timeout=10).close()
    except OSError:
        return False
    return True


@pytest.fixture
def url(folder: Path) -> Iterator[str]:
    """The address of `wemart ui`: web server, daemon and code server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    server = subprocess.Popen(
        [sys.executable, "-m", "wemart_assets.cli", "ui", "--port", port],
        cwd=folder,
        env=VARIABLES,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A group of its own: the processes that it starts end with it.
        start_new_session=True,
    )
    ended = threading.Event()
    said: list[str] = []

    def listen() -> None:
        assert server.stdout is not None
        said.extend(server.stdout)
        ended.set()

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        while not answers(port):
            # Asks again soon, and no more if the server has ended.
            assert not ended.wait(0.2), "".join(said)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(60)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            listener.join(10)


@pytest.fixture
def page() -> Iterator[Page]:
    if BROWSER is None and not os.environ.get("WEMART_TEST_BROWSER"):
        pytest.skip("neither Chromium nor Chrome is installed")
    assert BROWSER is not None, "neither Chromium nor Chrome is installed, and WEMART_TEST_BROWSER says it has to be"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        yield page
        browser.close()


def materialize(page: Page, url: str, day: str) -> None:
    """Clicks what a person clicks to materialize one day of the log."""
    page.goto(f"{url}/assets/{LOG}?view=overview")
    page.get_by_role("button", name="Materialize…").click()
    dialog = page.get_by_role("dialog")
    # Days of long ago, as those of the demo, are not offered at first.
    dialog.get_by_text("Show all partitions").click()
    days = dialog.get_by_placeholder("ex: 2024-01-01")
    days.fill(day)
    days.press("Enter")
    dialog.get_by_role("button", name="Launch 1 run").click()
    expect(dialog).not_to_be_visible()


def see_run(page: Page, url: str, day: str, status: str) -> None:
    """Waits until the page of runs shows a run of the day with this status."""
    page.goto(f"{url}/runs")
    # The innermost element with both is the run's row.
    run = page.locator("div").filter(has_text=f"partition: {day}").filter(has_text=status)
    expect(run.last).to_be_visible()


def see_check(page: Page, url: str, table: str, name: str, status: str) -> None:
    """Waits until the table's page of checks lists the check with this status."""
    page.goto(f"{url}/assets/{table}?view=checks&checkDetail={name}")
    expect(page.get_by_text("Evaluation result").locator("..")).to_contain_text(status)


def test_a_bad_file_changes_nothing_until_it_is_mended(folder: Path, page: Page, url: str) -> None:
    land(folder, "first.csv", DAY, 1, 2, 3)
    materialize(page, url, DAY)
    see_run(page, url, DAY, "Success")
    see_check(page, url, LOG, "quarantine_share", "Passed")
    assert lines_of(folder) == {DAY: 3}

    # The first tick of the sensor requests what is not published yet.
    land(folder, "next.csv", NEXT_DAY, 4, 5)
    page.goto(f"{url}/locations/wemart_assets.definitions/sensors/landing_sensor")
    page.locator("label", has=page.get_by_role("checkbox")).click()
    see_check(page, url, MART, "session_bounds", "Passed")
    assert lines_of(folder) == {DAY: 3, NEXT_DAY: 2}

    land(folder, "first.csv", DAY, 1, 2, "not a number")
    see_run(page, url, DAY, "Failure")
    see_check(page, url, LOG, "quarantine_share", "Failed")
    expect(page.get_by_text("1 row breaks it")).to_be_visible()
    see_check(page, url, LOG, "schema", "Passed")
    see_check(page, url, MART, "session_bounds", "Not evaluated")
    assert lines_of(folder) == {DAY: 3, NEXT_DAY: 2}

    land(folder, "first.csv", DAY, 1, 2, 3, 6)
    materialize(page, url, DAY)
    see_check(page, url, LOG, "quarantine_share", "Passed")
    assert lines_of(folder) == {DAY: 4, NEXT_DAY: 2}
