"""Changes of the kind `load`: requests sent to a component at a bounded rate, while checks are held.

effect: `component`, `path`, `rate` (requests a second), `seconds`, `connections`, `checks` (ids), `every` (seconds
between two looks at them), `errors` (the largest share of failed requests; None: it is only counted).
result: `requests`, `errors` (their number), `statuses`, `p50`, `p99` in seconds, `rate` (as it was), `seconds`.

A check that turns critical ends it at once: what was sent until then stands in the error.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from opsbook.connectors.change import Change, ChangeFailed, Done, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.executors.checks_held import bad_among
from opsbook.connectors.http import HttpConnector, HttpSettings
from opsbook.connectors.http_client import what_is_wrong
from opsbook.connectors.load_tests import REQUEST_SECONDS, Report, argv, read
from opsbook.connectors.process_tree import KEY, end_tree
from opsbook.connectors.registry import executor
from opsbook.errors import Refused, UsageError

ENDING_SECONDS = 5.0


class Stopped(ChangeFailed):
    """A check that had to hold turned bad."""


@executor("load")
class Load:
    """Sends, and looks."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections

    async def apply(self, key: str, change: Change, cursor: Any, out: Sink) -> Done:
        """Raises Refused where a check is bad before it begins, Stopped where one turns bad."""
        effect = change.effect
        connector = self.connections.of(effect["component"])
        assert isinstance(connector, HttpConnector), "planned for what speaks HTTP"
        if bad := await self._bad(effect["checks"]):
            raise Refused(f"nothing was sent: {bad[0]}", "mend that first: load would hide or worsen it")
        url, address = address_of(connector, effect["path"])
        words = argv(url, address, effect["rate"], effect["seconds"], effect["connections"])
        child = await asyncio.create_subprocess_exec(
            *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, KEY: key},
        )  # fmt: skip
        said = asyncio.ensure_future(child.communicate())
        try:
            bad = list(await self._held(said, effect))
            if bad:
                child.send_signal(signal.SIGINT)
            report = await _report(said)
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
            said.cancel()
        await out.write(f"{report.requests} requests, {report.errors} errors, {dict(report.statuses)}\n")
        if bad:
            raise Stopped(f"stopped after {report.seconds:.0f} s and {report.requests} requests: {bad[0]}",
                          "see what could not bear it; `opsbook check` tells when it is well again")  # fmt: skip
        if effect["errors"] is not None and report.share > effect["errors"]:
            first = f": {report.words}" if report.words else ""
            raise ChangeFailed(f"{report.errors} of {report.requests} requests failed, allowed are"
                               f" {effect['errors']:.1%}{first}", "see its logs")  # fmt: skip
        return Done(told(report))

    async def end(self, key: str, change: Change) -> bool:
        """End what a dead process left: nobody holds the checks while it sends."""
        return await end_tree(key)

    async def _held(self, said: asyncio.Future[Any], effect: dict[str, Any]) -> Sequence[str]:
        """Looks at the checks until it is over; the sentences of those that turned bad."""
        ends = asyncio.get_running_loop().time() + effect["seconds"] + REQUEST_SECONDS + ENDING_SECONDS
        while asyncio.get_running_loop().time() < ends:
            done, _ = await asyncio.wait([said], timeout=effect["every"])
            if done:
                return []
            if bad := await self._bad(effect["checks"]):
                return bad
        return ["it did not end in its time"]

    async def _bad(self, checks: Sequence[str]) -> list[str]:
        return list((await bad_among(self.connections, checks)).values())


async def _report(said: asyncio.Future[tuple[bytes, bytes]]) -> Report:
    try:
        async with asyncio.timeout(REQUEST_SECONDS + ENDING_SECONDS):
            printed, _ = await asyncio.shield(said)
        return read(printed.decode("utf-8", errors="replace"))
    except TimeoutError as error:
        raise ChangeFailed("hey did not end when it was told to, and was ended") from error
    except ValueError as error:
        first = printed.decode("utf-8", errors="replace").strip()[:200]
        raise ChangeFailed(f"hey could not send: {first or error}") from error


def told(report: Report) -> dict[str, Any]:
    """The result."""
    rate = round(report.requests / report.seconds, 1) if report.seconds else 0.0
    return {"requests": report.requests, "errors": report.errors, "statuses": report.statuses,
            "p50": report.percentiles.get(50), "p99": report.percentiles.get(99), "rate": rate,
            "seconds": round(report.seconds, 1)}  # fmt: skip


def address_of(connector: HttpConnector, path: str) -> tuple[str, str]:
    """The page, without user and password, and where to connect in place of its host; empty for the host itself."""
    settings = connector.component
    assert isinstance(settings, HttpSettings)
    url = connector.system.resolve(settings.url)
    if wrong := what_is_wrong(url):
        raise UsageError(f"its `url` is not an address: {wrong}", "write http://host:port or https://host")
    parts = urlsplit(url)
    whole = parts._replace(netloc=parts.netloc.rpartition("@")[2], path=parts.path.rstrip("/") + path, query="")
    return urlunsplit(whole), settings.address
