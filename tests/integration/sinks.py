"""Where messages arrive in tests: a webhook that gives receipts, and a mailbox. Both count, and can misbehave."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller


@dataclass
class Hook:
    """A webhook. `how` it answers: ok, down (500), refuse (400), lie (200 and an error), slow, drop (no answer)."""

    port: int = 0
    how: dict[str, str] = field(default_factory=dict)
    got: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Path and body of what it took, in order: only what it gave a receipt for."""
    asked: int = 0
    slow: float = 30.0
    released: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    def keys(self, path: str = "") -> list[str]:
        """The keys of what arrived."""
        return [body["key"] for at, body in list(self.got) if not path or at == f"/{path}"]

    def subjects(self, path: str = "") -> list[str]:
        return [body["subject"] for at, body in list(self.got) if not path or at == f"/{path}"]


ANSWERS: dict[str, tuple[int, dict[str, Any]]] = {
    "down": (500, {}),
    "refuse": (400, {}),
    "lie": (200, {"ok": False, "error": "no room"}),
}


@contextmanager
def webhook() -> Iterator[Hook]:
    """A webhook on a loopback port."""
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            hook.asked += 1
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            how = hook.how.get(self.path.strip("/"), "ok")
            if how == "drop":
                self.close_connection = True
                return
            if how == "slow":
                hook.released.wait(hook.slow)
            good = (200, {"receipt": f"r{len(hook.got) + 1}"})
            status, said = ANSWERS.get(how, good)
            if status == 200 and "error" not in said:
                hook.got.append((self.path, body))
            data = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None: ...

    class Server(ThreadingHTTPServer):
        request_queue_size = 256

        def handle_error(self, *_: object) -> None: ...

    server = Server(("127.0.0.1", 0), Handler)
    hook.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hook
    finally:
        hook.released.set()
        server.shutdown()
        server.server_close()


@dataclass
class Mailbox:
    """A mail server that takes everything, but for recipients that it refuses."""

    port: int
    refused: dict[str, str] = field(default_factory=dict)
    """Recipient → the answer that it gets."""
    mails: list[tuple[tuple[str, ...], EmailMessage]] = field(default_factory=list)

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append((tuple(envelope.rcpt_tos), mail))
        return f"250 OK queued as {len(self.mails)}"


@contextmanager
def mailbox() -> Iterator[Mailbox]:
    """An SMTP server on a loopback port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    box = Mailbox(port)
    controller = Controller(box, hostname="127.0.0.1", port=port, ready_timeout=30)
    controller.start()
    try:
        yield box
    finally:
        controller.stop()


def within(seconds: float, condition: Any) -> None:
    """Wait until a condition holds; fails after the deadline."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds:g} s"
        time.sleep(0.05)
