"""The HTTP server of the register: validators and 304, a rate limit with 429, and switches that spoil it."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import threading
import time
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from src.registry_site import pages
from src.registry_site.content import register
from src.switches import switch

PUBLISHED = datetime(2025, 8, 1, 12, 0, tzinfo=UTC)
REDESIGNED = datetime(2025, 9, 1, 12, 0, tzinfo=UTC)
RATE, BURST = 60.0, 60.0
STRICT_RATE, STRICT_BURST = 6.0, 6.0
RETRY_AFTER_SECONDS = 2
HANG_POLL_SECONDS = 0.25


class TokenBucket:
    """Allows `rate` requests a second, and `burst` at once. Holds 0 ≤ tokens ≤ burst."""

    def __init__(self) -> None:
        self.tokens, self.at, self.lock = BURST, time.monotonic(), threading.Lock()

    def take(self, rate: float, burst: float) -> bool:
        with self.lock:
            now = time.monotonic()
            self.tokens = min(burst, self.tokens + (now - self.at) * rate)
            self.at = now
            if self.tokens < 1:
                return False
            self.tokens -= 1
            return True


class Site(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], switches: Path) -> None:
        super().__init__(address, Answer)
        self.switches = switches
        self.bucket = TokenBucket()

    def switched(self, name: str) -> bool:
        return switch(self.switches, name) is not None


def page_at(path: str, query: dict[str, list[str]], broken: bool) -> str | None:
    """The page at a path, or None."""
    parts = path.strip("/").split("/")
    if parts[0] != "RENEC":
        return None
    match parts[1:]:
        case []:
            return pages.home(register())
        case ["sectores"]:
            return pages.sectors(register())
        case [kind] if kind in pages.KINDS:
            number = query.get("page", ["1"])[0]
            return pages.listing(register(), kind, int(number), broken) if number.isdigit() else None
        case [kind, code] if kind in pages.KINDS:
            return pages.detail(register(), kind, code, broken)
    return None


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Site

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/health":
            return self.send(200, "ok\n", "text/plain")
        if url.path == "/robots.txt":
            return self.send(200, pages.ROBOTS, "text/plain")
        while self.server.switched("stalled-spider"):  # a site that accepts and never answers
            time.sleep(HANG_POLL_SECONDS)
        strict = self.server.switched("registry-throttles")
        if not self.server.bucket.take(*((STRICT_RATE, STRICT_BURST) if strict else (RATE, BURST))):
            return self.send(429, "too many requests\n", "text/plain", {"Retry-After": str(RETRY_AFTER_SECONDS)})
        broken = self.server.switched("registry-markup")
        page = page_at(url.path, parse_qs(url.query), broken)
        if page is None:
            return self.send(404, "not found\n", "text/plain")
        return self.send_page(page, REDESIGNED if broken else PUBLISHED)

    do_HEAD = do_GET  # noqa: N815

    def send_page(self, page: str, changed: datetime) -> None:
        """The page, or 304 where the client's validators still hold (RFC 9110, 13.1)."""
        etag = f'"{hashlib.sha256(page.encode()).hexdigest()[:20]}"'
        validators = {
            "ETag": etag,
            "Last-Modified": format_datetime(changed, usegmt=True),
            "Cache-Control": "max-age=0, must-revalidate",
        }
        known = self.headers.get("If-None-Match")
        since = self.headers.get("If-Modified-Since")
        if known is not None:
            unchanged = etag in [part.strip() for part in known.split(",")]
        else:
            unchanged = since is not None and parsedate_to_datetime(since) >= changed
        if unchanged:
            self.send(304, "", "text/html", validators)
        else:
            self.send(200, page, "text/html; charset=utf-8", validators)

    def send(self, status: int, text: str, kind: str, headers: dict[str, str] | None = None) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD" and status != 304:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Every request would be a line a page: the harvester's own log tells enough."""


def main() -> None:
    """`python -m src.registry_site.server PORT SWITCHES_DIR [ADDRESS]`, until SIGTERM."""
    address = sys.argv[3] if len(sys.argv) > 3 else "127.0.0.1"
    site = Site((address, int(sys.argv[1])), Path(sys.argv[2]))
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    site.serve_forever(poll_interval=1.0)


if __name__ == "__main__":
    main()
