"""Workloads held by Docker Compose, on docker or podman. A workload is a service; an instance is a container.

Containers are found by the labels of compose, so that it does not matter who made them; new ones are made of the
compose file through the Docker API.
"""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from opsbook.book.environments import ComposeRuntime
from opsbook.book.load import nearest
from opsbook.book.references import Reference
from opsbook.book.system import System
from opsbook.connectors.change import Change, Json
from opsbook.connectors.registry import runtime
from opsbook.connectors.runtimes import compose_create, compose_events, compose_usage
from opsbook.connectors.runtimes.compose_api import PODMAN_PATH, ApiFault, ComposeApi, NotThere
from opsbook.connectors.runtimes.compose_containers import Container, moment
from opsbook.connectors.runtimes.compose_file import ComposeFile, Service, read_compose_file
from opsbook.connectors.runtimes.compose_logs import follow_logs, last_words, read_logs
from opsbook.connectors.runtimes.compose_record import Record, version_of
from opsbook.connectors.runtimes.contract import (
    Event,
    LogLine,
    LogQuery,
    Revision,
    Seen,
    Status,
    Take,
    Usage,
    Verb,
    Workload,
)
from opsbook.connectors.runtimes.together import Together
from opsbook.errors import Absent

CAPABILITIES = frozenset({
    "list", "status", "logs", "events", "revisions", "environment", "resources",
    "start", "stop", "restart", "scale", "deploy", "rollback", "exec", "copy", "isolate",
})  # fmt: skip
MOST_WORDS = 5
"""Containers whose last words are asked for in one look."""
CHECK_EVERY = 30.0
"""Seconds between health checks where nobody says, as docker has it."""


@runtime("compose")
def compose(system: System) -> Compose:
    """The runtime of an environment whose `runtime.kind` is compose."""
    settings = system.environment.runtime
    assert isinstance(settings, ComposeRuntime)
    return Compose(system, settings)


class Compose:
    """The services of one compose project."""

    def __init__(self, system: System, settings: ComposeRuntime) -> None:
        self._system, self._settings = system, settings
        self.api = ComposeApi(system.resolve(Reference(settings.host)) if settings.host else "")
        self._read_file: tuple[object, ComposeFile] | None = None

    @property
    def system(self) -> System:
        """The system whose containers these are."""
        return self._system

    @property
    def file(self) -> ComposeFile:
        """Read anew when somebody has written it, the `.env` beside it, or the book's variables. Raises UsageError."""
        path = self._system.path(self._settings.file)
        written = (*map(_written, (path, path.with_name(".env"))), self._system.variables)
        if self._read_file is None or self._read_file[0] != written:
            self._read_file = written, read_compose_file(path, self._settings.project, self._system.variables)
        return self._read_file[1]

    @cached_property
    def record(self) -> Record:
        """Which versions were deployed."""
        file = self.file
        return Record(file.path.with_name(f".{file.project}.deploys.jsonl"))

    @property
    def capabilities(self) -> frozenset[str]:
        """What it can be asked, in the words of the runtime contract; and `isolate`."""
        return CAPABILITIES

    async def found(self, service: str = "") -> builtins.list[Container]:
        """The containers of the project, or of one service, by number; those of `compose run` are none."""
        for last in (False, False, True):
            found, gone = await self._read(service)
            if not gone or last:
                break  # else one was removed since they were listed, and who took its place may not be among them
        return sorted(found, key=lambda one: (one.number, one.name))

    @cached_property
    def _listed(self) -> Together[Sequence[Mapping[str, Any]]]:
        async def look() -> Sequence[Mapping[str, Any]]:
            label = f"{compose_create.PROJECT}={self.file.project}"
            found: Sequence[Mapping[str, Any]] = await self.api.call("containers", all=True, filters={"label": label})
            return found

        return Together(look)

    async def _read(self, service: str) -> tuple[builtins.list[Container], bool]:
        """Those that there are, and whether one of them went meanwhile.

        The oldest is read first: where it has made way, the new one that is read after it is ready.
        """
        found, gone = [], False
        for one in sorted(await self._listed(), key=lambda one: int(one.get("Created") or 0)):
            said = one.get("Labels") or {}
            if said.get(compose_create.ONE_OFF, "False") == "True":
                continue
            if said.get(compose_create.PROJECT) != self.file.project:
                continue
            if service and said.get(compose_create.SERVICE) != service:
                continue
            try:
                found.append(Container(await self.api.call("inspect_container", one["Id"])))
            except NotThere:
                gone = True
        return found, gone

    async def containers(self, workload: str) -> builtins.list[Container]:
        """Those of a service. Raises Absent for one that is neither in the file nor in the engine."""
        found = await self.found(workload)
        file = self.file
        if not found and workload not in file.services:
            raise Absent(f"compose holds no service named {workload!r}", nearest(workload, file.services))
        return found

    def service(self, workload: str) -> Service:
        """Its part of the file. Raises Absent."""
        return self.file.service(workload)

    async def list(self) -> Sequence[Workload]:
        """Every service, each after those that it depends on; what the file has no more stands last."""
        file, found = self.file, await self.found()
        gone = sorted({one.service for one in found} - set(file.services))
        return [self._workload(name, [one for one in found if one.service == name]) for name in (*file.order, *gone)]

    def _workload(self, name: str, found: Sequence[Container]) -> Workload:
        service = self.file.services.get(name)
        return Workload(name, "service", service.replicas if service else None, sum(one.ready for one in found))

    async def status(self, workload: str) -> Status:
        """Its containers now, those that are stopped too."""
        found = await self.checked(workload)
        words: dict[str, str] = {}
        for one in [one for one in found if not one.ready and one.started][:MOST_WORDS]:
            words[one.id] = await last_words(self.api, one)
        instances = tuple(one.instance(words.get(one.id, "")) for one in found)
        return Status(self._workload(workload, found), instances, ", ".join(self.versions(workload, found)),
                      sum(one.restarts for one in found))  # fmt: skip

    async def checked(self, workload: str) -> builtins.list[Container]:
        """Its containers, with what their health checks say now."""
        return await asyncio.gather(*(self._checked(one) for one in await self.containers(workload)))

    async def _checked(self, one: Container) -> Container:
        """podman without systemd runs no health checks by itself: one that is overdue is run now."""
        if not one.active or not one.checked:
            return one
        said = one.told["Config"].get("Healthcheck") or {}
        every = timedelta(seconds=2 * (said.get("Interval") or CHECK_EVERY * 1e9) / 1e9)
        last = moment(one.last_check.get("End")) or one.started
        if last is None or datetime.now(UTC) - last < every:
            return one
        now = await self.check(one)
        # What ended since it was read counts as it was then: who took its place was read before that too.
        return now if now.active else one

    async def check(self, one: Container) -> Container:
        """The container after its health check was run, where that must be asked for; as it was where it is gone."""
        if await self.api.podman():
            try:
                await self.api.get(f"{PODMAN_PATH}/containers/{one.id}/healthcheck")
            except ApiFault:
                return one  # it has ended meanwhile
        try:
            return Container(await self.api.call("inspect_container", one.id))
        except NotThere:
            return one

    def versions(self, workload: str, found: Sequence[Container]) -> tuple[str, ...]:
        """The versions of those that run; of all where none does."""
        service = self.file.services.get(workload)
        declared = service.image if service else ""
        chosen = [one for one in found if one.active] or found
        return tuple(sorted({version_of(one.image, declared) for one in chosen}))

    async def revisions(self, workload: str) -> Sequence[Revision]:
        """The images that opsbook deployed, oldest first, and the one that runs."""
        found, service = await self.containers(workload), self.service(workload)
        now = next((one.image for one in reversed(found) if one.active), "")
        now = now or self.record.wanted(workload, service.image)
        return self.record.revisions(workload, service.image, now)

    async def logs(self, workload: str, query: LogQuery) -> AsyncIterator[LogLine]:
        """Lines of all its containers by time. The engine keeps a restarted container's lines: `previous` is there."""
        found = await self.containers(workload)
        if query.follow:
            async for line in follow_logs(self, workload, query):
                yield line
            return
        for line in await read_logs(self.api, found, query):
            yield line

    async def events(self, workload: str) -> AsyncIterator[Event]:
        """What happened to its containers during a day, oldest first, as far as the engine keeps it."""
        await self.containers(workload)
        for event in await compose_events.read(self.api, self.file.project, workload):
            yield event

    async def environment(self, workload: str) -> dict[str, str]:
        """The variables with which the first process of a container runs; of the file where none runs.

        A program that takes its variables from a file is started with less than it runs with.
        """
        from opsbook.connectors.runtimes.compose_exec import first_process

        for one in await self.containers(workload):
            if one.active:
                given = compose_create.pairs(one.told["Config"]["Env"])
                return {key: value or "" for key, value in given.items()} | await first_process(self, one)
        return compose_create.environment(self.file, self.service(workload))

    async def resources(self, workload: str) -> Usage:
        """What its containers use, measured over half a second."""
        return await compose_usage.usage(self.api, await self.containers(workload))

    async def change(self, workload: str, verb: Verb, arguments: Json) -> Change:
        """See `compose_changes` for the arguments of each verb."""
        from opsbook.connectors.runtimes.compose_changes import planned

        return await planned(self, workload, verb, arguments or {})

    async def look_inside(
        self, workload: str, argv: Sequence[str], seconds: float, *, instances: Sequence[str] | None, every: bool
    ) -> Sequence[Seen]:
        """A program that only looks, within containers that run."""
        from opsbook.connectors.runtimes.compose_exec import look

        return await look(self, workload, argv, seconds, instances, every)

    async def put_inside(
        self, workload: str, instance: str, path: str, data: bytes, owner: tuple[int, int] | None = None
    ) -> None:
        """A file written in a container."""
        from opsbook.connectors.runtimes.compose_files import put

        await put(self, workload, instance, path, data, owner)

    async def take_inside(self, workload: str, instance: str, path: str, take: Take, *, plain: bool = False) -> None:
        """What stands at a path of a container, which need not have a tar."""
        from opsbook.connectors.runtimes.compose_files import take_out

        assert not plain, "the engine makes the archive"
        await take_out(self, workload, instance, path, take)

    async def close(self) -> None:
        await self.api.close()


def _written(path: Path) -> tuple[int, int, int]:
    """What changes when a file is written."""
    try:
        said = path.stat()
    except OSError:
        return 0, 0, 0
    return said.st_mtime_ns, said.st_size, said.st_ino
