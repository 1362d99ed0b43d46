"""A whole Redis server as an RDB file, fetched as a replica fetches it (SYNC).

Not BGSAVE: that writes into the server's own folder, which is on another host as a rule, and over the file that it
starts from. SYNC makes the server fork and send one consistent snapshot; nothing is written there. The user needs the
rights +sync and +replconf; services that forbid them keep snapshots of their own.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from opsbook.connectors.backups.pipeline import PIECE, Written
from opsbook.connectors.backups.sources import Pieces, SourceFailed
from opsbook.connectors.executors.secrets import masked

CONNECT_SECONDS = 10.0
SILENT_SECONDS = 120.0
"""The server forks and may save to its disk before it sends a byte; it sends line feeds meanwhile."""
MARK = 40
"""Bytes of the mark that ends a snapshot whose length was not known at its start."""
TRAILER = 9
"""The end of an RDB file: the opcode 0xFF, and a CRC-64."""


@dataclass(frozen=True)
class Snapshot:
    """The stream of a server's snapshot."""

    name: str = "rdb"
    role: Literal["rdb"] = "rdb"
    table_name: str = ""
    order: int = 0


@dataclass
class RedisSubject:
    """A server whose snapshot is fetched."""

    url: str
    label: str
    tool: str = "SYNC"
    data_time: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def streams(self) -> Sequence[Snapshot]:
        return [Snapshot()]

    @contextmanager
    def source(self, _stream: Snapshot) -> Iterator[Pieces]:
        """The RDB file. Raises SourceFailed."""
        with _connected(self.url, self.label) as line:
            # What was written before this moment is in the snapshot.
            self.data_time = datetime.now(UTC)
            yield Pieces(_checked(_snapshot(line), self.label))

    def wrote(self, _stream: Snapshot, _written: Written) -> None:
        """Nothing more is known of it."""

    def facts(self) -> Mapping[str, Any]:
        return {}


@dataclass
class _Line:
    """A connection, read with care for what belongs to the next answer."""

    socket: socket.socket
    label: str
    rest: bytes = b""

    def ask(self, *words: str) -> bytes:
        """One command and its first line."""
        encoded = [word.encode() for word in words]
        parts = [b"*%d\r\n" % len(words), *(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)]
        self.socket.sendall(b"".join(parts))
        return self.line()

    def line(self) -> bytes:
        while b"\n" not in self.rest:
            self.rest += self._more(4096)
        found, _, self.rest = self.rest.partition(b"\n")
        return found.rstrip(b"\r")

    def read(self, size: int) -> bytes:
        if self.rest:
            found, self.rest = self.rest[:size], self.rest[size:]
            return found
        return self._more(size)

    def _more(self, size: int) -> bytes:
        try:
            data = self.socket.recv(size)
        except OSError as error:
            raise SourceFailed(f"{self.label}: {error}", "is the server busy, or the network cut? try again") from error
        if not data:
            raise SourceFailed(f"{self.label}: the server closed the connection", "look at its log; try again")
        return data


@contextmanager
def _connected(url: str, label: str) -> Iterator[_Line]:
    from redis.connection import parse_url

    try:
        where: dict[str, Any] = dict(parse_url(url))  # type: ignore[no-untyped-call]
    except ValueError:
        raise SourceFailed(f"{label}: its URL is none of a Redis server", "write redis://:password@host:port") from None
    password, user = str(where.get("password") or ""), str(where.get("username") or "")
    try:
        if "path" in where:
            plain = socket.socket(socket.AF_UNIX)
            plain.settimeout(CONNECT_SECONDS)
            plain.connect(where["path"])
        else:
            address = (where.get("host", "localhost"), where.get("port", 6379))
            plain = socket.create_connection(address, CONNECT_SECONDS)
    except OSError as error:
        raise SourceFailed(f"{label}: {error}", "is the server running?") from error
    with plain:
        line = _Line(_secured(plain, url, where), label)
        line.socket.settimeout(SILENT_SECONDS)
        if password:
            answer = line.ask("AUTH", *([user] if user else []), password)
            if not answer.startswith(b"+"):
                raise SourceFailed(f"{label}: {_words(answer, password)}", "check the password in its URL")
        yield line
        with suppress(OSError):
            line.socket.shutdown(socket.SHUT_RDWR)


def _secured(plain: socket.socket, url: str, where: Mapping[str, Any]) -> socket.socket:
    if not url.startswith("rediss:"):
        return plain
    context = ssl.create_default_context(cafile=where.get("ssl_ca_certs"))
    return context.wrap_socket(plain, server_hostname=str(where.get("host", "localhost")))


def _snapshot(line: _Line) -> Iterator[bytes]:
    """The bytes of the file that the server sends after SYNC."""
    head = line.ask("SYNC")
    while not head:
        head = line.line()  # it is still saving
    if not head.startswith(b"$"):
        words = _words(head, "")
        raise SourceFailed(f"{line.label}: {words}", "let this user SYNC (+sync +replconf), or use another method")
    if head.startswith(b"$EOF:"):
        yield from _until(line, head[5 : 5 + MARK])
        return
    left = int(head[1:])
    while left:
        data = line.read(min(left, PIECE))
        left -= len(data)
        yield data


def _until(line: _Line, mark: bytes) -> Iterator[bytes]:
    """What comes before the mark, which may come in pieces."""
    held = b""
    while True:
        held += line.read(PIECE)
        if (at := held.find(mark)) >= 0:
            yield held[:at]
            return
        if len(held) > MARK:
            yield held[:-MARK]
            held = held[-MARK:]


def _checked(pieces: Iterator[bytes], label: str) -> Iterator[bytes]:
    """The same bytes, which must be an RDB file from its magic to its trailer."""
    first, last = b"", b""
    for data in pieces:
        if len(first) < len(b"REDIS"):
            first += data[:8]
        last = (last + data)[-TRAILER:]
        yield data
    if not first.startswith((b"REDIS", b"VALKEY")) or len(last) < TRAILER or last[0] != 0xFF:
        raise SourceFailed(f"{label}: what the server sent is no RDB file", "look at its log; try again")


def _words(answer: bytes, secret: str) -> str:
    return masked(answer.decode(errors="replace").lstrip("-"), [secret])


@contextmanager
def redis_subject(url: str, label: str) -> Iterator[RedisSubject]:
    """A Redis server as the subject of a backup."""
    yield RedisSubject(url, label)
