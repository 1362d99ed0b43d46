"""Workloads held by supervisord. A workload is a group of processes; an instance is a process; its slots are fixed.

What supervisor cannot do is not among `capabilities`: versions need `releases` and `current` of the runtime; whatever
looks into processes needs a supervisord on this host.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from opsbook.book.environments import SupervisorRuntime
from opsbook.book.load import nearest
from opsbook.book.system import System
from opsbook.connectors.blocking import on_thread
from opsbook.connectors.change import Change, Json
from opsbook.connectors.contract import ReadFailed
from opsbook.connectors.registry import runtime
from opsbook.connectors.runtimes import supervisor_process as process_facts
from opsbook.connectors.runtimes.contract import (
    CRASHED,
    Event,
    Instance,
    LogLine,
    LogQuery,
    Revision,
    Seen,
    Status,
    Take,
    Unsupported,
    Usage,
    Verb,
    Workload,
)
from opsbook.connectors.runtimes.supervisor_config import Program, Settings, read_config
from opsbook.connectors.runtimes.supervisor_events import read_events
from opsbook.connectors.runtimes.supervisor_logs import LogFile, follow_logs, lines_of_text, read_logs
from opsbook.connectors.runtimes.supervisor_releases import Releases
from opsbook.connectors.runtimes.supervisor_rpc import SupervisorRpc, settings_of_url
from opsbook.connectors.tails import tail
from opsbook.errors import Absent, UsageError

if TYPE_CHECKING:
    from opsbook.connectors.runtimes.supervisor_exec import Place

FRESH_SECONDS = 0.2
"""Ten workloads that are observed at once need one look, not ten."""
TAIL_BYTES = 512 * 1024
READS = frozenset({"list", "status", "logs", "events", "start", "stop", "restart", "scale"})
LOCAL = frozenset({"environment", "resources", "exec", "copy"})
VERSIONS = frozenset({"revisions", "deploy", "rollback"})
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Process:
    """A slot of a group, as supervisord tells it."""

    group: str
    name: str
    state: str
    pid: int
    started: datetime | None
    spawn_error: str
    exit_status: int
    logs: tuple[str, ...]

    @property
    def full_name(self) -> str:
        """How supervisord is told which one is meant."""
        return f"{self.group}:{self.name}"

    @property
    def running(self) -> bool:
        return self.state == "RUNNING"

    @property
    def active(self) -> bool:
        """Whether it runs or is about to."""
        return self.state in ("RUNNING", "STARTING", "BACKOFF")


@runtime("supervisor")
def supervisor(system: System) -> Supervisor:
    """The runtime of an environment whose `runtime.kind` is supervisor."""
    settings = system.environment.runtime
    assert isinstance(settings, SupervisorRuntime)
    return Supervisor(system, settings)


class Supervisor:
    """The programs of one supervisord."""

    def __init__(self, system: System, runtime: SupervisorRuntime) -> None:
        self._system, self._runtime = system, runtime
        self._look: tuple[float, asyncio.Future[list[Process]]] | None = None
        self._rpc: SupervisorRpc | None = None

    @cached_property
    def settings(self) -> Settings:
        """Where supervisord is, and its programs where a configuration is named. Raises Unreachable, UsageError."""
        if self._runtime.config:
            found = read_config(self._system.path(self._runtime.config))
            if found.unix or found.url:
                return found
            raise UsageError(
                f"{self._runtime.config} has neither [unix_http_server] nor [inet_http_server]",
                "add [unix_http_server] to it; supervisorctl needs it too",
            )
        if self._runtime.url:
            return settings_of_url(self._system.resolve(self._runtime.url))
        raise UsageError("the supervisor runtime has no address", "set `runtime.config` or `runtime.url` in book.yaml")

    @cached_property
    def releases(self) -> Releases | None:
        """Where the versions lie, if the book says so."""
        if not (self._runtime.releases and self._runtime.current):
            return None
        folder, current = (self._system.path(path) for path in (self._runtime.releases, self._runtime.current))
        # As supervisor's configuration has them: the book may name them through links, but `current` is one itself.
        return Releases(folder.resolve(), current.parent.resolve() / current.name)

    @property
    def local(self) -> bool:
        """Whether supervisord and its processes are on this host."""
        return bool(self.settings.unix) or urlsplit(self.settings.url).hostname in LOOPBACK

    @property
    def capabilities(self) -> frozenset[str]:
        """What it can be asked, in the words of the runtime contract."""
        return READS | (LOCAL if self.local else frozenset()) | (VERSIONS if self.releases else frozenset())

    def require(self, capability: str) -> None:
        """Raises Unsupported with what would make it possible."""
        if capability in self.capabilities:
            return
        if capability in VERSIONS:
            raise Unsupported(
                f"this supervisor runtime knows no versions, so that it has no {capability!r}",
                "set `releases` (a folder of release directories) and `current` (a symlink) of the runtime",
            )
        raise Unsupported(f"{capability!r} needs a supervisord on this host", "run opsbook where supervisord runs")

    @property
    def rpc(self) -> SupervisorRpc:
        """The connection to supervisord."""
        if self._rpc is None:
            named = "`runtime.config`" if self._runtime.config else "`runtime.url`"
            self._rpc = SupervisorRpc(self.settings, named)
        return self._rpc

    async def processes(self, workload: str | None = None) -> list[Process]:
        """All slots, or those of one workload, as they are now. Raises UsageError for an unknown workload."""
        loop = asyncio.get_running_loop()
        if self._look is None or loop.time() - self._look[0] > FRESH_SECONDS or self._look[1].cancelled():
            self._look = (loop.time(), asyncio.ensure_future(self.look()))
            self._look[1].add_done_callback(lambda done: None if done.cancelled() else done.exception())
        found = await asyncio.shield(self._look[1])
        return found if workload is None else self.chosen(found, workload)

    async def look(self) -> list[Process]:
        """What supervisord says of every process, asked anew."""
        return [_process(info) for info in await self.rpc.call("getAllProcessInfo")]

    async def tell(self, method: str, *arguments: Any) -> Any:
        """A call that changes something, so that what was seen before is old."""
        self._look = None
        return await self.rpc.call(method, *arguments)

    def chosen(self, found: Sequence[Process], workload: str) -> list[Process]:
        """The processes of a workload. Raises UsageError."""
        mine = [process for process in found if process.group == workload]
        if not mine:
            raise Absent(
                f"supervisor holds no workload named {workload!r}", nearest(workload, {p.group for p in found})
            )
        return mine

    def programs(self, workload: str) -> list[Program]:
        """The program sections of a workload; none where the configuration is not known."""
        return [program for program in self.settings.programs if program.group == workload]

    async def list(self) -> Sequence[Workload]:
        """Every group."""
        groups: dict[str, list[Process]] = {}
        for process in await self.processes():
            groups.setdefault(process.group, []).append(process)
        return [self._workload(name, found) for name, found in groups.items()]

    def _workload(self, name: str, found: Sequence[Process]) -> Workload:
        programs = self.programs(name)
        kind = programs[0].kind if len(programs) == 1 else "group"
        # Programs that supervisord starts by itself are all wanted; how many of the others, only the book can say.
        wanted = len(found) if programs and all(program.autostart for program in programs) else None
        return Workload(name, kind, wanted, sum(process.running for process in found))

    async def status(self, workload: str) -> Status:
        """Its slots now, used or not."""
        found = await self.processes(workload)
        instances = tuple(Instance(p.name, p.running, p.state, p.started, p.pid or None, reason(p)) for p in found)
        crashed = [event for event in await self._events(found) if event.kind == CRASHED] if self.local else None
        restarts = None if crashed is None else len(crashed)
        return Status(self._workload(workload, found), instances, ", ".join(self.versions(found)), restarts)

    def versions(self, found: Sequence[Process]) -> tuple[str, ...]:
        """The versions that these processes really run; the symlink may have moved since they were started."""
        if self.releases is None or not self.local:
            return ()
        folders = {process_facts.directory(process.pid) for process in found if process.pid}
        return tuple(sorted({self.releases.version_of(folder) for folder in folders if folder} - {""}))

    async def revisions(self, workload: str) -> Sequence[Revision]:
        """The releases, in the order in which they were deployed. They are the same for every workload of the host."""
        self.require("revisions")
        await self.processes(workload)
        assert self.releases is not None
        return await on_thread(("revisions", self.releases), self.releases.revisions)

    async def logs(self, workload: str, query: LogQuery) -> AsyncIterator[LogLine]:
        """Lines of standard output and error of all its processes, by time."""
        if query.previous:
            raise Unsupported("supervisor keeps no log of its own for the run before", "look above in the log")
        found = await self.processes(workload)
        now = datetime.now(UTC)
        if not self.local:
            for line in await self._remote_logs(found, query, now):
                yield line
            return
        files = [LogFile(p.name, Path(path)) for p in found for path in p.logs]
        if not files:
            raise ReadFailed(f"supervisor writes no log files of {workload!r}; its output goes elsewhere")
        if query.follow:
            async for line in follow_logs(files, query, now):
                yield line
        else:
            for line in await read_logs(files, query, now):
                yield line

    async def _remote_logs(self, found: Sequence[Process], query: LogQuery, now: datetime) -> Sequence[LogLine]:
        if query.follow:
            raise Unsupported("logs of another host cannot be followed", "run opsbook where supervisord runs")
        lines: list[LogLine] = []
        for process in found:
            text, _, _ = await self.rpc.call("tailProcessStdoutLog", process.full_name, 0, TAIL_BYTES)
            lines += lines_of_text(process.name, text, query, now)
        return lines[-query.tail :] if query.tail is not None else lines

    async def events(self, workload: str) -> AsyncIterator[Event]:
        """What happened to its processes, oldest first, as far as supervisord's log reaches."""
        for event in await self._events(await self.processes(workload)):
            yield event

    async def _events(self, found: Sequence[Process]) -> Sequence[Event]:
        now = datetime.now(UTC)
        names = {process.name for process in found}
        if self.local and self.settings.log:
            path = Path(self.settings.log)
            lines = await on_thread(("events", path), lambda: list(tail(path, None)))
        else:
            lines = (await self.rpc.call("readLog", -TAIL_BYTES, 0)).splitlines()
        return list(read_events(lines, names, now))

    async def environment(self, workload: str) -> dict[str, str]:
        """The variables of a process that runs; of the configuration where none does."""
        self.require("environment")
        found = await self.processes(workload)
        for process in found:
            if process.pid and (seen := process_facts.environment(process.pid)):
                return seen
        programs = self.programs(workload)
        if not programs:
            raise ReadFailed(f"no process of {workload!r} runs, so that nobody knows its environment")
        inherited = process_facts.environment(await self.rpc.call("getPID"))
        return {**inherited, **{name: value for program in programs for name, value in program.environment.items()}}

    async def resources(self, workload: str) -> Usage:
        """What its processes and their children use, measured over half a second."""
        self.require("resources")
        pids = [process.pid for process in await self.processes(workload) if process.pid]
        return await process_facts.usage(pids)

    async def look_inside(
        self, workload: str, argv: Sequence[str], seconds: float, *, instances: Sequence[str] | None, every: bool
    ) -> Sequence[Seen]:
        """A program that only looks, as the user and with the variables of its processes, which share this host.

        Where none of them runs, it is run as the configuration would start one.
        """
        from opsbook.connectors.runtimes.supervisor_exec import look

        self.require("exec")
        place = await self._place(workload)
        running = [process.name for process in await self.processes(workload) if process.pid]
        chosen = [name for name in running or [workload] if instances is None or name in instances]
        return [await look(name, argv, place, seconds) for name in (chosen if every else chosen[:1])]

    async def put_inside(
        self,
        workload: str,
        instance: str,  # noqa: ARG002  its processes share this host
        path: str,
        data: bytes,
        owner: tuple[int, int] | None = None,  # noqa: ARG002
    ) -> None:
        """A file of this host, written as the user of the program."""
        from opsbook.connectors.runtimes.supervisor_files import put

        self.require("copy")
        await put(await self._place(workload), path, data)

    async def take_inside(
        self,
        workload: str,
        instance: str,  # noqa: ARG002  its processes share this host
        path: str,
        take: Take,
        *,
        plain: bool = False,
    ) -> None:
        """What stands at a path of this host, read as the user of the program."""
        from opsbook.connectors.runtimes.supervisor_files import take_out

        self.require("copy")
        await take_out(await self._place(workload), path, take, plain=plain)

    async def _place(self, workload: str) -> Place:
        from opsbook.connectors.runtimes.supervisor_exec import Place

        programs = self.programs(workload)
        directory, user = (programs[0].directory, programs[0].user) if programs else ("", "")
        return Place(directory or "/", user, await self.environment(workload))

    async def change(self, workload: str, verb: Verb, arguments: Json) -> Change:
        """See `supervisor_changes` for the arguments of each verb."""
        from opsbook.connectors.runtimes.supervisor_changes import planned

        self.require(verb.value)
        return await planned(self, workload, verb, arguments or {})

    async def close(self) -> None:
        if self._look is not None:
            self._look[1].cancel()
        if self._rpc is not None:
            await self._rpc.close()


REASONS = {
    "STOPPED": "it is stopped",
    "STARTING": "it is starting",
    "STOPPING": "it is stopping",
    "UNKNOWN": "supervisor has lost track of it",
}


def reason(process: Process) -> str:
    """Why a process is not ready, in one sentence; empty where it is."""
    if process.running:
        return ""
    words = process.spawn_error or f"exit status {process.exit_status}"
    if process.state == "FATAL":
        return f"supervisor gave up starting it: {words}"
    if process.state == "BACKOFF":
        return f"it failed to start and is tried again: {words}"
    if process.state == "EXITED":
        return f"it ended with exit status {process.exit_status}"
    if process.state == "STOPPED" and process.started is None:
        return "it was not started"
    return REASONS.get(process.state, "")


def _process(info: dict[str, Any]) -> Process:
    started = datetime.fromtimestamp(info["start"], UTC) if info["start"] else None
    logs = tuple(path for path in (info["stdout_logfile"], info["stderr_logfile"]) if path)
    return Process(info["group"], info["name"], info["statename"], info["pid"], started, info["spawnerr"],
                   info["exitstatus"], tuple(dict.fromkeys(logs)))  # fmt: skip
