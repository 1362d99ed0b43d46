"""The one interface to what holds the workloads: `supervisor`, `compose`, `kubernetes`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal, Protocol, runtime_checkable

from opsbook.connectors.change import Change, Json
from opsbook.errors import OpsbookError


class Verb(StrEnum):
    """What a runtime can be asked to change. Its `capabilities` say which of these and of the reads it can do."""

    START = "start"
    STOP = "stop"
    RESTART = "restart"
    SCALE = "scale"
    DEPLOY = "deploy"
    ROLLBACK = "rollback"
    EXEC = "exec"


@dataclass(frozen=True)
class Instance:
    """One process, container or pod of a workload."""

    name: str
    ready: bool
    state: str
    """In the runtime's own word: RUNNING, FATAL, CrashLoopBackOff …"""
    started: datetime | None = None
    pid: int | None = None
    reason: str = ""
    """Why it is not ready, in one sentence."""


@dataclass(frozen=True)
class Workload:
    """Something that the runtime holds."""

    name: str
    kind: str
    """In the runtime's own word: program, service, Deployment …"""
    wanted: int | None
    ready: int


@dataclass(frozen=True)
class Status:
    """A workload and its instances now."""

    workload: Workload
    instances: tuple[Instance, ...]
    version: str = ""
    restarts: int | None = None


@dataclass(frozen=True)
class Usage:
    """What the instances of a workload use. CPU in cores, memory in bytes; limits where the runtime has them."""

    cpu: float
    memory: float
    memory_limit: float | None = None
    cpu_limit: float | None = None


@dataclass(frozen=True)
class Revision:
    """One version that was deployed."""

    number: int
    version: str
    at: datetime | None
    current: bool
    left: bool = False
    """Somebody went back from it: it is never the version before."""


@dataclass(frozen=True)
class LogQuery:
    """Which lines of a workload's logs are wanted."""

    tail: int | None = 100
    since: datetime | None = None
    follow: bool = False
    contains: str = ""
    previous: bool = False
    """Of the run of each container before this one, where the runtime keeps it."""


@dataclass(frozen=True)
class LogLine:
    """One line, with the instance that wrote it."""

    instance: str
    text: str
    at: datetime | None = None
    missing: bool = False
    """Not written by it: its lines, or those that follow, cannot be had, and the text says why."""


CRASHED = "crashed"
"""The kind of event by which every runtime tells that an instance ended though nobody asked it to."""


@dataclass(frozen=True)
class Event:
    """Something that happened to a workload."""

    at: datetime | None
    kind: str
    message: str
    instance: str = ""


Capability = Literal[
    "list", "status", "logs", "events", "revisions", "environment", "resources",
    "start", "stop", "restart", "scale", "deploy", "rollback", "exec", "copy",
]  # fmt: skip


@runtime_checkable
class Runtime(Protocol):
    """What holds the workloads. A capability that is missing is refused when planning, with the reason."""

    @property
    def capabilities(self) -> frozenset[str]: ...

    async def list(self) -> Sequence[Workload]: ...
    async def status(self, workload: str) -> Status: ...
    async def revisions(self, workload: str) -> Sequence[Revision]: ...
    def logs(self, workload: str, query: LogQuery) -> AsyncIterator[LogLine]: ...
    def events(self, workload: str) -> AsyncIterator[Event]: ...
    async def environment(self, workload: str) -> dict[str, str]:
        """The variables that its processes see. Values are secret: show names, or mask."""
        ...

    async def resources(self, workload: str) -> Usage: ...
    async def change(self, workload: str, verb: Verb, arguments: Json) -> Change:
        """The change that the verb would be now, with its guard and undo. Changes nothing."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True)
class Seen:
    """What a program that only looks said within one instance."""

    instance: str
    code: int | None
    """How it ended; None where it could not be started."""
    said: str
    trouble: str = ""
    """Why it could not be run there at all, though the image may well have it."""


@runtime_checkable
class LooksInside(Protocol):
    """A runtime that runs a program within the instances of a workload, also of one that is not ready.

    An observation only runs what changes nothing.
    """

    async def look_inside(
        self, workload: str, argv: Sequence[str], seconds: float, *, instances: Sequence[str] | None, every: bool
    ) -> Sequence[Seen]:
        """Run it in one instance, or in every one; in those that are named where any are.

        Raises ReadFailed where no instance runs.
        """
        ...


@runtime_checkable
class TakesFiles(Protocol):
    """A runtime whose instances have files of their own, into which one can be put."""

    async def put_inside(
        self, workload: str, instance: str, path: str, data: bytes, owner: tuple[int, int] | None = None
    ) -> None:
        """Write a file that may be executed. Raises ReadFailed with why it could not be written.

        With an `owner` (uid, gid: who runs there) it is that one's alone to read.
        """
        ...


Take = Callable[[bytes], Awaitable[None]]
"""Takes the pieces of what is read, one after the other."""


@runtime_checkable
class GivesFiles(Protocol):
    """A runtime out of whose instances files and folders can be read."""

    async def take_inside(self, workload: str, instance: str, path: str, take: Take, *, plain: bool = False) -> None:
        """Hand on a tar archive of what stands at a path; with `plain` the bytes of a file.

        An empty `instance` is any that runs. Raises NoTar where the instance cannot make one, ReadFailed for the rest.
        """
        ...


class NoTar(OpsbookError):
    """The image has no tar."""


class Unsupported(OpsbookError):
    """The runtime cannot do this."""

    exit_code = 2
