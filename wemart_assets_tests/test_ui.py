"""Dagster's UI loads the definitions: the server answers the queries of its pages."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from wemart_assets.catalog import tables

Ask = Callable[[str], dict[str, Any]]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Sends a GraphQL query to a server of the definitions."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = tmp_path_factory.mktemp("dagster")
    command = [sys.executable, "-m", "dagster_webserver", "-m", "wemart_assets.definitions"]
    server = subprocess.Popen(
        [*command, "-h", "127.0.0.1", "-p", str(port), "--uvicorn-log-level", "info"],
        cwd=home,
        env={**os.environ, "DAGSTER_HOME": str(home), "PYTHONPATH": str(Path(__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )

    def ask(query: str) -> dict[str, Any]:
        url, said = f"http://127.0.0.1:{port}/graphql", json.dumps({"query": query}).encode()
        request = urllib.request.Request(url, said, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as answer:
            found: dict[str, Any] = json.load(answer)["data"]
            return found

    try:
        assert server.stdout is not None
        said = []
        for line in server.stdout:
            said.append(line)
            if "Uvicorn running on" in line:
                break
        else:
            pytest.fail(f"the server did not start: {''.join(said)}")
        yield ask
    finally:
        server.terminate()
        server.wait(60)


def test_the_definitions_are_loaded(ask: Ask) -> None:
    answer = ask(
        "{workspaceOrError {... on Workspace {locationEntries {locationOrLoadError"
        " {__typename ... on PythonError {message}}}}}}"
    )
    [entry] = answer["workspaceOrError"]["locationEntries"]
    assert entry["locationOrLoadError"] == {"__typename": "RepositoryLocation"}


def test_every_table_is_listed_with_its_partitions(ask: Ask) -> None:
    nodes = ask("{assetNodes {assetKey {path} isPartitioned partitionKeys}}")["assetNodes"]
    by_name = {".".join(node["assetKey"]["path"]): node for node in nodes}
    assert set(tables()) <= set(by_name)
    dated = {name for name, table in tables().items() if not table.only_partition}
    assert {name for name in tables() if by_name[name]["isPartitioned"]} == dated
    assert {by_name[name]["partitionKeys"][0] for name in dated} == {"2024-01-01"}
