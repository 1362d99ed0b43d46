"""What people who use the system saw of a verb: its services are asked all the time while it works, errors counted."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from opsbook.errors import OpsbookError

if TYPE_CHECKING:
    from opsbook.book.system import System

EVERY_SECONDS = 0.1
ANSWER_SECONDS = 5.0
STATUS = "http.status"


@dataclass
class Seen:
    """Requests to one service."""

    service: str
    path: str
    requests: int = 0
    errors: int = 0
    longest: float = 0.0
    """Seconds for which no request was answered well."""
    last: str = ""
    """What the last error was."""
    _failing_since: float | None = field(default=None, repr=False)

    def note(self, problem: str, now: float) -> None:
        """One exchange has ended; a problem is empty where it was answered well."""
        self.requests += 1
        if problem:
            self.errors, self.last = self.errors + 1, problem
            self._failing_since = now if self._failing_since is None else self._failing_since
        if self._failing_since is not None:
            self.longest = max(self.longest, round(now - self._failing_since, 2))
        if not problem:
            self._failing_since = None

    @property
    def sentence(self) -> str:
        """For people."""
        if not self.errors:
            return f"{self.service}: all of {self.requests:,} requests for {self.path} were answered meanwhile"
        return (
            f"{self.service}: {self.errors:,} of {self.requests:,} requests for {self.path} failed, within"
            f" {self.longest:.1f} s ({self.last})"
        )

    def told(self) -> dict[str, Any]:
        return {
            "service": self.service, "path": self.path, "requests": self.requests, "errors": self.errors,
            "longest_seconds": self.longest, "last": self.last,
        }  # fmt: skip


def services(system: System, component: str) -> Iterator[tuple[str, str]]:
    """The HTTP services that need a component, each with the path that tells most: one that the book's checks hold
    against a status, else its health."""
    from opsbook.connectors.http import HttpComponent
    from opsbook.recovery.restores import writers

    for name in writers(system, component):
        settings = system.components[name]
        if isinstance(settings, HttpComponent):
            asked = [check.with_ for check in system.checks if check.of == name and check.observe == STATUS]
            paths = [str(given["path"]) for given in asked if given.get("path")]
            yield name, next(iter(paths), settings.health)


@contextmanager
def watched(system: System, component: str, wanted: bool = True) -> Iterator[list[Seen]]:
    """Ask the services that need the component while the block lasts; what was seen is whole when it is left."""
    seen = [Seen(name, path) for name, path in services(system, component)] if wanted else []
    stop = threading.Event()
    asking = threading.Thread(target=lambda: asyncio.run(_ask(system, seen, stop)), daemon=True)
    if seen:
        asking.start()
    try:
        yield seen
    finally:
        stop.set()
        if seen:
            asking.join(ANSWER_SECONDS + 1)


async def _ask(system: System, seen: Iterable[Seen], stop: threading.Event) -> None:
    await asyncio.gather(*(_ask_one(system, one, stop) for one in seen))


async def _ask_one(system: System, one: Seen, stop: threading.Event) -> None:
    from opsbook.connectors.http import HttpConnector
    from opsbook.connectors.registry import open_connections

    async with open_connections(system) as connections:
        connector = connections.of(one.service)
        assert isinstance(connector, HttpConnector)
        while not stop.is_set():
            problem = ""
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    answer = await connector.client.get(one.path)
                if answer.status >= 500:
                    problem = f"it answers {answer.status}"
            except TimeoutError:
                problem = f"no answer within {ANSWER_SECONDS:g} s"
            except OpsbookError as error:
                problem = error.message
            one.note(problem, time.monotonic())
            await asyncio.sleep(EVERY_SECONDS)
