"""A network between a client and a server that can be cut at a chosen request.

It is a process of its own: delta-rs may hold Python's lock while it waits for an answer.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

CHUNK = 1 << 16


class Network:
    """Passes connections on to a server, until it is cut; clients use `address`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.address = str(self._order("address"))

    def cut_at(self, request: str, only_its_answer: bool = False, for_good: bool = False) -> None:
        """Cuts the connection of the next request that begins so, such as `PUT /bucket/lake/`.

        The request is not passed on, or, with `only_its_answer`, carried out without the client learning of it. With
        `for_good` there are no connections from then on.
        """
        self._order("cut_at", request, only_its_answer, for_good)

    def cut(self) -> int:
        """Restores the network, and returns how many requests have been cut since the last time."""
        return int(self._order("restore"))

    def _order(self, *order: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@contextmanager
def network(server: str) -> Iterator[Network]:
    """A network to the server at this address."""
    command = [sys.executable, __file__, server]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Network(process)
        finally:
            process.kill()


class _Wire:
    """The network's side of it, in its process."""

    def __init__(self, server: str) -> None:
        target = urlsplit(server)
        self._target = (str(target.hostname), int(target.port or 80))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._request: bytes | None = None
        self._only_its_answer = self._for_good = self._is_down = False
        self._cut = 0
        self._lock = threading.Lock()

    def obey(self, order: str, *arguments: Any) -> object:
        with self._lock:
            if order == "address":
                return f"http://127.0.0.1:{self._listener.getsockname()[1]}"
            if order == "cut_at":
                request, self._only_its_answer, self._for_good = arguments
                self._request = request.encode()
                return None
            assert order == "restore"
            cut, self._cut, self._request, self._is_down = self._cut, 0, None, False
            return cut

    def serve(self) -> None:
        while True:
            client, _ = self._listener.accept()
            if self._is_down:
                client.close()
            else:
                threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._target) as server, suppress(OSError):
            lost = threading.Event()
            answers = threading.Thread(target=_answer, args=(client, server, lost), daemon=True)
            answers.start()
            while sent := client.recv(CHUNK):
                if self._is_cut(sent):
                    if not self._only_its_answer:
                        break
                    lost.set()
                server.sendall(sent)
            _hang_up(client, server)
            answers.join()

    def _is_cut(self, sent: bytes) -> bool:
        # A client sends the first line of a request in one piece.
        with self._lock:
            if self._request is None or not sent.startswith(self._request):
                return False
            self._request = None
            self._is_down = self._for_good
            self._cut += 1
            return True


def _answer(client: socket.socket, server: socket.socket, lost: threading.Event) -> None:
    with suppress(OSError):
        while answer := server.recv(CHUNK):
            if lost.is_set():
                break
            client.sendall(answer)
    _hang_up(client, server)


def _hang_up(*connections: socket.socket) -> None:
    for connection in connections:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    wire = _Wire(sys.argv[1])
    threading.Thread(target=wire.serve, daemon=True).start()
    for line in sys.stdin:
        print(json.dumps(wire.obey(*json.loads(line))), flush=True)
