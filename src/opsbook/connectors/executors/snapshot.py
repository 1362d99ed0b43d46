"""Changes of the kind `snapshot`: what a workload is at this moment, kept before anything of it is mended or stopped.

effect: `component`, `workload`, `folder`, `since` (seconds of logs), `lines` (the most of them).
result: `path`, `sha256`, `files`, `missing` (what could not be had, a line each). The archive is like that of `opsbook
incident evidence`: `tar.zst`, with `manifest.json` that lists each file with its SHA-256. Of variables it
has the names alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.executors.profile import seen_here
from opsbook.connectors.inside.look import runtime_that_looks
from opsbook.connectors.postgres import PostgresConnector
from opsbook.connectors.preserved import as_json, packed, sum_of, write
from opsbook.connectors.registry import executor
from opsbook.connectors.runtimes.contract import LogQuery
from opsbook.errors import OpsbookError

SECONDS = 60.0
"""How long one thing may take: what goes on meanwhile goes on."""
EVENTS_SECONDS = 5.0
"""Runtimes whose events never end are heard for so long."""
MOST_EVENTS = 2000
SESSIONS = """
SELECT pid, usename::text, datname::text, client_addr::text, application_name, backend_start::text, state,
       left(query, 500) AS query
  FROM pg_stat_activity WHERE backend_type = 'client backend' ORDER BY backend_start
"""


@executor("snapshot")
class Snapshot:
    """Looks, and writes one file on this host."""

    def __init__(self, connections: Connections) -> None:
        self.connections, self.system = connections, connections.system

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises ChangeFailed where the archive cannot be written, or nothing at all could be had."""
        effect = change.effect
        workload, now = effect["workload"], datetime.now(UTC)
        things: dict[str, Callable[[], Awaitable[str]]] = {
            "processes.txt": lambda: self._processes(workload),
            "status.json": lambda: self._status(workload),
            "logs.txt": lambda: self._logs(workload, now - timedelta(seconds=effect["since"]), effect["lines"]),
            "events.txt": lambda: self._events(workload),
            "variables.json": lambda: self._variables(workload),
        }
        connector = self.connections.of(effect["component"])
        if isinstance(connector, PostgresConnector):
            things["sessions.json"] = lambda: _sessions(connector)
        had, missing = await self._all(things, out)
        if not had:
            raise ChangeFailed(f"nothing of {workload} could be preserved: {missing[0]}", "look at it by hand")
        name = f"{effect['component']}-{now:%Y%m%dT%H%M%S%fZ}"
        had["missing.json"] = _json(missing)
        parts = [(part, text.encode("utf-8", "replace")) for part, text in had.items()]
        data = packed(name, parts, now.timestamp(), {"subject": effect["component"]})
        path = f"{effect['folder']}/{name}.tar.zst"
        try:
            await asyncio.to_thread(_kept, self.system.path(path), data)
        except OSError as error:
            raise ChangeFailed(f"{path}: {error.strerror}", "make room, or name another folder") from error
        await out.write(f"{path}, {len(had)} files\n")
        return Done({"path": path, "sha256": sum_of(data), "files": len(had), "missing": missing})

    async def end(self, key: str, change: Change) -> bool:
        """It ends by itself: everything that it asks is bounded in time."""
        return True

    async def _all(
        self, things: dict[str, Callable[[], Awaitable[str]]], out: Sink
    ) -> tuple[dict[str, str], list[str]]:
        had: dict[str, str] = {}
        missing: list[str] = []
        for name, call in things.items():
            try:
                had[name] = await asyncio.wait_for(call(), SECONDS)
            except TimeoutError:
                missing.append(f"{name}: not within {SECONDS:g} s")
            except OpsbookError as error:
                missing.append(f"{name}: {error.message}")
        for line in missing:
            await out.write(f"not preserved: {line}\n")
        return had, missing

    async def _status(self, workload: str) -> str:
        found = await self.connections.runtime.status(workload)
        rows = [{"name": one.name, "state": one.state, "ready": one.ready, "pid": one.pid, "reason": one.reason,
                 "started": str(one.started or "")} for one in found.instances]  # fmt: skip
        return _json({"workload": workload, "version": found.version, "restarts": found.restarts, "instances": rows})

    async def _logs(self, workload: str, since: datetime, most: int) -> str:
        query = LogQuery(tail=most, since=since)
        lines = [one async for one in self.connections.runtime.logs(workload, query)]
        return "".join(f"{one.at or ''} {one.instance} {one.text}\n" for one in lines)

    async def _events(self, workload: str) -> str:
        found: list[str] = []

        async def hear() -> None:
            async for one in self.connections.runtime.events(workload):
                found.append(f"{one.at or ''} {one.instance} {one.kind} {one.message}\n")
                if len(found) == MOST_EVENTS:
                    return

        with suppress(TimeoutError):
            await asyncio.wait_for(hear(), EVENTS_SECONDS)
        return "".join(found)

    async def _variables(self, workload: str) -> str:
        """Their names alone."""
        found = await self.connections.runtime.environment(workload)
        return _json(sorted(found))

    async def _processes(self, workload: str) -> str:
        runtime = self.connections.runtime
        instances = (await runtime.status(workload)).instances
        here = {one.name: await seen_here(runtime, workload, one) for one in instances}
        if any(here.values()):
            told = [await asyncio.to_thread(_of_host, pids) for pids in here.values() if pids]
            return "\n".join(told)
        inside = runtime_that_looks(runtime)
        seen = await inside.look_inside(workload, ["sh", "-c", _script()], SECONDS - 5, instances=None, every=True)
        return "\n".join(f"{one.instance}\n{one.trouble or one.said}" for one in seen)


async def _sessions(connector: PostgresConnector) -> str:
    return _json([list(row) for row in await connector.primary.read(SESSIONS)])


def _of_host(pids: list[int]) -> str:
    """Processes, their connections and open files, as this host's kernel tells them."""
    import psutil

    lines = []
    for pid in pids:
        try:
            one = psutil.Process(pid)
            with one.oneshot():
                lines.append(f"process {pid}: parent {one.ppid()} user {one.username()} {one.cmdline()}")
            lines += [f"  connection {each.laddr} {each.raddr} {each.status}" for each in one.net_connections("inet")]
            lines += [f"  open {each.path}" for each in one.open_files()]
        except psutil.Error as error:
            lines.append(f"process {pid}: {type(error).__name__}")
    return "\n".join(lines)


@cache
def _script() -> str:
    return files("opsbook.connectors.audits").joinpath("inside.sh.txt").read_text(encoding="utf-8")


def _kept(path: Path, data: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write(path, data)


def _json(value: Any) -> str:
    return as_json(value).decode()
