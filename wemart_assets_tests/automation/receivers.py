"""A webhook and a mail server on this machine, which keep what they receive and answer as a test tells them."""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import json
import socketserver
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    # A handler that is still waiting does not keep the test from ending.
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        # Clients that hang up are part of the tests.
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


@contextmanager
def _serving(handler: type[socketserver.BaseRequestHandler]) -> Iterator[int]:
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@dataclass
class Webhook:
    """A webhook, which takes everything unless told otherwise.

    Attributes:
        answers: (status, text) of the next answers.
        open_gate: an answer waits until it is set.
    """

    port: int = 0
    token: str = "T0KEN-0123456789"
    received: list[dict[str, Any]] = field(default_factory=list)
    answers: list[tuple[int, str]] = field(default_factory=list)
    open_gate: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/services/{self.token}"

    @property
    def texts(self) -> list[str]:
        return [str(payload["text"]) for payload in self.received]


@contextmanager
def webhook_server() -> Iterator[Webhook]:
    """A webhook on a free port."""
    webhook = Webhook()
    webhook.open_gate.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path == f"/services/{webhook.token}"
            webhook.received.append(json.loads(body))
            webhook.open_gate.wait()
            status, text = webhook.answers.pop(0) if webhook.answers else (200, "ok")
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", f"http://127.0.0.1:{webhook.port}/elsewhere")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: Any) -> None:
            pass

    with _serving(Handler) as port:
        webhook.port = port
        try:
            yield webhook
        finally:
            webhook.open_gate.set()


@dataclass
class MailServer:
    """A mail server, which takes everything unless told otherwise.

    Attributes:
        login: the user and password that it requires.
        refuses: recipients that it refuses.
        certificate: a file with a key and its certificate; without one, it offers no encryption.
        encrypted: whether each received mail came encrypted.
        heard: all commands that came unencrypted.
    """

    port: int = 0
    login: tuple[str, str] | None = None
    refuses: set[str] = field(default_factory=set)
    certificate: Path | None = None
    received: list[EmailMessage] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)


@contextmanager
def mail_server() -> Iterator[MailServer]:
    """A mail server on a free port."""
    mails = MailServer()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.stream, encrypted = self.request.makefile("rwb"), False
            self.say("220 ready")
            while line := self.stream.readline().decode().strip():
                command = line.upper()
                if not encrypted:
                    mails.heard.append(line)
                if command.startswith("EHLO"):
                    offers = ["AUTH PLAIN"] if mails.login else []
                    offers += ["STARTTLS"] if mails.certificate and not encrypted else []
                    for offer in ("hello", *offers):
                        self.say(f"250-{offer}")
                    self.say("250 8BITMIME")
                elif command == "STARTTLS":
                    self.say("220 go ahead")
                    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                    context.load_cert_chain(str(mails.certificate))
                    self.stream, encrypted = context.wrap_socket(self.request, server_side=True).makefile("rwb"), True
                elif command.startswith("AUTH PLAIN"):
                    _, user, password = base64.b64decode(line.split()[2]).decode().split("\0")
                    # A careless server repeats what it was sent.
                    self.say("235 ok" if (user, password) == mails.login else f"535 5.7.8 wrong: {user} {password}")
                elif command.startswith("RCPT TO:") and line[9:].strip("<> ") in mails.refuses:
                    self.say("550 5.1.1 no such user")
                elif command == "DATA":
                    self.say("354 go on")
                    content = b"".join(iter(self.stream.readline, b".\r\n"))
                    mails.received.append(message_from_bytes(content, policy=policy.default))  # type: ignore[arg-type]
                    mails.encrypted.append(encrypted)
                    self.say("250 taken")
                elif command == "QUIT":
                    self.say("221 bye")
                    return
                else:
                    self.say("250 ok")

        def say(self, line: str) -> None:
            self.stream.write(f"{line}\r\n".encode())
            self.stream.flush()

    with _serving(Handler) as port:
        mails.port = port
        yield mails


def certificate(folder: Path) -> Path:
    """A file with a new key and its certificate for 127.0.0.1, which is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + dt.timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path = folder / "certificate.pem"
    path.write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()) + signed.public_bytes(encoding))
    return path
